// Local sockets: names, connections, messages, descriptors and credentials that come along, ends, readiness, options,
// errors.
//@ flags: -pthread
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/sockios.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)

static char buf[1 << 20];
static struct sockaddr_un un, other;
static socklen_t len;

static socklen_t path(const char *name) {
    memset(&un, 0, sizeof un);
    un.sun_family = AF_UNIX;
    strcpy(un.sun_path, name);
    return offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1;
}
static socklen_t hidden(const char *name) {
    memset(&un, 0, sizeof un);
    un.sun_family = AF_UNIX;
    strcpy(un.sun_path + 1, name);
    return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
}
static void show_name(int fd, int peer) {
    memset(&other, 'x', sizeof other);
    len = sizeof other;
    errno = 0;
    int r = peer ? getpeername(fd, (void *)&other, &len) : getsockname(fd, (void *)&other, &len);
    printf("%s = %d, %s, len %d, family %d", peer ? "getpeername" : "getsockname", r, strerror(errno), len, r ? 0 : other.sun_family);
    if (!r && len > 2) printf(", %s%s", other.sun_path[0] ? "" : "@", other.sun_path[0] ? other.sun_path : "");
    if (!r && len > 2 && !other.sun_path[0]) printf("%.*s", (int)len - 3, other.sun_path + 1);
    puts("");
}
static int events(int fd) {
    struct pollfd f = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLWRBAND | POLLPRI, 0};
    poll(&f, 1, 0);
    return f.revents;
}
static int count(int fd, int request) {
    int n = -1;
    if (ioctl(fd, request, &n)) return -errno;
    return n;
}
static int option(int fd, int name) {
    int n = -1;
    len = sizeof n;
    if (getsockopt(fd, SOL_SOCKET, name, &n, &len)) return -errno;
    return n;
}
static int set(int fd, int name, int n) { return setsockopt(fd, SOL_SOCKET, name, &n, sizeof n) ? -errno : 0; }

