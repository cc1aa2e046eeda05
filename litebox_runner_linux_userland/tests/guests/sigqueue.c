//@ flags: -pthread
// Who gets which signal: queues, values, limits, masks, waiting for signals; errors of the calls.
#define _GNU_SOURCE
#include "asleep.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long r = (long)(call); printf("%s = %ld, %s\n", #call, r, strerror(errno)); } while (0)
#define CHECK(what) printf("%s: %s\n", #what, (what) ? "yes" : "NO")

static int order[64], values[64], codes[64], count;
static pid_t takers[64];
static void record(int signal, siginfo_t *info, void *context) {
    (void)context;
    if (count < 64) {
        order[count] = signal;
        values[count] = info->si_code == SI_QUEUE ? info->si_value.sival_int : -1;
        codes[count] = info->si_code;
        takers[count] = gettid();
        count++;
    }
}
static void print_record(const char *what) {
    printf("%s:", what);
    for (int i = 0; i < count; i++)
        printf(" %d/%d/%d", order[i], codes[i], values[i]);
    printf("\n");
    count = 0;
}
static void catch(int signal) {
    struct sigaction action = {.sa_sigaction = record, .sa_flags = SA_SIGINFO};
    // One at a time, so that the order is that of the queue.
    sigfillset(&action.sa_mask);
    sigaction(signal, &action, NULL);
}
static sigset_t set_of(int first, ...) {
    sigset_t set;
    sigemptyset(&set);
    __builtin_va_list list;
    __builtin_va_start(list, first);
    for (int s = first; s; s = __builtin_va_arg(list, int))
        sigaddset(&set, s);
    __builtin_va_end(list);
    return set;
}
static long queue(int signal, int value) {
    return sigqueue(getpid(), signal, (union sigval){.sival_int = value});
}

