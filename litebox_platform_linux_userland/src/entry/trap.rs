//! From a host signal to the North and back.
//!
//! Every host signal of a guest thread arrives on its kernel stack. A guest call (SIGSYS) and a processor exception are
//! served on the register image in the host's signal frame; `rt_sigreturn` then loads it, with whatever the North
//! changed. A signal that hits kernel code is a fault on guest memory (recovered), a kick (noted), or a broken
//! invariant (the end of the sandbox).

use core::sync::atomic::Ordering;
use litebox_common_linux::abi::signal::{SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGPIPE, SIGSEGV, SIGSYS, SIGTRAP, SIGXFSZ};

use litebox::Result;
use litebox::platform::System;
use litebox::platform::compat::CpuMode;
use litebox::platform::north::{Fault, FaultKind, GuestFrame, Registers, north};

use crate::LinuxHost;
use crate::entry::compat;
use crate::entry::fast::{self, FRAME_LAYOUT};
use crate::entry::patch::{self, CodeEvent, TrapOutcome};
use crate::host::call::{host_call, nr, place};
use crate::host::counters::COUNTERS;
use crate::host::thread_block::{MODE_GUEST, MODE_KERNEL, ThreadBlock, current, host_part};
use crate::memory::layout::LAYOUT;
use crate::thread::host_thread::{self, SUPERVISOR_FS};
use crate::thread::{segments, timers};

/// The signal that makes a thread look at its pending work.
pub(crate) const SIGKICK: i32 = 62;
/// Signals that somebody outside, or the host for a limit, may send to a process: SIGHUP, SIGINT, SIGQUIT, SIGUSR1,
/// SIGUSR2, SIGALRM, SIGTERM, SIGXCPU, SIGVTALRM, SIGPROF, SIGIO, SIGPWR. They become its guest's.
const FROM_OUTSIDE: [i32; 12] = [1, 2, 3, 10, 12, 14, 15, 24, 26, 27, 29, 30];
const EFAULT: u64 = 14;
/// `si_code` of what a kernel sends by itself.
const SI_KERNEL: i32 = 0x80;
/// Processor trap number of a page fault, and the bit of its error code that says that an instruction was to be
/// fetched.
const PAGE_FAULT: u64 = 14;
/// That of an instruction that is not allowed.
const GENERAL_PROTECTION: u64 = 13;
const FETCH: u64 = 16;
/// `si_code` of a single step.
const TRAP_TRACE: i32 = 2;

/// The host's `struct ucontext` (x86-64).
#[repr(C)]
pub(crate) struct UserContext {
    pub(crate) flags: u64,
    pub(crate) link: u64,
    pub(crate) stack: [u64; 3],
    pub(crate) regs: Registers,
    pub(crate) segments: u64,
    pub(crate) error: u64,
    pub(crate) trap: u64,
    pub(crate) old_mask: u64,
    pub(crate) cr2: u64,
    pub(crate) fpstate: u64,
    pub(crate) reserved: [u64; 8],
    pub(crate) mask: u64,
}

/// The head of the host's siginfo.
#[repr(C)]
struct SigInfo {
    signo: i32,
    errno: i32,
    code: i32,
    pad: i32,
    addr: u64,
    /// SIGSYS: number (low half) and architecture (high half).
    call: u64,
}

/// The page in which kernels have code for three calls, for static programs of old. The host runs none of them for a
/// guest: its filter raises SIGSYS for a call made there ([`filter`](crate::host::filter)), and has the thread go on
/// where it was called from.
const VSYSCALL: core::ops::Range<u64> = 0xffff_ffff_ff60_0000..0xffff_ffff_ff60_1000;

#[repr(C)]
struct KernelAction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// Makes our entry the handler of every host signal a guest thread can get.
pub(crate) fn install_handlers() -> Result<()> {
    const SIGINFO_ONSTACK_NODEFER_RESTORER: u64 = 0x4 | 0x0800_0000 | 0x4000_0000 | 0x0400_0000;
    let ours = KernelAction {
        handler: place::signal_entry(),
        flags: SIGINFO_ONSTACK_NODEFER_RESTORER,
        restorer: place::restorer(),
        mask: 0,
    };
    let exceptions = [SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGKICK];
    for signal in exceptions.into_iter().chain(FROM_OUTSIDE) {
        set_action(signal, &ours)?;
    }
    // A closed reader is an error of write; guest processes need no reaping.
    let ignore = KernelAction { handler: 1, flags: 0, restorer: 0, mask: 0 };
    set_action(SIGPIPE, &ignore)?;
    // Past RLIMIT_FSIZE writing is an error too.
    set_action(SIGXFSZ, &ignore)?;
    set_action(SIGCHLD, &ignore)?;
    let none = 0u64;
    // SAFETY: reads one mask.
    unsafe { host_call!(nr::RT_SIGPROCMASK, 2, &raw const none, 0, 8) }.map(drop)
}

