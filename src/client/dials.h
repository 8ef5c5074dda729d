/* SPDX-License-Identifier: MIT */
/*
 * The dials at one rig that run at once: each asks the relay for the rig. When
 * there are too many, the oldest keeps its full time (a far relay may need it)
 * and the others give way in turn: a SYN that was sent into a hole is asked for
 * again too late. One that stands in line at the relay is a standing order.
 * When to start one is the way's business. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct chan;
struct dials;
struct rigs_row;
struct way_env;

/* At once; each gets DIALS_TIMEOUT_MS. */
#define DIALS_MAX	 8
#define DIALS_TIMEOUT_MS 10000

/* No dials_cancel() inside of them. */
struct dials_ops {
	/* End-to-end TLS with the rig is up; c as in carrier/relayed.h. */
	void (*on_up)(void *user, struct chan *c, const char *peer_addr);
	/* waited_us: how long it had stood in line at the relay. */
	void (*on_failed)(void *user, int err, const char *text,
			  uint64_t waited_us);
	void (*on_waiting)(void *user, const char *why, bool is_news);
};

/* env and row outlive it; it reads the row at each start. */
struct dials *dials_new(const struct way_env *env, const struct rigs_row *row,
			const struct dials_ops *ops, void *user);
void dials_free(struct dials *d);
/* invite_id: 16 bytes while pairing, else NULL. 0 or an error of
 * relayed_start(). */
int dials_start(struct dials *d, const uint8_t *invite_id);
/* Cancels all, or all but one that stands in line if there is one. */
void dials_cancel(struct dials *d, bool all);
unsigned dials_count(const struct dials *d);
/* Whether one stands in line at the relay. */
bool dials_is_waiting(const struct dials *d);
/* Whoever stands in line may do so on a path that is gone: it no longer
 * counts as waiting until it says so again. */
void dials_doubt(struct dials *d);
