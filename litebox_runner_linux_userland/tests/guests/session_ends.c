// The leader of a session ends: its pseudo-terminal loses the session and stays usable for whoever has it open.
//@ flags: -lutil
#include "result.h"
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void show_events(const char *what, int fd) {
    struct pollfd p = {fd, POLLIN | POLLERR | POLLHUP, 0};
    int r = poll(&p, 1, 0);
    printf("%s: %d, %#x\n", what, r, p.revents);
}
int main(void) {
    int master, slave;
    char text[8];
    openpty(&master, &slave, 0, 0, 0);
    fcntl(master, F_SETFL, O_NONBLOCK);
    show_events("before", master);
    for (int round = 0; round < 2; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            setsid();
            int r = ioctl(slave, TIOCSCTTY, 0);
            pid_t group = tcgetpgrp(slave);
            // One of the foreground hears of the end.
            if (fork() == 0) {
                sigset_t set;
                sigemptyset(&set);
                sigaddset(&set, SIGHUP);
                sigprocmask(SIG_BLOCK, &set, NULL);
                if (write(slave, "r", 1) != 1) _exit(1);
                int got = sigwaitinfo(&set, NULL);
                if (write(slave, got == SIGHUP ? "h" : "?", 1) != 1) _exit(1);
                _exit(0);
            }
            struct pollfd p = {master, POLLIN, 0};
            poll(&p, 1, -1);
            _exit(r ? 2 : group == getpid() ? 0 : 3);
        }
        int status;
        waitpid(pid, &status, 0);
        printf("round %d: its leader %d\n", round, WEXITSTATUS(status));
        size_t got = 0;
        while (got < 2) {
            struct pollfd p = {master, POLLIN, 0};
            poll(&p, 1, -1);
            long n = read(master, text + got, 2 - got);
            if (n < 0) break;
            got += n;
        }
        printf("from a process of the foreground: %.*s\n", (int)got, text);
        show_events("after", master);
        printf("read the master %s\n", result(read(master, text, 8)));
        printf("write the slave %s", result(write(slave, "x", 1)));
        printf(", read the master %s\n", result(read(master, text, 8)));
        printf("write the master %s", result(write(master, "y\n", 2)));
        printf(", read the slave %s\n", result(read(slave, text, 8)));
        printf("read the echo %s\n", result(read(master, text, 8)));
    }
    close(slave);
    // The last of those that were started here may still have it.
    struct pollfd closed = {master, 0, 0};
    poll(&closed, 1, -1);
    show_events("closed", master);
    printf("read the master %s\n", result(read(master, text, 8)));
    return 0;
}
