//@ flags: -pthread -mavx2
//@ variants: static dynamic
// Handlers: flags, stacks, frames, what a handler may change, faults and their details.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long r = (long)(call); printf("%s = %ld, %s\n", #call, r, strerror(errno)); } while (0)
#define CHECK(what) printf("%s: %s\n", #what, (what) ? "yes" : "NO")

static void install(int signal, void (*handler)(int, siginfo_t *, void *), int flags, const sigset_t *mask) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    if (mask)
        action.sa_mask = *mask;
    sigaction(signal, &action, NULL);
}
static int blocked(int signal) {
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    return sigismember(&now, signal);
}

// Depth and masks.
static volatile int depth, deepest, runs;
static void nesting(int signal, siginfo_t *info, void *context) {
    (void)info, (void)context;
    depth++, runs++;
    if (depth > deepest)
        deepest = depth;
    if (runs < 5)
        raise(signal);
    depth--;
}
static volatile int in_handler[3];
static void look_at_mask(int signal, siginfo_t *info, void *context) {
    (void)info;
    ucontext_t *uc = context;
    in_handler[0] = blocked(signal);
    in_handler[1] = blocked(SIGTERM);
    in_handler[2] = sigismember(&uc->uc_sigmask, SIGWINCH);
}
static void masks(void) {
    install(SIGUSR1, nesting, 0, NULL);
    raise(SIGUSR1);
    printf("deferred: %d deep, %d runs\n", deepest, runs);
    depth = deepest = runs = 0;
    install(SIGUSR1, nesting, SA_NODEFER, NULL);
    raise(SIGUSR1);
    printf("not deferred: %d deep, %d runs\n", deepest, runs);
    sigset_t term, winch;
    sigemptyset(&term), sigaddset(&term, SIGTERM);
    sigemptyset(&winch), sigaddset(&winch, SIGWINCH);
    sigprocmask(SIG_BLOCK, &winch, NULL);
    install(SIGUSR1, look_at_mask, 0, &term);
    raise(SIGUSR1);
    printf("in the handler: itself %d, masked %d, saved %d; after: %d %d\n", in_handler[0], in_handler[1], in_handler[2],
           blocked(SIGUSR1), blocked(SIGTERM));
    install(SIGUSR1, look_at_mask, SA_NODEFER | SA_RESETHAND, NULL);
    raise(SIGUSR1);
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    printf("reset: itself %d, default again %d, flags kept %d\n", in_handler[0], now.sa_handler == SIG_DFL, (now.sa_flags & SA_RESETHAND) != 0);
    sigprocmask(SIG_UNBLOCK, &winch, NULL);
}

