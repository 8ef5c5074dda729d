/* SPDX-License-Identifier: MIT */
/*
 * How much the carriers of a session may have in flight together: they go the
 * same way and fill one queue, which none of them can tell from what its own
 * lost packets delay. The one that is free of bulk is asked for a round trip
 * four times a second, and the shortest that any of them saw since the last
 * look is the queue: a packet that was lost delays those behind it on its own
 * carrier only. Without a queue all caps grow, beyond what is delivered only
 * where packets are lost; with one they shrink, by one factor:
 * docs/decisions/014.
 */
#include "base/check.h"
#include "core/parts.h"

/* The least factor, in 64ths: with less the line would be others', who give no
 * way. */
#define GAIN_LEAST 32
/* So many times the least of one carrier is that of all together. */
#define LEASTS 4
/* Between two steps of the factor, however often it is looked at. */
#define STEP_US 200000

/* Slowly to where the line may be full, faster where packets are lost. */
static unsigned gain_step(const struct spread *sp, bool lossy)
{
	return sp->gain / (sp->gain < PACE_GAIN_ONE && !lossy ? 16 : 8);
}

/* What it brings shows when the queue that stands has gone. */
static void shrink(struct session *s, uint64_t calm, uint64_t seen)
{
	struct spread *sp = &s->spread;

	sp->gain = (uint16_t)MAX(sp->gain * calm / seen, GAIN_LEAST);
	/* More than that is no queue of ours, but an outage. */
	sp->gain_at = s->now + MAX(STEP_US, 2 * MIN(seen, 8 * calm));
}

static void find_gain(struct session *s)
{
	struct spread *sp = &s->spread;
	uint64_t seen = UINT64_MAX, calm = UINT64_MAX, rtt = UINT64_MAX;
	bool lossy = false;

	list_for_each (it, &s->carriers) {
		struct carrier *c = container_of(it, struct carrier, link);

		if (!carrier_is_usable(c) || c->pace.rtt_us == 0)
			continue;
		uint64_t its = pace_seen(&c->pace);

		seen = MIN(seen, its);
		rtt = MIN(rtt, c->pace.rtt_us);
		calm = MIN(calm, pace_calm_us(&c->pace));
		lossy |= pace_is_lossy(&c->pace);
	}
	if (seen == UINT64_MAX)
		return;
	sp->gain_at = s->now + STEP_US;
	if (seen > calm)
		shrink(s, calm, seen);
	else if (seen < rtt + (calm - rtt) / 2 &&
		 (lossy || sp->gain < PACE_GAIN_ONE))
		sp->gain = (uint16_t)MIN(sp->gain + gain_step(sp, lossy),
					 PACE_GAIN_MOST);
}

static unsigned count_full(const struct session *s)
{
	unsigned n = 0;

	list_for_each (it, &s->carriers)
		n += container_of(it, struct carrier, link)->bulks > 0;
	return n;
}

void gain_look(struct session *s, bool far)
{
	struct spread *sp = &s->spread;
	struct carrier *light = sp->light;
	bool joined = far && light != NULL && light->bulks == 0;
	unsigned n = joined ? count_full(s) : 0;
	uint32_t least = s->p.limits.in_flight_min;

	if (!joined)
		sp->gain = PACE_GAIN_ONE;
	else if (s->now >= sp->gain_at)
		find_gain(s);
	/* Each has its part of the least: a whole one for each of many would
	 * keep the queue of a slow line full. */
	if (n > LEASTS)
		least = least / n * LEASTS;
	list_for_each (it, &s->carriers)
		pace_join(&container_of(it, struct carrier, link)->pace,
			  joined ? sp->gain : 0, n > 1, least);
	if (joined && light->ping_at == 0) {
		light->ping_due = true;
		session_wake(s);
	}
}
