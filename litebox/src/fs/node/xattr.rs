//! Extended attributes: `user.`, `trusted.` and `security.`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Attr, Node};
use crate::fs::{FileType, Inode};
use crate::{Error, Result};

/// The longest value, and the longest list of names.
const LONGEST: usize = 65_536;
const LONGEST_NAME: usize = 255;

/// What the attributes of an inode take.
pub(in crate::fs) fn bytes_of(attr: &Attr) -> usize {
    attr.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// Whether this file system keeps attributes of that name.
fn check_name(name: &[u8]) -> Result<()> {
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
    pub(in crate::fs) fn put_xattr(&self, name: &[u8], value: &[u8], create: bool, replace: bool) -> Result<()> {
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
                Some(_) if create => return Err(Error::Exists),
                None if replace => return Err(Error::NoData),
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
