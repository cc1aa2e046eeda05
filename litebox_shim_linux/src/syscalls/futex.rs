//! Futexes.

use crate::Task;

/// Who waits on which user word.
#[derive(Default)]
pub struct FutexTable {}

impl FutexTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Task<'_, '_> {
    /// The thread exits: marks the robust futexes it holds (get_robust_list(2)).
    pub(crate) fn release_robust_list(&mut self) {}
    /// The thread exits: clears and wakes its set_tid_address(2) word.
    pub(crate) fn clear_child_tid(&mut self) {}
}
