//! `--pids`, `--cpus`, `--disk`, `--ulimit`, and what bounds a sandbox when nothing is asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::Failed;
use litebox_test_support::compile::{self, Variant};
use litebox_test_support::{NamedTest, ProgramResult, Result, is_root, litebox, program_result, skip};

const PATIENCE: Duration = Duration::from_secs(60);
/// Where all programs start: a directory that may be given.
const WORK: &str = env!("CARGO_TARGET_TMPDIR");

type Checked<T> = std::result::Result<T, Failed>;

fn run(options: &[&str], program: &[&str]) -> Checked<ProgramResult> {
    let mut command = litebox();
    command.arg("run").args(options).arg("--").args(program).current_dir(WORK);
    Ok(program_result::run(command, b"", PATIENCE)?)
}

/// Prints this and ends well.
fn prints(options: &[&str], program: &[&str], wanted: &str) -> Result {
    let outcome = run(options, program)?;
    if outcome.status != 0 || outcome.out() != wanted {
        return Err(format!("{options:?} {program:?}: expected {wanted:?}\n{outcome}").into());
    }
    Ok(())
}

fn python() -> Option<PathBuf> {
    litebox_test_support::find_program(&["/usr/bin/python3"])
}

fn hungry() -> Checked<(PathBuf, String)> {
    let guest = compile::guest("hungry.c", Variant::Static, &["-pthread".into()])?;
    let volume = format!("{}:/guests:ro", guest.parent().unwrap_or(Path::new("/")).display());
    Ok((guest, volume))
}

/// Processes, threads and those that have ended count alike; the superuser of the sandbox, too.
fn pids() -> Result {
    let (_, volume) = hungry()?;
    for user in ["0", "1000"] {
        let options = ["-v", &volume, "-u", user, "--pids", "20"];
        prints(&options, &["/guests/hungry", "threads", "50"], "made 19\nthreads 0\n")?;
        prints(&options, &["/guests/hungry", "threads", "19"], "made 19\nthreads 0\n")?;
        let outcome = run(&options, &["/guests/hungry", "idle", "50"])?;
        if outcome.out() != "fork 19: Resource temporarily unavailable\nready\nidle 0\n" {
            return Err(format!("--pids 20 with processes\n{outcome}").into());
        }
    }
    // Who was waited for makes room.
    let script = "for i in $(seq 100); do /bin/true || exit 1; done; echo all";
    prints(&["--pids-limit", "20"], &["/bin/sh", "-c", script], "all\n")?;
    let outcome = run(&["--pids", "0"], &["/bin/true"])?;
    if outcome.status != 125 || !outcome.err().contains("--pids") {
        return Err(format!("--pids 0\n{outcome}").into());
    }
    Ok(())
}

/// Without the option there is a limit, too; a fork storm ends at it, and the sandbox with its time.
fn pids_by_default() -> Result {
    let (_, volume) = hungry()?;
    let outcome = run(&["-v", &volume], &["/guests/hungry", "threads", "3000", "3000"])?;
    if outcome.out() != "made 3000\nmade 1094\nthreads 0\n" {
        return Err(format!("4,096 threads\n{outcome}").into());
    }
    let storm = "b() { b & b; }; b 2>/dev/null";
    let outcome = run(&["--timeout", "3s", "--stop-timeout", "1s"], &["/bin/bash", "-c", storm])?;
    if outcome.timed_out || outcome.status != 124 && outcome.status != 254 {
        return Err(format!("a fork storm\n{outcome}").into());
    }
    Ok(())
}

