// FUTEX_CMP_REQUEUE_PI keeps who it cannot give the lock to; private words and words that others may share are
// different futexes.
//@ flags: -pthread
#include "asleep.h"
#include "result.h"
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static unsigned cond, lock, word;
static int waiting, owned, failed;

static long futex(unsigned *addr, int op, unsigned val, const void *timeout, unsigned *addr2, unsigned val3) {
    return syscall(SYS_futex, addr, op, val, timeout, addr2, val3);
}
static void *requeued(void *tid) {
    *(int *)tid = syscall(SYS_gettid);
    __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    long r = futex(&cond, FUTEX_WAIT_REQUEUE_PI, 0, NULL, &lock, 0);
    if (r == 0 && (lock & FUTEX_TID_MASK) == (unsigned)syscall(SYS_gettid)) {
        __atomic_add_fetch(&owned, 1, __ATOMIC_SEQ_CST);
        futex(&lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
    } else __atomic_add_fetch(&failed, 1, __ATOMIC_SEQ_CST);
    return NULL;
}
static void locks(void) {
    pthread_t t[3];
    int tids[3];
    for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, requeued, &tids[i]);
    while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < 3) usleep(1000);
    for (int i = 0; i < 3; i++) wait_asleep(getpid(), tids[i]);
    lock = 0x3ffffff0;
    long r = futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)100L, &lock, 0);
    printf("to a lock of nobody: %s\n", result(r));
    lock = 0;
    printf("with another value: %s\n", result(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)100L, &lock, 1)));
    r = futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)100L, &lock, 0);
    printf("to a free lock: %s\n", result(r));
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
    printf("owned it: %d, failed: %d\n", owned, failed);
}

struct sleeper { int op, tid; unsigned *word; long result; };
static void *asleep(void *arg) {
    struct sleeper *s = arg;
    __atomic_store_n(&s->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    s->result = futex(s->word, s->op, 0, NULL, NULL, 0);
    return NULL;
}
static void kinds(const char *what, unsigned *at) {
    struct sleeper s[2] = {{.op = FUTEX_WAIT, .word = at}, {.op = FUTEX_WAIT_PRIVATE, .word = at}};
    pthread_t t[2];
    for (int i = 0; i < 2; i++) {
        pthread_create(&t[i], NULL, asleep, &s[i]);
        int tid;
        while (!(tid = __atomic_load_n(&s[i].tid, __ATOMIC_SEQ_CST))) usleep(1000);
        wait_asleep(getpid(), tid);
    }
    printf("%s", what);
    printf(": wakes of both kinds %s", result(futex(at, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0)));
    printf(" %s", result(futex(at, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0)));
    printf(" %s", result(futex(at, FUTEX_WAKE, 9, NULL, NULL, 0)));
    printf(" %s\n", result(futex(at, FUTEX_WAKE, 9, NULL, NULL, 0)));
    for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
}
int main(void) {
    locks();
    kinds("private memory", &word);
    kinds("shared memory", mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    unsigned other = 5;
    int add = FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 5);
    printf("FUTEX_WAKE_OP, the first word nowhere: %s", result(futex(NULL, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, (void *)1L, &other, add)));
    printf(", the other is %u\n", other);
    printf("the other nowhere: %s\n", result(futex(&other, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, (void *)1L, NULL, add)));
    printf("shared, the first nowhere: %s\n", result(futex(NULL, FUTEX_WAKE_OP, 1, (void *)1L, &other, add)));
    printf("wake nowhere: %s", result(futex(NULL, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0)));
    printf(" %s\n", result(futex(NULL, FUTEX_WAKE, 1, NULL, NULL, 0)));
    printf("wait nowhere: %s", result(futex(NULL, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0)));
    printf(" %s\n", result(futex((unsigned *)-4096L, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0)));
    return 0;
}
