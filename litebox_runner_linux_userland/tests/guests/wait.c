//@ variants: static dynamic musl
// Processes made and waited for: statuses, wait4 and waitid in all their variants, SIGCHLD, orphans, vfork, errors.
#define _GNU_SOURCE
#include "asleep.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __WALL
#define __WALL 0x40000000
#endif
#ifndef __WCLONE
#define __WCLONE 0x80000000
#endif
#ifndef __WNOTHREAD
#define __WNOTHREAD 0x20000000
#endif

static const char *name_of(int e)
{
    switch (e) {
    case 0: return "ok";
    case ECHILD: return "ECHILD";
    case EINVAL: return "EINVAL";
    case ESRCH: return "ESRCH";
    case EPERM: return "EPERM";
    case EACCES: return "EACCES";
    case EFAULT: return "EFAULT";
    case EINTR: return "EINTR";
    case EAGAIN: return "EAGAIN";
    case EBADF: return "EBADF";
    default: return strerror(e);
    }
}

#define SHOW(call) do { errno = 0; long r_ = (long)(call); printf("%s = %s\n", #call, r_ < 0 ? name_of(errno) : r_ == 0 ? "0" : "positive"); } while (0)

static void say_status(const char *what, int st)
{
    if (WIFEXITED(st)) printf("%s: exited %d\n", what, WEXITSTATUS(st));
    else if (WIFSIGNALED(st)) printf("%s: killed by %d\n", what, WTERMSIG(st));
    else if (WIFSTOPPED(st)) printf("%s: stopped by %d\n", what, WSTOPSIG(st));
    else if (WIFCONTINUED(st)) printf("%s: continued\n", what);
    else printf("%s: %x\n", what, st);
}

static pid_t child(int status)
{
    pid_t p = fork();
    if (p == 0) _exit(status);
    return p;
}

static void statuses(void)
{
    int st;
    pid_t p = child(7);
    printf("same pid %d\n", waitpid(p, &st, 0) == p);
    say_status("exit", st);
    static const int signals[] = {SIGKILL, SIGTERM, SIGUSR1, SIGALRM, 40};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
        p = fork();
        if (p == 0) { kill(getpid(), signals[i]); for (;;) pause(); }
        waitpid(p, &st, 0);
        say_status("signal", st);
    }
    p = fork();
    if (p == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        *(volatile int *)8 = 1;
    }
    waitpid(p, &st, 0);
    say_status("fault", st);
    p = fork();
    if (p == 0) for (volatile int i = 0;; i++) ;
    wait_for_state(p, p, 'R');
    kill(p, SIGTERM);
    waitpid(p, &st, 0);
    say_status("running child", st);
}

static void memory_is_copied(void)
{
    int *own = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int *shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *wiped = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *kept_back = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *own = 1; *shared = 1; *wiped = 1; *kept_back = 1;
    madvise(wiped, 4096, MADV_WIPEONFORK);
    madvise(kept_back, 4096, MADV_DONTFORK);
    pid_t p = fork();
    if (p == 0) {
        unsigned char in;
        *own = 2; *shared = 2;
        int gone = mincore(kept_back, 4096, &in) < 0;
        void *again = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(again, 1, 1 << 20);
        _exit(*wiped == 0 ? (gone || errno == ENOSYS) : 99);
    }
    int st;
    waitpid(p, &st, 0);
    say_status("memory", st);
    printf("private %d shared %d wiped %d\n", *own, *shared, *wiped);
}

