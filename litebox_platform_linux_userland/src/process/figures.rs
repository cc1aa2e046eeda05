//! The figures of `--stats`, from all layers.

use core::sync::atomic::Ordering;

use litebox::platform::north::north;
use litebox_protocol::{STAT_FIGURES, figure};

use crate::entry::patch::PATCH_COUNTS;
use crate::host::counters::COUNTERS;

/// The figures of the whole sandbox, the North's included.
pub(crate) fn figures() -> [u64; STAT_FIGURES] {
    let mut figures = [0; STAT_FIGURES];
    north().figures(&mut figures);
    figures[figure::HOST_CALLS] = COUNTERS.host_calls();
    figures[figure::TRAPS] = COUNTERS.traps.load(Ordering::Relaxed);
    figures[figure::FAULTS] = COUNTERS.faults.load(Ordering::Relaxed);
    figures[figure::KICKS] = COUNTERS.kicks.load(Ordering::Relaxed);
    figures[figure::PEAK_MEMORY] = COUNTERS.peak_memory();
    let sites = &*PATCH_COUNTS;
    figures[figure::PATCHED_SITES] = sites.patched();
    figures[figure::SHARED_CODE] = sites.shared();
    for (figure, (_, count)) in figures.iter_mut().skip(figure::SKIPPED_BY_REASON).zip(sites.skipped()) {
        *figure = count;
    }
    figures[figure::SKIPPED_SITES] = sites.skipped().map(|(_, count)| count).sum();
    figures
}
