//! One inode in memory: its attributes, and what kind of thing it is.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;

use super::fifo::FifoSlot;
use super::file::{FileBody, MemoryFile};
use super::{Entries, Tree};
use crate::fs::acl::{Acl, AclKind};
use crate::fs::{
    Access, Ahead, DirEntry, DirectoryFile, File, FileType, Inode, InodeId, Metadata, NewAttr, NewNode, OpenHow,
    RenameFlags, Seals, SetAttr, SetTime, StatFs, StatOnly, Time, Usage, XattrFlags,
};
use crate::sync::Mutex;
use crate::{Error, Result};

/// A day: how old an access time may be before a read renews it (`relatime`).
const DAY: i64 = 24 * 60 * 60;

/// What can be changed about any inode.
#[derive(Clone, Debug)]
pub(in crate::fs) struct Attr {
    pub permissions: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u64,
    pub rdev: u64,
    pub atime: Time,
    pub mtime: Time,
    pub ctime: Time,
    pub btime: Option<Time>,
    pub xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// Made without a name: it may get one although it has none.
    pub nameless: bool,
}

impl Attr {
    pub fn new(attr: NewAttr, nlink: u64, rdev: u64) -> Self {
        let now = Time::now();
        Self {
            permissions: attr.permissions & 0o7777,
            uid: attr.uid,
            gid: attr.gid,
            nlink,
            rdev,
            atime: now,
            mtime: now,
            ctime: now,
            btime: Some(now),
            xattrs: BTreeMap::new(),
            nameless: false,
        }
    }
    /// The data changed.
    pub fn modified(&mut self, now: Time) {
        self.mtime = now;
        self.ctime = now;
    }
    /// The data was read (`relatime`).
    fn accessed(&mut self) {
        let now = Time::now();
        if self.atime <= self.mtime || self.atime <= self.ctime || now.sec.saturating_sub(self.atime.sec) >= DAY {
            self.atime = now;
        }
    }
}

/// What kind of thing an inode is.
pub(in crate::fs) enum Body {
    Regular(FileBody),
    Directory(Mutex<Entries>),
    /// The target; `None`: ask the lower inode.
    Symlink(Option<Box<[u8]>>),
    Fifo(FifoSlot),
    Other(FileType),
}

/// An inode in memory, or one that is found in a lower file system until it changes.
pub(in crate::fs) struct Node {
    pub tree: Arc<Tree>,
    pub ino: u64,
    me: Weak<Node>,
    pub body: Body,
    /// `None`: those of the lower inode.
    pub attr: Mutex<Option<Attr>>,
    pub lower: Option<Arc<dyn Inode>>,
    /// Of a directory: the one it lies in. `None` for the root and for removed ones. Of anything else with a lower
    /// inode: the one it was first found in, for who looks for what was changed.
    pub parent: Mutex<Option<Arc<Node>>>,
    usage: Usage,
}

