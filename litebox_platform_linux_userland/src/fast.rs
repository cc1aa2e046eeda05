//! The fast entry: from a trampoline into the kernel and back without the host.
//!
//! A trampoline comes here with `r11` at its [`Header`](litebox_syscall_rewriter::Header); `rcx` and `r11` are the only registers that a `syscall`
//! gives up, and the flags are still the guest's. So the check that GS leads to a [`ThreadBlock`] uses instructions that leave the flags
//! alone. A thread whose GS base is its own makes a real call in the trampoline, which traps.
//!
//! The registers go into the [`UserContext`] of a host signal frame below the block, the vector registers into its xsave area. Most calls return by
//! loading what they changed. When somebody asked for the floating-point state ([`GuestFrame::fp`]), everything is loaded, by `xrstor`; the trap
//! flag and a GS base of the guest need the host's `rt_sigreturn`.
//!
//! The last look at the waiter and everything after it lies in a window whose instructions only load: a kick that hits the window
//! goes back to its start, so none is lost. `HostThread::mode` stays [`MODE_GUEST`](crate::entry::MODE_GUEST) all the time, so every interruption
//! of a thread in a call kicks it, but for one that sleeps.

use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use litebox::platform::UserAccess;
use litebox::platform::north::{GuestFrame, Registers, north};

use crate::LinuxHost;
use crate::entry::UserContext;
use crate::sandbox::sandbox;
use crate::stack::{self, ThreadBlock};

/// What a block's `mark` holds; as a sign-extended 32-bit number, so that it can be subtracted without touching the flags.
const MARK: u64 = 0x5b1c_e4d5;
/// Room for the xsave area.
const FP_ROOM: usize = 12 << 10;
/// Room for the context, and the return address below it.
const CONTEXT_ROOM: usize = 320;
/// From the block down to the top of the kernel stack.
pub(crate) const FRAME_ROOM: usize = FP_ROOM + CONTEXT_ROOM + 64;
/// From the block to its context.
const CONTEXT: isize = -((FP_ROOM + CONTEXT_ROOM) as isize);
const REGS: isize = CONTEXT + offset_of!(UserContext, regs) as isize;
const FP: isize = -(FP_ROOM as isize);
/// xmm0 in an fxsave area.
const XMM: isize = FP + 160;

const _: () = assert!(size_of::<UserContext>() <= CONTEXT_ROOM && FRAME_ROOM % 64 == 0);

/// The arithmetic flags, and those that are always on in guest code: what the quick exit restores.
const PLAIN_FLAGS: u64 = 0x8d5 | 0x202;
const TRAP_FLAG: u64 = 0x100;

/// How a call goes back to the guest.
const QUICK: u32 = 0;
const WHOLE: u32 = 1;
const BY_HOST: u32 = 2;

/// The part of a [`ThreadBlock`] that the entry uses.
#[repr(C)]
pub(crate) struct State {
    mark: u64,
    /// Where the guest continues.
    resume: u64,
    /// The components of the xsave area.
    features: u64,
    /// How the running call goes back.
    way: u32,
    /// The kernel is calling the host's vDSO, whose code lies outside of the program.
    pub(crate) in_vdso: bool,
    /// Where a fetch was tried again, and at which change of the code.
    pub(crate) retried: (usize, u64),
}

impl State {
    pub(crate) const fn new() -> Self {
        Self { mark: 0, resume: 0, features: 0, way: QUICK, in_vdso: false, retried: (0, 0) }
    }
}

const STATE: usize = offset_of!(ThreadBlock, fast);

