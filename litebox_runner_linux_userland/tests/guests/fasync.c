// Signals to the owner of an open file: readiness (O_ASYNC, F_SETSIG, F_SETOWN), leases that are broken, changes in a
// directory (F_NOTIFY).
//@ flags: -pthread
#define _GNU_SOURCE
#include "asleep.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long result_ = (long)(call); printf("%s = %ld, %s\n", #call, result_, strerror(errno)); } while (0)

static int base;

static void heard(const char *why)
{
	sigset_t set;
	siginfo_t info;
	struct timespec now = {0, 300000000}, none = {0, 0};
	int n = 0;
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 3);
	while (sigtimedwait(&set, &info, n ? &none : &now) > 0) {
		n++;
		printf("  %s: signal %d code %d", why, info.si_signo, info.si_code == 0x80 ? 128 : info.si_code);
		if (info.si_code != 0x80)
			printf(" band %lx fd %d", (long)info.si_band, info.si_fd - base);
		printf("\n");
	}
	if (!n)
		printf("  %s: nothing\n", why);
}

static void quiet(void)
{
	sigset_t set;
	struct timespec none = {0, 0};
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	while (sigtimedwait(&set, NULL, &none) > 0)
		;
}

static void commands(void)
{
	int p[2];
	struct f_owner_ex ex = {-1, -1};
	unsigned ids[2] = {9, 9};
	pipe(p);
	SHOW(fcntl(p[0], F_GETOWN));
	SHOW(fcntl(p[0], F_GETSIG));
	SHOW(fcntl(p[0], F_SETSIG, 65));
	SHOW(fcntl(p[0], F_SETSIG, -1));
	SHOW(fcntl(p[0], F_SETSIG, SIGUSR1));
	printf("%d\n", fcntl(p[0], F_GETSIG) == SIGUSR1);
	SHOW(fcntl(p[0], F_SETOWN, 1 << 30));
	SHOW(fcntl(p[0], F_SETOWN, -(1 << 30)));
	SHOW(fcntl(p[0], F_SETOWN, -2147483647 - 1));
	SHOW(fcntl(p[0], F_SETOWN, getpid()));
	printf("%d\n", fcntl(p[0], F_GETOWN) == getpid());
	SHOW(fcntl(p[0], F_GETOWN_EX, &ex));
	printf("%d %d\n", ex.type, ex.pid == getpid());
	SHOW(fcntl(p[0], F_SETOWN, -getpgrp()));
	printf("%d\n", fcntl(p[0], F_GETOWN) == -getpgrp());
	ex.type = F_OWNER_TID, ex.pid = syscall(SYS_gettid);
	SHOW(fcntl(p[0], F_SETOWN_EX, &ex));
	SHOW(fcntl(p[0], F_GETOWN_EX, &ex));
	printf("%d %d\n", ex.type, ex.pid == getpid());
	ex.type = 3;
	SHOW(fcntl(p[0], F_SETOWN_EX, &ex));
	SHOW(fcntl(p[0], F_SETOWN_EX, 1));
	SHOW(fcntl(p[0], F_GETOWN_EX, 1));
	SHOW(fcntl(p[0], 17 /* F_GETOWNER_UIDS */, ids));
	printf("%d %d\n", ids[0] == getuid(), ids[1] == geteuid());
	SHOW(fcntl(99, F_SETOWN, getpid()));
	SHOW(fcntl(99, F_SETSIG, 0));
	pid_t child = fork();
	if (!child)
		_exit(0);
	SHOW(fcntl(p[0], F_SETOWN, child));
	waitpid(child, NULL, 0);
	SHOW(fcntl(p[0], F_GETOWN));
	SHOW(fcntl(p[0], F_SETOWN, 0));
	close(p[0]), close(p[1]);
}

static void readiness(int reader, int writer, const char *what)
{
	char buf[16];
	printf("%s\n", what);
	base = reader;
	SHOW(fcntl(reader, F_SETFL, O_ASYNC) == 0);
	printf("%d\n", (fcntl(reader, F_GETFL) & O_ASYNC) != 0);
	write(writer, "x", 1);
	heard("nobody owns it");
	fcntl(reader, F_SETOWN, getpid());
	write(writer, "x", 1);
	heard("owned");
	fcntl(reader, F_SETSIG, SIGUSR1);
	write(writer, "x", 1);
	heard("with a signal of its own");
	fcntl(reader, F_SETSIG, SIGRTMIN + 3);
	write(writer, "x", 1);
	heard("a real-time signal");
	read(reader, buf, 1);
	heard("after a read");
	fcntl(reader, F_SETFL, 0);
	write(writer, "x", 1);
	heard("no more");
	int on = 1;
	SHOW(ioctl(reader, FIOASYNC, &on));
	printf("%d\n", (fcntl(reader, F_GETFL) & O_ASYNC) != 0);
	fcntl(reader, F_SETSIG, SIGIO);
	write(writer, "x", 1);
	heard("again");
	on = 0;
	SHOW(ioctl(reader, FIOASYNC, &on));
}

