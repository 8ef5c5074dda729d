/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/demo_parts.h"

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
	listener = demo_listen(n->port);
	if (listener < 0 || pipe2(control, O_CLOEXEC) < 0)
		return false;
	n->pid = demo_fork();
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
