/* SPDX-License-Identifier: MIT */
/*
 * Over 500 lines because an outage, an attempt, a live connection and its
 * requests are states of one thing, and hand each other its timers.
 */
#include "carrier/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "carrier/reach.h"
#include "crypto/hash.h"
#include "net/chan.h"
#include "net/loop.h"
#include "net/tls.h"

#define EAGER_US     60000000 /* this long after a loss, dial often */
#define EAGER_MS     500
#define BACK_OFF_MS  1000 /* then twice as long each time, up to */
#define BACK_OFF_MAX 30000
#define ATTEMPTS_MAX 24 /* at once: 10 s of dials, 0.5 s apart */
#define ATTEMPT_MS   10000
#define HELLO_MS     4000
#define STALL_US     1000000 /* a hello unanswered this long is overtaken */
#define KICK_US	     1800000
/* A ping unanswered for so long and two round trips, the first one for a
 * second, has a fresh connection dialled beside this one. */
#define DOUBT_US       400000
#define DOUBT_FIRST_US 1000000
#define REQUESTS_MAX   256

/* One try to connect: reach is set while it dials, chan afterwards. */
struct attempt {
	struct list link; /* in control.attempts */
	struct control *control;
	struct reach *reach;
	struct chan *chan;
	struct timer *timer; /* from hello to welcome */
	uint64_t asked_us;   /* when its hello went out; 0 not yet */
	size_t named;	     /* of control.lost, in its hello */
};

struct request {
	struct list link; /* in control.requests, oldest first */
	uint64_t ref;
	control_on_row *on_row; /* of a list */
	control_on_done *on_done;
	void *user;
};

struct control {
	uv_loop_t *loop;
	struct reach_relays relays;
	struct pin relay_pin;
	enum relay_role role;
	char name[RELAY_NAME_MAX + 1];
	uint64_t incarnation;
	const struct control_ops *ops;
	void *user;
	struct tls_ctx *ctx;

	struct list attempts;
	struct attempt *asking; /* the one whose hello is out */
	struct chan *chan;	/* welcomed */
	struct timer *dial;	/* the next attempt */
	uint64_t down_us;	/* when the outage began */
	uint64_t back_off_ms;
	uint64_t next_us; /* when the next attempt starts */
	bool is_refused;  /* the relay said no: no hurry */
	bool is_final;	  /* replaced: dials no more by itself */
	bool has_told;	  /* on_down ran for told */
	char told[RELAY_TEXT_MAX + 1];

	struct timer *beat;  /* the next ping, or its deadline */
	uint64_t heard_us;   /* the last byte */
	uint64_t pinged_us;  /* 0: no ping is unanswered */
	uint64_t ping_by_us; /* its deadline */
	uint64_t ping_number;
	uint64_t rtt_us; /* of the last answered ping; 0: none yet */
	bool is_doubted; /* up, and dialling beside it */

	struct list requests;
	size_t request_count;
	uint64_t last_ref;
	uint64_t lost[RELAY_LOST_MAX];
	size_t lost_count;

	/* Callbacks may call control_stop(): the memory stays while one of
	 * ours is still running above. */
	int depth;
	bool is_stopped;
};

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

/* -- an outage ------------------------------------------------------------ */

static void attempt_free(struct attempt *a)
{
	if (a->control->asking == a)
		a->control->asking = NULL;
	reach_cancel(a->reach);
	reach_abandon(a->chan);
	timer_free(a->timer);
	list_del(&a->link);
	free(a);
}

static void attempts_free(struct control *c)
{
	struct list *l;

	while ((l = list_first(&c->attempts)) != NULL)
		attempt_free(container_of(l, struct attempt, link));
}

/* Starts the timer of the next dial. */
static void control_schedule(struct control *c)
{
	uint64_t now = loop_now_us(c->loop), ms = EAGER_MS;

	if (now - c->down_us >= EAGER_US || c->is_refused) {
		ms = c->back_off_ms + random_u64() % (c->back_off_ms / 2 + 1);
		c->back_off_ms =
			MIN(c->back_off_ms * 2, (uint64_t)BACK_OFF_MAX);
		ms = MIN(ms, (uint64_t)BACK_OFF_MAX);
	}
	c->next_us = now + ms * 1000;
	timer_start(c->dial, ms);
}

