// Sockets and System V IPC by the calls of 32-bit programs: multiplexers, messages with vectors and control data,
// structures.
//@ variants: static m32
//@ flags: -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64
#include "call32.h"
#include <fcntl.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static uint32_t buf;
static int32_t i32(uint32_t where, int offset) { int32_t v; memcpy(&v, at(where + offset), 4); return v; }
static int64_t i64(uint32_t where, int offset) { int64_t v; memcpy(&v, at(where + offset), 8); return v; }
static void fresh(void) { memset(at(buf), 0xee, 1024); }
static int untouched(int from) { return i32(buf, from) == (int32_t)0xeeeeeeee; }
#define WORDS(...) low((uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}))
#define socketcall(call, ...) call32(102, call, WORDS(__VA_ARGS__))

static uint32_t message(uint32_t text, uint32_t size, uint32_t control, uint32_t control_len)
{
    return WORDS(0, 0, WORDS(text, 2, text + 2, size - 2), 2, control, control_len, 0);
}
static void multiplexer(void)
{
    uint32_t pair = low(NULL, 8), text = low_text("socketcall");
    tell("socketpair:", socketcall(8, AF_UNIX, SOCK_STREAM, 0, pair));
    int a = i32(pair, 0), b = i32(pair, 4);
    tell(", send:", socketcall(9, a, text, 6, 0)); fresh(); tell(", recv:", socketcall(10, b, buf, 20, 0)); printf(" %.6s", (char *)at(buf));
    tell(", sendto:", socketcall(11, a, text, 3, 0, 0, 0)); tell(", recvfrom:", socketcall(12, b, buf, 20, 0, 0, 0));
    tell(", shutdown:", socketcall(13, a, 1)); tell("", socketcall(10, b, buf, 20, 0)); printf("\n");
    int s = socketcall(1, AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in name = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}};
    uint32_t n = low(&name, sizeof name), len = WORDS(sizeof name);
    tell("bind:", socketcall(2, s, n, sizeof name)); tell(", listen:", socketcall(4, s, 1)); tell(", getsockname:", socketcall(6, s, n, len));
    int c = socketcall(1, AF_INET, SOCK_STREAM, 0);
    tell(", connect:", socketcall(3, c, n, sizeof name)); len = WORDS(sizeof name);
    int d = socketcall(5, s, buf, len);
    printf(", accept: %d %d", d >= 0, i32(len, 0)); tell(", getpeername:", socketcall(7, c, n, len));
    int e = socketcall(18, s, 0, 0, 0x7fffffff);
    printf(", accept4: %s", result(e)); tell(", numbers:", socketcall(0, 0)); tell("", socketcall(21, 0)); tell("", call32(102, 1, 8)); printf("\n");
    close(s); close(c); close(d); close(a); close(b);
}
static void options(void)
{
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    uint32_t len = WORDS(64);
    tell("SO_RCVTIMEO:", socketcall(14, s, SOL_SOCKET, 20, WORDS(5, 252000), 8)); tell(" short", socketcall(14, s, SOL_SOCKET, 20, WORDS(5, 252000), 7));
    fresh(); tell(", told", socketcall(15, s, SOL_SOCKET, 20, buf, len)); printf(" %d: %d %d %d", i32(len, 0), i32(buf, 0), i32(buf, 4), untouched(8));
    len = WORDS(64); fresh(); tell(", new", socketcall(15, s, SOL_SOCKET, 66, buf, len)); printf(" %d: %lld %lld", i32(len, 0), (long long)i64(buf, 0), (long long)i64(buf, 8));
    tell(", set new", call32(366, s, SOL_SOCKET, 67, low((int64_t[]){7, 0}, 16), 16)); len = WORDS(64);
    tell(", SNDTIMEO", call32(365, s, SOL_SOCKET, 21, buf, len)); printf(" %d: %d", i32(len, 0), i32(buf, 0));
    struct timeval out; socklen_t size = sizeof out;
    getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &out, &size);
    printf(" %d %d", (int)out.tv_sec, (int)out.tv_usec); tell(", wrong", socketcall(14, s, SOL_SOCKET, 20, WORDS(5, 1000000), 8)); printf("\n");
    close(s);
}
static void messages(void)
{
    int pair[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    uint32_t text = low_text("a message");
    uint32_t rights = WORDS(12 + 8, SOL_SOCKET, SCM_RIGHTS, (uint32_t)pair[0], (uint32_t)pair[1]);
    tell("sendmsg:", call32(370, pair[0], message(text, 9, rights, 20), 0));
    fresh();
    uint32_t control = buf + 256, into = message(buf, 20, control, 64);
    tell(", recvmsg:", call32(372, pair[1], into, 0));
    printf(" %.9s control %d: %d %d %d, fds %d, flags %x", (char *)at(buf), i32(into, 20), i32(control, 0), i32(control, 4), i32(control, 8), i32(control, 12) > 0 && i32(control, 16) > 0, i32(into, 24));
    close(i32(control, 12)); close(i32(control, 16));
    tell(", little room:", call32(370, pair[0], message(text, 9, rights, 20), 0));
    fresh(); into = message(buf, 20, control, 16);
    tell("", call32(372, pair[1], into, 0)); printf(" %d %d %x", i32(into, 20), i32(control, 0), i32(into, 24)); close(i32(control, 12));
    tell(", bad:", call32(370, pair[0], message(text, 9, WORDS(11, 1, 1), 12), 0)); tell("", call32(370, pair[0], 8, 0));
    tell("", call32(370, pair[0], WORDS(0, 0, buf, 1025, 0, 0, 0), 0)); printf("\n");
    uint32_t v = WORDS(text, 3), two = WORDS(0, 0, v, 1, 0, 0, 0, 0, 0, 0, v, 1, 0, 0, 0, 0);
    tell("sendmmsg:", call32(345, pair[0], two, 2, 0)); printf(" %d %d", i32(two, 28), i32(two, 60));
    v = WORDS(buf, 8); two = WORDS(0, 0, v, 1, 0, 0, 0, 0, 0, 0, v, 1, 0, 0, 0, 0);
    uint32_t limit = WORDS(5, 0), wide = low((int64_t[]){5, 0x700000000ll}, 16);
    tell(", recvmmsg:", call32(337, pair[1], two, 2, 0, limit)); printf(" %d %d, left %d", i32(two, 28), i32(two, 60), i32(limit, 0) >= 3 && i32(limit, 0) < 5);
    call32(370, pair[0], message(text, 9, 0, 0), 0);
    tell(", 64:", call32(417, pair[1], two, 1, 0, wide)); printf(" %d", i64(wide, 0) >= 3 && i64(wide, 0) < 5);
    send(pair[0], "x", 1, 0); send(pair[0], "y", 1, 0);
    tell(", by socketcall:", socketcall(19, pair[1], two, 2, 0, limit)); tell("", socketcall(16, pair[0], message(text, 5, 0, 0), 0)); tell("", socketcall(17, pair[1], message(buf, 9, 0, 0), 0));
    printf("\n");
    int on = 1;
    setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    setsockopt(pair[1], SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on);
    send(pair[0], "who", 3, 0);
    into = message(buf, 20, control, 200);
    tell("credentials:", call32(372, pair[1], into, 0)); printf(" %d", i32(into, 20) >= 24);
    int at_pid = i32(control, 8) == 2 ? 0 : (i32(control, 0) + 3) & ~3;
    printf(" %d %d %d\n", i32(control + at_pid, 0), i32(control + at_pid, 8), i32(control + at_pid, 12) == getpid());
    close(pair[0]); close(pair[1]);
}
static void interfaces(void)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    fresh();
    uint32_t conf = WORDS(512, buf);
    tell("SIOCGIFCONF:", call32(54, s, 0x8912, conf)); printf(" %d %s", i32(conf, 0) % 32, (char *)at(buf));
    uint32_t ask = low("lo", 64);
    tell(", SIOCGIFINDEX:", call32(54, s, 0x8933, ask)); printf(" %d", i32(ask, 16)); tell(", SIOCGIFFLAGS:", call32(54, s, 0x8913, ask)); printf("\n");
    close(s);
}
static void semaphores(void)
{
    int id = call32(117, 2, IPC_PRIVATE, 3, 0600);
    printf("semget: %d", id >= 0);
    uint32_t ops = low((int16_t[]){1, 5, 0, 2, 1, 0}, 12);
    tell(", semop:", call32(117, 1, id, 2, 0, ops)); tell(", GETVAL:", call32(117, 3, id, 1, 12, WORDS(0))); tell(", SETVAL:", call32(117, 3, id, 0, 16, WORDS(9)));
    tell("", call32(394, id, 0, 12, 0));
    fresh();
    tell(", IPC_STAT:", call32(117, 3, id, 0, 2 | 0x100, WORDS(buf)));
    printf(" %d %o %d %d %d %d", (uid_t)i32(buf, 4) == geteuid(), i32(buf, 20), i32(buf, 36) != 0, i32(buf, 44) != 0, i32(buf, 52), untouched(64));
    uint32_t zero = low((int16_t[]){1, 0, 0}, 6);
    tell(", semtimedop:", call32(117, 4, id, 1, 0, zero, WORDS(0, 1000))); tell(", 64:", call32(420, id, zero, 1, low((int64_t[]){0, 1000}, 16))); tell("", call32(117, 3, id, 0, 12, 0));
    tell(", IPC_RMID:", call32(117, 3, id, 0, 0, WORDS(0))); tell("", call32(117, 99)); printf("\n");
}
static void queues(void)
{
    int id = call32(117, 13, IPC_PRIVATE, 0600);
    printf("msgget: %d", id >= 0);
    uint32_t out = low("\x05\0\0\0hello", 16);
    tell(", msgsnd:", call32(117, 11, id, 5, 0, out)); tell("", call32(400, id, out, 3, 0)); tell("", call32(400, id, low(NULL, 8), 3, 0));
    fresh();
    tell(", IPC_STAT:", call32(117, 14, id, 2 | 0x100, 0, buf)); printf(" %o %d %d %d %d %d", i32(buf, 20), i32(buf, 36) != 0, i32(buf, 60), i32(buf, 64), i32(buf, 72) == getpid(), untouched(88));
    fresh();
    tell(", msgrcv:", call32(117, 12, id, 20, 0, WORDS(buf, 5))); printf(" %d %.5s", i32(buf, 0), (char *)at(buf + 4));
    tell(", version 1:", call32(117, 12 | 1 << 16, id, 20, 0, buf, 5)); tell(", none:", call32(401, id, buf, 20, 0, IPC_NOWAIT));
    // A length is a signed number.
    tell(", below 0:", call32(400, id, out, -1, 0)); tell("", call32(401, id, buf, -1, 0, IPC_NOWAIT)); tell("", call32(117, 11, id, -1, 0, 8));
    tell("", call32(117, 12, id, -1, IPC_NOWAIT, 0)); tell("", call32(117, 12 | 1 << 16, id, -1, IPC_NOWAIT, buf, 0)); tell("", call32(117, 11, -1, 1, 0, 8));
    tell("", call32(117, 12, id, 20, 0, 0)); tell(", IPC_RMID:", call32(117, 14, id, 0, 0, 0)); printf("\n");
}
static void segments(void)
{
    int id = call32(117, 23, IPC_PRIVATE, 5000, 0600);
    printf("shmget: %d", id >= 0);
    uint32_t place = WORDS(0);
    // A place below 4 GiB that is asked for.
    tell(", shmat:", call32(117, 21, id, 0, place, 0x20000000)); printf(" %x", i32(place, 0)); tell("", call32(117, 21 | 1 << 16, id, 0, place, 0));
    strcpy(at(i32(place, 0)), "shared");
    fresh();
    tell(", IPC_STAT:", call32(117, 24, id, 2 | 0x100, 0, buf)); printf(" %o %d %d %d %d %d", i32(buf, 20), i32(buf, 36), i32(buf, 40) != 0, i32(buf, 64) == getpid(), i32(buf, 72), untouched(84));
    fresh();
    printf(", IPC_INFO: %d", call32(396, id, 3, buf) >= 0); printf(" %d %d", i32(buf, 4), untouched(36));
    fresh();
    printf(", SHM_INFO: %d", call32(396, id, 14, buf) >= 0); printf(" %d %d", i32(buf, 0) >= 1, untouched(24));
    tell(", shmdt:", call32(117, 22, 0, 0, 0, i32(place, 0))); tell("", call32(117, 22, 0, 0, 0, 0x30000000)); tell(", IPC_RMID:", call32(117, 24, id, 0, 0, 0)); printf("\n");
}
static void posix_queues(void)
{
    uint32_t name = low_text("calls32");
    call32(278, name);
    int queue = call32(277, name, O_CREAT | O_RDWR, 0600, WORDS(0, 4, 64, 0, 0, 0, 0, 0));
    printf("mq_open: %d", queue >= 0); if (queue < 0) printf(" %s", strerrorname_np(errno));
    tell(", send:", call32(279, queue, low_text("post"), 5, 3, WORDS(5, 0))); tell(", 64:", call32(418, queue, low_text("mail"), 5, 4, 0));
    fresh();
    tell(", attributes:", call32(282, queue, 0, buf)); printf(" %d %d %d %d", i32(buf, 4), i32(buf, 8), i32(buf, 12), untouched(32));
    uint32_t priority = WORDS(0);
    tell(", receive:", call32(280, queue, buf, 64, priority, WORDS(5, 0))); printf(" %s %d", (char *)at(buf), i32(priority, 0));
    tell(", 64:", call32(419, queue, buf, 64, priority, 0)); printf(" %d", i32(priority, 0));
    tell(", late:", call32(419, queue, buf, 64, priority, low((int64_t[]){1, 0}, 16)));
    tell(", notify:", call32(281, queue, low((int32_t[16]){1, SIGUSR1, 1}, 64))); tell("", call32(281, queue, low((int32_t[16]){1, 99, 0}, 64)));
    tell(", unlink:", call32(278, name)); printf("\n");
}
static void sets(void)
{
    int set = call32(329, 0), pipes[2];
    if (pipe(pipes)) return;
    uint32_t event = low("\x04\0\0\0abcdefgh", 12);
    tell("epoll_ctl:", call32(255, set, 1, pipes[1], event)); fresh(); tell(", epoll_wait:", call32(256, set, buf, 2, 100));
    printf(" %d %.8s %d", i32(buf, 0), (char *)at(buf + 4), untouched(12)); tell(", pwait2:", call32(441, set, buf, 1, low((int64_t[]){0, 0x100000000ll}, 16), 0, 8)); printf("\n");
}
int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (!have_calls()) return 0;
    buf = low(NULL, 4096);
    multiplexer();
    options();
    messages();
    interfaces();
    semaphores();
    queues();
    segments();
    posix_queues();
    sets();
    return 0;
}
