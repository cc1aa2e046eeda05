//! Blocks of any size: an allocator of free lists, behind one lock.
//!
//! Its lists are broken while one is changed. When something outside of the sandbox kills a process in that moment, the
//! memory that the allocator had so far is given up: blocks in it stay who has them, and are not taken back when they
//! are freed. It begins anew behind that memory, of which there is plenty and which costs nothing before it is used.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use talc::base::Talc;
use talc::base::binning::{Binning, DefaultBinning};
use talc::source::Source;

use super::HeapLock;

/// The allocator is given so much more memory at once, at least: what one entry of a page table of the second level
/// maps.
const PIECE: usize = 2 << 20;

type Lists = Talc<Growth, DefaultBinning>;
type Guard<'a> = lock_api::MutexGuard<'a, HeapLock, Lists>;

/// How far the allocator's memory reaches. The allocator writes behind its last free block whenever that block becomes
/// smaller, so it is given its memory piece by piece: no process needs page tables for the far end of the addresses.
#[derive(Debug)]
struct Growth {
    /// Behind what it has.
    given: Option<NonNull<u8>>,
    /// Behind what it has, or was about to get.
    reach: AtomicUsize,
    /// Behind what it can have.
    end: usize,
}

// SAFETY: the address of memory that is the allocator's alone, whoever allocates.
unsafe impl Send for Growth {}

// SAFETY: it works on nothing but the allocator that it is handed.
unsafe impl Source for Growth {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, wanted: Layout) -> core::result::Result<(), ()> {
        let Growth { given, end, .. } = talc.source;
        let (Some(given), Some(more)) = (given, wanted.size().checked_add(wanted.align())) else { return Err(()) };
        let old = given.as_ptr() as usize;
        let new = old.checked_add(more).and_then(|to| to.checked_next_multiple_of(PIECE)).ok_or(())?;
        if new > end {
            return Err(());
        }
        talc.source.reach.store(new, Ordering::SeqCst);
        // SAFETY: it ends where the last call said; up to `end` all is mapped, writable, and the allocator's alone.
        talc.source.given = Some(unsafe { talc.extend(given, new as *mut u8) });
        Ok(())
    }
}

/// The allocator.
pub(super) struct Large {
    lists: lock_api::Mutex<HeapLock, Lists>,
    /// What lies below was given up; written under the lock.
    from: AtomicUsize,
}

impl Large {
    pub(super) const fn new() -> Self {
        let growth = Growth { given: None, reach: AtomicUsize::new(0), end: 0 };
        Self { lists: lock_api::Mutex::new(Talc::new(growth)), from: AtomicUsize::new(0) }
    }

