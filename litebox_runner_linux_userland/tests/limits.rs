//! Limits hold, and hit only those who pass them: `--timeout`, `--stop-timeout`, `--memory`.
//!
//! `guests/hungry.c` uses memory in the ways that have to be counted.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use litebox_test_support::compile::{self, Variant};
use litebox_test_support::terminal_user::TerminalUser;
use litebox_test_support::{NamedTest, ProgramResult, Result, is_root, litebox, program_result, skip};

/// The exit status of a sandbox whose time is over.
const TIMEOUT: i32 = 124;
/// And of one that was killed for its memory.
const KILLED: i32 = 137;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where all programs start: a directory that may be given.
const WORK: &str = env!("CARGO_TARGET_TMPDIR");

type Checked<T> = std::result::Result<T, Failed>;

fn run(options: &[&str], program: &[&str]) -> Checked<ProgramResult> {
    let mut command = litebox();
    command.arg("run").args(options).arg("--").args(program).current_dir(WORK);
    Ok(program_result::run(command, b"", PATIENCE)?)
}

fn hungry() -> Checked<PathBuf> {
    Ok(compile::guest("hungry.c", Variant::Static, &["-pthread".into()])?)
}

/// Runs `hungry` with options.
fn eats(options: &[&str], arguments: &[&str]) -> Checked<ProgramResult> {
    let guest = hungry()?;
    let dir = guest.parent().unwrap_or(Path::new("/"));
    let volume = format!("{}:/guests:ro", dir.display());
    let mut all = vec!["-v", volume.as_str()];
    all.extend(options);
    let mut program = vec!["/guests/hungry"];
    program.extend(arguments);
    run(&all, &program)
}

/// It was not disturbed.
fn fits(options: &[&str], arguments: &[&str]) -> Result {
    let outcome = eats(options, arguments)?;
    let line = format!("{} 0\n", arguments.first().unwrap_or(&""));
    if outcome.status != 0 || !outcome.out().ends_with(&line) || !outcome.stderr.is_empty() {
        return Err(format!("{options:?} {arguments:?} does not fit\n{outcome}").into());
    }
    Ok(())
}

/// The limit was noticed, and said.
fn passes(options: &[&str], arguments: &[&str]) -> Result {
    let outcome = eats(options, arguments)?;
    let said = outcome.err().lines().filter(|line| line.starts_with("litebox: memory limit of ")).count();
    if outcome.status != KILLED && outcome.status != 1 || said == 0 || outcome.timed_out {
        return Err(format!("{options:?} {arguments:?} was not noticed\n{outcome}").into());
    }
    Ok(())
}

/// The limit was noticed, and said. The program itself may not be who passed it.
fn ends_somebody(options: &[&str], arguments: &[&str]) -> Result {
    let outcome = eats(options, arguments)?;
    if !outcome.err().starts_with("litebox: memory limit of ") || ![0, KILLED].contains(&outcome.status) {
        return Err(format!("{options:?} {arguments:?} was not noticed\n{outcome}").into());
    }
    Ok(())
}

/// With a control group, where one can be had; without; and without namespaces, too: then the sandbox's processes are
/// seen otherwise.
const WAYS: [&[&str]; 3] = [&[], &["--test-no-cgroup"], &["--test-no-cgroup", "--test-no-namespaces"]];

fn everywhere(check: fn(&[&str], &[&str]) -> Result, options: &[&str], arguments: &[&str]) -> Result {
    for way in WAYS {
        check(&[way, options].concat(), arguments)?;
    }
    Ok(())
}

fn private_memory() -> Result {
    everywhere(passes, &["--memory", "256M"], &["private", "600", "5"])?;
    everywhere(fits, &["--memory", "256M"], &["private", "150", "0"])
}

/// Memory that processes share after fork counts once, also while others come and go.
fn memory_after_fork() -> Result {
    everywhere(fits, &["--memory", "512M"], &["workers", "6", "150", "2"])?;
    everywhere(fits, &["--memory", "512M"], &["churn", "6", "150", "2"])
}

