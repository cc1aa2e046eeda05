//! Where guest events enter: system calls, exceptions, kicks; and the way back to the guest.

use alloc::sync::Arc;
use core::mem::ManuallyDrop;
use core::sync::atomic::Ordering;

use litebox::mm::{Vma, VmaFlags};
use litebox::platform::north::{Code, Fault, GuestFrame, North, PatchPolicy};
use litebox::platform::{HostFd, Instant, host};
use litebox_common_linux::Arch;
use litebox_protocol::{Event, STAT_FIGURES};

use crate::task::{Capability, Newborn, Task, Thread};
use crate::user::write_bytes;

const SIGSEGV: i32 = 11;

/// Linux as the North of the sandbox.
pub struct LinuxNorth;

/// Runs `f` as the calling guest thread, for a call in the manner of `arch` if it is one.
#[inline]
fn with_task(frame: &mut GuestFrame<'_>, arch: Arch, f: impl FnOnce(&mut Task<'_, '_>)) {
    let object = frame.thread.cast::<Thread>();
    // SAFETY: a guest thread's object is one leaked reference of its `Arc<Thread>`, given back only when the thread
    // exits; the handle made here is not dropped, so the count stays as it is.
    let thread = ManuallyDrop::new(unsafe { Arc::from_raw(object) });
    f(&mut Task { thread: &thread, frame, arch });
}

/// As [`Thread::serve_vfork_parent`], of the calling thread.
fn serve_vfork_parent(object: *const Thread) {
    // SAFETY: as in `with_task`.
    let thread = ManuallyDrop::new(unsafe { Arc::from_raw(object) });
    thread.serve_vfork_parent();
}

/// Calls that do not come back to where they were made.
struct CallsOfNoReturn {
    /// Unwinders know their code by its bytes.
    sigreturn: [u64; 2],
    execve: u64,
    exit: u64,
    exit_group: u64,
}

impl CallsOfNoReturn {
    fn of(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => Self { sigreturn: [15, 15], execve: 59, exit: 60, exit_group: 231 },
            Arch::X86 => Self { sigreturn: [119, 173], execve: 11, exit: 1, exit_group: 252 },
        }
    }
}

impl North for LinuxNorth {
    fn syscall(&self, frame: &mut GuestFrame<'_>) {
        with_task(frame, Arch::X86_64, |task| {
            task.thread.count_call();
            task.leave_critical_section();
            task.do_syscall();
            task.after_call();
        });
    }

    fn syscall32(&self, frame: &mut GuestFrame<'_>) {
        with_task(frame, Arch::X86, |task| {
            task.thread.count_call();
            task.do_syscall32();
            task.after_call();
        });
    }

    fn fault(&self, frame: &mut GuestFrame<'_>, fault: Fault) {
        with_task(frame, Arch::X86_64, |task| {
            task.kernel().stats.faults.fetch_add(1, Ordering::Relaxed);
            if task.process().must_leave(task.thread) {
                // Its map of memory may be one that nothing can be told of (`task/loss.rs`).
                task.exit_thread();
            }
            task.deliver_fault(fault);
            task.return_to_guest();
        });
    }

    fn kicked(&self, frame: &mut GuestFrame<'_>) {
        with_task(frame, Arch::X86_64, |task| {
            task.return_to_guest();
        });
    }

    fn release(&self, north: *const ()) {
        // SAFETY: the leaked reference of a thread that never uses it again.
        let thread = unsafe { Arc::from_raw(north.cast::<Thread>()) };
        if thread.waiter.interrupted() {
            // A kick that came since the thread last looked is nobody's but the others'.
            thread.process.pass_kick_on(&thread);
        }
        drop(thread.end_handoff());
    }

    fn caller(&self) -> Option<litebox::net::Credentials> {
        let object = host().current_north().cast::<Thread>();
        // SAFETY: as in `with_task`; null outside guest threads.
        let thread = unsafe { object.as_ref() }?;
        let creds = thread.creds();
        Some(litebox::net::Credentials { pid: thread.process.pid, uid: creds.euid, gid: creds.egid })
    }

    fn resolve_fault(&self, addr: usize, write: bool) -> bool {
        let object = host().current_north().cast::<Thread>();
        // SAFETY: as in `with_task`; null outside guest threads.
        let Some(thread) = (unsafe { object.as_ref() }) else { return false };
        !thread.process.mm.core().is_broken() && thread.process.mm.resolve_fault(addr, write)
    }

    fn before_sleep(&self) {
        let object = host().current_north().cast::<Thread>();
        // SAFETY: as in `resolve_fault`.
        if let Some(thread) = unsafe { object.as_ref() } {
            thread.call.note_sleep();
            thread.process.kernel.tell_owners();
            thread.process.run_task_work();
            serve_vfork_parent(object);
        }
    }

    fn ends_sleep(&self) -> bool {
        let object = host().current_north().cast::<Thread>();
        // SAFETY: as in `resolve_fault`.
        let Some(thread) = (unsafe { object.as_ref() }) else { return true };
        thread.process.take_arrived_signals();
        thread.process.run_task_work();
        serve_vfork_parent(object);
        thread.process.pass_kick_on(thread);
        thread.stand_still();
        thread.has_pending_work()
    }

    fn call_under_way(&self) -> u64 {
        let object = host().current_north().cast::<Thread>();
        // SAFETY: as in `resolve_fault`.
        unsafe { object.as_ref() }.map_or(0, Thread::call_under_way)
    }

    fn keeps_set_id(&self) -> bool {
        let object = host().current_north().cast::<Thread>();
        // SAFETY: as in `resolve_fault`.
        unsafe { object.as_ref() }.is_none_or(|thread| thread.creds().can(Capability::FileSetId))
    }

