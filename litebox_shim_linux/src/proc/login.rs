//! /proc/PID/loginuid and sessionid: who logged in (pam_loginuid(8)). Said once, it stays; children inherit it.

use core::sync::atomic::Ordering;

use litebox::{Error, Result};

use crate::Process;

use super::is_own;
use super::process::ProcessView;
use super::tree::{Text, put};

/// Nobody has.
const UNSET: u32 = u32::MAX;

fn user_of(process: &Process) -> u32 {
    process.login.user.load(Ordering::Relaxed)
}

pub(super) fn user(view: &ProcessView, out: &mut Text) {
    put!(out, "{}", user_of(&view.process));
}

pub(super) fn session(view: &ProcessView, out: &mut Text) {
    put!(out, "{}", view.process.login.session.load(Ordering::Relaxed));
}

pub(super) fn set_user(view: &ProcessView, bytes: &[u8]) -> Result<()> {
    if !is_own(&view.process) {
        return Err(Error::NotPermitted);
    }
    let text = core::str::from_utf8(bytes).map_err(|_| Error::Invalid)?;
    let user: u32 = text.trim_end_matches('\n').parse().map_err(|_| Error::Invalid)?;
    let login = &view.process.login;
    // To say it anew needs CAP_AUDIT_CONTROL, which nobody has here.
    let first = login.user.compare_exchange(UNSET, user, Ordering::Relaxed, Ordering::Relaxed);
    first.map_err(|_| Error::NotPermitted)?;
    if user != UNSET {
        let session = view.kernel.login_sessions.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        login.session.store(session, Ordering::Relaxed);
    }
    Ok(())
}
