// 32-bit programs that jump into 64-bit code and back, with anything in the registers that 32-bit code does not have;
// and segments at both ends of memory.
//@ variants: m32
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <asm/ldt.h>

// r8 to r15 become the 64-bit words at edi, and what they were is written there; a 64-bit getpid in between if ebx
// says so.
asm(".text\n"
    ".globl far_stub\n far_stub:\n"
    ".code64\n"
    "xchg %r8, (%rdi)\n xchg %r9, 8(%rdi)\n xchg %r10, 16(%rdi)\n xchg %r11, 24(%rdi)\n"
    "xchg %r12, 32(%rdi)\n xchg %r13, 40(%rdi)\n xchg %r14, 48(%rdi)\n xchg %r15, 56(%rdi)\n"
    "test %ebx, %ebx\n jz 1f\n mov $39, %eax\n syscall\n"
    "1: lretl\n"
    ".code32\n"
    ".globl far_call\n far_call:\n"
    "push %ebx\n push %edi\n mov 12(%esp), %edi\n mov 16(%esp), %ebx\n xor %eax, %eax\n"
    "lcall $0x33, $far_stub\n"
    "pop %edi\n pop %ebx\n ret\n");
extern long far_call(uint64_t *registers, int with_call);

static sigjmp_buf back;
static volatile uintptr_t fault_at;
static volatile unsigned fault_cs;
static void caught(int signal, siginfo_t *info, void *context) {
    fault_at = (uintptr_t)info->si_addr;
    fault_cs = ((uint32_t *)((char *)context + 20))[15] & 0xffff;
    siglongjmp(back, signal);
}

static void registers(const char *what, uint64_t value) {
    uint64_t r[8];
    for (int i = 0; i < 8; i++)
        r[i] = value;
    far_call(r, 0);
    long first = syscall(SYS_getppid) == getppid(), second;
    asm volatile("int $0x80" : "=a"(second) : "a"(SYS_getpid) : "memory");
    char none;
    printf("%s: calls %ld %d %d\n", what, first, second == getpid(), (int)syscall(SYS_read, -1, &none, 1) == -1 && errno == EBADF);
}

static int area(unsigned base) {
    static int number = -1;
    struct user_desc d = {.entry_number = number, .base_addr = base, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .useable = 1};
    if (syscall(SYS_set_thread_area, &d))
        printf("set_thread_area: %d\n", errno);
    number = d.entry_number;
    return number * 8 + 3;
}

static void read_at(unsigned base, unsigned offset) {
    uint16_t selector = area(base);
    int value = 0;
    int signal = sigsetjmp(back, 1);
    if (!signal) {
        asm volatile("mov %1, %%fs\n mov %%fs:(%2), %0" : "=r"(value) : "r"(selector), "r"(offset) : "memory");
        printf("base %#x offset %#x reads %#x\n", base, offset, value);
    } else {
        printf("base %#x offset %#x: signal %d at %#lx from %#x\n", base, offset, signal, (long)fault_at, fault_cs);
    }
    asm volatile("mov %0, %%fs" : : "r"(0));
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO};
    for (int i = 0; i < 4; i++)
        sigaction((int[]){SIGSEGV, SIGILL, SIGTRAP, SIGBUS}[i], &action, 0);
    registers("zeros", 0);
    registers("ones", ~0ull);
    registers("not canonical", 0x8000000000001000);
    registers("own memory", (uintptr_t)main);
    registers("a heap's", (uintptr_t)malloc(100));
    registers("kernel's", 0xffffffff81000000);
    registers("a stack's", (uintptr_t)&action);
    uint64_t r[8] = {0};
    printf("a 64-bit call: %s\n", far_call(r, 1) == getpid() ? "right" : "wrong");
    int signal = sigsetjmp(back, 1);
    if (!signal)
        asm volatile("ljmp $0x33, $0x10");
    printf("to nowhere in 64-bit code: signal %d at %#lx from %#x\n", signal, (long)fault_at, fault_cs);
    signal = sigsetjmp(back, 1);
    if (!signal)
        asm volatile("ljmp $0x1230, $0x10");
    printf("by a selector that is none: signal %d at %#lx from %#x\n", signal, (long)fault_at, fault_cs);
    static int words[4] = {0x11, 0x22, 0x33, 0x44};
    read_at((unsigned)words, 4);
    read_at((unsigned)words - 0x1000, 0x1004);
    read_at((unsigned)words + 0x100000, -0x100000 + 8);
    read_at(0, (unsigned)words);
    read_at(0x10, 0);
    read_at(0x10, 0x100);
    read_at(0xfffffff0, 0x20);
    read_at(0xfffff000, 0);
    int *low = mmap((void *)0x10000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("low: %d\n", low == (void *)0x10000);
    low[1] = 0x77;
    read_at(0x10000, 4);
    read_at(0xffff0000, 0x20004);
    // Reloading it again and again.
    unsigned sum = 0;
    uint16_t selector = area((unsigned)words);
    for (int i = 0; i < 1000; i++) {
        int value;
        asm volatile("mov %1, %%fs\n mov %%fs:12, %0" : "=r"(value) : "r"(selector));
        sum += value;
    }
    asm volatile("mov %0, %%fs" : : "r"(0));
    printf("a thousand times: %#x\n", sum);
    return 0;
}
