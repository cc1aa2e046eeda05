//! Inodes of a granted tree. A node knows its path beneath the grant; the broker resolves it anew for each request.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::fs::memory::FifoSlot;
use crate::fs::{
    Access, Ahead, DirEntry, DirectoryFile, File, FileType, Inode, InodeId, Metadata, NewAttr, NewNode, OpenHow,
    RenameFlags, SetAttr, SetTime, StatFs, StatOnly,
};
use crate::platform::north::north;
use crate::platform::{HostFd, HostStat, host};
use crate::sync::{Mutex, RwLock};
use crate::{Error, Result};
use litebox_protocol::{AttrFlags, MAX_NAME, MAX_PATH, OpenFlags, Request, Stat};

use super::client::{ListWish, Subject};
use super::file::{HostFile, metadata_of};
use super::listing::{ListedName, Listing};
use super::tree::{FoundAhead, HostFs};

struct NodeName {
    parent: Option<Arc<HostNode>>,
    name: Box<[u8]>,
}

/// A file, directory or link of a granted tree.
pub struct HostNode {
    me: Weak<HostNode>,
    fs: Arc<HostFs>,
    id: InodeId,
    file_type: FileType,
    place: RwLock<NodeName>,
    stat: RwLock<Stat>,
    /// For which call `stat` was asked for, of a tree that others change; 0: not for one.
    checked: AtomicU64,
    target: RwLock<Option<Vec<u8>>>,
    listing: Mutex<Listing>,
    /// The open file that all readers of an image's file share.
    reader: Mutex<Weak<HostFile>>,
    /// Open files of one that the sandbox may change: through them it is reached, whatever became of its names.
    open: Mutex<Vec<Weak<HostFile>>>,
    /// A file made without a name, until it is opened.
    temporary: Mutex<Option<Arc<HostFile>>>,
    /// The pipe of a fifo: one of this sandbox, which leads to nobody outside.
    fifo: FifoSlot,
}

