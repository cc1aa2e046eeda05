//! What is known of whole directories of a tree that nobody changes, so that lookups in them need no request.
//!
//! At the third lookup in one directory its first entries are asked for; when that is all of them, names that are
//! absent are known from then on. A large directory, which its size tells, is listed after the more lookups the larger
//! it is. Metadata costs the broker a call for each entry, so it comes along where it is likely to be wanted: a
//! [`Credit`] is spent on metadata that nobody has asked for yet, and each entry that is then asked for earns twice its
//! price. Whoever walks over a tree and looks at every file soon gets each directory in one request; who looks at a
//! file here and there pays for little.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::fs::{DirEntry, FileType};
use crate::sync::MutexGuard;
use crate::{Error, Result};
use litebox_protocol::{MAX_BESIDE, Stat};

use super::client::{BesideTold, ListWish, Sink};
use super::node::HostNode;

/// At which lookup in a directory its first entries are asked for, and how many.
const SOME: u32 = 3;
const FEW: u32 = 256;
/// Size in bytes from which on a directory has more, whatever the file system of the host.
const LARGE: u64 = 16 << 10;
/// Lookups in a larger directory before all its names are listed: most lookups of programs that search are of names
/// that are absent. One more for so many bytes of its size: listing it costs as much as a request.
const LOOKUPS_BEFORE_LISTING: u32 = 6;
const BYTES_PER_LOOKUP: u64 = 4 << 10;
/// Of how many names one has to be looked up before the metadata of all is fetched: what a request costs is worth the
/// metadata of so many.
const SHARE: usize = 10;
/// Largest directory that is kept whole.
const MOST_ENTRIES: usize = 32_768;

/// How much metadata may be fetched on suspicion.
pub(super) struct Credit {
    left: AtomicU32,
    /// Entries of the directory that was fetched last: those beside it are likely to be as large.
    usual: AtomicU32,
}

impl Credit {
    const AT_FIRST: u32 = 256;
    /// How much of that is kept for directories whose files are looked at one after the other.
    const RESERVED: u32 = 192;
    const MOST: u32 = 2048;
    /// From here on a directory is worth listing at the first lookup in it, and what lies beside it, too.
    const EARNED: u32 = 320;
    /// Entries with metadata that fit into one message, about.
    const MESSAGE: u32 = 480;

    pub(super) const fn new() -> Self {
        Self { left: AtomicU32::new(Self::AT_FIRST), usual: AtomicU32::new(1) }
    }
    fn left(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }
    pub(super) fn is_earned(&self) -> bool {
        self.left() >= Self::EARNED
    }
    /// What may be spent on a directory in which so many files were looked at, and not opened.
    fn for_one(&self, looked_at: u32) -> u32 {
        let left = self.left();
        if looked_at + 1 >= SOME || left >= Self::EARNED { left } else { left.saturating_sub(Self::RESERVED) }
    }
    /// How many directories beside one that is fetched are fetched with it.
    pub(super) fn beside(&self) -> usize {
        let left = self.left();
        if left < Self::EARNED {
            return 0;
        }
        let entries = left.min(Self::MESSAGE);
        let usual = self.usual.load(Ordering::Relaxed).max(1);
        ((entries / usual).saturating_sub(1) as usize).min(MAX_BESIDE)
    }
    // Races lose a few counts, which does no harm.
    pub(super) fn spend(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.left.store(self.left().saturating_sub(count), Ordering::Relaxed);
        self.usual.store(count, Ordering::Relaxed);
    }
    pub(super) fn earn(&self) {
        self.left.store((self.left() + 2).min(Self::MOST), Ordering::Relaxed);
    }
}

/// One entry of a directory.
pub(super) struct ListedEntry {
    name: Range<u32>,
    pub(super) ino: u64,
    pub(super) file_type: FileType,
    /// Where the host goes on behind it.
    pub(super) next: u64,
    /// Which of the metadata is its own.
    stat: Option<u32>,
}

