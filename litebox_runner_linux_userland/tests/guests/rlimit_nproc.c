//@ flags: -pthread
// RLIMIT_NPROC: how many threads a user may have, zombies included. The superuser is free of it, and so becomes a user
// that has no others.
#define _GNU_SOURCE
#include "asleep.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 40 };

static pid_t children[MOST];

// Sleeping children up to the limit.
static int fill(int from)
{
    int n = from;
    while (n < MOST) {
        pid_t pid = fork();
        if (pid == 0) for (;;) pause();
        if (pid < 0) break;
        children[n++] = pid;
    }
    return n;
}

static void limit_to(rlim_t most)
{
    struct rlimit now;
    getrlimit(RLIMIT_NPROC, &now);
    now.rlim_cur = most;
    if (setrlimit(RLIMIT_NPROC, &now)) perror("setrlimit");
}

static void *own_id(void *id) {
    *(pid_t *)id = syscall(SYS_gettid);
    return NULL;
}

static int thread(void)
{
    pthread_t made;
    pid_t tid = 0;
    int error = pthread_create(&made, NULL, own_id, &tid);
    if (error == 0) pthread_join(made, NULL);
    // Whoever joined it may be told before it is no longer counted.
    while (error == 0 && state_of(getpid(), tid)) usleep(500);
    return error;
}

static void finish(int n)
{
    kill(children[n], SIGKILL);
    waitpid(children[n], NULL, 0);
}

// As a user that has this one process.
static void alone(void)
{
    limit_to(6);
    int n = fill(0);
    printf("children: %d, then %s\n", n, strerror(errno));
    printf("thread: %s\n", strerror(thread()));
    errno = 0;
    pid_t pid = vfork();
    if (pid == 0) _exit(0);
    printf("vfork: %s\n", strerror(errno));
    siginfo_t info;
    kill(children[--n], SIGKILL);
    waitid(P_PID, children[n], &info, WEXITED | WNOWAIT);
    pid = fork();
    if (pid == 0) _exit(0);
    printf("beside one that has ended: %d %s\n", pid > 0, strerror(errno));
    finish(n);
    printf("thread in its place: %s\n", strerror(thread()));
    limit_to(8);
    n = fill(n);
    printf("children: %d\n", n);
    while (n) finish(--n);
    limit_to(0);
    pid = fork();
    if (pid == 0) _exit(0);
    printf("none: %d %s\n", pid > 0, strerror(errno));
}

int main(void)
{
    setvbuf(stdout, 0, _IONBF, 0);
    int root = getuid() == 0;
    // This run's alone: the limit counts all processes of a user, those of another run of this program too.
    uid_t user = 100000 + getpid();
    if (root) limit_to(1);
    pid_t pid = fork();
    if (pid == 0) {
        if (root && (setresgid(user, user, user) || setresuid(user, user, user))) return 1;
        if (root) alone();
        limit_to(1);
        pid = fork();
        if (pid == 0) _exit(0);
        printf("over the limit: %d %s\n", pid > 0, strerror(errno));
        return 0;
    }
    int status;
    waitpid(pid, &status, 0);
    printf("ended with %d\n", status);
    return 0;
}
