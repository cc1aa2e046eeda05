//! Sockets that need no network.

pub mod unix;
