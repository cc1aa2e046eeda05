//! Futexes that are locks (`FUTEX_LOCK_PI` and its kin): the word holds the owner's thread id, the kernel hands it to
//! the next waiter. There are no priorities to inherit here; the queue is first come, first served.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use litebox::event::Waiter;
use litebox::platform::{AtomicOp, Instant, host};
use litebox::sync::MutexGuard;
use litebox::{Error, Result};

use super::table::{Bucket, Candidate, FutexTable, FutexWaiter, Key, Mode, Sleeper, WaitSpec};
use super::{OWNER_DIED, TID_MASK, WAITERS};

/// What is known of the thread whose id a word holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    Alive,
    /// It is marking what it holds; soon it is gone.
    Leaving,
    Gone,
}

/// How an attempt to take a lock went.
pub(super) enum Attempt {
    Taken,
    Queued(Arc<Sleeper>),
}

/// The queues of two buckets, locked.
struct Queues<'t> {
    source: MutexGuard<'t, Vec<FutexWaiter>>,
    /// `None`: the same bucket.
    target: Option<MutexGuard<'t, Vec<FutexWaiter>>>,
}

impl Queues<'_> {
    fn target(&mut self) -> &mut Vec<FutexWaiter> {
        self.target.as_deref_mut().unwrap_or(&mut self.source)
    }
}

fn load(addr: usize) -> Result<u32> {
    host().user_atomic_u32(addr, AtomicOp::Load)
}

/// Whether the word was `expected` and is `new` now.
fn exchange(addr: usize, expected: u32, new: u32) -> Result<bool> {
    Ok(host().user_atomic_u32(addr, AtomicOp::CompareExchange { expected, new })? == expected)
}

fn first_of(sleepers: &[FutexWaiter], key: &Key) -> Result<Option<(usize, Candidate)>> {
    match sleepers.iter().enumerate().find(|(_, e)| e.key == *key) {
        None => Ok(None),
        Some((at, FutexWaiter { mode: Mode::Lock(candidate), .. })) => Ok(Some((at, *candidate))),
        // The word is used as a lock and as something else.
        Some(_) => Err(Error::Invalid),
    }
}

impl FutexTable {
    /// Takes the lock for a thread or queues it. Errors: `WouldBlock` when it may not `wait`; `Deadlock`: it has it
    /// already; `NoProcess`: the owner does not exist; `Busy`: the owner is leaving, try again.
    pub(super) fn attempt_lock(
        &self,
        waiter: &Arc<Waiter>,
        key: Key,
        candidate: Candidate,
        wait: bool,
        owner: &dyn Fn(u32) -> Owner,
    ) -> Result<Attempt> {
        let bucket = self.bucket(&key);
        let mut sleepers = bucket.sleepers.lock();
        let Candidate { tid, addr, .. } = candidate;
        loop {
            let value = load(addr)?;
            let holder = value & TID_MASK;
            if holder == tid {
                return Err(Error::Deadlock);
            }
            let queued = first_of(&sleepers, &key)?.is_some();
            if holder == 0 {
                if queued {
                    // Somebody wrote over a lock that others wait for.
                    return Err(Error::Invalid);
                }
                if exchange(addr, value, tid | value & OWNER_DIED)? {
                    return Ok(Attempt::Taken);
                }
                continue;
            }
            if !queued {
                match owner(holder) {
                    Owner::Alive => {}
                    Owner::Leaving => return Err(Error::Busy),
                    Owner::Gone if load(addr)? == value => return Err(Error::NoProcess),
                    Owner::Gone => continue,
                }
            }
            if value & WAITERS == 0 && !exchange(addr, value, value | WAITERS)? {
                continue;
            }
            if !wait {
                return Err(Error::WouldBlock);
            }
            bucket.count.fetch_add(1, Ordering::SeqCst);
            self.lock_waiters.fetch_add(1, Ordering::SeqCst);
            let sleeper = self.push(&mut sleepers, waiter, key, u32::MAX, Mode::Lock(candidate));
            return Ok(Attempt::Queued(sleeper));
        }
    }

    /// Waits in the queue of a lock until it is given to the sleeper.
    pub(super) fn await_lock(
        &self,
        waiter: &Arc<Waiter>,
        sleeper: Arc<Sleeper>,
        deadline: Option<Instant>,
    ) -> Result<()> {
        let sleepers = [sleeper];
        let outcome = Self::sleep(waiter, &sleepers, deadline);
        match self.dequeue(&sleepers[0]) {
            None => Ok(()),
            Some(_) => outcome,
        }
    }

    /// Gives the lock back, to the first who waits for it. `NotPermitted`: `tid` does not have it.
    pub(super) fn unlock(&self, key: &Key, addr: usize, tid: u32) -> Result<()> {
        let bucket = self.bucket(key);
        let mut sleepers = bucket.sleepers.lock();
        loop {
            let value = load(addr)?;
            if value & TID_MASK != tid {
                return Err(Error::NotPermitted);
            }
            let next = first_of(&sleepers, key)?;
            let new = next.map_or(0, |(_, candidate)| candidate.tid | WAITERS);
            if exchange(addr, value, new)? {
                if let Some((at, _)) = next {
                    self.give(bucket, &mut sleepers, at);
                }
                return Ok(());
            }
        }
    }

    /// Takes the sleeper at `at` out: the lock is its own now.
    fn give(&self, bucket: &Bucket, sleepers: &mut Vec<FutexWaiter>, at: usize) {
        let entry = sleepers.remove(at);
        bucket.count.fetch_sub(1, Ordering::SeqCst);
        self.lock_waiters.fetch_sub(1, Ordering::SeqCst);
        entry.sleeper.finish();
    }

