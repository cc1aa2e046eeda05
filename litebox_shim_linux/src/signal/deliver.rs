//! Delivery: what an interrupted thread does on its way to guest code, faults, and the one place that decides on
//! restarts.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use litebox::Error;
use litebox::mm::FaultClass;
use litebox::platform::north::{Fault, FaultKind};
use litebox::platform::{FaultAccess, host};

use super::set::{SI_KERNEL, SIGBUS, SIGCONT, SIGFPE, SIGILL, SIGSEGV, SIGSTOP, SIGTRAP};
use super::{Action, DefaultAction, SIG_DFL, SIG_IGN, SigSet, SignalInfo, default_action};
use crate::Task;
use crate::task::process_table::cld;

const SA_RESTART: u64 = 0x1000_0000;
const SA_NODEFER: u64 = 0x4000_0000;
const SA_RESETHAND: u64 = 0x8000_0000;
const EINTR: u64 = 4;

/// How a call that a signal interrupted goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RestartPolicy {
    /// Again, unless a handler without SA_RESTART ran: then EINTR (`ERESTARTSYS`).
    Sys = 1,
    /// Again, unless any handler ran (`ERESTARTNOHAND`).
    NoHandler = 2,
    /// Again in any case (`ERESTARTNOINTR`).
    Always = 3,
}

/// What a fault was, for the frame: trap number, error code, address.
#[derive(Clone, Copy, Default)]
pub(crate) struct TrapInfo {
    pub number: u64,
    pub error: u64,
    pub cr2: u64,
}

impl Task<'_, '_> {
    /// Notes that the running call (`number`) was interrupted; gives the error to return. Whether it is restarted is
    /// decided when the pending signals have been looked at.
    pub(crate) fn interrupted_call(&mut self, policy: RestartPolicy, number: u64) -> Error {
        self.thread.signals.restart_number.store(number, Ordering::Relaxed);
        self.thread.signals.restart.store(policy as u8, Ordering::Relaxed);
        Error::Interrupted
    }

    /// The call goes on although a part of it was interrupted.
    pub(crate) fn forget_restart(&self) {
        self.thread.signals.restart.store(0, Ordering::Relaxed);
    }

    /// Decides on the interrupted call. `action` is the handler that is about to run, if one is.
    pub(crate) fn decide_restart(&mut self, action: Option<&Action>) {
        let policy = self.thread.signals.restart.load(Ordering::Relaxed);
        if policy == 0 {
            return;
        }
        self.thread.signals.restart.store(0, Ordering::Relaxed);
        let again = match action {
            None => true,
            Some(a) if policy == RestartPolicy::Sys as u8 => a.flags & SA_RESTART != 0,
            Some(_) => policy == RestartPolicy::Always as u8,
        };
        if again {
            self.frame.regs.rip = self.frame.regs.rip.wrapping_sub(2);
            self.frame.regs.rax = self.thread.signals.restart_number.load(Ordering::Relaxed);
        } else {
            self.frame.regs.rax = EINTR.wrapping_neg();
        }
    }

    /// The last step before guest code: no handler took the interrupted call, and a temporary mask ends.
    pub(crate) fn finish_call(&mut self) {
        self.decide_restart(None);
        let saved = self.thread.signals.take_saved_mask();
        if let Some(mask) = saved {
            self.set_blocked(mask);
        }
    }

    /// Changes the mask of the calling thread.
    pub(crate) fn set_blocked(&mut self, mask: SigSet) {
        let mask = mask.without(SigSet::UNBLOCKABLE);
        let old = self.thread.signals.blocked.swap(mask.0, Ordering::SeqCst);
        if !old & mask.0 != 0 {
            self.process().wake_for_pending();
        }
        if old & !mask.0 != 0 && self.pending_signals().without(mask).0 != 0 {
            self.waiter().interrupt();
        }
    }

    /// What is pending for the thread and its process.
    pub(crate) fn pending_signals(&self) -> SigSet {
        let shared = self.process().signals.shared.lock();
        let own = self.thread.signals.own.lock();
        shared.pending.set().union(own.pending.set())
    }