/// All entries of a directory.
#[derive(Default)]
pub(super) struct Entries {
    text: Vec<u8>,
    /// In the order of the host.
    in_order: Vec<ListedEntry>,
    /// The metadata that was fetched.
    stats: Vec<Stat>,
}

impl Entries {
    pub(super) fn in_order(&self) -> &[ListedEntry] {
        &self.in_order
    }
    pub(super) fn name_of(&self, entry: &ListedEntry) -> &[u8] {
        self.text.get(entry.name.start as usize..entry.name.end as usize).unwrap_or_default()
    }
    fn name_at(&self, index: u32) -> &[u8] {
        self.in_order.get(index as usize).map_or(&[], |entry| self.name_of(entry))
    }
    /// Makes room for what a message brings.
    fn reserve(&mut self, count: usize, names: usize, stats: usize) {
        if self.in_order.is_empty() {
            // Most directories come in one message.
            self.in_order.reserve_exact(count);
            self.stats.reserve_exact(stats);
            self.text.reserve_exact(names);
        } else {
            self.in_order.reserve(count);
            self.stats.reserve(stats);
            self.text.reserve(names);
        }
    }
    /// The metadata of an entry, where it was fetched.
    pub(super) fn stat_of(&self, entry: &ListedEntry) -> Option<Stat> {
        self.stats.get(entry.stat? as usize).copied()
    }
    /// Where `name` stands among them.
    pub(super) fn place_of(&self, name: &[u8]) -> Option<usize> {
        self.in_order.iter().position(|entry| self.name_of(entry) == name)
    }
    /// Where the host's place `cookie` is among them: behind the entry that it stands behind.
    pub(super) fn behind(&self, cookie: u64) -> Option<usize> {
        if cookie == 0 {
            return Some(0);
        }
        self.in_order.iter().position(|entry| entry.next == cookie).map(|at| at + 1)
    }
    /// Adds an entry; `false`: there are too many.
    fn push(&mut self, entry: &DirEntry<'_>, stat: Option<Stat>) -> bool {
        let DirEntry { name, ino, file_type, next } = *entry;
        let start = self.text.len();
        self.text.extend_from_slice(name);
        let (Ok(from), Ok(to)) = (u32::try_from(start), u32::try_from(self.text.len())) else { return false };
        let at = u32::try_from(self.stats.len()).ok().filter(|_| stat.is_some());
        self.stats.extend(stat);
        self.in_order.push(ListedEntry { name: from..to, ino, file_type, next, stat: at });
        self.in_order.len() <= MOST_ENTRIES
    }
    /// Whether the metadata is there, but for what the host does not tell.
    pub(super) fn has_all_metadata(&self) -> bool {
        self.stats.len() == self.in_order.len()
    }
}

impl Sink for Entries {
    fn expect(&mut self, count: usize, names: usize, stats: usize) {
        self.reserve(count, names, stats);
    }
    fn entry(&mut self, entry: DirEntry<'_>, stat: Option<Stat>) -> bool {
        self.push(&entry, stat)
    }
}

/// Which directories among the entries of one were listed.
#[derive(Default)]
pub(super) struct ListedBelow {
    /// How many, because somebody wanted to know.
    wanted: usize,
    /// Which of the entries is the next to be listed with one beside it, if it is a directory; and how many are left.
    next: usize,
    left: usize,
}

impl ListedBelow {
    /// One is listed because somebody wants to know, which stands at `place`: how many others may be listed with it.
    pub(super) fn note(&mut self, entries: &Entries, place: impl FnOnce() -> Option<usize>) -> usize {
        if self.wanted == 0 {
            // What lies behind it comes first: most programs go over a directory in its order.
            self.next = place().map_or(0, |at| at + 1);
            self.left = entries.in_order.len();
        }
        self.wanted += 1;
        self.wanted - 1
    }
    /// The next directory. Each is given once.
    pub(super) fn next<'e>(&mut self, entries: &'e Entries) -> Option<&'e ListedEntry> {
        while self.left > 0 {
            self.left -= 1;
            let at = self.next % entries.in_order.len().max(1);
            self.next = at + 1;
            let entry = entries.in_order.get(at)?;
            if entry.file_type == FileType::Directory {
                return Some(entry);
            }
        }
        None
    }
}

