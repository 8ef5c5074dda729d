/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/demo.h"

void ticker_open(struct ticker *t, int port)
{
	*t = (struct ticker){ .fd = port > 0 ? demo_connect(port) : -1 };
	if (t->fd >= 0)
		fcntl(t->fd, F_SETFL, O_NONBLOCK);
}

static void ticker_number(struct ticker *t)
{
	t->part[t->part_len] = '\0';
	t->part_len = 0;
	if (strtoul(t->part, NULL, 10) != t->count + 1)
		t->broken = true;
	t->count++;
}

void ticker_read(struct ticker *t)
{
	char c;
	ssize_t n = 0;

	while (t->fd >= 0 && (n = read(t->fd, &c, 1)) == 1) {
		if (c == '\n')
			ticker_number(t);
		else if (t->part_len + 1 < sizeof(t->part))
			t->part[t->part_len++] = c;
	}
	if (t->fd >= 0 && (n == 0 || (n < 0 && errno != EAGAIN))) {
		close(t->fd);
		t->fd = -1;
	}
}

bool ticker_wait(struct ticker *t, unsigned to, int ms)
{
	for (; ms > 0 && !demo_is_interrupted(); ms -= 50) {
		struct pollfd pfd = { .fd = t->fd, .events = POLLIN };

		poll(&pfd, 1, 50);
		ticker_read(t);
		if (t->fd < 0 || t->broken)
			return false;
		if (t->count >= to)
			return true;
	}
	return false;
}
