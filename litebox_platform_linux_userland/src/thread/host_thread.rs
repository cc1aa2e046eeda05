//! Guest threads: how they start, end, and are interrupted.

use core::sync::atomic::Ordering;
use core::time::Duration;

use litebox::platform::compat::{Segments, Vdso32};
use litebox::platform::north::{Registers, north};
use litebox::platform::{AlarmClock, HostThread, System, ThreadSpec, Threads, Usage};
use litebox::sync::jitter;
use litebox::{Error, Result};
use litebox_protocol::Op;

use crate::LinuxHost;
use crate::entry::compat;
use crate::entry::trap::{SIGKICK, UserContext};
use crate::host::call::{self, host_call, nr};
use crate::host::clock::Timespec;
use crate::process::table::HostProcess;
use crate::process::usage::Before;
use crate::sandbox::sandbox;
use crate::thread::segments;
use crate::thread::stack::{self, ThreadBlock};

/// Room kept below a frame for the first function of the thread.
const LAUNCH_ROOM: usize = 512;
/// UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS.
const CONTEXT_FLAGS: u64 = 7;

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
    let Some(block) = stack::current() else { fatal("a guest thread started off its stack") };
    // SAFETY: the frame built for this thread.
    let fs = unsafe { core::mem::take(&mut (*context).link) };
    segments::begin(block, fs);
    if block.alive.load(Ordering::Acquire) > 1 {
        block.tid.store(block.alive.load(Ordering::Acquire) as i32, Ordering::Relaxed);
    }
    if block.founds && crate::process::table::tie_to_supervisor().is_err() {
        // Nobody is left to report to.
        crate::process::table::exit(None);
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
    crate::entry::interception::arm()
}

fn set_alternate_stack(slot: u32) -> Result<()> {
    let (low, len) = stack::span(slot);
    let alt = [low, 0, len];
    // SAFETY: the slot's stack is this thread's alone.
    unsafe { host_call!(nr::SIGALTSTACK, alt.as_ptr(), 0) }.map(drop)
}

/// struct sigevent of the host.
#[repr(C)]
struct SigEvent {
    value: u64,
    signal: i32,
    notify: i32,
    tid: i32,
    pad: [i32; 11],
}

const NOTIFY_SIGNAL: i32 = 0;
const NOTIFY_THREAD: i32 = 4;
const CLOCK_MONOTONIC: i32 = 1;
const CLOCK_PROCESS_CPU: i32 = 2;

fn create_timer(clock: i32, notify: i32, tid: i32) -> Result<i32> {
    let event = SigEvent { value: 0, signal: SIGKICK, notify, tid, pad: [0; 11] };
    let mut id = 0i32;
    // SAFETY: the host reads the event and writes the id.
    unsafe { host_call!(nr::TIMER_CREATE, clock, &raw const event, &raw mut id) }?;
    Ok(id)
}

/// What a thread's handle for kicks is once it has left: nobody makes a timer for it any more.
const NO_MORE_KICKS: i32 = -1;

/// The handle for kicks of a thread of the calling process: the id + 1 of a timer that interrupts it, made at the first
/// kick, because most threads are never kicked. Not positive when it has left or when the host has no more timers: it
/// is interrupted at its next call then.
fn kick_timer(thread: &HostThread) -> i32 {
    let known = thread.kick_handle.load(Ordering::Acquire);
    let tid = thread.tid.load(Ordering::Acquire);
    if known != 0 || tid == 0 {
        return known;
    }
    let Ok(id) = create_timer(CLOCK_MONOTONIC, NOTIFY_THREAD, tid) else { return 0 };
    match thread.kick_handle.compare_exchange(0, id + 1, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => id + 1,
        Err(other) => {
            delete_timer(id);
            other
        }
    }
}

/// The thread goes on as another one of the host's: its timer would interrupt the wrong one.
pub(crate) fn forget_kicks(thread: &HostThread) {
    let handle = thread.kick_handle.swap(0, Ordering::AcqRel);
    if handle > 0 {
        delete_timer(handle - 1);
    }
}

fn delete_timer(id: i32) {
    // SAFETY: no pointers.
    let _ = unsafe { host_call!(nr::TIMER_DELETE, id) };
}

/// A timer that interrupts any thread of the calling process.
pub(crate) fn create_process_timer() -> Result<i32> {
    create_timer(CLOCK_MONOTONIC, NOTIFY_SIGNAL, 0)
}

/// Has a timer interrupt now.
pub(crate) fn fire(id: i32) {
    let _ = set_timer(id, false, Duration::from_nanos(1), Duration::ZERO);
}

/// How often an alarm that nobody took repeats itself.
const ALARM_REPEAT: Duration = Duration::from_millis(10);

