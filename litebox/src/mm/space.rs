//! The address space of one guest process: the map of its areas and the host mappings that mirror it.

use alloc::vec::Vec;

use crate::platform::{Advice, Backing, Prot, host};
use crate::sync::{Mutex, MutexGuard};
use crate::{Error, Result};

use super::area::{Area, AreaFlags, AreaName, Object, ObjectId};
use super::areas::AreaTree;
use super::arena::{Extent, Extents};
use super::fault::Recent;
use super::place::{self, Layout, Search};
use super::{MAX_AREAS, PAGE, page_up};

const HUGE_PAGE: usize = 2 << 20;
/// How often another place is tried when the host has something at the chosen one.
const PLACE_ATTEMPTS: u32 = 24;

/// Where a new area goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Where there is room: at `hint` if possible.
    Anywhere {
        /// Wished address, 0: none.
        hint: usize,
        /// The area must end at or below this.
        below: Option<usize>,
    },
    /// Exactly here.
    Fixed {
        /// The address, page aligned.
        addr: usize,
        /// What was there goes; else the range must be free (`Exists`).
        replace: bool,
    },
}

/// Resource limits in bytes, `u64::MAX` where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whole address space.
    pub address_space: u64,
    /// Private writable memory.
    pub data: u64,
    /// A growing stack.
    pub stack: u64,
    /// Locked memory.
    pub locked: u64,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self { address_space: u64::MAX, data: u64::MAX, stack: u64::MAX, locked: u64::MAX };
}

/// What to map.
pub struct MapRequest {
    /// Where.
    pub placement: Placement,
    /// Bytes, a multiple of the page size, not 0.
    pub len: usize,
    /// Protection.
    pub prot: Prot,
    /// What protection it can ever get.
    pub max_prot: Prot,
    /// Other properties.
    pub flags: AreaFlags,
    /// What the bytes are.
    pub object: Object,
    /// From where in the object, a multiple of the page size.
    pub offset: u64,
    /// Its name.
    pub name: AreaName,
    /// Fault all pages in.
    pub populate: bool,
}

impl MapRequest {
    /// Private zero pages.
    pub fn anonymous(placement: Placement, len: usize, prot: Prot) -> Self {
        Self {
            placement,
            len,
            prot,
            max_prot: Prot::all(),
            flags: AreaFlags::empty(),
            object: Object::Anonymous,
            offset: 0,
            name: AreaName::None,
            populate: false,
        }
    }
}

/// What madvise(2) can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advise {
    /// The host does it.
    Host(Advice),
    /// The areas get and lose flags.
    Flags {
        /// Set.
        set: AreaFlags,
        /// Cleared.
        clear: AreaFlags,
    },
    /// Nothing, but holes are still an error.
    Nothing,
}

/// Sizes of an address space in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// All areas.
    pub total: usize,
    /// Highest `total` so far.
    pub peak: usize,
    /// Private writable memory.
    pub data: usize,
    /// Growing stacks.
    pub stack: usize,
    /// Executable areas.
    pub exec: usize,
    /// Locked.
    pub locked: usize,
    /// Number of areas.
    pub areas: usize,
}

pub(super) struct Inner {
    pub areas: AreaTree,
    pub layout: Layout,
    pub search: Search,
    pub recent: Recent,
    /// Start and end of the heap.
    brk: (usize, usize),
    /// Flags that every new area gets (mlockall(2) `MCL_FUTURE`).
    future: AreaFlags,
    peak: usize,
}

/// The address space of one guest process.
///
/// Operations mirror on the calling host process, so only threads of the process itself may call those that change something.
pub struct Space {
    inner: Mutex<Inner>,
}

