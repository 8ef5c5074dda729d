/* SPDX-License-Identifier: MIT */
#include "carrier/reach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "net/chan.h"
#include "net/dial.h"
#include "net/loop.h"

#define STAGGER_MS 1000

/* One address of the relay. dial is set while it connects, chan while it
 * shakes hands, neither before and after. */
struct
try {
	struct reach *reach;
	struct dial *dial;
	struct chan *chan;
	int err;
	bool is_unnamed; /* the name servers were of no help */
	bool is_mute;	 /* it takes connections, and no more */
};

struct reach {
	struct reach_params params;
	struct reach_relays relays;
	struct try tries[CODE_RELAYS_MAX];
	size_t started;
	struct timer *next; /* starts the next address */
	struct timer *deadline;
	uint64_t began_us;
	reach_on_done *on_done;
	void *user;
};

int reach_relays_parse(struct reach_relays *ret, const char *const *texts,
		       size_t count)
{
	struct reach_relays r = { .count = count };

	if (count == 0 || count > CODE_RELAYS_MAX)
		return RW_ERR_FORMAT;
	for (size_t i = 0; i < count; i++)
		if (parse_hostport(texts[i], RELAY_PORT, &r.at[i]) < 0)
			return RW_ERR_FORMAT;
	*ret = r;
	return 0;
}

void reach_abandon(struct chan *c)
{
	static const struct chan_ops none = { 0 };

	if (c == NULL)
		return;
	chan_set_ops(c, &none, NULL);
	chan_close(c, RW_ERR_CANCELLED);
}

int reach_send(struct chan *c, const struct relay_msg *m)
{
	uint8_t frame[RELAY_FRAME_MAX];
	int err = chan_write(c, frame, relay_msg_write(m, frame));

	if (err == 0)
		chan_flush(c);
	/* It asks, and does not read the answers. */
	if (err == 0 && chan_queued(c) > REACH_QUEUE_MAX) {
		chan_close(c, RW_ERR_LIMIT);
		err = RW_ERR_LIMIT;
	}
	return err;
}

/* How near a failure came to working: the farthest is what the user hears. */
static int nearness(int err)
{
	static const int order[] = {
		RW_ERR_NO_HOST, RW_ERR_UNREACHABLE, RW_ERR_TIMEOUT,
		RW_ERR_REFUSED, RW_ERR_TRUNCATED,   RW_ERR_PROTO,
		RW_ERR_PIN,
	};

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (err == order[i])
			return (int)i + 1;
	return 0;
}

/* The words for a failure, before and after the address or only its host. */
static const struct reach_words {
	int err;
	bool is_host;
	const char *before, *after;
} words[] = {
	{ RW_ERR_NO_HOST, true, "the name: no host is named '",
	  "' (is it spelt right, and is this machine online?)" },
	{ RW_ERR_UNREACHABLE, false, "no network path leads to ",
	  " from here" },
	{ RW_ERR_TIMEOUT, false, "the port: ",
	  " does not answer (a firewall, often the provider's, may block it, "
	  "or the machine is off)" },
	{ RW_ERR_PIN, false, "the key: what answers at ",
	  " is not the expected relay (its key is another one)" },
	{ RW_ERR_PROTO, false, "what answers at ", " is not a rigway relay" },
	{ RW_ERR_TRUNCATED, false, "",
	  " hung up without a word (does the relay just start or stop, or is "
	  "something else at that port?)" },
};

static void explain(const struct hostport *at, int err, char *out, size_t cap)
{
	char where[HOSTPORT_CAP];

	format_hostport(at->host, at->port, where);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		const struct reach_words *w = &words[i];

		if (w->err != err)
			continue;
		snprintf(out, cap, "%s%s%s", w->before,
			 w->is_host ? at->host : where, w->after);
		return;
	}
	if (err == RW_ERR_REFUSED)
		snprintf(out, cap,
			 "the port: %s is there, but nothing listens on port %u"
			 " (does the relay run, and is this its port?)",
			 at->host, at->port);
	else
		snprintf(out, cap, "cannot connect to %s: %s", where,
			 err_text(err));
}

static void explain_try(const struct reach *r, const struct try *t, char *out,
			size_t cap)
{
	const struct hostport *at = &r->relays.at[t - r->tries];
	char where[HOSTPORT_CAP];

	format_hostport(at->host, at->port, where);
	if (t->is_unnamed)
		snprintf(out, cap,
			 "the name: the name servers cannot tell now where "
			 "'%s' is (is this machine online?)",
			 at->host);
	else if (t->is_mute)
		snprintf(out, cap,
			 "%s takes connections and says nothing (does the "
			 "relay hang, or is something else at that port?)",
			 where);
	else
		explain(at, t->err, out, cap);
}

static void reach_free(struct reach *r)
{
	for (size_t i = 0; i < r->started; i++) {
		dial_cancel(r->tries[i].dial);
		reach_abandon(r->tries[i].chan);
	}
	timer_free(r->next);
	timer_free(r->deadline);
	free(r);
}

