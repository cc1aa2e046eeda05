//! The supervisor: the sandbox's own process that guest processes are cloned from. It watches host descriptors for
//! them, hears the broker's events, and sees guest processes end.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, Ordering};
use core::time::Duration;

use litebox::platform::north::north;
use litebox::platform::{Clock, System};
use litebox::{Error, Result};
use litebox_common_linux::abi::signal::SIGKILL;
use litebox_protocol::net::MAX_NET_EVENT;
use litebox_protocol::{Event, EventKind, Op};
use zerocopy::{FromBytes, IntoBytes};

use crate::LinuxHost;
use crate::host::broker;
use crate::host::call::{self, host_call, nr};
use crate::host::counters::COUNTERS;
use crate::host::files::{EPOLL, EPOLL_CTL_ADD, EpollEvent, SUPERVISOR_COUNTER};
use crate::host::filter::PIDFD_GET_INFO;
use crate::host::published::Published;
use crate::host::system::FATAL;
use crate::process::table;
use crate::process::zygote::{ZYGOTES, touch_heap};
use crate::thread::host_process::HostProcess;
use crate::thread::program_end::PROGRAM_END;

/// Tokens of the supervisor's own descriptors; watches of the North count up from zero.
const TOKEN_EVENTS: u64 = u64::MAX;
const TOKEN_ZYGOTES: u64 = u64::MAX - 1;
/// With the address of a [`HostProcess`], which is in the table of processes until the supervisor has seen its end.
pub(crate) const TOKEN_PROCESS: u64 = 1 << 62;
const EPOLLIN: u32 = 1;
/// A pause of epoll_wait(2) without an end, and the longest one with an end that is used.
const FOREVER: usize = usize::MAX;
const MOST_PAUSE: usize = 1 << 20;
/// How long guests that are killed may take before what they changed is told; and milliseconds between two looks.
const LAST_WAIT: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: usize = 50;
/// Exit status when the sandbox itself broke.
const OUR_FAILURE: i32 = 70;
const MSG_DONTWAIT: usize = 0x40;
/// Events of programs that the user starts in the sandbox.
const PROGRAM_EVENTS: [EventKind; 4] =
    [EventKind::Stream, EventKind::Start, EventKind::ProgramSignal, EventKind::ProgramWindow];

/// The socket on which the broker sends events.
pub(crate) static EVENTS: Published<i32> = Published::nothing();
/// Host thread id of the first guest process, written by the host when it is cloned.
pub(crate) static FIRST_TID: Published<AtomicI32> = Published::nothing();

/// What runs in the first guest process; it must end in `Threads::enter_first` or an exit.
pub trait FirstProcess {
    /// Never returns.
    fn run(&self) -> !;
}

/// Host thread id of a process just cloned: written by the host during the clone.
pub(crate) fn own_tid() -> i32 {
    FIRST_TID.load(Ordering::Acquire)
}

/// Has the supervisor hear of events on `fd`.
pub(crate) fn watch(fd: i32, token: u64) -> Result<()> {
    let mut event = EpollEvent { events: EPOLLIN, token };
    // SAFETY: the host reads one event.
    unsafe { host_call!(nr::EPOLL_CTL, EPOLL.0, EPOLL_CTL_ADD, fd, &raw mut event) }.map(drop)
}

/// Clones the first guest process, serves the sandbox until it has ended, and ends with it.
pub fn supervise(first: &impl FirstProcess) -> ! {
    let code = serve(first).unwrap_or(OUR_FAILURE);
    loop {
        // SAFETY: ends the process, by the gadget: libc's own way out would be caught as a guest's call.
        let _ = unsafe { host_call!(nr::EXIT_GROUP, code) };
    }
}

