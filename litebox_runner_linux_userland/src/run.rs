//! `litebox run`: the broker's side.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use litebox_broker::confine::Network;
use litebox_broker::control::Setup;
use litebox_broker::{Grant, Launch, report};
use litebox_platform_linux_userland::start::{self, SANDBOX_ARGUMENT};
use litebox_protocol::net::Tun;
use litebox_protocol::plain::Plain;
use litebox_protocol::start_fd;
use litebox_shim_linux::boot::{MountPlan, NameOrId, SANDBOX_CAPABILITIES, UserSpec};
use rustix::process::{Pid, PidfdFlags};
use zerocopy::IntoBytes;

use crate::config::{Config, counted_number, interception_number, layer_number, patching_number};
use crate::doctor::probe;
use crate::environment::{environment, is_given, search_path};
use crate::message::say;
use crate::mounts::{self, Made, MountRequest, Seen};
use crate::named::detach;
use crate::named::directory::Directory;
use crate::named::record::{self, Record};
use crate::network::{self, Network as OwnNetwork};
use crate::options::Options;
use crate::options::process::{Capabilities, ProcessOptions};
use crate::results::{self, Results};
use crate::seccomp::Profile;
use crate::start_cache::StartCache;
use crate::status::{self, Status};
use crate::{STATUS_OURS, inherited, limits, pod, preserved, streams, trace};

/// The signal by which threads are made to look at their pending work.
const KICK_SIGNAL: i32 = 62;
/// Exit statuses of `docker run` for a program that cannot be executed, and for one that is not there.
const STATUS_NOT_EXECUTABLE: u8 = 126;
const STATUS_NOT_FOUND: u8 = 127;

/// What a sandbox with a name has besides.
pub struct Named {
    /// Where others find it.
    pub directory: Directory,
    /// Random.
    pub id: String,
    /// How others talk to it.
    pub setup: Setup,
    /// It runs in the background.
    pub detached: bool,
}

/// Runs the sandbox to its end, or begins to run it in the background; returns the exit status.
pub fn run(options: &Options) -> u8 {
    if let Some(why) = &options.refused.0 {
        say(why);
        return STATUS_OURS;
    }
    if let Err(why) = check_preserved(options) {
        say(&why);
        return STATUS_OURS;
    }
    // Before anything else is opened: it is the number of a descriptor that may be given.
    let status = match Status::new(&options.debug) {
        Ok(status) => status,
        Err(why) => {
            say(&why);
            return STATUS_OURS;
        }
    };
    let ready = options.process.ready_fd.map(|number| status::take("--ready-fd", number)).transpose();
    let ready = match ready {
        Ok(ready) => ready.map(OwnedFd::from),
        Err(why) => {
            say(&why);
            return STATUS_OURS;
        }
    };
    if options.process.detach {
        return detach::start(options, status);
    }
    let Some(name) = &options.process.name else { return run_here(options, status) };
    if let Some(container) = &options.process.join {
        return pod::join(options, name, container, ready);
    }
    match Named::here(name, ready) {
        Ok(named) => {
            let ended = run_named(options, named, status, None);
            let (directory, status) = (ended.directory, ended.status);
            // Nothing is left of it. Nobody can be told if that fails.
            let _ = directory.remove();
            status
        }
        Err(why) => {
            say(&why);
            STATUS_OURS
        }
    }
}

/// Descriptors that the program gets are there, and are for nobody else.
fn check_preserved(options: &Options) -> Result<(), String> {
    let count = options.process.preserve_fds;
    let named = [("--status-fd", options.debug.status_fd), ("--ready-fd", options.process.ready_fd)];
    for (option, number) in named {
        if let Some(number) = number.filter(|number| preserved::numbers(count).contains(number)) {
            return Err(format!("{option} {number}: that descriptor is the program's (--preserve-fds {count})"));
        }
    }
    preserved::check(count)
}

/// A sandbox that nobody finds.
fn run_here(options: &Options, mut status: Status) -> u8 {
    match launch(options, None) {
        Ok(prepared) => finish(options, prepared, status, None).0,
        Err(line) => {
            say(&line);
            status.failed(STATUS_OURS, &line);
            report::finish();
            STATUS_OURS
        }
    }
}

