/* SPDX-License-Identifier: MIT */
/*
 * A relay and its devices in one process, over real sockets and real TLS, for
 * test_relay.c and test_relay_limits.c. No sleeps: the loop runs until what is
 * awaited is there.
 */
#pragma once
#include "until.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "carrier/control.h"
#include "carrier/reach.h"
#include "carrier/relayed.h"
#include "config/settings.h"
#include "net/chan.h"
#include "net/dial.h"
#include "relay/desk.h"
#include "relay/relay.h"
#include "relay/relay_local.h"

#define WAIT_MS 10000

/* -- the world: a relay in a folder of its own, and a loop ----------------- */

struct world {
	uv_loop_t loop;
	struct settings settings;
	struct key *key;
	struct book *book;
	struct relay *relay;
	struct desk desk;
	char dir[64];
	char at[HOSTPORT_CAP];
	const char *relays[1];
	struct guard guard;
};

/* Runs the loop until cond holds; fails the test after WAIT_MS. */
#define until(w, cond)                                                         \
	until_by(&(w)->guard, WAIT_MS, cond, uv_run(&(w)->loop, UV_RUN_ONCE))

static inline void world_start_relay(struct world *w, uint16_t port)
{
	const struct settings_relay *s = &w->settings.relay;
	const struct book_limits limits = {
		.fleets = (size_t)s->max_fleets,
		.devices = (size_t)s->max_devices,
		.invites = (size_t)s->max_invites,
	};
	char listen[64], *err;

	snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
	assert_int_equal(
		settings_set(&w->settings, "relay.listen", listen, &err), 0);
	assert_int_equal(book_open(w->dir, &limits, &w->book, &err), 0);

	const struct relay_params p = {
		.loop = &w->loop,
		.settings = s,
		.key = w->key,
		.book = w->book,
		.name = "test",
	};

	assert_int_equal(relay_new(&p, &w->relay, &err), 0);
	w->desk = (struct desk){ .book = w->book,
				 .key = w->key,
				 .relay = w->relay };
	assert_int_equal(
		place_find(s, relay_port(w->relay), &w->desk.place, &err), 0);
	snprintf(w->at, sizeof(w->at), "127.0.0.1:%u", relay_port(w->relay));
	w->relays[0] = w->at;
}

static inline void world_open(struct world *w)
{
	memset(w, 0, sizeof(*w));
	assert_int_equal(loop_init(&w->loop), 0);
	settings_init(&w->settings);
	strcpy(w->dir, "/tmp/rigway-test-relay-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(key_generate(&w->key), 0);
	guard_init(&w->guard, &w->loop);
}

static inline void world_stop_relay(struct world *w)
{
	relay_free(w->relay);
	book_free(w->book);
	desk_done(&w->desk);
}

static inline void world_close(struct world *w)
{
	static const char *const files[] = { "fleets", "devices", "invites",
					     "barred" };

	world_stop_relay(w);
	timer_free(w->guard.timer);
	loop_run_close(&w->loop);
	key_free(w->key);
	settings_done(&w->settings);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char *path = xasprintf("%s/%s", w->dir, files[i]);

		unlink(path);
		free(path);
	}
	rmdir(w->dir);
}

