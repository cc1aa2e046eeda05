//! The end of a sandbox: it comes whatever happens, takes along everything that the sandbox made, and nothing else.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use litebox_test_support::compile::{self, Variant};
use litebox_test_support::remains::Own;
use litebox_test_support::terminal_user::TerminalUser;
use litebox_test_support::{NamedTest, Result, is_root, program_result, skip};

/// How long the end of all processes may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
const WITHOUT_NAMESPACES: &str = "--test-no-namespaces";

fn litebox(own: &Own, options: &[&str], program: &[&str]) -> Command {
    let mut command = Command::new(own.program());
    command.arg("run").args(options).args(["-w", "/", "--"]).args(program).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same as somebody who is not root.
fn as_nobody(command: &Command) -> Command {
    let mut lowered = Command::new("setpriv");
    lowered.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    lowered.arg(command.get_program()).args(command.get_args()).current_dir("/");
    lowered.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    lowered
}

fn nothing_left(own: &Own, after: &str) -> Result {
    let left = own.left(PATIENCE);
    if left.is_empty() { Ok(()) } else { Err(format!("after {after} these are left: {left:#?}").into()) }
}

/// A running `litebox` whose program says something.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?);
        Ok(Self { child, lines })
    }
    fn says(&mut self, wanted: &str) -> Result {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        if line.trim_end() == wanted { Ok(()) } else { Err(format!("{line:?} instead of {wanted:?}").into()) }
    }
    fn signal(&self, signal: i32) {
        // SAFETY: no pointers; our child keeps its number until it is waited for.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }
    /// Waits for its end; returns its status and the rest of what it said.
    fn ends(mut self, patience: Duration) -> std::result::Result<(i32, String), Failed> {
        let (status, late) = program_result::wait(&mut self.child, patience)?;
        if let Some(standstill) = late {
            return Err(format!("it did not end: {standstill}").into());
        }
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest)?;
        Ok((program_result::status_code(status), rest))
    }
}

