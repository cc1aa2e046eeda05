//@ helper
// Does to files what it is told, a line at a time, and says in a line what came of it. Two processes take turns: the
// first word of a line says which. tests/volumes.rs runs one on the host and one in the sandbox.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static char reply[65536];
static int held = -1;

static unsigned long hash_of(int fd) {
    unsigned long hash = 5381;
    char buffer[4096];
    ssize_t n;
    off_t at = 0;
    while ((n = pread(fd, buffer, sizeof buffer, at)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            hash = hash * 33 + (unsigned char)buffer[i];
        at += n;
    }
    return hash;
}

static void tell(const struct stat *s, const char *more, unsigned long hash) {
    snprintf(reply, sizeof reply, "%o %lu %u:%u %lld %lld.%09ld %lld.%09ld %llu %s %lx", s->st_mode,
             (unsigned long)s->st_nlink, s->st_uid, s->st_gid, (long long)s->st_size, (long long)s->st_mtim.tv_sec,
             s->st_mtim.tv_nsec, (long long)s->st_ctim.tv_sec, s->st_ctim.tv_nsec, (unsigned long long)s->st_ino, more,
             hash);
}

static int look(const char *path) {
    struct stat s;
    char target[256] = "-";
    unsigned long hash = 0;
    if (lstat(path, &s))
        return -1;
    if (S_ISLNK(s.st_mode)) {
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n < 0)
            return -1;
        target[n] = 0;
    }
    if (S_ISREG(s.st_mode)) {
        int fd = open(path, O_RDONLY);
        if (fd < 0)
            return -1;
        hash = hash_of(fd);
        close(fd);
        if (lstat(path, &s))
            return -1;
    }
    tell(&s, target, hash);
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list(const char *path) {
    char *names[1024];
    int count = 0;
    DIR *dir = opendir(path);
    struct dirent *entry;
    if (!dir)
        return -1;
    while (count < 1024 && (entry = readdir(dir)))
        if (asprintf(&names[count], "%s/%d/%llu", entry->d_name, entry->d_type,
                     strcmp(entry->d_name, "..") ? (unsigned long long)entry->d_ino : 0) > 0)
            count++;
    closedir(dir);
    qsort(names, count, sizeof *names, by_name);
    strcpy(reply, "list");
    for (int i = 0; i < count; i++) {
        snprintf(reply + strlen(reply), sizeof reply - strlen(reply), " %s", names[i]);
        free(names[i]);
    }
    return 0;
}

static int put(const char *path, int flags, const char *text) {
    int fd = open(path, flags, 0644);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, text, strlen(text));
    return close(fd) || n < 0 ? -1 : 0;
}

static int hold(const char *path) {
    int fd = open(path, O_RDWR);
    if (fd < 0)
        return -1;
    if (held >= 0)
        close(held);
    held = fd;
    return 0;
}

static int tell_held(void) {
    struct stat s;
    if (held < 0 || fstat(held, &s))
        return -1;
    tell(&s, "-", hash_of(held));
    return 0;
}

static int touch(const char *path, long seconds) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds, .tv_nsec = 7}};
    return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

// Often enough for the sandbox to believe that nothing happens.
static int stare(const char *path) {
    struct stat s;
    for (int i = 0; i < 600; i++)
        if (stat(path, &s))
            return -1;
    return 0;
}

static int seen(const char *path, const struct stat *s, int kind, struct FTW *place) {
    (void)path, (void)s, (void)kind, (void)place;
    return 0;
}

static void act(char *line) {
    char *what = strtok(line, " \n"), *a = strtok(NULL, " \n"), *b = strtok(NULL, " \n");
    int done = -1;
    errno = EINVAL;
    strcpy(reply, "done");
    a = a ? a : "";
    b = b ? b : "";
    if (!strcmp(what, "look"))
        done = look(a);
    else if (!strcmp(what, "list"))
        done = list(a);
    else if (!strcmp(what, "stare"))
        done = stare(a);
    else if (!strcmp(what, "walk"))
        done = nftw(a, seen, 16, FTW_PHYS);
    else if (!strcmp(what, "held"))
        done = tell_held();
    else if (!strcmp(what, "hold"))
        done = hold(a);
    else if (!strcmp(what, "write_held"))
        done = held < 0 ? 0 : write(held, a, strlen(a)) < 0 ? -1 : 0;
    else if (!strcmp(what, "chmod_held"))
        done = held < 0 ? 0 : fchmod(held, strtol(a, NULL, 8));
    else if (!strcmp(what, "create"))
        done = put(a, O_WRONLY | O_CREAT | O_EXCL, b);
    else if (!strcmp(what, "put"))
        done = put(a, O_WRONLY | O_CREAT | O_TRUNC, b);
    else if (!strcmp(what, "append"))
        done = put(a, O_WRONLY | O_APPEND, b);
    else if (!strcmp(what, "truncate"))
        done = truncate(a, atol(b));
    else if (!strcmp(what, "chmod"))
        done = chmod(a, strtol(b, NULL, 8));
    else if (!strcmp(what, "touch"))
        done = touch(a, atol(b));
    else if (!strcmp(what, "setxattr"))
        done = setxattr(a, "user.k", b, strlen(b), 0);
    else if (!strcmp(what, "rename"))
        done = rename(a, b);
    else if (!strcmp(what, "exchange"))
        done = renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
    else if (!strcmp(what, "link"))
        done = link(a, b);
    else if (!strcmp(what, "symlink"))
        done = symlink(b, a);
    else if (!strcmp(what, "mkdir"))
        done = mkdir(a, 0755);
    else if (!strcmp(what, "rmdir"))
        done = rmdir(a);
    else if (!strcmp(what, "unlink"))
        done = unlink(a);
    if (done)
        snprintf(reply, sizeof reply, "error %d", errno);
}

int main(void) {
    int pair[2];
    char line[4096];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
        return 1;
    if (fork() == 0) {
        close(pair[0]);
        for (ssize_t n; (n = read(pair[1], line, sizeof line - 1)) > 0;) {
            line[n] = 0;
            act(line);
            if (write(pair[1], reply, strlen(reply)) < 0)
                return 1;
        }
        return 0;
    }
    close(pair[1]);
    while (fgets(line, sizeof line, stdin)) {
        if (line[0] == '1') {
            ssize_t n = -1;
            if (write(pair[0], line + 2, strlen(line + 2)) > 0)
                n = read(pair[0], reply, sizeof reply - 1);
            reply[n < 0 ? 0 : n] = 0;
        } else {
            act(line + 2);
        }
        printf("%s\n", reply);
        fflush(stdout);
    }
    return 0;
}
