//! The shared memory of a sandbox: heap and page arena, mapped at the same address in all its processes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};

use litebox::platform::HostFd;
use litebox::sync::Mutex;
use litebox_protocol::Op;

use crate::entry::interception::Interception;
use crate::host::call::{host_call, nr};
use crate::host::counters::Counters;
use crate::host::entropy::Entropy;
use crate::memory::heap::Heap;
use crate::memory::layout::{HEAP_LEN, Layout};
use crate::process::table::ProcessTable;
use crate::process::zygote::Zygotes;

/// How much of the heap the start of the kernel and of a program takes.
const HEAP_AT_START: usize = 192 << 10;
pub(crate) const MADV_POPULATE_WRITE: usize = 23;

/// What the runner asks for.
#[derive(Clone, Debug)]
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

/// Why a sandbox could not be set up; one line for the user.
#[derive(Debug)]
pub struct StartError {
    /// What was tried.
    pub what: &'static str,
    /// The host's answer.
    pub error: litebox::Error,
}

/// What all processes of a sandbox share; lies at the start of the heap.
pub(crate) struct Sandbox {
    pub(crate) layout: Layout,
    pub(crate) settings: Settings,
    pub(crate) heap: Heap,
    pub(crate) arena_fd: HostFd,
    pub(crate) epoll: HostFd,
    pub(crate) processes: ProcessTable,
    /// Empty processes for programs.
    pub(crate) zygotes: Zygotes,
    pub(crate) channels: crate::host::broker::Channels,
    pub(crate) counters: Counters,
    pub(crate) entropy: Entropy,
    pub(crate) alarms: Mutex<BTreeMap<u32, crate::thread::host_thread::Alarms>>,
    pub(crate) clock: crate::host::clock::VdsoClock,
    pub(crate) aux: Vec<(u64, u64)>,
    /// FS base of the supervisor: kernel code that panics needs it.
    pub(crate) supervisor_fs: u64,
    /// Host thread id of the first guest process, written by the host when it is cloned.
    pub(crate) first_tid: AtomicI32,
    /// The North's kernel object.
    pub(crate) kernel: AtomicPtr<()>,
    /// Guest calls are caught by seccomp, not by Syscall User Dispatch.
    pub(crate) by_seccomp: AtomicBool,
    /// Whether sites are patched.
    pub(crate) patching: bool,
    /// What is known of sites in files.
    pub(crate) site_cache: Mutex<crate::entry::patch::SiteCache>,
    /// The host runs 32-bit programs.
    pub(crate) runs_32bit: AtomicBool,
    /// The user was told that it does not.
    pub(crate) told_of_32bit: AtomicBool,
    /// What `cpuid` answers.
    pub(crate) cpuid_cache: crate::entry::patch::CpuidCache,
    /// Patched copies of code.
    pub(crate) text_cache: crate::entry::patch::TextCache,
    /// Which regions of trampolines are in use.
    pub(crate) trampolines: crate::entry::patch::Pool,
    /// Figures of patching.
    pub(crate) patch_counts: crate::entry::patch::PatchCounts,
    /// What the host's signal frames look like.
    pub(crate) frame_layout: crate::entry::fast::FrameLayout,
    /// wait(2) status of the guest, valid once `exit_announced`.
    pub(crate) exit_status: AtomicI32,
    pub(crate) exit_announced: AtomicBool,
    /// A broken invariant was reported: everything ends with 70.
    pub(crate) fatal: AtomicBool,
    /// How many processes there have been.
    pub(crate) serials: AtomicU32,
    /// Who ended so.
    pub(crate) lost: crate::host::turn::Lost,
    /// A process ended without the kernel's doing.
    pub(crate) lost_process: AtomicBool,
    /// The host ends processes that use too much of the processor (RLIMIT_CPU), whoever their guest is.
    pub(crate) cpu_limited: bool,
    /// The first objects of the heap lie in a huge page, or cannot.
    pub(crate) heap_is_huge: AtomicBool,
    /// The processes that the supervisor starts.
    pub(crate) started: crate::memory::huge::Started,
    /// What the supervisor's start left.
    pub(crate) scratch: crate::memory::scratch::Scratch,
    /// In which order locks were taken.
    #[cfg(debug_assertions)]
    pub(crate) lock_order: litebox::sync::LockOrder,
}

impl Sandbox {
    /// Whether sites that trapped are patched.
    #[inline]
    pub(crate) fn patching(&self) -> bool {
        self.patching
    }
}

/// Written once, before the first thread beside the supervisor's exists.
static SANDBOX: AtomicPtr<Sandbox> = AtomicPtr::new(core::ptr::null_mut());

/// The sandbox this process belongs to, once there is one.
#[inline]
pub(crate) fn try_sandbox() -> Option<&'static Sandbox> {
    // SAFETY: null, or the object published by `start`, which is never freed.
    unsafe { SANDBOX.load(Ordering::Relaxed).as_ref() }
}

/// The sandbox this process belongs to.
#[inline]
pub(crate) fn sandbox() -> &'static Sandbox {
    // SAFETY: the kernel runs only after `start` published the object.
    unsafe { &*SANDBOX.load(Ordering::Relaxed) }
}

