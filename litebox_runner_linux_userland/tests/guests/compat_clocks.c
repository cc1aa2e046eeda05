// The clocks of the 32-bit vDSO: never behind those of calls or before them, no register lost, errors and faults as on
// the host, a step at a time, and when 64-bit code has left anything in its registers.
//@ variants: m32 m32-dynamic
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define ROUNDS 300

struct time64 { int64_t sec; int64_t nsec; };
struct time32 { int32_t sec; int32_t nsec; };

static int (*gettime32)(int, struct time32 *);
static int (*gettime64)(int, struct time64 *);
static int (*getres)(int, struct time32 *);
static int (*get_timeofday)(struct time32 *, void *);
static int32_t (*get_time)(int32_t *);

static void *function(const char *name) {
    const char *image = (void *)getauxval(AT_SYSINFO_EHDR);
    const Elf32_Ehdr *head = (void *)image;
    const Elf32_Phdr *segments = (void *)(image + head->e_phoff);
    const Elf32_Dyn *dynamic = 0;
    for (int i = 0; i < head->e_phnum; i++)
        if (segments[i].p_type == PT_DYNAMIC)
            dynamic = (void *)(image + segments[i].p_vaddr);
    const Elf32_Sym *symbols = 0;
    const char *strings = 0;
    for (; dynamic->d_tag; dynamic++) {
        if (dynamic->d_tag == DT_SYMTAB)
            symbols = (void *)(image + dynamic->d_un.d_ptr);
        if (dynamic->d_tag == DT_STRTAB)
            strings = image + dynamic->d_un.d_ptr;
    }
    for (const Elf32_Sym *s = symbols + 1; (const char *)s < strings; s++)
        if (!strcmp(strings + s->st_name, name))
            return (void *)(image + s->st_value);
    printf("no %s\n", name);
    return 0;
}

static long by_int80(long number, long a, long b) {
    long result;
    asm volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b) : "memory");
    return result;
}

static int64_t nanoseconds(int64_t sec, int64_t nsec) { return sec * 1000000000 + nsec; }

// The clock through the four ways in turn; microseconds and seconds are compared as such.
static int64_t reading(int clock, int way) {
    struct time64 wide = {-1, -1};
    struct time32 narrow = {-1, -1};
    switch (way) {
    case 0: return by_int80(403, clock, (long)&wide) ? -1 : nanoseconds(wide.sec, wide.nsec);
    case 1: return gettime64(clock, &wide) ? -1 : nanoseconds(wide.sec, wide.nsec);
    case 2: return gettime32(clock, &narrow) ? -1 : nanoseconds(narrow.sec, narrow.nsec);
    default: return by_int80(265, clock, (long)&narrow) ? -1 : nanoseconds(narrow.sec, narrow.nsec);
    }
}

// How often time went back, from one way to the next; -1 if one does not answer.
static int backwards(int clock) {
    int back = 0;
    int64_t last = reading(clock, 0);
    for (int i = 0; i < ROUNDS * 4; i++) {
        int64_t now = reading(clock, i % 4);
        if (now < 0)
            return -1;
        back += now < last;
        last = now;
    }
    return back;
}

// As above for the time of day, whose real clock somebody may set meanwhile: three tries.
static int right(int (*wrong)(int), int what) {
    for (int i = 0; i < 3; i++)
        if (!wrong(what))
            return 1;
    return 0;
}

static int of_day(int zone) {
    int back = 0;
    (void)zone;
    for (int i = 0; i < ROUNDS; i++) {
        struct time64 before, after;
        struct time32 micro;
        back += by_int80(403, CLOCK_REALTIME, (long)&before) != 0 || get_timeofday(&micro, 0) != 0;
        back += by_int80(403, CLOCK_REALTIME, (long)&after) != 0;
        int64_t at = nanoseconds(micro.sec, micro.nsec * 1000ll);
        back += micro.nsec < 0 || micro.nsec >= 1000000;
        back += at < nanoseconds(before.sec, before.nsec / 1000 * 1000) || at > nanoseconds(after.sec, after.nsec);
    }
    return back;
}

static int seconds(int stored) {
    int wrong = 0;
    for (int i = 0; i < ROUNDS; i++) {
        int32_t before = by_int80(SYS_time, 0, 0), kept = -1, at = get_time(stored ? &kept : 0);
        int32_t after = by_int80(SYS_time, 0, 0);
        wrong += at < before || at > after || (stored && kept != at);
    }
    return wrong;
}

// ebx, esi, edi, ebp and esp behind a call of `to`.
int kept_by(const void *to, long a, const void *b);
asm(".text\n kept_by: push %ebx\n push %esi\n push %edi\n push %ebp\n"
    "mov 20(%esp), %eax\n mov 24(%esp), %ecx\n mov 28(%esp), %edx\n"
    "mov $0x11223344, %ebx\n mov $0x89abcdef, %esi\n mov $0xfedcba98, %edi\n mov %esp, %ebp\n"
    "push %edx\n push %ecx\n call *%eax\n add $8, %esp\n"
    "cmp $0x11223344, %ebx\n jne 1f\n cmp $0x89abcdef, %esi\n jne 1f\n cmp $0xfedcba98, %edi\n jne 1f\n"
    "cmp %esp, %ebp\n jne 1f\n mov $1, %eax\n jmp 2f\n"
    "1: xor %eax, %eax\n 2: pop %ebp\n pop %edi\n pop %esi\n pop %ebx\n ret\n"
    // r8 to r15 are what eax and edx say, each of them.
    ".globl litter\n litter: mov 4(%esp), %eax\n mov 8(%esp), %edx\n"
    "call 1f\n 1: pop %ecx\n lea 2f-1b(%ecx), %ecx\n push $0x33\n push %ecx\n lcall *(%esp)\n lea 8(%esp), %esp\n ret\n"
    ".code64\n"
    "2: shl $32, %rdx\n or %rdx, %rax\n mov %rax, %r8\n mov %rax, %r9\n mov %rax, %r10\n mov %rax, %r11\n"
    "mov %rax, %r12\n mov %rax, %r13\n mov %rax, %r14\n mov %rax, %r15\n lretl\n"
    ".code32\n");
