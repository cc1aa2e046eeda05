//! Futexes: futex(2), robust lists, the word of set_tid_address(2).

mod lock_calls;
mod locks;
mod table;
mod waitv;

use core::sync::atomic::Ordering;
use core::time::Duration;

use litebox::platform::{AtomicOp, ClockId, Instant, host};
use litebox::{Error, Result};
use litebox_common_linux::abi::futex::{self as abi, FutexFlags, FutexOperation};
use litebox_common_linux::abi::layout::{Layout, UserWord};
use litebox_common_linux::abi::process::RobustListHead;
use litebox_common_linux::abi::time::Timespec;
use litebox_common_linux::argument::{Arch, UserMut, UserRef};

pub use table::{FutexTable, Key, WaitSpec};

use crate::Task;
use crate::signal::RestartPolicy;
use crate::syscalls::restart::RestartBlock;
use crate::user::{UserRead, UserWrite, duration_at, read_bytes, write_bytes};

const OWNER_DIED: u32 = 0x4000_0000;
const WAITERS: u32 = 0x8000_0000;
const TID_MASK: u32 = 0x3fff_ffff;
/// Robust futexes looked at when a thread exits; a list that loops ends here.
const ROBUST_LIMIT: usize = 2048;
/// In the address of a [`Key::Private`], whose lowest bits are free: the word was not called private.
const NOT_CALLED_PRIVATE: usize = 2;

bitflags::bitflags! {
    /// What an entry of a robust list is (get_robust_list(2)).
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct RobustEntry: u64 {
        /// A lock of the kernel's, with priority inheritance: bit 0 of the entry's address.
        const LOCK = 1;
        /// The thread was about to take it or to give it back.
        const PENDING = 2;
    }
}

impl RobustEntry {
    fn of(address: u64) -> Self {
        Self::from_bits_truncate(address) & Self::LOCK
    }
}

impl Task<'_, '_> {
    fn futex_key(&self, addr: u64, private: bool) -> Result<(Key, usize)> {
        if addr % 4 != 0 {
            return Err(Error::Invalid);
        }
        let addr = usize::try_from(addr).map_err(|_| Error::Fault)?;
        // A private word need not be there to be known by its address.
        let reachable = if private { addr < host().user_span().1 } else { host().is_user_range(addr, 4) };
        if !reachable {
            return Err(Error::Fault);
        }
        let shared = if private { None } else { self.process().mm.futex_key(addr) };
        if !private {
            // A word that others might share has to be there, also in a file that was cut meanwhile: it is by its page
            // that Linux knows it.
            let _: [u8; 4] = read_bytes(addr as u64)?;
        }
        // On Linux a word of private memory is two futexes, one for those who call it private and one for the others.
        let kind = if private { 0 } else { NOT_CALLED_PRIVATE };
        let own = Key::Private(self.process().mm.identity(), addr | kind);
        Ok((shared.map_or(own, |(object, offset)| Key::Shared(object, offset)), addr))
    }

    /// futex(2). `timeout` is the second number for the requeueing operations.
    pub(crate) fn futex(
        &mut self,
        addr: u64,
        op: FutexOperation,
        val: u32,
        timeout: UserRef<Timespec>,
        addr2: u64,
        val3: u32,
    ) -> Result<usize> {
        let flags = FutexFlags::from_bits_truncate(op.bits());
        let command = op.bits() & !FutexFlags::all().bits();
        let private = flags.contains(FutexFlags::PRIVATE);
        let val2 = timeout.address() as u32;
        if flags.contains(FutexFlags::CLOCK_REALTIME)
            && !matches!(command, abi::FUTEX_WAIT_BITSET | abi::FUTEX_WAIT_REQUEUE_PI | abi::FUTEX_LOCK_PI2)
        {
            return Err(Error::NotImplemented);
        }
        match command {
            abi::FUTEX_WAIT => self.wait_on_word(addr, flags, val, timeout, None),
            abi::FUTEX_WAIT_BITSET => self.wait_on_word(addr, flags, val, timeout, Some(val3)),
            abi::FUTEX_WAKE => self.wake_word(addr, private, val, u32::MAX),
            abi::FUTEX_WAKE_BITSET => self.wake_word(addr, private, val, val3),
            abi::FUTEX_REQUEUE => self.requeue_word(addr, private, val, val2, addr2, None),
            abi::FUTEX_CMP_REQUEUE => self.requeue_word(addr, private, val, val2, addr2, Some(val3)),
            abi::FUTEX_LOCK_PI => self.futex_lock(addr, flags | FutexFlags::CLOCK_REALTIME, timeout),
            abi::FUTEX_LOCK_PI2 => self.futex_lock(addr, flags, timeout),
            abi::FUTEX_TRYLOCK_PI => self.futex_try_lock(addr, private),
            abi::FUTEX_UNLOCK_PI => self.futex_unlock(addr, private),
            abi::FUTEX_WAIT_REQUEUE_PI => self.futex_wait_requeue(addr, flags, val, timeout, addr2),
            abi::FUTEX_CMP_REQUEUE_PI => self.futex_requeue_to_lock(addr, private, val, val2, addr2, val3),
            abi::FUTEX_WAKE_OP => self.futex_wake_op(addr, private, val, val2, addr2, val3),
            _ => Err(Error::NotImplemented),
        }
    }

