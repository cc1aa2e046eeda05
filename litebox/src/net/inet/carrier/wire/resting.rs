//! Connections in TIME_WAIT: all that is left of one is what is to be said to a peer that has not heard the last word.

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use super::Ends;
use super::packet::{ACK, FIN, RST, SYN, Tcp};
use crate::platform::Instant;
use crate::sync::Mutex;

/// How long one is remembered.
const TIME_WAIT: Duration = Duration::from_secs(60);
/// Who says nothing new is not answered more often (tcp_invalid_ratelimit of Linux).
const BETWEEN_ANSWERS: Duration = Duration::from_millis(500);
/// How many are at once; the oldest go first.
const MOST: usize = 16_384;

/// What is to be done with a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Nothing: it says nothing new.
    Nothing,
    /// It is told once more what was sent and received: the own next number, and the peer's.
    Acknowledge(u32, u32),
    /// A new connection between the same ends is asked for.
    MakeWay,
}

struct Rest {
    next: u32,
    acknowledged: u32,
    until: Instant,
    /// When the peer was last told once more.
    told: Option<Instant>,
}

#[derive(Default)]
struct State {
    known: BTreeMap<Ends, Rest>,
    /// When each was to be forgotten when it was last looked at, the first first.
    order: VecDeque<(Instant, Ends)>,
}

impl State {
    fn forget_old(&mut self, now: Instant) {
        while let Some((moment, ends)) = self.order.front().copied() {
            let full = self.order.len() >= MOST;
            if moment > now && !full {
                return;
            }
            self.order.pop_front();
            match self.known.get(&ends).map(|rest| rest.until) {
                // It was heard of meanwhile.
                Some(until) if until > now && until > moment && !full => self.order.push_back((until, ends)),
                _ => drop(self.known.remove(&ends)),
            }
        }
    }
}

/// All of them.
#[derive(Default)]
pub struct Resting(Mutex<State>);

impl Resting {
    /// A connection came to its end; its next own number and the peer's.
    pub fn keep(&self, ends: Ends, (next, acknowledged): (u32, u32), now: Instant) {
        let mut state = self.0.lock();
        state.forget_old(now);
        let until = now.saturating_add(TIME_WAIT);
        // Without memory it is forgotten at once, and its peer is refused.
        if state.order.try_reserve(1).is_ok() {
            state.known.insert(ends, Rest { next, acknowledged, until, told: None });
            state.order.push_back((until, ends));
        }
    }

    /// A segment with `len` bytes of data came; `None`: for none of them.
    pub fn look(&self, ends: &Ends, tcp: &Tcp, len: usize, now: Instant) -> Option<Answer> {
        let mut state = self.0.lock();
        state.forget_old(now);
        let rest = state.known.get_mut(ends)?;
        let (next, acknowledged) = (rest.next, rest.acknowledged);
        let is_next = tcp.sequence == acknowledged;
        let is_later = (1..1 << 31).contains(&tcp.sequence.wrapping_sub(acknowledged));
        if tcp.flags & RST != 0 || tcp.flags & (SYN | ACK) == SYN && is_later {
            let answer = if tcp.flags & RST != 0 { Answer::Nothing } else { Answer::MakeWay };
            if is_next || answer == Answer::MakeWay {
                state.known.remove(ends);
            }
            return Some(answer);
        }
        if tcp.flags & ACK == 0 {
            return Some(Answer::Nothing);
        }
        let says_more = len > 0 || tcp.flags & FIN != 0;
        if says_more {
            rest.until = now.saturating_add(TIME_WAIT);
        }
        let is_plain = is_next && len == 0 && tcp.flags & (SYN | FIN) == 0;
        // Two that rest would tell each other for ever.
        let just_told = rest.told.is_some_and(|told| now < told.saturating_add(BETWEEN_ANSWERS));
        if is_plain || just_told && !says_more {
            return Some(Answer::Nothing);
        }
        rest.told = Some(now);
        Some(Answer::Acknowledge(next, acknowledged))
    }

    /// A connection between these ends begins.
    pub fn forget(&self, ends: &Ends) {
        self.0.lock().known.remove(ends);
    }
}
