//! Extended attributes: the namespaces of xattr(7) and who may use them.

use alloc::vec::Vec;

use crate::fs::acl::{Acl, AclKind};
use crate::fs::{FileRights, FileType, XattrFlags};
use crate::{Error, Result};

use super::{Access, Creds, Location, Vfs, WatchMask, permission};

/// Longest name of an attribute.
const NAME_MAX: usize = 255;
/// Longest value.
const SIZE_MAX: usize = 65_536;
const STICKY: u32 = 0o1000;
/// What a program may do more than who executes it (capabilities(7)). It goes when the file is written or gets another
/// owner.
pub(in crate::fs) const CAPABILITY: &[u8] = b"security.capability";

enum Namespace {
    User,
    Trusted,
    Security,
    /// A list of acl(5).
    List,
}

fn namespace(name: &[u8]) -> Result<Namespace> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(Error::Range);
    }
    let spaces: [(&[u8], Namespace); 3] =
        [(b"user.", Namespace::User), (b"trusted.", Namespace::Trusted), (b"security.", Namespace::Security)];
    for (prefix, space) in spaces {
        if let Some(rest) = name.strip_prefix(prefix) {
            return if rest.is_empty() { Err(Error::Invalid) } else { Ok(space) };
        }
    }
    AclKind::of(name).map(|_| Namespace::List).ok_or(Error::NotSupported)
}

/// Whether `creds` may read (or, with `write`, change) the attribute.
fn check(creds: &Creds<'_>, at: &Location, name: &[u8], write: bool) -> Result<()> {
    let denied = denied(write);
    if write {
        permission::check_changeable(at)?;
    }
    match namespace(name)? {
        Namespace::Trusted => {
            if !creds.may(FileRights::DAC_OVERRIDE) {
                return Err(denied);
            }
        }
        Namespace::Security => {
            let needed = if name == CAPABILITY { FileRights::SETFCAP } else { FileRights::DAC_OVERRIDE };
            if write && !creds.may(needed) {
                return Err(denied);
            }
        }
        Namespace::User => {
            let metadata = at.metadata()?;
            match metadata.file_type() {
                FileType::Regular => {}
                FileType::Directory => {
                    if write && metadata.mode & STICKY != 0 {
                        permission::check_owner(&metadata, creds)?;
                    }
                }
                _ => return Err(denied),
            }
            let access = if write { Access::WRITE } else { Access::READ };
            permission::check_inode(&**at.inode(), &metadata, creds, access)?;
        }
        // Everybody may read it.
        Namespace::List if at.inode().file_type() == FileType::Symlink => return Err(Error::NotSupported),
        Namespace::List => {}
    }
    Ok(())
}

/// Sets a list of acl(5), or takes it away.
fn set_acl(creds: &Creds<'_>, at: &Location, kind: AclKind, acl: Option<Acl>) -> Result<()> {
    let metadata = at.rights()?;
    match metadata.file_type() {
        FileType::Symlink => return Err(Error::NotSupported),
        FileType::Directory => {}
        _ if kind == AclKind::Default => return if acl.is_some() { Err(Error::Access) } else { Ok(()) },
        _ => {}
    }
    permission::check_owner(&metadata, creds)?;
    acl.as_ref().map_or(Ok(()), Acl::check)?;
    let keeps_group_id = creds.may(FileRights::FSETID) || creds.in_group(metadata.gid);
    at.inode().set_acl(kind, acl, keeps_group_id)?;
    at.tell(WatchMask::ATTRIB);
    Ok(())
}

/// Whether a value says which capabilities a program has (`struct vfs_cap_data` or `vfs_ns_cap_data`).
fn is_capability(value: &[u8]) -> bool {
    const REVISION: u32 = 0xff00_0000;
    let revision = value.first_chunk().map(|head| u32::from_le_bytes(*head) & REVISION);
    matches!((revision, value.len()), (Some(0x0200_0000), 20) | (Some(0x0300_0000), 24))
}

/// How reading or changing an attribute fails that the caller has no right to.
fn denied(write: bool) -> Error {
    if write { Error::NotPermitted } else { Error::NoData }
}

impl Vfs {
    /// Why a file without a name (a pipe, a socket) has no such attribute: it has none at all, but who asks for one
    /// that it may not have, or that only files and directories have, is told so first.
    pub fn nameless_xattr(creds: &Creds<'_>, name: &[u8], write: bool) -> Error {
        match namespace(name) {
            Err(error) => error,
            Ok(Namespace::User) => denied(write),
            Ok(Namespace::Trusted) if !creds.may(FileRights::DAC_OVERRIDE) => denied(write),
            Ok(Namespace::Trusted | Namespace::Security | Namespace::List) => Error::NotSupported,
        }
    }
    /// Value of an attribute.
    pub fn get_xattr(&self, creds: &Creds<'_>, at: &Location, name: &[u8]) -> Result<Vec<u8>> {
        check(creds, at, name, false)?;
        at.inode().get_xattr(name)
    }
    /// Sets an attribute.
    pub fn set_xattr(
        &self,
        creds: &Creds<'_>,
        at: &Location,
        name: &[u8],
        value: &[u8],
        how: XattrFlags,
    ) -> Result<()> {
        if value.len() > SIZE_MAX {
            return Err(Error::TooBig);
        }
        if let Some(kind) = AclKind::of(name) {
            permission::check_changeable(at)?;
            return set_acl(creds, at, kind, Acl::from_xattr(value)?);
        }
        if name == CAPABILITY && !is_capability(value) {
            return Err(Error::Invalid);
        }
        check(creds, at, name, true)?;
        at.inode().set_xattr(name, value, how)?;
        at.tell(WatchMask::ATTRIB);
        Ok(())
    }
    /// Names of attributes, each ended by a zero byte; `trusted.` ones only for the superuser.
    pub fn list_xattr(&self, creds: &Creds<'_>, at: &Location) -> Result<Vec<u8>> {
        let mut names = at.inode().list_xattr()?;
        if !creds.may(FileRights::DAC_OVERRIDE) {
            let shown = |name: &&[u8]| !name.starts_with(b"trusted.");
            names = names.split_inclusive(|&b| b == 0).filter(shown).flatten().copied().collect();
        }
        Ok(names)
    }
    /// Removes an attribute.
    pub fn remove_xattr(&self, creds: &Creds<'_>, at: &Location, name: &[u8]) -> Result<()> {
        if let Some(kind) = AclKind::of(name) {
            permission::check_changeable(at)?;
            return set_acl(creds, at, kind, None);
        }
        check(creds, at, name, true)?;
        at.inode().remove_xattr(name)?;
        at.tell(WatchMask::ATTRIB);
        Ok(())
    }
}
