//@ helper
// Behaves as if it had taken over the kernel's code: jumps to the host-call gadget, whose address --test-hostile passes
// in an auxiliary value. `hostile MODE NUMBER [ATTACK]`: MODE is 64, i386 or x32.
#include <elf.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#define AT_LITEBOX 0x6c626f78

static long host_call(long number, long a, long b, long c, long d, long e, long f) {
    long result;
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    asm volatile("call *%[gadget]"
                 : "=a"(result)
                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9), [gadget] "b"(getauxval(AT_LITEBOX))
                 : "rcx", "r11", "memory");
    return result;
}

static long i386_call(long number, long a, long b, long c) {
    long result;
    asm volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
    return result;
}

// Arguments that most calls can do something with: a path, a buffer, small numbers.
static long plausible(const char *mode, long number) {
    static char buffer[4096] = "/etc/passwd";
    if (!strcmp(mode, "i386")) {
        char *low = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        if (low == MAP_FAILED)
            return -1;
        strcpy(low, "/etc/passwd");
        return i386_call(number, (long)low, 0, 0);
    }
    if (!strcmp(mode, "x32"))
        number |= 0x40000000;
    return host_call(number, (long)buffer, (long)buffer, 0, 0, 0, 0);
}

static long attack(const char *name) {
    char byte;
    if (!strcmp(name, "read-descriptors")) {
        for (int fd = 3; fd < 1024; fd++)
            if (host_call(0, fd, (long)&byte, 0, 0, 0, 0) == 0)
                printf("descriptor %d\n", fd);
        return 0;
    }
    if (!strcmp(name, "clone-newuser"))
        return host_call(56, 0x10000000 | SIGCHLD, 0, 0, 0, 0, 0);
    if (!strcmp(name, "clone-newns"))
        return host_call(56, 0x00020000 | SIGCHLD, 0, 0, 0, 0, 0);
    if (!strcmp(name, "clone-newpid"))
        return host_call(56, 0x20000000 | SIGCHLD, 0, 0, 0, 0, 0);
    if (!strcmp(name, "tiocsti")) {
        byte = 'x';
        return host_call(16, 0, 0x5412, (long)&byte, 0, 0, 0);
    }
    if (!strcmp(name, "tiocsti-wide")) { // the host looks at 32 bits of the request alone
        byte = 'x';
        return host_call(16, 0, 0x100005412, (long)&byte, 0, 0, 0);
    }
    if (!strcmp(name, "prctl-dumpable"))
        return host_call(157, 4, 1, 0, 0, 0, 0);
    if (!strcmp(name, "prctl-ptracer"))
        return host_call(157, 0x59616d61, -1, 0, 0, 0, 0);
    if (!strcmp(name, "map-over-kernel"))
        return host_call(9, getauxval(AT_LITEBOX) & -4096, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (!strcmp(name, "unmap-kernel"))
        return host_call(11, getauxval(AT_LITEBOX) & -4096, 4096, 0, 0, 0, 0);
    if (!strcmp(name, "wide-number"))
        return host_call(0x100000000 | 59, (long)"/bin/sh", 0, 0, 0, 0, 0);
    if (!strcmp(name, "fake-frame")) {
        asm volatile("mov $15, %%eax\n jmp *%0" ::"b"(getauxval(AT_LITEBOX)) : "rax");
        return 0;
    }
    if (!strcmp(name, "trap-flag")) {
        asm volatile("pushfq\n orq $0x100, (%%rsp)\n popfq\n mov $39, %%eax\n syscall" ::: "rax", "rcx", "r11", "memory", "cc");
        return 0;
    }
    if (!strcmp(name, "direction-flag")) {
        asm volatile("std\n mov $39, %%eax\n syscall\n cld" ::: "rax", "rcx", "r11", "memory", "cc");
        return 0;
    }
    if (!strcmp(name, "alignment-check")) {
        asm volatile("pushfq\n orq $0x40000, (%%rsp)\n popfq\n mov $39, %%eax\n syscall\n"
                     "pushfq\n andq $~0x40000, (%%rsp)\n popfq" ::: "rax", "rcx", "r11", "memory", "cc");
        return 0;
    }
    if (!strcmp(name, "mxcsr")) {
        unsigned strict = 0x1f80 & ~0x1f80, usual = 0x1f80;
        asm volatile("ldmxcsr %0\n mov $39, %%eax\n syscall\n ldmxcsr %1" ::"m"(strict), "m"(usual) : "rax", "rcx", "r11", "memory");
        return 0;
    }
    if (!strcmp(name, "gs")) {
        asm volatile("xor %%eax, %%eax\n mov %%eax, %%gs\n mov $39, %%eax\n syscall" ::: "rax", "rcx", "r11", "memory");
        return 0;
    }
    if (!strcmp(name, "stack")) {
        asm volatile("mov %%rsp, %%rbx\n mov $8, %%esp\n mov $39, %%eax\n syscall\n mov %%rbx, %%rsp" ::: "rax", "rbx", "rcx", "r11", "memory");
        return 0;
    }
    fprintf(stderr, "no attack %s\n", name);
    exit(2);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    if (!getauxval(AT_LITEBOX)) {
        puts("no gadget");
        return 3;
    }
    puts("ready");
    fflush(stdout);
    long result = strcmp(argv[1], "attack") ? plausible(argv[1], atol(argv[2])) : attack(argv[2]);
    printf("result %ld\n", result);
    return 0;
}
