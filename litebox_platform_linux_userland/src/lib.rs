//! The South of LiteBox: Linux as host.
//!
//! Everything here runs inside the boundary, in the supervisor or in a guest process, under the seccomp
//! [`host::filter`]. It touches no thread-local and no errno: host calls go through the gadget in [`host::call`], the
//! only place whose `syscall` instructions Syscall User Dispatch lets through.
//!
//! - `sandbox`: the shared memory of all processes and how it is set up; [`memory::heap`]: the allocator on it
//! - [`host::filter`]: what the host kernel lets through; [`entry::interception`]: how guest calls are caught
//! - `entry`: from a host signal to the North and back; `thread`, `stack`: guest threads and their kernel stacks
//! - `patch`: call sites that trapped once lead to trampolines; `fast`: from there into the kernel without the host
//! - `process`: the host processes of the sandbox; `supervisor`: the one that watches host descriptors and the others'
//!   end
//! - `layout`: where the kernel's memory lies; `huge`: huge pages for what all processes use
//! - `broker`: the way to the trusted process
//!
//! Its kernel is that of 64-bit x86, which serves 32-bit programs too: for other processors the crate is empty.
#![no_std]
#![cfg(target_arch = "x86_64")]

extern crate alloc;

pub mod entry;
pub mod host;
pub mod memory;
mod process;
mod sandbox;
mod thread;

pub use memory::layout::{Needs, needs};
pub use process::supervisor::{FirstProcess, supervise};
pub use sandbox::{Counted, Patching, Settings, StartError, start};

/// Linux as the host. All its methods are the traits of [`litebox::platform`].
pub struct LinuxHost;

litebox::register_host!(LinuxHost);
#[cfg(test)]
litebox::register_north!(litebox::platform::mock::MockNorth);
