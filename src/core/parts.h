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
#include "core/spread.h"
#include "core/stream_parts.h"
#include "wire/frame.h"

/* Bytes a stream may send in a row while others wait (RFC 8290). */
#define QUANTUM (FRAME_DATA_HDR + FRAME_BULK)
/* Bytes that one of several streams with much to send may send in a row, and
 * how many have to wait for it to be much. */
#define RUN_MOST  (FRAME_BULK_BATCH * QUANTUM)
#define RUN_WORTH (4 * FRAME_BULK)
/* Unsent bytes worth holding for a stream: more would only age here. */
#define BACKLOG_MAX (2 * FRAME_BULK_BATCH * FRAME_BULK)
/* Consumed bytes are stated once they are so many: till then the sender keeps
 * them. */
#define STATE_MOST (256 * 1024)
/* How long a stated number may lag behind: READ, STATE. */
#define LAG_US 50000
/* A carrier whose HELLO is not answered by then is dropped. */
#define HELLO_US 10000000
/* Ids to say GONE to on a carrier, beyond two for each stream that the peer
 * may have, before it is called hostile. */
#define GONE_MAX 4096
/* An answer that is owed so long, and twice what one takes, is a reason for
 * doubt. */
#define DOUBT_US 700000
/* One in doubt that is silent for so long, and what an answer takes, after
 * another was proven is given up. */
#define OVERTAKEN_US 250000
/* Bytes that flowed and cease for so long are asked after. */
#define HUSH_US 500000
/* Idle memory is given back after so long without data, */
#define IDLE_US 1000000
/* and what nobody needed for so long while it flows. */
#define EBB_US 100000

enum carrier_state {
	CARRIER_HELLO, /* client: HELLO leaves or left, no answer yet */
	CARRIER_LIVE,  /* both ends may send */
};

/* How far this side is with letting go of a carrier. */
enum carrier_leave {
	CARRIER_STAYS,
	CARRIER_RETIRES, /* all moves away; LEAVE follows the last of it */
	CARRIER_LEFT,	 /* LEAVE was said */
};

struct carrier {
	struct session *s;
	void *user;
	uint32_t number;
	uint8_t slot; /* another one than the session's other carriers have */
	enum carrier_state state;
	bool alone;	/* HELLO named no other carrier: both state all */
	uint64_t knew;	/* client: the rig incarnation that HELLO named */
	bool announce;	/* rig: on_live is still to be called */
	uint8_t *first; /* HELLO or WELCOME, until it left */
	size_t first_len;
	struct list link;	/* session.carriers, newest last */
	struct list due;	/* streams with control frames to send here */
	struct list asks;	/* streams that ask here where to go on */
	struct list fresh, old; /* streams with bytes to send here (DRR) */
	struct list heavy;	/* of them, those with much to send */
	/* Their common place in old, if they have any. */
	struct list heavy_turn;
	int32_t heavy_deficit; /* of that place */
	struct pace pace;
	uint64_t in_bytes; /* DATA bytes read here */
	uint64_t read_at;  /* when READ is due at the latest; 0 not */
	bool read_due, streams_due;
	bool ping_due, pong_due;
	uint64_t ping_token, pong_token;
	uint64_t ping_at;	/* when the ping left; 0: none is out */
	uint64_t ping_took;	/* what the last answer to one, or to HELLO,
				 * took; 0: none */
	uint64_t ping_asked;	/* when the deadline was set */
	uint64_t ping_deadline; /* 0: none */
	uint64_t last_in;	/* when anything last arrived (or it began) */
	uint64_t began;
	uint64_t owed_at;      /* the peer owes an answer since; 0: none */
	uint64_t answered_at;  /* when READ or PONG last brought one */
	uint64_t stirred_at;   /* when a part of something last came */
	uint64_t proven_at;    /* when the last answered PING left, or HELLO */
	uint64_t doubted_at;   /* in doubt since, until a PONG; 0: not */
	uint64_t told_at;      /* when on_doubt was last called */
	uint64_t overtaken_at; /* another was proven meanwhile; 0: none was */
	bool flowed;	       /* bytes came; if they cease, it is asked why */
	bool live_due;	       /* client: another carrier is gone */
	bool bye_due;
	uint32_t riders;  /* open streams whose ride it is */
	uint32_t bulks;	  /* of them, those that fill it (spread.c) */
	uint64_t held_at; /* when bytes last had to wait for the cap */
	enum carrier_leave leave;
	bool peer_left;	    /* the peer's LEAVE came */
	uint64_t retire_at; /* when it goes whatever still rides on it */
	bool wants_due;	    /* rig: WANTS */
	uint32_t *gone;	    /* ids to say GONE to */
	size_t gone_count, gone_cap;
};

