/* SPDX-License-Identifier: MIT */
/* The rig's door: how many calls it answers, and how long it waits for a word.
 * A real relay and real laptops, in one process. */
#include "relay_world.h"

/* Relay and rig never meet in one program: they have structs of these names
 * each, and here the rig's are called otherwise. */
#define device	      device_of_rig
#define invite	      invite_of_rig
#define invite_use    invite_use_of_rig
#define invite_params invite_params_of_rig
#include "carrier/bearer.h"
#include "rig/call.h"
#include "rig/door.h"
#include "rig/gate.h"
#include "rig/rig.h"
#include "rig/sessions.h"
#include "rig/sshd.h"
#include "rig/uplink.h"
#include "wire/frame.h"
#include "wire/hello.h"

struct house {
	struct world w;
	struct rig rig;
	struct dev key; /* of the rig */
	struct dev laptop;
	struct code code;
	uint8_t id[INVITE_ID_LEN];
	struct secret to_rig;
	char path[2][96];
};

static void house_rates(struct house *h, uint32_t dials, uint32_t strangers,
			uint32_t guesses)
{
	uint64_t now = loop_now_us(&h->w.loop);

	rate_init(&h->rig.dials, dials, now);
	rate_init(&h->rig.newcomers, strangers, now);
	rate_init(&h->rig.guesses, guesses, now);
}

/* A code of the rig's, which the relay gets when the rig connects. */
static void house_invite(struct house *h)
{
	struct invite_params p = { .now = rig_now(), .uses = 9 };
	struct secret to_relay;
	const struct invite *inv;

	h->code = (struct code){ .kind = CODE_CLIENT,
				 .relay_count = 1,
				 .relay_pin = *key_pin(h->w.key),
				 .rig_pin = *key_pin(h->key.key) };
	str_copy(h->code.relay[0], sizeof(h->code.relay[0]), h->w.at);
	assert_int_equal(invites_make(&h->rig.invites, &p, h->code.bits, &inv),
			 0);
	code_secrets(h->code.bits, &to_relay, &h->to_rig, h->id);
}

static void house_open(struct house *h)
{
	struct rig *rig = &h->rig;
	struct rig_relay *row = &rig->relays.rows[0];
	struct code code;
	char *err;

	memset(h, 0, sizeof(*h));
	world_open(&h->w);
	assert_int_equal(settings_set(&h->w.settings, "rig.sshd_config",
				      "/nonexistent/sshd_config", &err),
			 0);
	world_start_relay(&h->w, 0);
	dev_open(&h->key, &h->w);
	dev_open(&h->laptop, &h->w);
	relay_code_new(&h->w, &code);
	assert_int_equal(dev_redeem(&h->key, &code, RELAY_RIG), 0);
	rig->loop = &h->w.loop;
	rig->settings = &h->w.settings;
	rig->key = h->key.key;
	rig->incarnation = 77;
	strcpy(rig->name, "desk");
	list_init(&rig->calls);
	list_init(&rig->doors);
	list_init(&rig->issues);
	snprintf(h->path[0], sizeof(h->path[0]), "%s/rig-devices", h->w.dir);
	snprintf(h->path[1], sizeof(h->path[1]), "%s/rig-invites", h->w.dir);
	assert_int_equal(devices_load(&rig->devices, h->path[0], 10, &err), 0);
	assert_int_equal(invites_load(&rig->invites, h->path[1], 10, &err), 0);
	assert_int_equal(driver_new(rig->loop, &rig->driver), 0);
	budget_init(&rig->budget, 1 << 24, 16384, 1 << 20);
	rig->limits = (struct session_limits){ .max_streams = 10,
					       .send_max = 1 << 20,
					       .carriers_max = 4,
					       .in_flight_min = 32768,
					       .keep_s = 60,
					       .ping_interval_us = 5000000,
					       .ping_timeout_us = 4000000 };
	rig->sshd = sshd_new(rig->loop, rig->settings);
	rig->sessions = sessions_new(rig);
	strangers_init(&rig->strangers, 16, 60);
	assert_int_equal(gate_new(rig, &rig->gate, &err), 0);
	house_rates(h, 600, 600, 600);
	row->pin = *key_pin(h->w.key);
	row->addr_count = 1;
	str_copy(row->addr[0], sizeof(row->addr[0]), h->w.at);
	rig->relays.count = rig->uplink_count = 1;
	house_invite(h);
	assert_int_equal(uplink_new(rig, 0, &rig->uplinks[0]), 0);
	until(&h->w, relay_counts(h->w.relay).controls == 1);
	/* The relay has read the code, too, once it lets the laptop in. */
	while (dev_redeem(&h->laptop, &h->code, RELAY_CLIENT) ==
	       RW_ERR_NOT_FOUND)
		;
	assert_int_equal(h->laptop.done_err, 0);
}

