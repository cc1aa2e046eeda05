//! What a file system keeps: an inode's operations.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use super::acl::{Acl, AclKind};
use super::{
    Ahead, DirEntry, File, FileType, InodeId, Location, Metadata, NewAttr, NewNode, OpenHow, RenameFlags, SetAttr,
    StatFs, StatOnly, Usage, XattrFlags,
};
use crate::{Error, Result};

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
