//! Changes of a tree that others change: the queue of inotify(7) that the broker keeps for a grant.
//!
//! The host puts an event into the queue before a call that changes something returns. So whoever finds the queue empty
//! knows that what was remembered of the tree is still true: one look in each call ([`Changes::look`]), before anything
//! that is remembered is believed. What an event speaks of is forgotten.
//!
//! Our own changes come back as events, too. Whoever makes one says so before ([`Changes::expect`]), and that event
//! makes nobody forget. The host may merge an event of metadata with somebody else's that is the same: so the broker
//! puts a mark between ours and what it then says of the file. What others did before the mark is in what it says.
//!
//! What is learned while events are drained may be of before them. A [`Moment`] is taken before the broker is asked,
//! and nothing is remembered when the directory has changed since.
//!
//! A file's second name is the one change of it that no event tells: a name that somebody makes may be one. So the
//! broker is asked about each (a *suspect*), and where it is gone by then, no metadata of any file is believed any
//! more. Names made in directories that are not watched are not heard of.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

use litebox_common_linux::abi::ioctl::FIONREAD;

use super::client::Client;
use super::file::HostFile;
use super::flag::ChangeFlag;
use super::node::HostNode;
use crate::fs::NameMap;
use crate::platform::north::north;
use crate::platform::{HostFd, host};
use crate::sync::{Mutex, MutexGuard};
use crate::{Error, Result};

/// Events of inotify(7), with its numbers.
pub(super) mod event {
    pub(in super::super) const MODIFY: u32 = 0x2;
    pub(in super::super) const ATTRIB: u32 = 0x4;
    pub(in super::super) const CLOSE_WRITE: u32 = 0x8;
    pub(in super::super) const MOVED_FROM: u32 = 0x40;
    pub(in super::super) const MOVED_TO: u32 = 0x80;
    pub(in super::super) const CREATE: u32 = 0x100;
    pub(in super::super) const DELETE: u32 = 0x200;
    pub(in super::super) const DELETE_SELF: u32 = 0x400;
    pub(in super::super) const MOVE_SELF: u32 = 0x800;
    pub(in super::super) const OVERFLOW: u32 = 0x4000;
    pub(in super::super) const IGNORED: u32 = 0x8000;
    pub(in super::super) const IS_DIRECTORY: u32 = 0x4000_0000;
}

/// Bytes of the queue that are read at once.
const BUFFER: usize = 16 << 10;
/// The longest event: its head, and a name with zeros behind.
const LONGEST: usize = HEAD + 256;
const HEAD: usize = 16;
/// How often the queue is read before whoever looks gives up: others change the tree faster than anybody can follow.
const MOST_READS: usize = 128;
/// Names that are remembered of one tree before all are forgotten.
pub(super) const MOST_NAMES: usize = 65_536;

/// The descriptor was not asked for yet.
const UNASKED: i32 = -1;
/// There is none: everything is asked for.
const NONE: i32 = -2;
/// Names made by others that are asked about one by one; more may be links to any file.
const MOST_SUSPECTS: usize = 32;

/// What is heard of changes.
pub(super) struct Changes {
    /// Descriptor of the queue.
    queue_fd: AtomicI32,
    /// The watch whose events are marks.
    mark: AtomicI32,
    /// Says without a call that the queue is empty.
    flag: ChangeFlag,
    /// The call in which the queue was last looked at.
    looked: AtomicU64,
    /// Somebody has taken events from the queue, and not forgotten yet what they speak of.
    draining: AtomicBool,
    /// How many events spoke of a watch that nobody knew.
    strange: AtomicU64,
    /// How often names came or went that may have been second names of files.
    links: AtomicU64,
    /// Events of our own changes that were made and have not been seen.
    awaited: AtomicUsize,
    /// Names that are remembered, of all directories.
    pub(super) names: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    /// By the number of its watch.
    directories: NameMap<i32, Weak<HostNode>>,
    expected: Vec<Expected>,
    last_expected: u64,
    /// How many directories were bound to watches.
    bound: u64,
    suspects: Suspects,
}

/// Names that others made, of files that may have others.
#[derive(Default)]
struct Suspects {
    names: Vec<(Arc<HostNode>, Box<[u8]>)>,
    /// The move that took one away.
    moved: Option<u32>,
    /// One went before anybody could ask about it.
    lost: bool,
}

