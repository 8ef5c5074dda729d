/* SPDX-License-Identifier: MIT */
#include "carrier/bearer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/str.h"
#include "net/chan.h"
#include "net/loop.h"
#include "net/piece.h"
#include "wire/frame.h"

/* A timer that stands so long before the next tick would wake for nothing. */
#define NEEDLESS_US 250000

struct driver {
	uv_loop_t *loop;
	struct flusher *flusher;
	struct timer *timer;
	uint64_t timer_at;	 /* 0: not running */
	struct driven *timer_of; /* whose tick that is; only compared */
	struct map by_session;
	struct list all, dirty;
};

/* What a driver knows of one session. */
struct driven {
	struct session *s;
	struct list all, dirty;
	uint64_t tick_at;
};

struct bearer {
	struct driver *d;
	struct session *s;
	struct carrier *c; /* NULL once the core or the session let go */
	struct chan *chan;
	const struct bearer_ops *ops;
	void *user;
	bool is_bulk; /* the last it sent was a batch, or most of one */
	bool is_last; /* so it comes after the others, in this turn */
	int err;      /* why it ends; 0: not known yet */
	char text[256];
};

/* --- one bearer ------------------------------------------------------------
 */

/* What the system calls a cut tells nobody more than that. */
static const char *end_text(int err)
{
	switch (err) {
	case RW_ERR_TRUNCATED:
	case -EPIPE:
	case -ECONNRESET:
	case -ECONNABORTED: return "the connection was cut";
	default: return err_text(err);
	}
}

static void note_end(struct bearer *b, int err, const char *text)
{
	if (b->err != 0)
		return;
	b->err = err;
	str_copy(b->text, sizeof(b->text), text != NULL ? text : end_text(err));
}

static void bearer_let_go(struct bearer *b)
{
	struct carrier *c = b->c;

	b->c = NULL;
	if (c != NULL)
		carrier_close(c, loop_now_us(b->d->loop));
}

static void bearer_fail(struct bearer *b, int err, const char *text)
{
	note_end(b, err, text);
	bearer_let_go(b);
	chan_close(b->chan, err);
}

/* With more plaintext than this, the next frame waits for the next write. */
static size_t batch_bytes(const struct bearer *b)
{
	size_t n = piece_of(loop_pieces(b->d->loop), FRAME_BULK_BATCH,
			    FRAME_BULK_FEW);

	return (n - 1) * (FRAME_DATA_HDR + FRAME_BULK);
}

/* Encrypts what may go now and writes it with one call. More is encrypted only
 * when the kernel has taken all of it. Returns true if there is more. */
static bool bearer_pull(struct bearer *b, uint64_t now_us)
{
	const size_t batch = batch_bytes(b);
	size_t total = 0;
	const uint8_t *data;

	while (b->c != NULL && total <= batch) {
		size_t n;

		if (total == 0 && chan_queued(b->chan) > 0)
			return false; /* on_room comes */
		n = carrier_output(b->c, &data, now_us);
		if (n == 0)
			break;
		int err = chan_write(b->chan, data, n);

		/* It has ended in this turn, and on_closed() says why. */
		if (err == RW_ERR_CLOSING) {
			bearer_let_go(b);
			return false;
		}
		if (err < 0) {
			bearer_fail(b, err, NULL);
			return false;
		}
		total += n;
	}
	if (total > 0)
		chan_flush(b->chan);
	b->is_bulk = total > batch / 2;
	return total > batch && b->c != NULL && chan_queued(b->chan) == 0;
}

static size_t on_data(struct chan *chan, const uint8_t *data, size_t len)
{
	struct bearer *b = chan_user(chan);

	if (b->c == NULL)
		return len;
	ssize_t n = carrier_input(b->c, data, len, loop_now_us(b->d->loop));

	if (n < 0) {
		b->c = NULL; /* the core let go of it */
		note_end(b, (int)n, NULL);
		chan_close(chan, (int)n);
		return len;
	}
	return (size_t)n;
}

