//! Whether it pays to look for an answer for a while before falling asleep.

use core::sync::atomic::{AtomicU32, Ordering};

/// How often looking found an answer of late. Whoever is not lucky (the processors are busy, or nobody answers) only tries now and then. Races
/// lose a count, which does no harm.
#[derive(Debug)]
pub struct Luck {
    /// The luck in the low byte, above it the sleeps since the last try.
    state: AtomicU32,
    /// One try in so many sleeps when it did not pay.
    seldom: u32,
}

impl Luck {
    /// So many failures in a row, at most, until it is given up.
    const MOST: u32 = 8;

    /// With so much luck to begin with; without any, one try in `seldom` sleeps.
    pub const fn new(luck: u32, seldom: u32) -> Self {
        Self { state: AtomicU32::new(luck), seldom }
    }
    /// Looks with `look`, if it is likely to pay; whether it found something.
    pub fn try_looking(&self, look: impl FnOnce() -> bool) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        let (luck, idle) = (state & 0xff, state >> 8);
        if luck == 0 && idle < self.seldom {
            self.state.store((idle + 1) << 8, Ordering::Relaxed);
            return false;
        }
        let found = look();
        let luck = if found { (luck + 2).min(Self::MOST) } else { luck.saturating_sub(1) };
        self.state.store(luck, Ordering::Relaxed);
        found
    }
}

impl Default for Luck {
    /// Of a thread that has not slept yet.
    fn default() -> Self {
        Self::new(0, 32)
    }
}

#[cfg(test)]
mod tests {
    use super::Luck;

    fn tries(luck: &Luck, sleeps: u32, found: bool) -> u32 {
        let mut tried = 0;
        for _ in 0..sleeps {
            luck.try_looking(|| {
                tried += 1;
                found
            });
        }
        tried
    }

    #[test]
    fn who_is_not_lucky_tries_seldom_and_who_is_tries_always() {
        let luck = Luck::new(0, 32);
        assert_eq!(tries(&luck, 33 * 4, false), 4);
        assert_eq!(tries(&luck, 32, true), 0);
        assert_eq!(tries(&luck, 100, true), 100);
        // What was found lasts for a few failures.
        assert_eq!(tries(&luck, 8 + 33, false), 8 + 1);
    }
}
