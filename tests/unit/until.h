/* SPDX-License-Identifier: MIT */
/* Runs a test's loop until something is so. */
#pragma once
#include "unit.h"

#include "net/loop.h"

/* Keeps the loop from waiting for ever. */
struct guard {
	struct timer *timer;
	bool is_late;
};

static inline void guard_on_timer(void *user)
{
	((struct guard *)user)->is_late = true;
}

static inline void guard_init(struct guard *g, uv_loop_t *loop)
{
	g->timer = timer_new(loop, guard_on_timer, g);
}

static inline void guard_start(struct guard *g, uint64_t ms)
{
	g->is_late = false;
	timer_start(g->timer, ms);
}

/* Does `turn` again and again until cond holds; fails the test after ms. */
#define until_by(g, ms, cond, turn)                                            \
	do {                                                                   \
		guard_start(g, ms);                                            \
		while (!(cond) && !(g)->is_late)                               \
			turn;                                                  \
		timer_stop((g)->timer);                                        \
		if (!(cond))                                                   \
			fail_msg("waited in vain for %s", #cond);              \
	} while (0)
