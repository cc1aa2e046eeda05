// Signals every 50 microseconds, wherever 32-bit code is: while it computes with vector and x87 registers, between the
// jumps of a call, in `int $0x80`, in 64-bit code that it called. Registers, flags and results stay right, and a
// handler finds the thread at no address that the program does not know of.
//@ variants: m32 m32-dynamic
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

// So many signals for each kind of code.
#define SIGNALS 300

// Registers before and behind what `via` does; the stack pointer last.
struct state {
    uint32_t eax, ebx, ecx, edx, esi, edi, ebp, flags, esp;
};
void call_by(struct state *state, const void *via);
// The position of the program is not known to it, so it takes what it needs from the stack.
asm(".text\n .globl call_by\n call_by:\n"
    "push %ebx\n push %esi\n push %edi\n push %ebp\n"
    "mov 20(%esp), %eax\n mov 24(%esp), %ecx\n push %ecx\n push %eax\n"
    "mov %esp, 32(%eax)\n"
    "mov 4(%eax), %ebx\n mov 8(%eax), %ecx\n mov 12(%eax), %edx\n mov 16(%eax), %esi\n mov 20(%eax), %edi\n"
    "mov 24(%eax), %ebp\n push 28(%eax)\n popf\n mov (%eax), %eax\n"
    "call *4(%esp)\n"
    "push %eax\n mov 4(%esp), %eax\n"
    "mov %ebx, 4(%eax)\n mov %ecx, 8(%eax)\n mov %edx, 12(%eax)\n mov %esi, 16(%eax)\n mov %edi, 20(%eax)\n"
    "mov %ebp, 24(%eax)\n pushf\n pop 28(%eax)\n cld\n pop (%eax)\n"
    "sub %esp, 32(%eax)\n"
    "pop %eax\n pop %ecx\n pop %ebp\n pop %edi\n pop %esi\n pop %ebx\n ret\n"
    ".globl by_int80\n by_int80: int $0x80\n ret\n"
    // Sites that are patched: instructions behind the call move, or the load of the number does.
    ".globl by_moved\n by_moved: int $0x80\n mov %ebx, %ebx\n lea (%esi), %esi\n ret\n"
    ".globl by_load\n by_load: mov $20, %eax\n int $0x80\n ret\n"
    // All of r8 to r15 count in 64-bit code, and its sum is given back.
    ".globl by_far_call\n by_far_call:\n"
    "call 1f\n 1: pop %edx\n lea 2f-1b(%edx), %edx\n push $0x33\n push %edx\n lcall *(%esp)\n lea 8(%esp), %esp\n ret\n"
    ".code64\n"
    "2: mov %rax, %r8\n mov %rbx, %r9\n lea 1(%rax), %r10\n lea 3(%rax), %r11\n mov %r10, %r12\n mov %r11, %r13\n"
    "mov $1000, %ecx\n mov %rax, %r14\n xor %r15d, %r15d\n"
    "3: add %r14, %r15\n rol $7, %r15\n dec %ecx\n jnz 3b\n"
    "cmp %r8, %rax\n jne 4f\n cmp %r9, %rbx\n jne 4f\n cmp %r10, %r12\n jne 4f\n cmp %r11, %r13\n jne 4f\n"
    "mov %r15d, %eax\n lretl\n"
    "4: xor %eax, %eax\n lretl\n"
    ".code32\n"
    ".globl code_end\n code_end:\n");
extern char by_int80[], by_moved[], by_load[], by_far_call[];

static uint64_t random_state = 88172645463325252u;
static uint32_t next(void) {
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return random_state >> 16;
}

// Where code lies that the program knows of.
static uintptr_t code[64][2];
static int code_count;
static void find_code(void) {
    char line[512], access[8];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && code_count < 64 && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx %7s", &from, &to, access) == 3 && access[2] == 'x')
            code[code_count][0] = from, code[code_count++][1] = to;
    }
    fclose(maps);
}