/* Tells the user why it is down, once a reason. */
static void control_tell_down(struct control *c, int err, const char *text)
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

static void requests_end(struct control *c, int err)
{
	struct list all, *l;

	/* Their ends may begin new ones. */
	list_init(&all);
	list_move_all(&all, &c->requests);
	c->request_count = 0;
	while ((l = list_pop(&all)) != NULL) {
		struct request *q = container_of(l, struct request, link);

		if (q->on_done != NULL)
			q->on_done(q->user, err, err_text(err));
		free(q);
	}
}

/* The welcomed connection is gone. */
static void control_lose(struct control *c, int err, const char *text)
{
	reach_abandon(c->chan);
	c->chan = NULL;
	c->is_doubted = false;
	timer_stop(c->beat);
	c->down_us = loop_now_us(c->loop);
	c->back_off_ms = BACK_OFF_MS;
	c->has_told = false;
	c->is_refused = false;
	c->next_us = 0;
	if (!c->is_final)
		timer_start(c->dial, 0);
	control_enter(c);
	requests_end(c, RW_ERR_OFFLINE);
	if (control_leave(c))
		control_tell_down(c, err, text);
}

/* One attempt came to nothing. */
static void attempt_fail(struct attempt *a, int err, const char *text)
{
	struct control *c = a->control;
	bool was_asking = c->asking == a;

	attempt_free(a);
	if (c->chan != NULL)
		return; /* the present connection has its time */
	if (was_asking && (err == RW_ERR_REFUSED || err == RW_ERR_NOT_ALLOWED ||
			   err == RW_ERR_VERSION || err == RW_ERR_LIMIT)) {
		c->is_refused = true;
		control_schedule(c);
	}
	control_tell_down(c, err, text);
}

/* -- connected ------------------------------------------------------------ */

static uint64_t doubt_at(const struct control *c)
{
	return c->pinged_us +
	       (c->rtt_us != 0 ? DOUBT_US + 2 * c->rtt_us : DOUBT_FIRST_US);
}

/* Sets the timer for what is next; a byte that comes earlier does not move it,
 * for then it looks again. */
static void control_beat(struct control *c)
{
	const uint64_t now = loop_now_us(c->loop);
	uint64_t at = c->heard_us + RELAY_PING_MS * 1000;

	if (c->pinged_us != 0)
		at = c->is_doubted ? c->ping_by_us
				   : MIN(c->ping_by_us, doubt_at(c));
	timer_start(c->beat, at > now ? (at - now + 999) / 1000 : 0);
}

static void control_ping(struct control *c, uint64_t within_us)
{
	struct relay_msg m = { .type = R_PING };

	m.number.number = ++c->ping_number;
	c->pinged_us = loop_now_us(c->loop);
	c->ping_by_us = c->pinged_us + within_us;
	control_beat(c);
	reach_send(c->chan, &m);
}

/* Until either the present connection or a new one is heard. */
static void control_dial_beside(struct control *c)
{
	c->is_doubted = true;
	c->is_refused = false;
	c->down_us = loop_now_us(c->loop);
	timer_start(c->dial, 0);
	control_beat(c);
}

static void on_beat(void *user)
{
	struct control *c = user;
	const uint64_t now = loop_now_us(c->loop);

	if (c->pinged_us != 0 && now >= c->ping_by_us)
		control_lose(c, RW_ERR_TIMEOUT,
			     "the relay does not answer any more");
	else if (c->pinged_us == 0 && now >= c->heard_us + RELAY_PING_MS * 1000)
		control_ping(c, RELAY_PONG_MS * 1000);
	else if (c->pinged_us != 0 && !c->is_doubted && now >= doubt_at(c))
		control_dial_beside(c);
	else
		control_beat(c);
}

