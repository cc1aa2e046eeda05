//@ helper
// Random system calls: random_calls SEED WORKERS CALLS THREADS [WORKER]. For the sandbox alone: it does anything.
//
// Each worker is a process of its own with THREADS threads, in a directory of its own below the current one. It makes
// CALLS calls a thread with arguments that mean something more often than not, forks, executes, takes its memory away,
// and is killed after a while if it has not died. Everything follows from SEED but the order of threads. WORKER repeats
// one of them alone; with CALLS_SHOWN in the environment its calls are printed.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PAGE 4096
#define AREA (1 << 20)
#define MOST_DESCRIPTORS 128

// A generator for each thread.
static __thread uint64_t state;
static uint64_t random64(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545F4914F6CDD1D;
}
static unsigned below(unsigned n) {
    return (random64() >> 20) % n;
}
static int once_in(unsigned n) {
    return below(n) == 0;
}

static _Atomic int descriptors[MOST_DESCRIPTORS];
static _Atomic unsigned descriptor_count;
static char *area, *second_area, *edge, *read_only, *no_access;
static int is_shown;
static struct shown {
    _Atomic long calls;
    _Atomic long last;
} *shown;

static void keep(int fd) {
    unsigned at = descriptor_count;
    if (fd >= 0 && at < MOST_DESCRIPTORS) {
        descriptors[at] = fd;
        descriptor_count = at + 1;
    }
}

static const char *const paths[] = {
    "file", "other", "dir", "dir/inside", "link", "dirlink", "loop", "fifo", "socket", "none/x", "/", "..", ".", "",
    "/proc/self/fd", "/proc/self/mem", "/proc/self/maps", "/proc/self/task", "/proc/self/exe", "/proc/self/root/tmp",
    "/proc/self/oom_score_adj", "/proc/self/attr/current", "/proc/thread-self/cwd", "/proc/self/fd/3", "/proc/1/status",
    "/proc/sys/kernel/pid_max", "/proc/self/pagemap", "/proc/self/ns/pid", "/dev/null", "/dev/zero", "/dev/full",
    "/dev/ptmx", "/dev/tty", "/dev/shm/x", "/dev/pts/0", "/dev/random", "/etc/passwd", "/usr/bin/true", "/sys",
    "/tmp/x/../../usr", "/dev/fd/1", "/usr/lib",
};
static const char *const of_process[] = {
    "status", "maps", "stat", "mem", "fd", "cwd", "root", "exe", "task", "cmdline", "environ", "fdinfo", "ns", "mountinfo",
};
static const long interesting[] = {
    0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 32, 63, 64, 100, 127, 128, 255, 256, 511, 512, 1000, 1024, 4095, 4096, 4097, 8192, 65535, 65536,
    1 << 20, (1 << 20) + 1, 0x7fffffff, 0x80000000, 0xffffffff, -1, -2, -100, INT64_MAX, INT64_MIN, 1L << 32, 1L << 40, 1L << 46,
};

static long any_descriptor(void) {
    unsigned count = descriptor_count;
    switch (below(12)) {
    case 0: return -1;
    case 1: return below(64);
    case 2: return AT_FDCWD;
    case 3: return below(3);
    case 4: return random64();
    default: return count ? descriptors[below(count)] : 0;
    }
}
static long any_size(void) {
    return interesting[below(COUNT(interesting))];
}
static long any_flags(void) {
    unsigned long flags = 0;
    for (unsigned i = below(5); i > 0; i--)
        flags |= 1UL << below(below(4) ? 24 : 64);
    return flags;
}
static char *any_buffer(void);

static void nothing(int signal) {
    (void)signal;
}

