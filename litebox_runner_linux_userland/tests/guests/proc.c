//@ flags: -pthread
// /proc: presence, modes, formats, magic links, errors. Only what is the same on any Linux is printed.
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char *e(long r) { return r < 0 ? strerrorname_np(errno) : "ok"; }

static char text[1 << 20];
int main(int argc, char **argv);

static long slurp(const char *path) {
    int fd = open(path, O_RDONLY);
    if (fd < 0) return -1;
    long all = 0, n = 0;
    // Small reads: a snapshot must not tear.
    while (all < (long)sizeof text - 501 && (n = read(fd, text + all, 500)) > 0) all += n;
    close(fd);
    text[all > 0 ? all : 0] = 0;
    return n < 0 ? -1 : all;
}

static void mode(const char *path) {
    struct stat st;
    if (lstat(path, &st)) {
        printf("%s: %s\n", path, e(-1));
        return;
    }
    printf("%s: %o size %ld\n", path, st.st_mode, (long)st.st_size);
}

static int has_line(const char *start) {
    for (char *p = text; p; p = strchr(p, '\n')) {
        if (*p == '\n') p++;
        if (!strncmp(p, start, strlen(start))) return 1;
    }
    return 0;
}

static void *in_thread(void *unused) {
    (void)unused;
    char path[64], want[64];
    prctl(PR_SET_NAME, "worker");
    long n = readlink("/proc/thread-self", path, sizeof path);
    path[n < 0 ? 0 : n] = 0;
    snprintf(want, sizeof want, "%d/task/%ld", getpid(), syscall(SYS_gettid));
    printf("thread-self %d\n", !strcmp(path, want));
    snprintf(path, sizeof path, "/proc/self/task/%ld/comm", syscall(SYS_gettid));
    slurp(path);
    printf("thread comm %s", text);
    slurp("/proc/self/comm");
    printf("process comm %s", text);
    slurp("/proc/self/status");
    printf("Threads: 2 %d\n", has_line("Threads:\t2"));
    DIR *d = opendir("/proc/self/task");
    int count = 0;
    for (struct dirent *x; (x = readdir(d));) count += isdigit(x->d_name[0]) != 0;
    closedir(d);
    printf("tasks %d\n", count);
    return 0;
}

static void links(void) {
    char path[64], link[4096], real[4096];
    long n = readlink("/proc/self", link, sizeof link);
    link[n] = 0;
    printf("self %d\n", atoi(link) == getpid());
    n = readlink("/proc/self/exe", link, sizeof link);
    link[n] = 0;
    printf("exe %d\n", realpath((char *)getauxval(AT_EXECFN), real) && !strcmp(real, link));
    int fd = open("/proc/self/exe", O_RDONLY);
    char magic[4];
    n = read(fd, magic, 4);
    printf("exe opens %ld %d\n", n, !memcmp(magic, "\177ELF", 4));
    close(fd);
    n = readlink("/proc/self/cwd", link, sizeof link);
    link[n] = 0;
    printf("cwd %d\n", getcwd(real, sizeof real) && !strcmp(real, link));
    n = readlink("/proc/self/root", link, sizeof link);
    printf("root %.*s\n", (int)n, link);
    printf("through root %s\n", e(access("/proc/self/root/proc/self/stat", R_OK)));

    int pipes[2], other;
    if (pipe(pipes) == 0) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", pipes[0]);
        n = readlink(path, link, sizeof link);
        printf("pipe %.6s ] %d\n", link, link[n - 1] == ']');
        struct stat a, b;
        fstat(pipes[0], &a);
        n = stat(path, &b);
        printf("stat through link %s %d\n", e(n), a.st_ino == b.st_ino && a.st_dev == b.st_dev);
        mode(path);
        snprintf(path, sizeof path, "/proc/self/fd/%d", pipes[1]);
        mode(path);
    }
    other = epoll_create1(EPOLL_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", other);
    n = readlink(path, link, sizeof link);
    printf("epoll %.*s open %s\n", (int)n, link, e(open(path, O_RDONLY)));
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", other);
    slurp(path);
    printf("fdinfo pos %d flags %d\n", has_line("pos:\t0\n"), has_line("flags:\t02000002\n"));
    other = memfd_create("thing", 0);
    if (other >= 0) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", other);
        n = readlink(path, link, sizeof link);
        printf("memfd %.*s\n", (int)n, link);
        printf("memfd again %s\n", e(open(path, O_RDWR)));
    }
    other = open("/dev/null", O_RDONLY | O_APPEND);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", other);
    slurp(path);
    printf("null flags %d\n", has_line("flags:\t0102000\n"));
    snprintf(path, sizeof path, "/proc/self/fd/%d", other);
    n = readlink(path, link, sizeof link);
    printf("null %.*s\n", (int)n, link);
    close(other);
    printf("closed %s\n", e(readlink(path, link, sizeof link)));
    printf("no such %s %s\n", e(open("/proc/self/fd/9999", O_RDONLY)), e(open("/proc/self/fd/x", O_RDONLY)));
}

