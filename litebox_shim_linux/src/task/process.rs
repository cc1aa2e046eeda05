//! A process: what its threads share.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use litebox::event::WaitQueue;
use litebox::platform::{Instant, host};
use litebox::sync::{Mutex, RwLock};
use litebox_common_linux::Arch;

use super::container::Container;
use super::{Credentials, Kernel, SharedByClone, Thread, UseCounted};
use crate::mm::MemoryMap;
use crate::signal::set::SIGCHLD;
use crate::signal::{Actions, SignalInfo};
use crate::syscalls::process::prctl::{Denial, MCE_KILL_DEFAULT};

/// In [`Process::exit`]: the process is ending.
const EXITING: u64 = 1 << 32;

fn status_bits(wait_status: i32) -> u64 {
    u64::from(wait_status as u32)
}

/// A process.
pub struct Process {
    /// Process id (thread group id).
    pub pid: i32,
    /// The kernel it lives in.
    pub kernel: Arc<Kernel>,
    /// The container it belongs to, and all its descendants.
    pub(crate) container: Arc<Container>,
    /// Parent's pid; 0 for the first process.
    pub parent: AtomicI32,
    /// Process group.
    pub group: AtomicI32,
    /// Session.
    pub session: AtomicI32,
    /// Thread of the parent that made it.
    pub(crate) parent_thread: AtomicI32,
    /// What the parent is sent at its end; 0: nothing.
    pub(crate) exit_signal: AtomicI32,
    /// What it is sent at the end of its parent's thread (PR_SET_PDEATHSIG); 0: nothing.
    pub(crate) death_signal: AtomicI32,
    /// Orphaned descendants become its children (PR_SET_CHILD_SUBREAPER).
    pub(crate) subreaper: AtomicBool,
    /// The first process adopted it when its parent ended.
    pub(crate) adopted: AtomicBool,
    /// Others of its user may look into it (PR_SET_DUMPABLE).
    pub(crate) dumpable: AtomicBool,
    /// It wants no huge pages (PR_SET_THP_DISABLE).
    pub(crate) no_huge_pages: AtomicBool,
    /// personality(2).
    pub(crate) persona: AtomicU32,
    /// It executes a 32-bit program.
    is_compat: AtomicBool,
    /// What is to become of it when memory it uses turns out to be broken (PR_MCE_KILL); kept and told.
    pub(crate) machine_check: AtomicI32,
    /// PR_SET_MDWE.
    pub(crate) denied: AtomicU32,
    /// It has had children: most processes never do, and end without a look for them.
    pub(crate) had_children: AtomicBool,
    /// It has executed a program since it was made.
    pub(crate) executed: AtomicBool,
    /// The signal that stopped it, until its parent has waited for that; 0: none.
    pub(crate) stop_report: AtomicI32,
    /// It goes on after a stop, and is to tell its parent.
    pub(crate) resumed: AtomicBool,
    /// It goes on after a stop, and its parent has not waited for that.
    pub(crate) go_report: AtomicBool,
    /// Those who wait for something of its children.
    pub(crate) child_events: WaitQueue,
    /// Those who wait for its end.
    pub(crate) end_events: WaitQueue,
    /// What it has used, once it has ended.
    pub(crate) usage: Mutex<litebox::platform::Usage>,
    /// When it started.
    pub started: Instant,
    /// Address space.
    pub mm: SharedByClone<MemoryMap>,
    /// Who its first thread is.
    pub credentials: RwLock<Arc<Credentials>>,
    /// Signal actions, signals pending for the whole process, timers.
    pub signals: crate::signal::ProcessSignals,
    /// What others want of its memory.
    pub(crate) task_work: super::task_work::TaskWorkQueue,
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
    /// How nice its session is (/proc/PID/autogroup).
    pub(crate) session_nice: AtomicI32,
    /// Which memory a core file would hold (/proc/PID/coredump_filter).
    pub coredump_filter: AtomicU32,
    /// Who logged in (/proc/PID/loginuid, sessionid).
    pub(crate) login: Login,
    threads: Mutex<Vec<Weak<Thread>>>,
    /// The last thread, from when it is no longer among them until the process has ended.
    last_thread: Mutex<Option<Arc<Thread>>>,
    live_threads: AtomicU32,
    /// Its first thread, once that has ended: until the process was waited for it has a name, an id and the like.
    ended_first: Mutex<Option<Arc<Thread>>>,
    /// The wait(2) status it is going to have, and [`EXITING`] once that is decided: whoever sees the one sees the
    /// other.
    exit: AtomicU64,
    /// Id of the thread that executes a program and sees all others leave; 0: none does.
    executing: AtomicI32,
    ended: AtomicBool,
    /// Its number among those that somebody outside of the sandbox started; 0: it is none of them.
    pub(crate) outside_number: AtomicU32,
}

