//! Looking for the next request for a while before falling asleep.
//!
//! While a program starts, its requests come one after the other, and on a machine with nothing else to do the host
//! takes longer to wake us, on a processor that sleeps too, than we take to serve most of them. On a busy machine it is
//! the other way round: whoever is woken is served at once, and whoever only gave its turn to others waits until theirs
//! is over.

use std::time::{Duration, Instant};

use litebox_protocol::adaptive_spin::SpinOutcome;

/// For how long the next request is looked for.
const LOOK: Duration = Duration::from_micros(200);
/// Who does not get the processor back in this time has given it to somebody who works on it.
const CROWDED: Duration = Duration::from_micros(50);

/// Looks with `look` for a while, until that finds something.
pub fn look_for_a_while(mut look: impl FnMut() -> bool) -> SpinOutcome {
    let begin = Instant::now();
    let mut now = begin;
    loop {
        // Whoever else wants this processor has it, who was woken here by our reply first of all.
        std::thread::yield_now();
        let before = std::mem::replace(&mut now, Instant::now());
        let found = look();
        if now - before > CROWDED {
            return SpinOutcome::Crowded;
        }
        if found {
            return SpinOutcome::Found;
        }
        if now - begin > LOOK {
            return SpinOutcome::Vain;
        }
    }
}
