//! Host processes of the sandbox: which there are, how they start and end, and how one makes another look at its
//! pending work.
//!
//! A process is a clone of another one: it shares the kernel's memory and all descriptors, and has copies of guest
//! memory and of the kernel stacks. All are children of the supervisor, which hears of their end by their pidfds.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use litebox::platform::{Clock, Futex, HostFd, System, ThreadSpec};
use litebox::sync::{Mutex, NUMBERS_END, SUPERVISOR};
use litebox::{Error, Result};
use litebox_common_linux::Errno;
use litebox_protocol::{MAX_SLOTS, Op};

use crate::LinuxHost;
use crate::host::broker;
use crate::host::call::{self, host_call, nr};
use crate::host::published::Published;
use crate::host::system::LOST_PROCESS;
use crate::host::thread_block::current;
use crate::host::turn::LOST;
use crate::thread::host_process::{HostProcess, exit_group};
use crate::thread::stack;
use crate::thread::timers::ALARMS;

/// Number of the first guest process.
pub(crate) const FIRST: u32 = 1;

/// The processes by number.
pub(crate) type ProcessTable = Mutex<BTreeMap<u32, Arc<HostProcess>>>;

/// Those of this sandbox.
pub(crate) static PROCESSES: Published<ProcessTable> = Published::nothing();
/// How many processes there have been.
pub(crate) static SERIALS: Published<AtomicU32> = Published::nothing();

/// A new entry in the table of processes; `WouldBlock` when it is full.
pub(crate) fn register() -> Result<Arc<HostProcess>> {
    let mut table = PROCESSES.lock();
    let mut number = FIRST;
    for &used in table.keys() {
        if used != number {
            break;
        }
        number += 1;
    }
    if u64::from(number) >= MAX_SLOTS {
        return Err(Error::WouldBlock);
    }
    let process = Arc::new(HostProcess::new(number, next_serial()));
    table.insert(number, process.clone());
    Ok(process)
}

/// A number without a pattern: the sum of some is not by a rule that of others.
fn next_serial() -> u32 {
    loop {
        let serial = mixed(SERIALS.fetch_add(1, Ordering::Relaxed));
        if (SUPERVISOR + 1..NUMBERS_END - 1).contains(&serial) {
            return serial;
        }
    }
}

/// A permutation of the numbers below [`NUMBERS_END`].
const fn mixed(number: u32) -> u32 {
    const MASK: u32 = NUMBERS_END - 1;
    let number = number & MASK;
    let number = (number ^ (number >> 16)).wrapping_mul(0x7feb_352d) & MASK;
    let number = (number ^ (number >> 15)).wrapping_mul(0x846c_a68b) & MASK;
    number ^ (number >> 16)
}

/// Takes an entry out; the process is gone or never was.
pub(crate) fn forget(number: u32) -> Option<Arc<HostProcess>> {
    ALARMS.lock().remove(&number);
    PROCESSES.lock().remove(&number)
}

/// The process with this number.
pub(crate) fn find(number: u32) -> Option<Arc<HostProcess>> {
    PROCESSES.lock().get(&number).cloned()
}

/// The number of the process with this id of the host.
pub(crate) fn number_of(id: i32) -> Option<u32> {
    let table = PROCESSES.lock();
    table.values().find(|process| process.id.load(Ordering::Acquire) == id).map(|process| process.number)
}

/// Starts a copy of the calling process, whose one thread is `spec`'s.
pub(crate) fn spawn(spec: &ThreadSpec<'_>) -> Result<()> {
    // FILES, PIDFD, PARENT, CHILD_CLEARTID, CHILD_SETTID. The signal at its end is that of the caller: SIGCHLD to the
    // supervisor.
    const FLAGS: usize = 0x400 | 0x1000 | 0x8000 | 0x20_0000 | 0x100_0000;
    let Some(caller) = current() else { return Err(Error::WouldBlock) };
    let Some(own) = caller.home() else { return Err(Error::WouldBlock) };
    crate::entry::patch::prepare_for_copies();
    own.started.clean();
    own.started.another();
    stack::keep_own(caller);
    let process = register()?;
    process.reachable.store(false, Ordering::SeqCst);
    process.started.inherit(&own.started);
    // Nothing is patched between the copy of the list and that of the memory.
    let copied = own.patches.fork_into(&process.patches);
    let result = stack::allocate_for_child(own).and_then(|(slot, block)| {
        // The child's stack is made here, in memory that it gets a copy of.
        block.set_home(&process);
        if caller.rseq_area != 0 {
            block.rseq_area = caller.rseq_area;
            process.rseq.insert(caller.rseq_area);
        }
        (block.founds, block.first, block.copied) = (true, true, true);
        process.slots.lock().inherited = Some(slot);
        let sp = crate::thread::host_thread::prepare(slot, block, spec);
        let pidfd = process.pidfd.as_ptr() as usize;
        let tid = block.alive.as_ptr() as usize;
        // SAFETY: without CLONE_VM the child has its own copy of the stack, which holds its first function; the host
        // writes the pidfd into the shared heap and the id into the child's copy.
        let started = unsafe { call::clone(FLAGS, sp, pidfd, tid) };
        stack::give_back_of_child(own, slot);
        started
    });
    drop(copied);
    if result.is_err() {
        forget(process.number);
        return Err(Error::WouldBlock);
    }
    if watch_end(&process).is_err() {
        LinuxHost.fatal("the host cannot watch a new process");
    }
    Ok(())
}

