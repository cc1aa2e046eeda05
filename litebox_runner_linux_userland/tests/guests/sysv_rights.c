// Rights on System V objects: modes, groups and capabilities, for the superuser of a container too. Messages that are
// copied; figures of message queues.
#define _GNU_SOURCE
#include "result.h"
#include <grp.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif
struct objects { int segment, set, queue; };
struct message { long kind; char text[16]; };

// What the superuser of a container has.
static void like_a_container(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    syscall(SYS_capget, &header, data);
    data[0].effective = data[0].permitted &= 0xa80425fb;
    data[1].effective = data[1].permitted = data[0].inheritable = data[1].inheritable = 0;
    if (syscall(SYS_capset, &header, data)) printf("capset %s\n", strerrorname_np(errno));
}
static struct objects make(int mode) {
    return (struct objects){shmget(IPC_PRIVATE, 4096, IPC_CREAT | mode), semget(IPC_PRIVATE, 2, IPC_CREAT | mode), msgget(IPC_PRIVATE, IPC_CREAT | mode)};
}
static void drop(struct objects o) {
    printf("  remove %s", result(shmctl(o.segment, IPC_RMID, NULL))); say(semctl(o.set, 0, IPC_RMID)); say(msgctl(o.queue, IPC_RMID, NULL)); puts("");
}
static void use(struct objects o) {
    struct shmid_ds segment = {0};
    struct semid_ds set = {0};
    struct msqid_ds queue = {0};
    struct sembuf up = {0, 1, IPC_NOWAIT}, zero = {1, 0, IPC_NOWAIT};
    struct message message = {1, "text"};
    unsigned short values[2] = {0, 0};
    printf("  segment: stat %s", result(shmctl(o.segment, IPC_STAT, &segment)));
    void *at = shmat(o.segment, NULL, SHM_RDONLY);
    printf(" read %s", at == (void *)-1 ? strerrorname_np(errno) : "ok");
    if (at != (void *)-1) shmdt(at);
    at = shmat(o.segment, NULL, 0);
    printf(" write %s", at == (void *)-1 ? strerrorname_np(errno) : "ok");
    if (at != (void *)-1) shmdt(at);
    at = shmat(o.segment, NULL, SHM_EXEC | SHM_RDONLY);
    printf(" execute %s", at == (void *)-1 ? strerrorname_np(errno) : "ok");
    if (at != (void *)-1) shmdt(at);
    printf(" lock %s", result(shmctl(o.segment, SHM_LOCK, NULL))); say(shmctl(o.segment, SHM_UNLOCK, NULL));
    printf(" set %s\n", result(shmctl(o.segment, IPC_SET, &segment)));
    printf("  set: stat %s", result(semctl(o.set, 0, IPC_STAT, &set))); say(semctl(o.set, 0, GETVAL)); say(semctl(o.set, 0, GETALL, values));
    printf(" write"); say(semctl(o.set, 0, SETVAL, 0)); say(semctl(o.set, 0, SETALL, values)); say(semop(o.set, &up, 1));
    printf(" wait %s", result(semop(o.set, &zero, 1)));
    printf(" set %s\n", result(semctl(o.set, 0, IPC_SET, &set)));
    printf("  queue: stat %s send %s", result(msgctl(o.queue, IPC_STAT, &queue)), result(msgsnd(o.queue, &message, 4, IPC_NOWAIT)));
    printf(" receive %s", result(msgrcv(o.queue, &message, 16, 0, IPC_NOWAIT)));
    printf(" set %s\n", result(msgctl(o.queue, IPC_SET, &queue)));
}
// Objects of user 1001 and group 1002, used by others.
static void of_another(int mode) {
    int made[2], end[2];
    struct objects o;
    if (pipe(made) || pipe(end)) return;
    printf("mode %o\n", mode);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        close(end[1]);
        if (setresgid(1002, 1002, 1002) || setresuid(1001, 1001, 1001)) _exit(1);
        o = make(mode);
        if (write(made[1], &o, sizeof o) < 0 || read(end[0], &c, 1) < 0) _exit(2);
        drop(o);
        fflush(stdout);
        _exit(0);
    }
    if (read(made[0], &o, sizeof o) != sizeof o) return;
    printf(" the superuser\n");
    use(o);
    drop(o);
    gid_t group = 1002;
    setgroups(1, &group);
    printf(" in the group\n");
    use(o);
    setgroups(0, NULL);
    printf(" group of files\n");
    setfsgid(1002);
    use(o);
    setfsgid(0);
    close(end[1]);
    waitpid(pid, NULL, 0);
    close(end[0]);
    close(made[0]);
    close(made[1]);
}
static void copies(void) {
    struct message message = {7, "one"};
    int queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    msgsnd(queue, &message, 3, 0);
    message = (struct message){5, "second"};
    msgsnd(queue, &message, 6, 0);
    for (int at = -1; at < 3; at++) {
        memset(&message, 0, sizeof message);
        printf("copy of %d: %s", at, result(msgrcv(queue, &message, 16, at, MSG_COPY | IPC_NOWAIT)));
        printf(" %ld %s\n", message.kind, message.text);
    }
    printf("waiting %s", result(msgrcv(queue, &message, 16, 0, MSG_COPY))); say(msgrcv(queue, &message, 16, 0, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT));
    printf(" too long %s", result(msgrcv(queue, &message, 2, 0, MSG_COPY | IPC_NOWAIT)));
    printf(" cut %s", result(msgrcv(queue, &message, 2, 0, MSG_COPY | IPC_NOWAIT | MSG_NOERROR)));
    struct msqid_ds about;
    msgctl(queue, IPC_STAT, &about);
    printf(" left %ld of %d bytes, last received %d\n", (long)about.msg_qnum, (int)about.__msg_cbytes, about.msg_lrpid != 0);
    about.msg_qbytes = 1 << 20;
    printf("more than msgmnb %s", result(msgctl(queue, IPC_SET, &about)));
    about.msg_qbytes = 100;
    printf(" less %s", result(msgctl(queue, IPC_SET, &about)));
    about.msg_perm.uid = -1;
    printf(" nobody's %s\n", result(msgctl(queue, IPC_SET, &about)));
    printf("removed %s", result(msgctl(queue, IPC_RMID, NULL))); say(msgsnd(queue, &message, 1, 0)); puts("");
}
static void figures(void) {
    struct msginfo info;
    int most = 0;
    FILE *setting = fopen("/proc/sys/kernel/msgmni", "r");
    if (!setting || fscanf(setting, "%d", &most) != 1) return;
    fclose(setting);
    printf("figures %d", msgctl(0, IPC_INFO, (struct msqid_ds *)&info) >= 0);
    printf(" msgmni %d msgmax %d msgmnb %d msgssz %d msgseg %d", info.msgmni == most, info.msgmax, info.msgmnb, info.msgssz, info.msgseg);
    printf(" msgmap %d msgpool %d msgtql %d\n", info.msgmap, info.msgpool, info.msgtql);
    int queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    struct message message = {1, ""};
    msgsnd(queue, &message, 10, 0);
    printf("used %d", msgctl(0, MSG_INFO, (struct msqid_ds *)&info) >= 0);
    printf(" %d %d %d\n", info.msgpool >= 1, info.msgmap >= 1, info.msgtql >= 10);
    msgctl(queue, IPC_RMID, NULL);
}
int main(void) {
    if (geteuid() == 0) {
        like_a_container();
        of_another(0600);
        of_another(0640);
        of_another(0666);
        of_another(0060);
    }
    copies();
    figures();
    return 0;
}
