//! A control group for the sandbox, where the host lets us make one (cgroups(7)): it counts memory without a look at
//! each process, bounds it also between two looks, and gives out parts of a processor. Controllers of version 1 and of
//! version 2 serve.
//!
//! The group lies beneath our own, so whatever bounds us bounds the sandbox. The supervisor enters it before its first
//! instruction and nobody leaves it: the filter has no call that opens a file.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a group is wanted for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    pub milli_cpus: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    One,
    Two,
}

/// Names of our groups begin so; the id of the broker follows.
const PREFIX: &str = "litebox-";
/// A group that is older and whose broker is gone was left behind by one that was killed.
const STALE: Duration = Duration::from_secs(60);
/// How long the last process may take to leave.
const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(1);
/// Microseconds in which a share of the processors is given out.
const PERIOD: u64 = 100_000;

/// A group, removed when this is dropped. Nothing may be left in it then.
#[derive(Debug)]
pub struct Cgroup {
    directories: Vec<PathBuf>,
    /// Who writes "0" there enters.
    doors: Vec<OwnedFd>,
    /// How much memory is in use.
    memory: Option<Gauge>,
    keeps_processors: bool,
}

impl Cgroup {
    /// Makes one that serves at least a part of what is wanted; `None` where the host lets us make none.
    pub fn make(wanted: Wanted) -> Option<Self> {
        let mut group = Self { directories: Vec::new(), doors: Vec::new(), memory: None, keeps_processors: false };
        if let Some(limit) = wanted.memory {
            let _ = group.bound_memory(limit);
        }
        if let Some(thousandths) = wanted.milli_cpus {
            group.keeps_processors = group.bound_processors(thousandths).is_ok();
        }
        (group.memory.is_some() || group.keeps_processors).then_some(group)
    }

    /// Descriptors to write "0" to.
    pub fn doors(&self) -> Vec<RawFd> {
        self.doors.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// Whether it keeps the share of the processors.
    pub fn keeps_processors(&self) -> bool {
        self.keeps_processors
    }

    /// What tells how much memory is in use, if it does.
    pub fn take_gauge(&mut self) -> Option<Gauge> {
        self.memory.take()
    }

    fn bound_memory(&mut self, limit: u64) -> std::io::Result<()> {
        let (directory, version) = self.enter("memory")?;
        // The broker ends what passes the limit, and says so. This is for a burst between two of its looks.
        let wall = limit.saturating_add(limit / 2).to_string();
        match version {
            Version::One => {
                fs::write(directory.join("memory.limit_in_bytes"), &wall)?;
                // Not there where the host does not count swap.
                let _ = fs::write(directory.join("memory.memsw.limit_in_bytes"), &wall);
            }
            Version::Two => {
                fs::write(directory.join("memory.max"), &wall)?;
                let _ = fs::write(directory.join("memory.swap.max"), &wall);
                let _ = fs::write(directory.join("memory.oom.group"), "1");
            }
        }
        let mut gauge = Gauge::open(&directory, version)?;
        gauge.read()?;
        self.memory = Some(gauge);
        Ok(())
    }

    fn bound_processors(&mut self, thousandths: u64) -> std::io::Result<()> {
        let (directory, version) = self.enter("cpu")?;
        let quota = PERIOD * thousandths / 1000;
        match version {
            Version::One => {
                fs::write(directory.join("cpu.cfs_period_us"), PERIOD.to_string())?;
                fs::write(directory.join("cpu.cfs_quota_us"), quota.to_string())
            }
            Version::Two => fs::write(directory.join("cpu.max"), format!("{quota} {PERIOD}")),
        }
    }

    /// The group's directory for a controller, made if it is not there.
    fn enter(&mut self, controller: &str) -> std::io::Result<(PathBuf, Version)> {
        let (parent, version) = place_of(controller).ok_or(std::io::ErrorKind::NotFound)?;
        let directory = parent.join(format!("{PREFIX}{}", std::process::id()));
        if self.directories.contains(&directory) {
            return Ok((directory, version));
        }
        sweep(&parent);
        fs::create_dir(&directory)?;
        self.directories.push(directory.clone());
        let door = OpenOptions::new().write(true).open(directory.join("cgroup.procs"))?;
        self.doors.push(door.into());
        Ok((directory, version))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        for directory in &self.directories {
            // Refused as long as somebody is in it: whoever was just killed.
            while fs::remove_dir(directory).is_err() && directory.exists() && Instant::now() < deadline {
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// Removes groups that brokers left behind when they were killed. One that is in use cannot be removed.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<i32>().ok());
        let old = || {
            entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE))
        };
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) && old() {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Where groups for a controller are made: beneath our own.
fn place_of(controller: &str) -> Option<(PathBuf, Version)> {
    let (groups, mounts) =
        (fs::read_to_string("/proc/self/cgroup").ok()?, fs::read_to_string("/proc/self/mountinfo").ok()?);
    if let Some(directory) = directory_of(&groups, &mounts, Some(controller)) {
        return Some((directory, Version::One));
    }
    let directory = directory_of(&groups, &mounts, None)?;
    let control = directory.join("cgroup.subtree_control");
    let offers =
        || fs::read_to_string(&control).is_ok_and(|text| text.split_whitespace().any(|name| name == controller));
    // Refused where other processes are in our group.
    (offers() || fs::write(&control, format!("+{controller}")).is_ok() && offers()).then_some((directory, Version::Two))
}

/// The directory of our own group, for a controller of version 1 (`None`: of version 2).
fn directory_of(groups: &str, mounts: &str, controller: Option<&str>) -> Option<PathBuf> {
    let has = |list: &str, name: &str| list.split(',').any(|one| one == name);
    let own = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let ours = match controller {
            Some(name) => has(controllers, name),
            None => number == "0" && controllers.is_empty(),
        };
        ours.then_some(path)
    })?;
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, at) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let (name, options) = (kind.next()?, kind.nth(1)?);
        let ours = match controller {
            Some(controller) => name == "cgroup" && has(options, controller),
            None => name == "cgroup2",
        };
        let below = Path::new(own).strip_prefix(root).ok().filter(|_| ours)?;
        Some(Path::new(at).join(below))
    })
}

