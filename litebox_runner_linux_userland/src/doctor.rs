//! `litebox doctor`: what this host offers, what the absence of a thing costs, and whether a sandbox starts.

pub mod probe;

use std::fmt::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

/// Options of `litebox doctor`.
#[derive(Args)]
pub struct Options {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// How a thing stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// It is there.
    Here,
    /// It is not, and LiteBox does without it.
    Without,
    /// It is not, and nothing runs.
    Needed,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Here => "ok",
            Self::Without => "without",
            Self::Needed => "MISSING",
        }
    }
}

/// One thing that was looked at.
struct Row {
    name: &'static str,
    state: State,
    /// What was found, or what its absence costs.
    says: String,
}

/// What was found: with `needed`, nothing runs without it.
fn row(name: &'static str, here: bool, needed: bool, found: impl Into<String>, cost: &str) -> Row {
    let state = match (here, needed) {
        (true, _) => State::Here,
        (false, true) => State::Needed,
        (false, false) => State::Without,
    };
    Row { name, state, says: if here { found.into() } else { cost.into() } }
}

/// The report, and whether a sandbox runs here.
pub fn report(options: &Options) -> (String, bool) {
    let mut rows = vec![
        row(
            "FSGSBASE",
            probe::has_fsgsbase(),
            true,
            "",
            "the processor or kernel has none: nothing runs (Linux 5.9; not gVisor)",
        ),
        row(
            "Syscall User Dispatch",
            probe::has_user_dispatch(),
            false,
            "",
            "the first call at each place is caught by seccomp: slower until the place is patched, and for code that is not (Linux 5.11)",
        ),
        row("seccomp filters", probe::has_seccomp(), true, "", "there is no boundary without them: nothing runs"),
        notification(),
        outer_filter(),
    ];
    rows.extend(namespaces());
    rows.push(landlock());
    rows.push(row("openat2", probe::has_openat2(), false, "", "paths are resolved component by component (Linux 5.6)"));
    rows.push(row(
        "membarrier",
        probe::has_membarrier(),
        false,
        "",
        "call sites are not patched while several threads run",
    ));
    rows.push(cgroups());
    rows.push(row(
        "/proc",
        std::path::Path::new("/proc/self/status").exists(),
        false,
        "",
        "--memory cannot count, and processes of the sandbox are not checked a second time",
    ));
    rows.extend(limits());
    rows.extend(memory());
    rows.push(row(
        "/dev/net/tun",
        std::path::Path::new("/dev/net/tun").exists(),
        false,
        "",
        "no network by packets; sockets need none",
    ));
    rows.push(trial());
    let runs = rows.last().is_some_and(|row| row.state == State::Here);
    let text = if options.json { as_json(&rows) } else { as_text(&rows) };
    (text, runs)
}

fn notification() -> Row {
    const NAME: &str = "seccomp notification";
    match probe::listener() {
        probe::Listener::Works => row(NAME, true, false, "a refused host call is named", ""),
        probe::Listener::Taken => row(
            NAME,
            false,
            false,
            "",
            "somebody listens already (a container engine): a refused host call ends the sandbox, and its number is not known",
        ),
        probe::Listener::Absent => {
            row(NAME, false, false, "", "a refused host call ends the sandbox, and its number is not known (Linux 5.0)")
        }
    }
}

fn outer_filter() -> Row {
    let filters = probe::status_field("Seccomp_filters").or_else(|| probe::status_field("Seccomp"));
    let outer = filters.as_deref().is_some_and(|n| n != "0");
    let says = "a filter from outside is in force: every host call passes it, too";
    Row {
        name: "no filter from outside",
        state: if outer { State::Without } else { State::Here },
        says: if outer { says } else { "" }.into(),
    }
}

fn namespaces() -> Vec<Row> {
    let root = rustix::process::geteuid().is_root();
    let user = if root { 0 } else { libc::CLONE_NEWUSER };
    let tried = [
        (
            "user namespaces",
            libc::CLONE_NEWUSER,
            "an ordinary user's sandbox has no namespaces at all: one wall less behind the filter",
        ),
        (
            "PID namespaces",
            user | libc::CLONE_NEWPID,
            "its processes are numbered among those of the host; a guard ends them",
        ),
        ("network namespaces", user | libc::CLONE_NEWNET, "one wall less behind the filter, which has no socket call"),
        ("IPC namespaces", user | libc::CLONE_NEWIPC, "one wall less behind the filter, which has no such call"),
    ];
    tried.into_iter().map(|(name, flags, cost)| row(name, probe::may_unshare(flags), false, "", cost)).collect()
}