global_asm!(
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
    "mov gs:[{RAX}], rax",
    "mov gs:[{RDI}], rdi",
    "mov gs:[{RSI}], rsi",
    "mov gs:[{RDX}], rdx",
    "mov gs:[{R10}], r10",
    "mov gs:[{R8}], r8",
    "mov gs:[{R9}], r9",
    "mov rcx, [r11 + 8]",
    "mov rdx, [r11 + 16]",
    "mov rax, gs:[{EFLAGS}]",
    "mov gs:[{RIP}], rcx",
    "mov gs:[{RCX}], rcx",
    "mov gs:[{RESUME}], rdx",
    "mov gs:[{R11}], rax",
    "mov gs:[{RBX}], rbx",
    "mov gs:[{RBP}], rbp",
    "mov gs:[{R12}], r12",
    "mov gs:[{R13}], r13",
    "mov gs:[{R14}], r14",
    "mov gs:[{R15}], r15",
    // Alignment check, nested task and direction: not for the kernel.
    "test eax, 0x44400",
    "jnz 9f",
    "3:",
    "movaps gs:[{XMM} + 0x00], xmm0",
    "movaps gs:[{XMM} + 0x10], xmm1",
    "movaps gs:[{XMM} + 0x20], xmm2",
    "movaps gs:[{XMM} + 0x30], xmm3",
    "movaps gs:[{XMM} + 0x40], xmm4",
    "movaps gs:[{XMM} + 0x50], xmm5",
    "movaps gs:[{XMM} + 0x60], xmm6",
    "movaps gs:[{XMM} + 0x70], xmm7",
    "movaps gs:[{XMM} + 0x80], xmm8",
    "movaps gs:[{XMM} + 0x90], xmm9",
    "movaps gs:[{XMM} + 0xa0], xmm10",
    "movaps gs:[{XMM} + 0xb0], xmm11",
    "movaps gs:[{XMM} + 0xc0], xmm12",
    "movaps gs:[{XMM} + 0xd0], xmm13",
    "movaps gs:[{XMM} + 0xe0], xmm14",
    "movaps gs:[{XMM} + 0xf0], xmm15",
    "mov rdi, gs:[0]",
    "call {fast_call}",
    "4:",
    "test eax, eax",
    "jnz 5f",
    "movaps xmm0, gs:[{XMM} + 0x00]",
    "movaps xmm1, gs:[{XMM} + 0x10]",
    "movaps xmm2, gs:[{XMM} + 0x20]",
    "movaps xmm3, gs:[{XMM} + 0x30]",
    "movaps xmm4, gs:[{XMM} + 0x40]",
    "movaps xmm5, gs:[{XMM} + 0x50]",
    "movaps xmm6, gs:[{XMM} + 0x60]",
    "movaps xmm7, gs:[{XMM} + 0x70]",
    "movaps xmm8, gs:[{XMM} + 0x80]",
    "movaps xmm9, gs:[{XMM} + 0x90]",
    "movaps xmm10, gs:[{XMM} + 0xa0]",
    "movaps xmm11, gs:[{XMM} + 0xb0]",
    "movaps xmm12, gs:[{XMM} + 0xc0]",
    "movaps xmm13, gs:[{XMM} + 0xd0]",
    "movaps xmm14, gs:[{XMM} + 0xe0]",
    "movaps xmm15, gs:[{XMM} + 0xf0]",
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
    "mov rdi, gs:[{RDI}]",
    "mov rsi, gs:[{RSI}]",
    "mov rdx, gs:[{RDX}]",
    "mov r10, gs:[{R10}]",
    "mov r8, gs:[{R8}]",
    "mov r9, gs:[{R9}]",
    "mov rcx, gs:[{RCX}]",
    "mov r11, gs:[{R11}]",
    "mov rax, gs:[{RAX}]",
    "mov rsp, gs:[{RSP}]",
    "jmp qword ptr gs:[{RESUME}]",
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
    "mov rbx, gs:[{RBX}]",
    "mov rbp, gs:[{RBP}]",
    "mov r12, gs:[{R12}]",
    "mov r13, gs:[{R13}]",
    "mov r14, gs:[{R14}]",
    "mov r15, gs:[{R15}]",
    "mov rdi, gs:[{RDI}]",
    "mov rsi, gs:[{RSI}]",
    "mov rdx, gs:[{RDX}]",
    "mov r10, gs:[{R10}]",
    "mov r8, gs:[{R8}]",
    "mov r9, gs:[{R9}]",
    "mov rcx, gs:[{RCX}]",
    "mov r11, gs:[{R11}]",
    "mov rax, gs:[{RAX}]",
    "mov rsp, gs:[{RSP}]",
    "jmp qword ptr gs:[{RESUME}]",
    ".globl litebox_whole_window_end",
    "litebox_whole_window_end:",
    "ud2",
    // The host does it: the context is that of a complete signal frame.
    "7:",
    "mov rdi, gs:[0]",
    "lea rdi, [rdi + {CONTEXT}]",
    "lea rsi, [rdi - 8]",
    "jmp litebox_start_guest",
    // Work came in after the last look. Guest flags and stack may be loaded already.
    "8:",
    "mov rsp, gs:[0]",
    "lea rsp, [rsp + {STACK}]",
    "push 0x202",
    "popfq",
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
    MARK_AT = const STATE + offset_of!(State, mark),
    RESUME = const STATE + offset_of!(State, resume),
    FEATURES = const STATE + offset_of!(State, features),
    WAITER = const offset_of!(ThreadBlock, waiter),
    HEADER = const size_of::<litebox_syscall_rewriter::Header>(),
    CONTEXT = const CONTEXT,
    FP = const FP,
    XMM = const XMM,
    STACK = const -(FRAME_ROOM as isize),
    FLAGS_END = const REGS + offset_of!(Registers, eflags) as isize + 8,
    STACK_FROM_FLAGS = const -(FRAME_ROOM as isize) - REGS - offset_of!(Registers, eflags) as isize,
    R8 = const REGS + offset_of!(Registers, r8) as isize,
    R9 = const REGS + offset_of!(Registers, r9) as isize,
    R10 = const REGS + offset_of!(Registers, r10) as isize,
    R11 = const REGS + offset_of!(Registers, r11) as isize,
    R12 = const REGS + offset_of!(Registers, r12) as isize,
    R13 = const REGS + offset_of!(Registers, r13) as isize,
    R14 = const REGS + offset_of!(Registers, r14) as isize,
    R15 = const REGS + offset_of!(Registers, r15) as isize,
    RDI = const REGS + offset_of!(Registers, rdi) as isize,
    RSI = const REGS + offset_of!(Registers, rsi) as isize,
    RBP = const REGS + offset_of!(Registers, rbp) as isize,
    RBX = const REGS + offset_of!(Registers, rbx) as isize,
    RDX = const REGS + offset_of!(Registers, rdx) as isize,
    RAX = const REGS + offset_of!(Registers, rax) as isize,
    RCX = const REGS + offset_of!(Registers, rcx) as isize,
    RSP = const REGS + offset_of!(Registers, rsp) as isize,
    RIP = const REGS + offset_of!(Registers, rip) as isize,
    EFLAGS = const REGS + offset_of!(Registers, eflags) as isize,
    WHOLE = const WHOLE,
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

/// A thread at the probe whose GS base leads nowhere is about to make a call: puts its registers where they are behind a `syscall`. `false`: it is
/// not there, or the header is none.
pub(crate) fn leave_probe(regs: &mut Registers) -> bool {
    if !is_probe(regs.rip as usize) {
        return false;
    }
    let mut next = [0u8; 8];
    let at = regs.r11.wrapping_add(offset_of!(litebox_syscall_rewriter::Header, next) as u64);
    // SAFETY: the buffer has room; faults are recovered.
    if unsafe { LinuxHost.copy_from_user(next.as_mut_ptr(), at as usize, next.len()) } < next.len() {
        return false;
    }
    regs.rip = u64::from_le_bytes(next);
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
    let (start, _) = windows.into_iter().find(|(start, end)| (*start as usize..*end as usize).contains(&rip))?;
    Some(start as usize)
}

/// Whether this processor can do it: `xsave` and, for the flags, `sahf`.
pub(crate) fn available() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const LAHF: u32 = 1;
    core::arch::x86_64::__cpuid(1).ecx & OSXSAVE != 0 && core::arch::x86_64::__cpuid(0x8000_0001).ecx & LAHF != 0
}

