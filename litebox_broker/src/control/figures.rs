//! What a sandbox uses, for who asks: as /proc tells it, by its processes that live.

use std::fs;
use std::time::Instant;

use litebox_protocol::control::Figures;

use crate::process::Sandboxed;
use crate::usage::{Process, Processes};

/// Looks at the processes of one sandbox.
pub(super) struct Gauge {
    processes: Processes,
    memory_limit: u64,
    since: Instant,
}

impl Gauge {
    pub(super) fn new(sandboxed: Sandboxed, memory: Option<u64>) -> Self {
        Self { processes: Processes::of(sandboxed), memory_limit: memory.unwrap_or(0), since: Instant::now() }
    }

    /// The figures now; zeros where /proc tells nothing.
    pub(super) fn read(&mut self) -> Figures {
        let all = self.processes.look().unwrap_or_default();
        // All of them map the same shared memory.
        let shared = all.iter().map(|process| process.shared).max().unwrap_or(0);
        Figures {
            memory: all.iter().map(|process| process.private + process.own).sum::<u64>() + shared,
            memory_limit: self.memory_limit,
            cpu: all.iter().filter_map(cpu_time).sum(),
            processes: all.iter().filter(|process| !process.ended).count() as u64,
            age: u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// CPU time of a process in nanoseconds (proc_pid_stat(5): fields 14 and 15, in clock ticks).
fn cpu_time(process: &Process) -> Option<u64> {
    const UTIME: usize = 11;
    let text = fs::read_to_string(format!("/proc/{}/stat", process.pid)).ok()?;
    // The name, in brackets, may contain anything.
    let fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let ticks: u64 = fields.skip(UTIME).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Some(ticks.saturating_mul(1_000_000_000 / per_second.max(1)))
}
