//! Processes: clone(2), wait4(2), prctl(2), limits.

use super::layout::{Limit32, UserWord, structure};
use super::named;
use super::time::{Timeval, TimevalX86, TimevalX86_64};

named! {
    /// clone(2); the low byte is the signal at the child's end
    flags CloneFlags(usize) {
        SIGCHLD = 17 in 0xff, CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800, CLONE_PIDFD = 0x1000,
        CLONE_PTRACE = 0x2000, CLONE_VFORK = 0x4000, CLONE_PARENT = 0x8000, CLONE_THREAD = 0x1_0000, CLONE_NEWNS = 0x2_0000,
        CLONE_SYSVSEM = 0x4_0000, CLONE_SETTLS = 0x8_0000, CLONE_PARENT_SETTID = 0x10_0000, CLONE_CHILD_CLEARTID = 0x20_0000,
        CLONE_DETACHED = 0x40_0000, CLONE_UNTRACED = 0x80_0000, CLONE_CHILD_SETTID = 0x100_0000, CLONE_NEWCGROUP = 0x200_0000,
        CLONE_NEWUTS = 0x400_0000, CLONE_NEWIPC = 0x800_0000, CLONE_NEWUSER = 0x1000_0000, CLONE_NEWPID = 0x2000_0000,
        CLONE_NEWNET = 0x4000_0000, CLONE_IO = 0x8000_0000
    }
    /// wait4(2)
    flags WaitOptions(u32) {
        WNOHANG = 1, WSTOPPED = 2, WUNTRACED = 2, WEXITED = 4, WCONTINUED = 8, WNOWAIT = 0x100_0000, __WNOTHREAD = 0x2000_0000, __WALL = 0x4000_0000,
        __WCLONE = 0x8000_0000
    }
    /// pidfd_open(2)
    flags PidFdFlags(u32) { PIDFD_NONBLOCK = 0o4000 }
    /// waitid(2)
    choice WaitKind(i32) { P_ALL = 0, P_PID = 1, P_PGID = 2, P_PIDFD = 3 }
    /// prctl(2)
    choice PrctlOption(i32) {
        PR_SET_PDEATHSIG = 1, PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4, PR_GET_KEEPCAPS = 7, PR_SET_KEEPCAPS = 8,
        PR_SET_NAME = 15, PR_GET_NAME = 16, PR_GET_SECCOMP = 21, PR_SET_SECCOMP = 22, PR_CAPBSET_READ = 23, PR_CAPBSET_DROP = 24, PR_GET_TSC = 25,
        PR_SET_TSC = 26, PR_GET_SECUREBITS = 27, PR_SET_SECUREBITS = 28, PR_SET_TIMERSLACK = 29, PR_GET_TIMERSLACK = 30, PR_MCE_KILL = 33,
        PR_MCE_KILL_GET = 34, PR_SET_MM = 35, PR_SET_SPECULATION_CTRL = 53, PR_SET_MDWE = 65, PR_GET_MDWE = 66,
        PR_SET_CHILD_SUBREAPER = 36, PR_GET_CHILD_SUBREAPER = 37, PR_SET_NO_NEW_PRIVS = 38, PR_GET_NO_NEW_PRIVS = 39, PR_GET_TID_ADDRESS = 40,
        PR_SET_THP_DISABLE = 41, PR_GET_THP_DISABLE = 42, PR_CAP_AMBIENT = 47, PR_GET_SPECULATION_CTRL = 52, PR_SET_SYSCALL_USER_DISPATCH = 59,
        PR_GET_TIMING = 13, PR_SET_TIMING = 14, PR_TASK_PERF_EVENTS_DISABLE = 31, PR_TASK_PERF_EVENTS_ENABLE = 32, PR_SET_IO_FLUSHER = 57, PR_GET_IO_FLUSHER = 58,
        PR_SET_VMA = 0x5356_4d41, PR_SET_PTRACER = 0x5961_6d61
    }
    /// arch_prctl(2)
    number ArchPrctlCode(i32) {
        ARCH_SET_GS = 0x1001, ARCH_SET_FS = 0x1002, ARCH_GET_FS = 0x1003, ARCH_GET_GS = 0x1004, ARCH_GET_CPUID = 0x1011, ARCH_SET_CPUID = 0x1012,
        ARCH_GET_XCOMP_SUPP = 0x1021, ARCH_CET_STATUS = 0x3001, ARCH_CET_DISABLE = 0x3002, ARCH_CET_LOCK = 0x3003, ARCH_SHSTK_ENABLE = 0x5001
    }
    /// getrlimit(2)
    number Resource(u32) {
        RLIMIT_CPU = 0, RLIMIT_FSIZE = 1, RLIMIT_DATA = 2, RLIMIT_STACK = 3, RLIMIT_CORE = 4, RLIMIT_RSS = 5, RLIMIT_NPROC = 6, RLIMIT_NOFILE = 7,
        RLIMIT_MEMLOCK = 8, RLIMIT_AS = 9, RLIMIT_LOCKS = 10, RLIMIT_SIGPENDING = 11, RLIMIT_MSGQUEUE = 12, RLIMIT_NICE = 13, RLIMIT_RTPRIO = 14,
        RLIMIT_RTTIME = 15
    }
}

