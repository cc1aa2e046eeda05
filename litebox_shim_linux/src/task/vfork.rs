//! vfork(2): the parent waits until its child executes a program or ends, so the child takes over the parent's thread
//! of the host. Only the end of the parent's process does not wait for that: then the parent gets a thread of its own,
//! in which it leaves.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, Ordering};

use litebox::platform::{ThreadSpec, host};
use litebox::sync::Mutex;
use litebox::{Error, Result};

use super::{Task, Thread};
use crate::signal::set::SIGSEGV;

/// Whose thread of the host a thread runs on, and who runs on its.
#[derive(Default)]
pub(crate) struct VforkHandoff {
    taken_over: AtomicBool,
    parent: Mutex<Option<Arc<Thread>>>,
    /// The parent's rseq area is not registered meanwhile: the child wanted one of its own.
    rseq_suspended: AtomicBool,
    handed_off: AtomicBool,
    child: Mutex<Weak<Thread>>,
}

impl Thread {
    /// Whether somebody else runs on its thread of the host.
    pub(crate) fn is_handed_off(&self) -> bool {
        self.handoff.handed_off.load(Ordering::SeqCst)
    }

    /// Whoever runs on its thread of the host looks after what is pending for it.
    pub(super) fn interrupt_vfork_child(&self) {
        if self.is_handed_off() {
            let child = self.handoff.child.lock().upgrade();
            if let Some(child) = child {
                child.interrupt();
            }
        }
    }

    /// Whose thread of the host it runs on, if not on its own.
    pub(crate) fn vfork_parent(&self) -> Option<Arc<Self>> {
        if self.handoff.taken_over.load(Ordering::SeqCst) { self.handoff.parent.lock().clone() } else { None }
    }

    fn take_over_from(self: &Arc<Self>, parent: &Arc<Self>) {
        *self.handoff.parent.lock() = Some(parent.clone());
        *parent.handoff.child.lock() = Arc::downgrade(self);
        self.handoff.taken_over.store(true, Ordering::SeqCst);
        parent.handoff.handed_off.store(true, Ordering::SeqCst);
    }

    /// The parent goes on: with what is pending for it. `None`: nothing was handed off.
    pub(crate) fn end_handoff(&self) -> Option<Arc<Self>> {
        if !self.handoff.taken_over.swap(false, Ordering::SeqCst) {
            return None;
        }
        let parent = self.handoff.parent.lock().take()?;
        parent.handoff.handed_off.store(false, Ordering::SeqCst);
        if self.handoff.rseq_suspended.swap(false, Ordering::Relaxed) && !parent.resume_rseq() {
            parent.process.begin_exit(parent.process.death_status(SIGSEGV));
        }
        *parent.handoff.child.lock() = Weak::new();
        parent.waiter.interrupt();
        Some(parent)
    }

    /// The thread of the host is gone, whoever had lent it.
    pub(super) fn forget_loan(&self) {
        self.handoff.taken_over.store(false, Ordering::SeqCst);
        self.handoff.handed_off.store(false, Ordering::SeqCst);
        self.handoff.rseq_suspended.store(false, Ordering::Relaxed);
        let parent = self.handoff.parent.lock().take();
        *self.handoff.child.lock() = Weak::new();
        drop(parent);
    }

    /// The child is about to register an rseq area of its own, and a thread of the host has one.
    pub(crate) fn suspend_rseq_of_vfork_parent(&self) {
        if let Some(parent) = self.vfork_parent() {
            if !self.handoff.rseq_suspended.swap(true, Ordering::Relaxed) {
                parent.suspend_rseq();
            }
        }
    }

    /// What cannot wait until the parent goes on. To be called by the thread itself where it looks at its pending work.
    pub(crate) fn serve_vfork_parent(self: &Arc<Self>) {
        let Some(parent) = self.vfork_parent() else { return };
        parent.process.run_task_work();
        if parent.process.must_leave(&parent) {
            self.split_from(&parent);
        }
    }

    fn split_from(self: &Arc<Self>, parent: &Arc<Self>) {
        // Registered for the host's thread, which the parent loses.
        let _ = parent.forget_rseq();
        drop(self.end_handoff());
        if host().split_from_vfork_parent().is_err() {
            // The host has no room for another thread: it is tried again.
            self.take_over_from(parent);
        }
    }
}

impl Task<'_, '_> {
    /// `child`, a thread of another process with the same memory, goes on in place of the caller, with its registers
    /// but for the stack pointer, if one is given, and its FS base. The caller's call returns `result` when that one
    /// has ended.
    pub(crate) fn hand_off_to(&mut self, child: &Arc<Thread>, stack: u64, fs_base: u64, result: i32) -> Result<()> {
        if self.thread.traced {
            // A call is printed when it ends, by the thread that made it.
            return Err(Error::WouldBlock);
        }
        let mut regs = *self.frame.regs;
        regs.rax = u64::from(result.unsigned_abs());
        let own_fs = host().fs_base();
        let mode = self.frame.mode;
        let parent_spec = ThreadSpec {
            north: self.frame.thread,
            host: &self.thread.host,
            waiter: &self.thread.waiter,
            regs: &regs,
            fp: self.frame.fp().map(|fp| &*fp),
            fs_base: own_fs,
            gs_base: host().gs_base(),
            mode,
            segments: host().segments(),
            fast_syscalls: self.thread.fast_syscalls(),
        };
        let north = Arc::into_raw(child.clone()).cast();
        let child_spec = ThreadSpec {
            north,
            host: &child.host,
            waiter: &child.waiter,
            fast_syscalls: child.fast_syscalls(),
            fp: None,
            ..parent_spec
        };
        child.take_over_from(self.thread);
        if let Err(error) = host().hand_off_thread(&parent_spec, &child_spec) {
            drop(child.end_handoff());
            // SAFETY: the reference leaked above, which nobody uses.
            drop(unsafe { Arc::from_raw(north.cast::<Thread>()) });
            return Err(error);
        }
        self.frame.thread = north;
        if stack != 0 {
            self.frame.regs.rsp = stack;
        }
        if let Some(segments) = host().segments() {
            let own = child.segments_from(segments);
            if own != segments {
                host().set_segments(Some(own));
            }
        } else {
            host().set_fs_base(fs_base);
        }
        Ok(())
    }
}
