//! Sets a sandbox up: the shared memory, heap and page arena, mapped at the same address in all its processes, and in
//! it what the layers share. Nothing else uses this file.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};

use litebox::platform::HostFd;
use litebox::sync::Mutex;
use litebox_protocol::Op;

use crate::entry::fast::{self, FRAME_LAYOUT, FrameLayout};
use crate::entry::patch::{
    CPUID_CACHE, CpuidCache, GATE, Gate, PATCH_COUNTS, PATCHING, POOL, PatchCounts, Pool, SITE_CACHE, SiteCache,
    TEXT_CACHE, TextCache,
};
use crate::entry::trap::install_handlers;
use crate::host::broker::{self, CHANNELS, ChangeFlags, Channels};
use crate::host::call::{MADV_POPULATE_WRITE, host_call, nr};
use crate::host::clock::{CLOCK, VdsoClock, vdso_span};
use crate::host::counters::{COUNTERS, Counters};
use crate::host::entropy::{ENTROPY, Entropy};
use crate::host::files::{EPOLL, SUPERVISOR_COUNTER};
use crate::host::filter::{self, Calls32};
use crate::host::interception::{self, BY_SECCOMP, Interception};
use crate::host::start_error::{StartError, step};
#[cfg(debug_assertions)]
use crate::host::system::LOCK_ORDER;
use crate::host::system::{AUX, FATAL, KERNEL, LOST_PROCESS, read_aux_vector};
use crate::host::thread_block::STACKS;
use crate::host::turn::{LOST, Lost};
use crate::memory::heap::{HEAP, Heap};
use crate::memory::huge::{BY_SUPERVISOR, HEAP_IS_HUGE, Started};
use crate::memory::layout::{ARENA, CODE_LEN, HEAP_LEN, HUGE, LAYOUT, Layout};
use crate::memory::scratch::{SCRATCH, Scratch};
use crate::process::supervisor::{EVENTS, FIRST_TID};
use crate::process::table::{PROCESSES, ProcessTable, SERIALS};
use crate::process::zygote::{ZYGOTES, Zygotes};
use crate::thread::host_thread::{SUPERVISOR_FS, read_fs};
use crate::thread::program_end::{PROGRAM_END, ProgramEnd};
use crate::thread::segments::{RUNS_32BIT, TOLD_OF_32BIT, make_entries};
use crate::thread::timers::{ALARMS, Alarms};

/// How much of the heap the start of the kernel and of a program takes.
const HEAP_AT_START: usize = 160 << 10;

/// What the runner asks for.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing of its own")]
pub struct Settings {
    /// Size of the page arena in bytes: what files in memory and shared mappings may use.
    pub arena_size: usize,
    /// How guest calls are caught.
    pub interception: Interception,
    /// Whether sites that trapped are patched.
    pub patching: Patching,
    /// Descriptor of the request socket to the broker.
    pub broker: i32,
    /// Descriptor of the socket for requests that only read.
    pub readers: i32,
    /// The file of the page that requests go through, too ([`RequestPage`](litebox_protocol::page::RequestPage)).
    pub page: i32,
    /// The file of the flags of changes ([`Op::LowerFlag`](litebox_protocol::Op::LowerFlag)).
    pub flags: i32,
    /// Answers to what the program is going to ask come on that socket ahead.
    pub ahead: bool,
    /// Descriptor on which the broker sends events.
    pub events: i32,
    /// The broker wants the figures at the end.
    pub stats: bool,
    /// Whether the broker counts what memory is used.
    pub counted: Counted,
    /// The supervisor writes for the guest: it has a console, whose output has to be out before the end.
    pub console: bool,
    /// The supervisor tells the broker what was changed before the end.
    pub tells: bool,
    /// What the host said under a key of the auxiliary vector; 0: nothing.
    pub aux: fn(u64) -> u64,
    /// Where the program's break was before anything was allocated; 0: guest processes keep what was.
    pub program_break: usize,
    /// Where the stack of the program's start ends; 0: guest processes keep it.
    pub stack_end: usize,
}

