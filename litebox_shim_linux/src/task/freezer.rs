//! All programs of the sandbox stand still for a while, and see nothing of it: none has a signal, no call is
//! interrupted.
//!
//! A thread stands still on its way to guest code, or inside the sleep it is in, where it holds no lock. One that is
//! busy in the kernel is not waited for longer than [`PATIENCE`]: what it changes meanwhile is seen in part.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, Ordering};
use core::time::Duration;

use litebox::platform::host;

use super::{Kernel, Process, Thread};

/// How long threads may take until they stand still: those that are busy in the kernel,
const PATIENCE: Duration = Duration::from_millis(250);
/// and those that the host has not let run yet.
const LONG_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether they do.
const LOOK: Duration = Duration::from_millis(1);
/// How often those who stand still look whether the one they do it for is still there.
const REMINDER: Duration = Duration::from_secs(1);

/// For whom the others stand still.
#[derive(Default)]
pub(crate) struct Freezer {
    /// Its process id; 0: nobody.
    holder: AtomicI32,
}

/// They stand still until this is dropped.
pub(crate) struct Frozen<'a>(&'a Kernel);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.freezer.holder.store(0, Ordering::SeqCst);
        for thread in self.0.processes().iter().flat_map(|process| process.threads()) {
            thread.waiter.wake();
        }
    }
}

impl Freezer {
    /// Whether the threads of this process are to stand still.
    #[inline]
    fn stops(&self, process: &Process) -> bool {
        let holder = self.holder.load(Ordering::SeqCst);
        holder != 0 && holder != process.pid
    }
}

impl Kernel {
    /// Has all threads but those of the caller's process stand still. `None`: somebody else does that just now.
    pub(crate) fn freeze(&self, caller: &Thread) -> Option<Frozen<'_>> {
        let pid = caller.process.pid;
        self.freezer.holder.compare_exchange(0, pid, Ordering::SeqCst, Ordering::SeqCst).ok()?;
        let frozen = Frozen(self);
        let begin = host().instant();
        let (until, last) = (begin.saturating_add(PATIENCE), begin.saturating_add(LONG_PATIENCE));
        loop {
            let all = self.processes().into_iter().filter(|process| process.pid != pid);
            let moving: Vec<_> = all.flat_map(|process| process.threads()).filter(|t| t.moves()).collect();
            for thread in &moving {
                thread.interrupt();
            }
            let now = host().instant();
            let only_busy = now >= until && !moving.iter().any(|thread| thread.runs_guest_code());
            if moving.is_empty() || only_busy || now >= last {
                return Some(frozen);
            }
            let ticket = caller.waiter.ticket();
            // Whatever it is interrupted for, it looks at soon.
            if caller.waiter.sleep(ticket, Some(host().instant().saturating_add(LOOK))).is_err() && caller.is_leaving()
            {
                return Some(frozen);
            }
        }
    }
}

impl Thread {
    fn is_leaving(&self) -> bool {
        self.dead.load(Ordering::Acquire) || self.process.must_leave(self)
    }

    /// It has not come to the kernel yet.
    fn runs_guest_code(&self) -> bool {
        const IN_GUEST: u32 = 1;
        self.host.mode.load(Ordering::SeqCst) == IN_GUEST
    }

    /// It does not stand still yet.
    fn moves(&self) -> bool {
        !self.stands_still.load(Ordering::Acquire) && !self.is_leaving()
    }

    /// Stands still as long as all others do. With no lock held.
    #[inline]
    pub(crate) fn stand_still(&self) {
        if self.process.kernel.freezer.stops(&self.process) {
            self.stand_still_now();
        }
    }

    #[cold]
    fn stand_still_now(&self) {
        let (process, freezer) = (&self.process, &self.process.kernel.freezer);
        if self.stands_still.swap(true, Ordering::AcqRel) {
            // Interrupted while it does.
            return;
        }
        while freezer.stops(process) && !self.is_leaving() {
            if self.waiter.clear_interrupt() {
                process.take_arrived_signals();
                process.pass_kick_on(self);
            }
            let ticket = self.waiter.ticket();
            if freezer.stops(process) && !self.is_leaving() {
                let _ = self.waiter.sleep(ticket, Some(host().instant().saturating_add(REMINDER)));
            }
            let holder = freezer.holder.load(Ordering::SeqCst);
            if holder != 0 && process.kernel.process(holder).is_none_or(|holder| holder.thread_count() == 0) {
                // Killed from outside.
                let _ = freezer.holder.compare_exchange(holder, 0, Ordering::SeqCst, Ordering::SeqCst);
            }
        }
        self.stands_still.store(false, Ordering::Release);
        // What came meanwhile is looked at.
        self.waiter.interrupt();
    }
}
