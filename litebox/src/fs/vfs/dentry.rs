//! Names and what they lead to. What was looked up in a file system that only we change is kept, absent names too; of
//! other file systems' names only those in use are known, so that a place in use is one dentry.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::sync::{Mutex, MutexGuard, RwLock};
use crate::{Error, Result};

use super::{Ahead, FileType, Inode, NAME_MAX, Vfs};
use crate::fs::NameMap;

/// Most dentries that are kept without being in use.
const MOST_KEPT: usize = 65_536;
/// Most absent names kept in one directory.
const MOST_ABSENT: usize = 4096;

/// A name in a file system and what it leads to.
pub struct Dentry {
    inode: Arc<dyn Inode>,
    place: RwLock<DentryName>,
    children: RwLock<Children>,
    /// Held while a name in this directory is made, removed or renamed, and while a name is looked up that will be
    /// kept.
    changes: Mutex<()>,
    mounted: AtomicBool,
    removed: AtomicBool,
}

struct DentryName {
    parent: Option<Arc<Dentry>>,
    name: Box<[u8]>,
}

#[derive(Default)]
struct Children {
    known: NameMap<Box<[u8]>, Child>,
    absent: usize,
    /// Size at which names that nobody uses any more are swept out.
    sweep_at: usize,
}

enum Child {
    Kept(Arc<Dentry>),
    InUse(Weak<Dentry>),
    Absent,
}

/// What is known of a name without asking the file system.
pub(super) enum CachedName {
    Present(Arc<Dentry>),
    Absent,
    Unknown,
}

impl Children {
    fn insert(&mut self, name: &[u8], child: Child) {
        if matches!(child, Child::Absent) {
            if self.absent >= MOST_ABSENT {
                self.known.retain(|_, c| !matches!(c, Child::Absent));
                self.absent = 0;
            }
            self.absent += 1;
        }
        if matches!(child, Child::InUse(_)) && self.known.len() >= self.sweep_at.max(64) {
            self.known.retain(|_, c| !matches!(c, Child::InUse(weak) if weak.strong_count() == 0));
            self.sweep_at = self.known.len() * 2;
        }
        // Most names that come have been here before: their key is.
        let before = match self.known.get_mut(name) {
            Some(known) => Some(core::mem::replace(known, child)),
            None => self.known.insert(name.into(), child),
        };
        if let Some(Child::Absent) = before {
            self.absent = self.absent.saturating_sub(1);
        }
    }
    fn remove(&mut self, name: &[u8]) -> Option<Child> {
        let gone = self.known.remove(name);
        if let Some(Child::Absent) = gone {
            self.absent = self.absent.saturating_sub(1);
        }
        gone
    }
}

