//! How guest system calls are caught: Syscall User Dispatch, or seccomp's RET_TRAP where the host has none.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::host::call::{host_call, nr, place};
use crate::host::published::Published;
use crate::host::start_error::StartError;

/// The second filter catches guest calls.
pub(crate) static BY_SECCOMP: Published<AtomicBool> = Published::nothing();

/// Notes that it does.
pub(crate) fn use_seccomp() {
    BY_SECCOMP.store(true, Ordering::Release);
}

/// A way of catching guest calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interception {
    /// Syscall User Dispatch if the host has it, else seccomp.
    Auto,
    /// Syscall User Dispatch (Linux 5.11).
    Sud,
    /// A seccomp filter that traps every call made outside the gadget.
    Seccomp,
}

const PR_SET_SYSCALL_USER_DISPATCH: usize = 59;
const DISPATCH_ON: usize = 1;

/// Arms interception for the calling thread: from now on every `syscall` outside the gadget raises SIGSYS.
pub(crate) fn arm() -> litebox::Result<()> {
    if BY_SECCOMP.load(Ordering::Acquire) {
        return Ok(());
    }
    let start = place::gadget_start();
    let len = place::gadget_end() - start;
    // SAFETY: no pointer is followed (no selector byte).
    unsafe { host_call!(nr::PRCTL, PR_SET_SYSCALL_USER_DISPATCH, DISPATCH_ON, start, len, 0) }.map(drop)
}

/// Whether the host offers Syscall User Dispatch: asks for an impossible range, which only a host that knows the
/// request refuses by its arguments.
pub(crate) fn sud_available() -> bool {
    let start = place::gadget_start();
    let len = place::gadget_end() - start;
    // SAFETY: armed for the gadget and switched off at once.
    unsafe {
        let on = host_call!(nr::PRCTL, PR_SET_SYSCALL_USER_DISPATCH, DISPATCH_ON, start, len, 0).is_ok();
        if on {
            let _ = host_call!(nr::PRCTL, PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0);
        }
        on
    }
}

/// Checks that the way asked for exists.
pub(crate) fn probe(wanted: Interception) -> Result<(), StartError> {
    if wanted == Interception::Sud && !sud_available() {
        return Err(StartError { what: "Syscall User Dispatch (Linux 5.11)", error: litebox::Error::NotImplemented });
    }
    Ok(())
}
