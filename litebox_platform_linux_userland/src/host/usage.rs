//! What processes and threads have used, as the host counts it. A host process that served other guests before, one
//! after the other, had used something when the present one came: that is not told.

use core::sync::atomic::Ordering;
use core::time::Duration;

use litebox::platform::{ClockId, HostThread, Usage};

use crate::host::call::{host_call, nr};
use crate::host::clock::{self, Timespec};
use crate::host::process_block::ProcessBlock;
use crate::host::thread_block::{ThreadBlock, current};

/// What was used before the present guest came.
#[derive(Clone, Copy, Default)]
pub(crate) struct Before {
    pub(crate) usage: Usage,
    pub(crate) cpu: Duration,
}

impl Before {
    /// What the calling process has used until now.
    pub(crate) fn of_process() -> Self {
        Self { usage: raw(WHOLE_PROCESS), cpu: clock::by_host(ClockId::ProcessCpu) }
    }
    /// What the calling thread has used until now.
    pub(crate) fn of_thread() -> Self {
        Self { usage: raw(ONE_THREAD), cpu: clock::by_host(ClockId::ThreadCpu) }
    }
}

const WHOLE_PROCESS: usize = 0;
const ONE_THREAD: usize = 1;

/// getrusage(2) of the host.
fn raw(who: usize) -> Usage {
    let mut usage = [0u64; 18];
    // SAFETY: the host writes one struct rusage of 144 bytes.
    let _ = unsafe { host_call!(nr::GETRUSAGE, who, usage.as_mut_ptr()) };
    let time = |i: usize| Duration::from_secs(usage[i]) + Duration::from_micros(usage[i + 1]);
    Usage {
        user: time(0),
        system: time(2),
        max_resident: usage[4],
        minor_faults: usage[8],
        major_faults: usage[9],
        blocks_in: usage[11],
        blocks_out: usage[12],
        voluntary_switches: usage[16],
        involuntary_switches: usage[17],
    }
}

/// Of the calling process, or the calling thread.
pub(crate) fn own(thread_only: bool) -> Usage {
    let block = current();
    if thread_only {
        raw(ONE_THREAD).since(block.map(|b| b.before.usage).unwrap_or_default())
    } else {
        raw(WHOLE_PROCESS).since(before(block.as_deref()).usage)
    }
}

/// What the process of a thread had used before.
fn before(block: Option<&ThreadBlock>) -> Before {
    block.and_then(ThreadBlock::process_block).map(ProcessBlock::before).unwrap_or_default()
}

/// CPU time that the calling process had used before: its clock began with that.
pub(crate) fn process_cpu_before() -> Duration {
    before(current().as_deref()).cpu
}

/// CPU time that the calling thread had used before.
pub(crate) fn thread_cpu_before() -> Duration {
    current().map(|b| b.before.cpu).unwrap_or_default()
}

/// CPU time of a thread of the calling process; `None` when it has gone.
pub(crate) fn of_thread(thread: &HostThread) -> Option<Duration> {
    /// The clock of a thread's whole CPU time, behind the complement of its id.
    const THREAD_SCHEDULED: i32 = 6;
    let tid = thread.tid.load(Ordering::Relaxed);
    if thread.alive.load(Ordering::Acquire) == 0 {
        return None;
    }
    if tid == 0 {
        // It has not run yet.
        return Some(Duration::ZERO);
    }
    let mut time = Timespec::default();
    // SAFETY: the host writes one timespec.
    unsafe { host_call!(nr::CLOCK_GETTIME, (!tid << 3) | THREAD_SCHEDULED, &raw mut time) }.ok()?;
    Some(time.duration().saturating_sub(Duration::from_nanos(thread.cpu_before.load(Ordering::Relaxed))))
}
