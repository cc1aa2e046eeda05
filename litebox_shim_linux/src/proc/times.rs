//! CPU time, as /proc tells it.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use litebox::platform::host;

use crate::{Kernel, Process, Thread};

use super::process::ProcessView;
use super::{current_thread, is_own};

/// Clock ticks of a second, as programs count them (AT_CLKTCK).
const TICKS: u64 = 100;

/// A time in clock ticks.
pub(super) fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(0) / (1000 / TICKS)
}

/// A time that only grows: what was told stays told.
fn told(most: &AtomicU64, now: Duration) -> Duration {
    let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(most.fetch_max(now, Ordering::Relaxed).max(now))
}

/// Time in user and in system mode.
#[derive(Clone, Copy, Default)]
pub(super) struct Times {
    pub user: Duration,
    pub system: Duration,
}

impl Times {
    fn used(usage: litebox::platform::Usage) -> Self {
        Self { user: usage.user, system: usage.system }
    }
    fn of_total((all, user): (Duration, Duration)) -> Self {
        Self { user, system: all.saturating_sub(user) }
    }
    fn plus(self, other: Self) -> Self {
        Self { user: self.user + other.user, system: self.system + other.system }
    }
    pub fn sum(self) -> Duration {
        self.user + self.system
    }

    /// What a process has used, by one of its threads; one without threads has ended.
    fn of_process(process: &Process, thread: Option<&Arc<Thread>>) -> Self {
        match thread {
            Some(thread) => host().process_cpu(&thread.host).map_or_else(Self::default, Self::of_total),
            None => Self::used(*process.usage.lock()),
        }
    }

    /// What a process or a thread has used. Of the threads of other processes the host does not tell it.
    pub fn of(view: &ProcessView) -> Self {
        let Some(thread) = &view.thread else { return Self::of_process(&view.process, None) };
        let own = is_own(&view.process);
        let asks = current_thread().is_some_and(|asker| Arc::ptr_eq(&asker, thread));
        if own && !view.alone || asks {
            return Self::used(host().usage(view.alone));
        }
        if !view.alone || view.process.thread_count() == 1 {
            return Self::of_process(&view.process, Some(thread));
        }
        let found = if own { host().thread_cpu(&thread.host) } else { None };
        found.map_or_else(Self::default, |all| Self::of_total((all, all)))
    }

    /// What all processes have used since the start.
    pub fn of_all(kernel: &Kernel) -> Self {
        let mut spaces = BTreeSet::new();
        let mut sum = Self::default();
        for process in kernel.processes() {
            sum = sum.plus(Self::used(process.children_usage()));
            let thread = process.threads().into_iter().next();
            // Processes that share their memory share the host's count.
            if thread.is_none() || spaces.insert(process.mm.identity()) {
                sum = sum.plus(Self::of_process(&process, thread.as_ref()));
            }
        }
        // Those that nobody waits for take their times along.
        let [user, system, _] = &kernel.stats.told_times;
        Self { user: told(user, sum.user), system: told(system, sum.system) }
    }

    /// What the processors have not been used for since the machine began, `up` ago.
    pub fn idle(self, kernel: &Kernel, up: Duration, processors: usize) -> Duration {
        let all = up * u32::try_from(processors).unwrap_or(u32::MAX);
        let [_, _, idle] = &kernel.stats.told_times;
        told(idle, all.saturating_sub(self.sum()))
    }
}
