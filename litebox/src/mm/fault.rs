//! What a fault in guest memory means, and the faults that the map itself resolves: a stack that grows, a file that
//! grew.

use crate::platform::{Backing, FaultAccess, MapMode, Prot, host};

use super::arena::Extent;
use super::map::{Limits, Mm};
use super::mirror::Inner;
use super::vma::{Object, Vma, VmaFlags};
use super::{PAGE, STACK_GAP, page_down};

/// Why an access failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultClass {
    /// Nothing is mapped there (`SEGV_MAPERR`).
    Unmapped,
    /// The protection forbids it (`SEGV_ACCERR`).
    Protection,
    /// It lies behind the end of the mapped file (`BUS_ADRERR`).
    PastEnd,
}

/// Ranges that a fault filled lately: another thread may have faulted on them at the same time and has to try again.
/// How often is limited, so that no mistake in here makes a thread fault for ever.
#[derive(Clone, Copy, Default)]
pub(super) struct Recent {
    start: usize,
    end: usize,
    retries: u8,
}

const RETRIES: u8 = 64;

/// Of a file that is mostly holes, so much gets pages at once where it is touched.
const WINDOW: usize = 2 << 20;

impl Mm {
    /// A fault of the guest, or of the kernel on its behalf, at `addr`. `true`: the page is there now, try again.
    pub fn resolve_fault(&self, addr: usize, write: bool, limits: &Limits) -> bool {
        let vma = {
            let mut inner = self.lock();
            if inner.recent.retries > 0 && (inner.recent.start..inner.recent.end).contains(&addr) {
                inner.recent.retries -= 1;
                return true;
            }
            match inner.vmas.find(addr).cloned() {
                None => return inner.grow_stack(addr, limits),
                Some(vma) => vma,
            }
        };
        let needed = if write { Prot::WRITE } else { Prot::all() };
        if addr < vma.filled || !vma.prot.intersects(needed) {
            return false;
        }
        // The file may be locked by a reader that faults on our lock: it is asked without it.
        let Object::Pages { pages, file } = &vma.object else { return false };
        let rest = (vma.filled, vma.end);
        let ask = |(start, end): (usize, usize)| pages.extents(vma.offset_of(start), end - start).map(|e| (start, e));
        let found = if file.is_none() || pages.is_dense(vma.offset_of(rest.0), rest.1 - rest.0) {
            ask(rest)
        } else {
            let part = |len: usize| ((addr & !(len - 1)).max(rest.0), (addr | (len - 1)).saturating_add(1).min(rest.1));
            // The arena may have a page, but not many.
            ask(part(WINDOW)).or_else(|_| ask(part(PAGE)))
        };
        let Ok((start, extents)) = found else { return false };
        self.lock().show(addr, start, &vma, &extents)
    }

    /// What a fault at `addr` that was not resolved means to the guest.
    pub fn classify_fault(&self, addr: usize, access: FaultAccess) -> FaultClass {
        let inner = self.lock();
        let Some(vma) = inner.vmas.find(addr) else { return FaultClass::Unmapped };
        let allowed = match access {
            FaultAccess::Fetch => vma.prot.contains(Prot::EXEC),
            FaultAccess::Write => vma.prot.contains(Prot::WRITE),
            FaultAccess::Read => !vma.prot.is_empty(),
        };
        if allowed && !vma.object.is_anonymous() { FaultClass::PastEnd } else { FaultClass::Protection }
    }
}

impl Inner {
    /// Maps the pages of a file that begin at `start` and that a fault at `addr` asked for, unless the map has changed
    /// since it was as `seen`. `true`: the page is there.
    fn show(&mut self, addr: usize, start: usize, seen: &Vma, extents: &[Extent]) -> bool {
        let Some(vma) = self.vmas.find(start).cloned() else { return false };
        let same = vma.object.id() == seen.object.id() && vma.offset_of(start) == seen.offset_of(start);
        if !same || vma.filled > start {
            return vma.filled > addr;
        }
        let splits = usize::from(start > vma.filled) * 2;
        if self.vmas.count() + splits > self.max_vmas {
            return false;
        }
        let mut end = start;
        for extent in extents {
            let offset = extent.offset.checked_sub(vma.offset_of(start)).and_then(|o| usize::try_from(o).ok());
            let Some(at) = offset.and_then(|o| start.checked_add(o)) else { break };
            let len = (extent.len as usize).min(vma.end.saturating_sub(at));
            if at != end || len == 0 {
                break;
            }
            let backing = Backing::Arena { offset: extent.arena };
            if host().map(at, len, vma.prot, vma.map_mode() | MapMode::REPLACE, backing).is_err() {
                break;
            }
            end = at + len;
        }
        // Where something before it is not there, what is becomes a vma of its own.
        let changed = if start > vma.filled { end } else { vma.end };
        if end > start {
            self.vmas.update(start, changed, |a| a.filled = end.clamp(a.start, a.end));
        }
        self.recent = Recent { start, end, retries: RETRIES };
        (start..end).contains(&addr)
    }

    /// Extends the growing vma above `addr` down to it.
    fn grow_stack(&mut self, addr: usize, limits: &Limits) -> bool {
        let start = page_down(addr);
        let Some(vma) = self.vmas.find_from(addr).cloned() else { return false };
        if !vma.flags.contains(VmaFlags::GROWSDOWN) || vma.prot.is_empty() || start < self.layout.lowest {
            return false;
        }
        let size = vma.end - start;
        let grow = vma.start - start;
        let below = self.vmas.below(start).next().map_or(0, |a| {
            // Nothing accessible may be closer than the gap.
            if a.prot.is_empty() { a.end } else { a.end + STACK_GAP }
        });
        if size as u64 > limits.stack
            || below > start
            || (self.vmas.total + grow) as u64 > limits.address_space
            || (self.vmas.count() >= self.max_vmas)
        {
            return false;
        }
        if host().map(start, grow, vma.prot, vma.map_mode(), Backing::Anonymous).is_err() {
            return false;
        }
        let mut more = vma.clone();
        more.start = start;
        more.end = vma.start;
        more.filled = more.end;
        self.vmas.insert(more);
        self.recent = Recent { start, end: start + PAGE.max(grow), retries: RETRIES };
        true
    }
}
