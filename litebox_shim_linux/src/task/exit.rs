//! How threads and processes end.
//!
//! Something outside of the sandbox may kill the process of the host in the middle of it. Another one then begins from
//! the start (`loss.rs`), so each step can be done twice.

use core::sync::atomic::Ordering;

use litebox::platform::host;

use super::Task;
use super::process_table::FIRST_PID;

impl Task<'_, '_> {
    /// Ends the calling thread; with the last one, the process ends with the status set before.
    pub fn exit_thread(&mut self) -> ! {
        self.thread.dead.store(true, Ordering::Release);
        if self.thread.traced {
            self.thread.trace_exit(self.process().exit_status());
        }
        self.kernel().stats.add_counts(self.thread);
        self.thread.seccomp.release(self.thread);
        self.give_locks();
        self.release_robust_list();
        // Whoever hears of the end may unmap the thread's memory, its area in it; the host would kill the process for
        // it.
        let _ = self.thread.forget_rseq();
        self.clear_child_tid();
        self.end_vfork();
        let tid = self.thread.tid();
        let mut closes = self.thread.leave_shares();
        if closes && self.process().thread_count() > 1 {
            // Descriptors of its own.
            self.close_everything();
            closes = false;
        }
        if tid == self.process().pid {
            self.process().keep_ended_first(self.thread);
        }
        if self.process().remove_thread(self.thread) == 0 {
            self.finish_process(closes);
        }
        self.kernel().parent_thread_ended(self.process(), tid);
        self.process().wake_for_pending();
        self.process().pass_on_task_work();
        host().exit_thread()
    }

    /// Ends the calling thread with a wait(2) status. The process has that of its last thread, unless it is ended as a
    /// whole.
    pub(crate) fn end_thread(&mut self, wait_status: i32) -> ! {
        self.process().set_exit_status(wait_status);
        self.exit_thread()
    }

    /// Death by a signal.
    pub(crate) fn die_of(&mut self, signal: i32) -> ! {
        self.exit_group_with(self.process().death_status(signal))
    }

    /// exit_group(2), or death by a signal: everybody leaves with this wait(2) status.
    pub fn exit_group_with(&mut self, wait_status: i32) -> ! {
        self.process().begin_exit(wait_status);
        self.exit_thread()
    }

    /// The last thread of the process is leaving. `closes`: nobody else uses its descriptors.
    fn finish_process(&mut self, closes: bool) -> ! {
        let process = self.process();
        process.begin_exit(process.exit_status());
        if process.pid == process.session.load(Ordering::Relaxed) && process.pid != FIRST_PID {
            self.kernel().terminals.session_ended(process.pid);
        }
        if process.pid == FIRST_PID {
            self.kernel().process_ended(process);
            self.kernel().write_call_counts();
            host().end_sandbox(process.exit_status());
        }
        process.refuse_task_work();
        if closes {
            self.close_everything();
        }
        self.kernel().tell_owners();
        // Of one that has ended /proc shows no program, and it may be written again.
        let none = alloc::sync::Arc::default();
        let program = core::mem::replace(&mut *process.image.write(), none);
        drop(program);
        self.ipc_objects().system_v.process_ended(process.pid);
        let last_user = process.mm.leave();
        if last_user {
            process.mm.core().forget_all();
        }
        *process.usage.lock() = host().usage(false);
        self.kernel().parent_thread_ended(process, self.thread.tid());
        self.kernel().process_ended(process);
        crate::outside::programs::ended(process);
        self.kernel().leave_container(&process.container);
        // Who is killed before this begins anew, elsewhere.
        process.forget_last_thread();
        if last_user { host().exit_process() } else { host().exit_thread() }
    }

    /// Closes all descriptors of the calling thread.
    fn close_everything(&self) {
        // One after the other: whoever goes on with the end of a process that was killed here finds the others.
        let mut next = 0;
        while let Some((fd, file)) = self.thread.files.remove_next(next) {
            // Nobody hears of late errors.
            let _ = self.closed(file);
            next = fd + 1;
        }
    }
}
