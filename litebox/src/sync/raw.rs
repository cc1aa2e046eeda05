//! A lock without a value, on a futex word: 0 free, else the number of the process that holds it, with a bit that
//! says that somebody sleeps.

use super::atomic::{AtomicU32, Ordering};
use super::holder::{self, are_lost};
use super::{Patience, const_fn};
use crate::platform::host;

const FREE: u32 = 0;
const CONTENDED: u32 = holder::NUMBERS_END;
/// Looks at a lock before sleeping on it. In a model each is a step more, and a sleep is as good.
const SPINS: u32 = if cfg!(loom) { 1 } else { 64 };

/// A lock that knows its holder.
pub struct RawLock(AtomicU32);

impl Default for RawLock {
    fn default() -> Self {
        Self::new()
    }
}

impl RawLock {
    const_fn! {
        /// A free lock.
        pub fn new() -> Self {
            Self(AtomicU32::new(FREE))
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> bool {
        self.0.compare_exchange(FREE, holder::own_number(), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the lock, sleeping if needed. `inherited` is called when it was that of a process that is gone.
    #[inline]
    pub fn lock(&self, inherited: impl FnOnce()) {
        if !self.try_lock() && self.lock_slow() {
            inherited();
        }
    }

    /// Says whether the lock was that of a process that is gone.
    #[cold]
    fn lock_slow(&self) -> bool {
        for _ in 0..SPINS {
            if self.0.load(Ordering::Relaxed) == FREE && self.try_lock() {
                return false;
            }
            core::hint::spin_loop();
        }
        let mut patience = Patience::default();
        loop {
            let seen = self.0.load(Ordering::Relaxed);
            let is_inherited = seen != FREE && are_lost(1, seen & !CONTENDED);
            let is_free = seen == FREE || is_inherited;
            // Others may sleep, too. The holder may be another thread of this process: the number says nothing of that.
            let wanted = if is_free { holder::own_number() | CONTENDED } else { seen | CONTENDED };
            if self.0.compare_exchange(seen, wanted, Ordering::Acquire, Ordering::Relaxed).is_err() {
                continue;
            }
            if is_free {
                return is_inherited;
            }
            patience.wait(&self.0, wanted);
        }
    }

    /// Gives it back: by whoever has it.
    #[inline]
    pub fn unlock(&self) {
        if self.0.swap(FREE, Ordering::Release) & CONTENDED != 0 {
            host().futex_wake(&self.0, 1);
        }
    }

    /// Gives it back as that of nobody: whoever wants it inherits what is broken.
    pub(super) fn abandon(&self) {
        if self.0.swap(holder::NOBODY, Ordering::Release) & CONTENDED != 0 {
            host().futex_wake(&self.0, u32::MAX >> 1);
        }
    }

    /// Process `number` holds it.
    #[cfg(all(test, not(loom)))]
    pub(super) fn hold_as(&self, number: u32) {
        self.0.store(number, Ordering::Relaxed);
    }

    /// Whether its holder is gone.
    pub(super) fn is_orphaned(&self) -> bool {
        let seen = self.0.load(Ordering::Acquire) & !CONTENDED;
        seen != FREE && are_lost(1, seen)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;
    use super::{CONTENDED, FREE, RawLock};
    use core::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn threads_of_one_process_wait_for_each_other() {
        let lock = RawLock::new();
        let is_in = AtomicBool::new(false);
        lock.lock(|| {});
        std::thread::scope(|s| {
            let second = s.spawn(|| {
                lock.lock(|| {});
                is_in.store(true, Ordering::SeqCst);
                lock.unlock();
            });
            while lock.0.load(Ordering::SeqCst) & CONTENDED == 0 {
                std::thread::yield_now();
            }
            // It has said that it sleeps. Were it in, it would say that next.
            for _ in 0..1000 {
                std::thread::yield_now();
            }
            assert!(!is_in.load(Ordering::SeqCst), "the first thread has it");
            lock.unlock();
            assert!(second.join().is_ok());
        });
        assert_eq!(lock.0.load(Ordering::SeqCst), FREE);
    }
}
