//! futex_waitv(2), and the calls that do one operation each: futex_wake(2), futex_wait(2), futex_requeue(2).

use alloc::vec::Vec;

use litebox::platform::Instant;
use litebox::{Error, Result};
use litebox_common_linux::abi::futex::{Futex2Flags, FutexWaitv};
use litebox_common_linux::abi::time::Timespec;
use litebox_common_linux::argument::UserRef;

use super::table::WaitSpec;
use super::{absolute, at_least_one};
use crate::Task;
use crate::signal::RestartPolicy;
use crate::user::{UserRead, duration_at};

/// Words of one futex_waitv(2) at most.
const WAITV_MAX: u32 = 128;
const REALTIME: i32 = 0;
const MONOTONIC: i32 = 1;

/// One `struct futex_waitv`.
struct Word {
    value: u32,
    addr: u64,
    private: bool,
}

/// Whether the flags are those of a private word. Words of other sizes than 32 bits, and those bound to a NUMA node,
/// are `Invalid`.
fn private(flags: Futex2Flags) -> Result<bool> {
    if flags - Futex2Flags::FUTEX2_PRIVATE != Futex2Flags::FUTEX2_SIZE_U32 {
        return Err(Error::Invalid);
    }
    Ok(flags.contains(Futex2Flags::FUTEX2_PRIVATE))
}

fn value(raw: u64) -> Result<u32> {
    u32::try_from(raw).map_err(|_| Error::Invalid)
}

fn read_words(words: UserRef<FutexWaitv>, count: u32) -> Result<Vec<Word>> {
    (0..count as usize)
        .map(|i| {
            let FutexWaitv { value: expected, address, flags, reserved } = words.nth(i)?.read()?;
            if reserved != 0 {
                return Err(Error::Invalid);
            }
            let private = private(Futex2Flags(flags))?;
            Ok(Word { value: value(expected)?, addr: address, private })
        })
        .collect()
}

fn deadline(timeout: UserRef<Timespec>, clock: i32) -> Result<Option<Instant>> {
    if timeout.is_null() {
        return Ok(None);
    }
    if clock != REALTIME && clock != MONOTONIC {
        return Err(Error::Invalid);
    }
    // These calls came after 2038 was thought of: a 32-bit program has the time of 64 bits, too.
    Ok(duration_at(timeout.time64())?.map(|time| absolute(time, clock == REALTIME)))
}

impl Task<'_, '_> {
    fn spec_of(&self, word: &Word, bitset: u32) -> Result<WaitSpec> {
        let (key, addr) = self.futex_key(word.addr, word.private)?;
        Ok(WaitSpec { key, addr, expected: word.value, bitset })
    }

    fn wait_on(&mut self, specs: &[WaitSpec], deadline: Option<Instant>, policy: RestartPolicy) -> Result<usize> {
        let number = self.frame.regs.rax;
        let kernel = self.kernel().clone();
        match kernel.futexes.wait(self.waiter(), specs, deadline) {
            Err(Error::Interrupted) => Err(self.interrupted_call(policy, number)),
            other => other,
        }
    }

    /// futex_waitv(2): the index of a word that was woken.
    pub(crate) fn futex_waitv(
        &mut self,
        words: UserRef<FutexWaitv>,
        count: u32,
        flags: u32,
        timeout: UserRef<Timespec>,
        clock: i32,
    ) -> Result<usize> {
        if flags != 0 || count == 0 || count > WAITV_MAX || words.is_null() {
            return Err(Error::Invalid);
        }
        let deadline = deadline(timeout, clock)?;
        let specs =
            read_words(words, count)?.iter().map(|word| self.spec_of(word, u32::MAX)).collect::<Result<Vec<_>>>()?;
        self.wait_on(&specs, deadline, RestartPolicy::Sys)
    }

    /// futex_wake(2)
    pub(crate) fn futex_wake(&mut self, addr: u64, mask: u64, count: i32, flags: Futex2Flags) -> Result<usize> {
        let private = private(flags)?;
        let mask = value(mask)?;
        if mask == 0 {
            return Err(Error::Invalid);
        }
        let (key, _) = self.futex_key(addr, private)?;
        if count == 0 {
            return Ok(0);
        }
        self.kernel().futexes.wake(&key, at_least_one(count as u32), mask)
    }

    /// futex_wait(2)
    pub(crate) fn futex_wait(
        &mut self,
        addr: u64,
        expected: u64,
        mask: u64,
        flags: Futex2Flags,
        timeout: UserRef<Timespec>,
        clock: i32,
    ) -> Result<usize> {
        let private = private(flags)?;
        let (expected, mask) = (value(expected)?, value(mask)?);
        let deadline = deadline(timeout, clock)?;
        if mask == 0 {
            return Err(Error::Invalid);
        }
        let spec = self.spec_of(&Word { value: expected, addr, private }, mask)?;
        let policy = if deadline.is_some() { RestartPolicy::NoHandler } else { RestartPolicy::Sys };
        self.wait_on(&[spec], deadline, policy)
    }

    /// futex_requeue(2): `words` are the word to wake and the word to move to.
    pub(crate) fn futex_requeue(
        &mut self,
        words: UserRef<FutexWaitv>,
        flags: u32,
        wake: i32,
        moved: i32,
    ) -> Result<usize> {
        if flags != 0 || words.is_null() {
            return Err(Error::Invalid);
        }
        let words = read_words(words, 2)?;
        let [from, to] = words.as_slice() else { return Err(Error::Invalid) };
        let (Ok(wake), Ok(moved)) = (u32::try_from(wake), u32::try_from(moved)) else { return Err(Error::Invalid) };
        let compare = from.value;
        let (from, at) = self.futex_key(from.addr, from.private)?;
        let (to, _) = self.futex_key(to.addr, to.private)?;
        let (woken, moved) = self.kernel().futexes.requeue(&from, &to, wake, moved, Some((at, compare)))?;
        Ok(woken + moved)
    }
}
