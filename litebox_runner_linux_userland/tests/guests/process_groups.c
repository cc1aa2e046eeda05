//@ flags: -pthread
//@ timeout: 60
// Process groups and sessions: by ids of threads, against programs that are executed, processes that are made and
// processes that end; whose child it is when a thread executes a program.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "result.h"

extern char **environ;
struct shared { volatile int tid, go, done, made; volatile pid_t group; };
static struct shared *shared;

static void *waits(void *unused)
{
    (void)unused;
    shared->tid = gettid();
    while (!shared->go) usleep(1000);
    return 0;
}

static void by_thread(void)
{
    pthread_t t;
    shared->tid = shared->go = 0;
    pthread_create(&t, 0, waits, 0);
    while (!shared->tid) usleep(1000);
    printf("group %d session %d\n", getpgid(shared->tid) == getpgrp(), getsid(shared->tid) == getsid(0));
    printf("set %s, nobody's %s, negative %s\n", result(setpgid(shared->tid, 0)), result(setpgid(4000000, 0)),
           result(setpgid(0, -1)));
    printf("of nobody %s %s\n", result(getpgid(4000000)), result(getsid(4000000)));
    shared->go = 1;
    pthread_join(t, 0);
    fflush(stdout);
}

// A child that executes a program: once its parent can know, it can set its group no longer.
static void against_exec(void)
{
    int refused = 0, allowed = 0;
    for (int i = 0; i < 30; i++) {
        int ends[2];
        char c;
        pipe2(ends, O_CLOEXEC);
        pid_t pid = fork();
        if (pid == 0) {
            execl("/bin/sleep", "sleep", "10", (char *)0);
            _exit(1);
        }
        allowed += setpgid(pid, pid) == 0 || errno == EACCES;
        close(ends[1]);
        read(ends[0], &c, 1);
        close(ends[0]);
        refused += setpgid(pid, pid) < 0 && errno == EACCES;
        kill(pid, SIGKILL);
        waitpid(pid, 0, 0);
    }
    printf("after exec: refused %d, before: %d\n", refused, allowed);
    refused = 0;
    for (int i = 0; i < 30; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            execl("/bin/sleep", "sleep", "10", (char *)0);
            _exit(1);
        }
        // The host may need a moment more than the return of vfork.
        if (setpgid(pid, pid) == 0) usleep(10000);
        refused += setpgid(pid, getpgrp()) < 0 && errno == EACCES;
        kill(pid, SIGKILL);
        waitpid(pid, 0, 0);
    }
    printf("after vfork and exec: refused %d\n", refused);
    fflush(stdout);
}

// What is made while its maker changes group or session is of the one or the other, and is found there by a signal.
static void *makes(void *unused)
{
    (void)unused;
    while (!shared->go) {}
    pid_t pid = fork();
    if (pid == 0) {
        while (!shared->done) usleep(500);
        _exit(getpgrp() == shared->group ? 7 : 8);
    }
    shared->made = pid;
    return 0;
}

static void against_fork(int session)
{
    int strange = 0, lost = 0;
    for (int i = 0; i < 60; i++) {
        shared->go = shared->done = shared->made = 0;
        pid_t leader = fork();
        if (leader == 0) {
            pthread_t t;
            pid_t before = getpgrp();
            pthread_create(&t, 0, makes, 0);
            shared->go = 1;
            for (volatile int k = 0; k < i * 40; k++) {}
            if (session) setsid();
            else setpgid(0, 0);
            shared->group = getpgrp();
            pthread_join(t, 0);
            shared->done = 1;
            int status;
            waitpid(shared->made, &status, 0);
            int new_one = WEXITSTATUS(status) == 7;
            _exit(shared->group == getpid() && before != getpid() && (new_one || WEXITSTATUS(status) == 8) ? 0 : 1);
        }
        int status;
        waitpid(leader, &status, 0);
        strange += status != 0;
        lost += kill(shared->made, 0) == 0;
    }
    printf("%s against fork: strange %d, lost %d\n", session ? "setsid" : "setpgid", strange, lost);
    fflush(stdout);
}

// Groups of children that end at that very moment.
static void against_exit(void)
{
    int strange = 0;
    for (int i = 0; i < 100; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            for (volatile int k = 0; k < i * 100; k++) {}
            _exit(0);
        }
        for (int k = 0; k < 20; k++) {
            strange += setpgid(pid, k % 2 ? pid : getpgrp()) != 0;
            pid_t group = getpgid(pid);
            strange += group != (k % 2 ? pid : getpgrp());
        }
        int status;
        strange += waitpid(-pid, &status, 0) != pid;
        strange += setpgid(pid, pid) == 0 || errno != ESRCH;
    }
    printf("against exit: strange %d\n", strange);
    fflush(stdout);
    // A zombie's group is nobody else's.
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    setpgid(pid, pid);
    siginfo_t info;
    waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
    pid_t other = fork();
    if (other == 0) {
        printf("into the group of a zombie %s\n", result(setpgid(0, pid)));
        printf("killpg %s\n", result(killpg(pid, 0)));
        fflush(stdout);
        _exit(0);
    }
    waitpid(other, 0, 0);
    waitpid(pid, 0, 0);
    fflush(stdout);
}

// A thread makes a child and executes a program: that is still the child's parent.
static void *makes_and_executes(void *arg)
{
    if (fork() == 0) _exit(9);
    execl("/proc/self/exe", arg, "waits", (char *)0);
    return 0;
}
static void thread_executes(char *self)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        pthread_create(&t, 0, makes_and_executes, self);
        for (;;) pause();
    }
    int status;
    waitpid(pid, &status, 0);
    printf("a thread executes: %d\n", WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, __WNOTHREAD);
        printf("its child: %d %d\n", pid > 0, WEXITSTATUS(status));
        fflush(stdout);
        return 5;
    }
    shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    by_thread();
    against_exec();
    against_fork(0);
    against_fork(1);
    against_exit();
    thread_executes(argv[0]);
    return 0;
}
