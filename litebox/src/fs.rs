//! Files: what a file system provides ([`Inode`], [`File`], [`FileSystem`]) and what is built on it ([`Vfs`],
//! [`FdTable`]).
//!
//! - An [`Inode`] is a file, directory, link or device as it lies in a file system: names below it, metadata, data.
//! - A [`File`] is what opening an inode gives: the operations of one open file. Pipes and eventfds are files too.
//! - An [`OpenFile`] is an open file description: a [`File`] with its offset and status flags, shared by `dup` and
//!   fork.
//! - The [`FdTable`] maps descriptors to open files. The [`FsContext`] is root, working directory and umask.
//! - The [`Vfs`] walks paths over mounts with a dentry cache and checks permissions; file systems check none
//!   themselves.

pub mod acl;
mod anon;
#[cfg(test)]
#[path = "../tests/support/fs_compare.rs"]
mod compare;
pub mod dev;
mod directory;
mod fasync;
mod fd_table;
mod file;
pub mod host;
mod inode;
mod leases;
mod locks;
mod lookup;
pub mod memory;
mod node;
mod notify;
mod open_file;
pub mod overlay;
mod root;
mod usage;
mod vfs;

pub use anon::{ANON_DEV, AnonInode};
pub use directory::DirectoryFile;
pub use fasync::{FAsync, FAsyncEntry, FileOwner, OwnerTarget};
pub use fd_table::{FdEntry, FdTable};
pub use file::{File, Mapping, Seekable};
pub use inode::{Devices, Inode};
pub use leases::{HeldLease, LeaseKind, Leases};
pub use litebox_common_linux::abi::file::{RenameFlags, XattrFlags};
pub use locks::{HeldLocks, KnownLock, LockOwner, LockRange, LockTable, Record, WholeLock};
pub use lookup::{Ahead, StatOnly};
pub use notify::{Inotify, WatchLimits, WatchMask, Watches};
use open_file::Counted;
pub use open_file::{OpenFile, StatusFlags};
pub use root::EmptyRoot;
pub use usage::{Running, Usage};
pub use vfs::{
    Dentry, FsContext, LookedUp, LookupFlags, Mount, MountFlags, NAME_MAX, NewTime, OpenRequest, Origin, PATH_MAX,
    PathFile, Reach, Vfs, check_inode_permission, check_permission, owner_change, permissions_change, times_change,
};

use alloc::sync::Arc;

use crate::Result;

/// A map by the names of one directory. What it hashes by is the same in every process of the sandbox: the map is
/// shared by all, and a seed that each process draws for itself would make names disappear.
type NameMap<Name, Value> = hashbrown::HashMap<Name, Value, foldhash::fast::FixedState>;
/// Inodes by their identity.
type InodeMap<Id, Value> = hashbrown::HashMap<Id, Value, foldhash::fast::FixedState>;

/// Type of an inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of inode(7)")]
pub enum FileType {
    Regular,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

impl FileType {
    /// The type bits of `st_mode`.
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::Fifo => 0o010_000,
            Self::CharDevice => 0o020_000,
            Self::Directory => 0o040_000,
            Self::BlockDevice => 0o060_000,
            Self::Regular => 0o100_000,
            Self::Symlink => 0o120_000,
            Self::Socket => 0o140_000,
        }
    }
    /// From the type bits of `st_mode`.
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o010_000 => Self::Fifo,
            0o020_000 => Self::CharDevice,
            0o040_000 => Self::Directory,
            0o060_000 => Self::BlockDevice,
            0o100_000 => Self::Regular,
            0o120_000 => Self::Symlink,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }
    /// `d_type` of getdents64(2).
    pub const fn dirent_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// A point in time as files keep it: seconds since 1970 and nanoseconds below 10^9.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Time {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds.
    pub nsec: u32,
}

impl Time {
    /// The wall clock now (the coarse one, as Linux stamps files).
    pub fn now() -> Self {
        let now = crate::platform::host().now(crate::platform::ClockId::RealtimeCoarse);
        Self { sec: i64::try_from(now.as_secs()).unwrap_or(i64::MAX), nsec: now.subsec_nanos() }
    }
}

/// Which inode it is, sandbox-wide. The key of inode caches, file locks and shared futexes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InodeId {
    /// Device number of the file system as the guest sees it.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

/// Metadata of an inode (stat(2), statx(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// Identity.
    pub id: InodeId,
    /// Type and permission bits as `st_mode`.
    pub mode: u32,
    /// Hard links.
    pub nlink: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node.
    pub rdev: u64,
    /// Size in bytes.
    pub size: u64,
    /// Blocks of 512 bytes in use.
    pub blocks: u64,
    /// Preferred I/O size.
    pub blksize: u32,
    /// Last access.
    pub atime: Time,
    /// Last change of the data.
    pub mtime: Time,
    /// Last change of the inode.
    pub ctime: Time,
    /// Birth, where it is kept.
    pub btime: Option<Time>,
}

impl Metadata {
    /// The type.
    pub fn file_type(&self) -> FileType {
        FileType::from_mode(self.mode).unwrap_or(FileType::Regular)
    }
    /// Permission bits with set-id and sticky bits.
    pub fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }
}

