//@ flags: -pthread
//@ timeout: 30
// Alarms, interval timers, timers with signals, sleeps by every clock, CPU time. Prints nothing that depends on the
// machine's speed.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long r = (long)(call); printf("%s = %ld, %s\n", #call, r, strerror(errno)); } while (0)
// The clock of the CPU time of a process or thread.
#define CPU(id, what) (int)(~(unsigned)(id) << 3 | (what))
#define CHECK(what) printf("%s: %s\n", #what, (what) ? "yes" : "NO")

static volatile sig_atomic_t hits;
static volatile siginfo_t last;
static void handler(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    hits++;
    last = *info;
}
static void catch(int signal, int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(signal, &action, NULL);
}
static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
static void spin(double seconds) {
    double end = now(CLOCK_MONOTONIC) + seconds;
    while (now(CLOCK_MONOTONIC) < end)
        ;
}
static void burn(double seconds) {
    double end = now(CLOCK_PROCESS_CPUTIME_ID) + seconds;
    while (now(CLOCK_PROCESS_CPUTIME_ID) < end)
        ;
}
static struct timespec in(double seconds) {
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    return t;
}

static void alarms(void) {
    catch(SIGALRM, 0);
    SHOW(alarm(100));
    SHOW(alarm(1));
    hits = 0;
    SHOW(pause());
    CHECK(hits == 1 && last.si_code == SI_KERNEL && last.si_signo == SIGALRM);
    SHOW(alarm(0));
    struct itimerval every = {{0, 5000}, {0, 5000}}, old, none = {{0, 0}, {0, 0}};
    double start = now(CLOCK_MONOTONIC);
    SHOW(setitimer(ITIMER_REAL, &every, NULL));
    hits = 0;
    spin(0.1);
    int counted = hits;
    CHECK(counted >= 2 && counted <= (now(CLOCK_MONOTONIC) - start) / 0.005 + 1);
    SHOW(getitimer(ITIMER_REAL, &old));
    CHECK(old.it_interval.tv_usec == 5000 && old.it_value.tv_usec > 0 && old.it_value.tv_usec <= 5000);
    SHOW(setitimer(ITIMER_REAL, &none, &old));
    SHOW(getitimer(ITIMER_REAL, &old));
    CHECK(!old.it_value.tv_sec && !old.it_value.tv_usec && !old.it_interval.tv_usec);
    struct itimerval bad = {{0, 0}, {0, 1000000}}, negative = {{0, 0}, {-1, 0}};
    SHOW(setitimer(ITIMER_REAL, &bad, NULL));
    SHOW(setitimer(ITIMER_REAL, &negative, NULL));
    SHOW(setitimer(7, &none, NULL));
    SHOW(getitimer(7, &old));
    SHOW(syscall(SYS_setitimer, 0, 8, 0));
    SHOW(syscall(SYS_getitimer, 0, 8));
    SHOW(syscall(SYS_setitimer, 0, 0, &old));

    // An interval too short to serve keeps nobody from working, and nothing queues up.
    struct itimerval tiny = {{0, 1}, {0, 1}};
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    setitimer(ITIMER_REAL, &tiny, NULL);
    spin(0.02);
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGALRM));
    setitimer(ITIMER_REAL, &none, NULL);
    hits = 0;
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK(hits == 1);
}

static void cpu_intervals(void) {
    struct itimerval once = {{0, 0}, {0, 30000}}, left;
    catch(SIGPROF, 0);
    catch(SIGVTALRM, 0);
    hits = 0;
    setitimer(ITIMER_PROF, &once, NULL);
    struct timespec t = in(0.1);
    nanosleep(&t, NULL);
    CHECK(hits == 0);
    burn(0.08);
    CHECK(hits == 1 && last.si_signo == SIGPROF && last.si_code == SI_KERNEL);
    hits = 0;
    setitimer(ITIMER_VIRTUAL, &once, NULL);
    getitimer(ITIMER_VIRTUAL, &left);
    CHECK(left.it_value.tv_usec > 0 && left.it_value.tv_usec <= 40000);
    for (double end = now(CLOCK_MONOTONIC) + 5; !hits && now(CLOCK_MONOTONIC) < end;)
        ;
    CHECK(hits == 1 && last.si_signo == SIGVTALRM);
    struct itimerval idle = {{0, 30000}, {0, 0}};
    setitimer(ITIMER_PROF, &idle, NULL);
    getitimer(ITIMER_PROF, &left);
    printf("idle prof: %ld %ld\n", left.it_value.tv_usec, left.it_interval.tv_usec);
}

