//! Calls printed as strace(1) prints them.

use core::fmt::{self, Write};

use crate::abi::Names;
use crate::argument::Form;
use crate::{Errno, SyscallRequest};

/// The most bytes of a string or buffer that are printed.
const MOST_BYTES: usize = 32;
/// The most bytes of a path that are printed.
const MOST_PATH: usize = 256;
const AT_FDCWD: i32 = -100;

/// An argument, ready to be printed.
#[derive(Clone, Copy, Debug)]
pub enum Shown {
    /// A number.
    Signed(i64),
    /// A number that is never negative.
    Unsigned(u64),
    /// Permission bits.
    Octal(u32),
    /// A directory's descriptor.
    DirFd(i32),
    /// An address and nothing more.
    Address(u64),
    /// A string that ends with a zero.
    Text(u64),
    /// What the guest gives.
    Given(u64, Form),
    /// What the kernel fills in.
    Filled(u64, Form),
    /// Any of these names together.
    Flags(Names, u64),
    /// One of these names.
    Choice(Names, i64),
}

/// The memory of the guest that makes the call.
pub trait GuestMemory {
    /// Reads at `address`; returns how many bytes could be read.
    fn read(&self, address: u64, into: &mut [u8]) -> usize;
}

/// What is known of a call when it is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// It begins: what it will fill in is not there yet.
    Before,
    /// It ended with this result.
    After(Result<usize, Errno>),
}

/// Prints the name of `request` and its arguments: `read(3, "abc"..., 512)`.
pub fn call(out: &mut dyn Write, request: &SyscallRequest, memory: &dyn GuestMemory, moment: Moment) -> fmt::Result {
    write!(out, "{}(", request.name())?;
    let arguments = request.arguments();
    for (i, argument) in arguments.iter().enumerate() {
        if i > 0 {
            out.write_str(", ")?;
        }
        let len = match arguments.get(i + 1) {
            Some(Shown::Unsigned(n)) => *n,
            Some(Shown::Signed(n)) => u64::try_from(*n).unwrap_or(0),
            _ => 0,
        };
        one(out, *argument, len, memory, moment)?;
    }
    out.write_char(')')
}

/// Prints a result: `= 3`, `= -1 ENOENT`.
pub fn result(out: &mut dyn Write, result: Result<usize, Errno>) -> fmt::Result {
    // Results that are addresses are the large ones.
    const SMALL: u64 = 1 << 32;
    match result {
        Ok(value) if (value as u64) < SMALL => write!(out, " = {value}"),
        Ok(value) => write!(out, " = {value:#x}"),
        Err(errno) => write!(out, " = -1 {errno}"),
    }
}

/// Prints an argument that leads nowhere into memory.
pub fn argument(out: &mut dyn Write, argument: Shown) -> fmt::Result {
    struct Nothing;
    impl GuestMemory for Nothing {
        fn read(&self, _address: u64, _into: &mut [u8]) -> usize {
            0
        }
    }
    one(out, argument, 0, &Nothing, Moment::Before)
}

fn one(out: &mut dyn Write, argument: Shown, len: u64, memory: &dyn GuestMemory, moment: Moment) -> fmt::Result {
    match argument {
        Shown::Signed(value) => write!(out, "{value}"),
        Shown::Unsigned(value) => write!(out, "{value}"),
        Shown::Octal(0) => out.write_str("0"),
        Shown::Octal(bits) => write!(out, "0{bits:02o}"),
        Shown::DirFd(AT_FDCWD) => out.write_str("AT_FDCWD"),
        Shown::DirFd(fd) => write!(out, "{fd}"),
        Shown::Address(at) => address(out, at),
        Shown::Text(at) => text(out, at, memory),
        Shown::Flags(names, bits) => flags(out, names, bits),
        Shown::Choice(names, value) => match names.iter().find(|name| name.bits == value as u64) {
            Some(name) => out.write_str(name.text),
            None if value > 0xffff => write!(out, "{value:#x}"),
            None => write!(out, "{value}"),
        },
        Shown::Given(at, form) => pointed(out, at, form, len, memory),
        Shown::Filled(at, form) => match moment {
            Moment::After(Ok(done)) => {
                let len = len.min(done as u64);
                pointed(out, at, form, len, memory)
            }
            _ => address(out, at),
        },
    }
}

