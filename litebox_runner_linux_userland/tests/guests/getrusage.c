// Resource limits, usage, scheduling, clocks, sysinfo: facts that are the same on every Linux.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

struct sched_attr {
    uint32_t size, sched_policy;
    uint64_t sched_flags;
    int32_t sched_nice;
    uint32_t sched_priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};

#define BAD ((void *)8)
#define SHOW(call) do { errno = 0; long r = (long)(call); printf("%s = %ld %s\n", #call, r, errno ? strerrorname_np(errno) : ""); } while (0)

static void limits(void) {
    struct rlimit l;
    for (int i = 0; i < 16; i++)
        printf("getrlimit %d: %d\n", i, getrlimit(i, &l));
    SHOW(syscall(SYS_getrlimit, 16, &l));
    SHOW(syscall(SYS_getrlimit, -1, &l));
    SHOW(syscall(SYS_getrlimit, RLIMIT_CORE, BAD));
    SHOW(syscall(SYS_getrlimit, 16, BAD));
    SHOW(syscall(SYS_setrlimit, RLIMIT_CORE, BAD));
    SHOW(syscall(SYS_setrlimit, 99, &l));
    struct rlimit wrong = {10, 5}, small = {7, 100};
    SHOW(setrlimit(RLIMIT_NOFILE, &wrong));
    SHOW(setrlimit(RLIMIT_NOFILE, &small));
    SHOW(prlimit(0, RLIMIT_NOFILE, NULL, &l));
    printf("%lu %lu\n", l.rlim_cur, l.rlim_max);
    SHOW(prlimit(getpid(), RLIMIT_NOFILE, NULL, &l));
    SHOW(syscall(SYS_prlimit64, 0, 16, NULL, NULL));
    SHOW(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, BAD));
    SHOW(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, BAD, NULL));
    SHOW(syscall(SYS_prlimit64, 0x7ffffff0, RLIMIT_NOFILE, NULL, &l));
    // Descriptors up to the limit, and no further.
    int last = 0, fd;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0)
        last = fd;
    printf("last %d %s\n", last, strerrorname_np(errno));
    SHOW(dup2(0, 7));
    SHOW(dup2(0, 6));
    SHOW(fcntl(0, F_DUPFD, 7));
    for (fd = 3; fd < 7; fd++)
        close(fd);
    struct rlimit huge = {1 << 30, 1 << 30};
    SHOW(setrlimit(RLIMIT_NOFILE, &huge));
    // Files no longer than this.
    struct rlimit length = {1000, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    SHOW(setrlimit(RLIMIT_FSIZE, &length));
    fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    char block[1024] = {0};
    SHOW(write(fd, block, 900));
    SHOW(write(fd, block, 900));
    SHOW(write(fd, block, 900));
    SHOW(ftruncate(fd, 1001));
    SHOW(ftruncate(fd, 1000));
    close(fd);
    length.rlim_cur = RLIM_INFINITY; // stdout may be a file, too
    SHOW(setrlimit(RLIMIT_FSIZE, &length));
    // Memory no more than this.
    getrlimit(RLIMIT_AS, &l);
    struct rlimit space = {64 << 20, l.rlim_max};
    SHOW(setrlimit(RLIMIT_AS, &space));
    SHOW(malloc(256 << 20) == NULL);
    SHOW(setrlimit(RLIMIT_AS, &l));
}

static void usage(void) {
    struct rusage u;
    SHOW(getrusage(RUSAGE_SELF, &u));
    SHOW(u.ru_maxrss > 100 && u.ru_minflt > 0);
    SHOW(getrusage(RUSAGE_THREAD, &u));
    SHOW(getrusage(RUSAGE_CHILDREN, &u));
    SHOW(u.ru_utime.tv_sec + u.ru_maxrss);
    SHOW(syscall(SYS_getrusage, 2, &u));
    SHOW(syscall(SYS_getrusage, 0, BAD));
    struct tms t;
    SHOW(times(&t) >= 0);
    SHOW(t.tms_cutime);
    SHOW(syscall(SYS_times, BAD));
    struct sysinfo i;
    SHOW(sysinfo(&i));
    SHOW(i.totalram > 0 && i.freeram <= i.totalram && i.mem_unit > 0 && i.procs > 0);
    SHOW(syscall(SYS_sysinfo, BAD));
}