impl Named {
    /// In the foreground.
    fn here(name: &str, ready: Option<OwnedFd>) -> Result<Self, String> {
        let id = record::new_id().map_err(|e| format!("--name {name}: {e}"))?;
        let directory = Directory::create(name)?;
        let listener = directory.listen().map_err(|e| format!("--name {name}: {e}"))?;
        Ok(Self { directory, id, setup: Setup { listener, ready }, detached: false })
    }
}

/// How a sandbox with a name ended.
pub struct NamedEnd {
    /// Where others found it.
    pub directory: Directory,
    /// Exit status.
    pub status: u8,
    /// Its program ran.
    pub ran: bool,
}

/// Runs a sandbox with a name to its end. `errors` is where it is said why it cannot be started, if not on stderr; it
/// is closed when it can.
pub fn run_named(options: &Options, named: Named, mut told: Status, errors: Option<OwnedFd>) -> NamedEnd {
    let Named { directory, id, setup, detached } = named;
    let wanted = Wanted { directory: &directory, id: &id, setup, detached };
    let (status, ran) = match launch(options, Some(wanted)) {
        Ok(prepared) => {
            drop(errors);
            finish(options, prepared, told, Some(&directory.name))
        }
        Err(line) => {
            told.failed(STATUS_OURS, &line);
            match errors {
                // Nothing can be done when that is gone.
                Some(errors) => drop(File::from(errors).write_all(format!("litebox: {}\n", Plain(&line)).as_bytes())),
                None => say(&line),
            }
            (STATUS_OURS, false)
        }
    };
    NamedEnd { directory, status, ran }
}

/// As [`Named`], for its start.
struct Wanted<'a> {
    directory: &'a Directory,
    id: &'a str,
    setup: Setup,
    detached: bool,
}

/// What is to be run, what helps when its program is not there, and what stays of it.
struct Prepared {
    launch: Launch,
    seen: Seen,
    search: Vec<Vec<u8>>,
    results: Option<Results>,
    cache: Option<StartCache>,
}

/// Runs what was prepared: the exit status, and whether the program ran.
fn finish(
    options: &Options,
    Prepared { launch, seen, search, results, cache }: Prepared,
    mut told: Status,
    name: Option<&str>,
) -> (u8, bool) {
    told.starts(name);
    let mut outcome = litebox_broker::run(launch);
    if let (Some(cache), Some(learned)) = (cache, &outcome.learned) {
        cache.write(learned);
    }
    if let (Some(results), Some(kept)) = (results, &outcome.kept) {
        outcome.status = results.tell(kept, outcome.status);
    }
    if let Some(line) = hint(options, outcome.status, &seen, &search) {
        report::say(&line);
    }
    if let Some(format) = options.debug.stats {
        report::write(status::figures(&outcome, format));
    }
    told.ended(&outcome);
    report::finish();
    std::mem::forget(outcome.rest);
    (outcome.status, outcome.ran)
}

/// What would help when the program was not there.
fn hint(options: &Options, status: u8, seen: &Seen, search: &[Vec<u8>]) -> Option<String> {
    // A program may end with that status as well: then it was there.
    if ![STATUS_NOT_FOUND, STATUS_NOT_EXECUTABLE].contains(&status) {
        return None;
    }
    seen.hint(options.command().first()?, search)
}

/// The network namespace that the start of this program has in the making, if it has; to be asked once.
fn network_namespace() -> Option<Network> {
    let (pid, state) = start::network_helper()?;
    let helper = rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    Some(Network::new(pid, helper, state))
}

