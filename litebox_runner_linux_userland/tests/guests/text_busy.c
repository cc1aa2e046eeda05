//@ flags: -pthread
// What runs is not written, what is written does not run (ETXTBSY); places in what has none (ESPIPE); sets of sets of
// files.
#define _GNU_SOURCE
#include "asleep.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
	fflush(stdout);
}

static void copy_program(const char *to)
{
	char buf[65536];
	ssize_t n;
	int in = open("/proc/self/exe", O_RDONLY), out = open(to, O_CREAT | O_WRONLY | O_TRUNC, 0755);
	while ((n = read(in, buf, sizeof buf)) > 0)
		if (write(out, buf, n) != n)
			exit(1);
	close(in);
	close(out);
}

// Starts `path`, which waits until `gate` is closed.
static pid_t start(const char *path, int gate[2])
{
	int up[2];
	pipe(up);
	pid_t pid = fork();
	if (!pid) {
		char a[16], b[16];
		close(gate[1]);
		sprintf(a, "%d", gate[0]);
		sprintf(b, "%d", up[1]);
		execl(path, path, "wait", a, b, NULL);
		_exit(errno == ETXTBSY ? 26 : 1);
	}
	char c;
	close(up[1]);
	read(up[0], &c, 1);
	close(up[0]);
	return pid;
}

static int status_of(pid_t pid)
{
	int status;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void text_busy(const char *path)
{
	int gate[2], fd, status;
	copy_program(path);

	fd = open(path, O_WRONLY);
	pipe(gate);
	printf("run while written: %d\n", status_of(start(path, gate)));
	close(fd);
	close(gate[0]);
	close(gate[1]);

	pipe(gate);
	pid_t pid = start(path, gate);
	say("open for reading while it runs", fd = open(path, O_RDONLY));
	close(fd);
	say("open for writing", open(path, O_WRONLY));
	say("open for both", open(path, O_RDWR));
	say("cut by open", open(path, O_RDONLY | O_TRUNC));
	say("creat", creat(path, 0755));
	say("truncate", truncate(path, 1));
	say("chmod", chmod(path, 0700));
	say("rename", rename(path, "moved"));
	say("rename back", rename("moved", path));
	pid_t other = fork();
	if (!other) {
		char b[16];
		sprintf(b, "%d", gate[1]);
		execl(path, path, "pass", b, NULL);
		_exit(1);
	}
	printf("a second one runs: %d\n", status_of(other));
	close(gate[1]);
	// Over, though nobody waited yet.
	siginfo_t info;
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
	say("open for writing after its end", fd = open(path, O_WRONLY));
	close(fd);
	waitpid(pid, &status, 0);
	printf("it ended with %d\n", WEXITSTATUS(status));
	say("unlink", unlink(path));
}

static void places(void)
{
	int p[2], fd = open("places", O_RDWR | O_CREAT, 0600), ro = open("places", O_RDONLY);
	char buf[8] = "abcdefg";
	struct iovec v = {buf, 4};
	pipe(p);
	say("pwrite to the reading end", pwrite(p[0], buf, 4, 0));
	say("pread from the writing end", pread(p[1], buf, 4, 0));
	say("pwritev to the reading end", pwritev(p[0], &v, 1, 0));
	say("preadv from the writing end", preadv(p[1], &v, 1, 0));
	say("pwritev2 at the offset to the reading end", pwritev2(p[0], &v, 1, -1, 0));
	say("pwrite to what is open for reading", pwrite(ro, buf, 4, 0));
	say("pwrite", pwrite(fd, buf, 4, 0));
	off_t *offset = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int out = open("out", O_CREAT | O_WRONLY, 0600), empty = open("empty", O_CREAT | O_RDONLY, 0600);
	say("sendfile with an offset that cannot be written", sendfile(out, fd, offset, 1));
	say("sendfile of nothing with such an offset", sendfile(out, empty, offset, 1));
}

static void nests(void)
{
	struct epoll_event e = {.events = EPOLLIN};
	int p[2], last = epoll_create1(0);
	pipe(p);
	epoll_ctl(last, EPOLL_CTL_ADD, p[0], &e);
	for (int i = 1; i <= 6; i++) {
		int outer = epoll_create1(0);
		say("a set around sets", epoll_ctl(outer, EPOLL_CTL_ADD, last, &e));
		last = outer;
	}
	int top = epoll_create1(0);
	for (int i = 1; i <= 6; i++) {
		int inner = epoll_create1(0);
		if (i == 3) {
			// One that is taken out again does not count.
			say("in", epoll_ctl(top, EPOLL_CTL_ADD, inner, &e));
			say("out", epoll_ctl(top, EPOLL_CTL_DEL, inner, &e));
		}
		say("a set in sets", epoll_ctl(top, EPOLL_CTL_ADD, inner, &e));
		say("and around", epoll_ctl(inner, EPOLL_CTL_ADD, top, &e));
		top = inner;
	}
}

static int shared_pipe[2], woken;

static void *wait_for_it(void *mode)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLET | (mode ? EPOLLEXCLUSIVE : 0)};
	int set = epoll_create1(0);
	epoll_ctl(set, EPOLL_CTL_ADD, shared_pipe[0], &e);
	if (epoll_wait(set, &e, 1, 1500) == 1)
		__atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void exclusive(void)
{
	pthread_t t[4];
	for (long mode = 0; mode < 2; mode++) {
		woken = 0;
		pipe(shared_pipe);
		for (int i = 0; i < 4; i++)
			pthread_create(&t[i], NULL, wait_for_it, (void *)mode);
		wait_others_asleep(4);
		write(shared_pipe[1], "x", 1);
		for (int i = 0; i < 4; i++)
			pthread_join(t[i], NULL);
		printf("%s sets: %d woken\n", mode ? "exclusive" : "plain", woken);
		close(shared_pipe[0]);
		close(shared_pipe[1]);
	}
	woken = 0;
	pipe(shared_pipe);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, wait_for_it, (void *)1);
	wait_others_asleep(4);
	close(shared_pipe[1]);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	printf("a hang-up wakes %d\n", woken);
}

