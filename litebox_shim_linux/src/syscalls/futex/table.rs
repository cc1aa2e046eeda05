//! Who waits on which user word: buckets in the kernel's heap, each with its lock.
//!
//! No wake-up is lost: a waiter announces itself in its bucket before it compares the word, under the bucket's lock; a
//! waker has changed the word before it looks at the bucket. A wake-up of nobody takes no lock.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};

use litebox::event::Waiter;
use litebox::mm::ObjectId;
use litebox::platform::{AtomicOp, Instant, host};
use litebox::sync::Mutex;
use litebox::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};
use litebox::{Error, Result};
use smallvec::SmallVec;

/// In a model of loom few, since each is made anew for each order of steps.
const BUCKETS: usize = if cfg!(loom) { 2 } else { 256 };

/// What makes two words the same futex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Key {
    /// A word of private memory: which address space, which address.
    Private(usize, usize),
    /// A word of a shared object, by offset.
    Shared(ObjectId, u64),
}

/// One sleeper on one word.
pub(super) struct Sleeper {
    pub(super) waiter: Arc<Waiter>,
    bitset: u32,
    pub(super) woken: AtomicBool,
    /// Its bucket; requeueing moves it, under the locks of both.
    bucket: AtomicUsize,
}

/// What a sleeper waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// A wake-up.
    Plain,
    /// The lock that the word is; it is given to this thread.
    Lock(Candidate),
    /// To be moved to the lock that the other word is.
    Requeue(Candidate, Key),
}

/// Who a lock may be given to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Candidate {
    /// Thread id.
    pub(super) tid: u32,
    /// Its process, which sees the lock at `addr`.
    pub(super) pid: i32,
    pub(super) addr: usize,
}

/// One place in the queue of a bucket.
pub(super) struct FutexWaiter {
    pub(super) key: Key,
    pub(super) mode: Mode,
    pub(super) sleeper: Arc<Sleeper>,
}

#[derive(Default)]
pub(super) struct Bucket {
    /// Sleepers and those about to be.
    pub(super) count: AtomicU32,
    pub(super) sleepers: Mutex<Vec<FutexWaiter>>,
}

/// Sleepers that are about to be told.
type Taken = SmallVec<[Arc<Sleeper>; 4]>;

/// The futex manager.
pub struct FutexTable {
    pub(super) buckets: Box<[Bucket]>,
    /// How many sleepers wait for locks.
    pub(super) lock_waiters: AtomicU32,
    hash: Seeded,
}

impl Default for FutexTable {
    fn default() -> Self {
        Self::new()
    }
}

/// One word to wait on.
#[derive(Clone, Copy, Debug)]
pub struct WaitSpec {
    /// Which futex.
    pub key: Key,
    /// Where the calling process sees it.
    pub addr: usize,
    /// Sleep only while it holds this.
    pub expected: u32,
    /// Wake-ups that concern this sleeper.
    pub bitset: u32,
}

impl FutexTable {
    /// An empty table.
    pub fn new() -> Self {
        let mut seed = [0u8; 8];
        host().random(&mut seed);
        Self {
            buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
            lock_waiters: AtomicU32::new(0),
            hash: Seeded(u64::from_le_bytes(seed)),
        }
    }

    pub(super) fn index(&self, key: &Key) -> usize {
        self.hash.hash_one(key) as usize % BUCKETS
    }

    /// The bucket of a key.
    pub(super) fn bucket(&self, key: &Key) -> &Bucket {
        &self.buckets[self.index(key)]
    }

    /// Puts a new sleeper at the end of a bucket, whose lock the caller holds and whose count it has raised.
    pub(super) fn push(
        &self,
        sleepers: &mut Vec<FutexWaiter>,
        waiter: &Arc<Waiter>,
        key: Key,
        bitset: u32,
        mode: Mode,
    ) -> Arc<Sleeper> {
        let sleeper = Arc::new(Sleeper {
            waiter: waiter.clone(),
            bitset,
            woken: AtomicBool::new(false),
            bucket: AtomicUsize::new(self.index(&key)),
        });
        sleepers.push(FutexWaiter { key, mode, sleeper: sleeper.clone() });
        sleeper
    }

    pub(super) fn enqueue(&self, waiter: &Arc<Waiter>, spec: &WaitSpec, mode: Mode) -> Result<Arc<Sleeper>> {
        let bucket = self.bucket(&spec.key);
        let mut sleepers = bucket.sleepers.lock();
        bucket.count.fetch_add(1, Ordering::SeqCst);
        let value = host().user_atomic_u32(spec.addr, AtomicOp::Load);
        let refused = match value {
            Ok(v) if v == spec.expected => None,
            Ok(_) => Some(Error::WouldBlock),
            Err(e) => Some(e),
        };
        if let Some(error) = refused {
            bucket.count.fetch_sub(1, Ordering::SeqCst);
            return Err(error);
        }
        Ok(self.push(&mut sleepers, waiter, spec.key, spec.bitset, mode))
    }

