//@ flags: -pthread
//@ timeout: 30
// Filters of calls: every action, which of several counts, what is inherited, threads, strict mode, bad programs.
#define _GNU_SOURCE
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include "result.h"

#ifdef __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#define RESULT gregs[REG_RAX]
#define NEXT gregs[REG_RIP]
#else
#define ARCH AUDIT_ARCH_I386
#define RESULT gregs[REG_EAX]
#define NEXT gregs[REG_EIP]
#endif

#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#define COUNT(array) (sizeof(array) / sizeof *(array))

static long install(struct sock_filter *code, unsigned length, unsigned flags)
{
    struct sock_fprog program = {length, code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
// A filter that treats one call so, and lets all others pass.
static long treat(long number, unsigned action, unsigned flags)
{
    struct sock_filter code[] = {FIELD(arch), IF(ARCH, 0, 2), FIELD(nr), IF(number, 1, 0), RETURN(SECCOMP_RET_ALLOW), RETURN(action)};
    return install(code, COUNT(code), flags);
}

static void ended(int status)
{
    if (WIFSIGNALED(status)) printf("ended by %d\n", WTERMSIG(status));
    else printf("ended with %d\n", WEXITSTATUS(status));
}
// Does it in a process of its own, which may get filters.
static void apart(const char *what, void (*does)(void))
{
    printf("%s:\n", what);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        does();
        fflush(stdout);
        syscall(SYS_exit_group, 0);
    }
    int status;
    waitpid(pid, &status, 0);
    ended(status);
}

static void status_lines(const char *path)
{
    char line[256];
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "Seccomp", 7) || !strncmp(line, "NoNewPrivs", 10)) printf("  %s", line);
    if (f) fclose(f);
}

static void questions(void)
{
    printf("mode %s %s %s\n", result(prctl(PR_GET_SECCOMP)), result(prctl(PR_SET_SECCOMP, 0, 0)), result(prctl(PR_SET_SECCOMP, 3, 0)));
    int allow = SECCOMP_RET_ALLOW;
    printf("operations");
    say(syscall(SYS_seccomp, 99, 0, 0));
    say(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, 0));
    say(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, &allow));
    say(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0x8000, &allow));
    say(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER, 0));
    say(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 0));
    say(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, &allow));
    say(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, 0));
    say(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 1, 0));
    puts("");
    unsigned actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
                          SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | 1, 0x10000, -1};
    printf("actions");
    for (unsigned i = 0; i < COUNT(actions); i++) say(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &actions[i]));
    puts("");
}

// Without the right to, and without the promise to gain none.
static void without_right(void)
{
    if (geteuid() == 0 && syscall(SYS_setresuid, 65534, 65534, 65534)) perror("setresuid");
    struct sock_filter code[] = {RETURN(SECCOMP_RET_ALLOW)};
    printf("without right");
    say(install(code, 0, 0));
    say(install(code, 4097, 0));
    say(install(code, 1, 0));
    say(install(NULL, 1, 0));
    say(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 8L));
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    say(install(NULL, 1, 0));
    say(install((void *)8, 1, 0));
    say(install((void *)8, 0, 0));
    say(install(code, 1, 0));
    say(prctl(PR_GET_SECCOMP));
    say(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0));
    say(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0));
    struct sock_fprog program = {1, code};
    say(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    puts("");
    fflush(stdout);
    _exit(0);
}

