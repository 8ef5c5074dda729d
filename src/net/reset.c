/* SPDX-License-Identifier: MIT */
#include "net/reset.h"

#include <sys/socket.h>
#include <unistd.h>

void reset_at_close(int fd)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void reset_close(int fd)
{
	reset_at_close(fd);
	close(fd);
}
