//! Readiness: poll(2), epoll(7).

use super::named;

named! {
    /// epoll_ctl(2)
    choice EpollOperation(i32, u32) { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3 }
}
