//! Processes: made by clone(2) as copies of their parent, or sharing parts with it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use litebox::fs::{FdTable, FsContext};
use litebox::platform::{ThreadSpec, host};
use litebox::sync::RwLock;
use litebox::{Error, Result};

use super::clone::{Flags, Request};
use crate::signal::RestartPolicy;
use crate::task::{CloneShares, Newborn, Relation, UseCounted, VforkWait};
use crate::user::write_bytes;
use crate::{Process, Task, Thread};

/// Processes of a sandbox at most.
const MAX_PROCESSES: usize = 4096;

impl Task<'_, '_> {
    /// A process that does what the caller does, from the return of this call on.
    pub(super) fn start_process(&mut self, request: &Request) -> Result<usize> {
        let flags = request.flags;
        {
            let process_table = self.kernel().process_table.lock();
            if process_table.count() >= MAX_PROCESSES || self.kernel().has_most_tasks(&process_table, 0) {
                return Err(Error::WouldBlock);
            }
        }
        let child = self.process().copy(self.relation(request)?);
        let shares = self.shares_for(request)?;
        if flags.contains(Flags::CLEAR_SIGHAND) {
            child.signals.clear_handlers();
        }
        child.watch_cpu_limit();
        let thread = self.first_thread(&child, request, shares);
        self.give_tls(&thread, request)?;
        let pidfd = self.pidfd_for(&child, request)?;
        if flags.contains(Flags::PARENT_SETTID) {
            let _ = write_bytes(request.parent_tid, &child.pid.to_le_bytes());
        }
        // Whoever can find the child finds its thread: a signal to its group may come at once.
        child.add_thread(&thread);
        let started = self.add_child(&child, request).and_then(|()| self.launch_process(&child, &thread, request));
        if started.is_err() {
            if let Some(fd) = pidfd {
                let _ = self.thread.files.remove(fd);
            }
        }
        started
    }

    /// What the child shares with the caller.
    fn relation(&self, request: &Request) -> Result<Relation> {
        let (own, flags) = (self.process(), request.flags);
        let lost = Error::NoProcess;
        let mm =
            if flags.contains(Flags::VM) { own.mm.shared().ok_or(lost)? } else { UseCounted::new(own.mm.sibling()) };
        let actions = if flags.contains(Flags::SIGHAND) {
            own.signals.actions.shared().ok_or(lost)?
        } else {
            UseCounted::new(own.signals.actions.copy())
        };
        let (parent, parent_thread, exit_signal) = if flags.contains(Flags::PARENT) {
            let get = |of: &core::sync::atomic::AtomicI32| of.load(Ordering::Relaxed);
            (get(&own.parent), get(&own.parent_thread), get(&own.exit_signal))
        } else {
            (own.pid, self.thread.tid(), request.exit_signal)
        };
        Ok(Relation { pid: self.id_for(request)?, parent, parent_thread, exit_signal, mm, actions })
    }

    /// Descriptors and places of a new thread, of the caller's process or of another one.
    pub(super) fn shares_for(&self, request: &Request) -> Result<CloneShares> {
        let (own, flags) = (self.thread, request.flags);
        let lost = Error::NoProcess;
        let files = if flags.contains(Flags::FILES) {
            own.files.shared().ok_or(lost)?
        } else {
            UseCounted::new(FdTable::duplicate(&own.files))
        };
        let fs =
            if flags.contains(Flags::FS) { own.fs.shared().ok_or(lost)? } else { UseCounted::new(copy_of(&own.fs)) };
        Ok(CloneShares { files, fs })
    }

    fn first_thread(&self, child: &Arc<Process>, request: &Request, shares: CloneShares) -> Arc<Thread> {
        let flags = request.flags;
        let thread = Thread::new(child, child.pid, *self.thread.name.lock(), shares);
        thread.inherit_identity(self.thread);
        thread.signals.inherit(&self.thread.signals);
        thread.scheduling.inherit(&self.thread.scheduling);
        if !flags.contains(Flags::VM) || flags.contains(Flags::VFORK) {
            thread.signals.inherit_stack(&self.thread.signals);
        }
        if flags.contains(Flags::CHILD_CLEARTID) {
            thread.clear_child_tid.store(request.child_tid as usize, Ordering::Relaxed);
        }
        let copied = !flags.contains(Flags::VM);
        if copied {
            self.thread.copy_rseq_to(&thread);
            child.mm.rseq.insert(&thread);
        }
        let set_tid = if flags.contains(Flags::CHILD_SETTID) { request.child_tid } else { 0 };
        *thread.newborn.lock() = Some(Newborn::Child { copied, set_tid });
        thread.waiter.interrupt();
        thread
    }

