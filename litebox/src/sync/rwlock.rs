//! Many readers or one writer, on one futex word.
//!
//! The word holds the number of readers, or [`WRITER`]; [`SLEEPERS`] says that somebody sleeps on it. New readers enter
//! past a sleeping writer: a reader may therefore take the same lock again without deadlock.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use super::Patience;
use super::atomic::{AtomicU32, Ordering};
use super::const_fn;
#[cfg(debug_assertions)]
use super::order::Way;
use crate::platform::host;

const WRITER: u32 = 1 << 30;
const SLEEPERS: u32 = 1 << 31;
const STATE: u32 = !SLEEPERS;

/// A readers-writer lock in shared memory.
pub struct RwLock<T: ?Sized> {
    word: AtomicU32,
    #[cfg(debug_assertions)]
    class: super::order::ClassOf,
    value: UnsafeCell<T>,
}

// SAFETY: readers share `&T` (T: Sync), a writer has it alone (T: Send).
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
// SAFETY: owning the lock is owning the value.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}

impl<T: Default> Default for RwLock<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> RwLock<T> {
    const_fn! {
        /// A free lock around `value`.
        #[track_caller]
        pub fn new(value: T) -> Self {
            Self {
                word: AtomicU32::new(0),
                #[cfg(debug_assertions)]
                class: super::order::ClassOf::new(),
                value: UnsafeCell::new(value),
            }
        }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// The value, when the lock is owned exclusively anyway.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
    /// Takes it for reading.
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        super::jitter();
        #[cfg(debug_assertions)]
        self.class.will_wait(core::any::type_name::<T>(), Way::Read);
        let mut patience = Patience::default();
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & STATE >= WRITER {
                word = self.sleep(word, &mut patience);
                continue;
            }
            match self.word.compare_exchange_weak(word, word + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        #[cfg(debug_assertions)]
        self.class.taken(core::any::type_name::<T>(), Way::Read);
        RwLockReadGuard { lock: self }
    }

    /// Takes it for writing.
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        super::jitter();
        #[cfg(debug_assertions)]
        self.class.will_wait(core::any::type_name::<T>(), Way::Write);
        let mut patience = Patience::default();
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & STATE != 0 {
                word = self.sleep(word, &mut patience);
                continue;
            }
            match self.word.compare_exchange_weak(word, word | WRITER, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        #[cfg(debug_assertions)]
        self.class.taken(core::any::type_name::<T>(), Way::Write);
        RwLockWriteGuard { lock: self }
    }

    /// The value, without the lock.
    ///
    /// # Safety
    /// Nobody writes to it while the reference is there.
    #[inline]
    pub unsafe fn unlocked(&self) -> &T {
        // SAFETY: there are only readers (the caller's promise).
        unsafe { &*self.value.get() }
    }

    /// Sleeps while the word is what was seen; returns what it is then.
    #[cold]
    fn sleep(&self, seen: u32, patience: &mut Patience) -> u32 {
        let marked = seen | SLEEPERS;
        if seen != marked {
            if let Err(now) = self.word.compare_exchange(seen, marked, Ordering::Relaxed, Ordering::Relaxed) {
                return now;
            }
        }
        patience.wait(&self.word, marked);
        self.word.load(Ordering::Relaxed)
    }

    fn release(&self, amount: u32) {
        #[cfg(debug_assertions)]
        self.class.given_back(if amount == WRITER { Way::Write } else { Way::Read });
        let before = self.word.fetch_sub(amount, Ordering::Release);
        if before & SLEEPERS != 0 && (before & STATE) == amount {
            // Whoever still has to sleep sets the bit again.
            self.word.fetch_and(!SLEEPERS, Ordering::Relaxed);
            host().futex_wake(&self.word, u32::MAX >> 1);
        }
    }
}

/// Held for reading.
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

/// Held for writing.
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.release(1);
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.release(WRITER);
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: no writer exists while a read guard does.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the write guard is alone.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the write guard is alone and borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;
    use super::RwLock;

    #[test]
    fn readers_and_writers_agree() {
        let l = RwLock::new((0u32, 0u32));
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    for _ in 0..5_000 {
                        let mut w = l.write();
                        w.0 += 1;
                        w.1 += 1;
                    }
                });
                s.spawn(|| {
                    for _ in 0..5_000 {
                        let r = l.read();
                        assert_eq!(r.0, r.1);
                    }
                });
            }
        });
        assert_eq!(*l.read(), (10_000, 10_000));
    }
}
