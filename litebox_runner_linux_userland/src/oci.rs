//! `litebox oci`, or `litebox-oci`: the command line of an OCI runtime (runc(8)) for engines such as podman and
//! containerd.
//!
//! A container is a sandbox. `create` leaves a process that waits ([`init`]); `start` lets it become `litebox run`,
//! with options that say what `config.json` says ([`config`]). Its process id is the container's. What is known of a
//! container lies in a directory ([`container`]), which is also where its control socket is, so that `exec`, `pause`
//! and the like are those commands of `litebox`.

use std::fmt::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use clap::{Args, Subcommand};

use crate::message::{print_all, say};
use crate::seccomp;

pub mod cgroup;
pub mod config;
pub mod console;
pub mod container;
pub mod create;
pub mod events;
pub mod exec;
pub mod hooks;
pub mod init;
pub mod linux;
pub mod log;
pub mod pod;
pub mod relay;
pub mod resources;
pub mod scheduling;
pub mod view;

use container::{Container, Status};

/// How a sandbox is called in its container's directory.
const NAME: &str = "container";
/// The version of the specification.
const SPECIFICATION: &str = "1.0.2";

/// Options of `litebox oci`.
#[derive(Args)]
#[command(disable_version_flag = true)]
pub struct Options {
    #[command(flatten)]
    global: Global,
    /// Print the versions of this runtime and of the specification.
    #[arg(short, long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Action>,
}

/// Options before the command.
#[derive(Args)]
pub struct Global {
    /// Where containers are kept.
    #[arg(long, value_name = "DIR", global = true)]
    root: Option<PathBuf>,
    #[command(flatten)]
    log: log::LogOptions,
    /// Accepted, and without effect: limits are those of the sandbox.
    #[arg(long, hide = true)]
    systemd_cgroup: bool,
    /// Accepted, and without effect: no privilege is needed or used.
    #[arg(long, hide = true, num_args = 0..=1)]
    rootless: Option<String>,
    /// Accepted, and without effect.
    #[arg(long, hide = true)]
    debug: bool,
}

impl Global {
    fn containers(&self) -> PathBuf {
        let root = self.root.clone().unwrap_or_else(container::usual_root);
        std::path::absolute(&root).unwrap_or(root)
    }
    fn open(&self, id: &str) -> Result<Container, String> {
        Container::open(&self.containers(), id)
    }
}

/// Which container.
#[derive(Args)]
struct Id {
    /// The container.
    id: String,
}

/// What to do.
#[derive(Subcommand)]
enum Action {
    /// Make a container, which waits for start.
    Create(create::Options),
    /// Start the program of a container that was created.
    Start(Id),
    /// Create, start, wait and delete.
    Run(create::Options),
    /// Print the state of a container as JSON.
    State(Id),
    /// Send a signal to the program of a container.
    Kill(Kill),
    /// Forget a container that has stopped.
    Delete(Delete),
    /// Run one more program in a container.
    Exec(exec::Options),
    /// List the processes of a container, by the ps in it.
    Ps(Ps),
    /// Stop all processes of a container.
    Pause(Id),
    /// Have them go on.
    Resume(Id),
    /// Change the limits of a container.
    Update(resources::UpdateOptions),
    /// Print what a container uses, as JSON.
    Events(events::EventOptions),
    /// List the containers.
    List(List),
    /// Print what this runtime can do, as JSON.
    Features,
    #[command(hide = true)]
    Init(init::Options),
}

/// Options of `kill`.
#[derive(Args)]
struct Kill {
    /// Accepted: the end of the first program is the end of all.
    #[arg(short, long)]
    all: bool,
    /// The container.
    id: String,
    /// The signal, by name or number.
    #[arg(default_value = "TERM", value_parser = crate::options::process::parse_signal)]
    signal: i32,
}

/// Options of `delete`.
#[derive(Args)]
struct Delete {
    /// Kill it first, if it runs; without a container of that name there is nothing to do.
    #[arg(short, long)]
    force: bool,
    /// The container.
    id: String,
}

