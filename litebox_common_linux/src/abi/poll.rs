//! Readiness: poll(2), epoll(7).

use super::layout::structure;
use super::named;

named! {
    /// epoll_create1(2)
    flags EpollFlags(i32) { EPOLL_CLOEXEC = 0o2_000_000 }
    /// epoll_ctl(2)
    choice EpollOperation(i32) { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3 }
}

structure! {
    /// `struct epoll_event`, packed for programs of both kinds
    EpollEvent [EpollEventX86_64 EpollEventX86] EpollEvents {
        /// What for, and how.
        events: u32 = u32, u32;
        /// What the program wants to be told.
        data: u64 = u64, u64;
    }
    /// The arguments of select(2) as the first 32-bit programs gave them: in memory
    SelectArguments [SelectArgumentsX86_64 SelectArgumentsX86] Opaque {
        /// How many descriptors.
        count: i32 = i32, i32;
        /// Between the fields.
        padding: () = [u8; 4], [u8; 0];
        /// The sets.
        sets: [u64; 3] = [u64; 3], [u32; 3];
        /// The time-out.
        timeout: u64 = u64, u32;
    }
    /// What pselect6(2) has for a sixth argument
    SelectMask [SelectMaskX86_64 SelectMaskX86] Opaque {
        /// The address of a `sigset_t`.
        set: u64 = u64, u32;
        /// Its size.
        size: u64 = u64, u32;
    }
}
