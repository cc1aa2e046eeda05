//! Signal frames in Linux's x86-64 layout: `struct rt_sigframe { pretcode, ucontext, siginfo }`, above it the 64-byte
//! aligned xsave area.

use core::sync::atomic::Ordering;

use litebox::platform::compat::CpuMode;
use litebox::platform::host;
use litebox::platform::north::{Fault, FaultKind};
use litebox::{Error, Result};
use litebox_common_linux::Arch;

use super::set::{SI_KERNEL, SIGSEGV};
use super::{Action, AltStack, SigSet, SignalInfo};
use crate::Task;
use crate::user::{read_bytes, read_into, word, write_bytes};

pub(super) const SA_ONSTACK: u64 = 0x0800_0000;
pub(super) const SA_RESTORER: u64 = 0x0400_0000;
const SS_DISABLE: u32 = 2;
const SS_AUTODISARM: u32 = 1 << 31;
const RED_ZONE: u64 = 128;

const UC: usize = 8;
const UC_STACK: usize = UC + 16;
const MC: usize = UC + 40;
const MC_CS: usize = MC + 144;
const MC_ERR: usize = MC + 152;
const MC_FPSTATE: usize = MC + 184;
const UC_MASK: usize = MC + 256;
const INFO: usize = UC_MASK + 8;
const FRAME: usize = INFO + SignalInfo::SIZE;

pub(super) const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;
const CODE64: u16 = 0x33;
const CODE32: u16 = 0x23;
/// What user code has in the lowest bits of its segments.
pub(super) const USER: u16 = 3;
const USER_SS: u16 = 0x2b;

/// Flags a sigreturn may set: the arithmetic ones, trap, direction, resume and alignment check.
pub(super) const FLAGS: u64 = 0x5_0dd5;
pub(super) const TF: u64 = 0x100;
pub(super) const DF: u64 = 0x400;
pub(super) const RF: u64 = 0x1_0000;

const FX_SIZE: usize = 512;
const HEADER_END: usize = 576;
const MXCSR: usize = 24;
const SW_RESERVED: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
const MXCSR_INIT: u32 = 0x1f80;
const FCW_INIT: u16 = 0x37f;

/// The code segment of what is decoded so.
pub(super) fn code_segment(mode: CpuMode) -> u16 {
    match mode {
        CpuMode::Long => CODE64,
        CpuMode::Compat => CODE32,
    }
}

/// How code of this segment is decoded, for a frame that wants to go on there.
pub(super) fn mode_of(selector: u16) -> Result<CpuMode> {
    match selector | USER {
        CODE64 => Ok(CpuMode::Long),
        CODE32 => Ok(CpuMode::Compat),
        _ => Err(Error::Fault),
    }
}

impl AltStack {
    pub(super) fn holds(&self, sp: u64) -> bool {
        !self.autodisarm && self.size != 0 && sp > self.base && sp - self.base <= self.size
    }
    /// As sigaltstack(2) reports it to a thread with this stack pointer; a frame holds it without saying whether it is
    /// in use.
    pub(crate) fn to_bytes(self, sp: Option<u64>) -> [u8; 24] {
        let mut raw = [0u8; 24];
        let mut flags = if self.size == 0 { SS_DISABLE } else { u32::from(sp.is_some_and(|sp| self.holds(sp))) };
        if self.autodisarm {
            flags |= SS_AUTODISARM;
        }
        raw[..8].copy_from_slice(&self.base.to_le_bytes());
        raw[8..12].copy_from_slice(&flags.to_le_bytes());
        raw[16..].copy_from_slice(&self.size.to_le_bytes());
        raw
    }
    /// What `stack_t` asks for, with the errors of sigaltstack(2). `now` is the stack in force.
    pub(crate) fn from_bytes(raw: &[u8; 24], now: Self, sp: u64) -> Result<Self> {
        const MIN_SIZE: u64 = 2048;
        if now.holds(sp) {
            return Err(Error::NotPermitted);
        }
        let flags = u32::from_le_bytes(word(raw, 8));
        let autodisarm = flags & SS_AUTODISARM != 0;
        let (base, size) = (u64::from_le_bytes(word(raw, 0)), u64::from_le_bytes(word(raw, 16)));
        match flags & !SS_AUTODISARM {
            SS_DISABLE => Ok(Self { base: 0, size: 0, autodisarm }),
            0 | 1 if size < MIN_SIZE => Err(Error::NoMemory),
            0 | 1 => Ok(Self { base, size, autodisarm }),
            _ => Err(Error::Invalid),
        }
    }
}

