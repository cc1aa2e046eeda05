//! Watching files and directories: inotify(7).
//!
//! [`Watches`] knows who watches which inode; there is one for all mounts. What happens to files is told to it by
//! [`Location::tell`] and its kin: one load as long as nobody watches anything. An [`Inotify`] is the open file that
//! events are read from.
//!
//! Locks: `Watches::by_inode`, then one instance's watches, then its queue. No file system is called under them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use litebox_common_linux::abi::ioctl::FIONREAD;

use super::{AnonInode, Dentry, FAsync, FAsyncEntry, File, FileType, Inode, InodeId, Location, OpenFile};
use crate::event::{Events, Observer, WaitQueue};
use crate::io::Dest;
use crate::platform::host;
use crate::sync::Mutex;
use crate::{Error, Result};

/// Events one instance keeps (fs.inotify.max_queued_events).
const MOST_EVENTS: usize = 16_384;
/// Watches there may be (fs.inotify.max_user_watches).
const MOST_WATCHES: usize = 65_536;
/// Instances there may be (fs.inotify.max_user_instances).
const MOST_INSTANCES: usize = 128;
/// Size of `struct inotify_event` without its name; names are filled up to a multiple of it.
const HEAD: usize = 16;

bitflags::bitflags! {
    /// What happened, and how to watch, with the numbers of inotify(7).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct WatchMask: u32 {
        /// It was read.
        const ACCESS = 0x1;
        /// It was written or cut.
        const MODIFY = 0x2;
        /// Metadata changed.
        const ATTRIB = 0x4;
        /// It was closed by who could write.
        const CLOSE_WRITE = 0x8;
        /// It was closed by who could not write.
        const CLOSE_NOWRITE = 0x10;
        /// It was opened.
        const OPEN = 0x20;
        /// A name left the directory.
        const MOVED_FROM = 0x40;
        /// A name came into the directory.
        const MOVED_TO = 0x80;
        /// A name was made.
        const CREATE = 0x100;
        /// A name was removed.
        const DELETE = 0x200;
        /// The watched inode is gone.
        const DELETE_SELF = 0x400;
        /// The watched inode was moved.
        const MOVE_SELF = 0x800;
        /// A name changed within the directory (of no meaning to inotify).
        const RENAMED = 0x1000;
        /// Its file system was unmounted.
        const UNMOUNT = 0x2000;
        /// Events were lost.
        const Q_OVERFLOW = 0x4000;
        /// The watch ended.
        const IGNORED = 0x8000;
        /// Watch it only if it is a directory.
        const ONLYDIR = 0x0100_0000;
        /// Watch a symbolic link itself.
        const DONT_FOLLOW = 0x0200_0000;
        /// Not for files that have no name any more.
        const EXCL_UNLINK = 0x0400_0000;
        /// There must be no such watch.
        const MASK_CREATE = 0x1000_0000;
        /// Add to what is watched for.
        const MASK_ADD = 0x2000_0000;
        /// It happened to a directory.
        const ISDIR = 0x4000_0000;
        /// The watch ends with the first event.
        const ONESHOT = 0x8000_0000;
    }
}

impl WatchMask {
    /// What can be asked for.
    pub const EVENTS: Self = Self::from_bits_retain(0xfff);
    /// What happens to inodes: events, and what only owners of directories are told of.
    const TOLD: Self = Self::EVENTS.union(Self::RENAMED);
    /// What a watch keeps of what it was asked for.
    const KEPT: Self = Self::EVENTS.union(Self::ONESHOT).union(Self::EXCL_UNLINK);
}

/// Who is told.
enum Listener {
    /// An inotify instance.
    Instance(Weak<Inotify>),
    /// The owner of an open directory (fcntl(2) `F_NOTIFY`).
    Owner(Weak<FAsyncEntry>),
}

/// One listener's interest in one inode.
struct Watch {
    wd: i32,
    inode: InodeId,
    mask: AtomicU32,
    listener: Listener,
}

