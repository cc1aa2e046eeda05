//! The command `litebox`: options, exit statuses, messages, streams, signals, bad input.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use litebox_test_support::compile::{self, Variant};
use litebox_test_support::{NamedTest, ProgramResult, Result, fresh_dir, is_root, program_result, skip};

const LIMIT: Duration = Duration::from_secs(30);

fn run<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> std::io::Result<ProgramResult> {
    let mut command = litebox_test_support::litebox();
    command.args(args);
    program_result::run(command, b"", LIMIT)
}

/// Fails unless `litebox ARGS` ends with `status` and prints exactly `stdout`.
fn prints<S: AsRef<std::ffi::OsStr>>(args: &[S], status: i32, stdout: &str) -> Result {
    let outcome = run(args)?;
    if outcome.status == status && outcome.out() == stdout {
        return Ok(());
    }
    Err(format!("expected status {status} and stdout {stdout:?}\n{outcome}").into())
}

/// Fails unless `litebox ARGS` ends with `status` and one clear line on stderr that mentions `word`.
fn refuses<S: AsRef<std::ffi::OsStr>>(args: &[S], status: i32, word: &str) -> Result {
    let outcome = run(args)?;
    let text = outcome.err();
    let clear = text.lines().any(|line| line.starts_with("litebox: ") && line.contains(word));
    if outcome.status == status && outcome.stdout.is_empty() && clear && !text.contains("panicked") {
        return Ok(());
    }
    Err(format!("expected status {status} and a line `litebox: ...{word}...`\n{outcome}").into())
}

fn volume(dir: &Path, rest: &str) -> String {
    format!("{}:{rest}", dir.display())
}

fn exit_status_of_the_program() -> Result {
    prints(&["run", "--", "/usr/bin/perl", "-e", "exit 42"], 42, "")
}

fn status_after_a_signal() -> Result {
    prints(&["run", "--", "/usr/bin/perl", "-e", "kill 'TERM', $$; sleep 5"], 143, "")
}

fn program_found_in_path() -> Result {
    prints(&["run", "echo", "found"], 0, "found\n")
}

fn missing_program() -> Result {
    refuses(&["run", "--", "no-such-program"], 127, "no-such-program")?;
    refuses(&["run", "--", "/no/such/program"], 127, "/no/such/program")
}

fn directory_as_program() -> Result {
    refuses(&["run", "--", "/usr/bin"], 126, "/usr/bin")
}

fn not_executable() -> Result {
    refuses(&["run", "--", "/etc/passwd"], 126, "/etc/passwd")
}

fn no_program() -> Result {
    refuses(&["run"], 125, "")
}

fn bad_options() -> Result {
    for (option, value) in [
        ("--timeout", "soon"),
        ("--memory", "12Q"),
        ("--memory", "0"),
        ("--user", "12x"),
        ("--net", "wormhole"),
        ("--interception-backend", "magic"),
        ("--volume", "/tmp:/x:sideways"),
        ("--volume", "/no/such/volume:/x"),
        ("--rootfs", "/no/such/rootfs"),
        ("--workdir", "/no/such/directory"),
        ("--no-such-option", "x"),
    ] {
        refuses(&["run", option, value, "--", "/usr/bin/true"], 125, "")
            .map_err(|error| format!("{option} {value}: {}", error.message().unwrap_or_default()))?;
    }
    Ok(())
}

/// A kernel's own file systems are said to be such, the files in them too.
fn volume_of_kernel() -> Result {
    for place in ["/proc", "/proc/self/status", "/sys"] {
        let expected = format!("{place}: not on a file system with files of users");
        refuses(&["run", "-v", &format!("{place}:/x:ro"), "--", "/usr/bin/true"], 125, &expected)?;
    }
    Ok(())
}

