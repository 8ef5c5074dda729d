/* SPDX-License-Identifier: MIT */
/*
 * What goes over which carrier, for what this side sends, and how many there
 * should be: PROTOCOL.md, section 7.2. For the core's own files.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/list.h"

struct session;
struct carrier;
struct stream;

/* How the streams are spread over the carriers: spread.c. */
struct spread {
	struct list bulks;     /* streams that sent much lately */
	struct carrier *light; /* free of bulk: for the others; or NULL */
	uint64_t at;	       /* when to look again; 0: nothing to see */
	uint64_t lived_at;     /* when a carrier last came */
	uint16_t gain;	       /* of the caps of all, in 64ths */
	uint64_t gain_at;      /* not another step of it before */
	uint64_t crowded_at;   /* since when every carrier has bulk; 0 */
	bool waits;	       /* who is no bulk had to go behind it lately */
	unsigned wants;	       /* carriers that this side could use */
	bool wish_more;	       /* it finds that it could use more (or less) */
	uint64_t wish_at;      /* since then; 0: wants is right */
	unsigned told;	       /* client: by on_wants */
	uint64_t stated;       /* rig: serial and wants, as in WANTS */
	uint64_t peers;	       /* client: the highest that came */
};

void spread_init(struct session *s);
void spread_sent(struct stream *st, size_t len);
void spread_woke(struct stream *st);
void spread_lives(struct session *s);
void spread_gone(struct session *s, struct carrier *c);
void spread_left(struct carrier *c);
void spread_retire(struct carrier *c);
bool spread_is_empty(const struct carrier *c);
void spread_peer_wants(struct session *s, uint64_t wants);
/* False when c was dropped: it had retired, and nothing is on it. */
bool spread_retire_tick(struct carrier *c, uint64_t *next);
void spread_tick(struct session *s, uint64_t *next);
/* gain.c: how much those that have bulk may have in flight together; looked at
 * with the rest. far: there is bulk, on a way that is long enough for several
 * carriers. */
void gain_look(struct session *s, bool far);
