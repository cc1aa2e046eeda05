//! Memory management calls.

mod advice;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use core::sync::atomic::AtomicU32;

use litebox::fs::{Access, Mapping, OpenFile, Seals};
use litebox::mm::{
    FaultClass, Limits, MapRequest, MappedPages, Mm, Object, ObjectId, PAGE, Placement, Reach, RemapRequest, SyncFlags,
    Vma, VmaFlags, VmaName,
    arena::{Arena, PageCache},
    page_down, page_up,
};
use litebox::platform::north::Code;
use litebox::platform::{FaultAccess, Prot, host};
use litebox::sync::RwLock;
use litebox::{Error, Result};
use litebox_common_linux::abi::memory::{
    MAP_HUGE_MASK, MAP_HUGE_SHIFT, MAP_TYPE, MapFlags, MlockFlags, MlockallFlags, MsyncFlags, Protection, RemapFlags,
};

use crate::aio::AioContexts;
use crate::task::rseq::RseqAreas;

/// Logarithms of the sizes of huge pages; 0: the usual one.
const HUGE_SIZES: [usize; 3] = [0, 21, 30];
/// Flags that `MAP_SHARED_VALIDATE` accepts: the old ones that never were checked.
const MAP_KNOWN: MapFlags = MapFlags::all().difference(MapFlags::MAP_SYNC);
/// Whether flags of mmap(2) or shmget(2) name a size that huge pages can have; there are none of any size here.
pub(crate) fn is_huge_size(flags: usize) -> bool {
    HUGE_SIZES.contains(&((flags >> MAP_HUGE_SHIFT) & MAP_HUGE_MASK))
}

/// The bits that say which kind of mapping it is.
const TYPE: MapFlags = MapFlags(MAP_TYPE);
/// Whether mprotect(2) goes on to the end of an area that grows.
const GROWS: Protection = Protection::PROT_GROWSDOWN.union(Protection::PROT_GROWSUP);

/// `MAP_32BIT` means the first 2 GiB.
const LOW_END: usize = 0x8000_0000;

/// What mmap(2) is asked for.
#[derive(Clone, Copy)]
pub struct MmapCall {
    /// Where, or a hint.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
    /// What may be done with it.
    pub prot: Protection,
    /// How.
    pub flags: MapFlags,
    /// Where in the file.
    pub offset: u64,
    /// The loader of programs asks: code is executed where it is mapped.
    pub loads: bool,
    /// How far up, unless `MAP_32BIT` says it.
    pub reach: Reach,
}

/// What mremap(2) is asked for.
#[derive(Clone, Copy)]
pub struct MremapCall {
    /// Where it is.
    pub old: u64,
    /// How much of it, in bytes.
    pub old_len: u64,
    /// How long it becomes.
    pub new_len: u64,
    /// How.
    pub flags: RemapFlags,
    /// Where it goes, if the flags say so.
    pub new: u64,
    /// How far up it may go.
    pub reach: Reach,
}

/// The address space of a process, with Linux's rules for arguments. Its methods answer with the core's errors;
/// `WouldBlock` is EAGAIN.
pub struct MemoryMap {
    core: Mm,
    limits: RwLock<Limits>,
    arena: Arc<Arena>,
    /// Where the host writes for its threads (rseq(2)).
    pub(crate) rseq: RseqAreas,
    /// The commands of membarrier(2) that its processes registered for.
    pub(crate) barriers: AtomicU32,
    /// Contexts of asynchronous I/O.
    pub(crate) aio: AioContexts,
}

/// What a mapping of `file` shows.
pub fn object_of(file: &Arc<OpenFile>, mapping: Mapping) -> Result<Object> {
    Ok(match mapping {
        Mapping::Host { fd, fixed } => Object::Host { file: file.clone(), fd, id: file.file.metadata()?.id, fixed },
        Mapping::Arena(pages) => Object::Pages { pages: MappedPages::new(pages), file: Some(file.clone()) },
        Mapping::Anonymous => Object::Anonymous,
    })
}

fn prot_of(protection: Protection) -> Prot {
    Prot::from_bits_truncate((protection.bits() & 7) as u8)
}

fn aligned(addr: u64) -> bool {
    addr % PAGE as u64 == 0
}