structure! {
    /// `struct rlimit`
    Rlimit [RlimitX86_64 RlimitX86] Rlimit {
        /// The limit in force.
        soft: u64 = u64, Limit32;
        /// What it may be raised to.
        hard: u64 = u64, Limit32;
    }
    /// `struct rlimit64`
    Rlimit64 [Rlimit64X86_64 Rlimit64X86] Rlimit64 {
        /// The limit in force.
        soft: u64 = u64, u64;
        /// What it may be raised to.
        hard: u64 = u64, u64;
    }
    /// `struct robust_list_head`
    RobustListHead [RobustListHeadX86_64 RobustListHeadX86] Opaque {
        /// The first lock held; the head itself: none.
        next: u64 = u64, u32;
        /// From an entry to its futex.
        offset: i64 = i64, i32;
        /// The lock that is being taken or given back.
        pending: u64 = u64, u32;
    }
    /// `struct sock_fprog`
    FilterProgram [FilterProgramX86_64 FilterProgramX86] Opaque {
        /// How many instructions.
        len: u16 = u16, u16;
        /// Before the address.
        padding: () = [u8; 6], [u8; 2];
        /// Where they are.
        instructions: UserWord = u64, u32;
    }
    /// `struct clone_args`
    CloneArgs [CloneArgsX86_64 CloneArgsX86] CloneArgs {
        /// CLONE_ flags.
        flags: u64 = u64, u64;
        /// Where the descriptor of the child goes.
        pidfd: u64 = u64, u64;
        /// Where its number goes, in the memory of the child.
        child_tid: u64 = u64, u64;
        /// The same, in that of the parent.
        parent_tid: u64 = u64, u64;
        /// The signal at its end.
        exit_signal: u64 = u64, u64;
        /// The lowest byte of its stack.
        stack: u64 = u64, u64;
        /// How long that is.
        stack_size: u64 = u64, u64;
        /// Its thread-local storage.
        tls: u64 = u64, u64;
        /// Where the numbers are that it wants.
        set_tid: u64 = u64, u64;
        /// How many.
        set_tid_size: u64 = u64, u64;
        /// The descriptor of a control group.
        cgroup: u64 = u64, u64;
    }
    /// `struct sched_attr`
    SchedAttr [SchedAttrX86_64 SchedAttrX86] Opaque {
        /// How many bytes it has.
        size: u32 = u32, u32;
        /// SCHED_ value.
        policy: i32 = i32, i32;
        /// SCHED_FLAG_ flags.
        flags: u64 = u64, u64;
        /// Niceness, of policies without priorities.
        nice: i32 = i32, i32;
        /// Priority, of those with.
        priority: i32 = i32, i32;
        /// Nanoseconds of work in each period (`SCHED_DEADLINE`).
        runtime: u64 = u64, u64;
        /// Nanoseconds until it must be done.
        deadline: u64 = u64, u64;
        /// Nanoseconds of a period.
        period: u64 = u64, u64;
        /// The least use expected of a processor.
        util_min: u32 = u32, u32;
        /// The most.
        util_max: u32 = u32, u32;
    }
    /// `struct __user_cap_header_struct`
    CapHeader [CapHeaderX86_64 CapHeaderX86] Opaque {
        /// Which version of the sets.
        version: u32 = u32, u32;
        /// Whose.
        pid: i32 = i32, i32;
    }
    /// `struct __user_cap_data_struct`
    CapData [CapDataX86_64 CapDataX86] Opaque {
        /// 32 of those in force.
        effective: u32 = u32, u32;
        /// Of those that may be.
        permitted: u32 = u32, u32;
        /// Of those kept over execve(2).
        inheritable: u32 = u32, u32;
    }
    /// `struct sysinfo`
    SysInfo [SysInfoX86_64 SysInfoX86] SysInfo {
        /// Seconds since the start.
        uptime: i64 = i64, i32;
        /// Of 1, 5 and 15 minutes, in units of 1/65536.
        loads: [u64; 3] = [u64; 3], [u32; 3];
        /// Memory, in `unit`s.
        total: u64 = u64, u32;
        /// Of it, free.
        free: u64 = u64, u32;
        /// Of it, shared.
        shared: u64 = u64, u32;
        /// Of it, in buffers.
        buffers: u64 = u64, u32;
        /// Swap, in `unit`s.
        total_swap: u64 = u64, u32;
        /// Of it, free.
        free_swap: u64 = u64, u32;
        /// Threads.
        threads: u16 = u16, u16;
        /// Between the fields.
        padding: () = [u8; 6], [u8; 2];
        /// Memory that the kernel does not map.
        total_high: u64 = u64, u32;
        /// Of it, free.
        free_high: u64 = u64, u32;
        /// Bytes.
        unit: u32 = u32, u32;
        /// Behind the fields.
        tail: () = [u8; 4], [u8; 8];
    }
    /// `struct rusage`; the fields that Linux does not fill in are left out of the names.
    Rusage [RusageX86_64 RusageX86] Rusage {
        /// Time in the program.
        user: Timeval = TimevalX86_64, TimevalX86;
        /// Time in the kernel.
        system: Timeval = TimevalX86_64, TimevalX86;
        /// Most memory in use at once, in KiB.
        max_resident: u64 = u64, u32;
        /// Zero.
        unused_sizes: [u64; 3] = [u64; 3], [u32; 3];
        /// Page faults without the disk.
        minor_faults: u64 = u64, u32;
        /// Page faults with it.
        major_faults: u64 = u64, u32;
        /// Zero.
        unused_swaps: u64 = u64, u32;
        /// Blocks read.
        blocks_in: u64 = u64, u32;
        /// Blocks written.
        blocks_out: u64 = u64, u32;
        /// Zero.
        unused_messages: [u64; 3] = [u64; 3], [u32; 3];
        /// Times the processor was given up.
        voluntary_switches: u64 = u64, u32;
        /// Times it was taken away.
        involuntary_switches: u64 = u64, u32;
    }
}
