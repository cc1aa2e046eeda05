//@ flags: -pthread
//@ timeout: 60
// Packet mode of pseudo-terminals, the slave of a master by its descriptor, hanging up, and several readers at once.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include "result.h"

static int master, slave;

static void open_pair(void)
{
    master = posix_openpt(O_RDWR | O_NOCTTY);
    grantpt(master);
    unlockpt(master);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    fcntl(master, F_SETFL, O_NONBLOCK);
}

// What the master reads next, its first byte as a number.
static void next(const char *when, size_t room)
{
    unsigned char text[256] = {0};
    struct pollfd look = {master, POLLIN | POLLPRI, 0};
    poll(&look, 1, 200);
    long n = read(master, text, room);
    int error = errno;
    printf("%s: poll %x, ", when, look.revents);
    errno = error;
    if (n <= 0) { printf("read %s\n", result(n)); return; }
    printf("read %ld: [%d] ", n, text[0]);
    for (long i = 1; i < n; i++) printf(text[i] >= ' ' ? "%c" : "\\%o", text[i]);
    printf("\n");
}

static void packet_mode(void)
{
    open_pair();
    struct termios raw, usual;
    tcgetattr(slave, &usual);
    int on = 7;
    printf("TIOCGPKT %s", result(ioctl(master, TIOCGPKT, &on)));
    printf(" %d\n", on);
    on = 1;
    printf("TIOCPKT of the slave %s, bad address %s\n", result(ioctl(slave, TIOCPKT, &on)), result(ioctl(master, TIOCPKT, (void *)8)));
    tcflow(slave, TCOOFF);
    tcflow(slave, TCOON);
    printf("TIOCPKT %s", result(ioctl(master, TIOCPKT, &on)));
    on = 7;
    ioctl(master, TIOCGPKT, &on);
    printf(" %d\n", on);
    next("nothing", 100);
    write(slave, "hello", 5);
    next("data", 100);
    write(slave, "hello", 5);
    next("two bytes", 2);
    next("one byte", 1);
    next("the rest", 100);
    tcflow(slave, TCOOFF);
    next("stopped", 100);
    tcflow(slave, TCOON);
    next("goes on", 100);
    tcflow(slave, TCOOFF);
    tcflow(slave, TCOON);
    next("stopped and goes on", 100);
    write(master, "\023", 1);
    next("stopped by its key", 100);
    write(master, "\021", 1);
    next("goes on by its key", 100);
    tcflush(slave, TCIFLUSH);
    next("input flushed", 100);
    tcflush(slave, TCOFLUSH);
    next("output flushed", 100);
    tcflush(slave, TCIOFLUSH);
    next("both flushed", 100);
    raw = usual;
    raw.c_iflag &= ~IXON;
    tcsetattr(slave, TCSANOW, &raw);
    next("no stop key", 100);
    tcsetattr(slave, TCSANOW, &usual);
    next("stop key", 100);
    raw = usual;
    raw.c_cc[VSTOP] = 'x';
    tcsetattr(slave, TCSANOW, &raw);
    next("another stop key", 100);
    tcsetattr(slave, TCSANOW, &usual);
    write(slave, "after", 5);
    next("news first", 100);
    next("then data", 100);
    raw = usual;
    raw.c_lflag &= ~ECHO;
    tcsetattr(slave, TCSANOW, &raw);
    write(master, "\003", 1);
    next("interrupt", 100);
    on = 0;
    ioctl(master, TIOCPKT, &on);
    write(slave, "plain", 5);
    next("mode off", 100);
    close(slave);
    close(master);
}

static void peers(void)
{
    open_pair();
    int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    printf("peer %d, of the slave %s\n", peer >= 0, result(ioctl(slave, TIOCGPTPEER, O_RDWR)));
    struct stat a, b;
    fstat(peer, &a);
    fstat(slave, &b);
    char name[64];
    printf("same %d, name %d, cloexec %d\n", a.st_rdev == b.st_rdev && a.st_ino == b.st_ino,
           ttyname_r(peer, name, sizeof name) == 0 && !strcmp(name, ptsname(master)), fcntl(peer, F_GETFD));
    write(peer, "by the peer", 11);
    char text[64] = "";
    read(master, text, sizeof text);
    printf("%s\n", text);
    close(peer);
    int locked = 1;
    ioctl(master, TIOCSPTLCK, &locked);
    printf("locked %s\n", result(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY)));
    locked = 0;
    ioctl(master, TIOCSPTLCK, &locked);
    peer = ioctl(master, TIOCGPTPEER, O_RDONLY | O_NOCTTY);
    printf("read-only: write %s\n", result(write(peer, "x", 1)));
    close(peer);
    close(slave);
    close(master);
}