/// Whoever runs `litebox` by exec(3) has children already: they are none of its business.
fn children_from_before() -> Result {
    let own = Own::new("before")?;
    for option in ["--hostname=a", WITHOUT_NAMESPACES] {
        let log = own.dir.join("log");
        let script = format!(
            "sleep 1000 & echo $!; exec {} run {option} -w / -- sh -c 'echo one; echo two' > >(sleep 0.5; cat >{})",
            own.program().display(),
            log.display()
        );
        let mut command = Command::new("bash");
        command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).current_dir("/");
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
        let (status, late) = program_result::wait(&mut child, PATIENCE)?;
        let sleeper: i32 = line.trim().parse().map_err(|e| format!("{line:?}: {e}"))?;
        // SAFETY: no pointers.
        let alive = unsafe { libc::kill(sleeper, libc::SIGKILL) } == 0;
        let until = Instant::now() + PATIENCE;
        while fs::read_to_string(&log).unwrap_or_default() != "one\ntwo\n" {
            if Instant::now() > until {
                return Err(format!("{option}: the log has {:?}", fs::read_to_string(&log)).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if late.is_some() || program_result::status_code(status) != 0 || !alive {
            return Err(format!("{option}: status {status:?}, the child from before is alive: {alive}").into());
        }
        fs::remove_file(log)?;
    }
    nothing_left(&own, "both runs")
}

/// The steps of a start take some milliseconds: killed at any of them, nothing stays.
fn killed_at_the_start() -> Result {
    if !is_root() {
        return skip("only root is told of all processes");
    }
    let own = Own::new("start")?;
    for round in 0..120u64 {
        let options: &[&str] = if round % 3 == 0 { &[WITHOUT_NAMESPACES] } else { &[] };
        let mut command = litebox(&own, options, &["/bin/sleep", "1000"]);
        if round % 4 == 1 {
            command = as_nobody(&command);
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        // From 0.5 to 12 ms, in an order that looks random.
        std::thread::sleep(Duration::from_micros(500 + round * 7919 % 11_500));
        child.kill()?;
        child.wait()?;
    }
    nothing_left(&own, "SIGKILL at the start")
}

/// A number between 0 and `below`; the state is any number but 0 (xorshift).
fn random(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

/// How many are killed: `LITEBOX_TEST_KILLS` says so, else `usual`.
fn kills(usual: u64) -> u64 {
    std::env::var("LITEBOX_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// At random moments of programs that fork, execute and end, with and without namespaces, by root and by others:
/// `litebox` or its supervisor is killed, and nothing stays.
fn killed_at_random() -> Result {
    if !is_root() {
        return skip("only root is told of all processes");
    }
    let own = Own::new("random")?;
    let times = kills(40);
    let work = "while :; do (true & true | cat); /bin/true; sleep 0.001 & done";
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for round in 0..times {
        let options: &[&str] = if random(&mut state, 2) == 0 { &[WITHOUT_NAMESPACES] } else { &[] };
        let mut command = litebox(&own, options, &["/bin/bash", "-c", work]);
        if random(&mut state, 3) == 0 {
            command = as_nobody(&command);
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(Duration::from_micros(random(&mut state, 80_000)));
        let victims = own.running();
        // `litebox` has other children, too; the supervisor leads a session.
        // SAFETY: no pointers.
        let leads = |pid: i32| unsafe { libc::getsid(pid) } == pid;
        let supervisor = victims.iter().copied().find(|pid| parent_of(*pid) == Some(child.id() as i32) && leads(*pid));
        match supervisor.filter(|_| random(&mut state, 3) == 0) {
            // SAFETY: no pointers. It is a child of `litebox`, which waits for it; it has ended at worst.
            Some(supervisor) => drop(unsafe { libc::kill(supervisor, libc::SIGKILL) }),
            None => child.kill()?,
        }
        if let Some(standstill) = program_result::wait(&mut child, PATIENCE)?.1 {
            return Err(format!("round {round}: litebox did not end with its supervisor: {standstill}").into());
        }
        if round % 20 == 19 {
            nothing_left(&own, "random kills")?;
        }
    }
    nothing_left(&own, "random kills")
}

fn parent_of(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Processes that fork and end all the time, tied to nobody, end with `litebox`, however it ends.
fn fork_storms_end() -> Result {
    if !is_root() {
        return skip("only root is told of all processes");
    }
    let own = Own::new("storm")?;
    fs::create_dir(own.dir.join("guests"))?;
    fs::copy(compile::guest("compromised_kernel.c", Variant::Static, &[])?, own.dir.join("guests/compromised_kernel"))?;
    let volume = format!("{}:/guests:ro", own.dir.join("guests").display());
    for (nobody, namespaces, kill) in
        [(false, false, true), (true, false, true), (false, true, true), (false, false, false), (true, false, false)]
    {
        let mut options = vec!["--test-hostile", "-v", &volume];
        if !namespaces {
            options.push(WITHOUT_NAMESPACES);
        }
        let command = litebox(&own, &options, &["/guests/compromised_kernel", "attack", "storm"]);
        let mut running = Running::start(if nobody { as_nobody(&command) } else { command })?;
        running.says("ready")?;
        running.says("storm")?;
        running.signal(if kill { libc::SIGKILL } else { libc::SIGTERM });
        let (status, _) = running.ends(PATIENCE)?;
        let wanted = if kill { 137 } else { 143 };
        if status != wanted {
            return Err(format!("status {status} instead of {wanted}").into());
        }
        nothing_left(&own, &format!("a storm (nobody {nobody}, namespaces {namespaces}, killed {kill})"))?;
    }
    Ok(())
}

/// A guest that has taken every lock of the kernel makes a sandbox that hears nothing. It ends all the same: by a
/// signal, by a second ^C, by what is typed at its console, and with its terminal.
fn wedged_sandboxes_end() -> Result {
    let own = Own::new("wedged")?;
    fs::create_dir(own.dir.join("guests"))?;
    fs::copy(compile::guest("compromised_kernel.c", Variant::Static, &[])?, own.dir.join("guests/compromised_kernel"))?;
    let volume = format!("{}:/guests:ro", own.dir.join("guests").display());
    let options = ["--test-hostile", "-v", &volume];
    for attack in ["hold-locks-and-stay", "hold-locks"] {
        for signals in [&[libc::SIGTERM][..], &[libc::SIGHUP], &[libc::SIGINT, libc::SIGINT]] {
            let mut running =
                Running::start(litebox(&own, &options, &["/guests/compromised_kernel", "attack", attack]))?;
            running.says("ready")?;
            running.says("found 1")?;
            // The locks are taken right after it has said so.
            std::thread::sleep(Duration::from_millis(700));
            for signal in signals {
                running.signal(*signal);
                std::thread::sleep(Duration::from_millis(600));
            }
            let (status, _) = running.ends(PATIENCE)?;
            let by_signal = 128 + signals.first().copied().unwrap_or(0);
            // A process that died with a lock may have been noticed first.
            if status != by_signal && !(attack == "hold-locks" && status == 70) {
                return Err(format!("{attack}, {signals:?}: status {status}").into());
            }
            nothing_left(&own, attack)?;
        }
    }
    for typed in [Some("\x03"), None] {
        let mut command = Command::new(own.program());
        command.arg("run").args(options).args([
            "-w",
            "/",
            "--",
            "/guests/compromised_kernel",
            "attack",
            "hold-locks-and-stay",
        ]);
        let mut user = TerminalUser::start(command, &[0, 1, 2])?;
        user.sees("found 1")?;
        std::thread::sleep(Duration::from_millis(700));
        let status = if let Some(typed) = typed {
            user.types(typed)?;
            user.ends()?.0
        } else {
            let mut child = user.leaves();
            let (status, late) = program_result::wait(&mut child, PATIENCE)?;
            if let Some(standstill) = late {
                return Err(format!("it did not end with its terminal: {standstill}").into());
            }
            program_result::status_code(status)
        };
        let wanted = if typed.is_some() { 130 } else { 129 };
        if status != wanted {
            return Err(format!("typed {typed:?}: status {status}").into());
        }
        nothing_left(&own, "a wedged console")?;
    }
    Ok(())
}

/// The process among `all` that has used the processor most.
fn busiest(all: &[i32]) -> Option<i32> {
    let used = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        number(11) + number(12)
    };
    all.iter().copied().max_by_key(used)
}

/// Starts a shell with one child that works and then waits; returns it and the child's process on the host.
fn with_worker(own: &Own, options: &[&str], work: &str) -> std::result::Result<(Running, i32), Failed> {
    let script =
        format!("mkfifo /tmp/never; /bin/bash -c '{work}' & wait $!; echo \"status $?\"; (exit 3); echo alive $?");
    let mut options = options.to_vec();
    options.extend(["--tmpfs", "/tmp"]);
    let mut running = Running::start(litebox(own, &options, &["/bin/bash", "-c", &script]))?;
    running.says("works")?;
    let mine: Vec<i32> = own.running().into_iter().filter(|pid| *pid != running.child.id() as i32).collect();
    let worker = busiest(&mine).ok_or("no process works")?;
    Ok((running, worker))
}

/// SIGKILL from outside, the host's want of memory among the reasons, is the death of the process that it hits.
fn a_guest_process_dies_alone() -> Result {
    if !is_root() {
        return skip("only root is told of all processes");
    }
    let own = Own::new("alone")?;
    let count = "for ((i = 0; i < 100000; i++)); do :; done; echo works";
    let computes = format!("{count}; while :; do :; done");
    let waits = format!("{count}; read line <>/tmp/never");
    for options in [&[][..], &[WITHOUT_NAMESPACES], &["--interception-backend", "trap"]] {
        for (work, what) in [(&computes, "computes"), (&waits, "waits")] {
            for (signal, status) in [(libc::SIGKILL, 137), (libc::SIGTERM, 143)] {
                let (running, worker) = with_worker(&own, options, work)?;
                std::thread::sleep(Duration::from_millis(30));
                // SAFETY: no pointers; a process of the sandbox just started.
                unsafe { libc::kill(worker, signal) };
                let (ended, said) = running.ends(PATIENCE)?;
                let wanted = format!("status {status}\nalive 3\n");
                if ended != 0 || said != wanted {
                    return Err(format!("{options:?}, it {what}, signal {signal}: status {ended}, {said:?}").into());
                }
            }
        }
    }
    nothing_left(&own, "all of them")
}

/// The same in the middle of calls: it is the death of that process, or the end of the sandbox with a report, but no
/// standstill.
fn nobody_waits_for_locks_of_the_dead() -> Result {
    if !is_root() {
        return skip("only root is told of all processes");
    }
    let own = Own::new("locks")?;
    let count = "for ((i = 0; i < 50000; i++)); do :; done; echo works";
    let calls = format!("{count}; while :; do read -t 0 line </dev/null; echo x >/tmp/file; done 2>/dev/null");
    let (mut alone, mut reported) = (0, 0);
    for round in 0..kills(20) {
        let (running, worker) = with_worker(&own, &[], &calls)?;
        std::thread::sleep(Duration::from_micros(round * 1_777 % 20_000));
        // SAFETY: as above.
        unsafe { libc::kill(worker, libc::SIGKILL) };
        match running.ends(PATIENCE)? {
            (0, said) if said == "status 137\nalive 3\n" => alone += 1,
            (70, _) => reported += 1,
            other => return Err(format!("round {round}: {other:?}").into()),
        }
    }
    println!("{alone} died alone, {reported} ended the sandbox");
    if alone == 0 {
        return Err("no process died alone".into());
    }
    // What can still end the sandbox is a change of an object that others share, caught in the middle.
    if reported > 1 + kills(20) / 500 {
        return Err(format!("{reported} of {} ended the sandbox", kills(20)).into());
    }
    nothing_left(&own, "all of them")
}

/// The first process of the sandbox is the sandbox's program.
fn the_first_process_is_the_sandbox() -> Result {
    if !is_root() {
        return skip("only root is told of all processes");
    }
    let own = Own::new("first")?;
    let mut running = Running::start(litebox(
        &own,
        &[],
        &["/bin/bash", "-c", "for ((i = 0; i < 50000; i++)); do :; done; echo works; while :; do :; done"],
    ))?;
    running.says("works")?;
    let mine: Vec<i32> = own.running().into_iter().filter(|pid| *pid != running.child.id() as i32).collect();
    // SAFETY: no pointers.
    unsafe { libc::kill(busiest(&mine).ok_or("no process works")?, libc::SIGKILL) };
    let (status, _) = running.ends(PATIENCE)?;
    if status != 137 {
        return Err(format!("status {status}").into());
    }
    nothing_left(&own, "its end")
}

/// A limit of the processor's time that `litebox` inherits ends the process that passes it, as on the bare host.
fn processor_limits_end_one_process() -> Result {
    let own = Own::new("cpu")?;
    for limit in ["-t 1", "-S -t 1"] {
        let script = "/bin/bash -c \"while :; do :; done\" 2>/dev/null; echo status $?; echo alive";
        let mut said = Vec::new();
        for program in [format!("{} run -w / --", own.program().display()), String::new()] {
            let text = format!("ulimit {limit}; exec {program} /bin/sh -c '{script}'");
            let mut command = Command::new("bash");
            command
                .args(["-c", &text])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .current_dir("/");
            let outcome = program_result::run(command, b"", Duration::from_secs(60))?;
            said.push((outcome.status, outcome.out()));
        }
        if said.first() != said.get(1) || !said.iter().all(|(_, out)| out.ends_with("alive\n")) {
            return Err(format!("{limit}: in the sandbox and on the bare host {said:?}").into());
        }
    }
    Ok(())
}

/// What whoever started `litebox` had it ignore stays ignored (nohup(1)), by the program too.
fn ignored_signals_stay_ignored() -> Result {
    let own = Own::new("ignored")?;
    let script = "kill -HUP $$; kill -INT $$; echo ready; read line; echo \"<$line>\"";
    for program in [own.program().to_string_lossy().into_owned() + " run -w / --", "exec".into()] {
        let text = format!("trap '' HUP INT; exec {program} /bin/sh -c '{script}'").replace("exec exec", "exec");
        let mut command = Command::new("bash");
        command.args(["-c", &text]).stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir("/");
        let mut running = Running::start(command)?;
        running.says("ready")?;
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGHUP] {
            running.signal(signal);
        }
        std::thread::sleep(Duration::from_millis(200));
        let mut stdin = running.child.stdin.take().ok_or("no pipe")?;
        io::Write::write_all(&mut stdin, b"text\n")?;
        let ended = running.ends(PATIENCE)?;
        if ended != (0, "<text>\n".into()) {
            return Err(format!("{program}: {ended:?}").into());
        }
    }
    Ok(())
}

/// Whoever does not wait for children starts programs that would not hear of theirs (SIGCHLD ignored).
fn ignored_ends_of_children_are_heard() -> Result {
    let own = Own::new("unheard")?;
    let mut command = litebox(&own, &[], &["/bin/sh", "-c", "kill -KILL $$"]);
    // SAFETY: one system call.
    let ignore = || unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        Ok(())
    };
    // SAFETY: the closure makes system calls alone.
    unsafe { command.pre_exec(ignore) };
    let outcome = program_result::run(command, b"", PATIENCE)?;
    if outcome.status != 137 || outcome.timed_out {
        return Err(format!("{outcome}").into());
    }
    // The same when it is the supervisor that ends.
    let mut command = litebox(&own, &[], &["/bin/sh", "-c", "echo there; exec sleep 1000"]);
    // SAFETY: as above.
    unsafe { command.pre_exec(ignore) };
    let mut running = Running::start(command)?;
    running.says("there")?;
    let all = own.running();
    let supervisor = all.into_iter().find(|pid| parent_of(*pid) == Some(running.child.id() as i32));
    if let Some(supervisor) = supervisor {
        // SAFETY: no pointers.
        unsafe { libc::kill(supervisor, libc::SIGKILL) };
        let (status, _) = running.ends(PATIENCE)?;
        if status != 70 {
            return Err(format!("status {status}").into());
        }
    } else {
        running.signal(libc::SIGKILL);
        running.ends(PATIENCE)?;
    }
    Ok(())
}

const TESTS: &[NamedTest] = &[
    ("children_from_before", children_from_before),
    ("killed_at_the_start", killed_at_the_start),
    ("killed_at_random", killed_at_random),
    ("fork_storms_end", fork_storms_end),
    ("wedged_sandboxes_end", wedged_sandboxes_end),
    ("a_guest_process_dies_alone", a_guest_process_dies_alone),
    ("nobody_waits_for_locks_of_the_dead", nobody_waits_for_locks_of_the_dead),
    ("the_first_process_is_the_sandbox", the_first_process_is_the_sandbox),
    ("processor_limits_end_one_process", processor_limits_end_one_process),
    ("ignored_signals_stay_ignored", ignored_signals_stay_ignored),
    ("ignored_ends_of_children_are_heard", ignored_ends_of_children_are_heard),
];

fn main() {
    assert!(Path::new("/proc/self").exists(), "these tests look at processes");
    if litebox_test_support::host_only() {
        return;
    }
    litebox_test_support::run_table(TESTS);
}