/// An event that a change of ours will bring.
struct Expected {
    id: u64,
    watch: i32,
    mask: u32,
    name: Box<[u8]>,
    /// The change was made: the event is in the queue, or was lost with others.
    made: bool,
}

/// When the broker was asked: what it says is remembered if nothing has changed since.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    /// How many events were strange.
    strange: u64,
    /// What [`Changes::links`] said.
    pub(super) links: u64,
    /// Of the directory; `None`: it was not watched.
    pub(super) version: Option<u64>,
}

impl Moment {
    /// The same, of a directory that has this version.
    pub(super) fn of(self, version: Option<u64>) -> Self {
        Self { version, ..self }
    }
}

/// What is forgotten, until no lock is held any more.
#[derive(Default)]
pub(super) struct Forgotten {
    pub(super) nodes: Vec<Arc<HostNode>>,
    pub(super) files: Vec<Arc<HostFile>>,
}

/// One event, taken apart.
struct Event<'b> {
    watch: i32,
    mask: u32,
    /// Says which two of a move belong together.
    cookie: u32,
    name: &'b [u8],
}

/// Takes the first event off; `None`: there is none.
fn take_event<'b>(bytes: &mut &'b [u8]) -> Option<Event<'b>> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let number = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let (watch, mask, cookie, len) = (number(0)? as i32, number(4)?, number(8)?, number(12)? as usize);
    let (name, rest) = rest.split_at_checked(len)?;
    *bytes = rest;
    let end = name.iter().position(|&b| b == 0).unwrap_or(len);
    Some(Event { watch, mask, cookie, name: name.get(..end).unwrap_or_default() })
}

impl Changes {
    /// Of a tree that is watched when the broker can.
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            queue_fd: AtomicI32::new(if wanted { UNASKED } else { NONE }),
            mark: AtomicI32::new(0),
            flag: ChangeFlag::default(),
            looked: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            strange: AtomicU64::new(0),
            links: AtomicU64::new(0),
            awaited: AtomicUsize::new(0),
            names: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    fn queue(&self) -> Option<HostFd> {
        let fd = self.queue_fd.load(Ordering::Acquire);
        (fd >= 0).then_some(HostFd(fd))
    }

    /// Whether there is a queue, which is asked for once.
    pub(super) fn is_heard(&self, client: &Client) -> bool {
        match self.queue_fd.load(Ordering::Acquire) {
            NONE => false,
            UNASKED => {
                let (fd, mark) = client.changes().map_or((NONE, 0), |(fd, mark)| (fd.0, mark));
                self.mark.store(mark, Ordering::Release);
                let won = self.queue_fd.compare_exchange(UNASKED, fd, Ordering::AcqRel, Ordering::Acquire).is_ok();
                if !won && fd != NONE {
                    host().host_close(HostFd(fd));
                }
                self.queue().is_some()
            }
            _ => true,
        }
    }

    /// Metadata of files is believed that was asked for when this was the same.
    pub(super) fn links(&self) -> u64 {
        self.links.load(Ordering::SeqCst)
    }

    /// Whether what is remembered is true, as of the call under way. `resolve` asks about a name in a directory that
    /// may be another name of a known file: an error when that is gone.
    pub(super) fn look(&self, client: &Client, resolve: &dyn Fn(&HostNode, &[u8]) -> Result<()>) -> bool {
        let Some(fd) = self.queue() else { return false };
        // Of a change of ours that was made elsewhere no event comes.
        let is_awaited = self.awaited.load(Ordering::SeqCst) != 0;
        if !is_awaited && self.flag.is_down() {
            return true;
        }
        let call = north().call_under_way();
        if call != 0 && self.looked.load(Ordering::Acquire) == call {
            return true;
        }
        // Events of our own changes are there for sure.
        match if is_awaited { Some(true) } else { self.is_waiting(fd) } {
            None => return false,
            Some(true) => {
                self.flag.note_event();
                if !self.drain(fd, resolve) {
                    return false;
                }
            }
            Some(false) if self.flag.note_quiet() => self.lower_flag(fd, client),
            Some(false) => {}
        }
        self.looked.store(call, Ordering::Release);
        true
    }

    /// Whether events are in the queue, or are being taken from it; `None`: the host does not say.
    fn is_waiting(&self, fd: HostFd) -> Option<bool> {
        let mut waiting = 0i32;
        // SAFETY: the host writes one 32-bit number.
        unsafe { host().host_ioctl(fd, FIONREAD, (&raw mut waiting) as usize) }.ok()?;
        // Whoever drains says so before the queue is empty, and awaits what it has not seen.
        let others = self.awaited.load(Ordering::SeqCst) != 0 || self.draining.load(Ordering::SeqCst);
        Some(waiting != 0 || others)
    }

