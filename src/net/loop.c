/* SPDX-License-Identifier: MIT */
/* Over 500 lines because timers, flushers and the end of a loop share the order
 * of one turn: what is read before what fires, and what is closed last. */
#include "net/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/loop_local.h"
#include "net/resolve.h"

#define TRIM_SWEEPS 10 /* once a second each */
/* What loop_run_close() grants the system's resolver, which nobody can stop. */
#define CLOSE_WAIT_MS 2000
/* A turn that takes so much longer than it was to is late. */
#define LATE_US 100000

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

/* prepare and check bracket the waiting; the idle handle runs nothing, but
 * while it is active the loop does not wait. */
struct flusher {
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t idle;
	struct loop_item item;
	struct loop_local *ll;
	void (*on_flush)(void *user);
	void *user;
	bool is_marked;
	bool is_freed;
	int open; /* handles that are not closed yet */
};

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

/* Before the loop waits. */
static void loop_before_poll(struct loop_local *ll)
{
	uint64_t now = loop_now_us(ll->loop);
	int ms = uv_backend_timeout(ll->loop);

	if (!ll->is_polling && ll->polled_us != 0 &&
	    now - ll->polled_us > LATE_US)
		ll->is_late = true;
	ll->is_polling = true;
	ll->was_late = ll->is_late;
	ll->poll_us = now;
	ll->wait_us = ms < 0 ? -1 : (int64_t)ms * 1000;
}

/* After it waited, and read what was there. */
static void loop_after_poll(struct loop_local *ll)
{
	if (!ll->is_polling)
		return;
	ll->is_polling = false;
	ll->polled_us = loop_now_us(ll->loop);
	ll->is_late =
		!ll->was_late && ll->wait_us >= 0 &&
		ll->polled_us - ll->poll_us > (uint64_t)ll->wait_us + LATE_US;
}

/* -- timers */

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

	if (now > t->due_ms + LATE_US / 1000)
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

/* -- flushers */

static void flusher_on_close(uv_handle_t *h)
{
	struct flusher *f = h->data;

	if (--f->open == 0)
		free(f);
}

static void flusher_shut(struct loop_item *item)
{
	struct flusher *f = container_of(item, struct flusher, item);

	f->is_freed = true;
	uv_close((uv_handle_t *)&f->prepare, flusher_on_close);
	uv_close((uv_handle_t *)&f->check, flusher_on_close);
	uv_close((uv_handle_t *)&f->idle, flusher_on_close);
}

static void flusher_run(struct flusher *f)
{
	/* What was put off to the turn's end may yet say something that a
	 * flusher is there to gather. */
	if (f != f->ll->turn && f->ll->turn != NULL)
		flusher_run(f->ll->turn);
	if (!f->is_marked)
		return;
	f->is_marked = false;
	uv_idle_stop(&f->idle);
	f->on_flush(f->user);
}

/* In a late turn it waits for the next check; the idle handle keeps the poll
 * short. */
static void flusher_on_prepare(uv_prepare_t *uv)
{
	struct flusher *f = uv->data;

	loop_before_poll(f->ll);
	if (!f->ll->is_late)
		flusher_run(f);
}

static void flusher_on_check(uv_check_t *uv)
{
	struct flusher *f = uv->data;

	loop_after_poll(f->ll);
	if (!f->ll->is_late)
		flusher_run(f);
}

static void flusher_on_idle(uv_idle_t *uv)
{
	(void)uv;
}

struct flusher *flusher_new(uv_loop_t *loop, void (*on_flush)(void *user),
			    void *user)
{
	struct flusher *f = xcalloc(1, sizeof(*f));

	f->ll = loop_local(loop);
	f->on_flush = on_flush;
	f->user = user;
	f->open = 3;
	uv_prepare_init(loop, &f->prepare);
	uv_check_init(loop, &f->check);
	uv_idle_init(loop, &f->idle);
	f->prepare.data = f->check.data = f->idle.data = f;
	uv_prepare_start(&f->prepare, flusher_on_prepare);
	uv_check_start(&f->check, flusher_on_check);
	uv_unref((uv_handle_t *)&f->prepare);
	uv_unref((uv_handle_t *)&f->check);
	loop_item_add(f->ll, &f->item, flusher_shut);
	return f;
}

void flusher_mark(struct flusher *f)
{
	if (f->is_marked || f->is_freed)
		return;
	f->is_marked = true;
	uv_idle_start(&f->idle, flusher_on_idle);
}

void flusher_free(struct flusher *f)
{
	if (f == NULL || f->is_freed)
		return;
	list_del(&f->item.link);
	flusher_shut(&f->item);
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

static void loop_on_sweep(void *user)
{
	struct loop_local *ll = user;

	loop_sweep_warm(ll);
	loop_sweep_memory(ll);
	if (ll->sweeps++ % 5 == 0)
		loop_sweep_watched(ll);
	if (ll->is_used || !list_is_empty(&ll->watched))
		timer_start_second(ll->sweep);
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
	/* These two end last: the others' ends may need them. */
	list_del(&ll->turn->item.link);
	list_del(&ll->sweep->item.link);
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
	timer_shut(&ll->sweep->item);
	flusher_shut(&ll->turn->item);
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
