//@ variants: static dynamic
//@ flags: -pthread
//@ timeout: 60
// Threads with descriptors, a working directory and a mask of their own; processes that share their signal actions;
// whose creator waits.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "result.h"

static int is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }
static int kcmp(pid_t a, pid_t b, int what) { return syscall(SYS_kcmp, a, b, what, 0, 0); }
static void step(pthread_barrier_t *b) { pthread_barrier_wait(b); }
static pthread_barrier_t turn;
static int ends[2];
static pid_t other;

// unshare in one of two threads.
static void *unsharing(void *arg)
{
    (void)arg;
    other = gettid();
    step(&turn);
    printf("unshare files %s\n", result(unshare(CLONE_FILES)));
    printf("kcmp files differ %d places same %d\n", kcmp(getpid(), other, KCMP_FILES) != 0, kcmp(getpid(), other, KCMP_FS) == 0);
    close(50);
    printf("51 is now %s\n", result(dup2(1, 51)));
    step(&turn); // 1: the other looks
    step(&turn);
    printf("place: unshare %s\n", result(unshare(CLONE_FS)));
    chdir("/usr");
    umask(077);
    printf("kcmp places differ %d\n", kcmp(getpid(), other, KCMP_FS) != 0);
    step(&turn); // 2
    step(&turn);
    char path[64], where[128] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/cwd", other);
    readlink(path, where, sizeof where - 1);
    printf("cwd of the task %s\n", where);
    snprintf(path, sizeof path, "/proc/self/task/%d/fd/50", other);
    printf("its 50 %s\n", result(readlink(path, where, sizeof where)));
    snprintf(path, sizeof path, "/proc/self/task/%d/fd/51", other);
    printf("its 51 %d\n", readlink(path, where, sizeof where) > 0);
    printf("process's 50 %d\n", readlink("/proc/self/fd/50", where, sizeof where) > 0);
    printf("process's 51 %s\n", result(readlink("/proc/self/fd/51", where, sizeof where)));
    // What only this thread has is closed at its end.
    pipe(ends);
    fflush(stdout);
    return 0;
}

static void *holder(void *arg)
{
    int *p = arg;
    unshare(CLONE_FILES);
    step(&turn);
    step(&turn);
    close(p[1]);
    step(&turn);
    step(&turn);
    return 0;
}

static void unshares(void)
{
    pthread_t t;
    pthread_barrier_init(&turn, 0, 2);
    chdir("/");
    umask(022);
    dup2(1, 50);
    pthread_create(&t, 0, unsharing, 0);
    step(&turn);
    step(&turn);
    printf("here: 50 %d, 51 %d\n", is_open(50), is_open(51));
    fflush(stdout);
    step(&turn);
    step(&turn);
    char where[128];
    mode_t mask = umask(022);
    printf("here: %s, mask %o\n", getcwd(where, sizeof where), mask);
    fflush(stdout);
    step(&turn);
    pthread_join(t, 0);
    printf("after: 50 %d\n", is_open(50));
    close(50);

    // A thread that holds the end of a pipe: the end counts until the thread closes it, or ends.
    int p[2];
    pipe(p);
    pthread_create(&t, 0, holder, p);
    step(&turn);
    close(p[1]);
    struct pollfd look = {p[0], POLLIN, 0};
    printf("held by the other: %d\n", poll(&look, 1, 0));
    step(&turn);
    step(&turn);
    int found = poll(&look, 1, 1000);
    printf("closed by the other: %d %x\n", found, look.revents);
    step(&turn);
    pthread_join(t, 0);
    close(p[0]);
    pipe(p);
    pthread_create(&t, 0, holder, (int[]){-1, -1});
    step(&turn);
    close(p[1]);
    look.fd = p[0];
    printf("held by the other: %d\n", poll(&look, 1, 0));
    step(&turn);
    step(&turn);
    step(&turn);
    pthread_join(t, 0);
    found = poll(&look, 1, 1000);
    printf("the other has ended: %d %x\n", found, look.revents);
    close(p[0]);
    fflush(stdout);
}