static void ordering(void) {
    sigset_t all, old;
    sigfillset(&all);
    int signals[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD, SIGURG, 34, 35, 40, 64, SIGSEGV, SIGFPE};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        catch(signals[i]);
    sigprocmask(SIG_BLOCK, &all, &old);
    queue(40, 1), queue(35, 2), queue(40, 3), queue(34, 4), queue(64, 5), queue(35, 6);
    queue(SIGUSR2, 7), queue(SIGUSR2, 8), raise(SIGUSR1), kill(getpid(), SIGHUP), kill(getpid(), SIGURG);
    kill(getpid(), SIGSEGV), kill(getpid(), SIGFPE), kill(getpid(), SIGCHLD);
    sigset_t pending;
    sigpending(&pending);
    printf("pending:");
    for (int s = 1; s <= 64; s++)
        if (sigismember(&pending, s) == 1)
            printf(" %d", s);
    printf("\n");
    sigprocmask(SIG_SETMASK, &old, NULL);
    print_record("order");
    // The thread's own come before the process's, of one number and of any.
    sigprocmask(SIG_BLOCK, &all, &old);
    queue(35, 1);
    syscall(SYS_tgkill, getpid(), gettid(), 40);
    queue(SIGUSR1, 2);
    syscall(SYS_tgkill, getpid(), gettid(), 35);
    sigprocmask(SIG_SETMASK, &old, NULL);
    print_record("thread first");
    // Ignoring throws away what is pending.
    sigprocmask(SIG_BLOCK, &all, &old);
    raise(SIGUSR1), queue(40, 9), queue(40, 10);
    signal(SIGUSR1, SIG_IGN), signal(40, SIG_IGN);
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGUSR1) && !sigismember(&pending, 40));
    // An ignored one is kept while blocked.
    raise(SIGUSR1);
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGUSR1));
    catch(SIGUSR1), catch(40);
    sigprocmask(SIG_SETMASK, &old, NULL);
    print_record("after ignoring");
    // SIGCONT and the stop signals undo each other.
    sigprocmask(SIG_BLOCK, &all, &old);
    kill(getpid(), SIGTSTP);
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGTSTP));
    kill(getpid(), SIGCONT);
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGTSTP) && sigismember(&pending, SIGCONT));
    kill(getpid(), SIGTTIN);
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGCONT) && sigismember(&pending, SIGTTIN));
    signal(SIGTTIN, SIG_IGN), signal(SIGTTIN, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, NULL);
    // SIGKILL and SIGSTOP cannot be blocked.
    sigprocmask(SIG_BLOCK, &all, NULL);
    sigprocmask(SIG_BLOCK, NULL, &pending);
    CHECK(!sigismember(&pending, SIGKILL) && !sigismember(&pending, SIGSTOP) && sigismember(&pending, SIGTERM));
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void limits(void) {
    struct rlimit limit, few;
    getrlimit(RLIMIT_SIGPENDING, &limit);
    few = limit;
    few.rlim_cur = 3;
    sigset_t set = set_of(40, SIGUSR1, SIGUSR2, 0), old;
    sigprocmask(SIG_BLOCK, &set, &old);
    SHOW(setrlimit(RLIMIT_SIGPENDING, &few));
    int sent = 0;
    while (sent < 10 && queue(40, sent) == 0)
        sent++;
    CHECK(sent <= 3);
    SHOW(queue(40, 99));
    SHOW(syscall(SYS_tgkill, getpid(), gettid(), 40));
    SHOW(kill(getpid(), 40));
    // Standard signals get through, with or without their details.
    SHOW(queue(SIGUSR1, 5));
    SHOW(kill(getpid(), SIGUSR2));
    siginfo_t info;
    struct timespec zero = {0, 0};
    SHOW(sigtimedwait(&set, &info, &zero));
    printf("code %d\n", info.si_code);
    SHOW(sigtimedwait(&set, &info, &zero));
    printf("code %d\n", info.si_code);
    int taken = 0;
    while (sigtimedwait(&set, &info, &zero) == 40)
        taken++;
    CHECK(taken == sent + 0 || taken == sent + 1);
    setrlimit(RLIMIT_SIGPENDING, &limit);
    timer_t timer;
    few.rlim_cur = 0;
    setrlimit(RLIMIT_SIGPENDING, &few);
    SHOW(timer_create(CLOCK_MONOTONIC, NULL, &timer));
    setrlimit(RLIMIT_SIGPENDING, &limit);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void *send_later(void *arg) {
    wait_asleep(getpid(), getpid());
    kill(getpid(), *(int *)arg);
    return NULL;
}

static void waiting(void) {
    sigset_t set = set_of(SIGUSR1, 40, 0), old, other = set_of(SIGUSR1, SIGUSR2, 40, 0);
    sigprocmask(SIG_BLOCK, &other, &old);
    siginfo_t info;
    struct timespec zero = {0, 0}, little = {0, 10000000}, bad = {0, 1000000000}, negative = {-1, 0};
    SHOW(sigtimedwait(&set, &info, &zero));
    SHOW(sigtimedwait(&set, &info, &little));
    SHOW(sigtimedwait(&set, &info, &bad));
    SHOW(sigtimedwait(&set, &info, &negative));
    SHOW(syscall(SYS_rt_sigtimedwait, &set, &info, &zero, 4));
    SHOW(syscall(SYS_rt_sigtimedwait, 8, &info, &zero, 8));
    SHOW(syscall(SYS_rt_sigtimedwait, &set, &info, 8, 8));
    queue(40, 1), queue(SIGUSR1, 2), queue(40, 3);
    for (int i = 0; i < 3; i++) {
        int r = sigwaitinfo(&set, &info);
        printf("took %d code %d value %d from self %d\n", r, info.si_code, info.si_value.sival_int, info.si_pid == getpid());
    }
    queue(40, 4);
    // The signal is taken although its information cannot be written.
    SHOW(syscall(SYS_rt_sigtimedwait, &set, 8, &zero, 8));
    SHOW(syscall(SYS_rt_sigtimedwait, &set, &info, &zero, 8));
    int signal = SIGUSR1;
    pthread_t thread;
    pthread_create(&thread, NULL, send_later, &signal);
    SHOW(sigwaitinfo(&set, &info));
    pthread_join(thread, NULL);
    // One that nobody waits for ends the wait.
    signal = SIGUSR2;
    sigset_t usr2 = set_of(SIGUSR2, 0);
    sigprocmask(SIG_UNBLOCK, &usr2, NULL);
    pthread_create(&thread, NULL, send_later, &signal);
    pthread_sigmask(SIG_BLOCK, &usr2, NULL), pthread_sigmask(SIG_UNBLOCK, &usr2, NULL);
    struct timespec second = {5, 0};
    count = 0;
    int r = sigtimedwait(&set, &info, &second);
    printf("sigtimedwait %d %s or the other thread took it: %d\n", r == -1, "", count);
    pthread_join(thread, NULL);
    count = 0;
    // sigsuspend: the mask of before is back, and was not in force before the handler ran.
    sigprocmask(SIG_BLOCK, &other, NULL);
    queue(40, 7), raise(SIGUSR2);
    sigset_t open = old;
    sigaddset(&open, 40);
    SHOW(sigsuspend(&open));
    print_record("suspend");
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    CHECK(sigismember(&now, 40) && sigismember(&now, SIGUSR2));
    SHOW(syscall(SYS_rt_sigsuspend, &open, 4));
    SHOW(syscall(SYS_rt_sigsuspend, 8, 8));
    sigprocmask(SIG_SETMASK, &old, NULL);
    print_record("rest");
}

static pthread_barrier_t barrier;
static pid_t tids[3];
static volatile int stop;
static void *idle(void *arg) {
    long i = (long)arg;
    sigset_t mask = set_of(SIGUSR1, 35, 0);
    pthread_sigmask(i == 2 ? SIG_UNBLOCK : SIG_BLOCK, &mask, NULL);
    tids[i] = gettid();
    pthread_barrier_wait(&barrier);
    while (!stop)
        usleep(1000);
    return NULL;
}

static void threads(void) {
    sigset_t mask = set_of(SIGUSR1, 35, 0), old;
    pthread_sigmask(SIG_BLOCK, &mask, &old);
    pthread_t thread[3];
    pthread_barrier_init(&barrier, NULL, 4);
    for (long i = 0; i < 3; i++)
        pthread_create(&thread[i], NULL, idle, (void *)i);
    pthread_barrier_wait(&barrier);
    count = 0;
    kill(getpid(), SIGUSR1);
    for (int i = 0; i < 1000 && !count; i++)
        usleep(1000);
    printf("the thread that does not block takes it: %d\n", count == 1 && takers[0] == tids[2]);
    count = 0;
    syscall(SYS_tgkill, getpid(), tids[1], SIGUSR2);
    for (int i = 0; i < 1000 && !count; i++)
        usleep(1000);
    printf("the thread it was meant for takes it: %d code %d\n", count == 1 && takers[0] == tids[1], codes[0]);
    count = 0;
    siginfo_t info = {.si_signo = 35, .si_code = SI_QUEUE};
    info.si_value.sival_int = 77;
    SHOW(syscall(SYS_rt_tgsigqueueinfo, getpid(), tids[2], 35, &info));
    for (int i = 0; i < 1000 && !count; i++)
        usleep(1000);
    printf("with its value: %d %d %d\n", takers[0] == tids[2], codes[0], values[0]);
    count = 0;
    // Pending for a thread that blocks it, it is no other's.
    SHOW(syscall(SYS_tgkill, getpid(), tids[0], SIGUSR1));
    usleep(5000);
    CHECK(count == 0);
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    CHECK(count == 0);
    // What was pending for the process when the thread that would take it left.
    kill(getpid(), SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    CHECK(count == 1);
    count = 0;
}

static void errors(void) {
    siginfo_t info = {.si_code = SI_QUEUE};
    SHOW(kill(getpid(), 0));
    SHOW(kill(getpid(), 65));
    SHOW(kill(getpid(), -1));
    SHOW(kill(1 << 22, 0));
    SHOW(kill(-(1 << 22), 0));
    SHOW(kill(-2147483647 - 1, 0));
    SHOW(syscall(SYS_tkill, 0, 10));
    SHOW(syscall(SYS_tkill, 1 << 22, 10));
    SHOW(syscall(SYS_tkill, gettid(), 65));
    SHOW(syscall(SYS_tkill, gettid(), 0));
    SHOW(syscall(SYS_tgkill, 0, gettid(), 0));
    SHOW(syscall(SYS_tgkill, getpid(), -1, 0));
    SHOW(syscall(SYS_tgkill, 1 << 22, gettid(), 0));
    SHOW(syscall(SYS_rt_sigqueueinfo, getpid(), 65, &info));
    SHOW(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &info));
    SHOW(syscall(SYS_rt_sigqueueinfo, getpid(), -1, &info));
    SHOW(syscall(SYS_rt_sigqueueinfo, 1 << 22, 10, &info));
    SHOW(syscall(SYS_rt_sigqueueinfo, getpid(), 10, 8));
    SHOW(syscall(SYS_rt_tgsigqueueinfo, getpid(), 0, 10, &info));
    SHOW(syscall(SYS_rt_tgsigqueueinfo, getpid(), 1 << 22, 10, &info));
    SHOW(syscall(SYS_rt_sigaction, SIGKILL, &info, 0, 8));
    SHOW(syscall(SYS_rt_sigaction, SIGKILL, 0, &info, 8));
    SHOW(syscall(SYS_rt_sigaction, SIGSTOP, &info, 0, 8));
    SHOW(syscall(SYS_rt_sigaction, 0, 0, 0, 8));
    SHOW(syscall(SYS_rt_sigaction, 65, 0, 0, 8));
    SHOW(syscall(SYS_rt_sigaction, 10, 0, 0, 4));
    SHOW(syscall(SYS_rt_sigaction, 10, 8, 0, 8));
    SHOW(syscall(SYS_rt_sigaction, 10, 0, 8, 8));
    SHOW(syscall(SYS_rt_sigprocmask, 5, &info, 0, 8));
    SHOW(syscall(SYS_rt_sigprocmask, 5, 0, 0, 8));
    SHOW(syscall(SYS_rt_sigprocmask, 0, 8, 0, 8));
    SHOW(syscall(SYS_rt_sigprocmask, 0, 0, 8, 8));
    SHOW(syscall(SYS_rt_sigprocmask, 0, 0, 0, 16));
    SHOW(syscall(SYS_rt_sigpending, 8, 8));
    SHOW(syscall(SYS_rt_sigpending, &info, 16));
    stack_t stack = {.ss_sp = &info, .ss_size = 100};
    SHOW(sigaltstack(&stack, NULL));
    stack.ss_size = 1 << 16;
    stack.ss_flags = 77;
    SHOW(sigaltstack(&stack, NULL));
    SHOW(syscall(SYS_sigaltstack, 8, 0));
    SHOW(syscall(SYS_sigaltstack, 0, 8));
    struct sigaction action = {.sa_handler = SIG_IGN, .sa_flags = (int)0xffffffff}, back;
    sigfillset(&action.sa_mask);
    sigaction(SIGUSR2, &action, NULL);
    sigaction(SIGUSR2, NULL, &back);
    printf("flags %x, kill in mask %d, stop %d, term %d\n", (unsigned)back.sa_flags & ~0x04000000u, sigismember(&back.sa_mask, SIGKILL),
           sigismember(&back.sa_mask, SIGSTOP), sigismember(&back.sa_mask, SIGTERM));
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    ordering();
    limits();
    waiting();
    threads();
    errors();
    return 0;
}
