//! What the supervisor hears from outside of the sandbox: signals for the guest, what the network brings, and programs
//! to start ([`programs`]).

pub(crate) mod programs;
mod save;

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use litebox::platform::{HostFd, host};

use crate::Kernel;
use crate::signal::set::{MAX_SIGNAL, SI_USER, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTSTP, SIGWINCH};
use crate::signal::{SigSet, SignalInfo};

const FIRST_PID: i32 = 1;
/// What a terminal sends to all processes of the foreground group.
const FROM_TERMINAL: SigSet = SigSet::of(SIGINT)
    .union(SigSet::of(SIGQUIT))
    .union(SigSet::of(SIGTSTP))
    .union(SigSet::of(SIGWINCH))
    .union(SigSet::of(SIGHUP));

/// Makes the kernel object findable for the supervisor; from then on it lives as long as the sandbox.
pub(crate) fn keep(kernel: &Arc<Kernel>) {
    host().keep_kernel(Arc::into_raw(kernel.clone()).cast());
}

/// The kernel object of the sandbox, once there is one.
pub(crate) fn kernel() -> Option<&'static Kernel> {
    // SAFETY: null, or the reference that `keep` never gives back.
    unsafe { host().kept_kernel().cast::<Kernel>().as_ref() }
}

/// The same, to be kept.
fn kept() -> Option<Arc<Kernel>> {
    let kernel = core::ptr::from_ref(kernel()?);
    // SAFETY: `keep` made it of an `Arc`, whose reference is never given back.
    unsafe {
        Arc::increment_strong_count(kernel);
        Some(Arc::from_raw(kernel))
    }
}

/// The broker told something of the network.
pub(crate) fn network_event(event: &[u8], passed: Option<HostFd>) {
    match kernel().and_then(|kernel| kernel.outward.as_ref()) {
        Some(outward) => outward.event(event, passed),
        None => passed.into_iter().for_each(|fd| host().host_close(fd)),
    }
}

/// the user sent a signal.
pub(crate) fn signal(signal: i32) {
    if !(1..=MAX_SIGNAL).contains(&signal) {
        return;
    }
    if let Some(kernel) = kernel() {
        let terminals = &kernel.terminals;
        if signal == SIGWINCH && terminals.window_changed_outside() || signal == SIGHUP && terminals.hung_up_outside() {
            return;
        }
        let bit = SigSet::of(signal).0;
        kernel.outside_signals.fetch_or(bit, Ordering::SeqCst);
        take_signals(kernel);
    }
}

/// Sends what came from outside to the first process; called again when that process can take it.
pub(crate) fn take_signals(kernel: &Kernel) {
    let Some(first) = kernel.process(FIRST_PID).filter(|p| p.thread_count() > 0) else { return };
    let mut waiting = SigSet(kernel.outside_signals.swap(0, Ordering::SeqCst));
    while let Some(signal) = waiting.first() {
        waiting = waiting.without(SigSet::of(signal));
        // As from a process that cannot be seen from here.
        let info = SignalInfo::sent(signal, SI_USER, 0, 0);
        let group = first.group.load(Ordering::Relaxed);
        for process in kernel.processes() {
            let grouped = FROM_TERMINAL.has(signal) && process.group.load(Ordering::Relaxed) == group;
            if process.pid == FIRST_PID || grouped {
                // Refused only for a full real-time queue; then it is lost, as on Linux.
                let _ = process.send_signal(info);
            }
        }
    }
}

/// Kills the guest that runs in a host process: all its processes, should one lend another its memory (vfork(2)). The
/// id and name of the first.
pub(crate) fn out_of_memory(number: u32) -> Option<(i32, [u8; 16])> {
    let mut first = None;
    for process in kernel()?.processes() {
        let threads = process.threads();
        let Some(thread) = threads.iter().find(|t| t.host.process.load(Ordering::Relaxed) == number) else { continue };
        // Refused only for a full queue of real-time signals.
        let _ = process.send_signal(SignalInfo::kernel(SIGKILL));
        first = first.or(Some((process.pid, *thread.name.lock())));
    }
    first
}
