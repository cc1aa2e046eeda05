//! The three interval timers of a process: setitimer(2), getitimer(2), alarm(2).

use core::time::Duration;

use litebox::{Error, Result};
use litebox_common_linux::abi::time::Itimerval;
use litebox_common_linux::argument::{UserMut, UserRef};

use super::setting::Setting;
use super::timers::{IntervalTimer, TimersState};
use crate::Task;
use crate::user::{UserRead, UserWrite};

fn which(number: i32) -> Result<IntervalTimer> {
    Ok(match number {
        0 => IntervalTimer::Real,
        1 => IntervalTimer::Virtual,
        2 => IntervalTimer::Prof,
        _ => return Err(Error::Invalid),
    })
}

impl TimersState {
    /// Interval and time left.
    fn reported(&self, which: IntervalTimer) -> (Duration, Duration) {
        let setting = self.interval.get(which as usize).copied().unwrap_or_default();
        let now = which.base().now().unwrap_or_default();
        let left = match setting.next {
            // Its signal waits to be taken, only then it goes on.
            _ if which == IntervalTimer::Real && self.real_waiting => Duration::ZERO,
            None => Duration::ZERO,
            // Not zero, which would mean disarmed.
            Some(next) => next.saturating_sub(now).max(Duration::from_micros(1)),
        };
        (setting.interval, left)
    }
}

impl Task<'_, '_> {
    fn set_interval_timer(&self, which: IntervalTimer, value: Duration, interval: Duration) -> (Duration, Duration) {
        self.process().timers.change(|state| {
            let before = state.reported(which);
            let now = which.base().now().unwrap_or_default();
            let next = (!value.is_zero()).then(|| now.saturating_add(value));
            if let Some(slot) = state.interval.get_mut(which as usize) {
                *slot = Setting { next, interval };
            }
            if which == IntervalTimer::Real {
                state.real_waiting = false;
            }
            before
        })
    }

    /// setitimer(2).
    pub(crate) fn setitimer(&mut self, number: i32, new: UserRef<Itimerval>, old: UserMut<Itimerval>) -> Result<usize> {
        // As ever, a null pointer disarms.
        let new = new.read_if_given()?.unwrap_or_default();
        let (Some(interval), Some(value)) = (new.interval.duration(), new.value.duration()) else {
            return Err(Error::Invalid);
        };
        let (interval, value) = self.set_interval_timer(which(number)?, value, interval);
        old.write_if_given(Itimerval { interval: interval.into(), value: value.into() })?;
        Ok(0)
    }

    /// getitimer(2).
    pub(crate) fn getitimer(&mut self, number: i32, current: UserMut<Itimerval>) -> Result<usize> {
        let which = which(number)?;
        let (interval, value) = self.process().timers.state.lock().reported(which);
        current.write(Itimerval { interval: interval.into(), value: value.into() }).map(|()| 0)
    }

    /// alarm(2): the seconds that were left of the one before.
    pub(crate) fn alarm(&mut self, seconds: u32) -> Result<usize> {
        let seconds = u64::from(seconds.min(i32::MAX as u32));
        let (_, left) = self.set_interval_timer(IntervalTimer::Real, Duration::from_secs(seconds), Duration::ZERO);
        let up = left.subsec_micros() >= 500_000 || left.as_secs() == 0 && left.subsec_micros() != 0;
        usize::try_from(left.as_secs() + u64::from(up)).map_err(|_| Error::Overflow)
    }
}
