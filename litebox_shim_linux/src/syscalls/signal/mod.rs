//! Signals.

use litebox::platform::north::Fault;

use crate::Task;

/// Signal state of a process.
#[derive(Default)]
pub struct ProcessSignals {}

/// Signal state of a thread.
#[derive(Default)]
pub struct ThreadSignals {}

impl Task<'_, '_> {
    /// An exception of guest code becomes its signal.
    pub(crate) fn deliver_fault(&mut self, fault: Fault) {
        let _ = fault;
        self.exit_group_with(11);
    }
    /// Expired timers, signals: what an interrupted thread has to look at on its way to guest code.
    pub(crate) fn run_pending_work(&mut self) {}
}