static void wait_variants(void)
{
    int st = 0;
    siginfo_t info;
    SHOW(wait(&st));
    SHOW(waitpid(-1, &st, 0x10));
    SHOW(waitpid(1 << 30, &st, 0));
    SHOW(waitpid(-(1 << 30), &st, 0));
    SHOW(syscall(SYS_wait4, 0x80000000, &st, 0, 0));
    SHOW(waitid(P_ALL, 0, &info, 0));
    SHOW(waitid(P_ALL, 0, &info, WEXITED | 0x10));
    SHOW(waitid(P_PID, 0, &info, WEXITED));
    SHOW(waitid(P_PID, -1, &info, WEXITED));
    SHOW(waitid(P_PGID, -1, &info, WEXITED));
    SHOW(waitid(9, 1, &info, WEXITED));
    SHOW(waitid(3, -1, &info, WEXITED));
    SHOW(waitid(3, 900, &info, WEXITED));
    SHOW(waitid(P_ALL, 0, &info, WEXITED));
    int hold[2];
    if (pipe(hold)) return;
    pid_t p = fork();
    if (p == 0) {
        char c;
        close(hold[1]);
        _exit(read(hold[0], &c, 1) ? 6 : 5);
    }
    memset(&info, 0x55, sizeof info);
    SHOW(waitid(P_PID, p, &info, WEXITED | WNOHANG));
    printf("signo %d pid %d\n", info.si_signo, info.si_pid);
    SHOW(waitpid(p, &st, WNOHANG));
    SHOW(waitpid(p, &st, __WCLONE));
    memset(&info, 0, sizeof info);
    close(hold[1]);
    SHOW(waitid(P_PID, p, &info, WEXITED | WNOWAIT));
    printf("signo %d code %d status %d pid %d uid %d\n", info.si_signo, info.si_code, info.si_status, info.si_pid == p, info.si_uid == getuid());
    SHOW(waitid(P_PID, p, 0, WSTOPPED | WNOHANG));
    SHOW(waitid(P_PGID, getpgrp(), &info, WEXITED | WNOWAIT | WNOHANG));
    printf("again %d\n", info.si_pid == p);
    SHOW(waitpid(0, &st, __WALL));
    say_status("wall", st);
    SHOW(waitpid(p, &st, 0));
    p = child(3);
    SHOW(syscall(SYS_wait4, p, (int *)8, 0, 0));
    SHOW(waitpid(p, &st, 0));
    p = child(3);
    struct rusage use;
    memset(&use, 0x55, sizeof use);
    SHOW(wait4(p, &st, __WNOTHREAD, &use));
    printf("usage plausible %d\n", use.ru_utime.tv_sec < 10 && use.ru_stime.tv_usec < 1000000);
    // The oldest first.
    pid_t a = child(1), b = child(2);
    wait_for_state(a, a, 'Z');
    wait_for_state(b, b, 'Z');
    int first = wait(&st) == a, second = wait(&st) == b;
    printf("order %d %d\n", first, second);
    // Killed.
    p = fork();
    if (p == 0) for (;;) pause();
    kill(p, SIGKILL);
    waitid(P_ALL, 0, &info, WEXITED);
    printf("killed: code %d status %d\n", info.si_code, info.si_status);
}

static void stops(void)
{
    int st;
    siginfo_t info;
    pid_t p = fork();
    if (p == 0) { for (;;) pause(); }
    kill(p, SIGSTOP);
    SHOW(waitid(P_PID, p, &info, WSTOPPED | WNOWAIT));
    printf("code %d status %d\n", info.si_code, info.si_status);
    SHOW(waitpid(p, &st, WUNTRACED));
    say_status("stop", st);
    SHOW(waitpid(p, &st, WUNTRACED | WNOHANG));
    kill(p, SIGCONT);
    SHOW(waitid(P_PID, p, &info, WCONTINUED));
    printf("code %d status %d\n", info.si_code, info.si_status);
    kill(p, SIGTSTP);
    waitpid(p, &st, WUNTRACED);
    say_status("stop", st);
    kill(p, SIGCONT);
    waitpid(p, &st, WCONTINUED);
    say_status("go", st);
    kill(p, SIGTERM);
    waitpid(p, &st, WUNTRACED | WCONTINUED);
    say_status("end", st);
}

static volatile int chld_count, chld_code, chld_status, chld_pid;
static void on_chld(int s, siginfo_t *i, void *c)
{
    (void)s; (void)c;
    chld_count++; chld_code = i->si_code; chld_status = i->si_status; chld_pid = i->si_pid;
}

