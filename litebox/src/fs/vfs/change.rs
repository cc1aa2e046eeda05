//! Making, linking, removing and renaming names.

use alloc::sync::Arc;

use crate::fs::{FileRights, FileType, NewAttr, NewNode, RenameFlags};
use crate::sync::MutexGuard;
use crate::{Error, Result};

use super::walk::{LastComponent, NameSlot, Walk};
use super::{Dentry, Location, LookupFlags, NAME_MAX, Origin, Vfs, WatchMask, permission};

/// The type of what a node will be.
fn type_of(node: NewNode<'_>) -> FileType {
    match node {
        NewNode::Regular => FileType::Regular,
        NewNode::Directory => FileType::Directory,
        NewNode::Symlink(_) => FileType::Symlink,
        NewNode::Fifo => FileType::Fifo,
        NewNode::Socket => FileType::Socket,
        NewNode::CharDevice(_) => FileType::CharDevice,
        NewNode::BlockDevice(_) => FileType::BlockDevice,
    }
}

/// Both directories' names, locked in one order; the second is `None` when they are the same.
fn lock_both<'d>(one: &'d Arc<Dentry>, other: &'d Arc<Dentry>) -> (MutexGuard<'d, ()>, Option<MutexGuard<'d, ()>>) {
    if Arc::ptr_eq(one, other) {
        return (one.lock_names(), None);
    }
    if Arc::as_ptr(one) < Arc::as_ptr(other) {
        let first = one.lock_names();
        (first, Some(other.lock_names()))
    } else {
        let second = other.lock_names();
        (one.lock_names(), Some(second))
    }
}

impl Vfs {
    /// Where a new name is to be: the directory and the name. `Exists` for `.`, `..` and `/`.
    fn new_slot(&self, from: &Origin<'_>, path: &[u8]) -> Result<NameSlot> {
        let (_, slot) = Walk::new(self, from, LookupFlags::empty()).find_slot(path)?;
        if matches!(slot.last, LastComponent::Name(_)) { Ok(slot) } else { Err(Error::Exists) }
    }

    /// Makes `name` in `dir` with these permissions, before the umask; `to_be_opened`: a regular file that is opened
    /// next.
    pub(super) fn make_node(
        &self,
        from: &Origin<'_>,
        dir: &Location,
        name: &[u8],
        node: NewNode<'_>,
        permissions: u32,
        to_be_opened: bool,
    ) -> Result<Location> {
        if name.len() > NAME_MAX {
            return Err(Error::NameTooLong);
        }
        let names = dir.dentry.lock_names();
        if dir.dentry.removed() {
            return Err(Error::NotFound);
        }
        match self.child_locked(&dir.dentry, name) {
            Err(Error::NotFound) => {}
            Ok(_) => return Err(Error::Exists),
            Err(other) => return Err(other),
        }
        permission::check_changeable(dir)?;
        let metadata = dir.rights()?;
        permission::check_names(dir, &metadata, &from.creds)?;
        // The set-group-id bit is judged by what was asked for, before the umask.
        let (gid, permissions) = permission::inherit(&metadata, &from.creds, type_of(node), permissions & 0o7777);
        let umask = if matches!(node, NewNode::Symlink(_)) { 0 } else { from.umask };
        let attr = NewAttr { permissions, umask, uid: from.creds.uid, gid, to_be_opened };
        let inode = dir.inode().create(name, node, attr)?;
        let dentry = self.name_made(&dir.dentry, name, inode);
        drop(names);
        dir.tell_name(WatchMask::CREATE, name, &**dentry.inode());
        Ok(Location { mount: dir.mount.clone(), dentry })
    }

