// setns without the right to it: what is wrong otherwise is told first.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "result.h"

#define CAP_SYS_ADMIN 21
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static void calls(void)
{
    int file = open("/dev/null", O_RDONLY), own = syscall(SYS_pidfd_open, getpid(), 0);
    printf("no descriptor:");
    say(setns(-1, 0));
    say(setns(99, CLONE_NEWNET));
    printf("\nno namespace:");
    say(setns(file, 0));
    say(setns(file, CLONE_NEWNET));
    say(setns(file, 12345));
    printf("\na process:");
    say(setns(own, 0));
    say(setns(own, 1));
    say(setns(own, CLONE_NEWNET | CLONE_FILES));
    say(setns(own, CLONE_NEWUSER));
    say(setns(own, CLONE_NEWNET));
    say(setns(own, CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWPID | CLONE_NEWTIME));
    pid_t child = fork();
    if (child == 0) _exit(0);
    int gone = syscall(SYS_pidfd_open, child, 0);
    waitpid(child, 0, 0);
    printf("\none that is gone:");
    say(setns(gone, 0));
    say(setns(gone, CLONE_NEWNET));
    puts("");
}
int main(int count, char **words)
{
    // Without the capability from here on, where there is one.
    if (count == 1) {
        prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0);
        execl("/proc/self/exe", "again", "again", (char *)0);
    }
    calls();
    return 0;
}
