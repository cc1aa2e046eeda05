//! `litebox run --stats`: what the sandbox counted, for the person.

use std::fmt::Write;

use litebox::platform::broker_protocol::{STAT_FIGURES, figure};

/// One line a figure.
const LINES: [(&str, usize); 5] = [
    ("guest calls", figure::GUEST_CALLS),
    ("host calls", figure::HOST_CALLS),
    ("traps", figure::TRAPS),
    ("faults", figure::FAULTS),
    ("kicks", figure::KICKS),
];

/// The lines to print.
pub fn report(figures: Option<&[u64; STAT_FIGURES]>) -> String {
    let Some(figures) = figures else { return "litebox: no figures: the sandbox did not end by itself\n".into() };
    let mut out = String::new();
    for (name, at) in LINES {
        let _ = writeln!(out, "litebox: {name:<12} {:>10}", figures[at]);
    }
    let kib = figures[figure::PEAK_MEMORY] >> 10;
    let _ = writeln!(out, "litebox: {:<12} {kib:>10} KiB (largest process)", "peak memory");
    out
}
