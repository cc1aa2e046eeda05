//! From 64-bit code that 32-bit code has jumped to into the kernel: the vDSO's and the gate's.

use core::mem::offset_of;

use crate::host::thread_block::ThreadBlock;

/// Where such code finds the address to go to, from `r15` on.
pub(crate) const ENTRY_AT: usize = offset_of!(ThreadBlock, compat_entry);
/// Where the gate is. Nothing is placed above unasked (`Layout::compat`), and an access that goes astray comes down
/// from 4 GiB.
pub(crate) const GATE: u64 = 0xff00_0000;

/// Goes into the kernel if r15 leads to a block, which begins with its own address. The flags stay as they are. Who was
/// in other 64-bit code before may have anything there, and makes a call that traps. The guest's `rcx` is in r11; r8
/// and r9 are as the entry wants them. `ENTRY_AT` is an operand of the assembly.
macro_rules! enter_kernel {
    () => {
        "mov r10, r15
        not r10
        mov rcx, [r15]
        lea rcx, [rcx + r10 + 1]
        jrcxz 9f
        mov rcx, r11
        int 0x80
        ud2
        9: mov rcx, r11
        jmp qword ptr [r15 + {ENTRY_AT}]"
    };
}
pub(crate) use enter_kernel;
