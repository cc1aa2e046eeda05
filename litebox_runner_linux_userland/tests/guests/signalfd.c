// signalfd: taking signals from a file, readiness, whose signals they are, errors.
//@ flags: -pthread
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)

static int fd;
static struct signalfd_siginfo info[4];

static int events(void) {
    struct pollfd f = {fd, POLLIN | POLLOUT | POLLRDNORM, 0};
    poll(&f, 1, 0);
    return f.revents;
}
static void show(int n) {
    for (int i = 0; i < n; i++) {
        struct signalfd_siginfo *s = info + i;
        printf("signal %d code %d errno %d mine %d uid %d int %d ptr %lx\n", s->ssi_signo, s->ssi_code, s->ssi_errno,
               s->ssi_pid == getpid(), s->ssi_uid == getuid(), s->ssi_int, (long)s->ssi_ptr);
    }
}
static void take(size_t room) {
    errno = 0;
    long n = read(fd, info, room);
    printf("read %ld, %s\n", n, strerror(errno));
    if (n > 0) show(n / sizeof *info);
}
static void *send_later(void *to) {
    poll(NULL, 0, 50);
    if (to) pthread_kill(*(pthread_t *)to, SIGUSR1);
    else kill(getpid(), SIGUSR2);
    return NULL;
}
static void on_user(int s) { puts("handled"); }

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigset_t mask, other;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1), sigaddset(&mask, SIGUSR2), sigaddset(&mask, SIGRTMIN + 1), sigaddset(&mask, SIGKILL), sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    SHOW(syscall(SYS_signalfd4, -1, &mask, 4, 0));
    SHOW(syscall(SYS_signalfd4, -1, &mask, 8, 1));
    SHOW(syscall(SYS_signalfd4, -1, 8, 8, 0));
    SHOW(syscall(SYS_signalfd4, 0, &mask, 8, 0));
    SHOW(syscall(SYS_signalfd4, 99, &mask, 8, 0));
    fd = syscall(SYS_signalfd, -1, &mask, 8);
    SHOW(fcntl(fd, F_GETFL));
    close(fd);
    fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    SHOW(fcntl(fd, F_GETFL));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(events());
    take(sizeof info);
    take(127);
    SHOW(write(fd, info, 128));
    SHOW(lseek(fd, 0, SEEK_SET));
    raise(SIGUSR1);
    SHOW(events());
    kill(getpid(), SIGUSR2);
    union sigval value = {.sival_ptr = (void *)0x123456789};
    sigqueue(getpid(), SIGRTMIN + 1, value);
    sigqueue(getpid(), SIGRTMIN + 1, value);
    take(sizeof info[0] * 2 + 5);
    take(sizeof info);
    take(sizeof info);
    raise(SIGUSR1);
    SHOW(read(fd, (void *)8, 128));
    SHOW(events());
    // What another file does not want stays.
    sigemptyset(&other);
    sigaddset(&other, SIGUSR2);
    kill(getpid(), SIGUSR1), kill(getpid(), SIGUSR2);
    SHOW(signalfd(fd, &other, 0) == fd);
    take(sizeof info);
    SHOW(events());
    SHOW(signalfd(fd, &mask, 0) == fd);
    take(sizeof info);
    kill(getpid(), SIGCHLD);
    SHOW(events());
    take(sizeof info);

    int e = epoll_create1(0);
    struct epoll_event ev = {EPOLLIN, {.u32 = 7}}, out[4];
    SHOW(epoll_ctl(e, EPOLL_CTL_ADD, fd, &ev));
    SHOW(epoll_wait(e, out, 4, 0));
    pthread_t t, self = pthread_self();
    pthread_create(&t, NULL, send_later, &self);
    SHOW(epoll_wait(e, out, 4, 2000));
    pthread_join(t, NULL);
    take(sizeof info);
    SHOW(epoll_wait(e, out, 4, 0));

    fcntl(fd, F_SETFL, 0);
    pthread_create(&t, NULL, send_later, NULL);
    take(sizeof info);
    pthread_join(t, NULL);
    pthread_create(&t, NULL, send_later, &self);
    struct pollfd f = {fd, POLLIN, 0};
    SHOW(poll(&f, 1, 2000));
    pthread_join(t, NULL);
    take(sizeof info);

    // Unblocked signals go to their handler.
    signal(SIGUSR1, on_user);
    sigprocmask(SIG_UNBLOCK, &mask, NULL);
    raise(SIGUSR1);
    SHOW(events());
    char path[64], link[64] = {0};
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    readlink(path, link, sizeof link - 1);
    puts(link);
    return 0;
}
