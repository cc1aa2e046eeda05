//! Locks that work between processes: the state is one futex word inside the lock, in the shared heap.
//!
//! The order in which locks may be taken is one tree, in `docs/locks.md`. Debug builds check that it is one
//! (`order.rs`).

/// The processor's atomics; in a model (`litebox/loom`), loom's.
pub mod atomic {
    pub use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};
}
mod const_fn;
mod jitter;
mod mutex;
#[cfg(debug_assertions)]
mod order;
mod rwlock;

pub(crate) use const_fn::const_fn;
pub use jitter::jitter;
pub use litebox_protocol::adaptive_spin::AdaptiveSpin;
pub use mutex::{Mutex, MutexGuard};
#[cfg(debug_assertions)]
pub use order::{HeldLocks, LockOrder};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use core::sync::atomic::AtomicU32;
use core::time::Duration;

use crate::platform::{FutexWake, host};

/// How long somebody waits for a lock before he asks whether its holder is gone, and how often he does: the sandbox may
/// be stopped meanwhile.
const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: u32 = 3;

/// Waiting for a lock. Something outside of the sandbox may kill a process that holds one (SIGKILL, the host's want of
/// memory): whoever waits for it then ends the sandbox, with a report, instead of waiting for ever.
#[derive(Default)]
pub struct Patience(u32);

impl Patience {
    /// Sleeps while `*word == expected`.
    pub fn wait(&mut self, word: &AtomicU32, expected: u32) {
        let deadline = host().instant().saturating_add(ROUND);
        if host().futex_wait(word, expected, Some(deadline)) != FutexWake::TimedOut {
            return;
        }
        self.0 += 1;
        if self.0 >= ROUNDS && host().has_lost_process() {
            host().fatal("a process of the sandbox was killed from outside while it held a lock of the kernel");
        }
    }
}