#define ONE(code, k) {1, {BPF_STMT(code, k)}}
#define TWO(code, k) {2, {BPF_STMT(code, k), BPF_STMT(BPF_RET | BPF_A, 0)}}
static struct { unsigned length; struct sock_filter code[6]; } programs[] = {
    ONE(BPF_RET | BPF_K, 0x7fff0000), ONE(BPF_RET | BPF_A, 0), ONE(BPF_RET | BPF_X, 0), ONE(BPF_LD | BPF_W | BPF_ABS, 0),
    TWO(BPF_LD | BPF_W | BPF_ABS, 60), TWO(BPF_LD | BPF_W | BPF_ABS, 64), TWO(BPF_LD | BPF_W | BPF_ABS, 2), TWO(BPF_LD | BPF_W | BPF_ABS, -4),
    TWO(BPF_LD | BPF_H | BPF_ABS, 0), TWO(BPF_LD | BPF_B | BPF_ABS, 0), TWO(BPF_LD | BPF_W | BPF_IND, 0), TWO(BPF_LDX | BPF_W | BPF_ABS, 0),
    TWO(BPF_LD | BPF_W | BPF_LEN, 0), TWO(BPF_LDX | BPF_W | BPF_LEN, 0), TWO(BPF_LDX | BPF_MSH | BPF_B, 0), TWO(BPF_LD | BPF_IMM, 7),
    TWO(BPF_LDX | BPF_IMM, 7), TWO(BPF_LD | BPF_MEM, 0), TWO(BPF_LDX | BPF_MEM, 0), TWO(BPF_ST, 0), TWO(BPF_ST, 15), TWO(BPF_ST, 16),
    TWO(BPF_STX, 15), TWO(BPF_STX, 16), TWO(BPF_MISC | BPF_TAX, 0), TWO(BPF_MISC | BPF_TXA, 0), TWO(BPF_ALU | BPF_ADD | BPF_K, 1),
    TWO(BPF_ALU | BPF_DIV | BPF_K, 0), TWO(BPF_ALU | BPF_DIV | BPF_K, 1), TWO(BPF_ALU | BPF_DIV | BPF_X, 0), TWO(BPF_ALU | BPF_MOD | BPF_K, 1),
    TWO(BPF_ALU | BPF_MOD | BPF_X, 0), TWO(BPF_ALU | BPF_XOR | BPF_X, 0), TWO(BPF_ALU | BPF_NEG, 0), TWO(BPF_ALU | BPF_NEG | BPF_X, 0),
    TWO(BPF_ALU | BPF_LSH | BPF_K, 31), TWO(BPF_ALU | BPF_LSH | BPF_K, 32), TWO(BPF_ALU | BPF_RSH | BPF_K, 32), TWO(BPF_ALU | BPF_RSH | BPF_X, 0),
    TWO(BPF_JMP | BPF_JA, 0), TWO(BPF_JMP | BPF_JA, 1), TWO(BPF_JMP | BPF_JA, -1), TWO(BPF_JMP | BPF_JA | BPF_X, 0), TWO(BPF_JMP | 0x50, 0),
    TWO(0x100, 0), TWO(0xffff, 0),
    {2, {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), RETURN(0)}},
    {2, {BPF_JUMP(BPF_JMP | BPF_JSET | BPF_X, 0, 0, 1), RETURN(0)}},
    {2, {BPF_JUMP(BPF_JMP | BPF_JGT | BPF_X, 0, 0, 0), RETURN(0)}},
    {4, {IF(0, 1, 0), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_MEM, 3), RETURN(0)}},
    {4, {IF(0, 0, 0), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_MEM, 3), RETURN(0)}},
    {4, {BPF_STMT(BPF_JMP | BPF_JA, 1), BPF_STMT(BPF_LD | BPF_MEM, 3), BPF_STMT(BPF_ST, 3), RETURN(0)}},
    {6, {IF(0, 2, 0), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_JMP | BPF_JA, 1), BPF_STMT(BPF_STX, 3), BPF_STMT(BPF_LDX | BPF_MEM, 3), RETURN(0)}},
};
// Which programs are ones: each is behind an error that another thing would be.
static void check_programs(void)
{
    for (unsigned i = 0; i < COUNT(programs); i++) {
        fflush(stdout);
        pid_t pid = fork();
        int status;
        if (pid == 0) {
            long r = install(programs[i].code, programs[i].length, 0);
            // Most of those that pass kill at the next call.
            if (r == 0) for (;;) syscall(SYS_exit, 0);
            _exit(errno == EINVAL ? 99 : 98);
        }
        waitpid(pid, &status, 0);
        printf(" %s", WIFEXITED(status) && WEXITSTATUS(status) == 99 ? "-" : WIFEXITED(status) && WEXITSTATUS(status) == 98 ? "?" : "+");
    }
    puts("");
}

