/* SPDX-License-Identifier: MIT */
/*
 * What goes over which carrier, for what this side sends; docs/decisions/008.
 * A stream is bulk while it sends much; a carrier is full while bytes wait for
 * its cap. Bulk keeps the carrier whose congestion window it has grown, the
 * others leave a full one when they next have something to say, for one that
 * is kept free of bulk. Several bulk streams spread, the younger ones move.
 * Looked at four times a second while there is bulk, at once when a carrier
 * comes or goes or somebody has to wait for bulk, and else never.
 */
#include "base/check.h"
#include "base/err.h"
#include "core/parts.h"

#define LOOK_US 250000
/* What a stream sends in such a time, half of the time before included, */
#define BURST_US 1000000
/* makes it bulk: eight on a path that loses so much still count. */
#define BULK_BYTES 16384
/* Bytes had to wait for the cap so lately: the carrier is full. */
#define FULL_US 500000
/* Or so many are in flight on a short way. */
#define FULL_BYTES 65536
/* A short burst opens no carriers, a short pause closes none. */
#define MORE_US	 1500000
#define FEWER_US 30000000
/* So long no carrier need be free of bulk: one more may be on its way. */
#define CROWDED_US 2000000
/* So long after the last one that came, those that are wanted still may. */
#define COMING_US 500000
#define RETIRE_US 10000000
/* Carriers that are of use while nothing is lost: each adds to the queue of a
 * slow line. With loss cubic's rate is proportional to their number. */
#define CALM_MOST 8

void spread_init(struct session *s)
{
	list_init(&s->spread.bulks);
	s->spread.wants = s->spread.told = 1;
	s->spread.gain = PACE_GAIN_ONE;
}

static void look_soon(struct session *s)
{
	s->spread.at = s->now;
	session_wake(s);
}

static unsigned count_usable(const struct session *s)
{
	unsigned n = 0;

	list_for_each (it, &s->carriers)
		n += carrier_is_usable(container_of(it, struct carrier, link));
	return n;
}

/* Whether bulk is better off on a than on b. */
static bool is_freer(const struct carrier *a, const struct carrier *b)
{
	if (carrier_is_doubted(a) != carrier_is_doubted(b))
		return carrier_is_doubted(b);
	return a->bulks < b->bulks;
}

/* The usable carrier with the fewest bulk streams but except, of those that
 * answer if any does; the oldest or the youngest of several; NULL when there is
 * none. */
static struct carrier *least(const struct session *s,
			     const struct carrier *except, bool youngest)
{
	struct carrier *best = NULL;

	list_for_each (it, &s->carriers) {
		struct carrier *c = container_of(it, struct carrier, link);

		if (!carrier_is_usable(c) || c == except)
			continue;
		if (best == NULL || is_freer(c, best) ||
		    (youngest && !is_freer(best, c)))
			best = c;
	}
	return best;
}

static struct carrier *goes_on(const struct stream *st)
{
	return st->to != NULL ? st->to : st->ride;
}

/* --- what a stream does --- */

/* Forgets, by half a second's worth of a second, what was sent long ago. */
static void age(struct stream *st, uint64_t now)
{
	uint64_t past = now - st->burst_at;

	if (past < BURST_US)
		return;
	st->burst = past < 2 * BURST_US ? st->burst / 2 : 0;
	st->burst_at = now;
}

void spread_sent(struct stream *st, size_t len)
{
	struct session *s = st->s;

	age(st, s->now);
	st->burst += (uint32_t)len;
	if (st->burst < BULK_BYTES || list_is_linked(&st->bulk))
		return;
	list_push(&s->spread.bulks, &st->bulk);
	if (s->spread.at == 0 || s->spread.at > s->now + LOOK_US) {
		s->spread.at = s->now + LOOK_US;
		session_wake(s);
	}
}

/* Somebody has something to say, behind bulk. */
static void waits_for_bulk(struct session *s)
{
	s->spread.waits = true;
	if (s->spread.wants < MIN(2, s->p.limits.carriers_max))
		look_soon(s);
}

/* It has something to send again, or can move now. */
void spread_woke(struct stream *st)
{
	struct session *s = st->s;
	struct carrier *c = st->ride, *to = s->spread.light;

	if (c == NULL || st->to != NULL)
		return;
	if (carrier_retires(c) && to == NULL)
		to = least(s, c, false);
	bool waits = c->bulks > 0 && !list_is_linked(&st->bulk);

	if (to != NULL && to != c && (carrier_retires(c) || waits))
		stream_move(st, to);
	else if (waits && !s->spread.waits)
		waits_for_bulk(s);
}

/* --- looking at all of them --- */

static bool is_near(const struct session *s)
{
	uint64_t rtt = UINT64_MAX;

	list_for_each (it, &s->carriers) {
		const struct carrier *c =
			container_of(it, struct carrier, link);

		if (carrier_is_usable(c) && c->pace.rtt_us != 0)
			rtt = MIN(rtt, c->pace.rtt_us);
	}
	return rtt < PACE_NEAR_US || rtt == UINT64_MAX;
}

