//@ timeout: 30
// Files that are cut while others have them mapped: SIGBUS behind the end in every process, the bytes back when the
// file grows again.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 4 };

static sigjmp_buf out;
static void fault(int n) { siglongjmp(out, n); }

// What touching a byte does.
static const char *touch(volatile char *at)
{
    static char text[16];
    int n = sigsetjmp(out, 1);
    if (n) return n == SIGBUS ? "SIGBUS" : "SIGSEGV";
    snprintf(text, sizeof text, "%d", *at);
    return text;
}

static int to_child[2], to_parent[2];
static void tell(int *pipe) { write(pipe[1], "x", 1); }
static void await(int *pipe) { char c; read(pipe[0], &c, 1); }

static void look(const char *who, char *map)
{
    printf("%s:", who);
    for (int i = 0; i < PAGES; i++) printf(" %s", touch(map + i * PAGE));
    printf("\n");
    fflush(stdout);
}

static void child(char *shared, char *private)
{
    for (int step = 0; step < 5; step++) {
        await(to_child);
        look("child shared", shared);
        look("child private", private);
        tell(to_parent);
    }
    _exit(0);
}

static void turn(const char *what, char *map)
{
    printf("%s\n", what);
    look("parent", map);
    tell(to_child);
    await(to_parent);
}

int main(void)
{
    char name[] = "/tmp/cuts.XXXXXX";
    int fd = mkstemp(name);
    struct sigaction a = {.sa_handler = fault, .sa_flags = SA_NODEFER};
    sigaction(SIGBUS, &a, 0);
    sigaction(SIGSEGV, &a, 0);
    char page[PAGE];
    for (int i = 0; i < PAGES; i++) {
        memset(page, i + 1, PAGE);
        write(fd, page, PAGE);
    }
    pipe(to_child);
    pipe(to_parent);
    char *shared = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(0, PAGES * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) child(shared, private);
    turn("whole", shared);
    printf("ftruncate %d\n", ftruncate(fd, 2 * PAGE + 100));
    turn("cut", shared);
    printf("truncate %d\n", truncate(name, PAGE));
    turn("cut by name", shared);
    close(open(name, O_WRONLY | O_TRUNC));
    turn("emptied", shared);
    ftruncate(fd, PAGES * PAGE);
    memset(page, 9, PAGE);
    pwrite(fd, page, PAGE, PAGE);
    turn("grown", shared);
    int status;
    waitpid(pid, &status, 0);
    printf("child %d\n", status);
    unlink(name);
    return 0;
}
