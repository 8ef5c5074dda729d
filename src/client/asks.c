/* SPDX-License-Identifier: MIT */
#include "client/asks.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "client/way.h"
#include "core/session.h"
#include "core/stream.h"
#include "net/loop.h"

struct ask {
	struct list link;
	struct asks *all;
	const struct ask_ops *ops;
	void *user;
	struct timer *deadline;
	uint32_t number;
	bool sent; /* it stands in out, or has left */
	size_t len;
	uint8_t msg[];
};

struct asks {
	uv_loop_t *loop;
	struct way *way;
	struct stream *control; /* NULL: not taken, or closed */
	struct way_watch watch;
	struct list asks;
	size_t count, max;
	uint32_t next_number;
	struct buf in, out;
};

static void ask_drop(struct ask *k)
{
	list_del(&k->link);
	k->all->count--;
	timer_free(k->deadline);
	way_unwant(k->all->way);
	free(k);
}

static void ask_end(struct ask *k, int err, const char *text)
{
	const struct ask_ops *ops = k->ops;
	void *user = k->user;

	if (text == NULL || text[0] == '\0')
		text = err < 0 ? err_text(err) : "";
	ask_drop(k);
	ops->on_done(user, err, text);
}

/* Ends all, or those that the closed stream took along. */
static void end_all(struct asks *a, bool sent_only, int err, const char *text)
{
	struct list over;

	list_init(&over);
	list_for_each_safe (it, &a->asks) {
		struct ask *k = container_of(it, struct ask, link);

		if (sent_only && !k->sent)
			continue;
		list_del(&k->link);
		list_push(&over, &k->link);
	}
	while (!list_is_empty(&over))
		ask_end(container_of(list_first(&over), struct ask, link), err,
			text);
}

/* -- the stream */

static void flush(struct asks *a)
{
	size_t len;
	uint8_t *data = buf_peek(&a->out, &len);

	if (len > 0)
		buf_drain(&a->out, stream_write(a->control, data, len));
}

static void judge_answer(struct asks *a, const struct request *r)
{
	list_for_each (it, &a->asks) {
		struct ask *k = container_of(it, struct ask, link);

		if (k->number != r->number || !k->sent)
			continue;
		if (r->known && r->type == A_ERROR) {
			ask_end(k, request_err(r->text.code), r->text.text);
			return;
		}
		if (r->known && r->type == A_DONE) {
			ask_end(k, 0, r->text.text);
			return;
		}
		if (r->known && k->ops->on_answer != NULL)
			k->ops->on_answer(k->user, r);
		if (r->known && r->type == A_INVITE)
			ask_end(k, 0, "");
		return;
	}
}

static size_t on_data(struct stream *st, const uint8_t *data, size_t len)
{
	struct asks *a = stream_user(st);
	struct request *r = xmalloc(sizeof(*r));
	ssize_t n = 0;

	if (len > 0 && buf_append(&a->in, data, len) < 0)
		n = RW_ERR_NOMEM;
	while (n >= 0) {
		size_t have;
		const uint8_t *at = buf_peek(&a->in, &have);

		n = have > 0 ? request_read(at, have, r) : 0;
		if (n <= 0)
			break;
		judge_answer(a, r);
		buf_drain(&a->in, (size_t)n);
	}
	free(r);
	if (n < 0)
		stream_reset(st, (int)n, "cannot follow the answers");
	return len;
}

static void on_room(struct stream *st)
{
	flush(stream_user(st));
}

static void on_closed(struct stream *st, int err, const char *text)
{
	struct asks *a = stream_user(st);

	a->control = NULL;
	buf_reset(&a->in);
	buf_reset(&a->out);
	end_all(a, true, err < 0 ? err : RW_ERR_EOF, text);
}

static const struct stream_ops control_ops = {
	.on_data = on_data,
	.on_room = on_room,
	.on_closed = on_closed,
};

/* Hands the waiting requests to the session, which keeps them over cuts. */
static void send_all(struct asks *a)
{
	if (a->control == NULL) {
		a->control = session_control(way_session(a->way));
		if (a->control == NULL)
			return;
		stream_take(a->control, &control_ops, a);
	}
	list_for_each (it, &a->asks) {
		struct ask *k = container_of(it, struct ask, link);

		if (!k->sent && buf_append(&a->out, k->msg, k->len) == 0)
			k->sent = true;
	}
	flush(a);
}

/* -- the way there */

static void on_live(struct way_watch *w)
{
	send_all(container_of(w, struct asks, watch));
}

static void on_ended(struct way_watch *w, int err, const char *text)
{
	end_all(container_of(w, struct asks, watch), false, err, text);
}

static void on_deadline(void *user)
{
	struct ask *k = user;
	struct way_report r;
	const char *text = "the rig does not answer";

	way_report(k->all->way, &r);
	if (r.state != WAY_LIVE && r.text[0] != '\0')
		text = r.text;
	ask_end(k, RW_ERR_TIMEOUT, text);
}

struct asks *asks_new(uv_loop_t *loop, struct way *way, size_t max)
{
	struct asks *a = xcalloc(1, sizeof(*a));

	a->loop = loop;
	a->way = way;
	a->max = max;
	list_init(&a->asks);
	a->watch =
		(struct way_watch){ .on_live = on_live, .on_ended = on_ended };
	list_init(&a->watch.link);
	return a;
}

void asks_end(struct asks *a)
{
	end_all(a, false, RW_ERR_CANCELLED, NULL);
}

void asks_free(struct asks *a)
{
	CHECK(a->control == NULL && a->count == 0);
	buf_done(&a->in);
	buf_done(&a->out);
	free(a);
}

int asks_put(struct asks *a, struct request *q, const struct ask_ops *ops,
	     void *user, struct ask **ret)
{
	uint8_t msg[REQUEST_MAX];
	struct ask *k;
	ssize_t len;

	if (a->count >= a->max)
		return RW_ERR_LIMIT;
	q->number = ++a->next_number;
	len = request_write(q, msg, sizeof(msg));
	if (len < 0)
		return (int)len;
	k = xcalloc(1, sizeof(*k) + (size_t)len);
	memcpy(k->msg, msg, (size_t)len);
	k->len = (size_t)len;
	k->all = a;
	k->ops = ops;
	k->user = user;
	k->number = q->number;
	k->deadline = timer_new(a->loop, on_deadline, k);
	timer_start(k->deadline,
		    way_state(a->way) == WAY_ENDED ? 0 : ASKS_TIMEOUT_MS);
	list_push(&a->asks, &k->link);
	a->count++;
	*ret = k;
	way_want(a->way);
	if (way_state(a->way) == WAY_LIVE)
		send_all(a);
	else if (!list_is_linked(&a->watch.link))
		way_watch(a->way, &a->watch);
	return 0;
}

void ask_cancel(struct ask *k)
{
	ask_drop(k);
}
