//! The core of LiteBox: what any library OS needs and no particular one owns.
//!
//! The core knows neither Linux numbers nor the host. The host is reached only through the small traits of
//! [`platform`]; errors are the one small enum [`Error`], which a North (such as the Linux shim) turns into its own.
#![no_std]

extern crate alloc;

pub mod epoll;
pub mod error;
pub mod event;
pub mod eventfd;
pub mod fs;
pub mod io;
pub mod mm;
pub mod net;
pub mod pipe;
pub mod platform;
pub mod set_once;
pub mod sync;
pub mod timerfd;
pub mod tty;

#[cfg(test)]
register_host!(platform::mock::MockHost);
#[cfg(test)]
register_north!(platform::mock::MockNorth);

pub use error::{Error, Result};
