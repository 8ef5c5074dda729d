/* SPDX-License-Identifier: MIT */
#include "rig/open.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "core/stream.h"
#include "net/dial.h"
#include "net/loop.h"
#include "net/pump.h"
#include "rig/policy.h"
#include "rig/rig.h"
#include "rig/sessions.h"
#include "rig/sshd.h"

/* A unix socket with a full backlog is tried again this often. */
#define RETRY_MS 50

/* A stream from its OPEN to its end. One of dial, retry and pump at a time. */
struct opening {
	struct list link; /* in peer->openings */
	struct rig *rig;
	struct peer *peer; /* NULL once the session is gone */
	struct stream *st; /* NULL once the pump has it */
	struct target target;
	struct hostport tries[SSHD_LISTEN_MAX]; /* of service ssh */
	size_t try_count, try_at;
	struct dial *dial;
	struct timer *retry;
	uint64_t deadline_us;
	struct pump *pump;
	bool is_over; /* reset, or being freed */
};

static void opening_dial(struct opening *o);

static void opening_free(struct opening *o)
{
	o->is_over = true;
	if (o->dial != NULL)
		dial_cancel(o->dial);
	timer_free(o->retry);
	list_del(&o->link);
	o->rig->opening_count--;
	free(o);
}

/* The stream ended before it was connected. */
static void stream_on_closed(struct stream *st, int err, const char *text)
{
	(void)err;
	(void)text;
	opening_free(stream_user(st));
}

/* Takes nothing: what arrives early stays in the core for the pump. */
static size_t stream_on_data(struct stream *st, const uint8_t *data, size_t len)
{
	(void)st;
	(void)data;
	(void)len;
	return 0;
}

static const struct stream_ops stream_ops = {
	.on_data = stream_on_data,
	.on_closed = stream_on_closed,
};

/* on_closed follows, which frees o. */
static void opening_refuse(struct opening *o, int err, const char *text)
{
	if (o->is_over)
		return;
	o->is_over = true;
	log_debug("%s: %s: %s", o->peer->label, o->target.text, text);
	stream_reset(o->st, err, text);
}

static const char *opening_where(const struct opening *o, char *out, size_t cap)
{
	char hp[HOSTPORT_CAP];

	if (o->try_count > 0) {
		const struct hostport *t =
			&o->tries[o->try_at < o->try_count ? o->try_at : 0];

		snprintf(out, cap, "sshd at %s",
			 format_hostport(t->host, t->port, hp));
	} else {
		str_copy(out, cap, o->target.text);
	}
	return out;
}

/* The words that the laptop's user reads. */
static void opening_failed(struct opening *o, int err)
{
	char where[STREAM_TARGET_MAX + 1], text[STREAM_TEXT_MAX + 1];
	char *const out = text;
	const size_t cap = sizeof(text);

	opening_where(o, where, sizeof(where));
	switch (err) {
	case RW_ERR_REFUSED:
		snprintf(out, cap, "connection refused by %.120s", where);
		break;
	case RW_ERR_TIMEOUT:
		snprintf(out, cap, "connecting to %.120s timed out", where);
		break;
	case RW_ERR_NO_HOST:
		snprintf(out, cap, "no such host: %.120s", where);
		break;
	case RW_ERR_NOT_ALLOWED:
		snprintf(out, cap, "this device is not allowed to reach %.100s",
			 where);
		break;
	case RW_ERR_UNREACHABLE:
		snprintf(out, cap, "%.120s cannot be reached from the rig",
			 where);
		break;
	case RW_ERR_NOT_FOUND:
		snprintf(out, cap, "there is no %.120s on the rig", where);
		break;
	default: snprintf(out, cap, "%.120s: %s", where, err_text(err)); break;
	}
	opening_refuse(o, err, text);
}

static void pump_on_done(void *user, int err, const char *text)
{
	struct opening *o = user;

	log_debug("%s: %s: %s", o->peer != NULL ? o->peer->label : "gone",
		  o->target.text, err != 0 ? text : "ended");
	o->pump = NULL;
	opening_free(o);
}

static const struct pump_ops pump_ops = { .on_done = pump_on_done };

static void opening_connected(struct opening *o, int fd)
{
	const struct pump_params p = {
		.loop = o->rig->loop,
		.fd = fd,
		.st = o->st,
		.ops = &pump_ops,
		.user = o,
	};

	if (o->is_over) {
		close(fd);
		return;
	}
	stream_connected(o->st);
	o->st = NULL;

	int err = pump_new(&p, &o->pump);

	if (err == 0)
		return;
	log_warn("%s: %s: %s", o->peer->label, o->target.text, err_text(err));
	o->pump = NULL;
	opening_free(o);
}

