// Access control lists by their attributes: set, read, listed, removed; chmod and the mask; what new files inherit;
// what each user may do; how each of it fails.
//@ volumes: memory cow rw
#include "result.h"
#include <fcntl.h>
#include <grp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

struct entry { uint16_t tag, permissions; uint32_t id; };
struct list { uint32_t version; struct entry entry[16]; };
static const struct { char letter; int named, tag; } tags[] = {
    {'u', 0, 1}, {'u', 1, 2}, {'g', 0, 4}, {'g', 1, 8}, {'m', 0, 0x10}, {'o', 0, 0x20}, {'x', 0, 0x40},
};
// From text like "u::7 u:1001:6 g::5 m::7 o::4"; its size.
static size_t parse(struct list *list, const char *text) {
    int count = 0;
    list->version = 2;
    for (const char *at = text; *at; count++) {
        char letter = *at;
        char *end = (char *)at + 2;
        long id = strtol(at + 2, &end, 10);
        int named = end != at + 2;
        for (unsigned i = 0; i < sizeof tags / sizeof *tags; i++)
            if (tags[i].letter == letter && tags[i].named == named) list->entry[count].tag = tags[i].tag;
        list->entry[count].id = named ? (uint32_t)id : ~0u;
        list->entry[count].permissions = strtol(end + 1, &end, 8);
        at = end + (*end == ' ');
    }
    return 4 + 8 * count;
}
static long put(const char *file, const char *kind, const char *text) {
    struct list list;
    size_t size = parse(&list, text);
    return setxattr(file, kind, &list, size, 0);
}
static void show_list(const char *what, const struct list *list, long size) {
    if (size < 0) {
        if (errno != ENODATA) printf(" %s %s", what, result(size));
        return;
    }
    printf(" %s[", what);
    for (int i = 0; 4 + 8 * i < size; i++)
        for (unsigned t = 0; t < sizeof tags / sizeof *tags; t++)
            if (list->entry[i].tag == tags[t].tag) {
                printf("%s%c:", i ? " " : "", tags[t].letter);
                if (tags[t].named) printf("%u", list->entry[i].id);
                printf(":%o", list->entry[i].permissions);
            }
    printf("]");
}
static void show(const char *file) {
    struct list list;
    struct stat st;
    char names[256];
    lstat(file, &st);
    printf("  %s %o", file, st.st_mode & 07777);
    show_list("access", &list, lgetxattr(file, ACCESS, &list, sizeof list));
    show_list("default", &list, lgetxattr(file, DEFAULT, &list, sizeof list));
    long size = llistxattr(file, names, sizeof names);
    // The order is not promised.
    int listed = 0;
    for (char *at = names; size > 0 && at < names + size; at += strlen(at) + 1)
        listed |= !strcmp(at, ACCESS) | !strcmp(at, DEFAULT) << 1;
    printf("%s%s\n", listed & 1 ? " access" : "", listed & 2 ? " default" : "");
}
static void set_and_removed(void) {
    struct list list;
    printf("named user: %s\n", result(put("file", ACCESS, "u::7 u:1001:6 g::5 m::7 o::4")));
    show("file");
    printf("size: %s", result(getxattr("file", ACCESS, NULL, 0))); say(getxattr("file", ACCESS, &list, 43)); puts("");
    printf("chmod 640: %s\n", result(chmod("file", 0640)));
    show("file");
    printf("another list, create and replace: %s", result(put("file", ACCESS, "u::6 g::4 g:1002:7 m::5 o::0")));
    size_t size = parse(&list, "u::6 g::4 g:1002:7 m::5 o::1");
    say(setxattr("file", ACCESS, &list, size, XATTR_CREATE)); puts("");
    show("file");
    printf("removed: %s", result(removexattr("file", ACCESS))); say(removexattr("file", ACCESS)); puts("");
    show("file");
    printf("what permissions say: %s\n", result(put("file", ACCESS, "u::7 g::1 o::5")));
    show("file");
    printf("with a mask only: %s\n", result(put("file", ACCESS, "u::7 g::7 m::1 o::5")));
    show("file");
    printf("an empty value: %s\n", result(setxattr("file", ACCESS, "", 0, 0)));
    show("file");
    put("file", ACCESS, "u::7 g::7 m::1 o::5");
    printf("no entries: %s\n", result(put("file", ACCESS, "")));
    show("file");
    int fd = open("file", O_RDONLY);
    size = parse(&list, "u::6 u:1001:7 g::4 m::5 o::0");
    printf("by descriptor: %s", result(fsetxattr(fd, ACCESS, &list, size, 0)));
    say(fgetxattr(fd, ACCESS, &list, sizeof list)); say(fchmod(fd, 0704)); say(fgetxattr(fd, DEFAULT, &list, 100)); puts("");
    show("file");
    close(fd);
}
static void mistakes(void) {
    static const char *const wrong[] = {
        "u::7", "u::7 g::5", "u::7 u:1001:6 g::5 o::4", "g::5 u::7 o::4", "u::7 g::5 u:1001:6 m::7 o::4", "u::9 g::5 o::4",
        "u::7 u::7 g::5 o::4", "u::7 g::5 o::4 m::7", "u::7 g::5 m::7 m::7 o::4", "u::7 g::5 o::4 o::4", "x::7 g::5 o::4",
        "u::7 u:-1:7 g::5 m::7 o::4", "u::7 g::5 g:1001:5 o::4",
    };
    struct list list;
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        printf("%s: %s\n", wrong[i], result(put("file", ACCESS, wrong[i])));
    size_t size = parse(&list, "u::7 g::5 o::4");
    printf("sizes: %s", result(setxattr("file", ACCESS, &list, size - 1, 0))); say(setxattr("file", ACCESS, &list, 3, 0));
    say(setxattr("file", ACCESS, &list, size - 8, 0)); puts("");
    list.version = 1;
    printf("version: %s\n", result(setxattr("file", ACCESS, &list, size, 0)));
    printf("default of a file: %s", result(put("file", DEFAULT, "u::7 g::5 o::4")));
    say(removexattr("file", DEFAULT)); say(put("file", DEFAULT, "")); say(getxattr("file", DEFAULT, &list, 100)); puts("");
    printf("other names: %s", result(setxattr("file", "system.posix_acl", "x", 1, 0)));
    say(getxattr("file", "system.posix_acl_accessx", &list, 100)); say(removexattr("file", "system.other")); puts("");
    if (symlink("file", "link")) return;
    size = parse(&list, "u::7 g::5 o::4");
    printf("of a link: %s", result(lsetxattr("link", ACCESS, &list, size, 0))); say(lgetxattr("link", ACCESS, &list, 100));
    say(lremovexattr("link", ACCESS)); say(setxattr("link", ACCESS, &list, size, 0)); puts("");
    int ends[2];
    if (pipe(ends)) return;
    printf("of a pipe: %s", result(fsetxattr(ends[0], ACCESS, &list, size, 0)));
    say(fgetxattr(ends[0], ACCESS, &list, 100)); puts("");
    printf("absent: %s", result(put("absent", ACCESS, "u::7 g::5 o::4"))); say(getxattr("absent", ACCESS, &list, 100)); puts("");
}
static void inherited(void) {
    mkdir("plain", 0777);
    show("plain");
    mkdir("dir", 0755);
    printf("default: %s\n", result(put("dir", DEFAULT, "u::7 u:1001:7 g::5 m::7 o::1")));
    show("dir");
    close(open("dir/file", O_CREAT | O_WRONLY, 0666));
    show("dir/file");
    close(open("dir/closed", O_CREAT | O_WRONLY, 0400));
    show("dir/closed");
    mkdir("dir/below", 0777);
    show("dir/below");
    mkdir("dir/below/again", 0700);
    show("dir/below/again");
    mkfifo("dir/fifo", 0662);
    show("dir/fifo");
    if (symlink("file", "dir/link")) return;
    show("dir/link");
    int fd = open("dir", O_TMPFILE | O_RDWR, 0646);
    struct list list;
    struct stat st;
    fstat(fd, &st);
    printf("  without a name %o", st.st_mode & 07777);
    show_list("access", &list, fgetxattr(fd, ACCESS, &list, sizeof list));
    puts("");
    rename("dir/file", "plain/moved");
    show("plain/moved");
    printf("a simple default: %s\n", result(put("dir", DEFAULT, "u::7 g::3 o::1")));
    close(open("dir/simple", O_CREAT | O_WRONLY, 0666));
    show("dir/simple");
    mkdir("dir/simple.d", 0777);
    show("dir/simple.d");
    printf("without: %s\n", result(removexattr("dir", DEFAULT)));
    close(open("dir/without", O_CREAT | O_WRONLY, 0666));
    show("dir/without");
}
static void become(int user, int group, int other) {
    gid_t groups[1] = {other};
    if (setgroups(other != 0, groups) || setresgid(group, group, group) || setresuid(user, user, user)) _exit(9);
}
static void what_users_may(const char *text) {
    static const struct { int user, group, other; } who[] = {{1000, 1000, 0}, {1001, 1, 0}, {1003, 1002, 0}, {1003, 1, 1002}, {1003, 1005, 0}, {1003, 1005, 1002}, {1001, 1002, 1005}, {1003, 1, 0}};
    printf("%s:", text);
    if (put("theirs", ACCESS, text)) printf(" %s", strerrorname_np(errno));
    for (unsigned i = 0; i < sizeof who / sizeof *who; i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            become(who[i].user, who[i].group, who[i].other);
            int may = 0;
            for (int bit = 1; bit < 8; bit <<= 1) may |= access("theirs", bit) ? 0 : bit;
            may |= open("theirs", O_RDONLY) < 0 ? 0 : 8;
            _exit(may);
        }
        int status;
        waitpid(pid, &status, 0);
        printf(" %o", WEXITSTATUS(status));
    }
    puts("");
}
// What another user may do with what is not theirs.
static void others(void) {
    become(1001, 1, 0);
    printf("  search %s,", result(access("kept/in", F_OK)));
    printf(" make %s,", result(mkdir("kept/new", 0755)));
    printf(" remove %s,", result(unlink("kept/in")));
    printf(" set %s,", result(put("theirs", ACCESS, "u::7 g::7 o::7")));
    printf(" remove %s,", result(removexattr("theirs", ACCESS)));
    printf(" own %s", result(put("mine", ACCESS, "u::7 u:1003:1 g::5 m::5 o::0")));
    struct stat st;
    stat("mine", &st);
    printf(" %o\n", st.st_mode & 07777);
    fflush(stdout);
    _exit(0);
}
static void rights(void) {
    close(open("theirs", O_CREAT | O_WRONLY, 0644));
    mkdir("kept", 0755);
    mkdir("mine", 0755);
    close(open("kept/in", O_CREAT | O_WRONLY, 0644));
    if (chown("theirs", 1000, 1005) || chown("mine", 1001, 1005) || chmod("mine", 02755)) return;
    what_users_may("u::6 g::4 o::1");
    what_users_may("u::0 u:1001:6 g::4 g:1002:3 m::7 o::1");
    what_users_may("u::7 u:1001:7 g::7 g:1002:7 m::4 o::7");
    what_users_may("u::7 u:1001:7 g::7 g:1002:7 m::0 o::5");
    what_users_may("u::4 u:1001:0 g::2 g:1002:4 m::7 o::7");
    what_users_may("u::4 u:1003:1 g::6 g:1002:5 m::5 o::0");
    for (int i = 0; i < 4; i++) {
        static const char *const lists[] = {"u::7 g::0 o::0", "u::7 u:1001:1 g::0 m::1 o::0", "u::7 u:1001:7 g::0 m::5 o::0", "u::7 u:1001:7 g::0 m::7 o::0"};
        printf("%s\n", lists[i]);
        put("kept", ACCESS, lists[i]);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) others();
        waitpid(pid, NULL, 0);
    }
}
int main(void) {
    umask(027);
    if (chmod(".", 0755)) return 1;
    close(open("file", O_CREAT | O_WRONLY, 0644));
    set_and_removed();
    mistakes();
    inherited();
    if (geteuid() == 0) rights();
    return 0;
}
