// A file in memory that is far longer than memory is mapped, and has pages where it is touched.
//@ 64-bit only: such a mapping is longer than a 32-bit address space
#include "result.h"
#include <fcntl.h>
#include <signal.h>
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIB (1L << 30)
#define LONG (1024 * GIB)
#define PAGE 4096L

static sigjmp_buf back;
static void on_bus(int signal) { siglongjmp(back, signal); }

static int touches(volatile char *at) {
    if (sigsetjmp(back, 1)) return 0;
    (void)*at;
    return 1;
}
// How many lines of /proc/self/maps lie in the range.
static int areas(char *start, char *end) {
    char line[512];
    int count = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    while (f && fgets(line, sizeof line, f)) {
        char *from = NULL;
        if (sscanf(line, "%p", (void **)&from) == 1 && from >= start && from < end) count++;
    }
    if (f) fclose(f);
    return count;
}
static void few_blocks(int fd) {
    struct stat st;
    fstat(fd, &st);
    printf("size %ld GiB, few pages: %d\n", (long)(st.st_size / GIB), st.st_blocks > 0 && st.st_blocks < 2 * GIB / 512);
}

int main(void) {
    signal(SIGBUS, on_bus);
    int fd = memfd_create("sparse", 0);
    char word[8] = {0};
    printf("pwrite: %s", result(pwrite(fd, "middle", 6, 700 * GIB + 5))); say(ftruncate(fd, LONG)); puts("");
    char *at = mmap(NULL, LONG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    printf("mapped: %d, areas %d\n", at != MAP_FAILED, areas(at, at + LONG));
    if (at == MAP_FAILED) return 1;
    printf("hole %d, data %.6s\n", at[3 * GIB], at + 700 * GIB + 5);
    strcpy(at, "first");
    strcpy(at + 300 * GIB - 3, "across");
    strcpy(at + LONG - 5, "last");
    at[700 * GIB] = 'm';
    printf("areas %d\n", areas(at, at + LONG));
    printf("pread: %s", result(pread(fd, word, 8, 300 * GIB - 3))); printf(" %.8s\n", word);
    printf("pread: %s", result(pread(fd, word, 4, LONG - 5))); printf(" %.4s\n", word);
    char *other = mmap(NULL, 400 * GIB, PROT_READ, MAP_SHARED, fd, 300 * GIB - PAGE);
    printf("another mapping: %s, hole %d\n", other + PAGE - 3, other[GIB]);
    char *copy = mmap(NULL, LONG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    printf("private: %d %s\n", copy != MAP_FAILED, copy);
    strcpy(copy + 300 * GIB - 3, "own");
    printf("private: %s, shared: %s\n", copy + 300 * GIB - 3, at + 300 * GIB - 3);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        strcpy(at + 500 * GIB, "of the child");
        printf("child: %s %s\n", at, copy + 300 * GIB - 3);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    printf("parent: %s\n", at + 500 * GIB);
    // The whole of it is still one mapping for whoever changes it.
    printf("mprotect: %s", result(mprotect(at, LONG, PROT_READ))); printf(", areas %d\n", areas(at, at + LONG));
    printf("mprotect: %s", result(mprotect(at, LONG, PROT_READ | PROT_WRITE))); puts("");
    char *moved = mremap(at, LONG, LONG, MREMAP_MAYMOVE | MREMAP_FIXED, copy - LONG - GIB);
    printf("moved: %d %s %s\n", moved != MAP_FAILED, moved, moved + 500 * GIB);
    printf("populated: %s", result(madvise(moved + 900 * GIB, 16 * PAGE, MADV_POPULATE_WRITE)));
    printf(", msync: %s\n", result(msync(moved, LONG, MS_SYNC)));
    few_blocks(fd);
    printf("cut: %s", result(ftruncate(fd, 600 * GIB)));
    printf(", before %d, behind %d", touches(moved + 500 * GIB), touches(moved + 700 * GIB));
    printf(", never touched %d\n", touches(moved + 650 * GIB));
    printf("grown: %s", result(ftruncate(fd, LONG)));
    printf(", zeros again: %d %d\n", moved[700 * GIB], moved[LONG - 5]);
    printf("munmap: %s", result(munmap(moved + GIB, 998 * GIB)));
    printf(", first %s, last %d\n", moved, moved[LONG - 1]);
    return 0;
}
