// Users and groups of 16 and 32 bits, and the few other calls of 32-bit programs that no other guest makes.
//@ variants: static m32
#include "call32.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static uint32_t buf;
static int half(int offset) { uint16_t v; memcpy(&v, at(buf + offset), 2); return v; }
static int word(int offset) { int32_t v; memcpy(&v, at(buf + offset), 4); return v; }
static void fresh(void) { memset(at(buf), 0xee, 256); }

static void show16(const char *what)
{
    fresh();
    long r = call32(165, buf, buf + 2, buf + 4);
    printf("%s: %ld users %d %d %d", what, r, half(0), half(2), half(4));
    r = call32(171, buf, buf + 2, buf + 4);
    printf(", %ld groups %d %d %d, %s\n", r, half(0), half(2), half(4), half(6) == 0xeeee ? "no more" : "more");
}
static void show32(const char *what)
{
    fresh();
    long r = call32(209, buf, buf + 4, buf + 8);
    printf("%s: %ld users %d %d %d", what, r, word(0), word(4), word(8));
    r = call32(211, buf, buf + 4, buf + 8);
    printf(", %ld groups %d %d %d; ", r, word(0), word(4), word(8));
    printf("%ld %ld %ld %ld, ", call32(199), call32(201), call32(200), call32(202));
    printf("%ld %ld %ld %ld, ", call32(24), call32(49), call32(47), call32(50));
    printf("of files %ld %ld, %ld %ld\n", call32(215, -1), call32(216, -1), call32(138, 0xffff), call32(139, 0xffff));
}

// As root all of it works; each in a child of its own.
static void changes_by_call32(long nr, const char *what, long a, long b, long c)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        tell(what, call32(nr, a, b, c)); puts("");
        show16("  16 bits"), show32("  32 bits");
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void groups(void)
{
    uint16_t narrow[] = {5, 65534, 7};
    uint32_t wide[] = {5, 70000, 65534};
    tell("setgroups16:", call32(81, 3, low(narrow, sizeof narrow))); tell("", call32(81, 70000, 8)); tell("", call32(81, 2, 8));
    fresh();
    tell(", getgroups16:", call32(80, 9, buf)); printf(" %d %d %d", half(0), half(2), half(4)); tell("", call32(80, 1, buf));
    tell(", setgroups32:", call32(206, 3, low(wide, sizeof wide)));
    fresh();
    tell(", getgroups32:", call32(205, 9, buf)); printf(" %d %d %d", word(0), word(4), word(8));
    fresh();
    // One that does not fit.
    tell(", getgroups16:", call32(80, 9, buf)); printf(" %d %d %d\n", half(0), half(2), half(4));
    tell("none:", call32(206, 0, 0)); tell("", call32(80, 0, 0)); puts("");
}

static void files(void)
{
    char name[] = "/tmp/calls32.XXXXXX";
    int fd = mkstemp(name);
    struct stat st;
    uint32_t path = low_text(name);
    tell("chown16:", call32(182, path, 7, 8)); stat(name, &st); printf(" %d %d", st.st_uid, st.st_gid);
    tell(", half:", call32(182, path, 0xffff, 9)); stat(name, &st); printf(" %d %d", st.st_uid, st.st_gid);
    tell(", lchown16:", call32(16, path, 65534, 65535)); stat(name, &st); printf(" %d %d", st.st_uid, st.st_gid);
    tell(", fchown16:", call32(95, fd, 1, 2)); stat(name, &st); printf(" %d %d\n", st.st_uid, st.st_gid);
    tell("chown32:", call32(212, path, 70000, -1)); stat(name, &st); printf(" %d %d", st.st_uid, st.st_gid);
    tell(", lchown32:", call32(198, path, -1, 80000)); stat(name, &st); printf(" %d %d", st.st_uid, st.st_gid);
    tell(", fchown32:", call32(207, fd, 65536, 65537)); stat(name, &st); printf(" %d %d\n", st.st_uid, st.st_gid);
    // Both widths of what stat tells.
    fresh();
    // Its number may have more than the 16 bits that there are for it.
    long r = call32(84, path, buf);
    printf("oldlstat: %d %d", r == 0 || errno == EOVERFLOW, word(32) == (int)0xeeeeeeee);
    tell("", call32(84, low_text("/nowhere"), buf)); tell("", call32(84, 8, buf));
    fresh();
    tell(", fstat64:", call32(197, fd, buf)); printf(" %d %d %s\n", word(24), word(28), word(96) == (int)0xeeeeeeee ? "96 bytes" : "more");
    unlink(name), close(fd);
}

static void maps(void)
{
    char name[] = "/tmp/calls32.XXXXXX";
    int fd = mkstemp(name);
    static char page[4096];
    for (char letter = 'a'; letter < 'd'; letter++)
        memset(page, letter, sizeof page), printf("%d", write(fd, page, sizeof page) == 4096);
    puts("");
    long third = call32(192, 0, 4096, PROT_READ, MAP_PRIVATE, fd, 2);
    printf("mmap2: the third page has %c\n", *(char *)at(third));
    uint32_t arguments[] = {0, 4096, PROT_READ, MAP_PRIVATE, fd, 4096};
    long second = call32(90, low(arguments, sizeof arguments));
    printf("old mmap: the second has %c\n", *(char *)at(second));
    arguments[5] = 100;
    tell("not at a page:", call32(90, low(arguments, sizeof arguments))); tell("", call32(90, 8));
    long last = call32(192, 0, 4096, PROT_READ, MAP_PRIVATE, fd, -1);
    printf(" behind the end %d", last != -1); tell("", call32(91, last, 4096)); tell("", call32(192, 0, 0, PROT_READ, MAP_PRIVATE, fd, 0));
    tell("", call32(192, 0, 4096, PROT_READ, MAP_PRIVATE, -1, 0)); puts("");
    tell("gone:", call32(91, third, 4096)); tell("", call32(91, second, 4096)); puts("");
    unlink(name), close(fd);
}

int main(void)
{
    if (!have_calls()) return 0;
    buf = low(NULL, 512);
    maps();
    fresh();
    tell("sched_rr_get_interval_time64:", call32(423, 0, buf)); tell("", call32(423, -1, buf)); tell("", call32(423, 0, 8));
    printf(" %s\n", word(16) == (int)0xeeeeeeee ? "16 bytes" : "more");
    if (getuid()) return 0;
    groups();
    files();
    changes_by_call32(46, "setgid16", 5, 0, 0), changes_by_call32(46, "setgid16", 65535, 0, 0), changes_by_call32(214, "setgid32", 70000, 0, 0);
    changes_by_call32(23, "setuid16", 5, 0, 0), changes_by_call32(213, "setuid32", 70000, 0, 0);
    changes_by_call32(71, "setregid16", 5, 65535, 0), changes_by_call32(204, "setregid32", -1, 70000, 0);
    changes_by_call32(70, "setreuid16", 65535, 7, 0), changes_by_call32(203, "setreuid32", 70000, -1, 0);
    changes_by_call32(164, "setresuid16", 5, 65535, 65534), changes_by_call32(208, "setresuid32", 70000, 70001, -1);
    changes_by_call32(170, "setresgid16", 65535, 6, 7), changes_by_call32(210, "setresgid32", 70000, -1, 70002);
    changes_by_call32(138, "setfsuid16", 9, 0, 0), changes_by_call32(215, "setfsuid32", 70000, 0, 0), changes_by_call32(138, "setfsuid16", 65535, 0, 0);
    changes_by_call32(139, "setfsgid16", 9, 0, 0), changes_by_call32(216, "setfsgid32", 70000, 0, 0);
    return 0;
}
