// Times, signals, limits and waiting by the calls of 32-bit programs.
//@ variants: static m32
//@ flags: -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64
#include "call32.h"
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint32_t buf;
static int32_t i32(uint32_t where, int offset) { int32_t v; memcpy(&v, at(where + offset), 4); return v; }
static int64_t i64(uint32_t where, int offset) { int64_t v; memcpy(&v, at(where + offset), 8); return v; }
static uint32_t spec32(int32_t sec, int32_t nsec) { return low((int32_t[]){sec, nsec}, 8); }
static uint32_t spec64(int64_t sec, int64_t nsec) { return low((int64_t[]){sec, nsec}, 16); }
static void fresh(void) { memset(at(buf), 0xee, 512); }
static int untouched(int from) { return i32(buf, from) == (int32_t)0xeeeeeeee; }

static void clocks(void)
{
    time_t now = time(NULL);
    fresh();
    tell("clock_gettime:", call32(265, CLOCK_REALTIME, buf));
    printf(" %d %d", labs(i32(buf, 0) - (long)now) < 3, untouched(8));
    fresh();
    tell(", 64:", call32(403, CLOCK_REALTIME, buf));
    printf(" %d %d", llabs(i64(buf, 0) - now) < 3 && i64(buf, 8) < 1000000000, untouched(16));
    tell(", getres:", call32(266, CLOCK_MONOTONIC, buf)); tell("", call32(406, 99, buf));
    tell(", gettimeofday:", call32(78, buf, 0));
    printf(" %d", labs(i32(buf, 0) - (long)now) < 3);
    fresh();
    printf(", time: %d", labs((long)call32(13, buf) - (long)now) < 3);
    printf(" %d %d", labs(i32(buf, 0) - (long)now) < 3, untouched(4));
    tell(", stime:", call32(25, 8));
    tell(", settime64:", call32(404, CLOCK_MONOTONIC, spec64(1, 1))); tell("", call32(404, CLOCK_REALTIME, spec64(1, -1)));
    printf("\n");
    tell("nanosleep:", call32(162, spec32(0, 1000000), 0)); tell("", call32(162, spec32(0, 1000000000), 0));
    tell("", call32(162, spec32(-1, 0), 0)); tell("", call32(162, 8, 0));
    tell(", 64:", call32(407, CLOCK_MONOTONIC, 0, spec64(0, 0x700000000ll + 1000000), 0));
    tell("", call32(407, CLOCK_MONOTONIC, 0, spec64(0, 1000000000), 0));
    tell(", old:", call32(267, CLOCK_MONOTONIC, TIMER_ABSTIME, spec32(1, 0), 0));
    fresh();
    long state = call32(124, buf);
    printf(", adjtimex: %d", state >= 0 && untouched(128));
    memset(at(buf), 0, 512);
    memset(at(buf + 208), 0xee, 16);
    state = call32(405, CLOCK_REALTIME, buf);
    printf(" %d %d\n", state >= 0 && untouched(208), llabs(i64(buf, 72) - time(NULL)) < 3);
}
static void timers(void)
{
    struct { int32_t value, signal, notify, tid, rest[12]; } event = {7, SIGUSR1, SIGEV_NONE, 0, {0}};
    uint32_t id = low(NULL, 4);
    tell("timer_create:", call32(259, CLOCK_MONOTONIC, low(&event, 64), id));
    uint32_t set = low((int32_t[]){1, 2, 1000, 5}, 16), wide = low((int64_t[]){3, 4, 0x200000000ll, 0xf00000006ll}, 32);
    fresh();
    tell(", settime:", call32(260, i32(id, 0), 0, set, buf)); printf(" %d %d", i32(buf, 12), untouched(16));
    tell(", gettime64:", call32(408, i32(id, 0), buf));
    printf(" %lld.%lld %d", (long long)i64(buf, 0), (long long)i64(buf, 8), i64(buf, 16) == 999 || i64(buf, 16) == 1000);
    tell(", settime64:", call32(409, i32(id, 0), 0, wide, 0));
    tell(", gettime:", call32(261, i32(id, 0), buf)); printf(" %d.%d\n", i32(buf, 0), i32(buf, 4));
    int fd = call32(322, CLOCK_MONOTONIC, 0);
    tell("timerfd_settime:", call32(325, fd, 0, set, buf)); tell(", gettime64:", call32(410, fd, buf));
    printf(" %lld", (long long)i64(buf, 0));
    tell(", settime64:", call32(411, fd, 0, wide, 0)); tell(", bad:", call32(325, fd, 0, 8, 0)); tell("", call32(410, 0, buf));
    int32_t interval[4] = {0, 0, 100, 0};
    tell(", setitimer:", call32(104, ITIMER_REAL, low(interval, 16), buf)); tell(", getitimer:", call32(105, ITIMER_REAL, buf));
    printf(" %d\n", i32(buf, 8) == 99 || i32(buf, 8) == 100);
    call32(104, ITIMER_REAL, low(NULL, 16), 0);
}
static void waits(void)
{
    int pipes[2];
    if (pipe(pipes) || write(pipes[1], "x", 1) != 1) return;
    uint32_t set = low(NULL, 128), other = low(NULL, 128);
    uint32_t bits = 1u << pipes[0], guard = 0xeeeeeeee;
    memcpy(at(set), &bits, 4); memcpy(at(set + 4), &guard, 4);
    tell("select:", call32(142, 32, set, 0, 0, spec32(0, 0)));
    printf(" %d %d", i32(set, 0) == (int)bits, i32(set, 4) == (int)guard);
    tell(", old:", call32(82, low((uint32_t[]){32, set, 0, 0, spec32(0, 10)}, 20))); printf(" %d", i32(set, 0) == (int)bits);
    bits = 1u << pipes[1];
    memcpy(at(other), &bits, 4);
    uint32_t left = spec32(5, 0), wide = spec64(5, 0), mask = low((uint32_t[]){0, 8}, 8);
    tell(", pselect6:", call32(308, 32, set, other, 0, left, mask)); printf(" %d", i32(left, 0) <= 5 && i32(left, 0) >= 3);
    tell(", 64:", call32(413, 32, set, other, 0, wide, mask)); printf(" %d", i64(wide, 0) <= 5 && i64(wide, 0) >= 3);
    tell(", short mask:", call32(413, 32, set, other, 0, wide, low((uint32_t[]){buf, 4}, 8)));
    tell(", negative:", call32(142, 32, set, 0, 0, spec32(0, -1))); tell("", call32(142, -1, set, 0, 0, spec32(0, 0))); printf("\n");
    uint32_t fds = low((int32_t[]){pipes[0], POLLIN}, 8);
    tell("ppoll:", call32(309, fds, 1, spec32(1, 0), 0, 8)); tell(", 64:", call32(414, fds, 1, spec64(1, 0x100000000ll), 0, 8));
    tell("", call32(414, fds, 1, spec64(1, 1000000000), 0, 8)); tell("", call32(309, fds, 1, spec32(0, -1), 0, 8));
    uint32_t word = low(NULL, 4);
    tell(", futex:", call32(240, word, 128, 1, 0)); tell("", call32(240, word, 128, 0, spec32(0, 1000))); tell(", 64:", call32(422, word, 128, 0, spec64(0, 1000)));
    tell("", call32(422, word, 128, 0, spec64(0, -1))); tell("", call32(422, word, 128, 0, 8));
    tell(", robust:", call32(311, word, 12)); tell("", call32(311, word, 24)); tell("", call32(312, 0, buf, buf + 8));
    printf(" %d %d\n", (uint32_t)i32(buf, 0) == word, i32(buf, 8));
}
static int taken;
static void take(int signal) { (void)signal; taken++; }
static void signals(void)
{
    uint32_t mask = low((uint32_t[]){1u << (SIGUSR1 - 1), 0}, 8), set = low((uint32_t[]){1u << (SIGUSR2 - 1)}, 4);
    fresh();
    tell("rt_sigprocmask:", call32(175, SIG_BLOCK, mask, buf, 8)); printf(" %d %d", i32(buf, 0), untouched(8));
    tell(", sigprocmask:", call32(126, SIG_SETMASK, set, buf)); printf(" %d", i32(buf, 0) == 1 << (SIGUSR1 - 1));
    tell("", call32(126, 9, set, 0)); tell("", call32(126, SIG_BLOCK, 8, 0));
    kill(getpid(), SIGUSR2);
    fresh();
    tell(", sigpending:", call32(73, buf)); printf(" %d %d", i32(buf, 0) == 1 << (SIGUSR2 - 1), untouched(4));
    tell(", sgetmask:", call32(68)); tell(", ssetmask:", call32(69, 1 << (SIGUSR2 - 1))); printf("\n");
    fresh();
    int got = call32(421, low((uint32_t[]){1u << (SIGUSR2 - 1), 0}, 8), buf, spec64(1, 0), 8);
    printf("rt_sigtimedwait_time64: %d %d %d %d %d %d", got == SIGUSR2, i32(buf, 0) == SIGUSR2, i32(buf, 8), i32(buf, 12) == getpid(), i32(buf, 16) == (int)getuid(), i32(buf, 20));
    tell(", none:", call32(177, low((uint32_t[]){1u << (SIGUSR2 - 1), 0}, 8), buf, spec32(0, 1000), 8));
    uint32_t info = low((int32_t[32]){SIGUSR2, 0, -1, 77, 88, 99}, 128);
    tell(", queue:", call32(178, getpid(), SIGUSR2, info));
    fresh();
    call32(177, low((uint32_t[]){1u << (SIGUSR2 - 1), 0}, 8), buf, 0, 8);
    printf(" %d %d %d %d %d\n", i32(buf, 0) == SIGUSR2, i32(buf, 8), i32(buf, 12), i32(buf, 16), i32(buf, 20));
    call32(69, 0);
    uint32_t action = low((uint32_t[]){1, 0x10000000, 0, 0x10, 0x20}, 20), old = low((uint32_t[]){0, 0x30, 0, 0}, 16);
    tell("rt_sigaction:", call32(174, SIGUSR1, action, 0, 8)); tell("", call32(174, SIGKILL, action, 0, 8)); tell("", call32(174, SIGUSR1, 0, 0, 4));
    fresh();
    tell("", call32(174, SIGUSR1, 0, buf, 8));
    printf(" %d %x %x %x %d", i32(buf, 0), i32(buf, 4), i32(buf, 12), i32(buf, 16), untouched(20));
    fresh();
    tell(", sigaction:", call32(67, SIGUSR1, old, buf)); printf(" %d %x %x %d", i32(buf, 0), i32(buf, 4), i32(buf, 8), untouched(16));
    tell(", signal:", call32(48, SIGUSR1, 1)); tell("", call32(48, SIGUSR1, 0)); tell("", call32(48, SIGSTOP, 1)); tell("", call32(48, 99, 1));
    printf("\n");
    // By the call of 64-bit code, for its handler: sleeps of both kinds end, and say what is left.
    struct sigaction act = {.sa_handler = take};
    sigaction(SIGALRM, &act, NULL);
    ualarm(20000, 0);
    uint32_t left = spec32(-1, -1), wide = spec64(-1, -1);
    tell("interrupted:", call32(162, spec32(100, 0), left)); printf(" %d %d", i32(left, 0) >= 98 && i32(left, 0) < 100, taken);
    ualarm(20000, 0);
    tell(", 64:", call32(407, CLOCK_MONOTONIC, 0, spec64(0x100000064ll, 0), wide)); printf(" %d %d", i64(wide, 0) >= 0x100000062ll, taken);
    ualarm(20000, 0);
    tell(", sigsuspend:", call32(72, 0, 0, 0)); printf(" %d\n", taken);
}
static void limits(void)
{
    struct rlimit huge = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_RSS, &huge);
    fresh();
    tell("ugetrlimit:", call32(191, RLIMIT_RSS, buf)); printf(" %x %x %d", i32(buf, 0), i32(buf, 4), untouched(8));
    tell(", old:", call32(76, RLIMIT_RSS, buf)); printf(" %x", i32(buf, 0));
    tell(", setrlimit:", call32(75, RLIMIT_RSS, low((uint32_t[]){0x80000000u, 0xffffffffu}, 8)));
    getrlimit(RLIMIT_RSS, &huge);
    printf(" %lx %d", (unsigned long)huge.rlim_cur, huge.rlim_max == RLIM_INFINITY);
    tell(", old:", call32(76, RLIMIT_RSS, buf)); printf(" %x", i32(buf, 0));
    tell(", prlimit64:", call32(340, 0, RLIMIT_RSS, low((uint64_t[]){0x123456789ull, ~0ull}, 16), 0)); tell("", call32(191, RLIMIT_RSS, buf));
    printf(" %x", i32(buf, 0));
    tell(", wrong:", call32(191, 99, buf)); tell("", call32(75, RLIMIT_RSS, low((uint32_t[]){2, 1}, 8))); printf("\n");
    fresh();
    tell("getrusage:", call32(77, RUSAGE_SELF, buf)); printf(" %d %d", i32(buf, 16) > 0, untouched(72));
    fresh();
    tell(", sysinfo:", call32(116, buf)); printf(" %d %d %d", i32(buf, 0) > 0, i32(buf, 52) == 1 || i32(buf, 52) == 4096, untouched(64));
    fresh();
    printf(", times: %d %d", call32(43, buf) > 0, untouched(16));
    fresh();
    tell(", uname:", call32(109, buf)); printf(" %s %d", (char *)at(buf), untouched(325 + 3));
    tell(", older:", call32(59, buf)); printf(" %s", (char *)at(buf));
    // From whatever level the program was started with; 20 - nice is what the call tells.
    long before = call32(96, PRIO_PROCESS, 0), expected = before > 5 ? before - 5 : 1;
    tell(", nice:", call32(34, 5));
    printf(" %d", call32(96, PRIO_PROCESS, 0) == expected);
    tell("", call32(34, 100));
    tell("", call32(96, PRIO_PROCESS, 0));
    printf("\n");
}
static void children(void)
{
    pid_t child = fork();
    if (child == 0) _exit(7);
    fresh();
    tell("waitid:", call32(284, P_PID, child, buf, WEXITED | WNOWAIT, buf + 256));
    printf(" %d %d %d %d %d %d %d", i32(buf, 0) == SIGCHLD, i32(buf, 8), i32(buf, 12) == child, i32(buf, 16) == (int)getuid(), i32(buf, 20), untouched(24), untouched(256 + 72));
    uint32_t status = low(NULL, 4);
    printf(", waitpid: %d", call32(7, child, status, 0) == child); printf(" %d", WEXITSTATUS(i32(status, 0)));
    tell(", again:", call32(7, child, status, 0));
    child = fork();
    if (child == 0) _exit(9);
    fresh();
    printf(", wait4: %d", call32(114, child, status, 0, buf) == child); printf(" %d %d\n", WEXITSTATUS(i32(status, 0)), untouched(72));
}
static void ids(void)
{
    printf("ids: %d%d%d%d", call32(199) == getuid(), call32(200) == getgid(), call32(201) == geteuid(), call32(202) == getegid());
    unsigned short uid = getuid() > 65535 ? 65534 : getuid();
    printf(" %d%d", call32(24) == uid, call32(49) == uid);
    fresh();
    tell(", getresuid:", call32(165, buf, buf + 2, buf + 4)); printf(" %d %d", *(uint16_t *)at(buf) == uid, *(uint16_t *)at(buf + 6) == 0xeeee);
    tell(", 32:", call32(209, buf, buf + 4, buf + 8)); printf(" %d", (uid_t)i32(buf, 4) == geteuid());
    tell(", setreuid:", call32(70, 0xffff, 0xffff)); tell("", call32(203, -1, -1)); tell(", setuid -1:", call32(213, -1)); tell("", call32(23, 0xffff));
    long groups = call32(205, 0, 0), short_groups = call32(80, 0, 0);
    printf(", groups: %d", groups == short_groups && groups == getgroups(0, NULL));
    if (groups > 0) {
        fresh();
        printf(" %d", call32(80, 64, buf) == groups);
    }
    int fd = open("owned", O_CREAT | O_RDWR, 0600);
    tell(", fchown:", call32(207, fd, -1, -1)); tell("", call32(95, fd, 0xffff, 0xffff)); tell(", lchown:", call32(16, low_text("owned"), 0xffff, 0xffff)); tell("", call32(212, low_text("none"), 1, 1));
    printf("\n");
    close(fd);
    unlink("owned");
}
int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (!have_calls()) return 0;
    if (chdir("/tmp")) return 1;
    buf = low(NULL, 4096);
    clocks();
    timers();
    waits();
    signals();
    children();
    ids();
    limits();
    return 0;
}
