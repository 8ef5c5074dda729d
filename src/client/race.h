/* SPDX-License-Identifier: MIT */
/*
 * Which of a rig's paths to dial, and when: the candidates and the time go in,
 * what to dial next comes out. No I/O and no clock here. The order is happy
 * eyeballs' (RFC 8305) with one change, docs/decisions/010: everything starts
 * at once, and a path is only held back while a better one, which worked when
 * it was last needed, has its head start.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/parse.h"
#include "crypto/pin.h"
#include "net/backoff.h"
#include "wire/code.h"

#define RACE_PATHS_MAX	   32
#define RACE_TEXT_CAP	   320
#define RACE_LABEL_CAP	   (HOSTPORT_CAP + 8)
#define RACE_HEAD_START_US 250000
#define RACE_LAZY_US	   5000000   /* between dials at what never worked */
#define RACE_REFUSED_US	   30000000  /* and at a relay that said no */
#define RACE_FRESH_US	   3000000   /* a result is not asked for again */
#define RACE_FOUND_US	   300000000 /* an answer on this network is kept */

/* The better ones first. */
enum path_kind {
	PATH_LAN,    /* in the same network */
	PATH_DIRECT, /* an address that the rig can be reached at */
	PATH_RELAY,
};

struct path {
	uint32_t id; /* of its place in this race, never 0; not used again */
	enum path_kind kind;
	bool is_search; /* not an address: asks the network who is there */
	bool is_found;	/* the answer to a search, at found_us */
	bool is_offered;
	struct pin relay;			/* PATH_RELAY */
	char at[CODE_RELAYS_MAX][HOSTPORT_CAP]; /* the same thing each */
	uint8_t at_count;
	unsigned dials;	   /* that run now, and */
	unsigned in_line;  /* those of them that wait at the relay */
	bool is_heard;	   /* one of them is before a busy relay */
	bool is_good;	   /* it worked when it was last needed */
	bool is_refused;   /* this machine is not known there,
			    * and its code is void */
	bool has_failed;   /* since the race began */
	uint32_t round;	   /* the last one that it was looked at in */
	uint64_t tried_us; /* 0: never */
	uint64_t found_us;
	uint64_t rtt_us;		/* when it was last in use; 0 */
	uint64_t tried, failed, worked; /* moments, for people; 0: never */
	char text[RACE_TEXT_CAP];	/* the last failure, or why it waits */
};

enum race_goal {
	RACE_OFF,    /* nothing is to be dialled */
	RACE_ANY,    /* nothing is connected */
	RACE_BETTER, /* what is connected may be bettered */
};

struct race {
	struct path paths[RACE_PATHS_MAX];
	size_t count;
	uint32_t next_id, round, first_round;
	enum race_goal goal;
	enum path_kind than; /* RACE_BETTER: than this */
	struct backoff backoff;
	unsigned climbs;   /* rounds since RACE_BETTER began */
	uint64_t began_us; /* the first round, */
	uint64_t round_us; /* this one, */
	uint64_t next_us;  /* and the next one */
};

void race_init(struct race *r);

/* The candidates anew: race_offer() each of them between these two calls, and
 * what is not offered again is forgotten; the others keep their results. What
 * a search found stays until it is old. */
void race_offers_begin(struct race *r);
void race_offers_end(struct race *r, uint64_t now_us);
/* A relay: addresses of one that is there already are added to it. */
void race_offer_relay(struct race *r, const struct pin *pin, const char *at);
/* An address of the rig itself; its kind is told by whether it is private. */
void race_offer_address(struct race *r, const char *at);
void race_offer_search(struct race *r);
/* A search was answered: dialled at once if that is wanted. */
void race_found(struct race *r, const char *at, uint64_t now_us);

struct path *race_path(struct race *r, uint32_t id); /* NULL: forgotten */
struct path *race_search(struct race *r);	     /* NULL: not offered */
/* For people: "lan 192.168.1.5:7443", "relay HOST:PORT". Returns out. */
char *path_label(const struct path *p, char out[RACE_LABEL_CAP]);
const char *path_kind_name(enum path_kind kind);

/* An outage begins, or there is new hope (somebody asks, a new network):
 * RACE_ANY from now_us on, everything is dialled then, and often again for a
 * minute. */
void race_begin(struct race *r, uint64_t now_us);
/* What is wanted from now on. A new wish for something better is looked after
 * at once, then after 3 s, 15 s, 60 s and every 5 minutes. */
void race_aim(struct race *r, enum race_goal goal, enum path_kind than,
	      uint64_t now_us);
/* The same, although nothing changed here. */
void race_look_again(struct race *r, uint64_t now_us);
/* The path to dial now (which counts as done), or NULL and when to ask again:
 * UINT64_MAX for never. */
struct path *race_next(struct race *r, uint64_t now_us, uint64_t random,
		       uint64_t *ret_at_us);

/* How it went; an id that is forgotten changes nothing. at is a moment
 * (net/moment.h), for people to read. */
void race_failed(struct race *r, uint32_t id, int err, const char *text,
		 uint64_t at);
void race_waits(struct race *r, uint32_t id, const char *text);
void race_works(struct race *r, uint32_t id, uint64_t at);
/* No path may come back: there is a relay, each of them has said no, and every
 * other path has failed since the race began and never worked before. */
bool race_is_lost(const struct race *r);
bool race_waits_in_line(const struct race *r);
/* Why nothing is connected: the words of the path that came nearest. "" where
 * nothing is known. */
const char *race_reason(const struct race *r);
