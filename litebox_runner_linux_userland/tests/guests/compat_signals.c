// Signal frames of 32-bit programs, old and new: every field, what a handler changes in them, alternate stacks, the
// floating-point state twice.
//@ variants: m32
//@ flags: -msse2
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

struct kernel_action {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint32_t mask[2];
};

#define RESTORER 0x04000000

static void act(int signal, void *handler, unsigned long flags) {
    struct kernel_action action = {handler, flags, 0, {1u << (SIGUSR2 - 1), 1u << (40 - 33)}};
    if (syscall(SYS_rt_sigaction, signal, &action, 0, 8))
        printf("rt_sigaction: %d\n", errno);
}

static void code_at(const char *what, const uint8_t *at) {
    printf("%s:", what);
    for (int i = 0; i < 8; i++)
        printf(" %02x", at[i]);
    printf("\n");
}

static void mask_now(const char *when) {
    uint32_t set[2] = {0};
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, set, 8);
    printf("  blocked %s: %08x %08x\n", when, set[1], set[0]);
}

// What the interrupted code left in its registers.
static volatile uint32_t expected_sp;
static uint32_t sigcontext_words[22];
static volatile uintptr_t frame_at;

static void show_context(const uint32_t *w, const char *kind) {
    memcpy(sigcontext_words, w, sizeof sigcontext_words);
    printf("  %s: gs %s fs %#x es %#x ds %#x cs %#x ss %#x trap %u error %#x cr2 %#x flags %#x\n", kind, w[0] ? "loaded" : "none", w[1], w[2], w[3],
           w[15], w[18], w[12], w[13], w[21], w[16] & ~0x10ad7u);
    printf("  esp %s, both %s, oldmask %#x, fpstate %s\n", w[7] == expected_sp ? "right" : "wrong", w[7] == w[17] ? "the same" : "different", w[20],
           w[19] > frame_at && w[19] < w[7] ? "above the frame" : "elsewhere");
}

#define FAULT(instructions)                                                                                                                          \
    asm volatile("mov %%esp, %[sp]\n" instructions : [sp] "=m"(expected_sp), "=a"(result) : "a"(0), "b"(8), "c"(3), "d"(0) : "memory", "esi", "edi")

static volatile int skip;

static void __attribute__((regparm(3))) by_registers(int a, siginfo_t *info, ucontext_t *uc) {
    printf("  regparm: %d info %s context %s\n", a, info ? "given" : "none", uc ? "given" : "none");
}

static void with_info(int signal, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    uint32_t *words = (uint32_t *)&uc->uc_mcontext;
    int *frame = &signal - 1;
    asm volatile("" : "+r"(frame) : : "memory");
    frame_at = (uintptr_t)frame;
    printf("  handler %d: frame %% 16 = %u, info at +%d, context at +%d, retcode at +%d\n", signal, (unsigned)((uintptr_t)frame + 4) % 16,
           (int)((char *)info - (char *)frame), (int)((char *)uc - (char *)frame), 260);
    code_at("  retcode", (uint8_t *)frame + 260);
    code_at("  pretcode", *(uint8_t **)frame);
    printf("  signo %d errno %d code %d addr %p\n", info->si_signo, info->si_errno, info->si_code, info->si_addr);
    printf("  uc_flags %ld link %p stack %d mask %08x %08x\n", uc->uc_flags & ~1ul, uc->uc_link, uc->uc_stack.ss_flags & ~SS_DISABLE, ((uint32_t *)&uc->uc_sigmask)[1],
           ((uint32_t *)&uc->uc_sigmask)[0]);
    show_context(words, "rt");
    mask_now("in the handler");
    words[14] += skip;
    words[11] = 4711;
}

static void without(int signal) {
    int *frame = &signal - 1;
    asm volatile("" : "+r"(frame) : : "memory");
    frame_at = (uintptr_t)frame;
    printf("  handler %d: frame %% 16 = %u, extramask %#x\n", signal, (unsigned)((uintptr_t)frame + 4) % 16, *(uint32_t *)((char *)frame + 720));
    code_at("  retcode", (uint8_t *)frame + 724);
    code_at("  pretcode", *(uint8_t **)frame);
    uint32_t *words = (uint32_t *)frame + 2;
    show_context(words, "old");
    mask_now("in the handler");
    words[14] += skip;
    words[11] = 1147;
    asm volatile("" : : : "memory");
}

