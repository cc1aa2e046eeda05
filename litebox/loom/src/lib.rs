//! Models of what threads of the kernel meet at: Mutex, RwLock, Waiter, WaitQueue and the futex table, compiled with
//! loom's atomics in place of the processor's. Loom runs each model in all orders that the memory model allows, up to a
//! bound of preemptions. A wake-up that is lost is a deadlock, which loom reports.
//!
//! ```text
//! cd litebox/loom && RUSTFLAGS="--cfg loom" cargo test
//! ```
//!
//! The modules are those of the kernel, by their paths. What they use besides is small enough to be stated here.
#![cfg(loom)]

extern crate alloc;
extern crate self as litebox;

pub mod platform;

/// Locks.
#[path = "../../src/sync"]
pub mod sync {
    /// Loom's.
    pub mod atomic {
        pub use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
    }

    mod const_fn;
    mod holder;
    mod mutex;
    mod raw;
    mod rwlock;

    pub(crate) use const_fn::const_fn;
    pub use mutex::{Mutex, MutexGuard};
    pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};

    use crate::platform::host;

    /// Where threads may be paused; loom does that everywhere.
    pub fn jitter() {}

    /// Waiting for a lock; nobody is killed here.
    #[derive(Default)]
    pub struct Patience;

    impl Patience {
        /// Sleeps while `*word == expected`.
        pub fn wait(&mut self, word: &atomic::AtomicU32, expected: u32) {
            host().futex_wait(word, expected, None);
        }
        /// Whether it waited for long: never.
        pub fn is_over(&self) -> bool {
            false
        }
    }

    /// Looking at a word before sleeping on it: never.
    #[derive(Default)]
    pub struct AdaptiveSpin;

    impl AdaptiveSpin {
        /// Whether looking paid.
        pub fn try_spin(&self, _look: impl FnOnce() -> bool) -> bool {
            false
        }
    }
}

/// Memory, of which the futex table knows the names of shared objects.
pub mod mm {
    /// A shared object.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct ObjectId(pub u64);
}

#[path = "../../src/event.rs"]
pub mod event;
#[path = "../../../litebox_shim_linux/src/syscalls/futex/table.rs"]
#[expect(dead_code, reason = "what hands locks over is no part of the models")]
pub mod futex_table;

/// What fails in these modules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "as in litebox::Error")]
pub enum Error {
    WouldBlock,
    Interrupted,
    TimedOut,
    Invalid,
    Fault,
}

/// As `litebox::Result`.
pub type Result<T> = core::result::Result<T, Error>;
