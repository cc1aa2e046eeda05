//! System V shared memory: segments are memory files that processes map.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use litebox_common_linux::abi::memory::{MapFlags, Protection};

use litebox::fs::memory::{MemoryFileSpec, memory_file};
use litebox::fs::{Access, File, NewAttr, OpenFile, Seals, SetAttr, StatusFlags};
use litebox::mm::PAGE;
use litebox::sync::Mutex;
use litebox::{Error, Result};
use litebox_common_linux::abi::ipc::{IpcGetFlags, ShmAttachFlags, ShmIdDs, ShmInfo, ShmUsage};
use litebox_common_linux::abi::layout::Layouts;
use litebox_common_linux::argument::UserMut;

use super::{EIDRM, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, Object, READ, WRITE, now};
use crate::Task;
use crate::mm::MmapCall;
use crate::task::Capability;
use crate::task::rseq::Fate;
use crate::user::{UserRead, UserWrite};

const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;
/// Bits of the mode: it ends with the last who has it attached; it is locked in memory.
const SHM_DEST: u32 = 0o1000;
const SHM_LOCKED: u32 = 0o2000;

/// Figures of /proc/sys/kernel: shmmax, shmall, shmmni.
const MOST_BYTES: u64 = u64::MAX - (1 << 24);
const MOST_SEGMENTS: usize = 4096;

/// A segment.
pub(super) struct Segment {
    size: usize,
    state: Mutex<SegmentState>,
}

struct SegmentState {
    /// Its pages; given up when it is removed, so that they end with the last who has it attached.
    file: Option<Arc<dyn File>>,
    last_file: Weak<dyn File>,
    /// What vmas of processes hold.
    attached: Vec<Weak<OpenFile>>,
    attach_time: i64,
    detach_time: i64,
    change_time: i64,
    creator: i32,
    last: i32,
}

/// What a listing says of a segment.
pub(super) struct SegmentFigures {
    pub(super) bytes: usize,
    /// Bytes of its pages that there are.
    pub(super) resident: u64,
    /// How many vmas show it.
    pub(super) attached: usize,
    /// Who made it, and who attached or detached it last.
    pub(super) people: [i32; 2],
    /// When it was attached, detached, and changed last.
    pub(super) times: [i64; 3],
}

impl Segment {
    pub(super) fn figures(&self) -> SegmentFigures {
        let attached = self.attach_count();
        let resident = self.resident();
        let state = self.state.lock();
        SegmentFigures {
            bytes: self.size,
            resident,
            attached,
            people: [state.creator, state.last],
            times: [state.attach_time, state.detach_time, state.change_time],
        }
    }
    fn resident(&self) -> u64 {
        let file = {
            let state = self.state.lock();
            state.file.clone().or_else(|| state.last_file.upgrade())
        };
        file.and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.blocks * 512)
    }
    /// How many vmas show it.
    fn attach_count(&self) -> usize {
        let mut state = self.state.lock();
        state.attached.retain(|file| file.strong_count() > 0);
        state.attached.iter().map(Weak::strong_count).sum()
    }
    fn is_attached_by(&self, file: &Arc<OpenFile>) -> bool {
        self.state.lock().attached.iter().any(|there| core::ptr::eq(there.as_ptr(), Arc::as_ptr(file)))
    }
}

impl Task<'_, '_> {
    /// Forgets segments that were removed and that nobody shows any more.
    fn sweep_segments(&self) {
        let segments = &self.ipc_objects().system_v.segments;
        for segment in segments.all() {
            if segment.perm().mode & SHM_DEST != 0 && segment.value.attach_count() == 0 {
                segments.remove(&segment);
            }
        }
    }

