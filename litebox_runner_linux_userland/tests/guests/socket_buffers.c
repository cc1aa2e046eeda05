// How much waits at sockets: Linux charges the memory that messages take, not their bytes. What exactly that is differs
// between versions; it is printed where they agree, else as a range.
#include "inet.h"
#include <linux/sockios.h>

static const char *within(long n, long low, long high) {
    static char other[40];
    if (n >= low && n <= high) return "as expected";
    snprintf(other, sizeof other, "%ld", n);
    return other;
}
static int charged(int fd) {
    int n = -1;
    ioctl(fd, SIOCOUTQ, &n);
    return n;
}
// Sends messages of this length until there is no room.
static int fill(int fd, size_t len) {
    int n = 0;
    while (send(fd, buf, len, MSG_DONTWAIT) == (ssize_t)len) n++;
    return n;
}
static void small(const char *name, int kind) {
    int p[2], n = 0;
    socketpair(AF_UNIX, kind, 0, p);
    printf("%s: one byte costs %s", name, (send(p[0], "x", 1, 0), within(charged(p[0]), 600, 1100)));
    int sent = fill(p[0], 1) + 1;
    printf(", of them fit %s", within(sent, 190, 360));
    printf(", all cost %s\n", within(charged(p[0]), 212992, 214500));
    SHOW(send(p[0], "x", 1, MSG_DONTWAIT));
    while (!(events(p[0]) & POLLOUT) && recv(p[1], buf, 1, MSG_DONTWAIT) == 1) n++;
    printf("writable when %s of four are read\n", within(n * 100L / sent, 74, 77));
    while (recv(p[1], buf, 1, MSG_DONTWAIT) == 1) {}
    printf("then it costs %d\n", charged(p[0]));
    SHOW(set(p[0], SOL_SOCKET, SO_SNDBUF, 8192));
    printf("of a small buffer fit %s\n", within(fill(p[0], 1), 15, 28));
    close(p[0]), close(p[1]);
}
static void large(const char *name, int kind) {
    int p[2];
    socketpair(AF_UNIX, kind, 0, p);
    printf("%s: of 10,000 bytes fit %s\n", name, within(fill(p[0], 10000), 12, 17));
    for (; recv(p[1], buf, 10000, MSG_DONTWAIT) > 0;) {}
    printf("it costs %d\n", charged(p[0]));
    ssize_t n = send(p[0], buf, sizeof buf, MSG_DONTWAIT);
    if (kind == SOCK_STREAM) printf("of a million bytes go %s\n", within(n, 200000, 245000));
    else printf("of a million bytes go %zd, %s\n", n, strerror(errno));
    close(p[0]), close(p[1]);
}
// A part of what was sent in one call was read: all of it is still charged.
static void partly(void) {
    puts("partly read");
    int p[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    send(p[0], buf, 3000, 0);
    int all = charged(p[0]);
    SHOW(recv(p[1], buf, 2999, 0));
    printf("the same: %d\n", charged(p[0]) == all);
    SHOW(recv(p[1], buf, 1, 0));
    SHOW(charged(p[0]));
    send(p[0], buf, 10, 0), send(p[0], buf, 10, 0);
    all = charged(p[0]);
    SHOW(recv(p[1], buf, 15, 0));
    printf("half: %d\n", charged(p[0]) * 2 == all);
    SHOW(recv(p[1], buf, 15, 0));
    SHOW(charged(p[0]));
    close(p[0]), close(p[1]);
}
static void longest(int kind) {
    int p[2];
    socketpair(AF_UNIX, kind, 0, p);
    SHOW(set(p[0], SOL_SOCKET, SO_SNDBUF, 10000));
    SHOW(send(p[0], buf, 20000 - 32, MSG_DONTWAIT));
    SHOW(send(p[0], buf, 20000 - 31, MSG_DONTWAIT));
    close(p[0]), close(p[1]);
}
static void udp(int rcvbuf, size_t len, int low, int high) {
    struct sockaddr_in a = lo(0);
    int r = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0), sent = 0, kept = 0;
    bind(r, (void *)&a, sizeof a);
    a.sin_port = htons(port_of(r));
    connect(s, (void *)&a, sizeof a);
    set(r, SOL_SOCKET, SO_RCVBUF, rcvbuf);
    unsigned memory[9] = {0};
    socklen_t size = sizeof memory;
    // Nothing tells the sender what is lost.
    for (int i = 0; i < 400; i++) sent += send(s, buf, len, MSG_DONTWAIT) == (ssize_t)len;
    SHOW(getsockopt(r, SOL_SOCKET, SO_MEMINFO, memory, &size));
    printf("%u of %u: %s\n", size, memory[1], within(memory[0], len, len < 1000 ? memory[1] : memory[1] + len + 2000));
    while (recv(r, buf, sizeof buf, MSG_DONTWAIT) == (ssize_t)len) kept++;
    getsockopt(r, SOL_SOCKET, SO_MEMINFO, memory, &size);
    printf("then %u\n", memory[0]);
    printf("udp %d, %zu: %d sent, kept %s\n", rcvbuf, len, sent, within(kept, low, high));
    close(r), close(s);
}
int main(void) {
    small("stream", SOCK_STREAM);
    small("datagram", SOCK_DGRAM);
    small("seqpacket", SOCK_SEQPACKET);
    large("stream", SOCK_STREAM);
    large("datagram", SOCK_DGRAM);
    large("seqpacket", SOCK_SEQPACKET);
    partly();
    longest(SOCK_DGRAM);
    longest(SOCK_SEQPACKET);
    udp(106496, 1, 220, 290);
    udp(106496, 1000, 85, 110);
    udp(106496, 8000, 12, 14);
    udp(8192, 1, 16, 24);
    udp(8192, 1000, 6, 9);
    udp(8192, 30000, 1, 1);
    return 0;
}
