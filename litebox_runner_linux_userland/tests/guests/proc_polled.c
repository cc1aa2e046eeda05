// Which files of /proc can be polled: those that tell of mounts, for who follows these, and all that are of no process.
#include "result.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

int main(void) {
    static const char *const paths[] = {"/proc/mounts", "/proc/self/mounts", "/proc/self/mountinfo", "/proc/self/mountstats", "/proc/self/stat", "/proc/meminfo", "/proc/sys/kernel/hostname", "/proc"};
    for (int i = 0; i < 8; i++) {
        int fd = open(paths[i], O_RDONLY), set = epoll_create1(0);
        struct pollfd polled = {fd, POLLIN | POLLOUT, 0};
        struct epoll_event wanted = {.events = EPOLLIN | EPOLLOUT}, event = {0};
        printf("%s poll %s", paths[i], result(poll(&polled, 1, 1000)));
        printf(" %x epoll %s", polled.revents & (POLLIN | POLLOUT), result(epoll_ctl(set, EPOLL_CTL_ADD, fd, &wanted)));
        printf(" %s", result(epoll_wait(set, &event, 1, 0)));
        printf(" %x", event.events & (EPOLLIN | EPOLLOUT));
        printf(" again %s", result(epoll_ctl(set, EPOLL_CTL_ADD, fd, &wanted)));
        printf(" gone %s\n", result(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL)));
        close(set);
        close(fd);
    }
    return 0;
}
