// Memory files: sizes, mappings, seals. Needs no path.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long r = (long)(call); printf("%s = %ld, %s\n", #call, r, strerror(errno)); } while (0)
#define MAPS(call) do { errno = 0; void *r = (call); printf("%s: %s, %s\n", #call, r == MAP_FAILED ? "no" : "yes", strerror(errno)); if (r != MAP_FAILED) munmap(r, 4096); } while (0)

static char name[300];

int main(void) {
    SHOW(syscall(SYS_memfd_create, 0, 0));
    SHOW(syscall(SYS_memfd_create, "x", 0x40));
    SHOW(syscall(SYS_memfd_create, "x", 8 | 16));
    SHOW(syscall(SYS_memfd_create, "x", 1 << 26));
    memset(name, 'n', 250);
    SHOW(syscall(SYS_memfd_create, name, 0));
    name[249] = 0;
    int fd = syscall(SYS_memfd_create, name, 1);
    SHOW(fd >= 0);
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_GETFL));
    SHOW(fcntl(fd, F_GET_SEALS));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    close(fd);

    fd = memfd_create("sealed", MFD_ALLOW_SEALING);
    struct stat st;
    SHOW(fstat(fd, &st));
    printf("%o %ld %ld\n", st.st_mode, (long)st.st_nlink, (long)st.st_size);
    SHOW(ftruncate(fd, 10000));
    SHOW(pwrite(fd, "hello", 5, 4998));
    char *map = mmap(0, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    printf("%.5s\n", map + 4998);
    memcpy(map + 100, "mapped", 6);
    char text[8] = {0};
    SHOW(pread(fd, text, 6, 100));
    puts(text);
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    SHOW(fcntl(fd, F_ADD_SEALS, 0x1000));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    map[101] = 'M';
    SHOW(pwrite(fd, "x", 1, 0));
    MAPS(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    MAPS(mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0));
    MAPS(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    char *shown = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
    SHOW(mprotect(shown, 4096, PROT_READ | PROT_WRITE));
    munmap(shown, 4096);
    SHOW(munmap(map, 12288));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK));
    SHOW(ftruncate(fd, 10));
    SHOW(ftruncate(fd, 20000));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL));
    SHOW(ftruncate(fd, 30000));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    SHOW(fcntl(fd, F_GET_SEALS));
    SHOW(lseek(fd, 0, SEEK_DATA));
    SHOW(lseek(fd, 0, SEEK_HOLE) >= 8192); // what was written; more may be there
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(lseek(fd, 20000, SEEK_DATA));
    close(fd);

    fd = memfd_create("noexec", 8);
    SHOW(fstat(fd, &st));
    printf("%o\n", st.st_mode);
    SHOW(fchmod(fd, 0777));
    SHOW(fchmod(fd, 0600));
    SHOW(fcntl(fd, F_GET_SEALS));
    SHOW(fallocate(fd, 0, 0, 100000));
    SHOW(fstat(fd, &st));
    printf("%ld %ld\n", (long)st.st_size, (long)st.st_blocks);
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192));
    SHOW(fstat(fd, &st));
    printf("%ld %ld\n", (long)st.st_size, (long)st.st_blocks);
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 4096, 8192));
    SHOW(fsync(fd));
    return 0;
}