/* The end without success. */
static void reach_fail(struct reach *r)
{
	struct try *best = &r->tries[0];
	char text[RELAY_TEXT_MAX];
	reach_on_done *on_done = r->on_done;
	void *user = r->user;
	int err;

	for (size_t i = 1; i < r->started; i++)
		if (nearness(r->tries[i].err) > nearness(best->err))
			best = &r->tries[i];
	err = best->err;
	explain_try(r, best, text, sizeof(text));
	reach_free(r);
	on_done(user, err, text, NULL, NULL);
}

static void reach_next(void *user);

static void try_failed(struct try *t, int err)
{
	struct reach *r = t->reach;
	bool is_open = r->started < r->relays.count;

	t->err = err;
	for (size_t i = 0; i < r->started; i++)
		is_open = is_open || r->tries[i].dial != NULL ||
			  r->tries[i].chan != NULL;
	if (!is_open)
		reach_fail(r);
	else if (r->started < r->relays.count)
		timer_start(r->next, 0);
}

static void on_up(struct chan *c)
{
	struct try *t = chan_user(c);
	struct reach *r = t->reach;
	reach_on_done *on_done = r->on_done;
	void *user = r->user;
	char relay[HOSTPORT_CAP];
	const struct hostport *at = &r->relays.at[t - r->tries];

	format_hostport(at->host, at->port, relay);
	t->chan = NULL;
	chan_watch(c, false);
	reach_free(r);
	on_done(user, 0, NULL, c, relay);
}

static void on_closed(struct chan *c, int err)
{
	struct try *t = chan_user(c);

	t->chan = NULL;
	if (err == 0 || err == -ECONNRESET)
		err = RW_ERR_TRUNCATED; /* it hung up on our handshake */
	try_failed(t, err);
}

static void on_dialled(void *user, int err, int fd, enum dial_stage stage)
{
	static const struct chan_ops ops = { .on_up = on_up,
					     .on_closed = on_closed };
	struct try *t = user;
	struct reach *r = t->reach;

	t->dial = NULL;
	t->is_unnamed = stage == DIAL_RESOLVING &&
			(err == RW_ERR_UNREACHABLE || err == RW_ERR_TIMEOUT);
	if (err == 0)
		err = chan_open_fd(r->params.loop, fd, &ops, t, &t->chan);
	if (err < 0) {
		t->chan = NULL;
		try_failed(t, err);
		return;
	}
	chan_watch(t->chan, true);
	err = chan_start_tls(t->chan, r->params.ctx, &r->params.pin);
	if (err < 0)
		chan_close(t->chan, err);
}

static void reach_next(void *user)
{
	struct reach *r = user;
	struct try *t = &r->tries[r->started];
	struct dial_params p = {
		.host = r->relays.at[r->started].host,
		.port = r->relays.at[r->started].port,
		.timeout_ms = r->params.timeout_ms,
		.peer_is_proven = true,
		.on_done = on_dialled,
		.user = t,
	};
	int err;

	t->reach = r;
	r->started++;
	err = dial_start(r->params.loop, &p, &t->dial);
	if (r->started < r->relays.count)
		timer_start(r->next, STAGGER_MS);
	if (err < 0)
		try_failed(t, err);
}

static void try_is_late(struct try *t)
{
	t->err = RW_ERR_TIMEOUT;
	t->is_unnamed =
		t->dial != NULL && dial_stage(t->dial) == DIAL_RESOLVING;
	t->is_mute = t->chan != NULL;
}

static void on_deadline(void *user)
{
	struct reach *r = user;

	for (size_t i = 0; i < r->started; i++)
		if (r->tries[i].err == 0)
			try_is_late(&r->tries[i]);
	reach_fail(r);
}

int reach_start(const struct reach_params *params, reach_on_done *on_done,
		void *user, struct reach **ret)
{
	struct reach *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return RW_ERR_NOMEM;
	r->params = *params;
	r->relays = *params->relays;
	r->params.relays = NULL;
	r->on_done = on_done;
	r->user = user;
	r->began_us = loop_now_us(params->loop);
	r->next = timer_new(params->loop, reach_next, r);
	r->deadline = timer_new(params->loop, on_deadline, r);
	timer_start(r->next, 0);
	timer_start(r->deadline, params->timeout_ms);
	*ret = r;
	return 0;
}

bool reach_is_heard(const struct reach *r)
{
	if (loop_now_us(r->params.loop) >= r->began_us + REACH_LINE_US)
		return false;
	for (size_t i = 0; i < r->started; i++) {
		const struct try *t = &r->tries[i];

		if (t->chan != NULL
			    ? chan_is_acked(t->chan)
			    : t->dial != NULL && dial_is_answered(t->dial))
			return true;
	}
	return false;
}

void reach_cancel(struct reach *r)
{
	if (r != NULL)
		reach_free(r);
}
