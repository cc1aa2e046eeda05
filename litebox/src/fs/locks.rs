//! Advisory file locks: record locks of processes and of open file descriptions (fcntl(2)), and whole-file locks
//! (flock(2)).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use litebox_common_linux::Errno;

use smallvec::SmallVec;

use super::InodeId;
use crate::event::{Events, Observer, Pollable, WaitQueue};
use crate::sync::{Mutex, MutexGuard};
use crate::{Error, Result};

/// Who holds a lock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LockOwner {
    /// Whoever uses a table of descriptors, by its address: closing the file there, or the end of the table, gives the
    /// locks back.
    Table(usize),
    /// An open file description, by its id.
    Description(u64),
}

/// Bytes `start..end`; `end` is `u64::MAX` for "to the end of the file, however long it grows".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockRange {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
}

impl LockRange {
    fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// One record lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Who holds it.
    pub owner: LockOwner,
    /// The process that took it; -1 for a description's.
    pub pid: i32,
    /// What it covers.
    pub range: LockRange,
    /// Exclusive.
    pub write: bool,
}

/// One lock of flock(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WholeLock {
    /// The open file description that holds it.
    pub description: u64,
    /// The process that took it.
    pub pid: i32,
    /// Exclusive.
    pub write: bool,
}

/// A lock as /proc/locks tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KnownLock {
    /// A record lock that somebody holds.
    Record(Record),
    /// A record lock that somebody waits for, because of the one before.
    Awaited(Record),
    /// A lock of flock(2) that somebody holds.
    Whole(WholeLock),
    /// A lock of flock(2) that somebody waits for, because of the one before.
    AwaitedWhole(WholeLock),
}

#[derive(Default)]
struct FileLocks {
    /// Those of one owner together, by their starts; owners in the order in which they came. The first in the way is
    /// the one to be told of.
    records: Vec<Record>,
    whole: Vec<WholeLock>,
}

#[derive(Default)]
struct Tables {
    files: BTreeMap<InodeId, FileLocks>,
    /// Who waits for what, to be told of, and to find deadlocks between processes. Whom for is what the locks say at
    /// the time.
    waiting: Vec<Waiting>,
}

/// A thread that waits for a lock.
#[derive(Clone, Copy)]
struct Waiting {
    /// Its id.
    thread: i32,
    id: InodeId,
    lock: Wanted,
}

/// A lock that is waited for.
#[derive(Clone, Copy)]
enum Wanted {
    Record(Record),
    Whole(WholeLock),
}

impl Waiting {
    fn record(&self) -> Option<Record> {
        if let Wanted::Record(record) = self.lock { Some(record) } else { None }
    }
}

/// All locks of a sandbox.
#[derive(Default)]
pub struct LockTable {
    tables: Mutex<Tables>,
    /// Whether there is any lock, for those who need no more than that.
    any: AtomicBool,
    queue: WaitQueue,
}

/// Records per file; beyond that ENOLCK, so that a guest cannot fill the heap with them.
const MAX_RECORDS: usize = 16 * 1024;

impl FileLocks {
    fn conflicts(&self, owner: LockOwner, range: LockRange, write: bool) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |r| r.owner != owner && r.range.overlaps(&range) && (write || r.write))
    }
    fn conflict(&self, owner: LockOwner, range: LockRange, write: bool) -> Option<Record> {
        self.conflicts(owner, range, write).next().copied()
    }
    fn whole_conflict(&self, new: WholeLock) -> Option<WholeLock> {
        let mut others = self.whole.iter().filter(|held| held.description != new.description);
        others.find(|held| new.write || held.write).copied()
    }
    /// Cuts `range` out of what `owner` holds.
    fn cut(&mut self, owner: LockOwner, range: LockRange) -> bool {
        let first = self.first_of(owner);
        let mut rest: SmallVec<[Record; 2]> = SmallVec::new();
        let before = self.records.len();
        self.records.retain(|r| {
            if r.owner != owner || !r.range.overlaps(&range) {
                return true;
            }
            if r.range.start < range.start {
                rest.push(Record { range: LockRange { start: r.range.start, end: range.start }, ..*r });
            }
            if r.range.end > range.end {
                rest.push(Record { range: LockRange { start: range.end, end: r.range.end }, ..*r });
            }
            false
        });
        let changed = before != self.records.len();
        for piece in rest {
            self.insert(piece, first);
        }
        changed
    }
    /// Where the records of `owner` begin, or would.
    fn first_of(&self, owner: LockOwner) -> usize {
        self.records.iter().position(|r| r.owner == owner).unwrap_or(self.records.len())
    }
    /// Inserts a record among those of its owner, which begin at `first` if there are any.
    fn insert(&mut self, new: Record, first: usize) {
        let own = self.records.iter().skip(first).take_while(|r| r.owner == new.owner);
        let before = own.take_while(|r| r.range.start < new.range.start).count();
        self.records.insert((first + before).min(self.records.len()), new);
    }
    /// Adds a record, merged with neighbours of the same kind, where its owner's records began before some were cut.
    fn put(&mut self, mut new: Record, first: usize) {
        self.records.retain(|r| {
            let touches = r.range.start <= new.range.end && new.range.start <= r.range.end;
            if r.owner == new.owner && r.write == new.write && touches {
                new.range.start = new.range.start.min(r.range.start);
                new.range.end = new.range.end.max(r.range.end);
                return false;
            }
            true
        });
        self.insert(new, first);
    }
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.whole.is_empty()
    }
}

