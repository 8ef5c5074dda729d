/* SPDX-License-Identifier: MIT */
#include "net/wake.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/loop.h"

struct wake {
	struct wake_params p;
	struct timer *timer;
	uint64_t awake_us; /* at the last tick */
	uint64_t always_us;
};

static uint64_t awake_us(void)
{
	return loop_now_us(NULL);
}

/* Lets a tick pass, and returns how long it took beyond its time. */
static uint64_t pass(struct wake *w)
{
	const uint64_t awake = w->p.awake_us(), always = w->p.always_us();
	uint64_t passed = awake - w->awake_us;

	if (always > w->always_us + passed)
		passed = always - w->always_us;

	w->awake_us = awake;
	w->always_us = always;
	if (w->p.tick_ms == WAKE_TICK_MS)
		timer_start_second(w->timer);
	else
		timer_start(w->timer, w->p.tick_ms);
	return passed / 1000 - MIN(passed / 1000, w->p.tick_ms);
}

static void on_tick(void *user)
{
	struct wake *w = user;
	const uint64_t away_ms = pass(w);

	if (away_ms >= WAKE_LATE_MS)
		w->p.on_wake(w->p.user, away_ms);
}

void wake_look(struct wake *w)
{
	on_tick(w);
}

struct wake *wake_new(const struct wake_params *params)
{
	struct wake *w = xcalloc(1, sizeof(*w));

	w->p = *params;
	if (w->p.awake_us == NULL)
		w->p.awake_us = awake_us;
	if (w->p.always_us == NULL)
		w->p.always_us = wake_always_us;
	if (w->p.tick_ms == 0)
		w->p.tick_ms = WAKE_TICK_MS;
	w->timer = timer_new(w->p.loop, on_tick, w);
	timer_unref(w->timer);
	pass(w);
	return w;
}

void wake_free(struct wake *w)
{
	if (w == NULL)
		return;
	timer_free(w->timer);
	free(w);
}
