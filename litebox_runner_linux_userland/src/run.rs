//! `litebox run`: the broker's side.

use std::ffi::{CString, OsString};
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use litebox_broker::{Launch, report};
use litebox_platform_linux_userland::Patching;
use litebox_platform_linux_userland::entry::interception::Interception;
use litebox_protocol::plain::Plain;
use litebox_protocol::start_fd;
use zerocopy::IntoBytes;

use crate::config::{Config, counted_number, interception_number, patching_number};
use crate::mounts::{self, MountRequest};
use crate::network::{self, NetworkOptions};
use crate::{SANDBOX_ARGUMENT, STATUS_OURS, limits, stats, streams};

/// The signal by which threads are made to look at their pending work.
const KICK_SIGNAL: i32 = 62;
const STDERR: i32 = 2;
/// Where programs are looked for, and the guest's PATH.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Clone, Copy, ValueEnum)]
enum Backend {
    /// The rewriter if the processor can do it, else traps.
    Auto,
    /// Calls trap once; then their sites lead straight into the kernel.
    Rewriter,
    /// Every call traps: by Syscall User Dispatch, or by seccomp where the host has none.
    Trap,
    /// Every call traps by Syscall User Dispatch.
    #[value(hide = true)]
    Sud,
    /// Every call traps by seccomp.
    #[value(hide = true)]
    Seccomp,
}

impl Backend {
    fn parts(self) -> (Interception, Patching) {
        match self {
            Self::Auto => (Interception::Auto, Patching::Auto),
            Self::Rewriter => (Interception::Auto, Patching::On),
            Self::Trap => (Interception::Auto, Patching::Off),
            Self::Sud => (Interception::Sud, Patching::Off),
            Self::Seccomp => (Interception::Seccomp, Patching::Off),
        }
    }
}

/// Options of `litebox run`.
#[expect(clippy::struct_excessive_bools, reason = "they are options without values")]
#[derive(Args)]
pub struct Options {
    /// Give the sandbox a directory or file of the host: read-only, to be changed (the default), or copy-on-write.
    #[arg(short, long, value_name = "SRC[:DST][:ro|rw|cow]")]
    volume: Vec<OsString>,
    /// Mount an empty file system in memory.
    #[arg(long, value_name = "DST")]
    tmpfs: Vec<PathBuf>,
    /// Show nothing of the host but this directory, copy-on-write, as /.
    #[arg(long, value_name = "DIR")]
    rootfs: Option<PathBuf>,
    /// Set an environment variable; without a value, pass on the caller's.
    #[arg(short, long, value_name = "K[=V]")]
    env: Vec<OsString>,
    /// Start in this directory of the sandbox.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Run as this user and group, by number.
    #[arg(short, long, value_name = "UID[:GID]", value_parser = parse_user)]
    user: Option<(u32, Option<u32>)>,
    /// What `uname -n` says.
    #[arg(long, value_name = "NAME", default_value = "litebox", value_parser = parse_hostname)]
    hostname: String,
    #[command(flatten)]
    limits: limits::Bounds,
    #[command(flatten)]
    network: NetworkOptions,
    /// Print each call of the program, as strace(1) does, to stderr or to a file.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    strace: Option<PathBuf>,
    /// Print at the end how many calls, traps and faults there were, and how much memory was used.
    #[arg(long)]
    stats: bool,
    /// Give the program the terminal that stdin is, whatever the other descriptors are. Without it that happens when stdout is the terminal, too.
    #[arg(short, long)]
    tty: bool,
    /// How the guest's system calls are caught.
    #[arg(long, value_name = "WAY", value_enum, default_value = "auto")]
    interception_backend: Backend,
    /// Do as if the host had no namespaces.
    #[arg(long, hide = true)]
    test_no_namespaces: bool,
    /// Do as if the host let nobody make control groups.
    #[arg(long, hide = true)]
    test_no_cgroup: bool,
    /// Tell the guest where the host-call gadget is.
    #[arg(long, hide = true)]
    test_hostile: bool,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

fn parse_user(text: &str) -> Result<(u32, Option<u32>), String> {
    let number = |t: &str| t.parse::<u32>().ok().filter(|n| *n != u32::MAX);
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (number(uid), Some(number(gid))),
        None => (number(text), None),
    };
    match (uid, gid) {
        (Some(uid), None) => Ok((uid, None)),
        (Some(uid), Some(Some(gid))) => Ok((uid, Some(gid))),
        _ => Err("not numbers such as 1000 or 1000:1000".into()),
    }
}

fn parse_hostname(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 64 { Err("must have 1 to 64 bytes".into()) } else { Ok(text.into()) }
}

/// A message for the user, and the exit status.
type Refusal = (String, u8);

/// Runs the sandbox to its end; returns the exit status.
pub fn run(options: &Options) -> u8 {
    match launch(options) {
        Ok(launch) => {
            let outcome = litebox_broker::run(launch);
            if options.stats {
                report::write(stats::report(outcome.figures.as_ref()));
            }
            report::finish();
            std::mem::forget(outcome.rest);
            outcome.status
        }
        Err((line, status)) => {
            eprintln!("litebox: {}", Plain(&line));
            status
        }
    }
}

