//! The terminal that `litebox` was started on. The sandbox can write to it; what is typed, and its settings, are the
//! broker's business, who follows the rules of job control: in the background nothing is read and nothing changed, and
//! a program that wants to stops (SIGTTIN, SIGTTOU), as any other does.
//!
//! As the *console* it is raw while the sandbox is in the foreground: that one makes lines, echo and signals itself.
//! Else it is as the user has it, but for what programs set. Its settings come back when the sandbox ends, when it
//! stops, and, by a small process that outlives this one, when this one is killed.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use litebox_protocol::{MAX_TYPED, TERMIOS_SIZE};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::process;

/// Lines for the user need a carriage return: their terminal adds none.
static RAW: AtomicBool = AtomicBool::new(false);

/// How a line for the user ends.
pub fn line_end() -> &'static str {
    if RAW.load(Ordering::Relaxed) { "\r\n" } else { "\n" }
}

/// A terminal, and its settings before the sandbox changed them.
pub struct Terminal {
    fd: OwnedFd,
    /// Which terminal it is.
    device: u64,
    /// What is read; `None`: the user has redirected stdin, so nobody reads the terminal.
    input: Option<OwnedFd>,
    /// It is the console.
    console: bool,
    /// What comes back, while it is changed.
    changed: Option<(libc::termios, Option<Guard>)>,
}

/// Whether this process may use its terminal at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// It may. So it may where there is no job control, because the terminal controls another session.
    Foreground,
    /// Whoever reads it or changes it stops.
    Background,
}

impl Place {
    /// The place of this process at `terminal`.
    pub fn at(terminal: BorrowedFd<'_>) -> Self {
        // SAFETY: plain system calls.
        match unsafe { (libc::tcgetpgrp(terminal.as_raw_fd()), libc::getpgrp()) } {
            (foreground, own) if foreground >= 0 && foreground != own => Self::Background,
            _ => Self::Foreground,
        }
    }
}

/// Whether the terminal controls the session of this process, so that job control works there.
pub fn controls_us(terminal: BorrowedFd<'_>) -> bool {
    // SAFETY: a plain system call.
    unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) >= 0 }
}

/// Whether this process belongs to the foreground job of its controlling terminal.
pub fn job_is_in_foreground() -> bool {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::open("/dev/tty", flags, Mode::empty())
        .is_ok_and(|terminal| Place::at(terminal.as_fd()) == Place::Foreground)
}

impl Terminal {
    /// Takes a terminal. `reads`: what is typed there is for the sandbox. The console becomes raw, at once or when it
    /// comes to the foreground.
    pub fn take(terminal: BorrowedFd<'_>, reads: bool, console: bool) -> Result<Self, Errno> {
        let fd = rustix::io::fcntl_dupfd_cloexec(terminal, 3)?;
        let device = rustix::fs::fstat(&fd)?.st_rdev;
        let input = if reads {
            Some(open_anew(&fd).map_or_else(|| fd.try_clone().map_err(|_| Errno::MFILE), Ok)?)
        } else {
            None
        };
        let mut taken = Self { fd, device, input, console, changed: None };
        taken.settings()?;
        taken.resume();
        Ok(taken)
    }

    fn settings(&self) -> Result<libc::termios, Errno> {
        let mut settings = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: tcgetattr(3) fills one struct; it is used only when it did.
        unsafe {
            if libc::tcgetattr(self.fd.as_raw_fd(), settings.as_mut_ptr()) != 0 {
                return Err(Errno::NOTTY);
            }
            Ok(settings.assume_init())
        }
    }

    fn set(&self, settings: &libc::termios) {
        // SAFETY: reads one struct. A terminal that went away needs no settings.
        unsafe { libc::tcsetattr(self.fd.as_raw_fd(), libc::TCSANOW, settings) };
    }

    /// Remembers the settings, if they are still those of before.
    fn about_to_change(&mut self) -> Result<(), Errno> {
        if self.changed.is_none() {
            let before = self.settings()?;
            self.changed = Some((before, Guard::start(&self.fd, &before)));
        }
        Ok(())
    }

    /// The settings of before: somebody else uses the terminal now.
    pub fn pause(&mut self) {
        RAW.store(false, Ordering::Relaxed);
        if let Some((before, guard)) = self.changed.take() {
            self.set(&before);
            drop(guard);
        }
    }

    /// The sandbox uses it again, if it is in the foreground.
    pub fn resume(&mut self) {
        if !self.console || self.place() == Place::Background || self.about_to_change().is_err() {
            return;
        }
        let Some((before, _)) = &self.changed else { return };
        let mut settings = *before;
        // SAFETY: changes the struct alone.
        unsafe { libc::cfmakeraw(&raw mut settings) };
        // Reads answer at once.
        settings.c_cc[libc::VMIN] = 0;
        settings.c_cc[libc::VTIME] = 0;
        self.set(&settings);
        RAW.store(true, Ordering::Relaxed);
    }

    /// The sandbox is in the foreground and uses it: perhaps the first time since it was not.
    pub fn claim(&mut self) {
        if self.changed.is_none() {
            self.resume();
        }
    }