static void on_room(struct chan *chan)
{
	struct bearer *b = chan_user(chan);

	if (b->c != NULL)
		driver_wake(b->d, b->s);
}

static void on_closed(struct chan *chan, int err)
{
	struct bearer *b = chan_user(chan);

	bearer_let_go(b);
	note_end(b, err != 0 ? err : RW_ERR_GONE,
		 err == 0 ? "the other side closed the connection" : NULL);
	if (b->ops != NULL && b->ops->on_end != NULL)
		b->ops->on_end(b->user, b->err, b->text);
	free(b);
}

static const struct chan_ops bearer_chan_ops = {
	.on_data = on_data,
	.on_room = on_room,
	.on_closed = on_closed,
};

/* Takes the chan: from here on its end is the bearer's end. */
static struct bearer *bearer_new(const struct bearer_params *p)
{
	struct bearer *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->d = p->driver;
	b->s = p->session;
	b->chan = p->chan;
	b->ops = p->ops;
	b->user = p->user;
	return b;
}

static int bearer_start(struct bearer *b, struct carrier *c,
			struct bearer **ret)
{
	if (c == NULL) {
		free(b);
		return RW_ERR_LIMIT;
	}
	b->c = c;
	carrier_set_user(c, b);
	chan_set_ops(b->chan, &bearer_chan_ops, b);
	driver_wake(b->d, b->s);
	*ret = b;
	return 0;
}

int bearer_dial(const struct bearer_params *p, const struct hello_extra *extra,
		struct bearer **ret)
{
	struct bearer *b = bearer_new(p);
	uint64_t now_us = loop_now_us(p->driver->loop);

	if (b == NULL)
		return RW_ERR_NOMEM;
	return bearer_start(b, session_dial(p->session, extra, now_us), ret);
}

int bearer_accept(const struct bearer_params *p, const struct hello *h,
		  bool fresh, const struct rig_info *info, struct bearer **ret)
{
	struct bearer *b = bearer_new(p);
	uint64_t now_us = loop_now_us(p->driver->loop);

	if (b == NULL)
		return RW_ERR_NOMEM;
	return bearer_start(
		b, session_accept(p->session, h, fresh, info, now_us), ret);
}

void bearer_close(struct bearer *b, int err, const char *text)
{
	note_end(b, err, text);
	if (b->c != NULL)
		bearer_pull(b, loop_now_us(b->d->loop)); /* a last word */
	bearer_let_go(b);
	chan_finish(b->chan, err);
}

void bearer_cut(struct bearer *b, int err, const char *text)
{
	bearer_fail(b, err, text);
}

void bearer_dropped(struct carrier *c, int err, const char *text)
{
	struct bearer *b = carrier_user(c);

	if (b == NULL)
		return;
	b->c = NULL;
	note_end(b, err, text);
	/* What it had to send goes another way. */
	chan_abort(b->chan, err);
}

uint64_t bearer_rtt_us(const struct bearer *b)
{
	return b->chan != NULL ? chan_rtt_us(b->chan) : 0;
}

void *bearer_user(const struct carrier *c)
{
	const struct bearer *b = carrier_user(c);

	return b != NULL ? b->user : NULL;
}

/* --- the driver -------------------------------------------------------------
 */

/* Who is to be ticked next; NULL: nobody, ever. */
static struct driven *nearest(struct driver *d)
{
	struct driven *found = NULL;

	list_for_each (it, &d->all) {
		struct driven *v = container_of(it, struct driven, all);

		if (v->tick_at != UINT64_MAX &&
		    (found == NULL || v->tick_at < found->tick_at))
			found = v;
	}
	return found;
}

/* The timer stands at the nearest tick of all sessions, or a little before:
 * ticks that move on under traffic are not followed each time. */
static void set_timer(struct driver *d, struct driven *v, uint64_t now_us)
{
	const bool needless = d->timer_at != 0 && d->timer_of == v &&
			      v->tick_at > d->timer_at + NEEDLESS_US;

	if (needless)
		v = nearest(d);
	else if (d->timer_at != 0 && d->timer_at <= v->tick_at)
		return;
	if (v == NULL || v->tick_at == UINT64_MAX)
		return;
	d->timer_at = v->tick_at;
	d->timer_of = v;
	timer_start(d->timer, v->tick_at > now_us
				      ? (v->tick_at - now_us + 999) / 1000
				      : 0);
}

