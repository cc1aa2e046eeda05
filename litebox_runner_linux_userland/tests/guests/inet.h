// What the guests about IPv4 and IPv6 share: addresses on the loopback device, pairs of connected sockets, readiness by
// name.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)

static char buf[1 << 20];

static struct sockaddr_in lo(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    return a;
}
static struct sockaddr_in6 lo6(int port) {
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    return a;
}
static int events(int fd) {
    struct pollfd f = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0};
    poll(&f, 1, 0);
    return f.revents;
}
static void show_events(const char *what, int fd) {
    int r = events(fd);
    printf("%s:%s%s%s%s%s%s\n", what, r & POLLIN ? " IN" : "", r & POLLPRI ? " PRI" : "", r & POLLOUT ? " OUT" : "",
           r & POLLRDHUP ? " RDHUP" : "", r & POLLHUP ? " HUP" : "", r & POLLERR ? " ERR" : "");
}
// Waits until one of these events is there.
static void await(int fd, short wanted) {
    struct pollfd f = {fd, wanted, 0};
    if (poll(&f, 1, 20000) != 1) printf("nothing of %x comes\n", wanted);
}
// Waits until so many bytes (of a datagram socket: of the first datagram) can be read.
static void await_bytes(int fd, int wanted) {
    for (int n = -1, i = 0; i < 20000; i++) {
        if (!ioctl(fd, FIONREAD, &n) && n >= wanted) return;
        usleep(1000);
    }
    printf("no %d bytes come\n", wanted);
}
static int option(int fd, int level, int name) {
    int n = -1;
    socklen_t len = sizeof n;
    return getsockopt(fd, level, name, &n, &len) ? -errno : n;
}
static int set(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) ? -errno : 0;
}
static int port_of(int fd) {
    struct sockaddr_in6 a;
    socklen_t len = sizeof a;
    return getsockname(fd, (void *)&a, &len) ? -errno : ntohs(a.sin6_port);
}
