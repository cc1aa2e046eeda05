//! The allocator on the shared heap. The runner makes it the program's global allocator once the heap exists.

mod cache;
mod large;

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use litebox::mm::PAGE;
use litebox::sync::RawLock;

use crate::host::call::{MADV_POPULATE_WRITE, host_call, nr};
use crate::host::published::Published;
use crate::memory::layout::LAYOUT;
use cache::Cache;
use large::Large;

/// A lock that says when a holder was killed. What is whole at any moment, though a process change it, needs not ask.
pub(crate) struct HeapLock {
    raw: RawLock,
    is_inherited: AtomicBool,
}

// SAFETY: the lock admits one holder at a time.
unsafe impl lock_api::RawMutex for HeapLock {
    const INIT: Self = Self { raw: RawLock::new(), is_inherited: AtomicBool::new(false) };
    type GuardMarker = lock_api::GuardSend;

    #[inline]
    fn lock(&self) {
        self.raw.lock(|| self.is_inherited.store(true, Ordering::Relaxed));
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.raw.try_lock()
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.raw.unlock();
    }
}

/// The heap's state; lies in the heap itself.
pub(crate) struct Heap {
    all: Large,
    small: Cache,
    /// Behind the highest block there ever was.
    used_to: AtomicUsize,
    /// Where it begins.
    start: AtomicUsize,
    /// Up to where its pages were asked for, so that using them costs no fault.
    ready: AtomicUsize,
}

/// How many bytes are asked for ahead, at least and at most.
const AHEAD: (usize, usize) = (32 << 10, 512 << 10);
/// Larger blocks may never be used whole.
const RARELY_USED_WHOLE: usize = 32 << 10;

impl Heap {
    pub(crate) const fn new() -> Self {
        Self {
            all: Large::new(),
            small: Cache::new(),
            used_to: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            ready: AtomicUsize::new(0),
        }
    }
    /// Behind the highest block there ever was: beyond it, pages of the heap were asked for at most.
    pub(crate) fn used_to(&self) -> usize {
        self.used_to.load(Ordering::Relaxed)
    }
    /// Gives it the memory `[start, end)`, of which pages up to `ready` were asked for.
    ///
    /// # Safety
    /// The memory is mapped, writable, and nobody else's.
    pub(crate) unsafe fn claim(&self, start: usize, end: usize, ready: usize) {
        self.start.store(start, Ordering::Relaxed);
        self.ready.store(ready, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { self.all.claim(start, end) };
    }

    /// # Safety
    /// As for [`GlobalAlloc::alloc`].
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on; a class's blocks are large enough.
        unsafe {
            match cache::class_of(&layout) {
                Some(class) => {
                    self.small.take(class).unwrap_or_else(|| self.small.cut(class, self.fresh(cache::SLAB_LAYOUT)))
                }
                None => self.fresh(layout),
            }
        }
    }
    /// # Safety
    /// As for [`GlobalAlloc::alloc`].
    unsafe fn fresh(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.all.alloc(layout) };
        let end = block as usize + layout.size();
        if end > self.used_to.load(Ordering::Relaxed) && !block.is_null() {
            self.used_to.fetch_max(end, Ordering::Relaxed);
            if end > self.ready.load(Ordering::Relaxed) {
                self.ask_ahead(end, layout.size());
            }
        }
        block
    }
    /// The heap grew to `end`, by a block of `size`: has the host bring in pages behind what was asked for, in one
    /// call.
    #[cold]
    fn ask_ahead(&self, end: usize, size: usize) {
        let ready = self.ready.load(Ordering::Relaxed);
        let used = ready.saturating_sub(self.start.load(Ordering::Relaxed));
        let from = if size >= RARELY_USED_WHOLE { end } else { ready } & !(PAGE - 1);
        let to = (end + (used / 4).clamp(AHEAD.0, AHEAD.1)) & !(PAGE - 1);
        if from < to && self.ready.compare_exchange(ready, to, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            // SAFETY: of the heap's mapping, or refused.
            let _ = unsafe { host_call!(nr::MADVISE, from, to - from, MADV_POPULATE_WRITE) };
        }
    }
    /// # Safety
    /// As for [`GlobalAlloc::dealloc`].
    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on; blocks of a class have its size.
        unsafe {
            match cache::class_of(&layout) {
                Some(class) => self.small.keep(class, pointer),
                None => self.all.dealloc(pointer, layout),
            }
        }
    }
    /// # Safety
    /// As for [`GlobalAlloc::realloc`].
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise: `new_size` fits the alignment.
        unsafe {
            let new = Layout::from_size_align_unchecked(new_size, layout.align());
            match (cache::class_of(&layout), cache::class_of(&new)) {
                (None, None) => return self.all.realloc(pointer, layout, new_size),
                (Some(old), Some(new)) if old == new => return pointer,
                _ => {}
            }
            let moved = self.alloc(new);
            if !moved.is_null() {
                core::ptr::copy_nonoverlapping(pointer, moved, layout.size().min(new_size));
                self.dealloc(pointer, layout);
            }
            moved
        }
    }
}

/// The one that all processes share.
pub(crate) static HEAP: Published<Heap> = Published::nothing();

/// Whether the shared heap exists, so that allocations belong on it.
#[inline]
pub fn active() -> bool {
    HEAP.try_get().is_some()
}

/// Whether `pointer` is memory of the shared heap.
#[inline]
pub fn contains(pointer: *const u8) -> bool {
    LAYOUT.try_get().is_some_and(|layout| (layout.heap.0..layout.heap.1).contains(&(pointer as usize)))
}

/// The program's global allocator: `Early` until the shared heap exists (and for ever in the broker), then the heap.
pub struct Allocator<Early>(pub Early);

// SAFETY: every block goes back to the allocator it came from, told apart by its address; talc works under its lock.
unsafe impl<Early: GlobalAlloc> GlobalAlloc for Allocator<Early> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        unsafe { if active() { HEAP.alloc(layout) } else { self.0.alloc(layout) } }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on; what the heap gives may have been used before.
        unsafe {
            if !active() {
                return self.0.alloc_zeroed(layout);
            }
            let block = HEAP.alloc(layout);
            if !block.is_null() {
                core::ptr::write_bytes(block, 0, layout.size());
            }
            block
        }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe {
            if contains(pointer) {
                HEAP.dealloc(pointer, layout);
            } else if !active() {
                self.0.dealloc(pointer, layout);
            }
            // What was allocated early and is freed late stays: its allocator may not run inside the boundary.
        }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on; an early block moves to the heap.
        unsafe {
            if contains(pointer) {
                return HEAP.realloc(pointer, layout, new_size);
            }
            if !active() {
                return self.0.realloc(pointer, layout, new_size);
            }
            let new = HEAP.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(pointer, new, layout.size().min(new_size));
            }
            new
        }
    }
}