// Stacks.
static char *alternate;
static const size_t alternate_size = 1 << 16;
static volatile int on_alternate[4], alt_flags[4], stack_runs;
static void look_at_stack(int signal, siginfo_t *info, void *context) {
    (void)info;
    ucontext_t *uc = context;
    char here;
    stack_t now;
    sigaltstack(NULL, &now);
    if (stack_runs < 4) {
        on_alternate[stack_runs] = &here > alternate && &here < alternate + alternate_size;
        alt_flags[stack_runs] = now.ss_flags | uc->uc_stack.ss_flags << 4;
    }
    if (stack_runs == 0) {
        stack_t other = {.ss_sp = alternate, .ss_size = alternate_size};
        errno = 0;
        int r = sigaltstack(&other, NULL);
        printf("changing the stack one is on: %d %s\n", r, strerror(errno));
    }
    if (stack_runs++ == 0 && signal == SIGUSR1)
        raise(SIGUSR2);
}
static void stacks(void) {
    alternate = mmap(NULL, alternate_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = {.ss_sp = alternate, .ss_size = alternate_size}, before;
    SHOW(sigaltstack(&stack, &before));
    printf("before: flags %d size %zu\n", before.ss_flags, before.ss_size);
    install(SIGUSR1, look_at_stack, SA_ONSTACK, NULL);
    install(SIGUSR2, look_at_stack, SA_ONSTACK, NULL);
    raise(SIGUSR1);
    printf("on it %d %d, flags %x %x\n", on_alternate[0], on_alternate[1], alt_flags[0], alt_flags[1]);
    stack_runs = 0;
    install(SIGUSR1, look_at_stack, 0, NULL);
    raise(SIGUSR1);
    printf("without SA_ONSTACK on it %d, nested %d, flags %x %x\n", on_alternate[0], on_alternate[1], alt_flags[0], alt_flags[1]);
    stack.ss_flags = (int)(1u << 31); // SS_AUTODISARM
    SHOW(sigaltstack(&stack, NULL));
    install(SIGUSR1, look_at_stack, SA_ONSTACK, NULL);
    stack_runs = 1;
    raise(SIGUSR1);
    printf("disarmed: on it %d, flags %x\n", on_alternate[1], (unsigned)alt_flags[1]);
    sigaltstack(NULL, &before);
    printf("armed again: %d %x\n", before.ss_sp == alternate, (unsigned)before.ss_flags);
    stack.ss_flags = SS_DISABLE;
    SHOW(sigaltstack(&stack, NULL));
    sigaltstack(NULL, &before);
    printf("disabled: %x %zu\n", (unsigned)before.ss_flags, before.ss_size);
}

#ifdef __x86_64__
// Registers: a handler changes them, and they take effect. compat_signals has those of 32-bit programs.
static void change_registers(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    ucontext_t *uc = context;
    greg_t *regs = uc->uc_mcontext.gregs;
    regs[REG_RBX] = 0x1234;
    regs[REG_R12] += 1;
    regs[REG_RIP] += 2; // over the ud2
    regs[REG_EFL] |= 1 | 0x400000000L; // carry; a bit that nobody may set
    sigaddset(&uc->uc_sigmask, SIGWINCH);
}
static void zmm_change(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    ucontext_t *uc = context;
    struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
    printf("fpstate aligned %d, magic %x, uc_flags has xstate %d, size sane %d\n", ((uintptr_t)fp & 63) == 0,
           *(unsigned *)((char *)fp + 464), (uc->uc_flags & 1) != 0, *(unsigned *)((char *)fp + 480) >= 576);
    fp->_xmm[3].element[0] = 0xabcd;
    // The upper half of ymm4, in its place in the standard format.
    *(unsigned *)((char *)fp + 576 + 16 * 4) = 0x7777;
    // Destroy everything; it comes back from the frame.
    __asm__ volatile("vpcmpeqd %%ymm3, %%ymm3, %%ymm3\n vpcmpeqd %%ymm4, %%ymm4, %%ymm4\n vpcmpeqd %%ymm9, %%ymm9, %%ymm9" ::: "xmm3", "xmm4", "xmm9");
    unsigned mxcsr = 0x1fbf;
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
}
static unsigned handler_mxcsr, handler_df;
static unsigned short handler_fcw;
static void clean_state(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    unsigned long flags;
    __asm__ volatile("pushfq; popq %0" : "=r"(flags));
    handler_df = (flags >> 10) & 1;
    __asm__ volatile("stmxcsr %0" : "=m"(handler_mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(handler_fcw));
}
static void registers(void) {
    install(SIGILL, change_registers, 0, NULL);
    unsigned long b = 1, twelve = 41, carry = 0;
    __asm__ volatile("movq $1, %%rbx\n movq %3, %%r12\n clc\n ud2\n setc %b2\n movq %%rbx, %0\n movq %%r12, %1"
                     : "=r"(b), "=r"(twelve), "=&q"(carry) : "r"(41L) : "rbx", "r12", "cc");
    printf("changed: rbx %lx r12 %lu carry %lu, mask %d\n", b, twelve, carry & 1, blocked(SIGWINCH));
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    install(SIGUSR1, zmm_change, 0, NULL);
    unsigned x3[4] = {0}, y4[8] = {0}, y9[8] = {0};
    unsigned mxcsr = 0;
    long pid = getpid(), tid = gettid();
    __asm__ volatile("vpxor %%xmm3, %%xmm3, %%xmm3\n vpcmpeqd %%ymm4, %%ymm4, %%ymm4\n vpcmpeqd %%ymm9, %%ymm9, %%ymm9\n vpsrld $4, %%ymm9, %%ymm9\n"
                     "syscall\n"
                     "vmovdqu %%xmm3, %0\n vmovdqu %%ymm4, %1\n vmovdqu %%ymm9, %2\n stmxcsr %3"
                     : "=m"(x3), "=m"(y4), "=m"(y9), "=m"(mxcsr)
                     : "a"((long)SYS_tgkill), "D"(pid), "S"(tid), "d"((long)SIGUSR1)
                     : "rcx", "r11", "memory", "xmm3", "xmm4", "xmm9");
    printf("xmm3 %x, ymm4 %x %x, ymm9 %x %x, mxcsr %x\n", x3[0], y4[0], y4[4], y9[0], y9[7], mxcsr & 0xffc0);
    install(SIGUSR1, clean_state, 0, NULL);
    unsigned odd_mxcsr = 0x7f80, normal = 0x1f80;
    unsigned short odd_fcw = 0x27f, fcw;
    __asm__ volatile("ldmxcsr %0\n fldcw %1" ::"m"(odd_mxcsr), "m"(odd_fcw));
    long result = SYS_tgkill;
    __asm__ volatile("std\n syscall\n cld" : "+a"(result) : "D"(pid), "S"(tid), "d"((long)SIGUSR1) : "rcx", "r11", "memory");
    __asm__ volatile("stmxcsr %0\n fnstcw %1" : "=m"(mxcsr), "=m"(fcw));
    __asm__ volatile("ldmxcsr %0\n fninit" ::"m"(normal));
    printf("handler starts with mxcsr %x fcw %x df %u; after: %x %x\n", handler_mxcsr, handler_fcw, handler_df, mxcsr & 0xffc0, fcw);
}
#endif

// Faults.
static sigjmp_buf back;
static siginfo_t fault;
static unsigned long fault_trap, fault_error, fault_cr2;
static char *fault_base;
static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal;
    ucontext_t *uc = context;
    fault = *info;
    fault_trap = (unsigned long)uc->uc_mcontext.gregs[REG_TRAPNO];
    fault_error = (unsigned long)uc->uc_mcontext.gregs[REG_ERR];
#ifdef __x86_64__
    fault_cr2 = (unsigned long)uc->uc_mcontext.gregs[REG_CR2];
#else
    fault_cr2 = uc->uc_mcontext.cr2;
#endif
    siglongjmp(back, 1);
}
#define FAULT(name, code) do { \
        memset(&fault, 0, sizeof fault); \
        if (!sigsetjmp(back, 1)) { code; printf("%s: no fault\n", name); } \
        else printf("%s: signal %d code %d at %s%ld trap %lu error %lx cr2 %d\n", name, fault.si_signo, fault.si_code, \
            fault.si_addr == NULL ? "null " : "", fault_base ? (long)((char *)fault.si_addr - fault_base) : 0, fault_trap, fault_error, \
            fault_cr2 == (unsigned long)fault.si_addr); \
    } while (0)