fn volume_read_only() -> Result {
    let dir = fresh_dir("volume_read_only")?;
    fs::write(dir.join("file"), "content\n")?;
    let mount = volume(&dir, "/v:ro");
    prints(&["run", "-v", &mount, "--", "/usr/bin/cat", "/v/file"], 0, "content\n")?;
    let outcome = run(&["run", "-v", &mount, "--", "/usr/bin/touch", "/v/new"])?;
    if outcome.status == 0 || !outcome.err().contains("Read-only file system") || dir.join("new").exists() {
        return Err(format!("a read-only volume was written\n{outcome}").into());
    }
    Ok(())
}

fn volume_read_write() -> Result {
    let dir = fresh_dir("volume_read_write")?;
    prints(&["run", "-v", &volume(&dir, "/v:rw"), "--", "/usr/bin/cp", "/etc/passwd", "/v/copy"], 0, "")?;
    if fs::read(dir.join("copy"))? != fs::read("/etc/passwd")? {
        return Err("what the program wrote is not on the host".into());
    }
    Ok(())
}

fn volume_copy_on_write() -> Result {
    let dir = fresh_dir("volume_copy_on_write")?;
    fs::write(dir.join("file"), "old\n")?;
    let args = ["-i", "s/old/new/w /dev/stdout", "/v/file"];
    let mount = volume(&dir, "/v:cow");
    prints(&[["run", "-v", &mount, "--", "/usr/bin/sed"].as_slice(), &args].concat(), 0, "new\n")?;
    if fs::read_to_string(dir.join("file"))? != "old\n" {
        return Err("a copy-on-write volume changed on the host".into());
    }
    Ok(())
}

/// A volume shows what lies beneath it and nothing beside it, whatever its links say.
fn volume_links_stay_inside() -> Result {
    let dir = fresh_dir("volume_links")?;
    fs::create_dir(dir.join("granted"))?;
    fs::write(dir.join("secret"), "secret\n")?;
    std::os::unix::fs::symlink(dir.join("secret"), dir.join("granted/absolute"))?;
    std::os::unix::fs::symlink("../secret", dir.join("granted/relative"))?;
    let mount = volume(&dir.join("granted"), "/v:rw");
    for path in ["/v/absolute", "/v/relative", "/v/../secret"] {
        prints(&["run", "-v", &mount, "--", "/usr/bin/cat", path], 1, "")?;
    }
    Ok(())
}

fn current_directory_is_copy_on_write() -> Result {
    let dir = fresh_dir("current_directory")?;
    let mut command = litebox_test_support::litebox();
    command.args(["run", "--", "/usr/bin/perl", "-e", "open F, '>', 'x' or die; print F 'y'; close F; print -s 'x'"]);
    command.current_dir(&dir);
    let outcome = program_result::run(command, b"", LIMIT)?;
    if outcome.status != 0 || outcome.out() != "1" || dir.join("x").exists() {
        return Err(format!("the current directory\n{outcome}").into());
    }
    Ok(())
}

fn default_view_hides_home() -> Result {
    let canary = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
    let outcome = run(&["run", "--", "/usr/bin/ls", "-A", &canary])?;
    if !outcome.stdout.is_empty() {
        return Err(format!("the home directory {canary} is visible\n{outcome}").into());
    }
    prints(&["run", "--", "/usr/bin/ls", "-dA", "/tmp"], 0, "/tmp\n")?;
    prints(&["run", "--", "/usr/bin/ls", "-A", "/tmp"], 0, "")
}

fn tmpfs() -> Result {
    prints(
        &["run", "--tmpfs", "/scratch", "--", "/usr/bin/cp", "-v", "/etc/passwd", "/scratch/p"],
        0,
        "'/etc/passwd' -> '/scratch/p'\n",
    )
}

fn rootfs() -> Result {
    let dir = fresh_dir("rootfs")?;
    let hello = compile::guest("hello.c", Variant::Static, &[])?;
    fs::copy(hello, dir.join("hello"))?;
    let root = dir.display().to_string();
    prints(&["run", "--rootfs", &root, "--", "/hello", "x"], 7, "hello, 1 arguments\nx\n")?;
    refuses(&["run", "--rootfs", &root, "--", "/usr/bin/true"], 127, "/usr/bin/true")
}

