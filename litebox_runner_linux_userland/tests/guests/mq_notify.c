//@ flags: -pthread -lrt
//@ timeout: 30
// mq_notify by a thread: as the C library does it, and the netlink socket and cookie behind that; when a registration
// ends.
#define _GNU_SOURCE
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "result.h"

static mqd_t queue;
static char name[64];
static sem_t told;
static volatile int value, own_thread;

static void notified(union sigval given)
{
    value = given.sival_int;
    own_thread = gettid() != getpid();
    sem_post(&told);
}

static void by_library(void)
{
    struct sigevent how = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notified, .sigev_value.sival_int = 4711};
    for (int i = 0; i < 3; i++) {
        printf("register %s\n", result(mq_notify(queue, &how)));
        printf("again %s\n", result(mq_notify(queue, &how)));
        value = own_thread = 0;
        mq_send(queue, "one", 3, 1);
        sem_wait(&told);
        char text[100];
        printf("told %d by a thread %d, %s\n", value, own_thread, result(mq_receive(queue, text, sizeof text, 0)));
    }
    printf("register %s\n", result(mq_notify(queue, &how)));
    printf("take back %s\n", result(mq_notify(queue, 0)));
    mq_send(queue, "two", 3, 1);
    usleep(20000);
    int waiting;
    sem_getvalue(&told, &waiting);
    printf("not told: %d\n", waiting);
    char text[100];
    mq_receive(queue, text, sizeof text, 0);
    fflush(stdout);
}

struct event { union sigval value; int number, kind; char rest[48]; };
static int netlink;
static unsigned char cookie[32];

static long registers(int fd, void *where)
{
    struct event event = {.value.sival_ptr = where, .number = fd, .kind = SIGEV_THREAD};
    return syscall(SYS_mq_notify, queue, &event);
}

static void receives(const char *what)
{
    unsigned char got[64] = "";
    struct pollfd look = {netlink, POLLIN, 0};
    printf("%s: readable %d", what, poll(&look, 1, 0));
    long n = recv(netlink, got, sizeof got, MSG_DONTWAIT);
    printf(", %s bytes, first %d last %d\n", result(n), got[0], got[31]);
}

static void by_hand(void)
{
    for (int i = 0; i < 32; i++) cookie[i] = i + 1;
    netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
    printf("socket %d, kind %s, protocol %s\n", netlink >= 0, result(socket(AF_NETLINK, SOCK_STREAM, 0)),
           result(socket(AF_NETLINK, SOCK_RAW, 31)));
    int other = socket(AF_UNIX, SOCK_DGRAM, 0);
    printf("no descriptor %s, no socket %s, another family %s, bad cookie %s, no queue %s\n", result(registers(900, cookie)),
           result(registers(queue, cookie)), result(registers(other, cookie)), result(registers(netlink, (void *)8)),
           result(mq_notify(other, 0)));
    printf("register %s\n", result(registers(netlink, cookie)));
    receives("nothing yet");
    mq_send(queue, "x", 1, 0);
    receives("a message");
    receives("once");
    char text[100];
    mq_receive(queue, text, sizeof text, 0);
    registers(netlink, cookie);
    mq_notify(queue, 0);
    receives("taken back");
    registers(netlink, cookie);
    mqd_t twice = mq_open(name, O_RDWR);
    mq_close(twice);
    receives("closed");
    registers(netlink, cookie);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        printf("in a child: %s %s\n", result(registers(netlink, cookie)), result(mq_notify(queue, 0)));
        fflush(stdout);
        mq_send(queue, "y", 1, 0);
        _exit(0);
    }
    waitpid(pid, 0, 0);
    receives("by the child");
    mq_receive(queue, text, sizeof text, 0);

    // All of a message, and who it is from.
    registers(netlink, cookie);
    mq_send(queue, "x", 1, 0);
    unsigned char part[8];
    struct iovec piece = {part, sizeof part};
    unsigned char from[20];
    struct msghdr message = {.msg_name = from, .msg_namelen = sizeof from, .msg_iov = &piece, .msg_iovlen = 1};
    printf("peek %s\n", result(recv(netlink, part, sizeof part, MSG_PEEK)));
    printf("part %s", result(recvmsg(netlink, &message, MSG_TRUNC)));
    printf(" cut %d from %d of %d bytes\n", (message.msg_flags & MSG_TRUNC) != 0, from[0], message.msg_namelen);
    printf("empty %s\n", result(recv(netlink, part, sizeof part, MSG_DONTWAIT)));
    mq_receive(queue, text, sizeof text, 0);
    struct stat st;
    printf("a socket %d\n", fstat(netlink, &st) == 0 && S_ISSOCK(st.st_mode));
    close(netlink);
    close(other);
    // Signal 0 is nobody's, but it is a registration.
    struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 0};
    printf("signal 0 %s", result(mq_notify(queue, &how)));
    printf(", again %s\n", result(mq_notify(queue, &how)));
    mq_notify(queue, 0);
    how.sigev_signo = 65;
    printf("signal 65 %s\n", result(mq_notify(queue, &how)));
    fflush(stdout);
}

int main(void)
{
    struct mq_attr attributes = {.mq_maxmsg = 5, .mq_msgsize = 100};
    snprintf(name, sizeof name, "/litebox-threads-%d", getpid());
    queue = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
    sem_init(&told, 0, 0);
    by_library();
    by_hand();
    mq_unlink(name);
    return 0;
}
