// What /sys says of the processor's caches, and directories there that tools look for.
#include "result.h"
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHES "/sys/devices/system/cpu/cpu0/cache"

static void show(const char *index, const char *name)
{
    char path[200], line[100] = "";
    snprintf(path, sizeof path, CACHES "/%s/%s", index, name);
    FILE *f = fopen(path, "r");
    if (f && fgets(line, sizeof line, f)) line[strcspn(line, "\n")] = 0;
    printf(" %s=%s", name, f ? line : "none");
    if (f) fclose(f);
}
static int by_name(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }
int main(void)
{
    char *names[32];
    int count = 0;
    DIR *dir = opendir(CACHES);
    for (struct dirent *e; dir && count < 32 && (e = readdir(dir));)
        if (!strncmp(e->d_name, "index", 5)) names[count++] = strdup(e->d_name);
    qsort(names, count, sizeof *names, by_name);
    for (int i = 0; i < count; i++) {
        printf("%s:", names[i]);
        show(names[i], "level");
        show(names[i], "type");
        show(names[i], "size");
        show(names[i], "coherency_line_size");
        show(names[i], "number_of_sets");
        show(names[i], "physical_line_partition");
        show(names[i], "ways_of_associativity");
        putchar('\n');
    }
    printf("behind the last: %s\n", result(access(CACHES "/index16", F_OK)));
    printf("of sysconf: %ld\n", sysconf(_SC_LEVEL1_DCACHE_LINESIZE));
    const char *others[] = {"/sys/dev/block", "/sys/dev/char", "/sys/class/block", "/sys/block"};
    struct stat st;
    for (int i = 0; i < 4; i++) printf("%s: %s\n", others[i], result(stat(others[i], &st)));
    return 0;
}
