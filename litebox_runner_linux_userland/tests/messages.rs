//! Every message that a user gets, word for word.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use litebox_test_support::{NamedTest, ProgramResult, Result, fresh_dir, program_result};

const LIMIT: Duration = Duration::from_secs(30);

fn run_in(dir: &Path, words: &[&str]) -> std::io::Result<ProgramResult> {
    let mut command = litebox_test_support::litebox();
    command.args(words).current_dir(dir);
    program_result::run(command, b"", LIMIT)
}

/// Fails unless `litebox WORDS` in `dir` ends with this status and says exactly this, where `DIR` is the directory.
fn says(dir: &Path, words: &[&str], status: i32, text: &str) -> Result {
    let outcome = run_in(dir, words)?;
    let expected = text.replace("DIR", &dir.display().to_string());
    if outcome.status == status && outcome.stdout.is_empty() && outcome.err() == expected {
        return Ok(());
    }
    Err(format!("{words:?}\nexpected status {status} and\n{expected}\n{outcome}").into())
}

/// Messages of `litebox run` with these options, each one line.
fn options() -> Result {
    let dir = fresh_dir("messages")?;
    fs::write(dir.join("file"), "")?;
    fs::write(dir.join("env"), "A=1\n=x\n")?;
    for (words, text) in [
        ("-v ./out:/out:rw", "-v ./out:/out:rw: DIR/out does not exist (make it, or add :create)"),
        (
            "-v /x:/y:sideways",
            "-v /x:/y:sideways: sideways is none of ro, rw, cow and create (SRC[:DST][:ro|rw|cow|create])",
        ),
        ("-v .:/", "-v .:/: / cannot be a volume (see --rootfs)"),
        ("-v .:/a/../b", "-v .:/a/../b: the place in the sandbox must not contain .."),
        (
            "-v /proc/self:/p",
            "-v /proc/self:/p: /proc/self: not on a file system with files of users, and others cannot be given to a sandbox",
        ),
        ("-v file:/f --hide file", "-v file:/f: DIR/file is hidden by --hide"),
        ("--mount type=bind,dst=/x", "--mount type=bind,dst=/x: src=, the file or directory of the host, is missing"),
        (
            "--mount type=bind,src=no,dst=/x",
            "--mount type=bind,src=no,dst=/x: DIR/no does not exist (make it, or add :create)",
        ),
        ("--tmpfs /x:size=big", "--tmpfs /x:size=big: not a size such as 512M or 2G"),
        ("--rootfs nowhere", "--rootfs nowhere: nowhere does not exist (make it, or add :create)"),
        ("--hide a[b", "--hide a[b: has a [ without a ]"),
        ("-w sub", "-w sub: there is no DIR/sub in the sandbox"),
        ("-w /etc/passwd", "-w /etc/passwd: /etc/passwd in the sandbox: not a directory"),
        ("-u nosuchuser", "--user: no user nosuchuser in the sandbox's /etc/passwd"),
        ("-u 0:nosuchgroup", "--user: no group nosuchgroup in the sandbox's /etc/group"),
        ("-e =x", "-e =x: no name before the ="),
        ("--env-file env", "--env-file env: line 2: no name before the ="),
        ("--env-file gone", "--env-file gone: No such file or directory (os error 2)"),
        ("--strace -e trace=openat", "-e trace=openat: -e sets an environment variable; --strace=CALLS names calls"),
        ("--cidfile file", "--cidfile file: the file exists already (remove it)"),
        ("-it --rm", "--tty: stdin is not a terminal"),
        (
            "--privileged",
            "--privileged: there is no privilege to give: the program never talks to the host's kernel. What it needs of the host is named by -v",
        ),
        (
            "--detach-keys=ctrl-p",
            "--detach-keys ctrl-p: the sandbox runs in the foreground, or in the background: nothing is detached from it",
        ),
        ("--pid host", "--pid host: the program has a kernel of its own, and never shares the host's"),
        (
            "--device=/dev/kvm",
            "--device /dev/kvm: devices of the host are not given; /dev has null, zero, full, random, tty and ptmx",
        ),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let words = [&["run"], words.as_slice(), &["--", "/bin/true"]].concat();
        says(&dir, &words, 125, &format!("litebox: {text}\n"))?;
    }
    Ok(())
}

