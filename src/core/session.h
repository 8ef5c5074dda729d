/* SPDX-License-Identifier: MIT */
/*
 * A session: two mutually known devices, their streams, and the carriers the
 * streams ride on just now. It outlives every carrier. Bytes and time go in,
 * bytes come out: no sockets, no clock, no encryption here. PROTOCOL.md is the
 * contract with the peer; its section numbers are cited in the code.
 *
 * How a driver uses it: for each connection, make a carrier (session_dial at
 * the client, session_accept at the rig), feed what arrives to carrier_input,
 * send what carrier_output yields, and report the connection's end with
 * carrier_close. Call session_tick when on_wake asked for it and when the time
 * it returned has come. Loop thread only.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>
#include "core/stream.h"
#include "core/budget.h"
#include "wire/hello.h"

struct session;
struct carrier;

/* Limits of one session; config/schema.c has a row for each. */
struct session_limits {
	uint32_t max_streams;	   /* open or not yet confirmed ended, a side */
	uint32_t send_max;	   /* bytes kept for one stream's sending */
	uint32_t carriers_max;	   /* live carriers, <= CARRIERS_MAX */
	uint32_t in_flight_min;	   /* bytes a carrier may always have out */
	uint32_t keep_s;	   /* how long an absent one is kept; client: no
				    * longer than the rig says; 0: as long */
	uint64_t ping_interval_us; /* silence before a ping; the rig waits
				    * half a second more for the client's */
	uint64_t ping_timeout_us;  /* a ping's own deadline */
};
#define CARRIERS_MAX 9 /* eight for bulk, and one that is kept free of it */
/* Whoever is silent for longer is not proven to be there: a ping and its answer
 * had their time, and a second on top for busy machines. */
uint64_t session_proof_us(const struct session_limits *l);

struct session_ops {
	/* The peer opened a stream: stream_take() it now, or leave it and it
	 * is refused. kind and target are in the stream. NULL refuses all. */
	void (*on_open)(struct session *s, struct stream *st);
	/* A carrier is usable: the peer's WELCOME was read (client) or ours
	 * is on its way (rig). welcome is NULL at the rig, whose on_live may
	 * be NULL. */
	void (*on_live)(struct session *s, struct carrier *c,
			const struct welcome *welcome);
	/* The core gives a carrier up (a ping's deadline, the peer's list, a
	 * replaced session): close its connection. The carrier is gone. */
	void (*on_drop)(struct session *s, struct carrier *c, int err,
			const char *text);
	/* The peer owes an answer on c for so long that the path may be gone,
	 * whatever else comes there: the way back may be looked for, while c
	 * still has its time. Again every second or so. May be NULL. */
	void (*on_doubt)(struct session *s, struct carrier *c);
	/* There is output, or streams wait to be closed: call session_tick()
	 * and pull every carrier's output, from the loop, soon. */
	void (*on_wake)(struct session *s);
	/* Client: session_wants_carriers() is not what it was; from
	 * session_tick(). May be NULL. */
	void (*on_wants)(struct session *s);
	/* The peer refused or ended the session for good (RW_ERR_REPLACED,
	 * RW_ERR_NOT_ALLOWED, ...): stop dialling; close with session_free. */
	void (*on_ended)(struct session *s, int err, const char *text);
};

struct session_params {
	bool is_client;
	uint8_t id[SESSION_ID_LEN];
	uint64_t incarnation; /* of this process; never 0 */
	struct session_limits limits;
	struct budget *budget; /* borrowed; shared by all sessions */
	const struct session_ops *ops;
	void *user;
	uint64_t now_us;
};

int session_new(const struct session_params *p, struct session **ret);
/* Closes every stream with RW_ERR_CANCELLED (on_closed runs), forgets the
 * carriers without on_drop, and frees. Not from inside a callback. */
void session_free(struct session *s);
/* Before that: the same with another reason, for those who use the streams. */
void session_close_streams(struct session *s, int err, const char *text);

/* Client: a new carrier; its first output is HELLO. extra carries what the
 * roles add (name, invite secret); it is copied. NULL when one more than
 * carriers_max exist. */
struct carrier *session_dial(struct session *s, const struct hello_extra *extra,
			     uint64_t now_us);
/* Rig: a connection whose first frame was read with hello_read() and whose
 * device may come in. Its first output is WELCOME. fresh: this HELLO made the
 * session. info is copied. */
