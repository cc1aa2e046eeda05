//! Inodes of a granted tree. A node knows its path beneath the grant; the broker resolves it anew for each request.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::fs::acl::{Acl, AclKind};
use crate::fs::node::FifoSlot;
use crate::fs::{
    Ahead, DirEntry, DirectoryFile, File, FileType, Inode, InodeId, Metadata, NewAttr, NewNode, OpenHow, RenameFlags,
    SetAttr, StatFs, StatOnly, XattrFlags,
};
use crate::platform::HostStat;
use crate::platform::north::north;
use crate::sync::{Mutex, RwLock};
use crate::{Error, Result};
use litebox_protocol::{MAX_NAME, MAX_PATH, Stat, WalkFlags};

use super::attributes::{Attributes, Known};
use super::changes::Moment;
use super::client::{ListWish, Walked};
use super::file::{HostFile, metadata_of};
use super::listing::{Entries, ListedName, Listing};
use super::remembered::{Remembered, RememberedName};
use super::tree::{FoundAhead, HostFs};

/// From which moments on what a walk found in its directories may be remembered.
#[derive(Default)]
struct Moments {
    /// Of the first.
    first: Option<Moment>,
    /// When the walk was asked for; `None`: nothing is remembered.
    asked: Option<Moment>,
    /// Watches of those behind it.
    watches: alloc::vec::IntoIter<i32>,
}

impl Moments {
    /// Of the next, which is `directory`.
    fn next(&mut self, directory: &Arc<HostNode>) -> Option<Moment> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let (asked, watch) = (self.asked?, self.watches.next()?);
        // One that was watched before may have changed meanwhile.
        let is_fresh = watch > 0 && directory.watch().is_none();
        let version = if is_fresh { directory.fs.changes.bind(directory, watch, asked) } else { None };
        version.map(|version| asked.of(Some(version)))
    }
}

struct NodeName {
    parent: Option<Arc<HostNode>>,
    name: Box<[u8]>,
}

/// [`HostNode::open_files`] may have one that is open.
pub(super) const OPEN: u8 = 1;
/// [`HostNode::reader`] may be open.
pub(super) const READER: u8 = 2;

