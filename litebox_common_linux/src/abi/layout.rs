//! Structures of the guest, whose layout depends on the architecture of the program that reads and writes them.
//!
//! A handler sees one structure with the widest fields; `structure!` makes of one description that structure and its
//! two layouts. Reading one from guest memory or writing it there is the business of whoever has that memory.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Arch;

/// Whose structures lie at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layouts {
    /// 64-bit programs'.
    X86_64,
    /// 32-bit programs'.
    X86,
    /// 32-bit programs', in the calls whose times have 64 bits (`clock_gettime64` and its kin).
    X86Time64,
}

impl From<Arch> for Layouts {
    fn from(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => Self::X86_64,
            Arch::X86 => Self::X86,
        }
    }
}

/// A structure as it lies in the memory of programs.
pub trait Layout: Copy + Field<Self::X86_64> + Field<Self::X86> + Field<Self::Time64> {
    /// Of 64-bit programs.
    type X86_64: FromBytes + IntoBytes + Immutable;
    /// Of 32-bit programs.
    type X86: FromBytes + IntoBytes + Immutable;
    /// Of 32-bit programs, where times have 64 bits.
    type Time64: FromBytes + IntoBytes + Immutable;

    /// How many bytes it has.
    fn size(layouts: Layouts) -> usize {
        match layouts {
            Layouts::X86_64 => size_of::<Self::X86_64>(),
            Layouts::X86 => size_of::<Self::X86>(),
            Layouts::X86Time64 => size_of::<Self::Time64>(),
        }
    }
}

/// A field, and what it is in one of the layouts.
pub trait Field<Raw> {
    /// From what a program wrote.
    fn of(raw: Raw) -> Self;
    /// To what a program reads; what does not fit is cut off, as Linux does.
    fn raw(self) -> Raw;
}

macro_rules! same {
    ($($number:ty)*) => {
        $(impl Field<$number> for $number {
            #[inline]
            fn of(raw: $number) -> Self {
                raw
            }
            #[inline]
            fn raw(self) -> $number {
                self
            }
        })*
    };
}
same!(u8 u16 i16 u32 i32 u64 i64 Id16);

impl<Wide: Field<Raw>, Raw, const N: usize> Field<[Raw; N]> for [Wide; N] {
    #[inline]
    fn of(raw: [Raw; N]) -> Self {
        raw.map(Wide::of)
    }
    #[inline]
    fn raw(self) -> [Raw; N] {
        self.map(Wide::raw)
    }
}

/// Bytes that mean nothing: ignored, and written as zeros.
impl<const N: usize> Field<[u8; N]> for () {
    #[inline]
    fn of(_: [u8; N]) -> Self {}
    #[inline]
    fn raw(self) -> [u8; N] {
        [0; N]
    }
}

/// Padding that is given back as it came, where one of the layouts has it.
impl Field<[u8; 0]> for u32 {
    #[inline]
    fn of(_: [u8; 0]) -> Self {
        0
    }
    #[inline]
    fn raw(self) -> [u8; 0] {
        []
    }
}

macro_rules! narrow {
    ($($wide:ty, $narrow:ty;)*) => {
        $(impl Field<$narrow> for $wide {
            #[inline]
            fn of(raw: $narrow) -> Self {
                raw.into()
            }
            #[inline]
            fn raw(self) -> $narrow {
                self as $narrow
            }
        })*
    };
}
narrow! {
    u64, u32;
    u64, u16;
    i64, i32;
    u32, u16;
}

impl Field<i64> for u64 {
    #[inline]
    fn of(raw: i64) -> Self {
        raw as Self
    }
    #[inline]
    fn raw(self) -> i64 {
        self as i64
    }
}

/// A field of 32 bits that counts as none of its own when it is full: a limit.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Limit32(u32);

impl Field<Limit32> for u64 {
    fn of(raw: Limit32) -> Self {
        if raw.0 == u32::MAX { Self::MAX } else { raw.0.into() }
    }
    fn raw(self) -> Limit32 {
        Limit32(u32::try_from(self).unwrap_or(u32::MAX))
    }
}

/// A user or a group of a program that knows 16 bits of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Id16(u16);

impl From<u16> for Id16 {
    fn from(id: u16) -> Self {
        Self(id)
    }
}

impl From<Id16> for u16 {
    fn from(id: Id16) -> Self {
        id.0
    }
}

/// What stands for an id that does not fit (/proc/sys/kernel/overflowuid).
const OVERFLOW_ID: u16 = 65_534;

