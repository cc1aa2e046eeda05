//! Containers: groups of programs that share the sandbox's kernel, each group with a root, a host name and limits of
//! its own (`docs/oci.md`). The sandbox's first program and all that descends from it are the first of them, which has
//! all of the sandbox.
//!
//! A further container comes and goes while the sandbox runs. It ends with its first program: whoever is left of it is
//! killed, and the last to leave takes its mounts away and has the broker told.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use litebox::fs::Location;
use litebox::sync::Mutex;
use litebox_protocol::control::Separate;

use super::process_table::FIRST_PID;
use super::{Kernel, KernelConfig, Process, Task, Thread};
use crate::boot::FirstProgram;
use crate::ipc::Ipc;
use crate::seccomp::Filter;
use crate::signal::SignalInfo;
use crate::signal::set::SIGKILL;

/// What the programs of a container have in common.
pub(crate) struct Container {
    /// As whoever started it calls it; empty: the first.
    name: Vec<u8>,
    /// The broker's number of its first program.
    number: u32,
    /// Its first program.
    pub(crate) first_pid: i32,
    /// Who sees whose processes: containers with the same number.
    pub(crate) pid_namespace: i32,
    /// `uname -n`.
    pub(crate) hostname: Arc<Mutex<Vec<u8>>>,
    /// Objects that programs share by key or name.
    pub(crate) ipc: Arc<Ipc>,
    /// What filters the calls of its programs that somebody outside starts.
    pub(crate) filter: Option<Arc<Filter>>,
    /// These gain no privileges by being executed.
    pub(crate) no_new_privileges: bool,
    /// How gladly they would be killed for memory.
    pub(crate) oom_score_adj: i32,
    /// Their resource limits: number, soft and hard limit.
    pub(crate) limits: Vec<(u32, u64, u64)>,
    root: Mutex<Root>,
    /// What programs that are started later have in common with its first. `None`: it is not there yet.
    first: Mutex<Option<Arc<FirstProgram>>>,
    /// The wait(2) status of its first program, once that has ended,
    status: AtomicI32,
    /// and why that was not started.
    refusal: Mutex<String>,
    /// Its first program has ended: nobody joins it any more. Changes under the lock of the process table.
    ending: AtomicBool,
    /// Its end was told.
    over: Mutex<bool>,
}

/// Where the paths of a container begin.
enum Root {
    /// At the sandbox's own.
    OfSandbox,
    /// It is not made yet.
    Coming,
    /// At one that was made for it.
    Own(Location),
    /// That was taken away.
    Gone,
}

impl Container {
    /// The first, which has all of the sandbox.
    pub(super) fn of_sandbox(config: &KernelConfig, filter: Option<Arc<Filter>>) -> Arc<Self> {
        Arc::new(Self {
            name: Vec::new(),
            number: 0,
            first_pid: FIRST_PID,
            pid_namespace: FIRST_PID,
            hostname: Arc::new(Mutex::new(config.hostname.as_bytes().to_vec())),
            ipc: Arc::default(),
            filter,
            no_new_privileges: config.no_new_privileges,
            oom_score_adj: config.oom_score_adj,
            limits: config.limits.clone(),
            root: Mutex::new(Root::OfSandbox),
            first: Mutex::default(),
            status: AtomicI32::new(0),
            refusal: Mutex::default(),
            ending: AtomicBool::new(false),
            over: Mutex::new(false),
        })
    }

    /// A further one, whose first program gets the id `first_pid`.
    pub(crate) fn beside(
        sandbox: &Self,
        (name, number): (&[u8], u32),
        first_pid: i32,
        separate: Separate,
        (config, filter): (&KernelConfig, Option<Arc<Filter>>),
    ) -> Arc<Self> {
        let own_name = || Arc::new(Mutex::new(config.hostname.as_bytes().to_vec()));
        let has = |part| separate.contains(part);
        Arc::new(Self {
            name: name.to_vec(),
            number,
            first_pid,
            pid_namespace: if has(Separate::PROCESSES) { first_pid } else { sandbox.pid_namespace },
            hostname: if has(Separate::HOSTNAME) { own_name() } else { sandbox.hostname.clone() },
            ipc: if has(Separate::IPC) { Arc::default() } else { sandbox.ipc.clone() },
            filter,
            no_new_privileges: config.no_new_privileges,
            oom_score_adj: config.oom_score_adj,
            limits: config.limits.clone(),
            root: Mutex::new(Root::Coming),
            first: Mutex::default(),
            status: AtomicI32::new(0),
            refusal: Mutex::default(),
            ending: AtomicBool::new(false),
            over: Mutex::new(false),
        })
    }

    /// Whether it is the sandbox itself.
    pub(crate) fn is_sandbox(&self) -> bool {
        self.first_pid == FIRST_PID
    }

    /// Of a further one its first process, by which its terminals are told from others.
    pub(crate) fn of_terminals(&self) -> Option<i32> {
        (!self.is_sandbox()).then_some(self.first_pid)
    }

    /// The process that their orphans go to.
    pub(crate) fn reaper(&self) -> i32 {
        self.pid_namespace
    }

    /// Whether its programs see processes of the other.
    pub(crate) fn sees(&self, other: &Self) -> bool {
        self.pid_namespace == other.pid_namespace
    }

