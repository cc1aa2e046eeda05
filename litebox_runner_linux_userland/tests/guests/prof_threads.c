// SIGPROF and SIGVTALRM of setitimer(2) go to the thread that computes, not to those that wait.
//@ flags: -pthread
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static pthread_t worker;
static volatile sig_atomic_t in_worker, elsewhere;

static void on_tick(int signal) {
    (void)signal;
    if (pthread_equal(pthread_self(), worker)) in_worker++;
    else elsewhere++;
}
static void *compute(void *arg) {
    struct timespec t;
    worker = pthread_self();
    do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    while (t.tv_sec == 0 && t.tv_nsec < 400000000);
    return arg;
}
static void *wait_long(void *arg) {
    pause();
    return arg;
}
static void profile(const char *what, int which, int signal) {
    pthread_t t;
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct itimerval timer = {{0, 10000}, {0, 10000}}, off = {{0, 0}, {0, 0}};
    in_worker = elsewhere = 0;
    sigaction(signal, &action, NULL);
    setitimer(which, &timer, NULL);
    pthread_create(&t, NULL, compute, NULL);
    pthread_join(t, NULL);
    setitimer(which, &off, NULL);
    printf("%s: in the thread that computes %d, nearly all %d\n", what, in_worker >= 5, in_worker > 5 * elsewhere);
}
int main(void) {
    pthread_t waiting;
    pthread_create(&waiting, NULL, wait_long, NULL);
    worker = pthread_self();
    profile("ITIMER_PROF", ITIMER_PROF, SIGPROF);
    profile("ITIMER_VIRTUAL", ITIMER_VIRTUAL, SIGVTALRM);
    return 0;
}
