//@ flags: -pthread
//@ timeout: 30
// A process whose first thread has ended while others go on: what /proc, signals and calls that name it say of it.
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "result.h"

struct shared { volatile int tid, handled, go; };
static struct shared *shared;
static char secret[16] = "kept";

static void handler(int n) { (void)n; shared->handled = gettid() == shared->tid; }

static _Noreturn void *stays(void *unused)
{
    (void)unused;
    while (!shared->go) usleep(1000);
    shared->tid = gettid();
    for (;;) pause();
}

static pid_t without_first(void)
{
    shared->tid = shared->handled = shared->go = 0;
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        signal(SIGUSR1, handler);
        pthread_create(&t, 0, stays, 0);
        syscall(SYS_exit, 0);
    }
    char path[64], text[400] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    // Until its first thread is done.
    for (int i = 0; i < 1000; i++) {
        int fd = open(path, O_RDONLY);
        long n = read(fd, text, sizeof text - 1);
        text[n > 0 ? n : 0] = 0;
        close(fd);
        char *after = strrchr(text, ')');
        if (after && after[2] == 'Z') break;
        usleep(1000);
    }
    shared->go = 1;
    while (!shared->tid) usleep(1000);
    return pid;
}

static char text[65536];
static long slurp(pid_t pid, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY);
    if (fd < 0) { *text = 0; return -1; }
    long all = 0, n;
    while ((n = read(fd, text + all, sizeof text - 1 - all)) > 0) all += n;
    int error = errno;
    close(fd);
    text[all] = 0;
    errno = error;
    return n < 0 ? -1 : all;
}

static void line(const char *start)
{
    for (char *p = text; *p; p = strchr(p, '\n') + 1) {
        if (!strncmp(p, start, strlen(start))) { printf("  %.*s\n", (int)strcspn(p, "\n"), p); return; }
        if (!strchr(p, '\n')) break;
    }
    printf("  no %s\n", start);
}

static void stat_of(pid_t pid, const char *name)
{
    slurp(pid, name);
    char *p = strrchr(text, ')');
    char state;
    int parent, group, session;
    long vsize = 0, threads = 0;
    if (!p) { printf("%s: none\n", name); return; }
    sscanf(p + 2, "%c %d %d %d", &state, &parent, &group, &session);
    p += 2;
    for (int i = 3; i < 23; i++) {
        if (i == 20) threads = atol(p);
        p = strchr(p, ' ') + 1;
    }
    vsize = atol(p);
    printf("%s: %c parent %d group %d threads %ld memory %d\n", name, state, parent == getpid(), group == getpgrp(), threads, vsize > 0);
}

static void links(pid_t pid, const char *prefix)
{
    const char *names[] = {"exe", "cwd", "root", "fd/1"};
    for (unsigned i = 0; i < 4; i++) {
        char path[128], to[128];
        snprintf(path, sizeof path, "/proc/%d/%s%s", pid, prefix, names[i]);
        printf("%s%s %s\n", prefix, names[i], readlink(path, to, sizeof to) > 0 ? "leads" : result(-1));
    }
}

static int listed(pid_t pid, const char *name, const char **error)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    DIR *d = opendir(path);
    *error = "";
    if (!d) { *error = result(-1); return -1; }
    int count = 0;
    errno = 0;
    for (struct dirent *x; (x = readdir(d));) count += isdigit(x->d_name[0]) != 0;
    if (errno) *error = result(-1);
    closedir(d);
    return count;
}

static void look(pid_t pid)
{
    const char *files[] = {"cmdline", "environ", "maps", "smaps", "auxv", "statm", "comm", "limits", "wchan", "mounts", "oom_score_adj", "mem"};
    stat_of(pid, "stat");
    char name[64];
    snprintf(name, sizeof name, "task/%d/", pid);
    char with[96];
    snprintf(with, sizeof with, "%sstat", name);
    slurp(pid, with);
    char *after = strrchr(text, ')');
    printf("as a task: %c\n", after ? after[2] : '-');
    snprintf(with, sizeof with, "task/%d/stat", shared->tid);
    slurp(pid, with);
    after = strrchr(text, ')');
    printf("the other: %c\n", after ? after[2] : '-');
    printf("status %d\n", slurp(pid, "status") > 0);
    line("State:");
    line("Threads:");
    line("Umask:");
    line("VmSize:");
    line("SigCgt:");
    line("Uid:");
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        long n = slurp(pid, files[i]);
        printf("%s %s\n", files[i], n > 0 ? "text" : result(n));
    }
    slurp(pid, "statm");
    printf("statm %s", text);
    slurp(pid, "comm");
    printf("comm %s", text);
    links(pid, "");
    const char *error;
    printf("tasks %d", listed(pid, "task", &error));
    printf(" %s\n", error);
    printf("descriptors %d", listed(pid, "fd", &error));
    printf(" %s\n", error);
    struct iovec local = {text, 8}, remote = {secret, 8};
    printf("memory %s\n", result(process_vm_readv(pid, &local, 1, &remote, 1, 0)));
    printf("of the other %s\n", shared->tid ? result(process_vm_readv(shared->tid, &local, 1, &remote, 1, 0)) : "-");
    cpu_set_t set;
    printf("affinity %d\n", sched_getaffinity(pid, sizeof set, &set));
    printf("policy %s\n", result(sched_getscheduler(pid)));
    errno = 0;
    printf("priority %d %d\n", getpriority(PRIO_PROCESS, pid), errno);
    struct rlimit limit;
    printf("limits %s\n", result(prlimit(pid, RLIMIT_NOFILE, 0, &limit)));
    printf("group %d session %d\n", getpgid(pid) == getpgrp(), getsid(pid) == getsid(0));
    void *head;
    size_t len;
    printf("robust list %s\n", result(syscall(SYS_get_robust_list, pid, &head, &len)));
    printf("kcmp files %s vm %s\n", result(syscall(SYS_kcmp, pid, pid, KCMP_FILES, 0, 0)),
           result(syscall(SYS_kcmp, pid, pid, KCMP_VM, 0, 0)));
    printf("kill 0 %s, to the thread %s, by its id alone %s\n", result(kill(pid, 0)), result(syscall(SYS_tgkill, pid, pid, 0)),
           result(syscall(SYS_tkill, pid, 0)));
    fflush(stdout);
}

int main(void)
{
    shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = without_first();
    look(pid);
    int status;
    printf("wait %d\n", waitpid(pid, &status, WNOHANG));
    printf("ids of the other: group %d session %d\n", getpgid(shared->tid) == getpgrp(), getsid(shared->tid) == getsid(0));
    printf("setpgid of the other %s\n", result(setpgid(shared->tid, 0)));
    printf("setpgid %s\n", result(setpgid(pid, 0)));
    printf("is its own %d\n", getpgid(pid) == pid);
    int fd = syscall(SYS_pidfd_open, pid, 0);
    printf("pidfd %d\n", fd >= 0);
    printf("signal %s\n", result(kill(pid, SIGUSR1)));
    for (int i = 0; i < 1000 && !shared->handled; i++) usleep(1000);
    printf("handled by the other %d\n", shared->handled);
    kill(pid, SIGSTOP);
    waitpid(pid, &status, WUNTRACED);
    printf("stopped %d\n", WIFSTOPPED(status));
    slurp(pid, "status");
    line("State:");
    kill(pid, SIGCONT);
    kill(pid, SIGTERM);
    siginfo_t info;
    waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
    puts("a zombie:");
    shared->tid = 0;
    look(pid);
    waitpid(pid, &status, 0);
    printf("ended by %d\n", WTERMSIG(status));
    return 0;
}
