// UDP on the loopback device: errors of ports that nobody has, connected sockets, lengths, flags, what comes along,
// multicast, IPv6.
#include "inet.h"
#include <linux/errqueue.h>
#include <net/if.h>
#include <netinet/udp.h>

static struct sockaddr_in name_of(int s) {
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    getsockname(s, (void *)&a, &len);
    return a;
}
static int bound(struct sockaddr_in *a) {
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    *a = lo(0);
    bind(s, (void *)a, sizeof *a);
    *a = name_of(s);
    return s;
}

static void fresh(void) {
    puts("fresh");
    struct sockaddr_in a, zero = {0}, all = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {INADDR_BROADCAST}};
    socklen_t len = sizeof a;
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    show_events("fresh", s);
    SHOW(send(s, "x", 1, 0));
    SHOW(write(s, "x", 1));
    SHOW(shutdown(s, SHUT_WR));
    SHOW(getpeername(s, (void *)&a, &len));
    SHOW(listen(s, 1));
    SHOW(accept(s, 0, 0));
    SHOW(recv(s, buf, 9, MSG_DONTWAIT));
    SHOW(recv(s, buf, 9, MSG_ERRQUEUE));
    SHOW(send(s, "x", 1, MSG_OOB));
    a = lo(0);
    SHOW(sendto(s, "x", 1, 0, (void *)&a, sizeof a));
    SHOW(sendto(s, "x", 1, 0, (void *)&a, 7));
    a.sin_family = AF_INET6;
    SHOW(sendto(s, "x", 1, 0, (void *)&a, sizeof a));
    SHOW(sendto(s, "x", 1, 0, (void *)&all, sizeof all));
    SHOW(connect(s, (void *)&all, sizeof all));
    SHOW(connect(s, (void *)&zero, sizeof zero));
    a = name_of(s);
    printf("port %d\n", a.sin_port != 0);
    close(s);
}

static void dead_ports(void) {
    puts("ports that nobody has");
    struct sockaddr_in dead = lo(1);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    SHOW(sendto(s, "x", 1, 0, (void *)&dead, sizeof dead));
    SHOW(sendto(s, "x", 1, 0, (void *)&dead, sizeof dead));
    show_events("unconnected", s);
    SHOW(connect(s, (void *)&dead, sizeof dead));
    SHOW(send(s, "x", 1, 0));
    await(s, POLLERR);
    show_events("connected", s);
    SHOW(send(s, "x", 1, 0));
    SHOW(send(s, "x", 1, 0));
    await(s, POLLERR);
    SHOW(recv(s, buf, 9, MSG_DONTWAIT));
    SHOW(recv(s, buf, 9, MSG_DONTWAIT));
    close(s);

    puts("the queue of errors");
    s = socket(AF_INET, SOCK_DGRAM, 0);
    SHOW(set(s, IPPROTO_IP, IP_RECVERR, 1));
    SHOW(sendto(s, "what", 4, 0, (void *)&dead, sizeof dead));
    await(s, POLLERR);
    show_events("with an error", s);
    char control[512];
    struct sockaddr_in to;
    struct iovec v = {buf, 2};
    struct msghdr m = {&to, sizeof to, &v, 1, control, sizeof control, 0};
    SHOW(recvmsg(s, &m, MSG_ERRQUEUE));
    printf("flags %x, port %d\n", m.msg_flags, ntohs(to.sin_port));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        struct sock_extended_err *e = (void *)CMSG_DATA(c);
        struct sockaddr_in *by = (void *)SO_EE_OFFENDER(e);
        printf("%d/%d, %s, origin %d, type %d, code %d, info %d, by %s\n", c->cmsg_level, c->cmsg_type, strerror(e->ee_errno), e->ee_origin,
               e->ee_type, e->ee_code, e->ee_info, inet_ntoa(by->sin_addr));
    }
    printf("SO_ERROR %s\n", strerror(option(s, SOL_SOCKET, SO_ERROR)));
    show_events("without", s);
    close(s);
}

