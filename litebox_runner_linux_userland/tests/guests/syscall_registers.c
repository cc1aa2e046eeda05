//@ 64-bit only: registers of 64-bit calls; calls32_registers has the others
//@ variants: static dynamic
// What a system call must preserve, and what it gives rcx and r11.
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

struct image {
    uint64_t general[16];
    uint8_t vectors[16][16];
    uint32_t mxcsr;
    uint16_t x87;
    uint64_t red_zone[16];
    uint64_t flags;
};

struct image before, after;
uint64_t expected_rip;

static void call(long number) {
    for (int i = 0; i < 16; i++) {
        before.general[i] = 0x1111111111111111ull * (i + 1);
        memset(before.vectors[i], 0x30 + i, 16);
    }
    register long rax asm("rax") = number;
    asm volatile(
        "push %%rbx\n push %%rbp\n push %%r12\n push %%r13\n push %%r14\n push %%r15\n"
        "stmxcsr before+384(%%rip)\n"
        "fnstcw before+388(%%rip)\n"
        "mov $0x3fe0, %%ecx\n mov %%ecx, -8(%%rsp)\n ldmxcsr -8(%%rsp)\n"
        "movdqu before+128(%%rip), %%xmm0\n movdqu before+144(%%rip), %%xmm1\n"
        "movdqu before+240(%%rip), %%xmm7\n movdqu before+256(%%rip), %%xmm8\n"
        "movdqu before+368(%%rip), %%xmm15\n"
        "mov before+24(%%rip), %%rbx\n mov before+40(%%rip), %%rbp\n"
        "mov before+96(%%rip), %%r12\n mov before+104(%%rip), %%r13\n"
        "mov before+112(%%rip), %%r14\n mov before+120(%%rip), %%r15\n"
        "movq $0x1234567, -8(%%rsp)\n movq $0x89abcde, -128(%%rsp)\n"
        "xor %%edi, %%edi\n xor %%esi, %%esi\n xor %%edx, %%edx\n xor %%r10d, %%r10d\n xor %%r8d, %%r8d\n xor %%r9d, %%r9d\n"
        "lea 1f(%%rip), %%rcx\n mov %%rcx, expected_rip(%%rip)\n"
        "syscall\n"
        "1: mov %%rcx, after+8(%%rip)\n mov %%r11, after+88(%%rip)\n"
        "mov %%rbx, after+24(%%rip)\n mov %%rbp, after+40(%%rip)\n"
        "mov %%r12, after+96(%%rip)\n mov %%r13, after+104(%%rip)\n"
        "mov %%r14, after+112(%%rip)\n mov %%r15, after+120(%%rip)\n"
        "mov %%rdi, after+56(%%rip)\n mov %%r8, after+64(%%rip)\n"
        "mov -8(%%rsp), %%rcx\n mov %%rcx, after+392(%%rip)\n"
        "mov -128(%%rsp), %%rcx\n mov %%rcx, after+400(%%rip)\n"
        "movdqu %%xmm0, after+128(%%rip)\n movdqu %%xmm1, after+144(%%rip)\n"
        "movdqu %%xmm7, after+240(%%rip)\n movdqu %%xmm8, after+256(%%rip)\n"
        "movdqu %%xmm15, after+368(%%rip)\n"
        "stmxcsr after+384(%%rip)\n fnstcw after+388(%%rip)\n"
        "pushfq\n pop %%rcx\n mov %%rcx, after+520(%%rip)\n"
        "ldmxcsr before+384(%%rip)\n"
        "pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%rbp\n pop %%rbx\n"
        : "+r"(rax)
        :
        : "rcx", "rdx", "rdi", "rsi", "r8", "r9", "r10", "r11", "memory", "xmm0", "xmm1", "xmm7", "xmm8", "xmm15");
    printf("callee-saved: %s\n", after.general[3] == before.general[3] && after.general[5] == before.general[5] &&
           !memcmp(after.general + 12, before.general + 12, 32) ? "kept" : "CHANGED");
    printf("arguments: %s\n", !after.general[7] && !after.general[8] ? "kept" : "CHANGED");
    int same = 1;
    static const int used[] = {0, 1, 7, 8, 15};
    for (int i = 0; i < 5; i++)
        same &= !memcmp(after.vectors[used[i]], before.vectors[used[i]], 16);
    printf("xmm: %s\n", same ? "kept" : "CHANGED");
    printf("mxcsr: %x\n", after.mxcsr);
    printf("x87 control: %s\n", after.x87 == before.x87 ? "kept" : "CHANGED");
    printf("red zone: %s\n", after.red_zone[0] == 0x1234567 && after.red_zone[1] == 0x89abcde ? "kept" : "CHANGED");
    printf("rcx: %s\n", after.general[1] == expected_rip ? "the next instruction" : "WRONG");
    printf("r11 is flags: %s\n", (after.general[11] & ~0x8d5ull) == 0x202 ? "yes" : "NO");
}

int main(void) {
    static const long numbers[] = {SYS_getpid, SYS_read, SYS_sched_yield, SYS_mmap, 999};
    for (int i = 0; i < 5; i++) {
        printf("call %ld\n", numbers[i]);
        fflush(stdout);
        call(numbers[i]);
    }
}
