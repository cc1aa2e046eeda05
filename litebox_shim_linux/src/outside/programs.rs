//! Programs that somebody outside of the sandbox starts in it (`litebox exec`): each is a process without a parent in
//! here, which leads a session of its own. It is who the first program was, unless somebody else is named, and has the
//! streams that came along, or a terminal made of them.
//!
//! The supervisor only makes the process. Whatever may take time, the way to the program's file above all, happens in
//! the process itself. So does what needs no program at all (`outside/save.rs`).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use litebox::fs::host::{Granted, HostFile, grants};
use litebox::fs::{Access, FdTable, File, FsContext, Location, LookupFlags, OpenFile, Origin, StatusFlags};
use litebox::platform::compat::CpuMode;
use litebox::platform::north::Registers;
use litebox::platform::{GrantId, HostFd, ThreadSpec, host};
use litebox::sync::{Mutex, RwLock};
use litebox::{Error, Result};
use litebox_protocol::control::{MAX_MESSAGE, STREAMS, Start, StartFlags, What};
use litebox_protocol::{Event, EventKind, Op, Reply};
use zerocopy::IntoBytes;

use crate::boot::{
    self, FirstProgram, Identity, MOST_DESCRIPTORS, MountPlan, NameOrId, UMASK, UserSpec, View, find_program,
    open_terminal, user,
};
use crate::loader::{self, Arguments, ImageInfo, Prepared};
use crate::mm::MemoryMap;
use crate::seccomp::Filter;
use crate::signal::SignalInfo;
use crate::signal::set::{MAX_SIGNAL, SI_USER};
use crate::syscalls::limits::Limits;
use crate::task::container::Container;
use crate::task::{CloneShares, Credentials, Kernel, Newborn, Process, ProcessSpec, Thread};
use crate::{Task, outside};

/// Exit statuses as `docker exec` has them: for a program that cannot be executed, and for one that is not there.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;
/// Exit status of what was to save changes and did not.
const NOT_SAVED: i32 = 1;
/// And of a container that cannot be made, as `docker run` has it.
const NOT_MADE: i32 = 125;
/// Why one cannot be joined.
const NO_CONTAINER: &str = "the sandbox has no container of this name";
/// Programs of which streams have come, and nothing else yet. The broker has no more than this under way.
const MOST_PENDING: usize = litebox_protocol::control::MAX_PROGRAMS;

/// All of a sandbox.
#[derive(Default)]
pub(crate) struct Programs {
    /// Streams of those that are about to be started.
    streams: Mutex<BTreeMap<u32, [Option<HostFd>; STREAMS]>>,
}

impl Programs {
    fn add_stream(&self, number: u32, which: usize, fd: HostFd) {
        let mut all = self.streams.lock();
        let full = all.len() >= MOST_PENDING && !all.contains_key(&number);
        let slot = all.entry(number).or_default().get_mut(which).filter(|_| !full);
        let unused = match slot {
            Some(slot) => slot.replace(fd),
            None => Some(fd),
        };
        drop(all);
        if let Some(fd) = unused {
            host().host_close(fd);
        }
    }

    fn take_streams(&self, number: u32) -> [Option<HostFd>; STREAMS] {
        self.streams.lock().remove(&number).unwrap_or_default()
    }
}

/// What is to be started, as far as that is up to the process itself.
pub(crate) struct Request {
    number: u32,
    what: What,
    /// The first program of its container, which it may be itself.
    first: Arc<FirstProgram>,
    /// It is: the container is to be made.
    container: Option<NewContainer>,
    user: Vec<u8>,
    workdir: Vec<u8>,
    arguments: Vec<Vec<u8>>,
    variables: Vec<Vec<u8>>,
    terminal: bool,
}

/// What the first program of a container makes before anything else.
struct NewContainer {
    mounts: MountPlan,
    grants: Vec<(GrantId, Granted)>,
    follows_home: bool,
    /// Its terminal, which is opened where it is.
    terminal: Option<u32>,
}

