//! The boundary: a guest that owns its whole process, our code included, reaches nothing outside.
//!
//! `litebox run --test-hostile` tells the guest where the host-call gadget is; `guests/compromised_kernel.c` jumps to
//! it. What may be called is read from the table of `docs/security.md`, so that the page cannot promise less than the
//! filter allows.

#[path = "hostile/compat.rs"]
mod compat;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use libtest_mimic::Failed;
use litebox_test_support::compile::{self, Variant};
use litebox_test_support::remains::Own;
use litebox_test_support::{NamedTest, ProgramResult, Result, is_root, program_result, skip};

/// How a sandbox is started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    WithoutNamespaces,
    OrdinaryUser,
    /// Calls of the guest are caught by a second filter instead of by dispatch, as on hosts that lack that.
    WithoutDispatch,
}

const REFUSED_STATUS: i32 = 159;
const LAST_NUMBER: u32 = 600;

/// Ends with the test, however it ends.
struct Canary(Child);

impl Drop for Canary {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What a sandbox needs, where an ordinary user may read it, and what must stay as it is.
struct Scene {
    own: Own,
    dir: PathBuf,
    process: Canary,
    /// The hostile program.
    guest: &'static str,
}

/// A program as the user of `way`, under limits as prlimit(1) takes them.
fn as_user(limits: &[&str], way: Way, program: &str) -> Command {
    let mut words: Vec<String> = Vec::new();
    if !limits.is_empty() {
        words.extend(["prlimit"].iter().chain(limits).map(ToString::to_string));
    }
    if way == Way::OrdinaryUser {
        // A user that no other test uses meanwhile: the host counts much by user.
        let user = 60_000 + std::process::id() % 4_000;
        words.extend(["setpriv".into(), format!("--reuid={user}"), format!("--regid={user}")]);
        words.extend(["--clear-groups".into(), "--".into()]);
    }
    words.push(program.into());
    let mut command = Command::new(words.first().map_or("", String::as_str));
    command.args(words.iter().skip(1));
    command
}

impl Scene {
    fn set(name: &str) -> std::result::Result<Self, Failed> {
        let own = Own::new(&format!("hostile-{name}"))?;
        let dir = own.dir.clone();
        fs::create_dir(dir.join("guests"))?;
        fs::copy(compile::guest("compromised_kernel.c", Variant::Static, &[])?, dir.join("guests/compromised_kernel"))?;
        fs::copy(
            compile::guest("neighbours.c", Variant::Static, &["-pthread".into()])?,
            dir.join("guests/neighbours"),
        )?;
        fs::write(dir.join("canary"), "alive")?;
        let process = Canary(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn()?);
        Ok(Self { own, dir, process, guest: "compromised_kernel" })
    }

    fn run(&self, way: Way, args: &[&str]) -> std::io::Result<ProgramResult> {
        self.run_for("10s", way, args)
    }

    fn run_for(&self, limit: &str, way: Way, args: &[&str]) -> std::io::Result<ProgramResult> {
        program_result::run(self.command(limit, way, args), b"", Duration::from_secs(20))
    }

    fn command(&self, limit: &str, way: Way, args: &[&str]) -> Command {
        let mut command = self.run_command(&[], limit, way, self.guest);
        command.args(args);
        command
    }

    /// `litebox run` of one of the guests, under limits as prlimit(1) takes them.
    fn run_command(&self, limits: &[&str], time: &str, way: Way, guest: &str) -> Command {
        let mut command = self.run_any(limits, time, way);
        command.arg(format!("/guests/{guest}"));
        command
    }

