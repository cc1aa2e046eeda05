//@ flags: -pthread
// Users, groups, capabilities and what prctl keeps of a process. The superuser first takes the capabilities that
// containers get.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long r = (long)(call); printf("%s = %ld %s\n", #call, r, errno ? strerrorname_np(errno) : ""); } while (0)

static const uint64_t container = 0xa80425fb;

static void get(struct __user_cap_data_struct *data) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    memset(data, 0, 2 * sizeof *data);
    syscall(SYS_capget, &head, data);
}
static long set(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {
        {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
        {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
    };
    return syscall(SYS_capset, &head, data);
}
static void who(const char *when) {
    uid_t r, e, s;
    gid_t rg, eg, sg;
    struct __user_cap_data_struct data[2];
    getresuid(&r, &e, &s);
    getresgid(&rg, &eg, &sg);
    get(data);
    printf("%s: uid %u %u %u fs %d gid %u %u %u fs %d caps %x %x %x\n", when, r, e, s, setfsuid((uid_t)-1), rg, eg, sg,
           setfsgid((gid_t)-1), data[0].effective, data[0].permitted, data[0].inheritable);
}
static void in_child(void (*what)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        what();
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    if (status)
        printf("status %x\n", status);
}

static void users(void) {
    who("start");
    SHOW(setresuid(1, 2, 3));
    who("setresuid");
    SHOW(setresuid(3, 1, 2));
    SHOW(setresuid(5, -1, -1));
    SHOW(setresuid(-1, 7, -1));
    SHOW(setresuid(-1, -1, 8));
    who("turned");
    SHOW(setreuid(1, -1));
    SHOW(setreuid(2, -1));
    SHOW(setreuid(-1, 3));
    who("setreuid");
    SHOW(setuid(1));
    SHOW(setuid(9));
    SHOW(syscall(SYS_setuid, -1));
    who("setuid");
    SHOW(setreuid(geteuid(), getuid()));
    who("swapped");
}
static void saved(void) {
    SHOW(seteuid(1000));
    who("seteuid");
    SHOW(setfsuid(1000));
    SHOW(seteuid(0));
    who("back");
    SHOW(setfsuid(1000));
    who("fsuid");
    SHOW(setfsuid(0));
    who("fsuid back");
    SHOW(setuid(1000));
    who("setuid");
    SHOW(setuid(0));
    SHOW(seteuid(0));
    SHOW(setgroups(0, NULL));
    SHOW(setgid(5));
}
static void groups(void) {
    gid_t list[4] = {30, 10, 20, 10}, back[10] = {0};
    SHOW(setgroups(4, list));
    SHOW(getgroups(0, NULL));
    SHOW(getgroups(3, back));
    SHOW(getgroups(10, back));
    printf("%u %u %u %u\n", back[0], back[1], back[2], back[3]);
    SHOW(getgroups(-1, back));
    SHOW(syscall(SYS_getgroups, 10, 8));
    SHOW(syscall(SYS_setgroups, 65537, list));
    SHOW(syscall(SYS_setgroups, 4, 8));
    SHOW(setresgid(1, 2, 3));
    who("setresgid");
    SHOW(setregid(3, 3));
    SHOW(setgid(77));
    who("setgid");
    SHOW(seteuid(1000));
    SHOW(setgid(78));
    SHOW(setregid(78, -1));
    SHOW(setresgid(77, 77, 77));
    SHOW(setfsgid(5));
    SHOW(setfsgid(-1));
    SHOW(syscall(SYS_getresuid, 8, 8, 8));
    SHOW(syscall(SYS_getresgid, list, list, 8));
}
static void capabilities(void) {
    struct __user_cap_header_struct head = {0x1234, 0};
    struct __user_cap_data_struct data[2];
    SHOW(syscall(SYS_capget, &head, NULL));
    printf("version %x\n", head.version);
    head.version = 0x1234;
    SHOW(syscall(SYS_capget, &head, data));
    head.version = _LINUX_CAPABILITY_VERSION_1;
    SHOW(syscall(SYS_capget, &head, data));
    printf("%x\n", data[0].permitted);
    head.pid = -1;
    SHOW(syscall(SYS_capget, &head, data));
    head.pid = 1 << 22;
    SHOW(syscall(SYS_capget, &head, data));
    SHOW(syscall(SYS_capset, &head, data));
    head.pid = 0;
    SHOW(syscall(SYS_capget, 8, data));
    SHOW(syscall(SYS_capget, &head, 8));
    SHOW(syscall(SYS_capset, &head, 8));
    SHOW(set(1, 0, 0));
    SHOW(set(0, 1ull << 21 | container, 0));
    SHOW(set(container, container, 1ull << 40));
    SHOW(set(container, container, 1 << CAP_CHOWN));
    who("inheritable");
    SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
    SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
    SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0));
    SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, CAP_CHOWN, 0, 0));
    SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0));
    SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0));
    SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 77, 0, 0));
    SHOW(prctl(PR_CAP_AMBIENT, 9, 1, 0, 0));
    SHOW(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0));
    SHOW(prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0));
    SHOW(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0));
    SHOW(prctl(PR_CAPBSET_READ, 77, 0, 0, 0));
    SHOW(prctl(PR_CAPBSET_DROP, 77, 0, 0, 0));
    SHOW(set(0, container, 0));
    SHOW(prctl(PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0));
    SHOW(setuid(1000));
    who("without effective");
    SHOW(set(1 << CAP_SETUID, 1 << CAP_SETUID, 0));
    SHOW(setuid(1000));
    who("setuid alone");
}
static void keeping(void) {
    SHOW(prctl(PR_GET_KEEPCAPS));
    SHOW(prctl(PR_SET_KEEPCAPS, 1));
    SHOW(prctl(PR_SET_KEEPCAPS, 2));
    SHOW(prctl(PR_GET_KEEPCAPS));
    SHOW(setuid(1000));
    who("kept");
    SHOW(set(1 << CAP_KILL, 1 << CAP_KILL, 0));
    SHOW(kill(getppid(), 0));
    who("only kill");
}
static void secure(void) {
    SHOW(prctl(PR_GET_SECUREBITS));
    SHOW(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED));
    SHOW(prctl(PR_SET_SECUREBITS, 0));
    SHOW(prctl(PR_SET_SECUREBITS, 1 << 20));
    SHOW(prctl(PR_GET_SECUREBITS));
    SHOW(setuid(1000));
    who("no fixup");
}
static void files(void) {
    int fd = open("/proc/self/exe", O_RDONLY);
    (void)fd;
    SHOW(access("/root", R_OK | W_OK | X_OK));
    SHOW(setegid(1000));
    SHOW(seteuid(1000));
    SHOW(access("/root", R_OK));
    SHOW(faccessat(AT_FDCWD, "/etc/shadow", R_OK, AT_EACCESS));
    SHOW(open("/etc/shadow", O_RDONLY));
    SHOW(kill(getppid(), 0));
    SHOW(chroot("/"));
    SHOW(sched_yield());
}
static void plain_user(void) {
    setgroups(0, NULL);
    setresgid(1000, 1000, 1000);
    setresuid(1000, 1000, 1000);
    who("user");
    gid_t list[1] = {5};
    SHOW(setgroups(1, list));
    SHOW(setuid(0));
    SHOW(setreuid(0, -1));
    SHOW(setresgid(0, -1, -1));
    SHOW(setfsuid(0));
    SHOW(setfsuid(-1));
    SHOW(prctl(PR_SET_SECUREBITS, 1));
    SHOW(kill(getppid(), 0));
    SHOW(kill(1, 0) == -1 || getppid() == 1);
    SHOW(sethostname("x", 1));
    SHOW(setdomainname("x", 1));
    SHOW(syscall(SYS_setpriority, 0, 0, -5));
    SHOW(chroot("/"));
}
static void flags(void) {
    int n = -1;
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SHOW(prctl(PR_GET_DUMPABLE));
    SHOW(prctl(PR_SET_DUMPABLE, 0));
    SHOW(prctl(PR_GET_DUMPABLE));
    SHOW(prctl(PR_SET_DUMPABLE, 2));
    SHOW(prctl(PR_SET_DUMPABLE, 1));
    SHOW(prctl(PR_SET_PDEATHSIG, SIGUSR1));
    SHOW(prctl(PR_GET_PDEATHSIG, &n));
    printf("%d\n", n);
    SHOW(prctl(PR_SET_PDEATHSIG, 65));
    SHOW(prctl(PR_GET_PDEATHSIG, 8));
    SHOW(prctl(PR_SET_PDEATHSIG, 0));
    SHOW(prctl(PR_GET_TIMERSLACK));
    SHOW(prctl(PR_SET_TIMERSLACK, 12345));
    SHOW(prctl(PR_GET_TIMERSLACK));
    SHOW(prctl(PR_SET_TIMERSLACK, 0));
    SHOW(prctl(PR_GET_TIMERSLACK));
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 1));
    SHOW(prctl(PR_GET_CHILD_SUBREAPER, &n));
    printf("%d\n", n);
    SHOW(prctl(PR_GET_TSC, &n));
    printf("%d\n", n);
    SHOW(prctl(PR_SET_TSC, 1));
    SHOW(prctl(PR_GET_TIMING));
    SHOW(prctl(PR_SET_TIMING, 1));
    SHOW(prctl(PR_GET_ENDIAN, &n));
    SHOW(prctl(PR_SET_MM, 1, 0, 0, 0) == -1);
    SHOW(prctl(9999));
    SHOW(prctl(PR_SET_SECCOMP, 7));
    SHOW(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    SHOW(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    SHOW(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    SHOW(prctl(PR_SET_THP_DISABLE, 1, 1, 0, 0));
    SHOW(prctl(PR_SET_NAME, "a name that is too long"));
    char name[16];
    SHOW(prctl(PR_GET_NAME, name));
    printf("%s\n", name);
    SHOW(prctl(PR_SET_NAME, 8));
    SHOW(prctl(PR_GET_NAME, 8));
}
static void *changes_alone(void *arg) {
    // The call itself concerns the thread alone.
    printf("thread: %ld\n", syscall(SYS_setresuid, -1, 1234, -1));
    printf("thread: euid %d\n", (int)syscall(SYS_geteuid));
    return arg;
}
static void *is_changed(void *arg) {
    volatile int *go = arg;
    while (!*go)
        sched_yield();
    printf("thread sees euid %d\n", (int)syscall(SYS_geteuid));
    return arg;
}
static void threads(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, changes_alone, NULL);
    pthread_join(thread, NULL);
    printf("main: euid %d\n", (int)syscall(SYS_geteuid));
    volatile int go = 0;
    pthread_create(&thread, NULL, is_changed, (void *)&go);
    // The library's call concerns all.
    SHOW(setreuid(-1, 1000));
    go = 1;
    pthread_join(thread, NULL);
}
static void executed(void) {
    setresuid(-1, 1000, -1);
    execl("/proc/self/exe", "identity", "again", NULL);
}

int main(int count, char **arguments) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count > 1) {
        who(arguments[1]);
        printf("%d %ld\n", prctl(PR_GET_DUMPABLE) == 1, (long)prctl(PR_GET_KEEPCAPS));
        return 0;
    }
    for (int cap = 0; cap <= 40; cap++)
        if (!(container >> cap & 1))
            prctl(PR_CAPBSET_DROP, cap);
    set(container, container, 0);
    void (*const parts[])(void) = {users, saved, groups, capabilities, keeping, secure, files, plain_user, flags, threads, executed};
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++)
        in_child(parts[i]);
    return 0;
}