/* A connection that has shown no admitted key: plain TCP, silent. */
static inline int knock(struct world *w)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(relay_port(w->relay)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

/* -- a device -------------------------------------------------------------- */

struct dev {
	struct world *w;
	struct key *key;
	struct control *control;
	unsigned ups, downs;
	int down_err, first_down_err;
	char down_text[RELAY_TEXT_MAX];
	uint64_t down_next_ms;
	unsigned calls;
	struct control_call call;
	bool answers; /* calls, with relayed_start() */
	struct relayed *relayed;
	struct chan *chan; /* inner, up */
	bool is_over;	   /* it has closed */
	int wish_err;
	char wish_text[RELAY_TEXT_MAX];
	unsigned waits;
	uint8_t got[256];
	size_t got_len;
	int done_err;
	unsigned dones, rows;
	char fleet[64];
};

static inline size_t dev_on_data(struct chan *c, const uint8_t *data,
				 size_t len)
{
	struct dev *d = chan_user(c);
	size_t n = MIN(len, sizeof(d->got) - d->got_len);

	memcpy(d->got + d->got_len, data, n);
	d->got_len += n;
	return len;
}

static inline void dev_on_closed(struct chan *c, int err)
{
	struct dev *d = chan_user(c);

	(void)err;
	d->chan = NULL;
	d->is_over = true;
}

static inline void dev_on_inner_up(void *user, struct chan *c,
				   const char *peer_addr)
{
	static const struct chan_ops ops = { .on_data = dev_on_data,
					     .on_closed = dev_on_closed };
	struct dev *d = user;

	assert_true(strncmp(peer_addr, "127.0.0.1:", 10) == 0);
	d->relayed = NULL;
	d->chan = c;
	chan_set_ops(c, &ops, d);
}

static inline void dev_on_failed(void *user, int err, const char *text)
{
	struct dev *d = user;

	d->relayed = NULL;
	d->wish_err = err;
	str_copy(d->wish_text, sizeof(d->wish_text), text);
}

static inline void dev_on_waiting(void *user, const char *why)
{
	(void)why;
	((struct dev *)user)->waits++;
}

static const struct relayed_ops wish_ops = { .on_waiting = dev_on_waiting,
					     .on_up = dev_on_inner_up,
					     .on_failed = dev_on_failed };

/* what, peer and what goes with them are p's. */
static inline void dev_relayed(struct dev *d, struct relayed_params p)
{
	p.loop = &d->w->loop;
	p.key = d->key;
	p.relays = d->w->relays;
	p.relay_count = 1;
	p.relay_pin = *key_pin(d->w->key);
	assert_int_equal(relayed_start(&p, &wish_ops, d, &d->relayed), 0);
}

static inline void dev_answer(struct dev *d, const struct pin *client,
			      uint64_t rendezvous)
{
	dev_relayed(d, (struct relayed_params){ .what = RELAYED_ANSWER,
						.peer = *client,
						.rendezvous = rendezvous });
}

static inline void dev_wish(struct dev *d, const struct dev *rig, bool wait)
{
	d->wish_err = 0;
	d->is_over = false;
	dev_relayed(d, (struct relayed_params){ .what = RELAYED_WISH,
						.peer = *key_pin(rig->key),
						.wait = wait });
}

static inline void dev_on_up(void *user, const char *fleet, const char *relay,
			     const char *addr)
{
	struct dev *d = user;

	assert_string_equal(relay, "test");
	assert_true(strncmp(addr, "127.0.0.1:", 10) == 0);
	str_copy(d->fleet, sizeof(d->fleet), fleet);
	d->ups++;
}

static inline void dev_on_down(void *user, int err, const char *text,
			       uint64_t next)
{
	struct dev *d = user;

	if (d->downs++ == 0)
		d->first_down_err = err;
	d->down_err = err;
	d->down_next_ms = next;
	str_copy(d->down_text, sizeof(d->down_text), text);
}

static inline void dev_on_call(void *user, const struct control_call *call)
{
	struct dev *d = user;

	d->calls++;
	d->call = *call;
	if (d->answers)
		dev_answer(d, &call->client, call->rendezvous);
}

static inline void dev_on_done(void *user, int err, const char *text)
{
	struct dev *d = user;

	(void)text;
	d->dones++;
	d->done_err = err;
}

static inline void dev_on_redeemed(void *user, int err, const char *text,
				   const char *fleet, const char *relay)
{
	struct dev *d = user;

	(void)relay;
	d->dones++;
	d->done_err = err;
	str_copy(d->wish_text, sizeof(d->wish_text), text);
	str_copy(d->fleet, sizeof(d->fleet), fleet);
}

static inline void dev_open(struct dev *d, struct world *w)
{
	memset(d, 0, sizeof(*d));
	d->w = w;
	assert_int_equal(key_generate(&d->key), 0);
}

/* Begins; whether it comes up is another question. */
static inline void dev_control_start(struct dev *d, enum relay_role role,
				     uint64_t life)
{
	static const struct control_ops ops = { .on_up = dev_on_up,
						.on_call = dev_on_call,
						.on_down = dev_on_down };
	const struct control_params p = {
		.loop = &d->w->loop,
		.key = d->key,
		.relays = d->w->relays,
		.relay_count = 1,
		.relay_pin = *key_pin(d->w->key),
		.role = role,
		.name = role == RELAY_RIG ? "desk" : "laptop",
		.incarnation = life,
	};

	assert_int_equal(control_start(&p, &ops, d, &d->control), 0);
}

static inline void dev_control(struct dev *d, enum relay_role role,
			       uint64_t life)
{
	unsigned ups = d->ups;

	dev_control_start(d, role, life);
	until(d->w, d->ups > ups);
}

static inline void dev_close(struct dev *d)
{
	if (d->control != NULL)
		control_stop(d->control);
	if (d->relayed != NULL)
		relayed_cancel(d->relayed);
	reach_abandon(d->chan);
	/* The relay must see it go, before keys are freed. */
	for (int i = 0; i < 20; i++)
		uv_run(&d->w->loop, UV_RUN_NOWAIT);
	key_free(d->key);
}

/* Redeems a code; returns how that ended. */
static inline int dev_redeem(struct dev *d, const struct code *code,
			     enum relay_role role)
{
	const struct redeem_params p = {
		.loop = &d->w->loop,
		.key = d->key,
		.code = code,
		.role = role,
		.name = role == RELAY_RIG ? "desk" : "laptop",
	};
	struct redeem *r;
	unsigned dones = d->dones;

	assert_int_equal(relay_redeem(&p, dev_on_redeemed, d, &r), 0);
	until(d->w, d->dones > dones);
	return d->done_err;
}

/* A code of the relay's own, as the command would print it. */
static inline void relay_code_new(struct world *w, struct code *ret)
{
	json_t *q = json_pack("{s:s}", "do", "invite"), *reply;
	char *err = NULL;
	const char *text;

	assert_int_equal(desk_do(&w->desk, q, &reply, &err), 0);
	text = json_string_value(json_object_get(reply, "code"));
	assert_int_equal(code_parse(text, strlen(text), ret), 0);
	json_decref(reply);
	json_decref(q);
}

/* What a rig puts at the relay for a laptop. */
static inline void rig_invite(struct dev *rig, uint64_t ttl_s, struct code *ret)
{
	struct control_invite inv = { .role = RELAY_CLIENT,
				      .ttl_s = ttl_s,
				      .uses = 1 };
	struct secret to_relay, to_rig;
	unsigned dones = rig->dones;

	*ret = (struct code){ .kind = CODE_CLIENT,
			      .relay_count = 1,
			      .relay_pin = *key_pin(rig->w->key),
			      .rig_pin = *key_pin(rig->key) };
	str_copy(ret->relay[0], sizeof(ret->relay[0]), rig->w->at);
	random_bytes(ret->bits, sizeof(ret->bits));
	code_secrets(ret->bits, &to_relay, &to_rig, inv.invite_id);
	sha256(to_relay.b, sizeof(to_relay.b), inv.hash);
	assert_int_equal(
		control_put_invite(rig->control, &inv, dev_on_done, rig), 0);
	until(rig->w, rig->dones > dones);
	assert_int_equal(rig->done_err, 0);
}

/* A rig that is here, and a laptop that it has let in. */
static inline void make_two(struct world *w, struct dev *rig,
			    struct dev *laptop)
{
	struct code code;

	dev_open(rig, w);
	dev_open(laptop, w);
	relay_code_new(w, &code);
	assert_int_equal(dev_redeem(rig, &code, RELAY_RIG), 0);
	dev_control(rig, RELAY_RIG, 1);
	rig_invite(rig, 3600, &code);
	assert_int_equal(dev_redeem(laptop, &code, RELAY_CLIENT), 0);
	assert_string_equal(rig->fleet, laptop->fleet);
	rig->answers = true;
}

/* A relay, with a rig and its laptop there. */
static inline void world_of_two(struct world *w, struct dev *rig,
				struct dev *laptop)
{
	world_open(w);
	world_start_relay(w, 0);
	make_two(w, rig, laptop);
}

static inline void world_end_two(struct world *w, struct dev *rig,
				 struct dev *laptop)
{
	dev_close(rig);
	dev_close(laptop);
	world_close(w);
}

/* A rig of another owner. */
static inline void join_other(struct world *w, struct dev *other)
{
	struct code code;

	dev_open(other, w);
	relay_code_new(w, &code);
	assert_int_equal(dev_redeem(other, &code, RELAY_RIG), 0);
}

static inline void connect_two(struct world *w, struct dev *rig,
			       struct dev *laptop)
{
	dev_wish(laptop, rig, false);
	until(w, (laptop->chan != NULL && rig->chan != NULL) ||
			 laptop->wish_err != 0 || rig->wish_err != 0);
	assert_int_equal(laptop->wish_err, 0);
	assert_int_equal(rig->wish_err, 0);
}
