//@ flags: -pthread
// PR_SET_SYSCALL_USER_DISPATCH: calls from outside of a range become SIGSYS while a byte says so.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include "result.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#ifdef __x86_64__
#define RESULT gregs[REG_RAX]
#define NEXT gregs[REG_RIP]
#define CALL "syscall"
#define CHANGED "rcx", "r11", "memory"
#else
#define RESULT gregs[REG_EAX]
#define NEXT gregs[REG_EIP]
#define CALL "int $0x80"
#define CHANGED "memory"
#endif
enum { PASS, STOP };

static volatile char selector;
static volatile int seen, code, number, kept;
static volatile long at;

static void left(int signal, siginfo_t *info, void *context)
{
    ucontext_t *c = context;
    selector = PASS;
    seen++;
    code = info->si_code;
    number = info->si_syscall == SYS_getpid;
    kept = c->uc_mcontext.RESULT == info->si_syscall && info->si_errno == 0;
    at = (long)info->si_call_addr == (long)c->uc_mcontext.NEXT;
    c->uc_mcontext.RESULT = 4711;
}
static long set(long mode, unsigned long start, unsigned long len, volatile char *byte)
{
    selector = PASS;
    return prctl(PR_SET_SYSCALL_USER_DISPATCH, mode, start, len, byte);
}
static long pid(void)
{
    long result;
    __asm__ volatile(CALL : "=a"(result) : "a"(SYS_getpid) : CHANGED);
    return result;
}
static void *in_thread(void *unused)
{
    selector = STOP;
    long own = pid();
    selector = PASS;
    printf("another thread: %s\n", own == getpid() ? "made" : "left");
    return unused;
}
static void in_child(const char *what, void (*does)(void))
{
    int status;
    fflush(stdout);
    if (fork() == 0) {
        does();
        _exit(0);
    }
    wait(&status);
    if (WIFSIGNALED(status)) printf("%s: ended by %d\n", what, WTERMSIG(status));
    else printf("%s: ended with %d\n", what, WEXITSTATUS(status));
}
static void is_not_inherited(void)
{
    selector = STOP;
    long own = pid();
    selector = PASS;
    _exit(own == 4711);
}
static void bad_byte(void) { set(1, 0, 0, &selector); selector = 7; pid(); }
static void no_byte(void) { set(1, 0, 0, (volatile char *)8); pid(); }
static void ignored(void) { signal(SIGSYS, SIG_IGN); set(1, 0, 0, &selector); selector = STOP; pid(); }
static void blocked(void)
{
    sigset_t set_;
    sigfillset(&set_);
    sigprocmask(SIG_BLOCK, &set_, 0);
    set(1, 0, 0, &selector);
    selector = STOP;
    pid();
}
static void executes(void)
{
    set(1, 0, 0, &selector);
    execl("/bin/true", "true", (char *)0);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = left, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    sigaction(SIGSYS, &action, 0);

    printf("mistakes:");
    say(set(9, 0, 0, 0));
    say(set(0, 1, 0, 0));
    say(set(0, 0, 1, 0));
    say(set(0, 0, 0, &selector));
    say(set(1, 4096, 0, &selector));
    // Numbers of 32 bits neither wrap nor lead out of a program's memory.
    if (sizeof(long) == 8) {
        say(set(1, 4096, -4096L, &selector));
        say(set(1, 0, 0, (volatile char *)-1L));
    }
    say(set(0, 0, 0, 0));

    printf("\nset: %s\n", result(set(1, 0, 0, &selector)));
    for (int i = 0; i < 3; i++) {
        selector = STOP;
        long own = pid();
        printf("%ld: seen %d, code %d, its number %d, as it was %d, at the call %d\n", own, seen, code, number, kept, at);
    }
    printf("while it passes: %d\n", pid() == getpid());
    pthread_create(&thread, 0, in_thread, 0);
    pthread_join(thread, 0);
    in_child("a child", is_not_inherited);
    in_child("a new program", executes);

    printf("all but this code: %s\n", result(set(1, (unsigned long)pid & -4096UL, 8192, &selector)));
    selector = STOP;
    long own = pid();
    selector = PASS;
    printf("%s, seen %d\n", own == getpid() ? "made" : "left", seen);
    printf("off: %s\n", result(set(0, 0, 0, 0)));
    selector = STOP;
    own = pid();
    selector = PASS;
    printf("%s, seen %d\n", own == getpid() ? "made" : "left", seen);

#ifdef __i386__
    set(1, 0, 0, &selector);
    int before = seen;
    selector = STOP;
    asm volatile("call *%%gs:0x10" : "=a"(own) : "a"(SYS_getpid) : "memory");
    selector = PASS;
    printf("through the vDSO: %d seen\n", seen - before);
    set(0, 0, 0, 0);
#endif
    in_child("a byte of another value", bad_byte);
    in_child("a byte that is not there", no_byte);
    in_child("the signal is ignored", ignored);
    in_child("the signal is blocked", blocked);
    return 0;
}
