//! File systems at places of the tree.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::{Error, Result};

use super::{Dentry, FileSystem, Location, Vfs, Watches};

bitflags::bitflags! {
    /// What a mount forbids, with the numbers of mount(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MountFlags: u32 {
        /// Changes.
        const RDONLY = 1;
        /// Set-user-id bits.
        const NOSUID = 2;
        /// Device nodes.
        const NODEV = 4;
        /// Executing.
        const NOEXEC = 8;
        /// Updates of access times.
        const NOATIME = 1024;
        /// Access times are updated when they are older than the last change.
        const RELATIME = 1 << 21;
    }
}

/// A file system at a place in the tree.
pub struct Mount {
    /// Number, as in /proc/PID/mountinfo.
    pub id: u32,
    /// What is mounted.
    pub fs: Arc<dyn FileSystem>,
    /// Root of the mounted tree.
    pub root: Arc<Dentry>,
    /// What it forbids: bits of [`MountFlags`].
    flags: AtomicU32,
    /// Where it comes from, as the first column of /proc/mounts.
    pub source: Vec<u8>,
    /// Where it is mounted; `None` for the root of the tree.
    at: Option<Location>,
    /// Who watches files; the same for all mounts.
    pub(in crate::fs) watches: Arc<Watches>,
}

impl Mount {
    pub(super) fn root(fs: Arc<dyn FileSystem>, flags: MountFlags, watches: &Arc<Watches>) -> Arc<Self> {
        let (root, source) = (Dentry::root(fs.root()), fs.type_name().as_bytes().to_vec());
        let flags = AtomicU32::new(flags.bits());
        Arc::new(Self { id: 1, fs, root, flags, source, at: None, watches: watches.clone() })
    }
    /// Where it is mounted; `None` for the root of the tree.
    pub fn at(&self) -> Option<Location> {
        self.at.clone()
    }
    /// Whether it forbids any of `flags`.
    pub fn forbids(&self, flags: MountFlags) -> bool {
        self.flags().intersects(flags)
    }
    /// All that it forbids.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }
    /// Forbids changes from now on; what is under way ends as it began.
    pub fn make_read_only(&self) {
        self.flags.fetch_or(MountFlags::RDONLY.bits(), Ordering::Relaxed);
    }
}

impl Vfs {
    /// The root of the tree, with what is mounted over it.
    pub fn root(&self) -> Location {
        let mount = self.root_mount.clone();
        let dentry = mount.root.clone();
        self.topmost(Location { mount, dentry })
    }
    /// All mounts, the root first, in the order they were made.
    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        self.mounts.read().clone()
    }
    /// Mounts `fs` over `at`: a directory over a directory, a file over a file.
    pub fn mount(
        &self,
        at: &Location,
        fs: Arc<dyn FileSystem>,
        flags: MountFlags,
        source: &[u8],
    ) -> Result<Arc<Mount>> {
        let root = Dentry::root(fs.root());
        let both = (root.is_directory(), at.is_directory());
        if both.0 != both.1 {
            return Err(Error::NotDirectory);
        }
        let id = self.next_mount_id.fetch_add(1, Ordering::Relaxed);
        let (source, watches) = (source.to_vec(), self.watches.clone());
        let flags = AtomicU32::new(flags.bits());
        let mount = Arc::new(Mount { id, fs, root, flags, source, at: Some(at.clone()), watches });
        let mut mounts = self.mounts.write();
        mounts.push(mount.clone());
        at.dentry.set_mounted();
        Ok(mount)
    }
    /// Mounts `fs` outside of the tree, as the root of another one.
    pub fn mount_root(&self, fs: Arc<dyn FileSystem>, flags: MountFlags, source: &[u8]) -> Location {
        let id = self.next_mount_id.fetch_add(1, Ordering::Relaxed);
        let root = Dentry::root(fs.root());
        let (source, watches, flags) = (source.to_vec(), self.watches.clone(), AtomicU32::new(flags.bits()));
        let mount = Arc::new(Mount { id, fs, root, flags, source, at: None, watches });
        self.mounts.write().push(mount.clone());
        Location { dentry: mount.root.clone(), mount }
    }
    /// Takes a tree away that [`Vfs::mount_root`] made, with everything that is mounted there. Who has something of it
    /// open keeps that.
    pub fn unmount_root(&self, root: &Location) {
        let is_there = |mount: &Arc<Mount>| {
            let mut mount = mount.clone();
            while let Some(at) = mount.at() {
                mount = at.mount;
            }
            Arc::ptr_eq(&mount, &root.mount)
        };
        let mut mounts = self.mounts.write();
        let (gone, kept): (Vec<_>, Vec<_>) = mounts.iter().cloned().partition(is_there);
        let before = core::mem::replace(&mut *mounts, kept);
        drop(mounts);
        drop(before);
        for mount in &gone {
            mount.root.forget_below();
            mount.fs.unmounted();
        }
    }
    /// What is mounted over `at`, and over that; `at` itself when nothing is.
    pub(super) fn topmost(&self, mut at: Location) -> Location {
        while at.dentry.mounted() {
            let mounts = self.mounts.read();
            let over = mounts.iter().find(|m| m.at.as_ref().is_some_and(|below| below.is(&at))).cloned();
            drop(mounts);
            let Some(mount) = over else { break };
            at = Location { dentry: mount.root.clone(), mount };
        }
        at
    }
}
