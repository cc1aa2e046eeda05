//! What is known of whole directories of a tree that nobody changes: after some lookups in one directory it is listed once, with the
//! metadata of everything in it, and later lookups (those of absent names too) cost no request.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use crate::platform::broker_protocol::Stat;
use crate::{Error, Result};

use super::client::Client;

/// Lookups in a directory before it is listed.
const PATIENCE: u32 = 6;
/// Largest directory that is kept whole.
const MOST_ENTRIES: usize = 8192;

/// What is known of a directory.
#[derive(Default)]
pub(super) enum Listing {
    /// So many names were looked up.
    #[default]
    Unknown,
    Asked(u32),
    /// Every name in it.
    Whole(BTreeMap<Box<[u8]>, Stat>),
    /// Too large to be kept.
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
        let asked = match self {
            Self::Whole(entries) => {
                return entries.get(name).map_or(Told::Absent, |stat| Told::Present(*stat));
            }
            Self::TooLarge => return Told::Nothing,
            Self::Unknown => 1,
            Self::Asked(n) => *n + 1,
        };
        if asked <= PATIENCE {
            *self = Self::Asked(asked);
            return Told::Nothing;
        }
        let Ok(entries) = whole(client, path) else {
            // Unreadable directories can still be searched.
            *self = Self::TooLarge;
            return Told::Nothing;
        };
        *self = Self::Whole(entries);
        self.tell(name, client, path)
    }
}

fn whole(client: &Client, path: &[u8]) -> Result<BTreeMap<Box<[u8]>, Stat>> {
    let mut entries = BTreeMap::new();
    let mut cookie = 0;
    loop {
        let mut complete = true;
        let mut seen = false;
        let piece = client.list(path, cookie, true, &mut |entry, stat| {
            seen = true;
            cookie = entry.next;
            match stat {
                Some(stat) => {
                    entries.insert(entry.name.into(), stat);
                }
                None => complete = false,
            }
            complete && entries.len() <= MOST_ENTRIES
        })?;
        if !piece.wanted || (!seen && !piece.end) {
            return Err(Error::TooBig);
        }
        if piece.end {
            return Ok(entries);
        }
    }
}