#ifdef __x86_64__
#define SET_TRAP_FLAG "pushfq; orq $0x100, (%%rsp); popfq; "
#else
#define SET_TRAP_FLAG "pushf; orl $0x100, (%%esp); popf; "
#endif
__attribute__((noinline)) static int divide(volatile int a, volatile int b) { return a / b; }
static void faults(void) {
    int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    for (int i = 0; i < 5; i++)
        install(signals[i], on_fault, SA_ONSTACK, NULL);
    char *pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(pages, 4096, PROT_READ);
    munmap(pages + 8192, 4096);
    fault_base = pages;
    FAULT("write to read-only", *(volatile char *)(pages + 5) = 1);
    FAULT("read of nothing", (void)*(volatile char *)(pages + 8192 + 7));
    FAULT("write to nothing", *(volatile char *)(pages + 8192 + 9) = 1);
    mprotect(pages, 4096, PROT_NONE);
    FAULT("read of PROT_NONE", (void)*(volatile char *)(pages + 11));
    FAULT("execute data", ((void (*)(void))(pages + 4096))());
    fault_base = NULL;
    FAULT("null", *(volatile char *)NULL = 1);
    FAULT("non-canonical", *(volatile char *)0x8000000000001000 = 1);
    int fd = memfd_create("file", 0);
    if (ftruncate(fd, 100))
        return;
    char *file = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    fault_base = file;
    FAULT("past the end of a file", *(volatile char *)(file + 4096 + 3) = 1);
    FAULT("read past the end of a file", (void)*(volatile char *)(file + 4096 + 4));
    fault_base = NULL;
    volatile int zero = 0;
    FAULT("division", divide(5, zero));
    FAULT("overflowing division", divide((int)0x80000000, -1));
    void *volatile site = NULL;
#ifdef __x86_64__
    FAULT("ud2", __asm__ volatile("lea 1f(%%rip), %%rax\n movq %%rax, %0\n1: ud2" : "=m"(site) : : "rax"));
#else
    FAULT("ud2", __asm__ volatile("movl $1f, %0\n1: ud2" : "=m"(site)));
#endif
    printf("at the instruction: %d\n", fault.si_addr == site);
    FAULT("int3", __asm__ volatile("int3"));
    FAULT("hlt", __asm__ volatile("hlt"));
    FAULT("int 0x81", __asm__ volatile("int $0x81"));
    FAULT("trap flag", __asm__ volatile(SET_TRAP_FLAG "nop" ::: "cc", "memory"));
    unsigned bad = 0x1f80 & ~0x200u;
    FAULT("sse division by zero", __asm__ volatile("ldmxcsr %0\n xorps %%xmm1, %%xmm1\n movss %1, %%xmm0\n divss %%xmm1, %%xmm0" ::"m"(bad), "m"((float){1}) : "xmm0", "xmm1"));
    unsigned normal = 0x1f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(normal));
    // Alignment check.
    char unaligned[16] __attribute__((aligned(16))) = {0};
    FAULT("movaps", __asm__ volatile("movaps 1(%0), %%xmm0" ::"r"(unaligned) : "xmm0"));
}

