//! The command `litebox`: runs a Linux program in a sandbox.
//!
//! The same executable is all processes of a sandbox: started by a user it is the broker ([`run`]); started by the
//! broker with [`SANDBOX_ARGUMENT`] it is the supervisor ([`sandbox`]), whose clones are the guest's processes.

pub(crate) mod arguments;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod environment;
pub(crate) mod inherited;
pub(crate) mod layers;
pub(crate) mod limits;
pub(crate) mod message;
pub(crate) mod mounts;
pub(crate) mod named;
pub(crate) mod network;
pub(crate) mod oci;
pub(crate) mod options;
pub(crate) mod pages;
pub(crate) mod pod;
pub(crate) mod preserved;
pub(crate) mod results;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod seccomp;
pub(crate) mod start_cache;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod streams;
pub(crate) mod syscalls;
pub(crate) mod trace;

use std::alloc::System;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use litebox_platform_linux_userland::memory::heap::Allocator;
use litebox_platform_linux_userland::start::{SANDBOX_ARGUMENT, Used};

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator(System);

litebox::register_north!(litebox_shim_linux::LinuxNorth);
litebox_platform_linux_userland::start_supervisor!(sandbox::run);

/// Exit status for failures of litebox itself, as `docker run` has it.
pub(crate) const STATUS_OURS: u8 = 125;

/// Runs unmodified Linux programs in a sandbox whose boundary the host kernel enforces.
///
/// `litebox PROGRAM` is `litebox run PROGRAM`.
#[derive(Parser)]
#[command(name = "litebox", version, max_term_width = 120, args_override_self = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// [`Cli`] with one subcommand: the hundred options of the others are not built at each start.
#[derive(Parser)]
#[command(name = "litebox", version, max_term_width = 120, args_override_self = true)]
pub(crate) struct RunCli {
    #[command(subcommand)]
    command: RunCommand,
}

#[derive(Subcommand)]
enum RunCommand {
    Run(Box<options::Options>),
}

impl From<RunCli> for Cli {
    fn from(cli: RunCli) -> Self {
        let RunCommand::Run(options) = cli.command;
        Self { command: Command::Run(options) }
    }
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a program in a new sandbox.
    Run(Box<options::Options>),
    /// Run one more program in a sandbox that runs.
    Exec(named::exec::Options),
    /// List the sandboxes that have a name.
    Ps(named::list::Options),
    /// Print what a sandbox in the background has written.
    Logs(named::logs::Options),
    /// End sandboxes: ask their programs to end, and kill them if they do not.
    Stop(named::end::Stop),
    /// Send a signal to the first programs of sandboxes.
    Kill(named::end::Kill),
    /// Wait until sandboxes end, and print their exit statuses.
    Wait(named::end::Names),
    /// Forget sandboxes that have ended.
    Rm(named::end::Remove),
    /// List the processes of a sandbox, by the ps in it.
    Top(named::top::Options),
    /// Copy files from or to a sandbox that runs, by the tar in it.
    Cp(named::copy::Options),
    /// Save what was changed in the copy-on-write directories of a sandbox that runs, as run --save does at the end.
    Save(named::save::Options),
    /// Stop all processes of sandboxes, until unpause.
    Pause(named::end::Names),
    /// Have the processes of paused sandboxes go on.
    Unpause(named::end::Names),
    /// Print what sandboxes use of the processor and of memory.
    Stats(named::figures::Options),
    /// Print everything that is known of sandboxes, as JSON.
    Inspect(named::list::Inspect),
    /// List what a layer changes: one that --save wrote, or one of an image.
    Diff(layers::DiffOptions),
    /// Bring a layer onto a directory.
    Apply(layers::ApplyOptions),
    /// The command line of an OCI runtime (runc), for podman, containerd and other engines.
    Oci(oci::Options),
    /// List the system calls: which are served, which are not and why.
    Syscalls(syscalls::Options),
    /// Say what this host offers, what the absence of a thing costs, and whether a sandbox runs.
    Doctor(doctor::Options),
    /// Print the completions of a shell.
    Completions(pages::Completions),
    /// Print the manual page of litebox, or of a subcommand.
    Man(pages::Man),
}