impl Watch {
    fn mask(&self) -> WatchMask {
        WatchMask::from_bits_retain(self.mask.load(Ordering::Relaxed))
    }
    fn instance(&self) -> Option<Arc<Inotify>> {
        match &self.listener {
            Listener::Instance(instance) => instance.upgrade(),
            Listener::Owner(_) => None,
        }
    }
    fn is_of(&self, instance: &Weak<Inotify>) -> bool {
        matches!(&self.listener, Listener::Instance(own) if Weak::ptr_eq(own, instance))
    }
}

/// A directory that its open file watches; the watch ends with this.
pub(super) struct Watched {
    watches: Arc<Watches>,
    watch: Arc<Watch>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watches.remove(&self.watch);
    }
}

/// What one may have of each, all instances of the sandbox together (/proc/sys/fs/inotify).
pub struct WatchLimits {
    /// Events that wait in one instance.
    pub events: AtomicUsize,
    /// Instances.
    pub instances: AtomicUsize,
    /// Watches.
    pub watches: AtomicUsize,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self {
            events: AtomicUsize::new(MOST_EVENTS),
            instances: AtomicUsize::new(MOST_INSTANCES),
            watches: AtomicUsize::new(MOST_WATCHES),
        }
    }
}

/// Who watches what.
#[derive(Default)]
pub struct Watches {
    /// How many there may be.
    pub limits: WatchLimits,
    count: AtomicUsize,
    instances: AtomicUsize,
    cookies: AtomicU32,
    by_inode: Mutex<BTreeMap<InodeId, Vec<Arc<Watch>>>>,
}

/// Something that happened to an inode, or to the name `name` in a directory.
#[derive(Clone, Copy)]
struct Happening<'a> {
    what: WatchMask,
    name: Option<&'a [u8]>,
    cookie: u32,
    /// The name is gone already: those who do not want to hear of such files do not.
    unlinked: bool,
}