/// In the supervisor: the broker told something of a program.
pub(crate) fn event(event: &Event, passed: Option<HostFd>) {
    let Some(kernel) = outside::kernel() else {
        return passed.into_iter().for_each(|fd| host().host_close(fd));
    };
    let (number, more) = (event.value as u32, (event.value >> 32) as u32);
    match (passed, event.kind) {
        (Some(fd), kind) if kind == EventKind::Stream as u32 => {
            kernel.outside_programs.add_stream(number, more as usize, fd);
        }
        (passed, kind) if kind == EventKind::Start as u32 => {
            let streams = kernel.outside_programs.take_streams(number).map(|fd| fd.map(Passed));
            let body = passed.map(Passed);
            if let Err(why) = start(number, body, streams) {
                tell_ended(number, NOT_EXECUTABLE << 8, why);
            }
        }
        (None, kind) if kind == EventKind::ProgramSignal as u32 => signal(kernel, number, more),
        (None, kind) if kind == EventKind::ProgramWindow as u32 => {
            if let Some(process) = process_of(kernel, number) {
                kernel.terminals.resize_lent(process.pid, ((more >> 16) as u16, more as u16));
            }
        }
        (Some(fd), _) => host().host_close(fd),
        (None, _) => {}
    }
}

fn process_of(kernel: &Kernel, number: u32) -> Option<Arc<Process>> {
    kernel.processes().into_iter().find(|process| process.outside_number.load(Ordering::Relaxed) == number)
}

fn signal(kernel: &Kernel, number: u32, signal: u32) {
    let signal = i32::try_from(signal).unwrap_or(0);
    if let Some(process) = process_of(kernel, number).filter(|_| (1..=MAX_SIGNAL).contains(&signal)) {
        // As from a process that cannot be seen from here. Refused only for a full real-time queue; then it is lost, as
        // on Linux.
        let _ = process.send_signal(SignalInfo::sent(signal, SI_USER, 0, 0));
    }
}

/// A descriptor that came, closed unless it is taken.
struct Passed(HostFd);

impl Passed {
    fn take(self) -> HostFd {
        let fd = self.0;
        core::mem::forget(self);
        fd
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        host().host_close(self.0);
    }
}

/// Makes the process. Why it cannot be made, for the user.
fn start(number: u32, body: Option<Passed>, streams: [Option<Passed>; STREAMS]) -> Result<(), &'static str> {
    const NO_ROOM: &str = "the sandbox has no room for another process";
    let kernel = outside::kept().ok_or("the sandbox is not ready")?;
    let body = body.ok_or("the sandbox has no descriptors left")?;
    let [Some(input), Some(output), Some(errors)] = streams else { return Err("the sandbox has no descriptors left") };
    let bytes = read_body(&body).map_err(|_| "the request cannot be read")?;
    let request = Start::parse(&bytes).ok_or("the request is malformed")?;
    let terminal = request.flags.contains(StartFlags::TERMINAL);
    let pid = kernel.allocate_id().ok_or(NO_ROOM)?;
    if kernel.has_most_tasks(&kernel.process_table.lock(), 1) {
        return Err("the sandbox has as many processes as it may have (--pids-limit)");
    }
    let Belonging { container, first, mut new } = container_of(&kernel, &request, number, pid)?;
    // The first of a container makes its root itself.
    let root = if new.is_some() { Some(kernel.vfs.root()) } else { container.root(&kernel) };
    let root = root.ok_or(NO_CONTAINER)?;
    let owner = new.as_ref().map_or((first.identity.uid, first.identity.gid), NewContainer::owner);
    let files = if terminal {
        drop(errors);
        let pipes = (input.take(), output.take());
        let number = kernel.terminals.lend(pipes, pid, (owner, container.of_terminals()), request.window);
        number.and_then(|number| match &mut new {
            Some(new) => {
                new.terminal = Some(number);
                Ok(FdTable::new())
            }
            None => on_terminal(&kernel, &root, number),
        })
    } else {
        streams_of(&kernel, [input, output, errors])
    };
    let files = files.map_err(|_| "its streams cannot be used")?;
    let is_new = new.is_some();
    let made = make_process(&kernel, &container, &first, (pid, root), files);
    let (process, thread) = &made;
    if is_new {
        kernel.add_container(&container);
    }
    process.outside_number.store(number, Ordering::Relaxed);
    let strings = |list: litebox_protocol::control::Strings<'_>| list.map(<[u8]>::to_vec).collect();
    *thread.newborn.lock() = Some(Newborn::FromOutside(Box::new(Request {
        number,
        what: request.what,
        first,
        container: new,
        user: request.user.to_vec(),
        workdir: request.workdir.to_vec(),
        arguments: strings(request.arguments),
        variables: strings(request.variables),
        terminal,
    })));
    thread.waiter.interrupt();
    let launched = if kernel.has_come_late(process) { Err(NO_CONTAINER) } else { launch(thread).map_err(|_| NO_ROOM) };
    if launched.is_err() {
        process.remove_unstarted(thread);
        kernel.remove_process(pid);
        kernel.terminals.end_loan(pid);
        if is_new {
            kernel.remove_container(&container);
        }
        // It may have been the last.
        kernel.leave_container(&container);
    }
    launched
}

