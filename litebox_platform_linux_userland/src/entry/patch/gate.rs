//! The gate: where trampolines of 32-bit code lead.
//!
//! 32-bit code leaves for 64-bit code by a far call to an absolute address. So that trampolines can be moved with their
//! code, that address is the same in all processes of 32-bit programs: right above where nothing is placed unasked.
//! What the far call leaves on the stack leads back to the trampoline. Behind the code lies what `cpuid` answers.
//!
//! A thread that is interrupted here is about to make its call, or to execute its `cpuid`: whoever looks at it is told
//! so ([`leave_gate`](super::leave_gate)).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::global_asm;

use litebox::platform::UserAccess;
use litebox::platform::compat::CpuMode;
use litebox::platform::north::Registers;
use litebox::sync::Mutex;
use litebox_syscall_rewriter::{CpuidLeaf, FAR_CALL_LEN, SYSCALL_LEN};

use super::region::Pages;
use crate::LinuxHost;
use crate::entry::far_entry::{ENTRY_AT, GATE as BASE, enter_kernel};
use crate::host::published::Published;

/// Bytes of it.
const LEN: usize = 16 << 10;
/// What a far call pushes: address and segment.
const FAR_FRAME: u64 = 8;

global_asm!(
    ".section .rodata.litebox_gate, \"a\", @progbits",
    ".balign 64",
    ".code64",
    ".globl litebox_gate",
    "litebox_gate:",
    // The header, by which places in the guest's code are told: r8 and r9 become where its call returns to, and where
    // it goes on. The flags stay.
    "mov r8d, [esp]",
    "lea esp, [rsp + {FAR_FRAME}]",
    ".globl litebox_gate_popped",
    "litebox_gate_popped:",
    "movsxd r9, dword ptr [r8 + 4]",
    "movsxd r10, dword ptr [r8]",
    "lea r9d, [r8 + r9]",
    "lea r8d, [r8 + r10]",
    ".globl litebox_gate_found",
    "litebox_gate_found:",
    "mov r11, rcx",
    ".globl litebox_gate_checking",
    "litebox_gate_checking:",
    enter_kernel!(),
    ".balign 16",
    ".globl litebox_gate_cpuid",
    "litebox_gate_cpuid:",
    "mov esp, esp",
    "pushfq",
    ".globl litebox_gate_looking",
    "litebox_gate_looking:",
    "lea r8, [rip + litebox_gate_end]",
    "4: cmp [r8], eax",
    "jne 2f",
    "mov r9d, [r8 + 4]",
    "and r9d, ecx",
    "cmp r9d, [r8 + 8]",
    "je 3f",
    "2: cmp dword ptr [r8 + 28], 0",
    "lea r8, [r8 + 32]",
    "jne 4b",
    "popfq",
    ".globl litebox_gate_asking",
    "litebox_gate_asking:",
    "cpuid",
    ".globl litebox_gate_asked",
    "litebox_gate_asked:",
    // A far return to 32-bit code.
    ".byte 0xcb",
    "3: mov r9d, [r8 + 12]",
    "mov r10d, [r8 + 20]",
    "mov ebx, [r8 + 16]",
    "mov edx, [r8 + 24]",
    "mov ecx, r10d",
    ".globl litebox_gate_answering",
    "litebox_gate_answering:",
    "mov eax, r9d",
    "popfq",
    ".globl litebox_gate_answered",
    "litebox_gate_answered:",
    ".byte 0xcb",
    ".balign 64",
    ".globl litebox_gate_end",
    "litebox_gate_end:",
    ".text",
    FAR_FRAME = const FAR_FRAME,
    ENTRY_AT = const ENTRY_AT,
);

unsafe extern "C" {
    static litebox_gate: u8;
    static litebox_gate_popped: u8;
    static litebox_gate_found: u8;
    static litebox_gate_checking: u8;
    static litebox_gate_cpuid: u8;
    static litebox_gate_looking: u8;
    static litebox_gate_asking: u8;
    static litebox_gate_asked: u8;
    static litebox_gate_answering: u8;
    static litebox_gate_answered: u8;
    static litebox_gate_end: u8;
}

/// How far into the gate a symbol is.
fn offset(symbol: *const u8) -> u64 {
    (symbol as usize - &raw const litebox_gate as usize) as u64
}

const _: () = assert!(size_of::<CpuidLeaf>() == 32);

/// Where far calls of trampolines lead.
pub(super) fn call_target() -> u64 {
    BASE
}

/// Where those for a `cpuid` lead.
pub(super) fn cpuid_target() -> u64 {
    BASE + offset(&raw const litebox_gate_cpuid)
}

/// The gate's memory, made when it is first wanted.
#[derive(Default)]
pub(crate) struct Gate(Mutex<Option<Written>>);

/// The gate of this sandbox.
pub(crate) static GATE: Published<Gate> = Published::nothing();

