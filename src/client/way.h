/* SPDX-License-Identifier: MIT */
/*
 * The way to one rig: its session, and what keeps it connected while it is
 * wanted. Dials along all paths that are known, as client/race.h says when, and
 * the first one whose WELCOME is read wins; the others go, unless one is
 * better. It never opens a stream. Loop thread only. When things happened are
 * moments (net/moment.h): nobody who sets the wall clock changes them.
 *
 *	wanted by: forwards, connections, requests, a join
 *	IDLE -> DIALING <-> LIVE; ENDED when the rig ended the session for good
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "carrier/bearer.h"
#include "crypto/key.h"
#include "core/session.h"
#include "net/loop.h"
struct rigs_row;
struct way;

/* How long a session that nobody wants stays, so that the next ssh is quick. */
#define WAY_LINGER_MS (10 * 60 * 1000)
#define WAY_TEXT_CAP  512

/* The setting client.paths. */
enum way_paths {
	WAY_PATHS_ANY,
	WAY_PATHS_RELAY,  /* through a relay only */
	WAY_PATHS_DIRECT, /* without one */
};

/* What all ways of the daemon share; outlives them. */
struct way_env {
	uv_loop_t *loop;
	const struct key *key;
	struct driver *driver;
	struct budget *budget;
	struct session_limits limits;
	enum way_paths paths;
	uint64_t incarnation;
	char device[HELLO_NAME_MAX + 1]; /* this machine's label */
	/* A rig welcomed us: row->info is new if changed. May be NULL. */
	void (*on_welcome)(void *user, struct rigs_row *row, bool changed);
	void *user;
};

enum way_state {
	WAY_IDLE,    /* nobody wants it */
	WAY_DIALING, /* the path is down, or the relay waits for the rig */
	WAY_LIVE,    /* WELCOME was read */
	WAY_ENDED,   /* refused: no dials until asked for */
};

/* Who waits for the state to change. Each may remove itself, or others, or
 * add some, inside its callbacks. */
struct way_watch {
	struct list link; /* list_init() before first use */
	void (*on_live)(struct way_watch *w);
	/* err, text: why the rig does not want us. */
	void (*on_ended)(struct way_watch *w, int err, const char *text);
};

/* row is borrowed and outlives it. */
struct way *way_new(const struct way_env *env, struct rigs_row *row);
/* Ends it and tells the rig: streams close with RW_ERR_CANCELLED, watches hear
 * of it, and when nobody wants it any more it is freed and on_released runs,
 * from the loop. */
void way_release(struct way *way, void (*on_released)(void *user), void *user);

/* Counted. While down, a new want dials at once. */
void way_want(struct way *way);
void way_unwant(struct way *way);
void way_watch(struct way *way, struct way_watch *w);

/* Where the rig is was learned anew (its row): dialled soon. */
void way_offers(struct way *way);
/* Somebody asks, or woke up, or the network changed: if down, dial now and
 * often again; if up, prove within 1.8 s that it is (others are dialled if it
 * is silent for 0.3 s), and look for a better path at once. One that the rig
 * ended stays ended; where only relays refused, other paths may be here now. */
void way_kick(struct way *way);
/* A new connection in place of the present ones; revives an ended one. */
void way_renew(struct way *way);
/* While pairing: HELLO redeems this invite, and the relay is shown its id.
 * Revives an ended one. way_unpair() forgets the secret. */
void way_pair(struct way *way, const uint8_t invite_id[INVITE_ID_LEN],
	      const uint8_t secret[INVITE_SECRET_LEN]);
void way_unpair(struct way *way);
/* Somebody wants to know how it is: unless it is proven just now, a live one is
 * asked for a sign of life, */
void way_ask(struct way *way);
/* which has come since, or there is nothing to wait for. An answer that takes
 * 1.5 s makes it one that is checked. */
bool way_has_answered(const struct way *way);
enum way_state way_state(const struct way *way);
const char *way_state_name(enum way_state state);
/* NULL while there is none; may change whenever the loop runs. */
struct session *way_session(const struct way *way);
struct rigs_row *way_row(const struct way *way);
uv_loop_t *way_loop(const struct way *way);

struct way_report {
	enum way_state state;
	const char *text;      /* the last failure, or why it waits; "" */
	uint64_t next_dial_ms; /* UINT64_MAX: none is planned */
	bool is_barred;	       /* ended by what relays say, not by the rig */
	unsigned dials;	       /* that run now */
	bool waits_at_relay;
	uint64_t since;	       /* a moment: live, or not live, since */
	const char *path;      /* in use: "relay HOST:PORT"; "" */
	bool is_relayed;       /* path leads through a relay */
	const char *peer_addr; /* the rig's as the relay sees it; "" */
	unsigned links;
	bool is_narrow; /* it sends small packets, since large ones vanish */
	unsigned wants;
	/* Live, but not shown as that: no byte came for longer than a ping and
	 * its answer may take, or none since it was asked. */
	bool is_checking;
	uint64_t heard_ms;    /* ago, inside the session; UINT64_MAX: never */
	uint64_t hop_rtt_us;  /* to the relay, or to the rig where there is
			       * none; 0: unknown */
	unsigned resumed;     /* the session went on after a cut, so often */
	unsigned moved;	      /* and went over to another path */
	const char *cut;      /* why the path was last lost; "" */
	uint64_t cut_at;      /* a moment; 0: never */
	int64_t cut_after_s;  /* it had been connected for so long */
	int64_t cut_back_s;   /* and was again after that; -1: not yet */
	uint32_t given_up;    /* connections, the last time that it was away */
	uint64_t given_up_at; /* for too long; a moment; 0: never */
	uint64_t keep_s;      /* how long they are kept; 0: not known */
	bool keeps_less;      /* client.keep_absent says so, not the rig */
	uint64_t kept_ms;     /* what is left of that; UINT64_MAX: it does not
			       * run */
};
void way_report(const struct way *way, struct way_report *ret);

/* One path to the rig, and how it did. */
struct path_report {
	const char *kind; /* "lan", "direct", "relay" */
	char label[HOSTPORT_CAP + 8];
	const char *state; /* "in use", "in line", "dialled", "failed",
			    * "worked", "untried" */
	const char *text;  /* why it failed, or waits; "" */
	uint64_t tried, failed, worked; /* moments; 0: never */
	uint64_t rtt_us;		/* 0: unknown */
};
/* The i-th path, false behind the last one; pointers are valid until the loop
 * runs. */
bool way_path(const struct way *way, size_t i, struct path_report *ret);
/* Why the path in use is that one, a sentence part; "" while there is none. */
const char *way_path_why(const struct way *way);
