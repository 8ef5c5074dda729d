/* SPDX-License-Identifier: MIT */
#include "cmd/demo_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static volatile sig_atomic_t interrupted;

static void on_signal(int signum)
{
	interrupted = signum;
}

void demo_catch_signals(void)
{
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
}

bool demo_is_interrupted(void)
{
	return interrupted != 0;
}

void demo_say(const char *text)
{
	fprintf(stderr, "  %s\n", text);
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

int demo_port(void)
{
	struct sockaddr_in a = loopback(0);
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = -1;

	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	    getsockname(fd, (struct sockaddr *)&a, &len) == 0)
		port = ntohs(a.sin_port);
	if (fd >= 0)
		close(fd);
	return port;
}

/* --- processes ---------------------------------------------------------------
 */

/* In the child: never returns. */
static void become(const struct demo_spawn *p, const int out[2], pid_t parent)
{
	int log = open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || log < 0 || null < 0)
		_exit(127);
	setpgid(0, 0); /* Ctrl-C is for the demo, which then ends the rest */
	dup2(null, 0);
	dup2(p->out != NULL ? out[1] : log, 1);
	dup2(log, 2);
	setenv("RIGWAY_HOME", p->home, 1);
	if (p->argv[0] != NULL) {
		execv(p->argv[0], (char *const *)(uintptr_t)p->argv);
	} else {
		const char *argv[16] = { "rigway" };

		for (size_t i = 1; i < 15 && p->argv[i] != NULL; i++)
			argv[i] = p->argv[i];
		execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
	}
	_exit(127);
}

pid_t demo_spawn(const struct demo_spawn *p)
{
	int out[2] = { -1, -1 };
	pid_t parent = getpid(), pid;

	if (p->out != NULL && pipe2(out, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0)
		become(p, out, parent);
	if (p->out != NULL) {
		close(out[1]);
		*p->out = out[0];
	}
	return pid;
}

void demo_end(pid_t *pid)
{
	pid_t p = *pid;

	*pid = 0;
	if (p <= 0)
		return;
	kill(p, SIGCONT);
	kill(p, SIGTERM);
	for (int64_t end = now_ms() + 3000; now_ms() < end;) {
		if (waitpid(p, NULL, WNOHANG) == p)
			return;
		poll(NULL, 0, 20);
	}
	kill(p, SIGKILL);
	waitpid(p, NULL, 0);
}

bool demo_byte(int fd, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char byte;

	return poll(&pfd, 1, ms) == 1 && read(fd, &byte, 1) == 1;
}

bool demo_line(int fd, char *out, size_t cap, int ms)
{
	int64_t end = now_ms() + ms;
	size_t n = 0;

	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t left = end - now_ms();
		char c;

		if (left <= 0 || poll(&pfd, 1, (int)left) <= 0)
			return false;
		if (read(fd, &c, 1) != 1)
			return false;
		if (c == '\n')
			break;
		if (n + 1 < cap)
			out[n++] = c;
	}
	out[n] = '\0';
	return true;
}

