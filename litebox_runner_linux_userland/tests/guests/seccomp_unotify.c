//@ flags: -pthread
//@ timeout: 30
// Listeners of filters (seccomp_unotify(2)): a thread makes calls, another one decides about them.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "result.h"
#include "asleep.h"

#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#define LISTENER SECCOMP_FILTER_FLAG_NEW_LISTENER
#define KILLABLE SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define COUNT(array) (sizeof(array) / sizeof *(array))

// getpriority(2) is left to the listener; whatever it is asked for is only numbers.
static long install(unsigned flags)
{
    struct sock_filter code[] = {FIELD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 0, 1),
                                 RETURN(SECCOMP_RET_USER_NOTIF), RETURN(SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {COUNT(code), code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

// The calls of a thread, one after the other: which, with the listener; results as they come.
struct target {
    unsigned flags;
    int calls, listener, results[8], errors[8];
    pthread_t thread;
    pid_t tid;
    pthread_barrier_t ready;
};
static void *make_calls(void *argument)
{
    struct target *t = argument;
    t->tid = syscall(SYS_gettid);
    t->listener = install(t->flags);
    pthread_barrier_wait(&t->ready);
    for (int i = 0; i < t->calls; i++) {
        errno = 0;
        t->results[i] = syscall(SYS_getpriority, 100 + i, -1);
        t->errors[i] = errno;
    }
    return NULL;
}
static struct target *start(unsigned flags, int calls)
{
    struct target *t = calloc(1, sizeof *t);
    t->flags = flags;
    t->calls = calls;
    pthread_barrier_init(&t->ready, NULL, 2);
    pthread_create(&t->thread, NULL, make_calls, t);
    pthread_barrier_wait(&t->ready);
    return t;
}
static void finish(struct target *t)
{
    pthread_join(t->thread, NULL);
    printf("  calls:");
    for (int i = 0; i < t->calls; i++) {
        errno = t->errors[i];
        printf(" %s", result(t->results[i]));
    }
    puts("");
    free(t);
}

static const char *events(int fd)
{
    static char text[64];
    struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM, 0};
    poll(&p, 1, 0);
    sprintf(text, "[%s%s%s%s]", p.revents & POLLIN ? "in" : "", p.revents & POLLOUT ? "out" : "", p.revents & POLLHUP ? "hup" : "",
            p.revents & (POLLRDNORM | POLLWRNORM) ? "+norm" : "");
    return text;
}
static void wait_for(int fd, short what)
{
    struct pollfd p = {fd, what, 0};
    while (poll(&p, 1, -1) < 0) {}
}
static struct seccomp_notif receive(int fd)
{
    struct seccomp_notif n;
    memset(&n, 0, sizeof n);
    if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n)) perror("receive");
    return n;
}
static int answer(int fd, __u64 id, long long value, int error, unsigned flags)
{
    struct seccomp_notif_resp r = {id, value, error, flags};
    return ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &r);
}

static void questions(void)
{
    struct seccomp_notif_sizes sizes = {0};
    unsigned action = SECCOMP_RET_USER_NOTIF;
    printf("sizes");
    say(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes));
    printf(" %u %u %u", sizes.seccomp_notif, sizes.seccomp_notif_resp, sizes.seccomp_data);
    say(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, 8L));
    printf("\naction");
    say(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
    printf("\nflags");
    say(install(KILLABLE));
    say(install(LISTENER | SECCOMP_FILTER_FLAG_TSYNC));
    say(install(LISTENER | 0x8000));
    puts("");
}