static void sigchld(void)
{
    struct sigaction sa = {.sa_sigaction = on_chld, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGCHLD, &sa, 0);
    pid_t p = child(9);
    int st;
    printf("restarted %d\n", waitpid(p, &st, 0) == p);
    printf("chld %d code %d status %d pid %d\n", chld_count, chld_code, chld_status, chld_pid == p);
    // Interrupted without SA_RESTART.
    sa.sa_flags = SA_SIGINFO;
    sigaction(SIGUSR1, &sa, 0);
    int heard[2];
    pipe(heard);
    p = fork();
    if (p == 0) {
        struct pollfd answer = {heard[0], POLLIN, 0};
        while (poll(&answer, 1, 30) == 0) kill(getppid(), SIGUSR1);
        _exit(0);
    }
    SHOW(waitpid(p, &st, 0));
    write(heard[1], "x", 1);
    pid_t ended;
    // Under load the child may have sent one more.
    while ((ended = waitpid(p, &st, 0)) < 0 && errno == EINTR) ;
    printf("then %d\n", ended == p);
    close(heard[0]);
    close(heard[1]);
    // Nobody wants to wait.
    chld_count = 0;
    sa.sa_flags = SA_SIGINFO | SA_NOCLDWAIT | SA_RESTART;
    sigaction(SIGCHLD, &sa, 0);
    p = child(1);
    SHOW(waitpid(p, &st, 0));
    printf("signal with NOCLDWAIT %d\n", chld_count);
    signal(SIGCHLD, SIG_IGN);
    p = child(1);
    child(2);
    SHOW(wait(&st));
    signal(SIGCHLD, SIG_DFL);
    // NOCLDSTOP.
    sa.sa_flags = SA_SIGINFO | SA_NOCLDSTOP | SA_RESTART;
    sigaction(SIGCHLD, &sa, 0);
    chld_count = 0;
    p = fork();
    if (p == 0) for (;;) pause();
    kill(p, SIGSTOP);
    waitpid(p, &st, WUNTRACED);
    kill(p, SIGCONT);
    waitpid(p, &st, WCONTINUED);
    printf("no signal for stops %d\n", chld_count);
    kill(p, SIGKILL);
    waitpid(p, &st, 0);
    printf("one for the end %d\n", chld_count);
    signal(SIGCHLD, SIG_DFL);
}

static void orphans(void)
{
    int pipes[2], st;
    char c;
    pipe(pipes);
    printf("subreaper %d\n", prctl(PR_SET_CHILD_SUBREAPER, 1));
    int is = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &is);
    printf("is %d\n", is);
    pid_t p = fork();
    if (p == 0) {
        if (fork() == 0) {
            // The middle one ends; then our parent is the subreaper.
            read(pipes[0], &c, 1);
            _exit(getppid() == (pid_t)*(volatile int *)&st ? 1 : 42);
        }
        _exit(0);
    }
    waitpid(p, &st, 0);
    say_status("middle", st);
    write(pipes[1], "x", 1);
    printf("orphan is ours %d\n", wait(&st) > 0);
    say_status("orphan", st);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    // Sent at the end of the parent.
    p = fork();
    if (p == 0) {
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGUSR2);
            signal(SIGUSR2, SIG_IGN);
            sigset_t set;
            sigemptyset(&set);
            sigaddset(&set, SIGUSR2);
            signal(SIGUSR2, SIG_DFL);
            sigprocmask(SIG_BLOCK, &set, 0);
            write(pipes[1], "r", 1);
            int got = sigwaitinfo(&set, 0);
            c = got == SIGUSR2 ? 'y' : 'n';
            write(pipes[1], &c, 1);
            _exit(0);
        }
        read(pipes[0], &c, 1);
        _exit(0);
    }
    waitpid(p, &st, 0);
    read(pipes[0], &c, 1);
    printf("death signal %c\n", c);
    SHOW(prctl(PR_SET_PDEATHSIG, 65));
    int death = 5;
    SHOW(prctl(PR_GET_PDEATHSIG, &death));
    printf("death signal %d\n", death);
    SHOW(prctl(PR_GET_PDEATHSIG, 8));
    close(pipes[0]); close(pipes[1]);
}

