/* SPDX-License-Identifier: MIT */
#include "core/pace.h"

#include <string.h>

#include "base/check.h"

/* A standing queue beyond the round trip finds new room on the path. It is as
 * long as a keystroke then waits: twice the round trip, within bounds. */
#define SLACK_LEAST_US 500
#define SLACK_MOST_US  10000
#define RTT_KEEP_US    10000000 /* then the queue is drained to look again */
#define STUCK_US       50000	/* a keystroke's delay that is felt */
#define TRIAL_SETTLES  2	/* rounds until a change shows, */
#define TRIAL_ROUNDS   4	/* and that it is measured for */
#define JUMPS_MOST     64
#define JUMPS_LOSSY    24 /* more than one pause of TCP's makes (BBR's, 0.2 s) */
#define TRIAL_PAUSE    4  /* such times, after a try upwards in vain */
#define PAUSE_US       50000 /* as long as the peer may keep its answer */
#define CAP_FIRST      (64 * 1024)
#define DRY_MOST       (2 * 1024 * 1024)
#define CAP_MOST       (UINT64_C(256) * 1024 * 1024)
#define PIECE_LEAST    4096 /* shorter frames cost more than they spare */

void pace_init(struct pace *p, uint32_t cap_min)
{
	memset(p, 0, sizeof(*p));
	p->cap_min = cap_min;
	p->cap = MAX(CAP_FIRST, cap_min);
	p->startup = true;
	p->gain = PACE_GAIN_ONE;
	p->least_us = p->seen_us = UINT64_MAX;
}

bool pace_may_send(struct pace *p)
{
	if (p->sent - p->read < p->cap)
		return true;
	p->held = true;
	return false;
}

size_t pace_room(const struct pace *p)
{
	uint64_t flies = p->sent - p->read;

	if (p->common == 0)
		return SIZE_MAX;
	return (size_t)MAX(p->cap - MIN(flies, p->cap),
			   MAX(p->cap / 32, PIECE_LEAST));
}

static struct pace_mark *newest(struct pace *p)
{
	return &p->marks[(p->mark_first + p->mark_count - 1) % PACE_MARKS];
}

bool pace_sent(struct pace *p, uint32_t len, uint64_t now_us)
{
	/* In a pause nothing is delivered because nothing is sent. */
	if (p->sent == p->read)
		p->read_at_us = p->sent_at_us = now_us;
	p->sent += len;
	p->sent_read = p->read;
	if (p->mark_count == PACE_MARKS)
		return false;
	/* A mark every quarter of what may be in flight, and after a pause: the
	 * peer's answer lets more go. On a long way oftener, so that no great
	 * bursts go: they fill the queue and let it run empty. But not for
	 * every few bytes: their answer would be in the way of the next. */
	uint64_t every = p->cap / (p->rtt_us > PACE_NEAR_US ? PACE_MARKS : 4);
	uint64_t since = p->mark_count > 0 ? newest(p)->sent : p->read;
	bool paused = p->mark_count == 0 && now_us >= p->marked_us + PAUSE_US;

	if (p->sent - since < every && !paused)
		return false;
	p->marked_us = now_us;
	p->mark_count++;
	*newest(p) = (struct pace_mark){
		.sent = p->sent,
		.read = p->read,
		.at_us = now_us,
		.read_at_us = p->read_at_us,
		.sent_at_us = p->sent_at_us,
		.full = p->held,
	};
	p->held = false;
	return true;
}

static uint64_t rate_most(const struct pace *p)
{
	uint64_t most = 0;

	for (int i = 0; i < PACE_ROUNDS; i++)
		most = MAX(most, p->rate[i]);
	return most;
}

static uint64_t slack_us(const struct pace *p)
{
	return MIN(MAX(2 * p->rtt_us, SLACK_LEAST_US), SLACK_MOST_US);
}

uint64_t pace_calm_us(const struct pace *p)
{
	return p->rtt_us + slack_us(p);
}

static uint64_t calm_bytes(const struct pace *p)
{
	return rate_most(p) * pace_calm_us(p) / 1000000;
}

bool pace_is_over(const struct pace *p)
{
	return p->sent - p->read > calm_bytes(p);
}

