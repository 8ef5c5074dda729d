/* SPDX-License-Identifier: MIT */
/*
 * The insides of a stream, for the core's own files: how it is sent and kept,
 * and which carrier carries it. Nothing outside src/core (and its tests)
 * includes this.
 */
#pragma once
#include "base/list.h"
#include "core/chunk.h"
#include "core/session.h"

/* A control frame that a stream owes the peer, on the carrier it is due on. */
enum due {
	DUE_STATE = 1 << 0,
	DUE_RESET = 1 << 1,
	DUE_END = 1 << 2,
};

struct stream {
	struct session *s;
	const struct stream_ops *ops; /* NULL until taken */
	void *user;
	uint32_t id;
	uint8_t kind;
	uint8_t due;	     /* bits of enum due */
	uint16_t answers;    /* bits of carrier.slot: asked for there */
	bool mine : 1;	     /* we opened it */
	bool sent_open : 1;  /* an OPEN left on some carrier */
	bool placed : 1;     /* it has a floor of the budget */
	bool known : 1;	     /* the peer's STATE showed that it knows it */
	bool connected : 1;  /* the target is connected */
	bool fin : 1;	     /* the user wrote all; the end is at out.end */
	bool fin_sent : 1;   /* on the current ride */
	bool fin_in : 1;     /* the peer's end is known */
	bool eof_given : 1;  /* and was handed to the user */
	bool closed : 1;     /* over for the user; err and text say how */
	bool told : 1;	     /* on_closed has run */
	bool settled : 1;    /* over on the wire; out of the tables */
	bool wants_room : 1; /* the user was told to wait */
	bool eof_due : 1;    /* on_eof is to run from session_tick() */
	bool room_due : 1;   /* on_room likewise */
	bool stopped : 1;    /* sends no more on ride: to comes next */
	bool is_fresh : 1;   /* in carrier.fresh, not .old or .heavy */
	bool is_heavy : 1;   /* in carrier.heavy */
	int err;	     /* of the close; 0 clean */
	int32_t deficit;     /* DRR */
	uint32_t burst;	     /* bytes sent lately, see spread.c */
	char *text;	     /* why it ended, or NULL */

	/* Sending. out holds [consumed by the peer, written by us). */
	struct chunkq out;
	uint64_t next;		/* to send on the ride */
	uint64_t sent;		/* nothing beyond it ever left; the end too */
	uint64_t peer_limit;	/* may be sent up to here */
	uint64_t peer_received; /* as stated, the end's offset too */
	uint64_t peer_consumed; /* likewise */
	struct carrier *ride;	/* carries our bytes; NULL: none does */
	struct carrier *to;	/* the ride moves there; NULL: it stays */
	struct carrier *asked;	/* a STATE is expected on it */
	uint64_t burst_at;	/* when burst began to be counted */

	/* Receiving. in holds [consumed, received). */
	struct chunkq in;
	uint64_t limit;	       /* stated to the peer */
	uint32_t window;       /* what limit is beyond consumed when stated */
	uint32_t lent;	       /* of window, beyond the floor: the budget's */
	uint64_t stated;       /* consumed, as last stated */
	uint64_t half;	       /* consumed when half a window began */
	uint64_t half_at;      /* and when that was */
	struct carrier *heard; /* where its frames came last */

	struct list all;	/* session.streams, by rising id on each side */
	struct list open;	/* session.unopened */
	struct list dues;	/* carrier.due of due_on */
	struct carrier *due_on; /* where it owes, or said the last of that */
	struct list ask;  /* carrier.asks of asked: an ASK is to leave there */
	struct list run;  /* carrier.fresh, .old or .heavy of ride */
	struct list bulk; /* session.bulks: much was sent lately */
	struct list lag;  /* session.lagging */
	struct list soon; /* session.roomy: on_eof or on_room is to run; closed:
			   * session.closing, on_closed is */
	char target[];
};

/* stream.c: the user's side is core/stream.h. */
struct stream_params {
	uint32_t id; /* 0: the control stream */
	bool mine;
	enum stream_kind kind;
	const char *target; /* need not end with NUL */
	size_t target_len;
};
struct stream *stream_new(struct session *s, const struct stream_params *p);
void stream_free(struct stream *st);
void stream_close(struct stream *st, int err, const char *text);
void stream_settle(struct stream *st);
uint8_t stream_owes(const struct stream *st);
void stream_due(struct stream *st, uint8_t bits, struct carrier *c);
void stream_run(struct stream *st);
bool stream_wants_run(const struct stream *st);
void stream_room_check(struct stream *st);
void stream_tell(struct stream *st);

/* ride.c: which carrier carries its bytes. */
void stream_ride(struct stream *st, struct carrier *c);
void stream_home(struct stream *st, struct carrier *c, bool expects);
void stream_leave(struct stream *st, struct carrier *c);
void stream_ask(struct stream *st, struct carrier *c);
void stream_move(struct stream *st, struct carrier *c);
void stream_stated(struct stream *st, struct carrier *c, uint64_t received);
