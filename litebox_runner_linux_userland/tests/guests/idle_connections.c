// Has so many connections with itself, which do nothing.
//@ helper
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int l = socket(AF_INET, SOCK_STREAM, 0), wanted = argc > 1 ? atoi(argv[1]) : 0, there = 0;
    bind(l, (void *)&a, len);
    listen(l, 64);
    getsockname(l, (void *)&a, &len);
    for (; there < wanted; there++) {
        int s = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(s, (void *)&a, len) || accept(l, 0, 0) < 0) {
            perror("connection");
            return 1;
        }
    }
    printf("%d connections\n", there);
    return 0;
}