impl HostNode {
    pub(super) fn new(
        fs: Arc<HostFs>,
        parent: Option<Arc<Self>>,
        name: &[u8],
        stat: Stat,
        file_type: FileType,
        target: Option<Vec<u8>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            id: fs.id_of(&stat),
            fs,
            file_type,
            place: RwLock::new(NodeName { parent, name: name.into() }),
            stat: RwLock::new(stat),
            checked: AtomicU64::new(north().call_under_way()),
            target: RwLock::new(target),
            listing: Mutex::new(Listing::default()),
            reader: Mutex::new(Weak::new()),
            open: Mutex::new(Vec::new()),
            temporary: Mutex::new(None),
            fifo: FifoSlot::default(),
        })
    }
    /// A lookup led here: by this name it can be reached now.
    pub(super) fn found_as(&self, parent: Option<&Arc<Self>>, name: &[u8], stat: Stat, target: Option<Vec<u8>>) {
        self.note_stat(stat);
        if target.is_some() {
            *self.target.write() = target;
        }
        if let Some(parent) = parent {
            self.move_to(parent.clone(), name);
        }
    }
    /// The broker said so just now.
    fn note_stat(&self, stat: Stat) {
        *self.stat.write() = stat;
        self.checked.store(if self.fs.image { 0 } else { north().call_under_way() }, Ordering::Relaxed);
    }
    /// Whether its metadata was asked for in this very call.
    fn is_checked(&self) -> bool {
        let checked = self.checked.load(Ordering::Relaxed);
        checked != 0 && checked == north().call_under_way()
    }
    fn move_to(&self, parent: Arc<Self>, name: &[u8]) {
        let mut place = self.place.write();
        let same = place.parent.as_ref().is_some_and(|p| Arc::ptr_eq(p, &parent)) && *place.name == *name;
        if !same {
            *place = NodeName { parent: Some(parent), name: name.into() };
        }
    }
    /// Path beneath the grant.
    pub(super) fn path(&self) -> Result<Vec<u8>> {
        self.path_with(b"")
    }
    /// Path of `name` in this directory.
    fn path_with(&self, name: &[u8]) -> Result<Vec<u8>> {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        let mut len = name.len();
        let (mut parent, mut own) = self.parent_and_name();
        while let Some(above) = parent {
            len += own.len() + 1;
            if len > MAX_PATH {
                return Err(Error::NameTooLong);
            }
            names.push(own);
            (parent, own) = above.parent_and_name();
        }
        let mut path = Vec::with_capacity(len);
        for component in names.iter().rev().map(|n| &**n).chain([name]).filter(|n| !n.is_empty()) {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(component);
        }
        Ok(path)
    }
    pub(super) fn parent_and_name(&self) -> (Option<Arc<Self>>, Box<[u8]>) {
        let place = self.place.read();
        (place.parent.clone(), place.name.clone())
    }
    /// Whether it was made without a name and has got none.
    fn is_nameless(&self) -> bool {
        self.place.read().parent.is_none() && self.file_type == FileType::Regular
    }
    fn handle(&self) -> Result<Arc<Self>> {
        self.me.upgrade().ok_or(Error::Io)
    }
    fn directory(&self) -> Result<()> {
        if self.file_type == FileType::Directory { Ok(()) } else { Err(Error::NotDirectory) }
    }
    fn other<'n>(&self, node: &'n Arc<dyn Inode>) -> Result<&'n Self> {
        let other = node.as_any().downcast_ref::<Self>().ok_or(Error::CrossDevice)?;
        if Arc::ptr_eq(&other.fs, &self.fs) { Ok(other) } else { Err(Error::CrossDevice) }
    }
    fn look_up(&self, name: &[u8], ahead: Ahead<'_>) -> Result<Arc<Self>> {
        let me = self.handle()?;
        let call = self.fs.true_for();
        if let Some(found) = call.and_then(|call| self.fs.found_ahead(&me, name, call)) {
            return found;
        }
        if self.fs.image {
            match self.listing.lock().tell(name, self) {
                ListedName::Absent => return Err(Error::NotFound),
                ListedName::Present(stat) => return self.fs.node(Some(&me), name, stat, None),
                ListedName::Nothing => {}
            }
        }
        let path = self.path_with(name)?;
        let known = path.split(|&b| b == b'/').count() - 1;
        let only_looked_at = ahead.rest.is_empty() && !ahead.open;
        let found = self.walk_ahead(me, path, known, ahead, call)?;
        if self.fs.image && only_looked_at && found.file_type == FileType::Regular {
            self.listing.lock().note_looked_at();
        }
        Ok(found)
    }
    pub(super) fn fs(&self) -> &HostFs {
        &self.fs
    }
    pub(super) fn size(&self) -> u64 {
        self.stat.read().size
    }
    pub(super) fn listing(&self) -> &Mutex<Listing> {
        &self.listing
    }
    /// Directories beside this one that nobody has asked for anything in, at most so many: who walks over a whole tree wants to know of their
    /// entries next.
    pub(super) fn beside(&self, most: usize) -> Vec<(Box<[u8]>, Arc<Self>)> {
        let (Some(above), own) = self.parent_and_name() else { return Vec::new() };
        // Whoever has it locked may be asking the broker.
        let Some(mut listing) = above.listing.try_lock() else { return Vec::new() };
        let most = most.min(listing.list_below(&own));
        let mut beside = Vec::new();
        while beside.len() < most {
            let Some((name, stat)) = listing.next_ahead() else { break };
            let Ok(node) = self.fs.node(Some(&above), &name, stat, None) else { continue };
            let is_new = node.listing.try_lock().is_some_and(|listing| listing.is_new());
            if is_new {
                beside.push((name, node));
            }
        }
        beside
    }
    /// Asks for the last name of `path`, which lies in this directory, and in the same request for what comes behind it. What is found
    /// further down waits to be looked up.
    fn walk_ahead(
        &self,
        me: Arc<Self>,
        mut path: Vec<u8>,
        known: usize,
        ahead: Ahead<'_>,
        call: Option<u64>,
    ) -> Result<Arc<Self>> {
        let goes_on = |name: &[u8]| name != b"." && name != b".." && name.len() <= MAX_NAME;
        let mut open = ahead.open && self.fs.image;
        let rest = if call.is_some() { ahead.rest } else { b"" };
        for name in rest.split(|&b| b == b'/').filter(|name| !name.is_empty()) {
            if !goes_on(name) || path.len() + 1 + name.len() > MAX_PATH {
                open = false;
                break;
            }
            path.push(b'/');
            path.extend_from_slice(name);
        }
        let walked = self.fs.client.walk(&path, known, open)?;
        let mut names = path.split(|&b| b == b'/').skip(known);
        let mut found = Vec::new();
        let mut above = me;
        let last = walked.stats.len().saturating_sub(1);
        for (at, (stat, name)) in walked.stats.iter().zip(&mut names).enumerate() {
            let target = if at == last { walked.target.clone() } else { None };
            let node = self.fs.node(Some(&above), name, *stat, target);
            // The first is the answer, the others wait.
            match (node, at) {
                (Ok(node), _) => {
                    found.push((above, name, node.clone()));
                    above = node;
                }
                (Err(error), 0) => return Err(error),
                (Err(_), _) => break,
            }
        }
        if let Some(fd) = walked.opened {
            above.opened(fd);
        }
        let mut found = found.into_iter();
        let Some((_, _, first)) = found.next() else { return Err(walked.stop.unwrap_or(Error::Io)) };
        let Some(call) = call else { return Ok(first) };
        let mut ahead: Vec<FoundAhead> =
            found.map(|(dir, name, node)| FoundAhead::new(dir, name, Some(node), call)).collect();
        if let (Some(Error::NotFound), Some(name)) = (walked.stop, names.next()) {
            ahead.push(FoundAhead::new(above, name, None, call));
        }
        self.fs.keep_ahead(ahead);
        Ok(first)
    }
    /// An open file of an image that readers share from now on.
    fn opened(self: &Arc<Self>, fd: HostFd) -> Arc<HostFile> {
        let file = HostFile::of_node(fd, self.clone(), true);
        *self.reader.lock() = Arc::downgrade(&file);
        self.fs.keep_open(file.clone());
        file
    }
    /// One of the files that are open behind this node, where the sandbox may change it.
    fn open_file(&self) -> Option<Arc<HostFile>> {
        self.open.lock().iter().rev().find_map(Weak::upgrade)
    }
    fn note_open(&self, file: &Arc<HostFile>) {
        let mut open = self.open.lock();
        // Those that were closed go when the list would grow.
        if open.len() == open.capacity() {
            open.retain(|file| file.strong_count() > 0);
        }
        open.push(Arc::downgrade(file));
    }
    /// Asks something about this file: by an open one of it, or by its path.
    fn ask_about<T>(&self, ask: impl FnOnce(Subject<'_>) -> Result<T>) -> Result<T> {
        match self.open_file() {
            Some(file) => ask(Subject::Open(file.descriptor())),
            None => ask(Subject::Path(&self.path()?)),
        }
    }
    /// A second descriptor for writing to a file that is open behind `fd`: for appending, or for writing where one likes.
    pub(super) fn open_again(&self, fd: HostFd, append: bool) -> Result<HostFd> {
        let mut flags = OpenFlags::WRITE;
        flags.set(OpenFlags::APPEND, append);
        self.fs.client.open(Subject::Open(fd), flags).map(|(_, fd)| fd)
    }
    /// Opens a file of a tree that the sandbox may change.
    fn open_changeable(self: &Arc<Self>, how: OpenHow, flags: OpenFlags) -> Result<Arc<dyn File>> {
        if let Some(file) = self.temporary.lock().take() {
            return Ok(file);
        }
        // The path is right when it was looked up in this call: else the file is reached through /proc/PID/fd, and may have none any more.
        let open = if self.is_checked() { None } else { self.open_file() };
        let (stat, fd) = match open {
            Some(file) => self.fs.client.open(Subject::Open(file.descriptor()), flags)?,
            None => self.fs.client.open(Subject::Path(&self.path()?), flags)?,
        };
        let node = if self.is(&stat) { self.clone() } else { self.fs.replaced(self, stat)? };
        node.note_stat(stat);
        let file = HostFile::changeable(fd, node.clone(), how.append);
        node.note_open(&file);
        Ok(file)
    }
    /// Whether it is the file with this metadata.
    fn is(&self, stat: &Stat) -> bool {
        let kept = self.stat.read();
        (stat.dev, stat.ino) == (kept.dev, kept.ino)
    }
    fn open_regular(self: &Arc<Self>, how: OpenHow) -> Result<Arc<dyn File>> {
        let writes = how.access.contains(Access::WRITE) || how.truncate;
        if self.fs.image && !writes {
            if let Some(open) = self.reader.lock().upgrade() {
                open.note_use();
                return Ok(open);
            }
        }
        let mut flags = OpenFlags::empty();
        // A file that is only written may have to be read by us too (mapping it needs both): asked for first.
        flags.set(OpenFlags::READ, how.access.contains(Access::READ) || !writes);
        flags.set(OpenFlags::WRITE, writes);
        flags.set(OpenFlags::TRUNCATE, how.truncate);
        if self.fs.changeable() {
            flags.set(OpenFlags::APPEND, how.append && writes);
            return self.open_changeable(OpenHow { append: how.append && writes, ..how }, flags);
        }
        let (stat, fd) = self.fs.client.open(Subject::Path(&self.path()?), flags)?;
        self.note_stat(stat);
        if self.fs.image { Ok(self.opened(fd)) } else { Ok(HostFile::of_node(fd, self.clone(), false)) }
    }
    fn create_node(&self, name: &[u8], node: NewNode<'_>, permissions: u32) -> Result<(Stat, Option<Vec<u8>>)> {
        let path = self.path_with(name)?;
        let client = &self.fs.client;
        let mode = |file_type: FileType| file_type.mode_bits() | permissions;
        match node {
            NewNode::Regular => client.mknod(&path, mode(FileType::Regular)),
            NewNode::Directory => client.mkdir(&path, permissions),
            NewNode::Symlink(target) => return Ok((client.symlink(&path, target)?, Some(target.to_vec()))),
            NewNode::Fifo => client.mknod(&path, mode(FileType::Fifo)),
            NewNode::Socket => client.mknod(&path, mode(FileType::Socket)),
            NewNode::CharDevice(_) | NewNode::BlockDevice(_) => Err(Error::NotPermitted),
        }
        .map(|stat| (stat, None))
    }
}

