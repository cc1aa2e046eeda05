//! What is taken from the supervisor before its first instruction: descriptors, environment, capabilities, user,
//! namespaces, files.
//!
//! Nothing here is the boundary (that is the seccomp filter, which the supervisor installs itself); each piece is a
//! second wall that is put up where the host offers it, and left out silently where it does not.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use litebox_protocol::start_fd;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::PidfdFlags;
use rustix::thread::CpuSet;

use crate::guard;
use crate::launch::{anybody_may_execute, copy_in_memory};
use crate::limits::Limits;
use crate::process::Sandboxed;
use crate::server::STATUS_OURS;
use crate::signals::Signals;
use crate::usage;

/// What is started.
pub struct Program<'a> {
    /// Executable.
    pub executable: OwnedFd,
    /// Arguments, program name included.
    pub arguments: &'a [CString],
    /// Its descriptors from 3 on.
    pub inherited: &'a [OwnedFd],
    /// Gives the signal mask that the user had.
    pub signals: &'a Signals,
}

/// A network namespace that a helper process makes, and holds until this is dropped.
#[derive(Debug)]
pub struct Network {
    pid: i32,
    helper: OwnedFd,
    state: &'static AtomicU32,
}

impl Network {
    /// Namespace made.
    const MADE: u32 = 1;

    /// Of the child `pid`, whose pidfd is `helper`: when `state` is no longer 0, it is in a namespace of its own (1),
    /// or was refused one. It wakes those who wait for that.
    pub fn new(pid: i32, helper: OwnedFd, state: &'static AtomicU32) -> Self {
        Self { pid, helper, state }
    }

    /// For the child between clone and execution: waits for the namespace and goes there, unless the host refused to
    /// make it. A helper that was killed makes none.
    fn join(&self) -> bool {
        let look_again = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        // SAFETY: futex(2) reads a word and a time; setns(2) touches no memory.
        unsafe {
            while self.state.load(Ordering::Acquire) == 0 {
                let word = self.state.as_ptr();
                libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, 0, &raw const look_again);
                if guard::has_ended(self.helper.as_raw_fd()) && self.state.load(Ordering::Acquire) == 0 {
                    return false;
                }
            }
            self.state.load(Ordering::Relaxed) != Self::MADE
                || libc::setns(self.helper.as_raw_fd(), libc::CLONE_NEWNET) == 0
        }
    }
}

impl Network {
    /// The helper is not needed any more. It takes a while to end, and need not be waited for at once.
    pub fn dismiss(&self) {
        // SAFETY: no memory is touched; a child of ours keeps its number until we wait for it.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.dismiss();
        // SAFETY: no memory is touched.
        unsafe {
            libc::waitpid(self.pid, std::ptr::null_mut(), libc::__WALL);
        }
    }
}

/// How it is confined.
#[derive(Debug, Default)]
pub struct Confinement {
    /// Limits, as far as the host keeps them.
    pub limits: Limits,
    /// Where it writes "0" to enter its control group.
    pub doors: Vec<RawFd>,
    /// The processors that it may use, if not all.
    pub processors: Option<CpuSet>,
    /// Use no namespaces.
    pub no_namespaces: bool,
    /// The network namespace to use instead of a fresh one.
    pub network: Option<Network>,
}

/// Nobody: a user that owns nothing.
const NOBODY: libc::uid_t = 65_534;
/// The first of the users of sandboxes that root starts. Nothing else uses numbers from here to 2^31 (systemd's table
/// of users has them as unused).
const FIRST_OF_SANDBOXES: libc::uid_t = 0x7000_0000;

/// A user for one sandbox alone, who owns nothing either: the host counts processes, timers and descriptors in flight
/// by user, so one sandbox cannot use up those of another. Process ids are below 2^22, and ours is nobody else's while
/// it is in use; the bits above are for brokers in other pid namespaces.
fn user_of_sandbox() -> libc::uid_t {
    const PID_BITS: u32 = 22;
    let pid = std::process::id() & ((1 << PID_BITS) - 1);
    let other = std::process::id().wrapping_mul(0x9e37_79b9) ^ namespace_of_pids();
    FIRST_OF_SANDBOXES | (other & 0x3f) << PID_BITS | pid
}

