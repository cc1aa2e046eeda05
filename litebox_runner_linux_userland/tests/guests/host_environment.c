//@ helper
// Runs a command in the surroundings that some machines have. `around MODE COMMAND...`:
//   container  a container's filter: no namespaces, clone3 and newer calls unknown
//   listener   somebody outside listens for notifications already
//   old        no Syscall User Dispatch, no Landlock, no openat2
//   nofile     at most 1024 descriptors, for ever
//   strict     no new privileges, a small stack, no core files
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ARGUMENT(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))
#define ANSWER(e) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (e))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE(nr, e) NUMBER, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), ANSWER(e)

static void load(struct sock_filter *filter, unsigned len, unsigned flags) {
    struct sock_fprog program = {len, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) < 0) {
        perror("around: seccomp");
        exit(90);
    }
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 90;
    if (!strcmp(argv[1], "container")) {
        struct sock_filter filter[] = {
            NUMBER, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3), ARGUMENT(0),
            BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x7e020000, 0, 1), ANSWER(EPERM),
            REFUSE(SYS_clone3, ENOSYS), REFUSE(SYS_unshare, EPERM), REFUSE(SYS_setns, EPERM), REFUSE(SYS_mount, EPERM),
            REFUSE(SYS_landlock_create_ruleset, ENOSYS), REFUSE(SYS_pivot_root, EPERM), REFUSE(SYS_openat2, ENOSYS), ALLOW,
        };
        load(filter, sizeof filter / sizeof *filter, 0);
    } else if (!strcmp(argv[1], "listener")) {
        struct sock_filter filter[] = {ALLOW};
        load(filter, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    } else if (!strcmp(argv[1], "old")) {
        struct sock_filter filter[] = {
            NUMBER, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3), ARGUMENT(0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 59, 0, 1), ANSWER(EINVAL),
            REFUSE(SYS_landlock_create_ruleset, ENOSYS), REFUSE(SYS_openat2, ENOSYS), REFUSE(SYS_clone3, ENOSYS), ALLOW,
        };
        load(filter, sizeof filter / sizeof *filter, 0);
    } else if (!strcmp(argv[1], "nofile")) {
        struct rlimit limit = {1024, 1024};
        setrlimit(RLIMIT_NOFILE, &limit);
    } else if (!strcmp(argv[1], "strict")) {
        struct rlimit stack = {512 << 10, 512 << 10}, none = {0, 0};
        setrlimit(RLIMIT_STACK, &stack);
        setrlimit(RLIMIT_CORE, &none);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    } else {
        return 90;
    }
    execv(argv[2], argv + 2);
    perror("around: execv");
    return 91;
}
