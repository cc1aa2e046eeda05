//! Masters and slaves, and who knows them all.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::time::Duration;

use crate::event::{Events, Observer, WaitQueue};
use crate::fs::host::Streams;
use crate::fs::{File, Inode};
use crate::io::{Dest, Source};
use crate::platform::{Instant, host};
use crate::sync::Mutex;
use crate::{Error, Result};

use super::TerminalSignal;
use super::line::{Line, VMIN, VTIME};

/// How many there may be (/proc/sys/kernel/pty/max).
const MOST_TERMINALS: u32 = 4096;
/// Bytes moved at a time.
const CHUNK: usize = 1024;

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
}

/// What terminals need to know of processes, and do to them.
pub trait Jobs: Send + Sync {
    /// Who asks; `None` outside guest processes.
    fn caller(&self) -> Option<Caller>;
    /// Sends a signal to all processes of a group.
    fn signal_group(&self, group: i32, signal: TerminalSignal);
    /// Whether there is such a group in the session.
    fn has_group(&self, session: i32, group: i32) -> bool;
}

/// All pseudo-terminals of a sandbox.
#[derive(Default)]
pub struct Terminals {
    pairs: Mutex<BTreeMap<u32, Weak<Pair>>>,
    jobs: Mutex<Option<Weak<dyn Jobs>>>,
    /// The standard streams, one of which may be the terminal outside.
    pub streams: Arc<Streams>,
}

impl Terminals {
    /// Who knows the processes.
    pub fn set_jobs(&self, jobs: Weak<dyn Jobs>) {
        *self.jobs.lock() = Some(jobs);
    }
    pub(super) fn jobs(&self) -> Option<Arc<dyn Jobs>> {
        self.jobs.lock().as_ref().and_then(Weak::upgrade)
    }
    pub(super) fn caller(&self) -> Option<Caller> {
        self.jobs().and_then(|jobs| jobs.caller())
    }
    /// Opens a new master (/dev/ptmx). `node` is the inode that was opened.
    pub fn open_master(self: &Arc<Self>, node: Arc<dyn Inode>) -> Result<Arc<dyn File>> {
        let owner = self.caller().map_or((0, 0), |c| (c.uid, c.gid));
        let mut pairs = self.pairs.lock();
        pairs.retain(|_, pair| pair.strong_count() > 0);
        let number = (0..MOST_TERMINALS).find(|n| !pairs.contains_key(n)).ok_or(Error::NoSpace)?;
        let pair = Arc::new(Pair::new(self, number, owner));
        pairs.insert(number, Arc::downgrade(&pair));
        Ok(Arc::new(Master { pair, node }))
    }
    /// The terminal /dev/pts/`number`, while its master is open.
    pub(super) fn pair(&self, number: u32) -> Option<Arc<Pair>> {
        self.pairs.lock().get(&number).and_then(Weak::upgrade).filter(|p| p.state.lock().master)
    }
    /// Numbers of all terminals.
    pub(super) fn numbers(&self) -> Vec<u32> {
        let pairs: Vec<(u32, Arc<Pair>)> =
            self.pairs.lock().iter().filter_map(|(n, p)| p.upgrade().map(|p| (*n, p))).collect();
        pairs.into_iter().filter(|(_, p)| p.state.lock().master).map(|(n, _)| n).collect()
    }
    /// The controlling terminal of the caller's session (/dev/tty), opened with `node`; `None` when it has none here.
    pub fn open_controlling(&self, node: &Arc<dyn Inode>) -> Option<Arc<dyn File>> {
        let session = self.caller()?.session;
        let pairs: Vec<Arc<Pair>> = self.pairs.lock().values().filter_map(Weak::upgrade).collect();
        let pair = pairs.into_iter().find(|p| p.state.lock().session == Some(session))?;
        Slave::open(&pair, node.clone()).ok()
    }
}

pub(super) struct State {
    pub line: Line,
    /// Rows, columns, and pixels both ways.
    pub window: [u8; 8],
    pub locked: bool,
    pub master: bool,
    pub slaves: u32,
    /// A slave was open and none is.
    pub slaves_gone: bool,
    /// Whose controlling terminal it is.
    pub session: Option<i32>,
    pub foreground: i32,
    /// Until when a read with VTIME waits.
    deadline: Option<Instant>,
}

/// A master with its slave.
pub(super) struct Pair {
    pub number: u32,
    pub owner: Mutex<(u32, u32, u32)>,
    pub terminals: Weak<Terminals>,
    pub state: Mutex<State>,
    pub master_queue: WaitQueue,
    pub slave_queue: WaitQueue,
}

impl Pair {
    fn new(terminals: &Arc<Terminals>, number: u32, owner: (u32, u32)) -> Self {
        let state = State {
            line: Line::default(),
            window: [0; 8],
            locked: true,
            master: true,
            slaves: 0,
            slaves_gone: false,
            session: None,
            foreground: 0,
            deadline: None,
        };
        Self {
            number,
            owner: Mutex::new((owner.0, owner.1, 0o620)),
            terminals: Arc::downgrade(terminals),
            state: Mutex::new(state),
            master_queue: WaitQueue::new(),
            slave_queue: WaitQueue::new(),
        }
    }
    /// Sends a signal to the foreground group.
    pub fn signal(&self, signal: TerminalSignal) {
        let group = self.state.lock().foreground;
        if group > 0 {
            if let Some(jobs) = self.terminals.upgrade().and_then(|t| t.jobs()) {
                jobs.signal_group(group, signal);
            }
        }
    }
    /// Tells both sides that something changed.
    pub fn changed(&self) {
        let both = Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM;
        self.master_queue.notify(both);
        self.slave_queue.notify(both);
    }
}

