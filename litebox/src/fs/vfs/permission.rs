//! Who may do what: the permission bits of inode(7), sticky directories, read-only mounts.

use crate::{Error, Result};

use super::{Access, Creds, FileType, Location, Metadata, MountFlags};

const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const GROUP_EXEC: u32 = 0o010;
const ANY_EXEC: u32 = 0o111;

/// Whether `creds` may use an inode in this way; `Access` when not.
pub fn check(metadata: &Metadata, creds: &Creds<'_>, access: Access) -> Result<()> {
    let wanted = u32::from(access.bits());
    if creds.privileged() {
        // Executing a file needs at least one x bit even then.
        let runs = access.contains(Access::EXEC) && metadata.file_type() != FileType::Directory;
        return if runs && metadata.mode & ANY_EXEC == 0 { Err(Error::Access) } else { Ok(()) };
    }
    let granted = if creds.uid == metadata.uid {
        metadata.mode >> 6
    } else if creds.in_group(metadata.gid) {
        metadata.mode >> 3
    } else {
        metadata.mode
    };
    if granted & wanted == wanted { Ok(()) } else { Err(Error::Access) }
}

/// Passing through a directory.
pub(super) fn check_search(at: &Location, creds: &Creds<'_>) -> Result<()> {
    if creds.privileged() {
        return Ok(());
    }
    check(&at.metadata()?, creds, Access::EXEC)
}

/// `ReadOnly` when the mount forbids writing to what has data or names of its own there.
pub(super) fn check_mount_writable(at: &Location, file_type: FileType) -> Result<()> {
    let stored = matches!(file_type, FileType::Regular | FileType::Directory | FileType::Symlink);
    if stored { check_changeable(at) } else { Ok(()) }
}

/// `ReadOnly` when nothing of the mount may change.
pub(super) fn check_changeable(at: &Location) -> Result<()> {
    if at.mount.forbids(MountFlags::RDONLY) { Err(Error::ReadOnly) } else { Ok(()) }
}

/// Whether `creds` may change what only an owner may; `NotPermitted` when not.
pub(super) fn check_owner(metadata: &Metadata, creds: &Creds<'_>) -> Result<()> {
    if creds.privileged() || creds.uid == metadata.uid { Ok(()) } else { Err(Error::NotPermitted) }
}

/// Whether a name of `victim` may go from the directory `dir`, which `creds` may write to.
pub(super) fn check_sticky(dir: &Metadata, victim: &Metadata, creds: &Creds<'_>) -> Result<()> {
    if dir.mode & STICKY == 0 || creds.uid == victim.uid || creds.uid == dir.uid || creds.privileged() {
        Ok(())
    } else {
        Err(Error::NotPermitted)
    }
}

/// Whether names in the directory with this metadata may change.
pub(super) fn check_names(dir: &Metadata, creds: &Creds<'_>) -> Result<()> {
    check(dir, creds, Access::WRITE | Access::EXEC)
}

/// Permissions as chmod(2) stores them: a group that is not the caller's loses the set-group-id bit.
pub(super) fn permissions_to_store(metadata: &Metadata, creds: &Creds<'_>, permissions: u32) -> u32 {
    let permissions = permissions & 0o7777;
    if creds.privileged() || creds.in_group(metadata.gid) { permissions } else { permissions & !SET_GROUP_ID }
}

/// Permissions after a change of owner or data by somebody: the set-id bits of a file go.
pub(super) fn without_set_id(metadata: &Metadata) -> u32 {
    let mut permissions = metadata.permissions() & !SET_USER_ID;
    if permissions & GROUP_EXEC != 0 {
        permissions &= !SET_GROUP_ID;
    }
    permissions
}

/// Group and permissions of something new in the directory with this metadata.
pub(super) fn inherit(dir: &Metadata, creds: &Creds<'_>, file_type: FileType, permissions: u32) -> (u32, u32) {
    if dir.mode & SET_GROUP_ID == 0 {
        return (creds.gid, permissions);
    }
    match file_type {
        FileType::Directory => (dir.gid, permissions | SET_GROUP_ID),
        _ if permissions & SET_GROUP_ID != 0
            && permissions & GROUP_EXEC != 0
            && !creds.privileged()
            && !creds.in_group(dir.gid) =>
        {
            (dir.gid, permissions & !SET_GROUP_ID)
        }
        _ => (dir.gid, permissions),
    }
}
