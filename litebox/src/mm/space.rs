//! The address space of one guest process: the map of its areas and the host mappings that mirror it.

use alloc::vec::Vec;

use crate::platform::{Advice, Backing, Prot, host};
use crate::sync::{Mutex, MutexGuard};
use crate::{Error, Result};

use super::area::{Area, AreaFlags, AreaName, Object, ObjectId};
use super::areas::AreaTree;
use super::fault::Recent;
use super::mirror::{Inner, extents_of, unmap_runs};
use super::place::{Layout, Search};
use super::{MAX_AREAS, PAGE, page_up};

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
                most_areas: MAX_AREAS,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// How many areas there may be.
    pub fn most_areas(&self) -> usize {
        self.lock().most_areas
    }
    /// Sets how many there may be; never more than the host surely has room for.
    pub fn set_most_areas(&self, most: usize) {
        self.lock().most_areas = most.min(MAX_AREAS);
    }

    /// The bases it places areas by.
    pub fn layout(&self) -> Layout {
        self.lock().layout
    }

    /// Unmaps everything and starts anew with `layout` (execve(2)).
    pub fn reset(&self, layout: Layout) {
        let dead = {
            let mut inner = self.lock();
            if !host().unmap_all() {
                unmap_runs(&inner.areas, 0, usize::MAX);
            }
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
        let mut inner = self.lock();
        let executable = inner.areas.iter().filter(|a| a.prot.contains(Prot::EXEC) && a.object.id().is_some());
        if host().code_forks(&mut executable.map(Area::code)) {
            inner.share_code();
        }
        let mut areas = inner.areas.clone();
        if areas.locked > 0 {
            areas.update(0, usize::MAX, |a| a.flags.remove(AreaFlags::LOCKED | AreaFlags::LOCKONFAULT));
        }
        let peak = areas.total;
        let (layout, search, brk) = (inner.layout, inner.search, inner.brk);
        let (future, most_areas) = (AreaFlags::empty(), inner.most_areas);
        *child.lock() = Inner { areas, layout, search, recent: Recent::default(), brk, future, peak, most_areas };
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
        match advise {
            Advise::Host(advice) => advise_host(&touched, start, advice, check)?,
            Advise::Flags { set, clear } => {
                for area in &touched {
                    check(area)?;
                    if inner.areas.count() + 2 > inner.most_areas {
                        return Err(Error::NoMemory);
                    }
                    inner.areas.update(area.start, area.end, |a| a.flags = (a.flags - clear) | set);
                }
            }
            Advise::Nothing => touched.iter().try_for_each(check)?,
        }
        if covered { Ok(()) } else { Err(Error::NoMemory) }
    }

    /// Writes shared file mappings of the range back; files whose pages are ours count as written then. A hole is `NoMemory`, after the rest was
    /// written.
    pub fn sync(&self, start: usize, len: usize, wait: bool, invalidate: bool) -> Result<()> {
        let (shared, written, covered) = {
            let inner = self.lock();
            let end = start.checked_add(len).ok_or(Error::Invalid)?;
            let mut shared = Vec::new();
            let mut written = Vec::new();
            for area in inner.areas.overlapping(start, end) {
                if invalidate && area.flags.contains(AreaFlags::LOCKED) {
                    return Err(Error::Busy);
                }
                if area.shared() && matches!(area.object, Object::Host { .. }) {
                    shared.push(area.part(start, end));
                } else if area.shared() && area.prot.contains(Prot::WRITE) {
                    written.extend(area.object.file().cloned());
                }
            }
            (shared, written, inner.areas.covered(start, end))
        };
        for file in written {
            file.file.note_written();
        }
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
            if inner.areas.count() + 2 > inner.most_areas {
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

    /// Whether pages of the arena object `identity` are mapped that lie behind `size` bytes.
    pub fn shows_behind(&self, identity: usize, size: u64) -> bool {
        self.lock().areas.iter().any(|area| {
            matches!(&area.object, Object::Pages { pages, .. } if pages.identity() == identity)
                && area.offset.saturating_add((area.filled - area.start) as u64) > size
        })
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

/// Advises the host of `areas`, which begin at or behind `start`, in as few calls as possible; up to the first that `check` refuses.
fn advise_host(areas: &[Area], start: usize, advice: Advice, check: impl Fn(&Area) -> Result<()>) -> Result<()> {
    let populate = matches!(advice, Advice::PopulateRead | Advice::PopulateWrite);
    let drops = matches!(advice, Advice::DontNeed | Advice::Free);
    let tell = |run: (usize, usize)| if run.1 > run.0 { host().advise(run.0, run.1 - run.0, advice) } else { Ok(()) };
    let mut run = (start, start);
    let mut at = start;
    for area in areas {
        if populate && area.start > at {
            // This one alone stops at the first hole.
            return tell(run).and(Err(Error::NoMemory));
        }
        if let Err(refused) = check(area) {
            return tell(run).and(Err(refused));
        }
        at = area.end;
        if drops && area.flags.contains(AreaFlags::PATCHED) {
            // The guest has no pages of its own there.
            continue;
        }
        if area.start == run.1 {
            run.1 = area.filled;
        } else {
            tell(run)?;
            run = (area.start, area.filled);
        }
        if populate && area.filled < area.end {
            // Behind the end of the file.
            return tell(run).and(Err(Error::Fault));
        }
    }
    tell(run)
}

/// Faults pages in; that it cannot be done is no error.
pub(super) fn populate_now(start: usize, len: usize, prot: Prot) {
    let advice = if prot.contains(Prot::WRITE) { Advice::PopulateWrite } else { Advice::PopulateRead };
    let _ = host().advise(start, len, advice);
}
