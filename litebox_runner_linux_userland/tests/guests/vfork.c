//@ variants: static dynamic musl
//@ flags: -pthread
//@ timeout: 60
// What a vfork child does in its parent's place, and what the parent finds afterwards: registers, signals, ends of
// either.
#define _GNU_SOURCE
#include "asleep.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#ifdef __GLIBC__
#include <sys/rseq.h>
#endif
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xmmintrin.h>

static volatile pid_t *who;
static volatile int came;

static void note(int signal) { came = signal; }

static pid_t told(void)
{
    while (!*who) usleep(100);
    pid_t p = *who;
    *who = 0;
    return p;
}

static void say(const char *what, int st)
{
    if (WIFEXITED(st)) printf("%s: exited %d\n", what, WEXITSTATUS(st));
    else printf("%s: killed by %d\n", what, WTERMSIG(st));
}

// The parent's vector registers and control words are its own.
static void registers(void)
{
    unsigned before = _mm_getcsr(), after;
    unsigned short word, changed = 0x27f;
    __asm__ volatile("fnstcw %0" : "=m"(word));
#ifdef __x86_64__
#define KEPT "xmm9"
#define CALL "syscall"
#define FIRST "D"
#define SPOILT "rcx", "r11", "memory"
#else
#define KEPT "xmm5"
#define CALL "int $0x80"
#define FIRST "b"
#define SPOILT "memory"
#endif
    register __m128 kept __asm__(KEPT) = _mm_set_ps(1, 2, 3, 4);
    __asm__ volatile("" : "+x"(kept));
    pid_t p;
    // The call itself: a function could change the register.
    __asm__ volatile(CALL : "=a"(p) : "a"(SYS_vfork) : SPOILT);
    if (p == 0) {
        __asm__ volatile("xorps %%" KEPT ", %%" KEPT "\n fldcw %0\n fldpi" ::"m"(changed) : "memory");
        unsigned down = 0x5f80;
        __asm__ volatile("ldmxcsr %0" ::"m"(down));
        __asm__ volatile(CALL ::"a"(SYS_exit), FIRST(9) : SPOILT);
    }
    __asm__ volatile("" : "+x"(kept));
    float values[4];
    _mm_storeu_ps(values, kept);
    after = _mm_getcsr();
    unsigned short now;
    __asm__ volatile("fnstcw %0" : "=m"(now));
    int st;
    waitpid(p, &st, 0);
    say("registers", st);
    printf("kept %d, control words %d %d\n", values[0] == 4 && values[3] == 1, before == after, word == now);
}

// Signals for the parent wait; those for the child do not.
static void signals(void)
{
    signal(SIGUSR1, note);
    volatile int early = 0;
    pid_t p = vfork();
    if (p == 0) {
        kill(getppid(), SIGUSR1);
        for (int i = 0; i < 3; i++) usleep(1000);
        early = came;
        raise(SIGUSR2);
        _exit(1);
    }
    int st;
    printf("the parent's signal came while it waited %d, afterwards %d\n", early, came == SIGUSR1);
    waitpid(p, &st, 0);
    say("its own", st);
    signal(SIGUSR1, SIG_DFL);
}

// The child has a child of its own, a thread, a copy.
static int thread_of_child(void *flag)
{
    *(volatile int *)flag = 1;
    return 0;
}

static char stack[1 << 16] __attribute__((aligned(16)));

static void family(void)
{
    static volatile int inner, ran;
    int st;
    pid_t p = vfork();
    if (p == 0) {
        pid_t q = vfork();
        if (q == 0) { execl("/bin/sh", "sh", "-c", "exit 5", (char *)0); _exit(99); }
        int in;
        waitpid(q, &in, 0);
        inner = WEXITSTATUS(in);
        q = fork();
        if (q == 0) { execl("/bin/sh", "sh", "-c", "exit 6", (char *)0); _exit(99); }
        waitpid(q, &in, 0);
        inner = inner * 10 + WEXITSTATUS(in);
        int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
        if (clone(thread_of_child, stack + sizeof stack, flags, (void *)&ran) > 0) while (!ran) usleep(100);
        _exit(ran);
    }
    waitpid(p, &st, 0);
    say("family", st);
    printf("their ends %d\n", inner);
}

