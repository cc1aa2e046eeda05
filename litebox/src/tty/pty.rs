//! A pair of master and slave, and the open master.

use alloc::sync::{Arc, Weak};
use core::any::Any;

use crate::event::{Events, Observer, WaitQueue};
use crate::fs::dev::device_number;
use crate::fs::{File, Inode};
use crate::io::{Dest, Source};
use crate::platform::Instant;
use crate::sync::Mutex;
use crate::{Error, Result};

use super::Terminals;
use super::line::Line;
use super::outside::Outside;
use super::packet::{Before, DATA, Packet};

/// Bytes moved at a time.
pub(super) const CHUNK: usize = 1024;
/// First of the major numbers of slaves.
const SLAVE_MAJOR: u32 = 136;

#[expect(clippy::struct_excessive_bools, reason = "independent facts of both sides")]
pub(super) struct PairState {
    pub line: Line,
    /// Rows, columns, and pixels both ways.
    pub window: [u8; 8],
    pub locked: bool,
    pub master: bool,
    /// Open slaves of this generation.
    pub slaves: u32,
    /// A slave was open and none is.
    pub slaves_gone: bool,
    /// How often it hung up: slaves that were opened before are dead.
    pub generation: u32,
    /// Whose controlling terminal it is.
    pub session: Option<i32>,
    pub foreground: i32,
    /// Until when a read with VTIME waits.
    pub deadline: Option<Instant>,
    /// A thread writes the output to the terminal outside.
    pub draining: bool,
    pub packet: Packet,
    /// Not to be opened any more (TIOCEXCL): of the slave and of the master.
    pub exclusive: [bool; 2],
}

/// A master with its slave.
pub(super) struct Pair {
    pub number: u32,
    pub owner: Mutex<(u32, u32, u32)>,
    /// Whose /dev/pts shows it: the first process of a container; `None`: the sandbox's.
    pub container: Option<i32>,
    pub terminals: Weak<Terminals>,
    pub state: Mutex<PairState>,
    /// Held by who reads the slave, from the look at the input until it is taken; no fault wants it.
    pub slave_reading: Mutex<()>,
    /// The same of the master.
    pub master_reading: Mutex<()>,
    /// Held by who writes to the master.
    pub master_writing: Mutex<()>,
    /// What the master is, when it is no file of ours.
    pub outside: Option<Outside>,
    pub master_queue: WaitQueue,
    pub slave_queue: WaitQueue,
}

impl Pair {
    pub(super) fn new(
        terminals: &Arc<Terminals>,
        number: u32,
        (owner, container): ((u32, u32), Option<i32>),
        outside: Option<Outside>,
    ) -> Self {
        let state = PairState {
            line: Line::default(),
            window: [0; 8],
            locked: true,
            master: true,
            slaves: 0,
            slaves_gone: false,
            generation: 0,
            session: None,
            foreground: 0,
            deadline: None,
            draining: false,
            packet: Packet::default(),
            exclusive: [false; 2],
        };
        Self {
            number,
            owner: Mutex::new((owner.0, owner.1, 0o620)),
            container,
            terminals: Arc::downgrade(terminals),
            state: Mutex::new(state),
            slave_reading: Mutex::new(()),
            master_reading: Mutex::new(()),
            master_writing: Mutex::new(()),
            outside,
            master_queue: WaitQueue::new(),
            slave_queue: WaitQueue::new(),
        }
    }
    /// The device number of the slave.
    pub fn device(&self) -> u64 {
        device_number(SLAVE_MAJOR + self.number / 256, self.number % 256)
    }
    /// Tells both sides that something changed.
    pub fn changed(&self) {
        if self.outside.is_some() {
            self.drain();
        }
        let both = Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM;
        self.master_queue.notify(both | Events::PRI);
        self.slave_queue.notify(both);
    }
    /// Bytes typed at the other side.
    pub fn type_bytes(&self, bytes: &[u8]) {
        for byte in bytes {
            let signal = {
                let mut guard = self.state.lock();
                let state = &mut *guard;
                let before = Before::of(&state.line);
                let signal = state.line.type_byte(*byte);
                state.packet.compare(before, &state.line);
                if signal.is_some() && !state.line.settings.keeps_on_signal() {
                    state.packet.input_flushed();
                    state.packet.output_flushed();
                }
                signal
            };
            if let Some(signal) = signal {
                self.signal(signal);
            }
        }
    }
}

pub(super) fn io_events(readable: bool, writable: bool) -> Events {
    let mut events = Events::empty();
    events.set(Events::IN | Events::RDNORM, readable);
    events.set(Events::OUT | Events::WRNORM, writable);
    events
}

/// An open master.
pub(super) struct Master {
    pub pair: Arc<Pair>,
    pub node: Arc<dyn Inode>,
}

/// The number of the terminal whose master `file` is; `None`: it is no master.
pub fn number_of_master(file: &dyn File) -> Option<u32> {
    file.as_any().downcast_ref::<Master>().map(|master| master.pair.number)
}

impl File for Master {
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
        let _reading = self.pair.master_reading.lock();
        let (packet, bytes) = {
            let mut state = self.pair.state.lock();
            if let Some(news) = state.packet.take_news() {
                drop(state);
                return dest.put(&[news]);
            }
            if state.line.output_len() == 0 {
                return Err(if state.slaves_gone { Error::Io } else { Error::WouldBlock });
            }
            let packet = usize::from(state.packet.on);
            (packet, state.line.peek_output((dest.remaining() - packet).min(CHUNK)))
        };
        if packet > 0 {
            dest.put(&[DATA])?;
        }
        let n = dest.put(&bytes)?;
        self.pair.state.lock().line.take_output(n);
        self.pair.changed();
        Ok(n + packet)
    }
    fn write_at(&self, source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        let mut chunk = [0u8; CHUNK];
        let mut done = 0;
        // What there is room for is this caller's.
        let _writing = self.pair.master_writing.lock();
        while source.remaining() > 0 {
            let room = self.pair.state.lock().line.input_room().min(CHUNK);
            if room == 0 {
                break;
            }
            let n = match source.take(chunk.get_mut(..room).unwrap_or_default()) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(n) => n,
            };
            self.pair.type_bytes(chunk.get(..n).unwrap_or_default());
            done += n;
        }
        self.pair.changed();
        if done == 0 && source.remaining() > 0 { Err(Error::WouldBlock) } else { Ok(done) }
    }
    fn ioctl(&self, request: u32, arg: usize) -> Result<usize> {
        self.pair.request(request, arg, true)
    }
    fn ready(&self) -> Events {
        let state = self.pair.state.lock();
        let mut events = io_events(state.line.output_len() > 0, state.line.takes_input());
        if state.packet.has_news() {
            events |= Events::IN | Events::RDNORM | Events::PRI;
        }
        if state.slaves_gone { events | Events::HUP } else { events }
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.pair.master_queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.pair.master_queue.remove(observer);
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.pair.hang_up(false);
    }
}
