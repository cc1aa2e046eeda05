// Calls that are younger than most C libraries, and two that are older than most programs.
//@ volumes: memory cow rw
#include "result.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif
#ifndef SYS_file_getattr
#define SYS_file_getattr 468
#define SYS_file_setattr 469
#endif
#define PAGE 4096L

struct xattr_arguments { unsigned long long value; unsigned size, flags; char more[16]; };
struct file_attributes { unsigned long long flags; unsigned extent_size, extents, project, cow_size; char more[8]; };

static void sealed_memory(void) {
    char *a = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *constant = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(a + 6 * PAGE, PAGE);
    printf("mseal: mistakes"); say(syscall(SYS_mseal, a, PAGE, 1L)); say(syscall(SYS_mseal, a + 1, PAGE, 0L));
    say(syscall(SYS_mseal, a, -1L, 0L)); say(syscall(SYS_mseal, a, 0L, 0L)); say(syscall(SYS_mseal, a, 8 * PAGE, 0L));
    puts("");
    printf("mseal:"); say(syscall(SYS_mseal, a + PAGE, 2 * PAGE, 0L)); say(syscall(SYS_mseal, a + 2 * PAGE, 1L, 0L));
    say(syscall(SYS_mseal, constant, PAGE, 0L)); puts("");
    printf("munmap:"); say(munmap(a, 8 * PAGE)); say(munmap(a + PAGE, PAGE)); say(munmap(a, PAGE)); puts("");
    printf("mprotect:"); say(mprotect(a + PAGE, PAGE, PROT_READ)); say(mprotect(a + 3 * PAGE, PAGE, PROT_READ));
    puts("");
    void *over = mmap(a + 2 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("mmap over it: %s\n", over == MAP_FAILED ? result(-1) : "ok");
    printf("mremap: %s\n", mremap(a + PAGE, PAGE, 4 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED ? result(-1) : "ok");
    printf("madvise:"); say(madvise(a + PAGE, PAGE, MADV_DONTNEED)); say(madvise(constant, PAGE, MADV_DONTNEED));
    say(madvise(constant, PAGE, MADV_DONTFORK));
    say(madvise(constant, PAGE, MADV_RANDOM)); puts("");
    a[PAGE] = 1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        printf("a child's: %s", result(munmap(a + PAGE, PAGE)));
        printf(", still written %d\n", a[PAGE]);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}
static void advice_by_pidfd(void) {
    char *a = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(a, 7, 4 * PAGE);
    munmap(a + 3 * PAGE, PAGE);
    int own = syscall(SYS_pidfd_open, getpid(), 0);
    struct iovec two[2] = {{a, PAGE}, {a + 2 * PAGE, PAGE}}, hole[2] = {{a, PAGE}, {a + 3 * PAGE, PAGE}};
    printf("process_madvise:"); say(syscall(SYS_process_madvise, own, two, 2L, MADV_DONTNEED, 0));
    printf(" %d %d %d", a[0], a[PAGE], a[2 * PAGE]);
    say(syscall(SYS_process_madvise, own, hole, 2L, MADV_COLD, 0));
    say(syscall(SYS_process_madvise, own, hole + 1, 1L, MADV_COLD, 0));
    say(syscall(SYS_process_madvise, own, two, 0L, MADV_COLD, 0)); puts("");
    printf("process_madvise: mistakes"); say(syscall(SYS_process_madvise, own, two, 2L, MADV_COLD, 1));
    say(syscall(SYS_process_madvise, -1, two, 2L, MADV_COLD, 0));
    say(syscall(SYS_process_madvise, own, two, 2L, 9999, 0));
    say(syscall(SYS_process_madvise, own, 8L, 1L, MADV_COLD, 0));
    say(syscall(SYS_process_madvise, own, two, 2000L, MADV_COLD, 0)); puts("");
    int ready[2];
    if (pipe(ready)) return;
    pid_t child = fork();
    if (child == 0) {
        close(ready[1]);
        char c;
        _exit(read(ready[0], &c, 1) < 0);
    }
    int other = syscall(SYS_pidfd_open, child, 0);
    // Whoever has not the right to change another's priority may not advise it.
    printf("of another process: %s\n", result(syscall(SYS_process_madvise, other, two, 2L, MADV_DONTNEED, 0)));
    printf("process_mrelease:"); say(syscall(SYS_process_mrelease, other, 1));
    say(syscall(SYS_process_mrelease, other, 0)); say(syscall(SYS_process_mrelease, -1, 0));
    close(ready[1]);
    siginfo_t info;
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    say(syscall(SYS_process_mrelease, other, 0));
    waitpid(child, NULL, 0);
    say(syscall(SYS_process_mrelease, other, 0)); puts("");
}
static void attributes_at(void) {
    char value[16] = "", list[64];
    int dir = open(".", O_RDONLY | O_DIRECTORY), file = open("file", O_CREAT | O_RDWR, 0644);
    symlink("file", "link");
    struct xattr_arguments set = {(long)"one", 3, 0, ""}, get = {(long)value, sizeof value, 0, ""};
    printf("setxattrat:"); say(syscall(SYS_setxattrat, dir, "link", 0, "user.a", &set, 16L));
    say(syscall(SYS_setxattrat, file, "", AT_EMPTY_PATH, "user.b", &set, 32L));
    say(syscall(SYS_setxattrat, dir, "link", AT_SYMLINK_NOFOLLOW, "user.a", &set, 16L)); puts("");
    printf("getxattrat:"); say(syscall(SYS_getxattrat, dir, "file", 0, "user.a", &get, 16L)); printf(" %s", value);
    say(syscall(SYS_getxattrat, file, NULL, AT_EMPTY_PATH, "user.b", &get, 16L));
    say(syscall(SYS_getxattrat, dir, "absent", 0, "user.a", &get, 16L)); puts("");
    long n = syscall(SYS_listxattrat, dir, "file", 0, list, 64L);
    printf("listxattrat:"); say(n > 0 ? 0 : n); say(syscall(SYS_listxattrat, dir, "file", 1, list, 64L));
    say(syscall(SYS_listxattrat, -1, "file", 0, list, 64L)); puts("");
    printf("removexattrat:"); say(syscall(SYS_removexattrat, dir, "file", 0, "user.a"));
    say(syscall(SYS_removexattrat, dir, "file", 0, "user.a")); puts("");
    printf("mistakes:"); say(syscall(SYS_setxattrat, dir, "file", 1, "user.a", &set, 16L));
    say(syscall(SYS_setxattrat, dir, "file", 0, "user.a", &set, 15L));
    say(syscall(SYS_setxattrat, dir, "file", 0, "user.a", &set, 8192L)); set.more[3] = 1;
    say(syscall(SYS_setxattrat, dir, "file", 0, "user.a", &set, 32L));
    set.flags = 4; say(syscall(SYS_setxattrat, dir, "file", 0, "user.a", &set, 16L)); get.flags = 1;
    say(syscall(SYS_getxattrat, dir, "file", 0, "user.b", &get, 16L));
    say(syscall(SYS_getxattrat, dir, "file", 0, "user.b", 8L, 16L)); puts("");
    struct file_attributes flags = {0};
    printf("file_getattr:"); say(syscall(SYS_file_getattr, dir, "file", &flags, 24L, 0));
    printf(" %llx", flags.flags & 0xff);
    say(syscall(SYS_file_getattr, file, "", &flags, 32L, AT_EMPTY_PATH));
    say(syscall(SYS_file_getattr, dir, "link", &flags, 24L, AT_SYMLINK_NOFOLLOW));
    say(syscall(SYS_file_getattr, dir, "file", &flags, 23L, 0));
    say(syscall(SYS_file_getattr, dir, "file", &flags, 5000L, 0));
    say(syscall(SYS_file_getattr, dir, "file", &flags, 24L, 1));
    say(syscall(SYS_file_getattr, dir, "absent", &flags, 24L, 0));
    say(syscall(SYS_file_getattr, dir, "/proc/self/status", &flags, 24L, 0)); puts("");
    memset(&flags, 0, sizeof flags);
    printf("file_setattr:"); say(syscall(SYS_file_setattr, dir, "file", &flags, 24L, 0));
    say(syscall(SYS_file_setattr, dir, "link", &flags, 24L, AT_SYMLINK_NOFOLLOW));
    say(syscall(SYS_file_setattr, dir, "file", 8L, 24L, 0)); flags.more[0] = 1;
    say(syscall(SYS_file_setattr, dir, "file", &flags, 32L, 0)); puts("");
}
static void file_systems(void) {
    char name[64] = "", figures[64];
    struct stat st;
    stat("/", &st);
    printf("sysfs: several %d", syscall(SYS_sysfs, 3) > 1);
    say(syscall(SYS_sysfs, 2, 0L, name)); printf(" found %d", syscall(SYS_sysfs, 1, name) == 0);
    say(syscall(SYS_sysfs, 1, "no such one"));
    say(syscall(SYS_sysfs, 2, 9999L, name)); say(syscall(SYS_sysfs, 2, 0L, 8L)); say(syscall(SYS_sysfs, 4)); puts("");
    memset(figures, 0x55, sizeof figures);
    printf("ustat:"); say(syscall(SYS_ustat, (unsigned)st.st_dev, figures));
    int written = sizeof figures;
    while (written > 0 && figures[written - 1] == 0x55) written--;
    printf(" %d bytes", written);
    say(syscall(SYS_ustat, 0xfffff, figures)); say(syscall(SYS_ustat, (unsigned)st.st_dev, 8L)); puts("");
}
int main(void) {
    sealed_memory();
    if (getuid() == 0 && (fchmodat(AT_FDCWD, ".", 0777, 0) || setresuid(1000, 1000, 1000))) return 1;
    advice_by_pidfd();
    attributes_at();
    file_systems();
    return 0;
}
