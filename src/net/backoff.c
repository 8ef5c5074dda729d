/* SPDX-License-Identifier: MIT */
#include "net/backoff.h"

void backoff_reset(struct backoff *b, uint64_t now_us)
{
	*b = (struct backoff){ .since_us = now_us };
}

void backoff_slow(struct backoff *b)
{
	b->is_slow = true;
}

uint64_t backoff_next(struct backoff *b, uint64_t now_us, uint64_t random)
{
	uint64_t ms = BACKOFF_LATE_MS;

	if (!b->is_slow && now_us < b->since_us + BACKOFF_EAGER_US)
		return BACKOFF_EAGER_MS;
	for (uint32_t i = 0; i < b->late && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	if (b->late < 16)
		b->late++;
	/* Between half and all of it, so that many clients of a relay that
	 * comes back do not arrive together. */
	return ms / 2 + random % (ms / 2 + 1);
}
