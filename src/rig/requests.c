/* SPDX-License-Identifier: MIT */
#include "rig/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "core/session.h"
#include "core/stream.h"
#include "rig/authorize.h"
#include "rig/issue.h"
#include "rig/policy.h"
#include "rig/removal.h"
#include "rig/rig.h"
#include "rig/sessions.h"
#include "rig/sshd.h"
#include "wire/request.h"

struct requests {
	struct peer *peer;
	struct stream *st;   /* NULL once it was closed */
	struct buf in;	     /* the beginning of a request */
	struct buf out;	     /* answers that did not fit the stream */
	struct issue *issue; /* a code is being made for `number` */
	uint32_t number;
	bool is_doing; /* a request is being carried out right now */
};

static void requests_pull(struct requests *q);
static void requests_read(struct requests *q);

static bool requests_is_busy(const struct requests *q)
{
	return q->issue != NULL || q->out.len > 0;
}

static void requests_flush(struct requests *q)
{
	size_t len;
	const uint8_t *data = buf_peek(&q->out, &len);

	if (q->st == NULL || len == 0)
		return;
	buf_drain(&q->out, stream_write(q->st, data, len));
	buf_release(&q->out);
}

static void answer(struct requests *q, const struct request *r)
{
	uint8_t *out = xmalloc(REQUEST_MAX);
	ssize_t n = request_write(r, out, REQUEST_MAX);

	if (n < 0)
		log_warn("%s: an answer cannot be written: %s", q->peer->label,
			 err_text((int)n));
	else
		(void)buf_append(&q->out, out, (size_t)n);
	mem_wipe(out, REQUEST_MAX);
	free(out);
}

static void answer_text(struct requests *q, uint32_t number, int err,
			const char *text)
{
	struct request r = { .type = err == 0 ? A_DONE : A_ERROR,
			     .number = number };

	r.text.code = err == 0 ? 0 : request_code(err);
	str_copy(r.text.text, sizeof(r.text.text), text);
	answer(q, &r);
}

/* -- one function a request ---------------------------------------------- */

static void invite_on_done(void *user, int err, const char *code,
			   const char *note)
{
	struct requests *q = user;
	struct request r = { .type = A_INVITE, .number = q->number };

	q->issue = NULL;
	if (err != 0) {
		answer_text(q, q->number, err, note);
	} else {
		str_copy(r.a_invite.code, sizeof(r.a_invite.code), code);
		str_copy(r.a_invite.note, sizeof(r.a_invite.note), note);
		answer(q, &r);
		mem_wipe(&r, sizeof(r));
	}
	if (q->is_doing)
		return;
	requests_flush(q);
	requests_read(q);
	requests_pull(q);
}

static void do_invite(struct requests *q, const struct request *r)
{
	char services[DEVICE_SERVICES_CAP], bad[DEVICE_SERVICES_CAP];
	char text[REQUEST_TEXT_MAX];
	const struct invite_params p = {
		.services = services,
		.by = &q->peer->pin,
		.uses = r->q_invite.uses,
		.ttl_s = r->q_invite.ttl_s,
		.now = rig_now(),
	};
	int err = services_parse(r->q_invite.services, services, bad);

	if (err != 0) {
		snprintf(text, sizeof(text),
			 err == RW_ERR_LIMIT ? "the list of services is too "
					       "long"
					     : "'%s' is not a service: give a "
					       "name, PORT, HOST:PORT or /PATH",
			 bad);
		answer_text(q, r->number, err, text);
		return;
	}
	q->number = r->number;
	log_info("%s: makes a code", q->peer->label);
	issue_start(q->peer->rig, &p, invite_on_done, q, &q->issue);
}

static void do_devices(struct requests *q, const struct request *r)
{
	struct rig *rig = q->peer->rig;

	for (size_t i = 0; i < rig->devices.count; i++) {
		const struct device *dev = &rig->devices.rows[i];
		const struct peer *p = sessions_find(rig->sessions, &dev->pin);
		struct request a = { .type = A_DEVICE, .number = r->number };

		if (dev->role == DEVICE_REMOVED)
			continue;
		memcpy(a.a_device.pin, dev->pin.b, PIN_LEN);
		str_copy(a.a_device.name, sizeof(a.a_device.name), dev->name);
		str_copy(a.a_device.services, sizeof(a.a_device.services),
			 dev->services);
		a.a_device.role = dev->role == DEVICE_OWNER ? REQUEST_OWNER
							    : REQUEST_GUEST;
		a.a_device.online = p != NULL && session_is_live(p->session);
		a.a_device.admitted = (uint64_t)dev->admitted;
		a.a_device.last = (uint64_t)dev->last;
		answer(q, &a);
	}
	answer_text(q, r->number, 0, "");
}

