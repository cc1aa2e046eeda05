//! All timers of a process that end in a signal: those of setitimer(2) and of timer_create(2).
//!
//! The host offers two alarms for each process: one that follows time, one that follows its CPU time. Each is set to
//! the earliest moment at which anything can be due. It interrupts some thread of the process, and whoever is
//! interrupted looks at the timers on its way to guest code. A timer whose signal waits to be taken is not armed again
//! until then, so that no timer, however short, keeps the process busy with nothing else; what passed meanwhile is its
//! overrun.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use litebox::platform::{AlarmClock, ClockId, host};
use litebox::sync::Mutex;

use super::clock::{Base, Cpu};
use super::setting::Setting;
use crate::signal::set::{SIGALRM, SIGPROF, SIGVTALRM};
use crate::signal::{Recipient, SignalInfo};
use crate::{Process, Thread};

/// A CPU-time alarm is at least that far away: the host looks at CPU time in ticks.
const CPU_STEP: Duration = Duration::from_millis(1);
/// A timer whose signal is ignored is looked at no more often than this.
const IGNORED_STEP: Duration = Duration::from_millis(10);
const OVERRUN_MAX: u64 = i32::MAX as u64;

/// Which timer of setitimer(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum IntervalTimer {
    Real = 0,
    Virtual = 1,
    Prof = 2,
}

impl IntervalTimer {
    const ALL: [Self; 3] = [Self::Real, Self::Virtual, Self::Prof];

    pub fn base(self) -> Base {
        match self {
            Self::Real => Base::Wall(ClockId::Monotonic),
            Self::Virtual => Base::Process(Cpu::Virtual),
            Self::Prof => Base::Process(Cpu::Prof),
        }
    }
    fn signal(self) -> i32 {
        match self {
            Self::Real => SIGALRM,
            Self::Virtual => SIGVTALRM,
            Self::Prof => SIGPROF,
        }
    }
}

/// Who hears of a timer's expiry.
#[derive(Clone)]
pub(super) enum Notify {
    /// Nobody; it can be asked.
    Nobody,
    /// The process.
    Process { signal: i32, value: u64 },
    /// One of its threads.
    Thread { signal: i32, value: u64, thread: Weak<Thread> },
}

/// A timer of timer_create(2).
pub(super) struct Timer {
    /// Number of the clock that it was made with.
    pub clock: i32,
    pub base: Base,
    pub notify: Notify,
    pub setting: Setting,
    /// Expiries between those that the last signal taken stood for.
    pub overrun: u64,
    /// Its signal waits to be taken, marked with this; 0: none waits.
    pub waiting: u32,
}

/// What /proc tells of a timer.
pub(crate) struct TimerInfo {
    pub id: i32,
    /// 0: none.
    pub signal: i32,
    pub value: u64,
    /// The one thread that hears of it.
    pub thread: Option<i32>,
    pub clock: i32,
}

#[derive(Default)]
pub(super) struct TimersState {
    pub interval: [Setting; 3],
    /// SIGALRM of the real interval timer was sent; it goes on when one is taken.
    pub real_waiting: bool,
    pub timers: BTreeMap<i32, Timer>,
    pub next_id: i32,
    /// What the host's alarms are set to.
    alarms: [Option<Duration>; 2],
    last_mark: u32,
    /// Next moment of CPU time at which RLIMIT_CPU has to be looked at.
    pub cpu_limit: Option<Duration>,
}

/// The timers of a process.
#[derive(Default)]
pub struct Timers {
    pub(super) state: Mutex<TimersState>,
    /// Whether there is anything to look at.
    in_use: AtomicBool,
}

/// A signal that is due.
struct Due {
    info: SignalInfo,
    thread: Option<Weak<Thread>>,
    /// The timer of timer_create(2) it comes from.
    timer: Option<i32>,
}

