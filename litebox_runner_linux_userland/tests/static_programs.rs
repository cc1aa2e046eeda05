//! Static programs, working on their arguments and the standard streams. Each runs on the bare host and in the sandbox,
//! caught in both ways, with the same output and status. Messages and statuses of `litebox run` itself are checked
//! here, too.
#![expect(clippy::expect_used, reason = "tests")]

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const BUSYBOX: &str = "/bin/busybox";

/// The directory of the compiled guests, granted at the same place in the sandbox.
const GUESTS: &str = env!("CARGO_TARGET_TMPDIR");

fn litebox(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_litebox"));
    command.args(["run", "-w", "/", "-v"]).arg(guests()).args(["--timeout", "20s"]).args(options).arg("--");
    command
}

fn guests() -> String {
    format!("{GUESTS}:{GUESTS}:ro")
}

/// Compiles a guest of `tests/guests`; `None` (with the reason printed) when the machine lacks the compiler.
fn compile(source: &str, name: &str, compiler: &str, flags: &[&str]) -> Option<PathBuf> {
    let out = Path::new(GUESTS).join(format!("static-{name}"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests").join(source);
    if let Ok(status) = Command::new(compiler).args(flags).arg("-o").arg(&out).arg(source).status() {
        assert!(status.success(), "{compiler} failed");
        return Some(out);
    }
    assert!(std::env::var_os("LITEBOX_TEST_NO_SKIP").is_none(), "may not be skipped here: no {compiler}");
    println!("skipped: no {compiler} on this machine");
    None
}

fn output(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting a program");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // The program may end before it has read everything.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("waiting for a program");
    writer.join().expect("the writer");
    output
}

/// Runs the program on both and compares; `run` shows how a shell would see a death by signal.
fn same_on_both(program: &Path, arguments: &[&str], input: &[u8]) {
    let mut bare = Command::new(program);
    bare.args(arguments).env_clear();
    let bare = output(bare, input);
    for backend in ["sud", "seccomp"] {
        let mut boxed = litebox(&["--interception-backend", backend]);
        boxed.arg(program).args(arguments);
        let boxed = output(boxed, input);
        let status = bare.status.code().or(bare.status.signal().map(|s| 128 + s));
        assert_eq!(String::from_utf8_lossy(&boxed.stderr), String::from_utf8_lossy(&bare.stderr), "{backend}: stderr");
        assert!(boxed.stdout == bare.stdout, "{backend}: stdout differs");
        assert_eq!(boxed.status.code(), status, "{backend}: status");
    }
}

fn hello(name: &str, compiler: &str, flags: &[&str]) {
    if let Some(program) = compile("hello.c", name, compiler, flags) {
        same_on_both(&program, &["one", "two words", ""], b"");
    }
}

#[test]
fn static_executable() {
    hello("exec", "gcc", &["-static", "-no-pie"]);
}

#[test]
fn static_pie() {
    hello("pie", "gcc", &["-static-pie"]);
}

#[test]
fn static_musl() {
    hello("musl", "musl-gcc", &["-static"]);
}

#[test]
fn registers_survive_calls_and_signals() {
    if let Some(program) = compile("syscall_registers.c", "registers", "gcc", &["-static", "-O1"]) {
        same_on_both(&program, &[], b"");
    }
}

#[test]
fn futexes_of_all_kinds() {
    if let Some(program) = compile("futex.c", "futexes", "gcc", &["-static", "-pthread", "-D_GNU_SOURCE"]) {
        same_on_both(&program, &[], b"");
    }
}

#[test]
fn threads_signals_clocks_and_errors() {
    if let Some(program) = compile("uname.c", "system", "gcc", &["-static", "-pthread"]) {
        same_on_both(&program, &[], b"");
    }
}

fn busybox(arguments: &[&str], input: &[u8]) {
    let program = Path::new(BUSYBOX);
    if program.exists() {
        same_on_both(program, arguments, input);
    } else {
        assert!(std::env::var_os("LITEBOX_TEST_NO_SKIP").is_none(), "may not be skipped here: no {BUSYBOX}");
        println!("skipped: no {BUSYBOX}");
    }
}

#[test]
fn busybox_echo() {
    busybox(&["echo", "one", "two"], b"");
}

#[test]
fn busybox_cat_of_8_megabytes() {
    let input: Vec<u8> = (0..8 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    busybox(&["cat"], &input);
}

#[test]
fn busybox_sha256sum_of_8_megabytes() {
    busybox(&["sha256sum"], &vec![7; 8 << 20]);
}

#[test]
fn busybox_sort_of_100_000_lines() {
    let lines: Vec<String> = (0..100_000u32).map(|i| i.wrapping_mul(2_654_435_761).to_string()).collect();
    busybox(&["sort", "-n"], lines.join("\n").as_bytes());
}

#[test]
fn a_closed_reader_kills_by_sigpipe() {
    if !Path::new(BUSYBOX).exists() {
        return busybox(&[], b"");
    }
    let mut command = litebox(&[]);
    let mut child = command.args([BUSYBOX, "yes"]).stdout(Stdio::piped()).spawn().expect("starting litebox");
    let mut first = [0u8; 4];
    let mut stdout = child.stdout.take().expect("a pipe");
    std::io::Read::read_exact(&mut stdout, &mut first).expect("output");
    drop(stdout);
    assert_eq!((&first, child.wait().expect("waiting").code()), (b"y\ny\n", Some(128 + 13)));
}

/// Runs `litebox run` with these words; its status and the only line on its stderr.
fn refusal(words: &[&OsStr]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_litebox"));
    command.arg("run").args(words);
    let result = output(command, b"");
    let text = String::from_utf8_lossy(&result.stderr).into_owned();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("litebox: ") && result.stdout.is_empty(), "{text}");
    (result.status.code(), text)
}

#[test]
fn what_cannot_run_is_said_in_one_line() {
    let status = |words: &[&str]| refusal(&words.iter().map(OsStr::new).collect::<Vec<_>>()).0;
    assert_eq!(status(&["no-such-program"]), Some(127));
    assert_eq!(status(&["/no/such/program"]), Some(127));
    assert_eq!(status(&["/tmp"]), Some(126));
    assert_eq!(status(&["/etc/passwd"]), Some(126));
}

#[test]
fn the_time_limit_ends_everything() {
    let Some(program) = compile("spin.c", "spin", "gcc", &["-static"]) else { return };
    let guests = guests();
    let options = ["-v", &guests, "--timeout", "300ms", "--"].map(OsStr::new);
    let (status, line) = refusal(&[&options[..], &[program.as_os_str()]].concat());
    assert_eq!(status, Some(124), "{line}");
}

#[test]
fn the_environment_is_what_was_given() {
    if !Path::new(BUSYBOX).exists() {
        return busybox(&[], b"");
    }
    let mut command = litebox(&["-e", "GIVEN=1", "-e", "LANG=C", "-e", "TERM=dumb", "-e", "NOT_SET_ANYWHERE"]);
    command.args([BUSYBOX, "env"]).env("SECRET", "x");
    let result = output(command, b"");
    let text = String::from_utf8_lossy(&result.stdout).into_owned();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(lines, ["GIVEN=1", "HOME=/home/user", "LANG=C", path, "TERM=dumb"]);
}