/* Whether what comes behind it has to wait: for the cap, or for what the
 * system's own buffer holds. On a long way much is in flight though no queue
 * stands; on a short one it is a queue, whatever holds it up. */
static bool is_full(const struct carrier *c)
{
	const struct session *s = c->s;

	if (c->held_at != 0 && s->now - c->held_at < FULL_US)
		return true;
	return c->pace.sent - c->pace.read >= FULL_BYTES &&
	       (is_near(s) || pace_is_over(&c->pace));
}

static bool fills(const struct stream *st)
{
	return st->ride != NULL && (st->to != NULL || is_full(st->ride));
}

/* Counts the bulk streams of each full carrier; returns how many in all. */
static unsigned count_bulk(struct session *s)
{
	unsigned n = 0;

	list_for_each (it, &s->carriers)
		container_of(it, struct carrier, link)->bulks = 0;
	list_for_each_safe (it, &s->spread.bulks) {
		struct stream *st = container_of(it, struct stream, bulk);

		age(st, s->now);
		if (st->burst < BULK_BYTES / 2) {
			list_del(&st->bulk);
		} else if (fills(st)) {
			goes_on(st)->bulks++;
			n++;
		}
	}
	return n;
}

/* One carrier is kept for what is not bulk: of several that are free, the one
 * that was it before. If none is free for long, one is freed. */
static void choose_light(struct session *s)
{
	struct spread *sp = &s->spread;
	struct carrier *c = least(s, NULL, true);

	if (sp->light != NULL && carrier_is_usable(sp->light) &&
	    sp->light->bulks == 0 && !carrier_is_doubted(sp->light))
		c = sp->light;
	sp->light = NULL;
	if (c == NULL || c->bulks == 0 || count_usable(s) < 2) {
		sp->crowded_at = 0;
		sp->light = c;
	} else if (sp->crowded_at == 0) {
		sp->crowded_at = s->now;
	} else if (s->now - sp->crowded_at >= CROWDED_US) {
		sp->light = c;
	}
}

/* Moves bulk away from the light carrier, and from where there is more of it
 * than elsewhere; the younger streams first. */
static void balance(struct session *s)
{
	struct spread *sp = &s->spread;

	for (struct list *it = sp->bulks.prev; it != &sp->bulks;
	     it = it->prev) {
		struct stream *st = container_of(it, struct stream, bulk);
		struct carrier *c = st->ride, *to = least(s, sp->light, false);

		if (to == NULL)
			return;
		if (!fills(st) || st->to != NULL || !st->known ||
		    (c != sp->light && to->bulks + 1 >= c->bulks))
			continue;
		stream_move(st, to);
		c->bulks--;
		to->bulks++;
	}
}

/* What opens does so on the light carrier. The OPENs that may still be on
 * their way on the other are said again on this one, so that they come in the
 * order of ids on each. */
static void choose_primary(struct session *s, struct carrier *c)
{
	if (c == NULL || s->primary == NULL || c == s->primary)
		return;
	s->primary = c;
	session_requeue_opens(s);
	session_wake(s);
}

/* Unlike for the gain, only those that have bulk count: what another one saw
 * some time ago would keep a ninth for ever. */
static bool is_lossy(const struct session *s)
{
	list_for_each (it, &s->carriers) {
		const struct carrier *c =
			container_of(it, struct carrier, link);

		if (carrier_is_usable(c) && c->bulks > 0 &&
		    pace_is_lossy(&c->pace))
			return true;
	}
	return false;
}

/* How many carriers this side could use, with n streams that fill theirs. */
static unsigned useful(struct session *s, unsigned n)
{
	struct spread *sp = &s->spread;
	bool waits = sp->waits;

	sp->waits = false;
	if (n == 0)
		return 1;
	if (is_near(s))
		n = waits || sp->wants > 1;
	if (n >= CALM_MOST && !is_lossy(s))
		n = CALM_MOST - 1;
	return MIN(n + 1, s->p.limits.carriers_max);
}

static void wish(struct session *s, unsigned n)
{
	struct spread *sp = &s->spread;
	bool more = n > sp->wants;

	if (n == sp->wants) {
		sp->wish_at = 0;
		return;
	}
	if (sp->wish_at == 0 || more != sp->wish_more)
		sp->wish_at = s->now;
	sp->wish_more = more;
	if (s->now - sp->wish_at < (more ? MORE_US : FEWER_US) &&
	    !(more && is_near(s)))
		return;
	sp->wants = n;
	sp->wish_at = 0;
	if (s->p.is_client)
		return;
	sp->stated = ((sp->stated >> 32) + 1) << 32 | n;
	if (s->primary != NULL)
		s->primary->wants_due = true;
	session_wake(s);
}

/* All go the same way. One that was dialled beside bulk has never seen it
 * without a queue, and would add a queue of its own to that. */
