//! Calls whose arguments mean more than their types say: which of them count, what leads where, other names.

use core::fmt::{self, Write};

use super::{Shown, flags};
use crate::abi::file::OpenFlags;
use crate::abi::futex::FutexOperation;
use crate::abi::layout::Layouts;
use crate::abi::process::CloneFlags;
use crate::abi::signal::Signal;
use crate::abi::{Named, Names, alone, name, value};
use crate::argument::{Argument, Form};
use crate::show::results::DESCRIPTOR_FLAGS;
use crate::{MOST_ARGUMENTS, ShownArguments, SyscallRequest};

const STATX_FLAGS: Names = &[
    value("AT_STATX_SYNC_AS_STAT", 0, 0x6000),
    value("AT_STATX_FORCE_SYNC", 0x2000, 0x6000),
    value("AT_STATX_DONT_SYNC", 0x4000, 0x6000),
    name("AT_SYMLINK_NOFOLLOW", 0x100),
    name("AT_NO_AUTOMOUNT", 0x800),
    name("AT_EMPTY_PATH", 0x1000),
];
const DESCRIPTOR_OPTIONS: Names =
    &[name("O_NONBLOCK", 0o4000), name("O_DIRECT", 0o40000), name("O_CLOEXEC", 0o2_000_000)];
const EPOLL_FLAGS: Names = &[name("EPOLL_CLOEXEC", 0o2_000_000)];
const EVENTFD_FLAGS: Names =
    &[name("EFD_SEMAPHORE", 1), name("EFD_CLOEXEC", 0o2_000_000), name("EFD_NONBLOCK", 0o4000)];
const TIMERFD_FLAGS: Names = &[name("TFD_CLOEXEC", 0o2_000_000), name("TFD_NONBLOCK", 0o4000)];
const SIGNALFD_FLAGS: Names = &[name("SFD_CLOEXEC", 0o2_000_000), name("SFD_NONBLOCK", 0o4000)];
const INOTIFY_FLAGS: Names = &[name("IN_NONBLOCK", 0o4000), name("IN_CLOEXEC", 0o2_000_000)];
const INOTIFY_EVENTS: Names = &[
    name("IN_ALL_EVENTS", 0xfff),
    name("IN_ACCESS", 1),
    name("IN_MODIFY", 2),
    name("IN_ATTRIB", 4),
    name("IN_CLOSE_WRITE", 8),
    name("IN_CLOSE_NOWRITE", 0x10),
    name("IN_OPEN", 0x20),
    name("IN_MOVED_FROM", 0x40),
    name("IN_MOVED_TO", 0x80),
    name("IN_CREATE", 0x100),
    name("IN_DELETE", 0x200),
    name("IN_DELETE_SELF", 0x400),
    name("IN_MOVE_SELF", 0x800),
    name("IN_ONLYDIR", 0x100_0000),
    name("IN_DONT_FOLLOW", 0x200_0000),
    name("IN_EXCL_UNLINK", 0x400_0000),
    name("IN_MASK_CREATE", 0x1000_0000),
    name("IN_MASK_ADD", 0x2000_0000),
    name("IN_ISDIR", 0x4000_0000),
    name("IN_ONESHOT", 0x8000_0000),
];
const ADVICES: Names = &[
    alone("POSIX_FADV_NORMAL", 0),
    alone("POSIX_FADV_RANDOM", 1),
    alone("POSIX_FADV_SEQUENTIAL", 2),
    alone("POSIX_FADV_WILLNEED", 3),
    alone("POSIX_FADV_DONTNEED", 4),
    alone("POSIX_FADV_NOREUSE", 5),
];
const SEALS: Names = &[
    name("F_SEAL_SEAL", 1),
    name("F_SEAL_SHRINK", 2),
    name("F_SEAL_GROW", 4),
    name("F_SEAL_WRITE", 8),
    name("F_SEAL_FUTURE_WRITE", 0x10),
    name("F_SEAL_EXEC", 0x20),
];
const ITIMERS: Names = &[alone("ITIMER_REAL", 0), alone("ITIMER_VIRTUAL", 1), alone("ITIMER_PROF", 2)];
const PRIORITIES: Names = &[alone("PRIO_PROCESS", 0), alone("PRIO_PGRP", 1), alone("PRIO_USER", 2)];
const WHOSE_USAGE: Names = &[
    alone("RUSAGE_CHILDREN", u64::MAX),
    alone("RUSAGE_SELF", 0),
    alone("RUSAGE_THREAD", 1),
    alone("RUSAGE_BOTH", u64::MAX - 1),
];
const TIMER_FLAGS: Names = &[name("TIMER_ABSTIME", 1)];
const TIMERFD_SETTINGS: Names = &[name("TFD_TIMER_ABSTIME", 1), name("TFD_TIMER_CANCEL_ON_SET", 2)];
const ANY_BIT: Names = &[alone("FUTEX_BITSET_MATCH_ANY", 0xffff_ffff)];
pub(super) const DUMPABLE: Names =
    &[alone("SUID_DUMP_DISABLE", 0), alone("SUID_DUMP_USER", 1), alone("SUID_DUMP_ROOT", 2)];

