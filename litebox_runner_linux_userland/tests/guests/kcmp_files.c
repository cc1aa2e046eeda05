// kcmp: open files, also those that an interest set watches.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "result.h"

static int own, pair[2], set;
static long file(long a, long b) { return syscall(SYS_kcmp, own, own, KCMP_FILE, a, b); }
static long watched(long fd, unsigned epoll, unsigned as, unsigned nth)
{
    struct kcmp_epoll_slot slot = {epoll, as, nth};
    return syscall(SYS_kcmp, own, own, KCMP_EPOLL_TFD, fd, &slot);
}
static const char *same(long r) { return r > 0 ? "another" : r == 0 ? "the same" : result(r); }

int main(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    own = getpid();
    if (pipe(pair)) return 1;
    int twin = dup(pair[0]);
    printf("a duplicate: %s, the other end: %s\n", same(file(pair[0], twin)), same(file(pair[0], pair[1])));
    printf("no file: %s, ", same(file(pair[0], 99)));
    printf("%s\n", same(file(99, pair[0])));

    set = epoll_create1(0);
    epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event);
    printf("watched: %s", same(watched(pair[0], set, pair[0], 0)));
    printf(", %s", same(watched(twin, set, pair[0], 0)));
    printf(", %s\n", same(watched(pair[1], set, pair[0], 0)));
    printf("not registered: %s", same(watched(pair[0], set, twin, 0)));
    printf(", a second one: %s", same(watched(pair[0], set, pair[0], 1)));
    printf(", no set: %s", same(watched(pair[0], pair[1], pair[0], 0)));
    printf(", not open: %s", same(watched(pair[0], 99, pair[0], 0)));
    printf(", the file neither: %s", same(watched(99, set, pair[0], 0)));
    printf(", no slot: %s", same(syscall(SYS_kcmp, own, own, KCMP_EPOLL_TFD, pair[0], 8L)));
    printf(", neither: %s\n", same(syscall(SYS_kcmp, own, own, KCMP_EPOLL_TFD, 99L, 8L)));

    // The number is used again: two files are registered as it.
    int number = pair[0];
    close(pair[0]);
    if (open("/dev/null", O_RDONLY) != number) return 1;
    int other[2];
    if (pipe(other) || dup2(other[0], number) != number) return 1;
    epoll_ctl(set, EPOLL_CTL_ADD, number, &event);
    int found = 0;
    for (unsigned nth = 0; nth < 2; nth++) found += watched(twin, set, number, nth) == 0;
    for (unsigned nth = 0; nth < 2; nth++) found += 10 * (watched(other[0], set, number, nth) == 0);
    printf("each of two: %d, a third: %s\n", found, same(watched(twin, set, number, 2)));
    return 0;
}
