//@ flags: -pthread
//@ timeout: 30
// Futexes that are locks, waiting on many words, the calls for one operation each, restarts with a time limit.
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif
static const char *name(long r) {
    static char text[8][24];
    static int at;
    if (r == -1) return strerrorname_np(errno);
    char *s = text[at++ % 8];
    sprintf(s, "%ld", r);
    return s;
}
#define SHOW(call) do { errno = 0; long r_ = (long)(call); printf("%s: %s\n", #call, name(r_)); } while (0)

static long futex(void *a, int op, uint32_t v, const void *t, void *b, uint32_t v3) { return syscall(SYS_futex, a, op, v, t, b, v3); }
static uint32_t a, b, lock, other;
static uint32_t self(void) { return syscall(SYS_gettid); }
static void nap(int ms) { poll(0, 0, ms); }
static struct timespec after(clockid_t clock, long ms) {
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_nsec += ms % 1000 * 1000000;
    t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static void *taker(void *how) {
    long r = futex(&lock, FUTEX_LOCK_PI, 0, 0, 0, 0);
    // Whoever unlocked prints first.
    nap(15);
    printf("taker %s: %s, owner me %d, died %d\n", (char *)how, name(r), (lock & FUTEX_TID_MASK) == self(), !!(lock & FUTEX_OWNER_DIED));
    if (!strcmp(how, "dies")) return 0;
    r = futex(&lock, FUTEX_UNLOCK_PI, 0, 0, 0, 0);
    printf("unlock %s, free %d\n", name(r), lock == 0);
    return 0;
}
static void *try(void *unused) {
    (void)unused;
    SHOW(futex(&lock, FUTEX_TRYLOCK_PI, 0, 0, 0, 0));
    printf("waiters %d\n", !!(lock & FUTEX_WAITERS));
    SHOW(futex(&lock, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
    struct timespec t = after(CLOCK_REALTIME, 30);
    SHOW(futex(&lock, FUTEX_LOCK_PI, 0, &t, 0, 0));
    t = after(CLOCK_MONOTONIC, 30);
    SHOW(futex(&lock, FUTEX_LOCK_PI2, 0, &t, 0, 0));
    t = after(CLOCK_REALTIME, 30);
    SHOW(futex(&lock, FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME, 0, &t, 0, 0));
    return 0;
}
static void *mover(void *unused) {
    (void)unused;
    long r = futex(&a, FUTEX_WAIT_REQUEUE_PI, 7, 0, &lock, 0);
    int mine = (lock & FUTEX_TID_MASK) == self();
    long u = futex(&lock, FUTEX_UNLOCK_PI, 0, 0, 0, 0);
    return (void *)(long)(r == 0 && mine && u == 0);
}
static void locks(void) {
    pthread_t t;
    SHOW(futex(&lock, FUTEX_LOCK_PI, 0, 0, 0, 0));
    printf("mine %d\n", lock == self());
    SHOW(futex(&lock, FUTEX_LOCK_PI, 0, 0, 0, 0));
    SHOW(futex(&lock, FUTEX_TRYLOCK_PI, 0, 0, 0, 0));
    pthread_create(&t, 0, try, 0);
    pthread_join(t, 0);
    pthread_create(&t, 0, taker, "plain");
    nap(50);
    SHOW(futex(&lock, FUTEX_WAKE, 1, 0, 0, 0));
    SHOW(futex(&lock, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
    pthread_join(t, 0);
    SHOW(futex(&lock, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
    // The owner leaves without unlocking while another waits.
    pthread_t u;
    lock = 0;
    pthread_create(&t, 0, taker, "dies");
    nap(50);
    printf("held by the dead %d\n", lock != 0);
    SHOW(futex(&lock, FUTEX_LOCK_PI, 0, 0, 0, 0) == -1 && errno == ESRCH);
    pthread_join(t, 0);
    lock = self();
    pthread_create(&t, 0, taker, "dies");
    nap(30);
    pthread_create(&u, 0, taker, "after");
    nap(30);
    SHOW(futex(&lock, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
    pthread_join(t, 0);
    pthread_join(u, 0);
    SHOW(futex((char *)&lock + 1, FUTEX_LOCK_PI, 0, 0, 0, 0));
    SHOW(futex(0, FUTEX_LOCK_PI, 0, 0, 0, 0));
    // Requeueing to a lock.
    lock = 0;
    a = 7;
    pthread_t m[3];
    for (int i = 0; i < 3; i++) pthread_create(&m[i], 0, mover, 0);
    nap(50);
    SHOW(futex(&a, FUTEX_CMP_REQUEUE_PI, 1, (void *)9, &lock, 8));
    SHOW(futex(&a, FUTEX_CMP_REQUEUE_PI, 2, (void *)9, &lock, 7));
    SHOW(futex(&a, FUTEX_CMP_REQUEUE_PI, 1, (void *)9, &other, 7));
    SHOW(futex(&a, FUTEX_CMP_REQUEUE_PI, 1, (void *)9, &a, 7));
    SHOW(futex(&a, FUTEX_WAKE, 1, 0, 0, 0));
    SHOW(futex(&lock, FUTEX_LOCK_PI, 0, 0, 0, 0));
    SHOW(futex(&a, FUTEX_CMP_REQUEUE_PI, 1, (void *)9, &lock, 7));
    SHOW(futex(&lock, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
    for (int i = 0; i < 3; i++) {
        void *good;
        pthread_join(m[i], &good);
        printf("moved %d\n", good != 0);
    }
    printf("free %d\n", lock == 0);
    struct timespec soon = after(CLOCK_MONOTONIC, 20);
    SHOW(futex(&a, FUTEX_WAIT_REQUEUE_PI, 7, &soon, &lock, 0));
    SHOW(futex(&a, FUTEX_WAIT_REQUEUE_PI, 8, &soon, &lock, 0));
    SHOW(futex(&a, FUTEX_WAIT_REQUEUE_PI, 7, &soon, &a, 0));
}

static pthread_mutex_t robust;
static void *dies_with(void *unused) { (void)unused; pthread_mutex_lock(&robust); return 0; }
static void *contends(void *unused) {
    (void)unused;
    int r = pthread_mutex_lock(&robust);
    if (r == EOWNERDEAD) { pthread_mutex_consistent(&robust); r = 1000; }
    pthread_mutex_unlock(&robust);
    return (void *)(long)r;
}
static void *dies_slowly(void *unused) { pthread_mutex_lock(&robust); nap(60); return unused; }
static long counter;
static void *counts(void *unused) {
    for (int i = 0; i < 5000; i++) { pthread_mutex_lock(&robust); counter++; pthread_mutex_unlock(&robust); }
    return unused;
}
static void mutexes(void) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    printf("init %d\n", pthread_mutex_init(&robust, &attr));
    pthread_t t, u, many[4];
    void *r;
    pthread_create(&t, 0, dies_with, 0);
    pthread_join(t, 0);
    pthread_create(&u, 0, contends, 0);
    pthread_join(u, &r);
    printf("after death %ld\n", (long)r);
    pthread_create(&t, 0, dies_slowly, 0);
    nap(20);
    pthread_create(&u, 0, contends, 0);
    pthread_join(t, 0);
    pthread_join(u, &r);
    printf("while it dies %ld\n", (long)r);
    for (int i = 0; i < 4; i++) pthread_create(&many[i], 0, counts, 0);
    for (int i = 0; i < 4; i++) pthread_join(many[i], 0);
    printf("counted %ld\n", counter);
}

struct word { uint64_t val, uaddr; uint32_t flags, reserved; };
// A time as calls take it that are the same for programs of 32 bits.
struct long_time { int64_t seconds, nanoseconds; };
static struct long_time long_after(clockid_t clock, long ms) {
    struct timespec t = after(clock, ms);
    return (struct long_time){t.tv_sec, t.tv_nsec};
}
static void *waker(void *word) {
    do nap(20); while (futex(word, FUTEX_WAKE, 1, 0, 0, 0) == 0);
    return 0;
}
static long waitv(struct word *w, unsigned n, unsigned flags, struct long_time *t, int clock) { return syscall(449, w, n, flags, t, clock); }
static long wake2(void *p, unsigned long mask, int n, unsigned flags) { return syscall(454, p, mask, n, flags); }
static long wait2(void *p, unsigned long v, unsigned long mask, unsigned flags, struct long_time *t, int clock) { return syscall(455, p, v, mask, flags, t, clock); }
static long requeue2(struct word *w, unsigned flags, int n, int m) { return syscall(456, w, flags, n, m); }
// Returns when so many sleep on the word: moved to where they are, they are counted.
static void until_asleep(void *word, long n) {
    while (futex(word, FUTEX_REQUEUE, 0, (void *)n, word, 0) < n) nap(1);
}
static void *sleeper(void *word) { return (void *)futex(word, FUTEX_WAIT, 5, 0, 0, 0); }
static void many_words(void) {
    pthread_t t;
    a = b = 5;
    struct word w[2] = {{5, (uintptr_t)&a, 2, 0}, {5, (uintptr_t)&b, 2, 0}};
    pthread_create(&t, 0, waker, &b);
    SHOW(waitv(w, 2, 0, 0, 0));
    pthread_join(t, 0);
    struct long_time soon = long_after(CLOCK_MONOTONIC, 20);
    SHOW(waitv(w, 2, 0, &soon, CLOCK_MONOTONIC));
    soon = long_after(CLOCK_REALTIME, 20);
    SHOW(waitv(w, 2, 0, &soon, CLOCK_REALTIME));
    SHOW(waitv(w, 2, 0, &soon, 2));
    SHOW(waitv(w, 2, 1, 0, 0));
    SHOW(waitv(w, 0, 0, 0, 0));
    SHOW(waitv(w, 129, 0, 0, 0));
    SHOW(waitv(0, 1, 0, 0, 0));
    SHOW(waitv((void *)8, 1, 0, 0, 0));
    w[1].val = 6;
    SHOW(waitv(w, 2, 0, 0, 0));
    w[1].reserved = 1;
    SHOW(waitv(w, 2, 0, 0, 0));
    w[1] = (struct word){5, (uintptr_t)&b, 1, 0};
    SHOW(waitv(w, 2, 0, 0, 0));
    w[1] = (struct word){1ULL << 32, (uintptr_t)&b, 2, 0};
    SHOW(waitv(w, 2, 0, 0, 0));
    w[1] = (struct word){5, (uintptr_t)&b + 1, 2, 0};
    SHOW(waitv(w, 2, 0, 0, 0));
    w[1] = (struct word){5, 8, 2, 0};
    SHOW(waitv(w, 2, 0, 0, 0));
    SHOW(wake2(&a, 1, 1, 2));
    SHOW(wake2(&a, 0, 1, 2));
    SHOW(wake2(&a, 1, 1, 0x400));
    soon = long_after(CLOCK_MONOTONIC, 20);
    SHOW(wait2(&a, 5, 1, 2, &soon, CLOCK_MONOTONIC));
    SHOW(wait2(&a, 6, 1, 2, 0, CLOCK_MONOTONIC));
    SHOW(wait2(&a, 5, 0, 2, 0, CLOCK_MONOTONIC));
    SHOW(wait2(&a, 5, 1, 2, &soon, 77));
    pthread_create(&t, 0, sleeper, &a);
    until_asleep(&a, 1);
    struct word from_to[2] = {{5, (uintptr_t)&a, 2, 0}, {0, (uintptr_t)&b, 2, 0}};
    SHOW(futex(&a, FUTEX_REQUEUE, 0, (void *)1, &b, 0));
    SHOW(futex(&b, FUTEX_REQUEUE, 0, (void *)7, &a, 0));
    SHOW(requeue2(from_to, 1, 0, 1));
    SHOW(requeue2(from_to, 0, -1, 1));
    SHOW(requeue2(from_to, 0, 0, 1));
    SHOW(wake2(&b, 1, 0, 2));
    SHOW(wake2(&b, 1, 1, 2));
    pthread_join(t, 0);
}

static void operations(void) {
    static const int ops[] = {0, 1, 2, 3, 4, 5};
    for (unsigned i = 0; i < 6; i++) {
        b = 12;
        long r = futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b, FUTEX_OP(ops[i], 5, FUTEX_OP_CMP_EQ, 12));
        printf("op %d: %s, word %u\n", ops[i], name(r), b);
        b = 12;
        r = futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b, FUTEX_OP((ops[i] | 8), 3, 9, 12));
        printf("op %d shifted: %s, word %u\n", ops[i], name(r), b);
    }
    pthread_t t;
    a = 5;
    for (int c = 0; c < 6; c++) {
        pthread_create(&t, 0, sleeper, &a);
        until_asleep(&a, 1);
        b = -3;
        long r = futex(&other, FUTEX_WAKE_OP, 1, (void *)1, &a, FUTEX_OP(FUTEX_OP_ADD, 0, c, 5));
        printf("comparison %d: %s\n", c, name(r));
        futex(&a, FUTEX_WAKE, 1, 0, 0, 0);
        pthread_join(t, 0);
    }
    SHOW(futex(&a, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 5, 0, 0, 0));
    SHOW(futex(&a, 77, 5, 0, 0, 0));
    SHOW(futex(&a, FUTEX_WAKE_BITSET, 5, 0, 0, 0));
    struct timespec bad = {0, 1000000000};
    SHOW(futex(&a, FUTEX_WAIT, 5, &bad, 0, 0));
}

static void handler(int s) { (void)s; }
static pthread_t main_thread;
static void *stops(void *how) { nap(100); pthread_kill(main_thread, (int)(long)how); return 0; }
static long long elapsed(struct timespec *from) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - from->tv_sec) * 1000LL + (now.tv_nsec - from->tv_nsec) / 1000000;
}
static void restarts(void) {
    // An ignored default (SIGURG) does not disturb; a handler ends it even with SA_RESTART; the limit counts once.
    struct timespec from, limit = {0, 300000000};
    pthread_t t;
    main_thread = pthread_self();
    a = 5;
    struct sigaction act = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &act, 0);
    int signals[] = {SIGURG, SIGUSR1};
    for (int i = 0; i < 2; i++) {
        clock_gettime(CLOCK_MONOTONIC, &from);
        pthread_create(&t, 0, stops, (void *)(long)signals[i]);
        SHOW(futex(&a, FUTEX_WAIT, 5, &limit, 0, 0));
        long long ms = elapsed(&from);
        printf("in time %d\n", i ? ms >= 90 && ms < 290 : ms >= 290 && ms < 390);
        pthread_join(t, 0);
    }
    SHOW(syscall(SYS_restart_syscall));
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    locks();
    mutexes();
    many_words();
    operations();
    restarts();
    return 0;
}
