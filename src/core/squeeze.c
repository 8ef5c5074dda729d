/* SPDX-License-Identifier: MIT */
/*
 * Bulk on one carrier keeps the queue on the way short by its cap. Several fill
 * it together: each finds what it gets beside the others' queue, none may go
 * below a least, and those that are new begin by doubling. So all give way
 * together, while even the luckiest of their answers had to wait.
 */
#include "base/check.h"
#include "core/parts.h"

#define SHARE_LEAST (PACE_SHARE_ALL / 8)
#define RATE_US	    200000
#define CALM_MOST   3

void squeeze_init(struct squeeze *q)
{
	*q = (struct squeeze){ .share = PACE_SHARE_ALL };
}

/* What all of them deliver, they may have in flight for as long as the way is:
 * late answers of a busy processor look like a queue, too. */
static uint64_t least_share(struct session *s)
{
	const struct squeeze *q = &s->spread.squeeze;
	uint64_t caps = squeeze_caps(s), calm = 0;

	list_for_each (it, &s->carriers)
		calm = MAX(
			calm,
			pace_calm_us(
				&container_of(it, struct carrier, link)->pace));
	if (caps == 0)
		return PACE_SHARE_ALL;
	return q->rate * calm / 1000000 * PACE_SHARE_ALL / caps;
}

static void set_share(struct session *s, uint64_t share)
{
	struct squeeze *q = &s->spread.squeeze;

	share = MAX(MAX(share, least_share(s)), SHARE_LEAST);
	share = MIN(share, PACE_SHARE_ALL);
	q->share = (uint8_t)share;
	q->at = s->now;
	list_for_each (it, &s->carriers) {
		struct carrier *c = container_of(it, struct carrier, link);

		c->pace.share = q->share;
		c->pace.seen_us = UINT64_MAX;
	}
}

/* By what was seen of the way that p is on: as much less as brings the queue to
 * its length, or half as much more. When none is seen for long, there is more
 * room than the round trip can tell. */
static uint64_t next_share(struct squeeze *q, const struct pace *p,
			   uint64_t seen_us)
{
	uint64_t calm = pace_calm_us(p), slack = calm - p->rtt_us;
	uint64_t share = q->share;

	if (seen_us >= calm - slack / 2)
		q->calm = 0;
	else if (q->calm < CALM_MOST)
		q->calm++;
	if (q->calm == CALM_MOST)
		return share + share / 2;
	if (seen_us > calm + slack / 4)
		return MAX(share * calm / seen_us, share / 2);
	if (seen_us < calm - slack / 2)
		return share * (calm + seen_us) / MAX(2 * seen_us, 1) + 1;
	return share;
}

static unsigned count_full(const struct session *s)
{
	unsigned n = 0;

	list_for_each (it, &s->carriers)
		n += container_of(it, struct carrier, link)->bulks > 0;
	return n;
}

static void measure(struct session *s)
{
	struct squeeze *q = &s->spread.squeeze;
	uint64_t read = 0, took = s->now - q->read_at;

	if (took < RATE_US)
		return;
	list_for_each (it, &s->carriers)
		read += container_of(it, struct carrier, link)->pace.read;
	q->rate -= q->rate / 8;
	if (read > q->read && took < 4 * RATE_US) /* none has gone meanwhile */
		q->rate = MAX(q->rate, (read - q->read) * 1000000 / took);
	q->read = read;
	q->read_at = s->now;
}

void squeeze_look(struct session *s)
{
	struct squeeze *q = &s->spread.squeeze;
	const struct pace *p = NULL;
	uint64_t seen = UINT64_MAX;
	bool drains = false;

	measure(s);
	if (count_full(s) < 2) {
		set_share(s, PACE_SHARE_ALL);
		return;
	}
	list_for_each (it, &s->carriers) {
		const struct carrier *c =
			container_of(it, struct carrier, link);

		seen = MIN(seen, c->pace.seen_us);
		drains |= c->pace.drains;
		if (c->bulks > 0 && c->pace.rtt_us != 0)
			p = &c->pace;
	}
	if (drains || q->drained) { /* a short queue then is no room */
		q->drained = drains;
		set_share(s, q->share);
		return;
	}
	if (p != NULL && seen != UINT64_MAX && s->now - q->at >= 2 * p->rtt_us)
		set_share(s, next_share(q, p, seen));
}

uint64_t squeeze_caps(const struct session *s)
{
	uint64_t caps = 0;

	list_for_each (it, &s->carriers) {
		const struct carrier *c =
			container_of(it, struct carrier, link);

		caps += c->bulks > 0 ? c->pace.cap : 0;
	}
	return caps;
}

/* Where hardly more than the least is in flight, it is losses that hold it
 * down, and spreading is to end that. */
void squeeze_spread(struct session *s, uint64_t caps_before)
{
	uint64_t caps = squeeze_caps(s);
	unsigned full = count_full(s);

	if (caps <= caps_before || full == 0 ||
	    caps_before <= 2 * (uint64_t)s->p.limits.in_flight_min)
		return;
	set_share(s, s->spread.squeeze.share * caps_before / caps);
	list_for_each (it, &s->carriers) {
		struct carrier *c = container_of(it, struct carrier, link);

		if (c->bulks > 0)
			pace_begin_beside(&c->pace, caps_before / full);
	}
}
