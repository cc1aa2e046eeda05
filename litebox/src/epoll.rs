//! Interest sets: the object behind epoll(7).
//!
//! Each registered file has an `Item` that observes it. When the file reports readiness, the item puts itself on the
//! set's ready list (room for it was reserved when it was added) and the set tells those who wait for it. Waiting takes
//! items off that list and asks each file again, so a stale entry costs a look and never a wrong event.
//!
//! Lock order: a file's wait queue, then the set's ready list; the ready list is never held while a file is asked.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::event::{Events, Observer, WaitQueue, WakeResult};
use crate::fs::{AnonInode, File, Inode, OpenFile};
use crate::platform::Instant;
use crate::sync::Mutex;
use crate::{Error, Result};

bitflags::bitflags! {
    /// How an item reports, with the numbers of epoll_ctl(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Mode: u32 {
        /// Not to wake all sets that watch the same file.
        const EXCLUSIVE = 1 << 28;
        /// Keep the system awake; accepted, nothing to do.
        const WAKEUP = 1 << 29;
        /// Disabled after one report.
        const ONESHOT = 1 << 30;
        /// Report changes, not states.
        const EDGE = 1 << 31;
    }
}

/// What is asked for of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interest {
    /// Events of interest; errors and hang-ups always are.
    pub events: Events,
    /// How to report.
    pub mode: Mode,
    /// The caller's own word, returned with each report.
    pub data: u64,
}

/// How many steps there may be from one set to another through sets that watch sets (Linux's EP_MAX_NESTS).
const MAX_NESTS: u32 = 4;
/// The least number of items among which those of files that are gone are looked for.
const LEAST_LOOKED_THROUGH: usize = 32;

type Key = (i32, u64);

/// One registered file.
struct Item {
    myself: Weak<Item>,
    set: Weak<EpollCore>,
    key: Key,
    file: Weak<OpenFile>,
    events: AtomicU32,
    mode: AtomicU32,
    data: AtomicU64,
    /// It is on the ready list.
    queued: AtomicBool,
}

/// A registered file whose readiness may come by time alone.
struct Timed {
    key: Key,
    file: Weak<OpenFile>,
    /// As long as it has something to wait for; otherwise as long as it is registered.
    for_now: bool,
    /// It was said to have, since that was looked at.
    noted: bool,
}

struct EpollCore {
    ready: Mutex<VecDeque<Arc<Item>>>,
    queue: WaitQueue,
}

impl EpollCore {
    /// Puts an item that is not there on the ready list. Never allocates: room was reserved.
    fn enqueue(&self, item: Arc<Item>) {
        if !item.queued.swap(true, Ordering::AcqRel) {
            let mut ready = self.ready.lock();
            if ready.len() < ready.capacity() {
                ready.push_back(item);
            } else {
                item.queued.store(false, Ordering::Release);
            }
        }
    }
}

/// An interest set.
pub struct EventSet {
    shared: Arc<EpollCore>,
    items: Mutex<BTreeMap<Key, Arc<Item>>>,
    /// With so many items, those of files that are gone are looked for: twice as many as lived the last time.
    look_at: AtomicUsize,
    /// Registered files whose readiness may come by time alone.
    timed: Mutex<Vec<Timed>>,
    /// There was one.
    has_timed: AtomicBool,
    /// Sets that watch this one; changed one at a time, as sets are added to sets.
    outer: Mutex<Vec<Weak<EventSet>>>,
    inode: Arc<AnonInode>,
    myself: Weak<EventSet>,
}

impl Item {
    fn interest(&self) -> Interest {
        Interest {
            events: Events::from_bits_retain(self.events.load(Ordering::Acquire)),
            mode: Mode::from_bits_retain(self.mode.load(Ordering::Acquire)),
            data: self.data.load(Ordering::Acquire),
        }
    }
    fn store(&self, interest: Interest) {
        self.data.store(interest.data, Ordering::Release);
        self.mode.store(interest.mode.bits(), Ordering::Release);
        // Never empty: no events at all is how a one-shot item is disabled.
        let events = (interest.events - Events::LATER) | Events::ALWAYS;
        self.events.store(events.bits(), Ordering::Release);
    }
    /// Puts the item on the ready list of its set.
    fn enqueue(&self) {
        if let (Some(set), Some(myself)) = (self.set.upgrade(), self.myself.upgrade()) {
            set.enqueue(myself);
        }
    }
    fn observer(self: &Arc<Self>) -> Arc<dyn Observer> {
        self.clone()
    }
}