/// Its pages.
struct Written {
    pages: Arc<Pages>,
    /// The answers of `cpuid` are in it.
    has_table: bool,
}

impl Gate {
    /// Maps it for the calling process. `false`: something is there, or there is no memory.
    pub(super) fn map(&self) -> bool {
        let mut written = self.0.lock();
        if written.is_none() {
            *written = Pages::take().map(|pages| {
                pages.write(0, code());
                Written { pages, has_table: false }
            });
        }
        written.as_ref().is_some_and(|written| written.pages.map_part(BASE, LEN))
    }

    /// Puts the answers of `cpuid` into it.
    pub(super) fn provide_table(&self, leaves: &[CpuidLeaf]) {
        let mut written = self.0.lock();
        let Some(written) = written.as_mut().filter(|written| !written.has_table) else { return };
        written.has_table = true;
        let start = code().len();
        let mut table: Vec<CpuidLeaf> = leaves.iter().copied().take((LEN - start) / size_of::<CpuidLeaf>()).collect();
        if let Some(last) = table.last_mut() {
            last.more = 0;
        }
        // SAFETY: plain numbers without padding.
        let bytes = unsafe { core::slice::from_raw_parts(table.as_ptr().cast::<u8>(), size_of_val(&*table)) };
        written.pages.write(start, bytes);
    }
}

/// Its code.
fn code() -> &'static [u8] {
    // SAFETY: constants of the program.
    unsafe { core::slice::from_raw_parts(&raw const litebox_gate, offset(&raw const litebox_gate_end) as usize) }
}

/// Whether the range and the gate have something in common.
pub(super) fn overlaps(start: u64, end: u64) -> bool {
    BASE < end && start < BASE + LEN as u64
}

fn word_at(address: u64) -> Option<u32> {
    let mut bytes = [0; 4];
    let got = LinuxHost.copy_from_user(&mut bytes, usize::try_from(address).ok()?);
    (got == bytes.len()).then(|| u32::from_le_bytes(bytes))
}

/// What a thread was doing that is in its own code again.
pub(super) enum Doing {
    /// Nothing that has to be done for it.
    Nothing,
    /// It was making a call, which has to be served.
    Call,
}

/// As [`leave_gate`](super::leave_gate), where there is a gate.
pub(super) fn leave(kicked: bool, regs: &mut Registers, mode: &mut CpuMode) -> Option<Doing> {
    let at = regs.rip.checked_sub(BASE).filter(|at| *at < offset(&raw const litebox_gate_end))?;
    let outcome =
        if at < offset(&raw const litebox_gate_cpuid) { leave_call(at, kicked, regs) } else { leave_cpuid(at, regs) };
    if outcome.is_some() {
        *mode = CpuMode::Compat;
    }
    outcome
}

/// A call is about to be made: a kick has it made again, from where it is in the guest's code.
fn leave_call(at: u64, kicked: bool, regs: &mut Registers) -> Option<Doing> {
    let next = if at >= offset(&raw const litebox_gate_found) {
        regs.r8 as u32
    } else {
        let popped = at >= offset(&raw const litebox_gate_popped);
        let header = if popped { regs.r8 as u32 } else { word_at(regs.rsp)? };
        let next = header.wrapping_add(word_at(header.into())?);
        if !popped {
            regs.rsp = u64::from((regs.rsp as u32).wrapping_add(FAR_FRAME as u32));
        }
        next
    };
    if at >= offset(&raw const litebox_gate_checking) {
        regs.rcx = regs.r11;
    }
    if kicked {
        regs.rip = u64::from(next.wrapping_sub(SYSCALL_LEN as u32));
        return Some(Doing::Nothing);
    }
    regs.rip = next.into();
    Some(Doing::Call)
}

/// A `cpuid` is about to be executed, or was.
fn leave_cpuid(at: u64, regs: &mut Registers) -> Option<Doing> {
    let between = |from: *const u8, to: *const u8| (offset(from)..offset(to)).contains(&at);
    let flags_saved = between(&raw const litebox_gate_looking, &raw const litebox_gate_asking)
        || at > offset(&raw const litebox_gate_asked) && at < offset(&raw const litebox_gate_answered);
    let answered = at >= offset(&raw const litebox_gate_answering);
    let frame = (regs.rsp as u32).wrapping_add(if flags_saved { 8 } else { 0 });
    let back = word_at(frame.into())?;
    if flags_saved {
        let flags = word_at(regs.rsp)?;
        regs.eflags = u64::from(flags);
    }
    if answered && at == offset(&raw const litebox_gate_answering) {
        regs.rax = regs.r9;
    }
    regs.rsp = u64::from(frame.wrapping_add(FAR_FRAME as u32));
    let done = answered || at == offset(&raw const litebox_gate_asked);
    // The far call of the trampoline stands for the instruction.
    let far_call = back.wrapping_sub(FAR_CALL_LEN as u32);
    regs.rip = u64::from(if done { back } else { far_call });
    Some(Doing::Nothing)
}
