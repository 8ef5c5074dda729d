/* SPDX-License-Identifier: MIT */
/* The session itself: made, begun anew with another rig, and freed. */
#include "core/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "core/parts.h"

#define POOL_CHUNKS 256

/* --- making and freeing --- */

static struct stream *control_new(struct session *s)
{
	static const struct stream_params p = { .mine = true,
						.kind = STREAM_TCP,
						.target = "" };

	return stream_new(s, &p);
}

int session_new(const struct session_params *p, struct session **ret)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return RW_ERR_NOMEM;
	CHECK(p->incarnation != 0 && p->ops != NULL && p->budget != NULL);
	CHECK(p->limits.carriers_max <= CARRIERS_MAX);
	s->p = *p;
	s->ops = p->ops;
	s->now = p->now_us;
	s->data_at = p->now_us;
	s->next_carrier = 1;
	s->next_id = p->is_client ? 1 : 2;
	s->peer_floor = p->budget->floor;
	/* A rig that forgot a session and makes it anew is another one to the
	 * client: what it held is lost. So the session's beginning counts. */
	if (!p->is_client && (s->p.incarnation += p->now_us) == 0)
		s->p.incarnation = 1;
	list_init(&s->carriers);
	list_init(&s->streams);
	list_init(&s->unopened);
	list_init(&s->lagging);
	list_init(&s->roomy);
	list_init(&s->closing);
	spread_init(s);
	map_init(&s->by_id, 0);
	chunk_pool_init(&s->pool, POOL_CHUNKS);
	s->control = control_new(s);
	if (s->control == NULL) {
		free(s);
		return RW_ERR_NOMEM;
	}
	*ret = s;
	return 0;
}

static void close_all(struct session *s, int err, const char *text)
{
	list_for_each_safe (it, &s->streams) {
		struct stream *st = container_of(it, struct stream, all);

		if (st == s->control)
			continue;
		stream_close(st, err, text);
		stream_settle(st);
	}
}

void session_close_streams(struct session *s, int err, const char *text)
{
	close_all(s, err, text);
}

void session_tell_closed(struct session *s)
{
	struct list *it;

	while ((it = list_pop(&s->closing)) != NULL) {
		struct stream *st = container_of(it, struct stream, soon);

		st->told = true;
		if (st->ops != NULL)
			st->ops->on_closed(st, st->err,
					   st->text != NULL ? st->text : "");
		st->ops = NULL;
		if (st->settled)
			stream_free(st);
	}
}

void session_free(struct session *s)
{
	struct list *it;

	while ((it = list_first(&s->carriers)) != NULL) {
		struct carrier *c = container_of(it, struct carrier, link);

		carrier_forget(c);
	}
	close_all(s, RW_ERR_CANCELLED, "the session is over");
	stream_close(s->control, RW_ERR_CANCELLED, "the session is over");
	stream_settle(s->control);
	session_tell_closed(s);
	CHECK(list_is_empty(&s->streams));
	map_done(&s->by_id);
	chunk_pool_trim(&s->pool, 0);
	free(s);
}

void session_wake(struct session *s)
{
	if (s->woken)
		return;
	s->woken = true;
	s->ops->on_wake(s);
}

struct stream *session_find(struct session *s, uint32_t id)
{
	return id == 0 ? s->control : map_get(&s->by_id, id);
}

/* Whether the peer never heard of st. */
static bool is_unsent(const struct stream *st)
{
	return st->mine && !st->sent_open;
}

/* Gives what was never sent the first ids again. */
static int number_unsent(struct session *s)
{
	const uint32_t first = s->p.is_client ? 1 : 2;
	uint32_t id = first;
	struct map by_id;

	map_init(&by_id, 0);
	list_for_each (it, &s->streams) {
		struct stream *st = container_of(it, struct stream, all);

		if (st == s->control || !is_unsent(st))
			continue;
		if (map_put(&by_id, id, st) < 0) {
			map_done(&by_id);
			return RW_ERR_NOMEM;
		}
		id += 2;
	}
	map_done(&s->by_id);
	s->by_id = by_id;
	for (s->next_id = first; s->next_id < id; s->next_id += 2) {
		struct stream *st = map_get(&s->by_id, s->next_id);

		st->id = s->next_id;
	}
	return 0;
}

/* c's other end is a new one: the other carriers lead to the old one, and
 * streams of which anything was sent are over. */
