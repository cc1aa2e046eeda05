//! Tests of the table and of what is made of it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::show::{self, GuestMemory};
use crate::{Arch, Call, Errno, Registers, Support, SyscallRequest, calls, support};

fn call(arch: Arch, number: u32) -> Option<Call> {
    calls().find(|call| call.number(arch) == Some(number))
}

#[test]
fn names_are_unique() {
    let mut seen = BTreeSet::new();
    for row in calls() {
        assert!(seen.insert(row.name), "{} has two rows", row.name);
    }
}

#[test]
fn no_number_twice() {
    for arch in [Arch::X86_64, Arch::X86] {
        let mut seen = BTreeMap::new();
        for row in calls() {
            let Some(number) = row.number(arch) else { continue };
            if let Some(other) = seen.insert(number, row.name) {
                panic!("{arch:?} {number} is both {other} and {}", row.name);
            }
        }
    }
}

#[test]
fn every_call_of_linux_has_a_row() {
    for number in (0..=334).chain(424..=470) {
        assert!(call(Arch::X86_64, number).is_some(), "{number} has no row");
    }
    // Numbers that i386 has skipped.
    let skipped = [222, 223, 251, 285, 415];
    for number in (0..=386).chain(393..=470).filter(|number| !skipped.contains(number)) {
        assert!(call(Arch::X86, number).is_some(), "{number} of 32-bit programs has no row");
    }
    for row in calls() {
        assert!(row.x86_64.is_some() || row.x86.is_some(), "{} has no number", row.name);
    }
}

/// The calls that the project's specification names, with those that only 32-bit programs make.
#[test]
fn specified_calls_have_rows() {
    const SPECIFIED: &str = "
        exit exit_group clone clone3 execve getpid getppid gettid getuid geteuid getgid getegid set_tid_address set_robust_list
        get_robust_list set_thread_area prctl arch_prctl kill tkill tgkill
        mmap munmap mprotect mremap brk madvise
        open openat creat read write pread64 pwrite64 readv writev lseek close dup dup2 dup3 fcntl fcntl64 ioctl stat lstat fstat
        newfstatat fstatat64 access readlink readlinkat mkdir unlink unlinkat ftruncate getcwd getdents64 pipe pipe2 umask
        socket socketpair bind listen accept accept4 connect sendto sendmsg recvfrom setsockopt getsockopt getsockname getpeername
        socketcall
        poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait
        eventfd eventfd2
        rt_sigprocmask rt_sigaction rt_sigreturn sigreturn sigaltstack
        clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep clock_nanosleep_time64 nanosleep gettimeofday time
        futex futex_time64
        getrlimit ugetrlimit setrlimit prlimit64 sysinfo uname getrandom capget sched_getaffinity sched_yield
        statx io_uring_setup rseq statfs alarm setitimer";
    for name in SPECIFIED.split_whitespace() {
        assert!(calls().any(|row| row.name == name), "{name} has no row");
    }
    let only_32_bit = |name: &str| calls().any(|row| row.name == name && row.x86_64.is_none() && row.x86.is_some());
    for name in [
        "fcntl64",
        "fstatat64",
        "socketcall",
        "_newselect",
        "sigreturn",
        "ugetrlimit",
        "futex_time64",
        "clock_gettime64",
    ] {
        assert!(only_32_bit(name), "{name} is a call of 32-bit programs");
    }
}

#[test]
fn who_refuses_says_why() {
    for row in calls() {
        if matches!(row.support, Support::Refused(_) | Support::Partial) {
            assert!(!row.note.is_empty(), "{} needs a note", row.name);
        }
    }
}

#[test]
fn requests_know_their_rows() {
    for arch in [Arch::X86_64, Arch::X86] {
        for number in 0..600 {
            let request = SyscallRequest::parse(number, Registers::new(arch, [0; 6]));
            let row = call(arch, number);
            assert_eq!(request.map(|r| r.name()), row.map(|r| r.name), "{arch:?} {number}");
            assert_eq!(support(arch, number), row.map(|r| r.support), "{arch:?} {number}");
        }
    }
}

