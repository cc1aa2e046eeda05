//! Constructors that are constant expressions, except in a model (`litebox/loom`): loom's atomics are made anew each
//! time.

/// Makes a function constant, but not with loom.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),*) -> $result:ty $body:block) => {
        #[cfg(not(loom))]
        $(#[$attribute])*
        $visibility const fn $name($($argument: $kind),*) -> $result $body
        #[cfg(loom)]
        $(#[$attribute])*
        $visibility fn $name($($argument: $kind),*) -> $result $body
    };
}

pub(crate) use const_fn;
