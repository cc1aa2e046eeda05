//! Calls printed as strace(1) prints them.
//!
//! What the program gives is printed when its call begins ([`begin`]), up to the first argument that the kernel fills
//! in; the rest and the result when it has ended ([`end`]).
//! - `calls`: calls whose arguments mean more than their types say.
//! - `structures`: what lies at addresses; `files`, `ready`, [`signals`] and `sockets` are the larger families of it.
//! - `results`: results, and what strace says behind them.

use core::fmt::{self, Write};

use crate::abi::Names;
use crate::abi::layout::Layouts;
use crate::argument::Form;
use crate::{Errno, SyscallRequest};

mod calls;
pub mod date;
mod files;
mod ready;
mod results;
pub mod signals;
mod sockets;
mod structures;

pub use results::result;

/// The most bytes of a string or buffer that are printed.
const MOST_BYTES: usize = 32;
/// The most elements of an array that are printed.
const MOST_ELEMENTS: u64 = 32;
/// The most bytes of a path that are printed.
const MOST_PATH: usize = 4096;
const AT_FDCWD: i32 = -100;

/// An argument, ready to be printed.
#[derive(Clone, Copy, Debug)]
pub enum Shown {
    /// A number.
    Signed(i64),
    /// A number that is never negative.
    Unsigned(u64),
    /// A number whose bits count.
    Hex(u64),
    /// Permission bits.
    Octal(u32),
    /// Permission bits, and the kind of file.
    FileMode(u32),
    /// A directory's descriptor.
    DirFd(i32),
    /// An address and nothing more.
    Address(u64),
    /// A path: a string that ends with a zero.
    Text(u64),
    /// Another such string, of which the beginning is printed.
    Words(u64),
    /// What the guest gives.
    Given(u64, Form, Layouts),
    /// What the kernel fills in.
    Filled(u64, Form, Layouts),
    /// Any of these names together.
    Flags(Names, u64),
    /// One of these names.
    Choice(Names, i64),
    /// An operation of futex(2).
    Futex(u32),
    /// A request of ioctl(2).
    Ioctl(Names, u32),
}

/// The memory of the guest that makes the call.
pub trait GuestMemory {
    /// Reads at `address`; returns how many bytes could be read.
    fn read(&self, address: u64, into: &mut [u8]) -> usize;
}

/// What must be remembered from the beginning of a call to its end.
#[derive(Clone, Copy, Default, Debug)]
pub struct Begun {
    /// How many arguments are printed already.
    printed: usize,
    /// The length that the program gave at an address.
    length: Option<u32>,
}

/// What is known of a call when an argument is printed.
#[derive(Clone, Copy)]
struct Context<'a> {
    memory: &'a dyn GuestMemory,
    /// The argument behind this one.
    next: Option<Shown>,
    /// The result; `None`: there is none yet.
    result: Option<Result<usize, Errno>>,
    /// As in [`Begun`].
    length: Option<u32>,
}

impl Context<'_> {
    /// How many bytes or elements the program says there are.
    fn count(&self) -> u64 {
        match self.next {
            Some(Shown::Unsigned(n)) => n,
            Some(Shown::Signed(n)) => u64::try_from(n).unwrap_or(0),
            _ => 0,
        }
    }
    /// How many there are: no more than the result says, of what the kernel fills in.
    fn available(&self, filled: bool) -> u64 {
        match self.result {
            Some(Ok(done)) if filled => self.count().min(done as u64),
            _ => self.count(),
        }
    }
    fn int(&self, at: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        (at != 0 && self.memory.read(at, &mut bytes) == 4).then(|| u32::from_le_bytes(bytes))
    }
}

/// Prints the name of `request` and what the program gives: `read(3, `.
pub fn begin(out: &mut dyn Write, request: &SyscallRequest, memory: &dyn GuestMemory) -> Result<Begun, fmt::Error> {
    write!(out, "{}(", request.name())?;
    let (names, arguments) = calls::arguments(request);
    let filled = arguments.iter().position(|argument| matches!(argument, Shown::Filled(..)));
    let printed = filled.unwrap_or(arguments.len());
    let context = Context { memory, next: None, result: None, length: None };
    let lengths = arguments.iter().find_map(|argument| match argument {
        Shown::Filled(at, Form::Length, _) => context.int(*at),
        _ => None,
    });
    for i in 0..printed {
        print_argument(out, names, &arguments, i, context)?;
    }
    if filled.is_some_and(|at| at > 0) {
        out.write_str(", ")?;
    }
    Ok(Begun { printed, length: lengths })
}

/// Prints what `begin` left: `"abc", 512)`.
pub fn end(
    out: &mut dyn Write,
    request: &SyscallRequest,
    memory: &dyn GuestMemory,
    begun: Begun,
    result: Result<usize, Errno>,
) -> fmt::Result {
    let (names, arguments) = calls::arguments(request);
    let context = Context { memory, next: None, result: Some(result), length: begun.length };
    for i in begun.printed..arguments.len() {
        if i > begun.printed {
            out.write_str(", ")?;
        }
        one_named(out, names, &arguments, i, context)?;
    }
    out.write_char(')')
}

fn print_argument(
    out: &mut dyn Write,
    names: &[&str],
    arguments: &[Shown],
    i: usize,
    context: Context<'_>,
) -> fmt::Result {
    if i > 0 {
        out.write_str(", ")?;
    }
    one_named(out, names, arguments, i, context)
}

