//! `litebox exec`: starts a program in a sandbox that runs.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::{ArgAction, Args};
use litebox_broker::server::exit_status;
use litebox_protocol::control::{StartFlags, StartHead, What};
use rustix::fs::OFlags;

use super::connection::{Connection, Heard, Start};
use super::relay::{self, Carried, FORWARDED, Outcome, Raw, Streams};
use crate::STATUS_OURS;
use crate::environment::changes;
use crate::message::say;

/// Exit status of a program that the end of the sandbox killed.
const STATUS_KILLED: u8 = 137;
/// The number of the program on its connection: there is one.
const PROGRAM: u32 = 1;

/// Options of `litebox exec`.
#[derive(Args)]
pub struct Options {
    /// Pass on what stdin has. Without it the program has nothing to read.
    #[arg(short, long, action = ArgAction::SetTrue)]
    interactive: bool,
    /// Give the program a terminal.
    #[arg(short, long, action = ArgAction::SetTrue)]
    tty: bool,
    /// Do not wait for it.
    #[arg(short, long, action = ArgAction::SetTrue)]
    detach: bool,
    /// Set an environment variable; without a value, pass on the caller's.
    #[arg(short, long, value_name = "K[=V]")]
    env: Vec<OsString>,
    /// Set the environment variables of a file: K=V or K a line, # begins a comment.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Start in this directory of the sandbox; a relative one is meant from where its first program started.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Run as this user and group, by number or by name in the sandbox's /etc/passwd and /etc/group.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// The container of the sandbox that it is a program of.
    #[arg(long, value_name = "NAME", hide = true)]
    container: Option<String>,
    /// The sandbox.
    name: String,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

/// Runs it. The exit status is the program's.
pub fn exec(options: &Options) -> u8 {
    match run(options) {
        Ok(status) => status,
        Err(why) => {
            say(&why);
            STATUS_OURS
        }
    }
}

fn run(options: &Options) -> Result<u8, String> {
    if options.tty && options.interactive && !options.detach && !relay::is_terminal(0) {
        return Err("exec -t: stdin is not a terminal (leave -t away)".into());
    }
    let variables = changes(&options.env, &options.env_file)?;
    let arguments: Vec<Vec<u8>> = options.command.iter().map(|word| word.as_bytes().to_vec()).collect();
    let has_window = options.tty && relay::is_terminal(0);
    let (rows, columns) = if has_window { relay::window() } else { (24, 80) };
    let mut flags = StartFlags::empty();
    flags.set(StartFlags::TERMINAL, options.tty);
    flags.set(StartFlags::IN_CONTAINER, options.container.is_some());
    let head = StartHead { what: What::Program as u32, flags: flags.bits(), rows, columns, ..StartHead::default() };
    let start = Start {
        head,
        user: options.user.as_deref().unwrap_or_default().as_bytes(),
        workdir: options.workdir.as_ref().map(|dir| dir.as_os_str().as_bytes()).unwrap_or_default(),
        container: options.container.as_deref().unwrap_or_default().as_bytes(),
        arguments: &arguments,
        variables: &variables,
        ..Start::default()
    };
    let mut connection = Connection::open(&options.name)?;
    if options.detach {
        return start_only(&mut connection, &start);
    }
    let streams = Streams::new(options.interactive).map_err(|e| format!("exec: {e}"))?;
    connection.start(PROGRAM, &start, streams.theirs())?;
    let raw = (has_window && options.interactive).then(Raw::begin).flatten();
    let outcome = relay::run(
        &mut connection,
        PROGRAM,
        streams,
        &Carried { window: has_window, signals: &FORWARDED, ready: None },
    );
    drop(raw);
    Ok(status_of(outcome?, &options.name))
}

/// The exit status that says how a program ended; why it did not run is said here.
pub fn status_of(outcome: Outcome, sandbox: &str) -> u8 {
    match outcome {
        Outcome::Ended(status) => exit_status(status),
        Outcome::Refused(status, why) => {
            say(&why);
            exit_status(status)
        }
        Outcome::Over => {
            say(&format!("the sandbox {sandbox} has ended"));
            STATUS_KILLED
        }
    }
}

/// Starts it with nothing to read and nobody to hear it.
fn start_only(connection: &mut Connection, start: &Start<'_>) -> Result<u8, String> {
    let failed = |e| format!("/dev/null: {e}");
    let (input, output) = (relay::null(OFlags::RDONLY).map_err(failed)?, relay::null(OFlags::WRONLY).map_err(failed)?);
    connection.start(PROGRAM, start, [input.as_fd(), output.as_fd(), output.as_fd()])?;
    loop {
        match connection.next()? {
            Heard::Ended(status, why) if !why.is_empty() => {
                say(&why);
                return Ok(exit_status(status));
            }
            Heard::Started | Heard::Ended(..) => return Ok(0),
            Heard::Over(_) => return Err("the sandbox has ended".into()),
            _ => {}
        }
    }
}
