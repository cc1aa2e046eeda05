//! Resource limits: getrlimit(2), setrlimit(2), prlimit64(2), and what RLIMIT_CPU does.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use litebox::platform::{ClockId, host};
use litebox::{Error, Result};
use litebox_common_linux::abi::process::{Rlimit, Rlimit64};
use litebox_common_linux::argument::{UserMut, UserRef};

use crate::signal::SignalInfo;
use crate::signal::set::{SIGKILL, SIGXCPU};
use crate::task::process_table::ProcessTable;
use crate::user::{UserRead, UserWrite};
use crate::{Kernel, Process, Task};

/// No limit.
pub const INFINITY: u64 = u64::MAX;
/// How many resources there are.
pub const COUNT: usize = 16;
/// How many processes and pending signals a user may have at first.
pub const MOST_PROCESSES: u64 = 32_768;
/// The most RLIMIT_NOFILE can be set to (/proc/sys/fs/nr_open).
pub const NR_OPEN: u64 = 1 << 20;

/// Resources by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of getrlimit(2)")]
pub enum Resource {
    Cpu = 0,
    FileSize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    Processes = 6,
    Descriptors = 7,
    LockedMemory = 8,
    AddressSpace = 9,
    PendingSignals = 11,
    Nice = 13,
    RealtimePriority = 14,
}

/// Soft and hard limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// The one in force.
    pub soft: u64,
    /// The most the soft one may be raised to.
    pub hard: u64,
}

const fn limit(soft: u64, hard: u64) -> Limit {
    Limit { soft, hard }
}

/// What the first process starts with, where whoever started the sandbox is not bound by less.
pub const INITIAL: [Limit; COUNT] = [
    limit(INFINITY, INFINITY),
    limit(INFINITY, INFINITY),
    limit(INFINITY, INFINITY),
    limit(8 << 20, INFINITY),
    limit(0, INFINITY),
    limit(INFINITY, INFINITY),
    limit(MOST_PROCESSES, MOST_PROCESSES),
    limit(1024, 1 << 19),
    limit(8 << 20, 8 << 20),
    limit(INFINITY, INFINITY),
    limit(INFINITY, INFINITY),
    limit(MOST_PROCESSES, MOST_PROCESSES),
    limit(819_200, 819_200),
    limit(0, 0),
    limit(0, 0),
    limit(INFINITY, INFINITY),
];

/// The limits of a process. Words, so that whoever is bound by one reads it without a lock.
pub struct Limits {
    soft: [AtomicU64; COUNT],
    hard: [AtomicU64; COUNT],
}

impl Default for Limits {
    fn default() -> Self {
        Self { soft: INITIAL.map(|l| AtomicU64::new(l.soft)), hard: INITIAL.map(|l| AtomicU64::new(l.hard)) }
    }
}

impl Limits {
    /// Those of the first process: what is usual, but for `others` (number, soft and hard limit).
    pub fn first(others: &[(u32, u64, u64)]) -> Self {
        let limits = Self::default();
        for (number, soft, hard) in others {
            limits.set(*number as usize, limit(*soft, *hard));
        }
        limits
    }
    /// For a child: the same limits.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = |from: &[AtomicU64; COUNT]| from.each_ref().map(|word| AtomicU64::new(word.load(Ordering::Relaxed)));
        Self { soft: copy(&self.soft), hard: copy(&self.hard) }
    }
    /// A soft limit.
    #[inline]
    pub fn soft(&self, resource: Resource) -> u64 {
        self.soft.get(resource as usize).map_or(INFINITY, |word| word.load(Ordering::Relaxed))
    }
    /// Both limits of a resource by number.
    pub fn get(&self, number: usize) -> Option<Limit> {
        let (soft, hard) = (self.soft.get(number)?, self.hard.get(number)?);
        Some(limit(soft.load(Ordering::Relaxed), hard.load(Ordering::Relaxed)))
    }
    fn set(&self, number: usize, new: Limit) {
        if let (Some(soft), Some(hard)) = (self.soft.get(number), self.hard.get(number)) {
            soft.store(new.soft, Ordering::Relaxed);
            hard.store(new.hard, Ordering::Relaxed);
        }
    }
    /// Those that the address space is bound by.
    pub fn of_memory(&self) -> litebox::mm::Limits {
        litebox::mm::Limits {
            address_space: self.soft(Resource::AddressSpace),
            data: self.soft(Resource::Data),
            stack: self.soft(Resource::Stack),
            locked: self.soft(Resource::LockedMemory),
        }
    }
}

