// Netlink: devices, addresses, routes and rules in full and one by one; sockets of the sandbox; what would change
// something; names.
#include "inet.h"
#include <ifaddrs.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <stddef.h>

static int nl;
static struct {
    struct nlmsghdr head;
    char body[256];
} request;

static void ask(int type, int flags, const void *body, int len) {
    memset(&request, 0, sizeof request);
    request.head.nlmsg_len = NLMSG_LENGTH(len);
    request.head.nlmsg_type = type;
    request.head.nlmsg_flags = NLM_F_REQUEST | flags;
    request.head.nlmsg_seq = 7;
    memcpy(request.body, body, len);
    struct sockaddr_nl kernel = {AF_NETLINK};
    SHOW(sendto(nl, &request, request.head.nlmsg_len, 0, (void *)&kernel, sizeof kernel) > 0);
}
static void show_link(struct nlmsghdr *h) {
    struct ifinfomsg *i = NLMSG_DATA(h);
    if (i->ifi_index != 1) return;
    printf("  device %d, type %d, flags %x", i->ifi_index, i->ifi_type, i->ifi_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING));
    int len = h->nlmsg_len - NLMSG_LENGTH(sizeof *i);
    for (struct rtattr *a = IFLA_RTA(i); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
        if (a->rta_type == IFLA_IFNAME) printf(", name %s", (char *)RTA_DATA(a));
        if (a->rta_type == IFLA_MTU) printf(", mtu %d", *(int *)RTA_DATA(a));
        if (a->rta_type == IFLA_ADDRESS) printf(", %d bytes of address", (int)RTA_PAYLOAD(a));
    }
    puts("");
}
static void show_address(struct nlmsghdr *h) {
    struct ifaddrmsg *i = NLMSG_DATA(h);
    char text[64];
    if (i->ifa_index != 1) return;
    printf("  address of device %d, /%d, scope %d", i->ifa_index, i->ifa_prefixlen, i->ifa_scope);
    int len = h->nlmsg_len - NLMSG_LENGTH(sizeof *i);
    for (struct rtattr *a = IFA_RTA(i); RTA_OK(a, len); a = RTA_NEXT(a, len))
        if (a->rta_type == IFA_ADDRESS) printf(", %s", inet_ntop(i->ifa_family, RTA_DATA(a), text, sizeof text));
        else if (a->rta_type == IFA_LABEL) printf(", label %s", (char *)RTA_DATA(a));
    puts("");
}
static void hear(void) {
    for (int more = 1; more;) {
        struct sockaddr_nl from;
        struct iovec v = {buf, sizeof buf};
        struct msghdr m = {&from, sizeof from, &v, 1, 0, 0, 0};
        int n = recvmsg(nl, &m, 0);
        if (n < 0) {
            printf("%s\n", strerror(errno));
            return;
        }
        if (from.nl_pid) puts("not from the kernel");
        for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            more = h->nlmsg_flags & NLM_F_MULTI;
            if (h->nlmsg_seq != 7) puts("another's");
            if (h->nlmsg_type == NLMSG_DONE) {
                puts("  done");
                return;
            }
            if (h->nlmsg_type == NLMSG_ERROR) {
                printf("  error %s\n", strerror(-((struct nlmsgerr *)NLMSG_DATA(h))->error));
                return;
            }
            if (h->nlmsg_type == RTM_NEWLINK) show_link(h);
            if (h->nlmsg_type == RTM_NEWADDR) show_address(h);
        }
    }
}

static void names(void) {
    struct sockaddr_nl own = {AF_NETLINK}, got;
    socklen_t len = sizeof got;
    SHOW(getsockname(nl, (void *)&got, &len));
    printf("%d bytes, address %d\n", len, got.nl_pid);
    SHOW(bind(nl, (void *)&own, 3));
    own.nl_family = AF_INET;
    SHOW(bind(nl, (void *)&own, sizeof own));
    own.nl_family = AF_NETLINK;
    SHOW(bind(nl, (void *)&own, sizeof own));
    SHOW(getsockname(nl, (void *)&got, &len));
    printf("own address %d\n", got.nl_pid == (unsigned)getpid());
    int other = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    own.nl_pid = getpid();
    SHOW(bind(other, (void *)&own, sizeof own));
    own.nl_pid = 0;
    SHOW(bind(other, (void *)&own, sizeof own));
    getsockname(other, (void *)&got, &len);
    printf("another address %d\n", got.nl_pid != (unsigned)getpid() && got.nl_pid);
    SHOW(listen(other, 1));
    SHOW(accept(other, 0, 0));
    SHOW(shutdown(other, SHUT_RD));
    SHOW(recv(other, buf, 9, MSG_DONTWAIT));
    show_events("quiet", other);
    int n = 1;
    SHOW(setsockopt(other, SOL_NETLINK, NETLINK_EXT_ACK, &n, sizeof n));
    SHOW(setsockopt(other, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &n, sizeof n));
    SHOW(setsockopt(other, SOL_NETLINK, 99, &n, sizeof n));
    close(other);
    SHOW(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE));
    SHOW(socket(AF_NETLINK, SOCK_RAW, 99));
}

