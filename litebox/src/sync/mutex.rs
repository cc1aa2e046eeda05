//! Mutual exclusion on a futex word: 0 free, 1 held, 2 held with sleepers.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use super::atomic::{AtomicU32, Ordering};
use super::const_fn;
#[cfg(debug_assertions)]
use super::order::Way;
use crate::platform::host;

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;
/// Looks at a lock before sleeping on it. In a model each is a step more, and a sleep is as good.
const SPINS: u32 = if cfg!(loom) { 1 } else { 64 };

/// A mutex in shared memory. Not poisoned: a panic ends the sandbox.
pub struct Mutex<T: ?Sized> {
    word: AtomicU32,
    #[cfg(debug_assertions)]
    class: super::order::ClassOf,
    value: UnsafeCell<T>,
}

// SAFETY: the word admits one holder at a time, so `&Mutex<T>` hands out `&mut T` to one thread only.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: owning the mutex is owning the value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T: Default> Default for Mutex<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Mutex<T> {
    const_fn! {
        /// A free mutex around `value`.
        #[track_caller]
        pub fn new(value: T) -> Self {
            Self {
                word: AtomicU32::new(FREE),
                #[cfg(debug_assertions)]
                class: super::order::ClassOf::new(),
                value: UnsafeCell::new(value),
            }
        }
    }
    /// Takes the value out.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock, sleeping if needed.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        super::jitter();
        #[cfg(debug_assertions)]
        self.class.will_wait(core::any::type_name::<T>(), Way::Write);
        if self.word.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_slow();
        }
        MutexGuard::of(self)
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        // Not `then_some`: a guard that is made frees the lock when it ends, even somebody else's.
        self.word
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            .then(|| MutexGuard::of(self))
    }

    #[cold]
    fn lock_slow(&self) {
        for _ in 0..SPINS {
            if self.word.load(Ordering::Relaxed) == FREE
                && self.word.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
            core::hint::spin_loop();
        }
        let mut patience = super::Patience::default();
        while self.word.swap(CONTENDED, Ordering::Acquire) != FREE {
            patience.wait(&self.word, CONTENDED);
        }
    }

    /// The value, when the lock is owned exclusively anyway.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// The lock held; released when dropped.
pub struct MutexGuard<'a, T: ?Sized> {
    lock: &'a Mutex<T>,
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The calling thread just took the lock.
    #[inline]
    fn of(lock: &'a Mutex<T>) -> Self {
        #[cfg(debug_assertions)]
        lock.class.taken(core::any::type_name::<T>(), Way::Write);
        Self { lock }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        super::jitter();
        #[cfg(debug_assertions)]
        self.lock.class.given_back(Way::Write);
        if self.lock.word.swap(FREE, Ordering::Release) == CONTENDED {
            host().futex_wake(&self.lock.word, 1);
        }
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard exists only while the lock is held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard exists only while the lock is held, and it is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;
    use super::Mutex;

    #[test]
    fn counts_from_many_threads() {
        let m = Mutex::new(0u32);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..10_000 {
                        *m.lock() += 1;
                    }
                });
            }
        });
        assert_eq!(*m.lock(), 40_000);
        let held = m.lock();
        assert!(m.try_lock().is_none());
        assert!(m.try_lock().is_none(), "the first try must not have freed it");
        drop(held);
        assert!(m.try_lock().is_some());
    }
}