// Memory with contents that some call makes sense of.
static char *filled(void) {
    char *at = area + below(240) * PAGE + (below(4) ? 0 : below(64));
    long *words = (long *)at;
    switch (below(16)) {
    case 0: strcpy(at, paths[below(COUNT(paths))]); break;
    case 1:
        for (int i = 0; i < 32; i++)
            words[i] = random64();
        break;
    case 2:
        for (int i = 0; i < 32; i++)
            words[i] = any_size();
        break;
    case 3: // struct iovec
        for (int i = 0; i < 16; i++) {
            words[2 * i] = (long)(below(6) ? area + below(200) * PAGE : edge - below(32));
            words[2 * i + 1] = below(5) ? below(8192) : any_size();
        }
        break;
    case 4: // times
        for (int i = 0; i < 4; i++)
            words[i] = i % 2 ? below(5000000) : below(8) == 0;
        break;
    case 5: {
        struct msghdr *message = memset(at, 0, sizeof *message);
        struct iovec *piece = (void *)(at + 512);
        *piece = (struct iovec){area + below(200) * PAGE, below(70000)};
        message->msg_iov = piece;
        message->msg_iovlen = below(3);
        if (below(2)) {
            struct cmsghdr *control = message->msg_control = at + 1024;
            message->msg_controllen = below(2) ? CMSG_SPACE(4 * (1 + below(4))) : below(256);
            *control = (struct cmsghdr){CMSG_LEN(4 * (1 + below(4))), SOL_SOCKET, 1 + below(2)};
            for (int i = 0; i < 5; i++)
                ((int *)CMSG_DATA(control))[i] = any_descriptor();
        }
        if (once_in(3)) {
            message->msg_name = at + 2048;
            message->msg_namelen = below(120);
        }
        break;
    }
    case 6: {
        struct sockaddr_un *address = (void *)at;
        address->sun_family = below(5) ? AF_UNIX : below(50);
        memcpy(address->sun_path, below(2) ? "socket" : "\0name", 7);
        break;
    }
    case 7:
        for (int i = 0; i < 16; i++)
            ((struct pollfd *)at)[i] = (struct pollfd){any_descriptor(), random64(), 0};
        break;
    case 8: *(struct epoll_event *)at = (struct epoll_event){random64(), {.u64 = random64()}}; break;
    case 9: // struct sigaction, stack_t
        memset(at, 0, 160);
        words[0] = below(3) ? (long)nothing : any_size();
        words[1] = any_flags();
        words[2] = (long)nothing;
        words[3] = any_flags();
        break;
    case 10: // arguments
        words[0] = (long)(at + 64);
        words[1] = (long)(at + 128);
        words[2] = 0;
        strcpy(at + 64, paths[below(COUNT(paths))]);
        strcpy(at + 128, "argument");
        break;
    case 11:
        for (int i = 0; i < 256; i++)
            at[i] = once_in(3) ? random64() : 0;
        break;
    case 12: *(struct open_how *)at = (struct open_how){any_flags(), below(2) ? 0 : 0600, below(32)}; break;
    case 13: // struct rseq_cs
        words[0] = once_in(4) ? any_flags() : 0;
        words[1] = (long)area;
        words[2] = below(64);
        words[3] = (long)second_area;
        break;
    case 14: // struct flock, and limits
        ((short *)at)[0] = below(4);
        ((short *)at)[1] = below(4);
        words[1] = any_size();
        words[2] = any_size();
        break;
    case 15: // struct sembuf
        for (int i = 0; i < 8; i++)
            ((struct sembuf *)at)[i] = (struct sembuf){below(4), below(5) - 2, below(2) ? IPC_NOWAIT : 0};
        break;
    }
    return at;
}
static char *any_buffer(void) {
    static const uint64_t kernels = 0xffff800000000000;
    switch (below(20)) {
    case 0: return 0;
    case 1: return edge - below(64);
    case 2: return read_only;
    case 3: return no_access;
    case 4: return (char *)random64();
    case 5: return (char *)(kernels + below(1 << 20));
    case 6: return (char *)-(long)below(PAGE);
    case 7: return (char *)&any_buffer;
    case 8: return (char *)(0x700000000000 + (random64() & 0xfffffffffff));
    case 9: return once_in(8) ? (char *)__builtin_thread_pointer() + below(4096) - 512 : filled();
    case 10: return once_in(8) ? (char *)__builtin_frame_address(0) - below(8192) : filled();
    default: return filled();
    }
}
static char *any_path(void) {
    char *at = area + (240 + below(12)) * PAGE;
    switch (below(10)) {
    case 0:
        memset(at, 'a', PAGE - 1);
        at[below(PAGE)] = 0;
        at[PAGE - 1] = 0;
        break;
    case 1:
        for (int i = 0; i < 20; i++)
            at[i] = random64();
        at[20] = 0;
        break;
    case 2: snprintf(at, 100, "/proc/self/fd/%d", (int)any_descriptor()); break;
    case 3:
        snprintf(at, 100, "/proc/%d/%s", below(5) ? getpid() : (int)below(40), of_process[below(COUNT(of_process))]);
        break;
    case 4: snprintf(at, 200, "../%s", paths[below(COUNT(paths))]); break;
    default: strcpy(at, paths[below(COUNT(paths))]);
    }
    return at;
}

