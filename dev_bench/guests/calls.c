// Times one call: `calls NAME` prints the nanoseconds of one turn, the median of nine batches.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(call) ({ long r_ = (long)(call); if (r_ < 0) { perror(#call); exit(1); } r_; })
#define BATCHES 9
#define BATCH_NS 8e6

extern char **environ;

static char buffer[1 << 20];
static int zero, null, file, dir, epoll_fd, pipes[2], back[2];
static struct pollfd polled[8];
static struct stat meta;
static char hello[PATH_MAX];

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e9 + at.tv_nsec;
}

static void open_devices(void) {
    zero = CHECK(open("/dev/zero", O_RDONLY));
    null = CHECK(open("/dev/null", O_WRONLY));
}
static void make_file(void) {
    file = CHECK(open("bench-file", O_RDWR | O_CREAT, 0600));
    memset(buffer, 'x', sizeof buffer);
    CHECK(write(file, buffer, sizeof buffer));
}
static void make_path(void) {
    CHECK(mkdir("a", 0700));
    CHECK(mkdir("a/b", 0700));
    CHECK(close(CHECK(open("a/b/c", O_CREAT | O_RDWR, 0600))));
}
enum { LARGE = 64 << 20 };
static void make_large(void) {
    make_file();
    while (CHECK(lseek(file, 0, SEEK_CUR)) < LARGE)
        CHECK(write(file, buffer, sizeof buffer));
}
static void make_directory(void) {
    CHECK(mkdir("many", 0700));
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof name, "many/entry-%d", i);
        CHECK(close(CHECK(open(name, O_CREAT | O_RDWR, 0600))));
    }
    dir = CHECK(open("many", O_RDONLY | O_DIRECTORY));
}
static void make_pipe(void) { CHECK(pipe(pipes)); }
static void make_pipes(void) {
    CHECK(pipe(pipes));
    CHECK(pipe(back));
}
static void make_polled(void) {
    open_devices();
    make_file();
    for (int i = 0; i < 8; i++)
        polled[i] = (struct pollfd){i % 2 ? null : file, i % 2 ? POLLOUT : POLLIN, 0};
}
static void make_epoll(void) {
    make_pipe();
    CHECK(write(pipes[1], "x", 1));
    epoll_fd = CHECK(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pipes[0], &event));
}
static void on_signal(int number) { (void)number; }
static void make_handler(void) { signal(SIGUSR1, on_signal); }
static void touch_64m(void) {
    char *at = mmap(0, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < 64 << 20; i += 4096)
        at[i] = 1;
}
static void find_hello(void) {
    CHECK(readlink("/proc/self/exe", hello, sizeof hello - 32));
    strcpy(strrchr(hello, '/'), "/hello-static");
    // What it prints is not ours.
    CHECK(dup2(CHECK(open("/dev/null", O_WRONLY)), 9));
}

