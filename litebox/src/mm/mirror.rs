//! The map of areas while it is locked: every change of it, mirrored on the host.

use alloc::vec::Vec;

use crate::platform::{Backing, Prot, host};
use crate::{Error, Result};

use super::area::{Area, AreaFlags, AreaName, Object};
use super::areas::AreaTree;
use super::arena::{Extent, Extents};
use super::fault::Recent;
use super::place::{self, Layout, Search};
use super::space::{Limits, MapRequest, Placement};
use super::{PAGE, page_up};

const HUGE_PAGE: usize = 2 << 20;
/// How often another place is tried when the host has something at the chosen one.
const PLACE_ATTEMPTS: u32 = 24;

/// An address space under its lock.
pub(super) struct Inner {
    pub areas: AreaTree,
    pub layout: Layout,
    pub search: Search,
    pub recent: Recent,
    /// Start and end of the heap.
    pub brk: (usize, usize),
    /// Flags that every new area gets (mlockall(2) `MCL_FUTURE`).
    pub future: AreaFlags,
    pub peak: usize,
    /// How many areas there may be.
    pub most_areas: usize,
}

/// Where the pages of `area` lie in the arena; empty for other objects. Asked before the space is locked.
pub(super) fn extents_of(object: &Object, offset: u64, len: usize) -> Result<Extents> {
    match object {
        Object::Pages { pages, .. } => pages.extents(offset, len),
        _ => Ok(Extents::new()),
    }
}

/// Maps `area` on the host. Sets `filled`.
pub(super) fn map_on_host(area: &mut Area, extents: &[Extent], replace: bool) -> Result<()> {
    let stack = area.flags.intersects(AreaFlags::STACK | AreaFlags::GROWSDOWN);
    let (start, len, prot, shared) = (area.start, area.len(), area.prot, area.shared());
    area.filled = area.end;
    if let Some(backing) = area.host_backing(start) {
        if area.is_fixed_code() && host().map_patched(&area.code(), replace)? {
            area.flags |= AreaFlags::PATCHED;
            return Ok(());
        }
        return host().map(start, len, prot, shared, backing, replace, stack);
    }
    if let [one] = extents {
        if one.offset == area.offset && one.len >= len as u64 {
            return host().map(start, len, prot, shared, Backing::Arena { offset: one.arena }, replace, stack);
        }
    }
    host().map(start, len, Prot::empty(), false, Backing::Anonymous, replace, true)?;
    area.filled = start;
    for extent in extents {
        let Some(at) = extent.offset.checked_sub(area.offset).and_then(|o| usize::try_from(o).ok()) else { break };
        let at = start + at;
        let piece = usize::try_from(extent.len).unwrap_or(usize::MAX).min(area.end.saturating_sub(at));
        if at != area.filled || piece == 0 {
            break;
        }
        let backing = Backing::Arena { offset: extent.arena };
        if let Err(error) = host().map(at, piece, prot, shared, backing, true, stack) {
            // Keep the range ours: the caller records or unmaps it.
            let _ = host().unmap(start, len);
            return Err(error);
        }
        area.filled = at + piece;
    }
    Ok(())
}

/// Unmaps on the host what areas cover of `[start, end)`, in as few calls as possible.
pub(super) fn unmap_runs(areas: &AreaTree, start: usize, end: usize) {
    let mut run = (0, 0);
    for area in areas.overlapping(start, end) {
        let part = (area.start.max(start), area.end.min(end));
        if part.0 == run.1 {
            run.1 = part.1;
            continue;
        }
        if run.1 > run.0 {
            let _ = host().unmap(run.0, run.1 - run.0);
        }
        run = part;
    }
    if run.1 > run.0 {
        let _ = host().unmap(run.0, run.1 - run.0);
    }
}

impl Inner {
    /// The end of a page-aligned, non-empty range that lies where guests may map.
    pub fn check_range(&self, start: usize, len: usize) -> Result<usize> {
        match start.checked_add(len) {
            Some(end) if len > 0 && start % PAGE == 0 && len % PAGE == 0 && end <= self.layout.highest => Ok(end),
            _ => Err(Error::Invalid),
        }
    }

    /// Whether limits allow `len` bytes more, with `gone` bytes of the map going.
    pub fn may_expand(&self, len: usize, gone: usize, data: bool, limits: &Limits) -> Result<()> {
        let total = (self.areas.total - gone.min(self.areas.total)).saturating_add(len);
        if total as u64 > limits.address_space || (data && self.areas.data.saturating_add(len) as u64 > limits.data) {
            return Err(Error::NoMemory);
        }
        Ok(())
    }

    pub fn choose(&mut self, len: usize, align: usize, hint: usize, below: Option<usize>) -> Result<usize> {
        place::choose(&self.areas, &self.layout, &mut self.search, len, align, hint, below).ok_or(Error::NoMemory)
    }