/// Whether the broker counts what memory is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// No.
    No,
    /// Yes: it may look into any process.
    Yes,
    /// Yes, and it may look only into those of the same user that are dumpable (proc_pid_smaps(5)).
    AsSameUser,
}

/// Whether call sites that trapped are patched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patching {
    /// If the processor can do it.
    Auto,
    /// Yes, or the sandbox does not start.
    On,
    /// No: every call traps.
    Off,
}

/// What all processes of a sandbox share; lies at the start of the heap.
struct Sandbox {
    layout: Layout,
    heap: Heap,
    arena_fd: HostFd,
    epoll: HostFd,
    supervisor_counter: HostFd,
    /// Where the broker sends events.
    events: i32,
    processes: ProcessTable,
    /// Empty processes for programs.
    zygotes: Zygotes,
    channels: Channels,
    counters: Counters,
    entropy: Entropy,
    alarms: Mutex<BTreeMap<u32, Alarms>>,
    clock: VdsoClock,
    /// FS base of the supervisor: kernel code that panics needs it.
    supervisor_fs: u64,
    /// Host thread id of the first guest process, written by the host when it is cloned.
    first_tid: AtomicI32,
    /// The North's kernel object.
    kernel: AtomicPtr<()>,
    /// Guest calls are caught by seccomp, not by Syscall User Dispatch.
    by_seccomp: AtomicBool,
    /// Whether sites are patched.
    patching: bool,
    /// What is known of sites in files.
    site_cache: Mutex<SiteCache>,
    /// The host runs 32-bit programs.
    runs_32bit: AtomicBool,
    /// The user was told that it does not.
    told_of_32bit: AtomicBool,
    /// What `cpuid` answers.
    cpuid_cache: CpuidCache,
    /// Patched copies of code.
    text_cache: TextCache,
    /// Which regions of trampolines are in use.
    trampolines: Pool,
    /// Where those of 32-bit code lead.
    gate: Gate,
    /// Figures of patching.
    patch_counts: PatchCounts,
    /// What the host's signal frames look like.
    frame_layout: FrameLayout,
    /// How the program ended.
    program_end: ProgramEnd,
    /// A broken invariant was reported: everything ends with 70.
    fatal: AtomicBool,
    /// How many processes there have been.
    serials: AtomicU32,
    /// Who ended so.
    lost: Lost,
    /// A process ended without the kernel's doing.
    lost_process: AtomicBool,
    /// The first objects of the heap lie in a huge page, or cannot.
    heap_is_huge: AtomicBool,
    /// The processes that the supervisor starts.
    started: Started,
    /// What the supervisor's start left.
    scratch: Scratch,
    /// In which order locks were taken.
    #[cfg(debug_assertions)]
    lock_order: litebox::sync::LockOrder,
}

impl Sandbox {
    /// Tells each file where its object is.
    fn publish(&'static self) {
        LAYOUT.publish(&self.layout);
        ARENA.publish(&self.arena_fd);
        STACKS.publish(&self.layout.stacks);
        SCRATCH.publish(&self.scratch);
        BY_SUPERVISOR.publish(&self.started);
        HEAP_IS_HUGE.publish(&self.heap_is_huge);
        EPOLL.publish(&self.epoll);
        SUPERVISOR_COUNTER.publish(&self.supervisor_counter);
        CHANNELS.publish(&self.channels);
        COUNTERS.publish(&self.counters);
        ENTROPY.publish(&self.entropy);
        CLOCK.publish(&self.clock);
        LOST.publish(&self.lost);
        KERNEL.publish(&self.kernel);
        FATAL.publish(&self.fatal);
        LOST_PROCESS.publish(&self.lost_process);
        #[cfg(debug_assertions)]
        LOCK_ORDER.publish(&self.lock_order);
        BY_SECCOMP.publish(&self.by_seccomp);
        self.publish_entry();
        ALARMS.publish(&self.alarms);
        SUPERVISOR_FS.publish(&self.supervisor_fs);
        RUNS_32BIT.publish(&self.runs_32bit);
        TOLD_OF_32BIT.publish(&self.told_of_32bit);
        PROGRAM_END.publish(&self.program_end);
        PROCESSES.publish(&self.processes);
        SERIALS.publish(&self.serials);
        ZYGOTES.publish(&self.zygotes);
        FIRST_TID.publish(&self.first_tid);
        EVENTS.publish(&self.events);
        // From here on the allocator is the shared heap.
        HEAP.publish(&self.heap);
    }

