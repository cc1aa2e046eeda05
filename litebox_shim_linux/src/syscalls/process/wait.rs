//! wait4(2) and waitid(2).

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use litebox::event::{Events, Observer};
use litebox::fs::StatusFlags;
use litebox::platform::Usage;
use litebox::{Error, Result};
use litebox_common_linux::Errno;
use litebox_common_linux::abi::layout::Layouts;
use litebox_common_linux::abi::process::{Rusage, WaitKind, WaitOptions};
use litebox_common_linux::argument::{SigInfo, UserMut};

use crate::signal::RestartPolicy;
use crate::signal::set::{SIGCHLD, SIGCONT};
use crate::syscalls::time::rusage_of;
use crate::task::process_table::{ProcessTable, Reaped, cld};
use crate::user::{UserWrite, write_bytes};
use crate::{Process, Task};

const NO_CHILD: Error = Error::from_errno(Errno::ECHILD.0);

/// Options that wait4(2) takes.
const OF_WAIT4: WaitOptions = WaitOptions::WNOHANG
    .union(WaitOptions::WSTOPPED)
    .union(WaitOptions::WCONTINUED)
    .union(WaitOptions::__WNOTHREAD)
    .union(WaitOptions::__WALL)
    .union(WaitOptions::__WCLONE);
/// Of them waitid(2) wants one at least.
const EVENTS: WaitOptions = WaitOptions::WSTOPPED.union(WaitOptions::WEXITED).union(WaitOptions::WCONTINUED);

/// Which children.
enum Whom {
    Any,
    Pid(i32),
    Group(i32),
    Process(Arc<Process>),
}

/// What became of a child.
struct Event {
    pid: i32,
    uid: u32,
    code: i32,
    status: i32,
    wait_status: i32,
    usage: Usage,
}

/// What a look at the children found.
enum WaitLook {
    Event(Event, Option<Reaped>),
    /// There are some, but nothing has happened.
    Nothing,
    NoChild,
}

impl Task<'_, '_> {
    /// wait4(2).
    pub(crate) fn wait4(
        &mut self,
        pid: i32,
        status: UserMut<i32>,
        options: WaitOptions,
        usage: UserMut<Rusage>,
    ) -> Result<usize> {
        if !OF_WAIT4.contains(options) {
            return Err(Error::Invalid);
        }
        let whom = match pid {
            i32::MIN => return Err(Error::NoProcess),
            -1 => Whom::Any,
            0 => Whom::Group(self.process().group.load(Ordering::Relaxed)),
            group if group < 0 => Whom::Group(-group),
            pid => Whom::Pid(pid),
        };
        let Some(event) = self.wait_for_child(&whom, options | WaitOptions::WEXITED)? else { return Ok(0) };
        status.write_if_given(event.wait_status)?;
        usage.write_if_given(rusage_of(&event.usage))?;
        Ok(event.pid as usize)
    }

    /// waitid(2).
    pub(crate) fn waitid(
        &mut self,
        kind: WaitKind,
        id: i32,
        info: UserMut<SigInfo>,
        options: WaitOptions,
        usage: UserMut<Rusage>,
    ) -> Result<usize> {
        let outcome = self.waitid_event(kind, id, options);
        if let Ok(Some(event)) = &outcome {
            usage.write_if_given(rusage_of(&event.usage))?;
        }
        if !info.is_null() && !matches!(outcome, Err(Error::Interrupted)) {
            // As on Linux, also when nothing was found.
            let event = outcome.as_ref().ok().and_then(Option::as_ref);
            let signal = if event.is_some() { SIGCHLD } else { 0 };
            let head = [signal, 0, event.map_or(0, |e| e.code)];
            let body = [
                event.map_or(0, |e| e.pid),
                event.map_or(0, |e| i32::from_ne_bytes(e.uid.to_ne_bytes())),
                event.map_or(0, |e| e.status),
            ];
            // Where the fields are aligned for addresses.
            let behind = if info.layouts() == Layouts::X86_64 { 16 } else { 12 };
            let at = info.address() as u64;
            write_bytes(at, &words(head))?;
            write_bytes(at.wrapping_add(behind), &words(body))?;
        }
        outcome.map(|_| 0)
    }

    fn waitid_event(&mut self, kind: WaitKind, id: i32, options: WaitOptions) -> Result<Option<Event>> {
        let mut options = options;
        let known = OF_WAIT4 | WaitOptions::WEXITED | WaitOptions::WNOWAIT;
        if !known.contains(options) || !options.intersects(EVENTS) {
            return Err(Error::Invalid);
        }
        let mut patient = true;
        let whom = match kind {
            WaitKind::P_ALL => Whom::Any,
            WaitKind::P_PID if id > 0 => Whom::Pid(id),
            WaitKind::P_PGID if id > 0 => Whom::Group(id),
            WaitKind::P_PGID if id == 0 => Whom::Group(self.process().group.load(Ordering::Relaxed)),
            WaitKind::P_PIDFD if id >= 0 => {
                let (process, status) = self.process_of(id)?;
                if status.contains(StatusFlags::NONBLOCK) {
                    patient = options.contains(WaitOptions::WNOHANG);
                    options |= WaitOptions::WNOHANG;
                }
                Whom::Process(process)
            }
            _ => return Err(Error::Invalid),
        };
        match self.wait_for_child(&whom, options)? {
            None if !patient => Err(Error::WouldBlock),
            found => Ok(found),
        }
    }

