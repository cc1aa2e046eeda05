//! When a timer expires.

use core::time::Duration;

/// The next expiry on the timer's clock (`None`: disarmed), then every `interval` (zero: once).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Setting {
    pub next: Option<Duration>,
    pub interval: Duration,
}

impl Setting {
    /// Whether it has expired by `now`.
    pub fn due(&self, now: Duration) -> bool {
        self.next.is_some_and(|next| next <= now)
    }
    /// Goes on to the first expiry after `now`; returns how many lie behind. A single expiry disarms.
    pub fn advance(&mut self, now: Duration) -> u64 {
        let Some(next) = self.next.filter(|next| *next <= now) else { return 0 };
        let interval = self.interval.as_nanos();
        if interval == 0 {
            self.next = None;
            return 1;
        }
        let late = now.saturating_sub(next).as_nanos();
        self.next = Some(now.saturating_add(nanos(interval - late % interval)));
        u64::try_from(late / interval + 1).unwrap_or(u64::MAX)
    }
    /// Time until the next expiry, as somebody is told who asks: what has expired and was not taken yet counts from its
    /// next period.
    pub fn left(&self, now: Duration) -> Option<Duration> {
        let mut copy = *self;
        copy.advance(now);
        copy.next.map(|next| next.saturating_sub(now))
    }
}

fn nanos(n: u128) -> Duration {
    const BILLION: u128 = 1_000_000_000;
    Duration::new(u64::try_from(n / BILLION).unwrap_or(u64::MAX), u32::try_from(n % BILLION).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn advancing_counts_what_lies_behind() {
        let mut setting = Setting { next: Some(s(10)), interval: s(3) };
        assert_eq!(setting.advance(s(9)), 0);
        assert_eq!(setting.left(s(9)), Some(s(1)));
        assert_eq!(setting.left(s(17)), Some(s(2)));
        assert_eq!(setting.advance(s(16)), 3);
        assert_eq!(setting.next, Some(s(19)));
        let mut once = Setting { next: Some(s(1)), interval: s(0) };
        assert_eq!((once.advance(s(5)), once.next), (1, None));
        assert!(Setting { next: Some(s(1)), interval: Duration::MAX }.left(s(1)).is_some());
    }
}
