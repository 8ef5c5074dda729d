/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/demo_parts.h"

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
	int listener = demo_listen(port);
	pid_t pid;

	if (listener < 0)
		return -1;
	pid = demo_fork();
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
