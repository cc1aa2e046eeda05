//! Structures of the guest, whose layout depends on the architecture of the program that reads and writes them.
//!
//! A handler sees one structure with the widest fields; [`structure!`] makes of one description that structure and its two layouts. Reading one from
//! guest memory or writing it there is the business of whoever has that memory.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A structure as it lies in the memory of programs.
pub trait Layout: Copy + Field<Self::X86_64> + Field<Self::X86> {
    /// Of 64-bit programs.
    type X86_64: FromBytes + IntoBytes + Immutable;
    /// Of 32-bit programs.
    type X86: FromBytes + IntoBytes + Immutable;
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
same!(u8 u16 i16 u32 i32 u64 i64 [u64; 3] [u8; 44]);

impl Field<[u32; 3]> for [u64; 3] {
    fn of(raw: [u32; 3]) -> Self {
        raw.map(u64::from)
    }
    fn raw(self) -> [u32; 3] {
        self.map(|number| number as u32)
    }
}

/// Padding that one of the layouts has not.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, zerocopy::KnownLayout, zerocopy::Unaligned)]
#[repr(C)]
pub struct Gap([u8; 0]);

impl Field<Gap> for u32 {
    fn of(_: Gap) -> Self {
        0
    }
    fn raw(self) -> Gap {
        Gap([])
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
    i64, i32;
}

macro_rules! scalars {
    ($($number:ty)*) => {
        $(impl Layout for $number {
            type X86_64 = $number;
            type X86 = $number;
        })*
    };
}
scalars!(u32 i32 u64 i64);

/// `NAME [LAYOUT64 LAYOUT32] FORM { field: TYPE = TYPE64, TYPE32; }`: a structure, its layouts, and how `--strace` prints it.
macro_rules! structure {
    ($($(#[$doc:meta])* $name:ident [$long:ident $short:ident] $form:ident {
        $($(#[$about:meta])* $field:ident: $type:ty = $type64:ty, $type32:ty;)*
    })*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $name {
            $($(#[$about])* pub $field: $type,)*
        }

        /// As 64-bit programs have it.
        #[derive(Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::Unaligned)]
        #[repr(C, packed)]
        pub struct $long {
            $($field: $type64,)*
        }

        /// As 32-bit programs have it.
        #[derive(Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::Unaligned)]
        #[repr(C, packed)]
        pub struct $short {
            $($field: $type32,)*
        }

        impl $crate::abi::layout::Field<$long> for $name {
            #[inline]
            fn of(raw: $long) -> Self {
                Self { $($field: $crate::abi::layout::Field::<$type64>::of(raw.$field),)* }
            }
            #[inline]
            fn raw(self) -> $long {
                $long { $($field: $crate::abi::layout::Field::<$type64>::raw(self.$field),)* }
            }
        }
        impl $crate::abi::layout::Field<$short> for $name {
            #[inline]
            fn of(raw: $short) -> Self {
                Self { $($field: $crate::abi::layout::Field::<$type32>::of(raw.$field),)* }
            }
            #[inline]
            fn raw(self) -> $short {
                $short { $($field: $crate::abi::layout::Field::<$type32>::raw(self.$field),)* }
            }
        }
        impl $crate::abi::layout::Layout for $name {
            type X86_64 = $long;
            type X86 = $short;
        }
        impl $crate::argument::Pointee for $name {
            const FORM: $crate::argument::Form = $crate::argument::Form::$form;
        })*
    };
}
pub(crate) use structure;