static void errors(void)
{
    // They have been made, so they are as fast as they get.
    for (int i = 0; i < 20; i++) syscall(SYS_getpid), syscall(SYS_getppid), syscall(SYS_umask, 022), syscall(SYS_gettid), getuid(), sched_yield();
    printf("getpid");
    say(treat(SYS_getpid, SECCOMP_RET_ERRNO | EXDEV, 0));
    say(syscall(SYS_getpid));
    say(treat(SYS_gettid, SECCOMP_RET_ERRNO | 0, 0));
    say(syscall(SYS_gettid));
    say(treat(SYS_umask, SECCOMP_RET_ERRNO | EBUSY, 0));
    say(syscall(SYS_umask, 077));
    say(treat(SYS_sched_yield, SECCOMP_RET_ERRNO | 0xffff, 0));
    long r = sched_yield();
    printf(" %ld %d", r, errno);
    say(treat(SYS_getsid, SECCOMP_RET_TRACE | 7, 0));
    say(getsid(0));
    say(treat(SYS_getpgid, SECCOMP_RET_USER_NOTIF, 0));
    say(getpgid(0));
    say(treat(SYS_getppid, SECCOMP_RET_LOG, SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW));
    printf(" %d", syscall(SYS_getppid) > 0);
    say(syscall(SYS_getpid));
    puts("");
    status_lines("/proc/self/status");
    status_lines("/proc/thread-self/status");
}

static void arguments(void)
{
    struct sock_filter code[] = {
        FIELD(nr), IF(SYS_dup2, 0, 8),
        FIELD(args[0]), IF(5, 0, 6),
        FIELD(args[1]), IF(0xfffffff6u, 0, 4),
#ifdef __x86_64__
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]) + 4), IF(-1u, 1, 2),
#else
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]) + 4), IF(0, 1, 2),
#endif
        RETURN(0), RETURN(SECCOMP_RET_ERRNO | EDOM), RETURN(SECCOMP_RET_ALLOW),
    };
    printf("arguments");
    say(install(code, COUNT(code), 0));
    say(syscall(SYS_dup2, 5, -10L));
    say(syscall(SYS_dup2, 6, -10L));
    say(syscall(SYS_dup2, 5, -11L));
    puts("");
}

static volatile int told;
static siginfo_t of_trap;
static volatile unsigned long next, number;
static void on_sys(int n, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    told = n;
    of_trap = *info;
    next = u->uc_mcontext.NEXT;
    number = u->uc_mcontext.RESULT;
    u->uc_mcontext.RESULT = 42;
}
static void traps(void)
{
    struct sigaction action = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    for (int i = 0; i < 20; i++) syscall(SYS_getppid), sched_yield();
    treat(SYS_getppid, SECCOMP_RET_TRAP | 0x1234, 0);
    treat(SYS_sched_yield, SECCOMP_RET_TRAP, 0);
    printf("%ld", syscall(SYS_getppid));
    printf(" signal %d code %d errno %#x call %d arch %d register %d address %d\n", told, of_trap.si_code, of_trap.si_errno,
           of_trap.si_syscall == SYS_getppid, of_trap.si_arch == ARCH, number == SYS_getppid, (unsigned long)of_trap.si_call_addr == next);
    told = 0;
    printf("%d", sched_yield());
    printf(" %d %#x %d\n", told, of_trap.si_errno, of_trap.si_syscall == SYS_sched_yield);
    // A signal that is blocked kills.
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fflush(stdout);
    syscall(SYS_getppid);
    puts("goes on");
}
static void trap_of_nobody(void)
{
    treat(SYS_getppid, SECCOMP_RET_TRAP, 0);
    fflush(stdout);
    syscall(SYS_getppid);
    puts("goes on");
}
static void trap_ignored(void)
{
    signal(SIGSYS, SIG_IGN);
    trap_of_nobody();
}
static void kills(void)
{
    signal(SIGSYS, SIG_IGN);
    treat(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0);
    fflush(stdout);
    syscall(SYS_getppid);
    puts("goes on");
}
static void unknown_action(void)
{
    treat(SYS_getppid, 0x00040000, 0);
    syscall(SYS_getppid);
    puts("goes on");
}

