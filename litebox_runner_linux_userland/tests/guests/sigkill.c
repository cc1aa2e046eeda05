//@ 64-bit only: as slow as the other, and nothing in it that depends on the width
//@ variants: static
//@ flags: -pthread
//@ timeout: 120
// Processes are killed wherever they happen to be; nothing is left of them, and the others do not notice.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 6, KILLS = 2000 };

static unsigned state = 1;
static unsigned dice(unsigned n)
{
    state = state * 1103515245 + 12345;
    return (state >> 16) % n;
}

static void *touch(void *arg)
{
    for (int i = 0; i < 50; i++) sched_yield();
    return arg;
}

static void work(int ours)
{
    char buf[4096] = {0};
    for (;;) {
        switch (dice(9)) {
        case 0: {
            pid_t p = fork();
            if (p == 0) { usleep(dice(500)); _exit(0); }
            if (dice(2)) waitpid(p, 0, 0);
            break;
        }
        case 1: {
            int p[2];
            if (pipe(p) == 0) {
                write(p[1], buf, sizeof buf);
                if (fork() == 0) { close(p[1]); while (read(p[0], buf, 512) == 512) ; _exit(0); }
                close(p[0]);
                close(p[1]);
            }
            break;
        }
        case 2: {
            char *m = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
            memset(m, 1, 1 << 18);
            if (dice(2)) munmap(m, 1 << 20);
            else mprotect(m, 4096, PROT_READ);
            break;
        }
        case 3: {
            char name[64];
            snprintf(name, sizeof name, "/tmp/kills.%d", getpid());
            int fd = open(name, O_CREAT | O_RDWR, 0600);
            unlink(name);
            write(fd, buf, sizeof buf);
            close(fd);
            break;
        }
        case 4: {
            pthread_t t;
            if (pthread_create(&t, 0, touch, 0) == 0) pthread_join(t, 0);
            break;
        }
        case 5: {
            pid_t p = vfork();
            if (p == 0) { execl("/bin/true", "true", (char *)0); _exit(1); }
            waitpid(p, 0, 0);
            break;
        }
        case 6:
            flock(ours, LOCK_EX);
            flock(ours, LOCK_UN);
            break;
        case 7: {
            struct timespec t = {0, 1000 * dice(100)};
            nanosleep(&t, 0);
            break;
        }
        default:
            for (volatile int i = 0; i < 20000; i++) ;
        }
        while (waitpid(-1, 0, WNOHANG) > 0) ;
    }
}

static long room(void)
{
    struct statfs fs;
    statfs("/tmp", &fs);
    return fs.f_type == 0x01021994 ? (long)fs.f_bfree : 0;
}

int main(void)
{
    // Our descendants end with us, and orphans come to us.
    int lock = open("/tmp/kills.lock", O_CREAT | O_RDWR, 0600);
    pid_t p = fork();
    if (p == 0) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        long before = room();
        pid_t workers[WORKERS];
        memset(workers, 0, sizeof workers);
        int killed = 0, wrong = 0;
        state = time(0) ^ getpid();
        for (int n = 0; n < KILLS; n++) {
            unsigned i = dice(WORKERS);
            if (workers[i]) {
                int st;
                if (kill(workers[i], SIGKILL) != 0) wrong++;
                if (waitpid(workers[i], &st, 0) != workers[i] || !WIFSIGNALED(st) || WTERMSIG(st) != SIGKILL) wrong++;
                killed++;
            }
            workers[i] = fork();
            if (workers[i] == 0) {
                state = n * 7919 + 1;
                int ours = open("/tmp/kills.lock", O_RDWR);
                work(ours);
            }
            usleep(dice(3000));
            while (waitpid(-1, 0, WNOHANG) > 0) ;
        }
        for (int i = 0; i < WORKERS; i++) if (workers[i]) kill(workers[i], SIGKILL);
        // Orphans of the killed end by themselves.
        while (wait(0) > 0 || errno == EINTR) ;
        printf("killed enough %d wrong %d\n", killed > KILLS / 2, wrong);
        printf("lock free %d\n", flock(lock, LOCK_EX | LOCK_NB));
        long left = before - room();
        printf("pages left behind %d\n", left > 16);
        fflush(stdout);
        _exit(0);
    }
    int st;
    waitpid(p, &st, 0);
    printf("ended %d\n", WIFEXITED(st) && WEXITSTATUS(st) == 0);
    int pipes[2];
    char c = 0;
    pipe(pipes);
    if (fork() == 0) { write(pipes[1], "x", 1); _exit(0); }
    read(pipes[0], &c, 1);
    printf("all well %c\n", c);
    unlink("/tmp/kills.lock");
    return 0;
}