impl Node {
    /// A new inode without a name.
    pub fn new(tree: &Arc<Tree>, body: Body, attr: Attr) -> Arc<Self> {
        Self::build(tree, tree.fresh_ino(), body, Some(attr), None)
    }
    pub fn build(
        tree: &Arc<Tree>,
        ino: u64,
        body: Body,
        attr: Option<Attr>,
        lower: Option<Arc<dyn Inode>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            tree: tree.clone(),
            ino,
            me: me.clone(),
            body,
            attr: Mutex::new(attr),
            lower,
            parent: Mutex::new(None),
            usage: Usage::default(),
        })
    }
    /// A handle on itself. `Stale` only while it is being dropped.
    pub fn me(&self) -> Result<Arc<Self>> {
        self.me.upgrade().ok_or(Error::Stale)
    }
    /// The node behind an inode of this file system.
    pub fn of(&self, inode: &Arc<dyn Inode>) -> Result<Arc<Self>> {
        let node = inode.clone().into_any().downcast::<Self>().map_err(|_| Error::CrossDevice)?;
        if Arc::ptr_eq(&node.tree, &self.tree) { Ok(node) } else { Err(Error::CrossDevice) }
    }
    pub fn kind(&self) -> FileType {
        match &self.body {
            Body::Regular(_) => FileType::Regular,
            Body::Directory(_) => FileType::Directory,
            Body::Symlink(_) => FileType::Symlink,
            Body::Fifo(_) => FileType::Fifo,
            Body::Other(kind) => *kind,
        }
    }
    pub fn regular(&self) -> Result<&FileBody> {
        match &self.body {
            Body::Regular(body) => Ok(body),
            Body::Directory(_) => Err(Error::IsDirectory),
            _ => Err(Error::Invalid),
        }
    }
    /// Changes attributes, which are this file system's own from now on.
    pub fn change<T>(&self, apply: impl FnOnce(&mut Attr) -> Result<T>) -> Result<T> {
        self.own_attr()?;
        match self.attr.lock().as_mut() {
            Some(attr) => apply(attr),
            None => Err(Error::Stale),
        }
    }
    /// The data was read.
    pub fn note_access(&self) {
        if let Some(attr) = self.attr.lock().as_mut() {
            attr.accessed();
        }
    }
    /// Takes a name's share of the link count away.
    pub fn drop_link(&self, now: Time, count: u64) -> Result<()> {
        let left = self.change(|attr| {
            attr.nlink = attr.nlink.saturating_sub(count);
            attr.ctime = now;
            Ok(attr.nlink)
        })?;
        if left == 0 {
            self.release_origin();
        }
        Ok(())
    }
    fn size_and_pages(&self) -> Result<(u64, u64)> {
        Ok(match &self.body {
            Body::Regular(body) => match body.figures() {
                Some(figures) => figures,
                None => match &self.lower {
                    Some(lower) => lower.metadata().map(|m| (m.size, m.blocks.saturating_mul(512)))?,
                    None => (0, 0),
                },
            },
            Body::Directory(entries) => (entries.lock().size(), 0),
            Body::Symlink(Some(target)) => (target.len() as u64, 0),
            Body::Symlink(None) => (self.lower.as_ref().map_or(Ok(0), |l| l.metadata().map(|m| m.size))?, 0),
            _ => (0, 0),
        })
    }
    fn target(&self) -> Result<Vec<u8>> {
        match (&self.body, &self.lower) {
            (Body::Symlink(Some(target)), _) => Ok(target.to_vec()),
            (Body::Symlink(None), Some(lower)) => lower.read_link(),
            _ => Err(Error::Invalid),
        }
    }
    fn check_exec_seal(&self, attr: &SetAttr) -> Result<()> {
        let (Body::Regular(body), Some(new)) = (&self.body, attr.permissions) else { return Ok(()) };
        if !body.seals().contains(Seals::EXEC) {
            return Ok(());
        }
        let old = self.metadata()?.mode;
        if (old ^ new) & 0o111 != 0 { Err(Error::NotPermitted) } else { Ok(()) }
    }
}

