//! What a fault in guest memory means, and the faults that the map itself resolves: a stack that grows, a file that
//! grew.

use crate::platform::{FaultAccess, MapMode, Prot, host};

use super::map::{Limits, Mm};
use super::mirror::Inner;
use super::vma::{Object, VmaFlags};
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

impl Mm {
    /// A fault of the guest, or of the kernel on its behalf, at `addr`. `true`: the page is there now, try again.
    pub fn resolve_fault(&self, addr: usize, write: bool, limits: &Limits) -> bool {
        let wanted = {
            let mut inner = self.lock();
            if inner.recent.retries > 0 && (inner.recent.start..inner.recent.end).contains(&addr) {
                inner.recent.retries -= 1;
                return true;
            }
            match inner.vmas.find(addr) {
                None => return inner.grow_stack(addr, limits),
                Some(vma) => {
                    let Object::Pages { pages, .. } = &vma.object else { return false };
                    let needed = if write { Prot::WRITE } else { Prot::all() };
                    if addr < vma.filled || !vma.prot.intersects(needed) {
                        return false;
                    }
                    (pages.clone(), vma.offset_of(vma.filled), vma.end - vma.filled, vma.filled)
                }
            }
        };
        // The file may be locked by a reader that faults on our lock: it is asked without it.
        let (pages, offset, len, from) = wanted;
        let Ok(extents) = pages.extents(offset, len) else { return false };
        let mut inner = self.lock();
        let Some(vma) = inner.vmas.find(from).cloned() else { return false };
        let same = matches!(&vma.object, Object::Pages { pages: p, .. } if p.identity() == pages.identity());
        if !same || vma.filled > from || vma.offset_of(from) != offset {
            return vma.filled > addr;
        }
        let mut end = from;
        for extent in extents {
            let Some(at) = usize::try_from(extent.offset - offset).ok().map(|o| from + o) else { break };
            let len = (extent.len as usize).min(vma.end.saturating_sub(at));
            if at != end || len == 0 {
                break;
            }
            let backing = crate::platform::Backing::Arena { offset: extent.arena };
            if host().map(at, len, vma.prot, vma.map_mode() | MapMode::REPLACE, backing).is_err() {
                break;
            }
            end = at + len;
        }
        inner.vmas.update(from, vma.end, |a| a.filled = end.clamp(a.start, a.end));
        inner.recent = Recent { start: from, end, retries: RETRIES };
        addr < end
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
        if host().map(start, grow, vma.prot, vma.map_mode(), crate::platform::Backing::Anonymous).is_err() {
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
