//! The calls about signals.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use core::time::Duration;

use litebox::platform::host;
use litebox::{Error, Result};
use litebox_common_linux::abi::layout::Layouts;
use litebox_common_linux::abi::signal::{MaskHow, SigAction};
use litebox_common_linux::abi::time::Timespec;
use litebox_common_linux::argument::{self, Arch, SigInfo, UserMut, UserRef};

use crate::signal::RestartPolicy;
use crate::signal::set::{MAX_SIGNAL, SI_TKILL, SI_USER, SIGCONT};
use crate::signal::{Action, AltStack, SigSet, SignalInfo, catchable};
use crate::task::Capability;
use crate::user::{UserRead, UserWrite, duration_at, read_bytes, write_bytes};
use crate::{Process, Task, Thread};

const SIGSET_SIZE: u64 = 8;
/// The SA_ flags Linux knows; others are dropped, as it does, so that programs can ask.
const SA_KNOWN: u64 = 0xdc00_0807;

pub(crate) fn read_set(set: UserRef<argument::SigSet>, size: u64) -> Result<SigSet> {
    if size != SIGSET_SIZE {
        return Err(Error::Invalid);
    }
    Ok(SigSet(set.cast::<u64>().read()?).without(SigSet::UNBLOCKABLE))
}

/// Whose `siginfo_t` has a layout.
fn arch_of(layouts: Layouts) -> Arch {
    match layouts {
        Layouts::X86_64 => Arch::X86_64,
        Layouts::X86 | Layouts::X86Time64 => Arch::X86,
    }
}

/// A `siginfo_t` of the program; the signal's number is the caller's.
pub(crate) fn read_info(signal: i32, info: UserRef<SigInfo>) -> Result<SignalInfo> {
    let raw = read_bytes(info.address() as u64)?;
    Ok(SignalInfo::from_image(arch_of(info.layouts()), signal, &raw))
}

fn write_info(to: UserMut<SigInfo>, info: &SignalInfo) -> Result<()> {
    write_bytes(to.address() as u64, &info.image(arch_of(to.layouts())))
}

impl Task<'_, '_> {
    /// rt_sigaction(2).
    pub(crate) fn rt_sigaction(
        &mut self,
        signal: i32,
        new: UserRef<SigAction>,
        old: UserMut<SigAction>,
        size: u64,
    ) -> Result<usize> {
        if size != SIGSET_SIZE {
            return Err(Error::Invalid);
        }
        let before = self.change_action(signal, new.read_if_given()?)?;
        old.write_if_given(before).map(|()| 0)
    }

    /// What a signal does, and from now on, if something else is given.
    pub(crate) fn change_action(&mut self, signal: i32, new: Option<SigAction>) -> Result<SigAction> {
        let action = new.map(|new| Action {
            handler: new.handler,
            flags: new.flags & SA_KNOWN,
            restorer: new.restorer,
            mask: SigSet(new.mask).without(SigSet::UNBLOCKABLE),
        });
        if !(1..=MAX_SIGNAL).contains(&signal) || action.is_some() && !catchable(signal) {
            return Err(Error::Invalid);
        }
        let before = self.process().signal_action(signal);
        if let Some(action) = action {
            self.process().set_signal_action(signal, action);
        }
        let Action { handler, flags, restorer, mask } = before;
        Ok(SigAction { handler, flags, restorer, mask: mask.0 })
    }

    /// rt_sigprocmask(2).
    pub(crate) fn rt_sigprocmask(
        &mut self,
        how: MaskHow,
        set: UserRef<argument::SigSet>,
        old: UserMut<argument::SigSet>,
        size: u64,
    ) -> Result<usize> {
        if size != SIGSET_SIZE {
            return Err(Error::Invalid);
        }
        let before = self.thread.signals.blocked();
        if !set.is_null() {
            let set = read_set(set, size)?;
            self.change_blocked(how, set)?;
        }
        old.cast::<u64>().write_if_given(before.0)?;
        Ok(0)
    }

    /// Blocks or unblocks signals, or says which are blocked.
    pub(crate) fn change_blocked(&mut self, how: MaskHow, set: SigSet) -> Result<()> {
        let before = self.thread.signals.blocked();
        let mask = match how {
            MaskHow::SIG_BLOCK => before.union(set),
            MaskHow::SIG_UNBLOCK => before.without(set),
            MaskHow::SIG_SETMASK => set,
            _ => return Err(Error::Invalid),
        };
        self.set_blocked(mask);
        Ok(())
    }

    /// The signals that are pending and blocked.
    pub(crate) fn blocked_and_pending(&self) -> SigSet {
        SigSet(self.pending_signals().0 & self.thread.signals.blocked().0)
    }

    /// rt_sigpending(2).
    pub(crate) fn rt_sigpending(&mut self, set: u64, size: u64) -> Result<usize> {
        if size > SIGSET_SIZE {
            return Err(Error::Invalid);
        }
        let bytes = self.blocked_and_pending().0.to_le_bytes();
        write_bytes(set, bytes.get(..size as usize).unwrap_or(&bytes))?;
        Ok(0)
    }

