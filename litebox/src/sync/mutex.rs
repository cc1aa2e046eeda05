//! Mutual exclusion.

use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use super::const_fn;
use super::holder::{ChangeMark, Changing, end_sandbox};
#[cfg(debug_assertions)]
use super::order::Way;
use super::raw::RawLock;

/// A mutex in shared memory. Not poisoned: a panic ends the sandbox. What becomes of it when its holder is killed:
/// `holder.rs`.
pub struct Mutex<T: ?Sized> {
    lock: RawLock,
    changing: Changing,
    #[cfg(debug_assertions)]
    class: super::order::ClassOf,
    /// Dropped unless it is broken.
    value: UnsafeCell<ManuallyDrop<T>>,
}

// SAFETY: the lock admits one holder at a time, so `&Mutex<T>` hands out `&mut T` to one thread only.
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
                lock: RawLock::new(),
                changing: Changing::no(),
                #[cfg(debug_assertions)]
                class: super::order::ClassOf::new(),
                value: UnsafeCell::new(ManuallyDrop::new(value)),
            }
        }
    }
    /// Takes the value out.
    pub fn into_inner(self) -> T {
        let mut lock = ManuallyDrop::new(self);
        // SAFETY: the lock is not dropped, so the value is taken once.
        unsafe { ManuallyDrop::take(lock.value.get_mut()) }
    }
}

impl<T: ?Sized> Drop for Mutex<T> {
    #[inline]
    fn drop(&mut self) {
        // Who was changing it is gone, for nobody else has a guard: what is half changed leaks.
        if !self.changing.is_begun() {
            // SAFETY: the value is dropped here alone, and not used afterwards.
            unsafe { ManuallyDrop::drop(self.value.get_mut()) };
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock, sleeping if needed.
    #[cfg_attr(debug_assertions, track_caller)]
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.lock_or(|| {})
    }

    /// As [`Mutex::lock`]. `repair` is called first, with the lock held, when it was that of a process that is gone: a
    /// lock may stand for more than its value.
    #[cfg_attr(debug_assertions, track_caller)]
    #[inline]
    pub fn lock_or(&self, repair: impl FnOnce()) -> MutexGuard<'_, T> {
        if self.wait() {
            if self.changing.is_begun() {
                end_sandbox(core::any::type_name::<T>());
            }
            let guard = MutexGuard::of(self);
            repair();
            return guard;
        }
        MutexGuard::of(self)
    }

    /// As [`Mutex::lock`]; `None` where the value is broken ([`Mutex::is_broken`]), and stays so.
    pub fn lock_if_whole(&self) -> Option<MutexGuard<'_, T>> {
        if self.wait() && self.changing.is_begun() {
            self.lock.abandon();
            return None;
        }
        Some(MutexGuard::of(self))
    }

    /// Takes the lock; says whether it was that of a process that is gone.
    #[inline]
    fn wait(&self) -> bool {
        super::jitter();
        #[cfg(debug_assertions)]
        self.class.will_wait(core::any::type_name::<T>(), Way::Write);
        let mut is_inherited = false;
        self.lock.lock(|| is_inherited = true);
        is_inherited
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        // Not `then_some`: a guard that is made frees the lock when it ends, even somebody else's.
        self.lock.try_lock().then(|| MutexGuard::of(self))
    }

    /// Whether a process that is gone was changing the value: who locks it ends the sandbox.
    pub fn is_broken(&self) -> bool {
        self.lock.is_orphaned() && self.changing.is_begun()
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

impl<T: ?Sized> MutexGuard<'_, T> {
    /// The value, whose changes the caller marks: whatever is done to it without a mark leaves it whole at any moment,
    /// as bytes do that nobody counts yet.
    #[inline]
    pub fn with_mark(&mut self) -> (&mut T, ChangeMark<'_>) {
        // SAFETY: the guard exists only while the lock is held, and it is borrowed mutably.
        (unsafe { &mut *self.lock.value.get() }, ChangeMark(&self.lock.changing))
    }

    /// The value is whole again, and so it stays until it is next changed: to be called before something long.
    #[inline]
    pub fn settle(&mut self) {
        self.lock.changing.end();
    }
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
        self.lock.changing.end();
        self.lock.lock.unlock();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists only while the lock is held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.lock.changing.begin();
        // SAFETY: the guard exists only while the lock is held, and it is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;
    use super::Mutex;
    use crate::platform::mock::LOST_PROCESS;

    #[test]
    fn what_nobody_was_changing_passes_on() {
        let m = Mutex::new(7);
        for _ in 0..2 {
            m.lock.hold_as(LOST_PROCESS);
            assert!(m.try_lock().is_none());
            assert!(!m.is_broken());
            let mut repaired = false;
            assert_eq!(*m.lock_or(|| repaired = true), 7);
            assert!(repaired);
        }
        assert_eq!(*m.lock_or(|| unreachable!("it was given back")), 7);
    }

    #[test]
    fn what_was_changed_is_broken_and_stays_so() {
        let m = Mutex::new((1, 2));
        let mut held = m.lock();
        held.0 = 2;
        m.lock.hold_as(LOST_PROCESS);
        for _ in 0..2 {
            assert!(m.is_broken());
            assert!(m.lock_if_whole().is_none());
        }
        core::mem::forget(held);
        let other = Mutex::new(1);
        let mut held = other.lock();
        *held = 2;
        held.settle();
        other.lock.hold_as(LOST_PROCESS);
        core::mem::forget(held);
        assert_eq!(other.lock_if_whole().as_deref(), Some(&2), "the change was over");
    }

    #[test]
    fn what_is_half_changed_is_not_dropped() {
        for (is_changed, left) in [(false, 1), (true, 2)] {
            let value = std::sync::Arc::new(());
            let m = Mutex::new(value.clone());
            let mut held = m.lock();
            if is_changed {
                *held = value.clone();
            }
            core::mem::forget(held);
            drop(m);
            assert_eq!(std::sync::Arc::strong_count(&value), left);
        }
        let value = std::sync::Arc::new(());
        drop(Mutex::new(value.clone()).into_inner());
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    }

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