fn set_action(signal: i32, action: &KernelAction) -> Result<()> {
    // SAFETY: the action is a complete kernel sigaction; its handler follows the host's convention.
    unsafe { host_call!(nr::RT_SIGACTION, signal, core::ptr::from_ref(action), 0, 8) }.map(drop)
}

fn in_kernel_image(rip: usize) -> bool {
    let (start, end) = LAYOUT.image;
    (start..end).contains(&rip)
}

fn fp_of(context: &UserContext) -> Option<&'static mut [u8]> {
    const FX_SW_RESERVED: usize = 464;
    const MAGIC1: u32 = 0x4650_5853;
    const LEGACY: usize = 512;
    const LARGEST: usize = 16 << 10;
    let at = context.fpstate as usize;
    if at == 0 {
        return None;
    }
    // SAFETY: the host wrote an fxsave area of 512 bytes there, on this kernel stack, and its size behind the magic
    // number.
    let len = unsafe {
        let magic = ((at + FX_SW_RESERVED) as *const u32).read();
        let size = ((at + FX_SW_RESERVED + 4) as *const u32).read() as usize;
        if magic == MAGIC1 { size.clamp(LEGACY, LARGEST) } else { LEGACY }
    };
    // SAFETY: as above; the frame is this signal's own.
    Some(unsafe { core::slice::from_raw_parts_mut(at as *mut u8, len) })
}

/// The handler of all host signals. Returns the word that says whether work is pending when guest code continues; null
/// when kernel code does.
#[unsafe(export_name = "litebox_on_signal")]
extern "C" fn on_signal(signal: i32, info: *const (), context: *mut UserContext) -> *const u32 {
    // SAFETY: the host's frame: complete, on this stack, ours until we return.
    let (info, context) = unsafe { (&*info.cast::<SigInfo>(), &mut *context) };
    let rip = context.regs.rip as usize;
    let block = current();
    let mut signal = signal;
    if FROM_OUTSIDE.contains(&signal) {
        // The supervisor, and a process that waits for a program, have no guest who could be meant.
        let Some(home) = block.as_deref().filter(|b| b.has_guest()).and_then(ThreadBlock::home) else {
            return core::ptr::null();
        };
        home.arrived.fetch_or(1 << (signal - 1), Ordering::AcqRel);
        // Its guest hears of it where it looks at its pending work.
        signal = SIGKICK;
    }
    // During a call by the fast entry the mode says "guest" as well; but then the program's own code runs, or the
    // vDSO's for it.
    let in_guest = |b: &ThreadBlock| {
        let may_be = b.has_guest() && !b.leaving && !b.fast.in_vdso;
        may_be && host_part(b).mode.load(Ordering::Relaxed) == MODE_GUEST
    };
    let guest = block.as_deref().is_some_and(in_guest);
    let probe = signal == SIGSEGV && fast::is_probe(rip);
    match block {
        Some(block) if guest && (!in_kernel_image(rip) || probe) => from_guest(signal, info, context, block),
        block => {
            from_kernel(signal, info, context, block);
            core::ptr::null()
        }
    }
}