impl Observer for Item {
    fn on_ready(&self, events: Events) -> WakeResult {
        let wanted = Events::from_bits_retain(self.events.load(Ordering::Acquire));
        let mut waited_for = false;
        if events.intersects(wanted) {
            self.enqueue();
            // Who waits from now on looks at the list first.
            core::sync::atomic::fence(Ordering::SeqCst);
            waited_for = self.set.upgrade().is_some_and(|set| !set.queue.is_empty());
        }
        WakeResult { taken: waited_for, asleep: waited_for, leaves: false }
    }
    fn finish_wake(&self) {
        if let Some(set) = self.set.upgrade() {
            set.queue.notify(Events::IN | Events::RDNORM);
        }
    }
}

impl EventSet {
    /// An empty set.
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            shared: Arc::new(EpollCore { ready: Mutex::new(VecDeque::new()), queue: WaitQueue::new() }),
            items: Mutex::new(BTreeMap::new()),
            look_at: AtomicUsize::new(LEAST_LOOKED_THROUGH),
            timed: Mutex::new(Vec::new()),
            has_timed: AtomicBool::new(false),
            outer: Mutex::new(Vec::new()),
            inode: AnonInode::shared("eventpoll"),
            myself: myself.clone(),
        })
    }

    /// Registers `file` under `fd`: `Exists`; `NotPermitted` for files that are always ready; `Loop`. Callers serialise
    /// additions of sets to sets among each other.
    pub fn add(&self, fd: i32, file: &Arc<OpenFile>, interest: Interest) -> Result<()> {
        if let Some(other) = file.file.as_any().downcast_ref::<EventSet>() {
            if interest.mode.contains(Mode::EXCLUSIVE) {
                return Err(Error::Invalid);
            }
            if core::ptr::eq(other, self) {
                return Err(Error::Invalid);
            }
            self.check_nesting(other)?;
        }
        let key = (fd, file.id);
        let item = Arc::new_cyclic(|myself: &Weak<Item>| Item {
            myself: myself.clone(),
            set: Arc::downgrade(&self.shared),
            key,
            file: Arc::downgrade(file),
            events: AtomicU32::new(0),
            mode: AtomicU32::new(0),
            data: AtomicU64::new(0),
            queued: AtomicBool::new(false),
        });
        item.store(interest);
        {
            let mut items = self.items.lock();
            if items.contains_key(&key) {
                return Err(Error::Exists);
            }
            if items.len() >= self.look_at.load(Ordering::Relaxed) {
                items.retain(|_, i| i.file.strong_count() > 0);
                self.look_at.store(items.len().max(LEAST_LOOKED_THROUGH) * 2, Ordering::Relaxed);
            }
            self.shared.ready.lock().try_reserve(items.len() + 1).map_err(|_| Error::NoMemory)?;
            items.insert(key, item.clone());
        }
        let observer = item.observer();
        let mut told = Events::all();
        told.set(Events::EXCLUSIVE, interest.mode.contains(Mode::EXCLUSIVE));
        if !file.file.observe(&observer, told) {
            self.items.lock().remove(&key);
            return Err(Error::NotPermitted);
        }
        if let Some(inner) = file.file.as_any().downcast_ref::<EventSet>() {
            inner.outer.lock().push(self.myself.clone());
        }
        if file.file.is_timed() {
            self.note_timed(key, file, false);
        }
        self.look(&item, file);
        Ok(())
    }

    /// Changes what is asked for; `NotFound`.
    pub fn modify(&self, fd: i32, file: &Arc<OpenFile>, interest: Interest) -> Result<()> {
        let item = self.items.lock().get(&(fd, file.id)).cloned().ok_or(Error::NotFound)?;
        if interest.mode.contains(Mode::EXCLUSIVE) || item.interest().mode.contains(Mode::EXCLUSIVE) {
            return Err(Error::Invalid);
        }
        item.store(interest);
        self.look(&item, file);
        Ok(())
    }

    /// Forgets a file; `NotFound`.
    pub fn remove(&self, fd: i32, file: &Arc<OpenFile>) -> Result<()> {
        let key = (fd, file.id);
        let item = self.items.lock().remove(&key).ok_or(Error::NotFound)?;
        if self.has_timed.load(Ordering::Acquire) {
            self.timed.lock().retain(|timed| timed.key != key);
        }
        item.events.store(0, Ordering::Release);
        file.file.unobserve(&item.observer());
        self.leaves(file);
        if item.queued.load(Ordering::Acquire) {
            self.shared.ready.lock().retain(|i| !Arc::ptr_eq(i, &item));
        }
        Ok(())
    }

    /// Takes up to `max` reports: `report(events, data)`; `false` from it puts the item back and ends (the caller's
    /// memory was bad). Returns how many were taken.
    pub fn take(&self, max: usize, report: &mut dyn FnMut(Events, u64) -> bool) -> usize {
        self.expire();
        let (mut taken, mut again, mut left) = (0, false, None);
        while taken < max {
            let Some(item) = self.pop(&mut left) else { break };
            let Some(file) = item.file.upgrade() else {
                self.items.lock().remove(&item.key);
                continue;
            };
            let interest = item.interest();
            let now = self.ready_of(item.key, &file, &interest);
            if now.is_empty() {
                continue;
            }
            if !report(now, interest.data) {
                self.shared.enqueue(item);
                break;
            }
            taken += 1;
            if interest.mode.contains(Mode::ONESHOT) {
                item.events.store(0, Ordering::Release);
            } else if !interest.mode.contains(Mode::EDGE) {
                self.shared.enqueue(item);
                again = true;
            }
        }
        if again {
            // A second waiter may have seen the list without the items that went back.
            self.shared.queue.notify(Events::IN | Events::RDNORM);
        }
        taken
    }

    /// How many files are registered.
    pub fn len(&self) -> usize {
        self.items.lock().len()
    }
    /// Whether no file is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Calls `f(fd, interest)` for each registered file, by ascending descriptor (for /proc).
    pub fn for_each(&self, f: &mut dyn FnMut(i32, Interest)) {
        for (key, item) in &*self.items.lock() {
            f(key.0, item.interest());
        }
    }

    /// One of the files that were registered as `fd`: there are several where that was closed and used again.
    pub fn registered(&self, fd: i32, nth: usize) -> Option<Arc<OpenFile>> {
        let items = self.items.lock();
        let mut files = items.range((fd, 0)..=(fd, u64::MAX)).filter_map(|(_, item)| item.file.upgrade());
        files.nth(nth)
    }

    /// Takes the first item off the ready list. `left` says how many are to be taken still: those that were there when
    /// the first was taken.
    fn pop(&self, left: &mut Option<usize>) -> Option<Arc<Item>> {
        if *left == Some(0) {
            return None;
        }
        let mut ready = self.shared.ready.lock();
        if ready.is_empty() {
            return None;
        }
        *left = Some(left.unwrap_or(ready.len()) - 1);
        let item = ready.pop_front()?;
        drop(ready);
        item.queued.store(false, Ordering::Release);
        Some(item)
    }
    /// Queues an item whose file is ready already.
    fn look(&self, item: &Arc<Item>, file: &Arc<OpenFile>) {
        let interest = item.interest();
        if !self.ready_of(item.key, file, &interest).is_empty() {
            item.enqueue();
            self.shared.queue.notify(Events::IN | Events::RDNORM);
        }
    }
    fn items_now(&self) -> Vec<Arc<Item>> {
        self.items.lock().values().cloned().collect()
    }
    /// This set does not watch `file` any more.
    fn leaves(&self, file: &OpenFile) {
        let Some(inner) = file.file.as_any().downcast_ref::<EventSet>() else { return };
        let mut outer = inner.outer.lock();
        if let Some(at) = outer.iter().position(|set| Weak::ptr_eq(set, &self.myself)) {
            outer.swap_remove(at);
        }
    }
    /// Sets that this one watches.
    fn inner_sets(&self) -> Vec<Arc<EventSet>> {
        let files = self.items_now().into_iter().filter_map(|item| item.file.upgrade());
        files.filter_map(|file| file.file.as_any().downcast_ref::<EventSet>()?.myself.upgrade()).collect()
    }
    fn outer_sets(&self) -> Vec<Arc<EventSet>> {
        self.outer.lock().iter().filter_map(Weak::upgrade).collect()
    }
    /// Whether watching `inner` would close a loop or nest too deep.
    fn check_nesting(&self, inner: &EventSet) -> Result<()> {
        let (below, loops) = inner.reach(Self::inner_sets, Some(self));
        let (above, _) = self.reach(Self::outer_sets, None);
        if loops || below + above + 1 > MAX_NESTS { Err(Error::Loop) } else { Ok(()) }
    }
    /// How many steps it is to the farthest set one way, and whether `target` lies on the way. Level by level, each set
    /// once in a level: the work is bounded however the sets are woven.
    fn reach(&self, next: fn(&Self) -> Vec<Arc<EventSet>>, target: Option<&Self>) -> (u32, bool) {
        let mut level: Vec<Arc<EventSet>> = self.myself.upgrade().into_iter().collect();
        let (mut steps, mut found) = (0, false);
        while steps <= MAX_NESTS {
            let mut further: Vec<Arc<EventSet>> = level.iter().flat_map(|set| next(set)).collect();
            further.sort_unstable_by_key(Arc::as_ptr);
            further.dedup_by_key(|set| Arc::as_ptr(set));
            found |= target.is_some_and(|target| further.iter().any(|set| core::ptr::eq(Arc::as_ptr(set), target)));
            if further.is_empty() || found {
                break;
            }
            level = further;
            steps += 1;
        }
        (steps, found)
    }
    /// Lets the files whose readiness is a matter of time report it; when the next one will.
    fn expire(&self) -> Option<Instant> {
        if !self.has_timed.load(Ordering::Acquire) {
            return None;
        }
        let timed: Vec<(Key, Arc<OpenFile>)> = {
            let mut timed = self.timed.lock();
            timed.retain(|timed| timed.file.strong_count() > 0);
            timed.iter_mut().for_each(|timed| timed.noted = false);
            timed.iter().filter_map(|timed| Some((timed.key, timed.file.upgrade()?))).collect()
        };
        let (mut next, mut over) = (None, Vec::new());
        for (key, file) in &timed {
            match file.file.expire() {
                Some(time) => next = Some(next.map_or(time, |next: Instant| next.min(time))),
                None => over.push(*key),
            }
        }
        let is_over = |timed: &Timed| timed.for_now && !timed.noted && over.contains(&timed.key);
        if !over.is_empty() {
            self.timed.lock().retain(|timed| !is_over(timed));
        }
        next
    }
    fn note_timed(&self, key: Key, file: &Arc<OpenFile>, for_now: bool) {
        let mut timed = self.timed.lock();
        match timed.iter_mut().find(|known| known.key == key) {
            Some(known) => known.noted = true,
            None => timed.push(Timed { key, file: Arc::downgrade(file), for_now, noted: true }),
        }
        self.has_timed.store(true, Ordering::Release);
    }
    /// What a registered file is ready for, of what is asked.
    fn ready_of(&self, key: Key, file: &Arc<OpenFile>, interest: &Interest) -> Events {
        if interest.events.is_empty() {
            return Events::empty();
        }
        let ready = file.file.ready();
        if ready.contains(Events::LATER) {
            self.note_timed(key, file, true);
        }
        ready & interest.events
    }
}

