// Times system calls from within; prints `name nanoseconds` per line.
#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char buffer[65536];
static int zero, null, file, pipes[2], word;
static const char *path = "bench-file";

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e9 + at.tv_nsec;
}

#define CHECK(call) do { if ((long)(call) < 0) { perror(#call); exit(1); } } while (0)
#define BENCH(name, count, call) do { \
    for (int i = 0; i < (count) / 10 + 1; i++) CHECK(call); \
    double begin = now(); \
    for (int i = 0; i < (count); i++) CHECK(call); \
    printf("%s %.1f\n", name, (now() - begin) / (count)); \
} while (0)

static void *nothing(void *arg) { return arg; }

static int thread_create(void) {
    pthread_t thread;
    return -(pthread_create(&thread, 0, nothing, 0) || pthread_join(thread, 0));
}

static int open_close(void) {
    int fd = open(path, O_RDONLY);
    return fd < 0 ? fd : close(fd);
}

static int read_dir(void) {
    static int dir = -1;
    if (dir < 0)
        dir = open(".", O_RDONLY | O_DIRECTORY);
    return lseek(dir, 0, SEEK_SET) < 0 ? -1 : syscall(SYS_getdents64, dir, buffer, sizeof buffer);
}

static int pipe_turn(void) { return write(pipes[1], buffer, 1) < 0 ? -1 : read(pipes[0], buffer, 1); }

static int map_touch(void) {
    char *at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return -1;
    *at = 1;
    return munmap(at, 4096);
}

static void handler(int number) { (void)number; }

int main(void) {
    struct stat meta;
    struct timespec at;
    zero = open("/dev/zero", O_RDONLY);
    null = open("/dev/null", O_WRONLY);
    file = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(zero | null | file);
    CHECK(pipe(pipes));
    CHECK(ftruncate(file, 65536));
    struct pollfd polled[4] = {{zero, POLLIN, 0}, {null, POLLOUT, 0}, {file, POLLIN, 0}, {pipes[0], POLLIN, 0}};
    signal(SIGUSR1, handler);
    BENCH("getpid", 200000, syscall(SYS_getpid));
    BENCH("clock_gettime", 500000, clock_gettime(CLOCK_MONOTONIC, &at));
    BENCH("read_1_zero", 100000, read(zero, buffer, 1));
    BENCH("write_1_null", 100000, write(null, buffer, 1));
    BENCH("pread_4k", 100000, pread(file, buffer, 4096, 0));
    BENCH("pwrite_4k", 100000, pwrite(file, buffer, 4096, 0));
    BENCH("fstat", 100000, fstat(file, &meta));
    BENCH("stat", 100000, stat(path, &meta));
    BENCH("open_close", 50000, open_close());
    BENCH("getdents", 20000, read_dir());
    BENCH("pipe_write_read", 50000, pipe_turn());
    BENCH("poll_4", 100000, poll(polled, 4, 0));
    BENCH("mmap_touch_munmap", 20000, map_touch());
    BENCH("raise_handler", 20000, raise(SIGUSR1));
    BENCH("futex_wake", 100000, syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
    BENCH("thread_create_join", 2000, thread_create());
    unlink(path);
    return 0;
}
