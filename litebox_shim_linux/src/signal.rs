//! Signals: who has which pending, sending, and the room's files: sets and queues, delivery, frames, calls.

mod deliver;
mod frame;
mod frame32;
mod fsave;
mod info32;
pub mod set;
pub(crate) mod signalfd;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use litebox::event::Observer;
use litebox::sync::Mutex;
use litebox::{Error, Result};

pub use deliver::RestartPolicy;
pub use set::{Pending, SigSet, SignalInfo};

use crate::task::{self, SharedByClone};
use crate::{Process, Thread};
use set::{MAX_SIGNAL, SIGCHLD, SIGCONT, SIGKILL, SIGSTOP, SIGURG, SIGWINCH};

pub(crate) const SIG_DFL: u64 = 0;
pub(crate) const SIG_IGN: u64 = 1;

/// `struct sigaction` of the kernel.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Action {
    /// Handler, or SIG_DFL (0), SIG_IGN (1).
    pub handler: u64,
    /// SA_ flags.
    pub flags: u64,
    /// SA_RESTORER's address.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: SigSet,
}

/// What a signal without handler does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DefaultAction {
    Ignore,
    Stop,
    Terminate,
}

pub(crate) fn default_action(signal: i32) -> DefaultAction {
    match signal {
        SIGCHLD | SIGCONT | SIGURG | SIGWINCH => DefaultAction::Ignore,
        s if SigSet::STOPS.has(s) => DefaultAction::Stop,
        _ => DefaultAction::Terminate,
    }
}

/// What each signal does; several processes may share it (CLONE_SIGHAND).
pub struct Actions(Mutex<[Action; MAX_SIGNAL as usize + 1]>);

impl Default for Actions {
    fn default() -> Self {
        Self(Mutex::new([Action::default(); MAX_SIGNAL as usize + 1]))
    }
}

impl Actions {
    /// The same actions, apart from then on.
    pub(crate) fn copy(&self) -> Self {
        Self(Mutex::new(*self.0.lock()))
    }
    fn of(&self, signal: i32) -> Option<Action> {
        usize::try_from(signal).ok().and_then(|i| self.0.lock().get(i).copied())
    }
    fn set(&self, signal: i32, action: Action) {
        let mut actions = self.0.lock();
        if let Some(slot) = usize::try_from(signal).ok().and_then(|i| actions.get_mut(i)) {
            *slot = action;
        }
    }
}

#[derive(Default)]
struct SharedPending {
    pending: Pending,
}

/// Signal state of a process. Lock order: what is pending for the process, then its actions or what is pending for a
/// thread.
pub struct ProcessSignals {
    pub(crate) actions: SharedByClone<Actions>,
    shared: Mutex<SharedPending>,
    pub(crate) stopped: AtomicBool,
    files: signalfd::SignalFiles,
}

const SA_NOCLDSTOP: u64 = 1;
const SA_NOCLDWAIT: u64 = 2;

impl ProcessSignals {
    /// With these actions; nothing is pending.
    pub(crate) fn new(actions: Arc<task::UseCounted<Actions>>) -> Self {
        let (shared, files) = (Mutex::default(), signalfd::SignalFiles::default());
        Self { actions: SharedByClone::new(actions), shared, stopped: AtomicBool::new(false), files }
    }
    /// For the first process: these are ignored, as by whoever executed it (signal(7)).
    pub(crate) fn start_ignoring(&self, ignored: SigSet) {
        let ignored = ignored.without(SigSet::UNBLOCKABLE);
        for signal in (1..=MAX_SIGNAL).filter(|signal| ignored.has(*signal)) {
            self.actions.set(signal, Action { handler: SIG_IGN, ..Action::default() });
        }
    }
    /// For a new process: the default action for every signal that has a handler.
    pub(crate) fn clear_handlers(&self) {
        for action in &mut *self.actions.0.lock() {
            if action.handler != SIG_IGN {
                *action = Action::default();
            }
        }
    }
}

