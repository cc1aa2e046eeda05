//! What the host layer knows of a process of the sandbox.

use core::sync::atomic::AtomicU64;

use litebox::sync::Mutex;

use crate::host::rseq_areas::RseqAreas;
use crate::host::usage::Before;

/// The beginning of a process's entry in the table of processes.
pub(crate) struct ProcessBlock {
    /// Its number in the sandbox and its slot at the broker; given out anew once it has gone.
    pub(crate) number: u32,
    /// A number that no other process has had for a very long time; above
    /// [`turn::SUPERVISOR`](crate::host::turn::SUPERVISOR), below 2^31.
    pub(crate) serial: u32,
    /// Signals that came from outside of the sandbox, which its guest has not heard of.
    pub(crate) arrived: AtomicU64,
    /// What it had used for guests before the present one.
    before: Mutex<Before>,
    /// Where the host writes for its threads.
    pub(crate) rseq: RseqAreas,
}

impl ProcessBlock {
    /// A process that has had no guest.
    pub(crate) fn new(number: u32, serial: u32) -> Self {
        let (arrived, before, rseq) = (AtomicU64::new(0), Mutex::default(), RseqAreas::default());
        Self { number, serial, arrived, before, rseq }
    }

    /// What it had used for guests before the present one.
    pub(crate) fn before(&self) -> Before {
        *self.before.lock()
    }

    /// The guest that comes begins with nothing used.
    pub(crate) fn begin_anew(&self, before: Before) {
        *self.before.lock() = before;
    }
}
