//! From a path to an open file: open(2).

use alloc::sync::Arc;
use core::any::Any;

use crate::fs::{Access, Counted, File, FileType, Inode, NewAttr, NewNode, OpenFile, OpenHow, SetAttr, StatusFlags};
use crate::{Error, Result};

use super::walk::{LastComponent, NameSlot, Walk};
use super::{Creds, Location, LookupFlags, Metadata, MountFlags, Origin, Vfs, WatchMask, permission};

/// What open(2) is asked for.
#[expect(clippy::struct_excessive_bools, reason = "they are flags of open(2)")]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenRequest {
    /// Reading, writing or both.
    pub access: Access,
    /// Status flags of the open file; `PATH`, `DIRECTORY`, `NOATIME` and `TMPFILE` mean something here.
    pub flags: StatusFlags,
    /// Make it when it does not exist (`O_CREAT`).
    pub create: bool,
    /// It must not exist, or, with `TMPFILE`, never gets a name (`O_EXCL`).
    pub exclusive: bool,
    /// Cut it to nothing (`O_TRUNC`).
    pub truncate: bool,
    /// A symbolic link as last component is followed (no `O_NOFOLLOW`).
    pub follow: bool,
    /// Permissions of a new file, the umask not yet applied.
    pub mode: u32,
    /// Restrictions of openat2(2).
    pub walk: LookupFlags,
}

/// An open file that is only a name (`O_PATH`).
pub struct PathFile(Arc<dyn Inode>);

impl PathFile {
    /// The name of `inode`.
    pub fn new(inode: Arc<dyn Inode>) -> Arc<Self> {
        Arc::new(Self(inode))
    }
}