    /// `litebox run`, up to the program.
    fn run_any(&self, limits: &[&str], time: &str, way: Way) -> Command {
        let mut command = as_user(limits, way, &self.own.program().to_string_lossy());
        command.args(["run", "--test-hostile", "--timeout", time]);
        if way == Way::WithoutNamespaces {
            command.arg("--test-no-namespaces");
        }
        if way == Way::WithoutDispatch {
            command.args(["--interception-backend", "seccomp"]);
        }
        command.arg("-v").arg(format!("{}:/guests:ro", self.dir.join("guests").display()));
        command.args(["-w", "/", "--"]).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A sandbox with an honest program that needs a little of everything; what is wrong with its end.
    fn use_everything(&self, way: Way) -> std::result::Result<Option<String>, Failed> {
        let mut command = self.run_command(HOST_LIMITS, "20s", way, "neighbours");
        command.arg("use");
        let outcome = program_result::run(command, b"", Duration::from_secs(30))?;
        Ok((outcome.status != 0 || outcome.out() != "used\n").then(|| outcome.to_string()))
    }

    /// The file and the process outside are as they were.
    fn untouched(&mut self) -> Result {
        if fs::read(self.dir.join("canary"))? != b"alive" || self.process.0.try_wait()?.is_some() {
            return Err("the sandbox reached something outside".into());
        }
        Ok(())
    }
}

/// The numbers in the first column of the table of allowed calls: `| 0 | read | ...`.
fn allowed() -> std::result::Result<BTreeSet<u32>, Failed> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/security.md");
    let text = fs::read_to_string(page)?;
    let first = |line: &str| line.strip_prefix('|')?.split('|').next()?.trim().parse().ok();
    let numbers: BTreeSet<u32> = text.lines().filter_map(first).collect();
    if numbers.is_empty() || numbers.len() > 40 {
        return Err(format!("{} allowed calls in docs/security.md: expected 1 to 40", numbers.len()).into());
    }
    Ok(numbers)
}

/// Numbers that newer hosts answer before they ask any filter (docs/security.md).
const BEFORE_THE_FILTER: [u32; 2] = [335, 336];
/// The host raises SIGILL in the kernel's own code, which ends the sandbox; or it answers with ENXIO.
const BROKEN_STATUS: i32 = 70;
const NO_SUCH_ADDRESS: &str = "ready\nresult -6\n";

/// What is wrong with the end of a sandbox whose guest made a refused call.
fn not_refused(outcome: &ProgramResult, number: u32, mode: &str) -> Option<String> {
    let (out, err) = (outcome.out(), outcome.err());
    let lines: Vec<&str> = err.lines().collect();
    let clear = lines.len() == 1 && lines.iter().all(|line| line.starts_with("litebox: refused host call"));
    let named = lines.iter().any(|line| line.contains(&format!("({number},")));
    let harmless = outcome.status == BROKEN_STATUS && err.contains("signal 4 ") || out == NO_SUCH_ADDRESS;
    let refused = outcome.status == REFUSED_STATUS && clear && named && out == "ready\n";
    if refused || mode == "64" && BEFORE_THE_FILTER.contains(&number) && harmless {
        return None;
    }
    Some(format!("call {number}: status {}, stdout {out:?}, stderr {err:?}", outcome.status))
}

fn refused_calls(mut scene: Scene, mode: &str, way: Way, numbers: impl Iterator<Item = u32>) -> Result {
    let mut wrong = Vec::new();
    for number in numbers {
        let outcome = scene.run(way, &[mode, &number.to_string()])?;
        wrong.extend(not_refused(&outcome, number, mode));
        if wrong.len() >= 10 {
            break;
        }
    }
    scene.untouched()?;
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn every_number(name: &str, way: Way) -> Result {
    if litebox_test_support::host_only() {
        return Ok(());
    }
    if way == Way::OrdinaryUser && !is_root() {
        return skip("not root: the other tests run as an ordinary user");
    }
    let allowed = allowed()?;
    refused_calls(Scene::set(name)?, "64", way, (0..=LAST_NUMBER).filter(|number| !allowed.contains(number)))
}

fn refused_calls_plain() -> Result {
    every_number("plain", Way::Plain)
}

fn refused_calls_without_namespaces() -> Result {
    every_number("no-namespaces", Way::WithoutNamespaces)
}

fn refused_calls_as_ordinary_user() -> Result {
    every_number("user", Way::OrdinaryUser)
}

/// The filter is the same one: a sample says that it is in force.
fn refused_calls_without_dispatch() -> Result {
    if litebox_test_support::host_only() {
        return Ok(());
    }
    let allowed = allowed()?;
    let sample = (0..=LAST_NUMBER).filter(|number| !allowed.contains(number)).step_by(7);
    refused_calls(Scene::set("no-dispatch")?, "64", Way::WithoutDispatch, sample)
}

/// No number is allowed through the entries of other architectures.
fn i386_entry() -> Result {
    if litebox_test_support::host_only() {
        return Ok(());
    }
    refused_calls(Scene::set("i386")?, "i386", Way::Plain, 0..=LAST_NUMBER)
}

fn x32_entry() -> Result {
    if litebox_test_support::host_only() {
        return Ok(());
    }
    refused_calls(Scene::set("x32")?, "x32", Way::Plain, 0..=LAST_NUMBER)
}

/// Calls with arguments that the filter must refuse.
const REFUSED_ATTACKS: &[&str] = &[
    "clone-newns",
    "clone-newcgroup",
    "clone-newuts",
    "clone-newipc",
    "clone-newuser",
    "clone-newpid",
    "clone-newnet",
    "clone-ptrace",
    "clone-untraced",
    "tiocsti",
    "tiocsti-wide",
    "set-terminal",
    "tioclinux",
    "tiocsctty",
    "tiocspgrp",
    "tioccons",
    "fiosetown",
    "mmap-shared-anonymous",
    "prctl-dumpable",
    "prctl-wide",
    "prctl-ptracer",
    "prctl-seccomp",
    "prctl-mm",
    "deathsig-none",
    "deathsig-other",
    "deathsig-wide",
    "sendmsg-stdin",
    "sendmsg-stderr",
    "sendmsg-events",
    "sendmsg-other",
    "sendmsg-wide",
    "close-requests",
    "close-readers",
    "close-events",
    "close-net",
    "close-wide",
    "close-signed",
    "execve-uncaught",
    "open-uncaught",
];
/// What a hostile program may do to itself: it may die of it, and that is all.
const HARMLESS_ATTACKS: &[&str] = &[
    "map-over-kernel",
    "unmap-kernel",
    "unmap-stack",
    "wide-number",
    "fake-frame",
    "trap-flag",
    "direction-flag",
    "alignment-check",
    "mxcsr",
    "gs",
    "stack",
    "timer-of-others",
    "exit-thread",
    "exit-process",
    "close-descriptors",
    "broker-garbage",
    "pass-descriptor",
    "pass-many-3",
    "pass-many-4",
];
/// What may make a sandbox hang, which its time limit ends.
const CRIPPLING_ATTACKS: &[&str] = &["overwrite-heap", "hold-locks"];

/// What is wrong with an attack that the filter must refuse.
fn check_refused(scene: &Scene, way: Way, name: &str) -> std::result::Result<Option<String>, Failed> {
    let outcome = scene.run(way, &["attack", name])?;
    let refused = outcome.status == REFUSED_STATUS && outcome.err().starts_with("litebox: refused host call");
    Ok((!refused).then(|| format!("{name}: {outcome}")))
}

/// What is wrong with an attack after which nothing may have happened outside, and nothing may be left.
fn check_harmless(scene: &Scene, way: Way, name: &str, may_hang: bool) -> std::result::Result<Option<String>, Failed> {
    let outcome = scene.run_for(if may_hang { "1s" } else { "10s" }, way, &["attack", name])?;
    let late = outcome.timed_out || outcome.status == 124 && !may_hang;
    let text = outcome.out();
    let worked = text.contains("timers 1") || text.contains("found 0") || text.contains("no attack");
    let left = scene.own.left(Duration::from_secs(1));
    let wrong = late || worked || !text.starts_with("ready\n") || !left.is_empty();
    Ok(wrong.then(|| format!("{name}: {outcome}\nprocesses left: {left:?}")))
}

fn attacks() -> Result {
    if litebox_test_support::host_only() {
        return Ok(());
    }
    let mut scene = Scene::set("attacks")?;
    let mut wrong = Vec::new();
    for way in [Way::Plain, Way::WithoutNamespaces, Way::OrdinaryUser, Way::WithoutDispatch] {
        if way == Way::OrdinaryUser && !is_root() {
            continue;
        }
        for name in REFUSED_ATTACKS {
            wrong.extend(check_refused(&scene, way, name)?);
        }
        for name in HARMLESS_ATTACKS {
            wrong.extend(check_harmless(&scene, way, name, false)?);
        }
        for name in CRIPPLING_ATTACKS {
            wrong.extend(check_harmless(&scene, way, name, true)?);
        }
    }
    scene.untouched()?;
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// A sandbox that has filled whatever it can fill, until it is told to end.
struct Full {
    sandbox: Child,
}

impl Full {
    /// Starts it and reads the lines that say what is full.
    fn start(mut command: Command, lines: usize) -> std::result::Result<(Self, Vec<String>), Failed> {
        use std::io::{BufRead, BufReader};
        let mut sandbox = command.stdin(Stdio::piped()).spawn()?;
        let output = sandbox.stdout.take().ok_or("no output")?;
        let said = |line: &String| line != "ready";
        let told = BufReader::new(output).lines().map_while(std::result::Result::ok).filter(said).take(lines).collect();
        Ok((Self { sandbox }, told))
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        drop(self.sandbox.stdin.take());
        drop(program_result::wait(&mut self.sandbox, Duration::from_secs(10)));
    }
}

/// Limits of the host that a sandbox can fill; what is allowed by default on many machines, or less.
const HOST_LIMITS: &[&str] = &["--nofile=1024:1024", "--nproc=200:200", "--sigpending=4000:4000"];

/// What a sandbox fills is its own: another one of the same user starts and does its work meanwhile.
fn neighbours_are_not_harmed() -> Result {
    if litebox_test_support::host_only() {
        return Ok(());
    }
    let scene = Scene::set("neighbours")?;
    let mut wrong = Vec::new();
    for (way, attacks) in [
        (Way::Plain, ["fill-messages", "fill-timers", "fill-processes"].as_slice()),
        (Way::WithoutNamespaces, &["fill-messages", "fill-timers", "fill-processes"]),
        (Way::OrdinaryUser, &["fill-messages", "fill-timers", "fill-processes"]),
    ] {
        if !is_root() && way != Way::Plain {
            continue;
        }
        for attack in attacks {
            let mut command = scene.run_command(HOST_LIMITS, "30s", way, "compromised_kernel");
            command.args(["attack", attack]);
            let (full, told) = Full::start(command, 1)?;
            let honest = scene.use_everything(way)?;
            if !told.iter().any(|line| line.starts_with("full ") && line != "full 0") || honest.is_some() {
                wrong.push(format!("{attack}: {told:?}\n{honest:?}"));
            }
            drop(full);
        }
        let mut command = scene.run_command(HOST_LIMITS, "30s", way, "neighbours");
        command.arg("fill");
        let (full, mut told) = Full::start(command, 5)?;
        told.sort();
        let expected = [
            "descriptors in messages: ETOOMANYREFS",
            "inotify: EMFILE",
            "pipes: EMFILE",
            "processes: EAGAIN",
            "timers: EAGAIN",
        ];
        let honest = scene.use_everything(way)?;
        if told != expected || honest.is_some() {
            wrong.push(format!("{told:?}\n{honest:?}"));
        }
        drop(full);
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// An honest program prints the same beside two hostile sandboxes that fork, compute and fill what they can. How long
/// it takes is said; with `LITEBOX_TEST_NEIGHBOURS=1`, on a machine that does nothing else, it may not take more than
/// twice as long as alone.
fn honest_beside_hostile() -> Result {
    if litebox_test_support::host_only() {
        return Ok(());
    }
    const WORK: &str = "i=0; while [ $i -lt 40 ]; do /usr/bin/true; i=$((i+1)); done; \
        seq 1 60000 | sort -n | sha256sum; ls /usr/bin | wc -l";
    const STORM: &str =
        "b() { while :; do /usr/bin/true & done; }; for i in 1 2 3 4; do b & done; echo storms; read line";
    let scene = Scene::set("beside")?;
    let honest = || -> std::result::Result<(Duration, String), Failed> {
        let mut command = scene.run_any(&[], "60s", Way::Plain);
        command.args(["/bin/sh", "-c", WORK]);
        let start = std::time::Instant::now();
        let outcome = program_result::run(command, b"", Duration::from_secs(90))?;
        if outcome.status != 0 {
            return Err(format!("the honest program\n{outcome}").into());
        }
        Ok((start.elapsed(), outcome.out()))
    };
    let shortest = || -> std::result::Result<(Duration, String), Failed> {
        let mut best = honest()?;
        for _ in 0..2 {
            let (time, said) = honest()?;
            if said != best.1 {
                return Err(format!("it printed {said:?}, and before {:?}", best.1).into());
            }
            best.0 = best.0.min(time);
        }
        Ok(best)
    };
    let (alone, said) = shortest()?;
    let mut storm = scene.run_any(&[], "120s", Way::Plain);
    storm.args(["/bin/bash", "-c", STORM]);
    let mut filling = scene.run_command(HOST_LIMITS, "120s", Way::Plain, "neighbours");
    filling.arg("fill");
    let storm = Full::start(storm, 1)?;
    let filling = Full::start(filling, 5)?;
    let (beside, then_said) = shortest()?;
    drop((storm, filling));
    println!("{alone:?} alone, {beside:?} beside two hostile sandboxes");
    if said != then_said {
        return Err(format!("alone {said:?}, beside {then_said:?}").into());
    }
    if litebox_test_support::flag("LITEBOX_TEST_NEIGHBOURS") && beside > alone * 2 {
        return Err(format!("{alone:?} alone, {beside:?} beside two hostile sandboxes").into());
    }
    Ok(())
}

/// Other programs of the user have as many descriptors in flight as the sandbox may have open: the broker can pass
/// none. The guest is told so, and gets its file once they are received.
fn a_full_host_is_an_error() -> Result {
    use std::io::{BufRead, BufReader, Write};
    const PARK: &str = "import socket, sys\n\
        a, b = socket.socketpair()\n\
        for _ in range(5): socket.send_fds(a, [b'x'], [0] * 200)\n\
        print('parked', flush=True); sys.stdin.read()";
    if litebox_test_support::host_only() {
        return Ok(());
    }
    let way = if is_root() { Way::OrdinaryUser } else { Way::Plain };
    let scene = Scene::set("full-host")?;
    fs::write(scene.dir.join("guests/file"), "content\n")?;
    let script =
        "echo ready; for i in 1 2; do read x; if read y < /guests/file; then echo $y; else echo refused; fi; done";
    let mut command = scene.run_any(&["--nofile=700:700"], "30s", way);
    let mut sandbox = command.args(["/usr/bin/bash", "-c", script]).stdin(Stdio::piped()).spawn()?;
    let (mut input, output) = sandbox.stdin.take().zip(sandbox.stdout.take()).ok_or("no pipes")?;
    let mut output = BufReader::new(output).lines().map_while(std::result::Result::ok);
    let started = output.next();
    let mut parking = as_user(&[], way, "/usr/bin/python3");
    let mut parking = parking.args(["-c", PARK]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let parked = parking.stdout.take().map(|out| BufReader::new(out).lines().next());
    input.write_all(b"now\n")?;
    let refused = output.next();
    drop(parking.stdin.take());
    parking.wait()?;
    input.write_all(b"again\n")?;
    let served = output.next();
    let outcome = program_result::finish(sandbox, Duration::from_secs(20))?;
    let said = outcome.err().contains("Too many open files in system");
    if refused.as_deref() == Some("refused") && served.as_deref() == Some("content") && said && outcome.status == 0 {
        return Ok(());
    }
    Err(format!("{started:?}, {parked:?}, {refused:?}, {served:?}\n{outcome}").into())
}

fn unconnected_tcp_socket() -> std::io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: no memory is passed; a descriptor that was made is ours.
    unsafe {
        match libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) {
            -1 => Err(std::io::Error::last_os_error()),
            fd => Ok(std::os::fd::OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// A socket that somebody gave as standard input is for reading and writing: no message of the sandbox names another
/// address.
fn sockets_are_not_redirected() -> Result {
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::OwnedFd;
    if litebox_test_support::host_only() {
        return Ok(());
    }
    let scene = Scene::set("redirect")?;
    let (given, meant, forbidden) =
        (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    given.connect(meant.local_addr()?)?;
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let (forbidden_tcp, fresh) = (tcp.local_addr()?.port(), unconnected_tcp_socket()?);
    let attempts: [(OwnedFd, u16); 2] = [(given.into(), forbidden.local_addr()?.port()), (fresh, forbidden_tcp)];
    for (socket, port) in attempts {
        for way in [Way::Plain, Way::WithoutNamespaces] {
            let mut command = scene.command("10s", way, &["attack", "redirect", &port.to_string()]);
            command.stdin(socket.try_clone()?);
            let outcome = program_result::run(command, b"", Duration::from_secs(20))?;
            if outcome.status != REFUSED_STATUS || !outcome.err().contains("sendmsg (46, x86_64)") {
                return Err(format!("{outcome}").into());
            }
        }
    }
    forbidden.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    let reached = forbidden.recv(&mut [0; 8]).is_ok() || tcp.accept().is_ok();
    if reached { Err("the sandbox reached another address".into()) } else { Ok(()) }
}

/// A process of the sandbox holds the broker's sockets, memory, what waits for events, and the files of its volumes
/// that are open.
fn descriptors() -> Result {
    use std::os::unix::fs::MetadataExt;
    if litebox_test_support::host_only() {
        return Ok(());
    }
    let scene = Scene::set("descriptors")?;
    let own = fs::metadata(scene.dir.join("guests/compromised_kernel"))?.ino();
    for way in [Way::Plain, Way::WithoutNamespaces, Way::WithoutDispatch] {
        let outcome = scene.run(way, &["attack", "read-descriptors"])?;
        let text = outcome.out();
        let held: Vec<(&str, u64)> = text
            .lines()
            .filter_map(|line| {
                let mut words = line.strip_prefix("descriptor ")?.split(' ').skip(1);
                Some((words.next()?, words.next()?.parse().ok()?))
            })
            .collect();
        let known = |(kind, inode): &(&str, u64)| match *kind {
            "socket" | "memory" | "anonymous" => true,
            "file" => *inode == own,
            _ => false,
        };
        let sockets = held.iter().filter(|(kind, _)| *kind == "socket").count();
        if outcome.status != 0 || held.is_empty() || !held.iter().all(known) || sockets > 4 {
            return Err(format!("its own program is inode {own}\n{outcome}").into());
        }
    }
    Ok(())
}

const TESTS: &[NamedTest] = &[
    ("refused_calls_plain", refused_calls_plain),
    ("refused_calls_without_namespaces", refused_calls_without_namespaces),
    ("refused_calls_as_ordinary_user", refused_calls_as_ordinary_user),
    ("refused_calls_without_dispatch", refused_calls_without_dispatch),
    ("i386_entry", i386_entry),
    ("x32_entry", x32_entry),
    ("attacks", attacks),
    ("sockets_are_not_redirected", sockets_are_not_redirected),
    ("neighbours_are_not_harmed", neighbours_are_not_harmed),
    ("honest_beside_hostile", honest_beside_hostile),
    ("a_full_host_is_an_error", a_full_host_is_an_error),
    ("descriptors", descriptors),
    ("refused_calls_of_32_bits", compat::refused_calls_of_32_bits),
    ("attacks_of_32_bits", compat::attacks_of_32_bits),
];

fn main() {
    litebox_test_support::run_table(TESTS);
}