static void transfers(void) {
    puts("transfers");
    struct sockaddr_in a, from;
    int u = bound(&a), s = socket(AF_INET, SOCK_DGRAM, 0), n;
    socklen_t len = sizeof from;
    SHOW(connect(s, (void *)&a, sizeof a));
    SHOW(send(s, "", 0, 0));
    await(u, POLLIN);
    SHOW(recv(u, buf, 9, MSG_DONTWAIT));
    SHOW(send(s, "hello", 5, 0));
    await(u, POLLIN);
    SHOW(recv(u, buf, 2, MSG_PEEK));
    SHOW(recv(u, buf, 2, MSG_PEEK | MSG_TRUNC));
    struct iovec v = {buf, 2};
    struct msghdr m = {&from, sizeof from, &v, 1, 0, 0, 0};
    SHOW(recvmsg(u, &m, 0));
    printf("flags %x, from the sender: %d\n", m.msg_flags, from.sin_port == name_of(s).sin_port);
    SHOW(send(s, buf, 65507, 0));
    await(u, POLLIN);
    SHOW(recvfrom(u, buf, sizeof buf, 0, (void *)&from, &len));
    SHOW(send(s, buf, 65508, 0));
    SHOW(send(s, buf, 70000, 0));
    send(s, "abc", 3, 0);
    send(s, "d", 1, 0);
    await(u, POLLIN);
    ioctl(u, FIONREAD, &n);
    printf("%d bytes are first\n", n);
    SHOW(recv(u, buf, 9, 0));
    SHOW(recv(u, buf, 9, MSG_WAITALL));
    struct timeval soon = {0, 20000};
    setsockopt(u, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    SHOW(recv(u, buf, 9, 0));

    puts("put together");
    SHOW(send(s, "one ", 4, MSG_MORE));
    SHOW(send(s, "two ", 4, MSG_MORE));
    SHOW(recv(u, buf, 99, MSG_DONTWAIT));
    SHOW(send(s, "three", 5, 0));
    await(u, POLLIN);
    SHOW(recv(u, buf, 99, 0));
    printf("'%.13s'\n", buf);
    SHOW(set(s, IPPROTO_UDP, UDP_CORK, 1));
    SHOW(send(s, "four ", 5, 0));
    SHOW(recv(u, buf, 99, MSG_DONTWAIT));
    SHOW(set(s, IPPROTO_UDP, UDP_CORK, 0));
    await(u, POLLIN);
    SHOW(recv(u, buf, 99, 0));

    puts("taken apart");
    SHOW(set(s, IPPROTO_UDP, UDP_SEGMENT, 4));
    SHOW(send(s, "aaaabbbbcc", 10, 0));
    await(u, POLLIN);
    SHOW(recv(u, buf, 99, 0));
    SHOW(recv(u, buf, 99, 0));
    SHOW(recv(u, buf, 99, 0));
    SHOW(set(s, IPPROTO_UDP, UDP_SEGMENT, 0));

    puts("strangers");
    int other = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in us = name_of(s), none = {0};
    SHOW(sendto(other, "x", 1, 0, (void *)&us, sizeof us));
    SHOW(recv(s, buf, 9, MSG_DONTWAIT));
    SHOW(sendto(u, "y", 1, 0, (void *)&us, sizeof us));
    await(s, POLLIN);
    SHOW(recv(s, buf, 9, MSG_DONTWAIT));
    SHOW(connect(s, (void *)&none, sizeof none));
    len = sizeof from;
    SHOW(getpeername(s, (void *)&from, &len));
    SHOW(send(s, "x", 1, 0));

    puts("shutdown");
    connect(s, (void *)&a, sizeof a);
    SHOW(shutdown(s, SHUT_WR));
    SHOW(send(s, "x", 1, 0));
    show_events("cannot send", s);
    SHOW(shutdown(s, SHUT_RD));
    show_events("cannot do anything", s);
    SHOW(recv(s, buf, 9, 0));
    close(other);
    close(s);
    close(u);
}

static void show_control(struct msghdr *m) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        printf("  %d/%d, %d bytes:", c->cmsg_level, c->cmsg_type, (int)(c->cmsg_len - CMSG_LEN(0)));
        int stamp = c->cmsg_level == SOL_SOCKET;
        for (int i = 0; !stamp && i < (int)(c->cmsg_len - CMSG_LEN(0)); i++) printf(" %02x", CMSG_DATA(c)[i]);
        puts(stamp ? " time" : "");
    }
}
static void along(void) {
    puts("what comes along");
    struct sockaddr_in a;
    int u = bound(&a), s = socket(AF_INET, SOCK_DGRAM, 0);
    SHOW(set(u, IPPROTO_IP, IP_PKTINFO, 1));
    SHOW(set(u, IPPROTO_IP, IP_RECVTTL, 1));
    SHOW(set(u, IPPROTO_IP, IP_RECVTOS, 1));
    SHOW(set(u, SOL_SOCKET, SO_TIMESTAMP, 1));
    SHOW(set(s, IPPROTO_IP, IP_TTL, 5));
    SHOW(set(s, IPPROTO_IP, IP_TOS, 0x10));
    char control[256];
    struct iovec v = {buf, 9};
    struct msghdr m = {0, 0, &v, 1, control, sizeof control, 0};
    sendto(s, "x", 1, 0, (void *)&a, sizeof a);
    await(u, POLLIN);
    SHOW(recvmsg(u, &m, 0));
    show_control(&m);
    // The sender says it of one packet alone.
    struct { struct cmsghdr h; int ttl; char pad[CMSG_SPACE(4) - CMSG_LEN(4)]; } one = {{CMSG_LEN(4), IPPROTO_IP, IP_TTL}, 77, {}};
    v.iov_len = 1;
    struct msghdr out = {&a, sizeof a, &v, 1, &one, sizeof one, 0};
    SHOW(sendmsg(s, &out, 0));
    await(u, POLLIN);
    m.msg_controllen = sizeof control;
    SHOW(set(u, SOL_SOCKET, SO_TIMESTAMP, 0));
    SHOW(recvmsg(u, &m, 0));
    show_control(&m);
    one.ttl = 256;
    SHOW(sendmsg(s, &out, 0));
    one.h.cmsg_type = 99;
    SHOW(sendmsg(s, &out, 0));
    struct { struct cmsghdr h; struct in_pktinfo i; } from = {{CMSG_LEN(12), IPPROTO_IP, IP_PKTINFO}, {0, {htonl(0x7f000009)}, {0}}};
    struct sockaddr_in sender;
    out.msg_control = &from;
    out.msg_controllen = sizeof from;
    SHOW(sendmsg(s, &out, 0));
    await(u, POLLIN);
    SHOW(recvfrom(u, buf, 9, 0, (void *)&sender, &(socklen_t){sizeof sender}));
    printf("from %s\n", inet_ntoa(sender.sin_addr));
    from.i.ipi_spec_dst.s_addr = htonl(0x08080808);
    SHOW(sendmsg(s, &out, 0));
    puts("many at once");
    struct mmsghdr many[3] = {0};
    struct iovec parts[3] = {{"a", 1}, {"bc", 2}, {"def", 3}};
    for (int i = 0; i < 3; i++) many[i].msg_hdr = (struct msghdr){&a, sizeof a, &parts[i], 1, 0, 0, 0};
    SHOW(sendmmsg(s, many, 3, 0));
    await(u, POLLIN);
    char room[3][9];
    for (int i = 0; i < 3; i++) parts[i] = (struct iovec){room[i], 9}, many[i].msg_hdr = (struct msghdr){0, 0, &parts[i], 1, 0, 0, 0};
    SHOW(recvmmsg(u, many, 3, MSG_DONTWAIT, 0));
    printf("%d %d %d\n", many[0].msg_len, many[1].msg_len, many[2].msg_len);
    close(s);
    close(u);
}

