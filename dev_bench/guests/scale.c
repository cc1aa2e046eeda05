// How the price of a call grows: `scale CURVE SIZE` prints nanoseconds of processor time a call.
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHECK(call) ({ long r_ = (long)(call); if (r_ < 0) { perror(#call); exit(1); } r_; })
#define TURNS 200000L

static double cpu(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec * 1e9 + at.tv_nsec;
}

static char kind;
static long turns;

static void *work(void *arg) {
    char name[32], byte;
    int word = 0;
    snprintf(name, sizeof name, "file-%ld", (long)arg);
    int fd = CHECK(open(name, O_CREAT | O_RDWR, 0600));
    CHECK(write(fd, "x", 1));
    for (long i = 0; i < turns; i++) {
        if (kind == 'o')
            CHECK(close(CHECK(open(name, O_RDONLY))));
        else if (kind == 'r')
            CHECK(pread(fd, &byte, 1, 0));
        else
            CHECK(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
    }
    return 0;
}

static void threads(long count) {
    pthread_t all[64];
    turns = TURNS / count;
    double begin = cpu(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < count; i++)
        CHECK(-pthread_create(&all[i], 0, work, (void *)i));
    for (long i = 0; i < count; i++)
        CHECK(-pthread_join(all[i], 0));
    printf("%.1f\n", (cpu(CLOCK_PROCESS_CPUTIME_ID) - begin) / (turns * count));
}

static void open_files(long count) {
    struct rlimit most = {count + 16, count + 16};
    char byte;
    int fd = 0;
    CHECK(setrlimit(RLIMIT_NOFILE, &most));
    CHECK(close(CHECK(open("file", O_CREAT | O_RDWR, 0600))));
    for (long i = 0; i < count; i++)
        fd = CHECK(open("file", O_RDWR));
    CHECK(write(fd, "x", 1));
    double begin = cpu(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < TURNS; i++)
        CHECK(pread(fd, &byte, 1, 0));
    printf("%.1f\n", (cpu(CLOCK_PROCESS_CPUTIME_ID) - begin) / TURNS);
}

static void areas(long count) {
    for (long i = 0; i < count; i++) {
        // Neighbours differ in protection, so that they stay apart.
        void *at = mmap(0, 4096, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(at == MAP_FAILED ? -1 : 0);
    }
    double begin = cpu(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < TURNS / 10; i++) {
        void *at = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(at == MAP_FAILED ? -1 : 0);
        CHECK(munmap(at, 4096));
    }
    printf("%.1f\n", (cpu(CLOCK_PROCESS_CPUTIME_ID) - begin) / (TURNS / 10));
}

static void directory(long count) {
    struct stat meta;
    char name[32];
    for (long i = 0; i < count; i++) {
        snprintf(name, sizeof name, "file-%ld", i);
        CHECK(close(CHECK(open(name, O_CREAT | O_WRONLY, 0600))));
    }
    double begin = cpu(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < TURNS; i++) {
        snprintf(name, sizeof name, "file-%ld", (i * 7919) % count);
        CHECK(stat(name, &meta));
    }
    printf("%.1f\n", (cpu(CLOCK_PROCESS_CPUTIME_ID) - begin) / TURNS);
}

static void depth(long count) {
    static char path[4096];
    struct stat meta;
    for (long i = 1; i < count; i++) {
        strcat(path, i == 1 ? "d" : "/d");
        CHECK(mkdir(path, 0700));
    }
    strcat(path, "/f");
    CHECK(close(CHECK(open(path, O_CREAT | O_WRONLY, 0600))));
    double begin = cpu(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < TURNS; i++)
        CHECK(stat(path, &meta));
    printf("%.1f\n", (cpu(CLOCK_PROCESS_CPUTIME_ID) - begin) / TURNS);
}

int main(int argc, char **argv) {
    char place[] = "scale-XXXXXX";
    if (argc != 3)
        return 2;
    long size = atol(argv[2]);
    kind = argv[1][0];
    CHECK(mkdtemp(place) ? 0 : -1);
    CHECK(chdir(place));
    if (!strcmp(argv[1], "read_open_files"))
        open_files(size);
    else if (!strcmp(argv[1], "mmap_areas"))
        areas(size);
    else if (!strcmp(argv[1], "stat_depth"))
        depth(size);
    else if (!strcmp(argv[1], "stat_directory"))
        directory(size);
    else
        threads(size);
    return 0;
}
