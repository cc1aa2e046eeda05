//! Huge pages for what every process of a sandbox uses: this program's code and constants, and the first objects of the
//! kernel's heap.
//!
//! fork does not copy the page tables of files and of shared memory. A new process would meet all that again by a page
//! fault for every 64 KiB of it, and at its end the host would undo hundreds of entries. A huge page is one entry. So
//! code and constants are copied to such pages, which then take their place; fork copies those entries. It costs the
//! host more than half a millisecond, which pays after some forks, and is inherited.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering, compiler_fence};
use litebox_common_linux::abi::memory::PAGE;
use litebox_common_linux::abi::memory::{MREMAP_FIXED, MREMAP_MAYMOVE};

use litebox::platform::Threads;

use crate::LinuxHost;
use crate::host::call::{host_call, nr};
use crate::host::published::Published;
use crate::host::system::Segment;
use crate::memory::layout::{HUGE, LAYOUT};
use crate::memory::scratch::SCRATCH;

const READ: usize = 1;
const READ_WRITE: usize = 3;
const READ_EXEC: usize = 5;
/// Private, anonymous, not reserved, at a fixed address where nothing is replaced.
const FRESH: usize = 0x10_4022;
const MADV_HUGEPAGE: usize = 14;
const MADV_COLLAPSE: usize = 25;
const MAYMOVE_FIXED: usize = MREMAP_MAYMOVE | MREMAP_FIXED;

/// How many processes somebody starts before it is worth it.
const WORTH_IT: u32 = 8;

/// What is known of one process that starts others.
#[derive(Default)]
pub(crate) struct Started {
    count: AtomicU32,
    /// It has huge pages, or cannot have any.
    settled: AtomicBool,
    /// What the supervisor's start left is gone.
    clean: AtomicBool,
}

/// The processes that the supervisor starts.
pub(crate) static BY_SUPERVISOR: Published<Started> = Published::nothing();
/// The first objects of the heap lie in a huge page, or cannot.
pub(crate) static HEAP_IS_HUGE: Published<AtomicBool> = Published::nothing();

impl Started {
    /// Another process is about to be started by the calling process.
    pub(crate) fn another(&self) {
        if self.settled.load(Ordering::Relaxed) || self.count.fetch_add(1, Ordering::Relaxed) < WORTH_IT {
            return;
        }
        if !self.settled.swap(true, Ordering::Relaxed) {
            share_heap();
            for segment in crate::host::system::constant_segments() {
                replace(segment);
            }
        }
    }

    /// The calling process, a guest's, is about to be copied: without what the supervisor's start left.
    pub(crate) fn clean(&self) {
        if !self.clean.swap(true, Ordering::Relaxed) {
            SCRATCH.drop_copy();
        }
    }

    /// A process that `parent` starts has what that has.
    pub(crate) fn inherit(&self, parent: &Self) {
        for (to, from) in [(&self.settled, &parent.settled), (&self.clean, &parent.clean)] {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// The first objects of the heap, once for all processes. Hosts before Linux 6.1 refuse.
fn share_heap() {
    if !HEAP_IS_HUGE.swap(true, Ordering::Relaxed) {
        // SAFETY: the heap's own memory, which keeps what it holds.
        let _ = unsafe { host_call!(nr::MADVISE, LAYOUT.heap.0, HUGE, MADV_COLLAPSE) };
    }
}

/// A mapping that goes when it is no longer wanted.
struct Mapping(usize, usize);

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.1 != 0 {
            // SAFETY: a mapping of this module, which nobody else knows.
            let _ = unsafe { host_call!(nr::MUNMAP, self.0, self.1) };
        }
    }
}

/// Puts huge pages in the place of a segment, if the host has some to give and nothing else lies in their way.
fn replace(segment: Segment) {
    let used = (segment.start & !(PAGE - 1), segment.end.next_multiple_of(PAGE));
    let (start, end) = (used.0 & !(HUGE - 1), used.1.next_multiple_of(HUGE));
    let len = end - start;
    let Some(below) = reserve(start, used.0) else { return };
    let Some(above) = reserve(used.1, end) else { return };
    // Behind the heap nothing is mapped, by anybody.
    let copy = LAYOUT.heap.1 + HUGE;
    let Some(_room) = take(copy, len, READ_WRITE) else { return };
    if !make_huge(copy, len) {
        return;
    }
    let prot = if segment.executable { READ_EXEC } else { READ };
    // SAFETY: the segment is readable, and the copy has room for it at the same distance from its start. Then it takes
    // the segment's place with the same bytes, in one step for all threads.
    let done = unsafe {
        core::ptr::copy_nonoverlapping(used.0 as *const u8, (copy + used.0 - start) as *mut u8, used.1 - used.0);
        host_call!(nr::MPROTECT, copy, len, prot).is_ok()
            && host_call!(nr::MREMAP, copy, len, len, MAYMOVE_FIXED, start).is_ok()
    };
    if done {
        core::mem::forget((below, above));
    }
}

/// Takes addresses at which nothing is mapped.
fn reserve(start: usize, end: usize) -> Option<Mapping> {
    if start == end { Some(Mapping(start, 0)) } else { take(start, end - start, 0) }
}

/// Maps fresh memory where nothing is.
fn take(start: usize, len: usize, prot: usize) -> Option<Mapping> {
    // SAFETY: NOREPLACE: nothing that exists is touched.
    let at = unsafe { host_call!(nr::MMAP, start, len, prot, FRESH, usize::MAX, 0) }.ok()?;
    let taken = Mapping(at, len);
    (at == start).then_some(taken)
}

/// Has the host bring in huge pages at a fresh mapping. `false`: it did not, and small ones in their place would make
/// fork slower.
fn make_huge(start: usize, len: usize) -> bool {
    // SAFETY: of the caller's mapping. A host without huge pages refuses.
    if unsafe { host_call!(nr::MADVISE, start, len, MADV_HUGEPAGE) }.is_err() {
        return false;
    }
    let faults = || LinuxHost.usage(true).minor_faults;
    (start..start + len).step_by(HUGE).all(|huge| {
        let before = faults();
        compiler_fence(Ordering::SeqCst);
        for page in [huge, huge + HUGE - PAGE] {
            // SAFETY: of the caller's mapping.
            unsafe { (page as *mut u8).write_volatile(0) };
        }
        compiler_fence(Ordering::SeqCst);
        faults() - before == 1
    })
}
