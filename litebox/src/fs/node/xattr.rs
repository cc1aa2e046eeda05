//! Extended attributes: `user.`, `trusted.`, `security.`, and the lists of acl(5), which `system.` has.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Attr, Node};
use crate::fs::acl::{Acl, AclKind};
use crate::fs::{FileType, Inode, NewAttr, NewNode, XattrFlags};
use crate::{Error, Result};

/// The longest value, and the longest list of names.
const LONGEST: usize = 65_536;
const LONGEST_NAME: usize = 255;

/// What the attributes of an inode take.
pub(in crate::fs) fn bytes_of(attr: &Attr) -> usize {
    attr.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum()
}

impl Attr {
    fn acl(&self, kind: AclKind) -> Option<Acl> {
        if self.xattrs.is_empty() {
            return None;
        }
        Acl::from_xattr(self.xattrs.get(kind.name())?).ok()?
    }
    /// chmod(2): the bits, and the list that says the same.
    pub(in crate::fs) fn set_permissions(&mut self, permissions: u32) {
        self.permissions = permissions & 0o7777;
        if let Some(mut acl) = self.acl(AclKind::Access) {
            acl.set_mode(permissions);
            self.xattrs.insert(Box::from(AclKind::Access.name()), Box::from(acl.as_xattr()));
        }
    }
}

/// Whether this file system keeps attributes of that name.
fn check_name(name: &[u8]) -> Result<()> {
    if AclKind::of(name).is_some() {
        return Ok(());
    }
    let prefixes: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    let rest = prefixes.iter().find_map(|prefix| name.strip_prefix(*prefix)).ok_or(Error::NotSupported)?;
    if rest.is_empty() {
        return Err(Error::Invalid);
    }
    if name.len() > LONGEST_NAME { Err(Error::Range) } else { Ok(()) }
}

