//! From guest code into the kernel and back: traps, the fast way in, patched call sites.

pub(crate) mod compat;
pub(crate) mod fast;
pub mod interception;
pub(crate) mod patch;
pub(crate) mod trap;
