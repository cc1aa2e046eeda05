//! The kernel object of a new sandbox, its first process, and what the supervisor is told.

mod mounts;
pub(crate) mod user;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use litebox::fs::host::{Granted, HostFile};
use litebox::fs::{
    Access, Creds, FdTable, File, FileSystem, FsContext, Location, LookupFlags, MountFlags, OpenFile, OpenRequest,
    Origin, StatusFlags, Vfs,
};
use litebox::mm::arena::Arena;
use litebox::platform::{GrantId, HostFd, ThreadSpec, host};
use litebox::sync::RwLock;
use litebox::tty::PtsFs;
use litebox::{Error, Result};

use crate::layer::Tree;
use crate::loader::{self, Arguments};
use crate::mm::MemoryMap;
use crate::proc::ProcFs;
use crate::proc::sys::SysFs;
use crate::signal::SigSet;
use crate::syscalls::limits::Limits;
use crate::task::container::Container;
use crate::task::process_table::FIRST_PID;
use crate::task::{CloneShares, Credentials, Kernel, KernelConfig, Process, ProcessSpec, Thread};

pub use crate::task::credentials::{FirstCapabilities, SANDBOX_CAPABILITIES};
pub(crate) use mounts::{FIRST_DEV, View};
pub use mounts::{Failure, MountPlan, MountSpec, Source, in_words};
pub use user::{Identity, NameOrId, UserSpec};

/// Descriptors that the standard streams may be put at.
pub(crate) const MOST_DESCRIPTORS: u64 = 1024;
/// umask of the first process.
pub(crate) const UMASK: u32 = 0o022;

/// What the first process runs.
#[derive(Clone, Debug, Default)]
pub struct FirstProgram {
    /// Its arguments and environment; a path without a slash is looked for in `search`.
    pub arguments: Arguments,
    /// Directories where programs are looked for.
    pub search: Vec<Vec<u8>>,
    /// Who it runs as.
    pub identity: Identity,
    /// Capabilities of the sandbox that it has, and that it does not have.
    pub capabilities: FirstCapabilities,
    /// How the host opened descriptors 0, 1 and 2 (`F_GETFL`); `None`: it is closed.
    pub streams: [Option<u32>; 3],
    /// Descriptors from 3 on: which of the host's, and how it opened them.
    pub preserved: Vec<(i32, u32)>,
    /// How its first thread is scheduled.
    pub scheduling: FirstScheduling,
    /// The user's terminal, which becomes the console.
    pub console: Option<Console>,
    /// Signals that it ignores from the start, as whoever executed it did: bit n - 1 for signal n.
    pub ignored: u64,
    /// Where it starts.
    pub workdir: Vec<u8>,
}

/// Status flags that descriptors of the user keep.
const KEPT: StatusFlags = StatusFlags::APPEND.union(StatusFlags::NONBLOCK).union(StatusFlags::LARGEFILE);
/// The first descriptor that is preserved.
const FIRST_PRESERVED: i32 = 3;

/// How a program is scheduled from its first instruction on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FirstScheduling {
    /// From -20 to 19.
    pub nice: i32,
    /// As sched_setscheduler(2) numbers it; with `SCHED_RESET_ON_FORK`, perhaps. None of the real-time ones.
    pub policy: i32,
    /// As ioprio_set(2) has it; 0: none was set.
    pub io_priority: i32,
}

/// The terminal that the sandbox was started on, made raw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Console {
    /// Which of descriptors 0, 1 and 2 lead to it.
    pub descriptors: [bool; 3],
    /// The one of them to read from.
    pub input: i32,
    /// The one to write to.
    pub output: i32,
    /// They are pipes: the terminal is a program's that passes on what is typed, or nobody's.
    pub pipes: bool,
}

/// A container that is to come, as the runner reads it of what it was asked for.
pub struct ContainerPlan {
    /// Its first program.
    pub program: FirstProgram,
    /// HOME follows the user that was named.
    pub follows_home: bool,
    /// Of this what containers have for themselves: host name, limits, filter and the like.
    pub config: KernelConfig,
    /// What it sees.
    pub mounts: MountPlan,
}

/// Reads a plan, which may be none.
pub type PlanReader = fn(&[u8]) -> Option<ContainerPlan>;

