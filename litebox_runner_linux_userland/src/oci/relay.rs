//! A process that stands for another: it passes signals on, and ends as the other does.

use std::io;

/// Signals that are held back while one waits.
pub struct Held {
    all: libc::sigset_t,
    before: libc::sigset_t,
}

/// Holds back all signals of this process, which must have one thread.
pub fn hold() -> io::Result<Held> {
    // SAFETY: both sets are written before they are read.
    unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        // Another program that ends is told, whatever was inherited.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        match libc::sigprocmask(libc::SIG_SETMASK, &raw const all, &raw mut before) {
            0 => Ok(Held { all, before }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Held {
    /// Signals come again as they did before; for the other process, before it becomes something else.
    pub fn release(&self) {
        // SAFETY: a set that the host filled.
        unsafe {
            libc::sigprocmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut());
        }
    }

    /// Waits for a child of this process. The exit status, as a shell has it.
    pub fn wait(&self, child: libc::pid_t) -> io::Result<u8> {
        loop {
            if let Some(status) = ended(child)? {
                return Ok(status);
            }
            // SAFETY: the host writes what came.
            let (signal, from) = unsafe {
                let mut what: libc::siginfo_t = std::mem::zeroed();
                (libc::sigwaitinfo(&raw const self.all, &raw mut what), what.si_code)
            };
            // What a terminal sends goes to the whole group.
            if signal > 0 && signal != libc::SIGCHLD && from != libc::SI_KERNEL {
                // SAFETY: a number; the child is not waited for yet, so that it is nobody else's.
                unsafe {
                    libc::kill(child, signal);
                }
            }
        }
    }
}

/// The exit status of a child, once it has one.
fn ended(child: libc::pid_t) -> io::Result<Option<u8>> {
    let mut status = 0;
    // SAFETY: the host writes a number.
    match unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } {
        0 => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        _ if libc::WIFEXITED(status) => Ok(u8::try_from(libc::WEXITSTATUS(status)).ok()),
        _ => Ok(Some(u8::try_from(128 + libc::WTERMSIG(status)).unwrap_or(u8::MAX))),
    }
}
