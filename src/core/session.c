/* SPDX-License-Identifier: MIT */
/* The session itself: its carriers' comings and goings, and its time. Over 500
 * lines because making, carriers and time change the same few fields, and
 * nothing else does. */
#include "core/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/format.h"
#include "base/str.h"
#include "core/parts.h"

#define VERSION	    1
#define POOL_CHUNKS 256

/* --- making and freeing --- */

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
	s->control = stream_new(s, 0, true, STREAM_TCP, "", 0);
	if (s->control == NULL) {
		free(s);
		return RW_ERR_NOMEM;
	}
	*ret = s;
	return 0;
}

static void carrier_free(struct carrier *c)
{
	free(c->first);
	free(c->gone);
	free(c);
}

/* Takes c out of the session; the streams that rode on it stand still. */
static void carrier_unlink(struct carrier *c)
{
	struct session *s = c->s;

	list_del(&c->link);
	s->carrier_count--;
	s->slots &= (uint16_t) ~(1u << c->slot);
	spread_gone(s, c);
	list_for_each (it, &s->streams)
		stream_leave(container_of(it, struct stream, all), c);
	CHECK(list_is_empty(&c->due) && list_is_empty(&c->asks) &&
	      list_is_empty(&c->fresh) && list_is_empty(&c->old));
	if (s->primary == c)
		s->primary = NULL;
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

static void tell_closed(struct session *s)
{
	struct list *it;

	while ((it = list_pop(&s->closing)) != NULL) {
		struct stream *st = container_of(it, struct stream, end);

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

		carrier_unlink(c);
		carrier_free(c);
	}
	close_all(s, RW_ERR_CANCELLED, "the session is over");
	stream_close(s->control, RW_ERR_CANCELLED, "the session is over");
	stream_settle(s->control);
	tell_closed(s);
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

/* --- carriers --- */

static struct carrier *carrier_new(struct session *s, uint32_t number,
				   uint64_t now_us)
{
	struct carrier *c;

	/* One more than the limit: it may be to take over from the others. */
	if (s->carrier_count > s->p.limits.carriers_max || s->ending)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (c == NULL || (c->first = malloc(FRAME_MAX)) == NULL) {
		free(c);
		return NULL;
	}
	c->s = s;
	c->number = number;
	while ((s->slots >> c->slot & 1) != 0)
		c->slot++;
	s->slots |= (uint16_t)(1u << c->slot);
	c->last_in = c->began = now_us;
	list_init(&c->due);
	list_init(&c->asks);
	list_init(&c->fresh);
	list_init(&c->old);
	pace_init(&c->pace, s->p.limits.in_flight_min);
	list_init(&c->link);
	list_push(&s->carriers, &c->link);
	s->carrier_count++;
	return c;
}

struct carrier *session_dial(struct session *s, const struct hello_extra *extra,
			     uint64_t now_us)
{
	struct hello h = {
		.version_min = VERSION,
		.version_max = VERSION,
		.incarnation = s->p.incarnation,
		.welcomed_by = s->peer_incarnation,
		.floor = s->p.budget->floor,
		.max_streams = s->p.limits.max_streams,
	};

	CHECK(s->p.is_client);
	s->now = now_us;
	/* HELLO has room for no more others than this. */
	if (s->carrier_count > s->p.limits.carriers_max)
		return NULL;
	list_for_each (it, &s->carriers) {
		struct carrier *c = container_of(it, struct carrier, link);

		if (c->state == CARRIER_LIVE)
			h.live[h.live_count++] = c->number;
		else
			h.waiting[h.waiting_count++] = c->number;
	}
	struct carrier *c = carrier_new(s, s->next_carrier, now_us);

	if (c == NULL)
		return NULL;
	s->stated_max_id = MAX(s->stated_max_id, session_max_id(s));
	h.carrier = s->next_carrier++;
	memcpy(h.session, s->p.id, sizeof(h.session));
	if (extra != NULL)
		h.extra = *extra;
	c->knew = s->peer_incarnation;
	c->alone = h.live_count == 0;
	c->first_len = hello_write(&h, c->first);
	session_wake(s);
	return c;
}

static bool is_listed(const struct hello *h, uint32_t number)
{
	for (size_t i = 0; i < h->live_count; i++)
		if (h->live[i] == number)
			return true;
	for (size_t i = 0; i < h->waiting_count; i++)
		if (h->waiting[i] == number)
			return true;
	return false;
}

/* The client no longer reads the carriers it did not list: stop reading them
 * before stating anything on the new one. Younger ones are not judged by an
 * older HELLO that came late. */
static void drop_unlisted(struct session *s, const struct hello *h)
{
	list_for_each_safe (it, &s->carriers) {
		struct carrier *c = container_of(it, struct carrier, link);

		if (c->number == h->carrier ||
		    (c->number < h->carrier && !is_listed(h, c->number)))
			carrier_drop(c, RW_ERR_GONE,
				     "the other side made a new connection");
	}
}

struct carrier *session_accept(struct session *s, const struct hello *h,
			       bool fresh, const struct rig_info *info,
			       uint64_t now_us)
{
	struct carrier *c;
	struct welcome w = {
		.version = VERSION,
		.incarnation = s->p.incarnation,
		.fresh = fresh,
		.floor = s->p.budget->floor,
		.max_streams = s->p.limits.max_streams,
	};

	CHECK(!s->p.is_client);
	s->now = now_us;
	drop_unlisted(s, h);
	c = carrier_new(s, h->carrier, now_us);
	if (c == NULL)
		return NULL;
	w.info = *info;
	w.keep_s = s->p.limits.keep_s;
	c->first_len = welcome_write(&w, c->first);
	c->alone = h->live_count == 0;
	c->announce = true;
	s->last_heard = now_us;
	s->peer_floor = h->floor;
	session_peer_streams(s, h->max_streams);
	s->stated_max_id = MAX(s->stated_max_id, session_max_id(s));
	session_lives(s, c);
	session_wake(s);
	return c;
}

/* Every own stream that the peer does not surely know waits for its OPEN in
 * the order of ids: the peer takes a lower id after a higher one for an old
 * one. */
void session_requeue_opens(struct session *s)
{
	while (list_pop(&s->unopened) != NULL)
		;
	list_for_each (it, &s->streams) {
		struct stream *st = container_of(it, struct stream, all);

		if (st->mine && !st->known && st != s->control)
			list_push(&s->unopened, &st->open);
	}
}

/* c carries what has no home from now on. expects: the peer is about to state
 * every stream there by itself. */
static void set_primary(struct session *s, struct carrier *c, bool expects)
{
	s->primary = c;
	session_requeue_opens(s);
	list_for_each (it, &s->streams)
		stream_home(container_of(it, struct stream, all), c, expects);
}

/* The peer's HELLO named no other carrier, or ours did: whatever is alive here
 * meanwhile, the peer counts on a statement of each stream on c. */
static void state_all(struct session *s, struct carrier *c)
{
	list_for_each (it, &s->streams) {
		struct stream *st = container_of(it, struct stream, all);

		if (st->known)
			stream_due(st, stream_owes(st), c);
	}
}

void session_lives(struct session *s, struct carrier *c)
{
	c->state = CARRIER_LIVE;
	c->streams_due = true;
	c->ping_due = true; /* the round trip is worth knowing early */
	c->ping_asked = s->now;
	/* What HELLO listed may be gone by now. */
	c->live_due = s->p.is_client && !c->alone;
	c->wants_due = s->spread.stated != 0;
	s->attached++;
	s->absent_at = 0;
	if (s->primary == NULL)
		set_primary(s, c, c->alone);
	else if (c->alone)
		state_all(s, c);
	spread_lives(s);
}

/* After a carrier went: the oldest live one takes over its part. One that
 * retires does only while there is no other. */
static void elect_primary(struct session *s)
{
	struct carrier *best = NULL;

	if (s->primary != NULL)
		return;
	list_for_each (it, &s->carriers) {
		struct carrier *c = container_of(it, struct carrier, link);

		if (c->state == CARRIER_LIVE &&
		    (best == NULL || (best->retires && !c->retires)))
			best = c;
	}
	if (best != NULL) {
		set_primary(s, best, false);
		session_wake(s);
	} else if (s->p.is_client && s->peer_incarnation != 0 &&
		   s->absent_at == 0) {
		s->absent_at = s->now;
		session_wake(s);
	}
}

/* The rig may find it out only much later, and go on sending there. */
static void tell_lost(struct session *s)
{
	if (!s->p.is_client || s->primary == NULL)
		return;
	s->primary->live_due = true;
	session_wake(s);
}

/* The client says which carriers it still has, as in HELLO. Younger ones than
 * it knew of then are not judged. */
int session_judge_live(struct session *s, const struct carrier *c,
		       const uint8_t *body, size_t len)
{
	uint32_t newest = get_be32(body);

	if (s->p.is_client || len % 4 != 0)
		return RW_ERR_PROTO;
	list_for_each_safe (it, &s->carriers) {
		struct carrier *other = container_of(it, struct carrier, link);
		bool listed = other == c || other->number > newest;

		for (size_t at = 4; at < len && !listed; at += 4)
			listed = other->number == get_be32(body + at);
		if (!listed)
			carrier_drop(other, RW_ERR_GONE,
				     "the other side gave it up");
	}
	return 0;
}

void carrier_close(struct carrier *c, uint64_t now_us)
{
	struct session *s = c->s;

	s->now = now_us;
	carrier_unlink(c);
	carrier_free(c);
	elect_primary(s);
	tell_lost(s);
}

void carrier_drop(struct carrier *c, int err, const char *text)
{
	struct session *s = c->s;

	carrier_unlink(c);
	s->ops->on_drop(s, c, err, text);
	carrier_free(c);
	elect_primary(s);
	tell_lost(s);
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
		control = stream_new(s, 0, true, STREAM_TCP, "", 0);
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

void carrier_suspect(struct carrier *c, uint64_t deadline_us, uint64_t now_us)
{
	uint64_t by = now_us + deadline_us;

	/* One suspicion after the other does not put the end off. */
	if (c->ping_deadline > now_us)
		by = MIN(by, c->ping_deadline);
	c->s->now = now_us;
	c->ping_due = true;
	c->ping_asked = now_us;
	c->ping_deadline = by;
	c->last_in = now_us;
	session_wake(c->s);
}

uint64_t carrier_heard_us(const struct carrier *c)
{
	return c->last_in;
}

void carrier_set_user(struct carrier *c, void *user)
{
	c->user = user;
}

void *carrier_user(const struct carrier *c)
{
	return c->user;
}

struct session *carrier_session(const struct carrier *c)
{
	return c->s;
}

/* --- time --- */

/* Whether the peer is to answer something that has left. */
bool carrier_is_owed(const struct carrier *c)
{
	return c->ping_at != 0 || c->pace.sent > c->pace.read;
}

/* While the peer owes an answer (a PONG; a READ, which comes within LAG_US), a
 * path that has died shows long before a deadline does. */
static void tick_doubt(struct carrier *c, uint64_t *next)
{
	struct session *s = c->s;
	uint64_t at;

	if (!carrier_is_owed(c)) {
		c->owed_at = 0;
		return;
	}
	if (c->owed_at == 0)
		c->owed_at = s->now;
	at = MAX(MAX(c->owed_at, c->last_in), c->doubted_at) + DOUBT_US +
	     2 * c->pace.rtt_us;
	if (s->now >= at) {
		c->doubted_at = s->now;
		at = s->now + DOUBT_US;
		if (s->ops->on_doubt != NULL)
			s->ops->on_doubt(s, c);
	}
	*next = MIN(*next, at);
}

/* Whoever only receives is owed nothing: he asks when bytes cease. */
static void tick_hush(struct carrier *c, uint64_t *next)
{
	if (!c->flowed)
		return;
	if (c->s->now >= c->last_in + HUSH_US) {
		c->flowed = false;
		c->ping_due |= !carrier_is_owed(c);
	} else {
		*next = MIN(*next, c->last_in + HUSH_US);
	}
}

/* The times of a carrier's life. Each looks after one thing of it: false when
 * the carrier was dropped. *next falls to when to look again. */
static void tick_hello(struct carrier *c, uint64_t *next)
{
	if (c->s->now >= c->began + HELLO_US) {
		carrier_drop(c, RW_ERR_TIMEOUT, "no answer to the greeting");
		return;
	}
	*next = MIN(*next, c->began + HELLO_US);
}

static bool tick_ping(struct carrier *c, uint64_t *next)
{
	struct session *s = c->s;
	const struct session_limits *l = &s->p.limits;

	/* Any byte proves life, also while the ping waits in a full queue. */
	if (c->ping_deadline != 0 && c->last_in > c->ping_asked) {
		c->ping_deadline = 0;
		c->ping_due = false;
	}
	if (c->ping_deadline != 0 && s->now >= c->ping_deadline) {
		carrier_drop(c, RW_ERR_SUSPECT,
			     "the other side stopped answering");
		return false;
	}
	if (c->ping_deadline == 0 &&
	    s->now >= c->last_in + l->ping_interval_us) {
		c->ping_due = true;
		c->ping_asked = s->now;
		c->ping_deadline = s->now + l->ping_timeout_us;
	}
	/* While bytes come in nothing has to be proven, and yet the round
	 * trip is worth knowing. */
	if (c->ping_deadline == 0 && s->now < s->data_at + IDLE_US &&
	    s->now >= c->ping_asked + l->ping_interval_us) {
		c->ping_due = true;
		c->ping_asked = s->now;
	}
	tick_hush(c, next);
	tick_doubt(c, next);
	*next = MIN(*next, c->ping_deadline != 0
				   ? c->ping_deadline
				   : c->last_in + l->ping_interval_us);
	return true;
}

static void tick_read(struct carrier *c, uint64_t *next)
{
	if (c->read_at == 0)
		return;
	if (c->s->now >= c->read_at)
		c->read_due = true;
	else
		*next = MIN(*next, c->read_at);
}

static void carrier_tick(struct carrier *c, uint64_t *next)
{
	struct session *s = c->s;

	if (c->state == CARRIER_HELLO) {
		tick_hello(c, next);
		return;
	}
	if (c->announce) {
		c->announce = false;
		if (s->ops->on_live != NULL)
			s->ops->on_live(s, c, NULL);
	}
	if (tick_ping(c, next) && spread_retire_tick(c, next))
		tick_read(c, next);
}

/* States what lags behind, when its time has come. */
static void tick_lagging(struct session *s, uint64_t *next)
{
	struct list *it;

	if (list_is_empty(&s->lagging))
		return;
	if (s->now < s->lag_at) {
		*next = MIN(*next, s->lag_at);
		return;
	}
	while ((it = list_pop(&s->lagging)) != NULL) {
		struct stream *st = container_of(it, struct stream, lag);

		stream_due(st, DUE_STATE, NULL);
	}
}

/* Who asks for room and gets no memory stands in line again: for the next
 * tick, not for this one. */
static void tell_roomy(struct session *s)
{
	struct list now, *it;

	list_init(&now);
	list_move_all(&now, &s->roomy);
	while ((it = list_pop(&now)) != NULL)
		stream_tell(container_of(it, struct stream, room));
}

/* The rig keeps an absent session for so long; the client's own limit may be
 * shorter, and never is longer. */
void session_keep(struct session *s, uint32_t rig_keep_s)
{
	uint32_t own = s->p.limits.keep_s;

	s->keeps_less = own != 0 && own < rig_keep_s;
	s->keep_us = (uint64_t)(s->keeps_less ? own : rig_keep_s) * 1000000;
}

/* The rig has forgotten an absent session by now, or it was long enough for
 * whoever set the limit here: nobody waits for more. What the rig never heard
 * of stays, and is opened when it is back. */
static void tick_absent(struct session *s, uint64_t *next)
{
	char text[STREAM_TEXT_MAX] = "the rig was not reached for the ";
	char keep[FORMAT_CAP];

	if (s->absent_at == 0)
		return;
	if (s->now < s->absent_at + s->keep_us) {
		*next = MIN(*next, s->absent_at + s->keep_us);
		return;
	}
	s->absent_at = 0;
	strcat(text, format_duration(s->keep_us / 1000, keep));
	strcat(text, s->keeps_less ? " that client.keep_absent keeps"
				   : " that it keeps");
	strcat(text, " connections");
	list_for_each_safe (it, &s->streams) {
		struct stream *st = container_of(it, struct stream, all);

		if (st != s->control && st->sent_open)
			stream_reset(st, RW_ERR_TIMEOUT, text);
	}
}

uint64_t session_tick(struct session *s, uint64_t now_us)
{
	uint64_t next = UINT64_MAX;

	s->now = now_us;
	s->woken = false;
	tick_absent(s, &next);
	tell_closed(s);
	tell_roomy(s);
	if (!list_is_empty(&s->roomy))
		next = now_us + LAG_US; /* memory was short */
	list_for_each_safe (c, &s->carriers)
		carrier_tick(container_of(c, struct carrier, link), &next);
	tick_lagging(s, &next);
	spread_tick(s, &next);
	if (s->pool.count > 0) {
		if (now_us >= s->data_at + IDLE_US)
			chunk_pool_trim(&s->pool, 0);
		else
			next = MIN(next, s->data_at + IDLE_US);
	}
	return next;
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
	};
	list_for_each (it, &s->streams) {
		const struct stream *st = container_of(it, struct stream, all);

		ret->held += chunkq_len(&st->out);
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
