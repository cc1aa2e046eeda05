// Two programs of one pod, or of one host: `offer` makes what others find by a name or a number, and says "offered";
// `look` says what it finds of it. Both are given a number that nobody else uses.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <mqueue.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int number;

static struct sockaddr_in loopback(void) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(20000 + number % 10000),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static socklen_t abstract(struct sockaddr_un *at) {
    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    return offsetof(struct sockaddr_un, sun_path) + 1 + sprintf(at->sun_path + 1, "neighbours-%d", number);
}

static const char *queue(void) {
    static char name[32];
    sprintf(name, "/neighbours-%d", number);
    return name;
}

static void check(int ok, const char *what) {
    if (ok) return;
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static void offer(void) {
    struct sockaddr_in in = loopback();
    struct sockaddr_un un;
    socklen_t len = abstract(&un);
    int tcp = socket(AF_INET, SOCK_STREAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0), one = 1;
    setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    check(bind(tcp, (struct sockaddr *)&in, sizeof in) == 0 && listen(tcp, 5) == 0, "127.0.0.1");
    check(bind(local, (struct sockaddr *)&un, len) == 0 && listen(local, 5) == 0, "abstract");
    int segment = shmget(number, 4096, IPC_CREAT | 0600), sets = semget(number, 1, IPC_CREAT | 0600);
    int messages = msgget(number, IPC_CREAT | 0600);
    check(segment >= 0 && sets >= 0 && messages >= 0, "System V");
    strcpy(shmat(segment, NULL, 0), "shared");
    mqd_t posix = mq_open(queue(), O_CREAT | O_RDWR, 0600, NULL);
    check(posix >= 0, "mq_open");
    puts("offered");
    fflush(stdout);
    // Until nobody is left who may ask for more.
    while (getchar() != EOF) {
    }
    shmctl(segment, IPC_RMID, NULL);
    semctl(sets, 0, IPC_RMID);
    msgctl(messages, IPC_RMID, NULL);
    mq_unlink(queue());
}

static void found(const char *what, int ok) { printf("%s: %s\n", what, ok ? "found" : strerrorname_np(errno)); }

static void look(void) {
    struct sockaddr_in in = loopback();
    struct sockaddr_un un;
    socklen_t len = abstract(&un);
    found("127.0.0.1", connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&in, sizeof in) == 0);
    found("abstract socket", connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&un, len) == 0);
    int segment = shmget(number, 4096, 0600);
    found("shared memory", segment >= 0 && strcmp(shmat(segment, NULL, SHM_RDONLY), "shared") == 0);
    found("semaphores", semget(number, 1, 0600) >= 0);
    found("message queue", msgget(number, 0600) >= 0);
    found("POSIX message queue", mq_open(queue(), O_RDONLY) >= 0);
}

int main(int argc, char **argv) {
    number = argc > 2 ? atoi(argv[2]) : 0;
    if (number > 0 && strcmp(argv[1], "offer") == 0) offer();
    if (number > 0 && strcmp(argv[1], "look") == 0) look();
    return number > 0 ? 0 : 2;
}