impl Task<'_, '_> {
    /// Builds the frame of a handler on the guest's stack and makes the thread continue in the handler.
    pub(crate) fn push_frame(&mut self, info: &SignalInfo, action: &Action, old: SigSet) -> Result<()> {
        if self.process().arch() == Arch::X86 {
            return self.push_frame32(info, action, old);
        }
        let (alt, trap) = {
            let own = self.thread.signals.own.lock();
            (own.alt_stack, own.last_trap)
        };
        let sp = self.frame.regs.rsp;
        // x86-64 without SA_RESTORER has nowhere to return to: Linux refuses.
        if action.flags & SA_RESTORER == 0 {
            return Err(Error::Fault);
        }
        let on_alt = alt.holds(sp);
        let enter_alt = action.flags & SA_ONSTACK != 0 && alt.size != 0 && !on_alt;
        let mut top = if enter_alt { alt.base.wrapping_add(alt.size) } else { sp.wrapping_sub(RED_ZONE) };
        let fp_len = self.frame.fp().map_or(0, |fp| fp.len());
        let mut fpstate = 0;
        if fp_len != 0 {
            top = top.wrapping_sub(fp_len as u64) & !63;
            fpstate = top;
        }
        let at = (top.wrapping_sub(FRAME as u64) & !15).wrapping_sub(8);
        if (on_alt || enter_alt) && (at < alt.base || at - alt.base >= alt.size) {
            return Err(Error::Fault);
        }
        let xsave = self.frame.fp().is_some_and(|fp| is_extended(fp));
        let mut raw = [0u8; FRAME];
        let mut put = |offset: usize, value: u64| raw[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        put(0, action.restorer);
        put(UC, UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | if xsave { UC_FP_XSTATE } else { 0 });
        let r = &*self.frame.regs;
        let regs = [
            r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax, r.rcx,
            r.rsp, r.rip, r.eflags,
        ];
        for (i, value) in regs.into_iter().enumerate() {
            put(MC + i * 8, value);
        }
        put(MC_CS, u64::from(code_segment(self.frame.mode)) | u64::from(USER_SS) << 48);
        for (i, value) in [trap.error, trap.number, old.0, trap.cr2, fpstate].into_iter().enumerate() {
            put(MC_ERR + i * 8, value);
        }
        put(UC_MASK, old.0);
        raw[UC_STACK..UC_STACK + 24].copy_from_slice(&alt.to_bytes(None));
        raw[INFO..].copy_from_slice(&info.to_bytes());
        if let Some(fp) = self.frame.fp() {
            write_bytes(fpstate, fp)?;
        }
        write_bytes(at, &raw)?;
        if alt.autodisarm {
            self.thread.signals.own.lock().alt_stack = AltStack::default();
        }
        if let Some(fp) = self.frame.fp() {
            initial_fp(fp);
        }
        let regs = &mut *self.frame.regs;
        regs.rdi = info.signal as u64;
        regs.rsi = at + INFO as u64;
        regs.rdx = at + UC as u64;
        regs.rax = 0;
        regs.rsp = at;
        regs.rip = action.handler;
        regs.eflags &= !(DF | RF | TF);
        self.frame.mode = CpuMode::Long;
        Ok(())
    }

    /// rt_sigreturn(2): back to where the frame says.
    #[expect(clippy::unnecessary_wraps, reason = "handlers of calls have one shape")]
    pub(crate) fn rt_sigreturn(&mut self) -> Result<usize> {
        let restore = match self.abi() {
            Arch::X86_64 => Self::restore_frame,
            Arch::X86 => Self::restore_frame32,
        };
        Ok(self.return_by_frame(restore))
    }

    /// The end of a handler: back to where `restore` says. A bad frame is SIGSEGV.
    pub(super) fn return_by_frame(&mut self, restore: impl FnOnce(&mut Self) -> Result<()>) -> usize {
        self.thread.signals.restart.store(0, Ordering::Relaxed);
        // The handler's own calls may have left one that is not meant for what it interrupted.
        *self.thread.restart_block.lock() = None;
        if restore(self).is_err() {
            self.force(SignalInfo::kernel(SIGSEGV));
        }
        // It has no result of its own: the register stays as it is now.
        self.frame.regs.rax as usize
    }

    fn restore_frame(&mut self) -> Result<()> {
        let at = self.frame.regs.rsp.wrapping_sub(8);
        let raw: [u8; FRAME] = read_bytes(at)?;
        let get = |offset: usize| u64::from_le_bytes(word(&raw, offset));
        let mode = mode_of(get(MC_CS) as u16)?;
        self.set_blocked(SigSet(get(UC_MASK)));
        self.restore_fp(get(MC_FPSTATE))?;
        let r = &mut *self.frame.regs;
        let targets = [
            &mut r.r8, &mut r.r9, &mut r.r10, &mut r.r11, &mut r.r12, &mut r.r13, &mut r.r14, &mut r.r15, &mut r.rdi,
            &mut r.rsi, &mut r.rbp, &mut r.rbx, &mut r.rdx, &mut r.rax, &mut r.rcx, &mut r.rsp, &mut r.rip,
        ];
        for (i, target) in targets.into_iter().enumerate() {
            *target = get(MC + i * 8);
        }
        r.eflags = r.eflags & !FLAGS | get(MC + 17 * 8) & FLAGS;
        let sp = r.rsp;
        self.frame.mode = mode;
        let mut own = self.thread.signals.own.lock();
        // As on Linux, a stack that sigaltstack(2) would refuse is left as it is.
        if let Ok(stack) = AltStack::from_bytes(&word(&raw, UC_STACK), own.alt_stack, sp) {
            own.alt_stack = stack;
        }
        drop(own);
        self.go_on_where_code_can_be();
        Ok(())
    }

    /// An instruction pointer that leads out of the guest's memory is a fault there, before it is followed.
    pub(super) fn go_on_where_code_can_be(&mut self) {
        const GENERAL_PROTECTION: u64 = 13;
        const PAGE_FAULT: u64 = 14;
        /// What a page fault tells of a fetch by a program, from where there is no page, and from the host kernel's
        /// half.
        const FETCH: u64 = 0x14;
        const FETCH_ABOVE: u64 = 0x15;
        const UPPER_HALF: u64 = 0xffff_8000_0000_0000;
        const LOWER_END: u64 = 0x8000_0000_0000;
        let rip = self.frame.regs.rip;
        let Ok(addr) = usize::try_from(rip) else { return };
        if host().is_user_range(addr, 1) {
            return;
        }
        let (trap, error) = match rip {
            UPPER_HALF.. => (PAGE_FAULT, FETCH_ABOVE),
            LOWER_END.. => (GENERAL_PROTECTION, 0),
            _ => (PAGE_FAULT, FETCH),
        };
        self.deliver_fault(Fault { kind: FaultKind::Segv, code: SI_KERNEL, addr, error, trap });
    }

    pub(super) fn restore_fp(&mut self, addr: u64) -> Result<()> {
        let Some(fp) = self.frame.fp() else { return Ok(()) };
        if fp.len() < FX_SIZE {
            return Err(Error::Fault);
        }
        if addr == 0 {
            initial_fp(fp);
            return Ok(());
        }
        let mut legacy: [u8; FX_SIZE] = read_bytes(addr)?;
        let ours: [u8; 48] = word(fp, SW_RESERVED);
        let (features, size) = (u64::from_le_bytes(word(&ours, 8)), u32::from_le_bytes(word(&ours, 16)) as usize);
        let mask = match u32::from_le_bytes(word(fp, MXCSR + 4)) {
            0 => 0xffbf,
            mask => mask,
        };
        let mxcsr = u32::from_le_bytes(word(&legacy, MXCSR)) & mask;
        legacy[MXCSR..MXCSR + 4].copy_from_slice(&mxcsr.to_le_bytes());
        legacy[SW_RESERVED..].copy_from_slice(&ours);
        let extended = u32::from_le_bytes(word(&ours, 0)) == MAGIC1 && size >= HEADER_END && size <= fp.len();
        if !extended {
            fp[..FX_SIZE].copy_from_slice(&legacy);
            return Ok(());
        }
        let theirs: [u8; 48] = read_bytes(addr.wrapping_add(SW_RESERVED as u64))?;
        let their_size = u32::from_le_bytes(word(&theirs, 16)) as usize;
        let whole = u32::from_le_bytes(word(&theirs, 0)) == MAGIC1
            && (HEADER_END..=size).contains(&their_size)
            && read_bytes(addr.wrapping_add(their_size as u64)).map(u32::from_le_bytes) == Ok(MAGIC2);
        let (mut present, mut outcome) = (3, Ok(()));
        if whole {
            // A fault half way leaves guest bytes in the header, which the processor would refuse: clean it before
            // reporting.
            outcome = read_into(addr.wrapping_add(FX_SIZE as u64), &mut fp[FX_SIZE..their_size]);
            present = u64::from_le_bytes(word(fp, FX_SIZE)) & features & u64::from_le_bytes(word(&theirs, 8));
        }
        fp[..FX_SIZE].copy_from_slice(&legacy);
        fp[FX_SIZE..HEADER_END].fill(0);
        fp[FX_SIZE..FX_SIZE + 8].copy_from_slice(&present.to_le_bytes());
        outcome
    }
}

/// Whether an area is one of `xsave`, not only of `fxsave`.
pub(super) fn is_extended(fp: &[u8]) -> bool {
    u32::from_le_bytes(word(fp, SW_RESERVED)) == MAGIC1
}

/// What a handler and a fresh program start with.
pub(super) fn initial_fp(fp: &mut [u8]) {
    if fp.len() < FX_SIZE {
        return;
    }
    let mask: [u8; 4] = word(fp, MXCSR + 4);
    fp[..SW_RESERVED].fill(0);
    fp[..2].copy_from_slice(&FCW_INIT.to_le_bytes());
    fp[MXCSR..MXCSR + 4].copy_from_slice(&MXCSR_INIT.to_le_bytes());
    fp[MXCSR + 4..MXCSR + 8].copy_from_slice(&mask);
    if u32::from_le_bytes(word(fp, SW_RESERVED)) == MAGIC1 && fp.len() >= HEADER_END {
        fp[FX_SIZE..FX_SIZE + 8].fill(0);
    }
}
