/* SPDX-License-Identifier: MIT */
/* Who wants a rig: in its line, and the rig called. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "crypto/hash.h"
#include "net/moment.h"
#include "relay/relay_local.h"

/* A number is good for RELAY_CALL_MS; its timer may be early by this little. */
#define CALL_US (RELAY_CALL_MS * 1000ULL - 2000)
/* A rig has given an answer up by then that is not through to us. */
#define ANSWER_US 19000000

static void wish_uncall(struct conn *c)
{
	if (c->rendezvous != 0)
		map_del(&c->relay->calls, c->rendezvous);
	c->rendezvous = 0;
}

void wish_leave(struct conn *c)
{
	wish_uncall(c);
	if (c->rig == NULL)
		return;
	list_del(&c->in_line);
	c->rig = NULL;
	c->self->waiting--;
}

/* Says that c waits, called or not. */
static void wish_stand_in_line(struct conn *c)
{
	struct relay_msg m = { .type = R_WAITING };

	m.waiting.since = (uint64_t)moment_unix(c->rig->since);
	m.waiting.online = c->rig->control != NULL;
	c->is_told = true;
	timer_start(c->timer, RELAY_WAITING_MS);
	if (conn_send(c, &m) < 0)
		conn_drop(c, RW_ERR_LIMIT);
}

/* The rig was called, and its answer may stand in our own lobby: c is to hear
 * of us, not to wish again, and the number stays good. */
static bool wish_waits_for_us(const struct conn *c)
{
	return c->waits && c->rendezvous != 0 && c->rig->control != NULL &&
	       c->relay->lobby.count > 0;
}

/* Whether the number of c, which waits, is to be kept: an answer that left our
 * lobby is in its handshake for a while yet. */
static bool wish_is_good(struct conn *c)
{
	const uint64_t now = loop_now_us(c->relay->loop);

	if (wish_waits_for_us(c))
		c->good_us = MIN(now + CALL_US, c->called_us + ANSWER_US);
	return c->waits && c->rendezvous != 0 && c->rig->control != NULL &&
	       now < c->good_us;
}

/* Its answer would be here, if it still came. */
static bool wish_is_stale(const struct conn *c)
{
	return loop_now_us(c->relay->loop) >= c->called_us + ANSWER_US;
}

/* Tells the rig of c. Who was told that he waits goes on to hear it, called or
 * not. */
static void wish_call(struct conn *c)
{
	struct relay *r = c->relay;
	struct conn *control = c->rig->control;
	struct relay_msg m = { .type = R_CALL };

	wish_uncall(c);
	do
		c->rendezvous = random_u64();
	while (c->rendezvous == 0 ||
	       map_get(&r->calls, c->rendezvous) != NULL ||
	       map_get(&r->met, c->rendezvous) != NULL);
	if (map_put(&r->calls, c->rendezvous, c) < 0) {
		c->rendezvous = 0;
		conn_drop(c, RW_ERR_NOMEM);
		return;
	}
	c->called_us = loop_now_us(r->loop);
	c->good_us = c->called_us + CALL_US;
	if (!c->is_told)
		timer_start(c->timer, RELAY_CALL_MS);
	m.call.rendezvous = c->rendezvous;
	m.call.client = c->self->pin;
	str_copy(m.call.addr, sizeof(m.call.addr), c->addr);
	if (c->has_invite_id) {
		memcpy(m.call.invite_id, c->invite_id, RELAY_ID_LEN);
		m.call.present = MSG_BIT(R_TAG_INVITE_ID);
	}
	/* A rig that does not read its calls is as good as away. */
	if (conn_send(control, &m) < 0)
		conn_drop(control, RW_ERR_LIMIT);
	if (!timer_is_running(c->timer) || wish_waits_for_us(c))
		wish_stand_in_line(c);
}

static void wish_refuse_absent(struct conn *c)
{
	char text[RELAY_TEXT_MAX], when[FORMAT_CAP];

	if (c->rig->since > 0)
		snprintf(text, sizeof(text),
			 "the rig has not been connected since %s",
			 format_time(moment_unix(c->rig->since), when));
	else
		snprintf(text, sizeof(text),
			 "the rig has not been connected since the relay "
			 "started");
	conn_refuse(c, RW_ERR_OFFLINE, text);
}

bool wish_is_too_much(const struct relay *r, const struct fleet *f)
{
	return f->use.pairs + f->meeting >= (size_t)r->settings->max_pairs;
}

void wish_refuse_full(struct conn *wish)
{
	conn_refuse(wish, RW_ERR_LIMIT,
		    "the group has as many connections as the relay allows "
		    "(relay.max_pairs)");
}

void wish_enter(struct conn *c, const struct relay_hello *h)
{
	struct relay *r = c->relay;
	struct fleet *f = book_common(r->book, &c->self->pin, &h->rig);
	struct presence *rig;

	if (f == NULL) {
		conn_refuse(c, RW_ERR_NOT_FOUND,
			    "the relay knows no such rig for this machine (one "
			    "of the two was removed, or never joined)");
		return;
	}
	if (c->self->waiting >= (unsigned)r->settings->max_waiting) {
		conn_refuse(c, RW_ERR_LIMIT,
			    "too many connections of this machine wait at the "
			    "relay (relay.max_waiting)");
		return;
	}
	if (wish_is_too_much(r, f)) {
		wish_refuse_full(c);
		return;
	}
	rig = relay_present(r, &h->rig);
	if (rig == NULL) {
		conn_drop(c, RW_ERR_NOMEM);
		return;
	}
	c->state = CONN_WISHING;
	c->fleet = f;
	c->rig = rig;
	c->waits = h->wait != 0;
	c->has_invite_id = MSG_HAS(h, R_TAG_INVITE_ID);
	memcpy(c->invite_id, h->invite_id, RELAY_ID_LEN);
	c->self->waiting++;
	list_push(&rig->line, &c->in_line);
	if (rig->control != NULL)
		wish_call(c);
	else if (c->waits)
		wish_stand_in_line(c);
	else
		wish_refuse_absent(c);
}

void wishes_rig_came(struct presence *rig)
{
	list_for_each_safe (l, &rig->line) {
		struct conn *c = container_of(l, struct conn, in_line);

		if (rig->control == NULL)
			return;
		wish_call(c);
	}
}

void wish_on_timer(struct conn *c)
{
	bool was_called = c->rendezvous != 0;

	if (wish_is_good(c)) {
		wish_stand_in_line(c);
		return;
	}
	wish_uncall(c);
	if (was_called && !c->waits && c->rig->control != NULL) {
		conn_refuse(c, RW_ERR_TIMEOUT,
			    "the rig is connected to the relay but does not "
			    "answer");
	} else if (!c->waits) {
		wish_refuse_absent(c);
	} else if (c->rig->control != NULL &&
		   (!was_called || wish_is_stale(c))) {
		wish_call(c);
	} else {
		wish_stand_in_line(c);
	}
}