/// Where the names of a listing stand in it.
pub(super) struct Index(HashTable<u32>);

impl Index {
    fn hash(name: &[u8]) -> u64 {
        FixedState::default().hash_one(name)
    }
    pub(super) fn of(entries: &Entries) -> Self {
        let mut table = HashTable::with_capacity(entries.in_order.len());
        // Should the host name one twice, both mean the same.
        for at in (0..).take(entries.in_order.len()) {
            table.insert_unique(Self::hash(entries.name_at(at)), at, |at| Self::hash(entries.name_at(*at)));
        }
        Self(table)
    }
    pub(super) fn find(&self, entries: &Entries, name: &[u8]) -> Option<usize> {
        self.0.find(Self::hash(name), |at| entries.name_at(*at) == name).map(|at| *at as usize)
    }
}

/// What came of asking for the entries of a directory.
enum Fetched {
    All(Entries),
    /// There are more than were asked for.
    More,
    /// There are more than are kept, or it cannot be listed.
    TooLarge,
}

enum ListingState {
    Nothing,
    Entries(Arc<Entries>),
    TooLarge,
}

/// What is known of a directory.
pub(super) struct Listing {
    known: ListingState,
    /// Of the entries, from the first lookup among them on.
    index: Option<Box<Index>>,
    /// Lookups that asked the broker.
    lookups: u32,
    /// Files found by them that were only looked at.
    looked_at: u32,
    /// Which directories among the entries were listed.
    below: ListedBelow,
    /// The first entries were asked for, and there were more.
    not_few: bool,
    /// The metadata was asked for, and is not to be had.
    no_metadata: bool,
}

impl Default for Listing {
    fn default() -> Self {
        Self {
            known: ListingState::Nothing,
            index: None,
            lookups: 0,
            looked_at: 0,
            below: ListedBelow::default(),
            not_few: false,
            no_metadata: false,
        }
    }
}

/// What a listing says of a name.
pub(super) enum ListedName {
    Present(Stat),
    Absent,
    Nothing,
}

