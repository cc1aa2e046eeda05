//! Contexts of asynchronous I/O (io_setup(2)).
//!
//! A request is done when it is submitted, as Linux does it with files whose data is in memory. Its event waits in the
//! context until somebody takes it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use litebox::event::{Events, Observer, Pollable, WaitQueue};
use litebox::sync::Mutex;
use litebox::{Error, Result};
use litebox_common_linux::abi::aio::{IoEvent, IoEventX86_64};
use litebox_common_linux::abi::memory::PAGE;

/// Most events that programs may ask for, all together: /proc/sys/fs/aio-max-nr.
pub(crate) const MOST_ASKED: usize = 65_536;
/// Most events that there is room for in all contexts.
const MOST_ROOM: usize = 4 * MOST_ASKED;
/// Linux gives a context room for so many, at least: four for each processor, and as many again.
const LEAST_ROOM: usize = 16;
/// Bytes in front of the events of a ring that Linux shows to the program.
const RING_HEAD: usize = 32;

/// How much all contexts of a sandbox have.
#[derive(Default)]
pub(crate) struct AioUse {
    asked: AtomicUsize,
    room: AtomicUsize,
}

impl AioUse {
    /// Events that were asked for: /proc/sys/fs/aio-nr.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
    fn take(counter: &AtomicUsize, more: usize, most: usize) -> Result<()> {
        let add = |before: usize| before.checked_add(more).filter(|sum| *sum <= most);
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map(drop).map_err(|_| Error::WouldBlock)
    }
}

struct AioState {
    events: VecDeque<IoEvent>,
    /// Requests that are being done.
    begun: usize,
    destroyed: bool,
}

/// A context.
pub(crate) struct AioContext {
    asked: usize,
    room: usize,
    all: Arc<AioUse>,
    state: Mutex<AioState>,
    queue: WaitQueue,
}

impl AioContext {
    /// With room for so many events, and some more. `WouldBlock`: there are too many already.
    pub(crate) fn new(asked: usize, all: &Arc<AioUse>) -> Result<Arc<Self>> {
        // As many as Linux's ring holds.
        let ring = RING_HEAD + (asked.max(LEAST_ROOM / 2) * 2 + 2) * size_of::<IoEventX86_64>();
        let room = (ring.next_multiple_of(PAGE) - RING_HEAD) / size_of::<IoEventX86_64>() - 1;
        AioUse::take(&all.asked, asked, MOST_ASKED)?;
        if let Err(error) = AioUse::take(&all.room, room, MOST_ROOM) {
            all.asked.fetch_sub(asked, Ordering::Relaxed);
            return Err(error);
        }
        let state = Mutex::new(AioState { events: VecDeque::new(), begun: 0, destroyed: false });
        Ok(Arc::new(Self { asked, room, all: all.clone(), state, queue: WaitQueue::new() }))
    }
    /// Most requests that one call submits.
    pub(crate) fn room(&self) -> usize {
        self.room
    }
    /// Keeps room for an event. `WouldBlock`: events that nobody takes fill it.
    pub(crate) fn begin(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.destroyed {
            return Err(Error::Invalid);
        }
        if state.events.len() + state.begun >= self.room {
            return Err(Error::WouldBlock);
        }
        let more = state.begun + 1;
        state.events.try_reserve(more).map_err(|_| Error::WouldBlock)?;
        state.begun += 1;
        Ok(())
    }
    /// Ends what was begun, with an event or without.
    pub(crate) fn end(&self, event: Option<IoEvent>) {
        let mut state = self.state.lock();
        state.begun = state.begun.saturating_sub(1);
        let tells = event.is_some();
        state.events.extend(event);
        drop(state);
        if tells {
            self.queue.notify(Events::IN);
        }
    }
    /// The next event. `Invalid`: the context is destroyed.
    pub(crate) fn next(&self) -> Result<Option<IoEvent>> {
        let mut state = self.state.lock();
        if state.destroyed { Err(Error::Invalid) } else { Ok(state.events.pop_front()) }
    }
    /// Nobody could be given this one: it is the next again.
    pub(crate) fn put_back(&self, event: IoEvent) {
        self.state.lock().events.push_front(event);
    }
    fn destroy(&self) {
        self.state.lock().destroyed = true;
        self.queue.notify(Events::all());
    }
}

impl Drop for AioContext {
    fn drop(&mut self) {
        self.all.asked.fetch_sub(self.asked, Ordering::Relaxed);
        self.all.room.fetch_sub(self.room, Ordering::Relaxed);
    }
}

impl Pollable for AioContext {
    fn ready(&self) -> Events {
        if self.state.lock().events.is_empty() { Events::empty() } else { Events::IN }
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.queue.remove(observer);
    }
}

/// The contexts of an address space, by the address of a page in it: libaio reads there, and finds that it has to ask.
#[derive(Default)]
pub(crate) struct AioContexts(Mutex<BTreeMap<u64, Arc<AioContext>>>);

impl AioContexts {
    pub(crate) fn add(&self, at: u64, context: Arc<AioContext>) {
        self.0.lock().insert(at, context);
    }
    /// The context of that number: EINVAL when there is none.
    pub(crate) fn find(&self, at: u64) -> Result<Arc<AioContext>> {
        self.0.lock().get(&at).cloned().ok_or(Error::Invalid)
    }
    /// Takes one away; whoever waits for its events is told.
    pub(crate) fn remove(&self, at: u64) -> Result<()> {
        let gone = self.0.lock().remove(&at).ok_or(Error::Invalid)?;
        gone.destroy();
        Ok(())
    }
    /// Takes all away: their program is gone.
    pub(crate) fn clear(&self) {
        let gone: Vec<_> = core::mem::take(&mut *self.0.lock()).into_values().collect();
        for context in gone {
            context.destroy();
        }
    }
}
