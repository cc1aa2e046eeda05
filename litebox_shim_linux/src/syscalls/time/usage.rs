//! How much of the processor and the machine was used: getrusage(2), times(2).

use core::time::Duration;

use litebox::platform::{Usage, host};
use litebox::{Error, Result};

use litebox_common_linux::abi::process::Rusage;
use litebox_common_linux::abi::time::Tms;
use litebox_common_linux::argument::UserMut;

use crate::Task;
use crate::user::UserWrite;

/// Clock ticks of a second, as programs count them (AT_CLKTCK).
const TICKS: u64 = 100;

/// What the host says was used, as getrusage(2) tells it.
pub(crate) fn rusage_of(used: &Usage) -> Rusage {
    Rusage {
        user: used.user.into(),
        system: used.system.into(),
        max_resident: used.max_resident,
        minor_faults: used.minor_faults,
        major_faults: used.major_faults,
        blocks_in: used.blocks_in,
        blocks_out: used.blocks_out,
        voluntary_switches: used.voluntary_switches,
        involuntary_switches: used.involuntary_switches,
        ..Rusage::default()
    }
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX) / (1000 / TICKS)
}

impl Task<'_, '_> {
    /// getrusage(2).
    pub(crate) fn getrusage(&mut self, who: i32, out: UserMut<Rusage>) -> Result<usize> {
        const SELF: i32 = 0;
        const CHILDREN: i32 = -1;
        const THREAD: i32 = 1;
        let used = match who {
            SELF => host().usage(false),
            THREAD => host().usage(true),
            CHILDREN => self.process().children_usage(),
            _ => return Err(Error::Invalid),
        };
        out.write(rusage_of(&used)).map(|()| 0)
    }

    /// times(2): ticks since the sandbox started.
    pub(crate) fn times(&mut self, out: UserMut<Tms>) -> Result<usize> {
        if !out.is_null() {
            let (own, children) = (host().usage(false), self.process().children_usage());
            let [user, system, children_user, children_system] =
                [own.user, own.system, children.user, children.system].map(|time| ticks(time) as i64);
            out.write(Tms { user, system, children_user, children_system })?;
        }
        let up = host().instant().saturating_since(self.kernel().boot);
        usize::try_from(ticks(up)).map_err(|_| Error::Overflow)
    }
}