/// Where a program belongs.
struct Belonging {
    container: Arc<Container>,
    /// The first program there.
    first: Arc<FirstProgram>,
    /// The container is to come.
    new: Option<NewContainer>,
}

/// The container of a program.
fn container_of(kernel: &Kernel, request: &Start<'_>, number: u32, pid: i32) -> Result<Belonging, &'static str> {
    const MALFORMED: &str = "the container's configuration is malformed";
    let (Some(view), Some(name)) = (&request.view, request.container) else {
        let container = match request.container {
            None => kernel.sandbox.clone(),
            Some(name) => kernel.container(name).ok_or(NO_CONTAINER)?,
        };
        let first = container.first().ok_or("the first program is not there yet")?;
        return Ok(Belonging { container, first, new: None });
    };
    if kernel.container(name).is_some() {
        return Err("the sandbox has a container of this name");
    }
    let plan = kernel.config.container_plan.and_then(|read| read(view.config)).ok_or(MALFORMED)?;
    let numbers = view.granted().map(|granted| GrantId(granted.number));
    let described = view.granted().flat_map(|granted| [granted.info.as_bytes(), granted.root.as_bytes()].concat());
    let granted = grants(&described.collect::<Vec<u8>>()).map_err(|_| MALFORMED)?;
    let filter = Filter::of_config(&plan.config).map_err(|_| "the container's filter of calls is malformed")?;
    let container = Container::beside(&kernel.sandbox, (name, number), pid, view.separate, (&plan.config, filter));
    let new = NewContainer {
        mounts: plan.mounts,
        grants: numbers.zip(granted).collect(),
        follows_home: plan.follows_home,
        terminal: None,
    };
    Ok(Belonging { container, first: Arc::new(plan.program), new: Some(new) })
}

impl NewContainer {
    /// Whom its terminal belongs to, as far as that is known before there is a root with names.
    fn owner(&self) -> (u32, u32) {
        let id = |who: &NameOrId| match who {
            NameOrId::Id(id) => *id,
            NameOrId::Name(_) => 0,
        };
        let UserSpec { user, group, .. } = &self.mounts.user;
        (id(user), group.as_ref().map_or(0, id))
    }
}

/// The bytes of a request.
fn read_body(file: &Passed) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(MAX_MESSAGE).map_err(|_| Error::NoMemory)?;
    bytes.resize(MAX_MESSAGE, 0);
    // SAFETY: kernel memory of that length. A regular file in memory is read as far as there is room.
    let len = unsafe { host().host_pread(file.0, bytes.as_mut_ptr() as usize, bytes.len(), 0) }?;
    bytes.truncate(len);
    Ok(bytes)
}

