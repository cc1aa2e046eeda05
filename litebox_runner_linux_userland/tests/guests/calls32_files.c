// Files by the calls of 32-bit programs: structures, offsets in two registers, what does not fit.
//@ variants: static m32
//@ flags: -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64
//@ options: --tmpfs /scratch
#include "call32.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static uint32_t path, buf;
static uint32_t u32(uint32_t where, int offset) { uint32_t v; memcpy(&v, at(where + offset), 4); return v; }
static uint16_t u16(uint32_t where, int offset) { uint16_t v; memcpy(&v, at(where + offset), 2); return v; }
static uint64_t u64(uint32_t where, int offset) { uint64_t v; memcpy(&v, at(where + offset), 8); return v; }

static void stats(const char *name)
{
    struct stat s;
    stat(name, &s);
    memset(at(buf), 0xee, 256);
    tell("stat64:", call32(195, path, buf));
    printf(" %d%d%d%d%d%d%d%d%d", u64(buf, 0) == s.st_dev, u32(buf, 12) == (uint32_t)s.st_ino, u32(buf, 16) == s.st_mode, u32(buf, 20) == s.st_nlink,
           u32(buf, 24) == s.st_uid, u32(buf, 28) == s.st_gid, u64(buf, 44) == (uint64_t)s.st_size, u32(buf, 52) == (uint32_t)s.st_blksize, u64(buf, 88) == s.st_ino);
    printf(" %d%d%d%d", u64(buf, 56) == (uint64_t)s.st_blocks, u32(buf, 72) == (uint32_t)s.st_mtime, u32(buf, 76) == (uint32_t)s.st_mtim.tv_nsec, u32(buf, 96) == 0xeeeeeeee);
    memset(at(buf), 0xee, 256);
    tell(", lstat64:", call32(196, path, buf));
    tell(", fstatat64:", call32(300, AT_FDCWD, path, buf, AT_SYMLINK_NOFOLLOW));
    tell("", call32(300, AT_FDCWD, path, buf, 0x8000)); printf("\n");
    memset(at(buf), 0xee, 256);
    tell("stat:", call32(106, path, buf));
    printf(" %d%d%d%d%d%d %d\n", u32(buf, 0) == (uint32_t)s.st_dev, u32(buf, 4) == (uint32_t)s.st_ino, u16(buf, 8) == s.st_mode,
           u16(buf, 10) == s.st_nlink, u32(buf, 20) == (uint32_t)s.st_size, u32(buf, 40) == (uint32_t)s.st_mtime, u32(buf, 64) == 0xeeeeeeee);
    tell("lstat:", call32(107, path, buf)); tell(", nowhere:", call32(106, path, 0));
    tell("", call32(195, path, 8)); printf("\n");
}
static void file_systems(void)
{
    memset(at(buf), 0xee, 256);
    tell("statfs64:", call32(268, path, 84, buf)); printf(" %s", u32(buf, 84) == 0xeeeeeeee ? "84 bytes" : "more");
    tell(", sizes:", call32(268, path, 88, buf)); tell("", call32(268, path, 64, buf));
    tell("", call32(269, -1, 84, buf));
    memset(at(buf), 0xee, 256);
    tell(", statfs:", call32(99, path, buf)); printf(" %s", u32(buf, 64) == 0xeeeeeeee ? "64 bytes" : "more");
    printf("\n");
}
static void offsets(int fd)
{
    uint32_t text = low_text("0123456789");
    tell("write:", call32(4, fd, text, 10)); tell(", pwrite64:", call32(181, fd, text, 3, 0, 1));
    uint32_t place = low(NULL, 8);
    tell(", _llseek:", call32(140, fd, 1, 2, place, SEEK_SET));
    printf(" %llx", (unsigned long long)u64(place, 0));
    tell("", call32(140, fd, 0xffffffff, 0xffffffff, place, SEEK_SET)); tell("", call32(140, fd, 0, 0, place, 9));
    printf("\n");
    tell("lseek:", call32(19, fd, 3, SEEK_SET)); tell("", call32(19, fd, -1, SEEK_SET));
    tell("", call32(19, fd, -1, SEEK_CUR)); printf("\n");
    tell("pread64:", call32(180, fd, buf, 10, 0, 1));
    printf(" %.3s", (char *)at(buf));
    tell(", ftruncate64:", call32(194, fd, 5, 2));
    struct stat s;
    fstat(fd, &s);
    printf(" %llx", (unsigned long long)s.st_size);
    tell(", truncate64:", call32(193, path, 10, 0)); tell("", call32(193, path, -1, -1));
    tell(", ftruncate:", call32(93, fd, -1)); tell("", call32(93, fd, 8)); printf("\n");
    tell("fadvise64_64:", call32(272, fd, 0, 0, 0, 0, 2)); tell("", call32(272, fd, 0, 0, 0, 0, 99));
    tell(", fadvise64:", call32(250, fd, 0, 0, 8, 3)); tell(", sync_file_range:", call32(314, fd, 0, 0, 4, 0, 0));
    tell(", fallocate:", call32(324, fd, 0, 0, 0, 100, 0)); tell(", readahead:", call32(225, fd, 0, 0, 10));
    printf("\n");
}
static void vectors(int fd)
{
    uint32_t a = low_text("ab"), b = low_text("cde");
    uint32_t two[4] = {a, 2, b, 3};
    uint32_t iov = low(two, 16);
    tell("writev:", call32(146, fd, iov, 2));
    tell(", pwritev:", call32(334, fd, iov, 2, 1, 0));
    uint32_t into[4] = {buf, 4, buf + 8, 4};
    uint32_t where = low(into, 16);
    lseek(fd, 0, SEEK_SET);
    memset(at(buf), '.', 16);
    tell(", readv:", call32(145, fd, where, 2));
    printf(" %.12s", (char *)at(buf));
    tell(", preadv2:", call32(378, fd, where, 1, -1, -1, 0));
    tell(", too many:", call32(146, fd, iov, 1025)); tell(", nowhere:", call32(146, fd, 8, 1)); printf("\n");
}
static void locks(int fd)
{
    struct { int16_t kind, whence; int32_t start, len, pid; } lock = {F_WRLCK, SEEK_SET, 1, 2, 0};
    struct __attribute__((packed, aligned(4))) { int16_t kind, whence; int64_t start, len; int32_t pid; } wide = {F_WRLCK, SEEK_SET, 0x200000000ll, 5, 0};
    uint32_t l = low(&lock, sizeof lock), w = low(&wide, sizeof wide);
    tell("F_SETLK:", call32(55, fd, 6, l)); tell(", 64:", call32(221, fd, 13, w));
    tell(", by the old call:", call32(55, fd, 13, w)); tell("", call32(55, fd, 36, w));
    tell(", OFD:", call32(221, fd, 36, w)); printf("\n");
    fflush(stdout);
    if (fork() == 0) {
        lock.kind = F_RDLCK; lock.start = 0; lock.len = 0;
        l = low(&lock, sizeof lock);
        tell("F_GETLK:", call32(55, fd, 5, l));
        memcpy(&lock, at(l), sizeof lock);
        printf(" kind %d start %d len %d, %d", lock.kind, lock.start, lock.len, lock.pid == getppid());
        lock.kind = F_RDLCK; lock.start = 0x7fffff00; lock.len = 0;
        l = low(&lock, sizeof lock);
        tell(", beyond:", call32(221, fd, 5, l));
        wide.kind = F_RDLCK; wide.start = 100; wide.len = 0;
        w = low(&wide, sizeof wide);
        tell(", 64:", call32(221, fd, 12, w));
        memcpy(&wide, at(w), sizeof wide);
        printf(" start %llx len %lld\n", (long long)wide.start, (long long)wide.len);
        fflush(stdout);
        _exit(0);
    }
    int status;
    wait(&status);
}
static void large_files(void)
{
    int fd = open("big", O_RDWR | O_CREAT | O_TRUNC, 0600);
    ftruncate(fd, 0x80000000ll);
    uint32_t name = low_text("big"), text = low_text("xyz");
    tell("large: open", call32(5, name, O_RDONLY));
    long large = call32(5, name, O_RDONLY | 0100000);
    printf(", with O_LARGEFILE %s", large >= 0 ? "0" : result(large)); tell(", stat:", call32(106, name, buf));
    printf(", openat2: ");
    uint64_t how[3] = {O_RDONLY, 0, 0};
    long second = call32(437, AT_FDCWD, name, low(how, 24), 24);
    printf("%s", second >= 0 ? "0" : result(second)); printf("\n");
    ftruncate(fd, 0x7ffffffell);
    long small = call32(5, name, O_WRONLY);
    tell("small: pwrite64", call32(181, small, text, 3, 0x7ffffffe, 0));
    tell("", call32(181, small, text, 3, 0x7fffffff, 0));
    tell(", write", (lseek(small, 0x7ffffffd, SEEK_SET), call32(4, small, text, 3)));
    tell("", call32(4, small, text, 3)); printf(", flags %o", (int)call32(221, small, F_GETFL));
    printf(" %o", fcntl(small, F_GETFL));
    long created = call32(8, low_text("other"), 0600);
    printf(", creat %o\n", (int)call32(221, created, F_GETFL));
    close(fd); close(small); close(created); close(large); close(second);
}
static void directories(void)
{
    mkdir("dir", 0700);
    close(open("dir/name", O_CREAT | O_WRONLY, 0600));
    int fd = open("dir", O_RDONLY);
    memset(at(buf), 0xee, 256);
    long n = call32(141, fd, buf, 256);
    int names = 0, good = 1;
    for (long i = 0; i < n; i += u16(buf, i + 8)) {
        const char *name = at(buf + i + 10);
        struct stat s;
        fstatat(fd, name, &s, 0);
        names++;
        good &= strcmp(name, "..") == 0 || u32(buf, i) == (uint32_t)s.st_ino;
        good &= u16(buf, i + 8) % 4 == 0 && *(char *)at(buf + i + u16(buf, i + 8) - 1) == (S_ISDIR(s.st_mode) ? DT_DIR : DT_REG);
    }
    printf("getdents: %s", n > 0 ? "some" : result(n)); printf(", %d", names); printf(" names, good %d", good);
    tell(", behind them:", call32(141, fd, buf, 256));
    lseek(fd, 0, SEEK_SET);
    tell(", too small:", call32(141, fd, buf, 10));
    int found = 0, ones = 0;
    while ((n = call32(89, fd, buf, 1)) == 1) ones++, found |= u16(buf, 8) == 4 && !strcmp(at(buf + 10), "name");
    printf(", readdir: %d", ones); printf(" found %d", found); tell(", end", n);
    tell(", of a file", call32(89, 0, buf, 1)); printf("\n");
    close(fd);
}
static void copies(int fd)
{
    int out = open("out", O_RDWR | O_CREAT | O_TRUNC, 0600);
    int32_t offset = 2;
    uint32_t o = low(&offset, 4);
    tell("sendfile:", call32(187, out, fd, o, 3));
    printf(" then %d", (int)u32(o, 0));
    int64_t wide = 1;
    uint32_t w = low(&wide, 8);
    tell(", sendfile64:", call32(239, out, fd, w, 2));
    printf(" then %lld", (long long)u64(w, 0));
    tell(", none:", call32(187, out, fd, 0, 1)); tell(", bad:", call32(187, out, fd, 8, 1)); printf("\n");
    close(out);
}
static void times_of_files(void)
{
    int32_t both[4] = {1000, 5, 2000, 7};
    struct stat s;
    tell("utime:", call32(30, path, low((int32_t[]){111, 222}, 8)));
    stat("file", &s);
    printf(" %ld", (long)s.st_atime); printf(" %ld", (long)s.st_mtime);
    tell(", utimes:", call32(271, path, low(both, 16)));
    stat("file", &s);
    printf(" %ld", (long)s.st_mtime); printf(".%ld", (long)s.st_mtim.tv_nsec);
    tell(", utimensat:", call32(320, AT_FDCWD, path, low(both, 16), 0));
    stat("file", &s);
    printf(" %ld.%ld", (long)s.st_mtime, (long)s.st_mtim.tv_nsec);
    int64_t wide[4] = {0x100000001ll, 0x700000003ll, 0x100000002ll, 4};
    tell(", time64:", call32(412, AT_FDCWD, path, low(wide, 32), 0));
    stat("file", &s);
    printf(" %llx.%ld %llx\n", (long long)s.st_atime, (long)s.st_atim.tv_nsec, (long long)s.st_mtime);
    tell("then stat64:", call32(195, path, buf));
    printf(" %x %x\n", u32(buf, 64), u32(buf, 72));
}
// struct iocb and io_event are the same for programs of both widths; an array of requests, and the context, are not.
static void asynchronous(int fd)
{
    uint32_t context = low((uint32_t[]){0}, 4), to = low(NULL, 16), events = low(NULL, 64);
    uint32_t request = low((uint32_t[]){77, 0, 0, 0, 0, fd, to, 0, 5, 0, 2, 0, 0, 0, 0, 0}, 64), requests = low((uint32_t[]){request}, 4);
    tell("io_setup:", call32(245, 4, context));
    uint32_t id = u32(context, 0);
    tell(", io_submit:", call32(248, id, 1, requests));
    tell(", io_getevents:", call32(247, id, 1, 2, events, 0)); printf(" %d %d %d", u32(events, 0), u32(events, 8) == (int)request, u32(events, 16));
    tell(", io_pgetevents_time64:", call32(416, id, 1, 2, events, low((int64_t[]){0, 0}, 16), 0));
    tell(", io_pgetevents:", call32(385, id, 1, 2, events, low((int32_t[]){0, 0}, 8), 0)); tell(", io_cancel:", call32(249, id, request, events));
    tell(", io_destroy:", call32(246, id)); tell("", call32(246, id)); printf("\n");
}
int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (!have_calls()) return 0;
    char own[] = "/tmp/calls32.XXXXXX";
    if (chdir("/scratch") && (!mkdtemp(own) || chdir(own))) return 1;
    path = low_text("file"), buf = low(NULL, 4096);
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    write(fd, "hello, world", 12);
    stats("file");
    file_systems();
    copies(fd);
    vectors(fd);
    asynchronous(fd);
    ftruncate(fd, 0);
    lseek(fd, 0, SEEK_SET);
    offsets(fd);
    locks(fd);
    large_files();
    directories();
    times_of_files();
    tell("flags of ioctl:", call32(54, fd, 0x80046601, buf)); tell("", call32(54, fd, 0x80086601, buf));
    tell("", call32(54, fd, 0x5421, low(NULL, 4))); printf("\n");
    printf("oldstat: %s", call32(18, path, buf) == 0 || errno == EOVERFLOW ? "told" : "not");
    tell("", call32(28, -1, buf)); printf("\n");
    return 0;
}
