// System V shared memory, semaphores and message queues: keys, permissions, sharing between processes, waiting,
// removal, errors.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)
#define GOOD(call) do { errno = 0; long result_ = (long)(call); printf("%s: %s, %s\n", #call, result_ == -1 ? "no" : "yes", strerror(errno)); } while (0)

static key_t key;
static int in_child(void (*what)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) what(), fflush(stdout), _exit(0);
    int status;
    while (waitpid(pid, &status, 0) < 0);
    return status;
}
static int id;
static char *map;

static void child_writes(void) {
    strcpy(map + 5000, "from the child");
    char *again = shmat(id, NULL, SHM_RDONLY);
    printf("child reads: %s\n", again);
    struct shmid_ds ds;
    shmctl(id, IPC_STAT, &ds);
    printf("child sees %ld attached\n", (long)ds.shm_nattch);
}
static void show_segment(void) {
    struct shmid_ds ds;
    if (shmctl(id, IPC_STAT, &ds)) {
        perror("IPC_STAT");
        return;
    }
    printf("%ld bytes, %ld attached, mode %o, key %d, mine %d %d, created by me %d, times %d %d %d\n", (long)ds.shm_segsz, (long)ds.shm_nattch,
           ds.shm_perm.mode, ds.shm_perm.__key == key, ds.shm_perm.uid == geteuid(), ds.shm_perm.cgid == getegid(),
           ds.shm_cpid == getpid(), ds.shm_atime != 0, ds.shm_dtime != 0, ds.shm_ctime != 0);
}
static void shared_memory(void) {
    SHOW(shmget(key, 8192, 0));
    SHOW(shmget(key, 0, IPC_CREAT | 0600));
#ifdef __x86_64__
    SHOW(shmget(key, SIZE_MAX, IPC_CREAT | 0600));
#endif
    id = shmget(key, 8192, IPC_CREAT | 0640);
    GOOD(id);
    SHOW(shmget(key, 8192, IPC_CREAT | IPC_EXCL | 0600));
    SHOW(shmget(key, 8193, 0) < 0);
    SHOW(shmget(key, 10, 0) == id);
    show_segment();
    SHOW(shmat(-1, NULL, 0));
    SHOW(shmat(id, (void *)4097, 0));
    SHOW(shmat(id, NULL, SHM_REMAP));
    SHOW(shmat(id, (void *)((long)shared_memory & ~4095L), 0));
    map = shmat(id, NULL, 0);
    GOOD((long)map);
    strcpy(map, "hello");
    show_segment();
    char *other = shmat(id, NULL, SHM_RDONLY);
    printf("%s\n", other);
    SHOW(mprotect(other, 4096, PROT_READ | PROT_WRITE));
    struct shm_info all;
    SHOW(shmctl(0, SHM_INFO, (void *)&all) >= 0);
    printf("there %d, in memory %d\n", all.shm_tot >= 2, all.shm_rss >= 1);
    show_segment();
    char *place = mmap(NULL, 16384, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SHOW(shmat(id, place, 0));
    SHOW(shmat(id, place + 5, SHM_RND | SHM_REMAP) == place);
    printf("%s\n", place);
    SHOW(shmdt(place));
    SHOW(shmdt(place));
    SHOW(shmdt(place + 5));
    SHOW(shmdt(other));
    printf("%d\n", in_child(child_writes));
    printf("parent reads: %s\n", map + 5000);
    show_segment();
    char line[300], want[64];
    snprintf(want, sizeof want, "/SYSV%08x (deleted)", key);
    FILE *maps = fopen("/proc/self/maps", "r");
    int shown = 0;
    while (fgets(line, sizeof line, maps)) shown += strstr(line, want) != NULL;
    fclose(maps);
    printf("in maps %d\n", shown);
    struct shmid_ds ds;
    shmctl(id, IPC_STAT, &ds);
    ds.shm_perm.mode = 0600;
    SHOW(shmctl(id, IPC_SET, &ds));
    SHOW(shmctl(id, SHM_LOCK, NULL));
    show_segment();
    SHOW(shmctl(id, SHM_UNLOCK, NULL));
    SHOW(shmctl(id, 77, NULL));
    SHOW(shmctl(-1, IPC_STAT, &ds));
    SHOW(shmctl(id, IPC_STAT, (void *)8));
    SHOW(shmctl(id, IPC_RMID, NULL));
    show_segment();
    SHOW(shmget(key, 8192, 0));
    printf("%s\n", map);
    munmap(map, 4096);
    show_segment();
    SHOW(shmdt(map));
    SHOW(shmdt(map + 4096));
    munmap(map + 4096, 4096);
    SHOW(shmctl(id, IPC_STAT, &ds));
    id = shmget(IPC_PRIVATE, 100, 0600);
    GOOD(id);
    SHOW(shmctl(id, IPC_RMID, NULL));
    SHOW(shmat(id, NULL, 0));
}

static long op(int n, int by, int flags) {
    struct sembuf b = {n, by, flags};
    return semop(id, &b, 1);
}
static void child_undoes(void) {
    SHOW(op(0, 2, SEM_UNDO));
    SHOW(op(1, -1, SEM_UNDO));
    SHOW(semctl(id, 0, GETVAL));
}
static void child_adds_later(void) {
    poll(NULL, 0, 50);
    op(0, 3, 0);
}
static void child_removes_later(void) {
    poll(NULL, 0, 50);
    printf("%d wait\n", semctl(id, 0, GETNCNT));
    fflush(stdout);
    semctl(id, 0, IPC_RMID);
}
static void on_alarm(int s) {}
static void semaphores(void) {
    SHOW(semget(key, 3, 0));
    SHOW(semget(key, 0, IPC_CREAT | 0600));
    SHOW(semget(key, 40000, IPC_CREAT | 0600));
    id = semget(key, 3, IPC_CREAT | 0600);
    GOOD(id);
    SHOW(semget(key, 4, 0));
    SHOW(semget(key, 0, 0) == id);
    SHOW(semctl(id, 0, GETVAL));
    SHOW(semctl(id, 3, GETVAL));
    SHOW(semctl(id, -1, GETVAL));
    SHOW(semctl(id, 0, SETVAL, 5));
    SHOW(semctl(id, 0, SETVAL, -1));
    SHOW(semctl(id, 0, SETVAL, 32768));
    SHOW(semctl(id, 0, GETPID) == getpid());
    unsigned short all[3] = {1, 2, 3}, back[3] = {0};
    SHOW(semctl(id, 0, SETALL, all));
    SHOW(semctl(id, 0, GETALL, back));
    printf("%d %d %d\n", back[0], back[1], back[2]);
    all[1] = 40000;
    SHOW(semctl(id, 0, SETALL, all));
    SHOW(semctl(id, 0, SETALL, 8));
    SHOW(semctl(id, 0, 99));
    SHOW(semctl(-1, 0, GETVAL));
    SHOW(op(0, -1, 0));
    SHOW(op(0, -1, IPC_NOWAIT));
    SHOW(op(0, 0, IPC_NOWAIT));
    SHOW(op(1, 0, IPC_NOWAIT));
    SHOW(op(3, 1, 0));
    SHOW(op(0, 32767, 0));
    SHOW(op(0, 1, 0));
    SHOW(op(0, -32767, 0));
    SHOW(semop(id, NULL, 0));
    SHOW(semop(id, (void *)8, 1));
    struct sembuf many[501] = {0};
    SHOW(semop(id, many, 501));
    SHOW(semop(id, many, 500));
    // All or nothing.
    struct sembuf both[2] = {{1, -1, IPC_NOWAIT}, {0, -1, IPC_NOWAIT}};
    SHOW(semop(id, both, 2));
    SHOW(semctl(id, 1, GETVAL));
    struct sembuf chain[3] = {{0, 2, 0}, {0, -2, 0}, {0, 0, 0}};
    SHOW(semop(id, chain, 3));
    printf("%d\n", in_child(child_undoes));
    SHOW(semctl(id, 0, GETVAL));
    SHOW(semctl(id, 1, GETVAL));
    struct timespec limit = {0, 20000000}, bad = {0, -1};
    struct sembuf take = {0, -3, 0};
    SHOW(semtimedop(id, &take, 1, &limit));
    SHOW(semtimedop(id, &take, 1, &bad));
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) child_adds_later(), _exit(0);
    SHOW(semop(id, &take, 1));
    waitpid(pid, NULL, 0);
    struct sigaction act = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &act, NULL);
    alarm(1);
    SHOW(semop(id, &take, 1));
    struct semid_ds ds;
    SHOW(semctl(id, 0, IPC_STAT, &ds));
    printf("%ld members, mode %o, times %d %d\n", (long)ds.sem_nsems, ds.sem_perm.mode, ds.sem_otime != 0, ds.sem_ctime != 0);
    fflush(stdout);
    pid = fork();
    if (!pid) child_removes_later(), _exit(0);
    SHOW(semop(id, &take, 1));
    waitpid(pid, NULL, 0);
    SHOW(semop(id, &take, 1));
    SHOW(semctl(id, 0, IPC_RMID));
}

