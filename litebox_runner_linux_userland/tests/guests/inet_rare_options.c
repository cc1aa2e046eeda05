// Options of IPv4 and IPv6 that few programs set: a socket of IPv6 that becomes one of IPv4 (IPV6_ADDRFORM), multicast
// groups of TCP sockets, headers that go along with packets.
#include "inet.h"

static struct sockaddr_in6 mapped(int port) {
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &a.sin6_addr);
    return a;
}
static void show_name(const char *what, int fd, int peer) {
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof a;
    char text[64] = "";
    if (peer ? getpeername(fd, (void *)&a, &len) : getsockname(fd, (void *)&a, &len)) {
        printf("%s: %s\n", what, strerror(errno));
        return;
    }
    const void *ip = a.ss_family == AF_INET ? (void *)&((struct sockaddr_in *)&a)->sin_addr : (void *)&((struct sockaddr_in6 *)&a)->sin6_addr;
    printf("%s: family %d, length %d, %s\n", what, a.ss_family, (int)len, inet_ntop(a.ss_family, ip, text, sizeof text));
}
static void show_form(int fd) {
    show_name("own", fd, 0);
    show_name("peer", fd, 1);
    SHOW(option(fd, SOL_SOCKET, SO_DOMAIN));
    SHOW(option(fd, IPPROTO_IPV6, IPV6_V6ONLY));
    SHOW(option(fd, IPPROTO_IPV6, IPV6_ADDRFORM));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 3));
    SHOW(option(fd, IPPROTO_IP, IP_TTL));
}
static int listener6(struct sockaddr_in6 *a) {
    int l = socket(AF_INET6, SOCK_STREAM, 0);
    socklen_t len = sizeof *a;
    *a = (struct sockaddr_in6){.sin6_family = AF_INET6};
    bind(l, (void *)a, len);
    listen(l, 8);
    getsockname(l, (void *)a, &len);
    return l;
}

static void stream_form(void) {
    puts("a stream of IPv6 becomes one of IPv4");
    struct sockaddr_in6 any;
    int l = listener6(&any), port = ntohs(any.sin6_port);
    SHOW(set(l, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET));
    int c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = lo(port);
    connect(c, (void *)&to, sizeof to);
    int s = accept(l, 0, 0);
    show_form(s);
    SHOW(set(s, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET6));
    SHOW(set(s, IPPROTO_IPV6, IPV6_ADDRFORM, 77));
    SHOW(setsockopt(s, IPPROTO_IPV6, IPV6_ADDRFORM, "\2\0", 2));
    SHOW(set(c, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET));
    SHOW(set(s, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET));
    show_form(s);
    SHOW(set(s, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET));
    SHOW(write(s, "abc", 3));
    SHOW(read(c, buf, 9));
    SHOW(write(c, "defg", 4));
    SHOW(read(s, buf, 9));
    // It is bound and listens anew, as one of IPv4.
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    SHOW(connect(s, &none, sizeof none));
    SHOW(read(c, buf, 9));
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    SHOW(bind(s, (void *)&six, sizeof six));
    struct sockaddr_in four = {.sin_family = AF_INET};
    socklen_t len = sizeof four;
    SHOW(bind(s, (void *)&four, sizeof four));
    SHOW(listen(s, 5));
    show_name("listener", s, 0);
    getsockname(s, (void *)&four, &len);
    to = lo(ntohs(four.sin_port));
    int c2 = socket(AF_INET, SOCK_STREAM, 0), c6 = socket(AF_INET6, SOCK_STREAM, 0);
    SHOW(connect(c2, (void *)&to, sizeof to));
    int s2 = accept(s, 0, 0);
    show_name("accepted", s2, 1);
    six = lo6(ntohs(four.sin_port));
    SHOW(connect(c6, (void *)&six, sizeof six));
    close(c6), close(c2), close(s2), close(c), close(s);

    puts("a client, bound to all addresses before");
    c = socket(AF_INET6, SOCK_STREAM, 0);
    SHOW(set(c, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET));
    SHOW(option(c, IPPROTO_IPV6, IPV6_ADDRFORM));
    six = (struct sockaddr_in6){.sin6_family = AF_INET6};
    bind(c, (void *)&six, sizeof six);
    six = mapped(port);
    SHOW(connect(c, (void *)&six, sizeof six));
    s = accept(l, 0, 0);
    SHOW(set(c, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET));
    show_form(c);
    SHOW(connect(c, &none, sizeof none));
    show_name("apart", c, 0);
    SHOW(listen(c, 1));
    close(c), close(s);

    puts("of IPv6 itself");
    c = socket(AF_INET6, SOCK_STREAM, 0);
    six = lo6(port);
    SHOW(connect(c, (void *)&six, sizeof six));
    s = accept(l, 0, 0);
    SHOW(set(c, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET));
    shutdown(s, SHUT_WR);
    await(c, POLLRDHUP);
    SHOW(set(c, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET));
    close(c), close(s), close(l);
}