fn environment() -> Result {
    let mut command = litebox_test_support::litebox();
    command.env("SECRET", "leaks").env("PASSED", "on");
    command.args(["run", "-e", "A=1", "-e", "PASSED", "--", "/usr/bin/env"]);
    let outcome = program_result::run(command, b"", LIMIT)?;
    let text = outcome.out();
    let mut names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    if names != ["A", "HOME", "LANG", "PASSED", "PATH", "TERM"] || !text.contains("PASSED=on\n") {
        return Err(format!("the environment\n{outcome}").into());
    }
    Ok(())
}

fn workdir() -> Result {
    prints(&["run", "-w", "/usr/bin", "--", "/usr/bin/pwd"], 0, "/usr/bin\n")
}

fn user() -> Result {
    prints(&["run", "-u", "123:456", "--", "/usr/bin/perl", "-e", "print \"$< $> \", $(+0"], 0, "123 123 456")
}

fn hostname() -> Result {
    prints(&["run", "--hostname", "somewhere", "--", "/usr/bin/uname", "-n"], 0, "somewhere\n")
}

fn timeout_reached() -> Result {
    let begin = Instant::now();
    // A copy of its own, so that its processes can be told from those of other tests.
    let program = fresh_dir("timeout_reached")?.join("litebox");
    fs::copy(env!("CARGO_BIN_EXE_litebox"), &program)?;
    let mut command = Command::new(&program);
    command.args(["run", "--timeout", "300ms", "--", "/usr/bin/sleep", "25"]).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let outcome = program_result::run(command, b"", LIMIT)?;
    let runs_it = |entry: &fs::DirEntry| fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == program);
    let left = fs::read_dir("/proc")?.filter_map(std::result::Result::ok).filter(runs_it).count();
    if left != 0 {
        return Err(format!("{left} processes are left\n{outcome}").into());
    }
    if outcome.status != 124 || begin.elapsed() > Duration::from_secs(5) {
        return Err(format!("expected status 124 at once\n{outcome}").into());
    }
    Ok(())
}

fn timeout_of_a_busy_program() -> Result {
    prints(&["run", "--timeout", "300ms", "--", "/usr/bin/perl", "-e", "1 while 1"], 124, "")
}

fn memory_reached() -> Result {
    let script = "my $x = 'a' x 1_000_000_000; print length $x";
    let outcome = run(&["run", "--memory", "128M", "--", "/usr/bin/perl", "-e", script])?;
    if !outcome.stdout.is_empty() || outcome.status == 0 || outcome.timed_out {
        return Err(format!("--memory did not hold\n{outcome}").into());
    }
    Ok(())
}

fn strace() -> Result {
    let outcome = run(&["run", "--strace", "--strace-output", "-", "--", "/usr/bin/echo", "x"])?;
    let text = outcome.err();
    if outcome.out() != "x\n"
        || !text.contains("\nwrite(1, \"x\\n\", 2) ")
        || !text.ends_with("+++ exited with 0 +++\n")
    {
        return Err(format!("--strace\n{outcome}").into());
    }
    let dir = fresh_dir("strace")?;
    let log = dir.join("log");
    let file = log.to_str().ok_or("a path")?;
    let outcome = run(&["run", "--strace-output", file, "--strace=%file,write", "--", "/usr/bin/echo", "x"])?;
    let text = fs::read_to_string(&log)?;
    if !outcome.stderr.is_empty()
        || !text.contains("\n1     write(1, ")
        || !text.contains("openat(")
        || text.contains("brk(")
    {
        return Err(format!("--strace-output\n{text}\n{outcome}").into());
    }
    strace_beside_errors(&dir)?;
    let outcome = run(&["run", "--strace=opnat", "--", "/usr/bin/true"])?;
    if outcome.status != 125 || !outcome.err().contains("\"opnat\"") {
        return Err(format!("--strace of no call\n{outcome}").into());
    }
    Ok(())
}