    fn sleeping(&self) {
        let object = host().current_north().cast::<Thread>();
        // SAFETY: as in `resolve_fault`.
        if let Some(thread) = unsafe { object.as_ref() } {
            thread.trace_sleep();
        }
    }

    fn figures(&self, figures: &mut [u64; STAT_FIGURES]) {
        if let Some(kernel) = crate::outside::kernel() {
            kernel.figures(figures);
        }
    }

    fn with_code(&self, addr: usize, number: u64, look: &mut dyn FnMut(&Code, PatchPolicy)) {
        let object = host().current_north().cast::<Thread>();
        // SAFETY: as in `with_task`; null outside guest threads.
        let Some(thread) = (unsafe { object.as_ref() }) else { return };
        let kernel = &thread.process.kernel;
        let calls = CallsOfNoReturn::of(thread.process.arch());
        let returns_from_handler = calls.sigreturn.contains(&number);
        if !returns_from_handler || kernel.restorers.are_in_tables(&thread.process.mm, addr as u64) {
            // Where threads end one after the other, the next one makes the same call.
            let comes_back = number == calls.exit && thread.process.thread_count() > 1;
            let leaves = [calls.execve, calls.exit, calls.exit_group].contains(&number) && !comes_back;
            let policy = if leaves { PatchPolicy::Defer } else { PatchPolicy::Now };
            thread.process.mm.with_code(addr, &mut |code| look(code, policy));
        }
    }

    fn host_ready(&self, token: u64, events: u16) {
        crate::boot::host_ready(token, events);
    }
    fn deadline(&self) -> Option<Instant> {
        crate::outside::kernel()?.wire.as_ref()?.deadline()
    }
    fn due(&self) {
        if let Some(wire) = crate::outside::kernel().and_then(|kernel| kernel.wire.as_ref()) {
            wire.due();
        }
    }

    fn network_event(&self, event: &[u8], passed: Option<HostFd>) {
        crate::outside::network_event(event, passed);
    }

    fn ending(&self) {
        if let Some(kernel) = crate::outside::kernel() {
            kernel.terminals.flush_outside();
        }
    }

    fn end_all(&self) -> bool {
        crate::outside::kernel().is_none_or(crate::Kernel::end_all)
    }

    fn tell_changes(&self) {
        if let Some(kernel) = crate::outside::kernel() {
            kernel.tell_changes();
        }
    }

    fn process_lost(&self, number: u32, signal: i32) -> bool {
        crate::outside::kernel().is_some_and(|kernel| kernel.process_lost(number, signal))
    }

    fn program_event(&self, event: &Event, passed: Option<HostFd>) {
        crate::outside::programs::event(event, passed);
    }

    fn outside_signal(&self, signal: i32) {
        crate::outside::signal(signal);
    }

    fn out_of_memory(&self, process: u32) -> Option<(i32, [u8; 16])> {
        crate::outside::out_of_memory(process)
    }
}

impl Task<'_, '_> {
    /// What a new process does before its first instruction.
    fn begin_life(&mut self) {
        let newborn = self.thread.newborn.lock().take();
        match newborn {
            None => {}
            Some(Newborn::Child { copied, set_tid }) => {
                if copied {
                    self.keep_what_is_copied();
                }
                if set_tid != 0 {
                    // As on Linux, a bad address is not an error.
                    let _ = write_bytes(set_tid, &self.thread.tid().to_le_bytes());
                }
            }
            Some(Newborn::Program(prepared)) => self.begin_program(*prepared),
            Some(Newborn::FromOutside(request)) => self.begin_from_outside(&request),
        }
    }

    /// The calling thread is the only one of a copy of its parent's process: what was not to be copied goes. One whose
    /// rseq area goes with it dies, as on Linux.
    fn keep_what_is_copied(&mut self) {
        let process = self.process();
        let area = self.thread.rseq_area.load(Ordering::Relaxed);
        let goes = |vma: &Vma| vma.flags.contains(VmaFlags::DONTFORK);
        let dies = area != 0 && process.mm.core().with_vma(area, goes) == Some(true);
        if dies {
            // The host would end it, wherever it is then.
            let _ = self.thread.forget_rseq();
        }
        process.mm.core().after_fork();
        if dies {
            self.die_of(SIGSEGV);
        }
    }

    /// The way back from a call.
    #[inline]
    fn after_call(&mut self) {
        // Unless another one goes on in its place (vfork).
        if core::ptr::eq(self.frame.thread, Arc::as_ptr(self.thread).cast()) {
            self.return_to_guest();
        }
    }

    /// The last thing before guest code continues: exits, stops and signals take effect here.
    fn return_to_guest(&mut self) {
        while self.waiter().interrupted() {
            self.take_interruption();
            self.thread.serve_vfork_parent();
            if self.process().must_leave(self.thread) {
                self.exit_thread();
            }
            self.begin_life();
            self.run_pending_work();
        }
        self.finish_call();
        if self.waiter().interrupted() {
            // The mask of before lets something through.
            self.take_interruption();
            self.run_pending_work();
        }
    }

    /// The calling thread looks at its pending work now, or goes back to sleep without: then it has to put the
    /// interruption back, if there was one, before it returns to guest code. A kick may have been meant for others:
    /// they hear of it here.
    pub(crate) fn take_interruption(&self) -> bool {
        let interrupted = self.waiter().clear_interrupt();
        if interrupted {
            self.process().take_arrived_signals();
            self.process().pass_kick_on(self.thread);
        }
        interrupted
    }
}
