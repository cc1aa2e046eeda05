//! The tree of mounts and the walk through it.
//!
//! - [`Dentry`]: a name in a file system and what it leads to; names that were looked up are kept ([`dentry`]).
//! - [`Mount`]: a file system at a place of the tree ([`mount`]).
//! - `walk`: from a path to a [`Location`]; `open`: to an open file; `change`: making, removing and renaming names;
//!   `attributes`: metadata; `permission`: who may do what.
//!
//! Lock order: a directory's changes (two: by address, after [`Vfs::renames`]), its children, a dentry's place. No lock
//! is held while guest memory is touched.

mod attributes;
mod change;
mod dentry;
mod mount;
mod open;
mod permission;
#[cfg(test)]
mod tests;
mod walk;
mod xattr;

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::sync::{Mutex, RwLock};
use crate::{Error, Result};

pub use attributes::{NewTime, owner_change, permissions_change, times_change};
pub use dentry::Dentry;
pub use mount::{Mount, MountFlags};
pub use open::{OpenRequest, PathFile};
pub(super) use permission::without_set_id;
pub use permission::{check as check_permission, check_inode as check_inode_permission};
pub use walk::LookedUp;
pub(super) use xattr::CAPABILITY;

use super::{
    Access, Ahead, Creds, Devices, DirEntry, FAsync, FileSystem, FileType, Inode, Leases, Location, Metadata, StatOnly,
    WatchMask, Watches,
};

/// Longest path, its ending zero included (PATH_MAX).
pub const PATH_MAX: usize = 4096;
/// Longest name (NAME_MAX).
pub const NAME_MAX: usize = 255;
/// How many symbolic links one walk follows, as on Linux.
const MAX_LINKS: u32 = 40;

/// All mounts and cached names of a sandbox.
pub struct Vfs {
    /// What device nodes lead to.
    devices: Arc<dyn Devices>,
    /// Who watches files (inotify).
    pub watches: Arc<Watches>,
    /// Leases on files.
    pub leases: Arc<Leases>,
    /// What owners of open files are to be told by signals.
    pub fasync: Arc<FAsync>,
    next_open_id: AtomicU64,
    next_mount_id: AtomicU32,
    root_mount: Arc<Mount>,
    /// Where files without a name are, outside of the tree.
    nameless_mount: Arc<Mount>,
    /// Every mount, the root first.
    mounts: RwLock<Vec<Arc<Mount>>>,
    /// Held while a name moves between directories, so that no two moves close a loop together.
    renames: Mutex<()>,
    /// Kept dentries, oldest first: candidates to be forgotten.
    kept: Mutex<VecDeque<Weak<Dentry>>>,
}

/// Who walks, and from where.
pub struct Origin<'a> {
    /// Whose permissions count.
    pub creds: Creds<'a>,
    /// Where `/` is.
    pub root: Location,
    /// Where relative paths start: the working directory, or what a descriptor of a directory leads to.
    pub start: Location,
    /// Permission bits that new names do not get.
    pub umask: u32,
}

bitflags::bitflags! {
    /// How a path is walked.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct LookupFlags: u32 {
        /// A symbolic link as last component is followed.
        const FOLLOW = 1;
        /// The empty path is where the walk starts (`AT_EMPTY_PATH`).
        const EMPTY_OK = 2;
        /// It must lead to a directory.
        const DIRECTORY = 4;
        /// No step into another mount (`RESOLVE_NO_XDEV`).
        const NO_XDEV = 8;
        /// No magic links (`RESOLVE_NO_MAGICLINKS`).
        const NO_MAGICLINKS = 16;
        /// No symbolic links at all (`RESOLVE_NO_SYMLINKS`).
        const NO_SYMLINKS = 32;
        /// No step out of the start (`RESOLVE_BENEATH`).
        const BENEATH = 64;
        /// The start is the root (`RESOLVE_IN_ROOT`).
        const IN_ROOT = 128;
        /// What it leads to will be opened for reading.
        const OPEN = 256;
    }
}

/// Whether a place can be named from a root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Its path leads there.
    Normal,
    /// It was removed; the path is where it was.
    Deleted,
    /// It lies outside of the root.
    Unreachable,
}

impl Location {
    /// What lies there.
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }
    /// Its metadata now.
    pub fn metadata(&self) -> Result<Metadata> {
        self.inode().metadata()
    }
    /// What decides who may use it ([`Inode::rights`]).
    pub fn rights(&self) -> Result<Metadata> {
        self.inode().rights()
    }
    /// Whether both are the same place.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.dentry, &other.dentry) && Arc::ptr_eq(&self.mount, &other.mount)
    }
    fn is_directory(&self) -> bool {
        self.inode().file_type() == FileType::Directory
    }
}

