//! Memory for trampolines: regions of 64 KiB near the code, in the guest's part of the address space but not in its map of areas. Fresh placements of the
//! map step around them, as around everything it does not know.

use litebox_syscall_rewriter::{Patch, Plan};

use crate::call::{host_call, nr};
use crate::sandbox::sandbox;

/// Bytes of a region.
pub(super) const REGION_LEN: usize = 64 << 10;
const UNIT: usize = 16;
const UNITS: usize = REGION_LEN / UNIT;
/// Regions of one process.
const MOST_REGIONS: usize = 64;
/// New regions keep this far from the code: the heap grows right behind the program.
const KEEP: u64 = 1 << 20;
/// Places tried for one region.
const ATTEMPTS: usize = 2000;

/// One region.
#[derive(Clone)]
pub(super) struct Region {
    pub(super) base: u64,
    /// One bit for each unit.
    taken: [u64; UNITS / 64],
}

impl Region {
    /// Maps a region where `plan` can have its trampoline.
    pub(super) fn map(plan: &Plan, there_are: usize) -> Option<Self> {
        const READ_EXEC: usize = 5;
        const PRIVATE_ANONYMOUS_NORESERVE_NOREPLACE: usize = 0x2 | 0x20 | 0x4000 | 0x10_0000;
        if there_are >= MOST_REGIONS {
            return None;
        }
        let (low, high) = sandbox().layout.user;
        for stretch in plan.stretches(KEEP).take(ATTEMPTS) {
            let base = (*stretch.start() as usize) & !4095;
            if base < low || base + REGION_LEN > high {
                continue;
            }
            // SAFETY: NOREPLACE: nothing that exists is touched.
            let at = unsafe {
                host_call!(nr::MMAP, base, REGION_LEN, READ_EXEC, PRIVATE_ANONYMOUS_NORESERVE_NOREPLACE, usize::MAX, 0)
            };
            match at {
                Ok(at) if at == base => return Some(Self { base: base as u64, taken: [0; UNITS / 64] }),
                // A host that does not know NOREPLACE took it for a hint.
                Ok(at) => {
                    // SAFETY: the mapping just made.
                    let _ = unsafe { host_call!(nr::MUNMAP, at, REGION_LEN) };
                }
                Err(_) => {}
            }
        }
        None
    }

    /// Gives it back to the host.
    pub(super) fn unmap(&self) {
        // SAFETY: the region is the kernel's, and no patch leads into it any more.
        let _ = unsafe { host_call!(nr::MUNMAP, self.base, REGION_LEN) };
    }

    pub(super) fn contains(&self, address: u64) -> bool {
        (self.base..self.base + REGION_LEN as u64).contains(&address)
    }

    pub(super) fn used(&self) -> bool {
        self.taken.iter().any(|word| *word != 0)
    }

    /// A free place for the trampoline of `plan`, in a page that is in use if that is possible.
    pub(super) fn place(&self, plan: &Plan) -> Option<u64> {
        let end = self.base + REGION_LEN as u64;
        let units = plan.room().div_ceil(UNIT);
        let mut fresh = None;
        for window in plan.windows(self.base, end - (units * UNIT) as u64) {
            let mut address = window.start().next_multiple_of(UNIT as u64);
            while address <= *window.end() {
                let unit = (address - self.base) as usize / UNIT;
                if self.is_free(unit, units) {
                    if self.page_in_use(unit) {
                        return Some(address);
                    }
                    fresh = fresh.or(Some(address));
                    // The rest of the page is as fresh.
                    address = (address | 4095) + 1;
                    continue;
                }
                address += UNIT as u64;
            }
        }
        fresh
    }

    /// The room of a trampoline is taken.
    pub(super) fn take(&mut self, patch: &Patch) {
        self.mark(patch, true);
    }

    /// Gives it back.
    pub(super) fn release(&mut self, patch: &Patch) {
        self.mark(patch, false);
    }

    fn bit(&self, unit: usize) -> bool {
        self.taken.get(unit / 64).is_none_or(|word| word >> (unit % 64) & 1 != 0)
    }

    fn is_free(&self, unit: usize, units: usize) -> bool {
        (unit..unit + units).all(|u| !self.bit(u))
    }

    fn page_in_use(&self, unit: usize) -> bool {
        const WORDS: usize = 4096 / UNIT / 64;
        let first = unit / 64 / WORDS * WORDS;
        self.taken.iter().skip(first).take(WORDS).any(|word| *word != 0)
    }

    fn mark(&mut self, patch: &Patch, taken: bool) {
        let unit = (patch.trampoline - self.base) as usize / UNIT;
        for u in unit..unit + patch.trampoline_bytes.len().div_ceil(UNIT) {
            if let Some(word) = self.taken.get_mut(u / 64) {
                let bit = 1u64 << (u % 64);
                *word = if taken { *word | bit } else { *word & !bit };
            }
        }
    }
}
