//! The end of the program that the sandbox was started for.

use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::host::published::Published;

/// How it ended.
pub(crate) struct ProgramEnd {
    /// Status as wait(2) has it, valid once it is announced.
    status: AtomicI32,
    announced: AtomicBool,
    /// The supervisor has something to do or to tell before the broker hears of it.
    pub(crate) is_told_by_supervisor: bool,
}

/// That of this sandbox.
pub(crate) static PROGRAM_END: Published<ProgramEnd> = Published::nothing();

impl ProgramEnd {
    /// It runs.
    pub(crate) const fn new(is_told_by_supervisor: bool) -> Self {
        Self { status: AtomicI32::new(0), announced: AtomicBool::new(false), is_told_by_supervisor }
    }
    /// It has ended with this status.
    pub(crate) fn announce(&self, status: i32) {
        self.status.store(status, Ordering::Release);
        self.announced.store(true, Ordering::Release);
    }
    /// Whether it has.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced.load(Ordering::Acquire)
    }
    /// With which status.
    pub(crate) fn status(&self) -> i32 {
        self.status.load(Ordering::Acquire)
    }
}