/// Options of `ps`.
#[derive(Args)]
struct Ps {
    /// table, or json: the process id of the container.
    #[arg(short, long, default_value = "table")]
    format: String,
    /// The container.
    id: String,
    /// Options of ps.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Options of `list`.
#[derive(Args)]
struct List {
    /// table, or json.
    #[arg(short, long, default_value = "table")]
    format: String,
    /// Their names only.
    #[arg(short, long)]
    quiet: bool,
}

/// Does it. The exit status.
pub fn run(options: &Options) -> u8 {
    let global = &options.global;
    if options.version {
        print_all(&format!("litebox-oci version {}\nspec: {SPECIFICATION}\n", env!("CARGO_PKG_VERSION")));
        return 0;
    }
    let Some(action) = &options.command else {
        say("oci: no command is given (litebox oci --help lists them)");
        return 1;
    };
    match act(global, action) {
        Ok(status) => status,
        Err(why) => {
            global.log.error(&why);
            say(&why);
            1
        }
    }
}

fn act(global: &Global, action: &Action) -> Result<u8, String> {
    match action {
        Action::Create(options) => create::create(&global.containers(), options, false).map(|_| 0),
        Action::Run(options) => create::run(&global.containers(), options),
        Action::Start(which) => global.open(&which.id)?.start().map(|()| 0),
        Action::State(which) => Ok(printed(&format!("{:#}\n", global.open(&which.id)?.state()))),
        Action::Kill(options) => kill(&global.open(&options.id)?, options).map(|()| 0),
        Action::Delete(options) => delete(global, options),
        Action::Exec(options) => exec::exec(&global.open(&options.id)?, options),
        Action::Ps(options) => ps(&global.open(&options.id)?, options),
        Action::Pause(which) => global.open(&which.id)?.pause(true).map(|()| 0),
        Action::Resume(which) => global.open(&which.id)?.pause(false).map(|()| 0),
        Action::Update(options) => resources::update(&global.open(&options.id)?, options).map(|()| 0),
        Action::Events(options) => events::events(&global.open(&options.id)?, options).map(|()| 0),
        Action::List(options) => Ok(printed(&list(global, options)?)),
        Action::Features => Ok(printed(&format!("{:#}\n", features()))),
        Action::Init(options) => init::init(options),
    }
}

fn printed(text: &str) -> u8 {
    print_all(text);
    0
}

/// This program once more, for a container.
fn litebox(container: &Container) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|e| format!("/proc/self/exe: {e}"))?;
    let mut command = Command::new(program);
    // Not by the name that stands for this command.
    command.arg0("litebox");
    // Where the sandbox is: the container's own, or that of its pod.
    command.env("XDG_RUNTIME_DIR", container.record.pod.as_ref().map_or(&container.directory, |pod| &pod.directory));
    Ok(command)
}

/// Engines kill all that may be left when a container has ended: there is nothing.
fn kill(container: &Container, options: &Kill) -> Result<(), String> {
    if options.all && container.status() == Status::Stopped {
        return Ok(());
    }
    container.kill(options.signal)
}

fn delete(global: &Global, options: &Delete) -> Result<u8, String> {
    match global.open(&options.id) {
        Err(_) if options.force => Ok(0),
        Err(why) => Err(why),
        Ok(container) => container.delete(options.force).map(|()| 0),
    }
}

fn ps(container: &Container, options: &Ps) -> Result<u8, String> {
    if options.format == "json" {
        return Ok(printed(&format!("[{}]\n", container.record.pid)));
    }
    let mut command = litebox(container)?;
    if container.record.pod.is_some() {
        // By the ps of this container.
        command.args(["exec", "--container", &options.id, NAME, "--", "ps"]);
    } else {
        command.args(["top", NAME]);
    }
    let status = command.args(&options.options).status().map_err(|e| format!("ps: {e}"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn list(global: &Global, options: &List) -> Result<String, String> {
    let all = container::all(&global.containers());
    if options.quiet {
        return Ok(all.iter().flat_map(|container| [container.record.id.as_str(), "\n"]).collect());
    }
    if options.format == "json" {
        let states: Vec<_> = all.iter().map(Container::state).collect();
        return Ok(format!("{}\n", serde_json::Value::from(states)));
    }
    let mut text = format!("{:<24} {:>8} {:<9} BUNDLE\n", "ID", "PID", "STATUS");
    for container in all {
        let record = &container.record;
        let bundle = record.bundle.display();
        let status = container.status().name();
        writeln!(text, "{:<24} {:>8} {status:<9} {bundle}", record.id, record.pid).map_err(|e| e.to_string())?;
    }
    Ok(text)
}

/// What `features` prints.
fn features() -> serde_json::Value {
    serde_json::json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPECIFICATION,
        "hooks": hooks::NAMES,
        "mountOptions": ["ro", "rw", "bind", "rbind", "exec", "noexec", "dev", "nodev", "nosuid"],
        "linux": {
            "namespaces": ["mount", "network"],
            "capabilities": config::CAPABILITIES,
            "cgroup": { "v1": true, "v2": true, "systemd": false, "systemdUser": false },
            "seccomp": {
                "enabled": true,
                "actions": seccomp::ACTIONS.map(|(name, _)| name),
                "operators": seccomp::OPERATORS.map(|(name, _)| name),
                "archs": seccomp::ARCHITECTURES,
                "knownFlags": seccomp::FLAGS,
                "supportedFlags": seccomp::FLAGS,
            },
            "apparmor": { "enabled": false },
            "selinux": { "enabled": false },
        },
    })
}
