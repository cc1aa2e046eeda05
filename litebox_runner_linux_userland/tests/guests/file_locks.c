//@ variants: static dynamic
//@ flags: -pthread
//@ timeout: 30
// Record locks of tables and of descriptions, flock, who holds them, who waits, and what ends them.
#include "asleep.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "result.h"

static char name[] = "/tmp/locks-XXXXXX";
static pid_t self;

static int set_at(int fd, int command, int type, int whence, off_t start, off_t len) {
    struct flock l = {.l_type = type, .l_whence = whence, .l_start = start, .l_len = len};
    return fcntl(fd, command, &l);
}
static int set(int fd, int type, off_t start, off_t len) { return set_at(fd, F_SETLK, type, SEEK_SET, start, len); }

// What stands in the way, as text.
static const char *test_with(int fd, int command, int type, off_t start, off_t len) {
    static char text[4][80];
    static int next;
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    char *t = text[next++ % 4];
    if (fcntl(fd, command, &l)) return result(-1);
    if (l.l_type == F_UNLCK) return "free";
    const char *who = l.l_pid == self ? "first" : l.l_pid == -1 ? "description" : "other";
    snprintf(t, 80, "%s %d+%d by %s", l.l_type == F_WRLCK ? "write" : "read", (int)l.l_start, (int)l.l_len, who);
    return t;
}
static const char *test(int fd, int type, off_t start, off_t len) { return test_with(fd, F_GETLK, type, start, len); }

static int wait_for(pid_t child) {
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

// Runs `what` in another process.
static void elsewhere(void (*what)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        what();
        fflush(stdout);
        _exit(0);
    }
    int status = wait_for(child);
    if (status) printf("ended with %x\n", status);
}

static void show(void) {
    int fd = open(name, O_RDWR);
    printf("seen: %s, %s, %s\n", test(fd, F_WRLCK, 0, 0), test(fd, F_RDLCK, 0, 0), test(fd, F_WRLCK, 50, 10));
    close(fd);
}

static void arguments(void) {
    int fd = open(name, O_RDWR), read_only = open(name, O_RDONLY), write_only = open(name, O_WRONLY), path = open(name, O_PATH);
    printf("access: %s %s %s", result(set(read_only, F_WRLCK, 0, 1)), result(set(write_only, F_RDLCK, 0, 1)), result(set(path, F_RDLCK, 0, 1)));
    printf(" %s %s\n", result(set(read_only, F_RDLCK, 0, 1)), result(set(999, F_RDLCK, 0, 1)));
    printf("type: %s %s whence: %s\n", result(set(fd, 7, 0, 1)), test(fd, F_UNLCK, 0, 1), result(set_at(fd, F_SETLK, F_RDLCK, 9, 0, 1)));
    printf("range: %s %s %s", result(set(fd, F_WRLCK, -1, 1)), result(set(fd, F_WRLCK, 5, -6)), result(set(fd, F_WRLCK, 5, -5)));
    printf(" %s\n", result(set(fd, F_WRLCK, 1, (off_t)0x7fffffffffffffff)));
    printf("bad address: %s %s", result(fcntl(fd, F_SETLK, 8)), result(fcntl(fd, F_GETLK, 8)));
    printf(" %s\n", result(fcntl(fd, F_OFD_SETLK, 8)));
    ftruncate(fd, 100);
    lseek(fd, 40, SEEK_SET);
    set(fd, F_UNLCK, 0, 0);
    printf("from here and from the end: %s %s\n", result(set_at(fd, F_SETLK, F_WRLCK, SEEK_CUR, -10, 5)), result(set_at(fd, F_SETLK, F_RDLCK, SEEK_END, -5, 0)));
    elsewhere(show);
    struct flock l = {.l_type = F_WRLCK, .l_pid = 1};
    printf("OFD with a pid: %s %s\n", result(fcntl(fd, F_OFD_SETLK, &l)), result(fcntl(fd, F_OFD_GETLK, &l)));
    close(write_only), close(path);
    printf("closed by another name of the file\n");
    elsewhere(show);
    close(fd), close(read_only);
}

