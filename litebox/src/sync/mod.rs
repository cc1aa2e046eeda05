//! Locks that work between processes: the state is one futex word inside the lock, in the shared heap.
//!
//! The order in which locks may be taken is one tree, in `docs/locks.md`.

mod jitter;
mod luck;
mod mutex;
mod rwlock;

pub use jitter::jitter;
pub use luck::Luck;
pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
