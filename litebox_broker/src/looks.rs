//! Looking for the next request for a while before falling asleep.
//!
//! While a program starts, its requests come one after the other, and on a machine with nothing else to do the host takes longer to wake us, on
//! a processor that sleeps too, than we take to serve most of them. On a busy machine it is the other way round: whoever is woken is served at once, and
//! whoever only gave its turn to others waits until theirs is over.

use std::time::{Duration, Instant};

/// For how long the next request is looked for.
const LOOK: Duration = Duration::from_micros(200);
/// Who does not get the processor back in this time has given it to somebody who works on it.
const CROWDED: Duration = Duration::from_micros(50);

/// What came of looking.
#[derive(Clone, Copy)]
enum Outcome {
    Found,
    Vain,
    Crowded,
}

/// When it is worth looking.
#[derive(Debug, Default)]
pub struct Looks {
    /// So many times it is left out.
    left_out: u32,
    /// How many times it was left out the last time.
    pause: u32,
}

impl Looks {
    /// Looks with `look` for a while, until that finds something, if it is likely to pay.
    pub fn try_looking(&mut self, mut look: impl FnMut() -> bool) {
        if self.is_due() {
            let outcome = look_for_a_while(&mut look);
            self.note(outcome);
        }
    }
    fn is_due(&mut self) -> bool {
        let due = self.left_out == 0;
        self.left_out = self.left_out.saturating_sub(1);
        due
    }
    fn note(&mut self, outcome: Outcome) {
        self.pause = match outcome {
            Outcome::Found => 0,
            Outcome::Vain => (self.pause * 2 + 1).min(32),
            Outcome::Crowded => (self.pause * 2).clamp(128, 4096),
        };
        self.left_out = self.pause;
    }
}

fn look_for_a_while(look: &mut impl FnMut() -> bool) -> Outcome {
    let begin = Instant::now();
    let mut now = begin;
    loop {
        // Whoever else wants this processor has it, who was woken here by our reply first of all.
        std::thread::yield_now();
        let before = std::mem::replace(&mut now, Instant::now());
        let found = look();
        if now - before > CROWDED {
            return Outcome::Crowded;
        }
        if found {
            return Outcome::Found;
        }
        if now - begin > LOOK {
            return Outcome::Vain;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Looks, Outcome};

    /// How many of `times` chances are taken when each has this outcome.
    fn taken(looks: &mut Looks, times: u32, outcome: Outcome) -> u32 {
        let mut taken = 0;
        for _ in 0..times {
            if looks.is_due() {
                taken += 1;
                looks.note(outcome);
            }
        }
        taken
    }

    #[test]
    fn looking_in_vain_is_left_out_more_and_more() {
        let mut looks = Looks::default();
        assert_eq!(taken(&mut looks, 100, Outcome::Found), 100);
        assert_eq!(taken(&mut looks, 330, Outcome::Vain), 14);
        // One find, and it pays again.
        assert!(taken(&mut looks, 33 + 20, Outcome::Found) >= 20);
    }

    #[test]
    fn a_busy_machine_ends_it_for_long() {
        let mut looks = Looks::default();
        assert_eq!(taken(&mut looks, 128, Outcome::Crowded), 1);
        assert_eq!(taken(&mut looks, 10_000, Outcome::Crowded), 6);
    }
}
