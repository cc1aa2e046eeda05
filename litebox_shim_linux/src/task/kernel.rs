//! The one kernel object of a sandbox. Everything hangs off it; there are no mutable statics.

use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use litebox::net::inet::carrier::Outside;
use litebox::net::inet::carrier::host::HostNetwork;
use litebox::net::inet::carrier::wire::WireNetwork;
use litebox::platform::{Instant, host};
use litebox::sync::Mutex;
use litebox_common_linux::seccomp::bpf::Instruction;
use litebox_protocol::{STAT_FIGURES, figure};

use super::container::Container;
use super::process_table::{FIRST_PID, ProcessTable};
use super::{Process, Thread};
use crate::seccomp::Filter;

/// What network a sandbox has beside its loopback device.
#[derive(Clone, Debug, Default)]
pub enum WayOut {
    /// None.
    #[default]
    None,
    /// Sockets of the host: the ports that lead in (`litebox_protocol::net::Published`, as bytes), and the sandbox's
    /// addresses, where it is in a network namespace of its own.
    Host(Vec<u8>, Option<litebox_protocol::net::OwnAddresses>),
    /// Packets of a TUN device.
    Tun(litebox_protocol::net::Tun),
}

/// What the runner decides before the first guest instruction.
#[derive(Clone, Debug, Default)]
pub struct KernelConfig {
    /// `uname -n`.
    pub hostname: String,
    /// `--memory` in bytes.
    pub memory_limit: Option<u64>,
    /// Bytes of memory that the machine has; 0: as many as the arena.
    pub machine_memory: u64,
    /// Bytes that files in memory may have together; `None`: what the arena has.
    pub disk_limit: Option<u64>,
    /// Processes and threads that there may be at once; 0: no limit.
    pub most_tasks: u64,
    /// Resource limits of the first process that are others than usual: number (getrlimit(2)), soft and hard limit.
    pub limits: Vec<(u32, u64, u64)>,
    /// How calls are printed (`--strace`).
    pub strace: Option<crate::TraceConfig>,
    /// What the auxiliary vector says under the key of the boundary's tests: the address of the host-call gadget.
    /// `None` but in those tests.
    pub test_hostile: Option<u64>,
    /// What network it has beside its loopback device.
    pub network: WayOut,
    /// The user may start more programs, and is told when the first runs.
    pub takes_programs: bool,
    /// What the program changed in copy-on-write trees is told at the end (`--save`, `--diff`).
    pub layer: Option<crate::LayerConfig>,
    /// How gladly its programs would be killed for memory, from -1000 to 1000.
    pub oom_score_adj: i32,
    /// Programs gain no privileges by being executed.
    pub no_new_privileges: bool,
    /// What filters the calls of every program that the user starts; empty: nothing.
    pub filter: Vec<Instruction>,
    /// Reads what a further container is to be. `None`: there are none.
    pub container_plan: Option<crate::boot::PlanReader>,
    /// Orphans are reaped as an init process does it, whatever the first program does (`--init`).
    pub reaps_orphans: bool,
}

/// Counters that `--stats` prints. Relaxed: they are figures, not decisions.
#[derive(Debug, Default)]
pub struct Stats {
    /// System calls of guest threads that have ended; those that live count for themselves.
    pub guest_calls: AtomicU64,
    /// Bytes that their calls wrote, likewise.
    pub bytes_written: AtomicU64,
    /// Calls that were refused: the sandbox does not serve them, or the user's filter refuses them.
    pub refused_calls: AtomicU64,
    /// Processor exceptions of guest code.
    pub faults: AtomicU64,
    /// CPU time that /proc told, in user mode, in system mode and idle: nanoseconds.
    pub(crate) told_times: [AtomicU64; 3],
}