impl Dentry {
    fn new(inode: Arc<dyn Inode>, parent: Option<Arc<Self>>, name: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            inode,
            place: RwLock::new(DentryName { parent, name: name.into() }),
            children: RwLock::new(Children::default()),
            changes: Mutex::new(()),
            mounted: AtomicBool::new(false),
            removed: AtomicBool::new(false),
        })
    }
    /// The root of a file system.
    pub(super) fn root(inode: Arc<dyn Inode>) -> Arc<Self> {
        Self::new(inode, None, b"")
    }
    /// What it leads to.
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }
    /// Its directory and its name there; `None` for the root of a file system.
    pub fn place(&self) -> (Option<Arc<Self>>, Vec<u8>) {
        let place = self.place.read();
        (place.parent.clone(), place.name.to_vec())
    }
    /// Whether the name was removed (the inode may live on in open files and under other names).
    pub fn removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }
    /// Whether it is the dentry of `inode`: the same file as before, whatever object the file system made for it now.
    pub(super) fn is_of(&self, inode: &dyn Inode) -> bool {
        self.inode.id() == inode.id() && self.inode.file_type() == inode.file_type() && !self.removed()
    }
    pub(super) fn is_directory(&self) -> bool {
        self.inode.file_type() == FileType::Directory
    }
    pub(super) fn mounted(&self) -> bool {
        self.mounted.load(Ordering::Relaxed)
    }
    pub(super) fn set_mounted(&self) {
        self.mounted.store(true, Ordering::Relaxed);
    }
    /// Keeps the names of this directory as they are.
    pub(super) fn lock_names(&self) -> MutexGuard<'_, ()> {
        self.changes.lock_or(|| self.compare_names())
    }
    /// Who was changing names here is gone: what is known of them and is not what the file system has is forgotten.
    #[cold]
    fn compare_names(&self) {
        if !self.keeps() {
            return;
        }
        let known = {
            let children = self.children.read();
            let dentry = |child: &Child| match child {
                Child::Kept(dentry) => Some(dentry.clone()),
                Child::InUse(_) | Child::Absent => None,
            };
            children.known.iter().map(|(name, child)| (name.clone(), dentry(child))).collect::<Vec<_>>()
        };
        for (name, dentry) in known {
            let is_true = match (&dentry, self.inode.lookup_ahead(&name, Ahead::default())) {
                (Some(dentry), Ok(inode)) => {
                    dentry.inode.id() == inode.id() && dentry.inode.file_type() == inode.file_type()
                }
                (None, Err(Error::NotFound)) => true,
                _ => false,
            };
            if !is_true {
                self.children.write().remove(&name);
                if let Some(dentry) = dentry {
                    dentry.removed.store(true, Ordering::Relaxed);
                }
            }
        }
    }
    /// Whether `self` lies in `above` or is it.
    pub(super) fn is_below(self: &Arc<Self>, above: &Arc<Self>) -> bool {
        let mut here = self.clone();
        loop {
            if Arc::ptr_eq(&here, above) {
                return true;
            }
            let parent = here.place.read().parent.clone();
            match parent {
                Some(parent) => here = parent,
                None => return false,
            }
        }
    }

    /// Forgets all names below: a directory keeps what it knows, and that keeps the directory.
    pub(super) fn forget_below(self: &Arc<Self>) {
        let mut directories = alloc::vec![self.clone()];
        while let Some(directory) = directories.pop() {
            let known = core::mem::take(&mut *directory.children.write());
            directories.extend(known.known.into_values().filter_map(|child| match child {
                Child::Kept(dentry) => Some(dentry),
                Child::InUse(weak) => weak.upgrade(),
                Child::Absent => None,
            }));
        }
    }

    /// What is known of `name`.
    pub(super) fn known(&self, name: &[u8]) -> CachedName {
        match self.children.read().known.get(name) {
            Some(Child::Kept(dentry)) => CachedName::Present(dentry.clone()),
            Some(Child::Absent) => CachedName::Absent,
            Some(Child::InUse(_)) | None => CachedName::Unknown,
        }
    }
    /// Runs `look` on what is known of `name`: the dentry, or `None` for a name that is absent. `None` when nothing is
    /// known. The directory's children stay locked for reading meanwhile.
    pub(super) fn with_known<T>(&self, name: &[u8], look: impl FnOnce(Option<&Arc<Self>>) -> T) -> Option<T> {
        match self.children.read().known.get(name)? {
            Child::Kept(dentry) => Some(look(Some(dentry))),
            Child::Absent => Some(look(None)),
            Child::InUse(_) => None,
        }
    }
    /// The dentry of `name`, if somebody uses it.
    pub(super) fn in_use(&self, name: &[u8]) -> Option<Arc<Self>> {
        match self.children.read().known.get(name) {
            Some(Child::InUse(weak)) => weak.upgrade(),
            Some(Child::Kept(dentry)) => Some(dentry.clone()),
            _ => None,
        }
    }
    pub(super) fn keeps(&self) -> bool {
        self.inode.cacheable()
    }

    /// The name is gone from this directory. `dentry` is what it led to, if that is known.
    pub(super) fn name_removed(&self, name: &[u8], dentry: &Self) {
        dentry.removed.store(true, Ordering::Relaxed);
        let mut children = self.children.write();
        children.remove(name);
        if self.keeps() {
            children.insert(name, Child::Absent);
        }
    }

    /// The name is gone from this directory: what it led to is now elsewhere.
    pub(super) fn name_left(&self, name: &[u8]) {
        let mut children = self.children.write();
        children.remove(name);
        if self.keeps() {
            children.insert(name, Child::Absent);
        }
    }

    /// Puts a dentry under a name of this directory, replacing what is known of it.
    pub(super) fn place_at(self: &Arc<Self>, name: &[u8], dentry: &Arc<Self>) {
        *dentry.place.write() = DentryName { parent: Some(self.clone()), name: name.into() };
        let child = if self.keeps() { Child::Kept(dentry.clone()) } else { Child::InUse(Arc::downgrade(dentry)) };
        let mut children = self.children.write();
        children.remove(name);
        children.insert(name, child);
    }

    /// The dentry of a file without a name in the file system of this directory (`O_TMPFILE`).
    pub(super) fn unnamed(self: &Arc<Self>, inode: Arc<dyn Inode>) -> Arc<Self> {
        let name = alloc::format!("#{}", inode.id().ino);
        let dentry = Self::new(inode, Some(self.clone()), name.as_bytes());
        dentry.removed.store(true, Ordering::Relaxed);
        dentry
    }
}