static void ports(void) {
    puts("ports");
    struct sockaddr_in a;
    int u = bound(&a), s = socket(AF_INET, SOCK_DGRAM, 0);
    SHOW(bind(s, (void *)&a, sizeof a));
    SHOW(bind(u, (void *)&a, sizeof a));
    set(s, SOL_SOCKET, SO_REUSEADDR, 1);
    SHOW(bind(s, (void *)&a, sizeof a));
    set(u, SOL_SOCKET, SO_REUSEADDR, 1);
    SHOW(bind(s, (void *)&a, sizeof a));
    close(u);
    close(s);
    u = socket(AF_INET, SOCK_DGRAM, 0);
    a = lo(0);
    a.sin_addr.s_addr = htonl(0x08080808);
    SHOW(bind(u, (void *)&a, sizeof a));
    close(u);
}

static void groups(void) {
    puts("groups");
    struct sockaddr_in group = {.sin_family = AF_INET, .sin_addr = {htonl(0xef010203)}};
    int u = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET};
    SHOW(bind(u, (void *)&any, sizeof any));
    group.sin_port = name_of(u).sin_port;
    struct ip_mreqn lo_group = {{htonl(0xef010203)}, {htonl(INADDR_LOOPBACK)}, 0}, not = {{htonl(INADDR_LOOPBACK)}, {0}, 0};
    SHOW(setsockopt(u, IPPROTO_IP, IP_ADD_MEMBERSHIP, &not, sizeof not));
    SHOW(setsockopt(u, IPPROTO_IP, IP_ADD_MEMBERSHIP, &lo_group, sizeof lo_group));
    SHOW(setsockopt(u, IPPROTO_IP, IP_ADD_MEMBERSHIP, &lo_group, sizeof lo_group));
    struct in_addr by = {htonl(INADDR_LOOPBACK)};
    SHOW(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by));
    SHOW(sendto(s, "all", 3, 0, (void *)&group, sizeof group));
    await(u, POLLIN);
    SHOW(recv(u, buf, 9, MSG_DONTWAIT));
    SHOW(set(s, IPPROTO_IP, IP_MULTICAST_LOOP, 0));
    SHOW(sendto(s, "all", 3, 0, (void *)&group, sizeof group));
    SHOW(recv(u, buf, 9, MSG_DONTWAIT));
    SHOW(setsockopt(u, IPPROTO_IP, IP_DROP_MEMBERSHIP, &lo_group, sizeof lo_group));
    SHOW(setsockopt(u, IPPROTO_IP, IP_DROP_MEMBERSHIP, &lo_group, sizeof lo_group));
    close(u);
    close(s);
}

