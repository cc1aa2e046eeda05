//@ 64-bit only: a 32-bit program makes no calls of 64-bit ones
// Calls in the manner of 32-bit programs before filters: they have another architecture and other numbers. Filters see
// whole registers, of which such a call takes the low halves.
#define _GNU_SOURCE
#include "call32.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#define GETPPID32 64
#define DUP32 63

static void on_sys(int n, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    printf("signal %d code %d errno %d call %d arch %#x next %d\n", n, info->si_code, info->si_errno, info->si_syscall, info->si_arch,
           (unsigned long)info->si_call_addr == (unsigned long)u->uc_mcontext.gregs[REG_RIP]);
    u->uc_mcontext.gregs[REG_RAX] = -7;
}

int main(void)
{
    if (!have_calls()) return 0;
    // 64 is getppid(2) here, and semget(2) of 64-bit programs: numbers mean nothing without the architecture.
    struct sock_filter code[] = {
        FIELD(arch), IF(AUDIT_ARCH_I386, 0, 9),
        FIELD(nr), IF(GETPPID32, 0, 1), RETURN(SECCOMP_RET_ERRNO | EDOM),
        IF(DUP32, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]) + 4), IF(-1u, 0, 2),
        FIELD(args[0]), IF(-5u, 2, 0),
        RETURN(SECCOMP_RET_ERRNO | EXDEV), RETURN(SECCOMP_RET_ALLOW), RETURN(SECCOMP_RET_TRAP | 77),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    // Strict mode has the numbers of both.
    fflush(stdout);
    for (int wide = 0; wide < 2; wide++) {
        pid_t pid = fork();
        int status;
        if (pid == 0) {
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0);
            raw32(4, 1, low("word\n", 5), 5, 0, 0, 0);
            if (wide) raw32(60, 0, 0, 0, 0, 0, 0);
            raw32(1, 3, 0, 0, 0, 0, 0);
        }
        waitpid(pid, &status, 0);
        printf("%d %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0, WEXITSTATUS(status));
        fflush(stdout);
    }
    struct sigaction action = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    for (int i = 0; i < 20; i++) raw32(GETPPID32, 0, 0, 0, 0, 0, 0), syscall(SYS_getppid), syscall(SYS_semget);
    printf("filter %s\n", result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)));
    printf("getppid %d %ld\n", syscall(SYS_getppid) >= 0, raw32(GETPPID32, 0, 0, 0, 0, 0, 0));
    printf("semget %s\n", result(syscall(SYS_semget, 1, 1 << 20, 0)));
    fflush(stdout);
    printf("trap %ld\n", raw32(DUP32, -5, -1, 0, 0, 0, 0));
    printf("other arguments %ld %ld\n", raw32(DUP32, -6, -1, 0, 0, 0, 0), raw32(DUP32, -5u, -1, 0, 0, 0, 0));
    return 0;
}
