//! The console: a terminal of ours whose other side is the terminal that the sandbox was started on.
//!
//! `litebox` makes that terminal raw while it is in the foreground, so that every byte typed there arrives here and our
//! line discipline alone makes lines, echo and signals of it. The sandbox cannot read it itself: the broker does so for
//! it, and in the background not at all. The supervisor asks for input whenever there is some; output is written by the
//! thread that made it, or by the supervisor when that thread could not wait.
//!
//! The other side can also be two pipes, whose other ends a program of the user's holds: what comes was typed at its
//! terminal, which is none of ours. It tells us the size of its window.

use core::time::Duration;
use litebox_common_linux::abi::ioctl::TIOCGWINSZ;

use crate::platform::{HostFd, Instant, host};
use crate::sync::Mutex;
use crate::{Error, Result};

use super::TerminalSignal;
use super::pty::{CHUNK, Pair};

const POLLIN: u16 = 1;
const POLLOUT: u16 = 4;
const POLLERR: u16 = 8;
const POLLHUP: u16 = 16;
/// How long the end of the sandbox waits for a terminal that takes no output.
const LAST_WAIT: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_millis(2);

/// The terminal outside.
pub(super) struct Outside {
    input: HostFd,
    output: HostFd,
    /// They are pipes, and ours to close.
    pipes: bool,
    /// Held by who moves input, so that it stays in order.
    reading: Mutex<()>,
}

impl Outside {
    pub fn new(input: HostFd, output: HostFd) -> Self {
        Self { input, output, pipes: false, reading: Mutex::new(()) }
    }
    /// Two pipes, which are closed with it.
    pub fn of_pipes(input: HostFd, output: HostFd) -> Self {
        Self { input, output, pipes: true, reading: Mutex::new(()) }
    }
    /// Reads what was typed, without waiting: it is known whether there is something (`ready`).
    fn read_typed(&self, chunk: &mut [u8], ready: bool, waits: bool) -> Result<usize> {
        if !self.pipes {
            return host().read_terminal(self.input, chunk, waits);
        }
        // Nobody else reads there, so what is there stays until then.
        // SAFETY: kernel memory of that length.
        if ready { unsafe { host().host_read(self.input, chunk.as_mut_ptr() as usize, chunk.len()) } } else { Ok(0) }
    }
    /// Whether the host means this terminal by `token`: tokens are descriptors.
    pub fn has_token(&self, token: u64) -> bool {
        [self.input, self.output].iter().any(|fd| u64::from(fd.0.unsigned_abs()) == token)
    }
    /// The supervisor is to go on when the terminal takes output again.
    fn watch_output(&self) {
        let events = if self.input == self.output { POLLIN | POLLOUT } else { POLLOUT };
        // Anew, so that a terminal that takes output already is told of, too. It may not have been watched.
        let _ = watch(self.output, 0);
        let _ = watch(self.output, events);
    }
    /// Whether nobody is there any more.
    pub fn is_gone(&self) -> bool {
        ready_for(self.input, POLLIN) & (POLLHUP | POLLERR) != 0
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        if self.pipes {
            for fd in [self.input, self.output] {
                // Somebody else has it open, too, so the host would go on to watch it.
                let _ = watch(fd, 0);
                host().host_close(fd);
            }
        }
    }
}

impl Pair {
    /// Has the supervisor told of input.
    pub(super) fn watch_outside(&self) {
        let Some(outside) = &self.outside else { return };
        let events = if outside.input == outside.output { POLLIN | POLLOUT } else { POLLIN };
        // The host watches every terminal.
        let _ = watch(outside.input, events);
        self.take_window();
    }

    /// Takes the size of the window over.
    pub(super) fn take_window(&self) {
        let Some(outside) = self.outside.as_ref().filter(|outside| !outside.pipes) else { return };
        let mut window = [0u8; 8];
        // SAFETY: the request writes `struct winsize`, eight bytes, into kernel memory with room for it.
        if unsafe { host().host_ioctl(outside.input, TIOCGWINSZ, window.as_mut_ptr() as usize) }.is_ok() {
            self.resize(window);
        }
    }

    /// In the background outside of the sandbox: a program there is about to change the terminal, and stops. What it
    /// was about to do goes on afterwards.
    pub(super) fn claim_outside(&self) -> Result<()> {
        let Some(outside) = self.outside.as_ref().filter(|outside| !outside.pipes) else { return Ok(()) };
        match host().set_terminal(outside.input, None, 0) {
            Err(Error::WouldBlock) => Err(Error::Interrupted),
            // Orphaned, and so nobody could continue it.
            Err(Error::Io) => Err(Error::Io),
            _ => Ok(()),
        }
    }