/// Arms a timer; zero disarms. After the first time it fires every `again`, unless that is zero.
fn set_timer(id: i32, absolute: bool, at: Duration, again: Duration) -> Result<()> {
    let setting = [Timespec::from_duration(again), Timespec::from_duration(at)];
    // SAFETY: the host reads the setting.
    unsafe { host_call!(nr::TIMER_SETTIME, id, usize::from(absolute), setting.as_ptr(), 0) }.map(drop)
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

/// The calling thread gives up its timer and the North's object. Kicks that still hit it go to other threads.
fn retire(block: &mut ThreadBlock) {
    // SAFETY: set by `fill_block`; the thread object lives until it is given back below.
    let host = unsafe { &*block.host };
    let handle = host.kick_handle.swap(NO_MORE_KICKS, Ordering::AcqRel);
    if handle > 0 {
        delete_timer(handle - 1);
    }
    jitter();
    host.alive.store(0, Ordering::Release);
    jitter();
    block.leaving = true;
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
    north().release(block.north);
}

fn enter_first(spec: &ThreadSpec<'_>) -> ! {
    let Some(process) = crate::process::table::find(crate::process::table::FIRST) else {
        fatal("the first process is not known")
    };
    if crate::process::table::tie_to_supervisor().is_err() {
        crate::process::table::exit(None);
    }
    let sp = Founding::prepare(&process, crate::process::supervisor::own_tid()).found(spec);
    drop(process);
    // SAFETY: the stack just made; nothing of this one is used again.
    unsafe { start(sp) }
}

impl Threads for LinuxHost {
    fn spawn_thread(&self, spec: &ThreadSpec<'_>) -> Result<()> {
        // VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, PARENT_SETTID, CHILD_CLEARTID, CHILD_SETTID
        const FLAGS: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x10_0000 | 0x20_0000 | 0x100_0000;
        let Some(home) = stack::current().and_then(|b| b.home()) else { return Err(Error::WouldBlock) };
        let (slot, block) = stack::allocate(home)?;
        let sp = prepare(slot, block, spec);
        let (parent_tid, child_tid) = (block.tid.as_ptr() as usize, block.alive.as_ptr() as usize);
        home.live.fetch_add(1, Ordering::AcqRel);
        // SAFETY: the stack is the new thread's own and holds its first function.
        unsafe { call::clone(FLAGS, sp, parent_tid, child_tid) }.map(drop).map_err(|_| {
            home.live.fetch_sub(1, Ordering::AcqRel);
            stack::give_back(home, slot);
            Error::WouldBlock
        })
    }

    fn spawn_process(&self, spec: &ThreadSpec<'_>) -> Result<()> {
        crate::process::table::spawn(spec)
    }

    fn spawn_program(&self, spec: &ThreadSpec<'_>) -> Result<()> {
        crate::process::zygote::spawn(spec)
    }

    fn began_as_copy(&self) -> bool {
        stack::current().is_some_and(|block| block.founds)
    }

    fn hand_off_thread(&self, parent: &ThreadSpec<'_>, child: &ThreadSpec<'_>) -> Result<()> {
        crate::process::vfork_handoff::hand_off(parent, child)
    }

    fn split_from_vfork_parent(&self) -> Result<()> {
        crate::process::vfork_handoff::split()
    }

    fn enter_first(&self, spec: &ThreadSpec<'_>) -> ! {
        enter_first(spec)
    }

    fn exit_thread(&self) -> ! {
        if let Some(block) = stack::current() {
            let home = block.home();
            retire(block);
            crate::process::vfork_handoff::give_back(block);
            stack::leave(block);
            jitter();
            if let Some(home) = home {
                // From here on the process may end under this thread.
                home.live.fetch_sub(1, Ordering::SeqCst);
                if home.ending.load(Ordering::SeqCst) {
                    litebox::platform::Futex::futex_wake(&LinuxHost, &home.live, 1);
                }
            }
        }
        loop {
            // SAFETY: ends the thread.
            let _ = unsafe { host_call!(nr::EXIT, 0) };
        }
    }

    fn exit_process(&self) -> ! {
        let home = stack::current().and_then(|block| {
            retire(block);
            block.home()
        });
        crate::process::table::exit(home)
    }

    fn end_sandbox(&self, wait_status: i32) -> ! {
        let sandbox = sandbox();
        sandbox.exit_status.store(wait_status, Ordering::Release);
        sandbox.exit_announced.store(true, Ordering::Release);
        let fatal = sandbox.fatal.load(Ordering::Acquire);
        if !(fatal || sandbox.settings.stats || sandbox.settings.console || sandbox.settings.tells) {
            // Nothing is left to be done by the supervisor. Should the broker be gone, everything ends anyway.
            let _ = crate::host::broker::simple(Op::Exit, u64::from(wait_status as u32), &[], None);
        }
        crate::process::table::exit(None)
    }

    fn kick(&self, thread: &HostThread) {
        let own = stack::current().map_or(0, |b| b.process);
        let process = thread.process.load(Ordering::Relaxed);
        if process != own {
            crate::process::table::kick(process);
            return;
        }
        let handle = kick_timer(thread);
        if handle > 0 {
            let _ = set_timer(handle - 1, false, Duration::from_nanos(1), Duration::ZERO);
        }
    }

    fn current_north(&self) -> *const () {
        stack::current().map_or(core::ptr::null(), |b| b.north)
    }

    fn fs_base(&self) -> u64 {
        read_fs()
    }
    fn set_fs_base(&self, base: u64) {
        write_fs(base);
    }
    fn gs_base(&self) -> u64 {
        stack::current().filter(|b| b.segments.is_none()).map_or(0, |b| b.guest_gs)
    }
    fn set_gs_base(&self, base: u64) {
        if let Some(block) = stack::current() {
            block.guest_gs = base;
        }
    }

    fn segments(&self) -> Option<Segments> {
        segments::current(stack::current()?)
    }
    fn set_segments(&self, new: Option<Segments>) {
        if let Some(block) = stack::current() {
            segments::set(block, new);
        }
    }
    fn vdso32(&self) -> Option<Vdso32> {
        let sandbox = sandbox();
        if sandbox.runs_32bit.load(Ordering::Relaxed) {
            return Some(compat::vdso());
        }
        if !sandbox.told_of_32bit.swap(true, Ordering::Relaxed) {
            System::report(&LinuxHost, "this host runs no 32-bit programs (ia32_emulation, or a filter of its own)");
        }
        None
    }

    fn set_alarm(&self, clock: AlarmClock, deadline: Option<Duration>) {
        let process = stack::current().map_or(0, |b| b.process);
        let mut alarms = sandbox().alarms.lock();
        let timers = alarms.entry(process).or_default();
        let (slot, host_clock) = match clock {
            AlarmClock::Monotonic => (&mut timers.0, CLOCK_MONOTONIC),
            AlarmClock::ProcessCpu => (&mut timers.1, CLOCK_PROCESS_CPU),
        };
        let id = match *slot {
            Some(id) => id,
            None => match create_timer(host_clock, NOTIFY_SIGNAL, 0) {
                Ok(id) => *slot.insert(id),
                Err(_) => return,
            },
        };
        let begins = match clock {
            AlarmClock::Monotonic => Duration::ZERO,
            AlarmClock::ProcessCpu => crate::process::usage::process_cpu_before(),
        };
        let at = deadline.map_or(Duration::ZERO, |d| d.saturating_add(begins).max(Duration::from_nanos(1)));
        let _ = set_timer(id, true, at, ALARM_REPEAT);
    }

    fn rseq(&self, addr: usize, len: u32, flags: i32, signature: u32) -> Result<()> {
        const UNREGISTER: i32 = 1;
        let block = stack::current().ok_or(Error::NotSupported)?;
        let home = block.home().ok_or(Error::NotSupported)?;
        let registers = flags == 0 && block.rseq_area == 0;
        if registers {
            home.rseq.insert(addr);
        }
        // SAFETY: the host checks the guest's address and only ever writes that area.
        let result = unsafe { host_call!(nr::RSEQ, addr, len, flags, signature) }.map(drop);
        match result {
            Ok(()) if registers => block.rseq_area = addr,
            Err(_) if registers => home.rseq.remove(addr),
            Ok(()) if flags == UNREGISTER => home.rseq.remove(core::mem::take(&mut block.rseq_area)),
            _ => {}
        }
        result
    }

    fn aux_vector(&self, out: &mut [(u64, u64)]) -> usize {
        let entries = sandbox().aux.iter().filter(|(key, _)| crate::host::system::AUX_FOR_GUESTS.contains(key));
        out.iter_mut().zip(entries).map(|(to, from)| *to = *from).count()
    }

    fn affinity(&self, out: &mut [u8]) -> usize {
        // SAFETY: the host writes at most the buffer's length.
        unsafe { host_call!(nr::SCHED_GETAFFINITY, 0, out.len() & !7, out.as_mut_ptr()) }.unwrap_or(0)
    }

    fn usage(&self, thread_only: bool) -> Usage {
        crate::process::usage::own(thread_only)
    }

    fn current_cpu(&self) -> (u32, u32) {
        // What the vDSO's getcpu does: the limit of this segment holds the node above 12 bits of the processor's
        // number.
        const NODE_SEGMENT: u32 = 0x7b;
        let limit: u32;
        // SAFETY: `lsl` only reads a descriptor; a segment that is not there leaves the register as it was.
        unsafe {
            core::arch::asm!(
                "xor {0:e}, {0:e}",
                "lsl {0:e}, {1:e}",
                out(reg) limit,
                in(reg) NODE_SEGMENT,
                options(nomem, nostack)
            );
        }
        (limit & 0xfff, limit >> 12)
    }

    fn thread_cpu(&self, thread: &HostThread) -> Option<Duration> {
        crate::process::usage::of_thread(thread)
    }

    fn process_cpu(&self, thread: &HostThread) -> Option<(Duration, Duration)> {
        crate::process::table::find(thread.process.load(Ordering::Relaxed))?.cpu()
    }
}

/// Timers of a process's alarms: (monotonic, CPU time), made when first used.
pub(crate) type Alarms = (Option<i32>, Option<i32>);