/// A number that tells pid namespaces apart, mostly; 0 where there is no /proc.
fn namespace_of_pids() -> u32 {
    rustix::fs::stat("/proc/self/ns/pid").map_or(0, |stat| stat.st_ino as u32)
}

/// Where descriptors are while they are put in order: above all that are open, so that none of them is in the way.
#[derive(Clone, Copy)]
struct Parking {
    /// The executable's, closed by the execution.
    executable: RawFd,
    /// The broker's as a process, closed by the execution.
    broker: RawFd,
    /// Where the guard says that it is ready, closed by the execution.
    ready: RawFd,
    /// The first of the inherited ones.
    inherited: RawFd,
}

impl Parking {
    /// Above these.
    fn above(open: impl Iterator<Item = RawFd>) -> Self {
        let first = open.max().unwrap_or(2).max(start_fd::FIRST_EXTRA) + 1;
        Self { executable: first, broker: first + 1, ready: first + 2, inherited: first + 3 }
    }
}

/// All that the child needs, made before it exists: it uses the memory of the broker, and may not change it.
struct Plan<'a> {
    executable: RawFd,
    argv: Vec<*const libc::c_char>,
    envp: [*const libc::c_char; 2],
    inherited: Vec<RawFd>,
    parking: Parking,
    mask: &'a libc::sigset_t,
    /// Whose processes they become, if not the caller's.
    user: Option<libc::uid_t>,
    network: Option<&'a Network>,
    data_limit: Option<u64>,
    /// A descriptor of the broker as a process: it tells of its end.
    broker: RawFd,
    /// The sandbox has a pid namespace, which ends with the supervisor.
    own_pids: bool,
    /// The pipe by which the guard says that it is ready.
    ready: (RawFd, RawFd),
    /// Process id of the guard, once the child has started it.
    guard: AtomicI32,
    task_limit: Option<u64>,
    doors: &'a [RawFd],
    processors: Option<CpuSet>,
    raise_oom_score: bool,
}

/// Keeps the C library from registering restartable sequences: the guest's threads register their own.
const ENVIRONMENT: &CStr = c"GLIBC_TUNABLES=glibc.pthread.rseq=0";

/// Starts the supervisor.
pub fn spawn(program: Program<'_>, how: &Confinement) -> Result<Sandboxed, Errno> {
    let broker = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    let ready = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let root = rustix::process::geteuid().is_root();
    let mut executable = program.executable;
    let mut user = root.then(user_of_sandbox);
    if root && !anybody_may_execute(&executable) {
        match copy_in_memory(&executable) {
            Ok(copy) => executable = copy,
            Err(_) => user = None,
        }
    }
    let inherited: Vec<RawFd> = program.inherited.iter().map(AsRawFd::as_raw_fd).collect();
    let sources = [executable.as_raw_fd(), broker.as_raw_fd(), ready.1.as_raw_fd()];
    // Targets count from the first number of the supervisor's own.
    let targets = start_fd::REQUESTS + RawFd::try_from(inherited.len()).map_err(|_| Errno::MFILE)?;
    let mut plan = Plan {
        executable: executable.as_raw_fd(),
        argv: program.arguments.iter().map(|a| a.as_ptr()).chain([std::ptr::null()]).collect(),
        envp: [ENVIRONMENT.as_ptr(), std::ptr::null()],
        parking: Parking::above(sources.into_iter().chain(inherited.iter().copied()).chain([targets])),
        inherited,
        mask: program.signals.mask_before(),
        user,
        network: how.network.as_ref().filter(|_| !how.no_namespaces),
        // A backstop against a burst between two looks at the memory in use; the limit itself is on what is really
        // used.
        data_limit: how.limits.memory.map(|m| m.saturating_mul(4).max(m.saturating_add(1 << 30))),
        task_limit: None,
        doors: &how.doors,
        processors: how.processors,
        raise_oom_score: oom_score_adj().is_none_or(|score| score < OOM_SCORE_ADJ),
        broker: broker.as_raw_fd(),
        own_pids: false,
        ready: (ready.0.as_raw_fd(), ready.1.as_raw_fd()),
        guard: AtomicI32::new(0),
    };
    let mut stack: Vec<u128> = Vec::with_capacity(CHILD_STACK / size_of::<u128>());
    let top = stack.spare_capacity_mut().as_mut_ptr_range().end;
    let mut last = Errno::IO;
    for namespaces in namespace_choices(root, how.no_namespaces) {
        let made = plan.network.is_some() && namespaces != 0;
        let namespaces = if made { namespaces & !libc::CLONE_NEWNET } else { namespaces };
        plan.network = plan.network.filter(|_| made);
        plan.own_pids = namespaces & libc::CLONE_NEWPID != 0;
        plan.task_limit = how.limits.tasks.and_then(|tasks| task_limit(tasks, root, namespaces));
        // What vfork(2) does: nothing is copied, and this process, which has one thread, sleeps until the child has
        // executed.
        let flags = namespaces | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the child has a stack of its own, only makes system calls until it executes, and changes none of our
        // memory. Stack and plan live until then.
        let pid = unsafe { libc::clone(child, top.cast(), flags, (&raw const plan).cast_mut().cast()) };
        if pid > 0 {
            let guard = Some(plan.guard.load(Ordering::Relaxed)).filter(|guard| *guard > 0);
            return Ok(Sandboxed { supervisor: pid, guard });
        }
        last = std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
    }
    Err(last)
}

