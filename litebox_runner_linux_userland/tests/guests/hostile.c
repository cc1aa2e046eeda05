//@ helper
// Behaves as if it had taken over the kernel's code: jumps to the host-call gadget, whose address --test-hostile passes
// in an auxiliary value. `hostile MODE NUMBER`: MODE is 64, i386 or x32. `hostile attack NAME`.
#include <elf.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define AT_LITEBOX 0x6c626f78

static long host_call(long number, long a, long b, long c, long d, long e, long f) {
    long result, gadget = getauxval(AT_LITEBOX); // a call: before the registers are set
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    asm volatile("call *%[gadget]"
                 : "=a"(result)
                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9), [gadget] "b"(gadget)
                 : "rcx", "r11", "memory");
    return result;
}

static long i386_call(long number, long a, long b, long c) {
    long result;
    asm volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
    return result;
}

// No call is caught any more: the next one is the host's to judge.
static void uncaught(void) {
    host_call(157, 59, 0, 0, 0, 0, 0); // PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF
}

// Arguments that most calls can do something with: a path, a buffer, small numbers.
static long plausible(const char *mode, long number) {
    static char buffer[4096] = "/etc/passwd";
    if (!strcmp(mode, "i386")) {
        char *low = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        if (low == MAP_FAILED)
            return -1;
        strcpy(low, "/etc/passwd");
        uncaught();
        return i386_call(number, (long)low, 0, 0);
    }
    if (!strcmp(mode, "x32"))
        number |= 0x40000000;
    return host_call(number, (long)buffer, (long)buffer, 0, 0, 0, 0);
}

// Calls with arguments that the filter refuses. `off`: after switching off what catches calls.
static const struct {
    const char *name;
    long number, a, b, c;
    int off;
} refused[] = {
    {"clone-newns", 56, 0x00020000 | SIGCHLD},
    {"clone-newcgroup", 56, 0x02000000 | SIGCHLD},
    {"clone-newuts", 56, 0x04000000 | SIGCHLD},
    {"clone-newipc", 56, 0x08000000 | SIGCHLD},
    {"clone-newuser", 56, 0x10000000 | SIGCHLD},
    {"clone-newpid", 56, 0x20000000 | SIGCHLD},
    {"clone-newnet", 56, 0x40000000 | SIGCHLD},
    {"clone-ptrace", 56, 0x00002000 | SIGCHLD},
    {"clone-untraced", 56, 0x00800000 | SIGCHLD},
    {"tioclinux", 16, 0, 0x541c, 0},
    {"tiocsctty", 16, 0, 0x540e, 0},
    {"tiocspgrp", 16, 0, 0x5410, 0},
    {"tioccons", 16, 0, 0x541d, 0},
    {"fiosetown", 16, 0, 0x8901, 0},
    {"prctl-dumpable", 157, 4, 1, 0},
    {"prctl-wide", 157, 0x100000000 | 4, 1, 0},
    {"prctl-ptracer", 157, 0x59616d61, -1, 0},
    {"prctl-seccomp", 157, 22, 2, 0},
    {"prctl-mm", 157, 35, 1, 0},
    {"execve-uncaught", 59, (long)"/bin/sh", 0, 0, 1},
    {"open-uncaught", 2, (long)"/etc/passwd", 0, 0, 1},
};

// Where the kernel's heap lies: the first mapping above the guest's addresses that is as large. It begins below 0x780000000000.
static void *find_kernel(void) {
    for (unsigned long at = 0x700000000000; at < 0x780400000000; at += 8ul << 30)
        if (host_call(28, at, 4096, 0, 0, 0, 0) == 0) { // madvise says ENOMEM where nothing is
            unsigned long step = 8ul << 30;
            while ((step /= 2) >= 4096) // down to its start
                if (host_call(28, at - step, 4096, 0, 0, 0, 0) == 0)
                    at -= step;
            return (void *)at;
        }
    return 0;
}

