//! `--strace`: judged by strace(1) itself. Programs run under it on the host, and in the sandbox; the lines are
//! compared but for what has to differ: addresses, process ids, times.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use litebox_test_support::compile::{Variant, guest};
use litebox_test_support::program_result::run;
use litebox_test_support::{NamedTest, Result, find_program, fresh_dir, skip};

const LIMIT: Duration = Duration::from_secs(60);
/// What [`calls.c`](strace/calls.c) says before the calls that are compared.
const MARK: &str = "write(-1, \"begin\", 5)";

/// Why strace(1) cannot be asked here.
fn missing() -> Option<String> {
    let Some(strace) = find_program(&["/usr/bin/strace"]) else { return Some("no strace".into()) };
    let tried = Command::new(strace).args(["-o", "/dev/null", "/bin/true"]).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// The same directory twice, for the host and for the sandbox.
fn directories(name: &str) -> std::io::Result<[PathBuf; 2]> {
    let dir = fresh_dir(name)?;
    let both = ["host", "sandbox"].map(|half| dir.join(half).join("dir"));
    for dir in &both {
        fs::create_dir_all(dir.join("sub/deep"))?;
        for (file, text) in [("file", "one\ntwo\nthree\n"), ("sub/b", "b\n"), ("sub/deep/c", "c\n")] {
            fs::write(dir.join(file), text)?;
        }
    }
    Ok(both)
}

/// What strace prints of a program.
fn by_strace(dir: &Path, program: &[&str]) -> std::result::Result<String, Box<dyn std::error::Error>> {
    let log = dir.join("../log");
    let mut command = Command::new("/usr/bin/strace");
    command.args(["-f", "-o"]).arg(&log).args(program).current_dir(dir);
    command.env_clear().envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C")]).stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let outcome = run(command, b"", LIMIT)?;
    fs::read_to_string(log).map_err(|e| format!("{e}\n{outcome}").into())
}

/// And what `--strace` does.
fn by_litebox(
    dir: &Path,
    program: &[&str],
    binary: Option<&Path>,
) -> std::result::Result<String, Box<dyn std::error::Error>> {
    let log = dir.join("../log");
    let mut command = litebox_test_support::litebox();
    command.args(["run", "-e", "PATH=/usr/bin:/bin", "-e", "LC_ALL=C", "--strace-output"]).arg(&log);
    command.arg("-v").arg(format!("{0}:{0}", dir.display())).arg("-w").arg(dir);
    if let Some(binary) = binary {
        command.arg("-v").arg(format!("{0}:{0}:ro", binary.display()));
    }
    let outcome = run(
        {
            command.arg("--").args(program);
            command
        },
        b"",
        LIMIT,
    )?;
    fs::read_to_string(log).map_err(|e| format!("{e}\n{outcome}").into())
}

/// Numbers behind these differ: process ids, times.
const UNLIKE: &[&str] = &[
    " kill(",
    " tgkill(",
    "PID, ",
    " wait4(",
    "si_pid=",
    "ru_utime={tv_sec=0, tv_usec=",
    "ru_stime={tv_sec=0, tv_usec=",
    "left {tv_sec=",
    "left {tv_sec=PID, tv_nsec=",
    "fork() = ",
    "flags=SIGCHLD) = ",
    "WEXITSTATUS(s) == 3}], 0, NULL) = ",
    "...}) = ",
];

/// A line of either, without what has to differ; `None`: it has no counterpart.
fn plain(line: &str) -> Option<String> {
    let (_, line) = line.split_once(' ')?;
    // Strace aligns results.
    let line = line.split(' ').filter(|word| !word.is_empty()).fold(String::new(), |line, word| line + " " + word);
    let own = ["getpid", "getppid", "getpgrp", "gettid", "getsid", "getpgid", "setpgid"];
    // Where these stand among others depends on when the receiver goes on.
    let ignored = [" --- SIGCHLD", " --- SIGWINCH"];
    if ignored.iter().any(|start| line.starts_with(start))
        || own.iter().any(|call| line.starts_with(&format!(" {call}(")))
    {
        return None;
    }
    let mut line = masked(&line, "0x", "ADDRESS", |digits| digits.len() >= 8);
    for before in UNLIKE {
        line = masked(&line, before, "PID", |digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    }
    // When a time is, in the user's zone.
    let comment = line.find(" /* 1970").and_then(|at| Some(at..at + line.get(at..)?.find("*/")? + 2));
    if let Some(comment) = comment {
        line.replace_range(comment, "");
    }
    Some(line)
}

/// The digits behind `before` are replaced, when they are so.
fn masked(line: &str, before: &str, by: &str, are_so: impl Fn(&str) -> bool) -> String {
    let mut parts = line.split(before);
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(part.len());
        let (digits, rest) = part.split_at(end);
        out.push_str(before);
        out.push_str(if !digits.is_empty() && are_so(digits) { by } else { digits });
        out.push_str(rest);
    }
    out
}

/// The lines of one process after those of another, in the order in which the processes appear: who goes on first when
/// one has made another is chance.
fn by_process(mut lines: Vec<String>) -> Vec<String> {
    let pid_of = |line: &String| line.split_once(' ').map(|(pid, _)| pid.to_string());
    let mut pids: Vec<Option<String>> = Vec::new();
    for line in &lines {
        let pid = pid_of(line);
        if !pids.contains(&pid) {
            pids.push(pid);
        }
    }
    lines.sort_by_key(|line| pids.iter().position(|pid| *pid == pid_of(line)));
    lines
}

/// Calls that were interrupted by lines of others, in one piece again, where they ended.
fn joined(log: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in log.lines() {
        let Some((pid, _)) = line.split_once(' ') else { continue };
        let Some((_, rest)) = line.split_once(" resumed>").filter(|_| line.contains("<... ")) else {
            lines.push(line.into());
            continue;
        };
        let open = |line: &String| line.starts_with(&format!("{pid} ")) && line.ends_with(" <unfinished ...>");
        match lines.iter().rposition(open) {
            Some(at) => {
                let begun = lines.remove(at);
                lines.push(begun.replace(" <unfinished ...>", rest));
            }
            None => lines.push(line.into()),
        }
    }
    lines
}

/// Every call of a program that makes some 240 of them, line by line.
fn calls_one_by_one() -> Result {
    if let Some(why) = missing() {
        return skip(&why);
    }
    let binary = guest("../strace/calls.c", Variant::Dynamic, &["-w".into()])?;
    let program = [binary.to_str().ok_or("a path")?];
    let [host, sandbox] = directories("strace-calls")?;
    let lines = |log: &str| -> Vec<String> {
        let compared = joined(log).into_iter().skip_while(|line| !line.contains(MARK)).collect();
        by_process(compared).iter().filter_map(|line| plain(line)).collect()
    };
    let (host, log) = (by_strace(&host, &program)?, by_litebox(&sandbox, &program, Some(&binary))?);
    let (expected, printed) = (lines(&host), lines(&log));
    let differences: Vec<String> = expected
        .iter()
        .zip(&printed)
        .filter(|(a, b)| a != b)
        .map(|(a, b)| format!("strace:  {a}\nlitebox: {b}"))
        .collect();
    if expected.len() != printed.len() || expected.len() < 230 || !differences.is_empty() {
        let (there, here) = (expected.len(), printed.len());
        return Err(format!("{there} lines of strace, {here} of litebox\n{}", differences.join("\n")).into());
    }
    if !log.contains("--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=2, ") {
        return Err(format!("the end of a child is not told\n{log}").into());
    }
    Ok(())
}

/// What tells of the machine, or of who started the program, and not of how it is printed: the host and the sandbox
/// answer these differently.
const OF_THE_MACHINE: &[&str] =
    &[" execve(", " getrandom(", " set_tid_address(", " sysinfo(", " statfs(", " fstatfs(", " uname("];

/// Whether a line is one that can be compared.
fn is_comparable(line: &str) -> bool {
    // Of /proc/filesystems; and stdin is none of the sandbox's own files.
    let read = line.contains("\"nodev\\tsysfs") || line.starts_with(" lseek(0, 0, SEEK_CUR)");
    !read && !OF_THE_MACHINE.iter().any(|start| line.starts_with(start))
}

/// Everything that these programs of the machine do, from the dynamic linker's first call to the exit.
fn programs(name: &str, programs: &[&[&str]]) -> Result {
    if let Some(why) = missing() {
        return skip(&why);
    }
    const LEAST: usize = 25;
    let lines = |log: &str| -> Vec<String> {
        by_process(joined(log)).iter().filter_map(|line| plain(line)).filter(|line| is_comparable(line)).collect()
    };
    let mut wrong = Vec::new();
    for program in programs {
        let [host, sandbox] = directories(name)?;
        let (expected, printed) = (lines(&by_strace(&host, program)?), lines(&by_litebox(&sandbox, program, None)?));
        if expected != printed || expected.len() < LEAST {
            let first = expected.iter().zip(&printed).find(|(a, b)| a != b);
            wrong.push(format!(
                "{program:?}: {} lines of strace, {} of litebox; first: {first:#?}",
                expected.len(),
                printed.len()
            ));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn programs_that_read() -> Result {
    let all: &[&[&str]] = &[
        &["cat", "file"],
        &["head", "-2", "file"],
        &["tail", "-1", "file"],
        &["wc", "file"],
        &["cut", "-c1", "file"],
        &["sed", "s/two/2/", "file"],
        &["sha256sum", "file"],
        &["od", "-c", "file"],
    ];
    programs("strace-read", all)
}

fn programs_that_change() -> Result {
    let all: &[&[&str]] = &[
        &["mv", "file", "moved"],
        &["mkdir", "-p", "x/y"],
        &["touch", "new"],
        &["ln", "-s", "file", "link"],
        &["chmod", "600", "file"],
        &["tee", "out"],
        &["truncate", "-s", "9", "file"],
    ];
    programs("strace-change", all)
}

fn programs_that_look() -> Result {
    let all: &[&[&str]] = &[
        &["find", ".", "-name", "c"],
        &["du", "-s", "sub"],
        &["sort", "file"],
        &["base64", "file"],
        &["expr", "1", "+", "2"],
        &["date", "+%Y"],
        &["sleep", "0.01"],
    ];
    programs("strace-look", all)
}

const TESTS: &[NamedTest] = &[
    ("calls_one_by_one", calls_one_by_one),
    ("programs_that_read", programs_that_read),
    ("programs_that_change", programs_that_change),
    ("programs_that_look", programs_that_look),
];

fn main() {
    litebox_test_support::run_table(TESTS)
}