/*
 * Whether more in flight brings more. Where packets are lost, what arrives
 * waits for what is sent again: the way is longer than its least round trip
 * says, though no queue stands on it. Round trips that differ much within one
 * round are a sign of it, and a try is the proof: half as much again goes for
 * some rounds, and stays if the rate grows by a fifth; and now and then a
 * quarter less, which stays if hardly less comes.
 */
enum trial {
	TRIAL_BASE, /* the rate as it is */
	TRIAL_MORE,
	TRIAL_LESS,
};

static void trial_begin(struct pace *p, enum trial trial, uint64_t rate)
{
	p->trial = (uint8_t)trial;
	p->trial_rounds = 0;
	p->trial_rate = rate;
	p->gain_before = p->gain;
	if (trial == TRIAL_MORE)
		p->gain = (uint16_t)MIN(p->gain * 3 / 2, PACE_GAIN_MOST);
	else if (trial == TRIAL_LESS)
		p->gain = (uint16_t)MAX(p->gain * 3 / 4, PACE_GAIN_ONE);
}

bool pace_is_lossy(const struct pace *p)
{
	return p->jumps >= JUMPS_LOSSY;
}

/* What comes after some rounds as it is: more and less by turns. */
static void trial_choose(struct pace *p, uint64_t rate)
{
	bool more = pace_is_lossy(p) && p->gain < PACE_GAIN_MOST;
	bool less = p->gain > PACE_GAIN_ONE;

	if (p->pause > 0) {
		p->pause--;
		trial_begin(p, TRIAL_BASE, rate);
	} else if (more && (!less || !p->less_next)) {
		p->less_next = true;
		trial_begin(p, TRIAL_MORE, rate);
	} else {
		p->less_next = false;
		trial_begin(p, less ? TRIAL_LESS : TRIAL_BASE, rate);
	}
}

static void trial_judge(struct pace *p, uint64_t rate)
{
	switch ((enum trial)p->trial) {
	case TRIAL_BASE: trial_choose(p, rate); return;
	case TRIAL_MORE:
		if (rate >= p->trial_rate + p->trial_rate / 5) {
			trial_begin(p,
				    p->gain < PACE_GAIN_MOST ? TRIAL_MORE
							     : TRIAL_BASE,
				    rate);
			return;
		}
		p->gain = p->gain_before;
		p->pause = TRIAL_PAUSE;
		break;
	case TRIAL_LESS:
		if (rate < p->trial_rate - p->trial_rate / 16) {
			p->gain = p->gain_before;
			p->pause = TRIAL_PAUSE;
		}
		break;
	}
	trial_begin(p, TRIAL_BASE, rate);
}

/* A round is over in which the cap held the sender back. */
static void trial_round(struct pace *p, uint64_t now_us)
{
	if (p->startup || p->drains || p->beside) {
		p->trial_rounds = 0;
		return;
	}
	if (++p->trial_rounds <= TRIAL_SETTLES) {
		p->trial_at = now_us;
		p->trial_read = p->read;
	} else if (p->trial_rounds > TRIAL_SETTLES + TRIAL_ROUNDS) {
		trial_judge(p, (p->read - p->trial_read) * 1000000 /
				       MAX(now_us - p->trial_at, 1));
	}
}

/* Also where something else than the cap holds back: what was taken for loss
 * must not stay so for want of rounds. */
static void count_jumps(struct pace *p)
{
	p->jumps -= p->jumps / 8;
	if (p->most_us > p->least_us + p->rtt_us / 2 + slack_us(p))
		p->jumps += JUMPS_MOST / 8;
	p->most_us = 0;
}

