//! What is known of whole directories of a tree that nobody changes, so that lookups in them need no request.
//!
//! At the third lookup in one directory its first entries are asked for; when that is all of them, names that are absent are known from then
//! on. A large directory, which its size tells, is listed after the more lookups the larger it is. Metadata costs the broker a call for each entry, so it comes along where it is likely to be wanted: a [`Credit`] is spent on
//! metadata that nobody has asked for yet, and each entry that is then asked for earns twice its price. Whoever walks over
//! a tree and looks at every file soon gets each directory in one request; who looks at a file here and there pays for little.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::fs::{DirEntry, FileType};
use crate::platform::broker_protocol::{Entry, Stat};
use crate::{Error, Result};

use super::client::{Client, Sink, Wanted};

/// At which lookup in a directory its first entries are asked for, and how many.
const SOME: u32 = 3;
const FEW: u32 = 256;
/// Size in bytes from which on a directory has more, whatever the file system of the host.
const LARGE: u64 = 16 << 10;
/// Lookups in a larger directory before all its names are listed: most lookups of programs that search are of names that are absent. One more for so
/// many bytes of its size: listing it costs as much as a request.
const PATIENCE: u32 = 6;
const BYTES_PER_LOOKUP: u64 = 4 << 10;
/// Of how many names one has to be looked up before the metadata of all is fetched: what a request costs is worth the metadata of so many.
const SHARE: usize = 10;
/// Largest directory that is kept whole.
const MOST_ENTRIES: usize = 32_768;

/// How much metadata may be fetched on suspicion.
pub(super) struct Credit(AtomicU32);

impl Credit {
    const AT_FIRST: u32 = 64;
    const MOST: u32 = 2048;
    /// From here on a directory is worth listing at the first lookup in it.
    const EARNED: u32 = 320;

    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(Self::AT_FIRST))
    }
    fn left(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
    // Races lose a few counts, which does no harm.
    fn spend(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.0.store(self.left().saturating_sub(count), Ordering::Relaxed);
    }
    fn earn(&self) {
        self.0.store((self.left() + 2).min(Self::MOST), Ordering::Relaxed);
    }
}

/// One entry of a directory.
pub(super) struct Listed {
    name: Range<u32>,
    pub(super) ino: u64,
    pub(super) file_type: FileType,
    /// Which of the metadata is its own.
    stat: Option<u32>,
}

/// All entries of a directory.
#[derive(Default)]
pub(super) struct Entries {
    text: Vec<u8>,
    /// In the order of the host.
    in_order: Vec<Listed>,
    /// The metadata that was fetched.
    stats: Vec<Stat>,
}