/// Who logged in, and the number of that session; all ones: nobody has.
pub(crate) struct Login {
    pub(crate) user: AtomicU32,
    pub(crate) session: AtomicU32,
}

impl Default for Login {
    fn default() -> Self {
        Self { user: AtomicU32::new(u32::MAX), session: AtomicU32::new(u32::MAX) }
    }
}

impl Login {
    fn inherit(&self, parent: &Self) {
        self.user.store(parent.user.load(Ordering::Relaxed), Ordering::Relaxed);
        self.session.store(parent.session.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// What a new process shares with the one that makes it, and what it is to it.
pub(crate) struct Relation {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) parent_thread: i32,
    pub(crate) exit_signal: i32,
    pub(crate) mm: Arc<UseCounted<MemoryMap>>,
    pub(crate) actions: Arc<UseCounted<Actions>>,
}

/// What a new process starts from.
#[expect(missing_docs, reason = "the fields are those of Process")]
pub struct ProcessSpec {
    pub pid: i32,
    pub parent: i32,
    pub kernel: Arc<Kernel>,
    pub(crate) container: Arc<Container>,
    pub mm: MemoryMap,
    pub credentials: Credentials,
    pub image: crate::loader::ImageInfo,
    pub limits: crate::syscalls::limits::Limits,
}

/// Private and shared anonymous memory, ELF headers, and private huge pages (core(5)).
const USUAL_COREDUMP_FILTER: u32 = 0x33;

impl Process {
    /// A process without threads.
    pub fn new(spec: ProcessSpec) -> Arc<Self> {
        let relation = Relation {
            pid: spec.pid,
            parent: spec.parent,
            parent_thread: spec.parent,
            exit_signal: SIGCHLD,
            mm: UseCounted::new(spec.mm),
            actions: UseCounted::new(Actions::default()),
        };
        let (credentials, image) = (Arc::new(spec.credentials), Arc::new(spec.image));
        let mut process = Self::with(relation, spec.kernel, spec.container, credentials, image);
        process.limits = spec.limits;
        let process = Arc::new(process);
        process.mm.set_limits(process.limits.of_memory());
        process.kernel.add_process(&process);
        process
    }
    fn with(
        relation: Relation,
        kernel: Arc<Kernel>,
        container: Arc<Container>,
        credentials: Arc<Credentials>,
        image: Arc<crate::loader::ImageInfo>,
    ) -> Self {
        Self {
            pid: relation.pid,
            parent: AtomicI32::new(relation.parent),
            parent_thread: AtomicI32::new(relation.parent_thread),
            exit_signal: AtomicI32::new(relation.exit_signal),
            death_signal: AtomicI32::new(0),
            subreaper: AtomicBool::new(false),
            adopted: AtomicBool::new(false),
            dumpable: AtomicBool::new(true),
            no_huge_pages: AtomicBool::new(false),
            persona: AtomicU32::new(0),
            is_compat: AtomicBool::new(image.arch == Arch::X86),
            machine_check: AtomicI32::new(MCE_KILL_DEFAULT),
            denied: AtomicU32::new(0),
            had_children: AtomicBool::new(false),
            executed: AtomicBool::new(false),
            stop_report: AtomicI32::new(0),
            resumed: AtomicBool::new(false),
            go_report: AtomicBool::new(false),
            child_events: WaitQueue::new(),
            end_events: WaitQueue::new(),
            usage: Mutex::default(),
            group: AtomicI32::new(relation.pid),
            session: AtomicI32::new(relation.pid),
            started: host().instant(),
            mm: SharedByClone::new(relation.mm),
            credentials: RwLock::new(credentials),
            signals: crate::signal::ProcessSignals::new(relation.actions),
            task_work: super::task_work::TaskWorkQueue::default(),
            timers: crate::syscalls::time::Timers::default(),
            children_usage: Mutex::default(),
            limits: crate::syscalls::limits::Limits::default(),
            image: RwLock::new(image),
            oom_score_adj: AtomicI32::new(container.oom_score_adj),
            session_nice: AtomicI32::new(0),
            coredump_filter: AtomicU32::new(USUAL_COREDUMP_FILTER),
            login: Login::default(),
            threads: Mutex::new(Vec::new()),
            last_thread: Mutex::new(None),
            live_threads: AtomicU32::new(0),
            ended_first: Mutex::new(None),
            exit: AtomicU64::new(0),
            executing: AtomicI32::new(0),
            ended: AtomicBool::new(false),
            outside_number: AtomicU32::new(0),
            kernel,
            container,
        }
    }
    /// A process without threads that is like this one but for what `relation` says. Nobody can find it yet.
    pub(crate) fn copy(&self, relation: Relation) -> Arc<Self> {
        let (kernel, container) = (self.kernel.clone(), self.container.clone());
        let mut child = Self::with(relation, kernel, container, self.creds(), self.image.read().clone());
        child.limits = self.limits.copy();
        for (to, from) in [
            (&child.group, &self.group),
            (&child.session, &self.session),
            (&child.session_nice, &self.session_nice),
            (&child.oom_score_adj, &self.oom_score_adj),
        ] {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        for (to, from) in [(&child.dumpable, &self.dumpable), (&child.no_huge_pages, &self.no_huge_pages)] {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        child.login.inherit(&self.login);
        child.coredump_filter.store(self.coredump_filter.load(Ordering::Relaxed), Ordering::Relaxed);
        child.machine_check.store(self.machine_check.load(Ordering::Relaxed), Ordering::Relaxed);
        let denied = self.denied.load(Ordering::Relaxed);
        let inherits = !Denial::from_bits_retain(denied).contains(Denial::NO_INHERIT);
        child.denied.store(if inherits { denied } else { 0 }, Ordering::Relaxed);
        child.persona.store(self.persona.load(Ordering::Relaxed), Ordering::Relaxed);
        Arc::new(child)
    }
    /// Whether it ended and was not waited for yet.
    #[inline]
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
    /// It ended; under the lock of the process table.
    pub(crate) fn set_ended(&self) {
        self.ended.store(true, Ordering::Release);
    }
    /// What its parent is told: `code` is one of [`cld`](super::process_table::cld).
    pub(crate) fn child_info(&self, code: i32, status: i32) -> SignalInfo {
        let usage = *self.usage.lock();
        SignalInfo::child(SIGCHLD, code, self.pid, self.creds().uid, status, (usage.user, usage.system))
    }
    /// What its parent is told of its end.
    pub(crate) fn end_info(&self) -> SignalInfo {
        let status = self.exit_status();
        let (code, status) = super::process_table::cld::of(status);
        self.child_info(code, status)
    }
    /// Whose program it executes.
    pub(crate) fn arch(&self) -> Arch {
        if self.is_compat.load(Ordering::Relaxed) { Arch::X86 } else { Arch::X86_64 }
    }
    /// It executes another one.
    pub(crate) fn set_arch(&self, arch: Arch) {
        self.is_compat.store(arch == Arch::X86, Ordering::Relaxed);
    }
    /// The credentials now.
    pub fn creds(&self) -> Arc<Credentials> {
        self.credentials.read().clone()
    }
    /// Adds a thread. `false` when the process is exiting: the thread must not start.
    pub fn add_thread(&self, thread: &Arc<Thread>) -> bool {
        self.add(thread, || {})
    }
    /// Adds a thread that another one of the process makes. Whoever filters the calls of all threads finds it, or it
    /// has the filter from its creator.
    pub(crate) fn add_thread_of(&self, creator: &Thread, thread: &Arc<Thread>) -> bool {
        self.add(thread, || thread.inherit_filters(creator))
    }
    fn add(&self, thread: &Arc<Thread>, prepare: impl FnOnce()) -> bool {
        let mut threads = self.threads.lock();
        if self.exiting() || self.executing.load(Ordering::Acquire) != 0 {
            return false;
        }
        prepare();
        threads.push(Arc::downgrade(thread));
        self.live_threads.fetch_add(1, Ordering::AcqRel);
        self.kernel.live_threads.fetch_add(1, Ordering::AcqRel);
        true
    }
    /// A thread goes on as another one, with the same id.
    pub(crate) fn replace_thread(&self, old: &Thread, new: &Arc<Thread>) {
        for thread in self.threads.lock().iter_mut() {
            if core::ptr::eq(thread.as_ptr(), old) {
                *thread = Arc::downgrade(new);
            }
        }
    }
    /// Takes a thread off, if it is there. Returns how many are left.
    pub fn remove_thread(&self, thread: &Thread) -> u32 {
        let mut threads = self.threads.lock();
        let Some(at) = threads.iter().position(|t| core::ptr::eq(t.as_ptr(), thread)) else {
            return self.thread_count();
        };
        if self.thread_count() == 1 {
            *self.last_thread.lock() = threads.get(at).and_then(Weak::upgrade);
        }
        threads.remove(at);
        let left = self.live_threads.fetch_sub(1, Ordering::AcqRel) - 1;
        self.kernel.live_threads.fetch_sub(1, Ordering::AcqRel);
        drop(threads);
        let executing = self.executing.load(Ordering::Acquire);
        if executing != 0 {
            if let Some(leader) = self.thread(executing) {
                leader.waiter.wake();
            }
        }
        left
    }
    /// Takes off the only thread, which the host has no room for: the process never was.
    pub(crate) fn remove_unstarted(&self, thread: &Thread) {
        self.remove_thread(thread);
        self.forget_last_thread();
    }
    /// The last thread, where it is ending the process.
    pub(crate) fn last_thread(&self) -> Option<Arc<Thread>> {
        self.last_thread.lock().clone()
    }
    /// The process has ended.
    pub(crate) fn forget_last_thread(&self) {
        let last = self.last_thread.lock().take();
        drop(last);
    }
    /// A thread is about to execute a program: all others leave, none is added. `false`: another thread was faster, or
    /// the process is ending.
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
    /// A kick of a process on the host reaches any of its threads, here `taker`: those that work is pending for hear of
    /// it from there, the threads of other processes that share the memory included.
    pub(crate) fn pass_kick_on(&self, taker: &Thread) {
        // One that is leaving no longer counts.
        let own = u32::from(!taker.dead.load(Ordering::Relaxed));
        if self.thread_count() > own {
            self.kick_interrupted(taker);
        }
        let moved = taker.moved.load(Ordering::Relaxed);
        if moved || self.mm.has_others() {
            let shares = |other: &Self| if moved { self.mm.has_been(&other.mm) } else { self.mm.is_same(&other.mm) };
            for other in self.kernel.processes() {
                if !core::ptr::eq(&raw const *other, self) && shares(&other) {
                    other.kick_interrupted(taker);
                }
            }
        }
    }
    fn kick_interrupted(&self, but: &Thread) {
        for thread in self.threads() {
            if !core::ptr::eq(&raw const *thread, but) {
                thread.kick_if_interrupted();
            }
        }
    }
    /// Live threads, oldest first.
    pub fn threads(&self) -> Vec<Arc<Thread>> {
        self.threads.lock().iter().filter_map(Weak::upgrade).collect()
    }
    /// Runs `f` with all live threads, oldest first; none comes or goes meanwhile.
    pub(crate) fn with_threads<T>(&self, f: impl FnOnce(&[Arc<Thread>]) -> T) -> T {
        let threads = self.threads.lock();
        let all: Vec<_> = threads.iter().filter_map(Weak::upgrade).collect();
        let result = f(&all);
        // First the lock, then the threads.
        drop(threads);
        result
    }
    /// The live thread with this id.
    pub fn thread(&self, tid: i32) -> Option<Arc<Thread>> {
        self.threads.lock().iter().filter_map(Weak::upgrade).find(|t| t.tid() == tid)
    }
    /// As [`Process::thread`], also for the first thread after its end: its id stands for the process until that was
    /// waited for.
    pub(crate) fn thread_or_ended_first(&self, tid: i32) -> Option<Arc<Thread>> {
        self.thread(tid).or_else(|| if tid == self.pid { self.ended_first.lock().clone() } else { None })
    }
    /// The first thread is about to be taken off.
    pub(super) fn keep_ended_first(&self, thread: &Arc<Thread>) {
        *self.ended_first.lock() = Some(thread.clone());
    }
    /// The process was waited for, or another thread is its first now: drop what this returns with no lock held.
    pub(crate) fn forget_ended_first(&self) -> Option<Arc<Thread>> {
        self.ended_first.lock().take()
    }
    /// Number of threads as Linux counts them: the first one until the process was waited for.
    pub(crate) fn told_threads(&self) -> u32 {
        (self.thread_count() + u32::from(self.ended_first.lock().is_some())).max(1)
    }
    /// Number of live threads.
    pub fn thread_count(&self) -> u32 {
        self.live_threads.load(Ordering::Acquire)
    }
    /// Starts the end of the process with a wait(2) status; the first caller's status counts. Every thread is
    /// interrupted and exits on its next way out of the kernel.
    pub fn begin_exit(&self, wait_status: i32) {
        let decided = |now| (now & EXITING == 0).then_some(EXITING | status_bits(wait_status));
        if self.exit.fetch_update(Ordering::AcqRel, Ordering::Acquire, decided).is_err() {
            return;
        }
        for thread in self.threads() {
            thread.interrupt();
        }
    }
    /// The wait(2) status of a death by `signal`. Where Linux would dump core it says so; as where a program collects
    /// the dumps, there is no file. What the user who started the sandbox is told of the first process is its signal
    /// alone.
    pub(crate) fn death_status(&self, signal: i32) -> i32 {
        const SMALLEST_DUMP: u64 = 4096;
        let dumps = crate::signal::set::SigSet::DUMPS.has(signal)
            && self.pid != super::process_table::FIRST_PID
            && self.dumpable.load(Ordering::Relaxed)
            && self.limits.soft(crate::syscalls::limits::Resource::Core) >= SMALLEST_DUMP;
        if dumps { signal | super::process_table::DUMPED_CORE } else { signal }
    }
    /// Whether the process is ending.
    #[inline]
    pub fn exiting(&self) -> bool {
        self.exit.load(Ordering::Acquire) & EXITING != 0
    }
    /// The wait(2) status, once exiting.
    pub fn exit_status(&self) -> i32 {
        self.exit.load(Ordering::Acquire) as u32 as i32
    }
    /// Sets the status of a process whose last thread may leave by exit(2).
    pub fn set_exit_status(&self, wait_status: i32) {
        let open = |now| (now & EXITING == 0).then_some(status_bits(wait_status));
        // Decided already: that counts.
        let _ = self.exit.fetch_update(Ordering::AcqRel, Ordering::Acquire, open);
    }
}
