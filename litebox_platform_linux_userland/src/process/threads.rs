//! What the North asks of the host about threads and processes.

use core::sync::atomic::Ordering;
use core::time::Duration;

use litebox::platform::compat::{Segments, Vdso32};
use litebox::platform::north::north;
use litebox::platform::{AlarmClock, HostThread, System, ThreadSpec, Threads, Usage};
use litebox::sync::jitter;
use litebox::{Error, Result};

use crate::LinuxHost;
use crate::entry::compat;
use crate::host::broker;
use crate::host::call::{self, host_call, nr};
use crate::host::system::{AUX, AUX_FOR_GUESTS, FATAL, current_cpu};
use crate::host::thread_block::{ThreadBlock, current};
use crate::host::usage;
use crate::process::{supervisor, table, vfork_handoff, zygote};
use crate::thread::host_process;
use crate::thread::host_thread::{Founding, fatal, prepare, read_fs, start, write_fs};
use crate::thread::program_end::PROGRAM_END;
use crate::thread::segments::{self, RUNS_32BIT, TOLD_OF_32BIT};
use crate::thread::stack;
use crate::thread::timers::{
    ALARM_REPEAT, ALARMS, CLOCK_MONOTONIC, CLOCK_PROCESS_CPU, NO_MORE_KICKS, NOTIFY_SIGNAL, create_timer, delete_timer,
    kick_timer, set_timer,
};

/// The calling thread gives up its timer and the North's object. Kicks that still hit it go to other threads.
fn retire(block: &mut ThreadBlock) {
    // SAFETY: set by `fill_block`; the thread object lives until it is given back below.
    let host = unsafe { &*block.host };
    let handle = host.kick_handle.swap(NO_MORE_KICKS, Ordering::AcqRel);
    if handle > 0 {
        delete_timer(handle - 1);
    }
    jitter();
    host.alive.store(0, Ordering::Release);
    jitter();
    block.leaving = true;
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
    north().release(block.north);
}

fn enter_first(spec: &ThreadSpec<'_>) -> ! {
    let Some(process) = table::find(table::FIRST) else { fatal("the first process is not known") };
    if host_process::begin(&process).is_err() {
        table::exit(None);
    }
    let sp = Founding::prepare(&process, supervisor::own_tid()).found(spec);
    drop(process);
    // SAFETY: the stack just made; nothing of this one is used again.
    unsafe { start(sp) }
}

impl Threads for LinuxHost {
    fn spawn_thread(&self, spec: &ThreadSpec<'_>) -> Result<()> {
        // VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, PARENT_SETTID, CHILD_CLEARTID, CHILD_SETTID
        const FLAGS: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x10_0000 | 0x20_0000 | 0x100_0000;
        let Some(home) = current().and_then(|b| b.home()) else { return Err(Error::WouldBlock) };
        let (slot, block) = stack::allocate(home)?;
        let sp = prepare(slot, block, spec);
        let (parent_tid, child_tid) = (block.tid.as_ptr() as usize, block.alive.as_ptr() as usize);
        home.live.fetch_add(1, Ordering::AcqRel);
        // SAFETY: the stack is the new thread's own and holds its first function.
        unsafe { call::clone(FLAGS, sp, parent_tid, child_tid) }.map(drop).map_err(|_| {
            home.live.fetch_sub(1, Ordering::AcqRel);
            stack::give_back(home, slot);
            Error::WouldBlock
        })
    }

    fn spawn_process(&self, spec: &ThreadSpec<'_>) -> Result<()> {
        table::spawn(spec)
    }

    fn spawn_program(&self, spec: &ThreadSpec<'_>) -> Result<()> {
        zygote::spawn(spec)
    }

    fn began_as_copy(&self) -> bool {
        current().is_some_and(|block| block.founds)
    }

    fn hand_off_thread(&self, parent: &ThreadSpec<'_>, child: &ThreadSpec<'_>) -> Result<()> {
        vfork_handoff::hand_off(parent, child)
    }

    fn split_from_vfork_parent(&self) -> Result<()> {
        vfork_handoff::split()
    }

    fn enter_first(&self, spec: &ThreadSpec<'_>) -> ! {
        enter_first(spec)
    }

    fn exit_thread(&self) -> ! {
        if let Some(block) = current() {
            let home = block.home();
            retire(block);
            vfork_handoff::give_back(block);
            stack::leave(block);
            jitter();
            if let Some(home) = home {
                // From here on the process may end under this thread.
                home.live.fetch_sub(1, Ordering::SeqCst);
                if home.ending.load(Ordering::SeqCst) {
                    litebox::platform::Futex::futex_wake(&LinuxHost, &home.live, 1);
                }
            }
        }
        loop {
            // SAFETY: ends the thread.
            let _ = unsafe { host_call!(nr::EXIT, 0) };
        }
    }

    fn exit_process(&self) -> ! {
        let home = current().and_then(|block| {
            retire(block);
            block.home()
        });
        table::exit(home)
    }

