//! Whether it pays to look for what is waited for, for a while, before falling asleep. Both sides of a channel do that,
//! and threads that wait for others.

use core::sync::atomic::{AtomicU32, Ordering};

/// What came of looking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpinOutcome {
    /// What was waited for came.
    Found,
    /// Nothing came.
    Vain,
    /// Others work on the processor.
    Crowded,
}

/// Looks as long as that has paid lately, and leaves it out more and more often when it has not. Races lose a count,
/// which does no harm.
#[derive(Debug)]
pub struct AdaptiveSpin {
    /// From the low end: the credit (8 bits), the level (8 bits), and how many times it is still left out (16 bits).
    state: AtomicU32,
    /// The most credit. A look in vain costs one, a find earns two; without credit it is left out.
    most_credit: u32,
    /// The level at which leaving out begins.
    first_level: u32,
}

/// At level `n` it is left out 2^n - 1 times. Looks in vain lead up to this level,
const MOST_VAIN: u32 = 5;
/// and those on a crowded processor from this one
const FIRST_CROWDED: u32 = 7;
/// to this one.
const MOST_CROWDED: u32 = 12;

const fn state(credit: u32, level: u32, left_out: u32) -> u32 {
    credit | level << 8 | left_out << 16
}

const fn pause(level: u32) -> u32 {
    (1 << level) - 1
}

impl AdaptiveSpin {
    /// For threads that wait for others: begins with `credit`; looks in vain are forgiven a few times after a find,
    /// then one try in 32 is made.
    pub const fn patient(credit: u32) -> Self {
        let level = if credit == 0 { MOST_VAIN } else { 0 };
        Self { state: AtomicU32::new(state(credit, level, pause(level))), most_credit: 8, first_level: MOST_VAIN }
    }
    /// For who serves many: each look in vain makes it leave out more, each find begins anew.
    pub const fn eager() -> Self {
        Self { state: AtomicU32::new(0), most_credit: 0, first_level: 1 }
    }
    /// Looks with `look`, if it is likely to pay; whether it found something.
    pub fn try_spin(&self, look: impl FnOnce() -> bool) -> bool {
        self.try_spin_for(|| if look() { SpinOutcome::Found } else { SpinOutcome::Vain }) == Some(SpinOutcome::Found)
    }
    /// As [`AdaptiveSpin::try_spin`], where `look` also tells a crowded processor. `None`: it was left out.
    pub fn try_spin_for(&self, look: impl FnOnce() -> SpinOutcome) -> Option<SpinOutcome> {
        let before = self.state.load(Ordering::Relaxed);
        if before >> 16 > 0 {
            self.state.store(before - (1 << 16), Ordering::Relaxed);
            return None;
        }
        let outcome = look();
        self.state.store(self.after(before, outcome), Ordering::Relaxed);
        Some(outcome)
    }
    fn after(&self, before: u32, outcome: SpinOutcome) -> u32 {
        let (credit, level) = (before & 0xff, before >> 8 & 0xff);
        let level = match outcome {
            SpinOutcome::Found => return state((credit + 2).min(self.most_credit), 0, 0),
            SpinOutcome::Vain if credit > 1 => return state(credit - 1, level, 0),
            SpinOutcome::Vain => (level + 1).max(self.first_level).min(MOST_VAIN),
            SpinOutcome::Crowded => (level + 1).clamp(FIRST_CROWDED, MOST_CROWDED),
        };
        state(0, level, pause(level))
    }
}

impl Default for AdaptiveSpin {
    /// Of a thread that has not slept yet.
    fn default() -> Self {
        Self::patient(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{AdaptiveSpin, SpinOutcome};

    /// How many of `times` chances are taken when each has this outcome.
    fn taken(spin: &AdaptiveSpin, times: u32, outcome: SpinOutcome) -> usize {
        (0..times).filter(|_| spin.try_spin_for(|| outcome).is_some()).count()
    }

    #[test]
    fn a_spin_that_does_not_pay_is_tried_seldom() {
        let spin = AdaptiveSpin::patient(0);
        assert_eq!(taken(&spin, 32 * 4, SpinOutcome::Vain), 4);
        assert_eq!(taken(&spin, 31, SpinOutcome::Found), 0);
        assert_eq!(taken(&spin, 100, SpinOutcome::Found), 100);
        // What was found lasts for a few failures.
        assert_eq!(taken(&spin, 8 + 32, SpinOutcome::Vain), 8 + 1);
    }

    #[test]
    fn looking_in_vain_is_left_out_more_and_more() {
        let spin = AdaptiveSpin::eager();
        assert_eq!(taken(&spin, 100, SpinOutcome::Found), 100);
        assert_eq!(taken(&spin, 330, SpinOutcome::Vain), 14);
        // One find, and it pays again.
        assert!(taken(&spin, 33 + 20, SpinOutcome::Found) >= 20);
    }

    #[test]
    fn a_busy_machine_ends_it_for_long() {
        let spin = AdaptiveSpin::eager();
        assert_eq!(taken(&spin, 128, SpinOutcome::Crowded), 1);
        assert_eq!(taken(&spin, 10_000, SpinOutcome::Crowded), 6);
    }
}