static long attack(const char *name) {
    char byte;
    if (!strcmp(name, "read-descriptors")) {
        // What the process holds beside the standard streams, by kind; the test knows what it may hold.
        for (int fd = 3; fd < 2048; fd++) {
            struct stat st;
            if (host_call(5, fd, (long)&st, 0, 0, 0, 0))
                continue;
            int type = st.st_mode & S_IFMT;
            const char *kind = type == S_IFSOCK ? "socket" : type == 0 ? "anonymous" : type == S_IFREG && st.st_nlink == 0 ? "memory" : type == S_IFREG ? "file" : "other";
            printf("descriptor %d %s %lu\n", fd, kind, type == S_IFREG && st.st_nlink ? st.st_ino : 0);
        }
        return 0;
    }
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!strcmp(name, refused[i].name)) {
            if (refused[i].off)
                uncaught();
            return host_call(refused[i].number, refused[i].a, refused[i].b, refused[i].c, 0, 0, 0);
        }
    if (!strcmp(name, "tiocsti")) {
        byte = 'x';
        return host_call(16, 0, 0x5412, (long)&byte, 0, 0, 0);
    }
    if (!strcmp(name, "tiocsti-wide")) { // the host looks at 32 bits of the request alone
        byte = 'x';
        return host_call(16, 0, 0x100005412, (long)&byte, 0, 0, 0);
    }
    if (!strcmp(name, "map-over-kernel"))
        return host_call(9, getauxval(AT_LITEBOX) & -4096, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (!strcmp(name, "unmap-kernel"))
        return host_call(11, getauxval(AT_LITEBOX) & -4096, 4096, 0, 0, 0, 0);
    if (!strcmp(name, "overwrite-heap") || !strcmp(name, "hold-locks")) {
        // The heap is the largest thing above the guest's addresses: every word of it becomes garbage, or a lock that is held.
        volatile unsigned *heap = find_kernel();
        printf("found %d\n", heap != 0);
        fflush(stdout);
        int held = !strcmp(name, "hold-locks");
        for (long i = 0; heap && i < 1 << 20; i++)
            if (!held)
                heap[i] = 0xa5a5a5a5;
            else if (heap[i] == 0)
                heap[i] = 1;
        return held ? host_call(231, 5, 0, 0, 0, 0, 0) : write(1, "on\n", 3);
    }
    if (!strcmp(name, "broker-garbage")) {
        static unsigned char garbage[4096];
        for (int round = 0; round < 2000; round++) {
            for (unsigned i = 0; i < sizeof garbage; i++)
                garbage[i] = rand() >> (round % 8);
            if (round % 3)
                garbage[0] = round % 40, garbage[1] = garbage[2] = garbage[3] = 0;
            struct iovec part = {garbage, rand() % sizeof garbage};
            struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
            host_call(46, 3 + round / 2 % 3, (long)&message, 0x4040, 0, 0, 0); // MSG_DONTWAIT | MSG_NOSIGNAL
            part.iov_len = sizeof garbage;
            host_call(47, 3, (long)&message, 0x40, 0, 0, 0);
        }
        return 0;
    }
    if (!strcmp(name, "pass-descriptor")) { // the broker keeps nothing that it is sent
        char control[CMSG_SPACE(sizeof(int))] = {0};
        struct iovec part = {&byte, 1};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof(int));
        for (int i = 0; i < 3000; i++)
            host_call(46, 3, (long)&message, 0x4040, 0, 0, 0);
        return 0;
    }
    if (!strcmp(name, "timer-of-others")) {
        struct sigevent event = {.sigev_notify = 4, .sigev_signo = 9}; // SIGEV_THREAD_ID
        int timer, made = 0;
        for (int tid = 1; tid < 40000; tid++) {
            event._sigev_un._tid = tid;
            made += host_call(222, 1, (long)&event, (long)&timer, 0, 0, 0) == 0;
        }
        // Its own threads at most: one.
        printf("timers %d\n", made > 1);
        return 0;
    }
    if (!strcmp(name, "exit-thread"))
        return host_call(60, 0, 0, 0, 0, 0, 0);
    if (!strcmp(name, "exit-process"))
        return host_call(231, 0, 0, 0, 0, 0, 0);
    if (!strcmp(name, "unmap-stack")) { // the signal stack that the next call would be caught on
        stack_t stack = {0};
        host_call(131, 0, (long)&stack, 0, 0, 0, 0);
        host_call(11, (long)stack.ss_sp & -4096, stack.ss_size, 0, 0, 0, 0);
        return getppid();
    }
    if (!strcmp(name, "close-descriptors")) {
        for (int fd = 3; fd < 1024; fd++)
            host_call(3, fd, 0, 0, 0, 0, 0);
        return access("/etc/passwd", R_OK);
    }
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