impl Drop for HostNode {
    fn drop(&mut self) {
        // The directories above go one after the other, not by recursion: the chain can be longer than the kernel's stack.
        let mut above = self.place.get_mut().parent.take();
        while let Some(mut last) = above.and_then(Arc::into_inner) {
            above = last.place.get_mut().parent.take();
        }
        let stat = *self.stat.read();
        self.fs.node_dropped(&stat);
    }
}

/// The request that changes what `attr` names.
fn attr_request(attr: &SetAttr) -> Request {
    let mut flags = AttrFlags::empty();
    let mut head = Request::default();
    if let Some(permissions) = attr.permissions {
        flags |= AttrFlags::MODE;
        head.mode = permissions;
    }
    if let Some(uid) = attr.uid {
        flags |= AttrFlags::UID;
        head.uid = uid;
    }
    if let Some(gid) = attr.gid {
        flags |= AttrFlags::GID;
        head.gid = gid;
    }
    if let Some(size) = attr.size {
        flags |= AttrFlags::SIZE;
        head.value = size;
    }
    match attr.atime {
        Some(SetTime::At(time)) => {
            flags |= AttrFlags::ATIME;
            (head.atime_sec, head.atime_nsec) = (time.sec, time.nsec);
        }
        Some(SetTime::Now) => flags |= AttrFlags::ATIME | AttrFlags::ATIME_NOW,
        None => {}
    }
    match attr.mtime {
        Some(SetTime::At(time)) => {
            flags |= AttrFlags::MTIME;
            (head.mtime_sec, head.mtime_nsec) = (time.sec, time.nsec);
        }
        Some(SetTime::Now) => flags |= AttrFlags::MTIME | AttrFlags::MTIME_NOW,
        None => {}
    }
    head.flags = flags.bits();
    head
}

