//! Readiness and waiting.
//!
//! A thread that blocks sleeps on the one futex word of its [`Waiter`]. Whoever makes a thing ready, or signals the
//! thread, changes that word and wakes it. [`wait_until_ready`] is the only loop that blocks on readiness.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::platform::{FutexWake, Instant, host};
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use crate::sync::{AdaptiveSpin, Mutex, const_fn, jitter};
use crate::{Error, Result};

bitflags::bitflags! {
    /// What a file is ready for. The bits are those of poll(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Events: u32 {
        /// Data to read.
        const IN = 0x001;
        /// Urgent data.
        const PRI = 0x002;
        /// Room to write.
        const OUT = 0x004;
        /// Error; always reported.
        const ERR = 0x008;
        /// Hang-up; always reported.
        const HUP = 0x010;
        /// Not open; only poll reports it.
        const NVAL = 0x020;
        /// Normal data.
        const RDNORM = 0x040;
        /// Priority band data.
        const RDBAND = 0x080;
        /// Room for normal data.
        const WRNORM = 0x100;
        /// Room for priority data.
        const WRBAND = 0x200;
        /// Message available.
        const MSG = 0x400;
        /// Peer closed its writing half.
        const RDHUP = 0x2000;
        /// Of an interest only (`EPOLLEXCLUSIVE`): of all who say so, one is told.
        const EXCLUSIVE = 1 << 28;
        /// Of what a file is ready for only: it may be ready for more by the passing of time alone
        /// ([`Pollable::expire`]).
        const LATER = 1 << 27;
    }
}

impl Events {
    /// What is reported whether asked for or not.
    pub const ALWAYS: Self = Self::ERR.union(Self::HUP);
}

/// Somebody who wants to know when a thing becomes ready: a waiting thread, or an epoll.
pub trait Observer: Send + Sync {
    /// Called with the queue's lock held: must not block, allocate, or take a lock that is held while queues are
    /// notified.
    fn on_ready(&self, events: Events) -> WakeResult;
    /// Ends the sleep that [`WakeResult::asleep`] spoke of. Called with the queue's lock given back: who wakes up on
    /// the processor of whoever woke it would run into that lock at once.
    fn finish_wake(&self) {}
}

/// What became of telling an observer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WakeResult {
    /// Somebody will look after it: no second one who waits exclusively has to be told.
    pub taken: bool,
    /// It has to be woken ([`Observer::finish_wake`]).
    pub asleep: bool,
    /// If it waits exclusively it is off the queue now, so that the next one is told next time: it puts itself back
    /// when it waits on.
    pub leaves: bool,
}

impl WakeResult {
    /// Nobody looks after it, and nobody is woken.
    pub const NOBODY: Self = Self { taken: false, asleep: false, leaves: false };
}

const INTERRUPTED: u32 = 1 << 31;
const ASLEEP: u32 = 1 << 30;
const COUNT: u32 = ASLEEP - 1;

/// The one word a thread sleeps on. The low bits count wake-ups; the top bit says that work (a signal) is pending; the
/// bit below it that the thread sleeps, so that only the first of several wake-ups costs a host call. It comes first:
/// hosts look at it in assembly.
#[derive(Default)]
#[repr(C)]
pub struct Waiter {
    word: AtomicU32,
    announce: AtomicBool,
    /// How much looking at the word before a sleep has paid lately; the owner's.
    spin: AdaptiveSpin,
}

