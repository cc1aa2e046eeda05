//@ variants: static
// Directories of /proc stand for processes, a death by a signal that dumps core says so, and timer slack is inherited.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHOW(call) show(#call, (long)(call))
static void show(const char *what, long result)
{
    if (result < 0) printf("%s: %s\n", what, strerrorname_np(errno));
    else printf("%s: %ld\n", what, result);
}

static volatile int got, value;
static void handler(int signal, siginfo_t *info, void *context)
{
    (void)context;
    got = signal;
    value = info->si_value.sival_int;
}

static void directories(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, 0);
    int own = open("/proc/self", O_DIRECTORY), fds = open("/proc/self/fd", O_DIRECTORY), proc = open("/proc", O_DIRECTORY);
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    info.si_value.sival_int = 8;
    got = 0;
    SHOW(syscall(SYS_pidfd_send_signal, own, SIGUSR1, &info, 0));
    printf("got %d %d\n", got == SIGUSR1, value);
    SHOW(syscall(SYS_pidfd_send_signal, own, SIGUSR2, &info, 0));
    SHOW(syscall(SYS_pidfd_send_signal, own, 0, 0, 1 << 20));
    SHOW(syscall(SYS_pidfd_send_signal, fds, 0, 0, 0));
    SHOW(syscall(SYS_pidfd_send_signal, proc, 0, 0, 0));
    SHOW(syscall(SYS_pidfd_send_signal, 1 << 20, 0, 0, 0));
    fflush(stdout);
    pid_t p = fork();
    if (p == 0) _exit(0);
    char name[32];
    sprintf(name, "/proc/%d", p);
    int other = open(name, O_DIRECTORY);
    waitpid(p, 0, 0);
    SHOW(syscall(SYS_pidfd_send_signal, other, 0, 0, 0));
}

static void deaths_within(rlim_t core, int dumpable)
{
    static const int signals[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGXCPU, SIGSYS, SIGTERM, SIGKILL, SIGUSR1};
    struct rlimit limit = {core, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &limit);
    prctl(PR_SET_DUMPABLE, dumpable);
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
        fflush(stdout);
        pid_t p = fork();
        if (p == 0) { kill(getpid(), signals[i]); pause(); }
        siginfo_t info;
        waitid(P_PID, p, &info, WEXITED | WNOWAIT);
        int status;
        waitpid(p, &status, 0);
        printf("%s: %d %d %d\n", sigabbrev_np(signals[i]), WTERMSIG(status) == signals[i], WCOREDUMP(status) != 0, info.si_code);
    }
}

static void deaths(void)
{
    deaths_within(0, 1);
    deaths_within(1 << 30, 1);
    deaths_within(1 << 30, 0);
    struct rlimit none = {0, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &none);
}

static void figures(void)
{
    struct shminfo info;
    memset(&info, 0, sizeof info);
    show("shmctl(IPC_INFO)", shmctl(0, IPC_INFO, (struct shmid_ds *)&info) < 0 ? -1 : 0);
    unsigned long all = 0;
    FILE *file = fopen("/proc/sys/kernel/shmall", "r");
    fscanf(file, "%lu", &all);
    fclose(file);
    printf("shmmin %lu shmall %d\n", info.shmmin, info.shmall == all);
}

static void slack_of(const char *who)
{
    char text[32] = "";
    int fd = open("/proc/self/timerslack_ns", O_RDONLY);
    read(fd, text, sizeof text - 1);
    close(fd);
    printf("%s: %d, %s", who, prctl(PR_GET_TIMERSLACK), text);
}

static void slack(void)
{
    prctl(PR_SET_TIMERSLACK, 70000);
    slack_of("set");
    fflush(stdout);
    pid_t p = fork();
    if (p == 0) {
        slack_of("inherited");
        prctl(PR_SET_TIMERSLACK, 1);
        slack_of("changed");
        prctl(PR_SET_TIMERSLACK, 0);
        slack_of("first");
        fflush(stdout);
        _exit(0);
    }
    waitpid(p, 0, 0);
    prctl(PR_SET_TIMERSLACK, 0);
    slack_of("first");
}

int main(void)
{
    void (*parts[])(void) = {directories, deaths, figures, slack};
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        fflush(stdout);
        pid_t p = fork();
        if (p == 0) { parts[i](); fflush(stdout); _exit(0); }
        int status;
        waitpid(p, &status, 0);
        printf("part %u ended %x\n", i, status);
    }
    return 0;
}
