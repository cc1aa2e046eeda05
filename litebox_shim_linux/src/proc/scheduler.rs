//! /proc/PID/sched, autogroup, syscall: what the scheduler of Linux tells of a thread.

use core::sync::atomic::Ordering;

use litebox::platform::{ClockId, host};
use litebox::{Error, Result};

use crate::task::credentials::Capability;

use super::current_thread;
use super::process::{ProcessView, name_of};
use super::times::Times;
use super::tree::{Text, put};

const SCHED_IDLE: i32 = 5;
/// Priority of a nice value of 0, as the kernel counts them.
const USUAL_PRIORITY: i32 = 120;
/// Weight of a thread by its nice value, from -20 on, and that of an idle one (sched(7): each step is a factor of
/// 1.25).
const WEIGHTS: [u64; 40] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121, 2501,
    1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15,
];
const IDLE_WEIGHT: u64 = 3;
const NANOS_OF_A_MILLI: u32 = 1_000_000;

/// Figures of the scheduler, as far as the sandbox knows them: how often a thread was switched and what it loads, the
/// host keeps to itself.
pub(super) fn sched(view: &ProcessView, out: &mut Text) {
    let thread = view.remains.as_ref();
    let (nice, policy) = thread.map_or((0, 0), |t| (t.scheduling.nice(), t.scheduling.policy()));
    let weight = match usize::try_from(nice + 20).ok().and_then(|at| WEIGHTS.get(at)) {
        _ if policy == SCHED_IDLE => IDLE_WEIGHT,
        weight => weight.copied().unwrap_or(IDLE_WEIGHT),
    };
    out.put(&name_of(view));
    let id = thread.map_or(view.process.pid, |t| t.tid());
    put!(out, " ({id}, #threads: {})\n{:-<67}\n", view.process.told_threads(), "");
    let used = Times::of(view).sum();
    for (name, time) in
        [("se.exec_start", host().now(ClockId::Boottime)), ("se.vruntime", used), ("se.sum_exec_runtime", used)]
    {
        let (millis, rest) = (time.as_millis(), time.subsec_nanos() % NANOS_OF_A_MILLI);
        put!(out, "{name:<45}:{millis:>14}.{rest:06}\n");
    }
    for (name, value) in [
        ("se.nr_migrations", 0),
        ("nr_switches", 0),
        ("nr_voluntary_switches", 0),
        ("nr_involuntary_switches", 0),
        ("se.load.weight", weight << 10),
    ] {
        put!(out, "{name:<45}:{value:>21}\n");
    }
    put!(out, "{:<45}:{policy:>21}\n{:<45}:{:>21}\n", "policy", "prio", USUAL_PRIORITY + nice);
}

/// Whatever is written sets back figures that count from the start; there are none.
pub(super) fn reset_sched(view: &ProcessView, _: &[u8]) -> Result<()> {
    view.thread.as_ref().map(drop).ok_or(Error::NoProcess)
}

/// The group that the threads of one session are scheduled in, and how nice it is.
pub(super) fn autogroup(view: &ProcessView, out: &mut Text) {
    let process = &view.process;
    let nice = process.session_nice.load(Ordering::Relaxed);
    put!(out, "/autogroup-{} nice {nice}\n", process.session.load(Ordering::Relaxed));
}

/// Kept and told: how sessions share the processor, the host decides.
pub(super) fn set_autogroup(view: &ProcessView, bytes: &[u8]) -> Result<()> {
    let text = core::str::from_utf8(bytes).map_err(|_| Error::Invalid)?;
    let nice: i32 = text.trim().parse().map_err(|_| Error::Invalid)?;
    if !(-20..=19).contains(&nice) {
        return Err(Error::Invalid);
    }
    if nice < 0 && !current_thread().is_some_and(|asker| asker.creds().can(Capability::SysNice)) {
        return Err(Error::NotPermitted);
    }
    let session = view.process.session.load(Ordering::Relaxed);
    for process in view.kernel.process_table.lock().processes() {
        if process.session.load(Ordering::Relaxed) == session {
            process.session_nice.store(nice, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// The call that a thread sleeps in: number, arguments, stack pointer and instruction pointer.
pub(super) fn syscall(view: &ProcessView, out: &mut Text) {
    let Some(thread) = &view.thread else {
        return put!(out, "-1 0x0 0x0\n");
    };
    let own = current_thread().is_some_and(|asker| asker.tid() == thread.tid());
    // Of one that waits in the host nothing was noted.
    if !own && !thread.waiter.asleep() {
        return put!(out, "running\n");
    }
    let call = if own { thread.call.own() } else { thread.call.of_sleeper() };
    match call.number {
        Some(number) => {
            put!(out, "{number}");
            for argument in call.arguments {
                put!(out, " {argument:#x}");
            }
        }
        None => put!(out, "-1"),
    }
    put!(out, " {:#x} {:#x}\n", call.stack, call.instruction);
}