    /// Waits until something wanted has happened to a child; `None`: nothing has, and the caller does not want to wait.
    fn wait_for_child(&mut self, whom: &Whom, options: WaitOptions) -> Result<Option<Event>> {
        let number = self.frame.regs.rax;
        let process = self.process().clone();
        let observer: Arc<dyn Observer> = self.waiter().clone();
        let (mut observed, mut interrupted) = (false, false);
        let outcome = loop {
            let ticket = self.waiter().ticket();
            match self.look_at_children(whom, options) {
                WaitLook::Event(event, reaped) => {
                    drop(reaped);
                    break Ok(Some(event));
                }
                WaitLook::NoChild => break Err(NO_CHILD),
                WaitLook::Nothing if options.contains(WaitOptions::WNOHANG) => break Ok(None),
                WaitLook::Nothing if interrupted => break Err(self.interrupted_call(RestartPolicy::Sys, number)),
                WaitLook::Nothing => {}
            }
            if !observed {
                // Only who has to wait is told; then one more look.
                process.child_events.add(&observer, Events::IN);
                observed = true;
                continue;
            }
            // The SIGCHLD of a child does not hide the child: whoever is interrupted looks once more.
            interrupted = self.waiter().sleep(ticket, None).is_err();
        };
        if observed {
            process.child_events.remove(&observer);
        }
        outcome
    }

    fn look_at_children(&self, whom: &Whom, options: WaitOptions) -> WaitLook {
        let own = self.process();
        let mut process_table = self.kernel().process_table.lock();
        let mut found = WaitLook::NoChild;
        let mut zombie = None;
        for child in process_table.children(own.pid).filter(|child| self.is_meant(child, whom, options)) {
            if child.ended() {
                if options.contains(WaitOptions::WEXITED) {
                    zombie = Some((child.pid, ended(child)));
                    break;
                }
            } else if let Some(event) = stopped_or_gone_on(child, options) {
                return WaitLook::Event(event, None);
            } else {
                found = WaitLook::Nothing;
            }
        }
        let Some((pid, event)) = zombie else { return found };
        let reaped = if options.contains(WaitOptions::WNOWAIT) { None } else { reap(&mut process_table, own, pid) };
        WaitLook::Event(event, reaped)
    }

    fn is_meant(&self, child: &Arc<Process>, whom: &Whom, options: WaitOptions) -> bool {
        let named = match whom {
            Whom::Any => true,
            Whom::Pid(pid) => child.pid == *pid,
            Whom::Group(group) => child.group.load(Ordering::Relaxed) == *group,
            Whom::Process(process) => Arc::ptr_eq(child, process),
        };
        let other_signal = child.exit_signal.load(Ordering::Relaxed) != SIGCHLD;
        named
            && (options.contains(WaitOptions::__WALL) || other_signal == options.contains(WaitOptions::__WCLONE))
            && (!options.contains(WaitOptions::__WNOTHREAD)
                || child.parent_thread.load(Ordering::Relaxed) == self.thread.tid())
    }
}

fn ended(child: &Process) -> Event {
    let status = child.exit_status();
    let (code, short) = cld::of(status);
    let usage = child.usage.lock().plus(child.children_usage());
    Event { pid: child.pid, uid: child.creds().uid, code, status: short, wait_status: status, usage }
}

/// Takes an ended child out; its parent has what it used.
fn reap(process_table: &mut ProcessTable, parent: &Process, pid: i32) -> Option<Reaped> {
    let child = process_table.remove(pid)?;
    let spent = child.process().usage.lock().plus(child.process().children_usage());
    let mut sum = parent.children_usage.lock();
    *sum = sum.plus(spent);
    drop(sum);
    Some(child)
}

fn stopped_or_gone_on(child: &Process, options: WaitOptions) -> Option<Event> {
    const STOPPED: i32 = 0x7f;
    const CONTINUED: i32 = 0xffff;
    let keep = options.contains(WaitOptions::WNOWAIT);
    let event = |code, status, wait_status| {
        let usage = child.children_usage();
        Some(Event { pid: child.pid, uid: child.creds().uid, code, status, wait_status, usage })
    };
    if options.contains(WaitOptions::WSTOPPED) {
        let signal =
            if keep { child.stop_report.load(Ordering::Acquire) } else { child.stop_report.swap(0, Ordering::AcqRel) };
        if signal != 0 {
            return event(cld::STOPPED, signal, signal << 8 | STOPPED);
        }
    }
    if options.contains(WaitOptions::WCONTINUED) {
        let goes_on =
            if keep { child.go_report.load(Ordering::Acquire) } else { child.go_report.swap(false, Ordering::AcqRel) };
        if goes_on {
            return event(cld::CONTINUED, SIGCONT, CONTINUED);
        }
    }
    None
}

fn words(values: [i32; 3]) -> [u8; 12] {
    let mut raw = [0u8; 12];
    for (slot, value) in raw.chunks_exact_mut(4).zip(values) {
        slot.copy_from_slice(&value.to_le_bytes());
    }
    raw
}
