//! The fast entry of 32-bit code: from the vDSO's 64-bit code into the kernel and back by a far jump.
//!
//! It is the 64-bit entry in all but three things: the thread's block is in `r15`, GS is the guest's, and of the
//! registers there are eight. Of `r8` to `r14` two say where the call came from; what is left in them means nothing to
//! anybody.

use core::mem::offset_of;

use litebox::platform::compat::CpuMode;
use litebox::platform::north::{GuestFrame, north};

use super::frame::{BY_HOST, PLAIN_FLAGS, QUICK, TRAP_FLAG, WHOLE, entry_code, registers, vectors};
use super::vectors::save_state;
use super::{context_of, pending, registers_of};
use crate::host::thread_block::{FarPointer, ThreadBlock};

/// Saves registers, of whose upper halves nothing is known.
macro_rules! save {
    ($($register:literal $half:literal $place:literal)*) => {
        concat!($("mov ", $half, ", ", $half, "\nmov [r15 + {", $place, "}], ", $register, "\n"),*)
    };
}

/// Moves the vector registers that 32-bit code has to (`save`) or from (`load`) their places.
macro_rules! all_vectors {
    ($way:tt) => {
        vectors!("[r15 + " $way "0" "1" "2" "3" "4" "5" "6" "7")
    };
}

entry_code!(
    ".section .text.litebox_compat, \"ax\", @progbits",
    ".balign 64",
    ".globl litebox_compat_entry",
    ".type litebox_compat_entry, @function",
    "litebox_compat_entry:",
    "mov esp, esp",
    "mov [r15 + {RSP}], rsp",
    // The context lies outside of the signal stack, which is empty now: a host signal begins at its top.
    "lea rsp, [r15 + {FLAGS_END}]",
    "pushfq",
    "lea rsp, [r15 + {STACK}]",
    save!("rax" "eax" "RAX" "rbx" "ebx" "RBX" "rcx" "ecx" "RCX" "rdx" "edx" "RDX" "rsi" "esi" "RSI" "rdi" "edi" "RDI" "rbp" "ebp" "RBP"),
    // Where the call returns to, and where the guest goes on: the same, or moved instructions.
    "mov r8d, r8d",
    "mov [r15 + {RIP}], r8",
    "mov [r15 + {LANDING}], r8d",
    "mov [r15 + {FAR}], r9d",
    // Alignment check, nested task, direction and the like: not for the kernel.
    "test dword ptr [r15 + {EFLAGS}], {RARE_FLAGS}",
    "jnz 9f",
    // Does a word answer it? Nothing but the flags has changed then.
    "mov r8, [r15 + {FAST_SYSCALLS}]",
    "mov r9d, eax",
    "and r9d, {LAST_SLOT}",
    "shl r9d, 4",
    "lea r9, [r8 + r9 + {FIRST_SLOT}]",
    "cmp eax, [r9]",
    "jne 3f",
    "inc qword ptr [r8]",
    "mov r10, [r9 + {WORD}]",
    "mov r11d, [r9 + {TAKEN}]",
    "test r11d, r11d",
    "jnz 6f",
    "mov eax, [r10]",
    "mov [r15 + {RAX}], rax",
    "jmp litebox_compat_quick_window_start",
    "6:",
    "and r11d, ebx",
    "xchg [r10], r11d",
    "mov [r15 + {RAX}], r11",
    "jmp litebox_compat_quick_window_start",
    "3:",
    all_vectors!(save),
    "mov rdi, r15",
    "call {compat_call}",
    "4:",
    "test eax, eax",
    "jnz 5f",
    all_vectors!(load),
    // Vector registers are the guest's here.
    ".globl litebox_compat_quick_window_start",
    "litebox_compat_quick_window_start:",
    "mov rcx, [r15 + {WAITER}]",
    "cmp dword ptr [rcx], 0",
    "jl 8f",
    // The flags: overflow by an addition, the others from ah.
    "mov eax, [r15 + {EFLAGS}]",
    "mov ecx, eax",
    "shr ecx, 11",
    "and ecx, 1",
    "shl eax, 8",
    "mov al, cl",
    "add al, 0x7f",
    "sahf",
    registers!("[r15 + " load "rcx" "RCX" "rdx" "RDX" "rsi" "RSI" "rdi" "RDI" "rax" "RAX" "rsp" "RSP"),
    "jmp fword ptr [r15 + {FAR}]",
    ".globl litebox_compat_quick_window_end",
    "litebox_compat_quick_window_end:",
    "ud2",
    // Everything is loaded.
    "5:",
    "cmp eax, {WHOLE}",
    "jne 7f",
    "mov eax, [r15 + {FEATURES}]",
    "mov edx, [r15 + {FEATURES} + 4]",
    "xrstor64 [r15 + {FP}]",
    ".globl litebox_compat_whole_window_start",
    "litebox_compat_whole_window_start:",
    "mov rcx, [r15 + {WAITER}]",
    "cmp dword ptr [rcx], 0",
    "jl 8f",
    "lea rsp, [r15 + {EFLAGS}]",
    "popfq",
    registers!("[r15 + " load "rbx" "RBX" "rcx" "RCX" "rdx" "RDX" "rsi" "RSI" "rdi" "RDI" "rbp" "RBP" "rax" "RAX" "rsp" "RSP"),
    "jmp fword ptr [r15 + {FAR}]",
    ".globl litebox_compat_whole_window_end",
    "litebox_compat_whole_window_end:",
    "ud2",
    // The host does it: the context is that of a complete signal frame.
    "7:",
    "lea rdi, [r15 + {CONTEXT}]",
    "lea rsi, [rdi - 8]",
    "jmp litebox_start_guest",
    // Work came in after the last look. Guest flags and stack may be loaded already; vector registers are, and a word's
    // answer never saved them.
    "8:",
    "lea rsp, [r15 + {STACK}]",
    "push 0x202",
    "popfq",
    all_vectors!(save),
    "mov rdi, r15",
    "call {compat_pending}",
    "jmp 4b",
    "9:",
    "push 0x202",
    "popfq",
    "jmp 3b",
    ".size litebox_compat_entry, . - litebox_compat_entry",
    ".text",
    FAR = const offset_of!(ThreadBlock, far) + offset_of!(FarPointer, offset),
    LANDING = const offset_of!(ThreadBlock, landing),
    compat_call = sym compat_call,
    compat_pending = sym compat_pending,
);

