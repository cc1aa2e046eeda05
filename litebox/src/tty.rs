//! Terminals: the line between a master and its slave (termios(3), pty(7)), and the terminal that the sandbox was
//! started on.
//!
//! - `settings`: struct termios and its older and newer shapes. `line`: what the line discipline makes of input and
//!   output; pure, without files.
//! - `pty`: pairs and their masters. `slave`: the side that programs read and write, with job control. `requests`:
//!   ioctl requests. `packet`: packet mode.
//! - `outside`: the console, a pair whose master is the terminal of the user.
//! - `terminals`: all pairs of a sandbox, and whose session each controls. `directory`: /dev/pts.

mod directory;
mod line;
mod outside;
mod packet;
mod pty;
mod requests;
mod settings;
mod slave;
mod terminals;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

pub use directory::PtsFs;
pub use pty::number_of_master;
pub use slave::opened;
pub use terminals::Terminals;

use crate::Result;

/// What a terminal sends to processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TerminalSignal {
    /// The interrupt character.
    Interrupt,
    /// The quit character.
    Quit,
    /// The suspend character.
    Suspend,
    /// A background group reads.
    BackgroundRead,
    /// A background group writes or changes settings.
    BackgroundWrite,
    /// The other side is gone.
    HangUp,
    /// Go on, to be able to notice.
    Continue,
    /// The window has another size.
    WindowChange,
}

/// The process that asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    /// Its id.
    pub pid: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The first process of its container; `None`: it is in none but the sandbox.
    pub container: Option<i32>,
}

/// What terminals need to know of processes, and do to them.
pub trait Jobs: Send + Sync {
    /// Who asks; `None` outside guest processes.
    fn caller(&self) -> Option<Caller>;
    /// Sends a signal to all processes of a group.
    fn signal_group(&self, group: i32, signal: TerminalSignal);
    /// Sends a signal to one process.
    fn signal_process(&self, pid: i32, signal: TerminalSignal);
    /// The session of a process group; `None`: there is no such group.
    fn session_of(&self, group: i32) -> Option<i32>;
    /// The caller's group is in the background and wants to read or to write. `Ok`: it does not mind the signal and may
    /// write. `Interrupted`: the group was sent it. `Io`: nobody would continue it, or it reads and does not mind the
    /// signal.
    fn stop_background(&self, caller: &Caller, signal: TerminalSignal) -> Result<()>;
}