    /// Takes a sleeper out wherever it is by now; the result is what it waited for in the end. `None`: it was woken
    /// before that.
    pub(super) fn dequeue(&self, sleeper: &Arc<Sleeper>) -> Option<Mode> {
        loop {
            let index = sleeper.bucket.load(Ordering::Acquire);
            let bucket = &self.buckets[index];
            let mut sleepers = bucket.sleepers.lock();
            if sleeper.bucket.load(Ordering::Acquire) != index {
                continue;
            }
            if let Some(at) = sleepers.iter().position(|e| Arc::ptr_eq(&e.sleeper, sleeper)) {
                let mode = sleepers.remove(at).mode;
                bucket.count.fetch_sub(1, Ordering::SeqCst);
                if matches!(mode, Mode::Lock(_)) {
                    self.lock_waiters.fetch_sub(1, Ordering::SeqCst);
                }
                return Some(mode);
            }
            return None;
        }
    }

    /// Sleeps until one of the words is woken; the result is its index. Errors: `WouldBlock` when a word holds
    /// something else, `Fault`, `TimedOut`, `Interrupted`.
    pub fn wait(&self, waiter: &Arc<Waiter>, specs: &[WaitSpec], deadline: Option<Instant>) -> Result<usize> {
        let mut sleepers = SmallVec::<[_; 1]>::new();
        let mut outcome = Ok(());
        for spec in specs {
            match self.enqueue(waiter, spec, Mode::Plain) {
                Ok(sleeper) => sleepers.push(sleeper),
                Err(e) => {
                    outcome = Err(e);
                    break;
                }
            }
        }
        if outcome.is_ok() {
            outcome = Self::sleep(waiter, &sleepers, deadline);
        }
        let mut woken = None;
        for (i, sleeper) in sleepers.iter().enumerate() {
            // Who was woken has been taken out, and needs no lock to know.
            let gone = sleeper.woken.load(Ordering::Acquire) || self.dequeue(sleeper).is_none();
            if gone && woken.is_none() {
                woken = Some(i);
            }
        }
        match woken {
            Some(i) => Ok(i),
            None => outcome.map(|()| 0),
        }
    }

    /// Sleeps until one of the sleepers is woken.
    pub(super) fn sleep(waiter: &Arc<Waiter>, sleepers: &[Arc<Sleeper>], deadline: Option<Instant>) -> Result<()> {
        loop {
            let ticket = waiter.ticket();
            if sleepers.iter().any(|s| s.woken.load(Ordering::Acquire)) {
                return Ok(());
            }
            waiter.sleep(ticket, deadline)?;
        }
    }

    /// Wakes up to `count` sleepers whose bitset meets `bitset`, longest first. `Invalid`: one of them waits for a
    /// lock.
    pub fn wake(&self, key: &Key, count: u32, bitset: u32) -> Result<usize> {
        let bucket = self.bucket(key);
        fence(Ordering::SeqCst);
        if bucket.count.load(Ordering::SeqCst) == 0 {
            return Ok(0);
        }
        let mut taken = Taken::new();
        let mut sleepers = bucket.sleepers.lock();
        let woken = Self::take_in(bucket, &mut sleepers, key, count, bitset, &mut taken);
        drop(sleepers);
        // They run at once, and some go for the bucket: so not under its lock.
        taken.iter().for_each(|sleeper| sleeper.finish());
        woken
    }

    /// Takes those who are woken out of the bucket; as many as there is room for go to `taken` and are told later, the
    /// others at once.
    fn take_in(
        bucket: &Bucket,
        sleepers: &mut Vec<FutexWaiter>,
        key: &Key,
        count: u32,
        bitset: u32,
        taken: &mut Taken,
    ) -> Result<usize> {
        let mut woken = 0;
        let mut outcome = Ok(());
        sleepers.retain(|entry| {
            if woken == count || outcome.is_err() || entry.key != *key {
                return true;
            }
            if entry.mode != Mode::Plain {
                outcome = Err(Error::Invalid);
                return true;
            }
            if entry.sleeper.bitset & bitset == 0 {
                return true;
            }
            woken += 1;
            bucket.count.fetch_sub(1, Ordering::SeqCst);
            if taken.len() < taken.inline_size() {
                taken.push(entry.sleeper.clone());
            } else {
                entry.sleeper.finish();
            }
            false
        });
        outcome.map(|()| woken as usize)
    }

