//! Looking at what the program does, and how its calls are caught.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use litebox_platform_linux_userland::Patching;
use litebox_platform_linux_userland::host::interception::Interception;

/// How the guest's system calls are caught.
#[derive(Clone, Copy, ValueEnum)]
pub enum Backend {
    /// The rewriter if the processor can do it, else traps.
    Auto,
    /// Calls trap once; then their sites lead straight into the kernel.
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
    /// Print each call of the program, as strace(1) does, to stderr or to a file.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub strace: Option<PathBuf>,
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
