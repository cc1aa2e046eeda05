//! The table of system calls: every call that Linux has, stated once.
//!
//! A row reads
//!
//! ```text
//! Full  pread64  [x86_64 17, x86 180]  (fd: RawFd, buf: UserMut<u8>, count: usize, offset: Word64)  "note"
//! ```
//!
//! how far it is supported ([`Support`](crate::Support)), its name as the manual page has it, its number on each
//! architecture, its arguments in the order of the registers with their types ([`argument`](crate::argument)), and what
//! a user should know about it. The name is at the same time the name of the handler (a method of the shim's `Task`)
//! and of the variant of [`SyscallRequest`](crate::SyscallRequest).
//!
//! A call that is not served has a row too: `Refused(ERRNO)` will stay that way, and the note says why; `Missing`
//! answers `ENOSYS` until somebody writes its handler. `docs/writing-syscalls.md` tells how.
//!
//! Everything that must know all calls is made from here by handing the rows to another macro, the callback:
//! `syscall_table!(callback, context...)` becomes `callback! { (context...) rows }`. Callbacks are the enum and the
//! parser in `lib.rs`, the list behind `litebox syscalls` in `calls.rs`, and the shim's `do_syscall`.

/// Hands the rows of the table to the macro `callback`, behind `context` in parentheses.
#[macro_export]
macro_rules! syscall_table {
    ($callback:ident $(, $($context:tt)*)?) => { $callback! { ($($($context)*)?)

process "Processes and threads" {
    Partial          clone              [x86_64 56, x86 120]   (flags: CloneFlags, stack: Address, parent_tid: UserMut<i32>, child_tid_or_tls: usize, tls_or_child_tid: usize)  "namespaces are refused with EPERM, as to those without the right"
    Partial          clone3             [x86_64 435, x86 435]  (arguments: UserMut<CloneArgs>, size: usize)  "namespaces are refused with EPERM, as to those without the right"
    Full             fork               [x86_64 57, x86 2]     ()
    Full             vfork              [x86_64 58, x86 190]   ()
    Full             execve             [x86_64 59, x86 11]    (path: UserStr, argv: UserRef<UserStr>, envp: UserRef<UserStr>)
    Full             execveat           [x86_64 322, x86 358]  (dirfd: DirFd, path: UserStr, argv: UserRef<UserStr>, envp: UserRef<UserStr>, flags: AtFlags)
    Full             exit               [x86_64 60, x86 1]     (status: i32)
    Full             exit_group         [x86_64 231, x86 252]  (status: i32)
    Full             wait4              [x86_64 61, x86 114]   (pid: i32, status: UserMut<i32>, options: WaitOptions, usage: UserMut<Rusage>)
    Full             waitid             [x86_64 247, x86 284]  (kind: WaitKind, id: i32, info: UserMut<SigInfo>, options: WaitOptions, usage: UserMut<Rusage>)
    Full             getpid             [x86_64 39, x86 20]    ()
    Full             getppid            [x86_64 110, x86 64]   ()
    Full             gettid             [x86_64 186, x86 224]  ()
    Full             getpgrp            [x86_64 111, x86 65]   ()
    Full             getpgid            [x86_64 121, x86 132]  (pid: i32)
    Full             setpgid            [x86_64 109, x86 57]   (pid: i32, group: i32)
    Full             getsid             [x86_64 124, x86 147]  (pid: i32)
    Full             setsid             [x86_64 112, x86 66]   ()
    Full             getuid             [x86_64 102]           ()
    Full             geteuid            [x86_64 107]           ()
    Full             getgid             [x86_64 104]           ()
    Full             getegid            [x86_64 108]           ()
    Full             setuid             [x86_64 105]           (uid: u32)
    Full             setgid             [x86_64 106]           (gid: u32)
    Full             setreuid           [x86_64 113]           (uid: u32, euid: u32)
    Full             setregid           [x86_64 114]           (gid: u32, egid: u32)
    Full             setresuid          [x86_64 117]           (uid: u32, euid: u32, suid: u32)
    Full             setresgid          [x86_64 119]           (gid: u32, egid: u32, sgid: u32)
    Full             getresuid          [x86_64 118]           (uid: UserMut<u32>, euid: UserMut<u32>, suid: UserMut<u32>)
    Full             getresgid          [x86_64 120]           (gid: UserMut<u32>, egid: UserMut<u32>, sgid: UserMut<u32>)
    Full             setfsuid           [x86_64 122]           (uid: u32)
    Full             setfsgid           [x86_64 123]           (gid: u32)
    Full             getgroups          [x86_64 115]           (size: i32, list: UserMut<u32>)
    Full             setgroups          [x86_64 116]           (size: usize, list: UserRef<u32>)
    Full             capget             [x86_64 125, x86 184]  (header: UserMut<CapHeader>, data: UserMut<CapData>)
    Full             capset             [x86_64 126, x86 185]  (header: UserMut<CapHeader>, data: UserRef<CapData>)
    Full             set_tid_address    [x86_64 218, x86 258]  (address: UserMut<i32>)
    Partial          prctl              [x86_64 157, x86 172]  (option: PrctlOption, arg2: usize, arg3: usize, arg4: usize, arg5: usize)  "what concerns one process; the rest is EINVAL, as on a kernel without it"
    Partial          arch_prctl         [x86_64 158, x86 384]  (code: ArchPrctlCode, address: usize)  "FS and GS base, and cpuid as where it cannot fault; the rest is EINVAL, as on a kernel without shadow stacks"
    Partial          set_thread_area    [x86_64 205, x86 243]  (descriptor: UserMut<UserDesc>)  "of a segment only its begin has an effect; ENOSYS for 64-bit calls, as on Linux"
    Partial          get_thread_area    [x86_64 211, x86 244]  (descriptor: UserMut<UserDesc>)  "ENOSYS for 64-bit calls, as on Linux"
    Refused(ENOSYS)  modify_ldt         [x86_64 154, x86 123]  (function: i32, pointer: UserMut<u8>, size: usize)  "segments of the guest's own would let it choose what the kernel's segments mean"
    Full             pidfd_open         [x86_64 434, x86 434]  (pid: i32, flags: PidFdFlags)
    Full             pidfd_send_signal  [x86_64 424, x86 424]  (pidfd: RawFd, signal: Signal, info: UserRef<SigInfo>, flags: u32)
    Full             pidfd_getfd        [x86_64 438, x86 438]  (pidfd: RawFd, target: RawFd, flags: u32)
    Full             process_vm_readv   [x86_64 310, x86 347]  (pid: i32, local: UserRef<IoVec>, local_count: usize, remote: UserRef<IoVec>, remote_count: usize, flags: usize)
    Full             process_vm_writev  [x86_64 311, x86 348]  (pid: i32, local: UserRef<IoVec>, local_count: usize, remote: UserRef<IoVec>, remote_count: usize, flags: usize)
    Full             process_madvise    [x86_64 440, x86 440]  (pidfd: RawFd, vectors: UserRef<IoVec>, count: usize, advice: Advice, flags: u32)
    Full             process_mrelease   [x86_64 448, x86 448]  (pidfd: RawFd, flags: u32)
    Full             kcmp               [x86_64 312, x86 349]  (pid1: i32, pid2: i32, kind: i32, index1: usize, index2: usize)
    Refused(EPERM)   ptrace             [x86_64 101, x86 26]   (request: isize, pid: i32, address: usize, data: usize)  "no guest traces another; the answer is that of a host with Yama mode 3"
    Partial          unshare            [x86_64 272, x86 310]  (flags: CloneFlags)  "namespaces are refused with EPERM, as to those without the right"
    Partial          setns              [x86_64 308, x86 346]  (fd: RawFd, kinds: i32)  "no namespaces inside a sandbox: EPERM, as to those without the right"
    Partial          personality        [x86_64 135, x86 136]  (persona: u32)  "ADDR_NO_RANDOMIZE, ADDR_LIMIT_3GB, READ_IMPLIES_EXEC, PER_LINUX32, UNAME26 and STICKY_TIMEOUTS; others are kept and told"
    Full             rseq               [x86_64 334, x86 386]  (area: UserMut<u8>, len: u32, flags: i32, signature: u32)
    Full             seccomp            [x86_64 317, x86 354]  (operation: SeccompOperation, flags: SeccompFlags, arguments: UserRef<()>)
}

schedule "Scheduling" {
    Full     sched_yield             [x86_64 24, x86 158]   ()
    Full     sched_getaffinity       [x86_64 204, x86 242]  (pid: i32, size: usize, mask: UserMut<u64>)
    Partial  sched_setaffinity       [x86_64 203, x86 241]  (pid: i32, size: usize, mask: UserRef<u64>)  "kept and told; the host decides where threads run"
    Full     sched_getscheduler      [x86_64 145, x86 157]  (pid: i32)
    Partial  sched_setscheduler      [x86_64 144, x86 156]  (pid: i32, policy: i32, parameter: UserRef<i32>)  "policies without real time; kept and told, the host schedules"
    Full     sched_getparam          [x86_64 143, x86 155]  (pid: i32, parameter: UserMut<i32>)
    Partial  sched_setparam          [x86_64 142, x86 154]  (pid: i32, parameter: UserRef<i32>)  "as sched_setscheduler"
    Full     sched_getattr           [x86_64 315, x86 352]  (pid: i32, attributes: UserMut<SchedAttr>, size: u32, flags: u32)
    Partial  sched_setattr           [x86_64 314, x86 351]  (pid: i32, attributes: UserRef<SchedAttr>, flags: u32)  "as sched_setscheduler"
    Full     sched_get_priority_max  [x86_64 146, x86 159]  (policy: i32)
    Full     sched_get_priority_min  [x86_64 147, x86 160]  (policy: i32)
    Full     sched_rr_get_interval   [x86_64 148, x86 161]  (pid: i32, interval: UserMut<Timespec>)
    Full     getpriority             [x86_64 140, x86 96]   (which: i32, who: i32)
    Partial  setpriority             [x86_64 141, x86 97]   (which: i32, who: i32, nice: i32)  "kept and told; the host schedules"
    Full     ioprio_get              [x86_64 252, x86 290]  (which: i32, who: i32)
    Partial  ioprio_set              [x86_64 251, x86 289]  (which: i32, who: i32, priority: i32)  "kept and told"
    Full     getcpu                  [x86_64 309, x86 318]  (cpu: UserMut<u32>, node: UserMut<u32>, cache: UserMut<()>)
    Partial  membarrier              [x86_64 324, x86 375]  (command: i32, flags: u32, cpu: i32)  "all commands but those for restartable sequences"
}

memory "Memory" {
    Full             mmap                     [x86_64 9]             (address: Address, len: usize, protection: Protection, flags: MapFlags, fd: RawFd, offset: usize)
    Full             munmap                   [x86_64 11, x86 91]    (address: Address, len: usize)
    Full             mprotect                 [x86_64 10, x86 125]   (address: Address, len: usize, protection: Protection)
    Full             mremap                   [x86_64 25, x86 163]   (address: Address, old_len: usize, new_len: usize, flags: RemapFlags, new_address: Address)
    Full             brk                      [x86_64 12, x86 45]    (address: Address)
    Full             madvise                  [x86_64 28, x86 219]   (address: Address, len: usize, advice: Advice)
    Full             msync                    [x86_64 26, x86 144]   (address: Address, len: usize, flags: MsyncFlags)
    Full             mlock                    [x86_64 149, x86 150]  (address: Address, len: usize)
    Full             mlock2                   [x86_64 325, x86 376]  (address: Address, len: usize, flags: MlockFlags)
    Full             munlock                  [x86_64 150, x86 151]  (address: Address, len: usize)
    Full             mlockall                 [x86_64 151, x86 152]  (flags: MlockallFlags)
    Full             munlockall               [x86_64 152, x86 153]  ()
    Partial          mincore                  [x86_64 27, x86 218]   (address: Address, len: usize, residency: UserMut<u8>)  "every mapped page counts as resident"
    Refused(ENOSYS)  remap_file_pages         [x86_64 216, x86 257]  (address: Address, len: usize, protection: Protection, page: usize, flags: MapFlags)  "deprecated: mmap does it"
    Refused(ENOSYS)  pkey_mprotect            [x86_64 329, x86 380]  (address: Address, len: usize, protection: Protection, key: i32)  "no protection keys"
    Refused(ENOSYS)  pkey_alloc               [x86_64 330, x86 381]  (flags: usize, rights: usize)  "no protection keys"
    Refused(ENOSYS)  pkey_free                [x86_64 331, x86 382]  (key: i32)  "no protection keys"
    Refused(ENOSYS)  mbind                    [x86_64 237, x86 274]  (address: Address, len: usize, mode: usize, nodes: UserRef<u64>, max_node: usize, flags: u32)  "no NUMA"
    Refused(ENOSYS)  get_mempolicy            [x86_64 239, x86 275]  (mode: UserMut<i32>, nodes: UserMut<u64>, max_node: usize, address: Address, flags: usize)  "no NUMA"
    Refused(ENOSYS)  set_mempolicy            [x86_64 238, x86 276]  (mode: i32, nodes: UserRef<u64>, max_node: usize)  "no NUMA"
    Refused(ENOSYS)  set_mempolicy_home_node  [x86_64 450, x86 450]  (address: Address, len: usize, node: usize, flags: usize)  "no NUMA"
    Refused(ENOSYS)  migrate_pages            [x86_64 256, x86 294]  (pid: i32, max_node: usize, from: UserRef<u64>, to: UserRef<u64>)  "no NUMA"
    Refused(ENOSYS)  move_pages               [x86_64 279, x86 317]  (pid: i32, count: usize, pages: UserRef<u64>, nodes: UserRef<i32>, status: UserMut<i32>, flags: i32)  "no NUMA"
    Refused(ENOSYS)  memfd_secret             [x86_64 447, x86 447]  (flags: u32)  "memory that the kernel cannot read would be memory that it cannot serve"
    Refused(ENOSYS)  map_shadow_stack         [x86_64 453, x86 453]  (address: Address, size: usize, flags: u32)  "as on a processor without shadow stacks"
    Full             mseal                    [x86_64 462, x86 462]  (address: Address, len: usize, flags: usize)
    Refused(ENOSYS)  userfaultfd              [x86_64 323, x86 374]  (flags: i32)  "faults are resolved by the sandbox's kernel alone"
}

file "Files" {
    Full             open               [x86_64 2, x86 5]      (path: UserStr, flags: OpenFlags, mode: Mode)
    Full             openat             [x86_64 257, x86 295]  (dirfd: DirFd, path: UserStr, flags: OpenFlags, mode: Mode)
    Full             openat2            [x86_64 437, x86 437]  (dirfd: DirFd, path: UserStr, how: UserRef<OpenHow>, size: usize)
    Full             creat              [x86_64 85, x86 8]     (path: UserStr, mode: Mode)
    Full             close              [x86_64 3, x86 6]      (fd: RawFd)
    Full             close_range        [x86_64 436, x86 436]  (first: u32, last: u32, flags: CloseRangeFlags)
    Full             read               [x86_64 0, x86 3]      (fd: RawFd, buf: UserMut<u8>, count: usize)
    Full             write              [x86_64 1, x86 4]      (fd: RawFd, buf: UserRef<u8>, count: usize)
    Full             pread64            [x86_64 17, x86 180]   (fd: RawFd, buf: UserMut<u8>, count: usize, offset: Word64)
    Full             pwrite64           [x86_64 18, x86 181]   (fd: RawFd, buf: UserRef<u8>, count: usize, offset: Word64)
    Full             readv              [x86_64 19, x86 145]   (fd: RawFd, vectors: UserRef<IoVec>, count: usize)
    Full             writev             [x86_64 20, x86 146]   (fd: RawFd, vectors: UserRef<IoVec>, count: usize)
    Full             preadv             [x86_64 295, x86 333]  (fd: RawFd, vectors: UserRef<IoVec>, count: usize, offset: WordPair)
    Full             pwritev            [x86_64 296, x86 334]  (fd: RawFd, vectors: UserRef<IoVec>, count: usize, offset: WordPair)
    Full             preadv2            [x86_64 327, x86 378]  (fd: RawFd, vectors: UserRef<IoVec>, count: usize, offset: WordPair, flags: ReadWriteFlags)
    Full             pwritev2           [x86_64 328, x86 379]  (fd: RawFd, vectors: UserRef<IoVec>, count: usize, offset: WordPair, flags: ReadWriteFlags)
    Full             lseek              [x86_64 8, x86 19]     (fd: RawFd, offset: isize, whence: Whence)
    Full             dup                [x86_64 32, x86 41]    (fd: RawFd)
    Full             dup2               [x86_64 33, x86 63]    (old: RawFd, new: RawFd)
    Full             dup3               [x86_64 292, x86 330]  (old: RawFd, new: RawFd, flags: OpenFlags)
    Partial          fcntl              [x86_64 72, x86 55]    (fd: RawFd, command: FcntlCommand, argument: usize)  "leases on files of the sandbox's own file systems only; elsewhere EINVAL"
    Partial          ioctl              [x86_64 16, x86 54]    (fd: RawFd, request: IoctlRequest, argument: Address)  "terminals, FIONREAD, FIONBIO, FIOCLEX and FIONCLEX; the rest is ENOTTY"
    Full             flock              [x86_64 73, x86 143]   (fd: RawFd, operation: LockOperation)
    Full             fsync              [x86_64 74, x86 118]   (fd: RawFd)
    Full             fdatasync          [x86_64 75, x86 148]   (fd: RawFd)
    Full             sync               [x86_64 162, x86 36]   ()
    Full             syncfs             [x86_64 306, x86 344]  (fd: RawFd)
    Full             sync_file_range    [x86_64 277, x86 314]  (fd: RawFd, offset: Word64, len: Word64, flags: SyncRangeFlags)
    Full             truncate           [x86_64 76, x86 92]    (path: UserStr, len: isize)
    Full             ftruncate          [x86_64 77, x86 93]    (fd: RawFd, len: isize)
    Full             fallocate          [x86_64 285, x86 324]  (fd: RawFd, mode: AllocateMode, offset: Word64, len: Word64)
    Full             fadvise64          [x86_64 221, x86 250]  (fd: RawFd, offset: Word64, len: isize, advice: FileAdvice)  "the advice is checked and changes nothing"
    Full             readahead          [x86_64 187, x86 225]  (fd: RawFd, offset: Word64, count: usize)  "files are cached by the host"
    Full             sendfile           [x86_64 40, x86 187]   (out: RawFd, input: RawFd, offset: UserMut<isize>, count: usize)
    Full             copy_file_range    [x86_64 326, x86 377]  (input: RawFd, input_offset: UserMut<u64>, out: RawFd, out_offset: UserMut<u64>, len: usize, flags: u32)
    Full             splice             [x86_64 275, x86 313]  (input: RawFd, input_offset: UserMut<u64>, out: RawFd, out_offset: UserMut<u64>, len: usize, flags: SpliceFlags)
    Full             tee                [x86_64 276, x86 315]  (input: RawFd, out: RawFd, len: usize, flags: SpliceFlags)
    Full             vmsplice           [x86_64 278, x86 316]  (fd: RawFd, vectors: UserRef<IoVec>, count: usize, flags: SpliceFlags)
    Full             memfd_create       [x86_64 319, x86 356]  (name: UserStr, flags: MemfdFlags)
    Full             pipe               [x86_64 22, x86 42]    (fds: UserMut<FdPair>)
    Full             pipe2              [x86_64 293, x86 331]  (fds: UserMut<FdPair>, flags: OpenFlags)
    Missing          cachestat          [x86_64 451, x86 451]  (fd: RawFd, range: UserRef<()>, status: UserMut<()>, flags: u32)
    Full             io_setup           [x86_64 206, x86 245]  (count: u32, context: UserMut<UserWord>)
    Full             io_destroy         [x86_64 207, x86 246]  (context: usize)
    Partial          io_submit          [x86_64 209, x86 248]  (context: usize, count: isize, requests: UserRef<UserWord>)  "requests are done at once; IOCB_CMD_POLL is EINVAL, as before Linux 4.18"
    Full             io_cancel          [x86_64 210, x86 249]  (context: usize, request: UserRef<Iocb>, result: UserMut<IoEvent>)
    Full             io_getevents       [x86_64 208, x86 247]  (context: usize, least: isize, most: isize, events: UserMut<IoEvent>, timeout: UserRef<Timespec>)
    Full             io_pgetevents      [x86_64 333, x86 385]  (context: usize, least: isize, most: isize, events: UserMut<IoEvent>, timeout: UserRef<Timespec>, mask: UserRef<AioSigSet>)
    Refused(ENOSYS)  io_uring_setup     [x86_64 425, x86 425]  (entries: u32, parameters: UserMut<()>)  "not supported: io_uring would be a second kernel interface past the filter"
    Refused(ENOSYS)  io_uring_enter     [x86_64 426, x86 426]  (fd: RawFd, submit: u32, complete: u32, flags: u32, argument: UserRef<()>, size: usize)  "not supported: io_uring would be a second kernel interface past the filter"
    Refused(ENOSYS)  io_uring_register  [x86_64 427, x86 427]  (fd: RawFd, operation: u32, argument: UserMut<()>, count: u32)  "not supported: io_uring would be a second kernel interface past the filter"
}

path "Names, directories and attributes" {
    Full                 stat               [x86_64 4, x86 106]    (path: UserStr, buf: UserMut<Stat>)
    Full                 lstat              [x86_64 6, x86 107]    (path: UserStr, buf: UserMut<Stat>)
    Full                 fstat              [x86_64 5, x86 108]    (fd: RawFd, buf: UserMut<Stat>)
    Full                 newfstatat         [x86_64 262]           (dirfd: DirFd, path: UserStr, buf: UserMut<Stat>, flags: AtFlags)
    Full                 statx              [x86_64 332, x86 383]  (dirfd: DirFd, path: UserStr, flags: AtFlags, mask: StatxMask, buf: UserMut<Statx>)
    Full                 statfs             [x86_64 137, x86 99]   (path: UserStr, buf: UserMut<StatFs>)
    Full                 fstatfs            [x86_64 138, x86 100]  (fd: RawFd, buf: UserMut<StatFs>)
    Full                 access             [x86_64 21, x86 33]    (path: UserStr, mode: AccessMode)
    Full                 faccessat          [x86_64 269, x86 307]  (dirfd: DirFd, path: UserStr, mode: AccessMode)
    Full                 faccessat2         [x86_64 439, x86 439]  (dirfd: DirFd, path: UserStr, mode: AccessMode, flags: AtFlags)
    Full                 readlink           [x86_64 89, x86 85]    (path: UserStr, buf: UserMut<u8>, size: i32)
    Full                 readlinkat         [x86_64 267, x86 305]  (dirfd: DirFd, path: UserStr, buf: UserMut<u8>, size: i32)
    Full                 getcwd             [x86_64 79, x86 183]   (buf: UserMut<u8>, size: usize)
    Full                 chdir              [x86_64 80, x86 12]    (path: UserStr)
    Full                 fchdir             [x86_64 81, x86 133]   (fd: RawFd)
    Full                 chroot             [x86_64 161, x86 61]   (path: UserStr)
    Full                 getdents           [x86_64 78, x86 141]   (fd: RawFd, buf: UserMut<Dirent>, count: u32)
    Full                 getdents64         [x86_64 217, x86 220]  (fd: RawFd, buf: UserMut<Dirent>, count: u32)
    Full                 mkdir              [x86_64 83, x86 39]    (path: UserStr, mode: Mode)
    Full                 mkdirat            [x86_64 258, x86 296]  (dirfd: DirFd, path: UserStr, mode: Mode)
    Full                 rmdir              [x86_64 84, x86 40]    (path: UserStr)
    Full                 mknod              [x86_64 133, x86 14]   (path: UserStr, mode: Mode, device: u32)
    Full                 mknodat            [x86_64 259, x86 297]  (dirfd: DirFd, path: UserStr, mode: Mode, device: u32)
    Full                 unlink             [x86_64 87, x86 10]    (path: UserStr)
    Full                 unlinkat           [x86_64 263, x86 301]  (dirfd: DirFd, path: UserStr, flags: UnlinkFlags)
    Full                 rename             [x86_64 82, x86 38]    (old: UserStr, new: UserStr)
    Full                 renameat           [x86_64 264, x86 302]  (old_dirfd: DirFd, old: UserStr, new_dirfd: DirFd, new: UserStr)
    Full                 renameat2          [x86_64 316, x86 353]  (old_dirfd: DirFd, old: UserStr, new_dirfd: DirFd, new: UserStr, flags: RenameFlags)
    Full                 link               [x86_64 86, x86 9]     (old: UserStr, new: UserStr)
    Full                 linkat             [x86_64 265, x86 303]  (old_dirfd: DirFd, old: UserStr, new_dirfd: DirFd, new: UserStr, flags: AtFlags)
    Full                 symlink            [x86_64 88, x86 83]    (target: UserStr, path: UserStr)
    Full                 symlinkat          [x86_64 266, x86 304]  (target: UserStr, dirfd: DirFd, path: UserStr)
    Full                 chmod              [x86_64 90, x86 15]    (path: UserStr, mode: Mode)
    Full                 fchmod             [x86_64 91, x86 94]    (fd: RawFd, mode: Mode)
    Full                 fchmodat           [x86_64 268, x86 306]  (dirfd: DirFd, path: UserStr, mode: Mode)
    Full                 fchmodat2          [x86_64 452, x86 452]  (dirfd: DirFd, path: UserStr, mode: Mode, flags: AtFlags)
    Full                 chown              [x86_64 92]            (path: UserStr, uid: u32, gid: u32)
    Full                 lchown             [x86_64 94]            (path: UserStr, uid: u32, gid: u32)
    Full                 fchown             [x86_64 93]            (fd: RawFd, uid: u32, gid: u32)
    Full                 fchownat           [x86_64 260, x86 298]  (dirfd: DirFd, path: UserStr, uid: u32, gid: u32, flags: AtFlags)
    Full                 umask              [x86_64 95, x86 60]    (mask: Mode)
    Full                 utime              [x86_64 132, x86 30]   (path: UserStr, times: UserRef<Utimbuf>)
    Full                 utimes             [x86_64 235, x86 271]  (path: UserStr, times: UserRef<Timeval>)
    Full                 futimesat          [x86_64 261, x86 299]  (dirfd: DirFd, path: UserStr, times: UserRef<Timeval>)
    Full                 utimensat          [x86_64 280, x86 320]  (dirfd: DirFd, path: UserStr, times: UserRef<Timespec>, flags: AtFlags)
    Full                 setxattr           [x86_64 188, x86 226]  (path: UserStr, name: UserStr, value: UserRef<u8>, size: usize, flags: XattrFlags)
    Full                 lsetxattr          [x86_64 189, x86 227]  (path: UserStr, name: UserStr, value: UserRef<u8>, size: usize, flags: XattrFlags)
    Full                 fsetxattr          [x86_64 190, x86 228]  (fd: RawFd, name: UserStr, value: UserRef<u8>, size: usize, flags: XattrFlags)
    Full                 getxattr           [x86_64 191, x86 229]  (path: UserStr, name: UserStr, value: UserMut<u8>, size: usize)
    Full                 lgetxattr          [x86_64 192, x86 230]  (path: UserStr, name: UserStr, value: UserMut<u8>, size: usize)
    Full                 fgetxattr          [x86_64 193, x86 231]  (fd: RawFd, name: UserStr, value: UserMut<u8>, size: usize)
    Full                 listxattr          [x86_64 194, x86 232]  (path: UserStr, list: UserMut<u8>, size: usize)
    Full                 llistxattr         [x86_64 195, x86 233]  (path: UserStr, list: UserMut<u8>, size: usize)
    Full                 flistxattr         [x86_64 196, x86 234]  (fd: RawFd, list: UserMut<u8>, size: usize)
    Full                 removexattr        [x86_64 197, x86 235]  (path: UserStr, name: UserStr)
    Full                 lremovexattr       [x86_64 198, x86 236]  (path: UserStr, name: UserStr)
    Full                 fremovexattr       [x86_64 199, x86 237]  (fd: RawFd, name: UserStr)
    Full                 setxattrat         [x86_64 463, x86 463]  (dirfd: DirFd, path: UserStr, flags: AtFlags, name: UserStr, arguments: UserRef<()>, size: usize)
    Full                 getxattrat         [x86_64 464, x86 464]  (dirfd: DirFd, path: UserStr, flags: AtFlags, name: UserStr, arguments: UserMut<()>, size: usize)
    Full                 listxattrat        [x86_64 465, x86 465]  (dirfd: DirFd, path: UserStr, flags: AtFlags, list: UserMut<u8>, size: usize)
    Full                 removexattrat      [x86_64 466, x86 466]  (dirfd: DirFd, path: UserStr, flags: AtFlags, name: UserStr)
    Full                 file_getattr       [x86_64 468, x86 468]  (dirfd: DirFd, path: UserStr, attributes: UserMut<()>, size: usize, flags: AtFlags)
    Partial              file_setattr       [x86_64 469, x86 469]  (dirfd: DirFd, path: UserStr, attributes: UserRef<()>, size: usize, flags: AtFlags)  "files have no flags (chattr(1)) and get none: EOPNOTSUPP"
    Full                 inotify_init       [x86_64 253, x86 291]  ()
    Full                 inotify_init1      [x86_64 294, x86 332]  (flags: InotifyFlags)
    Full                 inotify_add_watch  [x86_64 254, x86 292]  (fd: RawFd, path: UserStr, mask: u32)
    Full                 inotify_rm_watch   [x86_64 255, x86 293]  (fd: RawFd, watch: i32)
    Refused(EPERM)       fanotify_init      [x86_64 300, x86 338]  (flags: u32, event_flags: u32)  "needs CAP_SYS_ADMIN, which no guest has"
    Refused(EPERM)       fanotify_mark      [x86_64 301, x86 339]  (fd: RawFd, flags: u32, mask: Word64, dirfd: DirFd, path: UserStr)  "needs CAP_SYS_ADMIN, which no guest has"
    Partial              name_to_handle_at  [x86_64 303, x86 341]  (dirfd: DirFd, path: UserStr, handle: UserMut<()>, mount: UserMut<i32>, flags: AtFlags)  "they tell files and mounts apart; none can be opened: see the next line"
    Refused(EPERM)       open_by_handle_at  [x86_64 304, x86 342]  (dirfd: DirFd, handle: UserRef<()>, flags: OpenFlags)  "needs CAP_DAC_READ_SEARCH, which no guest has"
    Refused(ENOSYS)      lookup_dcookie     [x86_64 212, x86 253]  (cookie: Word64, buf: UserMut<u8>, len: usize)  "Linux 6.7 removed it"
    Full                 ustat              [x86_64 136, x86 62]   (device: u32, buf: UserMut<()>)
    Full                 sysfs              [x86_64 139, x86 135]  (option: i32, arg1: usize, arg2: usize)
}

network "Networking" {
    Partial  socket       [x86_64 41, x86 359]   (family: SocketFamily, kind: SocketKind, protocol: i32)  "AF_UNIX, AF_INET and AF_INET6 (TCP, UDP, ping; beyond the loopback device TCP and UDP as far as --net and --allow-net go, and all three by a TUN device); AF_NETLINK tells of devices, addresses, routes and sockets and changes none; raw and packet sockets are EPERM; every other family is EAFNOSUPPORT"
    Partial  socketpair   [x86_64 53, x86 360]   (family: SocketFamily, kind: SocketKind, protocol: i32, fds: UserMut<FdPair>)  "AF_UNIX; EOPNOTSUPP for AF_INET and AF_INET6 as on Linux; every other family is EAFNOSUPPORT"
    Full     bind         [x86_64 49, x86 361]   (fd: RawFd, address: UserRef<SockAddr>, len: u32)
    Full     listen       [x86_64 50, x86 363]   (fd: RawFd, backlog: i32)
    Full     accept       [x86_64 43]            (fd: RawFd, address: UserMut<SockAddr>, len: UserMut<u32>)
    Full     accept4      [x86_64 288, x86 364]  (fd: RawFd, address: UserMut<SockAddr>, len: UserMut<u32>, flags: SocketKind)
    Full     connect      [x86_64 42, x86 362]   (fd: RawFd, address: UserRef<SockAddr>, len: u32)
    Full     sendto       [x86_64 44, x86 369]   (fd: RawFd, buf: UserRef<u8>, count: usize, flags: MessageFlags, address: UserRef<SockAddr>, len: u32)
    Full     sendmsg      [x86_64 46, x86 370]   (fd: RawFd, message: UserRef<MsgHdr>, flags: MessageFlags)
    Full     sendmmsg     [x86_64 307, x86 345]  (fd: RawFd, messages: UserMut<MMsgHdr>, count: u32, flags: MessageFlags)
    Full     recvfrom     [x86_64 45, x86 371]   (fd: RawFd, buf: UserMut<u8>, count: usize, flags: MessageFlags, address: UserMut<SockAddr>, len: UserMut<u32>)
    Full     recvmsg      [x86_64 47, x86 372]   (fd: RawFd, message: UserMut<MsgHdr>, flags: MessageFlags)
    Full     recvmmsg     [x86_64 299, x86 337]  (fd: RawFd, messages: UserMut<MMsgHdr>, count: u32, flags: MessageFlags, timeout: UserMut<Timespec>)
    Full     shutdown     [x86_64 48, x86 373]   (fd: RawFd, how: ShutdownHow)
    Full     setsockopt   [x86_64 54, x86 366]   (fd: RawFd, level: SocketLevel, option: i32, value: UserRef<u8>, len: u32)
    Full     getsockopt   [x86_64 55, x86 365]   (fd: RawFd, level: SocketLevel, option: i32, value: UserMut<u8>, len: UserMut<u32>)
    Full     getsockname  [x86_64 51, x86 367]   (fd: RawFd, address: UserMut<SockAddr>, len: UserMut<u32>)
    Full     getpeername  [x86_64 52, x86 368]   (fd: RawFd, address: UserMut<SockAddr>, len: UserMut<u32>)
}

ready "Waiting for many files; event files" {
    Full             poll             [x86_64 7, x86 168]    (fds: UserMut<PollFd>, count: u32, timeout: i32)
    Full             ppoll            [x86_64 271, x86 309]  (fds: UserMut<PollFd>, count: u32, timeout: UserMut<Timespec>, mask: UserRef<SigSet>, size: usize)
    Full             select           [x86_64 23]            (count: i32, readable: UserMut<FdSet>, writable: UserMut<FdSet>, exceptional: UserMut<FdSet>, timeout: UserMut<Timeval>)
    Full             pselect6         [x86_64 270, x86 308]  (count: i32, readable: UserMut<FdSet>, writable: UserMut<FdSet>, exceptional: UserMut<FdSet>, timeout: UserMut<Timespec>, mask: UserRef<SelectMask>)
    Full             epoll_create     [x86_64 213, x86 254]  (size: i32)
    Full             epoll_create1    [x86_64 291, x86 329]  (flags: EpollFlags)
    Full             epoll_ctl        [x86_64 233, x86 255]  (epfd: RawFd, operation: EpollOperation, fd: RawFd, event: UserRef<EpollEvent>)
    Full             epoll_wait       [x86_64 232, x86 256]  (epfd: RawFd, events: UserMut<EpollEvent>, count: i32, timeout: i32)
    Full             epoll_pwait      [x86_64 281, x86 319]  (epfd: RawFd, events: UserMut<EpollEvent>, count: i32, timeout: i32, mask: UserRef<SigSet>, size: usize)
    Full             epoll_pwait2     [x86_64 441, x86 441]  (epfd: RawFd, events: UserMut<EpollEvent>, count: i32, timeout: UserRef<Timespec>, mask: UserRef<SigSet>, size: usize)
    Full             eventfd          [x86_64 284, x86 323]  (value: u32)
    Full             eventfd2         [x86_64 290, x86 328]  (value: u32, flags: EventFdFlags)
    Full             signalfd         [x86_64 282, x86 321]  (fd: RawFd, mask: UserRef<SigSet>, size: usize)
    Full             signalfd4        [x86_64 289, x86 327]  (fd: RawFd, mask: UserRef<SigSet>, size: usize, flags: SignalFdFlags)
    Full             timerfd_create   [x86_64 283, x86 322]  (clock: ClockName, flags: TimerFdFlags)
    Full             timerfd_settime  [x86_64 286, x86 325]  (fd: RawFd, flags: TimerFdSetFlags, new: UserRef<Itimerspec>, old: UserMut<Itimerspec>)
    Full             timerfd_gettime  [x86_64 287, x86 326]  (fd: RawFd, current: UserMut<Itimerspec>)
    Refused(ENOSYS)  epoll_ctl_old    [x86_64 214]           ()  "Linux never had it"
    Refused(ENOSYS)  epoll_wait_old   [x86_64 215]           ()  "Linux never had it"
}

signal "Signals" {
    Full  rt_sigaction       [x86_64 13, x86 174]   (signal: Signal, new: UserRef<SigAction>, old: UserMut<SigAction>, size: usize)
    Full  rt_sigprocmask     [x86_64 14, x86 175]   (how: MaskHow, set: UserRef<SigSet>, old: UserMut<SigSet>, size: usize)
    Full  rt_sigreturn       [x86_64 15, x86 173]   ()
    Full  rt_sigpending      [x86_64 127, x86 176]  (set: UserMut<SigSet>, size: usize)
    Full  rt_sigtimedwait    [x86_64 128, x86 177]  (set: UserRef<SigSet>, info: UserMut<SigInfo>, timeout: UserRef<Timespec>, size: usize)
    Full  rt_sigsuspend      [x86_64 130, x86 179]  (set: UserRef<SigSet>, size: usize)
    Full  rt_sigqueueinfo    [x86_64 129, x86 178]  (pid: i32, signal: Signal, info: UserRef<SigInfo>)
    Full  rt_tgsigqueueinfo  [x86_64 297, x86 335]  (tgid: i32, tid: i32, signal: Signal, info: UserRef<SigInfo>)
    Full  sigaltstack        [x86_64 131, x86 186]  (new: UserRef<SigStack>, old: UserMut<SigStack>)
    Full  kill               [x86_64 62, x86 37]    (pid: i32, signal: Signal)
    Full  tkill              [x86_64 200, x86 238]  (tid: i32, signal: Signal)
    Full  tgkill             [x86_64 234, x86 270]  (tgid: i32, tid: i32, signal: Signal)
    Full  pause              [x86_64 34, x86 29]    ()
    Full  restart_syscall    [x86_64 219, x86 0]    ()
}

time "Time" {
    Full  clock_gettime     [x86_64 228, x86 265]  (clock: ClockName, time: UserMut<Timespec>)
    Full  clock_settime     [x86_64 227, x86 264]  (clock: ClockName, time: UserRef<Timespec>)
    Full  clock_getres      [x86_64 229, x86 266]  (clock: ClockName, resolution: UserMut<Timespec>)
    Full  clock_nanosleep   [x86_64 230, x86 267]  (clock: ClockName, flags: TimerFlags, request: UserRef<Timespec>, left: UserMut<Timespec>)
    Full  clock_adjtime     [x86_64 305, x86 343]  (clock: ClockName, timex: UserMut<Timex>)
    Full  adjtimex          [x86_64 159, x86 124]  (timex: UserMut<Timex>)
    Full  nanosleep         [x86_64 35, x86 162]   (request: UserRef<Timespec>, left: UserMut<Timespec>)
    Full  gettimeofday      [x86_64 96, x86 78]    (time: UserMut<Timeval>, zone: UserMut<()>)
    Full  settimeofday      [x86_64 164, x86 79]   (time: UserRef<Timeval>, zone: UserRef<()>)
    Full  time              [x86_64 201, x86 13]   (seconds: UserMut<isize>)
    Full  times             [x86_64 100, x86 43]   (buf: UserMut<Tms>)
    Full  alarm             [x86_64 37, x86 27]    (seconds: u32)
    Full  getitimer         [x86_64 36, x86 105]   (which: i32, value: UserMut<Itimerval>)
    Full  setitimer         [x86_64 38, x86 104]   (which: i32, new: UserRef<Itimerval>, old: UserMut<Itimerval>)
    Full  timer_create      [x86_64 222, x86 259]  (clock: ClockName, event: UserRef<SigEvent>, id: UserMut<i32>)
    Full  timer_settime     [x86_64 223, x86 260]  (id: i32, flags: TimerFlags, new: UserRef<Itimerspec>, old: UserMut<Itimerspec>)
    Full  timer_gettime     [x86_64 224, x86 261]  (id: i32, current: UserMut<Itimerspec>)
    Full  timer_getoverrun  [x86_64 225, x86 262]  (id: i32)
    Full  timer_delete      [x86_64 226, x86 263]  (id: i32)
}

sync "Synchronisation" {
    Full  futex            [x86_64 202, x86 240]  (word: UserMut<u32>, operation: FutexOperation, value: u32, timeout: UserRef<Timespec>, word2: UserMut<u32>, value3: u32)
    Full  futex_waitv      [x86_64 449, x86 449]  (words: UserRef<FutexWaitv>, count: u32, flags: u32, timeout: UserRef<Timespec>, clock: ClockName)
    Full  futex_wake       [x86_64 454, x86 454]  (word: UserMut<u32>, mask: usize, count: i32, flags: Futex2Flags)
    Full  futex_wait       [x86_64 455, x86 455]  (word: UserMut<u32>, value: usize, mask: usize, flags: Futex2Flags, timeout: UserRef<Timespec>, clock: ClockName)
    Full  futex_requeue    [x86_64 456, x86 456]  (words: UserRef<FutexWaitv>, flags: u32, wake: i32, moved: i32)
    Full  set_robust_list  [x86_64 273, x86 311]  (head: UserMut<RobustListHead>, size: usize)
    Full  get_robust_list  [x86_64 274, x86 312]  (tid: i32, head: UserMut<UserWord>, size: UserMut<UserWord>)
}

ipc "Interprocess communication" {
    Full     shmget           [x86_64 29, x86 395]   (key: i32, size: usize, flags: IpcGetFlags)
    Full     shmat            [x86_64 30, x86 397]   (id: i32, address: Address, flags: ShmAttachFlags)
    Full     shmdt            [x86_64 67, x86 398]   (address: Address)
    Partial  shmctl           [x86_64 31, x86 396]   (id: i32, command: i32, buf: UserMut<()>)  "the last process and the time of detaching are those of shmdt"
    Full     semget           [x86_64 64, x86 393]   (key: i32, count: i32, flags: IpcGetFlags)
    Full     semop            [x86_64 65]            (id: i32, operations: UserRef<SemBuf>, count: usize)
    Full     semtimedop       [x86_64 220]           (id: i32, operations: UserRef<SemBuf>, count: usize, timeout: UserRef<Timespec>)
    Full     semctl           [x86_64 66, x86 394]   (id: i32, index: i32, command: i32, argument: usize)
    Full     msgget           [x86_64 68, x86 399]   (key: i32, flags: IpcGetFlags)
    Full     msgsnd           [x86_64 69, x86 400]   (id: i32, message: UserRef<()>, size: isize, flags: MsgFlags)
    Full     msgrcv           [x86_64 70, x86 401]   (id: i32, message: UserMut<()>, size: isize, kind: isize, flags: MsgFlags)
    Full     msgctl           [x86_64 71, x86 402]   (id: i32, command: i32, buf: UserMut<()>)
    Full     mq_open          [x86_64 240, x86 277]  (name: UserStr, flags: OpenFlags, mode: Mode, attributes: UserRef<MqAttr>)
    Full     mq_unlink        [x86_64 241, x86 278]  (name: UserStr)
    Full     mq_timedsend     [x86_64 242, x86 279]  (queue: RawFd, message: UserRef<u8>, len: usize, priority: u32, timeout: UserRef<Timespec>)
    Full     mq_timedreceive  [x86_64 243, x86 280]  (queue: RawFd, message: UserMut<u8>, len: usize, priority: UserMut<u32>, timeout: UserRef<Timespec>)
    Full     mq_notify        [x86_64 244, x86 281]  (queue: RawFd, event: UserRef<SigEvent>)
    Full     mq_getsetattr    [x86_64 245, x86 282]  (queue: RawFd, new: UserRef<MqAttr>, old: UserMut<MqAttr>)
}

system "Limits and system information" {
    Full     uname          [x86_64 63, x86 122]   (buf: UserMut<UtsName>)
    Partial  sysinfo        [x86_64 99, x86 116]   (buf: UserMut<SysInfo>)  "no load average"
    Full     getrandom      [x86_64 318, x86 355]  (buf: UserMut<u8>, count: usize, flags: RandomFlags)
    Full     getrlimit      [x86_64 97]            (resource: Resource, limit: UserMut<Rlimit>)
    Full     setrlimit      [x86_64 160, x86 75]   (resource: Resource, limit: UserRef<Rlimit>)
    Full     prlimit64      [x86_64 302, x86 340]  (pid: i32, resource: Resource, new: UserRef<Rlimit64>, old: UserMut<Rlimit64>)
    Full     getrusage      [x86_64 98, x86 77]    (who: i32, usage: UserMut<Rusage>)
    Refused(EPERM) sethostname    [x86_64 170, x86 74]   (name: UserRef<u8>, len: usize)  "needs CAP_SYS_ADMIN"
    Refused(EPERM) setdomainname  [x86_64 171, x86 121]  (name: UserRef<u8>, len: usize)  "needs CAP_SYS_ADMIN"
    Refused(EPERM) syslog         [x86_64 103, x86 103]  (kind: i32, buf: UserMut<u8>, len: i32)  "needs CAP_SYSLOG"
}

admin "Administration: never in a sandbox" {
    Refused(EPERM)   mount                    [x86_64 165, x86 21]   (source: UserStr, target: UserStr, kind: UserStr, flags: usize, data: UserRef<()>)  "needs CAP_SYS_ADMIN; mounts are made before the guest starts"
    Refused(EPERM)   umount2                  [x86_64 166, x86 52]   (target: UserStr, flags: i32)  "needs CAP_SYS_ADMIN"
    Refused(EPERM)   pivot_root               [x86_64 155, x86 217]  (new_root: UserStr, put_old: UserStr)  "needs CAP_SYS_ADMIN"
    Refused(EPERM)   open_tree                [x86_64 428, x86 428]  (dirfd: DirFd, path: UserStr, flags: u32)  "needs CAP_SYS_ADMIN"
    Refused(EPERM)   open_tree_attr           [x86_64 467, x86 467]  (dirfd: DirFd, path: UserStr, flags: u32, attributes: UserRef<()>, size: usize)  "needs CAP_SYS_ADMIN"
    Refused(EPERM)   move_mount               [x86_64 429, x86 429]  (from_dirfd: DirFd, from: UserStr, to_dirfd: DirFd, to: UserStr, flags: u32)  "needs CAP_SYS_ADMIN"
    Refused(EPERM)   fsopen                   [x86_64 430, x86 430]  (name: UserStr, flags: u32)  "needs CAP_SYS_ADMIN"
    Refused(EPERM)   fsconfig                 [x86_64 431, x86 431]  (fd: RawFd, command: u32, key: UserStr, value: UserRef<()>, auxiliary: i32)  "needs CAP_SYS_ADMIN"
    Refused(EPERM)   fsmount                  [x86_64 432, x86 432]  (fd: RawFd, flags: u32, attributes: u32)  "needs CAP_SYS_ADMIN"
    Refused(EPERM)   fspick                   [x86_64 433, x86 433]  (dirfd: DirFd, path: UserStr, flags: u32)  "needs CAP_SYS_ADMIN"
    Refused(EPERM)   mount_setattr            [x86_64 442, x86 442]  (dirfd: DirFd, path: UserStr, flags: u32, attributes: UserRef<()>, size: usize)  "needs CAP_SYS_ADMIN"
    Refused(ENOSYS)  statmount                [x86_64 457, x86 457]  (request: UserRef<()>, buf: UserMut<()>, size: usize, flags: u32)  "as a kernel before 6.8: /proc/self/mountinfo has it all"
    Refused(ENOSYS)  listmount                [x86_64 458, x86 458]  (request: UserRef<()>, ids: UserMut<u64>, count: usize, flags: u32)  "as a kernel before 6.8: /proc/self/mountinfo has it all"
    Refused(ENOSYS)  listns                   [x86_64 470, x86 470]  (request: UserRef<()>, ids: UserMut<u64>, count: usize, flags: u32)  "as a kernel before 6.19"
    Refused(EPERM)   swapon                   [x86_64 167, x86 87]   (path: UserStr, flags: i32)  "needs CAP_SYS_ADMIN"
    Refused(EPERM)   swapoff                  [x86_64 168, x86 115]  (path: UserStr)  "needs CAP_SYS_ADMIN"
    Refused(EPERM)   acct                     [x86_64 163, x86 51]   (path: UserStr)  "needs CAP_SYS_PACCT"
    Refused(EPERM)   quotactl                 [x86_64 179, x86 131]  (command: u32, special: UserStr, id: u32, address: UserMut<()>)  "needs CAP_SYS_ADMIN"
    Refused(EPERM)   quotactl_fd              [x86_64 443, x86 443]  (fd: RawFd, command: u32, id: u32, address: UserMut<()>)  "needs CAP_SYS_ADMIN"
    Partial          reboot                   [x86_64 169, x86 88]   (magic: u32, magic2: u32, command: u32, argument: UserRef<()>)  "EPERM, or EINVAL for numbers that are wrong"
    Refused(EPERM)   kexec_load               [x86_64 246, x86 283]  (entry: Address, count: usize, segments: UserRef<()>, flags: usize)  "needs CAP_SYS_BOOT"
    Refused(EPERM)   kexec_file_load          [x86_64 320]           (kernel: RawFd, initrd: RawFd, len: usize, command_line: UserRef<u8>, flags: usize)  "needs CAP_SYS_BOOT"
    Refused(EPERM)   init_module              [x86_64 175, x86 128]  (image: UserRef<u8>, len: usize, parameters: UserStr)  "needs CAP_SYS_MODULE"
    Refused(EPERM)   finit_module             [x86_64 313, x86 350]  (fd: RawFd, parameters: UserStr, flags: i32)  "needs CAP_SYS_MODULE"
    Refused(EPERM)   delete_module            [x86_64 176, x86 129]  (name: UserStr, flags: u32)  "needs CAP_SYS_MODULE"
    Refused(ENOSYS)  create_module            [x86_64 174, x86 127]  ()  "Linux 2.6 removed it"
    Refused(ENOSYS)  get_kernel_syms          [x86_64 177, x86 130]  ()  "Linux 2.6 removed it"
    Refused(ENOSYS)  query_module             [x86_64 178, x86 167]  ()  "Linux 2.6 removed it"
    Refused(ENOSYS)  nfsservctl               [x86_64 180, x86 169]  ()  "Linux 3.1 removed it"
    Refused(ENOSYS)  getpmsg                  [x86_64 181, x86 188]  ()  "Linux never had it"
    Refused(ENOSYS)  putpmsg                  [x86_64 182, x86 189]  ()  "Linux never had it"
    Refused(ENOSYS)  afs_syscall              [x86_64 183, x86 137]  ()  "Linux never had it"
    Refused(ENOSYS)  tuxcall                  [x86_64 184]           ()  "Linux never had it"
    Refused(ENOSYS)  security                 [x86_64 185]           ()  "Linux never had it"
    Refused(ENOSYS)  vserver                  [x86_64 236, x86 273]  ()  "Linux never had it"
    Refused(ENOSYS)  _sysctl                  [x86_64 156, x86 149]  ()  "Linux 5.5 removed it: /proc/sys has it"
    Refused(ENOSYS)  uselib                   [x86_64 134, x86 86]   (path: UserStr)  "for a.out programs"
    Refused(EPERM)   iopl                     [x86_64 172, x86 110]  (level: i32)  "needs CAP_SYS_RAWIO"
    Refused(EPERM)   ioperm                   [x86_64 173, x86 101]  (from: usize, count: usize, on: i32)  "needs CAP_SYS_RAWIO"
    Refused(EPERM)   vhangup                  [x86_64 153, x86 111]  ()  "needs CAP_SYS_TTY_CONFIG"
    Refused(EPERM)   bpf                      [x86_64 321, x86 357]  (command: i32, attributes: UserMut<()>, size: u32)  "needs CAP_BPF; the host's bpf passes no filter"
    Refused(EACCES)  perf_event_open          [x86_64 298, x86 336]  (attributes: UserRef<()>, pid: i32, cpu: i32, group: RawFd, flags: usize)  "as with kernel.perf_event_paranoid 3"
    Refused(ENOSYS)  add_key                  [x86_64 248, x86 286]  (kind: UserStr, description: UserStr, payload: UserRef<u8>, len: usize, ring: i32)  "no key rings: the host's are shared with others"
    Refused(ENOSYS)  request_key              [x86_64 249, x86 287]  (kind: UserStr, description: UserStr, information: UserStr, ring: i32)  "no key rings: the host's are shared with others"
    Refused(ENOSYS)  keyctl                   [x86_64 250, x86 288]  (operation: i32, arg2: usize, arg3: usize, arg4: usize, arg5: usize)  "no key rings: the host's are shared with others"
    Refused(ENOSYS)  landlock_create_ruleset  [x86_64 444, x86 444]  (attributes: UserRef<()>, size: usize, flags: u32)  "no Landlock inside"
    Refused(ENOSYS)  landlock_add_rule        [x86_64 445, x86 445]  (ruleset: RawFd, kind: i32, attributes: UserRef<()>, flags: u32)  "no Landlock inside"
    Refused(ENOSYS)  landlock_restrict_self   [x86_64 446, x86 446]  (ruleset: RawFd, flags: u32)  "no Landlock inside"
    Refused(ENOSYS)  lsm_get_self_attr        [x86_64 459, x86 459]  (attribute: u32, context: UserMut<()>, size: UserMut<u32>, flags: u32)  "as a kernel before 6.8"
    Refused(ENOSYS)  lsm_set_self_attr        [x86_64 460, x86 460]  (attribute: u32, context: UserRef<()>, size: u32, flags: u32)  "as a kernel before 6.8"
    Refused(ENOSYS)  lsm_list_modules         [x86_64 461, x86 461]  (ids: UserMut<u64>, size: UserMut<u32>, flags: u32)  "as a kernel before 6.8"
}

thirty_two "Calls that only 32-bit programs make" {
    Full             socketcall                    [x86 102]  (call: i32, arguments: UserRef<u32>)
    Partial          fcntl64                       [x86 221]  (fd: RawFd, command: FcntlCommand, argument: usize)  "as fcntl"
    Full             fstatat64                     [x86 300]  (dirfd: DirFd, path: UserStr, buf: UserMut<Stat64>, flags: AtFlags)
    Full             stat64                        [x86 195]  (path: UserStr, buf: UserMut<Stat64>)
    Full             lstat64                       [x86 196]  (path: UserStr, buf: UserMut<Stat64>)
    Full             fstat64                       [x86 197]  (fd: RawFd, buf: UserMut<Stat64>)
    Full             statfs64                      [x86 268]  (path: UserStr, size: usize, buf: UserMut<StatFs64>)
    Full             fstatfs64                     [x86 269]  (fd: RawFd, size: usize, buf: UserMut<StatFs64>)
    Full             _llseek                       [x86 140]  (fd: RawFd, high: usize, low: usize, result: UserMut<u64>, whence: Whence)
    Full             truncate64                    [x86 193]  (path: UserStr, len: Word64)
    Full             ftruncate64                   [x86 194]  (fd: RawFd, len: Word64)
    Full             fadvise64_64                  [x86 272]  (fd: RawFd, offset: Word64, len: Word64, advice: FileAdvice)  "the advice is checked and changes nothing"
    Full             sendfile64                    [x86 239]  (out: RawFd, input: RawFd, offset: UserMut<u64>, count: usize)
    Full             mmap2                         [x86 192]  (address: Address, len: usize, protection: Protection, flags: MapFlags, fd: RawFd, page: usize)
    Full             _newselect                    [x86 142]  (count: i32, readable: UserMut<FdSet>, writable: UserMut<FdSet>, exceptional: UserMut<FdSet>, timeout: UserMut<Timeval>)
    Full             ppoll_time64                  [x86 414]  (fds: UserMut<PollFd>, count: u32, timeout: UserMut<Timespec>, mask: UserRef<SigSet>, size: usize)
    Full             pselect6_time64               [x86 413]  (count: i32, readable: UserMut<FdSet>, writable: UserMut<FdSet>, exceptional: UserMut<FdSet>, timeout: UserMut<Timespec>, mask: UserRef<SelectMask>)
    Full             recvmmsg_time64               [x86 417]  (fd: RawFd, messages: UserMut<MMsgHdr>, count: u32, flags: MessageFlags, timeout: UserMut<Timespec>)
    Full             sigreturn                     [x86 119]  ()
    Full             sigaction                     [x86 67]   (signal: Signal, new: UserRef<OldSigAction>, old: UserMut<OldSigAction>)
    Full             signal                        [x86 48]   (signal: Signal, handler: usize)
    Full             sigprocmask                   [x86 126]  (how: MaskHow, set: UserRef<u32>, old: UserMut<u32>)
    Full             sigpending                    [x86 73]   (set: UserMut<u32>)
    Full             sigsuspend                    [x86 72]   (unused1: i32, unused2: i32, mask: u32)
    Full             sgetmask                      [x86 68]   ()
    Full             ssetmask                      [x86 69]   (mask: u32)
    Full             rt_sigtimedwait_time64        [x86 421]  (set: UserRef<SigSet>, info: UserMut<SigInfo>, timeout: UserRef<Timespec>, size: usize)
    Full             clock_gettime64               [x86 403]  (clock: ClockName, time: UserMut<Timespec>)
    Full             clock_settime64               [x86 404]  (clock: ClockName, time: UserRef<Timespec>)
    Full             clock_getres_time64           [x86 406]  (clock: ClockName, resolution: UserMut<Timespec>)
    Full             clock_nanosleep_time64        [x86 407]  (clock: ClockName, flags: TimerFlags, request: UserRef<Timespec>, left: UserMut<Timespec>)
    Full             clock_adjtime64               [x86 405]  (clock: ClockName, timex: UserMut<Timex>)
    Full             timer_gettime64               [x86 408]  (id: i32, current: UserMut<Itimerspec>)
    Full             timer_settime64               [x86 409]  (id: i32, flags: TimerFlags, new: UserRef<Itimerspec>, old: UserMut<Itimerspec>)
    Full             timerfd_gettime64             [x86 410]  (fd: RawFd, current: UserMut<Itimerspec>)
    Full             timerfd_settime64             [x86 411]  (fd: RawFd, flags: TimerFdSetFlags, new: UserRef<Itimerspec>, old: UserMut<Itimerspec>)
    Full             utimensat_time64              [x86 412]  (dirfd: DirFd, path: UserStr, times: UserRef<Timespec>, flags: AtFlags)
    Full             futex_time64                  [x86 422]  (word: UserMut<u32>, operation: FutexOperation, value: u32, timeout: UserRef<Timespec>, word2: UserMut<u32>, value3: u32)
    Full             sched_rr_get_interval_time64  [x86 423]  (pid: i32, interval: UserMut<Timespec>)
    Full             semtimedop_time64             [x86 420]  (id: i32, operations: UserRef<SemBuf>, count: usize, timeout: UserRef<Timespec>)
    Full             mq_timedsend_time64           [x86 418]  (queue: RawFd, message: UserRef<u8>, len: usize, priority: u32, timeout: UserRef<Timespec>)
    Full             mq_timedreceive_time64        [x86 419]  (queue: RawFd, message: UserMut<u8>, len: usize, priority: UserMut<u32>, timeout: UserRef<Timespec>)
    Full             io_pgetevents_time64          [x86 416]  (context: usize, least: isize, most: isize, events: UserMut<IoEvent>, timeout: UserRef<Timespec>, mask: UserRef<AioSigSet>)
    Full             ugetrlimit                    [x86 191]  (resource: Resource, limit: UserMut<Rlimit>)
    Full             old_getrlimit                 [x86 76]   (resource: Resource, limit: UserMut<Rlimit>)
    Full             waitpid                       [x86 7]    (pid: i32, status: UserMut<i32>, options: WaitOptions)
    Partial          ipc                           [x86 117]  (call: u32, first: i32, second: usize, third: usize, pointer: UserMut<()>, fifth: usize)  "structures of Linux 2.2 (commands without IPC_64) are EINVAL"
    Partial          nice                          [x86 34]   (increment: i32)  "as setpriority"
    Full             old_mmap                      [x86 90]   (arguments: UserRef<MapArguments>)
    Full             old_select                    [x86 82]   (arguments: UserRef<SelectArguments>)
    Full             readdir                       [x86 89]   (fd: RawFd, buf: UserMut<()>, count: u32)
    Full             oldstat                       [x86 18]   (path: UserStr, buf: UserMut<OldStat>)
    Full             oldlstat                      [x86 84]   (path: UserStr, buf: UserMut<OldStat>)
    Full             oldfstat                      [x86 28]   (fd: RawFd, buf: UserMut<OldStat>)
    Full             olduname                      [x86 109]  (buf: UserMut<()>)
    Full             oldolduname                   [x86 59]   (buf: UserMut<()>)
    Partial          stime                         [x86 25]   (seconds: UserRef<isize>)  "nobody sets the clock: EPERM"
    Full             getuid32                      [x86 199]  ()
    Full             geteuid32                     [x86 201]  ()
    Full             getgid32                      [x86 200]  ()
    Full             getegid32                     [x86 202]  ()
    Full             setuid32                      [x86 213]  (uid: u32)
    Full             setgid32                      [x86 214]  (gid: u32)
    Full             setreuid32                    [x86 203]  (uid: u32, euid: u32)
    Full             setregid32                    [x86 204]  (gid: u32, egid: u32)
    Full             setresuid32                   [x86 208]  (uid: u32, euid: u32, suid: u32)
    Full             setresgid32                   [x86 210]  (gid: u32, egid: u32, sgid: u32)
    Full             getresuid32                   [x86 209]  (uid: UserMut<u32>, euid: UserMut<u32>, suid: UserMut<u32>)
    Full             getresgid32                   [x86 211]  (gid: UserMut<u32>, egid: UserMut<u32>, sgid: UserMut<u32>)
    Full             setfsuid32                    [x86 215]  (uid: u32)
    Full             setfsgid32                    [x86 216]  (gid: u32)
    Full             getgroups32                   [x86 205]  (size: i32, list: UserMut<u32>)
    Full             setgroups32                   [x86 206]  (size: usize, list: UserRef<u32>)
    Full             chown32                       [x86 212]  (path: UserStr, uid: u32, gid: u32)
    Full             lchown32                      [x86 198]  (path: UserStr, uid: u32, gid: u32)
    Full             fchown32                      [x86 207]  (fd: RawFd, uid: u32, gid: u32)
    Full             getuid16                      [x86 24]   ()
    Full             geteuid16                     [x86 49]   ()
    Full             getgid16                      [x86 47]   ()
    Full             getegid16                     [x86 50]   ()
    Full             setuid16                      [x86 23]   (uid: u32)
    Full             setgid16                      [x86 46]   (gid: u32)
    Full             setreuid16                    [x86 70]   (uid: u32, euid: u32)
    Full             setregid16                    [x86 71]   (gid: u32, egid: u32)
    Full             setresuid16                   [x86 164]  (uid: u32, euid: u32, suid: u32)
    Full             setresgid16                   [x86 170]  (gid: u32, egid: u32, sgid: u32)
    Full             getresuid16                   [x86 165]  (uid: UserMut<Id16>, euid: UserMut<Id16>, suid: UserMut<Id16>)
    Full             getresgid16                   [x86 171]  (gid: UserMut<Id16>, egid: UserMut<Id16>, sgid: UserMut<Id16>)
    Full             setfsuid16                    [x86 138]  (uid: u32)
    Full             setfsgid16                    [x86 139]  (gid: u32)
    Full             getgroups16                   [x86 80]   (size: i32, list: UserMut<Id16>)
    Full             setgroups16                   [x86 81]   (size: usize, list: UserRef<Id16>)
    Full             chown16                       [x86 182]  (path: UserStr, uid: u32, gid: u32)
    Full             lchown16                      [x86 16]   (path: UserStr, uid: u32, gid: u32)
    Full             fchown16                      [x86 95]   (fd: RawFd, uid: u32, gid: u32)
    Refused(EPERM)   umount                        [x86 22]   (target: UserStr)  "needs CAP_SYS_ADMIN"
    Refused(ENOSYS)  break_                       [x86 17]   ()  "Linux never had it"
    Refused(ENOSYS)  stty                          [x86 31]   ()  "Linux never had it"
    Refused(ENOSYS)  gtty                          [x86 32]   ()  "Linux never had it"
    Refused(ENOSYS)  ftime                         [x86 35]   ()  "Linux never had it"
    Refused(ENOSYS)  prof                          [x86 44]   ()  "Linux never had it"
    Refused(ENOSYS)  lock                          [x86 53]   ()  "Linux never had it"
    Refused(ENOSYS)  mpx                           [x86 56]   ()  "Linux never had it"
    Refused(ENOSYS)  ulimit                        [x86 58]   ()  "Linux never had it"
    Refused(ENOSYS)  profil                        [x86 98]   ()  "Linux never had it"
    Refused(ENOSYS)  idle                          [x86 112]  ()  "Linux 2.4 removed it"
    Refused(ENOSYS)  bdflush                       [x86 134]  ()  "Linux 5.15 removed it"
    Refused(ENOSYS)  vm86old                       [x86 113]  ()  "as a 64-bit kernel: no virtual 8086 mode"
    Refused(ENOSYS)  vm86                          [x86 166]  ()  "as a 64-bit kernel: no virtual 8086 mode"
}

    } };
}
