//! Small free blocks at hand, in front of the heap's allocator.
//!
//! The allocator has one lock, and most blocks are small and live shortly. So freed ones are kept in a few shards by size class, each shard
//! behind a lock of its own; a thread uses the shard of its kernel stack. A block comes from the allocator with the whole size of its class, so
//! that any shard may keep it and hand it out again.

use core::alloc::Layout;
use core::sync::atomic::{AtomicU32, Ordering};

use lock_api::RawMutex;

use super::HeapLock;
use crate::stack::SLOT;

/// Sizes of blocks that are kept, ascending. All are multiples of [`ALIGN`].
const CLASSES: [usize; 12] = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];
/// Alignment of every kept block.
const ALIGN: usize = 16;
const SHARDS: usize = 16;
/// Bytes of one class that one shard keeps at most; what is freed beyond goes back to the allocator.
const KEPT: usize = 16 << 10;

/// Class by size in units of [`ALIGN`], rounded up.
const CLASS_OF: [u8; CLASSES[CLASSES.len() - 1] / ALIGN + 1] = {
    let mut table = [0u8; CLASSES[CLASSES.len() - 1] / ALIGN + 1];
    let (mut units, mut class) = (0, 0);
    while units < table.len() {
        if units * ALIGN > CLASSES[class] {
            class += 1;
        }
        table[units] = class as u8;
        units += 1;
    }
    table
};

/// A free block: it holds the address of the next.
struct Free {
    next: *mut Free,
}

/// The free blocks of one class in one shard.
#[derive(Clone, Copy)]
struct List {
    first: *mut Free,
    count: u32,
}

struct Lists([List; CLASSES.len()]);

#[repr(align(64))]
struct Shard<L> {
    lock: L,
    lists: core::cell::UnsafeCell<Lists>,
}

/// Free blocks at hand.
pub(crate) struct Cache<L = HeapLock> {
    shards: [Shard<L>; SHARDS],
    /// Spreads callers that stand on no kernel stack.
    next: AtomicU32,
}

// SAFETY: the lists of a shard are touched under its lock alone; the blocks in them are nobody's.
unsafe impl<L: Sync> Sync for Cache<L> {}

/// The class whose blocks serve `layout`; `None`: it goes to the allocator as it is.
#[inline]
pub(crate) fn class_of(layout: &Layout) -> Option<usize> {
    if layout.align() > ALIGN {
        return None;
    }
    CLASS_OF.get(layout.size().div_ceil(ALIGN)).map(|class| usize::from(*class))
}

/// The layout of a class's blocks.
#[inline]
pub(crate) fn layout_of(class: usize) -> Layout {
    // SAFETY: the sizes are small and the alignment is a power of two.
    unsafe { Layout::from_size_align_unchecked(CLASSES[class], ALIGN) }
}

impl<L: RawMutex> Cache<L> {
    pub(crate) const fn new() -> Self {
        const EMPTY: List = List { first: core::ptr::null_mut(), count: 0 };
        let shards = [const { Shard { lock: L::INIT, lists: core::cell::UnsafeCell::new(Lists([EMPTY; CLASSES.len()])) } };
            SHARDS];
        Self { shards, next: AtomicU32::new(0) }
    }

    /// Runs `work` on the lists of a shard: the calling thread's own, or another one that is free.
    fn with_lists<T>(&self, work: impl FnOnce(&mut Lists) -> T) -> T {
        let stack: usize;
        // SAFETY: reads a register.
        unsafe { core::arch::asm!("mov {}, rsp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
        let own = stack / SLOT;
        let mut shard = &self.shards[own % SHARDS];
        if !shard.lock.try_lock() {
            shard = &self.shards[(own + 1 + self.next.fetch_add(1, Ordering::Relaxed) as usize) % SHARDS];
            shard.lock.lock();
        }
        // SAFETY: the lock is held until the work is done.
        unsafe {
            let done = work(&mut *shard.lists.get());
            shard.lock.unlock();
            done
        }
    }

    /// A kept block of `class`, if there is one.
    #[inline]
    pub(crate) fn take(&self, class: usize) -> Option<*mut u8> {
        self.with_lists(|lists| {
            let list = &mut lists.0[class];
            if list.first.is_null() {
                return None;
            }
            let block = list.first;
            // SAFETY: a kept block is a `Free`.
            list.first = unsafe { (*block).next };
            list.count -= 1;
            Some(block.cast())
        })
    }

    /// Keeps a free block of `class`; `false`: there are enough.
    ///
    /// # Safety
    /// The block has the layout of the class, and nobody uses it.
    #[inline]
    pub(crate) unsafe fn keep(&self, class: usize, block: *mut u8) -> bool {
        self.with_lists(|lists| {
            let list = &mut lists.0[class];
            if (list.count as usize + 1) * CLASSES[class] > KEPT {
                return false;
            }
            #[expect(clippy::cast_ptr_alignment, reason = "blocks of a class are aligned to 16 bytes")]
            let block = block.cast::<Free>();
            // SAFETY: the block is ours, aligned, and at least a word long.
            unsafe { block.write(Free { next: list.first }) };
            list.first = block;
            list.count += 1;
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use core::alloc::Layout;

    use core::sync::atomic::{AtomicBool, Ordering};

    use super::{CLASSES, Cache, KEPT, class_of, layout_of};

    /// A lock that knows no host to sleep on.
    struct Spin(AtomicBool);

    // SAFETY: the flag admits one holder at a time.
    unsafe impl lock_api::RawMutex for Spin {
        const INIT: Self = Self(AtomicBool::new(false));
        type GuardMarker = lock_api::GuardSend;
        fn lock(&self) {
            while !self.try_lock() {
                core::hint::spin_loop();
            }
        }
        fn try_lock(&self) -> bool {
            !self.0.swap(true, Ordering::Acquire)
        }
        unsafe fn unlock(&self) {
            self.0.store(false, Ordering::Release);
        }
    }

    #[test]
    #[expect(clippy::unwrap_used, reason = "a test")]
    fn a_class_holds_what_it_serves() {
        for size in 0..=CLASSES[CLASSES.len() - 1] {
            let class = class_of(&Layout::from_size_align(size, 8).unwrap()).unwrap();
            assert!(layout_of(class).size() >= size);
            assert!(class == 0 || CLASSES[class - 1] < size, "the smallest that does");
        }
        assert_eq!(class_of(&Layout::from_size_align(1025, 8).unwrap()), None);
        assert_eq!(class_of(&Layout::from_size_align(64, 64).unwrap()), None);
    }

    #[test]
    fn blocks_come_back_and_their_number_is_bounded() {
        let cache = Cache::<Spin>::new();
        assert_eq!(cache.take(3), None);
        let mut blocks = alloc::vec![[0u128; 4]; KEPT / 64 + 1];
        let mut kept = 0;
        for block in &mut blocks {
            // SAFETY: 64 bytes that the test does not touch while they are kept.
            kept += usize::from(unsafe { cache.keep(3, block.as_mut_ptr().cast()) });
        }
        assert_eq!(kept, KEPT / 64);
        let mut taken = alloc::vec::Vec::new();
        while let Some(block) = cache.take(3) {
            taken.push(block);
        }
        assert_eq!(taken.len(), kept);
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), kept, "no block twice");
    }
}