    /// sigaltstack(2).
    pub(crate) fn sigaltstack(&mut self, new: u64, old: u64) -> Result<usize> {
        let sp = self.frame.regs.rsp;
        let before = self.thread.signals.own.lock().alt_stack;
        if new != 0 {
            let raw = match self.abi() {
                Arch::X86_64 => read_bytes(new)?,
                Arch::X86 => AltStack::widened(&read_bytes(new)?),
            };
            // Who has never had one may ask for none by zeros.
            if before != AltStack::default() || raw != [0; 24] {
                let stack = AltStack::from_bytes(&raw, before, sp)?;
                self.thread.signals.own.lock().alt_stack = stack;
            }
        }
        if old != 0 {
            match self.abi() {
                Arch::X86_64 => write_bytes(old, &before.to_bytes(Some(sp)))?,
                Arch::X86 => write_bytes(old, &before.to_bytes32(Some(sp)))?,
            }
        }
        Ok(0)
    }

    /// Replaces the mask until a handler's frame was pushed for it or the call returns (ppoll(2), pselect(2),
    /// epoll_pwait(2)).
    pub(crate) fn set_temporary_mask(&mut self, set: UserRef<argument::SigSet>, size: u64) -> Result<()> {
        let mask = read_set(set, size)?;
        self.block_temporarily(mask);
        Ok(())
    }

    /// As [`set_temporary_mask`](Self::set_temporary_mask), of a mask that was read.
    pub(crate) fn block_temporarily(&mut self, mask: SigSet) {
        let before = self.thread.signals.blocked();
        self.thread.signals.save_mask(before);
        self.set_blocked(mask);
    }

    /// The call ends without having been interrupted: the mask of before is back at once, so that what came in the last
    /// moment waits.
    pub(crate) fn end_temporary_mask(&mut self) {
        let saved = self.thread.signals.take_saved_mask();
        if let Some(mask) = saved {
            self.set_blocked(mask);
        }
    }

    /// rt_sigsuspend(2).
    pub(crate) fn rt_sigsuspend(&mut self, set: UserRef<argument::SigSet>, size: u64) -> Result<usize> {
        self.set_temporary_mask(set, size)?;
        self.pause()
    }

    /// pause(2): sleeps until a handler ran.
    pub(crate) fn pause(&mut self) -> Result<usize> {
        let number = self.frame.regs.rax;
        loop {
            let ticket = self.waiter().ticket();
            if self.waiter().sleep(ticket, None).is_err() {
                return Err(self.interrupted_call(RestartPolicy::NoHandler, number));
            }
        }
    }

    /// rt_sigtimedwait(2): takes a blocked signal; the result is its number.
    pub(crate) fn rt_sigtimedwait(
        &mut self,
        set: UserRef<argument::SigSet>,
        info: UserMut<SigInfo>,
        timeout: UserRef<Timespec>,
        size: u64,
    ) -> Result<usize> {
        let wanted = read_set(set, size)?;
        let limit = duration_at(timeout)?;
        let deadline = limit.map(|d| host().instant().saturating_add(d));
        let taken = self.await_signal(wanted, limit == Some(Duration::ZERO), deadline)?;
        if !info.is_null() {
            write_info(info, &taken)?;
        }
        usize::try_from(taken.signal).map_err(|_| Error::Invalid)
    }

    fn await_signal(
        &mut self,
        wanted: SigSet,
        poll: bool,
        deadline: Option<litebox::platform::Instant>,
    ) -> Result<SignalInfo> {
        self.thread.signals.own.lock().awaited = wanted;
        let mut interrupted = false;
        let outcome = loop {
            interrupted |= self.take_interruption();
            let ticket = self.waiter().ticket();
            self.process().timers.run_due(self.thread);
            if let Some(info) = self.take_signal(wanted) {
                break Ok(info);
            }
            let deliverable = self.pending_signals().without(self.thread.signals.blocked());
            let stopped = self.process().signals.stopped.load(core::sync::atomic::Ordering::SeqCst);
            if stopped || self.process().must_leave(self.thread) || deliverable.0 != 0 {
                break Err(Error::Interrupted);
            }
            if poll {
                break Err(Error::WouldBlock);
            }
            if self.waiter().sleep(ticket, deadline) == Err(Error::TimedOut) {
                break Err(Error::WouldBlock);
            }
        };
        self.thread.signals.own.lock().awaited = SigSet(0);
        if interrupted || outcome == Err(Error::Interrupted) {
            // Meant for somebody who looks at pending work.
            self.waiter().interrupt();
        }
        outcome
    }

    fn sent_info(&self, signal: i32, code: i32) -> SignalInfo {
        SignalInfo::sent(signal, code, self.process().pid, self.creds().uid)
    }

