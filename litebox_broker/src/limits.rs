//! Limits of a sandbox, and how it ends: the time that it may take is kept here, its memory by
//! [`Meter`](crate::memory::Meter).

use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use crate::server::{STATUS_REFUSED, STATUS_TIMEOUT};

/// Limits of a sandbox.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Time until it is asked to end.
    pub timeout: Option<Duration>,
    /// How long it may take to end then, before it is killed.
    pub stop_timeout: Duration,
    /// Bytes of memory at which its largest process is killed.
    pub memory: Option<u64>,
    /// Processes and threads of its programs. Its own kernel keeps that; the host keeps as much as it offers.
    pub tasks: Option<u64>,
    /// Thousandths of a processor.
    pub milli_cpus: Option<u64>,
}

/// How a sandbox ends.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    /// Exit status for the shell.
    pub status: u8,
    /// What the user is told, once nothing of the sandbox is left.
    pub line: Option<String>,
}

/// Who or what ended a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// Its first program ended.
    Program,
    /// Somebody asked for it: `litebox stop`, or a signal.
    User,
    /// `--timeout`.
    Timeout,
    /// `--memory`.
    Memory,
    /// A host call that the boundary refuses.
    Refused,
    /// LiteBox failed, or cannot run here.
    Litebox,
}

impl End {
    /// With a line.
    pub fn saying(status: u8, line: &str) -> Self {
        Self { status, line: Some(line.into()) }
    }
}

/// What the time limit wants now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// The program is to be asked to end.
    Ask,
    /// The sandbox is to be killed.
    Kill,
}

/// `--timeout` and `--stop-timeout`.
#[derive(Debug)]
pub struct TimeLimit {
    limit: Duration,
    grace: Duration,
    /// When the program is asked; afterwards, when it is killed.
    next: Option<Instant>,
    request: bool,
    /// It was killed.
    killed: bool,
}

impl TimeLimit {
    /// The time begins now.
    pub fn begin(limits: &Limits) -> Self {
        let next = limits.timeout.and_then(|limit| Instant::now().checked_add(limit));
        Self {
            limit: limits.timeout.unwrap_or_default(),
            grace: limits.stop_timeout,
            next,
            request: false,
            killed: false,
        }
    }

    /// When something is due.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// What is due.
    pub fn due(&mut self, now: Instant) -> Due {
        if self.next.is_none_or(|next| now < next) {
            return Due::Nothing;
        }
        if self.request || self.grace.is_zero() {
            self.request = true;
            return Due::Kill;
        }
        self.request = true;
        self.next = Some(now.checked_add(self.grace).unwrap_or(now));
        Due::Ask
    }

    /// It is looked at again so much later.
    pub fn look_again(&mut self, pause: Duration) {
        let now = Instant::now();
        self.killed = true;
        self.next = Some(now.checked_add(pause).unwrap_or(now));
    }

    /// The sandbox is killed now.
    pub fn killed(&mut self) {
        self.killed = true;
    }

    /// An end after the time was over is because of that, whatever the program made of it.
    pub fn end_of(&self, end: End) -> End {
        if !self.request || end.status == STATUS_REFUSED {
            return end;
        }
        let by_itself = !self.killed && self.next.is_some_and(|next| Instant::now() < next);
        let what = if by_itself { "program ended by SIGTERM" } else { "sandbox killed" };
        End::saying(STATUS_TIMEOUT, &format!("time limit of {:?} reached: {what}", self.limit))
    }

    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        self.request
    }

    /// Has this process, while it is stopped, go on when something is due: until the result is dropped. `None`: nothing
    /// will be, or the host has no timer.
    pub fn alarm(&self) -> Option<Alarm> {
        let left = self.next?.saturating_duration_since(Instant::now());
        Alarm::after(left)
    }
}

/// A timer that makes this process go on.
#[derive(Debug)]
pub struct Alarm(libc::timer_t);

impl Alarm {
    fn after(left: Duration) -> Option<Self> {
        let mut timer = MaybeUninit::<libc::timer_t>::uninit();
        // Zero would switch the timer off.
        let left = left.max(Duration::from_millis(1));
        // SAFETY: sigevent and itimerspec are plain data, read by the calls; the timer's id is used only when it was
        // written.
        unsafe {
            let mut event: libc::sigevent = MaybeUninit::zeroed().assume_init();
            event.sigev_notify = libc::SIGEV_SIGNAL;
            event.sigev_signo = libc::SIGCONT;
            if libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, timer.as_mut_ptr()) != 0 {
                return None;
            }
            let alarm = Self(timer.assume_init());
            let mut when: libc::itimerspec = MaybeUninit::zeroed().assume_init();
            when.it_value.tv_sec = libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX);
            when.it_value.tv_nsec = i32::try_from(left.subsec_nanos()).unwrap_or_default().into();
            let set = libc::timer_settime(alarm.0, 0, &raw const when, std::ptr::null_mut());
            (set == 0).then_some(alarm)
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // SAFETY: a timer of this process, made above.
        unsafe { libc::timer_delete(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Due, End, Limits, TimeLimit};

    fn limit(stop_timeout: Duration) -> TimeLimit {
        TimeLimit::begin(&Limits { timeout: Some(Duration::from_millis(5)), stop_timeout, ..Limits::default() })
    }

    #[test]
    fn the_program_is_asked_before_it_is_killed() {
        let mut time = limit(Duration::from_secs(3));
        let later = Instant::now() + Duration::from_secs(1);
        assert_eq!(time.due(later), Due::Ask);
        assert_eq!(time.due(later + Duration::from_secs(2)), Due::Nothing);
        assert_eq!(time.due(later + Duration::from_secs(3)), Due::Kill);
        assert_eq!(limit(Duration::ZERO).due(later), Due::Kill);
    }

    #[test]
    fn an_end_after_the_time_is_one_because_of_it() {
        let mut time = limit(Duration::from_secs(30));
        let zero = || End { status: 0, line: None };
        assert_eq!(time.end_of(zero()), zero());
        assert_eq!(time.due(Instant::now() + Duration::from_secs(1)), Due::Ask);
        assert_eq!(time.end_of(zero()).status, 124);
        let refused = || End::saying(159, "refused");
        assert_eq!(time.end_of(refused()), refused());
    }
}