static void datagram_form(void) {
    puts("a datagram socket of IPv6 becomes one of IPv4");
    int receiver = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in a = lo(0);
    bind(receiver, (void *)&a, sizeof a);
    int port = port_of(receiver);
    SHOW(set(s, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET));
    struct sockaddr_in6 six = lo6(port);
    SHOW(connect(s, (void *)&six, sizeof six));
    SHOW(set(s, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET));
    SHOW(send(s, "kept", 4, MSG_MORE));
    SHOW(set(s, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET));
    close(s);
    s = socket(AF_INET6, SOCK_DGRAM, 0);
    six = mapped(port);
    SHOW(connect(s, (void *)&six, sizeof six));
    SHOW(set(s, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET));
    show_form(s);
    SHOW(write(s, "abc", 3));
    socklen_t len = sizeof a;
    SHOW(recvfrom(receiver, buf, 9, 0, (void *)&a, &len));
    SHOW(sendto(s, "x", 1, 0, (void *)&six, sizeof six));
    a = lo(port);
    SHOW(sendto(s, "x", 1, 0, (void *)&a, sizeof a));
    close(s), close(receiver);
}

static int group(int fd, int level, int option, const char *address, int device) {
    struct group_req request = {.gr_interface = device};
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    if (level == IPPROTO_IP) {
        inet_pton(AF_INET, address, &four.sin_addr);
        memcpy(&request.gr_group, &four, sizeof four);
    } else {
        inet_pton(AF_INET6, address, &six.sin6_addr);
        memcpy(&request.gr_group, &six, sizeof six);
    }
    return setsockopt(fd, level, option, &request, sizeof request) ? -errno : 0;
}
static void foreign_groups(void) {
    puts("groups of another family");
    int s = socket(AF_INET, SOCK_DGRAM, 0), six = socket(AF_INET6, SOCK_DGRAM, 0);
    struct group_req request = {.gr_interface = 1};
    SHOW(setsockopt(s, IPPROTO_IP, MCAST_JOIN_GROUP, &request, sizeof request));
    SHOW(setsockopt(six, IPPROTO_IPV6, MCAST_JOIN_GROUP, &request, sizeof request));
    request.gr_group.ss_family = AF_INET6;
    SHOW(setsockopt(s, IPPROTO_IP, MCAST_JOIN_GROUP, &request, sizeof request));
    SHOW(setsockopt(six, IPPROTO_IPV6, MCAST_JOIN_GROUP, &request, sizeof request));
    request.gr_group.ss_family = AF_INET;
    SHOW(setsockopt(six, IPPROTO_IPV6, MCAST_JOIN_GROUP, &request, sizeof request));
    SHOW(setsockopt(six, IPPROTO_IPV6, MCAST_JOIN_GROUP, &request, sizeof request - 1));
    SHOW(setsockopt(s, IPPROTO_IP, MCAST_LEAVE_GROUP, &request, sizeof request - 1));
    close(s), close(six);
}
static void stream_groups(void) {
    puts("groups of streams");
    int s = socket(AF_INET, SOCK_STREAM, 0), six = socket(AF_INET6, SOCK_STREAM, 0);
    struct ip_mreqn old = {.imr_multiaddr = {htonl(0xe0000001)}, .imr_ifindex = 1};
    struct ipv6_mreq old6 = {.ipv6mr_interface = 1};
    inet_pton(AF_INET6, "ff02::1:77", &old6.ipv6mr_multiaddr);
    SHOW(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &old, sizeof old));
    SHOW(setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, &old, sizeof old));
    SHOW(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &old, 2));
    SHOW(setsockopt(six, IPPROTO_IPV6, IPV6_JOIN_GROUP, &old6, sizeof old6));
    SHOW(setsockopt(six, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &old6, sizeof old6));
    SHOW(setsockopt(six, IPPROTO_IPV6, IPV6_JOIN_GROUP, &old6, 2));
    SHOW(group(s, IPPROTO_IP, MCAST_LEAVE_GROUP, "224.0.0.77", 1));
    SHOW(group(s, IPPROTO_IP, MCAST_JOIN_GROUP, "224.0.0.77", 1));
    SHOW(group(s, IPPROTO_IP, MCAST_JOIN_GROUP, "224.0.0.77", 1));
    SHOW(group(s, IPPROTO_IP, MCAST_JOIN_GROUP, "10.0.0.77", 1));
    SHOW(group(s, IPPROTO_IP, MCAST_JOIN_GROUP, "224.0.0.78", 4711));
    SHOW(group(six, IPPROTO_IPV6, MCAST_JOIN_GROUP, "ff02::1:77", 1));
    SHOW(group(six, IPPROTO_IPV6, MCAST_JOIN_GROUP, "ff02::1:77", 1));
    SHOW(group(six, IPPROTO_IPV6, MCAST_LEAVE_GROUP, "ff02::1:77", 1));
    SHOW(group(six, IPPROTO_IPV6, MCAST_LEAVE_GROUP, "ff02::1:77", 1));

    // Those that are accepted are in none.
    struct sockaddr_in a = lo(0);
    socklen_t len = sizeof a;
    bind(s, (void *)&a, len);
    listen(s, 1);
    getsockname(s, (void *)&a, &len);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    connect(c, (void *)&a, len);
    int accepted = accept(s, 0, 0);
    SHOW(group(accepted, IPPROTO_IP, MCAST_LEAVE_GROUP, "224.0.0.77", 1));
    SHOW(group(s, IPPROTO_IP, MCAST_LEAVE_GROUP, "224.0.0.77", 1));
    int joined = 0;
    for (int i = 0; i < 64; i++) {
        char name[32];
        sprintf(name, "224.0.1.%d", i);
        int result = group(c, IPPROTO_IP, MCAST_JOIN_GROUP, name, 1);
        joined += result == 0;
        if (result && result != -ENOBUFS) printf("%s: %s\n", name, strerror(-result));
    }
    printf("%s\n", joined < 64 ? "not in as many as one likes" : "in all");
    close(c), close(accepted), close(s), close(six);

    // What a stream joined, a datagram socket that hears of all groups hears too, until the stream ends. Nobody else on
    // the machine is in this group.
    char own[32];
    sprintf(own, "224.1.%d.%d", getpid() >> 8 & 255, getpid() & 255);
    int r = socket(AF_INET, SOCK_DGRAM, 0), w = socket(AF_INET, SOCK_DGRAM, 0);
    s = socket(AF_INET, SOCK_STREAM, 0);
    a = (struct sockaddr_in){.sin_family = AF_INET};
    bind(r, (void *)&a, sizeof a);
    struct ip_mreqn by = {.imr_ifindex = 1};
    setsockopt(w, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by);
    a.sin_port = htons(port_of(r));
    inet_pton(AF_INET, own, &a.sin_addr);
    SHOW(group(s, IPPROTO_IP, MCAST_JOIN_GROUP, own, 1));
    SHOW(sendto(w, "heard", 5, 0, (void *)&a, sizeof a));
    await(r, POLLIN);
    SHOW(recv(r, buf, 9, MSG_DONTWAIT));
    close(s);
    SHOW(sendto(w, "unheard", 7, 0, (void *)&a, sizeof a));
    SHOW(recv(r, buf, 9, MSG_DONTWAIT));
    close(r), close(w);
}

