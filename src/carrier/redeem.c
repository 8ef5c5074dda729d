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
/* What has not come through by then is begun anew, and again after twice as
 * long: the path may have changed under it. A code may be shown twice. */
#define AGAIN_MS 6000

/* reach is set while it dials, chan afterwards. */
struct redeem {
	uv_loop_t *loop;
	struct reach_relays relays;
	struct pin relay_pin;
	struct tls_ctx *ctx;
	struct reach *reach;
	struct chan *chan;
	struct timer *timer;
	struct timer *again;
	uint64_t again_ms;
	uint64_t reach_by_us;
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
	timer_free(r->again);
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
	chan_watch(c, true);
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
static int start_reach(struct redeem *r)
{
	const uint64_t now = loop_now_us(r->loop);
	const struct reach_params rp = {
		.loop = r->loop,
		.ctx = r->ctx,
		.relays = &r->relays,
		.pin = r->relay_pin,
		.timeout_ms = (r->reach_by_us - now) / 1000,
	};

	return reach_start(&rp, on_reached, r, &r->reach);
}

static bool is_heard(const struct redeem *r)
{
	return r->chan != NULL ? chan_is_acked(r->chan)
			       : reach_is_heard(r->reach);
}

static void on_again(void *user)
{
	struct redeem *r = user;
	int err;

	if (loop_now_us(r->loop) + AGAIN_MS * 1000 / 2 > r->reach_by_us)
		return;
	if (is_heard(r)) {
		timer_start(r->again, r->again_ms);
		return;
	}
	r->again_ms *= 2;
	timer_start(r->again, r->again_ms);
	reach_cancel(r->reach);
	reach_abandon(r->chan);
	r->reach = NULL;
	r->chan = NULL;
	err = start_reach(r);
	if (err < 0)
		redeem_end(r, err, err_text(err), "");
}

static int take_params(struct redeem *r, const struct redeem_params *params)
{
	const char *texts[CODE_RELAYS_MAX];

	r->loop = params->loop;
	r->relay_pin = params->code->relay_pin;
	r->hello.type = R_HELLO;
	make_hello(params, &r->hello.hello);
	for (size_t i = 0; i < params->code->relay_count; i++)
		texts[i] = params->code->relay[i];
	return reach_relays_parse(&r->relays, texts, params->code->relay_count);
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
	err = take_params(r, params);
	if (err == 0)
		err = tls_ctx_new(params->key, TLS_CLIENT, RELAY_ALPN, &r->ctx);
	if (err < 0)
		goto free_redeem;
	r->reach_by_us = loop_now_us(r->loop) + timeout_ms * 1000;
	err = start_reach(r);
	if (err < 0)
		goto free_ctx;
	r->on_done = on_done;
	r->user = user;
	r->again = timer_new(r->loop, on_again, r);
	r->again_ms = AGAIN_MS;
	timer_start(r->again, r->again_ms);
	r->timer = timer_new(params->loop, on_late, r);
	timer_start(r->timer, timeout_ms + timeout_ms / 2);
	*ret = r;
	return 0;

free_ctx:
	tls_ctx_free(r->ctx);
free_redeem:
	mem_wipe(&r->hello, sizeof(r->hello));
	free(r);
	return err;
}

void relay_redeem_cancel(struct redeem *r)
{
	redeem_free(r);
}