/* Any byte: the relay is there. */
static void control_heard(struct control *c)
{
	c->heard_us = loop_now_us(c->loop);
	if (c->pinged_us != 0)
		c->rtt_us = c->heard_us - c->pinged_us;
	c->pinged_us = 0;
	if (!c->is_doubted)
		return;
	c->is_doubted = false;
	attempts_free(c);
	timer_stop(c->dial);
}

static struct request *request_find(struct control *c, uint64_t ref)
{
	list_for_each (l, &c->requests) {
		struct request *q = container_of(l, struct request, link);

		if (q->ref == ref)
			return q;
	}
	return NULL;
}

static void request_end(struct control *c, uint64_t ref, int err,
			const char *text)
{
	struct request *q = request_find(c, ref);

	if (q == NULL)
		return;
	list_del(&q->link);
	c->request_count--;
	if (q->on_done != NULL)
		q->on_done(q->user, err, text);
	free(q);
}

static void on_row(struct control *c, const struct relay_row *row)
{
	list_for_each (l, &c->requests) {
		struct request *q = container_of(l, struct request, link);

		if (q->on_row != NULL) {
			q->on_row(q->user, row);
			return;
		}
	}
}

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
		request_end(c, m->ref, err, m->text);
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
	case R_PONG: break; /* any byte has proved life already */
	case R_PING: reach_send(c->chan, &pong); break;
	case R_CALL: on_call(c, &m->call); break;
	case R_ROW: on_row(c, &m->row); break;
	case R_DONE:
	case R_END: request_end(c, m->number.number, 0, ""); break;
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

/* Those from the first-th on; the hello named the others. */
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

static void attempt_welcomed(struct attempt *a, const struct relay_welcome *w)
{
	static const struct chan_ops ops = { .on_data = on_data,
					     .on_closed = on_closed };
	struct control *c = a->control;
	const size_t named = a->named;
	struct chan *old = c->chan;

	c->chan = a->chan;
	a->chan = NULL;
	chan_set_ops(c->chan, &ops, c);
	attempts_free(c);
	timer_stop(c->dial);
	c->is_refused = c->is_doubted = false;
	c->heard_us = loop_now_us(c->loop);
	c->pinged_us = 0;
	control_beat(c);
	control_tell_lost(c, MIN(named, c->lost_count));
	c->lost_count = 0;
	control_enter(c);
	if (old != NULL) { /* it was in doubt, and the relay has dropped it */
		reach_abandon(old);
		requests_end(c, RW_ERR_OFFLINE);
	}
	if (c->ops->on_up != NULL && !c->is_stopped)
		c->ops->on_up(c->user, w->fleet, w->name, w->addr);
	control_leave(c);
}

/* -- attempts ------------------------------------------------------------- */

static size_t on_answer(struct chan *chan, const uint8_t *data, size_t len)
{
	struct attempt *a = chan_user(chan);
	struct relay_msg m;
	ssize_t n = relay_msg_read(data, len, RELAY_SIDE_RELAY, &m);

	if (n == 0)
		return 0;
	if (n > 0 && m.type == R_WELCOME) {
		attempt_welcomed(a, &m.welcome);
		return (size_t)n;
	}
	if (n > 0 && m.type == R_REFUSED)
		attempt_fail(a, relay_code_err(m.refused.code), m.refused.text);
	else
		attempt_fail(a, RW_ERR_PROTO, "the relay broke the protocol");
	return len;
}

static void on_attempt_closed(struct chan *chan, int err)
{
	struct attempt *a = chan_user(chan);

	a->chan = NULL;
	(void)err;
	attempt_fail(a, RW_ERR_TRUNCATED,
		     "the relay hung up before it answered");
}

static void on_attempt_late(void *user)
{
	attempt_fail(user, RW_ERR_TIMEOUT, "the relay does not answer");
}

