// O_APPEND: the end is found and written to in one step, whoever else writes; positions, F_SETFL, pwrite.
//@ volumes: memory cow rw
//@ timeout: 60
#include "result.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wstringop-overread"

enum { WRITERS = 4, LINES = 500 };

static void write_lines(int writer, int fd) {
    char line[64], head[64];
    for (int i = 0; i < LINES; i++) {
        int n = snprintf(line, sizeof line, "writer %d line %d\n", writer, i);
        if (i % 2) {
            int h = snprintf(head, sizeof head, "writer %d ", writer);
            struct iovec v[2] = {{head, h}, {line + h, n - h}};
            if (writev(fd, v, 2) != n) _exit(1);
        } else if (write(fd, line, n) != n) _exit(1);
    }
}
static void together(void) {
    for (int w = 0; w < WRITERS; w++) {
        if (fork() == 0) {
            int fd = open("log", O_WRONLY | O_CREAT | (w % 2 ? O_APPEND : 0), 0600);
            // The flag may be set later.
            if (w % 2 == 0) fcntl(fd, F_SETFL, O_APPEND);
            write_lines(w, fd);
            _exit(0);
        }
    }
    int status, bad = 0;
    while (wait(&status) > 0) bad += status != 0;
    FILE *f = fopen("log", "r");
    char line[100];
    int count[WRITERS] = {0}, torn = 0, w, i;
    while (fgets(line, sizeof line, f)) {
        char again[64];
        if (sscanf(line, "writer %d line %d", &w, &i) != 2 || w < 0 || w >= WRITERS) { torn++; continue; }
        snprintf(again, sizeof again, "writer %d line %d\n", w, i);
        if (strcmp(again, line) || count[w] != i) torn++;
        else count[w]++;
    }
    fclose(f);
    printf("writers that failed %d, lines torn or out of order %d, counts", bad, torn);
    for (w = 0; w < WRITERS; w++) printf(" %d", count[w]);
    printf("\n");
}
static void positions(void) {
    char text[64] = {0};
    int fd = open("file", O_RDWR | O_CREAT | O_APPEND, 0600);
    printf("write %s", result(write(fd, "hello ", 6)));
    printf(" at %s\n", result(lseek(fd, 0, SEEK_CUR)));
    lseek(fd, 0, SEEK_SET);
    printf("write nothing %s", result(write(fd, "", 0)));
    printf(" at %s\n", result(lseek(fd, 0, SEEK_CUR)));
    printf("write %s", result(write(fd, "world", 5)));
    printf(" at %s\n", result(lseek(fd, 0, SEEK_CUR)));
    printf("pwrite at 0: %s", result(pwrite(fd, "!", 1, 0)));
    printf(", position %s\n", result(lseek(fd, 0, SEEK_CUR)));
    printf("pread %s", result(pread(fd, text, sizeof text - 1, 0)));
    printf(": %s\n", text);
    printf("F_GETFL appends %d\n", !!(fcntl(fd, F_GETFL) & O_APPEND));
    fcntl(fd, F_SETFL, 0);
    printf("pwrite without the flag %s\n", result(pwrite(fd, "J", 1, 0)));
    lseek(fd, 6, SEEK_SET);
    printf("write without the flag %s", result(write(fd, "W", 1)));
    printf(" at %s\n", result(lseek(fd, 0, SEEK_CUR)));
    fcntl(fd, F_SETFL, O_APPEND);
    printf("and with it %s", result(write(fd, "?", 1)));
    printf(" at %s\n", result(lseek(fd, 0, SEEK_CUR)));
    printf("pread %s", result(pread(fd, text, sizeof text - 1, 0)));
    printf(": %s\n", text);
    char *map = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    map[1] = 'E';
    munmap(map, 4096);
    printf("mapped, pread %s", result(pread(fd, text, sizeof text - 1, 0)));
    printf(": %s\n", text);
    int other = dup(fd);
    printf("by a copy %s", result(write(other, ".", 1)));
    printf(", position of the first %s\n", result(lseek(fd, 0, SEEK_CUR)));
    int only = open("file", O_WRONLY | O_APPEND);
    printf("write only %s", result(write(only, "+", 1)));
    printf(", read %s\n", result(read(only, text, 1)));
    printf("from a bad address %s", result(write(only, (char *)8, 4)));
    printf(", where there is none %s\n", result(write(only, NULL, 0)));
    char *edge = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + 4096, 4096);
    memset(edge, 'x', 4096);
    struct iovec v[2] = {{edge, 3}, {edge + 4094, 2}};
    printf("two pieces %s\n", result(writev(only, v, 2)));
    printf("size %s\n", result(lseek(only, 0, SEEK_END)));
}
int main(void) {
    together();
    unlink("log");
    positions();
    return 0;
}
