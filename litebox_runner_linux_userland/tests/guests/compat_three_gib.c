// ADDR_LIMIT_3GB of personality(2): 32-bit programs that are executed by who has it end at 3 GiB.
//@ variants: m32 m32-static-pie m32-dynamic
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define END 0xc0000000u

static const char *side(const void *at) {
    return (uintptr_t)at < END ? "below" : "above";
}

static void fixed_at(uintptr_t start, size_t len) {
    void *at = mmap((void *)start, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    printf(" %#zx+%#zx %s", start, len, at != MAP_FAILED ? "mapped" : errno == EEXIST ? "taken" : strerror(errno));
}

static void tell(const char *name) {
    int local;
    unsigned long from, highest = 0, to;
    char line[300];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx", &from, &to) == 2 && to > highest)
            highest = to;
    fclose(maps);
    printf("%s: stack %s, vDSO %s, new %s, all %s 3 GiB; persona %x\n", name, side(&local), side((void *)getauxval(AT_SYSINFO_EHDR)),
           side(mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)), highest <= END ? "below" : "not below", personality(0xffffffff));
    printf("%s: a hint above leads %s;", name, side(mmap((void *)0xd0000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
    fixed_at(0xd0100000, 4096);
    fixed_at(END - 0x100000, 0x200000);
    printf("\n");
}

static void run(char *program, const char *name, unsigned persona) {
    fflush(stdout);
    if (fork() == 0) {
        personality(persona);
        execl("/proc/self/exe", program, name, NULL);
        _exit(1);
    }
    wait(0);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        tell(argv[1]);
        return 0;
    }
    tell("plain");
    run(argv[0], "limited", ADDR_LIMIT_3GB);
    run(argv[0], "limited, fixed", ADDR_LIMIT_3GB | ADDR_NO_RANDOMIZE);
    setrlimit(RLIMIT_STACK, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    run(argv[0], "limited, any stack", ADDR_LIMIT_3GB | ADDR_NO_RANDOMIZE);
    run(argv[0], "free again", 0);
    return 0;
}
