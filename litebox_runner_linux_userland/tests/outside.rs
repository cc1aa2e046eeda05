//! Signals to `litebox` reach the program: handlers run, defaults kill it, job control stops and continues it.
#![expect(clippy::expect_used, reason = "tests")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

fn guest() -> Option<PathBuf> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("outside-{}", std::process::id()));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/print_signals.c");
    if let Ok(status) = Command::new("gcc").args(["-static", "-pthread", "-O1", "-o"]).arg(&out).arg(source).status() {
        assert!(status.success(), "gcc failed");
        return Some(out);
    }
    assert!(std::env::var_os("LITEBOX_TEST_NO_SKIP").is_none(), "may not be skipped here: no gcc");
    println!("skipped: no gcc on this machine");
    None
}

struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(arguments: &[&str]) -> Option<Self> {
        let program = guest()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_litebox"));
        let dir = env!("CARGO_TARGET_TMPDIR");
        command
            .args(["run", "-w", "/", "-v", &format!("{dir}:{dir}:ro"), "--timeout", "30s", "--"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("starting litebox");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut running = Self { child, lines };
        assert_eq!(running.line(), "ready");
        Some(running)
    }
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("reading");
        line.trim_end().to_owned()
    }
    fn send(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill").success());
    }
    fn wait_for_state(&self, wanted: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("status");
            if status.lines().any(|l| l.starts_with("State:") && l.contains(wanted)) {
                return;
            }
            assert!(Instant::now() < until, "litebox is not {wanted}: {status}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    fn end(mut self) -> Option<i32> {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("reading");
        assert_eq!(rest, "");
        self.child.wait().expect("waiting").code()
    }
}

fn handled(arguments: &[&str]) {
    let Some(mut running) = Running::start(arguments) else { return };
    for (name, number) in [("WINCH", 28), ("USR1", 10)] {
        running.send(name);
        assert_eq!(running.line(), format!("got {number}"));
    }
    running.send("TSTP");
    running.wait_for_state("stopped");
    running.send("CONT");
    assert_eq!(running.line(), "got 18");
    running.wait_for_state("sleeping");
    running.send("TERM");
    assert_eq!(running.line(), "got 15");
    assert_eq!(running.end(), Some(3));
}

#[test]
fn signals_reach_handlers_and_stops_reach_the_shell() {
    handled(&[]);
}

#[test]
fn threads_that_block_signals_do_not_hide_them() {
    handled(&["spin"]);
}

#[test]
fn default_actions_end_the_program() {
    for (name, number) in [("INT", 2), ("HUP", 1), ("QUIT", 3)] {
        let Some(running) = Running::start(&[]) else { return };
        running.send(name);
        assert_eq!(running.end(), Some(128 + number));
    }
}
