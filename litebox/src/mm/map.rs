//! The address space of one guest process: the map of its vmas and the host mappings that mirror it.

use alloc::vec::Vec;

use crate::platform::{Advice, Backing, MapMode, Prot, host};
use crate::sync::{Mutex, MutexGuard};
use crate::{Error, Result};

use super::fault::Recent;
use super::mirror::{Inner, extents_of, unmap_runs};
use super::unmapped_area::{Layout, Search};
use super::vma::{Object, ObjectId, Vma, VmaFlags, VmaName};
use super::vma_tree::VmaTree;
use super::{MAX_VMAS, PAGE, page_up};

/// How far up a vma may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// As the layout says.
    Whole,
    /// Where 32-bit programs have their memory, whatever the layout.
    Compat,
    /// It ends at or below this.
    Below(usize),
}

/// Where a new vma goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Where there is room: at `hint` if possible.
    Anywhere {
        /// Wished address, 0: none.
        hint: usize,
        /// How far up.
        reach: Reach,
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
    pub flags: VmaFlags,
    /// What the bytes are.
    pub object: Object,
    /// From where in the object, a multiple of the page size.
    pub offset: u64,
    /// Its name.
    pub name: VmaName,
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
            flags: VmaFlags::empty(),
            object: Object::Anonymous,
            offset: 0,
            name: VmaName::None,
            populate: false,
        }
    }
}

/// What madvise(2) can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advise {
    /// The host does it.
    Host(Advice),
    /// The vmas get and lose flags.
    Flags {
        /// Set.
        set: VmaFlags,
        /// Cleared.
        clear: VmaFlags,
    },
    /// Nothing, but holes are still an error.
    Nothing,
}

/// Sizes of an address space in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// All vmas.
    pub total: usize,
    /// Highest `total` so far.
    pub peak: usize,
    /// Private writable memory.
    pub data: usize,
    /// Growing stacks.
    pub stack: usize,
    /// Executable vmas.
    pub exec: usize,
    /// Locked.
    pub locked: usize,
    /// Number of vmas.
    pub vmas: usize,
}

/// The address space of one guest process.
///
/// Operations mirror on the calling host process, so only threads of the process itself may call those that change
/// something.
pub struct Mm {
    inner: Mutex<Inner>,
}

impl Default for Mm {
    fn default() -> Self {
        Self::new(Layout::random(8 << 20))
    }
}

bitflags::bitflags! {
    /// What [`Mm::sync`] is to do besides.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct SyncFlags: u8 {
        /// It returns when all is written.
        const WAIT = 1;
        /// Other mappings are to see it: what is locked in memory is `Busy`.
        const INVALIDATE = 2;
    }
}

impl Mm {
    /// An empty address space.
    pub fn new(layout: Layout) -> Self {
        Self {
            inner: Mutex::new(Inner {
                vmas: VmaTree::default(),
                search: Search::new(&layout),
                layout,
                recent: Recent::default(),
                brk: (0, 0),
                future: VmaFlags::empty(),
                peak: 0,
                max_vmas: MAX_VMAS,
            }),
        }
    }