impl File for EventSet {
    fn transfers(&self) -> bool {
        false
    }
    fn ioctl(&self, _request: u32, _arg: usize) -> Result<usize> {
        Err(Error::Invalid)
    }
    fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }
    fn is_stream(&self) -> bool {
        true
    }
    fn offset_stays(&self) -> bool {
        true
    }
    fn ready(&self) -> Events {
        self.expire();
        let (mut found, mut left) = (false, None);
        // Entries whose file is no longer ready are dropped on the way.
        while !found {
            let Some(item) = self.pop(&mut left) else { break };
            let Some(file) = item.file.upgrade() else { continue };
            if !self.ready_of(item.key, &file, &item.interest()).is_empty() {
                self.shared.enqueue(item);
                found = true;
            }
        }
        if found { Events::IN | Events::RDNORM } else { Events::empty() }
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.shared.queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.shared.queue.remove(observer);
    }
    fn is_timed(&self) -> bool {
        true
    }
    fn expire(&self) -> Option<Instant> {
        EventSet::expire(self)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Drop for EventSet {
    fn drop(&mut self) {
        for item in self.items_now() {
            item.events.store(0, Ordering::Release);
            if let Some(file) = item.file.upgrade() {
                file.file.unobserve(&item.observer());
                self.leaves(&file);
            }
        }
    }
}

#[cfg(test)]
mod tests;
