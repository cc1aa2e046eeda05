//! What a socket of the host is ready for, kept here so that looking at it costs no host call.
//!
//! The supervisor hears of each change, asks the host, and stores what it said. Whoever finds by a call that nothing is
//! there takes the bit away. Who has read as much as was asked for does not know whether more is there: the bit is in
//! doubt then, and whoever wants to know asks the host.
//!
//! The host may say something and be overtaken by a call that changes it, so each of these changes the count. What was
//! learned before such a change is not stored after it.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::event::Events;

const BITS: u64 = 0xffff;
/// The bits of the host may not be true any more.
const DOUBT: u64 = 1 << 16;
const GENERATION: u64 = 1 << 17;

/// The state of one socket: poll bits, whether they are in doubt, and how often that changed.
#[derive(Default)]
pub(super) struct Readiness(AtomicU64);

/// The state at some time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen(u64);

impl Seen {
    /// What the socket was ready for.
    pub fn events(self) -> Events {
        Events::from_bits_truncate((self.0 & BITS) as u32)
    }
    /// Whether that may not be true any more.
    pub fn is_doubtful(self) -> bool {
        self.0 & DOUBT != 0
    }
}

impl Readiness {
    pub fn look(&self) -> Seen {
        Seen(self.0.load(Ordering::Acquire))
    }
    fn replace(&self, seen: Seen, new: u64) -> bool {
        let new = new.wrapping_add(GENERATION);
        self.0.compare_exchange(seen.0, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
    /// The host said this when it was asked, after `seen` was. `false`: it changed meanwhile.
    pub fn learn(&self, seen: Seen, events: u16) -> bool {
        self.replace(seen, (seen.0 & !(BITS | DOUBT)) | u64::from(events))
    }
    /// A call that began after `seen` found that it is not ready for these. `false`: it changed meanwhile, and nobody
    /// knows.
    pub fn clear(&self, seen: Seen, events: Events) -> bool {
        let cleared = self.replace(seen, seen.0 & !u64::from(events.bits()));
        if !cleared {
            self.doubt();
        }
        cleared
    }
    /// What is kept may not be true any more.
    pub fn doubt(&self) {
        let next = |old: u64| (old | DOUBT).wrapping_add(GENERATION);
        // The function always gives something.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| Some(next(old)));
    }
}
