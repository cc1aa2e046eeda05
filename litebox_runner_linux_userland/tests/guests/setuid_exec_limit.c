// RLIMIT_NPROC and execve(2): who becomes a user that has more threads than allowed may not execute a program while
// that is so.
#define _GNU_SOURCE
#include "asleep.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// This run's alone: the limit counts all processes of a user, those of another run of this program too.
static uid_t user;

static pid_t others[3];

// Processes of the user.
static void crowd(int n)
{
    for (int i = 0; i < n; i++) {
        others[i] = fork();
        if (others[i] == 0) {
            if (setresuid(user, user, user)) _exit(1);
            for (;;) pause();
        }
        wait_asleep(others[i], others[i]);
    }
}

static void leave(int n)
{
    for (int i = 0; i < n; i++) kill(others[i], SIGKILL);
    for (int i = 0; i < n; i++) waitpid(others[i], NULL, 0);
}

static void limit(rlim_t most)
{
    struct rlimit now = {most, most};
    setrlimit(RLIMIT_NPROC, &now);
}

static void try(const char *when)
{
    execl("/bin/true", "true", NULL);
    printf("%s: %s\n", when, errno == EAGAIN ? "EAGAIN" : strerror(errno));
    fflush(stdout);
}

// In a process of its own; ends with the status of /bin/true, or 7 when nothing could be executed.
static void in_child(const char *name, void (*what)(void))
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        what();
        fflush(stdout);
        _exit(7);
    }
    waitpid(pid, &status, 0);
    printf("%s: %d\n", name, WEXITSTATUS(status));
}

static int go[2];

static void too_many(void)
{
    limit(1);
    setresuid(user, user, user);
    try("two others");
    try("still");
    close(go[0]);
    write(go[1], "x", 1);
    sleep(1);
    try("never");
}
static void just_enough(void)
{
    limit(2);
    setresuid(user, user, user);
    try("never");
}
static void root_again(void)
{
    limit(1);
    setresuid(user, user, 0);
    try("two others");
    setresuid(0, 0, 0);
    try("never");
}
static void limited_later(void)
{
    setresuid(user, user, user);
    limit(1);
    try("never");
}
static void effective_alone(void)
{
    limit(1);
    setresuid(-1, user, -1);
    try("never");
}

int main(void)
{
    if (geteuid()) return 0;
    user = 100000 + getpid();
    crowd(2);
    in_child("just enough", just_enough);
    in_child("root again", root_again);
    in_child("limited later", limited_later);
    in_child("effective user alone", effective_alone);
    pipe(go);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        too_many();
        _exit(7);
    }
    char c;
    close(go[1]);
    read(go[0], &c, 1);
    leave(2);
    int status;
    waitpid(pid, &status, 0);
    printf("once they had left: %d\n", WEXITSTATUS(status));
    return 0;
}
