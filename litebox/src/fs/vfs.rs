//! The tree of mounts and the walk through it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::sync::RwLock;

use super::{FileSystem, Inode, Location};

/// A file system at a place in the tree.
pub struct Mount {
    /// What is mounted.
    pub fs: Arc<dyn FileSystem>,
    /// Root of the mounted tree.
    pub root: Arc<dyn Inode>,
}

/// A name in the tree and the inode it leads to.
pub struct Dentry {
    /// What it leads to.
    pub inode: Arc<dyn Inode>,
}

/// All mounts and cached names of a sandbox.
#[derive(Default)]
pub struct Vfs {
    next_open_id: AtomicU64,
}

impl Vfs {
    /// A unique number for an [`super::OpenFile`].
    pub fn next_open_id(&self) -> u64 {
        self.next_open_id.fetch_add(1, Ordering::Relaxed)
    }
}

/// Root, working directory and umask of a process (shared by `CLONE_FS`).
pub struct FsContext {
    /// Root directory (chroot(2)).
    pub root: RwLock<Location>,
    /// Working directory.
    pub cwd: RwLock<Location>,
    /// File mode creation mask.
    pub umask: AtomicU32,
}