void litter(uint32_t low, uint32_t high);

static sigjmp_buf back;
static volatile uintptr_t fault_at;
static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    fault_at = (uintptr_t)info->si_addr;
    siglongjmp(back, 1);
}

static volatile int steps, strange;
static void on_step(int signal, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    (void)signal;
    steps++;
    strange += (uint16_t)uc->uc_mcontext.gregs[REG_CS] != 0x23 || info->si_code != TRAP_TRACE;
}

static void faults(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, 0);
    if (!sigsetjmp(back, 1))
        printf("stored nowhere: %d\n", gettime64(CLOCK_MONOTONIC, (void *)4));
    printf("64: fault at %#lx\n", (unsigned long)fault_at);
    if (!sigsetjmp(back, 1))
        printf("stored nowhere: %d\n", get_timeofday((void *)16, 0));
    printf("time of day: fault at %#lx\n", (unsigned long)fault_at);
    printf("by calls: %ld %ld\n", by_int80(403, CLOCK_MONOTONIC, 4), by_int80(SYS_gettimeofday, 16, 0));
}

int main(void) {
    gettime32 = function("__vdso_clock_gettime"), gettime64 = function("__vdso_clock_gettime64");
    getres = function("__vdso_clock_getres");
    get_timeofday = function("__vdso_gettimeofday"), get_time = function("__vdso_time");
    static const int clocks[] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
                                 CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++)
        printf("clock %d: %d times back\n", clocks[i], backwards(clocks[i]));
    static const int real[] = {CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI};
    for (unsigned i = 0; i < sizeof real / sizeof *real; i++)
        printf("clock %d: %s\n", real[i], right(backwards, real[i]) ? "right" : "back");
    printf("time of day: %s\n", right(of_day, 0) ? "right" : "wrong");
    printf("seconds: %s, stored: %s\n", right(seconds, 0) ? "right" : "wrong", right(seconds, 1) ? "right" : "wrong");

    struct time64 wide;
    struct time32 narrow, minutes = {9, 9};
    static const int none[] = {10, 12, 15, 16, 31, 32, 33, 1 << 30, -1, -8};
    for (unsigned i = 0; i < sizeof none / sizeof *none; i++)
        printf("no clock %d: %d %d\n", none[i], gettime64(none[i], &wide), gettime32(none[i], &narrow));
    printf("own CPU time: %d\n", gettime64(-2, &wide));
    printf("resolution: %d", getres(CLOCK_MONOTONIC, &narrow));
    printf(" %d %d\n", narrow.sec, narrow.nsec);
    printf("time zone alone: %d", get_timeofday(0, &minutes));
    printf(" %d %d, both: %d", minutes.sec, minutes.nsec, get_timeofday(&narrow, &minutes));
    printf(" %s, neither: %d\n", narrow.sec > 1000000000 ? "later" : "early", get_timeofday(0, 0));

    memset(&wide, 0xff, sizeof wide);
    printf("kept: %d %d %d %d\n", kept_by(gettime64, CLOCK_MONOTONIC, &wide), kept_by(gettime32, CLOCK_REALTIME, &narrow),
           kept_by(get_timeofday, (long)&narrow, 0), kept_by(get_time, 0, 0));
    printf("upper halves: %d %d\n", (int)(wide.sec >> 32), (int)(wide.nsec >> 32));
    faults();

    static const uint32_t left[][2] = {{0, 0}, {1, 0}, {0x41414141, 0x41414141}, {0x81000000, 0xffffffff}};
    for (unsigned i = 0; i < sizeof left / sizeof *left; i++) {
        int64_t before = reading(CLOCK_MONOTONIC, 0);
        litter(left[i][0], left[i][1]);
        int64_t at = reading(CLOCK_MONOTONIC, 1), again = reading(CLOCK_MONOTONIC, 1);
        printf("with anything in r15: %d\n", before <= at && at <= again);
    }

    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, 0);
    int64_t before = reading(CLOCK_MONOTONIC, 0);
    asm volatile("pushf\n orl $0x100, (%%esp)\n popf" ::: "memory", "cc");
    int answer = gettime64(CLOCK_MONOTONIC, &wide);
    asm volatile("pushf\n andl $~0x100, (%%esp)\n popf" ::: "memory", "cc");
    int64_t at = nanoseconds(wide.sec, wide.nsec), after = reading(CLOCK_MONOTONIC, 0);
    printf("by steps: %d, %s, %s, %d strange\n", answer, before <= at && at <= after ? "between" : "outside",
           steps > 5 ? "some" : "few", strange);
    return 0;
}
