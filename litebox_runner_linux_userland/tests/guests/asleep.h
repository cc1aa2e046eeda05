// Waiting for a state instead of a time: what /proc says of threads (proc_pid_stat(5)).
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

// The letter of a thread's state; 0 when it is not there.
static __attribute__((unused)) char state_of(pid_t pid, pid_t tid)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1) state = 0;
    fclose(f);
    return state;
}
static __attribute__((unused)) void wait_for_state(pid_t pid, pid_t tid, char wanted)
{
    while (state_of(pid, tid) != wanted) usleep(500);
}
static __attribute__((unused)) void wait_asleep(pid_t pid, pid_t tid) { wait_for_state(pid, tid, 'S'); }
// Waits until so many other threads of this process are asleep.
static __attribute__((unused)) void wait_others_asleep(int wanted)
{
    int asleep = -1;
    while (asleep < wanted) {
        if (asleep >= 0) usleep(500);
        asleep = 0;
        DIR *tasks = opendir("/proc/self/task");
        for (struct dirent *e; tasks && (e = readdir(tasks));) {
            pid_t tid = atoi(e->d_name);
            if (tid > 0 && tid != syscall(SYS_gettid) && state_of(getpid(), tid) == 'S') asleep++;
        }
        if (tasks) closedir(tasks);
    }
}
