/* SPDX-License-Identifier: MIT */
/*
 * The relay and its devices in one process, over real sockets and real TLS:
 * codes, control connections, rendezvous, removal, limits. No sleeps: the loop
 * runs until what is awaited is there.
 */
#include "unit.h"

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
#include "net/loop.h"
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
	bool late;
	struct timer *guard;
};

static void on_guard(void *user)
{
	((struct world *)user)->late = true;
}

/* Runs the loop until cond holds; fails the test after WAIT_MS. */
#define until(w, cond)                                                         \
	do {                                                                   \
		(w)->late = false;                                             \
		timer_start((w)->guard, WAIT_MS);                              \
		while (!(cond) && !(w)->late)                                  \
			uv_run(&(w)->loop, UV_RUN_ONCE);                       \
		timer_stop((w)->guard);                                        \
		if (!(cond))                                                   \
			fail_msg("waited in vain for %s", #cond);              \
	} while (0)

static void world_start_relay(struct world *w, uint16_t port)
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

static void world_open(struct world *w)
{
	memset(w, 0, sizeof(*w));
	assert_int_equal(uv_loop_init(&w->loop), 0);
	settings_init(&w->settings);
	strcpy(w->dir, "/tmp/rigway-test-relay-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(key_generate(&w->key), 0);
	w->guard = timer_new(&w->loop, on_guard, w);
}

static void world_stop_relay(struct world *w)
{
	relay_free(w->relay);
	book_free(w->book);
	desk_done(&w->desk);
}

static void world_close(struct world *w)
{
	static const char *const files[] = { "fleets", "devices", "invites" };

	world_stop_relay(w);
	timer_free(w->guard);
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

static size_t dev_on_data(struct chan *c, const uint8_t *data, size_t len)
{
	struct dev *d = chan_user(c);
	size_t n = MIN(len, sizeof(d->got) - d->got_len);

	memcpy(d->got + d->got_len, data, n);
	d->got_len += n;
	return len;
}

static void dev_on_closed(struct chan *c, int err)
{
	struct dev *d = chan_user(c);

	(void)err;
	d->chan = NULL;
	d->is_over = true;
}

static void dev_on_inner_up(void *user, struct chan *c, const char *peer_addr)
{
	static const struct chan_ops ops = { .on_data = dev_on_data,
					     .on_closed = dev_on_closed };
	struct dev *d = user;

	assert_true(strncmp(peer_addr, "127.0.0.1:", 10) == 0);
	d->relayed = NULL;
	d->chan = c;
	chan_set_ops(c, &ops, d);
}

static void dev_on_failed(void *user, int err, const char *text)
{
	struct dev *d = user;

	d->relayed = NULL;
	d->wish_err = err;
	str_copy(d->wish_text, sizeof(d->wish_text), text);
}

static void dev_on_waiting(void *user, const char *why)
{
	(void)why;
	((struct dev *)user)->waits++;
}

static const struct relayed_ops wish_ops = { .on_waiting = dev_on_waiting,
					     .on_up = dev_on_inner_up,
					     .on_failed = dev_on_failed };

static void dev_answer(struct dev *d, const struct pin *client,
		       uint64_t rendezvous)
{
	const struct relayed_params p = {
		.loop = &d->w->loop,
		.key = d->key,
		.relays = d->w->relays,
		.relay_count = 1,
		.relay_pin = *key_pin(d->w->key),
		.what = RELAYED_ANSWER,
		.peer = *client,
		.rendezvous = rendezvous,
	};

	assert_int_equal(relayed_start(&p, &wish_ops, d, &d->relayed), 0);
}

static void dev_wish(struct dev *d, const struct dev *rig, bool wait)
{
	const struct relayed_params p = {
		.loop = &d->w->loop,
		.key = d->key,
		.relays = d->w->relays,
		.relay_count = 1,
		.relay_pin = *key_pin(d->w->key),
		.what = RELAYED_WISH,
		.peer = *key_pin(rig->key),
		.wait = wait,
	};

	d->wish_err = 0;
	d->is_over = false;
	assert_int_equal(relayed_start(&p, &wish_ops, d, &d->relayed), 0);
}

static void dev_on_up(void *user, const char *fleet, const char *relay,
		      const char *addr)
{
	struct dev *d = user;

	assert_string_equal(relay, "test");
	assert_true(strncmp(addr, "127.0.0.1:", 10) == 0);
	str_copy(d->fleet, sizeof(d->fleet), fleet);
	d->ups++;
}

static void dev_on_down(void *user, int err, const char *text, uint64_t next)
{
	struct dev *d = user;

	if (d->downs++ == 0)
		d->first_down_err = err;
	d->down_err = err;
	d->down_next_ms = next;
	str_copy(d->down_text, sizeof(d->down_text), text);
}

static void dev_on_call(void *user, const struct control_call *call)
{
	struct dev *d = user;

	d->calls++;
	d->call = *call;
	if (d->answers)
		dev_answer(d, &call->client, call->rendezvous);
}

static void dev_on_done(void *user, int err, const char *text)
{
	struct dev *d = user;

	(void)text;
	d->dones++;
	d->done_err = err;
}

static void dev_on_redeemed(void *user, int err, const char *text,
			    const char *fleet, const char *relay)
{
	struct dev *d = user;

	(void)relay;
	d->dones++;
	d->done_err = err;
	str_copy(d->wish_text, sizeof(d->wish_text), text);
	str_copy(d->fleet, sizeof(d->fleet), fleet);
}

static void dev_open(struct dev *d, struct world *w)
{
	memset(d, 0, sizeof(*d));
	d->w = w;
	assert_int_equal(key_generate(&d->key), 0);
}

static void dev_control(struct dev *d, enum relay_role role, uint64_t life)
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
	unsigned ups = d->ups;

	assert_int_equal(control_start(&p, &ops, d, &d->control), 0);
	until(d->w, d->ups > ups);
}

static void dev_close(struct dev *d)
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
static int dev_redeem(struct dev *d, const struct code *code,
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
static void relay_code_new(struct world *w, struct code *ret)
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
static void rig_invite(struct dev *rig, uint64_t ttl_s, struct code *ret)
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
static void make_two(struct world *w, struct dev *rig, struct dev *laptop)
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

static void connect_two(struct world *w, struct dev *rig, struct dev *laptop)
{
	dev_wish(laptop, rig, false);
	until(w, (laptop->chan != NULL && rig->chan != NULL) ||
			 laptop->wish_err != 0 || rig->wish_err != 0);
	assert_int_equal(laptop->wish_err, 0);
	assert_int_equal(rig->wish_err, 0);
}

/* -- the tests ------------------------------------------------------------- */

static void two_devices_meet_and_speak_past_the_relay(void **state)
{
	struct world w;
	struct dev rig, laptop;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	connect_two(&w, &rig, &laptop);
	assert_true(pin_eq(chan_peer_pin(laptop.chan), key_pin(rig.key)));
	assert_true(pin_eq(chan_peer_pin(rig.chan), key_pin(laptop.key)));
	assert_int_equal(chan_write(laptop.chan, "to the rig", 10), 0);
	chan_flush(laptop.chan);
	assert_int_equal(chan_write(rig.chan, "to the laptop", 13), 0);
	chan_flush(rig.chan);
	until(&w, rig.got_len == 10 && laptop.got_len == 13);
	assert_memory_equal(rig.got, "to the rig", 10);
	assert_memory_equal(laptop.got, "to the laptop", 13);
	assert_int_equal(relay_counts(w.relay).pairs, 1);
	/* One end leaves; the other hears it; the pair is gone. */
	chan_finish(laptop.chan, 0);
	until(&w, rig.is_over && laptop.is_over);
	until(&w, relay_counts(w.relay).pairs == 0);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

static void codes_are_judged_over_the_wire(void **state)
{
	struct world w;
	struct dev a, b;
	struct code code, wrong;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	dev_open(&a, &w);
	dev_open(&b, &w);
	relay_code_new(&w, &code);
	wrong = code;
	wrong.bits[0] ^= 1;
	assert_int_equal(dev_redeem(&a, &wrong, RELAY_RIG), RW_ERR_NOT_FOUND);
	assert_int_equal(dev_redeem(&a, &code, RELAY_CLIENT),
			 RW_ERR_NOT_ALLOWED);
	assert_int_equal(dev_redeem(&a, &code, RELAY_RIG), 0);
	assert_int_equal(dev_redeem(&a, &code, RELAY_RIG), 0); /* again */
	assert_int_equal(dev_redeem(&b, &code, RELAY_RIG), RW_ERR_USED);
	assert_non_null(strstr(b.wish_text, "used at"));
	assert_int_equal(book_device_count(w.book), 1);
	/* The key in the code is not this relay's. */
	code.relay_pin.b[0] ^= 1;
	assert_int_equal(dev_redeem(&b, &code, RELAY_RIG), RW_ERR_PIN);
	assert_non_null(strstr(b.wish_text, "the key"));
	dev_close(&a);
	dev_close(&b);
	world_close(&w);
}

static void a_failed_dial_says_name_or_port(void **state)
{
	struct world w;
	struct dev a;
	struct code code;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	dev_open(&a, &w);
	relay_code_new(&w, &code);
	str_copy(code.relay[0], sizeof(code.relay[0]), "127.0.0.1:1");
	assert_int_equal(dev_redeem(&a, &code, RELAY_RIG), RW_ERR_REFUSED);
	assert_non_null(strstr(a.wish_text, "the port"));
	str_copy(code.relay[0], sizeof(code.relay[0]), "no-such.invalid:1");
	assert_int_equal(dev_redeem(&a, &code, RELAY_RIG), RW_ERR_NO_HOST);
	assert_non_null(strstr(a.wish_text, "the name"));
	/* A second address that works is enough. */
	code.relay_count = 2;
	str_copy(code.relay[1], sizeof(code.relay[1]), w.at);
	assert_int_equal(dev_redeem(&a, &code, RELAY_RIG), 0);
	dev_close(&a);
	world_close(&w);
}

static void wrong_codes_are_limited_and_burn_nothing(void **state)
{
	struct world w;
	struct dev a;
	struct code code, wrong;

	(void)state;
	world_open(&w);
	w.settings.relay.guesses_per_minute = 3;
	world_start_relay(&w, 0);
	dev_open(&a, &w);
	relay_code_new(&w, &code);
	wrong = code;
	for (uint8_t i = 1; i <= 3; i++) {
		wrong.bits[0] = (uint8_t)(code.bits[0] ^ i);
		assert_int_equal(dev_redeem(&a, &wrong, RELAY_RIG),
				 RW_ERR_NOT_FOUND);
	}
	assert_int_equal(dev_redeem(&a, &wrong, RELAY_RIG), RW_ERR_LIMIT);
	assert_int_equal(book_device_count(w.book), 0);
	/* A minute later: here, the door forgets. */
	door_done(&w.relay->door);
	door_init(&w.relay->door, 64, 3);
	dev_close(&a);
	dev_open(&a, &w);
	assert_int_equal(dev_redeem(&a, &code, RELAY_RIG), 0);
	dev_close(&a);
	world_close(&w);
}

static void an_unknown_key_may_only_redeem(void **state)
{
	struct world w;
	struct dev rig, laptop, stranger;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	dev_open(&stranger, &w);
	dev_wish(&stranger, &rig, true);
	until(&w, stranger.wish_err != 0);
	assert_int_equal(stranger.wish_err, RW_ERR_NOT_ALLOWED);
	assert_int_equal(rig.calls, 0);
	dev_close(&stranger);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

static void fleets_do_not_see_each_other(void **state)
{
	struct world w;
	struct dev rig, laptop, other;
	struct code code;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	dev_open(&other, &w);
	relay_code_new(&w, &code);
	assert_int_equal(dev_redeem(&other, &code, RELAY_RIG), 0);
	dev_wish(&other, &rig, true);
	until(&w, other.wish_err != 0);
	assert_int_equal(other.wish_err, RW_ERR_NOT_FOUND);
	assert_int_equal(rig.calls, 0);
	dev_close(&other);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

/* The number goes to the rig only, and only the rig may use it. */
static void a_rendezvous_is_bound_to_both_keys(void **state)
{
	struct world w;
	struct dev rig, laptop, thief;
	struct code code;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	dev_open(&thief, &w);
	rig_invite(&rig, 3600, &code);
	assert_int_equal(dev_redeem(&thief, &code, RELAY_CLIENT), 0);
	rig.answers = false;
	dev_wish(&laptop, &rig, false);
	until(&w, rig.calls == 1);
	assert_true(pin_eq(&rig.call.client, key_pin(laptop.key)));
	dev_answer(&thief, key_pin(laptop.key), rig.call.rendezvous);
	until(&w, thief.wish_err != 0);
	assert_int_equal(thief.wish_err, RW_ERR_GONE);
	/* A wrong number is nobody's. */
	dev_answer(&rig, key_pin(laptop.key), rig.call.rendezvous ^ 1);
	until(&w, rig.wish_err != 0);
	assert_int_equal(rig.wish_err, RW_ERR_GONE);
	rig.wish_err = 0;
	/* The rig itself may, once. */
	dev_answer(&rig, key_pin(laptop.key), rig.call.rendezvous);
	until(&w, laptop.chan != NULL && rig.chan != NULL);
	dev_answer(&thief, key_pin(laptop.key), rig.call.rendezvous);
	thief.wish_err = 0;
	until(&w, thief.wish_err != 0);
	assert_int_equal(thief.wish_err, RW_ERR_GONE);
	dev_close(&thief);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

/* Whatever the relay pairs, the inner handshake judges. */
static void the_wrong_client_is_found_out_inside(void **state)
{
	struct world w;
	struct dev rig, laptop;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	rig.answers = false;
	dev_wish(&laptop, &rig, false);
	until(&w, rig.calls == 1);
	dev_answer(&rig, key_pin(rig.key), rig.call.rendezvous);
	until(&w, rig.wish_err != 0);
	assert_int_equal(rig.wish_err, RW_ERR_PIN);
	until(&w, laptop.wish_err != 0 || laptop.is_over);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

static void a_rig_declines_and_the_client_hears_why(void **state)
{
	struct world w;
	struct dev rig, laptop;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	rig.answers = false;
	dev_wish(&laptop, &rig, true);
	until(&w, rig.calls == 1);
	control_decline(rig.control, rig.call.rendezvous, RW_ERR_NOT_ALLOWED,
			"this rig does not know that laptop");
	until(&w, laptop.wish_err != 0);
	assert_int_equal(laptop.wish_err, RW_ERR_NOT_ALLOWED);
	assert_string_equal(laptop.wish_text,
			    "this rig does not know that laptop");
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

static void a_wish_waits_for_an_absent_rig(void **state)
{
	struct world w;
	struct dev rig, laptop;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	control_stop(rig.control);
	rig.control = NULL;
	until(&w, relay_counts(w.relay).controls == 0);
	dev_wish(&laptop, &rig, false);
	until(&w, laptop.wish_err != 0);
	assert_int_equal(laptop.wish_err, RW_ERR_OFFLINE);
	dev_wish(&laptop, &rig, true);
	until(&w, laptop.waits == 1);
	dev_control(&rig, RELAY_RIG, 2);
	until(&w, laptop.chan != NULL && rig.chan != NULL);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

static void waiting_wishes_of_one_device_are_limited(void **state)
{
	struct world w;
	struct dev rig, laptop;
	struct relayed *first;

	(void)state;
	world_open(&w);
	w.settings.relay.max_waiting = 1;
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	control_stop(rig.control);
	rig.control = NULL;
	until(&w, relay_counts(w.relay).controls == 0);
	dev_wish(&laptop, &rig, true);
	until(&w, laptop.waits == 1);
	first = laptop.relayed;
	dev_wish(&laptop, &rig, true);
	until(&w, laptop.wish_err != 0);
	assert_int_equal(laptop.wish_err, RW_ERR_LIMIT);
	relayed_cancel(first);
	until(&w, relay_counts(w.relay).waiting == 0);
	dev_wish(&laptop, &rig, true);
	until(&w, laptop.waits == 2);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

static void pairs_of_one_fleet_are_limited(void **state)
{
	struct world w;
	struct dev rig, laptop;
	struct chan *c[2];

	(void)state;
	world_open(&w);
	w.settings.relay.max_pairs = 1;
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	connect_two(&w, &rig, &laptop);
	c[0] = rig.chan;
	c[1] = laptop.chan;
	until(&w, relay_counts(w.relay).pairs == 1);
	dev_wish(&laptop, &rig, true);
	until(&w, laptop.wish_err != 0);
	assert_int_equal(laptop.wish_err, RW_ERR_LIMIT);
	assert_true(rig.chan == c[0] && laptop.chan == c[1]);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

/* A connection that has shown no admitted key: plain TCP, silent. */
static int knock(struct world *w)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(relay_port(w->relay)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static bool is_closed(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

static void unproven_connections_of_one_address_are_limited(void **state)
{
	struct world w;
	int fd[4];

	(void)state;
	world_open(&w);
	w.settings.relay.max_unproven_per_address = 3;
	w.settings.relay.handshake_timeout_ms = 300;
	world_start_relay(&w, 0);
	for (int i = 0; i < 4; i++)
		fd[i] = knock(&w);
	until(&w, is_closed(fd[3]));
	assert_int_equal(relay_counts(w.relay).connections, 3);
	assert_int_equal(relay_counts(w.relay).refused_at_door, 1);
	/* Who says nothing is closed in time, and makes room. */
	until(&w, is_closed(fd[0]) && is_closed(fd[1]) && is_closed(fd[2]));
	until(&w, relay_counts(w.relay).connections == 0);
	for (int i = 0; i < 4; i++)
		close(fd[i]);
	world_close(&w);
}

static void all_connections_are_limited(void **state)
{
	struct world w;
	int fd[17];

	(void)state;
	world_open(&w);
	w.settings.relay.max_connections = 16;
	world_start_relay(&w, 0);
	for (int i = 0; i < 17; i++)
		fd[i] = knock(&w);
	until(&w, is_closed(fd[16]));
	assert_int_equal(relay_counts(w.relay).connections, 16);
	for (int i = 0; i < 17; i++)
		close(fd[i]);
	world_close(&w);
}

static void garbage_is_closed(void **state)
{
	struct world w;
	int fd;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	fd = knock(&w);
	assert_int_equal(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
	until(&w, is_closed(fd) ||
			  recv(fd, (char[64]){ 0 }, 64, MSG_DONTWAIT) >= 0);
	until(&w, relay_counts(w.relay).connections == 0);
	close(fd);
	world_close(&w);
}

static void the_newest_control_of_a_key_takes_over(void **state)
{
	struct world w;
	struct dev rig, laptop;
	struct control *old;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	old = rig.control;
	dev_control(&rig, RELAY_RIG, 2);
	until(&w, rig.downs == 1);
	assert_int_equal(rig.down_err, RW_ERR_REPLACED);
	assert_true(rig.down_next_ms == CONTROL_NEVER);
	assert_false(control_is_up(old));
	assert_true(control_is_up(rig.control));
	until(&w, relay_counts(w.relay).controls == 1);
	connect_two(&w, &rig, &laptop); /* calls go to the new one */
	control_stop(old);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

static void removal_cuts_at_once(void **state)
{
	struct world w;
	struct dev rig, laptop;
	json_t *q, *reply;
	char *err;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	dev_control(&laptop, RELAY_CLIENT, 7);
	connect_two(&w, &rig, &laptop);
	until(&w, relay_counts(w.relay).pairs == 1);
	q = json_pack("{s:s, s:s}", "do", "remove", "who", "laptop");
	assert_int_equal(desk_do(&w.desk, q, &reply, &err), 0);
	json_decref(q);
	json_decref(reply);
	until(&w, laptop.is_over && rig.is_over && laptop.downs > 0);
	assert_int_equal(laptop.down_err, RW_ERR_NOT_ALLOWED);
	assert_true(control_is_up(rig.control));
	dev_wish(&laptop, &rig, true);
	until(&w, laptop.wish_err != 0);
	assert_int_equal(laptop.wish_err, RW_ERR_NOT_ALLOWED);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

static void a_rig_that_drops_a_device_cuts_it(void **state)
{
	struct world w;
	struct dev rig, laptop;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	connect_two(&w, &rig, &laptop);
	rig.dones = 0;
	assert_int_equal(control_drop_device(rig.control, key_pin(laptop.key),
					     dev_on_done, &rig),
			 0);
	until(&w, rig.dones == 1 && laptop.is_over);
	assert_int_equal(rig.done_err, 0);
	assert_null(book_find_device(w.book, key_pin(laptop.key)));
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

static void lost_rendezvous_are_closed_at_both_ends(void **state)
{
	struct world w;
	struct dev rig, laptop;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	connect_two(&w, &rig, &laptop);
	until(&w, relay_counts(w.relay).pairs == 1);
	control_lost(rig.control, rig.call.rendezvous);
	until(&w, laptop.is_over && rig.is_over);
	/* And in the hello of a connection that comes later. */
	laptop.is_over = rig.is_over = false;
	connect_two(&w, &rig, &laptop);
	until(&w, relay_counts(w.relay).pairs == 1);
	control_stop(rig.control);
	rig.control = NULL;
	until(&w, relay_counts(w.relay).controls == 0);
	assert_int_equal(relay_counts(w.relay).pairs, 1);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

static void on_list_row(void *user, const struct relay_row *row)
{
	struct dev *d = user;

	d->rows++;
	assert_int_equal(row->online, row->role == RELAY_RIG);
}

static void devices_see_their_fleet(void **state)
{
	struct world w;
	struct dev rig, laptop, other;
	struct code code;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	dev_open(&other, &w);
	relay_code_new(&w, &code);
	assert_int_equal(dev_redeem(&other, &code, RELAY_RIG), 0);
	rig.dones = 0;
	assert_int_equal(
		control_list(rig.control, on_list_row, dev_on_done, &rig), 0);
	until(&w, rig.dones == 1);
	assert_int_equal(rig.done_err, 0);
	assert_int_equal(rig.rows, 2);
	dev_close(&other);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

static void the_relay_comes_back_and_so_do_they(void **state)
{
	struct world w;
	struct dev rig, laptop;
	uint16_t port;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	connect_two(&w, &rig, &laptop);
	port = relay_port(w.relay);
	world_stop_relay(&w);
	until(&w, rig.downs > 0 && laptop.is_over && rig.is_over);
	world_start_relay(&w, port);
	until(&w, rig.ups == 2);
	connect_two(&w, &rig, &laptop); /* the book is on disk */
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

static void on_stopped(void *user)
{
	*(bool *)user = true;
}

static void stopping_tells_everybody(void **state)
{
	struct world w;
	struct dev rig, laptop;
	bool stopped = false;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	relay_stop(w.relay, on_stopped, &stopped);
	until(&w, stopped && rig.downs > 0);
	assert_int_equal(rig.first_down_err, RW_ERR_CLOSING);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

/* -- a device that does not keep to the protocol --------------------------- */

struct rude {
	struct chan *chan;
	bool is_closed;
	uint8_t got[4096];
	size_t len;
};

static size_t rude_on_data(struct chan *c, const uint8_t *data, size_t len)
{
	struct rude *r = chan_user(c);

	memcpy(r->got + r->len, data, MIN(len, sizeof(r->got) - r->len));
	r->len += len;
	return len;
}

static void rude_on_closed(struct chan *c, int err)
{
	(void)err;
	((struct rude *)chan_user(c))->is_closed = true;
}

static void rude_on_reached(void *user, int err, const char *text,
			    struct chan *c, const char *relay)
{
	static const struct chan_ops ops = { .on_data = rude_on_data,
					     .on_closed = rude_on_closed };
	struct rude *r = user;

	(void)text, (void)relay;
	assert_int_equal(err, 0);
	r->chan = c;
	chan_set_ops(c, &ops, r);
}

static void rude_open(struct rude *r, struct dev *d, struct tls_ctx **ctx)
{
	struct reach_relays at;
	struct reach *reach;

	memset(r, 0, sizeof(*r));
	assert_int_equal(reach_relays_parse(&at, d->w->relays, 1), 0);
	assert_int_equal(tls_ctx_new(d->key, TLS_CLIENT, RELAY_ALPN, ctx), 0);

	const struct reach_params p = { .loop = &d->w->loop,
					.ctx = *ctx,
					.relays = &at,
					.pin = *key_pin(d->w->key),
					.timeout_ms = 5000 };

	assert_int_equal(reach_start(&p, rude_on_reached, r, &reach), 0);
	until(d->w, r->chan != NULL);
}

static void a_byte_between_wish_and_ready_closes_it(void **state)
{
	struct relay_msg m = { .type = R_HELLO };
	uint8_t frame[RELAY_FRAME_MAX + 1];
	struct world w;
	struct dev rig, laptop;
	struct tls_ctx *ctx;
	struct rude r;
	size_t n;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	rig.answers = false;
	m.hello.version_min = m.hello.version_max = RELAY_VERSION;
	m.hello.purpose = RELAY_WISH;
	m.hello.role = RELAY_CLIENT;
	m.hello.rig = *key_pin(rig.key);
	m.hello.wait = 1;
	m.hello.present = MSG_BIT(R_TAG_RIG) | MSG_BIT(R_TAG_WAIT);
	n = relay_msg_write(&m, frame);
	frame[n] = 0x16;
	/* In one record with the wish. */
	rude_open(&r, &laptop, &ctx);
	assert_int_equal(chan_write(r.chan, frame, n + 1), 0);
	chan_flush(r.chan);
	until(&w, r.is_closed);
	assert_int_equal(r.len, 0);
	tls_ctx_free(ctx);
	/* And later. */
	rude_open(&r, &laptop, &ctx);
	assert_int_equal(chan_write(r.chan, frame, n), 0);
	chan_flush(r.chan);
	until(&w, relay_counts(w.relay).waiting == 1 && rig.calls > 0);
	assert_int_equal(chan_write(r.chan, "x", 1), 0);
	chan_flush(r.chan);
	until(&w, r.is_closed);
	assert_int_equal(relay_counts(w.relay).waiting, 0);
	tls_ctx_free(ctx);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

static void a_message_of_the_relay_from_a_device_closes_it(void **state)
{
	struct relay_msg m = { .type = R_READY };
	struct world w;
	struct dev rig, laptop;
	struct tls_ctx *ctx;
	struct rude r;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	rude_open(&r, &laptop, &ctx);
	assert_int_equal(reach_send(r.chan, &m), 0);
	until(&w, r.is_closed);
	tls_ctx_free(ctx);
	/* An admitted device that begins with something else than HELLO. */
	m.type = R_PING;
	rude_open(&r, &laptop, &ctx);
	assert_int_equal(reach_send(r.chan, &m), 0);
	until(&w, r.is_closed);
	tls_ctx_free(ctx);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_devices_meet_and_speak_past_the_relay),
		cmocka_unit_test(codes_are_judged_over_the_wire),
		cmocka_unit_test(a_failed_dial_says_name_or_port),
		cmocka_unit_test(wrong_codes_are_limited_and_burn_nothing),
		cmocka_unit_test(an_unknown_key_may_only_redeem),
		cmocka_unit_test(fleets_do_not_see_each_other),
		cmocka_unit_test(a_rendezvous_is_bound_to_both_keys),
		cmocka_unit_test(the_wrong_client_is_found_out_inside),
		cmocka_unit_test(a_rig_declines_and_the_client_hears_why),
		cmocka_unit_test(a_wish_waits_for_an_absent_rig),
		cmocka_unit_test(waiting_wishes_of_one_device_are_limited),
		cmocka_unit_test(pairs_of_one_fleet_are_limited),
		cmocka_unit_test(
			unproven_connections_of_one_address_are_limited),
		cmocka_unit_test(all_connections_are_limited),
		cmocka_unit_test(garbage_is_closed),
		cmocka_unit_test(the_newest_control_of_a_key_takes_over),
		cmocka_unit_test(removal_cuts_at_once),
		cmocka_unit_test(a_rig_that_drops_a_device_cuts_it),
		cmocka_unit_test(lost_rendezvous_are_closed_at_both_ends),
		cmocka_unit_test(devices_see_their_fleet),
		cmocka_unit_test(the_relay_comes_back_and_so_do_they),
		cmocka_unit_test(stopping_tells_everybody),
		cmocka_unit_test(a_byte_between_wish_and_ready_closes_it),
		cmocka_unit_test(
			a_message_of_the_relay_from_a_device_closes_it),
	};

	log_set_level(LOG_LEVEL_WARN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
