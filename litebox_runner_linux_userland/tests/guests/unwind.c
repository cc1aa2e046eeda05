//@ variants: static dynamic musl
//@ flags: -pthread -fexceptions -funwind-tables -fnon-call-exceptions
// Unwinders get from a signal handler to the code it interrupted, also after the code that handlers return to was
// executed often.
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <execinfo.h>
#include <unwind.h>

// The places that a walk from the handler has to come by, in this order.
enum { HANDLER, INTERRUPTED, OUTER, PLACES };
static uintptr_t starts[PLACES];
static volatile int met, frames;
static volatile int handled;
static char *forbidden;

static void meet(uintptr_t pc) {
    frames++;
    if (met < PLACES && starts[met] && pc >= starts[met] && pc < starts[met] + 512) met++;
}

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *nothing) {
    (void)nothing;
    // The way back from here to the place asked for is by the start of its function.
    uintptr_t function = _Unwind_GetRegionStart(context);
    meet(function ? function : _Unwind_GetIP(context));
    return frames < 64 ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static __attribute__((noinline)) void handler(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    met = frames = 0;
    _Unwind_Backtrace(step, NULL);
    handled++;
    // A fault: it must not happen again.
    if (forbidden) mprotect(forbidden, 4096, PROT_READ | PROT_WRITE), forbidden = NULL;
}

static __attribute__((noinline)) void interrupted(int by_fault) {
    if (by_fault) *(volatile char *)forbidden = 1;
    else raise(SIGUSR1);
    asm volatile("" ::: "memory");
}

static __attribute__((noinline)) void outer(int by_fault) {
    interrupted(by_fault);
    asm volatile("" ::: "memory");
}

static void walks(int by_fault) {
    int good = 0;
    handled = 0;
    for (int i = 0; i < 100; i++) {
        if (by_fault) {
            forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        }
        outer(by_fault);
        good += met == PLACES;
    }
    printf("from a handler of a %s: %d handled, %d walks are whole\n", by_fault ? "fault" : "signal", handled, good);
}

static volatile int found;
static void tracer(int signal) {
    (void)signal;
    void *addresses[64];
    int n = backtrace(addresses, 64);
    for (int i = 0; i < n; i++) found |= (uintptr_t)addresses[i] - starts[OUTER] < 128;
}
static void traces(void) {
    int good = 0;
    signal(SIGUSR1, tracer);
    for (int i = 0; i < 50; i++) {
        found = 0;
        outer(0);
        good += found;
    }
    printf("backtrace: %d\n", good);
}

// Cancellation at any instruction unwinds from a handler through the frame it interrupted, whose cleanup runs.
static volatile int cleaned;
static volatile int stored[8];
static volatile int *volatile place = stored;
static void clean(int *mark) {
    cleaned += *mark;
}
static __attribute__((noinline)) void spin(void) {
    __attribute__((cleanup(clean))) int mark = 1;
    // Each store may fault, as far as the compiler knows: so the cleanup covers all of the loop but its jump.
    for (volatile int *at = (volatile int *)place;; ) {
        at[0] = 1, at[1] = 1, at[2] = 1, at[3] = 1, at[4] = 1, at[5] = 1, at[6] = 1, at[7] = 1;
        at[0] = 1, at[1] = 1, at[2] = 1, at[3] = 1, at[4] = 1, at[5] = 1, at[6] = 1, at[7] = 1;
    }
}
static void *worker(void *nothing) {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    spin();
    return nothing;
}
static void cancels(void) {
    int cancelled = 0, tries = 0;
    // Where it is met is chance: at the jump nothing is cleaned.
    for (; tries < 20 || (!cleaned && tries < 1000); tries++) {
        pthread_t thread;
        void *result = NULL;
        stored[7] = 0;
        pthread_create(&thread, NULL, worker, NULL);
        while (!stored[7]) usleep(100);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        cancelled += result == PTHREAD_CANCELED;
    }
    printf("all cancelled: %d, some cleaned: %d\n", cancelled == tries, cleaned > 0);
}

int main(void) {
    starts[HANDLER] = (uintptr_t)handler;
    starts[INTERRUPTED] = (uintptr_t)interrupted;
    starts[OUTER] = (uintptr_t)outer;
    struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &act, NULL);
    sigaction(SIGSEGV, &act, NULL);
    walks(0);
    walks(1);
    walks(0);
    traces();
    cancels();
    walks(1);
    return 0;
}
#else
// No table speaks of musl's: the bytes by which it is recognised stay.
static volatile int intact;
static __attribute__((noinline)) void handler(int signal) {
    (void)signal;
    intact += !memcmp(__builtin_return_address(0), "\x48\xc7\xc0\x0f\0\0\0\x0f\x05", 9);
}

int main(void) {
    signal(SIGUSR1, handler);
    for (int i = 0; i < 100; i++) raise(SIGUSR1);
    printf("recognised by its bytes: %d\n", intact);
    return 0;
}
#endif
