/* SPDX-License-Identifier: MIT */
/* A stream's life and its user's side; the peer's side is in input.c. */
#include "core/stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "core/parts.h"

struct stream *stream_new(struct session *s, const struct stream_params *p)
{
	struct stream *st = calloc(1, sizeof(*st) + p->target_len + 1);

	if (st == NULL)
		return NULL;
	if (p->id != 0 && map_put(&s->by_id, p->id, st) < 0) {
		free(st);
		return NULL;
	}
	memcpy(st->target, p->target, p->target_len);
	st->s = s;
	st->id = p->id;
	st->mine = p->mine;
	st->kind = (uint8_t)p->kind;
	st->peer_limit = s->peer_floor;
	st->limit = st->window = s->p.budget->floor;
	chunkq_init(&st->out);
	chunkq_init(&st->in);
	list_init(&st->open);
	list_init(&st->dues);
	list_init(&st->ask);
	list_init(&st->run);
	list_init(&st->bulk);
	list_init(&st->lag);
	list_init(&st->soon);
	list_init(&st->all);
	list_push(&s->streams, &st->all);
	if (p->id != 0)
		p->mine ? s->mine++ : s->theirs++;
	return st;
}

void stream_free(struct stream *st)
{
	free(st->text);
	free(st);
}

int stream_open(struct session *s, const struct stream_to *to,
		const struct stream_ops *ops, void *user, struct stream **ret)
{
	const size_t len = strlen(to->target);
	const struct stream_params p = {
		.id = s->next_id,
		.mine = true,
		.kind = to->kind,
		.target = to->target,
		.target_len = len,
	};
	struct stream *st;

	if (s->ending)
		return RW_ERR_CLOSING;
	if (len == 0 || len > STREAM_TARGET_MAX ||
	    !str_is_clean(to->target, len))
		return RW_ERR_FORMAT;
	/* Ids are never used again; a session that used them all up takes no
	 * more and is replaced by its owner. */
	if (s->mine >= s->p.limits.max_streams || s->next_id > UINT32_MAX - 4)
		return RW_ERR_LIMIT;
	if (!budget_enter(s->p.budget))
		return RW_ERR_LIMIT;
	st = stream_new(s, &p);
	if (st == NULL) {
		budget_leave(s->p.budget);
		return RW_ERR_NOMEM;
	}
	st->placed = true;
	s->next_id += 2;
	st->ops = ops;
	st->user = user;
	list_push(&s->unopened, &st->open);
	session_wake(s);
	*ret = st;
	return 0;
}

void stream_take(struct stream *st, const struct stream_ops *ops, void *user)
{
	st->ops = ops;
	st->user = user;
}

void stream_connected(struct stream *st)
{
	if (st->closed || st->connected)
		return;
	st->connected = true;
	stream_due(st, DUE_STATE, NULL);
}

/* --- on the way out --- */

/* Owes the peer frames on c; NULL: wherever the stream is at home. Without a
 * carrier nothing is noted: the next one states everything anew. If it owes
 * elsewhere already, that comes first and c later: the peer may go on only when
 * it hears it there. */
void stream_due(struct stream *st, uint8_t bits, struct carrier *c)
{
	struct session *s = st->s;

	if (st->settled || bits == 0)
		return;
	if (c == NULL)
		c = list_is_linked(&st->dues) ? st->due_on
		    : st->heard != NULL	      ? st->heard
					      : s->primary;
	if (c == NULL)
		return;
	st->due |= bits;
	st->answers |= (uint16_t)(1u << c->slot);
	if (!list_is_linked(&st->dues)) {
		list_push(&c->due, &st->dues);
		st->due_on = c;
	}
	session_wake(s);
}

/* What tells the peer all there is to tell. A stream that ended cleanly at the
 * acceptor still states its numbers: the opener's END answers them. */
uint8_t stream_owes(const struct stream *st)
{
	if (!st->closed)
		return DUE_STATE;
	if (st->id == 0)
		return 0;
	if (st->mine)
		return DUE_END;
	return st->err != 0 ? DUE_RESET : DUE_STATE;
}

bool stream_wants_run(const struct stream *st)
{
	if (st->closed || st->stopped)
		return false;
	if (st->next < st->out.end)
		return st->next < st->peer_limit;
	return st->fin && !st->fin_sent;
}

