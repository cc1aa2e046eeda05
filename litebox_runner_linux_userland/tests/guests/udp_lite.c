// UDP-Lite on the loopback device: its own ports, how much of a datagram the checksum covers, IPv6, options of both
// levels, what /proc tells. Not every Linux has UDP-Lite.
//@ host: /proc/net/udplite
#include "inet.h"

enum { SOL_LITE = 136, SEND_COVERAGE = 10, RECEIVE_COVERAGE = 11, UDP_CORK_ = 1 };

static int bound(int protocol, struct sockaddr_in *a, int port) {
    int s = socket(AF_INET, SOCK_DGRAM, protocol);
    *a = lo(port);
    if (bind(s, (void *)a, sizeof *a)) printf("bind: %s\n", strerror(errno));
    a->sin_port = htons(port_of(s));
    return s;
}
static void ends_of(const char *what, int s) {
    printf("%s: domain %d, type %d", what, option(s, SOL_SOCKET, SO_DOMAIN), option(s, SOL_SOCKET, SO_TYPE));
    printf(", protocol %d\n", option(s, SOL_SOCKET, SO_PROTOCOL));
}
static void transfers(void) {
    puts("transfers");
    struct sockaddr_in a, b, from;
    socklen_t len = sizeof from;
    int r = bound(IPPROTO_UDPLITE, &a, 0), s = bound(IPPROTO_UDPLITE, &b, 0);
    ends_of("socket", r);
    SHOW(sendto(s, "hello", 5, 0, (void *)&a, sizeof a));
    await(r, POLLIN);
    SHOW(recvfrom(r, buf, 99, 0, (void *)&from, &len));
    printf("from the sender: %d\n", from.sin_port == b.sin_port);
    SHOW(connect(s, (void *)&a, sizeof a));
    SHOW(send(s, buf, 65508, 0));
    SHOW(send(s, buf, 0, 0));
    await(r, POLLIN);
    SHOW(recv(r, buf, 9, 0));
    // UDP's ports are others, even of the same number.
    int udp = bound(IPPROTO_UDP, &from, ntohs(a.sin_port));
    SHOW(send(s, "x", 1, 0));
    await(r, POLLIN);
    SHOW(recv(udp, buf, 9, MSG_DONTWAIT));
    SHOW(recv(r, buf, 9, 0));
    // Nobody there.
    close(r);
    SHOW(send(s, "x", 1, 0));
    await(s, POLLERR);
    SHOW(send(s, "x", 1, 0));
    close(s), close(udp);
}
static void covers(void) {
    puts("coverage");
    struct sockaddr_in a, b;
    int r = bound(IPPROTO_UDPLITE, &a, 0), s = bound(IPPROTO_UDPLITE, &b, 0), udp = bound(IPPROTO_UDP, &b, 0);
    connect(s, (void *)&a, sizeof a);
    SHOW(option(s, SOL_LITE, SEND_COVERAGE));
    SHOW(option(s, SOL_LITE, RECEIVE_COVERAGE));
    for (int i = 0, values[] = {3, 20, 100000, 0, -1, 12}; i < 6; i++) {
        printf("%d: %d", values[i], set(s, SOL_LITE, SEND_COVERAGE, values[i]));
        printf(", %d\n", option(s, SOL_LITE, SEND_COVERAGE));
    }
    SHOW(set(udp, SOL_LITE, SEND_COVERAGE, 8));
    SHOW(set(udp, SOL_LITE, UDP_CORK_, 0));
    SHOW(set(s, IPPROTO_UDP, UDP_CORK_, 0));
    SHOW(set(s, IPPROTO_TCP, 1, 0));
    SHOW(set(s, SOL_LITE, 77, 0));
    // What the receiver wants to be covered: nothing said, exactly as much, more, all.
    for (int i = 0, wanted[] = {-1, 12, 13, 0}; i < 4; i++) {
        if (wanted[i] >= 0) printf("wants %d: %d\n", wanted[i], set(r, SOL_LITE, RECEIVE_COVERAGE, wanted[i]));
        set(s, SOL_LITE, SEND_COVERAGE, 12);
        SHOW(send(s, "partly covered", 14, 0));
        SHOW(send(s, "four", 4, 0));
        set(s, SOL_LITE, SEND_COVERAGE, 0);
        SHOW(send(s, "whole", 5, 0));
        for (int n; await(r, POLLIN), (n = recv(r, buf, 99, 0)) != 5;) printf("%.*s\n", n, buf);
    }
    close(r), close(s), close(udp);
}
static void six(void) {
    puts("IPv6");
    struct sockaddr_in6 a = lo6(0);
    int r = socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDPLITE), s = socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDPLITE);
    ends_of("socket", r);
    SHOW(bind(r, (void *)&a, sizeof a));
    a = lo6(port_of(r));
    SHOW(sendto(s, "six", 3, 0, (void *)&a, sizeof a));
    await(r, POLLIN);
    SHOW(recv(r, buf, 9, 0));
    FILE *f = fopen("/proc/net/udplite6", "r");
    int lines = 0, found = 0, port;
    while (f && fgets(buf, 999, f)) {
        if (lines++ && sscanf(buf, "%*d: %*32[0-9A-F]:%x", &port) == 1) found |= port == port_of(r);
    }
    printf("listed: %d\n", found);
    if (f) fclose(f);
    close(r), close(s);
}
int main(void) {
    SHOW(socket(AF_INET, SOCK_STREAM, IPPROTO_UDPLITE));
    transfers();
    covers();
    six();
    return 0;
}
