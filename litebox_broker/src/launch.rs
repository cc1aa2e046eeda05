//! Starting a sandbox and seeing it through to its end.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use litebox_protocol::STAT_FIGURES;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

use crate::ahead::{Learning, Requests};
use crate::beneath::Grant;
use crate::cgroup::{Cgroup, Wanted};
use crate::change_flag::give_flags;
use crate::confine::{Confinement, Network, Program};
use crate::control;
use crate::keeping::{Keeper, Keeping};
use crate::limits::{End, EndedBy, Limits};
use crate::memory::Meter;
use crate::net;
use crate::report::say;
use crate::request_page::MappedPage;
use crate::server::{STATUS_OURS, Server, Sockets};
use crate::session::Session;
use crate::signals::Signals;
use crate::socket;
use crate::terminal::Terminal;
use crate::{confine, processors};

/// How long a program may take to end when its time is over.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// What is to be started.
pub struct Launch {
    /// Arguments of the supervisor, program name included (`["litebox", "--litebox-sandbox"]`).
    pub arguments: Vec<CString>,
    /// What the supervisor finds in its configuration file, behind the description of the grants; opaque here.
    pub config: Vec<u8>,
    /// What the sandbox may reach, numbered as it stands.
    pub grants: Vec<Grant>,
    /// Descriptors it holds from the start, from `start_fd::FIRST_EXTRA` on.
    pub extra: Vec<OwnedFd>,
    /// Time and memory.
    pub limits: Limits,
    /// Do as if the host had no namespaces.
    pub no_namespaces: bool,
    /// Do as if the host let us make no control groups.
    pub no_cgroup: bool,
    /// A network namespace for it.
    pub network: Option<Network>,
    /// What of the host's network it may use; `None`: nothing.
    pub net: Option<net::Setup>,
    /// The user's terminal, if the sandbox uses it.
    pub terminal: Option<Terminal>,
    /// The signal of `Op::Kick`.
    pub kick_signal: i32,
    /// What SIGTERM becomes for the program (`--stop-signal`).
    pub stop_signal: i32,
    /// The supervisor's executable; `None`: this one.
    pub executable: Option<OwnedFd>,
    /// Where clients come from that want something of it while it runs.
    pub control: Option<control::Setup>,
    /// Who takes what the sandbox tells of its changes when it ends.
    pub keeper: Option<Keeper>,
    /// What the program asked for when it was started last. If that is anything, `config` says that answers come ahead.
    /// `None`: nothing is to be learned for the next time.
    pub ahead: Option<Requests>,
}

impl Launch {
    /// A launch with these arguments and nothing else.
    pub fn new(arguments: Vec<CString>) -> Self {
        Self {
            arguments,
            config: Vec::new(),
            grants: Vec::new(),
            extra: Vec::new(),
            limits: Limits { stop_timeout: STOP_TIMEOUT, ..Limits::default() },
            no_namespaces: false,
            no_cgroup: false,
            network: None,
            net: None,
            terminal: None,
            kick_signal: libc::SIGURG,
            stop_signal: libc::SIGTERM,
            executable: None,
            control: None,
            keeper: None,
            ahead: None,
        }
    }
}

/// Descriptors and memory of a sandbox that has ended. The end of the process takes them back faster than dropping them
/// does.
pub struct Rest(
    #[expect(dead_code, reason = "to be dropped")] Server,
    #[expect(dead_code, reason = "to be dropped")] Signals,
);

/// How a sandbox ended.
pub struct SandboxEnd {
    /// Exit status for the shell.
    pub status: u8,
    /// What the user was told of it.
    pub line: Option<String>,
    /// Who or what ended it.
    pub ended_by: EndedBy,
    /// The signal that killed its first program.
    pub signal: Option<i32>,
    /// What the sandbox reported with `Op::Stats`.
    pub figures: Option<[u64; STAT_FIGURES]>,
    /// Its first program ran. Known only of one that clients talk to.
    pub ran: bool,
    /// Whether its changes were kept, or why not; `None`: nobody asked.
    pub kept: Option<Result<(), String>>,
    /// What the program is likely to ask for at its next start, where that is not known yet.
    pub learned: Option<Requests>,
    /// What is left of it here.
    pub rest: Option<Rest>,
}