fn serve(first: &impl FirstProcess) -> Result<i32> {
    // FILES, PIDFD, CHILD_SETTID, and SIGCHLD as exit signal.
    const FLAGS: usize = 0x400 | 0x1000 | 0x100_0000 | 0x11;
    let process = table::register()?;
    let tid = FIRST_TID.as_ptr() as usize;
    // SAFETY: a fork: the child goes on with a copy of this stack. The host writes the pidfd and, in shared memory, the
    // id.
    let child = match unsafe { call::clone(FLAGS, 0, process.pidfd.as_ptr() as usize, tid) } {
        Ok(0) => {
            litebox::sync::begin_process(process.serial);
            touch_heap();
            first.run()
        }
        Err(Error::WouldBlock) => return no_room_for_first(),
        other => other.map(drop),
    };
    child?;
    table::watch_end(&process)?;
    drop(process);
    watch(*EVENTS, TOKEN_EVENTS)?;
    watch(SUPERVISOR_COUNTER.0, TOKEN_ZYGOTES)?;
    let mut heard = Vec::new();
    loop {
        match wait_once(&mut heard, FOREVER)? {
            None => {}
            Some(End::Broken) => return Ok(OUR_FAILURE),
            Some(End::Announced) => return close_down(&mut heard),
        }
    }
}

/// The host makes no process for the program: no sandbox can be had here.
fn no_room_for_first() -> Result<i32> {
    const STATUS_OURS: u64 = 125;
    LinuxHost.report("cannot start the sandbox: the host lets this user have no more processes (see ulimit -u)");
    broker::simple(Op::Exit, STATUS_OURS << 8, &[], None)?;
    Ok(0)
}

/// How a sandbox ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The first program has ended.
    Announced,
    /// Our own failure, of which the broker was told.
    Broken,
}

