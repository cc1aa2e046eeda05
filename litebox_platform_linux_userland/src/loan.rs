//! A thread of the host that runs two guest threads, one after the other: that of a vfork child while its parent waits, and then the parent again.
//! Nobody is made, put to sleep or woken for that.

use alloc::boxed::Box;
use core::sync::atomic::Ordering;
use core::time::Duration;

use litebox::platform::{ClockId, ThreadSpec, Threads};
use litebox::{Error, Result};

use crate::LinuxHost;
use crate::clock;
use crate::entry::MODE_KERNEL;
use crate::kept::KeptSpec;
use crate::stack::{self, ThreadBlock};
use crate::thread::{self, Founding};
use crate::usage::Before;

/// The guest thread that waits.
pub(crate) struct Loan {
    lender: KeptSpec,
    /// What the host's thread had used for others before the lender.
    before: Before,
    /// CPU time of the host's thread when it was lent.
    began: Duration,
}

/// The calling thread goes on as `borrower`, until that ends; then as `lender` says. `WouldBlock` when it is lent already.
pub(crate) fn lend(lender: &ThreadSpec<'_>, borrower: &ThreadSpec<'_>) -> Result<()> {
    let Some(block) = stack::current().filter(|b| b.loan.is_none()) else { return Err(Error::WouldBlock) };
    let began = clock::by_host(ClockId::ThreadCpu);
    block.loan = Some(Box::new(Loan { lender: KeptSpec::of(lender), before: block.before, began }));
    block.before.cpu = began;
    let mode = lender.host.mode.swap(MODE_KERNEL, Ordering::SeqCst);
    borrower.host.mode.store(mode, Ordering::SeqCst);
    borrower.host.tid.store(block.tid.load(Ordering::Relaxed), Ordering::Release);
    thread::fill_block(block, borrower);
    Ok(())
}

/// The guest thread of `block`, the calling thread's, has ended: the lender goes on, if there is one. Returns if not.
pub(crate) fn give_back(block: &mut ThreadBlock) {
    if block.loan.is_some() {
        // The lender's first frame is built where the calling functions are.
        // SAFETY: nothing of this stack is used again.
        unsafe { stack::go_down(block.slot, resume) }
    }
}

extern "C" fn resume() -> ! {
    let Some((block, loan)) = stack::current().and_then(|b| b.loan.take().map(|loan| (b, loan))) else {
        thread::fatal("a thread was given back that nobody had lent")
    };
    // The borrower's time is not the lender's.
    let lent = clock::by_host(ClockId::ThreadCpu).saturating_sub(loan.began);
    block.before = Before { cpu: loan.before.cpu.saturating_add(lent), ..loan.before };
    let sp = Founding::again(block).found(&loan.lender.spec());
    drop(loan);
    // SAFETY: the stack just made; nothing of this one is used again.
    unsafe { thread::start(sp) }
}

/// The lender cannot wait any longer: it gets a thread of its own.
pub(crate) fn part() -> Result<()> {
    let Some(block) = stack::current() else { return Ok(()) };
    let Some(loan) = block.loan.take() else { return Ok(()) };
    thread::forget_kicks(loan.lender.spec().host);
    let started = LinuxHost.spawn_thread(&loan.lender.spec());
    if started.is_err() {
        block.loan = Some(loan);
    }
    started
}
