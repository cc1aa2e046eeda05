//! Timers as files.

use core::time::Duration;

use litebox::fs::{Access, StatusFlags};
use litebox::platform::{ClockId, host};
use litebox::timerfd::{Setting, TimerFile};
use litebox::{Error, Result};
use litebox_common_linux::abi::time::{Itimerspec, TimerFdFlags, TimerFdSetFlags};
use litebox_common_linux::argument::{UserMut, UserRef};

use crate::Task;
use crate::user::{UserRead, UserWrite, duration_of};

fn spec_of(setting: &Setting) -> Itimerspec {
    Itimerspec { interval: setting.interval.into(), value: setting.next.unwrap_or_default().into() }
}

impl Task<'_, '_> {
    /// timerfd_create(2)
    pub(crate) fn timerfd_create(&mut self, clock: i32, flags: TimerFdFlags) -> Result<usize> {
        if !TimerFdFlags::all().contains(flags) {
            return Err(Error::Invalid);
        }
        let clock = match clock {
            0 => ClockId::Realtime,
            1 => ClockId::Monotonic,
            7 => ClockId::Boottime,
            // The alarms that wake a sleeping machine need a privilege nobody has here.
            8 | 9 => return Err(Error::NotPermitted),
            _ => return Err(Error::Invalid),
        };
        let status =
            if flags.contains(TimerFdFlags::TFD_NONBLOCK) { StatusFlags::NONBLOCK } else { StatusFlags::empty() };
        let file = self.nameless(TimerFile::new(clock), Access::READ | Access::WRITE, status);
        self.install(file, flags.contains(TimerFdFlags::TFD_CLOEXEC))
    }

    /// timerfd_settime(2)
    pub(crate) fn timerfd_settime(
        &mut self,
        fd: i32,
        flags: TimerFdSetFlags,
        new: UserRef<Itimerspec>,
        old: UserMut<Itimerspec>,
    ) -> Result<usize> {
        let new = new.read()?;
        if !TimerFdSetFlags::all().contains(flags) {
            return Err(Error::Invalid);
        }
        let (interval, value) = (duration_of(new.interval)?, duration_of(new.value)?);
        let file = self.file(fd)?;
        let timer = file.file.as_any().downcast_ref::<TimerFile>().ok_or(Error::Invalid)?;
        let next = match value {
            Duration::ZERO => None,
            at if flags.contains(TimerFdSetFlags::TFD_TIMER_ABSTIME) => Some(at),
            after => Some(host().now(timer.clock()).saturating_add(after)),
        };
        let before = timer.set(Setting { next, interval });
        old.write_if_given(spec_of(&before))?;
        Ok(0)
    }

    /// timerfd_gettime(2)
    pub(crate) fn timerfd_gettime(&mut self, fd: i32, current: UserMut<Itimerspec>) -> Result<usize> {
        let file = self.file(fd)?;
        let timer = file.file.as_any().downcast_ref::<TimerFile>().ok_or(Error::Invalid)?;
        current.write(spec_of(&timer.get()))?;
        Ok(0)
    }
}
