/* SPDX-License-Identifier: MIT */
/* For systems whose way to tell of changes is not known here. */
#include <errno.h>

#include "net/roam_local.h"

int roam_source_open(uv_loop_t *loop, struct roam *r, struct roam_source **ret)
{
	(void)loop;
	(void)r;
	(void)ret;
	return -ENOTSUP;
}

void roam_source_close(struct roam_source *s)
{
	(void)s;
}
