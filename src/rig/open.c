/* SPDX-License-Identifier: MIT */
#include "rig/open.h"

#include <inttypes.h>
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

/* What it takes to connect a stream to its target: one of dial and retry at a
 * time. */
struct approach {
	struct stream *st;
	struct target target;
	struct hostport *tries; /* of service ssh; else NULL */
	size_t try_count, try_at;
	struct dial *dial;
	struct timer *retry;
	uint64_t deadline_us;
	bool is_over; /* reset, or being freed */
};

/* A stream from its OPEN to its end. It may be open for days: once it is
 * connected, it holds no more than this. */
struct opening {
	struct list link; /* in peer->openings */
	struct rig *rig;
	struct peer *peer;   /* NULL once the session is gone */
	struct approach *to; /* NULL once the pump has the stream */
	struct pump *pump;
	uint32_t id; /* of the stream, for the log */
};

static void opening_dial(struct opening *o);

static void approach_free(struct approach *to)
{
	if (to == NULL)
		return;
	if (to->dial != NULL)
		dial_cancel(to->dial);
	timer_free(to->retry);
	free(to->tries);
	free(to);
}

static void opening_free(struct opening *o)
{
	approach_free(o->to);
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
	struct approach *to = o->to;

	if (to->is_over)
		return;
	to->is_over = true;
	log_debug("%s: %s: %s", o->peer->label, stream_target(to->st), text);
	stream_reset(to->st, err, text);
}

static const char *approach_where(const struct approach *to, char *out,
				  size_t cap)
{
	char hp[HOSTPORT_CAP];

	if (to->try_count > 0) {
		const struct hostport *t =
			&to->tries[to->try_at < to->try_count ? to->try_at : 0];

		snprintf(out, cap, "sshd at %s",
			 format_hostport(t->host, t->port, hp));
	} else {
		str_copy(out, cap, to->target.text);
	}
	return out;
}

/* The words that the laptop's user reads. */
static void opening_failed(struct opening *o, int err)
{
	char where[STREAM_TARGET_MAX + 1], text[STREAM_TEXT_MAX + 1];
	char *const out = text;
	const size_t cap = sizeof(text);

	approach_where(o->to, where, sizeof(where));
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

	log_debug("%s: stream %" PRIu32 ": %s",
		  o->peer != NULL ? o->peer->label : "gone", o->id,
		  err != 0 ? text : "ended");
	o->pump = NULL;
	opening_free(o);
}

static const struct pump_ops pump_ops = { .on_done = pump_on_done };

static void opening_connected(struct opening *o, int fd)
{
	const struct pump_params p = {
		.loop = o->rig->loop,
		.fd = fd,
		.st = o->to->st,
		.ops = &pump_ops,
		.user = o,
	};
	int err;

	if (o->to->is_over) {
		close(fd);
		return;
	}
	log_debug("%s: stream %" PRIu32 ": %s: connected", o->peer->label,
		  o->id, o->to->target.text);
	approach_free(o->to);
	o->to = NULL;
	stream_connected(p.st);
	err = pump_new(&p, &o->pump);
	if (err == 0)
		return;
	log_warn("%s: stream %" PRIu32 ": %s", o->peer->label, o->id,
		 err_text(err));
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
	return o->to->target.kind == STREAM_SERVICE ||
	       policy_allows_addr(dev, &o->to->target, addr,
				  sshd_port(rig->sshd));
}

static void dial_on_done(void *user, int err, int fd, enum dial_stage stage)
{
	struct opening *o = user;
	struct approach *to = o->to;

	(void)stage;
	to->dial = NULL;
	if (err == 0) {
		opening_connected(o, fd);
		return;
	}
	if (to->try_at + 1 < to->try_count) {
		to->try_at++;
		opening_dial(o);
		return;
	}
	to->try_at = 0;
	opening_failed(o, err);
}

static void opening_dial(struct opening *o)
{
	struct approach *to = o->to;
	const struct hostport *hp =
		to->try_count > 0 ? &to->tries[to->try_at] : &to->target.hp;
	const struct dial_params p = {
		.host = hp->host,
		.port = hp->port,
		.timeout_ms = o->rig->settings->rig.connect_timeout_ms,
		.allow = dial_allow,
		.on_done = dial_on_done,
		.user = o,
	};

	if (to->is_over)
		return;
	if (dial_start(o->rig->loop, &p, &to->dial) != 0) {
		to->dial = NULL;
		opening_failed(o, RW_ERR_NOMEM);
	}
}

/* A full backlog is a wait, as it is for TCP. */
static void opening_dial_unix(void *user)
{
	struct opening *o = user;
	struct approach *to = o->to;
	int fd = -1, err;

	if (to->is_over)
		return;
	err = dial_unix(to->target.text, &fd);
	if (err == 0) {
		opening_connected(o, fd);
		return;
	}
	if (err != RW_ERR_BUSY) {
		opening_failed(o, err);
		return;
	}
	if (loop_now_us(o->rig->loop) >= to->deadline_us) {
		opening_failed(o, RW_ERR_TIMEOUT);
		return;
	}
	if (to->retry == NULL)
		to->retry = timer_new(o->rig->loop, opening_dial_unix, o);
	timer_start(to->retry, RETRY_MS);
}

static void opening_dial_service(struct opening *o)
{
	struct approach *to = o->to;
	char text[STREAM_TEXT_MAX + 1];

	if (strcmp(to->target.text, "ssh") != 0) {
		snprintf(text, sizeof(text),
			 "this rig has no service named %.63s",
			 to->target.text);
		opening_refuse(o, RW_ERR_NOT_FOUND, text);
		return;
	}
	to->tries = calloc(SSHD_LISTEN_MAX, sizeof(*to->tries));
	if (to->tries == NULL) {
		opening_failed(o, RW_ERR_NOMEM);
		return;
	}
	to->try_count = sshd_addrs(o->rig->sshd, to->tries);
	opening_dial(o);
}

static void opening_go(struct opening *o)
{
	struct rig *rig = o->rig;
	struct approach *to = o->to;
	const struct device *dev = devices_find(&rig->devices, &o->peer->pin);

	if (dev == NULL ||
	    !policy_allows_target(dev, &to->target, sshd_port(rig->sshd))) {
		log_info("%s: not allowed to reach %s", o->peer->label,
			 to->target.text);
		opening_failed(o, RW_ERR_NOT_ALLOWED);
		return;
	}
	to->deadline_us = loop_now_us(rig->loop) +
			  rig->settings->rig.connect_timeout_ms * 1000;
	if (to->target.kind == STREAM_TCP)
		opening_dial(o);
	else if (to->target.kind == STREAM_UNIX)
		opening_dial_unix(o);
	else
		opening_dial_service(o);
}

void opening_start(struct peer *p, struct stream *st)
{
	struct opening *o = calloc(1, sizeof(*o));
	struct approach *to = calloc(1, sizeof(*to));

	/* Not taken on, it is refused by the core. */
	if (o == NULL || to == NULL) {
		free(o);
		free(to);
		return;
	}
	to->st = st;
	o->to = to;
	o->id = (uint32_t)stream_id(st);
	o->peer = p;
	o->rig = p->rig;
	o->rig->opening_count++;
	list_init(&o->link);
	list_push(&p->openings, &o->link);
	stream_take(st, &stream_ops, o);
	if (target_parse(stream_kind(st), stream_target(st), &to->target) != 0)
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
