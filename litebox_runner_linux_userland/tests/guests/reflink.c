// Sharing data between files (ioctl_ficlone(2), ioctl_fideduperange(2)) that lie in memory: none can, and what is wrong
// beside that is said first.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "result.h"

static void clone_of(const char *what, int to, long from) { printf("%s: %s\n", what, result(ioctl(to, FICLONE, from))); }

int main(void)
{
    int one = memfd_create("one", 0), two = memfd_create("two", 0), null = open("/dev/null", O_RDWR), dir = open("/", O_RDONLY);
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", one);
    int reads = open(path, O_RDONLY), writes = open(path, O_WRONLY), appends = open(path, O_RDWR | O_APPEND), names = open(path, O_PATH);
    int ends[2];
    if (pipe(ends) || ftruncate(one, 100) || ftruncate(two, 100)) perror("files");
    clone_of("one of two", one, two);
    clone_of("one of itself", one, one);
    clone_of("no descriptor", one, 999);
    clone_of("a name alone", one, names);
    clone_of("to a name alone", names, one);
    clone_of("to what is read", reads, two);
    clone_of("of what is written", one, writes);
    clone_of("to what is appended to", appends, two);
    clone_of("of a pipe", one, ends[0]);
    clone_of("to a pipe", ends[1], one);
    clone_of("of a pipe to itself", ends[1], ends[0]);
    clone_of("of a device", one, null);
    clone_of("of a device to itself", null, null);
    clone_of("of a directory", one, dir);
    clone_of("of a directory to itself", dir, dir);
    struct file_clone_range range = {two, 0, 0, 0};
    printf("range: %s", result(ioctl(one, FICLONERANGE, &range)));
    range.src_fd = -1;
    printf(" no descriptor %s", result(ioctl(one, FICLONERANGE, &range)));
    printf(" nowhere %s\n", result(ioctl(one, FICLONERANGE, 8L)));
    struct file_dedupe_range *dedupe = calloc(1, sizeof *dedupe + sizeof *dedupe->info);
    dedupe->dest_count = 1;
    dedupe->src_length = 100;
    dedupe->info[0].dest_fd = two;
    printf("dedupe: %s", result(ioctl(one, FIDEDUPERANGE, dedupe)));
    printf(" written %s", result(ioctl(writes, FIDEDUPERANGE, dedupe)));
    printf(" pipe %s", result(ioctl(ends[0], FIDEDUPERANGE, dedupe)));
    printf(" directory %s", result(ioctl(dir, FIDEDUPERANGE, dedupe)));
    printf(" nowhere %s", result(ioctl(one, FIDEDUPERANGE, 8L)));
    dedupe->reserved2 = 1;
    printf(" reserved %s", result(ioctl(one, FIDEDUPERANGE, dedupe)));
    dedupe->dest_count = 1000;
    printf(" many %s\n", result(ioctl(one, FIDEDUPERANGE, dedupe)));
    return 0;
}
