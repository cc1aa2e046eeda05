//! Memory: the page arena, and the map of a guest's areas.
//!
//! - [`Area`] is one stretch of a guest's address space with equal properties; `areas::AreaTree` keeps them in order.
//! - [`Space`] is the address space of one guest process: it decides where mappings go and mirrors each change on the host.
//!
//! No user memory may be touched while the lock of a [`Space`] is held: a fault there asks the same space for help.

mod area;
mod areas;
pub mod arena;
mod fault;
mod mirror;
mod pages;
mod place;
mod remap;
mod space;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

pub use area::{Area, AreaFlags, AreaName, Object, ObjectId};
pub use fault::FaultClass;
pub use pages::MappedPages;
pub use place::Layout;
pub use remap::RemapRequest;
pub use space::{Advise, Limits, MapRequest, Placement, Space, Usage};

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Areas a process may have (`vm.max_map_count`).
pub const MAX_AREAS: usize = 65530;
/// Distance that a growing stack keeps from the area below it (`stack_guard_gap`).
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