/// The kernel object of a new sandbox, with everything mounted; made in the supervisor.
pub fn kernel(config: KernelConfig, mounts: &MountPlan) -> Result<(Arc<Kernel>, Identity), Failure> {
    let arena = Arena::for_files(config.disk_limit);
    let at_root = |error| Failure::at("cannot mount at", b"/", error);
    let grants = litebox::fs::host::grants(&mounts.grants).map_err(at_root)?;
    let grants = (0..).map(GrantId).zip(grants).collect();
    let last_dev = AtomicU64::new(FIRST_DEV);
    let mut maker = mounts::Maker::new(&arena, &last_dev, grants);
    let root = maker.make(mounts.root).map_err(at_root)?;
    let filter = crate::seccomp::Filter::of_config(&config)
        .map_err(|error| Failure { what: "the filter of calls".into(), error: Some(error) })?;
    let kernel = Kernel::new(config, filter, arena.clone(), root, MountFlags::RELATIME);
    if let Some(wire) = &kernel.wire {
        wire.watch().map_err(|error| Failure { what: "the TUN device".into(), error: Some(error) })?;
    }
    let mut trees = Vec::new();
    let identity = furnish(&kernel, mounts, kernel.vfs.root(), &mut maker, &mut trees)?;
    kernel.last_dev.store(last_dev.into_inner(), Ordering::Relaxed);
    kernel.trees.lock().extend(trees);
    if kernel.config.layer.is_some() || kernel.config.takes_programs {
        kernel
            .settle_trees()
            .map_err(|error| Failure { what: "cannot look at what is changed".into(), error: Some(error) })?;
    }
    crate::outside::keep(&kernel);
    Ok((kernel, identity))
}

/// Mounts everything below a root. Who the program runs as there.
fn furnish(
    kernel: &Arc<Kernel>,
    mounts: &MountPlan,
    root: Location,
    maker: &mut mounts::Maker<'_>,
    trees: &mut Vec<Tree>,
) -> Result<Identity, Failure> {
    let view = View { vfs: &kernel.vfs, root };
    let mut keep = |maker: &mut mounts::Maker<'_>, at: &[u8]| {
        let at = at.strip_prefix(b"/").unwrap_or(at).to_vec();
        trees.extend(maker.overlay.take().map(|fs| Tree { at, fs }));
    };
    keep(maker, b"/");
    view.make_links(mounts)?;
    for spec in &mounts.mounts {
        let failed = |error| Failure::at("cannot mount at", &spec.at, error);
        let fs: Arc<dyn FileSystem> = match spec.source {
            Source::Pts => PtsFs::new(&kernel.terminals, maker.container, maker.dev()),
            Source::Proc => ProcFs::new(Arc::downgrade(kernel), maker.dev()),
            Source::Sys => SysFs::new(Arc::downgrade(kernel), maker.dev()),
            Source::Text(number) => maker.text(mounts.texts.get(number as usize)).map_err(failed)?,
            other => maker.make(other).map_err(failed)?,
        };
        keep(maker, &spec.at);
        view.mount(spec, fs)?;
    }
    let identity = user::resolve(&view, &mounts.user)?;
    view.make_directories_of(mounts, (identity.uid, identity.gid))?;
    if kernel.outward.is_some() {
        // The host's own way to look for names is not the program's; that of a root of its own is.
        let own_root = matches!(mounts.root, Source::Grant(_) | Source::CopyOnWrite(_));
        view.name_server(maker, own_root)?;
    }
    if mounts.read_only {
        view.root.mount.make_read_only();
    }
    Ok(identity)
}

/// Makes the root of a further container, with everything that is mounted there. Who its first program runs as.
pub(crate) fn container_root(
    kernel: &Arc<Kernel>,
    container: &Container,
    mounts: &MountPlan,
    grants: Vec<(GrantId, Granted)>,
) -> Result<(Location, Identity), Failure> {
    let mut maker = mounts::Maker::new(&kernel.arena, &kernel.last_dev, grants);
    maker.container = container.of_terminals();
    let fs = maker.make(mounts.root).map_err(|error| Failure::at("cannot mount at", b"/", error))?;
    let root = kernel.vfs.mount_root(fs, MountFlags::RELATIME, mounts.root.name());
    // What changes in its copy-on-write trees is nobody's to save: engines have containers written through.
    match furnish(kernel, mounts, root.clone(), &mut maker, &mut Vec::new()) {
        Ok(identity) => Ok((root, identity)),
        Err(failure) => {
            kernel.vfs.unmount_root(&root);
            Err(failure)
        }
    }
}

