//! Sockets that need no network.

pub mod netlink;
pub mod unix;