static struct { long type; char text[10000]; } m;
static long put(long type, const char *text, int flags) {
    m.type = type;
    strcpy(m.text, text);
    return msgsnd(id, &m, strlen(text), flags);
}
static long get(long type, size_t room, int flags) {
    memset(&m, 0, sizeof m);
    long n = msgrcv(id, &m, room, type, flags);
    if (n >= 0) printf("type %ld: %s\n", m.type, m.text);
    return n;
}
static void child_sends_later(void) {
    poll(NULL, 0, 50);
    put(9, "late", 0);
}
static void child_takes_later(void) {
    poll(NULL, 0, 50);
    msgrcv(id, &m, 10000, 0, 0);
}
static void child_ends_queue(void) {
    poll(NULL, 0, 50);
    msgctl(id, IPC_RMID, NULL);
}
static void messages(void) {
    SHOW(msgget(key, 0));
    id = msgget(key, IPC_CREAT | 0600);
    GOOD(id);
    SHOW(msgget(key, IPC_CREAT | IPC_EXCL));
    SHOW(msgget(key, 0) == id);
    SHOW(put(0, "x", 0));
    SHOW(put(-1, "x", 0));
    SHOW(msgsnd(id, &m, 8193, 0));
    SHOW(msgsnd(id, &m, -1, 0));
    SHOW(msgsnd(id, (void *)8, 1, 0));
    SHOW(msgsnd(-1, &m, 1, 0));
    SHOW(get(0, 100, IPC_NOWAIT));
    SHOW(put(3, "three", 0));
    SHOW(put(1, "one", 0));
    SHOW(put(2, "two", 0));
    SHOW(put(1, "uno", 0));
    SHOW(put(5, "", 0));
    SHOW(get(2, 100, 0));
    SHOW(get(-2, 100, 0));
    SHOW(get(3, 100, MSG_EXCEPT));
    SHOW(get(4, 100, IPC_NOWAIT));
    SHOW(get(0, 2, 0));
    SHOW(get(0, 2, MSG_NOERROR));
    SHOW(get(0, 100, 0));
    SHOW(put(1, "left", 0));
    SHOW(msgrcv(id, &m, -1, 0, IPC_NOWAIT));
    SHOW(get(0, 100, IPC_NOWAIT));
    long sent = 0;
    m.type = 1;
    while (!msgsnd(id, &m, 1000, IPC_NOWAIT)) sent++;
    printf("%ld before %s\n", sent, strerror(errno));
    struct msqid_ds ds;
    SHOW(msgctl(id, IPC_STAT, &ds));
    printf("%ld messages, %ld bytes of %ld, mode %o, mine %d %d\n", (long)ds.msg_qnum, (long)ds.__msg_cbytes, (long)ds.msg_qbytes,
           ds.msg_perm.mode, ds.msg_lspid == getpid(), ds.msg_lrpid == getpid());
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) child_takes_later(), _exit(0);
    SHOW(msgsnd(id, &m, 1000, 0));
    waitpid(pid, NULL, 0);
    ds.msg_qbytes = 2000;
    SHOW(msgctl(id, IPC_SET, &ds));
    SHOW(msgsnd(id, &m, 1, IPC_NOWAIT));
    while (msgrcv(id, &m, 10000, 0, IPC_NOWAIT) >= 0);
    pid = fork();
    if (!pid) child_sends_later(), _exit(0);
    SHOW(get(9, 100, 0));
    waitpid(pid, NULL, 0);
    alarm(1);
    SHOW(get(0, 100, 0));
    SHOW(msgctl(id, 99, &ds));
    fflush(stdout);
    pid = fork();
    if (!pid) child_ends_queue(), _exit(0);
    SHOW(get(0, 100, 0));
    waitpid(pid, NULL, 0);
    SHOW(get(0, 100, 0));
}

