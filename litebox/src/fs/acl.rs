//! POSIX access control lists, acl(5): who may use a file beyond its owner, its group and all others.
//!
//! A list is kept as the value of its extended attribute: a version and, for each entry, a tag, permissions and an id,
//! all little-endian (`linux/posix_acl_xattr.h`). So it goes wherever attributes go: to the upper half of an overlay,
//! into a layer, to a volume of the host. It is looked at in that form.

use alloc::vec::Vec;

use super::{Access, Creds, Metadata};
use crate::{Error, Result};

const VERSION: u32 = 2;
const HEADER: usize = 4;
const ENTRY: usize = 8;
/// An id that is none.
const NO_ID: u32 = u32::MAX;
/// The permission bits of a file's mode.
const MODE: u32 = 0o777;

mod tag {
    pub const USER_OBJ: u16 = 0x01;
    pub const USER: u16 = 0x02;
    pub const GROUP_OBJ: u16 = 0x04;
    pub const GROUP: u16 = 0x08;
    pub const MASK: u16 = 0x10;
    pub const OTHER: u16 = 0x20;
}

/// Which list of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AclKind {
    /// Who may use it.
    Access,
    /// What is made in this directory begins with it.
    Default,
}

impl AclKind {
    /// The attribute that keeps it.
    pub const fn name(self) -> &'static [u8] {
        match self {
            Self::Access => b"system.posix_acl_access",
            Self::Default => b"system.posix_acl_default",
        }
    }
    /// The list that an attribute keeps.
    pub fn of(name: &[u8]) -> Option<Self> {
        [Self::Access, Self::Default].into_iter().find(|kind| kind.name() == name)
    }
}

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    tag: u16,
    permissions: u16,
    id: u32,
}

impl Entry {
    fn from_bytes(raw: &[u8]) -> Option<Self> {
        let half = |at: usize| raw.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
        let id = raw.get(4..8)?.try_into().ok().map(u32::from_le_bytes)?;
        Some(Self { tag: half(0)?, permissions: half(2)?, id })
    }
    fn allows(self, wanted: u32) -> bool {
        u32::from(self.permissions) & wanted == wanted
    }
}

/// A list, as its attribute has it. Each entry has a tag that there is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acl(Vec<u8>);