static void *write_later(void *fd)
{
	wait_asleep(getpid(), getpid());
	write(*(int *)fd, "x", 1);
	return NULL;
}

static volatile int caught;
static void handler(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	caught = info->si_code == 0x80 ? 128 : info->si_code;
}

static void *drain(void *fd)
{
	static char big[1 << 17];
	int n = 0;
	// The writer fills the pipe in one call; who reads it is only told by signals.
	while (n < (int)sizeof big) {
		sigset_t set;
		struct timespec limit = {3, 0};
		sigemptyset(&set);
		sigaddset(&set, SIGIO);
		if (sigtimedwait(&set, NULL, &limit) < 0)
			break;
		int got = read(*(int *)fd, big, sizeof big);
		n += got > 0 ? got : 0;
	}
	return (void *)(long)n;
}

static void asleep(void)
{
	int p[2];
	pthread_t t;
	struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	sigset_t set, old;
	pipe2(p, O_NONBLOCK);
	fcntl(p[0], F_SETOWN, getpid());
	fcntl(p[0], F_SETFL, O_ASYNC | O_NONBLOCK);
	sigaction(SIGIO, &act, NULL);
	pthread_create(&t, NULL, write_later, &p[1]);
	sigemptyset(&set);
	SHOW(sigsuspend(&set));
	printf("caught %d\n", caught);
	pthread_join(t, NULL);
	signal(SIGIO, SIG_DFL);
	close(p[0]), close(p[1]);

	static char big[1 << 17];
	pipe(p);
	fcntl(p[0], F_SETOWN, getpid());
	fcntl(p[0], F_SETFL, O_ASYNC);
	void *drained;
	sigfillset(&set);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	pthread_create(&t, NULL, drain, &p[0]);
	printf("wrote %ld\n", (long)write(p[1], big, sizeof big));
	pthread_join(t, &drained);
	printf("drained %ld\n", (long)drained);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	quiet();
	close(p[0]), close(p[1]);
}

static void without(void)
{
	int file = open("plain", O_RDWR | O_CREAT, 0600), event = eventfd(0, 0), set = epoll_create1(0), on = 1;
	SHOW(fcntl(file, F_SETFL, O_ASYNC));
	printf("%d\n", (fcntl(file, F_GETFL) & O_ASYNC) != 0);
	SHOW(fcntl(event, F_SETFL, O_ASYNC));
	printf("%d\n", (fcntl(event, F_GETFL) & O_ASYNC) != 0);
	SHOW(ioctl(file, FIOASYNC, &on));
	SHOW(ioctl(event, FIOASYNC, &on));
	SHOW(ioctl(set, FIOASYNC, &on));
	SHOW(ioctl(event, FIOASYNC, 1));
	close(file), close(event), close(set);
}

static void *give_up(void *fd)
{
	wait_asleep(getpid(), getpid());
	heard("lease");
	printf("has to be %d\n", fcntl(*(int *)fd, F_GETLEASE));
	fcntl(*(int *)fd, F_SETLEASE, F_UNLCK);
	return NULL;
}

