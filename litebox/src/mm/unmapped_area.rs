//! Where new vmas go: top down below the stack, at random bases.

use crate::platform::compat::CpuMode;
use crate::platform::host;

use super::map::Reach;
use super::vma::VmaFlags;
use super::vma_tree::VmaTree;
use super::{PAGE, STACK_GAP, page_down};

const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;

/// Bases of an address space, random for each program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Lowest address a guest may map.
    pub lowest: usize,
    /// Behind the highest.
    pub highest: usize,
    /// Nothing is placed above this but where it is told to be.
    pub placed_below: usize,
    /// Behind the stack.
    pub stack_top: usize,
    /// New vmas go below this.
    pub mmap_base: usize,
    /// New vmas of calls in the manner of 32-bit programs go below this.
    pub compat_base: usize,
    /// Where a position-independent program with an interpreter goes.
    pub program_base: usize,
    /// How the program's code is decoded.
    pub mode: CpuMode,
}

/// Where position-independent programs lie on x86-64: two thirds of what a program can address.
const PROGRAMS: u64 = 0x5555_5555_4000;
/// How far above they may begin.
const PROGRAMS_SPREAD: u64 = 1 << 40;

/// Where addresses end for programs that want them to be the same each time: what the kernel leaves differs a little.
const FIXED_END: u64 = 0x7ef0_0000_0000;

/// Behind what 32-bit programs can have (`IA32_PAGE_OFFSET` of Linux).
const COMPAT_END: usize = 0xffff_e000;
/// What is left to their stack, at least.
const COMPAT_GAP: usize = 128 * MIB;
/// How much lower their memory may begin.
const COMPAT_SPREAD: usize = MIB;

/// A random number below `bound` (a power of two), in whole pages.
fn random_pages(bound: usize) -> usize {
    let mut bytes = [0; size_of::<usize>()];
    host().random(&mut bytes);
    page_down(usize::from_le_bytes(bytes) & (bound - 1))
}

impl Layout {
    /// Random bases for a program whose stack may grow to `stack_limit` bytes.
    pub fn random(stack_limit: u64) -> Self {
        Self::make(stack_limit, u64::MAX, random_pages)
    }
    /// Bases that are the same for each program (`ADDR_NO_RANDOMIZE` of personality(2)).
    pub fn fixed(stack_limit: u64) -> Self {
        Self::make(stack_limit, FIXED_END, |_| 0)
    }
    fn make(stack_limit: u64, end: u64, jitter_below: impl Fn(usize) -> usize) -> Self {
        let (lowest, highest) = host().user_span();
        let span = highest - lowest;
        let jitter = (span / 64).next_power_of_two().min(usize::try_from(16 * GIB).unwrap_or(usize::MAX));
        let stack_top = page_down(highest.min(usize::try_from(end).unwrap_or(usize::MAX))) - jitter_below(jitter);
        // As Linux: room for the stack, at least 128 MiB, at most 5/6 of everything.
        let stack = usize::try_from(stack_limit).unwrap_or(usize::MAX).clamp(128 * MIB, span / 6 * 5);
        let stack = stack.min(span / 4);
        let mmap_base = page_down(stack_top - stack - STACK_GAP) - jitter_below(jitter);
        // Programs have the layout of x86-64 built in; a smaller address space has one of its own.
        let program_base = if (lowest as u64) < PROGRAMS && highest as u64 > PROGRAMS + 4 * PROGRAMS_SPREAD {
            PROGRAMS as usize + jitter_below(PROGRAMS_SPREAD as usize)
        } else {
            page_down(lowest + span / 3 * 2 - jitter) + jitter_below(jitter)
        };
        let program_base = program_base.min(mmap_base - span / 16);
        let compat_base = (COMPAT_END - COMPAT_GAP - jitter_below(COMPAT_SPREAD)).min(mmap_base);
        let mode = CpuMode::Long;
        Self { lowest, highest, placed_below: highest, stack_top, mmap_base, compat_base, program_base, mode }
    }

    /// What all vmas are for their program's sake.
    pub(super) fn vma_flags(&self) -> VmaFlags {
        match self.mode {
            CpuMode::Long => VmaFlags::empty(),
            CpuMode::Compat => VmaFlags::COMPAT,
        }
    }