impl Kernel {
    /// `--pids`: whether there are as many threads as there may be. A process that has ended counts as one until it was
    /// waited for. `coming`: how many of them are those that the question is about.
    pub(crate) fn has_most_tasks(&self, process_table: &ProcessTable, coming: u64) -> bool {
        let most = self.config.most_tasks;
        let live = self.live_threads.load(Ordering::Acquire);
        // Counted one by one only where it matters.
        if most == 0 || live.saturating_add(process_table.count() as u64) < most {
            return false;
        }
        let ended = process_table.processes().filter(|p| p.thread_count() == 0).count() as u64;
        live.saturating_add(ended) >= most.saturating_add(coming)
    }
}

impl Task<'_, '_> {
    /// RLIMIT_NPROC: whether the caller's user has as many threads as it may. The superuser may have any number.
    pub(crate) fn has_most_threads(&self, process_table: &ProcessTable) -> bool {
        let most = self.process().limits.soft(Resource::Processes);
        let uid = self.creds().uid;
        uid != 0 && most != INFINITY && process_table.threads_of(uid) >= most
    }
}

impl Task<'_, '_> {
    /// Whether a user has more threads than the caller's RLIMIT_NPROC allows.
    pub(crate) fn exceeds_threads(&self, uid: u32) -> bool {
        let most = self.process().limits.soft(Resource::Processes);
        most != INFINITY && self.kernel().process_table.lock().threads_of(uid) > most
    }
    /// Whether the caller became a user who had too many threads, and still has: then it may not execute a program.
    pub(crate) fn is_too_crowded(&self) -> bool {
        let crowded = &self.thread.crowded;
        if !crowded.load(Ordering::Relaxed) {
            return false;
        }
        let still = self.exceeds_threads(self.creds().uid);
        crowded.store(still, Ordering::Relaxed);
        still
    }
}

impl Process {
    /// RLIMIT_SIGPENDING.
    pub(crate) fn pending_limit(&self) -> u64 {
        self.limits.soft(Resource::PendingSignals)
    }

    /// RLIMIT_CPU was reached, or may have been: SIGXCPU at the soft limit and every second after it, SIGKILL at the
    /// hard one.
    pub(crate) fn enforce_cpu_limit(&self) {
        const CPU: usize = Resource::Cpu as usize;
        let Some(now) = self.limits.get(CPU) else { return };
        let used = host().now(ClockId::ProcessCpu).as_secs();
        // Refused only for a full queue of real-time signals.
        if used >= now.hard {
            let _ = self.send_signal(SignalInfo::kernel(SIGKILL));
            return;
        }
        if used >= now.soft {
            let _ = self.send_signal(SignalInfo::kernel(SIGXCPU));
            // As on Linux, that is where the next second ends.
            self.limits.set(CPU, limit(now.soft.saturating_add(1), now.hard));
        }
        self.watch_cpu_limit();
    }

    /// Of the first process, before its thread runs.
    pub(crate) fn begin_cpu_limit(&self) {
        if self.limits.soft(Resource::Cpu) != INFINITY {
            self.watch_cpu_limit();
            // The alarm is set by one of its own threads.
            for thread in self.threads() {
                thread.interrupt();
            }
        }
    }