impl MemoryMap {
    /// An empty address space, whose shared memory comes from `arena`.
    pub fn new(arena: &Arc<Arena>) -> Self {
        let limits = Limits { stack: 8 << 20, ..Limits::NONE };
        Self {
            core: Mm::default(),
            limits: RwLock::new(limits),
            arena: arena.clone(),
            rseq: RseqAreas::default(),
            barriers: AtomicU32::new(0),
            aio: AioContexts::default(),
        }
    }
    /// Where shared memory comes from.
    pub(crate) fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }
    /// The core's map.
    pub fn core(&self) -> &Mm {
        &self.core
    }
    /// Sets RLIMIT_AS, DATA, STACK and MEMLOCK (setrlimit(2)).
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.write() = limits;
    }
    /// The limits in force.
    pub fn limits(&self) -> Limits {
        *self.limits.read()
    }
    /// Another address space with the same limits, empty.
    #[must_use]
    pub fn sibling(&self) -> Self {
        let sibling = Self { limits: RwLock::new(self.limits()), ..Self::new(&self.arena) };
        sibling.core.set_max_vmas(self.core.max_vmas());
        sibling
    }
    /// A number that no other address space has at the same time.
    pub(crate) fn identity(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }
    /// All vmas, ascending (/proc/self/maps).
    pub fn vmas(&self) -> alloc::vec::Vec<Vma> {
        self.core.vmas()
    }
    /// The same, as a guest sees them: a file of which pages were touched here and there is one.
    pub fn seen_vmas(&self) -> alloc::vec::Vec<Vma> {
        self.core.seen_vmas()
    }
    /// A fault of the guest, or of the kernel on its behalf, at `addr`. `true`: the page is there now.
    pub fn resolve_fault(&self, addr: usize, write: bool) -> bool {
        let limits = self.limits();
        self.core.resolve_fault(addr, write, &limits)
    }
    /// A file was cut to `size` bytes: its pages behind that go.
    pub(crate) fn cut_pages(&self, file: &Arc<litebox::mm::arena::PageCache>, size: u64) {
        self.core.cut_pages(Arc::as_ptr(file).addr(), size);
    }
    /// Whether pages of a file are mapped that lie behind `size` bytes.
    pub(crate) fn shows_behind(&self, file: &Arc<litebox::mm::arena::PageCache>, size: u64) -> bool {
        self.core.shows_behind(Arc::as_ptr(file).addr(), size)
    }
    /// Has `look` look at the code at `addr` while its mapping cannot change.
    pub(crate) fn with_code(&self, addr: usize, look: &mut dyn FnMut(&Code)) {
        self.core.with_vma(addr, |vma| look(&vma.code()));
    }
    /// What a fault that was not resolved means: which signal and code the guest gets.
    pub fn classify_fault(&self, addr: usize, access: FaultAccess) -> FaultClass {
        self.core.classify_fault(addr, access)
    }
    /// Key of a shared futex word: the object it lies in and its offset there; `None`: private memory, the address is
    /// the key.
    pub fn futex_key(&self, addr: usize) -> Option<(ObjectId, u64)> {
        self.core.shared_object(addr)
    }

    /// mmap(2). `file` is what the descriptor means, asked for only when `flags` want one.
    pub fn mmap(&self, call: &MmapCall, file: impl FnOnce() -> Result<Arc<OpenFile>>) -> Result<usize> {
        let MmapCall { addr, len, prot, flags, offset, loads, reach } = *call;
        if !aligned(offset) {
            return Err(Error::Invalid);
        }
        let file = if flags.contains(MapFlags::MAP_ANONYMOUS) { None } else { Some(file()?) };
        if flags.contains(MapFlags::MAP_HUGETLB) {
            // No pool of huge pages here. A file on no hugetlbfs cannot have them, and pages of other sizes nobody.
            return Err(if file.is_some() || !is_huge_size(flags.bits()) { Error::Invalid } else { Error::NoMemory });
        }
        if len == 0 {
            return Err(Error::Invalid);
        }
        let highest = host().user_span().1;
        let len = usize::try_from(len).ok().and_then(page_up).filter(|l| *l <= highest).ok_or(Error::NoMemory)?;
        let pages_offset = offset.checked_add(len as u64).filter(|end| i64::try_from(*end).is_ok());
        if file.is_some() && pages_offset.is_none() {
            return Err(Error::Overflow);
        }
        let placement = Self::placement(addr, flags, reach)?;
        let kind = flags & TYPE;
        let mut request = MapRequest::anonymous(placement, len, prot_of(prot));
        request.populate = flags.contains(MapFlags::MAP_POPULATE) && !flags.contains(MapFlags::MAP_NONBLOCK);
        for (bit, flag) in [
            (MapFlags::MAP_GROWSDOWN, VmaFlags::GROWSDOWN),
            (MapFlags::MAP_STACK, VmaFlags::STACK),
            (MapFlags::MAP_NORESERVE, VmaFlags::NORESERVE),
            (MapFlags::MAP_LOCKED, VmaFlags::LOCKED),
        ] {
            request.flags.set(flag, flags.contains(bit));
        }
        request.flags.set(VmaFlags::SHARED, kind != MapFlags::MAP_PRIVATE);
        request.flags.set(VmaFlags::LOADED, loads);
        match &file {
            Some(file) => self.file_request(&mut request, file, flags, offset)?,
            None => self.anonymous_request(&mut request, kind)?,
        }
        self.core.map(request, &self.limits())
    }

    fn placement(addr: u64, flags: MapFlags, reach: Reach) -> Result<Placement> {
        let addr = usize::try_from(addr).map_err(|_| Error::NoMemory)?;
        if flags.intersects(MapFlags::MAP_FIXED | MapFlags::MAP_FIXED_NOREPLACE) {
            if addr % PAGE != 0 {
                return Err(Error::Invalid);
            }
            return Ok(Placement::Fixed { addr, replace: !flags.contains(MapFlags::MAP_FIXED_NOREPLACE) });
        }
        let reach = if flags.contains(MapFlags::MAP_32BIT) { Reach::Below(LOW_END) } else { reach };
        Ok(Placement::Anywhere { hint: page_down(addr), reach })
    }

    fn anonymous_request(&self, request: &mut MapRequest, kind: MapFlags) -> Result<()> {
        match kind {
            MapFlags::MAP_PRIVATE => Ok(()),
            MapFlags::MAP_SHARED if request.flags.contains(VmaFlags::GROWSDOWN) => Err(Error::Invalid),
            MapFlags::MAP_SHARED => self.shared_memory(request),
            _ => Err(Error::Invalid),
        }
    }

    fn shared_memory(&self, request: &mut MapRequest) -> Result<()> {
        request.flags.insert(VmaFlags::SHARED);
        request.object = Object::Pages {
            pages: MappedPages::new(PageCache::with_size(&self.arena, request.len as u64)?),
            file: None,
        };
        request.offset = 0;
        Ok(())
    }

    /// A shared mapping of a file in the arena, which may be sealed against writing.
    fn shared_pages(request: &mut MapRequest, file: &Arc<OpenFile>, pages: Arc<PageCache>) -> Result<Object> {
        // Held as writable before the seals are looked at: whoever seals meanwhile sees one or the other.
        let held = MappedPages::writable(pages.clone());
        if file.file.seals().is_ok_and(|seals| seals.intersects(Seals::WRITE | Seals::FUTURE_WRITE)) {
            if request.prot.contains(Prot::WRITE) {
                return Err(Error::NotPermitted);
            }
            request.max_prot.remove(Prot::WRITE);
        }
        let may_write = request.max_prot.contains(Prot::WRITE);
        let pages = if may_write { held } else { MappedPages::new(pages) };
        Ok(Object::Pages { pages, file: Some(file.clone()) })
    }

    fn file_request(&self, request: &mut MapRequest, file: &Arc<OpenFile>, flags: MapFlags, offset: u64) -> Result<()> {
        let shared = match flags & TYPE {
            MapFlags::MAP_SHARED_VALIDATE if !(MAP_KNOWN | MapFlags::MAP_SYNC).contains(flags) => {
                return Err(Error::NotSupported);
            }
            // Files whose pages survive a power cut by themselves do not exist here.
            MapFlags::MAP_SHARED_VALIDATE if flags.contains(MapFlags::MAP_SYNC) => return Err(Error::NotSupported),
            MapFlags::MAP_SHARED | MapFlags::MAP_SHARED_VALIDATE => true,
            MapFlags::MAP_PRIVATE => false,
            _ => return Err(Error::Invalid),
        };
        if shared && request.prot.contains(Prot::WRITE) && !file.access.contains(Access::WRITE) {
            return Err(Error::Access);
        }
        if !file.access.contains(Access::READ) {
            return Err(if file.access.is_empty() { Error::BadDescriptor } else { Error::Access });
        }
        let mapping = file.file.mapping()?;
        if request.flags.contains(VmaFlags::GROWSDOWN) {
            return Err(Error::Invalid);
        }
        if shared && !file.access.contains(Access::WRITE) {
            request.max_prot.remove(Prot::WRITE);
        }
        if shared && matches!(mapping, Mapping::Anonymous) {
            return self.shared_memory(request);
        }
        request.object = match mapping {
            Mapping::Arena(pages) if shared => Self::shared_pages(request, file, pages)?,
            mapping => object_of(file, mapping)?,
        };
        request.offset = if request.object.is_anonymous() { 0 } else { offset };
        file.file.note_read();
        Ok(())
    }

    /// munmap(2).
    pub fn munmap(&self, addr: u64, len: u64) -> Result<()> {
        if !aligned(addr) || len == 0 {
            return Err(Error::Invalid);
        }
        let len = usize::try_from(len).ok().and_then(page_up).ok_or(Error::Invalid)?;
        self.core.unmap(addr as usize, len)
    }

    /// mprotect(2).
    pub fn mprotect(&self, addr: u64, len: u64, prot: Protection) -> Result<()> {
        let grows = prot & GROWS;
        if grows == GROWS || !aligned(addr) {
            return Err(Error::Invalid);
        }
        if len == 0 {
            return Ok(());
        }
        let len = usize::try_from(len).ok().and_then(page_up).ok_or(Error::NoMemory)?;
        if (addr as usize).checked_add(len).is_none() {
            return Err(Error::NoMemory);
        }
        if !Protection::all().contains(prot) {
            return Err(Error::Invalid);
        }
        if grows == Protection::PROT_GROWSUP {
            // No vma grows up on this machine.
            let there = self.core.vma_at(addr as usize).is_some();
            return Err(if there { Error::Invalid } else { Error::NoMemory });
        }
        self.core.protect(addr as usize, len, prot_of(prot), grows == Protection::PROT_GROWSDOWN, &self.limits())
    }

    /// brk(2): where the heap ends now.
    pub fn brk(&self, addr: u64) -> usize {
        self.core.brk(addr as usize, &self.limits())
    }

    /// mremap(2).
    pub fn mremap(&self, call: &MremapCall) -> Result<usize> {
        let MremapCall { old, old_len, new_len, flags, new, reach } = *call;
        let [may_move, fixed, keep_old] =
            [RemapFlags::MREMAP_MAYMOVE, RemapFlags::MREMAP_FIXED, RemapFlags::MREMAP_DONTUNMAP]
                .map(|f| flags.contains(f));
        if !RemapFlags::all().contains(flags) || ((fixed || keep_old) && !may_move) || !aligned(old) {
            return Err(Error::Invalid);
        }
        // Sizes that wrap around are 0 to Linux.
        let (old_len, new_len) = (page_up(old_len as usize).unwrap_or(0), page_up(new_len as usize).unwrap_or(0));
        if new_len == 0
            || new_len > host().user_span().1
            || (keep_old && old_len != new_len)
            || (fixed && !aligned(new))
        {
            return Err(Error::Invalid);
        }
        let request = RemapRequest {
            old: old as usize,
            old_len,
            new_len,
            may_move,
            fixed: fixed.then_some(new as usize),
            hint: if keep_old { page_down(new as usize) } else { 0 },
            reach,
            keep_old,
        };
        self.core.remap(&request, &self.limits())
    }

    /// msync(2).
    pub fn msync(&self, addr: u64, len: u64, flags: MsyncFlags) -> Result<()> {
        let is_contradiction = flags.contains(MsyncFlags::MS_ASYNC | MsyncFlags::MS_SYNC);
        if !MsyncFlags::all().contains(flags) || !aligned(addr) || is_contradiction {
            return Err(Error::Invalid);
        }
        // What wraps around is nothing to Linux.
        let len = page_up(len as usize).unwrap_or(0);
        if (addr as usize).checked_add(len).is_none() {
            return Err(Error::NoMemory);
        }
        if len == 0 {
            return Ok(());
        }
        let mut how = SyncFlags::empty();
        how.set(SyncFlags::WAIT, flags.contains(MsyncFlags::MS_SYNC));
        how.set(SyncFlags::INVALIDATE, flags.contains(MsyncFlags::MS_INVALIDATE));
        self.core.sync(addr as usize, len, how)
    }

    /// mlock(2) and mlock2(2); `privileged` has `CAP_IPC_LOCK`.
    pub fn mlock(&self, addr: u64, len: u64, flags: MlockFlags, privileged: bool) -> Result<()> {
        if !MlockFlags::all().contains(flags) {
            return Err(Error::Invalid);
        }
        let mut limits = self.limits();
        if privileged {
            limits.locked = u64::MAX;
        } else if limits.locked == 0 {
            return Err(Error::NotPermitted);
        }
        let mut locked = VmaFlags::LOCKED;
        locked.set(VmaFlags::LOCKONFAULT, flags.contains(MlockFlags::MLOCK_ONFAULT));
        self.lock_range(addr, len, locked, &limits)
    }

    /// munlock(2).
    pub fn munlock(&self, addr: u64, len: u64) -> Result<()> {
        self.lock_range(addr, len, VmaFlags::empty(), &Limits::NONE)
    }

    fn lock_range(&self, addr: u64, len: u64, flags: VmaFlags, limits: &Limits) -> Result<()> {
        let start = page_down(addr as usize);
        // A length that wraps around is 0 to Linux.
        let within = addr as usize - start;
        let len = page_down((len as usize).wrapping_add(within).wrapping_add(PAGE - 1));
        if start.checked_add(len).is_none() {
            return Err(Error::Invalid);
        }
        if len == 0 { Ok(()) } else { self.core.set_locked(start, len, flags, limits) }
    }

    /// mseal(2).
    pub fn mseal(&self, addr: u64, len: u64, flags: u64) -> Result<()> {
        if flags != 0 || !aligned(addr) {
            return Err(Error::Invalid);
        }
        if len == 0 {
            return Ok(());
        }
        let (start, len) = (addr as usize, page_up(len as usize).ok_or(Error::Invalid)?);
        start.checked_add(len).ok_or(Error::Invalid)?;
        self.core.seal(start, len)
    }

    /// mlockall(2).
    pub fn mlockall(&self, flags: MlockallFlags, privileged: bool) -> Result<()> {
        let scope = MlockallFlags::MCL_CURRENT | MlockallFlags::MCL_FUTURE;
        if !flags.intersects(scope) || !MlockallFlags::all().contains(flags) {
            return Err(Error::Invalid);
        }
        let mut limits = self.limits();
        if privileged {
            limits.locked = u64::MAX;
        } else if limits.locked == 0 {
            return Err(Error::NotPermitted);
        }
        let mut locked = VmaFlags::LOCKED;
        locked.set(VmaFlags::LOCKONFAULT, flags.contains(MlockallFlags::MCL_ONFAULT));
        let current = (flags.contains(MlockallFlags::MCL_CURRENT)).then_some(locked);
        let future = if flags.contains(MlockallFlags::MCL_FUTURE) { locked } else { VmaFlags::empty() };
        self.core.set_all_locked(current, future, &limits)
    }

    /// munlockall(2).
    pub fn munlockall(&self) -> Result<()> {
        self.core.set_all_locked(Some(VmaFlags::empty()), VmaFlags::empty(), &Limits::NONE)
    }

    /// Names private anonymous memory (prctl(2) `PR_SET_VMA_ANON_NAME`); the caller checked the characters.
    pub fn set_anonymous_name(&self, addr: u64, len: u64, name: Option<&[u8]>) -> Result<()> {
        if !aligned(addr) {
            return Err(Error::Invalid);
        }
        let len = usize::try_from(len).ok().and_then(page_up).ok_or(Error::Invalid)?;
        let name = name.map_or(VmaName::None, |n| VmaName::Given(n.into()));
        if len == 0 { Ok(()) } else { self.core.set_name(addr as usize, len, &name) }
    }
}
