//! When connections want to be looked at again. The supervisor does that: it sleeps no longer than until the first of
//! these times.

use alloc::collections::BTreeMap;
use alloc::sync::Weak;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use super::stream::WireStream;
use crate::platform::{Instant, host};
use crate::sync::Mutex;

const NEVER: u64 = u64::MAX;
/// As many are looked at in a row.
const MOST_AT_ONCE: usize = 256;

/// All times, the first one first.
pub(super) struct Timers {
    /// By time, and the number of the connection.
    due: Mutex<BTreeMap<(u64, u64), Weak<WireStream>>>,
    /// The first of them.
    first: AtomicU64,
    /// Until when the supervisor sleeps, at most.
    sleeps_until: AtomicU64,
}

impl Default for Timers {
    fn default() -> Self {
        Self { due: Mutex::default(), first: AtomicU64::new(NEVER), sleeps_until: AtomicU64::new(NEVER) }
    }
}

impl Timers {
    /// The connection with this number wants to be looked at then. `filed` is the one time that it has;
    /// an earlier one stays.
    pub fn file(&self, at: Instant, now: Instant, (number, filed): (u64, &AtomicU64), stream: &Weak<WireStream>) {
        let mut due = self.due.lock();
        let before = filed.load(Ordering::SeqCst);
        if at.0 >= before && before > now.0 {
            return;
        }
        due.remove(&(before, number));
        filed.store(at.0, Ordering::SeqCst);
        due.insert((at.0, number), stream.clone());
        self.note_first(&due);
        drop(due);
        if at.0 < self.sleeps_until.load(Ordering::SeqCst) {
            host().wake_supervisor();
        }
    }
    /// A connection does not want to be looked at any more.
    pub fn forget(&self, number: u64, filed: &AtomicU64) {
        let mut due = self.due.lock();
        let before = filed.swap(NEVER, Ordering::SeqCst);
        let forgotten = due.remove(&(before, number));
        self.note_first(&due);
        drop(due);
        drop(forgotten);
    }
    /// How many times there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.due.lock().len()
    }
    fn note_first(&self, due: &BTreeMap<(u64, u64), Weak<WireStream>>) {
        let first = due.first_key_value().map_or(NEVER, |((at, _), _)| *at);
        self.first.store(first, Ordering::SeqCst);
    }
    /// In the supervisor, before it sleeps: until when.
    pub fn next(&self) -> Option<Instant> {
        // Who adds a time between these lines wakes it for nothing, and nobody is overlooked.
        self.sleeps_until.store(NEVER, Ordering::SeqCst);
        let first = self.first.load(Ordering::SeqCst);
        self.sleeps_until.store(first, Ordering::SeqCst);
        (first != NEVER).then_some(Instant(first))
    }
    /// In the supervisor: those whose time has come.
    pub fn take_due(&self, now: Instant) -> Vec<Weak<WireStream>> {
        if self.first.load(Ordering::SeqCst) > now.0 {
            return Vec::new();
        }
        let mut due = self.due.lock();
        let mut taken = Vec::new();
        while let Some(first) = due.first_entry() {
            if first.key().0 > now.0 || taken.len() >= MOST_AT_ONCE {
                break;
            }
            taken.push(first.remove());
        }
        self.note_first(&due);
        taken
    }
}