fn io_events(readable: bool, writable: bool) -> Events {
    let mut events = Events::empty();
    events.set(Events::IN | Events::RDNORM, readable);
    events.set(Events::OUT | Events::WRNORM, writable);
    events
}

/// An open master.
pub(super) struct Master {
    pub pair: Arc<Pair>,
    node: Arc<dyn Inode>,
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
        let bytes = {
            let state = self.pair.state.lock();
            if state.line.output_len() == 0 {
                return Err(if state.slaves_gone { Error::Io } else { Error::WouldBlock });
            }
            state.line.peek_output(dest.remaining().min(CHUNK))
        };
        let n = dest.put(&bytes)?;
        self.pair.state.lock().line.take_output(n);
        self.pair.changed();
        Ok(n)
    }
    fn write_at(&self, source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        let mut chunk = [0u8; CHUNK];
        let mut done = 0;
        while source.remaining() > 0 {
            let room = self.pair.state.lock().line.takes_input();
            if !room {
                break;
            }
            let n = match source.take(&mut chunk) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(n) => n,
            };
            for byte in chunk.get(..n).unwrap_or_default() {
                let signal = self.pair.state.lock().line.type_byte(*byte);
                if let Some(signal) = signal {
                    self.pair.signal(signal);
                }
            }
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
        let events = io_events(state.line.output_len() > 0, state.line.takes_input());
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
        let (session, group) = {
            let mut state = self.pair.state.lock();
            state.master = false;
            (state.session.take(), state.foreground)
        };
        // The terminal hangs up.
        if let Some(jobs) = self.pair.terminals.upgrade().and_then(|t| t.jobs()) {
            let leaders = session.into_iter().filter(|leader| *leader != group);
            for group in leaders.chain((group > 0).then_some(group)) {
                jobs.signal_group(group, TerminalSignal::HangUp);
                jobs.signal_group(group, TerminalSignal::Continue);
            }
        }
        self.pair.slave_queue.notify(Events::all());
    }
}

/// An open slave.
pub(super) struct Slave {
    pair: Arc<Pair>,
    node: Arc<dyn Inode>,
}

impl Slave {
    /// `Io` while it is locked or when the master is gone.
    pub fn open(pair: &Arc<Pair>, node: Arc<dyn Inode>) -> Result<Arc<dyn File>> {
        {
            let mut state = pair.state.lock();
            if state.locked || !state.master {
                return Err(Error::Io);
            }
            state.slaves += 1;
            state.slaves_gone = false;
        }
        Ok(Arc::new(Self { pair: pair.clone(), node }))
    }
}

impl State {
    /// How many bytes a raw read waits for, and how long at most.
    fn patience(&self) -> (usize, Duration) {
        let characters = &self.line.settings.characters;
        let tenths = characters.get(VTIME).copied().unwrap_or(0);
        (characters.get(VMIN).copied().unwrap_or(1).into(), Duration::from_millis(u64::from(tenths) * 100))
    }
    /// Whether a read of the slave ends now. `want`: bytes it can take.
    fn slave_reads(&mut self, want: usize) -> Result<()> {
        if self.line.settings.canonical() {
            return if self.line.has_line() { Ok(()) } else { Err(Error::WouldBlock) };
        }
        let (least, wait) = self.patience();
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
        let bytes = {
            let mut state = self.pair.state.lock();
            if let Err(error) = state.slave_reads(dest.remaining()) {
                return if state.master { Err(error) } else { Ok(0) };
            }
            state.deadline = None;
            state.line.peek_input(dest.remaining())
        };
        let n = dest.put(&bytes)?;
        self.pair.state.lock().line.take_input(n);
        self.pair.changed();
        Ok(n)
    }
    fn write_at(&self, source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        let mut chunk = [0u8; CHUNK];
        let mut done = 0;
        while source.remaining() > 0 {
            let (open, room) = {
                let state = self.pair.state.lock();
                (state.master, state.line.takes_output())
            };
            if !open {
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
        self.pair.request(request, arg, false)
    }
    fn ready(&self) -> Events {
        let state = self.pair.state.lock();
        let (least, wait) = state.patience();
        let readable = if state.line.settings.canonical() {
            state.line.has_line()
        } else {
            state.line.input_len() >= if wait.is_zero() { least.max(1) } else { 1 }
        };
        let events = io_events(readable, state.line.takes_output());
        if state.master { events } else { events | Events::HUP | Events::ERR | Events::IN | Events::OUT }
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
            state.slaves = state.slaves.saturating_sub(1);
            state.slaves_gone = state.slaves == 0;
        }
        self.pair.master_queue.notify(Events::all());
    }
}
