// mremap of what the host keeps in several mappings: moved and grown in place, advised in part.
//@ variants: static dynamic
#include "result.h"
#include <sys/mman.h>

#define P 4096L

static const char *placed(void *p) { return p == MAP_FAILED ? strerrorname_np(errno) : "ok"; }
static int holds(const char *p, size_t from, size_t to, char value) {
    for (size_t i = from; i < to; i += P) if (p[i] != value) return 0;
    return 1;
}
int main(void) {
    char *room = mmap(0, 2048 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(room, 2048 * P);
    char *a = mmap(room, 4 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memset(a, 1, 4 * P);
    char *b = mremap(a, 4 * P, 4 * P, MREMAP_MAYMOVE | MREMAP_FIXED, room + 64 * P);
    printf("moved: %s\n", placed(b));
    char *c = mremap(b, 4 * P, 8 * P, MREMAP_MAYMOVE);
    printf("grown: %s%s\n", placed(c), c == b ? " in place" : "");
    memset(c + 4 * P, 2, 4 * P);
    char *d = mremap(c, 8 * P, 16 * P, MREMAP_MAYMOVE | MREMAP_FIXED, room + 128 * P);
    printf("moved and grown: %s, holds what it held %d %d %d\n", placed(d), holds(d, 0, 4 * P, 1), holds(d, 4 * P, 8 * P, 2), holds(d, 8 * P, 16 * P, 0));
    d = mremap(d, 16 * P, 3 * P, 0);
    printf("cut: %s\n", placed(d));
    d = mremap(d, 3 * P, 3 * P, MREMAP_MAYMOVE | MREMAP_FIXED, room + 256 * P);
    printf("moved again: %s, holds %d\n", placed(d), holds(d, 0, 3 * P, 1));

    char *e = mmap(room + 300 * P, 1024 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memset(e, 3, 1024 * P);
    printf("advised in part: %s\n", result(madvise(e + 100 * P, 600 * P, MADV_NOHUGEPAGE)));
    char *f = mremap(e + 100 * P, 600 * P, 700 * P, MREMAP_MAYMOVE);
    printf("that part grown: %s, holds %d %d\n", placed(f), holds(f, 0, 600 * P, 3), holds(f, 600 * P, 700 * P, 0));
    f = mremap(e, 100 * P, 200 * P, MREMAP_MAYMOVE);
    printf("what was before it grown: %s, holds %d %d\n", placed(f), holds(f, 0, 100 * P, 3), holds(f, 100 * P, 200 * P, 0));

    size_t n = 64 * P;
    char *buffer = mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(buffer, 1, n);
    int failed = 0, lost = 0;
    for (int i = 0; i < 60 && !failed; i++) {
        char *q = mremap(buffer, n, n + 16 * P, MREMAP_MAYMOVE);
        if (q == MAP_FAILED) { failed = errno; break; }
        lost += !holds(q, 0, n, 1);
        buffer = q;
        n += 16 * P;
        memset(buffer, 1, n);
        if (i % 3 == 2) mmap(buffer + n, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    }
    for (int kept = 1; kept <= 2; kept++) {
        // At a place of its own, whatever else lies in the free room.
        char *two = mmap(room + 1600 * P, 8 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        memset(two, 5, 8 * P);
        mprotect(two + kept * P, (8 - kept) * P, PROT_READ);
        char *to = mremap(two, 8 * P, 2 * P, MREMAP_MAYMOVE | MREMAP_FIXED, room + 1400 * P);
        printf("moved and cut, %d pages of it like the first: %s, holds %d\n", kept, placed(to), to != MAP_FAILED && holds(to, 0, 2 * P, 5));
    }
    printf("a buffer that grows: failed %s, lost %d\n", failed ? strerrorname_np(failed) : "no", lost);
    return 0;
}
