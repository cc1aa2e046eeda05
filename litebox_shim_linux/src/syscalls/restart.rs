//! restart_syscall(2): calls with a time limit that go on after an interruption without handler, until the moment they
//! first meant.

use core::time::Duration;
use litebox_common_linux::abi::time::Timespec;
use litebox_common_linux::argument::{Arch, UserMut};

use litebox::platform::Instant;
use litebox::{Error, Result};

use crate::Task;
use crate::signal::RestartPolicy;

/// How an interrupted call goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RestartBlock {
    /// futex(2), `FUTEX_WAIT` and `FUTEX_WAIT_BITSET`.
    Futex {
        /// The word.
        addr: u64,
        /// It is a private one.
        private: bool,
        /// What it must hold.
        expected: u32,
        /// Which wake-ups count.
        bitset: u32,
        /// Until when.
        deadline: Instant,
    },
    /// nanosleep(2) and relative clock_nanosleep(2); what is left goes to `left`, unless that is null.
    Sleep {
        /// By which clock.
        clock: i32,
        /// What it shows at the end.
        until: Duration,
        /// Where to.
        left: UserMut<Timespec>,
    },
    /// poll(2).
    Poll {
        /// The array.
        fds: u64,
        /// Its length.
        count: u32,
        /// Until when.
        deadline: Instant,
    },
}

/// Number of restart_syscall(2).
const fn restart_syscall_number(arch: Arch) -> u64 {
    match arch {
        Arch::X86_64 => 219,
        Arch::X86 => 0,
    }
}

impl Task<'_, '_> {
    /// Notes that the running call was interrupted and goes on by `block` unless a handler runs; gives the error to
    /// return.
    pub(crate) fn interrupted_with(&mut self, block: RestartBlock) -> Error {
        *self.thread.restart_block.lock() = Some(block);
        self.interrupted_call(RestartPolicy::NoHandler, restart_syscall_number(self.abi()))
    }

    /// restart_syscall(2)
    pub(crate) fn restart_syscall(&mut self) -> Result<usize> {
        let block = self.thread.restart_block.lock().take();
        match block {
            None => Err(Error::Interrupted),
            Some(RestartBlock::Futex { addr, private, expected, bitset, deadline }) => {
                self.futex_wait_until(addr, private, expected, bitset, Some(deadline))
            }
            Some(RestartBlock::Sleep { clock, until, left }) => self.sleep_until(clock, until, left),
            Some(RestartBlock::Poll { fds, count, deadline }) => self.poll_until(fds, count, deadline),
        }
    }
}