// Arguments by letters: d descriptor, p path, b buffer, n small number, f flags, s size, i own id, k eight (bytes of a
// signal mask), a address and length (two arguments), o an operation of this call, 0 zero.
static const struct shape {
    short number;
    const char *arguments;
} shapes[] = {
    {SYS_read, "dbs"}, {SYS_write, "dbs"}, {SYS_open, "pfn"}, {SYS_close, "d"}, {SYS_stat, "pb"}, {SYS_fstat, "db"}, {SYS_lstat, "pb"},
    {SYS_poll, "bnn"}, {SYS_lseek, "dnn"}, {SYS_mmap, "m"}, {SYS_mprotect, "an"}, {SYS_munmap, "a"}, {SYS_brk, "b"},
    {SYS_rt_sigaction, "nbbk"}, {SYS_rt_sigprocmask, "nbbk"}, {SYS_ioctl, "dob"}, {SYS_pread64, "dbsn"}, {SYS_pwrite64, "dbsn"},
    {SYS_readv, "dbn"}, {SYS_writev, "dbn"}, {SYS_access, "pn"}, {SYS_pipe, "b"}, {SYS_select, "nbbbb"}, {SYS_mremap, "asfb"},
    {SYS_msync, "af"}, {SYS_mincore, "ab"}, {SYS_madvise, "an"}, {SYS_shmget, "nsf"}, {SYS_shmat, "nbf"}, {SYS_shmctl, "nnb"},
    {SYS_dup, "d"}, {SYS_dup2, "dn"}, {SYS_nanosleep, "bb"}, {SYS_getitimer, "nb"}, {SYS_setitimer, "nbb"}, {SYS_sendfile, "ddbs"},
    {SYS_socket, "nnn"}, {SYS_connect, "dbn"}, {SYS_accept, "dbb"}, {SYS_sendto, "dbsfbn"}, {SYS_recvfrom, "dbsfbb"},
    {SYS_sendmsg, "dbf"}, {SYS_recvmsg, "dbf"}, {SYS_shutdown, "dn"}, {SYS_bind, "dbn"}, {SYS_listen, "dn"}, {SYS_getsockname, "dbb"},
    {SYS_getpeername, "dbb"}, {SYS_socketpair, "nnnb"}, {SYS_setsockopt, "dnnbn"}, {SYS_getsockopt, "dnnbb"}, {SYS_uname, "b"},
    {SYS_semget, "nnf"}, {SYS_semop, "nbn"}, {SYS_semctl, "nnnb"}, {SYS_shmdt, "b"}, {SYS_msgget, "nf"}, {SYS_msgsnd, "nbsn"},
    {SYS_msgrcv, "nbsnn"}, {SYS_msgctl, "nnb"}, {SYS_fcntl, "dob"}, {SYS_fcntl, "don"}, {SYS_flock, "dn"}, {SYS_fsync, "d"},
    {SYS_truncate, "pn"}, {SYS_ftruncate, "dn"}, {SYS_getdents, "dbs"}, {SYS_getcwd, "bs"}, {SYS_chdir, "p"}, {SYS_fchdir, "d"},
    {SYS_rename, "pp"}, {SYS_mkdir, "pn"}, {SYS_rmdir, "p"}, {SYS_creat, "pn"}, {SYS_link, "pp"}, {SYS_unlink, "p"}, {SYS_symlink, "pp"},
    {SYS_readlink, "pbs"}, {SYS_chmod, "pn"}, {SYS_fchmod, "dn"}, {SYS_chown, "pnn"}, {SYS_fchown, "dnn"}, {SYS_umask, "n"},
    {SYS_getrlimit, "nb"}, {SYS_getrusage, "nb"}, {SYS_sysinfo, "b"}, {SYS_times, "b"}, {SYS_getgroups, "nb"}, {SYS_setgroups, "nb"},
    {SYS_rt_sigtimedwait, "bbbk"}, {SYS_rt_sigqueueinfo, "inb"}, {SYS_sigaltstack, "bb"}, {SYS_utime, "pb"}, {SYS_mknod, "pnn"},
    {SYS_statfs, "pb"}, {SYS_fstatfs, "db"}, {SYS_getpriority, "ni"}, {SYS_setpriority, "nin"}, {SYS_mlock, "bs"}, {SYS_munlock, "bs"},
    {SYS_mlockall, "n"}, {SYS_pivot_root, "pp"}, {SYS_prctl, "nxxxx"}, {SYS_arch_prctl, "nb"}, {SYS_setrlimit, "nb"}, {SYS_chroot, "p"},
    {SYS_mount, "pppfb"}, {SYS_umount2, "pn"}, {SYS_gettid, ""}, {SYS_readahead, "dnn"}, {SYS_setxattr, "ppbsn"}, {SYS_fsetxattr, "dpbsn"},
    {SYS_getxattr, "ppbs"}, {SYS_fgetxattr, "dpbs"}, {SYS_listxattr, "pbs"}, {SYS_removexattr, "pp"}, {SYS_futex, "bonbbn"},
    {SYS_sched_setaffinity, "inb"}, {SYS_sched_getaffinity, "inb"}, {SYS_io_setup, "nb"}, {SYS_epoll_create, "n"}, {SYS_getdents64, "dbs"},
    {SYS_fadvise64, "dnnn"}, {SYS_timer_create, "nbb"}, {SYS_timer_settime, "nnbb"}, {SYS_timer_gettime, "nb"}, {SYS_timer_delete, "n"},
    {SYS_clock_settime, "nb"}, {SYS_clock_gettime, "nb"}, {SYS_clock_getres, "nb"}, {SYS_clock_nanosleep, "nfbb"}, {SYS_epoll_wait, "dbnn"},
    {SYS_epoll_ctl, "dndb"}, {SYS_tgkill, "iin"}, {SYS_utimes, "pb"}, {SYS_mq_open, "pfnb"}, {SYS_mq_unlink, "p"},
    {SYS_mq_timedsend, "dbsnb"}, {SYS_mq_timedreceive, "dbsbb"}, {SYS_mq_notify, "db"}, {SYS_mq_getsetattr, "dbb"}, {SYS_waitid, "nnbnb"},
    {SYS_inotify_add_watch, "dpf"}, {SYS_inotify_rm_watch, "dn"}, {SYS_openat, "dpfn"}, {SYS_mkdirat, "dpn"}, {SYS_mknodat, "dpnn"},
    {SYS_fchownat, "dpnnn"}, {SYS_newfstatat, "dpbf"}, {SYS_unlinkat, "dpn"}, {SYS_renameat, "dpdp"}, {SYS_linkat, "dpdpf"},
    {SYS_symlinkat, "pdp"}, {SYS_readlinkat, "dpbs"}, {SYS_fchmodat, "dpn"}, {SYS_faccessat, "dpn"}, {SYS_pselect6, "nbbbbb"},
    {SYS_ppoll, "bnbbk"}, {SYS_unshare, "f"}, {SYS_set_robust_list, "bn"}, {SYS_get_robust_list, "ibb"}, {SYS_splice, "dbdbsf"},
    {SYS_tee, "ddsf"}, {SYS_sync_file_range, "dnnf"}, {SYS_vmsplice, "dbnf"}, {SYS_utimensat, "dpbf"}, {SYS_epoll_pwait, "dbnnbk"},
    {SYS_signalfd, "dbk"}, {SYS_timerfd_create, "nf"}, {SYS_eventfd, "n"}, {SYS_fallocate, "dfnn"}, {SYS_timerfd_settime, "dfbb"},
    {SYS_timerfd_gettime, "db"}, {SYS_accept4, "dbbf"}, {SYS_signalfd4, "dbkf"}, {SYS_eventfd2, "nf"}, {SYS_epoll_create1, "f"},
    {SYS_dup3, "ddf"}, {SYS_pipe2, "bf"}, {SYS_inotify_init1, "f"}, {SYS_preadv, "dbnn"}, {SYS_pwritev, "dbnn"},
    {SYS_rt_tgsigqueueinfo, "iinb"}, {SYS_recvmmsg, "dbnfb"}, {SYS_prlimit64, "inbb"}, {SYS_name_to_handle_at, "dpbbf"},
    {SYS_syncfs, "d"}, {SYS_sendmmsg, "dbnf"}, {SYS_setns, "df"}, {SYS_getcpu, "bb"}, {SYS_process_vm_readv, "ibnbn0"},
    {SYS_process_vm_writev, "ibnbn0"}, {SYS_kcmp, "iinnn"}, {SYS_sched_setattr, "ibn"}, {SYS_sched_getattr, "ibnn"},
    {SYS_renameat2, "dpdpf"}, {SYS_getrandom, "bsf"}, {SYS_memfd_create, "pf"}, {SYS_membarrier, "nf"}, {SYS_mlock2, "bsf"},
    {SYS_copy_file_range, "dbdbsf"}, {SYS_preadv2, "dbnnf"}, {SYS_pwritev2, "dbnnf"}, {SYS_pkey_mprotect, "ann"}, {SYS_pkey_alloc, "ff"},
    {SYS_statx, "dpfnb"}, {SYS_rseq, "bnnn"}, {SYS_pidfd_send_signal, "dnbf"}, {SYS_pidfd_open, "if"}, {SYS_close_range, "nnf"},
    {SYS_openat2, "dpbn"}, {SYS_pidfd_getfd, "dnf"}, {SYS_faccessat2, "dpnf"}, {SYS_process_madvise, "dbnnf"}, {SYS_epoll_pwait2, "dbnbbk"},
    {449, "bnfbn"} /* futex_waitv */, {452, "dpnf"} /* fchmodat2 */, {454, "bfnf"} /* futex_wake */, {455, "bnfbbn"} /* futex_wait */,
    {456, "bfnn"} /* futex_requeue */, {462, "asf"} /* mseal */,
};

