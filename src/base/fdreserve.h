/* SPDX-License-Identifier: MIT */
/*
 * Descriptors put by for the time when the process has no others: whoever must
 * get in then, takes the place of one. Not for threads.
 */
#pragma once
#include <stdbool.h>

#define FDRESERVE_MAX 8

struct fdreserve {
	int fds[FDRESERVE_MAX]; /* on /dev/null */
	unsigned count;
};

/* Up to upto of them. Starts from { 0 }. 0, or -errno: the system lets it have
 * fewer. */
int fdreserve_fill(struct fdreserve *r, unsigned upto);
/* Closes one, so that the next call that needs a descriptor gets it. False:
 * there is none left. */
bool fdreserve_give(struct fdreserve *r);
void fdreserve_done(struct fdreserve *r);