bool demo_run(const char *home, const char *log, const char *const *argv,
	      char *out, size_t cap)
{
	char line[4096];
	size_t n = 0;
	int fd, status;
	pid_t pid = demo_spawn(&(struct demo_spawn){
		.home = home, .log = log, .out = &fd, .argv = argv });

	if (pid < 0)
		return false;
	while (demo_line(fd, line, sizeof(line), 60000))
		if (out != NULL && n < cap)
			n += (size_t)snprintf(out + n, cap - n, "%s\n", line);
	close(fd);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

char *demo_last_line(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	char *nl = strrchr(text, '\n');

	if (nl != NULL)
		memmove(text, nl + 1, strlen(nl));
	return text;
}

/* --- sockets
 * -------------------------------------------------------------------- */

int demo_connect(int port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool demo_wait_port(int port, int ms)
{
	for (int64_t end = now_ms() + ms; now_ms() < end; poll(NULL, 0, 20)) {
		int fd = demo_connect(port);

		if (fd >= 0) {
			close(fd);
			return true;
		}
	}
	return false;
}

int demo_get(int port, const char *path, char *body, size_t cap)
{
	char text[8192];
	size_t n = 0;
	ssize_t got;
	int fd = demo_connect(port);
	const struct timeval limit = { .tv_sec = 20 };

	body[0] = '\0';
	if (fd < 0)
		return 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	dprintf(fd, "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
	while (n + 1 < sizeof(text) &&
	       (got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	text[n] = '\0';
	/* "HTTP/1.1 200 OK", ..., an empty line, the body */
	const char *status = strchr(text, ' ');
	const char *end = strstr(text, "\r\n\r\n");

	if (strncmp(text, "HTTP/1.", strlen("HTTP/1.")) != 0 || status == NULL)
		return 0;
	if (end != NULL)
		str_copy(body, cap, end + 4);
	return (int)strtol(status, NULL, 10);
}

static int listen_on(int port)
{
	struct sockaddr_in a = loopback(port);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(fd, 64) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* A child of the demo that runs a loop of its own and has no other fds. */
static pid_t demo_child(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		setpgid(0, 0);
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
	}
	return pid;
}

/* --- the network
 * ------------------------------------------------------------------- */

#define NET_WAYS 256 /* two processes a connection */

/* One direction of one connection, in a process of its own: a stopped process
 * is a silent network. */
static _Noreturn void net_way(int from, int to)
{
	char buf[65536];
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((n = read(from, buf, sizeof(buf))) > 0)
		for (ssize_t done = 0, w; done < n; done += w)
			if ((w = write(to, buf + done, (size_t)(n - done))) <=
			    0)
				goto broken;
	if (n == 0) {
		shutdown(to, SHUT_WR);
		_exit(0);
	}
broken:
	shutdown(from, SHUT_RDWR);
	shutdown(to, SHUT_RDWR);
	_exit(0);
}

static size_t net_accept(pid_t *ways, size_t count, int listener, int to)
{
	int fd[2] = { accept4(listener, NULL, NULL, SOCK_CLOEXEC), -1 };

	if (fd[0] < 0)
		return count;
	fd[1] = demo_connect(to);
	for (int i = 0; i < 2 && fd[1] >= 0 && count < NET_WAYS; i++) {
		pid_t pid = fork();

		if (pid == 0)
			net_way(fd[i], fd[1 - i]);
		if (pid > 0)
			ways[count++] = pid;
	}
	if (fd[1] >= 0)
		close(fd[1]);
	close(fd[0]);
	return count;
}

/* Forgets the ways that have ended. */
static size_t net_reap(pid_t *ways, size_t count)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (size_t i = 0; i < count; i++)
			if (ways[i] == pid)
				ways[i--] = ways[--count];
	return count;
}

static _Noreturn void net_loop(int listener, int to, int control)
{
	pid_t ways[NET_WAYS];
	size_t count = 0;
	char cmd;

	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		struct pollfd fds[2] = {
			{ .fd = control, .events = POLLIN },
			{ .fd = listener, .events = POLLIN },
		};

		if (poll(fds, 2, 1000) < 0 && errno != EINTR)
			_exit(1);
		count = net_reap(ways, count);
		if (fds[0].revents != 0) {
			if (read(control, &cmd, 1) != 1)
				_exit(0);
			while (count > 0)
				kill(ways[--count], SIGSTOP);
			continue;
		}
		if (fds[1].revents != 0)
			count = net_accept(ways, count, listener, to);
	}
}

bool demo_net_start(struct demo_net *n, int to)
{
	int control[2], listener;

	n->port = demo_port();
	listener = listen_on(n->port);
	if (listener < 0 || pipe2(control, O_CLOEXEC) < 0)
		return false;
	n->pid = demo_child();
	if (n->pid == 0) {
		close(control[1]);
		net_loop(listener, to, control[0]);
	}
	close(listener);
	close(control[0]);
	n->control = control[1];
	return n->pid > 0;
}

void demo_net_roam(struct demo_net *n)
{
	if (write(n->control, "r", 1) != 1)
		perror("demo");
}

/* --- the service
 * ---------------------------------------------------------------------- */

static void serve_one(int fd)
{
	static const char page[] =
		"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n"
		"Connection: close\r\n\r\n<!doctype html><title>rigway</title>"
		"<h1>It works</h1><p>This page was fetched from the rig, "
		"through the relay, which could not read it.\n";
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	if (poll(&pfd, 1, 300) > 0) {
		char buf[2048];
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n > 4 && memcmp(buf, "GET ", 4) == 0)
			dprintf(fd, "%s", page);
		_exit(0);
	}
	for (unsigned i = 1; dprintf(fd, "%u\n", i) > 0; i++)
		poll(NULL, 0, 100);
	_exit(0);
}

pid_t demo_serve(int port)
{
	int listener = listen_on(port);
	pid_t pid;

	if (listener < 0)
		return -1;
	pid = demo_child();
	if (pid == 0) {
		signal(SIGCHLD, SIG_IGN);
		signal(SIGPIPE, SIG_IGN);
		for (;;) {
			int fd = accept(listener, NULL, NULL);

			if (fd >= 0 && fork() == 0) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				serve_one(fd);
			}
			if (fd >= 0)
				close(fd);
		}
	}
	close(listener);
	return pid;
}
