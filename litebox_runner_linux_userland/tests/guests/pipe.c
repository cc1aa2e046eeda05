// Pipes: room, atomicity, readiness, ends that close, packets, sizes, errors.
//@ variants: static dynamic
//@ flags: -pthread
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)

static char big[1 << 21];
static int p[2];

static void fresh(int flags) {
    if (p[0]) close(p[0]), close(p[1]);
    if (pipe2(p, flags)) perror("pipe2");
}
static int events(int fd) {
    struct pollfd f = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLPRI, 0};
    poll(&f, 1, 0);
    return f.revents;
}
static int in_pipe(void) {
    int n = -1;
    ioctl(p[0], FIONREAD, &n);
    return n;
}
static long fill(size_t piece) {
    long total = 0, n;
    while ((n = write(p[1], big, piece)) > 0) total += n;
    return total;
}
static volatile int pipes_broken;
static void on_pipe(int s) { pipes_broken++; }

static void making(void) {
    SHOW(pipe2(p, 1));
    SHOW(syscall(SYS_pipe2, p, O_APPEND));
    SHOW(syscall(SYS_pipe2, 8, 0));
    SHOW(syscall(SYS_pipe, 0));
    SHOW(pipe2(p, O_CLOEXEC | O_NONBLOCK | O_DIRECT));
    for (int i = 0; i < 2; i++) {
        SHOW(fcntl(p[i], F_GETFL));
        SHOW(fcntl(p[i], F_GETFD));
        struct stat st;
        SHOW(fstat(p[i], &st));
        printf("%o %ld %ld %ld %d\n", st.st_mode, (long)st.st_nlink, (long)st.st_size, (long)st.st_blksize, st.st_uid == geteuid());
    }
    struct stat a, b;
    fstat(p[0], &a), fstat(p[1], &b);
    printf("same inode %d\n", a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    char link[64], path[64], want[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
    long n = readlink(path, link, sizeof link - 1);
    link[n < 0 ? 0 : n] = 0;
    snprintf(want, sizeof want, "pipe:[%ld]", (long)a.st_ino);
    printf("named %d\n", strcmp(link, want) == 0);
    SHOW(fchmod(p[0], 0640));
    fstat(p[1], &b);
    printf("%o\n", b.st_mode);
}
static void misuse(void) {
    fresh(O_NONBLOCK);
    char c;
    SHOW(lseek(p[0], 0, SEEK_CUR));
    SHOW(lseek(p[1], 0, 99));
    SHOW(pread(p[0], &c, 1, 0));
    SHOW(pwrite(p[1], &c, 1, 0));
    SHOW(pread(p[0], &c, 1, -1));
    SHOW(ftruncate(p[1], 0));
    SHOW(fallocate(p[1], 0, 0, 1));
    SHOW(fsync(p[1]));
    SHOW(fdatasync(p[0]));
    SHOW(posix_fadvise(p[0], 0, 0, 0));
    SHOW(readahead(p[0], 0, 1));
    SHOW(write(p[0], &c, 1));
    SHOW(read(p[1], &c, 1));
    SHOW(read(p[0], &c, 1));
    SHOW(read(p[0], &c, 0));
    SHOW(read(p[0], (void *)8, 1));
    SHOW(write(p[1], (void *)8, 1));
    SHOW(write(p[1], (void *)8, 0));
    SHOW(write(p[1], 0, 1L << 40));
    SHOW(write(p[1], big, SIZE_MAX));
    SHOW(read(p[0], big, SIZE_MAX));
    SHOW(mmap(0, 4096, PROT_READ, MAP_SHARED, p[0], 0) == MAP_FAILED);
    SHOW(ioctl(p[0], 0x5401, big));
    SHOW(ioctl(p[0], FIONREAD, 8));
    SHOW(fchdir(p[0]));
    SHOW(syscall(SYS_getdents64, p[0], big, 100));
    SHOW(flock(p[0], 2));
    struct iovec v[3] = {{"ab", 2}, {0, 0}, {"cde", 3}};
    SHOW(writev(p[1], v, 3));
    SHOW(writev(p[1], v, 0));
    SHOW(writev(p[1], v, 1025));
    SHOW(writev(p[1], v, -1));
    SHOW(pwritev2(p[1], v, 1, -1, 0));
    SHOW(pwritev2(p[1], v, 1, 0, 0));
    v[1].iov_len = SIZE_MAX;
    SHOW(writev(p[1], v, 3));
    SHOW(readv(p[0], v, 3));
    char x[4], y[100];
    struct iovec to[2] = {{x, 4}, {y, 100}};
    SHOW(readv(p[0], to, 2));
    printf("%.4s%.3s\n", x, y);
    SHOW(preadv2(p[0], to, 2, -1, RWF_NOWAIT));
}
static void faults(void) {
    fresh(O_NONBLOCK);
    char *edge = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + 4096, 4096);
    SHOW(write(p[1], edge + 4000, 200));
    printf("%d left\n", in_pipe());
    SHOW(write(p[1], big, 500));
    SHOW(read(p[0], edge + 4000, 500));
    printf("%d left\n", in_pipe());
    SHOW(read(p[0], edge + 4000, 96));
    printf("%d left\n", in_pipe());
    SHOW(write(p[1], edge, 8192));
    printf("%d left\n", in_pipe());
}
static void room(void) {
    fresh(O_NONBLOCK);
    SHOW(fcntl(p[0], F_GETPIPE_SZ));
    SHOW(fcntl(0, F_GETPIPE_SZ) < 0);
    SHOW(fill(1));
    SHOW(in_pipe());
    SHOW(events(p[1]));
    SHOW(read(p[0], big, 4095));
    SHOW(events(p[1]));
    SHOW(read(p[0], big, 1));
    SHOW(events(p[1]));
    fresh(O_NONBLOCK);
    SHOW(fill(4095));
    SHOW(fill(1));
    fresh(O_NONBLOCK);
    SHOW(fill(4096));
    SHOW(read(p[0], big, 100));
    SHOW(write(p[1], big, 100));
    SHOW(read(p[0], big, 5000));
    SHOW(write(p[1], big, 5000));
    fresh(O_NONBLOCK);
    SHOW(write(p[1], big, 65000));
    SHOW(write(p[1], big, 1000));
    SHOW(write(p[1], big, 536));
    SHOW(write(p[1], big, 1));
    fresh(O_NONBLOCK);
    SHOW(write(p[1], big, sizeof big));
    SHOW(fcntl(p[1], F_SETPIPE_SZ, 4096));
    SHOW(fcntl(p[1], F_SETPIPE_SZ, 70000));
    SHOW(fcntl(p[1], F_GETPIPE_SZ));
    SHOW(write(p[1], big, sizeof big));
    SHOW(read(p[0], big, sizeof big));
    SHOW(fcntl(p[1], F_SETPIPE_SZ, 0));
    SHOW(fcntl(p[0], F_GETPIPE_SZ));
    SHOW(fcntl(p[1], F_SETPIPE_SZ, 1 << 20));
    SHOW(fcntl(p[1], F_SETPIPE_SZ, (1u << 31) + 1));
    SHOW(fcntl(p[1], F_SETPIPE_SZ, -1));
    SHOW(fill(65536));
}
static void ends(void) {
    fresh(O_NONBLOCK);
    char c;
    SHOW(events(p[0]));
    SHOW(events(p[1]));
    SHOW(write(p[1], "x", 1));
    SHOW(events(p[0]));
    close(p[1]);
    SHOW(events(p[0]));
    SHOW(read(p[0], &c, 1));
    SHOW(events(p[0]));
    SHOW(read(p[0], &c, 1));
    p[1] = dup(0);
    fresh(0);
    close(p[0]);
    p[0] = dup(0);
    SHOW(events(p[1]));
    signal(SIGPIPE, on_pipe);
    SHOW(write(p[1], "x", 1));
    SHOW(write(p[1], "", 0));
    SHOW(write(p[1], (void *)8, 1));
    SHOW(pipes_broken);
    // Again through /proc: a second writer, of the same pipe.
    fresh(0);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", p[1]);
    int again = open(path, O_WRONLY | O_NONBLOCK);
    SHOW(again >= 0);
    close(p[1]);
    p[1] = again;
    SHOW(write(again, "again", 5));
    SHOW(read(p[0], big, 100));
    snprintf(path, sizeof path, "/dev/fd/%d", p[0]);
    again = open(path, O_RDWR);
    SHOW(fcntl(again, F_GETFL));
    SHOW(write(again, "both", 4));
    SHOW(read(again, big, 100));
    SHOW(events(again));
    close(again);
}
static void packets(void) {
    fresh(O_DIRECT | O_NONBLOCK);
    SHOW(write(p[1], "hello", 5));
    SHOW(write(p[1], "world", 5));
    SHOW(write(p[1], big, 5000));
    SHOW(in_pipe());
    SHOW(read(p[0], big, 3));
    SHOW(read(p[0], big, 100));
    SHOW(fcntl(p[1], F_SETFL, O_NONBLOCK));
    SHOW(write(p[1], "more", 4));
    SHOW(read(p[0], big, 100000));
    SHOW(read(p[0], big, 100000));
    SHOW(read(p[0], big, 100000));
    SHOW(fcntl(p[1], F_SETFL, O_NONBLOCK | O_DIRECT));
    SHOW(fcntl(p[1], F_GETFL));
    SHOW(fill(1));
}
static void polled(void) {
    fresh(O_NONBLOCK);
    int e = epoll_create1(0);
    struct epoll_event ev = {EPOLLIN | EPOLLET, {.u32 = 7}}, out[4];
    SHOW(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev));
    ev.events = EPOLLOUT, ev.data.u32 = 8;
    SHOW(epoll_ctl(e, EPOLL_CTL_ADD, p[1], &ev));
    SHOW(epoll_wait(e, out, 4, 0));
    SHOW(write(p[1], "x", 1));
    SHOW(epoll_wait(e, out, 4, 0));
    SHOW(epoll_wait(e, out, 4, 0));
    SHOW(write(p[1], "x", 1));
    int n = epoll_wait(e, out, 4, 0), seen = 0;
    for (int i = 0; i < n; i++) seen |= out[i].data.u32;
    printf("%d: %d\n", n, seen);
    SHOW(fill(4096));
    SHOW(epoll_wait(e, out, 4, 0));
    SHOW(epoll_wait(e, out, 4, 0));
    SHOW(read(p[0], big, 4096));
    SHOW(epoll_wait(e, out, 4, 0));
    close(e);
}

