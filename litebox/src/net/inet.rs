//! IPv4 and IPv6.

pub mod carrier;
