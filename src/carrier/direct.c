/* SPDX-License-Identifier: MIT */
#include "carrier/direct.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/parse.h"
#include "base/str.h"
#include "carrier/reach.h"
#include "carrier/relayed.h"
#include "net/chan.h"
#include "net/dial.h"
#include "net/tls.h"

#define TIMEOUT_MS 15000
#define TEXT_CAP   360

/* dial is set while it connects, chan while it shakes hands. */
struct direct {
	uv_loop_t *loop;
	struct hostport at;
	char where[HOSTPORT_CAP]; /* the same for people */
	struct pin peer;
	struct tls_ctx *ctx;
	struct dial *dial;
	struct chan *chan;
	struct timer *deadline;
	bool is_unnamed; /* the name servers were of no help */
	const struct direct_ops *ops;
	void *user;
};

static void direct_free(struct direct *d)
{
	dial_cancel(d->dial);
	reach_abandon(d->chan);
	timer_free(d->deadline);
	tls_ctx_free(d->ctx);
	free(d);
}

static void explain(const struct direct *d, int err, char out[TEXT_CAP])
{
	if (d->is_unnamed) {
		snprintf(out, TEXT_CAP,
			 "the name servers cannot tell now where '%s' is (is "
			 "this machine online?)",
			 d->at.host);
		return;
	}
	switch (err) {
	case RW_ERR_NO_HOST:
		snprintf(out, TEXT_CAP, "no host is named '%s'", d->at.host);
		break;
	case RW_ERR_UNREACHABLE:
		snprintf(out, TEXT_CAP, "no network path leads to %s from here",
			 d->where);
		break;
	case RW_ERR_REFUSED:
		snprintf(out, TEXT_CAP, "nothing listens at %s", d->where);
		break;
	case RW_ERR_TIMEOUT:
		snprintf(out, TEXT_CAP, "%s does not answer", d->where);
		break;
	case RW_ERR_PIN:
		snprintf(out, TEXT_CAP,
			 "what answers at %s is another machine: its key is "
			 "not the rig's",
			 d->where);
		break;
	case RW_ERR_PROTO:
		snprintf(out, TEXT_CAP, "what answers at %s is not a rig",
			 d->where);
		break;
	default:
		snprintf(out, TEXT_CAP, "cannot connect to %s: %s", d->where,
			 err_text(err));
	}
}

static void direct_fail(struct direct *d, int err)
{
	const struct direct_ops *ops = d->ops;
	void *user = d->user;
	char text[TEXT_CAP];

	explain(d, err, text);
	direct_free(d);
	ops->on_failed(user, err, text);
}

static void on_up(struct chan *c)
{
	struct direct *d = chan_user(c);
	const struct direct_ops *ops = d->ops;
	void *user = d->user;
	char addr[CHAN_ADDR_CAP];

	chan_peer_addr(c, addr);
	d->chan = NULL;
	direct_free(d);
	ops->on_up(user, c, addr);
}

static void on_closed(struct chan *c, int err)
{
	struct direct *d = chan_user(c);

	d->chan = NULL;
	if (err == 0 || err == RW_ERR_TRUNCATED || err == -ECONNRESET)
		err = RW_ERR_PROTO; /* it hung up on our handshake */
	direct_fail(d, err);
}

static void on_dialled(void *user, int err, int fd, enum dial_stage stage)
{
	static const struct chan_ops ops = { .on_up = on_up,
					     .on_closed = on_closed };
	struct direct *d = user;

	d->dial = NULL;
	d->is_unnamed = stage == DIAL_RESOLVING &&
			(err == RW_ERR_UNREACHABLE || err == RW_ERR_TIMEOUT);
	if (err == 0)
		err = chan_open_fd(d->loop, fd, &ops, d, &d->chan);
	if (err < 0) {
		d->chan = NULL;
		direct_fail(d, err);
		return;
	}
	err = chan_start_tls(d->chan, d->ctx, &d->peer);
	if (err < 0)
		chan_close(d->chan, err);
}

static void on_deadline(void *user)
{
	struct direct *d = user;

	d->is_unnamed =
		d->dial != NULL && dial_stage(d->dial) == DIAL_RESOLVING;
	direct_fail(d, RW_ERR_TIMEOUT);
}

static int direct_dial(struct direct *d, uint64_t timeout_ms)
{
	const struct dial_params dp = {
		.host = d->at.host,
		.port = d->at.port,
		.timeout_ms = timeout_ms,
		.peer_is_proven = true,
		.on_done = on_dialled,
		.user = d,
	};

	return dial_start(d->loop, &dp, &d->dial);
}

int direct_start(const struct direct_params *params,
		 const struct direct_ops *ops, void *user, struct direct **ret)
{
	struct direct *d = calloc(1, sizeof(*d));
	uint64_t timeout_ms =
		params->timeout_ms != 0 ? params->timeout_ms : TIMEOUT_MS;
	int err;

	if (d == NULL)
		return RW_ERR_NOMEM;
	d->loop = params->loop;
	d->peer = params->peer;
	d->ops = ops;
	d->user = user;
	err = parse_hostport(params->at, 0, &d->at);
	if (err < 0) {
		err = RW_ERR_FORMAT;
		goto free_direct;
	}
	format_hostport(d->at.host, d->at.port, d->where);
	err = tls_ctx_new_bulk(params->key, TLS_CLIENT, INNER_ALPN, &d->ctx);
	if (err < 0)
		goto free_direct;
	err = direct_dial(d, timeout_ms);
	if (err < 0)
		goto free_ctx;
	d->deadline = timer_new(d->loop, on_deadline, d);
	timer_start(d->deadline, timeout_ms);
	*ret = d;
	return 0;

free_ctx:
	tls_ctx_free(d->ctx);
free_direct:
	free(d);
	return err;
}

void direct_cancel(struct direct *d)
{
	direct_free(d);
}