static const long ioctls[] = {
    0x5401, 0x5402, 0x5403, 0x5404, 0x5405, 0x5406, 0x5407, 0x5408, 0x5409, 0x540a, 0x540b, 0x540e, 0x540f, 0x5410, 0x5411, 0x5412,
    0x5413, 0x5414, 0x541b, 0x541d, 0x5420, 0x5421, 0x5422, 0x5423, 0x5425, 0x5427, 0x5428, 0x5429, 0x5430, 0x5431, 0x5441, 0x5450,
    0x5451, 0x5452, 0x5456, 0x5457, 0x8901, 0x8902, 0x8903, 0x8904, 0x8906, 0x8910, 0x8912, 0x8913, 0x80045430, 0x40045431, 0x80086601,
    0x40086602, 0x40049409, 0xb701, 0xb702, 0xb703, 0xc020660b,
};

static long operation(long number) {
    switch (number) {
    case SYS_ioctl: return ioctls[below(COUNT(ioctls))];
    case SYS_fcntl: return below(2) ? below(40) : 1024 + below(20);
    case SYS_futex: return below(16) | (below(2) ? FUTEX_PRIVATE_FLAG : 0) | (once_in(4) ? 256 : 0);
    default: return below(40);
    }
}

// Memory to change: mostly what nobody needs.
static long changed_memory(void) {
    if (once_in(40))
        return (long)any_buffer() & -PAGE;
    return (long)((below(20) ? second_area : area) + below(256) * PAGE);
}
static long own_id(void) {
    return below(3) ? getpid() : syscall(SYS_gettid);
}
static long any(void) {
    switch (below(8)) {
    case 0:
    case 1: return any_descriptor();
    case 2: return any_size();
    case 3: return any_flags();
    case 4: return (long)any_path();
    case 5: return random64();
    default: return (long)any_buffer();
    }
}

