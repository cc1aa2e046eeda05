//! The three interval timers of a process: setitimer(2), getitimer(2), alarm(2).

use core::time::Duration;

use litebox::{Error, Result};

use super::setting::Setting;
use super::timers::{IntervalTimer, TimersState};
use super::{read_timeval, timeval_bytes};
use crate::Task;
use crate::user::write_bytes;

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
    pub(crate) fn setitimer(&mut self, number: i32, new: u64, old: u64) -> Result<usize> {
        let (interval, value) = match new {
            // As ever, a null pointer disarms.
            0 => (Duration::ZERO, Duration::ZERO),
            addr => (read_timeval(addr)?, read_timeval(addr.checked_add(16).ok_or(Error::Fault)?)?),
        };
        let before = self.set_interval_timer(which(number)?, value, interval);
        if old != 0 {
            write_itimerval(old, before)?;
        }
        Ok(0)
    }

    /// getitimer(2).
    pub(crate) fn getitimer(&mut self, number: i32, current: u64) -> Result<usize> {
        let which = which(number)?;
        let now = self.process().timers.state.lock().reported(which);
        write_itimerval(current, now).map(|()| 0)
    }

    /// alarm(2): the seconds that were left of the one before.
    pub(crate) fn alarm(&mut self, seconds: u32) -> Result<usize> {
        let seconds = u64::from(seconds.min(i32::MAX as u32));
        let (_, left) = self.set_interval_timer(IntervalTimer::Real, Duration::from_secs(seconds), Duration::ZERO);
        let up = left.subsec_micros() >= 500_000 || left.as_secs() == 0 && left.subsec_micros() != 0;
        usize::try_from(left.as_secs() + u64::from(up)).map_err(|_| Error::Overflow)
    }
}

fn write_itimerval(addr: u64, (interval, left): (Duration, Duration)) -> Result<()> {
    let mut raw = [0u8; 32];
    let (first, second) = raw.split_at_mut(16);
    first.copy_from_slice(&timeval_bytes(interval));
    second.copy_from_slice(&timeval_bytes(left));
    write_bytes(addr, &raw)
}
