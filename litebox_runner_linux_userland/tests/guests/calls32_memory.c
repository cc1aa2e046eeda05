// Where calls of 32 bits place memory: below 4 GiB and, while there is room, above 2 GiB, in 64-bit programs as well.
//@ variants: static m32
#include "call32.h"
#include <sys/ipc.h>
#include <sys/shm.h>

enum { OLD_MMAP = 90, MUNMAP = 91, IPC = 117, MREMAP = 163, MMAP2 = 192, SHMGET = 395, SHMCTL = 396, SHMAT = 397 };
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define HALF 0x40000000u

static char letter = 'a';

// Whether there is memory of so many bytes.
static int usable(uint32_t address, size_t size)
{
    memset(at(address), letter, 1);
    memset((char *)at(address) + size - 1, letter, 1);
    return *(char *)at(address) == letter++;
}

static uint32_t placed(const char *what, long result, size_t size)
{
    uint32_t address = result;
    if (address > -4096u) {
        printf("%s: %ld\n", what, result);
        return 0;
    }
    printf("%s: %s, %s, aligned %d, usable %d\n", what, address >= 0x80000000 ? "above 2 GiB" : "below 2 GiB",
           address < 0xfffe0000 ? "low enough" : "at the end", address % 4096 == 0, usable(address, size));
    return address;
}

static long old_mmap(uint32_t address, uint32_t size, int protection, int flags, int fd, uint32_t offset)
{
    uint32_t words[] = {address, size, protection, flags, fd, offset};
    return raw32(OLD_MMAP, low(words, sizeof words), 0, 0, 0, 0, 0);
}

int main(void)
{
    if (!have_calls()) return 0;
    placed("mmap2", raw32(MMAP2, 0, 4096, 3, ANONYMOUS, -1, 0), 4096);
    uint32_t second = placed("mmap2 again", raw32(MMAP2, 0, 12288, 3, ANONYMOUS, -1, 0), 12288);
    placed("old mmap", old_mmap(0, 12288, 3, ANONYMOUS, -1, 0), 12288);
    placed("MAP_32BIT", raw32(MMAP2, 0, 4096, 3, ANONYMOUS | MAP_32BIT, -1, 0), 4096);
    placed("shared", raw32(MMAP2, 0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0), 4096);
    uint32_t hinted = placed("hint", raw32(MMAP2, 0x30000123, 4096, 3, ANONYMOUS, -1, 0), 4096);
    printf("as hinted: %d\n", hinted == 0x30000000);
    placed("the hint taken", raw32(MMAP2, 0x30000000, 4096, 3, ANONYMOUS, -1, 0), 4096);
    printf("not replaced: %d\n", raw32(MMAP2, 0x30000000, 4096, 3, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == -EEXIST);

    // A page is behind it, so it moves.
    strcpy(at(second + 4090), "moves");
    uint32_t moved = raw32(MREMAP, second, 8192, 1 << 20, MREMAP_MAYMOVE, 0, 0);
    printf("moved: %d, %s\n", moved != second, moved < -4096u ? (char *)at(moved + 4090) : "not");
    placed("mremap", moved, 1 << 20);
    placed("kept behind", raw32(MREMAP, moved, 1 << 20, 1 << 20, MREMAP_MAYMOVE | 4, 0, 0), 1 << 20);

    int id = raw32(SHMGET, IPC_PRIVATE, 65536, 0600, 0, 0, 0);
    uint32_t attached = placed("shmat", raw32(SHMAT, id, 0, 0, 0, 0, 0), 65536);
    uint32_t word = low(NULL, 4);
    // SHMAT of ipc(2).
    printf("by ipc: %ld\n", raw32(IPC, 21, id, 0, word, 0, 0));
    uint32_t other = placed("shmat by ipc", *(uint32_t *)at(word), 65536);
    printf("the same memory: %d\n", *(char *)at(attached) == *(char *)at(other));
    raw32(SHMCTL, id, IPC_RMID, 0, 0, 0, 0);

    // More than lies below the base, or than there is.
    uint32_t pieces[8];
    int count = 0, above = 0;
    for (long piece; count < 8 && (uint32_t)(piece = raw32(MMAP2, 0, HALF / 2, 3, ANONYMOUS | MAP_NORESERVE, -1, 0)) < -4096u; count++) {
        pieces[count] = piece;
        above += pieces[count] >= 0x80000000;
    }
    printf("half gigabytes: %s, %d above 2 GiB\n", count >= 5 && count <= 7 ? "most of eight" : "another number", above);
    while (count > 0)
        raw32(MUNMAP, pieces[--count], HALF / 2, 0, 0, 0, 0);
    printf("all: %ld\n", raw32(MMAP2, 0, 0xfffff000, 3, ANONYMOUS | MAP_NORESERVE, -1, 0));
#ifdef __x86_64__
    // Calls of 64 bits have the rest, and MAP_32BIT the first half of this.
    void *high = mmap(NULL, 4096, 3, ANONYMOUS, -1, 0), *lowest = mmap(NULL, 4096, 3, ANONYMOUS | MAP_32BIT, -1, 0);
    printf("by a call of 64 bits: %s, MAP_32BIT: %s\n", (uintptr_t)high >> 32 ? "high" : "low",
           (uintptr_t)lowest < 0x80000000 ? "below 2 GiB" : "elsewhere");
#endif
    return 0;
}