/// Loads the first program into the calling process, which becomes the guest's first; never returns when that succeeds.
pub fn run_first(kernel: &Arc<Kernel>, first: &FirstProgram) -> Result<core::convert::Infallible> {
    let context = context(kernel, first)?;
    let Identity { uid, gid, ref groups, .. } = first.identity;
    let credentials = Credentials::first(uid, gid, groups.clone(), &first.capabilities);
    let from = Origin {
        creds: credentials.for_files(),
        root: context.root.read().clone(),
        start: context.cwd.read().clone(),
        umask: UMASK,
    };
    let mut arguments = first.arguments.clone();
    arguments.path = find_program(&kernel.vfs, &from, &arguments.path, &first.search)?;
    let open = |path: &[u8]| kernel.vfs.open_program(&from, path, LookupFlags::FOLLOW);
    let limits = Limits::first(&kernel.config.limits);
    let prepared = loader::prepare(arguments, limits.of_memory().stack, &open)?;
    let mm = MemoryMap::new(&kernel.arena);
    mm.set_limits(limits.of_memory());
    let test_hostile = kernel.config.test_hostile;
    let ids = loader::AuxIds { fixed_addresses: false, three_gib: false, uid, euid: uid, gid, egid: gid, test_hostile };
    let loaded = loader::load_into(mm.core(), &mm.limits(), prepared, &ids)?;
    let pid = FIRST_PID;
    let mut name = [0u8; 16];
    for (to, from) in name.iter_mut().zip(loaded.image.name.iter().take(15)) {
        *to = *from;
    }
    let spec = ProcessSpec {
        pid,
        parent: 0,
        kernel: kernel.clone(),
        container: kernel.sandbox.clone(),
        mm,
        credentials: credentials.clone(),
        image: loaded.image,
        limits,
    };
    let process = Process::new(spec);
    process.signals.start_ignoring(SigSet(first.ignored));
    let shares = CloneShares::own(standard_streams(kernel, first)?, Arc::new(context));
    let thread = Thread::new(&process, pid, name, shares);
    thread.confine();
    thread.scheduling.begin(&first.scheduling);
    process.add_thread(&thread);
    process.begin_cpu_limit();
    crate::outside::take_signals(kernel);
    if kernel.config.takes_programs {
        crate::outside::programs::tell_started(0, pid);
    }
    let thread = leaked(thread);
    host().enter_first(&ThreadSpec {
        north: core::ptr::from_ref(thread).cast(),
        host: &thread.host,
        waiter: &thread.waiter,
        regs: &loaded.registers,
        fp: None,
        fs_base: loaded.fs_base,
        gs_base: 0,
        mode: loaded.mode,
        segments: loaded.segments,
        fast_syscalls: thread.fast_syscalls(),
    })
}

/// The host holds one reference of a thread until it exits.
fn leaked(thread: Arc<Thread>) -> &'static Thread {
    // SAFETY: the reference count never reaches zero: `into_raw` keeps one.
    unsafe { &*Arc::into_raw(thread) }
}

/// Descriptors 0, 1 and 2, as far as the user left them open, and those that are preserved.
fn standard_streams(kernel: &Kernel, first: &FirstProgram) -> Result<Arc<FdTable>> {
    let streams = &kernel.terminals.streams;
    let open = |file: Arc<dyn File>, flags: u32| {
        let access = match flags & 3 {
            0 => Access::READ,
            1 => Access::WRITE,
            _ => Access::READ | Access::WRITE,
        };
        let status = StatusFlags::from_bits_truncate(flags) & KEPT;
        OpenFile::new(file, access, status, None, kernel.vfs.next_open_id())
    };
    let table = FdTable::new();
    let console = first.console.map(|console| open_console(kernel, first, console)).transpose()?;
    for (fd, flags) in (0..).zip(first.streams) {
        let Some(flags) = flags else { continue };
        let is_console =
            first.console.is_some_and(|c| usize::try_from(fd).is_ok_and(|n| c.descriptors.get(n) == Some(&true)));
        if let Some(console) = console.as_ref().filter(|_| is_console) {
            table.install_at(fd, console.clone(), false, MOST_DESCRIPTORS)?;
            continue;
        }
        table.install_at(fd, open(HostFile::stream(HostFd(fd), streams)?, flags), false, MOST_DESCRIPTORS)?;
    }
    for (fd, (host_fd, flags)) in (FIRST_PRESERVED..).zip(&first.preserved) {
        let file = HostFile::passed_stream(HostFd(*host_fd), streams)?;
        table.install_at(fd, open(file, *flags), false, MOST_DESCRIPTORS)?;
    }
    Ok(table)
}