static void *in_thread(void *arg) {
    sigset_t *set = arg;
    siginfo_t info;
    struct timespec limit = {5, 0};
    int signal = sigtimedwait(set, &info, &limit);
    printf("the thread took %d of code %d, value %d\n", signal == SIGRTMIN + 2, info.si_code, info.si_value.sival_int);
    return NULL;
}

static void posix(void) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 42};
    catch(SIGRTMIN + 1, 0);
    struct itimerspec set = {{0, 0}, {0, 20000000}}, old;
    clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI};
    for (int i = 0; i < 4; i++) {
        SHOW(timer_create(clocks[i], &event, &timer));
        hits = 0;
        SHOW(timer_settime(timer, 0, &set, NULL));
        SHOW(timer_gettime(timer, &old));
        CHECK(old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 20000000 && old.it_interval.tv_nsec == 0);
        struct timespec t = in(2);
        SHOW(nanosleep(&t, &t));
        CHECK(t.tv_sec == 1 && hits == 1 && last.si_code == SI_TIMER && last.si_value.sival_int == 42 && last.si_overrun == 0);
        struct itimerspec absolute = {{0, 0}, {0, 0}};
        clock_gettime(clocks[i], &absolute.it_value);
        absolute.it_value.tv_nsec += 30000000;
        if (absolute.it_value.tv_nsec >= 1000000000) {
            absolute.it_value.tv_nsec -= 1000000000;
            absolute.it_value.tv_sec++;
        }
        SHOW(timer_settime(timer, TIMER_ABSTIME, &absolute, &old));
        CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_nsec == 0);
        spin(0.06);
        CHECK(hits == 2);
        // In the past: at once.
        absolute.it_value.tv_sec -= 100;
        timer_settime(timer, TIMER_ABSTIME, &absolute, NULL);
        spin(0.002);
        CHECK(hits == 3);
        SHOW(timer_delete(timer));
        SHOW(timer_delete(timer));
    }

    // Overruns: the signal waits while the timer goes on.
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGRTMIN + 1);
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    struct itimerspec often = {{0, 1000000}, {0, 1000000}}, stop = {{0, 0}, {0, 0}};
    double start = now(CLOCK_MONOTONIC);
    timer_settime(timer, 0, &often, NULL);
    spin(0.0505);
    siginfo_t info;
    struct timespec zero = {0, 0};
    CHECK(sigtimedwait(&blocked, &info, &zero) == SIGRTMIN + 1);
    timer_settime(timer, 0, &stop, &old);
    CHECK(info.si_overrun >= 45 && info.si_overrun <= (now(CLOCK_MONOTONIC) - start) / 0.001);
    CHECK(old.it_interval.tv_nsec == 1000000 && old.it_value.tv_nsec <= 1000000);
    SHOW(sigtimedwait(&blocked, &info, &zero));
    SHOW(timer_getoverrun(timer));
    timer_settime(timer, 0, &often, NULL);
    spin(0.0105);
    sigtimedwait(&blocked, &info, &zero);
    int overrun = timer_getoverrun(timer);
    CHECK(overrun == info.si_overrun && overrun >= 8);
    // Set anew, the signal that waited is void.
    spin(0.003);
    timer_settime(timer, 0, &stop, NULL);
    SHOW(sigtimedwait(&blocked, &info, &zero));
    timer_settime(timer, 0, &often, NULL);
    spin(0.003);
    timer_delete(timer);
    SHOW(sigtimedwait(&blocked, &info, &zero));

    // A thread of its own; nobody; no event at all.
    sigset_t two;
    sigemptyset(&two);
    sigaddset(&two, SIGRTMIN + 2);
    pthread_sigmask(SIG_BLOCK, &two, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, in_thread, &two);
    pid_t tid = *(pid_t *)((char *)thread + 720);
    struct sigevent to_thread = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 2, .sigev_value.sival_int = 7};
    to_thread._sigev_un._tid = tid;
    SHOW(timer_create(CLOCK_MONOTONIC, &to_thread, &timer));
    SHOW(timer_settime(timer, 0, &set, NULL));
    pthread_join(thread, NULL);
    timer_delete(timer);
    to_thread._sigev_un._tid = 1 << 21;
    SHOW(timer_create(CLOCK_MONOTONIC, &to_thread, &timer));
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    SHOW(timer_create(CLOCK_MONOTONIC, &none, &timer));
    timer_settime(timer, 0, &often, NULL);
    spin(0.01);
    timer_gettime(timer, &old);
    CHECK(old.it_interval.tv_nsec == 1000000 && old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 1000000);
    timer_settime(timer, 0, &set, NULL);
    spin(0.03);
    timer_gettime(timer, &old);
    CHECK(old.it_value.tv_nsec == 0);
    timer_delete(timer);
    int id = -1;
    catch(SIGALRM, 0);
    SHOW(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id));
    hits = 0;
    SHOW(syscall(SYS_timer_settime, id, 0, &set, NULL));
    spin(0.04);
    CHECK(hits == 1 && last.si_signo == SIGALRM && last.si_value.sival_int == id);
    SHOW(syscall(SYS_timer_delete, id));

    // CPU time.
    event.sigev_signo = SIGUSR1;
    catch(SIGUSR1, 0);
    clockid_t cpu[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (int i = 0; i < 2; i++) {
        SHOW(timer_create(cpu[i], &event, &timer));
        hits = 0;
        timer_settime(timer, 0, &set, NULL);
        struct timespec t = in(0.06);
        nanosleep(&t, NULL);
        CHECK(hits == 0);
        burn(0.06);
        CHECK(hits == 1 && last.si_code == SI_TIMER);
        timer_delete(timer);
    }

    event.sigev_signo = 65;
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
    event.sigev_signo = 0;
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
    event.sigev_signo = 10;
    event.sigev_notify = 9;
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
    event.sigev_notify = SIGEV_SIGNAL;
    SHOW(syscall(SYS_timer_create, CLOCK_MONOTONIC, 8, &id));
    SHOW(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, 8));
    SHOW(syscall(SYS_timer_create, CLOCK_MONOTONIC_RAW, &event, &id));
    SHOW(syscall(SYS_timer_create, CLOCK_REALTIME_COARSE, &event, &id));
    SHOW(syscall(SYS_timer_create, 77, &event, &id));
    SHOW(syscall(SYS_timer_create, -1, &event, &id));
    SHOW(syscall(SYS_timer_settime, 12345, 0, &set, 0));
    SHOW(syscall(SYS_timer_gettime, 12345, &set));
    SHOW(syscall(SYS_timer_getoverrun, 12345));
    SHOW(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
    SHOW(syscall(SYS_timer_settime, id, 0, 0, 0));
    SHOW(syscall(SYS_timer_settime, id, 0, 8, 0));
    struct itimerspec bad = {{0, 0}, {0, 1000000000}};
    SHOW(syscall(SYS_timer_settime, id, 0, &bad, 0));
    SHOW(syscall(SYS_timer_gettime, id, 8));
    SHOW(syscall(SYS_timer_delete, id));
}