fn shared_memory() -> Result {
    fits(&["--memory", "256M"], &["shared", "6", "150"])?;
    everywhere(passes, &["--memory", "256M"], &["shared-each", "6", "150"])
}

fn files_in_memory() -> Result {
    let script =
        "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/tmp/$i bs=1M count=100 status=none & done; wait; sleep 5";
    for way in WAYS {
        let outcome = run(&[way, &["--memory", "256M"]].concat(), &["/bin/sh", "-c", script])?;
        if outcome.status != KILLED || !outcome.err().contains("files in memory") {
            return Err(format!("files in memory were not counted\n{outcome}").into());
        }
    }
    Ok(())
}

/// What the kernel of the sandbox keeps for files counts.
fn empty_files() -> Result {
    passes(&["--memory", "128M"], &["files", "600000"])
}

fn page_tables() -> Result {
    everywhere(passes, &["--memory", "64M"], &["tables", "100000"])
}

/// A process that nobody in the sandbox knows of counts, and so does what was asked of the host itself.
fn hostile_processes() -> Result {
    everywhere(ends_somebody, &["--memory", "256M", "--test-hostile"], &["hidden", "600"])?;
    everywhere(passes, &["--memory", "256M", "--test-hostile"], &["allocate", "600"])
}

/// The largest process is killed, as the host's kernel would; the others go on.
fn largest_process() -> Result {
    let guest = hungry()?;
    let volume = format!("{}:/guests:ro", guest.parent().unwrap_or(Path::new("/")).display());
    let script = "/guests/hungry private 30 3 & /guests/hungry private 900 5; echo ended $?; wait; echo over";
    for way in WAYS {
        let outcome = run(&[way, &["-v", &volume, "--memory", "256M"]].concat(), &["/bin/sh", "-c", script])?;
        let said = outcome.err();
        let named = said.lines().any(|line| {
            line.starts_with("litebox: memory limit of 256 MiB reached (") && line.contains("(hungry), which has ")
        });
        if outcome.status != 0 || outcome.out() != "ended 137\nprivate 0\nover\n" || !named {
            return Err(format!("not the largest process alone was killed\n{outcome}").into());
        }
    }
    Ok(())
}