static void house_close(struct house *h)
{
	struct rig *rig = &h->rig;

	dev_close(&h->laptop);
	calls_close(rig, NULL);
	doors_close(rig);
	uplink_free(rig->uplinks[0]);
	rig->uplink_count = 0;
	gate_free(rig->gate);
	sessions_free(rig->sessions);
	sshd_free(rig->sshd);
	driver_free(rig->driver);
	devices_done(&rig->devices);
	invites_done(&rig->invites);
	dev_close(&h->key);
	unlink(h->path[0]);
	unlink(h->path[1]);
	world_close(&h->w);
	strangers_done(&rig->strangers);
}

static void house_admit(struct house *h)
{
	struct device dev = { .pin = *key_pin(h->laptop.key),
			      .role = DEVICE_OWNER,
			      .name = "laptop" };

	assert_int_equal(devices_put(&h->rig.devices, &dev), 0);
}

/* The laptop calls; up to the inner TLS, or until it hears no. */
static void call(struct house *h, const uint8_t *invite_id)
{
	struct dev *d = &h->laptop;
	const struct relayed_params p = {
		.loop = &h->w.loop,
		.key = d->key,
		.relays = h->w.relays,
		.relay_count = 1,
		.relay_pin = *key_pin(h->w.key),
		.what = RELAYED_WISH,
		.peer = *key_pin(h->key.key),
		.invite_id = invite_id,
	};

	d->wish_err = 0;
	d->is_over = false;
	d->chan = NULL;
	d->got_len = 0;
	assert_int_equal(relayed_start(&p, &wish_ops, d, &d->relayed), 0);
	until(&h->w, d->chan != NULL || d->wish_err != 0);
}

/* Says HELLO with this secret; returns the type of what the rig says. */
static uint8_t say(struct house *h, const uint8_t *secret)
{
	struct dev *d = &h->laptop;
	struct hello hello = { .version_min = 1,
			       .version_max = 1,
			       .incarnation = 1,
			       .carrier = 1,
			       .floor = 16384,
			       .max_streams = 10 };
	uint8_t out[FRAME_MAX];
	size_t n;

	hello.extra.redeems = true;
	memcpy(hello.extra.invite_id, h->id, sizeof(h->id));
	memcpy(hello.extra.secret, secret, INVITE_SECRET_LEN);
	n = hello_write(&hello, out);
	assert_int_equal(chan_write(d->chan, out, n), 0);
	chan_flush(d->chan);
	until(&h->w, d->got_len > 12);
	d->got[sizeof(d->got) - 1] = '\0';
	return d->got[0];
}

static void hang_up(struct house *h)
{
	if (h->laptop.chan != NULL)
		chan_close(h->laptop.chan, RW_ERR_CANCELLED);
	until(&h->w, h->laptop.chan == NULL);
}

