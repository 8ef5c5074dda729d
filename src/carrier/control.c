/* SPDX-License-Identifier: MIT */
#include "carrier/control_local.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/str.h"

/* Around each call of a user's callback. */
static void control_enter(struct control *c)
{
	c->depth++;
}

/* Whether c still lives as far as the caller is concerned. */
static bool control_leave(struct control *c)
{
	bool alive = !c->is_stopped;

	if (--c->depth == 0 && c->is_stopped)
		free(c);
	return alive;
}

/* -- down */

void control_tell_down(struct control *c, int err, const char *text)
{
	uint64_t now = loop_now_us(c->loop), next_ms = 0;

	if (c->has_told && strcmp(c->told, text) == 0)
		return;
	c->has_told = true;
	str_copy(c->told, sizeof(c->told), text);
	if (c->ops->on_down == NULL)
		return;
	if (c->is_final)
		next_ms = CONTROL_NEVER;
	else if (c->next_us > now)
		next_ms = (c->next_us - now) / 1000;
	control_enter(c);
	c->ops->on_down(c->user, err, c->told, next_ms);
	control_leave(c);
}

void control_lose(struct control *c, int err, const char *text)
{
	reach_abandon(c->chan);
	c->chan = NULL;
	c->is_doubted = false;
	timer_stop(c->beat);
	control_outage(c);
	c->has_told = false;
	c->next_us = 0;
	if (!c->is_final)
		timer_start(c->dial, 0);
	control_enter(c);
	control_requests_end(c, RW_ERR_OFFLINE);
	if (control_leave(c))
		control_tell_down(c, err, text);
}

/* -- connected */

static void on_call(struct control *c, const struct relay_call *m)
{
	struct control_call call = {
		.rendezvous = m->rendezvous,
		.client = m->client,
		.has_invite_id = MSG_HAS(m, R_TAG_INVITE_ID),
	};

	str_copy(call.addr, sizeof(call.addr), m->addr);
	memcpy(call.invite_id, m->invite_id, RELAY_ID_LEN);
	if (c->ops->on_call != NULL)
		c->ops->on_call(c->user, &call);
}

static void on_refused(struct control *c, const struct relay_refused *m)
{
	int err = relay_code_err(m->code);

	if (MSG_HAS(m, R_TAG_REF)) {
		control_request_end(c, m->ref, err, m->text);
		return;
	}
	c->is_final = err == RW_ERR_REPLACED;
	control_lose(c, err, m->text);
}

/* One message of a welcomed relay; false for one that has no place here. */
static bool control_take(struct control *c, const struct relay_msg *m)
{
	struct relay_msg pong = { .type = R_PONG, .number = m->number };

	switch (m->type) {
	case R_PONG: control_pong(c, m->number.number); break;
	case R_PING: reach_send(c->chan, &pong); break;
	case R_CALL: on_call(c, &m->call); break;
	case R_ROW: control_request_row(c, &m->row); break;
	case R_DONE:
	case R_END: control_request_end(c, m->number.number, 0, ""); break;
	case R_REFUSED: on_refused(c, &m->refused); break;
	default: return false;
	}
	return true;
}

static size_t on_data(struct chan *chan, const uint8_t *data, size_t len)
{
	struct control *c = chan_user(chan);
	size_t taken = 0;

	control_heard(c);
	control_enter(c);
	while (!c->is_stopped && c->chan == chan) {
		struct relay_msg m;
		ssize_t n = relay_msg_read(data + taken, len - taken,
					   RELAY_SIDE_RELAY, &m);

		if (n == 0)
			break;
		if (n < 0 || !control_take(c, &m)) {
			control_lose(c, RW_ERR_PROTO,
				     "the relay broke the protocol");
			break;
		}
		taken += (size_t)n;
	}
	control_leave(c);
	return taken;
}

static void on_closed(struct chan *chan, int err)
{
	struct control *c = chan_user(chan);
	char text[RELAY_TEXT_MAX];

	c->chan = NULL;
	snprintf(text, sizeof(text), "the relay closed the connection%s%s",
		 err < 0 ? ": " : "", err < 0 ? err_text(err) : "");
	control_lose(c, err < 0 ? err : RW_ERR_TRUNCATED, text);
}