/// The names that strace puts before arguments, if any, and the arguments of a call.
pub(super) fn arguments(request: &SyscallRequest) -> (&'static [&'static str], ShownArguments) {
    if let SyscallRequest::clone { flags, .. } = request {
        return clone(request, flags.0);
    }
    let mut list = List(request.arguments());
    files(request, &mut list);
    processes(request, &mut list);
    waiting(request, &mut list);
    sockets(request, &mut list);
    (&[], list.0)
}

/// Arguments that are being changed.
struct List(ShownArguments);

impl List {
    fn set(&mut self, at: usize, shown: Shown) {
        if let Some(slot) = self.0.list.get_mut(at) {
            *slot = shown;
        }
    }
    fn get(&self, at: usize) -> Option<Shown> {
        self.0.list.get(at).copied()
    }
    /// The number of an argument, whatever it is.
    fn number(&self, at: usize) -> u64 {
        match self.get(at) {
            Some(Shown::Signed(n) | Shown::Choice(_, n)) => n as u64,
            Some(
                Shown::Unsigned(n)
                | Shown::Address(n)
                | Shown::Text(n)
                | Shown::Flags(_, n)
                | Shown::Hex(n)
                | Shown::Given(n, ..)
                | Shown::Filled(n, ..),
            ) => n,
            Some(Shown::Octal(n)) => n.into(),
            _ => 0,
        }
    }
    fn keep(&mut self, count: usize) {
        self.0.len = self.0.len.min(count);
    }
    fn hex(&mut self, at: usize) {
        self.set(at, Shown::Hex(self.number(at)));
    }
    fn address(&mut self, at: usize) {
        self.set(at, Shown::Address(self.number(at)));
    }
    fn flags(&mut self, at: usize, names: Names) {
        self.set(at, Shown::Flags(names, self.number(at)));
    }
    fn choice(&mut self, at: usize, names: Names) {
        self.set(at, Shown::Choice(names, self.number(at) as i64));
    }
    /// It leads to something else, which the program gives or the kernel fills in.
    fn form(&mut self, at: usize, form: Form) {
        let changed = match self.get(at) {
            Some(Shown::Given(address, _, layouts)) => Shown::Given(address, form, layouts),
            Some(Shown::Filled(address, _, layouts)) => Shown::Filled(address, form, layouts),
            _ => return,
        };
        self.set(at, changed);
    }
    /// The program gives it, though the kernel may write there.
    fn given(&mut self, at: usize) {
        if let Some(Shown::Filled(address, form, layouts)) = self.get(at) {
            self.set(at, Shown::Given(address, form, layouts));
        }
    }
    /// The kernel writes to where what it gives leads.
    fn filled(&mut self, at: usize) {
        if let Some(Shown::Given(address, form, layouts)) = self.get(at) {
            self.set(at, Shown::Filled(address, form, layouts));
        }
    }
    /// Ids of which all ones mean none.
    fn ids(&mut self, range: core::ops::Range<usize>) {
        for at in range {
            if self.number(at) == u64::from(u32::MAX) {
                self.set(at, Shown::Signed(-1));
            }
        }
    }
}

/// Only with these has a file a mode.
fn makes_file(flags: OpenFlags) -> bool {
    flags.contains(OpenFlags::O_CREAT) || flags.contains(OpenFlags::O_TMPFILE)
}

