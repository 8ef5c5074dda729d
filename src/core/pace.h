/* SPDX-License-Identifier: MIT */
/*
 * How much one carrier may have in flight: about delivered rate x (least round
 * trip + a slack of up to 10 ms), so that the queues on the way stay short and
 * a keystroke does not wait behind a download. The sender marks a frame now and
 * then, the receiver states how far it has read, and each such pair gives a
 * round trip and a rate. After BBR (Cardwell et al., 2016), without its pacing:
 * the kernel's TCP does that. PROTOCOL.md, section 7.1.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_MARKS     16
#define PACE_ROUNDS    8 /* rates are the most of so many rounds */
#define PACE_GAIN_ONE  64
#define PACE_GAIN_MOST 256 /* 4: nobody waits longer for what is sent again */
/* A round trip below it is a short way: what is late there is so for want of a
 * processor. */
#define PACE_NEAR_US 5000

struct pace_mark {
	uint64_t sent; /* bytes sent when the marked frame had gone */
	uint64_t read; /* bytes the peer had read by then */
	uint64_t at_us;
	uint64_t read_at_us; /* when that was stated */
	uint64_t sent_at_us; /* when what was stated last had left */
	bool full;	     /* the cap held the sender back since the last */
};

struct pace {
	uint64_t sent;	     /* carrier bytes given out */
	uint64_t read;	     /* of them, read by the peer as it stated */
	uint64_t read_at_us; /* when it did, or sending began again */
	uint64_t sent_at_us; /* when the last answered mark had left, or same */
	uint64_t cap;	     /* most of sent - read */
	uint32_t cap_min;
	struct pace_mark marks[PACE_MARKS];
	uint8_t mark_first, mark_count;
	uint64_t marked_us;	    /* when the newest of them left */
	uint64_t rate[PACE_ROUNDS]; /* bytes per second, a ring */
	uint8_t round;
	uint64_t round_ends; /* at this value of read */
	uint64_t rtt_us;     /* least lately; 0 unknown */
	uint64_t least_us;   /* the shortest of this round */
	uint64_t most_us;    /* the longest */
	uint8_t jumps; /* rounds lately, in which they differed much: to 64 */
	bool had_room; /* the round before saw an empty queue */
	uint64_t sent_read; /* read, as known when the last frame left */
	uint64_t dry_cap; /* least cap, while all is read before more can go */
	bool is_dry;	  /* as the last answer said */
	bool was_dry;	  /* as one of this round did */
	uint64_t calm_at_us;	/* when a round trip was last about as short */
	uint64_t drained_at_us; /* while drains: when it was done; 0 not yet */
	uint64_t took_us;	/* the round trip of the last answered mark */
	uint64_t rtt_at_us;	/* when it was seen last */
	uint64_t best;		/* rate that startup compares with */
	uint8_t flat;		/* rounds without growth */
	uint8_t trial;		/* what is tried out: enum trial of pace.c */
	uint8_t trial_rounds;	/* so many rounds of it are over */
	uint8_t pause;		/* so many times as it is before the next */
	bool less_next;		/* a try downwards comes next */
	uint16_t gain;		/* of the cap, in 64ths: 1 to 4 */
	uint16_t common;	/* of all along the way; 0: each has its own */
	bool beside;		/* others have bulk, too */
	uint64_t seen_us;	/* least round trip since pace_seen() */
	uint16_t gain_before;	/* the trial */
	uint64_t trial_at;	/* when its measuring began, */
	uint64_t trial_read;	/* and what was read by then */
	uint64_t trial_rate;	/* what the phase before it brought */
	bool startup;
	bool held;   /* the cap held the sender back */
	bool drains; /* a round with a small cap finds the true rtt */
};

void pace_init(struct pace *p, uint32_t cap_min);
/* Whether bulk may go now; remembers if it held the sender back. */
bool pace_may_send(struct pace *p);
/* How long a frame may be that goes now: on a slow line a whole one takes long.
 */
size_t pace_room(const struct pace *p);
/* A frame of len bytes goes; returns true if it is to be marked. */
bool pace_sent(struct pace *p, uint32_t len, uint64_t now_us);
/* The peer stated that it has read so many carrier bytes: false if it claims
 * more than was sent. Older statements change nothing. */
bool pace_read(struct pace *p, uint64_t read, uint64_t now_us);
/* A round trip seen otherwise (ping). */
void pace_rtt(struct pace *p, uint64_t rtt_us, uint64_t now_us);
/* What a carrier beside it, along the same way, knows of its least round trip,
 * if that is less: of a carrier that came when a queue stood already. */
void pace_share(struct pace *p, const struct pace *other, uint64_t now_us);
/* The least round trip since this was last asked, or UINT64_MAX. */
uint64_t pace_seen(struct pace *p);
/* What a round trip takes while no more is in flight than need be. */
uint64_t pace_calm_us(const struct pace *p);
/* Whether packets seem to be lost on the way. */
bool pace_is_lossy(const struct pace *p);
/* Whether more is in flight than is delivered in a calm round trip. */
bool pace_is_over(const struct pace *p);
/* From now on the gain of the cap is that of all along the way, in 64ths; 0:
 * its own. Beside others that have bulk none is tried out: what one wins there
 * the others lose. The cap is at least cap_min. */
void pace_join(struct pace *p, uint16_t common, bool beside, uint32_t cap_min);
