// splice, tee, vmsplice, sendfile, copy_file_range: what moves, how far, and which files refuse.
//@ flags: -pthread
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)

static char big[1 << 18], got[1 << 18];
static int p[2], q[2], file, other;
static off_t off;
static loff_t in_at, out_at;

static void fresh(void) {
    if (p[0]) close(p[0]), close(p[1]), close(q[0]), close(q[1]);
    if (pipe2(p, O_NONBLOCK) || pipe2(q, O_NONBLOCK)) perror("pipe2");
}
static int in_pipe(int fd) {
    int n = -1;
    ioctl(fd, FIONREAD, &n);
    return n;
}
static long fill(int fd, size_t piece) {
    long total = 0, n;
    while ((n = write(fd, big, piece)) > 0) total += n;
    return total;
}
static int right(const char *bytes, long from, long n) {
    for (long i = 0; i < n; i++)
        if (bytes[i] != (char)((from + i) * 31)) return 0;
    return 1;
}
static void on_pipe(int s) { puts("SIGPIPE"); }

static void splices(void) {
    fresh();
    SHOW(splice(p[0], 0, q[1], 0, 0, 0));
    SHOW(splice(p[0], 0, q[1], 0, 10, 16));
    SHOW(splice(p[0], 0, q[1], 0, 10, 0));
    SHOW(splice(p[0], 0, p[1], 0, 10, 0));
    SHOW(splice(p[1], 0, q[1], 0, 10, 0));
    SHOW(splice(-1, 0, q[1], 0, 10, 0));
    SHOW(splice(file, 0, other, 0, 10, 0));
    in_at = 5;
    SHOW(splice(p[0], &in_at, q[1], 0, 10, 0));
    SHOW(splice(file, 0, q[1], &in_at, 10, 0));
    SHOW(splice(file, (void *)8, q[1], 0, 10, 0));
    in_at = -5;
    SHOW(splice(file, &in_at, q[1], 0, 10, 0));
    in_at = 5;
    SHOW(splice(file, &in_at, q[1], 0, SIZE_MAX, 0));
    lseek(file, 100, SEEK_SET);
    SHOW(splice(file, 0, p[1], 0, 5000, 0));
    SHOW(lseek(file, 0, SEEK_CUR));
    SHOW(in_pipe(p[0]));
    SHOW(splice(p[0], 0, q[1], 0, 3000, 0));
    SHOW(splice(p[0], 0, q[1], 0, 30000, 0));
    SHOW(splice(p[0], 0, q[1], 0, 30000, 0));
    SHOW(read(q[0], got, sizeof got));
    SHOW(right(got, 100, 5000));
    in_at = 4000;
    SHOW(splice(file, &in_at, p[1], 0, 1 << 20, 0));
    SHOW(in_at);
    SHOW(splice(file, &in_at, p[1], 0, 1 << 20, 0));
    SHOW(splice(file, &in_at, p[1], 0, 1 << 20, SPLICE_F_NONBLOCK));
    out_at = 10;
    SHOW(splice(p[0], 0, other, &out_at, 1000, 0));
    SHOW(out_at);
    SHOW(splice(p[0], 0, other, 0, 1 << 20, 0));
    SHOW(lseek(other, 0, SEEK_CUR));
    SHOW(pread(other, got, sizeof got, 0));
    SHOW(right(got, 5000, 60000));
    in_at = 200000;
    SHOW(splice(file, &in_at, p[1], 0, 10, 0));
    SHOW(fcntl(other, F_SETFL, O_APPEND));
    write(p[1], "x", 1);
    SHOW(splice(p[0], 0, other, 0, 10, 0));
    SHOW(fcntl(other, F_SETFL, 0));
    SHOW(ftruncate(other, 0));
    int zero = open("/dev/zero", O_RDWR), null = open("/dev/null", O_RDWR), event = eventfd(5, 0);
    SHOW(splice(zero, 0, q[1], 0, 5000, 0));
    SHOW(splice(q[0], 0, null, 0, 50000, 0));
    SHOW(splice(event, 0, q[1], 0, 8, 0));
    SHOW(splice(p[0], 0, event, 0, 8, 0));
    int dir = open(".", O_RDONLY);
    SHOW(splice(dir, 0, q[1], 0, 8, 0));
    // What came by splice is not added to.
    fresh();
    in_at = 0;
    SHOW(splice(file, &in_at, p[1], 0, 10, 0));
    SHOW(fill(p[1], 1));
    signal(SIGPIPE, on_pipe);
    close(q[0]);
    in_at = 0;
    SHOW(splice(file, &in_at, q[1], 0, 10, 0));
    SHOW(splice(p[0], 0, q[1], 0, 10, 0));
    q[0] = dup(0);
    fresh();
    close(p[1]);
    p[1] = dup(0);
    SHOW(splice(p[0], 0, q[1], 0, 10, 0));
    SHOW(splice(p[0], 0, other, 0, 10, 0));
    int s[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    fresh();
    write(p[1], "to a socket", 11);
    SHOW(splice(p[0], 0, s[0], 0, 100, 0));
    SHOW(splice(s[1], 0, q[1], 0, 100, 0));
    SHOW(read(q[0], got, 100));
    printf("%.11s\n", got);
    close(s[0]), close(s[1]), close(zero), close(null), close(event), close(dir);
}
static void tees(void) {
    fresh();
    SHOW(tee(p[0], q[1], 0, 0));
    SHOW(tee(p[0], q[1], 10, 0));
    SHOW(tee(p[0], p[1], 10, 0));
    SHOW(tee(p[0], other, 10, 0));
    SHOW(tee(p[0], q[1], 10, 99));
    write(p[1], "hello", 5);
    SHOW(tee(p[0], q[1], 3, 0));
    SHOW(tee(p[0], q[1], 100, 0));
    SHOW(read(q[0], got, 100));
    printf("%.8s\n", got);
    SHOW(read(p[0], got, 100));
    fill(p[1], 4096);
    SHOW(tee(p[0], q[1], 1 << 20, 0));
    SHOW(tee(p[0], q[1], 1 << 20, 0));
    SHOW(in_pipe(p[0]));
}
static void vmsplices(void) {
    fresh();
    struct iovec v[3] = {{big, 10}, {0, 0}, {big + 4096, 5000}};
    SHOW(vmsplice(p[1], v, 3, 0));
    SHOW(vmsplice(p[1], v, 0, 0));
    SHOW(vmsplice(p[1], v, 1025, 0));
    SHOW(vmsplice(p[1], v, 1, 64));
    SHOW(vmsplice(file, v, 1, 0));
    SHOW(vmsplice(p[1], (void *)8, 1, 0));
    struct iovec w[2] = {{got, 4}, {got + 4, 10000}};
    SHOW(vmsplice(p[0], w, 2, 0));
    SHOW(vmsplice(p[0], w, 2, SPLICE_F_NONBLOCK));
    v[0].iov_len = sizeof big;
    SHOW(vmsplice(p[1], v, 1, 0));
    SHOW(vmsplice(p[1], v, 1, SPLICE_F_NONBLOCK));
    SHOW(read(p[0], got, sizeof got));
    SHOW(right(got, 0, 65536));
    v[0].iov_base = (void *)4096;
    SHOW(vmsplice(p[1], v, 1, 0));
}
static void sendfiles(void) {
    fresh();
    ftruncate(other, 0), lseek(other, 0, SEEK_SET), lseek(file, 100, SEEK_SET);
    SHOW(sendfile(other, file, NULL, 1000));
    SHOW(lseek(file, 0, SEEK_CUR));
    SHOW(lseek(other, 0, SEEK_CUR));
    off = 50;
    SHOW(sendfile(other, file, &off, 1 << 20));
    SHOW(off);
    SHOW(pread(other, got, sizeof got, 1000));
    SHOW(right(got, 50, sizeof big - 50));
    SHOW(sendfile(other, file, &off, 10));
    SHOW(sendfile(other, file, NULL, 0));
    off = -1;
    SHOW(sendfile(other, file, &off, 10));
    SHOW(sendfile(other, file, (void *)8, 10));
    SHOW(sendfile(other, -1, NULL, 10));
    SHOW(sendfile(-1, file, NULL, 10));
    SHOW(sendfile(other, file, NULL, SIZE_MAX));
    SHOW(sendfile(other, p[0], NULL, 10));
    off = 0;
    SHOW(sendfile(other, p[0], &off, 10));
    SHOW(sendfile(p[1], file, &off, 1 << 20));
    SHOW(sendfile(p[1], file, &off, 1 << 20));
    SHOW(read(p[0], got, sizeof got));
    SHOW(right(got, 0, 65536));
    int readonly = open("/dev/null", O_RDONLY);
    SHOW(sendfile(readonly, file, &off, 10));
    int event = eventfd(0, 0);
    SHOW(sendfile(event, file, &off, 8));
    SHOW(fcntl(other, F_SETFL, O_APPEND));
    SHOW(sendfile(other, file, &off, 10));
    SHOW(fcntl(other, F_SETFL, 0));
    int s[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    off = 0;
    SHOW(sendfile(s[0], file, &off, 10000));
    SHOW(read(s[1], got, sizeof got));
    SHOW(right(got, 0, 10000));
    SHOW(sendfile(other, s[1], NULL, 10));
    int zero = open("/dev/zero", O_RDONLY);
    SHOW(sendfile(other, zero, NULL, 10));
    close(readonly), close(event), close(s[0]), close(s[1]), close(zero);
}
static void copies(void) {
    ftruncate(other, 0), lseek(other, 0, SEEK_SET), lseek(file, 0, SEEK_SET);
    SHOW(copy_file_range(file, 0, other, 0, 1000, 0));
    SHOW(lseek(file, 0, SEEK_CUR));
    SHOW(lseek(other, 0, SEEK_CUR));
    in_at = 200000, out_at = 5000;
    SHOW(copy_file_range(file, &in_at, other, &out_at, 1 << 20, 0));
    SHOW(in_at);
    SHOW(out_at);
    SHOW(copy_file_range(file, &in_at, other, &out_at, 1 << 20, 0));
    SHOW(copy_file_range(file, 0, other, 0, 10, 1));
    SHOW(copy_file_range(-1, 0, other, 0, 10, 0));
    SHOW(copy_file_range(p[0], 0, other, 0, 10, 0));
    int dir = open(".", O_RDONLY);
    SHOW(copy_file_range(dir, 0, other, 0, 10, 0));
    in_at = 0, out_at = 100;
    SHOW(copy_file_range(other, &in_at, other, &out_at, 200, 0));
    SHOW(copy_file_range(other, &in_at, other, &out_at, 100, 0));
    in_at = -1;
    SHOW(copy_file_range(file, &in_at, other, 0, 10, 0));
    in_at = -100;
    SHOW(copy_file_range(file, &in_at, other, 0, 10, 0));
    in_at = 0;
    SHOW(copy_file_range(file, &in_at, other, (void *)8, 10, 0));
    SHOW(copy_file_range(file, &in_at, other, 0, 0, 0));
    int readonly = open("other", O_RDONLY);
    SHOW(copy_file_range(file, &in_at, readonly, 0, 10, 0));
    close(dir), close(readonly);
}
static void *feed(void *fd) {
    for (int i = 0; i < 8; i++) poll(NULL, 0, 10), write(*(int *)fd, big + i * 1000, 1000);
    close(*(int *)fd);
    return NULL;
}
static void waiting(void) {
    fresh();
    fcntl(p[0], F_SETFL, 0), fcntl(p[1], F_SETFL, 0), fcntl(q[0], F_SETFL, 0), fcntl(q[1], F_SETFL, 0);
    pthread_t t;
    pthread_create(&t, NULL, feed, &p[1]);
    long total = 0, n;
    while ((n = splice(p[0], 0, q[1], 0, 65536, 0)) > 0) total += n;
    pthread_join(t, NULL);
    printf("%ld then %ld\n", total, n);
    SHOW(read(q[0], got, sizeof got));
    SHOW(right(got, 0, 8000));
    p[1] = dup(0);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof big; i++) big[i] = i * 31;
    file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600), other = open("other", O_RDWR | O_CREAT | O_TRUNC, 0600);
    write(file, big, sizeof big);
    splices(), tees(), vmsplices(), sendfiles(), copies(), waiting();
    return 0;
}
