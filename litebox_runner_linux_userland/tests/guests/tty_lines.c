// Pseudo-terminals: how much they hold, columns of the output, erasing over parts of characters, requests that keep one
// word.
//@ flags: -lutil
#include "result.h"
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int master, slave;

static void show_output(const char *what, const char *written) {
    char text[64];
    if (write(slave, written, strlen(written)) < 0) return;
    long n = read(master, text, sizeof text);
    printf("%s:", what);
    for (long i = 0; i < n; i++) printf(" %02x", (unsigned char)text[i]);
    printf("\n");
}
static void set_output(tcflag_t flags) {
    struct termios t;
    tcgetattr(slave, &t);
    t.c_oflag = flags;
    tcsetattr(slave, TCSANOW, &t);
}
static void outputs(void) {
    set_output(OPOST | ONOCR);
    show_output("no return at the first column", "\rab\r\rc\n");
    set_output(OPOST | ONOCR | ONLCR);
    show_output("newline returns", "x\n\ry\r\n");
    set_output(OPOST | OCRNL);
    show_output("return is newline", "a\rb");
    set_output(OPOST | ONLRET | ONOCR);
    show_output("newline is at the first column", "abc\n\rd\n");
    set_output(OPOST | XTABS);
    show_output("tabulators", "\na\tb\b\b\tc");
    set_output(OPOST | OLCUC);
    show_output("capitals", "aBc1");
    set_output(0);
    show_output("nothing", "a\r\n\t");
}
static void erase(const char *what, const char *typed) {
    char text[64];
    struct termios t;
    tcgetattr(slave, &t);
    t.c_iflag |= IUTF8;
    t.c_lflag &= ~ECHO;
    tcsetattr(slave, TCSAFLUSH, &t);
    if (write(master, typed, strlen(typed)) < 0) return;
    long n = read(slave, text, sizeof text);
    printf("%s:", what);
    for (long i = 0; i < n; i++) printf(" %02x", (unsigned char)text[i]);
    printf("\n");
}
static void words(void) {
    int word = 7;
    struct termios locked;
    memset(&locked, 0xff, sizeof locked);
    printf("TIOCGEXCL %s", result(ioctl(slave, TIOCGEXCL, &word)));
    printf(" %d", word);
    printf(", TIOCEXCL %s", result(ioctl(slave, TIOCEXCL)));
    ioctl(slave, TIOCGEXCL, &word);
    printf(" %d", word);
    printf(", TIOCNXCL %s", result(ioctl(slave, TIOCNXCL)));
    ioctl(slave, TIOCGEXCL, &word);
    printf(" %d\n", word);
    unsigned dev = 0;
    struct stat st;
    fstat(slave, &st);
    printf("TIOCGDEV %s", result(ioctl(slave, TIOCGDEV, &dev)));
    printf(", of the slave %d", dev == st.st_rdev);
    printf(", of the master %s", result(ioctl(master, TIOCGDEV, &dev)));
    printf(" %d\n", dev == st.st_rdev);
    printf("TIOCGSOFTCAR %s", result(ioctl(slave, TIOCGSOFTCAR, &word)));
    printf(" %d", word);
    word = 1;
    printf(", TIOCSSOFTCAR %s", result(ioctl(slave, TIOCSSOFTCAR, &word)));
    struct termios t;
    tcgetattr(slave, &t);
    printf(" CLOCAL %d\n", !!(t.c_cflag & CLOCAL));
    printf("TIOCGLCKTRMIOS %s", result(ioctl(slave, TIOCGLCKTRMIOS, &locked)));
    printf(" %x %x\n", locked.c_iflag, locked.c_lflag);
}
static void controls(void) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        printf("TIOCNOTTY at the master of nobody %s", result(ioctl(master, TIOCNOTTY)));
        printf(", TIOCSCTTY at the master %s", result(ioctl(master, TIOCSCTTY, 0)));
        printf(", the slave's session is this %d", tcgetsid(slave) == getpid());
        printf(", TIOCNOTTY at the master %s", result(ioctl(master, TIOCNOTTY)));
        signal(SIGHUP, SIG_IGN);
        printf(", at the slave %s\n", result(ioctl(slave, TIOCNOTTY)));
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}
static void room(void) {
    struct termios t;
    char text[100];
    memset(text, 'x', sizeof text);
    tcgetattr(slave, &t);
    cfmakeraw(&t);
    tcsetattr(slave, TCSAFLUSH, &t);
    fcntl(master, F_SETFL, O_NONBLOCK);
    long written = 0, n;
    while ((n = write(master, text, sizeof text)) > 0) written += n;
    printf("a raw terminal takes 16 KiB %d, then %s\n", written >= 16384, strerrorname_np(errno));
    fcntl(slave, F_SETFL, O_NONBLOCK);
    long got = 0;
    for (int rest = 0; rest < 100;) {
        n = read(slave, text, sizeof text);
        if (n > 0) got += n;
        else rest++, usleep(1000);
        if (got == written) break;
    }
    printf("all of it is read %d\n", got == written);
}
int main(void) {
    openpty(&master, &slave, NULL, NULL, NULL);
    outputs();
    set_output(OPOST | ONLCR);
    erase("a whole character", "a\xc3\xa9\x7f" "b\n");
    erase("a partial one at the start", "\xa9\x7f" "b\n");
    erase("a partial one behind a letter", "a\xa9\x7f" "b\n");
    erase("two", "\xc3\xa9\xc3\xa8\x7f\x7f\x7f" "b\n");
    erase("killed", "\xa9\xa9" "abc\x15" "b\n");
    words();
    controls();
    room();
    return 0;
}
