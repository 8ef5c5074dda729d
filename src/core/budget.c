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

bool budget_enter(struct budget *b)
{
	if (b->streams >= budget_streams(b))
		return false;
	b->streams++;
	return true;
}

void budget_leave(struct budget *b)
{
	CHECK(b->streams > 0);
	b->streams--;
}

uint64_t budget_room(const struct budget *b, uint64_t len)
{
	uint64_t half = b->total / 2;
	uint64_t beyond = b->kept < half ? (half - b->kept) / 4 : 0;
	uint64_t floor = len < b->floor ? b->floor - len : 0;

	return MAX(floor, beyond);
}

void budget_keep(struct budget *b, uint64_t bytes)
{
	b->kept += bytes;
}

void budget_forget(struct budget *b, uint64_t bytes)
{
	CHECK(bytes <= b->kept);
	b->kept -= bytes;
}
