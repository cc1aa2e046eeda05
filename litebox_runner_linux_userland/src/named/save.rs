//! `litebox save`: what was changed in a sandbox that runs, as `litebox run --save` saves it at the end.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use clap::Args;
use litebox_protocol::control::{StartHead, What};
use rustix::fs::OFlags;

use super::connection::{Connection, Heard, Start};
use super::directory::{Directory, State};
use super::record::Record;
use super::relay::null;
use super::status_of;
use crate::results;

/// The number of what saves on its connection: there is nothing else.
const SAVER: u32 = 1;

/// Options of `litebox save`.
#[derive(Args)]
pub struct Options {
    /// The sandbox.
    name: String,
    /// Where to: an archive, or a new directory. `litebox apply` brings it onto a directory.
    #[arg(value_name = "FILE.tar[.zst]|DIR")]
    file: PathBuf,
}

/// `litebox save`.
pub fn save(options: &Options) -> u8 {
    let failed = |why| format!("nothing was saved to {}: {why}", options.file.display());
    match perform(options).map_err(failed) {
        Ok(Some(left_out)) => status_of(Err(left_out)),
        Ok(None) => status_of(Ok(format!("{}\n", options.name))),
        Err(why) => status_of(Err(why)),
    }
}

/// Says what was left out, if anything was.
fn perform(options: &Options) -> Result<Option<String>, String> {
    let name = &options.name;
    let directory = Directory::open(name)?;
    if directory.state() == State::Ended {
        return Err(format!("the sandbox {name} has ended, and what it changed is gone (litebox run -d --save)"));
    }
    let mut connection = Connection::open(name)?;
    let most = most_saved(&directory)?;
    let kept = results::save(&options.file, most, |to| start(&mut connection, &to))?;
    loop {
        match connection.next()? {
            // Why it could not be told says more than what was missing in it.
            Heard::Ended(_, why) if !why.is_empty() => return Err(why),
            Heard::Ended(..) => return kept,
            Heard::Over(_) => return kept.map_err(|_| format!("the sandbox {name} has ended")),
            _ => {}
        }
    }
}

/// Has the sandbox tell its changes to a pipe.
fn start(connection: &mut Connection, to: &OwnedFd) -> Result<(), String> {
    let no_stream = |e| format!("/dev/null: {e}");
    let (input, errors) = (null(OFlags::RDONLY).map_err(no_stream)?, null(OFlags::WRONLY).map_err(no_stream)?);
    let head = StartHead { what: What::Save as u32, ..StartHead::default() };
    let start = Start { head, arguments: &[b"save".to_vec()], ..Start::default() };
    connection.start(SAVER, &start, [input.as_fd(), to.as_fd(), errors.as_fd()])
}

/// Bytes of files that may be saved of a sandbox: what comes out of it is not trusted.
fn most_saved(directory: &Directory) -> Result<u64, String> {
    let text = directory.read_config().map_err(|e| format!("config.json: {}", results::plain(&e)))?;
    let record: Record = serde_json::from_str(&text).map_err(|e| format!("config.json: {e}"))?;
    Ok(record.host_config.most_saved)
}
