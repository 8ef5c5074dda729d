/* SPDX-License-Identifier: MIT */
/* What the relay refuses: wrong codes, strangers, too much, and bad manners. */
#include "relay_world.h"

#include "net/local.h"

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
	strangers_done(&w.relay->strangers);
	strangers_init(&w.relay->strangers, 64, 3);
	dev_close(&a);
	dev_open(&a, &w);
	assert_int_equal(dev_redeem(&a, &code, RELAY_RIG), 0);
	dev_close(&a);
	world_close(&w);
}

/* The relay refuses, and the rig hears nothing of it. */
static void wish_in_vain(struct dev *from, struct dev *rig, int err)
{
	dev_wish(from, rig, true);
	until(from->w, from->wish_err != 0);
	assert_int_equal(from->wish_err, err);
	assert_int_equal(rig->calls, 0);
}

static void an_unknown_key_may_only_redeem(void **state)
{
	struct world w;
	struct dev rig, laptop, stranger;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	dev_open(&stranger, &w);
	wish_in_vain(&stranger, &rig, RW_ERR_NOT_ALLOWED);
	dev_close(&stranger);
	world_end_two(&w, &rig, &laptop);
}

static void fleets_do_not_see_each_other(void **state)
{
	struct world w;
	struct dev rig, laptop, other;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	join_other(&w, &other);
	wish_in_vain(&other, &rig, RW_ERR_NOT_FOUND);
	dev_close(&other);
	world_end_two(&w, &rig, &laptop);
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
	assert_non_null(strstr(laptop.wish_text, "relay.max_waiting"));
	relayed_cancel(first);
	until(&w, relay_counts(w.relay).waiting == 0);
	dev_wish(&laptop, &rig, true);
	until(&w, laptop.waits == 2);
	world_end_two(&w, &rig, &laptop);
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
	world_end_two(&w, &rig, &laptop);
}

/* All were in line while there was room; then the rig comes. */
static void pairs_are_limited_when_many_wishes_waited(void **state)
{
	struct world w;
	struct dev rig, laptop[3];
	struct code code;
	size_t full = 0, up = 0;

	(void)state;
	world_open(&w);
	w.settings.relay.max_pairs = 1;
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop[0]);
	for (int i = 1; i < 3; i++) {
		dev_open(&laptop[i], &w);
		rig_invite(&rig, 3600, &code);
		assert_int_equal(dev_redeem(&laptop[i], &code, RELAY_CLIENT),
				 0);
	}
	control_stop(rig.control);
	rig.control = NULL;
	until(&w, relay_counts(w.relay).controls == 0);
	for (int i = 0; i < 3; i++)
		dev_wish(&laptop[i], &rig, true);
	until(&w, relay_counts(w.relay).waiting == 3);
	rig.answers = true;
	dev_control(&rig, RELAY_RIG, 1);
	/* Those that are too many hear it, and none hangs. */
	until(&w, (laptop[0].wish_err != 0 || laptop[0].chan != NULL) &&
			  (laptop[1].wish_err != 0 || laptop[1].chan != NULL) &&
			  (laptop[2].wish_err != 0 || laptop[2].chan != NULL));
	for (int i = 0; i < 3; i++) {
		full += laptop[i].wish_err == RW_ERR_LIMIT &&
			strstr(laptop[i].wish_text, "relay.max_pairs") != NULL;
		up += laptop[i].chan != NULL;
	}
	assert_int_equal(up, 1);
	assert_int_equal(full, 2);
	assert_int_equal(relay_counts(w.relay).pairs, 1);
	for (int i = 0; i < 3; i++)
		dev_close(&laptop[i]);
	dev_close(&rig);
	world_close(&w);
}

