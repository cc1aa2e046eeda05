//@ flags: -pthread
//@ timeout: 60
// What a signal does to calls that wait: with a handler, with SA_RESTART, with none.
#define _GNU_SOURCE
#include "asleep.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int hits;
static void handler(int signal) { (void)signal; hits++; }

static int pipe_in[2], pipe_full[2], pair[2], event, epoll, timer;
static int word;
static char byte;
static pid_t main_tid;

static long do_read(void) { return read(pipe_in[0], &byte, 1); }
static long do_readv(void) { struct iovec v = {&byte, 1}; return readv(pipe_in[0], &v, 1); }
static long do_write(void) { static char much[200000]; return write(pipe_full[1], much, sizeof much); }
static long do_recv(void) { return recv(pair[0], &byte, 1, 0); }
static long do_recvmsg(void) { struct iovec v = {&byte, 1}; struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1}; return recvmsg(pair[0], &m, 0); }
static long do_eventfd(void) { unsigned long n; return read(event, &n, 8); }
static long do_timerfd(void) { unsigned long n; return read(timer, &n, 8); }
static long do_poll(void) { struct pollfd p = {pipe_in[0], POLLIN, 0}; return poll(&p, 1, 10000); }
static long do_poll_for_ever(void) { struct pollfd p = {pipe_in[0], POLLIN, 0}; return poll(&p, 1, -1); }
static long do_ppoll(void) { struct pollfd p = {pipe_in[0], POLLIN, 0}; struct timespec t = {10, 0}; return ppoll(&p, 1, &t, NULL); }
static long do_select(void) { fd_set s; FD_ZERO(&s); FD_SET(pipe_in[0], &s); struct timeval t = {10, 0}; return select(pipe_in[0] + 1, &s, NULL, NULL, &t); }
static long do_pselect(void) { fd_set s; FD_ZERO(&s); FD_SET(pipe_in[0], &s); return pselect(pipe_in[0] + 1, &s, NULL, NULL, NULL, NULL); }
static long do_epoll(void) { struct epoll_event e; return epoll_wait(epoll, &e, 1, 10000); }
static long do_epoll_pwait(void) { struct epoll_event e; sigset_t none; sigemptyset(&none); return epoll_pwait(epoll, &e, 1, -1, &none); }
static long do_futex(void) { return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0); }
static long do_futex_limited(void) { struct timespec t = {10, 0}; return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0); }
static long do_nanosleep(void) { struct timespec t = {10, 0}; return nanosleep(&t, NULL); }
static long do_clock_nanosleep(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); t.tv_sec += 10; long r = syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL); return r; }
static long do_pause(void) { return pause(); }
static long do_sigsuspend(void) { sigset_t none; sigemptyset(&none); return sigsuspend(&none); }
static long do_sigtimedwait(void) { sigset_t set; sigemptyset(&set); sigaddset(&set, SIGUSR2); struct timespec t = {10, 0}; return sigtimedwait(&set, NULL, &t); }
static long do_flock(void) { int fd = open("/proc/self/exe", O_RDONLY); long r = flock(fd, LOCK_EX); int e = errno; close(fd); errno = e; return r; }

struct call {
    const char *name;
    long (*call)(void);
    void (*finish)(void);
};
static void feed_pipe(void) { if (write(pipe_in[1], "x", 1) != 1) abort(); }
static void drain_pipe(void) { static char much[1 << 20]; fcntl(pipe_full[0], F_SETFL, O_NONBLOCK); for (int i = 0; i < 100; i++) { if (read(pipe_full[0], much, sizeof much) < 0) usleep(2000); } }
static void feed_pair(void) { if (write(pair[1], "x", 1) != 1) abort(); }
static void feed_event(void) { unsigned long n = 1; if (write(event, &n, 8) != 8) abort(); }
static void feed_timer(void) { struct itimerspec s = {{0, 0}, {0, 1}}; timerfd_settime(timer, 0, &s, NULL); }
static void feed_futex(void) { word = 1; syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); word = 0; }
static int lock_fd;
static void release_lock(void) { flock(lock_fd, LOCK_UN); }
static void feed_usr2(void) { syscall(SYS_tgkill, getpid(), main_tid, SIGUSR2); }

