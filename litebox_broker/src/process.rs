//! Processes of the sandbox as the broker sees them: pidfds, ancestry, memory, and their end.

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
/// The sandbox can make pidfds only by clone(2), so this is a second lock on the door; without /proc the first has to do.
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
pub struct Refused {
    /// Its number.
    pub number: i32,
    /// `AUDIT_ARCH_*` of the entry it came through.
    pub arch: u32,
}

/// Takes one notification of the filter. The call stays unanswered: its thread never goes on.
pub fn refused_call(listener: BorrowedFd<'_>) -> Result<Refused> {
    // SAFETY: seccomp_notif is plain data; the kernel wants it zeroed.
    let mut notif: libc::seccomp_notif = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the request fills one seccomp_notif.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_RECV, &raw mut notif) }.into())?;
    Ok(Refused { number: notif.data.nr, arch: notif.data.arch })
}

fn children_of(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|p| p.parse().ok()).collect()
}

/// Memory in use by the supervisor and its children, in bytes. An estimate that counts shared pages once (the largest share) and
/// private ones per process; pages shared copy-on-write after a fork are therefore counted too often, and the exact figure
/// is asked for only when this one is past `limit`.
pub fn memory_in_use(supervisor: i32, limit: u64) -> u64 {
    let mut pids = children_of(supervisor);
    pids.push(supervisor);
    let page = rustix::param::page_size() as u64;
    let (mut private, mut shared) = (0u64, 0u64);
    for pid in &pids {
        let text = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let mut numbers = text.split_ascii_whitespace().skip(1).map(|n| n.parse::<u64>().unwrap_or(0));
        let (resident, common) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        private += resident.saturating_sub(common) * page;
        shared = shared.max(common * page);
    }
    let estimate = private + shared;
    if estimate < limit { estimate } else { exact_memory(&pids).unwrap_or(estimate) }
}

fn exact_memory(pids: &[i32]) -> Option<u64> {
    let mut kib = 0u64;
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        // Pages of program files belong to the page cache: they cost nothing that cannot be given back.
        for name in ["Pss_Anon:", "Pss_Shmem:"] {
            let line = text.lines().find_map(|l| l.strip_prefix(name))?;
            kib += line.trim().trim_end_matches(" kB").parse::<u64>().ok()?;
        }
    }
    Some(kib * 1024)
}

/// Kills everything that descends from `supervisor` and waits for its end (two seconds at most). The broker is a subreaper: orphans of the sandbox
/// become its children.
pub fn kill_all(supervisor: i32) {
    let deadline = Instant::now() + Duration::from_secs(2);
    // The supervisor leads a session that its descendants cannot leave: the filter has no setsid or setpgid.
    // SAFETY: kill(2) and waitpid(2) touch no memory but `status`.
    unsafe {
        libc::kill(-supervisor, libc::SIGKILL);
        libc::kill(supervisor, libc::SIGKILL);
    }
    let mut status = 0;
    // SAFETY: as above. The supervisor was just killed, so this ends.
    unsafe { libc::waitpid(supervisor, &raw mut status, libc::__WALL) };
    loop {
        // SAFETY: as above.
        let reaped = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
        if reaped < 0 || Instant::now() > deadline {
            return;
        }
        if reaped == 0 {
            for pid in children_of(std::process::id() as i32) {
                // SAFETY: as above. A child of ours keeps its id until we reap it.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}
