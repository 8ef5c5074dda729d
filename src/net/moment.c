/* SPDX-License-Identifier: MIT */
#include "net/moment.h"

#include <time.h>

#include "base/check.h"
#include "net/loop.h"
#include "net/wake.h"

uint64_t moment_now(void)
{
	uint64_t now = wake_always_us();

	if (now == 0)
		now = loop_now_us(NULL);
	return MAX(now, 1);
}

int64_t moment_unix_at(uint64_t moment, uint64_t now, int64_t wall_us)
{
	const int64_t ago_us = (int64_t)(now - MIN(moment, now));

	if (moment == 0)
		return 0;
	/* Before 1970 there is no time to show, and 0 is taken. */
	return MAX((wall_us - ago_us) / 1000000, 1);
}

int64_t moment_unix(uint64_t moment)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return moment_unix_at(moment, moment_now(),
			      (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000);
}

uint64_t moment_span_s(uint64_t from, uint64_t to)
{
	return (to - MIN(from, to)) / 1000000;
}
