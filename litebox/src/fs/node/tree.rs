//! What the nodes of one file system share: numbers, limits, the lock of names.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use super::{Origin, PAGE};
use crate::fs::{InodeId, InodeMap, StatFs};
use crate::mm::arena::{Arena, Budget, PageCache};
use crate::sync::{Mutex, RwLock, RwLockWriteGuard};
use crate::{Error, Result};

const FIRST_WIDE_INO: u64 = 1 << 48;
/// Names and inodes one file system may have at most: they live in the kernel's heap.
const MOST_NAMES: u64 = 1 << 20;
/// Where bytes are limited, one name for so many of them, but never fewer than [`FEW_NAMES`].
const BYTES_FOR_A_NAME: u64 = 1024;
const FEW_NAMES: u64 = 16 << 10;
/// Bytes of extended attributes and long link targets one file system may have.
const MOST_EXTRA: u64 = 64 << 20;

/// What the nodes of one file system share.
pub(in crate::fs) struct Tree {
    pub(in crate::fs) dev: u64,
    pub(in crate::fs) magic: u64,
    /// Device number of the lower root.
    pub(in crate::fs) lower_dev: u64,
    pub(in crate::fs) arena: Arc<Arena>,
    budget: Option<Arc<Budget>>,
    /// Held for writing while names change, for reading while they are looked up.
    pub(in crate::fs) names: RwLock<()>,
    next_ino: AtomicU64,
    name_count: AtomicU64,
    extra: AtomicU64,
    /// Nodes that have an inode below, by its identity. Empty but for overlays.
    pub(in crate::fs) origins: Mutex<InodeMap<InodeId, Origin>>,
}

impl Tree {
    /// Locks the names for a change, which is one of several objects: half of it is none.
    pub(in crate::fs) fn change_names(&self) -> RwLockWriteGuard<'_, ()> {
        let names = self.names.write();
        names.begin_change();
        names
    }
    pub(in crate::fs) fn new(dev: u64, magic: u64, arena: &Arc<Arena>, limit: Option<u64>, first_ino: u64) -> Self {
        Self {
            dev,
            magic,
            lower_dev: 0,
            arena: arena.clone(),
            budget: limit.map(Budget::new).or_else(|| arena.files().cloned()),
            names: RwLock::new(()),
            next_ino: AtomicU64::new(first_ino),
            name_count: AtomicU64::new(0),
            extra: AtomicU64::new(0),
            origins: Mutex::new(InodeMap::default()),
        }
    }
    /// A number that no node here has; those that 32 bits do not hold start where no lower file system gets to.
    pub(in crate::fs) fn fresh_ino(&self) -> u64 {
        let ino = self.next_ino.fetch_add(1, Ordering::Relaxed);
        if u32::try_from(ino).is_ok() { ino } else { FIRST_WIDE_INO | ino }
    }
    /// A file without bytes, whose pages count for this file system.
    pub(in crate::fs) fn pages(&self) -> Arc<PageCache> {
        PageCache::with_budget(&self.arena, self.budget.as_ref())
    }
    /// Whether there is room for one more name.
    pub(in crate::fs) fn check_room(&self) -> Result<()> {
        if self.name_count.load(Ordering::Relaxed) < self.most_names() { Ok(()) } else { Err(Error::NoSpace) }
    }
    pub(in crate::fs) fn most_names(&self) -> u64 {
        self.budget.as_ref().map_or(MOST_NAMES, |b| (b.limit() / BYTES_FOR_A_NAME).clamp(FEW_NAMES, MOST_NAMES))
    }
    /// Bytes that files of this file system can still get.
    pub(in crate::fs) fn free_bytes(&self) -> u64 {
        self.budget.as_ref().map_or(u64::MAX, |budget| budget.left()).min(self.arena.free_bytes())
    }
    /// One more name. Renaming never fails for want of room.
    pub(in crate::fs) fn count_name(&self) {
        self.name_count.fetch_add(1, Ordering::Relaxed);
    }
    pub(in crate::fs) fn refund_name(&self) {
        self.name_count.fetch_sub(1, Ordering::Relaxed);
    }
    pub(in crate::fs) fn charge_extra(&self, bytes: usize) -> Result<()> {
        let step = |n: u64| n.checked_add(bytes as u64).filter(|n| *n <= MOST_EXTRA);
        let charged = self.extra.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        charged.map(drop).map_err(|_| Error::NoSpace)
    }
    pub(in crate::fs) fn refund_extra(&self, bytes: usize) {
        self.extra.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
    pub(in crate::fs) fn stat_fs(&self) -> StatFs {
        let all = self.budget.as_ref().map_or(crate::platform::host().arena().1 as u64, |budget| budget.limit());
        let (free, names) = (self.free_bytes(), self.most_names());
        StatFs {
            magic: self.magic,
            block_size: PAGE,
            blocks: all / PAGE,
            free: free / PAGE,
            available: free / PAGE,
            files: names,
            files_free: names.saturating_sub(self.name_count.load(Ordering::Relaxed)),
            name_max: 255,
        }
    }
}
