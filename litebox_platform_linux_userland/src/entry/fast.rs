//! The fast entry: from a trampoline into the kernel and back without the host.
//!
//! A trampoline comes here with `r11` at its [`Header`]; `rcx` and `r11` are the only registers that a `syscall` gives
//! up, and the flags are still the guest's. So the check that GS leads to a [`ThreadBlock`] uses instructions that
//! leave the flags alone. A thread whose GS base is its own makes a real call in the trampoline, which traps.
//!
//! A call that one word answers ([`FastSyscalls`]) is answered here: nothing but general registers and flags was
//! touched. For all others the registers go into the [`UserContext`] of a host signal frame below the block, the vector
//! registers into its xsave area above. Most calls return by loading what they changed. When somebody asked for the
//! floating-point state ([`GuestFrame::fp`]), everything is loaded, by `xrstor`; the trap flag, a GS base of the guest
//! and an address that is no program's need the host's `rt_sigreturn`.
//!
//! The last look at the waiter and everything after it lies in a window whose instructions only load: a kick that hits
//! the window goes back to its start, so none is lost. `HostThread::mode` stays
//! [`MODE_GUEST`](crate::entry::trap::MODE_GUEST) all the time, so every interruption of a thread in a call kicks it,
//! but for one that sleeps.

mod clock;
mod compat;
mod frame;
mod vectors;

use core::mem::offset_of;
use litebox::platform::UserAccess;
use litebox::platform::compat::CpuMode;
use litebox::platform::north::{GuestFrame, Registers, north};
use litebox_syscall_rewriter::Header;

use crate::LinuxHost;
use crate::entry::compat::segments_of;
use crate::entry::trap::UserContext;
use crate::host::clock::{CLOCK, VdsoClock};
use crate::host::thread_block::ThreadBlock;
use crate::thread::stack;

pub(crate) use frame::FRAME_ROOM;
use frame::{
    BY_HOST, CONTEXT, FP, PLAIN_FLAGS, QUICK, REGS, TRAP_FLAG, USER_ADDRESS_BITS, WHOLE, entry_code, place, registers,
    vectors,
};
use vectors::save_state;
pub(crate) use vectors::{FRAME_LAYOUT, FrameLayout};

/// What a block's `mark` holds; as a sign-extended 32-bit number, so that it can be subtracted without touching the
/// flags.
const MARK: u64 = 0x5b1c_e4d5;
/// Those that hold arguments, but for `rax`: a call of the kernel changes them.
macro_rules! arguments {
    ($way:tt) => {
        registers!("gs:[" $way "rdi" "RDI" "rsi" "RSI" "rdx" "RDX" "r10" "R10" "r8" "R8" "r9" "R9")
    };
}

/// Those that a call of the kernel leaves as they are. They are saved for whoever looks at the context.
macro_rules! kept {
    ($way:tt) => {
        registers!("gs:[" $way "rbx" "RBX" "rbp" "RBP" "r12" "R12" "r13" "R13" "r14" "R14" "r15" "R15")
    };
}

/// The way to the guest from here on: what the call changed on purpose, the stack, and where it goes on.
macro_rules! leave {
    () => {
        concat!(registers!("gs:[" load "rcx" "RCX" "r11" "R11" "rax" "RAX" "rsp" "RSP"), "jmp qword ptr gs:[{RESUME}]")
    };
}

/// Moves the vector registers to (`save`) or from (`load`) their places.
macro_rules! all_vectors {
    ($way:tt) => {
        vectors!("gs:[" $way "0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11" "12" "13" "14" "15")
    };
}