impl Process {
    /// Whether it ignores SIGCHLD, and whether it does not want to wait for children that end.
    pub(crate) fn ignores_children(&self) -> (bool, bool) {
        let action = self.signal_action(SIGCHLD);
        (action.handler == SIG_IGN, action.flags & SA_NOCLDWAIT != 0)
    }
    /// Whether it is sent SIGCHLD when children stop and go on.
    pub(crate) fn wants_stops(&self) -> bool {
        let action = self.signal_action(SIGCHLD);
        action.handler != SIG_IGN && action.flags & SA_NOCLDSTOP == 0
    }
}

/// An alternate stack (sigaltstack(2)).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct AltStack {
    pub(crate) base: u64,
    pub(crate) size: u64,
    pub(crate) autodisarm: bool,
}

#[derive(Default)]
pub(crate) struct OwnSignals {
    pending: Pending,
    /// The last exception of its code; frames of later signals still tell of it.
    last_trap: deliver::TrapInfo,
    pub(crate) alt_stack: AltStack,
    /// The call of sigtimedwait(2) wants these although they are blocked.
    pub(crate) awaited: SigSet,
}

/// Signal state of a thread.
#[derive(Default)]
pub struct ThreadSignals {
    blocked: AtomicU64,
    pub(crate) own: Mutex<OwnSignals>,
    /// How an interrupted call goes on: a `RestartPolicy` by number, 0: no call was interrupted.
    restart: AtomicU8,
    restart_number: AtomicU64,
    /// The mask of before, while a call has another one in force. Only the thread itself looks at it, on the way out of
    /// every call: so it is not behind the lock.
    saved_mask: AtomicU64,
    has_saved_mask: AtomicBool,
}

impl ThreadSignals {
    /// Takes the mask of before the temporary one, if there is one.
    #[inline]
    pub(crate) fn take_saved_mask(&self) -> Option<SigSet> {
        if !self.has_saved_mask.load(Ordering::Relaxed) {
            return None;
        }
        self.has_saved_mask.store(false, Ordering::Relaxed);
        Some(SigSet(self.saved_mask.load(Ordering::Relaxed)))
    }
    /// A temporary mask comes into force; this was the one before.
    pub(crate) fn save_mask(&self, before: SigSet) {
        self.saved_mask.store(before.0, Ordering::Relaxed);
        self.has_saved_mask.store(true, Ordering::Relaxed);
    }
    /// The blocked signals.
    pub fn blocked(&self) -> SigSet {
        SigSet(self.blocked.load(Ordering::SeqCst))
    }
    /// For a new thread: starts with its creator's mask, nothing pending, no alternate stack.
    pub fn inherit(&self, parent: &Self) {
        self.blocked.store(parent.blocked().0, Ordering::SeqCst);
    }
    /// For the first thread of a new process: also its creator's alternate stack, unless it shares memory with it.
    pub(crate) fn inherit_stack(&self, parent: &Self) {
        let stack = parent.own.lock().alt_stack;
        self.own.lock().alt_stack = stack;
    }
    /// Goes on with another thread's mask and what is pending for it.
    pub(crate) fn take_over(&self, other: &Self) {
        self.inherit(other);
        let pending = core::mem::take(&mut other.own.lock().pending);
        self.own.lock().pending = pending;
    }
    /// execve(2): no alternate stack; what is blocked and pending stays.
    pub(crate) fn reset_for_exec(&self) {
        self.own.lock().alt_stack = AltStack::default();
        self.restart.store(0, Ordering::Relaxed);
    }
    fn wants(&self, signal: i32) -> bool {
        !self.blocked().has(signal) || self.own.lock().awaited.has(signal)
    }
}

