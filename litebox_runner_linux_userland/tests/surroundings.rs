//! Where people run it: containers, old kernels, filters already in force, few descriptors, no /proc, unreadable or
//! read-only directories.

#[path = "surroundings/i686.rs"]
mod i686;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use litebox_test_support::compile::{self, Variant};
use litebox_test_support::{NamedTest, ProgramResult, Result, is_root, program_result, skip};

const LIMIT: Duration = Duration::from_secs(30);
/// A program that makes threads, reads files and waits.
const PROGRAM: &[&str] = &[
    "/usr/bin/python3",
    "-c",
    "import threading, os, time\nt = threading.Thread(target=time.sleep, args=(0.01,))\nt.start(); t.join()\nprint(len(os.listdir('/usr/bin')) > 10)",
];

fn plain(command: &mut Command) {
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

/// Runs `litebox run WORDS` in the surroundings that `host_environment.c` makes.
fn run_in(mode: &str, words: &[&str]) -> std::result::Result<ProgramResult, libtest_mimic::Failed> {
    let helper = compile::guest("host_environment.c", Variant::Static, &[])?;
    let mut command = Command::new(helper);
    command.arg(mode).arg(env!("CARGO_BIN_EXE_litebox")).arg("run").args(["-w", "/"]).args(words);
    plain(&mut command);
    Ok(program_result::run(command, b"", LIMIT)?)
}

fn works_in(mode: &str, options: &[&str]) -> Result {
    let outcome = run_in(mode, &[options, &["--"], PROGRAM].concat())?;
    if outcome.status == 90 {
        return skip(&format!("this machine cannot make the surroundings: {}", outcome.err()));
    }
    if outcome.status != 0 || outcome.out() != "True\n" || !outcome.stderr.is_empty() {
        return Err(format!("{mode}\n{outcome}").into());
    }
    Ok(())
}

fn inside_a_container() -> Result {
    works_in("container", &[])
}

fn on_an_old_kernel() -> Result {
    works_in("old", &[])
}

fn an_old_kernel_says_what_it_lacks() -> Result {
    let outcome = run_in("old", &["--interception-backend", "sud", "--", "/usr/bin/true"])?;
    if outcome.status != 125 || !outcome.err().starts_with("litebox: ") || outcome.err().lines().count() != 1 {
        return Err(format!("{outcome}").into());
    }
    Ok(())
}

fn with_few_descriptors() -> Result {
    works_in("nofile", &[])
}

fn with_strict_limits() -> Result {
    works_in("strict", &[])
}

fn where_somebody_listens_already() -> Result {
    works_in("listener", &[])
}

/// Where the broker cannot listen, the host kills: the call's number is not known, that it was refused is.
fn refused_where_somebody_listens() -> Result {
    let guest = compile::guest("compromised_kernel.c", Variant::Static, &[])?;
    let dir = guest.parent().unwrap_or(Path::new("/")).display().to_string();
    let volume = format!("{dir}:/guests:ro");
    let outcome =
        run_in("listener", &["--test-hostile", "-v", &volume, "--", "/guests/compromised_kernel", "64", "59"])?;
    if outcome.status != 159 || !outcome.err().starts_with("litebox: refused host call") {
        return Err(format!("{outcome}").into());
    }
    Ok(())
}

/// LiteBox inside LiteBox has no boundary to build on, and says so.
fn inside_itself() -> Result {
    let volume = format!("{}:/litebox:ro", env!("CARGO_BIN_EXE_litebox"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_litebox"));
    command.args(["run", "-w", "/", "-v", &volume, "--", "/litebox", "run", "--", "/bin/true"]);
    plain(&mut command);
    let outcome = program_result::run(command, b"", LIMIT)?;
    let expected = "litebox: this host offers no seccomp filters, and there is no boundary without them \
        (inside LiteBox they bind nobody; see litebox doctor)\n";
    if outcome.status != 125 || !outcome.stdout.is_empty() || outcome.err() != expected {
        return Err(format!("{outcome}").into());
    }
    Ok(())
}

fn without_proc() -> Result {
    if !is_root() {
        return skip("only root can take /proc away");
    }
    let script =
        format!("umount -l /proc 2>/dev/null || exit 90; exec {} run -- \"$@\"", env!("CARGO_BIN_EXE_litebox"));
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, "sh"]).args(PROGRAM);
    plain(&mut command);
    let outcome = program_result::run(command, b"", LIMIT)?;
    if outcome.status == 90 || outcome.err().contains("unshare") {
        return skip(&format!("/proc cannot be taken away: {}", outcome.err()));
    }
    if outcome.status != 0 || outcome.out() != "True\n" {
        return Err(format!("{outcome}").into());
    }
    Ok(())
}

/// `litebox` as a user without any rights, working in `dir`.
fn as_nobody(scene: &Path, dir: &Path, words: &[&str]) -> std::io::Result<ProgramResult> {
    let copy = scene.join("litebox");
    fs::copy(env!("CARGO_BIN_EXE_litebox"), &copy)?;
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"]).arg(copy);
        command
    } else {
        Command::new(copy)
    };
    command.arg("run").args(words);
    plain(&mut command);
    command.current_dir(dir);
    program_result::run(command, b"", LIMIT)
}