/// A kernel in the wrong hands cannot have more processes than the host allows the sandbox's user.
fn pids_of_the_host() -> Result {
    if !is_root() {
        return skip("not root: the user's own processes count, too");
    }
    let (guest, _) = hungry()?;
    let dir = Path::new("/var/tmp").join(format!("litebox-resources-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    fs::copy(env!("CARGO_BIN_EXE_litebox"), dir.join("litebox"))?;
    fs::copy(guest, dir.join("hungry"))?;
    let volume = format!("{}:/guests:ro", dir.display());
    let storm = |mut command: Command| -> Result {
        command.args(["run", "-w", "/", "-v", &volume, "--test-hostile", "--pids", "20", "--timeout", "20s"]);
        command.args(["--", "/guests/hungry", "storm", "500"]).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let outcome = program_result::run(command, b"", PATIENCE)?;
        let made: Option<u32> = outcome.out().lines().find_map(|line| line.strip_prefix("made ")?.parse().ok());
        if made.is_none_or(|made| made > 84) {
            return Err(format!("the host did not bound the processes\n{outcome}").into());
        }
        Ok(())
    };
    let mut ordinary = Command::new("setpriv");
    ordinary.args(["--reuid=65532", "--regid=65532", "--clear-groups", "--inh-caps=-all", "--"]);
    ordinary.arg(dir.join("litebox"));
    let outcome = storm(ordinary).and_then(|()| storm(Command::new(dir.join("litebox"))));
    fs::remove_dir_all(dir)?;
    outcome
}

/// A kernel in the wrong hands leaves processes to its user's other programs, whatever `--pids` is.
fn pids_leave_room() -> Result {
    if !is_root() || litebox_test_support::find_program(&["/usr/bin/setpriv"]).is_none() {
        return skip("only root can become a user who runs nothing else, by setpriv");
    }
    let (guest, _) = hungry()?;
    let own = litebox_test_support::remains::Own::new("room")?;
    fs::copy(guest, own.dir.join("hungry"))?;
    let volume = format!("{}:/guests:ro", own.dir.display());
    let user = 60_000 + std::process::id() % 4_000;
    for namespaces in ["", "--test-no-namespaces"] {
        let script = format!(
            "ulimit -u 80; exec \"$1\" run {namespaces} -w / -v {volume} --test-hostile --timeout 20s -- /guests/hungry storm 500"
        );
        let mut command = Command::new("/usr/bin/setpriv");
        command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "--", "/bin/bash"]);
        command.args(["-c", &script, "sh"]).arg(own.program()).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let outcome = program_result::run(command, b"", PATIENCE)?;
        let made: Option<u32> = outcome.out().lines().find_map(|line| line.strip_prefix("made ")?.parse().ok());
        if made.is_none_or(|made| made > 40) {
            return Err(format!("{namespaces}: of 80 processes half are for others\n{outcome}").into());
        }
    }
    Ok(())
}

/// Files in memory, those of copy-on-write layers and names share one bound; shared memory has another.
fn disk() -> Result {
    let dir = litebox_test_support::fresh_dir("disk")?;
    fs::write(dir.join("large"), vec![b'x'; 6 << 20])?;
    let volume = format!("{}:/cow:cow", dir.display());
    let script = "dd if=/dev/zero of=/tmp/a bs=1M count=6 status=none && echo six
        dd if=/dev/zero of=/tmp/b bs=1M count=6 status=none 2>&1 | grep -o 'No space left on device'
        [ $(stat -c %s /tmp/b) -gt 4000000 ] && echo the rest; rm /tmp/b
        echo more >> /cow/large && echo changed
        dd if=/dev/zero of=/cow/large bs=1M count=6 conv=notrunc status=none 2>&1 | grep -o 'No space left on device'
        rm /tmp/a; dd if=/dev/zero of=/cow/large bs=1M count=6 conv=notrunc status=none && echo rewritten
        df --output=size -B1M /tmp | tail -n 1 | tr -d ' '
        dd if=/dev/zero of=/scratch/c bs=1M count=6 status=none 2>&1 | grep -o 'No space left on device'";
    let options = ["--disk", "10M", "-v", &volume, "--tmpfs", "/scratch"];
    let outcome = run(&options, &["/bin/bash", "-c", script])?;
    // Of a large file only what is changed is copied.
    let wanted = "six\nNo space left on device\nthe rest\nchanged\nNo space left on device\nrewritten\n10\n\
                  No space left on device\n";
    if outcome.out() != wanted {
        return Err(format!("--disk 10M: expected {wanted:?}\n{outcome}").into());
    }
    let (_, volume) = hungry()?;
    let outcome = run(&["-v", &volume, "--disk", "4M"], &["/guests/hungry", "files", "100000"])?;
    if outcome.status != 1 || !outcome.err().contains("No space left on device") {
        return Err(format!("names have no bound\n{outcome}").into());
    }
    let Some(_) = python() else { return skip("no python3") };
    let shared = "import mmap; m = mmap.mmap(-1, 30 << 20); m[:] = b'x' * len(m); print('shared')";
    prints(&["--disk", "4M"], &["/usr/bin/python3", "-c", shared], "shared\n")
}

