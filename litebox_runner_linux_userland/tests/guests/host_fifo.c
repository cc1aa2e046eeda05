// Fifos in a directory of the host that may be written to: made, used between processes, renamed, removed.
//@ tree
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)

static char buf[100];

static void show_node(const char *name) {
    struct stat st;
    if (lstat(name, &st)) printf("%s: %s\n", name, strerror(errno));
    else printf("%s: %o, %ld links, %ld bytes\n", name, st.st_mode, (long)st.st_nlink, (long)st.st_size);
}
static void in_child(void (*work)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        work();
        exit(0);
    }
}
static void write_late(void) {
    poll(NULL, 0, 50);
    int fd = open("dir/other", O_WRONLY);
    if (write(fd, "from the child", 14) != 14) _exit(1);
}
int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    SHOW(mkdir("dir", 0777));
    SHOW(mkfifo("dir/fifo", 0666));
    SHOW(mkfifo("dir/fifo", 0666));
    SHOW(mkfifo("none/fifo", 0666));
    SHOW(mkfifo("dir/fifo/below", 0666));
    SHOW(mknod("dir/other", S_IFIFO | 0600, 0));
    SHOW(mknod("dir/plain", S_IFREG | 0640, 0));
    SHOW(mknod("dir/odd", S_IFDIR | 0600, 0));
    show_node("dir/fifo");
    show_node("dir/other");
    show_node("dir/plain");

    // Without waiting.
    SHOW(open("dir/fifo", O_WRONLY | O_NONBLOCK));
    int r = open("dir/fifo", O_RDONLY | O_NONBLOCK);
    int w = open("dir/fifo", O_WRONLY | O_NONBLOCK);
    SHOW(write(w, "hello", 5));
    SHOW(read(r, buf, sizeof buf));
    SHOW(read(r, buf, sizeof buf));
    SHOW(lseek(r, 0, SEEK_SET));
    show_node("dir/fifo");
    struct stat st;
    SHOW(fstat(r, &st));
    printf("%o\n", st.st_mode);
    SHOW(fchmod(r, 0640));
    show_node("dir/fifo");
    // What is open goes on when the name is gone; the name is another pipe then.
    SHOW(rename("dir/fifo", "dir/moved"));
    int again = open("dir/moved", O_WRONLY | O_NONBLOCK);
    SHOW(write(again, "moved", 5));
    SHOW(read(r, buf, sizeof buf));
    SHOW(unlink("dir/moved"));
    SHOW(write(w, "gone", 4));
    SHOW(read(r, buf, sizeof buf));
    close(r), close(w), close(again);

    // Between processes, each waiting for the other.
    in_child(write_late);
    r = open("dir/other", O_RDONLY);
    SHOW(read(r, buf, sizeof buf));
    printf("%.14s\n", buf);
    SHOW(read(r, buf, sizeof buf));
    close(r);
    int status;
    wait(&status);
    printf("child: %d\n", status);
    return 0;
}
