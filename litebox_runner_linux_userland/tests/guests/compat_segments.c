// 32-bit programs that load anything into their segment registers, and that call by instructions which only the vDSO
// is to use.
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
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
// Where a fault goes on, if it is to go on.
static volatile uintptr_t resume;
static volatile int caught_signal;
static volatile unsigned frame_ds, frame_es, handler_ds, handler_es;

static void caught(int signal, siginfo_t *info, void *context) {
    unsigned short ds, es;
    asm volatile("mov %%ds, %0\n mov %%es, %1" : "=r"(ds), "=r"(es));
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    handler_ds = ds, handler_es = es;
    frame_ds = registers[REG_DS] & 0xffff, frame_es = registers[REG_ES] & 0xffff;
    caught_signal = signal;
    if (!resume)
        siglongjmp(back, signal);
    registers[REG_EIP] = resume;
    // What cannot be used is not gone back to.
    registers[REG_DS] = registers[REG_ES] = 0x2b;
}

// Loads a selector and puts the former one back; whether it could be loaded.
#define LOADABLE(register)                                              \
    static int loadable_##register(unsigned short selector) {           \
        unsigned short before, got = 0xdead;                            \
        caught_signal = 0;                                              \
        asm volatile("movl $1f, %2\n"                                   \
                     "mov %%" #register ", %0\n"                        \
                     "mov %3, %%" #register "\n"                        \
                     "mov %%" #register ", %1\n"                        \
                     "mov %0, %%" #register "\n"                        \
                     "1: movl $0, %2"                                   \
                     : "=&r"(before), "+&r"(got), "=m"(resume) : "r"(selector) : "memory"); \
        return !caught_signal && got == selector;                       \
    }
LOADABLE(es)
LOADABLE(fs)
LOADABLE(gs)

// Memory is reached by ds.
static int loadable_ds(unsigned short selector) {
    unsigned short got = 0xdead;
    caught_signal = 0;
    resume = 0;
    int signal = sigsetjmp(back, 1);
    if (!signal)
        asm volatile("push %%ds\n mov %1, %%ds\n mov %%ds, %0\n pop %%ds" : "=r"(got) : "r"(selector) : "memory");
    return !signal && got == selector;
}

static int loadable_ss(unsigned short selector) {
    unsigned short got = 0xdead;
    resume = 0;
    int signal = sigsetjmp(back, 1);
    if (!signal)
        asm volatile("mov %%ss, %%ecx\n mov %1, %%ss\n mov %%ss, %0\n mov %%ecx, %%ss" : "=&r"(got) : "r"(selector) : "ecx", "memory");
    return !signal && got == selector;
}

// Of all selectors but those of thread areas, of which programs have as many as they have made.
static void every(const char *name, int (*loadable)(unsigned short)) {
    printf("%s:", name);
    for (int selector = 0; selector < 0x100; selector++)
        if ((selector < 0x60 || selector > 0x77 || selector & 4) && loadable(selector))
            printf(" %#x", selector);
    for (int selector = 0x1000; selector < 0x10000; selector += 0xff7)
        if (loadable(selector))
            printf(" %#x", selector);
    printf("\n");
}

// To the next instruction, by this selector of code.
static int jumpable(unsigned short selector) {
    static struct { uint32_t offset; uint16_t selector; } __attribute__((packed)) to;
    to.selector = selector;
    resume = 0;
    int signal = sigsetjmp(back, 1);
    if (!signal)
        asm volatile("movl $1f, %0\n ljmp *%0\n 1:" : "=m"(to) : "m"(to) : "memory");
    return !signal;
}