static void making(void) {
    SHOW(socket(AF_UNIX, 99, 0));
    SHOW(socket(AF_UNIX, SOCK_STREAM | 0x100, 0));
    SHOW(socket(AF_UNIX, SOCK_RDM, 0));
    SHOW(socket(AF_UNIX, SOCK_STREAM, 5));
    SHOW(socket(99, SOCK_STREAM, 0));
    int p[2], *nowhere = (int *)8;
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, nowhere));
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, AF_UNIX);
    SHOW(fcntl(s, F_GETFL));
    SHOW(fcntl(s, F_GETFD));
    struct stat st;
    SHOW(fstat(s, &st));
    printf("%o\n", st.st_mode);
    show_name(s, 0), show_name(s, 1);
    SHOW(events(s));
    SHOW(send(s, "x", 1, 0));
    SHOW(recv(s, buf, 1, 0));
    SHOW(read(s, buf, 1));
    SHOW(listen(s, 1));
    SHOW(accept(s, NULL, NULL));
    SHOW(lseek(s, 0, SEEK_SET));
    SHOW(ftruncate(s, 0));
    SHOW(send(0, "x", 1, 0));
    SHOW(bind(0, (void *)&un, 10));
    SHOW(bind(99, (void *)&un, 10));
    SHOW(bind(s, (void *)8, 10));
    SHOW(bind(s, (void *)&un, 200));
    path("a");
    SHOW(bind(s, (void *)&un, 1));
    SHOW(bind(s, (void *)&un, 111));
    un.sun_family = AF_INET;
    SHOW(bind(s, (void *)&un, 10));
    path("no/where");
    SHOW(bind(s, (void *)&un, sizeof un));
    SHOW(connect(s, (void *)&un, sizeof un));
    SHOW(bind(s, (void *)&un, path("sock")));
    SHOW(bind(s, (void *)&un, path("again")));
    show_name(s, 0);
    SHOW(stat("sock", &st));
    printf("%o\n", st.st_mode);
    SHOW(open("sock", O_RDONLY));
    int t = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(bind(t, (void *)&un, path("sock")));
    SHOW(connect(t, (void *)&un, path("sock")));
    close(open("plain", O_CREAT | O_RDWR, 0600));
    SHOW(connect(t, (void *)&un, path("plain")));
    SHOW(bind(t, (void *)&un, hidden("name")));
    show_name(t, 0);
    int u = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(bind(u, (void *)&un, hidden("name")));
    SHOW(bind(u, (void *)&un, 2));
    len = sizeof other;
    getsockname(u, (void *)&other, &len);
    printf("free name of %d bytes\n", len);
    close(s), close(t), close(u);
    SHOW(unlink("sock"));
    u = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(bind(u, (void *)&un, hidden("name")));
    close(u);
    SHOW(socketpair(AF_UNIX, SOCK_DGRAM, 0, p));
    close(p[0]), close(p[1]);
}
static void streams(void) {
    umask(022);
    int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), d;
    bind(l, (void *)&un, path("server"));
    SHOW(connect(c, (void *)&un, path("server")));
    SHOW(listen(l, 1));
    SHOW(events(l));
    SHOW(count(l, FIONREAD));
    SHOW(option(l, SO_ACCEPTCONN));
    socklen_t n = path("server");
    SHOW(connect(c, (void *)&un, n));
    SHOW(connect(c, (void *)&un, n));
    show_name(c, 0), show_name(c, 1);
    SHOW(write(c, "early", 5));
    SHOW(events(l));
    SHOW(events(c));
    d = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    bind(d, (void *)&un, hidden("client"));
    path("server");
    SHOW(connect(d, (void *)&un, n));
    int e = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SHOW(connect(e, (void *)&un, n));
    fcntl(l, F_SETFL, O_NONBLOCK);
    SHOW(connect(l, (void *)&un, n));
    int g = socket(AF_UNIX, SOCK_DGRAM, 0);
    SHOW(connect(g, (void *)&un, n));
    len = sizeof other;
    SHOW(accept4(l, (void *)&other, &len, 1));
    int a = accept4(l, (void *)&other, &len, SOCK_CLOEXEC);
    printf("from %d bytes\n", len);
    SHOW(fcntl(a, F_GETFD));
    show_name(a, 0), show_name(a, 1);
    SHOW(count(a, FIONREAD));
    SHOW(recv(a, buf, 3, MSG_PEEK));
    SHOW(read(a, buf, 100));
    SHOW(recv(a, buf, 100, MSG_DONTWAIT));
    len = sizeof other;
    int b = accept(l, (void *)&other, &len);
    printf("from %d bytes\n", len);
    SHOW(accept(l, NULL, NULL));
    SHOW(recvfrom(b, buf, 10, MSG_DONTWAIT, (void *)&other, &len));
    send(d, "hi", 2, 0);
    len = sizeof other;
    SHOW(recvfrom(b, buf, 10, 0, (void *)&other, &len));
    printf("from %d bytes\n", len);
    SHOW(sendto(d, "x", 1, 0, (void *)&un, n));
    SHOW(shutdown(d, 5));
    SHOW(shutdown(d, SHUT_WR));
    SHOW(events(d));
    SHOW(events(b));
    SHOW(read(b, buf, 10));
    signal(SIGPIPE, SIG_IGN);
    SHOW(write(d, "x", 1));
    SHOW(write(b, "back", 4));
    SHOW(read(d, buf, 10));
    SHOW(shutdown(b, SHUT_RDWR));
    SHOW(events(b));
    SHOW(read(d, buf, 10));
    // Data that nobody read resets the connection.
    SHOW(write(c, "unread", 6));
    SHOW(write(a, "late", 4));
    close(a);
    SHOW(events(c));
    SHOW(send(c, "x", 1, MSG_NOSIGNAL));
    SHOW(read(c, buf, 10));
    SHOW(read(c, buf, 10));
    SHOW(read(c, buf, 10));
    // One that was never accepted.
    path("server");
    SHOW(connect(e, (void *)&un, n));
    close(l);
    SHOW(option(e, SO_ERROR));
    SHOW(read(e, buf, 10));
    SHOW(connect(g, (void *)&un, n));
    close(b), close(c), close(d), close(e), close(g);
    unlink("server");
}
static void datagrams(void) {
    int a = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), b = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    SHOW(send(a, "x", 1, 0));
    SHOW(events(a));
    SHOW(listen(a, 1));
    SHOW(accept(a, NULL, NULL));
    bind(a, (void *)&un, path("a")), bind(b, (void *)&un, hidden("b"));
    socklen_t n = hidden("b");
    SHOW(sendto(a, "hello", 5, 0, (void *)&un, n));
    SHOW(sendto(a, "", 0, 0, (void *)&un, n));
    SHOW(count(b, FIONREAD));
    len = sizeof other;
    SHOW(recvfrom(b, buf, 2, MSG_TRUNC, (void *)&other, &len));
    printf("from %s, %d bytes\n", other.sun_path, len);
    SHOW(recv(b, buf, 10, 0));
    SHOW(recv(b, buf, 10, 0));
    int sent = 0;
    while (sendto(a, "x", 1, 0, (void *)&un, n) == 1) sent++;
    printf("%d before %s\n", sent, strerror(errno));
    SHOW(connect(a, (void *)&un, n));
    SHOW(events(a));
    SHOW(recv(b, buf, 10, 0));
    SHOW(events(a));
    SHOW(send(a, "x", 1, 0));
    show_name(a, 1);
    path("a");
    SHOW(connect(b, (void *)&un, path("a")));
    int c = socket(AF_UNIX, SOCK_DGRAM, 0);
    SHOW(connect(c, (void *)&un, path("a")));
    SHOW(sendto(c, "x", 1, 0, (void *)&un, path("a")));
    un.sun_family = AF_UNSPEC;
    SHOW(connect(b, (void *)&un, 2));
    SHOW(send(a, buf, 1 << 20, 0));
    close(b);
    SHOW(send(a, "x", 1, 0));
    SHOW(send(a, "x", 1, 0));
    SHOW(sendto(a, "x", 1, 0, (void *)&un, hidden("b")));
    close(a), close(c);
    unlink("a");
    int p[2];
    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p);
    SHOW(send(p[0], "first", 5, 0));
    SHOW(send(p[0], "second", 6, 0));
    SHOW(read(p[1], buf, 3));
    SHOW(read(p[1], buf, 10));
    SHOW(recv(p[1], buf, 10, MSG_DONTWAIT));
    struct mmsghdr many[3] = {0};
    struct iovec v[3] = {{"one", 3}, {"three", 5}, {"five5", 5}};
    for (int i = 0; i < 3; i++) many[i].msg_hdr.msg_iov = v + i, many[i].msg_hdr.msg_iovlen = 1;
    SHOW(sendmmsg(p[0], many, 3, 0));
    printf("%d %d %d\n", many[0].msg_len, many[1].msg_len, many[2].msg_len);
    char parts[3][4];
    for (int i = 0; i < 3; i++) v[i].iov_base = parts[i], v[i].iov_len = 4;
    struct timespec limit = {1, 0};
    SHOW(recvmmsg(p[1], many, 3, MSG_WAITFORONE, &limit));
    printf("%d %d %d, %x %x\n", many[0].msg_len, many[1].msg_len, many[2].msg_len, many[0].msg_hdr.msg_flags, many[1].msg_hdr.msg_flags);
    SHOW(recvmmsg(p[1], many, 3, MSG_DONTWAIT, NULL));
    close(p[0]);
    SHOW(events(p[1]));
    SHOW(read(p[1], buf, 10));
    SHOW(write(p[1], "x", 1));
    close(p[1]);
}