static void turn_getpid(void) { CHECK(syscall(SYS_getpid)); }
#ifdef __i386__
static void turn_int80(void) {
    long result;
    asm volatile("int $0x80" : "=a"(result) : "a"(SYS_getpid) : "memory");
    CHECK(result);
}
#endif
static void turn_getuid(void) { CHECK(syscall(SYS_getuid)); }
static void turn_umask(void) { CHECK(umask(022)); }
static void turn_clock(void) {
    struct timespec at;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &at));
}
static void turn_read(void) { CHECK(read(zero, buffer, 1)); }
static void turn_write(void) { CHECK(write(null, buffer, 1)); }
static void turn_pread_4k(void) { CHECK(pread(file, buffer, 4096, 0)); }
static void turn_pread_64k(void) { CHECK(pread(file, buffer, 65536, 0)); }
static void turn_pwrite_4k(void) { CHECK(pwrite(file, buffer, 4096, 0)); }
static void turn_pwrite_random(void) {
    static unsigned random = 1;
    random = random * 1664525 + 1013904223;
    CHECK(pwrite(file, buffer, 4096, (random >> 8) % (LARGE / 4096) * 4096L));
}
static void turn_make(void) {
    int fd = CHECK(open("a/b/new", O_CREAT | O_EXCL | O_WRONLY, 0600));
    CHECK(write(fd, buffer, 4096));
    CHECK(close(fd));
    CHECK(unlink("a/b/new"));
}
static void turn_rename(void) {
    CHECK(rename("a/b/c", "a/b/other"));
    CHECK(rename("a/b/other", "a/b/c"));
}
static void turn_fstat(void) { CHECK(fstat(file, &meta)); }
static void turn_stat(void) { CHECK(stat("a/b/c", &meta)); }
static void turn_open(void) { CHECK(close(CHECK(open("a/b/c", O_RDONLY)))); }
static void turn_getdents(void) {
    CHECK(lseek(dir, 0, SEEK_SET));
    while (CHECK(syscall(SYS_getdents64, dir, buffer, 32768)) > 0)
        ;
}
static void turn_pipe(void) {
    CHECK(write(pipes[1], buffer, 1));
    CHECK(read(pipes[0], buffer, 1));
}
static void turn_poll(void) { CHECK(poll(polled, 8, 0)); }
static void turn_epoll(void) {
    struct epoll_event event;
    CHECK(epoll_wait(epoll_fd, &event, 1, 0));
}
static void turn_map(void) {
    char *at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at == MAP_FAILED ? -1 : 0);
    CHECK(munmap(at, 4096));
}
static void touch_map(int fd) {
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE;
    char *at = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, flags, fd, 0);
    CHECK(at == MAP_FAILED ? -1 : 0);
    for (int i = 0; i < 1 << 20; i += 4096)
        at[i] = 1;
    CHECK(munmap(at, 1 << 20));
}
static void turn_touch(void) { touch_map(-1); }
static void turn_touch_file(void) { touch_map(file); }
static void turn_signal(void) { CHECK(raise(SIGUSR1)); }
static int idle_word;
static void turn_wake(void) { CHECK(syscall(SYS_futex, &idle_word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0)); }
static void *nothing(void *arg) { return arg; }
static void turn_thread(void) {
    pthread_t thread;
    CHECK(-pthread_create(&thread, 0, nothing, 0));
    CHECK(-pthread_join(thread, 0));
}
static void turn_yield(void) { CHECK(sched_yield()); }
static void turn_sleep(void) {
    struct timespec none = {0, 0};
    CHECK(nanosleep(&none, 0));
}

