//! The process's memory: where the kernel's lies, its heap, and the guest's address space.

pub(crate) mod arena;
pub mod heap;
pub(crate) mod huge;
pub(crate) mod layout;
pub(crate) mod memory_functions;
pub(crate) mod scratch;
pub(crate) mod user;
