/* SPDX-License-Identifier: MIT */
/*
 * The dials at one rig that run at once, each along one path. When there are
 * too many along one, the oldest keeps its full time (a far relay may need it)
 * and the others give way in turn: a SYN that was sent into a hole is asked for
 * again too late. One that stands in line at a relay is a standing order. When
 * to start one is the race's business. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "client/race.h"

struct chan;
struct dials;
struct rigs_row;
struct way_env;

/* At once along one path; each gets DIALS_TIMEOUT_MS. */
#define DIALS_MAX	 8
#define DIALS_DIRECT_MAX 4
#define DIALS_TIMEOUT_MS 10000

/* What came of one; path is its id. */
struct dials_end {
	uint32_t path;
	enum path_kind kind;
	bool is_extra;
	int err;	    /* of a failure */
	const char *text;   /* likewise */
	uint64_t waited_us; /* how long it had stood in line at the relay */
};

/* No dials_cancel() inside of them. The race was told already. */
struct dials_ops {
	/* End-to-end TLS with the rig is up; c as in carrier/relayed.h, and
	 * peer_addr is the rig's. */
	void (*on_up)(void *user, const struct dials_end *end, struct chan *c,
		      const char *peer_addr);
	void (*on_failed)(void *user, const struct dials_end *end);
	void (*on_waiting)(void *user, const char *why, bool is_news);
	/* A search was answered; the race knows the place. */
	void (*on_found)(void *user, const char *at);
};

/* env, row and race outlive it; the dials and in_line of the race's paths are
 * kept here. */
struct dials *dials_new(const struct way_env *env, const struct rigs_row *row,
			struct race *race, const struct dials_ops *ops,
			void *user);
void dials_free(struct dials *d);
/* invite_id: 16 bytes while pairing, else NULL. is_extra: not of the race, but
 * one more along the path in use. 0 or an error of relayed_start(),
 * direct_start(), discover_start(). */
int dials_start(struct dials *d, struct path *p, const uint8_t *invite_id,
		bool is_extra);
void dials_cancel(struct dials *d);
/* Cancels the race's at paths that are no better than that. */
void dials_keep_better(struct dials *d, enum path_kind than);
/* Cancels all but one along each path on which one stands in line, and what
 * leads along a path that is forgotten. */
void dials_thin(struct dials *d);
/* Tells the race along which paths a busy relay has one of them before it, and
 * one that stands in line is still there. */
void dials_listen(struct dials *d);
unsigned dials_count(const struct dials *d);
/* How many extra ones run. */
unsigned dials_extra_count(const struct dials *d);
/* Whatever runs may do so on a path that is gone: it may still come up, but
 * until its relay says again that it waits it holds back no other dial. */
void dials_doubt(struct dials *d);