impl Field<Id16> for u32 {
    /// -1, "leave it as it is", is -1.
    fn of(raw: Id16) -> Self {
        if raw.0 == u16::MAX { Self::MAX } else { raw.0.into() }
    }
    fn raw(self) -> Id16 {
        Id16(u16::try_from(self).unwrap_or(OVERFLOW_ID))
    }
}

/// A `long` of programs, or an address of theirs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UserWord(pub u64);

impl Field<u64> for UserWord {
    fn of(raw: u64) -> Self {
        Self(raw)
    }
    fn raw(self) -> u64 {
        self.0
    }
}

impl Field<u32> for UserWord {
    fn of(raw: u32) -> Self {
        Self(raw.into())
    }
    fn raw(self) -> u32 {
        self.0 as u32
    }
}

macro_rules! scalars {
    ($($number:ty = $long:ty, $short:ty;)*) => {
        $(impl Layout for $number {
            type X86_64 = $long;
            type X86 = $short;
            type Time64 = $short;
        })*
    };
}
scalars! {
    u8 = u8, u8;
    u16 = u16, u16;
    u32 = u32, u32;
    i32 = i32, i32;
    u64 = u64, u64;
    i64 = i64, i64;
    UserWord = u64, u32;
    Id16 = Id16, Id16;
}

impl Field<i64> for isize {
    fn of(raw: i64) -> Self {
        raw as Self
    }
    fn raw(self) -> i64 {
        self as i64
    }
}
impl Field<i32> for isize {
    fn of(raw: i32) -> Self {
        raw as Self
    }
    fn raw(self) -> i32 {
        self as i32
    }
}
/// A `long` with a sign.
impl Layout for isize {
    type X86_64 = i64;
    type X86 = i32;
    type Time64 = i32;
}

/// `NAME [LAYOUT64 LAYOUT32] FORM { field: TYPE = TYPE64, TYPE32; }`: a structure, its layouts, and how `--strace`
/// prints it. A third layout, of [`Layouts::X86Time64`], is a [`raw_layout!`] of its own; without it that is the first.
macro_rules! structure {
    ($($(#[$doc:meta])* $name:ident [$long:ident $short:ident $($time64:ident)?] $form:ident {
        $($(#[$about:meta])* $field:ident: $type:ty = $type64:ty, $type32:ty;)*
    })*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $name {
            $($(#[$about])* pub $field: $type,)*
        }

        $crate::abi::layout::raw_layout! {
            /// As 64-bit programs have it.
            $name $long { $($(#[$about])* $field: $type = $type64;)* }
            /// As 32-bit programs have it.
            $name $short { $($(#[$about])* $field: $type = $type32;)* }
        }

        #[cfg(test)]
        impl $crate::abi::layout::tests::Described for $name {
            const NAME: &'static str = stringify!($name);
            const FIELDS: &'static [(&'static str, [usize; 2])] = &[
                $((stringify!($field), [core::mem::offset_of!($long, $field), core::mem::offset_of!($short, $field)])),*
            ];
        }

        impl $crate::abi::layout::Layout for $name {
            type X86_64 = $long;
            type X86 = $short;
            type Time64 = $crate::abi::layout::structure!(third $long $($time64)?);
        }
        impl $crate::argument::Pointee for $name {
            const FORM: $crate::argument::Form = $crate::argument::Form::$form;
        })*
    };
    (third $long:ident) => { $long };
    (third $long:ident $time64:ident) => { $time64 };
}

/// `NAME LAYOUT { field: TYPE = RAW; }`: one layout of a structure.
macro_rules! raw_layout {
    ($($(#[$doc:meta])* $name:ident $raw:ident { $($(#[$about:meta])* $field:ident: $type:ty = $rawtype:ty;)* })*) => {
        $($(#[$doc])*
        #[derive(
            Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout,
            zerocopy::Unaligned,
        )]
        #[repr(C, packed)]
        pub struct $raw {
            $($(#[$about])* pub $field: $rawtype,)*
        }

        impl $crate::abi::layout::Field<$raw> for $name {
            #[inline]
            fn of(raw: $raw) -> Self {
                Self { $($field: <$type as $crate::abi::layout::Field<$rawtype>>::of(raw.$field),)* }
            }
            #[inline]
            fn raw(self) -> $raw {
                $raw { $($field: $crate::abi::layout::Field::<$rawtype>::raw(self.$field),)* }
            }
        })*
    };
}
pub(crate) use {raw_layout, structure};

#[cfg(test)]
pub(crate) mod tests;
