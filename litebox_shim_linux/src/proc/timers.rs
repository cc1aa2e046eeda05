//! /proc/PID/timers and timerslack_ns.

use core::sync::atomic::Ordering;

use litebox::{Error, Result};

use crate::syscalls::process::prctl::TIMER_SLACK;

use super::current_thread;
use super::process::ProcessView;
use super::tree::{Text, put};

/// The timers of timer_create(2), the newest first.
pub(super) fn timers(view: &ProcessView, out: &mut Text) {
    for timer in view.process.timers.list() {
        let (how, whom, id) = match timer.thread {
            Some(tid) => ("signal", "tid", tid),
            None if timer.signal == 0 => ("none", "pid", view.process.pid),
            None => ("signal", "pid", view.process.pid),
        };
        put!(out, "ID: {}\nsignal: {}/{:016x}\n", timer.id, timer.signal, timer.value);
        put!(out, "notify: {how}/{whom}.{id}\nClockID: {}\n", timer.clock);
    }
}

pub(super) fn slack(view: &ProcessView, out: &mut Text) {
    let slack = view.remains.as_ref().map_or(TIMER_SLACK, |t| t.timer_slack.load(Ordering::Relaxed));
    put!(out, "{slack}\n");
}

/// Everybody may set their own; that of others needs CAP_SYS_NICE, which nobody has here.
pub(super) fn set_slack(view: &ProcessView, bytes: &[u8]) -> Result<()> {
    let text = core::str::from_utf8(bytes).map_err(|_| Error::Invalid)?;
    let wanted: u64 = text.trim_end_matches('\n').parse().map_err(|_| Error::Invalid)?;
    let thread = view.thread.as_ref().ok_or(Error::NoProcess)?;
    if !current_thread().is_some_and(|asker| core::ptr::eq(&raw const *asker, &raw const **thread)) {
        return Err(Error::NotPermitted);
    }
    let first = thread.first_timer_slack.load(Ordering::Relaxed);
    thread.timer_slack.store(if wanted == 0 { first } else { wanted }, Ordering::Relaxed);
    Ok(())
}
