/* SPDX-License-Identifier: MIT */
/*
 * A carrier through a relay, the device's side: dials the relay, says who is
 * here and whom it wants (R_HELLO), waits for R_READY, and runs the end-to-end
 * TLS on the very same socket. The relay is a party to nothing after READY.
 * The client is always the inner TLS client. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/key.h"
#include "crypto/pin.h"
#include "net/loop.h"
#include "wire/relay_msg.h"
struct chan;
struct relayed;

#define INNER_ALPN "rigway/1"

enum relayed_what {
	RELAYED_WISH = 1, /* a client wants a rig */
	RELAYED_ANSWER,	  /* a rig answers a call */
};

/* Everything is copied but key and loop, which must outlive the thing. */
struct relayed_params {
	uv_loop_t *loop;
	const struct key *key;
	const char *const *relays; /* "host:port" each: one relay's addresses,
				    * tried in order, 1 s apart */
	size_t relay_count;
	struct pin relay_pin;
	enum relayed_what what;
	struct pin peer;	  /* WISH: the rig; ANSWER: the CALL's client */
	uint64_t rendezvous;	  /* ANSWER */
	const uint8_t *invite_id; /* WISH while pairing: 16 bytes; or NULL */
	bool wait;		  /* WISH: stand in line for an absent rig */
	uint64_t timeout_ms;	  /* for all but standing in line; 0: 15 s */
};

struct relayed_ops {
	/* The rig is away; called once and when `why` changes. May be NULL. */
	void (*on_waiting)(void *user, const char *why);
	/* Inner TLS is up and the peer's key is the wanted one. c is the
	 * user's from here on: give it new ops (chan_set_ops) before
	 * returning. peer_addr is what the relay says, for people only. */
	void (*on_up)(void *user, struct chan *c, const char *peer_addr);
	/* text is a sentence part for the user ("no host is named ..."). Of
	 * note: RW_ERR_OFFLINE the rig is away and wait was false;
	 * RW_ERR_NOT_ALLOWED the relay does not know this key, or the rig
	 * declined; RW_ERR_PIN a key is not the expected one. */
	void (*on_failed)(void *user, int err, const char *text);
};

/*
 * Exactly one of on_up and on_failed follows, from the loop, unless it is
 * cancelled; afterwards the struct is gone. Returns 0, RW_ERR_NOMEM,
 * RW_ERR_CRYPTO, or RW_ERR_FORMAT for a relay that is no host:port.
 */
int relayed_start(const struct relayed_params *params,
		  const struct relayed_ops *ops, void *user,
		  struct relayed **ret);
/* The relay has it before it and is busy: as reach_is_heard(), and for 2 s
 * after it was asked. */
bool relayed_is_heard(const struct relayed *r);
/* The relay said that it waits, and nothing is known against that: the relay's
 * system answers, if the rig is connected; for one that is away it is not
 * asked. Also true once the rig came. */
bool relayed_is_in_line(const struct relayed *r);
/* Ends it without a callback; fine in on_waiting, but not in or after on_up
 * and on_failed. */
void relayed_cancel(struct relayed *r);