    /// Whether a signal is pending that is not blocked.
    pub(crate) fn deliverable(&self) -> bool {
        self.pending_signals().without(self.thread.signals.blocked()).0 != 0
    }

    /// Whether one of these ends the process as soon as it is delivered: by default, and without a core dump, which is
    /// all that Linux looks at before.
    pub(crate) fn has_deadly_signal(&self) -> bool {
        let mut left = self.pending_signals().without(self.thread.signals.blocked()).without(SigSet::DUMPS);
        while let Some(signal) = left.first() {
            left = left.without(SigSet::of(signal));
            let by_default = self.process().signal_action(signal).handler == SIG_DFL;
            if by_default && matches!(default_action(signal), DefaultAction::Terminate) {
                return true;
            }
        }
        false
    }

    /// Takes the next signal of `wanted`: the thread's own, then the process's.
    pub(crate) fn take_signal(&mut self, wanted: SigSet) -> Option<SignalInfo> {
        loop {
            let taken = {
                let mut shared = self.process().signals.shared.lock();
                let own = self.thread.signals.own.lock().pending.take(wanted);
                own.or_else(|| shared.pending.take(wanted))
            };
            // A timer that was set anew or deleted takes its signal back.
            if let Some(info) = self.process().timers.taken(taken?) {
                return Some(info);
            }
        }
    }

    /// Signals, stops: what an interrupted thread has to look at on its way to guest code.
    pub(crate) fn run_pending_work(&mut self) {
        loop {
            self.thread.stand_still();
            self.wait_while_stopped();
            self.announce_going_on();
            if self.process().must_leave(self.thread) {
                self.exit_thread();
            }
            self.process().run_task_work();
            self.process().timers.run_due(self.thread);
            let wanted = SigSet(u64::MAX).without(self.thread.signals.blocked());
            let Some(info) = self.take_signal(wanted) else { return };
            self.deliver(info);
        }
    }

    fn wait_while_stopped(&mut self) {
        while self.process().signals.stopped.load(Ordering::SeqCst) && !self.process().must_leave(self.thread) {
            self.take_interruption();
            let ticket = self.waiter().ticket();
            if self.process().signals.stopped.load(Ordering::SeqCst) && !self.process().must_leave(self.thread) {
                let _ = self.waiter().sleep(ticket, None);
            }
        }
    }

    fn deliver(&mut self, info: SignalInfo) {
        let action = self.process().signal_action(info.signal);
        if self.thread.traced {
            self.thread.trace_signal(&info, &action);
        }
        match action.handler {
            SIG_IGN => {}
            SIG_DFL => match default_action(info.signal) {
                DefaultAction::Ignore => {}
                DefaultAction::Terminate => self.die_of(info.signal),
                // Nobody would continue it.
                DefaultAction::Stop if info.signal != SIGSTOP && self.is_orphan() => {}
                DefaultAction::Stop => {
                    let already = self.process().signals.stopped.swap(true, Ordering::SeqCst);
                    for thread in self.process().threads() {
                        if !Arc::ptr_eq(&thread, self.thread) {
                            thread.interrupt();
                        }
                    }
                    if !already {
                        self.announce_stop(info.signal);
                    }
                }
            },
            _ => self.run_handler(&info, &action),
        }
    }

    fn is_orphan(&self) -> bool {
        let group = self.process().group.load(Ordering::Relaxed);
        self.kernel().process_table.lock().is_orphaned(group, None)
    }

    fn announce_going_on(&self) {
        let process = self.process();
        if process.resumed.load(Ordering::Acquire) && process.resumed.swap(false, Ordering::AcqRel) {
            process.go_report.store(true, Ordering::Release);
            self.kernel().announce_stop_or_go(process, cld::CONTINUED, SIGCONT);
        }
    }

