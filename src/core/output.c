/* SPDX-License-Identifier: MIT */
/*
 * What a carrier sends next. Small frames are packed together until one TLS
 * record is full; a DATA frame that begins a chunk goes out where it lies.
 * The carrier's own frames come first, then the streams' control frames, then
 * bytes, by deficit round robin with new and woken streams first (RFC 8290,
 * section 4.2), as far as the carrier's cap allows.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "core/parts.h"

/* Room for one more control frame of any kind: OPEN is the longest. */
#define CONTROL_MAX (FRAME_HDR_LEN + 5 + STREAM_TARGET_MAX)
/* Shorter pieces are copied so that they can share a record. */
#define IN_PLACE_MIN 4096

/* What was put into session.scratch so far. */
struct pack {
	uint8_t *out;
	size_t len;
};

static bool has_room(const struct pack *p)
{
	return FRAME_MAX - p->len >= CONTROL_MAX;
}

/* The client's other carriers. */
static size_t put_live(const struct carrier *c, uint8_t *out)
{
	uint32_t live[FRAME_LIVE_MAX];
	size_t n = 0;

	list_for_each (it, &c->s->carriers)
		if (it != &c->link)
			live[n++] =
				container_of(it, struct carrier, link)->number;
	return frame_put_live(out, c->s->next_carrier - 1, live, n);
}

static void put_carrier(struct carrier *c, struct pack *p)
{
	struct session *s = c->s;

	if (c->pong_due) {
		c->pong_due = false;
		p->len += frame_put_u64(p->out + p->len, FRAME_PONG, 0,
					c->pong_token);
	}
	if (c->ping_due) {
		c->ping_due = false;
		c->ping_at = s->now;
		p->len += frame_put_u64(p->out + p->len, FRAME_PING, 0,
					++c->ping_token);
	}
	if (c->read_due) {
		c->read_due = false;
		c->read_at = 0;
		p->len += frame_put_u64(p->out + p->len, FRAME_READ, 0,
					c->in_bytes);
	}
	if (c->live_due) {
		c->live_due = false;
		p->len += put_live(c, p->out + p->len);
	}
	if (c->streams_due) {
		c->streams_due = false;
		s->stated_max_id = MAX(s->stated_max_id, session_max_id(s));
		p->len += frame_put_streams(p->out + p->len, s->stated_max_id);
	}
	if (c->wants_due) {
		c->wants_due = false;
		p->len += frame_put_u64(p->out + p->len, FRAME_WANTS, 0,
					s->spread.stated);
	}
	if (c->bye_due) {
		c->bye_due = false;
		p->len += refused_write(&s->bye, p->out + p->len);
	}
}

static void put_gone(struct carrier *c, struct pack *p)
{
	while (c->gone_count > 0 && has_room(p))
		p->len += frame_put_empty(p->out + p->len, FRAME_GONE,
					  c->gone[--c->gone_count]);
	if (c->gone_count == 0 && c->gone != NULL) {
		free(c->gone);
		c->gone = NULL;
		c->gone_cap = 0;
	}
}

/* Announces one stream; for one that was given up meanwhile, its end: the
 * peer counts the id as used either way. */
static size_t put_open(struct carrier *c, struct stream *st, uint8_t *out)
{
	struct session *s = c->s;

	if (st->closed)
		return frame_put_end(out, st->id, reason_to_wire(st->err));
	if (!st->sent_open) {
		/* Bytes may follow at once: nothing was received yet. */
		st->sent_open = true;
		stream_ride(st, c);
		st->peer_limit = s->peer_floor;
		stream_run(st);
	} else {
		/* Said again after a cut: the peer may know it already and
		 * wait for our numbers, as we wait for its. */
		st->asked = c;
		stream_due(st, DUE_STATE, c);
	}
	return frame_put_open(out, st->id, (uint32_t)MIN(st->limit, UINT32_MAX),
			      st->kind, st->target);
}

static void put_opens(struct carrier *c, struct pack *p)
{
	struct session *s = c->s;
	struct list *it;

	while (s->primary == c && has_room(p) &&
	       (it = list_first(&s->unopened)) != NULL) {
		struct stream *st = container_of(it, struct stream, open);

		if (st->id > s->peer_max_id)
			return;
		list_del(&st->open);
		p->len += put_open(c, st, p->out + p->len);
	}
}