    /// Thread `tid` of process `pid` is leaving: locks it has that others of its process wait for are given to them.
    pub(super) fn give_locks_of(&self, tid: u32, pid: i32) {
        if self.lock_waiters.load(Ordering::SeqCst) == 0 {
            return;
        }
        for bucket in self.buckets.iter().filter(|b| b.count.load(Ordering::SeqCst) != 0) {
            let mut sleepers = bucket.sleepers.lock();
            let mut at = 0;
            while let Some(entry) = sleepers.get(at) {
                let Mode::Lock(candidate) = entry.mode else {
                    at += 1;
                    continue;
                };
                let value = if candidate.pid == pid { load(candidate.addr).unwrap_or(0) } else { 0 };
                if value & TID_MASK != tid {
                    at += 1;
                } else if exchange(candidate.addr, value, candidate.tid | WAITERS | OWNER_DIED) == Ok(true) {
                    self.give(bucket, &mut sleepers, at);
                }
            }
        }
    }

    /// Sleeps on `spec` until moved to the lock `target` and given it. Errors: `WouldBlock` when the word holds
    /// something else or when it was interrupted after it had been moved; `Interrupted` before that; `TimedOut`.
    pub(super) fn wait_requeue(
        &self,
        waiter: &Arc<Waiter>,
        spec: &WaitSpec,
        candidate: Candidate,
        target: Key,
        deadline: Option<Instant>,
    ) -> Result<()> {
        let sleepers = [self.enqueue(waiter, spec, Mode::Requeue(candidate, target))?];
        let outcome = Self::sleep(waiter, &sleepers, deadline);
        match (self.dequeue(&sleepers[0]), outcome) {
            (None, _) => Ok(()),
            (Some(Mode::Lock(_)), Err(Error::Interrupted)) => Err(Error::WouldBlock),
            (Some(_), outcome) => outcome,
        }
    }

    /// Gives the lock `to` (at `addr`) to the first sleeper of `from`, or moves it and up to `moved` others there.
    /// `compare` is (address, value): the first word must hold it.
    pub(super) fn requeue_to_lock(
        &self,
        from: &Key,
        to: &Key,
        addr: usize,
        moved: u32,
        compare: (usize, u32),
        owner: &dyn Fn(u32) -> Owner,
    ) -> Result<usize> {
        let (source, target) = (self.index(from), self.index(to));
        let mut queues = self.lock_both(source, target);
        if load(compare.0)? != compare.1 {
            return Err(Error::WouldBlock);
        }
        // The first one is woken or moved, then as many as asked for.
        let most = (moved as usize).saturating_add(1);
        let mut concerned = queues.source.iter().filter(|e| e.key == *from).take(most);
        if concerned.any(|e| !matches!(e.mode, Mode::Requeue(_, t) if t == *to)) {
            return Err(Error::Invalid);
        }
        let mut count = 0;
        while count < most {
            let waiting = |entries: &[FutexWaiter]| entries.iter().position(|e| e.key == *from);
            let Some(at) = waiting(&queues.source) else { break };
            let Mode::Requeue(candidate, _) = queues.source[at].mode else { return Err(Error::Invalid) };
            let more = count + 1 < most && waiting(&queues.source[at + 1..]).is_some();
            // Who cannot have the lock, nor wait for it, stays where it is, and so do those behind: another requeue may
            // move them.
            let taken = Self::take_for(queues.target(), to, addr, candidate.tid, more, owner)?;
            let mut entry = queues.source.remove(at);
            self.buckets[source].count.fetch_sub(1, Ordering::SeqCst);
            count += 1;
            if taken {
                entry.sleeper.finish();
                continue;
            }
            entry.key = *to;
            entry.mode = Mode::Lock(Candidate { addr, ..candidate });
            entry.sleeper.moved_to(target);
            self.buckets[target].count.fetch_add(1, Ordering::SeqCst);
            self.lock_waiters.fetch_add(1, Ordering::SeqCst);
            queues.target().push(entry);
        }
        Ok(count)
    }

    /// Locks two buckets, in the order of their numbers.
    fn lock_both(&self, source: usize, target: usize) -> Queues<'_> {
        let low = self.buckets[source.min(target)].sleepers.lock();
        if source == target {
            return Queues { source: low, target: None };
        }
        let high = self.buckets[source.max(target)].sleepers.lock();
        if source < target {
            Queues { source: low, target: Some(high) }
        } else {
            Queues { source: high, target: Some(low) }
        }
    }

    /// Takes the lock on behalf of a sleeper; `false`: somebody has it, and knows now that there are waiters.
    fn take_for(
        sleepers: &[FutexWaiter],
        key: &Key,
        addr: usize,
        tid: u32,
        more: bool,
        owner: &dyn Fn(u32) -> Owner,
    ) -> Result<bool> {
        loop {
            let value = load(addr)?;
            let holder = value & TID_MASK;
            let queued = first_of(sleepers, key)?.is_some();
            if holder == tid {
                return Err(Error::Deadlock);
            }
            if holder == 0 && !queued {
                let waiters = if more { WAITERS } else { 0 };
                if exchange(addr, value, tid | value & OWNER_DIED | waiters)? {
                    return Ok(true);
                }
                continue;
            }
            if !queued {
                match owner(holder) {
                    Owner::Alive => {}
                    Owner::Leaving => return Err(Error::WouldBlock),
                    Owner::Gone => return Err(Error::NoProcess),
                }
            }
            if value & WAITERS != 0 || exchange(addr, value, value | WAITERS)? {
                return Ok(false);
            }
        }
    }
}
