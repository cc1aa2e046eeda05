//! Guest memory with fault recovery.
//!
//! The instructions that touch guest memory lie in ranges that the fault handler knows ([`fault_exit`]); a fault there
//! continues at the range's exit instead of ending the sandbox. In copies `rcx` counts the bytes left, so the exit
//! knows how far it got.

use core::arch::global_asm;

use litebox::platform::{AtomicOp, UserAccess};
use litebox::{Error, Result};

use crate::LinuxHost;
use crate::host::rseq_areas;
use crate::memory::layout::LAYOUT;

global_asm!(
    ".section .text.litebox_user, \"ax\", @progbits",
    // usize litebox_user_copy(dst, src, len): returns the bytes left.
    ".globl litebox_user_copy",
    ".type litebox_user_copy, @function",
    "litebox_user_copy:",
    // Up to 256 bytes by words (`rep` takes longer to start than those take), the last one overlapping the one before.
    "mov rcx, rdx",
    "lea rax, [rdx - 8]",
    "cmp rax, 248",
    "ja 4f",
    "xor edx, edx",
    ".globl litebox_user_words",
    "litebox_user_words:",
    "mov r8, [rsi + rax]",
    "2:",
    "mov r9, [rsi + rdx]",
    "mov [rdi + rdx], r9",
    "add rdx, 8",
    "cmp rdx, rax",
    "jb 2b",
    "mov [rdi + rax], r8",
    "xor eax, eax",
    "ret",
    // Fewer than eight: two halves that may overlap, or up to three bytes.
    "4:",
    "cmp rdx, 4",
    "jb 5f",
    "cmp rdx, 8",
    "jae 3f",
    "mov r8d, [rsi]",
    "mov r9d, [rsi + rdx - 4]",
    "mov [rdi], r8d",
    "mov [rdi + rdx - 4], r9d",
    "xor eax, eax",
    "ret",
    "5:",
    "test edx, edx",
    "jz 6f",
    "movzx r8d, byte ptr [rsi]",
    "cmp edx, 1",
    "je 7f",
    "movzx r9d, word ptr [rsi + rdx - 2]",
    "mov [rdi + rdx - 2], r9w",
    "7:",
    "mov [rdi], r8b",
    "6:",
    "xor eax, eax",
    "ret",
    ".globl litebox_user_words_end",
    "litebox_user_words_end:",
    ".globl litebox_user_copy_slow",
    "litebox_user_copy_slow:",
    "3:",
    ".globl litebox_user_bytes",
    "litebox_user_bytes:",
    "rep movsb",
    ".globl litebox_user_bytes_end",
    "litebox_user_bytes_end:",
    "mov rax, rcx",
    "ret",
    // usize litebox_user_zero(dst, len): returns the bytes left.
    ".globl litebox_user_zero",
    ".type litebox_user_zero, @function",
    "litebox_user_zero:",
    "mov rcx, rsi",
    "xor eax, eax",
    ".globl litebox_user_fill",
    "litebox_user_fill:",
    "cmp rcx, 8",
    "jae 3f",
    // So few are quicker one by one.
    "jrcxz 4f",
    "2:",
    "mov byte ptr [rdi], al",
    "inc rdi",
    "dec rcx",
    "jnz 2b",
    "jmp 4f",
    "3:",
    "rep stosb",
    "4:",
    ".globl litebox_user_fill_end",
    "litebox_user_fill_end:",
    "mov rax, rcx",
    "ret",
    // usize litebox_user_halves(dst, src, count, stride): returns how many are left.
    ".globl litebox_user_halves",
    ".type litebox_user_halves, @function",
    "litebox_user_halves:",
    "mov r8, rcx",
    "mov rcx, rdx",
    ".globl litebox_user_scatter",
    "litebox_user_scatter:",
    "jrcxz 3f",
    "2:",
    "movzx eax, word ptr [rsi]",
    "mov [rdi], ax",
    "add rsi, 2",
    "add rdi, r8",
    "dec rcx",
    "jnz 2b",
    "3:",
    ".globl litebox_user_scatter_end",
    "litebox_user_scatter_end:",
    "mov rax, rcx",
    "ret",
    // u64 litebox_user_atomic(addr, kind, operand, expected): value before; all ones in rdx's place (high half) on a
    // fault. kind: 0 load, 1 swap, 2 add, 3 compare-exchange
    ".globl litebox_user_atomic",
    ".type litebox_user_atomic, @function",
    "litebox_user_atomic:",
    "mov eax, ecx",
    "cmp esi, 1",
    "je 5f",
    "cmp esi, 2",
    "je 6f",
    "cmp esi, 3",
    "je 7f",
    ".globl litebox_user_atomic_access",
    "litebox_user_atomic_access:",
    "mov eax, [rdi]",
    "ret",
    "5:",
    "xchg [rdi], edx",
    "mov eax, edx",
    "ret",
    "6:",
    "lock xadd [rdi], edx",
    "mov eax, edx",
    "ret",
    "7:",
    "lock cmpxchg [rdi], edx",
    "mov eax, eax",
    "ret",
    ".globl litebox_user_atomic_fault",
    "litebox_user_atomic_fault:",
    "mov rax, -1",
    "ret",
    ".text",
);

