//! `--preserve-fds`: descriptors that the caller left open for the program, from 3 on.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::FdFlags;

/// The first of them.
pub const FIRST: RawFd = 3;
/// So many at most: each sandbox has them in its table of descriptors.
pub const MOST: u32 = 1021;

/// The numbers of `count` descriptors.
pub fn numbers(count: u32) -> std::ops::Range<RawFd> {
    FIRST..FIRST.saturating_add_unsigned(count.min(MOST))
}

/// Whether all of them are open. No program of the host that is started from here on has them.
pub fn check(count: u32) -> Result<(), String> {
    set_flags(count, FdFlags::CLOEXEC)
}

/// The next program of the host that is started has them.
pub fn pass_on(count: u32) -> Result<(), String> {
    set_flags(count, FdFlags::empty())
}

fn set_flags(count: u32, flags: FdFlags) -> Result<(), String> {
    for number in numbers(count) {
        // SAFETY: the number is only asked about, and closed nowhere in this function.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::io::fcntl_setfd(descriptor, flags)
            .map_err(|_| format!("--preserve-fds {count}: descriptor {number} is not open"))?;
    }
    Ok(())
}

/// Takes them: each is open under another number, with what `F_GETFL` says of it, and its own is free.
pub fn take(count: u32) -> Result<Vec<(OwnedFd, u64)>, String> {
    let take = |number: RawFd| {
        // SAFETY: open since this program was executed and checked by `check`; nothing of ours has it, as descriptors
        // that others name in options are checked against these.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        let failed = |e| format!("--preserve-fds {count}: descriptor {number}: {e}");
        let moved =
            rustix::io::fcntl_dupfd_cloexec(&descriptor, FIRST.saturating_add_unsigned(count)).map_err(failed)?;
        // SAFETY: fcntl(2) with F_GETFL touches no memory.
        let flags = unsafe { libc::fcntl(moved.as_raw_fd(), libc::F_GETFL) };
        u64::try_from(flags).map(|flags| (moved, flags)).map_err(|_| failed(rustix::io::Errno::BADF))
    };
    numbers(count).map(take).collect()
}

/// Closes them: this process is not who they are for.
pub fn close(count: u32) {
    for number in numbers(count) {
        // SAFETY: as in `take`.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }
}