/// A process without a program, and its thread, which does not run yet.
fn make_process(
    kernel: &Arc<Kernel>,
    container: &Arc<Container>,
    first: &FirstProgram,
    (pid, root): (i32, Location),
    files: Arc<FdTable>,
) -> (Arc<Process>, Arc<Thread>) {
    let identity = &first.identity;
    let credentials = Credentials::first(identity.uid, identity.gid, identity.groups.clone(), &first.capabilities);
    let limits = Limits::first(&container.limits);
    let mm = MemoryMap::new(&kernel.arena);
    mm.set_limits(limits.of_memory());
    let image = ImageInfo::default();
    let (kernel, container) = (kernel.clone(), container.clone());
    let process = Process::new(ProcessSpec { pid, parent: 0, kernel, container, mm, credentials, image, limits });
    let places = FsContext { root: RwLock::new(root.clone()), cwd: RwLock::new(root), umask: AtomicU32::new(UMASK) };
    let thread = Thread::new(&process, pid, [0; 16], CloneShares::own(files, Arc::new(places)));
    thread.confine();
    thread.scheduling.begin(&first.scheduling);
    process.add_thread(&thread);
    process.begin_cpu_limit();
    (process, thread)
}

fn launch(thread: &Arc<Thread>) -> Result<()> {
    let regs = Registers::default();
    // The host gives this reference back when the thread ends.
    let north = Arc::into_raw(thread.clone());
    let spec = ThreadSpec {
        north: north.cast(),
        host: &thread.host,
        waiter: &thread.waiter,
        regs: &regs,
        fp: None,
        fs_base: 0,
        gs_base: 0,
        mode: CpuMode::Long,
        segments: None,
        fast_syscalls: thread.fast_syscalls(),
    };
    let started = host().spawn_program(&spec);
    if started.is_err() {
        // SAFETY: the reference of above, which nobody took.
        unsafe { Arc::decrement_strong_count(north) };
    }
    started
}

/// Descriptors 0 to 2 that lead to a terminal.
fn on_terminal(kernel: &Kernel, root: &Location, number: u32) -> Result<Arc<FdTable>> {
    let table = FdTable::new();
    let terminal = open_terminal(kernel, root, number)?;
    for fd in 0..3 {
        table.install_at(fd, terminal.clone(), false, MOST_DESCRIPTORS)?;
    }
    Ok(table)
}

/// Descriptors 0 to 2 that lead to the streams which came.
fn streams_of(kernel: &Kernel, streams: [Passed; STREAMS]) -> Result<Arc<FdTable>> {
    let table = FdTable::new();
    for (fd, stream) in (0..).zip(streams) {
        let access = if fd == 0 { Access::READ } else { Access::WRITE };
        let file: Arc<dyn File> = HostFile::passed_stream(stream.take(), &kernel.terminals.streams)?;
        let open = OpenFile::new(file, access, StatusFlags::empty(), None, kernel.vfs.next_open_id());
        table.install_at(fd, open, false, MOST_DESCRIPTORS)?;
    }
    Ok(table)
}

/// Tells the broker that a program runs.
pub(crate) fn tell_started(number: u32, pid: i32) {
    tell(Op::ProgramStarted, number, pid, &[]);
}

pub(crate) fn tell_ended(number: u32, wait_status: i32, why: &str) {
    tell(Op::ProgramEnded, number, wait_status, why.as_bytes());
}

fn tell(op: Op, number: u32, word: i32, extra: &[u8]) {
    let head = litebox_protocol::Request {
        op: op as u32,
        value: number.into(),
        flags: word as u32,
        extra_len: u32::try_from(extra.len()).unwrap_or(0),
        ..litebox_protocol::Request::default()
    };
    let message = [head.as_bytes(), extra].concat();
    let mut reply = Vec::with_capacity(size_of::<Reply>());
    // The broker is gone, or knows better: nothing is to be done here.
    let _ = host().broker_call(&message, None, &mut reply, false);
}

/// A process has ended. If somebody outside had started it, he is told.
pub(crate) fn ended(process: &Process) {
    let number = process.outside_number.swap(0, Ordering::Relaxed);
    if number != 0 {
        process.kernel.terminals.end_loan(process.pid);
        // The end of a container is told when nobody is left of it.
        if !process.begins_container() {
            tell_ended(number, process.exit_status(), "");
        }
    }
}

/// Why a program was not started, and the status that says so.
struct Refusal {
    why: String,
    status: i32,
}