impl Inode for HostNode {
    fn id(&self) -> InodeId {
        self.id
    }
    fn file_type(&self) -> FileType {
        self.file_type
    }
    fn metadata(&self) -> Result<Metadata> {
        if !self.fs.image && !self.is_checked() {
            if let Some(file) = self.open_file() {
                let stat = host().host_fstat(file.descriptor())?;
                return Ok(Metadata { id: self.id, ..metadata_of(&stat) });
            }
            let kept = *self.stat.read();
            if kept.nlink == 0 {
                // Without names and not open: it can only be told what it was.
                return Ok(Metadata { id: self.id, ..metadata_of(&HostStat::from(&kept)) });
            }
            let stat = self.fs.client.stat(&self.path()?)?;
            // Under this name there may be another file by now: that of before is gone.
            if !self.is(&stat) {
                return Err(Error::NotFound);
            }
            self.note_stat(stat);
        }
        let stat = HostStat::from(&*self.stat.read());
        Ok(Metadata { id: self.id, ..metadata_of(&stat) })
    }
    fn set_attr(&self, attr: &SetAttr) -> Result<()> {
        if *attr == SetAttr::default() {
            return Ok(());
        }
        let stat = self.ask_about(|subject| self.fs.client.set_attr(subject, attr_request(attr)))?;
        self.note_stat(stat);
        Ok(())
    }
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        self.directory()?;
        Ok(self.look_up(name, Ahead::default())?)
    }
    fn lookup_ahead(&self, name: &[u8], ahead: Ahead<'_>) -> Result<Arc<dyn Inode>> {
        self.directory()?;
        Ok(self.look_up(name, ahead)?)
    }
    fn stat_only(&self, name: &[u8]) -> Option<StatOnly> {
        if !self.fs.image || self.file_type != FileType::Directory {
            return None;
        }
        // Whoever has it locked may be asking the broker, which is waited for nowhere here.
        match self.listing.try_lock()?.told(name, &self.fs.credit)? {
            ListedName::Present(stat) => {
                Some(StatOnly::Metadata(Metadata { id: self.fs.id_of(&stat), ..metadata_of(&HostStat::from(&stat)) }))
            }
            ListedName::Absent => Some(StatOnly::Absent),
            ListedName::Nothing => None,
        }
    }
    fn create(&self, name: &[u8], node: NewNode<'_>, attr: NewAttr) -> Result<Arc<dyn Inode>> {
        self.directory()?;
        let (mut stat, target) = self.create_node(name, node, attr.permissions)?;
        if (stat.uid, stat.gid) != (attr.uid, attr.gid) {
            // Where the broker may not give files away, they stay its user's.
            let owner = SetAttr { uid: Some(attr.uid), gid: Some(attr.gid), ..SetAttr::default() };
            if let Ok(changed) = self.fs.client.set_attr(Subject::Path(&self.path_with(name)?), attr_request(&owner)) {
                stat = changed;
            }
        }
        Ok(self.fs.fresh_node(&self.handle()?, name, stat, target)?)
    }
    fn lost_name(&self) {
        let mut stat = self.stat.write();
        stat.nlink = if self.file_type == FileType::Directory { 0 } else { stat.nlink.saturating_sub(1) };
        // What else is known of it is of before.
        self.checked.store(0, Ordering::Relaxed);
    }
    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        let (target, new) = (self.other(target)?, self.path_with(name)?);
        match target.open_file().filter(|_| !target.is_checked()) {
            Some(file) => self.fs.client.link(Subject::Open(file.descriptor()), &new)?,
            None => self.fs.client.link(Subject::Path(&target.path()?), &new)?,
        }
        if target.is_nameless() {
            target.move_to(self.handle()?, name);
        }
        Ok(())
    }
    fn create_unnamed(&self, attr: NewAttr, linkable: bool) -> Result<Arc<dyn Inode>> {
        self.directory()?;
        if !self.fs.changeable() {
            return Err(Error::ReadOnly);
        }
        let (mut stat, fd) = self.fs.client.temporary(&self.path()?, attr.permissions, linkable)?;
        if (stat.uid, stat.gid) != (attr.uid, attr.gid) {
            // Where the broker may not give files away, they stay its user's.
            let owner = SetAttr { uid: Some(attr.uid), gid: Some(attr.gid), ..SetAttr::default() };
            if let Ok(changed) = self.fs.client.set_attr(Subject::Open(fd), attr_request(&owner)) {
                stat = changed;
            }
        }
        let node = self.fs.nameless_node(stat)?;
        let file = HostFile::changeable(fd, node.clone(), false);
        node.note_open(&file);
        *node.temporary.lock() = Some(file);
        Ok(node)
    }
    fn unlink(&self, name: &[u8]) -> Result<()> {
        self.fs.client.unlink(&self.path_with(name)?)
    }
    fn rmdir(&self, name: &[u8]) -> Result<()> {
        self.fs.client.rmdir(&self.path_with(name)?)
    }
    fn rename(&self, name: &[u8], new_dir: &Arc<dyn Inode>, new_name: &[u8], flags: RenameFlags) -> Result<()> {
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Error::Invalid);
        }
        let there = self.other(new_dir)?;
        let moved = self.look_up(name, Ahead::default())?;
        let swapped =
            if flags.contains(RenameFlags::EXCHANGE) { Some(there.look_up(new_name, Ahead::default())?) } else { None };
        self.fs.client.rename(&self.path_with(name)?, &there.path_with(new_name)?, flags.bits())?;
        moved.move_to(there.handle()?, new_name);
        if let Some(swapped) = swapped {
            swapped.move_to(self.handle()?, name);
        }
        Ok(())
    }
    fn read_dir(&self, cookie: u64, sink: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        self.directory()?;
        if let Some(listed) = self.read_unchanging_dir(cookie, sink) {
            return listed;
        }
        let path = self.path()?;
        let mut cookie = cookie;
        loop {
            let before = cookie;
            let piece = self.fs.client.list(&path, cookie, ListWish::Names, b"", &mut |entry: DirEntry<'_>| {
                cookie = entry.next;
                sink(entry)
            })?;
            if piece.end || !piece.wanted || cookie == before {
                return Ok(());
            }
        }
    }
    fn read_unchanging_dir(&self, cookie: u64, sink: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Option<Result<()>> {
        if !self.fs.image || self.file_type != FileType::Directory {
            return None;
        }
        let entries = self.listing.lock().entries(self)?;
        let start = usize::try_from(cookie).unwrap_or(usize::MAX);
        for (next, entry) in (1..).zip(entries.in_order()).skip(start) {
            let name = entries.name_of(entry);
            if !sink(DirEntry { name, ino: entry.ino, file_type: entry.file_type, next }) {
                break;
            }
        }
        Some(Ok(()))
    }
    fn read_link(&self) -> Result<Vec<u8>> {
        if self.file_type != FileType::Symlink {
            return Err(Error::Invalid);
        }
        let known = self.target.read().clone();
        if let (Some(target), true) = (known, self.fs.image) {
            return Ok(target);
        }
        let path = self.path()?;
        let known = path.split(|&b| b == b'/').count() - 1;
        let target = self.fs.client.walk(&path, known, false)?.target.ok_or(Error::Io)?;
        *self.target.write() = Some(target.clone());
        Ok(target)
    }
    fn open(self: Arc<Self>, how: &OpenHow) -> Result<Arc<dyn File>> {
        match self.file_type {
            FileType::Regular => self.open_regular(*how),
            FileType::Directory => Ok(DirectoryFile::new(self)),
            FileType::Symlink => Err(Error::Loop),
            FileType::Fifo => self.fifo.open(self.clone(), *how),
            _ => Err(Error::NoSuchDevice),
        }
    }
    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        match self.file_type {
            FileType::Regular | FileType::Directory => {
                self.ask_about(|subject| self.fs.client.get_xattr(subject, name))
            }
            _ => Err(Error::NoData),
        }
    }
    fn set_xattr(&self, name: &[u8], value: &[u8], create: bool, replace: bool) -> Result<()> {
        let flags = u32::from(create) | u32::from(replace) << 1;
        self.ask_about(|subject| self.fs.client.set_xattr(subject, name, value, flags))
    }
    fn list_xattr(&self) -> Result<Vec<u8>> {
        match self.file_type {
            FileType::Regular | FileType::Directory => self.ask_about(|subject| self.fs.client.list_xattr(subject)),
            _ => Ok(Vec::new()),
        }
    }
    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        if !name.starts_with(b"user.") {
            return Err(Error::NotSupported);
        }
        self.ask_about(|subject| self.fs.client.remove_xattr(subject, name))
    }
    fn stat_fs(&self) -> Result<StatFs> {
        self.fs.client.stat_fs(&self.path()?)
    }
    fn cacheable(&self) -> bool {
        self.fs.image
    }
    fn immutable(&self) -> bool {
        self.fs.image
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
