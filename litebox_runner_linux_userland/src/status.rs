//! `--status-fd`, `--json` and `--stats=json`: what became of a sandbox, for programs. One JSON object a line.

use std::fs::File;
use std::io::Write;
use std::os::fd::{BorrowedFd, FromRawFd, RawFd};
use std::time::Instant;

use litebox_broker::{EndedBy, SandboxEnd, report};
use litebox_protocol::figure;
use serde_json::{Value, json};

use crate::options::debug::{DebugOptions, StatsFormat};

/// Where lines go.
pub struct Status {
    /// `--status-fd`.
    file: Option<File>,
    /// `--json`: to stderr, too.
    on_stderr: bool,
    begun: Instant,
}

impl Status {
    /// As it was asked for. A descriptor that is not open is an error.
    pub fn new(options: &DebugOptions) -> Result<Self, String> {
        let file = options.status_fd.map(|number| take("--status-fd", number)).transpose()?;
        Ok(Self { file, on_stderr: options.json, begun: Instant::now() })
    }

    /// Says something.
    fn say(&mut self, line: &Value) {
        let text = format!("{line}\n");
        if let Some(file) = &mut self.file {
            // Whoever wanted to know has gone, perhaps.
            let _ = file.write_all(text.as_bytes());
        }
        if self.on_stderr {
            report::write(text);
        }
    }

    /// The sandbox is about to start.
    pub fn starts(&mut self, name: Option<&str>) {
        self.say(&json!({ "event": "start", "pid": std::process::id(), "name": name }));
    }

    /// It cannot be started.
    pub fn failed(&mut self, status: u8, why: &str) {
        self.say(&json!({ "event": "end", "status": status, "signal": null, "ended_by": "litebox", "reason": why }));
    }

    /// It has ended.
    pub fn ended(&mut self, end: &SandboxEnd) {
        let by = match end.ended_by {
            EndedBy::Program => "program",
            EndedBy::User => "user",
            EndedBy::Timeout => "timeout",
            EndedBy::Memory => "memory",
            EndedBy::Refused => "boundary",
            EndedBy::Litebox => "litebox",
        };
        let elapsed = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let count = |at: usize| end.figures.as_ref().and_then(|figures| figures.get(at).copied());
        self.say(&json!({
            "event": "end",
            "status": end.status,
            "signal": end.signal,
            "ended_by": by,
            "reason": end.line,
            "elapsed_ns": elapsed,
            "peak_memory": count(figure::PEAK_MEMORY),
            "guest_calls": count(figure::GUEST_CALLS),
            "host_calls": count(figure::HOST_CALLS),
            "bytes_written": count(figure::BYTES_WRITTEN),
            "refused_calls": count(figure::REFUSED_CALLS),
        }));
    }
}

/// A descriptor that whoever started us left open for it.
pub fn take(option: &str, number: RawFd) -> Result<File, String> {
    let wrong = || format!("{option} {number}: not an open descriptor (such as 3, with 3>status.json)");
    // SAFETY: fcntl(2) with F_GETFL touches no memory of ours.
    if number < 0 || unsafe { libc::fcntl(number, libc::F_GETFL) } < 0 {
        return Err(wrong());
    }
    if number <= 2 {
        // SAFETY: the standard library keeps these open.
        let stream = unsafe { BorrowedFd::borrow_raw(number) };
        return rustix::io::fcntl_dupfd_cloexec(stream, 3).map(File::from).map_err(|e| e.to_string());
    }
    // SAFETY: open, above the standard streams, and before this process has opened anything that it keeps, so nobody
    // else owns it.
    let file = unsafe { File::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::CLOEXEC).map_err(|_| wrong())?;
    Ok(file)
}

/// The figures of `--stats`.
pub fn figures(end: &SandboxEnd, format: StatsFormat) -> String {
    if format == StatsFormat::Text {
        return crate::stats::report(end.figures.as_ref());
    }
    let Some(figures) = &end.figures else { return "{}\n".into() };
    let at = |index: usize| figures.get(index).copied().unwrap_or(0);
    let skipped = figures.iter().skip(figure::SKIPPED_BY_REASON);
    let reasons: serde_json::Map<String, Value> = figure::SKIP_REASONS
        .iter()
        .zip(skipped)
        .filter(|(_, count)| **count > 0)
        .map(|(why, count)| ((*why).to_string(), (*count).into()))
        .collect();
    let line = json!({
        "guest_calls": at(figure::GUEST_CALLS),
        "host_calls": at(figure::HOST_CALLS),
        "traps": at(figure::TRAPS),
        "faults": at(figure::FAULTS),
        "kicks": at(figure::KICKS),
        "patched_sites": at(figure::PATCHED_SITES),
        "shared_code": at(figure::SHARED_CODE),
        "refused_sites": at(figure::SKIPPED_SITES),
        "refused_by_reason": reasons,
        "peak_memory": at(figure::PEAK_MEMORY),
        "bytes_written": at(figure::BYTES_WRITTEN),
        "refused_calls": at(figure::REFUSED_CALLS),
    });
    format!("{line}\n")
}