static void choose(const struct shape *shape, long *arguments) {
    unsigned at = 0;
    for (const char *letter = shape->arguments; *letter && at < 6; letter++, at++)
        switch (*letter) {
        case 'd': arguments[at] = any_descriptor(); break;
        case 'p': arguments[at] = below(12) ? (long)any_path() : (long)any_buffer(); break;
        case 'b': arguments[at] = (long)any_buffer(); break;
        case 'n': arguments[at] = below(2) ? (long)below(40) : any_size(); break;
        case 'f': arguments[at] = below(2) ? 0 : any_flags(); break;
        case 's': arguments[at] = below(4) ? (long)below(10000) : any_size(); break;
        case 'i': arguments[at] = own_id(); break;
        case 'k': arguments[at] = below(10) ? 8 : any_size(); break;
        case 'o': arguments[at] = operation(shape->number); break;
        case 'a':
            arguments[at++] = changed_memory();
            arguments[at] = once_in(30) ? any_size() : (long)below(16) * PAGE;
            break;
        case 'm': // mmap
            arguments[0] = below(3) ? 0 : changed_memory();
            arguments[1] = below(1 << 22);
            arguments[2] = below(8);
            arguments[3] = (below(2) ? MAP_SHARED : MAP_PRIVATE) | (below(2) ? MAP_ANONYMOUS : 0) | (below(4) ? 0 : any_flags());
            arguments[4] = any_descriptor();
            arguments[5] = below(2) ? 0 : below(100) * PAGE;
            at = 5;
            break;
        case '0': arguments[at] = 0; break;
        default: arguments[at] = any(); break;
        }
}

