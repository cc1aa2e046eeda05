//! What a program asks of the system and of itself: identity, randomness, clocks, names.
#![expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "handlers of calls have one shape")]

use alloc::vec::Vec;

use litebox::platform::{ClockId, host};
use litebox::{Error, Result};

use crate::Task;
use crate::syscalls::restart::RestartBlock;
use crate::user::{read_timespec, write_bytes};

/// Most bytes of randomness that pass through the kernel at a time.
const RANDOM_CHUNK: usize = 256;
/// GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE.
const RANDOM_FLAGS: u32 = 7;
const GRND_RANDOM_AND_INSECURE: u32 = 2 | 4;
/// The most one call moves (`MAX_RW_COUNT`).
const MAX_COUNT: u64 = 0x7fff_f000;
/// Length of a field of `struct utsname`.
const NAME_LEN: usize = 65;
const CLOCK_REALTIME: i32 = 0;
/// `uname -r`: the Linux whose behaviour programs get.
pub(crate) const RELEASE: &str = "6.1.0";
/// `uname -v`.
pub(crate) const VERSION: &str = "#1 SMP LiteBox";

fn clock_of(id: i32) -> Result<ClockId> {
    Ok(match id {
        CLOCK_REALTIME => ClockId::Realtime,
        1 => ClockId::Monotonic,
        2 => ClockId::ProcessCpu,
        3 => ClockId::ThreadCpu,
        4 => ClockId::MonotonicRaw,
        5 => ClockId::RealtimeCoarse,
        6 => ClockId::MonotonicCoarse,
        7 => ClockId::Boottime,
        11 => ClockId::Tai,
        _ => return Err(Error::Invalid),
    })
}

fn timespec_bytes(time: core::time::Duration) -> [u8; 16] {
    let mut raw = [0u8; 16];
    let (seconds, nanos) = raw.split_at_mut(8);
    seconds.copy_from_slice(&time.as_secs().to_le_bytes());
    nanos.copy_from_slice(&u64::from(time.subsec_nanos()).to_le_bytes());
    raw
}

impl Task<'_, '_> {
    /// getrandom(2).
    pub(crate) fn getrandom(&mut self, buf: u64, len: u64, flags: u32) -> Result<usize> {
        if flags & !RANDOM_FLAGS != 0 || flags & GRND_RANDOM_AND_INSECURE == GRND_RANDOM_AND_INSECURE {
            return Err(Error::Invalid);
        }
        let len = len.min(MAX_COUNT);
        let mut done = 0u64;
        let mut chunk = [0u8; RANDOM_CHUNK];
        while done < len {
            let n = usize::try_from(len - done).unwrap_or(RANDOM_CHUNK).min(RANDOM_CHUNK);
            let part = chunk.get_mut(..n).unwrap_or_default();
            host().random(part);
            if write_bytes(buf.wrapping_add(done), part).is_err() {
                return if done == 0 { Err(Error::Fault) } else { Ok(done as usize) };
            }
            done += n as u64;
            if self.waiter().interrupted() {
                break;
            }
        }
        Ok(done as usize)
    }

    /// uname(2).
    pub(crate) fn uname(&mut self, buf: u64) -> Result<usize> {
        let host_name = self.kernel().hostname.lock().clone();
        let fields: [&[u8]; 6] = [b"Linux", &host_name, RELEASE.as_bytes(), VERSION.as_bytes(), b"x86_64", b"(none)"];
        let mut raw = Vec::with_capacity(NAME_LEN * fields.len());
        for field in fields {
            let start = raw.len();
            raw.extend(field.iter().take(NAME_LEN - 1));
            raw.resize(start + NAME_LEN, 0);
        }
        write_bytes(buf, &raw)?;
        Ok(0)
    }

    /// clock_gettime(2), for programs that do not ask the vDSO.
    pub(crate) fn clock_gettime(&mut self, clock: i32, out: u64) -> Result<usize> {
        let now = host().now(clock_of(clock)?);
        write_bytes(out, &timespec_bytes(now))?;
        Ok(0)
    }

    /// nanosleep(2). Interrupted by a handler, it writes what is left and fails.
    pub(crate) fn nanosleep(&mut self, request: u64, left: u64) -> Result<usize> {
        let length = read_timespec(request)?;
        self.sleep_until(host().instant().saturating_add(length), left)
    }

    /// Sleeps; on an interruption the time that is left goes to `left`, unless that is 0.
    pub(crate) fn sleep_until(&mut self, deadline: litebox::platform::Instant, left: u64) -> Result<usize> {
        loop {
            let ticket = self.waiter().ticket();
            match self.waiter().sleep(ticket, Some(deadline)) {
                Err(Error::TimedOut) => return Ok(0),
                Err(Error::Interrupted) => {
                    if left != 0 {
                        let rest = deadline.saturating_since(host().instant());
                        write_bytes(left, &timespec_bytes(rest))?;
                    }
                    return Err(self.interrupted_with(RestartBlock::Sleep { deadline, left }));
                }
                _ => {}
            }
        }
    }

    /// sched_yield(2).
    pub(crate) fn sched_yield(&mut self) -> Result<usize> {
        host().yield_now();
        Ok(0)
    }

    /// getuid(2), geteuid(2), getgid(2), getegid(2).
    pub(crate) fn id(&mut self, which: Id) -> Result<usize> {
        let creds = self.process().creds();
        let id = match which {
            Id::Uid => creds.uid,
            Id::Euid => creds.euid,
            Id::Gid => creds.gid,
            Id::Egid => creds.egid,
        };
        usize::try_from(id).map_err(|_| Error::Overflow)
    }
}

/// One of a process's four plain ids.
#[derive(Clone, Copy)]
pub(crate) enum Id {
    Uid,
    Euid,
    Gid,
    Egid,
}
