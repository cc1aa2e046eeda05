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
pub mod host;
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
use alloc::vec::Vec;
use core::any::Any;

use self::acl::{Acl, AclKind};
use crate::event::{Events, Observer};
use crate::io::{Dest, Source};
use crate::platform::HostFd;
use crate::{Error, Result};

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

/// How the bytes of a file can be mapped into a guest.
#[derive(Clone, Debug)]
pub enum Mapping {
    /// From a host descriptor, same offsets.
    Host {
        /// The descriptor.
        fd: HostFd,
        /// Nobody changes the file.
        fixed: bool,
    },
    /// From pages of the arena.
    Arena(Arc<crate::mm::arena::PageCache>),
    /// Private zero pages that the file has no part in (`/dev/zero`).
    Anonymous,
}

/// What opening a device node gives, by the number of the device.
pub trait Devices: Send + Sync {
    /// Opens the character device with the number `rdev`. `node` is the inode that names it, in whatever file system;
    /// `NoSuchDevice` when there is nothing behind the number.
    fn open_device(&self, node: &Arc<dyn Inode>, rdev: u64) -> Result<Arc<dyn File>>;
}

/// A file, directory, link or device as it lies in a file system.
///
/// Methods that do not fit the type of inode keep their default, which gives the error POSIX asks for. Names are single
/// components, never empty, `.`, `..` or longer than 255 bytes. Implementations lock for themselves.
pub trait Inode: Any + Send + Sync {
    /// Identity.
    fn id(&self) -> InodeId;
    /// Type.
    fn file_type(&self) -> FileType;
    /// Metadata now.
    fn metadata(&self) -> Result<Metadata>;
    /// Metadata of which type, owner and permissions are those of now: what decides who may do what. Where all of it
    /// has to be asked for, this may be known.
    fn rights(&self) -> Result<Metadata> {
        self.metadata()
    }
    /// Changes metadata; permission was checked.
    fn set_attr(&self, _attr: &SetAttr) -> Result<()> {
        Err(Error::ReadOnly)
    }
    /// The child called `name`.
    fn lookup(&self, _name: &[u8]) -> Result<Arc<dyn Inode>> {
        Err(Error::NotDirectory)
    }
    /// As [`Inode::lookup`], told what is wanted next: who has to ask somebody else for it can ask for all of it at
    /// once.
    fn lookup_ahead(&self, name: &[u8], _ahead: Ahead<'_>) -> Result<Arc<dyn Inode>> {
        self.lookup(name)
    }
    /// The child called `name`, or `NotFound`, where that is known now; `None`: it has to be asked for
    /// ([`Inode::lookup`]). For trees whose names others change, so that nobody else keeps them.
    fn lookup_known(&self, _name: &[u8]) -> Option<Result<Arc<dyn Inode>>> {
        None
    }
    /// What the child called `name` is, where that can be said at once: without asking anybody or waiting, and as
    /// cheaply as from a cache.
    fn stat_only(&self, _name: &[u8]) -> Option<StatOnly> {
        None
    }
    /// Makes a child; `Exists` when the name is taken.
    fn create(&self, _name: &[u8], _node: NewNode<'_>, _attr: NewAttr) -> Result<Arc<dyn Inode>> {
        Err(Error::ReadOnly)
    }
    /// Makes a regular file in the file system of this directory that has no name (`O_TMPFILE`); when it is `linkable`,
    /// [`Inode::link`] may give it one.
    fn create_unnamed(&self, _attr: NewAttr, _linkable: bool) -> Result<Arc<dyn Inode>> {
        Err(Error::NotSupported)
    }
    /// Gives `target` (of the same file system) another name here.
    fn link(&self, _name: &[u8], _target: &Arc<dyn Inode>) -> Result<()> {
        Err(Error::ReadOnly)
    }
    /// Removes a name that is not a directory.
    fn unlink(&self, _name: &[u8]) -> Result<()> {
        Err(Error::ReadOnly)
    }
    /// One of its names was removed, by this kernel: who cannot count them itself learns of it.
    fn lost_name(&self) {}
    /// Removes an empty directory.
    fn rmdir(&self, _name: &[u8]) -> Result<()> {
        Err(Error::ReadOnly)
    }
    /// Moves `name` to `new_name` in `new_dir` (of the same file system), replacing what is there as rename(2) says.
    fn rename(&self, _name: &[u8], _new_dir: &Arc<dyn Inode>, _new_name: &[u8], _flags: RenameFlags) -> Result<()> {
        Err(Error::ReadOnly)
    }
    /// Reports entries from `cookie` on (0: the first; else a [`DirEntry::next`]) until `sink` says `false`. `.` and
    /// `..` are the Vfs's matter. Entries removed or added meanwhile may or may not be seen, all others exactly once.
    fn read_dir(&self, _cookie: u64, _sink: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        Err(Error::NotDirectory)
    }
    /// As [`Inode::read_dir`], if the cookies count the entries (the first entry's is 1) and these never change; else
    /// `None`.
    fn read_unchanging_dir(&self, _cookie: u64, _sink: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Option<Result<()>> {
        None
    }
    /// Target of a symbolic link.
    fn read_link(&self) -> Result<Vec<u8>> {
        Err(Error::Invalid)
    }
    /// Where a magic link of /proc leads without a path walk (`/proc/self/fd/3`); `None`: an ordinary link.
    fn magic_link(&self) -> Option<Location> {
        None
    }
    /// Opens it; permission was checked.
    fn open(self: Arc<Self>, _how: &OpenHow) -> Result<Arc<dyn File>> {
        Err(Error::NoSuchDevice)
    }
    /// Value of an extended attribute.
    fn get_xattr(&self, _name: &[u8]) -> Result<Vec<u8>> {
        Err(Error::NotSupported)
    }
    /// Sets an extended attribute; `create`/`replace` as setxattr(2).
    fn set_xattr(&self, _name: &[u8], _value: &[u8], _how: XattrFlags) -> Result<()> {
        Err(Error::NotSupported)
    }
    /// Names of extended attributes, each ended by a zero byte.
    fn list_xattr(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
    /// Removes an extended attribute.
    fn remove_xattr(&self, _name: &[u8]) -> Result<()> {
        Err(Error::NotSupported)
    }
    /// Who may use it beyond what its permission bits say; `mode_allows`: these allow what is asked for now. A tree of
    /// the host that is only read need not be asked then: its kernel has a say when the file is opened.
    fn access_acl(&self, _mode_allows: bool) -> Option<Acl> {
        None
    }
    /// Sets a list, which is in order, or takes it away; the permission bits follow. `keeps_group_id`: the set-group-id
    /// bit stays.
    fn set_acl(&self, _kind: AclKind, _acl: Option<Acl>, _keeps_group_id: bool) -> Result<()> {
        Err(Error::NotSupported)
    }
    /// How it is in use; `None` where others than this kernel use it too.
    fn usage(&self) -> Option<&Usage> {
        None
    }
    /// Figures of the file system it lies in.
    fn stat_fs(&self) -> Result<StatFs>;
    /// Whether what was looked up here may be kept in the dentry cache: `false` for /proc and trees that others change.
    fn cacheable(&self) -> bool {
        true
    }
    /// Whether everything below never changes (a read-only image): negative lookups are kept too.
    fn immutable(&self) -> bool {
        false
    }
    /// For downcasts by the file system that made it.
    fn as_any(&self) -> &dyn Any;
    /// For downcasts of shared handles.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// A stream with an offset that others outside share: a standard stream that is a regular file there.
pub trait Seekable {
    /// Moves the offset as lseek(2) does; where it is then.
    fn seek(&self, offset: i64, whence: i32) -> Result<u64>;
    /// As pread(2).
    fn pread(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize>;
    /// As pwrite(2).
    fn pwrite(&self, source: &mut Source<'_>, offset: u64) -> Result<usize>;
}

/// The operations of an open file. Offsets belong to the [`OpenFile`]; streams (`is_stream`) ignore them. What would
/// block returns `WouldBlock`; the caller waits through [`crate::event::wait_until_ready`]. Short transfers are
/// allowed.
pub trait File: Any + Send + Sync {
    /// Its inode. Files without a name (pipes, eventfds) have an inode of their own.
    fn inode(&self) -> Arc<dyn Inode>;
    /// Metadata now (fstat(2)).
    fn metadata(&self) -> Result<Metadata> {
        self.inode().metadata()
    }
    /// Changes metadata through the open file (ftruncate(2), fchmod(2), futimens(3)); permission was checked.
    fn set_attr(&self, attr: &SetAttr) -> Result<()> {
        self.inode().set_attr(attr)
    }
    /// Whether it has no offsets (pipe, terminal, eventfd): lseek and pread are `NotSeekable`. Always the same of one
    /// file.
    fn is_stream(&self) -> bool {
        false
    }
    /// Where the next read or write of a stream takes place, when it leads to a regular file; `None`: nowhere, or the
    /// [`OpenFile`] knows.
    fn stream_position(&self) -> Option<u64> {
        None
    }
    /// A stream that leads to a file with offsets all the same: lseek(2) and pread(2) are its own matter.
    fn as_seekable(&self) -> Option<&dyn Seekable> {
        None
    }
    /// Whether a blocking write goes on until everything is written.
    fn takes_everything(&self) -> bool {
        self.is_stream()
    }
    /// Whether it can be read or written at all, where it is open for that: a set of epoll(7) cannot.
    fn transfers(&self) -> bool {
        true
    }
    /// Where `SEEK_END` of lseek(2) counts from; `Invalid` when it has no end.
    fn end(&self) -> Result<u64> {
        self.metadata().map(|metadata| metadata.size)
    }
    /// How long a blocking read or write waits at most (SO_RCVTIMEO, SO_SNDTIMEO); `None`: for ever. Asked of streams
    /// only.
    fn io_timeout(&self, _writing: bool) -> Option<core::time::Duration> {
        None
    }
    /// Whether its offset always is 0 (/dev/null, /dev/urandom): lseek(2) answers 0, nothing moves it. pread(2) works
    /// unless it is a stream too (eventfd, timers). Always the same of one file.
    fn offset_stays(&self) -> bool {
        false
    }
    /// Whether its owner can be signalled when it becomes ready (`O_ASYNC`).
    fn signals_owner(&self) -> bool {
        false
    }
    /// Reads from `offset`. 0 at the end.
    fn read_at(&self, _dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        Err(Error::Invalid)
    }
    /// Writes at `offset`.
    fn write_at(&self, _source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        Err(Error::Invalid)
    }
    /// Writes at the end, atomically with finding the end; returns the count and the offset behind it.
    fn append(&self, source: &mut Source<'_>) -> Result<(usize, u64)> {
        let end = self.metadata()?.size;
        let n = self.write_at(source, end)?;
        Ok((n, end + n as u64))
    }
    /// lseek(2) with `SEEK_DATA` (`hole` false) or `SEEK_HOLE`.
    fn seek_data(&self, offset: u64, hole: bool) -> Result<u64> {
        let size = self.metadata()?.size;
        if offset >= size {
            return Err(Error::NoSuchDevice);
        }
        Ok(if hole { size } else { offset })
    }
    /// fallocate(2) with a Linux mode.
    fn allocate(&self, _mode: i32, _offset: u64, _len: u64) -> Result<()> {
        Err(Error::NotSupported)
    }
    /// fsync(2), fdatasync(2).
    fn sync(&self, _data_only: bool) -> Result<()> {
        Err(Error::Invalid)
    }
    /// How it can be mapped; `NoDevice` when it cannot.
    fn mapping(&self) -> Result<Mapping> {
        Err(Error::NoDevice)
    }
    /// It was read, or mapped, which counts as much: for the time of its last access.
    fn note_read(&self) {}
    /// What was written to a shared mapping of it is to count: for the time of its last change. Where the host keeps
    /// the time, nothing.
    fn note_written(&self) {}
    /// A terminal or device request. `arg` is as the guest gave it.
    fn ioctl(&self, _request: u32, _arg: usize) -> Result<usize> {
        Err(Error::NotTerminal)
    }
    /// What it is ready for now. Regular files always are.
    fn ready(&self) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }
    /// Registers for changes of readiness; `false`: never changes.
    fn observe(&self, _observer: &Arc<dyn Observer>, _interest: Events) -> bool {
        false
    }
    /// Takes a registration back.
    fn unobserve(&self, _observer: &Arc<dyn Observer>) {}
    /// Sleeps until it is likely to be ready for `interest`, where the host can do that itself; `None`: it cannot.
    fn sleep_outside(&self, _interest: Events, _deadline: Option<crate::platform::Instant>) -> Option<Result<()>> {
        None
    }
    /// Whether it may become ready by the passing of time alone (timers, and sets that may hold timers).
    fn is_timed(&self) -> bool {
        false
    }
    /// For timed files: accounts for the time that has passed, tells observers when that made it ready, and says when
    /// it will happen next. Whoever sleeps on the file wakes up then and asks again.
    fn expire(&self) -> Option<crate::platform::Instant> {
        None
    }
    /// The status flags (append, nonblocking...) are being set by fcntl(2) F_SETFL.
    fn set_status(&self, _flags: StatusFlags) -> Result<()> {
        Ok(())
    }
    /// Bytes a pipe can hold (fcntl(2) F_GETPIPE_SZ).
    fn pipe_size(&self) -> Result<usize> {
        Err(Error::BadDescriptor)
    }
    /// Changes how many bytes a pipe can hold; returns the new size, which may be larger (F_SETPIPE_SZ).
    fn set_pipe_size(&self, _size: usize) -> Result<usize> {
        Err(Error::BadDescriptor)
    }
    /// What may no longer be done to a memory file (F_GET_SEALS).
    fn seals(&self) -> Result<Seals> {
        Err(Error::Invalid)
    }
    /// Seals a memory file further (F_ADD_SEALS).
    fn add_seals(&self, _seals: Seals) -> Result<()> {
        Err(Error::Invalid)
    }
    /// A descriptor for it is being closed (flush(2) in FUSE's terms); errors are reported by close(2).
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    /// The socket it is, if it is one.
    fn as_socket(&self) -> Option<&dyn crate::net::Socket> {
        None
    }
    /// Whether reads and writes may go on while another thread moves the offset (no offset lock): devices, streams.
    fn as_any(&self) -> &dyn Any;
    /// For downcasts of shared handles.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
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
}

/// A place in the tree of mounts.
#[derive(Clone)]
pub struct Location {
    /// The mount it lies in.
    pub mount: Arc<vfs::Mount>,
    /// The name.
    pub dentry: Arc<vfs::Dentry>,
}
