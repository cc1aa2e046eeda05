//@ variants: static dynamic
//@ flags: -pthread
//@ timeout: 60
// process_vm_readv, process_vm_writev and /proc/PID/mem between processes: running, asleep, stopped, ending, with
// several threads, asking each other; partial transfers, permissions and errors.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "result.h"

#define PAGE 4096
#define LARGE (700 * 1000 + 13)

struct shared { volatile int stop, ready, count; volatile long result, error; };
static struct shared *shared;
static char *area;
static unsigned char *large, *copy;
static char secret[32] = "of the parent";

static long get(pid_t pid, void *to, const void *from, size_t len)
{
    struct iovec local = {to, len}, remote = {(void *)from, len};
    return process_vm_readv(pid, &local, 1, &remote, 1, 0);
}

static long put(pid_t pid, const void *from, void *to, size_t len)
{
    struct iovec local = {(void *)from, len}, remote = {to, len};
    return process_vm_writev(pid, &local, 1, &remote, 1, 0);
}

static void await_ready(int n)
{
    while (shared->ready < n) usleep(500);
}

// What a target does while it is looked into.
static void computes(void)
{
    while (!shared->stop) shared->count++;
}
static void sleeps(void)
{
    struct timespec t = {30, 0};
    shared->result = nanosleep(&t, 0);
    shared->error = errno;
}
static void polls(void)
{
    int ends[2];
    pipe(ends);
    struct pollfd p = {ends[0], POLLIN, 0};
    shared->result = poll(&p, 1, 1500);
}
static void waits_by_epoll(void)
{
    int set = epoll_create1(0);
    struct epoll_event event;
    shared->result = epoll_wait(set, &event, 1, 1500);
    shared->error = errno;
}
static void pauses(void) { for (;;) pause(); }
static void *pausing(void *unused) { (void)unused; for (;;) pause(); }
static void has_threads(void)
{
    pthread_t t;
    for (int i = 0; i < 4; i++) pthread_create(&t, 0, pausing, 0);
    pauses();
}
static void stops(void) { raise(SIGSTOP); pauses(); }
static void waits_for_vfork(void)
{
    if (vfork() == 0) {
        struct timespec t = {1, 500000000};
        nanosleep(&t, 0);
        _exit(0);
    }
    _exit(0);
}

static pid_t target(void (*what)(void))
{
    shared->stop = shared->ready = 0;
    shared->result = shared->error = -77;
    pid_t pid = fork();
    if (pid == 0) {
        strcpy(secret, "of the child");
        for (int i = 0; i < LARGE; i++) large[i] = (unsigned char)(i * 7 + 3);
        shared->ready = 1;
        what();
        _exit(3);
    }
    await_ready(1);
    usleep(20000);
    return pid;
}

static void look(const char *name, void (*what)(void), int must_end_itself)
{
    char text[32] = "";
    pid_t pid = target(what);
    if (what == stops) {
        int status;
        waitpid(pid, &status, WUNTRACED);
        printf("%s: stopped %d\n", name, WIFSTOPPED(status));
    }
    long n = get(pid, text, secret, sizeof secret);
    printf("%s: read %s \"%s\"", name, result(n), text);
    n = put(pid, "from outside", secret, 13);
    printf(", written %s", result(n));
    n = get(pid, text, secret, sizeof secret);
    printf(", read %s \"%s\"; here \"%s\"\n", result(n), text, secret);
    memset(copy, 0, LARGE);
    n = get(pid, copy, large, LARGE);
    int same = 1;
    for (int i = 0; i < LARGE; i++) same &= copy[i] == (unsigned char)(i * 7 + 3);
    printf("%s: large %s %d\n", name, result(n), same);
    shared->stop = 1;
    if (!must_end_itself) kill(pid, SIGKILL);
    int status;
    waitpid(pid, &status, 0);
    printf("%s: status %d result %ld\n", name, WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status), shared->result);
    fflush(stdout);
}

