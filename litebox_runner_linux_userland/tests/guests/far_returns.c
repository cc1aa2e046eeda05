//@ 64-bit only: a 32-bit program cannot name an address outside of its memory
// Signal handlers that return to, or lie at, where no code can be.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile unsigned long to;

static void redirect(int signal, siginfo_t *info, void *context)
{
    ucontext_t *c = context;
    c->uc_mcontext.gregs[REG_RIP] = to;
    c->uc_mcontext.gregs[REG_RBX] = 0x1234;
}
static void fault(int signal, siginfo_t *info, void *context)
{
    ucontext_t *c = context;
    printf("signal %d, code %d, there %d, trap %lld, error %llx, others as they were %d\n", signal, info->si_code,
           (unsigned long)c->uc_mcontext.gregs[REG_RIP] == to, c->uc_mcontext.gregs[REG_TRAPNO],
           c->uc_mcontext.gregs[REG_ERR], c->uc_mcontext.gregs[REG_RBX] == 0x1234);
    siglongjmp(back, 1);
}
static void on(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigaction(signal, &action, 0);
}
static void ends_by(const char *what, int signal)
{
    int status;
    fflush(stdout);
    if (fork() == 0) {
        raise(signal);
        _exit(0);
    }
    wait(&status);
    printf("%s: %s %d\n", what, WIFSIGNALED(status) ? "ended by" : "ended with",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}
int main(void)
{
    static const unsigned long places[] = {0, 0x800000000000, 0x800000000001, 0x7fff800000000000, 0xffff800000000000, 0xffffffff80000000};
    on(SIGUSR1, redirect);
    on(SIGSEGV, fault);
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        to = places[i];
        printf("return to %lx: ", to);
        fflush(stdout);
        if (!sigsetjmp(back, 1)) raise(SIGUSR1);
    }
    for (unsigned i = 1; i < sizeof places / sizeof *places; i++) {
        to = places[i];
        on(SIGUSR2, (void (*)(int, siginfo_t *, void *))to);
        printf("handler at %lx: ", to);
        fflush(stdout);
        if (!sigsetjmp(back, 1)) raise(SIGUSR2);
    }
    on(SIGSEGV, (void (*)(int, siginfo_t *, void *))0x800000000000);
    ends_by("a handler of SIGSEGV that is nowhere", SIGSEGV);
    signal(SIGSEGV, SIG_IGN);
    to = 0x800000000000;
    ends_by("SIGSEGV is ignored", SIGUSR1);
    return 0;
}