/* There may be bytes to send: gets in line, or asks for a carrier. */
void stream_run(struct stream *st)
{
	struct session *s = st->s;

	if (st->ride != NULL) {
		if (!list_is_linked(&st->run) && stream_wants_run(st)) {
			st->deficit = QUANTUM;
			st->is_fresh = true;
			st->is_heavy = false;
			list_push(&st->ride->fresh, &st->run);
			session_wake(s);
			spread_woke(st);
		}
		return;
	}
	if (st->asked == NULL && st->known && s->primary != NULL)
		stream_ask(st, s->primary);
}

/* Unsent bytes worth holding: a run and the next, or, where others with much
 * to send come in between, one run. */
static uint64_t backlog(const struct stream *st)
{
	const struct carrier *c = st->ride;

	return c != NULL && c->heavy.next != c->heavy.prev ? BACKLOG_MAX / 2
							   : BACKLOG_MAX;
}

/* How many more bytes the user may write now. */
static uint64_t room_left(const struct stream *st)
{
	const struct session_limits *l = &st->s->p.limits;
	uint64_t top = MIN(st->peer_limit, st->out.base + l->send_max);
	uint64_t unsent = st->ride != NULL ? st->next : st->out.base;

	top = MIN(top, MAX(unsent, st->out.base) + backlog(st));
	top = MIN(top, st->out.end + budget_room(st->s->p.budget,
						 chunkq_len(&st->out)));
	return top > st->out.end ? top - st->out.end : 0;
}

uint8_t *stream_room(struct stream *st, size_t *len)
{
	uint64_t left = st->closed || st->fin ? 0 : room_left(st);
	uint8_t *at = NULL;

	if (left > 0)
		at = chunkq_room(&st->out, &st->s->pool, len);
	if (at == NULL) {
		/* Without memory there may be nothing in flight whose arrival
		 * would bring room: ask again at the next tick. */
		if (left > 0 && !list_is_linked(&st->soon)) {
			st->room_due = true;
			list_push(&st->s->roomy, &st->soon);
		}
		st->wants_room = left == 0;
		*len = 0;
		return NULL;
	}
	*len = (size_t)MIN(*len, left);
	return at;
}

/* Little space is not worth a call while there is something left to send. */
static bool is_worth(const struct stream *st, uint64_t left)
{
	return left >= BACKLOG_MAX / 4 || (left > 0 && st->next == st->out.end);
}

size_t stream_space(struct stream *st)
{
	uint64_t left = st->closed || st->fin ? 0 : room_left(st);

	if (is_worth(st, left))
		return (size_t)left;
	st->wants_room = true;
	return 0;
}

void stream_wrote(struct stream *st, size_t len)
{
	if (len == 0) {
		if (chunkq_len(&st->out) == 0)
			chunkq_clear(&st->out, &st->s->pool);
		return;
	}
	CHECK(!st->fin);
	chunkq_wrote(&st->out, len);
	budget_keep(st->s->p.budget, len);
	st->s->bytes_out += len;
	st->s->data_at = st->s->now;
	stream_run(st);
}

size_t stream_write(struct stream *st, const void *data, size_t len)
{
	const uint8_t *from = data;
	size_t done = 0, room;

	while (done < len) {
		uint8_t *at = stream_room(st, &room);

		if (at == NULL)
			break;
		room = MIN(room, len - done);
		memcpy(at, from + done, room);
		stream_wrote(st, room);
		done += room;
	}
	return done;
}

/* Room came back: tells the user, later, once there is some worth having. */
void stream_room_check(struct stream *st)
{
	if (!st->wants_room || st->closed)
		return;
	uint64_t left = room_left(st);

	if (is_worth(st, left)) {
		st->wants_room = false;
		st->room_due = true;
		if (!list_is_linked(&st->soon))
			list_push(&st->s->roomy, &st->soon);
		session_wake(st->s);
	}
}

void stream_finish(struct stream *st)
{
	if (st->fin || st->closed || st->id == 0)
		return;
	st->fin = true;
	stream_run(st);
}

/* --- on the way in --- */

const uint8_t *stream_peek(struct stream *st, size_t *len)
{
	if (chunkq_len(&st->in) == 0) {
		*len = 0;
		return NULL;
	}
	return chunkq_at(&st->in, st->in.base, len);
}

