//! Who waits on which user word: buckets in the kernel's heap, each with its lock.
//!
//! No wake-up is lost: a waiter announces itself in its bucket before it compares the word, under the bucket's lock; a waker has changed
//! the word before it looks at the bucket. A wake-up of nobody takes no lock.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{BuildHasher, BuildHasherDefault};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};

use litebox::event::Waiter;
use litebox::mm::ObjectId;
use litebox::platform::{AtomicOp, Instant, host};
use litebox::sync::Mutex;
use litebox::{Error, Result};

const BUCKETS: usize = 256;

/// What makes two words the same futex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Key {
    /// A process's own word, by address.
    Private(i32, usize),
    /// A word of a shared object, by offset.
    Shared(ObjectId, u64),
}

/// One sleeper on one word.
struct Sleeper {
    waiter: Arc<Waiter>,
    bitset: u32,
    woken: AtomicBool,
    /// Its bucket; requeueing moves it, under the locks of both.
    bucket: AtomicUsize,
}

#[derive(Default)]
struct Bucket {
    /// Sleepers and those about to be.
    count: AtomicU32,
    sleepers: Mutex<Vec<(Key, Arc<Sleeper>)>>,
}

/// The futex manager.
pub struct FutexTable {
    buckets: Box<[Bucket]>,
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
        Self { buckets: (0..BUCKETS).map(|_| Bucket::default()).collect() }
    }

    fn index(key: &Key) -> usize {
        // A guest that aims at one bucket slows down only itself.
        BuildHasherDefault::<fnv::Hasher>::default().hash_one(key) as usize % BUCKETS
    }

    fn enqueue(&self, waiter: &Arc<Waiter>, spec: &WaitSpec) -> Result<Arc<Sleeper>> {
        let index = Self::index(&spec.key);
        let bucket = &self.buckets[index];
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
        let sleeper = Arc::new(Sleeper {
            waiter: waiter.clone(),
            bitset: spec.bitset,
            woken: AtomicBool::new(false),
            bucket: AtomicUsize::new(index),
        });
        sleepers.push((spec.key, sleeper.clone()));
        Ok(sleeper)
    }

    /// Takes a sleeper out wherever it is by now. `true`: it was woken before that.
    fn dequeue(&self, sleeper: &Arc<Sleeper>) -> bool {
        loop {
            let index = sleeper.bucket.load(Ordering::Acquire);
            let bucket = &self.buckets[index];
            let mut sleepers = bucket.sleepers.lock();
            if sleeper.bucket.load(Ordering::Acquire) != index {
                continue;
            }
            if let Some(at) = sleepers.iter().position(|(_, s)| Arc::ptr_eq(s, sleeper)) {
                sleepers.remove(at);
                bucket.count.fetch_sub(1, Ordering::SeqCst);
            }
            return sleeper.woken.load(Ordering::Acquire);
        }
    }

    /// Sleeps until one of the words is woken; the result is its index. Errors: `WouldBlock` when a word holds something else, `Fault`,
    /// `TimedOut`, `Interrupted`.
    pub fn wait(&self, waiter: &Arc<Waiter>, specs: &[WaitSpec], deadline: Option<Instant>) -> Result<usize> {
        let mut sleepers = Vec::with_capacity(specs.len());
        let mut outcome = Ok(());
        for spec in specs {
            match self.enqueue(waiter, spec) {
                Ok(sleeper) => sleepers.push(sleeper),
                Err(e) => {
                    outcome = Err(e);
                    break;
                }
            }
        }
        while outcome.is_ok() {
            let ticket = waiter.ticket();
            if sleepers.iter().any(|s| s.woken.load(Ordering::Acquire)) {
                break;
            }
            outcome = waiter.sleep(ticket, deadline);
        }
        let mut woken = None;
        for (i, sleeper) in sleepers.iter().enumerate() {
            if self.dequeue(sleeper) && woken.is_none() {
                woken = Some(i);
            }
        }
        match woken {
            Some(i) => Ok(i),
            None => outcome.map(|()| 0),
        }
    }

    /// Wakes up to `count` sleepers whose bitset meets `bitset`, longest first.
    pub fn wake(&self, key: &Key, count: u32, bitset: u32) -> usize {
        let bucket = &self.buckets[Self::index(key)];
        fence(Ordering::SeqCst);
        if bucket.count.load(Ordering::SeqCst) == 0 {
            return 0;
        }
        let mut sleepers = bucket.sleepers.lock();
        Self::wake_in(bucket, &mut sleepers, key, count, bitset)
    }

    fn wake_in(bucket: &Bucket, sleepers: &mut Vec<(Key, Arc<Sleeper>)>, key: &Key, count: u32, bitset: u32) -> usize {
        let mut woken = 0;
        sleepers.retain(|(k, sleeper)| {
            if woken == count || k != key || sleeper.bitset & bitset == 0 {
                return true;
            }
            woken += 1;
            bucket.count.fetch_sub(1, Ordering::SeqCst);
            sleeper.woken.store(true, Ordering::Release);
            sleeper.waiter.wake();
            false
        });
        woken as usize
    }

    /// Wakes `wake` sleepers of `from` and moves up to `moved` others to `to`; the result is (woken, moved). With `compare`
    /// (address, value) the word must hold that value: `WouldBlock` otherwise.
    pub fn requeue(
        &self,
        from: &Key,
        to: &Key,
        wake: u32,
        moved: u32,
        compare: Option<(usize, u32)>,
    ) -> Result<(usize, usize)> {
        let (source, target) = (Self::index(from), Self::index(to));
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
        let woken = Self::wake_in(&self.buckets[source], here, from, wake, u32::MAX);
        let mut count = 0;
        let mut at = 0;
        while count < moved {
            let Some((key, sleeper)) = here.get_mut(at) else { break };
            if key != from {
                at += 1;
                continue;
            }
            count += 1;
            *key = *to;
            let Some(there) = there.as_mut() else {
                at += 1;
                continue;
            };
            sleeper.bucket.store(target, Ordering::Release);
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

mod fnv {
    /// FNV-1a: short keys, no state.
    pub struct Hasher(u64);

    impl Default for Hasher {
        fn default() -> Self {
            Self(0xcbf2_9ce4_8422_2325)
        }
    }

    impl core::hash::Hasher for Hasher {
        fn finish(&self) -> u64 {
            self.0 ^ self.0 >> 32
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
    }
}

#[cfg(test)]
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
            let index = FutexTable::index(&ka);
            while table.buckets[index].count.load(Ordering::SeqCst) < 4 {
                std::thread::yield_now();
            }
            let addr = a.as_ptr() as usize;
            assert_eq!(table.requeue(&ka, &kb, 1, 9, Some((addr, 7))), Err(Error::WouldBlock));
            assert_eq!(table.requeue(&ka, &kb, 1, 9, Some((addr, 0))), Ok((1, 3)));
            assert_eq!(table.wake(&ka, 9, u32::MAX), 0);
            assert_eq!(table.wake(&kb, 2, u32::MAX), 2);
            assert_eq!(table.wake(&kb, 9, u32::MAX), 1);
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
                        table.wake(&key, 1, 1);
                    }
                });
            }
        });
    }
}