/// Where the program's errors are read by another program, calls go to a file.
fn strace_beside_errors(dir: &Path) -> Result {
    let mut command = litebox_test_support::litebox();
    command.args(["run", "--strace", "--", "/usr/bin/dash", "-c", "echo told >&2"]).current_dir(dir);
    let outcome = program_result::finish(command.spawn()?, LIMIT)?;
    let text = outcome.err();
    let file = text.split_whitespace().find(|word| word.ends_with(".strace")).ok_or("no file is named")?;
    let lines = fs::read_to_string(dir.join(file))?;
    if !text.ends_with("told\n") || text.contains("write(") || !lines.contains("write(1, \"told\\n\", 5)") {
        return Err(format!("--strace into a pipe\n{outcome}").into());
    }
    Ok(())
}

/// Times before and behind lines, and a table instead of them.
fn strace_figures() -> Result {
    let times = [
        "run",
        "--strace-output",
        "-",
        "--strace=openat,write",
        "--strace-times=unix,spent",
        "--",
        "/usr/bin/echo",
        "x",
    ];
    let outcome = run(&times)?;
    let text = outcome.err();
    let is_timed = |line: &str| {
        let seconds = line.split('.').next().and_then(|seconds| seconds.parse::<u64>().ok());
        seconds.is_some_and(|n| n > 1_700_000_000) && (line.contains("+++") || line.ends_with('>'))
    };
    if text.lines().count() < 4 || !text.lines().all(is_timed) {
        return Err(format!("--strace-times\n{outcome}").into());
    }
    let outcome = run(&["run", "--strace-output", "-", "--strace-summary", "--", "/usr/bin/echo", "x"])?;
    let text = outcome.err();
    let calls = |name: &str| {
        let line = text.lines().find(|line| line.split_whitespace().last() == Some(name))?;
        line.split_whitespace().nth(3)?.parse::<u32>().ok()
    };
    let is_table = text.starts_with("% time     seconds  usecs/call     calls    errors syscall\n");
    if !is_table || calls("write") != Some(1) || calls("total") < calls("mmap") || calls("mmap").is_none() {
        return Err(format!("--strace-summary\n{outcome}").into());
    }
    Ok(())
}

/// What is not served fails with the errno of its row and is marked; a number without a row fails with ENOSYS.
fn unsupported_calls() -> Result {
    let script =
        "sub c { my $n = shift; $! = 0; syscall($n, 0, 0, 0); print $! + 0, ' ' } c(425); c(321); c(9999); c(-1);
        for (471 .. 1200) { $! = 0; syscall($_, 0, 0, 0); print \"number $_: $!\" if $! != 38 }";
    let outcome = run(&["run", "--strace-output", "-", "--", "/usr/bin/perl", "-e", script])?;
    // Results are aligned.
    let text = outcome.err().split_whitespace().collect::<Vec<_>>().join(" ");
    let marked = [
        "io_uring_setup(0, NULL) = -1 ENOSYS (Function not implemented) (unsupported)",
        "bpf(0, NULL, 0) = -1 EPERM (Operation not permitted) (unsupported)",
        "syscall_0x270f(...) = -1 ENOSYS (Function not implemented) (unsupported)",
    ];
    if outcome.out() != "38 1 38 38 " || !marked.iter().all(|line| text.contains(line)) {
        return Err(format!("calls that are not served\n{outcome}").into());
    }
    Ok(())
}

/// A call that sleeps is shown before it ends, and what is killed in it as well.
fn strace_shows_who_sleeps() -> Result {
    let script = "select(undef, undef, undef, 0.05); sleep 20";
    let limits = ["--timeout", "1s", "--stop-timeout", "0"];
    let outcome =
        run(&[&["run"], &limits as &[&str], &["--strace-output", "-", "--", "/usr/bin/perl", "-e", script]].concat())?;
    let text = outcome.err();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("litebox: ")).collect();
    let resumed =
        lines.iter().any(|line| line.starts_with("<... pselect6 resumed>") && line.ends_with("= 0 (Timeout)"));
    if outcome.status != 124 || !resumed || !lines.last().is_some_and(|line| line.ends_with("<unfinished ...>")) {
        return Err(format!("--strace of sleeping calls\n{outcome}").into());
    }
    Ok(())
}

