//! What `--stats` counts on the host's side. Relaxed: they are figures, not decisions.

use core::sync::atomic::{AtomicU64, Ordering};

use litebox::platform::north::north;
use litebox_protocol::{STAT_FIGURES, figure};

use crate::host::call::{host_call, nr};
use crate::sandbox::{sandbox, try_sandbox};
use crate::thread::stack::SLOT;

/// Threads on neighbouring kernel stacks count host calls on different cache lines.
const LINES: usize = 32;

/// Counters of a sandbox.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Guest calls that came by trap.
    pub(crate) traps: AtomicU64,
    /// Processor exceptions of guest code and of the kernel on its behalf.
    pub(crate) faults: AtomicU64,
    /// Interruptions of running guest code.
    pub(crate) kicks: AtomicU64,
    /// Largest resident memory of a process that has ended, in bytes.
    peak_memory: AtomicU64,
    host_calls: [Line; LINES],
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicU64);

/// Counts a call to the host: an addition on a line that hardly any other thread uses.
#[inline]
pub(crate) fn count_host_call() {
    let here = 0u8;
    let Some(sandbox) = try_sandbox() else { return };
    let line = (&raw const here as usize / SLOT) % LINES;
    if let Some(line) = sandbox.counters.host_calls.get(line) {
        line.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The calling process is about to end.
pub(crate) fn note_peak_memory() {
    if !sandbox().settings.stats {
        return;
    }
    // struct rusage: ru_maxrss, in KiB, comes behind the two times.
    let mut usage = [0u64; 18];
    // SAFETY: the host writes one struct rusage of 144 bytes.
    if unsafe { host_call!(nr::GETRUSAGE, 0, usage.as_mut_ptr()) }.is_ok() {
        sandbox().counters.peak_memory.fetch_max(usage[4] << 10, Ordering::Relaxed);
    }
}

/// The figures of the whole sandbox, the North's included.
pub(crate) fn figures() -> [u64; STAT_FIGURES] {
    let counters = &sandbox().counters;
    let mut figures = [0; STAT_FIGURES];
    north().figures(&mut figures);
    figures[figure::HOST_CALLS] = counters.host_calls.iter().map(|line| line.0.load(Ordering::Relaxed)).sum();
    figures[figure::TRAPS] = counters.traps.load(Ordering::Relaxed);
    figures[figure::FAULTS] = counters.faults.load(Ordering::Relaxed);
    figures[figure::KICKS] = counters.kicks.load(Ordering::Relaxed);
    figures[figure::PEAK_MEMORY] = counters.peak_memory.load(Ordering::Relaxed);
    let sites = &sandbox().patch_counts;
    figures[figure::PATCHED_SITES] = sites.patched();
    figures[figure::SHARED_CODE] = sites.shared();
    for (figure, (_, count)) in figures.iter_mut().skip(figure::SKIPPED_BY_REASON).zip(sites.skipped()) {
        *figure = count;
    }
    figures[figure::SKIPPED_SITES] = sites.skipped().map(|(_, count)| count).sum();
    figures
}