/// How gladly the host kills the sandbox when its own memory is used up (proc_pid_oom_score_adj(5)): before what others
/// run.
const OOM_SCORE_ADJ: i32 = 500;
const OOM_SCORE_TEXT: &[u8] = b"500";

fn oom_score_adj() -> Option<i32> {
    std::fs::read_to_string("/proc/self/oom_score_adj").ok()?.trim().parse().ok()
}

/// Processes of the sandbox that run no program: the supervisor, and empty ones.
const OWN_TASKS: u64 = 64;

/// RLIMIT_NPROC of the sandbox, which the host counts for each user in each user namespace: root's sandboxes have a
/// user each, and so has one in a user namespace of its own. Else what the user runs already counts, too. Those in a
/// namespace still count for the user who made it, so the sandbox of an ordinary user takes at most half of what that
/// user has left: the other half is for other programs, and other sandboxes.
fn task_limit(tasks: u64, root: bool, namespaces: i32) -> Option<u64> {
    let wanted = tasks.saturating_add(OWN_TASKS);
    if root {
        return Some(wanted);
    }
    let of_user = rustix::process::getrlimit(rustix::process::Resource::Nproc).current.unwrap_or(u64::MAX);
    let alone = namespaces & libc::CLONE_NEWUSER != 0;
    if alone && wanted <= of_user / SMALL_PART {
        // Whatever else the user runs: counting it takes time.
        return Some(wanted);
    }
    let others = usage::tasks_of(rustix::process::getuid())?;
    let most = wanted.min(of_user.saturating_sub(others) / 2);
    Some(if alone { most } else { most.saturating_add(others) })
}

/// One in so many of the processes that a user may have is little.
const SMALL_PART: u64 = 4;

/// Bytes of stack that the child needs at most.
const CHILD_STACK: usize = 32 << 10;

extern "C" fn child(plan: *mut libc::c_void) -> i32 {
    // SAFETY: what `spawn` passes.
    become_supervisor(unsafe { &*plan.cast::<Plan<'_>>() })
}

/// Sets of namespaces to try, best first. Root needs no user namespace: it changes its user instead.
fn namespace_choices(root: bool, none: bool) -> Vec<i32> {
    const INNER: i32 = libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC;
    match (none, root) {
        (true, _) => vec![0],
        (false, true) => vec![INNER, 0],
        (false, false) => vec![libc::CLONE_NEWUSER | INNER, libc::CLONE_NEWUSER, 0],
    }
}

/// The child: takes everything away and executes. Only system calls from here on.
fn become_supervisor(plan: &Plan<'_>) -> ! {
    tie_to(plan.broker);
    // SAFETY: a plain system call.
    unsafe { libc::setsid() };
    if !plan.own_pids {
        match guard::start(plan.broker, plan.ready.1) {
            Some(pid) => plan.guard.store(pid, Ordering::Relaxed),
            None => give_up(NO_ROOM),
        }
    }
    if plan.network.is_some_and(|network| !network.join()) {
        give_up(b"litebox: cannot start the sandbox: its network namespace cannot be joined\n");
    }
    // SAFETY: writes a constant to open descriptors.
    if plan.doors.iter().any(|door| unsafe { libc::write(*door, b"0".as_ptr().cast(), 1) } != 1) {
        give_up(b"litebox: cannot start the sandbox: its control group cannot be entered\n");
    }
    if !place_descriptors(plan) {
        give_up(b"litebox: cannot start the sandbox: descriptors\n");
    }
    // SAFETY: plain system calls on constants and on memory of `plan`.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, plan.mask, std::ptr::null_mut());
        // Writing to a closed reader is an error code in there, never a signal.
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        set_limits(plan);
        if plan.raise_oom_score {
            raise_oom_score();
        }
        drop_privileges(plan);
        restrict_files(plan.parking.executable);
        // Another user is not tied any more.
        tie_to(plan.parking.broker);
    }
    if !plan.own_pids && !guard::is_ready(plan.parking.ready) {
        give_up(b"litebox: cannot start the sandbox: its guard does not start\n");
    }
    // SAFETY: the strings of `plan` live until the execution.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            plan.parking.executable,
            c"".as_ptr(),
            plan.argv.as_ptr(),
            plan.envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    give_up(b"litebox: cannot start the sandbox: its executable cannot be executed\n")
}

/// The calling process ends with the broker, and at once when that has ended already.
fn tie_to(broker: RawFd) {
    // SAFETY: plain system calls.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        if guard::has_ended(broker) {
            libc::_exit(70);
        }
    }
}

