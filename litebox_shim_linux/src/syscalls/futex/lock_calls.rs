//! The operations of futex(2) on locks.

use litebox::platform::{Instant, host};
use litebox::{Error, Result};
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
        let found = self.kernel().processes().iter().find_map(|p| p.thread(tid));
        match found {
            None => Owner::Gone,
            Some(thread) if thread.dead.load(core::sync::atomic::Ordering::Acquire) => Owner::Leaving,
            Some(_) => Owner::Alive,
        }
    }

    fn candidate(&self, addr: usize) -> Candidate {
        Candidate { tid: self.thread.tid() as u32, pid: self.process().pid, addr }
    }

    /// `FUTEX_LOCK_PI`, `FUTEX_LOCK_PI2`; `wait` is false for `FUTEX_TRYLOCK_PI`.
    pub(super) fn futex_lock(
        &mut self,
        addr: u64,
        private: bool,
        timeout: UserRef<Timespec>,
        realtime: bool,
        wait: bool,
    ) -> Result<usize> {
        let number = self.frame.regs.rax;
        let deadline = absolute_timeout(if wait { timeout } else { UserRef::null() }, realtime)?;
        let (key, at) = self.futex_key(addr, private)?;
        let candidate = self.candidate(at);
        let kernel = self.kernel().clone();
        let attempt = loop {
            match kernel.futexes.attempt_lock(self.waiter(), key, candidate, wait, &|tid| self.owner_of(tid)) {
                Err(Error::Busy) => host().yield_now(),
                other => break other?,
            }
        };
        let Attempt::Queued(sleeper) = attempt else { return Ok(0) };
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
    #[expect(clippy::too_many_arguments, reason = "they are futex(2)'s")]
    pub(super) fn futex_wait_requeue(
        &mut self,
        addr: u64,
        private: bool,
        expected: u32,
        bitset: u32,
        timeout: UserRef<Timespec>,
        realtime: bool,
        addr2: u64,
    ) -> Result<usize> {
        let number = self.frame.regs.rax;
        let deadline = absolute_timeout(timeout, realtime)?;
        if addr == addr2 || bitset == 0 {
            return Err(Error::Invalid);
        }
        let (target, target_at) = self.futex_key(addr2, private)?;
        let (key, addr) = self.futex_key(addr, private)?;
        if key == target {
            return Err(Error::Invalid);
        }
        let spec = WaitSpec { key, addr, expected, bitset };
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

fn absolute_timeout(timeout: UserRef<Timespec>, realtime: bool) -> Result<Option<Instant>> {
    Ok(duration_at(timeout)?.map(|time| absolute(time, realtime)))
}
