/* SPDX-License-Identifier: MIT */
/*
 * How often something may happen: a bucket that holds a minute's worth at most
 * and fills evenly. No clock: the time comes in.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct rate {
	uint32_t per_minute;
	uint64_t spent_us; /* how much of the minute is used up */
	uint64_t at_us;	   /* when that was true */
};

void rate_init(struct rate *r, uint32_t per_minute, uint64_t now_us);
/* Takes one; false when there is none: nothing is taken then. */
bool rate_take(struct rate *r, uint64_t now_us);
/* Whether rate_take() would. */
bool rate_has(const struct rate *r, uint64_t now_us);
