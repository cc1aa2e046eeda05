//! `events`: what a container uses, as runc prints it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::cgroup::Cgroup;
use super::container::Container;
use super::{NAME, litebox};
use crate::message::print_all;

/// Options of `events`.
#[derive(Args)]
#[group(skip)]
pub struct EventOptions {
    /// Once.
    #[arg(long)]
    stats: bool,
    /// How often, else.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = crate::limits::parse_duration)]
    interval: Duration,
    /// The container.
    pub id: String,
}

/// Prints one line now and then, until the container has stopped.
pub fn events(container: &Container, options: &EventOptions) -> Result<(), String> {
    container.wants_life("look at")?;
    loop {
        let line = json!({ "type": "stats", "id": options.id, "data": figures(container)? });
        if print_all(&format!("{line}\n")) != ExitCode::SUCCESS || options.stats {
            return Ok(());
        }
        let mut left = options.interval;
        while !left.is_zero() {
            let step = left.min(Duration::from_millis(200));
            std::thread::sleep(step);
            left -= step;
            if container.wants_life("look at").is_err() {
                return Ok(());
            }
        }
    }
}

fn figures(container: &Container) -> Result<Value, String> {
    if let Some(path) = &container.record.cgroup {
        return Ok(Cgroup::open(path)?.figures());
    }
    // The sandbox counts for itself.
    let output = litebox(container)?.args(["stats", "--no-stream", "--json", NAME]).output();
    let output = output.map_err(|e| format!("events: {e}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_string());
    }
    let own: Value = serde_json::from_slice(&output.stdout).map_err(|e| format!("events: {e}"))?;
    Ok(json!({
        "cpu": { "usage": { "total": own["CPUNanoseconds"] } },
        "memory": { "usage": { "usage": own["Memory"], "limit": own["MemoryLimit"] } },
        "pids": { "current": own["Processes"] },
    }))
}
