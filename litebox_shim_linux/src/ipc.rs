//! System V IPC and POSIX message queues: what processes share by key or name. Here is what the three kinds of System V
//! objects have in common: keys, identifiers, permissions.

mod listing;
mod messages;
mod notify;
mod queues;
mod semaphores;
mod shared_memory;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

use litebox::error::errno::{EIDRM, ENOMSG};
use litebox::sync::Mutex;
use litebox::{Error, Result};
use litebox_common_linux::abi::ipc::{IpcGetFlags, IpcPerm};

use crate::Task;
use crate::task::{Capability, Credentials};

pub(crate) use queues::MessageQueues;

const IPC_PRIVATE: i32 = 0;
const IPC_RMID: i32 = 0;
const IPC_SET: i32 = 1;
const IPC_STAT: i32 = 2;
const IPC_INFO: i32 = 3;

/// Permission to read and to write, as the owner's bits of a mode.
const READ: u32 = 0o400;
const WRITE: u32 = 0o200;

/// Identifiers are an index below this and how often the index was used before.
const MOST_OBJECTS: usize = 32_768;

/// Seconds since 1970.
fn now() -> i64 {
    litebox::fs::Time::now().sec
}

/// Whom an object belongs to and what others may do.
#[derive(Clone, Copy)]
struct Perm {
    key: i32,
    uid: u32,
    gid: u32,
    creator: (u32, u32),
    mode: u32,
}

impl Perm {
    /// EACCES unless `who` may do what the bits of `wanted` (of the owner's) say.
    fn check(&self, who: &Credentials, wanted: u32) -> Result<()> {
        self.check_or(who, wanted, Capability::IpcOwner)
    }
    /// The same, where another capability overrides the permissions.
    fn check_or(&self, who: &Credentials, wanted: u32, overrides: Capability) -> Result<()> {
        let mode = if who.euid == self.uid || who.euid == self.creator.0 {
            self.mode
        } else if [self.gid, self.creator.1].iter().any(|gid| who.fsgid == *gid || who.groups.contains(gid)) {
            self.mode << 3
        } else {
            self.mode << 6
        };
        if wanted & !mode != 0 && !who.can(overrides) { Err(Error::Access) } else { Ok(()) }
    }
    /// EPERM unless `who` owns the object or made it.
    fn check_owner(&self, who: &Credentials) -> Result<()> {
        let owns = who.euid == self.uid || who.euid == self.creator.0;
        if owns || who.can(Capability::SysAdmin) { Ok(()) } else { Err(Error::NotPermitted) }
    }
    /// As programs see it.
    fn of(&self, id: i32) -> IpcPerm {
        IpcPerm {
            key: self.key,
            uid: self.uid,
            gid: self.gid,
            creator_uid: self.creator.0,
            creator_gid: self.creator.1,
            mode: self.mode,
            sequence: (id as usize / MOST_OBJECTS) as u32,
            tail: (),
        }
    }
    /// IPC_SET: owner and permissions.
    fn set(&mut self, new: &IpcPerm) -> Result<()> {
        if new.uid == u32::MAX || new.gid == u32::MAX {
            return Err(Error::Invalid);
        }
        self.uid = new.uid;
        self.gid = new.gid;
        self.mode = self.mode & !0o777 | new.mode & 0o777;
        Ok(())
    }
}

/// One object.
struct Object<T> {
    id: i32,
    perm: Mutex<Perm>,
    removed: AtomicBool,
    value: T,
}

impl<T> Object<T> {
    fn perm(&self) -> Perm {
        *self.perm.lock()
    }
    fn removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }
}

struct Entries<T> {
    /// By index.
    objects: BTreeMap<usize, Arc<Object<T>>>,
    /// Indices by key.
    keys: BTreeMap<i32, usize>,
    /// Round of the identifiers that are given out next, and the index last used.
    round: usize,
    last: Option<usize>,
}

/// All objects of one kind.
struct Table<T> {
    entries: Mutex<Entries<T>>,
    /// The id that the next object gets, or one near it (/proc/sys/kernel/shm_next_id); -1: any.
    next_id: AtomicI32,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        let (objects, keys) = (BTreeMap::new(), BTreeMap::new());
        let entries = Entries { objects, keys, round: 0, last: None };
        Self { entries: Mutex::new(entries), next_id: AtomicI32::new(-1) }
    }
}

impl<T> Entries<T> {
    fn of_key(&self, key: i32) -> Option<&Arc<Object<T>>> {
        self.objects.get(self.keys.get(&key)?)
    }
    /// The next identifier: `wanted`, or the first behind it with a free index; without a wish indices are used in
    /// turn, so that an old one does not soon mean something else.
    fn next(&mut self, most: usize, wanted: Option<usize>) -> Result<(usize, i32)> {
        if self.objects.len() >= most {
            return Err(Error::NoSpace);
        }
        if let Some(wanted) = wanted {
            let free = (wanted % MOST_OBJECTS..MOST_OBJECTS).find(|index| !self.objects.contains_key(index));
            let index = free.ok_or(Error::NoSpace)?;
            return Ok((index, (wanted / MOST_OBJECTS * MOST_OBJECTS + index) as i32));
        }
        loop {
            let index = self.last.map_or(0, |last| (last + 1) % most);
            if index == 0 && self.last.is_some() {
                self.round = (self.round + 1) % 0xffff;
            }
            self.last = Some(index);
            if !self.objects.contains_key(&index) {
                return Ok((index, (self.round * MOST_OBJECTS + index) as i32));
            }
        }
    }
}

