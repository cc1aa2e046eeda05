// openat2: RESOLVE_IN_ROOT takes the directory for the root of absolute paths, of links and of `..`.
//@ volumes: memory cow rw
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int dir;
static void try_as(const char *path, long flags, long resolve) {
    long mode = flags & (O_CREAT | O_TMPFILE & ~O_DIRECTORY) ? 0600 : 0;
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
    printf("%s, %ld: %s\n", path, resolve, fd < 0 ? strerrorname_np(errno) : "opened");
    if (fd >= 0) close(fd);
}
static void try(const char *path, long resolve) {
    try_as(path, O_RDONLY, resolve);
}
// RESOLVE_CACHED: only what needs no change and no look at a disk; a flag that is not known comes first.
static void cached(void) {
    dir = AT_FDCWD;
    try("/tmp", RESOLVE_CACHED);
    try("d/in", 0x1337);
    try("d/in", RESOLVE_CACHED | 0x40);
    try("d/in", RESOLVE_CACHED | RESOLVE_BENEATH | RESOLVE_IN_ROOT);
    try_as("d/in", O_CREAT | O_RDWR, RESOLVE_CACHED);
    try_as("d/in", O_TRUNC | O_RDWR, RESOLVE_CACHED);
    try_as("d", O_TMPFILE | O_RDWR, RESOLVE_CACHED);
    try_as("d/in", O_CREAT | O_DIRECTORY, RESOLVE_CACHED);
    int fd = open("d", O_TMPFILE | O_RDWR, 0600);
    printf("flags of a file without a name: %x\n", fcntl(fd, F_GETFL) & ~O_LARGEFILE & ~0100000);
}
int main(void) {
    mkdir("d", 0755);
    mkdir("d/below", 0755);
    close(creat("d/in", 0600));
    close(creat("d/below/deep", 0600));
    close(creat("outside", 0600));
    symlink("/in", "d/absolute");
    symlink("../../outside", "d/up");
    symlink("/outside", "d/away");
    symlink("/below/../in", "d/around");
    dir = open("d", O_RDONLY | O_DIRECTORY);
    static const char *paths[] = {"in", "/in", "//in", "/below/deep", "/outside", "/../outside", "../outside", "/..", "/", "/.", ".", "absolute", "up", "away", "around", "/absolute", "", "/in/", "/below/", "/proc/self/exe"};
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) {
        try(paths[i], RESOLVE_IN_ROOT);
        try(paths[i], RESOLVE_BENEATH);
        try(paths[i], RESOLVE_NO_SYMLINKS | RESOLVE_IN_ROOT);
    }
    dir = AT_FDCWD;
    try("/d/in", RESOLVE_IN_ROOT);
    try("/outside", RESOLVE_IN_ROOT);
    dir = 99;
    try("/d/in", RESOLVE_IN_ROOT);
    try("in", RESOLVE_IN_ROOT);
    cached();
    return 0;
}
