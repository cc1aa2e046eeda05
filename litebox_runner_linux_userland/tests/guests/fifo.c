// Fifos: openers that wait for each other, those that do not, hang-ups, what is left behind.
//@ flags: -pthread
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)

static char buf[100];

static int events(int fd) {
    struct pollfd f = {fd, POLLIN | POLLOUT, 0};
    poll(&f, 1, 0);
    return f.revents;
}
static void *open_later(void *flags) {
    poll(NULL, 0, 50);
    int fd = open("fifo", *(int *)flags);
    if (*(int *)flags == O_WRONLY) write(fd, "late", 4);
    close(fd);
    return NULL;
}
static void on_user(int s) { write(1, "signal\n", 7); }
static void *kill_later(void *who) {
    for (int i = 0; i < 2; i++) poll(NULL, 0, 50), pthread_kill(*(pthread_t *)who, i ? SIGUSR2 : SIGUSR1);
    return NULL;
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    umask(022);
    SHOW(mkfifo("fifo", 0666));
    SHOW(mkfifo("fifo", 0666));
    SHOW(mknod("other", S_IFIFO | 0600, 0));
    SHOW(mkfifo("no/fifo", 0666));
    struct stat st;
    SHOW(stat("fifo", &st));
    printf("%o %ld %ld\n", st.st_mode, (long)st.st_nlink, (long)st.st_size);
    SHOW(truncate("fifo", 0));
    SHOW(open("fifo", O_RDONLY | O_DIRECTORY));
    SHOW(open("fifo", O_CREAT | O_EXCL | O_RDWR, 0600));

    // Without waiting.
    SHOW(open("fifo", O_WRONLY | O_NONBLOCK));
    int r = open("fifo", O_RDONLY | O_NONBLOCK);
    SHOW(fcntl(r, F_GETFL) & ~O_LARGEFILE);
    SHOW(events(r));
    SHOW(read(r, buf, 10));
    int w = open("fifo", O_WRONLY | O_NONBLOCK | O_TRUNC);
    SHOW(w >= 0);
    SHOW(read(r, buf, 10));
    SHOW(write(w, "hello", 5));
    SHOW(events(r));
    SHOW(events(w));
    close(w);
    SHOW(events(r));
    SHOW(read(r, buf, 10));
    SHOW(read(r, buf, 10));
    SHOW(events(r));
    w = open("fifo", O_WRONLY | O_NONBLOCK);
    SHOW(events(r));
    SHOW(fcntl(w, F_GETPIPE_SZ));
    SHOW(lseek(r, 0, SEEK_SET));
    SHOW(ftruncate(w, 0));
    SHOW(pread(r, buf, 1, 0));
    signal(SIGPIPE, SIG_IGN);
    close(r);
    SHOW(events(w));
    SHOW(write(w, "x", 1));
    close(w);

    // Both sides in one.
    int both = open("fifo", O_RDWR);
    SHOW(write(both, "kept", 4));
    int n;
    ioctl(both, FIONREAD, &n);
    printf("%d in it\n", n);
    r = open("fifo", O_RDONLY | O_NONBLOCK);
    SHOW(read(r, buf, 2));
    SHOW(read(both, buf, 10));
    SHOW(events(both));
    SHOW(write(both, "lost", 4));
    close(both), close(r);
    r = open("fifo", O_RDONLY | O_NONBLOCK);
    SHOW(read(r, buf, 10));
    close(r);

    // Waiting for each other.
    pthread_t t;
    int flags = O_WRONLY;
    pthread_create(&t, NULL, open_later, &flags);
    r = open("fifo", O_RDONLY);
    SHOW(r >= 0);
    SHOW(read(r, buf, 10));
    SHOW(read(r, buf, 10));
    pthread_join(t, NULL);
    SHOW(events(r));
    close(r);
    flags = O_RDONLY;
    pthread_create(&t, NULL, open_later, &flags);
    w = open("fifo", O_WRONLY);
    SHOW(w >= 0);
    pthread_join(t, NULL);
    SHOW(write(w, "x", 1));
    close(w);

    // A signal while waiting: with SA_RESTART it goes on, without it ends.
    struct sigaction act = {.sa_handler = on_user, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &act, NULL);
    act.sa_flags = 0;
    sigaction(SIGUSR2, &act, NULL);
    pthread_t self = pthread_self();
    pthread_create(&t, NULL, kill_later, &self);
    SHOW(open("fifo", O_RDONLY));
    pthread_join(t, NULL);
    SHOW(open("fifo", O_WRONLY | O_NONBLOCK));

    // A name more, and none.
    SHOW(link("fifo", "again"));
    both = open("fifo", O_RDWR);
    r = open("again", O_RDONLY);
    SHOW(unlink("fifo"));
    SHOW(unlink("again"));
    SHOW(write(both, "still", 5));
    SHOW(read(r, buf, 10));
    SHOW(fstat(r, &st));
    printf("%ld\n", (long)st.st_nlink);
    SHOW(mkfifo("fifo", 0));
    SHOW(fstat(both, &st));
    SHOW(rename("fifo", "moved"));
    SHOW(unlink("moved"));
    SHOW(unlink("other"));
    return 0;
}
