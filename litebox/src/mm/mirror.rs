//! The map of vmas while it is locked: every change of it, mirrored on the host.

use alloc::vec::Vec;

use crate::platform::{Backing, MapMode, Prot, host};
use crate::{Error, Result};

use super::arena::{Extent, Extents};
use super::fault::Recent;
use super::map::{Limits, MapRequest, Placement, Reach};
use super::unmapped_area::{self, Layout, Search};
use super::vma::{Object, Vma, VmaFlags, VmaName};
use super::vma_tree::VmaTree;
use super::{PAGE, page_up};

const HUGE_PAGE: usize = 2 << 20;
/// How often another place is tried when the host has something at the chosen one.
const PLACE_ATTEMPTS: u32 = 24;

/// An address space under its lock.
pub(super) struct Inner {
    pub vmas: VmaTree,
    pub layout: Layout,
    pub search: Search,
    pub recent: Recent,
    /// Start and end of the heap.
    pub brk: (usize, usize),
    /// Flags that every new vma gets (mlockall(2) `MCL_FUTURE`).
    pub future: VmaFlags,
    pub peak: usize,
    /// How many vmas there may be.
    pub max_vmas: usize,
}

/// Where the pages of `vma` lie in the arena; empty for other objects. Asked before the space is locked. Also empty for
/// a file that is mostly holes: its pages come when they are touched.
pub(super) fn extents_of(object: &Object, offset: u64, len: usize) -> Result<Extents> {
    match object {
        Object::Pages { pages, file: Some(_) } if !pages.is_dense(offset, len) => Ok(Extents::new()),
        Object::Pages { pages, .. } => pages.extents(offset, len),
        _ => Ok(Extents::new()),
    }
}

/// Maps `vma` on the host. Sets `filled`.
pub(super) fn map_on_host(vma: &mut Vma, extents: &[Extent], replace: bool) -> Result<()> {
    let (start, len, prot) = (vma.start, vma.len(), vma.prot);
    let mut own = MapMode::empty();
    own.set(MapMode::REPLACE, replace);
    let mode = own | vma.map_mode();
    vma.filled = vma.end;
    if let Some(backing) = vma.host_backing(start) {
        if vma.is_fixed_code() && host().map_patched(&vma.code(), replace)? {
            vma.flags |= VmaFlags::PATCHED;
            return Ok(());
        }
        return host().map(start, len, prot, mode, backing);
    }
    if let [one] = extents {
        if one.offset == vma.offset && one.len >= len as u64 {
            return host().map(start, len, prot, mode, Backing::Arena { offset: one.arena });
        }
    }
    host().map(start, len, Prot::empty(), own, Backing::Anonymous)?;
    vma.filled = start;
    for extent in extents {
        let Some(at) = extent.offset.checked_sub(vma.offset).and_then(|o| usize::try_from(o).ok()) else { break };
        let at = start + at;
        let piece = usize::try_from(extent.len).unwrap_or(usize::MAX).min(vma.end.saturating_sub(at));
        if at != vma.filled || piece == 0 {
            break;
        }
        let backing = Backing::Arena { offset: extent.arena };
        if let Err(error) = host().map(at, piece, prot, mode | MapMode::REPLACE, backing) {
            // Keep the range ours: the caller records or unmaps it.
            let _ = host().unmap(start, len);
            return Err(error);
        }
        vma.filled = at + piece;
    }
    Ok(())
}

