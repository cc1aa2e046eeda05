// Metadata asked for by name, in directories of which everything was looked at before and then changed.
//@ files: many/a many/b many/c many/d many/e many/f many/g many/h many/i many/j many/k many/l below/other=many/b
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static ino_t ino_of(const char *name) {
    struct stat st;
    return lstat(name, &st) ? 0 : st.st_ino;
}
// By lstat, statx and an open file, which have to agree.
static void look(const char *name) {
    struct stat st, opened;
    struct statx x;
    memset(&x, 0, sizeof x);
    int found = lstat(name, &st);
    int told = statx(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &x);
    if (found) {
        printf("%s: %s, statx %d\n", name, strerror(errno), told);
        return;
    }
    printf("%s: %o, %ld links, %ld bytes", name, st.st_mode, (long)st.st_nlink, S_ISDIR(st.st_mode) ? 0 : (long)st.st_size);
    printf("; statx %s", x.stx_ino == st.st_ino && x.stx_mode == st.st_mode && x.stx_mtime.tv_nsec == st.st_mtim.tv_nsec
        && x.stx_dev_minor == minor(st.st_dev) ? "agrees" : "differs");
    int fd = open(name, O_RDONLY | O_NOFOLLOW);
    if (fd >= 0 && !fstat(fd, &opened))
        printf("; open file %s", opened.st_ino == st.st_ino && opened.st_dev == st.st_dev && opened.st_size == st.st_size
            && opened.st_mtim.tv_nsec == st.st_mtim.tv_nsec && opened.st_nlink == st.st_nlink ? "agrees" : "differs");
    puts("");
    close(fd);
}
static void look_at_all(const char *when) {
    static const char names[] = "abcdefghijklmnop";
    printf("-- %s\n", when);
    for (const char *n = names; *n; n++) {
        char path[16] = "many/x";
        path[5] = *n;
        look(path);
    }
    look("many/");
    look("below/other");
    look("many/a/b");
}
static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}
// Every name once, whatever happens to other names in between.
static void list(const char *dir, void (*between)(void)) {
    char *names[64];
    int count = 0;
    struct dirent *entry;
    DIR *open = opendir(dir);
    while ((entry = readdir(open)) && count < 64) {
        char *name = names[count++] = strdup(entry->d_name);
        struct stat st;
        if (!fstatat(dirfd(open), name, &st, AT_SYMLINK_NOFOLLOW) && name[0] != '.' && st.st_ino != entry->d_ino)
            printf("%s: listed as %ld, is %ld\n", name, (long)entry->d_ino, (long)st.st_ino);
        if (count == 4 && between) between();
    }
    qsort(names, count, sizeof *names, by_name);
    for (int i = 0; i < count; i++) printf("%s ", names[i]);
    puts("");
    // From a place in the middle.
    rewinddir(open);
    for (int i = 0; i < 5; i++) readdir(open);
    long place = telldir(open);
    entry = readdir(open);
    char *here = strdup(entry ? entry->d_name : "nothing");
    while (readdir(open)) { }
    seekdir(open, place);
    entry = readdir(open);
    printf("the same again: %d\n", entry && !strcmp(entry->d_name, here));
    closedir(open);
}
static void change_names(void) {
    // In the sandbox the directory becomes one of its own here: what was not read yet comes behind.
    mkdir("many/.new", 0700);
    rmdir("many/.new");
    chmod("many/c", 0600);
}
int main(void) {
    umask(022);
    look_at_all("as it was");
    look_at_all("again");
    list("many", NULL);
    list("many", change_names);
    look_at_all("one changed");

    printf("same file: %d\n", ino_of("many/b") == ino_of("below/other"));
    chmod("below/other", 0640);
    look("many/b");
    int fd = open("below/other", O_WRONLY | O_APPEND);
    if (write(fd, "more", 4) != 4) return 1;
    look("many/b");
    close(fd);
    printf("same file: %d\n", ino_of("many/b") == ino_of("below/other"));

    ino_t before = ino_of("many/d");
    rename("many/d", "many/m");
    unlink("many/e");
    unlink("many/f");
    mkdir("many/f", 0750);
    symlink("g", "many/n");
    link("many/h", "many/o");
    rename("many/i", "below/i");
    rename("many/k", "many/l");
    printf("moved: %d\n", before == ino_of("many/m"));
    look_at_all("changed");
    look("below/i");
    list("many", NULL);
    list("below", NULL);
    unlink("below/other");
    look("many/b");
    printf("%d %s\n", truncate("many/j", 1), strerror(errno));
    look("many/j");
    char longer[300] = "many/";
    memset(longer + 5, 'x', 260);
    struct stat st;
    printf("%d", stat(longer, &st));
    printf(" %s\n", strerror(errno));
    return 0;
}