    fn wait_on_word(
        &mut self,
        addr: u64,
        flags: FutexFlags,
        expected: u32,
        timeout: UserRef<Timespec>,
        bitset: Option<u32>,
    ) -> Result<usize> {
        let limit = duration_at(timeout)?;
        // WAIT counts from now, WAIT_BITSET names the moment.
        let deadline = limit.map(|limit| match bitset {
            None => host().instant().saturating_add(limit),
            Some(_) => absolute(limit, flags.contains(FutexFlags::CLOCK_REALTIME)),
        });
        let bitset = bitset.unwrap_or(u32::MAX);
        if bitset == 0 {
            return Err(Error::Invalid);
        }
        self.futex_wait_until(addr, flags.contains(FutexFlags::PRIVATE), expected, bitset, deadline)
    }

    /// Sleeps on a word until woken, at most until `deadline`.
    pub(crate) fn futex_wait_until(
        &mut self,
        user: u64,
        private: bool,
        expected: u32,
        bitset: u32,
        deadline: Option<Instant>,
    ) -> Result<usize> {
        let number = self.frame.regs.rax;
        let (key, addr) = self.futex_key(user, private)?;
        let spec = WaitSpec { key, addr, expected, bitset };
        match (self.kernel().futexes.wait(self.waiter(), &[spec], deadline), deadline) {
            (Err(Error::Interrupted), None) => Err(self.interrupted_call(RestartPolicy::Sys, number)),
            (Err(Error::Interrupted), Some(deadline)) => {
                Err(self.interrupted_with(RestartBlock::Futex { addr: user, private, expected, bitset, deadline }))
            }
            (other, _) => other.map(|_| 0),
        }
    }

    fn wake_word(&mut self, addr: u64, private: bool, count: u32, bitset: u32) -> Result<usize> {
        if bitset == 0 {
            return Err(Error::Invalid);
        }
        let (key, _) = self.futex_key(addr, private)?;
        // Linux wakes one when asked for none.
        self.kernel().futexes.wake(&key, at_least_one(count), bitset)
    }

    fn requeue_word(
        &mut self,
        addr: u64,
        private: bool,
        wake: u32,
        moved: u32,
        addr2: u64,
        compare: Option<u32>,
    ) -> Result<usize> {
        if (wake as i32) < 0 || (moved as i32) < 0 {
            return Err(Error::Invalid);
        }
        let (from, at) = self.futex_key(addr, private)?;
        let (to, _) = self.futex_key(addr2, private)?;
        let (woken, moved) = self.kernel().futexes.requeue(&from, &to, wake, moved, compare.map(|v| (at, v)))?;
        // Linux counts those that were moved in any case, whatever the manual page says of FUTEX_REQUEUE.
        Ok(woken + moved)
    }

    fn futex_wake_op(
        &mut self,
        addr: u64,
        private: bool,
        count: u32,
        count2: u32,
        addr2: u64,
        op: u32,
    ) -> Result<usize> {
        let (first, _) = self.futex_key(addr, private)?;
        let (second, at) = self.futex_key(addr2, private)?;
        // Twelve bits each, with sign.
        let raw = ((op << 8) as i32 >> 20) as u32;
        let operand = if op & 0x8000_0000 != 0 { 1u32.wrapping_shl(raw & 31) } else { raw };
        let change = match op >> 28 & 7 {
            0 => AtomicOp::Swap(operand),
            1 => AtomicOp::Add(operand),
            2 => AtomicOp::Or(operand),
            3 => AtomicOp::And(!operand),
            4 => AtomicOp::Xor(operand),
            _ => return Err(Error::NotImplemented),
        };
        let compared = (op << 20) as i32 >> 20;
        let old = host().user_atomic_u32(at, change)? as i32;
        // As on Linux, the word has changed by the time an unknown comparison is refused.
        let holds = match op >> 24 & 15 {
            0 => old == compared,
            1 => old != compared,
            2 => old < compared,
            3 => old <= compared,
            4 => old > compared,
            5 => old >= compared,
            _ => return Err(Error::NotImplemented),
        };
        let futexes = &self.kernel().futexes;
        let mut woken = futexes.wake(&first, at_least_one(count), u32::MAX)?;
        if holds {
            woken += futexes.wake(&second, at_least_one(count2), u32::MAX)?;
        }
        Ok(woken)
    }

