/* SPDX-License-Identifier: MIT */
/*
 * A carrier without a relay: dials an address of the rig itself and runs the
 * end-to-end TLS there at once. Loop thread only.
 */
#pragma once
#include <stdint.h>

#include "crypto/key.h"
#include "crypto/pin.h"
#include "net/loop.h"
struct chan;
struct direct;

/* Everything is copied but key and loop, which must outlive the thing. */
struct direct_params {
	uv_loop_t *loop;
	const struct key *key;
	const char *at; /* "host:port" */
	struct pin peer;
	uint64_t timeout_ms; /* for all of it; 0: 15 s */
};

struct direct_ops {
	/* As relayed_ops.on_up; peer_addr is where the rig was reached. */
	void (*on_up)(void *user, struct chan *c, const char *peer_addr);
	/* text is a sentence part for the user. RW_ERR_PIN: what answers there
	 * is another machine. */
	void (*on_failed)(void *user, int err, const char *text);
};

/*
 * Exactly one of on_up and on_failed follows, from the loop, unless it is
 * cancelled; afterwards the struct is gone. Returns 0, RW_ERR_NOMEM,
 * RW_ERR_CRYPTO, or RW_ERR_FORMAT for an address that is no host:port.
 */
int direct_start(const struct direct_params *params,
		 const struct direct_ops *ops, void *user, struct direct **ret);
/* Ends it without a callback; not in or after one. */
void direct_cancel(struct direct *d);
