//! Small blocks, in front of the heap's allocator.
//!
//! The allocator has one lock, looks for a good place for each block and writes beside it; and most blocks are small
//! and live shortly. So small blocks are cut from slabs, by size class, and never go back. Free ones are kept in a few
//! shards, each behind a lock of its own; a thread uses the shard of its kernel stack and its process. What a shard has
//! too many of lies in a pool of the class that all shards share.
//!
//! Lists change by one store each, so they are whole at any moment: whoever finds that a process was killed in the
//! middle goes on with what there is. A block may be lost with it; the counts are what a shard goes by, not more.

use core::alloc::Layout;
use core::sync::atomic::{AtomicU32, Ordering, compiler_fence};

use lock_api::RawMutex;

use super::HeapLock;
use crate::host::thread_block::SLOT;

/// Sizes of blocks that are kept, ascending. All are multiples of [`ALIGN`].
const CLASSES: [usize; 16] = [16, 32, 48, 64, 80, 96, 128, 144, 160, 192, 256, 320, 384, 512, 768, 1024];
/// Alignment of every kept block.
const ALIGN: usize = 16;
const SHARDS: usize = 16;
/// Bytes of one class that one shard keeps at most; what is freed beyond goes to the pool.
const KEPT: usize = 16 << 10;
/// Bytes that are cut into blocks at once.
const SLAB: usize = 4 << 10;
/// How many blocks a shard takes from the pool at once.
const BATCH: usize = 16;

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

/// What shards had too many of, of one class.
#[repr(align(64))]
struct Pool<L> {
    lock: L,
    first: core::cell::UnsafeCell<*mut Free>,
}

/// Free blocks at hand.
pub(crate) struct Cache<L = HeapLock> {
    shards: [Shard<L>; SHARDS],
    pools: [Pool<L>; CLASSES.len()],
    /// Spreads callers that stand on no kernel stack.
    next: AtomicU32,
}

// SAFETY: the lists of a shard, and a pool, are touched under its lock alone; the blocks in them are nobody's.
unsafe impl<L: Sync> Sync for Cache<L> {}

/// The class whose blocks serve `layout`; `None`: it goes to the allocator as it is.
#[inline]
pub(crate) fn class_of(layout: &Layout) -> Option<usize> {
    if layout.align() > ALIGN {
        return None;
    }
    CLASS_OF.get(layout.size().div_ceil(ALIGN)).map(|class| usize::from(*class))
}

/// What blocks are cut from.
// SAFETY: the alignment is a power of two.
pub(crate) const SLAB_LAYOUT: Layout = unsafe { Layout::from_size_align_unchecked(SLAB, ALIGN) };

impl<L: RawMutex> Cache<L> {
    pub(crate) const fn new() -> Self {
        const EMPTY: List = List { first: core::ptr::null_mut(), count: 0 };
        let shards = [const { Shard { lock: L::INIT, lists: core::cell::UnsafeCell::new(Lists([EMPTY; CLASSES.len()])) } };
            SHARDS];
        let pools = [const { Pool { lock: L::INIT, first: core::cell::UnsafeCell::new(core::ptr::null_mut()) } };
            CLASSES.len()];
        Self { shards, pools, next: AtomicU32::new(0) }
    }

