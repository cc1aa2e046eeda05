//! What is told of a sandbox with a name: how it was started, and how it ended. The names are those of `docker inspect`
//! where that has one.

use serde::{Deserialize, Serialize};

use super::time::{now, rfc3339};
use crate::options::Options;

/// How it was started.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    /// Random: 64 hexadecimal digits.
    pub id: String,
    pub name: String,
    /// When it was started, in UTC (RFC 3339).
    pub created: String,
    /// The same in nanoseconds since 1970.
    pub created_at: u64,
    /// The program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    pub config: Config,
    pub host_config: HostConfig,
}

/// What the program was given.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    pub hostname: String,
    pub tty: bool,
    pub open_stdin: bool,
    pub env: Vec<String>,
    pub working_dir: String,
    pub labels: std::collections::BTreeMap<String, String>,
}

/// What of the host it has.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostConfig {
    pub binds: Vec<String>,
    /// Bytes; 0: no limit.
    pub memory: u64,
    pub pids_limit: u64,
    /// Bytes of files that what it changes may have.
    pub most_saved: u64,
    pub auto_remove: bool,
}

/// How it ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct End {
    pub exit_code: u8,
    /// When, in UTC (RFC 3339).
    pub finished_at: String,
    /// The same in nanoseconds since 1970.
    pub finished: u64,
}

impl End {
    /// It ends now, with this exit status.
    pub fn now(exit_code: u8) -> Self {
        let finished = now();
        Self { exit_code, finished_at: rfc3339(finished), finished }
    }
}

/// A fresh id.
pub fn new_id() -> Result<String, rustix::io::Errno> {
    let mut random = [0u8; 32];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let digits = random.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    Ok(digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect())
}

/// The name that a sandbox without one gets.
pub fn name_of(id: &str) -> String {
    id.chars().take(12).collect()
}

impl Record {
    /// Of a sandbox that is about to be started.
    pub fn new(id: &str, name: &str, options: &Options, environment: &[Vec<u8>], workdir: &[u8]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut command = options.command().into_iter().map(|word| word.to_string_lossy().into_owned());
        let label = |label: &std::ffi::OsString| {
            let label = label.to_string_lossy();
            let (key, value) = label.split_once('=').unwrap_or((&label, ""));
            (key.to_string(), value.to_string())
        };
        let created_at = now();
        Self {
            id: id.into(),
            name: name.into(),
            created: rfc3339(created_at),
            created_at,
            path: command.next().unwrap_or_default(),
            args: command.collect(),
            config: Config {
                hostname: options.process.hostname.clone(),
                tty: options.process.tty,
                open_stdin: options.process.interactive,
                env: environment.iter().map(|variable| text(variable)).collect(),
                working_dir: text(workdir),
                labels: options.process.label.iter().map(label).collect(),
            },
            host_config: HostConfig {
                binds: options.files.volume.iter().map(|typed| typed.to_string_lossy().into_owned()).collect(),
                memory: options.limits.memory(),
                pids_limit: options.limits.pids(),
                most_saved: options.limits.most_kept(),
                auto_remove: options.process.rm,
            },
        }
    }
}
