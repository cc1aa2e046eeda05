//! Whether it pays to look for an answer for a while before falling asleep.

use core::sync::atomic::{AtomicU32, Ordering};

/// How often looking found an answer of late. Whoever is not (the processors are busy, or nobody answers) only tries now and then. Races
/// lose a count, which does no harm.
#[derive(Debug)]
pub struct AdaptiveSpin {
    /// The score in the low byte, above it the sleeps since the last try.
    state: AtomicU32,
    /// One try in so many sleeps when it did not pay.
    seldom: u32,
}

impl AdaptiveSpin {
    /// So many failures in a row, at most, until it is given up.
    const MAX_SCORE: u32 = 8;

    /// With this score to begin with; at 0, one try in `seldom` sleeps.
    pub const fn new(score: u32, seldom: u32) -> Self {
        Self { state: AtomicU32::new(score), seldom }
    }
    /// Looks with `spin`, if it is likely to pay; whether it found something.
    pub fn try_spin(&self, spin: impl FnOnce() -> bool) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        let (score, idle) = (state & 0xff, state >> 8);
        if score == 0 && idle < self.seldom {
            self.state.store((idle + 1) << 8, Ordering::Relaxed);
            return false;
        }
        let found = spin();
        let score = if found { (score + 2).min(Self::MAX_SCORE) } else { score.saturating_sub(1) };
        self.state.store(score, Ordering::Relaxed);
        found
    }
}

impl Default for AdaptiveSpin {
    /// Of a thread that has not slept yet.
    fn default() -> Self {
        Self::new(0, 32)
    }
}

#[cfg(test)]
mod tests {
    use super::AdaptiveSpin;

    fn tries(score: &AdaptiveSpin, sleeps: u32, found: bool) -> u32 {
        let mut tried = 0;
        for _ in 0..sleeps {
            score.try_spin(|| {
                tried += 1;
                found
            });
        }
        tried
    }

    #[test]
    fn a_spin_that_does_not_pay_is_tried_seldom() {
        let score = AdaptiveSpin::new(0, 32);
        assert_eq!(tries(&score, 33 * 4, false), 4);
        assert_eq!(tries(&score, 32, true), 0);
        assert_eq!(tries(&score, 100, true), 100);
        // What was found lasts for a few failures.
        assert_eq!(tries(&score, 8 + 33, false), 8 + 1);
    }
}
