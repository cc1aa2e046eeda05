//@ 64-bit only: code of 32-bit programs is never patched
//@ variants: static dynamic
//@ flags: -pthread
// Call sites of all shapes, entered from everywhere, by many threads, in code that changes.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

typedef long (*entry)(long number, long a, long b, long c);

#define SITE(name, body) \
    asm(".pushsection .text\n.balign 64\n" #name ":\n" body "\n.popsection\n"); \
    extern char name[];

// What precedes the `syscall` loads the number: in one, two and no instruction.
SITE(load_short, "xor %edi, %edi\n mov $39, %eax\n syscall\n ret")
SITE(load_long, "xor %edi, %edi\n mov $39, %rax\n syscall\n ret")
SITE(load_elsewhere, "mov %rdi, %rax\n mov %rsi, %rdi\n mov %rdx, %rsi\n mov %rcx, %rdx\n syscall\n cmp $-4095, %rax\n jae 1f\n ret\n1: neg %rax\n ret")
// The bytes of a load of the number, but of another register.
SITE(load_other, "mov $39, %eax\n mov $39, %r8d\n syscall\n cmp $39, %r8\n jne 1f\n ret\n1: mov $-1, %rax\n ret")
// What follows is relative to where it lies, ends the function, branches, or cannot be moved.
SITE(relative, "mov %rdi, %rax\n syscall\n lea here(%rip), %rdx\n mov there(%rip), %rcx\n cmp %rcx, %rdx\n jne 1f\n ret\n1: mov $-1, %rax\n ret\nhere: .quad 0\nthere: .quad here")
SITE(returns, "mov %rdi, %rax\n syscall\n ret\n nopw 0(%rax,%rax)")
SITE(branches, "mov %rdi, %rax\n syscall\n test %rax, %rax\n jns 1f\n xor %eax, %eax\n1: ret")
SITE(short_ones, "mov %rdi, %rax\n syscall\n push %rbx\n push %rbp\n pop %rbp\n pop %rbx\n ret")
SITE(calls, "mov %rdi, %rax\n syscall\n call 1f\n ret\n1: ret")
SITE(twice, "mov %rdi, %rax\n syscall\n mov %rdi, %rax\n syscall\n mov %rax, %rax\n nop\n ret")
SITE(loops, "push %rbx\n mov $3, %ebx\n1: mov %rdi, %rax\n syscall\n dec %ebx\n jnz 1b\n pop %rbx\n ret")
// Entered in the middle, too: at the `syscall`, behind it, and at each instruction behind that.
SITE(entered, "mov $39, %eax\n.globl entered_call\nentered_call: syscall\n.globl entered_behind\nentered_behind: mov %rax, %rdx\n.globl entered_later\nentered_later: lea 1(%rdx), %rax\n ret")
SITE(middle, "mov %rdi, %rax\n.globl middle_call\nmiddle_call: syscall\n.globl middle_behind\nmiddle_behind: inc %eax\n.globl middle_later\nmiddle_later: add $2, %rax\n ret")
extern char entered_call[], entered_behind[], entered_later[], middle_call[], middle_behind[], middle_later[];

static long enter(char *at, long number) {
    return ((entry)at)(number, 0, 0, 0);
}

// Enters at `at` with rax and rdx given.
static long enter_with(char *at, long rax, long rdx) {
    asm volatile("call *%3" : "+a"(rax), "+d"(rdx) : "D"(rax), "r"(at) : "rcx", "rsi", "r8", "r9", "r10", "r11", "memory");
    return rax;
}

static void shapes(void) {
    const struct { const char *name; char *at; long less; } sites[] = {
        {"short load", load_short, 0}, {"long load", load_long, 0}, {"load elsewhere", load_elsewhere, 0},
        {"load of another register", load_other, 0}, {"relative", relative, 0}, {"returns", returns, 0},
        {"branches", branches, 0}, {"short ones", short_ones, 0}, {"calls", calls, 0}, {"twice", twice, 0}, {"loops", loops, 0},
    };
    for (unsigned i = 0; i < sizeof sites / sizeof *sites; i++) {
        int good = 1;
        for (int n = 0; n < 100; n++) good &= enter(sites[i].at, SYS_getpid) == getpid();
        printf("%s: %s\n", sites[i].name, good ? "ok" : "WRONG");
    }
    printf("error: %ld\n", ((entry)load_elsewhere)(SYS_close, -1, 0, 0));
    printf("no such call: %ld\n", enter(branches, 9999));
}

static void middles(void) {
    int good = 1;
    for (int n = 0; n < 50; n++) {
        good &= enter(entered, 0) == getpid() + 1;
        good &= enter_with(entered_call, SYS_getpid, 0) == getpid() + 1;
        good &= enter_with(entered_call, SYS_getppid, 0) == getppid() + 1;
        good &= enter_with(entered_behind, 7, 0) == 8;
        good &= enter_with(entered_later, 0, 20) == 21;
        good &= enter(middle, SYS_getpid) == getpid() + 3;
        good &= enter_with(middle_call, SYS_getppid, 0) == getppid() + 3;
        good &= enter_with(middle_behind, 7, 0) == 10;
        good &= enter_with(middle_later, 7, 0) == 9;
    }
    printf("entered in the middle: %s\n", good ? "ok" : "WRONG");
}

static volatile int go;
static char *contended, *contended_call, *contended_behind;
// Through the beginning, straight to the call and to the instruction behind it, which a patch moves.
static void *worker(void *wrong) {
    while (!go);
    for (int i = 0; i < 2000; i++) {
        if (enter(contended, SYS_getpid) != getpid()) *(int *)wrong = 1;
        if (enter_with(contended_behind, 1000 + i, 0) != 1000 + i) *(int *)wrong = 1;
        if (i % 64 == 0 && enter_with(contended_call, SYS_getppid, 0) != getppid()) *(int *)wrong = 1;
    }
    return NULL;
}

// A function made at run time: mov $number,%eax; syscall; ret - or with the number in a register and instructions
// behind it.
static void assemble(uint8_t *to, long number, int before) {
    uint8_t short_one[] = {0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3};
    uint8_t long_one[] = {0x48, 0x89, 0xf8, 0x0f, 0x05, 0x48, 0x3d, 1, 0xf0, 0xff, 0xff, 0x90, 0xc3};
    memcpy(short_one + 1, &number, 4);
    if (before) memcpy(to, short_one, sizeof short_one);
    else memcpy(to, long_one, sizeof long_one);
}

static void contention(void) {
    int wrong = 0;
    for (int round = 0; round < 40; round++) {
        pthread_t threads[4];
        uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assemble(code + round * 64, SYS_getpid, round & 1);
        mprotect(code, 4096, PROT_READ | PROT_EXEC);
        contended = (char *)code + round * 64;
        contended_call = contended + (round & 1 ? 5 : 3);
        contended_behind = contended_call + 2;
        go = 0;
        for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, worker, &wrong);
        go = 1;
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
        munmap(code, 4096);
    }
    printf("many threads: %s\n", wrong ? "WRONG" : "ok");
}