// The other side of a ping-pong answers until it is told to stop.
static atomic_int ball;
static void wait_while(int seen) {
    while (atomic_load(&ball) == seen)
        syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, seen, 0, 0, 0);
}
static void give(int next) {
    atomic_store(&ball, next);
    CHECK(syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
}
static void *answer_futex(void *arg) {
    for (;;) {
        wait_while(0);
        give(0);
    }
    return arg;
}
static void start_futex(void) {
    pthread_t thread;
    CHECK(-pthread_create(&thread, 0, answer_futex, 0));
}
static void turn_pingpong_futex(void) {
    give(1);
    wait_while(1);
}
static void *answer_pipe(void *arg) {
    char byte;
    while (read(pipes[0], &byte, 1) == 1)
        CHECK(write(back[1], &byte, 1));
    return arg;
}
static void start_pipe_thread(void) {
    pthread_t thread;
    make_pipes();
    CHECK(-pthread_create(&thread, 0, answer_pipe, 0));
}
static void turn_pingpong_pipe(void) {
    CHECK(write(pipes[1], buffer, 1));
    CHECK(read(back[0], buffer, 1));
}
static void start_pipe_process(void) {
    make_pipes();
    if (CHECK(fork()) == 0) {
        close(pipes[1]);
        answer_pipe(0);
        _exit(0);
    }
}
// Two sockets of the loopback device, the other end of which answers each byte, takes all it gets, or accepts.
static int near_end, port_of_listener;
static struct sockaddr_in loopback(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    return a;
}
static int bound(int type) {
    struct sockaddr_in a = loopback(0);
    socklen_t len = sizeof a;
    int s = CHECK(socket(AF_INET, type, 0));
    CHECK(bind(s, (struct sockaddr *)&a, sizeof a));
    CHECK(getsockname(s, (struct sockaddr *)&a, &len));
    port_of_listener = ntohs(a.sin_port);
    return s;
}
static int connected(int type) {
    struct sockaddr_in a = loopback(port_of_listener);
    int s = CHECK(socket(AF_INET, type, 0)), one = 1;
    CHECK(connect(s, (struct sockaddr *)&a, sizeof a));
    if (type == SOCK_STREAM)
        CHECK(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
    return s;
}
static void answer_socket(int s) {
    char byte;
    // A datagram socket has no end.
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    while (recvfrom(s, &byte, 1, 0, (struct sockaddr *)&from, &len) == 1) {
        int datagram = len != 0;
        CHECK(datagram ? sendto(s, &byte, 1, 0, (struct sockaddr *)&from, len) : write(s, &byte, 1));
        len = sizeof from;
    }
    _exit(0);
}
static void start_tcp(void) {
    int listener = bound(SOCK_STREAM);
    CHECK(listen(listener, 8));
    if (CHECK(fork()) == 0)
        answer_socket(CHECK(accept(listener, 0, 0)));
    close(listener);
    near_end = connected(SOCK_STREAM);
}
static void start_udp(void) {
    int other = bound(SOCK_DGRAM);
    if (CHECK(fork()) == 0)
        answer_socket(other);
    close(other);
    near_end = connected(SOCK_DGRAM);
}
static void turn_socket(void) {
    CHECK(write(near_end, buffer, 1));
    CHECK(read(near_end, buffer, 1));
}
static void start_tcp_sink(void) {
    int listener = bound(SOCK_STREAM);
    CHECK(listen(listener, 8));
    if (CHECK(fork()) == 0) {
        int s = CHECK(accept(listener, 0, 0));
        static char room[128 << 10];
        while (read(s, room, sizeof room) > 0)
            ;
        _exit(0);
    }
    close(listener);
    near_end = connected(SOCK_STREAM);
}
static void turn_bulk(void) {
    static char bytes[128 << 10];
    CHECK(write(near_end, bytes, sizeof bytes));
}
static int accepting;
static void start_accept(void) {
    accepting = bound(SOCK_STREAM);
    CHECK(listen(accepting, 8));
}
static void turn_accept(void) {
    // The one who connects closes first, and not in order: no port stays taken.
    struct linger at_once = {1, 0};
    int a = connected(SOCK_STREAM), b = CHECK(accept(accepting, 0, 0));
    CHECK(setsockopt(a, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    close(a);
    close(b);
}
// Of many connections that one set watches, some have something to read.
enum { MANY = 9000, ACTIVE = 100 };
static int clients[MANY];
static void start_many(void) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit));
    int listener = bound(SOCK_STREAM);
    CHECK(listen(listener, 8));
    epoll_fd = CHECK(epoll_create1(0));
    for (int i = 0; i < MANY; i++) {
        clients[i] = connected(SOCK_STREAM);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = CHECK(accept(listener, 0, 0))};
        CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event.data.fd, &event));
    }
}
static void turn_many(void) {
    struct epoll_event events[ACTIVE];
    for (int i = 0; i < ACTIVE; i++)
        CHECK(write(clients[i * (MANY / ACTIVE)], buffer, 1));
    for (int done = 0; done < ACTIVE;) {
        int n = CHECK(epoll_wait(epoll_fd, events, ACTIVE, -1));
        for (int i = 0; i < n; i++)
            CHECK(read(events[i].data.fd, buffer, 1));
        done += n;
    }
}
static void reap(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0));
    if (status != 0) {
        fprintf(stderr, "a child ended with %#x\n", status);
        exit(1);
    }
}
static void turn_fork(void) {
    pid_t child = CHECK(fork());
    if (child == 0)
        _exit(0);
    reap(child);
}
static void turn_spawn(void) {
    char *args[] = {"true", 0};
    pid_t child;
    CHECK(-posix_spawn(&child, "/bin/true", 0, 0, args, environ));
    reap(child);
}
static void turn_vfork(void) {
    char *args[] = {hello, 0};
    pid_t child = vfork();
    if (child == 0) {
        dup2(9, 1);
        execve(hello, args, environ);
        _exit(127);
    }
    CHECK(child);
    reap(child);
}