/// What is said when the host makes no more processes (fork(2), EAGAIN).
const NO_ROOM: &[u8] =
    b"litebox: cannot start the sandbox: the host lets this user have no more processes (see ulimit -u)\n";

/// Nothing has run yet: the sandbox cannot be made here.
fn give_up(why: &[u8]) -> ! {
    // SAFETY: write(2) of a valid buffer.
    unsafe {
        libc::write(2, why.as_ptr().cast(), why.len());
        libc::_exit(STATUS_OURS.into())
    }
}

/// Puts the inherited descriptors at 3, 4, ... and closes everything else.
fn place_descriptors(plan: &Plan<'_>) -> bool {
    // SAFETY: plain system calls on descriptors.
    unsafe {
        // All out of the way first: a source may lie where another one is to go.
        let Parking { executable, broker, ready, inherited } = plan.parking;
        let mut parked = inherited;
        let own = [(plan.executable, executable), (plan.broker, broker), (plan.ready.0, ready)];
        for (from, to) in own {
            if libc::dup3(from, to, libc::O_CLOEXEC) < 0 {
                return false;
            }
        }
        for fd in &plan.inherited {
            if libc::dup3(*fd, parked, libc::O_CLOEXEC) < 0 {
                return false;
            }
            parked += 1;
        }
        let mut target = start_fd::REQUESTS;
        for source in inherited..parked {
            if libc::dup2(source, target) < 0 {
                return false;
            }
            target += 1;
        }
        close_from_to(target, executable - 1);
        close_from_to(inherited, RawFd::MAX);
    }
    true
}

/// Closes descriptors `first..=last`.
///
/// # Safety
/// Nothing in this process may use them any more.
unsafe fn close_from_to(first: RawFd, last: RawFd) {
    // SAFETY: the caller's promise.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, last, 0) == 0 {
            return;
        }
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        let end = i32::try_from(limit.rlim_max.min(1 << 20)).unwrap_or(1 << 20);
        for fd in first..=last.min(end) {
            libc::close(fd);
        }
    }
}

/// An ordinary user's sandbox may have so much of what the user may have in signals: one in so many, but at least so
/// many.
const SHARE_OF_SIGNALS: u64 = 4;
const FEW_SIGNALS: u64 = 1024;

