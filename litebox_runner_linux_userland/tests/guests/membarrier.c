// membarrier: who may ask for which barrier, before and after registration, fork and exec. kcmp: what is the same.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)

static long barrier(int command, unsigned flags) { return syscall(SYS_membarrier, command, flags, 0); }
static long same(int a, int b, int kind, long x, long y) {
    long result = syscall(SYS_kcmp, a, b, kind, x, y);
    // The order of two things differs from run to run.
    return result > 0 ? 1 : result;
}

static void finish(int pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    printf("child ended with %d\n", status);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc > 1) {
        SHOW(barrier(8, 0));
        return 0;
    }
    printf("served: %#lx of 0x7f\n", barrier(0, 0) & 0x7f);
    SHOW(barrier(0, 1));
    SHOW(barrier(3, 0));
    SHOW(barrier(1 << 20, 0));
    SHOW(barrier(-1, 0));
    SHOW(barrier(8, 0));
    SHOW(barrier(32, 0));
    SHOW(barrier(1, 0));
    SHOW(barrier(1, 1));
    SHOW(barrier(2, 0));
    SHOW(barrier(4, 0));
    SHOW(barrier(2, 0));
    SHOW(barrier(16, 0));
    SHOW(barrier(16, 7));
    SHOW(barrier(8, 0));
    SHOW(barrier(32, 0));
    SHOW(barrier(64, 0));
    SHOW(barrier(32, 0));
    int child = fork();
    if (child == 0) {
        SHOW(barrier(8, 0));
        execl(argv[0], argv[0], "again", NULL);
        execl("/proc/self/exe", argv[0], "again", NULL);
        _exit(1);
    }
    finish(child);

    int me = getpid(), null = open("/dev/null", O_RDONLY), other = open("/dev/null", O_RDONLY), twin = dup(null);
    SHOW(same(me, me, 0, null, null));
    SHOW(same(me, me, 0, null, twin));
    SHOW(same(me, me, 0, null, other));
    SHOW(same(me, me, 0, null, 99));
    SHOW(same(me, me, 0, -1, null));
    SHOW(same(me, me, 1, 0, 0));
    SHOW(same(me, me, 8, 0, 0));
    SHOW(same(me, me, -1, 0, 0));
    SHOW(same(me, 0x3ffffff, 1, 0, 0));
    SHOW(same(-1, me, 1, 0, 0));
    int stay[2];
    if (pipe(stay)) return 1;
    child = fork();
    if (child == 0) {
        char byte;
        close(stay[1]);
        _exit(read(stay[0], &byte, 1) != 0);
    }
    SHOW(same(me, child, 0, null, null));
    SHOW(same(me, child, 0, null, other));
    SHOW(same(me, child, 1, 0, 0));
    SHOW(same(me, child, 2, 0, 0));
    SHOW(same(me, child, 3, 0, 0));
    SHOW(same(me, child, 4, 0, 0));
    close(stay[1]);
    finish(child);
    return 0;
}
