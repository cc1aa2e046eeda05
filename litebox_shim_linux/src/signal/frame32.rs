//! Signal frames of 32-bit programs: Linux's `struct sigframe`, or `struct rt_sigframe` with SA_SIGINFO; above it the
//! floating-point state, first as `fsave` leaves it and then, 64-byte aligned, as `xsave` does.

use litebox::platform::compat::{CpuMode, DATA, Segments};
use litebox::platform::host;
use litebox::{Error, Result};

use super::frame::{
    DF, FLAGS, RF, SA_ONSTACK, SA_RESTORER, TF, UC_FP_XSTATE, USER, code_segment, initial_fp, is_extended, mode_of,
};
use super::fsave::{self, FSAVE};
use super::{Action, AltStack, SigSet, SignalInfo};
use crate::Task;
use crate::user::{read_bytes, word, write_bytes};

const SA_SIGINFO: u64 = 4;

/// Offsets in `struct sigframe`: behind the return address and the number, `struct sigcontext`, room that is not used,
/// the upper half of the mask.
mod old {
    pub(super) const CONTEXT: usize = 8;
    pub(super) const EXTRAMASK: usize = 720;
    pub(super) const CODE: usize = 724;
    pub(super) const SIZE: usize = 732;
}

/// In `struct rt_sigframe`: behind both and two addresses, `siginfo_t` and `struct ucontext`.
mod rt {
    pub(super) const INFO: usize = 16;
    pub(super) const UC: usize = 144;
    pub(super) const STACK: usize = UC + 8;
    pub(super) const CONTEXT: usize = UC + 20;
    pub(super) const MASK: usize = CONTEXT + 88;
    pub(super) const CODE: usize = MASK + 8;
    pub(super) const SIZE: usize = CODE + 8;
}

/// Indices of the words of `struct sigcontext`.
mod sc {
    pub(super) const GS: usize = 0;
    pub(super) const FS: usize = 1;
    pub(super) const ES: usize = 2;
    pub(super) const DS: usize = 3;
    pub(super) const IP: usize = 14;
    pub(super) const CS: usize = 15;
    pub(super) const FLAGS: usize = 16;
    pub(super) const FPSTATE: usize = 19;
    pub(super) const OLDMASK: usize = 20;
    pub(super) const WORDS: usize = 22;
}

/// How debuggers know such frames: the code that handlers once returned to.
const OLD_CODE: [u8; 8] = [0x58, 0xb8, 119, 0, 0, 0, 0xcd, 0x80];
const RT_CODE: [u8; 8] = [0xb8, 173, 0, 0, 0, 0xcd, 0x80, 0];

/// How many bytes the registers take that only 64-bit code has; they lie behind the floating-point state.
const UPPER: usize = 64;

/// A selector as a frame has it: one that is none stays none.
fn selector(word: u32) -> u16 {
    let selector = word as u16;
    if selector == 0 { 0 } else { selector | USER }
}

impl AltStack {
    /// As sigaltstack(2) reports it to a 32-bit program.
    pub(crate) fn to_bytes32(self, sp: Option<u64>) -> [u8; 12] {
        let wide = self.to_bytes(sp);
        let mut raw = [0u8; 12];
        for (to, from) in raw.chunks_exact_mut(4).zip(wide.chunks_exact(8)) {
            to.copy_from_slice(from.get(..4).unwrap_or_default());
        }
        raw
    }

    /// A 32-bit program's `stack_t` as that of a 64-bit one.
    pub(crate) fn widened(raw: &[u8; 12]) -> [u8; 24] {
        let mut wide = [0u8; 24];
        for (to, from) in wide.chunks_exact_mut(8).zip(raw.chunks_exact(4)) {
            if let Some(low) = to.get_mut(..4) {
                low.copy_from_slice(from);
            }
        }
        wide
    }
}