fn address(out: &mut dyn Write, at: u64) -> fmt::Result {
    if at == 0 { out.write_str("NULL") } else { write!(out, "{at:#x}") }
}

fn flags(out: &mut dyn Write, names: Names, bits: u64) -> fmt::Result {
    let mut left = bits;
    let mut seen = 0;
    let mut first = true;
    for name in names {
        // A field has one value: once a name took its bits, the names of its other values are out.
        if name.mask & seen != 0 || left & name.mask != name.bits {
            continue;
        }
        if !first {
            out.write_char('|')?;
        }
        out.write_str(name.text)?;
        first = false;
        left &= !name.mask;
        seen |= name.mask;
    }
    match (left, first) {
        (0, false) => Ok(()),
        (0, true) => out.write_char('0'),
        (left, true) => write!(out, "{left:#x}"),
        (left, false) => write!(out, "|{left:#x}"),
    }
}

fn text(out: &mut dyn Write, at: u64, memory: &dyn GuestMemory) -> fmt::Result {
    let mut bytes = [0; MOST_PATH];
    let got = memory.read(at, &mut bytes);
    let bytes = bytes.get(..got).unwrap_or_default();
    match bytes.iter().position(|b| *b == 0) {
        Some(end) => quoted(out, bytes.get(..end).unwrap_or_default(), false),
        None if got == MOST_PATH => quoted(out, bytes, true),
        None => address(out, at),
    }
}

fn quoted(out: &mut dyn Write, bytes: &[u8], more: bool) -> fmt::Result {
    write!(out, "\"{}\"{}", bytes.escape_ascii(), if more { "..." } else { "" })
}

fn pointed(out: &mut dyn Write, at: u64, form: Form, len: u64, memory: &dyn GuestMemory) -> fmt::Result {
    let mut bytes = [0; MOST_BYTES];
    let wanted = match form {
        Form::Opaque => return address(out, at),
        Form::Bytes => usize::try_from(len).unwrap_or(MOST_BYTES).min(MOST_BYTES),
        Form::Int => 4,
        Form::Pair | Form::Signals => 8,
        Form::Timespec | Form::Timeval => 16,
    };
    let room = bytes.get_mut(..wanted).unwrap_or_default();
    if at == 0 || memory.read(at, room) != wanted {
        return address(out, at);
    }
    let int = |at: usize| i32::from_le_bytes(field(&bytes, at));
    let long = |at: usize| i64::from_le_bytes(field(&bytes, at));
    match form {
        Form::Opaque => Ok(()),
        Form::Bytes => quoted(out, bytes.get(..wanted).unwrap_or_default(), len > wanted as u64),
        Form::Int => write!(out, "[{}]", int(0)),
        Form::Pair => write!(out, "[{}, {}]", int(0), int(4)),
        Form::Timespec => write!(out, "{{tv_sec={}, tv_nsec={}}}", long(0), long(8)),
        Form::Timeval => write!(out, "{{tv_sec={}, tv_usec={}}}", long(0), long(8)),
        Form::Signals => signals(out, long(0) as u64),
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|part| part.try_into().ok()).unwrap_or([0; N])
}

/// A set of signals; of one that is nearly full, what it lacks.
fn signals(out: &mut dyn Write, set: u64) -> fmt::Result {
    let (prefix, set) = if set.count_ones() > 32 { ("~", !set) } else { ("", set) };
    write!(out, "{prefix}[")?;
    let mut first = true;
    for signal in (1..=64).filter(|n| set & 1 << (n - 1) != 0) {
        write!(out, "{}{signal}", if first { "" } else { " " })?;
        first = false;
    }
    out.write_char(']')
}