static const struct call calls[] = {
    {"read of a pipe", do_read, feed_pipe},
    {"readv", do_readv, feed_pipe},
    {"recv", do_recv, feed_pair},
    {"recvmsg", do_recvmsg, feed_pair},
    {"eventfd", do_eventfd, feed_event},
    {"timerfd", do_timerfd, feed_timer},
    {"poll", do_poll, feed_pipe},
    {"poll for ever", do_poll_for_ever, feed_pipe},
    {"ppoll", do_ppoll, feed_pipe},
    {"select", do_select, feed_pipe},
    {"pselect", do_pselect, feed_pipe},
    {"epoll_wait", do_epoll, feed_pipe},
    {"epoll_pwait", do_epoll_pwait, feed_pipe},
    {"futex", do_futex, feed_futex},
    {"futex with a time limit", do_futex_limited, feed_futex},
    {"flock", do_flock, release_lock},
    {"nanosleep", do_nanosleep, NULL},
    {"clock_nanosleep", do_clock_nanosleep, NULL},
    {"pause", do_pause, NULL},
    {"sigsuspend", do_sigsuspend, NULL},
    {"sigtimedwait", do_sigtimedwait, feed_usr2},
    {"write to a full pipe", do_write, drain_pipe},
};

static void (*finish)(void);
static volatile int returned;
static void *disturb(void *arg) {
    (void)arg;
    // Twice, so that a restarted call is interrupted again.
    for (int i = 0; i < 2 && !returned; i++) {
        wait_asleep(getpid(), main_tid);
        syscall(SYS_tgkill, getpid(), main_tid, SIGUSR1);
    }
    wait_asleep(getpid(), main_tid);
    while (!returned && finish) {
        finish();
        usleep(20000);
    }
    return NULL;
}

static void try(const struct call *call, const char *how, int flags, void (*action)(int)) {
    struct sigaction sa = {.sa_handler = action, .sa_flags = flags};
    sigaction(SIGUSR1, &sa, NULL);
    // Calls that nothing ends would wait for ever without a handler.
    if (!call->finish && action == SIG_IGN)
        return;
    hits = 0;
    returned = 0;
    finish = call->finish;
    if (call->call == do_flock)
        flock(lock_fd, LOCK_EX);
    pthread_t thread;
    pthread_create(&thread, NULL, disturb, NULL);
    errno = 0;
    long r = call->call();
    int e = errno;
    returned = 1;
    pthread_join(thread, NULL);
    if (r > 1)
        r = 1;
    printf("%s, %s: %ld %s, handler %s\n", call->name, how, r, e ? strerror(e) : "", hits ? "ran" : "did not run");
    // What the helper fed too much.
    char rest[100];
    fcntl(pipe_in[0], F_SETFL, O_NONBLOCK), fcntl(pair[0], F_SETFL, O_NONBLOCK), fcntl(event, F_SETFL, O_NONBLOCK), fcntl(timer, F_SETFL, O_NONBLOCK);
    while (read(pipe_in[0], rest, sizeof rest) > 0 || read(pair[0], rest, sizeof rest) > 0 || read(event, rest, 8) > 0 || read(timer, rest, 8) > 0)
        ;
    fcntl(pipe_in[0], F_SETFL, 0), fcntl(pair[0], F_SETFL, 0), fcntl(event, F_SETFL, 0), fcntl(timer, F_SETFL, 0);
    struct timespec zero = {0, 0};
    sigset_t usr2;
    sigemptyset(&usr2), sigaddset(&usr2, SIGUSR2);
    while (sigtimedwait(&usr2, NULL, &zero) > 0)
        ;
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    main_tid = gettid();
    if (pipe(pipe_in) || pipe(pipe_full) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return 1;
    event = eventfd(0, 0);
    timer = timerfd_create(CLOCK_MONOTONIC, 0);
    epoll = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN};
    epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_in[0], &e);
    lock_fd = open("/proc/self/exe", O_RDONLY);
    sigset_t usr2;
    sigemptyset(&usr2), sigaddset(&usr2, SIGUSR2);
    sigprocmask(SIG_BLOCK, &usr2, NULL);
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        try(&calls[i], "handler", 0, handler);
        try(&calls[i], "SA_RESTART", SA_RESTART, handler);
        try(&calls[i], "ignored", 0, SIG_IGN);
    }
    return 0;
}
