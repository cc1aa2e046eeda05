//@ volumes: memory cow rw
// Words of futexes in a mapped file that was cut: they are not there, but for those who call them private.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "result.h"

static long op(int *word, int what, int value, void *more, int *other)
{
    return syscall(SYS_futex, word, what, value, more, other, 0);
}
static void ops(const char *what, int *word)
{
    static int near;
    struct timespec soon = {0, 1000000};
    printf("%s: wake", what);
    say(op(word, FUTEX_WAKE, 1, 0, 0));
    say(op(word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0));
    printf(", wait");
    say(op(word, FUTEX_WAIT, 0, &soon, 0));
    say(op(word, FUTEX_WAIT, 1, &soon, 0));
    printf(", requeue from");
    say(op(word, FUTEX_REQUEUE, 1, (void *)1, &near));
    printf(", to");
    say(op(&near, FUTEX_REQUEUE, 1, (void *)1, word));
    puts("");
}
int main(void)
{
    int fd = open("words", O_RDWR | O_CREAT, 0600);
    if (ftruncate(fd, 8192)) return 1;
    int *words = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ops("first page", words);
    ops("second page", words + 1024);
    if (ftruncate(fd, 4096)) return 1;
    ops("first page", words);
    ops("cut off", words + 1024);
    if (ftruncate(fd, 8192)) return 1;
    ops("there again", words + 1024);
    mprotect(words, 4096, PROT_NONE);
    ops("out of reach", words);
    return 0;
}
