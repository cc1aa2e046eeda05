//@ flags: -pthread
// How often threads waited, as /proc tells themselves and others.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "result.h"
#include "asleep.h"

static long told(pid_t pid, pid_t tid, const char *which)
{
    char path[64], line[256];
    long value = -1;
    snprintf(path, sizeof path, "/proc/%d/task/%d/status", pid, tid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, which, strlen(which)) == 0) sscanf(line + strlen(which), ":%ld", &value);
    }
    if (f) fclose(f);
    return value;
}
static long waited(pid_t pid, pid_t tid) { return told(pid, tid, "voluntary_ctxt_switches"); }

static int to[2], back[2];
static volatile pid_t other;
static void *answers(void *unused)
{
    char c;
    other = syscall(SYS_gettid);
    while (read(to[0], &c, 1) == 1) write(back[1], &c, 1);
    return unused;
}
int main(void)
{
    pthread_t thread;
    pid_t own = getpid();
    char c = 'x';
    printf("both are told: %d %d\n", waited(own, own) >= 0, told(own, own, "nonvoluntary_ctxt_switches") >= 0);
    if (pipe(to) || pipe(back)) return 1;
    pthread_create(&thread, 0, answers, 0);
    while (!other) usleep(100);
    wait_asleep(own, other);
    long before = waited(own, own), theirs = waited(own, other);
    for (int i = 0; i < 20; i++) {
        usleep(100);
        write(to[1], &c, 1);
        read(back[0], &c, 1);
        wait_asleep(own, other);
    }
    printf("it waited: %d, the other thread: %d\n", waited(own, own) - before >= 20, waited(own, other) - theirs >= 20);
    close(to[1]);
    pthread_join(thread, 0);

    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    wait_asleep(child, child);
    printf("a child that waits: %d\n", waited(child, child) >= 1);
    kill(child, 9);
    wait(0);
    return 0;
}
