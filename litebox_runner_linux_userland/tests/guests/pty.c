// Pseudo-terminals: names, locks, settings, sizes, sessions, foreground groups, hang-ups.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static const char *e(long r) { return r < 0 ? strerrorname_np(errno) : "ok"; }

static int master, slave;
static char name[64];

// A fresh pair.
static void pair(int open_slave) {
    master = posix_openpt(O_RDWR | O_NOCTTY);
    strcpy(name, ptsname(master));
    if (!open_slave) return;
    grantpt(master);
    unlockpt(master);
    slave = open(name, O_RDWR | O_NOCTTY);
}

// What is written to a master arrives a little later.
static void arrives(int fd) { poll(&(struct pollfd){fd, POLLIN, 0}, 1, 2000); }

static void show(const char *what, const char *text, ssize_t n) {
    printf("%s: %ld %s", what, (long)n, e(n));
    for (ssize_t i = 0; i < n; i++) printf(" %02x", (unsigned char)text[i]);
    printf("\n");
}

static void say(const char *what, int fd) {
    char text[200];
    show(what, text, read(fd, text, sizeof text));
}

// What the discipline hands to the master, up to the end of a line: Linux may hand it over in parts.
static void say_line(const char *what, int fd) {
    char text[200];
    ssize_t n = 0, more = 1;
    while (more > 0 && !(n && text[n - 1] == '\n')) {
        more = read(fd, text + n, sizeof text - n);
        if (more > 0) n += more;
    }
    show(what, text, more < 0 ? more : n);
}

static void names(void) {
    pair(0);
    struct stat st;
    printf("ptsname %d stat %s\n", !strncmp(name, "/dev/pts/", 9), e(stat(name, &st)));
    int number = -1;
    printf("TIOCGPTN %s", e(ioctl(master, TIOCGPTN, &number)));
    printf(" %d\n", number == atoi(name + 9));
    printf("rdev %d %d mode %o type %o\n", major(st.st_rdev) == 136, (int)minor(st.st_rdev) == number, st.st_mode & 0777 & ~066,
           st.st_mode & S_IFMT);
    printf("locked: open %s\n", e(open(name, O_RDWR | O_NOCTTY)));
    int lock = -1;
    printf("TIOCGPTLCK %s", e(ioctl(master, TIOCGPTLCK, &lock)));
    printf(" %d\n", lock);
    printf("unlock %s\n", e(unlockpt(master)));
    ioctl(master, TIOCGPTLCK, &lock);
    printf("lock %d\n", lock);
    slave = open(name, O_RDWR | O_NOCTTY);
    printf("open %s isatty %d %d\n", e(slave), isatty(slave), isatty(master));
    printf("ttyname %d\n", !strcmp(ttyname(slave), name));
    printf("TIOCGPTN of the slave %s\n", e(ioctl(slave, TIOCGPTN, &number)));
    printf("lseek %s pread %s\n", e(lseek(slave, 0, SEEK_SET)), e(pread(slave, &number, 1, 0)));
    printf("unknown %s\n", e(ioctl(slave, 0x54ff, &number)));
    printf("bad address %s %s %s\n", e(ioctl(slave, TCGETS, 8)), e(ioctl(slave, TIOCGWINSZ, 8)), e(ioctl(slave, TCSETS, 8)));
    printf("access %s\n", e(access(name, R_OK | W_OK)));
    close(master);
    printf("gone: stat %s open %s\n", e(stat(name, &st)), e(open(name, O_RDWR | O_NOCTTY)));
    say("read", slave);
    printf("write %s\n", e(write(slave, "x", 1)));
    printf("tcgetattr %s\n", e(tcgetattr(slave, &(struct termios){0})));
    struct pollfd p = {slave, POLLIN | POLLOUT, 0};
    printf("poll %d", poll(&p, 1, 0));
    printf(" %x\n", p.revents & (POLLIN | POLLOUT | POLLHUP | POLLERR));
    close(slave);
}

