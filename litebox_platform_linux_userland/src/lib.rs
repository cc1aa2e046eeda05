//! The South of LiteBox: Linux as host.
//!
//! Everything here runs inside the boundary, in the supervisor or in a guest process, under the seccomp
//! [`host::filter`]. It touches no thread-local and no errno: host calls go through the gadget in [`host::call`], the
//! only place whose `syscall` instructions Syscall User Dispatch lets through.
//!
//! Layers, each using only those below it:
//!
//! - `sandbox`: sets everything up, and is used by nothing
//! - `process`: the host processes of the sandbox; the supervisor, that watches host descriptors and the others' end
//! - `entry`: from a host signal or a trampoline to the North and back; call sites that trapped are patched.
//!   `thread`: guest threads and their kernel stacks. Both are one layer
//! - `memory`: where the kernel's memory lies, and [`memory::heap`], the allocator on it
//! - `host`: host calls, and the [`host::filter`] of what the host kernel lets through; how guest calls are caught
//!   ([`host::interception`]); the way to the trusted process
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

pub use host::LinuxHost;
pub use host::start_error::StartError;
pub use memory::layout::{Needs, needs};
pub use process::start;
pub use process::supervisor::{FirstProcess, supervise};
pub use sandbox::{Counted, Patching, Settings, start};

litebox::register_host!(LinuxHost);
#[cfg(test)]
litebox::register_north!(litebox::platform::mock::MockNorth);