    /// Chooses a free place and lets `map` fill it, elsewhere when the host has something there already.
    pub fn place(
        &mut self,
        len: usize,
        align: usize,
        hint: usize,
        below: Option<usize>,
        mut map: impl FnMut(usize) -> Result<()>,
    ) -> Result<usize> {
        let mut addr = self.choose(len, align, hint, below)?;
        let mut step = 16 * PAGE;
        for attempt in 0..PLACE_ATTEMPTS {
            match map(addr) {
                Err(Error::Exists) => {}
                other => {
                    if attempt > 0 && below.is_none() {
                        self.search.passed(addr.saturating_add(len));
                    }
                    return other.map(|()| addr);
                }
            }
            let top = addr.saturating_add(len).saturating_sub(step).max(self.layout.lowest);
            step = step.saturating_mul(2);
            addr = self.choose(len, align, 0, Some(top))?;
        }
        Err(Error::NoMemory)
    }

    pub fn map(
        &mut self,
        request: MapRequest,
        extents: &[Extent],
        limits: &Limits,
        dead: &mut Vec<Area>,
    ) -> Result<(usize, bool)> {
        let MapRequest { placement, len, prot, max_prot, flags, object, offset, name, .. } = request;
        if len == 0 || len > self.layout.highest {
            return Err(Error::NoMemory);
        }
        if self.areas.count() >= self.most_areas {
            return Err(Error::NoMemory);
        }
        let flags = flags | self.future;
        let anonymous = object.is_anonymous();
        let mut area = Area { start: 0, end: len, prot, max_prot, flags, object, offset, name, filled: 0 };
        let locked = flags.contains(AreaFlags::LOCKED);
        if locked && (self.areas.locked + len) as u64 > limits.locked {
            return Err(Error::WouldBlock);
        }
        match placement {
            Placement::Fixed { addr, replace } => {
                let end = self.check_range(addr, len).map_err(|_| Error::NoMemory)?;
                if addr < self.layout.lowest {
                    return Err(Error::NotPermitted);
                }
                let gone = self.areas.mapped_bytes(addr, end);
                if !replace && gone > 0 {
                    return Err(Error::Exists);
                }
                if self.areas.count() + self.areas.splits(addr, end) >= self.most_areas {
                    return Err(Error::NoMemory);
                }
                self.may_expand(len, gone, area.is_data(), limits)?;
                area.start = addr;
                area.end = end;
                map_on_host(&mut area, extents, replace)?;
                if gone > 0 {
                    dead.extend(self.areas.remove(addr, end));
                }
            }
            Placement::Anywhere { hint, below } => {
                self.may_expand(len, 0, area.is_data(), limits)?;
                let align = if anonymous && len >= HUGE_PAGE && len % HUGE_PAGE == 0 { HUGE_PAGE } else { PAGE };
                self.place(len, align, hint, below, |addr| {
                    area.start = addr;
                    area.end = addr + len;
                    map_on_host(&mut area, extents, false)
                })?;
            }
        }
        let start = area.start;
        if prot.contains(Prot::EXEC) && !anonymous {
            Self::code_mapped(&mut area);
        }
        self.insert(area);
        Ok((start, locked && !flags.contains(AreaFlags::LOCKONFAULT)))
    }

    pub fn insert(&mut self, area: Area) {
        self.areas.insert(area);
        self.peak = self.peak.max(self.areas.total);
    }

    /// Unmaps `[start, end)`; the areas are given back so that they are dropped without the lock.
    pub fn unmap(&mut self, start: usize, end: usize) -> Result<Vec<Area>> {
        if self.areas.count() + self.areas.splits(start, end) > self.most_areas {
            return Err(Error::NoMemory);
        }
        unmap_runs(&self.areas, start, end);
        self.search.freed(end);
        Ok(self.areas.remove(start, end))
    }

    pub fn protect(&mut self, start: usize, len: usize, prot: Prot, down: bool, limits: &Limits) -> Result<()> {
        let end = start.checked_add(len).ok_or(Error::NoMemory)?;
        let first = self.areas.find_from(start).ok_or(Error::NoMemory)?;
        let mut start = start;
        if down {
            if first.start >= end {
                return Err(Error::NoMemory);
            }
            if !first.flags.contains(AreaFlags::GROWSDOWN) {
                return Err(Error::Invalid);
            }
            start = first.start;
        }
        // How far it goes, and what stops it.
        let mut stop = start;
        let mut outcome = Ok(());
        let mut more_data = 0;
        for area in self.areas.overlapping(start, end) {
            if area.start > stop {
                break;
            }
            let len = area.end.min(end) - area.start.max(start);
            if !area.max_prot.contains(prot) {
                outcome = Err(Error::Access);
                break;
            }
            let private = !area.flags.intersects(AreaFlags::SHARED | AreaFlags::GROWSDOWN);
            if prot.contains(Prot::WRITE) && private && !area.is_data() {
                more_data += len;
                if (self.areas.data + more_data) as u64 > limits.data {
                    outcome = Err(Error::NoMemory);
                    break;
                }
            }
            stop = area.end.min(end);
        }
        if outcome.is_ok() && stop < end {
            outcome = Err(Error::NoMemory);
        }
        if stop > start {
            if self.areas.count() + 2 > self.most_areas {
                return Err(Error::NoMemory);
            }
            if prot.contains(Prot::WRITE) {
                self.show_original(start, stop)?;
            }
            self.protect_on_host(start, stop, prot)?;
            self.areas.update(start, stop, |a| a.prot = prot);
        }
        outcome
    }