static void next_round(struct pace *p, uint64_t now_us)
{
	if (!p->was_dry)
		p->dry_cap -= p->dry_cap / 8;
	p->was_dry = false;
	count_jumps(p);
	trial_round(p, now_us);
	p->round_ends = p->sent;
	p->had_room = p->least_us < p->rtt_us + slack_us(p) * 3 / 4;
	p->least_us = UINT64_MAX;
	if (p->startup) {
		uint64_t most = rate_most(p);

		if (most > p->best + p->best / 4) {
			p->best = most;
			p->flat = 0;
		} else if (++p->flat >= 3) {
			p->startup = false;
		}
	}
	p->round = (uint8_t)((p->round + 1) % PACE_ROUNDS);
	/* A round in which little was asked for says nothing of the path: it
	 * inherits. */
	p->rate[p->round] = p->rate[(p->round + PACE_ROUNDS - 1) % PACE_ROUNDS];
	p->rate[p->round] -= p->rate[p->round] / 16;
}

/* A round that the cap did not hold back says nothing of the rate. But if no
 * answer in it came without a queue on the way, doubling has gone too far. On a
 * short way it may as well be a process that had to wait for its turn. */
static void free_round(struct pace *p)
{
	if (p->least_us != UINT64_MAX &&
	    p->least_us > p->rtt_us + SLACK_MOST_US) {
		p->startup = false;
		p->had_room = p->had_room && p->rtt_us <= PACE_NEAR_US;
	}
	if (p->most_us != 0)
		count_jumps(p);
	p->round_ends = p->sent;
	p->least_us = UINT64_MAX;
}

/* Whether a queue has stood on the way for a while: the path is slower than it
 * was, and what it could carry is no news. Delays below those that a person
 * feels are not worth it, nor a stop for as long as TCP needs to repeat; nor
 * one of this carrier alone, while the one beside it sees no queue. */
static bool is_stuck(struct pace *p, uint64_t now_us)
{
	uint64_t calm = p->rtt_us + slack_us(p);

	if (p->took_us < MAX(2 * calm, STUCK_US) || p->is_dry ||
	    p->common >= PACE_GAIN_ONE)
		p->calm_at_us = now_us;
	return now_us - p->calm_at_us > MAX(4 * calm, 4 * STUCK_US);
}

/*
 * On a short way it is the processes that wait for their turn, when the machine
 * is busy: much longer than the round trip, which then says nothing of how much
 * is worth sending. But when the cap was used up, and all of it but a rest is
 * read before more can go, then no queue stood on the way, and whoever is to
 * read had nothing to do: half as much again goes the next time.
 */
static void find_dry(struct pace *p, uint64_t read)
{
	uint64_t flown = p->sent - p->sent_read;

	p->is_dry = p->rtt_us <= PACE_NEAR_US && !p->drains &&
		    flown >= p->cap && p->sent - read <= flown / 4;
	if (!p->is_dry)
		return;
	p->was_dry = true;
	p->dry_cap = MIN(MAX(p->dry_cap, flown + flown / 2), DRY_MOST);
}

static void take_sample(struct pace *p, const struct pace_mark *m,
			uint64_t now_us)
{
	uint64_t took = now_us - m->at_us;

	if (took == 0)
		took = 1;
	pace_rtt(p, took, now_us);
	p->took_us = took;
	p->least_us = MIN(p->least_us, took);
	p->most_us = MAX(p->most_us, took);

	/* Statements come in bursts when either process had to wait for its
	 * turn. Bytes are neither delivered faster than they were sent nor
	 * faster than they were stated: the longer of both times counts
	 * (draft-cheng-iccrg-delivery-rate-estimation, section 3). */
	uint64_t stating = now_us - m->read_at_us;
	uint64_t sending = m->at_us - m->sent_at_us;
	uint64_t rate = (p->read - m->read) * 1000000 /
			MAX(MAX(stating, sending), took);

	p->sent_at_us = m->at_us;

	/* A queue already: there is no more to be found by doubling. */
	if (took > MAX(2 * (p->rtt_us + slack_us(p)), STUCK_US / 2) &&
	    !p->is_dry)
		p->startup = false;
	if (is_stuck(p, now_us)) {
		p->dry_cap = 0;
		for (int i = 0; i < PACE_ROUNDS; i++)
			p->rate[i] = rate;
	}
	if (rate > p->rate[p->round])
		p->rate[p->round] = rate;
}

