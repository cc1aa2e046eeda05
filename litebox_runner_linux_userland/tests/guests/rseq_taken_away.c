//@ 64-bit only: as slow as the other; rseq(2) has one layout
//@ variants: static dynamic
//@ flags: -pthread
// What the host writes for a thread (rseq(2)), and what leads it to a critical section, is taken away or made bad: the
// process whose it is dies of SIGSEGV at most, wherever it is at that moment, and nobody else does.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

struct section {
    uint32_t version, flags;
    uint64_t start, length, abort;
} __attribute__((aligned(32)));

static unsigned char *rseq_area(void) {
    return (unsigned char *)__builtin_thread_pointer() + (&__rseq_offset ? __rseq_offset : 0);
}
static volatile uint64_t *pointer_of(unsigned char *area) {
    return (volatile uint64_t *)(area + 8);
}
static void *page_of(void *at) {
    return (void *)((uintptr_t)at & -4096);
}

// Linux may notice only when it has scheduled the thread another time.
static void live_on(void) {
    for (int i = 0; i < 2000; i++) {
        usleep(1000);
        sched_yield();
    }
    syscall(SYS_exit_group, 7);
}

// A sibling whose area is known, and who is asleep, or calls without end.
static unsigned char *volatile siblings;
static volatile int busy;
static void *sibling(void *unused) {
    siblings = rseq_area();
    if (busy)
        for (;;)
            syscall(SYS_getppid), syscall(SYS_sched_yield);
    live_on();
    return unused;
}
enum { STACK = 1 << 20 };
static unsigned char *start_sibling_on(void *own, int calls) {
    pthread_t thread;
    pthread_attr_t attr;
    busy = calls;
    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, own, STACK);
    if (pthread_create(&thread, &attr, sibling, 0))
        _exit(6);
    while (!siblings)
        usleep(1000);
    usleep(20000);
    return siblings;
}

// Its storage lies on pages of its own.
static unsigned char *start_sibling(int calls) {
    return start_sibling_on(mmap(0, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), calls);
}