static void vforks(void)
{
    static volatile int shared;
    int st;
    shared = 0;
    pid_t p = vfork();
    if (p == 0) { shared = 1; _exit(3); }
    printf("vfork shares memory %d\n", shared);
    waitpid(p, &st, 0);
    say_status("vfork", st);
    p = vfork();
    if (p == 0) { execl("/bin/sh", "sh", "-c", "exit 12", (char *)0); _exit(1); }
    waitpid(p, &st, 0);
    say_status("vfork and exec", st);
    p = vfork();
    if (p == 0) { execl("/no/such/file", "x", (char *)0); shared = errno; _exit(1); }
    waitpid(p, &st, 0);
    printf("error of exec %d\n", shared == ENOENT);
    // Nested, and killed.
    p = vfork();
    if (p == 0) {
        pid_t q = vfork();
        if (q == 0) _exit(4);
        int in;
        waitpid(q, &in, 0);
        shared = WEXITSTATUS(in);
        kill(getpid(), SIGKILL);
        _exit(0);
    }
    waitpid(p, &st, 0);
    say_status("nested", st);
    printf("inner %d\n", shared);
}

static void groups(void)
{
    int st;
    fflush(stdout);
    pid_t p = fork();
    if (p == 0) {
        SHOW(setsid());
        SHOW(setsid());
        printf("leader %d %d\n", getsid(0) == getpid(), getpgrp() == getpid());
        SHOW(setpgid(0, 0));
        SHOW(setpgid(0, -1));
        SHOW(setpgid(1 << 30, 0));
        SHOW(getpgid(1 << 30));
        SHOW(getsid(1 << 30));
        fflush(stdout);
        int pipes[2];
        pipe(pipes);
        pid_t c = fork();
        if (c == 0) { char x; read(pipes[0], &x, 1); _exit(0); }
        SHOW(setpgid(c, c));
        printf("moved %d\n", getpgid(c) == c);
        SHOW(setpgid(c, 1 << 30));
        SHOW(setpgid(c, getpid()));
        printf("back %d\n", getpgid(c) == getpid());
        SHOW(setpgid(c, c));
        // Signals to the group reach it.
        kill(-c, SIGTERM);
        waitpid(-c, &st, 0);
        say_status("group", st);
        // Its end of the pipe is closed once the program is there.
        int there[2];
        char none;
        pipe2(there, O_CLOEXEC);
        c = fork();
        if (c == 0) { execl("/bin/sleep", "sleep", "10", (char *)0); _exit(1); }
        close(there[1]);
        read(there[0], &none, 1);
        close(there[0]);
        SHOW(setpgid(c, c));
        kill(c, SIGKILL);
        waitpid(c, &st, 0);
        fflush(stdout);
        pipe(there);
        c = fork();
        if (c == 0) { setsid(); close(there[1]); for (;;) pause(); }
        close(there[1]);
        read(there[0], &none, 1);
        close(there[0]);
        SHOW(setpgid(c, 0));
        kill(c, SIGKILL);
        waitpid(c, &st, 0);
        fflush(stdout);
        _exit(0);
    }
    waitpid(p, &st, 0);
    say_status("groups", st);
}

int main(void)
{
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    void (*parts[])(void) = {statuses, memory_is_copied, wait_variants, stops, sigchld, orphans, vforks, groups};
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        fflush(stdout);
        // Each part in a process of its own: the first one of a sandbox is special.
        pid_t p = fork();
        if (p == 0) { parts[i](); fflush(stdout); _exit(0); }
        int st;
        waitpid(p, &st, 0);
        printf("part %u ", i);
        say_status("ended", st);
    }
    return 0;
}