entry_code!(
    ".section .text.litebox_fast, \"ax\", @progbits",
    ".balign 64",
    ".globl litebox_fast_entry",
    ".type litebox_fast_entry, @function",
    "litebox_fast_entry:",
    ".globl litebox_fast_probe",
    "litebox_fast_probe:",
    "mov rcx, gs:[{MARK_AT}]",
    "lea rcx, [rcx - {MARK}]",
    "jrcxz 2f",
    // Not ours: the trampoline's own call.
    "lea r11, [r11 + {HEADER}]",
    "jmp r11",
    "2:",
    "mov gs:[{RSP}], rsp",
    "mov rsp, gs:[0]",
    // The context lies outside of the signal stack, which is empty now: a host signal begins at its top.
    "lea rsp, [rsp + {FLAGS_END}]",
    "pushfq",
    "lea rsp, [rsp + {STACK_FROM_FLAGS}]",
    registers!("gs:[" save "rax" "RAX"),
    arguments!(save),
    "mov rcx, [r11 + {NEXT}]",
    "mov rdx, [r11 + {RESUME_AT}]",
    "add rcx, r11",
    "add rdx, r11",
    "mov r8, gs:[{EFLAGS}]",
    "mov gs:[{RIP}], rcx",
    "mov gs:[{RCX}], rcx",
    "mov gs:[{RESUME}], rdx",
    "mov gs:[{R11}], r8",
    kept!(save),
    // Alignment check, nested task, direction and the like: not for the kernel.
    "test r8d, {RARE_FLAGS}",
    "jnz 9f",
    // Does a word answer it? Nothing but the flags has changed then.
    "mov r8, gs:[{FAST_SYSCALLS}]",
    "mov ecx, eax",
    "and ecx, {LAST_SLOT}",
    "shl ecx, 4",
    "lea rdx, [r8 + rcx + {FIRST_SLOT}]",
    "cmp eax, [rdx]",
    "jne 3f",
    "inc qword ptr [r8]",
    "mov rcx, [rdx + {WORD}]",
    "mov edx, [rdx + {TAKEN}]",
    "test edx, edx",
    "jnz 6f",
    "mov eax, [rcx]",
    "mov gs:[{RAX}], rax",
    "jmp litebox_quick_window_start",
    "6:",
    "and edx, edi",
    "xchg [rcx], edx",
    "mov gs:[{RAX}], rdx",
    "jmp litebox_quick_window_start",
    "3:",
    all_vectors!(save),
    "mov rdi, gs:[0]",
    "call {fast_call}",
    "4:",
    "test eax, eax",
    "jnz 5f",
    all_vectors!(load),
    // Vector registers are the guest's here.
    ".globl litebox_quick_window_start",
    "litebox_quick_window_start:",
    "mov rcx, gs:[{WAITER}]",
    "cmp dword ptr [rcx], 0",
    "jl 8f",
    // The flags: overflow by an addition, the others from ah.
    "mov eax, gs:[{EFLAGS}]",
    "mov ecx, eax",
    "shr ecx, 11",
    "and ecx, 1",
    "shl eax, 8",
    "mov al, cl",
    "add al, 0x7f",
    "sahf",
    arguments!(load),
    leave!(),
    ".globl litebox_quick_window_end",
    "litebox_quick_window_end:",
    "ud2",
    // Everything is loaded.
    "5:",
    "cmp eax, {WHOLE}",
    "jne 7f",
    "mov rcx, gs:[0]",
    "mov eax, gs:[{FEATURES}]",
    "mov edx, gs:[{FEATURES} + 4]",
    "xrstor64 [rcx + {FP}]",
    ".globl litebox_whole_window_start",
    "litebox_whole_window_start:",
    "mov rcx, gs:[{WAITER}]",
    "cmp dword ptr [rcx], 0",
    "jl 8f",
    "mov rsp, gs:[0]",
    "lea rsp, [rsp + {EFLAGS}]",
    "popfq",
    kept!(load),
    arguments!(load),
    leave!(),
    ".globl litebox_whole_window_end",
    "litebox_whole_window_end:",
    "ud2",
    // The host does it: the context is that of a complete signal frame.
    "7:",
    "mov rdi, gs:[0]",
    "lea rdi, [rdi + {CONTEXT}]",
    "lea rsi, [rdi - 8]",
    "jmp litebox_start_guest",
    // Work came in after the last look. Guest flags and stack may be loaded already; vector registers are, and a word's
    // answer never saved them.
    "8:",
    "mov rsp, gs:[0]",
    "lea rsp, [rsp + {STACK}]",
    "push 0x202",
    "popfq",
    all_vectors!(save),
    "mov rdi, gs:[0]",
    "call {fast_pending}",
    "jmp 4b",
    "9:",
    "push 0x202",
    "popfq",
    "jmp 3b",
    ".size litebox_fast_entry, . - litebox_fast_entry",
    ".text",
    MARK = const MARK as i32,
    MARK_AT = const frame::MARK_AT,
    RESUME = const frame::RESUME,
    HEADER = const size_of::<Header>(),
    NEXT = const offset_of!(Header, next),
    RESUME_AT = const offset_of!(Header, resume),
    STACK_FROM_FLAGS = const frame::STACK - place!(eflags),
    R8 = const place!(r8),
    R9 = const place!(r9),
    R10 = const place!(r10),
    R11 = const place!(r11),
    R12 = const place!(r12),
    R13 = const place!(r13),
    R14 = const place!(r14),
    R15 = const place!(r15),
    fast_call = sym fast_call,
    fast_pending = sym fast_pending,
);

unsafe extern "C" {
    static litebox_fast_entry: u8;
    static litebox_fast_probe: u8;
    static litebox_quick_window_start: u8;
    static litebox_quick_window_end: u8;
    static litebox_whole_window_start: u8;
    static litebox_whole_window_end: u8;
}

/// Where trampolines enter.
pub(crate) fn entry() -> u64 {
    (&raw const litebox_fast_entry) as u64
}

/// Whether `rip` is where the entry reads through a GS base that may be the guest's own.
pub(crate) fn is_probe(rip: usize) -> bool {
    rip == (&raw const litebox_fast_probe) as usize
}

/// A thread at the probe whose GS base leads nowhere is about to make a call: puts its registers where they are behind
/// a `syscall`. `false`: it is not there, or the header is none.
pub(crate) fn leave_probe(regs: &mut Registers) -> bool {
    if !is_probe(regs.rip as usize) {
        return false;
    }
    let mut next = [0u8; 8];
    let at = regs.r11.wrapping_add(offset_of!(Header, next) as u64);
    if LinuxHost.copy_from_user(&mut next, at as usize) < next.len() {
        return false;
    }
    regs.rip = regs.r11.wrapping_add(u64::from_le_bytes(next));
    regs.rcx = regs.rip;
    regs.r11 = regs.eflags;
    true
}