static void ranges(void) {
    int fd = open(name, O_RDWR);
    set(fd, F_WRLCK, 0, 100);
    printf("own: %s\n", test(fd, F_WRLCK, 0, 0));
    elsewhere(show);
    set(fd, F_UNLCK, 40, 30);
    elsewhere(show);
    set(fd, F_RDLCK, 10, 5);
    elsewhere(show);
    set(fd, F_WRLCK, 5, 20);
    elsewhere(show);
    set(fd, F_WRLCK, 200, 0);
    set(fd, F_UNLCK, 0, 100);
    elsewhere(show);
    close(dup(fd));
    printf("a copy was closed\n");
    elsewhere(show);
    close(fd);
}

static void try_both(void) {
    int fd = open(name, O_RDWR);
    printf("another: write %s read %s beside %s\n", result(set(fd, F_WRLCK, 0, 10)), result(set(fd, F_RDLCK, 0, 10)), result(set(fd, F_WRLCK, 500, 10)));
    printf("flock %s %s\n", result(flock(fd, LOCK_EX | LOCK_NB)), result(flock(fd, LOCK_SH | LOCK_NB)));
}

static void conflicts(void) {
    int fd = open(name, O_RDWR);
    set(fd, F_RDLCK, 0, 100);
    flock(fd, LOCK_SH);
    elsewhere(try_both);
    set(fd, F_WRLCK, 0, 100);
    flock(fd, LOCK_EX);
    elsewhere(try_both);
    // A child has the description and no record locks.
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        printf("inherited: record %s flock %s\n", result(set(fd, F_WRLCK, 0, 1)), result(flock(fd, LOCK_SH | LOCK_NB)));
        fflush(stdout);
        _exit(0);
    }
    wait_for(child);
    elsewhere(try_both);
    close(fd);
}

static void descriptions(void) {
    int a = open(name, O_RDWR), b = open(name, O_RDWR), a2 = dup(a);
    printf("OFD: %s, again %s, by a copy %s, by another %s", result(set_at(a, F_OFD_SETLK, F_WRLCK, SEEK_SET, 0, 50)),
           result(set_at(a, F_OFD_SETLK, F_RDLCK, SEEK_SET, 0, 20)), result(set_at(a2, F_OFD_SETLK, F_WRLCK, SEEK_SET, 0, 20)),
           result(set_at(b, F_OFD_SETLK, F_RDLCK, SEEK_SET, 0, 50)));
    printf(" by the process %s\n", result(set(b, F_RDLCK, 0, 50)));
    printf("found: %s, %s, %s\n", test(a, F_WRLCK, 0, 0), test_with(b, F_OFD_GETLK, F_RDLCK, 0, 0), test_with(a, F_OFD_GETLK, F_WRLCK, 0, 0));
    close(a);
    printf("one of two closed: %s\n", test_with(b, F_OFD_GETLK, F_WRLCK, 0, 0));
    close(a2);
    printf("both: %s\n", test_with(b, F_OFD_GETLK, F_WRLCK, 0, 0));
    set(b, F_WRLCK, 0, 10);
    a = open(name, O_RDWR);
    printf("against the process's: %s\n", result(set_at(a, F_OFD_SETLK, F_RDLCK, SEEK_SET, 0, 10)));
    close(a), close(b);
}

static void on_alarm(int s) { (void)s; }
static volatile int waiting;
static void *waiter(void *arg) {
    int fd = open(name, O_RDWR);
    waiting = 1;
    *(int *)arg = set_at(fd, F_OFD_SETLKW, F_WRLCK, SEEK_SET, 0, 10);
    close(fd);
    return NULL;
}

