//! What a sender keeps back because more is to follow (MSG_MORE, TCP_CORK): the last bytes of the receiver's queue,
//! until they fill a segment, but no longer than TCP would keep them.

use core::time::Duration;

use crate::platform::{Instant, host};

/// How long bytes are kept back at most (tcp(7), TCP_CORK).
const LONGEST: Duration = Duration::from_millis(200);
/// Bytes of a segment on the loopback device: as many go at once.
const SEGMENT: usize = 32_741;

/// Bytes at the end of a queue that the receiver does not see yet.
#[derive(Default)]
pub(super) struct KeptBack {
    bytes: usize,
    /// When they go, whatever the sender does.
    until: Option<Instant>,
}

impl KeptBack {
    /// How many.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
    /// When they go, if there are any.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }
    /// `n` bytes came, and more are to follow. Whether the time until which they are kept begins.
    pub fn keep(&mut self, n: usize) -> bool {
        let all = self.bytes.saturating_add(n);
        let begins = n > 0 && (self.until.is_none() || all >= SEGMENT);
        self.bytes = all % SEGMENT;
        if self.bytes == 0 {
            self.until = None;
        } else if begins {
            self.until = Some(host().instant().saturating_add(LONGEST));
        }
        begins && self.bytes > 0
    }
    /// They go. Whether there were any.
    pub fn let_go(&mut self) -> bool {
        let any = self.bytes > 0;
        *self = Self::default();
        any
    }
    /// They go if it is time to. Whether they did.
    pub fn expire(&mut self) -> bool {
        self.until.is_some_and(|until| until <= host().instant()) && self.let_go()
    }
}
