/* SPDX-License-Identifier: MIT */
/*
 * What the core's own files share: the insides of session, carrier and stream.
 * Nothing outside src/core (and its tests) includes this.
 */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "core/chunk.h"
#include "core/pace.h"
#include "core/session.h"
#include "wire/frame.h"

/* Bytes a stream may send in a row while others wait (RFC 8290). */
#define QUANTUM FRAME_MAX
/* Unsent bytes worth holding for a stream: more would only age here. */
#define BACKLOG_MAX (512 * 1024)
/* How long a stated number may lag behind: READ, STATE. */
#define LAG_US 50000
/* A carrier whose HELLO is not answered by then is dropped. */
#define HELLO_US 10000000
/* Ids to say GONE to on a carrier, beyond two for each stream that the peer
 * may have, before it is called hostile. */
#define GONE_MAX 4096
/* Idle memory is given back after so long without data. */
#define IDLE_US 1000000

/* A control frame that a stream owes the peer, on the carrier it is due on. */
enum due {
	DUE_ASK = 1 << 0,
	DUE_STATE = 1 << 1,
	DUE_RESET = 1 << 2,
	DUE_END = 1 << 3,
};

struct stream {
	struct session *s;
	const struct stream_ops *ops; /* NULL until taken */
	void *user;
	uint32_t id;
	uint8_t kind;
	uint8_t due;	 /* bits of enum due */
	bool mine;	 /* we opened it */
	bool sent_open;	 /* an OPEN left on some carrier */
	bool placed;	 /* it has a floor of the budget */
	bool known;	 /* the peer's STATE showed that it knows it */
	bool connected;	 /* the target is connected */
	bool fin;	 /* the user wrote all; the end is at out.end */
	bool fin_sent;	 /* on the current ride */
	bool fin_in;	 /* the peer's end is known */
	bool eof_given;	 /* and was handed to the user */
	bool closed;	 /* over for the user; err and text say how */
	bool told;	 /* on_closed has run */
	bool settled;	 /* over on the wire; out of the tables */
	bool wants_room; /* the user was told to wait */
	bool eof_due;	 /* on_eof is to run from session_tick() */
	bool room_due;	 /* on_room likewise */
	int err;	 /* of the close; 0 clean */
	int32_t deficit; /* DRR */
	char *target;	 /* never NULL */
	char *text;	 /* why it ended, or NULL */

	/* Sending. out holds [consumed by the peer, written by us). */
	struct chunkq out;
	uint64_t next;		/* to send on the ride */
	uint64_t sent;		/* nothing beyond it ever left; the end too */
	uint64_t peer_limit;	/* may be sent up to here */
	uint64_t peer_received; /* as stated, the end's offset too */
	uint64_t peer_consumed; /* likewise */
	struct carrier *ride;	/* carries our bytes; NULL: none does */
	struct carrier *asked;	/* a STATE is expected on it */

	/* Receiving. in holds [consumed, received). */
	struct chunkq in;
	uint64_t limit;	       /* stated to the peer */
	uint32_t window;       /* what limit is beyond consumed when stated */
	uint32_t lent;	       /* of window, beyond the floor: the budget's */
	uint64_t stated;       /* consumed, as last stated */
	struct carrier *heard; /* where its frames came last */

	struct list all;  /* session.streams, by rising id on each side */
	struct list open; /* session.unopened */
	struct list dues; /* carrier.due of due_on */
	struct carrier *due_on;
	struct list run; /* carrier.fresh or .old of ride */
	bool is_fresh;
	struct list lag;  /* session.lagging */
	struct list room; /* session.roomy: on_eof or on_room is to run */
	struct list end;  /* session.closing */
};

enum carrier_state {
	CARRIER_HELLO, /* client: HELLO leaves or left, no answer yet */
	CARRIER_LIVE,  /* both ends may send */
};