    /// Has the timers look at RLIMIT_CPU when it is reached.
    pub(crate) fn watch_cpu_limit(&self) {
        let soft = self.limits.soft(Resource::Cpu);
        self.timers.watch_cpu_limit((soft != INFINITY).then(|| Duration::from_secs(soft)));
    }

    fn set_limit(&self, number: usize, new: Limit) {
        const CPU: usize = Resource::Cpu as usize;
        let mut new = new;
        if number == CPU {
            // Nobody can have used less.
            new.soft = new.soft.max(1);
        }
        self.limits.set(number, new);
        self.mm.set_limits(self.limits.of_memory());
        if number == CPU {
            self.watch_cpu_limit();
            // The alarm is set by one of its own threads.
            for thread in self.threads() {
                thread.interrupt();
            }
        }
    }
}

impl From<Rlimit> for Limit {
    fn from(raw: Rlimit) -> Self {
        limit(raw.soft, raw.hard)
    }
}

impl From<Limit> for Rlimit {
    fn from(limit: Limit) -> Self {
        Self { soft: limit.soft, hard: limit.hard }
    }
}

impl From<Rlimit64> for Limit {
    fn from(raw: Rlimit64) -> Self {
        limit(raw.soft, raw.hard)
    }
}

impl From<Limit> for Rlimit64 {
    fn from(limit: Limit) -> Self {
        Self { soft: limit.soft, hard: limit.hard }
    }
}

impl Task<'_, '_> {
    /// getrlimit(2).
    pub(crate) fn getrlimit(&mut self, resource: u32, out: UserMut<Rlimit>) -> Result<usize> {
        let now = self.process().limits.get(resource as usize).ok_or(Error::Invalid)?;
        out.write(now.into()).map(|()| 0)
    }

    /// setrlimit(2).
    pub(crate) fn setrlimit(&mut self, resource: u32, new: UserRef<Rlimit>) -> Result<usize> {
        let new = new.read()?.into();
        let process = self.process().clone();
        change(&process, resource, Some(new)).map(|_| 0)
    }

    /// prlimit64(2).
    pub(crate) fn prlimit64(
        &mut self,
        pid: i32,
        resource: u32,
        new: UserRef<Rlimit64>,
        old: UserMut<Rlimit64>,
    ) -> Result<usize> {
        let new = new.read_if_given()?.map(Limit::from);
        let target = self.limited(pid)?;
        let before = change(&target, resource, new)?;
        old.write_if_given(before.into()).map(|()| 0)
    }

    /// The process whose limits may be looked at and changed.
    fn limited(&self, pid: i32) -> Result<alloc::sync::Arc<Process>> {
        let own = self.process();
        if pid == 0 {
            return Ok(own.clone());
        }
        let target = self.process_of_task(pid)?;
        let (mine, theirs) = (own.creds(), target.creds());
        let same = [theirs.uid, theirs.euid, theirs.suid].iter().all(|id| *id == mine.uid)
            && [theirs.gid, theirs.egid, theirs.sgid].iter().all(|id| *id == mine.gid);
        if same || alloc::sync::Arc::ptr_eq(own, &target) { Ok(target) } else { Err(Error::NotPermitted) }
    }

    /// The process of the thread with this id.
    pub(crate) fn process_of_task(&self, tid: i32) -> Result<alloc::sync::Arc<Process>> {
        self.find_process_of_thread(tid).ok_or(Error::NoProcess)
    }
}

/// Sets a limit if `new` is given; the one before. Raising a hard limit needs CAP_SYS_RESOURCE, which nobody has here.
fn change(process: &Process, resource: u32, new: Option<Limit>) -> Result<Limit> {
    let number = resource as usize;
    let before = process.limits.get(number).ok_or(Error::Invalid)?;
    if let Some(new) = new {
        if new.soft > new.hard {
            return Err(Error::Invalid);
        }
        if new.hard > before.hard || number == Resource::Descriptors as usize && new.hard > NR_OPEN {
            return Err(Error::NotPermitted);
        }
        process.set_limit(number, new);
    }
    Ok(before)
}
