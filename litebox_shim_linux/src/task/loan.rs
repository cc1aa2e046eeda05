//! vfork(2): the parent waits until its child executes a program or ends, so the child borrows the parent's thread of the host. Only the end of the parent's
//! process does not wait for that: then the parent gets a thread of its own, in which it leaves.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, Ordering};

use litebox::platform::{ThreadSpec, host};
use litebox::sync::Mutex;
use litebox::{Error, Result};

use super::{Task, Thread};

/// Whose thread of the host a thread runs on, and who runs on its.
#[derive(Default)]
pub(crate) struct Loan {
    borrowed: AtomicBool,
    lender: Mutex<Option<Arc<Thread>>>,
    /// The lender's rseq area is not registered meanwhile: the borrower wanted one of its own.
    rseq_suspended: AtomicBool,
    lent: AtomicBool,
    borrower: Mutex<Weak<Thread>>,
}

impl Thread {
    /// Whether somebody else runs on its thread of the host.
    pub(crate) fn is_lent(&self) -> bool {
        self.loan.lent.load(Ordering::SeqCst)
    }

    /// Whoever runs on its thread of the host looks after what is pending for it.
    pub(super) fn interrupt_borrower(&self) {
        if self.is_lent() {
            let borrower = self.loan.borrower.lock().upgrade();
            if let Some(borrower) = borrower {
                borrower.interrupt();
            }
        }
    }

    /// Whose thread of the host it runs on, if not on its own.
    pub(crate) fn lender(&self) -> Option<Arc<Self>> {
        if self.loan.borrowed.load(Ordering::SeqCst) { self.loan.lender.lock().clone() } else { None }
    }

    fn borrow_from(self: &Arc<Self>, lender: &Arc<Self>) {
        *self.loan.lender.lock() = Some(lender.clone());
        *lender.loan.borrower.lock() = Arc::downgrade(self);
        self.loan.borrowed.store(true, Ordering::SeqCst);
        lender.loan.lent.store(true, Ordering::SeqCst);
    }

    /// The lender goes on: with what is pending for it. `None`: nobody lent anything.
    pub(crate) fn end_loan(&self) -> Option<Arc<Self>> {
        if !self.loan.borrowed.swap(false, Ordering::SeqCst) {
            return None;
        }
        let lender = self.loan.lender.lock().take()?;
        lender.loan.lent.store(false, Ordering::SeqCst);
        if self.loan.rseq_suspended.swap(false, Ordering::Relaxed) {
            lender.resume_rseq();
        }
        *lender.loan.borrower.lock() = Weak::new();
        lender.waiter.interrupt();
        Some(lender)
    }

    /// The borrower is about to register an rseq area of its own, and a thread of the host has one.
    pub(crate) fn suspend_rseq_of_lender(&self) {
        if let Some(lender) = self.lender() {
            if !self.loan.rseq_suspended.swap(true, Ordering::Relaxed) {
                lender.suspend_rseq();
            }
        }
    }

    /// What cannot wait until the lender goes on. To be called by the thread itself where it looks at its pending work.
    pub(crate) fn look_after_lender(self: &Arc<Self>) {
        let Some(lender) = self.lender() else { return };
        lender.process.run_errands();
        if lender.process.must_leave(&lender) {
            self.part_from(&lender);
        }
    }

    fn part_from(self: &Arc<Self>, lender: &Arc<Self>) {
        // Registered for the host's thread, which the lender loses.
        let _ = lender.forget_rseq();
        drop(self.end_loan());
        if host().part_from_lender().is_err() {
            // The host has no room for another thread: it is tried again.
            self.borrow_from(lender);
        }
    }
}

impl Task<'_, '_> {
    /// `child`, a thread of another process with the same memory, goes on in place of the caller, with its registers but for the stack pointer, if one is
    /// given, and its FS base. The caller's call returns `result` when that one has ended.
    pub(crate) fn lend_to(&mut self, child: &Arc<Thread>, stack: u64, fs_base: u64, result: i32) -> Result<()> {
        if self.thread.traced {
            // A call is printed when it ends, by the thread that made it.
            return Err(Error::WouldBlock);
        }
        let mut regs = *self.frame.regs;
        regs.rax = u64::from(result.unsigned_abs());
        let own_fs = host().fs_base();
        let lender = ThreadSpec {
            north: self.frame.thread,
            host: &self.thread.host,
            waiter: &self.thread.waiter,
            regs: &regs,
            fp: self.frame.fp().map(|fp| &*fp),
            fs_base: own_fs,
            gs_base: host().gs_base(),
            answers: self.thread.answers(),
        };
        let north = Arc::into_raw(child.clone()).cast();
        let borrower = ThreadSpec {
            north,
            host: &child.host,
            waiter: &child.waiter,
            answers: child.answers(),
            fp: None,
            ..lender
        };
        child.borrow_from(self.thread);
        if let Err(error) = host().lend_thread(&lender, &borrower) {
            drop(child.end_loan());
            // SAFETY: the reference leaked above, which nobody uses.
            drop(unsafe { Arc::from_raw(north.cast::<Thread>()) });
            return Err(error);
        }
        self.frame.thread = north;
        if stack != 0 {
            self.frame.regs.rsp = stack;
        }
        host().set_fs_base(fs_base);
        Ok(())
    }
}
