// From 32-bit programs to 64-bit ones and back: in place, after fork, after vfork, by posix_spawn, from a thread; with
// what a program leaves behind.
//@ variants: m32 m32-static-pie m32-dynamic
//@ flags: -pthread
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char self[4096];
static __thread int of_thread = 7;

// A 64-bit program that executes this one again.
#define BACK "exec \"$0\" \"$@\""

static void back_by_shell(const char *mode) {
    char *args[] = {"sh", "-c", BACK, self, (char *)mode, 0};
    execv("/bin/sh", args);
    printf("execv: %d\n", errno);
    _exit(1);
}

static void wait_for(const char *what, pid_t pid) {
    int status = -1;
    pid_t got = waitpid(pid, &status, 0);
    printf("%s: %s, status %#x\n", what, got == pid ? "waited" : "lost", status);
}

static void *execute(void *mode) {
    back_by_shell(mode);
    return 0;
}

// What a program finds: its own segments and no other's, and a floating-point unit like new.
static int fresh(void) {
    uint16_t fs, control;
    asm volatile("mov %%fs, %0\n fnstcw %1" : "=r"(fs), "=m"(control));
    return fs == 0 && control == 0x37f && of_thread == 7;
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IONBF, 0);
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0)
        return 1;
    if (argc > 1) {
        printf("  here for %s: %zu bytes, %s\n", argv[1], sizeof(void *), fresh() ? "fresh" : "not fresh");
        of_thread = 8;
        if (!strcmp(argv[1], "chain")) {
            int left = atoi(argv[2]);
            char number[16];
            snprintf(number, sizeof number, "%d", left - 1);
            char *args[] = {"sh", "-c", BACK, self, "chain", number, 0};
            uint16_t gs;
            asm volatile("mov %%gs, %0\n mov %0, %%fs" : "=r"(gs));
            if (left)
                execv(left % 2 ? self : "/bin/sh", left % 2 ? (char *[]){self, "chain", number, 0} : args);
        }
        return 5;
    }
    pid_t pid = fork();
    if (!pid)
        back_by_shell("fork");
    wait_for("fork", pid);
    pid = vfork();
    if (!pid) {
        execv("/bin/sh", (char *[]){"sh", "-c", BACK, self, "vfork", 0});
        _exit(1);
    }
    wait_for("vfork", pid);
    printf("the parent's: %d\n", of_thread);
    pid = vfork();
    if (!pid) {
        execv(self, (char *[]){self, "vfork", 0});
        _exit(1);
    }
    wait_for("vfork of the same kind", pid);
    printf("the parent's: %d\n", of_thread);
    char *args[] = {"sh", "-c", "test $(printf 6) = 6; exit $?", 0};
    printf("posix_spawn: %d\n", posix_spawn(&pid, "/bin/sh", 0, 0, args, environ));
    wait_for("posix_spawn", pid);
    pid = fork();
    if (!pid) {
        pthread_t thread;
        pthread_create(&thread, 0, execute, "thread");
        pthread_join(thread, 0);
        _exit(1);
    }
    wait_for("thread", pid);
    pid = fork();
    if (!pid)
        execv(self, (char *[]){self, "chain", "6", 0});
    wait_for("chain", pid);
    FILE *pipe = popen("echo a 64-bit shell", "r");
    char line[64];
    while (pipe && fgets(line, sizeof line, pipe))
        fputs(line, stdout);
    printf("pclose: %d, system: %d\n", pipe ? pclose(pipe) : -1, system("exit 3"));
    back_by_shell("in place");
}