const FX_SIZE: usize = 512;
const HEADER_LEN: usize = 64;
const MXCSR: usize = 24;
const SW_RESERVED: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// The components that are in the legacy area.
const SSE: u64 = 2;

/// How the host lays out an xsave area in its frames: learned from the first one.
#[derive(Debug, Default)]
pub(crate) struct FrameLayout {
    /// Mask of MXCSR, and the six words that describe the area.
    words: [AtomicU64; 7],
}

impl FrameLayout {
    /// Takes it from a frame of the host; `false` when this host's areas are not served here.
    pub(crate) fn learn(&self, fp: Option<&[u8]>) -> bool {
        if self.known() {
            return true;
        }
        let Some(fp) = fp else { return false };
        let word = |at: usize| fp.get(at..at + 8)?.first_chunk::<8>().map(|b| u64::from_le_bytes(*b));
        let Some(mxcsr) = word(MXCSR) else { return false };
        let mut words = [mxcsr >> 32; 7];
        for (i, to) in words.iter_mut().enumerate().skip(1) {
            let Some(found) = word(SW_RESERVED + (i - 1) * 8) else { return false };
            *to = found;
        }
        let [_, sizes, features, size, ..] = words;
        let (magic, extended, size) = (sizes as u32, (sizes >> 32) as usize, size as u32 as usize);
        if magic != MAGIC1 || extended > FP_ROOM || size + 4 > extended || size < FX_SIZE + HEADER_LEN {
            return false;
        }
        if features & 3 != 3 {
            return false;
        }
        for (to, word) in self.words.iter().zip(words).rev() {
            to.store(word, Ordering::Release);
        }
        true
    }
    fn known(&self) -> bool {
        self.words[1].load(Ordering::Acquire) != 0
    }
    fn get(&self) -> [u64; 7] {
        core::array::from_fn(|i| self.words[i].load(Ordering::Acquire))
    }
}

