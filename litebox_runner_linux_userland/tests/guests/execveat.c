// A program that is named below an open directory, or is an open file itself.
#include "result.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void run(const char *what, int dirfd, const char *path, int flags, char *const argv[], char *const envp[]) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        long r = syscall(SYS_execveat, dirfd, path, argv, envp, flags);
        printf("%s: %s\n", what, result(r));
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) printf("%s: signal %d\n", what, WTERMSIG(status));
}
static int copy_of(const char *from, const char *to) {
    char buffer[65536];
    int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_WRONLY | O_TRUNC, 0755);
    long n;
    while ((n = read(in, buffer, sizeof buffer)) > 0) if (write(out, buffer, n) != n) return -1;
    close(in);
    return close(out);
}
int main(int argc, char **argv) {
    if (argc > 1) {
        printf("started as %s, %d words, X=%s\n", argv[1], argc, getenv("X") ? getenv("X") : "none");
        return 0;
    }
    char *word[] = {"program", "by name", NULL}, *fd_word[] = {"program", "open file", NULL};
    char *env[] = {"X=y", NULL}, *none[] = {NULL};
    mkdir("dir", 0755);
    if (copy_of("/proc/self/exe", "dir/program")) return 1;
    symlink("program", "dir/link");
    int dir = open("dir", O_RDONLY | O_DIRECTORY), path = open("dir/program", O_PATH);
    int reader = open("dir/program", O_RDONLY | O_CLOEXEC);
    run("name", dir, "program", 0, word, env);
    run("name through a link", dir, "link", 0, word, none);
    run("link itself", dir, "link", AT_SYMLINK_NOFOLLOW, word, none);
    run("file, not followed", dir, "program", AT_SYMLINK_NOFOLLOW, word, none);
    run("open file", reader, "", AT_EMPTY_PATH, fd_word, none);
    run("path", path, "", AT_EMPTY_PATH, fd_word, env);
    run("empty name", reader, "", 0, fd_word, none);
    run("directory", dir, "", AT_EMPTY_PATH, word, none);
    run("absent", dir, "absent", 0, word, none);
    run("below a file", reader, "program", 0, word, none);
    run("closed", -1, "program", 0, word, none);
    run("unknown flag", dir, "program", 1, word, none);
    run("bad name", dir, (char *)8, 0, word, none);
    run("bad words", dir, "program", 0, (char **)8, none);
    chmod("dir/program", 0644);
    run("not executable", dir, "program", 0, word, none);
    chmod("dir/program", 0755);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        long r = syscall(SYS_execve, "dir/absent", word, none);
        printf("execve: %s\n", result(r));
        syscall(SYS_execve, "dir/program", word, env);
        _exit(1);
    }
    waitpid(child, NULL, 0);
    int script = open("script", O_CREAT | O_WRONLY, 0755);
    dprintf(script, "#!dir/program of-script\n");
    close(script);
    script = open("script", O_RDONLY | O_CLOEXEC);
    run("script by name", AT_FDCWD, "script", 0, word, env);
    run("script that is closed before it is read", script, "", AT_EMPTY_PATH, word, env);
    return 0;
}