/// A directory where everybody can go.
fn public_dir(name: &str) -> std::io::Result<std::path::PathBuf> {
    let dir = Path::new("/var/tmp").join(format!("litebox-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
    Ok(dir)
}

fn unreadable_rootfs() -> Result {
    let scene = public_dir("rootfs")?;
    let root = scene.join("root");
    fs::create_dir(&root)?;
    fs::set_permissions(&root, fs::Permissions::from_mode(0o000))?;
    let root = root.display().to_string();
    let outcome = as_nobody(&scene, Path::new("/"), &["--rootfs", &root, "--", "/bin/true"]);
    fs::remove_dir_all(&scene)?;
    let outcome = outcome?;
    // Its directory can be named and not entered: the program is not found there, and the line says why.
    let clear = outcome.err().starts_with("litebox: ") && outcome.err().lines().count() == 1;
    if ![125, 126, 127].contains(&outcome.status) || !clear {
        return Err(format!("{outcome}").into());
    }
    Ok(())
}

fn read_only_current_directory() -> Result {
    let scene = public_dir("read-only")?;
    let dir = scene.join("dir");
    fs::create_dir(&dir)?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o555))?;
    let outcome = as_nobody(&scene, &dir, &["--", "/usr/bin/perl", "-e", "print -d '.' ? 'dir' : 'none'"]);
    fs::remove_dir_all(&scene)?;
    let outcome = outcome?;
    if outcome.status != 0 || outcome.out() != "dir" {
        return Err(format!("{outcome}").into());
    }
    Ok(())
}

/// What tells one machine from another does not get in.
fn the_host_does_not_leak() -> Result {
    let script = "import os, socket\nprint(socket.gethostname(), os.getpid() < 100, os.getppid(), os.uname().nodename)\n\
        print([p for p in os.listdir('/proc') if p.isdigit() and int(p) not in (os.getpid(), 1)])";
    let mut command = Command::new(env!("CARGO_BIN_EXE_litebox"));
    command.args(["run", "--", "/usr/bin/python3", "-c", script]);
    plain(&mut command);
    let outcome = program_result::run(command, b"", LIMIT)?;
    if outcome.out() != "litebox True 0 litebox\n[]\n" {
        return Err(format!("{outcome}").into());
    }
    Ok(())
}

/// The program ends although another of its threads sits in read(stdin).
fn exit_while_a_thread_reads() -> Result {
    let script = "import threading, os, sys, time\nthreading.Thread(target=lambda: os.read(0, 1), daemon=True).start()\n\
        time.sleep(0.1); print('done', flush=True); os._exit(3)";
    let begin = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_litebox"));
    command.args(["run", "--", "/usr/bin/python3", "-c", script]);
    plain(&mut command);
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    let input = child.stdin.take();
    let (status, late) = program_result::wait(&mut child, LIMIT)?;
    drop(input);
    if late.is_some() || program_result::status_code(status) != 3 || begin.elapsed() > Duration::from_secs(10) {
        return Err(format!("{status}").into());
    }
    Ok(())
}

fn poll_of_stdin() -> Result {
    let script = "import select, os\np = select.poll(); p.register(0, select.POLLIN)\nprint(p.poll(100), flush=True)\n\
        print(p.poll(10000), os.read(0, 5), flush=True)\nprint(p.poll(10000)[0][1] & select.POLLHUP, os.read(0, 5))";
    let mut command = Command::new(env!("CARGO_BIN_EXE_litebox"));
    command.args(["run", "--", "/usr/bin/python3", "-c", script]);
    plain(&mut command);
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    let (mut input, mut output) = (child.stdin.take().ok_or("no stdin")?, child.stdout.take().ok_or("no stdout")?);
    let mut first = [0; 3];
    output.read_exact(&mut first)?;
    input.write_all(b"hello")?;
    let mut second = [0; 18];
    output.read_exact(&mut second)?;
    drop(input);
    let (status, late) = program_result::wait(&mut child, LIMIT)?;
    let mut rest = String::new();
    output.read_to_string(&mut rest)?;
    if late.is_some()
        || !status.success()
        || first != *b"[]\n"
        || second != *b"[(0, 1)] b'hello'\n"
        || rest != "16 b''\n"
    {
        return Err(format!("{status} {:?} {rest:?}", String::from_utf8_lossy(&second)).into());
    }
    Ok(())
}

