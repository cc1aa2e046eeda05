// Devices of /dev: types, numbers, reading, writing, seeking, mapping.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const char *e(long r) { return r < 0 ? strerrorname_np(errno) : "ok"; }

static void node(const char *path) {
    struct stat st;
    if (stat(path, &st)) {
        printf("%s: %s\n", path, e(-1));
        return;
    }
    printf("%s: type %o mode %o rdev %u:%u size %ld uid %u\n", path, st.st_mode & S_IFMT, st.st_mode & 07777 & ~022,
           major(st.st_rdev), minor(st.st_rdev), (long)st.st_size, st.st_uid);
}

static char *volatile nowhere = (char *)8;

static void seeks(const char *path) {
    int fd = open(path, O_RDWR);
    char buf[16];
    printf("%s: read %ld, ", path, (long)read(fd, buf, 10));
    printf("cur %ld set %ld end %ld ", (long)lseek(fd, 0, SEEK_CUR), (long)lseek(fd, 100, SEEK_SET),
           (long)lseek(fd, 5, SEEK_END));
    printf("bad %s\n", e(lseek(fd, 0, 99)));
    printf("  pread %ld", (long)pread(fd, buf, 10, 1000));
    printf(" pwrite %s", e(pwrite(fd, buf, 10, 1000)));
    printf(" write %s", e(write(fd, "abc", 3)));
    printf(" fault %s", e(read(fd, nowhere, 4)));
    printf(" fsync %s", e(fsync(fd)));
    printf(" truncate %s\n", e(ftruncate(fd, 10)));
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    int ready = poll(&p, 1, 0);
    printf("  poll %d %x\n", ready, p.revents);
    struct stat st;
    fstat(fd, &st);
    printf("  fstat rdev %u:%u\n", major(st.st_rdev), minor(st.st_rdev));
    int size = 0;
    printf("  TIOCGWINSZ %s isatty %d FIONREAD %s\n", e(ioctl(fd, TIOCGWINSZ, buf)), isatty(fd),
           e(ioctl(fd, FIONREAD, &size)));
    close(fd);
}

int main(void) {
    const char *nodes[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"};
    for (unsigned i = 0; i < sizeof nodes / sizeof *nodes; i++) node(nodes[i]);
    seeks("/dev/null");
    seeks("/dev/zero");
    seeks("/dev/full");
    seeks("/dev/urandom");

    char a[64] = {0}, b[64] = {0};
    int fd = open("/dev/urandom", O_RDONLY);
    long n1 = read(fd, a, 64), n2 = read(fd, b, 64);
    printf("random %ld %ld differ %d\n", n1, n2, memcmp(a, b, 64) != 0);
    printf("write to read-only %s\n", e(write(fd, a, 1)));
    close(fd);

    fd = open("/dev/zero", O_RDWR);
    char *p = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    printf("map private %d", p != MAP_FAILED);
    p[5000] = 7;
    printf(" %d %d\n", p[0], p[5000]);
    p = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    printf("map shared %d", p != MAP_FAILED);
    p[5000] = 7;
    printf(" %d %d\n", p[0], p[5000]);
    close(fd);
    fd = open("/dev/null", O_RDWR);
    printf("map null %s\n", mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? e(-1) : "ok");
    close(fd);

    fd = open("/dev/null", O_WRONLY | O_APPEND | O_TRUNC | O_CREAT, 0644);
    printf("append %ld\n", (long)write(fd, "abc", 3));
    close(fd);
    printf("exclusive %s\n", e(open("/dev/null", O_WRONLY | O_CREAT | O_EXCL, 0644)));
    printf("directory %s\n", e(open("/dev/null", O_RDONLY | O_DIRECTORY)));
    printf("below %s\n", e(open("/dev/null/x", O_RDONLY)));

    char link[64];
    const char *links[] = {"/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"};
    for (unsigned i = 0; i < 4; i++) {
        long n = readlink(links[i], link, sizeof link);
        printf("%s -> %.*s\n", links[i], (int)n, link);
    }
    DIR *d = opendir("/dev");
    int found = 0;
    for (struct dirent *x; (x = readdir(d));) {
        if (!strcmp(x->d_name, "null")) found |= x->d_type == DT_CHR ? 1 : 0x100;
        if (!strcmp(x->d_name, "fd")) found |= x->d_type == DT_LNK ? 2 : 0x200;
        if (!strcmp(x->d_name, "shm")) found |= x->d_type == DT_DIR ? 4 : 0x400;
    }
    closedir(d);
    printf("listed %x\n", found);
    int pipes[2];
    if (pipe(pipes) == 0) {
        char path[32];
        snprintf(path, sizeof path, "/dev/fd/%d", pipes[1]);
        int again = open(path, O_WRONLY);
        printf("pipe again %s %ld", e(again), (long)write(again, "hello", 5));
        printf(" %ld\n", (long)read(pipes[0], a, 64));
    }
    return 0;
}
