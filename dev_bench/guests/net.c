// One side of a connection: `net serve PORT` answers for ever (port 0: any; the port is printed), and
// `net WHAT ADDRESS PORT` prints the nanoseconds of one turn, the median of nine batches.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHECK(call) ({ long r_ = (long)(call); if (r_ < 0) { perror(#call); exit(1); } r_; })
#define BATCHES 9

static char buffer[64 << 10];

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e9 + at.tv_nsec;
}

static void at_once(int fd) {
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)));
}

// Greets with a byte; what the client says first decides: `p` bytes come back one by one, `b` all is swallowed and one
// byte says so, nothing: the client is gone.
static void serve(int fd) {
    char what = 0;
    at_once(fd);
    CHECK(write(fd, "g", 1));
    if (read(fd, &what, 1) == 1) {
        if (what == 'p')
            while (read(fd, buffer, 1) == 1 && write(fd, buffer, 1) == 1)
                ;
        for (ssize_t n; what == 'b' && (n = read(fd, buffer, sizeof buffer)) > 0;)
            if (buffer[n - 1] == 'e')
                CHECK(write(fd, "d", 1));
    }
    close(fd);
}

static void serve_all(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int listener = CHECK(socket(AF_INET, SOCK_STREAM, 0));
    CHECK(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)));
    CHECK(bind(listener, (struct sockaddr *)&at, sizeof at));
    CHECK(listen(listener, 128));
    socklen_t length = sizeof at;
    CHECK(getsockname(listener, (struct sockaddr *)&at, &length));
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;)
        serve(CHECK(accept(listener, NULL, NULL)));
}

static struct sockaddr_in server;

static int connected(void) {
    char greeting;
    int fd = CHECK(socket(AF_INET, SOCK_STREAM, 0));
    CHECK(connect(fd, (struct sockaddr *)&server, sizeof server));
    if (CHECK(read(fd, &greeting, 1)) != 1)
        exit(2);
    at_once(fd);
    return fd;
}

static int stream = -1;

static void connect_turn(void) { close(connected()); }
static void pingpong_turn(void) {
    char byte = 'x';
    CHECK(write(stream, &byte, 1));
    if (CHECK(read(stream, &byte, 1)) != 1)
        exit(2);
}
// 16 MiB, the last byte of which is answered.
static void bulk_turn(void) {
    char byte;
    for (int i = 0; i < 256; i++) {
        buffer[sizeof buffer - 1] = i == 255 ? 'e' : 'x';
        for (size_t done = 0; done < sizeof buffer;)
            done += CHECK(write(stream, buffer + done, sizeof buffer - done));
    }
    if (CHECK(read(stream, &byte, 1)) != 1)
        exit(2);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "serve"))
        serve_all(atoi(argv[2]));
    if (argc != 4)
        return 2;
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    if (inet_pton(AF_INET, argv[2], &server.sin_addr) != 1)
        return 2;
    void (*turn)(void) = connect_turn;
    int turns = 100;
    if (strcmp(argv[1], "connect")) {
        int bulk = !strcmp(argv[1], "bulk");
        turn = bulk ? bulk_turn : pingpong_turn;
        turns = bulk ? 4 : 1000;
        stream = connected();
        CHECK(write(stream, bulk ? "b" : "p", 1));
    }
    memset(buffer, 'x', sizeof buffer);
    double batches[BATCHES];
    for (int batch = -1; batch < BATCHES; batch++) {
        double begin = now();
        for (int i = 0; i < turns; i++)
            turn();
        if (batch >= 0)
            batches[batch] = (now() - begin) / turns;
    }
    qsort(batches, BATCHES, sizeof *batches, by_value);
    printf("%.1f\n", batches[BATCHES / 2]);
}
