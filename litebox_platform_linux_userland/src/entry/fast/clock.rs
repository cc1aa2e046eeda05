//! Clocks for 32-bit code: a function of its vDSO comes here, where the host's 64-bit vDSO is called.
//!
//! It is a function that was called, so eax, ecx, edx, the flags and the vector registers are nobody's; ebx and ebp are
//! kept by whoever is called here, too. The caller's stack, esi and edi are kept in registers that 32-bit code does not
//! have. Kernel code runs with the guest's flags: of the rare ones, the trap flag has raised SIGTRAP before
//! ([`look`](crate::entry::compat::look)), and the vDSO's code does nothing that another would change.
//!
//! A kick is not served here. The caller is told that nothing was read, and makes the call instead.

use core::arch::global_asm;
use core::mem::offset_of;

use super::frame::{STACK, WAITER};
use crate::host::thread_block::{FarPointer, FastState, ThreadBlock};

global_asm!(
    ".section .text.litebox_compat_clock, \"ax\", @progbits",
    ".balign 64",
    ".globl litebox_compat_clock",
    ".type litebox_compat_clock, @function",
    "litebox_compat_clock:",
    // r11: where the caller goes on. ebx: which clock.
    "mov r14d, esp",
    "mov r13d, edi",
    "mov r12d, esi",
    "mov [r15 + {FAR}], r11d",
    "mov rax, [r15 + {CLOCK}]",
    "test rax, rax",
    "jz 3f",
    "lea rsp, [r15 + {STACK} - 16]",
    "mov edi, ebx",
    "mov rsi, rsp",
    "mov byte ptr [r15 + {IN_VDSO}], 1",
    "call rax",
    "mov byte ptr [r15 + {IN_VDSO}], 0",
    "test eax, eax",
    "jnz 3f",
    "mov rax, [rsp]",
    "mov rcx, [rsp + 8]",
    "mov rdx, rax",
    "shr rdx, 32",
    ".globl litebox_compat_clock_window_start",
    "litebox_compat_clock_window_start:",
    "mov r11, [r15 + {WAITER}]",
    "cmp dword ptr [r11], 0",
    "jl 3f",
    "mov esi, r12d",
    "mov edi, r13d",
    "mov esp, r14d",
    "jmp fword ptr [r15 + {FAR}]",
    ".globl litebox_compat_clock_window_end",
    "litebox_compat_clock_window_end:",
    "ud2",
    // Not read.
    "3:",
    "mov ecx, -1",
    "mov esi, r12d",
    "mov edi, r13d",
    "mov esp, r14d",
    "jmp fword ptr [r15 + {FAR}]",
    ".size litebox_compat_clock, . - litebox_compat_clock",
    ".text",
    FAR = const offset_of!(ThreadBlock, far) + offset_of!(FarPointer, offset),
    CLOCK = const offset_of!(ThreadBlock, clock),
    IN_VDSO = const offset_of!(ThreadBlock, fast) + offset_of!(FastState, in_vdso),
    STACK = const STACK,
    WAITER = const WAITER,
);

unsafe extern "C" {
    static litebox_compat_clock: u8;
    static litebox_compat_clock_window_start: u8;
    static litebox_compat_clock_window_end: u8;
}

/// Where the vDSO's 64-bit code enters.
pub(super) fn entry() -> u64 {
    (&raw const litebox_compat_clock) as u64
}

/// The stretch that a kick sends back to its start.
pub(super) fn window() -> (*const u8, *const u8) {
    (&raw const litebox_compat_clock_window_start, &raw const litebox_compat_clock_window_end)
}
