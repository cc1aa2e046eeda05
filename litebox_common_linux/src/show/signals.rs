//! Signals: sets, actions, what a handler is told.

use core::fmt::{self, Write};

use super::structures::{field, read};
use super::{Context, address, choice, flags};
use crate::abi::layout::Layouts;
use crate::abi::signal::{SigAction, Signal};
use crate::abi::{Named, Names, alone, name};

const FIRST_REAL_TIME: u32 = 32;

const ACTION_FLAGS: Names = &[
    name("SA_RESTORER", 0x0400_0000),
    name("SA_ONSTACK", 0x0800_0000),
    name("SA_RESTART", 0x1000_0000),
    name("SA_NODEFER", 0x4000_0000),
    name("SA_RESETHAND", 0x8000_0000),
    name("SA_SIGINFO", 4),
    name("SA_NOCLDSTOP", 1),
    name("SA_NOCLDWAIT", 2),
];
const STACK_FLAGS: Names = &[name("SS_AUTODISARM", 0x8000_0000), name("SS_ONSTACK", 1), name("SS_DISABLE", 2)];

const USER_CODES: Names = &[
    alone("SI_USER", 0),
    alone("SI_KERNEL", 0x80),
    alone("SI_QUEUE", u64::MAX),
    alone("SI_TIMER", -2_i64 as u64),
    alone("SI_MESGQ", -3_i64 as u64),
    alone("SI_ASYNCIO", -4_i64 as u64),
    alone("SI_SIGIO", -5_i64 as u64),
    alone("SI_TKILL", -6_i64 as u64),
];
const CHILD_CODES: Names = &[
    alone("CLD_EXITED", 1),
    alone("CLD_KILLED", 2),
    alone("CLD_DUMPED", 3),
    alone("CLD_TRAPPED", 4),
    alone("CLD_STOPPED", 5),
    alone("CLD_CONTINUED", 6),
];
const FAULT_CODES: [(i32, Names); 4] = [
    (11, &[alone("SEGV_MAPERR", 1), alone("SEGV_ACCERR", 2), alone("SEGV_BNDERR", 3), alone("SEGV_PKUERR", 4)]),
    (7, &[alone("BUS_ADRALN", 1), alone("BUS_ADRERR", 2), alone("BUS_OBJERR", 3)]),
    (
        8,
        &[
            alone("FPE_INTDIV", 1),
            alone("FPE_INTOVF", 2),
            alone("FPE_FLTDIV", 3),
            alone("FPE_FLTOVF", 4),
            alone("FPE_FLTUND", 5),
            alone("FPE_FLTRES", 6),
            alone("FPE_FLTINV", 7),
            alone("FPE_FLTSUB", 8),
        ],
    ),
    (
        4,
        &[
            alone("ILL_ILLOPC", 1),
            alone("ILL_ILLOPN", 2),
            alone("ILL_ILLADR", 3),
            alone("ILL_ILLTRP", 4),
            alone("ILL_PRVOPC", 5),
            alone("ILL_PRVREG", 6),
            alone("ILL_COPROC", 7),
            alone("ILL_BADSTK", 8),
        ],
    ),
];

/// A signal by its name.
pub fn signal(out: &mut dyn Write, number: i32) -> fmt::Result {
    let real_time = u32::try_from(number).ok().filter(|n| (FIRST_REAL_TIME + 1..=64).contains(n));
    match real_time {
        Some(n) => write!(out, "SIGRT_{}", n - FIRST_REAL_TIME),
        None => choice(out, Signal::NAMES, number.into()),
    }
}

/// A set of signals; of one that is nearly full, what it lacks.
pub(super) fn set(out: &mut dyn Write, set: u64) -> fmt::Result {
    const MANY: u32 = 64 * 2 / 3;
    let (prefix, set) = if set.count_ones() >= MANY { ("~", !set) } else { ("", set) };
    write!(out, "{prefix}[")?;
    let mut first = true;
    for number in (1..=64).filter(|n| set & 1 << (n - 1) != 0) {
        if !first {
            out.write_char(' ')?;
        }
        first = false;
        match Signal::NAMES.iter().find(|name| name.bits == number) {
            Some(name) => out.write_str(name.text.strip_prefix("SIG").unwrap_or(name.text))?,
            None => write!(out, "RT_{}", number - u64::from(FIRST_REAL_TIME))?,
        }
    }
    out.write_char(']')
}

/// rt_sigreturn(2), with the mask of signals that it brings back.
pub fn restored(out: &mut dyn Write, mask: Option<u64>) -> fmt::Result {
    out.write_str("rt_sigreturn(")?;
    if let Some(mask) = mask {
        out.write_str("{mask=")?;
        set(out, mask)?;
        out.write_char('}')?;
    }
    out.write_char(')')
}

