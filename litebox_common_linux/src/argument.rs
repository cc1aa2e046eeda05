//! Types of arguments: how each is taken from the registers, how it is printed, and what plain number it is to a
//! handler.
//!
//! `i32` and `u32` are the low half of a register, `usize` and `isize` a whole one (C's `long`); a [`Word64`] is 64
//! bits on every architecture: on 32-bit x86 it takes two registers.
#![expect(clippy::inline_always, reason = "arguments stay in registers: the dispatch is one jump")]

use core::fmt;
use core::marker::PhantomData;

use crate::abi::layout::{Id16, Layouts, UserWord};
use crate::show::Shown;

/// An architecture whose programs make calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Arch {
    /// 64-bit programs.
    #[default]
    X86_64,
    /// 32-bit programs (i386).
    X86,
}

/// The argument registers of a call, taken one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    values: [u64; 6],
    next: usize,
    arch: Arch,
}

impl Registers {
    /// The registers in the order of the arguments. Of a 32-bit program, only the low halves count.
    #[inline(always)]
    pub const fn new(arch: Arch, values: [u64; 6]) -> Self {
        Self { values, next: 0, arch }
    }
    /// Whose registers they are.
    #[inline(always)]
    pub const fn arch(&self) -> Arch {
        self.arch
    }
    /// The next register; zero when there is none left.
    #[inline(always)]
    pub fn take(&mut self) -> u64 {
        let value = self.values.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        match self.arch {
            Arch::X86_64 => value,
            Arch::X86 => value & 0xffff_ffff,
        }
    }
    /// Two registers, low half first.
    #[inline(always)]
    fn take_two(&mut self) -> (u64, u64) {
        (self.take(), self.take())
    }
}

/// A type that arguments of calls have.
pub trait Argument: Copy + fmt::Debug {
    /// Takes it from the registers.
    fn take(registers: &mut Registers) -> Self;
    /// How it is printed.
    fn shown(self) -> Shown;
}

/// Hands an argument to a handler as the number the handler takes: the same bits. Handlers that take the typed argument
/// get it as it is.
pub trait Pass<T> {
    /// As `T`.
    fn pass(self) -> T;
}

impl<T> Pass<T> for T {
    #[inline(always)]
    fn pass(self) -> T {
        self
    }
}

/// `From => To, To...;`: numbers of the same width, or unsigned ones that grow.
macro_rules! passes {
    ($($from:ty => $($to:ty),+;)*) => {
        $($(impl Pass<$to> for $from {
            #[inline(always)]
            fn pass(self) -> $to {
                self as $to
            }
        })+)*
    };
}
passes! {
    i32 => u32;
    u32 => i32, u64, usize;
    usize => u64, i64;
    isize => i64, u64, usize;
}

/// `TYPE TAKEN SHOWN;`: the register is first seen as the second type; printed, it is the third.
macro_rules! numbers {
    ($($type:ident $taken:ident $shown:expr;)*) => {
        $(impl Argument for $type {
            #[inline(always)]
            fn take(registers: &mut Registers) -> Self {
                registers.take() as $taken as Self
            }
            fn shown(self) -> Shown {
                $shown(self)
            }
        })*
    };
}
numbers! {
    i32 i32 |value| Shown::Signed(i64::from(value));
    u32 u32 |value| Shown::Unsigned(u64::from(value));
    usize u64 |value| Shown::Unsigned(value as u64);
}

impl Argument for isize {
    #[inline(always)]
    fn take(registers: &mut Registers) -> Self {
        match registers.arch {
            Arch::X86_64 => registers.take() as Self,
            // A 32-bit program's `long` has its sign in bit 31.
            Arch::X86 => registers.take() as i32 as Self,
        }
    }
    fn shown(self) -> Shown {
        Shown::Signed(self as i64)
    }
}

