//! Who runs: the kernel object, processes, threads, and the context of one call.

mod exit;
pub(crate) mod family;
mod jobs;
mod kernel;
mod part;
mod process;
mod thread;

pub use kernel::{Kernel, KernelConfig};
pub use part::{Part, Shared};
pub(crate) use process::Relation;
pub use process::{Credentials, Process, ProcessSpec};
pub use thread::Thread;
pub(crate) use thread::{Newborn, VforkWait};

use alloc::sync::Arc;

use litebox::event::Waiter;
use litebox::platform::north::GuestFrame;

/// The context of one entry into the kernel: the thread that entered and its registers. Handlers of system calls are methods of this.
pub struct Task<'a, 'f> {
    /// The calling thread.
    pub thread: &'a Arc<Thread>,
    /// Its registers and floating-point state; changes take effect on return.
    pub frame: &'a mut GuestFrame<'f>,
}

impl Task<'_, '_> {
    /// The process of the calling thread.
    #[inline]
    pub fn process(&self) -> &Arc<Process> {
        &self.thread.process
    }
    /// The kernel object.
    #[inline]
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.thread.process.kernel
    }
    /// What the calling thread sleeps on.
    #[inline]
    pub fn waiter(&self) -> &Arc<Waiter> {
        &self.thread.waiter
    }
}
