//! Memory for trampolines: regions of 64 KiB near the code, in the guest's part of the address space but not in its map
//! of areas. Fresh placements of the map step around them, as around everything it does not know.
//!
//! The pages of a region lie in a pool that the kernel has mapped for writing; the guest's mapping of them is for
//! reading and executing. So a trampoline is written by a copy. Processes that fork share their regions: what one of
//! them has put there stays, until no other has the region.

use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::sync::Mutex;
use litebox_syscall_rewriter::{CodeMode, Patch, Plan};

use crate::entry::far_entry::GATE;
use crate::host::call::{MADV_REMOVE, host_call, map_at, nr};
use crate::host::published::Published;
use crate::memory::layout::{ARENA, LAYOUT, TRAMPOLINES_LEN};

/// Bytes of a region.
pub(super) const REGION_LEN: usize = 64 << 10;
const UNIT: usize = 16;
const UNITS: usize = REGION_LEN / UNIT;
/// Regions of one process.
const MOST_REGIONS: usize = 64;
/// Above code no region lies nearer: the heap of a program grows there (brk(2)).
const HEAP_ROOM: u64 = 0x6000_0000;
/// Places tried for one region.
const ATTEMPTS: usize = 2000;
/// Regions of all processes together.
const POOL_REGIONS: usize = TRAMPOLINES_LEN / REGION_LEN;

/// Regions that nobody uses any more and that keep their memory: the next program finds it there.
const MOST_WARM: usize = 16;

/// The regions of the pool.
pub(crate) struct Pool(Mutex<Places>);

/// Which regions of trampolines are in use.
pub(crate) static POOL: Published<Pool> = Published::nothing();

/// Where its regions are.
struct Places {
    /// Which are in use or warm, one bit for each.
    taken: [u64; POOL_REGIONS / 64],
    /// Those that are warm.
    warm: Vec<usize>,
}

impl Pool {
    /// A pool of which nothing is used.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Places { taken: [0; POOL_REGIONS / 64], warm: Vec::new() }))
    }
}

impl Places {
    /// The number of a region that nobody uses.
    fn take(&mut self) -> Option<usize> {
        if let Some(place) = self.warm.pop() {
            return Some(place);
        }
        let (word, bits) = self.taken.iter_mut().enumerate().find(|(_, bits)| **bits != u64::MAX)?;
        let bit = bits.trailing_ones() as usize;
        *bits |= 1 << bit;
        Some(word * 64 + bit)
    }
    /// Keeps it warm. `false`: there are enough.
    fn keep(&mut self, place: usize) -> bool {
        let room = self.warm.len() < MOST_WARM;
        if room {
            self.warm.push(place);
        }
        room
    }
    fn give_back(&mut self, place: usize) {
        if let Some(bits) = self.taken.get_mut(place / 64) {
            *bits &= !(1 << (place % 64));
        }
    }
}

/// One region's pages. They go back to the pool with the last process that has them.
pub(super) struct Pages {
    /// Their place in the pool.
    place: usize,
    /// What processes have put, or are about to put there.
    used: Mutex<Units>,
}

impl Pages {
    pub(super) fn take() -> Option<Arc<Self>> {
        let place = POOL.0.lock().take()?;
        Some(Arc::new(Self { place, used: Mutex::new(Units::default()) }))
    }

    /// Maps them for the guest. `false`: something is there, or it is no place for guests.
    fn map(&self, base: u64) -> bool {
        self.map_part(base, REGION_LEN)
    }

    /// Maps the first `len` bytes of them.
    pub(super) fn map_part(&self, base: u64, len: usize) -> bool {
        const READ_EXEC: usize = 5;
        const SHARED_NORESERVE_NOREPLACE: usize = 0x1 | 0x4000 | 0x10_0000;
        let (low, high) = LAYOUT.user;
        let Some(base) =
            usize::try_from(base).ok().filter(|base| (low..high.saturating_sub(REGION_LEN)).contains(base))
        else {
            return false;
        };
        let offset = self.address() - LAYOUT.arena.0;
        let fd = ARENA.0;
        // SAFETY: NOREPLACE: nothing that exists is touched.
        unsafe { map_at(base, len, READ_EXEC, SHARED_NORESERVE_NOREPLACE, fd, offset as u64) }.is_ok()
    }

    /// Writes to them from `at` on.
    pub(super) fn write(&self, at: usize, bytes: &[u8]) {
        let fits = bytes.len().min(REGION_LEN.saturating_sub(at));
        // SAFETY: inside the kernel's mapping of the region, where nobody else writes (the caller's care).
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), (self.address() + at) as *mut u8, fits) };
    }

    /// Where the kernel may write them.
    fn address(&self) -> usize {
        LAYOUT.trampolines.0 + self.place * REGION_LEN
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let pool = &POOL.0;
        if pool.lock().keep(self.place) {
            return;
        }
        // SAFETY: pages of the pool that nobody has mapped any more.
        let _ = unsafe { host_call!(nr::MADVISE, self.address(), REGION_LEN, MADV_REMOVE) };
        pool.lock().give_back(self.place);
    }
}

/// Which units of a region are taken, one bit for each.
#[derive(Clone)]
struct Units {
    bits: [u64; UNITS / 64],
    /// All before this one are.
    full: usize,
}

impl Default for Units {
    fn default() -> Self {
        Self { bits: [0; UNITS / 64], full: 0 }
    }
}

impl Units {
    fn is_free(&self, unit: usize, units: usize) -> bool {
        unit >= self.full
            && (unit..unit + units).all(|u| self.bits.get(u / 64).is_some_and(|word| word >> (u % 64) & 1 == 0))
    }

