// Options of sockets of IPv4 and IPv6: what they are at first, what can be set and what not, how much is read and
// written.
#include "inet.h"
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/udp.h>

static const struct {
    const char *name;
    int level, number, of;
} OPTIONS[] = {
#define S 1
#define D 2
#define SIX 4
    {"SO_DEBUG", SOL_SOCKET, SO_DEBUG, 7}, {"SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, 7}, {"SO_TYPE", SOL_SOCKET, SO_TYPE, 7},
    {"SO_ERROR", SOL_SOCKET, SO_ERROR, 7}, {"SO_DONTROUTE", SOL_SOCKET, SO_DONTROUTE, 7}, {"SO_BROADCAST", SOL_SOCKET, SO_BROADCAST, 7},
    {"SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, 7}, {"SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 7}, {"SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, 7},
    {"SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE, 7}, {"SO_NO_CHECK", SOL_SOCKET, SO_NO_CHECK, 7}, {"SO_PRIORITY", SOL_SOCKET, SO_PRIORITY, 7},
    {"SO_BSDCOMPAT", SOL_SOCKET, SO_BSDCOMPAT, 7}, {"SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT, 7}, {"SO_PASSCRED", SOL_SOCKET, SO_PASSCRED, 7},
    {"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, 7}, {"SO_SNDLOWAT", SOL_SOCKET, SO_SNDLOWAT, 7}, {"SO_TIMESTAMP", SOL_SOCKET, SO_TIMESTAMP, 7},
    {"SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN, 7}, {"SO_TIMESTAMPNS", SOL_SOCKET, SO_TIMESTAMPNS, 7},
    {"SO_PROTOCOL", SOL_SOCKET, SO_PROTOCOL, 7}, {"SO_DOMAIN", SOL_SOCKET, SO_DOMAIN, 7}, {"SO_RXQ_OVFL", SOL_SOCKET, SO_RXQ_OVFL, 7},
    {"SO_NOFCS", SOL_SOCKET, SO_NOFCS, 7}, {"SO_SELECT_ERR_QUEUE", SOL_SOCKET, SO_SELECT_ERR_QUEUE, 7},
    {"SO_BUSY_POLL", SOL_SOCKET, SO_BUSY_POLL, 7}, {"SO_BPF_EXTENSIONS", SOL_SOCKET, SO_BPF_EXTENSIONS, 7},
    {"SO_INCOMING_CPU", SOL_SOCKET, SO_INCOMING_CPU, 2}, {"SO_ZEROCOPY", SOL_SOCKET, SO_ZEROCOPY, 7}, {"SO_PEEK_OFF", SOL_SOCKET, SO_PEEK_OFF, 7},
    {"TCP_NODELAY", 6, TCP_NODELAY, 5}, {"TCP_MAXSEG", 6, TCP_MAXSEG, 5}, {"TCP_CORK", 6, TCP_CORK, 5}, {"TCP_KEEPIDLE", 6, TCP_KEEPIDLE, 5},
    {"TCP_KEEPINTVL", 6, TCP_KEEPINTVL, 5}, {"TCP_KEEPCNT", 6, TCP_KEEPCNT, 5}, {"TCP_SYNCNT", 6, TCP_SYNCNT, 5}, {"TCP_LINGER2", 6, TCP_LINGER2, 5},
    {"TCP_DEFER_ACCEPT", 6, TCP_DEFER_ACCEPT, 5}, {"TCP_WINDOW_CLAMP", 6, TCP_WINDOW_CLAMP, 5}, {"TCP_QUICKACK", 6, TCP_QUICKACK, 5},
    {"TCP_USER_TIMEOUT", 6, TCP_USER_TIMEOUT, 5}, {"TCP_FASTOPEN", 6, TCP_FASTOPEN, 5}, {"TCP_NOTSENT_LOWAT", 6, TCP_NOTSENT_LOWAT, 5},
    {"TCP_SAVE_SYN", 6, TCP_SAVE_SYN, 5}, {"TCP_FASTOPEN_CONNECT", 6, TCP_FASTOPEN_CONNECT, 5}, {"TCP_INQ", 6, TCP_INQ, 5},
    {"TCP_THIN_LINEAR_TIMEOUTS", 6, TCP_THIN_LINEAR_TIMEOUTS, 5}, {"TCP 99", 6, 99, 5},
    {"IP_TOS", 0, IP_TOS, 7}, {"IP_TTL", 0, IP_TTL, 7}, {"IP_RECVOPTS", 0, IP_RECVOPTS, 7}, {"IP_PKTINFO", 0, IP_PKTINFO, 7},
    {"IP_MTU_DISCOVER", 0, IP_MTU_DISCOVER, 3}, {"IP_RECVERR", 0, IP_RECVERR, 7}, {"IP_RECVTTL", 0, IP_RECVTTL, 7}, {"IP_RECVTOS", 0, IP_RECVTOS, 7},
    {"IP_MTU", 0, IP_MTU, 7}, {"IP_FREEBIND", 0, IP_FREEBIND, 7}, {"IP_MINTTL", 0, IP_MINTTL, 7}, {"IP_BIND_ADDRESS_NO_PORT", 0, IP_BIND_ADDRESS_NO_PORT, 7},
    {"IP_MULTICAST_TTL", 0, IP_MULTICAST_TTL, 2}, {"IP_MULTICAST_LOOP", 0, IP_MULTICAST_LOOP, 3}, {"IP_MULTICAST_ALL", 0, IP_MULTICAST_ALL, 3},
    {"IP_UNICAST_IF", 0, IP_UNICAST_IF, 7}, {"IP 100", 0, 100, 7},
    {"IPV6_V6ONLY", 41, IPV6_V6ONLY, 4}, {"IPV6_UNICAST_HOPS", 41, IPV6_UNICAST_HOPS, 4}, {"IPV6_MULTICAST_LOOP", 41, IPV6_MULTICAST_LOOP, 4},
    {"IPV6_RECVPKTINFO", 41, IPV6_RECVPKTINFO, 4}, {"IPV6_RECVHOPLIMIT", 41, IPV6_RECVHOPLIMIT, 4}, {"IPV6_RECVTCLASS", 41, IPV6_RECVTCLASS, 4},
    {"IPV6_TCLASS", 41, IPV6_TCLASS, 4}, {"IPV6_RECVERR", 41, IPV6_RECVERR, 4}, {"IPV6_DONTFRAG", 41, IPV6_DONTFRAG, 4}, {"IPV6_MTU", 41, IPV6_MTU, 4},
    {"IPV6_MULTICAST_IF", 41, IPV6_MULTICAST_IF, 4}, {"IPV6 1000", 41, 1000, 4},
    {"UDP_CORK", 17, UDP_CORK, 2}, {"UDP_SEGMENT", 17, UDP_SEGMENT, 2}, {"UDP_GRO", 17, UDP_GRO, 2}, {"UDP 99", 17, 99, 2},
    {"level 999", 999, 1, 7},
};
// What a set leaves depends on the kernel of the host or on rights of root there.
static int is_told_only(const char *name) {
    return !strcmp(name, "SO_DEBUG") || !strcmp(name, "SO_BUSY_POLL") || !strcmp(name, "TCP_WINDOW_CLAMP") || !strcmp(name, "SO_BPF_EXTENSIONS") || !strcmp(name, "SO_PRIORITY");
}

static void all_of(const char *what, int family, int type, int mask) {
    static const int VALUES[] = {0, 1, 2, -1, 3, 256, 100000};
    printf("%s\n", what);
    for (unsigned i = 0; i < sizeof OPTIONS / sizeof *OPTIONS; i++) {
        if (!(OPTIONS[i].of & mask)) continue;
        int s = socket(family, type, 0), n = -1;
        socklen_t len = sizeof n;
        errno = 0;
        int r = getsockopt(s, OPTIONS[i].level, OPTIONS[i].number, &n, &len);
        printf("%s: %s", OPTIONS[i].name, r ? strerror(errno) : "");
        if (!r && !is_told_only(OPTIONS[i].name)) printf("%d (%d)", n, len);
        for (unsigned v = 0; !is_told_only(OPTIONS[i].name) && v < sizeof VALUES / sizeof *VALUES; v++) {
            errno = 0;
            r = setsockopt(s, OPTIONS[i].level, OPTIONS[i].number, &VALUES[v], sizeof VALUES[v]);
            n = -9;
            len = sizeof n;
            int g = errno;
            if (!r) getsockopt(s, OPTIONS[i].level, OPTIONS[i].number, &n, &len);
            if (r) printf(", %d: %s", VALUES[v], strerror(g));
            else printf(", %d: %d", VALUES[v], n);
        }
        puts("");
        close(s);
    }
}

static void lengths(void) {
    puts("lengths");
    int s = socket(AF_INET, SOCK_STREAM, 0), n = 7;
    socklen_t len = 1;
    unsigned char one = 0xee;
    SHOW(getsockopt(s, IPPROTO_IP, IP_TTL, &one, &len));
    printf("%d %d\n", one, len);
    len = 2;
    n = -1;
    SHOW(getsockopt(s, SOL_SOCKET, SO_TYPE, &n, &len));
    printf("%x %d\n", n, len);
    len = 0;
    SHOW(getsockopt(s, SOL_SOCKET, SO_TYPE, &n, &len));
    len = -1;
    SHOW(getsockopt(s, SOL_SOCKET, SO_TYPE, &n, &len));
    SHOW(getsockopt(s, SOL_SOCKET, SO_TYPE, &n, 0));
    len = 99;
    SHOW(getsockopt(s, SOL_SOCKET, SO_TYPE, 0, &len));
    SHOW(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &n, 3));
    SHOW(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, 0, 4));
    SHOW(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &n, -1));
    SHOW(setsockopt(s, SOL_SOCKET, SO_LINGER, &n, 4));
    SHOW(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &n, 1));
    one = 9;
    SHOW(setsockopt(s, IPPROTO_IP, IP_TTL, &one, 1));
    printf("%d\n", option(s, IPPROTO_IP, IP_TTL));
    SHOW(setsockopt(99, SOL_SOCKET, SO_LINGER, &n, 4));
    SHOW(setsockopt(1, SOL_SOCKET, SO_LINGER, &n, 4) == -1 ? errno == ENOTSOCK : 2);
    struct linger linger = {3, 17}, got = {0};
    SHOW(setsockopt(s, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    len = sizeof got;
    SHOW(getsockopt(s, SOL_SOCKET, SO_LINGER, &got, &len));
    printf("%d %d\n", got.l_onoff, got.l_linger);
    struct timeval time = {-1, 0}, told = {9, 9};
    SHOW(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    time.tv_sec = 2;
    time.tv_usec = 1000000;
    SHOW(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    time.tv_usec = 500000;
    SHOW(setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time));
    len = sizeof told;
    SHOW(getsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &told, &len));
    printf("%ld %ld\n", (long)told.tv_sec, (long)told.tv_usec);
    struct { int pid, uid, gid; } peer;
    len = sizeof peer;
    SHOW(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &peer, &len));
    printf("%d %d %d\n", peer.pid, peer.uid, peer.gid);
    char name[32] = "";
    SHOW(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
    len = sizeof name;
    SHOW(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, name, &len));
    printf("'%s' %d\n", name, len);
    SHOW(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "no_such", 8));
    SHOW(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
    SHOW(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
    len = sizeof name;
    SHOW(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, name, &len));
    printf("'%s' %d\n", name, len);
    SHOW(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "no_such", 7));
    close(s);
}

static void devices(void) {
    puts("devices");
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq r = {0};
    strcpy(r.ifr_name, "lo");
    SHOW(ioctl(s, SIOCGIFINDEX, &r));
    printf("%d\n", r.ifr_ifindex);
    SHOW(ioctl(s, SIOCGIFADDR, &r));
    puts(inet_ntoa(((struct sockaddr_in *)&r.ifr_addr)->sin_addr));
    SHOW(ioctl(s, SIOCGIFNETMASK, &r));
    puts(inet_ntoa(((struct sockaddr_in *)&r.ifr_addr)->sin_addr));
    SHOW(ioctl(s, SIOCGIFMTU, &r));
    printf("%d\n", r.ifr_mtu);
    SHOW(ioctl(s, SIOCGIFFLAGS, &r));
    printf("%x\n", r.ifr_flags & 0xffff);
    SHOW(ioctl(s, SIOCGIFHWADDR, &r));
    printf("%d\n", r.ifr_hwaddr.sa_family);
    r.ifr_ifindex = 1;
    SHOW(ioctl(s, SIOCGIFNAME, &r));
    puts(r.ifr_name);
    r.ifr_ifindex = 77;
    SHOW(ioctl(s, SIOCGIFNAME, &r));
    strcpy(r.ifr_name, "no_such");
    SHOW(ioctl(s, SIOCGIFINDEX, &r));
    SHOW(ioctl(s, SIOCGIFADDR, &r));
    printf("%d\n", if_nametoindex("lo"));
    int owner = getpid();
    SHOW(ioctl(s, FIOSETOWN, &owner));
    SHOW(fcntl(s, F_GETOWN) == getpid());
    owner = 0;
    SHOW(ioctl(s, SIOCGPGRP, &owner));
    printf("%d\n", owner == getpid());
    SHOW(ioctl(s, SIOCGSTAMP_OLD, buf));
    close(s);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    all_of("TCP", AF_INET, SOCK_STREAM, S);
    all_of("UDP", AF_INET, SOCK_DGRAM, D);
    all_of("TCP, IPv6", AF_INET6, SOCK_STREAM, SIX);
    lengths();
    devices();
}
