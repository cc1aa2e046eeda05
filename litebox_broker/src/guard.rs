//! The guard: a process that ends the sandbox when the broker ends without having done so (SIGKILL).
//!
//! The supervisor ends with the broker (PR_SET_PDEATHSIG), and with a pid namespace everything ends with it. Without
//! one there may be processes that nothing ties to anybody: fork(2) does not inherit the tie. What they cannot leave is
//! the supervisor's process group, because the filter has neither setsid(2) nor setpgid(2), and one signal reaches all
//! of a group, those that are being forked included. The guard belongs to the supervisor's session, so the number of
//! that group stays the sandbox's as long as it lives; but not to the group, so it is neither stopped nor killed with
//! it. It runs the broker's code with the broker's rights and holds one descriptor.

use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// Whether the process behind a pidfd has ended. Makes one system call.
pub fn has_ended(process: RawFd) -> bool {
    let mut poll = libc::pollfd { fd: process, events: libc::POLLIN, revents: 0 };
    // SAFETY: one struct.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}

/// Starts the guard of the calling process's group, as another child of its parent. `broker` is a pidfd; the guard
/// writes a byte to `ready` when nothing that is sent to the group concerns it any more. `None`: the host has no room
/// for it.
///
/// For the child between clone and execution, which leads its session and uses the memory of its parent: the guard gets
/// a copy of that.
pub fn start(broker: RawFd, ready: RawFd) -> Option<i32> {
    const FLAGS: libc::c_long = (libc::CLONE_PARENT | libc::SIGCHLD) as libc::c_long;
    // SAFETY: a fork: the new process goes on with a copy of this stack, and makes system calls alone.
    let pid = unsafe { libc::syscall(libc::SYS_clone, FLAGS, 0, 0, 0, 0) };
    match i32::try_from(pid) {
        Ok(0) => watch(broker, ready),
        Ok(pid) if pid > 0 => Some(pid),
        _ => None,
    }
}

/// Waits until the guard is ready. `false`: it is not, after a time in which it should be.
pub fn is_ready(ready: RawFd) -> bool {
    const PATIENCE: i32 = 5000;
    let mut poll = libc::pollfd { fd: ready, events: libc::POLLIN, revents: 0 };
    // SAFETY: one struct.
    unsafe { libc::poll(&raw mut poll, 1, PATIENCE) == 1 }
}

/// How often the group is killed at most, and the pause between: once is enough, but on kernels before 4.20 a fork can
/// escape that.
const ROUNDS: u32 = 200;
static PAUSE: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 10_000_000 };

fn watch(broker: RawFd, ready: RawFd) -> ! {
    // SAFETY: system calls on constants and on this process's own memory.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"litebox-guard".as_ptr());
        libc::setpgid(0, 0);
        let mut all = MaybeUninit::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut());
        libc::write(ready, b".".as_ptr().cast(), 1);
        libc::dup2(broker, 0);
        libc::syscall(libc::SYS_close_range, 1, libc::c_uint::MAX, 0);
        let mut poll = libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 };
        while libc::poll(&raw mut poll, 1, -1) != 1 {}
        let group = -libc::getsid(0);
        for _ in 0..ROUNDS {
            if libc::kill(group, libc::SIGKILL) < 0 {
                break;
            }
            libc::nanosleep(&raw const PAUSE, std::ptr::null_mut());
        }
        libc::_exit(0)
    }
}
