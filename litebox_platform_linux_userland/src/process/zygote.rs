//! Zygotes: empty host processes that wait for a program.
//!
//! A process that executes a program while others use its memory (after vfork) cannot do so in place. A copy of it
//! would have to throw away at once what was just copied, so it is given a zygote instead: a process whose address
//! space holds no guest memory. From the first time on that one was asked for, a process whose guest has ended becomes
//! one ([`rest`]); when there is none left, the supervisor is told, and clones itself.

mod rest;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use litebox::platform::{Futex, ThreadSpec};
use litebox::sync::Mutex;
use litebox::{Error, Result};

use crate::LinuxHost;
use crate::host::call::{self, host_call, nr};
use crate::host::files::{SUPERVISOR_COUNTER, wake_supervisor};
use crate::host::kept::KeptSpec;
use crate::host::published::Published;
use crate::host::thread_block::current;
use crate::host::usage::Before;
use crate::memory::heap::HEAP;
use crate::memory::huge::BY_SUPERVISOR;
use crate::memory::layout::LAYOUT;
use crate::process::table;
use crate::thread::host_process::{self, HostProcess};
use crate::thread::host_thread::Founding;

pub(crate) use rest::rest;

/// How many the supervisor makes.
const MADE: usize = 2;

/// Those of a sandbox.
pub(crate) struct Zygotes {
    idle: Mutex<Vec<Arc<Zygote>>>,
    /// Somebody asked for one.
    wanted: AtomicBool,
    /// The host ends processes that use too much of the processor (RLIMIT_CPU), whoever their guest is: none rests.
    cpu_limited: bool,
}

/// Empty processes for programs.
pub(crate) static ZYGOTES: Published<Zygotes> = Published::nothing();

/// One of them.
struct Zygote {
    process: Arc<HostProcess>,
    /// Its host thread id; of a new one, the host writes it.
    tid: AtomicI32,
    /// Nonzero once it has a task: what it sleeps on.
    woken: AtomicU32,
    task: Mutex<Option<KeptSpec>>,
}

impl Zygote {
    fn new(process: Arc<HostProcess>) -> Arc<Self> {
        Arc::new(Self { process, tid: AtomicI32::new(0), woken: AtomicU32::new(0), task: Mutex::new(None) })
    }

    /// What it does, on whatever stack: sleeps until there is a task, and then starts on the one that was prepared.
    fn serve(self: Arc<Self>, mut founding: Founding) -> ! {
        self.process.begin_anew(Before::of_process());
        founding.begin_anew();
        while self.woken.load(Ordering::Acquire) == 0 {
            LinuxHost.futex_wait(&self.woken, 0, None);
        }
        let Some(task) = self.task.lock().take() else { table::exit(None) };
        let sp = founding.found(&task.spec());
        drop((task, self));
        // SAFETY: the stack just made; nothing of this one is used again.
        unsafe { crate::thread::host_thread::start(sp) }
    }
}

impl Zygotes {
    /// None yet.
    pub(crate) const fn new(cpu_limited: bool) -> Self {
        Self { idle: Mutex::new(Vec::new()), wanted: AtomicBool::new(false), cpu_limited }
    }

    /// A process was lost: it waits for no program any more. `false`: it did not.
    pub(crate) fn forget(&self, number: u32) -> bool {
        let mut idle = self.idle.lock();
        let before = idle.len();
        let (kept, lost) = core::mem::take(&mut *idle).into_iter().partition(|zygote| zygote.process.number != number);
        *idle = kept;
        drop::<Vec<Arc<Zygote>>>(lost);
        idle.len() < before
    }
}