unsafe extern "C" {
    fn litebox_user_copy(dst: usize, src: usize, len: usize) -> usize;
    fn litebox_user_zero(dst: usize, len: usize) -> usize;
    fn litebox_user_halves(dst: usize, src: *const u16, count: usize, stride: usize) -> usize;
    fn litebox_user_atomic(addr: usize, kind: u32, operand: u32, expected: u32) -> u64;
    static litebox_user_words: u8;
    static litebox_user_words_end: u8;
    static litebox_user_copy_slow: u8;
    static litebox_user_bytes: u8;
    static litebox_user_bytes_end: u8;
    static litebox_user_fill: u8;
    static litebox_user_fill_end: u8;
    static litebox_user_scatter: u8;
    static litebox_user_scatter_end: u8;
    static litebox_user_atomic_access: u8;
    static litebox_user_atomic_fault: u8;
}

/// Where execution continues after a fault at `rip` of kernel code that was touching guest memory; `None`: it was not.
pub(crate) fn fault_exit(rip: usize) -> Option<usize> {
    let within = |start: *const u8, end: *const u8| (start as usize..end as usize).contains(&rip);
    if within(&raw const litebox_user_words, &raw const litebox_user_words_end) {
        // Byte by byte it will fault again, at the very byte.
        return Some((&raw const litebox_user_copy_slow) as usize);
    }
    if within(&raw const litebox_user_bytes, &raw const litebox_user_bytes_end) {
        return Some((&raw const litebox_user_bytes_end) as usize);
    }
    if within(&raw const litebox_user_fill, &raw const litebox_user_fill_end) {
        return Some((&raw const litebox_user_fill_end) as usize);
    }
    if within(&raw const litebox_user_scatter, &raw const litebox_user_scatter_end) {
        return Some((&raw const litebox_user_scatter_end) as usize);
    }
    if within(&raw const litebox_user_atomic_access, &raw const litebox_user_atomic_fault) {
        return Some((&raw const litebox_user_atomic_fault) as usize);
    }
    None
}

fn in_user_space(addr: usize, len: usize) -> bool {
    let layout = &LAYOUT;
    let Some(end) = addr.checked_add(len) else { return false };
    let within = |span: (usize, usize)| addr >= span.0 && end <= span.1;
    within(layout.user) || within(layout.vdso)
}

/// Fills guest memory with zeros; how many bytes.
fn zero(dst: usize, len: usize) -> usize {
    // SAFETY: only guest memory is written (the callers checked that); faults are recovered.
    len - unsafe { litebox_user_zero(dst, len) }
}