/// Resource limits.
///
/// # Safety
/// For the child between clone and execution only.
unsafe fn set_limits(plan: &Plan<'_>) {
    // SAFETY: each call reads or writes one rlimit.
    unsafe {
        let none = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit64(libc::RLIMIT_CORE, &raw const none);
        let mut signals = none;
        if plan.user.is_none() && libc::getrlimit64(libc::RLIMIT_SIGPENDING, &raw mut signals) == 0 {
            // Timers and queued signals count by user: what the sandbox may have leaves most to the user's other
            // programs.
            let part = (signals.rlim_cur / SHARE_OF_SIGNALS).max(FEW_SIGNALS).min(signals.rlim_cur);
            let part = libc::rlimit64 { rlim_cur: part, rlim_max: part };
            libc::setrlimit64(libc::RLIMIT_SIGPENDING, &raw const part);
        }
        let mut files = none;
        if libc::getrlimit64(libc::RLIMIT_NOFILE, &raw mut files) == 0 {
            files.rlim_cur = files.rlim_max;
            libc::setrlimit64(libc::RLIMIT_NOFILE, &raw const files);
        }
        if let Some(most) = plan.task_limit {
            let mut tasks = none;
            if libc::getrlimit64(libc::RLIMIT_NPROC, &raw mut tasks) == 0 && most < tasks.rlim_max {
                tasks = libc::rlimit64 { rlim_cur: most, rlim_max: most };
                libc::setrlimit64(libc::RLIMIT_NPROC, &raw const tasks);
            }
        }
        if let Some(processors) = &plan.processors {
            // A system call alone, as all of this. Processors that went away meanwhile are no reason not to start.
            let _ = rustix::thread::sched_setaffinity(None, processors);
        }
        if let Some(bytes) = plan.data_limit {
            let data = libc::rlimit64 { rlim_cur: bytes, rlim_max: bytes };
            libc::setrlimit64(libc::RLIMIT_DATA, &raw const data);
        }
    }
}

/// What the host's killer goes by. A host that has no such file, or refuses, goes by size alone.
///
/// # Safety
/// For the child between clone and execution only.
unsafe fn raise_oom_score() {
    // SAFETY: system calls on constants.
    unsafe {
        let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd >= 0 {
            libc::write(fd, OOM_SCORE_TEXT.as_ptr().cast(), OOM_SCORE_TEXT.len());
            libc::close(fd);
        }
    }
}

/// No new privileges, another user, no capabilities.
///
/// # Safety
/// For the child between clone and execution only.
unsafe fn drop_privileges(plan: &Plan<'_>) {
    #[repr(C)]
    struct CapHeader {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    // SAFETY: plain system calls on constants and local memory.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        for capability in 0..64 {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 {
                break;
            }
        }
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        if let Some(user) = plan.user {
            libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>());
            // A user namespace around us may know few numbers.
            let known = libc::syscall(libc::SYS_setresgid, user, user, user) == 0;
            let user = if known { user } else { NOBODY };
            libc::syscall(libc::SYS_setresgid, user, user, user);
            libc::syscall(libc::SYS_setresuid, user, user, user);
        }
        let header = CapHeader { version: VERSION_3, pid: 0 };
        let nothing = [0u32; 6];
        libc::syscall(libc::SYS_capset, &raw const header, nothing.as_ptr());
    }
}

#[repr(C)]
struct LandlockRuleset {
    fs: u64,
    net: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct LandlockPathBeneath {
    allowed: u64,
    parent: i32,
}

/// A Landlock domain without any right but to execute the supervisor's own executable.
///
/// # Safety
/// For the child between clone and execution only.
unsafe fn restrict_files(executable: RawFd) {
    const VERSION_FLAG: u32 = 1;
    const RULE_PATH_BENEATH: u32 = 1;
    const EXECUTE_AND_READ: u64 = 1 | 1 << 2;
    // SAFETY: landlock calls read the structures given to them; a failure leaves us without this wall.
    unsafe {
        let abi = libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION_FLAG);
        if abi < 1 {
            return;
        }
        let fs = match abi {
            1 => 0x1fff,
            2 => 0x3fff,
            3 | 4 => 0x7fff,
            _ => 0xffff,
        };
        let rules = LandlockRuleset { fs, net: if abi >= 4 { 3 } else { 0 }, scoped: if abi >= 6 { 3 } else { 0 } };
        let size = match abi {
            1..=3 => 8,
            4 | 5 => 16,
            _ => size_of::<LandlockRuleset>(),
        };
        let ruleset = libc::syscall(libc::SYS_landlock_create_ruleset, &raw const rules, size, 0) as RawFd;
        if ruleset < 0 {
            return;
        }
        let own = LandlockPathBeneath { allowed: EXECUTE_AND_READ, parent: executable };
        // Refused for a file in memory, which Landlock lets pass anyway.
        libc::syscall(libc::SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &raw const own, 0);
        libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0);
        libc::close(ruleset);
    }
}