    fn end_sandbox(&self, wait_status: i32) -> ! {
        PROGRAM_END.announce(wait_status);
        if !(FATAL.load(Ordering::Acquire) || PROGRAM_END.is_told_by_supervisor) {
            // Nothing is left to be done by the supervisor. Should the broker be gone, everything ends anyway.
            let _ = broker::exit(wait_status);
        }
        table::exit(None)
    }

    fn kick(&self, thread: &HostThread) {
        let own = current().map_or(0, |b| b.process);
        let process = thread.process.load(Ordering::Relaxed);
        if process != own {
            table::kick(process);
            return;
        }
        let handle = kick_timer(thread);
        if handle > 0 {
            let _ = set_timer(handle - 1, false, Duration::from_nanos(1), Duration::ZERO);
        }
    }

    fn current_north(&self) -> *const () {
        current().map_or(core::ptr::null(), |b| b.north)
    }

    fn fs_base(&self) -> u64 {
        read_fs()
    }
    fn set_fs_base(&self, base: u64) {
        write_fs(base);
    }
    fn gs_base(&self) -> u64 {
        current().filter(|b| b.segments.is_none()).map_or(0, |b| b.guest_gs)
    }
    fn set_gs_base(&self, base: u64) {
        if let Some(block) = current() {
            block.guest_gs = base;
        }
    }

    fn segments(&self) -> Option<Segments> {
        segments::current(current()?)
    }
    fn set_segments(&self, new: Option<Segments>) {
        if let Some(block) = current() {
            segments::set(block, new);
        }
    }
    fn vdso32(&self) -> Option<Vdso32> {
        if RUNS_32BIT.load(Ordering::Relaxed) {
            return Some(compat::vdso());
        }
        if !TOLD_OF_32BIT.swap(true, Ordering::Relaxed) {
            System::report(&LinuxHost, "this host runs no 32-bit programs (ia32_emulation, or a filter of its own)");
        }
        None
    }

    fn set_alarm(&self, clock: AlarmClock, deadline: Option<Duration>) {
        let process = current().map_or(0, |b| b.process);
        let mut alarms = ALARMS.lock();
        let timers = alarms.entry(process).or_default();
        let (slot, host_clock) = match clock {
            AlarmClock::Monotonic => (&mut timers.0, CLOCK_MONOTONIC),
            AlarmClock::ProcessCpu => (&mut timers.1, CLOCK_PROCESS_CPU),
        };
        let id = match *slot {
            Some(id) => id,
            None => match create_timer(host_clock, NOTIFY_SIGNAL, 0) {
                Ok(id) => *slot.insert(id),
                Err(_) => return,
            },
        };
        let begins = match clock {
            AlarmClock::Monotonic => Duration::ZERO,
            AlarmClock::ProcessCpu => usage::process_cpu_before(),
        };
        let at = deadline.map_or(Duration::ZERO, |d| d.saturating_add(begins).max(Duration::from_nanos(1)));
        let _ = set_timer(id, true, at, ALARM_REPEAT);
    }

    fn rseq(&self, addr: usize, len: u32, flags: i32, signature: u32) -> Result<()> {
        const UNREGISTER: i32 = 1;
        let block = current().ok_or(Error::NotSupported)?;
        let home = block.home().ok_or(Error::NotSupported)?;
        let registers = flags == 0 && block.rseq_area == 0;
        if registers {
            home.rseq.insert(addr);
        }
        // SAFETY: the host checks the guest's address and only ever writes that area.
        let result = unsafe { host_call!(nr::RSEQ, addr, len, flags, signature) }.map(drop);
        match result {
            Ok(()) if registers => block.rseq_area = addr,
            Err(_) if registers => home.rseq.remove(addr),
            Ok(()) if flags == UNREGISTER => home.rseq.remove(core::mem::take(&mut block.rseq_area)),
            _ => {}
        }
        result
    }

    fn aux_vector(&self, out: &mut [(u64, u64)]) -> usize {
        let entries = AUX.iter().filter(|(key, _)| AUX_FOR_GUESTS.contains(key));
        out.iter_mut().zip(entries).map(|(to, from)| *to = *from).count()
    }

    fn affinity(&self, out: &mut [u8]) -> usize {
        // SAFETY: the host writes at most the buffer's length.
        unsafe { host_call!(nr::SCHED_GETAFFINITY, 0, out.len() & !7, out.as_mut_ptr()) }.unwrap_or(0)
    }

    fn usage(&self, thread_only: bool) -> Usage {
        usage::own(thread_only)
    }

    fn current_cpu(&self) -> (u32, u32) {
        current_cpu()
    }

    fn thread_cpu(&self, thread: &HostThread) -> Option<Duration> {
        usage::of_thread(thread)
    }

    fn process_cpu(&self, thread: &HostThread) -> Option<(Duration, Duration)> {
        table::find(thread.process.load(Ordering::Relaxed))?.cpu()
    }
}
