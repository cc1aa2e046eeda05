//@ variants: static dynamic
//@ flags: -pthread
// Calls that only tell or exchange a number: what they answer, what they leave alone, and that signals come between
// them.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __x86_64__
// What a call finds and leaves in the registers: calls32_registers has those of 32-bit programs.
struct state {
    uint64_t rbx, rbp, r12, r13, r14, r15, rdi, rsi, rdx, r10, r8, r9, rax, rcx, r11, flags, behind;
    unsigned char xmm[16][16];
};

extern char call_begin[], call_end[];
void make_call(struct state *state);
asm(".globl make_call, call_begin, call_end\n"
    "make_call:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rdi\n"
    "mov %rdi, %rax\n"
#define V(n) "movdqu " #n "*16+136(%rax), %xmm" #n "\n"
    V(0) V(1) V(2) V(3) V(4) V(5) V(6) V(7) V(8) V(9) V(10) V(11) V(12) V(13) V(14) V(15)
#undef V
    "mov 0(%rax), %rbx; mov 8(%rax), %rbp; mov 16(%rax), %r12; mov 24(%rax), %r13; mov 32(%rax), %r14; mov 40(%rax), %r15\n"
    "mov 48(%rax), %rdi; mov 56(%rax), %rsi; mov 64(%rax), %rdx; mov 72(%rax), %r10; mov 80(%rax), %r8; mov 88(%rax), %r9\n"
    "pushq 120(%rax); popfq\n"
    "mov 96(%rax), %rax\n"
    "call_begin: syscall\n"
    "call_end:\n"
    "xchg %rax, (%rsp)\n"
    "mov %rcx, 104(%rax); mov %r11, 112(%rax)\n"
    "pushfq; popq 120(%rax); cld\n"
    "lea call_end(%rip), %rcx; mov %rcx, 128(%rax)\n"
    "mov %rbx, 0(%rax); mov %rbp, 8(%rax); mov %r12, 16(%rax); mov %r13, 24(%rax); mov %r14, 32(%rax); mov %r15, 40(%rax)\n"
    "mov %rdi, 48(%rax); mov %rsi, 56(%rax); mov %rdx, 64(%rax); mov %r10, 72(%rax); mov %r8, 80(%rax); mov %r9, 88(%rax)\n"
#define V(n) "movdqu %xmm" #n ", " #n "*16+136(%rax)\n"
    V(0) V(1) V(2) V(3) V(4) V(5) V(6) V(7) V(8) V(9) V(10) V(11) V(12) V(13) V(14) V(15)
#undef V
    "pop %rcx; mov %rcx, 96(%rax)\n"
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "ret\n");

static uint64_t random_state = 88172645463325252u;
static uint64_t next(void) {
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return random_state;
}

// Makes the call with everything else random; whether all of it came back as a `syscall` leaves it.
static int intact(uint64_t number, uint64_t first, int64_t *answer) {
    struct state before, after;
    for (size_t i = 0; i < sizeof before / 8; i++) ((uint64_t *)&before)[i] = next();
    before.rax = number, before.rdi = first;
    // The arithmetic flags and the direction.
    before.flags = 0x202 | (next() & 0xcd5);
    after = before;
    make_call(&after);
    *answer = (int64_t)after.rax;
    int good = after.rcx == after.behind && after.r11 == before.flags && after.flags == before.flags;
    after.rax = before.rax, after.rcx = before.rcx, after.r11 = before.r11, after.flags = before.flags, after.behind = before.behind;
    return good && !memcmp(&before, &after, sizeof before);
}

static void registers(void) {
    int good = 0, right = 0;
    for (int i = 0; i < 2000; i++) {
        int64_t answer;
        // Only the low half of the number counts.
        good += intact(SYS_getpid | (uint64_t)(i % 2) << 32, next(), &answer);
        right += answer == getpid();
        good += intact(SYS_gettid, next(), &answer);
        right += answer == getpid();
        good += intact(SYS_umask, 022, &answer);
        right += answer == 022;
        good += intact(SYS_getppid, next(), &answer);
        right += answer == getppid();
        // Other numbers that end in the same bits.
        good += intact(SYS_getpid + 0x10000, next(), &answer);
        right += answer == -ENOSYS;
    }
    printf("registers: %d intact, %d right\n", good, right);
}

// Where code lies that the program knows of: a handler finds the thread nowhere else.
static uintptr_t code[64][2];
static int code_count;
static void find_code(void) {
    char line[512], access[8];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && code_count < 64 && fgets(line, sizeof line, maps)) {
        uintptr_t *range = code[code_count];
        if (sscanf(line, "%lx-%lx %7s", &range[0], &range[1], access) == 3 && access[2] == 'x') code_count++;
    }
    fclose(maps);
}

static volatile sig_atomic_t handled, elsewhere;
static void on_alarm(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    uintptr_t rip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    int known = 0;
    for (int i = 0; i < code_count; i++) known |= rip >= code[i][0] && rip < code[i][1];
    elsewhere += !known;
    handled++;
}
static void interrupted(void) {
    struct sigaction act = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO};
    struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    find_code();
    sigaction(SIGALRM, &act, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    long bad = 0;
    int64_t answer;
    while (handled < 300) bad += !intact(SYS_getpid, 0, &answer) || answer < 1;
    setitimer(ITIMER_REAL, &never, NULL);
    printf("interrupted: %ld bad, %d elsewhere\n", bad, elsewhere);
}

#endif

static long raw(long number, long first) {
    return syscall(number, first);
}

static void masks(void) {
    printf("umask: %lo", raw(SYS_umask, 0177777));
    printf(" %lo", raw(SYS_umask, -1));
    printf(" %lo\n", raw(SYS_umask, 027));
}
static void *other_thread(void *before) {
    *(long *)before = raw(SYS_umask, 011);
    return NULL;
}
static int sharing_child(void *alone) {
    if (alone) {
        if (unshare(CLONE_FS)) return 99;
    }
    raw(SYS_umask, 033);
    return raw(SYS_umask, 044) == 033 ? 0 : 1;
}
static void shared_masks(void) {
    static char stack[65536];
    pthread_t thread;
    long before;
    pthread_create(&thread, NULL, other_thread, &before);
    pthread_join(thread, NULL);
    printf("a thread: %lo, then %lo\n", before, raw(SYS_umask, 022));
    for (int alone = 0; alone < 2; alone++) {
        int status = 0;
        pid_t child = clone(sharing_child, stack + sizeof stack, CLONE_FS | SIGCHLD, alone ? stack : NULL);
        waitpid(child, &status, 0);
        printf("a process that shares: %d, then %lo\n", status, raw(SYS_umask, 022));
    }
}

static void ids(void) {
    uid_t real, effective, saved;
    fflush(stdout);
    pid_t self = getpid(), child = fork();
    if (!child) {
        printf("child: %d %d %d\n", raw(SYS_getppid, 0) == self, raw(SYS_getpid, 0) != self, raw(SYS_gettid, 0) == raw(SYS_getpid, 0));
        if (!getuid()) {
            setresgid(7, 8, 9);
            setresuid(4, 5, 6);
        }
        getresuid(&real, &effective, &saved);
        printf("users: %d %d", raw(SYS_getuid, 0) == real, raw(SYS_geteuid, 0) == effective);
        getresgid(&real, &effective, &saved);
        printf(" %d %d\n", raw(SYS_getgid, 0) == real, raw(SYS_getegid, 0) == effective);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

int main(void) {
    umask(022);
#ifdef __x86_64__
    registers();
    interrupted();
#endif
    masks();
    umask(022);
    shared_masks();
    ids();
    return 0;
}