/// A file, directory or link of a granted tree.
pub struct HostNode {
    me: Weak<HostNode>,
    fs: Arc<HostFs>,
    id: InodeId,
    file_type: FileType,
    place: RwLock<NodeName>,
    /// From 1 on; see [`HostNode::moves`].
    moves: AtomicU64,
    attributes: RwLock<Attributes>,
    /// For which call the metadata was asked for, of a tree that others change; 0: not for one.
    checked: AtomicU64,
    /// What is known of its list (`attributes.rs`).
    acl: AtomicU32,
    /// It was asked for before: a directory of which it is asked again is watched.
    was_asked: AtomicBool,
    /// All its entries were asked for when it was not watched yet.
    was_listed: AtomicBool,
    /// There were names of it that are known from a listing alone: most directories of volumes never have any.
    had_listed: AtomicBool,
    /// What is known of a directory while it is watched.
    remembered: Mutex<Option<Box<Remembered>>>,
    target: RwLock<Option<Vec<u8>>>,
    listing: Mutex<Listing>,
    /// The open file that readers share.
    reader: Mutex<Weak<HostFile>>,
    /// Open files of one that the sandbox may change: through them it is reached, whatever became of its names.
    open: Mutex<Vec<Weak<HostFile>>>,
    /// Which of the two may lead to an open file ([`OPEN`], [`READER`]); changed with the lock of that one held.
    may_be_open: AtomicU8,
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
            moves: AtomicU64::new(1),
            attributes: RwLock::new(Attributes::of_before(stat)),
            checked: AtomicU64::new(north().call_under_way()),
            acl: AtomicU32::new(0),
            was_asked: AtomicBool::new(false),
            was_listed: AtomicBool::new(false),
            had_listed: AtomicBool::new(false),
            remembered: Mutex::default(),
            target: RwLock::new(target),
            listing: Mutex::new(Listing::default()),
            reader: Mutex::new(Weak::new()),
            open: Mutex::new(Vec::new()),
            may_be_open: AtomicU8::new(0),
            temporary: Mutex::new(None),
            fifo: FifoSlot::default(),
        })
    }
    /// A lookup led here: by this name it can be reached now.
    pub(super) fn found_as(&self, parent: Option<&Arc<Self>>, name: &[u8], stat: Stat, target: Option<Vec<u8>>) {
        // A link that is gone may have had the number of this one.
        let kept = self.stat();
        let is_new = (kept.ctime_sec, kept.ctime_nsec) != (stat.ctime_sec, stat.ctime_nsec);
        // What is kept true is as good, as of this call.
        if self.known() != Known::All {
            self.note_stat(stat);
        }
        if target.is_some() || is_new {
            *self.target.write() = target;
        }
        if let Some(parent) = parent {
            self.move_to(parent.clone(), name);
        }
    }
    pub(super) fn attributes(&self) -> &RwLock<Attributes> {
        &self.attributes
    }
    pub(super) fn checked(&self) -> &AtomicU64 {
        &self.checked
    }
    pub(super) fn acl(&self) -> &AtomicU32 {
        &self.acl
    }
    /// Whether its metadata was asked for before; from now on it was.
    pub(super) fn was_asked(&self) -> bool {
        self.was_asked.swap(true, Ordering::Relaxed)
    }
    pub(super) fn had_listed(&self) -> &AtomicBool {
        &self.had_listed
    }
    /// Whether all its entries were asked for before it was watched; from now on they were.
    pub(super) fn was_listed(&self) -> bool {
        self.was_listed.swap(true, Ordering::Relaxed)
    }
    pub(super) fn remembered(&self) -> &Mutex<Option<Box<Remembered>>> {
        &self.remembered
    }
    pub(super) fn may_be_open(&self) -> &AtomicU8 {
        &self.may_be_open
    }
    pub(super) fn open_files(&self) -> &Mutex<Vec<Weak<HostFile>>> {
        &self.open
    }
    pub(super) fn reader(&self) -> &Mutex<Weak<HostFile>> {
        &self.reader
    }
    /// A file made without a name, or one just made, until it is opened.
    pub(super) fn made_open(&self) -> &Mutex<Option<Arc<HostFile>>> {
        &self.temporary
    }
    /// How often the name by which it is reached has become another: as long as this is the same, so is the name.
    pub(super) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }
    /// Whether it is reached by this name.
    fn is_at(&self, parent: &Self, name: &[u8]) -> bool {
        let place = self.place.read();
        place.parent.as_deref().is_some_and(|above| core::ptr::eq(above, parent)) && *place.name == *name
    }
    pub(super) fn move_to(&self, parent: Arc<Self>, name: &[u8]) {
        if self.is_at(&parent, name) {
            return;
        }
        let mut place = self.place.write();
        let before = core::mem::replace(&mut *place, NodeName { parent: Some(parent), name: name.into() });
        self.moves.fetch_add(1, Ordering::AcqRel);
        drop(place);
        drop(before);
    }
    /// Path beneath the grant.
    pub(super) fn path(&self) -> Result<Vec<u8>> {
        self.path_with(b"")
    }
    /// Path of `name` in this directory.
    pub(super) fn path_with(&self, name: &[u8]) -> Result<Vec<u8>> {
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
    pub(super) fn is_nameless(&self) -> bool {
        self.place.read().parent.is_none() && self.file_type == FileType::Regular
    }
    pub(super) fn handle(&self) -> Result<Arc<Self>> {
        self.me.upgrade().ok_or(Error::Io)
    }
    fn directory(&self) -> Result<()> {
        if self.file_type == FileType::Directory { Ok(()) } else { Err(Error::NotDirectory) }
    }
    pub(super) fn other(&self, node: &Arc<dyn Inode>) -> Result<Arc<Self>> {
        let other = node.clone().into_any().downcast::<Self>().map_err(|_| Error::CrossDevice)?;
        if Arc::ptr_eq(&other.fs, &self.fs) { Ok(other) } else { Err(Error::CrossDevice) }
    }
    /// What is remembered of `name`.
    fn known_name(&self, name: &[u8]) -> Option<Result<Arc<Self>>> {
        match self.remembered_name(name)? {
            RememberedName::Absent => Some(Err(Error::NotFound)),
            RememberedName::Here(node) => Some(Ok(node)),
            RememberedName::Listed(stat) => self.make_listed(name, stat),
            RememberedName::Node(node) => {
                let moves = node.moves();
                // A file with several names is reached by the last that led to it.
                if node.is_at(self, name) {
                    self.note_seen(name, &node, moves);
                } else {
                    match self.handle() {
                        Ok(me) => node.move_to(me, name),
                        Err(error) => return Some(Err(error)),
                    }
                }
                Some(Ok(node))
            }
        }
    }
    pub(super) fn look_up(&self, name: &[u8], ahead: Ahead<'_>) -> Result<Arc<Self>> {
        if let Some(found) = self.known_name(name) {
            return found;
        }
        let me = self.handle()?;
        let call = self.fs.true_for();
        if let Some(found) = call.and_then(|call| self.fs.found_ahead(&me, name, call)) {
            return found;
        }
        if !self.fs.image {
            let turn = self.listing.lock();
            // Who had it may have brought all names.
            if let Some(found) = self.known_name(name) {
                return found;
            }
            let has_learned = self.learn_all_at_once();
            drop(turn);
            if let Some(found) = has_learned.then(|| self.known_name(name)).flatten() {
                return found;
            }
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
        self.stat().size
    }
    pub(super) fn listing(&self) -> &Mutex<Listing> {
        &self.listing
    }
    /// Directories beside this one that nobody has asked for anything in, at most so many: who walks over a whole tree
    /// wants to know of their entries next.
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
    /// Asks for the last name of `path`, which lies in this directory, and in the same request for what comes behind
    /// it. What is found further down waits to be looked up.
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
        let asked = self.moment();
        let walked = self.fs.client.walk(&path, known, self.how_to_walk(open, !rest.is_empty()))?;
        let mut moments = self.note_watches(&me, &walked, asked);
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
                    if let Some(moment) = moments.next(&above) {
                        above.remember(name, Some((&node, Attributes::all(*stat, moment))), moment);
                    }
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
        let absent = (walked.stop == Some(Error::NotFound)).then(|| names.next()).flatten();
        if let Some((name, moment)) = absent.and_then(|name| Some((name, moments.next(&above)?))) {
            above.remember(name, None, moment);
        }
        let mut found = found.into_iter();
        let Some((_, _, first)) = found.next() else { return Err(walked.stop.unwrap_or(Error::Io)) };
        let Some(call) = call else { return Ok(first) };
        let mut ahead: Vec<FoundAhead> =
            found.map(|(dir, name, node)| FoundAhead::new(dir, name, Some(node), call)).collect();
        if let Some(name) = absent {
            ahead.push(FoundAhead::new(above, name, None, call));
        }
        self.fs.keep_ahead(ahead);
        Ok(first)
    }
    /// What the broker is to do besides walking from this directory on; `deep`: it goes through others.
    fn how_to_walk(&self, open: bool, deep: bool) -> WalkFlags {
        let mut how = WalkFlags::empty();
        how.set(WalkFlags::OPEN, open);
        if self.fs.changes.is_heard(&self.fs.client) {
            how |= WalkFlags::STAT_KNOWN;
            how.set(WalkFlags::WATCH, deep || self.watch().is_none());
        }
        how
    }
    /// All entries of a watched directory, where the place `cookie` of the host is among them.
    fn entries_for(&self, cookie: u64) -> Result<Option<Arc<Entries>>> {
        if !self.fs.changes.is_heard(&self.fs.client) {
            return Ok(None);
        }
        let known = self.remembered_entries().filter(|entries| entries.behind(cookie).is_some());
        if known.is_some() || cookie != 0 { Ok(known) } else { self.list_watched() }
    }
    /// Notes which directories are watched now.
    fn note_watches(&self, me: &Arc<Self>, walked: &Walked, asked: Moment) -> Moments {
        let Some(stat) = walked.known else { return Moments::default() };
        let mut watches = walked.watches.clone().into_iter();
        let watch = watches.next().or_else(|| self.watch()).unwrap_or(0);
        Moments { first: Some(me.note_watch(stat, watch, asked)), asked: Some(asked), watches }
    }
}

