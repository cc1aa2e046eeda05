//! nanosleep(2) and clock_nanosleep(2).

use core::time::Duration;

use litebox::platform::{ClockId, host};
use litebox::{Error, Result};
use litebox_common_linux::abi::time::{TimerFlags, Timespec};
use litebox_common_linux::argument::{UserMut, UserRef};

use super::Base;
use crate::Task;
use crate::signal::RestartPolicy;
use crate::syscalls::restart::RestartBlock;
use crate::user::{UserRead, UserWrite, duration_of};

const MONOTONIC: i32 = 1;
/// How often a sleep by CPU time looks at its clock at most.
const CPU_STEP: Duration = Duration::from_millis(1);

impl Task<'_, '_> {
    /// nanosleep(2). Interrupted by a handler, it writes what is left and fails.
    pub(crate) fn nanosleep(&mut self, request: UserRef<Timespec>, left: UserMut<Timespec>) -> Result<usize> {
        let length = duration_of(request.read()?)?;
        self.sleep_until(MONOTONIC, host().now(ClockId::Monotonic).saturating_add(length), left)
    }

    /// clock_nanosleep(2).
    pub(crate) fn clock_nanosleep(
        &mut self,
        clock: i32,
        flags: TimerFlags,
        request: UserRef<Timespec>,
        left: UserMut<Timespec>,
    ) -> Result<usize> {
        const THREAD_CPU: i32 = 3;
        // Whether there is such a CPU clock is looked at last, whether there is such a clock first.
        let early = if clock < 0 { None } else { Some(self.timed_base(clock)?) };
        if clock == THREAD_CPU {
            return Err(Error::NotSupported);
        }
        let time = duration_of(request.read()?)?;
        let base = match early {
            Some(base) => base,
            None => self.timed_base(clock)?,
        };
        if matches!(&base, Base::Thread(_, thread) if core::ptr::eq(thread.as_ptr(), alloc::sync::Arc::as_ptr(self.thread)))
        {
            // It would never wake up.
            return Err(Error::Invalid);
        }
        if flags.contains(TimerFlags::TIMER_ABSTIME) {
            let number = self.frame.regs.rax;
            return match self.sleep_by(&base, time) {
                Err(Error::Interrupted) => Err(self.interrupted_call(RestartPolicy::NoHandler, number)),
                other => other.map(|()| 0),
            };
        }
        // Who sleeps for a while does not care whether the wall clock is set meanwhile.
        let clock = if base.is_wall() { MONOTONIC } else { clock };
        let now = self.clock_base(clock)?.now().ok_or(Error::Invalid)?;
        self.sleep_until(clock, now.saturating_add(time), left)
    }

    /// Sleeps until `clock` shows `until`; on an interruption the time that is left goes to `left`, unless that is
    /// null.
    pub(crate) fn sleep_until(&mut self, clock: i32, until: Duration, left: UserMut<Timespec>) -> Result<usize> {
        let base = self.clock_base(clock)?;
        match self.sleep_by(&base, until) {
            Err(Error::Interrupted) => {
                let rest = until.saturating_sub(base.now().unwrap_or(until));
                left.write_if_given(rest.into())?;
                Err(self.interrupted_with(RestartBlock::Sleep { clock, until, left }))
            }
            other => other.map(|()| 0),
        }
    }

    fn sleep_by(&mut self, base: &Base, until: Duration) -> Result<()> {
        loop {
            let ticket = self.waiter().ticket();
            let now = base.now().ok_or(Error::Invalid)?;
            let rest = until.saturating_sub(now);
            if rest.is_zero() {
                return Ok(());
            }
            let step = if base.is_wall() {
                rest
            } else {
                // All threads together can have used that much by then, not earlier.
                (rest / self.process().thread_count().max(1)).max(CPU_STEP)
            };
            let outcome = self.waiter().sleep(ticket, Some(host().instant().saturating_add(step)));
            if outcome == Err(Error::Interrupted) && base.now().is_none_or(|now| now < until) {
                return Err(Error::Interrupted);
            }
        }
    }
}
