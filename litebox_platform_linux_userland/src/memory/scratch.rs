//! What the supervisor's start leaves in its address space: the stack it began on, and what was allocated before there
//! was a kernel heap.
//!
//! Guest processes are copies of the supervisor's and have no use for either once their first thread runs on a kernel
//! stack. Both lie far from everything else, so that fork would make six pages of page tables for some ten pages of
//! memory. A process drops them before it starts another one for the first time.

use crate::host::call::{host_call, nr};
use crate::host::published::Published;
use crate::memory::layout::Layout;
use litebox_common_linux::abi::memory::PAGE;

/// How far below its end the stack may have been used.
const STACK: usize = 1 << 20;
/// brk(2): only before the filter.
const BRK: usize = 12;

/// Addresses: first, and behind the last.
#[derive(Debug)]
pub(crate) struct Scratch([(usize, usize); 2]);

/// That of this sandbox.
pub(crate) static SCRATCH: Published<Scratch> = Published::nothing();

impl Scratch {
    /// `program_break`: where it was before anything was allocated. `stack_end`: where the stack ends. What is 0 is not
    /// known, and stays.
    pub(crate) fn new(program_break: usize, stack_end: usize, layout: &Layout) -> Self {
        // SAFETY: asks, and changes nothing.
        let now = unsafe { host_call!(BRK, 0) }.unwrap_or(0);
        let allocated = (program_break.next_multiple_of(PAGE), now.next_multiple_of(PAGE));
        let stack = (stack_end.saturating_sub(STACK), stack_end);
        let known = |first: usize, span: (usize, usize)| {
            if first != 0 && span.0 < span.1 && layout.is_apart(span) { span } else { (0, 0) }
        };
        Self([known(program_break, allocated), known(stack_end, stack)])
    }

    /// The calling process drops it.
    pub(crate) fn drop_copy(&self) {
        for (start, end) in self.0.into_iter().filter(|(start, _)| *start != 0) {
            // SAFETY: memory of the start, to which nothing in guest processes leads.
            let _ = unsafe { host_call!(nr::MUNMAP, start, end - start) };
        }
    }
}
