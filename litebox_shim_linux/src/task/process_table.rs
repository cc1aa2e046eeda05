//! The tree of processes: who is whose child, what becomes of children whose parent ends, and what a parent is told.
//!
//! One lock guards the table and all changes of parents, groups, sessions and of the state "ended, not waited for". A
//! signal to the parent is sent under it, so that whoever has waited for a child finds its SIGCHLD there already. Who
//! sleeps is woken when the lock was given back ([`ParentsToWake`]): a parent that wakes up looks at its children, and
//! would run into it.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use litebox::event::{Events, Observer};
use smallvec::SmallVec;

use super::{Kernel, Process, Thread};
use crate::signal::set::{SIGCHLD, SIGCONT, SIGHUP};
use crate::signal::{Recipient, SignalInfo};

/// The process that orphans go to when no ancestor asked for them.
pub(crate) const FIRST_PID: i32 = 1;

/// In a wait(2) status: a core dump was made.
pub(crate) const DUMPED_CORE: i32 = 0x80;

/// `si_code` of SIGCHLD: why the parent hears of its child.
pub(crate) mod cld {
    /// It exited.
    pub(crate) const EXITED: i32 = 1;
    /// A signal ended it.
    pub(crate) const KILLED: i32 = 2;
    /// A signal ended it that leaves a core dump.
    pub(crate) const DUMPED: i32 = 3;
    /// A signal stopped it.
    pub(crate) const STOPPED: i32 = 5;
    /// It goes on.
    pub(crate) const CONTINUED: i32 = 6;

    /// `si_code` and `si_status` of an end with this wait(2) status.
    pub(crate) fn of(wait_status: i32) -> (i32, i32) {
        match wait_status & 0x7f {
            0 => (EXITED, (wait_status >> 8) & 0xff),
            signal if wait_status & super::DUMPED_CORE != 0 => (DUMPED, signal),
            signal => (KILLED, signal),
        }
    }
}

/// A process and its children, oldest first.
pub(crate) struct ProcessEntry {
    pub(crate) process: Arc<Process>,
    pub(crate) children: Vec<i32>,
}

/// A process that is no longer in the table: drop it without the lock.
pub(crate) struct Reaped(Arc<Process>);

impl Reaped {
    /// What it is.
    pub(crate) fn process(&self) -> &Arc<Process> {
        &self.0
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        // Its first thread and it keep each other no longer.
        drop(self.0.forget_ended_first());
    }
}

/// Who was told of children under the lock of the process table, and is to be woken without it.
#[derive(Default)]
struct ParentsToWake {
    parents: SmallVec<[Arc<Process>; 2]>,
    asleep: SmallVec<[Arc<Thread>; 2]>,
}

impl ParentsToWake {
    /// Sends a signal to a parent. One that is not kept needs nobody.
    fn signal(&mut self, parent: &Process, info: SignalInfo) {
        let posted = parent.post_quietly(info, Recipient::Process);
        self.asleep.extend(posted.ok().and_then(|posted| posted.asleep));
    }
    /// Something has become of a child of this one.
    fn parent(&mut self, parent: &Arc<Process>) {
        if !self.parents.iter().any(|told| Arc::ptr_eq(told, parent)) {
            self.parents.push(parent.clone());
        }
    }
    /// To be called when the lock was given back.
    fn wake(self) {
        for thread in &self.asleep {
            thread.waiter.finish_wake();
        }
        for parent in &self.parents {
            parent.child_events.notify(Events::IN);
        }
    }
}

/// All processes that were not waited for yet, by id.
#[derive(Default)]
pub(crate) struct ProcessTable {
    entries: BTreeMap<i32, ProcessEntry>,
    /// The first process need not wait for those that it adopted.
    reaps_orphans: bool,
}