static void *asks(void *unused) { (void)unused; syscall(SYS_getppid); return "goes on"; }
static void one_thread(void)
{
    pthread_t t;
    void *said = "nothing";
    treat(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0);
    // It does not tell its joiner anything, but that it is gone.
    pthread_create(&t, NULL, asks, NULL);
    pthread_join(t, &said);
    printf("thread %s\n", said ? (char *)said : "gone");
    fflush(stdout);
    syscall(SYS_getppid);
    puts("goes on");
}
static void *kills_all(void *unused)
{
    (void)unused;
    treat(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0);
    syscall(SYS_getppid);
    return NULL;
}
static void whole_process(void)
{
    pthread_t t;
    pthread_create(&t, NULL, kills_all, NULL);
    pthread_join(t, NULL);
    puts("goes on");
}
static volatile int leader;
static void *outlives(void *unused)
{
    char path[64], text[512] = "";
    (void)unused;
    // Until the first thread is done.
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", leader);
    while (!strstr(text, ") Z")) {
        FILE *f = fopen(path, "r");
        if (!f || !fgets(text, sizeof text, f)) break;
        fclose(f);
        sched_yield();
    }
    syscall(SYS_exit, 5);
    return NULL;
}
// The status of a process is that of the thread that ends last.
static void first_thread(void)
{
    pthread_t t;
    leader = getpid();
    treat(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0);
    pthread_create(&t, NULL, outlives, NULL);
    syscall(SYS_getppid);
    puts("goes on");
}
static void first_exits(void)
{
    pthread_t t;
    leader = getpid();
    pthread_create(&t, NULL, outlives, NULL);
    syscall(SYS_exit, 3);
}

static const unsigned all[] = {SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP | 1, SECCOMP_RET_ERRNO | EDOM, SECCOMP_RET_ERRNO | EBUSY, SECCOMP_RET_TRACE, SECCOMP_RET_LOG};
static unsigned first, second;
static void both(void)
{
    struct sigaction action = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    treat(SYS_getsid, first, 0);
    treat(SYS_getsid, second, 0);
    printf("  %s\n", getsid(getpid()) == getsid(0) ? "the same" : "changed");
    long r = syscall(SYS_getsid, -1L);
    printf("  %s %d\n", result(r), told);
}

