//! What clone(2) can share: address space and signal actions between processes, descriptors and places between threads.
//!
//! Whoever has a part looks at it all the time and exchanges it only when it executes a program or stops sharing. So
//! looking is one load: what a part was before stays allocated, though emptied, for as long as its holder is there.

use alloc::sync::Arc;
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use litebox::fs::{FdTable, FsContext};
use litebox::sync::Mutex;
use smallvec::{SmallVec, smallvec};

/// What several may use, and how many do.
pub struct UseCounted<T> {
    users: AtomicU32,
    value: T,
}

impl<T> UseCounted<T> {
    /// A new value, used by nobody yet.
    pub fn new(value: T) -> Arc<Self> {
        Arc::new(Self { users: AtomicU32::new(0), value })
    }
    /// One more uses it.
    fn join(&self) {
        self.users.fetch_add(1, Ordering::AcqRel);
    }
}

impl<T> Deref for UseCounted<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// What a new thread begins with.
pub struct CloneShares {
    /// Open descriptors.
    pub files: Arc<UseCounted<Arc<FdTable>>>,
    /// Root, working directory, umask.
    pub fs: Arc<UseCounted<Arc<FsContext>>>,
}

impl CloneShares {
    /// Descriptors and places that nobody else uses.
    pub fn own(files: Arc<FdTable>, fs: Arc<FsContext>) -> Self {
        Self { files: UseCounted::new(files), fs: UseCounted::new(fs) }
    }
}

/// What one of them uses of it.
pub struct SharedByClone<T> {
    now: AtomicPtr<UseCounted<T>>,
    /// All it ever was; the last is the present one.
    kept: Mutex<SmallVec<[Arc<UseCounted<T>>; 1]>>,
    left: AtomicBool,
    /// It has left as the last.
    left_last: AtomicBool,
}

impl<T> SharedByClone<T> {
    /// Begins with `shared`.
    pub fn new(shared: Arc<UseCounted<T>>) -> Self {
        shared.join();
        let now = AtomicPtr::new(Arc::as_ptr(&shared).cast_mut());
        Self {
            now,
            kept: Mutex::new(smallvec![shared]),
            left: AtomicBool::new(false),
            left_last: AtomicBool::new(false),
        }
    }
    /// The present one, to be shared.
    pub fn shared(&self) -> Option<Arc<UseCounted<T>>> {
        self.kept.lock().last().cloned()
    }
    /// Whether others use it too.
    #[inline]
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
    /// Uses `new` from now on; returns the old one if nobody uses it any more.
    pub fn replace(&self, new: Arc<UseCounted<T>>) -> Option<Arc<UseCounted<T>>> {
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
    /// The holder ends; returns whether nobody uses it any more.
    pub fn leave(&self) -> bool {
        if !self.left.swap(true, Ordering::AcqRel) && self.present().users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.left_last.store(true, Ordering::Release);
        }
        self.left_last.load(Ordering::Acquire)
    }
    /// All that it ever was, and that nobody uses any more.
    pub fn unused(&self) -> SmallVec<[Arc<UseCounted<T>>; 1]> {
        let kept = self.kept.lock().clone();
        kept.into_iter().filter(|part| part.users.load(Ordering::Acquire) == 0).collect()
    }
    /// The holder, who has left, goes on after all. Somebody else must have used it all the while.
    pub fn come_back(&self) {
        if self.left.swap(false, Ordering::AcqRel) {
            self.left_last.store(false, Ordering::Release);
            self.present().join();
        }
    }
    fn present(&self) -> &UseCounted<T> {
        // SAFETY: what is present is in `kept`, where nothing is taken out while `self` lives.
        unsafe { &*self.now.load(Ordering::Acquire) }
    }
}

impl<T> Drop for SharedByClone<T> {
    fn drop(&mut self) {
        // A holder that never started.
        self.leave();
    }
}

impl<T> Deref for SharedByClone<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.present().value
    }
}