void pace_rtt(struct pace *p, uint64_t rtt_us, uint64_t now_us)
{
	/* Only what began with the queue drained says how long the way is. */
	if (p->drains && p->drained_at_us != 0 &&
	    now_us - rtt_us >= p->drained_at_us) {
		p->drains = false;
		p->rtt_us = rtt_us;
		p->rtt_at_us = now_us;
	}
	p->seen_us = MIN(p->seen_us, rtt_us);
	if (p->rtt_us == 0 || rtt_us <= p->rtt_us) {
		p->rtt_us = rtt_us;
		p->rtt_at_us = now_us;
	}
	if (!p->startup && !p->drains && now_us - p->rtt_at_us > RTT_KEEP_US) {
		p->drains = true;
		p->drained_at_us = 0;
	}
}

/* With the age of what is known: so all drain at the same time, and then see
 * the way without the others' queue. */
void pace_share(struct pace *p, const struct pace *other, uint64_t now_us)
{
	if (p->drains || other->drains || other->rtt_us == 0 ||
	    now_us - other->rtt_at_us > RTT_KEEP_US ||
	    (p->rtt_us != 0 && p->rtt_us <= other->rtt_us))
		return;
	p->rtt_us = other->rtt_us;
	p->rtt_at_us = other->rtt_at_us;
}

uint64_t pace_seen(struct pace *p)
{
	uint64_t seen = p->seen_us;

	p->seen_us = UINT64_MAX;
	return seen;
}

void pace_join(struct pace *p, uint16_t common, bool beside, uint32_t cap_min)
{
	/* What was seen before they were joined says nothing of now. */
	if (p->common == 0)
		p->seen_us = UINT64_MAX;
	p->common = common;
	p->beside = beside;
	p->cap_min = cap_min;
	if (beside) {
		p->gain = PACE_GAIN_ONE;
		p->trial = TRIAL_BASE;
		p->trial_rounds = 0;
		p->pause = 0;
	}
}

/* More than is delivered in a calm round trip is for where packets are lost. */
static uint64_t gain_of(const struct pace *p)
{
	if (p->common == 0)
		return p->gain;
	return pace_is_lossy(p) ? MAX(p->common, p->gain)
				: MIN(p->common, PACE_GAIN_ONE);
}

static void set_cap(struct pace *p, uint64_t got)
{
	uint64_t cap = calm_bytes(p) * gain_of(p) / PACE_GAIN_ONE;

	if (p->startup)
		cap = MAX(cap, p->cap + got);
	else if (p->drains)
		cap = rate_most(p) * p->rtt_us / 1000000 * 3 / 4;
	else if (p->had_room && (p->common == 0 || pace_is_lossy(p)))
		/* The cap held the sender back, and yet the queue on the way
		 * ran empty in the last round: there is room for some
		 * more. The rate alone would not find it, since the cap sets
		 * the rate. */
		cap = MAX(cap, p->cap + got / 8);
	if (!p->drains)
		cap = MAX(cap, p->dry_cap);
	/* A longer round trip alone lets no more go than was delivered. */
	cap = MIN(cap, p->cap + got);
	/* A least that many carriers have would keep the queue from draining.
	 */
	cap = MAX(cap, p->drains && p->common != 0 ? PIECE_LEAST : p->cap_min);
	p->cap = MIN(cap, CAP_MOST);
}

bool pace_read(struct pace *p, uint64_t read, uint64_t now_us)
{
	bool full = false;

	if (read > p->sent)
		return false;
	if (read <= p->read)
		return true;
	uint64_t got = read - p->read;

	find_dry(p, read);
	p->read = read;
	while (p->mark_count > 0 && p->marks[p->mark_first].sent <= read) {
		const struct pace_mark *m = &p->marks[p->mark_first];

		full |= m->full;
		take_sample(p, m, now_us);
		p->mark_first = (uint8_t)((p->mark_first + 1) % PACE_MARKS);
		p->mark_count--;
	}
	if (read >= p->round_ends) {
		if (full || p->held)
			next_round(p, now_us);
		else
			free_round(p);
	}
	p->read_at_us = now_us;
	set_cap(p, full || p->held ? got : 0);
	if (p->drains && p->drained_at_us == 0 && p->sent - p->read <= p->cap)
		p->drained_at_us = now_us;
	return true;
}
