//! Where a benchmark runs: the bare host, LiteBox, and other sandboxes that are on PATH.

use std::path::{Path, PathBuf};
use std::process::Command;

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

    /// The sides that can be measured on this machine.
    pub fn present() -> Vec<Self> {
        let on_path = |name: &str| {
            std::env::var_os("PATH").is_some_and(|all| std::env::split_paths(&all).any(|dir| dir.join(name).is_file()))
        };
        let mut sides = vec![Self::Host, Self::Litebox];
        sides.extend([Self::Runsc, Self::Bwrap].into_iter().filter(|side| on_path(side.name())));
        sides
    }
}

/// The directories of a run; all sides see them at the same paths.
pub struct Places {
    /// Guest programs, only read.
    pub programs: PathBuf,
    /// Data on a disk of the host, copied when it is written to.
    pub disk: PathBuf,
    /// Empty, in memory: a tmpfs of the host, the sandbox's own file system in memory elsewhere.
    pub memory: PathBuf,
}

/// The command that runs `args` in `cwd` on `side`.
pub fn command(side: Side, litebox: &Path, places: &Places, cwd: &Path, args: &[String]) -> Command {
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
            command.arg("--tmpfs").arg(&places.memory).arg("-w").arg(cwd).arg("--");
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
            command.arg("--ro-bind").arg(&places.programs).arg(&places.programs);
            command.arg("--tmpfs").arg(&places.memory).arg("--chdir").arg(cwd).arg("--");
            command
        }
    };
    command.args(args).current_dir(cwd);
    command
}