/// What clap knows of a mistake is kept: which argument, which values, what was perhaps meant.
fn mistakes() -> Result {
    let dir = fresh_dir("mistakes")?;
    const HELP: &str = "\n\nFor more information, try '--help'.\n";
    says(
        &dir,
        &["run"],
        125,
        &format!(
            "litebox: the following required arguments were not provided:\n  <PROGRAM>...\n\nUsage: litebox run <PROGRAM>...{HELP}"
        ),
    )?;
    says(
        &dir,
        &["run", "--interception-backend", "magic", "--", "x"],
        125,
        &format!(
            "litebox: invalid value 'magic' for '--interception-backend <WAY>'\n  [possible values: auto, rewriter, trap]{HELP}"
        ),
    )?;
    says(
        &dir,
        &["rnu"],
        125,
        &format!(
            "litebox: unrecognized subcommand 'rnu'\n\n  tip: a similar subcommand exists: 'run'\n\nUsage: litebox <COMMAND>{HELP}"
        ),
    )?;
    says(
        &dir,
        &["run", "--timout", "3", "--", "x"],
        125,
        &format!(
            "litebox: unexpected argument '--timout' found\n\n  tip: a similar argument exists: '--timeout'\n  tip: to pass '--timout' as a value, use '-- --timout'\n\nUsage: litebox run --timeout <DURATION> [PROGRAM]...{HELP}"
        ),
    )
}

/// `litebox PROGRAM` is `litebox run PROGRAM`, with options as well.
fn without_run() -> Result {
    let dir = fresh_dir("without_run")?;
    for words in [
        &["echo", "x"][..],
        &["/bin/echo", "x"],
        &["--timeout", "20s", "echo", "x"],
        &["-i", "--rm", "--network", "none", "echo", "x"],
    ] {
        let outcome = run_in(&dir, words)?;
        if outcome.status != 0 || outcome.out() != "x\n" || !outcome.stderr.is_empty() {
            return Err(format!("{words:?}\n{outcome}").into());
        }
    }
    says(&dir, &["no-such-program"], 127, "litebox: cannot run no-such-program: no such program\n")
}

fn no_words_show_the_help() -> Result {
    let dir = fresh_dir("no_words")?;
    let (without, help) = (run_in(&dir, &[])?, run_in(&dir, &["--help"])?);
    if without.status != 0 || without.stdout != help.stdout || !without.out().contains("Usage: litebox <COMMAND>") {
        return Err(format!("{without}").into());
    }
    Ok(())
}

/// A reader that goes away is no mistake, whatever is printed, and wherever to.
fn readers_that_go_away() -> Result {
    for (words, descriptor) in [
        ("run --help", 1),
        ("help run", 1),
        ("--help", 1),
        ("--version", 1),
        ("syscalls", 1),
        ("syscalls --json", 1),
        ("run --no-such-option", 2),
        ("run -w /nowhere -- /bin/true", 2),
        ("run --stats -w / -- /bin/true", 2),
    ] {
        let mut command = Command::new("/bin/sh");
        // The reader is gone before anything is printed.
        let script = format!("exec {descriptor}>&-; exec {descriptor}>\"$2\"; exec \"$1\" {words}");
        let dir = fresh_dir("readers")?;
        let pipe = dir.join("pipe");
        let status = Command::new("mkfifo").arg(&pipe).status()?;
        if !status.success() {
            return Err("mkfifo".into());
        }
        let reader = {
            let pipe = pipe.clone();
            // Opens, so that the writer gets on, and goes away.
            std::thread::spawn(move || fs::File::open(pipe).map(drop))
        };
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_litebox")]).arg(&pipe);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let outcome = program_result::run(command, b"", LIMIT)?;
        let _ = reader.join();
        if ![0, 125].contains(&outcome.status) || outcome.err().contains("panicked") {
            return Err(format!("{words}\n{outcome}").into());
        }
    }
    Ok(())
}

const TESTS: &[NamedTest] = &[
    ("options", options),
    ("mistakes", mistakes),
    ("without_run", without_run),
    ("no_words_show_the_help", no_words_show_the_help),
    ("readers_that_go_away", readers_that_go_away),
];

fn main() {
    litebox_test_support::run_table(TESTS);
}
