/* SPDX-License-Identifier: MIT */
#include "core/budget.h"

#include "base/check.h"

void budget_init(struct budget *b, uint64_t total, uint32_t floor,
		 uint32_t window_max)
{
	*b = (struct budget){
		.total = total,
		.floor = floor,
		.window_max = window_max,
	};
}

uint32_t budget_streams(const struct budget *b)
{
	uint64_t n = b->total / 2 / b->floor;

	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

uint64_t budget_lend(struct budget *b, uint64_t want)
{
	uint64_t free_bytes = b->total / 2 - b->lent;
	uint64_t got = MIN(want, free_bytes / 4);

	b->lent += got;
	return got;
}

void budget_return(struct budget *b, uint64_t bytes)
{
	CHECK(bytes <= b->lent);
	b->lent -= bytes;
}