static void attempt_say_hello(struct attempt *a)
{
	struct control *c = a->control;
	struct relay_msg m = { .type = R_HELLO };
	struct relay_hello *h = &m.hello;
	uint8_t lost[8 * RELAY_LOST_MAX];
	int err;

	for (size_t i = 0; i < c->lost_count; i++)
		put_be64(lost + 8 * i, c->lost[i]);
	h->version_min = h->version_max = RELAY_VERSION;
	h->purpose = RELAY_CONTROL;
	h->role = (uint8_t)c->role;
	str_copy(h->name, sizeof(h->name), c->name);
	h->incarnation = c->incarnation;
	h->lost = (struct msg_view){ lost, 8 * c->lost_count };
	h->present = MSG_BIT(R_TAG_NAME) | MSG_BIT(R_TAG_INCARNATION) |
		     MSG_BIT(R_TAG_LOST);
	a->named = c->lost_count;
	c->asking = a;
	a->asked_us = loop_now_us(c->loop);
	timer_start(a->timer, HELLO_MS);
	err = reach_send(a->chan, &m);
	if (err < 0)
		chan_close(a->chan, err);
}

static void on_reached(void *user, int err, const char *text, struct chan *chan,
		       const char *relay)
{
	static const struct chan_ops ops = { .on_data = on_answer,
					     .on_closed = on_attempt_closed };
	struct attempt *a = user;
	struct control *c = a->control;

	(void)relay;
	a->reach = NULL;
	if (err < 0) {
		attempt_fail(a, err, text);
		return;
	}
	a->chan = chan;
	chan_set_ops(chan, &ops, a);
	/* One hello at a time: the relay takes the newest of a key, and two of
	 * ours would evict each other. */
	if (c->asking != NULL &&
	    loop_now_us(c->loop) - c->asking->asked_us < STALL_US) {
		attempt_free(a);
		return;
	}
	if (c->asking != NULL)
		attempt_free(c->asking);
	attempt_say_hello(a);
}

/* Starts a fresh dial, whatever became of those before. */
static void on_dial(void *user)
{
	struct control *c = user;
	struct attempt *a;
	struct reach_params p = {
		.loop = c->loop,
		.ctx = c->ctx,
		.relays = &c->relays,
		.pin = c->relay_pin,
		.timeout_ms = ATTEMPT_MS,
	};
	size_t count = 0;

	control_schedule(c);
	list_for_each (l, &c->attempts)
		count++;
	if (count >= ATTEMPTS_MAX)
		return;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return;
	a->control = c;
	list_init(&a->link);
	if (reach_start(&p, on_reached, a, &a->reach) < 0) {
		free(a);
		return;
	}
	a->timer = timer_new(c->loop, on_attempt_late, a);
	list_push(&c->attempts, &a->link);
}

/* -- the interface -------------------------------------------------------- */

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
	c->back_off_ms = BACK_OFF_MS;
	c->down_us = loop_now_us(c->loop);
	err = reach_relays_parse(&c->relays, params->relays,
				 params->relay_count);
	if (err == 0)
		err = tls_ctx_new(params->key, TLS_CLIENT, RELAY_ALPN, &c->ctx);
	if (err < 0) {
		free(c);
		return err;
	}
	c->dial = timer_new(c->loop, on_dial, c);
	c->beat = timer_new(c->loop, on_beat, c);
	timer_start(c->dial, 0);
	*ret = c;
	return 0;
}

void control_stop(struct control *c)
{
	control_enter(c);
	c->is_stopped = true;
	attempts_free(c);
	reach_abandon(c->chan);
	c->chan = NULL;
	timer_free(c->dial);
	timer_free(c->beat);
	tls_ctx_free(c->ctx);
	requests_end(c, RW_ERR_CANCELLED);
	control_leave(c);
}

void control_report(const struct control *c, struct control_report *ret)
{
	const uint64_t now = loop_now_us(c->loop);
	const uint64_t silent = now - MIN(now, c->heard_us);

	*ret = (struct control_report){
		.is_up = c->chan != NULL &&
			 silent <= (RELAY_PING_MS + RELAY_PONG_MS + 1000) *
					   (uint64_t)1000,
		.heard_ms = c->heard_us != 0 ? silent / 1000 : UINT64_MAX,
		.rtt_us = c->rtt_us,
		.next_ms = UINT64_MAX,
	};
	if (c->chan == NULL && !c->is_final && c->next_us > now)
		ret->next_ms = (c->next_us - now) / 1000;
}

