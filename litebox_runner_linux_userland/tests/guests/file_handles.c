// Handles of files, and where the data of files lies.
//@ volumes: memory cow rw
#define _GNU_SOURCE
#include "result.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct handle { struct file_handle head; unsigned char bytes[128]; };

static long get(int dir, const char *path, struct handle *handle, int *mount, int flags) {
    memset(handle, 0, sizeof *handle);
    handle->head.handle_bytes = 128;
    return name_to_handle_at(dir, path, &handle->head, mount, flags);
}
static int same(const struct handle *a, const struct handle *b) {
    return a->head.handle_bytes == b->head.handle_bytes && a->head.handle_type == b->head.handle_type &&
           !memcmp(a->head.f_handle, b->head.f_handle, a->head.handle_bytes);
}
static void handles(void) {
    struct handle one, other;
    int mount, again, fd = open("file", O_RDWR);
    printf("by path %s", result(get(AT_FDCWD, "file", &one, &mount, 0)));
    printf(" by descriptor %s", result(get(fd, "", &other, &again, AT_EMPTY_PATH)));
    printf(" same %d %d\n", same(&one, &other), mount == again);
    if (link("file", "name") || symlink("file", "link")) return;
    printf("another name %s", result(get(AT_FDCWD, "name", &other, &again, 0))); printf(" same %d\n", same(&one, &other));
    printf("link %s", result(get(AT_FDCWD, "link", &other, &again, 0))); printf(" same %d", same(&one, &other));
    printf(" followed %s", result(get(AT_FDCWD, "link", &other, &again, AT_SYMLINK_FOLLOW))); printf(" same %d\n", same(&one, &other));
    printf("directory %s", result(get(AT_FDCWD, ".", &other, &again, 0))); printf(" same %d %d\n", same(&one, &other), mount == again);
    printf("of /proc %s", result(get(AT_FDCWD, "/proc/self/stat", &other, &again, 0)));
    printf(" absent %s", result(get(AT_FDCWD, "absent", &other, &again, 0)));
    printf(" flags %s", result(get(AT_FDCWD, "file", &other, &again, 0x8000)));
    printf(" bad descriptor %s\n", result(get(-1, "file", &other, &again, 0)));
    other.head.handle_bytes = 0;
    printf("no room %s", result(name_to_handle_at(AT_FDCWD, "file", &other.head, &again, 0)));
    printf(" wanted %d, mount %d\n", other.head.handle_bytes == one.head.handle_bytes, mount == again);
    other.head.handle_bytes = 129;
    printf("too much %s", result(name_to_handle_at(AT_FDCWD, "file", &other.head, &again, 0)));
    printf(" nowhere %s", result(name_to_handle_at(AT_FDCWD, "file", (void *)8, &again, 0)));
    other.head.handle_bytes = 128;
    printf(" mount nowhere %s\n", result(name_to_handle_at(AT_FDCWD, "file", &other.head, (void *)8, 0)));
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    syscall(SYS_capget, &header, data);
    data[0].effective &= ~(1u << 2 | 1u << 17);
    syscall(SYS_capset, &header, data);
    printf("opened without the capability %s\n", result(open_by_handle_at(AT_FDCWD, &one.head, O_RDONLY)));
    printf("blocks without the capability %s\n", result(ioctl(fd, FIBMAP, &mount)));
    close(fd);
}
// Extents that follow each other are one; what was allocated behind the end is nothing.
static void show(int fd, const char *what, unsigned long long from, unsigned long long len) {
    struct stat st;
    struct fiemap *map = calloc(1, sizeof *map + 16 * sizeof(struct fiemap_extent));
    fstat(fd, &st);
    map->fm_start = from;
    map->fm_length = len;
    map->fm_flags = FIEMAP_FLAG_SYNC;
    map->fm_extent_count = 16;
    printf("%s: %s", what, result(ioctl(fd, FS_IOC_FIEMAP, map)));
    unsigned long long start = 0, end = 0;
    for (unsigned i = 0; i < map->fm_mapped_extents && i < 16; i++) {
        struct fiemap_extent *e = map->fm_extents + i;
        if (e->fe_logical != end) {
            if (end > start) printf(" [%llu %llu]", start, end);
            start = e->fe_logical;
        }
        end = e->fe_logical + e->fe_length;
    }
    unsigned long long whole = (st.st_size + 4095ull) & ~4095ull;
    if (end > whole) end = whole;
    if (end > start) printf(" [%llu %llu]", start, end);
    int last = map->fm_mapped_extents && map->fm_extents[map->fm_mapped_extents - 1].fe_flags & FIEMAP_EXTENT_LAST;
    printf(" last %d\n", last);
    free(map);
}
static void extents(void) {
    int fd = open("sparse", O_CREAT | O_RDWR, 0644);
    static char block[65536];
    memset(block, 1, sizeof block);
    show(fd, "empty", 0, -1ull);
    if (pwrite(fd, block, 65536, 0) != 65536 || pwrite(fd, block, 65536, 1 << 20) != 65536 || ftruncate(fd, 4 << 20)) return;
    show(fd, "two pieces", 0, -1ull);
    show(fd, "from the hole on", 128 << 10, -1ull);
    show(fd, "of the hole", 128 << 10, 4096);
    struct fiemap map = {.fm_length = -1ull, .fm_flags = FIEMAP_FLAG_SYNC};
    printf("counted %s", result(ioctl(fd, FS_IOC_FIEMAP, &map))); printf(" %d\n", map.fm_mapped_extents >= 2);
    map = (struct fiemap){.fm_length = 0};
    printf("nothing %s", result(ioctl(fd, FS_IOC_FIEMAP, &map)));
    map = (struct fiemap){.fm_length = 1, .fm_start = 1ull << 63};
    printf(" behind all %s", result(ioctl(fd, FS_IOC_FIEMAP, &map)));
    map = (struct fiemap){.fm_length = -1ull, .fm_flags = 0x1000};
    printf(" flags %s", result(ioctl(fd, FS_IOC_FIEMAP, &map))); printf(" %x", map.fm_flags);
    map = (struct fiemap){.fm_length = -1ull, .fm_extent_count = -1u};
    printf(" too many %s", result(ioctl(fd, FS_IOC_FIEMAP, &map)));
    printf(" nowhere %s\n", result(ioctl(fd, FS_IOC_FIEMAP, (void *)8)));
    int ends[2];
    if (pipe(ends)) return;
    printf("of a pipe %s %s\n", result(ioctl(ends[0], FS_IOC_FIEMAP, &map)), result(ioctl(ends[0], FIBMAP, &map)));
    printf("of /proc %s\n", result(ioctl(open("/proc/self/stat", O_RDONLY), FS_IOC_FIEMAP, &map)));
}
int main(void) {
    close(open("file", O_CREAT | O_RDWR, 0644));
    handles();
    extents();
    return 0;
}