/// The console, opened by its name in /dev/pts, which is what programs are told when they ask for it.
fn open_console(kernel: &Kernel, first: &FirstProgram, console: Console) -> Result<Arc<OpenFile>> {
    let (input, output) = (HostFd(console.input), HostFd(console.output));
    let (terminals, owner) = (&kernel.terminals, (first.identity.uid, first.identity.gid));
    let number = if console.pipes {
        terminals.open_piped_console(input, output, FIRST_PID, owner)?
    } else {
        terminals.open_console(input, output, FIRST_PID, owner)?
    };
    open_terminal(kernel, &kernel.vfs.root(), number)
}

/// The terminal /dev/pts/`number`, opened as programs open it below `root`.
pub(crate) fn open_terminal(kernel: &Kernel, root: &Location, number: u32) -> Result<Arc<OpenFile>> {
    let from = Origin { creds: Creds::ROOT, root: root.clone(), start: root.clone(), umask: 0 };
    let how = OpenRequest { access: Access::READ | Access::WRITE, follow: true, ..OpenRequest::default() };
    kernel.vfs.open(&from, alloc::format!("/dev/pts/{number}").as_bytes(), &how)
}

/// Root, working directory and umask of the first process.
fn context(kernel: &Kernel, first: &FirstProgram) -> Result<FsContext> {
    let root = kernel.vfs.root();
    let from = Origin { creds: Creds::ROOT, root: root.clone(), start: root.clone(), umask: 0 };
    let cwd: Location = kernel.vfs.walk(&from, &first.workdir, LookupFlags::FOLLOW | LookupFlags::DIRECTORY)?;
    Ok(FsContext { root: RwLock::new(root), cwd: RwLock::new(cwd), umask: AtomicU32::new(UMASK) })
}

/// Keeps what programs that are started later have in common with the first.
pub fn keep_first(kernel: &Kernel, first: &FirstProgram) {
    kernel.sandbox.set_first(first);
}

/// Whether the working directory is there, to be known before anything starts.
pub fn check_workdir(kernel: &Kernel, workdir: &[u8]) -> Result<()> {
    find_directory(&View { vfs: &kernel.vfs, root: kernel.vfs.root() }, workdir).map(drop)
}

fn find_directory(view: &View<'_>, directory: &[u8]) -> Result<Location> {
    view.vfs.walk(&view.superuser(), directory, LookupFlags::FOLLOW | LookupFlags::DIRECTORY)
}

/// HOME of a user that was named is what the sandbox's /etc/passwd says, if there is such a directory.
pub fn follow_home(kernel: &Kernel, program: &mut FirstProgram) {
    follow_home_in(&View { vfs: &kernel.vfs, root: kernel.vfs.root() }, program);
}

/// The same, where a further container is.
pub(crate) fn follow_home_in(view: &View<'_>, program: &mut FirstProgram) {
    const VARIABLE: &[u8] = b"HOME=";
    let is_there = |home: &&Vec<u8>| find_directory(view, home).is_ok();
    let Some(home) = program.identity.home.as_ref().filter(is_there) else { return };
    let variables = &mut program.arguments.envp;
    if let Some(variable) = variables.iter_mut().find(|variable| variable.starts_with(VARIABLE)) {
        *variable = [VARIABLE, home.as_slice()].concat();
    }
}

/// The path of a program: itself when it has a slash, else the first of that name that can be executed.
pub(crate) fn find_program(vfs: &Vfs, from: &Origin<'_>, program: &[u8], search: &[Vec<u8>]) -> Result<Vec<u8>> {
    if program.contains(&b'/') {
        return Ok(program.to_vec());
    }
    let mut why = Error::NotFound;
    for dir in search {
        let path = [dir.as_slice(), program].join(&b'/');
        match vfs.open_program(from, &path, LookupFlags::FOLLOW) {
            Ok(_) => return Ok(path),
            Err(Error::NotFound | Error::NotDirectory) => {}
            Err(other) => why = other,
        }
    }
    Err(why)
}

/// A watched host descriptor became ready.
pub(crate) fn host_ready(token: u64, events: u16) {
    if let Some(kernel) = crate::outside::kernel() {
        let of_wire = kernel.wire.as_ref().is_some_and(|wire| wire.socket_ready(token));
        if of_wire || kernel.outward.as_ref().is_some_and(|outward| outward.socket_ready(token, events)) {
            kernel.tell_owners();
            return;
        }
        let terminals = &kernel.terminals;
        if !terminals.host_ready(token) {
            terminals.streams.changed(token, events);
        }
        kernel.tell_owners();
    }
}
