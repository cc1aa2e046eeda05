// eventfd: counting, semaphores, overflow, errors, readiness.
//@ flags: -pthread
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)

static int fd;
static uint64_t n;

static int events(void) {
    struct pollfd f = {fd, POLLIN | POLLOUT, 0};
    poll(&f, 1, 0);
    return f.revents;
}
static long add(uint64_t by) { return write(fd, &by, 8); }
static long take(void) {
    long r = read(fd, &n, 8);
    if (r == 8) printf("took %lx\n", (long)n);
    return r;
}
static void *add_later(void *by) {
    poll(NULL, 0, 50);
    add(*(uint64_t *)by);
    return NULL;
}
static void *take_later(void *unused) {
    poll(NULL, 0, 50);
    uint64_t got;
    read(fd, &got, 8);
    return NULL;
}

int main(void) {
    SHOW(syscall(SYS_eventfd2, 0, 2));
    fd = syscall(SYS_eventfd, 7);
    SHOW(fcntl(fd, F_GETFL));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(take());
    close(fd);
    fd = eventfd(0xffffffff, EFD_CLOEXEC | EFD_NONBLOCK);
    SHOW(fcntl(fd, F_GETFL));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(events());
    SHOW(take());
    SHOW(events());
    SHOW(take());
    SHOW(read(fd, &n, 7));
    SHOW(read(fd, &n, 0));
    SHOW(write(fd, &n, 7));
    SHOW(write(fd, &n, 0));
    SHOW(read(fd, (void *)8, 8));
    SHOW(write(fd, (void *)8, 8));
    SHOW(add(UINT64_MAX));
    SHOW(add(0));
    SHOW(events());
    SHOW(add(UINT64_MAX - 2));
    SHOW(events());
    SHOW(add(1));
    SHOW(events());
    SHOW(add(0));
    SHOW(add(1));
    SHOW(add(5));
    SHOW(take());
    uint64_t many[4] = {1, 2, 3, 4};
    SHOW(write(fd, many, sizeof many));
    SHOW(take());
    struct iovec v[2] = {{many, 16}, {many + 2, 16}};
    SHOW(writev(fd, v, 1));
    SHOW(take());
    v[0].iov_len = v[1].iov_len = 8;
    SHOW(writev(fd, v, 2));
    SHOW(take());
    v[1].iov_len = 7;
    SHOW(writev(fd, v, 2));
    SHOW(take());
    SHOW(fchmod(fd, 0600));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(lseek(fd, 5, SEEK_CUR));
    SHOW(ftruncate(fd, 0));
    SHOW(fsync(fd));
    SHOW(pread(fd, many, 8, 0));
    struct stat st;
    SHOW(fstat(fd, &st));
    printf("%o %ld\n", st.st_mode, (long)st.st_size);
    char path[64], link[64] = {0};
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    SHOW(readlink(path, link, sizeof link - 1));
    puts(link);
    SHOW(open(path, O_RDONLY));

    int e = epoll_create1(0);
    struct epoll_event ev = {EPOLLIN | EPOLLET, {.u32 = 7}}, out[4];
    SHOW(epoll_ctl(e, EPOLL_CTL_ADD, fd, &ev));
    SHOW(epoll_wait(e, out, 4, 0));
    SHOW(add(1));
    SHOW(epoll_wait(e, out, 4, 0));
    SHOW(epoll_wait(e, out, 4, 0));
    SHOW(add(1));
    SHOW(epoll_wait(e, out, 4, 0));
    SHOW(take());
    close(fd);

    fd = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
    SHOW(take());
    SHOW(take());
    SHOW(take());
    SHOW(take());
    close(fd);

    fd = eventfd(0, 0);
    pthread_t t;
    uint64_t by = 5;
    pthread_create(&t, NULL, add_later, &by);
    SHOW(take());
    pthread_join(t, NULL);
    add(UINT64_MAX - 1);
    pthread_create(&t, NULL, take_later, NULL);
    SHOW(add(10));
    pthread_join(t, NULL);
    SHOW(take());
    return 0;
}