impl Timers {
    /// Changes the timers and sets the host's alarms accordingly.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut TimersState) -> T) -> T {
        self.in_use.store(true, Ordering::Relaxed);
        let mut state = self.state.lock();
        let result = change(&mut state);
        state.set_alarms();
        result
    }

    /// Sends the signals of all timers that are due. Called by a thread of the process, with no lock held: the host's
    /// alarm of CPU time interrupted the thread that used it, so it takes what is for the process, as on Linux.
    pub(crate) fn run_due(&self, caller: &Thread) {
        if !self.in_use.load(Ordering::Relaxed) {
            return;
        }
        loop {
            let mut state = self.state.lock();
            let due = state.interval_due().or_else(|| state.timer_due());
            let Some(due) = due else {
                if state.cpu_limit_due() {
                    drop(state);
                    caller.process.enforce_cpu_limit();
                    continue;
                }
                return state.set_alarms();
            };
            drop(state);
            self.send(caller, due);
        }
    }

    fn send(&self, caller: &Thread, due: Due) {
        let process = &caller.process;
        let sent = match due.thread {
            Some(thread) => thread.upgrade().is_some_and(|t| process.post(due.info, Recipient::Thread(&t)) == Ok(true)),
            // setitimer(2)'s real one asks no processor: it is for the first thread.
            None if due.timer.is_none() && due.info.signal == SIGALRM => {
                process.post(due.info, Recipient::Process) == Ok(true)
            }
            None => process.post(due.info, Recipient::Running(caller)) == Ok(true),
        };
        if let (false, Some(id)) = (sent, due.timer) {
            self.state.lock().dropped(id);
        }
    }

    /// A signal was taken; called with no lock held. Its timer goes on, and the signal learns of the overrun. `None`:
    /// its timer was set anew or deleted meanwhile, the signal is void.
    pub(crate) fn taken(&self, mut info: SignalInfo) -> Option<SignalInfo> {
        if !self.in_use.load(Ordering::Relaxed) {
            return Some(info);
        }
        let mark = info.timer;
        if mark == 0 {
            if info.signal == SIGALRM {
                self.real_goes_on();
            }
            return Some(info);
        }
        let mut state = self.state.lock();
        let timer = state.timers.values_mut().find(|t| t.waiting == mark)?;
        timer.waiting = 0;
        let behind = timer.base.now().map_or(1, |now| timer.setting.advance(now)).max(1);
        timer.overrun = (behind - 1).min(OVERRUN_MAX);
        info.set_overrun(timer.overrun as i32);
        state.set_alarms();
        Some(info)
    }

    fn real_goes_on(&self) {
        let mut state = self.state.lock();
        if core::mem::take(&mut state.real_waiting) {
            let now = host().now(ClockId::Monotonic);
            if let Some(timer) = state.interval.first_mut() {
                timer.advance(now);
            }
            state.set_alarms();
        }
    }

    /// execve(2): timers of timer_create(2) are gone, those of setitimer(2) stay.
    pub(crate) fn reset_for_exec(&self) {
        if self.in_use.load(Ordering::Relaxed) {
            self.change(|state| state.timers.clear());
        }
    }

    /// How many timers of timer_create(2) there are; each holds the place of a queued signal.
    pub(crate) fn count(&self) -> usize {
        if self.in_use.load(Ordering::Relaxed) { self.state.lock().timers.len() } else { 0 }
    }

    /// They, the newest first.
    pub(crate) fn list(&self) -> Vec<TimerInfo> {
        let state = self.state.lock();
        let info = |(id, timer): (&i32, &Timer)| {
            let (signal, value, thread) = match &timer.notify {
                Notify::Nobody => (0, 0, None),
                Notify::Process { signal, value } => (*signal, *value, None),
                Notify::Thread { signal, value, thread } => (*signal, *value, thread.upgrade().map(|t| t.tid())),
            };
            TimerInfo { id: *id, signal, value, thread, clock: timer.clock }
        };
        state.timers.iter().rev().map(info).collect()
    }

    /// RLIMIT_CPU is looked at when the process has used that much.
    pub(crate) fn watch_cpu_limit(&self, at: Option<Duration>) {
        if at.is_some() || self.in_use.load(Ordering::Relaxed) {
            // The caller may be another process: the alarm is set by whoever looks at the timers next.
            self.in_use.store(true, Ordering::Relaxed);
            self.state.lock().cpu_limit = at;
        }
    }
}

