//! The command `litebox`: runs a Linux program in a sandbox.
//!
//! The same executable is all processes of a sandbox: started by a user it is the broker ([`run`]); started by the broker with
//! [`SANDBOX_ARGUMENT`] it is the supervisor ([`sandbox`]), whose clones are the guest's processes.

mod config;
#[cfg(own_entry)]
mod entry;
mod limits;
mod mounts;
mod network;
mod run;
mod sandbox;
mod stats;
mod streams;
mod syscalls;

use std::alloc::System;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use litebox_platform_linux_userland::memory::heap::Allocator;
use litebox_protocol::plain::Plain;

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator(System);

litebox::register_north!(litebox_shim_linux::LinuxNorth);

/// What the broker calls the supervisor with.
const SANDBOX_ARGUMENT: &str = "--litebox-sandbox";
/// Exit status for failures of litebox itself, as `docker run` has it.
const STATUS_OURS: u8 = 125;

/// Runs unmodified Linux programs in a sandbox whose boundary the host kernel enforces.
#[derive(Parser)]
#[command(name = "litebox", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a program in a new sandbox.
    Run(Box<run::Options>),
    /// List the system calls: which are served, which are not and why.
    Syscalls(syscalls::Options),
}

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|a| a == SANDBOX_ARGUMENT) {
        sandbox::run(sandbox::aux_of_libc, sandbox::Used::default());
    }
    match Cli::try_parse() {
        Ok(Cli { command: Command::Run(options) }) => ExitCode::from(run::run(&options)),
        Ok(Cli { command: Command::Syscalls(options) }) => print_all(&syscalls::list(&options)),
        Err(e) if e.use_stderr() => {
            let text = e.to_string();
            let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            eprintln!("litebox: {} (see litebox --help)", Plain(line));
            ExitCode::from(STATUS_OURS)
        }
        Err(e) => {
            print!("{e}");
            ExitCode::SUCCESS
        }
    }
}

/// Prints `text`; a reader that goes away early is no failure.
fn print_all(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("litebox: cannot write: {e}");
            ExitCode::from(STATUS_OURS)
        }
    }
}
