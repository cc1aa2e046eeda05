// What a program can do to processes that it does not see, and whose /dev/pts it gets terminals from. The host says the
// same.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int seen(int id) { return kill(id, 0) == 0 || errno == EPERM; }

static int owns(int fd, int kind, int id) {
    struct f_owner_ex owner = {kind, id};
    return fcntl(fd, F_SETOWN_EX, &owner) == 0;
}

// Ids that files signal though nobody of that id is to be seen.
static void owners(void) {
    int ends[2], wrong = 0;
    if (pipe(ends)) exit(1);
    for (int id = 1; id < 300; id++) {
        int signals = owns(ends[0], F_OWNER_TID, id) || owns(ends[0], F_OWNER_PID, id) ||
                      owns(ends[0], F_OWNER_PGRP, id) || fcntl(ends[0], F_SETOWN, id) == 0 ||
                      fcntl(ends[0], F_SETOWN, -id) == 0;
        if (signals && !seen(id) && !seen(-id)) wrong++;
    }
    printf("owners: %d unseen, own %d\n", wrong, owns(ends[0], F_OWNER_PID, getpid()));
}

static void peer(void) {
    struct stat directory = {0}, slave = {0};
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), off = 0;
    if (master < 0 || ioctl(master, TIOCSPTLCK, &off)) exit(1);
    int fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    if (fd < 0 || stat("/dev/pts", &directory) || fstat(fd, &slave)) exit(1);
    printf("peer: %s\n", slave.st_dev == directory.st_dev ? "of /dev/pts" : "of another");
}

int main(void) {
    owners();
    peer();
    return 0;
}
