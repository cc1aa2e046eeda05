// TCP on the loopback device: connecting, ends of connections, urgent data, backlog, readiness, buffers, names; IPv6
// and both at once.
#include "inet.h"

static int pipes;
static void on_pipe(int signal) {
    (void)signal;
    pipes++;
}
static int client, server;

static int listener(struct sockaddr_in *a, int backlog) {
    int l = socket(AF_INET, SOCK_STREAM, 0);
    *a = lo(0);
    socklen_t len = sizeof *a;
    bind(l, (void *)a, len);
    listen(l, backlog);
    getsockname(l, (void *)a, &len);
    return l;
}
static void make_pair(void) {
    struct sockaddr_in a;
    int l = listener(&a, 8);
    client = socket(AF_INET, SOCK_STREAM, 0);
    connect(client, (void *)&a, sizeof a);
    server = accept(l, 0, 0);
    close(l);
    pipes = 0;
}
static void end_pair(void) {
    close(client);
    close(server);
}
static int state(int fd) {
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ? -errno : info.tcpi_state;
}

static void ends(void) {
    puts("closed with unread data");
    make_pair();
    write(client, "abc", 3);
    await_bytes(server, 3);
    close(server);
    await(client, POLLHUP);
    show_events("peer", client);
    SHOW(read(client, buf, 9));
    SHOW(read(client, buf, 9));
    SHOW(write(client, "x", 1));
    printf("%d SIGPIPE\n", pipes);
    close(client);

    puts("closed in order");
    make_pair();
    close(server);
    await(client, POLLRDHUP);
    show_events("peer", client);
    SHOW(read(client, buf, 9));
    SHOW(write(client, "x", 1));
    await(client, POLLHUP);
    show_events("peer", client);
    printf("SO_ERROR %s\n", strerror(option(client, SOL_SOCKET, SO_ERROR)));
    SHOW(write(client, "x", 1));
    SHOW(send(client, "x", 1, MSG_NOSIGNAL));
    SHOW(read(client, buf, 9));
    printf("%d SIGPIPE, state %d\n", pipes, state(client));
    close(client);

    puts("thrown away");
    make_pair();
    struct linger now = {1, 0};
    setsockopt(server, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(server);
    await(client, POLLHUP);
    show_events("peer", client);
    SHOW(read(client, buf, 9));
    SHOW(read(client, buf, 9));
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    SHOW(getpeername(client, (void *)&a, &len));
    close(client);
}

static void shutdowns(void) {
    puts("shutdown for writing");
    make_pair();
    SHOW(shutdown(client, SHUT_WR));
    await(server, POLLRDHUP);
    show_events("peer", server);
    show_events("own", client);
    SHOW(read(server, buf, 9));
    SHOW(write(client, "x", 1));
    SHOW(write(server, "yy", 2));
    await(client, POLLIN);
    SHOW(read(client, buf, 9));
    printf("peer's state %d, %d SIGPIPE\n", state(server), pipes);
    close(server);
    await(client, POLLHUP);
    show_events("own", client);
    printf("state %d\n", state(client));
    close(client);

    puts("shutdown for reading");
    make_pair();
    SHOW(shutdown(client, SHUT_RD));
    show_events("own", client);
    SHOW(read(client, buf, 9));
    SHOW(write(server, "zz", 2));
    await_bytes(client, 2);
    SHOW(read(client, buf, 9));
    SHOW(write(server, "zz", 2));
    show_events("peer", server);
    end_pair();

    puts("shutdown of both");
    make_pair();
    SHOW(shutdown(client, SHUT_RDWR));
    await(server, POLLRDHUP);
    show_events("own", client);
    show_events("peer", server);
    SHOW(shutdown(client, SHUT_RDWR));
    SHOW(shutdown(client, 3));
    end_pair();
}

static void unconnected(void) {
    puts("unconnected");
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = lo(1);
    socklen_t len = sizeof a;
    show_events("fresh", s);
    SHOW(read(s, buf, 1));
    SHOW(write(s, buf, 1));
    SHOW(shutdown(s, SHUT_RDWR));
    SHOW(getpeername(s, (void *)&a, &len));
    SHOW(accept(s, 0, 0));
    SHOW(listen(s, 1));
    show_events("listening", s);
    a = lo(1);
    SHOW(connect(s, (void *)&a, sizeof a));
    SHOW(read(s, buf, 1));
    SHOW(write(s, buf, 1));
    SHOW(ioctl(s, FIONREAD, buf));
    fcntl(s, F_SETFL, O_NONBLOCK);
    SHOW(accept(s, 0, 0));
    SHOW(accept4(s, 0, 0, 7));
    SHOW(shutdown(s, SHUT_WR));
    SHOW(accept(s, 0, 0));
    SHOW(shutdown(s, SHUT_RD));
    SHOW(accept(s, 0, 0));
    show_events("not listening any more", s);
    close(s);
}

static void connects(void) {
    puts("refused");
    struct sockaddr_in a = lo(1);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(connect(s, (void *)&a, sizeof a));
    SHOW(connect(s, (void *)&a, sizeof a));
    show_events("refused", s);
    close(s);
    s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SHOW(connect(s, (void *)&a, sizeof a));
    show_events("refused", s);
    printf("SO_ERROR %s\n", strerror(option(s, SOL_SOCKET, SO_ERROR)));
    printf("SO_ERROR %s\n", strerror(option(s, SOL_SOCKET, SO_ERROR)));
    SHOW(connect(s, (void *)&a, sizeof a));
    SHOW(connect(s, (void *)&a, sizeof a));
    SHOW(connect(s, (void *)&a, sizeof a));
    close(s);

    puts("without waiting");
    int l = listener(&a, 8);
    s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SHOW(connect(s, (void *)&a, sizeof a));
    await(s, POLLOUT);
    show_events("client", s);
    await(l, POLLIN);
    show_events("listener", l);
    SHOW(connect(s, (void *)&a, sizeof a));
    SHOW(connect(s, (void *)&a, sizeof a));
    close(s);
    s = accept(l, 0, 0);
    SHOW(read(s, buf, 1));
    close(s);

    puts("never asked again");
    s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(s, (void *)&a, sizeof a);
    await(s, POLLOUT);
    printf("SO_ERROR %d\n", option(s, SOL_SOCKET, SO_ERROR));
    struct sockaddr_in peer;
    socklen_t peer_len = sizeof peer;
    SHOW(getpeername(s, (void *)&peer, &peer_len));
    int other = accept(l, 0, 0);
    SHOW(shutdown(s, SHUT_WR));
    await(other, POLLIN);
    SHOW(read(other, buf, 9));
    close(s);
    await(other, POLLRDHUP);
    SHOW(write(other, "x", 1));
    close(other);

    puts("sent before it is accepted");
    s = socket(AF_INET, SOCK_STREAM, 0);
    connect(s, (void *)&a, sizeof a);
    write(s, "early", 5);
    int t = accept(l, 0, 0);
    await_bytes(t, 5);
    SHOW(read(t, buf, 9));
    close(s);
    close(t);

    puts("the listener goes");
    s = socket(AF_INET, SOCK_STREAM, 0);
    connect(s, (void *)&a, sizeof a);
    await(l, POLLIN);
    close(l);
    await(s, POLLHUP);
    show_events("client", s);
    SHOW(read(s, buf, 1));
    close(s);

    puts("addresses that lead nowhere");
    s = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_addr.s_addr = htonl(0xe0000001);
    SHOW(connect(s, (void *)&a, sizeof a));
    SHOW(connect(s, (void *)&a, 3));
    a.sin_family = AF_INET6;
    SHOW(connect(s, (void *)&a, sizeof a));
    SHOW(bind(s, (void *)&a, sizeof a));
    SHOW(bind(s, (void *)&a, 3));
    a = lo(0);
    a.sin_addr.s_addr = htonl(0x08080808);
    SHOW(bind(s, (void *)&a, sizeof a));
    a.sin_addr.s_addr = htonl(0xe0000001);
    SHOW(bind(s, (void *)&a, sizeof a));
    close(s);

    puts("with itself");
    s = socket(AF_INET, SOCK_STREAM, 0);
    a = lo(0);
    socklen_t len = sizeof a;
    bind(s, (void *)&a, len);
    getsockname(s, (void *)&a, &len);
    SHOW(connect(s, (void *)&a, len));
    SHOW(write(s, "me", 2));
    await_bytes(s, 2);
    SHOW(read(s, buf, 9));
    show_events("itself", s);
    close(s);

    puts("parted and connected again");
    l = listener(&a, 8);
    s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr none = {AF_UNSPEC};
    SHOW(connect(s, (void *)&a, sizeof a));
    SHOW(connect(s, &none, sizeof none));
    SHOW(write(s, "x", 1));
    SHOW(connect(s, (void *)&a, sizeof a));
    SHOW(write(s, "x", 1));
    close(s);
    close(l);
}

static void waiting(void) {
    puts("more than may wait");
    struct sockaddr_in a;
    int l = listener(&a, 1), s[5], there = 0;
    for (int i = 0; i < 5; i++) {
        s[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(s[i], (void *)&a, sizeof a);
        usleep(3000);
        there += !!(events(s[i]) & POLLOUT);
    }
    printf("%d are connected\n", there);
    for (int i = 0; i < 5; i++) close(s[i]);
    close(l);

    puts("many processes accept");
    l = listener(&a, 64);
    int done[2];
    pipe(done);
    for (int i = 0; i < 4; i++) {
        if (!fork()) {
            for (;;) {
                int c = accept(l, 0, 0);
                char what;
                if (c < 0 || read(c, &what, 1) != 1 || what == 'q') _exit(0);
                write(done[1], &what, 1);
                write(c, &what, 1);
                close(c);
            }
        }
    }
    int answers = 0;
    for (int i = 0; i < 40; i++) {
        int c = socket(AF_INET, SOCK_STREAM, 0);
        char what = 'a' + i % 8;
        connect(c, (void *)&a, sizeof a);
        write(c, &what, 1);
        answers += read(c, &what, 1) == 1;
        close(c);
    }
    for (int i = 0; i < 4; i++) {
        int c = socket(AF_INET, SOCK_STREAM, 0);
        connect(c, (void *)&a, sizeof a);
        write(c, "q", 1);
        read(c, buf, 1);
        close(c);
    }
    int ended = 0;
    while (wait(0) > 0) ended++;
    printf("%d answers, %d children ended\n", answers, ended);
    close(l);
}

static volatile int urgent_signals, ready_signals;
static void on_urgent(int signal, siginfo_t *info, void *context) {
    (void)context;
    if (signal == SIGURG) urgent_signals += info->si_code == SI_KERNEL ? 1 : 100;
    else ready_signals++;
}
static void wait_for_signals(int count) {
    for (int i = 0; i < 2000 && urgent_signals < count; i++) usleep(1000);
    printf("%d SIGURG\n", urgent_signals);
}

/* The owner of a connection hears of urgent data, whether it is told of readiness or not. */
static void signals_of_urgent_data(void) {
    puts("SIGURG");
    struct sigaction action = {.sa_sigaction = on_urgent, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGURG, &action, 0);
    sigaction(SIGIO, &action, 0);
    make_pair();
    SHOW(send(client, "a", 1, MSG_OOB));
    await(server, POLLPRI);
    wait_for_signals(0);
    SHOW(fcntl(server, F_SETOWN, getpid()));
    SHOW(send(client, "b", 1, MSG_OOB));
    wait_for_signals(1);
    SHOW(write(client, "plain", 5));
    SHOW(send(client, "cd", 2, MSG_OOB));
    wait_for_signals(2);
    printf("%d SIGIO\n", ready_signals);
    fcntl(server, F_SETFL, O_ASYNC);
    send(client, "e", 1, MSG_OOB);
    wait_for_signals(3);
    printf("SIGIO too: %d\n", ready_signals > 0);
    fcntl(server, F_SETFL, 0);
    ready_signals = 0;
    send(client, "f", 1, MSG_OOB);
    wait_for_signals(4);
    SHOW(fcntl(server, F_SETOWN, 0));
    send(client, "g", 1, MSG_OOB);
    await(server, POLLPRI);
    wait_for_signals(0);
    printf("%d SIGIO\n", ready_signals);
    pid_t child = fork();
    if (child == 0) {
        fcntl(server, F_SETOWN, getpid());
        send(client, "h", 1, MSG_OOB);
        wait_for_signals(5);
        exit(0);
    }
    waitpid(child, 0, 0);
    printf("%d SIGURG here\n", urgent_signals);
    signal(SIGIO, SIG_DFL);
    signal(SIGURG, SIG_DFL);
    end_pair();
}

static void urgent(void) {
    puts("urgent data");
    make_pair();
    SHOW(send(client, "abc", 3, MSG_OOB));
    await(server, POLLPRI);
    show_events("receiver", server);
    int mark = -1;
    ioctl(server, SIOCATMARK, &mark);
    printf("mark %d\n", mark);
    SHOW(recv(server, buf, 9, MSG_OOB | MSG_PEEK));
    SHOW(recv(server, buf, 9, MSG_OOB));
    printf("'%c'\n", buf[0]);
    show_events("receiver", server);
    SHOW(recv(server, buf, 9, MSG_OOB));
    SHOW(read(server, buf, 9));
    ioctl(server, SIOCATMARK, &mark);
    printf("mark %d\n", mark);
    set(server, SOL_SOCKET, SO_OOBINLINE, 1);
    send(client, "xyZ", 3, MSG_OOB);
    await(server, POLLPRI);
    SHOW(read(server, buf, 9));
    SHOW(read(server, buf, 9));
    SHOW(recv(server, buf, 1, MSG_OOB));
    end_pair();
    make_pair();
    SHOW(recv(server, buf, 1, MSG_OOB));
    send(client, "1", 1, MSG_OOB);
    write(client, "23", 2);
    await_bytes(server, 0);
    await(server, POLLIN);
    SHOW(read(server, buf, 9));
    printf("'%.2s'\n", buf);
    end_pair();
}

static void transfers(void) {
    puts("filling");
    make_pair();
    fcntl(client, F_SETFL, O_NONBLOCK);
    long sent = 0, got = 0;
    ssize_t n;
    while ((n = write(client, buf, 4096)) > 0) sent += n;
    printf("%s, much %d\n", strerror(errno), sent > 100000);
    show_events("full", client);
    int out = 0, in = 0;
    ioctl(client, TIOCOUTQ, &out);
    ioctl(server, FIONREAD, &in);
    printf("unsent %d, unread %d\n", out > 0, in > 0);
    fcntl(server, F_SETFL, O_NONBLOCK);
    while (got < sent) {
        if ((n = read(server, buf, sizeof buf)) > 0) got += n;
        else await(server, POLLIN);
    }
    printf("everything came: %d\n", got == sent);
    await(client, POLLOUT);
    show_events("empty", client);
    end_pair();

    puts("flags");
    make_pair();
    write(client, "hello", 5);
    await_bytes(server, 5);
    SHOW(recv(server, buf, 9, MSG_PEEK));
    SHOW(recv(server, buf, 2, MSG_PEEK | MSG_TRUNC));
    SHOW(recv(server, (void *)0, 2, MSG_TRUNC));
    SHOW(recv(server, buf, 9, MSG_WAITALL | MSG_DONTWAIT));
    printf("'%.3s'\n", buf);
    SHOW(recv(server, buf, 9, MSG_DONTWAIT));
    SHOW(recv(server, buf, 0, MSG_DONTWAIT));
    SHOW(read(server, buf, 0));
    SHOW(recv(server, buf, 9, MSG_ERRQUEUE));
    SHOW(write(client, "", 0));
    struct sockaddr_in a = lo(9);
    SHOW(sendto(client, "x", 1, 0, (void *)&a, sizeof a));
    memset(&a, 0, sizeof a);
    SHOW(sendto(client, "x", 1, 0, (void *)&a, sizeof a));
    await_bytes(server, 2);
    set(server, SOL_SOCKET, SO_RCVLOWAT, 4);
    show_events("two of four", server);
    write(client, "ab", 2);
    await(server, POLLIN);
    show_events("four of four", server);
    SHOW(recvfrom(server, buf, 9, 0, (void *)&a, &(socklen_t){sizeof a}));
    set(server, SOL_SOCKET, SO_RCVLOWAT, 1);
    struct timeval short_time = {0, 30000};
    setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof short_time);
    SHOW(read(server, buf, 9));
    end_pair();
}

static void edges(void) {
    puts("edges");
    make_pair();
    int e = epoll_create1(0);
    struct epoll_event x = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {0}};
    epoll_ctl(e, EPOLL_CTL_ADD, server, &x);
    printf("%d", epoll_wait(e, &x, 1, 0));
    printf("/%x", x.events);
    printf(" %d", epoll_wait(e, &x, 1, 0));
    write(client, "a", 1);
    printf(" %d", epoll_wait(e, &x, 1, 1000));
    printf("/%x", x.events);
    write(client, "b", 1);
    printf(" %d", epoll_wait(e, &x, 1, 1000));
    printf("/%x", x.events);
    shutdown(client, SHUT_WR);
    printf(" %d", epoll_wait(e, &x, 1, 1000));
    printf("/%x", x.events);
    close(client);
    printf(" %d\n", epoll_wait(e, &x, 1, 0));
    close(server);
    close(e);
}