    /// kill(2).
    pub(crate) fn kill(&mut self, pid: i32, signal: i32) -> Result<usize> {
        if pid > 0 {
            // The id of any thread stands for its process.
            let target = self.find_process_of_thread(pid).ok_or(Error::NoProcess)?;
            return self.send_to_process(&target, self.sent_info(signal, SI_USER)).map(|()| 0);
        }
        let group = match pid {
            0 => Some(self.process().group.load(core::sync::atomic::Ordering::Relaxed)),
            i32::MIN => return Err(Error::NoProcess),
            -1 => None,
            group => Some(-group),
        };
        // Under the lock of the process table, or a child that a member makes meanwhile would escape: either it is
        // found here, or its parent finds the signal before it adds the child.
        let process_table = self.kernel().process_table.lock();
        let own = self.process().pid;
        let init = self.process().container.reaper();
        let chosen = process_table.processes().filter(|p| self.process().sees(p)).filter(|p| match group {
            Some(group) => p.group.load(core::sync::atomic::Ordering::Relaxed) == group,
            None => p.pid != own && p.pid != init,
        });
        let mut outcome = Err(Error::NoProcess);
        for process in chosen {
            let sent = self.send_to_process(process, self.sent_info(signal, SI_USER));
            // One success is a success (kill(2)).
            if outcome.is_err() {
                outcome = sent;
            }
        }
        outcome.map(|()| 0)
    }

    /// Whether the caller may send this signal: SIGCONT also to whoever is in its session.
    fn may_signal(&self, target: &Process, signal: i32) -> bool {
        use core::sync::atomic::Ordering::Relaxed;
        let (mine, theirs) = (self.creds(), target.creds());
        let own = self.process();
        target.pid == own.pid
            || (signal == SIGCONT && target.session.load(Relaxed) == own.session.load(Relaxed))
            || mine.can(Capability::Kill)
            || [mine.euid, mine.uid].iter().any(|id| *id == theirs.uid || *id == theirs.suid)
    }

    /// Sends a signal, or with the number 0 says whether one could be sent. A number that is none is looked at when
    /// there is a target, as on Linux.
    pub(crate) fn send_to_process(&self, target: &Arc<Process>, info: SignalInfo) -> Result<()> {
        if !(0..=MAX_SIGNAL).contains(&info.signal) {
            return Err(Error::Invalid);
        }
        if !self.may_signal(target, info.signal) {
            return Err(Error::NotPermitted);
        }
        if info.signal == 0 { Ok(()) } else { target.send_signal(info) }
    }

    fn find_thread(&self, tgid: Option<i32>, tid: i32) -> Result<Arc<Thread>> {
        let processes = match tgid {
            Some(tgid) => self.find_process(tgid).into_iter().collect(),
            None => self.seen_processes(),
        };
        processes.iter().find_map(|p| p.thread_or_ended_first(tid)).ok_or(Error::NoProcess)
    }

    fn send_to_thread(&self, tgid: Option<i32>, tid: i32, info: SignalInfo) -> Result<usize> {
        let thread = self.find_thread(tgid, tid)?;
        if !self.may_signal(&thread.process, info.signal) {
            return Err(Error::NotPermitted);
        }
        // Nobody takes what is sent to a first thread that has ended.
        if info.signal != 0 && !thread.dead.load(Ordering::Acquire) {
            thread.send_signal(info)?;
        }
        Ok(0)
    }

    /// tgkill(2).
    pub(crate) fn tgkill(&mut self, tgid: i32, tid: i32, signal: i32) -> Result<usize> {
        if tgid <= 0 || tid <= 0 || !(0..=MAX_SIGNAL).contains(&signal) {
            return Err(Error::Invalid);
        }
        self.send_to_thread(Some(tgid), tid, self.sent_info(signal, SI_TKILL))
    }

    /// tkill(2).
    pub(crate) fn tkill(&mut self, tid: i32, signal: i32) -> Result<usize> {
        if tid <= 0 || !(0..=MAX_SIGNAL).contains(&signal) {
            return Err(Error::Invalid);
        }
        self.send_to_thread(None, tid, self.sent_info(signal, SI_TKILL))
    }

    fn queued_info(&self, signal: i32, info: UserRef<SigInfo>, pid: i32) -> Result<SignalInfo> {
        let info = read_info(signal, info)?;
        // Only to oneself may a program pretend to be the kernel or kill(2).
        if (info.code >= 0 || info.code == SI_TKILL) && pid != self.process().pid {
            return Err(Error::NotPermitted);
        }
        if (0..=MAX_SIGNAL).contains(&signal) { Ok(info) } else { Err(Error::Invalid) }
    }

    /// rt_sigqueueinfo(2).
    pub(crate) fn rt_sigqueueinfo(&mut self, pid: i32, signal: i32, info: UserRef<SigInfo>) -> Result<usize> {
        let info = self.queued_info(signal, info, pid)?;
        let target = self.find_process_of_thread(pid).ok_or(Error::NoProcess)?;
        self.send_to_process(&target, info).map(|()| 0)
    }

    /// rt_tgsigqueueinfo(2).
    pub(crate) fn rt_tgsigqueueinfo(
        &mut self,
        tgid: i32,
        tid: i32,
        signal: i32,
        info: UserRef<SigInfo>,
    ) -> Result<usize> {
        if tgid <= 0 || tid <= 0 {
            return Err(Error::Invalid);
        }
        let info = self.queued_info(signal, info, tgid)?;
        self.send_to_thread(Some(tgid), tid, info)
    }
}
