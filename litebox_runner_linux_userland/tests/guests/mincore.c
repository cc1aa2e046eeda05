//@ variants: static
// mincore: what it says of pages that were touched, and how it fails.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGES 200
#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)

int main(void) {
    size_t page = 4096, len = PAGES * page;
    unsigned char answer[PAGES + 1];
    char *area = mmap(NULL, len + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(area, 1, len);
    memset(answer, 0xee, sizeof answer);
    SHOW(mincore(area, len, answer));
    int resident = 0;
    for (int i = 0; i < PAGES; i++) resident += answer[i] & 1;
    printf("%d resident, %#x behind\n", resident, answer[PAGES]);

    SHOW(mincore(area, 1, answer));
    SHOW(mincore(area, 0, answer));
    SHOW(mincore(area + 1, page, answer));
    SHOW(syscall(SYS_mincore, area, len, (void *)8));
    SHOW(syscall(SYS_mincore, area, len, (void *)0xffff800000000000));
    SHOW(syscall(SYS_mincore, 0xffff800000000000, page, answer));
#ifdef __x86_64__
    // 32 bits reach as far as addresses do: how far there is memory behind decides.
    SHOW(syscall(SYS_mincore, area, 0xffffffffffffffffu, answer));
#endif
    munmap(area + len - page, page);
    SHOW(mincore(area + len - 2 * page, 2 * page, answer));
    SHOW(mincore(area + len - page, page, answer));
    return 0;
}