    /// mkdir(2), mknod(2), symlink(2): makes what `path` names.
    pub fn make(&self, from: &Origin<'_>, path: &[u8], node: NewNode<'_>, permissions: u32) -> Result<Location> {
        let slot = self.new_slot(from, path)?;
        let LastComponent::Name(name) = &slot.last else { return Err(Error::Exists) };
        if slot.slashes && !matches!(node, NewNode::Directory) {
            // A name that means a directory: there is one, or it cannot be made as anything else.
            return match self.child(&slot.dir.dentry, name) {
                Ok(_) => Err(Error::Exists),
                Err(_) => Err(Error::NotFound),
            };
        }
        let permissions = match node {
            NewNode::Symlink(_) => 0o777,
            _ => permissions,
        };
        if let NewNode::CharDevice(_) | NewNode::BlockDevice(_) = node {
            // What lies behind a node is decided by this kernel when it is opened (`dev::open_device`); no host
            // directory gets one.
            if !matches!(node, NewNode::CharDevice(0)) && !from.creds.may(FileRights::MKNOD) {
                return match self.child(&slot.dir.dentry, name) {
                    Ok(_) => Err(Error::Exists),
                    Err(_) => Err(Error::NotPermitted),
                };
            }
        }
        self.make_node(from, &slot.dir, name, node, permissions, false)
    }

    /// link(2): gives what lies at `target` the name `path` too.
    pub fn link(&self, from: &Origin<'_>, target: &Location, path: &[u8]) -> Result<()> {
        let slot = self.new_slot(from, path)?;
        let LastComponent::Name(name) = &slot.last else { return Err(Error::Exists) };
        if name.len() > NAME_MAX {
            return Err(Error::NameTooLong);
        }
        let dir = &slot.dir;
        let _names = dir.dentry.lock_names();
        match self.child_locked(&dir.dentry, name) {
            Err(Error::NotFound) if slot.slashes => return Err(Error::NotFound),
            Err(Error::NotFound) => {}
            Ok(_) => return Err(Error::Exists),
            Err(other) => return Err(other),
        }
        if !Arc::ptr_eq(&dir.mount, &target.mount) {
            return Err(Error::CrossDevice);
        }
        permission::check_changeable(dir)?;
        permission::check_names(dir, &dir.rights()?, &from.creds)?;
        if dir.dentry.removed() {
            return Err(Error::NotFound);
        }
        if target.is_directory() {
            return Err(Error::NotPermitted);
        }
        dir.inode().link(name, target.inode())?;
        self.name_made(&dir.dentry, name, target.inode().clone());
        dir.tell_self(WatchMask::ATTRIB, &**target.inode());
        dir.tell_name(WatchMask::CREATE, name, &**target.inode());
        Ok(())
    }

    /// What goes away under the last name of `slot`: checked to be removable by who asks.
    fn victim(&self, from: &Origin<'_>, dir: &Location, name: &[u8]) -> Result<Arc<Dentry>> {
        let dentry = self.child_locked(&dir.dentry, name)?;
        let metadata = dir.rights()?;
        permission::check_names(dir, &metadata, &from.creds)?;
        permission::check_sticky(&metadata, &dentry.inode().rights()?, &from.creds)?;
        Ok(dentry)
    }

    /// unlink(2).
    pub fn unlink(&self, from: &Origin<'_>, path: &[u8]) -> Result<()> {
        let (_, slot) = Walk::new(self, from, LookupFlags::empty()).find_slot(path)?;
        let LastComponent::Name(name) = &slot.last else { return Err(Error::IsDirectory) };
        let dir = &slot.dir;
        permission::check_changeable(dir)?;
        let names = dir.dentry.lock_names();
        if slot.slashes {
            let there = self.child_locked(&dir.dentry, name)?;
            return Err(if there.is_directory() { Error::IsDirectory } else { Error::NotDirectory });
        }
        let victim = self.victim(from, dir, name)?;
        if victim.is_directory() {
            return Err(Error::IsDirectory);
        }
        if victim.mounted() {
            return Err(Error::Busy);
        }
        dir.inode().unlink(name)?;
        victim.inode().lost_name();
        dir.dentry.name_removed(name, &victim);
        drop(names);
        dir.tell_self(WatchMask::ATTRIB, &**victim.inode());
        // Linux tells of the file before it tells of the name.
        dir.tell_if_gone(&victim);
        dir.tell_name(WatchMask::DELETE, name, &**victim.inode());
        Ok(())
    }