static void waits(void) {
    int fd = open(name, O_RDWR), to[2];
    pipe(to);
    // Interrupted.
    set(fd, F_WRLCK, 0, 10);
    flock(fd, LOCK_EX);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        int own = open(name, O_RDWR);
        struct sigaction act = {.sa_handler = on_alarm};
        sigaction(SIGALRM, &act, NULL);
        ualarm(50000, 0);
        printf("record: %s", result(set_at(own, F_SETLKW, F_WRLCK, SEEK_SET, 0, 10)));
        ualarm(50000, 0);
        printf(" flock: %s", result(flock(own, LOCK_EX)));
        ualarm(50000, 0);
        printf(" description: %s\n", result(set_at(own, F_OFD_SETLKW, F_RDLCK, SEEK_SET, 0, 10)));
        fflush(stdout);
        write(to[1], "!", 1);
        printf("at last: %s %s\n", result(set_at(own, F_SETLKW, F_RDLCK, SEEK_SET, 0, 10)), result(flock(own, LOCK_SH)));
        fflush(stdout);
        _exit(0);
    }
    char c;
    read(to[0], &c, 1);
    wait_asleep(child, child);
    set(fd, F_UNLCK, 0, 0);
    wait_asleep(child, child);
    flock(fd, LOCK_UN);
    wait_for(child);
    // What a process that ends held is free.
    fflush(stdout);
    child = fork();
    if (!child) {
        int own = open(name, O_RDWR);
        set(own, F_WRLCK, 0, 10);
        flock(own, LOCK_EX);
        write(to[1], "!", 1);
        pause();
    }
    read(to[0], &c, 1);
    printf("held: %s %s\n", result(set(fd, F_WRLCK, 0, 10)), result(flock(fd, LOCK_SH | LOCK_NB)));
    kill(child, SIGKILL);
    printf("killed: %s %s\n", result(set_at(fd, F_SETLKW, F_WRLCK, SEEK_SET, 0, 10)), result(flock(fd, LOCK_SH)));
    wait_for(child);
    // A thread waits for a description of its own process.
    set(fd, F_UNLCK, 0, 0);
    set_at(fd, F_OFD_SETLK, F_WRLCK, SEEK_SET, 0, 10);
    int outcome = 1;
    pthread_t thread;
    pthread_create(&thread, NULL, waiter, &outcome);
    while (!waiting) usleep(1000);
    wait_others_asleep(1);
    printf("a thread waits: %d\n", outcome);
    set_at(fd, F_OFD_SETLK, F_UNLCK, SEEK_SET, 0, 10);
    pthread_join(thread, NULL);
    printf("no longer: %d\n", outcome);
    close(fd);
}

// Three processes that wait for each other in a circle: one is told.
static void deadlock(void) {
    int ready[2], go[2], told[2];
    pipe(ready), pipe(go), pipe(told);
    pid_t child[3];
    fflush(stdout);
    for (int i = 0; i < 3; i++) {
        if ((child[i] = fork())) continue;
        alarm(10);
        int fd = open(name, O_RDWR);
        set(fd, F_WRLCK, i * 10, 10);
        char c;
        write(ready[1], "!", 1);
        read(go[0], &c, 1);
        usleep(i * 30000);
        int r = set_at(fd, F_SETLKW, F_WRLCK, SEEK_SET, (i + 1) % 3 * 10, 10);
        dprintf(told[1], "%s\n", r ? result(r) : "got it");
        _exit(0);
    }
    char c, text[200] = "";
    for (int i = 0; i < 3; i++) read(ready[0], &c, 1);
    write(go[1], "!!!", 3);
    int failed = 0;
    for (int i = 0; i < 3; i++) failed |= wait_for(child[i]);
    read(told[0], text, sizeof text - 1);
    printf("in a circle: %d\n%s", failed, text);
}

static int fd_of_tables;
static void *with_own_table(void *arg) {
    (void)arg;
    int fd = fd_of_tables;
    printf("same table: %s %s\n", result(set(fd, F_WRLCK, 0, 5)), test(fd, F_WRLCK, 0, 0));
    printf("own table: %s", result(unshare(CLONE_FILES)));
    printf(" %s %s", test(fd, F_WRLCK, 0, 0), result(set(fd, F_WRLCK, 0, 5)));
    printf(" beside %s\n", result(set(fd, F_WRLCK, 100, 10)));
    close(fd);
    return NULL;
}
static void *in_circle(void *arg) {
    unshare(CLONE_FILES);
    set(fd_of_tables, F_WRLCK, 300, 10);
    waiting = 2;
    *(int *)arg = set_at(fd_of_tables, F_SETLKW, F_WRLCK, SEEK_SET, 0, 10);
    set(fd_of_tables, F_UNLCK, 0, 0);
    return NULL;
}
static char stack[1 << 16];
static int shares_table(void *arg) {
    (void)arg;
    set(fd_of_tables, F_WRLCK, 20, 10);
    return 0;
}
static int executes(void *arg) {
    (void)arg;
    char number[16];
    snprintf(number, sizeof number, "%d", fd_of_tables);
    execl("/proc/self/exe", "locks", name, number, NULL);
    return 1;
}

