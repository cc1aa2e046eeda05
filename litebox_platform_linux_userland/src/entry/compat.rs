//! 32-bit code: what host signals of it look like, and its vDSO.
//!
//! While a thread runs 32-bit code of a 32-bit program, `r15` holds its [`ThreadBlock`]: such code cannot touch it, and
//! both segment registers stay the guest's. Calls come by `int $0x80`, which traps, or through `__kernel_vsyscall` of
//! the [`vdso`], which jumps into 64-bit code of its own page and from there to the fast entry
//! ([`fast::compat`](super::fast::compat)). Sites of `int $0x80` in files are [patched](super::patch).

mod vdso;

use core::mem::offset_of;

use litebox::platform::compat::CpuMode;
use litebox::platform::north::Registers;

use crate::entry::fast::FRAME_LAYOUT;
use crate::entry::patch::{CodeEvent, TrapOutcome, leave_gate};
use crate::entry::trap::UserContext;
use crate::host::thread_block::{CODE32, ThreadBlock};

use vdso::Doing;
pub(crate) use vdso::vdso;

/// Selectors of the host's segments for 64-bit code and data of programs.
const CODE64: u16 = 0x33;
const DATA: u64 = 0x2b;

/// What the architecture is called in the information of SIGSYS (`AUDIT_ARCH_I386`).
pub(crate) const ARCH_I386: u32 = 0x4000_0003;

/// Where the vDSO's 64-bit code finds the address to go to for reading a clock, from `r15` on.
const CLOCK_AT: usize = offset_of!(ThreadBlock, compat_clock_entry);

/// Code and stack segment as the host's frames hold them.
pub(crate) const fn segments_of(mode: CpuMode) -> u64 {
    let code = match mode {
        CpuMode::Long => CODE64,
        CpuMode::Compat => CODE32,
    };
    code as u64 | DATA << 48
}

impl UserContext {
    /// How the interrupted code is decoded.
    pub(crate) fn mode(&self) -> CpuMode {
        if self.segments as u16 == CODE32 { CpuMode::Compat } else { CpuMode::Long }
    }

    /// The thread of `block` goes on with code that is decoded so.
    pub(crate) fn go_on(&mut self, mode: CpuMode, block: &ThreadBlock) {
        self.segments = segments_of(mode);
        keep_block(&mut self.regs, mode, block);
    }
}

/// 32-bit code of a 32-bit program has the thread's block in `r15`. Until a frame of the host was seen, the fast entry
/// could not save the floating-point state: there is nothing in `r15`, so that the first call of the vDSO traps.
pub(crate) fn keep_block(regs: &mut Registers, mode: CpuMode, block: &ThreadBlock) {
    if mode == CpuMode::Compat && block.segments.is_some() {
        regs.r15 = if FRAME_LAYOUT.known() { block.this as u64 } else { 0 };
    }
}

/// 32-bit code, or a thread of a 32-bit program, was interrupted: by a kick, or by something that its code did
/// (`kicked` is false). Afterwards the registers name an address in code that the guest knows of.
pub(crate) fn look(
    event: CodeEvent,
    kicked: bool,
    regs: &mut Registers,
    mode: &mut CpuMode,
    block: &ThreadBlock,
) -> TrapOutcome {
    let Some(base) = block.segments.map(|segments| u64::from(segments.vdso)) else { return TrapOutcome::Guest };
    if *mode == CpuMode::Long {
        if let Some(outcome) = leave_gate(kicked, regs, mode, block) {
            return outcome;
        }
    }
    match (*mode, vdso::doing_at(regs.rip.wrapping_sub(base))) {
        // Between the two far jumps: nothing has happened yet.
        (CpuMode::Long, Some(Doing::Call { moved })) if base != 0 => {
            *mode = CpuMode::Compat;
            if moved {
                regs.rcx = regs.r11;
            }
            if !kicked {
                // Who steps through the call has made it; and `r15` may lead nowhere.
                regs.rip = base + u64::from(vdso::landing());
                return TrapOutcome::Call32;
            }
            regs.rip = base + u64::from(vdso().vsyscall);
        }
        // The clock was not read: the function makes the call.
        (CpuMode::Long, Some(Doing::Clock)) if base != 0 => {
            *mode = CpuMode::Compat;
            regs.rcx = u64::from(u32::MAX);
            regs.rip = base + u64::from(vdso::clock_landing());
            if !kicked && event != CodeEvent::Step {
                return TrapOutcome::GoOn;
            }
        }
        // `syscall` and `sysenter`: the host means a place in the vDSO of a 32-bit process of its own.
        (CpuMode::Compat, _) if event == CodeEvent::Call && u32::try_from(regs.rip).is_err() => {
            regs.rip = base + u64::from(vdso::syscall_landing());
        }
        _ => {}
    }
    TrapOutcome::Guest
}
