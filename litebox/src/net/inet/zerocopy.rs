//! MSG_ZEROCOPY: what was sent is copied at once, which the sender is told as Linux tells it of sockets that have to
//! copy.

use core::ops::RangeInclusive;

use crate::net::{MessageFlags, QueuedError, Received};
use crate::sync::Mutex;

const SO_EE_ORIGIN_ZEROCOPY: u8 = 5;
const SO_EE_CODE_ZEROCOPY_COPIED: u8 = 1;

#[derive(Default)]
struct Calls {
    next: u32,
    done: Option<RangeInclusive<u32>>,
}

/// The calls of one socket that asked for it.
#[derive(Default)]
pub(super) struct ZeroCopy(Mutex<Calls>);

impl ZeroCopy {
    /// One more call was served.
    pub fn done(&self) {
        let mut calls = self.0.lock();
        let this = calls.next;
        calls.next = this.wrapping_add(1);
        let first = calls.done.as_ref().map_or(this, |done| *done.start());
        calls.done = Some(first..=this);
    }
    /// Whether there is something to tell.
    pub fn is_due(&self) -> bool {
        self.0.lock().done.is_some()
    }
    /// What there is to tell: the first and the last call since the sender asked last.
    pub fn take(&self) -> Option<Received> {
        let done = self.0.lock().done.take()?;
        let error = QueuedError {
            number: 0,
            origin: SO_EE_ORIGIN_ZEROCOPY,
            kind: (0, SO_EE_CODE_ZEROCOPY_COPIED),
            info: (*done.start(), *done.end()),
            offender: None,
        };
        Some(Received { flags: MessageFlags::MSG_ERRQUEUE, error: Some(error), ..Received::default() })
    }
}
