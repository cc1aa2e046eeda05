//! `--strace-summary`: how often each call was made, how often it failed, and how long it took.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use litebox::platform::{HostFd, host};
use litebox_common_linux::{Arch, calls};

use crate::Kernel;

/// Numbers of calls are below this; others are counted together, as the last one.
const MOST: usize = 512;

/// Figures of one call.
#[derive(Default)]
struct Count {
    calls: AtomicU64,
    errors: AtomicU64,
    nanoseconds: AtomicU64,
}

/// Figures of all calls, of 64-bit and then of 32-bit programs; none without `--strace-summary`.
#[derive(Default)]
pub(crate) struct CallCounts(Vec<Count>);

/// A line of the table.
struct Line {
    name: &'static str,
    calls: u64,
    errors: u64,
    nanoseconds: u64,
}

impl CallCounts {
    /// With room for figures, or without.
    pub(crate) fn new(wanted: bool) -> Self {
        Self((0..if wanted { 2 * MOST } else { 0 }).map(|_| Count::default()).collect())
    }

    /// The figures of a number.
    fn of(&self, arch: Arch, number: u32) -> Option<&Count> {
        let at = (number as usize).min(MOST - 1);
        self.0.get(match arch {
            Arch::X86_64 => at,
            Arch::X86 => MOST + at,
        })
    }

    /// A call has ended.
    pub(crate) fn add(&self, arch: Arch, number: u32, failed: bool, spent: Duration) {
        let Some(count) = self.of(arch, number) else { return };
        count.calls.fetch_add(1, Ordering::Relaxed);
        count.errors.fetch_add(failed.into(), Ordering::Relaxed);
        count.nanoseconds.fetch_add(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The calls that were made, those first that took longest.
    fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = calls()
            .filter_map(|call| {
                let mut line = Line { name: call.name, calls: 0, errors: 0, nanoseconds: 0 };
                for arch in [Arch::X86_64, Arch::X86] {
                    let Some(count) = call.number(arch).and_then(|number| self.of(arch, number)) else { continue };
                    line.calls += count.calls.load(Ordering::Relaxed);
                    line.errors += count.errors.load(Ordering::Relaxed);
                    line.nanoseconds += count.nanoseconds.load(Ordering::Relaxed);
                }
                (line.calls > 0).then_some(line)
            })
            .collect();
        lines.sort_by(|a, b| b.nanoseconds.cmp(&a.nanoseconds).then(a.name.cmp(b.name)));
        lines
    }
}

impl Kernel {
    /// The sandbox ends: the table is written, if there is to be one.
    pub(crate) fn write_call_counts(&self) {
        let Some(config) = self.config.strace.as_ref().filter(|config| config.counts()) else { return };
        host().write_trace(HostFd(config.fd), table(&self.call_counts.lines()).as_bytes());
    }
}

/// As strace(1) prints it.
fn table(lines: &[Line]) -> String {
    const RULE: &str = "------ ----------- ----------- --------- --------- ----------------\n";
    let sum = |figure: fn(&Line) -> u64| lines.iter().map(figure).fold(0, u64::saturating_add);
    let total = Line {
        name: "total",
        calls: sum(|line| line.calls),
        errors: sum(|line| line.errors),
        nanoseconds: sum(|line| line.nanoseconds),
    };
    let mut out = String::from("% time     seconds  usecs/call     calls    errors syscall\n");
    out.push_str(RULE);
    for line in lines {
        line.write(&mut out, total.nanoseconds);
    }
    out.push_str(RULE);
    total.write(&mut out, total.nanoseconds);
    out
}

impl Line {
    fn write(&self, out: &mut String, all: u64) {
        // Hundredths of a percent.
        let share = (u128::from(self.nanoseconds) * 10_000).checked_div(all.into()).unwrap_or(0);
        let time = Duration::from_nanos(self.nanoseconds);
        let each = (self.nanoseconds / 1000).checked_div(self.calls).unwrap_or(0);
        let errors = if self.errors == 0 { String::new() } else { alloc::format!("{}", self.errors) };
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "{:>3}.{:02} {:>4}.{:06} {each:>11} {:>9} {errors:>9} {}",
            share / 100,
            share % 100,
            time.as_secs(),
            time.subsec_micros(),
            self.calls,
            self.name
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, table};

    #[test]
    fn is_strace_s_table() {
        let lines = [
            Line { name: "read", calls: 3, errors: 0, nanoseconds: 1_500_000_000 },
            Line { name: "openat", calls: 10, errors: 2, nanoseconds: 500_000_000 },
        ];
        assert_eq!(
            table(&lines),
            "% time     seconds  usecs/call     calls    errors syscall\n\
             ------ ----------- ----------- --------- --------- ----------------\n \
             75.00    1.500000      500000         3           read\n \
             25.00    0.500000       50000        10         2 openat\n\
             ------ ----------- ----------- --------- --------- ----------------\n\
             100.00    2.000000      153846        13         2 total\n"
        );
        assert!(table(&[]).ends_with("  0.00    0.000000           0         0           total\n"));
    }
}