static void routes(void) {
    struct ifinfomsg link = {0};
    struct rtgenmsg all = {0};
    puts("devices");
    ask(RTM_GETLINK, NLM_F_DUMP, &all, sizeof all);
    hear();
    link.ifi_index = 1;
    ask(RTM_GETLINK, 0, &link, sizeof link);
    hear();
    link.ifi_index = 7777;
    ask(RTM_GETLINK, 0, &link, sizeof link);
    hear();
    puts("addresses");
    all.rtgen_family = AF_INET;
    ask(RTM_GETADDR, NLM_F_DUMP, &all, sizeof all);
    hear();
    puts("acknowledged");
    link.ifi_index = 1;
    ask(RTM_GETLINK, NLM_F_ACK, &link, sizeof link);
    hear();
    hear();
    puts("what there is not");
    ask(200, 0, &all, sizeof all);
    hear();
    struct in_addr a = {htonl(0x7f000001)};
    struct { struct rtmsg r; struct rtattr h; struct in_addr a; } one = {{AF_INET, 32}, {8, RTA_DST}, a};
    ask(RTM_GETROUTE, 0, &one, sizeof one);
    int n = recv(nl, buf, sizeof buf, 0);
    struct nlmsghdr *h = (void *)buf;
    printf("route: %d, type %d\n", h->nlmsg_type == RTM_NEWROUTE && n > 0, ((struct rtmsg *)NLMSG_DATA(h))->rtm_type);
    puts("by the library");
    printf("%u %s\n", if_nametoindex("lo"), if_indextoname(1, buf));
    struct ifaddrs *first;
    if (!getifaddrs(&first))
        for (struct ifaddrs *i = first; i; i = i->ifa_next)
            if (!strcmp(i->ifa_name, "lo") && i->ifa_addr && i->ifa_addr->sa_family == AF_INET)
                puts(inet_ntoa(((struct sockaddr_in *)i->ifa_addr)->sin_addr));
}

static void sockets(void) {
    puts("sockets");
    int l = socket(AF_INET, SOCK_STREAM, 0), d = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG), found = 0;
    struct sockaddr_in a = lo(0);
    bind(l, (void *)&a, sizeof a);
    listen(l, 5);
    struct {
        struct nlmsghdr h;
        struct inet_diag_req_v2 r;
    } q = {{sizeof q, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {AF_INET, IPPROTO_TCP, 0, 0, 1 << 10}};
    send(d, &q, sizeof q, 0);
    for (int done = 0; !done;) {
        int n = recv(d, buf, sizeof buf, 0);
        if (n <= 0) break;
        for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) done = 1;
            struct inet_diag_msg *m = NLMSG_DATA(h);
            if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY && ntohs(m->id.idiag_sport) == port_of(l))
                found = 1, printf("state %d, %d of %d wait, %s\n", m->idiag_state, m->idiag_rqueue, m->idiag_wqueue, inet_ntoa(*(struct in_addr *)m->id.idiag_src));
        }
    }
    printf("found %d\n", found);
    char line[256];
    FILE *f = fopen("/proc/net/tcp", "r");
    found = 0;
    while (fgets(line, sizeof line, f)) {
        int port, state;
        if (sscanf(line, " %*d: 0100007F:%x 00000000:0000 %x", &port, &state) == 2 && port == port_of(l)) found = state;
    }
    printf("/proc/net/tcp: state %x\n", found);
    fclose(f);
    close(l);
    close(d);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    names();
    routes();
    sockets();
}
