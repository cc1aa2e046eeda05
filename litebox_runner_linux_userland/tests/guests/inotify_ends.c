// inotify where files end: order of events, watches that end with their file, a number that is used again, reading by
// sendfile.
//@ volumes: memory cow rw
#include "result.h"
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static int in;

static void events(const char *what) {
    char buffer[4096] __attribute__((aligned(8)));
    long n = read(in, buffer, sizeof buffer);
    printf("%s:", what);
    for (long i = 0; i < n;) {
        struct inotify_event *e = (void *)(buffer + i);
        printf(" [%d %x %s]", e->wd, e->mask, e->len ? e->name : "");
        i += sizeof *e + e->len;
    }
    printf("\n");
}
static void make(const char *name) {
    int fd = open(name, O_CREAT | O_WRONLY, 0644);
    if (write(fd, "hello", 5) != 5) printf("not written\n");
    close(fd);
}
int main(void) {
    in = inotify_init1(IN_NONBLOCK);
    mkdir("d", 0755);
    make("d/f");
    make("copy");
    printf("watches %s", result(inotify_add_watch(in, "d", IN_ALL_EVENTS)));
    printf(" %s\n", result(inotify_add_watch(in, "d/f", IN_ALL_EVENTS)));
    int fd = open("d/f", O_RDONLY), out = open("copy", O_WRONLY);
    off_t from = 0;
    events("open");
    printf("sendfile %s\n", result(sendfile(out, fd, &from, 5)));
    events("sendfile");
    close(fd);
    close(out);
    unlink("d/f");
    events("unlink");
    make("d/again");
    events("another file, which may have its number");
    fd = open("d/again", O_RDWR);
    printf("watch %s\n", result(inotify_add_watch(in, "d/again", IN_ALL_EVENTS)));
    unlink("d/again");
    events("unlink of an open file");
    if (write(fd, "x", 1) != 1) return 1;
    events("write without a name");
    close(fd);
    events("close");
    make("d/old");
    make("d/new");
    events("made");
    printf("watch %s\n", result(inotify_add_watch(in, "d/old", IN_ALL_EVENTS)));
    rename("d/new", "d/old");
    events("replaced");
    make("d/one");
    link("d/one", "d/two");
    events("linked");
    printf("watch %s\n", result(inotify_add_watch(in, "d/one", IN_ALL_EVENTS)));
    unlink("d/one");
    events("one of two names");
    unlink("d/two");
    events("the other");
    unlink("d/old");
    rmdir("d");
    events("rmdir");
    mkdir("e", 0755);
    make("e/x");
    printf("watch %s\n", result(inotify_add_watch(in, "e", IN_ALL_EVENTS | IN_EXCL_UNLINK)));
    fd = open("e/x", O_RDWR);
    unlink("e/x");
    events("unlink");
    if (write(fd, "x", 1) != 1) return 1;
    close(fd);
    events("write and close without a name");
    printf("a directory with O_DIRECT %s\n", result(open(".", O_RDONLY | O_DIRECT)));
    rmdir("e");
    unlink("copy");
    events("the end");
    return 0;
}