struct carrier *session_accept(struct session *s, const struct hello *h,
			       bool fresh, const struct rig_info *info,
			       uint64_t now_us);

/* Takes whole frames from data; returns how many bytes were taken (the rest
 * comes again, with more), or an error: close the connection, and carrier c
 * is gone (on_drop is not called for it). */
ssize_t carrier_input(struct carrier *c, const uint8_t *data, size_t len,
		      uint64_t now_us);
/* The next frame to send, at most FRAME_MAX bytes, contiguous, valid until
 * the next call; 0 when nothing may go now. Each one fits one TLS record. */
size_t carrier_output(struct carrier *c, const uint8_t **ret, uint64_t now_us);
/* The connection ended or is to be given up; c is gone. */
void carrier_close(struct carrier *c, uint64_t now_us);
/* Prove it alive within deadline_us or drop it (after waking, roaming). */
void carrier_suspect(struct carrier *c, uint64_t deadline_us, uint64_t now_us);
/* Sends it a ping now, beside those that silence brings; what it finds out
 * stands in session_stats. */
void carrier_ping(struct carrier *c, uint64_t now_us);
/* Bytes came, of which nothing whole may be made yet: on a slow line a record
 * takes seconds. They prove nothing, and yet nobody is in doubt meanwhile. */
void carrier_stirred(struct carrier *c, uint64_t at_us);
/* When the last ping left on it that was answered, or its HELLO: bytes went
 * both ways after that. */
uint64_t carrier_proven_us(const struct carrier *c);
/* Client: c is not needed any more. Everything moves to the other carriers,
 * without a gap and at both ends; then on_drop(c, RW_ERR_CLOSING) runs, after
 * 10 s at the latest. While c is the only live one it stays. */
void carrier_retire(struct carrier *c, uint64_t now_us);
/* Client: how many live carriers would be of use now, 1 to carriers_max: one
 * for each stream that fills its carrier, in either direction, and one for the
 * rest; more than eight only where packets are lost. It grows after 1.5 s of
 * that, and falls after 30 s of less. Retiring ones do not count. */
unsigned session_wants_carriers(const struct session *s);
/* Client: the live carrier that is missed least when there are more than
 * wanted, for carrier_retire(); NULL when there is only one. */
struct carrier *session_surplus(const struct session *s);
void carrier_set_user(struct carrier *c, void *user);
void *carrier_user(const struct carrier *c);

/* Closes what ended, sends pings, drops the dead; returns when to call again
 * (absolute, in us), UINT64_MAX for never. */
uint64_t session_tick(struct session *s, uint64_t now_us);
/* Queues a farewell on every carrier: REPLACED, or the service's end. */
void session_say_end(struct session *s, int err, const char *text);

/* Bytes on stream 0: requests and answers, framed by wire/request.h. It has no
 * end: stream_finish() does nothing, and stream_reset() only makes this side
 * deaf and mute there, for the session's life: NULL then. When the rig
 * restarts, on_closed runs and the next call returns another one. */
struct stream *session_control(struct session *s);

/* Visits live carriers; the session may not be changed meanwhile. */
struct carrier *session_carrier_next(struct session *s, struct carrier *after);
void *session_user(const struct session *s);
const uint8_t *session_id(const struct session *s);
bool session_is_live(const struct session *s);

struct session_stats {
	uint32_t streams, carriers;
	uint32_t resumed;	      /* times a carrier came after a cut */
	uint64_t bytes_in, bytes_out; /* stream bytes, both ways */
	uint64_t held;		/* bytes kept until the peer consumed them */
	uint64_t buffered;	/* memory of these, and of bytes that came and
				 * were not taken yet: what is on its way */
	uint32_t full;		/* streams that take no more until then */
	uint64_t rtt_us;	/* least of the live carriers; 0 unknown */
	uint64_t last_heard_us; /* when any byte last came in; 0 never */
	/* When the last ping (or HELLO) left that was answered: what was read
	 * may have lain in the kernel while this process stood still, this
	 * cannot. 0 never */
	uint64_t answered_us;
	/* Client: how long all this is kept without a carrier (0: no rig has
	 * said so yet), whether the own limit is the shorter one, and since
	 * when that runs (0: it does not). */
	uint64_t keep_us;
	bool keeps_less;
	uint64_t absent_us;
	uint32_t given_up;    /* client: streams ended by that, */
	uint64_t given_up_us; /* the last time; 0 never */
};
void session_stats(const struct session *s, struct session_stats *ret);
