/* SPDX-License-Identifier: MIT */
/*
 * What chan.c (beginning, changing hands, the end), chan_read.c and
 * chan_write.c (which also ends a chan politely) share. Reading, writing and
 * ending change one state; after each call of a user's callback that state is
 * looked at again, for the callback may have ended the chan. Not for others.
 */
#pragma once
#include "base/buf.h"
#include "net/chan.h"
#include "net/loop.h"
#include "net/loop_local.h"
#include "net/sockaddr.h"

enum chan_state {
	CHAN_FRESH,   /* on_up comes at the turn's end unless TLS is begun */
	CHAN_SHAKING, /* the TLS handshake runs */
	CHAN_UP,
	CHAN_FINISHING, /* chan_finish(): waits for the peer's end */
	CHAN_CLOSING,	/* the handle closes; on_closed follows */
};

struct chan {
	union sock sock;
	struct loop_item item;
	struct loop_local *ll;
	struct deferred kick; /* runs what needs no new bytes */
	struct warm warm;
	struct piece piece; /* its next read, of bulk */
	const struct chan_ops *ops;
	void *user;
	enum chan_state state;
	int err; /* for on_closed */
	uint64_t born_us;
	uint64_t heard_us;    /* when bytes last came from the socket */
	struct tls *tls;      /* NULL without TLS */
	struct buf rest;      /* plaintext that on_data left */
	struct buf out;	      /* to be sent; TLS writes here */
	struct buf sending;   /* with libuv, out of reach; else spare memory */
	unsigned small_outs;  /* in a row: both are larger than these need */
	uv_write_t *write;    /* NULL unless libuv has had bytes of late */
	struct timer *finish; /* NULL unless finishing */
	size_t dropped;	      /* while finishing */
	bool is_paused;
	bool is_shown;	  /* inside on_data: rest is not up to date */
	bool is_handed;	  /* new ops or new TLS came inside a callback */
	bool is_detached; /* no on_closed */
	bool is_bulk;	  /* the last read brought much */
	bool is_shut;	  /* our FIN was sent */
	bool is_watched;
};

/* The one way to CHAN_CLOSING. */
void chan_end(struct chan *c, int err);

/* Reads a piece. */
void chan_on_piece(struct piece *pc);
/* Starts reading, or goes on: 0 or a libuv code. */
int chan_read_begin(struct chan *c);
/* The same; the chan ends if it cannot. */
void chan_read_start(struct chan *c);
/* Does all that can be done with what is here. */
void chan_run(struct chan *c);

bool chan_is_sending(const struct chan *c);
/* TLS failed: the peer is to hear the alert, and then we are gone. A reset
 * would overtake the alert, hence no plain close. */
void chan_fail(struct chan *c, int err);
