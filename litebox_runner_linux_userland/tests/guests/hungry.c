//@ helper
// Uses memory in many ways, for the tests of limits: `hungry WAY ...`; sizes are in MiB. Some ways jump to the
// host-call gadget, whose address --test-hostile passes in an auxiliary value: they do what a kernel in the wrong hands
// could do.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_LITEBOX 0x6c626f78
#define MIB (1ul << 20)

static long host_call(long number, long a, long b, long c, long d, long e, long f) {
    long result, gadget = getauxval(AT_LITEBOX); // a call: before the registers are set
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    asm volatile("call *%[gadget]"
                 : "=a"(result)
                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9), [gadget] "b"(gadget)
                 : "rcx", "r11", "memory");
    return result;
}

static char *fresh(unsigned long bytes, int flags) {
    char *at = mmap(0, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return at;
}

static void fill(char *at, unsigned long bytes) {
    for (unsigned long i = 0; i < bytes; i += 4096)
        at[i] = 1 + (i >> 12) % 100;
}

static unsigned long sum(const char *at, unsigned long bytes) {
    unsigned long sum = 0;
    for (unsigned long i = 0; i < bytes; i += 4096)
        sum += at[i];
    return sum;
}

static int wait_all(void) {
    int status, worst = 0;
    while (wait(&status) > 0)
        if (status)
            worst = status;
    return worst;
}

// `n` children that share what the parent has, and read it for `seconds`.
static int workers(int n, unsigned long bytes, int seconds) {
    char *data = fresh(bytes, MAP_PRIVATE);
    fill(data, bytes);
    for (int i = 0; i < n; i++)
        if (fork() == 0) {
            for (int round = 0; round < seconds * 10; round++) {
                if (sum(data, bytes) == 0)
                    _exit(1);
                usleep(100000);
            }
            _exit(0);
        }
    return wait_all();
}

// Children that come and go beside them.
static int coming_and_going(int rounds) {
    for (int i = 0; i < rounds; i++) {
        if (fork() == 0)
            _exit(0);
        wait(0);
    }
    return 0;
}

static int shared(int n, unsigned long bytes) {
    char *data = fresh(bytes, MAP_SHARED);
    for (int i = 0; i < n; i++)
        if (fork() == 0) {
            fill(data, bytes);
            sleep(2);
            _exit(0);
        }
    return wait_all();
}

// Each process has a shared mapping of its own.
static int shared_each(int n, unsigned long bytes) {
    for (int i = 0; i < n; i++)
        if (fork() == 0) {
            fill(fresh(bytes, MAP_SHARED), bytes);
            sleep(20);
            _exit(0);
        }
    return wait_all();
}

static int files(long n) {
    char name[64];
    for (long i = 0; i < n; i++) {
        snprintf(name, sizeof name, "/tmp/a-name-that-is-not-short-%ld", i);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0) {
            perror("open");
            return 1;
        }
        close(fd);
    }
    return 0;
}

// Tables of pages that are no memory: all of them show the one page of zeros.
static int tables(unsigned long bytes) {
    char *at = mmap(0, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    madvise(at, bytes, MADV_NOHUGEPAGE);
    unsigned long sum = 0;
    for (unsigned long i = 0; i < bytes; i += 2 * MIB)
        sum += *(volatile char *)(at + i);
    sleep(5);
    return sum != 0;
}

static unsigned long hidden_bytes;

// A child of a thread, which the supervisor does not know of.
static void *hidden(void *unused) {
    if (host_call(56, SIGCHLD, 0, 0, 0, 0, 0) == 0) {
        char *at = (char *)host_call(9, 0, hidden_bytes, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        fill(at, hidden_bytes);
        for (;;)
            host_call(7, 0, 0, 1000, 0, 0, 0);
    }
    return unused;
}

static int with_hidden_child(unsigned long bytes) {
    pthread_t thread;
    hidden_bytes = bytes;
    pthread_create(&thread, 0, hidden, 0);
    pthread_join(thread, 0);
    sleep(20);
    return 0;
}

// Space of the files in memory, asked of the host itself.
static int allocate(unsigned long bytes) {
    for (int fd = 3; fd < 64; fd++) {
        struct stat st;
        if (host_call(5, fd, (long)&st, 0, 0, 0, 0) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0)
            printf("fallocate %ld\n", host_call(285, fd, 0, 0, bytes, 0, 0));
    }
    fflush(stdout);
    sleep(20);
    return 0;
}

static int idle(int n) {
    for (int i = 0; i < n; i++) {
        int pid = fork();
        if (pid < 0) {
            printf("fork %d: %s\n", i, strerror(errno));
            break;
        }
        if (pid == 0) {
            pause();
            _exit(0);
        }
    }
    puts("ready");
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) > 0)
        ;
    return 0;
}

// Processes asked of the host itself, until it gives no more.
static int storm(int n) {
    int made = 0;
    for (; made < n; made++) {
        long pid = host_call(56, 0x8000 | SIGCHLD, 0, 0, 0, 0, 0); // CLONE_PARENT
        if (pid == 0)
            for (;;)
                host_call(7, 0, 0, 1000, 0, 0, 0);
        if (pid < 0)
            break;
    }
    printf("made %d\n", made);
    return 0;
}

static void *sleeper(void *unused) {
    pause();
    return unused;
}

// `n` threads of this process, and before that `others` of another one.
static int threads(int n, int others) {
    int done[2];
    if (others && pipe(done) == 0 && fork() == 0) {
        threads(others, 0);
        fflush(stdout);
        close(done[1]);
        pause();
    }
    char byte;
    if (others) {
        close(done[1]);
        read(done[0], &byte, 1); // the end: the other one is ready
    }
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 << 10);
    int made = 0;
    for (pthread_t thread; made < n && pthread_create(&thread, &attr, sleeper, 0) == 0;)
        made++;
    printf("made %d\n", made);
    return 0;
}

int main(int argc, char **argv) {
    const char *way = argv[1];
    long a = argc > 2 ? atol(argv[2]) : 0, b = argc > 3 ? atol(argv[3]) : 0, c = argc > 4 ? atol(argv[4]) : 0;
    int status = 2;
    if (!strcmp(way, "private")) {
        fill(fresh(a * MIB, MAP_PRIVATE), a * MIB);
        sleep(b);
        status = 0;
    } else if (!strcmp(way, "workers"))
        status = workers(a, b * MIB, c);
    else if (!strcmp(way, "churn")) {
        if (fork() == 0)
            _exit(coming_and_going(2000));
        status = workers(a, b * MIB, c);
    } else if (!strcmp(way, "shared"))
        status = shared(a, b * MIB);
    else if (!strcmp(way, "shared-each"))
        status = shared_each(a, b * MIB);
    else if (!strcmp(way, "files"))
        status = files(a);
    else if (!strcmp(way, "tables"))
        status = tables(a * MIB);
    else if (!strcmp(way, "hidden"))
        status = with_hidden_child(a * MIB);
    else if (!strcmp(way, "allocate"))
        status = allocate(a * MIB);
    else if (!strcmp(way, "idle"))
        status = idle(a);
    else if (!strcmp(way, "storm"))
        status = storm(a);
    else if (!strcmp(way, "threads"))
        status = threads(a, b);
    printf("%s %d\n", way, status);
    return status != 0;
}
