//@ flags: -pthread
//@ timeout: 30
// A long write whose reader leaves half way: how much was written is told, and SIGPIPE comes with the next one, but of
// a pipe at once. Who writes to a TCP peer that is gone learns it before much is taken.
#define _GNU_SOURCE
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "result.h"
#include "asleep.h"

#define LONG (64 << 20)
static char *much;
static volatile int broken, reader, writer;
static void pipe_broke(int signal) { broken++; }

static void *leave(void *unused)
{
    char some[1000];
    wait_asleep(writer, writer);
    read(reader, some, sizeof some);
    wait_asleep(writer, writer);
    close(reader);
    return unused;
}
// Writes until the reader, who takes a little, has gone.
static void half_way(const char *what, int to, int from, long (*puts_)(int, const char *, size_t))
{
    pthread_t thread;
    broken = 0;
    reader = from;
    pthread_create(&thread, 0, leave, 0);
    long n = puts_(to, much, LONG);
    pthread_join(thread, 0);
    printf("%s: %s, SIGPIPE %d", what, n > 0 && n < LONG ? "a part" : result(n), broken);
    n = puts_(to, much, 1);
    printf(", then %s, SIGPIPE %d\n", n < 0 ? "an error" : "written", broken > 0);
    close(to);
}
static long by_write(int fd, const char *from, size_t len) { return write(fd, from, len); }
static long by_send(int fd, const char *from, size_t len) { return send(fd, from, len, 0); }
static long by_writev(int fd, const char *from, size_t len)
{
    struct iovec parts[2] = {{(char *)from, len / 2}, {(char *)from + len / 2, len - len / 2}};
    return writev(fd, parts, 2);
}
static void tcp(int pair[2])
{
    int server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof here;
    bind(server, (void *)&here, sizeof here);
    getsockname(server, (void *)&here, &len);
    listen(server, 1);
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    connect(pair[0], (void *)&here, sizeof here);
    pair[1] = accept(server, 0, 0);
    close(server);
}
int main(void)
{
    int pair[2];
    much = calloc(1, LONG);
    writer = getpid();
    signal(SIGPIPE, pipe_broke);
    pipe(pair);
    half_way("a pipe", pair[1], pair[0], by_write);
    pipe(pair);
    half_way("a pipe, writev", pair[1], pair[0], by_writev);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    half_way("a local socket", pair[0], pair[1], by_write);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    half_way("a local socket, send", pair[0], pair[1], by_send);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    half_way("a local socket, writev", pair[0], pair[1], by_writev);
    tcp(pair);
    half_way("TCP", pair[0], pair[1], by_write);
    tcp(pair);
    half_way("TCP, send", pair[0], pair[1], by_send);

    tcp(pair);
    close(pair[1]);
    broken = 0;
    long n = write(pair[0], much, LONG);
    printf("a peer that is gone: %s, SIGPIPE %d\n", n > 0 && n < LONG ? "a part" : result(n), broken);
    n = write(pair[0], much, 1);
    printf("once more: %s, SIGPIPE %d\n", n < 0 ? "an error" : "written", broken > 0);
    return 0;
}
