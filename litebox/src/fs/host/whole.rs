//! All entries of a directory that others change, asked for at once.
//!
//! The first two unknown names of a directory are asked for one by one. At the third all are, unless they are many. Who
//! looks at whole trees gets each directory at the first lookup in it, and directories beside it in the same request:
//! as many as were listed because somebody wanted to know, and as the [credit](super::listing::Credit) is worth. They
//! are watched from before they are listed.
//!
//! [`HostNode::listing`] is locked meanwhile: who wants to know of a name waits, and finds it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::attributes::{Attributes, Known};
use super::changes::{Forgotten, MOST_NAMES, Moment};
use super::client::{BesideTold, ListWish, Sink};
use super::listing::{Entries, Listing};
use super::node::HostNode;
use crate::Result;
use crate::fs::{DirEntry, FileType};
use crate::sync::MutexGuard;
use litebox_protocol::Stat;

/// Entries of which metadata is asked for, too, when a directory is listed.
const FEW: u32 = 1024;
/// At this lookup that has to be asked for, a directory with at most so many entries is listed instead.
const LISTED_AT: u32 = 3;
const FEW_AT_ONCE: u32 = 256;

/// A directory beside the one that is listed.
struct Neighbour<'n> {
    node: &'n Arc<HostNode>,
    /// Who wants to know of a name in it waits.
    _turn: MutexGuard<'n, Listing>,
    asked: Moment,
    /// Its metadata and the number of its watch, and its entries.
    told: Option<((Stat, i32), Option<Entries>)>,
}

/// The directories beside the one that is listed.
struct Beside<'n> {
    /// Their names, each ended by a zero byte.
    names: Vec<u8>,
    directories: Vec<Neighbour<'n>>,
}

impl<'n> Beside<'n> {
    /// Those of `found` that nobody asks for anything in, and of which not all is known.
    fn new(found: &'n [(Box<[u8]>, Arc<HostNode>)]) -> Self {
        let mut beside = Self { names: Vec::new(), directories: Vec::new() };
        for (name, node) in found {
            // Never waited for: others are locked.
            let Some(turn) = node.listing().try_lock() else { continue };
            if node.remembered().lock().as_ref().is_some_and(|kept| kept.complete) {
                continue;
            }
            beside.names.extend_from_slice(name);
            beside.names.push(0);
            beside.directories.push(Neighbour { node, _turn: turn, asked: node.moment(), told: None });
        }
        beside
    }
    /// Remembers what was told of them.
    fn learn(self) {
        for Neighbour { node, asked, told, .. } in self.directories {
            let Some(((stat, watch), entries)) = told else { continue };
            let moment = node.note_watch(stat, watch, asked);
            if let (Some(entries), Some(_)) = (entries, moment.version) {
                node.fs().credit.spend(entries.in_order().len());
                node.learn_entries(node, &Arc::new(entries), moment);
            }
        }
    }
}

/// Takes entries down.
struct Reader<'e, 'n> {
    entries: &'e mut Entries,
    beside: &'e mut Beside<'n>,
    /// Which of those beside it is told of now.
    now: Option<usize>,
}

impl Reader<'_, '_> {
    /// Where what comes now belongs; `None`: nowhere.
    fn target(&mut self) -> Option<&mut Entries> {
        match self.now {
            None => Some(self.entries),
            Some(which) => self.beside.directories.get_mut(which)?.told.as_mut()?.1.as_mut(),
        }
    }
}

impl Sink for Reader<'_, '_> {
    fn expect(&mut self, count: usize, names: usize, stats: usize) {
        if let Some(entries) = self.target() {
            entries.expect(count, names, stats);
        }
    }
    fn entry(&mut self, entry: DirEntry<'_>, stat: Option<Stat>) -> bool {
        self.target().is_some_and(|entries| entries.entry(entry, stat))
    }
    fn beside(&mut self, BesideTold { which, directory, is_told }: BesideTold) {
        self.now = Some(which);
        if let (Some(next), Some(directory)) = (self.beside.directories.get_mut(which), directory) {
            next.told = Some((directory, is_told.then(Entries::default)));
        }
    }
}