/// Starts `spec`'s thread in an empty process; a copy of the calling process when there is no zygote.
pub(crate) fn spawn(spec: &ThreadSpec<'_>) -> Result<()> {
    let zygotes = &*ZYGOTES;
    let (zygote, left) = {
        let mut idle = zygotes.idle.lock();
        (idle.pop(), idle.len())
    };
    if left == 0 {
        zygotes.wanted.store(true, Ordering::Relaxed);
        wake_supervisor();
    }
    let zygote = match zygote {
        Some(zygote) => zygote,
        // The supervisor has no guest that could be copied.
        None if current().is_none() => make()?.ok_or(Error::WouldBlock)?,
        None => return table::spawn(spec),
    };
    spec.host.process.store(zygote.process.number, Ordering::Relaxed);
    spec.host.alive.store(1, Ordering::Relaxed);
    *zygote.task.lock() = Some(KeptSpec::of(spec));
    zygote.woken.store(1, Ordering::Release);
    LinuxHost.futex_wake(&zygote.woken, 1);
    Ok(())
}

/// The supervisor was told that zygotes were taken: makes new ones.
pub(crate) fn refill() -> Result<()> {
    let zygotes = &*ZYGOTES;
    let mut count = 0u64;
    // SAFETY: the host writes eight bytes.
    match unsafe { host_call!(nr::READ, SUPERVISOR_COUNTER.0, &raw mut count, size_of::<u64>()) } {
        Ok(_) | Err(Error::WouldBlock | Error::Interrupted) => {}
        Err(error) => return Err(error),
    }
    while zygotes.idle.lock().len() < MADE {
        // At the limit of processes there will be more room later.
        let Some(zygote) = make()? else { break };
        zygotes.idle.lock().push(zygote);
    }
    Ok(())
}

/// Clones the supervisor; `None` when the host or the table has no room for another process.
fn make() -> Result<Option<Arc<Zygote>>> {
    // FILES, PIDFD, CHILD_SETTID, and SIGCHLD as exit signal.
    const FLAGS: usize = 0x400 | 0x1000 | 0x100_0000 | 0x11;
    let Ok(process) = table::register() else { return Ok(None) };
    crate::entry::patch::prepare_for_copies();
    BY_SUPERVISOR.another();
    process.started.inherit(&BY_SUPERVISOR);
    let zygote = Zygote::new(process);
    let process = &zygote.process;
    let (pidfd, tid) = (process.pidfd.as_ptr() as usize, zygote.tid.as_ptr() as usize);
    let for_child = zygote.clone();
    // SAFETY: a fork: the child goes on with a copy of this stack. The host writes the pidfd and the id into shared
    // memory.
    match unsafe { call::clone(FLAGS, 0, pidfd, tid) } {
        Ok(0) => sleep(for_child),
        // The child's reference is counted in shared memory, and the child drops it.
        Ok(_) => core::mem::forget(for_child),
        Err(_) => {
            table::forget(process.number);
            return Ok(None);
        }
    }
    table::watch_end(process)?;
    Ok(Some(zygote))
}

/// What a new zygote does: all that does not depend on the task, and then sleep.
fn sleep(zygote: Arc<Zygote>) -> ! {
    if host_process::begin(&zygote.process).is_err() {
        table::exit(None);
    }
    let founding = Founding::prepare(&zygote.process, zygote.tid.load(Ordering::Acquire));
    touch_ahead();
    zygote.serve(founding)
}

/// A clone has no page tables for code and for shared memory yet. What every program needs of the kernel is looked at
/// while the zygote has time.
fn touch_ahead() {
    touch(crate::host::system::code_span());
    touch_heap();
}

/// Looks at the part of the heap where the objects lie that were made first and are used most.
pub(crate) fn touch_heap() {
    const MOST: usize = 1 << 20;
    let start = LAYOUT.heap.0;
    touch((start, HEAP.used_to().min(start + MOST)));
}

/// One look maps sixteen pages (the host's fault-around), a write later would map one.
fn touch((start, end): (usize, usize)) {
    const AROUND: usize = 64 << 10;
    for at in (start..end).step_by(AROUND) {
        // SAFETY: code of the kernel and memory of its heap: mapped and readable.
        unsafe { (at as *const u8).read_volatile() };
    }
}