static void scheduling(void) {
    struct sched_param p = {0}, one = {1};
    SHOW(sched_getscheduler(0));
    SHOW(sched_getscheduler(-1));
    SHOW(sched_getscheduler(0x7ffffff0));
    SHOW(sched_setscheduler(0, SCHED_OTHER, &one));
    SHOW(sched_setscheduler(0, SCHED_FIFO, &p));
    SHOW(sched_setscheduler(0, 77, &p));
    SHOW(sched_setscheduler(0, SCHED_BATCH, &p));
    SHOW(sched_getscheduler(0));
    SHOW(sched_setscheduler(0, SCHED_OTHER, &p));
    SHOW(sched_setparam(0, &one));
    SHOW(sched_setparam(0, &p));
    SHOW(sched_getparam(0, &p));
    SHOW(syscall(SYS_sched_getparam, 0, 0));
    for (int policy = 0; policy < 7; policy++)
        printf("%d: %d %d\n", policy, sched_get_priority_min(policy), sched_get_priority_max(policy));
    struct timespec slice;
    SHOW(sched_rr_get_interval(0, &slice));
    SHOW(sched_rr_get_interval(-5, &slice));
    cpu_set_t set, again;
    SHOW(sched_getaffinity(0, sizeof set, &set));
    SHOW(CPU_COUNT(&set) > 0);
    SHOW(syscall(SYS_sched_getaffinity, 0, 7, &set));
    SHOW(syscall(SYS_sched_getaffinity, 0, 1024, BAD));
    SHOW(syscall(SYS_sched_getaffinity, -1, 1024, &set));
    SHOW(sched_setaffinity(0, sizeof set, &set));
    int first = 0;
    while (!CPU_ISSET(first, &set))
        first++;
    CPU_ZERO(&again);
    SHOW(sched_setaffinity(0, sizeof again, &again));
    CPU_SET(first, &again);
    SHOW(sched_setaffinity(0, sizeof again, &again));
    SHOW(sched_getaffinity(0, sizeof set, &set));
    SHOW(CPU_COUNT(&set));
    unsigned cpu = 99999, node = 99999;
    SHOW(syscall(SYS_getcpu, &cpu, &node, NULL));
    SHOW(cpu < 4096 && node < 1024);
    SHOW(syscall(SYS_getcpu, BAD, NULL, NULL));
    SHOW(syscall(SYS_getcpu, NULL, NULL, NULL));
    SHOW(syscall(SYS_getpriority, PRIO_PROCESS, 0));
    SHOW(setpriority(PRIO_PROCESS, 0, 5));
    SHOW(syscall(SYS_getpriority, PRIO_PROCESS, 0));
    SHOW(setpriority(PRIO_PROCESS, 0, 100));
    SHOW(syscall(SYS_getpriority, PRIO_PROCESS, 0));
    SHOW(syscall(SYS_getpriority, 3, 0));
    SHOW(syscall(SYS_getpriority, PRIO_PROCESS, 0x7ffffff0));
    SHOW(syscall(SYS_setpriority, 3, 0, 0));
    struct sched_attr attr = {.size = sizeof attr};
    SHOW(syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0));
    printf("%d %d %d\n", attr.sched_policy, attr.sched_nice, attr.sched_priority);
    SHOW(syscall(SYS_sched_getattr, 0, &attr, 47, 0));
    SHOW(syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 1));
    SHOW(syscall(SYS_sched_getattr, 0, NULL, sizeof attr, 0));
    attr.size = sizeof attr, attr.sched_policy = SCHED_OTHER, attr.sched_flags = 0;
    SHOW(syscall(SYS_sched_setattr, 0, &attr, 0));
    attr.sched_policy = 98;
    SHOW(syscall(SYS_sched_setattr, 0, &attr, 0));
    attr.size = 20;
    SHOW(syscall(SYS_sched_setattr, 0, &attr, 0));
    SHOW(attr.size);
}

static void clocks(void) {
    struct timespec t, bad = {0, 1000000000}, soon = {0, 3000000}, past = {1, 0};
    int ids[] = {0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 99, -1, -2, -6};
    for (unsigned i = 0; i < sizeof ids / sizeof *ids; i++) {
        int now = syscall(SYS_clock_gettime, ids[i], &t), e1 = errno;
        int res = syscall(SYS_clock_getres, ids[i], &t), e2 = errno;
        printf("clock %d: %d %s, %d %s %ld\n", ids[i], now, now ? strerrorname_np(e1) : "", res, res ? strerrorname_np(e2) : "", res ? 0 : t.tv_sec * 1000000000 + t.tv_nsec);
        if (ids[i] != 2 && ids[i] >= 0) // nobody uses up CPU time meanwhile
            printf("  sleep %d\n", clock_nanosleep(ids[i], 0, &soon, NULL));
        printf("  wrong %d\n", clock_nanosleep(ids[i], 0, &bad, NULL));
        printf("  none %ld\n", syscall(SYS_clock_nanosleep, ids[i], 0, BAD, NULL));
    }
    clockid_t own;
    SHOW(clock_getcpuclockid(getpid(), &own));
    SHOW(clock_gettime(own, &t));
    SHOW(pthread_getcpuclockid(pthread_self(), &own));
    SHOW(clock_gettime(own, &t));
    SHOW(syscall(SYS_clock_getres, 1, NULL));
    SHOW(syscall(SYS_clock_getres, 1, BAD));
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL));
    SHOW(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &past, NULL));
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    t = before;
    t.tv_nsec += 20000000;
    if (t.tv_nsec >= 1000000000)
        t.tv_sec++, t.tv_nsec -= 1000000000;
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL));
    clock_gettime(CLOCK_MONOTONIC, &after);
    SHOW((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >= 20000000);
    struct timeval tv;
    struct timezone tz;
    SHOW(syscall(SYS_gettimeofday, &tv, &tz));
    SHOW(syscall(SYS_gettimeofday, NULL, NULL));
    SHOW(syscall(SYS_gettimeofday, BAD, NULL));
    SHOW(syscall(SYS_gettimeofday, &tv, BAD));
    time_t now;
    SHOW(syscall(SYS_time, &now) - now);
    SHOW(syscall(SYS_time, NULL) - time(NULL));
    SHOW(syscall(SYS_time, BAD));
    SHOW(syscall(SYS_clock_settime, 1, &t));
    SHOW(syscall(SYS_clock_settime, 0, BAD));
    SHOW(syscall(SYS_clock_settime, 99, &t));
    struct timex x = {0};
    SHOW(syscall(SYS_adjtimex, &x) >= 0);
    SHOW(x.tick);
    SHOW(syscall(SYS_adjtimex, BAD));
}

int main(void) {
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    limits();
    usage();
    scheduling();
    clocks();
    return 0;
}
