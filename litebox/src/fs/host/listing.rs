//! What is known of whole directories of a tree that nobody changes: after some lookups in one directory its names are listed once, and later
//! lookups of absent names cost no request; when much of it is looked up, it is listed with the metadata of everything in it, and none does.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::fs::FileType;
use crate::platform::broker_protocol::Stat;
use crate::{Error, Result};

use super::client::Client;

/// Lookups in a directory before its names are listed: most lookups of programs that search are of names that are absent.
const PATIENCE: u32 = 6;
/// Of how many names one has to be looked up, then, before the metadata of all is fetched: reading it costs the broker a call each.
const SHARE: usize = 12;
/// Largest directory that is kept whole.
const MOST_ENTRIES: usize = 8192;

/// What is known of a directory.
#[derive(Default)]
pub(super) enum Listing {
    /// So many names were looked up.
    #[default]
    Unknown,
    Asked(u32),
    /// The names in it, and how many lookups of them there were since.
    Names(BTreeSet<Box<[u8]>>, usize),
    /// Every name in it, with its metadata.
    Whole(BTreeMap<Box<[u8]>, Stat>),
    /// Too large to be kept, or not to be listed.
    TooLarge,
}

/// What a listing says of a name.
pub(super) enum Told {
    Present(Stat),
    Absent,
    Nothing,
}

impl Listing {
    /// What is known of `name`, listing the directory at `path` when its time has come.
    pub(super) fn tell(&mut self, name: &[u8], client: &Client, path: &[u8]) -> Told {
        match self {
            Self::Whole(entries) => return entries.get(name).map_or(Told::Absent, |stat| Told::Present(*stat)),
            Self::TooLarge => return Told::Nothing,
            Self::Unknown => *self = Self::Asked(1),
            Self::Asked(asked) if *asked < PATIENCE => *asked += 1,
            Self::Asked(_) => {
                *self = names(client, path).map_or(Self::TooLarge, |names| Self::Names(names, 0));
                return self.tell(name, client, path);
            }
            Self::Names(names, _) if !names.contains(name) => return Told::Absent,
            Self::Names(names, asked) if *asked * SHARE < names.len() => *asked += 1,
            Self::Names(..) => {
                *self = whole(client, path).map_or(Self::TooLarge, Self::Whole);
                return self.tell(name, client, path);
            }
        }
        Told::Nothing
    }
}

fn names(client: &Client, path: &[u8]) -> Result<BTreeSet<Box<[u8]>>> {
    let mut names = BTreeSet::new();
    list(client, path, false, &mut |name, _| {
        names.insert(name.into());
        names.len() <= MOST_ENTRIES
    })?;
    Ok(names)
}

fn whole(client: &Client, path: &[u8]) -> Result<BTreeMap<Box<[u8]>, Stat>> {
    let mut entries = BTreeMap::new();
    list(client, path, true, &mut |name, stat| {
        let Some(stat) = stat else { return false };
        entries.insert(name.into(), stat);
        entries.len() <= MOST_ENTRIES
    })?;
    Ok(entries)
}

/// One entry of a directory, in the order of the host.
pub(super) struct Listed {
    pub(super) name: Box<[u8]>,
    pub(super) ino: u64,
    pub(super) file_type: FileType,
}

/// What is known of a directory's entries in their order.
pub(super) enum InOrder {
    /// Nobody listed it yet.
    Unknown,
    /// All of them.
    Known(Arc<[Listed]>),
    /// There are too many to be kept.
    TooLarge,
}

/// All entries of the directory at `path` in order.
pub(super) fn in_order(client: &Client, path: &[u8]) -> Result<InOrder> {
    let mut entries = Vec::new();
    let mut cookie = 0;
    loop {
        let before = cookie;
        let piece = client.list(path, cookie, false, &mut |entry, _| {
            cookie = entry.next;
            entries.push(Listed { name: entry.name.into(), ino: entry.ino, file_type: entry.file_type });
            entries.len() <= MOST_ENTRIES
        })?;
        if !piece.wanted {
            return Ok(InOrder::TooLarge);
        }
        if piece.end || cookie == before {
            return Ok(InOrder::Known(entries.into()));
        }
    }
}

/// Gives `take` every entry of the directory at `path`; an error, too, when it does not want them all.
fn list(
    client: &Client,
    path: &[u8],
    with_stat: bool,
    take: &mut dyn FnMut(&[u8], Option<Stat>) -> bool,
) -> Result<()> {
    let mut cookie = 0;
    loop {
        let mut seen = false;
        let piece = client.list(path, cookie, with_stat, &mut |entry, stat| {
            seen = true;
            cookie = entry.next;
            take(entry.name, stat)
        })?;
        if !piece.wanted || (!seen && !piece.end) {
            return Err(Error::TooBig);
        }
        if piece.end {
            return Ok(());
        }
    }
}