static const struct {
    const char *name;
    void (*prepare)(void);
    void (*turn)(void);
} all[] = {
    {"getpid", 0, turn_getpid},
#ifdef __i386__
    {"int80_getpid", 0, turn_int80},
#endif
    {"getuid", 0, turn_getuid},
    {"umask", 0, turn_umask},
    {"clock_gettime", 0, turn_clock},
    {"read_1_zero", open_devices, turn_read},
    {"write_1_null", open_devices, turn_write},
    {"pread_4k", make_file, turn_pread_4k},
    {"pread_64k", make_file, turn_pread_64k},
    {"pwrite_4k", make_file, turn_pwrite_4k},
    {"pwrite_random_4k", make_large, turn_pwrite_random},
    {"make_write_unlink", make_path, turn_make},
    {"rename_twice", make_path, turn_rename},
    {"fstat", make_file, turn_fstat},
    {"stat", make_path, turn_stat},
    {"open_close", make_path, turn_open},
    {"getdents_1000", make_directory, turn_getdents},
    {"pipe_write_read", make_pipe, turn_pipe},
    {"poll_8", make_polled, turn_poll},
    {"epoll_wait_ready", make_epoll, turn_epoll},
    {"mmap_munmap_4k", 0, turn_map},
    {"mmap_touch_1m", 0, turn_touch},
    {"mmap_file_touch_1m", make_file, turn_touch_file},
    {"signal_self", make_handler, turn_signal},
    {"futex_wake", 0, turn_wake},
    {"pingpong_futex", start_futex, turn_pingpong_futex},
    {"pingpong_pipe", start_pipe_thread, turn_pingpong_pipe},
    {"thread_create_join", 0, turn_thread},
    {"sched_yield", 0, turn_yield},
    {"nanosleep_0", 0, turn_sleep},
    {"fork_wait", 0, turn_fork},
    {"fork_wait_64m", touch_64m, turn_fork},
    {"posix_spawn_true", 0, turn_spawn},
    {"vfork_exec_static", find_hello, turn_vfork},
    {"pingpong_processes", start_pipe_process, turn_pingpong_pipe},
    {"tcp_loopback_bulk", start_tcp_sink, turn_bulk},
    {"tcp_pingpong", start_tcp, turn_socket},
    {"tcp_connect_accept_close", start_accept, turn_accept},
    {"udp_pingpong", start_udp, turn_socket},
    {"epoll_9k_100_active", start_many, turn_many},
};

static double batch(void (*turn)(void), long count) {
    double begin = now();
    for (long i = 0; i < count; i++)
        turn();
    return now() - begin;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// Works in a directory of its own, so that every run starts from nothing.
static void enter_directory(void) {
    char name[] = "calls-XXXXXX";
    CHECK(mkdtemp(name) ? 0 : -1);
    CHECK(chdir(name));
}

int main(int argc, char **argv) {
    for (size_t i = 0; argc == 2 && i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(all[i].name, argv[1]))
            continue;
        double times[BATCHES];
        long count = 1;
        enter_directory();
        if (all[i].prepare)
            all[i].prepare();
        while (batch(all[i].turn, count) < BATCH_NS)
            count *= 2;
        for (int b = 0; b < BATCHES; b++)
            times[b] = batch(all[i].turn, count) / count;
        qsort(times, BATCHES, sizeof times[0], ascending);
        printf("%.2f\n", times[BATCHES / 2]);
        return 0;
    }
    fprintf(stderr, "usage: calls NAME\n");
    return 2;
}
