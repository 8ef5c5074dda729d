/* SPDX-License-Identifier: MIT */
/* A loop from its first use to its end: what is kept for it, which turns are
 * late, signals, and what is closed last. Its timers, its flushers and what it
 * sweeps have files of their own. */
#include "net/loop.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/loop_local.h"
#include "net/resolve.h"

/* What loop_run_close() grants the system's resolver, which nobody can stop. */
#define CLOSE_WAIT_MS 2000

struct watch {
	uv_signal_t uv;
	struct loop_item item;
	void (*on_signal)(void *user, int signum);
	void *user;
};

int loop_init(uv_loop_t *loop)
{
	loop->data = NULL;
	return uv_loop_init(loop);
}

uint64_t loop_now_us(const uv_loop_t *loop)
{
	(void)loop;
	return uv_hrtime() / 1000;
}

/* -- late turns ------------------------------------------------------------
 *
 * A process that was stopped (SIGSTOP, a debugger, a machine that swaps) finds
 * its deadlines passed while the bytes that prove the other side's life wait in
 * its sockets; libuv would run the timers first, for epoll_wait() was
 * interrupted and says nothing. So a late turn only reads.
 */

void loop_before_poll(struct loop_local *ll)
{
	uint64_t now = loop_now_us(ll->loop);
	int ms = uv_backend_timeout(ll->loop);

	if (!ll->is_polling && ll->polled_us != 0 &&
	    now - ll->polled_us > LOOP_LATE_US)
		ll->is_late = true;
	ll->is_polling = true;
	ll->was_late = ll->is_late;
	ll->poll_us = now;
	ll->wait_us = ms < 0 ? -1 : (int64_t)ms * 1000;
}

void loop_after_poll(struct loop_local *ll)
{
	if (!ll->is_polling)
		return;
	ll->is_polling = false;
	ll->polled_us = loop_now_us(ll->loop);
	ll->is_late = !ll->was_late && ll->wait_us >= 0 &&
		      ll->polled_us - ll->poll_us >
			      (uint64_t)ll->wait_us + LOOP_LATE_US;
}

/* -- signals */

static void watch_on_close(uv_handle_t *h)
{
	free(h->data);
}

static void watch_shut(struct loop_item *item)
{
	struct watch *w = container_of(item, struct watch, item);

	uv_close((uv_handle_t *)&w->uv, watch_on_close);
}

static void watch_on_signal(uv_signal_t *uv, int signum)
{
	struct watch *w = uv->data;

	w->on_signal(w->user, signum);
}

int signal_watch(uv_loop_t *loop, int signum,
		 void (*on_signal)(void *user, int signum), void *user)
{
	struct watch *w = xcalloc(1, sizeof(*w));
	int r;

	w->on_signal = on_signal;
	w->user = user;
	r = uv_signal_init(loop, &w->uv);
	if (r < 0) {
		free(w);
		return r;
	}
	w->uv.data = w;
	loop_item_add(loop_local(loop), &w->item, watch_shut);
	r = uv_signal_start(&w->uv, watch_on_signal, signum);
	if (r < 0) {
		list_del(&w->item.link);
		watch_shut(&w->item);
		return r;
	}
	uv_unref((uv_handle_t *)&w->uv);
	return 0;
}

/* -- what net/ keeps for a loop */

static void loop_on_turn(void *user)
{
	struct loop_local *ll = user;
	struct list now;
	struct list *it;

	/* What is put off meanwhile belongs to the next turn. */
	list_init(&now);
	list_move_all(&now, &ll->deferred);
	while ((it = list_pop(&now)) != NULL) {
		struct deferred *d = container_of(it, struct deferred, link);

		d->on_turn(d);
	}
}

void loop_on_shortage(uv_loop_t *loop, void (*on_shortage)(void *user, int err),
		      void *user)
{
	struct loop_local *ll = loop_local(loop);

	ll->on_shortage = on_shortage;
	ll->shortage_user = user;
}

void loop_shortage(struct loop_local *ll, int err)
{
	uint64_t now = loop_now_us(ll->loop);
	bool is_short = err == -EMFILE || err == -ENFILE || err == -ENOBUFS ||
			err == -ENOMEM;

	if (!is_short || ll->on_shortage == NULL ||
	    (ll->shortage_us != 0 &&
	     now < ll->shortage_us + LOOP_SHORTAGE_MS * 1000ull))
		return;
	ll->shortage_us = now;
	ll->on_shortage(ll->shortage_user, err);
}

