// Memory that traps: file mappings past the end of the file, files cut while they are mapped, pages that may only be
// written or executed, and calls whose buffers lie in such pages.
//@ tree
//@ variants: static dynamic
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)
#define PAGE 4096
// The C library of 32-bit programs reads a `struct stat` of its own from the kernel.
#ifdef __x86_64__
#define stat_call(path, to) stat(path, to)
#else
#define stat_call(path, to) syscall(SYS_stat64, path, to)
#endif

static sigjmp_buf back;
static volatile int caught, code;
static volatile uintptr_t where;

static void on_trap(int signal, siginfo_t *info, void *context) {
    caught = signal, code = info->si_code, where = (uintptr_t)info->si_addr;
    siglongjmp(back, 1);
}
// What a load from `at` gives, or the signal.
static void load(const char *what, volatile unsigned char *base, long at) {
    if (sigsetjmp(back, 1) == 0) printf("%s: load at %ld: %d\n", what, at, base[at]);
    else printf("%s: load at %ld: signal %d code %d at %ld\n", what, at, caught, code, (long)(where - (uintptr_t)base));
}
static void store(const char *what, volatile unsigned char *base, long at) {
    if (sigsetjmp(back, 1) == 0) base[at] = 'S', printf("%s: store at %ld\n", what, at);
    else printf("%s: store at %ld: signal %d code %d at %ld\n", what, at, caught, code, (long)(where - (uintptr_t)base));
}
static unsigned char *map(int protection, int flags, int fd) {
    unsigned char *at = mmap(NULL, 4 * PAGE, protection, flags, fd, 0);
    if (at == MAP_FAILED) perror("mmap");
    return at;
}
static void fill(int fd, size_t size) {
    char text[2 * PAGE];
    memset(text, 'f', sizeof text);
    if (ftruncate(fd, 0) || pwrite(fd, text, size, 0) != (ssize_t)size) perror("fill");
}

static void past_the_end(const char *what, int fd) {
    printf("== %s\n", what);
    fill(fd, PAGE + 100);
    unsigned char *shared = map(PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    unsigned char *private = map(PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
    load("shared", shared, PAGE + 99);
    load("shared", shared, PAGE + 100);
    load("shared", shared, 2 * PAGE);
    store("shared", shared, 3 * PAGE + 7);
    load("private", private, 2 * PAGE);
    store("private", private, 2 * PAGE + 1);
    // Growing the file makes the pages appear, cutting it takes them away, private copies too.
    store("private", private, 10);
    SHOW(ftruncate(fd, 3 * PAGE));
    load("grown", shared, 2 * PAGE);
    store("grown", shared, 2 * PAGE + 5);
    SHOW(ftruncate(fd, 50));
    load("cut", shared, 49);
    load("cut", shared, 50);
    load("cut", shared, PAGE);
    load("cut", private, 10);
    load("cut", private, 2 * PAGE);
    SHOW(ftruncate(fd, 3 * PAGE));
    load("grown again", shared, 2 * PAGE + 5);
    store("grown again", shared, PAGE);
    char byte;
    SHOW(pread(fd, &byte, 1, PAGE));
    printf("%d\n", byte);

    // Buffers past the end.
    SHOW(ftruncate(fd, PAGE));
    int other = open("other", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char text[3 * PAGE];
    memset(text, 't', sizeof text);
    SHOW(write(other, text, sizeof text));
    SHOW(pread(other, shared + PAGE, 10, 0));
    SHOW(pread(other, shared + PAGE - 10, 30, 0));
    SHOW(pwrite(other, shared + PAGE, 10, 0));
    SHOW(pwrite(other, shared + PAGE - 10, 30, 0));
    SHOW(stat_call((char *)shared + PAGE, (struct stat *)text));
    SHOW(stat_call("other", (struct stat *)(shared + PAGE)));
    struct iovec pieces[2] = {{shared, 10}, {shared + PAGE, 10}};
    SHOW(preadv(other, pieces, 2, 0));
    SHOW(pwritev(other, pieces, 2, 0));
    close(other), unlink("other");
    munmap(shared, 4 * PAGE), munmap(private, 4 * PAGE);
}

static void protections(void) {
    printf("== protections\n");
    int fd = open("data", O_RDWR | O_CREAT | O_TRUNC, 0600);
    fill(fd, 2 * PAGE);
    unsigned char *page = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    memset(page, 'p', 4 * PAGE);
    SHOW(mprotect(page + PAGE, PAGE, PROT_WRITE));
    store("write-only", page, PAGE + 1);
    SHOW(pread(fd, page + PAGE, 10, 0));
    SHOW(pwrite(fd, page + PAGE, 10, 0));
    SHOW(mprotect(page + PAGE, PAGE, PROT_READ));
    store("read-only", page, PAGE + 1);
    load("read-only", page, PAGE + 1);
    SHOW(pread(fd, page + PAGE, 10, 0));
    SHOW(pread(fd, page + PAGE - 10, 30, 0));
    SHOW(pwrite(fd, page + PAGE, 10, 0));
    SHOW(mprotect(page + PAGE, PAGE, PROT_NONE));
    load("none", page, PAGE);
    store("none", page, 2 * PAGE - 1);
    SHOW(pread(fd, page + PAGE, 10, 0));
    SHOW(pread(fd, page + PAGE - 10, 30, 0));
    SHOW(pwrite(fd, page + PAGE, 10, 0));
    SHOW(pwrite(fd, page + PAGE - 10, 30, 0));
    SHOW(mprotect(page + PAGE, PAGE, PROT_READ | PROT_WRITE));
    load("again", page, PAGE);
    page[2 * PAGE] = 0xc3;
    SHOW(mprotect(page + 2 * PAGE, PAGE, PROT_EXEC));
    ((void (*)(void))(page + 2 * PAGE))();
    store("exec-only", page, 2 * PAGE);
    SHOW(pread(fd, page + 2 * PAGE, 10, 0));
    SHOW(munmap(page + PAGE, PAGE));
    load("gone", page, PAGE);
    SHOW(pread(fd, page + PAGE - 10, 30, 0));
    int pipes[2];
    SHOW(pipe(pipes));
    SHOW(write(pipes[1], page + PAGE, 10));
    SHOW(write(pipes[1], "hello", 5));
    SHOW(read(pipes[0], page + PAGE, 10));
    SHOW(read(pipes[0], page, 10));
    SHOW(read(open("/dev/zero", O_RDONLY), page + PAGE, 10));
    SHOW(write(open("/dev/null", O_WRONLY), page + PAGE, 10));
    close(fd), unlink("data");
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    past_the_end("a file", fd);
    past_the_end("memory", memfd_create("memory", 0));
    close(fd), unlink("file");
    int temporary = open("/tmp", O_RDWR | O_TMPFILE, 0600);
    past_the_end("a temporary file", temporary);
    protections();
    return 0;
}
