//! The inode of files that have no name: epoll instances, eventfds, timers, sockets.

use alloc::sync::Arc;
use core::any::Any;

use super::{FileType, Inode, InodeId, Metadata, SetAttr, SetTime, StatFs, Time};
use crate::sync::Mutex;
use crate::{Error, Result};

/// Device number that nameless inodes show.
pub const ANON_DEV: u64 = 0xe;
const ANON_MAGIC: u64 = 0x0904_1934;
const SOCKFS_MAGIC: u64 = 0x534f_434b;

/// An inode without a name. Its type decides what stat(2) says.
pub struct AnonInode {
    id: InodeId,
    mode: u32,
    born: Time,
    label: &'static str,
    /// Of a socket: what chmod(2), chown(2) and utimensat(2) by its descriptor changed.
    changed: Mutex<SetAttr>,
}

impl AnonInode {
    /// The inode all nameless files of one class share, as Linux's `anon_inode`. `label` is shown as
    /// `anon_inode:[label]`.
    pub fn shared(label: &'static str) -> Arc<Self> {
        Arc::new(Self {
            id: InodeId { dev: ANON_DEV, ino: 1 },
            mode: 0o600,
            born: Time::now(),
            label,
            changed: Mutex::default(),
        })
    }
    /// The inode of one socket; `ino` is unique in the sandbox.
    pub fn socket(ino: u64) -> Arc<Self> {
        let mode = FileType::Socket.mode_bits() | 0o777;
        Arc::new(Self {
            id: InodeId { dev: ANON_DEV - 5, ino },
            mode,
            born: Time::now(),
            label: "socket",
            changed: Mutex::default(),
        })
    }
    /// What it is: `eventpoll`, `eventfd`, `socket`...
    pub fn label(&self) -> &'static str {
        self.label
    }
    fn is_socket(&self) -> bool {
        self.mode & 0o170_000 == FileType::Socket.mode_bits()
    }
}

impl Inode for AnonInode {
    fn id(&self) -> InodeId {
        self.id
    }
    fn file_type(&self) -> FileType {
        FileType::from_mode(self.mode).unwrap_or(FileType::Regular)
    }
    fn metadata(&self) -> Result<Metadata> {
        let changed = *self.changed.lock();
        Ok(Metadata {
            id: self.id,
            mode: changed.permissions.map_or(self.mode, |bits| self.mode & !0o7777 | bits & 0o7777),
            nlink: 1,
            uid: changed.uid.unwrap_or(0),
            gid: changed.gid.unwrap_or(0),
            rdev: 0,
            size: 0,
            blocks: 0,
            blksize: 4096,
            atime: changed.atime.map_or(self.born, SetTime::value),
            mtime: changed.mtime.map_or(self.born, SetTime::value),
            ctime: self.born,
            btime: None,
        })
    }
    fn set_attr(&self, attr: &SetAttr) -> Result<()> {
        if attr.size.is_some() {
            return Err(Error::Invalid);
        }
        if !self.is_socket() {
            return Err(Error::NotSupported);
        }
        let mut changed = self.changed.lock();
        changed.permissions = attr.permissions.or(changed.permissions);
        changed.uid = attr.uid.or(changed.uid);
        changed.gid = attr.gid.or(changed.gid);
        changed.atime = attr.atime.map(|time| SetTime::At(time.value())).or(changed.atime);
        changed.mtime = attr.mtime.map(|time| SetTime::At(time.value())).or(changed.mtime);
        Ok(())
    }
    fn lookup(&self, _name: &[u8]) -> Result<Arc<dyn Inode>> {
        Err(Error::NotDirectory)
    }
    fn stat_fs(&self) -> Result<StatFs> {
        let magic = if self.is_socket() { SOCKFS_MAGIC } else { ANON_MAGIC };
        Ok(StatFs { magic, block_size: 4096, name_max: 255, ..StatFs::default() })
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