    /// rmdir(2).
    pub fn rmdir(&self, from: &Origin<'_>, path: &[u8]) -> Result<()> {
        let (_, slot) = Walk::new(self, from, LookupFlags::empty()).find_slot(path)?;
        let name = match &slot.last {
            LastComponent::Name(name) => name,
            LastComponent::Here => return Err(Error::Invalid),
            LastComponent::Up => return Err(Error::NotEmpty),
            LastComponent::Root => return Err(Error::Busy),
        };
        let dir = &slot.dir;
        permission::check_changeable(dir)?;
        let names = dir.dentry.lock_names();
        let victim = self.victim(from, dir, name)?;
        if !victim.is_directory() {
            return Err(Error::NotDirectory);
        }
        if victim.mounted() {
            return Err(Error::Busy);
        }
        // Nothing may be made in it from here on.
        let inside = victim.lock_names();
        dir.inode().rmdir(name)?;
        victim.inode().lost_name();
        dir.dentry.name_removed(name, &victim);
        drop(inside);
        drop(names);
        dir.tell_if_gone(&victim);
        dir.tell_name(WatchMask::DELETE, name, &**victim.inode());
        Ok(())
    }

    /// rename(2), renameat2(2).
    pub fn rename(
        &self,
        old_from: &Origin<'_>,
        old: &[u8],
        new_from: &Origin<'_>,
        new: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let (_, source) = Walk::new(self, old_from, LookupFlags::empty()).find_slot(old)?;
        let (_, target) = Walk::new(self, new_from, LookupFlags::empty()).find_slot(new)?;
        if !Arc::ptr_eq(&source.dir.mount, &target.dir.mount) {
            return Err(Error::CrossDevice);
        }
        let LastComponent::Name(old_name) = &source.last else { return Err(Error::Busy) };
        let LastComponent::Name(new_name) = &target.last else {
            return Err(if flags.contains(RenameFlags::RENAME_NOREPLACE) { Error::Exists } else { Error::Busy });
        };
        permission::check_changeable(&source.dir)?;
        let moves = Renaming { vfs: self, from: old_from, source: &source, target: &target, flags };
        let _renames = self.renames.lock();
        moves.perform(old_name, new_name)
    }
}

/// A rename whose directories are known.
struct Renaming<'a, 'o> {
    vfs: &'a Vfs,
    from: &'a Origin<'o>,
    source: &'a NameSlot,
    target: &'a NameSlot,
    flags: RenameFlags,
}

impl Renaming<'_, '_> {
    fn perform(&self, old: &[u8], new: &[u8]) -> Result<()> {
        let (old_dir, new_dir) = (&self.source.dir, &self.target.dir);
        let _names = lock_both(&old_dir.dentry, &new_dir.dentry);
        let moved = self.vfs.child_locked(&old_dir.dentry, old)?;
        let there = match self.vfs.child_locked(&new_dir.dentry, new) {
            Ok(there) => Some(there),
            Err(Error::NotFound) => None,
            Err(other) => return Err(other),
        };
        self.check_shape(&moved, there.as_ref())?;
        self.check_permission(&moved, there.as_ref())?;
        if let Some(there) = &there {
            if moved.inode().id() == there.inode().id() && !self.flags.contains(RenameFlags::RENAME_EXCHANGE) {
                // Two names of one file: nothing happens.
                return Ok(());
            }
        }
        old_dir.inode().rename(old, new_dir.inode(), new, self.flags)?;
        if let Some(there) = there.as_ref().filter(|_| !self.flags.contains(RenameFlags::RENAME_EXCHANGE)) {
            there.inode().lost_name();
        }
        self.update(old, new, &moved, there.as_ref());
        self.tell(old, new, &moved, there);
        Ok(())
    }