/// How much memory a group has in use.
#[derive(Debug)]
pub struct Gauge {
    version: Version,
    stat: File,
    /// The kernel's memory (version 1), or swap (version 2).
    rest: Option<File>,
    /// Tells whether the host has killed somebody in the group.
    kills: Option<File>,
    text: String,
}

impl Gauge {
    fn open(directory: &Path, version: Version) -> std::io::Result<Self> {
        let rest = if version == Version::One { "memory.kmem.usage_in_bytes" } else { "memory.swap.current" };
        let rest = File::open(directory.join(rest)).ok();
        let kills = if version == Version::One { "memory.oom_control" } else { "memory.events" };
        let kills = File::open(directory.join(kills)).ok();
        Ok(Self { version, stat: File::open(directory.join("memory.stat"))?, rest, kills, text: String::new() })
    }

    /// Whether the host has killed a process of the group because of its wall.
    pub fn has_killed(&mut self) -> bool {
        let Some(file) = &mut self.kills else { return false };
        read_again(file, &mut self.text).is_ok() && kills(&self.text) > 0
    }

    /// Bytes in use that cannot be given back: no page cache of the host's files. And of these: files in memory and
    /// shared memory.
    pub fn read(&mut self) -> std::io::Result<(u64, u64)> {
        let rest = match &mut self.rest {
            Some(file) => {
                read_again(file, &mut self.text)?;
                self.text.trim().parse().unwrap_or(0)
            }
            None => 0,
        };
        read_again(&mut self.stat, &mut self.text)?;
        used(&self.text, self.version, rest).ok_or_else(|| std::io::ErrorKind::InvalidData.into())
    }
}

fn read_again(file: &mut File, into: &mut String) -> std::io::Result<()> {
    into.clear();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_string(into).map(drop)
}

/// From the text of memory.events, or memory.oom_control.
fn kills(text: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}

/// From the text of memory.stat.
fn used(text: &str, version: Version, rest: u64) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.parse::<u64>().ok()
    };
    let (private, shared, kernel) = match version {
        Version::One => (field("total_rss")? + field("total_swap").unwrap_or(0), field("total_shmem")?, 0),
        Version::Two => {
            let parts = || ["kernel_stack", "pagetables", "slab"].into_iter().filter_map(field).sum();
            let kernel = field("kernel").unwrap_or_else(parts);
            (field("anon")?, field("shmem")?, kernel.saturating_sub(field("slab_reclaimable").unwrap_or(0)))
        }
    };
    Some((private + shared + kernel + rest, shared))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Version, directory_of, kills, used};

    const MOUNTS: &str = "25 24 0:22 / /sys rw - sysfs sysfs rw\n\
        30 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
        32 25 0:28 /docker/ab /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn our_own_group_is_found() {
        let groups = "4:memory:/user/one\n2:cpu,cpuacct:/\n0::/docker/ab/c\n";
        let at = |controller| directory_of(groups, MOUNTS, controller);
        assert_eq!(at(Some("memory")).as_deref(), Some(Path::new("/sys/fs/cgroup/memory/user/one")));
        assert_eq!(at(Some("cpu")).as_deref(), Some(Path::new("/sys/fs/cgroup/cpu/")));
        assert_eq!(at(None).as_deref(), Some(Path::new("/sys/fs/cgroup/unified/c")));
        assert_eq!(at(Some("pids")), None);
        // Another namespace's group, which is not shown here.
        assert_eq!(directory_of("0::/../x\n", MOUNTS, None), None);
    }

    #[test]
    fn the_hosts_kills_are_noticed() {
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), 3);
        assert_eq!(kills("low 0\nhigh 0\nmax 9\noom 2\noom_kill 0\noom_group_kill 0\n"), 0);
    }

    #[test]
    fn page_cache_is_not_counted() {
        let one = "cache 900\nrss 1\ntotal_cache 900\ntotal_rss 100\ntotal_rss_huge 50\ntotal_shmem 30\ntotal_swap 4\n";
        assert_eq!(used(one, Version::One, 7), Some((141, 30)));
        let two =
            "anon 100\nfile 900\nkernel 60\nkernel_stack 16\npagetables 8\nshmem 30\nslab_reclaimable 20\nslab 36\n";
        assert_eq!(used(two, Version::Two, 5), Some((175, 30)));
        assert_eq!(used("anon x\n", Version::Two, 0), None);
    }
}
