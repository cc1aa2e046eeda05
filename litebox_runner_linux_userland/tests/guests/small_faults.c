//@ variants: static
// Small things that a program can hold against a kernel: memory that moves, locks that nobody waits for, errors of rare
// calls.
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L

static const char *result(long value) {
    return value < 0 ? strerrorname_np(errno) : "ok";
}
static const char *mapped(void *at) {
    return at == MAP_FAILED ? strerrorname_np(errno) : "ok";
}
static int holds(const char *at, long len, int value) {
    for (long i = 0; i < len; i += 512)
        if (at[i] != value)
            return 0;
    return 1;
}

// What was moved keeps a trace of where it was; what is added to it has none, and both move on together.
static void memory_that_moves(void) {
    char *room = mmap(0, 512 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(room, 512 * PAGE);
    char *a = mmap(room, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memset(a, 1, 4 * PAGE);
    char *b = mremap(a, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 64 * PAGE);
    printf("move: %s\n", mapped(b));
    char *c = mremap(b, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    memset(c + 4 * PAGE, 2, 4 * PAGE);
    printf("grow: %s%s\n", mapped(c), c == b ? " in place" : "");
    char *d = mremap(c, 8 * PAGE, 16 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 128 * PAGE);
    printf("move and grow: %s\n", mapped(d));
    if (d == MAP_FAILED)
        return;
    printf("content %d %d %d\n", holds(d, 4 * PAGE, 1), holds(d + 4 * PAGE, 4 * PAGE, 2), holds(d + 8 * PAGE, 8 * PAGE, 0));
    printf("gone %s\n", result(msync(c, PAGE, MS_ASYNC)));
    char *kept = mremap(d, 16 * PAGE, 16 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP | MREMAP_FIXED, room + 400 * PAGE);
    printf("kept behind: %s", mapped(kept));
    if (kept != MAP_FAILED)
        printf(" %d %d %d", holds(kept, 4 * PAGE, 1), holds(kept + 4 * PAGE, 4 * PAGE, 2), holds(d, 8 * PAGE, 0));
    // A buffer that grows on and on.
    long len = 64 * PAGE;
    char *buffer = mmap(0, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(buffer, 3, len);
    int failed = 0;
    for (int i = 0; i < 60 && !failed; i++) {
        char *next = mremap(buffer, len, len + 16 * PAGE, MREMAP_MAYMOVE);
        failed = next == MAP_FAILED || !holds(next, len, 3);
        if (failed)
            break;
        buffer = next, len += 16 * PAGE;
        memset(buffer, 3, len);
        if (i % 3 == 2)
            mmap(buffer + len, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    }
    printf("\nenlarging failed %d\n", failed);
}

// Two processes that take and give two locks in the same order never wait for each other in a circle.
static void locks_in_order(void) {
    int fd = open("locks", O_RDWR | O_CREAT, 0600);
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            int deadlocks = 0;
            for (int round = 0; round < 3000; round++) {
                struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
                for (lock.l_start = 0; lock.l_start < 2; lock.l_start++)
                    if (fcntl(fd, F_SETLKW, &lock))
                        deadlocks += errno == EDEADLK;
                lock.l_type = F_UNLCK, lock.l_start = round % 2;
                fcntl(fd, F_SETLK, &lock);
                lock.l_start = !lock.l_start;
                fcntl(fd, F_SETLK, &lock);
            }
            _exit(deadlocks > 0);
        }
    }
    int wrong = 0;
    for (int i = 0; i < 3; i++) {
        int status;
        waitpid(children[i], &status, 0);
        wrong += status != 0;
    }
    printf("deadlocks where there are none %d\n", wrong);
}

static void rare_calls(void) {
    int name = open("/etc/passwd", O_PATH);
    printf("map a name: %s", mapped(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, name, 0)));
    printf(" %s\n", mapped(mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, name, 0)));
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    printf("undo lists %ld", syscall(SYS_kcmp, getpid(), child, KCMP_SYSVSEM, 0, 0));
    int set = semget(IPC_PRIVATE, 1, 0600);
    struct sembuf up = {0, 1, SEM_UNDO};
    semop(set, &up, 1);
    printf(" own %ld other %d\n", syscall(SYS_kcmp, getpid(), getpid(), KCMP_SYSVSEM, 0, 0), syscall(SYS_kcmp, getpid(), child, KCMP_SYSVSEM, 0, 0) > 0);
    semctl(set, 0, IPC_RMID);
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
    int told = open("/proc/sys/fs/dir-notify-enable", O_RDONLY);
    char byte = 0;
    int len = read(told, &byte, 1);
    printf("dir-notify-enable %d %c\n", len, byte);
    if (getuid() == 0 && setuid(4321))
        exit(1);
    printf("restart: %s\n", result(syscall(SYS_reboot, 1, 2, 3, 0))); // for root the numbers are wrong first; nobody tries the right ones
}

int main(void) {
    printf("restart with wrong numbers: %s\n", getuid() ? "EINVAL" : result(syscall(SYS_reboot, 1, 2, 3, 0)));
    memory_that_moves();
    locks_in_order();
    rare_calls();
    return 0;
}
