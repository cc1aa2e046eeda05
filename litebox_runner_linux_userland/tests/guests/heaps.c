// The heap of brk(2) grows as far as a program of a fixed address expects, at every start.
//@ variants: static static-pie dynamic dynamic-exec
//@ timeout: 60
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc > 1) {
        long grown = 0;
        while (grown < 1024 && sbrk(1 << 20) != (void *)-1) grown++;
        // Calls of many kinds are made before, between and after.
        getppid();
        return grown < 1024;
    }
    int failed = 0;
    for (int i = 0; i < 48; i++) {
        if (fork() == 0) {
            execl("/proc/self/exe", argv[0], "grow", NULL);
            _exit(2);
        }
        int status;
        wait(&status);
        failed += status != 0;
    }
    printf("starts that could not grow by 1 GiB: %d\n", failed);
    return 0;
}