#[test]
fn arguments_come_from_their_registers() {
    let request =
        SyscallRequest::parse(17, Registers::new(Arch::X86_64, [0xffff_ffff_0000_0003, 0x1000, 5, 1 << 40, 7, 8]));
    let Some(SyscallRequest::pread64 { fd, buf, count, offset }) = request else { panic!("{request:?}") };
    assert_eq!((fd.0, buf.address(), count, offset.0), (3, 0x1000, 5, 1 << 40));
    // 32-bit programs give a 64-bit offset in two registers.
    let request = SyscallRequest::parse(180, Registers::new(Arch::X86, [3, 0x1000, 5, 0x8000_0000, 1, 0]));
    let Some(SyscallRequest::pread64 { offset, .. }) = request else { panic!("{request:?}") };
    assert_eq!(offset.0, 0x1_8000_0000);
    // preadv2: the offset takes two registers everywhere, the flags come behind them.
    let request = SyscallRequest::parse(327, Registers::new(Arch::X86_64, [3, 0x1000, 1, 9, 0, 4]));
    let Some(SyscallRequest::preadv2 { offset, flags, .. }) = request else { panic!("{request:?}") };
    assert_eq!((offset.0, flags.0), (9, 4));
    // A 32-bit program's long is sign-extended.
    let request = SyscallRequest::parse(19, Registers::new(Arch::X86, [3, 0xffff_ffff, 1, 0, 0, 0]));
    let Some(SyscallRequest::lseek { offset, .. }) = request else { panic!("{request:?}") };
    assert_eq!(offset, -1);
}

/// Memory with these bytes at an address.
struct Memory(u64, &'static [u8]);

impl GuestMemory for Memory {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        let from = address.checked_sub(self.0).and_then(|at| self.1.get(at as usize..)).unwrap_or_default();
        let n = from.len().min(into.len());
        into[..n].copy_from_slice(&from[..n]);
        n
    }
}

fn printed(number: u32, registers: [u64; 6], memory: &Memory, result: Result<usize, Errno>) -> String {
    let mut line = String::new();
    let Some(request) = SyscallRequest::parse(number, Registers::new(Arch::X86_64, registers)) else {
        panic!("{number}")
    };
    let printed = show::begin(&mut line, &request, memory)
        .and_then(|begun| show::end(&mut line, &request, memory, begun, result))
        .and_then(|()| line.write_char(' '))
        .and_then(|()| show::result(&mut line, Some(&request), memory, result));
    assert_eq!(printed, Ok(()));
    line
}

#[test]
fn calls_are_printed_like_strace() {
    const FDCWD: u64 = -100i64 as u64;
    let memory = Memory(0x1000, b"/etc/pass\"wd\0");
    let lines: Vec<String> = [
        (257, [FDCWD, 0x1000, 0o2_000_101, 0o644, 0, 0], Err(Errno::ENOENT)),
        (257, [FDCWD, 0x9000, 0, 0, 0, 0], Err(Errno::EFAULT)),
        (0, [3, 0x1000, 100, 0, 0, 0], Ok(4)),
        (0, [3, 0x1000, 100, 0, 0, 0], Err(Errno::EBADF)),
        (1, [1, 0x1000, 3, 0, 0, 0], Ok(3)),
        (9, [0, 4096, 3, 0x22, u64::MAX, 0], Ok(0x7f00_0000_0000)),
        (8, [3, u64::MAX, 1, 0, 0, 0], Ok(0)),
        (202, [0x1000, 0x189, 1, 0, 0, u64::MAX], Err(Errno::EAGAIN)),
        (62, [5, 99, 0, 0, 0, 0], Err(Errno::EINVAL)),
        (10, [0x1000, 4096, 0, 0, 0, 0], Ok(0)),
        (425, [1, 0, 0, 0, 0, 0], Err(Errno::ENOSYS)),
    ]
    .into_iter()
    .map(|(number, registers, result)| printed(number, registers, &memory, result))
    .collect();
    assert_eq!(
        lines,
        [
            r#"openat(AT_FDCWD, "/etc/pass\"wd", O_WRONLY|O_CREAT|O_CLOEXEC, 0644) = -1 ENOENT (No such file or directory)"#,
            "openat(AT_FDCWD, 0x9000, O_RDONLY) = -1 EFAULT (Bad address)",
            r#"read(3, "/etc", 100) = 4"#,
            "read(3, 0x1000, 100) = -1 EBADF (Bad file descriptor)",
            r#"write(1, "/et", 3) = 3"#,
            "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000",
            "lseek(3, -1, SEEK_CUR) = 0",
            "futex(0x1000, FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME, 1, NULL, FUTEX_BITSET_MATCH_ANY) = -1 EAGAIN (Resource temporarily unavailable)",
            "kill(5, 99) = -1 EINVAL (Invalid argument)",
            "mprotect(0x1000, 4096, PROT_NONE) = 0",
            "io_uring_setup(1, NULL) = -1 ENOSYS (Function not implemented)",
        ]
    );
}
