// Sites of `int $0x80` of all shapes: each makes its call often, is entered behind it, without a stack, is stepped
// through, read, and changed.
//@ variants: m32 m32-dynamic
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

// More often than a site traps before it is worth a patch.
#define ROUNDS 12

// The number goes in, and the result comes out, in eax.
asm(".text\n .globl shapes_start\n shapes_start:\n"
    ".globl loads\n loads: mov $20, %eax\n int $0x80\n ret\n"
    ".globl moves\n moves: int $0x80\n mov %eax, %edx\n mov %edx, %eax\n ret\n"
    ".globl one_byte\n one_byte: int $0x80\n nop\n nop\n nop\n ret\n"
    ".globl branches\n branches: int $0x80\n cmp $0xfffff000, %eax\n ja 1f\n ret\n 1: mov $-1, %eax\n ret\n"
    ".globl compares\n compares: int $0x80\n test %eax, %eax\n jle 1f\n ret\n 1: neg %eax\n ret\n"
    ".globl jumps\n jumps: int $0x80\n jmp 1f\n ud2\n 1: ret\n"
    ".globl pads\n pads: int $0x80\n ret\n .byte 0x8d, 0x74, 0x26, 0\n nop\n"
    ".globl ends\n ends: int $0x80\n ret\n"
    ".globl behind\n behind: xor %ecx, %ecx\n ret\n"
    ".globl calls\n calls: int $0x80\n call behind\n ret\n"
    ".globl twice\n twice: push %eax\n int $0x80\n pop %eax\n int $0x80\n ret\n"
    ".globl pushes\n pushes: int $0x80\n push %eax\n pop %edx\n push %edx\n pop %eax\n ret\n"
    ".globl stores\n stores: int $0x80\n mov %eax, -4(%esp)\n mov -4(%esp), %eax\n ret\n"
    ".globl with_prefix\n with_prefix: int $0x80\n xchg %ax, %ax\n xchg %ax, %ax\n ret\n"
    ".globl shapes_end\n shapes_end: nop\n"
    // The stack pointer leads nowhere while the call is made.
    ".globl no_stack\n no_stack: push %ebp\n mov %esp, %ebp\n mov $16, %esp\n mov $20, %eax\n int $0x80\n"
    "mov %ebp, %esp\n pop %ebp\n ret\n"
    // All registers but eax, and the flags, are as before: the number of those that are not.
    ".globl keeps\n keeps: push %ebx\n push %esi\n push %edi\n push %ebp\n"
    "mov $1, %ebx\n mov $2, %ecx\n mov $3, %edx\n mov $4, %esi\n mov $5, %edi\n mov $6, %ebp\n"
    "stc\n mov $20, %eax\n int $0x80\n mov $0, %eax\n adc $-1, %eax\n"
    "cmp $1, %ebx\n je 1f\n inc %eax\n 1: cmp $2, %ecx\n je 1f\n inc %eax\n 1: cmp $3, %edx\n je 1f\n inc %eax\n"
    "1: cmp $4, %esi\n je 1f\n inc %eax\n 1: cmp $5, %edi\n je 1f\n inc %eax\n 1: cmp $6, %ebp\n je 1f\n inc %eax\n"
    "1: pop %ebp\n pop %edi\n pop %esi\n pop %ebx\n ret\n");
extern char shapes_start[], shapes_end[], loads[], moves[], one_byte[], branches[], compares[], jumps[], pads[], ends[];
extern char calls[], twice[], pushes[], stores[], with_prefix[];
extern int no_stack(void), keeps(void);

static const struct shape {
    const char *name;
    char *code;
} SHAPES[] = {
    {"loads", loads}, {"moves", moves}, {"one_byte", one_byte}, {"branches", branches}, {"compares", compares},
    {"jumps", jumps}, {"pads", pads}, {"ends", ends}, {"calls", calls}, {"twice", twice}, {"pushes", pushes},
    {"stores", stores}, {"with_prefix", with_prefix},
};
#define COUNT (sizeof SHAPES / sizeof *SHAPES)