fn stats() -> Result {
    let outcome = run(&["run", "--stats", "--", "/usr/bin/echo", "x"])?;
    let text = outcome.err();
    let missing =
        ["guest calls", "host calls", "traps", "faults", "peak memory"].iter().any(|word| !text.contains(word));
    if outcome.out() != "x\n" || missing {
        return Err(format!("--stats\n{outcome}").into());
    }
    Ok(())
}

fn syscalls() -> Result {
    for (option, word) in [("--json", "\"pread64\""), ("--markdown", "| pread64")] {
        let outcome = run(&["syscalls", option])?;
        if outcome.status != 0 || !outcome.out().to_lowercase().replace('`', "").contains(word) {
            return Err(format!("syscalls {option}\n{outcome}").into());
        }
    }
    Ok(())
}

fn syscalls_page_is_fresh() -> Result {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/syscalls.md");
    let outcome = run(&["syscalls", "--markdown"])?;
    if fs::read_to_string(page)? != outcome.out() {
        return Err("docs/syscalls.md is stale: cargo run -- syscalls --markdown > docs/syscalls.md".into());
    }
    Ok(())
}

fn signals_are_forwarded() -> Result {
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1), ("WINCH", 28)] {
        let script =
            format!("$|=1; $SIG{{{name}}} = sub {{ print 'got {name}'; exit 5 }}; print \"ready\\n\"; sleep 20");
        let mut child = litebox_test_support::litebox().args(["run", "--", "/usr/bin/perl", "-e", &script]).spawn()?;
        let mut output = child.stdout.take().ok_or("no stdout")?;
        let mut ready = [0; 6];
        output.read_exact(&mut ready)?;
        Command::new("kill").args([format!("-{number}"), child.id().to_string()]).status()?;
        let (status, late) = program_result::wait(&mut child, LIMIT)?;
        let mut rest = String::new();
        output.read_to_string(&mut rest)?;
        if late.is_some() || program_result::status_code(status) != 5 || rest != format!("got {name}") {
            return Err(format!("SIG{name}: {status}, {rest:?}").into());
        }
    }
    Ok(())
}

fn signal_without_handler() -> Result {
    let mut child = litebox_test_support::litebox()
        .args(["run", "--", "/usr/bin/perl", "-e", "$|=1; print 'r'; sleep 20"])
        .spawn()?;
    let mut output = child.stdout.take().ok_or("no stdout")?;
    output.read_exact(&mut [0])?;
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
    let (status, late) = program_result::wait(&mut child, LIMIT)?;
    if late.is_some() || program_result::status_code(status) != 143 {
        return Err(format!("SIGTERM: {status}").into());
    }
    Ok(())
}

/// `sh` closes the descriptor before it starts `litebox`.
fn with_shell(script: &str) -> std::io::Result<ProgramResult> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_litebox")]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program_result::run(command, b"", LIMIT)
}

fn closed_stdin() -> Result {
    let outcome = with_shell("exec \"$1\" run -- /usr/bin/cat <&-")?;
    if outcome.status != 1 || !outcome.err().contains("Bad file descriptor") {
        return Err(format!("closed stdin\n{outcome}").into());
    }
    Ok(())
}

fn closed_stdout() -> Result {
    let outcome = with_shell("exec \"$1\" run -- /usr/bin/echo x >&-")?;
    if outcome.status != 1 || !outcome.err().contains("Bad file descriptor") {
        return Err(format!("closed stdout\n{outcome}").into());
    }
    Ok(())
}

