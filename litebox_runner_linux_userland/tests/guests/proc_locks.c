// /proc/locks: who holds and who waits for advisory locks. /proc/PID/map_files: a link for each mapping of a file.
#include "asleep.h"
#include "result.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stat file;
static pid_t child;

static const char *who(int pid) { return pid == -1 ? "nobody" : pid == child ? "child" : pid == getpid() ? "me" : "?"; }
// The lines of this file: their numbers and inodes differ from run to run. Held locks come in no order.
static void show(const char *what)
{
    char line[200], lines[8][140] = {{0}}, inode[64];
    int count = 0, pid;
    snprintf(inode, sizeof inode, "%02x:%02x:%lu", major(file.st_dev), minor(file.st_dev), file.st_ino);
    FILE *f = fopen("/proc/locks", "r");
    while (f && count < 8 && fgets(line, sizeof line, f)) {
        char class[16], advisory[16], kind[16], place[64], start[32], end[32];
        char *rest = strchr(line, ':') + 2;
        int waits = !strncmp(rest, "-> ", 3);
        if (sscanf(rest + 3 * waits, "%15s %15s %15s %d %63s %31s %31s", class, advisory, kind, &pid, place, start, end) != 7) {
            printf("malformed: %s", line);
        } else if (!strcmp(place, inode)) {
            snprintf(lines[count++], sizeof lines[0], "%s%s %s %s %s %s-%s", waits ? "waits " : "", class, advisory, kind, who(pid), start, end);
        }
    }
    if (f) fclose(f);
    for (int i = 0; i < count; i++)
        for (int j = i + 1; j < count; j++)
            if (strcmp(lines[i], lines[j]) > 0) {
                memcpy(line, lines[i], 140), memcpy(lines[i], lines[j], 140), memcpy(lines[j], line, 140);
            }
    printf("%s:\n", what);
    for (int i = 0; i < count; i++) printf("  %s\n", lines[i]);
}
static void record(int fd, int command, int type, off_t start, off_t len)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    if (fcntl(fd, command, &lock)) printf("fcntl: %s\n", result(-1));
}
static void locks(int fd)
{
    show("none");
    record(fd, F_SETLK, F_WRLCK, 10, 5);
    record(fd, F_SETLK, F_RDLCK, 100, 0);
    record(fd, F_OFD_SETLK, F_WRLCK, 50, 1);
    int again = open("locked", O_RDWR);
    flock(again, LOCK_SH);
    show("held");
    if (!(child = fork())) {
        record(fd, F_SETLKW, F_WRLCK, 12, 1);
        _exit(0);
    }
    wait_asleep(child, child);
    show("awaited");
    record(fd, F_SETLK, F_UNLCK, 0, 0);
    waitpid(child, NULL, 0);
    // Opened here: a child that is asleep then waits for its lock.
    int other = open("locked", O_RDWR);
    if (!(child = fork())) {
        flock(other, LOCK_EX);
        _exit(0);
    }
    wait_asleep(child, child);
    show("a whole one awaited");
    flock(again, LOCK_UN);
    waitpid(child, NULL, 0);
    flock(other, LOCK_UN);
    if (!(child = fork())) {
        record(other, F_OFD_SETLKW, F_RDLCK, 50, 10);
        _exit(0);
    }
    wait_asleep(child, child);
    show("one of a description awaited");
    record(fd, F_OFD_SETLK, F_UNLCK, 0, 0);
    waitpid(child, NULL, 0);
    close(other);
    record(fd, F_OFD_SETLK, F_WRLCK, 50, 1);
    flock(again, LOCK_EX);
    show("given back");
    close(again);
    record(fd, F_OFD_SETLK, F_UNLCK, 0, 0);
    show("none again");
}
static void mappings(int fd)
{
    char path[100], target[100];
    void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    void *bare = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct stat st;
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (long)map, (long)map + 4096);
    ssize_t len = readlink(path, target, sizeof target - 1);
    target[len < 0 ? 0 : len] = 0;
    lstat(path, &st);
    printf("a mapping leads to locked: %d, mode %o\n", len > 0 && !strcmp(strrchr(target, '/'), "/locked"), st.st_mode);
    stat(path, &st);
    printf("it is the file: %d\n", st.st_ino == file.st_ino && st.st_dev == file.st_dev);
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (long)map, (long)map + 8192);
    printf("another end: %s\n", result(readlink(path, target, sizeof target)));
    snprintf(path, sizeof path, "/proc/self/map_files/0%lx-%lx", (long)map, (long)map + 4096);
    printf("a zero before: %s\n", result(readlink(path, target, sizeof target)));
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (long)bare, (long)bare + 4096);
    printf("no file: %s\n", result(readlink(path, target, sizeof target)));
    DIR *dir = opendir("/proc/self/map_files");
    int found = 0;
    char name[100];
    snprintf(name, sizeof name, "%lx-%lx", (long)map, (long)map + 4096);
    for (struct dirent *e; dir && (e = readdir(dir));) found += !strcmp(e->d_name, name) && e->d_type == DT_LNK;
    printf("listed: %d\n", found);
    lstat("/proc/self/map_files", &st);
    printf("directory: %o\n", st.st_mode);
    snprintf(name, sizeof name, "/proc/self/task/%d/map_files", getpid());
    printf("of a thread: %s\n", result(access(name, F_OK)));
}
int main(void)
{
    int fd = open("locked", O_RDWR | O_CREAT, 0600);
    ftruncate(fd, 4096);
    fstat(fd, &file);
    locks(fd);
    mappings(fd);
    unlink("locked");
    return 0;
}