static void faults(void) {
    int result;
    for (int old = 0; old < 2; old++) {
        void *handler = old ? (void *)without : (void *)with_info;
        unsigned long flags = old ? 0 : SA_SIGINFO;
        printf("%s frame\n", old ? "old" : "new");
        act(SIGSEGV, handler, flags);
        act(SIGFPE, handler, flags);
        act(SIGILL, handler, flags);
        act(SIGTRAP, handler, flags);
        skip = 2;
        printf(" read of 8\n");
        FAULT("mov (%%ebx), %%eax");
        printf(" gives %d\n", result);
        skip = 7;
        printf(" write of 12\n");
        FAULT("movl $1, 4(%%ebx)");
        skip = 2;
        printf(" division\n");
        FAULT("xor %%ecx, %%ecx\n div %%ecx");
        printf(" gives %d\n", result);
        printf(" ud2\n");
        FAULT("ud2");
        skip = 0;
        printf(" int3\n");
        FAULT("int3");
        skip = 1;
        printf(" hlt\n");
        FAULT("hlt");
        printf(" gives %d\n", result);
        skip = 2;
        printf(" a selector that is none\n");
        FAULT("mov $0x1234, %%esi\n mov %%si, %%fs");
        printf(" gives %d\n", result);
    }
}

// TF: every instruction between two points.
static volatile int steps;
static void step(int signal) {
    steps++;
}

static void stepping(void) {
    act(SIGTRAP, step, 0);
    asm volatile("pushf\n orl $0x100, (%%esp)\n popf\n nop\n nop\n nop\n pushf\n andl $~0x100, (%%esp)\n popf\n" ::: "memory", "cc");
    printf("steps: %d\n", steps);
    long pid;
    steps = 0;
    asm volatile("pushf\n orl $0x100, (%%esp)\n popf\n int $0x80\n nop\n pushf\n andl $~0x100, (%%esp)\n popf\n" : "=a"(pid) : "a"(SYS_getpid) : "memory", "cc");
    printf("around int: %d, %s\n", steps, pid == getpid() ? "right" : "wrong");
}

// The floating-point state: 112 bytes as fsave leaves it, then as xsave does.
struct fsave {
    uint32_t control, status, tags, instruction, code, operand, data;
    uint8_t registers[8][10];
    uint16_t status_again, magic;
    uint8_t fx[512];
} __attribute__((packed));

static void floats(int signal, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    struct fsave *f = (void *)uc->uc_mcontext.fpregs;
    printf("  control %#x status %#x tags %#x code %#x data %#x again %#x magic %#x\n", f->control, f->status, f->tags, f->code & 0xffff, f->data, f->status_again,
           f->magic);
    for (int i = 0; i < 3; i++) {
        long double value = 0;
        memcpy(&value, f->registers[i], 10);
        printf("  st%d %Lg, in fx %s\n", i, value, memcmp(f->registers[i], f->fx + 32 + 16 * i, 10) ? "another" : "the same");
    }
    uint32_t *reserved = (uint32_t *)(f->fx + 464);
    printf("  fx %% 64 = %u, abridged tags %#x, mxcsr %#x, xmm3 %#x\n", (unsigned)(uintptr_t)f->fx % 64, f->fx[4], *(uint32_t *)(f->fx + 24),
           *(uint32_t *)(f->fx + 160 + 48));
    printf("  magic %#x, behind it %u more than the state, end %#x\n", reserved[0], reserved[1] - reserved[4], *(uint32_t *)(f->fx + reserved[4]));
    // The handler starts afresh.
    uint16_t control;
    uint32_t mxcsr;
    asm volatile("fnstcw %0\n stmxcsr %1" : "=m"(control), "=m"(mxcsr));
    printf("  here control %#x mxcsr %#x\n", control, mxcsr);
    long double other = 42.5L;
    memcpy(f->registers[1], &other, 10);
    *(uint32_t *)(f->fx + 160 + 48) = 0xbeef;
    *(uint32_t *)(f->fx + 24) = 0x1fa0;
    f->control = 0x27f;
}

static void floating(void) {
    act(SIGUSR1, floats, SA_SIGINFO);
    uint16_t control = 0;
    uint32_t mxcsr = 0, mark = 0x1234, got = 0;
    double top = 0, next = 0, third = 0;
    int pid = getpid(), result;
    asm volatile("fninit\n fldz\n fld1\n fldpi\n movd %[mark], %%xmm3\n int $0x80\n"
                 "fstpl %[top]\n fstpl %[next]\n fstpl %[third]\n fnstcw %[control]\n stmxcsr %[mxcsr]\n movd %%xmm3, %[got]\n fninit\n"
                 : "=a"(result), [top] "=m"(top), [next] "=m"(next), [third] "=m"(third), [control] "=m"(control), [mxcsr] "=m"(mxcsr), [got] "=r"(got)
                 : "a"(SYS_kill), "b"(pid), "c"(SIGUSR1), [mark] "r"(mark)
                 : "memory");
    uint32_t usual = 0x1f80;
    asm volatile("ldmxcsr %0" : : "m"(usual));
    printf("afterwards: kill %d, %g %g %g, control %#x mxcsr %#x xmm3 %#x\n", result, top, next, third, control, mxcsr, got);
}

// Selectors that a handler changes in the frame.
static void selectors(int signal, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    uint32_t *words = (uint32_t *)&uc->uc_mcontext;
    words[1] = words[0] & ~3u;
}

