//@ flags: -pthread
//@ timeout: 30
// What /proc and clocks tell of other processes: their CPU time, their names and titles, children, timers, logins; and
// of a process that has ended.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "result.h"

static char text[65536];
static long slurp(const char *format, pid_t pid)
{
    char path[128];
    snprintf(path, sizeof path, format, pid);
    int fd = open(path, O_RDONLY);
    *text = 0;
    if (fd < 0) return -1;
    long n = read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    close(fd);
    return n;
}

// Ticks of CPU time by /proc/PID/stat: own, and of children that were waited for.
static void ticks(pid_t pid, long *own, long *children)
{
    slurp("/proc/%d/stat", pid);
    char *p = strrchr(text, ')') + 2;
    long field[20];
    int n = 3;
    for (p = strchr(p, ' '); p && n < 20; p = strchr(p + 1, ' ')) field[++n - 1] = atol(p + 1);
    *own = field[13] + field[14];
    *children = field[15] + field[16];
}

static double seconds(clockid_t clock)
{
    struct timespec t = {0};
    if (clock_gettime(clock, &t)) return -1;
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void spin(double wanted)
{
    while (seconds(CLOCK_PROCESS_CPUTIME_ID) < wanted) {}
}

static void times(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pid_t inner = fork();
        if (inner == 0) { spin(0.1); _exit(0); }
        waitpid(inner, 0, 0);
        spin(0.2);
        raise(SIGSTOP);
        _exit(3);
    }
    int status;
    waitpid(pid, &status, WUNTRACED);
    long own, children;
    ticks(pid, &own, &children);
    printf("of another: %d, of its children: %d\n", own >= 18 && own < 100, children >= 8 && children < 60);
    clockid_t clock;
    printf("clock %d", clock_getcpuclockid(pid, &clock));
    double used = seconds(clock);
    printf(" used %d", used >= 0.2 && used < 1);
    struct timespec step = {1, 1};
    printf(" resolution %s\n", result(clock_getres(clock, &step)));
    printf("set it %s\n", result(clock_settime(clock, &step)));
    slurp("/proc/%d/schedstat", pid);
    printf("schedstat %d\n", atoll(text) > 150000000);
    kill(pid, SIGCONT);
    siginfo_t info;
    waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
    ticks(pid, &own, &children);
    printf("when it has ended: %d %d\n", own >= 18 && own < 100, children >= 8 && children < 60);
    used = seconds(clock);
    printf("its clock: %d\n", used >= 0.2 && used < 1);
    waitpid(pid, &status, 0);
    printf("and when it is gone: %s\n", result(clock_gettime(clock, &step)));
    slurp("/proc/stat", 0);
    long user, nice, system, idle;
    int n = sscanf(text, "cpu %ld %ld %ld %ld", &user, &nice, &system, &idle);
    printf("all: %d %d\n", n, user + system >= 25);
    fflush(stdout);
}

// Titles written over the arguments, as servers do; the name of a zombie.
static void titles(int argc, char **argv)
{
    int ends[2];
    pipe(ends);
    char *end = argv[argc - 1] + strlen(argv[argc - 1]) + 1;
    for (int with_environment = 0; with_environment < 2; with_environment++) {
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_NAME, "titled");
            if (with_environment) memset(argv[0], 'x', end - argv[0] + 1);
            else {
                memset(argv[0], 0, end - argv[0]);
                strcpy(argv[0], "short");
            }
            write(ends[1], "r", 1);
            pause();
        }
        char c;
        read(ends[0], &c, 1);
        long n = slurp("/proc/%d/cmdline", pid);
        if (with_environment) printf("title %d: %.3s\n", n > end - argv[0], text);
        else printf("title %d: %s\n", n == end - argv[0], text);
        kill(pid, SIGKILL);
        siginfo_t info;
        waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
        slurp("/proc/%d/comm", pid);
        printf("zombie %s", text);
        printf("title of the zombie %s\n", result(slurp("/proc/%d/cmdline", pid)));
        waitpid(pid, 0, 0);
    }
    fflush(stdout);
}

static void put(const char *path, const char *what)
{
    int fd = open(path, O_WRONLY);
    printf("%s <- %s: %s\n", path, what, result(fd < 0 ? -1 : write(fd, what, strlen(what))));
    close(fd);
}

static void files(void)
{
    const char *names[] = {"clear_refs", "loginuid", "sessionid", "projid_map", "timens_offsets", "timers", "timerslack_ns"};
    for (int i = 0; i < 7; i++) {
        char path[64];
        struct stat st;
        snprintf(path, sizeof path, "/proc/self/%s", names[i]);
        printf("%s %o\n", names[i], stat(path, &st) ? 0 : st.st_mode);
    }
    put("/proc/self/clear_refs", "1");
    put("/proc/self/clear_refs", "9");
    put("/proc/self/timerslack_ns", "70000");
    printf("slack %d", prctl(PR_GET_TIMERSLACK));
    slurp("/proc/self/timerslack_ns", 0);
    printf(" %s", text);
    put("/proc/self/timerslack_ns", "0");
    printf("slack %d\n", prctl(PR_GET_TIMERSLACK));
    put("/proc/self/timerslack_ns", "x");
    slurp("/proc/self/timens_offsets", 0);
    printf("%s", text);
    slurp("/proc/self/projid_map", 0);
    printf("%s", text);
    printf("children by no thread: %s\n", result(slurp("/proc/self/children", 0)));
    // Not part of all kernels.
    if (access("/proc/thread-self/children", R_OK) == 0) {
        pid_t a = fork();
        if (a == 0) { pause(); }
        char want[32];
        snprintf(want, sizeof want, "%d ", a);
        slurp("/proc/thread-self/children", 0);
        printf("children %d\n", !strcmp(text, want));
        kill(a, SIGKILL);
        waitpid(a, 0, 0);
    } else {
        puts("children 1");
    }
    fflush(stdout);
}

static void timers(void)
{
    timer_t id;
    struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_ptr = (void *)0x1234};
    timer_create(CLOCK_MONOTONIC, &how, &id);
    slurp("/proc/self/timers", 0);
    char want[300];
    snprintf(want, sizeof want, "signal: %d/%016lx\nnotify: signal/pid.%d\nClockID: 1\n", SIGUSR1, 0x1234l, getpid());
    printf("timer %d %d\n", !strncmp(text, "ID: ", 4), strstr(text, want) != 0);
    timer_delete(id);
    printf("none %ld\n", slurp("/proc/self/timers", 0));
}

static void login(void)
{
    slurp("/proc/self/loginuid", 0);
    printf("login %s", text);
    slurp("/proc/self/sessionid", 0);
    printf(" %s\n", text);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        put("/proc/self/loginuid", "x");
        put("/proc/self/loginuid", "1000");
        fflush(stdout);
        pid_t inner = fork();
        if (inner == 0) {
            slurp("/proc/self/loginuid", 0);
            printf("inherited %s", text);
            slurp("/proc/self/sessionid", 0);
            printf(" %d\n", strcmp(text, "4294967295") != 0);
            char path[64];
            snprintf(path, sizeof path, "/proc/%d/loginuid", getppid());
            int fd = open(path, O_WRONLY);
            printf("of another %s\n", result(write(fd, "7", 1)));
            fflush(stdout);
            _exit(0);
        }
        waitpid(inner, 0, 0);
        _exit(0);
    }
    waitpid(pid, 0, 0);
    slurp("/proc/self/loginuid", 0);
    printf("here %s\n", text);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    times();
    files();
    timers();
    login();
    titles(argc, argv);
    return 0;
}
