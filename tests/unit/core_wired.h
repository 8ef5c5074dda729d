/* SPDX-License-Identifier: MIT */
/* How most tests of the core begin and end: a pair, and w, its one connection.
 */
#pragma once
#include "core_pair.h"

static struct wire *w;

static inline void start(void)
{
	pair_start();
	w = wire_up();
}

/* For tests that set limits before they start(). */
static inline int setup_unstarted(void **state)
{
	(void)state;
	pair_init();
	return 0;
}

static inline int setup(void **state)
{
	setup_unstarted(state);
	start();
	return 0;
}
