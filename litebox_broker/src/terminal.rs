//! The terminal that `litebox` was started on: raw while the sandbox has it, and as it was afterwards, whatever happens.
//!
//! The sandbox makes lines, echo and signals itself, so it wants every byte that is typed. The settings come back when the sandbox ends, when
//! it stops by job control, and, by a small process that outlives this one, when this one is killed.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Lines for the user need a carriage return: their terminal adds none.
static RAW: AtomicBool = AtomicBool::new(false);

/// How a line for the user ends.
pub fn line_end() -> &'static str {
    if RAW.load(Ordering::Relaxed) { "\r\n" } else { "\n" }
}

/// A terminal and its settings when the sandbox was started.
pub struct Terminal {
    fd: OwnedFd,
    before: libc::termios,
    raw: bool,
    guard: Option<Guard>,
}

/// Whether this process is in the foreground of the terminal, so that it may change it.
pub fn is_in_foreground(terminal: BorrowedFd<'_>) -> bool {
    // SAFETY: plain system calls.
    unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) == libc::getpgrp() }
}

/// Whether this process belongs to the foreground job of its controlling terminal.
pub fn job_is_in_foreground() -> bool {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::open("/dev/tty", flags, Mode::empty()).is_ok_and(|terminal| is_in_foreground(terminal.as_fd()))
}

impl Terminal {
    /// Remembers the settings of a terminal; with `raw` changes them, too.
    pub fn take(terminal: BorrowedFd<'_>, raw: bool) -> Result<Self, Errno> {
        let fd = rustix::io::fcntl_dupfd_cloexec(terminal, 3)?;
        let mut before = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: tcgetattr(3) fills one struct; it is used only when it did.
        let before = unsafe {
            if libc::tcgetattr(fd.as_raw_fd(), before.as_mut_ptr()) != 0 {
                return Err(Errno::NOTTY);
            }
            before.assume_init()
        };
        let guard = Guard::start(&fd, &before);
        let taken = Self { fd, before, raw, guard };
        taken.resume();
        Ok(taken)
    }

    fn set(&self, settings: &libc::termios) {
        // SAFETY: reads one struct. A terminal that went away needs no settings.
        unsafe { libc::tcsetattr(self.fd.as_raw_fd(), libc::TCSANOW, settings) };
    }

    /// The settings of before: somebody else uses the terminal now.
    pub fn pause(&self) {
        RAW.store(false, Ordering::Relaxed);
        self.set(&self.before);
    }

    /// The sandbox uses it again.
    pub fn resume(&self) {
        if !self.raw {
            return;
        }
        let mut settings = self.before;
        // SAFETY: changes the struct alone.
        unsafe { libc::cfmakeraw(&raw mut settings) };
        // Reads answer at once.
        settings.c_cc[libc::VMIN] = 0;
        settings.c_cc[libc::VTIME] = 0;
        self.set(&settings);
        RAW.store(true, Ordering::Relaxed);
    }

    /// Whether the sandbox may use it at the moment.
    pub fn in_foreground(&self) -> bool {
        is_in_foreground(self.fd.as_fd())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It is ours no more, and the shell's if it has put us into the background: changing it from there stops the process.
        if self.in_foreground() {
            self.pause();
        }
        RAW.store(false, Ordering::Relaxed);
        self.guard.take();
    }
}

/// A process that waits for the end of this one.
struct Guard {
    pid: i32,
    /// Closed with this process.
    life: OwnedFd,
}

impl Guard {
    /// `None` where the host has no more processes: then only SIGKILL leaves the terminal as it is.
    fn start(terminal: &OwnedFd, before: &libc::termios) -> Option<Self> {
        let (waits, life) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).ok()?;
        // SAFETY: a fork of a process with one thread; the child makes system calls alone.
        let pid = unsafe { libc::fork() };
        match pid {
            0 => watch(terminal.as_raw_fd(), waits.as_raw_fd(), before),
            pid if pid > 0 => Some(Self { pid, life }),
            _ => None,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Said, so that the settings are not touched any more: the terminal is somebody else's from now on.
        let _ = rustix::io::write(&self.life, b".");
        // SAFETY: our own child, which ends at that byte. It may have been waited for already.
        unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
    }
}

/// The guard: ends when it is told to, or with the process that it watches; then the terminal gets its settings back.
fn watch(terminal: i32, life: i32, before: &libc::termios) -> ! {
    // SAFETY: system calls on constants, a buffer and a struct of this process.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"litebox-guard".as_ptr());
        // Signals for the group of the one it watches are not meant for it.
        libc::setpgid(0, 0);
        let mut all = MaybeUninit::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut());
        // Nothing is kept open but these two.
        libc::dup2(terminal, 0);
        libc::dup2(life, 1);
        libc::syscall(libc::SYS_close_range, 2, libc::c_uint::MAX, 0);
        let mut byte = 0u8;
        let n = loop {
            let n = libc::read(1, (&raw mut byte).cast(), 1);
            if n >= 0 || *libc::__errno_location() != libc::EINTR {
                break n;
            }
        };
        if n == 0 {
            libc::tcsetattr(0, libc::TCSANOW, before);
        }
        libc::_exit(0)
    }
}
