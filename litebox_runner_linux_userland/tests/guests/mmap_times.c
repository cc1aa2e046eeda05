// Times of a file that is mapped: mapping it is a read, what was written through the mapping counts at msync(2) at the
// latest.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "result.h"

static int file;
static struct stat before;

static void ages(void)
{
    struct timespec old[2] = {{1000, 0}, {1000, 0}};
    futimens(file, old);
    fstat(file, &before);
}

static void told(const char *what)
{
    struct stat st;
    fstat(file, &st);
    printf("%s: read %d, changed %d\n", what, st.st_atime != 1000, st.st_mtime != 1000);
}

int main(void)
{
    char path[] = "/tmp/litebox-times-XXXXXX";
    file = mkstemp(path);
    ftruncate(file, 8192);
    ages();
    told("aged");
    char *p = mmap(0, 8192, PROT_READ, MAP_PRIVATE, file, 0);
    told("mapped privately");
    munmap(p, 8192);
    ages();
    p = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    told("mapped");
    p[5000] = 1;
    printf("msync %s\n", result(msync(p, 8192, MS_SYNC)));
    told("written");
    munmap(p, 8192);
    ages();
    p = mmap(0, 8192, PROT_READ, MAP_SHARED, file, 0);
    msync(p, 8192, MS_ASYNC);
    told("only read");
    int quiet = open(path, O_RDONLY | O_NOATIME);
    ages();
    p = mmap(0, 8192, PROT_READ, MAP_SHARED, quiet, 0);
    told("without a trace");
    unlink(path);
    // Huge pages of sizes there are none of.
    printf("huge %s, file %s\n", result((long)mmap(0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 5 << 26, -1, 0)),
           result((long)mmap(0, 8192, PROT_READ, MAP_PRIVATE | MAP_HUGETLB, file, 0)));
    return 0;
}
