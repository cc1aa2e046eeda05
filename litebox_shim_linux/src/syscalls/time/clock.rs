//! Clocks by their numbers: reading them, and the refusals of whoever wants to set them.
#![expect(clippy::unused_self, reason = "handlers of calls have one shape")]

use alloc::sync::{Arc, Weak};
use core::time::Duration;

use litebox::platform::{ClockId, host};
use litebox::{Error, Result};
use litebox_common_linux::abi::time::{Timespec, Timeval, Timex};
use litebox_common_linux::argument::{UserMut, UserRef};

use crate::user::{UserRead, UserWrite, read_bytes, write_bytes};
use crate::{Process, Task, Thread};

/// What a CPU-time clock counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cpu {
    /// User and system time.
    Prof,
    /// User time.
    Virtual,
    /// All of it, finely.
    Scheduled,
}

/// A clock, by what stands behind its number.
#[derive(Clone)]
pub(crate) enum Base {
    /// Time passes.
    Wall(ClockId),
    /// CPU time of the calling process.
    Process(Cpu),
    /// CPU time of one of its threads.
    Thread(Cpu, Weak<Thread>),
    /// CPU time of another process.
    Other(Cpu, Weak<Process>),
}

/// CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM: of a machine without the clock that would wake it.
const ALARM_CLOCKS: [i32; 2] = [8, 9];

impl Base {
    /// What it shows; `None` when its thread or process has gone.
    pub fn now(&self) -> Option<Duration> {
        Some(match self {
            Self::Wall(id) => host().now(*id),
            Self::Process(Cpu::Scheduled) => host().now(ClockId::ProcessCpu),
            Self::Process(Cpu::Virtual) => host().usage(false).user,
            Self::Process(Cpu::Prof) => {
                let used = host().usage(false);
                used.user + used.system
            }
            Self::Other(kind, process) => {
                let process = process.upgrade()?;
                let Some(thread) = process.threads().into_iter().next() else {
                    let used = *process.usage.lock();
                    return Some(if *kind == Cpu::Virtual { used.user } else { used.user + used.system });
                };
                let (all, user) = host().process_cpu(&thread.host)?;
                if *kind == Cpu::Virtual { user } else { all }
            }
            Self::Thread(kind, thread) => {
                let thread = thread.upgrade()?;
                let own =
                    crate::proc::current_thread().is_some_and(|t| core::ptr::eq(&raw const *t, Arc::as_ptr(&thread)));
                match kind {
                    Cpu::Scheduled if own => host().now(ClockId::ThreadCpu),
                    Cpu::Virtual if own => host().usage(true).user,
                    Cpu::Prof if own => {
                        let used = host().usage(true);
                        used.user + used.system
                    }
                    // Of another thread, the host tells only the sum.
                    _ => host().thread_cpu(&thread.host)?,
                }
            }
        })
    }
    /// Whether it counts time that passes.
    pub fn is_wall(&self) -> bool {
        matches!(self, Self::Wall(_))
    }
    /// Whether somebody can sleep and set timers by it, `NotSupported` when not.
    pub fn check_timed(&self) -> Result<()> {
        match self {
            Self::Wall(ClockId::MonotonicRaw | ClockId::RealtimeCoarse | ClockId::MonotonicCoarse) => {
                Err(Error::NotSupported)
            }
            // The host's alarms follow the calling process.
            Self::Other(..) => Err(Error::Invalid),
            _ => Ok(()),
        }
    }
}

