//! A thread of a guest process.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

use litebox::event::{Observer, Waiter};
use litebox::fs::{FAsync, FdTable, FsContext};
use litebox::platform::fast_syscalls::FastSyscalls;
use litebox::platform::{HostThread, host};
use litebox::sync::{Mutex, RwLock};
use litebox_common_linux::Arch;

use super::{CloneShares, Credentials, Process, SharedByClone};
use crate::loader::Prepared;
use crate::syscalls::process::prctl::TIMER_SLACK;

bitflags::bitflags! {
    /// What a thread's calls need beside being served.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct SyscallWork: u32 {
        /// They are printed.
        const TRACE = 1;
        /// They are filtered.
        const SECCOMP = 2;
        /// They are left to the thread itself.
        const USER_DISPATCH = 4;
    }
}

/// A thread.
pub struct Thread {
    pub(super) tid: AtomicI32,
    /// Its process.
    pub process: Arc<Process>,
    /// Open descriptors.
    pub files: SharedByClone<Arc<FdTable>>,
    /// Root, working directory, umask.
    pub fs: SharedByClone<Arc<FsContext>>,
    /// What it sleeps on.
    pub waiter: Arc<Waiter>,
    /// The host's part.
    pub host: HostThread,
    /// Blocked and pending signals, alternate stack.
    pub signals: crate::signal::ThreadSignals,
    /// How it asked to be scheduled.
    pub scheduling: crate::syscalls::scheduling::Scheduling,
    /// Who it is.
    credentials: RwLock<Arc<Credentials>>,
    /// Its ids among them.
    pub(crate) ids: super::fast_syscalls::Ids,
    /// Executing a program gives it no privileges (PR_SET_NO_NEW_PRIVS).
    pub(crate) no_new_privileges: AtomicBool,
    /// It became a user who has more threads than allowed (RLIMIT_NPROC).
    pub(crate) crowded: AtomicBool,
    /// How late it may be woken, in nanoseconds (PR_SET_TIMERSLACK); kept and told.
    pub(crate) timer_slack: AtomicU64,
    /// What it was born with, and what PR_SET_TIMERSLACK 0 returns to.
    pub(crate) first_timer_slack: AtomicU64,
    /// Name (PR_SET_NAME), at most 15 bytes, zero-padded.
    pub name: Mutex<[u8; 16]>,
    /// set_tid_address(2): cleared and woken when the thread exits; 0: none.
    pub clear_child_tid: AtomicUsize,
    /// set_robust_list(2): head address; 0: none.
    pub robust_list: AtomicUsize,
    /// The same, made by a call in the manner of 32-bit programs.
    pub robust_list32: AtomicUsize,
    /// rseq(2): registered area; 0: none.
    pub rseq_area: AtomicUsize,
    /// Length (high half) and signature it was registered with.
    pub rseq_terms: AtomicU64,
    /// How a call that was interrupted goes on (restart_syscall(2)).
    pub(crate) restart_block: Mutex<Option<crate::syscalls::restart::RestartBlock>>,
    /// What it does before its first guest instruction.
    pub(crate) newborn: Mutex<Option<Newborn>>,
    /// Whose thread of the host it runs on, if not on its own.
    pub(super) handoff: super::vfork::VforkHandoff,
    /// The thread of another process that waits until this one executes a program or ends (vfork(2)).
    pub(crate) vfork_parent: Mutex<Option<Arc<VforkWait>>>,
    /// Its calls are printed.
    pub(crate) traced: bool,
    /// [`SyscallWork`]: every call looks at it.
    syscall_work: AtomicU32,
    /// Which of its calls are left to it.
    pub(crate) user_dispatch: crate::syscalls::process::user_dispatch::UserDispatch,
    /// What filters its calls.
    pub(crate) seccomp: crate::seccomp::Seccomp,
    /// What is to be told at the end of its calls: at hand, for every call looks.
    pub(crate) fasync: Arc<FAsync>,
    /// The call it is in, while calls are printed.
    pub(crate) tracing: crate::trace::Tracing,
    /// Calls that are answered where they enter; and those it has made and not yet reported to
    /// [`Stats`](super::kernel::Stats).
    pub(super) fast_syscalls: FastSyscalls,
    /// Bytes that its calls wrote and that [`Stats`](super::kernel::Stats) was not told of yet.
    pub(super) bytes_written: AtomicU64,
    /// Its entries of the descriptor table (set_thread_area(2)).
    pub(super) tls: Mutex<super::tls::Entries>,
    /// The call it is in.
    pub(crate) call: super::call::CurrentCall,
    /// It waits for an answer that no signal but a deadly one keeps it from (seccomp_unotify(2)).
    pub(crate) waits_killably: AtomicBool,
    /// It stands still for somebody who looks at all there is (`task/freezer.rs`).
    pub(super) stands_still: AtomicBool,
    /// It is on its way out; nothing more is delivered to it.
    pub dead: AtomicBool,
    /// Its process goes on in another address space; the thread is only to leave the one it is in.
    pub(crate) moved: AtomicBool,
}

