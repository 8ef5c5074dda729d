/* SPDX-License-Identifier: MIT */
/* What arrives on a carrier: the peer's frames become calls on the streams. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "core/parts.h"

/* --- what was consumed --- */

/* Whether the sender could use a larger window: half of it came at once, or
 * within one round trip, so that soon it is the window that sets the rate. */
static bool is_window_short(struct stream *st)
{
	uint64_t took = st->s->now - st->half_at;

	if (st->limit - st->in.end < st->window / 2)
		return true;
	if (st->in.base - st->half < st->window / 2)
		return false;
	st->half = st->in.base;
	st->half_at = st->s->now;
	return st->heard != NULL && took <= st->heard->pace.rtt_us;
}

/* The reader keeps pace and the sender used what it had: lend more. */
static void grow_window(struct stream *st)
{
	struct budget *b = st->s->p.budget;

	if (st->window >= b->window_max || !is_window_short(st) ||
	    chunkq_len(&st->in) > st->window / 4)
		return;
	uint32_t more = MIN(st->window, b->window_max - st->window);
	uint32_t got = (uint32_t)budget_lend(b, more);

	st->lent += got;
	st->window += got;
}

void input_consumed(struct stream *st, size_t n)
{
	struct session *s = st->s;

	if (n > 0)
		grow_window(st);
	/* So much at a time, or at the end of a lag. */
	uint64_t news = MIN(st->window / 4, STATE_MOST);

	if (st->in.base + st->window - st->limit >= news ||
	    st->in.base - st->stated >= news) {
		stream_due(st, DUE_STATE, NULL);
		return;
	}
	if (list_is_linked(&st->lag))
		return;
	if (list_is_empty(&s->lagging)) {
		s->lag_at = s->now + LAG_US;
		session_wake(s);
	}
	list_push(&s->lagging, &st->lag);
}

/* Both directions ended and the peer confirmed ours: a clean close. */
static void close_if_over(struct stream *st)
{
	if (st->closed || !st->fin || !st->eof_given ||
	    st->peer_consumed <= st->out.end)
		return;
	stream_close(st, 0, NULL);
	if (st->mine)
		stream_due(st, DUE_END, NULL);
}

void input_eof(struct stream *st)
{
	st->eof_given = true;
	stream_due(st, DUE_STATE, NULL);
	if (st->ops != NULL && st->ops->on_eof != NULL)
		st->ops->on_eof(st);
	close_if_over(st);
}

/* STATE as it is now; what was lent so far is promised by it. */
size_t input_state(struct stream *st, uint8_t *out)
{
	uint64_t limit = st->in.base + st->window;

	if (limit > st->limit)
		st->limit = limit;
	st->stated = st->in.base;
	list_del(&st->lag);

	const struct frame_state state = {
		.connected = st->connected && !st->mine,
		.received = st->in.end + st->fin_in,
		.consumed = st->in.base + st->eof_given,
		.limit = st->limit,
	};

	return frame_put_state(out, st->id, &state);
}

/* --- frames of a stream --- */

static bool is_ours(const struct session *s, uint32_t id)
{
	return (id & 1) == (s->p.is_client ? 1 : 0);
}

/* An id without a stream: over already, which is no news, or never used. */
static int unknown_id(struct session *s, uint32_t id)
{
	if (is_ours(s, id))
		return id < s->next_id ? 0 : RW_ERR_PROTO;
	return id <= s->highest ? 0 : RW_ERR_PROTO;
}

static int say_gone(struct carrier *c, uint32_t id)
{
	if (c->gone_count >= GONE_MAX + 2 * c->s->p.limits.max_streams)
		return RW_ERR_LIMIT;
	if (c->gone_count == c->gone_cap) {
		size_t cap = c->gone_cap * 2 + 16;
		uint32_t *p = realloc(c->gone, cap * sizeof(*p));

		if (p == NULL)
			return RW_ERR_NOMEM;
		c->gone = p;
		c->gone_cap = cap;
	}
	c->gone[c->gone_count++] = id;
	session_wake(c->s);
	return 0;
}