impl Drop for HostNode {
    fn drop(&mut self) {
        // The directories above go one after the other, not by recursion: the chain can be longer than the kernel's
        // stack.
        let mut above = self.place.get_mut().parent.take();
        while let Some(mut last) = above.and_then(Arc::into_inner) {
            above = last.place.get_mut().parent.take();
        }
        if let Some(kept) = self.remembered.get_mut() {
            self.fs.changes.names.fetch_sub(kept.len(), Ordering::Relaxed);
        }
        let stat = self.attributes.get_mut().stat;
        self.fs.node_dropped(&stat);
    }
}

/// Whether an attribute is one of those that are privileges of the host: the sandbox sees none, and sets none.
fn is_of_the_host(name: &[u8]) -> bool {
    !name.starts_with(b"user.") && AclKind::of(name).is_none()
}

impl Inode for HostNode {
    fn id(&self) -> InodeId {
        self.id
    }
    fn file_type(&self) -> FileType {
        self.file_type
    }
    fn metadata(&self) -> Result<Metadata> {
        self.metadata_now()
    }
    fn rights(&self) -> Result<Metadata> {
        self.rights_now()
    }
    fn set_attr(&self, attr: &SetAttr) -> Result<()> {
        self.change_attributes(attr)
    }
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        self.directory()?;
        Ok(self.look_up(name, Ahead::default())?)
    }
    fn lookup_ahead(&self, name: &[u8], ahead: Ahead<'_>) -> Result<Arc<dyn Inode>> {
        self.directory()?;
        Ok(self.look_up(name, ahead)?)
    }
    fn lookup_known(&self, name: &[u8]) -> Option<Result<Arc<dyn Inode>>> {
        if self.file_type != FileType::Directory {
            return None;
        }
        let found = self.known_name(name)?;
        Some(found.map(|node| node as Arc<dyn Inode>))
    }
    fn stat_only(&self, name: &[u8]) -> Option<StatOnly> {
        if self.file_type != FileType::Directory {
            return None;
        }
        if !self.fs.image {
            let stat = self.listed_stat(name)?;
            let metadata = metadata_of(&HostStat::from(&stat));
            return Some(StatOnly::Metadata(Metadata { id: self.fs.id_of(&stat), ..metadata }));
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
        Ok(self.make_name(name, node, attr)?)
    }
    fn lost_name(&self) {
        self.note_lost_name();
    }
    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        self.link_name(name, &self.other(target)?)
    }
    fn create_unnamed(&self, attr: NewAttr, linkable: bool) -> Result<Arc<dyn Inode>> {
        self.directory()?;
        Ok(self.make_unnamed(attr, linkable)?)
    }
    fn unlink(&self, name: &[u8]) -> Result<()> {
        self.remove_name(name, false)
    }
    fn rmdir(&self, name: &[u8]) -> Result<()> {
        self.remove_name(name, true)
    }
    fn rename(&self, name: &[u8], new_dir: &Arc<dyn Inode>, new_name: &[u8], flags: RenameFlags) -> Result<()> {
        if flags.contains(RenameFlags::RENAME_WHITEOUT) {
            return Err(Error::Invalid);
        }
        self.move_name(name, &self.other(new_dir)?, new_name, flags)
    }
    fn read_dir(&self, cookie: u64, sink: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        self.directory()?;
        if let Some(listed) = self.read_unchanging_dir(cookie, sink) {
            return listed;
        }
        if let Some(entries) = self.entries_for(cookie)? {
            let start = entries.behind(cookie).unwrap_or(usize::MAX);
            for entry in entries.in_order().iter().skip(start) {
                let (name, next) = (entries.name_of(entry), entry.next);
                if !sink(DirEntry { name, ino: entry.ino, file_type: entry.file_type, next }) {
                    break;
                }
            }
            return Ok(());
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
        let kept = self.fs.image || self.has_its_name();
        if let (Some(target), true) = (known, kept) {
            return Ok(target);
        }
        let path = self.path()?;
        let known = path.split(|&b| b == b'/').count() - 1;
        let target = self.fs.client.walk(&path, known, WalkFlags::empty())?.target.ok_or(Error::Io)?;
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
        if is_of_the_host(name) {
            return Err(Error::NoData);
        }
        match self.file_type {
            FileType::Regular | FileType::Directory => {
                self.ask_about(|subject| self.fs.client.get_xattr(subject, name))
            }
            FileType::Symlink => Err(Error::NoData),
            _ if AclKind::of(name).is_some() => self.ask_about(|subject| self.fs.client.get_xattr(subject, name)),
            _ => Err(Error::NoData),
        }
    }
    fn access_acl(&self, mode_allows: bool) -> Option<Acl> {
        self.acl_now(mode_allows)
    }
    fn set_acl(&self, kind: AclKind, acl: Option<Acl>, keeps_group_id: bool) -> Result<()> {
        let client = &self.fs.client;
        match acl {
            Some(acl) => {
                self.ask_about(|subject| client.set_xattr(subject, kind.name(), acl.as_xattr(), XattrFlags::empty()))?;
                // Permissions change with it.
                self.lower(Known::Nothing);
                // The broker's user may keep what ours may not.
                let permissions = self.metadata_now()?.permissions();
                if kind == AclKind::Default || keeps_group_id || permissions & 0o2000 == 0 {
                    return Ok(());
                }
                self.set_attr(&SetAttr { permissions: Some(permissions & !0o2000), ..SetAttr::default() })
            }
            None => match self.ask_about(|subject| client.remove_xattr(subject, kind.name())) {
                Err(Error::NoData) => Ok(()),
                removed => removed,
            },
        }
    }
    fn set_xattr(&self, name: &[u8], value: &[u8], how: XattrFlags) -> Result<()> {
        if is_of_the_host(name) {
            let replaces = how.contains(XattrFlags::XATTR_REPLACE);
            return Err(if replaces { Error::NoData } else { Error::NotSupported });
        }
        self.ask_about(|subject| self.fs.client.set_xattr(subject, name, value, how))
    }
    fn list_xattr(&self) -> Result<Vec<u8>> {
        match self.file_type {
            FileType::Symlink => Ok(Vec::new()),
            _ => self.ask_about(|subject| self.fs.client.list_xattr(subject)),
        }
    }
    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        if is_of_the_host(name) {
            return Err(Error::NoData);
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