fn files(request: &SyscallRequest, list: &mut List) {
    match *request {
        SyscallRequest::open { flags, .. } if !makes_file(flags) => list.keep(2),
        SyscallRequest::openat { flags, .. } if !makes_file(flags) => list.keep(3),
        SyscallRequest::dup3 { .. } => list.flags(2, DESCRIPTOR_OPTIONS),
        SyscallRequest::pipe2 { .. } => list.flags(1, DESCRIPTOR_OPTIONS),
        SyscallRequest::mknod { mode, .. } => node(list, 1, mode.0),
        SyscallRequest::mknodat { mode, .. } => node(list, 2, mode.0),
        SyscallRequest::mmap { .. } | SyscallRequest::mmap2 { .. } => list.hex(5),
        SyscallRequest::mremap { flags, .. } if flags.0 & 6 == 0 => list.keep(4),
        SyscallRequest::statx { .. } => list.flags(2, STATX_FLAGS),
        SyscallRequest::readv { .. } | SyscallRequest::preadv { .. } | SyscallRequest::preadv2 { .. } => list.filled(1),
        SyscallRequest::getcwd { .. } => list.form(0, Form::Path),
        SyscallRequest::fadvise64 { .. } => list.choice(3, ADVICES),
        SyscallRequest::utimensat { .. } => list.form(2, Form::Moments),
        SyscallRequest::fcntl { command, .. } | SyscallRequest::fcntl64 { command, .. } => fcntl(command.0, list),
        SyscallRequest::ioctl { request, .. } => ioctl(request.0, list),
        SyscallRequest::chown { .. }
        | SyscallRequest::lchown { .. }
        | SyscallRequest::fchown { .. }
        | SyscallRequest::fchownat { .. } => list.ids(1..4),
        SyscallRequest::inotify_init1 { .. } => list.flags(0, INOTIFY_FLAGS),
        SyscallRequest::inotify_add_watch { .. } => list.flags(2, INOTIFY_EVENTS),
        _ => {}
    }
}

/// mknod(2): the device counts for devices only.
fn node(list: &mut List, at: usize, mode: u32) {
    const S_IFMT: u32 = 0o170_000;
    list.set(at, Shown::FileMode(mode));
    if ![0o020_000, 0o060_000].contains(&(mode & S_IFMT)) {
        list.keep(at + 1);
    }
}

/// What the third argument of fcntl(2) is.
fn fcntl(command: u32, list: &mut List) {
    let argument = list.number(2);
    match command {
        // F_GETFD, F_GETFL, F_GETOWN, F_GETSIG, F_GETLEASE, F_GETPIPE_SZ, F_GET_SEALS
        1 | 3 | 9 | 11 | 1025 | 1032 | 1034 => list.keep(2),
        // F_DUPFD, F_DUPFD_CLOEXEC, F_SETOWN, F_SETPIPE_SZ
        0 | 1030 | 8 | 1031 => list.set(2, Shown::Signed(i64::from(argument as i32))),
        // F_SETFD, F_SETFL, F_ADD_SEALS, F_SETSIG
        2 => list.flags(2, DESCRIPTOR_FLAGS),
        4 => list.flags(2, OpenFlags::NAMES),
        1033 => list.flags(2, SEALS),
        10 => list.choice(2, Signal::NAMES),
        // F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW
        6 | 7 | 37 | 38 => list.set(2, Shown::Given(argument, Form::Flock, Layouts::X86_64)),
        // F_GETLK, F_OFD_GETLK
        5 | 36 => list.set(2, Shown::Filled(argument, Form::Flock, Layouts::X86_64)),
        _ => list.hex(2),
    }
}

/// What the third argument of ioctl(2) is.
fn ioctl(request: u32, list: &mut List) {
    let argument = list.number(2);
    if let Some(Shown::Choice(names, request)) = list.get(1) {
        list.set(1, Shown::Ioctl(names, request as u32));
    }
    let form = |form| Shown::Filled(argument, form, Layouts::X86_64);
    match request {
        // FIONREAD, TIOCGPGRP, TIOCOUTQ, TIOCGSID, TIOCGPTN, TIOCGETD
        0x541b | 0x540f | 0x5411 | 0x5429 | 0x8004_5430 | 0x5424 => list.set(2, form(Form::Int)),
        // FIONBIO, TIOCSPGRP, FIOASYNC, TIOCSPTLCK
        0x5421 | 0x5410 | 0x5452 | 0x4004_5431 => list.set(2, Shown::Given(argument, Form::Int, Layouts::X86_64)),
        // TIOCGWINSZ, TIOCSWINSZ
        0x5413 => list.set(2, form(Form::WindowSize)),
        0x5414 => list.set(2, Shown::Given(argument, Form::WindowSize, Layouts::X86_64)),
        // FIOCLEX, FIONCLEX, TIOCNOTTY
        0x5451 | 0x5450 | 0x5422 => list.keep(2),
        // TIOCSCTTY, TCSBRK, TCXONC, TCFLSH
        0x540e | 0x5409 | 0x540a | 0x540b => list.set(2, Shown::Unsigned(argument)),
        _ => {}
    }
}