/// Has the supervisor hear of the end of a process just cloned.
pub(crate) fn watch_end(process: &HostProcess) -> Result<()> {
    let token = crate::process::supervisor::TOKEN_PROCESS | core::ptr::from_ref(process) as u64;
    crate::process::supervisor::watch(process.pidfd.load(Ordering::Acquire), token)
}

/// Ends the calling process once its other threads have left the kernel, or has it wait for another program.
pub(crate) fn exit(home: Option<&HostProcess>) -> ! {
    crate::host::counters::note_peak_memory();
    if let Some(home) = home {
        home.ending.store(true, Ordering::SeqCst);
        loop {
            let live = home.live.load(Ordering::SeqCst);
            if live <= 1 {
                break;
            }
            LinuxHost.futex_wait(&home.live, live, None);
        }
        crate::process::zygote::rest(home);
        home.patches.all_unmapped();
        home.end();
    }
    exit_group()
}

/// The supervisor saw a process end. `false`: not by the kernel's doing.
pub(crate) fn note_end(process: &HostProcess) -> bool {
    let announced = process.was_told_to_end();
    if !announced {
        // Before any lock is taken, which it may have held.
        LOST.add(process.serial);
        LOST_PROCESS.store(true, Ordering::Release);
    }
    announced
}

/// Takes a process that has ended out of the table: its number can be given out again.
pub(crate) fn forget_ended(process: &HostProcess) {
    let number = process.number;
    ALARMS.lock().remove(&number);
    let mut table = PROCESSES.lock();
    let Some(process) = table.get(&number) else { return };
    if process.registered.load(Ordering::Acquire) {
        // Before the number can be given out again, or the broker would forget its next owner. Refused only when it has
        // forgotten this one.
        let _ = broker::simple(Op::Unregister, u64::from(number), &[], None);
    }
    let Some(process) = table.remove(&number) else { return };
    drop(table);
    let fd = process.pidfd.load(Ordering::Acquire);
    // SAFETY: no pointers; whoever looks at the descriptor does so under the table's lock, where the process is no
    // longer.
    let _ = unsafe { host_call!(nr::CLOSE, fd) };
}

/// Makes some thread of another process enter the kernel.
pub(crate) fn kick(number: u32) {
    for _ in 0..MOST_TRIES {
        match try_kick(number) {
            // Of the user's programs together, or of the broker, which did not receive it.
            Err(TOO_MANY_IN_FLIGHT | Error::BadDescriptor) => {
                let soon = LinuxHost.instant().saturating_add(BETWEEN_TRIES);
                LinuxHost.futex_wait(&AtomicU32::new(0), 0, Some(soon));
            }
            // It was kicked, or has ended.
            _ => return,
        }
    }
    LinuxHost.report("a signal was lost: this user's programs have too many descriptors open or in flight");
}

/// ETOOMANYREFS: programs of this user, others too, have sent more descriptors that nobody received yet than one of
/// them may have open.
const TOO_MANY_IN_FLIGHT: Error = Error::from_errno(Errno::ETOOMANYREFS.0);
/// That is over when somebody receives them.
const BETWEEN_TRIES: Duration = Duration::from_millis(5);
const MOST_TRIES: u32 = 400;

fn try_kick(number: u32) -> Result<()> {
    let table = PROCESSES.lock();
    let Some(process) = table.get(&number) else { return Ok(()) };
    if !process.reachable.load(Ordering::SeqCst) {
        // It looks at its work on its way to guest code.
        return Ok(());
    }
    if !process.registered.load(Ordering::Acquire) {
        let fd = HostFd(process.pidfd.load(Ordering::Acquire));
        match broker::simple(Op::Register, u64::from(number), &[], Some(fd)) {
            Ok(()) => process.registered.store(true, Ordering::Release),
            // The broker keeps no more of them. It is shown this one each time.
            Err(Error::TooManyFiles) => return broker::simple(Op::Kick, u64::from(number), &[], Some(fd)),
            Err(error) => return Err(error),
        }
    }
    drop(table);
    broker::simple(Op::Kick, u64::from(number), &[], None)
}