    /// Gives it the memory `[start, end)`.
    ///
    /// # Safety
    /// The memory is mapped, writable, and nobody else's.
    pub(super) unsafe fn claim(&self, start: usize, end: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.begin(&mut self.lists.lock(), start, end) };
    }

    /// # Safety
    /// As for [`Large::claim`].
    unsafe fn begin(&self, lists: &mut Lists, start: usize, end: usize) {
        self.from.store(start, Ordering::Relaxed);
        let first = (start + 1).next_multiple_of(PIECE).min(end);
        let growth = Growth { given: None, reach: AtomicUsize::new(first), end };
        // SAFETY: the caller's promise. What was there is not looked at again, so it may be anything; it owns nothing.
        unsafe {
            core::ptr::write(lists, Talc::new(growth));
            lists.source.given = lists.claim(start as *mut u8, first - start);
        }
    }

    /// The lists, whole.
    #[inline]
    fn lock(&self) -> Guard<'_> {
        let mut lists = self.lists.lock();
        // SAFETY: the lock is held; the field is an atomic.
        if unsafe { self.lists.raw() }.is_inherited.load(Ordering::Relaxed) {
            self.begin_anew(&mut lists);
        }
        lists
    }

    /// Whoever had the lock was killed, perhaps in the middle of a change.
    #[cold]
    fn begin_anew(&self, lists: &mut Lists) {
        let (start, end) = (lists.source.reach.load(Ordering::SeqCst), lists.source.end);
        // SAFETY: nothing was given yet of what lies behind its reach.
        unsafe { self.begin(lists, start, end) };
        // Who is killed before this leaves a lock that is inherited again.
        // SAFETY: as in `lock`.
        unsafe { self.lists.raw() }.is_inherited.store(false, Ordering::Relaxed);
    }

    /// # Safety
    /// As for [`GlobalAlloc::alloc`](core::alloc::GlobalAlloc::alloc).
    pub(super) unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.lock().allocate(layout) }.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    /// # Safety
    /// As for [`GlobalAlloc::dealloc`](core::alloc::GlobalAlloc::dealloc).
    pub(super) unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let mut lists = self.lock();
        if !self.is_given_up(block) {
            // SAFETY: the caller's promise; these lists gave it.
            unsafe { lists.deallocate(block, layout) };
        }
    }

    /// # Safety
    /// As for [`GlobalAlloc::realloc`](core::alloc::GlobalAlloc::realloc).
    pub(super) unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise: it is a block of this layout, and `new_size` fits the alignment.
        unsafe {
            let mut lists = self.lock();
            if !self.is_given_up(block) && lists.try_realloc_in_place(block, layout, new_size) {
                return block;
            }
            let moved = lists.allocate(Layout::from_size_align_unchecked(new_size, layout.align()));
            drop(lists);
            let Some(moved) = moved else { return core::ptr::null_mut() };
            core::ptr::copy_nonoverlapping(block, moved.as_ptr(), layout.size().min(new_size));
            self.dealloc(block, layout);
            moved.as_ptr()
        }
    }

    /// Whether these lists do not know the block; to be asked with the lock held.
    fn is_given_up(&self, block: *mut u8) -> bool {
        (block as usize) < self.from.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;
    use core::alloc::Layout;
    use core::sync::atomic::Ordering;

    use super::{Large, PIECE};

    #[test]
    fn lists_that_a_killed_process_broke_are_given_up() {
        const LEN: usize = 64 << 20;
        let (large, layout) = (Large::new(), Layout::from_size_align(5000, 16).unwrap_or(Layout::new::<u8>()));
        let memory = vec![0u64; LEN / 8].leak().as_mut_ptr() as usize;
        // SAFETY: nobody else has it; blocks are used as they were given.
        unsafe {
            large.claim(memory, memory + LEN);
            let old: Vec<_> = (0u8..100).map(|n| (n, large.alloc(layout))).collect();
            for (n, block) in &old {
                block.write_bytes(*n, layout.size());
            }
            for _ in 0..3 {
                // As a process leaves them that is killed while they grow.
                let mut lists = large.lists.lock();
                lists.source.reach.fetch_add(PIECE, Ordering::Relaxed);
                lists.source.given = None;
                let (reach, broken) = (lists.source.reach.load(Ordering::Relaxed), &raw mut *lists);
                broken.cast::<u8>().write_bytes(0xff, core::mem::offset_of!(super::Lists, source).min(16));
                drop(lists);
                large.lists.raw().is_inherited.store(true, Ordering::Relaxed);
                let new = large.alloc(layout);
                assert!(new as usize >= reach && (new as usize) < memory + LEN);
                large.dealloc(new, layout);
                assert_eq!(large.alloc(layout), new, "what the new lists gave, they take back");
            }
            // The old ones are whole, can grow, and are not given to anybody else.
            for (n, block) in old {
                let grown = large.realloc(block, layout, 6000);
                assert!(grown != block && (0..layout.size()).all(|at| *grown.add(at) == n));
                let other = large.alloc(layout);
                assert!(!other.is_null() && (other as usize).abs_diff(block as usize) >= layout.size());
            }
        }
    }
}