static void results(void)
{
    struct target *t = start(LISTENER, 6);
    printf("a listener: descriptor %d cloexec %d flags %d, read %s", t->listener >= 0, fcntl(t->listener, F_GETFD),
           (fcntl(t->listener, F_GETFL) & O_ACCMODE) == O_RDWR, result(read(t->listener, &t, 1)));
    printf(" write %s\n", result(write(t->listener, "x", 1)));
    char link[64], path[64];
    sprintf(path, "/proc/self/fd/%d", t->listener);
    ssize_t n = readlink(path, link, sizeof link - 1);
    printf("it is %.*s\n", (int)(n < 0 ? 0 : n), link);
    wait_for(t->listener, POLLIN);
    printf("asked %s", events(t->listener));
    struct seccomp_notif n1;
    memset(&n1, 0, sizeof n1);
    n1.flags = 1;
    printf(" not zero %s", result(ioctl(t->listener, SECCOMP_IOCTL_NOTIF_RECV, &n1)));
    printf(" nowhere %s", result(ioctl(t->listener, SECCOMP_IOCTL_NOTIF_RECV, 8L)));
    n1 = receive(t->listener);
    printf(" sent %s\n", events(t->listener));
    printf("it is the thread's %d, flags %u, number %d, %d %d, arch %d\n", (pid_t)n1.pid == t->tid, n1.flags,
           n1.data.nr == SYS_getpriority, (int)n1.data.args[0], (int)n1.data.args[1], n1.data.arch != 0);
    printf("valid %s", result(ioctl(t->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n1.id)));
    __u64 other = n1.id + 1;
    printf(" other %s", result(ioctl(t->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &other)));
    printf(" nowhere %s", result(ioctl(t->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, 8L)));
    printf(" unknown %s", result(ioctl(t->listener, 0x2177, 0)));
    printf("\nanswers: flags %s", result(answer(t->listener, n1.id, 0, 0, 2)));
    printf(" continue with value %s", result(answer(t->listener, n1.id, 1, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE)));
    printf(" other %s", result(answer(t->listener, other, 0, 0, 0)));
    printf(" nowhere %s", result(ioctl(t->listener, SECCOMP_IOCTL_NOTIF_SEND, 8L)));
    printf(" value %s\n", result(answer(t->listener, n1.id, 4711, 0, 0)));
    struct { long long value; int error; unsigned flags; } all[] = {{0, -EXDEV, 0}, {7, -ENOTTY, 0}, {0, 0, 0}, {0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE}, {-5, 0, 0}};
    for (unsigned i = 0; i < COUNT(all); i++) {
        struct seccomp_notif next = receive(t->listener);
        printf("  argument %d later by %d: %s\n", (int)next.data.args[0], (int)(next.id - n1.id), result(answer(t->listener, next.id, all[i].value, all[i].error, all[i].flags)));
    }
    int listener = t->listener;
    finish(t);
    wait_for(listener, 0);
    memset(&n1, 0, sizeof n1);
    printf("nobody asks any more %s", events(listener));
    printf(" %s\n", result(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n1)));
    close(listener);
}

// Another listener for the same thread; without one; when it is closed.
static void *second(void *unused)
{
    printf("without one %s\n", install(0) == 0 ? result(syscall(SYS_getpriority, 0, 0)) : "?");
    int fd = install(LISTENER);
    printf("first %d second %s plain %s\n", fd >= 0, result(install(LISTENER)), result(install(0)));
    close(fd);
    printf("closed %s\n", result(syscall(SYS_getpriority, 0, 0)));
    return unused;
}

static void closed(void)
{
    struct target *t = start(LISTENER, 3);
    wait_for(t->listener, POLLIN);
    receive(t->listener);
    close(t->listener);
    finish(t);
}

// Until a thread has a signal pending.
static void wait_pending(pid_t tid)
{
    char path[64], line[128];
    unsigned long long pending = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
    while (!pending) {
        FILE *f = fopen(path, "r");
        while (f && fgets(line, sizeof line, f)) sscanf(line, "SigPnd: %llx", &pending);
        if (f) fclose(f);
    }
}

static int handled;
static void handler(int signal)
{
    (void)signal;
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}
static void interrupted(const char *how, unsigned flags, int restarts)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = restarts ? SA_RESTART : 0};
    sigaction(SIGUSR1, &action, NULL);
    handled = 0;
    struct target *t = start(flags, 1);
    struct seccomp_notif first = receive(t->listener);
    pthread_kill(t->thread, SIGUSR1);
    printf("%s:", how);
    if (flags & KILLABLE) {
        wait_pending(t->tid);
        // It would be interrupted soon.
        int valid = 0;
        for (int i = 0; i < 300 && valid == 0; i++) {
            sched_yield();
            valid = ioctl(t->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &first.id);
        }
        wait_for_state(getpid(), t->tid, 'D');
        printf(" valid %s handled %d", result(valid), handled);
        printf(" %s\n", result(answer(t->listener, first.id, 11, 0, 0)));
    } else {
        while (ioctl(t->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &first.id) == 0) sched_yield();
        printf(" valid %s", result(ioctl(t->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &first.id)));
        printf(" answer %s", result(answer(t->listener, first.id, 11, 0, 0)));
        if (restarts) {
            struct seccomp_notif again = receive(t->listener);
            printf(" again %d: %s", again.id != first.id, result(answer(t->listener, again.id, 12, 0, 0)));
        }
        puts("");
    }
    int listener = t->listener;
    finish(t);
    printf("  handled %d\n", handled);
    close(listener);
}

// Whoever waits to be asked is interrupted, too; calls of his own come first.
static void *waits(void *argument)
{
    int *listener = argument;
    struct seccomp_notif n;
    memset(&n, 0, sizeof n);
    printf("who waits %s", result(ioctl(*listener, SECCOMP_IOCTL_NOTIF_RECV, &n)));
    return NULL;
}
static void waiting(void)
{
    struct target *t = start(LISTENER, 0);
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
    pthread_join(t->thread, NULL);
    pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
    pthread_t thread;
    // Nobody is left who could ask.
    pthread_create(&thread, NULL, waits, &t->listener);
    pthread_join(thread, NULL);
    puts("");
    close(t->listener);
    free(t);
}