/// `struct sigaction`.
pub(super) fn action(out: &mut dyn Write, at: u64, layouts: Layouts, context: Context<'_>) -> fmt::Result {
    const SA_RESTORER: u64 = 0x0400_0000;
    let Some(action) = read::<SigAction>(context.memory, at, layouts) else { return address(out, at) };
    // By this name whatever SA_SIGINFO says.
    out.write_str("{sa_handler=")?;
    match action.handler {
        0 => out.write_str("SIG_DFL")?,
        1 => out.write_str("SIG_IGN")?,
        handler => write!(out, "{handler:#x}")?,
    }
    out.write_str(", sa_mask=")?;
    set(out, action.mask)?;
    out.write_str(", sa_flags=")?;
    flags(out, ACTION_FLAGS, action.flags)?;
    if action.flags & SA_RESTORER != 0 {
        out.write_str(", sa_restorer=")?;
        address(out, action.restorer)?;
    }
    out.write_char('}')
}

/// `stack_t`.
pub(super) fn stack(out: &mut dyn Write, at: u64, layouts: Layouts, context: Context<'_>) -> fmt::Result {
    let mut bytes = [0; 24];
    if layouts != Layouts::X86_64 || at == 0 || context.memory.read(at, &mut bytes) != bytes.len() {
        return address(out, at);
    }
    out.write_str("{ss_sp=")?;
    address(out, u64::from_le_bytes(field(&bytes, 0)))?;
    out.write_str(", ss_flags=")?;
    flags(out, STACK_FLAGS, u32::from_le_bytes(field(&bytes, 8)).into())?;
    write!(out, ", ss_size={}}}", u64::from_le_bytes(field(&bytes, 16)))
}

/// `siginfo_t`: its numbers, and the fields behind them as 64-bit programs have them.
pub fn info(out: &mut dyn Write, number: i32, code: i32, fields: &[u8]) -> fmt::Result {
    const SIGCHLD: i32 = 17;
    const SI_KERNEL: i32 = 0x80;
    const SI_TKILL: i32 = -6;
    const SI_TIMER: i32 = -2;
    out.write_str("{si_signo=")?;
    signal(out, number)?;
    out.write_str(", si_code=")?;
    let int = |at: usize| i32::from_le_bytes(field(fields, at));
    let faults = FAULT_CODES.iter().find(|(signal, _)| *signal == number).map(|(_, names)| *names);
    let own = if number == SIGCHLD { Some(CHILD_CODES) } else { faults };
    let names = own.filter(|_| code > 0 && code != SI_KERNEL).unwrap_or(USER_CODES);
    choice(out, names, code.into())?;
    match (code, number) {
        (SI_KERNEL, _) if faults.is_none() => {}
        (SI_TIMER, _) => write!(out, ", si_timerid={}, si_overrun={}", int(0), int(4))?,
        (0 | SI_TKILL, _) => write!(out, ", si_pid={}, si_uid={}", int(0), int(4) as u32)?,
        (1.., SIGCHLD) => {
            write!(out, ", si_pid={}, si_uid={}, si_status=", int(0), int(4) as u32)?;
            if code == 1 {
                write!(out, "{}", int(8))?;
            } else {
                signal(out, int(8))?;
            }
            let time = |at: usize| u64::from_le_bytes(field(fields, at));
            write!(out, ", si_utime={}, si_stime={}", time(16), time(24))?;
        }
        (1.., _) if faults.is_some() => {
            out.write_str(", si_addr=")?;
            address(out, u64::from_le_bytes(field(fields, 0)))?;
        }
        (..0, _) => {
            let value = u64::from_le_bytes(field(fields, 8));
            write!(out, ", si_pid={}, si_uid={}, si_int={}, si_ptr=", int(0), int(4) as u32, value as u32 as i32)?;
            address(out, value)?;
        }
        _ => {}
    }
    out.write_char('}')
}

/// The same in memory.
pub(super) fn info_at(out: &mut dyn Write, at: u64, layouts: Layouts, context: Context<'_>) -> fmt::Result {
    let mut bytes = [0; 128];
    if layouts != Layouts::X86_64 || at == 0 || context.memory.read(at, &mut bytes) != bytes.len() {
        return address(out, at);
    }
    let int = |at: usize| i32::from_le_bytes(field(&bytes, at));
    if int(0) == 0 {
        return out.write_str("{}");
    }
    info(out, int(0), int(8), bytes.get(16..).unwrap_or_default())
}
