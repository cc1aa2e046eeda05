//! Where the host writes for the threads of a process (rseq(2)), and reads a pointer to a critical section.
//!
//! It does so whenever it has interrupted a thread, in our kernel too, and ends the process where the pointer is a bad
//! one. What the guest writes there itself is the North's business. What the kernel writes on the guest's behalf
//! (read(2), a signal frame) leaves zero in that word: no thread is in a critical section while a system call fills its
//! area.

use alloc::collections::BTreeMap;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use litebox::mm::PAGE;
use litebox::sync::Mutex;

use crate::host::thread_block;

/// Bits of the filter.
const BITS: usize = 512;
/// Bytes of an area, and the pointer in it.
const AREA: usize = 32;
const POINTER: Range<usize> = 8..16;

/// The areas of one host process.
#[derive(Default)]
pub(crate) struct RseqAreas {
    /// A bit for each page with an area, by its number; it stays until there is none at all.
    pages: [AtomicU64; BITS / 64],
    /// How many threads have each.
    areas: Mutex<BTreeMap<usize, u32>>,
}

impl RseqAreas {
    /// The host is about to write there.
    pub(crate) fn insert(&self, area: usize) {
        let mut areas = self.areas.lock();
        *areas.entry(area).or_default() += 1;
        let bit = area / PAGE % BITS;
        if let Some(word) = self.pages.get(bit / 64) {
            word.fetch_or(1 << (bit % 64), Ordering::SeqCst);
        }
    }

    /// The host writes there no more.
    pub(crate) fn remove(&self, area: usize) {
        let mut areas = self.areas.lock();
        if let Some(threads) = areas.get_mut(&area) {
            *threads -= 1;
            if *threads == 0 {
                areas.remove(&area);
            }
        }
        if areas.is_empty() {
            self.pages.iter().for_each(|word| word.store(0, Ordering::SeqCst));
        }
    }

    #[inline]
    fn may_be_in(&self, first_page: usize, last_page: usize) -> bool {
        let is_set = |page: usize| {
            let bit = page % BITS;
            self.pages.get(bit / 64).is_some_and(|word| word.load(Ordering::Relaxed) & 1 << (bit % 64) != 0)
        };
        last_page - first_page >= BITS || (first_page..=last_page).any(is_set)
    }

    /// The first pointer of which bytes lie in `range`.
    fn pointer_in(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let first = range.start.saturating_sub(AREA);
        let areas = self.areas.lock();
        let mut pointers = areas.range(first..range.end).map(|(area, _)| area + POINTER.start..area + POINTER.end);
        pointers.find(|pointer| pointer.start < range.end && range.start < pointer.end)
    }
}

/// The areas of the calling process when one of them may be in this range of addresses, which does not wrap around.
#[inline]
pub(crate) fn near(addr: usize, len: usize) -> Option<&'static RseqAreas> {
    let last = addr.checked_add(len.checked_sub(1)?)?;
    let areas = &thread_block::current()?.process_block()?.rseq;
    areas.may_be_in(addr / PAGE, last / PAGE).then_some(areas)
}

/// The first pointer in this range of addresses.
#[inline]
pub(crate) fn pointer_in(addr: usize, len: usize) -> Option<Range<usize>> {
    near(addr, len)?.pointer_in(&(addr..addr + len))
}

/// Writes `len` bytes from `addr` on by `write` (address, offset, length; returns how many it wrote), and zeros by
/// `zero` where pointers are. How many were written.
pub(crate) fn write_around(
    areas: &RseqAreas,
    addr: usize,
    len: usize,
    write: impl Fn(usize, usize, usize) -> usize,
    zero: impl Fn(usize, usize) -> usize,
) -> usize {
    let mut done = 0;
    while done < len {
        let at = addr + done;
        let pointer = areas.pointer_in(&(at..addr + len));
        let before = pointer.as_ref().map_or(len - done, |pointer| pointer.start.saturating_sub(at));
        let written = write(at, done, before);
        done += written;
        let Some(pointer) = pointer.filter(|_| written == before) else { return done };
        if zero(pointer.start, POINTER.len()) != POINTER.len() {
            return done;
        }
        done = len.min(pointer.end - addr);
    }
    done
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;
    use core::cell::RefCell;

    use super::{RseqAreas, write_around};

    /// What a write of `len` bytes to `addr` leaves in 256 bytes from 4096 on, with areas at 4128 and 4224: w written,
    /// 0 zero.
    fn left(addr: usize, len: usize) -> (usize, Vec<u8>) {
        let areas = RseqAreas::default();
        areas.insert(4128);
        areas.insert(4224);
        let memory = RefCell::new(vec![b'.'; 256]);
        let fill = |at: usize, len: usize, byte: u8| {
            memory.borrow_mut()[at - 4096..at - 4096 + len].fill(byte);
            len
        };
        let done = write_around(&areas, addr, len, |at, _, len| fill(at, len, b'w'), |at, len| fill(at, len, b'0'));
        (done, memory.into_inner())
    }

    #[test]
    fn pointers_become_zero_and_all_else_is_written() {
        for (addr, len) in [(4096, 256), (4130, 6), (4136, 8), (4140, 2), (4140, 200), (4144, 8), (4100, 37), (4352, 0)]
        {
            let (done, memory) = left(addr, len);
            assert_eq!(done, len);
            for (at, byte) in memory.iter().enumerate() {
                let at = at + 4096;
                let written = (addr..addr + len).contains(&at);
                let touched = |pointer: usize| addr < pointer + 8 && pointer < addr + len;
                let pointer = [4136, 4232].into_iter().find(|pointer| (*pointer..pointer + 8).contains(&at));
                let wanted = match pointer {
                    Some(pointer) if len > 0 && touched(pointer) => b'0',
                    None if written => b'w',
                    _ => b'.',
                };
                assert_eq!(*byte, wanted, "write of {len} to {addr}, byte {at}");
            }
        }
    }

    #[test]
    fn what_is_near_is_found() {
        let areas = RseqAreas::default();
        assert!(!areas.may_be_in(0, 100));
        areas.insert(5 * 4096 + 64);
        assert!(areas.may_be_in(5, 5) && areas.may_be_in(0, 9) && areas.may_be_in(6, 600) && !areas.may_be_in(6, 9));
        areas.remove(5 * 4096 + 64);
        assert!(!areas.may_be_in(5, 5));
    }
}