static void tables(void) {
    int fd = fd_of_tables = open(name, O_RDWR);
    set(fd, F_WRLCK, 0, 10);
    pthread_t thread;
    pthread_create(&thread, NULL, with_own_table, NULL);
    pthread_join(thread, NULL);
    printf("after it: %s\n", test(fd, F_WRLCK, 100, 0));
    elsewhere(show);
    // Two threads with tables of their own wait for each other.
    int outcome = 1;
    waiting = 0;
    pthread_create(&thread, NULL, in_circle, &outcome);
    while (waiting != 2) usleep(1000);
    wait_others_asleep(1);
    printf("threads in a circle: %s\n", result(set_at(fd, F_SETLKW, F_WRLCK, SEEK_SET, 300, 10)));
    set(fd, F_UNLCK, 0, 10);
    pthread_join(thread, NULL);
    printf("the other: %d\n", outcome);
    set(fd, F_WRLCK, 0, 10);
    // A process that shares the table takes locks for all who do.
    fflush(stdout);
    wait_for(clone(shares_table, stack + sizeof stack, CLONE_FILES | SIGCHLD, NULL));
    printf("of a sharer: %s\n", test(fd, F_WRLCK, 0, 0));
    elsewhere(show);
    fflush(stdout);
    wait_for(clone(executes, stack + sizeof stack, CLONE_FILES | SIGCHLD, NULL));
    elsewhere(show);
    close(fd);
}

// A program keeps the record locks of the process that executes it.
static void kept(void) {
    int fd = open(name, O_RDWR);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        char number[16];
        snprintf(number, sizeof number, "%d", fd);
        set(fd, F_WRLCK, 60, 10);
        flock(fd, LOCK_EX);
        execl("/proc/self/exe", "locks", name, number, NULL);
        _exit(1);
    }
    wait_for(child);
    close(fd);
}

static void from_outside(void) {
    int fd = open(name, O_RDWR);
    printf("from outside: %s, flock %s\n", test(fd, F_WRLCK, 0, 0), result(flock(fd, LOCK_SH | LOCK_NB)));
    fflush(stdout);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (argc == 3) {
        strcpy(name, argv[1]);
        int fd = atoi(argv[2]);
        printf("executed: %s\n", test(fd, F_WRLCK, 0, 0));
        elsewhere(from_outside);
        return 0;
    }
    self = getpid();
    alarm(20);
    int fd = mkstemp(name);
    close(fd);
    arguments();
    ranges();
    conflicts();
    descriptions();
    waits();
    deadlock();
    tables();
    kept();
    unlink(name);
    int memory = memfd_create("locks", 0), again = open("/proc/self/fd/3", O_RDWR);
    printf("memfd: %s %s %s\n", result(set_at(memory, F_OFD_SETLK, F_WRLCK, SEEK_SET, 0, 0)), again < 0 ? "no" : "opened", result(flock(memory, LOCK_EX)));
    int ends[2];
    pipe(ends);
    printf("pipe: %s %s\n", result(set(ends[0], F_RDLCK, 0, 0)), result(flock(ends[0], LOCK_EX)));
    printf("operations: %s %s %s", result(flock(ends[0], LOCK_NB)), result(flock(ends[0], 3)), result(flock(999, LOCK_SH)));
    printf(" %s %s\n", result(flock(999, 3)), result(flock(999, 32 | LOCK_SH)));
    // A lock that cannot become exclusive at once is lost.
    int a = open("/tmp", O_RDONLY), b = open("/tmp", O_RDONLY);
    printf("directory: %s %s", result(flock(a, LOCK_SH)), "");
    printf("%s ", result(flock(b, LOCK_SH)));
    printf("%s ", result(flock(a, LOCK_EX | LOCK_NB)));
    printf("%s ", result(flock(b, LOCK_EX | LOCK_NB)));
    printf("%s\n", result(flock(a, LOCK_SH | LOCK_NB)));
    return 0;
}