/* The peer's new stream: has it a place, and does anybody take it? */
static void open_here(struct carrier *c, struct stream *st, uint32_t limit)
{
	struct session *s = c->s;

	st->heard = c;
	st->known = st->sent_open = true;
	stream_ride(st, c);
	spread_woke(st);
	st->peer_limit = limit;
	input_consumed(st, 0);
	st->placed = budget_enter(s->p.budget);
	if (!st->placed) {
		stream_reset(st, RW_ERR_LIMIT,
			     "no room for another connection");
		return;
	}
	if (s->ops->on_open != NULL)
		s->ops->on_open(s, st);
	if (st->ops == NULL)
		stream_reset(st, RW_ERR_NOT_ALLOWED,
			     "nobody takes this stream");
}

static int on_open(struct carrier *c, const struct frame *f)
{
	struct session *s = c->s;
	struct stream *st = session_find(s, f->stream);
	const struct stream_params p = {
		.id = f->stream,
		.kind = (enum stream_kind)f->payload[4],
		.target = (const char *)f->payload + 5,
		.target_len = (size_t)f->len - 5,
	};

	if (is_ours(s, f->stream) || !str_is_clean(p.target, p.target_len))
		return RW_ERR_PROTO;
	if (st != NULL) { /* sent again after a cut */
		st->heard = c;
		stream_due(st, stream_owes(st), c);
		return 0;
	}
	if (f->stream <= s->highest)
		return say_gone(c, f->stream);
	if (f->stream > s->stated_max_id)
		return RW_ERR_PROTO;
	s->highest = f->stream;
	st = stream_new(s, &p);
	session_state_streams(s);
	if (st == NULL) /* refused: its id is used up */
		return say_gone(c, f->stream);
	open_here(c, st, get_be32(f->payload));
	return 0;
}

/* What the user did not take of it, after it took so much, or because older
 * bytes wait already. */
static int keep_data(struct stream *st, const uint8_t *data, size_t len,
		     size_t took)
{
	bool waits = chunkq_len(&st->in) > 0;

	if (chunkq_append(&st->in, &st->s->pool, data, len) != len) {
		/* The control stream goes on when the next carrier brings
		 * the rest again. */
		if (st->id == 0)
			return RW_ERR_NOMEM;
		stream_reset(st, RW_ERR_NOMEM, "out of memory");
		return 0;
	}
	if (took > 0)
		input_consumed(st, took);
	if (waits && st->ops != NULL && st->ops->on_data != NULL)
		st->ops->on_data(st, NULL, 0);
	return 0;
}

static int on_data(struct stream *st, const struct frame *f)
{
	uint64_t off = get_be64(f->payload);
	const uint8_t *data = f->payload + 8;
	size_t len = (size_t)f->len - 8, took = 0;

	if (off > st->in.end || off > UINT64_MAX / 2)
		return RW_ERR_PROTO; /* a gap */
	if (off + len > st->limit || (st->fin_in && off + len > st->in.end))
		return RW_ERR_PROTO;
	if (off + len <= st->in.end)
		return 0; /* arrived twice */
	data += st->in.end - off;
	len -= (size_t)(st->in.end - off);
	st->s->bytes_in += len;
	st->s->data_at = st->s->now;
	if (chunkq_len(&st->in) == 0 && st->ops != NULL &&
	    st->ops->on_data != NULL) {
		took = st->ops->on_data(st, data, len);
		CHECK(took <= len);
		if (st->closed)
			return 0;
		st->in.base += took;
		st->in.end += took;
	}
	if (took == len) {
		input_consumed(st, took);
		return 0;
	}
	return keep_data(st, data + took, len - took, took);
}

static int on_fin(struct stream *st, const struct frame *f)
{
	uint64_t off = get_be64(f->payload);

	if (off != st->in.end)
		return RW_ERR_PROTO; /* a gap, or bytes after the end */
	if (st->fin_in)
		return 0;
	st->fin_in = true;
	if (chunkq_len(&st->in) == 0)
		input_eof(st);
	return 0;
}