static void ports(void) {
    puts("ports");
    struct sockaddr_in a;
    int l = listener(&a, 4), q = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    SHOW(bind(q, (void *)&a, sizeof a));
    setsockopt(q, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    SHOW(bind(q, (void *)&a, sizeof a));
    int c = socket(AF_INET, SOCK_STREAM, 0);
    connect(c, (void *)&a, sizeof a);
    int s = accept(l, 0, 0);
    close(s);
    await(c, POLLRDHUP);
    close(c);
    close(l);
    SHOW(bind(q, (void *)&a, sizeof a));
    close(q);
    // One that lets its port be used again, from the start.
    l = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    a = lo(0);
    socklen_t len = sizeof a;
    bind(l, (void *)&a, len);
    getsockname(l, (void *)&a, &len);
    listen(l, 4);
    c = socket(AF_INET, SOCK_STREAM, 0);
    connect(c, (void *)&a, sizeof a);
    s = accept(l, 0, 0);
    close(s);
    await(c, POLLRDHUP);
    close(c);
    close(l);
    q = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(bind(q, (void *)&a, sizeof a));
    setsockopt(q, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    SHOW(bind(q, (void *)&a, sizeof a));
    SHOW(bind(q, (void *)&a, sizeof a));
    SHOW(listen(q, 1));
    close(q);
    puts("shared");
    int p = socket(AF_INET, SOCK_STREAM, 0);
    q = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(p, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    setsockopt(q, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    a = lo(0);
    bind(p, (void *)&a, len);
    getsockname(p, (void *)&a, &len);
    SHOW(bind(q, (void *)&a, len));
    SHOW(listen(p, 40));
    SHOW(listen(q, 40));
    int each[2] = {0};
    for (int i = 0; i < 64; i++) {
        c = socket(AF_INET, SOCK_STREAM, 0);
        connect(c, (void *)&a, sizeof a);
        struct pollfd both[2] = {{p, POLLIN}, {q, POLLIN}};
        poll(both, 2, 10000);
        int of = both[1].revents ? 1 : 0;
        s = accept(both[of].fd, 0, 0);
        each[of]++;
        close(c);
        close(s);
    }
    printf("both get some: %d\n", each[0] > 0 && each[1] > 0 && each[0] + each[1] == 64);
    close(p);
    close(q);
}

static void six(void) {
    puts("IPv6");
    char text[64];
    int l = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6}, peer;
    socklen_t len = sizeof any;
    bind(l, (void *)&any, len);
    listen(l, 4);
    int port = port_of(l);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in four = lo(port);
    SHOW(connect(c, (void *)&four, sizeof four));
    len = sizeof peer;
    int s = accept(l, (void *)&peer, &len);
    printf("peer %s, %d bytes\n", inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof text), len);
    len = sizeof peer;
    getsockname(s, (void *)&peer, &len);
    printf("own %s\n", inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof text));
    close(c);
    close(s);
    c = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 six = lo6(port);
    SHOW(connect(c, (void *)&six, sizeof six));
    len = sizeof peer;
    s = accept(l, (void *)&peer, &len);
    printf("peer %s\n", inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof text));
    SHOW(write(c, "six", 3));
    await_bytes(s, 3);
    SHOW(read(s, buf, 9));
    close(c);
    close(s);
    int q = socket(AF_INET, SOCK_STREAM, 0);
    four.sin_addr.s_addr = 0;
    SHOW(bind(q, (void *)&four, sizeof four));
    close(l);
    l = socket(AF_INET6, SOCK_STREAM, 0);
    SHOW(set(l, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    any.sin6_port = htons(port);
    SHOW(bind(l, (void *)&any, sizeof any));
    SHOW(set(l, IPPROTO_IPV6, IPV6_V6ONLY, 0));
    SHOW(bind(q, (void *)&four, sizeof four));
    listen(l, 4);
    c = socket(AF_INET, SOCK_STREAM, 0);
    four = lo(port);
    SHOW(connect(c, (void *)&four, sizeof four));
    close(c);
    close(q);
    close(l);
}

int main(void) {
    signal(SIGPIPE, on_pipe);
    setvbuf(stdout, 0, _IOLBF, 0);
    ends();
    shutdowns();
    unconnected();
    connects();
    waiting();
    urgent();
    signals_of_urgent_data();
    transfers();
    edges();
    ports();
    six();
}
