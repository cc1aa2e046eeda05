//@ flags: -pthread
// TCP: a message that connects (MSG_FASTOPEN), and how much is left behind what was received (TCP_INQ).
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include "result.h"

#ifndef TCP_INQ
#define TCP_INQ 36
#endif

static volatile int broken;
static void pipe_broke(int signal) { broken++; }
static struct sockaddr_in here;

static int listener(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof here;
    here = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bind(fd, (void *)&here, sizeof here);
    getsockname(fd, (void *)&here, &len);
    listen(fd, 4);
    return fd;
}
static long first(int fd, const char *text, int flags)
{
    return sendto(fd, text, strlen(text), MSG_FASTOPEN | flags, (void *)&here, sizeof here);
}
static void fast_open(void)
{
    char text[16];
    int server = listener(), client = socket(AF_INET, SOCK_STREAM, 0);
    printf("first message: %s\n", result(first(client, "hello", 0)));
    int peer = accept(server, 0, 0);
    printf("read: %s\n", result(read(peer, text, sizeof text)));
    printf("another one: %s\n", result(first(client, "again", 0)));
    printf("without an address:%s", "");
    say(sendto(client, "a", 1, MSG_FASTOPEN, 0, 0));
    int fresh = socket(AF_INET, SOCK_STREAM, 0);
    say(sendto(fresh, "a", 1, MSG_FASTOPEN, 0, 0));
    struct sockaddr_in none = {.sin_family = AF_UNSPEC};
    printf("\nno family: %s, ", result(sendto(fresh, "a", 1, MSG_FASTOPEN, (void *)&none, sizeof none)));
    printf("a short one: %s\n", result(sendto(fresh, "a", 1, MSG_FASTOPEN, (void *)&here, 4)));
    close(peer);
    close(client);
    close(server);
    printf("nobody listens: %s,", result(first(fresh, "hello", 0)));
    printf(" then %s", result(send(fresh, "a", 1, 0)));
    printf(", SIGPIPE %d\n", broken);
    // A socket that connects to itself, and one whose place is taken by that.
    int self = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(self, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    socklen_t len = sizeof here;
    here.sin_port = 0;
    printf("bound: %s", result(bind(self, (void *)&here, sizeof here)));
    getsockname(self, (void *)&here, &len);
    printf(", nothing to say: %s", result(first(self, "", 0)));
    printf(", peer %s\n", result(getpeername(self, (void *)&none, &(socklen_t){sizeof none})));
    printf("bound: %s", result(bind(other, (void *)&here, sizeof here)));
    printf(", %s\n", result(first(other, "", 0)));
}
static long get(int fd, char *to, int len, int *left)
{
    char control[64];
    struct iovec part = {to, len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    long n = recvmsg(fd, &message, 0);
    struct cmsghdr *head = n < 0 ? 0 : CMSG_FIRSTHDR(&message);
    *left = -1;
    if (head && head->cmsg_level == SOL_TCP && head->cmsg_type == TCP_INQ) memcpy(left, CMSG_DATA(head), sizeof *left);
    return n;
}
static void queued(void)
{
    char text[64];
    int server = listener(), client = socket(AF_INET, SOCK_STREAM, 0), one = 1, left;
    connect(client, (void *)&here, sizeof here);
    int peer = accept(server, 0, 0);
    write(client, "0123456789", 10);
    struct pollfd ready = {peer, POLLIN, 0};
    poll(&ready, 1, -1);
    long n = get(peer, text, 2, &left);
    printf("unasked: %ld, left %d\n", n, left);
    printf("set: %s\n", result(setsockopt(peer, SOL_TCP, TCP_INQ, &one, sizeof one)));
    n = get(peer, text, 3, &left);
    printf("%ld, left %d\n", n, left);
    n = get(peer, text, 64, &left);
    printf("%ld, left %d\n", n, left);
    write(client, "end", 3);
    shutdown(client, SHUT_WR);
    ready.events = POLLRDHUP;
    poll(&ready, 1, -1);
    n = get(peer, text, 2, &left);
    printf("%ld, left %s\n", n, left > 0 ? "some" : "none");
    n = get(peer, text, 64, &left);
    printf("%ld, left %d\n", n, left);
    n = get(peer, text, 64, &left);
    printf("end: %ld, left %d\n", n, left);
}
int main(void)
{
    signal(SIGPIPE, pipe_broke);
    fast_open();
    queued();
    return 0;
}
