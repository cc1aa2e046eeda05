// Times of files: those that are set to the present and those that come of writing are of one clock, which does not go
// back.
//@ volumes: memory cow rw
#include "result.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static long long ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

int main(void) {
    int back = 0, write_back = 0, link_back = 0, future = 0, access = 0;
    struct stat made, touched, written, after;
    struct timespec now;
    for (int i = 0; i < 100; i++) {
        unlink("file");
        int fd = open("file", O_CREAT | O_RDWR, 0600);
        fstat(fd, &made);
        utimensat(AT_FDCWD, "file", NULL, 0);
        stat("file", &touched);
        if (write(fd, "x", 1) != 1) return 1;
        fstat(fd, &written);
        struct timespec only_access[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
        futimens(fd, only_access);
        fstat(fd, &after);
        clock_gettime(CLOCK_REALTIME, &now);
        back += ns(touched.st_mtim) < ns(made.st_mtim);
        write_back += ns(written.st_mtim) < ns(touched.st_mtim);
        access += ns(after.st_mtim) != ns(written.st_mtim) || ns(after.st_atim) < ns(touched.st_atim);
        future += ns(after.st_atim) > ns(now) || ns(after.st_ctim) > ns(now);
        close(fd);
        symlink("file", "link");
        lstat("link", &made);
        utimensat(AT_FDCWD, "link", NULL, AT_SYMLINK_NOFOLLOW);
        lstat("link", &touched);
        link_back += ns(touched.st_mtim) < ns(made.st_mtim);
        unlink("link");
    }
    printf("earlier than made %d, than touched %d, than a link was made %d, wrong access %d, in the future %d\n", back, write_back, link_back, access, future);
    struct timespec set[2] = {{1, 2}, {0, UTIME_NOW}};
    printf("one set, one now: %s\n", result(utimensat(AT_FDCWD, "file", set, 0)));
    stat("file", &made);
    clock_gettime(CLOCK_REALTIME, &now);
    printf("access %ld.%ld, changed just now %d\n", (long)made.st_atim.tv_sec, (long)made.st_atim.tv_nsec, now.tv_sec - made.st_mtim.tv_sec < 5);
    unlink("file");
    return 0;
}