    /// What the names are and where they lie allows the move.
    fn check_shape(&self, moved: &Arc<Dentry>, there: Option<&Arc<Dentry>>) -> Result<()> {
        let exchange = self.flags.contains(RenameFlags::RENAME_EXCHANGE);
        if there.is_some() && self.flags.contains(RenameFlags::RENAME_NOREPLACE) {
            return Err(Error::Exists);
        }
        if there.is_none() && exchange {
            return Err(Error::NotFound);
        }
        if !moved.is_directory() {
            let new_means_directory = self.target.slashes && !exchange;
            if self.source.slashes || new_means_directory {
                return Err(Error::NotDirectory);
            }
        }
        if let Some(there) = there {
            if exchange && !there.is_directory() && self.target.slashes {
                return Err(Error::NotDirectory);
            }
        }
        // A directory does not go into itself, nor over one it lies in.
        if self.target.dir.dentry.is_below(moved) {
            return Err(Error::Invalid);
        }
        if there.is_some_and(|there| self.source.dir.dentry.is_below(there)) {
            return Err(if exchange { Error::Invalid } else { Error::NotEmpty });
        }
        Ok(())
    }

    fn check_permission(&self, moved: &Arc<Dentry>, there: Option<&Arc<Dentry>>) -> Result<()> {
        let creds = &self.from.creds;
        let (old_dir, new_dir) = (self.source.dir.rights()?, self.target.dir.rights()?);
        permission::check_names(&self.source.dir, &old_dir, creds)?;
        let moved_metadata = moved.inode().rights()?;
        permission::check_sticky(&old_dir, &moved_metadata, creds)?;
        permission::check_names(&self.target.dir, &new_dir, creds)?;
        if self.target.dir.dentry.removed() {
            return Err(Error::NotFound);
        }
        if let Some(there) = there {
            permission::check_sticky(&new_dir, &there.inode().rights()?, creds)?;
            if !self.flags.contains(RenameFlags::RENAME_EXCHANGE) {
                match (moved.is_directory(), there.is_directory()) {
                    (true, false) => return Err(Error::NotDirectory),
                    (false, true) => return Err(Error::IsDirectory),
                    _ => {}
                }
            }
        }
        // A directory that gets another parent changes its `..`.
        if moved.is_directory() && !Arc::ptr_eq(&self.source.dir.dentry, &self.target.dir.dentry) {
            permission::check_inode(&**moved.inode(), &moved_metadata, creds, crate::fs::Access::WRITE)?;
        }
        if moved.mounted() || there.is_some_and(|there| there.mounted()) {
            return Err(Error::Busy);
        }
        Ok(())
    }

    /// The names known to the tree follow.
    fn update(&self, old: &[u8], new: &[u8], moved: &Arc<Dentry>, there: Option<&Arc<Dentry>>) {
        let (old_dir, new_dir) = (&self.source.dir.dentry, &self.target.dir.dentry);
        match there {
            Some(there) if self.flags.contains(RenameFlags::RENAME_EXCHANGE) => {
                new_dir.place_at(new, moved);
                old_dir.place_at(old, there);
            }
            there => {
                if let Some(there) = there {
                    new_dir.name_removed(new, there);
                }
                old_dir.name_left(old);
                new_dir.place_at(new, moved);
            }
        }
    }

    /// Those who watch hear of it.
    fn tell(&self, old: &[u8], new: &[u8], moved: &Arc<Dentry>, there: Option<Arc<Dentry>>) {
        let (old_dir, new_dir) = (&self.source.dir, &self.target.dir);
        old_dir.tell_move(old, new_dir, new, &**moved.inode());
        let exchange = self.flags.contains(RenameFlags::RENAME_EXCHANGE);
        if let Some(there) = there.as_ref().filter(|_| !exchange) {
            old_dir.tell_self(WatchMask::ATTRIB, &**there.inode());
        }
        old_dir.tell_self(WatchMask::MOVE_SELF, &**moved.inode());
        if let Some(there) = there {
            if exchange {
                new_dir.tell_move(new, old_dir, old, &**there.inode());
                new_dir.tell_self(WatchMask::MOVE_SELF, &**there.inode());
            }
            new_dir.tell_if_gone(&there);
        }
    }
}
