//! Timers that are files (timerfd_create(2)).
//!
//! No thread or host timer runs for them: whoever sleeps on one asks [`File::expire`] when to wake up.

use alloc::sync::Arc;
use core::any::Any;
use core::time::Duration;

use crate::event::{Events, Observer, WaitQueue};
use crate::fs::{AnonInode, File, Inode};
use crate::io::Dest;
use crate::platform::{ClockId, Instant, host};
use crate::sync::Mutex;
use crate::{Error, Result};

/// When a timer expires: `next` on its clock (`None`: disarmed), then every `interval` (zero: once).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Setting {
    /// The next expiry on the timer's clock.
    pub next: Option<Duration>,
    /// Time between expiries after that.
    pub interval: Duration,
}

#[derive(Default)]
struct TimerState {
    setting: Setting,
    /// Expiries not yet read.
    expired: u64,
    /// Observers were not yet told of the last one.
    fresh: bool,
}

/// A timer.
pub struct TimerFile {
    clock: ClockId,
    state: Mutex<TimerState>,
    queue: WaitQueue,
    inode: Arc<AnonInode>,
}

impl TimerState {
    /// Counts what expired until `now`.
    fn account(&mut self, now: Duration) {
        let Some(next) = self.setting.next.filter(|n| *n <= now) else { return };
        self.fresh = true;
        let interval = self.setting.interval.as_nanos();
        if interval == 0 {
            self.setting.next = None;
            self.expired = self.expired.saturating_add(1);
            return;
        }
        let late = now.saturating_sub(next).as_nanos();
        let periods = late / interval;
        self.expired = self.expired.saturating_add(u64::try_from(periods + 1).unwrap_or(u64::MAX));
        let until_next = u64::try_from(interval - late % interval).unwrap_or(u64::MAX);
        self.setting.next = Some(now.saturating_add(Duration::from_nanos(until_next)));
    }
}

impl TimerFile {
    /// A disarmed timer on `clock`.
    pub fn new(clock: ClockId) -> Arc<Self> {
        Arc::new(Self {
            clock,
            state: Mutex::new(TimerState::default()),
            queue: WaitQueue::new(),
            inode: AnonInode::shared("timerfd"),
        })
    }
    /// Its clock.
    pub fn clock(&self) -> ClockId {
        self.clock
    }
    /// Arms or disarms it; returns the setting before, with its next expiry as time left.
    pub fn set(&self, setting: Setting) -> Setting {
        let before = self.get();
        let now = host().now(self.clock);
        let mut state = self.state.lock();
        *state = TimerState { setting, ..TimerState::default() };
        state.account(now);
        drop(state);
        // Sleepers compute their wake-up time anew.
        self.queue.notify(Events::IN | Events::RDNORM);
        before
    }
    /// The setting, with the next expiry as time left.
    pub fn get(&self) -> Setting {
        let now = host().now(self.clock);
        let mut state = self.state.lock();
        state.account(now);
        Setting { next: state.setting.next.map(|n| n.saturating_sub(now)), interval: state.setting.interval }
    }
}

impl File for TimerFile {
    fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }
    fn is_stream(&self) -> bool {
        true
    }
    fn offset_stays(&self) -> bool {
        true
    }
    fn read_at(&self, dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        if dest.remaining() < 8 {
            return Err(Error::Invalid);
        }
        let now = host().now(self.clock);
        let mut state = self.state.lock();
        state.account(now);
        if state.expired == 0 {
            return Err(Error::WouldBlock);
        }
        let expired = core::mem::take(&mut state.expired);
        drop(state);
        dest.put(&expired.to_ne_bytes())
    }
    fn ready(&self) -> Events {
        let now = host().now(self.clock);
        let mut state = self.state.lock();
        state.account(now);
        if state.expired > 0 { Events::IN | Events::RDNORM } else { Events::empty() }
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.queue.remove(observer);
    }
    fn is_timed(&self) -> bool {
        true
    }
    fn expire(&self) -> Option<Instant> {
        let now = host().now(self.clock);
        let instant = host().instant();
        let mut state = self.state.lock();
        state.account(now);
        let fired = core::mem::take(&mut state.fresh);
        let next = state.setting.next;
        drop(state);
        if fired {
            self.queue.notify(Events::IN | Events::RDNORM);
        }
        next.map(|n| instant.saturating_add(n.saturating_sub(now)))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::{Setting, TimerState};

    #[test]
    fn periods_are_counted() {
        let setting = Setting { next: Some(Duration::from_secs(10)), interval: Duration::from_secs(3) };
        let mut state = TimerState { setting, ..TimerState::default() };
        state.account(Duration::from_secs(9));
        assert_eq!(state.expired, 0);
        state.account(Duration::from_secs(17));
        assert_eq!(state.expired, 3);
        assert_eq!(state.setting.next, Some(Duration::from_secs(19)));
    }
}