static int given_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > 0x7ffffff0 ? 0x7ffffff0 : (int)limit.rlim_cur;
}
static int give(int fd, __u64 id, unsigned flags, unsigned from, unsigned to, unsigned to_flags)
{
    struct seccomp_notif_addfd add = {id, flags, from, to, to_flags};
    return ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
}
static void descriptors(void)
{
    int ends[2];
    if (pipe(ends)) perror("pipe");
    struct target *t = start(LISTENER, 2);
    struct seccomp_notif n = receive(t->listener);
    int l = t->listener;
    printf("descriptors: bad %s", result(give(l, n.id, 0, 999, 0, 0)));
    printf(" flags %s", result(give(l, n.id, 8, ends[0], 0, 0)));
    printf(" number without flag %s", result(give(l, n.id, 0, ends[0], 5, 0)));
    printf(" other flags %s", result(give(l, n.id, 0, ends[0], 0, O_APPEND)));
    printf(" other %s", result(give(l, n.id + 1, 0, ends[0], 0, 0)));
    printf(" beyond %s", result(give(l, n.id, SECCOMP_ADDFD_FLAG_SETFD, ends[0], given_limit(), 0)));
    struct { struct seccomp_notif_addfd add; __u64 more; } large = {{n.id, 0, ends[0], 0, 0}, 1};
    unsigned long sized = _IOC(_IOC_WRITE, SECCOMP_IOC_MAGIC, 3, sizeof large);
    printf(" large %s", result(ioctl(l, sized, &large)));
    printf(" both ways %s", result(ioctl(l, _IOC(_IOC_WRITE | _IOC_READ, SECCOMP_IOC_MAGIC, 3, sizeof large), &large)));
    printf(" short %s\n", result(ioctl(l, _IOC(_IOC_WRITE, SECCOMP_IOC_MAGIC, 3, 16), &large)));
    large.more = 0;
    int plain = ioctl(l, sized, &large), at = give(l, n.id, SECCOMP_ADDFD_FLAG_SETFD, ends[0], 77, O_CLOEXEC);
    printf("given: free %d at %d cloexec %d %d", plain > ends[1], at, fcntl(plain, F_GETFD), fcntl(77, F_GETFD));
    int again = give(l, n.id, SECCOMP_ADDFD_FLAG_SETFD, ends[1], 77, 0);
    printf(" again %d: write %s", again, result(write(77, "x", 1)));
    char byte = 0;
    ssize_t got = read(plain, &byte, 1);
    printf(" read %d %c\n", (int)got, byte);
    printf("answers once %s\n", result(answer(l, n.id, plain == -1, 0, 0)));
    n = receive(l);
    int sent = give(l, n.id, SECCOMP_ADDFD_FLAG_SEND, ends[1], 0, 0);
    printf("with the answer %d:\n", sent > 0);
    pthread_join(t->thread, NULL);
    printf("  it is what the call returns: %d, write %s\n", t->results[1] == sent, result(write(sent, "y", 1)));
    close(l);
    free(t);
    close(plain), close(77), close(sent), close(ends[0]), close(ends[1]);
}

// A process that inherits the filter asks the same listener, which epoll watches.
static void in_children(void)
{
    struct target *t = start(LISTENER, 0);
    pthread_join(t->thread, NULL);
    int ends[2];
    if (pipe(ends)) perror("pipe");
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        int own = install(LISTENER);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            close(own);
            int value = syscall(SYS_getpriority, 3, 4);
            _exit(value);
        }
        int set = epoll_create1(0);
        struct epoll_event event = {.events = EPOLLIN}, ready;
        epoll_ctl(set, EPOLL_CTL_ADD, own, &event);
        printf("epoll %d", epoll_wait(set, &ready, 1, -1));
        struct seccomp_notif n = receive(own);
        printf(" of the child %d", (pid_t)n.pid == grandchild);
        printf(" %s", result(answer(own, n.id, 21, 0, 0)));
        int status = 0;
        waitpid(grandchild, &status, 0);
        printf(" ended with %d\n", WEXITSTATUS(status));
        // Killed while it waits: nothing is left of its question.
        grandchild = fork();
        if (grandchild == 0) {
            close(own);
            _exit(syscall(SYS_getpriority, 5, 6));
        }
        n = receive(own);
        kill(grandchild, SIGKILL);
        waitpid(grandchild, &status, 0);
        printf("killed by %d, valid %s %s\n", WTERMSIG(status), result(ioctl(own, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id)), events(own));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    close(t->listener), close(ends[0]), close(ends[1]);
    free(t);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    questions();
    results();
    pthread_t thread;
    pthread_create(&thread, NULL, second, NULL);
    pthread_join(thread, NULL);
    closed();
    interrupted("interrupted", LISTENER, 0);
    interrupted("restarted", LISTENER, 1);
    interrupted("killable", LISTENER | KILLABLE, 0);
    waiting();
    descriptors();
    in_children();
    return 0;
}
