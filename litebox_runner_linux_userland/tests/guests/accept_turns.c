// Who of many that wait for connections is woken: one at a time, in the order they came; of sets of epoll that say
// EPOLLEXCLUSIVE, one. How long connections wait: TCP_DEFER_ACCEPT, and a full backlog.
#include "inet.h"
#include "asleep.h"
#include <sys/resource.h>
#include <sys/un.h>

enum { CHILDREN = 3 };

static pid_t children[CHILDREN];
static int told[2], go[2];

static int asleep(int child) { return state_of(children[child], children[child]) == 'S'; }
static void show_told(const char *what) {
    char who = '?';
    if (read(told[0], &who, 1) != 1) who = '!';
    printf("%s: %c\n", what, who);
}
// Starts children, each once the one before waits.
static void start(void (*body)(int, int), int fd) {
    pipe(told);
    pipe(go);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (!children[i]) {
            body(i, fd);
            _exit(0);
        }
        wait_asleep(children[i], children[i]);
    }
}
static void end_children(void) {
    for (int i = 0; i < CHILDREN; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], 0, 0);
    }
    close(told[0]), close(told[1]), close(go[0]), close(go[1]);
}
static void tell(int who) { write(told[1], &"012"[who], 1); }
static void accepts(int who, int l) {
    int s = accept(l, 0, 0);
    if (s >= 0) tell(who);
    pause();
}
static void connect_in_turn(const char *what, int domain, void *address, socklen_t len, int l) {
    start(accepts, l);
    int clients[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        clients[i] = socket(domain, SOCK_STREAM, 0);
        connect(clients[i], address, len);
        show_told(what);
        for (int rest = i + 1; rest < CHILDREN; rest++)
            if (!asleep(rest)) printf("%d was woken for nothing\n", rest);
    }
    for (int i = 0; i < CHILDREN; i++) close(clients[i]);
    end_children();
}

static void waits_exclusively(int who, int l) {
    int set = epoll_create1(0), s;
    struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE};
    epoll_ctl(set, EPOLL_CTL_ADD, l, &e);
    if (epoll_wait(set, &e, 1, -1) == 1) tell(who);
    char c;
    read(go[0], &c, 1);
    s = accept(l, 0, 0);
    if (s >= 0) tell(who);
    pause();
}
static void waits(int who, int l) {
    int set = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN};
    epoll_ctl(set, EPOLL_CTL_ADD, l, &e);
    if (epoll_wait(set, &e, 1, -1) == 1) tell(who);
    pause();
}
static int listener(struct sockaddr_in *a, int backlog) {
    int l = socket(AF_INET, SOCK_STREAM, 0);
    *a = lo(0);
    bind(l, (void *)a, sizeof *a);
    listen(l, backlog);
    a->sin_port = htons(port_of(l));
    return l;
}
static int client_of(struct sockaddr_in *a) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(connect(s, (void *)a, sizeof *a));
    return s;
}
static void epolls(void) {
    puts("epoll");
    struct sockaddr_in a;
    int l = listener(&a, 9);
    start(waits_exclusively, l);
    int first = client_of(&a);
    show_told("first");
    // The one who was told has not accepted yet; somebody who waits gets the next.
    int second = client_of(&a);
    show_told("second");
    printf("the last %s\n", asleep(2) ? "sleeps" : "was woken for nothing");
    write(go[1], "x", 1);
    read(told[0], &(char){0}, 1);
    close(first), close(second), close(l);
    end_children();
    l = listener(&a, 9);
    start(waits, l);
    first = client_of(&a);
    int all = 0;
    for (int i = 0; i < CHILDREN; i++) {
        char who;
        if (read(told[0], &who, 1) == 1) all |= 1 << (who - '0');
    }
    printf("without: %x\n", all);
    close(first), close(l);
    end_children();
}

static void *interrupted(void *l) {
    SHOW(accept((int)(long)l, 0, 0));
    return 0;
}
static void on_signal(int n) { (void)n; }
// Who goes away without a connection leaves it to the next.
static void leaves(void) {
    puts("leaves");
    struct sockaddr_in a;
    int l = listener(&a, 9);
    pipe(told);
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (!children[i]) {
            sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal}, 0);
            if (i == 0) {
                interrupted((void *)(long)l);
                fflush(stdout);
                tell(0);
                pause();
            }
            accepts(1, l);
        }
        wait_asleep(children[i], children[i]);
    }
    kill(children[0], SIGUSR1);
    show_told("interrupted");
    close(client_of(&a));
    show_told("connected");
    for (int i = 0; i < 2; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], 0, 0);
    }
    close(told[0]), close(told[1]), close(l);
}