impl Refusal {
    fn new(why: String) -> Self {
        Self { why, status: NOT_EXECUTABLE }
    }
    fn of_program(name: &[u8], error: Error) -> Self {
        let (why, status) = match error {
            Error::NotFound | Error::NotDirectory => ("no such program", NOT_FOUND),
            Error::Access | Error::NotPermitted => ("not an executable file", NOT_EXECUTABLE),
            Error::TooBig => ("the arguments and environment are too long", NOT_EXECUTABLE),
            Error::NotExecutable => ("the file is no program for this machine", NOT_EXECUTABLE),
            Error::BadLibrary => ("its interpreter is no program for this machine", NOT_EXECUTABLE),
            Error::NoMemory => ("not enough memory", NOT_EXECUTABLE),
            _ => ("the sandbox refuses it", NOT_EXECUTABLE),
        };
        Self { why: alloc::format!("cannot run {}: {why}", String::from_utf8_lossy(name)), status }
    }
}

impl Task<'_, '_> {
    /// What a process does that was started from outside: finds its program and executes it.
    pub(crate) fn begin_from_outside(&mut self, request: &Request) {
        match request.what {
            What::Program => match self.find_requested(request) {
                Ok(prepared) => {
                    tell_started(request.number, self.process().pid);
                    self.begin_program(prepared);
                }
                Err(refusal) => self.refuse(request, refusal),
            },
            What::Container => match self.begin_container(request) {
                Ok(prepared) => {
                    tell_started(request.number, self.process().pid);
                    self.begin_program(prepared);
                }
                Err(refusal) => self.refuse(request, refusal),
            },
            What::Save => {
                tell_started(request.number, self.process().pid);
                match self.save_changes() {
                    Ok(()) => self.exit_group_with(0),
                    Err(why) => self.refuse(request, Refusal { why: why.into(), status: NOT_SAVED }),
                }
            }
        }
    }

    /// It ends, and whoever asked for it is told why.
    fn refuse(&mut self, request: &Request, refusal: Refusal) {
        let process = self.process().clone();
        if process.begins_container() {
            process.container.refuse(refusal.why);
        } else {
            // Said once: its end is told by this.
            process.outside_number.store(0, Ordering::Relaxed);
            process.kernel.terminals.end_loan(process.pid);
            tell_ended(request.number, refusal.status << 8, &refusal.why);
        }
        self.exit_group_with(refusal.status << 8);
    }

    /// Makes the container whose first program the process is, and finds that program.
    fn begin_container(&mut self, request: &Request) -> Result<Prepared, Refusal> {
        let new = request.container.as_ref().ok_or_else(|| Refusal::new("there is no container to be made".into()))?;
        let (kernel, container) = (self.kernel().clone(), self.process().container.clone());
        let (root, identity) =
            boot::container_root(&kernel, &container, &new.mounts, new.grants.clone()).map_err(|failure| {
                let why = failure.error.map(|error| alloc::format!(": {}", boot::in_words(error))).unwrap_or_default();
                Refusal { why: alloc::format!("{}{why}", failure.what), status: NOT_MADE }
            })?;
        container.set_root(root.clone());
        let mut first = FirstProgram { identity, ..(*request.first).clone() };
        if new.follows_home {
            boot::follow_home_in(&View { vfs: &kernel.vfs, root: root.clone() }, &mut first);
        }
        *self.thread.fs.root.write() = root.clone();
        *self.thread.fs.cwd.write() = root.clone();
        let Identity { uid, gid, ref groups, .. } = first.identity;
        self.set_creds(Credentials::first(uid, gid, groups.clone(), &first.capabilities));
        if let Some(number) = new.terminal {
            let terminal = open_terminal(&kernel, &root, number);
            let install = |terminal: Arc<OpenFile>| {
                (0..3).try_for_each(|fd| {
                    self.thread.files.install_at(fd, terminal.clone(), false, MOST_DESCRIPTORS).map(drop)
                })
            };
            terminal.and_then(install).map_err(|_| Refusal::new("its terminal cannot be opened".into()))?;
        }
        self.go_to(&first.workdir)?;
        let Arguments { argv, envp, path } = first.arguments.clone();
        let prepared = self.prepare_found(&path, argv, envp, &first.search)?;
        container.set_first(&first);
        Ok(prepared)
    }

