/* SPDX-License-Identifier: MIT */
/*
 * Joins one connection (a chan whose inner TLS is up) to one carrier of a
 * session: what arrives is fed to the core, what the core may send now is
 * encrypted and written with one call. One `driver` a process keeps the timers
 * and runs every session that has something to do once per turn of the loop.
 */
#pragma once
#include <stdint.h>
#include "net/loop.h"
#include "core/session.h"
struct chan;
struct bearer;
struct driver;

/* RW_ERR_NOMEM. */
int driver_new(uv_loop_t *loop, struct driver **ret);
void driver_free(struct driver *d); /* after every session is removed */
/* From now on d ticks s and pulls its output. driver_wake() is what
 * session_ops.on_wake must call; driver_remove before session_free.
 * RW_ERR_NOMEM. */
int driver_add(struct driver *d, struct session *s);
void driver_wake(struct driver *d, struct session *s);
void driver_remove(struct driver *d, struct session *s);

struct bearer_ops {
	/* The connection is over; err and text say why. Runs once; the bearer
	 * and its chan are freed afterwards. The carrier is already gone. */
	void (*on_end)(void *user, int err, const char *text);
};
struct bearer_params {
	struct driver *driver;
	struct session *session;
	struct chan *chan; /* inner TLS is up; taken unless the call fails */
	const struct bearer_ops *ops; /* outlives the bearer */
	void *user;		      /* stored, for ops */
};
/* Client: starts a carrier of the session with HELLO. Both return 0,
 * RW_ERR_NOMEM, or RW_ERR_LIMIT where the session takes no more carriers. */
int bearer_dial(const struct bearer_params *p, const struct hello_extra *extra,
		struct bearer **ret);
/* Rig: h was read from the chan by the caller, which returns h's length from
 * its own on_data and leaves the rest to the bearer; fresh and info as for
 * session_accept(). */
int bearer_accept(const struct bearer_params *p, const struct hello *h,
		  bool fresh, const struct rig_info *info, struct bearer **ret);
/* Ends it from here; on_end follows from the loop. */
void bearer_close(struct bearer *b, int err, const char *text);
/* The same without a last word, for a path that is dead: it would be waited
 * for in vain. */
void bearer_cut(struct bearer *b, int err, const char *text);
/* For session_ops.on_drop: the bearer of a carrier the core gave up. */
void bearer_dropped(struct carrier *c, int err, const char *text);
/* As chan_rtt_us(): to whoever holds the connection's other end, which may be a
 * relay. */
uint64_t bearer_rtt_us(const struct bearer *b);
/* What bearer_dial() or bearer_accept() was given as user, by the carrier. */
void *bearer_user(const struct carrier *c);
