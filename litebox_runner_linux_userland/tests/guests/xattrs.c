// Extended attributes of a file, of a link and of an open file: set, read, listed, removed, and how each of it fails.
//@ volumes: memory cow rw
#include "result.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
// Names of attributes in an order of their own: that of the list is not promised. Labels of the host are left out.
static void print_list(const char *what, char *names, long len) {
    char *sorted[16];
    int count = 0;
    printf("%s: %s", what, len < 0 ? result(len) : "ok");
    for (char *at = names; len > 0 && at < names + len && count < 16; at += strlen(at) + 1)
        if (!strncmp(at, "user.", 5)) sorted[count++] = at;
    qsort(sorted, count, sizeof *sorted, by_name);
    for (int i = 0; i < count; i++) printf(" %s", sorted[i]);
    puts("");
}
static void print_value(const char *what, const char *value, long len) {
    printf("%s: %s %.*s\n", what, result(len), len > 0 ? (int)len : 0, value);
}
static void by_path(void) {
    char buffer[256];
    printf("set: %s\n", result(setxattr("given", "user.one", "first", 5, 0)));
    print_value("get", buffer, getxattr("given", "user.one", buffer, sizeof buffer));
    printf("size: %s\n", result(getxattr("given", "user.one", NULL, 0)));
    printf("too small: %s\n", result(getxattr("given", "user.one", buffer, 2)));
    printf("create again: %s\n", result(setxattr("given", "user.one", "x", 1, XATTR_CREATE)));
    printf("replace: %s\n", result(setxattr("given", "user.one", "second", 6, XATTR_REPLACE)));
    printf("replace what is not there: %s\n", result(setxattr("given", "user.two", "x", 1, XATTR_REPLACE)));
    printf("create: %s\n", result(setxattr("given", "user.two", "", 0, XATTR_CREATE)));
    print_value("empty value", buffer, getxattr("given", "user.two", buffer, sizeof buffer));
    print_list("list", buffer, listxattr("given", buffer, sizeof buffer));
    printf("list too small: %s\n", result(listxattr("given", buffer, 3)));
    printf("remove: %s\n", result(removexattr("given", "user.two")));
    printf("remove again: %s\n", result(removexattr("given", "user.two")));
    print_value("removed", buffer, getxattr("given", "user.two", buffer, sizeof buffer));
}
// What is absent of the other namespaces is absent, whether the file is open or not.
static void other_namespaces(void) {
    static const char *names[] = {"user.absent", "trusted.absent", "security.absent", "security.capability", "system.absent", "absent.absent"};
    char buffer[16];
    for (int open_now = 0; open_now < 2; open_now++) {
        int fd = open_now ? open("given", O_RDONLY) : -1;
        for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
            printf("%s: get %s", names[i], result(getxattr("given", names[i], buffer, sizeof buffer)));
            printf(" remove %s", result(removexattr("given", names[i])));
            printf(" replace %s\n", result(setxattr("given", names[i], "x", 1, XATTR_REPLACE)));
        }
        if (open_now) printf("open %d: %s\n", fd >= 0, result(fgetxattr(fd, "user.absent", buffer, sizeof buffer)));
        close(fd);
    }
}
static void mistakes(void) {
    char name[300], buffer[16], *big = calloc(1, 65537);
    memset(name, 'n', sizeof name);
    memcpy(name, "user.", 5);
    name[260] = 0;
    printf("long name: %s\n", result(setxattr("given", name, "x", 1, 0)));
    printf("no name: %s\n", result(setxattr("given", "", "x", 1, 0)));
    printf("no namespace: %s\n", result(setxattr("given", "plain", "x", 1, 0)));
    printf("name of namespace alone: %s\n", result(setxattr("given", "user.", "x", 1, 0)));
    printf("unknown flag: %s\n", result(setxattr("given", "user.one", "x", 1, 4)));
    printf("both flags: %s\n", result(setxattr("given", "user.one", "x", 1, XATTR_CREATE | XATTR_REPLACE)));
    printf("long value: %s\n", result(setxattr("given", "user.one", big, 65537, 0)));
    printf("bad value: %s\n", result(setxattr("given", "user.one", (void *)8, 5, 0)));
    printf("bad name: %s\n", result(setxattr("given", (char *)8, "x", 1, 0)));
    printf("no file: %s\n", result(setxattr("absent", "user.one", "x", 1, 0)));
    printf("no file, get: %s\n", result(getxattr("absent", "user.one", buffer, sizeof buffer)));
    printf("no file, list: %s\n", result(listxattr("absent", buffer, sizeof buffer)));
    printf("no file, remove: %s\n", result(removexattr("absent", "user.one")));
    printf("through a file: %s\n", result(getxattr("given/below", "user.one", buffer, sizeof buffer)));
}
// A link has no attributes of users; calls that follow it reach the file.
static void by_link(void) {
    char buffer[256];
    printf("link: %s\n", result(symlink("given", "link")));
    print_value("get through it", buffer, getxattr("link", "user.one", buffer, sizeof buffer));
    print_value("get of it", buffer, lgetxattr("link", "user.one", buffer, sizeof buffer));
    printf("set of it: %s\n", result(lsetxattr("link", "user.one", "x", 1, 0)));
    print_list("list through it", buffer, listxattr("link", buffer, sizeof buffer));
    print_list("list of it", buffer, llistxattr("link", buffer, sizeof buffer));
    printf("remove of it: %s\n", result(lremovexattr("link", "user.one")));
    printf("set of the file, not followed: %s\n", result(lsetxattr("given", "user.three", "3", 1, 0)));
    print_value("get of the file, not followed", buffer, lgetxattr("given", "user.three", buffer, sizeof buffer));
    printf("remove of the file, not followed: %s\n", result(lremovexattr("given", "user.three")));
}
static void by_descriptor(void) {
    char buffer[256];
    int reader = open("given", O_RDONLY), path = open("given", O_PATH), pipes[2];
    printf("reader sets: %s\n", result(fsetxattr(reader, "user.four", "4", 1, 0)));
    print_value("reader gets", buffer, fgetxattr(reader, "user.four", buffer, sizeof buffer));
    print_list("reader lists", buffer, flistxattr(reader, buffer, sizeof buffer));
    printf("reader removes: %s\n", result(fremovexattr(reader, "user.four")));
    printf("path: %s", result(fsetxattr(path, "user.four", "4", 1, 0))); say(fgetxattr(path, "user.one", buffer, 9));
    say(flistxattr(path, buffer, 9)); say(fremovexattr(path, "user.one")); puts("");
    printf("closed: %s", result(fsetxattr(-1, "user.four", "4", 1, 0))); say(fgetxattr(-1, "user.one", buffer, 9));
    say(flistxattr(-1, buffer, 9)); say(fremovexattr(-1, "user.one")); puts("");
    if (pipe(pipes)) return;
    printf("pipe: %s\n", result(fsetxattr(pipes[0], "user.four", "4", 1, 0)));
    printf("pipe: %s\n", result(fgetxattr(pipes[0], "user.four", buffer, sizeof buffer)));
}
// What follows the file: its names, its end.
static void other_names(void) {
    char buffer[256];
    mkdir("dir", 0755);
    printf("directory: %s\n", result(setxattr("dir", "user.d", "dir", 3, 0)));
    print_value("of a directory", buffer, getxattr("dir", "user.d", buffer, sizeof buffer));
    printf("names: %s", result(link("given", "dir/other"))); say(rename("given", "renamed"));
    puts("");
    print_value("other name", buffer, getxattr("dir/other", "user.one", buffer, sizeof buffer));
    print_value("renamed", buffer, getxattr("renamed", "user.one", buffer, sizeof buffer));
    close(open("given", O_CREAT | O_WRONLY, 0644));
    print_value("new file of the old name", buffer, getxattr("given", "user.one", buffer, sizeof buffer));
    chmod("renamed", 0400);
    printf("read-only file, as root or owner: %s\n", result(getxattr("renamed", "user.one", buffer, sizeof buffer)));
}
int main(void) {
    umask(022);
    close(open("given", O_CREAT | O_WRONLY, 0644));
    other_namespaces();
    by_path();
    mistakes();
    by_link();
    by_descriptor();
    other_names();
    return 0;
}