impl Listing {
    /// What is known of `name` in the directory `node`, listing that when its time has come.
    pub(super) fn tell(&mut self, name: &[u8], node: &HostNode) -> ListedName {
        let fs = node.fs();
        if let Some(told) = self.told(name, &fs.credit) {
            return told;
        }
        self.lookups = self.lookups.saturating_add(1);
        let Some(wanted) = self.next_request(node.size(), &fs.credit) else { return ListedName::Nothing };
        self.fetch(node, wanted);
        self.told(name, &fs.credit).unwrap_or(ListedName::Nothing)
    }
    /// The broker was asked for a file by its name, and nobody means to open it.
    pub(super) fn note_looked_at(&mut self) {
        self.looked_at = self.looked_at.saturating_add(1);
    }
    /// All entries of the directory `node` in order, asked for once; `None` when they are not kept.
    pub(super) fn entries(&mut self, node: &HostNode) -> Option<Arc<Entries>> {
        if matches!(self.known, ListingState::Nothing) {
            let credit = &node.fs().credit;
            let wanted =
                if credit.is_earned() { ListWish::MetadataIfFew(credit.left()) } else { ListWish::NamesForWalking };
            self.fetch(node, wanted);
        }
        if let ListingState::Entries(entries) = &self.known { Some(entries.clone()) } else { None }
    }
    /// The directory `name` among its entries is listed because somebody wants to know: how many others may be listed
    /// with it. As many as were before, so that at most half of the work is for nothing.
    pub(super) fn list_below(&mut self, name: &[u8]) -> usize {
        let ListingState::Entries(entries) = &self.known else { return 0 };
        let index = &mut self.index;
        self.below.note(entries, || index.get_or_insert_with(|| Box::new(Index::of(entries))).find(entries, name))
    }
    /// The next directory among its entries that may be listed before anybody wants to know. Each is given once.
    pub(super) fn next_ahead(&mut self) -> Option<(Box<[u8]>, Stat)> {
        let ListingState::Entries(entries) = &self.known else { return None };
        loop {
            let entry = self.below.next(entries)?;
            if let Some(stat) = entries.stat_of(entry) {
                return Some((entries.name_of(entry).into(), stat));
            }
        }
    }
    /// What is known without asking.
    pub(super) fn told(&mut self, name: &[u8], credit: &Credit) -> Option<ListedName> {
        match &self.known {
            ListingState::TooLarge => Some(ListedName::Nothing),
            ListingState::Nothing => None,
            ListingState::Entries(entries) => {
                let index = self.index.get_or_insert_with(|| Box::new(Index::of(entries)));
                let Some(at) = index.find(entries, name) else { return Some(ListedName::Absent) };
                let entry = entries.in_order.get(at)?;
                let stat = entries.stats.get(entry.stat? as usize)?;
                if entry.file_type != FileType::Directory {
                    credit.earn();
                }
                Some(ListedName::Present(*stat))
            }
        }
    }
    /// What to ask for now, at a lookup that nothing known answers.
    fn next_request(&self, size: u64, credit: &Credit) -> Option<ListWish> {
        let left = credit.for_one(self.looked_at);
        if let ListingState::Entries(entries) = &self.known {
            let len = entries.in_order.len();
            if self.no_metadata {
                return None;
            }
            let worth_it = self.lookups as usize * SHARE >= len || len <= left as usize && left >= Credit::EARNED;
            return worth_it.then_some(ListWish::Metadata);
        }
        if self.not_few || size >= LARGE {
            let threshold = u64::from(LOOKUPS_BEFORE_LISTING) + size / BYTES_PER_LOOKUP;
            return (u64::from(self.lookups) > threshold).then_some(ListWish::Names);
        }
        match self.lookups {
            ..SOME if left < Credit::EARNED => None,
            _ if left >= FEW / 4 => Some(ListWish::OnlyFew(left.min(FEW))),
            _ => Some(ListWish::OnlyFewNames(FEW)),
        }
    }
    fn fetch(&mut self, node: &HostNode, wanted: ListWish) {
        let credit = &node.fs().credit;
        let all = matches!(wanted, ListWish::Metadata | ListWish::MetadataIfFew(_) | ListWish::OnlyFew(_));
        let most = if all { credit.beside() } else { 0 };
        let neighbours = if most > 0 { node.beside(most) } else { Vec::new() };
        let mut beside = Beside::new(&neighbours);
        match fetch(node, wanted, &mut beside).unwrap_or(Fetched::TooLarge) {
            Fetched::All(entries) => {
                if entries.has_all_metadata() {
                    credit.spend(entries.stats.len());
                }
                self.no_metadata = matches!(wanted, ListWish::Metadata) && !entries.has_all_metadata();
                self.learn(entries);
            }
            Fetched::More => self.not_few = true,
            Fetched::TooLarge => return self.known = ListingState::TooLarge,
        }
        beside.keep(node);
    }
    fn learn(&mut self, entries: Entries) {
        self.index = None;
        self.below = ListedBelow::default();
        self.known = ListingState::Entries(Arc::new(entries));
    }
    /// Whether nobody has asked for anything in it.
    pub(super) fn is_new(&self) -> bool {
        matches!(self.known, ListingState::Nothing) && self.lookups == 0
    }
}