fn from_guest(signal: i32, info: &SigInfo, context: &mut UserContext, block: &mut ThreadBlock) -> *const u32 {
    host_part(block).mode.store(MODE_KERNEL, Ordering::Relaxed);
    host_thread::enter_kernel_gs(block);
    let fp = fp_of(context);
    let (error, trap) = (context.error, context.trap);
    let mut mode = context.mode();
    let event = match signal {
        SIGSYS => CodeEvent::Call,
        SIGSEGV if fast::leave_probe(&mut context.regs) => CodeEvent::Call,
        SIGSEGV if trap == PAGE_FAULT && error & FETCH != 0 => CodeEvent::Fetch,
        SIGSEGV if trap == PAGE_FAULT => CodeEvent::Memory,
        SIGSEGV if trap == GENERAL_PROTECTION => CodeEvent::Privileged,
        SIGILL => CodeEvent::Invalid,
        SIGTRAP if info.code == TRAP_TRACE => CodeEvent::Step,
        _ => CodeEvent::Other,
    };
    if !is_own_width(mode, block) {
        // Hosts whose frames are not served are those on which it never helps.
        FRAME_LAYOUT.learn(fp.as_deref());
    }
    let look = match signal {
        SIGSEGV if segments::restore_bases(block) => TrapOutcome::GoOn,
        _ => look(event, signal == SIGKICK, &mut context.regs, &mut mode, block),
    };
    let own = is_own_width(mode, block);
    let call32 = signal == SIGSYS && (info.call >> 32) as u32 == compat::ARCH_I386;
    let old_call = signal == SIGSYS && VSYSCALL.contains(&info.addr);
    let of_its_width = call32 == (mode == CpuMode::Compat);
    if own && event == CodeEvent::Call && look == TrapOutcome::Guest && of_its_width && !old_call {
        patch::trapped(&context.regs, fp.as_deref(), block);
    }
    let mut frame = GuestFrame::new(block.north, &mut context.regs, fp).of_mode(mode);
    match signal {
        _ if look == TrapOutcome::GoOn => {}
        _ if call32 || look == TrapOutcome::Call32 => {
            COUNTERS.traps.fetch_add(1, Ordering::Relaxed);
            crate::host::counters::count_host_call();
            north().syscall32(&mut frame);
        }
        _ if event == CodeEvent::Call || look == TrapOutcome::Call => {
            COUNTERS.traps.fetch_add(1, Ordering::Relaxed);
            // The way back is a host call too.
            crate::host::counters::count_host_call();
            north().syscall(&mut frame);
            if old_call && frame.regs.rax == EFAULT.wrapping_neg() {
                // There nobody looks at errors.
                let fault = Fault { kind: FaultKind::Segv, code: SI_KERNEL, addr: 0, error: 0, trap: 0 };
                north().fault(&mut frame, fault);
            }
        }
        SIGKICK => {
            COUNTERS.kicks.fetch_add(1, Ordering::Relaxed);
            waiter_of(block).interrupt();
        }
        _ => {
            COUNTERS.faults.fetch_add(1, Ordering::Relaxed);
            let fault = Fault { kind: fault_kind(signal), code: info.code, addr: info.addr as usize, error, trap };
            north().fault(&mut frame, fault);
        }
    }
    let word = settle(block, &mut frame);
    let mode = frame.mode;
    context.go_on(mode, block);
    word
}

/// Guest code was interrupted: afterwards the registers name an address in code that the guest knows of.
fn look(
    event: CodeEvent,
    kicked: bool,
    regs: &mut Registers,
    mode: &mut CpuMode,
    block: &mut ThreadBlock,
) -> TrapOutcome {
    match compat::look(event, kicked, regs, mode, block) {
        TrapOutcome::Guest if is_own_width(*mode, block) => patch::look(event, *mode, regs, block),
        outcome => outcome,
    }
}

fn fault_kind(signal: i32) -> FaultKind {
    match signal {
        SIGBUS => FaultKind::Bus,
        SIGFPE => FaultKind::Fpe,
        SIGILL => FaultKind::Ill,
        SIGTRAP => FaultKind::Trap,
        _ => FaultKind::Segv,
    }
}

fn waiter_of(block: &ThreadBlock) -> &'static litebox::event::Waiter {
    // SAFETY: as for `host_part`.
    unsafe { &*block.waiter }
}

/// Everything pending is done before guest code continues. Returns the word the exit window checks once more.
fn settle(block: &mut ThreadBlock, frame: &mut GuestFrame<'_>) -> *const u32 {
    let (host, waiter) = (host_part(block), waiter_of(block));
    loop {
        host.mode.store(MODE_GUEST, Ordering::SeqCst);
        if !waiter.interrupted() {
            break;
        }
        host.mode.store(MODE_KERNEL, Ordering::Relaxed);
        if is_own_width(frame.mode, block) {
            // A thread that was to go on at the copy of an instruction: a signal frame shows the instruction.
            patch::look(CodeEvent::Other, frame.mode, frame.regs, block);
        }
        north().kicked(frame);
    }
    if is_own_width(frame.mode, block) {
        patch::go_on(frame.regs, block);
    }
    litebox::sync::jitter();
    host_thread::leave_kernel_gs(block);
    waiter.word()
}

/// The exit window found work pending: back into the kernel with the same frame.
#[unsafe(export_name = "litebox_on_pending")]
extern "C" fn on_pending(context: *mut UserContext) -> *const u32 {
    // SAFETY: the frame that was about to be returned through, on this stack.
    let context = unsafe { &mut *context };
    let Some(block) = current() else { LinuxHost.fatal("guest code entered outside a guest thread") };
    host_part(block).mode.store(MODE_KERNEL, Ordering::Relaxed);
    host_thread::enter_kernel_gs(block);
    let mode = context.mode();
    if is_own_width(mode, block) {
        patch::look(CodeEvent::Other, mode, &mut context.regs, block);
    }
    let fp = fp_of(context);
    let mut frame = GuestFrame::new(block.north, &mut context.regs, fp).of_mode(mode);
    let word = settle(block, &mut frame);
    let mode = frame.mode;
    context.go_on(mode, block);
    word
}