fn landlock() -> Row {
    let version = probe::landlock();
    row(
        "Landlock",
        version > 0,
        false,
        format!("version {version}"),
        "one wall less behind the filter, which opens no files (Linux 5.13)",
    )
}

fn cgroups() -> Row {
    let here = probe::writable_cgroup();
    let found = here.as_ref().map(|path| format!("{path} may be divided")).unwrap_or_default();
    row("cgroups", here.is_some(), false, found, "limits are kept by counting what the processes use")
}

fn limits() -> Vec<Row> {
    use rustix::process::{Resource, getrlimit};
    let maximum = |resource| getrlimit(resource).maximum;
    let enough = |limit: Option<u64>, wanted: u64| limit.is_none_or(|limit| limit >= wanted);
    let shown = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_string(), |limit| limit.to_string());
    let one = |name, resource, wanted, cost: &str| {
        let limit = maximum(resource);
        let says = shown(limit);
        row(name, enough(limit, wanted), false, says.clone(), &format!("{says}: {cost}"))
    };
    vec![
        one("open files (ulimit -n)", Resource::Nofile, 4096, "fewer processes at a time, and fewer open files"),
        one("processes (ulimit -u)", Resource::Nproc, 256, "programs start few threads and processes"),
        one(
            "address space (ulimit -v)",
            Resource::As,
            64 << 30,
            "the sandbox reserves more than that, and may not start",
        ),
        one(
            "file size (ulimit -f)",
            Resource::Fsize,
            8 << 30,
            "files in memory are counted as well: the sandbox may not start",
        ),
        one("locked memory (ulimit -l)", Resource::Memlock, 0, ""),
    ]
}

fn memory() -> Vec<Row> {
    let number = |path: &str| std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let strict = number("/proc/sys/vm/overcommit_memory") == Some(2);
    let noexec = number("/proc/sys/vm/memfd_noexec").is_some_and(|n| n >= 2);
    vec![
        row(
            "overcommit",
            !strict,
            false,
            "",
            "vm.overcommit_memory is 2: what the sandbox reserves counts, and it may not start",
        ),
        row(
            "executable memory files",
            !noexec,
            false,
            "",
            "vm.memfd_noexec is 2: root cannot run a litebox that others may not execute",
        ),
    ]
}

/// Runs a program.
fn trial() -> Row {
    const NAME: &str = "a sandbox runs";
    const PATIENCE: Duration = Duration::from_secs(20);
    let begin = Instant::now();
    let Ok(own) = std::env::current_exe() else {
        return row(NAME, false, true, "", "its own executable is not known (no /proc)");
    };
    let mut command = Command::new(own);
    let limit = format!("{}s", PATIENCE.as_secs());
    command.args(["run", "--profile", "none", "-w", "/", "--timeout", &limit, "--", "/bin/sh", "-c", "exit 42"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    match command.output() {
        Ok(output) if output.status.code() == Some(42) => {
            row(NAME, true, true, format!("in {:.1} ms", begin.elapsed().as_secs_f64() * 1000.0), "")
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().next().unwrap_or("it ended without a word").trim_start_matches("litebox: ");
            row(NAME, false, true, "", line)
        }
        Err(e) => row(NAME, false, true, "", &e.to_string()),
    }
}

fn as_text(rows: &[Row]) -> String {
    let mut out = format!("litebox {} on {}\n", env!("CARGO_PKG_VERSION"), probe::host());
    for row in rows {
        let line = format!("{:<8} {:<26} {}", row.state.word(), row.name, row.says);
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn as_json(rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| json!({ "name": row.name, "state": row.state.word().to_lowercase(), "says": row.says }))
        .collect();
    format!("{:#}\n", json!({ "version": env!("CARGO_PKG_VERSION"), "host": probe::host(), "found": rows }))
}
