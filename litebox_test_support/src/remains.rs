//! What is left of a sandbox: processes that run a copy of `litebox` which nobody else runs.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A directory that every user may read, with a `litebox` of its own; removed at the end.
pub struct Own {
    /// The directory.
    pub dir: PathBuf,
}

impl Own {
    /// With a name that tells what it is for.
    pub fn new(name: &str) -> io::Result<Self> {
        let dir = Path::new("/var/tmp").join(format!("litebox-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        fs::copy(crate::program(), dir.join("litebox"))?;
        Ok(Self { dir })
    }

    /// Its `litebox`.
    pub fn program(&self) -> PathBuf {
        self.dir.join("litebox")
    }

    /// Ids of the processes that run it. Only root is told of all of them.
    pub fn running(&self) -> Vec<i32> {
        let program = self.program();
        let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
        let runs_it = |path: &PathBuf| fs::read_link(path.join("exe")).is_ok_and(|exe| exe == program);
        let id = |path: PathBuf| path.file_name()?.to_str()?.parse().ok();
        all.filter_map(|entry| Some(entry.ok()?.path())).filter(runs_it).filter_map(id).collect()
    }

    /// Those that are still there after `patience`; what they are doing, to be shown.
    pub fn left(&self, patience: Duration) -> Vec<String> {
        let until = Instant::now() + patience;
        while !self.running().is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let tell = |pid: i32| {
            let field = |name: &str| {
                let text = fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
                text.lines()
                    .filter(|line| !line.contains(':') || line.starts_with("State") || line.starts_with("PPid"))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            format!("{pid}: {} {} in {}", field("comm"), field("status"), field("wchan"))
        };
        self.running().into_iter().map(tell).collect()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.dir));
    }
}