/// A type around one number, that handlers may also take as the plain number.
macro_rules! wrappers {
    ($($(#[$doc:meta])* $name:ident($inner:ident) => $($to:ident),*; $shown:expr;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name(pub $inner);

        impl Argument for $name {
            #[inline(always)]
            fn take(registers: &mut Registers) -> Self {
                Self(<$inner as Argument>::take(registers))
            }
            fn shown(self) -> Shown {
                $shown(self.0)
            }
        }
        $(impl Pass<$to> for $name {
            #[inline(always)]
            fn pass(self) -> $to {
                self.0 as $to
            }
        })*)*
    };
}
wrappers! {
    /// A descriptor.
    RawFd(i32) => i32; |fd| Shown::Signed(i64::from(fd));
    /// A directory's descriptor that a path starts from, or `AT_FDCWD`.
    DirFd(i32) => i32; Shown::DirFd;
    /// Permission bits, printed in octal.
    Mode(u32) => u32; Shown::Octal;
    /// An address of the guest that no structure is read from or written to: where something is mapped.
    Address(usize) => usize, u64; |at| Shown::Address(at as u64);
    /// The address of a string that ends with a zero: a path or a name.
    UserStr(usize) => usize, u64; |at| Shown::Text(at as u64);
}

impl UserStr {
    /// Whether it is a null pointer.
    #[inline(always)]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }
}

/// 64 bits on every architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word64(pub i64);

impl Argument for Word64 {
    #[inline(always)]
    fn take(registers: &mut Registers) -> Self {
        Self(match registers.arch {
            Arch::X86_64 => registers.take() as i64,
            Arch::X86 => {
                let (low, high) = registers.take_two();
                (low | high << 32) as i64
            }
        })
    }
    fn shown(self) -> Shown {
        Shown::Signed(self.0)
    }
}

/// 64 bits in two registers on every architecture; on x86-64 the second one counts for nothing (preadv(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WordPair(pub i64);

impl Argument for WordPair {
    #[inline(always)]
    fn take(registers: &mut Registers) -> Self {
        let (low, high) = registers.take_two();
        Self(match registers.arch {
            Arch::X86_64 => low as i64,
            Arch::X86 => (low | high << 32) as i64,
        })
    }
    fn shown(self) -> Shown {
        Shown::Signed(self.0)
    }
}

macro_rules! wide_words {
    ($($name:ident)*) => {
        $(impl Pass<i64> for $name {
            #[inline(always)]
            fn pass(self) -> i64 {
                self.0
            }
        }
        impl Pass<u64> for $name {
            #[inline(always)]
            fn pass(self) -> u64 {
                self.0 as u64
            }
        })*
    };
}
wide_words!(Word64 WordPair);

/// The address of a `T` (or of several) that the kernel reads.
pub struct UserRef<T> {
    address: usize,
    layouts: Layouts,
    points_to: PhantomData<fn() -> T>,
}

/// The address of a `T` (or of several) that the kernel writes, and may read before.
pub struct UserMut<T> {
    address: usize,
    layouts: Layouts,
    points_to: PhantomData<fn(T)>,
}

macro_rules! pointers {
    ($($name:ident $shown:expr;)*) => {
        $(impl<T> $name<T> {
            /// The address of a `T` as programs of an architecture have it.
            #[inline(always)]
            pub const fn new(arch: Arch, address: usize) -> Self {
                let layouts = match arch {
                    Arch::X86_64 => Layouts::X86_64,
                    Arch::X86 => Layouts::X86,
                };
                Self { address, layouts, points_to: PhantomData }
            }
            /// The address of a `T` in the layout of others.
            #[inline(always)]
            pub const fn with_layouts(layouts: Layouts, address: usize) -> Self {
                Self { address, layouts, points_to: PhantomData }
            }
            /// No address.
            #[inline(always)]
            pub const fn null() -> Self {
                Self { address: 0, layouts: Layouts::X86_64, points_to: PhantomData }
            }
            /// Whether the guest gave none.
            #[inline(always)]
            pub const fn is_null(self) -> bool {
                self.address == 0
            }
            /// Whose layout what lies there has.
            #[inline(always)]
            pub const fn layouts(self) -> Layouts {
                self.layouts
            }
            /// The same, with times of 64 bits also for 32-bit programs.
            #[inline]
            #[must_use]
            pub const fn time64(self) -> Self {
                let layouts = match self.layouts {
                    Layouts::X86_64 => Layouts::X86_64,
                    Layouts::X86 | Layouts::X86Time64 => Layouts::X86Time64,
                };
                Self { layouts, ..self }
            }
            /// The same address, of something else.
            #[inline(always)]
            pub const fn cast<U>(self) -> $name<U> {
                self.at(self.address)
            }
            /// The address of something else of the same program.
            #[inline(always)]
            pub const fn at<U>(self, address: usize) -> $name<U> {
                $name { address, layouts: self.layouts, points_to: PhantomData }
            }
            /// The address as the guest gave it; nothing is known about it.
            #[inline(always)]
            pub const fn address(self) -> usize {
                self.address
            }
        }
        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<T> Copy for $name<T> {}
        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.address)
            }
        }
        impl<T: Pointee> Argument for $name<T> {
            #[inline(always)]
            fn take(registers: &mut Registers) -> Self {
                Self::new(registers.arch, registers.take() as usize)
            }
            fn shown(self) -> Shown {
                $shown(self.address as u64, T::FORM, self.layouts)
            }
        }
        impl<T> Pass<usize> for $name<T> {
            #[inline(always)]
            fn pass(self) -> usize {
                self.address
            }
        }
        impl<T> Pass<u64> for $name<T> {
            #[inline(always)]
            fn pass(self) -> u64 {
                self.address as u64
            }
        })*
    };
}
pointers! {
    UserRef Shown::Given;
    UserMut Shown::Filled;
}

