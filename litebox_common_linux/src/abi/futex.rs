//! Futexes: futex(2).

use super::named;

named! {
    /// futex(2)
    flags FutexOperation(i32) {
        FUTEX_WAIT = 0 in 0x7f, FUTEX_WAKE = 1 in 0x7f, FUTEX_FD = 2 in 0x7f, FUTEX_REQUEUE = 3 in 0x7f, FUTEX_CMP_REQUEUE = 4 in 0x7f,
        FUTEX_WAKE_OP = 5 in 0x7f, FUTEX_LOCK_PI = 6 in 0x7f, FUTEX_UNLOCK_PI = 7 in 0x7f, FUTEX_TRYLOCK_PI = 8 in 0x7f,
        FUTEX_WAIT_BITSET = 9 in 0x7f, FUTEX_WAKE_BITSET = 10 in 0x7f, FUTEX_WAIT_REQUEUE_PI = 11 in 0x7f, FUTEX_CMP_REQUEUE_PI = 12 in 0x7f,
        FUTEX_LOCK_PI2 = 13 in 0x7f, FUTEX_PRIVATE_FLAG = 0x80, FUTEX_CLOCK_REALTIME = 0x100
    }
}

bitflags::bitflags! {
    /// What futex(2) has beside its operation.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct FutexFlags: i32 {
        /// The word is not shared with other processes.
        const PRIVATE = FUTEX_PRIVATE_FLAG;
        /// The time is CLOCK_REALTIME's.
        const CLOCK_REALTIME = FUTEX_CLOCK_REALTIME;
    }
}