static void *says_error(void *unused) { (void)unused; long r = syscall(SYS_getppid); return (void *)(r < 0 ? (long)errno : 0); }
static void inherits(void)
{
    treat(SYS_getppid, SECCOMP_RET_ERRNO | EDOM, 0);
    pthread_t t;
    void *error;
    pthread_create(&t, NULL, says_error, NULL);
    pthread_join(t, &error);
    printf("a thread: %s\n", strerrorname_np((long)error));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        printf("a child: %s\n", result(syscall(SYS_getppid)));
        treat(SYS_getpgid, SECCOMP_RET_ERRNO | EBUSY, 0);
        printf("its own: %s\n", result(getpgid(0)));
        fflush(stdout);
        execl("/proc/self/exe", "seccomp", "executed", NULL);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
    printf("the parent: %s %d\n", result(syscall(SYS_getppid)), getpgid(0) > 0);
    fflush(stdout);
    pid = vfork();
    if (pid == 0) {
        treat(SYS_getpgid, SECCOMP_RET_ERRNO | ENODEV, 0);
        execl("/proc/self/exe", "seccomp", "executed", NULL);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
    printf("after vfork: %s %d\n", result(syscall(SYS_getppid)), getpgid(0) > 0);
}
static int executed(void)
{
    printf("executed: %s %s\n", result(syscall(SYS_getppid)), result(getpgid(0)));
    status_lines("/proc/self/status");
    return 0;
}

static volatile int step, tid;
static int apart_first;
static void wait_for(int wanted) { while (step < wanted) sched_yield(); }
static void *follows(void *unused)
{
    (void)unused;
    if (apart_first) treat(SYS_getpgid, SECCOMP_RET_ERRNO | EBUSY, 0);
    for (int i = 0; i < 20; i++) syscall(SYS_getppid);
    tid = gettid();
    step = 1;
    wait_for(2);
    long r = syscall(SYS_getppid);
    printf("the other: %s\n", result(r > 0 ? 1 : r));
    return NULL;
}
static void synchronised(void)
{
    pthread_t t;
    char path[64];
    pthread_create(&t, NULL, follows, NULL);
    wait_for(1);
    long r = treat(SYS_getppid, SECCOMP_RET_ERRNO | EDOM, SECCOMP_FILTER_FLAG_TSYNC);
    printf("tsync %s\n", r == tid ? "the thread" : result(r));
    printf("esrch %s\n", result(treat(SYS_getppid, SECCOMP_RET_ERRNO | EDOM, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH)));
    status_lines("/proc/self/status");
    snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
    status_lines(path);
    step = 2;
    pthread_join(t, NULL);
}
static void synchronised_apart(void)
{
    apart_first = 1;
    synchronised();
}

// How many filters there can be: the kernel counts instructions of its own.
static void fill(struct sock_filter instruction, unsigned every)
{
    static struct sock_filter code[4096];
    for (unsigned i = 0; i < 4095; i++) {
        struct sock_filter nothing = BPF_STMT(BPF_LD | BPF_IMM, 0);
        code[i] = i % every || i > 4090 ? nothing : instruction;
    }
    struct sock_filter first = BPF_STMT(BPF_LDX | BPF_IMM, 1), last = RETURN(SECCOMP_RET_ALLOW);
    code[0] = first;
    code[4095] = last;
    int filters = 0, small = 0;
    while (install(code, 4096, 0) == 0) filters++;
    printf("%s after %d,", result(-1), filters);
    while (install(code + 3796, 300, 0) == 0) small++;
    printf(" %s after %d,", result(-1), small);
    for (small = 0; install(code + 4095, 1, 0) == 0; small++);
    printf(" %s after %d\n", result(-1), small);
}
#define FILL(name, every, ...) static void name(void) { struct sock_filter i = __VA_ARGS__; fill(i, every); }
FILL(loads, 1, FIELD(nr))
FILL(divisions, 2, BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0))
FILL(branches, 1, IF(1, 1, 1))
FILL(wide_branches, 3, IF(0x80000000, 1, 2))
FILL(half_branches, 1, BPF_JUMP(BPF_JMP | BPF_JSET | BPF_X, 0x80000000, 0, 2))
FILL(plain_branches, 1, IF(0x7fffffff, 0, 2))

static void strict(void)
{
    struct sigaction action = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    printf("strict %s\n", result(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0)));
    fflush(stdout);
    write(1, "written\n", 8);
    syscall(SYS_exit, 9);
}
static void strict_ends(void)
{
    syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0);
    write(1, "written\n", 8);
    syscall(SYS_getpid);
    write(1, "goes on\n", 8);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) return executed();
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    questions();
    fflush(stdout);
    if (fork() == 0) without_right();
    wait(NULL);
    apart("programs", check_programs);
    apart("errors", errors);
    apart("arguments", arguments);
    apart("trap", traps);
    apart("trap without handler", trap_of_nobody);
    apart("trap ignored", trap_ignored);
    apart("kill", kills);
    apart("unknown action", unknown_action);
    apart("kill one thread", one_thread);
    apart("kill all threads", whole_process);
    apart("kill the first thread", first_thread);
    apart("the first thread exits", first_exits);
    for (unsigned i = 0; i < COUNT(all); i++)
        for (unsigned j = 0; j < COUNT(all); j++) {
            char name[32];
            first = all[i], second = all[j];
            snprintf(name, sizeof name, "%#x and %#x", first, second);
            apart(name, both);
        }
    apart("inherited", inherits);
    apart("threads", synchronised);
    apart("threads with other filters", synchronised_apart);
    apart("most of loads", loads);
    apart("most of divisions", divisions);
    apart("most of branches", branches);
    apart("most of wide branches", wide_branches);
    apart("most of half branches", half_branches);
    apart("most of plain branches", plain_branches);
    apart("strict", strict);
    apart("strict and other calls", strict_ends);
    return 0;
}
