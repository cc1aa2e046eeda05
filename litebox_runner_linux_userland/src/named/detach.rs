//! `litebox run -d`: the sandbox in the background, with a broker that leads a session of its own. Whoever started it
//! waits until the program runs, or could not be started.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use litebox_broker::control::Setup;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::directory::Directory;
use super::log::{self, Log};
use super::record::{self, End};
use super::relay::null;
use crate::message::{print_all, say};
use crate::options::Options;
use crate::run::{self, Named, NamedEnd};
use crate::status::Status;
use crate::{STATUS_OURS, streams};

/// Runs a sandbox in the background; returns when its program runs: the exit status for whoever started it.
pub fn start(options: &Options, told: Status) -> u8 {
    match start_or_say_why(options, told) {
        Ok(status) => status,
        Err(why) => {
            say(&why);
            STATUS_OURS
        }
    }
}

fn start_or_say_why(options: &Options, status: Status) -> Result<u8, String> {
    let id = record::new_id().map_err(|e| format!("--detach: {e}"))?;
    let name = options.process.name.clone().unwrap_or_else(|| record::name_of(&id));
    let (told, tell) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| format!("--detach: {e}"))?;
    // SAFETY: this process has no other threads yet, so the child may do what it likes.
    match unsafe { libc::fork() } {
        0 => {
            drop(told);
            // SAFETY: a plain system call: a child that was just made leads no group yet.
            unsafe { libc::setsid() };
            let status = serve(options, &id, &name, status, tell);
            // SAFETY: ends the process. What others do at their exit is the parent's.
            unsafe { libc::_exit(status.into()) }
        }
        child if child > 0 => {
            drop(tell);
            Ok(wait(child, &told, &name))
        }
        _ => Err("--detach: no room for another process".into()),
    }
}

/// Waits until the program runs.
fn wait(child: i32, told: &OwnedFd, name: &str) -> u8 {
    let mut byte = [0];
    let runs = loop {
        match rustix::io::read(told, &mut byte) {
            Err(Errno::INTR) => {}
            other => break other == Ok(1),
        }
    };
    if runs {
        let printed = print_all(&format!("{name}\n"));
        return u8::from(printed != std::process::ExitCode::SUCCESS);
    }
    let mut status = 0;
    // SAFETY: our own child, which has nothing left to do; one number is written.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } < 0
        && std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR)
    {}
    // What it said is in its log, which nobody needs any more.
    if let Ok(mut directory) = Directory::open(name) {
        if directory.read_end().is_ok() {
            for record in log::read_all(&directory) {
                let _ = std::io::stderr().write_all(&record.bytes);
            }
            let _ = directory.remove_idle();
        }
    }
    litebox_broker::server::exit_status(status)
}

/// The streams of a sandbox in the background.
struct Background {
    log: Log,
    /// Nobody types, and nobody says that nobody will.
    _held: Option<OwnedFd>,
    /// The user's stderr, until the sandbox runs.
    errors: OwnedFd,
}

/// Puts the standard streams where a sandbox in the background has them.
fn leave_streams(options: &Options, directory: &Directory) -> Result<Background, String> {
    let failed = |e: Errno| format!("--detach: {e}");
    let errors = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), 3).map_err(failed)?;
    let (output, their_output) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    let (more, their_errors) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    let log = Log::start(directory, [output, more]).map_err(|e| format!("--detach: the log: {e}"))?;
    let (input, held) = if options.process.interactive || options.process.tty {
        pipe_with(PipeFlags::CLOEXEC).map(|(read, write)| (read, Some(write))).map_err(failed)?
    } else {
        (null(OFlags::RDONLY).map_err(failed)?, None)
    };
    for (number, stream) in (0..).zip([&input, &their_output, &their_errors]) {
        // SAFETY: a plain system call. What the descriptor was is the parent's, too.
        if unsafe { libc::dup2(stream.as_fd().as_raw_fd(), number) } < 0 {
            return Err("--detach: no descriptors are left".into());
        }
    }
    streams::look_again();
    Ok(Background { log, _held: held, errors })
}

/// In the background: runs the sandbox to its end. `tell` is closed when it has ended.
fn serve(options: &Options, id: &str, name: &str, mut told: Status, tell: OwnedFd) -> u8 {
    let (named, background) = match prepare(options, id, name, tell) {
        Ok(prepared) => prepared,
        Err(why) => {
            say(&why);
            told.failed(STATUS_OURS, &why);
            return STATUS_OURS;
        }
    };
    let NamedEnd { directory, status, ran } = run::run_named(options, named, told, Some(background.errors));
    background.log.finish();
    // Of one that could not be started, whoever waits for that still wants to read what it said.
    if options.process.rm && ran {
        let _ = directory.remove();
    } else if let Ok(text) = serde_json::to_string(&End::now(status)) {
        let _ = directory.write_end(&text);
    }
    status
}

fn prepare(options: &Options, id: &str, name: &str, tell: OwnedFd) -> Result<(Named, Background), String> {
    let directory = Directory::create(name)?;
    let listener = directory.listen().map_err(|e| format!("--name {name}: {e}"))?;
    let background = leave_streams(options, &directory).inspect_err(|_| drop(directory.remove()))?;
    let setup = Setup { listener, ready: Some(tell) };
    Ok((Named { directory, id: id.into(), setup, detached: true }, background))
}
