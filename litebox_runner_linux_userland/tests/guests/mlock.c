// Memory that stays in place: which ranges may be locked, how much of it, and what the process is told of it.
#include "result.h"
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L

static long locked(void) {
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) sscanf(line, "VmLck: %ld", &kib);
    if (f) fclose(f);
    return kib;
}
static void ranges(void) {
    char *room = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(room + 4 * PAGE, PAGE);
    printf("mlock: %s", result(mlock(room, 2 * PAGE))); printf(", locked %ld\n", locked());
    printf("again and more: %s", result(mlock(room + 1, 2 * PAGE))); printf(", locked %ld\n", locked());
    printf("over a hole: %s", result(mlock(room, 8 * PAGE))); printf(", locked %ld\n", locked());
    printf("munlock: %s", result(munlock(room, 8 * PAGE))); printf(", locked %ld\n", locked());
    printf("munlock: %s", result(munlock(room, 4 * PAGE))); printf(", locked %ld\n", locked());
    printf("none: %s", result(mlock(room, 0))); say(munlock(room, 0)); puts("");
    printf("past the end: %s", result(syscall(SYS_mlock, -1L, -1L))); say(syscall(SYS_munlock, -PAGE, 2 * PAGE));
    puts("");
    printf("mlock2: %s", result(mlock2(room + 5 * PAGE, PAGE, MLOCK_ONFAULT))); printf(", locked %ld\n", locked());
    printf("mlock2: %s", result(mlock2(room + 5 * PAGE, PAGE, 0))); say(syscall(SYS_mlock2, room, PAGE, 2)); puts("");
    printf("unmapped: %s", result(munmap(room + 5 * PAGE, PAGE))); printf(", locked %ld\n", locked());
    char *none = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("not readable: %s\n", result(mlock(none, PAGE)));
    munlock(none, PAGE);
}
static void all(void) {
    printf("mlockall: %s", result(syscall(SYS_mlockall, 0))); say(syscall(SYS_mlockall, 8));
    say(syscall(SYS_mlockall, MCL_ONFAULT)); puts("");
    printf("mlockall: %s\n", result(mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)));
    long before = locked();
    char *later = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("all and later: %d %ld\n", before > 0, locked() - before);
    pid_t child = fork();
    if (child == 0) {
        printf("a child has none: %ld\n", locked());
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    printf("munlockall: %s", result(munlockall())); printf(", locked %ld\n", locked());
    munmap(later, 16 * PAGE);
}
// Who has no right to lock more than the limit says: EPERM where it is nought, ENOMEM beyond it.
static void limited(void) {
    char *room = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct rlimit few = {2 * PAGE, 2 * PAGE}, none = {0, 0};
    setrlimit(RLIMIT_MEMLOCK, &few);
    if (getuid() == 0 && setresuid(1000, 1000, 1000)) return;
    printf("limited: %s", result(mlock(room, 2 * PAGE))); say(mlock(room + 4 * PAGE, PAGE));
    say(mlockall(MCL_CURRENT)); say(mlock(room, 2 * PAGE)); puts("");
    printf("none: %s", result(setrlimit(RLIMIT_MEMLOCK, &none)));
    say(mlock(room, PAGE)); say(munlock(room, PAGE)); puts("");
}
int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    ranges();
    all();
    limited();
    return 0;
}
