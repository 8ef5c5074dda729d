/* SPDX-License-Identifier: MIT */
/* One connection to the relay: who is there, and what it may ask. Over 500
 * lines because every message is judged against the state that its greeting
 * set. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "net/moment.h"
#include "net/sockaddr.h"
#include "relay/relay_local.h"

/* What a device does not take for so long, its path being gone, ends the
 * connection: else a wish stands in line for the quarter of an hour that TCP
 * takes to give up, and its rig is called for nobody. */
#define DEAD_MS 10000

/* Takes c out of every table; only its chan is left. */
static void conn_leave(struct conn *c)
{
	meet_leave(c);
	if (c->state == CONN_CONTROL && c->self != NULL &&
	    c->self->control == c) {
		c->self->control = NULL;
		c->self->since = moment_now();
		log_info("device %s is gone", c->addr);
	}
	presence_left(c);
	newcomer_leave(c);
	list_del(&c->silent);
	c->self = NULL;
	c->state = CONN_CLOSING;
	timer_free(c->timer);
	c->timer = NULL;
}

static void conn_free(struct conn *c)
{
	struct relay *r = c->relay;

	conn_leave(c);
	if (c->is_unproven)
		strangers_leave(&r->strangers, c->stranger);
	list_del(&c->link);
	r->conn_count--;
	free(c);
	relay_conn_gone(r);
}

void conn_detached(struct conn *c)
{
	conn_free(c);
}

int conn_send(struct conn *c, const struct relay_msg *m)
{
	uint8_t frame[RELAY_FRAME_MAX];
	int err = chan_write(c->chan, frame, relay_msg_write(m, frame));

	if (err == 0)
		chan_flush(c->chan);
	if (err == 0 &&
	    chan_queued(c->chan) > c->relay->settings->max_queued_bytes)
		err = RW_ERR_LIMIT;
	return err;
}

void conn_drop(struct conn *c, int err)
{
	conn_leave(c);
	chan_close(c->chan, err != 0 ? err : RW_ERR_CLOSING);
}

void conn_cut(struct conn *c, int err)
{
	conn_leave(c);
	chan_abort(c->chan, err);
}

void conn_refuse(struct conn *c, int err, const char *text)
{
	struct relay_msg m = { .type = R_REFUSED };

	log_debug("%s: refused: %s", c->addr, text);
	conn_leave(c);
	m.refused.code = relay_code(err);
	relay_text_copy(m.refused.text, sizeof(m.refused.text), text);
	if (conn_send(c, &m) < 0)
		chan_close(c->chan, err);
	else
		chan_finish(c->chan, err);
}

/* -- requests on a control connection ------------------------------------- */

static void control_reply(struct conn *c, uint64_t ref, int err,
			  const char *text)
{
	struct relay_msg m = { .type = R_DONE, .number.number = ref };

	if (err < 0) {
		m = (struct relay_msg){ .type = R_REFUSED };
		m.refused.code = relay_code(err);
		relay_text_copy(m.refused.text, sizeof(m.refused.text), text);
		m.refused.ref = ref;
		m.refused.present = MSG_BIT(R_TAG_REF);
	}
	err = conn_send(c, &m);
	if (err < 0)
		conn_drop(c, err);
}

/* Whether the device may change the state once more now. */
static bool presence_may_write(struct relay *r, struct presence *p)
{
	uint64_t now_us = loop_now_us(r->loop);
	uint64_t more = (now_us - p->writes_us) / 1000000;

	if (more > 0) {
		p->writes = (unsigned)MIN(p->writes + more,
					  (uint64_t)r->settings->max_changes);
		p->writes_us = now_us;
	}
	if (p->writes == 0)
		return false;
	p->writes--;
	return true;
}

static const char too_many[] = "too many changes; wait a minute";

static void on_invite(struct conn *c, const struct relay_invite *m)
{
	struct device *d = book_find_device(c->relay->book, &c->self->pin);
	char text[BOOK_TEXT_CAP] = "";
	struct invite_params p = {
		.id = m->invite_id,
		.hash = m->hash,
		.role = (enum relay_role)m->role,
		.issuer = c->self->pin,
		.now = relay_now_s(),
		.ttl_s = m->ttl,
		.uses = m->uses,
	};

	while (d != NULL && d->role != RELAY_RIG)
		d = d->next;
	if (d == NULL || m->role != RELAY_CLIENT) {
		control_reply(c, m->ref, RW_ERR_NOT_ALLOWED,
			      "only a rig may invite here, and only laptops");
		return;
	}
	p.fleet = d->fleet;
	control_reply(c, m->ref, book_invite(c->relay->book, &p, text), text);
}

