/* SPDX-License-Identifier: MIT */
/*
 * The way to a relay: dials its addresses in order, a second apart, and speaks
 * the outer TLS with the one that first shows the relay's key. What went wrong
 * is told in words: the name, the port, or the key. Used by relayed.c and
 * control.c. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/pin.h"
#include "net/loop.h"
#include "wire/code.h"
#include "wire/relay_msg.h"
struct chan;
struct reach;
struct tls_ctx;

/* Bytes that may wait for a relay. */
#define REACH_QUEUE_MAX (256 * 1024)

/* Where a relay is; copied from strings once. */
struct reach_relays {
	struct hostport at[CODE_RELAYS_MAX];
	size_t count;
};
/* RW_ERR_FORMAT for none, too many, or one that is no host:port; a missing
 * port is RELAY_PORT. */
int reach_relays_parse(struct reach_relays *ret, const char *const *texts,
		       size_t count);

struct reach_params {
	uv_loop_t *loop;
	struct tls_ctx *ctx;		   /* outer; lives until the end */
	const struct reach_relays *relays; /* copied */
	struct pin pin;
	uint64_t timeout_ms;
};

/*
 * Once, from the loop; r is gone on return. err 0: c is up, the callee's, and
 * must get new ops before it returns; relay is the address that worked. Else
 * text is a sentence part; err says what came nearest to working: RW_ERR_PIN,
 * RW_ERR_PROTO (something else answers there), RW_ERR_TRUNCATED (it hung up
 * without a word), RW_ERR_REFUSED, RW_ERR_TIMEOUT, RW_ERR_UNREACHABLE,
 * RW_ERR_NO_HOST, or -errno.
 */
typedef void reach_on_done(void *user, int err, const char *text,
			   struct chan *c, const char *relay);

/* 0 or RW_ERR_NOMEM. */
int reach_start(const struct reach_params *params, reach_on_done *on_done,
		void *user, struct reach **ret);
/* No callback; NULL is fine. */
void reach_cancel(struct reach *r);

/* An address of the relay has taken all that was said to it, its system is
 * there still, and nobody has answered yet: the relay is busy, and this one
 * waits in its line. A fresh dial would only be the last there. False after
 * REACH_LINE_US: it may hang, or what took it is not the relay. */
#define REACH_LINE_US 7000000
bool reach_is_heard(const struct reach *r);

/* Closes a chan whose owner has no more interest in it, without a word to
 * anybody. NULL is fine. */
void reach_abandon(struct chan *c);
/* Writes one message and flushes. 0, chan_write()'s error, or RW_ERR_LIMIT: the
 * relay asks for answers and does not read them, and c closes. */
int reach_send(struct chan *c, const struct relay_msg *m);
