//! Tests wait for states, not for times: `asleep.h`, `standstill::await_rest`, a loop that looks. What sleeps for a
//! fixed time all the same is named here, with the reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use litebox_test_support::Result;

/// How many fixed sleeps a file of `tests` may have, by the reason.
const REASONED: &[(&str, &[(&str, usize)])] = &[
    (
        "the time is what is tested, or the call that sleeps",
        &[
            ("guests/context_switches.c", 1),
            ("guests/getrusage.c", 5),
            ("guests/process_vm_readv.c", 2),
            ("guests/sa_restart.c", 4),
            ("guests/timers.c", 9),
            ("strace/calls.c", 1),
        ],
    ),
    (
        "something comes at a moment of its own in each round",
        &[
            ("guests/clone.c", 2),
            ("guests/file_locks.c", 1),
            ("guests/patched_text.c", 1),
            ("guests/sigkill.c", 3),
            ("guests/tgkill.c", 6),
            ("guests/vfork.c", 2),
            ("lifetime.rs", 1),
        ],
    ),
    (
        "nothing is to happen meanwhile",
        &[
            ("guests/mq_notify.c", 1),
            ("guests/rseq_taken_away.c", 3),
            ("guests/setuid_exec_limit.c", 1),
            ("guests/sigqueue.c", 1),
            ("guests/tcp.c", 1),
            ("guests/unshare_files.c", 1),
            ("lifetime.rs", 1),
        ],
    ),
    (
        "what it uses is measured, or taken from it, meanwhile",
        &[("guests/hungry.c", 7), ("guests/neighbours.c", 2), ("limits.rs", 2), ("network_in_use/bulk.rs", 1)],
    ),
    ("a process that holds every lock of the kernel cannot say so", &[("lifetime.rs", 3)]),
    ("who is to be killed may loop, or wait for anything", &[("guests/compromised_compat.c", 1)]),
    ("the host says nothing when it is so far", &[("guests/process_groups.c", 1), ("guests/process_vm_readv.c", 1)]),
    ("the clock of files goes in steps", &[("guests/text_busy.c", 1)]),
    (
        "the loop around it looks again",
        &[
            ("guests/inet.h", 1),
            ("guests/pty_packet_mode.c", 1),
            ("guests/random_calls.c", 1),
            ("guests/thread_group_leader.c", 1),
            ("guests/tty_lines.c", 1),
            ("surroundings.rs", 1),
        ],
    ),
];

/// Whether a line of Rust or C sleeps.
fn sleeps(line: &str, is_rust: bool) -> bool {
    let calls: &[&str] = if is_rust { &["thread::sleep("] } else { &["usleep(", "nanosleep(", " sleep(", "(sleep("] };
    !line.trim_start().starts_with("//") && calls.iter().any(|call| line.contains(call))
}

/// Whether the lines up to a sleep begin a loop that ends when something is so.
fn looks_again(lines: &[&str], is_rust: bool) -> bool {
    let counts_only = |line: &str| line.contains("for (") && !line.contains("&&") && !line.contains("(;;");
    let words: &[&str] = if is_rust { &["while ", "loop {", "until"] } else { &["while "] };
    let begins = |line: &str| !is_rust && line.contains("for (") && !counts_only(line);
    lines.iter().any(|line| words.iter().any(|word| line.contains(word)) || begins(line))
}

/// The numbers of the lines that sleep for a fixed time.
fn fixed(source: &str, is_rust: bool) -> Vec<usize> {
    let lines: Vec<&str> = source.lines().collect();
    let before = if is_rust { 9 } else { 1 };
    let is_fixed =
        |at: &usize| sleeps(lines[*at], is_rust) && !looks_again(&lines[at.saturating_sub(before)..=*at], is_rust);
    (0..lines.len()).filter(is_fixed).map(|at| at + 1).collect()
}

/// No file has more fixed sleeps than are named.
pub fn are_reasoned() -> Result {
    let mut allowed: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, count) in REASONED.iter().flat_map(|(_, files)| files.iter()) {
        *allowed.entry(name).or_default() += count;
    }
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut files = Vec::new();
    for ending in [".rs", ".c", ".h"] {
        super::files(&tests, ending, &mut files)?;
    }
    let (mut report, mut total) = (Vec::new(), 0);
    for path in files {
        let name = path.strip_prefix(&tests).unwrap_or(&path).to_string_lossy();
        if name.starts_with("documentation") {
            continue;
        }
        let found = fixed(&fs::read_to_string(&path)?, name.ends_with(".rs"));
        total += found.len();
        if found.len() > allowed.get(&*name).copied().unwrap_or(0) {
            report.push(format!("{name}, lines {found:?}"));
        }
    }
    println!("{total} fixed sleeps");
    if report.is_empty() {
        return Ok(());
    }
    let lines = report.join("\n");
    Err(format!("fixed sleeps: wait for a state instead (guests/asleep.h, await_rest, a loop):\n{lines}").into())
}