static union { char raw[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(300 * sizeof(int))]; struct cmsghdr align; } control;
static long send_fds(int s, const int *fds, int n, int flags) {
    struct iovec v = {"fds", 3};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    return sendmsg(s, &m, flags);
}
static int last_fd;
static void receive(int s, size_t room, size_t bytes, int flags) {
    struct iovec v = {buf, bytes};
    struct msghdr m = {.msg_name = &other, .msg_namelen = sizeof other, .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = room};
    errno = 0;
    long n = recvmsg(s, &m, flags);
    printf("recvmsg %ld, %s, flags %x, control %d, name %d\n", n, strerror(errno), n < 0 ? 0 : m.msg_flags, n < 0 ? 0 : (int)m.msg_controllen, n < 0 ? 0 : m.msg_namelen);
    if (n < 0) return;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        printf("  type %d, %d bytes", c->cmsg_type, (int)c->cmsg_len);
        if (c->cmsg_type == SCM_RIGHTS) {
            int *fds = (void *)CMSG_DATA(c), k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            printf(", cloexec %d, valid %d", fcntl(fds[0], F_GETFD), fcntl(fds[k - 1], F_GETFD) >= 0);
            last_fd = fds[0];
            for (int i = 1; i < k; i++) close(fds[i]);
        } else {
            struct ucred *u = (void *)CMSG_DATA(c);
            printf(", mine %d %d %d", u->pid == getpid(), u->uid == getuid(), u->gid == getgid());
        }
        puts("");
    }
}
static void ancillary(void) {
    int p[2], q[2], fds[300];
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    pipe(q);
    SHOW(send_fds(p[0], q, 2, 0));
    SHOW(write(p[0], "more", 4));
    receive(p[1], 200, 100, MSG_CMSG_CLOEXEC);
    write(q[1], "through", 7);
    SHOW(read(last_fd, buf, 100));
    close(last_fd);
    receive(p[1], 200, 100, 0);
    send_fds(p[0], q, 2, 0);
    receive(p[1], 200, 2, 0), close(last_fd);
    receive(p[1], 200, 100, 0);
    send_fds(p[0], q, 2, 0);
    receive(p[1], 200, 100, MSG_PEEK), close(last_fd);
    receive(p[1], CMSG_LEN(4), 100, 0), close(last_fd);
    send_fds(p[0], q, 2, 0);
    receive(p[1], 0, 100, 0);
    send_fds(p[0], q, 2, 0);
    receive(p[1], 17, 100, 0);
    send_fds(p[0], q, 2, 0);
    SHOW(read(p[1], buf, 100));
    int bad[2] = {q[0], 99};
    SHOW(send_fds(p[0], bad, 2, 0));
    for (int i = 0; i < 300; i++) fds[i] = q[0];
    SHOW(send_fds(p[0], fds, 253, 0));
    SHOW(send_fds(p[0], fds, 254, 0));
    receive(p[1], sizeof control, 100, 0), close(last_fd);
    SHOW(set(p[1], SO_PASSCRED, 1));
    SHOW(option(p[1], SO_PASSCRED));
    send_fds(p[0], q, 1, 0);
    receive(p[1], 200, 100, 0), close(last_fd);
    struct iovec v = {"creds", 5};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof(struct ucred))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_CREDENTIALS, c->cmsg_len = CMSG_LEN(sizeof(struct ucred));
    struct ucred me = {getpid(), getuid(), getgid()};
    memcpy(CMSG_DATA(c), &me, sizeof me);
    SHOW(sendmsg(p[0], &m, 0));
    receive(p[1], 200, 100, 0);
    c->cmsg_len = CMSG_LEN(4);
    SHOW(sendmsg(p[0], &m, 0));
    c->cmsg_len = 5;
    SHOW(sendmsg(p[0], &m, 0));
    c->cmsg_len = CMSG_LEN(sizeof(struct ucred)), c->cmsg_type = 77;
    SHOW(sendmsg(p[0], &m, 0));
    m.msg_control = NULL;
    SHOW(sendmsg(p[0], &m, 0));
    m.msg_controllen = (size_t)-1;
    SHOW(sendmsg(p[0], &m, 0));
    m.msg_iovlen = 1025;
    SHOW(sendmsg(p[0], &m, 0));
    SHOW(sendmsg(p[0], (void *)8, 0));
    SHOW(recvmsg(p[0], (void *)8, 0));
    struct ucred peer;
    len = sizeof peer;
    SHOW(getsockopt(p[0], SOL_SOCKET, SO_PEERCRED, &peer, &len));
    printf("peer %d %d %d\n", peer.pid == getpid(), peer.uid == getuid(), len);
    // A socket in its own queue, and two in each other's.
    SHOW(send_fds(p[0], p + 1, 1, 0));
    SHOW(send_fds(p[1], p, 1, 0));
    close(p[0]), close(p[1]), close(q[0]), close(q[1]);
}
static void options(void) {
    int p[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    SHOW(option(p[0], SO_TYPE));
    SHOW(option(p[0], SO_DOMAIN));
    SHOW(option(p[0], SO_PROTOCOL));
    SHOW(option(p[0], SO_SNDBUF));
    SHOW(set(p[0], SO_SNDBUF, 10000));
    SHOW(option(p[0], SO_SNDBUF));
    SHOW(set(p[0], SO_SNDBUF, 1));
    SHOW(option(p[0], SO_SNDBUF));
    SHOW(set(p[0], SO_RCVBUF, 1));
    SHOW(option(p[0], SO_RCVBUF));
    SHOW(set(p[0], SO_REUSEADDR, 5));
    SHOW(option(p[0], SO_REUSEADDR));
    SHOW(set(p[0], SO_KEEPALIVE, 1));
    SHOW(option(p[0], SO_KEEPALIVE));
    SHOW(set(p[0], SO_TYPE, 1));
    SHOW(set(p[0], SO_ERROR, 1));
    SHOW(set(p[0], 999, 1));
    SHOW(option(p[0], 999));
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_SNDBUF, buf, 2));
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_SNDBUF, (void *)8, 4));
    SHOW(setsockopt(p[0], 6, 1, buf, 4));
    SHOW(getsockopt(p[0], 6, 1, buf, &len));
    len = 2;
    SHOW(getsockopt(p[0], SOL_SOCKET, SO_TYPE, buf, &len));
    SHOW(len);
    len = -1;
    SHOW(getsockopt(p[0], SOL_SOCKET, SO_TYPE, buf, &len));
    struct timeval t = {0, 40000}, got;
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    len = sizeof got;
    SHOW(getsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &got, &len));
    printf("%ld %ld\n", (long)got.tv_sec, (long)got.tv_usec);
    SHOW(recv(p[0], buf, 1, 0));
    SHOW(read(p[0], buf, 1));
    t.tv_usec = 1000000;
    SHOW(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    close(p[0]), close(p[1]);
}
static void *drain(void *fd) {
    long n, total = 0;
    char *mine = malloc(5000);
    while ((n = read(*(int *)fd, mine, 5000)) > 0) {
        for (long i = 0; i < n; i++)
            if (mine[i] != (char)((total + i) * 31)) puts("wrong byte"), exit(1);
        total += n;
    }
    printf("drained %ld\n", total);
    return NULL;
}
static void *connect_later(void *unused) {
    poll(NULL, 0, 50);
    int c = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un to = {AF_UNIX, "waiting"};
    if (connect(c, (void *)&to, sizeof to)) perror("connect");
    write(c, "hello", 5);
    close(c);
    return NULL;
}
static void waiting(void) {
    int p[2];
    pthread_t t;
    for (size_t i = 0; i < sizeof buf; i++) buf[i] = i * 31;
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    pthread_create(&t, NULL, drain, &p[1]);
    SHOW(write(p[0], buf, sizeof buf));
    shutdown(p[0], SHUT_WR);
    pthread_join(t, NULL);
    close(p[0]), close(p[1]);
    int l = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(l, (void *)&un, path("waiting")), listen(l, 5);
    pthread_create(&t, NULL, connect_later, NULL);
    int a = accept(l, NULL, NULL);
    SHOW(recv(a, buf, 5, MSG_WAITALL));
    SHOW(read(a, buf, 5));
    pthread_join(t, NULL);
    close(a), close(l);
    unlink("waiting");
}

// The last message may be longer than what is left of the buffer.
static void half_buffers(void) {
    int p[2], size;
    socklen_t len = sizeof size;
    socketpair(AF_UNIX, SOCK_DGRAM, 0, p);
    getsockopt(p[0], SOL_SOCKET, SO_SNDBUF, &size, &len);
    char *half = calloc(1, size / 2);
    for (int i = 0; i < 3; i++) printf("half %d\n", send(p[0], half, size / 2, MSG_DONTWAIT) == size / 2);
    SHOW(send(p[0], half, size, MSG_DONTWAIT));
    free(half);
    close(p[0]), close(p[1]);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    making(), streams(), datagrams(), ancillary(), options(), waiting(), half_buffers();
    return 0;
}
