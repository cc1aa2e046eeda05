// What a TCP socket keeps back because more is to follow (MSG_MORE, TCP_CORK): until it does, until the socket is told
// otherwise or ends, and no longer than the ceiling that tcp(7) has. Where the machine took so long over a case that
// the ceiling was reached, the case is done again.
#include "inet.h"

#include "asleep.h"
#include <linux/sockios.h>
#include <sys/sendfile.h>

enum { QUICK = 100, CEILING = 190 };

static int client, server;

static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
static void make_pair(void) {
    struct sockaddr_in a = lo(0);
    socklen_t len = sizeof a;
    int l = socket(AF_INET, SOCK_STREAM, 0);
    bind(l, (void *)&a, len);
    listen(l, 8);
    getsockname(l, (void *)&a, &len);
    client = socket(AF_INET, SOCK_STREAM, 0);
    connect(client, (void *)&a, len);
    server = accept(l, 0, 0);
    close(l);
}
static void end_pair(void) {
    close(client);
    close(server);
}
static int more(int n) { return send(client, buf, n, MSG_MORE); }
// What is to be seen of it at the other end.
static int seen(char *out, const char *when) {
    int waits = -1;
    ioctl(server, FIONREAD, &waits);
    long got = recv(server, buf, sizeof buf, MSG_DONTWAIT | MSG_PEEK);
    return sprintf(out, "  %s: %d to read,%s IN, recv %ld %s\n", when, waits, events(server) & POLLIN ? "" : " not", got,
                   got < 0 ? strerror(errno) : "");
}