/// An ordinary user, without namespaces and with them: what is counted is exact there, too.
fn memory_of_an_ordinary_user() -> Result {
    if !is_root() {
        return skip("not root: every other test runs as an ordinary user");
    }
    let dir = Path::new("/var/tmp").join(format!("litebox-limits-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
    fs::copy(env!("CARGO_BIN_EXE_litebox"), dir.join("litebox"))?;
    fs::copy(hungry()?, dir.join("hungry"))?;
    let volume = format!("{}:/guests:ro", dir.display());
    let check = |way: &[&str], arguments: &[&str], status: i32| -> Result {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65533", "--regid=65533", "--clear-groups", "--inh-caps=-all", "--"]);
        command.arg(dir.join("litebox")).args(["run", "-w", "/", "-v", &volume, "--memory", "512M"]).args(way);
        command.arg("--").arg("/guests/hungry").args(arguments).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let outcome = program_result::run(command, b"", PATIENCE)?;
        if outcome.status != status {
            return Err(format!("{way:?} {arguments:?}\n{outcome}").into());
        }
        Ok(())
    };
    let all = || -> Result {
        for way in WAYS {
            check(way, &["churn", "6", "150", "1"], 0)?;
            check(way, &["private", "900", "5"], KILLED)?;
        }
        Ok(())
    };
    let outcome = all();
    fs::remove_dir_all(dir)?;
    outcome
}

/// Processor time of a process and of its children that it waited for, in clock ticks.
fn ticks_of(pid: u32) -> Checked<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Ok(number(11) + number(12))
}

/// Looking at 2,000 processes that do nothing takes at most a hundredth of a processor.
fn looking_is_cheap() -> Result {
    const TICKS_PER_SECOND: u64 = 100;
    const SECONDS: u64 = 10;
    let guest = hungry()?;
    let volume = format!("{}:/guests:ro", guest.parent().unwrap_or(Path::new("/")).display());
    let mut command = litebox();
    command.args(["run", "-v", &volume, "--test-no-cgroup", "--memory", "4G"]).current_dir(WORK);
    command.args(["--", "/guests/hungry", "idle", "2000"]);
    command.stdin(Stdio::piped());
    let mut child = Sandbox(command.spawn()?);
    child.waits_for("ready")?;
    // What their start had it look at is over.
    std::thread::sleep(Duration::from_secs(2));
    let before = ticks_of(child.0.id())?;
    std::thread::sleep(Duration::from_secs(SECONDS));
    let used = ticks_of(child.0.id())? - before;
    if used > SECONDS * TICKS_PER_SECOND / 100 {
        return Err(format!("{used} ticks in {SECONDS} s").into());
    }
    Ok(())
}

/// Ends with the test.
struct Sandbox(Child);

impl Sandbox {
    fn waits_for(&mut self, text: &str) -> Result {
        let mut seen = Vec::new();
        let mut byte = [0];
        let out = self.0.stdout.as_mut().ok_or("no stdout")?;
        while !String::from_utf8_lossy(&seen).contains(text) {
            if out.read(&mut byte)? == 0 {
                return Err(format!("ended before {text:?}: {}", String::from_utf8_lossy(&seen)).into());
            }
            seen.push(byte[0]);
        }
        Ok(())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Asked, so that it can tidy up.
        // SAFETY: no pointers; the child was not waited for, or the call fails.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGTERM) };
        if program_result::wait(&mut self.0, Duration::from_secs(5)).is_ok() {
            return;
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Ends with this status in time.
fn ends(child: &mut Child, status: i32, within: Duration) -> Result {
    let begin = Instant::now();
    let (ended, standstill) = program_result::wait(child, within)?;
    if program_result::status_code(ended) != status || standstill.is_some() {
        return Err(format!("{ended} after {:?}: {standstill:?}", begin.elapsed()).into());
    }
    Ok(())
}

/// A pipe that is full and that nobody reads.
fn full_pipe() -> Checked<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: pipe2(2) fills both numbers, which are owned from there on.
    let (reader, writer) = unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) < 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    };
    let mut filler = fs::File::from(writer.try_clone()?);
    let fd = std::os::fd::AsRawFd::as_raw_fd(&filler);
    // SAFETY: no pointers.
    unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) };
    while filler.write(&[b'x'; 512]).is_ok() {}
    // SAFETY: no pointers. The setting is that of the open file, which the sandbox has, too.
    unsafe { libc::fcntl(fd, libc::F_SETFL, 0) };
    Ok((reader, writer))
}

/// Nobody reads what is said: the limits hold all the same.
fn nobody_reads() -> Result {
    let programs: [&[&str]; 3] = [
        &["run", "--timeout", "300ms", "--stop-timeout", "0s", "--", "/usr/bin/sleep", "100"],
        &["run", "--timeout", "300ms", "--stop-timeout", "500ms", "--", "/usr/bin/yes"],
        &["run", "--timeout", "300ms", "--stop-timeout", "500ms", "--strace-output", "-", "--", "/usr/bin/yes"],
    ];
    for program in programs {
        let (_reader, writer) = full_pipe()?;
        let mut command = litebox();
        command.args(program).current_dir(WORK);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = Sandbox(command.spawn()?);
        ends(&mut child.0, TIMEOUT, Duration::from_secs(15)).map_err(|e| format!("{program:?}: {e:?}"))?;
    }
    let (_reader, writer) = full_pipe()?;
    let mut command = litebox();
    let eat = "my $x = 'a' x 1_000_000_000; sleep 30";
    command.args(["run", "--memory", "128M", "--", "/usr/bin/perl", "-e", eat]).current_dir(WORK);
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = Sandbox(command.spawn()?);
    ends(&mut child.0, KILLED, Duration::from_secs(15))
}

fn on_a_terminal(options: &[&str], program: &[&str]) -> Checked<TerminalUser> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_litebox"));
    command.env_clear().env("TERM", "xterm").env("PATH", "/usr/bin:/bin").arg("run").args(options).arg("--");
    command.args(program).current_dir(WORK);
    Ok(TerminalUser::start(command, &[0, 1, 2])?)
}