impl Stats {
    /// Takes over what `thread` has counted.
    pub(crate) fn add_counts(&self, thread: &Thread) {
        self.guest_calls.fetch_add(thread.calls().swap(0, Ordering::Relaxed), Ordering::Relaxed);
        self.bytes_written.fetch_add(thread.bytes_written.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Settings of /proc/sys that the superuser of the sandbox may change.
pub struct Settings {
    /// What pipes may hold.
    pub pipes: Arc<litebox::pipe::Budgets>,
    /// Ids of processes and threads are below this.
    pub(crate) pid_max: AtomicI32,
    /// How core dumps would be named; none are written.
    pub(crate) core_pattern: Mutex<Vec<u8>>,
    /// Vmas that a process may have.
    pub(crate) max_map_count: AtomicUsize,
}

/// The most that pid_max can be.
pub(crate) const PID_LIMIT: i32 = 1 << 22;

impl Default for Settings {
    fn default() -> Self {
        Self {
            pipes: Arc::default(),
            pid_max: AtomicI32::new(PID_LIMIT),
            core_pattern: Mutex::new(b"core".to_vec()),
            max_map_count: AtomicUsize::new(litebox::mm::MAX_VMAS),
        }
    }
}

/// The kernel object.
pub struct Kernel {
    /// Decided at start.
    pub config: KernelConfig,
    /// What programs have in common that are in no further container.
    pub(crate) sandbox: Arc<Container>,
    /// The further containers.
    pub(crate) containers: Mutex<Vec<Arc<Container>>>,
    /// The device number that was given to a file system last.
    pub(crate) last_dev: AtomicU64,
    /// Figures.
    pub stats: Stats,
    /// What can be set.
    pub settings: Settings,
    /// When the sandbox started, on the monotonic clock (uptime, process start times).
    pub boot: Instant,
    /// Random, another in each sandbox (/proc/sys/kernel/random/boot_id).
    pub boot_id: [u8; 16],
    /// Pages of files in memory and of shared mappings.
    pub arena: Arc<litebox::mm::arena::Arena>,
    /// File systems and mounts.
    pub vfs: litebox::fs::Vfs,
    /// Pseudo-terminals, and the terminals outside.
    pub terminals: Arc<litebox::tty::Terminals>,
    /// Copy-on-write trees of the view.
    pub(crate) trees: Mutex<Vec<crate::layer::Tree>>,
    /// The futex manager: who waits on which user word.
    pub futexes: crate::syscalls::futex::FutexTable,
    /// Ends of signal handlers, and whether unwinders need their bytes.
    pub(crate) restorers: crate::unwind::Restorers,
    /// Local sockets and their names.
    pub local_sockets: Arc<litebox::net::unix::Domain>,
    /// IPv4 and IPv6: addresses, ports, ways out.
    pub network: Arc<litebox::net::inet::Network>,
    /// Netlink sockets and their addresses.
    pub netlink: Arc<litebox::net::netlink::Addresses>,
    /// The way out of it, if there is one.
    pub(crate) outward: Option<Arc<HostNetwork>>,
    /// The same, when it is a TUN device.
    pub(crate) wire: Option<Arc<WireNetwork>>,
    /// How much asynchronous I/O there is.
    pub(crate) aio: Arc<crate::aio::AioUse>,
    /// Advisory locks on files.
    pub file_locks: Arc<litebox::fs::LockTable>,
    /// Held while an epoll is added to an epoll, so that two such calls cannot close a loop together.
    pub epoll_topology: Mutex<()>,
    /// Signals from outside that the first process has not been sent yet.
    pub(crate) outside_signals: AtomicU64,
    /// What the user starts besides the first program.
    pub(crate) outside_programs: crate::outside::programs::Programs,
    /// For whom all programs stand still.
    pub(crate) freezer: super::freezer::Freezer,
    /// The processes.
    pub(crate) process_table: Mutex<ProcessTable>,
    /// Threads of all processes.
    pub(crate) live_threads: AtomicU64,
    /// What `--strace-summary` counts.
    pub(crate) call_counts: crate::trace::summary::CallCounts,
    /// When a line of `--strace` was written last.
    pub(crate) last_line: crate::trace::LastLine,
    /// How many sessions users have logged in to (/proc/PID/sessionid).
    pub(crate) login_sessions: AtomicU32,
    next_id: AtomicI32,
    ids_wrapped: AtomicBool,
}

impl Kernel {
    /// A kernel with the given file systems and no process.
    pub(crate) fn new(
        config: KernelConfig,
        filter: Option<Arc<Filter>>,
        arena: Arc<litebox::mm::arena::Arena>,
        root: Arc<dyn litebox::fs::FileSystem>,
        flags: litebox::fs::MountFlags,
    ) -> Arc<Self> {
        let terminals = Arc::<litebox::tty::Terminals>::default();
        let devices = Arc::new(litebox::fs::dev::CharDevices { terminals: terminals.clone() });
        let mut boot_id = [0u8; 16];
        host().random(&mut boot_id);
        let (mut outward, mut wire) = (None, None);
        match &config.network {
            WayOut::None => {}
            WayOut::Host(ports, own) => outward = Some(HostNetwork::new(ports, &config.hostname, own.as_ref())),
            WayOut::Tun(tun) => wire = Some(WireNetwork::new(tun)),
        }
        let way_out = outward.clone().map(|outward| outward as Arc<dyn Outside>);
        let way_out = way_out.or_else(|| wire.clone().map(|wire| wire as Arc<dyn Outside>));
        let process_table = Mutex::new(ProcessTable::new(config.reaps_orphans));
        let kernel = Arc::new(Self {
            boot_id,
            call_counts: crate::trace::summary::CallCounts::new(
                config.strace.as_ref().is_some_and(crate::TraceConfig::counts),
            ),
            last_line: crate::trace::LastLine::default(),
            sandbox: Container::of_sandbox(&config, filter),
            containers: Mutex::default(),
            last_dev: AtomicU64::new(crate::boot::FIRST_DEV),
            config,
            stats: Stats::default(),
            settings: Settings::default(),
            boot: host().instant(),
            arena,
            vfs: litebox::fs::Vfs::new(root, flags, devices),
            terminals,
            trees: Mutex::default(),
            futexes: crate::syscalls::futex::FutexTable::new(),
            restorers: crate::unwind::Restorers::default(),
            local_sockets: Arc::default(),
            network: litebox::net::inet::Network::new(way_out),
            outward,
            wire,
            netlink: Arc::default(),
            aio: Arc::default(),
            file_locks: Arc::default(),
            epoll_topology: Mutex::new(()),
            outside_signals: AtomicU64::new(0),
            outside_programs: crate::outside::programs::Programs::default(),
            freezer: super::freezer::Freezer::default(),
            process_table,
            live_threads: AtomicU64::new(0),
            login_sessions: AtomicU32::new(0),
            // The first program's id is its own: others may be started before it.
            next_id: AtomicI32::new(FIRST_PID + 1),
            ids_wrapped: AtomicBool::new(false),
        });
        let jobs: Weak<Self> = Arc::downgrade(&kernel);
        kernel.terminals.set_jobs(jobs);
        kernel
    }
    fn id_in_use(&self, id: i32) -> bool {
        self.processes().iter().any(|p| {
            p.pid == id
                || p.group.load(Ordering::Relaxed) == id
                || p.session.load(Ordering::Relaxed) == id
                || p.thread(id).is_some()
        })
    }
    /// Whether this very id is free for a new process; ids given out from now on are looked at before.
    pub(crate) fn claim_id(&self, id: i32) -> bool {
        self.ids_wrapped.store(true, Ordering::Relaxed);
        !self.id_in_use(id)
    }
    /// A fresh process or thread id; `None`: all are in use. Ids count up and start again at 300 when they reach
    /// pid_max; from then on those in use are passed over.
    pub fn allocate_id(&self) -> Option<i32> {
        const FIRST_AGAIN: i32 = 300;
        let most = self.settings.pid_max.load(Ordering::Relaxed);
        for _ in 0..=most {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            if id >= most {
                self.ids_wrapped.store(true, Ordering::Relaxed);
                let again = |next| (next > most).then_some(FIRST_AGAIN);
                let _ = self.next_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, again);
            } else if !self.ids_wrapped.load(Ordering::Relaxed) || !self.id_in_use(id) {
                return Some(id);
            }
        }
        None
    }
    /// Sets how many vmas a process may have (/proc/sys/vm/max_map_count), for those there are and those to come.
    pub(crate) fn set_max_vmas(&self, most: usize) {
        self.settings.max_map_count.store(most, Ordering::Relaxed);
        for process in self.processes() {
            process.mm.core().set_max_vmas(most);
        }
    }
    /// Makes a process findable by its id, as a child of its parent.
    pub fn add_process(&self, process: &Arc<Process>) {
        self.process_table.lock().add(process);
    }
    /// Forgets a process that never started.
    pub fn remove_process(&self, pid: i32) {
        let process = self.process_table.lock().remove(pid);
        drop(process);
    }
    /// Fills in what the kernel counted.
    pub(crate) fn figures(&self, figures: &mut [u64; STAT_FIGURES]) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (mut calls, mut written) = (load(&self.stats.guest_calls), load(&self.stats.bytes_written));
        for thread in self.processes().iter().flat_map(|process| process.threads()) {
            calls = calls.wrapping_add(load(thread.calls()));
            written = written.wrapping_add(load(&thread.bytes_written));
        }
        figures[figure::GUEST_CALLS] = calls;
        figures[figure::BYTES_WRITTEN] = written;
        figures[figure::REFUSED_CALLS] = load(&self.stats.refused_calls);
        figures[figure::FAULTS] = load(&self.stats.faults);
    }
    /// The process with this id.
    pub fn process(&self, pid: i32) -> Option<Arc<Process>> {
        self.process_table.lock().process(pid).cloned()
    }
    /// The process of the thread with this id.
    pub(crate) fn process_of_thread(&self, tid: i32) -> Option<Arc<Process>> {
        let process_table = self.process_table.lock();
        let first = process_table.process(tid);
        first.or_else(|| process_table.processes().find(|process| process.thread(tid).is_some())).cloned()
    }
    /// All processes, by ascending id.
    pub fn processes(&self) -> Vec<Arc<Process>> {
        self.process_table.lock().processes().cloned().collect()
    }
}