// What would end the worker, or have it wait, too soon to find anything.
static int is_dull(long number, long *arguments) {
    switch (number) {
    case SYS_rt_sigreturn: case SYS_fork: case SYS_vfork: case SYS_clone: case SYS_clone3: case SYS_exit: case SYS_exit_group:
    case SYS_pause: case SYS_rt_sigsuspend: case SYS_execve: case SYS_execveat: case SYS_restart_syscall:
        return 1;
    case SYS_kill: case SYS_tkill: case SYS_rt_sigqueueinfo:
        arguments[0] = own_id();
        if (arguments[1] == SIGKILL || arguments[1] == SIGSTOP)
            arguments[1] = SIGUSR1;
        return 0;
    case SYS_tgkill: case SYS_rt_tgsigqueueinfo:
        arguments[0] = getpid();
        if (arguments[2] == SIGKILL || arguments[2] == SIGSTOP)
            arguments[2] = SIGUSR1;
        return 0;
    case SYS_pidfd_send_signal: arguments[0] = -1; return 0;
    case SYS_poll: arguments[1] &= 15; arguments[2] = below(10); return 0;
    case SYS_ppoll: arguments[1] &= 15; return 0;
    case SYS_select: case SYS_pselect6: arguments[0] = below(64); return 0;
    case SYS_epoll_wait: case SYS_epoll_pwait: arguments[3] = below(10); return 0;
    case SYS_alarm: arguments[0] = below(2); return 0;
    case SYS_setitimer: return once_in(2);
    case SYS_setrlimit: return below(20) != 0;
    case SYS_prlimit64: return arguments[2] && below(20);
    case SYS_close_range: return below(50) != 0;
    case SYS_rt_sigaction: return below(30) && (arguments[0] == SIGSEGV || arguments[0] == SIGBUS || arguments[0] == SIGILL);
    case SYS_sigaltstack: case SYS_brk: case SYS_seccomp: return below(20) != 0;
    case SYS_prctl: return arguments[0] == 22 || arguments[0] == 4 || arguments[0] == 1 || arguments[0] == 59;
    case SYS_setuid: case SYS_setgid: case SYS_setreuid: case SYS_setregid: case SYS_setresuid: case SYS_setresgid: case SYS_setfsuid:
    case SYS_setfsgid:
        return below(20) != 0;
    default: return 0;
    }
}

static int opens(long number) {
    switch (number) {
    case SYS_open: case SYS_openat: case SYS_openat2: case SYS_socket: case SYS_dup: case SYS_creat: case SYS_memfd_create:
    case SYS_accept: case SYS_accept4: case SYS_eventfd: case SYS_eventfd2: case SYS_timerfd_create: case SYS_epoll_create:
    case SYS_epoll_create1: case SYS_pidfd_open: case SYS_inotify_init1: case SYS_signalfd4:
        return 1;
    default: return 0;
    }
}

static void make_call(int is_inner);

// Processes and programs.
static void multiply(void) {
    pid_t child;
    int status;
    switch (below(7)) {
    case 0:
    case 1:
        if ((child = fork()) == 0) {
            for (int i = 0; i < 20; i++)
                make_call(1);
            _exit(below(4));
        }
        if (child > 0 && below(3))
            waitpid(child, &status, below(2) ? WNOHANG : 0);
        break;
    case 2:
        if ((child = vfork()) == 0) {
            if (below(2)) {
                char *const arguments[] = {"true", 0};
                execv(below(2) ? "/bin/true" : "file", arguments);
            }
            _exit(0);
        }
        break;
    case 3:
        if ((child = fork()) == 0) {
            syscall(SYS_execve, any_path(), below(2) ? filled() : 0, below(2) ? filled() : 0);
            _exit(1);
        }
        break;
    case 4: {
        unsigned long flags = any_flags() & ~(unsigned long)(CLONE_VM | 0xff | CLONE_THREAD | CLONE_SIGHAND);
        if (syscall(SYS_clone, flags | SIGCHLD, 0, any_buffer(), any_buffer(), 0) == 0)
            _exit(0);
        break;
    }
    case 5: {
        struct clone_args *how = (void *)filled();
        if (below(2))
            *how = (struct clone_args){.flags = any_flags() & ~(unsigned long)(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD), .exit_signal = below(65)};
        if (how->flags & CLONE_VM)
            break;
        if (syscall(SYS_clone3, how, below(2) ? sizeof *how : below(100)) == 0)
            syscall(SYS_exit, 0);
        break;
    }
    case 6: waitpid(-1, &status, WNOHANG); break;
    }
}