/* Those from the first-th on. */
static void control_tell_lost(struct control *c, size_t first)
{
	struct relay_msg m = { .type = R_LOST };
	uint8_t lost[8 * RELAY_LOST_MAX];
	const size_t n = c->lost_count - first;

	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		put_be64(lost + 8 * i, c->lost[first + i]);
	m.lost.lost = (struct msg_view){ lost, 8 * n };
	reach_send(c->chan, &m);
}

/* The first n. */
static void control_forget_lost(struct control *c, size_t n)
{
	c->lost_count -= n;
	memmove(c->lost, c->lost + n, c->lost_count * sizeof(c->lost[0]));
}

/* The relay has read a hello that named the first ones, of which the oldest may
 * have left the list since. It is told the others, and of them again in the
 * next hello, should this connection not carry that. */
static void control_settle_lost(struct control *c, size_t named)
{
	control_forget_lost(
		c, MIN(named - MIN(named, c->lost_gone), c->lost_count));
	c->lost_gone = 0;
	control_tell_lost(c, 0);
}

void control_welcome(struct control *c, struct chan *chan,
		     const struct relay_welcome *w, size_t named)
{
	static const struct chan_ops ops = { .on_data = on_data,
					     .on_closed = on_closed };
	struct chan *old = c->chan;

	c->chan = chan;
	chan_set_ops(c->chan, &ops, c);
	control_attempts_free(c);
	timer_stop(c->dial);
	c->is_doubted = false;
	c->heard_us = c->said_us = loop_now_us(c->loop);
	c->pinged_us = 0;
	c->is_again = false;
	control_beat(c);
	control_settle_lost(c, named);
	control_enter(c);
	if (old != NULL) { /* it was in doubt, and the relay has dropped it */
		reach_abandon(old);
		control_requests_end(c, RW_ERR_OFFLINE);
	}
	if (c->ops->on_up != NULL && !c->is_stopped)
		c->ops->on_up(c->user, w->fleet, w->name, w->addr);
	control_leave(c);
}

/* -- the interface */

int control_start(const struct control_params *params,
		  const struct control_ops *ops, void *user,
		  struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	int err;

	if (c == NULL)
		return RW_ERR_NOMEM;
	c->loop = params->loop;
	c->relay_pin = params->relay_pin;
	c->role = params->role;
	relay_text_copy(c->name, sizeof(c->name), params->name);
	c->incarnation = params->incarnation;
	c->ops = ops;
	c->user = user;
	list_init(&c->attempts);
	list_init(&c->requests);
	control_outage(c);
	err = reach_relays_parse(&c->relays, params->relays,
				 params->relay_count);
	if (err == 0)
		err = tls_ctx_new(params->key, TLS_CLIENT, RELAY_ALPN, &c->ctx);
	if (err < 0) {
		free(c);
		return err;
	}
	c->dial = timer_new(c->loop, control_on_dial, c);
	c->beat = timer_new(c->loop, control_on_beat, c);
	timer_start(c->dial, 0);
	*ret = c;
	return 0;
}

void control_stop(struct control *c)
{
	control_enter(c);
	c->is_stopped = true;
	control_attempts_free(c);
	reach_abandon(c->chan);
	c->chan = NULL;
	timer_free(c->dial);
	timer_free(c->beat);
	tls_ctx_free(c->ctx);
	control_requests_end(c, RW_ERR_CANCELLED);
	control_leave(c);
}

bool control_is_up(const struct control *c)
{
	return c->chan != NULL;
}

void control_decline(struct control *c, uint64_t rendezvous, int err,
		     const char *text)
{
	struct relay_msg m = { .type = R_DECLINE };

	if (c->chan == NULL)
		return;
	m.decline.rendezvous = rendezvous;
	m.decline.code = relay_code(err);
	relay_text_copy(m.decline.text, sizeof(m.decline.text), text);
	reach_send(c->chan, &m);
}

void control_lost(struct control *c, uint64_t rendezvous)
{
	if (c->lost_count == RELAY_LOST_MAX) { /* the oldest goes */
		control_forget_lost(c, 1);
		c->lost_gone++;
	}
	c->lost[c->lost_count++] = rendezvous;
	/* It stays in the list: this connection may be as dead. */
	if (c->chan != NULL)
		control_tell_lost(c, c->lost_count - 1);
}
