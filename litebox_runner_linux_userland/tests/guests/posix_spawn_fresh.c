//@ 64-bit only: as slow as the other, and nothing in it that depends on the width
//@ variants: static dynamic
//@ timeout: 60
// Programs started one after the other begin with nothing of those before: time used, timers, memory, signals,
// descriptors.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xmmintrin.h>

extern char **environ;

static double clock_of(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static volatile sig_atomic_t ticks;
static void tick(int signal) { ticks += signal == SIGPROF; }

static void burn(double seconds)
{
    double end = clock_of(CLOCK_PROCESS_CPUTIME_ID) + seconds;
    while (clock_of(CLOCK_PROCESS_CPUTIME_ID) < end) ;
}

// One who uses and leaves what a process can have.
static int careless(void)
{
    burn(0.6);
    signal(SIGTERM, SIG_IGN);
    signal(SIGALRM, SIG_IGN);
    alarm(1);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, 0);
    for (int i = 0; i < 50; i++) if (mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) == MAP_FAILED) return 1;
    mmap((void *)0x20000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    dup2(1, 77);
    _mm_setcsr(0x5f80);
    prctl(PR_SET_NAME, "careless");
    nice(3);
    return 7;
}

// One who looks what is there.
static int looks(void)
{
    double process = clock_of(CLOCK_PROCESS_CPUTIME_ID), thread = clock_of(CLOCK_THREAD_CPUTIME_ID);
    struct rusage self, one;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_THREAD, &one);
    double used = self.ru_utime.tv_sec + self.ru_stime.tv_sec + (self.ru_utime.tv_usec + self.ru_stime.tv_usec) / 1e6;
    double alone = one.ru_utime.tv_sec + one.ru_stime.tv_sec + (one.ru_utime.tv_usec + one.ru_stime.tv_usec) / 1e6;
    int wrong = 0;
    wrong |= (process > 0.4 || process < 0) << 0;
    wrong |= (thread > 0.4 || thread < 0) << 1;
    wrong |= (used > 0.4 || alone > 0.4) << 2;
    struct itimerval timer;
    getitimer(ITIMER_REAL, &timer);
    wrong |= (timer.it_value.tv_sec != 0) << 3;
    struct sigaction action;
    sigaction(SIGTERM, 0, &action);
    wrong |= (action.sa_handler != SIG_DFL) << 4;
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, 0, &blocked);
    wrong |= sigismember(&blocked, SIGUSR1) << 5;
    errno = 0;
    wrong |= (mprotect((void *)0x20000000, 4096, PROT_READ) == 0 || errno != ENOMEM) << 6;
    wrong |= (fcntl(77, F_GETFD) != -1) << 7;
    wrong |= ((_mm_getcsr() & ~0x3fu) != 0x1f80) << 8;
    // Its own timer by CPU time goes off when it has used that much itself.
    signal(SIGPROF, tick);
    struct itimerval every = { { 0, 0 }, { 0, 50000 } };
    setitimer(ITIMER_PROF, &every, 0);
    burn(0.02);
    wrong |= (ticks != 0) << 9;
    burn(0.08);
    wrong |= (ticks != 1) << 10;
    if (wrong) fprintf(stderr, "wrong: %x (%f %f %f)\n", wrong, process, thread, used);
    return wrong != 0;
}

static int run(const char *what)
{
    char *args[] = { "descendants", (char *)what, 0 };
    pid_t p;
    int st = -1, error = posix_spawn(&p, "/proc/self/exe", 0, 0, args, environ);
    if (error || waitpid(p, &st, 0) != p) return -1;
    return WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

int main(int count, char **args)
{
    if (count > 1) return strcmp(args[1], "looks") ? careless() : looks();
    int careless_ends = 0, right = 0;
    for (int i = 0; i < 4; i++) {
        careless_ends += run("careless") == 7;
        right += run("looks") == 0;
        right += run("looks") == 0;
    }
    printf("careless %d, right %d\n", careless_ends, right);
    struct rusage children;
    getrusage(RUSAGE_CHILDREN, &children);
    double used = children.ru_utime.tv_sec + children.ru_stime.tv_sec + (children.ru_utime.tv_usec + children.ru_stime.tv_usec) / 1e6;
    printf("children used what they used %d\n", used > 3 && used < 5.8);
    return 0;
}
