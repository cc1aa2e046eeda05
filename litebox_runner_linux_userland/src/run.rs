//! `litebox run`: the broker's side.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use litebox_broker::{Launch, report};
use litebox_protocol::net::Tun;
use litebox_protocol::start_fd;
use litebox_shim_linux::boot::{NameOrId, UserSpec};
use zerocopy::IntoBytes;

use crate::config::{Config, counted_number, interception_number, patching_number};
use crate::doctor::probe;
use crate::environment::{environment, is_given, search_path};
use crate::message::say;
use crate::mounts::{self, Made, MountRequest, Seen};
use crate::network;
use crate::options::Options;
use crate::options::process::{Capabilities, ProcessOptions};
use crate::{SANDBOX_ARGUMENT, STATUS_OURS, inherited, limits, stats, streams};

/// The signal by which threads are made to look at their pending work.
const KICK_SIGNAL: i32 = 62;
const STDERR: i32 = 2;
/// Exit statuses of `docker run` for a program that cannot be executed, and for one that is not there.
const STATUS_NOT_EXECUTABLE: u8 = 126;
const STATUS_NOT_FOUND: u8 = 127;

/// Runs the sandbox to its end; returns the exit status.
pub fn run(options: &Options) -> u8 {
    match launch(options) {
        Ok((launch, seen, search)) => {
            let outcome = litebox_broker::run(launch);
            if let Some(line) = hint(options, outcome.status, &seen, &search) {
                report::say(&line);
            }
            if options.debug.stats {
                report::write(stats::report(outcome.figures.as_ref()));
            }
            report::finish();
            std::mem::forget(outcome.rest);
            outcome.status
        }
        Err(line) => {
            say(&line);
            STATUS_OURS
        }
    }
}

/// What would help when the program was not there.
fn hint(options: &Options, status: u8, seen: &Seen, search: &[Vec<u8>]) -> Option<String> {
    // A program may end with that status as well: then it was there.
    if ![STATUS_NOT_FOUND, STATUS_NOT_EXECUTABLE].contains(&status) {
        return None;
    }
    seen.hint(options.command().first()?, search)
}

fn launch(options: &Options) -> Result<(Launch, Seen, Vec<Vec<u8>>), String> {
    if let Some(why) = &options.refused.0 {
        return Err(why.clone());
    }
    if !probe::has_seccomp() {
        return Err("this host offers no seccomp filters, and there is no boundary without them \
            (inside LiteBox there are none; see litebox doctor)"
            .into());
    }
    let inherited = inherited::claim(options.limits.arena_size())?;
    let command = options.command();
    let [program, ..] = command.as_slice() else { return Err("no program is given".into()) };
    let mut network = network::prepare(&options.network)?;
    let wanted = MountRequest::new(options, &network, user(&options.process))?;
    let envp = environment(options, wanted.tools())?;
    let search = search_path(&envp);
    let Made { mounts, grants, notes, seen } = mounts::make(wanted)?;
    let mut extra = Vec::new();
    let strace = options.debug.strace.as_ref().map(|file| open_trace(file, &mut extra)).transpose()?;
    let tun = network.tun.take().map(|device| {
        extra.push(device.descriptor);
        extra_number(&extra).map(|fd| Tun { fd, ..device.tun })
    });
    for note in notes {
        report::say(&note);
    }
    // From here on the terminal may be raw.
    let (terminal, console) = streams::take_terminal(options.process.tty)?;
    let (interception, patching) = options.debug.interception_backend.parts();
    if let Some(file) = &options.process.cidfile {
        write_id(file)?;
    }
    let home_of_user = matches!(&options.process.user, Some(UserSpec { user: NameOrId::Name(_), .. }));
    let config = Config {
        arena_size: options.limits.arena_size(),
        interception: interception_number(interception),
        patching: patching_number(patching),
        dropped_capabilities: dropped_capabilities(&options.process),
        reaps_orphans: options.process.init.into(),
        home_of_user: (home_of_user && !is_given(options, "HOME")).into(),
        workdir: options.process.workdir.iter().flat_map(|dir| [b"-w ", dir.as_os_str().as_bytes()].concat()).collect(),
        memory: options.limits.memory(),
        counted: counted_number(options.limits.counted()),
        machine_memory: limits::machine_memory(),
        disk: options.limits.disk(),
        pids: options.limits.pids(),
        limits: [inherited, options.limits.resource_limits()].concat(),
        strace: strace.map_or(0, |fd| fd as u64 + 1),
        stats: options.debug.stats.into(),
        test_hostile: options.debug.test_hostile.into(),
        streams: streams::flags(),
        console,
        ignored: streams::ignored_signals(),
        network: network.setup.is_some().into(),
        tun: tun.transpose()?.map_or(Vec::new(), |tun| tun.as_bytes().to_vec()),
        published: network.published.as_bytes().to_vec(),
        path: program.as_bytes().to_vec(),
        hostname: options.process.hostname.as_bytes().to_vec(),
        argv: command.iter().map(|a| a.as_bytes().to_vec()).collect(),
        search: search.clone(),
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
    launch.stop_signal = options.process.stop_signal.unwrap_or(libc::SIGTERM);
    #[cfg(own_entry)]
    {
        launch.network = crate::entry::network();
    }
    launch.no_namespaces = options.debug.test_no_namespaces;
    launch.no_cgroup = options.debug.test_no_cgroup;
    launch.kick_signal = KICK_SIGNAL;
    Ok((launch, seen, search))
}

/// Who the program runs as: the caller, when nobody is named.
fn user(options: &ProcessOptions) -> UserSpec {
    let caller = || UserSpec {
        user: NameOrId::Id(rustix::process::geteuid().as_raw()),
        group: Some(NameOrId::Id(rustix::process::getegid().as_raw())),
        more: Vec::new(),
    };
    UserSpec { more: options.group_add.clone(), ..options.user.clone().unwrap_or_else(caller) }
}

/// Capabilities that the program may not have.
fn dropped_capabilities(options: &ProcessOptions) -> u64 {
    let union = |list: &[Capabilities]| list.iter().fold(0, |all, Capabilities(one)| all | one);
    union(&options.cap_drop) & !union(&options.cap_add)
}

/// The descriptor that calls are printed to: stderr (`-`), or a file that the sandbox is given.
fn open_trace(file: &Path, extra: &mut Vec<OwnedFd>) -> Result<i32, String> {
    if file == Path::new("-") {
        return Ok(STDERR);
    }
    let opened = OpenOptions::new().create(true).write(true).truncate(true).open(file);
    extra.push(opened.map_err(|e| format!("--strace={}: {e}", file.display()))?.into());
    extra_number(extra)
}

/// The number that the last of these descriptors has in the sandbox.
fn extra_number(extra: &[OwnedFd]) -> Result<i32, String> {
    i32::try_from(extra.len() - 1).map(|n| start_fd::FIRST_EXTRA + n).map_err(|e| e.to_string())
}

/// A new random id in a file of its own: 64 hexadecimal digits, as `docker run --cidfile` writes.
fn write_id(file: &Path) -> Result<(), String> {
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("--cidfile {}: the file exists already (remove it)", file.display())
        }
        _ => format!("--cidfile {}: {e}", file.display()),
    };
    let mut random = [0u8; 32];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).map_err(|e| failed(e.into()))?;
    let digits = random.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let id: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
    let mut out = OpenOptions::new().create_new(true).write(true).open(file).map_err(failed)?;
    out.write_all(id.as_bytes()).map_err(failed)
}
