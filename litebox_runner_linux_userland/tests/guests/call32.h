// Calls in the manner of 32-bit programs: by int $0x80, with the numbers of i386. A 64-bit program can make them, too,
// as long as what they point to lies below 4 GiB: `low` gives such memory.
#include "result.h"
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static char *arena, *next_low;
static __attribute__((unused)) uint32_t low(const void *from, size_t size)
{
    char *at = next_low;
    next_low += (size + 15) & ~15ul;
    if (from) memcpy(at, from, size);
    else memset(at, 0, size);
    return (uint32_t)(uintptr_t)at;
}
static __attribute__((unused)) uint32_t low_text(const char *text) { return low(text, strlen(text) + 1); }
static __attribute__((unused)) void *at(uint32_t address) { return (void *)(uintptr_t)address; }

static __attribute__((unused, noinline)) long raw32(long nr, long a, long b, long c, long d, long e, long f)
{
    long r;
#ifdef __x86_64__
    register long five __asm__("r12") = f;
    __asm__ volatile("push %%rbp\n\tmov %%r12, %%rbp\n\tint $0x80\n\tpop %%rbp"
                     : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e), "r"(five) : "memory", "r8", "r9", "r10", "r11");
#else
    long args[2] = {a, f};
    __asm__ volatile("push %%ebx\n\tpush %%ebp\n\tmov 4(%%ebx), %%ebp\n\tmov (%%ebx), %%ebx\n\tint $0x80\n\tpop %%ebp\n\tpop %%ebx"
                     : "=a"(r) : "a"(nr), "b"(args), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
#endif
    return (int32_t)r;
}
// As syscall(2): -1 and errno.
static __attribute__((unused)) long c32(long nr, long a, long b, long c, long d, long e, long f)
{
    long r = raw32(nr, a, b, c, d, e, f);
    if (r < 0 && r > -4096) {
        errno = -r;
        return -1;
    }
    return r;
}
#define CALL32(nr, a, b, c, d, e, f, ...) c32(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define call32(...) CALL32(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

// Prints what a call returned behind some words.
static __attribute__((unused)) void tell(const char *what, long r) { printf("%s %s", what, result(r)); }

static sigjmp_buf no_calls;
static void refused(int signal) { (void)signal; siglongjmp(no_calls, 1); }
// Whether the host has such calls at all; without them a program that makes one dies, here and there.
static __attribute__((unused)) int have_calls(void)
{
    arena = next_low = mmap((void *)0x10000000, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (arena == MAP_FAILED) return 0;
    struct sigaction action = {.sa_handler = refused}, before;
    sigaction(SIGSEGV, &action, &before);
    int have = sigsetjmp(no_calls, 1) == 0;
    if (have) raw32(20, 0, 0, 0, 0, 0, 0);
    else puts("no calls of 32-bit programs");
    sigaction(SIGSEGV, &before, NULL);
    return have;
}
