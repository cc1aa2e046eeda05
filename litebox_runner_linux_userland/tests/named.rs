//! Sandboxes in the background, and what is done with them: `litebox run -d`, `exec`, `ps`, `logs`, `stop` and the
//! like.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use litebox_test_support::remains::Own;
use litebox_test_support::terminal_user::TerminalUser;
use litebox_test_support::{NamedTest, Result, is_root};

/// How long something may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// A program that runs until it is ended.
const FOR_EVER: &str = "trap 'exit 9' TERM; trap 'echo got usr1' USR1; echo ready; while :; do sleep 1000 & wait; done";

/// A `litebox` with a directory for its sandboxes, all of which end with it.
struct Home {
    own: Own,
    runtime: PathBuf,
}

impl Home {
    fn new(name: &str) -> std::io::Result<Self> {
        let own = Own::new(name)?;
        let runtime = own.dir.join("run");
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&runtime)?;
        Ok(Self { own, runtime })
    }
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.own.program());
        command.args(words).current_dir("/").env("XDG_RUNTIME_DIR", &self.runtime).stdin(Stdio::null());
        command
    }
    fn output(&self, words: &[&str]) -> std::io::Result<Output> {
        self.command(words).output()
    }
    /// What a command that succeeds prints.
    fn prints(&self, words: &[&str]) -> std::result::Result<String, Failed> {
        let output = self.output(words)?;
        if !output.status.success() {
            return Err(format!("{words:?}: {output:?}").into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
    /// A command ends with this status, and says this.
    fn fails(&self, words: &[&str], status: i32, says: &str) -> Result {
        let output = self.output(words)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(status) && said.contains(says) {
            return Ok(());
        }
        Err(format!("{words:?}: {output:?}, should end with {status} and say {says:?}").into())
    }
    /// Starts a sandbox in the background that runs until it is ended, and waits until it is ready.
    fn start(&self, name: &str, options: &[&str]) -> Result {
        let words = [&["run", "-d", "--name", name], options, &["--", "sh", "-c", FOR_EVER]].concat();
        self.prints(&words).map(|printed| assert_eq!(printed, format!("{name}\n")))?;
        self.logs_say(name, "ready")
    }
    fn logs_say(&self, name: &str, text: &str) -> Result {
        let until = Instant::now() + PATIENCE;
        loop {
            let logs = self.prints(&["logs", name])?;
            if logs.contains(text) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("the log of {name} never says {text:?}, but {logs:?}").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    /// The state that `ps -a` knows of a sandbox.
    fn state(&self, name: &str) -> std::result::Result<String, Failed> {
        let all = self.prints(&["ps", "-a", "--json"])?;
        let states = all.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let found = states.into_iter().find(|one| one["Name"] == name);
        Ok(found.map_or_else(|| "none".into(), |one| one["State"]["Status"].as_str().unwrap_or("?").to_string()))
    }
    fn broker(&self, name: &str) -> std::result::Result<i32, Failed> {
        let text = self.prints(&["inspect", name])?;
        let all: serde_json::Value = serde_json::from_str(&text).map_err(|e| format!("{text}: {e}"))?;
        let pid = all[0]["State"]["Pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        pid.filter(|pid| *pid > 1).ok_or_else(|| format!("no broker in {text}").into())
    }
    /// No process of a sandbox is left, and no directory of one.
    fn nothing_left(&self) -> Result {
        let left = self.own.left(PATIENCE);
        if !left.is_empty() {
            return Err(format!("left: {left:#?}").into());
        }
        let dirs: Vec<_> = fs::read_dir(self.runtime.join("litebox"))?.filter_map(|e| Some(e.ok()?.path())).collect();
        if dirs.is_empty() { Ok(()) } else { Err(format!("left: {dirs:?}").into()) }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A test that failed leaves no sandbox either.
        for name in self.prints(&["ps", "-aq"]).unwrap_or_default().lines() {
            drop(self.output(&["rm", "-f", name]));
        }
    }
}

fn same(what: &str, found: &str, expected: &str) -> Result {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} instead of {expected:?}").into()) }
}

fn lifecycle() -> Result {
    let home = Home::new("lifecycle")?;
    home.start("web", &["-l", "tier=front"])?;
    same("ps -q", &home.prints(&["ps", "-q"])?, "web\n")?;
    same("state", &home.state("web")?, "running")?;
    let table = home.prints(&["ps"])?;
    if !table.starts_with("NAME") || !table.contains("Up ") || !table.contains("sh -c trap") {
        return Err(format!("ps: {table}").into());
    }
    let inspected: serde_json::Value = serde_json::from_str(&home.prints(&["inspect", "web"])?)?;
    same("label", inspected[0]["Config"]["Labels"]["tier"].as_str().unwrap_or_default(), "front")?;
    home.fails(&["run", "-d", "--name", "web", "--", "true"], 125, "a sandbox of this name runs already")?;
    home.fails(&["rm", "web"], 1, "the sandbox web runs: stop it first")?;
    same("stop", &home.prints(&["stop", "web"])?, "web\n")?;
    same("state", &home.state("web")?, "exited")?;
    same("ps -q", &home.prints(&["ps", "-q"])?, "")?;
    same("wait", &home.prints(&["wait", "web"])?, "9\n")?;
    same("logs", &home.prints(&["logs", "web"])?, "ready\n")?;
    home.fails(&["exec", "web", "true"], 125, "the sandbox web has ended")?;
    home.fails(&["kill", "web"], 1, "the sandbox web has ended")?;
    home.fails(&["run", "--name", "web", "--", "true"], 125, "has ended (litebox rm web forgets it)")?;
    let left = home.own.left(PATIENCE);
    if !left.is_empty() {
        return Err(format!("after stop these are left: {left:#?}").into());
    }
    same("rm", &home.prints(&["rm", "web"])?, "web\n")?;
    home.fails(&["logs", "web"], 1, "there is no sandbox web")?;
    home.fails(&["exec", "../web", "true"], 125, "there is no sandbox ../web")?;
    home.nothing_left()
}

fn exec_is_a_program_of_the_sandbox() -> Result {
    let home = Home::new("exec")?;
    home.start("box", &["-e", "FIRST=1", "-w", "/tmp"])?;
    let run = |words: &[&str]| home.prints(&[&["exec"], words].concat());
    same("streams", &run(&["box", "sh", "-c", "echo out; cat"])?, "out\n")?;
    same("directory", &run(&["box", "pwd"])?, "/tmp\n")?;
    same("workdir", &run(&["-w", "/usr", "box", "pwd"])?, "/usr\n")?;
    same("environment", &run(&["-e", "MORE=2", "box", "sh", "-c", "echo $FIRST$MORE"])?, "12\n")?;
    same("replaced", &run(&["-e", "FIRST=3", "box", "sh", "-c", "echo $FIRST"])?, "3\n")?;
    same("user", &run(&["-u", "1234:5", "box", "sh", "-c", "id -u; id -g"])?, "1234\n5\n")?;
    same("root", &run(&["-u", "root", "box", "id", "-un"])?, "root\n")?;
    // Of the same sandbox: files, processes, a session of its own without a parent.
    run(&["box", "sh", "-c", "echo shared > /tmp/file"])?;
    same("file", &run(&["box", "cat", "/tmp/file"])?, "shared\n")?;
    same("parent", &run(&["box", "sh", "-c", "echo $PPID; kill -0 1 && echo sees"])?, "0\nsees\n")?;
    same(
        "session",
        &run(&["box", "sh", "-c", "set -- $(cat /proc/self/stat); [ $6 = $$ ] && echo leads"])?,
        "leads\n",
    )?;
    let statuses = [(&["sh", "-c", "exit 7"][..], 7), (&["sh", "-c", "kill -9 $$"], 137), (&["true"], 0)];
    for (program, status) in statuses {
        home.fails(&[&["exec", "box"], program].concat(), status, "")?;
    }
    home.fails(&["exec", "box", "nosuch"], 127, "cannot run nosuch: no such program")?;
    home.fails(&["exec", "box", "/etc/passwd"], 126, "cannot run /etc/passwd: not an executable file")?;
    home.fails(&["exec", "-w", "/nowhere", "box", "true"], 126, "there is no directory /nowhere")?;
    home.fails(&["exec", "-u", "nosuch", "box", "true"], 126, "no user nosuch")?;
    home.fails(&["exec", "-it", "box", "true"], 125, "stdin is not a terminal")?;
    let mut long = home.command(&["exec", "box", "echo"]);
    long.args(vec!["x".repeat(50_000); 4]);
    let output = long.output()?;
    if output.status.code() != Some(125) || !String::from_utf8_lossy(&output.stderr).contains("too long") {
        return Err(format!("too long: {output:?}").into());
    }
    same("detached", &run(&["-d", "box", "sh", "-c", "echo late > /tmp/late"])?, "")?;
    let until = Instant::now() + PATIENCE;
    while run(&["box", "cat", "/tmp/late"]).map_or(true, |late| late != "late\n") {
        if Instant::now() > until {
            return Err("exec -d never ran".into());
        }
    }
    home.prints(&["rm", "-f", "box"])?;
    home.nothing_left()
}

/// A million bytes there and back, which are more than all pipes hold.
fn exec_carries_streams() -> Result {
    let home = Home::new("carry")?;
    home.start("box", &[])?;
    let mut child = home.command(&["exec", "-i", "box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let bytes: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut input = child.stdin.take().ok_or("no stdin")?;
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || input.write_all(&sent));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| "the writer broke")??;
    if output.stdout != bytes || !output.status.success() {
        return Err(format!("{} bytes came back, {}", output.stdout.len(), output.status).into());
    }
    // Without -i there is nothing to read; who closes its streams does not end for it.
    let closed = home.prints(&["exec", "box", "sh", "-c", "cat; exec >&- 2>&-; sleep 0.1; exit 0"])?;
    same("closed", &closed, "")?;
    // A signal for the command is one for its program.
    let mut child = home
        .command(&["exec", "box", "sh", "-c", "trap 'exit 5' INT; echo trapped; while :; do sleep 0.05; done"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
    same("trap", &line, "trapped\n")?;
    // SAFETY: kill(2) touches no memory; a child that was not waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let status = child.wait()?.code();
    if status == Some(5) { Ok(()) } else { Err(format!("after SIGINT: {status:?}").into()) }
}

fn a_hundred_at_once() -> Result {
    const COUNT: usize = 100;
    let home = Home::new("hundred")?;
    home.start("box", &[])?;
    let start = |n: usize| {
        let program = format!("echo {n}; exit {}", n % 50);
        let child = home.command(&["exec", "box", "sh", "-c", &program]).stdout(Stdio::piped()).spawn();
        child.map(|child| (n, child))
    };
    let children: Vec<(usize, Child)> = (0..COUNT).map(start).collect::<std::io::Result<_>>()?;
    for (n, child) in children {
        let output = child.wait_with_output()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        if printed != format!("{n}\n") || output.status.code() != i32::try_from(n % 50).ok() {
            return Err(format!("{n}: {output:?}").into());
        }
    }
    // None of them is left in there.
    let processes = home.prints(&["exec", "box", "sh", "-c", "ls /proc | grep -c '^[0-9]'"])?;
    let count: usize = processes.trim().parse()?;
    if count > 6 { Err(format!("{count} processes are left").into()) } else { Ok(()) }
}

fn the_end_of_the_sandbox_ends_what_runs_in_it() -> Result {
    let home = Home::new("ends")?;
    home.start("box", &[])?;
    let mut child = home.command(&["exec", "box", "sh", "-c", "echo on; sleep 1000"]).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
    let mut waiting = home.command(&["wait", "box"]).stdout(Stdio::piped()).spawn()?;
    let mut following = home.command(&["logs", "-f", "box"]).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(following.stdout.take().ok_or("no stdout")?);
    let mut first = String::new();
    lines.read_line(&mut first)?;
    same("log", &first, "ready\n")?;
    home.prints(&["kill", "-s", "USR1", "box"])?;
    let mut second = String::new();
    lines.read_line(&mut second)?;
    same("log", &second, "got usr1\n")?;
    home.prints(&["kill", "box"])?;
    let mut status = String::new();
    BufReader::new(waiting.stdout.take().ok_or("no stdout")?).read_line(&mut status)?;
    same("wait", &status, "137\n")?;
    waiting.wait()?;
    if child.wait()?.code() != Some(137) || !following.wait()?.success() {
        return Err("the others did not end as they should".into());
    }
    same("state", &home.state("box")?, "exited")?;
    home.prints(&["rm", "box"])?;
    home.nothing_left()
}

fn stop_kills_who_does_not_listen() -> Result {
    let home = Home::new("deaf")?;
    home.prints(&[
        "run",
        "-d",
        "--name",
        "deaf",
        "--",
        "sh",
        "-c",
        "trap '' TERM; echo ready; while :; do sleep 1; done",
    ])?;
    home.logs_say("deaf", "ready")?;
    home.prints(&["stop", "-t", "200ms", "deaf"])?;
    same("wait", &home.prints(&["wait", "deaf"])?, "137\n")?;
    home.prints(&["rm", "deaf"])?;
    // Its own signal, and nothing is kept.
    let program = "trap 'exit 3' USR2; echo ready; while :; do sleep 0.05; done";
    home.prints(&["run", "-d", "--rm", "--stop-signal", "USR2", "--name", "own", "--", "sh", "-c", program])?;
    home.logs_say("own", "ready")?;
    home.prints(&["stop", "own"])?;
    home.nothing_left()
}

fn pause_and_unpause() -> Result {
    let home = Home::new("pause")?;
    let program = "i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.01; done";
    home.prints(&["run", "-d", "--name", "box", "--", "sh", "-c", program])?;
    home.prints(&["pause", "box"])?;
    same("state", &home.state("box")?, "paused")?;
    home.fails(&["exec", "box", "true"], 125, "the sandbox box is paused (litebox unpause box)")?;
    home.fails(&["pause", "box"], 1, "is paused already")?;
    let cpu = |home: &Home| -> std::result::Result<u64, Failed> {
        let line: serde_json::Value = serde_json::from_str(&home.prints(&["stats", "--json", "box"])?)?;
        line["CPUNanoseconds"].as_u64().ok_or_else(|| format!("{line}").into())
    };
    let (before, after) = (cpu(&home)?, cpu(&home)?);
    if before != after {
        return Err(format!("it used {} ns while it was paused", after - before).into());
    }
    home.prints(&["unpause", "box"])?;
    home.fails(&["unpause", "box"], 1, "is not paused")?;
    same("exec", &home.prints(&["exec", "box", "echo", "on"])?, "on\n")?;
    // Who is paused can be ended, too.
    home.prints(&["pause", "box"])?;
    home.prints(&["stop", "-t", "5", "box"])?;
    same("wait", &home.prints(&["wait", "box"])?, "143\n")?;
    home.prints(&["rm", "box"])?;
    home.nothing_left()
}

fn a_killed_broker_is_told_from_one_that_runs() -> Result {
    if !is_root() {
        return litebox_test_support::skip("only root is told which processes are left");
    }
    let home = Home::new("crash")?;
    home.start("box", &[])?;
    let broker = home.broker("box")?;
    // SAFETY: kill(2) touches no memory. The process is the broker that was just started.
    unsafe { libc::kill(broker, libc::SIGKILL) };
    let left = home.own.left(PATIENCE);
    if !left.is_empty() {
        return Err(format!("after its broker was killed these are left: {left:#?}").into());
    }
    same("state", &home.state("box")?, "dead")?;
    same("logs", &home.prints(&["logs", "box"])?, "ready\n")?;
    home.fails(&["exec", "box", "true"], 125, "the sandbox box was killed")?;
    home.fails(&["wait", "box"], 1, "nobody knows its status")?;
    home.prints(&["rm", "box"])?;
    // One in the foreground has nothing to show: what it left is cleared away.
    let mut command = home.command(&["run", "--name", "front", "--", "sh", "-c", "echo on; sleep 1000"]);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
    same("exec", &home.prints(&["exec", "front", "echo", "here"])?, "here\n")?;
    child.kill()?;
    child.wait()?;
    same("ps", &home.prints(&["ps", "-aq"])?, "")?;
    home.nothing_left()
}

fn what_cannot_be_started_leaves_nothing() -> Result {
    let home = Home::new("cannot")?;
    home.fails(&["run", "-d", "--name", "x", "--", "nosuch"], 127, "cannot run nosuch: no such program")?;
    home.fails(
        &["run", "-d", "--name", "x", "-w", "/nowhere", "--", "true"],
        125,
        "there is no /nowhere in the sandbox",
    )?;
    home.fails(&["run", "-d", "--name", "x", "-v", "/nowhere", "--", "true"], 125, "/nowhere does not exist")?;
    home.fails(&["run", "-d", "--name", "a/b", "--", "true"], 125, "a name has 1 to 64 letters")?;
    home.fails(&["run", "-d", "--privileged", "--", "true"], 125, "--privileged: there is no privilege")?;
    home.nothing_left()?;
    // A name is made up, and printed.
    let name = home.prints(&["run", "-d", "--", "sh", "-c", "echo said; echo errors >&2; exit 4"])?;
    let name = name.trim();
    same("wait", &home.prints(&["wait", name])?, "4\n")?;
    let logs = home.output(&["logs", "-t", name])?;
    let (out, err) = (String::from_utf8_lossy(&logs.stdout), String::from_utf8_lossy(&logs.stderr));
    if !out.ends_with("Z said\n") || !err.contains("Z errors\n") || !out.starts_with("20") {
        return Err(format!("logs -t: {logs:?}").into());
    }
    home.prints(&["rm", name])?;
    home.nothing_left()
}

fn the_directory_is_the_users_alone() -> Result {
    let home = Home::new("alone")?;
    // The guest is given the very directory, and still reaches nobody there.
    let granted = format!("{}:/granted:rw", home.runtime.display());
    let python = "import socket\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n\
        try:\n s.connect('/granted/litebox/box/control'); print('connected')\n\
        except OSError as e:\n print(e.strerror)";
    home.start("box", &["-v", &granted])?;
    let dir = home.runtime.join("litebox");
    for (path, mode) in [(dir.clone(), 0o700), (dir.join("box"), 0o700)] {
        let found = fs::metadata(&path)?.permissions().mode() & 0o777;
        if found != mode {
            return Err(format!("{} has mode {found:o}", path.display()).into());
        }
    }
    same("connect", &home.prints(&["exec", "box", "/usr/bin/python3", "-c", python])?, "Connection refused\n")?;
    if is_root() {
        let mut other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(home.own.program());
        other.args(["exec", "box", "true"]).env("XDG_RUNTIME_DIR", &home.runtime).current_dir("/");
        let output = other.output()?;
        if output.status.code() != Some(125) {
            return Err(format!("somebody else: {output:?}").into());
        }
    }
    home.prints(&["rm", "-f", "box"])?;
    // A directory that others may write to is not used.
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777))?;
    let refused = home.fails(&["run", "-d", "--name", "y", "--", "true"], 125, "is not a directory of yours alone");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
    refused
}

fn on_a_terminal() -> Result {
    let home = Home::new("terminal")?;
    home.start("box", &[])?;
    let mut command = home.command(&["exec", "-it", "-e", "PS1=<re''ady>", "box", "bash", "--norc", "-i"]);
    command.env("TERM", "xterm");
    let mut user = TerminalUser::start(command, &[0, 1, 2])?;
    let before = user.before;
    user.types("PS1='<re''ady>'\n")?;
    user.sees("<ready>")?;
    user.types("stty size; tty\n")?;
    user.sees("24 80")?;
    user.sees("/dev/pts/")?;
    user.sees("<ready>")?;
    // Whoever changes the size interrupts the shell at any moment; it goes on reading.
    for rows in 25..60 {
        user.resizes(rows, 100)?;
        user.types(":\n")?;
        user.sees("<ready>")?;
    }
    user.resizes(30, 100)?;
    user.types("until [ \"$(stty size)\" = '30 100' ]; do sleep 0.05; done; echo res''ized\n")?;
    user.sees("resized")?;
    user.sees("<ready>")?;
    user.types("sh -c 'echo star''ted; exec sleep 1000'\n")?;
    user.sees("started")?;
    user.types("\x03")?;
    user.sees("<ready>")?;
    user.types("echo status $?\n")?;
    user.sees("\rstatus 130\r\n")?;
    user.sees("<ready>")?;
    user.types("exit 6\n")?;
    let (status, shown) = user.ends()?;
    if status != 6 || user.settings() != before {
        return Err(format!("status {status}, settings {:?} instead of {before:?}: {shown}", user.settings()).into());
    }
    // A terminal that goes away takes its programs along.
    let mut user =
        TerminalUser::start(home.command(&["exec", "-it", "box", "sh", "-c", "echo on; exec sleep 777"]), &[0, 1, 2])?;
    user.sees("on")?;
    let mut child = user.leaves();
    child.wait()?;
    let until = Instant::now() + PATIENCE;
    while home.prints(&["exec", "box", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"])?.contains("sleep 777 ") {
        if Instant::now() > until {
            return Err("the program of a terminal that is gone goes on".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // A shell in the background has a terminal, too.
    home.prints(&["run", "-dit", "--name", "shell", "--", "sh", "-c", "tty; test -t 0 && echo yes; exec sh"])?;
    home.logs_say("shell", "/dev/pts/0")?;
    home.logs_say("shell", "yes")?;
    same("state", &home.state("shell")?, "running")?;
    home.prints(&["rm", "-f", "box", "shell"])?;
    home.nothing_left()
}

fn files_go_in_and_out() -> Result {
    let home = Home::new("copy")?;
    home.start("box", &[])?;
    let dir = home.own.dir.join("files");
    fs::create_dir_all(dir.join("tree/sub"))?;
    fs::write(dir.join("tree/sub/program"), "#!/bin/sh\necho ran\n")?;
    fs::set_permissions(dir.join("tree/sub/program"), fs::Permissions::from_mode(0o755))?;
    std::os::unix::fs::symlink("sub/program", dir.join("tree/link"))?;
    let at = |name: &str| dir.join(name).display().to_string();
    home.prints(&["cp", &at("tree"), "box:/tmp"])?;
    same("ran", &home.prints(&["exec", "box", "/tmp/tree/link"])?, "ran\n")?;
    home.prints(&["cp", &at("tree"), "box:/tmp/other"])?;
    same("renamed", &home.prints(&["exec", "box", "/tmp/other/sub/program"])?, "ran\n")?;
    home.prints(&["cp", &at("tree/."), "box:/tmp/contents"])?;
    same("contents", &home.prints(&["exec", "box", "/tmp/contents/sub/program"])?, "ran\n")?;
    home.prints(&["exec", "box", "sh", "-c", "echo made > /tmp/tree/made; chmod 4750 /tmp/tree/sub/program"])?;
    home.prints(&["cp", "box:/tmp/tree", &at("back")])?;
    same("made", &fs::read_to_string(dir.join("back/made"))?, "made\n")?;
    same("link", &fs::read_link(dir.join("back/link"))?.display().to_string(), "sub/program")?;
    let mode = fs::metadata(dir.join("back/sub/program"))?.permissions().mode() & 0o7777;
    if mode != 0o750 {
        return Err(format!("the mode became {mode:o}").into());
    }
    home.prints(&["cp", "box:/tmp/tree/made", &at("back")])?;
    home.prints(&["cp", "box:/tmp/tree/made", &at("alone")])?;
    same("alone", &fs::read_to_string(dir.join("alone"))?, "made\n")?;
    home.fails(&["cp", "box:/tmp/nosuch", &at("x")], 1, "No such file or directory")?;
    home.fails(&["cp", &at("nosuch"), "box:/tmp"], 1, "No such file or directory")?;
    home.fails(&["cp", &at("tree"), &at("x")], 1, "neither source nor destination is in a sandbox")?;
    // What a sandbox says is in the archive does not lead out of the destination: its tar can be any program.
    let python = "import io, sys, tarfile\nout = tarfile.open(fileobj=sys.stdout.buffer, mode='w|')\n\
        link = tarfile.TarInfo('evil/out'); link.type = tarfile.SYMTYPE; link.linkname = '..'; out.addfile(link)\n\
        for name in ('evil/out/escaped', '../escaped', 'evil/../../escaped'):\n \
        info = tarfile.TarInfo(name); info.size = 3; out.addfile(info, io.BytesIO(b'bad'))\nout.close()\n";
    let script = format!("#!/usr/bin/python3\n{python}");
    fs::write(dir.join("tar"), script)?;
    fs::set_permissions(dir.join("tar"), fs::Permissions::from_mode(0o755))?;
    let bin = format!("{}:/evil:ro", dir.display());
    home.start("evil", &["-v", &bin, "-e", "PATH=/evil:/usr/bin:/bin"])?;
    fs::create_dir_all(dir.join("into/deep"))?;
    // Refused, or left out; in no case obeyed.
    drop(home.output(&["cp", "evil:/tmp/evil", &at("into/deep")])?);
    for outside in ["into/escaped", "escaped"] {
        if dir.join(outside).exists() {
            return Err(format!("the sandbox wrote {outside}").into());
        }
    }
    home.prints(&["rm", "-f", "evil"])?;
    let listed = home.prints(&["top", "box"])?;
    if !listed.starts_with("UID") || !listed.contains("sleep 1000") {
        return Err(format!("top: {listed}").into());
    }
    fs::remove_dir_all(&dir)?;
    home.prints(&["rm", "-f", "box"])?;
    home.nothing_left()
}

/// What a sandbox changed is saved while it runs, as it was at one moment.
fn saved_while_it_runs() -> Result {
    let home = Home::new("saved")?;
    let dir = home.own.dir.join("files");
    fs::create_dir_all(dir.join("tree"))?;
    fs::write(dir.join("tree/kept"), "kept\n")?;
    let at = |name: &str| dir.join(name).display().to_string();
    // Two files grow in turns; somebody sleeps all the time, somebody waits for a child of vfork(2).
    let program = "rm kept; trap 'exit 9' TERM; sleep 1000 & perl -e 'system(\"sleep 1000\")' &
        echo ready; while :; do echo x >> a; echo x >> b; done";
    let volume = format!("{}:/tree:cow", at("tree"));
    home.prints(&["run", "-d", "--name", "box", "-v", &volume, "-w", "/tree", "--", "sh", "-c", program])?;
    home.logs_say("box", "ready")?;
    for round in ["first", "second"] {
        let out = at(round);
        same("save", &home.prints(&["save", "box", &out])?, "box\n")?;
        let len = |name: &str| fs::metadata(dir.join(round).join("tree").join(name)).map_or(0, |meta| meta.len());
        let (a, b) = (len("a"), len("b"));
        if a == 0 || a != b && a != b + 2 || !dir.join(round).join("tree/.wh.kept").exists() {
            return Err(
                format!("{round}: a has {a} bytes, b {b}: {:?}", fs::read_dir(dir.join(round).join("tree"))?).into()
            );
        }
    }
    let layer = at("layer.tar.zst");
    home.prints(&["save", "box", &layer])?;
    same("diff", &home.prints(&["diff", &layer])?, "C /tree\nA /tree/a\nA /tree/b\nD /tree/kept\n")?;
    same("state", &home.state("box")?, "running")?;
    home.fails(&["save", "box", &at("layer.tar.gz")], 1, "a layer is saved as .tar or .tar.zst")?;
    home.prints(&["stop", "box"])?;
    same("wait", &home.prints(&["wait", "box"])?, "9\n")?;
    home.fails(&["save", "box", &at("late.tar")], 1, "has ended, and what it changed is gone")?;
    home.prints(&["rm", "box"])?;
    home.nothing_left()
}

/// Who does not listen to `litebox stop` is killed, and what it changed is saved all the same; so it is by `kill`.
fn stopped_ones_are_saved() -> Result {
    let home = Home::new("stop-saves")?;
    let dir = home.own.dir.join("files");
    fs::create_dir_all(dir.join("tree"))?;
    let at = |name: &str| dir.join(name).display().to_string();
    let program = "trap '' TERM; echo made > made; echo ready; while :; do sleep 1; done";
    let volume = format!("{}:/tree:cow", at("tree"));
    for (name, end) in [("stopped", &["stop", "-t", "100ms", "stopped"][..]), ("killed", &["kill", "killed"][..])] {
        let layer = at(&format!("{name}.tar"));
        let options = ["--name", name, "-v", &volume, "-w", "/tree", "--save", &layer, "--", "sh", "-c", program];
        home.prints(&[&["run", "-d"], options.as_slice()].concat())?;
        home.logs_say(name, "ready")?;
        home.prints(end)?;
        same("wait", &home.prints(&["wait", name])?, "137\n")?;
        same("diff", &home.prints(&["diff", &layer])?, "C /tree\nA /tree/made\n")?;
        home.prints(&["rm", name])?;
    }
    home.nothing_left()
}

const TESTS: &[NamedTest] = &[
    ("lifecycle", lifecycle),
    ("exec_is_a_program_of_the_sandbox", exec_is_a_program_of_the_sandbox),
    ("exec_carries_streams", exec_carries_streams),
    ("a_hundred_at_once", a_hundred_at_once),
    ("the_end_of_the_sandbox_ends_what_runs_in_it", the_end_of_the_sandbox_ends_what_runs_in_it),
    ("stop_kills_who_does_not_listen", stop_kills_who_does_not_listen),
    ("pause_and_unpause", pause_and_unpause),
    ("a_killed_broker_is_told_from_one_that_runs", a_killed_broker_is_told_from_one_that_runs),
    ("what_cannot_be_started_leaves_nothing", what_cannot_be_started_leaves_nothing),
    ("the_directory_is_the_users_alone", the_directory_is_the_users_alone),
    ("on_a_terminal", on_a_terminal),
    ("files_go_in_and_out", files_go_in_and_out),
    ("saved_while_it_runs", saved_while_it_runs),
    ("stopped_ones_are_saved", stopped_ones_are_saved),
];

fn main() {
    if litebox_test_support::host_only() {
        return;
    }
    litebox_test_support::run_table(TESTS);
}
