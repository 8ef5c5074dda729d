/* SPDX-License-Identifier: MIT */
#include "carrier/control_local.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "crypto/hash.h"

#define ATTEMPT_MS   10000
#define ATTEMPTS_MAX (ATTEMPT_MS / BACKOFF_EAGER_MS) /* at once */
#define HELLO_MS     4000
#define PATIENCE_US  2000000 /* for one that the relay has and is silent on */
#define STALL_US     1000000 /* a hello unanswered this long is overtaken */

/* One try to connect: reach is set while it dials, chan afterwards. */
struct attempt {
	struct list link; /* in control.attempts */
	struct control *control;
	struct reach *reach;
	struct chan *chan;
	struct timer *timer; /* from hello to welcome */
	uint64_t asked_us;   /* when its hello went out; 0 not yet */
	size_t named;	     /* of control.lost, in its hello */
	bool is_doubted;     /* it may run on a path that is gone */
};

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

void control_attempts_free(struct control *c)
{
	struct list *l;

	while ((l = list_first(&c->attempts)) != NULL)
		attempt_free(container_of(l, struct attempt, link));
}

void control_attempts_doubt(struct control *c)
{
	list_for_each (l, &c->attempts)
		container_of(l, struct attempt, link)->is_doubted = true;
}

void control_outage(struct control *c)
{
	backoff_reset(&c->backoff, loop_now_us(c->loop));
}

/* Starts the timer of the next dial. */
static void control_schedule(struct control *c)
{
	const uint64_t now = loop_now_us(c->loop);
	const uint64_t ms = backoff_next(&c->backoff, now, random_u64());

	c->next_us = now + ms * 1000;
	timer_start(c->dial, ms);
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
		backoff_slow(&c->backoff);
		control_schedule(c);
	}
	control_tell_down(c, err, text);
}

static size_t on_answer(struct chan *chan, const uint8_t *data, size_t len)
{
	struct attempt *a = chan_user(chan);
	struct relay_msg m;
	ssize_t n = relay_msg_read(data, len, RELAY_SIDE_RELAY, &m);

	if (n == 0)
		return 0;
	if (n > 0 && m.type == R_WELCOME) {
		a->chan = NULL;
		control_welcome(a->control, chan, &m.welcome, a->named);
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

/* Its hello may be lost, and another one overtakes it. */
static bool is_stalled(const struct attempt *a)
{
	return a->is_doubted ||
	       (loop_now_us(a->control->loop) - a->asked_us >= STALL_US &&
		!chan_is_acked(a->chan));
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
	if (c->asking != NULL && !is_stalled(c->asking)) {
		attempt_free(a);
		return;
	}
	if (c->asking != NULL)
		attempt_free(c->asking);
	attempt_say_hello(a);
}

/* The relay has it before it. */
static bool attempt_is_heard(const struct attempt *a)
{
	if (a->is_doubted)
		return false;
	if (a->chan == NULL)
		return reach_is_heard(a->reach);
	return loop_now_us(a->control->loop) < a->asked_us + PATIENCE_US &&
	       chan_is_acked(a->chan);
}

/* One of them waits for a relay that is there and busy. */
static bool control_is_heard(const struct control *c)
{
	list_for_each (l, &c->attempts)
		if (attempt_is_heard(container_of(l, struct attempt, link)))
			return true;
	return false;
}

/* Starts a fresh dial, whatever became of those before; but not while the relay
 * has one of them before it and just does not get to it. */
void control_on_dial(void *user)
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
	if (count >= ATTEMPTS_MAX || control_is_heard(c))
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