/* It hears that it is forgotten, and then that it was cut off. */
static void on_leave(struct conn *c, uint64_t ref)
{
	const struct pin rig = c->self->pin;
	struct relay *r = c->relay;
	char who[PIN_SHORT_LEN + 1];
	int err = book_leave(r->book, &rig);
	const bool gone = book_find_device(r->book, &rig) == NULL;

	if (err == 0)
		log_info("%s: the rig %s left", c->addr, pin_short(&rig, who));
	control_reply(c, ref, err,
		      err < 0 ? "the relay cannot write its state" : "");
	if (err == 0 && gone)
		meet_cut(r, &rig, NULL, false);
}

/* The rig ends the removed device's session itself, and says why: that must
 * arrive, so nothing is cut under it. */
static void on_drop(struct conn *c, const struct relay_drop *m)
{
	struct relay *r = c->relay;
	bool gone;
	int err;

	if (pin_eq(&m->pin, &c->self->pin)) {
		on_leave(c, m->ref);
		return;
	}
	err = book_drop(r->book, &c->self->pin, &m->pin);
	gone = book_find_device(r->book, &m->pin) == NULL;
	if (err == 0)
		meet_cut(r, &m->pin, gone ? NULL : &c->self->pin, false);
	control_reply(c, m->ref, err,
		      err < 0 ? "the relay cannot write its state" : "");
}

/* One of the rig's own devices may ask for it here, too. Said again at each
 * start of the rig, so it must cost nothing. */
static void on_admit(struct conn *c, const struct relay_admit *m)
{
	struct relay *r = c->relay;
	char text[BOOK_TEXT_CAP] = "";
	const struct voucher v = {
		.rig = c->self->pin,
		.pin = m->pin,
		.name = m->name,
		.now = relay_now_s(),
	};

	if (book_is_vouched(r->book, &v)) {
		control_reply(c, m->ref, 0, "");
		return;
	}
	if (!presence_may_write(r, c->self)) {
		control_reply(c, m->ref, RW_ERR_LIMIT, too_many);
		return;
	}
	control_reply(c, m->ref, book_vouch(r->book, &v, text), text);
}

static void row_fill(struct relay *r, const struct device *d,
		     struct relay_row *row)
{
	struct relay_presence p;

	relay_presence(r, d, &p);
	row->pin = d->pin;
	row->role = (uint8_t)d->role;
	row->online = p.state == RELAY_ONLINE;
	row->since = (uint64_t)moment_unix(p.since);
	relay_text_copy(row->name, sizeof(row->name), d->name);
	str_copy(row->addr, sizeof(row->addr), p.addr);
}

/* All devices of the fleets that c's key is in, then R_END. */
static int conn_list(struct conn *c, uint64_t ref)
{
	struct relay *r = c->relay;
	struct device *me = book_find_device(r->book, &c->self->pin);
	struct relay_msg m = { .type = R_ROW };
	uint8_t frame[RELAY_FRAME_MAX];
	int err = 0;

	presences_tally(r, false);
	for (; me != NULL && err == 0; me = me->next)
		list_for_each (l, &me->fleet->devices) {
			row_fill(r, container_of(l, struct device, link),
				 &m.row);
			err = chan_write(c->chan, frame,
					 relay_msg_write(&m, frame));
			if (err == 0 && chan_queued(c->chan) > CONN_QUEUE_LIST)
				chan_flush(c->chan);
			if (err == 0 && chan_queued(c->chan) >
						r->settings->max_queued_bytes)
				err = RW_ERR_LIMIT;
			if (err < 0)
				break;
		}
	m = (struct relay_msg){ .type = R_END, .number.number = ref };
	return err < 0 ? err : conn_send(c, &m);
}

static void on_list(struct conn *c, uint64_t ref)
{
	int err;

	if (chan_queued(c->chan) > CONN_QUEUE_LIST) {
		control_reply(c, ref, RW_ERR_LIMIT,
			      "an earlier answer was not read yet");
		return;
	}
	err = conn_list(c, ref);
	if (err < 0)
		conn_drop(c, err);
}

static void control_take(struct conn *c, const struct relay_msg *m)
{
	struct relay_msg pong = { .type = R_PONG, .number = m->number };
	uint64_t ref = m->type == R_INVITE ? m->invite.ref : m->drop.ref;

	presence_heard(c);
	switch (m->type) {
	case R_PING:
		if (conn_send(c, &pong) < 0)
			conn_drop(c, RW_ERR_LIMIT);
		break;
	case R_PONG: break;
	case R_LIST: on_list(c, m->number.number); break;
	case R_LOST: meet_lost(c, &m->lost.lost); break;
	case R_DECLINE: meet_decline(c, &m->decline); break;
	case R_INVITE:
	case R_DROP:
		if (!presence_may_write(c->relay, c->self))
			control_reply(c, ref, RW_ERR_LIMIT, too_many);
		else if (m->type == R_INVITE)
			on_invite(c, &m->invite);
		else
			on_drop(c, &m->drop);
		break;
	case R_ADMIT: on_admit(c, &m->admit); break;
	default: conn_drop(c, RW_ERR_PROTO);
	}
}

