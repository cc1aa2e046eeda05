//! Sandboxes with a name: what `litebox run -d` and `--name` leave for other commands to find, and these commands,
//! named as docker's are.
//!
//! There is no daemon. Each sandbox has a directory of its user's ([`directory`]), and its broker serves a socket
//! there.
//! - [`detach`] is `litebox run -d`; [`log`] what such a sandbox writes; [`record`] what is told of it.
//! - [`connection`] talks to a broker. [`exec`] starts more programs, with [`relay`] between the user's streams and
//!   theirs.
//! - [`list`], [`end`], [`logs`], [`figures`], [`save`] are other commands; [`copy`] and [`top`] are those that have a
//!   program of the sandbox do the work ([`piped`]).

pub mod connection;
pub mod copy;
pub mod detach;
pub mod directory;
pub mod end;
pub mod exec;
pub mod figures;
pub mod list;
pub mod log;
pub mod logs;
pub mod piped;
pub mod record;
pub mod relay;
pub mod save;
pub mod time;
pub mod top;

use crate::message::say;
use crate::{STATUS_OURS, message};

/// Prints a line, or says why there is none. The exit status.
fn status_of(result: Result<String, String>) -> u8 {
    match result {
        Ok(text) => {
            message::print_all(&text);
            0
        }
        Err(why) => {
            say(&why);
            1
        }
    }
}

/// Does something with each of several sandboxes, and goes on when one fails. The exit status.
fn each(names: &[String], mut act: impl FnMut(&str) -> Result<String, String>) -> u8 {
    names.iter().map(|name| status_of(act(name))).max().unwrap_or(STATUS_OURS)
}
