//! Pseudo-terminals: the line between a master and its slave (termios(3), pty(7)).
//!
//! - `line`: what the line discipline makes of input and output; pure, without files.
//! - `pty`: masters and slaves as files, and [`Terminals`], which knows them all and whose session each controls.
//! - `requests`: their ioctl requests.
//! - `directory`: /dev/pts.

mod directory;
mod line;
mod pty;
mod requests;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

pub use directory::PtsFs;
pub use pty::{Caller, Jobs, Terminals};

/// What a terminal sends to processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TerminalSignal {
    /// The interrupt character.
    Interrupt,
    /// The quit character.
    Quit,
    /// The suspend character.
    Suspend,
    /// The other side is gone.
    HangUp,
    /// Go on, to be able to notice.
    Continue,
    /// The window has another size.
    WindowChange,
}