impl Default for Space {
    fn default() -> Self {
        Self::new(Layout::random(8 << 20))
    }
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

impl Space {
    /// An empty address space.
    pub fn new(layout: Layout) -> Self {
        Self {
            inner: Mutex::new(Inner {
                areas: AreaTree::default(),
                search: Search::new(&layout),
                layout,
                recent: Recent::default(),
                brk: (0, 0),
                future: AreaFlags::empty(),
                peak: 0,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// The bases it places areas by.
    pub fn layout(&self) -> Layout {
        self.lock().layout
    }

    /// Unmaps everything and starts anew with `layout` (execve(2)).
    pub fn reset(&self, layout: Layout) {
        let dead = {
            let mut inner = self.lock();
            host().code_gone();
            unmap_runs(&inner.areas, 0, usize::MAX);
            let dead = inner.areas.clear();
            inner.layout = layout;
            inner.search = Search::new(&layout);
            inner.recent = Recent::default();
            inner.brk = (0, 0);
            inner.future = AreaFlags::empty();
            inner.peak = 0;
            dead
        };
        drop(dead);
    }

    /// Makes `child`, which nobody uses yet, a copy of this map and has `start` copy the host's mappings: nobody changes either meanwhile.
    pub fn fork<R>(&self, child: &Self, start: impl FnOnce() -> R) -> R {
        let inner = self.lock();
        let executable = inner.areas.iter().filter(|a| a.prot.contains(Prot::EXEC) && a.object.id().is_some());
        host().code_forks(&mut executable.map(Area::code));
        let mut areas = inner.areas.clone();
        if areas.locked > 0 {
            areas.update(0, usize::MAX, |a| a.flags.remove(AreaFlags::LOCKED | AreaFlags::LOCKONFAULT));
        }
        let peak = areas.total;
        let (layout, search, brk) = (inner.layout, inner.search, inner.brk);
        let future = AreaFlags::empty();
        *child.lock() = Inner { areas, layout, search, recent: Recent::default(), brk, future, peak };
        start()
    }

    /// Forgets all areas of a process that ends: the host takes the mappings away with it.
    pub fn forget_all(&self) {
        let dead = self.lock().areas.clear();
        drop(dead);
    }

    /// In the forked child: areas that children do not get go, those that they get empty are emptied.
    pub fn after_fork(&self) {
        let dead = {
            let mut inner = self.lock();
            let special = |a: &&Area| a.flags.intersects(AreaFlags::DONTFORK | AreaFlags::WIPEONFORK);
            let special: Vec<Area> = inner.areas.iter().filter(special).cloned().collect();
            for area in &special {
                if area.flags.contains(AreaFlags::DONTFORK) {
                    let _ = host().unmap(area.start, area.len());
                    inner.areas.remove(area.start, area.end);
                } else {
                    let _ = host().advise(area.start, area.len(), Advice::DontNeed);
                }
            }
            special
        };
        drop(dead);
    }

    /// Maps; returns the address.
    pub fn map(&self, request: MapRequest, limits: &Limits) -> Result<usize> {
        let extents = extents_of(&request.object, request.offset, request.len)?;
        let populate = request.populate;
        let (prot, len) = (request.prot, request.len);
        let mut dead = Vec::new();
        let (addr, locked) = self.lock().map(request, &extents, limits, &mut dead)?;
        drop(dead);
        if (populate || locked) && !prot.is_empty() {
            populate_now(addr, len, prot);
        }
        Ok(addr)
    }

    /// Unmaps `[start, start + len)`, whole pages.
    pub fn unmap(&self, start: usize, len: usize) -> Result<()> {
        let dead = {
            let mut inner = self.lock();
            let end = inner.check_range(start, len)?;
            inner.unmap(start, end)?
        };
        drop(dead);
        Ok(())
    }

    /// Changes the protection of `[start, start + len)`. A hole is `NoMemory`, after everything before it was changed. With
    /// `grows_down`, everything below in the same growing area is meant too.
    pub fn protect(&self, start: usize, len: usize, prot: Prot, grows_down: bool, limits: &Limits) -> Result<()> {
        self.lock().protect(start, len, prot, grows_down, limits)
    }

    /// Moves the end of the heap; returns where it is now.
    pub fn brk(&self, wanted: usize, limits: &Limits) -> usize {
        let (dead, now, grown) = {
            let mut inner = self.lock();
            let before = inner.brk.1;
            let dead = inner.move_brk(wanted, limits);
            let locked = inner.future.contains(AreaFlags::LOCKED);
            let grown = (locked && inner.brk.1 > before).then_some((before, inner.brk.1));
            (dead, inner.brk.1, grown)
        };
        drop(dead);
        if let Some((from, to)) = grown {
            let from = super::page_down(from);
            populate_now(from, page_up(to).unwrap_or(from) - from, Prot::WRITE);
        }
        now
    }

    /// Says where the heap starts (the loader, behind the program's bss).
    pub fn set_brk_start(&self, start: usize) {
        self.lock().brk = (start, start);
    }

    /// Start and end of the heap.
    pub fn brk_range(&self) -> (usize, usize) {
        self.lock().brk
    }

    /// madvise(2) on `[start, start + len)`. Holes are `NoMemory` at the end; `check` may refuse an area.
    pub fn advise(&self, start: usize, len: usize, advise: Advise, check: impl Fn(&Area) -> Result<()>) -> Result<()> {
        let mut inner = self.lock();
        let end = start.checked_add(len).ok_or(Error::Invalid)?;
        let touched: Vec<Area> = inner.areas.overlapping(start, end).map(|a| a.part(start, end)).collect();
        let covered = inner.areas.covered(start, end);
        let populate = matches!(advise, Advise::Host(Advice::PopulateRead | Advice::PopulateWrite));
        let mut at = start;
        for area in &touched {
            if populate && area.start > at {
                // This one alone stops at the first hole.
                return Err(Error::NoMemory);
            }
            at = area.end;
            check(area)?;
            match advise {
                Advise::Host(advice) => {
                    if area.filled > area.start {
                        host().advise(area.start, area.filled - area.start, advice)?;
                    }
                    if populate && area.filled < area.end {
                        // Behind the end of the file.
                        return Err(Error::Fault);
                    }
                }
                Advise::Flags { set, clear } => {
                    if inner.areas.count() + 2 > MAX_AREAS {
                        return Err(Error::NoMemory);
                    }
                    inner.areas.update(area.start, area.end, |a| a.flags = (a.flags - clear) | set);
                }
                Advise::Nothing => {}
            }
        }
        if covered { Ok(()) } else { Err(Error::NoMemory) }
    }

    /// Writes shared file mappings of the range back. A hole is `NoMemory`, after the rest was written.
    pub fn sync(&self, start: usize, len: usize, wait: bool, invalidate: bool) -> Result<()> {
        let (shared, covered) = {
            let inner = self.lock();
            let end = start.checked_add(len).ok_or(Error::Invalid)?;
            let mut shared = Vec::new();
            for area in inner.areas.overlapping(start, end) {
                if invalidate && area.flags.contains(AreaFlags::LOCKED) {
                    return Err(Error::Busy);
                }
                if area.shared() && matches!(area.object, Object::Host { .. }) {
                    shared.push(area.part(start, end));
                }
            }
            (shared, inner.areas.covered(start, end))
        };
        for area in shared {
            host().sync(area.start, area.len(), wait)?;
        }
        if covered { Ok(()) } else { Err(Error::NoMemory) }
    }

    /// Locks or unlocks `[start, start + len)`. A hole is `NoMemory`, after everything before it was changed.
    pub fn set_locked(&self, start: usize, len: usize, flags: AreaFlags, limits: &Limits) -> Result<()> {
        let fill = {
            let mut inner = self.lock();
            let end = start.checked_add(len).ok_or(Error::Invalid)?;
            let already: usize = inner
                .areas
                .overlapping(start, end)
                .filter(|a| a.flags.contains(AreaFlags::LOCKED))
                .map(|a| a.end.min(end) - a.start.max(start))
                .sum();
            if flags.contains(AreaFlags::LOCKED) {
                let wanted = inner.areas.locked as u64 - already as u64 + len as u64;
                if wanted > limits.locked {
                    return Err(Error::NoMemory);
                }
            }
            if inner.areas.count() + 2 > MAX_AREAS {
                return Err(Error::NoMemory);
            }
            let mask = AreaFlags::LOCKED | AreaFlags::LOCKONFAULT;
            // Up to the first hole, as Linux does.
            let mut stop = start;
            for area in inner.areas.overlapping(start, end) {
                if area.start > stop {
                    break;
                }
                stop = area.end.min(end);
            }
            inner.areas.update(start, stop, |a| a.flags = (a.flags - mask) | flags);
            if stop < end {
                return Err(Error::NoMemory);
            }
            if flags == AreaFlags::LOCKED {
                inner.areas.overlapping(start, end).map(|a| a.part(start, end)).collect()
            } else {
                Vec::new()
            }
        };
        let mut outcome = Ok(());
        for area in fill {
            if area.prot.is_empty() || area.filled < area.end {
                // It stays locked, but its pages cannot be brought in.
                outcome = Err(Error::NoMemory);
            } else if area.filled > area.start {
                populate_now(area.start, area.filled - area.start, area.prot);
            }
        }
        outcome
    }

    /// mlockall(2), munlockall(2): flags for all areas there are (`None`: leave them) and for all to come.
    pub fn set_all_locked(&self, current: Option<AreaFlags>, future: AreaFlags, limits: &Limits) -> Result<()> {
        let mut inner = self.lock();
        if current.is_some_and(|f| f.contains(AreaFlags::LOCKED)) && inner.areas.total as u64 > limits.locked {
            return Err(Error::NoMemory);
        }
        inner.future = future;
        if let Some(flags) = current {
            let mask = AreaFlags::LOCKED | AreaFlags::LOCKONFAULT;
            inner.areas.update(0, usize::MAX, |a| a.flags = (a.flags - mask) | flags);
        }
        Ok(())
    }

    /// Names private anonymous memory (`PR_SET_VMA_ANON_NAME`).
    pub fn set_name(&self, start: usize, len: usize, name: &AreaName) -> Result<()> {
        let mut inner = self.lock();
        let end = start.checked_add(len).ok_or(Error::Invalid)?;
        let covered = inner.areas.covered(start, end);
        if inner.areas.overlapping(start, end).any(|a| a.object.file().is_some()) {
            return Err(Error::BadDescriptor);
        }
        inner.areas.update(start, end, |a| a.name = name.clone());
        if covered { Ok(()) } else { Err(Error::NoMemory) }
    }

    /// Whether `[start, start + len)` is mapped without a hole.
    pub fn covered(&self, start: usize, len: usize) -> bool {
        start.checked_add(len).is_some_and(|end| self.lock().areas.covered(start, end))
    }

    /// The area at `addr`.
    pub fn area_at(&self, addr: usize) -> Option<Area> {
        self.lock().areas.find(addr).cloned()
    }

    /// Has `look` look at the area at `addr` while nothing can change.
    pub fn with_area<T>(&self, addr: usize, look: impl FnOnce(&Area) -> T) -> Option<T> {
        self.lock().areas.find(addr).map(look)
    }

    /// All areas, ascending.
    pub fn areas(&self) -> Vec<Area> {
        self.lock().areas.iter().cloned().collect()
    }

    /// Sizes.
    pub fn usage(&self) -> Usage {
        let inner = self.lock();
        let a = &inner.areas;
        let exec = a.iter().filter(|a| a.prot.contains(Prot::EXEC)).map(Area::len).sum();
        let (total, data, stack, locked, areas) = (a.total, a.data, a.stack, a.locked, a.count());
        Usage { total, peak: inner.peak.max(total), data, stack, exec, locked, areas }
    }

    /// Which shared object lies at `addr`, and at which offset in it; `None` for private memory.
    pub fn shared_object(&self, addr: usize) -> Option<(ObjectId, u64)> {
        let inner = self.lock();
        let area = inner.areas.find(addr)?;
        if !area.shared() {
            return None;
        }
        Some((area.object.id()?, area.offset_of(addr)))
    }

    /// The file in the arena called `identity` was cut to `size` bytes: pages of it behind its end are taken away, so that touching them
    /// is an error.
    pub fn cut_pages(&self, identity: usize, size: u64) {
        let mut inner = self.lock();
        let shown = |a: &&Area| matches!(&a.object, Object::Pages { pages, .. } if pages.identity() == identity);
        let shown: Vec<Area> = inner.areas.iter().filter(shown).cloned().collect();
        let size = size.checked_add(PAGE as u64 - 1).map_or(u64::MAX, |s| s & !(PAGE as u64 - 1));
        for area in shown {
            let keep = usize::try_from(size.saturating_sub(area.offset)).unwrap_or(usize::MAX).min(area.len());
            let cut = area.start + keep;
            if cut >= area.filled {
                continue;
            }
            if host().map(cut, area.filled - cut, Prot::empty(), false, Backing::Anonymous, true, true).is_ok() {
                inner.areas.update(area.start, area.end, |a| a.filled = cut.clamp(a.start, a.end));
            }
        }
    }
}

/// Faults pages in; that it cannot be done is no error.
pub(super) fn populate_now(start: usize, len: usize, prot: Prot) {
    let advice = if prot.contains(Prot::WRITE) { Advice::PopulateWrite } else { Advice::PopulateRead };
    let _ = host().advise(start, len, advice);
}

/// Unmaps on the host what areas cover of `[start, end)`, in as few calls as possible.
fn unmap_runs(areas: &AreaTree, start: usize, end: usize) {
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
        for _ in 0..PLACE_ATTEMPTS {
            match map(addr) {
                Err(Error::Exists) => {}
                other => return other.map(|()| addr),
            }
            let top = addr.saturating_add(len).saturating_sub(step).max(self.layout.lowest);
            step = step.saturating_mul(2);
            addr = self.choose(len, align, 0, Some(top))?;
        }
        Err(Error::NoMemory)
    }

    fn map(
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
        if self.areas.count() >= MAX_AREAS {
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
                if self.areas.count() + self.areas.splits(addr, end) >= MAX_AREAS {
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
            host().code_mapped(&area.code());
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
        if self.areas.count() + self.areas.splits(start, end) > MAX_AREAS {
            return Err(Error::NoMemory);
        }
        unmap_runs(&self.areas, start, end);
        self.search.freed(end);
        Ok(self.areas.remove(start, end))
    }

    fn protect(&mut self, start: usize, len: usize, prot: Prot, down: bool, limits: &Limits) -> Result<()> {
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
            if self.areas.count() + 2 > MAX_AREAS {
                return Err(Error::NoMemory);
            }
            self.protect_on_host(start, stop, prot)?;
            self.areas.update(start, stop, |a| a.prot = prot);
        }
        outcome
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

    fn move_brk(&mut self, wanted: usize, limits: &Limits) -> Vec<Area> {
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
