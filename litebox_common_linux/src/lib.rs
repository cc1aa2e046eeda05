//! The Linux ABI as plain data: the table of system calls and what is made of it, typed arguments, error numbers.
//!
//! - [`syscall_table!`] is the table; read it first.
//! - [`SyscallRequest`] is one call with its arguments, parsed from registers; [`Call`] describes a row.
//! - [`seccomp`] has the filters of calls, checked and run.
//! - [`abi`] has the numbers, flags and structures of each family, [`argument`] the other types that rows speak of,
//!   [`show`] prints calls as strace(1) does.
#![no_std]

extern crate alloc;

#[macro_use]
mod table;

pub mod abi;
pub mod argument;
mod call_set;
mod calls;
pub mod seccomp;
pub mod show;

pub use abi::errno::Errno;
pub use argument::{Arch, Registers};
pub use call_set::CallSet;
pub use calls::{Call, Support, calls, support};

use prelude::*;
use show::Shown;

/// The types that rows of the table speak of.
pub mod prelude {
    pub use crate::abi::aio::*;
    pub use crate::abi::file::*;
    pub use crate::abi::futex::*;
    pub use crate::abi::ioctl::*;
    pub use crate::abi::ipc::*;
    pub use crate::abi::layout::{Id16, Layouts, UserWord};
    pub use crate::abi::memory::*;
    pub use crate::abi::poll::*;
    pub use crate::abi::process::*;
    pub use crate::abi::random::*;
    pub use crate::abi::signal::*;
    // clone(2) has it among its flags, as wide as they are.
    pub use crate::abi::signal::SIGCHLD;
    pub use crate::abi::socket::*;
    pub use crate::abi::time::*;
    pub use crate::argument::*;
    pub use crate::seccomp::{SeccompFlags, SeccompOperation};
}

/// The most arguments a call has.
pub const MOST_ARGUMENTS: usize = 6;

/// Arguments as they are printed; the first `len` of them are there.
#[derive(Clone, Copy, Debug)]
pub struct ShownArguments {
    list: [Shown; MOST_ARGUMENTS],
    len: usize,
}

impl core::ops::Deref for ShownArguments {
    type Target = [Shown];
    fn deref(&self) -> &[Shown] {
        self.list.get(..self.len).unwrap_or_default()
    }
}

/// One call as a value of [`SyscallRequest`]: the arguments are taken from the registers in the order they stand here.
macro_rules! take {
    ($name:ident ($($argument:ident: $type:ty),*) $registers:ident) => {
        SyscallRequest::$name { $($argument: <$type as Argument>::take(&mut $registers)),* }
    };
}

macro_rules! request {
    (() $($family:ident $title:literal { $(
        $support:ident $(($errno:ident))? $name:ident [$(x86_64 $x86_64:literal)? $(,)? $(x86 $x86:literal)?]
        ($($argument:ident: $type:ty),*) $($note:literal)?
    )* })*) => {
        /// A system call that a program makes, with its arguments.
        #[expect(non_camel_case_types, reason = "a call has one name everywhere: that of its manual page")]
        #[expect(missing_docs, reason = "the table and the manual pages describe calls and arguments")]
        #[derive(Clone, Copy, Debug)]
        pub enum SyscallRequest {
            $($($name { $($argument: $type),* },)*)*
        }

        impl SyscallRequest {
            /// Name of the call.
            pub const fn name(&self) -> &'static str {
                match self { $($(Self::$name { .. } => stringify!($name),)*)* }
            }
            /// How far it is supported.
            pub const fn support(&self) -> Support {
                match self { $($(Self::$name { .. } => Support::$support $((Errno::$errno))?,)*)* }
            }
            /// Its arguments, ready to be printed as their types say.
            pub fn arguments(&self) -> ShownArguments {
                match *self { $($(Self::$name { $($argument),* } => shown(&[$(Argument::shown($argument)),*]),)*)* }
            }
        }
    };
}
syscall_table!(request);

fn shown(arguments: &[Shown]) -> ShownArguments {
    let mut list = [Shown::Unsigned(0); MOST_ARGUMENTS];
    for (to, from) in list.iter_mut().zip(arguments) {
        *to = *from;
    }
    ShownArguments { list, len: arguments.len() }
}

macro_rules! parse {
    (($number:ident $registers:ident) $($family:ident $title:literal { $(
        $support:ident $(($errno:ident))? $name:ident [$(x86_64 $x86_64:literal)? $(,)? $(x86 $x86:literal)?]
        $arguments:tt $($note:literal)?
    )* })*) => {
        match $registers.arch() {
            Arch::X86_64 => match $number {
                $($($($x86_64 => take!($name $arguments $registers),)?)*)*
                _ => return None,
            },
            Arch::X86 => match $number {
                $($($($x86 => take!($name $arguments $registers),)?)*)*
                _ => return None,
            },
        }
    };
}

impl SyscallRequest {
    /// The call that `number` and `registers` say; `None`: no row has that number.
    pub fn parse(number: u32, mut registers: Registers) -> Option<Self> {
        Some(syscall_table!(parse, number registers))
    }
}

#[cfg(test)]
mod tests;