/// Without the option files in memory have a quarter of the machine's memory.
fn disk_by_default() -> Result {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let total =
        meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    let total: u64 = total.ok_or("no MemTotal")?;
    let outcome = run(&[], &["/bin/df", "--output=size", "-k", "/tmp"])?;
    let shown = outcome.out().lines().last().and_then(|line| line.trim().parse::<u64>().ok());
    let Some(shown) = shown else { return Err(format!("df\n{outcome}").into()) };
    if shown > total / 4 + 64 || shown < total / 5 {
        return Err(format!("{shown} KiB of {total} KiB").into());
    }
    Ok(())
}

fn ulimit() -> Result {
    let options =
        ["--ulimit", "nofile=64:128", "--ulimit", "core=unlimited", "--ulimit", "stack=1048576", "--ulimit", "cpu=7:9"];
    let script = "ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -s; ulimit -St; ulimit -Ht";
    prints(&options, &["/bin/bash", "-c", script], "64\n128\nunlimited\n1024\n7\n9\n")?;
    // They are in force.
    let open = "for (0 .. 99) { open($f[$_], '<', '/dev/null') or do { print \"$_: $!\\n\"; last } }";
    prints(&["--ulimit", "nofile=20"], &["/usr/bin/perl", "-e", open], "17: Too many open files\n")?;
    let spin = ["--ulimit", "cpu=1", "--timeout", "30s"];
    let outcome = run(&spin, &["/usr/bin/perl", "-e", "1 while 1"])?;
    if outcome.status != 128 + 9 && outcome.status != 128 + 24 {
        return Err(format!("RLIMIT_CPU of the first process\n{outcome}").into());
    }
    let write = "dd if=/dev/zero of=/tmp/a bs=1k count=9 status=none; echo $?; stat -c %s /tmp/a";
    prints(&["--ulimit", "fsize=4096"], &["/bin/sh", "-c", write], "153\n4096\n")?;
    for wrong in ["nofile=9:8", "files=3", "nofile", "nofile=2000000"] {
        let outcome = run(&["--ulimit", wrong], &["/bin/true"])?;
        if outcome.status != 125 || !outcome.err().contains("--ulimit") {
            return Err(format!("--ulimit {wrong}\n{outcome}").into());
        }
    }
    Ok(())
}

/// `litebox run PROGRAM` under the limits of a shell's `ulimit`.
fn under(limits: &str, program: &str) -> Checked<ProgramResult> {
    let script = format!("ulimit {limits}; exec \"$1\" run -- /bin/sh -c '{program}'");
    let mut command = Command::new("/bin/bash");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_litebox")]).current_dir(WORK);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(program_result::run(command, b"", PATIENCE)?)
}