fn processes(request: &SyscallRequest, list: &mut List) {
    match *request {
        SyscallRequest::execve { .. } => program(list, 1),
        SyscallRequest::execveat { .. } => program(list, 2),
        SyscallRequest::wait4 { .. } | SyscallRequest::waitpid { .. } => list.form(1, Form::WaitStatus),
        SyscallRequest::set_tid_address { .. } | SyscallRequest::set_robust_list { .. } => list.address(0),
        SyscallRequest::rseq { .. } => {
            list.address(0);
            list.hex(1);
            list.hex(3);
        }
        SyscallRequest::arch_prctl { .. } => list.address(1),
        SyscallRequest::prctl { option, .. } => prctl(option.0, list),
        SyscallRequest::getrandom { .. } => list.form(0, Form::Random),
        SyscallRequest::sched_getaffinity { .. } | SyscallRequest::sched_setaffinity { .. } => {
            list.form(2, Form::Processors);
        }
        SyscallRequest::getpriority { .. } | SyscallRequest::setpriority { .. } => list.choice(0, PRIORITIES),
        SyscallRequest::getrusage { .. } => list.choice(0, WHOSE_USAGE),
        SyscallRequest::setuid { .. }
        | SyscallRequest::setgid { .. }
        | SyscallRequest::setreuid { .. }
        | SyscallRequest::setregid { .. }
        | SyscallRequest::setresuid { .. }
        | SyscallRequest::setresgid { .. } => list.ids(0..3),
        _ => {}
    }
}

/// Arguments and environment of a program.
fn program(list: &mut List, at: usize) {
    for (at, form) in [(at, Form::Strings), (at + 1, Form::Variables)] {
        list.form(at, form);
    }
}

fn prctl(option: i32, list: &mut List) {
    let argument = list.number(1);
    match option {
        // PR_SET_NAME, PR_SET_PDEATHSIG
        15 => list.set(1, Shown::Words(argument)),
        1 => list.set(1, Signal(argument as i32).shown()),
        // PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_GET_KEEPCAPS, PR_GET_SECUREBITS, PR_GET_TIMERSLACK
        3 | 7 | 27 | 30 => return list.keep(1),
        4 => list.choice(1, DUMPABLE),
        // PR_SET_NO_NEW_PRIVS and others check that the rest is zero.
        38 | 39 | 41 | 42 => return,
        _ => list.hex(1),
    }
    list.keep(2);
}

fn waiting(request: &SyscallRequest, list: &mut List) {
    match *request {
        SyscallRequest::futex { operation, .. } | SyscallRequest::futex_time64 { operation, .. } => {
            futex(operation, list);
        }
        SyscallRequest::poll { .. } => list.given(0),
        SyscallRequest::ppoll { .. } | SyscallRequest::ppoll_time64 { .. } => {
            list.given(0);
            list.given(2);
        }
        SyscallRequest::select { count, .. } | SyscallRequest::pselect6 { count, .. } => select(list, count),
        SyscallRequest::epoll_create1 { .. } => list.flags(0, EPOLL_FLAGS),
        SyscallRequest::eventfd2 { .. } => list.flags(1, EVENTFD_FLAGS),
        SyscallRequest::signalfd4 { .. } => list.flags(3, SIGNALFD_FLAGS),
        SyscallRequest::timerfd_create { .. } => list.flags(1, TIMERFD_FLAGS),
        SyscallRequest::timerfd_settime { .. } => list.flags(1, TIMERFD_SETTINGS),
        SyscallRequest::timer_settime { .. } => list.flags(1, TIMER_FLAGS),
        SyscallRequest::nanosleep { .. } => list.form(1, Form::TimeLeft),
        SyscallRequest::clock_nanosleep { .. } => {
            list.flags(1, TIMER_FLAGS);
            list.form(3, Form::TimeLeft);
        }
        SyscallRequest::getitimer { .. } | SyscallRequest::setitimer { .. } => list.choice(0, ITIMERS),
        _ => {}
    }
}