static void sleeps(void) {
    clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI};
    struct timespec t;
    for (int i = 0; i < 4; i++) {
        double start = now(CLOCK_MONOTONIC);
        t = in(0.02);
        SHOW(clock_nanosleep(clocks[i], 0, &t, NULL));
        CHECK(now(CLOCK_MONOTONIC) - start >= 0.02);
        clock_gettime(clocks[i], &t);
        t = in((double)t.tv_sec + (double)t.tv_nsec / 1e9 + 0.03);
        start = now(CLOCK_MONOTONIC);
        SHOW(clock_nanosleep(clocks[i], TIMER_ABSTIME, &t, NULL));
        CHECK(now(CLOCK_MONOTONIC) - start >= 0.028);
        t.tv_sec -= 5;
        SHOW(clock_nanosleep(clocks[i], TIMER_ABSTIME, &t, NULL));
    }
    t = in(0.001);
    SHOW(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &t, 0));
    SHOW(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, &t, 0));
    SHOW(syscall(SYS_clock_nanosleep, CLOCK_REALTIME_COARSE, 0, &t, 0));
    SHOW(syscall(SYS_clock_nanosleep, 99, 0, &t, 0));
    SHOW(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, 8, 0));
    SHOW(syscall(SYS_clock_nanosleep, CPU(0, 6), 0, &t, 0));
    t.tv_nsec = 1000000000;
    SHOW(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, 0));
    // Interrupted: what is left; absolute: nothing is written.
    struct itimerval soon = {{0, 0}, {0, 20000}};
    catch(SIGALRM, SA_RESTART);
    setitimer(ITIMER_REAL, &soon, NULL);
    t = in(10);
    SHOW(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0, &t, &t));
    CHECK(t.tv_sec == 9);
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += 10;
    struct timespec rest = {77, 77};
    setitimer(ITIMER_REAL, &soon, NULL);
    SHOW(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, &rest));
    CHECK(rest.tv_sec == 77);
    // A signal that is ignored does not end a sleep.
    signal(SIGALRM, SIG_IGN);
    setitimer(ITIMER_REAL, &soon, NULL);
    double start = now(CLOCK_MONOTONIC);
    t = in(0.08);
    SHOW(nanosleep(&t, NULL));
    CHECK(now(CLOCK_MONOTONIC) - start >= 0.08);
}

