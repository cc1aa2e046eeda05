//! What a node does with the inode that lies below it.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use hashbrown::hash_map::Entry;

use super::{Attr, Body, Content, Entries, FifoSlot, FileBody, Node, Tree};
use crate::fs::{Access, Ahead, File, FileType, Inode, InodeId, Metadata, NewAttr, OpenHow, Seals, StatOnly};
use crate::io::{Dest, Source};
use crate::mm::arena::PageCache;
use crate::sync::Mutex;
use crate::{Error, Result};

/// Inode numbers of what is made in an overlay: few lower file systems get to them, and they have 32 bits, so that
/// 32-bit programs that do not know of large files can be told them.
pub(in crate::fs) const MADE_INOS: RangeInclusive<u64> = 0xf000_0000..=u32::MAX as u64;

/// How much a copy moves at once.
const CHUNK: usize = 256 << 10;
/// How much of it is left out when it is zeros.
const BLOCK: usize = 4096;

/// The node of a lower inode.
pub(in crate::fs) enum Origin {
    /// As it lies below: it can be made again.
    Clean(Weak<Node>),
    /// Changed: its lower names must lead to it.
    Changed(Arc<Node>),
}

impl Origin {
    fn node(&self) -> Option<Arc<Node>> {
        match self {
            Self::Clean(node) => node.upgrade(),
            Self::Changed(node) => Some(node.clone()),
        }
    }
}

impl Tree {
    /// The number of a lower inode here: its own, unless it lies on another device than the root (another file system
    /// was mounted below) or is one of those that are given here.
    fn ino_of(&self, id: InodeId) -> u64 {
        if id.dev == self.lower_dev {
            return if MADE_INOS.contains(&id.ino) { 1 << 61 | id.ino } else { id.ino };
        }
        let mixed = (id.dev ^ self.lower_dev).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        1 << 62 | (mixed >> 50 & 0x3fff) << 48 | (id.ino & 0xffff_ffff_ffff)
    }
    fn id_of(&self, id: InodeId) -> InodeId {
        InodeId { dev: self.dev, ino: self.ino_of(id) }
    }
    /// The node of a lower inode: always the same for the same one. `parent` is where a directory was found.
    pub(in crate::fs) fn adopt(self: &Arc<Self>, lower: Arc<dyn Inode>, parent: Option<Arc<Node>>) -> Arc<Node> {
        let (id, kind) = (lower.id(), lower.file_type());
        let known = self.origins.lock().get(&id).and_then(Origin::node);
        if let Some(node) = known.filter(|node| node.kind() == kind) {
            return node;
        }
        let body = match kind {
            FileType::Regular => Body::Regular(FileBody::new(Content::Lower, Seals::SEAL)),
            FileType::Directory => Body::Directory(Mutex::new(Entries::unknown())),
            FileType::Symlink => Body::Symlink(None),
            FileType::Fifo => Body::Fifo(FifoSlot::default()),
            other => Body::Other(other),
        };
        let fresh = Node::build(self, self.ino_of(id), body, None, Some(lower));
        *fresh.parent.lock() = parent;
        // Somebody may have been faster: theirs counts. Nodes are let go outside the lock, which their end takes.
        let mut origins = self.origins.lock();
        let (node, before) = match origins.entry(id) {
            Entry::Vacant(slot) => {
                slot.insert(Origin::Clean(Arc::downgrade(&fresh)));
                (fresh.clone(), None)
            }
            Entry::Occupied(mut slot) => match slot.get().node() {
                Some(node) if node.kind() == kind => (node, None),
                old => {
                    let replaced = slot.insert(Origin::Clean(Arc::downgrade(&fresh)));
                    (fresh.clone(), Some((old, replaced)))
                }
            },
        };
        drop(origins);
        drop((before, fresh));
        node
    }
}