static void changes_of_one_device_are_limited(void **state)
{
	struct world w;
	struct dev rig, laptop;
	struct control_invite inv = { .role = RELAY_CLIENT,
				      .ttl_s = 3600,
				      .uses = 1 };
	unsigned dones, full = 0;

	(void)state;
	world_open(&w);
	w.settings.relay.max_changes = 5;
	w.settings.relay.max_invites = 1000;
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	for (unsigned i = 0; i < 20; i++) {
		inv.invite_id[0] = inv.hash[0] = (uint8_t)(i + 1);
		dones = rig.dones;
		assert_int_equal(control_put_invite(rig.control, &inv,
						    dev_on_done, &rig),
				 0);
		until(&w, rig.dones > dones);
		full += rig.done_err == RW_ERR_LIMIT;
	}
	assert_in_range(full, 10, 18); /* one more each second */
	assert_true(control_is_up(rig.control));
	world_end_two(&w, &rig, &laptop);
}

/* Devices come, are removed, and others come: the relay is not full of them. */
static void those_who_were_removed_are_forgotten(void **state)
{
	struct world w;
	struct dev rig, laptop;
	struct pin pin;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	for (unsigned i = 0; i < 10000; i++) {
		random_bytes(pin.b, sizeof(pin.b));
		assert_non_null(relay_present(w.relay, &pin));
		assert_true(pinmap_count(&w.relay->present) < 200);
	}
	/* Who is there, or may come, is not. */
	assert_true(control_is_up(rig.control));
	connect_two(&w, &rig, &laptop);
	world_end_two(&w, &rig, &laptop);
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

static void handshakes_at_once_are_limited(void **state)
{
	struct world w;
	int fd[4];

	(void)state;
	world_open(&w);
	w.settings.relay.max_handshakes = 2;
	world_start_relay(&w, 0);
	for (int i = 0; i < 4; i++)
		fd[i] = knock(&w);
	until(&w, relay_counts(w.relay).connections > 0);
	assert_int_equal(relay_counts(w.relay).connections, 2);
	/* Who ends makes room, and so does who takes long. */
	close(fd[0]);
	until(&w, relay_counts(w.relay).connections == 3);
	for (int i = 1; i < 4; i++)
		close(fd[i]);
	world_close(&w);
}

static void newcomers_that_wait_are_limited(void **state)
{
	struct world w;
	int fd[6];

	(void)state;
	world_open(&w);
	w.settings.relay.max_handshakes = 1;
	w.settings.relay.max_newcomers = 2;
	world_start_relay(&w, 0);
	for (int i = 0; i < 6; i++)
		fd[i] = knock(&w);
	until(&w, relay_counts(w.relay).connections == 1);
	until(&w, w.relay->is_full);
	assert_int_equal(w.relay->lobby.count, 2);
	/* The others wait in the kernel's queue, and all get in. */
	until(&w, relay_counts(w.relay).connections == 6);
	assert_int_equal(w.relay->lobby.count, 0);
	assert_false(w.relay->is_full);
	for (int i = 0; i < 6; i++)
		close(fd[i]);
	world_close(&w);
}

/* One after the other for a second each, they would keep the last out for
 * longer than anybody waits for a relay. */
static void who_says_nothing_holds_up_nobody_for_long(void **state)
{
	struct world w;
	struct dev rig;
	struct code code;
	int fd[16];

	(void)state;
	world_open(&w);
	w.settings.relay.max_handshakes = 1;
	world_start_relay(&w, 0);
	dev_open(&rig, &w);
	relay_code_new(&w, &code);
	assert_int_equal(dev_redeem(&rig, &code, RELAY_RIG), 0);
	for (int i = 0; i < 16; i++)
		fd[i] = knock(&w);
	dev_control(&rig, RELAY_RIG, 1);
	for (int i = 0; i < 16; i++)
		close(fd[i]);
	dev_close(&rig);
	world_close(&w);
}

static void who_has_left_costs_no_handshake(void **state)
{
	struct world w;
	int fd;

	(void)state;
	world_open(&w);
	world_start_relay(&w, 0);
	close(knock(&w));
	fd = knock(&w);
	until(&w, relay_counts(w.relay).connections > 0);
	assert_int_equal(relay_counts(w.relay).connections, 1);
	close(fd);
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
	world_of_two(&w, &rig, &laptop);
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
	world_end_two(&w, &rig, &laptop);
}

static void what_waits_for_a_device_that_does_not_read_is_limited(void **state)
{
	struct relay_msg m = { .type = R_HELLO }, ping = { .type = R_PING };
	uint8_t pings[512 * RELAY_HDR_LEN * 3];
	struct world w;
	struct dev rig, laptop;
	struct tls_ctx *ctx;
	struct rude r;
	size_t n = 0;

	(void)state;
	world_open(&w);
	w.settings.relay.max_queued_bytes = 4096;
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	m.hello.version_min = m.hello.version_max = RELAY_VERSION;
	m.hello.purpose = RELAY_CONTROL;
	m.hello.role = RELAY_CLIENT;
	m.hello.incarnation = 1;
	m.hello.present = MSG_BIT(R_TAG_INCARNATION);
	rude_open(&r, &laptop, &ctx);
	assert_int_equal(reach_send(r.chan, &m), 0);
	until(&w, r.len > 0 && relay_counts(w.relay).controls == 2);
	for (size_t i = 0; i < 512; i++)
		n += relay_msg_write(&ping, pings + n);
	/* It asks and asks; what the kernels hold is not the relay's. */
	chan_pause(r.chan);
	guard_start(&w.guard, WAIT_MS);
	while (relay_counts(w.relay).controls == 2 && !w.guard.is_late) {
		if (chan_queued(r.chan) < sizeof(pings)) {
			assert_int_equal(chan_write(r.chan, pings, n), 0);
			chan_flush(r.chan);
		}
		uv_run(&w.loop, UV_RUN_NOWAIT);
	}
	timer_stop(w.guard.timer);
	assert_int_equal(relay_counts(w.relay).controls, 1);
	chan_close(r.chan, RW_ERR_CANCELLED);
	until(&w, r.is_closed);
	tls_ctx_free(ctx);
	world_end_two(&w, &rig, &laptop);
}

/* A rig that lost its paths says so first thing when it is back. */
static void a_hello_names_what_is_lost_and_both_legs_close(void **state)
{
	struct relay_msg m = { .type = R_HELLO };
	uint8_t lost[16];
	struct world w;
	struct dev rig, laptop;
	struct tls_ctx *ctx;
	struct rude r;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	connect_two(&w, &rig, &laptop);
	until(&w, relay_counts(w.relay).pairs == 1);
	control_stop(rig.control);
	rig.control = NULL;
	until(&w, relay_counts(w.relay).controls == 0);
	assert_int_equal(relay_counts(w.relay).pairs, 1);
	assert_false(laptop.is_over);
	put_be64(lost, 12345); /* long gone */
	put_be64(lost + 8, rig.call.rendezvous);
	m.hello.version_min = m.hello.version_max = RELAY_VERSION;
	m.hello.purpose = RELAY_CONTROL;
	m.hello.role = RELAY_RIG;
	m.hello.incarnation = 1;
	m.hello.lost = (struct msg_view){ lost, sizeof(lost) };
	m.hello.present = MSG_BIT(R_TAG_INCARNATION) | MSG_BIT(R_TAG_LOST);
	rude_open(&r, &rig, &ctx);
	assert_int_equal(reach_send(r.chan, &m), 0);
	until(&w, laptop.is_over && rig.is_over);
	until(&w, relay_counts(w.relay).pairs == 0);
	assert_int_equal(relay_counts(w.relay).controls, 1);
	chan_close(r.chan, RW_ERR_CANCELLED);
	until(&w, r.is_closed);
	tls_ctx_free(ctx);
	world_end_two(&w, &rig, &laptop);
}

static void a_message_of_the_relay_from_a_device_closes_it(void **state)
{
	struct relay_msg m = { .type = R_READY };
	struct world w;
	struct dev rig, laptop;
	struct tls_ctx *ctx;
	struct rude r;

	(void)state;
	world_of_two(&w, &rig, &laptop);
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
	world_end_two(&w, &rig, &laptop);
}

/* Who asks for the list, in a thread of his own. */
struct asker {
	uv_work_t work;
	char path[96];
	size_t rows;
	bool is_whole, is_done;
};

static void asker_run(uv_work_t *work)
{
	struct asker *a = work->data;
	json_t *msg = json_pack("{s:s}", "do", "devices"), *line = NULL;
	int fd = local_connect(a->path);
	int err = local_ask(fd, msg);

	json_decref(msg);
	while (err == 0 && (err = local_next(fd, WAIT_MS, &line, NULL)) == 0) {
		a->rows += json_is_string(json_object_get(line, "fingerprint"));
		json_decref(line);
	}
	if (err == 1) {
		a->is_whole = json_is_true(json_object_get(line, "ok")) &&
			      json_is_true(json_object_get(line, "running"));
		json_decref(line);
	}
	close(fd);
}

static void asker_done(uv_work_t *work, int status)
{
	(void)status;
	((struct asker *)work->data)->is_done = true;
}

static void as_many_devices_as_there_may_be_are_listed(void **state)
{
	struct redeem_try t = { .role = RELAY_RIG };
	struct asker a = { .work.data = &a };
	char text[BOOK_TEXT_CAP];
	struct local *srv;
	struct fleet *f;
	struct world w;
	bool is_new;

	(void)state;
	world_open(&w);
	w.settings.relay.max_devices = 65536;
	world_start_relay(&w, 0);
	assert_int_equal(book_add_fleet(w.book, 1, &f, text), 0);
	/* As long as a name can be. */
	char name[RELAY_NAME_MAX + 1];

	memset(name, 'n', RELAY_NAME_MAX);
	name[RELAY_NAME_MAX] = '\0';
	t.name = name;
	for (uint32_t i = 0; i < 65536; i++) {
		put_be32(t.pin.b, i);
		assert_non_null(book_admit(w.book, f, &t, &is_new));
	}
	snprintf(a.path, sizeof(a.path), "%s/sock", w.dir);
	assert_int_equal(desk_serve(&w.desk, &w.loop, a.path, &srv), 0);
	uv_queue_work(&w.loop, &a.work, asker_run, asker_done);
	until_by(&w.guard, 6 * WAIT_MS, a.is_done,
		 uv_run(&w.loop, UV_RUN_ONCE));
	assert_true(a.is_whole);
	assert_int_equal(a.rows, 65536);
	local_free(srv);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_are_judged_over_the_wire),
		cmocka_unit_test(a_failed_dial_says_name_or_port),
		cmocka_unit_test(wrong_codes_are_limited_and_burn_nothing),
		cmocka_unit_test(an_unknown_key_may_only_redeem),
		cmocka_unit_test(fleets_do_not_see_each_other),
		cmocka_unit_test(waiting_wishes_of_one_device_are_limited),
		cmocka_unit_test(pairs_of_one_fleet_are_limited),
		cmocka_unit_test(
			unproven_connections_of_one_address_are_limited),
		cmocka_unit_test(handshakes_at_once_are_limited),
		cmocka_unit_test(newcomers_that_wait_are_limited),
		cmocka_unit_test(who_says_nothing_holds_up_nobody_for_long),
		cmocka_unit_test(who_has_left_costs_no_handshake),
		cmocka_unit_test(all_connections_are_limited),
		cmocka_unit_test(pairs_are_limited_when_many_wishes_waited),
		cmocka_unit_test(changes_of_one_device_are_limited),
		cmocka_unit_test(those_who_were_removed_are_forgotten),
		cmocka_unit_test(
			what_waits_for_a_device_that_does_not_read_is_limited),
		cmocka_unit_test(as_many_devices_as_there_may_be_are_listed),
		cmocka_unit_test(garbage_is_closed),
		cmocka_unit_test(a_byte_between_wish_and_ready_closes_it),
		cmocka_unit_test(
			a_hello_names_what_is_lost_and_both_legs_close),
		cmocka_unit_test(
			a_message_of_the_relay_from_a_device_closes_it),
	};

	log_set_level(LOG_LEVEL_WARN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
