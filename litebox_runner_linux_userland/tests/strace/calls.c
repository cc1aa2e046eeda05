/* Calls with fixed arguments, one after the other: tests/strace.rs compares what strace(1) and --strace print. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static void handler(int signal) {
    (void)signal;
}

static void files(void) {
    char buffer[4096];
    struct stat st;
    struct statfs fs;
    struct statx stx;
    int pair[2];
    syscall(SYS_open, "file", O_RDWR | O_CREAT | O_TRUNC, 0640);
    write(3, "a\tb\n\"\\\001\0777\0018\xff...................................", 50);
    lseek(3, 0, SEEK_SET);
    read(3, buffer, 5);
    read(3, buffer, 0);
    pread(3, buffer, sizeof buffer, 3);
    pwrite(3, "xyz", 3, 1 << 20);
    fstat(3, &st);
    syscall(SYS_stat, "file", &st);
    syscall(SYS_newfstatat, AT_FDCWD, "missing", &st, AT_SYMLINK_NOFOLLOW);
    fstatat(AT_FDCWD, "/dev/null", &st, 0);
    statx(AT_FDCWD, "missing", AT_STATX_SYNC_AS_STAT, STATX_MODE | STATX_SIZE, &stx);
    statx(AT_FDCWD, "file", AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, NULL);
    statfs("missing", &fs);
    ftruncate(3, 10);
    fchmod(3, 0600);
    fchmod(3, 07777);
    chmod("file", 0);
    fallocate(3, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 4096);
    fsync(3);
    posix_fadvise(3, 0, 0, POSIX_FADV_SEQUENTIAL);
    struct iovec parts[3] = { { "one", 3 }, { "two2", 4 }, { buffer, 0 } };
    writev(3, parts, 3);
    lseek(3, 0, SEEK_SET);
    struct iovec into[2] = { { buffer, 4 }, { buffer + 4, 100 } };
    readv(3, into, 2);
    fcntl(3, F_GETFL);
    fcntl(3, F_SETFL, O_APPEND | O_NONBLOCK);
    fcntl(3, F_GETFD);
    fcntl(3, F_SETFD, FD_CLOEXEC);
    fcntl(3, F_GETFD);
    fcntl(3, F_DUPFD, 10);
    fcntl(3, F_DUPFD_CLOEXEC, 11);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 5 };
    fcntl(3, F_SETLK, &lock);
    fcntl(99, F_SETLKW, &lock);
    flock(3, LOCK_EX | LOCK_NB);
    close(10);
    close(11);
    close(77);
    dup(3);
    dup2(3, 5);
    dup3(3, 6, O_CLOEXEC);
    dup3(3, 6, 0);
    close_range(4, 6, 0);
    syscall(SYS_pipe, pair);
    pipe2(pair, O_CLOEXEC | O_NONBLOCK);
    read(pair[0], buffer, 10);
    ioctl(pair[0], FIONREAD, &pair[1]);
    close_range(4, 7, CLOSE_RANGE_CLOEXEC);
    close_range(3, ~0U, 0);
    openat(AT_FDCWD, "file", O_WRONLY | O_APPEND | O_CLOEXEC);
    openat(AT_FDCWD, ".", O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_DIRECTORY);
    openat(4, "none", O_RDWR | O_NOFOLLOW | O_NOCTTY | O_CREAT | O_EXCL | O_TRUNC, 0);
    openat(4, "none2", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    openat(-5, "a", O_RDONLY | O_SYNC | O_NOATIME | O_DIRECT);
    access("file", F_OK);
    access("file", R_OK | W_OK | X_OK);
    faccessat(AT_FDCWD, "file", R_OK, 0);
    syscall(SYS_faccessat2, AT_FDCWD, "file", W_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW);
    getdents64(4, buffer, 20);
    close(3);
    close(4);
    close(5);
    mkdir("dir", 0755);
    mkdirat(AT_FDCWD, "dir", 01777);
    syscall(SYS_rename, "file", "dir/new");
    renameat2(AT_FDCWD, "dir/new", AT_FDCWD, "file", RENAME_NOREPLACE);
    link("file", "hard");
    linkat(AT_FDCWD, "missing", AT_FDCWD, "x", AT_SYMLINK_FOLLOW);
    symlink("tar\nget", "sym");
    readlink("sym", buffer, sizeof buffer);
    readlink("file", buffer, sizeof buffer);
    unlink("sym");
    unlinkat(AT_FDCWD, "hard", 0);
    unlinkat(AT_FDCWD, "dir", AT_REMOVEDIR);
    rmdir("dir");
    syscall(SYS_creat, "file", 0666);
    mknod("fifo", S_IFIFO | 0644, 0);
    unlink("fifo");
    chdir("/nowhere");
    fchdir(99);
    umask(022);
    umask(027);
    struct timespec times[2] = { { 1, 2 }, { 0, UTIME_OMIT } };
    utimensat(AT_FDCWD, "file", times, 0);
    utimensat(AT_FDCWD, "file", NULL, AT_SYMLINK_NOFOLLOW);
    truncate("file", 77);
    chown("file", -1, -1);
    fchownat(AT_FDCWD, "missing", 5, 6, AT_SYMLINK_NOFOLLOW);
    setxattr("missing", "user.a", "val", 3, XATTR_CREATE);
    getxattr("missing", "user.a", buffer, 100);
    memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    sendfile(1000, 3, NULL, 10);
    copy_file_range(3, NULL, 1000, NULL, 10, 0);
    splice(3, NULL, 1000, NULL, 10, SPLICE_F_MOVE);
    inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    inotify_init1(0);
    inotify_add_watch(99, "file", IN_CREATE | IN_DELETE);
    close_range(3, 100, 0);
    sync();
    openat(AT_FDCWD, (char *)8, O_RDONLY);
    unlink("file");
    ioctl(0, TCGETS, buffer);
    ioctl(0, TIOCGWINSZ, buffer);
    ioctl(99, TIOCSWINSZ, 0);
    ioctl(99, 0x1234, 5);
}

static void memory(void) {
    char *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mmap(at, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    mmap(at, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_DENYWRITE | MAP_STACK, 99, 0x5000);
    mprotect(at, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    madvise(at, 4096, MADV_DONTNEED);
    mremap(at, 8192, 4096, MREMAP_MAYMOVE);
    msync(at, 4096, MS_SYNC | MS_INVALIDATE);
    mlock(at, 1);
    munlock(at, 1);
    munmap(at, 8192);
    munmap((void *)1, 8192);
    syscall(SYS_brk, 0);
}

static void processes(void) {
    struct rlimit limit;
    struct rusage usage;
    cpu_set_t cpus;
    int status;
    getpid();
    getppid();
    getuid();
    getgid();
    geteuid();
    getpgrp();
    gettid();
    setpgid(0, 0);
    getpgid(0);
    getsid(0);
    pid_t child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        _exit(3);
    }
    wait4(child, &status, 0, NULL);
    child = syscall(SYS_fork);
    if (child == 0) {
        kill(getpid(), SIGKILL);
    }
    wait4(-1, &status, WUNTRACED, &usage);
    wait4(-1, &status, WNOHANG | WUNTRACED, NULL);
    siginfo_t info;
    waitid(P_ALL, 0, &info, WEXITED | WNOHANG);
    limit.rlim_cur = 100;
    limit.rlim_max = 4096;
    syscall(SYS_setrlimit, RLIMIT_NOFILE, &limit);
    syscall(SYS_getrlimit, RLIMIT_NOFILE, &limit);
    prlimit(0, RLIMIT_NOFILE, NULL, &limit);
    limit.rlim_cur = RLIM_INFINITY;
    prlimit(0, RLIMIT_NOFILE, &limit, NULL);
    getrusage(99, &usage);
    uname((struct utsname *)8);
    sched_yield();
    sched_getaffinity(0, 4, &cpus);
    prctl(PR_SET_NAME, "short");
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_GET_DUMPABLE);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setuid(-1);
    getpriority(PRIO_PROCESS, 0);
    setpriority(PRIO_PROCESS, 0, 1);
    char *arguments[] = { "one", "two words", NULL }, *variables[] = { "A=b", NULL };
    execve("/nowhere/program", arguments, variables);
    syscall(SYS_execve, "/nowhere/program", NULL, NULL);
}

static void signals(void) {
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    sigaddset(&action.sa_mask, SIGTERM);
    sigaddset(&action.sa_mask, SIGUSR1);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR1, NULL, &action);
    action.sa_handler = SIG_IGN;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK | SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    sigaction(SIGHUP, &action, &action);
    sigaction(SIGKILL, &action, NULL);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &old);
    sigprocmask(SIG_SETMASK, &old, NULL);
    sigfillset(&set);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 8);
    sigdelset(&set, SIGTERM);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, &old, 8);
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGRTMIN + 3);
    sigaddset(&set, SIGRTMAX);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    sigpending(&set);
    kill(getpid(), SIGUSR1);
    kill(getpid(), 0);
    tgkill(getpid(), getpid(), SIGUSR1);
    kill(getpid(), SIGWINCH);
    kill(999999, SIGTERM);
    stack_t stack = { .ss_sp = (void *)0x10000, .ss_size = 65536 }, before;
    sigaltstack(&stack, &before);
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
}

static void timing(void) {
    struct timespec time = { 0, 1000 }, left;
    struct itimerval timer = { { 1, 2 }, { 100, 3 } };
    clock_nanosleep(CLOCK_REALTIME, 0, &time, NULL);
    syscall(SYS_nanosleep, &time, &left);
    syscall(SYS_clock_getres, CLOCK_MONOTONIC_COARSE + 90, &time);
    setitimer(ITIMER_REAL, &timer, NULL);
    timer.it_value.tv_sec = timer.it_value.tv_usec = 0;
    setitimer(ITIMER_REAL, &timer, NULL);
    syscall(SYS_alarm, 0);
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct itimerspec spec = { { 1, 2 }, { 100, 3 } };
    timerfd_settime(fd, 0, &spec, NULL);
    timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL);
    close(fd);
    int word = 5;
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    syscall(SYS_futex, &word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 4, NULL, NULL, 0);
    syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 4, &time, NULL, FUTEX_BITSET_MATCH_ANY);
    syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 4, &time, NULL, FUTEX_BITSET_MATCH_ANY);
    syscall(SYS_gettimeofday, NULL, NULL);
}

static void sockets(void) {
    char buffer[100];
    int pair[2];
    struct sockaddr_un local = { .sun_family = AF_UNIX, .sun_path = "/nowhere/socket" };
    struct sockaddr_in inet = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = { htonl(0x7f000001) } };
    struct sockaddr_in6 inet6 = { .sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    socklen_t length;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    connect(fd, (void *)&local, sizeof local);
    connect(fd, (void *)&local, sizeof(sa_family_t));
    local.sun_path[0] = 0;
    connect(fd, (void *)&local, 10);
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, 4);
    setsockopt(fd, SOL_TCP, TCP_NODELAY, &(int){ 1 }, 4);
    length = 4;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, buffer, &length);
    getsockopt(fd, SOL_SOCKET, SO_TYPE, buffer, &length);
    connect(fd, (void *)&inet, sizeof inet);
    inet.sin_port = 0;
    bind(fd, (void *)&inet, sizeof inet);
    listen(fd, 5);
    length = sizeof inet;
    getpeername(fd, (void *)&inet, &length);
    shutdown(fd, SHUT_RDWR);
    close(fd);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    inet.sin_port = htons(9);
    connect(fd, (void *)&inet, sizeof inet);
    length = sizeof inet;
    getpeername(fd, (void *)&inet, &length);
    sendto(fd, "hello", 5, MSG_NOSIGNAL | MSG_DONTWAIT, (void *)&inet, sizeof inet);
    close(fd);
    fd = socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP);
    connect(99, (void *)&inet6, sizeof inet6);
    close(fd);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    sendto(pair[0], "hello", 5, 0, NULL, 0);
    recvfrom(pair[1], buffer, 100, 0, NULL, NULL);
    recvfrom(pair[1], buffer, 100, MSG_DONTWAIT | MSG_PEEK, NULL, NULL);
    struct iovec part = { "message", 7 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    sendmsg(pair[0], &message, MSG_NOSIGNAL);
    part.iov_base = buffer;
    part.iov_len = 50;
    recvmsg(pair[1], &message, 0);
    close(pair[0]);
    close(pair[1]);
    accept4(99, NULL, NULL, SOCK_CLOEXEC);
}

static void readiness(void) {
    int pair[2];
    char byte;
    pipe2(pair, 0);
    struct pollfd polled[3] = { { pair[0], POLLIN, 0 }, { pair[1], POLLOUT | POLLERR, 0 }, { -1, POLLIN, 0 } };
    syscall(SYS_poll, polled, 1, 0);
    syscall(SYS_poll, polled, 3, 1000);
    syscall(SYS_poll, NULL, 0, 1);
    struct timespec time = { 1, 5 };
    syscall(SYS_ppoll, polled, 2, &time, NULL, 8);
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(pair[0], &in);
    FD_SET(pair[1], &out);
    struct timeval none = { 0, 0 };
    syscall(SYS_select, pair[1] + 1, &in, NULL, NULL, &none);
    FD_SET(pair[0], &in);
    struct timespec zero = { 0, 0 };
    syscall(SYS_pselect6, pair[1] + 1, &in, &out, NULL, &zero, NULL);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = 7 }, got[4];
    epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event);
    epoll_ctl(epoll, EPOLL_CTL_MOD, pair[0], &event);
    epoll_wait(epoll, got, 4, 0);
    write(pair[1], "x", 1);
    epoll_wait(epoll, got, 4, 1000);
    syscall(SYS_epoll_pwait, epoll, got, 4, 0, NULL, 8);
    epoll_ctl(epoll, EPOLL_CTL_DEL, pair[0], NULL);
    read(pair[0], &byte, 1);
    eventfd(3, EFD_CLOEXEC | EFD_NONBLOCK);
    eventfd(0, 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    signalfd(-1, &set, SFD_CLOEXEC);
}

int main(void) {
    umask(022);
    close_range(3, ~0U, 0);
    write(-1, "begin", 5);
    files();
    memory();
    processes();
    signals();
    timing();
    sockets();
    readiness();
    return 7;
}