impl Tables {
    /// Whether somebody whom the wait for `wanted` is for waits, directly or through others, for its owner. Linux looks
    /// for that among locks of processes only.
    fn would_deadlock(&self, id: InodeId, wanted: Record) -> bool {
        if !matches!(wanted.owner, LockOwner::Table(_)) {
            return false;
        }
        let mut seen = Vec::new();
        let mut ahead: Vec<LockOwner> = self.holders(id, wanted).collect();
        while let Some(who) = ahead.pop() {
            if who == wanted.owner {
                return true;
            }
            if seen.contains(&who) {
                continue;
            }
            seen.push(who);
            let waits = self.waiting.iter().filter_map(|wait| Some((wait.id, wait.record()?)));
            ahead.extend(waits.filter(|(_, record)| record.owner == who).flat_map(|(id, w)| self.holders(id, w)));
        }
        false
    }
    /// Which processes' locks are in its way now.
    fn holders(&self, id: InodeId, wanted: Record) -> impl Iterator<Item = LockOwner> {
        let file = self.files.get(&id);
        let records = file.into_iter().flat_map(move |f| f.conflicts(wanted.owner, wanted.range, wanted.write));
        records.map(|record| record.owner).filter(|owner| matches!(owner, LockOwner::Table(_)))
    }
    /// Takes a record lock or changes its kind: `WouldBlock` when another owner's stands in the way.
    fn take(&mut self, id: InodeId, new: Record) -> Result<()> {
        let file = self.files.entry(id).or_default();
        if file.conflict(new.owner, new.range, new.write).is_some() {
            return Err(Error::WouldBlock);
        }
        if file.records.len() >= MAX_RECORDS {
            return Err(Error::from_errno(Errno::ENOLCK.0));
        }
        let first = file.first_of(new.owner);
        file.cut(new.owner, new.range);
        file.put(new, first);
        Ok(())
    }
}

