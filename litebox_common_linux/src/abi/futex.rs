//! Futexes: futex(2).

use super::layout::structure;
use super::named;

named! {
    /// futex(2)
    flags FutexOperation(i32) {
        FUTEX_WAIT = 0 in 0x7f, FUTEX_WAKE = 1 in 0x7f, FUTEX_FD = 2 in 0x7f, FUTEX_REQUEUE = 3 in 0x7f, FUTEX_CMP_REQUEUE = 4 in 0x7f,
        FUTEX_WAKE_OP = 5 in 0x7f, FUTEX_LOCK_PI = 6 in 0x7f, FUTEX_UNLOCK_PI = 7 in 0x7f, FUTEX_TRYLOCK_PI = 8 in 0x7f,
        FUTEX_WAIT_BITSET = 9 in 0x7f, FUTEX_WAKE_BITSET = 10 in 0x7f, FUTEX_WAIT_REQUEUE_PI = 11 in 0x7f, FUTEX_CMP_REQUEUE_PI = 12 in 0x7f,
        FUTEX_LOCK_PI2 = 13 in 0x7f, FUTEX_PRIVATE_FLAG = 0x80, FUTEX_CLOCK_REALTIME = 0x100
    }
    /// futex_wait(2), futex_wake(2) and `struct futex_waitv`
    flags Futex2Flags(u32) {
        FUTEX2_SIZE_U8 = 0 in 3, FUTEX2_SIZE_U16 = 1 in 3, FUTEX2_SIZE_U32 = 2 in 3, FUTEX2_SIZE_U64 = 3 in 3, FUTEX2_NUMA = 4, FUTEX2_PRIVATE = 0x80
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

structure! {
    /// `struct futex_waitv`
    FutexWaitv [FutexWaitvX86_64 FutexWaitvX86] Opaque {
        /// What the word should be.
        value: u64 = u64, u64;
        /// Where it is.
        address: u64 = u64, u64;
        /// FUTEX2_ flags.
        flags: u32 = u32, u32;
        /// Nothing.
        reserved: u32 = u32, u32;
    }
}