/// A limit on the size of files holds for a standard stream that is a file of the user's, too.
fn file_size_limit_of_stdout() -> Result {
    const SIGXFSZ: i32 = 25;
    let dir = litebox_test_support::fresh_dir("file_size_limit_of_stdout")?;
    let path = dir.join("out");
    let command = format!(
        "\"$1\" run -- /bin/sh -c 'ulimit -f 2; exec /usr/bin/head -c 4000 /dev/zero' > '{0}'; status=$?; wc -c < '{0}'; exit $status",
        path.display()
    );
    let outcome = with_shell(&command)?;
    if outcome.status != 128 + SIGXFSZ || outcome.out().trim() != "1024" {
        return Err(format!("the limit was 1024 bytes\n{outcome}").into());
    }
    Ok(())
}

fn inherited_descriptors_are_gone() -> Result {
    let outcome = with_shell("exec \"$1\" run -- /usr/bin/ls /proc/self/fd 7</etc/passwd 9>/dev/null")?;
    let listed = outcome.out();
    let leaked = listed.lines().any(|line| line == "7" || line == "9");
    if leaked || !listed.starts_with("0\n1\n2\n") || outcome.status != 0 {
        return Err(format!("descriptors of the caller\n{outcome}").into());
    }
    Ok(())
}

/// Descriptors that are to be preserved are the program's, with their offsets, and others are not. Nobody else keeps
/// them open.
fn preserved_descriptors() -> Result {
    let dir = fresh_dir("preserved")?;
    fs::write(dir.join("lines"), "one\ntwo\n")?;
    let script = format!(
        "cd {}; exec 3<lines 4>out 5>other; read first <&3; \"$1\" run --preserve-fds 2 -w / -- /bin/sh -c '
        cat <&3; echo written >&4; exec 4>>/proc/self/fd/4; ls /proc/self/fd; cat /proc/self/fdinfo/3; echo x >&5'",
        dir.display()
    );
    let outcome = with_shell(&script)?;
    let (said, lines) = (outcome.out(), outcome.err());
    let listed = said.starts_with("two\n0\n1\n2\n3\n4\n") && said.contains("pos:\t8\n");
    let refused = lines.contains("5: Bad file descriptor") || lines.contains("5: bad file descriptor");
    if !listed || !refused || fs::read_to_string(dir.join("out"))? != "written\n" {
        return Err(format!("descriptors 3 and 4\n{outcome}").into());
    }
    // Whoever reads the other end of a pipe sees that the program has closed it.
    let closes = "mkfifo fifo; \"$1\" run --preserve-fds 1 -w / -- /bin/sh -c 'exec 3>&-; read line; echo $line' \
        3>&1 >heard <>fifo | (cat; echo end >fifo)";
    let outcome = with_shell(&format!("cd {}; {closes}", dir.display()))?;
    if fs::read_to_string(dir.join("heard"))? != "end\n" {
        return Err(format!("a pipe that is closed\n{outcome}").into());
    }
    for (script, why) in [
        ("exec \"$1\" run --preserve-fds 2 -- true 3</etc/passwd", "--preserve-fds 2: descriptor 4 is not open"),
        ("exec \"$1\" run --preserve-fds 1 --status-fd 3 -- true 3</etc/passwd", "that descriptor is the program's"),
    ] {
        let outcome = with_shell(script)?;
        if outcome.status != 125 || !outcome.err().contains(why) {
            return Err(format!("{why}\n{outcome}").into());
        }
    }
    Ok(())
}

fn large_argument_list() -> Result {
    let word = "x".repeat(100_000);
    let mut args = vec!["run", "--", "/usr/bin/perl", "-e", "print length \"@ARGV\""];
    args.extend([word.as_str(); 10]);
    prints(&args, 0, "1000009")
}