impl LockTable {
    /// After a change of a file's locks.
    fn tidy(&self, tables: &mut Tables, id: InodeId) {
        if tables.files.get(&id).is_some_and(FileLocks::is_empty) {
            tables.files.remove(&id);
        }
        self.any.store(!tables.files.is_empty(), Ordering::Release);
    }
    /// The lock that stands in the way, if any (F_GETLK).
    pub fn test(&self, id: InodeId, owner: LockOwner, range: LockRange, write: bool) -> Option<Record> {
        self.tables.lock().files.get(&id)?.conflict(owner, range, write)
    }
    /// Takes a record lock or changes its kind: `WouldBlock` when another owner's stands in the way.
    pub fn lock(&self, id: InodeId, new: Record) -> Result<()> {
        let mut tables = self.tables.lock();
        let outcome = tables.take(id, new);
        self.finish(tables, id, outcome, new.write)
    }
    /// As [`LockTable::lock`], for a thread that is going to sleep when a lock stands in the way: notes what it waits
    /// for; `Deadlock` when that closes a circle. Both at once, so that nobody who has what it wants seems to wait.
    /// Pair with [`LockTable::stop_waiting`].
    pub fn lock_or_wait(&self, thread: i32, id: InodeId, new: Record) -> Result<()> {
        let mut tables = self.tables.lock();
        tables.waiting.retain(|w| w.thread != thread);
        let mut outcome = tables.take(id, new);
        if outcome == Err(Error::WouldBlock) {
            if tables.would_deadlock(id, new) {
                outcome = Err(Error::Deadlock);
            } else {
                tables.waiting.push(Waiting { thread, id, lock: Wanted::Record(new) });
            }
        }
        self.finish(tables, id, outcome, new.write)
    }
    fn finish(&self, mut tables: MutexGuard<'_, Tables>, id: InodeId, outcome: Result<()>, write: bool) -> Result<()> {
        self.tidy(&mut tables, id);
        drop(tables);
        if outcome.is_ok() && !write {
            // An exclusive lock may have become a shared one.
            self.queue.notify(Events::IN);
        }
        outcome
    }
    /// The wait is over.
    pub fn stop_waiting(&self, thread: i32) {
        self.tables.lock().waiting.retain(|w| w.thread != thread);
    }
    /// Gives record locks of `owner` in `range` back.
    pub fn unlock(&self, id: InodeId, owner: LockOwner, range: LockRange) -> Result<()> {
        let mut tables = self.tables.lock();
        let Some(file) = tables.files.get_mut(&id) else { return Ok(()) };
        if file.records.len() >= MAX_RECORDS {
            return Err(Error::from_errno(Errno::ENOLCK.0));
        }
        let changed = file.cut(owner, range);
        self.tidy(&mut tables, id);
        drop(tables);
        if changed {
            self.queue.notify(Events::IN);
        }
        Ok(())
    }
    /// A process closed a descriptor of the file: its record locks there end.
    pub fn release(&self, id: InodeId, owner: LockOwner) {
        let mut tables = self.tables.lock();
        let Some(file) = tables.files.get_mut(&id) else { return };
        let before = file.records.len();
        file.records.retain(|r| r.owner != owner);
        let changed = file.records.len() != before;
        self.tidy(&mut tables, id);
        drop(tables);
        if changed {
            self.queue.notify(Events::IN);
        }
    }
    /// A process ended: all its record locks end.
    pub fn release_all(&self, owner: LockOwner) {
        let mut tables = self.tables.lock();
        tables.files.retain(|_, file| {
            file.records.retain(|r| r.owner != owner);
            !file.is_empty()
        });
        self.any.store(!tables.files.is_empty(), Ordering::Release);
        drop(tables);
        self.queue.notify(Events::IN);
    }
    /// Whether nobody holds any lock: closing a descriptor then has nothing to release.
    pub fn no_records(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }
    /// All locks, file by file. Called with the table locked: `each` takes no lock of a file.
    pub fn for_each(&self, each: &mut dyn FnMut(InodeId, KnownLock)) {
        let tables = self.tables.lock();
        for (id, file) in &tables.files {
            for record in &file.records {
                each(*id, KnownLock::Record(*record));
                for wanted in tables.waiting.iter().filter(|wait| wait.id == *id).filter_map(Waiting::record) {
                    let first = file.conflict(wanted.owner, wanted.range, wanted.write);
                    if first.as_ref() == Some(record) {
                        each(*id, KnownLock::Awaited(wanted));
                    }
                }
            }
            for whole in &file.whole {
                each(*id, KnownLock::Whole(*whole));
                for wait in tables.waiting.iter().filter(|wait| wait.id == *id) {
                    let Wanted::Whole(wanted) = wait.lock else { continue };
                    if file.whole_conflict(wanted).as_ref() == Some(whole) {
                        each(*id, KnownLock::AwaitedWhole(wanted));
                    }
                }
            }
        }
    }
    /// flock(2) of process `pid`: `Some(exclusive)` takes or converts, `None` gives back. Converting gives the old lock
    /// up first, as Linux does.
    pub fn flock(&self, id: InodeId, description: u64, pid: i32, kind: Option<bool>) -> Result<()> {
        self.flock_in(self.tables.lock(), id, description, pid, kind)
    }
    /// As [`LockTable::flock`] of one lock, for a thread that is going to sleep when another stands in the way: notes
    /// what it waits for. Pair with [`LockTable::stop_waiting`].
    pub fn flock_or_wait(&self, thread: i32, id: InodeId, new: WholeLock) -> Result<()> {
        let mut tables = self.tables.lock();
        tables.waiting.retain(|w| w.thread != thread);
        if tables.files.get(&id).is_some_and(|file| file.whole_conflict(new).is_some()) {
            tables.waiting.push(Waiting { thread, id, lock: Wanted::Whole(new) });
        }
        self.flock_in(tables, id, new.description, new.pid, Some(new.write))
    }
    fn flock_in(
        &self,
        mut tables: MutexGuard<'_, Tables>,
        id: InodeId,
        description: u64,
        pid: i32,
        kind: Option<bool>,
    ) -> Result<()> {
        let file = tables.files.entry(id).or_default();
        let held = file.whole.iter().find(|w| w.description == description).copied();
        if kind.is_some() && held.map(|h| h.write) == kind {
            return Ok(());
        }
        file.whole.retain(|w| w.description != description);
        let outcome = match kind {
            None => Ok(()),
            Some(exclusive) if file.whole.iter().any(|w| exclusive || w.write) => Err(Error::WouldBlock),
            Some(write) => {
                file.whole.push(WholeLock { description, pid, write });
                Ok(())
            }
        };
        self.tidy(&mut tables, id);
        drop(tables);
        if held.is_some() {
            self.queue.notify(Events::IN);
        }
        outcome
    }
}

