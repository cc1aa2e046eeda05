//! `litebox stats`: what sandboxes use.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use litebox_protocol::control::Figures;

use super::connection::Connection;
use super::directory::{Directory, State};
use super::list::columns;
use super::status_of;
use crate::message;

/// How long a share of the processor is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Options of `litebox stats`.
#[derive(Args)]
pub struct Options {
    /// Once, and not again every second.
    #[arg(long)]
    no_stream: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// The sandboxes; all that run, when none is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// `litebox stats`.
pub fn figures(options: &Options) -> u8 {
    let named = !options.names.is_empty();
    let all = Directory::all();
    let running = all.iter().filter(|dir| dir.state() == State::Running).map(|dir| dir.name.clone());
    let names: Vec<String> = if named { options.names.clone() } else { running.collect() };
    let mut connections = Vec::new();
    for name in names {
        match Connection::open(&name) {
            Ok(connection) => connections.push((name, connection)),
            Err(why) if named => return status_of(Err(why)),
            Err(_) => {}
        }
    }
    let once = options.no_stream || !std::io::stdout().is_terminal();
    loop {
        let before: Vec<Option<Figures>> = connections.iter_mut().map(|(_, one)| one.figures().ok()).collect();
        std::thread::sleep(PERIOD);
        let mut rows = Vec::new();
        let mut lines = String::new();
        for ((name, connection), before) in connections.iter_mut().zip(before) {
            let (Some(before), Ok(now)) = (before, connection.figures()) else { continue };
            let share = share(&before, &now);
            if options.json {
                let line = serde_json::json!({
                    "Name": name, "CPUPercent": share, "CPUNanoseconds": now.cpu, "Memory": now.memory,
                    "MemoryLimit": now.memory_limit, "Processes": now.processes,
                });
                let _ = writeln!(lines, "{line}");
            }
            let limit = if now.memory_limit == 0 { "-".into() } else { size(now.memory_limit) };
            rows.push([
                name.clone(),
                format!("{share:.2}%"),
                format!("{} / {limit}", size(now.memory)),
                now.processes.to_string(),
            ]);
        }
        let table = columns(["NAME", "CPU %", "MEM USAGE / LIMIT", "PIDS"], &rows);
        let text = if options.json { lines } else { table };
        if once {
            return status_of(Ok(text));
        }
        let clear = if options.json { "" } else { "\x1b[H\x1b[J" };
        if rows.is_empty() || message::print_all(&format!("{clear}{text}")) != std::process::ExitCode::SUCCESS {
            return 0;
        }
    }
}

/// Percent of one processor.
#[expect(clippy::cast_precision_loss, reason = "a figure to be shown")]
fn share(before: &Figures, now: &Figures) -> f64 {
    let elapsed = now.age.saturating_sub(before.age).max(1);
    100.0 * now.cpu.saturating_sub(before.cpu) as f64 / elapsed as f64
}

/// Bytes as people read them.
#[expect(clippy::cast_precision_loss, reason = "a figure to be shown")]
pub fn size(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1}{name}", bytes as f64 / unit as f64),
        None => format!("{bytes}B"),
    }
}