/* All carriers that had bulk, or all others. Returns true if one has more. */
static bool pull_all(struct session *s, bool is_last, uint64_t now_us)
{
	struct carrier *next;
	bool more = false;

	for (struct carrier *c = session_carrier_next(s, NULL); c != NULL;
	     c = next) {
		struct bearer *b = carrier_user(c);

		next = session_carrier_next(s, c);
		if (b != NULL && b->is_last == is_last)
			more |= bearer_pull(b, now_us);
	}
	return more;
}

static void run_session(struct driver *d, struct driven *v)
{
	uint64_t now_us = loop_now_us(d->loop);
	struct carrier *next = NULL;
	bool more;

	while ((next = session_carrier_next(v->s, next)) != NULL) {
		struct bearer *b = carrier_user(next);

		if (b == NULL)
			continue;
		b->is_last = b->is_bulk;
		carrier_stirred(next, chan_heard_us(b->chan));
	}
	v->tick_at = session_tick(v->s, now_us);
	more = pull_all(v->s, false, now_us);
	more |= pull_all(v->s, true, now_us);
	if (more)
		driver_wake(d, v->s);
	set_timer(d, v, now_us);
}

static void on_flush(void *user)
{
	struct driver *d = user;
	struct list now, *it;

	list_init(&now);
	list_move_all(&now, &d->dirty);
	while ((it = list_pop(&now)) != NULL)
		run_session(d, container_of(it, struct driven, dirty));
}

static void on_timer(void *user)
{
	struct driver *d = user;
	uint64_t now_us = loop_now_us(d->loop);

	d->timer_at = 0;
	list_for_each (it, &d->all) {
		struct driven *v = container_of(it, struct driven, all);

		if (v->tick_at <= now_us)
			driver_wake(d, v->s);
		else
			set_timer(d, v, now_us);
	}
}

int driver_new(uv_loop_t *loop, struct driver **ret)
{
	struct driver *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return RW_ERR_NOMEM;
	d->loop = loop;
	d->flusher = flusher_new(loop, on_flush, d);
	d->timer = timer_new(loop, on_timer, d);
	map_init(&d->by_session, 0);
	list_init(&d->all);
	list_init(&d->dirty);
	*ret = d;
	return 0;
}

void driver_free(struct driver *d)
{
	CHECK(list_is_empty(&d->all));
	flusher_free(d->flusher);
	timer_free(d->timer);
	map_done(&d->by_session);
	free(d);
}

int driver_add(struct driver *d, struct session *s)
{
	struct driven *v = calloc(1, sizeof(*v));

	if (v == NULL || map_put(&d->by_session, (uintptr_t)s, v) < 0) {
		free(v);
		return RW_ERR_NOMEM;
	}
	v->s = s;
	list_init(&v->dirty);
	list_init(&v->all);
	list_push(&d->all, &v->all);
	driver_wake(d, s);
	return 0;
}

void driver_wake(struct driver *d, struct session *s)
{
	struct driven *v = map_get(&d->by_session, (uintptr_t)s);

	if (v == NULL)
		return;
	if (!list_is_linked(&v->dirty))
		list_push(&d->dirty, &v->dirty);
	flusher_mark(d->flusher);
}

void driver_remove(struct driver *d, struct session *s)
{
	struct driven *v = map_del(&d->by_session, (uintptr_t)s);
	struct carrier *c;

	if (v == NULL)
		return;
	list_del(&v->all);
	list_del(&v->dirty);
	free(v);
	while ((c = session_carrier_next(s, NULL)) != NULL) {
		struct bearer *b = carrier_user(c);

		if (b != NULL)
			bearer_close(b, RW_ERR_CANCELLED,
				     "the session is over");
		else
			carrier_close(c, loop_now_us(d->loop));
	}
}
