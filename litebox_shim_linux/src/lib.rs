//! The North of LiteBox: Linux. System calls, tasks, signals, the loader.
#![no_std]

extern crate alloc;

pub mod boot;
mod dispatch;
mod entry;
pub mod loader;
mod outside;
pub mod proc;
pub mod syscalls;
pub mod task;
mod user;

pub use entry::LinuxNorth;
pub use task::{Kernel, KernelConfig, Process, Task, Thread};

#[cfg(test)]
litebox::register_host!(litebox::platform::mock::MockHost);
#[cfg(test)]
litebox::register_north!(LinuxNorth);
