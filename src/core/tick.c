/* SPDX-License-Identifier: MIT */
/* What happens because time passes: pings, deadlines, what lags behind, and
 * what users are told outside of their own calls. */

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/format.h"
#include "core/parts.h"

/* So long bytes that come put off a doubt. */
#define STIR_US 8000000
/* The rig asks so much later than the client: one question and its answer prove
 * both ways to the client, which gives up what brings none, and that it is
 * there to the rig. */
#define ASK_LATER_US 500000

/* Whether the peer is to answer something that has left. */
bool carrier_is_owed(const struct carrier *c)
{
	return c->ping_at != 0 || c->pace.sent > c->pace.read;
}

uint64_t session_proof_us(const struct session_limits *l)
{
	return l->ping_interval_us + l->ping_timeout_us + 1000000;
}

/* What an answer takes now: a queue of somebody else's may have made the way
 * longer than the least round trip, which stays as it was. */
static uint64_t answer_us(const struct carrier *c)
{
	return MAX(c->pace.rtt_us, c->ping_took);
}

/* --- the times of a carrier's life ---
 *
 * Each function looks after one thing of it, and *next falls to when to look
 * again. False: the carrier was dropped. */

/* c is in doubt: a ping shows whether bytes go both ways, since what comes now
 * may have left the peer before. The others are asked, too: which of them goes
 * on, and whether those that owe nothing are as dead. */
static void begin_doubt(struct carrier *c)
{
	struct session *s = c->s;

	c->doubted_at = s->now;
	c->ping_due = true;
	list_for_each (it, &s->carriers) {
		struct carrier *o = container_of(it, struct carrier, link);

		if (o->state == CARRIER_LIVE && !carrier_is_doubted(o))
			o->ping_due = true;
	}
	session_wake(s);
}

/* A carrier that was proven since c is in doubt, best one that was dialled
 * since then: the path is there, and c waits for what TCP sends again
 * only seconds later. */
static const struct carrier *overtaker(const struct carrier *c)
{
	const struct carrier *found = NULL;

	list_for_each (it, &c->s->carriers) {
		const struct carrier *o =
			container_of(it, struct carrier, link);

		if (o == c || o->state != CARRIER_LIVE)
			continue;
		if (o->began > c->doubted_at)
			return o;
		if (o->proven_at >= c->doubted_at)
			found = o;
	}
	return found;
}

/* When the client gives up c. After an outage what was dialled meanwhile has
 * left the silent ones far behind; of those that were there before, one may be
 * just a little ahead of c. */
static uint64_t give_up_at(struct carrier *c)
{
	const struct carrier *o;

	if (!c->s->p.is_client || !carrier_is_doubted(c))
		return UINT64_MAX;
	if (c->answered_at > c->overtaken_at)
		c->overtaken_at = 0;
	o = overtaker(c);
	if (o != NULL && c->overtaken_at == 0)
		c->overtaken_at = c->s->now;
	if (c->overtaken_at == 0)
		return UINT64_MAX;
	if (o != NULL && o->began > c->doubted_at)
		return c->s->now;
	return c->overtaken_at + OVERTAKEN_US + answer_us(c);
}

/* While the peer owes an answer (a PONG; a READ, which comes within LAG_US), a
 * path that has died shows long before a deadline does. False when c was
 * dropped. */