// The page by which a context of asynchronous I/O is known is the last of a stack, where the storage is.
static void siblings_context_destroyed(void) {
    unsigned long context = 0;
    if (syscall(SYS_io_setup, 1, &context))
        _exit(5);
    char *own = (char *)context + 4096 - STACK;
    if (mmap(own, STACK - 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != own)
        _exit(4);
    start_sibling_on(own, 1);
    syscall(SYS_io_destroy, context);
    live_on();
}
static void siblings_unmapped(void) {
    munmap(page_of(start_sibling(0)), 4096);
    live_on();
}
static void busy_siblings_unmapped(void) {
    munmap(page_of(start_sibling(1)), 4096);
    live_on();
}
static void siblings_protected(void) {
    mprotect(page_of(start_sibling(0)), 4096, PROT_READ);
    live_on();
}
static void busy_siblings_hidden(void) {
    mprotect(page_of(start_sibling(1)), 4096, PROT_NONE);
    live_on();
}
static void siblings_moved(void) {
    void *page = page_of(start_sibling(0));
    mremap(page, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    live_on();
}
static void siblings_covered(void) {
    void *page = page_of(start_sibling(0));
    void *other = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mremap(other, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, page);
    live_on();
}
static void siblings_read_only_instead(void) {
    void *page = page_of(start_sibling(1));
    mmap(page, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    live_on();
}
static void siblings_segment_instead(void) {
    void *page = page_of(start_sibling(0));
    int id = shmget(IPC_PRIVATE, 4096, 0600);
    shmat(id, page, SHM_REMAP | SHM_RDONLY);
    shmctl(id, IPC_RMID, 0);
    live_on();
}
static void own_covered(void) {
    void *other = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    syscall(SYS_mremap, other, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, page_of(rseq_area()));
    for (;;)
        syscall(SYS_sched_yield);
}
static void siblings_as_it_was(void) {
    unsigned char *area = start_sibling(1);
    int failed = 0;
    for (int i = 0; i < 1000; i++)
        failed |= mprotect(page_of(area), 4096, PROT_READ | PROT_WRITE);
    failed |= munmap(page_of(area) + 1, 4096) != -1 || errno != EINVAL;
    failed |= mprotect(page_of(area) + 1, 4096, PROT_NONE) != -1 || errno != EINVAL;
    usleep(10000);
    _exit(failed);
}

// Another process with the same memory takes it away: its owner dies, and the other goes on.
static int other(void *page) {
    int failed = munmap(page, 4096);
    failed |= munmap(page, 4096);
    syscall(SYS_exit_group, failed ? 5 : 4);
    return 0;
}
static void by_another_process(void) {
    static char stack[65536] __attribute__((aligned(16)));
    void *page = page_of(rseq_area());
    // The owner's parent hears of the other's end by this pipe.
    clone(other, stack + sizeof stack, CLONE_VM | CLONE_PARENT | SIGCHLD, page);
    for (;;)
        syscall(SYS_sched_yield);
}

static void pointer_to(void *section) {
    *pointer_of(rseq_area()) = (uintptr_t)section;
    live_on();
}
static void pointer_to_nothing(void) {
    pointer_to((void *)8);
}
static void pointer_above_all(void) {
    pointer_to((void *)0x8000000000000000);
}
static void pointer_to_kernel(void) {
    pointer_to((void *)0xffffffff81000000);
}
static void pointer_to_unknown_version(void) {
    static struct section section = {.version = 1, .start = 4096, .length = 16, .abort = 8192};
    pointer_to(&section);
}
static void pointer_with_abort_inside(void) {
    static struct section section = {.start = 4096, .length = 4096, .abort = 4100};
    pointer_to(&section);
}
static void pointer_without_signature(void) {
    static struct section section = {.length = 1};
    section.start = (uintptr_t)&pointer_to_nothing;
    section.abort = (uintptr_t)&pointer_to;
    pointer_to(&section);
}
static void pointer_of_sibling(void) {
    unsigned char *area = start_sibling(1);
    for (;;)
        *pointer_of(area) = 8;
}
static void pointer_left_behind(void) {
    // A section that was left: nothing is wrong, and the pointer goes.
    static struct {
        uint32_t signature;
        unsigned char code[12];
    } handler = {.signature = 0x53053053};
    static struct section section = {.length = 1};
    section.start = (uintptr_t)&pointer_to_nothing;
    section.abort = (uintptr_t)&handler.code;
    volatile uint64_t *pointer = pointer_of(rseq_area());
    for (int round = 0; round < 100; round++) {
        *pointer = (uintptr_t)&section;
        for (int i = 0; *pointer && i < 1000; i++)
            usleep(100);
        if (*pointer)
            _exit(1);
    }
    _exit(0);
}
static void pointer_of_copy(void) {
    *pointer_of(rseq_area()) = 8;
    if (fork() == 0)
        live_on();
    live_on();
}

static const struct {
    const char *name;
    void (*act)(void);
} acts[] = {
    {"a sibling's is unmapped", siblings_unmapped},
    {"a busy sibling's is unmapped", busy_siblings_unmapped},
    {"a busy sibling's is in a context that is destroyed", siblings_context_destroyed},
    {"a sibling's cannot be written", siblings_protected},
    {"a busy sibling's is hidden", busy_siblings_hidden},
    {"a sibling's is moved", siblings_moved},
    {"a sibling's is covered", siblings_covered},
    {"a sibling's is replaced", siblings_read_only_instead},
    {"a sibling's becomes a segment", siblings_segment_instead},
    {"the own is covered", own_covered},
    {"a sibling's stays", siblings_as_it_was},
    {"by another process", by_another_process},
    {"pointer to nothing", pointer_to_nothing},
    {"pointer above all", pointer_above_all},
    {"pointer to the kernel", pointer_to_kernel},
    {"pointer to an unknown version", pointer_to_unknown_version},
    {"pointer with the abort inside", pointer_with_abort_inside},
    {"pointer without the signature", pointer_without_signature},
    {"pointer of a sibling", pointer_of_sibling},
    {"pointer left behind", pointer_left_behind},
    {"pointer of a copy", pointer_of_copy},
};

int main(int argc, char **argv) {
    if (!&__rseq_size || !__rseq_size)
        return puts("no rseq"), 0;
    for (unsigned i = 0; i < sizeof acts / sizeof *acts; i++) {
        if (argc > 1 && strcmp(argv[1], acts[i].name))
            continue;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            acts[i].act();
            _exit(9);
        }
        int status;
        waitpid(child, &status, 0);
        printf("%s: %s %d\n", acts[i].name, WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        // Those that the child made for us; a copy is nobody's but that of the first process, which a sandbox has.
        while (waitpid(-1, &status, 0) > 0)
            if (acts[i].act != pointer_of_copy) printf("another: %s %d\n", WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    return 0;
}