    /// shmget(2)
    pub(crate) fn shmget(&mut self, key: i32, size: usize, flags: IpcGetFlags) -> Result<usize> {
        self.sweep_segments();
        let who = self.creds();
        let kernel = self.kernel();
        let pid = self.process().pid;
        let fits = |segment: &Segment| if segment.size < size { Err(Error::Invalid) } else { Ok(()) };
        self.ipc_objects().system_v.segments.get((key, flags), &who, MOST_SEGMENTS, fits, |id| {
            if size == 0 || size as u64 > MOST_BYTES {
                return Err(Error::Invalid);
            }
            // Nothing larger than all memory there is can ever be used; and there are no huge pages.
            let all = litebox::platform::host().arena().1;
            if flags.contains(IpcGetFlags::SHM_HUGETLB) && !crate::mm::is_huge_size(flags.bits() as u32 as usize) {
                return Err(Error::Invalid);
            }
            if size > all || flags.contains(IpcGetFlags::SHM_HUGETLB) {
                return Err(Error::NoMemory);
            }
            let name = alloc::format!("SYSV{:08x}", key as u32);
            let attr = NewAttr { permissions: 0o777, uid: who.euid, gid: who.egid, ..NewAttr::default() };
            let spec = MemoryFileSpec { name: name.as_bytes(), ino: id as u64, attr, seals: Seals::SEAL };
            let file = memory_file(&kernel.arena, &spec)?;
            file.set_attr(&SetAttr { size: Some(size as u64), ..SetAttr::default() })?;
            let state = SegmentState {
                last_file: Arc::downgrade(&file),
                file: Some(file),
                attached: Vec::new(),
                attach_time: 0,
                detach_time: 0,
                change_time: now(),
                creator: pid,
                last: 0,
            };
            Ok(Segment { size, state: Mutex::new(state) })
        })
    }

    /// shmat(2)
    pub(crate) fn shmat(&mut self, id: i32, address: u64, flags: ShmAttachFlags) -> Result<usize> {
        let page = PAGE as u64;
        let mut at = address;
        if at % page != 0 {
            if !flags.contains(ShmAttachFlags::SHM_RND) {
                return Err(Error::Invalid);
            }
            at -= at % page;
        }
        if flags.contains(ShmAttachFlags::SHM_REMAP) && at == 0 {
            return Err(Error::Invalid);
        }
        let segment = self.ipc_objects().system_v.segments.find(id)?;
        let read_only = flags.contains(ShmAttachFlags::SHM_RDONLY);
        let (mut wanted, mut prot, mut access) = (READ, Protection::PROT_READ, Access::READ);
        if !read_only {
            (wanted, prot, access) =
                (READ | WRITE, Protection::PROT_READ | Protection::PROT_WRITE, Access::READ | Access::WRITE);
        }
        if flags.contains(ShmAttachFlags::SHM_EXEC) {
            wanted |= 0o100;
            prot |= Protection::PROT_EXEC;
        }
        segment.perm().check(&self.creds(), wanted)?;
        let file = segment.value.state.lock().last_file.upgrade().ok_or(EIDRM)?;
        let file = OpenFile::new(file, access, StatusFlags::empty(), None, self.kernel().vfs.next_open_id());
        {
            let mut state = segment.value.state.lock();
            state.attached.retain(|there| there.strong_count() > 0);
            state.attached.try_reserve(1).map_err(|_| Error::NoMemory)?;
            state.attached.push(Arc::downgrade(&file));
        }
        let placed = match (at, flags.contains(ShmAttachFlags::SHM_REMAP)) {
            (0, _) => MapFlags::MAP_SHARED,
            (_, true) => MapFlags::MAP_SHARED | MapFlags::MAP_FIXED,
            (_, false) => MapFlags::MAP_SHARED | MapFlags::MAP_FIXED_NOREPLACE,
        };
        let size = segment.value.size as u64;
        let replaced = if placed.contains(MapFlags::MAP_FIXED) { size } else { 0 };
        let mapped = self.around_rseq(&[(at, replaced)], Fate::Gone, |task| {
            let reach = task.reach();
            let call = MmapCall { addr: at, len: size, prot, flags: placed, offset: 0, loads: false, reach };
            task.process().mm.mmap(&call, || Ok(file))
        })?;
        let process = self.process().clone();
        let start = mapped.map_err(|error| if error == Error::Exists { Error::Invalid } else { error })?;
        let mut state = segment.value.state.lock();
        (state.attach_time, state.last) = (now(), process.pid);
        Ok(start)
    }