int session_start_over(struct session *s, const struct carrier *c)
{
	const char *why = "the rig restarted";
	struct stream *control = s->control, *old = NULL;

	if (!is_unsent(control)) {
		control = control_new(s);
		if (control == NULL)
			return RW_ERR_NOMEM;
		old = s->control;
		s->control = control;
	}
	list_for_each_safe (it, &s->carriers) {
		struct carrier *other = container_of(it, struct carrier, link);

		if (other != c && other->state == CARRIER_LIVE)
			carrier_drop(other, RW_ERR_RESTARTED, why);
	}
	list_for_each_safe (it, &s->streams) {
		struct stream *st = container_of(it, struct stream, all);

		if (st == control || (is_unsent(st) && st != old))
			continue;
		stream_close(st, RW_ERR_RESTARTED, why);
		stream_settle(st);
	}
	s->peer_max_id = s->highest = 0;
	s->spread.peers = 0;
	s->stated_max_id = session_max_id(s);
	return number_unsent(s);
}

void session_say_end(struct session *s, int err, const char *text)
{
	s->ending = true;
	s->bye.code = reason_to_wire(err);
	str_copy(s->bye.text, sizeof(s->bye.text), text);
	list_for_each (it, &s->carriers)
		container_of(it, struct carrier, link)->bye_due = true;
	session_wake(s);
}

/* The peer lets us open so many streams to begin with (HELLO, WELCOME). */
void session_peer_streams(struct session *s, uint32_t count)
{
	uint64_t id = (uint64_t)count * 2;

	if (s->p.is_client && id > 0)
		id--;
	s->peer_max_id = MAX(s->peer_max_id, (uint32_t)MIN(id, UINT32_MAX));
}

/* --- looking in --- */

/* The highest id the peer may open: what it opened and is over makes room. */
uint32_t session_max_id(const struct session *s)
{
	uint32_t opened = s->highest / 2 + s->highest % 2;
	uint64_t n = (uint64_t)opened - s->theirs + s->p.limits.max_streams;
	uint64_t id = s->p.is_client ? 2 * n : 2 * n - 1;

	return (uint32_t)MIN(id, UINT32_MAX);
}

/* A stream of the peer's is over, or new: states the new limit when that is
 * worth a frame, or the peer has hardly any ids left. */
void session_state_streams(struct session *s)
{
	uint32_t quarter = MAX(s->p.limits.max_streams / 4, 1) * 2;
	uint32_t more = session_max_id(s) - s->stated_max_id;
	uint32_t left = s->stated_max_id - MIN(s->highest, s->stated_max_id);

	if (s->primary == NULL || s->primary->streams_due ||
	    (more < quarter && left >= quarter))
		return;
	s->primary->streams_due = more > 0;
	session_wake(s);
}

struct stream *session_control(struct session *s)
{
	return !s->control->closed ? s->control : NULL;
}

struct carrier *session_carrier_next(struct session *s, struct carrier *after)
{
	struct list *it = after != NULL ? after->link.next : s->carriers.next;

	return it != &s->carriers ? container_of(it, struct carrier, link)
				  : NULL;
}

void *session_user(const struct session *s)
{
	return s->p.user;
}

const uint8_t *session_id(const struct session *s)
{
	return s->p.id;
}

bool session_is_live(const struct session *s)
{
	return s->primary != NULL;
}

void session_stats(const struct session *s, struct session_stats *ret)
{
	*ret = (struct session_stats){
		.streams = s->mine + s->theirs,
		.resumed = s->attached > 0 ? s->attached - 1 : 0,
		.bytes_in = s->bytes_in,
		.bytes_out = s->bytes_out,
		.last_heard_us = s->last_heard,
		.answered_us = s->answered,
		.keep_us = s->keep_us,
		.keeps_less = s->keeps_less,
		.absent_us = s->absent_at,
		.given_up = s->given_up,
		.given_up_us = s->given_up_at,
	};
	list_for_each (it, &s->streams) {
		const struct stream *st = container_of(it, struct stream, all);

		ret->held += chunkq_len(&st->out);
		ret->buffered +=
			chunkq_memory(&st->out) + chunkq_memory(&st->in);
		if (!st->closed && st->wants_room)
			ret->full++;
	}
	list_for_each (it, &s->carriers) {
		const struct carrier *c =
			container_of(it, struct carrier, link);

		if (c->state != CARRIER_LIVE)
			continue;
		ret->carriers++;
		if (c->pace.rtt_us != 0 &&
		    (ret->rtt_us == 0 || c->pace.rtt_us < ret->rtt_us))
			ret->rtt_us = c->pace.rtt_us;
	}
}