impl ProcessTable {
    /// Without members.
    pub(crate) fn new(reaps_orphans: bool) -> Self {
        Self { entries: BTreeMap::new(), reaps_orphans }
    }
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }
    /// How many threads the processes of a user have. One that has ended counts until it was waited for.
    pub(crate) fn threads_of(&self, uid: u32) -> u64 {
        let own = self.processes().filter(|p| p.credentials.read().uid == uid);
        own.map(|p| u64::from(p.thread_count().max(1))).sum()
    }
    /// The process with this id.
    pub(crate) fn process(&self, pid: i32) -> Option<&Arc<Process>> {
        self.entries.get(&pid).map(|m| &m.process)
    }
    /// All, by ascending id.
    pub(crate) fn processes(&self) -> impl Iterator<Item = &Arc<Process>> {
        self.entries.values().map(|m| &m.process)
    }
    /// The children of a process, oldest first.
    pub(crate) fn children(&self, pid: i32) -> impl Iterator<Item = &Arc<Process>> {
        let children = self.entries.get(&pid).map(|m| m.children.as_slice()).unwrap_or_default();
        children.iter().filter_map(|child| self.process(*child))
    }
    /// Adds a process as the youngest child of its parent.
    pub(crate) fn add(&mut self, process: &Arc<Process>) {
        if let Some(parent) = self.entries.get_mut(&process.parent.load(Ordering::Relaxed)) {
            parent.children.push(process.pid);
            parent.process.had_children.store(true, Ordering::Release);
        }
        self.entries.insert(process.pid, ProcessEntry { process: process.clone(), children: Vec::new() });
    }
    /// Takes a process out that was waited for, or that never started.
    pub(crate) fn remove(&mut self, pid: i32) -> Option<Reaped> {
        let process = self.entries.remove(&pid)?.process;
        if let Some(parent) = self.entries.get_mut(&process.parent.load(Ordering::Relaxed)) {
            parent.children.retain(|child| *child != pid);
        }
        Some(Reaped(process))
    }
    /// Whether a process group has a member in this session.
    pub(crate) fn has_group(&self, session: i32, group: i32) -> bool {
        self.processes()
            .any(|p| p.group.load(Ordering::Relaxed) == group && p.session.load(Ordering::Relaxed) == session)
    }

    /// Who gets the children of `process`: an ancestor who asked for them, else the first process of those that it
    /// sees.
    fn reaper_of(&self, process: &Process) -> Option<Arc<Process>> {
        let mut at = process.parent.load(Ordering::Relaxed);
        while let Some(ancestor) = self.process(at) {
            if ancestor.subreaper.load(Ordering::Relaxed) && ancestor.thread_count() > 0 && !ancestor.exiting() {
                return Some(ancestor.clone());
            }
            at = ancestor.parent.load(Ordering::Relaxed);
        }
        let first = process.container.reaper();
        self.process(first).filter(|first| first.pid != process.pid && !first.ended()).cloned()
    }

    /// Whether no member of a group (but for `without`) has a parent outside of it that is in its session: nobody is
    /// left who would continue it when it stops. The group of the first process has the user's shell; whom that process
    /// adopted has nobody, as elsewhere.
    pub(crate) fn is_orphaned(&self, group: i32, without: Option<i32>) -> bool {
        !self.processes().any(|p| {
            let parent = p.parent.load(Ordering::Relaxed);
            let outside = |parent: &Arc<Process>| {
                !p.adopted.load(Ordering::Relaxed)
                    && parent.group.load(Ordering::Relaxed) != group
                    && parent.session.load(Ordering::Relaxed) == p.session.load(Ordering::Relaxed)
            };
            p.group.load(Ordering::Relaxed) == group
                && Some(p.pid) != without
                && !p.ended()
                && (p.pid == FIRST_PID || self.process(parent).is_some_and(outside))
        })
    }

    fn has_stopped(&self, group: i32) -> bool {
        self.processes().any(|p| p.group.load(Ordering::Relaxed) == group && p.stopped() && !p.ended())
    }

    /// The end of `process` may have orphaned its group or those of its children: stopped members are hung up on and go
    /// on.
    fn release_orphaned_groups(&self, process: &Process) {
        let own = (process.group.load(Ordering::Relaxed), process.session.load(Ordering::Relaxed));
        let parent = self.process(process.parent.load(Ordering::Relaxed));
        let held_own = parent
            .is_some_and(|p| p.group.load(Ordering::Relaxed) != own.0 && p.session.load(Ordering::Relaxed) == own.1);
        let mut groups: Vec<i32> = self
            .children(process.pid)
            .filter(|c| c.session.load(Ordering::Relaxed) == own.1 && c.group.load(Ordering::Relaxed) != own.0)
            .map(|c| c.group.load(Ordering::Relaxed))
            .collect();
        if held_own {
            groups.push(own.0);
        }
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            let without = if group == own.0 { Some(process.pid) } else { None };
            let orphaned = group == own.0 && self.is_orphaned(group, without)
                || group != own.0 && self.orphaned_by_end_of(group, process.pid);
            if orphaned && self.has_stopped(group) {
                for member in self.processes().filter(|p| p.group.load(Ordering::Relaxed) == group) {
                    // The kernel's own signals are never refused for a full queue.
                    let _ = member.send_signal(SignalInfo::kernel(SIGHUP));
                    let _ = member.send_signal(SignalInfo::kernel(SIGCONT));
                }
            }
        }
    }

    /// As [`ProcessTable::is_orphaned`], when process `parent` no longer counts as one.
    fn orphaned_by_end_of(&self, group: i32, parent: i32) -> bool {
        !self.processes().any(|p| {
            let its = p.parent.load(Ordering::Relaxed);
            let outside = |q: &Arc<Process>| {
                !p.adopted.load(Ordering::Relaxed)
                    && q.pid != parent
                    && q.group.load(Ordering::Relaxed) != group
                    && q.session.load(Ordering::Relaxed) == p.session.load(Ordering::Relaxed)
            };
            p.group.load(Ordering::Relaxed) == group
                && !p.ended()
                && (p.pid == FIRST_PID || self.process(its).is_some_and(outside))
        })
    }

    /// Tells the parent that `child` ended. `true`: it does not want to wait for it, the child is to be taken out.
    fn announce_end(&self, child: &Arc<Process>, told: &mut ParentsToWake) -> bool {
        let Some(parent) = self.process(child.parent.load(Ordering::Relaxed)) else { return true };
        if self.reaps_orphans && child.adopted.load(Ordering::Relaxed) {
            return true;
        }
        let signal = child.exit_signal.load(Ordering::Relaxed);
        let (ignores, forgets) = parent.ignores_children();
        let unwanted = signal == SIGCHLD && (ignores || forgets);
        if signal != 0 && !(signal == SIGCHLD && ignores) {
            let mut info = child.end_info();
            info.signal = signal;
            told.signal(parent, info);
        }
        told.parent(parent);
        unwanted
    }
}