static int on_state(struct carrier *c, struct stream *st, const struct frame *f)
{
	uint64_t received = get_be64(f->payload);
	uint64_t consumed = get_be64(f->payload + 8);
	uint64_t limit = get_be64(f->payload + 16);

	if (st->closed) /* what it counts is gone; only the end matters */
		return 0;
	if (received > st->sent || consumed > received ||
	    limit > UINT64_MAX / 2)
		return RW_ERR_PROTO;
	st->peer_received = MAX(st->peer_received, received);
	st->peer_consumed = MAX(st->peer_consumed, consumed);
	st->peer_limit = MAX(st->peer_limit, limit);
	if (MIN(consumed, st->out.end) > st->out.base) {
		uint64_t to = MIN(consumed, st->out.end);

		budget_forget(st->s->p.budget, to - st->out.base);
		chunkq_drop(&st->out, &st->s->pool, to);
	}
	if (st->next < st->out.base)
		st->next = st->out.base;
	stream_stated(st, c, received);
	if ((f->flags & FRAME_FLAG_CONNECTED) != 0 && st->mine &&
	    !st->connected) {
		st->connected = true;
		if (st->ops != NULL && st->ops->on_connected != NULL)
			st->ops->on_connected(st);
		if (st->closed)
			return 0;
	}
	stream_run(st);
	stream_room_check(st);
	close_if_over(st);
	return 0;
}

/* The opener learns the end: confirms it with END. */
static int on_reset(struct stream *st, const struct frame *f)
{
	char text[STREAM_TEXT_MAX + 1];
	size_t len = (size_t)f->len - 2;
	int err = reason_from_wire(get_be16(f->payload));

	if (!st->mine || err == 0 ||
	    !str_is_clean((const char *)f->payload + 2, len))
		return RW_ERR_PROTO;
	memcpy(text, f->payload + 2, len);
	text[len] = '\0';
	stream_close(st, err, text);
	stream_due(st, DUE_END, NULL);
	return 0;
}

/* The opener is through with it: so are we, and say so for the last time. */
static int on_end(struct carrier *c, const struct frame *f)
{
	struct session *s = c->s;
	struct stream *st = session_find(s, f->stream);
	int err = reason_from_wire(get_be16(f->payload));

	if (is_ours(s, f->stream))
		return RW_ERR_PROTO;
	if (st == NULL && f->stream > s->highest) {
		/* Its OPEN never came: the id counts as used and over. */
		if (f->stream > s->stated_max_id)
			return RW_ERR_PROTO;
		s->highest = f->stream;
	}
	if (st != NULL) {
		if (err == 0 && !st->closed && !(st->fin && st->eof_given))
			return RW_ERR_PROTO;
		stream_close(st, err,
			     err != 0 ? "the other side gave it up" : NULL);
		stream_settle(st);
	}
	return say_gone(c, f->stream);
}

static int on_gone(struct stream *st)
{
	if (!st->mine)
		return RW_ERR_PROTO;
	stream_close(st, RW_ERR_GONE, "the other side does not know it");
	stream_settle(st);
	return 0;
}

int input_stream(struct carrier *c, const struct frame *f)
{
	struct session *s = c->s;

	if (f->type == FRAME_OPEN)
		return on_open(c, f);
	if (f->type == FRAME_END)
		return on_end(c, f);
	if (f->type == FRAME_DGRAM)
		return 0; /* no flow is open: dropped, like a lost packet */

	struct stream *st = session_find(s, f->stream);

	if (st == NULL)
		return unknown_id(s, f->stream);
	if (st->mine && !st->sent_open)
		return RW_ERR_PROTO;
	st->heard = c;
	if (!st->known) {
		/* It need not be opened again, but our numbers (or our END)
		 * would have come with the repeated OPEN. */
		st->known = true;
		if (list_is_linked(&st->open) || st->closed || st->ride != c)
			stream_due(st, stream_owes(st), c);
		list_del(&st->open);
		spread_woke(st);
	}
	if (f->type == FRAME_GONE)
		return on_gone(st);
	if (f->type == FRAME_RESET)
		return on_reset(st, f);
	if (f->type == FRAME_STATE)
		return on_state(c, st, f);
	if (f->type == FRAME_ASK) {
		stream_due(st, stream_owes(st), c);
		return 0;
	}
	if (st->closed)
		return 0;
	return f->type == FRAME_DATA ? on_data(st, f) : on_fin(st, f);
}