static void *burner(void *arg) {
    burn(0.05);
    return arg;
}

static void clocks(void) {
    struct timespec t;
    clockid_t clock;
    SHOW(clock_getcpuclockid(0, &clock));
    SHOW(clock_gettime(clock, &t));
    SHOW(clock_getcpuclockid(getpid(), &clock));
    SHOW(clock_gettime(clock, &t));
    CHECK(now(clock) <= now(CLOCK_PROCESS_CPUTIME_ID));
    pthread_t thread;
    pthread_create(&thread, NULL, burner, NULL);
    SHOW(pthread_getcpuclockid(thread, &clock));
    double first = now(clock);
    t = in(0.02);
    nanosleep(&t, NULL);
    CHECK(now(clock) > first);
    // Sleeps by the time of the process while the other thread works.
    t = in(0.01);
    SHOW(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &t, NULL));
    pthread_join(thread, NULL);
    SHOW(syscall(SYS_clock_gettime, CPU(0, 0), &t));
    SHOW(syscall(SYS_clock_gettime, CPU(0, 1), &t));
    SHOW(syscall(SYS_clock_gettime, CPU(0, 2), &t));
    SHOW(syscall(SYS_clock_gettime, CPU(0, 3), &t));
    SHOW(syscall(SYS_clock_gettime, CPU(0, 6), &t));
    SHOW(syscall(SYS_clock_gettime, CPU(1 << 22, 6), &t));
    SHOW(syscall(SYS_clock_gettime, CPU(1 << 22, 2), &t));
    for (int id = 0; id <= 12; id++) {
        if (id == 8 || id == 9) // depend on the machine's clock
            continue;
        t.tv_nsec = 0;
        long r = syscall(SYS_clock_getres, id, &t);
        printf("resolution of %d: %ld %ld.%09ld\n", id, r, (long)t.tv_sec, t.tv_nsec);
    }
    SHOW(syscall(SYS_clock_getres, 1, 0));
    SHOW(syscall(SYS_clock_getres, 1, 8));
    SHOW(syscall(SYS_clock_getres, CPU(0, 2), &t));
    t = in(5);
    SHOW(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &t));
    SHOW(syscall(SYS_clock_settime, CLOCK_PROCESS_CPUTIME_ID, &t));
    SHOW(syscall(SYS_clock_settime, CPU(0, 2), &t));
    SHOW(syscall(SYS_clock_settime, 50, &t));
    SHOW(syscall(SYS_clock_settime, CLOCK_REALTIME, 8));
    t.tv_nsec = -1;
    SHOW(syscall(SYS_clock_settime, CLOCK_REALTIME, &t));
    struct timeval tv = {0, 1000000};
    SHOW(syscall(SYS_settimeofday, &tv, NULL));
    SHOW(syscall(SYS_settimeofday, 8, NULL));
    SHOW(syscall(SYS_gettimeofday, &tv, NULL));
    struct timezone zone = {1, 1};
    SHOW(syscall(SYS_gettimeofday, NULL, &zone));
    printf("zone %d %d\n", zone.tz_minuteswest, zone.tz_dsttime);
    SHOW(syscall(SYS_gettimeofday, 8, NULL));
    CHECK(syscall(SYS_time, NULL) > 1000000000);
    SHOW(syscall(SYS_time, 8));
    struct timex x = {0};
    CHECK(clock_adjtime(CLOCK_REALTIME, &x) >= 0 && x.time.tv_sec > 1000000000);
    SHOW(syscall(SYS_clock_adjtime, CLOCK_MONOTONIC, &x));
    SHOW(syscall(SYS_adjtimex, 8));
}