static inline bool carrier_retires(const struct carrier *c)
{
	return c->leave != CARRIER_STAYS;
}

/* Whether streams may ride on it. */
static inline bool carrier_is_usable(const struct carrier *c)
{
	return c->state == CARRIER_LIVE && !carrier_retires(c);
}

struct session {
	struct session_params p;
	const struct session_ops *ops;
	uint64_t now;
	uint64_t peer_incarnation; /* client: of the rig that knows us */
	uint64_t keep_us;	   /* client: how long all this is kept */
	bool keeps_less;	   /* client: shorter than the rig does */
	uint64_t absent_at;	   /* client: without a carrier; 0 not */
	uint32_t given_up;	   /* client: streams that were kept so long */
	uint64_t given_up_at;	   /* the last time; 0 never */
	struct list carriers;
	uint32_t carrier_count;
	uint16_t slots;		 /* bits of carrier.slot in use */
	uint32_t next_carrier;	 /* client: the number of the next one */
	struct carrier *primary; /* OPENs go here, and what has no ride */
	struct spread spread;
	struct list streams;  /* all but settled ones */
	struct list unopened; /* ours whose OPEN is to be sent, by id */
	struct list lagging;  /* consumed more than was stated */
	uint64_t lag_at;      /* when they are stated */
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
	uint64_t ebb_at;   /* when the pool ebbs next */
	uint64_t data_at;  /* when bytes last moved */
	uint32_t attached; /* carriers that became live */
	uint64_t bytes_in, bytes_out, last_heard;
	uint64_t answered; /* when the last answered ping left */
	bool woken, ending;
	struct refused bye;
	uint8_t scratch[FRAME_MAX];
};

/* attach.c, session.c, tick.c */
void carrier_forget(struct carrier *c);
bool carrier_is_doubted(const struct carrier *c);
bool carrier_is_staler(const struct carrier *c, const struct carrier *than);
/* The oldest live one; one that retires, or was silent for longer, only while
 * there is no other. NULL: none is live. */
struct carrier *session_best(const struct session *s);
void session_tell_closed(struct session *s);
void session_wake(struct session *s);
bool carrier_is_owed(const struct carrier *c);
struct stream *session_find(struct session *s, uint32_t id);
uint32_t session_max_id(const struct session *s);
void session_peer_streams(struct session *s, uint32_t count);
void session_state_streams(struct session *s);
void session_lives(struct session *s, struct carrier *c);
void session_keep(struct session *s, uint32_t rig_keep_s);
int session_start_over(struct session *s, const struct carrier *c);
void session_requeue_opens(struct session *s);
void carrier_drop(struct carrier *c, int err, const char *text);
int session_judge_live(struct session *s, const struct carrier *c,
		       const uint8_t *body, size_t len);

/* input.c: the peer's stream frames; 0 or an error that ends the carrier. */
int input_stream(struct carrier *c, const struct frame *f);
/* The user took n more of the received bytes, or the end. */
void input_consumed(struct stream *st, size_t n);
void input_eof(struct stream *st);
size_t input_state(struct stream *st, uint8_t *out);