impl UserAccess for LinuxHost {
    #[inline]
    fn copy_from_user(&self, dst: &mut [u8], src: usize) -> usize {
        let len = dst.len();
        if !in_user_space(src, len) {
            return 0;
        }
        // SAFETY: `dst` has `len` bytes; faults on the guest side are recovered.
        len - unsafe { litebox_user_copy(dst.as_mut_ptr() as usize, src, len) }
    }

    #[inline]
    fn copy_to_user(&self, dst: usize, src: &[u8]) -> usize {
        let len = src.len();
        if !in_user_space(dst, len) {
            return 0;
        }
        let start = src.as_ptr() as usize;
        // SAFETY: part of `src`; faults on the guest side are recovered.
        let copy = |to: usize, from: usize, len: usize| len - unsafe { litebox_user_copy(to, start + from, len) };
        match rseq_areas::near(dst, len) {
            None => copy(dst, 0, len),
            Some(areas) => rseq_areas::write_around(areas, dst, len, copy, zero),
        }
    }

    fn zero_user(&self, dst: usize, len: usize) -> usize {
        if !in_user_space(dst, len) {
            return 0;
        }
        match rseq_areas::near(dst, len) {
            None => zero(dst, len),
            Some(areas) => rseq_areas::write_around(areas, dst, len, |at, _, len| zero(at, len), zero),
        }
    }

    fn put_halves(&self, dst: usize, stride: usize, halves: &[u16]) -> usize {
        let len =
            halves.len().checked_sub(1).and_then(|steps| steps.checked_mul(stride)?.checked_add(size_of::<u16>()));
        let Some(len) = len.filter(|len| in_user_space(dst, *len)) else { return 0 };
        if rseq_areas::pointer_in(dst, len).is_some() {
            // One by one.
            let put =
                |(i, half): (usize, &u16)| self.copy_to_user(dst + i * stride, &half.to_ne_bytes()) == size_of::<u16>();
            return halves.iter().enumerate().take_while(|each| put((each.0, each.1))).count();
        }
        // SAFETY: only guest memory is written; faults are recovered.
        halves.len() - unsafe { litebox_user_halves(dst, halves.as_ptr(), halves.len(), stride) }
    }

    fn user_atomic_u32(&self, addr: usize, op: AtomicOp) -> Result<u32> {
        if addr % 4 != 0 {
            return Err(Error::Invalid);
        }
        if !in_user_space(addr, 4) {
            return Err(Error::Fault);
        }
        let access = |kind: u32, operand: u32, expected: u32| -> Result<u32> {
            // SAFETY: an aligned word of guest memory; faults are recovered.
            let before = unsafe { litebox_user_atomic(addr, kind, operand, expected) };
            u32::try_from(before).map_err(|_| Error::Fault)
        };
        if op != AtomicOp::Load && rseq_areas::pointer_in(addr, 4).is_some() {
            let before = access(0, 0, 0)?;
            return if zero(addr & !7, 8) == 8 { Ok(before) } else { Err(Error::Fault) };
        }
        let update = |f: &dyn Fn(u32) -> u32| -> Result<u32> {
            let mut seen = access(0, 0, 0)?;
            loop {
                let before = access(3, f(seen), seen)?;
                if before == seen {
                    return Ok(before);
                }
                seen = before;
            }
        };
        match op {
            AtomicOp::Load => access(0, 0, 0),
            AtomicOp::Swap(v) => access(1, v, 0),
            AtomicOp::Add(v) => access(2, v, 0),
            AtomicOp::CompareExchange { expected, new } => access(3, new, expected),
            AtomicOp::Or(v) => update(&|w| w | v),
            AtomicOp::And(v) => update(&|w| w & v),
            AtomicOp::Xor(v) => update(&|w| w ^ v),
        }
    }

    fn is_user_range(&self, addr: usize, len: usize) -> bool {
        in_user_space(addr, len)
    }
}