    /// Its root; `None`: it has none yet, or no more.
    pub(crate) fn root(&self, kernel: &Kernel) -> Option<Location> {
        match &*self.root.lock() {
            Root::OfSandbox => Some(kernel.vfs.root()),
            Root::Own(root) => Some(root.clone()),
            Root::Coming | Root::Gone => None,
        }
    }

    /// It has a view of its own.
    pub(crate) fn set_root(&self, root: Location) {
        *self.root.lock() = Root::Own(root);
    }

    /// What is started later follows its first program.
    pub(crate) fn set_first(&self, first: &FirstProgram) {
        *self.first.lock() = Some(Arc::new(first.clone()));
    }

    /// Its first program; `None`: it is not there yet.
    pub(crate) fn first(&self) -> Option<Arc<FirstProgram>> {
        self.first.lock().clone()
    }

    /// Why it is not there.
    pub(crate) fn refuse(&self, why: String) {
        *self.refusal.lock() = why;
    }

    /// Its first program has ended, with this wait(2) status; under the lock of the process table.
    pub(super) fn begin_end(&self, wait_status: i32) {
        self.status.store(wait_status, Ordering::Release);
        self.ending.store(true, Ordering::Release);
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    fn has(&self, process: &Process) -> bool {
        core::ptr::eq(Arc::as_ptr(&process.container), self)
    }
}

impl Process {
    /// Whether it is the first of a further container.
    pub(crate) fn begins_container(&self) -> bool {
        self.pid == self.container.first_pid && !self.container.is_sandbox()
    }

    /// Whether it may know of the other.
    pub(crate) fn sees(&self, other: &Self) -> bool {
        self.container.sees(&other.container)
    }
}

impl Task<'_, '_> {
    /// The process with this id, if the caller may know of it.
    pub(crate) fn find_process(&self, pid: i32) -> Option<Arc<Process>> {
        self.kernel().process(pid).filter(|process| self.process().sees(process))
    }

    /// The process of the thread with this id, likewise.
    pub(crate) fn find_process_of_thread(&self, tid: i32) -> Option<Arc<Process>> {
        self.kernel().process_of_thread(tid).filter(|process| self.process().sees(process))
    }

    /// All processes that the caller may know of, by ascending id.
    pub(crate) fn seen_processes(&self) -> Vec<Arc<Process>> {
        let all = self.kernel().processes();
        all.into_iter().filter(|process| self.process().sees(process)).collect()
    }
}

impl Kernel {
    /// The container with this name, which is not empty, unless it is ending.
    pub(crate) fn container(&self, name: &[u8]) -> Option<Arc<Container>> {
        let is_meant = |container: &&Arc<Container>| container.name == name && !container.is_ending();
        self.containers.lock().iter().find(is_meant).cloned()
    }

    /// Whether a process that was just added has come too late for its container.
    pub(crate) fn has_come_late(&self, process: &Process) -> bool {
        let _table = self.process_table.lock();
        process.container.is_ending()
    }

    /// Has a further container found by its name, until its end is told.
    pub(crate) fn add_container(&self, container: &Arc<Container>) {
        self.containers.lock().push(container.clone());
    }

    /// A process has left a container, or was never started there. With the first of them the others end, and with the
    /// last the container.
    pub(crate) fn leave_container(&self, container: &Arc<Container>) {
        if container.is_sandbox() {
            return;
        }
        let table = self.process_table.lock();
        if !container.is_ending() {
            return;
        }
        let mut left = 0;
        for other in table.processes().filter(|p| container.has(p) && !p.ended()) {
            left += 1;
            // Under the lock: a child that one of them makes meanwhile is found here, or its parent finds the signal
            // before it adds the child. Never refused: it is the kernel's own.
            let _ = other.send_signal(SignalInfo::kernel(SIGKILL));
        }
        drop(table);
        if left == 0 {
            self.end_container(container);
        }
    }

    /// A process of the host is gone, perhaps one that was ending a container.
    pub(super) fn end_lost_containers(&self) {
        let containers = self.containers.lock().clone();
        for container in containers {
            self.leave_container(&container);
        }
    }

    /// Nobody is left of a container. Who is killed in the middle of this gives the lock to the next, who begins anew.
    fn end_container(&self, container: &Arc<Container>) {
        let mut over = container.over.lock();
        if *over {
            return;
        }
        let root = core::mem::replace(&mut *container.root.lock(), Root::Gone);
        if let Root::Own(root) = root {
            self.vfs.unmount_root(&root);
        }
        let why = container.refusal.lock().clone();
        crate::outside::programs::tell_ended(container.number, container.status.load(Ordering::Acquire), &why);
        *over = true;
        drop(over);
        self.remove_container(container);
    }

    /// Forgets a container that is over, or whose first process was not made.
    pub(crate) fn remove_container(&self, container: &Arc<Container>) {
        self.containers.lock().retain(|other| !Arc::ptr_eq(other, container));
    }
}

impl Thread {
    /// It has ended: of places that nobody else uses it keeps nothing.
    pub(super) fn leave_places(&self) {
        if self.process.container.is_sandbox() {
            return;
        }
        let root = self.process.kernel.vfs.root();
        for places in self.fs.unused() {
            let before = (
                core::mem::replace(&mut *places.root.write(), root.clone()),
                core::mem::replace(&mut *places.cwd.write(), root.clone()),
            );
            drop(before);
        }
    }
}