/// Runs a sandbox to its end. Every failure is said in one line; nothing of the sandbox is left when this returns. To
/// be called by a process without other threads.
pub fn run(launch: Launch) -> SandboxEnd {
    match start_and_serve(launch) {
        Ok(outcome) => outcome,
        Err(failure) => {
            let line = match failure {
                Failure::Host(what, e) => format!("cannot start the sandbox: {what}: {e}"),
                Failure::Refused(why) => why,
            };
            say(&line);
            let (status, line, ended_by) = (STATUS_OURS, Some(line), EndedBy::Litebox);
            let (signal, figures, kept, learned, rest) = (None, None, None, None, None);
            SandboxEnd { status, line, ended_by, signal, figures, ran: false, kept, learned, rest }
        }
    }
}

/// Why a sandbox cannot be started.
enum Failure {
    /// The host refuses something.
    Host(&'static str, Errno),
    /// Something that was asked for cannot be done here.
    Refused(String),
}

impl From<(&'static str, Errno)> for Failure {
    fn from((what, error): (&'static str, Errno)) -> Self {
        Self::Host(what, error)
    }
}

fn start_and_serve(mut launch: Launch) -> Result<SandboxEnd, Failure> {
    // What the sandbox creates gets the mode it asks for: its own umask has been applied.
    rustix::process::umask(Mode::empty());
    // One descriptor for each process of the sandbox. Not possible where the limit is hard: then there are fewer.
    let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    files.current = files.maximum;
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, files);
    // Orphans of the sandbox become our children, so that none is left behind.
    let _ = rustix::process::set_child_subreaper(true.then(rustix::process::getpid));
    let (requests, requests_inside) = socket_pair()?;
    let (readers, readers_inside) = socket_pair()?;
    let (events, events_inside) = socket_pair()?;
    // Nobody reads there: what was sent would stay, with the descriptors in it, and count against what the user may
    // have in flight.
    rustix::net::shutdown(&events, rustix::net::Shutdown::Read).map_err(|e| ("shutdown", e))?;
    // Also without a network: the filter knows its number, which nothing else may get.
    let (net, net_inside) = socket_pair()?;
    let (page, page_inside) = MappedPage::make().map_err(|e| ("the page for requests", e))?;
    let flags_inside = give_flags(&mut launch.grants).map_err(|e| ("the flags of changes", e))?;
    let mut session = Session::new(launch.grants);
    let grants = session.describe_grants();
    let config = [&(grants.len() as u64).to_ne_bytes(), grants.as_slice(), &launch.config].concat();
    let config = sealed_file(&config).map_err(|e| ("configuration", e))?;
    let executable = match launch.executable {
        Some(fd) => fd,
        None => own_executable().map_err(|e| ("own executable", e))?,
    };
    let mut group = Some(launch.limits)
        .filter(|_| !launch.no_cgroup)
        .and_then(|limits| Cgroup::make(Wanted { memory: limits.memory, milli_cpus: limits.milli_cpus }));
    let share = launch.limits.milli_cpus.filter(|_| !group.as_ref().is_some_and(Cgroup::keeps_processors));
    let processors = share.map(processors::choose).transpose().map_err(Failure::Refused)?.flatten();
    let signals = Signals::take().map_err(|e| ("signals", e))?;
    let mut inherited =
        vec![requests_inside, readers_inside, events_inside, net_inside, config, page_inside, flags_inside];
    inherited.extend(launch.extra);
    let confinement = Confinement {
        limits: launch.limits,
        doors: group.as_ref().map(Cgroup::doors).unwrap_or_default(),
        processors,
        no_namespaces: launch.no_namespaces,
        network: launch.network,
    };
    let program = Program { executable, arguments: &launch.arguments, inherited: &inherited, signals: &signals };
    let sandboxed = confine::spawn(program, &confinement).map_err(|e| match e {
        Errno::AGAIN => Failure::Refused(
            "cannot start the sandbox: the host lets this user have no more processes (see ulimit -u)".into(),
        ),
        other => Failure::Host("clone", other),
    })?;
    drop(inherited);
    if let Some(network) = &confinement.network {
        network.dismiss();
    }

    session.supervisor = sandboxed.supervisor;
    session.kick_signal = launch.kick_signal;
    session.terminal = launch.terminal;
    let mut server = Server::new(session, sandboxed, Sockets { requests, page, readers, events }, &launch.limits);
    server.net = launch.net.map(|setup| (net, net::Service::new(setup)));
    server.stop_signal = launch.stop_signal;
    server.stop_timeout = launch.limits.stop_timeout;
    if let Some(setup) = launch.control {
        let (events, files) = (server.events.clone(), server.session.files());
        let started = control::Control::start(setup, events, files, sandboxed, launch.limits.memory);
        server.control = Some(started.map_err(|e| ("the thread for clients", e))?);
    }
    if let Some(mut requests) = launch.ahead {
        // The sandbox was told that answers come when there are requests, and waits for the end of them.
        let are_to_come = !requests.is_empty();
        requests.retain(&server.session.files());
        if are_to_come {
            server.answer_ahead(&requests);
        }
        server.session.learning = Some(Learning::new(requests));
    }
    server.helper = confinement.network;
    server.keeping = launch.keeper.map(Keeping::start);
    let gauge = group.as_mut().and_then(Cgroup::take_gauge);
    let end = match launch.limits.memory.map(|limit| Meter::new(sandboxed, limit, gauge)).transpose() {
        Ok(meter) => {
            server.memory = meter;
            server.run(&signals)
        }
        Err(why) => End::saying(STATUS_OURS, &format!("--memory: this host does not tell what a sandbox uses: {why}")),
    };
    if !sandboxed.end() {
        say("the host has not ended all processes of the sandbox, which were killed");
    }
    drop(group);
    let kept = server.keeping.take().map(Keeping::finish);
    server.session.terminal = None;
    // Nobody may keep the sandbox alive by not reading.
    if let Some(line) = &end.line {
        say(line);
    }
    if let Some(control) = &mut server.control {
        control.over(end.status, end.line.as_deref().unwrap_or_default());
    }
    let ran = server.control.as_ref().is_some_and(control::Control::first_ran);
    let (ended_by, signal) = (server.ended_by(&end), server.signal());
    let figures = server.session.figures;
    let learned = server.session.learning.take().and_then(Learning::outcome);
    Ok(SandboxEnd {
        status: end.status,
        line: end.line,
        ended_by,
        signal,
        figures,
        ran,
        kept,
        learned,
        rest: Some(Rest(server, signals)),
    })
}

fn socket_pair() -> Result<(OwnedFd, OwnedFd), Failure> {
    socket::pair().map_err(|e| Failure::Host("socketpair", e))
}

/// A memory file with these bytes that nobody can change any more, at offset 0.
fn sealed_file(bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let file = rustix::fs::memfd_create("litebox-config", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|r| !r.is_empty()) {
        written += rustix::io::pwrite(&file, rest, written as u64)?;
    }
    rustix::fs::fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(file)
}

fn own_executable() -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    match rustix::fs::open("/proc/self/exe", flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            // No /proc: as we were called.
            let path = rustix::param::linux_execfn();
            rustix::fs::open(path, flags, Mode::empty())
        }
        other => other,
    }
}

/// Whether everybody may execute `file`.
pub fn anybody_may_execute(file: &OwnedFd) -> bool {
    rustix::fs::fstat(file.as_fd()).is_ok_and(|s| s.st_mode & 0o001 != 0)
}

/// A copy of `file` in memory, executable for everybody.
pub fn copy_in_memory(file: &OwnedFd) -> Result<OwnedFd, Errno> {
    let copy = rustix::fs::memfd_create("litebox", MemfdFlags::CLOEXEC)?;
    rustix::fs::fchmod(&copy, Mode::from_raw_mode(0o555))?;
    let mut offset = 0u64;
    while rustix::fs::sendfile(&copy, file, Some(&mut offset), 1 << 30)? > 0 {}
    // A memory file that is open for writing cannot be executed (ETXTBSY): open it again for reading.
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}