impl<T> UserMut<T> {
    /// The same address, only to be read from.
    #[inline(always)]
    pub const fn to_ref(self) -> UserRef<T> {
        UserRef { address: self.address, layouts: self.layouts, points_to: PhantomData }
    }
}

/// How what lies at an address is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "structures by their names")]
pub enum Form {
    /// Not at all: the address is.
    Opaque,
    /// Bytes, as many as the next argument says.
    Bytes,
    /// The same, none of which is likely to be a letter.
    Random,
    /// A path of as many bytes as the result says, its zero among them.
    Path,
    /// A 32-bit number.
    Int,
    /// The length of what another argument leads to: it may come back changed.
    Length,
    /// A `long`.
    Long,
    /// Two descriptors.
    Pair,
    /// Seconds and nanoseconds.
    Timespec,
    /// The same, when the call was interrupted.
    TimeLeft,
    /// Seconds and microseconds.
    Timeval,
    /// Two moments for utimensat(2).
    Moments,
    /// A set of signals.
    Signals,
    /// Pointers to strings, up to a null pointer.
    Strings,
    /// The same; they are counted.
    Variables,
    /// A status of wait(2).
    WaitStatus,
    /// `struct pollfd`, as many as the next argument says.
    Poll,
    /// `struct iovec`, as many as the next argument says.
    Vectors,
    /// `struct linux_dirent64`, as many bytes as the result says; they are counted.
    Entries,
    /// Processors, a bit each.
    Processors,
    /// Descriptors, a bit each; how many, the first argument said.
    Descriptors(u32),
    CloneArgs,
    EpollEvents,
    Flock,
    Flock64,
    Itimerspec,
    Itimerval,
    Message,
    OpenHow,
    Rlimit,
    Rlimit64,
    Rusage,
    SigAction,
    SigInfo,
    SigStack,
    SockAddr,
    Stat,
    Stat64,
    StatFs,
    Statx,
    SysInfo,
    UtsName,
    WindowSize,
}

/// What an address may lead to.
pub trait Pointee {
    /// How it is printed.
    const FORM: Form = Form::Opaque;
}

impl Pointee for () {}
impl Pointee for u8 {
    const FORM: Form = Form::Bytes;
}
impl Pointee for i32 {
    const FORM: Form = Form::Int;
}
impl Pointee for u32 {
    const FORM: Form = Form::Int;
}
impl Pointee for Id16 {}
impl Pointee for u64 {}
impl Pointee for usize {}
impl Pointee for isize {}
impl Pointee for UserStr {}
impl Pointee for UserWord {}

/// Names of the kernel's structures. What lies in them is the business of the handlers that read them.
macro_rules! structures {
    ($($name:ident $form:ident $text:literal)*) => {
        $(#[doc = concat!("`", $text, "`")]
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}
        impl Pointee for $name {
            const FORM: Form = Form::$form;
        })*
    };
}
structures! {
    Dirent Entries "struct linux_dirent64"
    FdPair Pair "int[2]"
    FdSet Opaque "fd_set"
    PollFd Poll "struct pollfd"
    SigInfo SigInfo "siginfo_t"
    SigSet Signals "sigset_t"
    SigStack SigStack "stack_t"
    SockAddr SockAddr "struct sockaddr"
    UserDesc Opaque "struct user_desc"
    UtsName UtsName "struct utsname"
}
