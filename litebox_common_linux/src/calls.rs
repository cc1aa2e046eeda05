//! The rows of the table as a list: for `litebox syscalls`, for `docs/syscalls.md`, for tests.
//!
//! They are kept as one text and taken apart when somebody asks: a table of names would be some thirty pages that each
//! start of the program would have to relocate.

use crate::{Arch, Errno, Registers, SyscallRequest};

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

impl Support {
    /// What a call answers that is not served.
    pub const fn refusal(self) -> Option<Errno> {
        match self {
            Self::Full | Self::Partial => None,
            Self::Refused(errno) => Some(errno),
            Self::Missing => Some(Errno::ENOSYS),
        }
    }
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
    /// What a user should know.
    pub note: &'static str,
    /// `name: type;` of each argument.
    arguments: &'static str,
}

impl Call {
    /// Its number on `arch`.
    pub const fn number(&self, arch: Arch) -> Option<u32> {
        match arch {
            Arch::X86_64 => self.x86_64,
            Arch::X86 => self.x86,
        }
    }
    /// Names and types of its arguments.
    pub fn arguments(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        self.arguments.split_terminator(';').filter_map(|argument| argument.split_once(": "))
    }
    /// From a line of [`TABLE`].
    fn of(row: &'static str) -> Option<Self> {
        let mut fields = row.split('\t');
        let mut next = || fields.next();
        let (family, name, support, errno) = (next()?, next()?, next()?, next()?);
        let (x86_64, x86, arguments, note) = (next()?.parse().ok(), next()?.parse().ok(), next()?, next()?);
        let support = match support {
            "Full" => Support::Full,
            "Partial" => Support::Partial,
            "Missing" => Support::Missing,
            _ => Support::Refused(Errno::named(errno)?),
        };
        Some(Self { name, family, support, x86_64, x86, note, arguments })
    }
}

macro_rules! text {
    (() $($family:ident $title:literal { $(
        $support:ident $(($errno:ident))? $name:ident [$(x86_64 $x86_64:literal)? $(,)? $(x86 $x86:literal)?]
        ($($argument:ident: $type:ty),*) $($note:literal)?
    )* })*) => {
        concat!($($(
            $title, "\t", stringify!($name), "\t", stringify!($support), "\t", $(stringify!($errno),)? "\t",
            $($x86_64,)? "\t", $($x86,)? "\t", $(stringify!($argument), ": ", stringify!($type), ";",)* "\t", $($note,)? "\n",
        )*)*)
    };
}

/// All rows, a line each, in the order of the table.
const TABLE: &str = syscall_table!(text);

/// All rows, in the order of the table.
pub fn calls() -> impl Iterator<Item = Call> {
    TABLE.lines().filter_map(Call::of)
}

/// How far the call with this number is supported; `None`: no row has it.
pub fn support(arch: Arch, number: u32) -> Option<Support> {
    SyscallRequest::parse(number, Registers::new(arch, [0; 6])).map(|request| request.support())
}