    fn page_in_use(&self, unit: usize) -> bool {
        const WORDS: usize = 4096 / UNIT / 64;
        let first = unit / 64 / WORDS * WORDS;
        self.bits.iter().skip(first).take(WORDS).any(|word| *word != 0)
    }

    fn mark(&mut self, unit: usize, units: usize, taken: bool) {
        for u in unit..unit + units {
            if let Some(word) = self.bits.get_mut(u / 64) {
                let bit = 1u64 << (u % 64);
                *word = if taken { *word | bit } else { *word & !bit };
            }
        }
        if !taken {
            self.full = self.full.min(unit);
        } else if unit == self.full {
            self.full += units;
        }
    }
}

/// One region, as one process has it.
#[derive(Clone)]
pub(super) struct Region {
    pub(super) base: u64,
    pages: Arc<Pages>,
    /// Units with trampolines of this process.
    taken: Units,
}

impl Region {
    /// Maps a region where `plan` can have its trampoline, `keep` bytes from the code or more.
    pub(super) fn map(plan: &Plan, keep: u64, there_are: usize) -> Option<Self> {
        if there_are >= MOST_REGIONS {
            return None;
        }
        let pages = Pages::take()?;
        let highest = match plan.mode() {
            CodeMode::Long => u64::MAX,
            CodeMode::Compat => GATE,
        };
        let bases = plan.stretches(keep, keep.max(HEAP_ROOM)).map(|stretch| stretch.start() & !4095);
        let bases = bases.filter(|base| base.saturating_add(REGION_LEN as u64) <= highest);
        let mut bases = bases.take(ATTEMPTS);
        let base = bases.find(|base| pages.map(*base))?;
        Some(Self { base, pages, taken: Units::default() })
    }

    /// Maps it `by` bytes higher (modulo 2^64), too. `false`: something is there.
    pub(super) fn map_again(&self, by: u64) -> bool {
        self.pages.map(self.base.wrapping_add(by))
    }

    /// Takes that mapping away.
    pub(super) fn unmap_copy(&self, by: u64) {
        // SAFETY: the mapping is the kernel's, and no patch leads into it any more.
        let _ = unsafe { host_call!(nr::MUNMAP, self.base.wrapping_add(by), REGION_LEN) };
    }

    /// Whether that mapping and the range have something in common.
    pub(super) fn copy_overlaps(&self, by: u64, start: u64, end: u64) -> bool {
        let base = self.base.wrapping_add(by);
        base < end && start < base.saturating_add(REGION_LEN as u64)
    }

    /// Gives the mapping back to the host.
    pub(super) fn unmap(&self) {
        // SAFETY: the region is the kernel's, and no patch leads into it any more.
        let _ = unsafe { host_call!(nr::MUNMAP, self.base, REGION_LEN) };
    }

    pub(super) fn contains(&self, address: u64) -> bool {
        (self.base..self.base + REGION_LEN as u64).contains(&address)
    }

    pub(super) fn overlaps(&self, start: u64, end: u64) -> bool {
        self.base < end && start < self.base + REGION_LEN as u64
    }

    pub(super) fn used(&self) -> bool {
        self.taken.bits.iter().any(|word| *word != 0)
    }

    /// Takes a place for the trampoline of `plan`, in a page that is in use if that is possible.
    pub(super) fn reserve(&self, plan: &Plan) -> Option<u64> {
        let units = plan.room().div_ceil(UNIT);
        let mut used = self.pages.used.lock();
        let address = self.find(plan, units, &used)?;
        used.mark(self.unit(address), units, true);
        Some(address)
    }

    fn find(&self, plan: &Plan, units: usize, used: &Units) -> Option<u64> {
        let end = self.base + REGION_LEN as u64;
        let mut fresh = None;
        for window in plan.windows(self.base, end - (units * UNIT) as u64) {
            let free = self.base + (used.full * UNIT) as u64;
            let mut address = (*window.start()).max(free).next_multiple_of(UNIT as u64);
            while address <= *window.end() {
                let unit = self.unit(address);
                if used.is_free(unit, units) {
                    if used.page_in_use(unit) {
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

    fn unit(&self, address: u64) -> usize {
        (address - self.base) as usize / UNIT
    }

    /// A reserved place is not needed.
    pub(super) fn cancel(&self, plan: &Plan, address: u64) {
        self.pages.used.lock().mark(self.unit(address), plan.room().div_ceil(UNIT), false);
    }

    /// Writes the trampoline at the place reserved for it. Nothing leads there yet.
    pub(super) fn write(&mut self, plan: &Plan, patch: &Patch) {
        let bytes = patch.trampoline_bytes.as_slice();
        let (unit, units) = (self.unit(patch.trampoline), bytes.len().div_ceil(UNIT));
        self.taken.mark(unit, units, true);
        let unused = plan.room().div_ceil(UNIT).saturating_sub(units);
        self.pages.used.lock().mark(unit + units, unused, false);
        // Nobody else writes these units.
        self.pages.write((patch.trampoline - self.base) as usize, bytes);
    }

    /// The trampoline is not needed any more. Its place is kept while other processes have the region: theirs may be
    /// there.
    pub(super) fn release(&mut self, patch: &Patch) {
        let (unit, units) = (self.unit(patch.trampoline), patch.trampoline_bytes.len().div_ceil(UNIT));
        self.taken.mark(unit, units, false);
        if Arc::strong_count(&self.pages) == 1 {
            self.pages.used.lock().mark(unit, units, false);
        }
    }
}
