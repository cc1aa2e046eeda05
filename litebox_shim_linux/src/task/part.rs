//! A part of a process that clone(2) can share with another process: address space, descriptors, places.
//!
//! A process looks at its parts all the time and exchanges one only when it executes a program or stops sharing. So looking is one
//! load: what a part was before stays allocated, though emptied, for as long as the process is there.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use litebox::sync::Mutex;

/// What several processes may use, and how many do.
pub struct Shared<T> {
    users: AtomicU32,
    /// Several processes used it at some time.
    ever_by_others: AtomicBool,
    value: T,
}

impl<T> Shared<T> {
    /// A new value, used by nobody yet.
    pub fn new(value: T) -> Arc<Self> {
        Arc::new(Self { users: AtomicU32::new(0), ever_by_others: AtomicBool::new(false), value })
    }
    /// One process more uses it.
    fn join(&self) {
        if self.users.fetch_add(1, Ordering::AcqRel) > 0 {
            self.ever_by_others.store(true, Ordering::Release);
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// What one process uses of it.
pub struct Part<T> {
    now: AtomicPtr<Shared<T>>,
    /// All it ever was; the last is the present one.
    kept: Mutex<Vec<Arc<Shared<T>>>>,
    left: AtomicBool,
}

impl<T> Part<T> {
    /// Begins with `shared`.
    pub fn new(shared: Arc<Shared<T>>) -> Self {
        shared.join();
        let now = AtomicPtr::new(Arc::as_ptr(&shared).cast_mut());
        Self { now, kept: Mutex::new(alloc::vec![shared]), left: AtomicBool::new(false) }
    }
    /// The present one, to be shared.
    pub fn shared(&self) -> Option<Arc<Shared<T>>> {
        self.kept.lock().last().cloned()
    }
    /// Whether others use it too.
    pub fn is_shared(&self) -> bool {
        self.present().users.load(Ordering::Acquire) > 1
    }
    /// Whether others use it, also after this process has left.
    pub fn has_others(&self) -> bool {
        let own = u32::from(!self.left.load(Ordering::Acquire));
        self.present().users.load(Ordering::Acquire) > own
    }
    /// Whether another process uses the same.
    pub fn is_same(&self, other: &Self) -> bool {
        core::ptr::eq(self.now.load(Ordering::Acquire), other.now.load(Ordering::Acquire))
    }
    /// Whether it was what another process uses now.
    pub fn has_been(&self, other: &Self) -> bool {
        let now = other.now.load(Ordering::Acquire);
        self.kept.lock().iter().any(|kept| core::ptr::eq(Arc::as_ptr(kept), now))
    }
    /// Whether others use it or once did, and may still be about to leave it.
    #[inline]
    pub fn was_shared(&self) -> bool {
        self.present().ever_by_others.load(Ordering::Acquire)
    }
    /// Uses `new` from now on; returns the old one if nobody uses it any more.
    pub fn replace(&self, new: Arc<Shared<T>>) -> Option<Arc<Shared<T>>> {
        new.join();
        let mut kept = self.kept.lock();
        let old = kept.last().cloned();
        self.now.store(Arc::as_ptr(&new).cast_mut(), Ordering::Release);
        if !kept.iter().any(|k| Arc::ptr_eq(k, &new)) {
            kept.push(new);
        } else if let Some(at) = kept.iter().position(|k| Arc::ptr_eq(k, &new)) {
            // Back to what it was: the present one is the last.
            let again = kept.remove(at);
            kept.push(again);
        }
        old.filter(|old| old.users.fetch_sub(1, Ordering::AcqRel) == 1)
    }
    /// The process ends; returns whether nobody uses it any more.
    pub fn leave(&self) -> bool {
        !self.left.swap(true, Ordering::AcqRel) && self.present().users.fetch_sub(1, Ordering::AcqRel) == 1
    }
    fn present(&self) -> &Shared<T> {
        // SAFETY: what is present is in `kept`, where nothing is taken out while `self` lives.
        unsafe { &*self.now.load(Ordering::Acquire) }
    }
}

impl<T> Drop for Part<T> {
    fn drop(&mut self) {
        // A process that never started.
        self.leave();
    }
}

impl<T> Deref for Part<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.present().value
    }
}
