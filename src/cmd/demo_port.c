/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/str.h"
#include "cmd/demo_parts.h"

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
	for (int64_t end = demo_now_ms() + ms; demo_now_ms() < end;
	     poll(NULL, 0, 20)) {
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

int demo_listen(int port)
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
