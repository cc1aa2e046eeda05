//@ 64-bit only: a 64-bit program it is that goes into 32-bit code
// A 64-bit program jumps into 32-bit code, which computes, makes calls and is interrupted there.
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

// The function lies below 4 GiB, as all of a program at a fixed address does; so does the stack that it runs on. It
// takes the number in eax and the first arguments in ebx, ecx, edx.
asm(".text\n .globl enter32\n enter32:\n"
    "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "mov %rsp, saved_rsp(%rip)\n"
    "mov %edi, %eax\n mov %esi, %ebx\n mov %ecx, %r8d\n mov %edx, %ecx\n mov %r8d, %edx\n"
    "mov low_stack(%rip), %rsp\n"
    "lcall *to_32(%rip)\n"
    "mov saved_rsp(%rip), %rsp\n"
    "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
    ".data\n to_32: .long code32\n .word 0x23\n .balign 8\n saved_rsp: .quad 0\n .text\n"
    ".code32\n"
    "code32: push %ds\n push %es\n push $0x2b\n pop %ds\n push $0x2b\n pop %es\n"
    "int $0x80\n"
    "pop %es\n pop %ds\n lret\n"
    ".globl loops32\n loops32:\n .code64\n"
    "push %rbx\n mov %rsp, saved_rsp(%rip)\n mov %edi, %ecx\n mov low_stack(%rip), %rsp\n lcall *to_loop(%rip)\n"
    "mov saved_rsp(%rip), %rsp\n pop %rbx\n ret\n"
    ".data\n to_loop: .long loop32\n .word 0x23\n .text\n"
    ".code32\n"
    "loop32: xor %eax, %eax\n xor %ebx, %ebx\n"
    "1: add $3, %eax\n rol $1, %eax\n xor %ecx, %eax\n dec %ecx\n jnz 1b\n lret\n"
    ".code64\n");
extern int32_t enter32(uint32_t number, uint32_t first, uint32_t second, uint32_t third);
extern uint32_t loops32(uint32_t rounds);
char *low_stack;

static uint32_t loops(uint32_t rounds) {
    uint32_t sum = 0;
    do {
        sum += 3;
        sum = sum << 1 | sum >> 31;
        sum ^= rounds;
    } while (--rounds);
    return sum;
}

static volatile sig_atomic_t in_32, in_64;
static void on_alarm(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    uint16_t code = ((ucontext_t *)context)->uc_mcontext.gregs[REG_CSGSFS];
    if (code == 0x23) in_32++;
    if (code == 0x33) in_64++;
}

static void calls(void) {
    char *low = low_stack - 65536;
    printf("getpid %d, getppid %d\n", enter32(20, 0, 0, 0) == getpid(), enter32(64, 0, 0, 0) == getppid());
    strcpy(low, "written\n");
    fflush(stdout);
    printf("write %d\n", enter32(4, 1, (uint32_t)(uintptr_t)low, 8));
    printf("close %d, no such call %d, bad pointer %d\n", enter32(6, -1, 0, 0), enter32(9999, 0, 0, 0), enter32(4, 1, 8, 4));
    // struct timespec of 32 bits.
    int32_t time[4] = {0, 0, 77, 78}, *there = (int32_t *)low;
    memcpy(there, time, sizeof time);
    printf("clock_gettime %d, behind it %d %d\n", enter32(265, CLOCK_MONOTONIC, (uint32_t)(uintptr_t)low, 0), there[2], there[3]);
    char *page = (char *)(uintptr_t)(uint32_t)enter32(45, 0, 0, 0);
    printf("brk %d\n", page == (char *)(uintptr_t)(uint32_t)(uintptr_t)sbrk(0));
    printf("and a call of 64 bits %d\n", syscall(SYS_getpid) == getpid());
}

int main(void) {
    low_stack = mmap((void *)0x20000000, 1 << 17, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    low_stack += 1 << 17;
    calls();
    static char stack[65536];
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    struct sigaction action = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 50}, {0, 50}}, NULL);
    int wrong = 0;
    while (in_32 < 200) {
        wrong += loops32(5000) != loops(5000);
        wrong += enter32(20, 0, 0, 0) != getpid();
    }
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    printf("interrupted: %d wrong\n", wrong);
    return 0;
}