/// Unmaps on the host what vmas cover of `[start, end)`, in as few calls as possible.
pub(super) fn unmap_runs(vmas: &VmaTree, start: usize, end: usize) {
    let mut run = (0, 0);
    for vma in vmas.overlapping(start, end) {
        let part = (vma.start.max(start), vma.end.min(end));
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
        let total = (self.vmas.total - gone.min(self.vmas.total)).saturating_add(len);
        if total as u64 > limits.address_space || (data && self.vmas.data.saturating_add(len) as u64 > limits.data) {
            return Err(Error::NoMemory);
        }
        Ok(())
    }

    pub fn choose(&mut self, len: usize, align: usize, hint: usize, reach: Reach) -> Result<usize> {
        unmapped_area::choose(&self.vmas, &self.layout, &mut self.search, len, align, hint, reach)
            .ok_or(Error::NoMemory)
    }

    /// Chooses a free place and lets `map` fill it, elsewhere when the host has something there already.
    pub fn place(
        &mut self,
        len: usize,
        align: usize,
        hint: usize,
        reach: Reach,
        mut map: impl FnMut(usize) -> Result<()>,
    ) -> Result<usize> {
        let mut addr = self.choose(len, align, hint, reach)?;
        let mut step = 16 * PAGE;
        for attempt in 0..PLACE_ATTEMPTS {
            match map(addr) {
                Err(Error::Exists) => {}
                other => {
                    if attempt > 0 && reach == Reach::Whole {
                        self.search.passed(addr.saturating_add(len));
                    }
                    return other.map(|()| addr);
                }
            }
            let top = addr.saturating_add(len).saturating_sub(step).max(self.layout.lowest);
            step = step.saturating_mul(2);
            addr = self.choose(len, align, 0, Reach::Below(top))?;
        }
        Err(Error::NoMemory)
    }

    pub fn map(
        &mut self,
        request: MapRequest,
        extents: &[Extent],
        limits: &Limits,
        dead: &mut Vec<Vma>,
    ) -> Result<(usize, bool)> {
        let MapRequest { placement, len, prot, max_prot, flags, object, offset, name, .. } = request;
        if len == 0 || len > self.layout.highest {
            return Err(Error::NoMemory);
        }
        if self.vmas.count() >= self.max_vmas {
            return Err(Error::NoMemory);
        }
        let flags = flags | self.future | self.layout.vma_flags();
        let anonymous = object.is_anonymous();
        let mut vma = Vma { start: 0, end: len, prot, max_prot, flags, object, offset, name, filled: 0 };
        let locked = flags.contains(VmaFlags::LOCKED);
        if locked && (self.vmas.locked + len) as u64 > limits.locked {
            return Err(Error::WouldBlock);
        }
        match placement {
            Placement::Fixed { addr, replace } => {
                let end = self.check_range(addr, len).map_err(|_| Error::NoMemory)?;
                if addr < self.layout.lowest {
                    return Err(Error::NotPermitted);
                }
                let gone = self.vmas.mapped_bytes(addr, end);
                if !replace && gone > 0 {
                    return Err(Error::Exists);
                }
                self.check_unsealed(addr, end)?;
                if self.vmas.count() + self.vmas.splits(addr, end) >= self.max_vmas {
                    return Err(Error::NoMemory);
                }
                self.may_expand(len, gone, vma.is_data(), limits)?;
                vma.start = addr;
                vma.end = end;
                map_on_host(&mut vma, extents, replace)?;
                if gone > 0 {
                    dead.extend(self.vmas.remove(addr, end));
                }
            }
            Placement::Anywhere { hint, reach } => {
                self.may_expand(len, 0, vma.is_data(), limits)?;
                let align = if anonymous && len >= HUGE_PAGE && len % HUGE_PAGE == 0 { HUGE_PAGE } else { PAGE };
                self.place(len, align, hint, reach, |addr| {
                    vma.start = addr;
                    vma.end = addr + len;
                    map_on_host(&mut vma, extents, false)
                })?;
            }
        }
        let start = vma.start;
        if prot.contains(Prot::EXEC) && !anonymous && vma.flags.contains(VmaFlags::LOADED) {
            Self::code_mapped(&mut vma);
        }
        self.insert(vma);
        Ok((start, locked && !flags.contains(VmaFlags::LOCKONFAULT)))
    }

    pub fn insert(&mut self, vma: Vma) {
        self.vmas.insert(vma);
        self.peak = self.peak.max(self.vmas.total);
    }

    /// `NotPermitted` where something of `[start, end)` is sealed.
    pub fn check_unsealed(&self, start: usize, end: usize) -> Result<()> {
        let sealed = self.vmas.overlapping(start, end).any(|vma| vma.flags.contains(VmaFlags::SEALED));
        if sealed { Err(Error::NotPermitted) } else { Ok(()) }
    }

    /// Unmaps `[start, end)`; the vmas are given back so that they are dropped without the lock.
    pub fn unmap(&mut self, start: usize, end: usize) -> Result<Vec<Vma>> {
        self.check_unsealed(start, end)?;
        if self.vmas.count() + self.vmas.splits(start, end) > self.max_vmas {
            return Err(Error::NoMemory);
        }
        unmap_runs(&self.vmas, start, end);
        self.search.freed(end);
        Ok(self.vmas.remove(start, end))
    }

    pub fn protect(&mut self, start: usize, len: usize, prot: Prot, down: bool, limits: &Limits) -> Result<()> {
        let end = start.checked_add(len).ok_or(Error::NoMemory)?;
        let first = self.vmas.find_from(start).ok_or(Error::NoMemory)?;
        let mut start = start;
        if down {
            if first.start >= end {
                return Err(Error::NoMemory);
            }
            if !first.flags.contains(VmaFlags::GROWSDOWN) {
                return Err(Error::Invalid);
            }
            start = first.start;
        }
        // How far it goes, and what stops it.
        let mut stop = start;
        let mut outcome = Ok(());
        let mut more_data = 0;
        for vma in self.vmas.overlapping(start, end) {
            if vma.start > stop {
                break;
            }
            let len = vma.end.min(end) - vma.start.max(start);
            if vma.flags.contains(VmaFlags::SEALED) {
                outcome = Err(Error::NotPermitted);
                break;
            }
            if !vma.max_prot.contains(prot) {
                outcome = Err(Error::Access);
                break;
            }
            let private = !vma.flags.intersects(VmaFlags::SHARED | VmaFlags::GROWSDOWN);
            if prot.contains(Prot::WRITE) && private && !vma.is_data() {
                more_data += len;
                if (self.vmas.data + more_data) as u64 > limits.data {
                    outcome = Err(Error::NoMemory);
                    break;
                }
            }
            stop = vma.end.min(end);
        }
        if outcome.is_ok() && stop < end {
            outcome = Err(Error::NoMemory);
        }
        if stop > start {
            if self.vmas.count() + 2 > self.max_vmas {
                return Err(Error::NoMemory);
            }
            if prot.contains(Prot::WRITE) {
                self.show_original(start, stop)?;
            }
            self.protect_on_host(start, stop, prot)?;
            self.vmas.update(start, stop, |a| a.prot = prot);
        }
        outcome
    }

    /// The host has its way with code that was just mapped.
    fn code_mapped(vma: &mut Vma) {
        vma.flags.set(VmaFlags::UNCHANGED, vma.is_fixed_code());
        let backing = vma.host_backing(vma.start).unwrap_or(Backing::Anonymous);
        if host().code_mapped(&vma.code(), backing) {
            vma.flags |= VmaFlags::PATCHED;
        }
    }

    /// Processes that are copied have less to copy when their code is everybody's.
    pub fn share_code(&mut self) {
        let fit = |a: &&Vma| a.flags & (VmaFlags::UNCHANGED | VmaFlags::PATCHED) == VmaFlags::UNCHANGED;
        let code: Vec<Vma> = self.vmas.iter().filter(fit).cloned().collect();
        for vma in code {
            let Some(backing) = vma.host_backing(vma.start) else { continue };
            if host().share_code(&vma.code(), backing) {
                self.vmas.update(vma.start, vma.end, |a| a.flags |= VmaFlags::PATCHED);
            }
        }
    }

    /// The guest is about to change pages of the range: files of which patched copies are shown there are shown
    /// themselves, wherever they are mapped, for a patch may reach over the end of a vma.
    pub fn show_original(&mut self, start: usize, end: usize) -> Result<()> {
        let unchanged = |a: &&Vma| a.flags.contains(VmaFlags::UNCHANGED);
        let files: Vec<_> = self.vmas.overlapping(start, end).filter(unchanged).filter_map(|a| a.object.id()).collect();
        if files.is_empty() {
            return Ok(());
        }
        let shown = |a: &&Vma| unchanged(a) && a.object.id().is_some_and(|id| files.contains(&id));
        let shown: Vec<Vma> = self.vmas.iter().filter(shown).cloned().collect();
        for vma in shown {
            if let Some(backing) = vma.host_backing(vma.start).filter(|_| vma.flags.contains(VmaFlags::PATCHED)) {
                host().map_original(&vma.code(), backing)?;
            }
            self.vmas.update(vma.start, vma.end, |a| a.flags.remove(VmaFlags::UNCHANGED | VmaFlags::PATCHED));
        }
        Ok(())
    }

    fn protect_on_host(&self, start: usize, end: usize, prot: Prot) -> Result<()> {
        let mut run = (start, start);
        for vma in self.vmas.overlapping(start, end) {
            let from = vma.start.max(start);
            let to = vma.filled.clamp(from, vma.end.min(end));
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

    pub fn move_brk(&mut self, wanted: usize, limits: &Limits) -> Vec<Vma> {
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
        if new_end > self.layout.highest || !unmapped_area::is_free(&self.vmas, old_end, new_end - old_end + PAGE) {
            return Vec::new();
        }
        let placement = Placement::Fixed { addr: old_end, replace: false };
        let mut request = MapRequest::anonymous(placement, new_end - old_end, Prot::READ | Prot::WRITE);
        request.name = VmaName::Heap;
        let mut dead = Vec::new();
        if self.map(request, &[], limits, &mut dead).is_ok() {
            self.brk.1 = wanted;
        }
        dead
    }
}
