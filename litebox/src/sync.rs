//! Locks that work between processes: the state is one futex word inside the lock, in the shared heap.
//!
//! The order in which locks may be taken is one tree, in `docs/locks.md`.

mod adaptive_spin;
mod jitter;
mod mutex;
mod rwlock;

pub use adaptive_spin::AdaptiveSpin;
pub use jitter::jitter;
pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
