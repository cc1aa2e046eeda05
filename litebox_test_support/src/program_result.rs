//! Running a command under a time limit, and telling two runs apart.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How many lines of an output a failure shows.
const SHOWN_LINES: usize = 12;

/// What a command did.
#[derive(Clone, Debug)]
pub struct ProgramResult {
    /// The exit status; 128+n after signal n.
    pub status: i32,
    /// What it wrote to descriptor 1.
    pub stdout: Vec<u8>,
    /// What it wrote to descriptor 2.
    pub stderr: Vec<u8>,
    /// Whether it had to be killed.
    pub timed_out: bool,
}

impl ProgramResult {
    /// stdout as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// stderr as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl fmt::Display for ProgramResult {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let late = if self.timed_out { ", timed out" } else { "" };
        writeln!(out, "status {}{late}", self.status)?;
        writeln!(out, "stdout:\n{}", shorten(&self.out()))?;
        write!(out, "stderr:\n{}", shorten(&self.err()))
    }
}

fn shorten(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= 2 * SHOWN_LINES {
        return text.to_owned();
    }
    let left_out = lines.len() - 2 * SHOWN_LINES;
    let (head, tail) = (&lines[..SHOWN_LINES], &lines[lines.len() - SHOWN_LINES..]);
    format!("{}\n  ... {left_out} lines ...\n{}", head.join("\n"), tail.join("\n"))
}

/// 0..=255, or 128+n after signal n.
pub fn status_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Runs `command` with `stdin` as its input.
pub fn run(mut command: Command, stdin: &[u8], timeout: Duration) -> io::Result<ProgramResult> {
    if !stdin.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        let bytes = stdin.to_vec();
        // The program may end without reading everything.
        thread::spawn(move || drop(pipe.write_all(&bytes)));
    }
    finish(child, timeout)
}

/// Collects the output of a child until it ends or its time is up.
pub fn finish(mut child: Child, timeout: Duration) -> io::Result<ProgramResult> {
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let (status, standstill) = wait(&mut child, timeout)?;
    let text = |reader: Option<thread::JoinHandle<Vec<u8>>>| reader.and_then(|it| it.join().ok()).unwrap_or_default();
    let (stdout, mut stderr) = (text(stdout), text(stderr));
    stderr.extend(standstill.iter().flat_map(|told| told.bytes()));
    Ok(ProgramResult { status: status_code(status), stdout, stderr, timed_out: standstill.is_some() })
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is still worth showing.
        drop(pipe.read_to_end(&mut bytes));
        bytes
    })
}

/// Waits for a child; kills it when its time is up, and tells what it was doing then.
pub fn wait(child: &mut Child, timeout: Duration) -> io::Result<(ExitStatus, Option<String>)> {
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, None));
        }
        if Instant::now() >= deadline {
            let standstill = crate::standstill::describe(child.id());
            child.kill()?;
            return Ok((child.wait()?, Some(standstill)));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Fails with a readable difference unless both halves did the same.
pub fn compare(host: &ProgramResult, sandbox: &ProgramResult, with_stderr: bool) -> crate::Result {
    let mut report: Vec<String> = Vec::new();
    if sandbox.timed_out {
        report.push("the sandbox timed out\n".into());
    }
    if host.status != sandbox.status {
        report.push(format!("status: host {}, sandbox {}\n", host.status, sandbox.status));
    }
    if host.stdout != sandbox.stdout {
        report.push(format!("stdout differs:\n{}", difference(&host.out(), &sandbox.out())));
    }
    if with_stderr && host.stderr != sandbox.stderr {
        report.push(format!("stderr differs:\n{}", difference(&host.err(), &sandbox.err())));
    }
    if report.is_empty() {
        return Ok(());
    }
    if !with_stderr && !sandbox.stderr.is_empty() {
        report.push(format!("stderr in the sandbox:\n{}", shorten(&sandbox.err())));
    }
    Err(report.concat().into())
}

/// The lines in which two texts differ, from the first difference on.
fn difference(host: &str, sandbox: &str) -> String {
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (sandbox.lines().collect(), host.lines().collect());
    let same = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    let mut report =
        vec![format!("  from line {} on (host {}, sandbox {} lines)\n", same + 1, theirs.len(), ours.len())];
    for line in theirs.iter().skip(same).take(SHOWN_LINES) {
        report.push(format!("  host    | {line}\n"));
    }
    for line in ours.iter().skip(same).take(SHOWN_LINES) {
        report.push(format!("  sandbox | {line}\n"));
    }
    report.concat()
}

/// Fails unless two directories hold the same names, kinds, modes, links and contents.
pub fn compare_trees(host: &Path, sandbox: &Path) -> crate::Result {
    let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
    list(host, host, &mut left)?;
    list(sandbox, sandbox, &mut right)?;
    if left == right {
        return Ok(());
    }
    let text = |tree: &BTreeMap<String, String>| {
        tree.iter().map(|(name, what)| format!("{name} {what}\n")).collect::<Vec<_>>().concat()
    };
    Err(format!("the directories differ:\n{}", difference(&text(&left), &text(&right))).into())
}

fn list(top: &Path, dir: &Path, into: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let meta = fs::symlink_metadata(&path)?;
        let name = path.strip_prefix(top).unwrap_or(&path).display().to_string();
        let what = if meta.is_symlink() {
            format!("-> {}", fs::read_link(&path)?.display())
        } else if meta.is_dir() {
            list(top, &path, into)?;
            String::from("dir")
        } else if !meta.is_file() {
            format!("neither file nor directory, {:o}", meta.mode() >> 12)
        } else {
            let content = fs::read(&path)?;
            let sum = content
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
            format!("{} bytes, {} links, {sum:016x}", content.len(), meta.nlink())
        };
        into.insert(name, format!("{:o} {what}", meta.mode() & 0o7777));
    }
    Ok(())
}