impl Entries {
    pub(super) fn in_order(&self) -> &[Listed] {
        &self.in_order
    }
    pub(super) fn name_of(&self, entry: &Listed) -> &[u8] {
        self.text.get(entry.name.start as usize..entry.name.end as usize).unwrap_or_default()
    }
    fn name_at(&self, index: u32) -> &[u8] {
        self.in_order.get(index as usize).map_or(&[], |entry| self.name_of(entry))
    }
    /// Makes room for what a message of so many entries and bytes brings. Neither figure is believed beyond what the other allows.
    fn reserve(&mut self, count: usize, bytes: usize) {
        const HEAD: usize = size_of::<Entry>();
        let count = count.min(bytes / HEAD);
        let behind_heads = bytes - count * HEAD;
        // All of them have metadata, or few.
        let stats = if behind_heads >= count * size_of::<Stat>() { count } else { 0 };
        let names = behind_heads - stats * size_of::<Stat>();
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
    /// Adds an entry; `false`: there are too many.
    fn push(&mut self, name: &[u8], ino: u64, file_type: FileType, stat: Option<Stat>) -> bool {
        let start = self.text.len();
        self.text.extend_from_slice(name);
        let (Ok(from), Ok(to)) = (u32::try_from(start), u32::try_from(self.text.len())) else { return false };
        let at = u32::try_from(self.stats.len()).ok().filter(|_| stat.is_some());
        self.stats.extend(stat);
        self.in_order.push(Listed { name: from..to, ino, file_type, stat: at });
        self.in_order.len() <= MOST_ENTRIES
    }
    /// Whether the metadata is there, but for what the host does not tell.
    fn has_all_metadata(&self) -> bool {
        self.stats.len() == self.in_order.len()
    }
}

/// Where the names of a listing stand in it.
struct Index(HashTable<u32>);

impl Index {
    fn hash(name: &[u8]) -> u64 {
        FixedState::default().hash_one(name)
    }
    fn of(entries: &Entries) -> Self {
        let mut table = HashTable::with_capacity(entries.in_order.len());
        // Should the host name one twice, both mean the same.
        for at in (0..).take(entries.in_order.len()) {
            table.insert_unique(Self::hash(entries.name_at(at)), at, |at| Self::hash(entries.name_at(*at)));
        }
        Self(table)
    }
    fn find(&self, entries: &Entries, name: &[u8]) -> Option<usize> {
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

enum Known {
    Nothing,
    Entries(Arc<Entries>),
    TooLarge,
}

/// What is known of a directory.
pub(super) struct Listing {
    known: Known,
    /// Of the entries, from the first lookup among them on.
    index: Option<Box<Index>>,
    /// Lookups that asked the broker.
    lookups: u32,
    /// The first entries were asked for, and there were more.
    not_few: bool,
    /// The metadata was asked for, and is not to be had.
    no_metadata: bool,
}

impl Default for Listing {
    fn default() -> Self {
        Self { known: Known::Nothing, index: None, lookups: 0, not_few: false, no_metadata: false }
    }
}

/// What a listing says of a name.
pub(super) enum Told {
    Present(Stat),
    Absent,
    Nothing,
}

impl Listing {
    /// What is known of `name`, listing the directory at `path`, of `size` bytes, when its time has come.
    pub(super) fn tell(
        &mut self,
        name: &[u8],
        size: u64,
        client: &Client,
        credit: &Credit,
        path: impl Fn() -> Result<Vec<u8>>,
    ) -> Told {
        if let Some(told) = self.told(name, credit) {
            return told;
        }
        self.lookups = self.lookups.saturating_add(1);
        let Some(wanted) = self.next_request(size, credit) else { return Told::Nothing };
        let Ok(path) = path() else { return Told::Nothing };
        self.fetch(client, &path, wanted, credit);
        self.told(name, credit).unwrap_or(Told::Nothing)
    }
    /// All entries in order, asked for once; `None` when they are not kept.
    pub(super) fn entries(
        &mut self,
        client: &Client,
        credit: &Credit,
        path: impl Fn() -> Result<Vec<u8>>,
    ) -> Option<Arc<Entries>> {
        if matches!(self.known, Known::Nothing) {
            let path = path().ok()?;
            let left = credit.left();
            let wanted = if left >= Credit::EARNED { Wanted::MetadataIfFew(left) } else { Wanted::NamesForWalking };
            self.fetch(client, &path, wanted, credit);
        }
        if let Known::Entries(entries) = &self.known { Some(entries.clone()) } else { None }
    }
    /// What is known without asking.
    pub(super) fn told(&mut self, name: &[u8], credit: &Credit) -> Option<Told> {
        match &self.known {
            Known::TooLarge => Some(Told::Nothing),
            Known::Nothing => None,
            Known::Entries(entries) => {
                let index = self.index.get_or_insert_with(|| Box::new(Index::of(entries)));
                let Some(at) = index.find(entries, name) else { return Some(Told::Absent) };
                let entry = entries.in_order.get(at)?;
                let stat = entries.stats.get(entry.stat? as usize)?;
                if entry.file_type != FileType::Directory {
                    credit.earn();
                }
                Some(Told::Present(*stat))
            }
        }
    }
    /// What to ask for now, at a lookup that nothing known answers.
    fn next_request(&self, size: u64, credit: &Credit) -> Option<Wanted> {
        let left = credit.left();
        if let Known::Entries(entries) = &self.known {
            let len = entries.in_order.len();
            if self.no_metadata {
                return None;
            }
            let worth_it = self.lookups as usize * SHARE >= len || len <= left as usize && left >= Credit::EARNED;
            return worth_it.then_some(Wanted::Metadata);
        }
        if self.not_few || size >= LARGE {
            let patience = u64::from(PATIENCE) + size / BYTES_PER_LOOKUP;
            return (u64::from(self.lookups) > patience).then_some(Wanted::Names);
        }
        match self.lookups {
            ..SOME if left < Credit::EARNED => None,
            _ if left >= FEW / 4 => Some(Wanted::OnlyFew(left.min(FEW))),
            _ => Some(Wanted::OnlyFewNames(FEW)),
        }
    }
    fn fetch(&mut self, client: &Client, path: &[u8], wanted: Wanted, credit: &Credit) {
        match fetch(client, path, wanted).unwrap_or(Fetched::TooLarge) {
            Fetched::All(entries) => {
                if entries.has_all_metadata() {
                    credit.spend(entries.stats.len());
                }
                self.no_metadata = matches!(wanted, Wanted::Metadata) && !entries.has_all_metadata();
                self.index = None;
                self.known = Known::Entries(Arc::new(entries));
            }
            Fetched::More => self.not_few = true,
            Fetched::TooLarge => self.known = Known::TooLarge,
        }
    }
}

/// Takes entries down.
struct Reader<'e> {
    entries: &'e mut Entries,
    /// Where the next piece begins.
    cookie: u64,
    seen: bool,
}

impl Sink for Reader<'_> {
    fn expect(&mut self, count: usize, bytes: usize) {
        self.entries.reserve(count, bytes);
    }
    fn entry(&mut self, entry: DirEntry<'_>, stat: Option<Stat>) -> bool {
        self.seen = true;
        self.cookie = entry.next;
        self.entries.push(entry.name, entry.ino, entry.file_type, stat)
    }
}

/// The entries of the directory at `path`.
fn fetch(client: &Client, path: &[u8], mut wanted: Wanted) -> Result<Fetched> {
    let only_few = matches!(wanted, Wanted::OnlyFew(_) | Wanted::OnlyFewNames(_));
    let mut entries = Entries::default();
    let mut cookie = 0;
    loop {
        let mut reader = Reader { entries: &mut entries, cookie, seen: false };
        let piece = client.list(path, cookie, wanted, &mut reader)?;
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
        if matches!(wanted, Wanted::MetadataIfFew(_)) && !entries.has_all_metadata() {
            wanted = Wanted::NamesForWalking;
        }
    }
}