struct carrier {
	struct session *s;
	void *user;
	uint32_t number;
	enum carrier_state state;
	bool alone;	/* HELLO named no other carrier: both state all */
	uint64_t knew;	/* client: the rig incarnation that HELLO named */
	bool announce;	/* rig: on_live is still to be called */
	uint8_t *first; /* HELLO or WELCOME, until it left */
	size_t first_len;
	struct list link;	/* session.carriers, newest last */
	struct list due;	/* streams with control frames to send here */
	struct list fresh, old; /* streams with bytes to send here (DRR) */
	struct pace pace;
	uint64_t in_bytes; /* DATA bytes read here */
	uint64_t read_at;  /* when READ is due at the latest; 0 not */
	bool read_due, streams_due;
	bool ping_due, pong_due;
	uint64_t ping_token, pong_token;
	uint64_t ping_at;	/* when the ping left; 0: none is out */
	uint64_t ping_asked;	/* when the deadline was set */
	uint64_t ping_deadline; /* 0: none */
	uint64_t last_in;	/* when anything last arrived (or it began) */
	uint64_t began;
	bool live_due; /* client: another carrier is gone */
	bool bye_due;
	uint32_t *gone; /* ids to say GONE to */
	size_t gone_count, gone_cap;
};

struct session {
	struct session_params p;
	const struct session_ops *ops;
	uint64_t now;
	uint64_t peer_incarnation; /* client: of the rig that knows us */
	uint64_t keep_us;	   /* client: how long all this is kept */
	bool keeps_less;	   /* client: shorter than the rig does */
	uint64_t absent_at;	   /* client: without a carrier; 0 not */
	struct list carriers;
	uint32_t carrier_count;
	uint32_t next_carrier;	 /* client: the number of the next one */
	struct carrier *primary; /* OPENs go here, and what has no ride */
	struct list streams;	 /* all but settled ones */
	struct list unopened;	 /* ours whose OPEN is to be sent, by id */
	struct list lagging;	 /* consumed more than was stated */
	uint64_t lag_at;	 /* when they are stated */
	struct list roomy, closing;
	struct map by_id;
	struct stream *control;
	uint32_t mine, theirs;	/* streams in the table */
	uint32_t next_id;	/* of our next stream */
	uint32_t peer_max_id;	/* stated by the peer */
	uint32_t highest;	/* id the peer has opened so far */
	uint32_t stated_max_id; /* that we stated */
	uint32_t peer_floor;	/* first limit of a stream we open */
	struct chunk_pool pool;
	uint64_t data_at;  /* when bytes last moved */
	uint32_t attached; /* carriers that became live */
	uint64_t bytes_in, bytes_out, last_heard;
	bool woken, ending;
	struct refused bye;
	uint8_t scratch[FRAME_MAX];
};

/* session.c */
void session_wake(struct session *s);
struct stream *session_find(struct session *s, uint32_t id);
uint32_t session_max_id(const struct session *s);
void session_peer_streams(struct session *s, uint32_t count);
void session_state_streams(struct session *s);
void session_lives(struct session *s, struct carrier *c);
void session_keep(struct session *s, uint32_t rig_keep_s);
int session_start_over(struct session *s, const struct carrier *c);
void carrier_drop(struct carrier *c, int err, const char *text);
int session_judge_live(struct session *s, const struct carrier *c,
		       const uint8_t *body, size_t len);

/* stream.c: the user's side is core/stream.h. */
struct stream *stream_new(struct session *s, uint32_t id, bool mine,
			  enum stream_kind kind, const char *target,
			  size_t target_len);
void stream_free(struct stream *st);
void stream_close(struct stream *st, int err, const char *text);
void stream_settle(struct stream *st);
uint8_t stream_owes(const struct stream *st);
void stream_due(struct stream *st, uint8_t bits, struct carrier *c);
void stream_home(struct stream *st, struct carrier *c, bool expects);
void stream_leave(struct stream *st, struct carrier *c);
void stream_run(struct stream *st);
bool stream_wants_run(const struct stream *st);
void stream_room_check(struct stream *st);
void stream_eof_later(struct stream *st);
void stream_tell(struct stream *st);

/* input.c: the peer's stream frames; 0 or an error that ends the carrier. */
int input_stream(struct carrier *c, const struct frame *f);
/* The user took n more of the received bytes, or the end. */
void input_consumed(struct stream *st, size_t n);
void input_eof(struct stream *st);
size_t input_state(struct stream *st, uint8_t *out);
