//! Frames, masks and restarts on the mock host.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU32;

use litebox::Error;
use litebox::fs::{EmptyRoot, FdTable, FsContext, MountFlags};
use litebox::platform::north::{GuestFrame, Registers};
use litebox::sync::RwLock;
use litebox_common_linux::abi::signal::MaskHow;
use litebox_common_linux::argument::{Arch, UserMut, UserRef};

use super::set::{SIGTERM, SIGUSR1, SIGUSR2};
use super::{Action, RestartPolicy, SigSet};
use crate::task::{CloneShares, Credentials, KernelConfig, ProcessSpec};
use crate::{Kernel, Process, Task, Thread};

const RESTORER: u64 = 0x0400_0000;
const RESTART: u64 = 0x1000_0000;

fn thread() -> Arc<Thread> {
    let arena = litebox::mm::arena::Arena::new();
    let kernel = Kernel::new(KernelConfig::default(), None, arena.clone(), Arc::new(EmptyRoot), MountFlags::empty());
    let root = kernel.vfs.root();
    let fs = FsContext { root: RwLock::new(root.clone()), cwd: RwLock::new(root), umask: AtomicU32::new(0) };
    let process = Process::new(ProcessSpec {
        pid: 1,
        parent: 0,
        container: kernel.sandbox.clone(),
        kernel,
        mm: crate::mm::MemoryMap::new(&arena),
        credentials: Credentials::default(),
        image: crate::loader::ImageInfo::default(),
        limits: crate::syscalls::limits::Limits::default(),
    });
    let thread = Thread::new(&process, 1, [0; 16], CloneShares::own(FdTable::new(), Arc::new(fs)));
    assert!(process.add_thread(&thread));
    thread
}

/// A guest stack and its registers; `fp` as the host hands it over.
fn guest(stack: &mut [u8]) -> (Registers, Vec<u8>) {
    let rsp = stack.as_ptr() as u64 + stack.len() as u64 - 64;
    let regs = Registers { rsp, rip: 0x40_1002, rax: 23, rbx: 5, r15: 9, eflags: 0x202, ..Registers::default() };
    let mut fp = vec![7u8; 836];
    fp[464..512].fill(0);
    fp[464..468].copy_from_slice(&0x4650_5853u32.to_le_bytes());
    fp[468..472].copy_from_slice(&836u32.to_le_bytes());
    fp[472..480].copy_from_slice(&7u64.to_le_bytes());
    fp[480..484].copy_from_slice(&832u32.to_le_bytes());
    fp[512..576].fill(0);
    fp[512] = 7;
    fp[24..32].copy_from_slice(&0xffff_0000_1f80u64.to_le_bytes());
    fp[28..32].copy_from_slice(&0xffffu32.to_le_bytes());
    fp[832..].copy_from_slice(&0x4650_5845u32.to_le_bytes());
    (regs, fp)
}

fn action(flags: u64) -> Action {
    Action { handler: 0x40_5000, flags: RESTORER | flags, restorer: 0x40_6000, mask: SigSet::of(SIGTERM) }
}

#[test]
fn a_handler_runs_on_a_linux_frame_and_sigreturn_restores_everything() {
    let thread = thread();
    let mut stack = vec![0u8; 16384];
    let (mut regs, mut fp) = guest(&mut stack);
    let (before, fp_before) = (regs, fp.clone());
    let mut task = Task {
        thread: &thread,
        frame: &mut GuestFrame::new(core::ptr::null(), &mut regs, Some(&mut fp)),
        arch: Arch::X86_64,
    };
    task.process().set_signal_action(SIGUSR1, action(0));
    task.send_self(SIGUSR1);
    assert!(task.waiter().interrupted());
    task.run_pending_work();
    let r = *task.frame.regs;
    assert_eq!((r.rip, r.rdi, r.rax), (0x40_5000, 10, 0));
    assert_eq!(r.rsp % 16, 8);
    assert_eq!((r.rdx - r.rsp, r.rsi - r.rsp), (8, 312));
    assert!(before.rsp - r.rsp >= 128 + 836 + 440);
    let at = |offset: u64| crate::user::read_u64(r.rsp + offset).ok();
    assert_eq!((at(0), at(8)), (Some(0x40_6000), Some(7)));
    let fpstate = at(8 + 40 + 184);
    assert_eq!(fpstate.map(|p| p % 64), Some(0));
    assert_eq!(thread.signals.blocked(), SigSet::of(SIGUSR1).union(SigSet::of(SIGTERM)));
    assert_eq!(task.frame.fp().map(|fp| fp[512]), Some(0));
    // `ret` of the handler takes the return address off.
    task.frame.regs.rsp += 8;
    task.frame.regs.rbx = 77;
    assert!(task.rt_sigreturn().is_ok());
    assert_eq!(*task.frame.regs, before);
    assert_eq!(thread.signals.blocked(), SigSet(0));
    assert_eq!(fp, fp_before);
}

#[test]
fn an_interrupted_call_restarts_or_fails_by_the_handler() {
    for (flags, policy, rax, rip) in [
        (RESTART, RestartPolicy::Sys, 35, 0x40_1000),
        (0, RestartPolicy::Sys, 4u64.wrapping_neg(), 0x40_1002),
        (RESTART, RestartPolicy::NoHandler, 4u64.wrapping_neg(), 0x40_1002),
        (0, RestartPolicy::Always, 35, 0x40_1000),
    ] {
        let thread = thread();
        let mut stack = vec![0u8; 16384];
        let (mut regs, _) = guest(&mut stack);
        let mut task = Task {
            thread: &thread,
            frame: &mut GuestFrame::new(core::ptr::null(), &mut regs, None),
            arch: Arch::X86_64,
        };
        task.process().set_signal_action(SIGUSR2, action(flags));
        assert_eq!(task.interrupted_call(policy, 35), Error::Interrupted);
        task.send_self(SIGUSR2);
        task.run_pending_work();
        task.frame.regs.rsp += 8;
        assert!(task.rt_sigreturn().is_ok());
        assert_eq!((task.frame.regs.rax, task.frame.regs.rip), (rax, rip));
    }
}

#[test]
fn blocked_signals_wait_and_sigtimedwait_takes_them() {
    let thread = thread();
    let mut stack = vec![0u8; 16384];
    let (mut regs, _) = guest(&mut stack);
    let mut task =
        Task { thread: &thread, frame: &mut GuestFrame::new(core::ptr::null(), &mut regs, None), arch: Arch::X86_64 };
    let set = SigSet::of(SIGUSR1).0;
    assert_eq!(
        task.rt_sigprocmask(
            MaskHow::SIG_BLOCK,
            UserRef::new(Arch::X86_64, &raw const set as usize),
            UserMut::null(),
            8
        ),
        Ok(0)
    );
    assert_eq!(task.tgkill(1, 1, SIGUSR1), Ok(0));
    assert_eq!(task.kill(1, 65), Err(Error::Invalid));
    assert_eq!(task.kill(99, 0), Err(Error::NoProcess));
    let zero = [0u64; 2];
    let wait = |task: &mut Task<'_, '_>| {
        let timeout = UserRef::new(Arch::X86_64, zero.as_ptr() as usize);
        task.rt_sigtimedwait(UserRef::new(Arch::X86_64, &raw const set as usize), UserMut::null(), timeout, 8)
    };
    assert_eq!(wait(&mut task), Ok(10));
    assert_eq!(wait(&mut task), Err(Error::WouldBlock));
}
