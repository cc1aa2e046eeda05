//! How threads and processes end.

use core::sync::atomic::Ordering;

use litebox::platform::host;

use super::Task;

impl Task<'_, '_> {
    /// Ends the calling thread; with the last one, the process ends with the status set before.
    pub fn exit_thread(&mut self) -> ! {
        self.thread.dead.store(true, Ordering::Release);
        self.give_locks();
        self.release_robust_list();
        self.clear_child_tid();
        if self.process().remove_thread(self.thread) == 0 {
            self.finish_process();
        }
        self.process().rouse_for_pending();
        host().exit_thread()
    }

    /// exit_group(2), or death by a signal: everybody leaves with this wait(2) status.
    pub fn exit_group_with(&mut self, wait_status: i32) -> ! {
        self.process().begin_exit(wait_status);
        self.exit_thread()
    }

    /// The last thread of the process is leaving.
    fn finish_process(&mut self) -> ! {
        let process = self.process();
        let status = process.exit_status();
        process.files.close_all();
        self.kernel().remove_process(process.pid);
        host().exit_process(status)
    }
}
