/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/loop.h"
#include "net/loop_local.h"

struct timer {
	uv_timer_t uv;
	struct loop_local *ll;
	struct loop_item item;
	void (*on_fire)(void *user);
	void *user;
	uint64_t due_ms; /* by the loop's cached time */
	bool is_put_off; /* once: the loop may always be late */
	bool is_firing;
	bool is_freed;
};

static void timer_on_close(uv_handle_t *h)
{
	free(h->data);
}

static void timer_shut(struct loop_item *item)
{
	struct timer *t = container_of(item, struct timer, item);

	t->is_freed = true;
	uv_close((uv_handle_t *)&t->uv, timer_on_close);
}

static void timer_on_fire(uv_timer_t *uv)
{
	struct timer *t = uv->data;
	uint64_t now = uv_now(uv->loop);

	if (now > t->due_ms + LOOP_LATE_US / 1000)
		t->ll->is_late = true;
	if (t->ll->is_late && !t->is_put_off) {
		t->is_put_off = true;
		uv_timer_start(uv, timer_on_fire, 1, 0);
		return;
	}
	t->is_put_off = false;
	t->is_firing = true;
	t->on_fire(t->user);
	t->is_firing = false; /* t lives on until its close callback */
}

struct timer *timer_new(uv_loop_t *loop, void (*on_fire)(void *user),
			void *user)
{
	struct timer *t = xcalloc(1, sizeof(*t));

	t->ll = loop_local(loop);
	t->on_fire = on_fire;
	t->user = user;
	CHECK(uv_timer_init(loop, &t->uv) == 0);
	t->uv.data = t;
	loop_item_add(t->ll, &t->item, timer_shut);
	return t;
}

void timer_start(struct timer *t, uint64_t ms)
{
	CHECK(!t->is_freed);
	/* libuv runs timers until none is due: one that starts itself anew
	 * with 0 would never let the loop go on. */
	if (ms == 0 && t->is_firing)
		ms = 1;
	/* The cached time may be a long turn old, and the timer early by it. */
	uv_update_time(t->uv.loop);
	t->due_ms = uv_now(t->uv.loop) + ms;
	t->is_put_off = false;
	CHECK(uv_timer_start(&t->uv, timer_on_fire, ms, 0) == 0);
}

void timer_start_second(struct timer *t)
{
	uv_update_time(t->uv.loop);
	timer_start(t, 1000 - uv_now(t->uv.loop) % 1000);
}

void timer_stop(struct timer *t)
{
	if (!t->is_freed)
		uv_timer_stop(&t->uv);
}

bool timer_is_running(const struct timer *t)
{
	return !t->is_freed && uv_is_active((const uv_handle_t *)&t->uv) != 0;
}

void timer_unref(struct timer *t)
{
	uv_unref((uv_handle_t *)&t->uv);
}

void timer_free(struct timer *t)
{
	if (t == NULL || t->is_freed)
		return;
	list_del(&t->item.link);
	timer_shut(&t->item);
}
