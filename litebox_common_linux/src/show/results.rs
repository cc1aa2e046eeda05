//! Results, and what stands behind them.

use core::fmt::{self, Write};

use super::calls::DUMPABLE;
use super::{GuestMemory, flags, octal, ready, structures};
use crate::abi::file::{FcntlCommand, OpenFlags};
use crate::abi::layout::Layouts;
use crate::abi::process::{PR_GET_DUMPABLE, PrctlOption};
use crate::abi::{Named, Names, name};
use crate::argument::UserMut;
use crate::{Errno, SyscallRequest};

/// Flags of descriptors.
pub(super) const DESCRIPTOR_FLAGS: Names = &[name("FD_CLOEXEC", 1)];

/// Prints a result: `= 3`, `= -1 ENOENT (No such file or directory)`.
pub fn result(
    out: &mut dyn Write,
    request: Option<&SyscallRequest>,
    memory: &dyn GuestMemory,
    result: Result<usize, Errno>,
) -> fmt::Result {
    match result {
        Ok(value) => {
            write!(out, "= ")?;
            match request {
                Some(request) => success(out, request, memory, value),
                None => write!(out, "{value}"),
            }
        }
        Err(errno) => match errno.message() {
            Some(message) => write!(out, "= -1 {errno} ({message})"),
            None => write!(out, "= -1 {errno}"),
        },
    }
}

fn success(out: &mut dyn Write, request: &SyscallRequest, memory: &dyn GuestMemory, value: usize) -> fmt::Result {
    match *request {
        SyscallRequest::brk { .. }
        | SyscallRequest::mmap { .. }
        | SyscallRequest::mmap2 { .. }
        | SyscallRequest::old_mmap { .. }
        | SyscallRequest::mremap { .. }
        | SyscallRequest::shmat { .. } => write!(out, "{value:#x}"),
        SyscallRequest::umask { .. } => octal(out, value as u32),
        SyscallRequest::fcntl { command, .. } | SyscallRequest::fcntl64 { command, .. } => {
            descriptor(out, command, value as u64)
        }
        SyscallRequest::prctl { option: PrctlOption(PR_GET_DUMPABLE), .. } => {
            write!(out, "{value}")?;
            match DUMPABLE.iter().find(|name| name.bits == value as u64) {
                Some(name) => write!(out, " ({})", name.text),
                None => Ok(()),
            }
        }
        SyscallRequest::poll { fds, count, .. } => {
            whether_ready(out, value, &|out| ready::returned_events(out, fds.address() as u64, count, memory))
        }
        SyscallRequest::ppoll { fds, count, timeout, .. }
        | SyscallRequest::ppoll_time64 { fds, count, timeout, .. } => whether_ready(out, value, &|out| {
            ready::returned_events(out, fds.address() as u64, count, memory)?;
            left(out, memory, timeout, "tv_nsec")
        }),
        SyscallRequest::select { count, readable, writable, exceptional, timeout } => {
            whether_ready(out, value, &|out| {
                let sets = [readable, writable, exceptional].map(|set| set.address() as u64);
                ready::returned_sets(out, sets, count, memory)?;
                left(out, memory, timeout, "tv_usec")
            })
        }
        SyscallRequest::pselect6 { count, readable, writable, exceptional, timeout, .. } => {
            whether_ready(out, value, &|out| {
                let sets = [readable, writable, exceptional].map(|set| set.address() as u64);
                ready::returned_sets(out, sets, count, memory)?;
                left(out, memory, timeout, "tv_nsec")
            })
        }
        _ => write!(out, "{value}"),
    }
}

/// ` (Timeout)`, or what is ready in parentheses.
fn whether_ready(out: &mut dyn Write, value: usize, what: &dyn Fn(&mut dyn Write) -> fmt::Result) -> fmt::Result {
    write!(out, "{value} (")?;
    if value == 0 {
        out.write_str("Timeout")?;
    } else {
        what(out)?;
    }
    out.write_char(')')
}

/// The time that Linux says is left.
fn left<T>(out: &mut dyn Write, memory: &dyn GuestMemory, time: UserMut<T>, fraction: &str) -> fmt::Result {
    let mut bytes = [0; 16];
    // 32-bit programs have their times narrower; what is left of theirs is not printed.
    let known = !time.is_null() && time.layouts() == Layouts::X86_64;
    if !known || memory.read(time.address() as u64, &mut bytes) != bytes.len() {
        return Ok(());
    }
    let [sec, part] = [0, 8].map(|at| i64::from_le_bytes(structures::field(&bytes, at)));
    write!(out, ", left {{tv_sec={sec}, {fraction}={part}}}")
}

/// What fcntl(2) says of a descriptor.
fn descriptor(out: &mut dyn Write, command: FcntlCommand, value: u64) -> fmt::Result {
    const F_GETFD: u32 = 1;
    const F_GETFL: u32 = 3;
    let names = match command.0 {
        F_GETFD if value != 0 => DESCRIPTOR_FLAGS,
        F_GETFL => OpenFlags::NAMES,
        _ => return write!(out, "{value}"),
    };
    write!(out, "{value:#x} (flags ")?;
    flags(out, names, value)?;
    out.write_char(')')
}
