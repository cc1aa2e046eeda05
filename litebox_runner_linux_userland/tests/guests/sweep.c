// Each line of the input is a system call: name, number, and a letter for the kind of each argument. It is made with
// combinations of bad and good arguments, each in a process of its own, and what it answers is printed: the name of an
// error, `ok`, or the signal that ended it.
//@ helper
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

struct value { const char *name; long value; };
struct kind { char letter; int count; struct value values[8]; };

enum { FILE_RO = 100, FILE_WO, PIPE_IN, PIPE_OUT, DIRECTORY, EPOLL, SOCKET };
enum { MOST = 120 };

static char buffer[4096] __attribute__((aligned(4096)));
static const char text_file[] = "file", text_absent[] = "absent", text_empty[] = "";

static struct kind kinds[] = {
    {'D', 8, {{"none", -1}, {"closed", 99}, {"reader", FILE_RO}, {"writer", FILE_WO}, {"pipe", PIPE_IN}, {"dir", DIRECTORY}, {"epoll", EPOLL}, {"socket", SOCKET}}},
    {'A', 4, {{"AT_FDCWD", AT_FDCWD}, {"closed", 99}, {"dir", DIRECTORY}, {"reader", FILE_RO}}},
    {'S', 5, {{"NULL", 0}, {"outside", -4096}, {"empty", (long)text_empty}, {"absent", (long)text_absent}, {"file", (long)text_file}}},
    {'P', 3, {{"NULL", 0}, {"outside", -4096}, {"zeros", (long)buffer}}},
    {'Q', 3, {{"0", 0}, {"1", 1}, {"outside", -4096}}},
    {'Z', 4, {{"0", 0}, {"8", 8}, {"-1", -1}, {"huge", 1L << 40}}},
    {'N', 3, {{"0", 0}, {"-1", -1}, {"odd", 0x7fffffff}}},
    {'W', 3, {{"0", 0}, {"-1", -1}, {"most", 0x7fffffffffffffff}}},
};

static const struct kind *kind_of(char letter) {
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) if (kinds[i].letter == letter) return &kinds[i];
    exit(1);
}
static void end_wait(int signal) { (void)signal; }
static void open_files(void) {
    int pair[2];
    mkdir("dir", 0755);
    close(open("file", O_CREAT | O_WRONLY, 0644));
    dup2(open("file", O_RDONLY), FILE_RO);
    dup2(open("file", O_WRONLY), FILE_WO);
    dup2(open("dir", O_RDONLY | O_DIRECTORY), DIRECTORY);
    if (pipe2(pair, O_NONBLOCK)) exit(1);
    dup2(pair[0], PIPE_IN);
    dup2(pair[1], PIPE_OUT);
    close(pair[0]);
    close(pair[1]);
    dup2(epoll_create1(0), EPOLL);
    dup2(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), SOCKET);
    for (int fd = 3; fd < 20; fd++) close(fd);
}
// A process that makes one call.
static void make_call(long number, const long *a, int *answer, int round) {
    char dir[32];
    snprintf(dir, sizeof dir, "call%d", round);
    mkdir(dir, 0755);
    if (chdir(dir)) _exit(1);
    open_files();
    // Whoever waits gives up, again and again.
    struct sigaction action = {.sa_handler = end_wait};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval soon = {{0, 20000}, {0, 20000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    long r = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    *answer = r < 0 && r >= -1 ? errno : 0;
    _exit(0);
}
int main(void) {
    static char line[200];
    // What is made in other namespaces of the host goes with them.
    if (unshare(CLONE_NEWIPC | CLONE_NEWUTS)) errno = 0;
    int *answer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int round = 0;
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    while (fgets(line, sizeof line, stdin)) {
        char name[64], letters[16] = "";
        long number;
        if (sscanf(line, "%63s %ld %15s", name, &number, letters) < 2) continue;
        int count = strlen(letters);
        long combinations = 1;
        for (int i = 0; i < count; i++) combinations *= kind_of(letters[i])->count;
        // A fixed step that meets all of them evenly.
        long step = combinations > MOST ? combinations / MOST | 1 : 1;
        for (long c = 0; c < combinations; c += step) {
            long a[6] = {0}, rest = c;
            char shown[200];
            int at = 0;
            shown[0] = 0;
            for (int i = 0; i < count; i++) {
                const struct kind *kind = kind_of(letters[i]);
                const struct value *v = &kind->values[rest % kind->count];
                rest /= kind->count;
                a[i] = v->value;
                at += snprintf(shown + at, sizeof shown - at, "%s%s", i ? ", " : "", v->name);
            }
            *answer = -1;
            fflush(stdout);
            pid_t pid = fork();
            if (pid == 0) make_call(number, a, answer, round);
            int status;
            while (waitpid(pid, &status, 0) < 0) continue;
            if (WIFSIGNALED(status)) printf("%s(%s) = SIG%s\n", name, shown, sigabbrev_np(WTERMSIG(status)));
            else if (*answer < 0) printf("%s(%s) = ended\n", name, shown);
            else printf("%s(%s) = %s\n", name, shown, *answer ? strerrorname_np(*answer) : "ok");
            round++;
        }
    }
    return 0;
}