    /// Makes the child findable. A signal that came before has to be handled first: had it been for the whole group,
    /// the child would miss it.
    fn add_child(&mut self, child: &Arc<Process>, request: &Request) -> Result<()> {
        let own_kernel = self.kernel().clone();
        let mut process_table = own_kernel.process_table.lock();
        if self.process().exiting() || self.deliverable() {
            drop(process_table);
            // The call is made again only after the pending work was looked at.
            self.waiter().interrupt();
            let number = self.frame.regs.rax;
            return Err(self.interrupted_call(RestartPolicy::Always, number));
        }
        // The child's thread is among them.
        if self.has_most_threads(&process_table) || own_kernel.has_most_tasks(&process_table, 1) {
            return Err(Error::WouldBlock);
        }
        // Both may have changed since the copy was made.
        let own = self.process();
        let follow = |to: &AtomicI32, from: &AtomicI32| to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        follow(&child.group, &own.group);
        follow(&child.session, &own.session);
        if request.flags.contains(Flags::PARENT) {
            follow(&child.parent, &own.parent);
            follow(&child.parent_thread, &own.parent_thread);
        }
        process_table.add(child);
        Ok(())
    }

    /// Starts the child. What the call returns: the child's id, or zero where the caller goes on as the child.
    fn launch_process(&mut self, child: &Arc<Process>, thread: &Arc<Thread>, request: &Request) -> Result<usize> {
        let own = self.process().clone();
        let fs_base = request.fs_base();
        let waits = request.flags.contains(Flags::VFORK);
        if waits
            && request.flags.contains(Flags::VM)
            && self.hand_off_to(thread, request.stack, fs_base, child.pid).is_ok()
        {
            return Ok(0);
        }
        let vfork = waits.then(|| VforkWait::new(self.waiter()));
        (*thread.vfork_parent.lock()).clone_from(&vfork);
        let started = if request.flags.contains(Flags::VM) {
            self.launch(thread, request.stack, fs_base, |spec| host().spawn_thread(spec))
        } else {
            child.mm.barriers.store(own.mm.barriers.load(Ordering::Acquire), Ordering::Release);
            let copy = |spec: &ThreadSpec<'_>| own.mm.core().fork(child.mm.core(), || host().spawn_process(spec));
            self.launch(thread, request.stack, fs_base, copy)
        };
        if started.is_err() {
            child.remove_unstarted(thread);
            self.kernel().remove_process(child.pid);
            return Err(Error::WouldBlock);
        }
        if let Some(vfork) = vfork {
            self.wait_for_vfork(&vfork);
        }
        Ok(child.pid as usize)
    }

    /// Sleeps until the child executes a program or ends. Only the end of the caller's process is a reason to go on
    /// earlier.
    pub(super) fn wait_for_vfork(&mut self, vfork: &VforkWait) {
        let mut interrupted = false;
        loop {
            interrupted |= self.take_interruption();
            let ticket = self.waiter().ticket();
            if vfork.ended() || self.process().must_leave(self.thread) {
                break;
            }
            let _ = self.waiter().sleep(ticket, None);
        }
        if interrupted {
            self.waiter().interrupt();
        }
    }

    /// The calling thread no longer uses memory of the parent that waits for this.
    pub(crate) fn end_vfork(&self) {
        if let Some(vfork) = self.thread.vfork_parent.lock().take() {
            vfork.end();
        }
    }
}

/// The same places and mask, apart from then on.
pub(super) fn copy_of(fs: &FsContext) -> Arc<FsContext> {
    Arc::new(FsContext {
        root: RwLock::new(fs.root.read().clone()),
        cwd: RwLock::new(fs.cwd.read().clone()),
        umask: AtomicU32::new(fs.umask.load(Ordering::Relaxed)),
    })
}
