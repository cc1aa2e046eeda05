//! What the tests of real programs share: compile a guest, run a command on the bare host and in the sandbox, compare.
//!
//! It is a crate so that it is compiled once, and not with each test program. Cargo tells a library neither where
//! `litebox` is nor where tests may write: both are found from the place of the test program that runs.
//!
//! Two variables steer a run: `LITEBOX_TEST_NO_SKIP=1` makes a skipped test a failure (CI), and
//! `LITEBOX_TEST_HOST_ONLY=1` runs the bare-host half alone, to check the tests themselves.

pub mod compile;
pub mod program_result;
pub mod remains;
pub mod standstill;
pub mod terminal_user;
pub mod tun_space;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub use libtest_mimic::Failed;
use libtest_mimic::{Arguments, Trial};

pub use program_result::ProgramResult;

/// What a test function returns.
pub type Result = std::result::Result<(), Failed>;

/// Where the sandbox sees the directory a test works in.
pub const WORK_DIR: &str = "/box";
/// Where the sandbox sees the compiled guests.
pub const GUEST_DIR: &str = "/guests";
/// The environment of both halves.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/tmp"),
    ("LANG", "C.UTF-8"),
    ("TERM", "dumb"),
    ("TZ", "UTC"),
];

/// A named test function, as the tables of the test binaries list them.
pub type NamedTest = (&'static str, fn() -> Result);

/// Runs a table of tests as `main` of a test binary.
pub fn run_table(table: &[NamedTest]) -> ! {
    let trials = table.iter().map(|&(name, test)| Trial::test(name, test)).collect();
    run_trials(trials)
}

/// Runs trials as `main` of a test binary.
pub fn run_trials(trials: Vec<Trial>) -> ! {
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

/// Ends a test that this machine cannot run: passes, or fails where nothing may be skipped.
pub fn skip(why: &str) -> Result {
    if flag("LITEBOX_TEST_NO_SKIP") {
        return Err(format!("may not be skipped here: {why}").into());
    }
    println!("skipped: {why}");
    Ok(())
}

/// Whether an environment variable is set to something other than `0`.
pub fn flag(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}

/// Whether only the bare-host half of the tests is asked for.
pub fn host_only() -> bool {
    flag("LITEBOX_TEST_HOST_ONLY")
}

/// Whether the test runs as root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

/// The first of these files that exists.
pub fn find_program(candidates: &[&str]) -> Option<PathBuf> {
    candidates.iter().map(PathBuf::from).find(|path| path.exists())
}

/// The directory of this build's profile: the test program that runs is `PROFILE/deps/NAME`.
fn profile_dir() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

/// The command `litebox` of this build, which cargo makes before it runs a test of its package.
pub fn program() -> PathBuf {
    profile_dir().join("litebox")
}

/// Where tests of this build write: the directory that cargo calls `CARGO_TARGET_TMPDIR`.
pub fn scratch() -> PathBuf {
    profile_dir().with_file_name("tmp")
}

/// A fresh, empty directory for one test.
pub fn fresh_dir(name: &str) -> io::Result<PathBuf> {
    let dir = scratch().join("work").join(name);
    if let Err(error) = fs::remove_dir_all(&dir) {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
    }
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// `litebox` itself, with the environment of a plain login and its own process group.
pub fn litebox() -> Command {
    let mut command = Command::new(program());
    plain(&mut command);
    command
}

fn plain(command: &mut Command) {
    command.env_clear().envs(ENVIRONMENT).process_group(0);
    // What programs ask for at their start is kept as it is for a user, but not in the user's home.
    command.env("XDG_CACHE_HOME", scratch().join("cache"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

/// One program to be run on the bare host and in the sandbox.
#[must_use = "nothing runs before `compare` or `run_both`"]
pub struct Case {
    name: String,
    program: PathBuf,
    seen_as: OsString,
    args: Vec<OsString>,
    options: Vec<OsString>,
    stdin: Vec<u8>,
    timeout: Duration,
    compare_stderr: bool,
    compare_tree: bool,
    in_memory: bool,
    expect_stdout: Option<Vec<u8>>,
    expect_status: Option<i32>,
    prepare: Option<fn(&Path) -> io::Result<()>>,
    files: Vec<String>,
}

impl Case {
    /// A program of the host, named by its path there.
    pub fn new(name: &str, program: impl AsRef<OsStr>) -> Self {
        let program = PathBuf::from(program.as_ref());
        Self {
            name: name.replace(['/', ':'], "_"),
            seen_as: program.clone().into_os_string(),
            program,
            args: Vec::new(),
            options: Vec::new(),
            stdin: Vec::new(),
            timeout: Duration::from_secs(60),
            compare_stderr: false,
            compare_tree: false,
            in_memory: false,
            expect_stdout: None,
            expect_status: None,
            prepare: None,
            files: Vec::new(),
        }
    }

    /// A compiled guest, which the sandbox sees below [`GUEST_DIR`].
    pub fn guest(name: &str, binary: &Path) -> Self {
        let mut case = Self::new(name, binary);
        let file = binary.file_name().unwrap_or_default();
        case.seen_as = Path::new(GUEST_DIR).join(file).into_os_string();
        if let Some(dir) = binary.parent() {
            let mut volume = dir.as_os_str().to_owned();
            volume.push(format!(":{GUEST_DIR}:ro"));
            case.options.extend(["-v".into(), volume]);
        }
        case
    }

    /// Adds arguments of the program.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds options of `litebox run`.
    pub fn options<S: AsRef<OsStr>>(mut self, options: impl IntoIterator<Item = S>) -> Self {
        self.options.extend(options.into_iter().map(|option| option.as_ref().to_owned()));
        self
    }

    /// What the program reads.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// How long each half may take.
    pub fn timeout(mut self, seconds: u64) -> Self {
        self.timeout = Duration::from_secs(seconds);
        self
    }

    /// Fills the directory that the program works in.
    pub fn prepare(mut self, prepare: fn(&Path) -> io::Result<()>) -> Self {
        self.prepare = Some(prepare);
        self
    }

    /// Files in that directory, each with its path as content (`PATH`), and more names of such files (`NEW=OLD`).
    pub fn files(mut self, files: impl IntoIterator<Item = String>) -> Self {
        self.files.extend(files);
        self
    }

    /// Compares what the program wrote to stderr too.
    pub fn with_stderr(mut self) -> Self {
        self.compare_stderr = true;
        self
    }

    /// Lets the program write its directory, and compares what it left there.
    pub fn with_tree(mut self) -> Self {
        self.compare_tree = true;
        self
    }

    /// The directory it works in is one of the sandbox's memory.
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// States what both halves must print.
    pub fn expect_stdout(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.expect_stdout = Some(bytes.into());
        self
    }

    /// States the exit status of both halves.
    pub fn expect_status(mut self, status: i32) -> Self {
        self.expect_status = Some(status);
        self
    }

    /// Runs both halves and compares them.
    pub fn compare(self) -> Result {
        if !self.program.exists() {
            return skip(&format!("no {} on this machine", self.program.display()));
        }
        let dir = fresh_dir(&self.name)?;
        let host_dir = self.make_dir(&dir.join("host"))?;
        let host = self.on_host(&host_dir)?;
        self.check_expected("the bare host", &host)?;
        if host_only() {
            return Ok(());
        }
        let box_dir = self.make_dir(&dir.join("sandbox"))?;
        let sandbox = self.in_sandbox(&box_dir)?;
        program_result::compare(&host, &sandbox, self.compare_stderr)?;
        if self.compare_tree {
            program_result::compare_trees(&host_dir, &box_dir)?;
        }
        fs::remove_dir_all(dir)?;
        Ok(())
    }

    /// Runs both halves, for a comparison of the test's own: what the bare host did, and the sandbox, unless only the
    /// former is asked for.
    pub fn run_both(self) -> io::Result<(ProgramResult, Option<ProgramResult>)> {
        let dir = fresh_dir(&self.name)?;
        let host = self.on_host(&self.make_dir(&dir.join("host"))?)?;
        let sandbox = if host_only() { None } else { Some(self.in_sandbox(&self.make_dir(&dir.join("sandbox"))?)?) };
        fs::remove_dir_all(dir)?;
        Ok((host, sandbox))
    }

    fn check_expected(&self, place: &str, outcome: &ProgramResult) -> Result {
        if outcome.timed_out {
            return Err(format!("timed out on {place}\n{outcome}").into());
        }
        if self.expect_status.is_some_and(|status| status != outcome.status) {
            return Err(format!("expected status {:?} on {place}\n{outcome}", self.expect_status).into());
        }
        match &self.expect_stdout {
            Some(expected) if *expected != outcome.stdout => {
                Err(format!("expected stdout {:?} on {place}\n{outcome}", String::from_utf8_lossy(expected)).into())
            }
            _ => Ok(()),
        }
    }

    fn make_dir(&self, dir: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(dir)?;
        if let Some(prepare) = self.prepare {
            prepare(dir)?;
        }
        for file in &self.files {
            let (new, old) = file.split_once('=').map_or((file.as_str(), None), |(new, old)| (new, Some(old)));
            let path = dir.join(new);
            fs::create_dir_all(path.parent().unwrap_or(dir))?;
            match old {
                Some(old) => fs::hard_link(dir.join(old), path)?,
                None => fs::write(path, new)?,
            }
        }
        Ok(dir.to_owned())
    }

    fn on_host(&self, dir: &Path) -> io::Result<ProgramResult> {
        let mut command = Command::new(&self.program);
        plain(&mut command);
        command.arg0(&self.seen_as).args(&self.args).current_dir(dir);
        program_result::run(command, &self.stdin, self.timeout)
    }

    fn in_sandbox(&self, dir: &Path) -> io::Result<ProgramResult> {
        let mut command = litebox();
        let mut volume = dir.as_os_str().to_owned();
        volume.push(format!(":{WORK_DIR}:{}", if self.compare_tree { "rw" } else { "cow" }));
        command.arg("run").args(["-w", WORK_DIR]);
        if self.in_memory {
            command.args(["--tmpfs", WORK_DIR]);
        } else {
            command.arg("-v").arg(volume);
        }
        for (name, value) in ENVIRONMENT {
            command.arg("-e").arg(format!("{name}={value}"));
        }
        command.args(&self.options).arg("--").arg(&self.seen_as).args(&self.args);
        program_result::run(command, &self.stdin, self.timeout)
    }
}
