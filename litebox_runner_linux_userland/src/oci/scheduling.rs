//! `process.scheduler` and `process.ioPriority` of a config.json. The sandbox's kernel keeps what they say, and tells
//! it to the program; errors are worded as runc words them.

use serde::Deserialize;

/// Flag of a policy: children are scheduled as usual (`SCHED_RESET_ON_FORK`).
const RESET_ON_FORK: i32 = 0x4000_0000;
/// Where the class stands in an I/O priority.
const IO_CLASS_SHIFT: i32 = 13;
/// Policies that the kernel of a sandbox knows, as sched_setattr(2) numbers them.
const POLICIES: [(&str, i32); 3] = [("SCHED_OTHER", 0), ("SCHED_BATCH", 3), ("SCHED_IDLE", 5)];
/// Those that nobody in a sandbox has: its threads are scheduled by the host as the user's others are.
const REFUSED: [&str; 4] = ["SCHED_FIFO", "SCHED_RR", "SCHED_DEADLINE", "SCHED_ISO"];
/// Flags of sched_setattr(2) that mean something for these policies; the others mean nothing.
const RESET_FLAG: &str = "SCHED_FLAG_RESET_ON_FORK";
const OTHER_FLAGS: [&str; 6] = [
    "SCHED_FLAG_RECLAIM",
    "SCHED_FLAG_DL_OVERRUN",
    "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS",
    "SCHED_FLAG_UTIL_CLAMP_MIN",
    "SCHED_FLAG_UTIL_CLAMP_MAX",
];
/// Classes of ioprio_set(2).
const CLASSES: [(&str, i32); 3] = [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];

/// How a program is scheduled.
#[derive(Deserialize)]
pub struct Scheduler {
    #[serde(default)]
    policy: String,
    #[serde(default)]
    nice: i32,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    runtime: u64,
    #[serde(default)]
    deadline: u64,
    #[serde(default)]
    period: u64,
}

/// With which priority it reads and writes.
#[derive(Deserialize)]
pub struct IoPriority {
    class: String,
    #[serde(default)]
    priority: i32,
}

impl Scheduler {
    /// Nice value and policy.
    fn numbers(&self) -> Result<(i32, i32), String> {
        let policy = self.policy.as_str();
        let is_usual = ["SCHED_OTHER", "SCHED_BATCH"].contains(&policy);
        let known = POLICIES.iter().find(|(name, _)| *name == policy);
        match known {
            _ if policy.is_empty() => return Err("scheduler policy is required".into()),
            None if !REFUSED.contains(&policy) => return Err(format!("invalid scheduler policy: {policy}")),
            _ if is_usual && !(-20..=19).contains(&self.nice) => {
                return Err(format!("invalid scheduler.nice: {}", self.nice));
            }
            _ if self.priority != 0 && !["SCHED_FIFO", "SCHED_RR"].contains(&policy) => {
                return Err("scheduler.priority can only be specified for SchedFIFO or SchedRR policy".into());
            }
            _ if policy != "SCHED_DEADLINE" && [self.runtime, self.deadline, self.period] != [0; 3] => {
                return Err(
                    "scheduler runtime/deadline/period can only be specified for SchedDeadline policy".to_string()
                );
            }
            _ => {}
        }
        let flag = self.flags.iter().find(|flag| **flag != RESET_FLAG && !OTHER_FLAGS.contains(&flag.as_str()));
        if let Some(flag) = flag {
            return Err(format!("invalid scheduler flag: {flag}"));
        }
        let Some((_, number)) = known else {
            return Err(format!("error setting scheduler: operation not permitted ({policy}: nobody in a sandbox)"));
        };
        let reset = if self.flags.iter().any(|flag| flag == RESET_FLAG) { RESET_ON_FORK } else { 0 };
        Ok((if is_usual { self.nice } else { 0 }, number | reset))
    }
}

impl IoPriority {
    fn number(&self) -> Result<i32, String> {
        if !(0..=7).contains(&self.priority) {
            return Err(format!("invalid ioPriority.Priority: {}", self.priority));
        }
        let class = CLASSES.iter().find(|(name, _)| *name == self.class);
        let (_, class) = class.ok_or_else(|| format!("invalid ioPriority.Class: {:?}", self.class))?;
        Ok(class << IO_CLASS_SHIFT | self.priority)
    }
}

/// What `litebox run --scheduling` takes.
pub fn scheduling(scheduler: Option<&Scheduler>, io_priority: Option<&IoPriority>) -> Result<String, String> {
    let (nice, policy) = scheduler.map(Scheduler::numbers).transpose()?.unwrap_or_default();
    let io_priority = io_priority.map(IoPriority::number).transpose()?.unwrap_or_default();
    Ok(format!("{nice},{policy},{io_priority}"))
}