// Reads, writes and makes both kinds of calls while this is in ds and es.
static void by_data_segment(unsigned short selector) {
    static int word;
    int read = 0, wrote = 0, by_int = 0, by_vdso = 0;
    unsigned short ds = 0, es = 0;
    word = 7;
    caught_signal = 0;
    asm volatile("movl $1f, %1\n mov %3, %%ds\n mov %2, %0\n 1: mov %4, %%ds"
                 : "+r"(read), "=m"(resume) : "m"(word), "r"(selector), "r"(0x2b) : "memory");
    printf("%#x: reads %d", selector, read == 7);
    if (caught_signal)
        printf(" signal %d with %#x in the frame, %#x and %#x in the handler", caught_signal, frame_ds, handler_ds, handler_es);
    caught_signal = 0;
    asm volatile("movl $1f, %1\n mov %2, %%ds\n movl $8, %0\n 1: mov %3, %%ds"
                 : "+m"(word), "=m"(resume) : "r"(selector), "r"(0x2b) : "memory");
    wrote = word == 8;
    resume = 0;
    asm volatile("mov %3, %%es\n mov %3, %%ds\n int $0x80\n mov %%es, %1\n mov %%ds, %2\n mov %4, %%es\n mov %4, %%ds"
                 : "=a"(by_int), "=&r"(es), "=&r"(ds) : "r"(selector), "r"(0x2b), "0"(SYS_getpid) : "memory");
    printf("; writes %d; after int %d: %#x %#x", wrote, by_int == getpid(), ds, es);
    asm volatile("mov %3, %%es\n mov %3, %%ds\n call *%%gs:0x10\n mov %%es, %1\n mov %%ds, %2\n mov %4, %%es\n mov %4, %%ds"
                 : "=a"(by_vdso), "=&r"(es), "=&r"(ds) : "r"(selector), "r"(0x2b), "0"(SYS_getpid) : "memory");
    printf("; by the vDSO %d: %#x %#x\n", by_vdso == getpid(), ds, es);
}

// A handler that interrupts code with its own selectors finds the usual ones, and what it leaves stays its own.
static void by_signal(void) {
    struct sigaction action = {.sa_handler = 0}, before;
    sigaction(SIGUSR1, 0, &before);
    action.sa_sigaction = caught, action.sa_flags = SA_SIGINFO;
    sigaction(SIGUSR1, &action, 0);
    unsigned short es = 0, fs = 0, code = 0x23, data = 0x2b, none = 0;
    int result;
    // The handler puts 0x2b into ds and es of the frame; fs stays.
    asm volatile("movl $1f, %3\n mov %5, %%es\n mov %5, %%fs\n int $0x80\n"
                 "1: mov %%es, %1\n mov %%fs, %2\n mov %6, %%es\n mov %7, %%fs"
                 : "=a"(result), "=&r"(es), "=&r"(fs), "=m"(resume)
                 : "0"(SYS_kill), "m"(code), "m"(data), "m"(none), "b"(getpid()), "c"(SIGUSR1) : "memory");
    printf("signal %d: es %#x in the frame, %#x in the handler; afterwards es %#x, fs %#x\n", caught_signal, frame_es, handler_es, es, fs);
    sigaction(SIGUSR1, &before, 0);
}

// What the vDSO does around both instructions, on hosts that have them: the kernel goes on in the vDSO.
asm(".text\n"
    ".globl by_syscall\n by_syscall: push %ecx\n push %edx\n push %ebp\n mov %ecx, %ebp\n syscall\n ud2\n"
    ".globl by_sysenter\n by_sysenter: push %ecx\n push %edx\n push %ebp\n mov %esp, %ebp\n sysenter\n ud2\n");
extern char by_syscall[], by_sysenter[];

static void instruction(const char *name, char *code) {
    static char text[] = "written\n";
    resume = 0;
    int signal = sigsetjmp(back, 1);
    if (signal) {
        printf("%s: signal %d\n", name, signal);
        return;
    }
    long results[3], arguments[3][4] = {{SYS_getpid}, {9999}, {SYS_write, 1, (long)text, 8}};
    for (int i = 0; i < 3; i++) {
        long c = arguments[i][2], d = arguments[i][3];
        asm volatile("call *%3" : "=a"(results[i]), "+c"(c), "+d"(d) : "r"(code), "0"(arguments[i][0]), "b"(arguments[i][1]) : "memory", "cc");
        if (c != arguments[i][2] || d != arguments[i][3])
            printf("%s: registers changed\n", name);
    }
    printf("%s: %d %ld %ld\n", name, results[0] == getpid(), results[1], results[2]);
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    static char stack[65536];
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, 0);
    struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    for (int i = 0; i < 4; i++)
        sigaction((int[]){SIGSEGV, SIGILL, SIGTRAP, SIGBUS}[i], &action, 0);
    every("ds", loadable_ds);
    every("es", loadable_es);
    every("fs", loadable_fs);
    every("gs", loadable_gs);
    every("ss", loadable_ss);
    printf("jumps:");
    for (int selector = 0; selector < 0x100; selector++)
        if (selector >> 3 != 0x33 >> 3 && jumpable(selector))
            printf(" %#x", selector);
    printf("\n");
    for (int i = 0; i < 5; i++)
        by_data_segment((unsigned short[]){0, 0x23, 0x2b, 0x33, 0x7b}[i]);
    by_signal();
    instruction("syscall", by_syscall);
    instruction("sysenter", by_sysenter);
    printf("still %d\n", getpid() == syscall(SYS_getpid));
    return 0;
}