static void *drain(void *count) {
    long n, *total = count;
    char *mine = malloc(7000);
    while ((n = read(p[0], mine, 7000)) > 0) {
        for (long i = 0; i < n; i++)
            if (mine[i] != (char)((*total + i) * 31)) printf("wrong byte\n"), exit(1);
        *total += n;
    }
    return NULL;
}
static void *small_writer(void *letter) {
    char message[500];
    memset(message, *(char *)letter, sizeof message);
    for (int i = 0; i < 400; i++)
        if (write(p[1], message, sizeof message) != sizeof message) perror("write");
    return NULL;
}
static void *close_later(void *fd) {
    poll(NULL, 0, 50);
    close(*(int *)fd);
    return NULL;
}
static void *kill_later(void *who) {
    for (int i = 0; i < 3; i++) poll(NULL, 0, 50), pthread_kill(*(pthread_t *)who, SIGUSR1);
    return NULL;
}
static void on_user(int s) {}

static void threads(void) {
    fresh(0);
    pthread_t t, u;
    long total = 0;
    for (size_t i = 0; i < sizeof big; i++) big[i] = i * 31;
    pthread_create(&t, NULL, drain, &total);
    SHOW(write(p[1], big, sizeof big));
    close(p[1]);
    p[1] = dup(0);
    pthread_join(t, NULL);
    printf("drained %ld\n", total);

    // Writes of at most PIPE_BUF bytes are never mixed.
    fresh(0);
    char a = 'a', b = 'b', got[500];
    pthread_create(&t, NULL, small_writer, &a);
    pthread_create(&u, NULL, small_writer, &b);
    int mixed = 0;
    for (int i = 0; i < 800; i++) {
        for (int have = 0; have < 500;) have += read(p[0], got + have, 500 - have);
        for (int k = 1; k < 500; k++) mixed += got[k] != got[0];
    }
    pthread_join(t, NULL), pthread_join(u, NULL);
    printf("mixed %d\n", mixed);

    // Who waits learns that the other side went.
    fresh(0);
    pthread_create(&t, NULL, close_later, &p[1]);
    SHOW(read(p[0], big, 10));
    pthread_join(t, NULL);
    p[1] = dup(0);
    fresh(0);
    pipes_broken = 0;
    pthread_create(&t, NULL, close_later, &p[0]);
    SHOW(write(p[1], big, 100000));
    pthread_join(t, NULL);
    SHOW(pipes_broken);
    p[0] = dup(0);

    // Signals: nothing moved yet, something moved, restarts.
    fresh(0);
    pthread_t self = pthread_self();
    struct sigaction act = {.sa_handler = on_user};
    sigaction(SIGUSR1, &act, NULL);
    pthread_create(&t, NULL, kill_later, &self);
    SHOW(read(p[0], big, 10));
    SHOW(write(p[1], big, 100000));
    pthread_join(t, NULL);
    SHOW(in_pipe());
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    making(), misuse(), faults(), room(), ends(), packets(), polled(), threads();
    signal(SIGPIPE, SIG_DFL);
    fresh(0);
    close(p[0]);
    fflush(stdout);
    write(p[1], "x", 1);
    puts("not reached");
    return 0;
}