    /// Nothing has changed for a while.
    fn lower_flag(&self, fd: HostFd, client: &Client) {
        // Whoever takes events from the queue has it locked.
        let Some(state) = self.state.try_lock() else { return };
        let lower = || host().change_flag(client.lower_flag().ok()?);
        self.flag.lower(lower, || self.is_waiting(fd) == Some(false));
        drop(state);
    }

    /// Forgets what the events in the queue speak of. `false`: there are always more.
    fn drain(&self, fd: HostFd, resolve: &dyn Fn(&HostNode, &[u8]) -> Result<()>) -> bool {
        let mut forgotten = Forgotten::default();
        let mut state = self.state.lock();
        self.draining.store(true, Ordering::SeqCst);
        let made: Vec<u64> = state.expected.iter().filter(|e| e.made).map(|e| e.id).collect();
        let mut buffer = core::mem::take(&mut state.buffer);
        buffer.resize(BUFFER, 0);
        let emptied = (0..MOST_READS).any(|_| {
            // SAFETY: the host writes into the buffer, at most as many bytes as it has.
            let read = unsafe { host().host_read(fd, buffer.as_mut_ptr() as usize, buffer.len()) };
            let len = match read {
                Ok(len) => len,
                Err(Error::WouldBlock) => return true,
                Err(_) => return false,
            };
            let mut bytes = buffer.get(..len).unwrap_or_default();
            while let Some(event) = take_event(&mut bytes) {
                self.apply(&mut state, &event, &mut forgotten);
            }
            len + LONGEST < BUFFER
        });
        if emptied {
            state.miss(&made, &mut forgotten);
        }
        let suspects = core::mem::take(&mut state.suspects);
        if suspects.are_strange(resolve) {
            self.links.fetch_add(1, Ordering::SeqCst);
        }
        forgotten.nodes.extend(suspects.names.into_iter().map(|(directory, _)| directory));
        self.count_awaited(&state);
        state.buffer = buffer;
        self.draining.store(false, Ordering::SeqCst);
        drop(state);
        drop(forgotten);
        emptied
    }

    fn apply(&self, state: &mut State, event: &Event<'_>, forgotten: &mut Forgotten) {
        if event.mask & event::OVERFLOW != 0 {
            state.expected.clear();
            return self.forget_all_in(state, forgotten);
        }
        if event.watch == self.mark.load(Ordering::Relaxed) {
            return;
        }
        let Some(directory) = state.directories.get(&event.watch).and_then(Weak::upgrade) else {
            state.directories.remove(&event.watch);
            self.strange.fetch_add(1, Ordering::SeqCst);
            return;
        };
        if event.mask & event::IGNORED != 0 {
            state.directories.remove(&event.watch);
            state.expected.retain(|e| e.watch != event.watch);
            self.strange.fetch_add(1, Ordering::SeqCst);
            directory.unwatched(event.watch, forgotten);
        } else if !state.take_expected(event) {
            state.suspects.note(&directory, event);
            directory.changed(event.mask, event.name, forgotten);
        }
        forgotten.nodes.push(directory);
    }

    fn forget_all_in(&self, state: &mut State, forgotten: &mut Forgotten) {
        self.strange.fetch_add(1, Ordering::SeqCst);
        for directory in state.directories.values().filter_map(Weak::upgrade) {
            directory.forget_names(forgotten);
            forgotten.nodes.push(directory);
        }
    }

    /// Too many names are remembered: all are forgotten.
    pub(super) fn forget_all(&self) {
        let mut forgotten = Forgotten::default();
        let mut state = self.state.lock();
        self.forget_all_in(&mut state, &mut forgotten);
        drop(state);
        drop(forgotten);
    }

    /// Now, before the broker is asked about something in a directory that has this version.
    pub(super) fn moment(&self, version: Option<u64>) -> Moment {
        Moment { strange: self.strange.load(Ordering::SeqCst), links: self.links(), version }
    }