/// Offsets of a stream that is a device of the host are what they are there.
fn offsets_of_devices() -> Result {
    let script = "import os\ndef say(call):\n    try: return call()\n    except OSError as e: return e.errno\n\
        print(say(lambda: os.lseek(0, 0, 1)), say(lambda: os.lseek(0, 5, 0)), say(lambda: len(os.pread(0, 4, 9))))";
    for device in ["/dev/null", "/dev/zero", "/dev/full", "/dev/urandom"] {
        let words = ["/usr/bin/python3", "-c", script];
        let host = Command::new(words[0]).args(&words[1..]).stdin(fs::File::open(device)?).output()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_litebox"));
        let sandbox = command.args(["run", "--"]).args(words).stdin(fs::File::open(device)?).output()?;
        let shown = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
        if shown(&host) != shown(&sandbox) || !host.status.success() {
            return Err(format!("{device}: {:?} on the host, {:?}", shown(&host), shown(&sandbox)).into());
        }
    }
    Ok(())
}

/// The processes of a sandbox are stopped and continued from outside while they wait in all ways there are; the host
/// makes their waits go on.
fn stopped_and_continued() -> Result {
    let script = "import os, select, threading, time\nread, write = os.pipe()\np = select.poll(); p.register(read, select.POLLIN)\n\
        if os.fork() == 0: time.sleep(0.8); os.write(write, b'x'); time.sleep(0.2); os._exit(0)\n\
        lock = threading.Lock(); lock.acquire(); locked = []\n\
        t = threading.Thread(target=lambda: locked.append(lock.acquire(timeout=1.0))); t.start()\n\
        print('waits', flush=True)\nseen = p.poll(10000), os.read(read, 1), os.wait()[1]; t.join()\nprint(*seen, *locked, flush=True)\nos.system('sleep 0.3; echo done')";
    let mut command = Command::new(env!("CARGO_BIN_EXE_litebox"));
    command.args(["run", "--", "/usr/bin/python3", "-c", script]);
    plain(&mut command);
    let mut child = command.spawn()?;
    let mut output = child.stdout.take().ok_or("no stdout")?;
    let mut first = [0; 6];
    output.read_exact(&mut first)?;
    for _ in 0..20 {
        // Without `litebox` itself: its parent, this test, would have to wait for that.
        let processes = litebox_test_support::standstill::descendants(child.id()).into_iter().skip(1);
        let processes: Vec<String> = processes.map(|pid| pid.to_string()).collect();
        for signal in ["-STOP", "-CONT"] {
            // One of them may have ended.
            let _ = Command::new("kill").arg(signal).args(&processes).stderr(Stdio::null()).status()?;
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let (status, late) = program_result::wait(&mut child, LIMIT)?;
    let mut rest = String::new();
    output.read_to_string(&mut rest)?;
    let expected = "[(3, 1)] b'x' 0 False\ndone\n";
    if late.is_some() || !status.success() || rest != expected {
        return Err(format!("{status} {rest:?}").into());
    }
    Ok(())
}

const TESTS: &[NamedTest] = &[
    ("inside_a_container", inside_a_container),
    ("on_an_old_kernel", on_an_old_kernel),
    ("an_old_kernel_says_what_it_lacks", an_old_kernel_says_what_it_lacks),
    ("with_few_descriptors", with_few_descriptors),
    ("with_strict_limits", with_strict_limits),
    ("where_somebody_listens_already", where_somebody_listens_already),
    ("refused_where_somebody_listens", refused_where_somebody_listens),
    ("inside_itself", inside_itself),
    ("without_proc", without_proc),
    ("unreadable_rootfs", unreadable_rootfs),
    ("read_only_current_directory", read_only_current_directory),
    ("the_host_does_not_leak", the_host_does_not_leak),
    ("exit_while_a_thread_reads", exit_while_a_thread_reads),
    ("poll_of_stdin", poll_of_stdin),
    ("offsets_of_devices", offsets_of_devices),
    ("stopped_and_continued", stopped_and_continued),
    ("i686_executable", i686::i686_executable),
    ("start_without_resolved_functions", i686::start_without_resolved_functions),
];

fn main() {
    litebox_test_support::run_table(TESTS);
}