    /// Whether the sandbox may use it at the moment.
    pub fn place(&self) -> Place {
        Place::at(self.fd.as_fd())
    }

    /// Whether descriptor `number` of this process, a standard stream, leads to it.
    pub fn is_behind(&self, number: u32) -> bool {
        let Some(number) = i32::try_from(number).ok().filter(|number| *number <= 2) else { return false };
        // SAFETY: 0 to 2 stay open: the standard library opens them where the user did not.
        let stream = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::fs::fstat(stream)
            .is_ok_and(|stat| stat.st_rdev == self.device && stat.st_mode & libc::S_IFMT == libc::S_IFCHR)
    }

    /// Whether what is typed is for the sandbox.
    pub fn may_be_read(&self) -> bool {
        self.input.is_some()
    }

    /// What was typed, at most `most` bytes; none at its end. To be called in the foreground.
    pub fn read(&self, most: usize) -> Result<Vec<u8>, Errno> {
        let input = self.input.as_ref().ok_or(Errno::IO)?;
        if !has_input(input.as_fd()) {
            return Err(Errno::AGAIN);
        }
        let mut typed = vec![0; most];
        // Its own open file does not block. Where there is none, only somebody else in the foreground who reads at the
        // same moment could make it.
        let n = rustix::io::read(input, typed.as_mut_slice())?;
        typed.truncate(n);
        // Raw, it answers so when there is nothing.
        if n == 0 && self.console { Err(Errno::AGAIN) } else { Ok(typed) }
    }

    /// Changes the settings as a program asks, `when` tcsetattr(3) says. To be called in the foreground.
    pub fn change(&mut self, settings: &[u8; TERMIOS_SIZE], when: u64) -> Result<(), Errno> {
        let request = [libc::TCSETS, libc::TCSETSW, libc::TCSETSF];
        let request = usize::try_from(when).ok().and_then(|when| request.get(when)).ok_or(Errno::INVAL)?;
        // Whoever has the console changes a terminal of the sandbox.
        if self.console {
            return Err(Errno::IO);
        }
        self.about_to_change()?;
        // SAFETY: the request reads `struct termios` of the kernel, which has as many bytes.
        if unsafe { libc::ioctl(self.fd.as_raw_fd(), *request, settings.as_ptr()) } < 0 {
            return Err(Errno::IO);
        }
        Ok(())
    }

    /// Reads what nobody has read; whether a key that ends programs is in it (^C, ^\\).
    pub fn was_told_to_end(&self) -> bool {
        let Some((before, _)) = &self.changed else { return false };
        let keys = [before.c_cc[libc::VINTR], before.c_cc[libc::VQUIT]];
        let typed = self.read(MAX_TYPED).unwrap_or_default();
        typed.iter().any(|byte| *byte != 0 && keys.contains(byte))
    }

    /// What is read, while it is the console and in use.
    pub fn raw_input(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().filter(|_| self.console && self.changed.is_some()).map(AsFd::as_fd)
    }

    /// Whether something was typed that nobody has read.
    pub fn has_input(&self) -> bool {
        self.input.as_ref().is_some_and(|input| has_input(input.as_fd()))
    }
}

fn has_input(input: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: input.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one struct.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}

/// The same terminal as an open file of its own that does not block: what is set at the user's is everybody's who has
/// it.
fn open_anew(terminal: &OwnedFd) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", terminal.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It is ours no more, and the shell's if it has put us into the background: changing it from there stops the
        // process.
        if self.place() == Place::Foreground {
            self.pause();
        }
        RAW.store(false, Ordering::Relaxed);
    }
}

/// Whether a signal of job control stops this process: it is not ignored, and somebody is left who could continue it
/// (an orphaned group has nobody).
pub fn can_stop(signal: i32) -> bool {
    // SAFETY: plain system calls.
    let (group, session) = unsafe { (libc::getpgrp(), libc::getsid(0)) };
    if crate::signals::is_ignored(signal) {
        return false;
    }
    // SAFETY: as above.
    let mut parent = unsafe { libc::getppid() };
    while parent > 1 {
        // SAFETY: as above.
        let (its_group, its_session) = unsafe { (libc::getpgid(parent), libc::getsid(parent)) };
        if its_session != session {
            return false;
        }
        if its_group != group {
            return true;
        }
        let Some(next) = process::parent_of(parent) else { return false };
        parent = next;
    }
    false
}

/// Stops the job of this process as the terminal does, unless it has come to the foreground; returns when somebody
/// continues it. A shell gives the terminal to a job before it sends SIGCONT, and SIGCONT takes a pending stop back: so
/// the signal is pending while one looks.
pub fn stop_job(signal: i32, place: impl Fn() -> Place) {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialised first; plain system calls. The signal is blocked by `Signals`, and is again
    // afterwards.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::kill(0, signal);
        if place() == Place::Foreground {
            libc::kill(0, libc::SIGCONT);
            return;
        }
        let mut before = MaybeUninit::uninit();
        libc::sigprocmask(libc::SIG_UNBLOCK, set.as_ptr(), before.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
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
        // SAFETY: the child makes system calls alone.
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