impl Pollable for LockTable {
    fn ready(&self) -> Events {
        Events::IN
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.queue.remove(observer);
    }
}

/// Kept by an open file description that took locks: gives them back when the description goes.
pub struct HeldLocks {
    /// Where they are.
    pub table: Arc<LockTable>,
    /// Of which file.
    pub id: InodeId,
    /// Of which description.
    pub description: u64,
}

impl Drop for HeldLocks {
    fn drop(&mut self) {
        self.table.release(self.id, LockOwner::Description(self.description));
        let _ = self.table.flock(self.id, self.description, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::{LockOwner, LockRange, LockTable, Record};
    use crate::Error;
    use crate::fs::InodeId;

    const ID: InodeId = InodeId { dev: 1, ino: 2 };
    const A: LockOwner = LockOwner::Table(1);
    const B: LockOwner = LockOwner::Table(2);

    fn range(start: u64, end: u64) -> LockRange {
        LockRange { start, end }
    }

    fn record(owner: LockOwner, start: u64, end: u64, write: bool) -> Record {
        Record { owner, pid: 7, range: range(start, end), write }
    }

    #[test]
    fn records_split_merge_and_conflict() {
        let table = LockTable::default();
        assert_eq!(table.lock(ID, record(A, 0, 100, true)), Ok(()));
        assert_eq!(table.lock(ID, record(B, 50, 60, false)), Err(Error::WouldBlock));
        assert_eq!(table.unlock(ID, A, range(40, 70)), Ok(()));
        assert_eq!(table.lock(ID, record(B, 50, 60, true)), Ok(()));
        assert_eq!(table.test(ID, B, range(0, 10), false).map(|r| r.range), Some(range(0, 40)));
        assert_eq!(table.test(ID, B, range(40, 70), true), None);
        table.release(ID, B);
        assert_eq!(table.lock(ID, record(A, 40, 70, true)), Ok(()));
        assert_eq!(table.test(ID, B, range(0, 1), true).map(|r| r.range), Some(range(0, 100)));
        table.release_all(A);
        assert!(table.no_records());
    }

    #[test]
    fn a_circle_of_waiters_is_a_deadlock() {
        let table = LockTable::default();
        assert_eq!(table.lock(ID, record(A, 0, 1, true)), Ok(()));
        assert_eq!(table.lock(ID, record(B, 1, 2, true)), Ok(()));
        assert_eq!(table.lock_or_wait(1, ID, record(A, 1, 2, true)), Err(Error::WouldBlock));
        assert_eq!(table.lock_or_wait(2, ID, record(B, 0, 1, true)), Err(Error::Deadlock));
        // Another thread of the one that waits makes no difference, and what nobody waits for any more neither.
        assert_eq!(table.lock_or_wait(3, ID, record(A, 1, 2, false)), Err(Error::WouldBlock));
        table.stop_waiting(1);
        assert_eq!(table.lock_or_wait(2, ID, record(B, 0, 1, true)), Err(Error::Deadlock));
        table.stop_waiting(3);
        assert_eq!(table.lock_or_wait(2, ID, record(B, 0, 1, true)), Err(Error::WouldBlock));
    }

    /// Who was told of a lock that is free now has not tried again yet: it does not wait for whoever gave it back.
    #[test]
    fn who_can_go_on_waits_for_nobody() {
        let table = LockTable::default();
        assert_eq!(table.lock(ID, record(A, 0, 1, true)), Ok(()));
        assert_eq!(table.lock(ID, record(B, 1, 2, true)), Ok(()));
        assert_eq!(table.lock_or_wait(1, ID, record(A, 1, 2, true)), Err(Error::WouldBlock));
        assert_eq!(table.unlock(ID, B, range(1, 2)), Ok(()));
        assert_eq!(table.lock_or_wait(2, ID, record(B, 0, 1, true)), Err(Error::WouldBlock));
        assert_eq!(table.lock_or_wait(1, ID, record(A, 1, 2, true)), Ok(()));
    }

    #[test]
    fn whole_file_locks() {
        let table = LockTable::default();
        assert_eq!(table.flock(ID, 1, 10, Some(false)), Ok(()));
        assert_eq!(table.flock(ID, 2, 20, Some(false)), Ok(()));
        assert_eq!(table.flock(ID, 2, 20, Some(true)), Err(Error::WouldBlock));
        assert_eq!(table.flock(ID, 1, 10, None), Ok(()));
        assert_eq!(table.flock(ID, 2, 20, Some(true)), Ok(()));
        assert_eq!(table.flock(ID, 2, 20, None), Ok(()));
        assert!(table.no_records());
    }
}
