// personality(2): addresses that stay, a 32-bit machine, an old release, execution that reading implies; what execve
// keeps of it.
//@ variants: static-pie dynamic static
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static int global;

static void run_again(char *program, unsigned persona, char *what, char *text, size_t size) {
    int pipe_[2];
    if (pipe(pipe_)) exit(1);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        personality(persona);
        dup2(pipe_[1], 1);
        execl("/proc/self/exe", program, what, NULL);
        _exit(1);
    }
    close(pipe_[1]);
    size_t got = 0;
    long n;
    while ((n = read(pipe_[0], text + got, size - 1 - got)) > 0) got += n;
    text[got] = 0;
    close(pipe_[0]);
    waitpid(pid, NULL, 0);
}
static int can_execute(char *at) {
    char line[300];
    unsigned long from, to;
    char prot[8];
    FILE *f = fopen("/proc/self/maps", "r");
    int found = 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%lx-%lx %7s", &from, &to, prot) == 3 && from <= (unsigned long)at && (unsigned long)at < to) found = prot[2] == 'x';
    fclose(f);
    return found;
}
int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "places")) {
        printf("%p %p %p %p\n", (void *)&global, (void *)&argc, mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), sbrk(0));
        return 0;
    }
    if (argc > 1) {
        printf("%x", personality(0xffffffff));
        return 0;
    }
    char first[200], second[200];
    run_again(argv[0], ADDR_NO_RANDOMIZE, "places", first, sizeof first);
    run_again(argv[0], ADDR_NO_RANDOMIZE, "places", second, sizeof second);
    printf("the same places without randomness: %d\n", !strcmp(first, second));
    run_again(argv[0], 0, "places", first, sizeof first);
    run_again(argv[0], 0, "places", second, sizeof second);
    printf("others with it: %d\n", strcmp(first, second) != 0);
    run_again(argv[0], ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC | PER_LINUX32, "persona", first, sizeof first);
    printf("kept by execve: %s\n", first);
    if ((unsigned long)&global > 0x100000000) printf("a program lies as high as on x86-64: %d\n", (unsigned long)&global >> 40 >= 0x55);
    struct utsname name;
    personality(PER_LINUX32);
    uname(&name);
    printf("machine %s", name.machine);
    personality(UNAME26);
    uname(&name);
    printf(" %s, release %.4s\n", name.machine, name.release);
    personality(READ_IMPLIES_EXEC);
    char *read_only = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *nothing = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("what can be read can be executed %d, what cannot %d\n", can_execute(read_only), can_execute(nothing));
    mprotect(nothing, 4096, PROT_READ | PROT_WRITE);
    printf("after mprotect %d\n", can_execute(nothing));
    personality(0);
    read_only = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("without it %d\n", can_execute(read_only));
    return 0;
}
