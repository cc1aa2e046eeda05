//@ helper
// Settings under /proc/sys that the superuser of a sandbox may change, and that they are obeyed.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

static void show(const char *name)
{
    char path[128], text[256] = "";
    snprintf(path, sizeof path, "/proc/sys/%s", name);
    int fd = open(path, O_RDONLY);
    read(fd, text, sizeof text - 1);
    close(fd);
    printf("%s: %s", name, text);
}
static void set(const char *name, const char *value)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/sys/%s", name);
    int fd = open(path, O_WRONLY);
    if (fd < 0) { printf("%s: open %s\n", name, strerrorname_np(errno)); return; }
    long n = write(fd, value, strlen(value));
    if (n != (long)strlen(value)) printf("%s = %s: %s\n", name, value, strerrorname_np(errno));
    close(fd);
}
static int areas(void)
{
    int n = 0;
    // Every second page has another protection, so that each is an area.
    while (n < 1000 && mmap(0, 4096, n % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) n++;
    return n;
}
static int in_child(int (*what)(void))
{
    int status;
    fflush(stdout);
    pid_t p = fork();
    if (p == 0) _exit(what());
    waitpid(p, &status, 0);
    return WEXITSTATUS(status);
}
static int few_areas(void)
{
    int n = areas();
    return n > 20 && n < 150 && errno == ENOMEM;
}
static int as_somebody(void)
{
    setresuid(1000, 1000, 1000);
    return open("/proc/sys/vm/max_map_count", O_WRONLY) < 0 && errno == EACCES;
}
static int wraps(void)
{
    int small = 1;
    for (int i = 0; i < 400; i++) {
        pid_t p = fork();
        if (p == 0) _exit(0);
        small &= p > 0 && p < 320;
        waitpid(p, 0, 0);
    }
    return small;
}
static int runs_out(void)
{
    int n = 0;
    pid_t p[64];
    while (n < 64 && (p[n] = fork()) >= 0) {
        if (p[n] == 0) for (;;) pause();
        n++;
    }
    int error = errno;
    for (int i = 0; i < n; i++) kill(p[i], SIGKILL), waitpid(p[i], 0, 0);
    return n > 5 && n < 64 && error == EAGAIN;
}

int main(void)
{
    show("vm/max_map_count");
    set("vm/max_map_count", "150\n");
    show("vm/max_map_count");
    printf("few areas: %d\n", in_child(few_areas));
    set("vm/max_map_count", "-1");
    set("vm/max_map_count", "some");
    set("vm/max_map_count", "65530");
    show("kernel/core_pattern");
    set("kernel/core_pattern", "/tmp/core.%p\nmore\n");
    show("kernel/core_pattern");
    show("kernel/pid_max");
    set("kernel/pid_max", "300");
    set("kernel/pid_max", "4194305");
    set("kernel/pid_max", "320");
    show("kernel/pid_max");
    printf("ids wrap: %d\n", in_child(wraps));
    printf("ids run out: %d\n", in_child(runs_out));
    printf("somebody else: %d\n", in_child(as_somebody));
    show("kernel/shm_next_id");
    set("kernel/shm_next_id", "98309");
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    printf("segment %d\n", id);
    show("kernel/shm_next_id");
    set("kernel/shm_next_id", "98309");
    int another = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    printf("taken: segment %d\n", another);
    shmctl(id, IPC_RMID, 0);
    shmctl(another, IPC_RMID, 0);
    set("kernel/sem_next_id", "65543");
    printf("set %d\n", id = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600));
    semctl(id, 0, IPC_RMID);
    set("kernel/msg_next_id", "32777");
    printf("queue %d\n", id = msgget(IPC_PRIVATE, IPC_CREAT | 0600));
    msgctl(id, IPC_RMID, 0);
    set("kernel/msg_next_id", "-5");
    return 0;
}
