//! From guest code into the kernel and back: traps, the fast way in, patched call sites.

mod address_space;
pub(crate) mod compat;
mod far_entry;
pub(crate) mod fast;
pub(crate) mod patch;
pub(crate) mod trap;
