// Times one call on the files of the current directory: `volume NAME` prints the nanoseconds of one turn, the median of
// nine batches. What a batch needs is made before it, and what it leaves is removed after it.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHECK(call) ({ long r_ = (long)(call); if (r_ < 0) { perror(#call); exit(1); } r_; })
#define BATCHES 9

static char buffer[1 << 16];
static int file, dir;
static struct stat meta;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e9 + at.tv_nsec;
}
static const char *name_of(char kind, int i) {
    static char names[2][32];
    static int turn;
    char *name = names[turn ^= 1];
    snprintf(name, sizeof names[0], "%c%d", kind, i);
    return name;
}
static void make(const char *name) {
    int fd = CHECK(open(name, O_CREAT | O_EXCL | O_WRONLY, 0644));
    CHECK(write(fd, buffer, 4096));
    CHECK(close(fd));
}

static void make_path(int count) {
    (void)count;
    if (mkdir("a", 0755) == 0) {
        CHECK(mkdir("a/b", 0755));
        make("a/b/c");
    }
}
static void open_file(int count) {
    make_path(count);
    file = file ? file : CHECK(open("a/b/c", O_RDONLY));
}
static void make_files(int count) {
    for (int i = 0; i < count; i++)
        make(name_of('f', i));
}
static void remove_files(int count) {
    for (int i = 0; i < count; i++)
        CHECK(unlink(name_of('f', i)));
}
static void remove_renamed(int count) {
    for (int i = 0; i < count; i++)
        CHECK(unlink(name_of('g', i)));
}
// The directory that dev_bench has made.
static void open_many(int count) {
    (void)count;
    dir = dir ? dir : CHECK(open("../many", O_RDONLY | O_DIRECTORY));
}

static void turn_stat(int i) { (void)i; CHECK(stat("a/b/c", &meta)); }
static void turn_access(int i) { (void)i; CHECK(access("a/b/c", R_OK)); }
static void turn_missing(int i) { (void)i; CHECK(stat("a/b/none", &meta) == -1 && errno == ENOENT ? 0 : -1); }
static void turn_open(int i) { (void)i; CHECK(close(CHECK(open("a/b/c", O_RDONLY)))); }
static void turn_read(int i) { (void)i; CHECK(pread(file, buffer, 4096, 0)); }
static void turn_create(int i) { make(name_of('f', i)); }
static void turn_rename(int i) { CHECK(rename(name_of('f', i), name_of('g', i))); }
static void turn_unlink(int i) { CHECK(unlink(name_of('f', i))); }
static void turn_chmod(int i) { CHECK(chmod("a/b/c", i % 2 ? 0644 : 0600)); }
static void turn_utime(int i) {
    struct timespec times[2] = {{1000000000 + i, 0}, {1000000000 + i, 0}};
    CHECK(utimensat(AT_FDCWD, "a/b/c", times, 0));
}
static void turn_readdir(int i) {
    (void)i;
    CHECK(lseek(dir, 0, SEEK_SET));
    while (CHECK(syscall(SYS_getdents64, dir, buffer, sizeof buffer)) > 0)
        ;
}

static const struct {
    const char *name;
    int count;
    void (*prepare)(int);
    void (*turn)(int);
    void (*restore)(int);
} all[] = {
    {"stat", 4000, make_path, turn_stat, 0},
    {"access", 4000, make_path, turn_access, 0},
    {"missing", 4000, make_path, turn_missing, 0},
    {"open_close", 4000, make_path, turn_open, 0},
    {"read", 8000, open_file, turn_read, 0},
    {"create", 200, 0, turn_create, remove_files},
    {"rename", 200, make_files, turn_rename, remove_renamed},
    {"unlink", 200, make_files, turn_unlink, 0},
    {"chmod", 500, make_path, turn_chmod, 0},
    {"utime", 500, make_path, turn_utime, 0},
    {"readdir", 4, open_many, turn_readdir, 0},
};

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    for (size_t i = 0; argc == 2 && i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(all[i].name, argv[1]))
            continue;
        double times[BATCHES];
        char own[] = "volume-XXXXXX";
        CHECK(mkdtemp(own) ? 0 : -1);
        CHECK(chdir(own));
        for (int b = 0; b < BATCHES; b++) {
            if (all[i].prepare)
                all[i].prepare(all[i].count);
            double begin = now();
            for (int n = 0; n < all[i].count; n++)
                all[i].turn(n);
            times[b] = (now() - begin) / all[i].count;
            if (all[i].restore)
                all[i].restore(all[i].count);
        }
        qsort(times, BATCHES, sizeof times[0], ascending);
        printf("%.2f\n", times[BATCHES / 2]);
        return 0;
    }
    fprintf(stderr, "usage: volume NAME\n");
    return 2;
}