/* -- the first message ---------------------------------------------------- */

static int conn_welcome(struct conn *c, const struct fleet *f)
{
	struct relay_msg m = { .type = R_WELCOME };
	struct relay_welcome *w = &m.welcome;

	w->version = RELAY_VERSION;
	w->incarnation = c->relay->incarnation;
	relay_text_copy(w->name, sizeof(w->name), c->relay->params.name);
	str_copy(w->fleet, sizeof(w->fleet), f->name);
	str_copy(w->addr, sizeof(w->addr), c->addr);
	return conn_send(c, &m);
}

static void conn_proven(struct conn *c)
{
	if (c->is_unproven)
		strangers_leave(&c->relay->strangers, c->stranger);
	c->is_unproven = false;
}

static void hello_redeem(struct conn *c, const struct relay_hello *h)
{
	struct relay *r = c->relay;
	uint64_t now = loop_now_us(r->loop);
	const struct pin *pin = chan_peer_pin(c->chan);
	char text[BOOK_TEXT_CAP] = "", who[PIN_SHORT_LEN + 1];
	struct redeem_try t = {
		.secret = h->secret,
		.pin = *pin,
		.role = (enum relay_role)h->role,
		.name = h->name[0] != '\0' ? h->name : pin_short(pin, who),
		.now = relay_now_s(),
	};
	struct fleet *f;
	int err;

	if (!strangers_may_guess(&r->strangers, c->stranger, now)) {
		conn_refuse(c, RW_ERR_LIMIT,
			    "too many wrong codes came from your address; try "
			    "again in a minute");
		return;
	}
	err = book_redeem(r->book, &t, &f, text);
	if (err == RW_ERR_NOT_FOUND)
		strangers_guessed(&r->strangers, c->stranger, now);
	if (err < 0) {
		log_info("%s: a code was refused: %s", c->addr, text);
		conn_refuse(c, err, text);
		return;
	}
	conn_proven(c);
	pin_short(pin, who);
	log_info("%s: %s %s (%s) joined group %s", c->addr,
		 t.role == RELAY_RIG ? "rig" : "laptop", t.name, who, f->name);
	err = conn_welcome(c, f);
	conn_leave(c);
	if (err < 0)
		chan_close(c->chan, err);
	else
		chan_finish(c->chan, 0);
}

/* The newest control connection of a key is the one: the others are from a
 * process that is gone, or from a path that is dead. */
static void control_take_over(struct conn *c, uint64_t incarnation)
{
	struct conn *old = c->self->control;

	if (old == NULL)
		return;
	if (old->incarnation != incarnation)
		conn_refuse(old, RW_ERR_REPLACED,
			    "another process with this key took over");
	else
		conn_drop(old, RW_ERR_REPLACED);
}

static void hello_control(struct conn *c, const struct relay_hello *h,
			  const struct device *d)
{
	struct relay *r = c->relay;

	control_take_over(c, h->incarnation);
	if (c->self->incarnation != 0 && c->self->incarnation != h->incarnation)
		meet_restarted(c->self, r);
	c->state = CONN_CONTROL;
	c->incarnation = c->self->incarnation = h->incarnation;
	c->self->control = c;
	c->self->since = moment_now();
	str_copy(c->self->addr, sizeof(c->self->addr), c->addr);
	timer_free(c->timer);
	c->timer = NULL;
	presence_heard(c);
	if (h->name[0] != '\0' && strcmp(h->name, d->name) != 0 &&
	    presence_may_write(r, c->self))
		book_rename(r->book, &d->pin, h->name);
	log_info("%s: %s %s of group %s is here", c->addr,
		 d->role == RELAY_RIG ? "rig" : "laptop", d->name,
		 d->fleet->name);
	if (conn_welcome(c, d->fleet) < 0) {
		conn_drop(c, RW_ERR_NOMEM);
		return;
	}
	meet_lost(c, &h->lost);
	wishes_rig_came(c->self);
}

