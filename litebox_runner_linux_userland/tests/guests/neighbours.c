//@ helper
// Two sandboxes side by side: `neighbours fill` uses up each limit it finds, and waits; `neighbours use` needs a little
// of everything.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
    printf("%s: %s\n", what, strerrorname_np(errno));
    exit(1);
}

// One message with `count` times standard input in it.
static int pass(int socket, int count) {
    char byte = 'x', control[CMSG_SPACE(200 * sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memset(CMSG_DATA(header), 0, count * sizeof(int));
    return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int make_pipe(void) {
    int ends[2];
    return pipe(ends);
}
static int park_descriptors(void) {
    static int queue[2], full = 1;
    if (full && socketpair(AF_UNIX, SOCK_STREAM, 0, queue))
        return -1;
    full = 0;
    if (pass(queue[0], 100) > 0)
        return 0;
    if (errno != EAGAIN)
        return -1;
    full = 1; // the next one, as long as there are descriptors for it
    return 0;
}
static int start_inotify(void) {
    return inotify_init1(0);
}
static int make_timer(void) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    return timer_create(CLOCK_MONOTONIC, &event, &timer);
}
static int start_process(void) {
    pid_t child = fork();
    if (child == 0) {
        sleep(60);
        _exit(0);
    }
    return child;
}

// How it says that no more of it may be had. What already there is goes with the process.
static void use_up(const char *name, int (*make)(void)) {
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        long made = 0;
        while (made < 1000000 && make() >= 0)
            made++;
        printf("%s: %s\n", name, made < 1000000 ? strerrorname_np(errno) : "no limit");
        fflush(stdout);
        sleep(60);
        _exit(0);
    }
}

static void fill(void) {
    struct rlimit few = {64, 64}, descriptors = {1024, 1024};
    if (setrlimit(RLIMIT_NOFILE, &descriptors) || getuid() == 0 && setuid(4321)) // root has no limits
        fail("limits");
    use_up("pipes", make_pipe);
    use_up("descriptors in messages", park_descriptors);
    use_up("inotify", start_inotify);
    setrlimit(RLIMIT_SIGPENDING, &few);
    use_up("timers", make_timer);
    setrlimit(RLIMIT_NPROC, &few);
    use_up("processes", start_process);
    getchar();
    kill(-1, SIGKILL);
}

static volatile int rung;
static void ring(int signal) {
    rung = signal;
}
static void *thread(void *unused) {
    while (!rung)
        ;
    return unused;
}

static void use(const char *file) {
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0)
            for (;;)
                ;
        int status;
        if (child < 0 || kill(child, SIGKILL) || waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
            fail("processes");
        int fd = open(file, O_RDONLY);
        char byte;
        if (fd < 0 || read(fd, &byte, 1) != 1 || close(fd))
            fail("files");
        if (make_pipe() || start_inotify() < 0 || park_descriptors())
            fail("pipes, inotify or messages");
    }
    signal(SIGALRM, ring);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct itimerspec soon = {.it_value.tv_nsec = 1000000};
    pthread_t other;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &soon, 0) || pthread_create(&other, 0, thread, 0) || pthread_join(other, 0))
        fail("timers and threads");
    puts("used");
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IOLBF, 0);
    if (argc > 1 && !strcmp(argv[1], "fill"))
        fill();
    else
        use(argv[0]);
    return 0;
}
