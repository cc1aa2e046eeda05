//! What is remembered of a directory that others change, while the broker watches it
//! ([`Changes`](super::changes::Changes)): its names, those too that are absent, and the metadata of what they lead to.
//!
//! - A file's metadata is true as long as its name in a watched directory leads to it, and it has no other name:
//!   changes made by the other name are told elsewhere.
//! - A directory's is true while it is watched itself. Its owner and permissions are while the directory above is.
//! - What is written to a file changes its size and times, and neither its owner nor its permissions
//!   ([`Known::Rights`]).
//! - What is asked for by a path is remembered where that path led to the very directory, which the broker's answer
//!   says. A change of ours that took place elsewhere brings no event here, and then nothing is believed any more.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use super::attributes::{Attributes, Known};
use super::changes::{Forgotten, MOST_NAMES, Moment, event};
use super::listing::{Entries, ListedBelow};
use super::node::HostNode;
use super::untouched::Untouched;
use crate::Result;
use crate::fs::{FileType, Inode, NameMap};
use litebox_protocol::Stat;

/// Most absent names that are remembered of one directory.
const MOST_ABSENT: usize = 4096;

/// A change of ours that is under way.
pub(super) struct OwnChange {
    /// Before it. What others of us do in the directory meanwhile has no part in it.
    pub(super) moment: Moment,
    id: Option<u64>,
    /// The watch of the directory.
    watch: Option<i32>,
}

/// What a name leads to.
struct Led {
    node: Arc<HostNode>,
    /// [`HostNode::moves`] when the node was seen to be reached by this name.
    seen_here: AtomicU64,
}

impl Led {
    fn to(node: &Arc<HostNode>) -> Self {
        Self { node: node.clone(), seen_here: AtomicU64::new(0) }
    }
    fn is_to(&self, node: &HostNode) -> bool {
        core::ptr::eq(Arc::as_ptr(&self.node), node)
    }
}

/// What a name is known to lead to.
pub(super) enum RememberedName {
    /// Nothing.
    Absent,
    /// This node, which is reached by this name.
    Here(Arc<HostNode>),
    /// This node, which may have moved meanwhile.
    Node(Arc<HostNode>),
    /// A file with this metadata, of which there is no node.
    Listed(Stat),
}

/// What is remembered of a watched directory.
pub(super) struct Remembered {
    /// The number of its watch.
    watch: i32,
    /// Grows when something in it changes.
    version: u64,
    /// Grows when somebody else changes something.
    foreign: u64,
    names: NameMap<Box<[u8]>, Option<Led>>,
    /// Others, for which there are no nodes.
    listed: Option<Untouched>,
    absent: usize,
    /// How many names were asked for one by one.
    pub(super) asked: u32,
    /// No other names are in it.
    pub(super) complete: bool,
    /// Changes of ours that are under way: until they are done, absent names are asked for.
    busy: u32,
    /// Its entries in the order of the host, until one comes or goes.
    pub(super) entries: Option<Arc<Entries>>,
    /// Which directories among them were listed.
    below: ListedBelow,
}

impl Remembered {
    fn new(watch: i32, version: u64) -> Self {
        Self {
            watch,
            version,
            foreign: version,
            names: NameMap::default(),
            listed: None,
            absent: 0,
            asked: 0,
            complete: false,
            busy: 0,
            entries: None,
            below: ListedBelow::default(),
        }
    }
    fn note_foreign(&mut self) {
        self.version += 1;
        self.foreign += 1;
    }
    /// A name came or went, and nobody knows which else.
    fn note_strange_name(&mut self) {
        self.complete = false;
        self.entries = None;
    }
    fn leads_to(&self, name: &[u8], node: &HostNode) -> bool {
        self.names.get(name).is_some_and(|there| there.as_ref().is_some_and(|led| led.is_to(node)))
    }
    /// The directory `name` among its entries is listed because somebody wants to know: at most so many others that may
    /// be listed with it, and their names.
    pub(super) fn list_below(&mut self, name: &[u8], most: usize) -> Vec<(Box<[u8]>, Arc<HostNode>)> {
        let Some(entries) = &self.entries else { return Vec::new() };
        let most = most.min(self.below.note(entries, || entries.place_of(name)));
        let mut others = Vec::new();
        while others.len() < most {
            let Some(entry) = self.below.next(entries) else { break };
            let name = entries.name_of(entry);
            if let Some(Some(led)) = self.names.get(name) {
                others.push((name.into(), led.node.clone()));
            }
        }
        others
    }
    /// Whether nothing in it has changed since.
    pub(super) fn is_of(&self, asked: Moment) -> bool {
        Some(self.version) == asked.version
    }
    /// These are its entries, of which nodes are made later.
    pub(super) fn set_entries(&mut self, entries: &Arc<Entries>, asked: Moment) {
        self.entries = Some(entries.clone());
        self.listed = Some(Untouched::new(entries.clone(), asked.links));
        self.below = ListedBelow::default();
    }
    /// How many names are remembered.
    pub(super) fn len(&self) -> usize {
        self.names.len() + self.listed.as_ref().map_or(0, Untouched::len)
    }
}