    /// set_robust_list(2).
    pub(crate) fn set_robust_list(&mut self, head: UserMut<RobustListHead>, len: usize) -> Result<usize> {
        if len != RobustListHead::size(head.layouts()) {
            return Err(Error::Invalid);
        }
        self.thread.robust_list_of(self.abi()).store(head.address(), Ordering::Relaxed);
        Ok(0)
    }

    /// get_robust_list(2).
    pub(crate) fn get_robust_list(
        &mut self,
        tid: i32,
        head: UserMut<UserWord>,
        len: UserMut<UserWord>,
    ) -> Result<usize> {
        let list = if tid == 0 {
            self.thread.robust_list_of(self.abi()).load(Ordering::Relaxed)
        } else {
            let process = self.find_process_of_thread(tid).ok_or(Error::NoProcess)?;
            let thread = process.thread_or_ended_first(tid).ok_or(Error::NoProcess)?;
            if !self.may_inspect(&process) {
                return Err(Error::NotPermitted);
            }
            thread.robust_list_of(self.abi()).load(Ordering::Relaxed)
        };
        len.write(UserWord(RobustListHead::size(head.layouts()) as u64))?;
        head.write(UserWord(list as u64))?;
        Ok(0)
    }

    /// The thread exits: marks the robust futexes it holds (get_robust_list(2)).
    pub(crate) fn release_robust_list(&mut self) {
        for arch in [Arch::X86_64, Arch::X86] {
            let head = self.thread.robust_list_of(arch).swap(0, Ordering::Relaxed);
            if head != 0 {
                // A list the guest broke is walked as far as it goes.
                let _ = self.walk_robust_list(UserRef::new(arch, head));
            }
        }
    }

    fn walk_robust_list(&mut self, head: UserRef<RobustListHead>) -> Result<()> {
        let RobustListHead { next, offset, pending } = head.read()?;
        let futex_of = |entry: u64| (entry & !1).wrapping_add_signed(offset);
        let mut entry = next;
        for _ in 0..ROBUST_LIMIT {
            // Bit 0 marks a priority-inheritance futex.
            if entry & !1 == head.address() as u64 {
                break;
            }
            let next = head.at::<UserWord>(entry as usize & !1).read();
            if entry & !1 != pending & !1 {
                self.futex_owner_died(futex_of(entry), RobustEntry::of(entry))?;
            }
            entry = next?.0;
        }
        if pending & !1 != 0 {
            self.futex_owner_died(futex_of(pending), RobustEntry::of(pending) | RobustEntry::PENDING)?;
        }
        Ok(())
    }

    fn futex_owner_died(&mut self, addr: u64, entry: RobustEntry) -> Result<()> {
        let lock = entry.contains(RobustEntry::LOCK);
        let (key, at) = self.futex_key(addr, false)?;
        let mut value = host().user_atomic_u32(at, AtomicOp::Load)?;
        loop {
            if value & TID_MASK != self.thread.tid() as u32 {
                // Unlocked, but died before it could wake anybody.
                if entry == RobustEntry::PENDING && value == 0 {
                    self.wake_one(&key);
                }
                return Ok(());
            }
            let new = value & WAITERS | OWNER_DIED;
            let seen = host().user_atomic_u32(at, AtomicOp::CompareExchange { expected: value, new })?;
            if seen == value {
                break;
            }
            value = seen;
        }
        // Those who wait for a lock of the kernel's were given it before.
        if value & WAITERS != 0 && !lock {
            self.wake_one(&key);
        }
        Ok(())
    }

    /// Wakes one sleeper. Who waits for the word as a lock is not concerned.
    fn wake_one(&self, key: &Key) {
        let _ = self.kernel().futexes.wake(key, 1, u32::MAX);
    }

    /// The thread exits: clears and wakes its set_tid_address(2) word.
    pub(crate) fn clear_child_tid(&mut self) {
        let addr = self.thread.clear_child_tid.swap(0, Ordering::Relaxed) as u64;
        if addr == 0 || self.process().thread_count() <= 1 && !self.process().mm.is_shared() {
            // Nobody is left who could see it.
            return;
        }
        if write_bytes(addr, &0u32.to_le_bytes()).is_ok() {
            if let Ok((key, _)) = self.futex_key(addr, false) {
                self.wake_one(&key);
            }
        }
    }
}

/// The moment that an absolute time of a clock means.
fn absolute(time: Duration, realtime: bool) -> Instant {
    if realtime {
        return host().instant().saturating_add(time.saturating_sub(host().now(ClockId::Realtime)));
    }
    Instant(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// Linux wakes one sleeper when asked for none.
fn at_least_one(count: u32) -> u32 {
    if (count as i32) < 1 { 1 } else { count }
}
