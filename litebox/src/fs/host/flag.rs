//! A flag in memory that goes up when an event comes into the queue of changes: while it is down, no call of the host
//! is needed to know that the queue is empty.
//!
//! The broker has the host raise it, and lowers it when it is asked to ([`Op::LowerFlag`](litebox_protocol::Op)). That
//! is a request, so it is made when many looks in a row have found the queue empty. What came before it was lowered may
//! still be in the queue: so the queue is looked at once more, and the flag is believed from then on.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

/// After so many looks in a row that found nothing the flag is lowered: they cost about what lowering it does where the
/// broker sleeps.
const ENOUGH: u32 = 256;
/// There is no flag.
const NEVER: u32 = u32::MAX;

/// The flag of one queue.
#[derive(Default)]
pub(super) struct ChangeFlag {
    /// Null: it was not lowered yet.
    word: AtomicPtr<AtomicU32>,
    /// After it was lowered last, the queue was seen to be empty.
    is_believed: AtomicBool,
    /// How many looks at the queue in a row have found it empty, or [`NEVER`].
    quiet: AtomicU32,
}

impl ChangeFlag {
    /// Whether it says that no event has come that was not taken from the queue and made use of.
    pub(super) fn is_down(&self) -> bool {
        let word = self.word.load(Ordering::Acquire);
        // SAFETY: it is null, or was a reference for ever.
        let Some(word) = (unsafe { word.as_ref() }) else { return false };
        // In this order. Who lowers it doubts it first, and believes when what was before is gone.
        word.load(Ordering::SeqCst) == 0 && self.is_believed.load(Ordering::SeqCst)
    }
    /// An event was in the queue.
    pub(super) fn note_event(&self) {
        if self.quiet.load(Ordering::Relaxed) != NEVER {
            self.quiet.store(0, Ordering::Relaxed);
        }
    }
    /// The queue was empty. Whether it is time to lower the flag. Races lose a count, which does no harm.
    pub(super) fn note_quiet(&self) -> bool {
        let quiet = self.quiet.load(Ordering::Relaxed);
        if quiet == NEVER {
            return false;
        }
        self.quiet.store((quiet + 1) % ENOUGH, Ordering::Relaxed);
        quiet + 1 == ENOUGH
    }
    /// Lowers it with `lower`, which says where it is. `is_empty`: whether the queue is then. To be called by one at a
    /// time, and while nobody takes events from the queue.
    pub(super) fn lower(&self, lower: impl FnOnce() -> Option<&'static AtomicU32>, is_empty: impl FnOnce() -> bool) {
        self.is_believed.store(false, Ordering::SeqCst);
        match lower() {
            Some(word) => {
                self.word.store(core::ptr::from_ref(word).cast_mut(), Ordering::Release);
                self.is_believed.store(is_empty(), Ordering::SeqCst);
            }
            None => self.quiet.store(NEVER, Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::sync::atomic::{AtomicU32, Ordering};

    use super::{ChangeFlag, ENOUGH};

    static WORD: AtomicU32 = AtomicU32::new(0);

    #[test]
    fn it_is_believed_when_the_queue_was_empty_after_it_was_lowered() {
        let flag = ChangeFlag::default();
        assert!(!flag.is_down());
        flag.lower(|| Some(&WORD), || false);
        assert!(!flag.is_down(), "something was in the queue");
        flag.lower(|| Some(&WORD), || true);
        assert!(flag.is_down());
        WORD.store(4, Ordering::SeqCst);
        assert!(!flag.is_down());
        // Meanwhile somebody lowers it, and has not looked yet.
        flag.lower(
            || {
                WORD.store(0, Ordering::SeqCst);
                assert!(!flag.is_down());
                Some(&WORD)
            },
            || true,
        );
        assert!(flag.is_down());
    }

    #[test]
    fn it_is_lowered_after_many_looks_in_a_row() {
        let flag = ChangeFlag::default();
        let due = |looks| (0..looks).filter(|_| flag.note_quiet()).count();
        assert_eq!(due(ENOUGH - 1), 0);
        flag.note_event();
        assert_eq!(due(ENOUGH - 1), 0);
        assert_eq!(due(ENOUGH), 1);
        flag.lower(|| None, || true);
        assert_eq!((flag.is_down(), due(3 * ENOUGH)), (false, 0), "there is none");
    }
}