static void generated(void) {
    uint8_t *code = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int good = 1;
    const long numbers[] = {SYS_getpid, SYS_getppid, SYS_gettid};
    long want[] = {getpid(), getppid(), getpid()};
    for (int i = 0; i < 60; i++) {
        // Across a page, too.
        uint8_t *at = code + (i & 1 ? 4093 : 100);
        mprotect(code, 8192, PROT_READ | PROT_WRITE);
        if (i > 5) good &= memcmp(at, "\xe9", 1) != 0;
        assemble(at, numbers[i % 3], i % 4 < 2);
        mprotect(code, 8192, PROT_READ | PROT_EXEC);
        for (int n = 0; n < 5; n++) good &= enter((char *)at, numbers[i % 3]) == want[i % 3];
    }
    printf("rewritten: %s\n", good ? "ok" : "WRONG");
    good = 1;
    for (int i = 0; i < 20; i++) {
        mmap(code, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        assemble(code + 8 * i, numbers[i % 3], i & 1);
        mprotect(code, 8192, PROT_READ | PROT_EXEC);
        for (int n = 0; n < 3; n++) good &= enter((char *)code + 8 * i, numbers[i % 3]) == want[i % 3];
        uint8_t *moved = mremap(code, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, code + (1 << 20));
        for (int n = 0; n < 3; n++) good &= enter((char *)moved + 8 * i, numbers[i % 3]) == want[i % 3];
        munmap(moved, 8192);
    }
    printf("mapped over and moved: %s\n", good ? "ok" : "WRONG");
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    good = 1;
    for (int i = 0; i < 20; i++) {
        assemble(code, numbers[i % 3], 1);
        good &= enter((char *)code, 0) == want[i % 3];
    }
    printf("writable code: %s\n", good ? "ok" : "WRONG");
}

static volatile long where, steps, called;
static void on_trap(int s, siginfo_t *info, void *context) {
    (void)s, (void)info;
    long rip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    if (rip >= (long)entered && rip < (long)entered + 32) where = where * 31 + (rip - (long)entered), steps++;
    if (rip >= (long)middle && rip < (long)middle + 32) where = where * 31 + (rip - (long)middle), steps++;
}
static void stepped(char *at) {
    where = steps = 0;
    long r = SYS_getpid;
    asm volatile("pushfq\n orl $0x100, (%%rsp)\n popfq\n call *%1\n pushfq\n andl $~0x100, (%%rsp)\n popfq"
                 : "+a"(r) : "r"(at), "D"(r) : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory");
    printf("stepped: %ld steps, places %ld, result %s\n", steps, where, r > getpid() ? "ok" : "WRONG");
}

static void forked(void) {
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        int good = 1;
        for (int n = 0; n < 20; n++) {
            good &= enter(entered, 0) == getpid() + 1 && enter_with(middle_behind, 7, 0) == 10;
            good &= enter(middle, SYS_getpid) == getpid() + 3 && enter(load_elsewhere, SYS_getpid) == getpid();
        }
        _exit(good ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    printf("child: %d\n", status);
}

int main(void) {
    shapes();
    middles();
    contention();
    generated();
    struct sigaction act = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &act, NULL);
    stepped(entered);
    stepped(middle);
    stepped(entered);
    forked();
    return 0;
}
