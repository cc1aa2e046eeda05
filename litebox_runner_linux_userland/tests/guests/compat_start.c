// A 32-bit program: what it finds at its start, where things lie, both ways into the kernel, and its thread-local
// storage.
//@ variants: m32 m32-static-pie m32-dynamic
//@ args: one two
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <asm/ldt.h>

static __thread int of_thread = 41;
extern char **environ;

static long int80(long number, long a, long b, long c) {
    long result;
    asm volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

// All registers but eax are as before; so are the flags.
static long by_vdso(long number, long a, long b, long c, int *kept) {
    long result, si = 0x11111111, di = 0x22222222, b2, c2, d2;
    asm volatile("stc\n call *%%gs:0x10\n setc %b[kept]\n"
                 : "=a"(result), "=b"(b2), "=c"(c2), "=d"(d2), "+S"(si), "+D"(di), [kept] "+m"(*kept)
                 : "a"(number), "b"(a), "c"(b), "d"(c)
                 : "memory", "cc");
    *kept = *kept && b2 == a && c2 == b && d2 == c && si == 0x11111111 && di == 0x22222222;
    return result;
}

static const char *place(const void *at) {
    uintptr_t address = (uintptr_t)at;
    if (address < 0x10000)
        return "nowhere";
    if (address < 0x08000000)
        return "low";
    if (address < 0x40000000)
        return "at 0x08";
    if (address < 0x5f000000)
        return "at 0x56";
    if (address < 0xf0000000)
        return "between";
    return address < 0xfe000000 ? "at 0xf7" : "at the top";
}

static void areas(void) {
    struct user_desc d = {.entry_number = -1, .base_addr = 0x1234000, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .useable = 1};
    int number = d.entry_number;
    printf("set_thread_area: %ld", int80(SYS_set_thread_area, (long)&d, 0, 0));
    printf(" gives %s\n", d.entry_number != number && d.entry_number >= 12 && d.entry_number <= 14 ? "one of three" : "another");
    number = d.entry_number;
    memset(&d, 0xff, sizeof d);
    d.entry_number = number;
    printf("get_thread_area: %ld", int80(SYS_get_thread_area, (long)&d, 0, 0));
    printf(" base %#x limit %#x flags %d%d%d%d%d%d\n", d.base_addr, d.limit,
           d.seg_32bit, d.contents, d.read_exec_only, d.limit_in_pages, d.seg_not_present, d.useable);
    static int words[4] = {1, 2, 3, 4};
    d.base_addr = (unsigned)words;
    printf("moved: %ld;", int80(SYS_set_thread_area, (long)&d, 0, 0));
    unsigned short selector = number * 8 + 3, fs;
    int first, last;
    asm volatile("mov %3, %%fs\n mov %%fs:0, %0\n mov %%fs:12, %1\n mov %%fs, %2" : "=&r"(first), "=&r"(last), "=&r"(fs) : "r"(selector));
    printf(" fs reads %d and %d, selector %s\n", first, last, fs == selector ? "kept" : "changed");
    d.base_addr = (unsigned)&words[1];
    int moved = int80(SYS_set_thread_area, (long)&d, 0, 0);
    asm volatile("mov %%fs:0, %0" : "=r"(first));
    printf("moved while loaded: %d reads %d\n", moved, first);
    for (d.entry_number = 11; d.entry_number < 16; d.entry_number += 4)
        printf("entry %d: %ld %ld\n", d.entry_number, int80(SYS_set_thread_area, (long)&d, 0, 0), int80(SYS_get_thread_area, (long)&d, 0, 0));
    memset(&d, 0, sizeof d);
    d.entry_number = number, d.base_addr = 4, d.limit = 1;
    printf("16 bits: %ld\n", int80(SYS_set_thread_area, (long)&d, 0, 0));
    printf("nowhere: %ld %ld\n", int80(SYS_set_thread_area, 4, 0, 0), int80(SYS_get_thread_area, 4, 0, 0));
    memset(&d, 0, sizeof d);
    d.entry_number = number;
    printf("given up: %ld\n", int80(SYS_set_thread_area, (long)&d, 0, 0));
    memset(&d, 0xff, sizeof d);
    d.entry_number = number;
    printf("then: %ld", int80(SYS_get_thread_area, (long)&d, 0, 0));
    printf(" base %#x limit %#x flags %d%d%d%d%d%d\n", d.base_addr, d.limit, d.seg_32bit,
           d.contents, d.read_exec_only, d.limit_in_pages, d.seg_not_present, d.useable);
    while (d.entry_number = -1, d.base_addr = 8, d.limit = 9, d.seg_32bit = 1, d.contents = 0, d.seg_not_present = 0, !int80(SYS_set_thread_area, (long)&d, 0, 0))
        printf("another\n");
    printf("no more: %ld\n", int80(SYS_set_thread_area, (long)&d, 0, 0));
    asm volatile("mov %0, %%fs" : : "r"(0));
}

int main(int argc, char **argv) {
    static int zeros[10000];
    int local = 0, sum = 0, kept = 0;
    for (int i = 0; i < 10000; i++)
        sum += zeros[i];
    printf("sizes %zu %zu, %d arguments: %s %s, bss %d\n", sizeof(long), sizeof(void *), argc, argv[1], argv[2], sum);
    printf("code %s, stack %s, heap %s\n", place(main), place(&local), place(malloc(1000)));
    char *end = (char *)&argv[argc + 1];
    while (*(char **)end)
        end += sizeof(char *);
    printf("platform %s, phent %lu, page %lu, secure %lu\n", (char *)getauxval(AT_PLATFORM), getauxval(AT_PHENT), getauxval(AT_PAGESZ), getauxval(AT_SECURE));
    const Elf32_Ehdr *vdso = (void *)getauxval(AT_SYSINFO_EHDR);
    printf("vDSO: %.3s of class %d for machine %d, entry %s AT_SYSINFO\n", (char *)vdso->e_ident + 1, vdso->e_ident[EI_CLASS], vdso->e_machine,
           (char *)vdso + vdso->e_entry == (char *)getauxval(AT_SYSINFO) ? "is" : "is not");
    printf("random bytes %s, file %s, flags %lu\n", place((void *)getauxval(AT_RANDOM)), strrchr((char *)getauxval(AT_EXECFN), '/'), getauxval(AT_FLAGS));
    char *of_rule = "by the stack", said[] = "said by int\n";
    printf("int: %ld", int80(SYS_write, 1, (long)said, 0));
    printf(" %ld %ld\n", int80(9999, 0, 0, 0), int80(SYS_write, 99, (long)of_rule, 3));
    printf("vDSO: %ld", by_vdso(SYS_write, 1, (long)said, 0, &kept));
    printf(" kept %d", kept);
    printf(" %ld", by_vdso(9999, 1, 2, 3, &kept));
    printf(" kept %d\n", kept);
    printf("same: %d %d\n", int80(SYS_getpid, 0, 0, 0) == by_vdso(SYS_getpid, 1, 2, 3, &kept), kept);
    printf("thread-local %d", of_thread++);
    printf(" %d\n", of_thread);
    areas();
    return 23;
}
