//! Whether the sandbox still hears the broker.
//!
//! A hostile guest can write to the kernel's heap, and so make the supervisor wait for ever for a lock that nobody
//! holds. A signal that is to end programs would be lost on such a sandbox, and so would ^C at its console, which the
//! supervisor alone looks at. So the supervisor says of each event that it has taken it; when it does not, or when
//! nobody takes what is typed, the sandbox is ended. What programs do about the signal is their business.

use std::time::{Duration, Instant};

/// How long the supervisor may take to hear an event.
const PATIENCE: Duration = Duration::from_secs(3);
/// After this much of it whoever sends a second signal need not wait for the rest.
const SECOND: Duration = Duration::from_millis(500);
/// How long what is typed may wait at the console before the supervisor is asked whether it hears.
const TYPED: Duration = Duration::from_secs(1);
/// The event that only asks.
pub const QUESTION: i32 = 0;

/// What the supervisor was told and has not heard.
#[derive(Default)]
pub struct Hearing {
    unheard: Option<(i32, Instant)>,
    /// Its queue was full.
    unsent: Option<i32>,
    /// When to look whether what was typed has been taken.
    typed: Option<Instant>,
}

fn ends_programs(signal: i32) -> bool {
    matches!(signal, libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT)
}

impl Hearing {
    /// It is told of a signal; `sent`: its queue had room.
    pub fn told(&mut self, signal: i32, sent: bool) {
        if !(ends_programs(signal) || signal == QUESTION) {
            return;
        }
        if !sent {
            self.unsent = Some(signal);
        }
        if self.unheard.is_none_or(|(before, _)| before == QUESTION && signal != QUESTION) {
            self.unheard = Some((signal, Instant::now()));
        }
    }
    /// It has taken an event. Returns one that it is to be told of again, now that its queue has room.
    pub fn heard(&mut self, signal: i32) -> Option<i32> {
        self.unheard.take_if(|(before, _)| *before == signal);
        self.unsent.take()
    }
    /// Until when it may take its time.
    pub fn deadline(&self) -> Option<Instant> {
        self.unheard.and_then(|(_, since)| since.checked_add(PATIENCE))
    }
    /// What it has not heard in that time.
    pub fn deaf_to(&self) -> Option<i32> {
        self.unheard.filter(|(_, since)| since.elapsed() >= PATIENCE).map(|(signal, _)| signal)
    }
    /// Nothing was to end it: it is asked again when there is a reason.
    pub fn ask_no_more(&mut self) {
        self.unheard = None;
    }
    /// Whether this is the second signal that is to end it, and it has not heard the first.
    pub fn is_in_vain(&self, signal: i32) -> bool {
        let unheard = |(before, since): (i32, Instant)| ends_programs(before) && since.elapsed() >= SECOND;
        ends_programs(signal) && self.unheard.is_some_and(unheard)
    }
    /// Something was typed at the console.
    pub fn typed(&mut self) {
        self.typed = Instant::now().checked_add(TYPED);
    }
    /// Nothing that was typed waits.
    pub fn taken(&mut self) {
        self.typed = None;
    }
    /// When to look whether it has been taken; `None`: nothing was typed.
    pub fn typed_moment(&self) -> Option<Instant> {
        self.typed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Hearing, PATIENCE, QUESTION, SECOND};

    fn since(hearing: &mut Hearing, ago: std::time::Duration) {
        if let Some((_, since)) = &mut hearing.unheard {
            *since = Instant::now().checked_sub(ago).unwrap_or(*since);
        }
    }

    #[test]
    fn what_is_heard_in_time_is_forgotten() {
        let mut hearing = Hearing::default();
        hearing.told(libc::SIGWINCH, true);
        assert_eq!(hearing.deadline(), None);
        hearing.told(libc::SIGTERM, true);
        assert!(hearing.deadline().is_some() && hearing.deaf_to().is_none());
        assert_eq!(hearing.heard(libc::SIGWINCH), None);
        assert!(hearing.deadline().is_some(), "another one was heard");
        assert_eq!(hearing.heard(libc::SIGTERM), None);
        assert_eq!(hearing.deadline(), None);
    }

    #[test]
    fn who_does_not_hear_is_given_up() {
        let mut hearing = Hearing::default();
        hearing.told(QUESTION, true);
        hearing.told(libc::SIGINT, false);
        assert!(!hearing.is_in_vain(libc::SIGINT), "at once");
        since(&mut hearing, SECOND);
        assert!(hearing.is_in_vain(libc::SIGINT) && !hearing.is_in_vain(libc::SIGWINCH));
        since(&mut hearing, PATIENCE);
        assert_eq!(hearing.deaf_to(), Some(libc::SIGINT));
        assert_eq!(hearing.heard(libc::SIGWINCH), Some(libc::SIGINT), "it did not fit");
    }
}
