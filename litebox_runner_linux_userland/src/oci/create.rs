//! `create` and `run`.

use std::fs::{self, DirBuilder};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Child;

use clap::Args;
use rustix::fs::Mode;
use rustix::io::FdFlags;
use rustix::pipe::PipeFlags;

use super::cgroup::Cgroup;
use super::config::{How, Spec};
use super::container::{Container, Record, began};
use super::resources::Kept;
use super::{NAME, console, hooks, init, litebox, pod, relay};
use crate::named::time::{now, rfc3339};
use crate::preserved;

/// Options of `create` and `run`.
#[derive(Args)]
#[group(skip)]
pub struct Options {
    /// Where config.json is.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Write the container's process id to this file.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Who listens on this socket is sent the container's terminal.
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Pass so many descriptors, from 3 on, to the program.
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=i64::from(preserved::MOST)))]
    preserve_fds: u32,
    /// Accepted, and without effect: the root is never exchanged.
    #[arg(long)]
    no_pivot: bool,
    /// Accepted, and without effect.
    #[arg(long)]
    no_new_keyring: bool,
    /// The container.
    id: String,
}

/// Makes a container, whose process waits. `here`: a terminal is the caller's own.
pub fn create(root: &Path, options: &Options, here: bool) -> Result<Child, String> {
    let id = &options.id;
    if !crate::named::directory::is_name(id) {
        return Err(format!("container id {id}: letters, digits, '_', '.' and '-', 64 at most"));
    }
    preserved::check(options.preserve_fds)?;
    let bundle =
        fs::canonicalize(&options.bundle).map_err(|e| format!("--bundle {}: {e}", options.bundle.display()))?;
    let spec = Spec::read(&bundle)?;
    let terminal = spec.has_terminal() && !here;
    if terminal != options.console_socket.is_some() {
        return Err(if terminal {
            "process.terminal: --console-socket says who gets the terminal".into()
        } else {
            "--console-socket: the container has no terminal of its own (process.terminal)".to_string()
        });
    }
    let directory = root.join(id);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(root);
    made.and_then(|()| DirBuilder::new().mode(0o700).create(&directory)).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => format!("container {id} already exists"),
        _ => format!("{}: {e}", directory.display()),
    })?;
    let record = Record { pod: pod::first_of(root, &spec), ..record(id, &bundle, &spec) };
    fill(Container { directory, record }, options, &spec, here)
}

fn record(id: &str, bundle: &Path, spec: &Spec) -> Record {
    Record {
        id: id.to_string(),
        pid: 0,
        since: String::new(),
        bundle: bundle.to_path_buf(),
        created: rfc3339(now()),
        annotations: spec.annotations.clone(),
        cgroup: None,
        pod: None,
        limits: Kept::of(&spec.linux.resources),
    }
}

/// Starts its process and runs its hooks; nothing is left when that fails.
fn fill(mut container: Container, options: &Options, spec: &Spec, here: bool) -> Result<Child, String> {
    let started = join_group(&mut container, spec).and_then(|()| start_waiting(&container, options, spec, here));
    let filled = started.and_then(|mut child| match keep(&mut container, &child, options, spec) {
        Ok(()) => Ok(child),
        Err(why) => {
            // It may have ended by itself.
            let _ = child.kill().and_then(|()| child.wait());
            Err(why)
        }
    });
    if filled.is_err() {
        // What went wrong first is what counts.
        let _ = fs::remove_dir_all(&container.directory);
        if let Some(Ok(group)) = container.record.cgroup.as_deref().map(Cgroup::open) {
            group.remove();
        }
    }
    filled
}

/// Makes its control group, where the host allows it.
fn join_group(container: &mut Container, spec: &Spec) -> Result<(), String> {
    let Some(path) = &spec.linux.cgroups_path else { return Ok(()) };
    let group = Cgroup::open(path)?;
    if group.make()? {
        container.record.cgroup = Some(path.clone());
        group.limit(&spec.linux.resources)?;
    }
    Ok(())
}

