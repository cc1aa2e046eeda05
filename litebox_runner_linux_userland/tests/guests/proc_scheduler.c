// /proc/PID/{syscall,stack,sched,autogroup,numa_maps}: of oneself, of a sleeper, of one that runs, of one that has
// ended, and who may read them.
//@ host: /proc/self/autogroup
#include "result.h"
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char text[65536];
static long slurp(pid_t pid, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    *text = 0;
    int fd = open(path, O_RDONLY);
    if (fd < 0) return -1;
    long n = read(fd, text, sizeof text - 1);
    int error = errno;
    close(fd);
    errno = error;
    if (n >= 0) text[n] = 0;
    return n;
}
static void modes(void) {
    static const char *const names[] = {"syscall", "stack", "sched", "autogroup", "numa_maps"};
    for (int i = 0; i < 5; i++) {
        char path[64];
        struct stat st;
        snprintf(path, sizeof path, "/proc/self/%s", names[i]);
        printf("%s %s", names[i], result(stat(path, &st)));
        printf(" %o", st.st_mode);
        snprintf(path, sizeof path, "/proc/self/task/%d/%s", getpid(), names[i]);
        printf(" of a thread %s", result(stat(path, &st)));
        puts("");
    }
    int fd = open("/proc/self/sched", O_WRONLY);
    printf("sched set back %s\n", result(write(fd, "0", 1)));
    close(fd);
}
// The fields of /proc/PID/syscall.
static int fields(unsigned long long *field) {
    int count = 0;
    for (char *at = text, *end; count < 9; at = end, count++) {
        field[count] = strtoull(at, &end, 0);
        if (end == at) break;
    }
    return count;
}
static void own_call(void) {
    unsigned long long field[9] = {0}, here;
    int fd = open("/proc/self/syscall", O_RDONLY);
    long n = syscall(SYS_pread64, fd, text, 1000, 0L);
    text[n > 0 ? n : 0] = 0;
    int count = fields(field);
    printf("own: %d fields,", count);
    printf(" number %d, arguments %d %d %d %d,", field[0] == SYS_pread64, field[1] == (unsigned)fd,
           field[2] == (uintptr_t)text, field[3] == 1000, field[4] == 0);
    printf(" stack %d, instruction %d\n", field[7] - (uintptr_t)&here + 65536 < 131072, field[8] != 0);
    close(fd);
}
static char state(pid_t pid) {
    slurp(pid, "stat");
    char *end = strrchr(text, ')');
    return end ? end[2] : '?';
}
static void of_others(void) {
    int ends[2];
    if (pipe(ends)) return;
    char *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fflush(stdout);
    pid_t reader = fork();
    if (reader == 0) _exit(syscall(SYS_read, ends[0], place, 77) != 1);
    while (state(reader) != 'S') usleep(1000);
    unsigned long long field[9] = {0};
    printf("a sleeper: %d", slurp(reader, "syscall") > 0);
    int count = fields(field);
    printf(" %d fields, number %d, arguments %d %d %d\n", count, field[0] == SYS_read, field[1] == (unsigned)ends[0],
           field[2] == (uintptr_t)place, field[3] == 77);
    if (write(ends[1], "x", 1) != 1) return;
    siginfo_t info;
    waitid(P_PID, reader, &info, WEXITED | WNOWAIT);
    printf("ended: %s %s", result(slurp(reader, "syscall")), text);
    printf("ended: %s", result(slurp(reader, "numa_maps") > 0)); say(slurp(reader, "autogroup") > 0);
    say(slurp(reader, "sched") > 0); puts("");
    waitpid(reader, NULL, 0);
    fflush(stdout);
    pid_t runner = fork();
    if (runner == 0) for (volatile int i = 0;; i++) {}
    while (state(runner) != 'R' || slurp(runner, "syscall") < 1 || strcmp(text, "running\n")) usleep(1000);
    printf("one that runs: %s", text);
    kill(runner, SIGKILL);
    waitpid(runner, NULL, 0);
}
static void sched(void) {
    char head[64];
    prctl(PR_SET_NAME, "a name");
    slurp(getpid(), "sched");
    snprintf(head, sizeof head, "a name (%d, #threads: 1)\n-----", getpid());
    printf("sched: %d", !strncmp(text, head, strlen(head)));
    static const char *const wanted[] = {"se.exec_start ", "se.vruntime ", "se.sum_exec_runtime ", "nr_switches ", "se.load.weight ", "policy ", "prio "};
    for (int i = 0; i < 7; i++) {
        char *line = strstr(text, wanted[i]);
        printf(" %s%d", wanted[i], line && line[45] == ':');
        if (line && i > 3) printf(" (%lld)", atoll(line + 46));
    }
    puts("");
    if (nice(5) != 5) puts("not nicer");
    slurp(getpid(), "sched");
    for (int i = 4; i < 7; i++) {
        char *line = strstr(text, wanted[i]);
        printf("%s%lld ", wanted[i], line ? atoll(line + 46) : -1);
    }
    puts("");
}
static long set_autogroup(const char *value) {
    int fd = open("/proc/self/autogroup", O_WRONLY);
    long n = write(fd, value, strlen(value));
    int error = errno;
    close(fd);
    errno = error;
    return n;
}
// Who may not administrate the machine writes once in a while only: one value is written here.
static void autogroup(void) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        slurp(getpid(), "autogroup");
        if (!*text) strcpy(text, "none");
        printf("autogroup: %d %s", !strncmp(text, "/autogroup-", 11), strchr(text, ' '));
        printf("wrong: %s", result(set_autogroup("20"))); say(set_autogroup("x")); say(set_autogroup("-21")); puts("");
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}
static void numa_maps(void) {
    slurp(getpid(), "numa_maps");
    printf("numa_maps: stack %d,", strstr(text, " default stack anon=") != NULL);
    printf(" its own program %d,", strstr(text, " default file=/") != NULL);
    printf(" one node %d, pages of 4 KiB %d\n", strstr(text, " N0=") != NULL, strstr(text, " kernelpagesize_kB=4\n") != NULL);
}
static void of_another_user(void) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (setgid(1001) || setuid(1001) || prctl(PR_SET_DUMPABLE, 1)) _exit(1);
        static const char *const names[] = {"syscall", "stack", "sched", "autogroup", "numa_maps"};
        for (int i = 0; i < 5; i++) {
            long n = slurp(getppid(), names[i]);
            printf("another's %s: %s,", names[i], n > 0 ? "read" : result(n));
            n = slurp(getpid(), names[i]);
            printf(" own: %s\n", n > 0 ? "read" : result(n));
        }
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    printf("%d\n", status);
}
// A session that began before the machine grouped sessions has no group: /proc/PID/autogroup of its members is empty.
static int in_a_new_session(void) {
    pid_t pid = fork();
    if (pid != 0) {
        int status;
        return waitpid(pid, &status, 0) != pid || status;
    }
    setsid();
    modes();
    own_call();
    of_others();
    sched();
    autogroup();
    numa_maps();
    if (geteuid() == 0) of_another_user();
    fflush(stdout);
    _exit(0);
}
int main(void) { return in_a_new_session(); }