impl Waiter {
    /// A fresh waiter.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }
    /// The state to hand to [`Waiter::sleep`]; take it *before* looking at the condition.
    pub fn ticket(&self) -> u32 {
        jitter();
        self.word.load(Ordering::Acquire)
    }
    /// Has the North told ([`North::sleeping`](crate::platform::north::North::sleeping)) before the thread's next
    /// sleep, or not.
    pub fn announce_sleep(&self, wanted: bool) {
        self.announce.store(wanted, Ordering::Relaxed);
    }
    /// Whether the North wants to be told.
    #[inline]
    pub fn announces(&self) -> bool {
        self.announce.load(Ordering::Relaxed)
    }
    /// Tells the North, once.
    #[cold]
    pub fn announce(&self) {
        self.announce_sleep(false);
        crate::platform::north::north().sleeping();
    }
    /// Sleeps until woken after `ticket` was taken, interrupted, or past `deadline`.
    pub fn sleep(&self, ticket: u32, deadline: Option<Instant>) -> Result<()> {
        if ticket & INTERRUPTED != 0 {
            return self.interruption();
        }
        crate::platform::north::north().before_sleep();
        if self.announces() && self.ticket() == ticket {
            self.announce();
        }
        if self.changes_soon(ticket) {
            return if self.interrupted() { self.interruption() } else { Ok(()) };
        }
        let asleep = ticket | ASLEEP;
        let mut now = match self.word.compare_exchange(ticket, asleep, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => asleep,
            Err(changed) => changed,
        };
        while now == asleep {
            let outcome = host().futex_wait(&self.word, asleep, deadline);
            if outcome == FutexWake::TimedOut {
                match self.word.compare_exchange(asleep, ticket, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return Err(Error::TimedOut),
                    Err(changed) => now = changed,
                }
            } else {
                now = self.word.load(Ordering::Acquire);
            }
        }
        if now & INTERRUPTED != 0 { self.interruption() } else { Ok(()) }
    }
    /// Sleeps by `sleep`, in the host, if that can be done.
    fn sleep_by(&self, sleep: impl FnOnce() -> Option<Result<()>>) -> Option<Result<()>> {
        match sleep()? {
            Err(Error::Interrupted) => Some(self.interruption()),
            slept => Some(slept),
        }
    }
    /// A sleep was interrupted: what for decides the North. When it was for nothing of the call's, the sleeper only
    /// looks once more.
    #[cold]
    fn interruption(&self) -> Result<()> {
        self.clear_interrupt();
        if !crate::platform::north::north().ends_sleep() {
            return Ok(());
        }
        self.interrupt();
        Err(Error::Interrupted)
    }
    /// Looks at the word for about as long as falling asleep and being woken takes: an answer from another processor
    /// often comes before that. A thread whose answers do not come so soon (the processors are busy, or nobody answers)
    /// only tries now and then.
    fn changes_soon(&self, ticket: u32) -> bool {
        const LOOKS: u32 = 100;
        self.spin.try_spin(|| {
            (0..LOOKS).any(|_| {
                let changed = self.ticket() != ticket;
                if !changed {
                    core::hint::spin_loop();
                }
                changed
            })
        })
    }
    /// Wakes the thread: its condition may hold now.
    pub fn wake(&self) {
        if self.end_sleep() {
            self.finish_wake();
        }
    }
    /// Tells the thread that work is pending: the sleep it is in, or the next, ends with `Interrupted`.
    pub fn interrupt(&self) {
        if self.mark_interrupted() {
            self.finish_wake();
        }
    }
    /// As [`Waiter::interrupt`], but whoever gets `true` has to finish waking the thread.
    pub fn mark_interrupted(&self) -> bool {
        self.change(|w| (w | INTERRUPTED) & !ASLEEP)
    }
    /// As [`Waiter::wake`], but whoever gets `true` has to finish waking the thread.
    fn end_sleep(&self) -> bool {
        self.tell() & ASLEEP != 0
    }
    /// Notes a wake-up; the word of before.
    fn tell(&self) -> u32 {
        self.update(|w| (w & INTERRUPTED) | (w.wrapping_add(1) & COUNT))
    }
    /// Changes the word; returns whether that ended a sleep.
    fn change(&self, new: impl Fn(u32) -> u32) -> bool {
        self.update(new) & ASLEEP != 0
    }
    /// Changes the word; what it was.
    fn update(&self, new: impl Fn(u32) -> u32) -> u32 {
        jitter();
        match self.word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |w| Some(new(w))) {
            Ok(before) | Err(before) => before,
        }
    }
    /// Whether the thread sleeps (for /proc).
    pub fn asleep(&self) -> bool {
        self.word.load(Ordering::Relaxed) & ASLEEP != 0
    }
    /// Whether work is pending.
    #[inline]
    pub fn interrupted(&self) -> bool {
        self.word.load(Ordering::Relaxed) & INTERRUPTED != 0
    }
    /// The word itself, for hosts that check it in assembly: its top bit says that work is pending.
    #[cfg(not(loom))]
    pub fn word(&self) -> *const u32 {
        self.word.as_ptr()
    }
    /// The owner looks at its pending work now. Call this *before* looking. Returns whether any was announced: asking
    /// [`Waiter::interrupted`] before would miss what comes in between.
    pub fn clear_interrupt(&self) -> bool {
        jitter();
        self.word.fetch_and(!INTERRUPTED, Ordering::AcqRel) & INTERRUPTED != 0
    }
}

impl Observer for Waiter {
    fn on_ready(&self, _events: Events) -> WakeResult {
        let before = self.tell();
        // Who has a signal to look at may go away without a look at what became ready.
        let taken = before & INTERRUPTED == 0;
        WakeResult { taken, asleep: before & ASLEEP != 0, leaves: taken }
    }
    fn finish_wake(&self) {
        host().futex_wake(&self.word, 1);
    }
}

/// Those who wait for one thing. Belongs to a file, a pipe end, a process.
#[derive(Default)]
pub struct WaitQueue {
    count: AtomicU32,
    entries: Mutex<Vec<WaitEntry>>,
}

struct WaitEntry {
    observer: Weak<dyn Observer>,
    interest: Events,
}

