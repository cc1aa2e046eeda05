//! Who may do what: the permission bits of inode(7), sticky directories, read-only mounts.

use crate::{Error, Result};

use super::{Access, Creds, FileType, Location, Metadata, MountFlags};
use crate::fs::{FileRights, Inode};

const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const GROUP_EXEC: u32 = 0o010;
const GROUP: u32 = 0o070;
const ANY_EXEC: u32 = 0o111;

/// Whether `creds` may use an inode in this way, by its permission bits; `Access` when not.
pub fn check(metadata: &Metadata, creds: &Creds<'_>, access: Access) -> Result<()> {
    if mode_allows(metadata, creds, access) || overrides(metadata, creds, access) { Ok(()) } else { Err(Error::Access) }
}

/// Whether `creds` may use the inode that has this metadata in this way: as [`check`], and as its list says (acl(5)).
pub fn check_inode(inode: &dyn Inode, metadata: &Metadata, creds: &Creds<'_>, access: Access) -> Result<()> {
    let by_mode = mode_allows(metadata, creds, access);
    // A list binds neither the owner nor, where the mask has nothing, anybody.
    if creds.uid == metadata.uid || metadata.mode & GROUP == 0 {
        return if by_mode || overrides(metadata, creds, access) { Ok(()) } else { Err(Error::Access) };
    }
    if overrides(metadata, creds, access) {
        return Ok(());
    }
    let allowed = inode.access_acl(by_mode).map_or(by_mode, |acl| acl.allows(creds, metadata, access));
    if allowed { Ok(()) } else { Err(Error::Access) }
}

fn mode_allows(metadata: &Metadata, creds: &Creds<'_>, access: Access) -> bool {
    let wanted = u32::from(access.bits());
    let granted = if creds.uid == metadata.uid {
        metadata.mode >> 6
    } else if creds.in_group(metadata.gid) {
        metadata.mode >> 3
    } else {
        metadata.mode
    };
    granted & wanted == wanted
}

/// Whether capabilities allow what permissions do not.
fn overrides(metadata: &Metadata, creds: &Creds<'_>, access: Access) -> bool {
    let is_directory = metadata.file_type() == FileType::Directory;
    let only_looks = if is_directory { !access.contains(Access::WRITE) } else { access == Access::READ };
    // Executing a file needs at least one x bit even then.
    let can_run = is_directory || !access.contains(Access::EXEC) || metadata.mode & ANY_EXEC != 0;
    let overridden = creds.may(FileRights::DAC_OVERRIDE) && can_run;
    overridden || only_looks && creds.may(FileRights::DAC_READ_SEARCH)
}

/// Passing through a directory.
pub(super) fn check_search(at: &Location, creds: &Creds<'_>) -> Result<()> {
    if creds.may_search() {
        return Ok(());
    }
    check_inode(&**at.inode(), &at.rights()?, creds, Access::EXEC)
}

/// `ReadOnly` when the mount forbids writing to what has data or names of its own there.
pub(super) fn check_mount_writable(forbidden: MountFlags, file_type: FileType) -> Result<()> {
    let stored = matches!(file_type, FileType::Regular | FileType::Directory | FileType::Symlink);
    if stored && forbidden.contains(MountFlags::RDONLY) { Err(Error::ReadOnly) } else { Ok(()) }
}

/// Whether `creds` may use a file in this way in a mount that forbids so much (access(2)).
pub(super) fn check_use(inode: &dyn Inode, forbidden: MountFlags, creds: &Creds<'_>, access: Access) -> Result<()> {
    let metadata = inode.rights()?;
    let file_type = metadata.file_type();
    let is_regular = file_type == FileType::Regular;
    if access.contains(Access::EXEC) && is_regular && forbidden.contains(MountFlags::NOEXEC) {
        return Err(Error::Access);
    }
    if access.contains(Access::WRITE) {
        check_mount_writable(forbidden, file_type)?;
    }
    check_inode(inode, &metadata, creds, access)
}

/// `ReadOnly` when nothing of the mount may change.
pub(super) fn check_changeable(at: &Location) -> Result<()> {
    if at.mount.forbids(MountFlags::RDONLY) { Err(Error::ReadOnly) } else { Ok(()) }
}

/// Whether `creds` may change what only an owner may; `NotPermitted` when not.
pub(super) fn check_owner(metadata: &Metadata, creds: &Creds<'_>) -> Result<()> {
    if creds.may(FileRights::FOWNER) || creds.uid == metadata.uid { Ok(()) } else { Err(Error::NotPermitted) }
}

/// Whether a name of `victim` may go from the directory `dir`, which `creds` may write to.
pub(super) fn check_sticky(dir: &Metadata, victim: &Metadata, creds: &Creds<'_>) -> Result<()> {
    if dir.mode & STICKY == 0 || creds.uid == victim.uid || creds.uid == dir.uid || creds.may(FileRights::FOWNER) {
        Ok(())
    } else {
        Err(Error::NotPermitted)
    }
}

/// Whether names in the directory `at`, with this metadata, may change.
pub(super) fn check_names(at: &Location, dir: &Metadata, creds: &Creds<'_>) -> Result<()> {
    check_inode(&**at.inode(), dir, creds, Access::WRITE | Access::EXEC)
}

/// Permissions as chmod(2) stores them: a group that is not the caller's loses the set-group-id bit.
pub(super) fn permissions_to_store(metadata: &Metadata, creds: &Creds<'_>, permissions: u32) -> u32 {
    let permissions = permissions & 0o7777;
    if creds.may(FileRights::FSETID) || creds.in_group(metadata.gid) {
        permissions
    } else {
        permissions & !SET_GROUP_ID
    }
}

/// Permissions after a change of owner by `creds`: the set-id bits of a file go. One that only says how the file is
/// locked stays with those who could set it.
pub(super) fn after_change(metadata: &Metadata, creds: &Creds<'_>) -> u32 {
    let keeps_group_bit = creds.may(FileRights::FSETID) || creds.in_group(metadata.gid);
    without_set_id(metadata.permissions(), keeps_group_bit)
}

/// These permissions without set-id bits.
pub(in crate::fs) fn without_set_id(permissions: u32, keeps_locking: bool) -> u32 {
    let permissions = permissions & !SET_USER_ID;
    if permissions & GROUP_EXEC == 0 && keeps_locking { permissions } else { permissions & !SET_GROUP_ID }
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
            && !creds.may(FileRights::FSETID)
            && !creds.in_group(dir.gid) =>
        {
            (dir.gid, permissions & !SET_GROUP_ID)
        }
        _ => (dir.gid, permissions),
    }
}
