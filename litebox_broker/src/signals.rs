//! Signals to the broker: blocked, received through a descriptor, and passed on to the guest.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

/// Signals that are passed on to the guest.
const FORWARDED: [i32; 11] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGWINCH,
    libc::SIGTSTP,
    libc::SIGCONT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTTIN,
    libc::SIGALRM,
];

/// Signals received through a descriptor instead of handlers.
pub struct Signals {
    fd: OwnedFd,
    before: libc::sigset_t,
}

/// Whether whoever started this process had it ignore a signal (nohup(1), `trap '' INT`).
pub fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: fills one struct, which was zeroed.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

impl Signals {
    /// Blocks the forwarded signals and SIGCHLD, and receives them from now on. Those that are ignored stay so: nobody
    /// hears of them. SIGTTOU is blocked, too: a terminal stops nobody for writing to it.
    pub fn take() -> Result<Self, Errno> {
        let mut set = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: both sets are initialised by the calls that come first; signalfd returns a fresh descriptor.
        unsafe {
            // Who ignores it never hears of the ends of children, and cannot wait for them.
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            libc::sigemptyset(set.as_mut_ptr());
            for signal in FORWARDED.into_iter().filter(|signal| !is_ignored(*signal)).chain([libc::SIGCHLD]) {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            let mut blocked = set;
            libc::sigaddset(blocked.as_mut_ptr(), libc::SIGTTOU);
            libc::sigemptyset(before.as_mut_ptr());
            libc::sigprocmask(libc::SIG_BLOCK, blocked.as_ptr(), before.as_mut_ptr());
            let fd = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(Errno::MFILE);
            }
            Ok(Self { fd: OwnedFd::from_raw_fd(fd), before: before.assume_init() })
        }
    }
    /// What is readable when one came.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
    /// The mask as it was.
    pub fn mask_before(&self) -> &libc::sigset_t {
        &self.before
    }
    /// The next that came, if one did.
    pub fn next(&self) -> Option<i32> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `info` has room for `size` bytes; it is read only when all of them were written.
        unsafe {
            let n = libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size);
            (n == size as isize).then(|| info.assume_init().ssi_signo as i32)
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: sets the mask that was there.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}