// Its state while it waits, and its memory read by others.
static void seen(void)
{
    pid_t w = fork();
    if (w == 0) {
        static volatile int mark = 77;
        pid_t p = vfork();
        if (p == 0) {
            mark = 78;
            *who = getpid();
            for (;;) pause();
        }
        int st;
        waitpid(p, &st, 0);
        _exit(mark == 78 && WIFSIGNALED(st) ? 0 : 1);
    }
    pid_t child = told();
    while (state_of(w, w) == 'R') usleep(500);
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/stat", w);
    int fd = open(path, O_RDONLY), n = read(fd, line, sizeof line - 1);
    close(fd);
    line[n > 0 ? n : 0] = 0;
    char *state = strrchr(line, ')');
    printf("the parent's state %.1s\n", state ? state + 2 : "?");
    // Any byte that both have: the name of the file they read.
    char there[6] = "", *here = "/proc";
    static char known[] = "/proc";
    struct iovec local = { there, 5 }, remote = { known, 5 };
    long got = syscall(SYS_process_vm_readv, w, &local, 1UL, &remote, 1UL, 0UL);
    printf("read %ld, right %d\n", got, got == 5 && memcmp(there, here, 5) == 0);
    int st;
    printf("nothing to wait for %d\n", waitpid(w, &st, WNOHANG));
    kill(child, SIGKILL);
    waitpid(w, &st, 0);
    say("the parent", st);
}

// The parent ends first, by a signal or because another thread of it ends it or executes a program; the child goes on.
static void *ends(void *how)
{
    while (!*who) usleep(100);
    usleep(1000);
    if (*(int *)how == 0) _exit(3);
    execl("/bin/sh", "sh", "-c", "exit 4", (char *)0);
    return 0;
}

static void parent_first(int how, const char *what)
{
    int out[2];
    if (pipe(out)) return;
    pid_t w = fork();
    if (w == 0) {
        pthread_t t;
        static int way;
        way = how;
        close(out[0]);
        if (how < 2) pthread_create(&t, 0, ends, &way);
        if (vfork() == 0) {
            *who = getpid();
            // Asleep or computing, until the parent has gone.
            if (how & 1) while (kill(w, 0) == 0 && getppid() == w) ;
            while (getppid() != 1 && getppid() != getpgrp()) usleep(500);
            write(out[1], "x", 1);
            usleep(1000);
            write(out[1], "y", 1);
            _exit(0);
        }
        _exit(8);
    }
    close(out[1]);
    while (!*who) usleep(100);
    if (how == 2) kill(w, SIGKILL);
    int st;
    waitpid(w, &st, 0);
    say(what, st);
    char c[4];
    int n = read(out[0], c, 1);
    n += read(out[0], c + 1, 1);
    printf("the child went on %d\n", n);
    *who = 0;
    close(out[0]);
}

// The restartable-sequences area of the parent's thread, which the C library registered, and one of the child.
static void sequences(void)
{
#ifdef __GLIBC__
    static char own[32] __attribute__((aligned(32)));
    pid_t p = vfork();
    if (p == 0) {
        long first = syscall(SYS_rseq, own, 32UL, 0UL, 0x53053053UL), again = syscall(SYS_rseq, own, 32UL, 0UL, 0x53053053UL);
        _exit(first == 0 && again == -1 ? 20 : 21);
    }
    int st;
    waitpid(p, &st, 0);
    say("rseq", st);
    char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
    long gone = syscall(SYS_rseq, area, 32UL, 1UL, 0x53053053UL);
    printf("the parent's is registered %d\n", gone == 0 || __rseq_size == 0);
    syscall(SYS_rseq, area, 32UL, 0UL, 0x53053053UL);
#endif
}

// CPU time of the child is not the parent's thread's.
static void times(void)
{
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    pid_t p = vfork();
    if (p == 0) {
        struct timespec own;
        do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &own);
        while (own.tv_sec == 0 && own.tv_nsec < 100000000);
        _exit(0);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    int st;
    waitpid(p, &st, 0);
    long used = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    printf("the parent's thread used less than its child %d\n", used < 50);
}

int main(void)
{
    who = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    setvbuf(stdout, 0, _IONBF, 0);
    registers();
    signals();
    family();
    seen();
    parent_first(0, "ended by a thread");
    parent_first(1, "executed by a thread");
    parent_first(2, "killed");
    times();
    sequences();
    return 0;
}