// Without a descriptor nothing is accepted, and nothing lost.
static void without_descriptors(void) {
    puts("without descriptors");
    struct sockaddr_in a;
    struct rlimit limit = {32, 32};
    setrlimit(RLIMIT_NOFILE, &limit);
    int l = listener(&a, 9), s = client_of(&a), all[64], n = 0;
    while (n < 64 && (all[n] = dup(l)) >= 0) n++;
    SHOW(accept(l, 0, 0));
    SHOW(accept(all[0], 0, 0));
    while (n) close(all[--n]);
    int got = accept(l, 0, 0);
    printf("then: %s\n", got >= 0 ? "there" : strerror(errno));
    close(got), close(s), close(l);
}

static long elapsed_ms(struct timespec from) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000;
}
static struct timespec now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t;
}
static int state(int fd) {
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ? -errno : info.tcpi_state;
}
static void deferred(void) {
    puts("deferred");
    struct sockaddr_in a;
    int l = listener(&a, 9);
    SHOW(set(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1));
    fcntl(l, F_SETFL, O_NONBLOCK);
    int set = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    epoll_ctl(set, EPOLL_CTL_ADD, l, &e);
    // Something to read.
    int s = client_of(&a);
    printf("the client's state: %d\n", state(s));
    show_events("client", s);
    show_events("listener", l);
    printf("accepted: %d, %s\n", accept(l, 0, 0), strerror(errno));
    SHOW(send(s, "hello", 5, 0));
    SHOW(epoll_wait(set, &e, 1, 20000));
    show_events("listener", l);
    int got = accept(l, 0, 0);
    SHOW(got >= 0);
    printf("state: %d, reads %zd\n", state(got), recv(got, buf, 9, 0));
    SHOW(option(got, IPPROTO_TCP, TCP_DEFER_ACCEPT));
    close(got), close(s);
    // Nothing more to come.
    s = client_of(&a);
    shutdown(s, SHUT_WR);
    await(l, POLLIN);
    got = accept(l, 0, 0);
    printf("state: %d, reads %zd\n", state(got), recv(got, buf, 9, 0));
    SHOW(send(got, "x", 1, 0));
    SHOW(recv(s, buf, 9, 0));
    close(got), close(s);
    // Thrown away.
    s = client_of(&a);
    setsockopt(s, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(s);
    show_events("listener", l);
    close(l), close(set);
}

// Both kinds of waiting end by time alone. They run beside each other.
static void full(void) {
    puts("full");
    struct sockaddr_in a, late;
    int slow = listener(&late, 9), set_ = epoll_create1(0);
    set(slow, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
    struct timespec from = now();
    int silent = client_of(&late);
    int l = listener(&a, 0), first = client_of(&a), error;
    int quick = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), s = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(set(quick, IPPROTO_TCP, TCP_USER_TIMEOUT, 150));
    SHOW(connect(quick, (void *)&a, sizeof a));
    SHOW(connect(quick, (void *)&a, sizeof a));
    SHOW(set(s, IPPROTO_TCP, TCP_USER_TIMEOUT, 150));
    SHOW(connect(s, (void *)&a, sizeof a));
    printf("after %s\n", elapsed_ms(from) >= 140 ? "a while" : "no time");
    show_events("socket", s);
    struct epoll_event e = {.events = EPOLLOUT};
    epoll_ctl(set_, EPOLL_CTL_ADD, quick, &e);
    SHOW(epoll_wait(set_, &e, 1, 20000));
    error = option(quick, SOL_SOCKET, SO_ERROR);
    printf("%s, then %s\n", strerror(error), strerror(option(quick, SOL_SOCKET, SO_ERROR)));
    close(s), close(quick), close(first), close(l), close(set_);

    puts("silent");
    int got = accept(slow, 0, 0);
    printf("nothing to read, after %s\n", elapsed_ms(from) >= 900 ? "a while" : "no time");
    printf("state: %d, reads %zd, %s\n", state(got), recv(got, buf, 9, MSG_DONTWAIT), strerror(errno));
    SHOW(send(silent, "x", 1, 0));
    await(got, POLLIN);
    SHOW(recv(got, buf, 9, 0));
    close(got), close(silent), close(slow);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    struct sockaddr_in a;
    int l = listener(&a, 9);
    connect_in_turn("tcp", AF_INET, &a, sizeof a, l);
    close(l);
    // The bare host has one space of such names for all who run this.
    struct sockaddr_un u = {AF_UNIX, ""};
    socklen_t len = sizeof(sa_family_t) + 1 + sprintf(u.sun_path + 1, "accept turns %d", getpid());
    l = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(l, (void *)&u, len);
    listen(l, 9);
    connect_in_turn("unix", AF_UNIX, &u, len, l);
    close(l);
    epolls();
    leaves();
    without_descriptors();
    deferred();
    full();
    return 0;
}