static void formats(void) {
    long n = slurp("/proc/self/stat");
    char *after = strrchr(text, ')');
    int words = 0;
    for (char *p = strtok(after + 1, " \n"); p; p = strtok(0, " \n")) words++;
    printf("stat %d words %d\n", n > 0, words);
    n = slurp("/proc/self/statm");
    words = 0;
    for (char *p = strtok(text, " \n"); p; p = strtok(0, " \n")) words++;
    printf("statm words %d\n", words);
    slurp("/proc/self/status");
    const char *keys[] = {"Name:\t", "Umask:\t", "State:\tR (running)", "Tgid:\t", "Pid:\t", "PPid:\t", "TracerPid:\t0",
                          "Uid:\t", "Gid:\t", "FDSize:\t", "Groups:\t", "VmPeak:\t", "VmSize:\t", "VmRSS:\t", "VmData:\t",
                          "VmStk:\t", "VmExe:\t", "Threads:\t1", "SigQ:\t", "SigPnd:\t0000000000000000", "SigBlk:\t",
                          "SigIgn:\t", "SigCgt:\t", "CapEff:\t", "NoNewPrivs:\t", "Seccomp:\t", "Cpus_allowed_list:\t",
                          "voluntary_ctxt_switches:\t"};
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!has_line(keys[i])) printf("status lacks %s\n", keys[i]);
    n = slurp("/proc/self/cmdline");
    printf("cmdline ends %d\n", n > 0 && text[n - 1] == 0);
    n = slurp("/proc/self/environ");
    printf("environ %d\n", n >= 0);
    slurp("/proc/self/maps");
    int stack = !!strstr(text, "[stack]\n"), heap = 0;
    free(malloc(100000));
    void *brk = sbrk(4096);
    slurp("/proc/self/maps");
    heap = !!strstr(text, "[heap]\n");
    unsigned long from, to, last = 0;
    int sorted = 1, lines = 0, inside = 0;
    for (char *p = text; *p; p = strchr(p, '\n') + 1) {
        char rights[8], dev[16];
        unsigned long off, ino;
        if (sscanf(p, "%lx-%lx %4s %lx %15s %lu", &from, &to, rights, &off, dev, &ino) != 6) printf("bad line\n");
        if (from < last || to <= from) sorted = 0;
        if ((unsigned long)main >= from && (unsigned long)main < to) inside = rights[2] == 'x';
        last = to;
        lines++;
    }
    printf("maps stack %d heap %d sorted %d some %d code %d %d\n", stack, heap, sorted, lines > 4, inside, brk != 0);
    slurp("/proc/self/limits");
    printf("limits %.90s\n", text);
    slurp("/proc/self/cgroup");
    printf("cgroup %d\n", strstr(text, "::/") || strstr(text, ":/"));
    slurp("/proc/self/mounts");
    printf("mounts proc %d root %d\n", strstr(text, " /proc proc ") != 0, strstr(text, " / ") != 0);
    slurp("/proc/self/mountinfo");
    printf("mountinfo %d\n", strstr(text, " - proc ") != 0);
    int fd = open("/proc/self/auxv", O_RDONLY);
    unsigned long pair[2];
    int pagesize = 0;
    while (read(fd, pair, sizeof pair) == sizeof pair)
        if (pair[0] == 6) pagesize = pair[1];
    close(fd);
    printf("auxv page size %d\n", pagesize);
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    slurp("/proc/cpuinfo");
    int cpus = 0;
    for (char *p = text; (p = strstr(p, "processor\t: ")); p++) cpus++;
    printf("processors agree %d flags %d\n", cpus >= CPU_COUNT(&set), strstr(text, "\nflags\t\t: fpu ") != 0);
    slurp("/proc/meminfo");
    printf("meminfo %d %d\n", has_line("MemTotal:  "), has_line("SwapFree:  "));
    slurp("/proc/stat");
    printf("stat %d %d %d\n", has_line("cpu  "), has_line("btime "), has_line("cpu0 "));
    double up, idle;
    slurp("/proc/uptime");
    printf("uptime %d\n", sscanf(text, "%lf %lf", &up, &idle));
    slurp("/proc/loadavg");
    printf("loadavg %d\n", sscanf(text, "%lf %lf", &up, &idle));
    slurp("/proc/version");
    printf("version %.14s\n", text);
    slurp("/proc/sys/kernel/ostype");
    printf("ostype %s", text);
    slurp("/proc/sys/kernel/random/uuid");
    printf("uuid %zu\n", strlen(text));
    slurp("/proc/sys/fs/pipe-max-size");
    printf("pipe-max-size %s", text);
    slurp("/proc/filesystems");
    printf("filesystems proc %d\n", has_line("nodev\tproc\n"));
    slurp("/proc/net/dev");
    printf("net dev %d\n", strstr(text, "lo:") != 0);
    slurp("/proc/net/tcp");
    printf("net tcp %.58s\n", text);
}