/* The list is asked anew for each address: it may have changed. */
static bool dial_allow(const struct sockaddr *addr, void *user)
{
	const struct opening *o = user;
	const struct rig *rig = o->rig;
	const struct device *dev = devices_find(&rig->devices, &o->peer->pin);

	if (dev == NULL)
		return false;
	/* Where sshd listens was not the laptop's choice. */
	return o->target.kind == STREAM_SERVICE ||
	       policy_allows_addr(dev, &o->target, addr, sshd_port(rig->sshd));
}

static void dial_on_done(void *user, int err, int fd, enum dial_stage stage)
{
	struct opening *o = user;

	(void)stage;
	o->dial = NULL;
	if (err == 0) {
		opening_connected(o, fd);
		return;
	}
	if (o->try_at + 1 < o->try_count) {
		o->try_at++;
		opening_dial(o);
		return;
	}
	o->try_at = 0;
	opening_failed(o, err);
}

static void opening_dial(struct opening *o)
{
	const struct hostport *hp =
		o->try_count > 0 ? &o->tries[o->try_at] : &o->target.hp;
	const struct dial_params p = {
		.host = hp->host,
		.port = hp->port,
		.timeout_ms = o->rig->settings->rig.connect_timeout_ms,
		.allow = dial_allow,
		.on_done = dial_on_done,
		.user = o,
	};

	if (o->is_over)
		return;
	if (dial_start(o->rig->loop, &p, &o->dial) != 0) {
		o->dial = NULL;
		opening_failed(o, RW_ERR_NOMEM);
	}
}

/* A full backlog is a wait, as it is for TCP. */
static void opening_dial_unix(void *user)
{
	struct opening *o = user;
	int fd = -1, err;

	if (o->is_over)
		return;
	err = dial_unix(o->target.text, &fd);
	if (err == 0) {
		opening_connected(o, fd);
		return;
	}
	if (err != RW_ERR_BUSY) {
		opening_failed(o, err);
		return;
	}
	if (loop_now_us(o->rig->loop) >= o->deadline_us) {
		opening_failed(o, RW_ERR_TIMEOUT);
		return;
	}
	if (o->retry == NULL)
		o->retry = timer_new(o->rig->loop, opening_dial_unix, o);
	timer_start(o->retry, RETRY_MS);
}

static void opening_dial_service(struct opening *o)
{
	char text[STREAM_TEXT_MAX + 1];

	if (strcmp(o->target.text, "ssh") != 0) {
		snprintf(text, sizeof(text),
			 "this rig has no service named %.63s", o->target.text);
		opening_refuse(o, RW_ERR_NOT_FOUND, text);
		return;
	}
	o->try_count = sshd_addrs(o->rig->sshd, o->tries);
	opening_dial(o);
}

static void opening_go(struct opening *o)
{
	struct rig *rig = o->rig;
	const struct device *dev = devices_find(&rig->devices, &o->peer->pin);

	if (dev == NULL ||
	    !policy_allows_target(dev, &o->target, sshd_port(rig->sshd))) {
		log_info("%s: not allowed to reach %s", o->peer->label,
			 o->target.text);
		opening_failed(o, RW_ERR_NOT_ALLOWED);
		return;
	}
	o->deadline_us = loop_now_us(rig->loop) +
			 rig->settings->rig.connect_timeout_ms * 1000;
	if (o->target.kind == STREAM_TCP)
		opening_dial(o);
	else if (o->target.kind == STREAM_UNIX)
		opening_dial_unix(o);
	else
		opening_dial_service(o);
}

void opening_start(struct peer *p, struct stream *st)
{
	struct opening *o = calloc(1, sizeof(*o));

	/* Not taken on, it is refused by the core. */
	if (o == NULL)
		return;
	o->peer = p;
	o->rig = p->rig;
	o->rig->opening_count++;
	o->st = st;
	list_init(&o->link);
	list_push(&p->openings, &o->link);
	stream_take(st, &stream_ops, o);
	if (target_parse(stream_kind(st), stream_target(st), &o->target) != 0)
		opening_refuse(o, RW_ERR_FORMAT,
			       "this is not a target that the rig knows");
	else
		opening_go(o);
}

void openings_abort(struct peer *p, int err, const char *text)
{
	list_for_each_safe (it, &p->openings) {
		struct opening *o = container_of(it, struct opening, link);

		if (o->pump != NULL)
			pump_abort(o->pump, err);
		else
			opening_refuse(o, err, text);
	}
}

void openings_orphan(struct peer *p)
{
	list_for_each_safe (it, &p->openings) {
		struct opening *o = container_of(it, struct opening, link);

		list_del(&o->link);
		o->peer = NULL;
	}
}
