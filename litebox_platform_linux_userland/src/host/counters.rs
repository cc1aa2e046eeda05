//! What `--stats` counts on the host's side. Relaxed: they are figures, not decisions.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::host::call::{host_call, nr};
use crate::host::published::Published;
use crate::host::thread_block::SLOT;

/// Threads on neighbouring kernel stacks count host calls on different cache lines.
const LINES: usize = 32;

/// Counters of a sandbox.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// The broker wants the figures at the end.
    pub(crate) wanted: bool,
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

/// Those of this sandbox.
pub(crate) static COUNTERS: Published<Counters> = Published::nothing();

impl Counters {
    /// Nothing was counted yet.
    pub(crate) fn new(wanted: bool) -> Self {
        Self { wanted, ..Self::default() }
    }
    /// Calls to the host, of all threads.
    pub(crate) fn host_calls(&self) -> u64 {
        self.host_calls.iter().map(|line| line.0.load(Ordering::Relaxed)).sum()
    }
    /// The largest resident memory of a process that has ended, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.peak_memory.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicU64);

/// Counts a call to the host: an addition on a line that hardly any other thread uses.
#[inline]
pub(crate) fn count_host_call() {
    let here = 0u8;
    let Some(counters) = COUNTERS.try_get() else { return };
    let line = (&raw const here as usize / SLOT) % LINES;
    if let Some(line) = counters.host_calls.get(line) {
        line.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The calling process is about to end.
pub(crate) fn note_peak_memory() {
    if !COUNTERS.wanted {
        return;
    }
    // struct rusage: ru_maxrss, in KiB, comes behind the two times.
    let mut usage = [0u64; 18];
    // SAFETY: the host writes one struct rusage of 144 bytes.
    if unsafe { host_call!(nr::GETRUSAGE, 0, usage.as_mut_ptr()) }.is_ok() {
        COUNTERS.peak_memory.fetch_max(usage[4] << 10, Ordering::Relaxed);
    }
}
