//@ variants: static dynamic musl
// cpuid answers the same, and leaves alone what it does not answer, however often a program was executed before.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint32_t answer[4];

static void ask(uint32_t leaf, uint32_t subleaf)
{
    __asm__ volatile("cpuid" : "=a"(answer[0]), "=b"(answer[1]), "=c"(answer[2]), "=d"(answer[3]) : "a"(leaf), "c"(subleaf));
}

// Those that tell of the processor that the thread runs on.
static int moves(uint32_t leaf)
{
    return leaf == 1 || leaf == 0xb || leaf == 0x1f || leaf == 0x8000001e || leaf == 0x80000026;
}

static uint64_t all(void)
{
    uint64_t hash = 14695981039346656037u;
    static const uint32_t bases[] = {0, 0x80000000};
    for (int b = 0; b < 2; b++)
        for (uint32_t leaf = bases[b]; leaf < bases[b] + 0x28; leaf++)
            for (uint32_t sub = 0; sub < 36; sub++) {
                if (moves(leaf)) continue;
                ask(leaf, sub);
                for (int i = 0; i < 4; i++) hash = (hash ^ answer[i]) * 1099511628211u;
            }
    return hash;
}

#ifdef __x86_64__
// Everything that cpuid leaves alone: registers, flags, the red zone; and the upper halves that it clears.
static int leaves_alone(void)
{
    uint64_t bad = 0;
    for (int carry = 0; carry < 2; carry++) {
        uint64_t wrong;
        __asm__ volatile(
            "mov $0x1111111111111111, %%rsi\n mov $0x2222222222222222, %%rdi\n mov $0x3333333333333333, %%r8\n"
            "mov $0x4444444444444444, %%r9\n mov $0x5555555555555555, %%r10\n mov $0x6666666666666666, %%r11\n"
            // Below the compiler's own red zone.
            "sub $256, %%rsp\n"
            "mov %%rsi, -8(%%rsp)\n mov %%rdi, -128(%%rsp)\n"
            "mov $-1, %%rax\n mov $-1, %%rbx\n mov $-1, %%rcx\n mov $-1, %%rdx\n"
            "xor %%r12d, %%r12d\n cmp %[one], %[carry]\n mov $7, %%eax\n mov $0, %%ecx\n"
            "cpuid\n"
            "setb %%r12b\n"
            "mov $0, %[wrong]\n"
            "cmp $1, %[carry]\n sbb %%r13d, %%r13d\n neg %%r13d\n cmp %%r12d, %%r13d\n je 1f\n or $1, %[wrong]\n 1:\n"
            "cmp %%rsi, -8(%%rsp)\n je 1f\n or $2, %[wrong]\n 1:\n"
            "cmp %%rdi, -128(%%rsp)\n je 1f\n or $4, %[wrong]\n 1:\n"
            "mov $0x1111111111111111, %%r12\n cmp %%r12, %%rsi\n je 1f\n or $8, %[wrong]\n 1:\n"
            "mov $0x2222222222222222, %%r12\n cmp %%r12, %%rdi\n je 1f\n or $16, %[wrong]\n 1:\n"
            "mov $0x3333333333333333, %%r12\n cmp %%r12, %%r8\n je 1f\n or $32, %[wrong]\n 1:\n"
            "mov $0x6666666666666666, %%r12\n cmp %%r12, %%r11\n je 1f\n or $64, %[wrong]\n 1:\n"
            "add $256, %%rsp\n"
            "shr $32, %%rax\n shr $32, %%rbx\n or %%rbx, %%rax\n shr $32, %%rcx\n or %%rcx, %%rax\n shr $32, %%rdx\n or %%rdx, %%rax\n"
            "je 1f\n or $128, %[wrong]\n 1:\n"
            : [wrong] "=&r"(wrong)
            : [carry] "r"(carry), [one] "i"(1)
            : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "memory", "cc");
        bad |= wrong;
    }
    return (int)bad;
}
#else
// The other registers and the carry.
static int leaves_alone(void)
{
    int bad = 0;
    // In no register and not on the stack, which moves.
    static unsigned carry;
    for (carry = 0; carry < 2; carry++) {
        unsigned a = 7, c = 0, source = 0x11111111, target = 0x22222222;
        static unsigned char after;
        __asm__ volatile("push %%ebx\n cmpl %[one], %[carry]\n cpuid\n setb %[after]\n pop %%ebx"
                         : "+a"(a), "+c"(c), "+S"(source), "+D"(target), [after] "=m"(after)
                         : [carry] "m"(carry), [one] "i"(1)
                         : "edx", "memory", "cc");
        bad |= after != !carry || source != 0x11111111 || target != 0x22222222;
    }
    return bad;
}
#endif

static volatile int handled;
static void handler(int signal) { handled += signal == SIGALRM; }

// Signals come at any instruction.
static int interrupted(void)
{
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct itimerspec often = {{0, 200000}, {0, 200000}}, never = {{0, 0}, {0, 0}};
    signal(SIGALRM, handler);
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    ask(7, 0);
    uint32_t right[4];
    memcpy(right, answer, sizeof right);
    timer_settime(timer, 0, &often, NULL);
    int wrong = 0;
    while (handled < 50) {
        ask(7, 0);
        wrong += memcmp(right, answer, sizeof right) != 0;
    }
    timer_settime(timer, 0, &never, NULL);
    return wrong;
}

int main(int argc, char **argv)
{
    int round = argc > 1 ? atoi(argv[1]) : 0;
    printf("round %d: all %016llx, harm %d, wrong %d\n", round, (unsigned long long)all(), leaves_alone(), interrupted());
    fflush(stdout);
    if (round == 3) return 0;
    char next[2] = {(char)('1' + round), 0};
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", argv[0], next, (char *)0);
        _exit(1);
    }
    int status;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}