struct loop_local *loop_local(uv_loop_t *loop)
{
	struct loop_local *ll = loop->data;

	if (ll != NULL)
		return ll;
	ll = xcalloc(1, sizeof(*ll));
	ll->loop = loop;
	list_init(&ll->conns);
	list_init(&ll->items);
	list_init(&ll->deferred);
	list_init(&ll->warm);
	list_init(&ll->watched);
	list_init(&ll->resolving);
	pieces_init(&ll->pieces, loop);
	list_init(&ll->known);
	ll->read_mem = xmalloc(LOOP_READ_LEN);
	ll->plain_mem = xmalloc(LOOP_PLAIN_LEN);
	loop->data = ll;
	ll->turn = flusher_new(loop, loop_on_turn, ll);
	ll->sweep = timer_new(loop, loop_on_sweep, ll);
	timer_unref(ll->sweep);
	list_init(&ll->last);
	list_move_all(&ll->last, &ll->items);
	return ll;
}

struct pieces *loop_pieces(uv_loop_t *loop)
{
	return &loop_local(loop)->pieces;
}

static void loop_add(struct list *to, struct loop_item *item,
		     void (*on_shut)(struct loop_item *item))
{
	item->on_shut = on_shut;
	list_init(&item->link);
	list_push(to, &item->link);
}

void loop_item_add(struct loop_local *ll, struct loop_item *item,
		   void (*on_shut)(struct loop_item *item))
{
	loop_add(&ll->items, item, on_shut);
}

void loop_conn_add(struct loop_local *ll, struct loop_item *item,
		   void (*on_shut)(struct loop_item *item))
{
	loop_add(&ll->conns, item, on_shut);
}

void loop_defer(struct loop_local *ll, struct deferred *d)
{
	if (list_is_linked(&d->link))
		return;
	list_push(&ll->deferred, &d->link);
	flusher_mark(ll->turn);
}

/* -- the end */

static void loop_close_foreign(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static void loop_shut_all(struct list *items)
{
	struct list *it;

	while ((it = list_pop(items)) != NULL) {
		struct loop_item *item =
			container_of(it, struct loop_item, link);

		item->on_shut(item);
	}
}

static void loop_on_waited(uv_timer_t *t)
{
	uv_stop(t->loop);
}

/* Runs until no handle is left, or the time is over. */
static void loop_drain(uv_loop_t *loop)
{
	uv_timer_t limit;

	CHECK(uv_timer_init(loop, &limit) == 0);
	limit.data = NULL;
	uv_timer_start(&limit, loop_on_waited, CLOSE_WAIT_MS, 0);
	uv_unref((uv_handle_t *)&limit);
	uv_run(loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&limit, NULL);
	/* Without waiting: only what is closing finishes. */
	uv_run(loop, UV_RUN_NOWAIT);
}

static bool left_behind;

bool loop_left_behind(void)
{
	return left_behind;
}

void loop_run_close(uv_loop_t *loop)
{
	struct loop_local *ll = loop_local(loop);

	ll->is_closing = true;
	/* First those whose end is told to someone, while all that the told
	 * ones own (timers, most of all) is still there for them to free. Two
	 * turns: an end may be put off to a turn's end. */
	while (!list_is_empty(&ll->conns)) {
		loop_shut_all(&ll->conns);
		uv_run(loop, UV_RUN_NOWAIT);
		uv_run(loop, UV_RUN_NOWAIT);
	}
	loop_shut_all(&ll->items);
	loop_shut_all(&ll->last);
	uv_walk(loop, loop_close_foreign, NULL);
	resolve_forget(ll);
	loop_drain(loop);
	resolve_forget(ll); /* an answer may have come just now */
	if (!list_is_empty(&ll->resolving)) {
		/* A resolver that does not answer holds a request whose
		 * memory, and ll with it, is left to the process's end. */
		left_behind = true;
		return;
	}
	free(ll->read_mem);
	free(ll->plain_mem);
	free(ll);
	loop->data = NULL;
	CHECK(uv_loop_close(loop) == 0);
}
