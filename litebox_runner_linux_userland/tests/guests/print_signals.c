//@ helper
// Prints each signal it gets; SIGTERM ends it with status 3. With an argument, two threads that block everything burn
// time meanwhile.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void handler(int signal) {
    char line[32];
    int len = sprintf(line, "got %d\n", signal);
    if (write(1, line, len) != len || signal == SIGTERM) _exit(3);
}

static void *spin(void *unused) {
    (void)unused;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, 0);
    for (;;) {}
}

int main(int argc, char **argv) {
    (void)argv;
    int caught[] = {SIGWINCH, SIGTERM, SIGUSR1, SIGCONT};
    for (unsigned i = 0; i < sizeof caught / sizeof *caught; i++) signal(caught[i], handler);
    for (int i = 0; i < 2 && argc > 1; i++) {
        pthread_t thread;
        pthread_create(&thread, 0, spin, 0);
    }
    if (write(1, "ready\n", 6) != 6) return 1;
    for (;;) pause();
}
