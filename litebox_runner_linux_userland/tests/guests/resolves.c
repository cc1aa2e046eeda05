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
static void try(const char *path, long resolve) {
    struct open_how how = {.flags = O_RDONLY, .resolve = resolve};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
    printf("%s, %ld: %s\n", path, resolve, fd < 0 ? strerrorname_np(errno) : "opened");
    if (fd >= 0) close(fd);
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
    return 0;
}
