//! `--strace` and its kin: from the options to what the kernel is told.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use litebox_broker::report;
use litebox_common_linux::CallSet;
use litebox_shim_linux::{Counting, TraceClock, TraceConfig};

use crate::options::debug::{DebugOptions, Times};
use crate::run::extra_number;

const STDERR: i32 = 2;

/// Where lines go, and which, as numbers; none when nothing is to be printed. A file is opened for the sandbox.
pub fn prepare(options: &DebugOptions, extra: &mut Vec<OwnedFd>) -> Result<Vec<u64>, String> {
    if !options.traces() {
        return Ok(Vec::new());
    }
    let fd = match output(options)? {
        None => STDERR,
        Some(file) => {
            let opened = OpenOptions::new().create(true).write(true).truncate(true).open(&file);
            extra.push(opened.map_err(|e| format!("--strace-output {}: {e}", file.display()))?.into());
            extra_number(extra)?
        }
    };
    let has = |times: Times| options.strace_times.contains(&times);
    let clock = match () {
        () if has(Times::Clock) => TraceClock::Day(seconds_east()),
        () if has(Times::Unix) => TraceClock::Unix,
        () if has(Times::Relative) => TraceClock::Relative,
        () => TraceClock::None,
    };
    Ok(numbers(&TraceConfig {
        fd,
        is_stderr: fd == STDERR,
        calls: options.strace.unwrap_or(CallSet::ALL),
        counting: match options.strace_summary {
            false => Counting::No,
            // Who names calls or times besides wants to see them, too.
            true if options.strace.is_some() || !options.strace_times.is_empty() => Counting::Also,
            true => Counting::Only,
        },
        clock,
        spent: has(Times::Spent),
    }))
}

/// The file that lines go to; `None`: stderr. Where the program's errors go into a pipe, lines would be among them.
fn output(options: &DebugOptions) -> Result<Option<PathBuf>, String> {
    if let Some(file) = &options.strace_output {
        return Ok((file != Path::new("-")).then(|| file.clone()));
    }
    let stat = rustix::fs::fstat(std::io::stderr()).map_err(|e| format!("--strace: stderr: {e}"))?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo() {
        return Ok(None);
    }
    let file = PathBuf::from(format!("litebox-{}.strace", std::process::id()));
    report::say(&format!("--strace: stderr is a pipe; calls are printed to {} (--strace-output)", file.display()));
    Ok(Some(file))
}

/// How far the user's time is ahead of that of Greenwich.
fn seconds_east() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = libc::time_t::try_from(now).unwrap_or(0);
    // SAFETY: zeros are a valid `struct tm`.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both are valid; nobody changes the environment.
    let known = unsafe { libc::localtime_r(&raw const now, &raw mut parts) };
    if known.is_null() { 0 } else { parts.tm_gmtoff }
}

const ONLY_COUNTS: u64 = 1;
const COUNTS: u64 = 2;
const SPENT: u64 = 4;
const IS_STDERR: u64 = 8;

/// As the configuration has it: descriptor, flags, clock and its value, calls.
fn numbers(config: &TraceConfig) -> Vec<u64> {
    let flags = [
        (config.counting == Counting::Only, ONLY_COUNTS),
        (config.counts(), COUNTS),
        (config.spent, SPENT),
        (config.is_stderr, IS_STDERR),
    ];
    let flags = flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | flag);
    let clock = match config.clock {
        TraceClock::None => [0, 0],
        TraceClock::Day(east) => [1, east as u64],
        TraceClock::Unix => [2, 0],
        TraceClock::Relative => [3, 0],
    };
    [config.fd as u64, flags].into_iter().chain(clock).chain(config.calls.numbers()).collect()
}

/// And back.
pub fn config_of(numbers: &[u64]) -> Option<TraceConfig> {
    let ([fd, flags, clock, value], calls) = numbers.split_first_chunk()?;
    let has = |flag: u64| flags & flag != 0;
    Some(TraceConfig {
        fd: i32::try_from(*fd).ok()?,
        is_stderr: has(IS_STDERR),
        calls: CallSet::of(calls)?,
        counting: match () {
            () if has(ONLY_COUNTS) => Counting::Only,
            () if has(COUNTS) => Counting::Also,
            () => Counting::No,
        },
        clock: match clock {
            1 => TraceClock::Day(*value as i64),
            2 => TraceClock::Unix,
            3 => TraceClock::Relative,
            _ => TraceClock::None,
        },
        spent: has(SPENT),
    })
}

#[cfg(test)]
mod tests {
    use litebox_common_linux::CallSet;
    use litebox_shim_linux::{Counting, TraceClock, TraceConfig};

    use super::{config_of, numbers};

    #[test]
    fn survives_the_way() {
        let config = TraceConfig {
            fd: 7,
            is_stderr: false,
            calls: CallSet::named("openat").unwrap_or(CallSet::NONE),
            counting: Counting::Also,
            clock: TraceClock::Day(-3600),
            spent: true,
        };
        let back = config_of(&numbers(&config));
        assert_eq!(format!("{back:?}"), format!("{:?}", Some(config)));
        assert!(config_of(&[]).is_none() && config_of(&[1, 2, 3, 4, 5]).is_none());
    }
}