/// Who is to take a signal.
#[derive(Clone, Copy)]
pub(crate) enum Recipient<'a> {
    /// This thread alone.
    Thread(&'a Arc<Thread>),
    /// The first thread of the process that does not block it.
    Process,
    /// The process; rather this thread of it than another, because it is the one that runs.
    Running(&'a Thread),
}

impl<'a> Recipient<'a> {
    fn thread(self) -> Option<&'a Arc<Thread>> {
        if let Self::Thread(thread) = self { Some(thread) } else { None }
    }
    /// Which of the process's threads takes what was sent to the process.
    fn taker(self, threads: &[Arc<Thread>], signal: i32) -> Option<&Arc<Thread>> {
        let mut takers = threads.iter().filter(|thread| thread.signals.wants(signal));
        match self {
            Self::Running(running) => {
                let first = takers.clone().next();
                takers.find(|thread| core::ptr::eq(Arc::as_ptr(thread), running)).or(first)
            }
            _ => takers.next(),
        }
    }
}

impl Thread {
    /// Sends a signal to this thread alone.
    pub fn send_signal(self: &Arc<Self>, info: SignalInfo) -> Result<()> {
        self.process.post(info, Recipient::Thread(self)).map(drop)
    }
    /// Whether there is anything for it to look at on its way to guest code: its end, a stop, a signal.
    pub(crate) fn has_pending_work(&self) -> bool {
        let process = &self.process;
        process.timers.run_due(self);
        let deliverable = || {
            let shared = process.signals.shared.lock();
            let own = self.signals.own.lock();
            let wanted = SigSet(u64::MAX).without(self.signals.blocked()).union(own.awaited);
            shared.pending.set().union(own.pending.set()).0 & wanted.0 != 0
        };
        process.must_leave(self)
            || process.signals.stopped.load(Ordering::SeqCst)
            || process.resumed.load(Ordering::Acquire)
            || deliverable()
    }
}

/// Which signals are in which state, for /proc.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct SignalSets {
    /// Pending for the thread or the process.
    pub pending: u64,
    /// Pending for the thread alone.
    pub own_pending: u64,
    /// Blocked by the thread.
    pub blocked: u64,
    /// Ignored by the process.
    pub ignored: u64,
    /// With a handler.
    pub caught: u64,
}

/// What became of a signal that was sent.
pub(crate) struct Posted {
    /// It was not ignored.
    kept: bool,
    /// Who has to be woken to take it.
    pub(crate) asleep: Option<Arc<Thread>>,
}

impl Process {
    /// The states of all signals, as one thread sees them.
    pub(crate) fn signal_sets(&self, thread: Option<&Thread>) -> SignalSets {
        let shared = self.signals.shared.lock();
        let mut sets = SignalSets { pending: shared.pending.set().0, ..SignalSets::default() };
        for (signal, action) in (0i32..).zip(&*self.signals.actions.0.lock()) {
            match action.handler {
                SIG_DFL => {}
                SIG_IGN => sets.ignored |= SigSet::of(signal).0,
                _ => sets.caught |= SigSet::of(signal).0,
            }
        }
        if let Some(thread) = thread {
            sets.own_pending = thread.signals.own.lock().pending.set().0;
            sets.blocked = thread.signals.blocked().0;
            sets.pending |= sets.own_pending;
        }
        sets
    }
    /// Whether a signal has stopped it.
    pub(crate) fn stopped(&self) -> bool {
        self.signals.stopped.load(Ordering::Relaxed)
    }
    /// Sends a signal to the process: whichever thread does not block it takes it.
    pub fn send_signal(&self, info: SignalInfo) -> Result<()> {
        self.post(info, Recipient::Process).map(drop)
    }

    /// The action for a signal.
    pub(crate) fn signal_action(&self, signal: i32) -> Action {
        self.signals.actions.of(signal).unwrap_or_default()
    }

    /// execve(2): caught signals get their default action back, ignored ones stay ignored.
    pub(crate) fn reset_signal_handlers(&self) {
        let actions = &self.signals.actions;
        if actions.is_shared() {
            drop(actions.replace(task::UseCounted::new(actions.copy())));
        }
        for action in &mut *actions.0.lock() {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = Action { handler, ..Action::default() };
        }
    }

    /// Sends a signal to the process or one of its threads. `false`: it was ignored.
    pub(crate) fn post(&self, info: SignalInfo, to: Recipient<'_>) -> Result<bool> {
        let posted = self.post_quietly(info, to)?;
        if let Some(thread) = &posted.asleep {
            thread.waiter.finish_wake();
        }
        Ok(posted.kept)
    }