fn stdin_passes_through() -> Result {
    let mut child =
        litebox_test_support::litebox().args(["run", "--", "/usr/bin/cat"]).stdin(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().ok_or("no stdin")?;
    let mut output = child.stdout.take().ok_or("no stdout")?;
    for word in ["first", "again"] {
        input.write_all(word.as_bytes())?;
        let mut answer = [0; 5];
        output.read_exact(&mut answer)?;
        if answer != *word.as_bytes() {
            return Err(format!("read {answer:?}").into());
        }
    }
    drop(input);
    let (status, _) = program_result::wait(&mut child, LIMIT)?;
    if status.success() { Ok(()) } else { Err(format!("cat: {status}").into()) }
}

fn terminal_passes_through() -> Result {
    if !compile::have("script") {
        return skip("no script on this machine");
    }
    let line = format!(
        "{} run -- /usr/bin/perl -e 'print -t STDIN ? 1 : 0, -t STDOUT ? 1 : 0'",
        env!("CARGO_BIN_EXE_litebox")
    );
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let outcome = program_result::run(command, b"", LIMIT)?;
    if outcome.status != 0 || !outcome.out().contains("11") {
        return Err(format!("on a terminal\n{outcome}").into());
    }
    Ok(())
}

fn as_ordinary_user() -> Result {
    if !is_root() {
        return skip("not root: every other test runs as an ordinary user");
    }
    // The build directory may lie where others cannot go.
    let dir = Path::new("/var/tmp").join(format!("litebox-test-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    fs::copy(env!("CARGO_BIN_EXE_litebox"), dir.join("litebox"))?;
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"])
        .arg(dir.join("litebox"));
    command.args(["run", "-w", "/", "--", "/usr/bin/cat", "/etc/passwd"]).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let outcome = program_result::run(command, b"", LIMIT);
    fs::remove_dir_all(dir)?;
    let outcome = outcome?;
    if outcome.status != 0 || outcome.stdout != fs::read("/etc/passwd")? || !outcome.stderr.is_empty() {
        return Err(format!("as an ordinary user\n{outcome}").into());
    }
    Ok(())
}

fn full_disk() -> Result {
    if !is_root() {
        return skip("only root can make a full file system");
    }
    let dir = fresh_dir("full_disk")?;
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&dir).status()?;
    if !mounted.success() {
        return skip("mount is refused here");
    }
    let outcome = run(&["run", "-v", &volume(&dir, "/v:rw"), "--", "/usr/bin/cp", "/usr/bin/perl", "/v/copy"]);
    Command::new("umount").arg(&dir).status()?;
    let outcome = outcome?;
    if outcome.status != 1 || !outcome.err().contains("No space left on device") {
        return Err(format!("full disk\n{outcome}").into());
    }
    Ok(())
}

/// The last line of JSON in a text.
fn last_json(text: &str) -> std::result::Result<serde_json::Value, libtest_mimic::Failed> {
    let line = text.lines().rev().find(|line| line.starts_with('{')).ok_or_else(|| format!("no JSON in {text:?}"))?;
    serde_json::from_str(line).map_err(|e| format!("{line}: {e}").into())
}

/// What `--json`, `--status-fd` and `--stats=json` tell of ends of every kind.
fn status_lines() -> Result {
    for (options, program, status, by) in [
        (&["-w", "/"][..], "exit 3", 3, "program"),
        (&["-w", "/"][..], "kill -11 $$", 139, "program"),
        (&["-w", "/", "--timeout", "200ms"][..], "sleep 100", 124, "timeout"),
        (&["-w", "/nowhere"][..], "true", 125, "litebox"),
        (&["-v", "/no/such/directory"][..], "true", 125, "litebox"),
    ] {
        let outcome = run(&[&["run", "--json"], options, &["--", "/bin/sh", "-c", program]].concat())?;
        let line = last_json(&outcome.err())?;
        let told = (outcome.status, line["status"].as_i64(), line["ended_by"].as_str(), line["event"].as_str());
        if told != (status, Some(status.into()), Some(by), Some("end")) {
            return Err(format!("{program:?}: {line}\n{outcome}").into());
        }
        let signal = [(139, 11), (124, 15)].iter().find(|(ends, _)| *ends == status).map(|(_, signal)| *signal);
        if line["signal"].as_i64() != signal || (status > 123 && status < 130) != line["reason"].is_string() {
            // The supervisor itself says what is missing inside.
            if program != "true" || line["signal"] != serde_json::Value::Null {
                return Err(format!("{program:?}: {line}").into());
            }
        }
    }
    let dir = fresh_dir("status_lines")?;
    let script = format!(
        "exec 7> {0}/status; {1} run --status-fd 7 --stats=json -w / -- /bin/sh -c 'echo x >&7; ls /proc/self/fd' 2> {0}/errors",
        dir.display(),
        env!("CARGO_BIN_EXE_litebox")
    );
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]);
    let outcome = program_result::run(command, b"", LIMIT)?;
    let lines = fs::read_to_string(dir.join("status"))?;
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap_or_default())?;
    let last = last_json(&lines)?;
    let calls = last["guest_calls"].as_u64().unwrap_or(0);
    if lines.lines().count() != 2 || first["event"] != "start" || !first["pid"].is_u64() || calls == 0 {
        return Err(format!("--status-fd: {lines}\n{outcome}").into());
    }
    // The program has no such descriptor.
    let errors = fs::read_to_string(dir.join("errors"))?;
    if !errors.contains("Bad file descriptor") || outcome.out().contains('7') {
        return Err(format!("the descriptor reached the program: {errors}\n{outcome}").into());
    }
    let stats = last_json(&errors)?;
    if stats["guest_calls"].as_u64() != Some(calls) || stats["peak_memory"].as_u64().is_none_or(|peak| peak < 1 << 16) {
        return Err(format!("--stats=json: {errors}").into());
    }
    refuses(&["run", "--status-fd", "99", "--", "true"], 125, "--status-fd 99: not an open descriptor")
}

