//! How many sites are patched, and why others keep trapping.

use crate::host::published::Published;
use core::sync::atomic::{AtomicU64, Ordering};

use litebox_protocol::figure;
use litebox_syscall_rewriter::Refusal;

/// Why a site keeps trapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SkipReason {
    /// The bytes do not allow it.
    Bytes(Refusal),
    /// Its memory is writable.
    Writable,
    /// Its memory is shared.
    Shared,
    /// No place for a trampoline.
    NoRoom,
    /// It was overwritten again and again.
    Rewritten,
    /// The host refused.
    Host,
}

impl SkipReason {
    /// Its place among [`figure::SKIP_REASONS`].
    fn place(self) -> usize {
        match self {
            Self::Bytes(Refusal::NotSyscall | Refusal::Undecodable) => 0,
            Self::Bytes(Refusal::CutOff | Refusal::EndsEarly) => 1,
            Self::Bytes(Refusal::Unmovable) => 2,
            Self::Bytes(Refusal::TooFar) | Self::NoRoom => 3,
            Self::Writable => 4,
            Self::Shared => 5,
            Self::Rewritten => 6,
            Self::Host => 7,
        }
    }
}

/// Figures of patching.
#[derive(Debug, Default)]
pub(crate) struct PatchCounts {
    pub(super) patched: AtomicU64,
    shared: AtomicU64,
    skipped: [AtomicU64; figure::SKIP_REASONS.len()],
}

/// Those of this sandbox.
pub(crate) static PATCH_COUNTS: Published<PatchCounts> = Published::nothing();

impl PatchCounts {
    /// Sites patched so far, in all processes.
    pub(crate) fn patched(&self) -> u64 {
        self.patched.load(Ordering::Relaxed)
    }
    /// A copy with that many sites was mapped.
    pub(super) fn share(&self, count: usize) {
        self.patched.fetch_add(count as u64, Ordering::Relaxed);
        self.shared.fetch_add(1, Ordering::Relaxed);
    }
    /// How often copies were mapped.
    pub(crate) fn shared(&self) -> u64 {
        self.shared.load(Ordering::Relaxed)
    }
    /// Sites that keep trapping, by reason.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        figure::SKIP_REASONS.into_iter().zip(&self.skipped).map(|(text, count)| (text, count.load(Ordering::Relaxed)))
    }
    pub(super) fn skip(&self, reason: SkipReason) {
        if let Some(count) = self.skipped.get(reason.place()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
