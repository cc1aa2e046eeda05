//! Changing metadata: who may, and what else changes with it.

use crate::fs::{FileRights, FileType, SetAttr, SetTime, Time};
use crate::{Error, Result};

use super::xattr::CAPABILITY;
use super::{Access, Creds, Location, Metadata, Vfs, WatchMask, permission};

/// A new timestamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewTime {
    /// It stays (`UTIME_OMIT`).
    Keep,
    /// The present (`UTIME_NOW`).
    Now,
    /// This one.
    At(Time),
}

impl NewTime {
    fn value(self) -> Option<SetTime> {
        match self {
            Self::Keep => None,
            Self::Now => Some(SetTime::Now),
            Self::At(time) => Some(SetTime::At(time)),
        }
    }
}

/// What chmod(2) changes, after its checks.
pub fn permissions_change(creds: &Creds<'_>, metadata: &Metadata, permissions: u32) -> Result<SetAttr> {
    permission::check_owner(metadata, creds)?;
    let permissions = permission::permissions_to_store(metadata, creds, permissions);
    Ok(SetAttr { permissions: Some(permissions), ..SetAttr::default() })
}

/// What chown(2) changes, after its checks.
pub fn owner_change(creds: &Creds<'_>, metadata: &Metadata, uid: Option<u32>, gid: Option<u32>) -> Result<SetAttr> {
    if !creds.may(FileRights::CHOWN) {
        let keeps_user = uid.is_none_or(|uid| uid == metadata.uid);
        let own_group = gid.is_none_or(|gid| gid == metadata.gid || creds.in_group(gid));
        let changes = uid.is_some() || gid.is_some();
        if !keeps_user || !own_group || (changes && creds.uid != metadata.uid) {
            return Err(Error::NotPermitted);
        }
    }
    let mut change = SetAttr { uid, gid, ..SetAttr::default() };
    if metadata.file_type() != FileType::Directory {
        let permissions = permission::after_change(metadata, creds);
        change.permissions = (permissions != metadata.permissions()).then_some(permissions);
    }
    Ok(change)
}

/// What utimensat(2) changes, after its checks; `None`: nothing. `may_write` says whether `creds` may write the file,
/// or how not.
pub fn times_change(
    creds: &Creds<'_>,
    metadata: &Metadata,
    (atime, mtime): (NewTime, NewTime),
    may_write: impl FnOnce() -> Result<()>,
) -> Result<Option<SetAttr>> {
    match (atime, mtime) {
        (NewTime::Keep, NewTime::Keep) => return Ok(None),
        // Whoever may write may touch.
        (NewTime::Now, NewTime::Now) => {
            if permission::check_owner(metadata, creds).is_err() {
                may_write()?;
            }
        }
        _ => permission::check_owner(metadata, creds)?,
    }
    Ok(Some(SetAttr { atime: atime.value(), mtime: mtime.value(), ..SetAttr::default() }))
}

impl Vfs {
    /// chmod(2).
    pub fn set_permissions(&self, creds: &Creds<'_>, at: &Location, permissions: u32) -> Result<()> {
        permission::check_changeable(at)?;
        if at.inode().file_type() == FileType::Symlink {
            return Err(Error::NotSupported);
        }
        let change = permissions_change(creds, &at.rights()?, permissions)?;
        at.inode().set_attr(&change)?;
        at.tell(WatchMask::ATTRIB);
        Ok(())
    }
    /// chown(2); `None` stays.
    pub fn set_owner(&self, creds: &Creds<'_>, at: &Location, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        permission::check_changeable(at)?;
        let change = owner_change(creds, &at.rights()?, uid, gid)?;
        at.inode().set_attr(&change)?;
        if !at.is_directory() {
            // Most files have none.
            let _ = at.inode().remove_xattr(CAPABILITY);
        }
        at.tell(WatchMask::ATTRIB);
        Ok(())
    }
    /// utimensat(2).
    pub fn set_times(&self, creds: &Creds<'_>, at: &Location, atime: NewTime, mtime: NewTime) -> Result<()> {
        if (atime, mtime) == (NewTime::Keep, NewTime::Keep) {
            return Ok(());
        }
        permission::check_changeable(at)?;
        let rights = at.rights()?;
        let may_write = || permission::check_inode(&**at.inode(), &rights, creds, Access::WRITE);
        match times_change(creds, &rights, (atime, mtime), may_write)? {
            Some(change) => {
                at.inode().set_attr(&change)?;
                at.tell(match (change.atime, change.mtime) {
                    (Some(_), None) => WatchMask::ACCESS,
                    (None, Some(_)) => WatchMask::MODIFY,
                    _ => WatchMask::ATTRIB,
                });
                Ok(())
            }
            None => Ok(()),
        }
    }
    /// truncate(2).
    pub fn truncate(&self, creds: &Creds<'_>, at: &Location, size: u64) -> Result<()> {
        match at.inode().file_type() {
            FileType::Regular => {}
            FileType::Directory => return Err(Error::IsDirectory),
            _ => return Err(Error::Invalid),
        }
        permission::check_changeable(at)?;
        permission::check_inode(&**at.inode(), &at.rights()?, creds, Access::WRITE)?;
        if let Some(usage) = at.inode().usage() {
            usage.check_changeable()?;
        }
        self.leases.check(&**at.inode(), true)?;
        at.inode().set_attr(&SetAttr { size: Some(size), ..SetAttr::default() })?;
        at.tell(WatchMask::MODIFY);
        Ok(())
    }
}