// siglongjmp out of a handler, many times, with and without the mask.
static void jump(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    siglongjmp(back, 1);
}
static void jumps(void) {
    volatile int n = 0;
    install(SIGUSR1, jump, 0, NULL);
    sigsetjmp(back, 1);
    if (n++ < 1000)
        raise(SIGUSR1);
    printf("jumped %d, blocked %d\n", n, blocked(SIGUSR1));
    n = 0;
    sigsetjmp(back, 0);
    if (n++ < 1)
        raise(SIGUSR1);
    printf("jumped %d, blocked %d\n", n, blocked(SIGUSR1));
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

// Overflow of the stack is caught on the alternate one.
__attribute__((noinline)) static int overflow(int n) {
    volatile char room[4096];
    room[0] = (char)n;
    return overflow(n + 1) + room[0];
}
static void *overflow_in_thread(void *arg) {
    stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    sigaltstack(&stack, NULL);
    install(SIGSEGV, on_fault, SA_ONSTACK, NULL);
    if (!sigsetjmp(back, 1))
        overflow(0);
    else
        printf("overflow: signal %d code %d\n", fault.si_signo, fault.si_code);
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    return arg;
}

// A signal that finds guest code in the middle of computing: nothing of it changes.
static volatile int stop_storm, storms;
static void count_storm(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    storms++;
    __asm__ volatile("vzeroall" ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
#ifdef __x86_64__
    __asm__ volatile("" ::: "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#endif
}
static void *storm(void *arg) {
    pthread_t *target = arg;
    while (!stop_storm) {
        pthread_kill(*target, SIGUSR2);
        for (volatile int j = 0; j < 2000; j++)
            ;
    }
    return NULL;
}
#define BITS (8 * (int)sizeof(long))
static void storms_change_nothing(void) {
    install(SIGUSR2, count_storm, 0, NULL);
    pthread_t self = pthread_self(), thread;
    pthread_create(&thread, NULL, storm, &self);
    int wrong = 0;
    for (int i = 0; i < 1000000 && storms < 20; i++) {
        __m256i sum = _mm256_set1_epi32(1);
        unsigned long a = 1, b = 2, c = 3, d = 5;
        for (int j = 0; j < 20000; j++) {
            __asm__ volatile("vpaddd %0, %0, %0" : "+x"(sum));
            __asm__ volatile("rol $1, %0\n rol $1, %1\n rol $1, %2\n rol $1, %3" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
            if (j % 32 == 31)
                sum = _mm256_set1_epi32(1);
        }
        int lanes[8];
        _mm256_storeu_si256((__m256i *)lanes, sum);
        unsigned long turned = 1;
        for (int j = 0; j < 20000 % BITS; j++)
            turned = turned << 1 | turned >> (BITS - 1);
        if (a != turned || b != (turned << 1 | turned >> (BITS - 1)))
            wrong++;
        for (int k = 0; k < 8; k++)
            if (lanes[k] != 1)
                wrong++;
    }
    stop_storm = 1;
    pthread_join(thread, NULL);
    printf("storm: some %d, wrong %d\n", storms >= 20, wrong);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    masks();
    stacks();
#ifdef __x86_64__
    registers();
#endif
    faults();
    jumps();
    pthread_t thread;
    pthread_create(&thread, NULL, overflow_in_thread, NULL);
    pthread_join(thread, NULL);
    storms_change_nothing();
    fflush(stdout);
    // A stack that cannot take a frame: the end, by SIGSEGV.
    signal(SIGSEGV, SIG_DFL);
    install(SIGUSR1, look_at_mask, 0, NULL);
    long pid = getpid();
#ifdef __x86_64__
    __asm__ volatile("movq $8, %%rsp\n syscall" ::"a"((long)SYS_kill), "D"(pid), "S"((long)SIGUSR1) : "rcx", "r11", "memory");
#else
    __asm__ volatile("movl $8, %%esp\n int $0x80" ::"a"((long)SYS_kill), "b"(pid), "c"((long)SIGUSR1) : "memory");
#endif
    return 0;
}
