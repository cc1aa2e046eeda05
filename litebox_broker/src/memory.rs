//! `--memory`: how much the sandbox uses, each page once, and when that is to be looked at again. A control group
//! counts where there is one; else we do.
//!
//! Looking costs time for each process. So it happens the sooner the less is left until the limit (nothing fills memory
//! faster than `FASTEST`), and uses at most `MOST_COST` of a processor; where that makes it late, what the whole host
//! uses tells in between whether a look is worth more. Nobody is killed on an estimate: pages that processes share
//! after fork(2) are told apart, and the last count before that is made while no process of the sandbox runs.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::cgroup::Gauge;
use crate::process::Sandboxed;
use crate::usage::{self, Process, Processes, Unknown};

/// Bytes that a sandbox can fill in a nanosecond, at most.
const FASTEST: u64 = 4;
/// Time between two looks, at least and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// A look may cost one part in so many of the time until the next.
const MOST_COST: u32 = 100;
/// Where the whole host's figures say that something grows.
const MOST_COST_OF_GROWTH: u32 = 10;
/// Time between two looks at these figures.
const GLANCE: Duration = Duration::from_millis(25);
/// The host counts private pages for each processor apart: its sums may be behind by so many parts of the limit, one in
/// this number.
const BEHIND: u64 = 8;
/// How long a killed process may take to give its memory back.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two looks meanwhile.
const IMPATIENCE: Duration = Duration::from_millis(20);

/// What is in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Bytes in all.
    pub bytes: u64,
    /// Of these: files in memory, shared memory, and the sandbox's own kernel.
    pub objects: u64,
    /// Its processes, the largest first: the id as the sandbox has it, and the bytes. Empty far from the limit.
    pub guests: Vec<(i32, u64)>,
}

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// Nothing more: somebody has ended, of whom the sandbox said nothing. The user is told.
    Relieved,
    /// The largest process is to be killed.
    KillLargest(i32),
    /// That was in vain, or there is none: the sandbox is to be killed.
    KillAll,
}

/// The limit was reached, and a process is being killed.
#[derive(Debug)]
struct Relief {
    /// What was in use.
    bytes: u64,
    /// Who is killed, and how much it has.
    victim: (i32, u64),
    until: Instant,
    said: bool,
}

/// Keeps the limit of one sandbox.
#[derive(Debug)]
pub struct Meter {
    limit: u64,
    processes: Processes,
    /// Counts for us, where there is one.
    gauge: Option<Gauge>,
    supervisor: i32,
    /// When to look at the processes next, and when at the host's figures.
    next: (Instant, Option<Instant>),
    /// The host's figure at the last look, and by how much it may grow before the next.
    host: Option<(u64, u64)>,
    /// A look because of these figures may be made from then on.
    early: Instant,
    relief: Option<Relief>,
    last: Count,
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

impl Meter {
    /// For this sandbox. An error where the host does not tell what is needed.
    pub fn new(sandboxed: Sandboxed, limit: u64, gauge: Option<Gauge>) -> Result<Self, Unknown> {
        let mut processes = Processes::of(sandboxed);
        if gauge.is_none() {
            processes.probe()?;
        }
        let now = Instant::now();
        let next = (now, None);
        Ok(Self {
            limit,
            processes,
            gauge,
            supervisor: sandboxed.supervisor,
            next,
            host: None,
            early: now,
            relief: None,
            last: Count::default(),
        })
    }

    /// When [`Self::keep`] wants to be called next.
    pub fn next(&self) -> Instant {
        self.next.1.map_or(self.next.0, |lookup_fast| lookup_fast.min(self.next.0))
    }

    /// Looks if it is time to. `objects`: the sandbox's files in memory.
    pub fn keep(&mut self, objects: &[OwnedFd]) -> Result<Verdict, Unknown> {
        let now = Instant::now();
        if now < self.next.0 && !self.is_growing(now) {
            return Ok(Verdict::Fine);
        }
        let begin = cpu_time();
        let mut count = self.count(objects)?;
        if count.bytes >= self.limit && self.gauge.is_none() {
            let Self { processes, supervisor, .. } = self;
            count = processes.while_stopped(|processes| exact(processes, *supervisor, objects))?;
        }
        let cost = cpu_time().saturating_sub(begin);
        let verdict = self.judge(&count);
        self.plan(&count, cost);
        self.last = count;
        Ok(verdict)
    }

    /// A count that may be behind what is used, but for what other processes end or make meanwhile is never ahead of it
    /// by more than that.
    fn count(&mut self, objects: &[OwnedFd]) -> Result<Count, Unknown> {
        if let Some(gauge) = &mut self.gauge {
            let (bytes, objects) = gauge.read().map_err(|e| format!("its control group: {e}"))?;
            // Who they are is asked only where it matters.
            let guests =
                if bytes < self.limit { Vec::new() } else { by_size(&self.processes.look()?, self.supervisor) };
            return Ok(Count { bytes, objects, guests });
        }
        let all = self.processes.look()?;
        let shared = usage::of_objects(objects).map_err(|e| format!("its memory: {e}"))?;
        let bytes = shared + all.iter().map(|p| p.private + p.own).sum::<u64>();
        if bytes < self.limit - self.limit / BEHIND {
            return Ok(Count { bytes, objects: shared, guests: Vec::new() });
        }
        exact(&mut self.processes, self.supervisor, objects)
    }