// A program for seccomp(2): most are right, and refuse few calls. The worker goes on under it.
static void filter_calls(void) {
    static const unsigned short codes[] = {
        BPF_LD | BPF_W | BPF_ABS, BPF_LD | BPF_IMM, BPF_LD | BPF_MEM, BPF_ST, BPF_STX, BPF_ALU | BPF_ADD | BPF_K, BPF_ALU | BPF_DIV | BPF_X,
        BPF_ALU | BPF_AND | BPF_K, BPF_ALU | BPF_LSH | BPF_K, BPF_JMP | BPF_JEQ | BPF_K, BPF_JMP | BPF_JGT | BPF_X, BPF_JMP | BPF_JSET | BPF_K,
        BPF_MISC | BPF_TAX, BPF_MISC | BPF_TXA, BPF_LDX | BPF_W | BPF_LEN, BPF_LDX | BPF_IMM};
    struct sock_filter program[12];
    unsigned count = 1 + below(10);
    for (unsigned i = 0; i < count; i++) {
        program[i] = (struct sock_filter){.code = codes[below(COUNT(codes))], .k = below(17)};
        if (program[i].code == (BPF_LD | BPF_W | BPF_ABS))
            program[i].k = 4 * below(16);
        if (BPF_CLASS(program[i].code) == BPF_JMP)
            program[i].jt = below(count - i), program[i].jf = below(count - i);
        if (once_in(40))
            program[i].code = any();
    }
    unsigned refused = once_in(3) ? SECCOMP_RET_ERRNO | below(200) : SECCOMP_RET_ALLOW;
    program[count] = (struct sock_filter){.code = BPF_RET | BPF_K, .k = once_in(10) ? refused : SECCOMP_RET_ALLOW};
    struct sock_fprog at = {.len = once_in(20) ? below(5000) : count + 1, .filter = program};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, below(2) ? 0 : below(32) & ~8, &at);
}

