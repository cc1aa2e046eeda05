//! The operations of futex(2) on locks.

use litebox::platform::{Instant, host};
use litebox::{Error, Result};
use litebox_common_linux::abi::futex::FutexFlags;
use litebox_common_linux::abi::time::Timespec;
use litebox_common_linux::argument::UserRef;

use super::locks::{Attempt, Owner};
use super::table::{Candidate, WaitSpec};
use super::{Key, absolute};
use crate::Task;
use crate::signal::RestartPolicy;
use crate::user::duration_at;

impl Task<'_, '_> {
    fn owner_of(&self, tid: u32) -> Owner {
        let Ok(tid) = i32::try_from(tid) else { return Owner::Gone };
        let found = self.find_process_of_thread(tid).and_then(|process| process.thread(tid));
        match found {
            None => Owner::Gone,
            Some(thread) if thread.dead.load(core::sync::atomic::Ordering::Acquire) => Owner::Leaving,
            Some(_) => Owner::Alive,
        }
    }

    fn candidate(&self, addr: usize) -> Candidate {
        Candidate { tid: self.thread.tid() as u32, pid: self.process().pid, addr }
    }

    /// Takes the lock, or, if it is to `wait`, its place in the queue.
    fn attempt_lock(&self, key: Key, at: usize, wait: bool) -> Result<Attempt> {
        let candidate = self.candidate(at);
        let futexes = &self.kernel().futexes;
        loop {
            match futexes.attempt_lock(self.waiter(), key, candidate, wait, &|tid| self.owner_of(tid)) {
                Err(Error::Busy) => host().yield_now(),
                other => return other,
            }
        }
    }

    /// `FUTEX_TRYLOCK_PI`.
    pub(super) fn futex_try_lock(&mut self, addr: u64, private: bool) -> Result<usize> {
        let (key, at) = self.futex_key(addr, private)?;
        self.attempt_lock(key, at, false).map(|_| 0)
    }

    /// `FUTEX_LOCK_PI`, `FUTEX_LOCK_PI2`.
    pub(super) fn futex_lock(&mut self, addr: u64, flags: FutexFlags, timeout: UserRef<Timespec>) -> Result<usize> {
        let number = self.frame.regs.rax;
        let deadline = absolute_timeout(timeout, flags)?;
        let (key, at) = self.futex_key(addr, flags.contains(FutexFlags::PRIVATE))?;
        let kernel = self.kernel().clone();
        let Attempt::Queued(sleeper) = self.attempt_lock(key, at, true)? else { return Ok(0) };
        match kernel.futexes.await_lock(self.waiter(), sleeper, deadline) {
            Err(Error::Interrupted) => Err(self.interrupted_call(RestartPolicy::Always, number)),
            other => other.map(|()| 0),
        }
    }

    /// `FUTEX_UNLOCK_PI`.
    pub(super) fn futex_unlock(&mut self, addr: u64, private: bool) -> Result<usize> {
        let (key, at) = self.futex_key(addr, private)?;
        self.kernel().futexes.unlock(&key, at, self.thread.tid() as u32).map(|()| 0)
    }

    /// `FUTEX_WAIT_REQUEUE_PI`.
    pub(super) fn futex_wait_requeue(
        &mut self,
        addr: u64,
        flags: FutexFlags,
        expected: u32,
        timeout: UserRef<Timespec>,
        addr2: u64,
    ) -> Result<usize> {
        let number = self.frame.regs.rax;
        let deadline = absolute_timeout(timeout, flags)?;
        let private = flags.contains(FutexFlags::PRIVATE);
        if addr == addr2 {
            return Err(Error::Invalid);
        }
        let (target, target_at) = self.futex_key(addr2, private)?;
        let (key, addr) = self.futex_key(addr, private)?;
        if key == target {
            return Err(Error::Invalid);
        }
        let spec = WaitSpec { key, addr, expected, bitset: u32::MAX };
        let kernel = self.kernel().clone();
        let candidate = self.candidate(target_at);
        match kernel.futexes.wait_requeue(self.waiter(), &spec, candidate, target, deadline) {
            Err(Error::Interrupted) => Err(self.interrupted_call(RestartPolicy::Always, number)),
            other => other.map(|()| 0),
        }
    }

    /// `FUTEX_CMP_REQUEUE_PI`.
    pub(super) fn futex_requeue_to_lock(
        &mut self,
        addr: u64,
        private: bool,
        wake: u32,
        moved: u32,
        addr2: u64,
        expected: u32,
    ) -> Result<usize> {
        if (wake as i32) < 0 || (moved as i32) < 0 || addr == addr2 || wake != 1 {
            return Err(Error::Invalid);
        }
        let (from, at) = self.futex_key(addr, private)?;
        let (to, at2): (Key, usize) = self.futex_key(addr2, private)?;
        if from == to {
            return Err(Error::Invalid);
        }
        self.kernel().futexes.requeue_to_lock(&from, &to, at2, moved, (at, expected), &|tid| self.owner_of(tid))
    }

    /// The thread exits: locks it has go to those who wait for them.
    pub(crate) fn give_locks(&mut self) {
        self.kernel().futexes.give_locks_of(self.thread.tid() as u32, self.process().pid);
    }
}

fn absolute_timeout(timeout: UserRef<Timespec>, flags: FutexFlags) -> Result<Option<Instant>> {
    Ok(duration_at(timeout)?.map(|time| absolute(time, flags.contains(FutexFlags::CLOCK_REALTIME))))
}