    fn judge(&mut self, count: &Count) -> Verdict {
        if count.bytes < self.limit {
            let unsaid = self.relief.as_ref().is_some_and(|relief| !relief.said);
            if !unsaid {
                self.relief = None;
            }
            return if unsaid { Verdict::Relieved } else { Verdict::Fine };
        }
        if let Some(relief) = &self.relief {
            let dying = count.guests.iter().any(|(id, _)| *id == relief.victim.0);
            let bearable = count.bytes < self.limit.saturating_add(self.limit / 2);
            if dying && bearable && Instant::now() < relief.until {
                return Verdict::Fine;
            }
            // It gave too little back. The next one goes only if that is likely to be enough.
            let over = count.bytes - self.limit;
            if dying || count.guests.first().is_none_or(|(_, size)| *size < over) {
                return Verdict::KillAll;
            }
        }
        let Some(victim) = count.guests.first().copied() else { return Verdict::KillAll };
        self.relief = Some(Relief { bytes: count.bytes, victim, until: Instant::now() + PATIENCE, said: false });
        Verdict::KillLargest(victim.0)
    }

    /// When to look next.
    fn plan(&mut self, count: &Count, cost: Duration) {
        let now = Instant::now();
        let left = self.limit.saturating_sub(count.bytes);
        let soon = Duration::from_nanos(left / FASTEST).clamp(PAUSE.0, PAUSE.1);
        if self.relief.is_some() {
            self.next = (now + IMPATIENCE.max(cost * MOST_COST_OF_GROWTH), None);
            return;
        }
        let affordable = cost * MOST_COST;
        self.host = usage::of_host().map(|used| (used, left / 2));
        self.early = now + cost * MOST_COST_OF_GROWTH;
        // Looks that come soon enough need no hint.
        let lookup_fast = (affordable > soon && self.host.is_some()).then(|| now + soon.max(GLANCE));
        self.next = (now + soon.max(affordable), lookup_fast);
    }

    /// Whether the host's figures say that a look is worth its price now.
    fn is_growing(&mut self, now: Instant) -> bool {
        if self.next.1.is_none_or(|lookup_fast| now < lookup_fast) {
            return false;
        }
        let grown = |(before, most)| usage::of_host().is_some_and(|used| used.saturating_sub(before) > most);
        let grown = self.host.is_some_and(grown);
        self.next.1 = Some(if grown { self.early.max(now + PAUSE.0) } else { now + GLANCE });
        grown && now >= self.early
    }

    /// The line to say when the largest process was killed, once for each; `who` is what the sandbox says of it.
    pub fn says_killed(&mut self, who: &str) -> Option<String> {
        let limit = mib(self.limit);
        let relief = self.relief.as_mut().filter(|relief| !relief.said)?;
        relief.said = true;
        let (used, its) = (mib(relief.bytes), mib(relief.victim.1));
        Some(format!("memory limit of {limit} MiB reached ({used} MiB in use): killed {who}, which has {its} MiB"))
    }

    /// Whether the sandbox broke because it had no memory left: the host may have killed a process of it at its wall.
    pub fn explains_end(&mut self) -> bool {
        self.relief.is_some() || self.gauge.as_mut().is_some_and(Gauge::has_killed)
    }

    /// The line to say when the sandbox was killed.
    pub fn says_all(&self) -> String {
        let (limit, used, objects) = (mib(self.limit), mib(self.last.bytes), mib(self.last.objects));
        format!(
            "memory limit of {limit} MiB reached ({used} MiB in use, {objects} MiB of it files in memory and shared memory): sandbox killed"
        )
    }
}

/// What is used, each page once.
fn exact(processes: &mut Processes, supervisor: i32, objects: &[OwnedFd]) -> Result<Count, Unknown> {
    let all = processes.look()?;
    let private = processes.exact(&all)?;
    let shared = usage::of_objects(objects).map_err(|e| format!("its memory: {e}"))?;
    let bytes = shared + private + all.iter().map(|p| p.own).sum::<u64>();
    Ok(Count { bytes, objects: shared, guests: by_size(&all, supervisor) })
}

/// The processes that can be killed, the largest first: the id as the sandbox has it, and the bytes.
fn by_size(all: &[Process], supervisor: i32) -> Vec<(i32, u64)> {
    let guests = all.iter().filter(|p| p.pid != supervisor && !p.ended);
    let mut guests: Vec<_> = guests.map(|p| (p.inside, p.size())).collect();
    guests.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    guests
}

/// Processor time that this thread has used.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