static volatile sig_atomic_t handled, elsewhere, strange;
static void on_alarm(int signal, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    uintptr_t ip = uc->uc_mcontext.gregs[REG_EIP];
    int known = 0;
    for (int i = 0; i < code_count; i++)
        known |= ip >= code[i][0] && ip < code[i][1];
    elsewhere += !known;
    uint16_t segment = uc->uc_mcontext.gregs[REG_CS];
    strange += signal != SIGALRM || info->si_signo != SIGALRM || (segment != 0x23 && segment != 0x33);
    // What the interrupted code had comes back from the frame.
    asm volatile("fninit\n fldpi\n fldl2e\n fldcw %0" : : "m"((uint16_t){0x27f}));
    asm volatile("pcmpeqd %%xmm0, %%xmm0\n movdqa %%xmm0, %%xmm1\n movdqa %%xmm0, %%xmm2\n movdqa %%xmm0, %%xmm3\n"
                 "movdqa %%xmm0, %%xmm4\n movdqa %%xmm0, %%xmm5\n movdqa %%xmm0, %%xmm6\n movdqa %%xmm0, %%xmm7"
                 : : : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
    handled++;
}

// Everything random but the number; the answer, and whether all else came back.
static int intact(const void *via, uint32_t number, uint32_t *answer) {
    struct state before;
    for (size_t i = 0; i < sizeof before / 4; i++)
        ((uint32_t *)&before)[i] = next();
    before.eax = number;
    before.flags = 0x202 | (next() & 0xcd5);
    struct state after = before;
    call_by(&after, via);
    *answer = after.eax;
    int good = after.esp == 0;
    after.eax = before.eax, after.esp = before.esp;
    return good && !memcmp(&before, &after, sizeof before);
}

static int calls(const void *via) {
    uint32_t answer;
    int wrong = 0;
    wrong += !intact(via, SYS_getpid, &answer) || answer != (uint32_t)getpid();
    // One that is served by the kernel, not by a word of it.
    wrong += !intact(via, SYS_sched_yield, &answer) || answer != 0;
    wrong += !intact(via, 9999, &answer) || answer != (uint32_t)-ENOSYS;
    return wrong;
}
static int through_vdso(void) { return calls((const void *)getauxval(AT_SYSINFO)); }
static int by_trap(void) { return calls(by_int80); }
static int by_moved_code(void) { return calls(by_moved); }
static int by_moved_load(void) {
    uint32_t answer;
    return !intact(by_load, SYS_getpid, &answer) || answer != (uint32_t)getpid();
}

// What the processor answers, and the flags around it.
static int cpuids(void) {
    static uint32_t first[4][4];
    int wrong = 0;
    for (uint32_t leaf = 0; leaf < 4; leaf++) {
        uint32_t a = leaf == 3 ? 7 : leaf == 2 ? 0x80000000 : 0, b, c = 0, d, carry;
        asm volatile("stc\n cpuid\n sbb %4, %4" : "+a"(a), "=&b"(b), "+c"(c), "=&d"(d), "=&r"(carry) : : "cc");
        uint32_t now[4] = {a, b, c, d};
        if (!first[leaf][0]) memcpy(first[leaf], now, sizeof now);
        wrong += carry != 0xffffffff || memcmp(first[leaf], now, sizeof now);
    }
    return wrong;
}

static int in_64_bit_code(void) {
    struct state s = {.eax = next(), .ebx = next(), .flags = 0x202};
    uint64_t sum = 0;
    for (int i = 0; i < 1000; i++)
        sum += s.eax, sum = sum << 7 | sum >> 57;
    call_by(&s, by_far_call);
    return s.eax != (uint32_t)sum;
}

// Eight x87 and eight vector registers, all in use, against the same done in memory.
static int computing(void) {
    uint32_t lanes[8][4], expected[8];
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 4; j++)
            lanes[i][j] = expected[i] = 0x01010101u * (i + 1);
    double sum = 0, x87;
    int rounds = 3000;
    for (int i = 0; i < rounds; i++)
        for (int k = 0; k < 8; k++)
            expected[k] += expected[(k + 1) % 8] ^ 0x55;
    static const uint32_t constant[4] __attribute__((aligned(16))) = {0x55, 0x55, 0x55, 0x55};
    static uint32_t wide[8][4] __attribute__((aligned(16)));
    memcpy(wide, lanes, sizeof wide);
#define STEP(a, b) "movdqa %%xmm" #b ", (%0)\n pxor (%2), %%xmm" #b "\n paddd %%xmm" #b ", %%xmm" #a "\n movdqa (%0), %%xmm" #b "\n"
    uint32_t *room = (uint32_t *)(((uintptr_t)alloca(48) + 15) & ~15);
    int n = rounds;
    asm volatile("movdqa (%1), %%xmm0\n movdqa 16(%1), %%xmm1\n movdqa 32(%1), %%xmm2\n movdqa 48(%1), %%xmm3\n"
                 "movdqa 64(%1), %%xmm4\n movdqa 80(%1), %%xmm5\n movdqa 96(%1), %%xmm6\n movdqa 112(%1), %%xmm7\n"
                 "1:\n" STEP(0, 1) STEP(1, 2) STEP(2, 3) STEP(3, 4) STEP(4, 5) STEP(5, 6) STEP(6, 7) STEP(7, 0)
                 "dec %3\n jnz 1b\n"
                 "movdqa %%xmm0, (%1)\n movdqa %%xmm1, 16(%1)\n movdqa %%xmm2, 32(%1)\n movdqa %%xmm3, 48(%1)\n"
                 "movdqa %%xmm4, 64(%1)\n movdqa %%xmm5, 80(%1)\n movdqa %%xmm6, 96(%1)\n movdqa %%xmm7, 112(%1)\n"
                 : : "r"(room), "r"(wide), "r"(constant), "r"(n)
                 : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
    // The rounding downwards and the whole stack of the x87.
    uint16_t usual, down;
    asm volatile("fnstcw %0" : "=m"(usual));
    down = (usual & ~0xc00) | 0x400;
    asm volatile("fldcw %2\n fldz\n fld1\n fldpi\n fldl2e\n fldln2\n fldlg2\n fldl2t\n fld1\n"
                 "mov $2000, %%ecx\n"
                 "2: fxch %%st(6)\n fadd %%st(1)\n fxch %%st(6)\n fxch %%st(5)\n fmul %%st(0)\n fsqrt\n fxch %%st(5)\n dec %%ecx\n jnz 2b\n"
                 "faddp\n faddp\n faddp\n faddp\n faddp\n faddp\n faddp\n fstpl %0\n fldcw %1"
                 : "=m"(x87) : "m"(usual), "m"(down) : "ecx", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
    static double first;
    if (!first) first = x87;
    sum = first;
    int wrong = x87 != sum;
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 4; j++)
            wrong |= wide[i][j] != expected[i];
    return wrong;
}

static int clocks(void) {
    struct timespec before, after;
    int wrong = clock_gettime(CLOCK_MONOTONIC, &before) != 0;
    wrong |= clock_gettime(CLOCK_MONOTONIC, &after) != 0;
    int64_t passed = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
    // Ten minutes between the two are too many.
    return wrong || passed < 0 || passed > 600000000000LL;
}

static void under_signals(const char *what, int (*step)(void)) {
    // Without signals it is right.
    int wrong = step(), during = 0;
    handled = elsewhere = strange = 0;
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 50}, {0, 50}}, NULL);
    while (handled < SIGNALS)
        during += step();
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    printf("%s: %d wrong, interrupted %d wrong, %d elsewhere, %d strange\n", what, wrong, during, elsewhere, strange);
}

int main(int argc, char **argv) {
    // Once it was executed twice, its sites of `cpuid` are known.
    if (argc < 3) execl("/proc/self/exe", argv[0], "again", argc < 2 ? NULL : "again", NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    find_code();
    static char stack[65536];
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    for (int alternate = 0; alternate < 2; alternate++) {
        struct sigaction action = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | SA_RESTART | (alternate ? SA_ONSTACK : 0)};
        sigaction(SIGALRM, &action, NULL);
        under_signals("computing", computing);
        under_signals("through the vDSO", through_vdso);
        under_signals("by int80", by_trap);
        under_signals("by int80, moved", by_moved_code);
        under_signals("by int80, loaded", by_moved_load);
        under_signals("cpuid", cpuids);
        under_signals("in 64-bit code", in_64_bit_code);
        under_signals("clocks", clocks);
    }
    return 0;
}
