//! How much of the processor and the machine was used: getrusage(2), times(2).

use core::time::Duration;

use litebox::platform::{Usage, host};
use litebox::{Error, Result};

use super::timeval_bytes;
use crate::Task;
use crate::user::write_bytes;

/// Clock ticks of a second, as programs count them (AT_CLKTCK).
const TICKS: u64 = 100;

/// The image of a `struct rusage`.
pub(crate) fn rusage_bytes(used: &Usage) -> [u8; 144] {
    let mut raw = [0u8; 144];
    let mut put = |at: usize, value: &[u8]| {
        if let Some(slot) = raw.get_mut(at..at + value.len()) {
            slot.copy_from_slice(value);
        }
    };
    put(0, &timeval_bytes(used.user));
    put(16, &timeval_bytes(used.system));
    for (at, value) in [
        (32, used.max_resident),
        (64, used.minor_faults),
        (72, used.major_faults),
        (88, used.blocks_in),
        (96, used.blocks_out),
        (128, used.voluntary_switches),
        (136, used.involuntary_switches),
    ] {
        put(at, &value.to_le_bytes());
    }
    raw
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX) / (1000 / TICKS)
}

impl Task<'_, '_> {
    /// getrusage(2).
    pub(crate) fn getrusage(&mut self, who: i32, out: u64) -> Result<usize> {
        const SELF: i32 = 0;
        const CHILDREN: i32 = -1;
        const THREAD: i32 = 1;
        let used = match who {
            SELF => host().usage(false),
            THREAD => host().usage(true),
            CHILDREN => self.process().children_usage(),
            _ => return Err(Error::Invalid),
        };
        write_bytes(out, &rusage_bytes(&used)).map(|()| 0)
    }

    /// times(2): ticks since the sandbox started.
    pub(crate) fn times(&mut self, out: u64) -> Result<usize> {
        if out != 0 {
            let (own, children) = (host().usage(false), self.process().children_usage());
            let mut raw = [0u8; 32];
            let values = [own.user, own.system, children.user, children.system];
            for (slot, time) in raw.chunks_exact_mut(8).zip(values) {
                slot.copy_from_slice(&ticks(time).to_le_bytes());
            }
            write_bytes(out, &raw)?;
        }
        let up = host().instant().saturating_since(self.kernel().boot);
        usize::try_from(ticks(up)).map_err(|_| Error::Overflow)
    }
}
