//! Names in a directory: looked up, listed, made and removed.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use smallvec::SmallVec;

use super::file::FileBody;
use super::{Attr, Body, Node};
use crate::fs::{Ahead, DirEntry, FileType, NameMap, NewAttr, NewNode, StatOnly, Time};
use crate::sync::{Mutex, MutexGuard};
use crate::{Error, Result};

/// What a directory's size grows by with each name (`.` and `..` count), as on Linux.
const NAME_SIZE: u64 = 20;
/// How many entries one look at a directory collects.
const BATCH: usize = 32;

/// Where a name leads.
#[derive(Clone)]
pub(in crate::fs) enum ChildTarget {
    Node(Arc<Node>),
    /// To what the lower directory has under this name.
    Lower {
        ino: u64,
        file_type: FileType,
    },
}

/// A name as it is listed: cookie, name, inode number, type.
type Listed = (u64, Arc<[u8]>, u64, FileType);

/// What is known of a name, in the order of the listing.
struct OrderedName {
    name: Arc<[u8]>,
    target: ChildTarget,
}

/// What is known of a name by the name: a lookup need not look at the order.
struct HashedName {
    cookie: u64,
    target: ChildTarget,
}

/// The names of a directory.
pub(in crate::fs) struct Entries {
    /// Where each name stands in the listing: it keeps that place as long as it exists.
    names: NameMap<Arc<[u8]>, HashedName>,
    order: BTreeMap<u64, OrderedName>,
    last_cookie: u64,
    /// Whether `names` is all there is. While it is not, the lower directory's names count.
    complete: bool,
    /// The directory was removed: nothing can be made in it.
    removed: bool,
}

impl Entries {
    /// No names.
    pub fn empty() -> Self {
        Self { names: NameMap::default(), order: BTreeMap::new(), last_cookie: 0, complete: true, removed: false }
    }
    /// The names of a lower directory that nobody has listed yet.
    pub fn unknown() -> Self {
        Self { complete: false, ..Self::empty() }
    }
    pub fn size(&self) -> u64 {
        NAME_SIZE * (self.names.len() as u64 + 2)
    }
    pub fn is_complete(&self) -> bool {
        self.complete
    }
    /// Learns what the lower directory holds.
    pub fn fill(&mut self, names: Vec<(Arc<[u8]>, u64, FileType)>) {
        if !self.complete {
            for (name, ino, file_type) in names {
                self.put(&name, ChildTarget::Lower { ino, file_type });
            }
            self.complete = true;
        }
    }
    fn get(&self, name: &[u8]) -> Option<&ChildTarget> {
        self.names.get(name).map(|named| &named.target)
    }
    /// Leads `name` to `target`; returns where it led before.
    fn put(&mut self, name: &[u8], target: ChildTarget) -> Option<ChildTarget> {
        if let Some(named) = self.names.get_mut(name) {
            if let Some(entry) = self.order.get_mut(&named.cookie) {
                entry.target = target.clone();
            }
            return Some(core::mem::replace(&mut named.target, target));
        }
        let name: Arc<[u8]> = Arc::from(name);
        self.last_cookie += 1;
        self.names.insert(name.clone(), HashedName { cookie: self.last_cookie, target: target.clone() });
        self.order.insert(self.last_cookie, OrderedName { name, target });
        None
    }
    fn take(&mut self, name: &[u8]) -> Option<ChildTarget> {
        let named = self.names.remove(name)?;
        self.order.remove(&named.cookie);
        Some(named.target)
    }
    /// Up to [`BATCH`] entries behind `cookie`.
    fn batch(&self, cookie: u64) -> SmallVec<[Listed; BATCH]> {
        let behind = self.order.range((Bound::Excluded(cookie), Bound::Unbounded));
        let describe = |(cookie, entry): (&u64, &OrderedName)| {
            let (ino, file_type) = match &entry.target {
                ChildTarget::Node(node) => (node.ino, node.kind()),
                ChildTarget::Lower { ino, file_type } => (*ino, *file_type),
            };
            (*cookie, entry.name.clone(), ino, file_type)
        };
        behind.take(BATCH).map(describe).collect()
    }
}