    /// The same, but who sleeps goes on sleeping until whoever sent it wakes it.
    pub(crate) fn post_quietly(&self, info: SignalInfo, to: Recipient<'_>) -> Result<Posted> {
        let signal = info.signal;
        let threads = self.threads();
        let timers = if info.is_privileged() { 0 } else { self.timers.count() };
        let mut shared = self.signals.shared.lock();
        let action = self.signals.actions.of(signal).ok_or(Error::Invalid)?;
        if signal == SIGKILL {
            drop(shared);
            // In this order: a thread that was stopped must not run on before it leaves.
            self.begin_exit(SIGKILL);
            self.resume();
            return Ok(Posted { kept: true, asleep: None });
        }
        let against = if signal == SIGCONT {
            SigSet::STOPS
        } else if SigSet::STOPS.has(signal) {
            SigSet::of(SIGCONT)
        } else {
            SigSet(0)
        };
        if against.0 != 0 {
            shared.pending.discard(against);
            for thread in &threads {
                thread.signals.own.lock().pending.discard(against);
            }
        }
        if signal == SIGCONT && self.resume() {
            self.stop_report.store(0, Ordering::Release);
            self.resumed.store(true, Ordering::Release);
        }
        let ignored =
            action.handler == SIG_IGN || action.handler == SIG_DFL && default_action(signal) == DefaultAction::Ignore;
        let judge = to.thread().or(threads.first());
        if ignored && judge.is_none_or(|t| !t.signals.blocked().has(signal)) {
            drop(shared);
            if let Some(thread) = judge.filter(|thread| thread.traced) {
                thread.trace_signal(&info, &action);
            }
            return Ok(Posted { kept: false, asleep: None });
        }
        // Linux counts all signals of a user; this counts those of the process.
        let queued = || {
            let own = threads.iter().map(|t| t.signals.own.lock().pending.queued());
            (shared.pending.queued() + timers + own.sum::<usize>()) as u64
        };
        let room = info.is_privileged() || queued() < self.pending_limit();
        let taker = if let Some(thread) = to.thread() {
            thread.signals.own.lock().pending.add(info, room)?;
            thread.signals.wants(signal).then_some(thread)
        } else {
            shared.pending.add(info, room)?;
            to.taker(&threads, signal)
        };
        drop(shared);
        self.tell_signal_files(signal);
        let asleep = taker.filter(|thread| thread.mark_interrupted()).cloned();
        Ok(Posted { kept: true, asleep })
    }

    /// Ends a stop (SIGCONT, SIGKILL).
    fn resume(&self) -> bool {
        let was_stopped = self.signals.stopped.swap(false, Ordering::SeqCst);
        if was_stopped {
            for thread in self.threads() {
                thread.interrupt();
            }
        }
        was_stopped
    }

    /// After a thread changed its mask or is leaving: others may have to take what is pending for the process.
    pub(crate) fn wake_for_pending(&self) {
        let set = self.signals.shared.lock().pending.set();
        if set.0 != 0 {
            for thread in self.threads() {
                if set.without(thread.signals.blocked()).0 != 0 {
                    thread.interrupt();
                }
            }
        }
    }

    /// Sets an action; pending signals that it ignores are dropped, as POSIX wants.
    pub(crate) fn set_signal_action(&self, signal: i32, new: Action) {
        let threads = self.threads();
        let mut shared = self.signals.shared.lock();
        self.signals.actions.set(signal, new);
        let ignored =
            new.handler == SIG_IGN || new.handler == SIG_DFL && default_action(signal) == DefaultAction::Ignore;
        if ignored {
            shared.pending.discard(SigSet::of(signal));
            for thread in threads {
                thread.signals.own.lock().pending.discard(SigSet::of(signal));
            }
        }
    }
}

/// Whether `signal` may have an action set.
pub(crate) fn catchable(signal: i32) -> bool {
    (1..=MAX_SIGNAL).contains(&signal) && signal != SIGKILL && signal != SIGSTOP
}
