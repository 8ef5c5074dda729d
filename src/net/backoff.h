/* SPDX-License-Identifier: MIT */
/*
 * When to dial again: every 0.4 s for the first 60 s of an outage, whatever
 * became of the dial before, then with jittered back-off up to 30 s. The kernel
 * asks again after 1, 3 and 7 s: what is asked again by one dial falls halfway
 * between two others, so that something is asked every 0.2 s. Time and
 * randomness are passed in.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define BACKOFF_EAGER_MS 400
#define BACKOFF_EAGER_US (60 * UINT64_C(1000000))
#define BACKOFF_LATE_MS	 1000 /* the first pause after it, at most */
#define BACKOFF_MAX_MS	 30000

struct backoff {
	uint64_t since_us; /* when the outage began, or hope returned */
	uint32_t late;	   /* dials after the eager minute */
	bool is_slow;
};

/* An outage begins, or something changed (a wake, a new network, somebody
 * asks): dial now, and often again for a minute. */
void backoff_reset(struct backoff *b, uint64_t now_us);
/* Somebody answered, with no: the eager minute is over. */
void backoff_slow(struct backoff *b);
/* A dial starts now: in how many ms the next one does. */
uint64_t backoff_next(struct backoff *b, uint64_t now_us, uint64_t random);