static bool tick_doubt(struct carrier *c, uint64_t *next)
{
	struct session *s = c->s;
	uint64_t at, until;

	if (!carrier_is_owed(c)) {
		c->owed_at = 0;
		return true;
	}
	if (c->owed_at == 0)
		c->owed_at = s->now;
	at = MAX(MAX(c->owed_at, c->answered_at), c->told_at);
	/* On a slow line a record, and the answer behind it, takes its time;
	 * a path that has died brings nothing soon. */
	at = MAX(at, MIN(c->stirred_at, at + STIR_US)) + DOUBT_US +
	     2 * answer_us(c);
	until = give_up_at(c);
	if (s->now >= until) {
		carrier_drop(c, RW_ERR_SUSPECT,
			     "another connection answers, this one does not");
		return false;
	}
	if (s->now >= at) {
		if (!carrier_is_doubted(c))
			begin_doubt(c);
		c->told_at = s->now;
		at = s->now + DOUBT_US;
		if (s->ops->on_doubt != NULL)
			s->ops->on_doubt(s, c);
	}
	*next = MIN(*next, MIN(at, until));
	return true;
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

static void tick_hello(struct carrier *c, uint64_t *next)
{
	if (c->s->now >= c->began + HELLO_US) {
		carrier_drop(c, RW_ERR_TIMEOUT, "no answer to the greeting");
		return;
	}
	*next = MIN(*next, c->began + HELLO_US);
}

static uint64_t silence_us(const struct session *s)
{
	return s->p.limits.ping_interval_us +
	       (s->p.is_client ? 0 : ASK_LATER_US);
}

static bool tick_ping(struct carrier *c, uint64_t *next)
{
	struct session *s = c->s;
	const struct session_limits *l = &s->p.limits;

	/* Any byte proves life, also while the ping waits in a full queue. */
	if (c->ping_deadline != 0 && c->last_in > c->ping_asked) {
		c->ping_deadline = 0;
		c->ping_due &= c->pace.rtt_us == 0 || carrier_is_doubted(c);
	}
	if (c->ping_deadline != 0 && s->now >= c->ping_deadline) {
		carrier_drop(c, RW_ERR_SUSPECT,
			     "the other side stopped answering");
		return false;
	}
	if (c->ping_deadline == 0 && s->now >= c->last_in + silence_us(s)) {
		c->ping_due = true;
		c->ping_asked = s->now;
		c->ping_deadline = s->now + l->ping_timeout_us;
	}
	/* While bytes come in nothing has to be proven, and yet the round
	 * trip is worth knowing. Of pings that overtake each other none would
	 * be taken for answered. */
	if (c->ping_deadline == 0 && c->ping_at == 0 &&
	    s->now < s->data_at + IDLE_US &&
	    s->now >= c->ping_asked + l->ping_interval_us) {
		c->ping_due = true;
		c->ping_asked = s->now;
	}
	tick_hush(c, next);
	if (!tick_doubt(c, next))
		return false;
	*next = MIN(*next, c->ping_deadline != 0 ? c->ping_deadline
						 : c->last_in + silence_us(s));
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
		stream_tell(container_of(it, struct stream, soon));
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
	struct buf text = { 0 };
	char keep[FORMAT_CAP];

	if (s->absent_at == 0)
		return;
	if (s->now < s->absent_at + s->keep_us) {
		*next = MIN(*next, s->absent_at + s->keep_us);
		return;
	}
	s->absent_at = 0;
	s->given_up = 0;
	buf_printf(&text,
		   "the rig was not reached for the %s that %s connections",
		   format_duration(s->keep_us / 1000, keep),
		   s->keeps_less ? "client.keep_absent keeps" : "it keeps");
	list_for_each_safe (it, &s->streams) {
		struct stream *st = container_of(it, struct stream, all);

		if (st == s->control || !st->sent_open)
			continue;
		s->given_up += !st->closed;
		stream_reset(st, RW_ERR_TIMEOUT, buf_text(&text));
	}
	if (s->given_up > 0)
		s->given_up_at = s->now;
	buf_done(&text);
}

/* What idles goes back: all of it when no bytes move, else what nobody needed
 * for a while. */
static void tick_pool(struct session *s, uint64_t *next)
{
	if (s->pool.count == 0)
		return;
	if (s->now >= s->data_at + IDLE_US) {
		chunk_pool_trim(&s->pool, 0);
		return;
	}
	if (s->now >= s->ebb_at) {
		chunk_pool_ebb(&s->pool);
		s->ebb_at = s->now + EBB_US;
	}
	*next = MIN(*next, MIN(s->ebb_at, s->data_at + IDLE_US));
}

uint64_t session_tick(struct session *s, uint64_t now_us)
{
	uint64_t next = UINT64_MAX;

	s->now = now_us;
	s->woken = false;
	tick_absent(s, &next);
	session_tell_closed(s);
	tell_roomy(s);
	if (!list_is_empty(&s->roomy))
		next = now_us + LAG_US; /* memory was short */
	list_for_each_safe (c, &s->carriers)
		carrier_tick(container_of(c, struct carrier, link), &next);
	tick_lagging(s, &next);
	spread_tick(s, &next);
	tick_pool(s, &next);
	return next;
}