    fn find_requested(&mut self, request: &Request) -> Result<Prepared, Refusal> {
        let first = &request.first;
        let home = self.become_requested(request)?;
        // A relative path is meant from where the first program started.
        let workdir = match request.workdir.first() {
            None => first.workdir.clone(),
            Some(b'/') => request.workdir.clone(),
            Some(_) => [first.workdir.as_slice(), b"/", &request.workdir].concat(),
        };
        self.go_to(&workdir)?;
        let envp = environment(request, home);
        let name = request.arguments.first().cloned().unwrap_or_default();
        let search = search_path(&envp, first);
        self.prepare_found(&name, request.arguments.clone(), envp, &search)
    }

    /// Finds a program where the process is, and loads what has to be known of it.
    fn prepare_found(
        &self,
        name: &[u8],
        argv: Vec<Vec<u8>>,
        envp: Vec<Vec<u8>>,
        search: &[Vec<u8>],
    ) -> Result<Prepared, Refusal> {
        let kernel = self.kernel();
        let failed = |error| Refusal::of_program(name, error);
        let creds = self.creds();
        let (root, start) = (self.thread.fs.root.read().clone(), self.thread.fs.cwd.read().clone());
        let from = Origin { creds: creds.for_files(), root, start, umask: UMASK };
        let path = find_program(&kernel.vfs, &from, name, search).map_err(failed)?;
        let arguments = Arguments { argv, envp, path };
        let open = |path: &[u8]| kernel.vfs.open_program(&from, path, LookupFlags::FOLLOW);
        loader::prepare(arguments, self.process().mm.limits().stack, &open).map_err(failed)
    }

    /// Becomes the user who is named. Returns that one's home directory.
    fn become_requested(&mut self, request: &Request) -> Result<Option<Vec<u8>>, Refusal> {
        if request.user.is_empty() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&request.user);
        let spec = UserSpec::parse(&request.user)
            .ok_or_else(|| Refusal::new(alloc::format!("--user {text}: neither numbers nor names")))?;
        let identity = user::resolve(&self.view()?, &spec).map_err(|failure| Refusal::new(failure.what))?;
        let capabilities = &request.first.capabilities;
        self.set_creds(Credentials::first(identity.uid, identity.gid, identity.groups, capabilities));
        Ok(identity.home)
    }

    /// What its container sees.
    fn view(&self) -> Result<View<'_>, Refusal> {
        let kernel = self.kernel();
        let root = self.process().container.root(kernel).ok_or_else(|| Refusal::new(NO_CONTAINER.into()))?;
        Ok(View { vfs: &kernel.vfs, root })
    }

    fn go_to(&mut self, directory: &[u8]) -> Result<(), Refusal> {
        let view = self.view()?;
        let there = view.vfs.walk(&view.superuser(), directory, LookupFlags::FOLLOW | LookupFlags::DIRECTORY);
        let there = there.map_err(|_| {
            let shown = String::from_utf8_lossy(directory);
            Refusal::new(alloc::format!("there is no directory {shown} in the sandbox"))
        })?;
        *self.thread.fs.cwd.write() = there;
        Ok(())
    }
}

/// The name of a variable, given as `K=V` or `K`.
fn name_of(variable: &[u8]) -> &[u8] {
    variable.split(|b| *b == b'=').next().unwrap_or(variable)
}

/// The first program's environment with the changes that were asked for.
fn environment(request: &Request, home: Option<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut all = request.first.arguments.envp.clone();
    let home = home.map(|home| [b"HOME=", home.as_slice()].concat());
    let terminal = request.terminal && !all.iter().any(|variable| name_of(variable) == b"TERM");
    let usual = terminal.then(|| b"TERM=xterm".to_vec());
    for variable in usual.iter().chain(&home).chain(&request.variables) {
        all.retain(|before| name_of(before) != name_of(variable));
        if variable.contains(&b'=') {
            all.push(variable.clone());
        }
    }
    all
}

/// Where its program is looked for.
fn search_path(envp: &[Vec<u8>], first: &FirstProgram) -> Vec<Vec<u8>> {
    let path = envp.iter().find_map(|variable| variable.strip_prefix(b"PATH="));
    path.map_or_else(|| first.search.clone(), |path| path.split(|b| *b == b':').map(<[u8]>::to_vec).collect())
}
