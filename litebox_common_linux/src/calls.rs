//! The rows of the table as a list: for `litebox syscalls`, for `docs/syscalls.md`, for tests.

use crate::{Arch, Errno};

/// How far a call is supported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// As on Linux.
    Full,
    /// Served, but for what the note says.
    Partial,
    /// Never served: it answers this, and the note says why.
    Refused(Errno),
    /// Not written yet: it answers ENOSYS.
    Missing,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Name, as the manual page has it.
    pub name: &'static str,
    /// What it is about.
    pub family: &'static str,
    /// How far it is supported.
    pub support: Support,
    /// Its number for 64-bit programs.
    pub x86_64: Option<u32>,
    /// Its number for 32-bit programs.
    pub x86: Option<u32>,
    /// Names and types of its arguments.
    pub arguments: &'static [(&'static str, &'static str)],
    /// What a person should know.
    pub note: &'static str,
}

impl Call {
    /// Its number on `arch`.
    pub const fn number(&self, arch: Arch) -> Option<u32> {
        match arch {
            Arch::X86_64 => self.x86_64,
            Arch::X86 => self.x86,
        }
    }
    /// What it answers when it is not served.
    pub const fn refusal(&self) -> Option<Errno> {
        match self.support {
            Support::Full | Support::Partial => None,
            Support::Refused(errno) => Some(errno),
            Support::Missing => Some(Errno::ENOSYS),
        }
    }
}

const fn at_most_one<T: Copy>(given: &[T]) -> Option<T> {
    match given {
        [one] => Some(*one),
        _ => None,
    }
}

const fn or_empty(given: &[&'static str]) -> &'static str {
    match at_most_one(given) {
        Some(text) => text,
        None => "",
    }
}

macro_rules! list {
    (() $($family:ident $title:literal { $(
        $support:ident $(($errno:ident))? $name:ident [$(x86_64 $x86_64:literal)? $(,)? $(x86 $x86:literal)?]
        ($($argument:ident: $type:ty),*) $($note:literal)?
    )* })*) => {
        &[$($(Call {
            name: stringify!($name),
            family: $title,
            support: Support::$support $((Errno::$errno))?,
            x86_64: at_most_one(&[$($x86_64)?]),
            x86: at_most_one(&[$($x86)?]),
            arguments: &[$((stringify!($argument), stringify!($type))),*],
            note: or_empty(&[$($note)?]),
        },)*)*]
    };
}

/// All rows, in the order of the table.
pub static CALLS: &[Call] = syscall_table!(list);

/// The row of the call with this number.
pub fn call(arch: Arch, number: u32) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.number(arch) == Some(number))
}