    fn announce_stop(&self, signal: i32) {
        let process = self.process();
        if process.parent.load(Ordering::Relaxed) == 0 {
            // Its parent is the user's shell.
            host().announce_stop();
            return;
        }
        process.go_report.store(false, Ordering::Release);
        process.stop_report.store(signal, Ordering::Release);
        self.kernel().announce_stop_or_go(process, cld::STOPPED, signal);
    }

    fn run_handler(&mut self, info: &SignalInfo, action: &Action) {
        self.decide_restart(Some(action));
        let blocked = self.thread.signals.blocked();
        let old = self.thread.signals.take_saved_mask().unwrap_or(blocked);
        if action.flags & SA_RESETHAND != 0 {
            self.process().set_signal_action(info.signal, Action { handler: SIG_DFL, ..*action });
        }
        if self.push_frame(info, action, old).is_err() {
            // No room for the frame: SIGSEGV, and if that was the signal, the end.
            if info.signal == SIGSEGV {
                self.die_of(SIGSEGV);
            }
            self.force(SignalInfo::kernel(SIGSEGV));
            return;
        }
        let mut mask = blocked.union(action.mask);
        if action.flags & SA_NODEFER == 0 {
            mask = mask.union(SigSet::of(info.signal));
        }
        self.set_blocked(mask);
        if info.signal != SIGSEGV {
            self.go_on_where_code_can_be();
        } else if !host().is_user_range(self.frame.regs.rip as usize, 1) {
            self.die_of(SIGSEGV);
        }
    }

    /// Delivers a signal that cannot wait. Blocked or ignored, it ends the process.
    pub(crate) fn force(&mut self, info: SignalInfo) {
        let handler = self.process().signal_action(info.signal).handler;
        if handler == SIG_IGN || handler == SIG_DFL || self.thread.signals.blocked().has(info.signal) {
            self.die_of(info.signal);
        }
        self.deliver(info);
    }

    /// An exception of guest code becomes its signal.
    pub(crate) fn deliver_fault(&mut self, fault: Fault) {
        const MAPERR: i32 = 1;
        const ACCERR: i32 = 2;
        const ADRERR: i32 = 2;
        const PAGE_FAULT: u64 = 14;
        let (signal, code) = match fault.kind {
            FaultKind::Segv | FaultKind::Bus if fault.trap == PAGE_FAULT => {
                let write = fault.error & 2 != 0;
                let access = match (write, fault.error & 16 != 0) {
                    (_, true) => FaultAccess::Fetch,
                    (true, false) => FaultAccess::Write,
                    (false, false) => FaultAccess::Read,
                };
                // A stack that grows, a file that grew since it was mapped: the access is made again.
                if self.process().mm.resolve_fault(fault.addr, write) {
                    return;
                }
                match self.process().mm.classify_fault(fault.addr, access) {
                    FaultClass::Unmapped => (SIGSEGV, MAPERR),
                    FaultClass::Protection => (SIGSEGV, ACCERR),
                    FaultClass::PastEnd => (SIGBUS, ADRERR),
                }
            }
            FaultKind::Segv => (SIGSEGV, fault.code),
            FaultKind::Bus => (SIGBUS, fault.code),
            FaultKind::Fpe => (SIGFPE, fault.code),
            FaultKind::Ill => (SIGILL, fault.code),
            FaultKind::Trap => (SIGTRAP, fault.code),
        };
        let addr = if code == SI_KERNEL { 0 } else { fault.addr as u64 };
        {
            let last = &mut self.thread.signals.own.lock().last_trap;
            last.number = fault.trap;
            last.error = fault.error;
            if fault.trap == PAGE_FAULT {
                last.cr2 = fault.addr as u64;
            }
        }
        self.force(SignalInfo::fault(signal, code, addr));
    }

    /// Sends a signal of the kernel to the calling thread (SIGPIPE, SIGXFSZ).
    pub(crate) fn send_self(&mut self, signal: i32) {
        let (pid, uid) = (self.process().pid, self.creds().uid);
        // Refused only for a full real-time queue, and these are standard signals.
        let _ = self.thread.send_signal(SignalInfo::sent(signal, super::set::SI_USER, pid, uid));
    }
}