impl TimersState {
    fn interval_due(&mut self) -> Option<Due> {
        for (which, timer) in IntervalTimer::ALL.into_iter().zip(&mut self.interval) {
            if which == IntervalTimer::Real && self.real_waiting || timer.next.is_none() {
                continue;
            }
            let Some(now) = which.base().now().filter(|now| timer.due(*now)) else { continue };
            if which == IntervalTimer::Real && !timer.interval.is_zero() {
                self.real_waiting = true;
            } else {
                timer.advance(now);
            }
            return Some(Due { info: SignalInfo::kernel(which.signal()), thread: None, timer: None });
        }
        None
    }

    fn timer_due(&mut self) -> Option<Due> {
        let armed = |t: &Timer| t.waiting == 0 && !matches!(t.notify, Notify::Nobody);
        let (id, timer) = self
            .timers
            .iter_mut()
            .map(|(id, timer)| (*id, timer))
            .filter(|(_, t)| armed(t))
            .find(|(_, t)| t.setting.next.is_some() && t.base.now().is_some_and(|now| t.setting.due(now)))?;
        self.last_mark = self.last_mark.wrapping_add(1).max(1);
        timer.waiting = self.last_mark;
        let (signal, value, thread) = match &timer.notify {
            Notify::Nobody => return None,
            Notify::Process { signal, value } => (*signal, *value, None),
            Notify::Thread { signal, value, thread } => (*signal, *value, Some(thread.clone())),
        };
        Some(Due { info: SignalInfo::of_timer(signal, id, value, self.last_mark), thread, timer: Some(id) })
    }

    /// The signal of a timer found nobody: the timer goes on, at its leisure.
    fn dropped(&mut self, id: i32) {
        let Some(timer) = self.timers.get_mut(&id) else { return };
        timer.waiting = 0;
        if let Some(now) = timer.base.now() {
            timer.setting.advance(now);
            timer.setting.next = timer.setting.next.map(|next| next.max(now.saturating_add(IGNORED_STEP)));
        }
    }

    fn cpu_limit_due(&mut self) -> bool {
        let due = self.cpu_limit.is_some_and(|at| host().now(ClockId::ProcessCpu) >= at);
        if due {
            self.cpu_limit = None;
        }
        due
    }

    /// Sets the host's alarms to the earliest moments at which something can be due.
    fn set_alarms(&mut self) {
        let mut wall: Option<Duration> = None;
        let mut cpu: Option<Duration> = None;
        {
            let mut want = |base: &Base, setting: &Setting| {
                let Some((next, now)) = setting.next.zip(base.now()) else { return };
                let rest = next.saturating_sub(now);
                let (slot, at) = if base.is_wall() {
                    (&mut wall, host().now(ClockId::Monotonic).saturating_add(rest))
                } else {
                    // No clock of CPU time runs faster than that of the whole process.
                    (&mut cpu, host().now(ClockId::ProcessCpu).saturating_add(rest.max(CPU_STEP)))
                };
                *slot = Some(slot.map_or(at, |before| before.min(at)));
            };
            for (which, setting) in IntervalTimer::ALL.into_iter().zip(&self.interval) {
                if !(which == IntervalTimer::Real && self.real_waiting) && setting.next.is_some() {
                    want(&which.base(), setting);
                }
            }
            for timer in self.timers.values() {
                let idle = timer.waiting != 0 || matches!(timer.notify, Notify::Nobody);
                if !idle && timer.setting.next.is_some() {
                    want(&timer.base, &timer.setting);
                }
            }
            if self.cpu_limit.is_some() {
                want(&Base::Process(Cpu::Scheduled), &Setting { next: self.cpu_limit, interval: Duration::ZERO });
            }
        }
        for ((clock, at), set) in
            [AlarmClock::Monotonic, AlarmClock::ProcessCpu].into_iter().zip([wall, cpu]).zip(&mut self.alarms)
        {
            // An alarm repeats itself until it is set anew, so one that went off has to be.
            if at.is_some() || set.is_some() {
                host().set_alarm(clock, at);
                *set = at;
            }
        }
    }
}

impl Process {
    /// What its children that were waited for have used.
    pub(crate) fn children_usage(&self) -> litebox::platform::Usage {
        *self.children_usage.lock()
    }
}

/// Room for the signal of one more timer.
pub(super) fn room_for_timer(process: &Arc<Process>) -> bool {
    (process.timers.count() as u64) < process.pending_limit()
}