    #[cfg_attr(debug_assertions, track_caller)]
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// To look at the map, perhaps that of another process: `None` where that was killed while it changed it.
    fn look(&self) -> Option<MutexGuard<'_, Inner>> {
        self.inner.lock_if_whole()
    }

    /// How many vmas there may be.
    pub fn max_vmas(&self) -> usize {
        self.lock().max_vmas
    }
    /// Sets how many there may be; never more than the host surely has room for.
    pub fn set_max_vmas(&self, most: usize) {
        self.lock().max_vmas = most.min(MAX_VMAS);
    }

    /// The bases it places vmas by.
    pub fn layout(&self) -> Layout {
        self.lock().layout
    }

    /// Unmaps everything and starts anew with `layout` (execve(2)).
    pub fn reset(&self, layout: Layout) {
        let dead = {
            let mut inner = self.lock();
            if !host().unmap_all() {
                unmap_runs(&inner.vmas, 0, usize::MAX);
            }
            let dead = inner.vmas.clear();
            inner.layout = layout;
            inner.search = Search::new(&layout);
            inner.recent = Recent::default();
            inner.brk = (0, 0);
            inner.future = VmaFlags::empty();
            inner.peak = 0;
            dead
        };
        drop(dead);
    }

    /// Makes `child`, which nobody uses yet, a copy of this map and has `start` copy the host's mappings: nobody
    /// changes either meanwhile.
    pub fn fork<R>(&self, child: &Self, start: impl FnOnce() -> R) -> R {
        let mut inner = self.lock();
        let is_loaded_code = |a: &&Vma| a.flags.contains(VmaFlags::LOADED) && a.prot.contains(Prot::EXEC);
        let executable = inner.vmas.iter().filter(|a| is_loaded_code(a) && a.object.id().is_some());
        if host().code_forks(&mut executable.map(Vma::code)) {
            inner.share_code();
        }
        let mut vmas = inner.vmas.clone();
        if vmas.locked > 0 {
            vmas.update(0, usize::MAX, |a| a.flags.remove(VmaFlags::LOCKED | VmaFlags::LOCKONFAULT));
        }
        let peak = vmas.total;
        let (layout, search, brk) = (inner.layout, inner.search, inner.brk);
        let (future, max_vmas) = (VmaFlags::empty(), inner.max_vmas);
        *child.lock() = Inner { vmas, layout, search, recent: Recent::default(), brk, future, peak, max_vmas };
        start()
    }

    /// Forgets all vmas of a process that ends: the host takes the mappings away with it.
    pub fn forget_all(&self) {
        let dead = self.look().map(|mut inner| inner.vmas.clear());
        drop(dead);
    }

    /// Whether its process was killed from outside while it changed the map: nothing of it can be believed.
    pub fn is_broken(&self) -> bool {
        self.inner.is_broken()
    }

    /// In the forked child: vmas that children do not get go, those that they get empty are emptied.
    pub fn after_fork(&self) {
        let dead = {
            let mut inner = self.lock();
            let special = |a: &&Vma| a.flags.intersects(VmaFlags::DONTFORK | VmaFlags::WIPEONFORK);
            let special: Vec<Vma> = inner.vmas.iter().filter(special).cloned().collect();
            for vma in &special {
                if vma.flags.contains(VmaFlags::DONTFORK) {
                    let _ = host().unmap(vma.start, vma.len());
                    inner.vmas.remove(vma.start, vma.end);
                } else {
                    let _ = host().advise(vma.start, vma.len(), Advice::DontNeed);
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
            self.touch_files(addr, addr.saturating_add(len), prot.contains(Prot::WRITE));
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

    /// Changes the protection of `[start, start + len)`. A hole is `NoMemory`, after everything before it was changed.
    /// With `grows_down`, everything below in the same growing vma is meant too.
    pub fn protect(&self, start: usize, len: usize, prot: Prot, grows_down: bool, limits: &Limits) -> Result<()> {
        self.lock().protect(start, len, prot, grows_down, limits)
    }

    /// Moves the end of the heap; returns where it is now.
    pub fn brk(&self, wanted: usize, limits: &Limits) -> usize {
        let (dead, now, grown) = {
            let mut inner = self.lock();
            let before = inner.brk.1;
            let dead = inner.move_brk(wanted, limits);
            let locked = inner.future.contains(VmaFlags::LOCKED);
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
        self.look().map(|inner| inner.brk).unwrap_or_default()
    }

    /// madvise(2) on `[start, start + len)`. Holes are `NoMemory` at the end; `check` may refuse a vma.
    pub fn advise(&self, start: usize, len: usize, advise: Advise, check: impl Fn(&Vma) -> Result<()>) -> Result<()> {
        let end = start.checked_add(len).ok_or(Error::Invalid)?;
        match advise {
            Advise::Host(Advice::PopulateRead) => self.touch_files(start, end, false),
            Advise::Host(Advice::PopulateWrite) => self.touch_files(start, end, true),
            _ => {}
        }
        let mut inner = self.lock();
        let touched: Vec<Vma> = inner.vmas.overlapping(start, end).map(|a| a.part(start, end)).collect();
        let covered = inner.vmas.covered(start, end);
        match advise {
            Advise::Host(advice) => advise_host(&touched, start, advice, check)?,
            Advise::Flags { set, clear } => {
                for vma in &touched {
                    check(vma)?;
                    if inner.vmas.count() + 2 > inner.max_vmas {
                        return Err(Error::NoMemory);
                    }
                    inner.vmas.update(vma.start, vma.end, |a| a.flags = (a.flags - clear) | set);
                }
            }
            Advise::Nothing => touched.iter().try_for_each(check)?,
        }
        if covered { Ok(()) } else { Err(Error::NoMemory) }
    }

    /// Writes shared file mappings of the range back; files whose pages are ours count as written then. A hole is
    /// `NoMemory`, after the rest was written.
    pub fn sync(&self, start: usize, len: usize, flags: SyncFlags) -> Result<()> {
        let (shared, written, covered) = {
            let inner = self.lock();
            let end = start.checked_add(len).ok_or(Error::Invalid)?;
            let mut shared = Vec::new();
            let mut written = Vec::new();
            for vma in inner.vmas.overlapping(start, end) {
                if flags.contains(SyncFlags::INVALIDATE) && vma.flags.contains(VmaFlags::LOCKED) {
                    return Err(Error::Busy);
                }
                if vma.shared() && matches!(vma.object, Object::Host { .. }) {
                    shared.push(vma.part(start, end));
                } else if vma.shared() && vma.prot.contains(Prot::WRITE) {
                    written.extend(vma.object.file().cloned());
                }
            }
            (shared, written, inner.vmas.covered(start, end))
        };
        for file in written {
            file.file.note_written();
        }
        for vma in shared {
            host().sync(vma.start, vma.len(), flags.contains(SyncFlags::WAIT))?;
        }
        if covered { Ok(()) } else { Err(Error::NoMemory) }
    }

    /// Locks or unlocks `[start, start + len)`. A hole is `NoMemory`, after everything before it was changed.
    pub fn set_locked(&self, start: usize, len: usize, flags: VmaFlags, limits: &Limits) -> Result<()> {
        let fill = {
            let mut inner = self.lock();
            let end = start.checked_add(len).ok_or(Error::Invalid)?;
            let already: usize = inner
                .vmas
                .overlapping(start, end)
                .filter(|a| a.flags.contains(VmaFlags::LOCKED))
                .map(|a| a.end.min(end) - a.start.max(start))
                .sum();
            if flags.contains(VmaFlags::LOCKED) {
                let wanted = inner.vmas.locked.saturating_sub(already) as u64 + len as u64;
                if wanted > limits.locked {
                    return Err(Error::NoMemory);
                }
            }
            if inner.vmas.count() + 2 > inner.max_vmas {
                return Err(Error::NoMemory);
            }
            let mask = VmaFlags::LOCKED | VmaFlags::LOCKONFAULT;
            // Up to the first hole, as Linux does.
            let mut stop = start;
            for vma in inner.vmas.overlapping(start, end) {
                if vma.start > stop {
                    break;
                }
                stop = vma.end.min(end);
            }
            inner.vmas.update(start, stop, |a| a.flags = (a.flags - mask) | flags);
            if stop < end {
                return Err(Error::NoMemory);
            }
            if flags == VmaFlags::LOCKED {
                inner.vmas.overlapping(start, end).map(|a| a.part(start, end)).collect()
            } else {
                Vec::new()
            }
        };
        let mut outcome = Ok(());
        for vma in fill {
            if vma.prot.is_empty() || vma.filled < vma.end {
                // It stays locked, but its pages cannot be brought in.
                outcome = Err(Error::NoMemory);
            } else if vma.filled > vma.start {
                populate_now(vma.start, vma.filled - vma.start, vma.prot);
            }
        }
        outcome
    }

    /// mlockall(2), munlockall(2): flags for all vmas there are (`None`: leave them) and for all to come.
    pub fn set_all_locked(&self, current: Option<VmaFlags>, future: VmaFlags, limits: &Limits) -> Result<()> {
        let mut inner = self.lock();
        let lockable: usize = inner.vmas.iter().map(Vma::lockable).sum();
        if current.is_some_and(|f| f.contains(VmaFlags::LOCKED)) && lockable as u64 > limits.locked {
            return Err(Error::NoMemory);
        }
        inner.future = future;
        if let Some(flags) = current {
            let mask = VmaFlags::LOCKED | VmaFlags::LOCKONFAULT;
            inner.vmas.update(0, usize::MAX, |a| a.flags = (a.flags - mask) | flags);
        }
        Ok(())
    }

    /// Seals `[start, start + len)` (mseal(2)). A hole is `NoMemory`, before anything was changed.
    pub fn seal(&self, start: usize, len: usize) -> Result<()> {
        let mut inner = self.lock();
        let end = start.checked_add(len).ok_or(Error::Invalid)?;
        if !inner.vmas.covered(start, end) || inner.vmas.count() + 2 > inner.max_vmas {
            return Err(Error::NoMemory);
        }
        inner.vmas.update(start, end, |a| a.flags |= VmaFlags::SEALED);
        Ok(())
    }

    /// Names private anonymous memory (`PR_SET_VMA_ANON_NAME`).
    pub fn set_name(&self, start: usize, len: usize, name: &VmaName) -> Result<()> {
        let mut inner = self.lock();
        let end = start.checked_add(len).ok_or(Error::Invalid)?;
        let covered = inner.vmas.covered(start, end);
        if inner.vmas.overlapping(start, end).any(|a| a.object.file().is_some()) {
            return Err(Error::BadDescriptor);
        }
        inner.vmas.update(start, end, |a| a.name = name.clone());
        if covered { Ok(()) } else { Err(Error::NoMemory) }
    }

    /// Whether `[start, start + len)` is mapped without a hole.
    pub fn covered(&self, start: usize, len: usize) -> bool {
        start.checked_add(len).is_some_and(|end| self.lock().vmas.covered(start, end))
    }

    /// The vma at `addr`.
    pub fn vma_at(&self, addr: usize) -> Option<Vma> {
        self.look()?.vmas.find(addr).cloned()
    }

    /// Has `look` look at the vma at `addr` while nothing can change.
    pub fn with_vma<T>(&self, addr: usize, look: impl FnOnce(&Vma) -> T) -> Option<T> {
        self.look()?.vmas.find(addr).map(look)
    }

    /// All vmas, ascending, as a guest sees them: a file of which pages were touched here and there is one.
    pub fn seen_vmas(&self) -> Vec<Vma> {
        let mut seen: Vec<Vma> = Vec::new();
        for vma in self.vmas() {
            match seen.last_mut() {
                Some(last) if last.continues(&vma) => last.end = vma.end,
                _ => seen.push(vma),
            }
        }
        seen
    }

    /// Pages of files that are not there until they are touched: all of the range, as far as they can be had.
    fn touch_files(&self, start: usize, end: usize, write: bool) {
        let missing = |from: usize| {
            let inner = self.lock();
            let lacks = |vma: &&Vma| vma.filled < vma.end.min(end) && matches!(vma.object, Object::Pages { .. });
            let vma = inner.vmas.overlapping(from, end).find(lacks);
            vma.map(|vma| vma.filled.max(from))
        };
        let mut at = start;
        while let Some(addr) = missing(at) {
            if !self.resolve_fault(addr, write, &Limits::NONE) {
                return;
            }
            at = addr;
        }
    }

    /// All vmas, ascending.
    pub fn vmas(&self) -> Vec<Vma> {
        self.look().map(|inner| inner.vmas.iter().cloned().collect()).unwrap_or_default()
    }

    /// Sizes.
    pub fn usage(&self) -> Usage {
        let Some(inner) = self.look() else { return Usage::default() };
        let a = &inner.vmas;
        let exec = a.iter().filter(|a| a.prot.contains(Prot::EXEC)).map(Vma::len).sum();
        let (total, data, stack, locked, vmas) = (a.total, a.data, a.stack, a.locked, a.count());
        Usage { total, peak: inner.peak.max(total), data, stack, exec, locked, vmas }
    }

    /// Which shared object lies at `addr`, and at which offset in it; `None` for private memory.
    pub fn shared_object(&self, addr: usize) -> Option<(ObjectId, u64)> {
        let inner = self.look()?;
        let vma = inner.vmas.find(addr)?;
        if !vma.shared() {
            return None;
        }
        Some((vma.object.id()?, vma.offset_of(addr)))
    }

    /// Whether pages of the arena object `identity` are mapped that lie behind `size` bytes.
    pub fn shows_behind(&self, identity: usize, size: u64) -> bool {
        let is_behind = |vma: &Vma| {
            matches!(&vma.object, Object::Pages { pages, .. } if pages.identity() == identity)
                && vma.offset.saturating_add((vma.filled - vma.start) as u64) > size
        };
        self.look().is_some_and(|inner| inner.vmas.iter().any(is_behind))
    }

    /// The file in the arena called `identity` was cut to `size` bytes: pages of it behind its end are taken away, so
    /// that touching them is an error.
    pub fn cut_pages(&self, identity: usize, size: u64) {
        let mut inner = self.lock();
        let shown = |a: &&Vma| matches!(&a.object, Object::Pages { pages, .. } if pages.identity() == identity);
        let shown: Vec<Vma> = inner.vmas.iter().filter(shown).cloned().collect();
        let size = size.checked_add(PAGE as u64 - 1).map_or(u64::MAX, |s| s & !(PAGE as u64 - 1));
        for vma in shown {
            let keep = usize::try_from(size.saturating_sub(vma.offset)).unwrap_or(usize::MAX).min(vma.len());
            let cut = vma.start + keep;
            if cut >= vma.filled {
                continue;
            }
            if host().map(cut, vma.filled - cut, Prot::empty(), MapMode::REPLACE, Backing::Anonymous).is_ok() {
                inner.vmas.update(vma.start, vma.end, |a| a.filled = cut.clamp(a.start, a.end));
            }
        }
    }
}

/// Advises the host of `vmas`, which begin at or behind `start`, in as few calls as possible; up to the first that
/// `check` refuses.
fn advise_host(vmas: &[Vma], start: usize, advice: Advice, check: impl Fn(&Vma) -> Result<()>) -> Result<()> {
    let populate = matches!(advice, Advice::PopulateRead | Advice::PopulateWrite);
    let drops = matches!(advice, Advice::DontNeed | Advice::Free);
    let tell = |run: (usize, usize)| if run.1 > run.0 { host().advise(run.0, run.1 - run.0, advice) } else { Ok(()) };
    let mut run = (start, start);
    let mut at = start;
    for vma in vmas {
        if populate && vma.start > at {
            // This one alone stops at the first hole.
            return tell(run).and(Err(Error::NoMemory));
        }
        if let Err(refused) = check(vma) {
            return tell(run).and(Err(refused));
        }
        at = vma.end;
        if drops && vma.flags.contains(VmaFlags::PATCHED) {
            // The guest has no pages of its own there.
            continue;
        }
        if vma.start == run.1 {
            run.1 = vma.filled;
        } else {
            tell(run)?;
            run = (vma.start, vma.filled);
        }
        if populate && vma.filled < vma.end {
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
