// Asynchronous I/O: io_setup, io_submit, io_getevents, io_pgetevents, io_cancel, io_destroy.
#include "asleep.h"
#include "result.h"
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long setup(unsigned count, aio_context_t *context) { return syscall(SYS_io_setup, count, context); }
static long destroy(aio_context_t context) { return syscall(SYS_io_destroy, context); }
static long submit(aio_context_t context, long count, struct iocb **requests) { return syscall(SYS_io_submit, context, count, requests); }
static long get_events(aio_context_t context, long least, long most, struct io_event *events, struct timespec *timeout) {
    return syscall(SYS_io_getevents, context, least, most, events, timeout);
}
static long pget_events(aio_context_t context, long least, long most, struct io_event *events, struct timespec *timeout, void *mask) {
    return syscall(SYS_io_pgetevents, context, least, most, events, timeout, mask);
}
static aio_context_t context;
static char *area;
static int fd;

// One request, and what comes of it.
static void one(const char *what, struct iocb request) {
    struct iocb *requests[] = {&request};
    struct io_event event = {0};
    request.aio_data = 77;
    request.aio_key = 5;
    long submitted = submit(context, 1, requests);
    printf("%s: %s", what, result(submitted));
    if (submitted == 1) {
        long got = get_events(context, 1, 1, &event, NULL);
        printf(", event %ld: data %d, request %d, result %ld %ld, key %u", got, event.data == 77, event.obj == (uintptr_t)&request,
               (long)event.res, (long)event.res2, request.aio_key);
    }
    puts("");
}
static struct iocb make(int opcode, int file, void *buffer, unsigned long len, long long offset) {
    return (struct iocb){.aio_lio_opcode = opcode, .aio_fildes = file, .aio_buf = (uintptr_t)buffer, .aio_nbytes = len, .aio_offset = offset};
}
static void contexts(void) {
    aio_context_t first = 0, second = 0, odd = 1;
    printf("made: %s", result(setup(1, &first))); say(setup(100, &second)); printf(" %d", first && second && first != second);
    printf(" readable %d\n", *(volatile int *)(uintptr_t)first != 0x7fffffff);
    printf("wrong:"); say(setup(1, &odd)); odd = 0; say(setup(0, &odd)); say(setup(1, (void *)8)); say(setup(-1, &odd)); say(setup(0x800001, &odd));
    say(setup(100000, &odd)); say(setup(1, NULL)); puts("");
    printf("destroyed:"); say(destroy(first)); say(destroy(first)); say(destroy(second)); say(destroy(0)); say(destroy(8)); puts("");
    printf("gone:"); say(submit(first, 0, NULL)); say(get_events(first, 0, 0, NULL, NULL)); puts("");
}
static void transfers(void) {
    struct iovec two[2] = {{area, 3}, {area + 8, 4}};
    memcpy(area, "0123456789abcdef", 16);
    one("write", make(IOCB_CMD_PWRITE, fd, area, 16, 0));
    memset(area, '.', 16);
    one("read", make(IOCB_CMD_PREAD, fd, area, 5, 3));
    printf("%.8s\n", area);
    one("read vectors", make(IOCB_CMD_PREADV, fd, two, 2, 1));
    printf("%.16s\n", area);
    one("write vectors", make(IOCB_CMD_PWRITEV, fd, two, 2, 20));
    one("behind the end", make(IOCB_CMD_PREAD, fd, area, 5, 1000));
    one("nothing", make(IOCB_CMD_PREAD, fd, area, 0, 0));
    one("sync", make(IOCB_CMD_FSYNC, fd, NULL, 0, 0));
    one("data sync", make(IOCB_CMD_FDSYNC, fd, NULL, 0, 0));
    printf("the offset stays: %ld, size %ld\n", (long)lseek(fd, 0, SEEK_CUR), (long)lseek(fd, 0, SEEK_END));
}
static void mistakes(void) {
    struct iocb odd;
    int reader = open("file", O_RDONLY), writer = open("file", O_WRONLY), path = open(".", O_PATH), dir = open(".", O_RDONLY), ends[2];
    if (pipe(ends)) return;
    one("no file", make(IOCB_CMD_PREAD, -1, area, 1, 0));
    one("a path", make(IOCB_CMD_PREAD, path, area, 1, 0));
    one("a directory", make(IOCB_CMD_PREAD, dir, area, 1, 0));
    one("not to be read", make(IOCB_CMD_PREAD, writer, area, 1, 0));
    one("not to be written", make(IOCB_CMD_PWRITE, reader, area, 1, 0));
    one("below the begin", make(IOCB_CMD_PREAD, fd, area, 1, -1));
    one("bad address", make(IOCB_CMD_PREAD, fd, (void *)8, 1, 0));
    one("bad address written", make(IOCB_CMD_PWRITE, fd, (void *)8, 1, 0));
    one("far address", make(IOCB_CMD_PREAD, fd, area, (unsigned long)-1 >> 1, 0));
    one("bad vectors", make(IOCB_CMD_PREADV, fd, (void *)8, 1, 0));
    one("many vectors", make(IOCB_CMD_PREADV, fd, area, 5000, 0));
    one("unknown", make(99, fd, area, 1, 0));
    one("sync of bytes", make(IOCB_CMD_FSYNC, fd, area, 1, 0));
    one("sync of a pipe", make(IOCB_CMD_FSYNC, ends[1], NULL, 0, 0));
    odd = make(IOCB_CMD_PREAD, fd, area, 1, 0), odd.aio_reserved2 = 1, one("reserved", odd);
    odd = make(IOCB_CMD_PREAD, fd, area, 1, 0), odd.aio_rw_flags = 0x10000, one("unknown flags", odd);
    odd = make(IOCB_CMD_PWRITE, fd, area, 1, 0), odd.aio_rw_flags = RWF_APPEND, one("appended", odd);
    odd = make(IOCB_CMD_PREAD, fd, area, 1, 0), odd.aio_flags = IOCB_FLAG_RESFD, odd.aio_resfd = fd, one("no counter", odd);
    odd = make(IOCB_CMD_PREAD, fd, area, 1, 0), odd.aio_flags = IOCB_FLAG_RESFD, odd.aio_resfd = -1, one("counter closed", odd);
    odd = make(IOCB_CMD_PREAD, fd, area, 1, 0), odd.aio_flags = IOCB_FLAG_IOPRIO, odd.aio_reqprio = 4 << 13, one("no such class", odd);
    odd = make(IOCB_CMD_PREAD, fd, area, 1, 0), odd.aio_flags = IOCB_FLAG_IOPRIO, odd.aio_reqprio = 2 << 13, one("with a class", odd);
    one("into a pipe", make(IOCB_CMD_PWRITE, ends[1], "pipe", 4, 5));
    one("out of a pipe", make(IOCB_CMD_PREAD, ends[0], area, 8, 9));
    struct iocb good = make(IOCB_CMD_PREAD, fd, area, 1, 0), bad = make(IOCB_CMD_PREAD, -1, area, 1, 0);
    struct iocb *some[] = {&good, &good, &bad, &good}, *broken[] = {&good, (void *)8};
    struct io_event events[8];
    printf("some:"); say(submit(context, 4, some)); say(submit(context, 2, broken)); say(submit(context, 1, broken + 1)); say(submit(context, -1, some));
    say(submit(context, 0, (void *)8)); say(submit(context, 1, (void *)8)); puts("");
    struct timespec none = {0, 0};
    printf("events:"); say(get_events(context, 3, 2, events, &none)); say(get_events(context, -1, 2, events, &none)); say(get_events(context, 1, 2, (void *)8, &none));
    say(get_events(context, 1, 2, events, (void *)8)); say(get_events(context, 0, 2, events, NULL)); say(get_events(context, 2, 8, events, &none));
    say(get_events(context, 1, 8, events, &none)); puts("");
    printf("cancel:"); say(syscall(SYS_io_cancel, context, &good, events)); say(syscall(SYS_io_cancel, context, (void *)8, events));
    good.aio_key = 1; say(syscall(SYS_io_cancel, context, &good, events)); say(syscall(SYS_io_cancel, 8, &good, events)); puts("");
}
static void counted(void) {
    int counter = eventfd(0, EFD_NONBLOCK);
    struct iocb request = make(IOCB_CMD_PREAD, fd, area, 1, 0), *requests[] = {&request, &request, &request};
    struct io_event events[4];
    uint64_t seen = 0;
    request.aio_flags = IOCB_FLAG_RESFD;
    request.aio_resfd = counter;
    printf("counted: %s", result(submit(context, 3, requests)));
    printf(" %s", result(read(counter, &seen, 8))); printf(" %d", (int)seen);
    say(get_events(context, 3, 4, events, NULL)); puts("");
}
// Events that nobody takes: the context is full at last, and takes more when one is taken.
static void full(void) {
    aio_context_t small = 0;
    struct iocb request = make(IOCB_CMD_PREAD, fd, area, 1, 0), *requests[1000];
    struct io_event events[1000];
    for (int i = 0; i < 1000; i++) requests[i] = &request;
    setup(1, &small);
    long total = 0, n;
    while ((n = submit(small, 1, requests)) == 1 && total < 1000) total++;
    printf("full: %d %s", total > 1 && total < 1000, result(n));
    printf(" one taken: %s", result(get_events(small, 1, 1, events, NULL))); say(submit(small, 1, requests));
    printf(" all taken: %d\n", get_events(small, total, 1000, events, NULL) == total);
    destroy(small);
}
static void *later(void *argument) {
    struct iocb request = make(IOCB_CMD_PREAD, fd, area, 1, 0), *requests[] = {&request};
    (void)argument;
    wait_asleep(getpid(), getpid());
    submit(context, 1, requests);
    return NULL;
}
static void on_alarm(int signal) { (void)signal; }
static void waits(void) {
    struct io_event events[4];
    struct timespec soon = {0, 20000000};
    pthread_t thread;
    printf("waited in vain: %s", result(get_events(context, 1, 1, events, &soon)));
    pthread_create(&thread, NULL, later, NULL);
    printf(" for another thread: %s", result(get_events(context, 1, 1, events, NULL)));
    pthread_join(thread, NULL);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {{0, 20000}, {0, 20000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    printf(" interrupted: %s", result(get_events(context, 1, 1, events, NULL)));
    sigset_t blocked, none;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    struct { sigset_t *set; size_t size; } mask = {&none, 8};
    printf(" with a mask: %s", result(pget_events(context, 1, 1, events, NULL, &mask)));
    mask.size = 5; printf(" %s", result(pget_events(context, 1, 1, events, NULL, &mask)));
#ifdef SYS_io_pgetevents_time64
    long long at_once[2] = {0, 0};
    printf(" %s", result(syscall(SYS_io_pgetevents_time64, context, 1L, 1L, events, at_once, NULL)));
#endif
    timer = (struct itimerval){{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &timer, NULL);
    puts("");
}
static void of_others(void) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        // A child has none of them.
        printf("a child's: %s", result(submit(context, 0, NULL))); puts("");
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}
int main(void) {
    area = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    contexts();
    if (setup(16, &context)) return 1;
    transfers();
    mistakes();
    counted();
    full();
    waits();
    of_others();
    printf("end: %s\n", result(destroy(context)));
    return 0;
}