static void hello_judge(struct conn *c, const struct relay_hello *h)
{
	struct relay *r = c->relay;
	const struct pin *pin = chan_peer_pin(c->chan);
	struct device *d = book_find_device(r->book, pin);

	newcomer_leave(c);
	if (h->version_min > RELAY_VERSION || h->version_max < RELAY_VERSION) {
		conn_refuse(c, RW_ERR_VERSION,
			    "the relay speaks another version of the protocol");
		return;
	}
	if (h->purpose == RELAY_REDEEM) {
		hello_redeem(c, h);
		return;
	}
	if (d == NULL) {
		conn_refuse(
			c, RW_ERR_NOT_ALLOWED,
			"the relay does not know this machine's key (it was "
			"removed, or never joined); join with a new code");
		return;
	}
	conn_proven(c);
	c->self = relay_present(r, pin);
	if (c->self == NULL) {
		conn_drop(c, RW_ERR_NOMEM);
		return;
	}
	switch (h->purpose) {
	case RELAY_CONTROL: hello_control(c, h, d); break;
	case RELAY_WISH: wish_enter(c, h); break;
	case RELAY_ANSWER: meet_answer(c, h); break;
	default: /* RELAY_LIST */
		if (conn_list(c, 0) < 0) {
			conn_drop(c, RW_ERR_NOMEM);
			return;
		}
		conn_leave(c);
		chan_finish(c->chan, 0);
	}
}

/* -- the chan's callbacks ------------------------------------------------- */

static size_t on_data(struct chan *chan, const uint8_t *data, size_t len)
{
	struct conn *c = chan_user(chan);
	size_t taken = 0;

	while (c->state == CONN_GREETING || c->state == CONN_CONTROL) {
		struct relay_msg m;
		ssize_t n = relay_msg_read(data + taken, len - taken,
					   RELAY_SIDE_DEVICE, &m);
		bool greets = c->state == CONN_GREETING;

		if (n == 0)
			return taken;
		if (n < 0 || (m.type == R_HELLO) != greets) {
			log_debug("%s: broke the protocol", c->addr);
			conn_drop(c, RW_ERR_PROTO);
			return len;
		}
		taken += (size_t)n;
		if (greets)
			hello_judge(c, &m.hello);
		else
			control_take(c, &m);
	}
	/* Not a byte between a wish and READY: it would be lost, or end up
	 * before the inner handshake. */
	if (taken < len &&
	    (c->state == CONN_WISHING || c->state == CONN_READYING))
		conn_drop(c, RW_ERR_PROTO);
	return len;
}

static void on_room(struct chan *chan)
{
	struct conn *c = chan_user(chan);

	if (c->state == CONN_READYING)
		flusher_mark(c->relay->ready);
}

static void on_closed(struct chan *chan, int err)
{
	struct conn *c = chan_user(chan);

	log_debug("%s: closed: %s", c->addr,
		  err == 0 ? "by the device" : err_text(err));
	conn_free(c);
}

static void on_timer(void *user)
{
	struct conn *c = user;

	switch (c->state) {
	case CONN_GREETING:
		if (chan_is_up(c->chan))
			conn_refuse(c, RW_ERR_TIMEOUT,
				    "nothing was said in time");
		else
			conn_drop(c, RW_ERR_TIMEOUT);
		break;
	case CONN_WISHING:
	case CONN_READYING: meet_on_timer(c); break;
	case CONN_CONTROL:
	case CONN_CLOSING: break; /* have none */
	}
}

/* Of a stranger who was let in by that key; NULL: no memory. */
static struct conn *conn_new(struct relay *r, uint64_t key,
			     const struct sockaddr_storage *peer)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->relay = r;
	c->stranger = key;
	c->is_unproven = true;
	list_init(&c->link);
	list_init(&c->in_line);
	list_init(&c->newcomer);
	list_init(&c->silent);
	sockaddr_text((const struct sockaddr *)peer, c->addr, sizeof(c->addr));
	return c;
}

void conn_open(struct relay *r, int fd, const struct sockaddr_storage *peer)
{
	static const struct chan_ops ops = { .on_data = on_data,
					     .on_room = on_room,
					     .on_closed = on_closed };
	uint64_t key = strangers_key(peer);
	struct conn *c;
	int err;

	if (r->conn_count + 2 * r->pair_count >=
		    (size_t)r->settings->max_connections ||
	    !strangers_enter(&r->strangers, key)) {
		r->refused_at_door++;
		close(fd);
		return;
	}
	c = conn_new(r, key, peer);
	if (c == NULL) {
		close(fd);
		strangers_leave(&r->strangers, key);
		return;
	}
	err = chan_open_fd(r->loop, fd, &ops, c, &c->chan);
	if (err < 0) {
		log_debug("%s: %s", c->addr, err_text(err));
		strangers_leave(&r->strangers, key);
		free(c);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
			 &(unsigned){ DEAD_MS }, sizeof(unsigned));
	c->timer = timer_new(r->loop, on_timer, c);
	list_push(&r->conns, &c->link);
	r->conn_count++;
	timer_start(c->timer, r->settings->handshake_timeout_ms);
	newcomer_enter(c);
	err = chan_start_tls(c->chan, r->ctx, NULL);
	if (err < 0)
		conn_drop(c, err);
}