impl Watches {
    /// Whether anybody watches anything.
    #[inline]
    fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }
    fn cookie(&self) -> u32 {
        self.cookies.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
    fn post(&self, inode: InodeId, happening: Happening<'_>) {
        let watchers: Vec<Arc<Watch>> = match self.by_inode.lock().get(&inode) {
            Some(watchers) => watchers.clone(),
            None => return,
        };
        for watch in watchers {
            let mask = watch.mask();
            let unwanted = happening.unlinked && mask.contains(WatchMask::EXCL_UNLINK);
            if unwanted || !mask.intersects(happening.what & WatchMask::TOLD) {
                continue;
            }
            let once = mask.contains(WatchMask::ONESHOT);
            match &watch.listener {
                Listener::Instance(instance) => {
                    let Some(instance) = instance.upgrade() else { continue };
                    instance.queue_event(watch.wd, happening);
                    if once {
                        instance.forget(&watch);
                    }
                }
                Listener::Owner(fasync_entry) => {
                    if let Some(fasync_entry) = fasync_entry.upgrade().filter(|_| !once || self.remove(&watch)) {
                        fasync_entry.raise(Events::MSG);
                    }
                }
            }
        }
    }
    /// An inode is gone for good.
    fn gone(&self, inode: InodeId) {
        let what = WatchMask::DELETE_SELF;
        self.post(inode, Happening { what, name: None, cookie: 0, unlinked: false });
        let watchers = self.by_inode.lock().get(&inode).cloned().unwrap_or_default();
        for watch in watchers {
            if let Some(instance) = watch.instance() {
                instance.forget(&watch);
            } else {
                self.remove(&watch);
            }
        }
    }
    /// The owner of the open directory `file`, asked for by `fd`, is told of `mask` from now on, too; of nothing any
    /// more when it is empty.
    pub fn tell_owner(self: &Arc<Self>, fasync: &Arc<FAsync>, file: &Arc<OpenFile>, fd: i32, mask: WatchMask) {
        let fasync_entry = fasync.of(file, fd);
        let mut watched = fasync_entry.watched.lock();
        let before = watched.take();
        if mask.is_empty() {
            return;
        }
        // One that was for a single event may have ended.
        let before = before.filter(|before| self.remove(&before.watch));
        let kept = before.map_or(WatchMask::empty(), |before| before.watch.mask() & WatchMask::TOLD);
        let inode = file.file.inode().id();
        let mask = AtomicU32::new((mask | kept).bits());
        let watch = Arc::new(Watch { wd: 0, inode, mask, listener: Listener::Owner(Arc::downgrade(&fasync_entry)) });
        self.by_inode.lock().entry(inode).or_default().push(watch.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        *watched = Some(Watched { watches: self.clone(), watch });
    }
    /// Takes a watch out. `false`: it was out already.
    fn remove(&self, watch: &Arc<Watch>) -> bool {
        let mut by_inode = self.by_inode.lock();
        let Some(watchers) = by_inode.get_mut(&watch.inode) else { return false };
        let before = watchers.len();
        watchers.retain(|other| !Arc::ptr_eq(other, watch));
        let removed = watchers.len() < before;
        if watchers.is_empty() {
            by_inode.remove(&watch.inode);
        }
        if removed {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }
}

fn kind(inode: &dyn Inode) -> WatchMask {
    if inode.file_type() == FileType::Directory { WatchMask::ISDIR } else { WatchMask::empty() }
}

impl Location {
    /// Something happened to what lies here: the directory it lies in and its own watchers hear of it.
    #[inline]
    pub fn tell(&self, what: WatchMask) {
        if self.mount.watches.any() {
            self.tell_watchers(what);
        }
    }
    #[cold]
    fn tell_watchers(&self, what: WatchMask) {
        let watches = &self.mount.watches;
        let what = what | kind(&**self.inode());
        let unlinked = self.dentry.removed();
        if let (Some(parent), name) = self.dentry.place() {
            let happening = Happening { what, name: Some(&name), cookie: 0, unlinked };
            watches.post(parent.inode().id(), happening);
        }
        watches.post(self.inode().id(), Happening { what, name: None, cookie: 0, unlinked: false });
    }
    /// A name in this directory was made or removed.
    pub(super) fn tell_name(&self, what: WatchMask, name: &[u8], inode: &dyn Inode) {
        if self.mount.watches.any() {
            let happening = Happening { what: what | kind(inode), name: Some(name), cookie: 0, unlinked: false };
            self.mount.watches.post(self.inode().id(), happening);
        }
    }
    /// What was called `old` in this directory is called `new` in `dir`.
    pub(super) fn tell_move(&self, old: &[u8], dir: &Self, new: &[u8], inode: &dyn Inode) {
        let watches = &self.mount.watches;
        if !watches.any() {
            return;
        }
        let cookie = watches.cookie();
        let kind = kind(inode);
        let from = Happening { what: WatchMask::MOVED_FROM | kind, name: Some(old), cookie, unlinked: false };
        watches.post(self.inode().id(), from);
        watches.post(dir.inode().id(), Happening { what: WatchMask::MOVED_TO | kind, name: Some(new), ..from });
        if self.inode().id() == dir.inode().id() {
            watches.post(dir.inode().id(), Happening { what: WatchMask::RENAMED, ..from });
        }
    }
    /// The inode itself was moved, or its links changed: its own watchers hear of it.
    pub(super) fn tell_self(&self, what: WatchMask, inode: &dyn Inode) {
        if self.mount.watches.any() {
            // A moved directory does not say that it is one.
            let what = if what == WatchMask::MOVE_SELF { what } else { what | kind(inode) };
            self.mount.watches.post(inode.id(), Happening { what, name: None, cookie: 0, unlinked: false });
        }
    }
    /// Ends the watches of an inode of this mount that lost its last name, if `dentry` is the last handle on it.
    pub(super) fn tell_if_gone(&self, dentry: &Arc<Dentry>) {
        let last = dentry.removed() && Arc::strong_count(dentry) == 1;
        if self.mount.watches.any() && last && dentry.inode().metadata().is_ok_and(|m| is_nameless(&m)) {
            self.mount.watches.gone(dentry.inode().id());
        }
    }
}

/// A removed directory may keep the link that is its own `.`.
fn is_nameless(metadata: &super::Metadata) -> bool {
    metadata.nlink == 0 || metadata.file_type() == FileType::Directory
}

#[derive(PartialEq, Eq)]
struct Event {
    wd: i32,
    mask: WatchMask,
    cookie: u32,
    name: Box<[u8]>,
}

impl Event {
    fn name_room(&self) -> usize {
        if self.name.is_empty() { 0 } else { (self.name.len() + 1).next_multiple_of(HEAD) }
    }
    fn len(&self) -> usize {
        HEAD + self.name_room()
    }
    /// The same thing happened again: told once.
    fn repeats(&self, last: &Self) -> bool {
        !last.mask.contains(WatchMask::IGNORED)
            && (self.wd, self.mask) == (last.wd, last.mask)
            && self.name == last.name
    }
    fn put(&self, dest: &mut Dest<'_>) -> Result<()> {
        let mut raw = Vec::new();
        raw.try_reserve_exact(self.len()).map_err(|_| Error::NoMemory)?;
        let words = [self.wd as u32, self.mask.bits(), self.cookie, self.name_room() as u32];
        raw.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        raw.extend_from_slice(&self.name);
        raw.resize(self.len(), 0);
        dest.put_whole(&raw)
    }
}

#[derive(Default)]
struct OwnQueue {
    by_wd: BTreeMap<i32, Arc<Watch>>,
    last_wd: i32,
}

/// An open file that events are read from.
pub struct Inotify {
    watches: Arc<Watches>,
    own: Mutex<OwnQueue>,
    events: Mutex<VecDeque<Event>>,
    queue: WaitQueue,
    inode: Arc<AnonInode>,
    /// As it was set when the instance was made.
    most_events: usize,
    myself: Weak<Inotify>,
}

impl Inotify {
    /// An instance without watches; `TooManyFiles` when there are too many.
    pub fn new(watches: &Arc<Watches>) -> Result<Arc<Self>> {
        let most = watches.limits.instances.load(Ordering::Relaxed);
        let one_more = |n: usize| (n < most).then_some(n + 1);
        let counted = watches.instances.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.map_err(|_| Error::TooManyFiles)?;
        Ok(Arc::new_cyclic(|myself| Self {
            watches: watches.clone(),
            own: Mutex::new(OwnQueue::default()),
            events: Mutex::new(VecDeque::new()),
            queue: WaitQueue::new(),
            inode: AnonInode::shared("inotify"),
            most_events: watches.limits.events.load(Ordering::Relaxed),
            myself: myself.clone(),
        }))
    }

    /// Watches an inode, or changes how it is watched; returns the number of the watch.
    pub fn watch(&self, inode: &dyn Inode, mask: WatchMask) -> Result<i32> {
        let id = inode.id();
        let mut by_inode = self.watches.by_inode.lock();
        let mut own = self.own.lock();
        let watchers = by_inode.get(&id).map_or(&[][..], Vec::as_slice);
        if let Some(watch) = watchers.iter().find(|watch| watch.is_of(&self.myself)) {
            if mask.contains(WatchMask::MASK_CREATE) {
                return Err(Error::Exists);
            }
            let kept = if mask.contains(WatchMask::MASK_ADD) { watch.mask() } else { WatchMask::empty() };
            watch.mask.store((kept | mask & WatchMask::KEPT).bits(), Ordering::Relaxed);
            return Ok(watch.wd);
        }
        if self.watches.count.load(Ordering::Relaxed) >= self.watches.limits.watches.load(Ordering::Relaxed) {
            return Err(Error::NoSpace);
        }
        let mut wd = own.last_wd;
        loop {
            wd = wd.checked_add(1).unwrap_or(1);
            if !own.by_wd.contains_key(&wd) {
                break;
            }
        }
        let mask = AtomicU32::new((mask & WatchMask::KEPT).bits());
        let watch = Arc::new(Watch { wd, inode: id, mask, listener: Listener::Instance(self.myself.clone()) });
        own.last_wd = wd;
        own.by_wd.insert(wd, watch.clone());
        by_inode.entry(id).or_default().push(watch);
        self.watches.count.fetch_add(1, Ordering::Relaxed);
        Ok(wd)
    }

    /// Ends a watch; `Invalid` when there is none of this number.
    pub fn unwatch(&self, wd: i32) -> Result<()> {
        let watch = self.own.lock().by_wd.get(&wd).cloned().ok_or(Error::Invalid)?;
        self.forget(&watch);
        Ok(())
    }
    /// Calls `f(wd, inode, mask)` for each watch (for /proc).
    pub fn for_each(&self, f: &mut dyn FnMut(i32, InodeId, WatchMask)) {
        for watch in self.own.lock().by_wd.values() {
            f(watch.wd, watch.inode, watch.mask());
        }
    }

    /// The watch ends, and the instance is told so.
    fn forget(&self, watch: &Arc<Watch>) {
        if self.watches.remove(watch) {
            self.own.lock().by_wd.remove(&watch.wd);
            let what = WatchMask::IGNORED;
            self.queue_event(watch.wd, Happening { what, name: None, cookie: 0, unlinked: false });
        }
    }

    fn queue_event(&self, wd: i32, happening: Happening<'_>) {
        let name = happening.name.unwrap_or_default();
        let event = Event { wd, mask: happening.what, cookie: happening.cookie, name: name.into() };
        let mut events = self.events.lock();
        if events.back().is_some_and(|last| event.repeats(last)) {
            return;
        }
        if events.len() < self.most_events {
            events.push_back(event);
        } else if events.len() == self.most_events {
            events.push_back(Event { wd: -1, mask: WatchMask::Q_OVERFLOW, cookie: 0, name: Box::default() });
        }
        drop(events);
        self.queue.notify(Events::IN | Events::RDNORM);
    }
}

impl File for Inotify {
    fn signals_owner(&self) -> bool {
        true
    }
    fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }
    fn is_stream(&self) -> bool {
        true
    }
    fn offset_stays(&self) -> bool {
        true
    }
    fn read_at(&self, dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        let mut done = 0;
        let mut events = self.events.lock();
        while let Some(event) = events.front() {
            if event.len() > dest.remaining() {
                return if done > 0 { Ok(done) } else { Err(Error::Invalid) };
            }
            match event.put(dest) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
                Ok(()) => {}
            }
            done += event.len();
            events.pop_front();
        }
        if done > 0 { Ok(done) } else { Err(Error::WouldBlock) }
    }
    fn ready(&self) -> Events {
        if self.events.lock().is_empty() { Events::empty() } else { Events::IN | Events::RDNORM }
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.queue.remove(observer);
    }
    fn ioctl(&self, request: u32, arg: usize) -> Result<usize> {
        if request != FIONREAD {
            return Err(Error::NotTerminal);
        }
        let len: usize = self.events.lock().iter().map(Event::len).sum();
        let bytes = i32::try_from(len).unwrap_or(i32::MAX).to_ne_bytes();
        let copied = host().copy_to_user(arg, &bytes);
        if copied == bytes.len() { Ok(0) } else { Err(Error::Fault) }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        for watch in core::mem::take(&mut self.own.get_mut().by_wd).into_values() {
            self.watches.remove(&watch);
        }
        self.watches.instances.fetch_sub(1, Ordering::Relaxed);
    }
}