impl Acl {
    /// The list of an attribute; `None`: it says that there is none. `Invalid` for what is no list, `NotSupported` for
    /// one of another version.
    pub fn from_xattr(value: &[u8]) -> Result<Option<Self>> {
        if value.is_empty() {
            return Ok(None);
        }
        let (version, entries) = value.split_at_checked(HEADER).ok_or(Error::Invalid)?;
        if version != VERSION.to_le_bytes() {
            return Err(Error::NotSupported);
        }
        if entries.len() % ENTRY != 0 {
            return Err(Error::Invalid);
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let acl = Self(value.to_vec());
        let known = |entry: Entry| match entry.tag {
            tag::USER_OBJ | tag::GROUP_OBJ | tag::MASK | tag::OTHER => true,
            tag::USER | tag::GROUP => entry.id != NO_ID,
            _ => false,
        };
        if acl.entries().all(known) { Ok(Some(acl)) } else { Err(Error::Invalid) }
    }
    /// The value of its attribute.
    pub fn as_xattr(&self) -> &[u8] {
        &self.0
    }
    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.0.get(HEADER..).unwrap_or_default().chunks_exact(ENTRY).filter_map(Entry::from_bytes)
    }
    /// Gives each entry the permissions that `change` says.
    fn change(&mut self, mut change: impl FnMut(Entry) -> u16) {
        for raw in self.0.get_mut(HEADER..).unwrap_or_default().chunks_exact_mut(ENTRY) {
            let Some(entry) = Entry::from_bytes(raw) else { continue };
            if let Some(place) = raw.get_mut(2..4) {
                place.copy_from_slice(&change(entry).to_le_bytes());
            }
        }
    }
    fn has_mask(&self) -> bool {
        self.entries().any(|entry| entry.tag == tag::MASK)
    }
    /// Whether the entries are complete and in order: owner, users, group, groups, mask, others; with a mask when there
    /// are users or groups. `Invalid` when not.
    pub fn check(&self) -> Result<()> {
        let mut last = 0;
        let (mut named, mut masked) = (false, false);
        for entry in self.entries() {
            let follows = match entry.tag {
                tag::USER_OBJ => last == 0,
                tag::USER | tag::GROUP_OBJ => matches!(last, tag::USER_OBJ | tag::USER),
                tag::GROUP | tag::MASK => matches!(last, tag::GROUP_OBJ | tag::GROUP),
                _ => last == tag::MASK || matches!(last, tag::GROUP_OBJ | tag::GROUP) && !named,
            };
            if !follows || entry.permissions > 7 {
                return Err(Error::Invalid);
            }
            named |= matches!(entry.tag, tag::USER | tag::GROUP);
            masked |= entry.tag == tag::MASK;
            last = entry.tag;
        }
        if last == tag::OTHER && (masked || !named) { Ok(()) } else { Err(Error::Invalid) }
    }
    /// The permission bits that say the same as far as they can, and whether they say all of it. The bits of the group
    /// are the mask, where there is one.
    pub fn mode(&self) -> (u32, bool) {
        let mask = self.entries().find(|entry| entry.tag == tag::MASK);
        let bits = |of: u16| self.entries().find(|entry| entry.tag == of).map_or(0, |e| u32::from(e.permissions) & 7);
        let group = mask.map_or_else(|| bits(tag::GROUP_OBJ), |mask| u32::from(mask.permissions) & 7);
        let simple = |entry: Entry| matches!(entry.tag, tag::USER_OBJ | tag::GROUP_OBJ | tag::OTHER);
        (bits(tag::USER_OBJ) << 6 | group << 3 | bits(tag::OTHER), self.entries().all(simple))
    }
    /// chmod(2): the entries say what the permission bits say from now on.
    pub fn set_mode(&mut self, mode: u32) {
        let has_mask = self.has_mask();
        self.change(|entry| match entry.tag {
            tag::USER_OBJ => (mode >> 6 & 7) as u16,
            tag::MASK => (mode >> 3 & 7) as u16,
            tag::GROUP_OBJ if !has_mask => (mode >> 3 & 7) as u16,
            tag::OTHER => (mode & 7) as u16,
            _ => entry.permissions,
        });
    }
    /// The list and the permissions of what is made with `permissions` in a directory that has this one as default.
    /// The list is `None` where the permissions say it all.
    pub fn inherited(&self, permissions: u32) -> (Option<Self>, u32) {
        let mut acl = self.clone();
        let has_mask = acl.has_mask();
        acl.change(|entry| {
            let most = match entry.tag {
                tag::USER_OBJ => permissions >> 6,
                tag::MASK => permissions >> 3,
                tag::GROUP_OBJ if !has_mask => permissions >> 3,
                tag::OTHER => permissions,
                _ => 7,
            };
            entry.permissions & (most & 7) as u16
        });
        let (mode, says_all) = acl.mode();
        ((!says_all).then_some(acl), permissions & !MODE | mode & permissions)
    }
    /// Whether somebody who is not the owner may use the file in this way: as a named user or by one of the groups,
    /// both no more than the mask allows, else as all others.
    pub fn allows(&self, creds: &Creds<'_>, metadata: &Metadata, access: Access) -> bool {
        let wanted = u32::from(access.bits());
        let mask = self.entries().find(|entry| entry.tag == tag::MASK);
        let masked = |entry: Entry| entry.allows(wanted) && mask.is_none_or(|mask| mask.allows(wanted));
        let mut in_group = false;
        for entry in self.entries() {
            match entry.tag {
                tag::USER if entry.id == creds.uid => return masked(entry),
                tag::GROUP_OBJ | tag::GROUP => {
                    let group = if entry.tag == tag::GROUP { entry.id } else { metadata.gid };
                    if creds.in_group(group) {
                        in_group = true;
                        if entry.allows(wanted) {
                            return masked(entry);
                        }
                    }
                }
                tag::OTHER => return !in_group && entry.allows(wanted),
                _ => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(permissions.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }
    fn list(entries: &[(u16, u16, u32)]) -> Acl {
        Acl::from_xattr(&raw(entries)).ok().flatten().unwrap_or(Acl(Vec::new()))
    }
    const NAMED: [(u16, u16, u32); 5] = [
        (tag::USER_OBJ, 7, NO_ID),
        (tag::USER, 6, 5),
        (tag::GROUP_OBJ, 5, NO_ID),
        (tag::MASK, 7, NO_ID),
        (tag::OTHER, 4, NO_ID),
    ];

    #[test]
    fn what_is_no_list_is_refused() {
        assert_eq!(Acl::from_xattr(b""), Ok(None));
        assert_eq!(Acl::from_xattr(&raw(&[])), Ok(None));
        assert_eq!(Acl::from_xattr(&[2, 0]), Err(Error::Invalid));
        assert_eq!(Acl::from_xattr(&[3, 0, 0, 0]), Err(Error::NotSupported));
        assert_eq!(Acl::from_xattr(&raw(&NAMED)[..43]), Err(Error::Invalid));
        assert_eq!(Acl::from_xattr(&raw(&[(0x40, 7, 0)])), Err(Error::Invalid));
        assert_eq!(Acl::from_xattr(&raw(&[(tag::USER, 7, NO_ID)])), Err(Error::Invalid));
    }
    #[test]
    fn entries_are_complete_and_in_order() {
        assert_eq!(list(&NAMED).check(), Ok(()));
        for left_out in [0, 2, 3, 4] {
            let mut entries = NAMED.to_vec();
            entries.remove(left_out);
            assert_eq!(list(&entries).check(), Err(Error::Invalid), "without {left_out}");
        }
        for first in 0..4 {
            let mut entries = NAMED;
            entries.swap(first, first + 1);
            assert_eq!(list(&entries).check(), Err(Error::Invalid), "swapped {first}");
        }
        let mut entries = NAMED;
        entries[1].1 = 8;
        assert_eq!(list(&entries).check(), Err(Error::Invalid));
    }
    #[test]
    fn a_list_and_its_permission_bits_go_together() {
        let mut acl = list(&NAMED);
        assert_eq!(acl.mode(), (0o774, false));
        acl.set_mode(0o640);
        assert_eq!(acl.mode(), (0o640, false));
        assert_eq!(acl.entries().nth(2).map(|entry| entry.permissions), Some(5));
        let (inherited, mode) = acl.inherited(0o1666);
        assert_eq!((inherited.map(|acl| acl.mode()), mode), (Some((0o640, false)), 0o1640));
        let simple = list(&[NAMED[0], NAMED[2], NAMED[4]]);
        assert_eq!(simple.inherited(0o640), (None, 0o640));
    }
}