static void usage(void) {
    struct rusage u, v;
    SHOW(getrusage(RUSAGE_SELF, &u));
    burn(0.05);
    getrusage(RUSAGE_SELF, &v);
    double before = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    double after = (double)(v.ru_utime.tv_sec + v.ru_stime.tv_sec) + (double)(v.ru_utime.tv_usec + v.ru_stime.tv_usec) / 1e6;
    CHECK(after - before > 0.03 && v.ru_maxrss > 0);
    SHOW(getrusage(RUSAGE_THREAD, &u));
    SHOW(getrusage(RUSAGE_CHILDREN, &u));
    CHECK(u.ru_utime.tv_sec == 0 && u.ru_utime.tv_usec == 0);
    SHOW(getrusage(5, &u));
    SHOW(syscall(SYS_getrusage, 0, 8));
    struct tms t;
    CHECK(times(&t) != -1 && t.tms_utime + t.tms_stime > 0 && t.tms_cutime == 0);
    SHOW(syscall(SYS_times, 8));
    CHECK(syscall(SYS_times, 0) > 0);
}

static void files(void) {
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec set = {{0, 10000000}, {0, 10000000}}, now;
    SHOW(timerfd_settime(fd, 0, &set, NULL));
    unsigned long long n = 0;
    SHOW(read(fd, &n, 8));
    CHECK(n >= 1);
    spin(0.05);
    SHOW(read(fd, &n, 8));
    CHECK(n >= 4);
    SHOW(timerfd_gettime(fd, &now));
    CHECK(now.it_interval.tv_nsec == 10000000);
    SHOW(read(fd, &n, 4));
    SHOW(write(fd, &n, 8));
    SHOW(timerfd_create(CLOCK_TAI, 0));
    SHOW(timerfd_create(CLOCK_MONOTONIC, 1));
    SHOW(timerfd_settime(fd, 8, &set, NULL));
    SHOW(timerfd_settime(0, 0, &set, NULL));
    SHOW(timerfd_settime(99, 0, &set, NULL));
    SHOW(syscall(SYS_timerfd_settime, fd, 0, 8, NULL));
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarms();
    cpu_intervals();
    posix();
    sleeps();
    clocks();
    usage();
    files();
    return 0;
}