impl WaitQueue {
    const_fn! {
        /// An empty queue.
        pub fn new() -> Self {
            Self { count: AtomicU32::new(0), entries: Mutex::new(Vec::new()) }
        }
    }
    /// Adds `observer` for `interest` (and errors and hang-ups, always).
    pub fn add(&self, observer: &Arc<dyn Observer>, interest: Events) {
        let mut entries = self.entries.lock();
        entries.push(WaitEntry { observer: Arc::downgrade(observer), interest: interest | Events::ALWAYS });
        self.count.store(entries.len() as u32, Ordering::SeqCst);
    }
    /// Removes one entry of `observer`.
    pub fn remove(&self, observer: &Arc<dyn Observer>) {
        let target = Arc::as_ptr(observer).cast::<()>();
        let mut entries = self.entries.lock();
        // Those who wait exclusively are told in the order they came in.
        if let Some(i) = entries.iter().position(|e| e.observer.as_ptr().cast::<()>() == target) {
            entries.remove(i);
        }
        self.count.store(entries.len() as u32, Ordering::SeqCst);
    }
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }
    /// Tells everybody interested in `events`, but of those who wait exclusively only up to the first that looks after
    /// it; an error or hang-up is everybody's. Costs one load when nobody waits.
    pub fn notify(&self, events: Events) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut taken = false;
        let mut asleep: SmallVec<[Arc<dyn Observer>; 4]> = SmallVec::new();
        let mut entries = self.entries.lock();
        entries.retain(|e| match e.observer.upgrade() {
            Some(o) => {
                let exclusive = e.interest.contains(Events::EXCLUSIVE) && !events.intersects(Events::ALWAYS);
                if !e.interest.intersects(events - Events::EXCLUSIVE) || exclusive && taken {
                    return true;
                }
                let woken = o.on_ready(events);
                taken |= woken.taken && exclusive;
                if woken.asleep {
                    asleep.push(o);
                }
                !(exclusive && woken.leaves)
            }
            None => false,
        });
        self.count.store(entries.len() as u32, Ordering::SeqCst);
        drop(entries);
        for observer in asleep {
            observer.finish_wake();
        }
    }
}

/// A thing that can be polled.
pub trait Pollable {
    /// What it is ready for right now.
    fn ready(&self) -> Events;
    /// Registers `observer` for changes towards `interest`. `false`: it never changes (always ready), nothing was
    /// registered.
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool;
    /// Takes one registration back.
    fn unobserve(&self, observer: &Arc<dyn Observer>);
    /// Sleeps until it is likely to be ready for `interest`, where the host can do that itself; `None`: it cannot.
    ///
    /// Errors: `Interrupted`, `TimedOut` past `deadline`.
    fn sleep_outside(&self, _interest: Events, _deadline: Option<Instant>) -> Option<Result<()>> {
        None
    }
    /// When it may become ready by the passing of time alone; whoever sleeps on it wakes up then and asks again.
    fn expire(&self) -> Option<Instant> {
        None
    }
}

/// Waits as long as the host itself wakes the thread: then nobody needs to tell it. `None`: not any more.
fn wait_outside<T>(
    waiter: &Arc<Waiter>,
    file: &dyn Pollable,
    interest: Events,
    deadline: Option<Instant>,
    op: &mut impl FnMut() -> Result<T>,
) -> Option<Result<T>> {
    loop {
        if let Err(error) = waiter.sleep_by(|| file.sleep_outside(interest, deadline))? {
            return Some(Err(error));
        }
        match op() {
            Err(Error::WouldBlock) => {}
            done => return Some(done),
        }
    }
}

/// The one blocking loop: tries `op`; while it says `WouldBlock`, sleeps until `file` is ready for `interest`. With
/// [`Events::EXCLUSIVE`] in that, only the first of those who wait so is woken each time; `op` must then take what
/// there is, or find nothing: whoever fails with it there leaves the others asleep.
///
/// Errors: those of `op`; `Interrupted` when work is pending for the thread; `TimedOut` past `deadline`.
pub fn wait_until_ready<T>(
    waiter: &Arc<Waiter>,
    file: &dyn Pollable,
    interest: Events,
    deadline: Option<Instant>,
    mut op: impl FnMut() -> Result<T>,
) -> Result<T> {
    match op() {
        Err(Error::WouldBlock) => {}
        done => return done,
    }
    if let Some(done) = wait_outside(waiter, file, interest, deadline, &mut op) {
        return done;
    }
    let observer: Arc<dyn Observer> = waiter.clone();
    if !file.observe(&observer, interest) {
        return Err(Error::WouldBlock);
    }
    let exclusive = interest.contains(Events::EXCLUSIVE);
    let mut result = loop {
        let ticket = waiter.ticket();
        match op() {
            Err(Error::WouldBlock) => {}
            done => break done,
        }
        let timer = file.expire().filter(|t| deadline.is_none_or(|d| *t < d));
        let until = timer.or(deadline);
        let slept = match waiter.sleep_by(|| file.sleep_outside(interest, until)) {
            Some(slept) => slept,
            None => waiter.sleep(ticket, until),
        };
        match slept {
            Err(Error::TimedOut) if timer.is_some() => {}
            Err(e) => break Err(e),
            Ok(()) => {}
        }
        if exclusive {
            match op() {
                Err(Error::WouldBlock) => {}
                done => break done,
            }
            // Whoever woke it took it off the queue.
            file.unobserve(&observer);
            file.observe(&observer, interest);
        }
    };
    file.unobserve(&observer);
    if exclusive && matches!(result, Err(Error::Interrupted | Error::TimedOut)) {
        // It may have been told as the only one, and just before that.
        match op() {
            Err(Error::WouldBlock) => {}
            done => result = done,
        }
    }
    result
}