impl File for PathFile {
    fn inode(&self) -> Arc<dyn Inode> {
        self.0.clone()
    }
    fn set_attr(&self, _attr: &SetAttr) -> Result<()> {
        Err(Error::BadDescriptor)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// What opening an inode is told of `O_APPEND`.
fn append_hint(how: &OpenRequest) -> OpenHow {
    OpenHow { append: how.flags.contains(StatusFlags::APPEND), ..OpenHow::default() }
}

impl Vfs {
    /// Opens what `path` names. `WouldBlock`: a lease stands against it; [`Vfs::leases`] tells when to try again.
    pub fn open(&self, from: &Origin<'_>, path: &[u8], how: &OpenRequest) -> Result<Arc<OpenFile>> {
        if how.flags.contains(StatusFlags::PATH) {
            let mut flags = how.walk;
            flags.set(LookupFlags::FOLLOW, how.follow);
            flags.set(LookupFlags::DIRECTORY, how.flags.contains(StatusFlags::DIRECTORY));
            let at = self.walk(from, path, flags)?;
            let file = PathFile::new(at.inode().clone());
            return Ok(OpenFile::new(file, Access::empty(), how.flags, Some(at), self.next_open_id()));
        }
        if how.flags.contains(StatusFlags::TMPFILE) {
            return self.open_temporary(from, path, how);
        }
        if !how.create {
            let mut flags = how.walk;
            flags.set(LookupFlags::FOLLOW, how.follow);
            flags.set(LookupFlags::DIRECTORY, how.flags.contains(StatusFlags::DIRECTORY));
            flags.set(LookupFlags::OPEN, how.access == Access::READ && !how.truncate);
            let at = self.walk(from, path, flags)?;
            return self.open_location(&from.creds, at, how, false);
        }
        self.open_or_create(from, path, how)
    }

    /// Opens a program that is to be executed: a regular file with the permission, not on a mount that forbids it.
    /// Reading it needs no permission of its own.
    pub fn open_program(&self, from: &Origin<'_>, path: &[u8], flags: LookupFlags) -> Result<Arc<OpenFile>> {
        let at = self.walk(from, path, flags | LookupFlags::OPEN)?;
        if at.inode().file_type() == FileType::Symlink {
            return Err(Error::Loop);
        }
        self.open_program_at(&from.creds, at)
    }

    /// As [`Vfs::open_program`], for a place that was found already.
    pub fn open_program_at(&self, creds: &Creds<'_>, at: Location) -> Result<Arc<OpenFile>> {
        if at.mount.forbids(MountFlags::NOEXEC) {
            return Err(Error::Access);
        }
        self.check_program(creds, &**at.inode(), &at.rights()?)?;
        if let Some(usage) = at.inode().usage() {
            usage.check_executable()?;
        }
        let how = OpenHow { access: Access::READ, ..OpenHow::default() };
        let file = at.inode().clone().open(&how)?;
        at.tell(WatchMask::OPEN);
        Ok(OpenFile::new(file, Access::READ, StatusFlags::empty(), Some(at), self.next_open_id()))
    }

    /// Whether the file that has this metadata may be executed; `Access` when not.
    pub fn check_program(&self, creds: &Creds<'_>, inode: &dyn Inode, metadata: &Metadata) -> Result<()> {
        if metadata.file_type() != FileType::Regular {
            return Err(Error::Access);
        }
        permission::check_inode(inode, metadata, creds, Access::EXEC)
    }

    /// `O_CREAT`: what is there, or a new file in its place.
    fn open_or_create(&self, from: &Origin<'_>, path: &[u8], how: &OpenRequest) -> Result<Arc<OpenFile>> {
        let (mut walk, mut slot) = Walk::new(self, from, how.walk).find_slot(path)?;
        loop {
            let LastComponent::Name(name) = &slot.last else {
                // `.`, `..`, `/` and magic links: something that is there.
                let at = walk.look(&slot)?;
                if how.exclusive {
                    return Err(Error::Exists);
                }
                return if at.is_directory() {
                    Err(Error::IsDirectory)
                } else {
                    self.open_location(&from.creds, at, how, false)
                };
            };
            if slot.slashes {
                return Err(Error::IsDirectory);
            }
            match walk.look(&slot) {
                Ok(at) => {
                    if how.exclusive {
                        return Err(Error::Exists);
                    }
                    if at.inode().file_type() == FileType::Symlink {
                        if !how.follow {
                            return Err(Error::Loop);
                        }
                        slot = walk.follow_last(&slot, &at)?;
                        continue;
                    }
                    return self.open_location(&from.creds, at, how, false);
                }
                Err(Error::NotFound) => match self.create_file(from, &slot, name, how) {
                    Ok(at) => return self.open_location(&from.creds, at, how, true),
                    // Somebody was faster: theirs it is.
                    Err(Error::Exists) if !how.exclusive => {}
                    Err(other) => return Err(other),
                },
                Err(other) => return Err(other),
            }
        }
    }

    fn create_file(&self, from: &Origin<'_>, slot: &NameSlot, name: &[u8], how: &OpenRequest) -> Result<Location> {
        permission::check_changeable(&slot.dir)?;
        self.make_node(from, &slot.dir, name, NewNode::Regular, how.mode, true)
    }

    /// `O_TMPFILE`: a file without a name in the file system of a directory.
    fn open_temporary(&self, from: &Origin<'_>, path: &[u8], how: &OpenRequest) -> Result<Arc<OpenFile>> {
        let dir = self.walk(from, path, how.walk | LookupFlags::FOLLOW | LookupFlags::DIRECTORY)?;
        permission::check_changeable(&dir)?;
        let metadata = dir.rights()?;
        permission::check_names(&dir, &metadata, &from.creds)?;
        let (gid, permissions) = permission::inherit(&metadata, &from.creds, FileType::Regular, how.mode & 0o7777);
        let attr = NewAttr { permissions, umask: from.umask, uid: from.creds.uid, gid, to_be_opened: true };
        let inode = dir.inode().create_unnamed(attr, !how.exclusive)?;
        let counted = Counted::begin(&inode, how.access, false)?;
        let file = inode.clone().open(&OpenHow { access: how.access, nonblocking: true, ..append_hint(how) })?;
        let at = Location { mount: dir.mount.clone(), dentry: dir.dentry.unnamed(inode) };
        Ok(OpenFile::named(file, how.access, how.flags, at, self.next_open_id(), counted))
    }

    /// Opens what lies at `at`. `new`: it was just made, its permissions do not bind its maker.
    pub fn open_location(
        &self,
        creds: &Creds<'_>,
        at: Location,
        how: &OpenRequest,
        new: bool,
    ) -> Result<Arc<OpenFile>> {
        let inode = at.inode();
        let file_type = inode.file_type();
        let writes = how.access.contains(Access::WRITE) || how.truncate;
        match file_type {
            FileType::Symlink => return Err(Error::Loop),
            FileType::Directory if writes || how.create => return Err(Error::IsDirectory),
            FileType::Directory if how.flags.contains(StatusFlags::DIRECT) => return Err(Error::Invalid),
            FileType::Socket => return Err(Error::NoSuchDevice),
            FileType::CharDevice | FileType::BlockDevice if at.mount.forbids(MountFlags::NODEV) => {
                return Err(Error::Access);
            }
            _ => {}
        }
        if !new {
            let mut wanted = how.access;
            wanted.set(Access::WRITE, writes);
            let metadata = at.rights()?;
            permission::check_inode(&**inode, &metadata, creds, wanted)?;
            if writes {
                permission::check_mount_writable(at.mount.flags(), file_type)?;
            }
            if how.flags.contains(StatusFlags::NOATIME) {
                permission::check_owner(&metadata, creds)?;
            }
        }
        self.leases.check(&**inode, writes)?;
        let counted = Counted::begin(inode, how.access, how.truncate)?;
        let open_how = OpenHow {
            access: how.access,
            truncate: how.truncate && file_type == FileType::Regular && !new,
            nonblocking: how.flags.contains(StatusFlags::NONBLOCK),
            ..append_hint(how)
        };
        let file = match inode.clone().open(&open_how) {
            // A node of a file system that knows nothing of devices.
            Err(Error::NoSuchDevice) if file_type == FileType::CharDevice => {
                self.devices.open_device(inode, at.metadata()?.rdev)?
            }
            opened => opened?,
        };
        if how.flags.contains(StatusFlags::NOATIME) {
            file.set_status(how.flags)?;
        }
        at.tell(WatchMask::OPEN);
        if open_how.truncate {
            at.tell(WatchMask::MODIFY);
        }
        Ok(OpenFile::named(file, how.access, how.flags, at, self.next_open_id(), counted))
    }
}