    /// Runs `work` on the lists of a shard: the calling thread's own, or another one that is free.
    fn with_lists<T>(&self, work: impl FnOnce(&mut Lists) -> T) -> T {
        let stack: usize;
        // SAFETY: reads a register.
        unsafe { core::arch::asm!("mov {}, rsp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
        // First threads of all processes have the same stack.
        let own = stack / SLOT + crate::host::thread_block::at(stack).map_or(0, |block| block.process as usize);
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

    /// Runs `work` on the pool of `class`.
    fn with_pool<T>(&self, class: usize, work: impl FnOnce(&mut *mut Free) -> T) -> T {
        let pool = &self.pools[class];
        pool.lock.lock();
        // SAFETY: the lock is held until the work is done.
        unsafe {
            let done = work(&mut *pool.first.get());
            pool.lock.unlock();
            done
        }
    }

    /// A kept block of `class`, if there is one.
    #[inline]
    pub(crate) fn take(&self, class: usize) -> Option<*mut u8> {
        let kept = self.with_lists(|lists| {
            let list = &mut lists.0[class];
            // SAFETY: what a list leads to is a `Free`.
            let block = unsafe { pop(&mut list.first) };
            list.count = list.count.saturating_sub(u32::from(!block.is_null()));
            block
        });
        if kept.is_null() { self.take_from_pool(class) } else { Some(kept.cast()) }
    }

    #[cold]
    fn take_from_pool(&self, class: usize) -> Option<*mut u8> {
        let mut batch = [core::ptr::null_mut(); BATCH];
        self.with_pool(class, |first| {
            for slot in &mut batch {
                // SAFETY: what a pool leads to is a `Free`.
                *slot = unsafe { pop(first) };
            }
        });
        let [block, others @ ..] = batch;
        for other in others.into_iter().take_while(|other| !other.is_null()) {
            // SAFETY: out of the pool, it is nobody's.
            unsafe { self.keep(class, other.cast()) };
        }
        (!block.is_null()).then_some(block.cast())
    }

    /// Cuts a fresh slab into blocks of `class`; one of them is handed out. Null stays null.
    ///
    /// # Safety
    /// The slab has [`SLAB_LAYOUT`], and nobody uses it.
    #[cold]
    pub(crate) unsafe fn cut(&self, class: usize, slab: *mut u8) -> *mut u8 {
        if slab.is_null() {
            return slab;
        }
        let size = CLASSES[class];
        // From the end, so that they are handed out in ascending order.
        for at in (1..SLAB / size).rev() {
            // SAFETY: inside the slab, behind the first block and before the next one.
            unsafe { self.keep(class, slab.add(at * size)) };
        }
        slab
    }

    /// Keeps a free block of `class`.
    ///
    /// # Safety
    /// The block has the size of the class and is aligned to [`ALIGN`]; nobody uses it.
    #[inline]
    pub(crate) unsafe fn keep(&self, class: usize, block: *mut u8) {
        #[expect(clippy::cast_ptr_alignment, reason = "blocks of a class are aligned to 16 bytes")]
        let block = block.cast::<Free>();
        let kept = self.with_lists(|lists| {
            let list = &mut lists.0[class];
            let room = (list.count as usize + 1) * CLASSES[class] <= KEPT;
            if room {
                // SAFETY: the caller's promise.
                unsafe { push(&mut list.first, block) };
                list.count += 1;
            }
            room
        });
        if !kept {
            // SAFETY: the caller's promise.
            self.with_pool(class, |first| unsafe { push(first, block) });
        }
    }
}

/// Takes the first of a list; null: there is none.
///
/// # Safety
/// `first` is null or leads to a `Free`, as does what that leads to.
#[inline]
unsafe fn pop(first: &mut *mut Free) -> *mut Free {
    let block = *first;
    if !block.is_null() {
        // SAFETY: the caller's promise.
        unsafe { core::ptr::from_mut(first).write_volatile((*block).next) };
    }
    block
}

/// Makes `block` the first of a list.
///
/// # Safety
/// The block is nobody's, aligned, and at least a word long.
#[inline]
unsafe fn push(first: &mut *mut Free, block: *mut Free) {
    // SAFETY: the caller's promise.
    unsafe { block.write(Free { next: *first }) };
    compiler_fence(Ordering::Release);
    // SAFETY: a reference.
    unsafe { core::ptr::from_mut(first).write_volatile(block) };
}

#[cfg(test)]
mod tests {
    use core::alloc::Layout;

    use core::sync::atomic::{AtomicBool, Ordering};

    use super::{CLASSES, Cache, KEPT, SLAB, class_of};

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
            assert!(CLASSES[class] >= size);
            assert!(class == 0 || CLASSES[class - 1] < size, "the smallest that does");
        }
        assert_eq!(class_of(&Layout::from_size_align(1025, 8).unwrap()), None);
        assert_eq!(class_of(&Layout::from_size_align(64, 64).unwrap()), None);
    }

    #[test]
    fn blocks_come_back() {
        let cache = Cache::<Spin>::new();
        assert_eq!(cache.take(3), None);
        // More than a shard keeps, so that the pool has its share.
        let mut blocks = alloc::vec![[0u128; 4]; 3 * KEPT / 64];
        let kept = blocks.len();
        for block in &mut blocks {
            // SAFETY: 64 bytes that the test does not touch while they are kept.
            unsafe { cache.keep(3, block.as_mut_ptr().cast()) };
        }
        let mut taken = alloc::vec::Vec::new();
        while let Some(block) = cache.take(3) {
            taken.push(block);
        }
        assert_eq!(taken.len(), kept);
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), kept, "no block twice");
    }

    #[test]
    fn a_slab_becomes_blocks_side_by_side() {
        let cache = Cache::<Spin>::new();
        for (class, size) in CLASSES.into_iter().enumerate() {
            let mut slab = alloc::vec![0u128; SLAB / 16];
            let start = slab.as_mut_ptr().cast::<u8>();
            // SAFETY: the test does not touch the slab meanwhile.
            let mut addresses = alloc::vec![unsafe { cache.cut(class, start) } as usize];
            while let Some(block) = cache.take(class) {
                addresses.push(block as usize);
            }
            addresses.sort_unstable();
            let expected: alloc::vec::Vec<_> = (0..SLAB / size).map(|at| start as usize + at * size).collect();
            assert_eq!(addresses, expected);
        }
    }
}
