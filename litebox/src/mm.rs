//! Memory: the page arena, and the map of a guest's vmas.
//!
//! - [`Vma`] is one stretch of a guest's address space with equal properties; `vma_tree::VmaTree` keeps them in order.
//! - [`Mm`] is the address space of one guest process: it decides where mappings go and mirrors each change on the
//!   host.
//!
//! No user memory may be touched while the lock of a [`Mm`] is held: a fault there asks the same space for help.

pub mod arena;
mod fault;
mod free_pages;
mod map;
mod mirror;
mod pages;
mod remap;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
mod unmapped_area;
mod vma;
mod vma_tree;

pub use fault::FaultClass;
pub use litebox_common_linux::abi::memory::PAGE;
pub use map::{Advise, Limits, MapRequest, Mm, Placement, Reach, SyncFlags, Usage};
pub use pages::MappedPages;
pub use remap::RemapRequest;
pub use unmapped_area::Layout;
pub use vma::{Object, ObjectId, Vma, VmaFlags, VmaName};

/// Vmas a process may have (`vm.max_map_count`).
pub const MAX_VMAS: usize = 65530;
/// Distance that a growing stack keeps from the vma below it (`stack_guard_gap`).
pub const STACK_GAP: usize = 256 * PAGE;

/// `n` rounded up to whole pages; `None` when that does not fit.
pub const fn page_up(n: usize) -> Option<usize> {
    match n.checked_add(PAGE - 1) {
        Some(n) => Some(n & !(PAGE - 1)),
        None => None,
    }
}

/// `n` rounded down to whole pages.
pub const fn page_down(n: usize) -> usize {
    n & !(PAGE - 1)
}