static void six(void) {
    puts("IPv6");
    char text[64];
    int u = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6}, from;
    socklen_t len = sizeof from;
    bind(u, (void *)&any, sizeof any);
    int port = port_of(u), s = socket(AF_INET, SOCK_DGRAM, 0);
    SHOW(set(u, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1));
    SHOW(set(u, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1));
    SHOW(set(u, IPPROTO_IPV6, IPV6_RECVTCLASS, 1));
    struct sockaddr_in four = lo(port);
    SHOW(sendto(s, "4", 1, 0, (void *)&four, sizeof four));
    await(u, POLLIN);
    SHOW(recvfrom(u, buf, 9, 0, (void *)&from, &len));
    puts(inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof text));
    close(s);
    s = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 six = lo6(port);
    SHOW(sendto(s, "6", 1, 0, (void *)&six, sizeof six));
    await(u, POLLIN);
    char control[256];
    struct iovec v = {buf, 9};
    struct msghdr m = {&from, sizeof from, &v, 1, control, sizeof control, 0};
    SHOW(recvmsg(u, &m, 0));
    puts(inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof text));
    show_control(&m);
    SHOW(send(s, "x", 1, 0));
    SHOW(sendto(s, "4", 1, 0, (void *)&four, sizeof four));
    four.sin_family = 99;
    SHOW(sendto(s, "4", 1, 0, (void *)&four, sizeof four));
    close(s);
    close(u);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, 0, _IOLBF, 0);
    fresh();
    dead_ports();
    transfers();
    along();
    ports();
    groups();
    six();
}
