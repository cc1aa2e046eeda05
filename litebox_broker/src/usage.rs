//! What the processes of a sandbox use, as /proc tells it (proc_pid_status(5), proc_pid_smaps(5)).
//!
//! A process belongs to the sandbox when it is in the process group that the supervisor leads: the filter lets nobody
//! leave it, whoever the parent is.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::process::Sandboxed;

/// What the host keeps for each thread besides its pages: its kernel stack.
const KERNEL_STACK: u64 = 16 << 10;
/// Longest /proc/PID/status that is read.
const MOST_TEXT: u64 = 64 << 10;
/// After so many looks the host's other processes are told from ours anew: their ids may be given out again.
const TRUST: u32 = 64;
/// How long all processes may take to stop.
const STOPPING: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_micros(200);

/// One process of the sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its id here.
    pub pid: i32,
    /// Its id as the sandbox has it.
    pub inside: i32,
    /// It runs no instruction now: stopped, or ended.
    pub stands: bool,
    /// It has ended, and was not waited for.
    pub ended: bool,
    /// Bytes of private memory it has mapped, in the processor's memory and in swap. Pages shared with other processes
    /// after fork(2) count for each.
    pub private: u64,
    /// Bytes of shared memory it has mapped.
    pub shared: u64,
    /// Bytes that are its own in any case: page tables, huge pages of the host's pool, kernel stacks.
    pub own: u64,
}

impl Process {
    /// What the host's own killer would go by (proc_pid_oom_score(5)).
    pub fn size(&self) -> u64 {
        self.private + self.shared + self.own
    }

    /// From the text of its status; `None` where it is not of this process group.
    fn of_group(pid: i32, group: i32, text: &str) -> Option<Self> {
        let mut process = Self { pid, ..Self::default() };
        let mut ours = false;
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            let bytes = || value.strip_suffix(" kB").and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) << 10;
            let ids = || value.split_ascii_whitespace().filter_map(|id| id.parse::<i32>().ok());
            match name {
                "State" => {
                    process.ended = value.starts_with(['Z', 'X']);
                    process.stands = process.ended || value.starts_with(['T', 't']);
                }
                "NSpid" => process.inside = ids().next_back()?,
                "NSpgid" => ours = ids().next() == Some(group),
                "RssAnon" | "VmSwap" => process.private += bytes(),
                "RssShmem" => process.shared += bytes(),
                "VmPTE" | "HugetlbPages" => process.own += bytes(),
                "Threads" => process.own += value.parse::<u64>().unwrap_or(0) * KERNEL_STACK,
                _ => {}
            }
        }
        ours.then_some(process)
    }
}

/// Why nothing can be counted, for the user.
pub type Unknown = String;

/// The processes of one sandbox.
#[derive(Debug)]
pub struct Processes {
    sandboxed: Sandboxed,
    /// Whose files in /proc are read with whose rights; `None`: with our own.
    reader: Option<Reader>,
    /// Ids that were found to be of others.
    others: HashSet<i32>,
    looks: u32,
}

impl Processes {
    /// Those of a sandbox.
    pub fn of(sandboxed: Sandboxed) -> Self {
        Self { sandboxed, reader: None, others: HashSet::new(), looks: 0 }
    }

    /// Looks at all of them.
    pub fn look(&mut self) -> Result<Vec<Process>, Unknown> {
        if self.looks % TRUST == 0 {
            self.others.clear();
        }
        self.looks = self.looks.wrapping_add(1);
        let entries = fs::read_dir("/proc").map_err(|e| format!("/proc: {e}"))?;
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let mut found = Vec::new();
        let mut text = String::new();
        for pid in pids {
            if self.others.contains(&pid) || read(&format!("/proc/{pid}/status"), &mut text).is_err() {
                continue;
            }
            match Process::of_group(pid, self.sandboxed.supervisor, &text) {
                Some(process) => found.push(process),
                None => drop(self.others.insert(pid)),
            }
        }
        if found.iter().all(|process| process.pid != self.sandboxed.supervisor) {
            return Err("/proc does not show the sandbox's processes".into());
        }
        Ok(found)
    }

    /// Bytes of private memory of `processes` together, each page once. One that ends meanwhile is left out.
    pub fn exact(&mut self, processes: &[Process]) -> Result<u64, Unknown> {
        let _as_them = self.reader.as_ref().map(Reader::become_them);
        let mut text = String::new();
        let mut sum = 0;
        for process in processes {
            let name = format!("/proc/{}/smaps_rollup", process.pid);
            match read(&name, &mut text) {
                Ok(()) => sum += share(&text).ok_or_else(|| format!("{name} has no Pss_Anon (Linux 5.4)"))?,
                // It has ended, or is about to.
                Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {}
                Err(e) => return Err(format!("{name}: {e}")),
            }
        }
        Ok(sum)
    }

    /// Whether exact counting works here, to be known before a limit is promised.
    pub fn probe(&mut self) -> Result<(), Unknown> {
        let supervisor = Process { pid: self.sandboxed.supervisor, ..Process::default() };
        self.look()?;
        self.reader = Reader::wanted(self.sandboxed.supervisor);
        self.exact(&[supervisor]).map(drop)
    }

    /// Does `count` while no process of the sandbox runs, so that none ends, forks or writes meanwhile.
    pub fn while_stopped<T>(&mut self, count: impl FnOnce(&mut Self) -> T) -> T {
        let deadline = Instant::now() + STOPPING;
        self.sandboxed.signal_all(libc::SIGSTOP);
        while self.look().is_ok_and(|all| all.iter().any(|p| !p.stands)) && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
        }
        let counted = count(self);
        self.sandboxed.signal_all(libc::SIGCONT);
        counted
    }
}

