//! The side of a terminal that programs read and write.

use alloc::sync::Arc;
use core::any::Any;
use core::time::Duration;

use crate::event::{Events, Observer};
use crate::fs::{File, Inode};
use crate::io::{Dest, Source};
use crate::platform::{Instant, host};
use crate::{Error, Result};

use super::TerminalSignal;
use super::pty::{CHUNK, Pair, PairState, io_events};
use super::settings::{VMIN, VTIME};

/// An open slave.
pub(super) struct Slave {
    pub pair: Arc<Pair>,
    node: Arc<dyn Inode>,
    generation: u32,
}

/// A file was opened without `O_NOCTTY`: a terminal that controls no session becomes that of the caller's, if the
/// caller leads one that has none.
pub fn opened(file: &dyn File) {
    let Some(slave) = file.as_any().downcast_ref::<Slave>() else { return };
    if let Some(caller) = slave.pair.terminals.upgrade().and_then(|t| t.caller()) {
        // Refused to everybody else, which is no error of the open.
        let _ = slave.pair.become_controlling(&caller);
    }
}

impl Slave {
    /// `Io` while it is locked or when the master is gone.
    pub fn open(pair: &Arc<Pair>, node: Arc<dyn Inode>) -> Result<Arc<dyn File>> {
        let generation = {
            let mut state = pair.state.lock();
            if state.locked || !state.master {
                return Err(Error::Io);
            }
            if state.exclusive[0] && pair.terminals.upgrade().and_then(|t| t.caller()).is_some_and(|c| c.uid != 0) {
                return Err(Error::Busy);
            }
            state.slaves += 1;
            state.slaves_gone = false;
            state.generation
        };
        Ok(Arc::new(Self { pair: pair.clone(), node, generation }))
    }
    /// Whether it hung up since it was opened.
    fn dead(&self, state: &PairState) -> bool {
        state.generation != self.generation
    }
}

impl Pair {
    /// Stops a caller in the background of its controlling terminal, if this is it.
    pub(super) fn check_foreground(&self, signal: TerminalSignal) -> Result<()> {
        let (session, foreground) = {
            let state = self.state.lock();
            (state.session, state.foreground)
        };
        let Some(jobs) = self.terminals.upgrade().and_then(|t| t.jobs()).filter(|_| session.is_some()) else {
            return Ok(());
        };
        match jobs.caller() {
            Some(caller) if session == Some(caller.session) && caller.group != foreground && foreground > 0 => {
                jobs.stop_background(&caller, signal)
            }
            _ => Ok(()),
        }
    }
}

impl PairState {
    /// How many bytes a raw read waits for, and how long at most.
    fn read_thresholds(&self) -> (usize, Duration) {
        let characters = &self.line.settings.characters;
        let tenths = characters.get(VTIME).copied().unwrap_or(0);
        (characters.get(VMIN).copied().unwrap_or(1).into(), Duration::from_millis(u64::from(tenths) * 100))
    }
    /// Whether a read of the slave ends now. `want`: bytes it can take.
    fn slave_reads(&mut self, want: usize) -> Result<()> {
        if self.line.settings.canonical() {
            return if self.line.has_line() { Ok(()) } else { Err(Error::WouldBlock) };
        }
        let (least, wait) = self.read_thresholds();
        let have = self.line.input_len();
        if have >= want || (have >= least && (have > 0 || wait.is_zero())) {
            return Ok(());
        }
        if wait.is_zero() || (least > 0 && have == 0) {
            return Err(Error::WouldBlock);
        }
        let now = host().instant();
        let deadline = *self.deadline.get_or_insert(now.saturating_add(wait));
        if now >= deadline { Ok(()) } else { Err(Error::WouldBlock) }
    }
}

impl File for Slave {
    fn signals_owner(&self) -> bool {
        true
    }
    fn inode(&self) -> Arc<dyn Inode> {
        self.node.clone()
    }
    fn is_stream(&self) -> bool {
        true
    }
    fn read_at(&self, dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        if dest.remaining() == 0 {
            return Ok(0);
        }
        self.pair.check_foreground(TerminalSignal::BackgroundRead)?;
        if self.pair.outside.is_some() && !self.ready().contains(Events::IN) {
            // Typed and not brought yet; or the user has put the sandbox into the background, where it stops for this.
            self.pair.pump_for_reader();
        }
        // Who reads at the same time gets what is behind.
        let _reading = self.pair.slave_reading.lock();
        let bytes = {
            let mut state = self.pair.state.lock();
            if self.dead(&state) {
                return Ok(0);
            }
            state.slave_reads(dest.remaining())?;
            state.deadline = None;
            state.line.peek_input(dest.remaining())
        };
        let n = dest.put(&bytes)?;
        self.pair.state.lock().line.take_input(n);
        if self.pair.outside.is_some() {
            // There may be room for what waits outside.
            self.pair.pump();
        }
        self.pair.changed();
        Ok(n)
    }
    fn write_at(&self, source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        if self.pair.state.lock().line.settings.stops_background() {
            self.pair.check_foreground(TerminalSignal::BackgroundWrite)?;
        }
        let mut chunk = [0u8; CHUNK];
        let mut done = 0;
        while source.remaining() > 0 {
            let (dead, room) = {
                let state = self.pair.state.lock();
                (self.dead(&state), state.line.takes_output())
            };
            if dead {
                return if done > 0 { Ok(done) } else { Err(Error::Io) };
            }
            if !room {
                break;
            }
            let n = match source.take(&mut chunk) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(n) => n,
            };
            let mut state = self.pair.state.lock();
            for byte in chunk.get(..n).unwrap_or_default() {
                state.line.put_output(*byte);
            }
            done += n;
        }
        self.pair.changed();
        if done == 0 && source.remaining() > 0 { Err(Error::WouldBlock) } else { Ok(done) }
    }
    fn ioctl(&self, request: u32, arg: usize) -> Result<usize> {
        let dead = self.dead(&self.pair.state.lock());
        if dead { Err(Error::Io) } else { self.pair.request(request, arg, false) }
    }
    fn ready(&self) -> Events {
        let state = self.pair.state.lock();
        if self.dead(&state) {
            return io_events(true, true) | Events::HUP | Events::ERR;
        }
        let (least, wait) = state.read_thresholds();
        let readable = if state.line.settings.canonical() {
            state.line.has_line()
        } else {
            state.line.input_len() >= if wait.is_zero() { least.max(1) } else { 1 }
        };
        io_events(readable, state.line.takes_output())
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.pair.slave_queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.pair.slave_queue.remove(observer);
    }
    fn is_timed(&self) -> bool {
        true
    }
    fn expire(&self) -> Option<Instant> {
        self.pair.state.lock().deadline
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Drop for Slave {
    fn drop(&mut self) {
        {
            let mut state = self.pair.state.lock();
            if self.dead(&state) {
                return;
            }
            state.slaves = state.slaves.saturating_sub(1);
            state.slaves_gone = state.slaves == 0;
        }
        self.pair.master_queue.notify(Events::all());
    }
}