/// The program has ended: does what is still to be done, and tells the broker how it ended.
fn close_down(heard: &mut Vec<u8>) -> Result<i32> {
    north().ending();
    let deadline = LinuxHost.instant().saturating_add(LAST_WAIT);
    let mut pause = 1;
    while !north().end_all() && LinuxHost.instant() < deadline {
        if wait_once(heard, pause)? == Some(End::Broken) {
            return Ok(OUR_FAILURE);
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    north().tell_changes();
    if COUNTERS.wanted {
        broker::simple(Op::Stats, 0, crate::process::figures::figures().as_bytes(), None)?;
    }
    broker::exit(PROGRAM_END.status())?;
    Ok(0)
}

/// One round of events, for which it waits so many milliseconds at most; says when the sandbox has ended.
fn wait_once(heard: &mut Vec<u8>, wait: usize) -> Result<Option<End>> {
    const BATCH: usize = 16;
    let mut events = [EpollEvent::default(); BATCH];
    let pause = pause().min(wait);
    // SAFETY: the host writes at most BATCH events.
    let count = match unsafe { host_call!(nr::EPOLL_WAIT, EPOLL.0, events.as_mut_ptr(), BATCH, pause) } {
        Err(Error::Interrupted) => 0,
        other => other?,
    };
    for event in events.iter().take(count).copied() {
        let (token, ready) = (event.token, event.events);
        match token {
            TOKEN_EVENTS => hear_broker(heard)?,
            TOKEN_ZYGOTES => crate::process::zygote::refill()?,
            _ if token & TOKEN_PROCESS != 0 => {
                // SAFETY: the token of a process that was watched, whose end is told once.
                let process = unsafe { &*((token & !TOKEN_PROCESS) as *const HostProcess) };
                if let Some(end) = process_ended(process)? {
                    return Ok(Some(end));
                }
            }
            _ => north().host_ready(token, (ready & 0xffff) as u16),
        }
    }
    // What came may say that nothing is due any more, so it is heard first.
    if pause != FOREVER {
        north().due();
    }
    Ok(None)
}

/// For how many milliseconds the supervisor may sleep.
fn pause() -> usize {
    const MILLISECOND: u128 = 1_000_000;
    let Some(deadline) = north().deadline() else { return FOREVER };
    let left = deadline.saturating_since(LinuxHost.instant()).as_nanos().div_ceil(MILLISECOND);
    usize::try_from(left).unwrap_or(MOST_PAUSE).min(MOST_PAUSE)
}

/// Hears what the broker has to tell, all of it. `heard` is kept for the next time.
fn hear_broker(heard: &mut Vec<u8>) -> Result<()> {
    loop {
        heard.clear();
        heard.reserve(MAX_NET_EVENT);
        let passed = match broker::receive_to(*EVENTS, heard, MSG_DONTWAIT) {
            Ok(passed) if !heard.is_empty() => passed,
            Err(Error::WouldBlock) => return Ok(()),
            // The broker is gone; without it there is nothing left to serve.
            _ => return Err(Error::BrokenPipe),
        };
        match Event::read_from_bytes(heard) {
            Ok(event) if event.kind == EventKind::Signal as u32 => {
                north().outside_signal(i32::try_from(event.value).unwrap_or(0));
                // Nobody waits for an answer, and a broker that is gone is heard of here.
                let _ = broker::simple(Op::Heard, event.value, b"", None);
            }
            Ok(event) if event.kind == EventKind::OutOfMemory as u32 => {
                relieve_memory(i32::try_from(event.value).unwrap_or(0));
            }
            Ok(event) if PROGRAM_EVENTS.iter().any(|kind| event.kind == *kind as u32) => {
                north().program_event(&event, passed);
            }
            _ => north().network_event(heard, passed),
        }
    }
}

/// The memory limit is reached: kills the guest in the host process with this id. When there is none, the broker finds
/// out.
fn relieve_memory(id: i32) {
    let Some((pid, name)) = table::number_of(id).and_then(|number| north().out_of_memory(number)) else { return };
    let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let _ = broker::simple(Op::Killed, u64::from(pid.unsigned_abs()), name.get(..len).unwrap_or_default(), None);
}

/// What PIDFD_GET_INFO tells of a process that has ended (`struct pidfd_info`, Linux 6.15).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// The signal by which a process died that nobody in the sandbox has ended: SIGSEGV where the host found a bad rseq
/// area. SIGKILL where the host does not tell.
fn death_of(process: &HostProcess) -> i32 {
    const PIDFD_INFO_EXIT: u64 = 8;
    /// The host tells of the end a moment before it can say more.
    const TRIES: u32 = 20;
    const MILLISECOND: usize = 1;
    let pidfd = process.pidfd.load(Ordering::Acquire);
    for _ in 0..TRIES {
        let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
        // SAFETY: the host reads and writes one struct.
        let told = unsafe { host_call!(nr::IOCTL, pidfd, PIDFD_GET_INFO, &raw mut info) };
        match told {
            Ok(_) if info.mask & PIDFD_INFO_EXIT != 0 => {
                return Some(info.exit_code & 0x7f).filter(|s| *s != 0).unwrap_or(SIGKILL);
            }
            Ok(_) => {}
            Err(_) => break,
        }
        // SAFETY: waits for nothing but the time.
        let _ = unsafe { host_call!(nr::POLL, 0, 0, MILLISECOND) };
    }
    SIGKILL
}

/// A guest process ended. Says when the sandbox ends with it.
fn process_ended(process: &HostProcess) -> Result<Option<End>> {
    if FATAL.load(Ordering::Acquire) {
        broker::simple(Op::Fatal, 0, b"", None)?;
        return Ok(Some(End::Broken));
    }
    if PROGRAM_END.is_announced() {
        // Its descriptor goes: nobody is to hear of it again.
        table::note_end(process);
        table::forget_ended(process);
        return Ok(Some(End::Announced));
    }
    let number = process.number;
    // Before the descriptor goes.
    let death = if process.was_told_to_end() { SIGKILL } else { death_of(process) };
    // As long as it is in the table, no other has its number.
    let is_over = table::note_end(process) || ZYGOTES.forget(number) || north().process_lost(number, death);
    table::forget_ended(process);
    if is_over {
        return Ok(None);
    }
    LinuxHost.report("a process was killed from outside, and the host has no room for another that ends its program");
    broker::simple(Op::Fatal, 0, b"", None)?;
    Ok(Some(End::Broken))
}