static void *ranger(void *arg)
{
    (void)arg;
    printf("close_range %s\n", result(syscall(SYS_close_range, 60, 70, CLOSE_RANGE_UNSHARE)));
    printf("in the thread: %d %d\n", is_open(59), is_open(60));
    printf("cloexec %s\n", result(syscall(SYS_close_range, 59, 59, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)));
    printf("in the thread: %d\n", fcntl(59, F_GETFD));
    return 0;
}

static void ranges(void)
{
    pthread_t t;
    dup2(1, 59);
    dup2(1, 60);
    pthread_create(&t, 0, ranger, 0);
    pthread_join(t, 0);
    printf("in the process: %d %d %d\n", is_open(59), is_open(60), fcntl(59, F_GETFD));
    close(59);
    close(60);
    fflush(stdout);
}

// Threads made without CLONE_FILES or CLONE_FS.
static char stack[65536] __attribute__((aligned(16)));
static volatile int seen[8];
static volatile int child_word;
static int in_thread(void *arg)
{
    int which = (int)(long)arg;
    seen[0] = fcntl(50, F_GETFD) >= 0;
    close(50);
    chdir("/usr");
    seen[1] = 1;
    (void)which;
    syscall(SYS_exit, 0);
    return 0;
}
static void bare_thread(const char *name, int parts)
{
    char where[128];
    chdir("/");
    dup2(1, 50);
    child_word = 77;
    memset((void *)seen, 0, sizeof seen);
    int flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID | parts;
    pid_t tid = clone(in_thread, stack + sizeof stack, flags, (void *)1, &child_word, 0, &child_word);
    if (tid < 0) printf("%s: clone %s\n", name, result(tid));
    for (int i = 0; i < 2000 && child_word != 0; i++) usleep(1000);
    printf("%s: saw 50 %d, here 50 %d, in %s\n", name, seen[0], is_open(50), getcwd(where, sizeof where));
    close(50);
    chdir("/");
    fflush(stdout);
}
static int slow_thread(void *arg)
{
    (void)arg;
    usleep(50000);
    seen[2] = 1;
    syscall(SYS_exit, 0);
    return 0;
}
static void waited_thread(void)
{
    seen[2] = 0;
    int flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FILES | CLONE_FS | CLONE_VFORK;
    pid_t tid = clone(slow_thread, stack + sizeof stack, flags, 0);
    printf("vfork of a thread: started %d, done %d\n", tid > 0, seen[2]);
    fflush(stdout);
}

// The program that a thread with descriptors of its own executes has those.
static void *executes(void *arg)
{
    (void)arg;
    unshare(CLONE_FILES | CLONE_FS);
    close(50);
    chdir("/usr");
    execl("/bin/sh", "sh", "-c", "pwd; if [ -e /proc/self/fd/50 ]; then echo has 50; else echo no 50; fi", (char *)0);
    return 0;
}
static void exec_in_thread(void)
{
    pid_t p = fork();
    if (p == 0) {
        pthread_t t;
        dup2(1, 50);
        pthread_create(&t, 0, executes, 0);
        for (;;) pause();
    }
    int status;
    waitpid(p, &status, 0);
    printf("executed: %d\n", status);
    fflush(stdout);
}

// A child made by a thread gets what the thread has.
static void *forks(void *arg)
{
    (void)arg;
    unshare(CLONE_FILES | CLONE_FS);
    close(50);
    chdir("/usr");
    pid_t p = fork();
    if (p == 0) {
        char where[128];
        printf("child of the thread: 50 %d, in %s\n", is_open(50), getcwd(where, sizeof where));
        fflush(stdout);
        _exit(0);
    }
    waitpid(p, 0, 0);
    return 0;
}
static void fork_in_thread(void)
{
    pthread_t t;
    dup2(1, 50);
    pthread_create(&t, 0, forks, 0);
    pthread_join(t, 0);
    close(50);
}

