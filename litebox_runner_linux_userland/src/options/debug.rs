//! Looking at what the program does, and how its calls are caught.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use litebox_common_linux::CallSet;
use litebox_platform_linux_userland::Patching;
use litebox_platform_linux_userland::host::interception::Interception;

/// How the guest's system calls are caught.
#[derive(Clone, Copy, ValueEnum)]
pub enum Backend {
    /// The rewriter if the processor can do it, else traps.
    Auto,
    /// Calls trap a few times; then their sites lead straight into the kernel.
    Rewriter,
    /// Every call traps: by Syscall User Dispatch, or by seccomp where the host has none.
    Trap,
    /// Every call traps by Syscall User Dispatch.
    #[value(hide = true)]
    Sud,
    /// Every call traps by seccomp.
    #[value(hide = true)]
    Seccomp,
}

/// Which times `--strace` prints.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Times {
    /// The time of the day (strace -tt).
    Clock,
    /// Seconds since 1970 (strace -ttt).
    Unix,
    /// Seconds since the line before (strace -r).
    Relative,
    /// How long each call took (strace -T).
    Spent,
}

/// Calls as `--strace` names them. A word that is none is often meant as a file.
fn calls(list: &str) -> Result<CallSet, String> {
    let is_file = list.contains(['/', '.']);
    let told = |why: String| if is_file { format!("{why}; for a file say --strace-output {list}") } else { why };
    CallSet::named(list).map_err(told)
}

/// How figures are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatsFormat {
    /// A line each.
    Text,
    /// One JSON object in a line.
    Json,
}

impl Backend {
    /// As the platform has it.
    pub fn parts(self) -> (Interception, Patching) {
        match self {
            Self::Auto => (Interception::Auto, Patching::Auto),
            Self::Rewriter => (Interception::Auto, Patching::On),
            Self::Trap => (Interception::Auto, Patching::Off),
            Self::Sud => (Interception::Sud, Patching::Off),
            Self::Seccomp => (Interception::Seccomp, Patching::Off),
        }
    }
}

impl DebugOptions {
    /// Whether calls are printed or counted.
    pub fn traces(&self) -> bool {
        self.strace.is_some() || self.strace_summary || self.strace_output.is_some() || !self.strace_times.is_empty()
    }

    /// Whether the sandbox is to report its figures at the end.
    pub fn wants_figures(&self) -> bool {
        self.stats.is_some() || self.json || self.status_fd.is_some()
    }
}

/// What is told of the program's calls.
#[derive(Args)]
#[command(next_help_heading = "Looking inside")]
#[expect(clippy::struct_excessive_bools, reason = "they are options without values")]
pub struct DebugOptions {
    /// Print each call of the program, as strace(1) does, or only these: names and classes, as in openat,%network or
    /// !futex.
    #[arg(
        long, value_name = "CALLS", num_args = 0..=1, require_equals = true, default_missing_value = "all",
        value_parser = calls
    )]
    pub strace: Option<CallSet>,
    /// Print them to this file, or to stderr (-). Else they go to stderr, or, where that is a pipe, to a file
    /// litebox-PID.strace.
    #[arg(long, value_name = "FILE")]
    pub strace_output: Option<PathBuf>,
    /// Print no calls but a table of them at the end: how often, how many errors, how long.
    #[arg(long)]
    pub strace_summary: bool,
    /// Print the time before each line: of the day, since 1970, or since the line before; and behind each call how long
    /// it took.
    #[arg(long, value_name = "TIMES", value_enum, value_delimiter = ',', num_args = 0..=1, require_equals = true,
        default_missing_value = "clock")]
    pub strace_times: Vec<Times>,
    /// Print at the end how many calls, traps and faults there were, and how much memory was used.
    #[arg(long, value_name = "FORMAT", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub stats: Option<StatsFormat>,
    /// Write a line of JSON to this descriptor when the sandbox starts, and one when it has ended: its status, who
    /// ended it and why, time and memory.
    #[arg(long, value_name = "FD")]
    pub status_fd: Option<i32>,
    /// Write the same lines to stderr.
    #[arg(long)]
    pub json: bool,
    /// How the guest's system calls are caught.
    #[arg(long, value_name = "WAY", value_enum, default_value = "auto")]
    pub interception_backend: Backend,
    /// Do as if the host had no namespaces.
    #[arg(long, hide = true)]
    pub test_no_namespaces: bool,
    /// Do as if the host let nobody make control groups.
    #[arg(long, hide = true)]
    pub test_no_cgroup: bool,
    /// Tell the guest where the host-call gadget is.
    #[arg(long, hide = true)]
    pub test_hostile: bool,
}
