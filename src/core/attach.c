/* SPDX-License-Identifier: MIT */
/* Carriers come and go: greetings going out, who takes over from whom, and
 * where the streams of a carrier that went are at home. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "core/parts.h"

#define VERSION 1

/* With one that may be to take over, the others are so many. */
_Static_assert(CARRIERS_MAX <= HELLO_CARRIERS, "PROTOCOL.md, section 4.1");
_Static_assert(CARRIERS_MAX <= FRAME_LIVE_MAX, "PROTOCOL.md, section 3.2");
_Static_assert(CARRIERS_MAX + 1 <= 16, "bits of session.slots, stream.answers");

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
	list_del(&c->heavy_turn);
	CHECK(list_is_empty(&c->due) && list_is_empty(&c->asks) &&
	      list_is_empty(&c->fresh) && list_is_empty(&c->old) &&
	      list_is_empty(&c->heavy));
	if (s->primary == c)
		s->primary = NULL;
}

/* Without a word to anybody. */
void carrier_forget(struct carrier *c)
{
	carrier_unlink(c);
	carrier_free(c);
}

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
	c->last_in = c->began = c->proven_at = c->answered_at = now_us;
	list_init(&c->due);
	list_init(&c->asks);
	list_init(&c->fresh);
	list_init(&c->old);
	list_init(&c->heavy);
	list_init(&c->heavy_turn);
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
	if (s->p.is_client) { /* WELCOME answers HELLO, which left after that */
		s->answered = MAX(s->answered, c->began);
		c->ping_took = s->now - c->began;
	}
	if (s->primary == NULL)
		set_primary(s, c, c->alone);
	else if (c->alone)
		state_all(s, c);
	spread_lives(s);
}

/* Whether it owes an answer for too long, and no ping has shown since that
 * bytes go both ways. */
bool carrier_is_doubted(const struct carrier *c)
{
	return c->doubted_at != 0;
}

/* Whether the other one is the better choice after an outage, in which c may
 * still stay silent for seconds, until TCP sends again. */
bool carrier_is_staler(const struct carrier *c, const struct carrier *than)
{
	if (carrier_is_doubted(c) != carrier_is_doubted(than))
		return carrier_is_doubted(c);
	return c->last_in + DOUBT_US < than->last_in;
}

struct carrier *session_best(const struct session *s)
{
	struct carrier *best = NULL;

	list_for_each (it, &s->carriers) {
		struct carrier *c = container_of(it, struct carrier, link);

		if (c->state != CARRIER_LIVE)
			continue;
		if (best == NULL ||
		    (carrier_retires(best) && !carrier_retires(c)) ||
		    (carrier_retires(best) == carrier_retires(c) &&
		     carrier_is_staler(best, c)))
			best = c;
	}
	return best;
}

/* After a carrier went: another one takes over its part. */
static void elect_primary(struct session *s)
{
	struct carrier *best;

	if (s->primary != NULL)
		return;
	best = session_best(s);
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
	c->last_in = c->answered_at = now_us;
	session_wake(c->s);
}

void carrier_ping(struct carrier *c, uint64_t now_us)
{
	if (c->state != CARRIER_LIVE)
		return;
	c->s->now = now_us;
	c->ping_due = true;
	session_wake(c->s);
}

void carrier_stirred(struct carrier *c, uint64_t at_us)
{
	c->stirred_at = MAX(c->stirred_at, at_us);
}

uint64_t carrier_proven_us(const struct carrier *c)
{
	return c->proven_at;
}

void carrier_set_user(struct carrier *c, void *user)
{
	c->user = user;
}

void *carrier_user(const struct carrier *c)
{
	return c->user;
}
