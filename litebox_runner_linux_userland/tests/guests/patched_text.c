//@ 64-bit only: code of 32-bit programs is never patched
//@ variants: static dynamic
//@ flags: -pthread
//@ timeout: 40
// Code of a file that is executed again and again, by processes that are forked again and again, and that is then
// changed, moved and taken away.
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "result.h"

#define PAGE 4096

typedef long (*entry)(long number, long a, long b, long c);

// Three pages that hold nothing else: the sites are in the second, one reaches into the third.
asm(".pushsection .text\n.balign 4096\n.globl pages\npages: .fill 4096, 1, 0xcc\n"
    ".globl load\nload: mov $39, %eax\n syscall\n ret\n.balign 64\n"
    ".globl middle\nmiddle: mov %rdi, %rax\n syscall\n.globl middle_behind\nmiddle_behind: inc %eax\n add $2, %rax\n ret\n.balign 64\n"
    ".globl relative\nrelative: mov %rdi, %rax\n syscall\n lea here(%rip), %rdx\n mov there(%rip), %rcx\n sub %rcx, %rdx\n add %rdx, %rax\n ret\n"
    "here: .quad 0\nthere: .quad 0\n"
    ".org pages + 8190\n.globl across\nacross: mov $39, %eax\n syscall\n mov %rax, %rdx\n ret\n.balign 4096\n.globl pages_end\npages_end:\n.popsection\n");
extern char pages[], load[], middle[], middle_behind[], relative[], across[], pages_end[];

static long enter(const char *at, long number) { return ((entry)at)(number, 0, 0, 0); }

static int good_at(long distance) {
    int good = 1;
    for (int i = 0; i < 3; i++) {
        good &= enter(load + distance, 0) == getpid();
        good &= enter(middle + distance, SYS_getppid) == getppid() + 3;
        good &= enter(relative + distance, SYS_getpid) - enter(relative + distance, SYS_getpid) == 0;
        good &= enter(across + distance, 0) == getpid();
        long r = 7;
        asm volatile("call *%1" : "+a"(r) : "r"(middle_behind + distance) : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
        good &= r == 10;
    }
    return good;
}

static char file_bytes[3 * PAGE];
static off_t file_offset;

// Where the pages are in the file: they begin with a page of one value.
static void find(void) {
    static char text[8 << 20];
    int fd = open("/proc/self/exe", O_RDONLY);
    ssize_t len = read(fd, text, sizeof text);
    for (off_t at = 0; at + 3 * PAGE <= len; at += PAGE) {
        int all = 1;
        for (int i = 0; i < PAGE && all; i++) all = (uint8_t)text[at + i] == 0xcc;
        if (all) file_offset = at, memcpy(file_bytes, text + at, sizeof file_bytes);
    }
    close(fd);
}

static volatile int stop;
static void *worker(void *wrong) {
    while (!stop) if (!good_at(0)) *(volatile int *)wrong = 1;
    return NULL;
}

// While threads execute them, the pages become writable and show what the file holds.
static void changed_while_executed(void) {
    int wrong = 0, same = 1;
    pthread_t threads[3];
    stop = 0;
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, worker, &wrong);
    for (int i = 0; i < 20; i++) {
        if (mprotect(pages, sizeof file_bytes, PROT_READ | PROT_WRITE | PROT_EXEC)) same = 0;
        same &= !memcmp(pages, file_bytes, sizeof file_bytes);
        *(volatile char *)pages = (char)0xcc;
        mprotect(pages, sizeof file_bytes, PROT_READ | PROT_EXEC);
        usleep(500);
    }
    stop = 1;
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    printf("changed: threads %s bytes %s\n", wrong ? "WRONG" : "ok", same ? "the file's" : "WRONG");
}

static void dropped(void) {
    printf("dropped: %s", result(madvise(pages, sizeof file_bytes, MADV_DONTNEED)));
    printf(" %d\n", good_at(0));
    // A page of its own, and the file's again.
    mprotect(pages, sizeof file_bytes, PROT_READ | PROT_WRITE);
    memcpy(pages + (load - pages), "\xb8\x07\x00\x00\x00\xc3", 6);
    mprotect(pages, sizeof file_bytes, PROT_READ | PROT_EXEC);
    printf("written: %ld %d\n", enter(load, 0), enter(middle, SYS_getppid) == getppid() + 3);
    printf("dropped: %s", result(madvise(pages, sizeof file_bytes, MADV_DONTNEED)));
    printf(" %d\n", good_at(0));
}

static void mapped_twice(void) {
    int fd = open("/proc/self/exe", O_RDONLY);
    for (int i = 0; i < 6; i++) {
        char *at = mmap(NULL, sizeof file_bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, file_offset);
        printf("mapped elsewhere: %d", good_at(at - pages));
        if (i % 2) printf(" %s %d", result(mprotect(at, PAGE, PROT_READ | PROT_WRITE)), good_at(at - pages));
        munmap(at, sizeof file_bytes);
        printf(" %d\n", good_at(0));
    }
    close(fd);
}

static void moved(void) {
    char *room = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *at = mremap(pages, sizeof file_bytes, sizeof file_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, room);
    printf("moved: %s %d", at == room ? "ok" : "no", good_at(at - pages));
    printf(" dropped: %s %d\n", result(madvise(at, sizeof file_bytes, MADV_DONTNEED)), good_at(at - pages));
    at = mremap(at, sizeof file_bytes, sizeof file_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, pages);
    printf("back: %s %d\n", at == pages ? "ok" : "no", good_at(0));
}

static void cut(void) {
    munmap(pages, PAGE);
    printf("without what is before: %d\n", good_at(0));
    mprotect(pages + 2 * PAGE, PAGE, PROT_READ);
    mprotect(pages + 2 * PAGE, PAGE, PROT_READ | PROT_EXEC);
    printf("protected in between: %d\n", good_at(0));
    mmap(pages + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("something else behind: %d %d\n", enter(load, 0) == getpid(), enter(middle, SYS_getppid) == getppid() + 3);
}

static int wait_for(pid_t child) {
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

// Forks often, while threads execute the same code; the children do, and change it.
static void forked(void) {
    int wrong = 0, failed = 0;
    pthread_t threads[2];
    stop = 0;
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, worker, &wrong);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (!child) {
            int good = good_at(0);
            if (i % 4 == 3) {
                good &= !mprotect(pages, sizeof file_bytes, PROT_READ | PROT_WRITE);
                good &= !memcmp(pages, file_bytes, sizeof file_bytes);
                mprotect(pages, sizeof file_bytes, PROT_READ | PROT_EXEC);
                good &= good_at(0);
            }
            _exit(!good);
        }
        failed |= wait_for(child);
    }
    stop = 1;
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    printf("forked: threads %s children %d\n", wrong ? "WRONG" : "ok", failed);
}

static void generation(const char *number) {
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        execl("/proc/self/exe", "shared_code", number, NULL);
        _exit(99);
    }
    printf("generation %s: %d\n", number, wait_for(child));
}

int main(int argc, char **argv) {
    if (argc < 2) {
        find();
        forked();
        for (int i = 1; i < 9; i++) generation((char[]){'0' + i, 0});
        forked();
        printf("at the end: %d\n", good_at(0));
        return 0;
    }
    int number = atoi(argv[1]);
    find();
    int good = good_at(0);
    if (number >= 3) {
        changed_while_executed();
        dropped();
        mapped_twice();
        forked();
        if (number != 5) moved();
        if (number != 6) cut();
    }
    printf("executed: %d\n", good);
    return 0;
}