    /// shmdt(2)
    pub(crate) fn shmdt(&mut self, address: u64) -> Result<usize> {
        let at = usize::try_from(address).map_err(|_| Error::Invalid)?;
        let process = self.process().clone();
        let segments = self.ipc_objects().system_v.segments.all();
        let mut found: Option<(Arc<Object<Segment>>, Arc<OpenFile>)> = None;
        for vma in process.mm.vmas().iter().filter(|vma| vma.start >= at) {
            let Some(file) = vma.object.file().filter(|_| vma.offset == (vma.start - at) as u64) else { continue };
            if found.is_none() {
                let of = segments.iter().find(|segment| segment.value.is_attached_by(file));
                found = of.map(|segment| (segment.clone(), file.clone()));
            }
            if found.as_ref().is_some_and(|(_, there)| Arc::ptr_eq(there, file)) {
                process.mm.munmap(vma.start as u64, vma.len() as u64)?;
            }
        }
        let (segment, file) = found.ok_or(Error::Invalid)?;
        drop(file);
        {
            let mut state = segment.value.state.lock();
            (state.detach_time, state.last) = (now(), process.pid);
        }
        drop(segment);
        drop(segments);
        self.sweep_segments();
        Ok(0)
    }

    /// shmctl(2)
    pub(crate) fn shmctl(&mut self, id: i32, command: i32, buf: UserMut<()>) -> Result<usize> {
        self.sweep_segments();
        let segments = &self.ipc_objects().system_v.segments;
        if id < 0 {
            return Err(Error::Invalid);
        }
        match command {
            IPC_INFO => {
                let wide = buf.layouts() == Layouts::X86_64;
                let most = if wide { MOST_BYTES } else { MOST_BYTES.min(i32::MAX as u64) };
                buf.cast::<ShmInfo>().write(ShmInfo {
                    most_size: most,
                    least_size: 1,
                    most_segments: MOST_SEGMENTS as u64,
                    most_attached: MOST_SEGMENTS as u64,
                    most_pages: MOST_BYTES,
                    tail: (),
                })?;
                return Ok(segments.figures().1);
            }
            SHM_INFO => {
                let all = segments.all();
                let pages: usize = all.iter().map(|segment| segment.value.size.div_ceil(PAGE)).sum();
                let resident: u64 = all.iter().map(|segment| segment.value.resident() / PAGE as u64).sum();
                let usage =
                    ShmUsage { segments: all.len() as u32, pages: pages as u64, resident, ..ShmUsage::default() };
                buf.cast::<ShmUsage>().write(usage)?;
                return Ok(segments.figures().1);
            }
            _ => {}
        }
        let by_index = matches!(command, SHM_STAT | SHM_STAT_ANY);
        let segment = if by_index { segments.at(id as usize)? } else { segments.find(id)? };
        let who = self.creds();
        match command {
            IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
                if command != SHM_STAT_ANY {
                    segment.perm().check(&who, READ)?;
                }
                buf.cast::<ShmIdDs>().write(stat(&segment))?;
                return Ok(if by_index { segment.id as usize } else { 0 });
            }
            IPC_SET => {
                let new = buf.cast::<ShmIdDs>().read()?;
                let mut perm = segment.perm.lock();
                perm.check_owner(&who)?;
                perm.set(&new.perm)?;
                segment.value.state.lock().change_time = now();
            }
            IPC_RMID => {
                let mut perm = segment.perm.lock();
                perm.check_owner(&who)?;
                perm.mode |= SHM_DEST;
                drop(perm);
                segments.forget_key(&segment);
                let file = segment.value.state.lock().file.take();
                drop(file);
                self.sweep_segments();
            }
            SHM_LOCK | SHM_UNLOCK => {
                let mut perm = segment.perm.lock();
                let owns = who.euid == perm.uid || who.euid == perm.creator.0;
                if !owns && !who.can(Capability::IpcLock) {
                    return Err(Error::NotPermitted);
                }
                perm.mode = perm.mode & !SHM_LOCKED | if command == SHM_LOCK { SHM_LOCKED } else { 0 };
            }
            _ => return Err(Error::Invalid),
        }
        Ok(0)
    }
}

/// What `IPC_STAT` tells.
fn stat(segment: &Object<Segment>) -> ShmIdDs {
    let attached = segment.value.attach_count() as u64;
    let perm = segment.perm().of(segment.id);
    let state = segment.value.state.lock();
    ShmIdDs {
        perm,
        size: segment.value.size as u64,
        attach_time: state.attach_time as u64,
        detach_time: state.detach_time as u64,
        change_time: state.change_time as u64,
        creator: state.creator,
        last: state.last,
        attached,
        tail: (),
    }
}
