/* SPDX-License-Identifier: MIT */
/* relay_redeem() of carrier/control.h. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "carrier/control.h"
#include "carrier/reach.h"
#include "net/chan.h"
#include "net/loop.h"
#include "net/tls.h"

#define TIMEOUT_MS 20000

/* reach is set while it dials, chan afterwards. */
struct redeem {
	struct tls_ctx *ctx;
	struct reach *reach;
	struct chan *chan;
	struct timer *timer;
	struct relay_msg hello;
	char relay[HOSTPORT_CAP]; /* the address that worked */
	redeem_on_done *on_done;
	void *user;
};

static void redeem_free(struct redeem *r)
{
	reach_cancel(r->reach);
	reach_abandon(r->chan);
	timer_free(r->timer);
	tls_ctx_free(r->ctx);
	mem_wipe(&r->hello, sizeof(r->hello));
	free(r);
}

static void redeem_end(struct redeem *r, int err, const char *text,
		       const char *fleet)
{
	redeem_on_done *on_done = r->on_done;
	void *user = r->user;
	char why[RELAY_TEXT_MAX + 1], relay[HOSTPORT_CAP];

	str_copy(why, sizeof(why), text);
	str_copy(relay, sizeof(relay), r->relay);
	redeem_free(r);
	on_done(user, err, why, fleet, relay);
}

static size_t on_data(struct chan *c, const uint8_t *data, size_t len)
{
	struct redeem *r = chan_user(c);
	struct relay_msg m;
	ssize_t n = relay_msg_read(data, len, RELAY_SIDE_RELAY, &m);

	if (n == 0)
		return 0;
	if (n > 0 && m.type == R_WELCOME)
		redeem_end(r, 0, "", m.welcome.fleet);
	else if (n > 0 && m.type == R_REFUSED)
		redeem_end(r, relay_code_err(m.refused.code), m.refused.text,
			   "");
	else
		redeem_end(r, RW_ERR_PROTO, "the relay broke the protocol", "");
	return len;
}

static void on_closed(struct chan *c, int err)
{
	struct redeem *r = chan_user(c);

	(void)err;
	r->chan = NULL;
	redeem_end(r, RW_ERR_TRUNCATED,
		   "the relay hung up before it answered; the same code can be "
		   "tried again",
		   "");
}

static void on_late(void *user)
{
	redeem_end(user, RW_ERR_TIMEOUT,
		   "the relay does not answer; the same code can be tried "
		   "again",
		   "");
}

static void on_reached(void *user, int err, const char *text, struct chan *c,
		       const char *relay)
{
	static const struct chan_ops ops = { .on_data = on_data,
					     .on_closed = on_closed };
	struct redeem *r = user;

	r->reach = NULL;
	if (err < 0) {
		redeem_end(r, err, text, "");
		return;
	}
	str_copy(r->relay, sizeof(r->relay), relay);
	r->chan = c;
	chan_set_ops(c, &ops, r);
	err = reach_send(c, &r->hello);
	if (err < 0)
		chan_close(c, err);
}

static void make_hello(const struct redeem_params *params,
		       struct relay_hello *h)
{
	uint8_t id[CODE_ID_LEN];
	struct secret to_relay, to_rig;

	h->version_min = h->version_max = RELAY_VERSION;
	h->purpose = RELAY_REDEEM;
	h->role = (uint8_t)params->role;
	relay_text_copy(h->name, sizeof(h->name), params->name);
	code_secrets(params->code->bits, &to_relay, &to_rig, id);
	memcpy(h->secret, to_relay.b, sizeof(h->secret));
	secret_wipe(&to_relay);
	secret_wipe(&to_rig);
	h->present = MSG_BIT(R_TAG_NAME) | MSG_BIT(R_TAG_SECRET);
}

/* Starts on the way to the code's relays. */
static int start_reach(struct redeem *r, const struct redeem_params *params,
		       uint64_t timeout_ms)
{
	const char *texts[CODE_RELAYS_MAX];
	struct reach_relays relays;
	const struct reach_params rp = {
		.loop = params->loop,
		.ctx = r->ctx,
		.relays = &relays,
		.pin = params->code->relay_pin,
		.timeout_ms = timeout_ms,
	};
	int err;

	for (size_t i = 0; i < params->code->relay_count; i++)
		texts[i] = params->code->relay[i];
	err = reach_relays_parse(&relays, texts, params->code->relay_count);
	return err < 0 ? err : reach_start(&rp, on_reached, r, &r->reach);
}

int relay_redeem(const struct redeem_params *params, redeem_on_done *on_done,
		 void *user, struct redeem **ret)
{
	struct redeem *r = calloc(1, sizeof(*r));
	uint64_t timeout_ms =
		params->timeout_ms > 0 ? params->timeout_ms : TIMEOUT_MS;
	int err;

	if (r == NULL)
		return RW_ERR_NOMEM;
	err = tls_ctx_new(params->key, TLS_CLIENT, RELAY_ALPN, &r->ctx);
	if (err < 0)
		goto free_redeem;
	err = start_reach(r, params, timeout_ms);
	if (err < 0)
		goto free_ctx;
	r->hello.type = R_HELLO;
	make_hello(params, &r->hello.hello);
	r->on_done = on_done;
	r->user = user;
	r->timer = timer_new(params->loop, on_late, r);
	timer_start(r->timer, timeout_ms + timeout_ms / 2);
	*ret = r;
	return 0;

free_ctx:
	tls_ctx_free(r->ctx);
free_redeem:
	free(r);
	return err;
}

void relay_redeem_cancel(struct redeem *r)
{
	redeem_free(r);
}