pub(crate) fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|a| a == SANDBOX_ARGUMENT) {
        sandbox::run(sandbox::aux_of_libc, Used::default());
    }
    if let Err(line) = inherited::claim_stack() {
        message::say(&line);
        return ExitCode::from(STATUS_OURS);
    }
    match arguments::parse(std::env::args_os().collect()) {
        Ok(Cli { command: Command::Run(options) }) => ExitCode::from(run::run(&options)),
        Ok(Cli { command: Command::Exec(options) }) => ExitCode::from(named::exec::exec(&options)),
        Ok(Cli { command: Command::Ps(options) }) => ExitCode::from(named::list::list(&options)),
        Ok(Cli { command: Command::Logs(options) }) => ExitCode::from(named::logs::logs(&options)),
        Ok(Cli { command: Command::Stop(options) }) => ExitCode::from(named::end::stop(&options)),
        Ok(Cli { command: Command::Kill(options) }) => ExitCode::from(named::end::kill(&options)),
        Ok(Cli { command: Command::Wait(options) }) => ExitCode::from(named::end::wait(&options)),
        Ok(Cli { command: Command::Rm(options) }) => ExitCode::from(named::end::remove(&options)),
        Ok(Cli { command: Command::Top(options) }) => ExitCode::from(named::top::top(&options)),
        Ok(Cli { command: Command::Cp(options) }) => ExitCode::from(named::copy::copy(&options)),
        Ok(Cli { command: Command::Save(options) }) => ExitCode::from(named::save::save(&options)),
        Ok(Cli { command: Command::Pause(options) }) => ExitCode::from(named::end::pause(&options, true)),
        Ok(Cli { command: Command::Unpause(options) }) => ExitCode::from(named::end::pause(&options, false)),
        Ok(Cli { command: Command::Stats(options) }) => ExitCode::from(named::figures::figures(&options)),
        Ok(Cli { command: Command::Inspect(options) }) => ExitCode::from(named::list::inspect(&options)),
        Ok(Cli { command: Command::Diff(options) }) => match layers::diff(&options) {
            Ok(text) => message::print_all(&text),
            Err(line) => {
                message::say(&line);
                ExitCode::from(STATUS_OURS)
            }
        },
        Ok(Cli { command: Command::Apply(options) }) => match layers::apply(&options) {
            Ok(note) => {
                if let Some(line) = note {
                    message::say(&line);
                }
                ExitCode::SUCCESS
            }
            Err(line) => {
                message::say(&line);
                ExitCode::from(STATUS_OURS)
            }
        },
        Ok(Cli { command: Command::Oci(options) }) => ExitCode::from(oci::run(&options)),
        Ok(Cli { command: Command::Syscalls(options) }) => message::print_all(&syscalls::list(&options)),
        Ok(Cli { command: Command::Doctor(options) }) => {
            let (text, runs) = doctor::report(&options);
            let printed = message::print_all(&text);
            if runs { printed } else { ExitCode::from(STATUS_OURS) }
        }
        Ok(Cli { command: Command::Completions(options) }) => message::print_all(&pages::completions(&options)),
        Ok(Cli { command: Command::Man(options) }) => match pages::manual(&options) {
            Ok(text) => message::print_all(&text),
            Err(line) => {
                message::say(&line);
                ExitCode::from(STATUS_OURS)
            }
        },
        Err(e) if e.use_stderr() => {
            let text = e.to_string();
            message::say_all(text.trim_start_matches("error: ").trim_end());
            ExitCode::from(STATUS_OURS)
        }
        Err(e) => message::print_all(&e.to_string()),
    }
}
