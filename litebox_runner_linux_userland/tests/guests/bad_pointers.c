//@ variants: static
//@ flags: -pthread
// Bad pointers and absurd sizes.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BAD ((void *)8)
#define KERNEL ((void *)0xffff800000000000)
#define SHOW(what) show(#what, (long)(what))

static void show(const char *what, long result) {
    if (result < 0)
        printf("%s = -1 %s\n", what, strerrorname_np(errno));
    else
        printf("%s = %ld\n", what, result);
}

int main(void) {
    int pipes[2], event, null, file;
    char byte = 0;
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    pipe2(pipes, O_NONBLOCK);
    event = eventfd(0, EFD_NONBLOCK);
    null = open("/dev/null", O_RDWR);
    file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);

    SHOW(syscall(SYS_write, file, BAD, 1));
    SHOW(syscall(SYS_write, file, KERNEL, 1));
    SHOW(syscall(SYS_write, pipes[1], BAD, 1));
    SHOW(syscall(SYS_read, pipes[0], BAD, 1));
    SHOW(syscall(SYS_read, 999, BAD, 1));
    SHOW(syscall(SYS_write, -1, BAD, 0));
#ifdef __x86_64__
    // 32 bits reach as far as addresses do: how far there is memory behind decides.
    SHOW(syscall(SYS_write, file, &byte, -1L));
#endif
    SHOW(syscall(SYS_write, file, KERNEL, 0));
    SHOW(syscall(SYS_write, event, &byte, 1));
    SHOW(syscall(SYS_write, event, "\377\377\377\377\377\377\377\377", 8));
    SHOW(syscall(SYS_read, event, &byte, 7));
    SHOW(ftruncate(pipes[1], 1));
    SHOW(ftruncate(file, -1));
    SHOW(lseek(pipes[0], 0, SEEK_SET));
    SHOW(lseek(file, -1, SEEK_SET));
    SHOW(syscall(SYS_readv, file, BAD, 1));
    SHOW(syscall(SYS_readv, file, BAD, 0));
    SHOW(syscall(SYS_readv, file, BAD, 1025));
    SHOW(syscall(SYS_readv, file, BAD, -1));
    struct iovec both[2] = {{&byte, (size_t)1 << 62}, {&byte, (size_t)1 << 63}};
    SHOW(syscall(SYS_writev, file, both, 2));
    SHOW(syscall(SYS_poll, BAD, 1, 0));
    SHOW(syscall(SYS_poll, BAD, 0xffffffffu, 0));
    SHOW(syscall(SYS_poll, 0, 0, 0));
    SHOW(syscall(SYS_select, -1, 0, 0, 0, 0));
    SHOW(syscall(SYS_ppoll, 0, 0, BAD, 0, 8));
    SHOW(syscall(SYS_openat, AT_FDCWD, BAD, O_RDONLY));
    SHOW(syscall(SYS_openat, AT_FDCWD, "", O_RDONLY));
    SHOW(syscall(SYS_openat, file, "x", O_RDONLY));
    SHOW(syscall(SYS_openat, 999, "x", O_RDONLY));
    static char longest[5000];
    memset(longest, 'x', sizeof longest - 1);
    SHOW(open(longest, O_RDONLY));
    longest[300] = 0;
    SHOW(open(longest, O_RDONLY));
#ifndef SYS_newfstatat
#define SYS_newfstatat SYS_fstatat64
#endif
    SHOW(syscall(SYS_newfstatat, AT_FDCWD, "/", BAD, 0));
    SHOW(syscall(SYS_newfstatat, AT_FDCWD, "/", BAD, 0x8000000));
    SHOW(syscall(SYS_getcwd, &byte, 1));
    SHOW(syscall(SYS_getdents64, file, longest, 100));
    SHOW(syscall(SYS_pipe2, BAD, 0));
    SHOW(syscall(SYS_pipe2, pipes, 0x40000000));
    SHOW(syscall(SYS_eventfd2, 0, 0x40000000));
    SHOW(syscall(SYS_dup3, 1, 1, 0));
    SHOW(syscall(SYS_ioctl, file, 0x12345678, 0));
    SHOW(syscall(SYS_fcntl, file, 12345, 0));
    SHOW(syscall(SYS_fcntl, file, F_SETFL, O_NONBLOCK));
    SHOW(syscall(SYS_pread64, file, &byte, 1, -1L));
    SHOW(syscall(SYS_pread64, pipes[0], &byte, 1, 0L));
    SHOW(syscall(SYS_mmap, 0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    SHOW(syscall(SYS_mmap, 0, -4096L, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    SHOW(syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_ANONYMOUS, -1, 0));
    SHOW(syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, pipes[0], 0));
    SHOW(syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, 999, 0));
    SHOW(syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, file, 1));
    SHOW(syscall(SYS_munmap, 1, 4096));
    SHOW(syscall(SYS_munmap, 0x10000, 0));
    SHOW(syscall(SYS_mprotect, 0x1000, 4096, PROT_READ));
    SHOW(syscall(SYS_madvise, 0x1000, 4096, 3));
    SHOW(syscall(SYS_mremap, 0x1000, 4096, 8192, 0, 0));
    SHOW(syscall(SYS_clock_gettime, 12345, BAD));
    SHOW(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, BAD));
    SHOW(syscall(SYS_nanosleep, BAD, 0));
    struct timespec wrong = {0, 1000000000};
    SHOW(syscall(SYS_nanosleep, &wrong, 0));
    SHOW(syscall(SYS_getrlimit, 99, BAD));
    for (int i = 0; i < 16; i++) {
        struct rlimit limit;
        SHOW(getrlimit(i, &limit));
    }
    SHOW(syscall(SYS_prlimit64, getpid(), RLIMIT_NOFILE, 0, BAD));
    SHOW(syscall(SYS_futex, BAD, 0, 0, 0, 0, 0));
    SHOW(syscall(SYS_futex, 1, 0, 0, 0, 0, 0));
    SHOW(syscall(SYS_futex, &byte, 127, 0, 0, 0, 0));
    SHOW(syscall(SYS_rt_sigaction, 9, "", 0, 8));
    SHOW(syscall(SYS_rt_sigaction, 65, 0, 0, 8));
    SHOW(syscall(SYS_rt_sigaction, 1, 0, 0, 4));
    SHOW(syscall(SYS_rt_sigprocmask, 9, &wrong, 0, 8));
    SHOW(syscall(SYS_sigaltstack, BAD, 0));
    SHOW(syscall(SYS_getrandom, BAD, 1, 0));
    SHOW(syscall(SYS_getrandom, &byte, 1, 0x100));
    SHOW(syscall(SYS_uname, BAD));
    SHOW(syscall(SYS_kill, 0x7ffffff0, 0));
    SHOW(syscall(SYS_tgkill, 0, 0, 0));
    SHOW(syscall(9999));
    SHOW(syscall(-1L));
    SHOW(write(null, KERNEL, 1L << 40));
    close(pipes[0]);
    return 0;
}