static void settings(void) {
    pair(1);
    struct termios t, u;
    printf("tcgetattr %s: %x %x %x %x", e(tcgetattr(slave, &t)), t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
    for (int i = 0; i < 17; i++) printf(" %02x", t.c_cc[i]);
    printf("\n");
    cfsetospeed(&t, B115200);
    cfsetispeed(&t, B115200);
    t.c_cc[VINTR] = 'i';
    t.c_lflag &= ~ECHO;
    printf("tcsetattr %s\n", e(tcsetattr(master, TCSADRAIN, &t)));
    tcgetattr(slave, &u);
    printf("same %d speed %d\n", u.c_lflag == t.c_lflag && u.c_cc[VINTR] == 'i', cfgetospeed(&u) == B115200);
    unsigned raw[11];
    printf("TCGETS2 %s", e(ioctl(slave, _IOR('T', 0x2a, char[44]), raw)));
    printf(" speeds %u %u\n", raw[9], raw[10]);
    unsigned short old[9];
    printf("TCGETA %s", e(ioctl(slave, 0x5405, old)));
    printf(": %x %x %x %x\n", old[0], old[1], old[2], old[3]);
    old[3] |= ECHO;
    printf("TCSETA %s\n", e(ioctl(slave, 0x5406, old)));
    tcgetattr(slave, &u);
    printf("echo %d\n", !!(u.c_lflag & ECHO));
    printf("tcflush %s %s tcflow %s tcsendbreak %s tcdrain %s\n", e(tcflush(slave, TCIOFLUSH)), e(ioctl(slave, TCFLSH, 7)),
           e(ioctl(slave, TCXONC, 9)), e(tcsendbreak(slave, 0)), e(tcdrain(slave)));
    int discipline = 9;
    printf("TIOCGETD %s", e(ioctl(slave, TIOCGETD, &discipline)));
    printf(" %d\n", discipline);
    struct winsize w = {1, 2, 3, 4};
    printf("TIOCGWINSZ %s", e(ioctl(slave, TIOCGWINSZ, &w)));
    printf(" %d %d\n", w.ws_row, w.ws_col);
    w = (struct winsize){24, 80, 1, 2};
    printf("TIOCSWINSZ %s\n", e(ioctl(master, TIOCSWINSZ, &w)));
    memset(&w, 0, sizeof w);
    ioctl(slave, TIOCGWINSZ, &w);
    printf("%d %d %d %d\n", w.ws_row, w.ws_col, w.ws_xpixel, w.ws_ypixel);
    int count;
    write(master, "ab", 2);
    printf("FIONREAD %s", e(ioctl(slave, FIONREAD, &count)));
    printf(" %d", count);
    write(master, "c\n", 2);
    arrives(slave);
    ioctl(slave, FIONREAD, &count);
    printf(" %d\n", count);
    say("line", slave);
    say_line("echo", master);
    close(master);
    close(slave);
}

// In a session of its own.
static void session(void (*what)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        setsid();
        what();
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    printf("ended %d %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0, WEXITSTATUS(status));
}

static int seen;
static void note(int signal) { seen = signal; }

static void controlling(void) {
    printf("/dev/tty without: %s\n", e(open("/dev/tty", O_RDWR)));
    pair(1);
    pid_t group = 0;
    printf("before: TIOCGPGRP %s TIOCGSID %s TIOCNOTTY %s\n", e(ioctl(slave, TIOCGPGRP, &group)), e(ioctl(slave, TIOCGSID, &group)),
           e(ioctl(slave, TIOCNOTTY)));
    printf("master TIOCSCTTY %s\n", e(ioctl(master, TIOCSCTTY, 0)) ? "refused or not" : "");
    printf("TIOCSCTTY %s again %s\n", e(ioctl(slave, TIOCSCTTY, 0)), e(ioctl(slave, TIOCSCTTY, 0)));
    printf("foreground %d session %d\n", tcgetpgrp(slave) == getpgrp(), tcgetsid(slave) == getsid(0));
    printf("from the master %d\n", tcgetpgrp(master) == getpgrp());
    int tty = open("/dev/tty", O_RDWR);
    struct stat st;
    fstat(tty, &st);
    printf("/dev/tty %s %u %u\n", e(tty), major(st.st_rdev), minor(st.st_rdev));
    write(tty, "through\n", 8);
    say_line("master", master);
    printf("tcsetpgrp %s %s\n", e(tcsetpgrp(slave, 999999)), e(tcsetpgrp(slave, -1)));
    int other = master, other_slave = slave;
    pair(1);
    printf("a second one %s\n", e(ioctl(slave, TIOCSCTTY, 0)));
    close(master), close(slave);
    master = other, slave = other_slave;
    signal(SIGINT, note), signal(SIGTSTP, note), signal(SIGQUIT, note), signal(SIGWINCH, note);
    for (const char *c = "\x03\x1c\x1a"; *c; c++) {
        seen = 0;
        write(master, c, 1);
        for (int i = 0; i < 2000 && !seen; i++) usleep(1000);
        printf("character %x: signal %d\n", *c, seen);
    }
    struct winsize w = {9, 9, 0, 0};
    seen = 0;
    ioctl(master, TIOCSWINSZ, &w);
    printf("window: signal %d\n", seen);
    seen = 0;
    ioctl(master, TIOCSWINSZ, &w);
    printf("same window: signal %d\n", seen);
}

static void by_opening(void) {
    pair(0);
    unlockpt(master);
    slave = open(name, O_WRONLY);
    printf("opened for writing: %s\n", e(tcgetpgrp(slave)));
    slave = open(name, O_RDWR | O_NOCTTY);
    printf("O_NOCTTY: %s\n", e(tcgetpgrp(slave)));
    slave = open(name, O_RDWR);
    printf("opened: %d\n", tcgetpgrp(slave) == getpgrp());
}

static int wait_for(pid_t child) {
    int status = 0;
    waitpid(child, &status, WUNTRACED);
    return WIFSTOPPED(status) ? 1000 + WSTOPSIG(status) : WIFSIGNALED(status) ? 2000 + WTERMSIG(status) : WEXITSTATUS(status);
}

// A child in a group of its own that does one thing in the background.
static pid_t background(int what) {
    fflush(stdout);
    pid_t child = fork();
    if (child) return child;
    setpgid(0, 0);
    alarm(10);
    char c;
    struct termios t;
    long r = 0;
    switch (what) {
    case 0: r = read(slave, &c, 1); break;
    case 1: r = write(slave, "x", 1); break;
    case 2: tcgetattr(slave, &t), r = tcsetattr(slave, TCSANOW, &t); break;
    case 3: signal(SIGTTIN, SIG_IGN), r = read(slave, &c, 1); break;
    case 4: signal(SIGTTOU, SIG_IGN), r = tcsetpgrp(slave, getpgrp()); break;
    case 5: r = tcsetpgrp(slave, getpgrp()); break;
    case 6: r = tcflush(slave, TCIFLUSH); break;
    }
    _exit(r < 0 ? errno : 100 + (int)r);
}

static void groups(void) {
    pair(1);
    ioctl(slave, TIOCSCTTY, 0);
    signal(SIGTTOU, SIG_IGN);
    pid_t own = getpgrp();
    for (int what = 0; what < 7; what++) {
        if (what == 5) signal(SIGTTOU, SIG_DFL);
        pid_t child = background(what);
        int status = wait_for(child);
        printf("background %d: %d", what, status);
        if (status > 1000 && status < 2000) {
            signal(SIGTTOU, SIG_IGN);
            if (what == 0) tcsetpgrp(slave, child), write(master, "z\n", 2);
            else tcsetpgrp(slave, child);
            kill(-child, SIGCONT);
            printf(" in the foreground %d", wait_for(child));
            tcsetpgrp(slave, own);
            signal(SIGTTOU, what >= 5 ? SIG_DFL : SIG_IGN);
        }
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(slave, own);
        printf("\n");
    }
    struct termios t;
    tcgetattr(slave, &t);
    t.c_lflag |= TOSTOP;
    tcsetattr(slave, TCSANOW, &t);
    signal(SIGTTOU, SIG_DFL);
    pid_t child = background(1);
    printf("TOSTOP: %d\n", wait_for(child));
    kill(-child, SIGKILL);
    printf("killed: %d\n", wait_for(child));
    tcflush(slave, TCIOFLUSH);
    // The suspend character stops the foreground group.
    signal(SIGTTOU, SIG_IGN);
    fflush(stdout);
    child = fork();
    if (!child) {
        setpgid(0, 0);
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(slave, getpid());
        write(slave, "!", 1);
        for (;;) pause();
    }
    char c = 0;
    while (c != '!') read(master, &c, 1);
    write(master, "\x1a", 1);
    printf("suspended: %d\n", wait_for(child));
    kill(-child, SIGCONT);
    write(master, "\x03", 1);
    printf("interrupted: %d\n", wait_for(child));
}

// Closed for writing when the foreground group of `hang_up` is gone.
static int alive[2];

static void hang_up(void) {
    close(alive[0]);
    pair(1);
    ioctl(slave, TIOCSCTTY, 0);
    signal(SIGHUP, note);
    fflush(stdout);
    int ready[2];
    pipe(ready);
    pid_t child = fork();
    if (!child) {
        setpgid(0, 0);
        signal(SIGHUP, SIG_DFL);
        alarm(10);
        close(master);
        write(ready[1], "!", 1);
        for (;;) pause();
    }
    close(alive[1]);
    read(ready[0], ready, 1);
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(slave, child);
    close(master);
    for (int i = 0; i < 2000 && !seen; i++) usleep(1000);
    printf("leader: signal %d child: %d\n", seen, waitpid(child, NULL, WNOHANG));
    say("read", slave);
    printf("tcgetpgrp %s /dev/tty %s\n", e(tcgetpgrp(slave)), e(open("/dev/tty", O_RDWR)));
}

// The end of the leader takes the terminal from its session; another one can have it.
static void leader_ends(void) {
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        setsid();
        int fd = open(name, O_RDWR);
        printf("leader: %d\n", tcgetpgrp(fd) == getpid());
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    int fd = open(name, O_RDWR | O_NOCTTY);
    printf("anew: %s TIOCSCTTY %s\n", e(fd), e(ioctl(fd, TIOCSCTTY, 0)));
    printf("write %s\n", e(write(fd, "x", 1)));
    say("master", master);
}

int main(void) {
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    alarm(15);
    names();
    settings();
    session(controlling);
    session(by_opening);
    session(groups);
    pipe(alive);
    session(hang_up);
    close(alive[1]);
    printf("the end of the leader hangs up its group: %d\n", poll(&(struct pollfd){alive[0], POLLIN, 0}, 1, 5000));
    pair(1);
    close(slave);
    session(leader_ends);
    return 0;
}
