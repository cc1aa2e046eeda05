//! Options of `litebox run` that bound what a sandbox uses, and what bounds it when none is given.

use std::time::Duration;

use clap::Args;
use litebox_broker::{Limits, usage};
use litebox_platform_linux_userland::Counted;

/// Processes and threads that there may be at once.
const MOST_TASKS: u64 = 4096;
/// The part of the machine's memory that files in memory and shared memory may take.
const MEMORY_PART: u64 = 4;
/// Bytes of a huge page.
const HUGE_PAGE: u64 = 2 << 20;
/// Nothing starts with less of them.
const LEAST_ARENA: u64 = 64 << 20;
/// Where the machine does not tell what it has.
const ASSUMED_MEMORY: u64 = 4 << 30;

/// The limits of a sandbox.
#[derive(Args)]
#[command(next_help_heading = "Limits")]
pub struct Bounds {
    /// End the program after this time by SIGTERM: 300ms, 5s, 2m, 1h; a plain number is seconds.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// How long the program may take to end then, before the sandbox is killed.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "2s")]
    stop_timeout: Duration,
    /// Kill the largest process when the sandbox uses so much memory: 512M, 2G; a plain number is bytes. Where that
    /// does not help, the sandbox.
    #[arg(short, long, value_name = "SIZE", value_parser = parse_memory)]
    memory: Option<u64>,
    /// Bound what files in memory and copy-on-write layers take together. By default they and shared memory have a
    /// quarter of the machine's memory.
    #[arg(long, value_name = "SIZE", value_parser = parse_disk)]
    disk: Option<u64>,
    /// Bound how many processes and threads there are at once.
    #[arg(long, alias = "pids-limit", value_name = "N", default_value_t = MOST_TASKS,
          value_parser = clap::value_parser!(u64).range(1..=1 << 22))]
    pids: u64,
    /// Run on so many processors at most. A part of one (0.5) needs a cgroup that this user may use.
    #[arg(long, value_name = "N", value_parser = parse_cpus)]
    cpus: Option<u64>,
    /// Set a resource limit of the program, as `ulimit` names it: nofile=1024, nofile=64:1024, core=unlimited.
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = parse_ulimit)]
    ulimit: Vec<(u32, u64, u64)>,
}

impl Bounds {
    /// What the broker keeps.
    pub fn kept(&self) -> Limits {
        Limits {
            timeout: self.timeout,
            stop_timeout: self.stop_timeout,
            memory: self.memory,
            tasks: Some(self.pids),
            milli_cpus: self.cpus,
        }
    }

    /// How the broker is to count the memory that is used.
    pub fn counted(&self) -> Counted {
        match self.memory {
            None => Counted::No,
            Some(_) if rustix::process::geteuid().is_root() && usage::may_look_into_all() => Counted::Yes,
            Some(_) => Counted::AsSameUser,
        }
    }

    /// Bytes that files in memory and shared memory may take, in whole huge pages. Only what is used costs memory.
    pub fn arena_size(&self) -> u64 {
        (machine_memory() / MEMORY_PART / HUGE_PAGE * HUGE_PAGE).max(self.disk.unwrap_or(0)).max(LEAST_ARENA)
    }

    /// Bytes of files that `--save` writes at most.
    pub fn most_kept(&self) -> u64 {
        self.disk.unwrap_or_else(|| self.arena_size())
    }

    /// `--memory`; 0: no limit.
    pub fn memory(&self) -> u64 {
        self.memory.unwrap_or(0)
    }

    /// `--disk`; 0: what the arena allows.
    pub fn disk(&self) -> u64 {
        self.disk.unwrap_or(0)
    }

    /// `--pids`.
    pub fn pids(&self) -> u64 {
        self.pids
    }

    /// `--ulimit`: number (getrlimit(2)), soft and hard limit.
    pub fn resource_limits(&self) -> Vec<(u32, u64, u64)> {
        self.ulimit.clone()
    }
}

/// Bytes of memory that this machine has.
pub fn machine_memory() -> u64 {
    let mut info = std::mem::MaybeUninit::<libc::sysinfo>::uninit();
    // SAFETY: the call fills the struct, which is read only when it did.
    let info = unsafe { if libc::sysinfo(info.as_mut_ptr()) == 0 { Some(info.assume_init()) } else { None } };
    info.map_or(ASSUMED_MEMORY, |info| info.totalram.saturating_mul(info.mem_unit.into()))
}

