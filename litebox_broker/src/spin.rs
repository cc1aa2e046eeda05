//! Looking for the next request for a while before falling asleep.
//!
//! While a program starts, its requests come one after the other, and on a machine with nothing else to do the host
//! takes longer to wake us, on a processor that sleeps too, than we take to serve most of them. On a busy machine it is
//! the other way round: whoever is woken is served at once, and whoever only gave its turn to others waits until theirs
//! is over.

use std::time::{Duration, Instant};

use litebox_protocol::adaptive_spin::SpinOutcome;
use rustix::thread::{sched_getaffinity, sched_getcpu, sched_setaffinity};

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

/// On which processor the next request is looked for.
///
/// The host wakes who is sent a message on the processor of who sent it. Two that look for each other's messages need
/// one each. So when one request follows close upon the other and both sides share a processor, the broker moves.
pub struct OwnProcessor {
    /// There is one processor, or the thread cannot move.
    is_bound: bool,
    /// When the last request was answered.
    answered: Instant,
    /// How many requests came close upon the answer to the one before.
    close: u32,
    /// How many have to before it moves.
    enough: u32,
}

/// So close.
const CLOSE: Duration = Duration::from_micros(60);
/// How many requests make it move, when moving has paid lately, and when it has not.
const ENOUGH: u32 = 4;
const MOST_ENOUGH: u32 = 4096;

impl OwnProcessor {
    /// Of the calling thread.
    pub fn of_this_thread() -> Self {
        let is_bound = sched_getaffinity(None).is_ok_and(|allowed| allowed.count() < 2);
        Self { is_bound, answered: Instant::now(), close: 0, enough: ENOUGH }
    }

    /// A request was taken.
    pub fn note_request(&mut self) {
        self.close = if self.answered.elapsed() < CLOSE { self.close.saturating_add(1) } else { 0 };
    }

    /// It was answered.
    pub fn note_answer(&mut self) {
        self.answered = Instant::now();
    }

    /// What came of looking apart from who asks.
    pub fn learn(&mut self, apart: Apart, outcome: SpinOutcome) {
        if outcome == SpinOutcome::Found {
            self.enough = ENOUGH;
        } else if matches!(apart, Apart::Moved(_)) {
            self.enough = (self.enough * 2).min(MOST_ENOUGH);
        }
    }

    /// The processor that this thread is on, when the one who asks is on another one.
    pub fn apart_from(&mut self, asks_on: Option<u32>) -> Apart {
        if self.is_bound {
            return Apart::No;
        }
        let own = sched_getcpu();
        if asks_on.is_none_or(|cpu| cpu as usize != own) {
            return u32::try_from(own).map_or(Apart::No, Apart::Already);
        }
        if self.close < self.enough {
            return Apart::No;
        }
        self.close = 0;
        if !leave(own) {
            self.is_bound = true;
            return Apart::No;
        }
        u32::try_from(sched_getcpu()).map_or(Apart::No, Apart::Moved)
    }
}

/// Moves this thread from a processor to another one that it may use. `false`: it cannot.
fn leave(cpu: usize) -> bool {
    // As it is now: somebody may have changed it.
    let Ok(allowed) = sched_getaffinity(None) else { return false };
    let mut others = allowed;
    others.unset(cpu);
    others.count() > 0 && sched_setaffinity(None, &others).is_ok() && sched_setaffinity(None, &allowed).is_ok()
}

/// Whether the broker is on another processor than who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// On the same one, or on the only one.
    No,
    /// On this one.
    Already(u32),
    /// Since now on this one.
    Moved(u32),
}

impl Apart {
    /// The processor that the broker has for itself.
    pub fn processor(self) -> Option<u32> {
        match self {
            Self::No => None,
            Self::Already(cpu) | Self::Moved(cpu) => Some(cpu),
        }
    }
}
