//! `PR_SET_SYSCALL_USER_DISPATCH`: calls that a thread's own SIGSYS handler serves, but for those of a range of code.

use core::sync::atomic::{AtomicU64, Ordering};

use litebox::platform::host;
use litebox::{Error, Result};
use litebox_common_linux::Arch;
use litebox_common_linux::seccomp::audit_arch;

use crate::Task;
use crate::signal::SignalInfo;
use crate::signal::set::{SIGSEGV, SIGSYS};
use crate::task::SyscallWork;
use crate::user::read_bytes;

/// `SYS_USER_DISPATCH`, the code of SIGSYS.
const SIGSYS_OF_DISPATCH: i32 = 2;
const OFF: u64 = 0;
/// All calls but those of the range.
const EXCLUSIVE: u64 = 1;
/// The calls of the range alone.
const INCLUSIVE: u64 = 2;
/// No program's memory reaches this address.
const MEMORY_END: u64 = (1 << 47) - 4096;
const ALLOW: u8 = 0;
const BLOCK: u8 = 1;

/// Which calls of a thread are left to it. The thread alone sets and reads it; forks and new programs have none.
#[derive(Default)]
pub(crate) struct UserDispatch {
    /// Calls made from this address on are made.
    start: AtomicU64,
    len: AtomicU64,
    /// Where a byte says whether the others are; 0: they never are.
    selector: AtomicU64,
}

impl UserDispatch {
    fn set(&self, start: u64, len: u64, selector: u64) {
        for (to, value) in [(&self.start, start), (&self.len, len), (&self.selector, selector)] {
            to.store(value, Ordering::Relaxed);
        }
    }
    fn passes(&self, instruction: u64) -> bool {
        let (start, len) = (self.start.load(Ordering::Relaxed), self.len.load(Ordering::Relaxed));
        instruction.wrapping_sub(start) < len
    }
}

impl Task<'_, '_> {
    /// `PR_SET_SYSCALL_USER_DISPATCH`
    pub(super) fn set_user_dispatch(&self, mode: u64, start: u64, len: u64, selector: u64) -> Result<usize> {
        let wraps = start.wrapping_add(len) <= start;
        let (from, size) = match mode {
            OFF if (start, len, selector) == (0, 0, 0) => {
                self.forget_user_dispatch();
                return Ok(0);
            }
            EXCLUSIVE if start == 0 || !wraps => (start, len),
            INCLUSIVE if len != 0 && !wraps => (start.wrapping_add(len), len.wrapping_neg()),
            _ => return Err(Error::Invalid),
        };
        if selector >= MEMORY_END {
            return Err(Error::Fault);
        }
        self.thread.user_dispatch.set(from, size, selector);
        self.thread.add_syscall_work(SyscallWork::USER_DISPATCH);
        Ok(0)
    }

    /// All calls are made again.
    pub(crate) fn forget_user_dispatch(&self) {
        if self.thread.syscall_work().contains(SyscallWork::USER_DISPATCH) {
            self.thread.remove_syscall_work(SyscallWork::USER_DISPATCH);
            let _ = self.thread.fast_syscalls();
        }
    }

    /// Whether a call is left to the thread, which then has SIGSYS to take, its registers as they are.
    #[cold]
    pub(crate) fn is_left_to_user(&mut self, number: u32) -> bool {
        let (arch, instruction) = (self.abi(), self.frame.regs.rip);
        let dispatch = &self.thread.user_dispatch;
        if dispatch.passes(instruction) || arch == Arch::X86 && ends_handler(instruction) {
            return false;
        }
        match dispatch.selector.load(Ordering::Relaxed) {
            0 => {}
            selector => match read_bytes(selector) {
                Err(_) => self.die_of(SIGSEGV),
                Ok([ALLOW]) => return false,
                Ok([BLOCK]) => {}
                Ok(_) => self.die_of(SIGSYS),
            },
        }
        let mut info = SignalInfo::fault(SIGSYS, SIGSYS_OF_DISPATCH, instruction);
        info.fields[8..12].copy_from_slice(&number.to_le_bytes());
        info.fields[12..16].copy_from_slice(&audit_arch(arch).to_le_bytes());
        self.force(info);
        true
    }
}

/// Whether the call before `instruction` is the end of a signal handler in a 32-bit program's vDSO: it is always made.
fn ends_handler(instruction: u64) -> bool {
    /// `pop %eax; mov $119, %eax; int $0x80`, and the same without the `pop`.
    const SIGRETURN_LEN: u64 = 8;
    const RT_SIGRETURN_LEN: u64 = 7;
    let Some((vdso, segments)) = host().vdso32().zip(host().segments()) else { return false };
    let at = instruction.wrapping_sub(u64::from(segments.vdso));
    at == u64::from(vdso.sigreturn) + SIGRETURN_LEN || at == u64::from(vdso.rt_sigreturn) + RT_SIGRETURN_LEN
}
