/* SPDX-License-Identifier: MIT */
#include "carrier/control_local.h"

#include "base/check.h"
#include "base/err.h"

#define KICK_US 1800000
/* A ping unanswered for so long and two round trips, the first one for a
 * second, has a fresh connection dialled beside this one, unless it has reached
 * the relay's machine: then the path is well and the relay busy, with many who
 * came at once, say, and one more connection makes that worse. */
#define DOUBT_US       400000
#define DOUBT_FIRST_US 1000000

static uint64_t doubt_at(const struct control *c)
{
	return c->pinged_us +
	       (c->rtt_us != 0 ? DOUBT_US + 2 * c->rtt_us : DOUBT_FIRST_US);
}

/* On the whole second before it is due, where what is looked at each second
 * wakes the process anyway. What the relay says puts off nothing: it wants to
 * hear something itself. */
static uint64_t ping_at(const struct control *c)
{
	const uint64_t due = c->said_us + RELAY_PING_MS * 1000;

	return due - due % 1000000;
}

void control_beat(struct control *c)
{
	const uint64_t now = loop_now_us(c->loop);
	uint64_t at = ping_at(c);

	if (c->pinged_us != 0)
		at = c->is_doubted || c->is_heard
			     ? c->ping_by_us
			     : MIN(c->ping_by_us, doubt_at(c));
	timer_start(c->beat, at > now ? (at - now + 999) / 1000 : 0);
}

static void control_ping(struct control *c, uint64_t within_us)
{
	struct relay_msg m = { .type = R_PING };

	m.number.number = ++c->ping_number;
	c->is_heard = false;
	c->said_us = c->pinged_us = loop_now_us(c->loop);
	c->ping_by_us = c->pinged_us + within_us;
	control_beat(c);
	reach_send(c->chan, &m);
}

/* Until either the present connection or a new one is heard. */
static void control_dial_beside(struct control *c)
{
	c->is_doubted = true;
	backoff_reset(&c->backoff, loop_now_us(c->loop));
	timer_start(c->dial, 0);
	control_beat(c);
}

static void control_doubt_ping(struct control *c)
{
	c->is_heard = chan_is_acked(c->chan);
	if (c->is_heard)
		control_beat(c); /* its deadline stands */
	else
		control_dial_beside(c);
}

void control_on_beat(void *user)
{
	struct control *c = user;
	const uint64_t now = loop_now_us(c->loop);

	if (c->pinged_us != 0 && now >= c->ping_by_us)
		control_lose(c, RW_ERR_TIMEOUT,
			     "the relay does not answer any more");
	else if (c->pinged_us == 0 && now >= ping_at(c))
		control_ping(c, RELAY_PONG_MS * 1000);
	else if (c->pinged_us != 0 && !c->is_doubted && now >= doubt_at(c))
		control_doubt_ping(c);
	else
		control_beat(c);
}

void control_heard(struct control *c)
{
	c->heard_us = loop_now_us(c->loop);
	if (c->pinged_us != 0)
		c->ping_by_us = MAX(c->ping_by_us, c->heard_us + KICK_US);
}

/* Of a ping that was doubted the answer says how long the path was away. The
 * next one says what an answer takes; one that is late as well means it. */
static bool control_measure(struct control *c)
{
	const bool is_late = c->heard_us >= doubt_at(c) && !c->is_again;

	if (!is_late)
		c->rtt_us = c->heard_us - c->pinged_us;
	c->is_again = is_late;
	return !is_late;
}

void control_pong(struct control *c, uint64_t number)
{
	bool is_measured;

	if (c->pinged_us == 0 || number != c->ping_number)
		return;
	is_measured = control_measure(c);
	c->pinged_us = 0;
	if (c->is_doubted) {
		c->is_doubted = false;
		control_attempts_free(c);
		timer_stop(c->dial);
	}
	if (is_measured)
		control_beat(c); /* its deadlines are over */
	else
		control_ping(c, RELAY_PONG_MS * 1000);
}

void control_kick(struct control *c)
{
	const uint64_t by = loop_now_us(c->loop) + KICK_US;

	control_attempts_doubt(c);
	if (c->chan != NULL && c->pinged_us == 0) {
		control_ping(c, KICK_US);
		return;
	}
	/* A deadline that is near stays; one that passed while the process was
	 * stopped is given anew. */
	if (c->chan != NULL) {
		if (c->ping_by_us > by || c->ping_by_us < by - KICK_US)
			c->ping_by_us = by;
		control_beat(c);
		return;
	}
	c->is_final = false;
	control_outage(c);
	timer_start(c->dial, 0);
}

void control_doubt(struct control *c)
{
	if (c->chan != NULL && c->pinged_us == 0)
		control_ping(c, RELAY_PONG_MS * 1000);
}

void control_report(const struct control *c, struct control_report *ret)
{
	const uint64_t now = loop_now_us(c->loop);
	const uint64_t silent = now - MIN(now, c->heard_us);

	*ret = (struct control_report){
		.is_up = c->chan != NULL &&
			 silent <= (RELAY_PING_MS + RELAY_PONG_MS + 1000) *
					   (uint64_t)1000,
		.heard_ms = c->heard_us != 0 ? silent / 1000 : UINT64_MAX,
		.rtt_us = c->chan != NULL ? c->rtt_us : 0,
		.next_ms = UINT64_MAX,
	};
	if (c->chan == NULL && !c->is_final && c->next_us > now)
		ret->next_ms = (c->next_us - now) / 1000;
}