/// Notes that the second filter catches guest calls.
pub(crate) fn use_seccomp() {
    sandbox().by_seccomp.store(true, Ordering::Release);
}

pub(crate) fn step<T>(what: &'static str, result: litebox::Result<T>) -> Result<T, StartError> {
    result.map_err(|error| StartError { what, error })
}

/// Makes the calling process the supervisor of a new sandbox: maps the shared memory, installs signal handlers and the
/// filter. From here on the allocator is the shared heap and the host serves only what the filter lists.
pub fn start(settings: Settings) -> Result<(), StartError> {
    let aux = crate::host::system::read_aux_vector(settings.aux);
    if !has_fsgsbase(&aux) {
        return Err(StartError {
            what: "the processor and kernel must offer FSGSBASE",
            error: litebox::Error::NotSupported,
        });
    }
    // What lies behind the arena in its object begins at a page, which a part of the machine's memory does not.
    let arena_size = settings.arena_size.next_multiple_of(crate::memory::layout::HUGE);
    let heap_fd = step("memory for the kernel heap", shared_memory(c"litebox-heap", HEAP_LEN))?;
    let arena_fd =
        step("memory for files", shared_memory(c"litebox-arena", arena_size + crate::entry::patch::MEMORY_LEN))?;
    if settings.counted != Counted::No {
        for object in [heap_fd, arena_fd] {
            step(
                "telling the broker of the memory",
                crate::host::broker::announce(settings.broker, Op::Memory, object),
            )?;
        }
    }
    let layout = Layout { vdso: crate::host::clock::vdso_span(&aux), ..Layout::map(heap_fd, arena_fd, arena_size)? };
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
    let taken = step("eventfd2", unsafe { host_call!(nr::EVENTFD2, 0, 0x8_0800) })?;

    let scratch = crate::memory::scratch::Scratch::new(settings.program_break, settings.stack_end, &layout);
    let interception = settings.interception;
    let patching = settings.patching != Patching::Off && crate::entry::fast::available();
    if settings.patching == Patching::On && !patching {
        return Err(StartError { what: "patching needs xsave and lahf", error: litebox::Error::NotSupported });
    }
    let at = heap.0 as *mut Sandbox;
    let heap_start = (heap.0 + size_of::<Sandbox>() + 4095) & !4095;
    // SAFETY: the heap was just mapped and nobody else knows it; all fields that allocate are empty until the heap is
    // published.
    unsafe {
        at.write(Sandbox {
            clock: crate::host::clock::VdsoClock::find(&aux),
            layout,
            settings,
            heap: Heap::new(),
            arena_fd,
            epoll: HostFd(epoll as i32),
            processes: ProcessTable::default(),
            zygotes: Zygotes::new(HostFd(taken as i32)),
            channels: crate::host::broker::Channels::default(),
            counters: Counters::default(),
            entropy: Entropy::new(),
            alarms: Mutex::new(BTreeMap::new()),
            aux: Vec::new(),
            supervisor_fs: crate::thread::host_thread::read_fs(),
            first_tid: AtomicI32::new(0),
            kernel: AtomicPtr::new(core::ptr::null_mut()),
            by_seccomp: AtomicBool::new(false),
            patching,
            site_cache: Mutex::new(crate::entry::patch::SiteCache::default()),
            runs_32bit: AtomicBool::new(false),
            told_of_32bit: AtomicBool::new(false),
            cpuid_cache: crate::entry::patch::CpuidCache::default(),
            text_cache: crate::entry::patch::TextCache::default(),
            trampolines: crate::entry::patch::Pool::new(),
            patch_counts: crate::entry::patch::PatchCounts::default(),
            frame_layout: crate::entry::fast::FrameLayout::default(),
            exit_status: AtomicI32::new(0),
            exit_announced: AtomicBool::new(false),
            fatal: AtomicBool::new(false),
            serials: AtomicU32::new(0),
            lost: crate::host::turn::Lost::default(),
            lost_process: AtomicBool::new(false),
            cpu_limited: is_cpu_limited(),
            heap_is_huge: AtomicBool::new(false),
            started: crate::memory::huge::Started::default(),
            scratch,
            #[cfg(debug_assertions)]
            lock_order: litebox::sync::LockOrder::new(),
        });
        (*at).heap.claim(heap_start, heap.1, heap.0 + HEAP_AT_START);
    }
    SANDBOX.store(at, Ordering::Release);
    if patching {
        litebox_syscall_rewriter::prepare();
    }
    // SAFETY: still the only thread; the list is made on the shared heap now.
    unsafe { (*at).aux = aux.to_vec() };

    const PR_SET_DUMPABLE: usize = 4;
    if sandbox().settings.counted != Counted::AsSameUser {
        // SAFETY: no pointers.
        step("making the process non-dumpable", unsafe { host_call!(nr::PRCTL, PR_SET_DUMPABLE, 0) })?;
    }
    crate::entry::trap::install_handlers().map_err(|error| StartError { what: "installing signal handlers", error })?;
    crate::entry::interception::probe(interception)?;
    sandbox().runs_32bit.store(crate::thread::segments::make_entries(), Ordering::Relaxed);
    crate::host::filter::install(interception)
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