static void errors(void) {
    printf("create %s\n", e(open("/proc/new", O_CREAT | O_WRONLY, 0644)));
    printf("mkdir %s\n", e(mkdir("/proc/new", 0755)));
    printf("no pid %s\n", e(open("/proc/4194999/stat", O_RDONLY)));
    printf("leading zero %s\n", e(open("/proc/01/stat", O_RDONLY)));
    printf("directory read %s\n", e(read(open("/proc/self", O_RDONLY), text, 10)));
    printf("write to dir %s\n", e(open("/proc/self", O_RDWR)));
    printf("not a link %s\n", e(readlink("/proc/self/stat", text, 10)));
    struct statfs fs;
    statfs("/proc", &fs);
    printf("magic %lx\n", (long)fs.f_type);
    int fd = open("/proc/self/comm", O_RDWR);
    printf("set comm %ld", (long)write(fd, "a name that is too long", 23));
    slurp("/proc/self/comm");
    printf(" %s", text);
    char name[16];
    prctl(PR_GET_NAME, name);
    printf("prctl %s\n", name);
    // Read again from the start: the text of now.
    pread(fd, text, 100, 0);
    printf("pread %.15s\n", text);
    close(fd);
    fd = open("/proc/self/oom_score_adj", O_RDWR);
    printf("adj %ld bad %s range %s\n", (long)write(fd, "100", 3), e(write(fd, "x", 1)), e(write(fd, "2000", 4)));
    slurp("/proc/self/oom_score_adj");
    printf("adj %s", text);
    close(fd);
    fd = open("/proc/self/mem", O_RDWR);
    char secret[] = "secret", copy[8] = {0};
    long got = pread(fd, copy, 7, (off_t)secret);
    printf("mem %ld %s\n", got, copy);
    got = pwrite(fd, "S", 1, (off_t)secret);
    printf("mem write %ld %s\n", got, secret);
    printf("mem hole %s\n", e(pread(fd, copy, 7, 8)));
    close(fd);
}

int main(int argc, char **argv) {
    (void)argc;
    const char *paths[] = {"/proc", "/proc/self", "/proc/self/", "/proc/self/stat", "/proc/self/status", "/proc/self/maps",
                           "/proc/self/comm", "/proc/self/environ", "/proc/self/cmdline", "/proc/self/exe",
                           "/proc/self/fdinfo", "/proc/self/mem", "/proc/self/task", "/proc/self/limits",
                           "/proc/self/mountinfo", "/proc/self/io", "/proc/self/auxv", "/proc/self/ns", "/proc/self/net",
                           "/proc/self/oom_score_adj", "/proc/cpuinfo", "/proc/meminfo", "/proc/mounts", "/proc/net",
                           "/proc/stat", "/proc/uptime", "/proc/sys/kernel/hostname", "/proc/sys/kernel/osrelease",
                           "/proc/sys/vm/overcommit_memory", "/proc/nothing", "/proc/self/nothing"};
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct stat st;
        if (lstat(paths[i], &st)) printf("%s: %s\n", paths[i], e(-1));
        else printf("%s: %o\n", paths[i], st.st_mode);
    }
    links();
    formats();
    errors();
    prctl(PR_SET_NAME, "main");
    pthread_t t;
    pthread_create(&t, 0, in_thread, 0);
    pthread_join(t, 0);
    return 0;
}