/// What litebox was started under: soft limits are raised for the sandbox and kept for the program, hard ones that are
/// too low are named.
fn inherited_limits() -> Result {
    for (limits, name, amount) in [
        ("-f 0", "(ulimit -f) is 0 bytes", "GiB are needed"),
        ("-f 100", "(ulimit -f) is 100 KiB", "GiB are needed"),
        ("-n 64", "(ulimit -n) is 64", "256 are needed"),
        ("-v 2000000", "(ulimit -v) is 2 GiB", "GiB are needed"),
        ("-d 1000", "(ulimit -d) is 1000 KiB", "16 MiB are needed"),
        ("-s 40", "(ulimit -s) is 40 KiB", "512 KiB are needed"),
        ("-s 150", "(ulimit -s) is 150 KiB", "512 KiB are needed"),
    ] {
        let outcome = under(limits, "echo started")?;
        let error = outcome.err();
        let said = error.starts_with("litebox: ") && error.contains(name) && error.contains(amount);
        if outcome.status != 125 || !said || error.lines().count() != 1 {
            return Err(format!("ulimit {limits}\n{outcome}").into());
        }
    }
    for (limits, program, wanted) in [
        ("-n 300", "ulimit -n; ulimit -Hn", "300\n300\n"),
        ("-S -n 64", "ulimit -n", "64\n"),
        ("-S -f 8; ulimit -S -d 2000", "ulimit -f; ulimit -d", "8\n2000\n"),
        ("-s 4000", "ulimit -s; ulimit -Hs", "4000\n4000\n"),
        ("-S -s 150", "ulimit -s", "150\n"),
        ("-S -v 1000000", "ulimit -v", "1000000\n"),
    ] {
        // Blocks of -f have the size that the shell gives them: the same one asks for it and shows it.
        let outcome = under(limits, &format!("exec /bin/bash -c \"{program}\""))?;
        if outcome.status != 0 || outcome.out() != wanted {
            return Err(format!("ulimit {limits}\n{outcome}").into());
        }
    }
    Ok(())
}

/// The broker keeps a descriptor for each process that is to be interrupted, as far as it may have them: signals arrive
/// without, too.
fn signals_without_room() -> Result {
    // Each computes, and is stopped: one at a time uses the processor, and all stay.
    const STOPPED: &str = "pipe(R, W); for (1 .. 160) { \
        my \\$p = fork; if (!\\$p) { syswrite(W, q(x)); 1 while 1 } \
        sysread(R, \\$b, 1); select(undef, undef, undef, 0.002); kill STOP => \\$p; waitpid(\\$p, 2); push @p, \\$p } \
        print scalar(@p), qq( stopped\\n); kill KILL => @p; \\$n++ while wait > 0; print qq(\\$n ended\\n)";
    let outcome = under("-n 256", &format!("exec /usr/bin/perl -e \"{STOPPED}\""))?;
    if outcome.out() != "160 stopped\n160 ended\n" || outcome.status != 0 {
        return Err(format!("160 processes that compute, and 256 descriptors\n{outcome}").into());
    }
    Ok(())
}

/// A user who may have no more processes is told so.
fn inherited_limit_of_processes() -> Result {
    if !is_root() || litebox_test_support::find_program(&["/usr/bin/setpriv"]).is_none() {
        return skip("only root can become a user who runs nothing else, by setpriv");
    }
    let user = 60_000 + std::process::id() % 4_000;
    for most in 1..=3 {
        let own = litebox_test_support::remains::Own::new(&format!("few-processes-{most}"))?;
        let script = format!("ulimit -u {most}; exec \"$1\" run --test-no-namespaces -w / -- /bin/true");
        let mut command = Command::new("/usr/bin/setpriv");
        command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "--", "/bin/bash"]);
        command.args(["-c", &script, "sh"]).arg(own.program()).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let outcome = program_result::run(command, b"", PATIENCE)?;
        if outcome.status != 125 || !outcome.err().contains("ulimit -u") || outcome.err().lines().count() != 1 {
            return Err(format!("ulimit -u {most}\n{outcome}").into());
        }
    }
    Ok(())
}

