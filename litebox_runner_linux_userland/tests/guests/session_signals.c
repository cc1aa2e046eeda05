// SIGCONT reaches whoever is in the sender's session, whatever their users; setpgid of impossible processes.
#include "result.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void child_of_nobody(pid_t target, pid_t apart) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        setregid(99, 99);
        setreuid(99, 99);
        int stranger = geteuid() == 99;
        printf("same session: SIGCONT %s", result(kill(target, SIGCONT)));
        printf(", SIGTERM %s", stranger ? result(kill(target, SIGTERM)) : "EPERM");
        printf(", 0 %s\n", stranger ? result(kill(target, 0)) : "EPERM");
        printf("another session: SIGCONT %s\n", stranger ? result(kill(apart, SIGCONT)) : "EPERM");
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}
int main(void) {
    int ready[2];
    char byte;
    if (pipe(ready)) return 1;
    pid_t target = fork();
    if (target == 0) for (;;) pause();
    pid_t apart = fork();
    if (apart == 0) {
        setsid();
        if (write(ready[1], "r", 1) != 1) _exit(1);
        for (;;) pause();
    }
    if (read(ready[0], &byte, 1) != 1) return 1;
    child_of_nobody(target, apart);
    kill(target, SIGKILL);
    kill(apart, SIGKILL);
    while (wait(NULL) > 0) continue;
    printf("setpgid(-5, 0) %s", result(setpgid(-5, 0)));
    printf(", (0, -5) %s", result(setpgid(0, -5)));
    printf(", (-5, 7) %s\n", result(setpgid(-5, 7)));
    printf("kill of nobody %s", result(kill(0x3fffffff, SIGTERM)));
    printf(", with no signal %s", result(kill(0x3fffffff, 99)));
    printf(", of oneself with none %s\n", result(kill(getpid(), 99)));
    return 0;
}