    /// The host has its way with code that was just mapped.
    fn code_mapped(area: &mut Area) {
        area.flags.set(AreaFlags::UNCHANGED, area.is_fixed_code());
        let backing = area.host_backing(area.start).unwrap_or(Backing::Anonymous);
        if host().code_mapped(&area.code(), backing) {
            area.flags |= AreaFlags::PATCHED;
        }
    }

    /// Processes that are copied have less to copy when their code is everybody's.
    pub fn share_code(&mut self) {
        let fit = |a: &&Area| a.flags & (AreaFlags::UNCHANGED | AreaFlags::PATCHED) == AreaFlags::UNCHANGED;
        let code: Vec<Area> = self.areas.iter().filter(fit).cloned().collect();
        for area in code {
            let Some(backing) = area.host_backing(area.start) else { continue };
            if host().share_code(&area.code(), backing) {
                self.areas.update(area.start, area.end, |a| a.flags |= AreaFlags::PATCHED);
            }
        }
    }

    /// The guest is about to change pages of the range: files of which patched copies are shown there are shown themselves, wherever they are mapped,
    /// for a patch may reach over the end of an area.
    pub fn show_original(&mut self, start: usize, end: usize) -> Result<()> {
        let unchanged = |a: &&Area| a.flags.contains(AreaFlags::UNCHANGED);
        let files: Vec<_> =
            self.areas.overlapping(start, end).filter(unchanged).filter_map(|a| a.object.id()).collect();
        if files.is_empty() {
            return Ok(());
        }
        let shown = |a: &&Area| unchanged(a) && a.object.id().is_some_and(|id| files.contains(&id));
        let shown: Vec<Area> = self.areas.iter().filter(shown).cloned().collect();
        for area in shown {
            if let Some(backing) = area.host_backing(area.start).filter(|_| area.flags.contains(AreaFlags::PATCHED)) {
                host().map_original(&area.code(), backing)?;
            }
            self.areas.update(area.start, area.end, |a| a.flags.remove(AreaFlags::UNCHANGED | AreaFlags::PATCHED));
        }
        Ok(())
    }

    fn protect_on_host(&self, start: usize, end: usize, prot: Prot) -> Result<()> {
        let mut run = (start, start);
        for area in self.areas.overlapping(start, end) {
            let from = area.start.max(start);
            let to = area.filled.clamp(from, area.end.min(end));
            if from == run.1 {
                run.1 = to;
            } else {
                if run.1 > run.0 {
                    host().protect(run.0, run.1 - run.0, prot)?;
                }
                run = (from, to);
            }
        }
        if run.1 > run.0 { host().protect(run.0, run.1 - run.0, prot) } else { Ok(()) }
    }

    pub fn move_brk(&mut self, wanted: usize, limits: &Limits) -> Vec<Area> {
        let (start, now) = self.brk;
        if start == 0 || wanted < start || (wanted - start) as u64 > limits.data {
            return Vec::new();
        }
        let (Some(old_end), Some(new_end)) = (page_up(now), page_up(wanted)) else { return Vec::new() };
        if new_end <= old_end {
            let dead = if new_end < old_end { self.unmap(new_end, old_end) } else { Ok(Vec::new()) };
            return match dead {
                Ok(dead) => {
                    self.brk.1 = wanted;
                    dead
                }
                Err(_) => Vec::new(),
            };
        }
        // A page stays free behind the heap.
        if new_end > self.layout.highest || !place::is_free(&self.areas, old_end, new_end - old_end + PAGE) {
            return Vec::new();
        }
        let placement = Placement::Fixed { addr: old_end, replace: false };
        let mut request = MapRequest::anonymous(placement, new_end - old_end, Prot::READ | Prot::WRITE);
        request.name = AreaName::Heap;
        let mut dead = Vec::new();
        if self.map(request, &[], limits, &mut dead).is_ok() {
            self.brk.1 = wanted;
        }
        dead
    }
}