/// Reads a file of /proc.
fn read(name: &str, into: &mut String) -> std::io::Result<()> {
    into.clear();
    File::open(name)?.take(MOST_TEXT).read_to_string(into).map(drop)
}

/// The private memory that falls to a process when those who share a page share its cost.
fn share(rollup: &str) -> Option<u64> {
    let field = |name: &str| {
        let value = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    Some((field("Pss_Anon:")? + field("SwapPss:").unwrap_or(0)) << 10)
}

/// The user whom the sandbox runs as. Root without CAP_SYS_PTRACE (in a container) may look into a process of that user
/// only as that user.
#[derive(Debug)]
struct Reader {
    uid: u32,
    gid: u32,
}

impl Reader {
    fn wanted(supervisor: i32) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || may_look_into_all() {
            return None;
        }
        let status = fs::read_to_string(format!("/proc/{supervisor}/status")).ok()?;
        let id = |name: &str| {
            let ids = status.lines().find_map(|line| line.strip_prefix(name))?;
            ids.split_ascii_whitespace().next()?.parse().ok()
        };
        Some(Self { uid: id("Uid:")?, gid: id("Gid:")? })
    }

    /// This thread's access to files is theirs, until the result is dropped.
    fn become_them(&self) -> AsThem {
        set_file_ids(self.uid, self.gid);
        AsThem
    }
}

struct AsThem;

impl Drop for AsThem {
    fn drop(&mut self) {
        set_file_ids(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    }
}

fn set_file_ids(uid: u32, gid: u32) {
    // SAFETY: setfsuid(2) and setfsgid(2) touch no memory. Refused ones leave all as it is; then the reading fails.
    unsafe {
        if uid == 0 {
            libc::setfsuid(uid);
            libc::setfsgid(gid);
        } else {
            libc::setfsgid(gid);
            libc::setfsuid(uid);
        }
    }
}

/// Whether this process has CAP_SYS_PTRACE: then it may look into processes of others, and into those that are not
/// dumpable.
pub fn may_look_into_all() -> bool {
    const CAP_SYS_PTRACE: u32 = 19;
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return false };
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    bits.is_some_and(|bits| bits & (1 << CAP_SYS_PTRACE) != 0)
}

/// Threads of a user on the whole host; `None`: it does not tell.
pub fn tasks_of(user: rustix::process::Uid) -> Option<u64> {
    let mut text = String::new();
    let mut sum = 0;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) else { continue };
        if read(&format!("/proc/{pid}/status"), &mut text).is_err() {
            continue;
        }
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name))?;
            value.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        if field("Uid:") == Some(user.as_raw().into()) {
            sum += field("Threads:").unwrap_or(0);
        }
    }
    Some(sum)
}

/// Bytes of the host's memory and swap that files in memory take, whoever has them mapped.
pub fn of_objects(objects: &[OwnedFd]) -> Result<u64, Errno> {
    objects.iter().try_fold(0, |sum, object| {
        let stat = rustix::fs::fstat(object.as_fd())?;
        Ok(sum + u64::try_from(stat.st_blocks).unwrap_or(0) * 512)
    })
}

/// Bytes that all processes of the host use of what a sandbox may use: private, shared and swapped memory, page tables,
/// kernel stacks. What it grows by is a hint, and costs less than a look at many processes. `None`: the host does not
/// tell.
pub fn of_host() -> Option<u64> {
    let mut text = String::new();
    read("/proc/meminfo", &mut text).ok()?;
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name))?.strip_prefix(':')?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    let swapped = field("SwapTotal")?.saturating_sub(field("SwapFree")?);
    let used = ["AnonPages", "Shmem", "PageTables", "KernelStack"].into_iter().filter_map(field).sum::<u64>();
    Some((used + swapped) << 10)
}

#[cfg(test)]
mod tests {
    use super::{KERNEL_STACK, Process, share};

    const STATUS: &str = "Name:\tlitebox\nState:\tS (sleeping)\nNSpid:\t812\t7\nNSpgid:\t800\t1\nVmSwap:\t4 kB\nRssAnon:\t100 kB\n\
                          RssFile:\t999 kB\nRssShmem:\t30 kB\nVmPTE:\t8 kB\nHugetlbPages:\t0 kB\nThreads:\t3\n";

    #[test]
    fn a_status_is_understood() {
        let process = Process::of_group(812, 800, STATUS);
        let own = (8 << 10) + 3 * KERNEL_STACK;
        let wanted =
            Process { pid: 812, inside: 7, stands: false, ended: false, private: 104 << 10, shared: 30 << 10, own };
        assert_eq!(process, Some(wanted));
        assert_eq!(Process::of_group(812, 801, STATUS), None);
        let stopped = Process::of_group(812, 800, &STATUS.replace("S (sleeping)", "T (stopped)"));
        assert!(stopped.is_some_and(|p| p.stands));
    }

    #[test]
    fn shares_count_private_memory_alone() {
        let rollup = "00400000-7fff0000 ---p 00000000 00:00 0 [rollup]\nRss: 900 kB\nPss: 500 kB\nPss_Anon:     120 kB\n\
                      Pss_File: 300 kB\nPss_Shmem: 80 kB\nSwap: 64 kB\nSwapPss: 16 kB\n";
        assert_eq!(share(rollup), Some(136 << 10));
        assert_eq!(share("Pss: 5 kB\n"), None);
    }
}