    /// From now on `directory` hears of the events of `watch`, which the broker added after `asked`. The version that
    /// it has then; `None`: some may have been missed.
    pub(super) fn bind(&self, directory: &Arc<HostNode>, watch: i32, asked: Moment) -> Option<u64> {
        let mut forgotten = Forgotten::default();
        let mut state = self.state.lock();
        if self.strange.load(Ordering::SeqCst) != asked.strange {
            return None;
        }
        let before = state.directories.insert(watch, Arc::downgrade(directory)).and_then(|before| before.upgrade());
        if let Some(other) = before.filter(|before| !Arc::ptr_eq(before, directory)) {
            other.unwatched(watch, &mut forgotten);
            forgotten.nodes.push(other);
        }
        // No version of another watch of it is like one of this.
        state.bound += 1;
        let version = state.bound << 32;
        if let Some(unused) = directory.watched_as(watch, version, &mut forgotten) {
            state.directories.remove(&unused);
        }
        drop(state);
        drop(forgotten);
        Some(version)
    }

    /// We are about to do what brings this event, if `watch` is some. To be [finished](Changes::finish).
    pub(super) fn expect(&self, watch: Option<i32>, mask: u32, name: &[u8]) -> Option<u64> {
        let watch = watch?;
        let mut state = self.state.lock();
        state.last_expected += 1;
        let id = state.last_expected;
        state.expected.push(Expected { id, watch, mask, name: name.into(), made: false });
        Some(id)
    }

    /// It was done, or failed, and then brings no event.
    pub(super) fn finish(&self, ids: &[Option<u64>], succeeded: bool) {
        let mut state: MutexGuard<'_, State> = self.state.lock();
        for id in ids.iter().flatten() {
            let Some(at) = state.expected.iter().position(|e| e.id == *id) else { continue };
            if succeeded {
                if let Some(expected) = state.expected.get_mut(at) {
                    expected.made = true;
                }
            } else {
                state.expected.swap_remove(at);
            }
        }
        self.count_awaited(&state);
    }

    fn count_awaited(&self, state: &State) {
        self.awaited.store(state.expected.iter().filter(|e| e.made).count(), Ordering::SeqCst);
    }
}

impl Suspects {
    fn note(&mut self, directory: &Arc<HostNode>, event: &Event<'_>) {
        if event.mask & event::IS_DIRECTORY != 0 {
            return;
        }
        if event.mask & (event::CREATE | event::MOVED_TO) != 0 {
            if self.moved == Some(event.cookie) {
                self.moved = None;
            }
            if self.names.len() < MOST_SUSPECTS {
                self.names.push((directory.clone(), event.name.into()));
            } else {
                self.lost = true;
            }
        } else if event.mask & (event::DELETE | event::MOVED_FROM) != 0 {
            let is_it = |(dir, name): &(Arc<HostNode>, Box<[u8]>)| Arc::ptr_eq(dir, directory) && **name == *event.name;
            let Some(at) = self.names.iter().position(is_it) else { return };
            self.names.swap_remove(at);
            // Where one of before was moved to nobody knows.
            self.lost |= self.moved.is_some() || event.mask & event::DELETE != 0;
            self.moved = (event.mask & event::MOVED_FROM != 0).then_some(event.cookie);
        }
    }
    /// Whether one of them may have been a name of any file.
    fn are_strange(&self, resolve: &dyn Fn(&HostNode, &[u8]) -> Result<()>) -> bool {
        self.lost || self.moved.is_some() || self.names.iter().any(|(dir, name)| resolve(dir, name).is_err())
    }
}

impl State {
    /// The events of these would have come by now. What was changed lies elsewhere, where the path of its directory
    /// leads since somebody moved that.
    fn miss(&mut self, made: &[u64], forgotten: &mut Forgotten) {
        let Self { expected, directories, .. } = self;
        expected.retain(|e| {
            if !made.contains(&e.id) {
                return true;
            }
            if let Some(directory) = directories.get(&e.watch).and_then(Weak::upgrade) {
                directory.forget_names(forgotten);
                forgotten.nodes.push(directory);
            }
            false
        });
    }

    /// Whether we brought this event about.
    fn take_expected(&mut self, event: &Event<'_>) -> bool {
        let mask = event.mask & !event::IS_DIRECTORY;
        let is_it = |e: &Expected| e.watch == event.watch && e.mask == mask && *e.name == *event.name;
        let Some(at) = self.expected.iter().position(is_it) else { return false };
        self.expected.swap_remove(at);
        true
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        if let Some(fd) = self.queue() {
            host().host_close(fd);
        }
    }
}
