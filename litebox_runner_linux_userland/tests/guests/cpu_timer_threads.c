// Which thread takes the signal of a timer that counts the processor time of its process: the one that uses it.
//@ flags: -pthread
#include "result.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int by_first, by_other;

static void count(int signal)
{
    (void)signal;
    if (syscall(SYS_gettid) == getpid()) by_first++;
    else by_other++;
}
static void *computes(void *until)
{
    struct timespec used;
    do {
        for (volatile int i = 0; i < 10000; i++) continue;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    } while (by_first + by_other < *(int *)until && used.tv_sec < 20);
    return NULL;
}
// The first thread waits while another computes, until so many signals came.
static void run(const char *what)
{
    int wanted = 10;
    pthread_t thread;
    by_first = by_other = 0;
    pthread_create(&thread, NULL, computes, &wanted);
    pthread_join(thread, NULL);
    printf("%s: %s\n", what, by_other >= 9 ? "the one that computes" : by_first >= 9 ? "the first" : "both");
}
int main(void)
{
    struct itimerval often = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    sigaction(SIGPROF, &action, NULL);
    sigaction(SIGVTALRM, &action, NULL);
    setitimer(ITIMER_PROF, &often, NULL);
    run("ITIMER_PROF");
    setitimer(ITIMER_PROF, &never, NULL);
    setitimer(ITIMER_VIRTUAL, &often, NULL);
    run("ITIMER_VIRTUAL");
    setitimer(ITIMER_VIRTUAL, &never, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF};
    struct itimerspec spec = {{0, 5000000}, {0, 5000000}};
    timer_t timer;
    timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer);
    timer_settime(timer, 0, &spec, NULL);
    run("CLOCK_PROCESS_CPUTIME_ID");
    return 0;
}