static void pieces(void)
{
    // Page 0 and 1 readable, 2 none, 3 read-only, 4 a hole.
    pid_t pid = target(pauses);
    char buffer[8 * PAGE];
    memset(buffer, 'b', sizeof buffer);
    printf("to the end of a page %s\n", result(get(pid, buffer, area + PAGE, PAGE)));
    printf("over it %s\n", result(get(pid, buffer, area + PAGE, 2 * PAGE)));
    printf("over it from the middle %s\n", result(get(pid, buffer, area + 100, 3 * PAGE)));
    printf("without access %s\n", result(get(pid, buffer, area + 2 * PAGE, 8)));
    printf("read-only %s\n", result(get(pid, buffer, area + 3 * PAGE, 8)));
    printf("write to read-only %s\n", result(put(pid, buffer, area + 3 * PAGE, 8)));
    printf("write over the end %s\n", result(put(pid, buffer, area + PAGE + 100, 2 * PAGE)));
    printf("hole %s\n", result(get(pid, buffer, area + 4 * PAGE, 8)));
    printf("null %s\n", result(get(pid, buffer, 0, 8)));
    printf("kernel %s\n", result(get(pid, buffer, (void *)0xffff800000000000ull, 8)));
    printf("to nowhere %s\n", result(get(pid, (void *)8, area, 8)));
    printf("to the end of a page here %s\n", result(get(pid, area + 2 * PAGE - 10, area, 100)));
    printf("from nowhere %s\n", result(put(pid, (void *)8, area, 8)));
    printf("nothing %s\n", result(get(pid, buffer, area, 0)));
    struct iovec local[3] = {{buffer, 5}, {buffer + 100, 0}, {buffer + 200, 20}};
    struct iovec remote[4] = {{area, 3}, {area + PAGE, 4}, {area + 2 * PAGE, 4}, {area, 8}};
    printf("pieces %s\n", result(process_vm_readv(pid, local, 3, remote, 4, 0)));
    printf("fewer there %s\n", result(process_vm_readv(pid, local, 3, remote, 1, 0)));
    printf("fewer here %s\n", result(process_vm_readv(pid, local, 1, remote, 2, 0)));
    printf("none here %s\n", result(process_vm_readv(pid, local, 0, remote, 2, 0)));
    printf("none there %s\n", result(process_vm_readv(pid, local, 1, remote, 0, 0)));
    printf("flags %s\n", result(process_vm_readv(pid, local, 1, remote, 1, 1)));
    printf("many here %s\n", result(process_vm_readv(pid, local, 1025, remote, 1, 0)));
    printf("many there %s\n", result(process_vm_readv(pid, local, 1, remote, 1025, 0)));
    printf("bad vectors %s\n", result(process_vm_readv(pid, (void *)8, 1, remote, 1, 0)));
    printf("bad vectors there %s\n", result(process_vm_readv(pid, local, 1, (void *)8, 1, 0)));
    struct iovec absurd = {area, -1ul};
    printf("absurd length %s\n", result(process_vm_readv(pid, local, 1, &absurd, 1, 0)));
    printf("nobody %s\n", result(get(4000000, buffer, area, 8)));
    printf("zero %s\n", result(get(0, buffer, area, 8)));
    printf("self %s\n", result(get(getpid(), buffer, area, 8)));
    kill(pid, SIGKILL);
    siginfo_t info;
    waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
    printf("zombie %s\n", result(get(pid, buffer, area, 8)));
    waitpid(pid, 0, 0);
    printf("gone %s\n", result(get(pid, buffer, area, 8)));
    fflush(stdout);
}

static void memory_file(void)
{
    char path[64], text[32] = "";
    pid_t pid = target(pauses);
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    int fd = open(path, O_RDWR);
    printf("file: read %s", result(pread(fd, text, sizeof secret, (off_t)(uintptr_t)secret)));
    printf(" \"%s\"", text);
    printf(", written %s", result(pwrite(fd, "by file", 8, (off_t)(uintptr_t)secret)));
    pread(fd, text, sizeof secret, (off_t)(uintptr_t)secret);
    printf(", \"%s\"\n", text);
    printf("file: hole %s\n", result(pread(fd, text, 8, (off_t)(uintptr_t)(area + 4 * PAGE))));
    kill(pid, SIGKILL);
    waitpid(pid, 0, 0);
    printf("file: ended %s\n", result(pread(fd, text, 8, (off_t)(uintptr_t)secret)));
    close(fd);
    fflush(stdout);
}

