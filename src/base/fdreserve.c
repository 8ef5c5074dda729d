/* SPDX-License-Identifier: MIT */
#include "base/fdreserve.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"

int fdreserve_fill(struct fdreserve *r, unsigned upto)
{
	CHECK(upto <= FDRESERVE_MAX);
	while (r->count < upto) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return -errno;
		r->fds[r->count++] = fd;
	}
	return 0;
}

bool fdreserve_give(struct fdreserve *r)
{
	if (r->count == 0)
		return false;
	close(r->fds[--r->count]);
	return true;
}

void fdreserve_done(struct fdreserve *r)
{
	while (fdreserve_give(r))
		;
}