/// What the first thread of a new process does before guest code.
pub(crate) enum Newborn {
    /// It goes on as its parent.
    Child {
        /// Its memory is a copy: areas that children do not get go.
        copied: bool,
        /// Where it writes its id (`CLONE_CHILD_SETTID`); 0: nowhere.
        set_tid: u64,
    },
    /// It executes a program.
    Program(Box<Prepared>),
    /// It finds and executes what somebody outside of the sandbox asked for.
    FromOutside(Box<crate::outside::programs::Request>),
}

/// A parent that waits for its vfork child.
pub(crate) struct VforkWait {
    done: AtomicBool,
    waiter: Arc<Waiter>,
}

impl VforkWait {
    /// The thread of `waiter` is going to wait.
    pub(crate) fn new(waiter: &Arc<Waiter>) -> Arc<Self> {
        Arc::new(Self { done: AtomicBool::new(false), waiter: waiter.clone() })
    }
    /// The child no longer uses the parent's memory.
    pub(crate) fn end(&self) {
        self.done.store(true, Ordering::Release);
        self.waiter.wake();
    }
    /// Whether it does not.
    pub(crate) fn ended(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}

impl Thread {
    /// Where the thread's robust list of an architecture is kept.
    pub(crate) fn robust_list_of(&self, arch: Arch) -> &AtomicUsize {
        match arch {
            Arch::X86_64 => &self.robust_list,
            Arch::X86 => &self.robust_list32,
        }
    }
    /// A thread of `process` that does not run yet.
    pub fn new(process: &Arc<Process>, tid: i32, name: [u8; 16], shares: CloneShares) -> Arc<Self> {
        let traced = process.kernel.config.strace.is_some();
        let work = if traced { SyscallWork::TRACE } else { SyscallWork::empty() };
        let creds = process.creds();
        let ids = super::fast_syscalls::Ids::default();
        ids.follow(&creds);
        Arc::new(Self {
            tid: AtomicI32::new(tid),
            process: process.clone(),
            files: SharedByClone::new(shares.files),
            fs: SharedByClone::new(shares.fs),
            waiter: Waiter::new(),
            host: HostThread::default(),
            signals: crate::signal::ThreadSignals::default(),
            scheduling: crate::syscalls::scheduling::Scheduling::default(),
            credentials: RwLock::new(creds),
            ids,
            no_new_privileges: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            timer_slack: AtomicU64::new(TIMER_SLACK),
            first_timer_slack: AtomicU64::new(TIMER_SLACK),
            name: Mutex::new(name),
            clear_child_tid: AtomicUsize::new(0),
            robust_list: AtomicUsize::new(0),
            robust_list32: AtomicUsize::new(0),
            rseq_area: AtomicUsize::new(0),
            rseq_terms: AtomicU64::new(0),
            restart_block: Mutex::new(None),
            newborn: Mutex::new(None),
            handoff: super::vfork::VforkHandoff::default(),
            vfork_parent: Mutex::new(None),
            traced,
            syscall_work: AtomicU32::new(work.bits()),
            user_dispatch: crate::syscalls::process::user_dispatch::UserDispatch::default(),
            seccomp: crate::seccomp::Seccomp::default(),
            fasync: process.kernel.vfs.fasync.clone(),
            tracing: crate::trace::Tracing::default(),
            fast_syscalls: FastSyscalls::default(),
            bytes_written: AtomicU64::new(0),
            tls: Mutex::default(),
            call: super::call::CurrentCall::default(),
            waits_killably: AtomicBool::new(false),
            stands_still: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            moved: AtomicBool::new(false),
        })
    }
    /// What it has, to be shared.
    pub(crate) fn shares(&self) -> Option<CloneShares> {
        Some(CloneShares { files: self.files.shared()?, fs: self.fs.shared()? })
    }
    /// It no longer uses its descriptors and places; returns whether nobody uses the descriptors any more.
    pub(crate) fn leave_shares(&self) -> bool {
        self.fs.leave();
        self.leave_places();
        self.files.leave()
    }
    /// It uses them after all; another thread has kept them.
    pub(crate) fn come_back_to_shares(&self) {
        self.fs.come_back();
        self.files.come_back();
    }
    /// Thread id; equal to the pid for the first thread.
    #[inline]
    pub fn tid(&self) -> i32 {
        self.tid.load(Ordering::Relaxed)
    }
    /// Who it is.
    pub fn creds(&self) -> Arc<Credentials> {
        self.credentials.read().clone()
    }
    /// Who it is, without the lock.
    ///
    /// # Safety
    /// It becomes nobody else while the reference is there.
    #[inline]
    pub(super) unsafe fn creds_unlocked(&self) -> &Credentials {
        // SAFETY: the caller's promise.
        unsafe { self.credentials.unlocked() }
    }
    /// It is somebody else from now on.
    pub(super) fn become_somebody(&self, creds: Arc<Credentials>) {
        self.ids.follow(&creds);
        *self.credentials.write() = creds;
    }
    /// What its calls need beside being served.
    #[inline]
    pub(crate) fn syscall_work(&self) -> SyscallWork {
        SyscallWork::from_bits_retain(self.syscall_work.load(Ordering::Relaxed))
    }
    /// From its next call on they need this, too. They all enter the kernel then: no word answers one any more.
    pub(crate) fn add_syscall_work(&self, work: SyscallWork) {
        self.syscall_work.fetch_or(work.bits(), Ordering::SeqCst);
        // Either the thread sees the work when it has filled in its table, or the table stays empty.
        fence(Ordering::SeqCst);
        self.fast_syscalls.clear();
    }
    /// From its next call on they no longer need this.
    pub(crate) fn remove_syscall_work(&self, work: SyscallWork) {
        self.syscall_work.fetch_and(!work.bits(), Ordering::SeqCst);
    }
    /// It starts as who its creator is.
    pub(crate) fn inherit_identity(&self, creator: &Self) {
        let creds = creator.creds();
        if self.tid() == self.process.pid {
            *self.process.credentials.write() = creds.clone();
        }
        self.become_somebody(creds);
        self.inherit_filters(creator);
        let get = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        self.no_new_privileges.store(get(&creator.no_new_privileges), Ordering::Relaxed);
        let slack = creator.timer_slack.load(Ordering::Relaxed);
        self.timer_slack.store(slack, Ordering::Relaxed);
        self.first_timer_slack.store(slack, Ordering::Relaxed);
    }
    /// A thread that executes a program takes the id of its process.
    pub(crate) fn become_first(&self) {
        let before = self.tid.swap(self.process.pid, Ordering::Relaxed);
        drop(self.process.forget_ended_first());
        self.process.kernel.parent_thread_became_first(&self.process, before);
    }
    /// Counts a call.
    #[inline]
    pub(crate) fn count_call(&self) {
        self.fast_syscalls.count_call();
    }
    /// Calls it has made and not yet reported.
    pub(crate) fn calls(&self) -> &AtomicU64 {
        &self.fast_syscalls.calls
    }
    /// Counts bytes that a call of it wrote. Only the thread itself counts, so this needs no atomic addition.
    #[inline]
    pub(crate) fn count_written(&self, bytes: usize) {
        let before = self.bytes_written.load(Ordering::Relaxed);
        self.bytes_written.store(before.wrapping_add(bytes as u64), Ordering::Relaxed);
    }
    /// The call it is in: its own number, and how many it made.
    pub(crate) fn call_under_way(&self) -> u64 {
        const COUNT_BITS: u32 = 40;
        let count = self.calls().load(Ordering::Relaxed) & ((1 << COUNT_BITS) - 1);
        (u64::from(self.tid().unsigned_abs()) << COUNT_BITS) | count
    }
    /// As [`Thread::kick`], when work is pending for it.
    pub(crate) fn kick_if_interrupted(&self) {
        if self.waiter.interrupted() {
            self.kick();
        }
    }
    /// Makes the thread look at its pending work soon, wherever it is: asleep in the kernel, in a blocking host call,
    /// or in guest code.
    pub fn interrupt(&self) {
        if self.mark_interrupted() {
            self.waiter.finish_wake();
        }
    }
    /// As [`Thread::interrupt`], but whoever gets `true` has to finish waking its waiter: who is woken while a lock is
    /// held that he wants runs into it at once.
    #[must_use]
    pub(crate) fn mark_interrupted(&self) -> bool {
        let asleep = self.waiter.mark_interrupted();
        self.kick();
        self.interrupt_vfork_child();
        asleep
    }
    /// Makes the thread enter the kernel if it is in guest code or in a blocking host call.
    fn kick(&self) {
        // The calling thread is in the kernel, and looks on its way out.
        let own = core::ptr::eq(host().current_north().cast(), self);
        if !own && self.host.mode.load(Ordering::SeqCst) != 0 {
            host().kick(&self.host);
        }
    }
}