fn launch(options: &Options) -> Result<Launch, Refusal> {
    let ours = |line: String| (line, STATUS_OURS);
    let [program, ..] = options.command.as_slice() else {
        return Err(("no program given".into(), STATUS_OURS));
    };
    let (uid, gid) = match options.user {
        Some((uid, gid)) => (uid, gid.unwrap_or(uid)),
        None => (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
    };
    let network = network::prepare(&options.network).map_err(ours)?;
    let volumes = options.volume.iter().map(|v| mounts::parse_volume(v)).collect::<Result<_, _>>().map_err(ours)?;
    let tmpfs =
        options.tmpfs.iter().map(|t| mounts::destination("--tmpfs", t)).collect::<Result<_, _>>().map_err(ours)?;
    let wanted = MountRequest {
        volumes,
        tmpfs,
        rootfs: options.rootfs.clone(),
        workdir: options.workdir.clone(),
        owner: (uid, gid),
    };
    let (mounts, grants) = mounts::make(&wanted).map_err(ours)?;
    let envp = environment(&options.env)?;
    let mut extra = Vec::new();
    let strace = options.strace.as_ref().map(|file| open_trace(file, &mut extra)).transpose().map_err(ours)?;
    let (terminal, console) = streams::take_terminal(options.tty).map_err(ours)?;
    let (interception, patching) = options.interception_backend.parts();
    let config = Config {
        arena_size: options.limits.arena_size(),
        interception: interception_number(interception),
        patching: patching_number(patching),
        uid: uid.into(),
        gid: gid.into(),
        memory: options.limits.memory(),
        counted: counted_number(options.limits.counted()),
        machine_memory: limits::machine_memory(),
        disk: options.limits.disk(),
        pids: options.limits.pids(),
        limits: options.limits.resource_limits(),
        strace: strace.map_or(0, |fd| fd as u64 + 1),
        stats: options.stats.into(),
        test_hostile: options.test_hostile.into(),
        streams: streams::flags(),
        console,
        ignored: streams::ignored_signals(),
        network: network.setup.is_some().into(),
        published: network.published.as_bytes().to_vec(),
        path: program.as_bytes().to_vec(),
        hostname: options.hostname.as_bytes().to_vec(),
        argv: options.command.iter().map(|a| a.as_bytes().to_vec()).collect(),
        search: search_path(&envp),
        envp,
        mounts,
    };
    let arguments = ["litebox", SANDBOX_ARGUMENT].map(|a| CString::new(a).unwrap_or_default()).to_vec();
    let mut launch = Launch::new(arguments);
    launch.config = config.encode();
    launch.grants = grants;
    launch.net = network.setup;
    launch.extra = extra;
    launch.terminal = terminal;
    launch.limits = options.limits.kept();
    #[cfg(own_entry)]
    {
        launch.network = crate::entry::network();
    }
    launch.no_namespaces = options.test_no_namespaces;
    launch.no_cgroup = options.test_no_cgroup;
    launch.kick_signal = KICK_SIGNAL;
    Ok(launch)
}

/// The descriptor that calls are printed to: stderr (`-`), or a file that the sandbox is given.
fn open_trace(file: &Path, extra: &mut Vec<OwnedFd>) -> Result<i32, String> {
    if file == Path::new("-") {
        return Ok(STDERR);
    }
    let opened = OpenOptions::new().create(true).write(true).truncate(true).open(file);
    extra.push(opened.map_err(|e| format!("--strace={}: {e}", file.display()))?.into());
    i32::try_from(extra.len() - 1).map(|n| start_fd::FIRST_EXTRA + n).map_err(|e| e.to_string())
}

/// Where programs are looked for: PATH as the guest has it.
fn search_path(envp: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let path = envp.iter().find_map(|item| item.strip_prefix(b"PATH=")).unwrap_or(SEARCH_PATH.as_bytes());
    path.split(|&b| b == b':').map(|dir| if dir.is_empty() { b".".to_vec() } else { dir.to_vec() }).collect()
}

/// The guest's environment: PATH, HOME, TERM, LANG, and what the user names.
fn environment(given: &[OsString]) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut all: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (b"PATH".to_vec(), SEARCH_PATH.into()),
        (b"HOME".to_vec(), mounts::HOME.into()),
        (b"TERM".to_vec(), std::env::var_os("TERM").unwrap_or_else(|| "dumb".into()).into_vec()),
        (b"LANG".to_vec(), std::env::var_os("LANG").unwrap_or_else(|| "C.UTF-8".into()).into_vec()),
    ];
    for item in given {
        let bytes = item.as_bytes();
        let equals = bytes.iter().position(|&b| b == b'=');
        let (key, value) = match equals.map(|at| bytes.split_at(at)) {
            Some(([], _)) => {
                return Err((format!("--env {}: no name before the =", item.to_string_lossy()), STATUS_OURS));
            }
            Some((key, value)) => (key.to_vec(), value.get(1..).unwrap_or_default().to_vec()),
            None => match std::env::var_os(item) {
                Some(value) => (bytes.to_vec(), value.into_vec()),
                None => continue,
            },
        };
        all.retain(|(k, _)| *k != key);
        all.push((key, value));
    }
    Ok(all.into_iter().map(|(key, value)| [key, value].join(&b'=')).collect())
}