/// A size in bytes: 512M, 2G; a plain number is bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "not a size such as 512M or 2G".to_string();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_end_matches(['B', 'b']).trim_end_matches('i') {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn parse_memory(text: &str) -> Result<u64, String> {
    let bytes = parse_size(text)?;
    if bytes < 16 << 20 { Err("less than 16M is too little to start anything".into()) } else { Ok(bytes) }
}

fn parse_disk(text: &str) -> Result<u64, String> {
    let bytes = parse_size(text)?;
    match bytes {
        0..=0xf_ffff => Err("less than 1M is too little for any file".into()),
        _ if bytes > 1 << 42 => Err("more than 4T is not supported".into()),
        _ => Ok(bytes),
    }
}

pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("not a duration such as 300ms, 5s, 2m or 1h".into()),
    };
    let number: f64 = number.parse().map_err(|_| "not a duration such as 300ms, 5s, 2m or 1h")?;
    Duration::try_from_secs_f64(number * scale).map_err(|e| e.to_string())
}

/// Thousandths of a processor.
fn parse_cpus(text: &str) -> Result<u64, String> {
    let wrong = || "not a number of processors such as 2 or 0.5".to_string();
    let number: f64 = text.parse().map_err(|_| wrong())?;
    let thousandths = (number * 1000.0).round();
    if (10.0..=1e7).contains(&thousandths) { Ok(thousandths as u64) } else { Err(wrong()) }
}

/// Names and numbers of resource limits (getrlimit(2)).
const RESOURCES: [(&str, u32); 16] = [
    ("cpu", 0),
    ("fsize", 1),
    ("data", 2),
    ("stack", 3),
    ("core", 4),
    ("rss", 5),
    ("nproc", 6),
    ("nofile", 7),
    ("memlock", 8),
    ("as", 9),
    ("locks", 10),
    ("sigpending", 11),
    ("msgqueue", 12),
    ("nice", 13),
    ("rtprio", 14),
    ("rttime", 15),
];
const NOFILE: u32 = 7;
/// The most that `nofile` can be (/proc/sys/fs/nr_open).
const NR_OPEN: u64 = 1 << 20;

fn parse_ulimit(text: &str) -> Result<(u32, u64, u64), String> {
    let value = |text: &str| match text {
        "unlimited" | "-1" => Ok(u64::MAX),
        number => number.parse::<u64>().map_err(|_| format!("{number}: not a number or \"unlimited\"")),
    };
    let (name, values) = text.split_once('=').ok_or("not NAME=SOFT or NAME=SOFT:HARD, such as nofile=1024")?;
    let number = RESOURCES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    let number = number.ok_or_else(|| {
        let names: Vec<_> = RESOURCES.iter().map(|(name, _)| *name).collect();
        format!("{name}: no such limit; there are {}", names.join(", "))
    })?;
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (value(soft)?, value(hard)?),
        None => (value(values)?, value(values)?),
    };
    if soft > hard {
        return Err(format!("the soft limit {soft} is above the hard one"));
    }
    if number == NOFILE && hard > NR_OPEN {
        return Err(format!("nofile cannot be more than {NR_OPEN}"));
    }
    Ok((number, soft, hard))
}

#[cfg(test)]
mod tests {
    use super::{parse_cpus, parse_disk, parse_ulimit};

    #[test]
    fn ulimits_are_understood() {
        assert_eq!(parse_ulimit("nofile=64:1024"), Ok((7, 64, 1024)));
        assert_eq!(parse_ulimit("core=unlimited"), Ok((4, u64::MAX, u64::MAX)));
        for wrong in ["nofile", "nofile=", "files=1", "nofile=9:8", "nofile=1048577", "cpu=1:x"] {
            assert!(parse_ulimit(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn processors_and_sizes_are_understood() {
        assert_eq!(parse_cpus("1.5"), Ok(1500));
        for wrong in ["0", "-1", "x", "nan", "inf"] {
            assert!(parse_cpus(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_disk("1M"), Ok(1 << 20));
        assert!(parse_disk("1000").is_err());
    }
}
