// inotify: what a directory and a file see of opening, writing, making, moving and removing; masks, limits, errors.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)

static int fd;
static unsigned first_cookie;
static char buf[1 << 16] __attribute__((aligned(8)));

static void events(const char *why) {
    printf("%s:\n", why);
    int n = 0, total = 0;
    ioctl(fd, FIONREAD, &n);
    long got;
    while ((got = read(fd, buf, sizeof buf)) > 0) {
        total += got;
        for (char *p = buf; p < buf + got;) {
            struct inotify_event *e = (void *)p;
            if (e->cookie && !first_cookie) first_cookie = e->cookie;
            printf("  %d %x cookie %d len %d %s\n", e->wd, e->mask, e->cookie ? (int)(e->cookie - first_cookie) + 1 : 0, e->len, e->len ? e->name : "");
            p += sizeof *e + e->len;
        }
    }
    if (n != total) printf("  FIONREAD said %d, there were %d\n", n, total);
    if (got < 0 && errno != EAGAIN) perror("read");
}
static void touch(const char *name) { close(open(name, O_WRONLY | O_CREAT, 0644)); }

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    umask(022);
    SHOW(inotify_init1(1));
    fd = syscall(SYS_inotify_init);
    SHOW(fcntl(fd, F_GETFL));
    close(fd);
    fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    SHOW(fcntl(fd, F_GETFL));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(read(fd, buf, 10));
    SHOW(lseek(fd, 0, SEEK_SET));
    mkdir("dir", 0755), mkdir("dir/sub", 0755), mkdir("else", 0755), touch("dir/file"), symlink("file", "dir/link");

    SHOW(inotify_add_watch(fd, "dir", 0));
    SHOW(inotify_add_watch(0, "dir", IN_CREATE));
    SHOW(inotify_add_watch(99, "dir", IN_CREATE));
    SHOW(inotify_add_watch(fd, "missing", IN_CREATE));
    SHOW(inotify_add_watch(fd, "dir/file", IN_CREATE | IN_ONLYDIR));
    SHOW(inotify_add_watch(fd, (void *)8, IN_CREATE));
    SHOW(inotify_add_watch(fd, "dir", IN_CREATE | IN_MASK_ADD | IN_MASK_CREATE));
    SHOW(inotify_rm_watch(fd, 1));
    SHOW(inotify_rm_watch(0, 1));

    SHOW(inotify_add_watch(fd, "dir", IN_ALL_EVENTS));
    SHOW(inotify_add_watch(fd, "dir/file", IN_ALL_EVENTS));
    SHOW(inotify_add_watch(fd, "dir/../dir", IN_ALL_EVENTS | IN_MASK_CREATE));
    events("nothing yet");

    int f = open("dir/file", O_RDWR);
    write(f, "hello", 5), pwrite(f, "x", 1, 0), read(f, buf, 1), pread(f, buf, 1, 0);
    write(f, "", 0);
    close(f);
    events("opened, written, read, closed");
    close(open("dir/file", O_RDONLY));
    close(open("dir/file", O_WRONLY | O_TRUNC));
    close(open("dir/file", O_RDONLY | O_PATH));
    events("opened otherwise");
    truncate("dir/file", 10);
    f = open("dir/file", O_RDWR);
    ftruncate(f, 5), fallocate(f, 0, 0, 100), fchmod(f, 0600);
    close(f);
    chmod("dir/file", 0644), chown("dir/file", -1, getgid());
    struct timespec keep[2] = {{0, UTIME_OMIT}, {5, 0}};
    utimensat(AT_FDCWD, "dir/file", NULL, 0), utimensat(AT_FDCWD, "dir/file", keep, 0);
    events("changed");
    touch("dir/new"), mkdir("dir/newdir", 0755), symlink("x", "dir/newlink"), mkfifo("dir/fifo", 0644), link("dir/file", "dir/hard");
    events("made");
    DIR *d = opendir("dir");
    while (readdir(d));
    closedir(d);
    events("listed");
    rename("dir/new", "dir/renamed");
    events("renamed");
    rename("dir/renamed", "else/out"), rename("else/out", "dir/in");
    events("out and in");
    rename("dir/in", "dir/hard");
    events("renamed over another");
    syscall(SYS_renameat2, AT_FDCWD, "dir/file", AT_FDCWD, "dir/fifo", 2);
    syscall(SYS_renameat2, AT_FDCWD, "dir/file", AT_FDCWD, "dir/fifo", 2);
    events("exchanged");
    unlink("dir/hard"), rmdir("dir/newdir"), unlink("dir/newlink"), unlink("dir/fifo");
    events("removed");
    int kept = open("dir/file", O_RDWR);
    unlink("dir/file");
    events("removed while open");
    write(kept, "x", 1);
    events("written without a name");
    close(kept);
    events("and closed");
    SHOW(inotify_rm_watch(fd, 2));

    SHOW(inotify_add_watch(fd, "dir", IN_CREATE));
    touch("dir/a"), unlink("dir/a");
    events("only making");
    SHOW(inotify_add_watch(fd, "dir", IN_DELETE | IN_MASK_ADD));
    touch("dir/a"), unlink("dir/a");
    events("removing too");
    SHOW(inotify_add_watch(fd, "dir", IN_CREATE | IN_ONESHOT));
    touch("dir/a"), touch("dir/b");
    events("once");
    SHOW(inotify_rm_watch(fd, 1));
    SHOW(inotify_add_watch(fd, "dir", IN_MODIFY));
    f = open("dir/a", O_WRONLY);
    for (int i = 0; i < 3; i++) write(f, "x", 1);
    events("the same thing thrice");
    SHOW(inotify_add_watch(fd, "dir", IN_MODIFY | IN_EXCL_UNLINK));
    unlink("dir/a");
    write(f, "x", 1);
    events("not without a name");
    close(f);
    int wd = inotify_add_watch(fd, "dir/link", IN_ATTRIB | IN_DONT_FOLLOW);
    printf("link %d\n", wd);
    lchown("dir/link", -1, getgid());
    SHOW(inotify_rm_watch(fd, wd));
    events("a link, no longer watched");

    SHOW(inotify_add_watch(fd, "dir/sub", IN_ALL_EVENTS));
    rename("dir/sub", "else/sub");
    events("a directory moves");
    rmdir("else/sub");
    events("a directory goes");
    SHOW(inotify_add_watch(fd, "dir", IN_CREATE));
    touch("dir/a name of more than fifteen letters");
    SHOW(read(fd, buf, 20));
    events("a long name");
    struct pollfd p = {fd, POLLIN, 0};
    SHOW(poll(&p, 1, 0));
    touch("dir/z");
    SHOW(poll(&p, 1, 0));
    close(fd);

    fd = inotify_init1(IN_NONBLOCK);
    SHOW(inotify_add_watch(fd, "dir", IN_OPEN | IN_CLOSE));
    for (int i = 0; i < 10000; i++) close(open("dir/z", O_RDONLY));
    int n = 0, last = 0;
    long got;
    while ((got = read(fd, buf, sizeof buf)) > 0)
        for (char *q = buf; q < buf + got; q += sizeof(struct inotify_event) + ((struct inotify_event *)q)->len)
            n++, last = ((struct inotify_event *)q)->mask;
    printf("overflow after %d, %x\n", n, last);
    return 0;
}