impl Vfs {
    /// A tree whose root is that of `fs`, and whose device nodes lead to `devices`.
    pub fn new(fs: Arc<dyn FileSystem>, flags: MountFlags, devices: Arc<dyn Devices>) -> Self {
        let watches = Arc::<Watches>::default();
        let root = Mount::root(fs, flags, &watches);
        Self {
            devices,
            next_open_id: AtomicU64::new(1),
            next_mount_id: AtomicU32::new(root.id + 1),
            mounts: RwLock::new(alloc::vec![root.clone()]),
            root_mount: root,
            nameless_mount: Mount::root(Arc::new(super::EmptyRoot), MountFlags::empty(), &watches),
            watches,
            leases: Arc::default(),
            fasync: Arc::default(),
            renames: Mutex::new(()),
            kept: Mutex::new(VecDeque::new()),
        }
    }
    /// A unique number for an [`super::OpenFile`].
    pub fn next_open_id(&self) -> u64 {
        self.next_open_id.fetch_add(1, Ordering::Relaxed)
    }
    /// Target of the symbolic link at `at`; `Invalid` for anything else.
    pub fn read_link(&self, at: &Location) -> Result<Vec<u8>> {
        if at.inode().file_type() != FileType::Symlink {
            return Err(Error::Invalid);
        }
        at.inode().read_link()
    }
    /// The place of a file that has no name (a pipe, a socket, a standard stream): where magic links of /proc to it
    /// lead.
    pub fn nameless(&self, inode: Arc<dyn Inode>) -> Location {
        let mount = self.nameless_mount.clone();
        Location { dentry: mount.root.unnamed(inode), mount }
    }
    /// The path of `at` as seen from `root` (getcwd(2), /proc).
    pub fn path_of(&self, at: &Location, root: &Location) -> Result<(Vec<u8>, Reach)> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut here = at.clone();
        let mut reach = if at.dentry.removed() { Reach::Deleted } else { Reach::Normal };
        let mut len = 0usize;
        loop {
            if here.is(root) {
                break;
            }
            if Arc::ptr_eq(&here.dentry, &here.mount.root) {
                let Some(below) = here.mount.at() else {
                    reach = Reach::Unreachable;
                    break;
                };
                here = below;
                continue;
            }
            let (parent, name) = here.dentry.place();
            len += name.len() + 1;
            if len > 16 * PATH_MAX {
                return Err(Error::NameTooLong);
            }
            names.push(name);
            let Some(parent) = parent else {
                reach = Reach::Unreachable;
                break;
            };
            here.dentry = parent;
        }
        let mut path = Vec::with_capacity(len + 1);
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Ok((path, reach))
    }
    /// Entries of the directory at `at` with `.` and `..`, from `cookie` on. The cookies 0, 1 and 2 are the start and
    /// the places behind those two; the file system's own are moved up by 2.
    pub fn read_dir(&self, at: &Location, cookie: u64, sink: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        const OWN: u64 = 2;
        let inode = at.inode();
        if inode.file_type() != FileType::Directory {
            return Err(Error::NotDirectory);
        }
        if at.dentry.removed() {
            return Err(Error::NotFound);
        }
        let file_type = FileType::Directory;
        if cookie == 0 && !sink(DirEntry { name: b".", ino: inode.id().ino, file_type, next: 1 }) {
            return Ok(());
        }
        if cookie <= 1 {
            let parent = self.parent_of(at);
            let ino = parent.inode().id().ino;
            if !sink(DirEntry { name: b"..", ino, file_type, next: OWN }) {
                return Ok(());
            }
        }
        inode.read_dir(cookie.saturating_sub(OWN), &mut |entry| {
            sink(DirEntry { next: entry.next.saturating_add(OWN), ..entry })
        })
    }
    /// The directory above, over mounts; the root of the tree is its own parent.
    pub fn parent_of(&self, at: &Location) -> Location {
        let mut here = at.clone();
        while Arc::ptr_eq(&here.dentry, &here.mount.root) {
            match here.mount.at() {
                Some(below) => here = below,
                None => return here,
            }
        }
        if let (Some(parent), _) = here.dentry.place() {
            here.dentry = parent;
        }
        here
    }
    /// Whether `creds` may use what lies at `at` in this way: `Access` or, for writing on a read-only mount,
    /// `ReadOnly`. A regular file cannot be executed where the mount forbids that.
    pub fn check_access(&self, creds: &Creds<'_>, at: &Location, access: Access) -> Result<()> {
        permission::check_use(&**at.inode(), at.mount.flags(), creds, access)
    }
    /// The same of what a fast lookup found; `None`: that takes its inode.
    pub fn check_access_fast(&self, creds: &Creds<'_>, seen: &LookedUp, access: Access) -> Option<Result<()>> {
        match &seen.file {
            StatOnly::Absent => Some(Err(Error::NotFound)),
            _ if access.is_empty() => Some(Ok(())),
            StatOnly::Inode(inode) => Some(permission::check_use(&**inode, seen.forbidden, creds, access)),
            StatOnly::Metadata(_) => None,
        }
    }
}

/// Root, working directory and umask of a process (shared by `CLONE_FS`).
pub struct FsContext {
    /// Root directory (chroot(2)).
    pub root: RwLock<Location>,
    /// Working directory.
    pub cwd: RwLock<Location>,
    /// File mode creation mask.
    pub umask: AtomicU32,
}