// The row of one object in /proc/sysvipc: its key, permissions and what follows them up to the owners.
static void listed(const char *path, int wanted, int columns) {
    FILE *list = fopen(path, "r");
    if (!list) {
        perror(path);
        return;
    }
    char line[512];
    printf("%s begins with a heading: %d\n", path, fgets(line, sizeof line, list) && strstr(line, "perms") != NULL);
    int found = 0;
    while (fgets(line, sizeof line, list)) {
        long row_key, row_id;
        unsigned mode;
        int at;
        if (sscanf(line, "%ld %ld %o%n", &row_key, &row_id, &mode, &at) != 3 || row_id != wanted) continue;
        found = 1;
        printf("key %d mode %o:", row_key == IPC_PRIVATE, mode);
        char *word = strtok(line + at, " \n");
        for (int i = 0; word && i < columns; i++, word = strtok(NULL, " \n")) printf(" %s", word);
        printf("\n");
    }
    printf("found %d\n", found);
    fclose(list);
}
static void listings(void) {
    struct { long type; char text[10]; } message = {1, "listed"};
    int segment = shmget(IPC_PRIVATE, 5000, 0640), set = semget(IPC_PRIVATE, 3, 0604), queue = msgget(IPC_PRIVATE, 0600);
    SHOW(msgsnd(queue, &message, 6, 0));
    listed("/proc/sysvipc/shm", segment, 1);
    listed("/proc/sysvipc/sem", set, 1);
    listed("/proc/sysvipc/msg", queue, 2);
    shmctl(segment, IPC_RMID, NULL), semctl(set, 0, IPC_RMID), msgctl(queue, IPC_RMID, NULL);
    listed("/proc/sysvipc/msg", queue, 2);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    key = 0x4c420000 + getpid() % 65536;
    shared_memory(), semaphores(), messages(), listings();
    return 0;
}
