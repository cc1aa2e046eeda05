//! Readiness: poll(2), epoll(7).

use super::layout::structure;
use super::named;

named! {
    /// epoll_ctl(2)
    choice EpollOperation(i32, u32) { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3 }
}

structure! {
    /// `struct epoll_event`, packed for programs of both kinds
    EpollEvent [EpollEventX86_64 EpollEventX86] Opaque {
        /// What for, and how.
        events: u32 = u32, u32;
        /// What the program wants to be told.
        data: u64 = u64, u64;
    }
}
