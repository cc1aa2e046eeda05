//! The end of a sandbox: it comes whatever happens, takes along everything that the sandbox made, and nothing else.

mod common;

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use common::compile::{self, Variant};
use common::remains::Own;
use common::{NamedTest, Result, is_root, program_result, skip};
use libtest_mimic::Failed;

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

/// At random moments of programs that fork, execute and end, with and without namespaces, by root and by others: `litebox` or its supervisor is killed, and
/// nothing stays. `LITEBOX_TEST_KILLS` says how often.
fn killed_at_random() -> Result {
    if !is_root() {
        return skip("only root is told of all processes");
    }
    let own = Own::new("random")?;
    let times = std::env::var("LITEBOX_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
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
        let supervisor = victims.iter().copied().find(|pid| parent_of(*pid) == Some(child.id() as i32));
        match supervisor.filter(|_| random(&mut state, 3) == 0) {
            // SAFETY: no pointers. It is a child of `litebox`, which waits for it; it has ended at worst.
            Some(supervisor) => drop(unsafe { libc::kill(supervisor, libc::SIGKILL) }),
            None => child.kill()?,
        }
        if program_result::wait(&mut child, PATIENCE)?.1.is_some() {
            return Err(format!("round {round}: litebox did not end with its supervisor").into());
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
    ("ignored_signals_stay_ignored", ignored_signals_stay_ignored),
    ("ignored_ends_of_children_are_heard", ignored_ends_of_children_are_heard),
];

fn main() {
    assert!(Path::new("/proc/self").exists(), "these tests look at processes");
    if common::host_only() {
        return;
    }
    common::run_table(TESTS);
}