impl Inode for Node {
    fn id(&self) -> InodeId {
        InodeId { dev: self.tree.dev, ino: self.ino }
    }
    fn file_type(&self) -> FileType {
        self.kind()
    }
    fn metadata(&self) -> Result<Metadata> {
        let own = self.attr.lock().as_ref().map(|attr| Metadata {
            id: self.id(),
            mode: self.kind().mode_bits() | attr.permissions,
            nlink: attr.nlink,
            uid: attr.uid,
            gid: attr.gid,
            rdev: attr.rdev,
            size: 0,
            blocks: 0,
            blksize: 4096,
            atime: attr.atime,
            mtime: attr.mtime,
            ctime: attr.ctime,
            btime: attr.btime,
        });
        match (own, &self.lower) {
            (Some(own), _) => {
                let (size, bytes) = self.size_and_pages()?;
                Ok(Metadata { size, blocks: bytes.div_ceil(512), ..own })
            }
            (None, Some(lower)) => Ok(Metadata { id: self.id(), ..lower.metadata()? }),
            (None, None) => Err(Error::Stale),
        }
    }
    fn set_attr(&self, attr: &SetAttr) -> Result<()> {
        self.check_exec_seal(attr)?;
        if let Some(size) = attr.size {
            self.regular()?;
            self.truncate(size)?;
        }
        if (SetAttr { size: None, ..*attr }) == SetAttr::default() {
            return Ok(());
        }
        self.change(|own| {
            if let Some(permissions) = attr.permissions {
                own.set_permissions(permissions);
            }
            own.uid = attr.uid.unwrap_or(own.uid);
            own.gid = attr.gid.unwrap_or(own.gid);
            own.ctime = Time::now();
            own.atime = attr.atime.map_or(own.atime, SetTime::value);
            own.mtime = attr.mtime.map_or(own.mtime, SetTime::value);
            Ok(())
        })
    }
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        self.lookup_ahead(name, Ahead::default())
    }
    fn lookup_ahead(&self, name: &[u8], ahead: Ahead<'_>) -> Result<Arc<dyn Inode>> {
        let _names = self.tree.names.read();
        Ok(self.child_ahead(name, ahead)?)
    }
    fn stat_only(&self, name: &[u8]) -> Option<StatOnly> {
        let _names = self.tree.names.read();
        self.child_stat_only(name)
    }
    fn create(&self, name: &[u8], node: NewNode<'_>, attr: NewAttr) -> Result<Arc<dyn Inode>> {
        Ok(self.create_child(name, node, attr)?)
    }
    fn create_unnamed(&self, attr: NewAttr, linkable: bool) -> Result<Arc<dyn Inode>> {
        Ok(self.make_unnamed(attr, linkable)?)
    }
    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        self.link_child(name, &self.of(target)?)
    }
    fn unlink(&self, name: &[u8]) -> Result<()> {
        self.unlink_child(name)
    }
    fn rmdir(&self, name: &[u8]) -> Result<()> {
        self.remove_directory(name)
    }
    fn rename(&self, name: &[u8], new_dir: &Arc<dyn Inode>, new_name: &[u8], flags: RenameFlags) -> Result<()> {
        self.rename_child(name, &self.of(new_dir)?, new_name, flags)
    }
    fn read_dir(&self, cookie: u64, sink: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        self.list(cookie, sink)
    }
    fn read_link(&self) -> Result<Vec<u8>> {
        let target = self.target()?;
        self.note_access();
        Ok(target)
    }
    fn open(self: Arc<Self>, how: &OpenHow) -> Result<Arc<dyn File>> {
        match &self.body {
            Body::Regular(_) => Ok(MemoryFile::open(self, *how)?),
            Body::Directory(_) if how.access.contains(Access::WRITE) => Err(Error::IsDirectory),
            Body::Directory(_) => Ok(DirectoryFile::new(self)),
            Body::Symlink(_) => Err(Error::Loop),
            Body::Fifo(slot) => slot.open(self.clone(), *how),
            // Devices are found by their number, sockets by connect(2).
            Body::Other(_) => Err(Error::NoSuchDevice),
        }
    }
    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.xattr(name)
    }
    fn set_xattr(&self, name: &[u8], value: &[u8], how: XattrFlags) -> Result<()> {
        self.put_xattr(name, value, how)
    }
    fn list_xattr(&self) -> Result<Vec<u8>> {
        self.xattr_names()
    }
    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        self.drop_xattr(name)
    }
    fn access_acl(&self, mode_allows: bool) -> Option<Acl> {
        self.acl(AclKind::Access, mode_allows)
    }
    fn set_acl(&self, kind: AclKind, acl: Option<Acl>, keeps_group_id: bool) -> Result<()> {
        self.put_acl(kind, acl, keeps_group_id)
    }
    fn usage(&self) -> Option<&Usage> {
        matches!(self.body, Body::Regular(_)).then_some(&self.usage)
    }
    fn stat_fs(&self) -> Result<StatFs> {
        Ok(self.tree.stat_fs())
    }
    fn cacheable(&self) -> bool {
        self.lower.as_ref().is_none_or(|lower| lower.cacheable())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The directories above go one after the other, not by recursion: the chain can be longer than the kernel's
        // stack.
        let mut above = self.parent.get_mut().take();
        while let Some(mut last) = above.and_then(Arc::into_inner) {
            above = last.parent.get_mut().take();
        }
        self.forget_origin();
        let xattrs = self.attr.get_mut().as_ref().map_or(0, super::xattr::bytes_of);
        let target = match &self.body {
            Body::Symlink(Some(target)) => target.len(),
            _ => 0,
        };
        self.tree.refund_extra(xattrs + target);
    }
}
