//! A thread of the host that runs two guest threads, one after the other: that of a vfork child while its parent waits,
//! and then the parent again. Nobody is made, put to sleep or woken for that.

use alloc::boxed::Box;
use core::sync::atomic::Ordering;

use litebox::platform::{ClockId, ThreadSpec, Threads};
use litebox::{Error, Result};

use crate::LinuxHost;
use crate::host::clock;
use crate::host::kept::KeptSpec;
use crate::host::thread_block::{MODE_KERNEL, ThreadBlock, VforkHandoff, current};
use crate::host::usage::Before;
use crate::thread::host_thread::{self, Founding};
use crate::thread::stack;

/// The calling thread goes on as `child`, until that ends; then as `parent` says. `WouldBlock` when it is handed off
/// already.
pub(crate) fn hand_off(parent: &ThreadSpec<'_>, child: &ThreadSpec<'_>) -> Result<()> {
    let Some(block) = current().filter(|b| b.handoff.is_none()) else { return Err(Error::WouldBlock) };
    let began = clock::by_host(ClockId::ThreadCpu);
    block.handoff = Some(Box::new(VforkHandoff { parent: KeptSpec::of(parent), before: block.before, began }));
    block.before.cpu = began;
    let mode = parent.host.mode.swap(MODE_KERNEL, Ordering::SeqCst);
    child.host.mode.store(mode, Ordering::SeqCst);
    child.host.tid.store(block.tid.load(Ordering::Relaxed), Ordering::Release);
    host_thread::fill_block(block, child);
    Ok(())
}

/// The guest thread of `block`, the calling thread's, has ended: the parent goes on, if there is one. Returns if not.
pub(crate) fn give_back(block: &mut ThreadBlock) {
    if block.handoff.is_some() {
        // The parent's first frame is built where the calling functions are.
        // SAFETY: nothing of this stack is used again.
        unsafe { stack::go_down(block.slot, resume) }
    }
}

extern "C" fn resume() -> ! {
    let Some((block, handoff)) = current().and_then(|b| b.handoff.take().map(|handoff| (b, handoff))) else {
        host_thread::fatal("a thread was given back that nobody had handed off")
    };
    // The child's time is not the parent's.
    let used = clock::by_host(ClockId::ThreadCpu).saturating_sub(handoff.began);
    block.before = Before { cpu: handoff.before.cpu.saturating_add(used), ..handoff.before };
    let sp = Founding::again(block).found(&handoff.parent.spec());
    drop(handoff);
    // SAFETY: the stack just made; nothing of this one is used again.
    unsafe { host_thread::start(sp) }
}

/// The parent cannot wait any longer: it gets a thread of its own.
pub(crate) fn split() -> Result<()> {
    let Some(block) = current() else { return Ok(()) };
    let Some(handoff) = block.handoff.take() else { return Ok(()) };
    crate::thread::timers::forget_kicks(handoff.parent.spec().host);
    let started = LinuxHost.spawn_thread(&handoff.parent.spec());
    if started.is_err() {
        block.handoff = Some(handoff);
    }
    started
}