/// The clocks that have a number of their own.
fn fixed(id: i32) -> Result<ClockId> {
    Ok(match id {
        0 => ClockId::Realtime,
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

impl Task<'_, '_> {
    /// The clock with this number. Negative numbers name the CPU time of a process or thread (clock_getcpuclockid(3)).
    pub(crate) fn clock_base(&self, id: i32) -> Result<Base> {
        const PER_THREAD: i32 = 4;
        if id >= 0 {
            return Ok(match fixed(id)? {
                ClockId::ProcessCpu => Base::Process(Cpu::Scheduled),
                ClockId::ThreadCpu => Base::Thread(Cpu::Scheduled, Arc::downgrade(self.thread)),
                wall => Base::Wall(wall),
            });
        }
        let kind = match id & 3 {
            0 => Cpu::Prof,
            1 => Cpu::Virtual,
            2 => Cpu::Scheduled,
            // The clock of a device, by its descriptor: there is none.
            _ => return Err(Error::Invalid),
        };
        let target = !(id >> 3);
        if id & PER_THREAD != 0 {
            let thread = match target {
                0 => Some(self.thread.clone()),
                tid => self.process().thread(tid),
            };
            return thread.map(|t| Base::Thread(kind, Arc::downgrade(&t))).ok_or(Error::Invalid);
        }
        if target == 0 || target == self.process().pid {
            return Ok(Base::Process(kind));
        }
        let other = self.find_process(target).ok_or(Error::Invalid)?;
        Ok(Base::Other(kind, Arc::downgrade(&other)))
    }

    /// clock_gettime(2), for programs that do not ask the vDSO.
    pub(crate) fn clock_gettime(&mut self, clock: i32, out: UserMut<Timespec>) -> Result<usize> {
        let now = self.clock_base(clock)?.now().ok_or(Error::Invalid)?;
        out.write(now.into()).map(|()| 0)
    }

    /// clock_getres(2).
    pub(crate) fn clock_getres(&mut self, clock: i32, out: UserMut<Timespec>) -> Result<usize> {
        let step = match self.clock_base(clock)? {
            Base::Wall(id) => host().resolution(id),
            Base::Process(Cpu::Scheduled) | Base::Thread(Cpu::Scheduled, _) | Base::Other(Cpu::Scheduled, _) => {
                Duration::from_nanos(1)
            }
            // They count in ticks, as the coarse clocks do.
            Base::Process(_) | Base::Thread(..) | Base::Other(..) => host().resolution(ClockId::MonotonicCoarse),
        };
        out.write_if_given(step.into()).map(|()| 0)
    }

    /// clock_settime(2): nobody here may.
    pub(crate) fn clock_settime(&mut self, clock: i32, time: UserRef<Timespec>) -> Result<usize> {
        if clock > 0 {
            // All others are never set.
            return Err(Error::Invalid);
        }
        let time = time.read()?;
        if clock < 0 {
            self.clock_base(clock)?;
            return Err(Error::NotPermitted);
        }
        time.duration().ok_or(Error::Invalid)?;
        Err(Error::NotPermitted)
    }

    /// gettimeofday(2), for programs that do not ask the vDSO.
    pub(crate) fn gettimeofday(&mut self, time: UserMut<Timeval>, zone: u64) -> Result<usize> {
        time.write_if_given(host().now(ClockId::Realtime).into())?;
        if zone != 0 {
            write_bytes(zone, &[0; 8])?;
        }
        Ok(0)
    }

    /// settimeofday(2): nobody here may.
    pub(crate) fn settimeofday(&mut self, time: UserRef<Timeval>, zone: u64) -> Result<usize> {
        if let Some(time) = time.read_if_given()? {
            time.duration().ok_or(Error::Invalid)?;
        }
        if zone != 0 {
            read_bytes::<8>(zone)?;
        }
        Err(Error::NotPermitted)
    }

    /// time(2), for programs that do not ask the vDSO; in step with what it tells the others: the second of the last
    /// tick.
    pub(crate) fn time(&mut self, out: UserMut<isize>) -> Result<usize> {
        let now = host().now(ClockId::RealtimeCoarse).as_secs();
        out.write_if_given(now as isize)?;
        usize::try_from(now).map_err(|_| Error::Overflow)
    }

    /// Refuses whoever names an alarm clock: waking the machine needs a privilege nobody has here.
    pub(crate) fn refuse_alarm_clock(clock: i32) -> Result<()> {
        if ALARM_CLOCKS.contains(&clock) { Err(Error::NotSupported) } else { Ok(()) }
    }

    /// A time-out for a sleep or timer on `clock`.
    pub(crate) fn timed_base(&self, clock: i32) -> Result<Base> {
        Self::refuse_alarm_clock(clock)?;
        let base = self.clock_base(clock)?;
        base.check_timed()?;
        Ok(base)
    }

    /// adjtimex(2): reading is for everybody, setting for nobody here.
    pub(crate) fn adjtimex(&mut self, buf: UserMut<Timex>) -> Result<usize> {
        self.clock_adjtime(0, buf)
    }

    /// clock_adjtime(2).
    pub(crate) fn clock_adjtime(&mut self, clock: i32, buf: UserMut<Timex>) -> Result<usize> {
        const TIME_ERROR: usize = 5;
        /// STA_UNSYNC: nobody disciplines this clock.
        const UNSYNCHRONIZED: i32 = 0x40;
        const OFFSET_SS_READ: u32 = 0xa001;
        fixed(clock)?;
        if clock != 0 {
            return Err(Error::NotSupported);
        }
        let given = buf.read()?;
        if given.modes != 0 && given.modes != OFFSET_SS_READ {
            return Err(Error::NotPermitted);
        }
        buf.write(Timex {
            offset: 0,
            frequency: 0,
            most_error: 16_000_000,
            likely_error: 16_000_000,
            status: UNSYNCHRONIZED,
            constant: 2,
            precision: 1,
            tolerance: 32_768_000,
            time: host().now(ClockId::Realtime).into(),
            tick: 10_000,
            // Of a pulse nobody sends.
            pulse: [0; 2],
            pulse_shift: 0,
            pulse_counts: [0; 5],
            ..given
        })?;
        Ok(TIME_ERROR)
    }
}
