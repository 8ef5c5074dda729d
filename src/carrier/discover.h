/* SPDX-License-Identifier: MIT */
/*
 * Asks the networks that this machine is in for one rig (PROTOCOL.md, section
 * 14): a few datagrams to everybody, on every interface, and to where the rig
 * was before. Only a rig of that key understands them, and what it answers is
 * proven. Loop thread only.
 */
#pragma once
#include <stdint.h>

#include "crypto/pin.h"
#include "net/loop.h"
struct discover;

#define DISCOVER_MS	   1500 /* how long it takes */
#define DISCOVER_FOUND_MAX 8

struct discover_params {
	uv_loop_t *loop;
	struct pin rig;
	const char *before; /* "host" or "host:port", or NULL; copied */
	uint16_t port;	    /* of the rig's unicast socket; 0: PROBE_PORT */
};

struct discover_ops {
	/* The rig is at "host:port" (TCP); once for each such place. */
	void (*on_found)(void *user, const char *at);
	/* The time is over; it is gone when this returns. text says how it
	 * went, a sentence part; count: places that were found. */
	void (*on_done)(void *user, unsigned count, const char *text);
};

/* 0, or RW_ERR_NOMEM. Everything else comes in on_done, never
 * from inside this call. */
int discover_start(const struct discover_params *params,
		   const struct discover_ops *ops, void *user,
		   struct discover **ret);
/* No callback any more; fine in on_found. */
void discover_cancel(struct discover *d);
