//! The Linux ABI, stated once: a file per family, with its numbers, flags and structures.
//!
//! `named!` makes three things of one list of names: a constant for each (`MAP_FIXED`), a type of arguments that prints
//! them by name, and, of flags, a set of flags that is checked and combined as bitflags are (`MapFlags::MAP_FIXED`).

pub mod aio;
pub mod errno;
pub mod file;
pub mod futex;
pub mod ioctl;
pub mod ipc;
pub mod layout;
pub mod memory;
pub mod poll;
pub mod process;
pub mod random;
pub mod signal;
pub mod socket;
pub mod socket_option;
pub mod time;

/// The names of a type's values. A value has a name if its bits under the name's mask are the name's.
pub type Names = &'static [Name];

/// One name.
#[derive(Debug)]
pub struct Name {
    /// As the manual page spells it.
    pub text: &'static str,
    /// The bits it is.
    pub bits: u64,
    /// The bits that must be so.
    pub mask: u64,
}

/// A value with a name of its own.
pub const fn name(text: &'static str, bits: u64) -> Name {
    Name { text, bits, mask: bits }
}

/// A value of the field `mask`.
pub const fn value(text: &'static str, bits: u64, mask: u64) -> Name {
    Name { text, bits, mask }
}

/// A value that is alone.
pub const fn alone(text: &'static str, bits: u64) -> Name {
    Name { text, bits, mask: u64::MAX }
}

/// A type of arguments whose values have names.
pub trait Named {
    /// The names.
    const NAMES: Names;
}

/// `flags`: any of the names together; a name with `in MASK` is one of the values of that field. `choice`: one of the
/// names. `number`: the same, but handlers take it as the number it is. The type in parentheses is that of the
/// argument.
macro_rules! named {
    ($($(#[$doc:meta])* $kind:ident $name:ident($inner:ident) { $($text:ident = $bits:literal $(in $mask:literal)?),* $(,)? })*) => {
        $($(#[doc = concat!("`", stringify!($text), "`")] pub const $text: $inner = $bits;)*)*

        $($(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $name(pub $inner);

        impl $crate::abi::Named for $name {
            const NAMES: $crate::abi::Names = &[$($crate::abi::Name {
                text: stringify!($text),
                bits: $bits,
                mask: $crate::abi::named!(mask $kind $bits $($mask)?),
            }),*];
        }
        impl $crate::argument::Argument for $name {
            #[inline(always)]
            fn take(registers: &mut $crate::argument::Registers) -> Self {
                Self(<$inner as $crate::argument::Argument>::take(registers))
            }
            fn shown(self) -> $crate::show::Shown {
                $crate::abi::named!(shown $kind $inner, <Self as $crate::abi::Named>::NAMES, self.0)
            }
        }
        $crate::abi::named!(set $kind $name $inner $($text)*);)*
    };
    (set number $name:ident $inner:ident $($text:ident)*) => {
        impl $crate::argument::Pass<$inner> for $name {
            #[inline(always)]
            fn pass(self) -> $inner {
                self.0
            }
        }
    };
    (set choice $name:ident $inner:ident $($text:ident)*) => {
        impl $name {
            $(#[doc = concat!("`", stringify!($text), "`")] pub const $text: Self = Self($text);)*
        }
    };
    (set flags $name:ident $inner:ident $($text:ident)*) => {
        bitflags::bitflags! {
            impl $name: $inner {
                $(#[doc = concat!("`", stringify!($text), "`")] const $text = $text;)*
            }
        }
    };
    (mask choice $bits:literal) => { u64::MAX };
    (mask number $bits:literal) => { u64::MAX };
    (mask flags $bits:literal) => { $bits };
    (mask flags $bits:literal $mask:literal) => { $mask };
    (shown number $($rest:tt)*) => { $crate::abi::named!(shown choice $($rest)*) };
    (shown choice $inner:ident, $names:expr, $value:expr) => { $crate::show::Shown::Choice($names, i64::from($value)) };
    (shown flags i32, $names:expr, $value:expr) => { $crate::show::Shown::Flags($names, u64::from($value as u32)) };
    (shown flags u32, $names:expr, $value:expr) => { $crate::show::Shown::Flags($names, u64::from($value)) };
    (shown flags usize, $names:expr, $value:expr) => { $crate::show::Shown::Flags($names, $value as u64) };
}
pub(crate) use named;