    /// Brings what was typed outside, as far as there is room, and takes output there that waits.
    pub(super) fn pump(&self) {
        self.bring_typed(false);
    }

    /// As [`Pair::pump`], for a program that waits for it.
    pub(super) fn pump_for_reader(&self) {
        self.bring_typed(true);
    }

    fn bring_typed(&self, mut reader: bool) {
        let Some(outside) = &self.outside else { return };
        let mut gone = false;
        let mut came = false;
        {
            let _turn = outside.reading.lock();
            while self.state.lock().line.takes_input() {
                let ready = ready_for(outside.input, POLLIN);
                let mut chunk = [0u8; CHUNK];
                let waits = core::mem::take(&mut reader);
                let count = if ready & POLLIN == 0 && !waits {
                    0
                } else {
                    outside.read_typed(&mut chunk, ready & POLLIN != 0, waits).unwrap_or(0)
                };
                if count == 0 {
                    gone = ready & (POLLHUP | POLLERR) != 0;
                    break;
                }
                self.type_bytes(chunk.get(..count).unwrap_or_default());
                came = true;
            }
        }
        if gone && self.state.lock().master {
            self.hang_up(false);
        }
        if came || self.state.lock().line.output_len() > 0 {
            self.changed();
        }
    }

    /// Writes waiting output to the terminal outside. One thread does it at a time; what others add meanwhile it takes
    /// along.
    pub(super) fn drain(&self) {
        // A guest's thread waits for the terminal, where signals reach it; the supervisor must not.
        self.drain_to(!host().current_north().is_null());
    }

    fn drain_to(&self, patient: bool) {
        let Some(outside) = &self.outside else { return };
        {
            let mut state = self.state.lock();
            if state.draining || state.line.stopped || state.line.output_len() == 0 {
                return;
            }
            state.draining = true;
        }
        loop {
            let bytes = {
                let mut state = self.state.lock();
                if state.line.stopped || state.line.output_len() == 0 {
                    state.draining = false;
                    break;
                }
                let bytes = state.line.peek_output(CHUNK);
                state.line.take_output(bytes.len());
                bytes
            };
            let written = if patient || ready_for(outside.output, POLLOUT) & POLLOUT != 0 {
                // SAFETY: kernel memory of that length.
                unsafe { host().host_write(outside.output, bytes.as_ptr() as usize, bytes.len()) }
            } else {
                Err(Error::WouldBlock)
            };
            let left = bytes.get(written.unwrap_or(0)..).unwrap_or_default();
            match written {
                Err(Error::Interrupted | Error::WouldBlock) => {
                    let mut state = self.state.lock();
                    state.line.give_back_output(left);
                    state.draining = false;
                    drop(state);
                    outside.watch_output();
                    break;
                }
                // Nobody is there any more.
                Err(_) => {
                    let mut state = self.state.lock();
                    state.line.flush_output();
                    state.draining = false;
                    break;
                }
                Ok(_) if !left.is_empty() => self.state.lock().line.give_back_output(left),
                Ok(_) => {}
            }
        }
    }

    pub(super) fn flush_outside(&self) {
        let until = host().instant().saturating_add(LAST_WAIT);
        loop {
            self.drain_to(false);
            let done = {
                let state = self.state.lock();
                state.line.stopped || (state.line.output_len() == 0 && !state.draining)
            };
            if done || host().instant() >= until {
                return;
            }
            pause(host().instant().saturating_add(LAST_PAUSE));
        }
    }

    /// TIOCSWINSZ.
    pub(super) fn resize(&self, window: [u8; 8]) {
        let before = core::mem::replace(&mut self.state.lock().window, window);
        if before != window {
            self.signal(TerminalSignal::WindowChange);
        }
    }
}

fn pause(until: Instant) {
    let word = core::sync::atomic::AtomicU32::new(0);
    let _ = host().futex_wait(&word, 0, Some(until));
}

/// What a descriptor is ready for; one that cannot be asked has failed.
fn ready_for(fd: HostFd, events: u16) -> u16 {
    host().host_poll(fd, events).unwrap_or(POLLERR)
}

/// Has the supervisor told of these events, by the descriptor's number.
fn watch(fd: HostFd, events: u16) -> Result<()> {
    host().host_watch(fd, events, u64::from(fd.0.unsigned_abs()))
}
