//! Zygotes: empty host processes that wait for a program.
//!
//! A process that executes a program while others use its memory (after vfork) cannot do so in place. A copy of it would have to throw away at once
//! what was just copied, so it is given a zygote instead: a clone of the supervisor, whose address space holds no guest memory. The supervisor keeps a
//! few asleep, from the first time on that one was asked for, and makes new ones when it is told that some were taken.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use litebox::event::Waiter;
use litebox::platform::answers::Answers;
use litebox::platform::north::Registers;
use litebox::platform::{Futex, HostFd, HostThread, ThreadSpec};
use litebox::sync::Mutex;
use litebox::{Error, Result};

use crate::LinuxHost;
use crate::call::{self, host_call, nr};
use crate::process::{self, HostProcess};
use crate::sandbox::sandbox;

/// How many are kept asleep.
const KEPT: usize = 2;

/// Those of a sandbox.
pub(crate) struct Zygotes {
    idle: Mutex<Vec<Arc<Zygote>>>,
    /// Counts for the supervisor that some were taken.
    taken: HostFd,
}

/// One of them.
struct Zygote {
    process: Arc<HostProcess>,
    /// Its host thread id, written by the host when it is cloned.
    tid: AtomicI32,
    /// Nonzero once it has a task: what it sleeps on.
    woken: AtomicU32,
    task: Mutex<Option<Task>>,
}

/// A [`ThreadSpec`] that outlives the call it was made for.
struct Task {
    north: *const (),
    host: *const HostThread,
    waiter: *const Waiter,
    regs: Registers,
    fp: Option<Vec<u8>>,
    fs_base: u64,
    gs_base: u64,
    answers: *const Answers,
}

// SAFETY: the pointers lead to objects in the shared heap that live as long as the thread they describe.
unsafe impl Send for Task {}

impl Task {
    fn of(spec: &ThreadSpec<'_>) -> Self {
        Self {
            north: spec.north,
            host: spec.host,
            waiter: spec.waiter,
            regs: *spec.regs,
            fp: spec.fp.map(<[u8]>::to_vec),
            fs_base: spec.fs_base,
            gs_base: spec.gs_base,
            answers: spec.answers,
        }
    }

    fn spec(&self) -> ThreadSpec<'_> {
        // SAFETY: the North keeps them alive as long as the thread lives.
        let (host, waiter, answers) = unsafe { (&*self.host, &*self.waiter, &*self.answers) };
        ThreadSpec {
            north: self.north,
            host,
            waiter,
            regs: &self.regs,
            fp: self.fp.as_deref(),
            fs_base: self.fs_base,
            gs_base: self.gs_base,
            answers,
        }
    }
}

impl Zygotes {
    /// None yet; `taken` is the counter by which the supervisor is told.
    pub(crate) const fn new(taken: HostFd) -> Self {
        Self { idle: Mutex::new(Vec::new()), taken }
    }

    /// What the supervisor watches.
    pub(crate) fn counter(&self) -> HostFd {
        self.taken
    }

    /// Tells the supervisor that there are too few. A counter that is full says so already.
    fn ask_for_more(&self) {
        let one = 1u64;
        // SAFETY: the host reads eight bytes.
        let _ = unsafe { host_call!(nr::WRITE, self.taken.0, &raw const one, size_of::<u64>()) };
    }
}

/// Starts `spec`'s thread in an empty process; a copy of the calling process when there is no zygote.
pub(crate) fn spawn(spec: &ThreadSpec<'_>) -> Result<()> {
    let zygotes = &sandbox().zygotes;
    let zygote = zygotes.idle.lock().pop();
    zygotes.ask_for_more();
    let Some(zygote) = zygote else { return process::spawn(spec) };
    spec.host.process.store(zygote.process.number, Ordering::Relaxed);
    spec.host.alive.store(1, Ordering::Relaxed);
    *zygote.task.lock() = Some(Task::of(spec));
    zygote.woken.store(1, Ordering::Release);
    LinuxHost.futex_wake(&zygote.woken, 1);
    Ok(())
}

/// The supervisor was told that zygotes were taken: makes new ones.
pub(crate) fn refill() -> Result<()> {
    let zygotes = &sandbox().zygotes;
    let mut count = 0u64;
    // SAFETY: the host writes eight bytes.
    match unsafe { host_call!(nr::READ, zygotes.taken.0, &raw mut count, size_of::<u64>()) } {
        Ok(_) | Err(Error::WouldBlock | Error::Interrupted) => {}
        Err(error) => return Err(error),
    }
    while zygotes.idle.lock().len() < KEPT {
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
    let Ok(process) = process::register() else { return Ok(None) };
    let zygote = Arc::new(Zygote { process, tid: AtomicI32::new(0), woken: AtomicU32::new(0), task: Mutex::new(None) });
    let process = &zygote.process;
    let (pidfd, tid) = (process.pidfd.as_ptr() as usize, zygote.tid.as_ptr() as usize);
    let for_child = zygote.clone();
    // SAFETY: a fork: the child goes on with a copy of this stack. The host writes the pidfd and the id into shared memory.
    match unsafe { call::clone(FLAGS, 0, pidfd, tid) } {
        Ok(0) => sleep(for_child),
        // The child's reference is counted in shared memory, and the child drops it.
        Ok(_) => core::mem::forget(for_child),
        Err(_) => {
            process::forget(process.number);
            return Ok(None);
        }
    }
    process::watch_end(process)?;
    Ok(Some(zygote))
}

/// What a zygote does: all that does not depend on the task, and then sleep.
fn sleep(zygote: Arc<Zygote>) -> ! {
    if process::tie_to_supervisor().is_err() {
        process::exit(None);
    }
    let founding = crate::thread::Founding::prepare(&zygote.process, zygote.tid.load(Ordering::Acquire));
    touch_ahead();
    while zygote.woken.load(Ordering::Acquire) == 0 {
        LinuxHost.futex_wait(&zygote.woken, 0, None);
    }
    let Some(task) = zygote.task.lock().take() else { process::exit(None) };
    let sp = founding.found(&task.spec());
    drop((task, zygote));
    // SAFETY: the stack just made; nothing of this one is used again.
    unsafe { crate::thread::start(sp) }
}

/// A clone has no page tables for code and for shared memory yet. What every program needs of the kernel is looked at while the zygote has time:
/// one look maps sixteen pages (the host's fault-around), a write later would map one.
fn touch_ahead() {
    const AROUND: usize = 64 << 10;
    /// Of the heap, where the objects lie that were made first and are used most.
    const HEAP: usize = 1 << 20;
    let heap = sandbox().layout.heap.0;
    let heap = (heap, sandbox().heap.used_to().min(heap + HEAP));
    for (start, end) in [crate::system::code_span(), heap] {
        for at in (start..end).step_by(AROUND) {
            // SAFETY: code of the kernel and memory of its heap: mapped and readable.
            unsafe { (at as *const u8).read_volatile() };
        }
    }
}