impl Node {
    /// Only files and directories have `user.` attributes.
    fn has_user_xattrs(&self) -> bool {
        matches!(self.kind(), FileType::Regular | FileType::Directory)
    }
    fn is_foreign(&self, name: &[u8]) -> bool {
        name.starts_with(b"user.") && !self.has_user_xattrs()
    }
    pub(in crate::fs) fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        check_name(name)?;
        if self.is_foreign(name) {
            return Err(Error::NoData);
        }
        let own = self.attr.lock().as_ref().map(|attr| attr.xattrs.get(name).map(|value| value.to_vec()));
        match (own, &self.lower) {
            (Some(value), _) => value.ok_or(Error::NoData),
            (None, Some(lower)) => match lower.get_xattr(name) {
                Err(Error::NotSupported) => Err(Error::NoData),
                outcome => outcome,
            },
            (None, None) => Err(Error::NoData),
        }
    }
    pub(in crate::fs) fn put_xattr(&self, name: &[u8], value: &[u8], how: XattrFlags) -> Result<()> {
        check_name(name)?;
        if self.is_foreign(name) {
            return Err(Error::NotPermitted);
        }
        if value.len() > LONGEST {
            return Err(Error::TooBig);
        }
        self.change(|attr| {
            let old = attr.xattrs.get(name).map(|value| value.len());
            match old {
                Some(_) if how.contains(XattrFlags::XATTR_CREATE) => return Err(Error::Exists),
                None if how.contains(XattrFlags::XATTR_REPLACE) => return Err(Error::NoData),
                None if attr.xattrs.keys().map(|n| n.len() + 1).sum::<usize>() + name.len() >= LONGEST => {
                    return Err(Error::NoSpace);
                }
                _ => {}
            }
            self.tree.charge_extra(name.len() + value.len())?;
            if let Some(old) = old {
                self.tree.refund_extra(name.len() + old);
            }
            attr.xattrs.insert(Box::from(name), Box::from(value));
            attr.ctime = crate::fs::Time::now();
            Ok(())
        })
    }
    pub(in crate::fs) fn xattr_names(&self) -> Result<Vec<u8>> {
        let own = self.attr.lock().as_ref().map(|attr| {
            let mut names = Vec::new();
            for name in attr.xattrs.keys() {
                names.extend_from_slice(name);
                names.push(0);
            }
            names
        });
        match (own, &self.lower) {
            (Some(names), _) => Ok(names),
            (None, Some(lower)) => lower.list_xattr(),
            (None, None) => Ok(Vec::new()),
        }
    }
    pub(in crate::fs) fn drop_xattr(&self, name: &[u8]) -> Result<()> {
        check_name(name)?;
        if self.is_foreign(name) {
            return Err(Error::NotPermitted);
        }
        self.change(|attr| {
            let old = attr.xattrs.remove(name).ok_or(Error::NoData)?;
            self.tree.refund_extra(name.len() + old.len());
            attr.ctime = crate::fs::Time::now();
            Ok(())
        })
    }
    /// A list of acl(5).
    pub(in crate::fs) fn acl(&self, kind: AclKind, mode_allows: bool) -> Option<Acl> {
        match (&*self.attr.lock(), &self.lower) {
            (Some(attr), _) => attr.acl(kind),
            (None, Some(lower)) if kind == AclKind::Access => lower.access_acl(mode_allows),
            (None, Some(lower)) => Acl::from_xattr(&lower.get_xattr(kind.name()).ok()?).ok()?,
            (None, None) => None,
        }
    }
    pub(in crate::fs) fn put_acl(&self, kind: AclKind, acl: Option<Acl>, keeps_group_id: bool) -> Result<()> {
        self.change(|attr| {
            let mut permissions = attr.permissions;
            let mut kept = acl;
            if let (AclKind::Access, Some(acl)) = (kind, &kept) {
                let (mode, says_all) = acl.mode();
                permissions = permissions & !0o777 | mode;
                if !keeps_group_id {
                    permissions &= !0o2000;
                }
                if says_all {
                    kept = None;
                }
            }
            let old = attr.xattrs.get(kind.name()).map(|value| kind.name().len() + value.len());
            let new = kept.as_ref().map(|acl| kind.name().len() + acl.as_xattr().len());
            self.tree.charge_extra(new.unwrap_or(0))?;
            self.tree.refund_extra(old.unwrap_or(0));
            match kept {
                Some(acl) => drop(attr.xattrs.insert(Box::from(kind.name()), Box::from(acl.as_xattr()))),
                None => drop(attr.xattrs.remove(kind.name())),
            }
            attr.permissions = permissions;
            attr.ctime = crate::fs::Time::now();
            Ok(())
        })
    }
    /// Permissions and lists of what is made in this directory.
    pub(in crate::fs) fn inherited(&self, node: NewNode<'_>, given: NewAttr) -> Result<Attr> {
        let default = match node {
            NewNode::Symlink(_) => None,
            _ => self.acl(AclKind::Default, true),
        };
        let mut attr = Attr::new(given, 1, 0);
        let Some(default) = default else {
            attr.permissions &= !given.umask;
            return Ok(attr);
        };
        let (access, permissions) = default.inherited(attr.permissions);
        attr.permissions = permissions;
        if let Some(access) = access {
            attr.xattrs.insert(Box::from(AclKind::Access.name()), Box::from(access.as_xattr()));
        }
        if matches!(node, NewNode::Directory) {
            attr.xattrs.insert(Box::from(AclKind::Default.name()), Box::from(default.as_xattr()));
        }
        self.tree.charge_extra(bytes_of(&attr))?;
        Ok(attr)
    }
    /// Attributes that are not used after all.
    pub(in crate::fs) fn refund_xattrs(&self, attr: Option<&Attr>) {
        self.tree.refund_extra(attr.map_or(0, bytes_of));
    }
    /// The lower inode's attributes, when this one gets its own.
    pub(in crate::fs) fn lower_xattrs(&self, lower: &dyn Inode, attr: &mut Attr) -> Result<()> {
        let Ok(names) = lower.list_xattr() else { return Ok(()) };
        for name in names.split(|b| *b == 0).filter(|name| check_name(name).is_ok()) {
            if let Ok(value) = lower.get_xattr(name) {
                if let Err(error) = self.tree.charge_extra(name.len() + value.len()) {
                    self.refund_xattrs(Some(attr));
                    return Err(error);
                }
                attr.xattrs.insert(Box::from(name), value.into_boxed_slice());
            }
        }
        Ok(())
    }
}
