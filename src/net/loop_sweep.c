/* SPDX-License-Identifier: MIT */
/*
 * What is looked at once a second while there is something to look at: buffers
 * of those who idle, half-closed sockets, memory that a burst left behind.
 */
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/loop.h"
#include "net/loop_local.h"

#define TRIM_SWEEPS 10 /* once a second each */

static void loop_sweep_warm(struct loop_local *ll)
{
	list_for_each_safe (it, &ll->warm) {
		struct warm *w = container_of(it, struct warm, link);

		if (w->touched) {
			w->touched = false;
			continue;
		}
		list_del(&w->link);
		w->on_idle(w);
	}
}

static void loop_sweep_watched(struct loop_local *ll)
{
	struct list seen;
	struct list *it;

	/* on_look may end others than its own: take them one by one. */
	list_init(&seen);
	list_move_all(&seen, &ll->watched);
	while ((it = list_pop(&seen)) != NULL) {
		struct watched *w = container_of(it, struct watched, link);

		list_push(&ll->watched, &w->link);
		w->on_look(w);
	}
}

/* Milliseconds of processor time that this thread has used. */
static uint64_t cpu_ms(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* What a burst left behind goes back when all connections rest, and now and
 * then while some flow on, which may be for hours. In a large heap that takes
 * tens of milliseconds, for which everybody waits: then less often, so that it
 * is no more than a thousandth of the time. */
static void loop_sweep_memory(struct loop_local *ll)
{
	const bool rest = list_is_empty(&ll->warm);
	uint64_t began;

	if (ll->trim_pause > 0) {
		ll->trim_pause--;
		return;
	}
	if (!ll->is_used || (!rest && ++ll->busy_sweeps < TRIM_SWEEPS))
		return;
	ll->is_used = !rest;
	ll->busy_sweeps = 0;
	began = cpu_ms();
	mem_trim();
	ll->trim_pause = cpu_ms() - began;
}

void loop_on_sweep(void *user)
{
	struct loop_local *ll = user;

	loop_sweep_warm(ll);
	loop_sweep_memory(ll);
	if (ll->sweeps++ % 5 == 0)
		loop_sweep_watched(ll);
	if (ll->is_used || !list_is_empty(&ll->watched))
		timer_start_second(ll->sweep);
}

static void loop_sweep_start(struct loop_local *ll)
{
	if (!timer_is_running(ll->sweep) && !ll->is_closing)
		timer_start_second(ll->sweep);
}

void loop_warm(struct loop_local *ll, struct warm *w)
{
	w->touched = true;
	ll->is_used = true;
	if (list_is_linked(&w->link))
		return;
	list_push(&ll->warm, &w->link);
	loop_sweep_start(ll);
}

void loop_watch(struct loop_local *ll, struct watched *w)
{
	if (list_is_linked(&w->link))
		return;
	list_push(&ll->watched, &w->link);
	loop_sweep_start(ll);
}