/// What to change of an inode; `None` stays. The file system sets `ctime` itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the names are those of Metadata")]
pub struct SetAttr {
    pub permissions: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<SetTime>,
    pub mtime: Option<SetTime>,
}

/// A time that a file is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetTime {
    /// The present, by the clock that the file system stamps files with.
    Now,
    /// This one.
    At(Time),
}

impl SetTime {
    /// Where this kernel's clock stamps files.
    pub fn value(self) -> Time {
        match self {
            Self::Now => Time::now(),
            Self::At(time) => time,
        }
    }
}

/// What a new name is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of inode(7)")]
pub enum NewNode<'a> {
    Regular,
    Directory,
    Symlink(&'a [u8]),
    Fifo,
    Socket,
    CharDevice(u64),
    BlockDevice(u64),
}

/// Owner and permissions of a new inode; a set-group-id directory is the Vfs's matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NewAttr {
    /// Permission bits, before the umask.
    pub permissions: u32,
    /// Bits that it does not get, unless its directory has a default list ([`acl`]).
    pub umask: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// A regular file that will be opened at once.
    pub to_be_opened: bool,
}

/// One name in a directory.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// The name, without `/`.
    pub name: &'a [u8],
    /// Inode number.
    pub ino: u64,
    /// Type.
    pub file_type: FileType,
    /// Where to continue *behind* this entry (`d_off`).
    pub next: u64,
}

bitflags::bitflags! {
    /// Seals of a memory file, with the numbers of fcntl(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Seals: u32 {
        /// No more seals.
        const SEAL = 1;
        /// It does not shrink.
        const SHRINK = 2;
        /// It does not grow.
        const GROW = 4;
        /// No writing.
        const WRITE = 8;
        /// No writing but through mappings made before.
        const FUTURE_WRITE = 16;
        /// The executable bits stay.
        const EXEC = 32;
    }

    /// What an open file may be used for.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Access: u8 {
        /// Reading.
        const READ = 4;
        /// Writing.
        const WRITE = 2;
        /// Executing, or passing through a directory.
        const EXEC = 1;
    }
}

/// Figures of a file system (statfs(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the names are those of statfs(2)")]
pub struct StatFs {
    pub magic: u64,
    pub block_size: u64,
    pub blocks: u64,
    pub free: u64,
    pub available: u64,
    pub files: u64,
    pub files_free: u64,
    pub name_max: u64,
}

/// Who asks, for permission checks: file-system ids of credentials(7).
#[derive(Clone, Copy, Debug)]
pub struct Creds<'a> {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: &'a [u32],
    /// What of capabilities(7) goes beyond permission bits.
    pub rights: FileRights,
}

bitflags::bitflags! {
    /// Capabilities that concern files; the names are those of capabilities(7).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct FileRights: u8 {
        /// Files may be given away.
        const CHOWN = 1;
        /// Permission bits do not apply.
        const DAC_OVERRIDE = 2;
        /// Those for reading, and for passing through directories, do not.
        const DAC_READ_SEARCH = 4;
        /// Everybody's files are like one's own.
        const FOWNER = 8;
        /// Set-id bits stay.
        const FSETID = 16;
        /// Device nodes may be made.
        const MKNOD = 32;
        /// Files may be given capabilities.
        const SETFCAP = 64;
    }
}

impl Creds<'_> {
    /// The superuser of the sandbox, whom permissions do not stop.
    pub const ROOT: Creds<'static> = Creds { uid: 0, gid: 0, groups: &[], rights: FileRights::all() };

    /// Whether they have this right.
    pub fn may(&self, right: FileRights) -> bool {
        self.rights.contains(right)
    }
    /// Whether they may pass through every directory.
    pub fn may_search(&self) -> bool {
        self.rights.intersects(FileRights::DAC_OVERRIDE | FileRights::DAC_READ_SEARCH)
    }
    /// Whether `gid` is one of the groups.
    pub fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

/// How to open an inode. Path-level flags (`O_CREAT`, `O_EXCL`, `O_NOFOLLOW`...) are the [`Vfs`]'s matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenHow {
    /// READ, WRITE or both.
    pub access: Access,
    /// Set the size to zero (`O_TRUNC`).
    pub truncate: bool,
    /// Do not wait for the other side of a fifo.
    pub nonblocking: bool,
    /// It will be appended to (`O_APPEND`).
    pub append: bool,
}

/// A mounted tree's origin.
pub trait FileSystem: Send + Sync {
    /// Its root directory.
    fn root(&self) -> Arc<dyn Inode>;
    /// Type as in /proc/mounts: `tmpfs`, `overlay`, `proc`...
    fn type_name(&self) -> &'static str;
    /// Writes everything back (sync(2), syncfs(2)).
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    /// It is mounted nowhere any more: what it keeps for those who look there goes. Who has something of it open keeps
    /// that.
    fn unmounted(&self) {}
}

/// A place in the tree of mounts.
#[derive(Clone)]
pub struct Location {
    /// The mount it lies in.
    pub mount: Arc<vfs::Mount>,
    /// The name.
    pub dentry: Arc<vfs::Dentry>,
}