/// Where a kick that hit `rip` has to go on, so that it is seen.
pub(crate) fn window_start(rip: usize) -> Option<usize> {
    let windows = [
        (&raw const litebox_quick_window_start, &raw const litebox_quick_window_end),
        (&raw const litebox_whole_window_start, &raw const litebox_whole_window_end),
    ];
    let (start, _) = windows
        .into_iter()
        .chain(compat::windows())
        .chain([clock::window()])
        .find(|(start, end)| (*start as usize..*end as usize).contains(&rip))?;
    Some(start as usize)
}

/// Whether this processor can do it: `xsave` and, for the flags, `sahf`.
pub(crate) fn available() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const LAHF: u32 = 1;
    let ecx = |leaf| {
        #[allow(unused_unsafe, reason = "it is needed by Rust 1.85, and not by later ones")]
        // SAFETY: all processors of 64 bits have the instruction and these leaves.
        unsafe { core::arch::x86_64::__cpuid(leaf) }.ecx
    };
    ecx(1) & OSXSAVE != 0 && ecx(0x8000_0001) & LAHF != 0
}

/// Makes the calling thread known to the entry. What does not change in its context is filled in here.
pub(crate) fn prepare(block: &mut ThreadBlock) {
    const CONTEXT_FLAGS: u64 = 7;
    let (low, len) = stack::span(block.slot);
    let fp = block.this.wrapping_add_signed(FP);
    let context = UserContext {
        flags: CONTEXT_FLAGS,
        link: 0,
        stack: [low as u64, 0, len as u64],
        regs: Registers::default(),
        segments: segments_of(CpuMode::Long),
        error: 0,
        trap: 0,
        old_mask: 0,
        cr2: 0,
        fpstate: fp as u64,
        reserved: [0; 8],
        mask: 0,
    };
    // SAFETY: the room between the block and the top of the stack is this thread's, for this.
    unsafe { (block.this.wrapping_add_signed(CONTEXT) as *mut UserContext).write(context) };
    block.fast.mark = i64::from(MARK as i32) as u64;
    block.compat_entry = compat::entry();
    block.compat_clock_entry = clock::entry();
    block.clock = CLOCK.try_get().and_then(VdsoClock::reader);
}

fn context_of(block: &ThreadBlock) -> &'static mut UserContext {
    // SAFETY: as for `registers_of`.
    unsafe { &mut *(block.this.wrapping_add_signed(CONTEXT) as *mut UserContext) }
}

fn registers_of(block: &ThreadBlock) -> &'static mut Registers {
    // SAFETY: the context below the calling thread's own block, filled by the entry stub; one call at a time uses it.
    unsafe { &mut *(block.this.wrapping_add_signed(REGS) as *mut Registers) }
}

/// A guest call through a trampoline. Returns how it goes back.
extern "C" fn fast_call(block: &'static mut ThreadBlock) -> u32 {
    let mut frame = GuestFrame::live(block.north, registers_of(block), save_state);
    north().syscall(&mut frame);
    way_back(block, &mut frame)
}

/// Work came in after the last look.
extern "C" fn fast_pending(block: &'static mut ThreadBlock) -> u32 {
    let mut frame = GuestFrame::live(block.north, registers_of(block), save_state);
    pending(block, &mut frame);
    way_back(block, &mut frame)
}

/// Does what came in, for a call that may have loaded its registers already.
fn pending(block: &ThreadBlock, frame: &mut GuestFrame<'_>) {
    if block.fast.way != QUICK {
        // Everything is to be loaded. What `xrstor` loaded already is what memory holds.
        let _ = frame.fp();
    }
    north().kicked(frame);
}

fn way_back(block: &mut ThreadBlock, frame: &mut GuestFrame<'_>) -> u32 {
    // Guest code goes on behind its `syscall` (which `rcx` names, too), perhaps with instructions in the trampoline, or
    // somewhere else.
    if frame.fp_saved() || frame.regs.rip != frame.regs.rcx {
        block.fast.resume = frame.regs.rip;
    }
    block.fast.way = finish(block, frame);
    block.fast.way
}

fn finish(block: &ThreadBlock, frame: &mut GuestFrame<'_>) -> u32 {
    let flags = frame.regs.eflags;
    if flags & TRAP_FLAG != 0 || block.guest_gs != 0 || frame.regs.rip >> USER_ADDRESS_BITS != 0 {
        let _ = frame.fp();
        context_of(block).go_on(frame.mode, block);
        return BY_HOST;
    }
    if frame.fp_saved() || flags & !PLAIN_FLAGS != 0 {
        let _ = frame.fp();
        if frame.mode == CpuMode::Long {
            return WHOLE;
        }
        // A handler ended that had interrupted 32-bit code.
        context_of(block).go_on(frame.mode, block);
        return BY_HOST;
    }
    QUICK
}