impl Node {
    fn below(&self) -> Result<&Arc<dyn Inode>> {
        self.lower.as_ref().ok_or(Error::Stale)
    }
    /// What the lower directory has under `name`.
    pub(in crate::fs) fn lower_child(&self, name: &[u8], ahead: Ahead<'_>) -> Result<Arc<Node>> {
        let lower = self.below()?.lookup_ahead(name, ahead)?;
        Ok(self.tree.adopt(lower, Some(self.me()?)))
    }
    /// What the lower directory can say of `name` at once.
    pub(in crate::fs) fn lower_stat_only(&self, name: &[u8]) -> Option<StatOnly> {
        match self.lower.as_ref()?.stat_only(name)? {
            StatOnly::Metadata(metadata) => {
                // What was changed, under this name or another, is known by its origin.
                let known = self.tree.origins.lock().get(&metadata.id).and_then(Origin::node);
                Some(match known.filter(|node| node.kind() == metadata.file_type()) {
                    Some(node) => StatOnly::Inode(node),
                    None => StatOnly::Metadata(Metadata { id: self.tree.id_of(metadata.id), ..metadata }),
                })
            }
            StatOnly::Absent => Some(StatOnly::Absent),
            // There is a node to be made for it.
            StatOnly::Inode(_) => None,
        }
    }
    /// Learns all names of the lower directory.
    pub(in crate::fs) fn complete(&self) -> Result<()> {
        if self.entries()?.is_complete() {
            return Ok(());
        }
        let mut names = Vec::new();
        self.below()?.read_dir(0, &mut |entry| {
            if entry.name != b"." && entry.name != b".." {
                names.push((Arc::from(entry.name), entry.ino, entry.file_type));
            }
            true
        })?;
        self.entries()?.fill(names);
        Ok(())
    }
    /// Gives it attributes of its own.
    pub(in crate::fs) fn own_attr(&self) -> Result<()> {
        if self.attr.lock().is_some() {
            return Ok(());
        }
        let lower = self.below()?;
        let meta = lower.metadata()?;
        let owner = NewAttr { permissions: meta.permissions(), uid: meta.uid, gid: meta.gid, ..NewAttr::default() };
        let mut attr = Attr::new(owner, meta.nlink, meta.rdev);
        (attr.atime, attr.mtime, attr.ctime, attr.btime) = (meta.atime, meta.mtime, meta.ctime, meta.btime);
        self.lower_xattrs(&**lower, &mut attr)?;
        // Kept first: from the first own attribute on it must not be forgotten.
        self.keep_origin()?;
        let surplus = {
            let mut slot = self.attr.lock();
            if slot.is_none() {
                *slot = Some(attr);
                None
            } else {
                Some(attr)
            }
        };
        self.refund_xattrs(surplus.as_ref());
        Ok(())
    }
    fn keep_origin(&self) -> Result<()> {
        let (id, me) = (self.below()?.id(), self.me()?);
        let before = self.tree.origins.lock().insert(id, Origin::Changed(me));
        drop(before);
        Ok(())
    }
    /// No name leads to it any more: it ends with its last user.
    pub(in crate::fs) fn release_origin(&self) {
        let (Some(lower), Ok(me)) = (&self.lower, self.me()) else { return };
        let before = self.tree.origins.lock().insert(lower.id(), Origin::Clean(Arc::downgrade(&me)));
        drop(before);
    }
    /// It ends.
    pub(in crate::fs) fn forget_origin(&self) {
        let Some(lower) = &self.lower else { return };
        let mut origins = self.tree.origins.lock();
        if let Entry::Occupied(slot) = origins.entry(lower.id()) {
            if matches!(slot.get(), Origin::Clean(node) if node.strong_count() == 0) {
                slot.remove();
            }
        }
    }
    /// The lower file, for reading.
    pub(in crate::fs) fn open_lower(&self) -> Result<Arc<dyn File>> {
        let how = OpenHow { access: Access::READ, truncate: false, nonblocking: false, append: false };
        self.below()?.clone().open(&how)
    }
    /// Metadata of the lower file.
    pub(super) fn lower_metadata(&self) -> Result<Metadata> {
        self.below()?.metadata()
    }
    /// Copies the first `keep` bytes of the lower file.
    pub(in crate::fs) fn copy_up(&self, pages: &PageCache, keep: u64) -> Result<()> {
        let meta = self.below()?.metadata()?;
        let size = meta.size.min(keep);
        if size == 0 {
            return Ok(());
        }
        // What surely does not fit is not begun: the room is everybody's.
        if size.min(meta.blocks.saturating_mul(512)) > self.tree.free_bytes() {
            return Err(Error::NoSpace);
        }
        let file = self.open_lower()?;
        let mut buffer = Vec::new();
        let room = usize::try_from(size).map_or(CHUNK, |size| size.min(CHUNK));
        buffer.try_reserve_exact(room).map_err(|_| Error::NoMemory)?;
        buffer.resize(room, 0u8);
        let mut at = 0u64;
        while at < size {
            let want = usize::try_from(size - at).map_or(room, |left| left.min(room));
            let chunk = buffer.get_mut(..want).ok_or(Error::Io)?;
            let n = file.read_at(&mut Dest::kernel(chunk), at)?;
            if n == 0 {
                // It ended earlier than it said.
                break;
            }
            copy_blocks(pages, chunk.get(..n).ok_or(Error::Io)?, at)?;
            at += n as u64;
        }
        pages.set_size(at)
    }
}

/// Writes `bytes` at `at`, leaving whole blocks of zeros out.
pub(super) fn copy_blocks(pages: &PageCache, bytes: &[u8], at: u64) -> Result<()> {
    let mut done = 0;
    let mut run = 0;
    let write = |from: usize, to: usize| -> Result<()> {
        let part = bytes.get(from..to).unwrap_or(&[]);
        let mut source = Source::kernel(part);
        while source.remaining() > 0 {
            let offset = at + (from + source.moved()) as u64;
            if pages.write_at(&mut source, offset)? == 0 {
                return Err(Error::NoSpace);
            }
        }
        Ok(())
    };
    for block in bytes.chunks(BLOCK) {
        if block.iter().all(|b| *b == 0) {
            write(run, done)?;
            run = done + block.len();
        }
        done += block.len();
    }
    write(run, done)
}