static void make_call(int is_inner) {
    if (!is_inner && once_in(60)) {
        multiply();
        return;
    }
    if (once_in(1000)) {
        filter_calls();
        return;
    }
    long arguments[6], number;
    for (int i = 0; i < 6; i++)
        arguments[i] = any();
    if (below(3)) {
        const struct shape *shape = &shapes[below(COUNT(shapes))];
        number = shape->number;
        choose(shape, arguments);
    } else {
        number = below(10) ? below(470) : below(600);
    }
    if (is_dull(number, arguments))
        return;
    if (is_shown)
        dprintf(2, "%ld(%lx, %lx, %lx, %lx, %lx, %lx)\n", number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
    shown->calls++;
    shown->last = number;
    long result = syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
    unsigned count = descriptor_count;
    if (opens(number) && result > 2 && result < 1024) {
        keep(result);
    } else if (count == MOST_DESCRIPTORS && once_in(10)) {
        unsigned at = 30 + below(count - 30);
        close(descriptors[at]);
        descriptors[at] = descriptors[count - 1];
        descriptor_count = count - 1;
    }
}

static __thread sigjmp_buf after_fault;
static __thread int faults;
static void on_fault(int signal) {
    (void)signal;
    if (++faults > 300)
        _exit(9);
    mmap(area, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    siglongjmp(after_fault, 1);
}

static void open_things(void) {
    int two[2];
    keep(open("file", O_RDWR | O_CREAT, 0666));
    keep(open("other", O_RDWR | O_CREAT | O_APPEND, 0666));
    mkdir("dir", 0777);
    keep(open("dir", O_RDONLY));
    keep(open(".", O_PATH));
    keep(open("file", O_PATH));
    (void)!symlink("file", "link"), (void)!symlink("dir", "dirlink"), (void)!symlink("loop", "loop");
    mkfifo("fifo", 0666);
    keep(open("fifo", O_RDWR | O_NONBLOCK));
    if (!pipe2(two, below(2) ? O_NONBLOCK : 0))
        keep(two[0]), keep(two[1]);
    for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++)
        if (!socketpair(AF_UNIX, type, 0, two))
            keep(two[0]), keep(two[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {AF_UNIX, "socket"};
    bind(listener, (void *)&address, sizeof address);
    listen(listener, 3);
    keep(listener);
    keep(socket(AF_UNIX, SOCK_STREAM, 0));
    keep(socket(AF_NETLINK, SOCK_RAW, 0));
    keep(socket(AF_INET, SOCK_STREAM, 0));
    keep(socket(AF_INET, SOCK_DGRAM, 0));
    keep(socket(AF_INET6, SOCK_STREAM, 0));
    keep(eventfd(below(4), below(2) ? EFD_NONBLOCK : 0));
    keep(epoll_create1(0));
    keep(timerfd_create(CLOCK_MONOTONIC, 0));
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    keep(signalfd(-1, &mask, SFD_NONBLOCK));
    keep(inotify_init1(IN_NONBLOCK));
    keep(memfd_create("memory", 3));
    static const char *const known[] = {"/dev/ptmx", "/dev/null", "/dev/zero", "/proc/self/mem"};
    for (unsigned i = 0; i < COUNT(known); i++)
        keep(open(known[i], O_RDWR));
    static const char *const readable[] = {"/proc/self/status", "/proc/self/fd", "/usr/bin/true", "/etc/passwd", "/proc/self/maps"};
    for (unsigned i = 0; i < COUNT(readable); i++)
        keep(open(readable[i], O_RDONLY));
    keep(syscall(SYS_pidfd_open, getpid(), 0));
    struct mq_attr queue = {.mq_maxmsg = 4, .mq_msgsize = 64};
    keep(mq_open("/queue", O_RDWR | O_CREAT, 0666, &queue));
    keep(open(".", O_TMPFILE | O_RDWR, 0600));
}
static char *fresh(size_t len, int protection) {
    return mmap(0, len, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long calls;
static uint64_t seed_of_worker;
static void *run_thread(void *number) {
    state = seed_of_worker + 7919 * (long)number + 1;
    volatile long made = 0;
    sigsetjmp(after_fault, 1);
    while (made++ < calls)
        make_call(0);
    return 0;
}

static void run_worker(long threads) {
    setpgid(0, 0);
    state = seed_of_worker;
    for (int i = 0; i < 5; i++)
        random64();
    char dir[64];
    snprintf(dir, sizeof dir, "random-%d", getpid());
    mkdir(dir, 0777);
    if (chdir(dir))
        _exit(8);
    open_things();
    area = fresh(AREA, PROT_READ | PROT_WRITE);
    second_area = fresh(AREA, PROT_READ | PROT_WRITE);
    edge = fresh(2 * PAGE, PROT_READ | PROT_WRITE) + PAGE;
    munmap(edge, PAGE);
    read_only = fresh(PAGE, PROT_READ);
    no_access = fresh(PAGE, PROT_NONE);
    for (int signal = 1; signal < 65; signal++)
        sigaction(signal, &(struct sigaction){.sa_handler = nothing}, 0);
    static const int bad[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    for (unsigned i = 0; i < COUNT(bad); i++)
        sigaction(bad[i], &(struct sigaction){.sa_handler = on_fault, .sa_flags = SA_NODEFER | SA_ONSTACK}, 0);
    struct itimerval often = {{0, 20000}, {0, 20000}};
    setitimer(ITIMER_REAL, &often, 0);
    for (long i = 1; i < threads; i++) {
        pthread_t thread;
        pthread_create(&thread, 0, run_thread, (void *)i);
    }
    run_thread(0);
    _exit(0);
}

static long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Waits for a worker, and kills it when it takes too long. Its wait status; -1: it had to be killed.
static int end_of(pid_t worker) {
    const long patience = 1500, too_long = 30000;
    int status, was_killed = 0;
    for (long start = milliseconds();; usleep(2000)) {
        pid_t ended = waitpid(worker, &status, WNOHANG | __WALL);
        if (ended == worker)
            break;
        if (ended < 0 && errno != EINTR)
            printf("wait: %s\n", strerror(errno)), _exit(4);
        long waited = milliseconds() - start;
        if (waited > patience && !was_killed) {
            kill(-worker, SIGKILL);
            kill(worker, SIGKILL);
            was_killed = 1;
        }
        if (waited > too_long) {
            printf("worker %d does not end, its last call was %ld\n", worker, shown->last);
            _exit(3);
        }
    }
    kill(-worker, SIGKILL);
    int other;
    while (waitpid(-1, &other, WNOHANG) > 0) {
    }
    return was_killed ? -1 : status;
}

int main(int argc, char **argv) {
    if (argc < 5)
        return 2;
    unsigned long seed = strtoul(argv[1], 0, 0);
    int workers = atoi(argv[2]), only = argc > 5 ? atoi(argv[5]) : -1;
    calls = atol(argv[3]);
    is_shown = getenv("CALLS_SHOWN") != 0;
    shown = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    setvbuf(stdout, 0, _IONBF, 0);
    int killed = 0, signalled = 0, exited = 0;
    long most = calls * atol(argv[4]), all = 0;
    for (int worker = 0; worker < workers; worker++) {
        if (only >= 0 && worker != only)
            continue;
        seed_of_worker = seed * 1000003 + worker * 101 + 12345;
        pid_t child = fork();
        if (child == 0)
            run_worker(atol(argv[4]));
        int status = end_of(child);
        // A call may have written anything there.
        long made = atomic_exchange(&shown->calls, 0);
        all += made < 0 || made > most ? most : made;
        *(status < 0 ? &killed : WIFSIGNALED(status) ? &signalled : &exited) += 1;
    }
    printf("\nseed %lu: %ld calls, %d killed, %d died, %d ended\n", seed, all, killed, signalled, exited);
    return all == 0;
}