size_t stream_spans(struct stream *st, struct stream_span *ret, size_t max)
{
	uint64_t at = st->in.base;
	size_t n;

	for (n = 0; n < max && at < st->in.end; n++) {
		ret[n].data = chunkq_at(&st->in, at, &ret[n].len);
		at += ret[n].len;
	}
	return n;
}

/* on_eof is to run from session_tick(). */
static void stream_eof_later(struct stream *st)
{
	st->eof_due = true;
	if (!list_is_linked(&st->soon))
		list_push(&st->s->roomy, &st->soon);
	session_wake(st->s);
}

void stream_consume(struct stream *st, size_t len)
{
	if (st->closed || len == 0)
		return;
	chunkq_drop(&st->in, &st->s->pool, st->in.base + len);
	input_consumed(st, len);
	if (chunkq_len(&st->in) == 0 && st->fin_in && !st->eof_given)
		stream_eof_later(st);
}

/* From session_tick(): what was not told inside a call of the user's. */
void stream_tell(struct stream *st)
{
	if (st->eof_due && !st->closed) {
		st->eof_due = false;
		input_eof(st);
	}
	if (st->room_due && !st->closed) {
		st->room_due = false;
		if (st->ops != NULL && st->ops->on_room != NULL)
			st->ops->on_room(st);
	}
}

/* --- the end --- */

/* Over for its user, who hears of it from session_tick(). What the peer has to
 * be told stays due until the peer confirms it. */
void stream_close(struct stream *st, int err, const char *text)
{
	struct session *s = st->s;

	if (st->closed)
		return;
	if (st->ride != NULL)
		spread_left(st->ride);
	st->closed = true;
	st->to = NULL;
	st->err = err;
	if (text != NULL && text[0] != '\0')
		st->text = strndup(text, STREAM_TEXT_MAX);
	budget_forget(s->p.budget, chunkq_len(&st->out));
	budget_return(s->p.budget, st->lent);
	st->lent = 0;
	if (st->placed)
		budget_leave(s->p.budget);
	st->placed = false;
	chunkq_clear(&st->out, &s->pool);
	chunkq_clear(&st->in, &s->pool);
	list_del(&st->ask);
	list_del(&st->run);
	list_del(&st->bulk);
	list_del(&st->lag);
	list_del(&st->soon);
	list_push(&s->closing, &st->soon);
	session_wake(s);
}

void stream_reset(struct stream *st, int err, const char *text)
{
	if (st->closed)
		return;
	stream_close(st, err < 0 ? err : RW_ERR_CANCELLED, text);
	if (st->id == 0)
		return; /* its frames have no way to say so */
	if (!st->mine)
		stream_due(st, DUE_RESET, NULL);
	else if (!st->sent_open)
		stream_settle(st); /* the peer never heard of it */
	else if (st->known)
		stream_due(st, DUE_END, NULL);
	else if (!list_is_linked(&st->open))
		stream_due(st, DUE_END, st->ride);
}

/* Over on the wire as well: forgets the id; freed after on_closed. */
void stream_settle(struct stream *st)
{
	struct session *s = st->s;

	if (st->settled)
		return;
	CHECK(st->closed);
	st->settled = true;
	list_del(&st->all);
	list_del(&st->open);
	list_del(&st->dues);
	st->due = 0;
	if (st->id != 0) {
		map_del(&s->by_id, st->id);
		if (st->mine)
			s->mine--;
		else
			s->theirs--;
	}
	if (!st->mine)
		session_state_streams(s);
	if (st->told)
		stream_free(st);
}

/* --- looking in --- */

void *stream_user(const struct stream *st)
{
	return st->user;
}

uint64_t stream_id(const struct stream *st)
{
	return st->id;
}

struct session *stream_session(const struct stream *st)
{
	return st->s;
}

enum stream_kind stream_kind(const struct stream *st)
{
	return (enum stream_kind)st->kind;
}

const char *stream_target(const struct stream *st)
{
	return st->target;
}

bool stream_is_eof(const struct stream *st)
{
	return st->eof_given;
}

void stream_stats(const struct stream *st, struct stream_stats *ret)
{
	*ret = (struct stream_stats){
		.sent = st->out.end,
		.acked = st->out.base,
		.received = st->in.end,
		.consumed = st->in.base,
		.connected = st->connected,
		.waiting = st->ride == NULL,
	};
}
