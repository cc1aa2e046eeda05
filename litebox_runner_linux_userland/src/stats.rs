//! `litebox run --stats`: what the sandbox counted, for the user.

use std::fmt::Write;

use litebox_protocol::{STAT_FIGURES, figure};

/// One line a figure.
const LINES: [(&str, usize); 9] = [
    ("guest calls", figure::GUEST_CALLS),
    ("refused calls", figure::REFUSED_CALLS),
    ("bytes written", figure::BYTES_WRITTEN),
    ("host calls", figure::HOST_CALLS),
    ("traps", figure::TRAPS),
    ("faults", figure::FAULTS),
    ("kicks", figure::KICKS),
    ("patched sites", figure::PATCHED_SITES),
    ("shared code", figure::SHARED_CODE),
];

/// The lines to print.
pub fn report(figures: Option<&[u64; STAT_FIGURES]>) -> String {
    let Some(figures) = figures else { return "litebox: no figures: the sandbox did not end by itself\n".into() };
    let mut out = String::new();
    for (name, at) in LINES {
        let _ = writeln!(out, "litebox: {name:<13} {:>10}", figures[at]);
    }
    let _ =
        writeln!(out, "litebox: {:<13} {:>10}{}", "refused sites", figures[figure::SKIPPED_SITES], reasons(figures));
    let kib = figures[figure::PEAK_MEMORY] >> 10;
    let _ = writeln!(out, "litebox: {:<13} {kib:>10} KiB (largest process)", "peak memory");
    out
}

/// Why sites were refused, in brackets.
fn reasons(figures: &[u64; STAT_FIGURES]) -> String {
    let counts = figures.iter().skip(figure::SKIPPED_BY_REASON);
    let reasons: Vec<_> = figure::SKIP_REASONS
        .iter()
        .zip(counts)
        .filter(|(_, n)| **n > 0)
        .map(|(why, n)| format!("{why}: {n}"))
        .collect();
    if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) }
}
