// POSIX message queues, shared memory and semaphores between two processes.
//@ flags: -pthread -lrt
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)

static char name[64], buf[10000];
static unsigned priority;
static mqd_t q;

static long take(void) {
    long n = mq_receive(q, buf, sizeof buf, &priority);
    if (n >= 0) printf("%.*s with %u\n", (int)n, buf, priority);
    return n;
}
static int events(void) {
    struct pollfd f = {q, POLLIN | POLLOUT, 0};
    poll(&f, 1, 0);
    return f.revents;
}
static void on_signal(int s, siginfo_t *info, void *context) {
    printf("signal %d, code %d, mine %d, value %d\n", s, info->si_code, info->si_pid == getpid(), info->si_value.sival_int);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    umask(022);
    snprintf(name, sizeof name, "/litebox-%d", getpid());
    SHOW(mq_open(name, O_RDWR));
    SHOW(mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL));
    SHOW(mq_open("noslash", O_RDWR | O_CREAT, 0600, NULL));
    struct mq_attr attr = {.mq_maxmsg = 0, .mq_msgsize = 10};
    SHOW(mq_open(name, O_RDWR | O_CREAT, 0600, &attr));
    attr.mq_maxmsg = 4, attr.mq_msgsize = 0;
    SHOW(mq_open(name, O_RDWR | O_CREAT, 0600, &attr));
    attr.mq_msgsize = 100;
    q = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr);
    SHOW(q >= 0);
    SHOW(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr));
    SHOW(fcntl(q, F_GETFD));
    SHOW(fcntl(q, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
    SHOW(mq_getattr(q, &attr));
    printf("%lx %ld %ld %ld\n", attr.mq_flags, attr.mq_maxmsg, attr.mq_msgsize, attr.mq_curmsgs);
    SHOW(events());
    SHOW(take());
    SHOW(mq_receive(q, buf, 99, NULL));
    SHOW(mq_send(q, buf, 101, 0));
    SHOW(mq_send(q, "x", 1, 32768));
    SHOW(mq_send(0, "x", 1, 0));
    SHOW(mq_receive(99, buf, 100, NULL));
    SHOW(mq_send(q, (void *)8, 10, 0));
    SHOW(mq_send(q, "low", 3, 1));
    SHOW(mq_send(q, "high", 4, 9));
    SHOW(mq_send(q, "high again", 10, 9));
    SHOW(mq_send(q, "", 0, 0));
    SHOW(events());
    SHOW(mq_send(q, "full", 4, 0));
    SHOW(take());
    SHOW(take());
    SHOW(take());
    SHOW(take());
    SHOW(take());
    attr.mq_flags = 0;
    struct mq_attr before;
    SHOW(mq_setattr(q, &attr, &before));
    printf("%lx\n", before.mq_flags);
    attr.mq_flags = 1;
    SHOW(mq_setattr(q, &attr, NULL));
    struct timespec past = {1, 0}, bad = {1, -1};
    SHOW(mq_timedreceive(q, buf, 100, NULL, &past));
    SHOW(mq_timedreceive(q, buf, 100, NULL, &bad));
    mqd_t reader = mq_open(name, O_RDONLY), writer = mq_open(name, O_WRONLY);
    SHOW(mq_send(reader, "x", 1, 0));
    SHOW(mq_receive(writer, buf, 100, NULL));

    struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &act, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 7};
    SHOW(mq_notify(q, &event));
    SHOW(mq_notify(q, &event));
    SHOW(mq_send(q, "tell", 4, 0));
    SHOW(mq_send(q, "once", 4, 0));
    event.sigev_signo = 99;
    SHOW(mq_notify(q, &event));
    event.sigev_notify = SIGEV_NONE;
    SHOW(mq_notify(q, &event));
    SHOW(mq_notify(q, NULL));
    // Whoever closes the queue, by any descriptor, is not told any more.
    mqd_t another = mq_open(name, O_RDWR);
    SHOW(mq_notify(q, &event));
    SHOW(mq_close(another));
    SHOW(mq_notify(q, &event));
    SHOW(mq_notify(q, NULL));
    take(), take();

    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        poll(NULL, 0, 50);
        mq_send(q, "from the child", 14, 3);
        _exit(0);
    }
    SHOW(take());
    waitpid(pid, NULL, 0);
    SHOW(mq_unlink(name));
    SHOW(mq_unlink(name));
    SHOW(mq_send(q, "still", 5, 0));
    SHOW(take());
    SHOW(mq_close(q));

    // Shared memory and semaphores by name: files in /dev/shm.
    SHOW(shm_open(name, O_RDWR, 0600));
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    SHOW(ftruncate(fd, 4096));
    sem_t *ready = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
    SHOW(ready != SEM_FAILED);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    fflush(stdout);
    pid = fork();
    if (!pid) {
        int again = shm_open(name, O_RDWR, 0);
        sem_t *mine = sem_open(name, 0);
        char *there = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
        strcpy(there, "shared by name");
        sem_post(mine);
        _exit(0);
    }
    SHOW(sem_wait(ready));
    puts(map);
    waitpid(pid, NULL, 0);
    SHOW(sem_trywait(ready));
    SHOW(sem_unlink(name));
    SHOW(shm_unlink(name));
    SHOW(sem_open(name, 0) == SEM_FAILED);
    return 0;
}