/// The sets are given, and so is the time.
fn select(list: &mut List, count: i32) {
    for at in 1..=3 {
        list.form(at, Form::Descriptors(count.unsigned_abs()));
        list.given(at);
    }
    list.given(4);
    list.form(5, Form::Opaque);
}

/// Which arguments count depends on the operation.
fn futex(operation: FutexOperation, list: &mut List) {
    list.address(0);
    list.address(4);
    list.set(1, Shown::Futex(operation.0 as u32));
    let (bits, number) = (list.number(5), list.number(3));
    let any = if bits == u64::from(u32::MAX) { Shown::Choice(ANY_BIT, bits as i64) } else { Shown::Hex(bits) };
    match operation.0 & 0x7f {
        // FUTEX_WAIT, FUTEX_WAKE and FUTEX_FD
        0 => list.keep(4),
        1 | 2 => list.keep(3),
        // FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP
        3 => {
            list.set(3, Shown::Unsigned(number & 0xffff_ffff));
            list.keep(5);
        }
        4 | 12 => list.set(3, Shown::Unsigned(number & 0xffff_ffff)),
        5 => {
            list.set(3, Shown::Unsigned(number & 0xffff_ffff));
            list.hex(5);
        }
        // FUTEX_LOCK_PI, FUTEX_LOCK_PI2
        6 | 13 => {
            if let Some(timeout) = list.get(3) {
                list.set(2, timeout);
            }
            list.keep(3);
        }
        // FUTEX_UNLOCK_PI, FUTEX_TRYLOCK_PI
        7 | 8 => list.keep(2),
        // FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET
        9 => {
            list.set(4, any);
            list.keep(5);
        }
        10 => {
            list.set(3, any);
            list.keep(4);
        }
        _ => {}
    }
}

/// `FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME`.
pub(super) fn futex_operation(out: &mut dyn Write, operation: u32) -> fmt::Result {
    const PRIVATE: u32 = 0x80;
    const REALTIME: u32 = 0x100;
    let command = operation & !(PRIVATE | REALTIME);
    match FutexOperation::NAMES.iter().find(|name| name.mask == 0x7f && name.bits == u64::from(command)) {
        Some(name) => out.write_str(name.text)?,
        None => write!(out, "{command:#x} /* FUTEX_??? */")?,
    }
    if operation & PRIVATE != 0 {
        out.write_str("_PRIVATE")?;
    }
    if operation & REALTIME != 0 {
        out.write_str("|FUTEX_CLOCK_REALTIME")?;
    }
    Ok(())
}

/// Requests that files of the host may serve, and that programs try: those with two names have both.
const OF_FILES: [(u32, &str); 4] = [
    (0x4004_9409, "BTRFS_IOC_CLONE or FICLONE"),
    (0x4020_940d, "BTRFS_IOC_CLONE_RANGE or FICLONERANGE"),
    (0x8008_6601, "FS_IOC_GETFLAGS"),
    (0x4008_6602, "FS_IOC_SETFLAGS"),
];

/// By its name, or by the parts of its number.
pub(super) fn ioctl_request(out: &mut dyn Write, names: Names, request: u32) -> fmt::Result {
    let known = names.iter().find(|name| name.bits as u32 == request).map(|name| name.text);
    let known = known.or_else(|| OF_FILES.iter().find(|(number, _)| *number == request).map(|(_, name)| *name));
    if let Some(name) = known {
        return out.write_str(name);
    }
    let direction = match request >> 30 {
        0 => "_IOC_NONE",
        1 => "_IOC_WRITE",
        2 => "_IOC_READ",
        _ => "_IOC_READ|_IOC_WRITE",
    };
    let (kind, number, size) = (request >> 8 & 0xff, request & 0xff, request >> 16 & 0x3fff);
    let part = |value: u32| Shown::Hex(value.into());
    write!(out, "_IOC({direction}, ")?;
    for (value, end) in [(kind, ", "), (number, ", "), (size, ")")] {
        super::argument(out, part(value))?;
        out.write_str(end)?;
    }
    Ok(())
}

