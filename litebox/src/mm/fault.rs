//! What a fault in guest memory means, and the faults that the map itself resolves: a stack that grows, a file that grew.

use crate::platform::{Prot, host};

use super::area::{AreaFlags, Object};
use super::mirror::Inner;
use super::space::{Limits, Space};
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

/// Ranges that a fault filled lately: another thread may have faulted on them at the same time and has to try again. How often is
/// limited, so that no mistake in here makes a thread fault for ever.
#[derive(Clone, Copy, Default)]
pub(super) struct Recent {
    start: usize,
    end: usize,
    retries: u8,
}

const RETRIES: u8 = 64;

impl Space {
    /// A fault of the guest, or of the kernel on its behalf, at `addr`. `true`: the page is there now, try again.
    pub fn resolve_fault(&self, addr: usize, write: bool, limits: &Limits) -> bool {
        let wanted = {
            let mut inner = self.lock();
            if inner.recent.retries > 0 && (inner.recent.start..inner.recent.end).contains(&addr) {
                inner.recent.retries -= 1;
                return true;
            }
            match inner.areas.find(addr) {
                None => return inner.grow_stack(addr, limits),
                Some(area) => {
                    let Object::Pages { pages, .. } = &area.object else { return false };
                    let needed = if write { Prot::WRITE } else { Prot::all() };
                    if addr < area.filled || !area.prot.intersects(needed) {
                        return false;
                    }
                    (pages.clone(), area.offset_of(area.filled), area.end - area.filled, area.filled)
                }
            }
        };
        // The file may be locked by a reader that faults on our lock: it is asked without it.
        let (pages, offset, len, from) = wanted;
        let Ok(extents) = pages.extents(offset, len) else { return false };
        let mut inner = self.lock();
        let Some(area) = inner.areas.find(from).cloned() else { return false };
        let same = matches!(&area.object, Object::Pages { pages: p, .. } if p.identity() == pages.identity());
        if !same || area.filled > from || area.offset_of(from) != offset {
            return area.filled > addr;
        }
        let mut end = from;
        for extent in extents {
            let Some(at) = usize::try_from(extent.offset - offset).ok().map(|o| from + o) else { break };
            let len = (extent.len as usize).min(area.end.saturating_sub(at));
            if at != end || len == 0 {
                break;
            }
            let backing = crate::platform::Backing::Arena { offset: extent.arena };
            if host().map(at, len, area.prot, area.shared(), backing, true, false).is_err() {
                break;
            }
            end = at + len;
        }
        inner.areas.update(from, area.end, |a| a.filled = end.clamp(a.start, a.end));
        inner.recent = Recent { start: from, end, retries: RETRIES };
        addr < end
    }

    /// What a fault at `addr` that was not resolved means to the guest.
    pub fn classify_fault(&self, addr: usize, write: bool, fetch: bool) -> FaultClass {
        let inner = self.lock();
        let Some(area) = inner.areas.find(addr) else { return FaultClass::Unmapped };
        let allowed = if fetch {
            area.prot.contains(Prot::EXEC)
        } else if write {
            area.prot.contains(Prot::WRITE)
        } else {
            !area.prot.is_empty()
        };
        if allowed && !area.object.is_anonymous() { FaultClass::PastEnd } else { FaultClass::Protection }
    }
}

impl Inner {
    /// Extends the growing area above `addr` down to it.
    fn grow_stack(&mut self, addr: usize, limits: &Limits) -> bool {
        let start = page_down(addr);
        let Some(area) = self.areas.find_from(addr).cloned() else { return false };
        if !area.flags.contains(AreaFlags::GROWSDOWN) || area.prot.is_empty() || start < self.layout.lowest {
            return false;
        }
        let size = area.end - start;
        let grow = area.start - start;
        let below = self.areas.below(start).next().map_or(0, |a| {
            // Nothing accessible may be closer than the gap.
            if a.prot.is_empty() { a.end } else { a.end + STACK_GAP }
        });
        if size as u64 > limits.stack
            || below > start
            || (self.areas.total + grow) as u64 > limits.address_space
            || (self.areas.count() >= self.most_areas)
        {
            return false;
        }
        if host().map(start, grow, area.prot, area.shared(), crate::platform::Backing::Anonymous, false, true).is_err()
        {
            return false;
        }
        let mut more = area.clone();
        more.start = start;
        more.end = area.start;
        more.filled = more.end;
        self.areas.insert(more);
        self.recent = Recent { start, end: start + PAGE.max(grow), retries: RETRIES };
        true
    }
}
