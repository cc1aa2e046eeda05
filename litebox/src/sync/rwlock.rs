//! Many readers or one writer.
//!
//! The state holds the number of readers, or [`WRITER`]; [`SLEEPERS`] says that somebody sleeps. New readers enter past
//! a sleeping writer: a reader may therefore take the same lock again without deadlock. The upper half is the sum of
//! the numbers of the processes that hold it, so that those of one that is gone are known.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use super::atomic::{AtomicU32, AtomicU64, Ordering};
use super::holder::{Changing, are_lost, end_sandbox, own_number};
#[cfg(debug_assertions)]
use super::order::Way;
use super::{Patience, const_fn};
use crate::platform::host;

const READER: u64 = 1;
const WRITER: u64 = 1 << 30;
const SLEEPERS: u64 = 1 << 31;
/// Who holds it, and how.
const COUNT: u64 = SLEEPERS - 1;
const SUM_SHIFT: u32 = 32;

/// A readers-writer lock in shared memory.
pub struct RwLock<T: ?Sized> {
    state: AtomicU64,
    /// Counts how often sleepers were woken; what they sleep on.
    wakes: AtomicU32,
    changing: Changing,
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
                state: AtomicU64::new(0),
                wakes: AtomicU32::new(0),
                changing: Changing::no(),
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
    #[cfg_attr(debug_assertions, track_caller)]
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        super::jitter();
        #[cfg(debug_assertions)]
        self.class.will_wait(core::any::type_name::<T>(), Way::Read);
        let mut patience = Patience::default();
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & COUNT >= WRITER {
                state = self.sleep(state, &mut patience);
                continue;
            }
            let entered = state.wrapping_add(Self::own(READER));
            match self.state.compare_exchange_weak(state, entered, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        #[cfg(debug_assertions)]
        self.class.taken(core::any::type_name::<T>(), Way::Read);
        RwLockReadGuard { lock: self }
    }

    /// Takes it for writing.
    #[cfg_attr(debug_assertions, track_caller)]
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        super::jitter();
        #[cfg(debug_assertions)]
        self.class.will_wait(core::any::type_name::<T>(), Way::Write);
        let mut patience = Patience::default();
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & COUNT != 0 {
                state = self.sleep(state, &mut patience);
                continue;
            }
            let entered = state.wrapping_add(Self::own(WRITER));
            match self.state.compare_exchange_weak(state, entered, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
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

    /// What one holder adds to the state.
    #[inline]
    fn own(count: u64) -> u64 {
        count | u64::from(own_number()) << SUM_SHIFT
    }

    /// Sleeps while the state is what was seen; returns what it is then.
    #[cfg_attr(debug_assertions, track_caller)]
    #[cold]
    fn sleep(&self, seen: u64, patience: &mut Patience) -> u64 {
        let wakes = self.wakes.load(Ordering::Acquire);
        let marked = seen | SLEEPERS;
        // Also when the mark is there: whoever clears it from here on wakes.
        if let Err(now) = self.state.compare_exchange(seen, marked, Ordering::AcqRel, Ordering::Relaxed) {
            return now;
        }
        if !self.take_from_lost(marked) {
            patience.wait(&self.wakes, wakes);
            if patience.is_over() {
                end_sandbox(core::any::type_name::<T>());
            }
        }
        self.state.load(Ordering::Relaxed)
    }

    /// Frees it, if those who hold it in this state are gone. Readers that are gone have changed nothing.
    #[cfg_attr(debug_assertions, track_caller)]
    fn take_from_lost(&self, state: u64) -> bool {
        let (count, sum) = (state & COUNT, (state >> SUM_SHIFT) as u32);
        let holders = if count == WRITER { READER } else { count };
        if !are_lost(holders as u32, sum) {
            return false;
        }
        // Whoever is gone takes no lock again, so the state was the same all the time if it is the same afterwards.
        let is_broken = count == WRITER && self.changing.is_begun();
        if is_broken && self.state.load(Ordering::Acquire) == state {
            end_sandbox(core::any::type_name::<T>());
        }
        let is_freed = self.state.compare_exchange(state, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if is_freed {
            // The caller, who waits for the lock, keeps it from being freed.
            self.wakes.fetch_add(1, Ordering::Release);
            self.wake_all();
        }
        is_freed
    }

    fn wake_all(&self) {
        host().futex_wake(&self.wakes, u32::MAX >> 1);
    }

    /// The last holder counts a wake-up while it still has the lock, and makes nothing known of it but the state:
    /// whoever comes next may free the lock with what it guards.
    #[inline]
    fn release(&self, amount: u64) {
        #[cfg(debug_assertions)]
        self.class.given_back(if amount == WRITER { Way::Write } else { Way::Read });
        let mut wakes = false;
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            // Sleepers have looked at the count of wake-ups before they set the mark. Who still has to sleep sets it
            // again.
            let tells = state & SLEEPERS != 0 && state & COUNT == amount;
            let next = if tells { state & !SLEEPERS } else { state.wrapping_sub(Self::own(amount)) };
            match self.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if tells => {
                    self.wakes.fetch_add(1, Ordering::Release);
                    (wakes, state) = (true, next);
                }
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        if wakes {
            self.wake_all();
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

impl<T: ?Sized> RwLockWriteGuard<'_, T> {
    /// The holder begins to change what the lock stands for, which is not its value.
    pub fn begin_change(&self) {
        self.lock.changing.begin();
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.release(READER);
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.changing.end();
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
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.lock.changing.begin();
        // SAFETY: the write guard is alone and borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;
    use super::{READER, RwLock, SUM_SHIFT, WRITER};
    use crate::platform::mock::LOST_PROCESS;
    use core::sync::atomic::Ordering;

    /// A process that is gone holds it so often.
    fn lose<T>(lock: &RwLock<T>, amount: u64, times: u64) {
        let lost = (amount | u64::from(LOST_PROCESS) << SUM_SHIFT).wrapping_mul(times);
        let before = lock.state.load(Ordering::Relaxed);
        lock.state.store(before.wrapping_add(lost), Ordering::Relaxed);
    }

    #[test]
    fn readers_that_are_gone_keep_nobody_out() {
        let l = RwLock::new(1);
        for times in 1..4 {
            lose(&l, READER, times);
            *l.write() += 1;
        }
        assert_eq!(*l.read(), 4);
        let reads = l.read();
        lose(&l, READER, 2);
        std::thread::scope(|s| {
            let writes = s.spawn(|| *l.write() += 1);
            assert_eq!(*reads, 4, "one reader is there still");
            drop(reads);
            assert!(writes.join().is_ok());
        });
        assert_eq!(*l.read(), 5);
        assert_eq!(l.state.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_writer_that_is_gone_and_changed_nothing_keeps_nobody_out() {
        let l = RwLock::new(1);
        lose(&l, WRITER, 1);
        assert_eq!(*l.read(), 1);
        lose(&l, WRITER, 1);
        *l.write() = 2;
        assert_eq!(*l.read(), 2);
    }

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
