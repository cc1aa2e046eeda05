//! Processes of the host that something outside of the sandbox ended (SIGKILL, the host's want of memory, RLIMIT_CPU),
//! and signals from there.
//!
//! Such an end is the death of the guests in that process, and nobody else's. A process with no memory of theirs runs
//! what is left of their lives: it closes their files and tells their parents, from wherever they had come to. What the
//! lost threads held on their stacks is not known: references leak, so a file that one of several threads was reading
//! may stay open. Locks that they held pass to the next who wants them, or end the sandbox (`litebox::sync`).

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use litebox::platform::compat::CpuMode;
use litebox::platform::north::Registers;
use litebox::platform::{ThreadSpec, host};

use super::{Kernel, Process, Thread};
use crate::signal::set::SI_USER;
use crate::signal::{SigSet, SignalInfo};

impl Kernel {
    /// The host's process `number` is gone: its guests, if it had some, die of `signal`. `false`: the host has no room
    /// for what is left of their lives.
    pub(crate) fn process_lost(&self, number: u32, signal: i32) -> bool {
        let was_there = |thread: &Arc<Thread>| thread.host.process.load(Ordering::Relaxed) == number;
        let is_told = self.processes().into_iter().all(|process| {
            let (lost, others): (alloc::vec::Vec<_>, alloc::vec::Vec<_>) =
                process.threads().into_iter().partition(was_there);
            match (&*lost, &*others) {
                ([], _) => {
                    process.last_thread().filter(was_there).is_none_or(|last| process.die_elsewhere(&last, signal))
                }
                ([last, rest @ ..], []) => {
                    process.lose(rest);
                    process.die_elsewhere(last, signal)
                }
                (lost, _) => {
                    process.lose(lost);
                    true
                }
            }
        });
        self.end_lost_containers();
        is_told
    }
}

impl Process {
    /// These threads are gone; the process goes on with others (it executes a program elsewhere).
    fn lose(&self, threads: &[Arc<Thread>]) {
        for thread in threads {
            thread.dead.store(true, Ordering::Release);
            thread.seccomp.release(thread);
            thread.forget_host();
            thread.leave_shares();
            self.remove_thread(thread);
            // SAFETY: the host's reference, which nobody uses any more.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(thread)) };
        }
    }

    /// All its threads are gone: one of them goes on in another process of the host, where it does nothing but end.
    /// `false`: the host has no room.
    fn die_elsewhere(&self, last: &Arc<Thread>, signal: i32) -> bool {
        if self.mm.core().is_broken() {
            // What it maps cannot be told any more: it stays until the sandbox ends, and nothing of it is looked at.
            core::mem::forget(self.mm.shared());
        }
        last.forget_host();
        self.begin_exit(self.death_status(signal));
        let regs = Registers::default();
        let spec = ThreadSpec {
            // The reference is the one that the host has had all the time.
            north: Arc::as_ptr(last).cast(),
            host: &last.host,
            waiter: &last.waiter,
            regs: &regs,
            fp: None,
            fs_base: 0,
            gs_base: 0,
            mode: CpuMode::Long,
            segments: None,
            fast_syscalls: last.fast_syscalls(),
        };
        host().spawn_program(&spec).is_ok()
    }

    /// Signals from outside of the sandbox become the guest's: to be called where it looks at its pending work.
    pub(crate) fn take_arrived_signals(&self) {
        let mut arrived = SigSet(host().arrived_signals());
        while let Some(signal) = arrived.first() {
            arrived = arrived.without(SigSet::of(signal));
            // As from a process that cannot be seen from here. Refused only for a full real-time queue, and these are
            // none.
            let _ = self.send_signal(SignalInfo::sent(signal, SI_USER, 0, 0));
        }
    }
}

impl Thread {
    /// Its thread of the host is gone, with everything that was there for it, and so is the memory it used.
    fn forget_host(&self) {
        self.host.kick_handle.store(0, Ordering::Release);
        self.host.tid.store(0, Ordering::Release);
        self.host.mode.store(0, Ordering::SeqCst);
        for address in [&self.clear_child_tid, &self.robust_list, &self.robust_list32, &self.rseq_area] {
            address.store(0, Ordering::Relaxed);
        }
        self.forget_loan();
        *self.newborn.lock() = None;
        let waits = self.vfork_parent.lock().take();
        if let Some(parent) = waits {
            parent.end();
        }
    }
}