    fn publish_entry(&'static self) {
        PATCHING.publish(&self.patching);
        SITE_CACHE.publish(&self.site_cache);
        CPUID_CACHE.publish(&self.cpuid_cache);
        TEXT_CACHE.publish(&self.text_cache);
        POOL.publish(&self.trampolines);
        GATE.publish(&self.gate);
        PATCH_COUNTS.publish(&self.patch_counts);
        FRAME_LAYOUT.publish(&self.frame_layout);
    }
}

/// Makes the calling process the supervisor of a new sandbox: maps the shared memory, installs signal handlers and the
/// filter. From here on the allocator is the shared heap and the host serves only what the filter lists.
pub fn start(settings: Settings) -> Result<(), StartError> {
    let aux = read_aux_vector(settings.aux);
    if !has_fsgsbase(&aux) {
        return Err(StartError {
            what: "the processor and kernel must offer FSGSBASE",
            error: litebox::Error::NotSupported,
        });
    }
    // What lies behind the arena in its object begins at a page, which a part of the machine's memory does not.
    let arena_size = settings.arena_size.next_multiple_of(HUGE);
    let heap_fd = step("memory for the kernel heap", shared_memory(c"litebox-heap", HEAP_LEN))?;
    let arena_fd = step("memory for files", shared_memory(c"litebox-arena", arena_size + CODE_LEN))?;
    if settings.counted != Counted::No {
        for object in [heap_fd, arena_fd] {
            step("telling the broker of the memory", broker::announce(settings.broker, Op::Memory, object))?;
        }
    }
    let layout = Layout { vdso: vdso_span(&aux), ..Layout::map(heap_fd, arena_fd, arena_size)? };
    let page = broker::map_page(layout.request_page(), settings.page);
    let flags = ChangeFlags::map(layout.change_flags(), settings.flags);
    let heap = layout.heap;
    // Pages that the start of the kernel fills, all at once instead of by a fault each. A host that cannot do it
    // refuses. SAFETY: of the mapping just made.
    let _ = unsafe { host_call!(nr::MADVISE, heap.0, HEAP_AT_START, MADV_POPULATE_WRITE) };
    // SAFETY: no pointers; the heap stays mapped.
    unsafe {
        let _ = host_call!(nr::CLOSE, heap_fd.0);
    }
    // SAFETY: no pointers.
    let epoll = step("epoll_create1", unsafe { host_call!(nr::EPOLL_CREATE1, 0x8_0000) })?;
    // Not blocking, closed when a program is executed.
    // SAFETY: no pointers.
    let counter = step("eventfd2", unsafe { host_call!(nr::EVENTFD2, 0, 0x8_0800) })?;

    let scratch = Scratch::new(settings.program_break, settings.stack_end, &layout);
    let wanted = settings.interception;
    let patching = settings.patching != Patching::Off && fast::available();
    if settings.patching == Patching::On && !patching {
        return Err(StartError { what: "patching needs xsave and lahf", error: litebox::Error::NotSupported });
    }
    let at = heap.0 as *mut Sandbox;
    let heap_start = (heap.0 + size_of::<Sandbox>() + 4095) & !4095;
    let told_by_supervisor = settings.stats || settings.console || settings.tells;
    // SAFETY: the heap was just mapped and nobody else knows it; all fields that allocate are empty until the heap is
    // published. The object is never freed.
    let sandbox: &'static Sandbox = unsafe {
        at.write(Sandbox {
            clock: VdsoClock::find(&aux),
            layout,
            heap: Heap::new(),
            arena_fd,
            epoll: HostFd(epoll as i32),
            supervisor_counter: HostFd(counter as i32),
            events: settings.events,
            processes: ProcessTable::default(),
            zygotes: Zygotes::new(is_cpu_limited()),
            channels: Channels::new(settings.broker, settings.readers, settings.ahead, page, flags),
            counters: Counters::new(settings.stats),
            entropy: Entropy::new(),
            alarms: Mutex::new(BTreeMap::new()),
            supervisor_fs: read_fs(),
            first_tid: AtomicI32::new(0),
            kernel: AtomicPtr::new(core::ptr::null_mut()),
            by_seccomp: AtomicBool::new(false),
            patching,
            site_cache: Mutex::new(SiteCache::default()),
            runs_32bit: AtomicBool::new(false),
            told_of_32bit: AtomicBool::new(false),
            cpuid_cache: CpuidCache::default(),
            text_cache: TextCache::default(),
            trampolines: Pool::new(),
            gate: Gate::default(),
            patch_counts: PatchCounts::default(),
            frame_layout: FrameLayout::default(),
            program_end: ProgramEnd::new(told_by_supervisor),
            fatal: AtomicBool::new(false),
            serials: AtomicU32::new(0),
            lost: Lost::default(),
            lost_process: AtomicBool::new(false),
            heap_is_huge: AtomicBool::new(false),
            started: Started::default(),
            scratch,
            #[cfg(debug_assertions)]
            lock_order: litebox::sync::LockOrder::new(),
        });
        (*at).heap.claim(heap_start, heap.1, heap.0 + HEAP_AT_START);
        &*at
    };
    sandbox.publish();
    // Made on the shared heap, and never freed.
    AUX.publish(Box::leak(Box::new(aux.to_vec())));

    const PR_SET_DUMPABLE: usize = 4;
    if settings.counted != Counted::AsSameUser {
        // SAFETY: no pointers.
        step("making the process non-dumpable", unsafe { host_call!(nr::PRCTL, PR_SET_DUMPABLE, 0) })?;
    }
    step("installing signal handlers", install_handlers())?;
    interception::probe(wanted)?;
    let runs_32bit = make_entries();
    let calls = filter::install(wanted)?;
    sandbox.runs_32bit.store(runs_32bit && calls == Calls32::Trapped, Ordering::Relaxed);
    Ok(())
}

