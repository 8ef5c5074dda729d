/* SPDX-License-Identifier: MIT */
#include "carrier/relayed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "carrier/reach.h"
#include "net/chan.h"
#include "net/loop.h"
#include "net/tls.h"

#define TIMEOUT_MS  15000
#define PATIENCE_US 2000000 /* for an answer of a relay that was asked */

/* In order of life. */
enum relayed_state {
	RELAYED_REACHING, /* dialling, outer TLS */
	RELAYED_ASKED,	  /* R_HELLO is out */
	RELAYED_IN_LINE,  /* the relay says that the rig is away */
	RELAYED_INNER,	  /* R_READY came; end-to-end TLS */
};

struct relayed {
	struct relayed_params params;
	struct reach_relays relays;
	enum relayed_state state;
	struct tls_ctx *outer, *inner;
	struct reach *reach; /* set while REACHING */
	struct chan *chan;   /* set from ASKED on */
	struct timer *timer; /* guards every state */
	uint64_t asked_us;
	bool is_watched; /* chan is */
	uint8_t invite_id[RELAY_ID_LEN];
	char peer_addr[RELAY_ADDR_MAX + 1];
	char why[RELAY_TEXT_MAX + 1]; /* what on_waiting said last */
	const struct relayed_ops *ops;
	void *user;
};

static void relayed_free(struct relayed *r)
{
	reach_cancel(r->reach);
	reach_abandon(r->chan);
	timer_free(r->timer);
	tls_ctx_free(r->outer);
	tls_ctx_free(r->inner);
	free(r);
}

static void relayed_fail(struct relayed *r, int err, const char *text)
{
	const struct relayed_ops *ops = r->ops;
	void *user = r->user;
	char copy[RELAY_TEXT_MAX + 1];

	str_copy(copy, sizeof(copy), text);
	relayed_free(r);
	ops->on_failed(user, err, copy);
}

/* A rig that is connected may answer at any moment, so that a path which ends
 * meanwhile is to be noticed; in line for one that is away a laptop sleeps. */
static void relayed_watch(struct relayed *r, bool on)
{
	if (r->is_watched != on)
		chan_watch(r->chan, on);
	r->is_watched = on;
}

static void relayed_wait(struct relayed *r, const struct relay_waiting *m)
{
	char when[FORMAT_CAP], why[RELAY_TEXT_MAX];

	r->state = RELAYED_IN_LINE;
	timer_start(r->timer, RELAY_SILENCE_MS);
	relayed_watch(r, m->online);
	if (m->online)
		snprintf(why, sizeof(why),
			 "the rig is connected to the relay, but has not "
			 "answered yet");
	else if (m->since > 0)
		snprintf(why, sizeof(why), "the rig is away since %s",
			 format_time((int64_t)m->since, when));
	else
		snprintf(why, sizeof(why), "the rig is away");
	if (strcmp(why, r->why) == 0)
		return;
	str_copy(r->why, sizeof(r->why), why);
	if (r->ops->on_waiting != NULL)
		r->ops->on_waiting(r->user, r->why);
}

/* The handover: from here on the relay passes bytes and nothing else. */
static void relayed_go_inner(struct relayed *r, const char *peer_addr)
{
	int err;

	str_copy(r->peer_addr, sizeof(r->peer_addr), peer_addr);
	r->state = RELAYED_INNER;
	relayed_watch(r, false);
	timer_start(r->timer, r->params.timeout_ms);
	err = chan_start_tls(r->chan, r->inner, &r->params.peer);
	if (err < 0)
		chan_close(r->chan, err);
}

static size_t on_data(struct chan *c, const uint8_t *data, size_t len)
{
	struct relayed *r = chan_user(c);
	size_t taken = 0;

	if (r->state == RELAYED_INNER)
		return 0; /* before its owner takes it over: kept for him */
	for (;;) {
		struct relay_msg m;
		ssize_t n = relay_msg_read(data + taken, len - taken,
					   RELAY_SIDE_RELAY, &m);

		if (n == 0)
			return taken;
		if (n < 0) {
			chan_close(c, RW_ERR_PROTO);
			return len;
		}
		taken += (size_t)n;
		switch (m.type) {
		case R_WAITING:
			relayed_wait(r, &m.waiting);
			if (chan_user(c) != r) /* cancelled in on_waiting */
				return len;
			break;
		case R_REFUSED:
			relayed_fail(r, relay_code_err(m.refused.code),
				     m.refused.text);
			return taken;
		case R_READY: relayed_go_inner(r, m.ready.addr); return taken;
		default: chan_close(c, RW_ERR_PROTO); return len;
		}
	}
}

static void on_inner_up(struct chan *c)
{
	struct relayed *r = chan_user(c);
	const struct relayed_ops *ops = r->ops;
	void *user = r->user;
	char addr[RELAY_ADDR_MAX + 1];

	str_copy(addr, sizeof(addr), r->peer_addr);
	r->chan = NULL;
	relayed_free(r);
	ops->on_up(user, c, addr);
}