static void a_laptop_that_says_nothing_is_closed_in_time(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	h.w.settings.rig.handshake_timeout_ms = 200;
	house_admit(&h);
	call(&h, NULL);
	assert_int_equal(h.laptop.wish_err, 0);
	until(&h.w, !list_is_empty(&h.rig.doors));
	until(&h.w, h.laptop.is_over && list_is_empty(&h.rig.doors));
	assert_int_equal(h.laptop.got_len, 0);
	house_close(&h);
}

static void calls_at_once_are_limited(void **state)
{
	struct house h;
	struct chan *first;

	(void)state;
	house_open(&h);
	h.w.settings.rig.max_calls = 1;
	house_admit(&h);
	call(&h, NULL);
	first = h.laptop.chan;
	assert_non_null(first);
	call(&h, NULL);
	assert_int_equal(h.laptop.wish_err, RW_ERR_LIMIT);
	assert_non_null(strstr(h.laptop.wish_text, "rig.max_calls"));
	h.laptop.chan = first;
	hang_up(&h);
	until(&h.w, list_is_empty(&h.rig.doors));
	call(&h, NULL);
	assert_int_equal(h.laptop.wish_err, 0);
	hang_up(&h);
	house_close(&h);
}

static void calls_in_a_minute_are_limited(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_rates(&h, 2, 600, 600);
	house_admit(&h);
	for (int k = 0; k < 2; k++) {
		call(&h, NULL);
		assert_int_equal(h.laptop.wish_err, 0);
		hang_up(&h);
	}
	call(&h, NULL);
	assert_int_equal(h.laptop.wish_err, RW_ERR_LIMIT);
	assert_non_null(strstr(h.laptop.wish_text, "rig.dials_per_minute"));
	house_close(&h);
}

static void calls_of_strangers_are_limited_by_themselves(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_rates(&h, 600, 1, 600);
	call(&h, h.id);
	assert_int_equal(h.laptop.wish_err, 0);
	hang_up(&h);
	call(&h, h.id);
	assert_int_equal(h.laptop.wish_err, RW_ERR_LIMIT);
	assert_non_null(strstr(h.laptop.wish_text, "rig.strangers_per_minute"));
	/* Without a code it is not even called back. */
	call(&h, NULL);
	assert_int_equal(h.laptop.wish_err, RW_ERR_NOT_ALLOWED);
	/* They take nothing from those who are known. */
	house_admit(&h);
	call(&h, NULL);
	assert_int_equal(h.laptop.wish_err, 0);
	hang_up(&h);
	house_close(&h);
}

static void wrong_codes_at_a_rig_are_limited_and_burn_nothing(void **state)
{
	struct house h;
	uint8_t wrong[INVITE_SECRET_LEN] = { 1 };

	(void)state;
	house_open(&h);
	house_rates(&h, 600, 600, 2);
	for (int k = 0; k < 3; k++) {
		call(&h, h.id);
		assert_int_equal(say(&h, wrong), FRAME_REFUSED);
		assert_non_null(strstr((char *)h.laptop.got + 10,
				       k < 2 ? "no such code"
					     : "too many wrong codes"));
		until(&h.w, h.laptop.chan == NULL);
	}
	/* Nor is the right one taken now; a minute later it is. */
	call(&h, h.id);
	assert_int_equal(say(&h, h.to_rig.b), FRAME_REFUSED);
	until(&h.w, h.laptop.chan == NULL);
	house_rates(&h, 600, 600, 2);
	call(&h, h.id);
	assert_int_equal(say(&h, h.to_rig.b), FRAME_WELCOME);
	hang_up(&h);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_laptop_that_says_nothing_is_closed_in_time),
		cmocka_unit_test(calls_at_once_are_limited),
		cmocka_unit_test(calls_in_a_minute_are_limited),
		cmocka_unit_test(calls_of_strangers_are_limited_by_themselves),
		cmocka_unit_test(
			wrong_codes_at_a_rig_are_limited_and_burn_nothing),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("rig_door", tests, NULL, NULL);
}
