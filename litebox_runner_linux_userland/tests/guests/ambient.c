// Capabilities that are ambient stay over execve(2), the superuser's as well.
#define _GNU_SOURCE
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "result.h"

#define ONE (1u << CAP_KILL)

static void sets(const char *when)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    syscall(SYS_capget, &head, data);
    printf("%s: inheritable %d permitted %d effective %d ambient %s\n", when, !!(data[0].inheritable & ONE), !!(data[0].permitted & ONE),
           !!(data[0].effective & ONE), result(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0)));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        sets(argv[1]);
        return 0;
    }
    for (int user = 0; user < 2; user++) {
        pid_t pid = fork();
        if (pid == 0) {
            struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
            struct __user_cap_data_struct data[2];
            prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
            if (user && syscall(SYS_setresuid, 1000, 1000, 1000)) perror("setresuid");
            syscall(SYS_capget, &head, data);
            data[0].effective = data[0].permitted;
            data[0].inheritable |= ONE;
            printf("capset %s", result(syscall(SYS_capset, &head, data)));
            printf(" raise %s\n", result(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0)));
            sets("before");
            // Not by this program's name: somebody else may not reach it.
            execl("/proc/self/exe", "ambient", user ? "of a user" : "of the superuser", NULL);
            perror("execl");
            _exit(1);
        }
        waitpid(pid, NULL, 0);
    }
    return 0;
}