fn launch(options: &Options, named: Option<Wanted<'_>>) -> Result<Prepared, String> {
    if !probe::has_seccomp() {
        return Err("this host offers no seccomp filters, and there is no boundary without them \
            (inside LiteBox they bind nobody; see litebox doctor)"
            .into());
    }
    let inherited = inherited::claim(options.limits.arena_size())?;
    let mut network = network::prepare(&options.network)?;
    let Program { path, envp, search, made } = Program::new(options, &network)?;
    let Made { mounts, grants, notes, seen } = made;
    let mut extra = Vec::new();
    let strace = trace::prepare(&options.debug, &mut extra)?;
    let tun = network.tun.take().map(|device| {
        extra.push(device.descriptor);
        extra_number(&extra).map(|fd| Tun { fd, ..device.tun })
    });
    let mut preserved = Vec::new();
    for (descriptor, flags) in preserved::take(options.process.preserve_fds)? {
        extra.push(descriptor);
        preserved.push((extra_number(&extra)?.unsigned_abs(), flags));
    }
    let most = options.limits.most_kept();
    let mut results = results::prepare(&options.results, most)?;
    let layer = results.as_mut().and_then(|results| give(results, &mut extra)).unwrap_or(0);
    for note in notes {
        report::say(&note);
    }
    // From here on the terminal may be raw.
    let (terminal, console) = match named.as_ref().filter(|named| named.detached) {
        Some(_) => (None, if options.process.tty { streams::CONSOLE_IN_BACKGROUND } else { 0 }),
        None => streams::take_terminal(options.process.tty)?,
    };
    let (interception, patching) = options.debug.interception_backend.parts();
    if let Some(file) = &options.process.cidfile {
        write_id(file, named.as_ref().map(|named| named.id))?;
    }
    let cache = StartCache::of(&path, &search, &mounts.workdir, &grants);
    let cache = cache.filter(|_| !options.process.no_start_cache);
    let ahead = cache.as_ref().map(StartCache::read);
    let config = Config {
        arena_size: options.limits.arena_size(),
        interception: interception_number(interception),
        patching: patching_number(patching),
        reaps_orphans: options.process.init.into(),
        memory: options.limits.memory(),
        counted: counted_number(options.limits.counted()),
        machine_memory: limits::machine_memory(),
        disk: options.limits.disk(),
        pids: options.limits.pids(),
        strace,
        layer,
        stats: u64::from(options.debug.wants_figures()),
        test_hostile: options.debug.test_hostile.into(),
        takes_programs: named.is_some().into(),
        ahead: ahead.as_ref().is_some_and(|requests| !requests.is_empty()).into(),
        streams: streams::flags(),
        preserved,
        console,
        ignored: streams::ignored_signals(),
        network: network.setup.is_some().into(),
        tun: tun.transpose()?.map_or(Vec::new(), |tun| tun.as_bytes().to_vec()),
        own_addresses: network.own.map_or(Vec::new(), |own| own.as_bytes().to_vec()),
        published: network.published.as_bytes().to_vec(),
        ..program_config(options, inherited, (path, envp, search.clone()), mounts)?
    };
    let arguments = ["litebox", SANDBOX_ARGUMENT].map(|a| CString::new(a).unwrap_or_default()).to_vec();
    let mut launch = Launch::new(arguments);
    launch.config = config.encode();
    // A helper that was made for who started it is nothing for who is in the background.
    if named.as_ref().is_none_or(|named| !named.detached) {
        launch.network = network_namespace();
    }
    if let Some(Wanted { directory, id, setup, .. }) = named {
        let record = Record::new(id, &directory.name, options, &config.envp, &config.mounts.workdir);
        let text = serde_json::to_string(&record).map_err(|e| e.to_string())?;
        directory.write_config(&text).map_err(|e| format!("--name {}: {e}", directory.name))?;
        launch.control = Some(setup);
    }
    launch.grants = grants;
    launch.net = network.setup;
    launch.extra = extra;
    launch.keeper = results.as_mut().and_then(|results| results.keeper.take());
    launch.terminal = terminal;
    launch.limits = options.limits.kept();
    launch.stop_signal = options.process.stop_signal.unwrap_or(libc::SIGTERM);
    launch.no_namespaces = options.debug.test_no_namespaces;
    launch.no_cgroup = options.debug.test_no_cgroup;
    launch.kick_signal = KICK_SIGNAL;
    launch.ahead = ahead;
    Ok(Prepared { launch, seen, search, results, cache })
}

/// The program, and what it sees.
struct Program {
    path: Vec<u8>,
    envp: Vec<Vec<u8>>,
    search: Vec<Vec<u8>>,
    made: Made,
}

impl Program {
    fn new(options: &Options, network: &OwnNetwork) -> Result<Self, String> {
        let command = options.command();
        let [program, ..] = command.as_slice() else { return Err("no program is given".into()) };
        let wanted = MountRequest::new(options, network, user(&options.process))?;
        let envp = environment(options, wanted.tools())?;
        let search = search_path(&envp);
        Ok(Self { path: program.as_bytes().to_vec(), envp, search, made: mounts::make(wanted)? })
    }
}

