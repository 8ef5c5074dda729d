/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "net/dial.h"

int dial_unix(const char *path, int *ret_fd)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, err;

	if (!str_copy(sa.sun_path, sizeof(sa.sun_path), path))
		return RW_ERR_LIMIT;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0) {
		*ret_fd = fd;
		return 0;
	}
	err = errno;
	close(fd);
	switch (err) {
	case ECONNREFUSED: return RW_ERR_REFUSED;
	case ENOENT: return RW_ERR_NOT_FOUND;
	case EAGAIN: return RW_ERR_BUSY;
	default: return -err;
	}
}