impl HostNode {
    /// What `name` in this directory leads to; `None`: it has to be asked for.
    pub(super) fn remembered_name(&self, name: &[u8]) -> Option<RememberedName> {
        if !self.fs().look() {
            return None;
        }
        let kept = self.remembered().lock();
        let kept = kept.as_ref()?;
        match kept.names.get(name) {
            Some(Some(led)) => {
                let is_here = led.seen_here.load(Ordering::Relaxed) == led.node.moves();
                let node = led.node.clone();
                return Some(if is_here { RememberedName::Here(node) } else { RememberedName::Node(node) });
            }
            Some(None) => return Some(RememberedName::Absent),
            None => {}
        }
        if let Some(listed) = kept.listed.as_ref() {
            if let Some(stat) = listed.stat(name, self.fs().changes.links()) {
                return Some(RememberedName::Listed(stat));
            }
            if listed.lists(name) {
                return None;
            }
        }
        (kept.complete && kept.busy == 0).then_some(RememberedName::Absent)
    }
    /// Metadata of `name` in this directory, where that is known and there is no node of it.
    pub(super) fn listed_stat(&self, name: &[u8]) -> Option<Stat> {
        if !self.had_listed().load(Ordering::Relaxed) || !self.fs().look() {
            return None;
        }
        let kept = self.remembered().lock();
        let stat = kept.as_ref()?.listed.as_ref()?.stat(name, self.fs().changes.links())?;
        self.fs().credit.earn();
        Some(stat)
    }
    /// Makes a node of a name that is known to lead to a file with this metadata. `None`: something has changed since.
    pub(super) fn make_listed(&self, name: &[u8], stat: Stat) -> Option<Result<Arc<Self>>> {
        let node = match self.handle().and_then(|me| self.fs().node(Some(&me), name, stat, None)) {
            Ok(node) => node,
            Err(error) => return Some(Err(error)),
        };
        let mut forgotten = Forgotten::default();
        let mut kept = self.remembered().lock();
        let kept_names = kept.as_deref_mut()?;
        let links = self.fs().changes.links();
        let is_true = kept_names.listed.as_ref().is_some_and(|listed| listed.stat(name, links) == Some(stat));
        if is_true {
            let attributes = Attributes { stat, known: Known::All, links };
            self.insert(kept_names, name, Some((&node, attributes)), &mut forgotten);
        }
        drop(kept);
        drop(forgotten);
        is_true.then_some(Ok(node))
    }
    /// `node` was seen to be reached by `name` in this directory when it had moved so often.
    pub(super) fn note_seen(&self, name: &[u8], node: &Self, moves: u64) {
        let kept = self.remembered().lock();
        let Some(kept) = kept.as_deref() else { return };
        if let Some(Some(led)) = kept.names.get(name).filter(|_| kept.leads_to(name, node)) {
            let is_first = led.seen_here.swap(moves, Ordering::Relaxed) == 0;
            if is_first && kept.entries.is_some() && node.file_type() != FileType::Directory {
                self.fs().credit.earn();
            }
        }
    }
    /// Its entries, if they are remembered.
    pub(super) fn remembered_entries(&self) -> Option<Arc<Entries>> {
        if self.fs().look() { self.remembered().lock().as_ref()?.entries.clone() } else { None }
    }
    /// The number of its watch.
    pub(super) fn watch(&self) -> Option<i32> {
        self.remembered().lock().as_ref().map(|kept| kept.watch)
    }
    /// To be taken before the broker is asked about something in this directory.
    pub(super) fn moment(&self) -> Moment {
        let version = self.remembered().lock().as_ref().map(|kept| kept.version);
        self.fs().changes.moment(version)
    }
    /// The broker said of the directory at this node's path that it has this metadata, and has the watch `watch` (0:
    /// none). The moment from which on what else it says of names in it may be remembered.
    pub(super) fn note_watch(self: &Arc<Self>, stat: Stat, watch: i32, asked: Moment) -> Moment {
        if !self.is(&stat) {
            // Somebody moved it.
            return asked.of(None);
        }
        let moment = if self.watch() == Some(watch) {
            asked
        } else {
            asked.of(if watch > 0 { self.fs().changes.bind(self, watch, asked) } else { None })
        };
        if moment.version.is_none() {
            return moment;
        }
        let kept = self.remembered().lock();
        if kept.as_ref().map(|kept| kept.version) == moment.version {
            self.set_attributes(Attributes::all(stat, moment));
        }
        moment
    }
    /// The broker found `found` (`None`: nothing) as `name` in this directory, asked at this moment.
    pub(super) fn remember(&self, name: &[u8], found: Option<(&Arc<Self>, Attributes)>, asked: Moment) {
        self.learn(name, found, asked, false);
    }
    /// As [`HostNode::remember`], when a change of ours made it so.
    pub(super) fn finish(&self, change: &OwnChange, name: &[u8], found: Option<(&Arc<Self>, Attributes)>) {
        self.fs().changes.finish(&[change.id], true);
        self.learn(name, found, change.moment, true);
        self.is_done(change);
    }
    /// A change of ours failed: nothing is known of `name`.
    pub(super) fn give_up(&self, change: &OwnChange, name: &[u8]) {
        self.fs().changes.finish(&[change.id], false);
        self.forget_name(name);
        self.is_done(change);
    }
    fn is_done(&self, change: &OwnChange) {
        if let Some(kept) = self.remembered().lock().as_deref_mut().filter(|kept| Some(kept.watch) == change.watch) {
            kept.busy = kept.busy.saturating_sub(1);
        }
    }
    fn learn(&self, name: &[u8], found: Option<(&Arc<Self>, Attributes)>, asked: Moment, own: bool) {
        let mut forgotten = Forgotten::default();
        let mut kept = self.remembered().lock();
        let Some(kept_names) = kept.as_deref_mut() else { return };
        if Some(if own { kept_names.foreign } else { kept_names.version }) == asked.version {
            self.insert(kept_names, name, found, &mut forgotten);
        } else if own {
            self.remove(kept_names, name, &mut forgotten);
            kept_names.complete = false;
        }
        if own {
            // Who asked before the change learned what is no longer true.
            kept_names.version += 1;
            self.lower(Known::Rights);
        }
        drop(kept);
        drop(forgotten);
        if self.fs().changes.names.load(Ordering::Relaxed) > MOST_NAMES {
            self.fs().changes.forget_all();
        }
    }
    /// We are about to change what `name` in this directory is, which brings an event with this mask: nothing is known
    /// of it until that is done.
    pub(super) fn expect(&self, mask: u32, name: &[u8]) -> OwnChange {
        let mut forgotten = Forgotten::default();
        let watch = self.watch();
        let id = self.fs().changes.expect(watch, mask, name);
        let mut foreign = None;
        if let Some(kept) = self.remembered().lock().as_deref_mut() {
            foreign = Some(kept.foreign).filter(|_| watch == Some(kept.watch));
            kept.version += 1;
            kept.busy += 1;
            kept.entries = None;
            self.remove(kept, name, &mut forgotten);
        }
        drop(forgotten);
        let moment = self.fs().changes.moment(foreign);
        OwnChange { moment, id, watch: watch.filter(|_| foreign.is_some()) }
    }
    /// We are about to change the metadata of `node`, which this directory knows by this name: it is not believed until
    /// that is done.
    pub(super) fn expect_attributes(&self, name: &[u8], node: &Self) -> OwnChange {
        let watch = self.watch();
        let id = self.fs().changes.expect(watch, event::ATTRIB, name);
        let mut forgotten = Forgotten::default();
        let mut foreign = None;
        if let Some(kept) = self.remembered().lock().as_deref_mut() {
            foreign = Some(kept.foreign).filter(|_| watch == Some(kept.watch));
            kept.version += 1;
            node.forget(&mut forgotten);
        }
        drop(forgotten);
        OwnChange { moment: self.fs().changes.moment(foreign), id, watch }
    }
    /// It was done, and the broker said so of the file; `None`: nothing is known of it.
    pub(super) fn finish_attributes(&self, change: &OwnChange, name: &[u8], node: &Self, stat: Option<Stat>) {
        self.fs().changes.finish(&[change.id], stat.is_some());
        let mut kept = self.remembered().lock();
        let Some(kept) = kept.as_deref_mut() else { return };
        // Who asked before the change learned what is no longer true.
        kept.version += 1;
        let is_here = kept.leads_to(name, node);
        match stat.filter(|_| is_here && Some(kept.foreign) == change.moment.version) {
            Some(stat) => {
                // Somebody may have been told meanwhile what was true before.
                node.lower(Known::Nothing);
                node.note_named(Attributes::all(stat, change.moment));
            }
            None => node.lower(Known::Nothing),
        }
    }
    /// The broker said so of the file, which this directory knows by this name.
    pub(super) fn refresh(&self, name: &[u8], node: &Self, stat: Stat, asked: Moment) {
        let kept = self.remembered().lock();
        let Some(kept) = kept.as_deref().filter(|kept| Some(kept.version) == asked.version) else { return };
        if kept.leads_to(name, node) {
            node.note_named(Attributes::all(stat, asked));
        }
    }
    /// Nothing is known of `name` any more: a change of ours failed, or did more than we follow.
    pub(super) fn forget_name(&self, name: &[u8]) {
        let mut forgotten = Forgotten::default();
        if let Some(kept) = self.remembered().lock().as_deref_mut() {
            self.remove(kept, name, &mut forgotten);
            kept.note_foreign();
            kept.note_strange_name();
            self.lower(Known::Rights);
        }
        drop(forgotten);
    }
    pub(super) fn insert(
        &self,
        kept: &mut Remembered,
        name: &[u8],
        found: Option<(&Arc<Self>, Attributes)>,
        forgotten: &mut Forgotten,
    ) {
        self.touch(kept, name);
        if found.is_none() && kept.absent >= MOST_ABSENT {
            let before = kept.names.len();
            kept.names.retain(|_, child| child.is_some());
            self.count(before, kept.names.len());
            kept.absent = 0;
        }
        let same = match (kept.names.get(name), &found) {
            (Some(Some(before)), Some((node, _))) => before.is_to(node),
            (Some(None), None) => true,
            _ => false,
        };
        if !same {
            self.remove(kept, name, forgotten);
            if found.is_none() && kept.complete && !kept.listed.as_ref().is_some_and(|listed| listed.lists(name)) {
                return;
            }
            kept.absent += usize::from(found.is_none());
            kept.names.insert(name.into(), found.as_ref().map(|(node, _)| Led::to(node)));
            self.fs().changes.names.fetch_add(1, Ordering::Relaxed);
        }
        if let Some((node, attributes)) = found {
            node.note_named(attributes);
        }
    }
    /// What a listing says of `name` is not true any more.
    fn touch(&self, kept: &mut Remembered, name: &[u8]) {
        if kept.listed.as_mut().is_some_and(|listed| listed.touch(name)) {
            self.fs().changes.names.fetch_sub(1, Ordering::Relaxed);
        }
    }
    fn remove(&self, kept: &mut Remembered, name: &[u8], forgotten: &mut Forgotten) {
        self.touch(kept, name);
        let Some(gone) = kept.names.remove(name) else { return };
        self.fs().changes.names.fetch_sub(1, Ordering::Relaxed);
        match gone {
            None => kept.absent = kept.absent.saturating_sub(1),
            Some(Led { node, .. }) => {
                node.forget(forgotten);
                forgotten.nodes.push(node);
            }
        }
    }
    pub(super) fn count(&self, before: usize, after: usize) {
        self.fs().changes.names.fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
    }
    /// Its name in a watched directory leads to it, and the broker said so of it.
    fn note_named(&self, Attributes { stat, known, links }: Attributes) {
        let most = match FileType::from_mode(stat.mode) {
            Some(FileType::Directory) => Known::Rights,
            _ if stat.nlink == 1 => Known::All,
            _ => Known::Nothing,
        };
        let known = known.min(most);
        if known > self.known() {
            self.set_attributes(Attributes { stat, known, links });
        }
    }
    /// Nothing of its metadata is kept true any more.
    fn forget(&self, forgotten: &mut Forgotten) {
        self.lower(Known::Nothing);
        self.let_reader_go(forgotten);
    }

