//! Where engines read what went wrong: `--log`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::named::time::{now, rfc3339};

/// Options of the log.
#[derive(Args)]
pub struct LogOptions {
    /// Write errors to this file, too.
    #[arg(long, value_name = "FILE", global = true)]
    log: Option<PathBuf>,
    /// How they are written.
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text", global = true)]
    log_format: Format,
}

/// How a line is written.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// As key=value.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogOptions {
    /// Says why a command failed.
    pub fn error(&self, why: &str) {
        let Some(file) = &self.log else { return };
        let time = rfc3339(now());
        let line = match self.log_format {
            Format::Json => json!({ "level": "error", "msg": why, "time": time }).to_string(),
            Format::Text => format!("time=\"{time}\" level=error msg={why:?}"),
        };
        // It is said on stderr as well.
        let opened = OpenOptions::new().create(true).append(true).open(file);
        let _ = opened.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    }
}