    /// Bases for a 32-bit program: as on an x86-64 host, but for the stack, which begins a little lower. An access
    /// through a segment register just loaded may go astray by as much as the offset in it, and is noticed only where
    /// nothing is: near 0 and near 4 GiB. A program may have `three_gib` alone (`ADDR_LIMIT_3GB` of personality(2)).
    pub fn compat(stack_limit: u64, fixed: bool, three_gib: bool) -> Self {
        const STACK_SPREAD: usize = 8 * MIB;
        const PROGRAMS: usize = 0x5655_5000;
        let (end, stacks): (usize, usize) =
            if three_gib { (0xc000_0000, 0xc000_0000) } else { (COMPAT_END, 0xff00_0000) };
        let random = |bound| if fixed { 0 } else { random_pages(bound) };
        let stack = usize::try_from(stack_limit).unwrap_or(usize::MAX).min(end / 6 * 5);
        let gap = (stack + STACK_SPREAD + (end - stacks) + STACK_GAP).clamp(COMPAT_GAP, end / 6 * 5);
        let mmap_base = page_down(end - gap) - random(COMPAT_SPREAD);
        Self {
            lowest: host().user_span().0,
            highest: end,
            placed_below: stacks,
            stack_top: stacks - random(STACK_SPREAD),
            mmap_base,
            compat_base: mmap_base,
            program_base: PROGRAMS + random(COMPAT_SPREAD),
            mode: CpuMode::Compat,
        }
    }
}

/// Remembers where a search for free space need not look again.
#[derive(Clone, Copy, Default)]
pub(super) struct Search {
    /// Above this every hole is at most `skipped` long.
    from: usize,
    skipped: usize,
}

impl Search {
    pub fn new(layout: &Layout) -> Self {
        Self { from: layout.mmap_base, skipped: 0 }
    }
    /// The host has something of its own above `end`, where the map shows a hole: nobody has to find that out again and
    /// look at everything below it. What else is free there is found when nothing is left below.
    pub fn passed(&mut self, end: usize) {
        self.from = self.from.min(end);
    }
    /// `[start, end)` became free.
    pub fn freed(&mut self, end: usize) {
        self.from = self.from.max(end);
    }
}

/// Space that must stay free below `vma`.
fn gap(flags: VmaFlags) -> usize {
    if flags.contains(VmaFlags::GROWSDOWN) { STACK_GAP } else { 0 }
}

fn fit(floor: usize, top: usize, len: usize, align: usize) -> Option<usize> {
    let start = top.checked_sub(len)? & !(align - 1);
    (start >= floor).then_some(start)
}

/// Highest free range of `len` bytes within `[low, high)`; also the longest hole that was passed over.
fn scan_down(vmas: &VmaTree, len: usize, align: usize, low: usize, high: usize) -> (Option<usize>, usize) {
    let mut top = high;
    let mut skipped = 0;
    for vma in vmas.below(high) {
        let floor = vma.end.max(low);
        if let Some(start) = fit(floor, top, len, align) {
            return (Some(start), skipped);
        }
        skipped = skipped.max(top.saturating_sub(floor));
        top = top.min(vma.start.saturating_sub(gap(vma.flags)));
        if top < low {
            return (None, skipped);
        }
    }
    (fit(low, top, len, align), skipped)
}

/// Whether `[start, start + len)` is free and keeps its distance to growing stacks.
pub(super) fn is_free(vmas: &VmaTree, start: usize, len: usize) -> bool {
    let Some(end) = start.checked_add(len) else { return false };
    match vmas.find_from(start) {
        None => true,
        Some(next) => end <= next.start.saturating_sub(gap(next.flags)),
    }
}

/// Chooses a place of `len` bytes within reach: at `hint` when that is free, else as high as possible below a base of
/// the layout.
pub(super) fn choose(
    vmas: &VmaTree,
    layout: &Layout,
    search: &mut Search,
    len: usize,
    align: usize,
    hint: usize,
    reach: Reach,
) -> Option<usize> {
    let (base, end) = match reach {
        Reach::Whole => (layout.mmap_base, layout.placed_below),
        Reach::Compat => (layout.compat_base, COMPAT_END.min(layout.placed_below)),
        Reach::Below(end) => (end, end.min(layout.placed_below)),
    };
    let hint = page_down(hint);
    if hint >= layout.lowest && hint.checked_add(len).is_some_and(|behind| behind <= end) && is_free(vmas, hint, len) {
        return Some(hint);
    }
    if reach != Reach::Whole {
        let found = scan_down(vmas, len, align, layout.lowest, base.min(end)).0;
        return found.or_else(|| scan_down(vmas, len, align, layout.lowest, end).0);
    }
    if len <= search.skipped {
        *search = Search::new(layout);
    }
    let (found, skipped) = scan_down(vmas, len, align, layout.lowest, search.from.min(base));
    if let Some(start) = found {
        search.skipped = search.skipped.max(skipped);
        search.from = start + len;
        return Some(start);
    }
    *search = Search::new(layout);
    // All full below the base: anywhere.
    scan_down(vmas, len, align, layout.lowest, end).0.or_else(|| scan_down(vmas, len, PAGE, layout.lowest, end).0)
}