static void on_closed(struct chan *c, int err)
{
	struct relayed *r = chan_user(c);
	bool wishes = r->params.what == RELAYED_WISH;
	char text[RELAY_TEXT_MAX];

	r->chan = NULL;
	if (err == 0)
		err = RW_ERR_TRUNCATED;
	if (r->state != RELAYED_INNER)
		snprintf(text, sizeof(text),
			 "the relay closed the connection: %s", err_text(err));
	else if (err == RW_ERR_PIN)
		snprintf(text, sizeof(text),
			 "what answered through the relay is not the %s: its "
			 "key is another one",
			 wishes ? "rig" : "client");
	else
		snprintf(text, sizeof(text),
			 "the connection through the relay broke in the "
			 "handshake with the %s: %s",
			 wishes ? "rig" : "client", err_text(err));
	relayed_fail(r, err, text);
}

static void on_timer(void *user)
{
	struct relayed *r = user;
	bool inner = r->state == RELAYED_INNER;

	relayed_fail(r, RW_ERR_TIMEOUT,
		     inner ? "the other side does not answer the handshake"
			   : "the relay does not answer");
}

static void relayed_say_hello(struct relayed *r)
{
	struct relay_msg m = { .type = R_HELLO };
	struct relay_hello *h = &m.hello;
	const struct relayed_params *p = &r->params;
	int err;

	h->version_min = h->version_max = RELAY_VERSION;
	if (p->what == RELAYED_WISH) {
		h->purpose = RELAY_WISH;
		h->role = RELAY_CLIENT;
		h->rig = p->peer;
		h->wait = p->wait;
		h->present = MSG_BIT(R_TAG_RIG) | MSG_BIT(R_TAG_WAIT);
		if (p->invite_id != NULL) {
			memcpy(h->invite_id, p->invite_id, RELAY_ID_LEN);
			h->present |= MSG_BIT(R_TAG_INVITE_ID);
		}
	} else {
		h->purpose = RELAY_ANSWER;
		h->role = RELAY_RIG;
		h->rendezvous = p->rendezvous;
		h->present = MSG_BIT(R_TAG_RENDEZVOUS);
	}
	err = reach_send(r->chan, &m);
	if (err < 0)
		chan_close(r->chan, err);
}

static void on_reached(void *user, int err, const char *text, struct chan *c,
		       const char *relay)
{
	static const struct chan_ops ops = { .on_up = on_inner_up,
					     .on_data = on_data,
					     .on_closed = on_closed };
	struct relayed *r = user;

	(void)relay;
	r->reach = NULL;
	if (err < 0) {
		relayed_fail(r, err, text);
		return;
	}
	r->chan = c;
	chan_set_ops(c, &ops, r);
	r->state = RELAYED_ASKED;
	r->asked_us = loop_now_us(r->params.loop);
	timer_start(r->timer, r->params.timeout_ms);
	relayed_say_hello(r);
}

static void take_params(struct relayed *r, const struct relayed_params *params)
{
	r->params = *params;
	r->params.relays = NULL;
	if (params->invite_id != NULL) {
		memcpy(r->invite_id, params->invite_id, RELAY_ID_LEN);
		r->params.invite_id = r->invite_id;
	}
	if (params->timeout_ms == 0)
		r->params.timeout_ms = TIMEOUT_MS;
}

/* For the relay, and for the one behind it. */
static int make_contexts(struct relayed *r)
{
	bool wishes = r->params.what == RELAYED_WISH;
	int err = tls_ctx_new(r->params.key, TLS_CLIENT, RELAY_ALPN, &r->outer);

	return err < 0 ? err
		       : tls_ctx_new_bulk(r->params.key,
					  wishes ? TLS_CLIENT : TLS_SERVER,
					  INNER_ALPN, &r->inner);
}

static int start_reach(struct relayed *r)
{
	const struct reach_params rp = {
		.loop = r->params.loop,
		.ctx = r->outer,
		.relays = &r->relays,
		.pin = r->params.relay_pin,
		.timeout_ms = r->params.timeout_ms,
	};

	return reach_start(&rp, on_reached, r, &r->reach);
}

int relayed_start(const struct relayed_params *params,
		  const struct relayed_ops *ops, void *user,
		  struct relayed **ret)
{
	struct relayed *r = calloc(1, sizeof(*r));
	int err;

	if (r == NULL)
		return RW_ERR_NOMEM;
	take_params(r, params);
	r->ops = ops;
	r->user = user;
	err = reach_relays_parse(&r->relays, params->relays,
				 params->relay_count);
	if (err == 0)
		err = make_contexts(r);
	if (err == 0)
		err = start_reach(r);
	if (err < 0) {
		tls_ctx_free(r->inner); /* NULL is fine */
		tls_ctx_free(r->outer);
		free(r);
		return err;
	}
	r->timer = timer_new(params->loop, on_timer, r);
	*ret = r;
	return 0;
}

bool relayed_is_heard(const struct relayed *r)
{
	if (r->state == RELAYED_REACHING)
		return reach_is_heard(r->reach);
	return r->state == RELAYED_ASKED &&
	       loop_now_us(r->params.loop) < r->asked_us + PATIENCE_US &&
	       chan_is_acked(r->chan);
}

bool relayed_is_in_line(const struct relayed *r)
{
	return r->state >= RELAYED_IN_LINE &&
	       (!r->is_watched || chan_is_acked(r->chan));
}

void relayed_cancel(struct relayed *r)
{
	relayed_free(r);
}