static void do_remove(struct requests *q, const struct request *r)
{
	char text[REMOVAL_TEXT_CAP];
	struct device dev;
	int err = removal_do(q->peer->rig, r->q_remove.who, &dev, text);

	answer_text(q, r->number, err, text);
}

static void do_authorize(struct requests *q, const struct request *r)
{
	char path[SSHD_PATH_CAP], text[REQUEST_TEXT_MAX];
	const struct msg_view *key = &r->q_authorize.key;
	bool added = false;
	int err;

	if (!sshd_authorized(q->peer->rig->sshd, path)) {
		answer_text(q, r->number, RW_ERR_NOT_FOUND,
			    "the rig cannot tell where sshd looks for keys: "
			    "set rig.authorized_keys there");
		return;
	}
	err = authorize_add(path, (const char *)key->data, key->len, &added);
	if (err == RW_ERR_FORMAT)
		str_copy(text, sizeof(text), "this is not an ssh public key");
	else if (err != 0)
		snprintf(text, sizeof(text), "%.300s: %s", path, err_text(err));
	else
		snprintf(text, sizeof(text),
			 added ? "added to %.300s" : "%.300s has it already",
			 path);
	log_info("%s: an ssh key: %s", q->peer->label, text);
	answer_text(q, r->number, err, text);
}

static void requests_do(struct requests *q, const struct request *r)
{
	const struct device *dev =
		devices_find(&q->peer->rig->devices, &q->peer->pin);

	if (dev == NULL || dev->role != DEVICE_OWNER) {
		answer_text(q, r->number, RW_ERR_NOT_ALLOWED,
			    "only an owner's machine may ask that of this rig");
		return;
	}
	switch (r->type) {
	case Q_INVITE: do_invite(q, r); break;
	case Q_DEVICES: do_devices(q, r); break;
	case Q_REMOVE: do_remove(q, r); break;
	case Q_AUTHORIZE: do_authorize(q, r); break;
	default:
		answer_text(q, r->number, RW_ERR_VERSION,
			    "this rig's rigway does not know that request: "
			    "update it");
		break;
	}
}

/* -- the stream ------------------------------------------------------------ */

/* Carries out what is whole, until an answer has to wait. */
static void requests_read(struct requests *q)
{
	while (q->st != NULL && !requests_is_busy(q)) {
		struct request r;
		size_t len;
		const uint8_t *data = buf_peek(&q->in, &len);
		ssize_t n = request_read(data, len, &r);

		if (n < 0) {
			log_warn("%s: sent a request that is none",
				 q->peer->label);
			stream_reset(q->st, RW_ERR_PROTO,
				     "this is not a request");
			return;
		}
		if (n == 0) {
			buf_release(&q->in);
			return;
		}
		q->is_doing = true;
		requests_do(q, &r);
		q->is_doing = false;
		buf_drain(&q->in, (size_t)n);
		requests_flush(q);
	}
}

/* Goes on with what the core kept meanwhile. */
static void requests_pull(struct requests *q)
{
	size_t len;
	const uint8_t *data;

	while (q->st != NULL && !requests_is_busy(q) &&
	       (data = stream_peek(q->st, &len)) != NULL && len > 0) {
		if (buf_append(&q->in, data, len) != 0)
			return;
		stream_consume(q->st, len);
		requests_read(q);
	}
}

/* Takes all or, while an answer has to wait, nothing: so q->in holds the
 * beginning of one request and one frame behind it at most. */
static size_t on_data(struct stream *st, const uint8_t *data, size_t len)
{
	struct requests *q = stream_user(st);

	if (q == NULL)
		return len;
	if (data == NULL)
		requests_pull(q);
	if (data == NULL || requests_is_busy(q) ||
	    buf_append(&q->in, data, len) != 0)
		return 0;
	requests_read(q);
	return len;
}

static void on_room(struct stream *st)
{
	struct requests *q = stream_user(st);

	if (q == NULL)
		return;
	requests_flush(q);
	requests_read(q);
	requests_pull(q);
}

static void on_closed(struct stream *st, int err, const char *text)
{
	struct requests *q = stream_user(st);

	(void)err;
	(void)text;
	if (q != NULL)
		q->st = NULL;
}

static const struct stream_ops stream_ops = {
	.on_data = on_data,
	.on_room = on_room,
	.on_closed = on_closed,
};

struct requests *requests_new(struct peer *p)
{
	struct requests *q = xcalloc(1, sizeof(*q));

	q->peer = p;
	q->st = session_control(p->session);
	stream_take(q->st, &stream_ops, q);
	return q;
}

void requests_free(struct requests *q)
{
	if (q == NULL)
		return;
	if (q->issue != NULL)
		issue_cancel(q->issue);
	if (q->st != NULL)
		stream_take(q->st, &stream_ops, NULL);
	buf_done(&q->in);
	buf_done(&q->out);
	free(q);
}
