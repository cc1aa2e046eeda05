//! Guest threads: how they start, end, and are interrupted.

use core::sync::atomic::Ordering;

use litebox::Result;
use litebox::platform::north::Registers;
use litebox::platform::{System, ThreadSpec};

use crate::LinuxHost;
use crate::entry::trap::UserContext;
use crate::host::call::{self, host_call, nr};
use crate::host::counters::note_peak_memory;
use crate::host::published::Published;
use crate::host::thread_block::{ThreadBlock, current};
use crate::host::usage::Before;
use crate::thread::host_process::{self, HostProcess, exit_group};
use crate::thread::{segments, stack};

/// Room kept below a frame for the first function of the thread.
const LAUNCH_ROOM: usize = 512;
/// UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS.
const CONTEXT_FLAGS: u64 = 7;

/// FS base of the supervisor: kernel code that panics needs it.
pub(crate) static SUPERVISOR_FS: Published<u64> = Published::nothing();

/// Reads the FS base.
pub(crate) fn read_fs() -> u64 {
    let base: u64;
    // SAFETY: FSGSBASE was checked at start; reading changes nothing.
    unsafe { core::arch::asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}

/// Sets the FS base: kernel code does not use FS.
pub(crate) fn write_fs(base: u64) {
    // SAFETY: kernel code touches nothing through FS; the base is canonical (checked by the North).
    unsafe { core::arch::asm!("wrfsbase {}", in(reg) base, options(nomem, nostack, preserves_flags)) };
}

pub(crate) fn read_gs() -> u64 {
    let base: u64;
    // SAFETY: as for FS.
    unsafe { core::arch::asm!("rdgsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}

pub(crate) fn write_gs(base: u64) {
    // SAFETY: as for FS.
    unsafe { core::arch::asm!("wrgsbase {}", in(reg) base, options(nomem, nostack, preserves_flags)) };
}

/// GS leads to the thread's block while the kernel runs, and while guest code runs that never set its own. In a 32-bit
/// program's thread it is the guest's alone.
pub(crate) fn enter_kernel_gs(block: &mut ThreadBlock) {
    let gs = read_gs();
    if gs != block.this as u64 && block.segments.is_none() {
        block.guest_gs = gs;
        write_gs(block.this as u64);
    }
}

/// Gives the guest the GS base it set, if it set one.
pub(crate) fn leave_kernel_gs(block: &mut ThreadBlock) {
    if block.guest_gs != 0 {
        match block.segments {
            None => write_gs(block.guest_gs),
            Some(_) => segments::load_pending(block),
        }
    }
}

/// A signal frame made by hand on a new kernel stack.
struct Frame {
    /// Address of its ucontext; the return address lies below.
    context: usize,
}

impl Frame {
    fn build(slot: u32, regs: &Registers, fp: Option<&[u8]>) -> Self {
        let (low, len) = stack::span(slot);
        let fp_len = fp.map_or(0, <[u8]>::len);
        let fp_at = (low + len - fp_len) & !63;
        let context = (fp_at - size_of::<UserContext>() - 64) & !15;
        let frame = UserContext {
            flags: CONTEXT_FLAGS,
            link: 0,
            stack: [low as u64, 0, len as u64],
            regs: *regs,
            segments: 0,
            error: 0,
            trap: 0,
            old_mask: 0,
            cr2: 0,
            fpstate: if fp_len == 0 { 0 } else { fp_at as u64 },
            reserved: [0; 8],
            mask: 0,
        };
        // SAFETY: both areas lie in the slot's stack, which nobody uses yet; `fp_len` is at most a few pages (a frame's
        // own area).
        unsafe {
            if let Some(fp) = fp {
                core::ptr::copy_nonoverlapping(fp.as_ptr(), fp_at as *mut u8, fp_len);
            }
            (context as *mut UserContext).write(frame);
        }
        Self { context }
    }

    /// Puts the first function and its argument below the frame; returns the stack pointer to start with.
    fn launch_pad(&self) -> usize {
        let sp = (self.context - LAUNCH_ROOM) & !15;
        // SAFETY: below the frame in the same unused stack.
        unsafe {
            (sp as *mut usize).write(thread_main as *const () as usize);
            (sp as *mut usize).add(1).write(self.context);
        }
        sp
    }
}

pub(crate) fn fill_block(block: &mut ThreadBlock, spec: &ThreadSpec<'_>) {
    block.north = spec.north;
    block.host = spec.host;
    block.waiter = spec.waiter;
    block.fast_syscalls = spec.fast_syscalls;
    block.guest_gs = spec.gs_base;
    segments::prepare(block, spec.segments);
    spec.host.cpu_before.store(u64::try_from(block.before.cpu.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    spec.host.process.store(block.process, Ordering::Relaxed);
    spec.host.alive.store(1, Ordering::Relaxed);
}

/// First code of a guest thread, on its kernel stack, whatever FS is. The FS base of the guest was put into `link` by
/// whoever built the frame.
extern "C" fn thread_main(context: *mut UserContext) -> ! {
    let Some(block) = current() else { fatal("a guest thread started off its stack") };
    // SAFETY: the frame built for this thread.
    let fs = unsafe { core::mem::take(&mut (*context).link) };
    segments::begin(block, fs);
    if block.alive.load(Ordering::Acquire) > 1 {
        block.tid.store(block.alive.load(Ordering::Acquire) as i32, Ordering::Relaxed);
    }
    let founded = block.home().filter(|_| block.founds);
    if founded.is_some_and(|process| host_process::begin(process).is_err()) {
        // Nobody is left to report to.
        note_peak_memory();
        exit_group();
    }
    if !block.armed && arm(block.slot).is_err() {
        fatal("the host refused a guest thread its signal stack or interception");
    }
    block.armed = true;
    if let Some(home) = block.home().filter(|_| block.founds) {
        home.reachable.store(true, Ordering::SeqCst);
    }
    // SAFETY: set by `fill_block`.
    let host = unsafe { &*block.host };
    host.tid.store(block.tid.load(Ordering::Relaxed), Ordering::Release);
    if let Some(home) = block.home() {
        home.founded_by(block.tid.load(Ordering::Relaxed));
    }
    // SAFETY: the frame is complete, its return address is the word below the context.
    unsafe { call::start_guest(context as usize, context as usize - 8) }
}

pub(crate) fn fatal(reason: &str) -> ! {
    System::fatal(&LinuxHost, reason)
}

/// Gives the calling thread its stack for signals, and has its calls intercepted.
fn arm(slot: u32) -> Result<()> {
    set_alternate_stack(slot)?;
    crate::host::interception::arm()
}

fn set_alternate_stack(slot: u32) -> Result<()> {
    let (low, len) = stack::span(slot);
    let alt = [low, 0, len];
    // SAFETY: the slot's stack is this thread's alone.
    unsafe { host_call!(nr::SIGALTSTACK, alt.as_ptr(), 0) }.map(drop)
}

/// Makes the stack of a new thread; returns the stack pointer to start with.
pub(crate) fn prepare(slot: u32, block: &mut ThreadBlock, spec: &ThreadSpec<'_>) -> usize {
    fill_block(block, spec);
    let frame = Frame::build(slot, spec.regs, spec.fp);
    // SAFETY: the frame just built.
    let context = unsafe { &mut *(frame.context as *mut UserContext) };
    context.link = spec.fs_base;
    context.go_on(spec.mode, block);
    frame.launch_pad()
}

/// The first thread of the calling process, a fresh clone of the supervisor that is still on a copy of its stack: the
/// kernel stack it will have, and interception, which nothing of the kernel's own code notices.
pub(crate) struct Founding {
    slot: u32,
    block: &'static mut ThreadBlock,
}

impl Founding {
    /// Everything that needs no task.
    pub(crate) fn prepare(process: &HostProcess, tid: i32) -> Self {
        let Ok((slot, block)) = stack::allocate(process) else { fatal("no memory for the first kernel stack") };
        block.tid.store(tid, Ordering::Relaxed);
        (block.first, block.armed) = (true, arm(slot).is_ok());
        Self { slot, block }
    }

    /// The calling thread, the only one of its process and done with its guest, keeps the stack it is on.
    pub(crate) fn again(block: &'static mut ThreadBlock) -> Self {
        (block.founds, block.armed, block.fault_retried) = (false, true, false);
        block.kicks_owed.store(0, Ordering::Relaxed);
        crate::entry::fast::prepare(block);
        Self { slot: block.slot, block }
    }

    /// What it used until now was not for the guest that comes.
    pub(crate) fn begin_anew(&mut self) {
        self.block.before = Before::of_thread();
    }

    /// The stack pointer to start with.
    pub(crate) fn found(self, spec: &ThreadSpec<'_>) -> usize {
        let sp = prepare(self.slot, self.block, spec);
        // Kicks concern the new guest from here on.
        core::sync::atomic::compiler_fence(Ordering::SeqCst);
        self.block.leaving = false;
        sp
    }
}

/// Leaves the calling stack for good.
///
/// # Safety
/// `sp` comes from [`Founding::found`], and nothing of the calling stack is used again.
pub(crate) unsafe fn start(sp: usize) -> ! {
    // SAFETY: `sp` holds the function and its argument.
    unsafe {
        core::arch::asm!("mov rsp, {sp}", "xor ebp, ebp", "pop rax", "pop rdi", "call rax", "ud2", sp = in(reg) sp, options(noreturn))
    }
}
