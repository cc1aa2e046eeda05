//! Ending, pausing, waiting for and forgetting sandboxes.

use std::time::Duration;

use clap::Args;
use litebox_protocol::control::{Call, FIRST_PROGRAM};
use rustix::io::Errno;

use super::connection::Connection;
use super::directory::{Directory, State};
use super::each;
use super::record::End;
use crate::limits::parse_duration;
use crate::options::process::parse_signal;

/// Which sandboxes.
#[derive(Args)]
pub struct Names {
    /// The sandboxes.
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}

/// Options of `litebox stop`.
#[derive(Args)]
pub struct Stop {
    /// How long the program may take to end before it is killed: seconds, or a time such as 500ms.
    #[arg(short = 't', long, alias = "timeout", value_name = "TIME", value_parser = parse_duration)]
    time: Option<Duration>,
    #[command(flatten)]
    which: Names,
}

/// Options of `litebox kill`.
#[derive(Args)]
pub struct Kill {
    /// The signal, by name or number.
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL", value_parser = parse_signal)]
    signal: i32,
    #[command(flatten)]
    which: Names,
}

/// Options of `litebox rm`.
#[derive(Args)]
pub struct Remove {
    /// End it first, if it runs.
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    which: Names,
}

fn done(result: Result<(), Errno>, what: &str) -> Result<(), String> {
    result.map_err(|e| format!("{what}: {e}"))
}

/// `litebox stop`.
pub fn stop(options: &Stop) -> u8 {
    each(&options.which.names, |name| {
        let directory = Directory::open(name)?;
        if directory.state() == State::Running {
            let mut connection = Connection::to(&directory)?;
            let time = options.time.map_or(u64::MAX, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 1));
            done(connection.call(Call::Stop, FIRST_PROGRAM, time)?, "stop")?;
            // It may end before it is asked.
            let _ = connection.wait_over();
            wait_for_end(&directory);
        }
        Ok(format!("{name}\n"))
    })
}

/// The broker tells of the end a moment before it is gone.
fn wait_for_end(directory: &Directory) {
    const PATIENCE: u32 = 5000;
    for _ in 0..PATIENCE {
        if directory.state() != State::Running {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// `litebox kill`.
pub fn kill(options: &Kill) -> u8 {
    each(&options.which.names, |name| {
        let mut connection = Connection::open(name)?;
        let signal = u64::from(options.signal.unsigned_abs());
        done(connection.call(Call::Signal, FIRST_PROGRAM, signal)?, "kill")?;
        Ok(format!("{name}\n"))
    })
}

/// `litebox wait`.
pub fn wait(options: &Names) -> u8 {
    each(&options.names, |name| {
        let directory = Directory::open(name)?;
        if directory.state() == State::Running {
            // It may end before it is asked.
            if let Ok(status) = Connection::to(&directory).and_then(|mut connection| connection.wait_over()) {
                wait_for_end(&directory);
                return Ok(format!("{status}\n"));
            }
            wait_for_end(&directory);
        }
        let text =
            directory.read_end().map_err(|_| format!("the sandbox {name} was killed: nobody knows its status"))?;
        let end: End = serde_json::from_str(&text).map_err(|e| format!("the sandbox {name}: end.json: {e}"))?;
        Ok(format!("{}\n", end.exit_code))
    })
}

/// `litebox rm`.
pub fn remove(options: &Remove) -> u8 {
    each(&options.which.names, |name| {
        let mut directory = Directory::open(name)?;
        if directory.state() == State::Running {
            if !options.force {
                return Err(format!("the sandbox {name} runs: stop it first, or use rm -f"));
            }
            if let Ok(mut connection) = Connection::to(&directory) {
                connection.call(Call::Signal, FIRST_PROGRAM, 9)?.map_err(|e| format!("rm {name}: {e}"))?;
                // It may have ended before it was asked.
                let _ = connection.wait_over();
            }
            wait_for_end(&directory);
        }
        match directory.remove_idle() {
            Ok(false) if directory.state() == State::Running => return Err(format!("the sandbox {name} runs")),
            // Removed, or its own broker was faster (--rm).
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(format!("rm {name}: {e}")),
        }
        Ok(format!("{name}\n"))
    })
}

/// `litebox pause` and `unpause`.
pub fn pause(options: &Names, paused: bool) -> u8 {
    each(&options.names, |name| {
        let mut connection = Connection::open(name)?;
        let call = if paused { Call::Pause } else { Call::Resume };
        connection.call(call, FIRST_PROGRAM, 0)?.map_err(|e| match e {
            Errno::ALREADY if paused => format!("the sandbox {name} is paused already"),
            Errno::ALREADY => format!("the sandbox {name} is not paused"),
            other => format!("the sandbox {name}: {other}"),
        })?;
        Ok(format!("{name}\n"))
    })
}