impl Kernel {
    /// The last thread of `process` is leaving. Its children get another parent, its own parent is told.
    pub(crate) fn process_ended(&self, process: &Arc<Process>) {
        if process.ended() {
            return self.tell_parent_again(process);
        }
        let (mut gone, mut told) = (Vec::new(), ParentsToWake::default());
        let mut process_table = self.process_table.lock();
        process_table.release_orphaned_groups(process);
        let reaper = process_table.reaper_of(process);
        let children =
            process_table.entries.get_mut(&process.pid).map(|m| core::mem::take(&mut m.children)).unwrap_or_default();
        for pid in children {
            let Some(child) = process_table.process(pid).cloned() else { continue };
            let Some(reaper) = &reaper else {
                // The first of a container: they end, too, and nobody waits for them.
                child.parent.store(0, Ordering::Relaxed);
                if child.ended() {
                    gone.extend(process_table.remove(pid));
                }
                continue;
            };
            child.parent.store(reaper.pid, Ordering::Relaxed);
            child.parent_thread.store(reaper.pid, Ordering::Relaxed);
            child.adopted.store(reaper.pid == process.container.reaper(), Ordering::Relaxed);
            child.exit_signal.store(SIGCHLD, Ordering::Relaxed);
            if let Some(member) = process_table.entries.get_mut(&reaper.pid) {
                member.children.push(pid);
                member.process.had_children.store(true, Ordering::Release);
            }
            if child.ended() && process_table.announce_end(&child, &mut told) {
                gone.extend(process_table.remove(pid));
            }
        }
        process.set_ended();
        if process.begins_container() {
            // Before anybody can see that it has ended: who leaves after it may be the last, and tells its status.
            process.container.begin_end(process.exit_status());
        }
        if process_table.announce_end(process, &mut told) {
            gone.extend(process_table.remove(process.pid));
        }
        drop(process_table);
        told.wake();
        process.end_events.notify(Events::IN);
        drop(gone);
    }

    /// A process has ended, and who told its parent was killed.
    #[cold]
    fn tell_parent_again(&self, process: &Process) {
        let parent = self.process_table.lock().process(process.parent.load(Ordering::Relaxed)).cloned();
        if let Some(parent) = parent {
            parent.wake_for_pending();
            parent.child_events.notify(Events::IN);
        }
        process.end_events.notify(Events::IN);
    }

    /// A thread ends that has children: others of its process are their parent from now on. Those that asked for it get
    /// their signal.
    pub(crate) fn parent_thread_ended(&self, process: &Process, tid: i32) {
        if !process.had_children.load(Ordering::Acquire) {
            return;
        }
        let process_table = self.process_table.lock();
        let heir = process.threads().first().map_or(process.pid, |t| t.tid());
        for child in process_table.children(process.pid) {
            if child.parent_thread.load(Ordering::Relaxed) == tid {
                let signal = child.death_signal.load(Ordering::Relaxed);
                if signal != 0 && !child.ended() {
                    let creds = process.creds();
                    let _ = child.send_signal(SignalInfo::sent(
                        signal,
                        crate::signal::set::SI_USER,
                        process.pid,
                        creds.uid,
                    ));
                }
                child.parent_thread.store(heir, Ordering::Relaxed);
            }
        }
    }

    /// A thread has taken the id of its process: it is still the parent of the children it made.
    pub(super) fn parent_thread_became_first(&self, process: &Process, tid: i32) {
        if tid == process.pid || !process.had_children.load(Ordering::Acquire) {
            return;
        }
        let process_table = self.process_table.lock();
        for child in process_table.children(process.pid) {
            let _ = child.parent_thread.compare_exchange(tid, process.pid, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// A signal stopped `child`, or it goes on: its parent is told.
    pub(crate) fn announce_stop_or_go(&self, child: &Process, code: i32, status: i32) {
        let mut told = ParentsToWake::default();
        let process_table = self.process_table.lock();
        let Some(parent) = process_table.process(child.parent.load(Ordering::Relaxed)) else { return };
        if parent.wants_stops() {
            told.signal(parent, child.child_info(code, status));
        }
        told.parent(parent);
        drop(process_table);
        told.wake();
    }
}
