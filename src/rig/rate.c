/* SPDX-License-Identifier: MIT */
#include "rig/rate.h"

#define MINUTE_US (UINT64_C(60) * 1000 * 1000)

void rate_init(struct rate *r, uint32_t per_minute, uint64_t now_us)
{
	*r = (struct rate){ .per_minute = per_minute, .at_us = now_us };
}

static uint64_t rate_spent(const struct rate *r, uint64_t now_us)
{
	const uint64_t gone = now_us > r->at_us ? now_us - r->at_us : 0;

	return r->spent_us > gone ? r->spent_us - gone : 0;
}

bool rate_has(const struct rate *r, uint64_t now_us)
{
	return rate_spent(r, now_us) + MINUTE_US / r->per_minute <= MINUTE_US;
}

bool rate_take(struct rate *r, uint64_t now_us)
{
	if (!rate_has(r, now_us))
		return false;
	r->spent_us = rate_spent(r, now_us) + MINUTE_US / r->per_minute;
	r->at_us = now_us;
	return true;
}