/// A terminal whose output the user has stopped.
fn stalled_terminal() -> Result {
    let options = ["--timeout", "1s", "--stop-timeout", "500ms"];
    for program in [&["/usr/bin/yes"] as &[&str], &["/bin/sh", "-c", "yes & yes & wait"]] {
        // Nobody looks at the terminal, so it is full soon.
        let (child, _master) = on_a_terminal(&options, program)?.stalls();
        let mut child = Sandbox(child);
        ends(&mut child.0, TIMEOUT, Duration::from_secs(15))?;
    }
    Ok(())
}

/// SIGTERM comes first, and its handler has time; a program that does not end then is killed.
fn asked_before_killed() -> Result {
    let polite = "trap 'echo asked; exit 3' TERM; while :; do sleep 0.05; done";
    let outcome = run(&["--timeout", "500ms", "--stop-timeout", "20s"], &["/bin/sh", "-c", polite])?;
    if outcome.status != TIMEOUT || outcome.out() != "asked\n" || outcome.timed_out {
        return Err(format!("was not asked\n{outcome}").into());
    }
    let deaf = "trap '' TERM; while :; do sleep 0.05; done";
    let begin = Instant::now();
    let outcome = run(&["--timeout", "500ms", "--stop-timeout", "700ms"], &["/bin/sh", "-c", deaf])?;
    if outcome.status != TIMEOUT || begin.elapsed() < Duration::from_millis(1200) || outcome.timed_out {
        return Err(format!("was not killed in time\n{outcome}").into());
    }
    Ok(())
}

/// A program that uses the whole screen gives it back.
fn screen_is_restored() -> Result {
    let Some(vim) = litebox_test_support::find_program(&[
        "/usr/bin/vim",
        "/usr/bin/vim.basic",
        "/usr/bin/vim.tiny",
        "/usr/bin/less",
    ]) else {
        return skip("no program here that uses the whole screen");
    };
    let vim = vim.to_string_lossy();
    let mut user = on_a_terminal(&["--timeout", "3s", "--stop-timeout", "20s"], &[&vim, "/etc/passwd"])?;
    let before = user.before;
    user.sees("\x1b[?1049h")?;
    user.sees("\x1b[?1049l")?;
    let (status, shown) = user.ends()?;
    if status != TIMEOUT || user.settings() != before {
        return Err(format!("status {status}, shown {shown:?}").into());
    }
    Ok(())
}

/// A guest cannot stop the broker.
fn stopped_by_itself() -> Result {
    for way in WAYS {
        let options = [way, &["--timeout", "1s", "--stop-timeout", "1s"]].concat();
        for stop in ["kill -STOP $$", "kill -TSTP $$; sleep 100", "kill -STOP 0", "sleep 100 & kill -STOP $! $$"] {
            let outcome = run(&options, &["/bin/sh", "-c", stop])?;
            if outcome.status != TIMEOUT || outcome.timed_out {
                return Err(format!("{stop}: the time limit did not hold\n{outcome}").into());
            }
        }
    }
    Ok(())
}

/// On a terminal the shell is told of the stop; the time limit holds all the same.
fn stopped_on_a_terminal() -> Result {
    let mut user =
        on_a_terminal(&["--timeout", "2s", "--stop-timeout", "1s"], &["/bin/sh", "-c", "echo up; kill -STOP $$"])?;
    user.sees("up")?;
    let (status, shown) = user.ends()?;
    if status != TIMEOUT {
        return Err(format!("status {status}, shown {shown:?}").into());
    }
    Ok(())
}

macro_rules! table {
    ($($name:ident)*) => { &[$((stringify!($name), $name)),*] };
}

const TESTS: &[NamedTest] = table! {
    private_memory memory_after_fork shared_memory files_in_memory empty_files page_tables hostile_processes largest_process
    memory_of_an_ordinary_user looking_is_cheap nobody_reads stalled_terminal asked_before_killed screen_is_restored stopped_by_itself
    stopped_on_a_terminal
};

fn main() {
    litebox_test_support::run_table(TESTS);
}
