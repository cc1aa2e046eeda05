//@ tree
// Local sockets in a directory that others can see too: their names are files there, whoever knows a name is connected
// to who has it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "result.h"

#define SHOW(call) printf("%s: %s\n", #call, result(call))

static struct sockaddr_un at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    return address;
}
static long binds(int fd, const char *path)
{
    struct sockaddr_un address = at(path);
    return bind(fd, (struct sockaddr *)&address, sizeof address);
}
static long connects(int fd, const char *path)
{
    struct sockaddr_un address = at(path);
    return connect(fd, (struct sockaddr *)&address, sizeof address);
}
static const char *kind(const char *path)
{
    static char text[32];
    struct stat st;
    if (lstat(path, &st)) return result(-1);
    snprintf(text, sizeof text, "%o", st.st_mode);
    return text;
}

static void serve(void)
{
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(binds(listener, "server"));
    SHOW(binds(socket(AF_UNIX, SOCK_STREAM, 0), "server"));
    SHOW(listen(listener, 5));
    printf("its file %s\n", kind("server"));
    SHOW(open("server", O_RDWR));
    pid_t pid = fork();
    if (pid == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        char text[10] = "";
        mkdir("below", 0755);
        chdir("below");
        SHOW(connects(fd, "../server"));
        SHOW(read(fd, text, 5));
        puts(text);
        _exit(0);
    }
    int fd = accept(listener, 0, 0);
    write(fd, "hello", 5);
    waitpid(pid, 0, 0);
    close(fd);
    // A name goes on to mean the socket when it is moved, and a link to it does.
    SHOW(rename("server", "moved"));
    SHOW(link("moved", "below/link"));
    int a = socket(AF_UNIX, SOCK_STREAM, 0), b = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(connects(a, "server"));
    SHOW(connects(a, "moved"));
    SHOW(connects(b, "below/link"));
    struct sockaddr_un name;
    socklen_t len = sizeof name;
    getsockname(listener, (struct sockaddr *)&name, &len);
    printf("called %s\n", name.sun_path);
    close(listener);
    a = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(connects(a, "moved"));
    printf("its file %s\n", kind("moved"));
    SHOW(unlink("moved"));
    SHOW(connects(a, "moved"));
}

static void datagrams(void)
{
    int a = socket(AF_UNIX, SOCK_DGRAM, 0), b = socket(AF_UNIX, SOCK_DGRAM, 0);
    char text[20] = "";
    binds(a, "a");
    binds(b, "b");
    SHOW(connects(a, "b"));
    SHOW(send(a, "over", 4, 0));
    struct sockaddr_un from;
    socklen_t len = sizeof from;
    SHOW(recvfrom(b, text, sizeof text, MSG_DONTWAIT, (struct sockaddr *)&from, &len));
    printf("%s from %s\n", text, from.sun_path);
    chmod("a", 0600);
    printf("mode %s\n", kind("a"));
    unlink("b");
    // Files that are no sockets.
    close(open("file", O_CREAT | O_WRONLY, 0644));
    SHOW(connects(a, "file"));
    SHOW(connects(a, "below"));
    SHOW(connects(a, "file/x"));
    SHOW(binds(socket(AF_UNIX, SOCK_DGRAM, 0), "file"));
    SHOW(binds(socket(AF_UNIX, SOCK_DGRAM, 0), "none/x"));
    SHOW(mknod("made", S_IFSOCK | 0644, 0));
    SHOW(connects(a, "made"));
}

int main(void)
{
    umask(022);
    alarm(10);
    setvbuf(stdout, 0, _IOLBF, 0);
    serve();
    datagrams();
    return 0;
}