fn one_named(out: &mut dyn Write, names: &[&str], arguments: &[Shown], i: usize, context: Context<'_>) -> fmt::Result {
    if let Some(name) = names.get(i) {
        write!(out, "{name}=")?;
    }
    let Some(argument) = arguments.get(i) else { return Ok(()) };
    one(out, *argument, Context { next: arguments.get(i + 1).copied(), ..context })
}

/// Prints an argument that leads nowhere into memory.
pub fn argument(out: &mut dyn Write, argument: Shown) -> fmt::Result {
    struct Nothing;
    impl GuestMemory for Nothing {
        fn read(&self, _address: u64, _into: &mut [u8]) -> usize {
            0
        }
    }
    one(out, argument, Context { memory: &Nothing, next: None, result: None, length: None })
}

fn one(out: &mut dyn Write, argument: Shown, context: Context<'_>) -> fmt::Result {
    match argument {
        Shown::Signed(value) => write!(out, "{value}"),
        Shown::Unsigned(value) => write!(out, "{value}"),
        Shown::Hex(0) => out.write_char('0'),
        Shown::Hex(value) => write!(out, "{value:#x}"),
        Shown::Octal(bits) => octal(out, bits),
        Shown::FileMode(mode) => files::file_mode(out, mode),
        Shown::DirFd(AT_FDCWD) => out.write_str("AT_FDCWD"),
        Shown::DirFd(fd) => write!(out, "{fd}"),
        Shown::Address(at) => address(out, at),
        Shown::Text(at) => text(out, at, context.memory, MOST_PATH),
        Shown::Words(at) => text(out, at, context.memory, MOST_BYTES),
        Shown::Flags(names, bits) => flags(out, names, bits),
        Shown::Choice(names, value) => choice(out, names, value),
        Shown::Futex(operation) => calls::futex_operation(out, operation),
        Shown::Ioctl(names, request) => calls::ioctl_request(out, names, request),
        Shown::Given(at, form, layouts) => structures::pointed(out, at, form, layouts, false, context),
        Shown::Filled(at, form, layouts) => match context.result {
            Some(Ok(_)) => structures::pointed(out, at, form, layouts, true, context),
            _ if matches!(form, Form::CloneArgs | Form::Length | Form::TimeLeft) => {
                structures::pointed(out, at, form, layouts, true, context)
            }
            _ => address(out, at),
        },
    }
}

fn address(out: &mut dyn Write, at: u64) -> fmt::Result {
    if at == 0 { out.write_str("NULL") } else { write!(out, "{at:#x}") }
}

/// At least three digits.
fn octal(out: &mut dyn Write, bits: u32) -> fmt::Result {
    if bits == 0 { out.write_str("000") } else { write!(out, "0{bits:02o}") }
}

fn choice(out: &mut dyn Write, names: Names, value: i64) -> fmt::Result {
    if let Some(name) = names.iter().find(|name| name.bits == value as u64) {
        return out.write_str(name.text);
    }
    match family(names) {
        "" => write!(out, "{value}"),
        family => write!(out, "{:#x} /* {family}??? */", value as u32),
    }
}

/// What all names begin with, up to its last underscore.
fn family(names: Names) -> &'static str {
    let Some((first, others)) = names.split_first() else { return "" };
    let same = |other: &&str| first.text.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let common = others.iter().map(|name| same(&name.text)).min().unwrap_or(first.text.len());
    let common = first.text.get(..common).unwrap_or_default();
    common.rfind('_').and_then(|end| common.get(..=end)).unwrap_or_default()
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
        (left, true) => match family(names) {
            "" => write!(out, "{left:#x}"),
            family => write!(out, "{left:#x} /* {family}??? */"),
        },
        (left, false) => write!(out, "|{left:#x}"),
    }
}

/// A string that ends with a zero; of a longer one, `most` bytes.
fn text(out: &mut dyn Write, at: u64, memory: &dyn GuestMemory, most: usize) -> fmt::Result {
    const PIECE: usize = 128;
    let mut piece = [0; PIECE];
    let mut done = 0;
    loop {
        let room = piece.get_mut(..PIECE.min(most - done)).unwrap_or_default();
        let wanted = room.len();
        let got = if wanted == 0 { 0 } else { memory.read(at.saturating_add(done as u64), room) };
        let bytes = piece.get(..got).unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0);
        let begins = done == 0;
        if end.is_none() && got < wanted && begins {
            return address(out, at);
        }
        if begins {
            out.write_char('"')?;
        }
        let part = bytes.get(..end.unwrap_or(got)).unwrap_or_default();
        escaped(out, part)?;
        done += got;
        if end.is_some() {
            return out.write_char('"');
        }
        if got < wanted || done >= most {
            return out.write_str("\"...");
        }
    }
}

/// Bytes in quotation marks.
fn quoted(out: &mut dyn Write, bytes: &[u8], more: bool) -> fmt::Result {
    out.write_char('"')?;
    escaped(out, bytes)?;
    out.write_str(if more { "\"..." } else { "\"" })
}

/// As in C: what cannot be printed is octal, in as few digits as the next byte allows.
fn escaped(out: &mut dyn Write, bytes: &[u8]) -> fmt::Result {
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            b'\t' => out.write_str("\\t")?,
            b'\n' => out.write_str("\\n")?,
            0x0b => out.write_str("\\v")?,
            0x0c => out.write_str("\\f")?,
            b'\r' => out.write_str("\\r")?,
            b' '..=b'~' => out.write_char(char::from(byte))?,
            _ if rest.peek().is_some_and(|next| matches!(next, b'0'..=b'7')) => write!(out, "\\{byte:03o}")?,
            _ => write!(out, "\\{byte:o}")?,
        }
    }
    Ok(())
}