static int by(const char *code, int number) {
    int result;
    asm volatile("call *%1" : "=a"(result) : "r"(code), "a"(number) : "ecx", "edx", "memory", "cc");
    return result;
}

static int wrong_rounds(void) {
    int wrong = 0, pid = getpid();
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < COUNT; i++)
            wrong += by(SHAPES[i].code, SYS_getpid) != pid;
    return wrong;
}

// Behind the call nobody but a jump knows what stood there before.
static void enter_behind(void) {
    for (size_t i = 1; i < COUNT; i++)
        if (SHAPES[i].code != twice) printf("%s from behind: %d\n", SHAPES[i].name, by(SHAPES[i].code + 2, 77));
}

static char *stepped;
static int offsets[64], steps;
static void on_trap(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    char *at = (char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_EIP];
    if (at >= shapes_start && at < shapes_end && steps < 64) offsets[steps++] = at - stepped;
}

static void step_through(const struct shape *shape) {
    stepped = shape->code, steps = 0;
    int result;
    asm volatile("pushf\n orl $0x100, (%%esp)\n popf\n call *%1\n pushf\n andl $~0x100, (%%esp)\n popf"
                 : "=a"(result) : "r"(shape->code), "a"(SYS_getpid) : "ecx", "edx", "memory", "cc");
    printf("%s stepped, right %d:", shape->name, result == getpid());
    for (int i = 0; i < steps; i++)
        printf(" %d", offsets[i]);
    printf("\n");
}

static void step_all(void) {
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, NULL);
    for (size_t i = 0; i < COUNT; i++)
        step_through(&SHAPES[i]);
}

static char *page_of(char *code) { return (char *)((uintptr_t)code & ~4095); }

static void change(void) {
    char *page = page_of(loads);
    size_t len = page_of(shapes_end) + 4096 - page;
    printf("mprotect %d\n", mprotect(page, len, PROT_READ | PROT_WRITE | PROT_EXEC));
    for (int i = 0; i < ROUNDS; i++) {
        loads[1] = i % 2 ? SYS_getpid : SYS_getppid;
        if (by(loads, 0) != (i % 2 ? getpid() : getppid())) printf("changed code is not executed\n");
    }
    printf("mprotect %d\n", mprotect(page, len, PROT_READ | PROT_EXEC));
    printf("%d wrong after the change\n", wrong_rounds());
}

// Memory that is the program's, wherever it asks for it.
static void map_everywhere(void) {
    for (uintptr_t at = 0xff000000; at < 0xff100000; at += 0x40000) {
        char *page = mmap((void *)at, 0x40000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (page != (void *)at) {
            printf("mmap at %zx failed\n", (size_t)at);
            continue;
        }
        memset(page, 0x5a, 0x40000);
    }
    printf("%d wrong beside mapped memory\n", wrong_rounds());
    int lost = 0;
    for (uintptr_t at = 0xff000000; at < 0xff100000; at += 4)
        lost += *(uint32_t *)at != 0x5a5a5a5a;
    munmap((void *)0xff000000, 0x100000);
    printf("%d words lost, %d wrong afterwards\n", lost, wrong_rounds());
}

int main(void) {
    static char text[4096];
    size_t len = shapes_end - shapes_start;
    memcpy(text, shapes_start, len);
    step_all();
    printf("%d wrong\n", wrong_rounds());
    enter_behind();
    int failed = 0, lost = 0;
    for (int i = 0; i < ROUNDS; i++) {
        failed += no_stack() != getpid();
        lost += keeps();
    }
    printf("without a stack %d wrong; %d registers lost\n", failed, lost);
    step_all();
    change();
    step_through(&SHAPES[0]);
    map_everywhere();
    // What is written is what was there: once it can be changed it is the file's.
    mprotect(page_of(shapes_start), page_of(shapes_end) + 4096 - page_of(shapes_start), PROT_READ | PROT_WRITE | PROT_EXEC);
    printf("text the same %d\n", !memcmp(text, shapes_start, len));
    return 0;
}
