//! Asking the host, without leaving a trace: what changes the caller is tried in a child.

use std::path::{Path, PathBuf};

/// Kernel, machine, and who asks.
pub fn host() -> String {
    let name = rustix::system::uname();
    let (release, machine) = (name.release().to_string_lossy(), name.machine().to_string_lossy());
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let who = if rustix::process::geteuid().is_root() { "root" } else { "an ordinary user" };
    format!("Linux {release}, {machine}, {processors} processors, as {who}")
}

/// Whether programs may set FS and GS themselves.
pub fn has_fsgsbase() -> bool {
    const FSGSBASE: u64 = 1 << 1;
    // SAFETY: reads the C library's copy of the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_HWCAP2) & FSGSBASE != 0 }
}

/// Whether system calls can be dispatched to the program itself.
pub fn has_user_dispatch() -> bool {
    const PR_SET_SYSCALL_USER_DISPATCH: libc::c_int = 59;
    // SAFETY: switching off what is not on changes nothing.
    unsafe { libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0) == 0 }
}

/// Whether the kernel below is LiteBox's own. It keeps filters of calls for its guests, in the process that they bind:
/// they are no boundary.
fn is_inside_litebox() -> bool {
    rustix::system::uname().version().to_bytes().ends_with(b"LiteBox")
}

/// Whether filters may be installed that trap, and that hold.
pub fn has_seccomp() -> bool {
    const GET_ACTION_AVAIL: libc::c_uint = 2;
    let action: u32 = libc::SECCOMP_RET_TRAP;
    // SAFETY: the call reads one u32.
    let is_there = unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) == 0 };
    is_there && !is_inside_litebox()
}

/// Whether refused calls can be told.
pub enum Listener {
    Works,
    /// Somebody outside listens.
    Taken,
    Absent,
}

/// Tries to install a filter that lets everything pass and has a listener.
pub fn listener() -> Listener {
    const SET_MODE_FILTER: libc::c_uint = 1;
    const NEW_LISTENER: libc::c_ulong = 1 << 3;
    let status = in_child(|| {
        let allow = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
        let program = libc::sock_fprog { len: 1, filter: (&raw const allow).cast_mut() };
        // SAFETY: both calls concern the child alone; the program is read during the call.
        unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            if libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, NEW_LISTENER, &raw const program) >= 0 {
                return 0;
            }
            if *libc::__errno_location() == libc::EBUSY { 2 } else { 1 }
        }
    });
    match status {
        Some(0) => Listener::Works,
        Some(2) => Listener::Taken,
        _ => Listener::Absent,
    }
}

/// Whether the caller may have namespaces of these kinds.
pub fn may_unshare(flags: libc::c_int) -> bool {
    // SAFETY: concerns the child alone.
    in_child(|| unsafe { libc::unshare(flags) }) == Some(0)
}

/// The version of Landlock; 0: there is none.
pub fn landlock() -> i64 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: asks for the version; reads nothing.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION) };
    version.max(0)
}

/// Whether paths can be resolved beneath a directory.
pub fn has_openat2() -> bool {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let beneath = rustix::fs::ResolveFlags::BENEATH;
    rustix::fs::openat2(rustix::fs::CWD, ".", flags, rustix::fs::Mode::empty(), beneath).is_ok()
}

/// Whether all threads of a process can be made to see changed code.
pub fn has_membarrier() -> bool {
    const QUERY: libc::c_int = 0;
    const SYNC_CORE: libc::c_long = 1 << 5;
    // SAFETY: a question.
    let commands = unsafe { libc::syscall(libc::SYS_membarrier, QUERY, 0, 0) };
    commands > 0 && commands & SYNC_CORE != 0
}

/// A line of /proc/self/status.
pub fn status_field(name: &str) -> Option<String> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_string())
}

/// The control group of this process, when groups may be made in it.
pub fn writable_cgroup() -> Option<String> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        match controllers {
            "" => Some(Path::new("/sys/fs/cgroup").join(path)),
            _ if controllers.split(',').any(|one| one == "memory") => {
                Some(Path::new("/sys/fs/cgroup/memory").join(path))
            }
            _ => None,
        }
    };
    let may_divide = |path: &PathBuf| {
        rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok() && path.join("cgroup.procs").exists()
    };
    text.lines().filter_map(group).find(may_divide).map(|path| path.display().to_string())
}

/// The exit status of a child that does nothing but this; `None`: it cannot be told.
fn in_child(work: impl FnOnce() -> i32) -> Option<i32> {
    // SAFETY: this process has one thread; the child makes system calls and ends.
    unsafe {
        let pid = libc::fork();
        if pid < 0 {
            return None;
        }
        if pid == 0 {
            libc::_exit(work().unsigned_abs().min(255) as i32);
        }
        let mut status = 0;
        (libc::waitpid(pid, &raw mut status, 0) == pid && libc::WIFEXITED(status)).then(|| libc::WEXITSTATUS(status))
    }
}
