// Which mistake of a call about sockets is told first.
#include "result.h"
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
    int pair[2];
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
    static const struct { int type, protocol; } kinds[] = {{SOCK_DGRAM, 0}, {SOCK_DGRAM, IPPROTO_TCP}, {SOCK_STREAM, 0}, {SOCK_STREAM, IPPROTO_UDP}, {SOCK_STREAM, 75}, {SOCK_STREAM, 1000}, {SOCK_STREAM, -1}, {75, 0}, {SOCK_RDM, 0}};
    for (int f = 0; f < 3; f++) {
        printf("pair of family %d:", families[f]);
        for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++) say(socketpair(families[f], kinds[k].type, kinds[k].protocol, pair));
        puts("");
    }
    printf("nowhere: %s\n", result(socketpair(AF_INET, SOCK_STREAM, 75, (void *)8)));
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    printf("flags of a device nowhere: %s\n", result(ioctl(s, SIOCSIFFLAGS, (void *)8)));
    printf("address of a device nowhere: %s\n", result(ioctl(s, SIOCSIFADDR, (void *)8)));
    return 0;
}
