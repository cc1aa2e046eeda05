// Calls that take a name below an open directory: what they make, change, move and remove there, and how they fail.
//@ volumes: memory cow rw
#include "result.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <utime.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static int given, file;

static void print_mode(const char *name, int flags) {
    struct stat st;
    if (fstatat(given, name, &st, flags)) printf("%s: %s\n", name, result(-1));
    else printf("%s: %o, %ld links\n", name, st.st_mode, S_ISDIR(st.st_mode) ? 0L : (long)st.st_nlink);
}
static void names_made(void) {
    char target[16];
    printf("mkdirat: %s", result(mkdirat(given, "sub", 0751))); say(mkdirat(given, "sub", 0755));
    say(mkdirat(file, "x", 0755)); say(mkdirat(-1, "x", 0755)); puts("");
    printf("mkdirat: %s", result(mkdirat(given, "absent/x", 0755))); say(mkdirat(given, "", 0755));
    say(mkdirat(given, (char *)8, 0755)); puts("");
    printf("mknodat: %s", result(mknodat(given, "node", S_IFREG | 0640, 0)));
    say(mknodat(given, "fifo", S_IFIFO | 0600, 0)); say(mknodat(given, "bad", S_IFDIR | 0600, 0));
    say(mknodat(given, "node", S_IFREG, 0)); puts("");
    printf("mknodat: %s", result(mknodat(file, "x", S_IFREG, 0))); say(mknodat(-1, "x", S_IFREG, 0)); puts("");
    printf("symlinkat: %s", result(symlinkat("file", given, "link"))); say(symlinkat("x", given, "link"));
    say(symlinkat("", given, "empty")); say(symlinkat("x", file, "y")); puts("");
    printf("readlinkat: %s", result(readlinkat(given, "link", target, 16))); say(readlinkat(given, "link", target, 2));
    say(readlinkat(given, "file", target, 16)); say(readlinkat(given, "link", target, 0)); puts("");
    int link = openat(given, "link", O_PATH | O_NOFOLLOW);
    printf("readlinkat of the link itself: %s", result(readlinkat(link, "", target, 16)));
    say(readlinkat(given, "", target, 16)); puts("");
    printf("linkat: %s", result(linkat(given, "link", given, "hard", AT_SYMLINK_FOLLOW)));
    say(linkat(given, "link", given, "hard", 0)); say(linkat(given, "sub", given, "dirlink", 0));
    say(linkat(given, "file", given, "x", 0x8000)); puts("");
    static const char *const made[] = {"sub", "node", "fifo", "link", "hard", "file"};
    for (int i = 0; i < 6; i++) print_mode(made[i], AT_SYMLINK_NOFOLLOW);
    print_mode("link", 0);
}
static void attributes(void) {
    struct stat st;
    printf("fchmodat: %s", result(fchmodat(given, "link", 0604, 0))); say(fchmodat(given, "absent", 0600, 0));
    say(fchmodat(file, "x", 0600, 0)); puts("");
    printf("fchmodat2: %s", result(syscall(SYS_fchmodat2, given, "node", 0611, AT_SYMLINK_NOFOLLOW)));
    say(syscall(SYS_fchmodat2, given, "link", 0611, AT_SYMLINK_NOFOLLOW));
    say(syscall(SYS_fchmodat2, file, "", 0606, AT_EMPTY_PATH));
    say(syscall(SYS_fchmodat2, given, "node", 0611, 1)); say(syscall(SYS_fchmodat2, -1, "node", 0611, 0)); puts("");
    print_mode("node", 0);
    print_mode("file", 0);
    printf("fchownat: %s", result(fchownat(given, "file", -1, -1, 0)));
    say(fchownat(given, "link", -1, -1, AT_SYMLINK_NOFOLLOW)); say(fchownat(file, "", -1, -1, AT_EMPTY_PATH));
    say(fchownat(given, "file", -1, -1, 1)); puts("");
    printf("fchownat: %s", result(fchownat(given, "absent", -1, -1, 0))); say(fchownat(-1, "file", -1, -1, 0));
    puts("");
    printf("faccessat: %s", result(syscall(SYS_faccessat, given, "file", R_OK)));
    say(syscall(SYS_faccessat, given, "absent", F_OK)); say(syscall(SYS_faccessat, given, "file", 8)); puts("");
    printf("faccessat2: %s", result(syscall(SYS_faccessat2, given, "link", F_OK, AT_SYMLINK_NOFOLLOW)));
    say(syscall(SYS_faccessat2, file, "", R_OK, AT_EMPTY_PATH));
    say(syscall(SYS_faccessat2, given, "file", F_OK, 1)); say(syscall(SYS_faccessat2, given, "file", R_OK, AT_EACCESS));
    puts("");
    struct utimbuf old = {1000000, 2000000};
    printf("utime: %s", result(utime("given/link", &old))); say(utime("absent", &old));
    say(syscall(SYS_utime, "given/file", 8)); puts("");
    fstatat(given, "file", &st, 0);
    printf("times %ld", (long)st.st_atime); printf(" %ld\n", (long)st.st_mtime);
    struct timeval two[2] = {{3000000, 250000}, {4000000, 999999}}, wrong[2] = {{0, 1000000}, {0, 0}};
    printf("futimesat: %s", result(syscall(SYS_futimesat, given, "file", two)));
    say(syscall(SYS_futimesat, given, "file", wrong));
    say(syscall(SYS_futimesat, file, NULL, two)); say(syscall(SYS_futimesat, -1, "file", two)); puts("");
    fstatat(given, "file", &st, 0);
    printf("times %ld", (long)st.st_atime); printf(".%06ld", st.st_atim.tv_nsec / 1000);
    printf(" %ld", (long)st.st_mtime); printf(".%06ld\n", st.st_mtim.tv_nsec / 1000);
}
static void names_moved(void) {
    printf("renameat: %s", result(renameat(given, "node", given, "sub/moved")));
    say(renameat(given, "node", given, "x")); say(renameat(given, "sub", given, "sub/below")); puts("");
    printf("renameat: %s", result(renameat(file, "x", given, "y"))); say(renameat(given, "file", -1, "y")); puts("");
    printf("unlinkat: %s", result(unlinkat(given, "sub", 0))); say(unlinkat(given, "sub", AT_REMOVEDIR));
    say(unlinkat(given, "file", AT_REMOVEDIR)); puts("");
    printf("unlinkat: %s", result(unlinkat(given, "sub/moved", 0))); say(unlinkat(given, "sub", AT_REMOVEDIR));
    say(unlinkat(given, "sub", AT_REMOVEDIR)); puts("");
    printf("unlinkat: %s", result(unlinkat(given, "link", 0))); say(unlinkat(given, "fifo", 0x4000));
    say(unlinkat(-1, "link", 0)); say(unlinkat(file, "link", 0)); puts("");
    print_mode("link", AT_SYMLINK_NOFOLLOW);
    print_mode("file", 0);
}
struct old_entry { unsigned long ino, off; unsigned short len; char name[]; };
static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
// The old form has the kind of an entry in its last byte.
static void listed(void) {
    char buffer[1024], *names[16];
    int count = 0, fd = openat(given, ".", O_RDONLY | O_DIRECTORY);
    long n = syscall(SYS_getdents, fd, buffer, sizeof buffer);
    for (long at = 0; at < n && count < 16;) {
        struct old_entry *e = (void *)(buffer + at);
        char kind = buffer[at + e->len - 1];
        if (asprintf(&names[count], "%s:%d", e->name, kind) > 0) count++;
        at += e->len;
    }
    qsort(names, count, sizeof *names, by_name);
    for (int i = 0; i < count; i++) printf("%s ", names[i]);
    printf("then %s", result(syscall(SYS_getdents, fd, buffer, sizeof buffer)));
    lseek(fd, 0, SEEK_SET);
    printf(", too small %s", result(syscall(SYS_getdents, fd, buffer, 8)));
    printf(", file %s", result(syscall(SYS_getdents, file, buffer, 64)));
    printf(", closed %s\n", result(syscall(SYS_getdents, -1, buffer, 64)));
    struct statfs one, two;
    printf("fstatfs: %s", result(fstatfs(file, &one))); say(statfs("given", &two));
    printf(", the same: %d\n", one.f_type == two.f_type && one.f_bsize == two.f_bsize);
    printf("fstatfs: %s", result(fstatfs(-1, &one))); say(syscall(SYS_fstatfs, file, 8)); puts("");
}
static void content(void) {
    char text[16] = {0};
    int fd = openat(given, "file", O_RDWR);
    printf("pwrite64: %s", result(syscall(SYS_pwrite64, fd, "abcdef", 6, 2L)));
    say(syscall(SYS_pwrite64, fd, "x", 1, -1L));
    say(syscall(SYS_pwrite64, file, "x", 1, 0L)); say(syscall(SYS_pwrite64, fd, 8, 1, 0L)); puts("");
    printf("read back: %s", result(pread(fd, text, 15, 0))); printf(" %s\n", text);
    printf("fadvise64: %s", result(syscall(SYS_fadvise64, fd, 0L, 0L, POSIX_FADV_DONTNEED)));
    say(syscall(SYS_fadvise64, fd, 0L, 0L, 77));
    say(syscall(SYS_fadvise64, fd, 0L, -1L, POSIX_FADV_NORMAL));
    say(syscall(SYS_fadvise64, -1, 0L, 0L, POSIX_FADV_NORMAL)); puts("");
    printf("sync_file_range: %s", result(sync_file_range(fd, 0, 4, SYNC_FILE_RANGE_WRITE)));
    say(sync_file_range(fd, 0, 4, 64));
    say(sync_file_range(fd, -1, 4, 0)); say(sync_file_range(-1, 0, 4, 0)); puts("");
    int pipes[2];
    if (pipe(pipes)) return;
    printf("of a pipe: %s", result(syscall(SYS_fadvise64, pipes[0], 0L, 0L, POSIX_FADV_NORMAL)));
    say(sync_file_range(pipes[0], 0, 4, 0));
    printf(" %s\n", result(syscall(SYS_pwrite64, pipes[1], "x", 1, 0L)));
    printf("syncfs: %s", result(syncfs(-1))); say(fdatasync(pipes[0])); puts("");
}
int main(void) {
    umask(022);
    mkdir("given", 0755);
    given = open("given", O_RDONLY | O_DIRECTORY);
    int made = openat(given, "file", O_CREAT | O_WRONLY, 0644);
    if (write(made, "given/file", 10) != 10) return 1;
    close(made);
    file = openat(given, "file", O_RDONLY);
    names_made();
    attributes();
    names_moved();
    listed();
    content();
    return 0;
}