/// The part of a configuration that says what is run, who runs it, and what it may do.
fn program_config(
    options: &Options,
    inherited: Vec<(u32, u64, u64)>,
    (path, envp, search): (Vec<u8>, Vec<Vec<u8>>, Vec<Vec<u8>>),
    mounts: MountPlan,
) -> Result<Config, String> {
    let process = &options.process;
    let home_of_user = matches!(&process.user, Some(UserSpec { user: NameOrId::Name(_), .. }));
    Ok(Config {
        dropped_capabilities: dropped_capabilities(process),
        inherited_capabilities: [union(&process.cap_inherit), union(&process.cap_ambient)],
        no_new_privileges: process.no_new_privileges().into(),
        oom_score_adj: i64::from(process.oom_score_adj) as u64,
        filter: filter(process)?,
        home_of_user: (home_of_user && !is_given(options, "HOME")).into(),
        workdir: process.workdir.iter().flat_map(|dir| [b"-w ", dir.as_os_str().as_bytes()].concat()).collect(),
        limits: [inherited, options.limits.resource_limits()].concat(),
        scheduling: process.scheduling.0.map(|number| i64::from(number) as u64),
        path,
        hostname: process.hostname.as_bytes().to_vec(),
        argv: options.command().iter().map(|a| a.as_bytes().to_vec()).collect(),
        search,
        envp,
        ..Config::with(mounts)
    })
}

/// What a container of another sandbox is to be: its configuration, and the grants behind it.
pub fn container_config(options: &Options) -> Result<(Vec<u8>, Vec<Grant>), String> {
    let inherited = inherited::claim(options.limits.arena_size())?;
    let Program { path, envp, search, made } = Program::new(options, &OwnNetwork::default())?;
    let config = program_config(options, inherited, (path, envp, search), made.mounts)?;
    Ok((config.encode(), made.grants))
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

fn union(list: &[Capabilities]) -> u64 {
    list.iter().fold(0, |all, Capabilities(one)| all | one)
}

/// The filter that its profile of calls becomes.
fn filter(options: &ProcessOptions) -> Result<Vec<u8>, String> {
    let Some(file) = options.seccomp() else { return Ok(Vec::new()) };
    let capabilities = SANDBOX_CAPABILITIES & !dropped_capabilities(options);
    let filter = Profile::read(file).and_then(|profile| profile.filter(capabilities));
    filter
        .map(|filter| filter.as_bytes().to_vec())
        .map_err(|why| format!("--security-opt seccomp={}: {why}", file.display()))
}

/// Capabilities that the program may not have.
fn dropped_capabilities(options: &ProcessOptions) -> u64 {
    union(&options.cap_drop) & !union(&options.cap_add)
}

/// Gives the sandbox its end of the pipe by which it tells its changes: how that is said in the configuration.
fn give(results: &mut Results, extra: &mut Vec<OwnedFd>) -> Option<u64> {
    extra.extend(results.to.take());
    let number = i32::try_from(extra.len().checked_sub(1)?).ok()?;
    Some(layer_number(start_fd::FIRST_EXTRA + number, results.contents))
}

/// The number that the last of these descriptors has in the sandbox.
pub fn extra_number(extra: &[OwnedFd]) -> Result<i32, String> {
    i32::try_from(extra.len() - 1).map(|n| start_fd::FIRST_EXTRA + n).map_err(|e| e.to_string())
}

/// A new random id in a file of its own: 64 hexadecimal digits, as `docker run --cidfile` writes.
fn write_id(file: &Path, id: Option<&str>) -> Result<(), String> {
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("--cidfile {}: the file exists already (remove it)", file.display())
        }
        _ => format!("--cidfile {}: {e}", file.display()),
    };
    let id = match id {
        Some(id) => id.into(),
        None => record::new_id().map_err(|e| failed(e.into()))?,
    };
    let mut out = OpenOptions::new().create_new(true).write(true).open(file).map_err(failed)?;
    out.write_all(id.as_bytes()).map_err(failed)
}