impl<T> Table<T> {
    /// The object of a key, or a new one that `make` makes, of at most `most`. `fits` says whether the one there is
    /// what is asked for.
    fn get(
        &self,
        (key, flags): (i32, IpcGetFlags),
        who: &Credentials,
        most: usize,
        fits: impl FnOnce(&T) -> Result<()>,
        make: impl FnOnce(i32) -> Result<T>,
    ) -> Result<usize> {
        let permissions = flags.bits() as u32 & 0o777;
        let mut entries = self.entries.lock();
        if let Some(there) = entries.of_key(key) {
            if flags.contains(IpcGetFlags::IPC_CREAT | IpcGetFlags::IPC_EXCL) {
                return Err(Error::Exists);
            }
            fits(&there.value)?;
            // Whatever bits are given, of any class, are asked for.
            let asked = (permissions | permissions << 3 | permissions << 6) & 0o700;
            there.perm().check(who, asked)?;
            return Ok(there.id as usize);
        }
        if key != IPC_PRIVATE && !flags.contains(IpcGetFlags::IPC_CREAT) {
            return Err(Error::NotFound);
        }
        let wanted = usize::try_from(self.next_id.swap(-1, Ordering::Relaxed)).ok();
        let (index, id) = entries.next(most, wanted)?;
        let (uid, gid) = (who.euid, who.egid);
        let perm = Perm { key, uid, gid, creator: (uid, gid), mode: permissions };
        let value = make(id)?;
        let object = Object { id, perm: Mutex::new(perm), removed: AtomicBool::new(false), value };
        entries.objects.insert(index, Arc::new(object));
        if key != IPC_PRIVATE {
            entries.keys.insert(key, index);
        }
        Ok(id as usize)
    }
    /// The object of an identifier: EINVAL when there is none, EIDRM when it was removed and another took its place.
    fn find(&self, id: i32) -> Result<Arc<Object<T>>> {
        let id = usize::try_from(id).map_err(|_| Error::Invalid)?;
        let object = self.at(id % MOST_OBJECTS)?;
        if object.id as usize == id { Ok(object) } else { Err(EIDRM) }
    }
    /// The object of an index (`SHM_STAT` and its kin).
    fn at(&self, index: usize) -> Result<Arc<Object<T>>> {
        self.entries.lock().objects.get(&index).cloned().ok_or(Error::Invalid)
    }
    fn all(&self) -> Vec<Arc<Object<T>>> {
        self.entries.lock().objects.values().cloned().collect()
    }
    /// Takes an object out; `false`: somebody else has done so.
    fn remove(&self, object: &Object<T>) -> bool {
        object.removed.store(true, Ordering::Release);
        self.forget_key(object);
        let mut entries = self.entries.lock();
        let index = object.id as usize % MOST_OBJECTS;
        let is_there = entries.objects.get(&index).is_some_and(|there| core::ptr::eq(&raw const **there, object));
        let gone = if is_there { entries.objects.remove(&index) } else { None };
        drop(entries);
        gone.is_some()
    }
    /// Nobody finds an object by its key any more.
    fn forget_key(&self, object: &Object<T>) {
        let key = core::mem::replace(&mut object.perm.lock().key, IPC_PRIVATE);
        let mut entries = self.entries.lock();
        if entries.keys.get(&key) == Some(&(object.id as usize % MOST_OBJECTS)) {
            entries.keys.remove(&key);
        }
    }
    /// How many there are, and the highest index in use.
    fn figures(&self) -> (usize, usize) {
        let entries = self.entries.lock();
        (entries.objects.len(), entries.objects.keys().next_back().copied().unwrap_or(0))
    }
}

/// What programs of a container share by key or name.
#[derive(Default)]
pub(crate) struct Ipc {
    pub(crate) system_v: SystemV,
    /// POSIX message queues.
    pub(crate) message_queues: MessageQueues,
}

impl Task<'_, '_> {
    /// The objects that the calling process sees.
    pub(crate) fn ipc_objects(&self) -> &Ipc {
        &self.process().container.ipc
    }
}

/// System V objects.
#[derive(Default)]
pub struct SystemV {
    segments: Table<shared_memory::Segment>,
    sets: Table<semaphores::Set>,
    queues: Table<messages::Queue>,
    /// Bytes of the messages in all queues.
    message_bytes: AtomicU64,
    /// Members of all sets of semaphores.
    semaphores: AtomicUsize,
}

/// The kinds of objects.
#[derive(Clone, Copy)]
pub(crate) enum IpcKind {
    SharedMemory,
    Semaphores,
    Messages,
}

impl SystemV {
    /// The id that the next object of a kind gets; -1: any.
    pub(crate) fn next_id(&self, kind: IpcKind) -> &AtomicI32 {
        match kind {
            IpcKind::SharedMemory => &self.segments.next_id,
            IpcKind::Semaphores => &self.sets.next_id,
            IpcKind::Messages => &self.queues.next_id,
        }
    }
    /// Whether anything is to be undone at the end of a process.
    pub(crate) fn has_undo(&self, pid: i32) -> bool {
        self.sets.all().into_iter().any(|set| set.value.has_undo(pid))
    }
    /// A process is gone: what it wanted undone is undone.
    pub(crate) fn process_ended(&self, pid: i32) {
        for set in self.sets.all() {
            set.value.undo(pid);
        }
    }
}