static void share_round_trip(struct session *s)
{
	const struct carrier *least = NULL;

	list_for_each (it, &s->carriers) {
		const struct carrier *c =
			container_of(it, struct carrier, link);

		if (carrier_is_usable(c) && c->pace.rtt_us != 0 &&
		    !c->pace.drains &&
		    (least == NULL || c->pace.rtt_us < least->pace.rtt_us))
			least = c;
	}
	list_for_each (it, &s->carriers) {
		struct carrier *c = container_of(it, struct carrier, link);

		if (least != NULL && carrier_is_usable(c))
			pace_share(&c->pace, &least->pace, s->now);
	}
}

/* After a cut carriers come one by one: who would move to each of them would
 * stand still again and again. */
static bool more_are_coming(const struct session *s)
{
	return count_usable(s) < s->spread.wants &&
	       s->now - s->spread.lived_at < COMING_US;
}

static void look(struct session *s)
{
	struct spread *sp = &s->spread;
	unsigned n = count_bulk(s);

	share_round_trip(s);
	choose_light(s);
	if (n > 0 && count_usable(s) > 1 && !more_are_coming(s))
		balance(s);
	if (s->primary != NULL && sp->light != NULL &&
	    (s->primary->bulks > 0 || carrier_retires(s->primary)))
		choose_primary(s, sp->light);
	gain_look(s, n > 0 && !is_near(s));
	wish(s, useful(s, n));
	if (!list_is_empty(&sp->bulks))
		sp->at = s->now + LOOK_US;
	else
		sp->at = sp->wish_at != 0 ? sp->wish_at + FEWER_US : 0;
}

void spread_tick(struct session *s, uint64_t *next)
{
	struct spread *sp = &s->spread;

	if (sp->at != 0 && s->now >= sp->at)
		look(s);
	if (sp->at != 0)
		*next = MIN(*next, sp->at);
	unsigned n = session_wants_carriers(s);

	if (!s->p.is_client || n == sp->told)
		return;
	sp->told = n;
	if (s->ops->on_wants != NULL)
		s->ops->on_wants(s);
}

/* --- carriers that come and go --- */

void spread_lives(struct session *s)
{
	bool any = !list_is_empty(&s->spread.bulks);

	s->spread.lived_at = s->now;
	list_for_each (it, &s->carriers) {
		struct carrier *c = container_of(it, struct carrier, link);

		any |= carrier_retires(c);
		if (carrier_retires(c)) {
			c->leave = CARRIER_STAYS;
			spread_retire(c);
		}
	}
	if (any)
		look_soon(s);
}

void spread_gone(struct session *s, struct carrier *c)
{
	if (s->spread.light == c)
		s->spread.light = NULL;
	if (!list_is_empty(&s->spread.bulks))
		look_soon(s);
}

void spread_left(struct carrier *c)
{
	c->riders--;
	if (carrier_retires(c) && c->riders == 0)
		session_wake(c->s);
}

/* Everything leaves c, as soon as there is another one. */
void spread_retire(struct carrier *c)
{
	struct session *s = c->s;
	struct carrier *to;

	if (carrier_retires(c))
		return;
	c->leave = CARRIER_RETIRES;
	c->retire_at = s->now + RETIRE_US;
	if (s->spread.light == c)
		s->spread.light = NULL;
	to = s->spread.light != NULL ? s->spread.light : least(s, c, false);
	if (to == NULL)
		return;
	if (s->primary == c)
		choose_primary(s, to);
	list_for_each (it, &s->streams) {
		struct stream *st = container_of(it, struct stream, all);

		if (st->ride == c || st->to == c)
			stream_move(st, to);
	}
	session_wake(s);
}

bool spread_is_empty(const struct carrier *c)
{
	return c->riders == 0 && list_is_empty(&c->due) &&
	       list_is_empty(&c->asks) && c->s->primary != c;
}

bool spread_retire_tick(struct carrier *c, uint64_t *next)
{
	struct session *s = c->s;

	if (!carrier_retires(c) || !s->p.is_client || count_usable(s) == 0)
		return true;
	if ((c->leave == CARRIER_LEFT && c->peer_left) ||
	    s->now >= c->retire_at) {
		carrier_drop(c, RW_ERR_CLOSING, "it is not needed any more");
		return false;
	}
	*next = MIN(*next, c->retire_at);
	return true;
}

void carrier_retire(struct carrier *c, uint64_t now_us)
{
	CHECK(c->s->p.is_client);
	c->s->now = now_us;
	spread_retire(c);
}

/* --- how many --- */

void spread_peer_wants(struct session *s, uint64_t wants)
{
	s->spread.peers = MAX(s->spread.peers, wants);
	session_wake(s);
}

unsigned session_wants_carriers(const struct session *s)
{
	unsigned n = MAX(s->spread.wants, (uint32_t)s->spread.peers);

	return MIN(n, s->p.limits.carriers_max);
}

struct carrier *session_surplus(const struct session *s)
{
	if (count_usable(s) < 2)
		return NULL;
	return least(s, s->primary, true);
}
