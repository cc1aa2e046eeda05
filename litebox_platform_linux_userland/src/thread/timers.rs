//! Timers of the host: by them threads are kicked, and alarms go off.

use alloc::collections::BTreeMap;
use core::sync::atomic::Ordering;
use core::time::Duration;

use litebox::Result;
use litebox::platform::HostThread;
use litebox::sync::Mutex;

use crate::entry::trap::SIGKICK;
use crate::host::call::{host_call, nr};
use crate::host::clock::Timespec;
use crate::host::published::Published;
use crate::thread::host_process::HostProcess;

/// Timers of a process's alarms: (monotonic, CPU time), made when first used.
pub(crate) type Alarms = (Option<i32>, Option<i32>);

/// struct sigevent of the host.
#[repr(C)]
struct SigEvent {
    value: u64,
    signal: i32,
    notify: i32,
    tid: i32,
    pad: [i32; 11],
}

pub(crate) const NOTIFY_SIGNAL: i32 = 0;
const NOTIFY_THREAD: i32 = 4;
pub(crate) const CLOCK_MONOTONIC: i32 = 1;
pub(crate) const CLOCK_PROCESS_CPU: i32 = 2;

pub(crate) fn create_timer(clock: i32, notify: i32, tid: i32) -> Result<i32> {
    let event = SigEvent { value: 0, signal: SIGKICK, notify, tid, pad: [0; 11] };
    let mut id = 0i32;
    // SAFETY: the host reads the event and writes the id.
    unsafe { host_call!(nr::TIMER_CREATE, clock, &raw const event, &raw mut id) }?;
    Ok(id)
}

/// What a thread's handle for kicks is once it has left: nobody makes a timer for it any more.
pub(crate) const NO_MORE_KICKS: i32 = -1;

/// The handle for kicks of a thread of the calling process: the id + 1 of a timer that interrupts it, made at the first
/// kick, because most threads are never kicked. Not positive when it has left or when the host has no more timers: it
/// is interrupted at its next call then.
pub(crate) fn kick_timer(thread: &HostThread) -> i32 {
    let known = thread.kick_handle.load(Ordering::Acquire);
    let tid = thread.tid.load(Ordering::Acquire);
    if known != 0 || tid == 0 {
        return known;
    }
    let Ok(id) = create_timer(CLOCK_MONOTONIC, NOTIFY_THREAD, tid) else { return 0 };
    match thread.kick_handle.compare_exchange(0, id + 1, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => id + 1,
        Err(other) => {
            delete_timer(id);
            other
        }
    }
}

/// The thread goes on as another one of the host's: its timer would interrupt the wrong one.
pub(crate) fn forget_kicks(thread: &HostThread) {
    let handle = thread.kick_handle.swap(0, Ordering::AcqRel);
    if handle > 0 {
        delete_timer(handle - 1);
    }
}

pub(crate) fn delete_timer(id: i32) {
    // SAFETY: no pointers.
    let _ = unsafe { host_call!(nr::TIMER_DELETE, id) };
}

/// A timer that interrupts any thread of the calling process.
pub(crate) fn create_process_timer() -> Result<i32> {
    create_timer(CLOCK_MONOTONIC, NOTIFY_SIGNAL, 0)
}

/// Has a timer interrupt now.
pub(crate) fn fire(id: i32) {
    let _ = set_timer(id, false, Duration::from_nanos(1), Duration::ZERO);
}

/// How often an alarm that nobody took repeats itself.
pub(crate) const ALARM_REPEAT: Duration = Duration::from_millis(10);

/// Arms a timer; zero disarms. After the first time it fires every `again`, unless that is zero.
pub(crate) fn set_timer(id: i32, absolute: bool, at: Duration, again: Duration) -> Result<()> {
    let setting = [Timespec::from_duration(again), Timespec::from_duration(at)];
    // SAFETY: the host reads the setting.
    unsafe { host_call!(nr::TIMER_SETTIME, id, usize::from(absolute), setting.as_ptr(), 0) }.map(drop)
}

/// Those of all processes, by number.
pub(crate) static ALARMS: Published<Mutex<BTreeMap<u32, Alarms>>> = Published::nothing();
/// A kick of the whole process hit a thread that is past looking at work: another one is to take it.
pub(crate) fn forward_kick(home: &HostProcess) {
    let mut timer = home.forwarder.load(Ordering::Acquire);
    if timer == 0 {
        let Ok(id) = create_process_timer() else { return };
        timer = id + 1;
        home.forwarder.store(timer, Ordering::Release);
    }
    fire(timer - 1);
}
