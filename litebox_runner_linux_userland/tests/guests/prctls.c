// prctl(2): memory that is not to be executed, machine checks, speculation; madvise of locked pages.
#include "result.h"
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SET_MDWE 65
#define GET_MDWE 66

static const char *mapped(int prot) {
    void *p = mmap(0, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? strerrorname_np(errno) : "ok";
}
static void denied(void) {
    printf("MDWE %s", result(prctl(GET_MDWE, 0, 0, 0, 0)));
    printf(", bad %s", result(prctl(SET_MDWE, 4, 0, 0, 0)));
    printf(" %s", result(prctl(SET_MDWE, 2, 0, 0, 0)));
    printf(" %s", result(prctl(SET_MDWE, 1, 1, 0, 0)));
    char *before = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *code = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf(", set %s", result(prctl(SET_MDWE, 1, 0, 0, 0)));
    printf(", again %s", result(prctl(SET_MDWE, 1, 0, 0, 0)));
    printf(", more %s", result(prctl(SET_MDWE, 3, 0, 0, 0)));
    printf(", off %s\n", result(prctl(SET_MDWE, 0, 0, 0, 0)));
    printf("rw %s, rx %s, rwx %s\n", mapped(3), mapped(5), mapped(7));
    printf("gains %s", result(mprotect(before, 4096, PROT_READ | PROT_EXEC)));
    printf(", keeps %s", result(mprotect(code, 4096, PROT_READ | PROT_EXEC)));
    printf(", loses %s", result(mprotect(code, 4096, PROT_READ)));
    printf(", gains again %s\n", result(mprotect(code, 4096, PROT_READ | PROT_EXEC)));
    fflush(stdout);
    if (fork() == 0) {
        printf("a child has it too %s\n", result(prctl(GET_MDWE, 0, 0, 0, 0)));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}
int main(void) {
    printf("PR_MCE_KILL_GET %s", result(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0)));
    printf(", early %s", result(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0)));
    printf(" %s", result(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0)));
    printf(", bad %s", result(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, 9, 0, 0)));
    printf(" %s", result(prctl(PR_MCE_KILL, 5, 0, 0, 0)));
    printf(" %s", result(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 1, 0, 0)));
    printf(", cleared %s", result(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0)));
    printf(" %s\n", result(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0)));
    printf("PR_GET_SPECULATION_CTRL of nothing %s", result(prctl(PR_GET_SPECULATION_CTRL, 99, 0, 0, 0)));
    printf(", with more %s\n", result(prctl(PR_GET_SPECULATION_CTRL, 0, 1, 0, 0)));
    printf("perf events %s\n", result(prctl(PR_TASK_PERF_EVENTS_DISABLE, 0, 0, 0, 0)));
    char *locked = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(locked, 1, 8192);
    mlock(locked, 4096);
    printf("MADV_DONTNEED of locked pages %s", result(madvise(locked, 8192, MADV_DONTNEED)));
    printf(", MADV_DONTNEED_LOCKED %s", result(madvise(locked, 8192, 24)));
    printf(": %d %d\n", locked[0], locked[4096]);
    denied();
    return 0;
}
