//! Which pages of the arena are free.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::PAGE;

const PAGE64: u64 = PAGE as u64;
/// The longest run, in pages, that is kept when it is given back, and how many bytes of such there are at most: files
/// that live for a short time are small, and a page of the host costs more than one that is made zeros.
const WARM_PAGES: usize = 8;
const MOST_WARM: u64 = 4 << 20;

/// Free pages, all of them zeros.
pub(super) struct FreePages {
    /// Free runs: length by offset, never touching each other.
    runs: BTreeMap<u64, u64>,
    /// Short runs that the host has given pages for, by how many pages more than one they have.
    warm: [Vec<u64>; WARM_PAGES],
    /// Bytes of those.
    warm_bytes: u64,
}

impl FreePages {
    pub(super) fn new(offset: u64, len: u64) -> Self {
        Self { runs: BTreeMap::from([(offset, len)]), warm: [const { Vec::new() }; WARM_PAGES], warm_bytes: 0 }
    }
    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.runs.values().sum::<u64>() + self.warm_bytes
    }
    /// Whether a run of `len` bytes is short, and there is room for it.
    pub(super) fn may_keep(&self, len: u64) -> bool {
        len <= WARM_PAGES as u64 * PAGE64 && self.warm_bytes + len <= MOST_WARM
    }
    /// Short runs of so many bytes.
    fn warm_of(&mut self, len: u64) -> Option<&mut Vec<u64>> {
        self.warm.get_mut(usize::try_from(len / PAGE64).ok()?.checked_sub(1)?)
    }
    /// Keeps a short run. `false`: it is too long, or there is no room for it.
    pub(super) fn keep_warm(&mut self, offset: u64, len: u64) -> bool {
        let may_keep = self.may_keep(len);
        let Some(warm) = self.warm_of(len).filter(|_| may_keep) else { return false };
        warm.push(offset);
        self.warm_bytes += len;
        true
    }
    /// Takes a short run of `len` bytes.
    pub(super) fn take_warm(&mut self, len: u64) -> Option<u64> {
        let offset = self.warm_of(len)?.pop()?;
        self.warm_bytes -= len;
        Some(offset)
    }
    /// Takes a run of `len` bytes, or the longest there is when none is that long.
    pub(super) fn take(&mut self, len: u64) -> Option<(u64, u64)> {
        let fits = self.runs.iter().find(|(_, have)| **have >= len);
        let (offset, have) = fits.or_else(|| self.runs.iter().max_by_key(|(_, have)| **have)).map(|(o, h)| (*o, *h))?;
        let got = len.min(have);
        self.runs.remove(&offset);
        if have > got {
            self.runs.insert(offset + got, have - got);
        }
        Some((offset, got))
    }
    /// Adds a run that the host has taken the pages of back.
    pub(super) fn insert(&mut self, offset: u64, len: u64) {
        let (mut start, mut end) = (offset, offset + len);
        if let Some((before, have)) = self.runs.range(..start).next_back().map(|(o, h)| (*o, *h)) {
            if before + have == start {
                self.runs.remove(&before);
                start = before;
            }
        }
        if let Some(have) = self.runs.remove(&end) {
            end += have;
        }
        self.runs.insert(start, end - start);
    }
    /// The short runs are like the others from here on.
    pub(super) fn give_up_warm(&mut self) {
        for (pages, warm) in (1..).zip(core::mem::take(&mut self.warm)) {
            for offset in warm {
                self.insert(offset, pages * PAGE64);
            }
        }
        self.warm_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{FreePages, MOST_WARM, PAGE64};

    #[test]
    fn short_runs_are_taken_again_and_given_up_when_nothing_else_is_left() {
        let mut free = FreePages::new(0, 16 * PAGE64);
        let two = free.take(2 * PAGE64).map(|(offset, _)| offset);
        let one = free.take(PAGE64).map(|(offset, _)| offset);
        assert_eq!((two, one), (Some(0), Some(2 * PAGE64)));
        assert!(free.keep_warm(0, 2 * PAGE64) && free.keep_warm(2 * PAGE64, PAGE64));
        assert_eq!(free.bytes(), 16 * PAGE64);
        // Those of another length are not cut.
        assert_eq!((free.take_warm(3 * PAGE64), free.take_warm(2 * PAGE64)), (None, Some(0)));
        assert_eq!(free.take_warm(2 * PAGE64), None);
        assert_eq!(free.take(20 * PAGE64), Some((3 * PAGE64, 13 * PAGE64)));
        assert_eq!(free.take(PAGE64), None);
        free.insert(0, 2 * PAGE64);
        free.give_up_warm();
        assert_eq!(free.take(20 * PAGE64), Some((0, 3 * PAGE64)));
        assert_eq!(free.bytes(), 0);
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut free = FreePages::new(0, 2 * MOST_WARM);
        let kept = (0..2 * MOST_WARM / PAGE64).filter(|at| free.keep_warm(at * PAGE64, PAGE64)).count();
        assert_eq!(kept as u64, MOST_WARM / PAGE64);
        assert!(!free.keep_warm(0, 9 * PAGE64));
    }
}