unsafe extern "C" {
    static litebox_compat_entry: u8;
    static litebox_compat_quick_window_start: u8;
    static litebox_compat_quick_window_end: u8;
    static litebox_compat_whole_window_start: u8;
    static litebox_compat_whole_window_end: u8;
}

/// Where the vDSO's 64-bit code enters.
pub(super) fn entry() -> u64 {
    (&raw const litebox_compat_entry) as u64
}

/// The stretches that a kick sends back to their starts.
pub(super) fn windows() -> [(*const u8, *const u8); 2] {
    [
        (&raw const litebox_compat_quick_window_start, &raw const litebox_compat_quick_window_end),
        (&raw const litebox_compat_whole_window_start, &raw const litebox_compat_whole_window_end),
    ]
}

/// A guest call through `__kernel_vsyscall`. Returns how it goes back.
extern "C" fn compat_call(block: &'static mut ThreadBlock) -> u32 {
    let mut frame = GuestFrame::live(block.north, registers_of(block), save_state).of_mode(CpuMode::Compat);
    north().syscall32(&mut frame);
    way_back(block, &mut frame)
}

/// Work came in after the last look.
extern "C" fn compat_pending(block: &'static mut ThreadBlock) -> u32 {
    let mut frame = GuestFrame::live(block.north, registers_of(block), save_state).of_mode(CpuMode::Compat);
    pending(block, &mut frame);
    way_back(block, &mut frame)
}

fn way_back(block: &mut ThreadBlock, frame: &mut GuestFrame<'_>) -> u32 {
    if frame.fp_saved() || frame.regs.rip != u64::from(block.landing) {
        block.far.offset = frame.regs.rip as u32;
    }
    block.fast.way = finish(block, frame);
    block.fast.way
}

fn finish(block: &ThreadBlock, frame: &mut GuestFrame<'_>) -> u32 {
    let flags = frame.regs.eflags;
    let other_code = frame.mode != CpuMode::Compat || block.segments.is_none();
    if other_code || block.load_segments || flags & TRAP_FLAG != 0 {
        let _ = frame.fp();
        context_of(block).go_on(frame.mode, block);
        return BY_HOST;
    }
    if frame.fp_saved() || flags & !PLAIN_FLAGS != 0 {
        let _ = frame.fp();
        return WHOLE;
    }
    QUICK
}
