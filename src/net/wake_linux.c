/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "net/wake.h"

uint64_t wake_always_us(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_BOOTTIME, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}