/// How much a program and its children wrote, and which of their calls the sandbox and the user's filter refused.
fn status_counts() -> Result {
    let script = "my $bytes = 'x' x 5000; if (!fork) { syswrite STDOUT, $bytes; exit } wait; syswrite STDOUT, $bytes;
        pipe R, W; syswrite W, $bytes; $! = 0; syscall 425, 0; die if $! != 38; $! = 0; syscall 140, 0, 0;";
    let dir = fresh_dir("status_counts")?;
    let profile = dir.join("profile.json");
    fs::write(
        &profile,
        br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["getpriority"],"action":"SCMP_ACT_ERRNO"}]}"#,
    )?;
    let filter = format!("seccomp={}", profile.display());
    for (options, refused) in [(&[][..], 1), (&["--security-opt", &filter][..], 2)] {
        let outcome = run(&[&["run", "--json", "-w", "/"], options, &["--", "/usr/bin/perl", "-e", script]].concat())?;
        let line = last_json(&outcome.err())?;
        let told = (line["bytes_written"].as_u64(), line["refused_calls"].as_u64());
        if outcome.status != 0 || outcome.out().len() != 10000 || told != (Some(15000), Some(refused)) {
            return Err(format!("{options:?}: {line}").into());
        }
    }
    Ok(())
}

macro_rules! table {
    ($($name:ident)*) => { &[$((stringify!($name), $name)),*] };
}

const TESTS: &[NamedTest] = table! {
    exit_status_of_the_program status_after_a_signal program_found_in_path missing_program directory_as_program
    not_executable no_program bad_options volume_of_kernel volume_read_only volume_read_write volume_copy_on_write
    volume_links_stay_inside current_directory_is_copy_on_write default_view_hides_home tmpfs rootfs environment
    workdir user hostname timeout_reached timeout_of_a_busy_program memory_reached strace strace_figures unsupported_calls strace_shows_who_sleeps stats status_lines status_counts syscalls
    syscalls_page_is_fresh     signals_are_forwarded signal_without_handler closed_stdin closed_stdout file_size_limit_of_stdout inherited_descriptors_are_gone preserved_descriptors
    large_argument_list stdin_passes_through terminal_passes_through as_ordinary_user full_disk
};

fn main() {
    litebox_test_support::run_table(TESTS);
}
