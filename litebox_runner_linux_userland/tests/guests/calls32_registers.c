// What a call of a 32-bit program preserves: all registers but eax, flags, vectors, control words; by `int $0x80` and
// by `__kernel_vsyscall`. Where `syscall` and `sysenter` lead.
//@ variants: m32 m32-static-pie
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// What a call finds and leaves. `via` is the code that makes the call.
struct state {
    uint32_t eax, ebx, ecx, edx, esi, edi, ebp, flags, esp;
    uint32_t mxcsr;
    uint16_t control, unused;
    uint32_t more[5];
    unsigned char xmm[8][16];
};
_Static_assert(sizeof(struct state) == 192, "offsets below");

void make_call(struct state *state, const void *via);
asm(".text\n .globl make_call\n make_call:\n"
    "push %ebx\n push %esi\n push %edi\n push %ebp\n"
    "mov 20(%esp), %eax\n mov 24(%esp), %ecx\n push %ecx\n push %eax\n"
#define V(n) "movdqu " #n "*16+64(%eax), %xmm" #n "\n"
    V(0) V(1) V(2) V(3) V(4) V(5) V(6) V(7)
#undef V
    "ldmxcsr 36(%eax)\n fldcw 40(%eax)\n"
    "mov %esp, 32(%eax)\n"
    "mov 4(%eax), %ebx\n mov 8(%eax), %ecx\n mov 12(%eax), %edx\n mov 16(%eax), %esi\n mov 20(%eax), %edi\n"
    "mov 24(%eax), %ebp\n push 28(%eax)\n popf\n mov (%eax), %eax\n"
    "call *4(%esp)\n"
    "push %eax\n mov 4(%esp), %eax\n"
    "mov %ebx, 4(%eax)\n mov %ecx, 8(%eax)\n mov %edx, 12(%eax)\n mov %esi, 16(%eax)\n mov %edi, 20(%eax)\n"
    "mov %ebp, 24(%eax)\n pushf\n pop 28(%eax)\n cld\n pop (%eax)\n"
    "sub %esp, 32(%eax)\n"
    "stmxcsr 36(%eax)\n fnstcw 40(%eax)\n"
#define V(n) "movdqu %xmm" #n ", " #n "*16+64(%eax)\n"
    V(0) V(1) V(2) V(3) V(4) V(5) V(6) V(7)
#undef V
    "pop %eax\n pop %ecx\n pop %ebp\n pop %edi\n pop %esi\n pop %ebx\n ret\n"
    ".globl by_int80, by_syscall, by_sysenter\n"
    "by_int80: int $0x80\n ret\n"
    // As the vDSO of a processor does it whose `syscall` works here, and of one whose `sysenter` does.
    "by_syscall: push %ecx\n push %edx\n push %ebp\n mov %ecx, %ebp\n syscall\n ud2\n"
    "by_sysenter: push %ecx\n push %edx\n push %ebp\n mov %esp, %ebp\n sysenter\n ud2\n");
extern char by_int80[], by_syscall[], by_sysenter[];

static uint64_t random_state = 88172645463325252u;
static uint32_t next(void) {
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return random_state >> 16;
}

static struct state fresh(uint32_t number, uint32_t first) {
    struct state s;
    for (size_t i = 0; i < sizeof s / 4; i++)
        ((uint32_t *)&s)[i] = next();
    s.eax = number, s.ebx = first;
    // The arithmetic flags and the direction.
    s.flags = 0x202 | (next() & 0xcd5);
    s.mxcsr = 0x1f80 | (next() & 0x603f), s.control = 0x37f & ~(next() & 0x300);
    return s;
}

// Makes the call with everything else random; whether all of it came back.
static int intact(const void *via, uint32_t number, uint32_t first, int32_t *answer) {
    struct state before = fresh(number, first), after = before;
    make_call(&after, via);
    *answer = (int32_t)after.eax;
    int good = after.esp == 0;
    after.eax = before.eax, after.esp = before.esp;
    return good && !memcmp(&before, &after, sizeof before);
}

static void all(const char *what, const void *via) {
    int good = 0, right = 0;
    int32_t answer;
    for (int i = 0; i < 60; i++) {
        good += intact(via, SYS_getpid, next(), &answer), right += answer == getpid();
        good += intact(via, SYS_gettid, next(), &answer), right += answer == getpid();
        good += intact(via, SYS_getppid, next(), &answer), right += answer == getppid();
        good += intact(via, SYS_umask, 022, &answer), right += answer == 022;
        good += intact(via, SYS_close, -1, &answer), right += answer == -EBADF;
        good += intact(via, SYS_sched_yield, next(), &answer), right += answer == 0;
        // Numbers that end in the same bits, and numbers of 64-bit programs alone.
        good += intact(via, SYS_getpid + 0x10000, next(), &answer), right += answer == -ENOSYS;
        good += intact(via, 0x40000000 + SYS_getpid, next(), &answer), right += answer == -ENOSYS;
    }
    printf("%s: %d intact, %d right\n", what, good, right);
}

static int open_file(void) {
    static char page[4096];
    int fd = memfd_create("pages", 0);
    if (write(fd, page, sizeof page) < 0 || write(fd, "second", 7) < 0)
        printf("write: %d\n", errno);
    return fd;
}

// Six arguments, the last of them in ebp.
static void six(const char *what, const void *via) {
    struct state s = fresh(SYS_mmap2, 0);
    s.ecx = 8192, s.edx = PROT_READ, s.esi = MAP_PRIVATE, s.edi = open_file(), s.ebp = 1;
    make_call(&s, via);
    printf("%s: the second page begins with %.6s\n", what, s.eax > -4096u ? "error" : (char *)s.eax);
    munmap((void *)s.eax, 8192), close(s.edi);
}

static sigjmp_buf back;
static void caught(int signal) { siglongjmp(back, signal); }

// Not every processor has both here; what the host does with it, it does.
static void tried(const char *what, const void *via) {
    signal(SIGILL, caught), signal(SIGSEGV, caught);
    int signal = sigsetjmp(back, 1);
    if (signal) {
        printf("%s: signal %d\n", what, signal);
        return;
    }
    struct state s = fresh(SYS_getpid, 0);
    make_call(&s, via);
    printf("%s: getpid %d\n", what, s.eax == (uint32_t)getpid());
    s = fresh(SYS_umask, 022);
    make_call(&s, via);
    printf("umask %o\n", s.eax);
    s = fresh(SYS_close, -1);
    make_call(&s, via);
    printf("close %d\n", s.eax);
    six(what, via);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    umask(022);
    const void *vsyscall = (const void *)getauxval(AT_SYSINFO);
    all("int80", by_int80);
    all("vsyscall", vsyscall);
    six("int80", by_int80);
    six("vsyscall", vsyscall);
    tried("syscall", by_syscall);
    tried("sysenter", by_sysenter);
    return 0;
}
