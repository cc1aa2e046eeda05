//! Where a benchmark runs: the bare host, LiteBox, and other sandboxes that are on PATH.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Where something runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Without any sandbox.
    Host,
    /// In ours.
    Litebox,
    /// In gVisor, rootless.
    Runsc,
    /// In bubblewrap.
    Bwrap,
}

impl Side {
    /// As it stands over a column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Litebox => "litebox",
            Self::Runsc => "runsc",
            Self::Bwrap => "bwrap",
        }
    }

    /// The bare host, LiteBox and those of the `peers` that are on PATH.
    pub fn with_peers(peers: Peers) -> Vec<Self> {
        let on_path = |name: &str| {
            std::env::var_os("PATH").is_some_and(|all| std::env::split_paths(&all).any(|dir| dir.join(name).is_file()))
        };
        let wanted: &[Self] = match peers {
            Peers::None => &[],
            Peers::Runsc => &[Self::Runsc],
            Peers::Bwrap => &[Self::Bwrap],
            Peers::All => &[Self::Runsc, Self::Bwrap],
        };
        let mut sides = vec![Self::Host, Self::Litebox];
        sides.extend(wanted.iter().copied().filter(|side| on_path(side.name())));
        sides
    }

    /// Of `rounds` rounds, how many this side takes part in. gVisor is slow, and its figures differ by factors.
    pub fn rounds(self, rounds: usize) -> usize {
        if self == Self::Runsc { rounds.min(3) } else { rounds }
    }
}

/// Which other sandboxes are measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Peers {
    /// None.
    None,
    /// gVisor.
    Runsc,
    /// bubblewrap.
    Bwrap,
    /// All that are on PATH.
    All,
}

/// The directories of a run.
pub struct Places {
    /// Guest programs, only read.
    pub programs: PathBuf,
    /// Data on a disk of the host, copied when it is written to.
    pub disk: PathBuf,
    /// Data on a disk of the host, which is changed.
    pub volume: PathBuf,
    /// Empty, in memory: a tmpfs of the host, the sandbox's own file system in memory elsewhere.
    pub memory: PathBuf,
    /// Empty, on the disk: what is written there stays in gVisor's memory. gVisor has a /dev of its own and shows no
    /// `memory`.
    pub overlaid: PathBuf,
    /// Debian's programs for 32-bit x86, only read.
    pub i386: PathBuf,
}

impl Places {
    /// Where a side works in memory.
    pub fn memory_of(&self, side: Side) -> &Path {
        if side == Side::Runsc { &self.overlaid } else { &self.memory }
    }
}

/// The command that runs `args` in `cwd` on `side`; `options` are those of `litebox run`.
pub fn command(
    side: Side,
    litebox: &Path,
    places: &Places,
    options: &[String],
    cwd: &Path,
    args: &[String],
) -> Command {
    let volume = |dir: &Path, mode: &str| format!("{0}:{0}:{mode}", dir.display());
    let mut command = match side {
        Side::Host => {
            let mut command = Command::new("env");
            command.arg("--");
            command
        }
        Side::Litebox => {
            let mut command = Command::new(litebox);
            command.args(["run", "-v", &volume(&places.programs, "ro"), "-v", &volume(&places.disk, "cow")]);
            if places.i386.is_dir() {
                command.args(["-v", &volume(&places.i386, "ro")]);
            }
            command.arg("--tmpfs").arg(&places.memory).arg("-w").arg(cwd).args(options).arg("--");
            command
        }
        Side::Runsc => {
            let mut command = Command::new("runsc");
            command.args(["--rootless", "--network=none", "--overlay2=all:memory", "do", "--cwd"]).arg(cwd);
            command
        }
        Side::Bwrap => {
            let mut command = Command::new("bwrap");
            command.args(["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]);
            command.arg("--bind").arg(&places.disk).arg(&places.disk);
            command.arg("--bind").arg(&places.volume).arg(&places.volume);
            command.arg("--ro-bind").arg(&places.programs).arg(&places.programs);
            if places.i386.is_dir() {
                command.args(["-v", &volume(&places.i386, "ro")]);
            }
            command.arg("--tmpfs").arg(&places.memory).arg("--chdir").arg(cwd).arg("--");
            command
        }
    };
    command.args(args).current_dir(cwd);
    command
}
