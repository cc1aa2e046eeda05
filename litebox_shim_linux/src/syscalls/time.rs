//! Time: clocks, sleeping, the timers of a process, and how much of the processor was used.

mod clock;
mod interval;
mod posix;
mod setting;
mod sleep;
mod timers;
mod usage;

pub use timers::Timers;

pub(crate) use clock::Base;
pub(crate) use usage::rusage_bytes;

use core::time::Duration;

use litebox::{Error, Result};

use crate::user::{read_bytes, word};

/// The image of a `struct timespec`.
pub(crate) fn timespec_bytes(time: Duration) -> [u8; 16] {
    pair_bytes(time.as_secs(), time.subsec_nanos())
}

/// The image of a `struct timeval`.
pub(crate) fn timeval_bytes(time: Duration) -> [u8; 16] {
    pair_bytes(time.as_secs(), time.subsec_micros())
}

fn pair_bytes(seconds: u64, fraction: u32) -> [u8; 16] {
    let mut raw = [0u8; 16];
    let (high, low) = raw.split_at_mut(8);
    high.copy_from_slice(&seconds.to_le_bytes());
    low.copy_from_slice(&u64::from(fraction).to_le_bytes());
    raw
}

/// Reads a `struct timeval`; out of range fields are `Invalid`.
pub(crate) fn read_timeval(addr: u64) -> Result<Duration> {
    let raw: [u8; 16] = read_bytes(addr)?;
    let seconds = u64::try_from(i64::from_le_bytes(word(&raw, 0))).map_err(|_| Error::Invalid)?;
    let micros = i64::from_le_bytes(word(&raw, 8));
    let micros = u32::try_from(micros).ok().filter(|m| *m < 1_000_000).ok_or(Error::Invalid)?;
    Ok(Duration::new(seconds, micros * 1000))
}