/// Makes the calling thread known to the entry. What does not change in its context is filled in here.
pub(crate) fn prepare(block: &mut ThreadBlock) {
    const CONTEXT_FLAGS: u64 = 7;
    const USER_SEGMENTS: u64 = 0x33 | (0x2b << 48);
    let (low, len) = stack::span(block.slot);
    let fp = block.this.wrapping_add_signed(FP);
    let context = UserContext {
        flags: CONTEXT_FLAGS,
        link: 0,
        stack: [low as u64, 0, len as u64],
        regs: Registers::default(),
        segments: USER_SEGMENTS,
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
}

fn registers_of(block: &ThreadBlock) -> &'static mut Registers {
    // SAFETY: the context below the calling thread's own block, filled by the entry stub; one call at a time uses it.
    unsafe { &mut *(block.this.wrapping_add_signed(REGS) as *mut Registers) }
}

/// A guest call through a trampoline. Returns how it goes back.
extern "C" fn fast_call(block: &'static mut ThreadBlock) -> u32 {
    let mut frame = GuestFrame::live(registers_of(block), save_state);
    north().syscall(&mut frame);
    way_back(block, &mut frame)
}

/// Work came in after the last look.
extern "C" fn fast_pending(block: &'static mut ThreadBlock) -> u32 {
    let mut frame = GuestFrame::live(registers_of(block), save_state);
    if block.fast.way != QUICK {
        // Everything is to be loaded. What `xrstor` loaded already is what memory holds: kernel code changes the xmm registers alone, and those
        // are not saved again.
        let _ = frame.fp();
    }
    north().kicked(&mut frame);
    way_back(block, &mut frame)
}

fn way_back(block: &mut ThreadBlock, frame: &mut GuestFrame<'_>) -> u32 {
    // Guest code goes on behind its `syscall` (which `rcx` names, too), perhaps with instructions in the trampoline, or somewhere else.
    if frame.fp_saved() || frame.regs.rip != frame.regs.rcx {
        block.fast.resume = frame.regs.rip;
    }
    block.fast.way = finish(block, frame);
    block.fast.way
}

fn finish(block: &ThreadBlock, frame: &mut GuestFrame<'_>) -> u32 {
    let flags = frame.regs.eflags;
    if flags & TRAP_FLAG != 0 || block.guest_gs != 0 {
        let _ = frame.fp();
        return BY_HOST;
    }
    if frame.fp_saved() || flags & !PLAIN_FLAGS != 0 {
        let _ = frame.fp();
        return WHOLE;
    }
    QUICK
}

/// Saves the floating-point state of the calling thread's guest: xmm registers are in the area already, everything else is still in
/// the processor.
fn save_state() -> &'static mut [u8] {
    let Some(block) = stack::current() else { return &mut [] };
    let [mask, described @ ..] = sandbox().frame_layout.get();
    let [sizes, features, size, ..] = described;
    let (extended, size) = ((sizes >> 32) as usize, size as u32 as usize);
    let at = block.this.wrapping_add_signed(FP);
    block.fast.features = features;
    // SAFETY: the area below the block is this thread's, FP_ROOM long, 64-byte aligned; the layout fits (checked when it was learned). The
    // processor saves the components that the host itself has in its frames, but for xmm.
    unsafe {
        ((at + FX_SIZE) as *mut [u64; HEADER_LEN / 8]).write([0; HEADER_LEN / 8]);
        let saved = features & !SSE;
        core::arch::asm!(
            "xsave64 [{at}]",
            "stmxcsr [{at} + 24]",
            at = in(reg) at,
            in("eax") saved as u32,
            in("edx") (saved >> 32) as u32,
            options(nostack, preserves_flags)
        );
        *((at + FX_SIZE) as *mut u64) |= SSE;
        ((at + MXCSR + 4) as *mut u32).write(mask as u32);
        for (i, word) in described.into_iter().enumerate() {
            ((at + SW_RESERVED + i * 8) as *mut u64).write(word);
        }
        ((at + size) as *mut u32).write_unaligned(MAGIC2);
        core::slice::from_raw_parts_mut(at as *mut u8, extended)
    }
}
