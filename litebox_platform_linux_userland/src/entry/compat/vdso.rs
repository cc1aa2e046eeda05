//! The vDSO of 32-bit programs: an ELF image (elf(5), vdso(7)), written here as the linker would.
//!
//! It is mapped anew for each program, because the far jumps in it name absolute addresses. Clocks are read by the
//! host's own 64-bit vDSO ([`fast::clock`](crate::entry::fast)): so they are the very clocks that 64-bit programs have,
//! and none is behind another. What is read comes back in registers, and the function stores it as 32-bit code: a bad
//! pointer is a fault of the program, as in the vDSO of a host. Signal handlers return through `__kernel_sigreturn` and
//! `__kernel_rt_sigreturn`, whose bytes debuggers and unwinders know.

use core::arch::global_asm;

use litebox::platform::compat::Vdso32;

use super::{CLOCK_AT, CODE64};
use crate::entry::far_entry::{ENTRY_AT, enter_kernel};

/// An entry of the symbol table: a function.
macro_rules! symbol {
    ($name:literal) => {
        concat!(
            ".long .Lvdso32_n_",
            $name,
            " - .Lvdso32_strings\n",
            ".long .Lvdso32_f_",
            $name,
            " - litebox_vdso32\n",
            ".long .Lvdso32_e_",
            $name,
            " - .Lvdso32_f_",
            $name,
            "\n",
            ".byte 0x12, 0\n",
            ".short 1\n",
        )
    };
}

/// Its name.
macro_rules! name {
    ($name:literal) => {
        concat!(".Lvdso32_n_", $name, ": .asciz \"", $name, "\"\n")
    };
}

/// A function that makes a call of up to three arguments, unless what stands before has answered: that goes on at label
/// 3 then.
macro_rules! function {
    ($name:literal $number:literal) => {
        function!($name $number, "")
    };
    ($name:literal $number:literal, $before:expr) => {
        concat!(
            ".balign 16, 0x90\n",
            ".Lvdso32_f_",
            $name,
            ":\n",
            "push ebx\n",
            $before,
            "2: mov ebx, [esp + 8]\n",
            "mov ecx, [esp + 12]\n",
            "mov edx, [esp + 16]\n",
            "mov eax, ",
            $number,
            "\n",
            "call .Lvdso32_f___kernel_vsyscall\n",
            "3: pop ebx\n",
            ".Lvdso32_p_",
            $name,
            ": ret\n",
            ".Lvdso32_e_",
            $name,
            ":\n",
        )
    };
}

/// A function that reads a clock: its number goes to ebx, or it is left to the call at label 2. Then the seconds are in
/// eax and edx, the nanoseconds in ecx.
macro_rules! clock_function {
    ($name:literal $number:literal, $clock:expr, $store:expr) => {
        function!($name $number, concat!(
            $clock,
            "call .Lvdso32_f_read_clock\n",
            "test ecx, ecx\n",
            "js 2f\n",
            $store,
            "jmp 3f\n",
        ))
    };
}

/// The first argument is the number of one of the clocks that the host's vDSO reads.
macro_rules! clock_of_caller {
    () => {
        concat!(
            "mov ebx, [esp + 8]\n",
            "cmp ebx, 11\n",
            "ja 2f\n",
            "mov eax, {READABLE_CLOCKS}\n",
            "bt eax, ebx\n",
            "jnc 2f\n",
        )
    };
}

/// What unwinders are told of a function begins with its length, where it is described, where it is and how long it is.
macro_rules! frame_head {
    ($name:literal) => {
        concat!(
            ".Lvdso32_u_",
            $name,
            ": .long .Lvdso32_v_",
            $name,
            " - . - 4\n",
            ".long . - .Lvdso32_cie\n",
            ".long .Lvdso32_f_",
            $name,
            " - .\n",
            ".long .Lvdso32_e_",
            $name,
            " - .Lvdso32_f_",
            $name,
            "\n",
        )
    };
}

/// What unwinders are told of such a function.
macro_rules! frame {
    ($name:literal) => {
        concat!(
            ".balign 4\n",
            frame_head!($name),
            // Behind the push, CFA is esp + 8 and ebx is at CFA - 8; behind the pop it is as before.
            ".byte 0, 0x41, 0x0e, 8, 0x83, 2\n",
            ".byte 0x02, .Lvdso32_p_",
            $name,
            " - .Lvdso32_f_",
            $name,
            " - 1, 0x0e, 4, 0xc3\n",
            ".balign 4\n",
            ".Lvdso32_v_",
            $name,
            ":\n",
        )
    };
}

/// What they are told of one that leaves the stack as it is.
macro_rules! plain_frame {
    ($name:literal) => {
        concat!(frame_head!($name), ".byte 0, 0, 0, 0\n", ".Lvdso32_v_", $name, ":\n",)
    };
}

