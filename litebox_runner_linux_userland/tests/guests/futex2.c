// The second family of futex calls: words with flags of their own, several at once, moved between words.
//@ flags: -pthread
#include "asleep.h"
#include "result.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex_wait
#define SYS_futex_wake 454
#define SYS_futex_wait 455
#define SYS_futex_requeue 456
#endif

enum { U32 = 2, PRIVATE = 128 };

struct waitv { uint64_t value, word; unsigned flags, reserved; };
// A time as calls take it that are the same for programs of 32 bits.
struct long_time { int64_t seconds, nanoseconds; };
struct sleeper { unsigned *word; unsigned value, mask; int flags, tid; long result; int error; };

static long wait2(unsigned *word, unsigned long value, unsigned long mask, unsigned flags,
                  const struct long_time *until) {
    return syscall(SYS_futex_wait, word, value, mask, flags, until, CLOCK_MONOTONIC);
}
static long wake2(unsigned *word, unsigned long mask, int count, unsigned flags) {
    return syscall(SYS_futex_wake, word, mask, count, flags);
}
static void *asleep(void *arg) {
    struct sleeper *s = arg;
    __atomic_store_n(&s->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    s->result = wait2(s->word, s->value, s->mask, s->flags, NULL);
    s->error = errno;
    return NULL;
}
static pthread_t start(struct sleeper *s) {
    pthread_t t;
    pthread_create(&t, NULL, asleep, s);
    while (!__atomic_load_n(&s->tid, __ATOMIC_SEQ_CST)) usleep(1000);
    wait_asleep(getpid(), s->tid);
    return t;
}
static void one_word(void) {
    static unsigned word = 5;
    struct long_time past = {0, 1}, wrong = {0, -1};
    printf("wait: %s", result(wait2(&word, 4, 0xffffffff, U32, NULL)));
    say(wait2(&word, 5, 0xffffffff, U32, &past));
    say(wait2(&word, 5, 0xffffffff, U32, &wrong)); say(wait2(&word, 5, 0, U32, NULL)); puts("");
    printf("wait: %s", result(wait2(&word, 5, 0xffffffff, 0, NULL))); say(wait2(&word, 5, 0xffffffff, 3, NULL));
    printf(" %s", result(wait2((void *)&word + 1, 5, 0xffffffff, U32, NULL)));
    say(wait2((void *)8, 5, 0xffffffff, U32, NULL));
#ifdef __x86_64__
    say(wait2(&word, 1L << 33, 0xffffffff, U32, NULL));
#endif
    puts("");
    printf("clock: %s", result(syscall(SYS_futex_wait, &word, 5, 0xffffffffL, U32, &past, 7)));
    say(syscall(SYS_futex_wait, &word, 5, 0xffffffffL, U32, &past, CLOCK_REALTIME)); puts("");
    printf("wake: %s", result(wake2(&word, 0xffffffff, 1, U32))); say(wake2(&word, 0, 1, U32));
    say(wake2(&word, 0xffffffff, 1, 64));
    printf(" %s\n", result(wake2((void *)&word + 2, 0xffffffff, 1, U32)));
    struct sleeper a = {&word, 5, 1, U32 | PRIVATE}, b = {&word, 5, 2, U32 | PRIVATE}, c = {&word, 5, 3, U32 | PRIVATE};
    pthread_t ta = start(&a), tb = start(&b), tc = start(&c);
    printf("bits 4: %s", result(wake2(&word, 4, 9, U32 | PRIVATE)));
    printf(", bit 2, at most one: %s", result(wake2(&word, 2, 1, U32 | PRIVATE)));
    printf(", shared word: %s", result(wake2(&word, 0xffffffff, 9, U32)));
    printf(", rest: %s\n", result(wake2(&word, 0xffffffff, 9, U32 | PRIVATE)));
    pthread_join(ta, NULL), pthread_join(tb, NULL), pthread_join(tc, NULL);
    printf("woken: %ld %ld %ld\n", a.result, b.result, c.result);
}
static void moved(void) {
    static unsigned from = 1, to = 2;
    struct sleeper s[4];
    pthread_t t[4];
    for (int i = 0; i < 4; i++) {
        s[i] = (struct sleeper){&from, 1, 0xffffffff, U32 | PRIVATE};
        t[i] = start(&s[i]);
    }
    struct waitv pair[2] = {{1, (uintptr_t)&from, U32 | PRIVATE, 0}, {0, (uintptr_t)&to, U32 | PRIVATE, 0}};
    struct waitv other[2] = {{9, (uintptr_t)&from, U32 | PRIVATE, 0}, pair[1]};
    printf("requeue: %s", result(syscall(SYS_futex_requeue, other, 0, 1, 1)));
    say(syscall(SYS_futex_requeue, pair, 1, 1, 1)); say(syscall(SYS_futex_requeue, 8L, 0, 1, 1));
    printf(" %s", result(syscall(SYS_futex_requeue, pair, 0, -1, 1)));
    printf(" %s\n", result(syscall(SYS_futex_requeue, pair, 0, 1, 2)));
    printf("of the other word: %s", result(wake2(&to, 0xffffffff, 9, U32 | PRIVATE)));
    printf(", of the first: %s\n", result(wake2(&from, 0xffffffff, 9, U32 | PRIVATE)));
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
}
static unsigned many[3] = {1, 2, 3};
static int many_tid;
static long many_result;
static void *wait_for_any(void *arg) {
    struct waitv all[3];
    for (int i = 0; i < 3; i++) all[i] = (struct waitv){i + 1, (uintptr_t)&many[i], U32 | PRIVATE, 0};
    __atomic_store_n(&many_tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    many_result = syscall(SYS_futex_waitv, all, 3, 0, NULL, CLOCK_MONOTONIC);
    return arg;
}
static void several_words(void) {
    struct long_time past = {0, 1};
    struct waitv one = {1, (uintptr_t)&many[0], U32 | PRIVATE, 0}, changed = {2, (uintptr_t)&many[0], U32 | PRIVATE, 0};
    struct waitv reserved = {1, (uintptr_t)&many[0], U32 | PRIVATE, 1};
    printf("waitv: %s", result(syscall(SYS_futex_waitv, &one, 1, 0, &past, CLOCK_MONOTONIC)));
    say(syscall(SYS_futex_waitv, &changed, 1, 0, NULL, CLOCK_MONOTONIC));
    say(syscall(SYS_futex_waitv, &reserved, 1, 0, NULL, CLOCK_MONOTONIC));
    say(syscall(SYS_futex_waitv, &one, 129, 0, NULL, CLOCK_MONOTONIC)); puts("");
    printf("waitv: %s", result(syscall(SYS_futex_waitv, &one, 0, 0, NULL, CLOCK_MONOTONIC)));
    say(syscall(SYS_futex_waitv, &one, 1, 1, NULL, CLOCK_MONOTONIC));
    say(syscall(SYS_futex_waitv, 8L, 1, 0, NULL, CLOCK_MONOTONIC)); say(syscall(SYS_futex_waitv, &one, 1, 0, &past, 9));
    puts("");
    pthread_t t;
    pthread_create(&t, NULL, wait_for_any, NULL);
    while (!__atomic_load_n(&many_tid, __ATOMIC_SEQ_CST)) usleep(1000);
    wait_asleep(getpid(), many_tid);
    printf("woken by the third: %s", result(wake2(&many[2], 0xffffffff, 1, U32 | PRIVATE)));
    pthread_join(t, NULL);
    printf(", it says %ld\n", many_result);
}
// A word that two processes have, each at an address of its own.
static void shared_word(void) {
    int fd = memfd_create("word", 0);
    if (ftruncate(fd, 4096)) return;
    unsigned *mine = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    pid_t child = fork();
    if (child == 0) {
        unsigned *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        _exit(wait2(own, 0, 0xffffffff, U32, NULL) == 0 ? 0 : errno);
    }
    long woken;
    while ((woken = wake2(mine, 0xffffffff, 1, U32)) == 0) usleep(1000);
    int status;
    waitpid(child, &status, 0);
    printf("between processes: %ld, status %d\n", woken, WEXITSTATUS(status));
}
int main(void) {
    one_word();
    moved();
    several_words();
    shared_word();
    return 0;
}