fn sockets(request: &SyscallRequest, list: &mut List) {
    match *request {
        SyscallRequest::accept { .. }
        | SyscallRequest::getsockname { .. }
        | SyscallRequest::getpeername { .. }
        | SyscallRequest::accept4 { .. } => list.form(2, Form::Length),
        SyscallRequest::recvfrom { .. } => list.form(5, Form::Length),
        SyscallRequest::getsockopt { .. } => {
            list.form(3, Form::Int);
            list.form(4, Form::Length);
        }
        SyscallRequest::setsockopt { len: 4, .. } => list.form(3, Form::Int),
        SyscallRequest::socket { family, .. } | SyscallRequest::socketpair { family, .. } => {
            if let Some(shown) = super::sockets::protocol(list.number(2), family.0) {
                list.set(2, shown);
            }
        }
        _ => {}
    }
    if let SyscallRequest::setsockopt { level, .. } | SyscallRequest::getsockopt { level, .. } = request {
        list.set(2, super::sockets::option(level.0, list.number(2)));
    }
}

/// clone(2), whose arguments strace names.
fn clone(request: &SyscallRequest, bits: usize) -> (&'static [&'static str], ShownArguments) {
    let all = List(request.arguments());
    let has = |flag: CloneFlags| bits & flag.0 == flag.0;
    let mut list = [Shown::Unsigned(0); MOST_ARGUMENTS];
    let mut len = 0;
    let mut put = |shown: Shown| {
        if let Some(slot) = list.get_mut(len) {
            *slot = shown;
            len += 1;
        }
    };
    let [parent, child_or_tls, tls_or_child] = [2, 3, 4].map(|at| all.number(at));
    // The two last arguments change places on x86; they are printed as those of 64-bit programs.
    put(Shown::Address(all.number(1)));
    put(Shown::Flags(CLONE_NAMES, bits as u64));
    let tid = has(CloneFlags::CLONE_PARENT_SETTID);
    let tls = has(CloneFlags::CLONE_SETTLS);
    let child = has(CloneFlags::CLONE_CHILD_SETTID) || has(CloneFlags::CLONE_CHILD_CLEARTID);
    if tid {
        put(Shown::Filled(parent, Form::Int, Layouts::X86_64));
    }
    if tls {
        put(Shown::Address(tls_or_child));
    }
    if child {
        put(Shown::Address(child_or_tls));
    }
    let names: &[&str] = match (tid, tls, child) {
        (true, true, _) => &["child_stack", "flags", "parent_tid", "tls", "child_tidptr"],
        (true, false, _) => &["child_stack", "flags", "parent_tid", "child_tidptr"],
        (false, true, _) => &["child_stack", "flags", "tls", "child_tidptr"],
        (false, false, _) => &["child_stack", "flags", "child_tidptr"],
    };
    (names, ShownArguments { list, len })
}

/// The names of [`CloneFlags`], with the signal at the end.
pub(super) const CLONE_NAMES: Names = &[
    name("CLONE_VM", 0x100),
    name("CLONE_FS", 0x200),
    name("CLONE_FILES", 0x400),
    name("CLONE_SIGHAND", 0x800),
    name("CLONE_PIDFD", 0x1000),
    name("CLONE_PTRACE", 0x2000),
    name("CLONE_VFORK", 0x4000),
    name("CLONE_PARENT", 0x8000),
    name("CLONE_THREAD", 0x1_0000),
    name("CLONE_NEWNS", 0x2_0000),
    name("CLONE_SYSVSEM", 0x4_0000),
    name("CLONE_SETTLS", 0x8_0000),
    name("CLONE_PARENT_SETTID", 0x10_0000),
    name("CLONE_CHILD_CLEARTID", 0x20_0000),
    name("CLONE_DETACHED", 0x40_0000),
    name("CLONE_UNTRACED", 0x80_0000),
    name("CLONE_CHILD_SETTID", 0x100_0000),
    name("CLONE_NEWCGROUP", 0x200_0000),
    name("CLONE_NEWUTS", 0x400_0000),
    name("CLONE_NEWIPC", 0x800_0000),
    name("CLONE_NEWUSER", 0x1000_0000),
    name("CLONE_NEWPID", 0x2000_0000),
    name("CLONE_NEWNET", 0x4000_0000),
    name("CLONE_IO", 0x8000_0000),
    value("SIGCHLD", 17, 0xff),
];

/// Prints flags of clone3(2).
pub(super) fn clone_flags(out: &mut dyn Write, bits: u64) -> fmt::Result {
    flags(out, CLONE_NAMES, bits)
}

/// Whether there are flags that fill in what `parent_tid` leads to.
pub(super) fn tells_parent(bits: u64) -> bool {
    bits & CloneFlags::CLONE_PARENT_SETTID.0 as u64 != 0
}
