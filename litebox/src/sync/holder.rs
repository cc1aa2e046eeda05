//! Who holds a lock, and what becomes of it when its holder is gone.
//!
//! Something outside of the sandbox may kill any of its processes (SIGKILL, the host's want of memory). What that
//! process was changing then stays as it is: half changed, perhaps. So a lock knows two things besides being held: by
//! which process, and whether that has begun to change what the lock guards. A lock of a process that is gone passes to
//! the next who wants it, unless it was changing something: then nothing that this lock guards can be believed, and the
//! sandbox ends, with a report.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering, compiler_fence};

#[cfg(not(loom))]
use crate::platform::host;

/// The supervisor, which starts all others and outlives them; also a program that has no processes.
pub const SUPERVISOR: u32 = 1;
/// Numbers of processes are below.
pub const NUMBERS_END: u32 = 1 << 31;
/// Nobody: what it holds is broken for good.
pub(super) const NOBODY: u32 = NUMBERS_END - 1;

/// The number of the calling process. It lies in memory that a process of the host has for itself: each has its own.
static OWN: AtomicU32 = AtomicU32::new(SUPERVISOR);

/// The calling process has this number from now on: from [`SUPERVISOR`] to [`NUMBERS_END`] - 2, and nobody else's.
#[cfg(not(loom))]
pub fn begin_process(number: u32) {
    OWN.store(number, Ordering::Relaxed);
}

/// The number of the calling process.
#[inline]
pub fn own_number() -> u32 {
    OWN.load(Ordering::Relaxed)
}

/// Whether `count` holders, whose numbers' sum is `sum`, are one and the same process, which is gone. Processes have
/// numbers without a pattern: others' sums are the same by chance only, once in 2^32 times.
#[cold]
pub(super) fn are_lost(count: u32, sum: u32) -> bool {
    #[cfg(not(loom))]
    return sum == NOBODY || host().are_lost(count, sum);
    #[cfg(loom)]
    return sum == NOBODY && count == 1;
}

/// The holder of a lock is gone, and what it guards (`what`) is half changed.
#[cold]
#[cfg_attr(debug_assertions, track_caller)]
pub(super) fn end_sandbox(what: &str) -> ! {
    #[cfg(all(debug_assertions, not(loom)))]
    host().report(&alloc::format!("{what} was wanted at {}", core::panic::Location::caller()));
    #[cfg(not(loom))]
    host().fatal(&alloc::format!(
        "a process of the sandbox was killed from outside while it changed an object of the kernel ({what})"
    ));
    #[cfg(loom)]
    panic!("nobody is killed in a model: {what}");
}

/// Marks the changes of a value whose lock is held.
pub struct ChangeMark<'a>(pub(super) &'a Changing);

impl ChangeMark<'_> {
    /// `work` changes the value: it may be half done while it lasts.
    #[inline]
    pub fn change<R>(&self, work: impl FnOnce() -> R) -> R {
        self.0.begin();
        let done = work();
        self.0.end();
        done
    }
}

/// Whether the holder of a lock has begun to change what it guards. The holder writes it; who reads it has found the
/// holder gone. The processor makes a thread's stores visible in their order, so only the compiler has to be told.
pub struct Changing(AtomicBool);

impl Changing {
    /// Nothing was begun.
    pub const fn no() -> Self {
        Self(AtomicBool::new(false))
    }
    /// Before the first change.
    #[inline]
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }
    /// After the last one.
    #[inline]
    pub fn end(&self) {
        self.0.store(false, Ordering::Release);
    }
    /// It was.
    pub fn is_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