impl HostNode {
    /// A name has to be asked for, and the turn to list is ours. Where it is time to ask for all of them that is done;
    /// whether what is remembered is worth another look.
    pub(super) fn learn_all_at_once(&self) -> bool {
        let is_earned = self.fs().credit.is_earned();
        let is_due = match self.remembered().lock().as_deref_mut() {
            Some(kept) => {
                kept.asked = kept.asked.saturating_add(1);
                (kept.asked == LISTED_AT || is_earned && kept.asked == 1) && !kept.complete
            }
            None => is_earned && !self.was_listed(),
        };
        is_due && self.list(ListWish::WatchedOnlyFew(FEW_AT_ONCE)).is_ok_and(|entries| entries.is_some())
    }
    /// Metadata of the directory has to be asked for. Who looks at whole trees looks into it next: all names come
    /// along. Whether its metadata is known now.
    pub(super) fn learn_on_the_way(&self) -> bool {
        if !self.fs().credit.is_earned() {
            return false;
        }
        let turn = self.listing().lock();
        let is_known = || self.fs().look() && self.known() == Known::All;
        // Who had the turn may have brought it.
        let has_come = is_known() || self.learn_all_at_once() && is_known();
        drop(turn);
        has_come
    }
    /// All entries, which are asked for; `None`: they are not kept.
    pub(super) fn list_watched(&self) -> Result<Option<Arc<Entries>>> {
        let turn = self.listing().lock();
        // Somebody may have asked meanwhile.
        let known = self.remembered_entries();
        let listed = if known.is_some() { Ok(known) } else { self.list(ListWish::Watched(FEW)) };
        drop(turn);
        listed
    }
    fn list(&self, wanted: ListWish) -> Result<Option<Arc<Entries>>> {
        if !self.fs().changes.is_heard(&self.fs().client) {
            return Ok(None);
        }
        let found = self.neighbours();
        let mut beside = Beside::new(&found);
        let listed = self.list_with(wanted, &mut beside);
        if !matches!(listed, Ok(Some(_))) {
            // Not once more at the next name.
            if let Some(kept) = self.remembered().lock().as_deref_mut() {
                kept.asked = kept.asked.max(LISTED_AT);
            }
        }
        beside.learn();
        listed
    }
    /// Directories beside this one that may be listed with it.
    fn neighbours(&self) -> Vec<(Box<[u8]>, Arc<Self>)> {
        let most = self.fs().credit.beside();
        let (Some(above), name) = self.parent_and_name() else { return Vec::new() };
        let mut kept = above.remembered().lock();
        kept.as_deref_mut().map(|kept| kept.list_below(&name, most)).unwrap_or_default()
    }
    fn list_with(&self, wanted: ListWish, beside: &mut Beside<'_>) -> Result<Option<Arc<Entries>>> {
        let (me, path) = (self.handle()?, self.path()?);
        let asked = self.moment();
        let mut moment = None;
        let mut entries = Entries::default();
        loop {
            let cookie = entries.in_order().last().map_or(0, |entry| entry.next);
            // Those beside it come only if it is told whole at once.
            let names = if cookie == 0 { core::mem::take(&mut beside.names) } else { Vec::new() };
            let mut reader = Reader { entries: &mut entries, beside, now: None };
            let piece = self.fs().client.list(&path, cookie, wanted, &names, &mut reader)?;
            let Some((stat, watch)) = piece.directory else { return Ok(None) };
            let of_piece = me.note_watch(stat, watch, moment.unwrap_or(asked));
            moment = moment.or(Some(of_piece));
            let went_on = cookie == 0 || entries.in_order().last().is_some_and(|entry| entry.next != cookie);
            if !piece.wanted || of_piece.version.is_none() || !(piece.end || went_on) {
                return Ok(None);
            }
            if piece.end {
                break;
            }
            if entries.in_order().is_empty() {
                // They are many.
                return Ok(None);
            }
        }
        let entries = Arc::new(entries);
        self.fs().credit.spend(entries.in_order().len());
        self.learn_entries(&me, &entries, moment.unwrap_or(asked));
        Ok(Some(entries))
    }
    fn learn_entries(&self, me: &Arc<Self>, entries: &Arc<Entries>, asked: Moment) {
        let stats = || entries.in_order().iter().map(|entry| entries.stat_of(entry));
        let met = self.fs().have_nodes(stats());
        let mut nodes = Vec::new();
        let mut are_all_told = true;
        for ((entry, stat), is_met) in entries.in_order().iter().zip(stats()).zip(met) {
            let Some(stat) = stat else {
                are_all_told = false;
                continue;
            };
            let name = entries.name_of(entry);
            if is_met || stat.nlink != 1 || FileType::from_mode(stat.mode) == Some(FileType::Directory) {
                match self.fs().node(Some(me), name, stat, None) {
                    Ok(node) => nodes.push((name, node, stat)),
                    Err(_) => are_all_told = false,
                }
            }
        }
        let mut forgotten = Forgotten::default();
        let mut kept = self.remembered().lock();
        if let Some(kept) = kept.as_deref_mut().filter(|kept| kept.is_of(asked)) {
            let before = kept.len();
            kept.set_entries(entries, asked);
            self.had_listed().store(true, Ordering::Relaxed);
            let changes = &self.fs().changes;
            changes.names.fetch_add(kept.len(), Ordering::Relaxed);
            changes.names.fetch_sub(before, Ordering::Relaxed);
            for (name, node, stat) in &nodes {
                self.insert(kept, name, Some((node, Attributes::all(*stat, asked))), &mut forgotten);
            }
            kept.complete |= are_all_told;
        }
        drop(kept);
        drop(forgotten);
        drop(nodes);
        if self.fs().changes.names.load(Ordering::Relaxed) > MOST_NAMES {
            self.fs().changes.forget_all();
        }
    }
}
