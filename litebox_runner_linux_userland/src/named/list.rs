//! `litebox ps` and `litebox inspect`.

use std::fmt::Write;

use clap::Args;
use litebox_protocol::plain::Plain;
use serde_json::{Value, json};

use super::connection::Connection;
use super::directory::{Directory, State};
use super::record::{End, Record};
use super::time::{ago, in_words};
use super::{each, end, status_of};

/// Options of `litebox ps`.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are options without values")]
pub struct Options {
    /// Those that have ended, too.
    #[arg(short, long)]
    all: bool,
    /// Names alone.
    #[arg(short, long)]
    quiet: bool,
    /// Do not cut what is long.
    #[arg(long)]
    no_trunc: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Options of `litebox inspect`.
#[derive(Args)]
pub struct Inspect {
    #[command(flatten)]
    which: end::Names,
}

/// What is known of a sandbox.
struct Known {
    name: String,
    record: Option<Record>,
    status: Status,
}

enum Status {
    Running { broker: i32, paused: bool },
    Starting,
    Ended(End),
    Stale,
}

impl Known {
    fn of(directory: &Directory) -> Self {
        let record = directory.read_config().ok().and_then(|text| serde_json::from_str(&text).ok());
        let status = match directory.state() {
            State::Running => match Connection::to(directory) {
                Ok(connection) => Status::Running { broker: connection.broker, paused: connection.paused },
                Err(_) => Status::Starting,
            },
            State::Ended => match directory.read_end().ok().and_then(|text| serde_json::from_str(&text).ok()) {
                Some(end) => Status::Ended(end),
                None => Status::Stale,
            },
            State::Stale => Status::Stale,
        };
        Self { name: directory.name.clone(), record, status }
    }

    /// The word that docker has for its state, or near it.
    fn word(&self) -> &'static str {
        match self.status {
            Status::Running { paused: false, .. } => "running",
            Status::Running { paused: true, .. } => "paused",
            Status::Starting => "created",
            Status::Ended(_) => "exited",
            Status::Stale => "dead",
        }
    }

    fn status(&self) -> String {
        let age = || self.record.as_ref().map_or_else(String::new, |record| in_words(ago(record.created_at)));
        match &self.status {
            Status::Running { paused: false, .. } => format!("Up {}", age()),
            Status::Running { paused: true, .. } => format!("Up {} (Paused)", age()),
            Status::Starting => "Created".into(),
            Status::Ended(end) => format!("Exited ({}) {} ago", end.exit_code, in_words(ago(end.finished))),
            Status::Stale => "Dead (killed from outside)".into(),
        }
    }

    fn command(&self) -> String {
        self.record.as_ref().map_or_else(String::new, |record| {
            let words: Vec<&str> = std::iter::once(&record.path).chain(&record.args).map(String::as_str).collect();
            Plain(&words.join(" ")).to_string()
        })
    }

    fn state(&self) -> Value {
        let (broker, paused) = match self.status {
            Status::Running { broker, paused } => (broker, paused),
            _ => (0, false),
        };
        let running = matches!(self.status, Status::Running { .. });
        let mut state =
            json!({ "Status": self.word(), "Running": running, "Paused": paused, "Pid": broker, "ExitCode": 0 });
        if let Status::Ended(end) = &self.status {
            state["ExitCode"] = end.exit_code.into();
            state["FinishedAt"] = end.finished_at.clone().into();
        }
        state
    }

    fn json(&self) -> Value {
        let record = self.record.as_ref().and_then(|record| serde_json::to_value(record).ok());
        let mut all = record.unwrap_or_else(|| json!({ "Name": self.name }));
        all["State"] = self.state();
        all
    }
}

/// `litebox ps`.
pub fn list(options: &Options) -> u8 {
    let mut all: Vec<Known> = Directory::all().iter().map(Known::of).collect();
    if !options.all {
        all.retain(|known| matches!(known.status, Status::Running { .. } | Status::Starting));
    }
    all.sort_by_key(|known| std::cmp::Reverse(known.record.as_ref().map_or(0, |record| record.created_at)));
    let mut out = String::new();
    if options.json {
        for known in &all {
            let _ = writeln!(out, "{}", known.json());
        }
    } else if options.quiet {
        for known in &all {
            let _ = writeln!(out, "{}", known.name);
        }
    } else {
        out = table(&all, options.no_trunc);
    }
    status_of(Ok(out))
}

fn table(all: &[Known], whole: bool) -> String {
    const MOST: usize = 40;
    let cut = |text: String| match text.char_indices().nth(MOST) {
        Some((at, _)) if !whole => format!("{}...", text.get(..at).unwrap_or_default()),
        _ => text,
    };
    let age = |known: &Known| {
        known.record.as_ref().map_or_else(String::new, |record| format!("{} ago", in_words(ago(record.created_at))))
    };
    let rows: Vec<[String; 4]> =
        all.iter().map(|known| [known.name.clone(), cut(known.command()), age(known), known.status()]).collect();
    columns(["NAME", "COMMAND", "CREATED", "STATUS"], &rows)
}

/// A table whose columns are as wide as what is in them.
pub fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in std::iter::once(head.map(String::from)).chain(rows.iter().cloned()) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join("   ").trim_end());
    }
    out
}

/// `litebox inspect`.
pub fn inspect(options: &Inspect) -> u8 {
    let mut found = Vec::new();
    let status = each(&options.which.names, |name| {
        found.push(Known::of(&Directory::open(name)?).json());
        Ok(String::new())
    });
    let text = serde_json::to_string_pretty(&found).unwrap_or_default();
    status.max(status_of(Ok(format!("{text}\n"))))
}