bool control_is_up(const struct control *c)
{
	return c->chan != NULL;
}

void control_kick(struct control *c)
{
	const uint64_t by = loop_now_us(c->loop) + KICK_US;

	if (c->chan != NULL && c->pinged_us == 0) {
		control_ping(c, KICK_US);
		return;
	}
	/* A deadline that is near stays; one that passed while the process was
	 * stopped is given anew. */
	if (c->chan != NULL) {
		if (c->ping_by_us > by || c->ping_by_us < by - KICK_US)
			c->ping_by_us = by;
		control_beat(c);
		return;
	}
	c->is_final = false;
	c->is_refused = false;
	c->down_us = loop_now_us(c->loop);
	c->back_off_ms = BACK_OFF_MS;
	timer_start(c->dial, 0);
}

void control_doubt(struct control *c)
{
	if (c->chan != NULL && c->pinged_us == 0)
		control_ping(c, RELAY_PONG_MS * 1000);
}

static int control_ask(struct control *c, struct relay_msg *m, uint64_t *ref,
		       const struct request *what)
{
	struct request *q;
	int err;

	if (c->chan == NULL)
		return RW_ERR_OFFLINE;
	if (c->request_count >= REQUESTS_MAX)
		return RW_ERR_LIMIT;
	q = malloc(sizeof(*q));
	if (q == NULL)
		return RW_ERR_NOMEM;
	*q = *what;
	q->ref = *ref = ++c->last_ref;
	err = reach_send(c->chan, m);
	if (err < 0) {
		free(q);
		return err == RW_ERR_NOMEM ? err : RW_ERR_OFFLINE;
	}
	list_push(&c->requests, &q->link);
	c->request_count++;
	return 0;
}

int control_put_invite(struct control *c, const struct control_invite *invite,
		       control_on_done *on_done, void *user)
{
	struct relay_msg m = { .type = R_INVITE };
	struct request q = { .on_done = on_done, .user = user };

	memcpy(m.invite.hash, invite->hash, RELAY_SECRET_LEN);
	memcpy(m.invite.invite_id, invite->invite_id, RELAY_ID_LEN);
	m.invite.role = (uint8_t)invite->role;
	m.invite.ttl = invite->ttl_s;
	m.invite.uses = invite->uses;
	return control_ask(c, &m, &m.invite.ref, &q);
}

int control_drop_device(struct control *c, const struct pin *pin,
			control_on_done *on_done, void *user)
{
	struct relay_msg m = { .type = R_DROP };
	struct request q = { .on_done = on_done, .user = user };

	m.drop.pin = *pin;
	return control_ask(c, &m, &m.drop.ref, &q);
}

int control_admit(struct control *c, const struct pin *pin, const char *name,
		  control_on_done *on_done, void *user)
{
	struct relay_msg m = { .type = R_ADMIT };
	struct request q = { .on_done = on_done, .user = user };

	m.admit.pin = *pin;
	relay_text_copy(m.admit.name, sizeof(m.admit.name), name);
	return control_ask(c, &m, &m.admit.ref, &q);
}

int control_list(struct control *c, control_on_row *row,
		 control_on_done *on_done, void *user)
{
	struct relay_msg m = { .type = R_LIST };
	struct request q = { .on_row = row, .on_done = on_done, .user = user };

	return control_ask(c, &m, &m.number.number, &q);
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
		memmove(c->lost, c->lost + 1,
			sizeof(c->lost) - sizeof(c->lost[0]));
		c->lost_count--;
	}
	c->lost[c->lost_count++] = rendezvous;
	/* It stays in the list: this connection may be as dead. */
	if (c->chan != NULL)
		control_tell_lost(c, c->lost_count - 1);
}