impl Node {
    pub(in crate::fs) fn entries(&self) -> Result<MutexGuard<'_, Entries>> {
        match &self.body {
            Body::Directory(entries) => Ok(entries.lock()),
            _ => Err(Error::NotDirectory),
        }
    }
    /// The names, all of them known, of a directory that still exists.
    pub(in crate::fs) fn living_entries(&self) -> Result<MutexGuard<'_, Entries>> {
        self.complete()?;
        let entries = self.entries()?;
        if entries.removed { Err(Error::NotFound) } else { Ok(entries) }
    }
    /// The child called `name`. The names are locked.
    pub(in crate::fs) fn child(&self, name: &[u8]) -> Result<Arc<Node>> {
        self.child_ahead(name, Ahead::default())
    }
    /// What the child called `name` is, if that can be said at once.
    pub(in crate::fs) fn child_stat_only(&self, name: &[u8]) -> Option<StatOnly> {
        {
            let entries = self.entries().ok()?;
            match entries.get(name) {
                Some(ChildTarget::Node(node)) => return Some(StatOnly::Inode(node.clone())),
                None if entries.complete => return Some(StatOnly::Absent),
                _ => {}
            }
        }
        self.lower_stat_only(name)
    }
    /// As [`Node::child`], told what is wanted next.
    pub(in crate::fs) fn child_ahead(&self, name: &[u8], ahead: Ahead<'_>) -> Result<Arc<Node>> {
        {
            let entries = self.entries()?;
            match entries.get(name) {
                Some(ChildTarget::Node(node)) => return Ok(node.clone()),
                None if entries.complete => return Err(Error::NotFound),
                _ => {}
            }
        }
        self.lower_child(name, ahead)
    }
    /// The child called `name`, by somebody who holds no lock.
    pub(in crate::fs) fn locked_child(&self, name: &[u8]) -> Result<Arc<Node>> {
        let _names = self.tree.names.read();
        self.child(name)
    }
    pub(in crate::fs) fn list(&self, cookie: u64, sink: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        let mut cookie = cookie;
        if !self.entries()?.is_complete() {
            self.note_access();
            // When it becomes complete later on, the names keep their places.
            if let Some(listed) = self.lower.as_ref().and_then(|lower| lower.read_unchanging_dir(cookie, sink)) {
                return listed;
            }
            self.complete()?;
        }
        self.note_access();
        loop {
            // The sink is called without a lock: it may go where a fault asks for anything.
            let batch = self.entries()?.batch(cookie);
            if batch.is_empty() {
                return Ok(());
            }
            for (at, name, ino, file_type) in &batch {
                if !sink(DirEntry { name, ino: *ino, file_type: *file_type, next: *at }) {
                    return Ok(());
                }
                cookie = *at;
            }
        }
    }
    /// Leads `name` to `node`, in place of what it led to. The names are locked for writing.
    pub(in crate::fs) fn put_name(&self, name: &[u8], node: &Arc<Node>) -> Result<()> {
        self.tree.count_name();
        if node.kind() == FileType::Directory {
            let parent = node.parent.lock().replace(self.me()?);
            drop(parent);
        }
        let before = self.entries()?.put(name, ChildTarget::Node(node.clone()));
        self.let_go(before);
        Ok(())
    }
    /// Takes `name` away.
    pub(in crate::fs) fn take_name(&self, name: &[u8]) -> Result<()> {
        let before = self.entries()?.take(name);
        self.let_go(before);
        Ok(())
    }
    fn let_go(&self, target: Option<ChildTarget>) {
        if let Some(ChildTarget::Node(_)) = target {
            self.tree.refund_name();
        }
    }
    /// The directory's names changed, and the number of directories in it by `directories`.
    pub(in crate::fs) fn names_changed(&self, now: Time, directories: i64) -> Result<()> {
        self.change(|attr| {
            attr.modified(now);
            // One link means that the directories are not counted.
            if attr.nlink >= 2 {
                attr.nlink = attr.nlink.saturating_add_signed(directories).max(2);
            }
            Ok(())
        })
    }
    fn body_of(node: NewNode<'_>) -> (Body, u64) {
        match node {
            NewNode::Regular => (Body::Regular(FileBody::empty()), 0),
            NewNode::Directory => (Body::Directory(Mutex::new(Entries::empty())), 0),
            NewNode::Symlink(target) => (Body::Symlink(Some(Box::from(target))), 0),
            NewNode::Fifo => (Body::Fifo(super::fifo::FifoSlot::default()), 0),
            NewNode::Socket => (Body::Other(FileType::Socket), 0),
            NewNode::CharDevice(rdev) => (Body::Other(FileType::CharDevice), rdev),
            NewNode::BlockDevice(rdev) => (Body::Other(FileType::BlockDevice), rdev),
        }
    }
    /// An inode of this file system that no name leads to yet.
    pub(in crate::fs) fn make(&self, node: NewNode<'_>, attr: NewAttr) -> Result<Arc<Node>> {
        if let NewNode::Symlink(target) = node {
            self.tree.charge_extra(target.len())?;
        }
        let (body, rdev) = Self::body_of(node);
        let given = match node {
            NewNode::Symlink(_) => NewAttr { permissions: 0o777, umask: 0, ..attr },
            _ => attr,
        };
        let nlink = if matches!(node, NewNode::Directory) { 2 } else { 1 };
        Ok(Node::new(&self.tree, body, Attr { nlink, rdev, ..self.inherited(node, given)? }))
    }
    pub(in crate::fs) fn create_child(&self, name: &[u8], node: NewNode<'_>, attr: NewAttr) -> Result<Arc<Node>> {
        self.entries().map(drop)?;
        let _names = self.tree.change_names();
        if self.living_entries()?.get(name).is_some() {
            return Err(Error::Exists);
        }
        self.tree.check_room()?;
        let now = Time::now();
        self.own_attr()?;
        let child = self.make(node, attr)?;
        self.put_name(name, &child)?;
        self.names_changed(now, i64::from(child.kind() == FileType::Directory))?;
        Ok(child)
    }
    pub(in crate::fs) fn make_unnamed(&self, attr: NewAttr, linkable: bool) -> Result<Arc<Node>> {
        self.living_entries().map(drop)?;
        let node = self.make(NewNode::Regular, attr)?;
        node.change(|attr| {
            attr.nlink = 0;
            attr.nameless = linkable;
            Ok(())
        })?;
        Ok(node)
    }
    pub(in crate::fs) fn link_child(&self, name: &[u8], target: &Arc<Node>) -> Result<()> {
        self.entries().map(drop)?;
        let _names = self.tree.change_names();
        if self.living_entries()?.get(name).is_some() {
            return Err(Error::Exists);
        }
        if target.kind() == FileType::Directory {
            return Err(Error::NotPermitted);
        }
        self.tree.check_room()?;
        let now = Time::now();
        self.own_attr()?;
        target.change(|attr| {
            if attr.nlink == 0 && !attr.nameless {
                return Err(Error::NotFound);
            }
            attr.nlink = attr.nlink.checked_add(1).ok_or(Error::TooManyLinks)?;
            attr.nameless = false;
            attr.ctime = now;
            Ok(())
        })?;
        self.put_name(name, target)?;
        self.names_changed(now, 0)
    }
    pub(in crate::fs) fn unlink_child(&self, name: &[u8]) -> Result<()> {
        let _names = self.tree.change_names();
        let child = self.child(name)?;
        if child.kind() == FileType::Directory {
            return Err(Error::IsDirectory);
        }
        self.complete()?;
        let now = Time::now();
        self.own_attr()?;
        child.drop_link(now, 1)?;
        self.take_name(name)?;
        self.names_changed(now, 0)
    }
    pub(in crate::fs) fn remove_directory(&self, name: &[u8]) -> Result<()> {
        let _names = self.tree.change_names();
        let child = self.child(name)?;
        self.complete()?;
        let now = Time::now();
        self.own_attr()?;
        child.mark_removed(now)?;
        self.take_name(name)?;
        self.names_changed(now, -1)
    }
    /// Makes an empty directory one that was removed.
    pub(in crate::fs) fn mark_removed(&self, now: Time) -> Result<()> {
        self.entries().map(drop)?;
        self.complete()?;
        self.own_attr()?;
        {
            let mut entries = self.entries()?;
            if !entries.names.is_empty() {
                return Err(Error::NotEmpty);
            }
            entries.removed = true;
        }
        self.drop_link(now, u64::MAX)?;
        let parent = self.parent.lock().take();
        drop(parent);
        Ok(())
    }
}

/// Takes the tree below `root` apart: directories know their parents, which would keep both alive. Not by recursion:
/// trees can be deep.
pub(in crate::fs) fn dismantle(root: Arc<Node>) {
    let mut left = alloc::vec![root];
    while let Some(node) = left.pop() {
        let Body::Directory(entries) = &node.body else { continue };
        let order = {
            let mut entries = entries.lock();
            entries.names.clear();
            core::mem::take(&mut entries.order)
        };
        for entry in order.into_values() {
            if let ChildTarget::Node(child) = entry.target {
                let parent = child.parent.lock().take();
                left.push(child);
                drop(parent);
            }
        }
    }
}