static int by_nothing(void) { return 0; }
static int by_send(void) { return send(client, buf, 3, 0); }
static int by_write(void) { return write(client, buf, 3); }
static int by_oob(void) { return send(client, "!", 1, MSG_OOB); }
static int by_empty(void) { return send(client, buf, 0, 0); }
static int by_cork_off(void) { return set(client, IPPROTO_TCP, TCP_CORK, 0); }
static int by_cork_on(void) { return set(client, IPPROTO_TCP, TCP_CORK, 1); }
static int by_no_delay(void) { return set(client, IPPROTO_TCP, TCP_NODELAY, 1); }
static int by_delay(void) { return set(client, IPPROTO_TCP, TCP_NODELAY, 0); }
static int by_shutdown(void) { return shutdown(client, SHUT_WR); }
static int by_more(void) { return more(3); }
static int by_sendmsg(void) {
    struct iovec parts[2] = {{buf, 2}, {buf, 2}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    return sendmsg(client, &message, 0);
}
static int by_sendfile(void) {
    FILE *file = tmpfile();
    fputs("file", file);
    fflush(file);
    off_t from = 0;
    int n = sendfile(client, fileno(file), &from, 4);
    fclose(file);
    return n;
}

static const struct {
    const char *name;
    int (*go)(void);
} ways[] = {
    {"nothing", by_nothing}, {"send", by_send}, {"write", by_write}, {"urgent data", by_oob}, {"an empty send", by_empty},
    {"TCP_CORK off", by_cork_off}, {"TCP_CORK on", by_cork_on}, {"TCP_NODELAY on", by_no_delay}, {"TCP_NODELAY off", by_delay},
    {"shutdown", by_shutdown}, {"more", by_more}, {"sendmsg", by_sendmsg}, {"sendfile", by_sendfile},
};

// 5 bytes are kept back, then something happens.
static void lets_go(int way, int corks) {
    static char out[1024];
    for (int tries = 0; tries < 100; tries++) {
        make_pair();
        if (corks) set(client, IPPROTO_TCP, TCP_CORK, 1);
        long start = now();
        int sent = corks ? (int)write(client, buf, 5) : more(5), n = 0;
        int unsent = -1, kept = -1;
        ioctl(client, TIOCOUTQ, &unsent);
        ioctl(client, SIOCOUTQNSD, &kept);
        n += sprintf(out, "  %d unsent, %d of them kept\n", unsent, kept);
        n += seen(out + n, "kept back");
        int result = ways[way].go();
        // What arrives at all does so soon.
        struct pollfd f = {server, POLLIN, 0};
        poll(&f, 1, 10);
        n += seen(out + n, "after that");
        long took = now() - start;
        end_pair();
        if (took > QUICK) continue;
        printf("%s, then %s: %d, %d\n%s", corks ? "corked" : "MSG_MORE", ways[way].name, sent, result, out);
        return;
    }
    puts("never quick enough");
}

// Who waits from before on is told when the ceiling is reached, and not before.
enum waiting { RECV, POLL, EPOLL, EPOLL_EDGE, NESTED, WAYS_TO_WAIT };
static const char *const waits[] = {"recv", "poll", "epoll", "edge-triggered epoll", "a set in a set"};

static void wait_by(enum waiting how, int wanted) {
    int set = epoll_create1(0), outer = epoll_create1(0);
    struct epoll_event e = {EPOLLIN | (how == EPOLL_EDGE ? EPOLLET : 0), {0}};
    epoll_ctl(set, EPOLL_CTL_ADD, server, &e);
    e.events = EPOLLIN;
    epoll_ctl(outer, EPOLL_CTL_ADD, set, &e);
    int ready = 1;
    struct pollfd f = {server, POLLIN, 0};
    if (how == POLL) ready = poll(&f, 1, 20000);
    if (how == EPOLL || how == EPOLL_EDGE) ready = epoll_wait(set, &e, 1, 20000);
    if (how == NESTED) ready = epoll_wait(outer, &e, 1, 20000);
    int got = recv(server, buf, wanted, how == RECV ? 0 : MSG_DONTWAIT);
    printf("  %d ready, %d bytes\n", ready, got);
    close(outer);
    close(set);
}
static void ceiling(enum waiting how, int before) {
    make_pair();
    int told[2], over[2];
    pipe(told);
    pipe(over);
    long start;
    if (!fork()) {
        close(1);
        close(over[1]);
        wait_asleep(getppid(), getppid());
        start = now();
        if (before) send(client, buf, before, 0);
        more(5);
        write(told[1], &start, sizeof start);
        // Until the other one is done: no end of the connection lets anything go before the ceiling.
        read(over[0], buf, 1);
        _exit(0);
    }
    printf("%s%s\n", waits[how], before ? ", after bytes that arrived" : "");
    if (before) wait_by(how, before);
    wait_by(how, 5);
    long end = now();
    read(told[0], &start, sizeof start);
    printf("  %s\n", end - start >= CEILING ? "not before the ceiling" : "too early");
    exit(0);
}
// All at once, each with its output behind that of the one before.
static void ceilings(void) {
    enum { CASES = 2 * WAYS_TO_WAIT };
    int outputs[CASES][2];
    for (int i = 0; i < CASES; i++) {
        pipe(outputs[i]);
        if (!fork()) {
            dup2(outputs[i][1], 1);
            close(outputs[i][1]);
            ceiling(i / 2, i % 2 ? 3 : 0);
        }
        close(outputs[i][1]);
    }
    for (int i = 0; i < CASES; i++)
        for (int n; (n = read(outputs[i][0], buf, sizeof buf)) > 0;) fwrite(buf, 1, n, stdout);
}

static void fills_segments(void) {
    puts("more than a segment");
    make_pair();
    set(client, IPPROTO_TCP, TCP_CORK, 1);
    int all = 40000, waits = 0;
    long start = now();
    printf("%zd\n", write(client, buf, all));
    await(server, POLLIN);
    ioctl(server, FIONREAD, &waits);
    if (now() - start < QUICK && (waits <= 0 || waits >= all)) printf("%d of them arrived\n", waits);
    set(client, IPPROTO_TCP, TCP_CORK, 0);
    await_bytes(server, all);
    end_pair();
}
static void fills_the_room(void) {
    puts("no room for more");
    make_pair();
    int size = 4096, sent = 0, got = 0, n;
    setsockopt(client, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    set(client, IPPROTO_TCP, TCP_CORK, 1);
    while ((n = send(client, buf, 100, MSG_DONTWAIT | MSG_MORE)) > 0) sent += n;
    while (got < sent && (n = recv(server, buf, sizeof buf, 0)) > 0) got += n;
    printf("%s\n", got == sent && sent > 0 ? "all of it arrives" : "something is lost");
    end_pair();
}
static void closed(void) {
    puts("closed");
    make_pair();
    more(5);
    close(client);
    SHOW(recv(server, buf, 5, MSG_WAITALL));
    SHOW(recv(server, buf, 5, 0));
    close(server);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    signal(SIGCHLD, SIG_IGN);
    for (int corks = 0; corks < 2; corks++)
        for (unsigned way = 0; way < sizeof ways / sizeof *ways; way++) lets_go(way, corks);
    ceilings();
    fills_segments();
    fills_the_room();
    closed();
}
