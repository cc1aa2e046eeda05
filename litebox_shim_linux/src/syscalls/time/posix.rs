//! Timers of timer_create(2).

use alloc::sync::Arc;
use core::time::Duration;

use litebox::{Error, Result};
use litebox_common_linux::abi::signal::SigEvent;
use litebox_common_linux::abi::time::{Itimerspec, TimerFlags};
use litebox_common_linux::argument::{UserMut, UserRef};

use super::setting::Setting;
use super::timers::{Notify, Timer, TimersState, room_for_timer};
use crate::Task;
use crate::signal::set::{MAX_SIGNAL, SIGALRM};
use crate::user::{UserRead, UserWrite, duration_of};

const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;
const SIGEV_THREAD_ID: i32 = 4;

impl Timer {
    /// Interval and time left, as timer_gettime(2) reports them.
    fn reported(&self) -> (Duration, Duration) {
        let now = self.base.now().unwrap_or_default();
        let left = match self.setting.left(now) {
            Some(left) => left,
            // Expired, and its signal not sent yet: not zero, which would mean disarmed.
            None if self.setting.next.is_some() && !matches!(self.notify, Notify::Nobody) => Duration::from_nanos(1),
            None => Duration::ZERO,
        };
        (self.setting.interval, left)
    }
}

impl TimersState {
    fn free_id(&mut self) -> i32 {
        loop {
            let id = self.next_id;
            self.next_id = if id == i32::MAX { 0 } else { id + 1 };
            if !self.timers.contains_key(&id) {
                return id;
            }
        }
    }
}

impl Task<'_, '_> {
    /// timer_create(2).
    pub(crate) fn timer_create(&mut self, clock: i32, event: UserRef<SigEvent>, id_out: UserMut<i32>) -> Result<usize> {
        let event = event.read_if_given()?;
        let is_of_cpu = clock < 0;
        let base = if is_of_cpu { None } else { Some(self.timed_base(clock)?) };
        if !room_for_timer(self.process()) {
            return Err(Error::WouldBlock);
        }
        let notify = match &event {
            // The value is the id, which is not known yet.
            None => Notify::Process { signal: SIGALRM, value: 0 },
            Some(event) => self.notify(event)?,
        };
        // Whose CPU time it is comes last.
        id_out.write(id_out.read()?)?;
        let base = match base {
            Some(base) => base,
            None => self.timed_base(clock)?,
        };
        let timers = &self.process().timers;
        let id = timers.change(|state| {
            let id = state.free_id();
            let notify = match notify {
                Notify::Process { signal, .. } if event.is_none() => Notify::Process { signal, value: id as u64 },
                other => other,
            };
            state.timers.insert(id, Timer { clock, base, notify, setting: Setting::default(), overrun: 0, waiting: 0 });
            id
        });
        if let Err(error) = id_out.write(id) {
            timers.change(|state| state.timers.remove(&id));
            return Err(error);
        }
        Ok(0)
    }

    fn notify(&self, event: &SigEvent) -> Result<Notify> {
        let SigEvent { value, signal, notify, tid, .. } = *event;
        let sane = (1..=MAX_SIGNAL).contains(&signal);
        match notify {
            SIGEV_NONE => Ok(Notify::Nobody),
            SIGEV_SIGNAL | SIGEV_THREAD if sane => Ok(Notify::Process { signal, value }),
            SIGEV_THREAD_ID => {
                let thread = self.process().thread(tid).filter(|_| sane).ok_or(Error::Invalid)?;
                Ok(Notify::Thread { signal, value, thread: Arc::downgrade(&thread) })
            }
            _ => Err(Error::Invalid),
        }
    }

    fn with_timer<T>(&self, id: i32, with: impl FnOnce(&mut Timer) -> T) -> Result<T> {
        self.process().timers.change(|state| state.timers.get_mut(&id).map(with)).ok_or(Error::Invalid)
    }

    /// timer_settime(2).
    pub(crate) fn timer_settime(
        &mut self,
        id: i32,
        flags: TimerFlags,
        new: UserRef<Itimerspec>,
        old: UserMut<Itimerspec>,
    ) -> Result<usize> {
        let new = new.read_if_given()?.ok_or(Error::Invalid)?;
        let (interval, value) = (duration_of(new.interval)?, duration_of(new.value)?);
        let (was_interval, was_left) = self.with_timer(id, |timer| {
            let before = timer.reported();
            let now = timer.base.now().unwrap_or_default();
            let next = match value {
                Duration::ZERO => None,
                at if flags.contains(TimerFlags::TIMER_ABSTIME) => Some(at),
                after => Some(now.saturating_add(after)),
            };
            timer.setting = Setting { next, interval: if next.is_some() { interval } else { Duration::ZERO } };
            timer.waiting = 0;
            timer.overrun = 0;
            before
        })?;
        // A moment that has passed already is due at once.
        self.process().timers.run_due(self.thread);
        old.write_if_given(Itimerspec { interval: was_interval.into(), value: was_left.into() })?;
        Ok(0)
    }

    /// timer_gettime(2).
    pub(crate) fn timer_gettime(&mut self, id: i32, current: UserMut<Itimerspec>) -> Result<usize> {
        let (interval, left) = self.with_timer(id, |timer| timer.reported())?;
        current.write(Itimerspec { interval: interval.into(), value: left.into() }).map(|()| 0)
    }

    /// timer_getoverrun(2).
    pub(crate) fn timer_getoverrun(&mut self, id: i32) -> Result<usize> {
        let overrun = self.with_timer(id, |timer| timer.overrun)?;
        usize::try_from(overrun).map_err(|_| Error::Overflow)
    }

    /// timer_delete(2).
    pub(crate) fn timer_delete(&mut self, id: i32) -> Result<usize> {
        self.process().timers.change(|state| state.timers.remove(&id)).map(|_| 0).ok_or(Error::Invalid)
    }
}