impl Task<'_, '_> {
    /// As [`Task::push_frame`], of a 32-bit program.
    pub(super) fn push_frame32(&mut self, info: &SignalInfo, action: &Action, old: SigSet) -> Result<()> {
        let alt = self.thread.signals.own.lock().alt_stack;
        let with_info = action.flags & SA_SIGINFO != 0;
        let size = if with_info { rt::SIZE } else { old::SIZE };
        let sp = self.frame.regs.rsp;
        let on_alt = alt.holds(sp);
        let enter_alt = action.flags & SA_ONSTACK != 0 && alt.size != 0 && !on_alt;
        let top = if enter_alt { alt.base.wrapping_add(alt.size) } else { sp };
        let top = if self.frame.mode == CpuMode::Long { top.wrapping_sub(UPPER as u64) } else { top };
        let fp_len = self.frame.fp().map_or(0, |fp| fp.len()) as u64;
        let fp = top.wrapping_sub(fp_len) & !63;
        let fpstate = if fp_len == 0 { top } else { fp.wrapping_sub(FSAVE as u64) };
        // At a function's first instruction the stack below the return address is aligned.
        let at = (fpstate.wrapping_sub(size as u64).wrapping_add(4) & !15).wrapping_sub(4);
        if (on_alt || enter_alt) && (at < alt.base || at - alt.base >= alt.size) {
            return Err(Error::Fault);
        }
        let context = self.context32(old, if fp_len == 0 { 0 } else { fpstate });
        let restorer = restorer32(action, with_info)?;
        self.write_fp32(fpstate, fp)?;
        let mut raw = [0u8; old::SIZE];
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(to) = raw.get_mut(at..at + bytes.len()) {
                to.copy_from_slice(bytes);
            }
        };
        put(0, &restorer.to_le_bytes());
        put(4, &info.signal.to_le_bytes());
        let (pinfo, puc) = (at as u32 + rt::INFO as u32, at as u32 + rt::UC as u32);
        if with_info {
            let xsave = self.frame.fp().is_some_and(|fp| is_extended(fp));
            put(8, &pinfo.to_le_bytes());
            put(12, &puc.to_le_bytes());
            put(rt::INFO, &info.as_bytes32());
            put(rt::UC, &(if xsave { UC_FP_XSTATE as u32 } else { 0 }).to_le_bytes());
            put(rt::STACK, &alt.to_bytes32(None));
            put(rt::CONTEXT, &context);
            put(rt::MASK, &old.0.to_le_bytes());
            put(rt::CODE, &RT_CODE);
        } else {
            put(old::CONTEXT, &context);
            put(old::EXTRAMASK, &((old.0 >> 32) as u32).to_le_bytes());
            put(old::CODE, &OLD_CODE);
        }
        write_bytes(at, raw.get(..size).unwrap_or_default())?;
        if alt.autodisarm {
            self.thread.signals.own.lock().alt_stack = AltStack::default();
        }
        if let Some(fp) = self.frame.fp() {
            initial_fp(fp);
        }
        self.frame.mode = CpuMode::Compat;
        // A handler reaches memory, whatever the interrupted code had there.
        if let Some(now) = host().segments().filter(|now| (now.ds, now.es) != (DATA, DATA)) {
            host().set_segments(Some(Segments { ds: DATA, es: DATA, ..now }));
        }
        let regs = &mut *self.frame.regs;
        regs.rax = info.signal as u64;
        (regs.rdx, regs.rcx) = if with_info { (pinfo.into(), puc.into()) } else { (0, 0) };
        regs.rsp = at;
        regs.rip = action.handler;
        regs.eflags &= !(DF | RF | TF);
        Ok(())
    }

    /// `struct sigcontext` of the interrupted code.
    fn context32(&self, old: SigSet, fpstate: u64) -> [u8; sc::WORDS * 4] {
        let trap = self.thread.signals.own.lock().last_trap;
        let segments = host().segments().unwrap_or_default();
        let code = code_segment(self.frame.mode).into();
        let r = &*self.frame.regs;
        let halves = [r.rdi, r.rsi, r.rbp, r.rsp, r.rbx, r.rdx, r.rcx, r.rax, trap.number, trap.error, r.rip];
        let selectors = [segments.gs, segments.fs, segments.es, segments.ds].map(u32::from);
        let rest = [code, r.eflags as u32, r.rsp as u32, DATA.into(), fpstate as u32, old.0 as u32, trap.cr2 as u32];
        let words = selectors.into_iter().chain(halves.map(|register| register as u32)).chain(rest);
        let mut raw = [0u8; sc::WORDS * 4];
        for (to, word) in raw.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        raw
    }

    /// Writes both images of the floating-point state.
    fn write_fp32(&mut self, fpstate: u64, at: u64) -> Result<()> {
        let code = code_segment(self.frame.mode).into();
        let Some(fp) = self.frame.fp().filter(|fp| !fp.is_empty()) else { return Ok(()) };
        write_bytes(fpstate, &fsave::of(fp, code, DATA.into()))?;
        write_bytes(at, fp)?;
        if is_extended(fp) {
            let size = fsave::extended_size(fp);
            write_bytes(at + fsave::EXTENDED_SIZE as u64, &size.to_le_bytes())?;
        }
        let behind = at + fp.len() as u64;
        if self.frame.mode == CpuMode::Long { self.write_upper(behind) } else { Ok(()) }
    }

    /// Writes `r8` to `r15`, which 64-bit code of a 32-bit program had: Linux leaves them alone while a handler runs,
    /// here 32-bit code has something else in them.
    fn write_upper(&self, at: u64) -> Result<()> {
        let r = &*self.frame.regs;
        let mut raw = [0u8; UPPER];
        for (to, register) in raw.chunks_exact_mut(8).zip([r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15]) {
            to.copy_from_slice(&register.to_le_bytes());
        }
        write_bytes(at, &raw)
    }

    fn restore_upper(&mut self, at: u64) -> Result<()> {
        let raw: [u8; UPPER] = read_bytes(at)?;
        let r = &mut *self.frame.regs;
        let targets = [&mut r.r8, &mut r.r9, &mut r.r10, &mut r.r11, &mut r.r12, &mut r.r13, &mut r.r14, &mut r.r15];
        for (i, target) in targets.into_iter().enumerate() {
            *target = u64::from_le_bytes(word(&raw, i * 8));
        }
        Ok(())
    }

    /// sigreturn(2) of 32-bit programs: back to where a frame without information says.
    #[expect(clippy::unnecessary_wraps, reason = "handlers of calls have one shape")]
    pub(crate) fn sigreturn(&mut self) -> Result<usize> {
        let at = self.frame.regs.rsp.wrapping_sub(8);
        Ok(self.return_by_frame(|task| {
            let raw: [u8; old::SIZE] = read_bytes(at)?;
            let context: [u8; sc::WORDS * 4] = word(&raw, old::CONTEXT);
            let low = u32::from_le_bytes(word(&context, sc::OLDMASK * 4));
            let high = u32::from_le_bytes(word(&raw, old::EXTRAMASK));
            task.restore_context32(&context, SigSet(u64::from(low) | u64::from(high) << 32))
        }))
    }

    /// rt_sigreturn(2) of 32-bit programs.
    pub(super) fn restore_frame32(&mut self) -> Result<()> {
        let at = self.frame.regs.rsp.wrapping_sub(4);
        let raw: [u8; rt::SIZE] = read_bytes(at)?;
        self.restore_context32(&word(&raw, rt::CONTEXT), SigSet(u64::from_le_bytes(word(&raw, rt::MASK))))?;
        let sp = self.frame.regs.rsp;
        let mut own = self.thread.signals.own.lock();
        // As on Linux, a stack that sigaltstack(2) would refuse is left as it is.
        if let Ok(stack) = AltStack::from_bytes(&AltStack::widened(&word(&raw, rt::STACK)), own.alt_stack, sp) {
            own.alt_stack = stack;
        }
        Ok(())
    }

    fn restore_context32(&mut self, context: &[u8; sc::WORDS * 4], mask: SigSet) -> Result<()> {
        let get = |index: usize| u32::from_le_bytes(word(context, index * 4));
        let mode = mode_of(get(sc::CS) as u16)?;
        if !host().is_user_range(get(sc::IP) as usize, 1) {
            return Err(Error::Fault);
        }
        self.set_blocked(mask);
        let fpstate = u64::from(get(sc::FPSTATE));
        self.restore_fp32(fpstate)?;
        if mode == CpuMode::Long && fpstate != 0 {
            let fp_len = self.frame.fp().map_or(0, |fp| fp.len());
            self.restore_upper(fpstate + (FSAVE + fp_len) as u64)?;
        }
        let r = &mut *self.frame.regs;
        let targets = [&mut r.rdi, &mut r.rsi, &mut r.rbp, &mut r.rsp, &mut r.rbx, &mut r.rdx, &mut r.rcx, &mut r.rax];
        for (i, target) in targets.into_iter().enumerate() {
            *target = u64::from(get(4 + i));
        }
        r.rip = u64::from(get(sc::IP));
        r.eflags = r.eflags & !FLAGS | u64::from(get(sc::FLAGS)) & FLAGS;
        self.frame.mode = mode;
        if let Some(now) = host().segments() {
            let [ds, es, fs, gs] = [sc::DS, sc::ES, sc::FS, sc::GS].map(|index| selector(get(index)));
            let then = Segments { ds, es, fs, gs, ..now };
            if then != now {
                host().set_segments(Some(then));
            }
        }
        Ok(())
    }

    fn restore_fp32(&mut self, fpstate: u64) -> Result<()> {
        if fpstate == 0 {
            return self.restore_fp(0);
        }
        let old: [u8; FSAVE] = read_bytes(fpstate)?;
        self.restore_fp(fpstate.wrapping_add(FSAVE as u64))?;
        // What the program may have changed of the older image counts.
        if let Some(fp) = self.frame.fp() {
            fsave::put_into(fp, &old);
        }
        Ok(())
    }
}

/// Where the handler returns to.
fn restorer32(action: &Action, with_info: bool) -> Result<u32> {
    if action.flags & SA_RESTORER != 0 {
        return Ok(action.restorer as u32);
    }
    let (vdso, base) = (host().vdso32().ok_or(Error::Fault)?, host().segments().map_or(0, |s| s.vdso));
    Ok(base.wrapping_add(if with_info { vdso.rt_sigreturn } else { vdso.sigreturn }))
}
