// A file that is open and has lost its name, or has given it to another, is reached through its descriptor. Files made
// without a name.
//@ volumes: memory cow rw
#include "result.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static const char *own_path(int fd) {
    static char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}
static void show(const char *what, int fd) {
    struct stat st;
    if (fstat(fd, &st)) printf("%s: %s\n", what, strerrorname_np(errno));
    else {
        // The present is another one on the host than in the sandbox.
        long mtime = time(NULL) - st.st_mtime < 60 ? -1 : (long)st.st_mtime;
        printf("%s: mode %o, links %d, size %d, owner %d.%d, mtime %ld\n", what, st.st_mode, (int)st.st_nlink,
            (int)st.st_size, st.st_uid == geteuid(), st.st_gid == getegid(), mtime);
    }
}
static void everything(int fd) {
    char text[20] = {0};
    struct timespec times[2] = {{1000, 0}, {2000, 0}};
    printf("fchmod %s\n", result(fchmod(fd, 0604)));
    printf("fchown %s\n", result(fchown(fd, geteuid(), -1)));
    printf("ftruncate %s\n", result(ftruncate(fd, 10)));
    printf("write %s\n", result(pwrite(fd, "text", 4, 0)));
    printf("futimens %s\n", result(futimens(fd, times)));
    show("fstat", fd);
    printf("fsetxattr %s", result(fsetxattr(fd, "user.a", "1", 1, XATTR_CREATE)));
    printf(", again %s\n", result(fsetxattr(fd, "user.a", "1", 1, XATTR_CREATE)));
    printf("fgetxattr %s", result(fgetxattr(fd, "user.a", text, sizeof text)));
    printf(", flistxattr %s\n", result(flistxattr(fd, text, sizeof text)));
    printf("fremovexattr %s", result(fremovexattr(fd, "user.a")));
    printf(", again %s\n", result(fremovexattr(fd, "user.a")));
    int again = open(own_path(fd), O_RDWR);
    printf("opened again %d", again >= 0);
    printf(": %s\n", result(pread(again, text, 4, 0)));
    printf("its text %.4s", text);
    printf(", write %s\n", result(pwrite(again, "T", 1, 0)));
    printf("read by the first %s", result(pread(fd, text, 4, 0)));
    printf(": %.4s\n", text);
    close(again);
    again = open(own_path(fd), O_WRONLY | O_APPEND);
    printf("appended to %s\n", result(write(again, "end", 3)));
    close(again);
    printf("chmod by /proc %s\n", result(chmod(own_path(fd), 0640)));
    printf("truncate by /proc %s\n", result(truncate(own_path(fd), 3)));
    show("fstat", fd);
    printf("link %s\n", result(linkat(AT_FDCWD, own_path(fd), AT_FDCWD, "second", AT_SYMLINK_FOLLOW)));
    unlink("second");
}
int main(void) {
    umask(022);
    int fd = open("first", O_RDWR | O_CREAT, 0600);
    printf("unlink %s\n", result(unlink("first")));
    everything(fd);
    close(fd);

    printf("-- replaced by rename\n");
    fd = open("old", O_RDWR | O_CREAT, 0600);
    int new = open("new", O_RDWR | O_CREAT, 0644);
    printf("rename %s\n", result(rename("new", "old")));
    everything(fd);
    show("the new one", new);
    printf("fchmod of the new one %s", result(fchmod(new, 0611)));
    printf(", its size %s\n", result(lseek(new, 0, SEEK_END)));
    close(fd);
    close(new);

    printf("-- its name is another file's\n");
    fd = open("name", O_RDWR | O_CREAT, 0600);
    unlink("name");
    new = open("name", O_RDWR | O_CREAT | O_EXCL, 0644);
    printf("fchmod of the old one %s\n", result(fchmod(fd, 0400)));
    show("the old one", fd);
    printf("write to the new one %s\n", result(write(new, "123", 3)));
    struct stat st;
    printf("stat by name %s", result(stat("name", &st)));
    printf(": %o", st.st_mode);
    printf(" %d\n", (int)st.st_size);
    printf("a read-only one, fchmod %s\n", result(fchmod(open("name", O_RDONLY), 0444)));
    printf("stat by name %s", result(stat("name", &st)));
    printf(": %o\n", st.st_mode);

    printf("-- made without a name\n");
    fd = open(".", O_TMPFILE | O_RDWR, 0640);
    printf("opened %d\n", fd >= 0);
    printf("write %s\n", result(write(fd, "nameless", 8)));
    show("fstat", fd);
    printf("link %s", result(linkat(AT_FDCWD, own_path(fd), AT_FDCWD, "given", AT_SYMLINK_FOLLOW)));
    printf(", again %s\n", result(linkat(AT_FDCWD, own_path(fd), AT_FDCWD, "given", AT_SYMLINK_FOLLOW)));
    show("fstat", fd);
    printf("stat by name %s", result(stat("given", &st)));
    printf(": %o", st.st_mode);
    printf(" %d\n", (int)st.st_size);
    printf("unlink %s", result(unlink("given")));
    printf(", link after that %s\n", result(linkat(AT_FDCWD, own_path(fd), AT_FDCWD, "given", AT_SYMLINK_FOLLOW)));
    close(fd);
    fd = open(".", O_TMPFILE | O_WRONLY | O_EXCL, 0640);
    printf("never to be linked %d", fd >= 0);
    printf(": %s\n", result(linkat(AT_FDCWD, own_path(fd), AT_FDCWD, "given", AT_SYMLINK_FOLLOW)));
    printf("read %s", result(read(fd, &st, 1)));
    printf(", write %s\n", result(write(fd, "1", 1)));
    printf("for reading only %s", result(open(".", O_TMPFILE | O_RDONLY, 0600)));
    printf(", of no directory %s\n", result(open("name", O_TMPFILE | O_RDWR, 0600)));
    close(fd);
    printf("unlink %s", result(unlink("old")));
    printf(" %s\n", result(unlink("name")));
    return 0;
}