/* What was said on c was asked for on another carrier as well. */
static void due_elsewhere(struct stream *st, const struct carrier *c)
{
	struct session *s = st->s;

	st->answers &= (uint16_t) ~(1u << c->slot);
	if (st->answers == 0)
		return;
	list_for_each (it, &s->carriers) {
		struct carrier *o = container_of(it, struct carrier, link);

		if ((st->answers >> o->slot & 1) != 0) {
			stream_due(st, stream_owes(st), o);
			return;
		}
	}
}

static void put_due(struct carrier *c, struct pack *p)
{
	struct list *it;

	while (has_room(p) && (it = list_pop(&c->due)) != NULL) {
		struct stream *st = container_of(it, struct stream, dues);
		uint8_t due = st->due, *out = p->out + p->len;
		size_t n = 0;

		st->due = 0;
		if ((due & DUE_RESET) != 0)
			n += frame_put_reset(out + n, st->id,
					     reason_to_wire(st->err),
					     st->text != NULL ? st->text : "");
		if ((due & DUE_STATE) != 0)
			n += input_state(st, out + n);
		if ((due & DUE_END) != 0)
			n += frame_put_end(out + n, st->id,
					   reason_to_wire(st->err));
		p->len += n;
		due_elsewhere(st, c);
	}
}

static void put_asks(struct carrier *c, struct pack *p)
{
	struct list *it;

	while (has_room(p) && (it = list_pop(&c->asks)) != NULL)
		p->len += frame_put_empty(
			p->out + p->len, FRAME_ASK,
			container_of(it, struct stream, ask)->id);
}

/* After all that rode here: the peer hears it last. */
static void put_leave(struct carrier *c, struct pack *p)
{
	if (c->leave != CARRIER_RETIRES || !spread_is_empty(c) || !has_room(p))
		return;
	c->leave = CARRIER_LEFT;
	p->len += frame_put_empty(p->out + p->len, FRAME_LEAVE, 0);
}

/* --- bytes --- */

/* Whether it has so much to send that runs of it are worth having. */
static bool has_much(const struct stream *st)
{
	return MIN(st->out.end, st->peer_limit) >= st->next + RUN_WORTH;
}

/* A run is short where little is in flight: eight streams have all had theirs
 * when that has arrived. On a short way, where a batch and another may be, it
 * is a batch: each run wakes the program behind it. */
static int32_t run_of(const struct pace *p)
{
	if (p->rtt_us <= PACE_NEAR_US && p->cap >= 2 * RUN_MOST)
		return RUN_MOST;
	return (int32_t)MAX(MIN(p->cap / 8, RUN_MOST), QUANTUM);
}

/* Its quantum is used up: the others' turn. Those with much to send stand in
 * a line of their own and have long runs, one after the other, so that each
 * program reads and writes much at a time; all together have one place in the
 * old list, so that nobody else waits for more than a frame of it. */
static void line_up(struct carrier *c, struct stream *st)
{
	list_del(&st->run);
	st->is_fresh = false;
	st->is_heavy = has_much(st);
	if (!st->is_heavy) {
		st->deficit += QUANTUM;
		list_push(&c->old, &st->run);
		return;
	}
	st->deficit += run_of(&c->pace);
	list_push(&c->heavy, &st->run);
	if (!list_is_linked(&c->heavy_turn))
		list_push(&c->old, &c->heavy_turn);
}

/* The first of a list that may send now; NULL when none has anything to send,
 * or it is another list's turn. */
static struct stream *pick_from(struct carrier *c, struct list *line)
{
	struct list *it;

	while ((it = list_first(line)) != NULL && it != &c->heavy_turn) {
		struct stream *st = container_of(it, struct stream, run);

		if (!stream_wants_run(st)) {
			/* A stream that wakes up again and again may not pass
			 * the others every time: once through the old list. */
			bool again = st->is_fresh && !list_is_empty(&c->old);

			list_del(&st->run);
			st->is_fresh = false;
			if (again)
				list_push(&c->old, &st->run);
			continue;
		}
		if (st->deficit > 0)
			return st;
		line_up(c, st);
	}
	return NULL;
}

/* The stream whose turn it is; NULL when none has anything to send. */
static struct stream *pick(struct carrier *c)
{
	struct stream *st;

	for (;;) {
		st = pick_from(c, &c->fresh);
		if (st == NULL)
			st = pick_from(c, &c->old);
		if (st != NULL || list_is_empty(&c->old))
			return st;
		/* It is the turn of the heavy ones. */
		st = pick_from(c, &c->heavy);
		if (st != NULL && c->heavy_deficit > 0)
			return st;
		list_del(&c->heavy_turn);
		if (st == NULL)
			continue;
		c->heavy_deficit += QUANTUM;
		list_push(&c->old, &c->heavy_turn);
	}
}

