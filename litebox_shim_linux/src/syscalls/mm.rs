//! Memory management calls.

/// The address space of a process.
#[derive(Default)]
pub struct MemoryMap {}

impl MemoryMap {
    /// A fault of the guest, or of the kernel on its behalf, at `addr`. `true`: the page is there now.
    pub fn resolve_fault(&self, _addr: usize, _write: bool) -> bool {
        false
    }
}