/// Its line in the table of them.
macro_rules! sorted {
    ($name:literal) => {
        concat!(
            ".long .Lvdso32_f_",
            $name,
            " - .Lvdso32_frames_header\n",
            ".long .Lvdso32_u_",
            $name,
            " - .Lvdso32_frames_header\n",
        )
    };
}

global_asm!(
    ".section .rodata.litebox_vdso32, \"a\", @progbits",
    ".balign 64",
    ".globl litebox_vdso32",
    "litebox_vdso32:",
    // ELF, 32-bit, little-endian; a shared object for i386.
    ".byte 0x7f, 0x45, 0x4c, 0x46, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0",
    ".short 3, 3",
    ".long 1, .Lvdso32_f___kernel_vsyscall - litebox_vdso32, .Lvdso32_headers - litebox_vdso32, 0, 0",
    ".short 52, 32, 3, 40, 0, 0",
    ".Lvdso32_headers:",
    // PT_LOAD, PT_DYNAMIC, PT_GNU_EH_FRAME: offset, two addresses, two sizes, flags, alignment.
    ".long 1, 0, 0, 0, litebox_vdso32_end - litebox_vdso32, litebox_vdso32_end - litebox_vdso32, 5, 4096",
    ".long 2, .Lvdso32_dynamic - litebox_vdso32, .Lvdso32_dynamic - litebox_vdso32, .Lvdso32_dynamic - litebox_vdso32",
    ".long .Lvdso32_dynamic_end - .Lvdso32_dynamic, .Lvdso32_dynamic_end - .Lvdso32_dynamic, 4, 4",
    ".long 0x6474e550, .Lvdso32_frames_header - litebox_vdso32, .Lvdso32_frames_header - litebox_vdso32",
    ".long .Lvdso32_frames_header - litebox_vdso32",
    ".long .Lvdso32_frames - .Lvdso32_frames_header, .Lvdso32_frames - .Lvdso32_frames_header, 4, 4",
    // One bucket, and all symbols in its chain.
    ".Lvdso32_hash:",
    ".long 1, 10, 1",
    ".long 0, 2, 3, 4, 5, 6, 7, 8, 9, 0",
    ".Lvdso32_symbols:",
    ".long 0, 0, 0, 0",
    symbol!("__kernel_vsyscall"),
    symbol!("__kernel_sigreturn"),
    symbol!("__kernel_rt_sigreturn"),
    symbol!("__vdso_clock_gettime"),
    symbol!("__vdso_clock_gettime64"),
    symbol!("__vdso_clock_getres"),
    symbol!("__vdso_gettimeofday"),
    symbol!("__vdso_time"),
    symbol!("__vdso_getcpu"),
    ".Lvdso32_strings:",
    ".byte 0",
    ".Lvdso32_soname: .asciz \"linux-gate.so.1\"",
    ".Lvdso32_first_version: .asciz \"LINUX_2.5\"",
    ".Lvdso32_second_version: .asciz \"LINUX_2.6\"",
    name!("__kernel_vsyscall"),
    name!("__kernel_sigreturn"),
    name!("__kernel_rt_sigreturn"),
    name!("__vdso_clock_gettime"),
    name!("__vdso_clock_gettime64"),
    name!("__vdso_clock_getres"),
    name!("__vdso_gettimeofday"),
    name!("__vdso_time"),
    name!("__vdso_getcpu"),
    ".Lvdso32_strings_end:",
    ".balign 4",
    ".Lvdso32_symbol_versions:",
    ".short 0, 2, 2, 2, 3, 3, 3, 3, 3, 3",
    ".balign 4",
    // Of each: version, flags, index, count, hash of the name, to the name, to the next; the name.
    ".Lvdso32_versions:",
    ".short 1, 1, 1, 1",
    ".long 0xfcef091, 20, 28, .Lvdso32_soname - .Lvdso32_strings, 0",
    ".short 1, 0, 2, 1",
    ".long 0x3ae75f5, 20, 28, .Lvdso32_first_version - .Lvdso32_strings, 0",
    ".short 1, 0, 3, 1",
    ".long 0x3ae75f6, 20, 0, .Lvdso32_second_version - .Lvdso32_strings, 0",
    // DT_SONAME, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT, DT_VERDEF, DT_VERDEFNUM, DT_VERSYM.
    ".Lvdso32_dynamic:",
    ".long 14, .Lvdso32_soname - .Lvdso32_strings",
    ".long 4, .Lvdso32_hash - litebox_vdso32",
    ".long 5, .Lvdso32_strings - litebox_vdso32",
    ".long 6, .Lvdso32_symbols - litebox_vdso32",
    ".long 10, .Lvdso32_strings_end - .Lvdso32_strings",
    ".long 11, 16",
    ".long 0x6ffffffc, .Lvdso32_versions - litebox_vdso32",
    ".long 0x6ffffffd, 3",
    ".long 0x6ffffff0, .Lvdso32_symbol_versions - litebox_vdso32",
    ".long 0, 0",
    ".Lvdso32_dynamic_end:",
    // Version, then how the address of the frames, their number and the table are written.
    ".Lvdso32_frames_header:",
    ".byte 1, 0x1b, 0x03, 0x3b",
    ".long .Lvdso32_frames - .",
    ".long 8",
    sorted!("__kernel_vsyscall"),
    sorted!("read_clock"),
    sorted!("__vdso_clock_gettime"),
    sorted!("__vdso_clock_gettime64"),
    sorted!("__vdso_clock_getres"),
    sorted!("__vdso_gettimeofday"),
    sorted!("__vdso_time"),
    sorted!("__vdso_getcpu"),
    ".balign 4",
    ".Lvdso32_frames:",
    ".Lvdso32_cie: .long .Lvdso32_cie_end - . - 4",
    ".long 0",
    // Version 1, "zR": addresses are relative; code 1, data -4, return address 8. CFA is esp (4) + 4, the return
    // address at CFA - 4.
    ".byte 1, 0x7a, 0x52, 0, 1, 0x7c, 8, 1, 0x1b, 0x0c, 4, 4, 0x88, 1",
    ".balign 4",
    ".Lvdso32_cie_end:",
    plain_frame!("__kernel_vsyscall"),
    plain_frame!("read_clock"),
    frame!("__vdso_clock_gettime"),
    frame!("__vdso_clock_gettime64"),
    frame!("__vdso_clock_getres"),
    frame!("__vdso_gettimeofday"),
    frame!("__vdso_time"),
    frame!("__vdso_getcpu"),
    ".long 0",
    ".code32",
    ".balign 16, 0x90",
    ".Lvdso32_f___kernel_vsyscall:",
    // A far jump into 64-bit code. A call that is made again is made by the instruction before the return.
    ".byte 0xea",
    ".globl litebox_vdso32_jump",
    "litebox_vdso32_jump:",
    ".long litebox_vdso32_enter64 - litebox_vdso32",
    ".short {CODE64}",
    "int 0x80",
    ".globl litebox_vdso32_landing",
    "litebox_vdso32_landing:",
    "ret",
    ".Lvdso32_e___kernel_vsyscall:",
    ".balign 16, 0x90",
    ".globl litebox_vdso32_syscall_landing",
    "litebox_vdso32_syscall_landing:",
    "pop ebp",
    "pop edx",
    "pop ecx",
    "ret",
    ".balign 16, 0x90",
    "nop",
    ".Lvdso32_f___kernel_sigreturn:",
    "pop eax",
    "mov eax, 119",
    "int 0x80",
    ".Lvdso32_e___kernel_sigreturn:",
    ".balign 16, 0x90",
    "nop",
    ".Lvdso32_f___kernel_rt_sigreturn:",
    "mov eax, 173",
    "int 0x80",
    ".Lvdso32_e___kernel_rt_sigreturn:",
    ".balign 16, 0x90",
    // The clock in ebx: seconds in eax and edx, nanoseconds in ecx, which are negative if it is left to the call.
    ".Lvdso32_f_read_clock:",
    ".byte 0xea",
    ".globl litebox_vdso32_clock_jump",
    "litebox_vdso32_clock_jump:",
    ".long litebox_vdso32_clock64 - litebox_vdso32",
    ".short {CODE64}",
    ".globl litebox_vdso32_clock_landing",
    "litebox_vdso32_clock_landing:",
    "ret",
    ".Lvdso32_e_read_clock:",
    clock_function!(
        "__vdso_clock_gettime" "265", clock_of_caller!(),
        "mov ebx, [esp + 12]\nmov [ebx], eax\nmov [ebx + 4], ecx\nxor eax, eax\n"
    ),
    clock_function!(
        "__vdso_clock_gettime64" "403", clock_of_caller!(),
        "mov ebx, [esp + 12]\nmov [ebx], eax\nmov [ebx + 4], edx\nmov [ebx + 8], ecx\n\
         mov dword ptr [ebx + 12], 0\nxor eax, eax\n"
    ),
    function!("__vdso_clock_getres" "266"),
    // With a time, and without a time zone. Microseconds: a thousandth, by a multiplication.
    clock_function!(
        "__vdso_gettimeofday" "78",
        "cmp dword ptr [esp + 8], 0\nje 2f\ncmp dword ptr [esp + 12], 0\njne 2f\nxor ebx, ebx\n",
        "mov ebx, [esp + 8]\nmov [ebx], eax\nmov eax, 0x10624dd3\nmul ecx\nshr edx, 6\nmov [ebx + 4], edx\n\
         xor eax, eax\n"
    ),
    // By CLOCK_REALTIME_COARSE, as the call.
    clock_function!("__vdso_time" "13", "mov ebx, 5\n", "mov ecx, [esp + 8]\njecxz 3f\nmov [ecx], eax\n"),
    function!("__vdso_getcpu" "318"),
    ".code64",
    ".balign 16, 0x90",
    ".globl litebox_vdso32_enter64",
    "litebox_vdso32_enter64:",
    "lea r8d, [rip + litebox_vdso32_landing]",
    "mov r9d, r8d",
    "mov r11, rcx",
    ".globl litebox_vdso32_checking",
    "litebox_vdso32_checking:",
    enter_kernel!(),
    ".balign 16, 0x90",
    ".globl litebox_vdso32_clock64",
    "litebox_vdso32_clock64:",
    "cmp r15, [r15]",
    "jne 2f",
    "lea r11, [rip + litebox_vdso32_clock_landing]",
    "jmp qword ptr [r15 + {CLOCK_AT}]",
    "2: ud2",
    ".globl litebox_vdso32_end",
    "litebox_vdso32_end:",
    // What the kernel has to know of it.
    ".globl litebox_vdso32_places",
    ".balign 4",
    "litebox_vdso32_places:",
    ".long .Lvdso32_f___kernel_vsyscall - litebox_vdso32",
    ".long .Lvdso32_f___kernel_sigreturn - litebox_vdso32",
    ".long .Lvdso32_f___kernel_rt_sigreturn - litebox_vdso32",
    ".long litebox_vdso32_jump - litebox_vdso32",
    ".long litebox_vdso32_landing - litebox_vdso32",
    ".long litebox_vdso32_syscall_landing - litebox_vdso32",
    ".long litebox_vdso32_enter64 - litebox_vdso32",
    ".long litebox_vdso32_checking - litebox_vdso32",
    ".long litebox_vdso32_clock_jump - litebox_vdso32",
    ".long litebox_vdso32_clock_landing - litebox_vdso32",
    ".long litebox_vdso32_clock64 - litebox_vdso32",
    ".long litebox_vdso32_end - litebox_vdso32",
    ".text",
    CODE64 = const CODE64,
    ENTRY_AT = const ENTRY_AT,
    CLOCK_AT = const CLOCK_AT,
    READABLE_CLOCKS = const READABLE_CLOCKS,
);