static void hang_up(void)
{
    open_pair();
    fflush(stdout);
    pid_t somebody = fork();
    if (somebody == 0) {
        setresuid(1000, 1000, 1000);
        printf("TIOCVHANGUP by somebody %s\n", result(ioctl(slave, TIOCVHANGUP)));
        fflush(stdout);
        _exit(0);
    }
    waitpid(somebody, 0, 0);
    if (geteuid() == 0) {
        int ready[2];
        char c;
        pipe(ready);
        pid_t leader = fork();
        if (leader == 0) {
            setsid();
            ioctl(slave, TIOCSCTTY, 0);
            write(ready[1], "x", 1);
            pause();
            _exit(0);
        }
        read(ready[0], &c, 1);
        printf("TIOCVHANGUP %s\n", result(ioctl(slave, TIOCVHANGUP)));
        int status;
        waitpid(leader, &status, 0);
        printf("its leader: signal %d\n", WTERMSIG(status));
        printf("the slave reads %s", result(read(slave, &c, 1)));
        printf(", writes %s", result(write(slave, "x", 1)));
        struct termios t;
        printf(", has settings %s\n", result(tcgetattr(slave, &t)));
        int again = open(ptsname(master), O_RDWR | O_NOCTTY);
        printf("opened again %d", again >= 0);
        printf(", writes %s\n", result(write(again, "again", 5)));
        close(again);
    }
    close(slave);
    close(master);
}

// Two readers of one side: each byte is read once.
enum { BYTES = 60000 };
static int wanted;
static unsigned char seen[BYTES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int total;
static void *reader(void *from)
{
    int fd = *(int *)from;
    unsigned char text[512];
    for (;;) {
        pthread_mutex_lock(&lock);
        int over = total >= wanted;
        pthread_mutex_unlock(&lock);
        if (over) return 0;
        struct pollfd look = {fd, POLLIN, 0};
        if (poll(&look, 1, 20) <= 0) continue;
        long n = read(fd, text, 1 + (unsigned)rand() % sizeof text);
        if (n <= 0) continue;
        pthread_mutex_lock(&lock);
        total += n;
        for (long i = 0; i < n; i++) seen[text[i]]++;
        pthread_mutex_unlock(&lock);
    }
}
static void race(const char *name, int from_slave)
{
    open_pair();
    struct termios raw;
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    raw.c_cc[VMIN] = 0;
    tcsetattr(slave, TCSANOW, &raw);
    fcntl(slave, F_SETFL, O_NONBLOCK);
    int reads = from_slave ? slave : master, writes = from_slave ? master : slave;
    pthread_t t[3];
    total = 0;
    wanted = BYTES;
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < 3; i++) pthread_create(&t[i], 0, reader, &reads);
    int sent = 0;
    long counts[256] = {0};
    while (sent < BYTES) {
        unsigned char text[97];
        for (int i = 0; i < 97; i++) text[i] = (sent + i) % 251;
        long n = write(writes, text, BYTES - sent < 97 ? BYTES - sent : 97);
        if (n < 0) { usleep(200); continue; }
        for (long i = 0; i < n; i++) counts[text[i]]++;
        sent += n;
    }
    for (int i = 0; i < 3; i++) pthread_join(t[i], 0);
    int wrong = 0;
    for (int i = 0; i < 256; i++) wrong += seen[i] != (unsigned char)counts[i];
    printf("%s: read %d, wrong %d\n", name, total, wrong);
    close(slave);
    close(master);
}

int main(void)
{
    signal(SIGHUP, SIG_DFL);
    packet_mode();
    peers();
    hang_up();
    race("slave", 1);
    race("master", 0);
    return 0;
}
