//! Which of several errors a call answers: every served call of the table is made with combinations of bad descriptors,
//! addresses, flags and lengths, on the bare host and in the sandbox, and must answer the same.
//!
//! The combinations come from the types of the table's arguments; `guests/sweep.c` makes the calls, each in a process
//! of its own.

use std::collections::BTreeMap;
use std::fmt::Write;

use libtest_mimic::Failed;
use litebox_common_linux::calls;
use litebox_test_support::Case;
use litebox_test_support::compile::{self, Variant};

/// Calls that are not made, and why.
const LEFT_OUT: &[(&str, &[&str])] = &[
    ("end or stop the process that makes them", &["exit", "exit_group", "pause", "rt_sigreturn", "restart_syscall"]),
    ("make processes that go on", &["fork", "vfork", "clone", "clone3"]),
    (
        "reach processes of the host",
        &["kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"],
    ),
    (
        "change the whole host",
        &["clock_settime", "settimeofday", "adjtimex", "clock_adjtime", "setpriority", "ioprio_set"],
    ),
    ("are slow and cannot fail", &["sync", "syncfs", "sched_yield"]),
    ("depend on what the host grants", &["unshare", "chroot", "rseq"]),
    ("take away the memory that the test runs in", &["munmap"]),
];

/// Answers that differ and are to differ: the beginning of a call as it is printed, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("msgrcv(0, ", "the queue was made without permissions, and root of a sandbox has no CAP_IPC_OWNER"),
    (
        "fallocate(writer, 0, 0, most)",
        "the longest file in memory is longer than one of ext4, so there is no room for it first",
    ),
    ("fchmod(socket", "a socket has no permissions of its own here"),
    ("fchown(socket", "a socket has no owner of its own here"),
    ("sendfile(socket, dir, zeros, 0)", "nothing is sent, whatever would send it"),
    ("shmat(0, ", "numbers of segments start elsewhere"),
    ("shmctl(0, 0", "numbers of segments start elsewhere"),
];

/// The kind of an argument as the guest knows it.
fn letter(kind: &str) -> char {
    match kind {
        "RawFd" => 'D',
        "DirFd" => 'A',
        "UserStr" => 'S',
        "Address" => 'Q',
        "usize" | "isize" => 'Z',
        "Word64" | "WordPair" => 'W',
        pointer if pointer.starts_with("User") => 'P',
        _ => 'N',
    }
}

fn wanted() -> String {
    let is_left_out = |name: &str| LEFT_OUT.iter().any(|(_, names)| names.contains(&name));
    let mut lines = String::new();
    for call in calls().filter(|call| call.support.refusal().is_none() && !is_left_out(call.name)) {
        let Some(number) = call.x86_64 else { continue };
        let letters: String = call.arguments().map(|(_, kind)| letter(kind)).collect();
        let _ = writeln!(lines, "{} {number} {letters}", call.name);
    }
    lines
}

/// What was answered, by call.
fn answers(output: &str) -> BTreeMap<&str, &str> {
    output.lines().filter_map(|line| line.rsplit_once(" = ")).collect()
}

fn errors_come_in_the_order_of_linux() -> litebox_test_support::Result {
    if !compile::have(Variant::Static.compiler()) {
        return litebox_test_support::skip("no gcc on this machine");
    }
    let binary = compile::guest("sweep.c", Variant::Static, &[])?;
    let case = Case::guest("error_order", &binary).in_memory().stdin(wanted()).timeout(150);
    let (host, sandbox) = case.run_both()?;
    let Some(sandbox) = sandbox else { return Ok(()) };
    if host.timed_out || sandbox.timed_out || sandbox.status != 0 {
        return Err(format!("not all calls were made\n{sandbox}").into());
    }
    let (host, sandbox) = (host.out(), sandbox.out());
    let (host, sandbox) = (answers(&host), answers(&sandbox));
    let is_different = |call: &str| DIFFERENT.iter().any(|(start, _)| call.starts_with(start));
    let mut report = String::new();
    for (call, wanted) in host.iter().filter(|(call, _)| !is_different(call)) {
        let got = sandbox.get(call).copied().unwrap_or("not made");
        if got != *wanted {
            let _ = writeln!(report, "{call}: {wanted} on the bare host, {got} in the sandbox");
        }
    }
    println!("{} calls made", host.len());
    if host.len() < 10_000 {
        return Err(Failed::from(format!("only {} calls were made", host.len())));
    }
    if report.is_empty() { Ok(()) } else { Err(Failed::from(report)) }
}

fn main() {
    litebox_test_support::run_table(&[("errors_come_in_the_order_of_linux", errors_come_in_the_order_of_linux)]);
}
