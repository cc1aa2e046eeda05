//! Clocks and times: clock_gettime(2), timer_settime(2).

use core::time::Duration;

use super::layout::{Field, raw_layout, structure};
use super::named;

named! {
    /// clock_gettime(2)
    number ClockName(i32) {
        CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1, CLOCK_PROCESS_CPUTIME_ID = 2, CLOCK_THREAD_CPUTIME_ID = 3, CLOCK_MONOTONIC_RAW = 4,
        CLOCK_REALTIME_COARSE = 5, CLOCK_MONOTONIC_COARSE = 6, CLOCK_BOOTTIME = 7, CLOCK_REALTIME_ALARM = 8, CLOCK_BOOTTIME_ALARM = 9, CLOCK_TAI = 11
    }
    /// clock_nanosleep(2), timer_settime(2)
    flags TimerFlags(i32) { TIMER_ABSTIME = 1 }
    /// timerfd_create(2)
    flags TimerFdFlags(i32) { TFD_NONBLOCK = 0o4000, TFD_CLOEXEC = 0o2_000_000 }
    /// timerfd_settime(2)
    flags TimerFdSetFlags(i32) { TFD_TIMER_ABSTIME = 1, TFD_TIMER_CANCEL_ON_SET = 2 }
}

structure! {
    /// `struct timespec`
    Timespec [TimespecX86_64 TimespecX86 TimespecTime64] Timespec {
        /// Seconds.
        sec: i64 = i64, i32;
        /// Nanoseconds.
        nsec: i64 = i64, i32;
    }
    /// `struct timeval`
    Timeval [TimevalX86_64 TimevalX86] Timeval {
        /// Seconds.
        sec: i64 = i64, i32;
        /// Microseconds.
        usec: i64 = i64, i32;
    }
    /// `struct itimerspec`
    Itimerspec [ItimerspecX86_64 ItimerspecX86 ItimerspecTime64] Itimerspec {
        /// Time from one expiry to the next.
        interval: Timespec = TimespecX86_64, TimespecX86;
        /// Time to the next expiry.
        value: Timespec = TimespecX86_64, TimespecX86;
    }
    /// `struct itimerval`
    Itimerval [ItimervalX86_64 ItimervalX86] Itimerval {
        /// Time from one expiry to the next.
        interval: Timeval = TimevalX86_64, TimevalX86;
        /// Time to the next expiry.
        value: Timeval = TimevalX86_64, TimevalX86;
    }
    /// `struct tms`
    Tms [TmsX86_64 TmsX86] Opaque {
        /// The process's own time in its program, in clock ticks.
        user: i64 = i64, i32;
        /// And in the kernel.
        system: i64 = i64, i32;
        /// Time of children that were waited for.
        children_user: i64 = i64, i32;
        /// And in the kernel.
        children_system: i64 = i64, i32;
    }
    /// `struct timex`: adjtimex(2)
    Timex [TimexX86_64 TimexX86] Opaque {
        /// What to change.
        modes: u32 = u32, u32;
        /// Between the fields.
        padding: u32 = u32, [u8; 0];
        /// How far the clock is off.
        offset: i64 = i64, i32;
        /// How much its frequency is corrected.
        frequency: i64 = i64, i32;
        /// The most it is off, in microseconds.
        most_error: i64 = i64, i32;
        /// How much it probably is.
        likely_error: i64 = i64, i32;
        /// STA_ flags.
        status: i32 = i32, i32;
        /// Between the fields.
        padding2: u32 = u32, [u8; 0];
        /// Of the loop that corrects it.
        constant: i64 = i64, i32;
        /// The smallest step, in microseconds.
        precision: i64 = i64, i32;
        /// The most its frequency is corrected by.
        tolerance: i64 = i64, i32;
        /// What it shows.
        time: Timeval = TimevalX86_64, TimevalX86;
        /// Microseconds of a tick.
        tick: i64 = i64, i32;
        /// Of a pulse that nobody sends: frequency and jitter.
        pulse: [i64; 2] = [i64; 2], [i32; 2];
        /// Its shift.
        pulse_shift: i32 = i32, i32;
        /// Between the fields.
        padding3: u32 = u32, [u8; 0];
        /// Its stability, and how often it went wrong.
        pulse_counts: [i64; 5] = [i64; 5], [i32; 5];
        /// TAI - UTC.
        tai: i32 = i32, i32;
        /// Behind the fields, given back as it came.
        tail: [u32; 11] = [u32; 11], [u32; 11];
    }
}

/// Nanoseconds of a 32-bit program with times of 64 bits: what stands beside them is padding.
#[derive(
    Clone,
    Copy,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
    zerocopy::Unaligned,
)]
#[repr(C, packed)]
pub struct PaddedNsec(u32, u32);

impl Field<PaddedNsec> for i64 {
    fn of(raw: PaddedNsec) -> Self {
        raw.0.into()
    }
    fn raw(self) -> PaddedNsec {
        PaddedNsec(self as u32, (self >> 32) as u32)
    }
}

raw_layout! {
    /// `struct __kernel_timespec` of 32-bit programs
    Timespec TimespecTime64 {
        /// Seconds.
        sec: i64 = i64;
        /// Nanoseconds.
        nsec: i64 = PaddedNsec;
    }
    /// `struct __kernel_itimerspec` of 32-bit programs
    Itimerspec ItimerspecTime64 {
        /// Time from one expiry to the next.
        interval: Timespec = TimespecTime64;
        /// Time to the next expiry.
        value: Timespec = TimespecTime64;
    }
}

impl Timespec {
    /// The time it says; `None` when a field is out of range.
    pub fn duration(self) -> Option<Duration> {
        let nsec = u32::try_from(self.nsec).ok().filter(|n| *n < 1_000_000_000)?;
        Some(Duration::new(u64::try_from(self.sec).ok()?, nsec))
    }
}

impl From<Duration> for Timespec {
    fn from(time: Duration) -> Self {
        Self { sec: time.as_secs() as i64, nsec: time.subsec_nanos().into() }
    }
}

impl Timeval {
    /// The time it says; `None` when a field is out of range.
    pub fn duration(self) -> Option<Duration> {
        let usec = u32::try_from(self.usec).ok().filter(|n| *n < 1_000_000)?;
        Some(Duration::new(u64::try_from(self.sec).ok()?, usec * 1000))
    }
}

impl From<Duration> for Timeval {
    fn from(time: Duration) -> Self {
        Self { sec: time.as_secs() as i64, usec: time.subsec_micros().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Itimerspec, ItimerspecX86, ItimerspecX86_64, Timespec};
    use crate::abi::layout::Field;
    use core::time::Duration;

    #[test]
    fn a_structure_is_what_programs_of_both_kinds_have() {
        let spec = Itimerspec { interval: Duration::new(1, 2).into(), value: Timespec { sec: -1, nsec: 4 } };
        let long: ItimerspecX86_64 = spec.raw();
        let short: ItimerspecX86 = spec.raw();
        assert_eq!((size_of_val(&long), size_of_val(&short)), (32, 16));
        assert_eq!((Itimerspec::of(long), Itimerspec::of(short)), (spec, spec));
        assert_eq!((spec.interval.duration(), spec.value.duration()), (Some(Duration::new(1, 2)), None));
    }
}
