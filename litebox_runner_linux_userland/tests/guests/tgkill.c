//@ variants: static
//@ flags: -pthread
//@ timeout: 60
// A signal reaches whom it is meant for, wherever the threads are that share memory with it: computing, asleep, or
// being made.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile pid_t *who;

static void *compute(void *arg)
{
    for (volatile long i = 0;; i++) ;
    return arg;
}

static pid_t told(void)
{
    while (!*who) usleep(100);
    pid_t p = *who;
    *who = 0;
    return p;
}

// A vfork child computes while its parent waits for it.
static void vfork_child(int rounds)
{
    int right = 0;
    for (int i = 0; i < rounds; i++) {
        pid_t w = fork();
        if (w == 0) {
            pid_t p = vfork();
            if (p == 0) {
                *who = getpid();
                for (;;) ;
            }
            int st;
            waitpid(p, &st, 0);
            _exit(WIFSIGNALED(st) ? WTERMSIG(st) : 0);
        }
        pid_t child = told();
        usleep(500 * (i % 5));
        kill(child, SIGKILL);
        int st;
        right += waitpid(w, &st, 0) == w && WIFEXITED(st) && WEXITSTATUS(st) == SIGKILL;
    }
    printf("vfork children killed %d of %d\n", right, rounds);
}

// The parent has a thread that computes, and is killed while its vfork child does.
static void vfork_parent(int rounds)
{
    int right = 0;
    for (int i = 0; i < rounds; i++) {
        pid_t w = fork();
        if (w == 0) {
            pthread_t t;
            pthread_create(&t, 0, compute, 0);
            if (vfork() == 0) {
                *who = getpid();
                for (;;) ;
            }
            _exit(1);
        }
        pid_t child = told();
        usleep(500 * (i % 5));
        kill(w, SIGKILL);
        int st;
        right += waitpid(w, &st, 0) == w && WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL;
        kill(child, SIGKILL);
        waitpid(child, 0, 0);
    }
    printf("vfork parents killed %d of %d\n", right, rounds);
}

static char stack[1 << 16] __attribute__((aligned(16)));

static int share(void *arg)
{
    *who = getpid();
    for (;;) ;
    return arg != 0;
}

// Two processes that share memory compute; each is killed alone.
static void sharers(int rounds)
{
    int right = 0;
    for (int i = 0; i < rounds; i++) {
        pid_t w = fork();
        if (w == 0) {
            if (clone(share, stack + sizeof stack, CLONE_VM | SIGCHLD, 0) < 0) _exit(1);
            for (;;) ;
        }
        pid_t child = told();
        kill(i % 2 ? w : child, SIGKILL);
        if (i % 2 == 0) usleep(1000);
        kill(w, SIGKILL);
        int st;
        right += waitpid(w, &st, 0) == w && WIFSIGNALED(st);
        kill(child, SIGKILL);
        waitpid(child, 0, 0);
    }
    printf("sharers killed %d of %d\n", right, rounds);
}

// A group that keeps forking is killed: nobody escapes.
static void group(int rounds)
{
    int wrong = 0;
    for (int i = 0; i < rounds; i++) {
        pid_t w = fork();
        if (w == 0) {
            setpgid(0, 0);
            *who = getpid();
            for (;;) {
                if (fork() == 0) {
                    if (fork() == 0) pause();
                    pause();
                }
                usleep(200);
            }
        }
        told();
        usleep(300 * (i % 10));
        if (kill(-w, SIGKILL) != 0) wrong++;
        // Orphans come to us; one that escaped would never end.
        int st, n = 0;
        pid_t ended;
        while ((ended = waitpid(-w, &st, WNOHANG)) >= 0 && n < 5000) {
            if (ended == 0) {
                usleep(1000);
                n++;
            } else if (!WIFSIGNALED(st) || WTERMSIG(st) != SIGKILL) {
                wrong++;
            }
        }
        if (ended >= 0 || errno != ECHILD) wrong++;
    }
    printf("groups left behind %d\n", wrong);
}

int main(void)
{
    who = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t p = fork();
    if (p == 0) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        vfork_child(20);
        vfork_parent(10);
        sharers(20);
        group(30);
        fflush(stdout);
        _exit(0);
    }
    int st;
    waitpid(p, &st, 0);
    printf("ended %d\n", WIFEXITED(st) && WEXITSTATUS(st) == 0);
    return 0;
}
