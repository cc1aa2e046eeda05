//! Arguments whose values have names: flags and choices, as the manual pages spell them.

use crate::argument::{Argument, Pass, Registers};
use crate::show::Shown;

/// The names of a type's values. A value has a name if its bits under the name's mask are the name's.
pub type Names = &'static [Name];

/// One name.
#[derive(Debug)]
pub struct Name {
    /// As the manual page spells it.
    pub text: &'static str,
    /// The bits it is.
    pub bits: u64,
    /// The bits that must be so.
    pub mask: u64,
}

/// `flags`: any of the names together; a name with `in MASK` is one of the values of that field. `choice`: one of the names.
macro_rules! named {
    ($($(#[$doc:meta])* $kind:ident $name:ident($inner:ident, $twin:ident) { $($text:ident = $bits:literal $(in $mask:literal)?),* $(,)? })*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name(pub $inner);

        impl Argument for $name {
            #[inline(always)]
            fn take(registers: &mut Registers) -> Self {
                Self(<$inner as Argument>::take(registers))
            }
            fn shown(self) -> Shown {
                const NAMES: Names = &[$(Name {
                    text: stringify!($text),
                    bits: $bits,
                    mask: named!(mask $kind $bits $($mask)?),
                }),*];
                named!(shown $kind $inner, NAMES, self.0)
            }
        }
        impl Pass<$inner> for $name {
            #[inline(always)]
            fn pass(self) -> $inner {
                self.0
            }
        }
        impl Pass<$twin> for $name {
            #[inline(always)]
            fn pass(self) -> $twin {
                self.0 as $twin
            }
        })*
    };
    (mask choice $bits:literal) => { u64::MAX };
    (mask flags $bits:literal) => { $bits };
    (mask flags $bits:literal $mask:literal) => { $mask };
    (shown choice $inner:ident, $names:ident, $value:expr) => { Shown::Choice($names, i64::from($value)) };
    (shown flags i32, $names:ident, $value:expr) => { Shown::Flags($names, u64::from($value as u32)) };
    (shown flags u32, $names:ident, $value:expr) => { Shown::Flags($names, u64::from($value)) };
    (shown flags usize, $names:ident, $value:expr) => { Shown::Flags($names, $value as u64) };
}

named! {
    /// open(2)
    flags OpenFlags(i32, u32) {
        O_RDONLY = 0 in 3, O_WRONLY = 1 in 3, O_RDWR = 2 in 3, O_ACCMODE = 3 in 3, O_CREAT = 0o100, O_EXCL = 0o200, O_NOCTTY = 0o400,
        O_TRUNC = 0o1000, O_APPEND = 0o2000, O_NONBLOCK = 0o4000, O_SYNC = 0o4_010_000, O_DSYNC = 0o10000, O_ASYNC = 0o20000,
        O_DIRECT = 0o40000, O_LARGEFILE = 0o100_000, O_TMPFILE = 0o20_200_000, O_DIRECTORY = 0o200_000, O_NOFOLLOW = 0o400_000,
        O_NOATIME = 0o1_000_000, O_CLOEXEC = 0o2_000_000, O_PATH = 0o10_000_000
    }
    /// `AT_*` flags of calls with a directory descriptor
    flags AtFlags(i32, u32) {
        AT_SYMLINK_NOFOLLOW = 0x100, AT_EACCESS = 0x200, AT_SYMLINK_FOLLOW = 0x400, AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000,
        AT_STATX_FORCE_SYNC = 0x2000, AT_STATX_DONT_SYNC = 0x4000, AT_RECURSIVE = 0x8000
    }
    /// unlinkat(2), where `AT_EACCESS`'s bit means something else
    flags UnlinkFlags(i32, u32) { AT_REMOVEDIR = 0x200 }
    /// renameat2(2)
    flags RenameFlags(u32, i32) { RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2, RENAME_WHITEOUT = 4 }
    /// access(2)
    flags AccessMode(u32, i32) { F_OK = 0 in 7, R_OK = 4, W_OK = 2, X_OK = 1 }
    /// statx(2)
    flags StatxMask(u32, i32) {
        STATX_BASIC_STATS = 0x7ff, STATX_TYPE = 1, STATX_MODE = 2, STATX_NLINK = 4, STATX_UID = 8, STATX_GID = 0x10, STATX_ATIME = 0x20,
        STATX_MTIME = 0x40, STATX_CTIME = 0x80, STATX_INO = 0x100, STATX_SIZE = 0x200, STATX_BLOCKS = 0x400, STATX_BTIME = 0x800,
        STATX_MNT_ID = 0x1000, STATX_DIOALIGN = 0x2000
    }
    /// setxattr(2)
    flags XattrFlags(i32, u32) { XATTR_CREATE = 1, XATTR_REPLACE = 2 }
    /// lseek(2)
    choice Whence(i32, u32) { SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2, SEEK_DATA = 3, SEEK_HOLE = 4 }
    /// fcntl(2)
    choice FcntlCommand(u32, i32) {
        F_DUPFD = 0, F_GETFD = 1, F_SETFD = 2, F_GETFL = 3, F_SETFL = 4, F_GETLK = 5, F_SETLK = 6, F_SETLKW = 7, F_SETOWN = 8, F_GETOWN = 9,
        F_SETSIG = 10, F_GETSIG = 11, F_SETOWN_EX = 15, F_GETOWN_EX = 16, F_OFD_GETLK = 36, F_OFD_SETLK = 37, F_OFD_SETLKW = 38,
        F_SETLEASE = 1024, F_GETLEASE = 1025, F_NOTIFY = 1026, F_DUPFD_CLOEXEC = 1030, F_SETPIPE_SZ = 1031, F_GETPIPE_SZ = 1032,
        F_ADD_SEALS = 1033, F_GET_SEALS = 1034
    }
    /// ioctl(2)
    choice IoctlRequest(u32, i32) {
        TCGETS = 0x5401, TCSETS = 0x5402, TCSETSW = 0x5403, TCSETSF = 0x5404, TCSBRK = 0x5409, TCXONC = 0x540a, TCFLSH = 0x540b,
        TIOCSCTTY = 0x540e, TIOCGPGRP = 0x540f, TIOCSPGRP = 0x5410, TIOCOUTQ = 0x5411, TIOCSTI = 0x5412, TIOCGWINSZ = 0x5413,
        TIOCSWINSZ = 0x5414, FIONREAD = 0x541b, FIONBIO = 0x5421, TIOCNOTTY = 0x5422, TIOCGSID = 0x5429, FIONCLEX = 0x5450, FIOCLEX = 0x5451,
        FIOASYNC = 0x5452, TIOCGPTN = 0x8004_5430, TIOCSPTLCK = 0x4004_5431, TIOCGPTPEER = 0x5441
    }
    /// flock(2)
    flags LockOperation(i32, u32) { LOCK_SH = 1, LOCK_EX = 2, LOCK_UN = 8, LOCK_NB = 4 }
    /// fallocate(2)
    flags AllocateMode(i32, u32) {
        FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2, FALLOC_FL_COLLAPSE_RANGE = 8, FALLOC_FL_ZERO_RANGE = 0x10,
        FALLOC_FL_INSERT_RANGE = 0x20, FALLOC_FL_UNSHARE_RANGE = 0x40
    }
    /// close_range(2)
    flags CloseRangeFlags(u32, i32) { CLOSE_RANGE_UNSHARE = 2, CLOSE_RANGE_CLOEXEC = 4 }
    /// preadv2(2)
    flags ReadWriteFlags(i32, u32) { RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4, RWF_NOWAIT = 8, RWF_APPEND = 0x10, RWF_NOAPPEND = 0x20 }
    /// splice(2)
    flags SpliceFlags(u32, i32) { SPLICE_F_MOVE = 1, SPLICE_F_NONBLOCK = 2, SPLICE_F_MORE = 4, SPLICE_F_GIFT = 8 }
    /// memfd_create(2)
    flags MemfdFlags(u32, i32) {
        MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_HUGETLB = 4, MFD_NOEXEC_SEAL = 8, MFD_EXEC = 0x10
    }
    /// mmap(2), what may be done with the pages
    flags Protection(usize, u64) {
        PROT_NONE = 0 in 0xf, PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, PROT_SEM = 8, PROT_GROWSDOWN = 0x100_0000, PROT_GROWSUP = 0x200_0000
    }
    /// mmap(2), how
    flags MapFlags(usize, u64) {
        MAP_SHARED = 1 in 0xf, MAP_PRIVATE = 2 in 0xf, MAP_SHARED_VALIDATE = 3 in 0xf, MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20, MAP_32BIT = 0x40,
        MAP_GROWSDOWN = 0x100, MAP_DENYWRITE = 0x800, MAP_EXECUTABLE = 0x1000, MAP_LOCKED = 0x2000, MAP_NORESERVE = 0x4000, MAP_POPULATE = 0x8000,
        MAP_NONBLOCK = 0x1_0000, MAP_STACK = 0x2_0000, MAP_HUGETLB = 0x4_0000, MAP_SYNC = 0x8_0000, MAP_FIXED_NOREPLACE = 0x10_0000
    }
    /// mremap(2)
    flags RemapFlags(usize, u64) { MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2, MREMAP_DONTUNMAP = 4 }
    /// msync(2)
    flags SyncFlags(usize, u64) { MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 }
    /// madvise(2)
    choice Advice(i32, u32) {
        MADV_NORMAL = 0, MADV_RANDOM = 1, MADV_SEQUENTIAL = 2, MADV_WILLNEED = 3, MADV_DONTNEED = 4, MADV_FREE = 8, MADV_REMOVE = 9,
        MADV_DONTFORK = 10, MADV_DOFORK = 11, MADV_MERGEABLE = 12, MADV_UNMERGEABLE = 13, MADV_HUGEPAGE = 14, MADV_NOHUGEPAGE = 15,
        MADV_DONTDUMP = 16, MADV_DODUMP = 17, MADV_WIPEONFORK = 18, MADV_KEEPONFORK = 19, MADV_COLD = 20, MADV_PAGEOUT = 21,
        MADV_POPULATE_READ = 22, MADV_POPULATE_WRITE = 23, MADV_DONTNEED_LOCKED = 24, MADV_COLLAPSE = 25
    }
    /// clone(2); the low byte is the signal at the child's end
    flags CloneFlags(usize, u64) {
        SIGCHLD = 17 in 0xff, CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800, CLONE_PIDFD = 0x1000,
        CLONE_PTRACE = 0x2000, CLONE_VFORK = 0x4000, CLONE_PARENT = 0x8000, CLONE_THREAD = 0x1_0000, CLONE_NEWNS = 0x2_0000,
        CLONE_SYSVSEM = 0x4_0000, CLONE_SETTLS = 0x8_0000, CLONE_PARENT_SETTID = 0x10_0000, CLONE_CHILD_CLEARTID = 0x20_0000,
        CLONE_DETACHED = 0x40_0000, CLONE_UNTRACED = 0x80_0000, CLONE_CHILD_SETTID = 0x100_0000, CLONE_NEWCGROUP = 0x200_0000,
        CLONE_NEWUTS = 0x400_0000, CLONE_NEWIPC = 0x800_0000, CLONE_NEWUSER = 0x1000_0000, CLONE_NEWPID = 0x2000_0000,
        CLONE_NEWNET = 0x4000_0000, CLONE_IO = 0x8000_0000
    }
    /// wait4(2)
    flags WaitOptions(u32, i32) {
        WNOHANG = 1, WUNTRACED = 2, WEXITED = 4, WCONTINUED = 8, WNOWAIT = 0x100_0000, __WNOTHREAD = 0x2000_0000, __WALL = 0x4000_0000,
        __WCLONE = 0x8000_0000
    }
    /// waitid(2)
    choice WaitKind(i32, u32) { P_ALL = 0, P_PID = 1, P_PGID = 2, P_PIDFD = 3 }
    /// prctl(2)
    choice PrctlOption(i32, u32) {
        PR_SET_PDEATHSIG = 1, PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4, PR_GET_KEEPCAPS = 7, PR_SET_KEEPCAPS = 8,
        PR_SET_NAME = 15, PR_GET_NAME = 16, PR_GET_SECCOMP = 21, PR_SET_SECCOMP = 22, PR_CAPBSET_READ = 23, PR_CAPBSET_DROP = 24, PR_GET_TSC = 25,
        PR_SET_TSC = 26, PR_GET_SECUREBITS = 27, PR_SET_SECUREBITS = 28, PR_SET_TIMERSLACK = 29, PR_GET_TIMERSLACK = 30, PR_MCE_KILL = 33,
        PR_MCE_KILL_GET = 34, PR_SET_MM = 35, PR_GET_SPECULATION_CTRL = 52, PR_SET_SPECULATION_CTRL = 53, PR_SET_MDWE = 65, PR_GET_MDWE = 66,
        PR_SET_CHILD_SUBREAPER = 36, PR_GET_CHILD_SUBREAPER = 37, PR_SET_NO_NEW_PRIVS = 38, PR_GET_NO_NEW_PRIVS = 39, PR_GET_TID_ADDRESS = 40,
        PR_SET_THP_DISABLE = 41, PR_GET_THP_DISABLE = 42, PR_CAP_AMBIENT = 47, PR_GET_SPECULATION_CTRL = 52, PR_SET_SYSCALL_USER_DISPATCH = 59,
        PR_SET_VMA = 0x5356_4d41, PR_SET_PTRACER = 0x5961_6d61
    }
    /// arch_prctl(2)
    choice ArchPrctlCode(i32, u32) {
        ARCH_SET_GS = 0x1001, ARCH_SET_FS = 0x1002, ARCH_GET_FS = 0x1003, ARCH_GET_GS = 0x1004, ARCH_GET_CPUID = 0x1011, ARCH_SET_CPUID = 0x1012,
        ARCH_GET_XCOMP_SUPP = 0x1021, ARCH_CET_STATUS = 0x3001, ARCH_CET_DISABLE = 0x3002, ARCH_CET_LOCK = 0x3003, ARCH_SHSTK_ENABLE = 0x5001
    }
    /// kill(2)
    choice Signal(i32, u32) {
        SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGBUS = 7, SIGFPE = 8, SIGKILL = 9, SIGUSR1 = 10, SIGSEGV = 11,
        SIGUSR2 = 12, SIGPIPE = 13, SIGALRM = 14, SIGTERM = 15, SIGSTKFLT = 16, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20,
        SIGTTIN = 21, SIGTTOU = 22, SIGURG = 23, SIGXCPU = 24, SIGXFSZ = 25, SIGVTALRM = 26, SIGPROF = 27, SIGWINCH = 28, SIGIO = 29,
        SIGPWR = 30, SIGSYS = 31, SIGRTMIN = 32
    }
    /// rt_sigprocmask(2)
    choice MaskHow(i32, u32) { SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2 }
    /// socket(2)
    choice SocketFamily(i32, u32) { AF_UNSPEC = 0, AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10, AF_NETLINK = 16, AF_PACKET = 17, AF_VSOCK = 40 }
    /// socket(2), with its flags
    flags SocketKind(i32, u32) {
        SOCK_STREAM = 1 in 0xf, SOCK_DGRAM = 2 in 0xf, SOCK_RAW = 3 in 0xf, SOCK_SEQPACKET = 5 in 0xf, SOCK_NONBLOCK = 0o4000, SOCK_CLOEXEC = 0o2_000_000
    }
    /// setsockopt(2)
    choice SocketLevel(i32, u32) { SOL_IP = 0, SOL_SOCKET = 1, SOL_TCP = 6, SOL_UDP = 17, SOL_IPV6 = 41, SOL_NETLINK = 270 }
    /// send(2), recv(2)
    flags MessageFlags(i32, u32) {
        MSG_OOB = 1, MSG_PEEK = 2, MSG_DONTROUTE = 4, MSG_CTRUNC = 8, MSG_TRUNC = 0x20, MSG_DONTWAIT = 0x40, MSG_EOR = 0x80, MSG_WAITALL = 0x100,
        MSG_CONFIRM = 0x800, MSG_ERRQUEUE = 0x2000, MSG_NOSIGNAL = 0x4000, MSG_MORE = 0x8000, MSG_WAITFORONE = 0x1_0000, MSG_CMSG_CLOEXEC = 0x4000_0000
    }
    /// shutdown(2)
    choice ShutdownHow(i32, u32) { SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2 }
    /// epoll_ctl(2)
    choice EpollOperation(i32, u32) { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3 }
    /// clock_gettime(2)
    choice ClockName(i32, u32) {
        CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1, CLOCK_PROCESS_CPUTIME_ID = 2, CLOCK_THREAD_CPUTIME_ID = 3, CLOCK_MONOTONIC_RAW = 4,
        CLOCK_REALTIME_COARSE = 5, CLOCK_MONOTONIC_COARSE = 6, CLOCK_BOOTTIME = 7, CLOCK_REALTIME_ALARM = 8, CLOCK_BOOTTIME_ALARM = 9, CLOCK_TAI = 11
    }
    /// futex(2)
    flags FutexOperation(i32, u32) {
        FUTEX_WAIT = 0 in 0x7f, FUTEX_WAKE = 1 in 0x7f, FUTEX_FD = 2 in 0x7f, FUTEX_REQUEUE = 3 in 0x7f, FUTEX_CMP_REQUEUE = 4 in 0x7f,
        FUTEX_WAKE_OP = 5 in 0x7f, FUTEX_LOCK_PI = 6 in 0x7f, FUTEX_UNLOCK_PI = 7 in 0x7f, FUTEX_TRYLOCK_PI = 8 in 0x7f,
        FUTEX_WAIT_BITSET = 9 in 0x7f, FUTEX_WAKE_BITSET = 10 in 0x7f, FUTEX_WAIT_REQUEUE_PI = 11 in 0x7f, FUTEX_CMP_REQUEUE_PI = 12 in 0x7f,
        FUTEX_LOCK_PI2 = 13 in 0x7f, FUTEX_PRIVATE_FLAG = 0x80, FUTEX_CLOCK_REALTIME = 0x100
    }
    /// getrandom(2)
    flags RandomFlags(u32, i32) { GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4 }
    /// getrlimit(2)
    choice Resource(u32, i32) {
        RLIMIT_CPU = 0, RLIMIT_FSIZE = 1, RLIMIT_DATA = 2, RLIMIT_STACK = 3, RLIMIT_CORE = 4, RLIMIT_RSS = 5, RLIMIT_NPROC = 6, RLIMIT_NOFILE = 7,
        RLIMIT_MEMLOCK = 8, RLIMIT_AS = 9, RLIMIT_LOCKS = 10, RLIMIT_SIGPENDING = 11, RLIMIT_MSGQUEUE = 12, RLIMIT_NICE = 13, RLIMIT_RTPRIO = 14,
        RLIMIT_RTTIME = 15
    }
}
