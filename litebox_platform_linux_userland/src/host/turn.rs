//! Whose turn it is on a socket to the broker: one asks, and takes the reply.
//!
//! Most of a guest's calls that last wait here, so somebody who kills a process from outside often meets one that has
//! asked and not yet taken the reply. Nothing is half done then: whoever comes next takes the turn over. Each request
//! has a number, and a reply that is for another number is nobody's any more.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use litebox::platform::{Clock, Futex};
use litebox::sync::{SUPERVISOR, own_number};

use crate::LinuxHost;
use crate::host::published::Published;

const FREE: u32 = 0;
/// Somebody sleeps; the other bits are the holder's.
const CONTENDED: u32 = litebox::sync::NUMBERS_END;
/// How often a sleeper looks whether the holder is there.
const LOOK: Duration = Duration::from_millis(250);
/// How often it tries before it sleeps.
const SPINS: u32 = 64;

/// A turn, free or somebody's.
#[derive(Default)]
pub(crate) struct Turn {
    /// The holder's process ([`ProcessBlock::serial`](crate::host::process_block::ProcessBlock)).
    holder: AtomicU32,
    /// The last request's number.
    number: AtomicU32,
}

/// The turn, until this is dropped.
pub(crate) struct TurnGuard<'a>(&'a Turn);

impl Turn {
    /// Takes it if it is free.
    pub(crate) fn try_take(&self) -> Option<TurnGuard<'_>> {
        let taken = self.holder.compare_exchange(FREE, own_number(), Ordering::Acquire, Ordering::Relaxed);
        // A guard that is made gives the turn back when it ends.
        taken.is_ok().then(|| TurnGuard(self))
    }

    /// Waits for it.
    pub(crate) fn take(&self) -> TurnGuard<'_> {
        for _ in 0..SPINS {
            if let Some(turn) = self.try_take() {
                return turn;
            }
            core::hint::spin_loop();
        }
        self.take_slowly()
    }

    #[cold]
    fn take_slowly(&self) -> TurnGuard<'_> {
        let own = own_number() | CONTENDED;
        loop {
            let seen = self.holder.load(Ordering::Relaxed);
            let is_over = seen == FREE || LOST.contains(seen & !CONTENDED);
            let wanted = if is_over { own } else { seen | CONTENDED };
            if self.holder.compare_exchange(seen, wanted, Ordering::Acquire, Ordering::Relaxed).is_err() {
                continue;
            }
            if is_over {
                return TurnGuard(self);
            }
            let look = LinuxHost.instant().saturating_add(LOOK);
            LinuxHost.futex_wait(&self.holder, wanted, Some(look));
        }
    }
}

impl TurnGuard<'_> {
    /// A number for the next request on this socket.
    pub(crate) fn next_number(&self) -> u32 {
        self.0.number.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        if self.0.holder.swap(FREE, Ordering::Release) & CONTENDED != 0 {
            LinuxHost.futex_wake(&self.0.holder, 1);
        }
    }
}

/// The last processes that something outside of the sandbox ended, by serial number.
pub(crate) struct Lost {
    next: AtomicU32,
    last: [AtomicU32; REMEMBERED],
}

impl Default for Lost {
    fn default() -> Self {
        Self { next: AtomicU32::new(0), last: [const { AtomicU32::new(0) }; REMEMBERED] }
    }
}

/// Those of this sandbox.
pub(crate) static LOST: Published<Lost> = Published::nothing();

/// How many are remembered. A lock that one of them held is missed by the next who wants it.
const REMEMBERED: usize = 512;

impl Lost {
    /// One more.
    pub(crate) fn add(&self, serial: u32) {
        let at = self.next.fetch_add(1, Ordering::Relaxed) as usize % REMEMBERED;
        if let Some(entry) = self.last.get(at) {
            entry.store(serial, Ordering::Release);
        }
    }

    fn contains(&self, serial: u32) -> bool {
        self.have_sum(1, serial)
    }

    /// Whether one of them has a number that is `sum`, added `count` times.
    pub(crate) fn have_sum(&self, count: u32, sum: u32) -> bool {
        let mut numbers =
            self.last.iter().map(|entry| entry.load(Ordering::Acquire)).take_while(|number| *number > SUPERVISOR);
        count != 0 && numbers.any(|number| number.wrapping_mul(count) == sum)
    }
}

#[cfg(test)]
mod tests {
    use super::{Lost, REMEMBERED};

    #[test]
    fn the_last_are_remembered() {
        let lost = Lost::default();
        assert!(!lost.contains(7));
        lost.add(7);
        assert!(lost.contains(7) && !lost.contains(8));
        for serial in 0..u32::try_from(REMEMBERED).unwrap_or(0) {
            lost.add(100 + serial);
        }
        assert!(!lost.contains(7) && lost.contains(100));
        assert!(lost.have_sum(3, 300) && !lost.have_sum(0, 0) && !lost.have_sum(2, 199));
    }
}
