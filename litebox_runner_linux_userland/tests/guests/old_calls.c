// Calls that the C library makes in another form or not at all: made by their numbers.
#include "result.h"
#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int taken;
static void take(int signal) { (void)signal; taken++; }

static void program_break(void) {
    unsigned long now = syscall(SYS_brk, 0L), more = syscall(SYS_brk, now + 10000);
    printf("brk: grows by %ld", (long)(more - now));
    memset((char *)now, 1, 10000);
    printf(", refused leaves it %d", (unsigned long)syscall(SYS_brk, 1L) == more);
    printf(", shrinks by %ld\n", (long)(more - (unsigned long)syscall(SYS_brk, now)));
}
static void thread_words(void) {
    unsigned long fs = 0, old;
    printf("arch_prctl: %s", result(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs)));
    printf(" %d", fs == (unsigned long)__builtin_thread_pointer());
    say(syscall(SYS_arch_prctl, ARCH_GET_FS, 8L)); say(syscall(SYS_arch_prctl, ARCH_SET_FS, -1L));
    say(syscall(SYS_arch_prctl, 0x7777, 0L)); say(syscall(SYS_arch_prctl, ARCH_GET_GS, &old));
    printf(" %s\n", result(syscall(SYS_arch_prctl, ARCH_SET_FS, fs)));
    int tid;
    printf("set_tid_address: own id %d", syscall(SYS_set_tid_address, &tid) == getpid());
    struct robust_list_head head = {{&head.list}, 0, NULL}, *found;
    size_t size;
    printf(", set_robust_list: %s", result(syscall(SYS_set_robust_list, &head, sizeof head)));
    say(syscall(SYS_set_robust_list, &head, 23));
    printf(", get: %s", result(syscall(SYS_get_robust_list, 0, &found, &size))); printf(" %d\n", found == &head);
}
// A handler that ends by rt_sigreturn of its own, without the library's restorer.
struct kernel_action { void (*handler)(int); unsigned long flags; void (*restorer)(void); unsigned long mask; };
__attribute__((naked)) static void own_restorer(void) { __asm__("mov %0, %%eax\n\tsyscall" : : "i"(SYS_rt_sigreturn)); }
static void handler_returns(void) {
    struct kernel_action action = {take, 0x04000000 /* SA_RESTORER */, own_restorer, 0};
    taken = 0;
    printf("rt_sigaction: %s", result(syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, 8)));
    raise(SIGUSR1);
    raise(SIGUSR1);
    printf(", own rt_sigreturn: %d\n", taken);
}
static void waits(void) {
    struct timespec none = {0, 0}, wrong = {0, 1000000000};
    struct { const sigset_t *set; size_t size; } mask = {NULL, 8}, short_mask = {NULL, 4};
    sigset_t usr;
    int pipes[2];
    if (pipe(pipes) || write(pipes[1], "x", 1) != 1) return;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipes[0], &set);
    printf("pselect6: %s", result(syscall(SYS_pselect6, pipes[0] + 1, &set, NULL, NULL, &none, &mask)));
    printf(" %d", !!FD_ISSET(pipes[0], &set));
    printf(" %s", result(syscall(SYS_pselect6, pipes[0] + 1, &set, NULL, NULL, &wrong, &mask)));
    sigemptyset(&usr);
    short_mask.set = &usr;
    say(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &none, &short_mask));
    say(syscall(SYS_pselect6, -1, NULL, NULL, NULL, &none, NULL)); puts("");
    struct epoll_event event = {EPOLLIN, {.u32 = 7}}, got[2];
    printf("epoll_create: %s", result(syscall(SYS_epoll_create, 0)));
    int set_of = syscall(SYS_epoll_create, 1);
    printf(" %s\n", result(epoll_ctl(set_of, EPOLL_CTL_ADD, pipes[0], &event)));
    printf("epoll_pwait2: %s", result(syscall(SYS_epoll_pwait2, set_of, got, 2, &none, NULL, 0)));
    printf(" %u %x", got[0].data.u32, got[0].events);
    say(syscall(SYS_epoll_pwait2, set_of, got, 2, &wrong, NULL, 0));
    say(syscall(SYS_epoll_pwait2, set_of, got, 0, &none, NULL, 0));
    printf(" %s\n", result(syscall(SYS_epoll_pwait2, set_of, got, 2, &none, &usr, 4)));
    // A signal that is let in for the time of the wait ends it.
    struct sigaction action = {.sa_handler = take};
    sigaction(SIGUSR2, &action, NULL);
    sigaddset(&usr, SIGUSR2);
    sigprocmask(SIG_BLOCK, &usr, NULL);
    raise(SIGUSR2);
    sigemptyset(&usr);
    taken = 0;
    if (read(pipes[0], got, 1) != 1) return;
    long ended = syscall(SYS_epoll_pwait2, set_of, got, 2, NULL, &usr, 8);
    printf("signal let in: %s", result(ended)); printf(" %d\n", taken);
}
static void messages(void) {
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 8}, old;
    char name[32];
    snprintf(name, sizeof name, "/old-calls-%d", getpid());
    int queue = mq_open(name, O_CREAT | O_RDWR, 0600, &attr);
    mq_unlink(name);
    struct timespec past = {1, 0}, wrong = {1, -1};
    printf("mq_timedsend: %s", result(syscall(SYS_mq_timedsend, queue, "one", 3, 1, NULL)));
    say(syscall(SYS_mq_timedsend, queue, "two", 3, 1, &past));
    say(syscall(SYS_mq_timedsend, queue, "two", 3, 1, &wrong));
    say(syscall(SYS_mq_timedsend, queue, "too long!", 9, 1, NULL));
    say(syscall(SYS_mq_timedsend, queue, "x", 1, 32768, NULL)); puts("");
    struct mq_attr nonblocking = {.mq_flags = O_NONBLOCK}, bad = {.mq_flags = 1};
    printf("mq_getsetattr: %s", result(syscall(SYS_mq_getsetattr, queue, &nonblocking, &old)));
    printf(" %ld %ld %ld", old.mq_flags, old.mq_maxmsg, old.mq_curmsgs);
    say(syscall(SYS_mq_getsetattr, queue, &bad, NULL)); say(syscall(SYS_mq_getsetattr, 99, NULL, &old));
    printf(", then full: %s\n", result(syscall(SYS_mq_timedsend, queue, "two", 3, 1, NULL)));
}
// Priorities of disk accesses; a child of its own, so that nobody else is slowed down.
static void disk_priority(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int best_effort_6 = 2 << 13 | 6, idle = 3 << 13, none_1 = 1, no_class = 5 << 13;
        printf("ioprio_get: %s", result(syscall(SYS_ioprio_get, 1, 0)));
        printf(" set: %s", result(syscall(SYS_ioprio_set, 1, 0, best_effort_6)));
        printf(" get: %s", result(syscall(SYS_ioprio_get, 1, 0)));
        printf(" set: %s", result(syscall(SYS_ioprio_set, 1, 0, idle))); say(syscall(SYS_ioprio_get, 1, getpid()));
        printf(" wrong: %s", result(syscall(SYS_ioprio_set, 1, 0, none_1)));
        say(syscall(SYS_ioprio_set, 1, 0, no_class));
        say(syscall(SYS_ioprio_set, 4, 0, idle)); say(syscall(SYS_ioprio_get, 9, 0));
        printf(" %s\n", result(syscall(SYS_ioprio_get, 1, 0x3fffffff)));
        fflush(stdout);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            printf("a child's: %s\n", result(syscall(SYS_ioprio_get, 1, 0)));
            fflush(stdout);
            _exit(0);
        }
        waitpid(grandchild, NULL, 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}
int main(void) {
    program_break();
    thread_words();
    handler_returns();
    waits();
    messages();
    disk_priority();
    return 0;
}