static void reloading(void) {
    uint16_t fs, gs;
    act(SIGUSR1, selectors, SA_SIGINFO);
    raise(SIGUSR1);
    asm volatile("mov %%fs, %0\n mov %%gs, %1" : "=r"(fs), "=r"(gs));
    int same = 0;
    asm volatile("mov %%fs:0, %0\n sub %%gs:0, %0" : "=r"(same));
    printf("fs is gs: %d, reads the same: %d\n", fs == gs, same == 0);
    asm volatile("mov %0, %%fs" : : "r"(0));
}

// Stacks of their own.
static void on_stack(int signal, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    stack_t now, other = {0, SS_DISABLE, 0};
    int got = sigaltstack(0, &now), set = sigaltstack(&other, 0);
    printf("  on %s stack, told %d of size %zu (%d), frame says %d of size %zu, change %d %s\n",
           (char *)&now >= (char *)now.ss_sp && (char *)&now < (char *)now.ss_sp + now.ss_size ? "its" : "another", now.ss_flags, now.ss_size, got,
           uc->uc_stack.ss_flags, uc->uc_stack.ss_size, set, set ? strerror(errno) : "");
}

static void stacks(void) {
    static char room[65536];
    stack_t stack = {room, 0, sizeof room}, told;
    act(SIGUSR1, on_stack, SA_SIGINFO | SA_ONSTACK);
    printf("sigaltstack: %d", sigaltstack(&stack, 0));
    printf(" %d\n", sigaltstack(0, &told));
    printf("told %d %d %zu\n", told.ss_sp == room, told.ss_flags, told.ss_size);
    raise(SIGUSR1);
    stack.ss_size = 2047;
    int refused = sigaltstack(&stack, 0);
    printf("small: %d %d\n", refused, errno);
    stack.ss_size = 2048, stack.ss_flags = 77;
    refused = sigaltstack(&stack, 0);
    printf("flags: %d %d\n", refused, errno);
    stack.ss_size = sizeof room, stack.ss_flags = 1 << 31;
    printf("disarmed: %d\n", sigaltstack(&stack, 0));
    raise(SIGUSR1);
    stack.ss_flags = SS_DISABLE;
    printf("none: %d\n", sigaltstack(&stack, 0));
    raise(SIGUSR1);
}

static void values(int signal, siginfo_t *info, void *context) {
    printf("  %d code %d value %d %s\n", signal, info->si_code, info->si_value.sival_int, info->si_pid == getpid() ? "own" : "other");
}

static volatile int ended;
static void child(int signal, siginfo_t *info, void *context) {
    printf("  child %s status %d code %d uid %d\n", info->si_pid == ended ? "known" : "unknown", info->si_status, info->si_code, info->si_uid == getuid());
}

static void details(void) {
    act(40, values, SA_SIGINFO);
    act(SIGUSR2, values, SA_SIGINFO);
    union sigval value = {.sival_int = 77};
    printf("sigqueue: %d\n", sigqueue(getpid(), 40, value));
    printf("sigqueue: %d\n", sigqueue(getpid(), SIGUSR2, value));
    sigset_t set, wanted;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, 41);
    sigprocmask(SIG_BLOCK, &set, 0);
    act(SIGCHLD, child, SA_SIGINFO);
    int ready[2];
    char byte;
    if (pipe(ready))
        exit(1);
    ended = fork();
    if (!ended) {
        close(ready[1]);
        if (read(ready[0], &byte, 1) < 0)
            _exit(1);
        _exit(9);
    }
    close(ready[0]);
    close(ready[1]);
    sigemptyset(&wanted);
    sigaddset(&wanted, 41);
    sigqueue(getpid(), 41, value);
    siginfo_t info;
    memset(&info, 0xff, sizeof info);
    printf("sigwaitinfo: %d", sigwaitinfo(&wanted, &info));
    printf(" value %d code %d\n", info.si_value.sival_int, info.si_code);
    siginfo_t waited;
    memset(&waited, 0, sizeof waited);
    waitpid(ended, 0, 0);
    sigprocmask(SIG_UNBLOCK, &set, 0);
}

static sigjmp_buf back;
static void jumps(int signal) {
    siglongjmp(back, 5);
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    faults();
    stepping();
    floating();
    reloading();
    stacks();
    details();
    act(SIGSEGV, jumps, 0);
    int came = sigsetjmp(back, 1);
    if (!came)
        *(volatile int *)0 = 1;
    printf("jumped: %d\n", came);
    mask_now("then");
    act(SIGUSR1, by_registers, SA_SIGINFO);
    raise(SIGUSR1);
    act(SIGSEGV, SIG_DFL, 0);
    // A frame that is none.
    asm volatile("mov $16, %%esp\n mov %0, %%eax\n int $0x80" : : "i"(SYS_rt_sigreturn));
    return 0;
}
