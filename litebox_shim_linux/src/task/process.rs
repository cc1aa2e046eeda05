//! A process: what its threads share.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use litebox::platform::{Instant, host};
use litebox::sync::{Mutex, RwLock};

use super::{Kernel, Thread};

/// User and group ids, as credentials(7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of credentials(7)")]
pub struct Credentials {
    pub uid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub gid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    pub groups: Vec<u32>,
}

/// A process.
pub struct Process {
    /// Process id (thread group id).
    pub pid: i32,
    /// The kernel it lives in.
    pub kernel: Arc<Kernel>,
    /// Parent's pid; 0 for the first process.
    pub parent: AtomicI32,
    /// Process group.
    pub group: AtomicI32,
    /// Session.
    pub session: AtomicI32,
    /// When it started.
    pub started: Instant,
    /// Address space.
    pub mm: crate::syscalls::mm::MemoryMap,
    /// Open descriptors.
    pub files: Arc<litebox::fs::FdTable>,
    /// Root, working directory, umask.
    pub fs: Arc<litebox::fs::FsContext>,
    /// Who it is.
    pub credentials: RwLock<Arc<Credentials>>,
    /// Signal actions, signals pending for the whole process, timers.
    pub signals: crate::syscalls::signal::ProcessSignals,
    /// Timers that end in signals.
    pub timers: crate::syscalls::time::Timers,
    /// What its children that were waited for have used.
    pub(crate) children_usage: Mutex<litebox::platform::Usage>,
    /// Resource limits.
    pub limits: crate::syscalls::limits::Limits,
    /// The program's image as the loader left it: argv, environment, exe (for /proc).
    pub image: RwLock<Arc<crate::loader::ImageInfo>>,
    /// How gladly it would be killed for memory (/proc/PID/oom_score_adj).
    pub oom_score_adj: AtomicI32,
    threads: Mutex<Vec<Weak<Thread>>>,
    live_threads: AtomicU32,
    exiting: AtomicBool,
    /// Id of the thread that executes a program and sees all others leave; 0: none does.
    executing: AtomicI32,
    exit_status: AtomicI32,
}

/// What a new process starts from.
#[expect(missing_docs, reason = "the fields are those of Process")]
pub struct ProcessSpec {
    pub pid: i32,
    pub parent: i32,
    pub kernel: Arc<Kernel>,
    pub mm: crate::syscalls::mm::MemoryMap,
    pub files: Arc<litebox::fs::FdTable>,
    pub fs: Arc<litebox::fs::FsContext>,
    pub credentials: Credentials,
    pub image: crate::loader::ImageInfo,
}

impl Process {
    /// A process without threads.
    pub fn new(spec: ProcessSpec) -> Arc<Self> {
        let process = Arc::new(Self {
            pid: spec.pid,
            parent: AtomicI32::new(spec.parent),
            group: AtomicI32::new(spec.pid),
            session: AtomicI32::new(spec.pid),
            started: host().instant(),
            mm: spec.mm,
            files: spec.files,
            fs: spec.fs,
            credentials: RwLock::new(Arc::new(spec.credentials)),
            signals: crate::syscalls::signal::ProcessSignals::default(),
            timers: crate::syscalls::time::Timers::default(),
            children_usage: Mutex::default(),
            limits: crate::syscalls::limits::Limits::default(),
            image: RwLock::new(Arc::new(spec.image)),
            oom_score_adj: AtomicI32::new(0),
            threads: Mutex::new(Vec::new()),
            live_threads: AtomicU32::new(0),
            exiting: AtomicBool::new(false),
            executing: AtomicI32::new(0),
            exit_status: AtomicI32::new(0),
            kernel: spec.kernel,
        });
        process.mm.set_limits(process.limits.of_memory());
        process.kernel.add_process(&process);
        process
    }
    /// The credentials now.
    pub fn creds(&self) -> Arc<Credentials> {
        self.credentials.read().clone()
    }
    /// Adds a thread. `false` when the process is exiting: the thread must not start.
    pub fn add_thread(&self, thread: &Arc<Thread>) -> bool {
        let mut threads = self.threads.lock();
        if self.exiting.load(Ordering::Acquire) || self.executing.load(Ordering::Acquire) != 0 {
            return false;
        }
        threads.push(Arc::downgrade(thread));
        self.live_threads.fetch_add(1, Ordering::AcqRel);
        true
    }
    /// Takes a thread off. Returns how many are left.
    pub fn remove_thread(&self, thread: &Thread) -> u32 {
        let mut threads = self.threads.lock();
        threads.retain(|t| t.strong_count() > 0 && !core::ptr::eq(t.as_ptr(), thread));
        let left = self.live_threads.fetch_sub(1, Ordering::AcqRel) - 1;
        drop(threads);
        let executing = self.executing.load(Ordering::Acquire);
        if executing != 0 {
            if let Some(leader) = self.thread(executing) {
                leader.waiter.wake();
            }
        }
        left
    }
    /// A thread is about to execute a program: all others leave, none is added. `false`: another thread was faster, or the process is
    /// ending.
    pub(crate) fn begin_exec(&self, leader: &Thread) -> bool {
        let threads = self.threads.lock();
        if self.exiting() || self.executing.load(Ordering::Acquire) != 0 {
            return false;
        }
        self.executing.store(leader.tid(), Ordering::Release);
        drop(threads);
        true
    }
    /// The program is there, or the process ends.
    pub(crate) fn end_exec(&self) {
        self.executing.store(0, Ordering::Release);
    }
    /// Whether `thread` has to exit: the process ends, or another thread executes a program.
    #[inline]
    pub(crate) fn must_leave(&self, thread: &Thread) -> bool {
        let executing = self.executing.load(Ordering::Acquire);
        self.exiting() || executing != 0 && executing != thread.tid()
    }
    /// A kick of the whole process reaches any of its threads, here `taker`: those that work is pending for hear of it from there.
    pub(crate) fn pass_kick_on(&self, taker: &Thread) {
        if self.thread_count() > 1 {
            for thread in self.threads() {
                if !core::ptr::eq(&raw const *thread, taker) {
                    thread.kick_if_interrupted();
                }
            }
        }
    }
    /// Live threads, oldest first.
    pub fn threads(&self) -> Vec<Arc<Thread>> {
        self.threads.lock().iter().filter_map(Weak::upgrade).collect()
    }
    /// The live thread with this id.
    pub fn thread(&self, tid: i32) -> Option<Arc<Thread>> {
        self.threads.lock().iter().filter_map(Weak::upgrade).find(|t| t.tid() == tid)
    }
    /// Number of live threads.
    pub fn thread_count(&self) -> u32 {
        self.live_threads.load(Ordering::Acquire)
    }
    /// Starts the end of the process with a wait(2) status; the first caller's status counts. Every thread is interrupted and exits on
    /// its next way out of the kernel.
    pub fn begin_exit(&self, wait_status: i32) {
        if self.exiting.swap(true, Ordering::AcqRel) {
            return;
        }
        self.exit_status.store(wait_status, Ordering::Release);
        for thread in self.threads() {
            thread.interrupt();
        }
    }
    /// Whether the process is ending.
    #[inline]
    pub fn exiting(&self) -> bool {
        self.exiting.load(Ordering::Acquire)
    }
    /// The wait(2) status, once exiting.
    pub fn exit_status(&self) -> i32 {
        self.exit_status.load(Ordering::Acquire)
    }
    /// Sets the status of a process whose last thread may leave by exit(2).
    pub fn set_exit_status(&self, wait_status: i32) {
        if !self.exiting() {
            self.exit_status.store(wait_status, Ordering::Release);
        }
    }
}