static void headers(void) {
    puts("headers of IPv6");
    int s = socket(AF_INET6, SOCK_DGRAM, 0), t = socket(AF_INET6, SOCK_STREAM, 0);
    unsigned char route[24] = {0, 2, 77, 1};
    SHOW(setsockopt(s, IPPROTO_IPV6, IPV6_RTHDR, 0, 0));
    SHOW(setsockopt(t, IPPROTO_IPV6, IPV6_RTHDR, 0, 0));
    SHOW(setsockopt(s, IPPROTO_IPV6, IPV6_RTHDR, route, 7));
    SHOW(setsockopt(s, IPPROTO_IPV6, IPV6_RTHDR, route, 9));
    SHOW(setsockopt(s, IPPROTO_IPV6, IPV6_RTHDR, route, 16));
    SHOW(setsockopt(s, IPPROTO_IPV6, IPV6_RTHDR, route, 24));
    SHOW(setsockopt(s, IPPROTO_IPV6, IPV6_RTHDR, route, 4096));
    SHOW(setsockopt(s, IPPROTO_IPV6, IPV6_RTHDR, (void *)8, 24));
    static const int names[] = {IPV6_HOPOPTS, IPV6_RTHDRDSTOPTS, IPV6_RTHDR, IPV6_DSTOPTS};
    for (int i = 0; i < 4; i++) {
        socklen_t len = sizeof buf;
        int result = getsockopt(s, IPPROTO_IPV6, names[i], buf, &len);
        printf("%d: %d, %d bytes\n", names[i], result, (int)len);
    }
    close(s), close(t);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    stream_form();
    datagram_form();
    foreign_groups();
    stream_groups();
    headers();
}