fn is_cpu_limited() -> bool {
    const GETRLIMIT: usize = 97;
    const RLIMIT_CPU: usize = 0;
    let mut limits = [u64::MAX; 2];
    // SAFETY: the host writes two numbers. Before the filter.
    let _ = unsafe { host_call!(GETRLIMIT, RLIMIT_CPU, limits.as_mut_ptr()) };
    limits != [u64::MAX; 2]
}

fn has_fsgsbase(aux: &[(u64, u64)]) -> bool {
    const AT_HWCAP2: u64 = 26;
    const FSGSBASE: u64 = 1 << 1;
    aux.iter().any(|&(key, value)| key == AT_HWCAP2 && value & FSGSBASE != 0)
}

fn shared_memory(name: &core::ffi::CStr, len: usize) -> litebox::Result<HostFd> {
    const CLOEXEC_SEALABLE: usize = 3;
    const F_ADD_SEALS: usize = 1033;
    const SEAL_SHRINK_GROW: usize = 2 | 4;
    const FCNTL: usize = 72;
    // SAFETY: the name is a C string; the other calls have no pointers. All before the filter.
    unsafe {
        let fd = host_call!(nr::MEMFD_CREATE, name.as_ptr(), CLOEXEC_SEALABLE)?;
        host_call!(nr::FTRUNCATE, fd, len)?;
        host_call!(FCNTL, fd, F_ADD_SEALS, SEAL_SHRINK_GROW)?;
        Ok(HostFd(fd as i32))
    }
}
