// What is sent over a local socket when not all of it can be read: whole pieces of a stream, and no part of a message.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "result.h"

#define SIZE (256 << 10)

static char *memory, *room;
static int ends[2];

static long come(void)
{
    long all = 0, n;
    while ((n = recv(ends[1], room, SIZE, MSG_DONTWAIT)) > 0) {
        if (memcmp(room, memory + all, n)) puts("other bytes");
        all += n;
    }
    return all;
}

int main(void)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    room = malloc(SIZE);
    for (int i = 0; i < SIZE; i++) memory[i] = i * 7 + (i >> 8);
    for (int type = 0; type < 3; type++) {
        if (socketpair(AF_UNIX, types[type], 0, ends)) perror("socketpair");
        int buffer = 1 << 20;
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
        long piece = 0;
        for (int good = 4096; good < SIZE; good *= 2) {
            mprotect(memory, SIZE, PROT_READ | PROT_WRITE);
            mprotect(memory + good, SIZE - good, PROT_NONE);
            long sent = write(ends[0], memory, SIZE);
            int why = sent < 0 ? errno : 0;
            if (sent > 0 && !piece) piece = sent;
            // How long a piece is may differ; it is sent whole, and as many are as can be read.
            printf("%d of %d readable: %s, whole %d, all %d", type, good, sent < 0 ? (errno = why, result(-1)) : "some",
                   sent < 0 || sent % piece == 0, sent < 0 ? good < 36544 || type : good - sent < piece);
            printf(", come %d\n", come() == (sent < 0 ? 0 : sent));
            sent = send(ends[0], memory + good - 100, 200, MSG_DONTWAIT);
            printf("  short %s", result(sent));
            struct iovec two[] = {{memory, good}, {memory + good, 100}};
            sent = writev(ends[0], two, 2);
            printf(" in two %s", sent < 0 ? result(sent) : "some");
            printf(" come %d\n", come() == (sent < 0 ? 0 : sent));
        }
        close(ends[0]), close(ends[1]);
    }
    return 0;
}