/// Starts the process that waits. Returns when it does.
fn start_waiting(container: &Container, options: &Options, spec: &Spec, here: bool) -> Result<Child, String> {
    let (fifo, masked) = (container.directory.join("start"), container.directory.join("masked"));
    let mode = Mode::RUSR | Mode::WUSR;
    for fifo in [&fifo, &container.directory.join("ready")] {
        rustix::fs::mkfifoat(rustix::fs::CWD, fifo, mode).map_err(|e| format!("{}: {e}", fifo.display()))?;
    }
    fs::write(&masked, "").map_err(|e| format!("{}: {e}", masked.display()))?;
    let bundle = &container.record.bundle;
    let seccomp = container.directory.join("seccomp.json");
    let how = How {
        name: NAME,
        masked: &masked,
        seccomp: &seccomp,
        has_group: container.record.cgroup.is_some(),
        preserved: options.preserve_fds,
        pod: container.record.pod.as_ref().map(|pod| (container.record.id.as_str(), pod)),
    };
    let arguments = spec.arguments(bundle, &how)?;
    let failed = |e: std::io::Error| format!("the container's process: {e}");
    let (ready, told) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let mut command = litebox(container)?;
    command.args(["oci", "init", "--fifo"]).arg(&fifo).arg("--bundle").arg(bundle);
    if let Some(group) = &container.record.cgroup {
        command.args(["--group", group]);
    }
    if here {
        command.arg("--here");
    }
    if let Some(socket) = &options.console_socket {
        command.arg("--terminal");
        give(&mut command, &console::open(socket)?)?;
    }
    // It inherits this one.
    rustix::io::fcntl_setfd(&told, FdFlags::empty()).map_err(|e| failed(e.into()))?;
    command.args(["--ready", &told.as_raw_fd().to_string()]);
    command.args(["--preserved", &options.preserve_fds.to_string()]);
    preserved::pass_on(options.preserve_fds)?;
    let mut child = command.arg("--").args(arguments).spawn().map_err(failed)?;
    preserved::close(options.preserve_fds);
    drop(told);
    let mut why = String::new();
    let heard = fs::File::from(ready).read_to_string(&mut why).map_err(failed);
    if heard.is_ok() && why == init::READY {
        return Ok(child);
    }
    let _ = child.kill().and_then(|()| child.wait());
    heard?;
    Err(if why.is_empty() { "the container's process has ended".into() } else { why })
}

/// A terminal for all three streams.
pub fn give(command: &mut std::process::Command, terminal: &fs::File) -> Result<(), String> {
    let copy = || terminal.try_clone().map_err(|e| format!("the container's terminal: {e}"));
    command.stdin(copy()?).stdout(copy()?).stderr(copy()?);
    Ok(())
}

/// Keeps what is known of it, runs its hooks, tells the engine.
fn keep(container: &mut Container, child: &Child, options: &Options, spec: &Spec) -> Result<(), String> {
    container.record.pid = i32::try_from(child.id()).map_err(|e| e.to_string())?;
    container.record.since = began(container.record.pid).ok_or("the container's process has ended")?;
    container.store()?;
    let state = container.state();
    for moment in hooks::EARLY {
        hooks::run(spec, moment, &state)?;
    }
    if let Some(file) = &options.pid_file {
        write_pid(file, child)?;
    }
    Ok(())
}

/// Tells an engine a process id.
pub fn write_pid(file: &Path, child: &Child) -> Result<(), String> {
    fs::write(file, child.id().to_string()).map_err(|e| format!("--pid-file {}: {e}", file.display()))
}

/// `run`: the exit status is the program's.
pub fn run(root: &Path, options: &Options) -> Result<u8, String> {
    let child = create(root, options, true)?;
    let container = Container::open(root, &options.id)?;
    let ended = container.start().and_then(|()| pass_on(&child).map_err(|e| e.to_string()));
    container.delete(true)?;
    ended
}

/// Waits for it. What this process is sent, it is sent.
fn pass_on(child: &Child) -> std::io::Result<u8> {
    let held = relay::hold()?;
    let ended = held.wait(child.id().try_into().map_err(std::io::Error::other)?);
    held.release();
    ended
}

/// As a shell has it.
pub fn exit_status(status: std::process::ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}
