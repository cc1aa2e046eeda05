//! The page arena: memory of files.

use litebox::platform::ArenaMemory;

use crate::LinuxHost;
use crate::host::call::{MADV_REMOVE, host_call, nr};
use crate::memory::layout::{ARENA, LAYOUT};

impl ArenaMemory for LinuxHost {
    fn arena(&self) -> (*mut u8, usize) {
        let (start, end) = LAYOUT.arena;
        (start as *mut u8, end - start)
    }

    fn arena_release(&self, offset: u64, len: u64) {
        let (start, end) = LAYOUT.arena;
        let size = (end - start) as u64;
        if offset.checked_add(len).is_some_and(|last| last <= size) {
            // SAFETY: pages of the arena that its allocator no longer uses.
            let _ = unsafe { host_call!(nr::MADVISE, start + offset as usize, len, MADV_REMOVE) };
        }
    }

    unsafe fn arena_write(&self, offset: u64, addr: usize, len: usize) -> litebox::Result<usize> {
        let (start, end) = LAYOUT.arena;
        let last = offset.checked_add(len as u64).filter(|last| *last <= (end - start) as u64);
        last.ok_or(litebox::Error::Invalid)?;
        // SAFETY: the caller's promise; the arena is what its object begins with.
        unsafe { host_call!(nr::PWRITE64, ARENA.0, addr, len, offset) }
    }
}
