//! Locks that work between processes: the state lies inside the lock, in the shared heap. What becomes of a lock whose
//! holder was killed: `holder.rs`.
//!
//! The order in which locks may be taken is one tree, in `docs/locks.md`. Debug builds check that it is one
//! (`order.rs`).

/// The processor's atomics; in a model (`litebox/loom`), loom's.
pub mod atomic {
    pub use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
}
mod const_fn;
mod holder;
mod jitter;
mod mutex;
#[cfg(debug_assertions)]
mod order;
mod raw;
mod rwlock;

pub(crate) use const_fn::const_fn;
pub use holder::{ChangeMark, NUMBERS_END, SUPERVISOR, begin_process, own_number};
pub use jitter::jitter;
pub use litebox_protocol::adaptive_spin::AdaptiveSpin;
pub use mutex::{Mutex, MutexGuard};
#[cfg(debug_assertions)]
pub use order::{HeldLocks, LockOrder};
pub use raw::RawLock;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use core::sync::atomic::AtomicU32;
use core::time::Duration;

use crate::platform::{FutexWake, host};

/// How long somebody waits for a lock before he looks whether its holder is gone.
const ROUND: Duration = Duration::from_millis(250);
/// After how many looks nobody waits any longer for several readers that may be gone: the sandbox may be stopped
/// meanwhile.
const ROUNDS: u32 = 12;

/// Waiting for a lock.
#[derive(Default)]
pub struct Patience(u32);

impl Patience {
    /// Sleeps while `*word == expected`, for a while.
    pub fn wait(&mut self, word: &AtomicU32, expected: u32) {
        let deadline = host().instant().saturating_add(ROUND);
        if host().futex_wait(word, expected, Some(deadline)) == FutexWake::TimedOut {
            self.0 += 1;
        }
    }

    /// Whether it waited for long, in a sandbox in which a process was killed from outside.
    pub fn is_over(&self) -> bool {
        self.0 >= ROUNDS && host().has_lost_process()
    }
}
