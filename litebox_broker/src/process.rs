//! Processes of the sandbox as the broker sees them: pidfds, ancestry, and their end.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::beneath::Result;

fn check(result: libc::c_long) -> Result<libc::c_long> {
    if result >= 0 {
        return Ok(result);
    }
    Err(std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
}

/// Sends `signal` to the process behind a pidfd.
pub fn send_signal(process: BorrowedFd<'_>, signal: i32) -> Result<()> {
    // SAFETY: pidfd_send_signal(2) with a null siginfo touches no memory of ours.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, 0, 0) }).map(drop)
}

/// Refuses a descriptor that is not a pidfd of a process which descends from `ancestor`.
///
/// The sandbox can make pidfds only by clone(2), so this is a second lock on the door; without /proc the first has to
/// do.
pub fn check_descends(process: BorrowedFd<'_>, ancestor: i32) -> Result<()> {
    let Ok(info) = fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd())) else {
        return send_signal(process, 0);
    };
    let mut pid = field(&info, "Pid:").ok_or(Errno::INVAL)?;
    for _ in 0..64 {
        if pid == ancestor {
            return Ok(());
        }
        if pid <= 1 {
            return Err(Errno::PERM);
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| Errno::SRCH)?;
        pid = field(&status, "PPid:").ok_or(Errno::SRCH)?;
    }
    Err(Errno::PERM)
}

fn field(text: &str, name: &str) -> Option<i32> {
    text.lines().find_map(|l| l.strip_prefix(name)).and_then(|v| v.trim().parse().ok())
}

/// Refuses a descriptor that is not a seccomp listener.
pub fn check_listener(fd: BorrowedFd<'_>) -> Result<()> {
    // SECCOMP_IOCTL_NOTIF_ID_VALID: ENOENT for an id that does not exist, ENOTTY or the like on anything else.
    let id = 0u64;
    // SAFETY: the request reads one u64 from `id`.
    match check(unsafe { libc::ioctl(fd.as_raw_fd(), SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) }.into()) {
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(_) => Err(Errno::INVAL),
    }
}

const SECCOMP_IOCTL_NOTIF_RECV: libc::Ioctl = 0xc050_2100;
const SECCOMP_IOCTL_NOTIF_ID_VALID: libc::Ioctl = 0x4008_2102;

/// A host call that the sandbox's filter refused.
pub struct RefusedCall {
    /// Its number.
    pub number: i32,
    /// `AUDIT_ARCH_*` of the entry it came through.
    pub arch: u32,
}

/// Takes one notification of the filter. The call stays unanswered: its thread never goes on.
pub fn refused_call(listener: BorrowedFd<'_>) -> Result<RefusedCall> {
    // SAFETY: seccomp_notif is plain data; the kernel wants it zeroed.
    let mut notif: libc::seccomp_notif = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the request fills one seccomp_notif.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_RECV, &raw mut notif) }.into())?;
    Ok(RefusedCall { number: notif.data.nr, arch: notif.data.arch })
}

/// Whose child a process is; `None` without /proc.
pub fn parent_of(pid: i32) -> Option<i32> {
    field(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "PPid:")
}

/// The processes of a sandbox, by which it is ended. Both are children of the broker that nobody else waits for, so
/// their numbers stay theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sandboxed {
    /// It leads a session and a process group that its descendants cannot leave: the filter has no setsid and no
    /// setpgid.
    pub supervisor: i32,
    /// In the same session: as long as it is there, the number of the group cannot become anybody else's. `None`: the
    /// supervisor is the first process of a pid namespace, which ends with it.
    pub guard: Option<i32>,
}

/// How long the host may take to end processes that were killed: those that wait for a disk cannot be.
const LAST_WAIT: Duration = Duration::from_secs(10);
const LAST_PAUSE: Duration = Duration::from_micros(200);

impl Sandboxed {
    /// Sends a signal to all processes of the sandbox at once: none of them can escape by forking meanwhile.
    pub fn signal_all(&self, signal: i32) {
        if self.supervisor > 0 {
            // SAFETY: kill(2) touches no memory.
            unsafe { libc::kill(-self.supervisor, signal) };
        }
    }

    /// Kills everything that the sandbox made, and nothing else, and waits for its end. The broker is a subreaper:
    /// orphans of the sandbox become its children. To be called once; `false`: the host has not ended all of it.
    pub fn end(&self) -> bool {
        self.signal_all(libc::SIGKILL);
        // SAFETY: kill(2) and waitpid(2) touch no memory but `status`; the numbers are those of our own children, not
        // waited for yet. The supervisor was just killed, so its end comes.
        unsafe {
            libc::kill(self.supervisor, libc::SIGKILL);
            let mut status = 0;
            while libc::waitpid(self.supervisor, &raw mut status, libc::__WALL) < 0 && interrupted() {}
        }
        let Some(guard) = self.guard else { return true };
        let ended = self.end_orphans();
        // SAFETY: as above; the guard holds nothing, so it can always be killed.
        unsafe {
            libc::kill(guard, libc::SIGKILL);
            let mut status = 0;
            while libc::waitpid(guard, &raw mut status, libc::__WALL) < 0 && interrupted() {}
        }
        ended
    }

    /// Kills and waits until nobody of the group is left, whoever's child it is.
    fn end_orphans(&self) -> bool {
        let deadline = Instant::now() + LAST_WAIT;
        loop {
            let mut status = 0;
            // SAFETY: touches no memory but `status`. Children of that group are the sandbox's.
            let reaped = unsafe { libc::waitpid(-self.supervisor, &raw mut status, libc::WNOHANG | libc::__WALL) };
            if reaped > 0 {
                continue;
            }
            // SAFETY: touches no memory. The guard keeps the number of the group.
            let gone = unsafe { libc::kill(-self.supervisor, libc::SIGKILL) } < 0;
            if gone || Instant::now() > deadline {
                return gone;
            }
            std::thread::sleep(LAST_PAUSE);
        }
    }

    /// Whether somebody has killed the guard.
    pub fn has_lost_guard(&self) -> bool {
        self.guard.is_some_and(|guard| peek(libc::P_PID, guard).is_some())
    }

    /// Waits for orphans of the sandbox that have ended. The status of the supervisor's end, when it has: it is not
    /// waited for yet.
    pub fn reap(&self) -> Option<i32> {
        // It has no group of its own in its first moments, so it is asked for by its own number.
        if let Some(info) = peek(libc::P_PID, self.supervisor) {
            // SAFETY: that of a child which has ended.
            let status = unsafe { info.si_status() };
            return Some(if info.si_code == libc::CLD_EXITED { status << 8 } else { status });
        }
        while let Some(info) = peek(libc::P_PGID, self.supervisor) {
            // SAFETY: as above; a child of ours that has ended, and not the supervisor, which would have been seen or
            // is seen the next time.
            unsafe {
                if info.si_pid() == self.supervisor {
                    return self.reap();
                }
                libc::waitpid(info.si_pid(), std::ptr::null_mut(), libc::__WALL);
            }
        }
        None
    }
}

/// What is told of a child that has ended and is not waited for, among those that `kind` and `number` name (waitid(2)).
fn peek(kind: libc::idtype_t, number: i32) -> Option<libc::siginfo_t> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: waitid(2) fills one siginfo, which was zeroed; the process id in it is 0 when there is no such child.
    unsafe {
        let failed = libc::waitid(kind, number as libc::id_t, info.as_mut_ptr(), how) < 0;
        let info = info.assume_init();
        (!failed && info.si_pid() != 0).then_some(info)
    }
}

fn interrupted() -> bool {
    std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
}
