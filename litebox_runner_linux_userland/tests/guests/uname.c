//@ helper
// What a program asks of the system; prints facts that are the same on every Linux.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int counter;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *count(void *arg) {
    for (int i = 0; i < 10000; i++) {
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
    }
    return arg;
}

static volatile int handled;
static void handler(int signal) { handled += signal; }

#define SHOW(call) do { errno = 0; long r = (long)(call); printf("%s = %ld, %s\n", #call, r, strerror(errno)); } while (0)

int main(void) {
    struct utsname name;
    SHOW(uname(&name));
    printf("%s %s\n", name.sysname, name.machine);
    SHOW(syscall(SYS_uname, 8));
    char bytes[600] = {0};
    SHOW(getrandom(bytes, sizeof bytes, 0));
    SHOW(getrandom(bytes, 16, 8));
    SHOW(getrandom(bytes, 16, 6));
    SHOW(syscall(SYS_getrandom, 8, 16, 0));
    struct timespec t;
    SHOW(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t));
    SHOW(syscall(SYS_clock_gettime, 99, &t));
    SHOW(syscall(SYS_clock_gettime, CLOCK_REALTIME, 8));
    struct timespec bad = {0, 1000000000}, minus = {-1, 0}, soon = {0, 2000000};
    SHOW(syscall(SYS_nanosleep, &bad, NULL));
    SHOW(syscall(SYS_nanosleep, &minus, NULL));
    SHOW(syscall(SYS_nanosleep, 8, NULL));
    SHOW(syscall(SYS_nanosleep, &soon, NULL));
    SHOW(sched_yield());
    SHOW(syscall(SYS_write, 1, 8, 4));
    SHOW(syscall(SYS_write, 99, bytes, 4));
    SHOW(syscall(SYS_read, -1, bytes, 4));
    SHOW(syscall(SYS_close, 99));

    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        if (pthread_create(&threads[i], NULL, count, NULL))
            return 1;
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    printf("8 threads counted to %d\n", counter);

    struct sigaction action = {.sa_handler = handler};
    SHOW(sigaction(SIGUSR1, &action, NULL));
    SHOW(raise(SIGUSR1));
    printf("handled %d\n", handled);
    fflush(stdout);
    *(volatile int *)8 = 1;
    return 0;
}
