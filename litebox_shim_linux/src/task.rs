//! Who runs: the kernel object, processes, threads, and the context of one call.

pub(crate) mod call;
pub(crate) mod container;
pub(crate) mod credentials;
mod exit;
pub(crate) mod fast_syscalls;
pub(crate) mod freezer;
mod jobs;
mod kernel;
mod loss;
mod process;
pub(crate) mod process_table;
pub(crate) mod rseq;
mod shared_by_clone;
pub(crate) mod task_work;
mod thread;
mod tls;
mod vfork;

pub use credentials::{Capability, Credentials};
pub(crate) use kernel::PID_LIMIT;
pub use kernel::{Kernel, KernelConfig, WayOut};
pub(crate) use process::Relation;
pub use process::{Process, ProcessSpec};
pub use shared_by_clone::{CloneShares, SharedByClone, UseCounted};
pub use thread::Thread;
pub(crate) use thread::{Newborn, SyscallWork, VforkWait};

use alloc::sync::Arc;

use litebox::event::Waiter;
use litebox::platform::north::GuestFrame;
use litebox_common_linux::Arch;

/// The context of one entry into the kernel: the thread that entered and its registers. Handlers of system calls are
/// methods of this.
pub struct Task<'a, 'f> {
    /// The calling thread.
    pub thread: &'a Arc<Thread>,
    /// Its registers and floating-point state; changes take effect on return.
    pub frame: &'a mut GuestFrame<'f>,
    /// How the call that it makes is made.
    pub arch: Arch,
}

impl Task<'_, '_> {
    /// Whose numbers, registers and structures the call that is served has. It belongs to the call: 64-bit programs can
    /// make calls of 32-bit ones.
    #[inline]
    pub fn abi(&self) -> Arch {
        self.arch
    }
    /// The process of the calling thread.
    #[inline]
    pub fn process(&self) -> &Arc<Process> {
        &self.thread.process
    }
    /// Who the calling thread is.
    #[inline]
    pub fn creds(&self) -> Arc<Credentials> {
        self.thread.creds()
    }
    /// Who the calling thread is, for the time of what borrows it: nothing is locked or counted.
    #[inline]
    pub(crate) fn own_creds(&self) -> &Credentials {
        // SAFETY: only the thread itself changes them once it runs, by `Task::set_creds`, which cannot be called while
        // the task is borrowed.
        unsafe { self.thread.creds_unlocked() }
    }
    /// The calling thread is somebody else from now on.
    pub(crate) fn set_creds(&mut self, new: Credentials) {
        use core::sync::atomic::Ordering;
        let process = self.process();
        if new.differs_for_dumps(&self.creds()) {
            process.dumpable.store(false, Ordering::Relaxed);
            process.death_signal.store(0, Ordering::Relaxed);
        }
        let new = Arc::new(new);
        // The process is who its first thread is.
        if self.thread.tid() == process.pid {
            *process.credentials.write() = new.clone();
        }
        self.thread.become_somebody(new);
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
