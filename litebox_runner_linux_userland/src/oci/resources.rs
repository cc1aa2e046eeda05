//! Limits of a container: `linux.resources` of a config.json, and `update`.
//!
//! They are kept twice: by the host in the container's group ([`super::cgroup`]), where engines look for them, and by
//! the sandbox itself, whose processes of the host's are none of the container's.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::cgroup::Cgroup;
use super::config::Arguments;
use super::container::Container;
use crate::limits::parse_size;

/// The part of the file. What is absent, or below 1, is not limited.
#[derive(Deserialize, Default, Clone)]
pub struct Resources {
    #[serde(default)]
    pub memory: Memory,
    #[serde(default)]
    pub cpu: Cpu,
    #[serde(default)]
    pub pids: Pids,
    /// Files of a group of version 2 and what is written to them.
    #[serde(default)]
    pub unified: std::collections::BTreeMap<String, String>,
}

/// Bytes.
#[derive(Deserialize, Default, Clone)]
pub struct Memory {
    pub limit: Option<i64>,
    pub reservation: Option<i64>,
    /// Memory and swap together.
    pub swap: Option<i64>,
}

/// Processors.
#[derive(Deserialize, Default, Clone)]
pub struct Cpu {
    /// Weight beside others.
    pub shares: Option<u64>,
    /// Microseconds in each period.
    pub quota: Option<i64>,
    pub period: Option<u64>,
    /// Which processors, and which nodes' memory.
    pub cpus: Option<String>,
    pub mems: Option<String>,
}

/// Processes and threads.
#[derive(Deserialize, Default, Clone)]
pub struct Pids {
    pub limit: Option<i64>,
}

const USUAL_PERIOD: u64 = 100_000;
/// What of a group's memory the sandbox leaves to the processes beside it, so that it ends what takes too much before
/// the host ends anything.
const BESIDE: u64 = 8 << 20;

fn positive(value: Option<i64>) -> Option<u64> {
    value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0)
}

impl Resources {
    /// Adds the arguments of `litebox run`. With a group, the host shares the processors out.
    pub fn add_to(&self, out: &mut Arguments, has_group: bool) {
        if let Some(limit) = positive(self.memory.limit) {
            let own = if has_group { limit.saturating_sub(BESIDE).max(limit / 2) } else { limit };
            out.option("--memory", own.to_string());
        }
        if let Some(limit) = positive(self.pids.limit) {
            out.option("--pids", limit.to_string());
        }
        if let Some(quota) = positive(self.cpu.quota).filter(|_| !has_group) {
            let period = self.cpu.period.filter(|period| *period > 0).unwrap_or(USUAL_PERIOD);
            // Hundredths of a processor.
            let share = (quota.saturating_mul(100) / period).max(1);
            out.option("--cpus", format!("{}.{:02}", share / 100, share % 100));
        }
    }
}

/// Options of `update`.
#[derive(Args)]
#[group(skip)]
pub struct UpdateOptions {
    /// Read the limits from a file (linux.resources of a config.json); -: from stdin.
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Most bytes of memory.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Weight of its processors' time beside others'.
    #[arg(long, value_name = "WEIGHT")]
    cpu_share: Option<u64>,
    /// Microseconds of processors' time in each period.
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_quota: Option<i64>,
    /// Length of a period.
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Which processors it runs on.
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Accepted when it is what the container has.
    #[arg(long, value_name = "COUNT")]
    pids_limit: Option<i64>,
    /// The container.
    pub id: String,
}

fn read(file: &Path) -> Result<Resources, String> {
    let failed = |why: String| format!("--resources {}: {why}", file.display());
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    serde_json::from_str(&text.map_err(|e| failed(e.to_string()))?).map_err(|e| failed(e.to_string()))
}

/// Changes the limits that the host keeps.
pub fn update(container: &Container, options: &UpdateOptions) -> Result<(), String> {
    let mut wanted = options.resources.as_deref().map(read).transpose()?.unwrap_or_default();
    let memory = options.memory.and_then(|size| i64::try_from(size).ok());
    wanted.memory.limit = memory.or(wanted.memory.limit);
    wanted.cpu.shares = options.cpu_share.or(wanted.cpu.shares);
    wanted.cpu.quota = options.cpu_quota.or(wanted.cpu.quota);
    wanted.cpu.period = options.cpu_period.or(wanted.cpu.period);
    wanted.cpu.cpus = options.cpuset_cpus.clone().or(wanted.cpu.cpus);
    wanted.pids.limit = options.pids_limit.or(wanted.pids.limit);
    container.wants_life("update")?;
    let limits = &container.record.limits;
    let fixed = |what: &str| {
        format!("cannot update the container {}: {what}, which is fixed when a sandbox starts", container.record.id)
    };
    if positive(wanted.pids.limit).is_some_and(|limit| Some(limit) != limits.pids) {
        return Err(fixed("its sandbox counts processes itself"));
    }
    if positive(wanted.memory.limit).zip(limits.memory).is_some_and(|(new, first)| new > first) {
        return Err(fixed("its sandbox allows itself no more memory than at first"));
    }
    let Some(path) = &container.record.cgroup else {
        return Err(format!("cannot update the container {}: it is in no control group", container.record.id));
    };
    wanted.pids.limit = None;
    Cgroup::open(path)?.limit(&wanted)
}

/// What the sandbox itself keeps, and cannot change.
#[derive(serde::Serialize, Deserialize, Default)]
pub struct Kept {
    pub memory: Option<u64>,
    pub pids: Option<u64>,
}

impl Kept {
    /// Of these limits.
    pub fn of(resources: &Resources) -> Self {
        Self { memory: positive(resources.memory.limit), pids: positive(resources.pids.limit) }
    }
}
