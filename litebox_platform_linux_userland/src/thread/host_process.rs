//! One process of the host: what its threads and the table of processes know of it, and how it ends.

use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use core::time::Duration;

use litebox::Error;
use litebox::Result;
use litebox::platform::HostFd;
use litebox::sync::Mutex;
use litebox_common_linux::abi::signal::SIGKILL;

use crate::host::LinuxHost;
use crate::host::broker::CHANNELS;
use crate::host::call::{host_call, nr};
use crate::host::clock::Timespec;
use crate::host::process_block::ProcessBlock;
use crate::host::thread_block::ThreadBlock;
use crate::host::usage::Before;
use crate::thread::stack::Slots;

/// What is shared about one host process; in the shared heap, until the supervisor has seen its end.
#[repr(C)]
pub(crate) struct HostProcess {
    /// What the host layer knows of it.
    block: ProcessBlock,
    /// Descriptor that stands for it; written by the host when the process is cloned.
    pub(crate) pidfd: AtomicI32,
    /// The host's id of it, for its clock; 0 before its first thread ran.
    pub(crate) id: AtomicI32,
    /// Threads that may still use what the kernel shares: the process may end when it is the last.
    pub(crate) live: AtomicU32,
    /// Its last thread is about to end it, and waits for the others to leave the kernel.
    pub(crate) ending: AtomicBool,
    /// It was told to end by the kernel.
    pub(crate) ended: AtomicBool,
    /// The broker has its pidfd. Changed under the table's lock.
    pub(crate) registered: AtomicBool,
    /// It can take signals: its first thread has told the host on which stack.
    pub(crate) reachable: AtomicBool,
    /// Its kernel stacks.
    pub(crate) slots: Mutex<Slots>,
    /// What was patched in its code.
    pub(crate) patches: crate::entry::patch::Patches,
    /// A timer that kicks whichever thread: 0 none yet, else its id + 1.
    pub(crate) forwarder: AtomicI32,
    /// The processes that it starts.
    pub(crate) started: crate::memory::huge::Started,
}

impl HostProcess {
    /// A new one.
    pub(crate) fn new(number: u32, serial: u32) -> Self {
        Self {
            block: ProcessBlock::new(number, serial),
            pidfd: AtomicI32::new(-1),
            id: AtomicI32::new(0),
            live: AtomicU32::new(1),
            ending: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            registered: AtomicBool::new(false),
            reachable: AtomicBool::new(true),
            slots: Mutex::default(),
            patches: crate::entry::patch::Patches::default(),
            forwarder: AtomicI32::new(0),
            started: crate::memory::huge::Started::default(),
        }
    }

    /// Ends it, the calling process: the supervisor is to expect that.
    pub(crate) fn end(&self) -> ! {
        self.ended.store(true, Ordering::Release);
        exit_group()
    }

    /// The guest that comes begins with nothing used.
    pub(crate) fn begin_anew(&self, before: Before) {
        self.block.begin_anew(before);
        self.ending.store(false, Ordering::SeqCst);
    }

    /// A thread of it runs: the first one's id is that of the process.
    pub(crate) fn founded_by(&self, tid: i32) {
        let _ = self.id.compare_exchange(0, tid, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The kernel has ended it.
    pub(crate) fn was_told_to_end(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// CPU time of its present guest, and that in user mode.
    pub(crate) fn cpu(&self) -> Option<(Duration, Duration)> {
        /// The clocks of a process's time in user mode and of all its CPU time, behind the complement of its id.
        const USER: i32 = 1;
        const ALL: i32 = 2;
        let id = self.id.load(Ordering::Acquire);
        let read = |clock: i32| {
            let mut time = Timespec::default();
            // SAFETY: the host writes one timespec.
            unsafe { host_call!(nr::CLOCK_GETTIME, (!id << 3) | clock, &raw mut time) }.ok()?;
            Some(time.duration())
        };
        if id == 0 {
            return None;
        }
        let before = self.before();
        Some((read(ALL)?.saturating_sub(before.cpu), read(USER)?.saturating_sub(before.usage.user)))
    }
}

impl Deref for HostProcess {
    type Target = ProcessBlock;

    fn deref(&self) -> &ProcessBlock {
        &self.block
    }
}

impl ThreadBlock {
    /// Its process.
    pub(crate) fn home(&self) -> Option<&'static HostProcess> {
        // SAFETY: null, or the beginning of a `HostProcess` (`set_home`), which lives until the supervisor has seen the
        // process end.
        unsafe { self.home.cast::<HostProcess>().as_ref() }
    }
    /// Says which process it belongs to.
    pub(crate) fn set_home(&mut self, home: &HostProcess) {
        self.home = core::ptr::from_ref(home).cast();
        self.process = home.number;
    }
}

/// First thing in a new process: it holds locks by its own number, and ends with the supervisor, at once when the
/// broker is gone already.
pub(crate) fn begin(process: &HostProcess) -> Result<()> {
    litebox::sync::begin_process(process.serial);
    tie_to_supervisor()
}

fn tie_to_supervisor() -> Result<()> {
    const PR_SET_PDEATHSIG: usize = 1;
    const POLLHUP: u16 = 0x10;
    // SAFETY: no pointers.
    unsafe { host_call!(nr::PRCTL, PR_SET_PDEATHSIG, SIGKILL as usize) }?;
    let broker = HostFd(CHANNELS.socket());
    let ready = litebox::platform::HostFiles::host_poll(&LinuxHost, broker, 0)?;
    if ready & POLLHUP != 0 { Err(Error::BrokenPipe) } else { Ok(()) }
}

/// Ends the calling process.
pub(crate) fn exit_group() -> ! {
    loop {
        // SAFETY: ends the process.
        let _ = unsafe { host_call!(nr::EXIT_GROUP, 0) };
    }
}
