// What directories and files of /proc say of themselves and of processes: links, sizes, ids, masks, memory that is
// gone, rights, clocks.
//@ flags: -pthread
#include "result.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_barrier_t started, over;

static int line_of(const char *path, const char *start, char *line, int size) {
    FILE *f = fopen(path, "r");
    int found = 0;
    while (f && !found && fgets(line, size, f)) found = !strncmp(line, start, strlen(start));
    if (f) fclose(f);
    line[strcspn(line, "\n")] = 0;
    return found;
}
static void *other_thread(void *arg) {
    char path[64], line[200];
    int tid = syscall(SYS_gettid);
    snprintf(path, sizeof path, "/proc/%d/status", tid);
    line_of(path, "Tgid:", line, sizeof line);
    printf("status by a thread's id: Tgid is the process %d", atoi(line + 5) == getpid());
    line_of(path, "Pid:", line, sizeof line);
    printf(", Pid the thread %d\n", atoi(line + 4) == tid);
    snprintf(path, sizeof path, "/proc/self/task/%d/io", tid);
    printf("io of a thread opens %d\n", open(path, O_RDONLY) >= 0);
    pthread_barrier_wait(&started);
    pthread_barrier_wait(&over);
    return arg;
}
static void *quiet_thread(void *arg) {
    pthread_barrier_wait(&started);
    pthread_barrier_wait(&over);
    return arg;
}
static void threads(void) {
    struct stat st;
    pthread_t t[3];
    stat("/proc/self/task", &st);
    printf("links of task with one thread: %d\n", (int)st.st_nlink);
    pthread_barrier_init(&started, NULL, 4);
    pthread_barrier_init(&over, NULL, 4);
    pthread_create(&t[0], NULL, other_thread, NULL);
    for (int i = 1; i < 3; i++) pthread_create(&t[i], NULL, quiet_thread, NULL);
    pthread_barrier_wait(&started);
    stat("/proc/self/task", &st);
    printf("with four: %d\n", (int)st.st_nlink);
    pthread_barrier_wait(&over);
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
    int before, fds[20];
    stat("/proc/self/fd", &st);
    before = st.st_size;
    for (int i = 0; i < 20; i++) fds[i] = dup(0);
    stat("/proc/self/fd", &st);
    printf("size of fd grows by %d\n", (int)st.st_size - before);
    stat("/proc/self/fdinfo", &st);
    printf("size of fdinfo %d\n", (int)st.st_size);
    for (int i = 0; i < 20; i++) close(fds[i]);
    // Other processes of the machine may end meanwhile.
    int grow = 0;
    for (int tries = 0; tries < 100 && !grow; tries++) {
        int links = (stat("/proc", &st), st.st_nlink);
        pid_t pid = fork();
        if (pid == 0) for (;;) pause();
        stat("/proc", &st);
        grow = (int)st.st_nlink > links;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    printf("links of /proc grow with a process %d\n", grow);
}
static void masks(void) {
    char line[200];
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &all)) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    line_of("/proc/self/status", "Cpus_allowed_list:", line, sizeof line);
    printf("allowed processors: the one that was asked for %d\n", atoi(line + 18) == cpu && !strchr(line, ',') && !strchr(line, '-'));
    sched_setaffinity(0, sizeof all, &all);
    int fd = open("/proc/self/coredump_filter", O_RDWR);
    char text[16] = {0};
    printf("coredump_filter %s", result(read(fd, text, 15)));
    printf(": %s", text);
    printf("set %s", result(write(fd, "0x1f\n", 5)));
    printf(", bad %s", result(write(fd, "x", 1)));
    lseek(fd, 0, SEEK_SET);
    printf(", read %s", result(read(fd, text, 15)));
    printf(": %s", text);
    close(fd);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        line_of("/proc/self/coredump_filter", "", line, sizeof line);
        printf("in a child: %s\n", line);
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    personality(ADDR_NO_RANDOMIZE);
    line_of("/proc/self/personality", "", line, sizeof line);
    printf("personality %s\n", line);
    personality(0);
}
static int kept[4];
static const char *names[] = {"environ", "maps", "mem", "auxv"};
static void show_kept(const char *when) {
    char text[64];
    printf("%s:", when);
    for (int i = 0; i < 4; i++) {
        long n = names[i][1] == 'e' && names[i][0] == 'm' ? pread(kept[i], text, 8, (long)text & ~7L) : pread(kept[i], text, sizeof text, 0);
        printf(" %s %s", names[i], n > 0 ? "something" : n == 0 ? "nothing" : strerrorname_np(errno));
    }
    printf("\n");
}
static void rights(void) {
    char path[64];
    pid_t pid = fork();
    if (pid == 0) for (;;) pause();
    fflush(stdout);
    pid_t asker = fork();
    if (asker == 0) {
        setregid(99, 99);
        setreuid(99, 99);
        static const char *files[] = {"maps", "smaps", "smaps_rollup", "environ", "auxv", "io", "status", "stat", "cmdline"};
        for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
            snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
            int fd = open(path, O_RDONLY);
            printf("%s of another user's: %s\n", files[i], fd < 0 ? strerrorname_np(errno) : read(fd, path, 8) < 0 ? strerrorname_np(errno) : "read");
        }
        fflush(stdout);
        _exit(0);
    }
    waitpid(asker, NULL, 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
static void clocks(void) {
    struct sysinfo info;
    struct timespec boot, real;
    char line[600];
    double up;
    sysinfo(&info);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    clock_gettime(CLOCK_REALTIME, &real);
    printf("sysinfo and CLOCK_BOOTTIME agree %d\n", labs(info.uptime - boot.tv_sec) <= 2);
    line_of("/proc/uptime", "", line, sizeof line);
    sscanf(line, "%lf", &up);
    printf("/proc/uptime agrees %d\n", labs((long)up - boot.tv_sec) <= 2);
    line_of("/proc/stat", "btime", line, sizeof line);
    printf("btime agrees %d\n", labs(atol(line + 6) + boot.tv_sec - real.tv_sec) <= 2);
    line_of("/proc/self/stat", "", line, sizeof line);
    long long start;
    sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lld", &start);
    printf("this process started just now %d\n", labs(start / sysconf(_SC_CLK_TCK) - boot.tv_sec) <= 30);
}
static void ends(void) {
    int fd = open("/proc/self/maps", O_RDONLY);
    printf("SEEK_END of maps %s", result(lseek(fd, 0, SEEK_END)));
    printf(", SEEK_CUR %s", result(lseek(fd, 5, SEEK_CUR)));
    printf(", SEEK_SET %s\n", result(lseek(fd, 3, SEEK_SET)));
    close(fd);
    fd = open("/proc/self/status", O_RDONLY);
    printf("SEEK_END of status %s\n", result(lseek(fd, 0, SEEK_END)));
    close(fd);
}
int main(int argc, char **argv) {
    if (argc > 1) {
        for (int i = 0; i < 4; i++) kept[i] = atoi(argv[i + 1]);
        show_kept("after exec");
        return 0;
    }
    threads();
    masks();
    rights();
    clocks();
    ends();
    char numbers[4][8], *args[6] = {argv[0]};
    for (int i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/%s", names[i]);
        kept[i] = open(path, O_RDONLY);
        snprintf(numbers[i], 8, "%d", kept[i]);
        args[i + 1] = numbers[i];
    }
    show_kept("before exec");
    fflush(stdout);
    execv("/proc/self/exe", args);
    return 1;
}