    /// Wakes `wake` sleepers of `from` and moves up to `moved` others to `to`; the result is (woken, moved). With
    /// `compare` (address, value) the word must hold that value: `WouldBlock` otherwise.
    pub fn requeue(
        &self,
        from: &Key,
        to: &Key,
        wake: u32,
        moved: u32,
        compare: Option<(usize, u32)>,
    ) -> Result<(usize, usize)> {
        let (source, target) = (self.index(from), self.index(to));
        let first = &self.buckets[source.min(target)];
        let mut low = first.sleepers.lock();
        let mut high = (source != target).then(|| self.buckets[source.max(target)].sleepers.lock());
        if let Some((addr, value)) = compare {
            if host().user_atomic_u32(addr, AtomicOp::Load)? != value {
                return Err(Error::WouldBlock);
            }
        }
        let (here, mut there) = match (&mut high, source < target) {
            (Some(high), true) => (&mut *low, Some(&mut **high)),
            (Some(high), false) => (&mut **high, Some(&mut *low)),
            (None, _) => (&mut *low, None),
        };
        let mut taken = Taken::new();
        let woken = Self::take_in(&self.buckets[source], here, from, wake, u32::MAX, &mut taken);
        taken.iter().for_each(|sleeper| sleeper.finish());
        let woken = woken?;
        let mut count = 0;
        let mut at = 0;
        while count < moved {
            let Some(entry) = here.get_mut(at) else { break };
            if entry.key != *from {
                at += 1;
                continue;
            }
            if entry.mode != Mode::Plain {
                return Err(Error::Invalid);
            }
            count += 1;
            entry.key = *to;
            let Some(there) = there.as_mut() else {
                at += 1;
                continue;
            };
            entry.sleeper.bucket.store(target, Ordering::Release);
            self.buckets[target].count.fetch_add(1, Ordering::SeqCst);
            self.buckets[source].count.fetch_sub(1, Ordering::SeqCst);
            there.push(here.remove(at));
            if here.is_empty() {
                break;
            }
        }
        Ok((woken, count as usize))
    }
}

impl Sleeper {
    /// It has what it waited for; the caller takes it out of its bucket.
    pub(super) fn finish(&self) {
        self.woken.store(true, Ordering::Release);
        self.waiter.wake();
    }
    /// It was moved to the bucket with this number.
    pub(super) fn moved_to(&self, bucket: usize) {
        self.bucket.store(bucket, Ordering::Release);
    }
}

/// A hash that differs from sandbox to sandbox, so that no program knows which words share a bucket.
struct Seeded(u64);

struct Mixer(u64);

impl BuildHasher for Seeded {
    type Hasher = Mixer;
    fn build_hasher(&self) -> Mixer {
        Mixer(self.0)
    }
}

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u64(&mut self, word: u64) {
        // The steps of splitmix64, once a word.
        let mut z = (self.0 ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = z ^ z >> 31;
    }
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;
    use super::*;

    fn spec(word: &AtomicU32, expected: u32, bitset: u32) -> WaitSpec {
        let addr = word.as_ptr() as usize;
        WaitSpec { key: Key::Private(1, addr), addr, expected, bitset }
    }

    #[test]
    fn a_changed_word_and_a_deadline_end_the_wait() {
        let (table, word, waiter) = (FutexTable::new(), AtomicU32::new(1), Waiter::new());
        assert_eq!(table.wait(&waiter, &[spec(&word, 2, 1)], None), Err(Error::WouldBlock));
        let soon = host().instant();
        assert_eq!(table.wait(&waiter, &[spec(&word, 1, 1)], Some(soon)), Err(Error::TimedOut));
        waiter.interrupt();
        assert_eq!(table.wait(&waiter, &[spec(&word, 1, 1)], None), Err(Error::Interrupted));
        assert!(table.buckets.iter().all(|b| b.count.load(Ordering::SeqCst) == 0));
    }

    #[test]
    fn requeued_sleepers_are_woken_at_their_new_word() {
        let table = FutexTable::new();
        let (a, b) = (AtomicU32::new(0), AtomicU32::new(0));
        let (ka, kb) = (spec(&a, 0, u32::MAX).key, spec(&b, 0, u32::MAX).key);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| assert_eq!(table.wait(&Waiter::new(), &[spec(&a, 0, u32::MAX)], None), Ok(0)));
            }
            let index = table.index(&ka);
            while table.buckets[index].count.load(Ordering::SeqCst) < 4 {
                std::thread::yield_now();
            }
            let addr = a.as_ptr() as usize;
            assert_eq!(table.requeue(&ka, &kb, 1, 9, Some((addr, 7))), Err(Error::WouldBlock));
            assert_eq!(table.requeue(&ka, &kb, 1, 9, Some((addr, 0))), Ok((1, 3)));
            assert_eq!(table.wake(&ka, 9, u32::MAX), Ok(0));
            assert_eq!(table.wake(&kb, 2, u32::MAX), Ok(2));
            assert_eq!(table.wake(&kb, 9, u32::MAX), Ok(1));
        });
        assert!(table.buckets.iter().all(|b| b.count.load(Ordering::SeqCst) == 0));
    }

    #[test]
    fn a_ping_pong_loses_no_wake_up() {
        let (table, word) = (FutexTable::new(), AtomicU32::new(0));
        let key = spec(&word, 0, 1).key;
        std::thread::scope(|s| {
            for me in 0..2u32 {
                let (table, word) = (&table, &word);
                s.spawn(move || {
                    let waiter = Waiter::new();
                    for _ in 0..2000 {
                        while word.load(Ordering::SeqCst) != me {
                            let _ = table.wait(&waiter, &[spec(word, 1 - me, 1)], None);
                        }
                        word.store(1 - me, Ordering::SeqCst);
                        assert!(table.wake(&key, 1, 1).is_ok());
                    }
                });
            }
        });
    }
}