static void data_header(struct carrier *c, struct stream *st, uint8_t *out,
			size_t len)
{
	struct session *s = c->s;
	bool mark =
		pace_sent(&c->pace, (uint32_t)(FRAME_DATA_HDR + len), s->now);

	frame_put_u64(out, FRAME_DATA, st->id, st->next);
	frame_header(out, FRAME_DATA, mark ? FRAME_FLAG_MARK : 0, 8 + len,
		     st->id);
	st->next += len;
	st->sent = MAX(st->sent, st->next);
	st->deficit -= (int32_t)(FRAME_DATA_HDR + len);
	if (st->is_heavy)
		c->heavy_deficit -= (int32_t)(FRAME_DATA_HDR + len);
	spread_sent(st, len);
	stream_room_check(st);
}

/* What lags behind goes along with a few bytes of the same stream, rather than
 * wake everybody on the way some time later. */
static void put_lagging(struct carrier *c, struct stream *st, struct pack *p)
{
	if (list_is_linked(&st->lag) && st->heard == c && has_room(p))
		p->len += input_state(st, p->out + p->len);
	if (c->read_at != 0 && has_room(p)) {
		c->read_at = 0;
		p->len += frame_put_u64(p->out + p->len, FRAME_READ, 0,
					c->in_bytes);
	}
}

/* Puts the stream's next piece into the pack, or points *ret at it where it
 * lies. Returns false when it does not fit any more. */
static bool put_piece(struct carrier *c, struct stream *st, struct pack *p,
		      const uint8_t **ret)
{
	size_t left = FRAME_MAX - p->len, len;
	const uint8_t *data;
	uint8_t *frame;

	if (st->next == st->out.end) {
		if (left < FRAME_HDR_LEN + 8)
			return false;
		p->len += frame_put_u64(p->out + p->len, FRAME_FIN, st->id,
					st->out.end);
		st->fin_sent = true;
		st->sent = st->out.end + 1;
		return true;
	}
	data = chunkq_at(&st->out, st->next, &len);
	len = (size_t)MIN(len, st->peer_limit - st->next);
	len = MIN(len, pace_room(&c->pace));
	frame = chunkq_frame(&st->out, st->next);
	if (frame != NULL && len >= IN_PLACE_MIN) {
		if (p->len > 0)
			return false;
		data_header(c, st, frame, len);
		p->len = FRAME_DATA_HDR + len;
		*ret = frame;
		return true;
	}
	if (left < FRAME_DATA_HDR + MIN(len, IN_PLACE_MIN))
		return false;
	len = MIN(len, left - FRAME_DATA_HDR);
	memcpy(p->out + p->len + FRAME_DATA_HDR, data, len);
	data_header(c, st, p->out + p->len, len);
	p->len += FRAME_DATA_HDR + len;
	if (st->next == st->out.end)
		put_lagging(c, st, p);
	return true;
}

static bool may_send(struct carrier *c)
{
	if (pace_may_send(&c->pace))
		return true;
	if (!list_is_empty(&c->fresh) || !list_is_empty(&c->old))
		c->held_at = c->s->now;
	return false;
}

static void put_bytes(struct carrier *c, struct pack *p, const uint8_t **ret)
{
	while (*ret == NULL && may_send(c)) {
		struct stream *st = pick(c);

		if (st == NULL || !put_piece(c, st, p, ret))
			return;
	}
}

size_t carrier_output(struct carrier *c, const uint8_t **ret, uint64_t now_us)
{
	struct session *s = c->s;
	struct pack p = { .out = s->scratch };
	const uint8_t *in_place = NULL;

	s->now = now_us;
	if (c->first_len > 0) {
		memcpy(s->scratch, c->first, c->first_len);
		p.len = c->first_len;
		free(c->first);
		c->first = NULL;
		c->first_len = 0;
		*ret = s->scratch;
		return p.len;
	}
	if (c->state != CARRIER_LIVE)
		return 0;
	put_carrier(c, &p);
	put_gone(c, &p);
	put_opens(c, &p);
	put_due(c, &p);
	put_asks(c, &p);
	put_leave(c, &p);
	put_bytes(c, &p, &in_place);
	if (c->owed_at == 0 && carrier_is_owed(c)) {
		c->owed_at = s->now;
		session_wake(s); /* the tick is to look at it in time */
	}
	*ret = in_place != NULL ? in_place : s->scratch;
	return p.len;
}
