//@ timeout: 30
// Pages that all pipes of a user may hold: small pipes for who has too many, and no larger ones.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "result.h"

#define MANY 1030
static int ends[MANY][2];

int main(void)
{
    struct rlimit limit = {4096, 4096};
    setrlimit(RLIMIT_NOFILE, &limit);
    // Not the superuser's, and this run's alone: what is counted are all pipes of a user.
    uid_t user = 100000 + getpid();
    if (setresuid(user, user, user)) return 1;
    int sizes[MANY];
    for (int i = 0; i < MANY; i++) {
        if (pipe(ends[i])) { printf("pipe %d: %s\n", i, result(-1)); return 1; }
        sizes[i] = fcntl(ends[i][0], F_GETPIPE_SZ);
    }
    for (int i = 1; i < MANY; i++)
        if (sizes[i] != sizes[i - 1]) printf("from %d on %d, before %d\n", i, sizes[i], sizes[i - 1]);
    int last = ends[MANY - 1][0];
    printf("larger %s, smaller %s, as before %s\n", result(fcntl(last, F_SETPIPE_SZ, 16384)), result(fcntl(last, F_SETPIPE_SZ, 4096)),
           result(fcntl(last, F_SETPIPE_SZ, 8192)));
    for (int i = 0; i < 5; i++) {
        close(ends[i][0]);
        close(ends[i][1]);
    }
    printf("with fewer: larger %s, too large %s\n", result(fcntl(last, F_SETPIPE_SZ, 65536)), result(fcntl(last, F_SETPIPE_SZ, 1048576)));
    printf("larger than any %s\n", result(fcntl(last, F_SETPIPE_SZ, 2 << 20)));
    int more[2];
    pipe(more);
    printf("new one %s\n", result(fcntl(more[0], F_GETPIPE_SZ)));
    // Full ones count as they are.
    char page[4096] = "";
    for (int i = 0; i < 3; i++) write(more[1], page, sizeof page);
    printf("too full to shrink %s\n", result(fcntl(more[0], F_SETPIPE_SZ, 4096)));
    printf("still %s\n", result(fcntl(more[0], F_GETPIPE_SZ)));
    return 0;
}
