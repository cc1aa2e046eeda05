//! `litebox run`: the broker's side.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use litebox_broker::Launch;
use litebox_platform_linux_userland::interception::Interception;

use crate::config::{Config, interception_number};
use crate::{SANDBOX_ARGUMENT, STATUS_OURS};

const STATUS_NOT_EXECUTABLE: u8 = 126;
const STATUS_NOT_FOUND: u8 = 127;
/// Bytes that files in memory may take; only what is used costs memory.
const ARENA_SIZE: u64 = 4 << 30;
/// The signal by which threads are made to look at their pending work.
const KICK_SIGNAL: i32 = 62;
/// Where programs are looked for, and the guest's PATH.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Clone, Copy, ValueEnum)]
enum Backend {
    /// What the host offers.
    Auto,
    /// Syscall User Dispatch.
    Sud,
    /// A seccomp filter that traps.
    Seccomp,
}

/// Options of `litebox run`.
#[derive(Args)]
pub struct Options {
    /// Set an environment variable; without a value, pass on the caller's.
    #[arg(short, long, value_name = "K[=V]")]
    env: Vec<OsString>,
    /// End the sandbox after this time: 300ms, 5s, 2m, 1h; a plain number is seconds.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// How the guest's system calls are caught.
    #[arg(long, value_name = "WAY", value_enum, default_value = "auto")]
    interception_backend: Backend,
    /// Do as if the host had no namespaces.
    #[arg(long, hide = true)]
    test_no_namespaces: bool,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
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

/// A message for the person, and the exit status.
type Refusal = (String, u8);

/// Runs the sandbox to its end; returns the exit status.
pub fn run(options: &Options) -> u8 {
    match launch(options) {
        Ok(launch) => litebox_broker::run(launch).status,
        Err((line, status)) => {
            eprintln!("litebox: {line}");
            status
        }
    }
}

fn launch(options: &Options) -> Result<Launch, Refusal> {
    let [program, ..] = options.command.as_slice() else {
        return Err(("no program given".into(), STATUS_OURS));
    };
    let path = find_program(program)?;
    let file = open_program(&path)?;
    let interception = match options.interception_backend {
        Backend::Auto => Interception::Auto,
        Backend::Sud => Interception::Sud,
        Backend::Seccomp => Interception::Seccomp,
    };
    let config = Config {
        arena_size: ARENA_SIZE,
        interception: interception_number(interception),
        uid: u64::from(rustix::process::geteuid().as_raw()),
        gid: u64::from(rustix::process::getegid().as_raw()),
        path: path.into_os_string().into_vec(),
        argv: options.command.iter().map(|a| a.as_bytes().to_vec()).collect(),
        envp: environment(&options.env)?,
    };
    let arguments = ["litebox", SANDBOX_ARGUMENT].map(|a| CString::new(a).unwrap_or_default()).to_vec();
    let mut launch = Launch::new(arguments);
    launch.config = config.encode();
    launch.extra = vec![file.into()];
    launch.timeout = options.timeout;
    launch.no_namespaces = options.test_no_namespaces;
    launch.kick_signal = KICK_SIGNAL;
    Ok(launch)
}

fn find_program(program: &OsStr) -> Result<PathBuf, Refusal> {
    let missing = || (format!("{}: no such program", program.to_string_lossy()), STATUS_NOT_FOUND);
    if program.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(program));
    }
    std::env::split_paths(SEARCH_PATH).map(|dir| dir.join(program)).find(|p| p.is_file()).ok_or_else(missing)
}

fn open_program(path: &Path) -> Result<File, Refusal> {
    let shown = path.display();
    let meta = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => (format!("{shown}: permission denied"), STATUS_NOT_EXECUTABLE),
        _ => (format!("{shown}: no such program"), STATUS_NOT_FOUND),
    })?;
    if meta.is_dir() {
        return Err((format!("{shown}: is a directory"), STATUS_NOT_EXECUTABLE));
    }
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        return Err((format!("{shown}: not executable"), STATUS_NOT_EXECUTABLE));
    }
    File::open(path).map_err(|e| (format!("{shown}: {e}"), STATUS_NOT_EXECUTABLE))
}

/// The guest's environment: PATH, HOME, TERM, LANG, and what the person names.
fn environment(given: &[OsString]) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut all: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (b"PATH".to_vec(), SEARCH_PATH.into()),
        (b"HOME".to_vec(), b"/".to_vec()),
        (b"TERM".to_vec(), std::env::var_os("TERM").unwrap_or_else(|| "dumb".into()).into_vec()),
        (b"LANG".to_vec(), std::env::var_os("LANG").unwrap_or_else(|| "C.UTF-8".into()).into_vec()),
    ];
    for item in given {
        let bytes = item.as_bytes();
        let equals = bytes.iter().position(|&b| b == b'=');
        let (key, value) = match equals.map(|at| bytes.split_at(at)) {
            Some(([], _)) => {
                return Err((format!("--env {}: no name before the =", item.to_string_lossy()), STATUS_OURS));
            }
            Some((key, value)) => (key.to_vec(), value.get(1..).unwrap_or_default().to_vec()),
            None => match std::env::var_os(item) {
                Some(value) => (bytes.to_vec(), value.into_vec()),
                None => continue,
            },
        };
        all.retain(|(k, _)| *k != key);
        all.push((key, value));
    }
    Ok(all.into_iter().map(|(key, value)| [key, value].join(&b'=')).collect())
}