// Shared signal actions.
static volatile int hits[4];
static void first(int n) { (void)n; hits[0]++; }
static void second(int n) { (void)n; hits[1]++; }
static int changes_actions(void *arg)
{
    (void)arg;
    struct sigaction old;
    sigaction(SIGUSR1, 0, &old);
    hits[2] = old.sa_handler == first;
    signal(SIGUSR1, second);
    signal(SIGUSR2, SIG_IGN);
    hits[3] = kcmp(getpid(), getppid(), KCMP_SIGHAND) == 0;
    return 0;
}
static int executes_true(void *arg)
{
    (void)arg;
    execl("/bin/true", "true", (char *)0);
    return 9;
}
static int resets_once(void *arg)
{
    (void)arg;
    raise(SIGUSR1);
    return 0;
}
static void actions(const char *name, int flags)
{
    memset((void *)hits, 0, sizeof hits);
    signal(SIGUSR1, first);
    signal(SIGUSR2, SIG_DFL);
    pid_t p = clone(changes_actions, stack + sizeof stack, flags | SIGCHLD, 0);
    if (p < 0) { printf("%s: %s\n", name, result(p)); return; }
    waitpid(p, 0, 0);
    raise(SIGUSR1);
    struct sigaction now;
    sigaction(SIGUSR2, 0, &now);
    printf("%s: child saw the handler %d, same %d; hits %d %d, ignored %d\n", name, hits[2], hits[3], hits[0], hits[1], now.sa_handler == SIG_IGN);
    signal(SIGUSR1, first);
    p = clone(executes_true, stack + sizeof stack, flags | SIGCHLD, 0);
    int status;
    waitpid(p, &status, 0);
    sigaction(SIGUSR1, 0, &now);
    printf("%s: executed %d, the handler stays %d\n", name, status, now.sa_handler == first);
    struct sigaction once = {.sa_handler = first, .sa_flags = SA_RESETHAND};
    sigaction(SIGUSR1, &once, 0);
    p = clone(resets_once, stack + sizeof stack, flags | SIGCHLD, 0);
    waitpid(p, &status, 0);
    sigaction(SIGUSR1, 0, &now);
    printf("%s: reset by the child %d %d\n", name, status, now.sa_handler == SIG_DFL);
    fflush(stdout);
}
static int unshares_actions(void *arg)
{
    (void)arg;
    printf("unshare of shared actions %s", result(unshare(CLONE_SIGHAND)));
    printf(", of shared memory %s\n", result(unshare(CLONE_VM)));
    fflush(stdout);
    return 0;
}

// Many threads that stop sharing, open, close and end at the same time.
static void *churns(void *arg)
{
    long bad = 0;
    (void)arg;
    for (int i = 0; i < 50; i++) {
        if (i % 5 == 0) unshare(CLONE_FILES);
        int p[2];
        if (pipe(p)) { bad++; continue; }
        bad += write(p[1], "x", 1) != 1;
        char c;
        bad += read(p[0], &c, 1) != 1;
        bad += close(p[0]) != 0;
        bad += close(p[1]) != 0;
    }
    return (void *)bad;
}
static void churn(void)
{
    long bad = 0;
    for (int round = 0; round < 20; round++) {
        pthread_t t[8];
        for (int i = 0; i < 8; i++) pthread_create(&t[i], 0, churns, 0);
        for (int i = 0; i < 8; i++) {
            void *result;
            pthread_join(t[i], &result);
            bad += (long)result;
        }
    }
    int fd = dup(1);
    printf("churn: %ld, lowest free %d\n", bad, fd < 10);
    close(fd);
}

int main(void)
{
    unshares();
    ranges();
    bare_thread("all", CLONE_FILES | CLONE_FS);
    bare_thread("own files", CLONE_FS);
    bare_thread("own places", CLONE_FILES);
    bare_thread("own both", 0);
    waited_thread();
    exec_in_thread();
    fork_in_thread();
    actions("shared actions", CLONE_VM | CLONE_SIGHAND);
    actions("shared and waited for", CLONE_VM | CLONE_SIGHAND | CLONE_VFORK);
    actions("copied actions", CLONE_VM);
    int status;
    pid_t p = clone(unshares_actions, stack + sizeof stack, CLONE_VM | CLONE_SIGHAND | SIGCHLD, 0);
    waitpid(p, &status, 0);
    churn();
    return 0;
}