// As another user.
static void permissions(void)
{
    pid_t pid = target(pauses);
    char text[32];
    pid_t asker = fork();
    if (asker == 0) {
        setresgid(1000, 1000, 1000);
        setresuid(1000, 1000, 1000);
        printf("another user %s\n", result(get(pid, text, secret, 8)));
        printf("own parent, another user %s\n", result(get(getppid(), text, secret, 8)));
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/mem", pid);
        printf("file of another user %s\n", result(open(path, O_RDONLY)));
        // It became somebody else: nobody but the superuser may look, until it says so.
        pid_t self = getpid(), child = fork();
        if (child == 0) {
            printf("of the same user, undumpable %s\n", result(get(self, text, secret, 8)));
            fflush(stdout);
            _exit(0);
        }
        waitpid(child, 0, 0);
        prctl(PR_SET_DUMPABLE, 1);
        child = fork();
        if (child == 0) {
            printf("dumpable %s\n", result(get(self, text, secret, 8)));
            fflush(stdout);
            _exit(0);
        }
        waitpid(child, 0, 0);
        fflush(stdout);
        _exit(0);
    }
    waitpid(asker, 0, 0);
    kill(pid, SIGKILL);
    waitpid(pid, 0, 0);
}

// Two processes that ask each other at the same time, each under a shower of signals.
static volatile sig_atomic_t hits;
static void hit(int n) { (void)n; hits++; }
static int ask_often(pid_t other, int times)
{
    struct sigaction a = {.sa_handler = hit};
    sigaction(SIGALRM, &a, 0);
    struct itimerval v = {{0, 7000}, {0, 7000}};
    setitimer(ITIMER_REAL, &v, 0);
    unsigned char here[5000];
    int good = 1;
    for (int i = 0; i < times; i++) {
        long n = get(other, here, large + i, sizeof here);
        good &= n == (long)sizeof here && here[77] == (unsigned char)((i + 77) * 7 + 3);
    }
    memset(&v, 0, sizeof v);
    setitimer(ITIMER_REAL, &v, 0);
    return good;
}
static void each_other(void)
{
    shared->ready = 0;
    for (int i = 0; i < LARGE; i++) large[i] = (unsigned char)(i * 7 + 3);
    pid_t self = getpid(), child = fork();
    if (child == 0) {
        int good = ask_often(self, 2000);
        shared->ready = 1;
        while (shared->ready < 2) usleep(500);
        _exit(good);
    }
    int good = ask_often(child, 2000);
    await_ready(1);
    shared->ready = 2;
    int status;
    waitpid(child, &status, 0);
    printf("each other: %d %d\n", good, WEXITSTATUS(status));
    fflush(stdout);
}

// Targets that end, or execute a program, while they are looked into: an answer or ESRCH, never anything else, and
// never none.
static void ending(void)
{
    int bad = 0;
    for (int i = 0; i < 60; i++) {
        shared->ready = 0;
        pid_t pid = fork();
        if (pid == 0) {
            shared->ready = 1;
            for (volatile int k = 0; k < i * 2000; k++) {}
            if (i % 3 == 0) execl("/bin/true", "true", (char *)0);
            if (i % 3 == 1) kill(getpid(), SIGKILL);
            _exit(0);
        }
        await_ready(1);
        for (;;) {
            char text[4];
            long n = get(pid, text, secret, 4);
            if (n == 4) continue;
            if (n >= 0 || (errno != ESRCH && errno != EFAULT)) bad++;
            if (n < 0 && errno == EFAULT) continue;
            break;
        }
        waitpid(pid, 0, 0);
    }
    printf("ending: %d\n", bad);
    fflush(stdout);
}

// The asker is killed in the middle.
static void killed_asker(void)
{
    pid_t pid = target(computes);
    for (int i = 0; i < 30; i++) {
        pid_t asker = fork();
        if (asker == 0) for (;;) get(pid, copy, large, LARGE);
        usleep(1500 + i * 100);
        kill(asker, SIGKILL);
        waitpid(asker, 0, 0);
    }
    char text[32];
    printf("killed askers: %s\n", result(get(pid, text, secret, sizeof secret)));
    kill(pid, SIGKILL);
    waitpid(pid, 0, 0);
}

int main(void)
{
    shared = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    large = mmap(0, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    copy = mmap(0, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    area = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(area, 'a', 4 * PAGE);
    mprotect(area + 2 * PAGE, PAGE, PROT_NONE);
    mprotect(area + 3 * PAGE, PAGE, PROT_READ);
    munmap(area + 4 * PAGE, 4 * PAGE);
    look("computing", computes, 1);
    look("sleeping", sleeps, 0);
    look("polling", polls, 1);
    look("epoll", waits_by_epoll, 1);
    look("pausing", pauses, 0);
    look("threads", has_threads, 0);
    look("stopped", stops, 0);
    look("vfork", waits_for_vfork, 1);
    pieces();
    memory_file();
    permissions();
    each_other();
    ending();
    killed_asker();
    return 0;
}