/// Two busy processes on one processor get one second a second, with a control group and without.
fn cpus() -> Result {
    let script = "for i in 1 2; do perl -e 'my $t = time; 1 while time - $t < 3' & done; wait; times";
    for way in [&[] as &[&str], &["--test-no-cgroup"]] {
        let outcome = run(&[way, &["--cpus", "1"]].concat(), &["/bin/bash", "-c", script])?;
        let children = outcome.out().lines().nth(1).map_or(f64::MAX, seconds);
        if outcome.status != 0 || children > 4.2 {
            return Err(format!("{way:?}: two loops of 3 s on one processor\n{outcome}").into());
        }
    }
    // A part of one is kept, or refused.
    let outcome = run(&["--cpus", "0.25"], &["/bin/bash", "-c", script])?;
    let children = outcome.out().lines().nth(1).map_or(f64::MAX, seconds);
    let refused = outcome.status == 125 && outcome.err().contains("--cpus 0.25");
    if !refused && (outcome.status != 0 || children > 1.5) {
        return Err(format!("two loops of 3 s on a quarter of a processor\n{outcome}").into());
    }
    let outcome = run(&["--test-no-cgroup", "--cpus", "0.25"], &["/bin/true"])?;
    if outcome.status != 125 || !outcome.err().contains("--cpus 0.25") {
        return Err(format!("--cpus 0.25 without a control group\n{outcome}").into());
    }
    for wrong in ["0", "-1", "many"] {
        let outcome = run(&[&format!("--cpus={wrong}")], &["/bin/true"])?;
        if outcome.status != 125 || !outcome.err().contains("--cpus") {
            return Err(format!("--cpus {wrong}\n{outcome}").into());
        }
    }
    let all = std::thread::available_parallelism()?.to_string();
    prints(&["--cpus", "1000"], &["/usr/bin/nproc"], &format!("{all}\n"))
}

/// Groups that were made are gone afterwards, also when the sandbox was killed.
fn groups_are_removed() -> Result {
    for program in [&["/bin/true"] as &[&str], &["/usr/bin/perl", "-e", "my $x = 'a' x 1_000_000_000; sleep 9"]] {
        let mut command = litebox();
        command.args(["run", "--memory", "64M", "--cpus", "0.5", "--"]).args(program).current_dir(WORK);
        let child = command.spawn()?;
        let name = format!("litebox-{}", child.id());
        let outcome = program_result::finish(child, PATIENCE)?;
        let mut left = Vec::new();
        find_directory(Path::new("/sys/fs/cgroup"), &name, 6, &mut left);
        if !left.is_empty() || outcome.timed_out {
            return Err(format!("left: {left:?}\n{outcome}").into());
        }
    }
    Ok(())
}

fn find_directory(dir: &Path, name: &str, depth: u32, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if entry.file_name() == name {
            found.push(entry.path());
        } else if depth > 0 {
            find_directory(&entry.path(), name, depth - 1, found);
        }
    }
}

/// `0m1.234s 0m0.100s` in all.
fn seconds(times: &str) -> f64 {
    let one = |text: &str| {
        let (minutes, seconds) = text.trim_end_matches('s').split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
    };
    times.split_whitespace().filter_map(one).sum()
}

/// When the host's memory is used up, its killer looks at the sandbox first.
fn oom_score() -> Result {
    let mut command = litebox();
    command.args(["run", "--", "/bin/sh", "-c", "echo up; read line"]).current_dir(WORK).stdin(Stdio::piped());
    let mut child = command.spawn()?;
    let mut byte = [0];
    std::io::Read::read_exact(child.stdout.as_mut().ok_or("no stdout")?, &mut byte)?;
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id()))?;
    let scores: Vec<String> = children
        .split_ascii_whitespace()
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).ok())
        .map(|text| text.trim().to_owned())
        .collect();
    child.kill()?;
    child.wait()?;
    if !scores.iter().any(|score| score == "500") {
        return Err(format!("oom_score_adj of the broker's children: {scores:?}").into());
    }
    Ok(())
}

macro_rules! table {
    ($($name:ident)*) => { &[$((stringify!($name), $name)),*] };
}

const TESTS: &[NamedTest] = table! {
    pids pids_by_default pids_of_the_host pids_leave_room disk disk_by_default ulimit inherited_limits signals_without_room inherited_limit_of_processes cpus groups_are_removed oom_score
};

fn main() {
    litebox_test_support::run_table(TESTS);
}