/// Clocks that the host's vDSO reads, a bit each: CLOCK_REALTIME, _MONOTONIC, _MONOTONIC_RAW, the coarse ones,
/// _BOOTTIME and _TAI.
const READABLE_CLOCKS: u32 = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 11;

/// Offsets in the image.
#[repr(C)]
struct Places {
    vsyscall: u32,
    sigreturn: u32,
    rt_sigreturn: u32,
    jump: u32,
    landing: u32,
    syscall_landing: u32,
    enter64: u32,
    checking: u32,
    clock_jump: u32,
    clock_landing: u32,
    clock64: u32,
    len: u32,
}

unsafe extern "C" {
    static litebox_vdso32: u8;
    static litebox_vdso32_places: Places;
}

fn places() -> &'static Places {
    // SAFETY: constants of the program.
    unsafe { &litebox_vdso32_places }
}

/// Where a call that came through `__kernel_vsyscall` goes on.
pub(super) fn landing() -> u32 {
    places().landing
}

/// Where the host would have a call by `syscall` go on.
pub(super) fn syscall_landing() -> u32 {
    places().syscall_landing
}

/// Where a reading of a clock goes on.
pub(super) fn clock_landing() -> u32 {
    places().clock_landing
}

/// What its 64-bit code is doing.
pub(super) enum Doing {
    /// A call. `moved`: `rcx` is in `r11`.
    Call {
        /// Whether it is.
        moved: bool,
    },
    /// Reading a clock.
    Clock,
}

/// What is being done at an offset, if that is in its 64-bit code.
pub(super) fn doing_at(offset: u64) -> Option<Doing> {
    let Places { enter64, checking, clock64, len, .. } = *places();
    let offset = u32::try_from(offset).ok().filter(|offset| (enter64..=len).contains(offset))?;
    Some(if offset < clock64 { Doing::Call { moved: offset >= checking } } else { Doing::Clock })
}

/// The image and what programs and their loader have to know of it.
pub(crate) fn vdso() -> Vdso32 {
    let places = places();
    // SAFETY: constants of the program: so many bytes from its start on.
    let image = unsafe { core::slice::from_raw_parts(&raw const litebox_vdso32, places.len as usize) };
    Vdso32 {
        image,
        relocations: [places.jump, places.clock_jump],
        vsyscall: places.vsyscall,
        sigreturn: places.sigreturn,
        rt_sigreturn: places.rt_sigreturn,
    }
}