    /// An event of this directory, that was not expected.
    pub(super) fn changed(&self, mask: u32, name: &[u8], forgotten: &mut Forgotten) {
        const NAMES: u32 = event::CREATE | event::DELETE | event::MOVED_FROM | event::MOVED_TO;
        let mut kept = self.remembered().lock();
        let Some(kept) = kept.as_deref_mut() else { return };
        kept.note_foreign();
        if name.is_empty() {
            return self.changed_itself(mask, kept, forgotten);
        }
        if mask & NAMES != 0 {
            self.remove(kept, name, forgotten);
            kept.note_strange_name();
            self.lower(Known::Rights);
            return;
        }
        if let Some(Some(Led { node: child, .. })) = kept.names.get(name) {
            if mask & (event::MODIFY | event::CLOSE_WRITE) != 0 {
                child.lower(Known::Rights);
            } else {
                child.forget(forgotten);
            }
        } else {
            self.touch(kept, name);
        }
    }
    fn changed_itself(&self, mask: u32, kept: &mut Remembered, forgotten: &mut Forgotten) {
        if mask & event::ATTRIB != 0 {
            self.lower(Known::Nothing);
        }
        if mask & event::MOVE_SELF != 0 {
            self.lower(Known::Rights);
        }
        if mask & event::DELETE_SELF != 0 {
            self.lower(Known::Nothing);
            self.clear(kept, forgotten);
        }
    }
    fn clear(&self, kept: &mut Remembered, forgotten: &mut Forgotten) {
        self.count(kept.len(), 0);
        kept.listed = None;
        let names = core::mem::take(&mut kept.names);
        kept.absent = 0;
        kept.note_foreign();
        kept.note_strange_name();
        for Led { node, .. } in names.into_values().flatten() {
            node.forget(forgotten);
            forgotten.nodes.push(node);
        }
    }
    /// We made this directory just now, and the broker watches it.
    pub(super) fn begin(self: &Arc<Self>, stat: Stat, watch: i32, is_empty: bool, asked: Moment) {
        let moment = self.note_watch(stat, watch, asked.of(None));
        if let Some(kept) = self.remembered().lock().as_deref_mut() {
            kept.complete |= is_empty && Some(kept.version) == moment.version;
        }
    }
    /// Nothing that was learned of the directory before is believed any more.
    pub(super) fn forget_names(&self, forgotten: &mut Forgotten) {
        if let Some(kept) = self.remembered().lock().as_deref_mut() {
            self.clear(kept, forgotten);
            self.lower(Known::Nothing);
        }
    }
    /// From now on it is watched; the number of the watch that it had before.
    pub(super) fn watched_as(&self, watch: i32, version: u64, forgotten: &mut Forgotten) -> Option<i32> {
        let mut kept = self.remembered().lock();
        let before = kept.as_deref_mut().map(|before| {
            self.clear(before, forgotten);
            before.watch
        });
        *kept = Some(Box::new(Remembered::new(watch, version)));
        before.filter(|before| *before != watch)
    }
    /// Its watch `watch` has ended.
    pub(super) fn unwatched(&self, watch: i32, forgotten: &mut Forgotten) {
        let mut kept = self.remembered().lock();
        if kept.as_ref().is_none_or(|kept| kept.watch != watch) {
            return;
        }
        if let Some(mut kept) = kept.take() {
            self.clear(&mut kept, forgotten);
        }
        self.lower(Known::Nothing);
    }
}