/// A directory beside one that is asked for. Who wants to know of its entries waits until they are told, or are not.
struct Neighbour<'n> {
    node: &'n Arc<HostNode>,
    listing: MutexGuard<'n, Listing>,
    told: Option<Entries>,
}

/// The directories beside the one that is asked for.
struct Beside<'n> {
    /// Their names, each ended by a zero byte.
    names: Vec<u8>,
    directories: Vec<Neighbour<'n>>,
}

impl<'n> Beside<'n> {
    /// Those of `found` that nobody has asked for anything in, or is about to.
    fn new(found: &'n [(Box<[u8]>, Arc<HostNode>)]) -> Self {
        let mut beside = Self { names: Vec::new(), directories: Vec::new() };
        for (name, node) in found {
            // Never waited for: others are locked.
            let Some(listing) = node.listing().try_lock().filter(|listing| listing.is_new()) else { continue };
            beside.names.extend_from_slice(name);
            beside.names.push(0);
            beside.directories.push(Neighbour { node, listing, told: None });
        }
        beside
    }
    /// Keeps what was told of them.
    fn keep(self, node: &HostNode) {
        for Neighbour { node: next, mut listing, told } in self.directories {
            let Some(entries) = told else { continue };
            node.fs().credit.spend(entries.stats.len());
            listing.learn(entries);
            drop(listing);
            node.fs().keep_listed(next.clone());
        }
    }
}

/// Takes entries down.
struct Reader<'e, 'n> {
    entries: &'e mut Entries,
    beside: &'e mut Beside<'n>,
    /// Which of those beside it is told of now.
    now: Option<usize>,
    /// Where the next piece begins.
    cookie: u64,
    seen: bool,
}

impl Reader<'_, '_> {
    /// Where what comes now belongs; `None`: nowhere.
    fn target(&mut self) -> Option<&mut Entries> {
        match self.now {
            None => Some(self.entries),
            Some(which) => self.beside.directories.get_mut(which).and_then(|next| next.told.as_mut()),
        }
    }
}

impl Sink for Reader<'_, '_> {
    fn expect(&mut self, count: usize, names: usize, stats: usize) {
        if let Some(entries) = self.target() {
            entries.reserve(count, names, stats);
        }
    }
    fn entry(&mut self, entry: DirEntry<'_>, stat: Option<Stat>) -> bool {
        if self.now.is_none() {
            self.seen = true;
            self.cookie = entry.next;
        }
        self.target().is_some_and(|entries| entries.push(&entry, stat))
    }
    fn beside(&mut self, directory: BesideTold) {
        self.now = Some(directory.which);
        if let Some(next) = self.beside.directories.get_mut(directory.which) {
            next.told = directory.is_told.then(Entries::default);
        }
    }
}

/// The entries of the directory `node`, and of some beside it.
fn fetch(node: &HostNode, mut wanted: ListWish, beside: &mut Beside<'_>) -> Result<Fetched> {
    let (client, path) = (&node.fs().client, node.path()?);
    let only_few = matches!(wanted, ListWish::OnlyFew(_) | ListWish::OnlyFewNames(_));
    let mut entries = Entries::default();
    let mut cookie = 0;
    loop {
        // Those beside it come only if it is told whole at once.
        let names = if cookie == 0 { core::mem::take(&mut beside.names) } else { Vec::new() };
        let mut reader = Reader { entries: &mut entries, beside, now: None, cookie, seen: false };
        let piece = client.list(&path, cookie, wanted, &names, &mut reader)?;
        let seen = reader.seen;
        cookie = reader.cookie;
        if piece.end {
            return Ok(Fetched::All(entries));
        }
        if !piece.wanted {
            return Ok(Fetched::TooLarge);
        }
        if only_few {
            return Ok(Fetched::More);
        }
        if !seen {
            return Err(Error::Io);
        }
        if matches!(wanted, ListWish::MetadataIfFew(_)) && !entries.has_all_metadata() {
            wanted = ListWish::NamesForWalking;
        }
    }
}
