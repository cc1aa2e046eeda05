//@ variants: static dynamic
// What a process does to itself ends that process alone, as Linux ends it: its parent goes on.
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern const ptrdiff_t __rseq_offset __attribute__((weak));

static unsigned char *rseq_area(void) {
    return (unsigned char *)__builtin_thread_pointer() + (&__rseq_offset ? __rseq_offset : 0);
}
static void *page_of(void *at) {
    return (void *)((uintptr_t)at & -4096);
}

// Linux may notice only when it schedules the process another time.
static void wait_for_the_end(void) {
    for (long i = 0; i < 200000000; i++)
        if (i % 64 == 0)
            syscall(SYS_sched_yield);
    syscall(SYS_exit_group, 7);
}

static void unmap_area(void) {
    syscall(SYS_munmap, page_of(rseq_area()), 4096);
    wait_for_the_end();
}
static void unmap_all(void) {
    syscall(SYS_munmap, 0, (uintptr_t)page_of(rseq_area()) + 4096);
    wait_for_the_end();
}
static void protect_area(void) {
    syscall(SYS_mprotect, page_of(rseq_area()), 4096, PROT_READ);
    wait_for_the_end();
}
static void hide_area(void) {
    syscall(SYS_mprotect, page_of(rseq_area()), 4096, PROT_NONE);
    wait_for_the_end();
}
static void leave_area_behind(void) {
    if (madvise(page_of(rseq_area()), 4096, MADV_DONTFORK))
        _exit(5);
    pid_t child = syscall(SYS_fork);
    if (child == 0)
        wait_for_the_end();
    int status;
    waitpid(child, &status, 0);
    _exit(WIFSIGNALED(status) ? 100 + WTERMSIG(status) : WEXITSTATUS(status));
}
// Another page comes in its place: nothing is wrong.
static void replace_area(void) {
    static unsigned char saved[4096];
    void *page = page_of(rseq_area());
    memcpy(saved, page, 4096);
    void *at = (void *)syscall(SYS_mmap, page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memcpy(page, saved, 4096);
    for (int i = 0; i < 1000; i++)
        syscall(SYS_sched_yield);
    _exit(at == page ? 0 : 1);
}
static void protect_and_back(void) {
    // A moment without it is no crime when nothing happens in it, and Linux cannot tell: so there is none here.
    void *page = page_of(rseq_area());
    _exit(syscall(SYS_mprotect, page, 4096, PROT_READ | PROT_WRITE) ? 1 : 0);
}

static void ignore(int signal) {
    (void)signal;
}
// A handler where no program can be, and the site of the call is known by then.
static void handler_at(uintptr_t at) {
    signal(SIGUSR1, ignore);
    for (int i = 0; i < 20; i++)
        syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
    struct sigaction action = {.sa_handler = (void (*)(int))at};
    sigaction(SIGUSR1, &action, 0);
    syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
    _exit(0);
}
static void handler_non_canonical(void) {
    handler_at(0x8000000000000000);
}
static void handler_just_above(void) {
    handler_at(0x800000000000);
}
static void handler_at_the_top(void) {
    handler_at(0xfffffffffffff000);
}
static void handler_at_zero(void) {
    handler_at(16);
}

#ifdef __x86_64__
// The code that kernels have for static programs of old.
static void old_calls(void) {
    struct timeval now = {0};
    struct timezone zone = {-1, -1};
    int result = ((int (*)(struct timeval *, void *))0xffffffffff600000)(&now, &zone);
    printf("old gettimeofday %d %d %d\n", result, labs(now.tv_sec - time(0)) <= 1, zone.tz_dsttime != -1);
    time_t stored = 0, told = ((time_t (*)(time_t *))0xffffffffff600400)(&stored);
    printf("old time %d %d\n", told == stored, labs(told - time(0)) <= 1);
    unsigned cpu = -1, node = -1;
    result = ((int (*)(unsigned *, unsigned *, void *))0xffffffffff600800)(&cpu, &node, 0);
    printf("old getcpu %d %d %d\n", result, cpu < 4096, node < 64);
    for (int i = 0; i < 1000; i++)
        told = ((time_t (*)(time_t *))0xffffffffff600400)(0);
    printf("old time again %d\n", labs(told - time(0)) <= 1);
    fflush(stdout);
    _exit(0);
}
static void old_call_with_bad_pointer(void) {
    ((time_t (*)(time_t *))0xffffffffff600400)((time_t *)8);
    _exit(0);
}
static void between_old_calls(void) {
    ((int (*)(void))0xffffffffff600010)();
    _exit(0);
}
static void read_old_page(void) {
    _exit(*(volatile unsigned char *)0xffffffffff600000 ? 1 : 1);
}
#endif

static const struct {
    const char *name;
    void (*act)(void);
} acts[] = {
    {"unmap area", unmap_area},
    {"unmap all", unmap_all},
    {"protect area", protect_area},
    {"hide area", hide_area},
    {"leave area behind", leave_area_behind},
    {"replace area", replace_area},
    {"protect and back", protect_and_back},
    {"handler non-canonical", handler_non_canonical},
    {"handler just above", handler_just_above},
    {"handler at the top", handler_at_the_top},
    {"handler at zero", handler_at_zero},
#ifdef __x86_64__
    {"old calls", old_calls},
    {"old call, bad pointer", old_call_with_bad_pointer},
    {"between old calls", between_old_calls},
    {"read old page", read_old_page},
#endif
};

int main(void) {
    for (unsigned i = 0; i < sizeof acts / sizeof *acts; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            acts[i].act();
            _exit(9);
        }
        int status;
        waitpid(child, &status, 0);
        printf("%s: %s %d\n", acts[i].name, WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    return 0;
}