static void shared_descriptors(void)
{
	int fd = open("places", O_RDONLY);
	// As after clone(CLONE_FILES).
	pid_t pid = syscall(SYS_clone, 0x400 /* CLONE_FILES */ | SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		int r = syscall(SYS_close_range, fd, fd, 2 /* CLOSE_RANGE_UNSHARE */);
		_exit(r || fcntl(fd, F_GETFD) != -1);
	}
	printf("child: %d\n", status_of(pid));
	say("its parent's descriptor", fcntl(fd, F_GETFD));
}

// Set-group-id directories, access times that stay, ranges beyond all files.
static void made(void)
{
	struct stat st, after;
	char buf[8];
	struct timespec old[2] = {{1000, 0}, {2000, 0}};
	mkdir("group", 0755);
	if (!getuid()) {
		chown("group", 1000, 5000);
		chmod("group", 02777);
		if (!fork()) {
			setgid(1000);
			setuid(1000);
			for (int i = 0; i < 3; i++) {
				const char *names[] = {"group/all", "group/no-x", "group/dir"};
				umask(i == 1 ? 0010 : 0);
				i == 2 ? mkdir(names[i], 02777) : close(open(names[i], O_CREAT | O_RDWR, 02777));
				stat(names[i], &st);
				printf("%s %o group %d\n", names[i], st.st_mode, st.st_gid);
			}
			fflush(stdout);
			_exit(0);
		}
		wait(NULL);
	}
	int fd = open("places", O_RDONLY | O_NOATIME);
	utimensat(AT_FDCWD, "places", old, 0);
	stat("places", &st);
	usleep(20000);
	read(fd, buf, 4);
	stat("places", &after);
	printf("O_NOATIME: %s\n", st.st_atime == after.st_atime ? "stays" : "moves");
	fcntl(fd, F_SETFL, 0);
	lseek(fd, 0, SEEK_SET);
	read(fd, buf, 4);
	stat("places", &after);
	printf("without: %s\n", st.st_atime == after.st_atime ? "stays" : "moves");
	int to = open("copied", O_CREAT | O_RDWR, 0600);
	loff_t from = 0, end = 0x7fffffffffffffff;
	say("copy to the end of all files", copy_file_range(fd, &from, to, &end, 65537, 0));
	say("copy of too much", copy_file_range(fd, &from, to, &from, -1UL, 0));
	say("copy", copy_file_range(fd, NULL, to, NULL, 4, 0));
}

static void nodes(void)
{
	struct stat st;
	say("a node", mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	stat("null", &st);
	printf("%o %d:%d\n", st.st_mode, major(st.st_rdev), minor(st.st_rdev));
	int fd = open("null", O_RDWR);
	say("write to it", write(fd, "x", 1));
	say("a node of nothing", mknod("nothing", S_IFCHR | 0666, makedev(240, 77)));
	say("open it", open("nothing", O_RDONLY));
	say("there already", mknod("null", S_IFBLK | 0666, makedev(240, 77)));
	if (!fork()) {
		setuid(1000);
		say("a node of a user", mknod("user", S_IFCHR | 0666, makedev(1, 3)));
		say("a fifo of a user", mknod("fifo", S_IFIFO | 0666, 0));
		say("a socket of a user", mknod("socket", S_IFSOCK | 0666, 0));
		say("a whiteout of a user", mknod("whiteout", S_IFCHR | 0666, makedev(0, 0)));
		_exit(0);
	}
	wait(NULL);
}

int main(int argc, char **argv)
{
	if (argc > 3 && !strcmp(argv[1], "wait")) {
		char c;
		close(atoi(argv[3]));
		read(atoi(argv[2]), &c, 1);
		return 7;
	}
	if (argc > 1)
		return 8;
	umask(022);
	chmod(".", 0777);
	text_busy("./program");
	places();
	nests();
	exclusive();
	shared_descriptors();
	made();
	if (!getuid())
		nodes();
	return 0;
}