/// Whether it is 64-bit code of a 64-bit program, or 32-bit code of a 32-bit one: what is not is never patched.
fn is_own_width(mode: CpuMode, block: &ThreadBlock) -> bool {
    (mode == CpuMode::Compat) == block.segments.is_some()
}

/// A signal hit kernel code (or the supervisor).
fn from_kernel(signal: i32, info: &SigInfo, context: &mut UserContext, block: Option<&mut ThreadBlock>) {
    let rip = context.regs.rip as usize;
    match signal {
        SIGKICK => kicked_in_kernel(context, block),
        SIGSEGV | SIGBUS => {
            let exit = crate::memory::user::fault_exit(rip).or_else(|| segments::refused_call32(rip));
            if let Some(exit) = exit {
                COUNTERS.faults.fetch_add(1, Ordering::Relaxed);
                context.regs.rip = exit as u64;
            } else if !retry_with_supervisor_fs(block) {
                kernel_fault(signal, info, context);
            }
        }
        // The vDSO falls back to a real call for clocks it cannot read.
        SIGSYS if !in_kernel_image(rip) => serve_vdso_fallback(context),
        _ => kernel_fault(signal, info, context),
    }
}

/// A kick of the whole process hit a thread that is leaving, whose objects may be gone: it is meant for the threads
/// that stay. The host prefers the first thread, and would give it the forwarded kick again and again, each on top of
/// the one before: so it blocks them from here on.
fn forward_from_leaving(context: &mut UserContext, block: &ThreadBlock) {
    context.mask |= 1 << (SIGKICK - 1);
    let Some(home) = block.home() else { return };
    // Who comes in between, on the same stack, leaves it to the one below, whose kicks are blocked then.
    if block.kicks_owed.fetch_add(1, Ordering::SeqCst) > 0 {
        return;
    }
    loop {
        let owed = block.kicks_owed.load(Ordering::SeqCst);
        timers::forward_kick(home);
        if block.kicks_owed.fetch_sub(owed, Ordering::SeqCst) == owed {
            return;
        }
    }
}

fn kicked_in_kernel(context: &mut UserContext, block: Option<&mut ThreadBlock>) {
    // A process that waits for a program may be kicked for the one that it had before, or is about to have: that one
    // looks at its waiter before it runs.
    let Some(block) = block.filter(|b| b.has_guest()) else { return };
    if block.leaving {
        forward_from_leaving(context, block);
        return;
    }
    waiter_of(block).interrupt();
    let rip = context.regs.rip as usize;
    if (place::call_window_start()..place::call_window_end()).contains(&rip) {
        context.regs.rip = place::call_interrupted() as u64;
    } else if (place::exit_window_start()..place::exit_window_end()).contains(&rip) {
        context.regs.rip = place::exit_window_start() as u64;
    } else if let Some(start) = fast::window_start(rip) {
        context.regs.rip = start as u64;
    }
}

/// A panic in kernel code runs std's machinery, which reads thread-locals through FS; FS is the guest's. The first
/// fault of that kind switches to the supervisor's FS, so that the report gets out.
fn retry_with_supervisor_fs(block: Option<&mut ThreadBlock>) -> bool {
    let Some(block) = block else { return false };
    if block.fault_retried {
        return false;
    }
    block.fault_retried = true;
    host_thread::write_fs(*SUPERVISOR_FS);
    true
}

fn kernel_fault(signal: i32, info: &SigInfo, context: &UserContext) -> ! {
    let mut line = crate::host::system::Line::new();
    let image = LAYOUT.image.0 as u64;
    let _ = core::fmt::Write::write_fmt(
        &mut line,
        format_args!(
            "the sandbox's kernel failed: signal {signal} (code {}) at image+{:#x}, address {:#x}, rsp {:#x}",
            info.code,
            context.regs.rip.wrapping_sub(image),
            info.addr,
            context.regs.rsp
        ),
    );
    LinuxHost.fatal(line.as_str())
}

fn serve_vdso_fallback(context: &mut UserContext) {
    let r = &mut context.regs;
    // SAFETY: kernel code called the vDSO with pointers to its own memory; only clock_gettime is ever called.
    let result = unsafe { crate::host::call::raw(nr::CLOCK_GETTIME, [r.rdi as usize, r.rsi as usize, 0, 0, 0, 0]) };
    r.rax = result as u64;
}