impl Drop for Dentry {
    /// The directories above that end with it go one after the other, not by recursion: the chain can be longer than
    /// the kernel's stack.
    fn drop(&mut self) {
        let mut above = self.place.get_mut().parent.take();
        while let Some(mut last) = above.and_then(Arc::into_inner) {
            above = last.place.get_mut().parent.take();
        }
    }
}

impl Vfs {
    /// The child `name` of a directory: `NotFound`, `NameTooLong`, or what the file system says. The name is a normal
    /// one.
    pub(super) fn child(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>> {
        self.child_ahead(dir, name, Ahead::default())
    }

    /// As [`Vfs::child`], told what the walk wants next.
    pub(super) fn child_ahead(&self, dir: &Arc<Dentry>, name: &[u8], ahead: Ahead<'_>) -> Result<Arc<Dentry>> {
        match dir.known(name) {
            CachedName::Present(dentry) => return Ok(dentry),
            CachedName::Absent => return Err(Error::NotFound),
            CachedName::Unknown => {}
        }
        if name.len() > NAME_MAX {
            return Err(Error::NameTooLong);
        }
        if !dir.keeps() {
            return self.ask(dir, name, ahead);
        }
        let names = dir.lock_names();
        let found = self.child_known_or(dir, name, ahead);
        drop(names);
        found
    }

    /// As [`Vfs::child`], by who holds the directory's names.
    pub(super) fn child_locked(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>> {
        self.child_known_or(dir, name, Ahead::default())
    }

    fn child_known_or(&self, dir: &Arc<Dentry>, name: &[u8], ahead: Ahead<'_>) -> Result<Arc<Dentry>> {
        match dir.known(name) {
            CachedName::Present(dentry) => return Ok(dentry),
            CachedName::Absent => return Err(Error::NotFound),
            CachedName::Unknown => {}
        }
        if name.len() > NAME_MAX {
            return Err(Error::NameTooLong);
        }
        self.ask(dir, name, ahead)
    }

    /// Asks the file system, and remembers what it may.
    fn ask(&self, dir: &Arc<Dentry>, name: &[u8], ahead: Ahead<'_>) -> Result<Arc<Dentry>> {
        match dir.inode.lookup_ahead(name, ahead) {
            Ok(inode) => Ok(self.remember(dir, name, inode)),
            Err(Error::NotFound) => {
                if dir.keeps() && !dir.removed() {
                    dir.children.write().insert(name, Child::Absent);
                }
                Err(Error::NotFound)
            }
            Err(other) => Err(other),
        }
    }

    /// The dentry of `name`, which leads to `inode`.
    pub(super) fn remember(&self, dir: &Arc<Dentry>, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Dentry> {
        if let Some(dentry) = dir.in_use(name) {
            if dentry.is_of(&*inode) {
                return dentry;
            }
        }
        let dentry = Dentry::new(inode, Some(dir.clone()), name);
        let child = if dir.keeps() { Child::Kept(dentry.clone()) } else { Child::InUse(Arc::downgrade(&dentry)) };
        let kept = matches!(child, Child::Kept(_));
        dir.children.write().insert(name, child);
        if kept {
            self.note_kept(&dentry);
        }
        dentry
    }

    /// Counts a kept dentry, and forgets old ones that nobody uses when there are too many.
    fn note_kept(&self, dentry: &Arc<Dentry>) {
        let mut kept = self.kept.lock();
        kept.push_back(Arc::downgrade(dentry));
        let mut tries = 0;
        while kept.len() > MOST_KEPT && tries < 16 {
            tries += 1;
            let Some(oldest) = kept.pop_front() else { break };
            let Some(oldest) = oldest.upgrade() else { continue };
            if !forget(&oldest) {
                kept.push_back(Arc::downgrade(&oldest));
            }
        }
    }

    /// A new name appeared in `dir`: what was known of it (that it is absent) no longer holds.
    pub(super) fn name_made(&self, dir: &Arc<Dentry>, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Dentry> {
        dir.children.write().remove(name);
        self.remember(dir, name, inode)
    }
}

/// Takes a kept dentry that nobody uses out of its directory. `false`: it is in use.
fn forget(dentry: &Arc<Dentry>) -> bool {
    let (parent, name) = dentry.place();
    let Some(parent) = parent else { return true };
    let mut children = parent.children.write();
    // The directory's reference and ours; while its children are locked nobody can take another.
    if Arc::strong_count(dentry) > 2 || dentry.mounted() {
        return false;
    }
    match children.known.get(name.as_slice()) {
        Some(Child::Kept(there)) if Arc::ptr_eq(there, dentry) => {
            children.remove(&name);
        }
        _ => {}
    }
    true
}