static void leases(void)
{
	pthread_t t;
	int fd = open("leased", O_RDWR | O_CREAT, 0600), ro, other;
	base = fd;
	SHOW(fcntl(fd, F_GETLEASE));
	SHOW(fcntl(fd, F_SETLEASE, F_UNLCK));
	SHOW(fcntl(fd, F_SETLEASE, 3));
	SHOW(fcntl(fd, F_SETLEASE, F_RDLCK));
	SHOW(fcntl(fd, F_SETLEASE, F_WRLCK));
	SHOW(fcntl(fd, F_GETLEASE));
	SHOW(open("leased", O_RDONLY | O_NONBLOCK));
	heard("a second open");
	SHOW(fcntl(fd, F_GETLEASE));
	SHOW(open("leased", O_WRONLY | O_NONBLOCK));
	SHOW(fcntl(fd, F_GETLEASE));
	quiet();
	SHOW(fcntl(fd, F_SETLEASE, F_UNLCK));
	SHOW(fcntl(fd, F_GETLEASE));
	ro = open("leased", O_RDONLY);
	SHOW(fcntl(fd, F_SETLEASE, F_WRLCK));
	SHOW(fcntl(ro, F_SETLEASE, F_RDLCK));
	close(fd);
	base = ro;
	SHOW(fcntl(ro, F_SETLEASE, F_RDLCK));
	SHOW(fcntl(ro, F_SETLEASE, F_WRLCK));
	SHOW(fcntl(ro, F_SETLEASE, F_RDLCK));
	other = open("leased", O_RDONLY);
	SHOW(other >= 0);
	SHOW(fcntl(other, F_SETLEASE, F_RDLCK));
	SHOW(fcntl(other, F_SETLEASE, F_WRLCK));
	SHOW(fcntl(other, F_SETLEASE, F_UNLCK));
	SHOW(stat("leased", &(struct stat){0}));
	SHOW(close(open("leased", O_PATH)));
	heard("nobody wrote");
	fcntl(ro, F_SETSIG, SIGUSR1);
	pthread_create(&t, NULL, give_up, &ro);
	fd = open("leased", O_WRONLY);
	printf("opened %d\n", fd >= 0);
	pthread_join(t, NULL);
	close(fd);
	SHOW(fcntl(ro, F_SETLEASE, F_RDLCK));
	pthread_create(&t, NULL, give_up, &ro);
	SHOW(truncate("leased", 10));
	pthread_join(t, NULL);
	// It ends with the last descriptor.
	SHOW(fcntl(ro, F_SETLEASE, F_RDLCK));
	close(other), close(ro);
	SHOW(close(open("leased", O_WRONLY | O_NONBLOCK)));
	int p[2];
	pipe(p);
	SHOW(fcntl(p[0], F_SETLEASE, F_RDLCK));
	int dir = open(".", O_RDONLY);
	SHOW(fcntl(dir, F_SETLEASE, F_RDLCK));
	SHOW(fcntl(99, F_SETLEASE, F_RDLCK));
	SHOW(fcntl(99, F_GETLEASE));
	close(p[0]), close(p[1]), close(dir);
}

static void touch(const char *name)
{
	close(open(name, O_WRONLY | O_CREAT, 0644));
}

static void directories(void)
{
	int dir, file = open("plain", O_RDONLY);
	mkdir("dir", 0755);
	dir = open("dir", O_RDONLY);
	base = dir;
	SHOW(fcntl(file, F_NOTIFY, DN_CREATE));
	SHOW(fcntl(99, F_NOTIFY, DN_CREATE));
	SHOW(fcntl(dir, F_NOTIFY, 0));
	SHOW(fcntl(dir, F_NOTIFY, DN_CREATE));
	touch("dir/one");
	heard("made");
	touch("dir/two");
	heard("made, not asked for any more");
	fcntl(dir, F_SETSIG, SIGRTMIN + 3);
	SHOW(fcntl(dir, F_NOTIFY, DN_DELETE | DN_MODIFY | DN_ATTRIB | DN_MULTISHOT));
	touch("dir/three");
	heard("made, not asked for");
	int fd = open("dir/three", O_RDWR);
	write(fd, "x", 1);
	heard("written");
	fchmod(fd, 0600);
	heard("changed");
	rename("dir/three", "dir/four");
	heard("renamed");
	unlink("dir/four");
	heard("removed");
	close(fd);
	SHOW(fcntl(dir, F_NOTIFY, 0));
	SHOW(fcntl(dir, F_NOTIFY, DN_RENAME));
	touch("dir/three");
	rename("dir/three", "dir/four");
	heard("renamed");
	fcntl(dir, F_NOTIFY, DN_RENAME);
	rename("dir/four", "four");
	heard("moved away");
	rename("four", "dir/four");
	heard("moved here");
	SHOW(fcntl(dir, F_NOTIFY, 0));
	unlink("dir/one");
	heard("nothing asked for");
	close(dir);
	dir = open("dir", O_RDONLY);
	fcntl(dir, F_NOTIFY, DN_DELETE | DN_MULTISHOT);
	close(dir);
	unlink("dir/two");
	heard("closed");
}

int main(void)
{
	int p[2], s[2];
	sigset_t set;
	setvbuf(stdout, NULL, _IOLBF, 0);
	umask(022);
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &set, NULL);
	commands();
	pipe(p);
	readiness(p[0], p[1], "pipe");
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	readiness(s[0], s[1], "stream socket");
	socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
	readiness(s[0], s[1], "datagram socket");
	asleep();
	without();
	leases();
	directories();
	return 0;
}
