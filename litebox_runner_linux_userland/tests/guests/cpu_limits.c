// RLIMIT_CPU: SIGXCPU at the soft limit, SIGKILL at the hard one; inherited by children and kept by execve.
//@ 64-bit only: seconds of processor time, and nothing in it that depends on the width
//@ timeout: 60
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t told;
static void on_limit(int signal) { (void)signal; told++; }

static void burn(int seconds) {
    struct timespec t;
    do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    while (t.tv_sec < seconds);
}
static void report(const char *what, pid_t pid) {
    int status;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) printf("%s: SIG%s\n", what, sigabbrev_np(WTERMSIG(status)));
    else printf("%s: exit %d\n", what, WEXITSTATUS(status));
    fflush(stdout);
}
int main(int argc, char **argv) {
    if (argc > 1) {
        burn(4);
        return 77;
    }
    struct rlimit limit = {1, 3}, hard = {1, 1};
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CPU, &limit);
        pid_t child = fork();
        if (child == 0) {
            burn(4);
            _exit(77);
        }
        report("inherited", child);
        child = fork();
        if (child == 0) execl("/proc/self/exe", argv[0], "burn", NULL);
        report("inherited and executed", child);
        child = fork();
        if (child == 0) {
            signal(SIGXCPU, on_limit);
            burn(2);
            _exit(told ? 10 : 11);
        }
        report("caught", child);
        _exit(0);
    }
    report("their parent", pid);
    pid = fork();
    if (pid == 0) {
        signal(SIGXCPU, SIG_IGN);
        setrlimit(RLIMIT_CPU, &hard);
        if (fork() == 0) {
            burn(4);
            _exit(77);
        }
        int status;
        wait(&status);
        _exit(WIFSIGNALED(status) ? WTERMSIG(status) : 100);
    }
    report("a hard limit, by a child", pid);
    return 0;
}
