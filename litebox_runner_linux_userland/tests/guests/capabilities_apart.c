// Capabilities that concern files, one at a time: who has one of them may do what it says and no more. What writing and
// giving away take from a file.
//@ volumes: memory cow
#include "result.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void hold(int capability) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    prctl(PR_SET_KEEPCAPS, 1);
    setgroups(0, NULL);
    if (setresgid(99, 99, 99) || setresuid(99, 99, 99)) _exit(1);
    if (capability >= 0) data[capability / 32].effective = data[capability / 32].permitted = 1u << capability % 32;
    if (syscall(SYS_capset, &header, data)) _exit(2);
}
static void show(const char *name) {
    struct stat st;
    if (lstat(name, &st)) printf(" [%s %s]", name, strerrorname_np(errno));
    else printf(" [%o %d.%d]", st.st_mode & 07777, st.st_uid, st.st_gid);
}
static void everything(void) {
    char text[64];
    printf("  read %s,", open("secret", O_RDONLY) < 0 ? strerrorname_np(errno) : "ok");
    printf(" write %s,", open("secret", O_WRONLY) < 0 ? strerrorname_np(errno) : "ok");
    printf(" search %s,", result(access("closed/in", F_OK)));
    printf(" list %s,", open("closed", O_RDONLY | O_DIRECTORY) < 0 ? strerrorname_np(errno) : "ok");
    printf(" make %s,", result(mkdir("closed/new", 0755)));
    printf(" execute %s\n", result(access("secret", X_OK)));
    printf("  chmod %s", result(chmod("theirs", 06755)));
    show("theirs");
    printf(", own %s", result(chmod("mine", 02755)));
    show("mine");
    printf(", chown %s", result(chown("theirs", 98, 98)));
    show("theirs");
    printf(", own to the group %s,", result(chown("mine", -1, 99)));
    printf(" utimes %s,", result(utimes("theirs", (struct timeval[2]){{1, 0}, {2, 0}})));
    printf(" sticky unlink %s,", result(unlink("sticky/theirs")));
    printf(" mknod %s,", result(mknod("device", S_IFCHR | 0600, 0x103)));
    printf(" noatime %s\n", open("theirs", O_RDONLY | O_NOATIME) < 0 ? strerrorname_np(errno) : "ok");
    int fd = open("setid", O_RDWR);
    printf("  write to a set-id file %s", result(pwrite(fd, "x", 1, 0)));
    show("setid");
    printf(", its capabilities %s\n", result(getxattr("setid", "security.capability", text, sizeof text)));
}
static void fill(void) {
    static const unsigned char capable[20] = {1, 0, 0, 2, 1};
    umask(0);
    close(open("secret", O_CREAT | O_WRONLY, 0600));
    close(open("theirs", O_CREAT | O_WRONLY, 0644));
    close(open("mine", O_CREAT | O_WRONLY, 0644));
    close(open("setid", O_CREAT | O_WRONLY, 0666));
    mkdir("closed", 0700);
    close(open("closed/in", O_CREAT | O_WRONLY, 0644));
    mkdir("sticky", 01777);
    close(open("sticky/theirs", O_CREAT | O_WRONLY, 0644));
    if (chown("mine", 99, 0) || chown(".", 99, 99)) errno = 0;
    setxattr("setid", "security.capability", capable, sizeof capable, 0);
    chmod("setid", 06777);
}
int main(void) {
    static const struct { const char *name; int number; } held[] = {{"none", -1}, {"CHOWN", 0}, {"DAC_OVERRIDE", 1}, {"FOWNER", 3}, {"FSETID", 4}};
    if (geteuid() != 0) {
        printf("only the superuser can give capabilities\n");
        return 0;
    }
    for (unsigned i = 0; i < sizeof held / sizeof *held; i++) {
        mkdir(held[i].name, 0755);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            if (chdir(held[i].name)) _exit(1);
            fill();
            hold(held[i].number);
            printf("%s\n", held[i].name);
            everything();
            fflush(stdout);
            _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        if (status) printf("ended with %x\n", status);
    }
    char text[64];
    fill();
    printf("the superuser writes %s", result(pwrite(open("setid", O_WRONLY), "x", 1, 0)));
    show("setid");
    printf(", capabilities %s\n", result(getxattr("setid", "security.capability", text, sizeof text)));
    chmod("theirs", 06755);
    chmod("mine", 02644);
    printf("gives away %s", result(chown("theirs", 98, 98)));
    show("theirs");
    printf(" %s", result(chown("mine", 98, 98)));
    show("mine");
    printf("\n");
    fill();
    printf("capabilities after being given away %s", result(chown("setid", 98, 98)));
    printf(" %s\n", result(getxattr("setid", "security.capability", text, sizeof text)));
    return 0;
}
