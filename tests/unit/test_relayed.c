/* SPDX-License-Identifier: MIT */
/*
 * The device's side against a relay of this file's own making, which does what
 * a good one may do and a bad one might: READY and the first inner bytes in one
 * segment, silence, another key, nonsense.
 */
#include "relay_world.h"

#include <fcntl.h>
#include <linux/filter.h>

#include "net/backoff.h"

/* A relay with one connection at a time, by hand: TLS without I/O. */
struct fake {
	struct world *w;
	struct listener *listener;
	struct tls_ctx *outer, *inner;
	struct tls *tls; /* the outer one, and after READY the inner one */
	struct buf out;
	int fd;
	unsigned accepted;
	struct relay_msg hello;
	bool has_hello;
	uint8_t hello_bytes[RELAY_FRAME_MAX];
	uint8_t got[1024];
	size_t got_len;
	uint8_t plain[TLS_RECORD_MAX];
};

static void fake_on_accept(void *user, int fd,
			   const struct sockaddr_storage *peer)
{
	struct fake *f = user;

	(void)peer;
	if (f->fd >= 0)
		close(f->fd);
	tls_free(f->tls);
	buf_reset(&f->out);
	f->fd = fd;
	f->accepted++;
	f->has_hello = false;
	f->got_len = 0;
	assert_int_equal(tls_new(f->outer, NULL, &f->tls), 0);
	tls_set_output(f->tls, &f->out);
}

static void fake_open(struct fake *f, struct world *w, struct key *as)
{
	memset(f, 0, sizeof(*f));
	f->w = w;
	f->fd = -1;
	assert_int_equal(tls_ctx_new(as, TLS_SERVER, RELAY_ALPN, &f->outer), 0);
	assert_int_equal(listener_open(&w->loop,
				       &(struct listener_at){ "127.0.0.1", 0 },
				       fake_on_accept, f, &f->listener),
			 0);
	snprintf(w->at, sizeof(w->at), "127.0.0.1:%u",
		 listener_port(f->listener));
	w->relays[0] = w->at;
}

static void fake_close(struct fake *f)
{
	listener_close(f->listener);
	if (f->fd >= 0)
		close(f->fd);
	tls_free(f->tls);
	tls_ctx_free(f->outer);
	tls_ctx_free(f->inner);
	buf_done(&f->out);
}

static void fake_flush(struct fake *f)
{
	size_t len;
	uint8_t *p = buf_peek(&f->out, &len);
	ssize_t n = len > 0 ? send(f->fd, p, len, MSG_NOSIGNAL) : 0;

	if (n > 0)
		buf_drain(&f->out, (size_t)n);
}

/* Reads what there is; returns whether anything went on. */
static bool fake_turn(struct fake *f)
{
	uint8_t in[4096];
	ssize_t n;

	if (f->fd < 0)
		return false;
	n = recv(f->fd, in, sizeof(in), MSG_DONTWAIT);
	if (n > 0)
		assert_int_equal(tls_feed(f->tls, in, (size_t)n), 0);
	if (tls_step(f->tls) == 1) {
		ssize_t got = tls_read(f->tls, f->plain, sizeof(f->plain));

		if (got > 0 && f->got_len + (size_t)got <= sizeof(f->got)) {
			memcpy(f->got + f->got_len, f->plain, (size_t)got);
			f->got_len += (size_t)got;
		}
	}
	fake_flush(f);
	if (!f->has_hello && f->got_len > 0 &&
	    relay_msg_read(f->got, f->got_len, RELAY_SIDE_DEVICE, &f->hello) >
		    0) {
		f->has_hello = true;
		f->got_len = 0;
	}
	return n > 0;
}

/* As until(), with the fake taking its turns. */
#define until_fake(f, cond)                                                    \
	until_by(&(f)->w->guard, WAIT_MS, cond,                                \
		 (uv_run(&(f)->w->loop, UV_RUN_NOWAIT), fake_turn(f)))

/* As until_fake(), by the loop's own timers: one that is due before fires
 * before, however long the test is held up. */
#define until_fake_by(f, ms, cond)                                             \
	until_by(&(f)->w->guard, ms, cond,                                     \
		 (uv_run(&(f)->w->loop, UV_RUN_NOWAIT), fake_turn(f)))

static void fake_say(struct fake *f, const struct relay_msg *m)
{
	uint8_t frame[RELAY_FRAME_MAX];

	assert_int_equal(tls_write(f->tls, frame, relay_msg_write(m, frame)),
			 0);
}

static void fake_world_close(struct world *w, struct fake *f)
{
	fake_close(f);
	timer_free(w->guard.timer);
	loop_run_close(&w->loop);
	key_free(w->key);
	settings_done(&w->settings);
	rmdir(w->dir);
}

static const struct relay_msg ready = { .type = R_READY,
					.ready.addr = "127.0.0.1:9" };

/* Plays the client behind the relay: its first flight leaves in one segment
 * with READY, whole or cut after `cut` bytes of it. */
static void ready_with_inner_bytes(size_t cut)
{
	struct world w;
	struct fake f;
	struct dev rig, client;
	struct tls *inner;
	size_t len, ready_len;
	uint8_t *p;

	world_open(&w);
	fake_open(&f, &w, w.key);
	dev_open(&rig, &w);
	dev_open(&client, &w);
	dev_answer(&rig, key_pin(client.key), 42);
	until_fake(&f, f.has_hello);
	assert_int_equal(f.hello.hello.purpose, RELAY_ANSWER);
	assert_true(f.hello.hello.rendezvous == 42);

	fake_say(&f, &ready);
	buf_peek(&f.out, &ready_len);
	assert_int_equal(
		tls_ctx_new(client.key, TLS_CLIENT, INNER_ALPN, &f.inner), 0);
	assert_int_equal(tls_new(f.inner, key_pin(rig.key), &inner), 0);
	tls_set_output(inner, &f.out);
	assert_int_equal(tls_step(inner), 0);
	p = buf_peek(&f.out, &len);
	assert_true(len > ready_len + cut);
	if (cut > 0) {
		assert_int_equal(send(f.fd, p, ready_len + cut, 0),
				 ready_len + cut);
		buf_drain(&f.out, ready_len + cut);
		for (int i = 0; i < 10; i++)
			uv_run(&w.loop, UV_RUN_NOWAIT);
	}
	tls_free(f.tls);
	f.tls = inner;
	f.got_len = 0;
	fake_flush(&f);
	until_fake(&f, rig.chan != NULL && tls_is_up(inner));
	assert_true(pin_eq(chan_peer_pin(rig.chan), key_pin(client.key)));
	assert_int_equal(chan_write(rig.chan, "inside", 6), 0);
	chan_flush(rig.chan);
	until_fake(&f, f.got_len == 6);
	assert_memory_equal(f.got, "inside", 6);
	assert_int_equal(tls_write(inner, (const uint8_t *)"answer", 6), 0);
	fake_flush(&f);
	until_fake(&f, rig.got_len == 6);
	assert_memory_equal(rig.got, "answer", 6);
	dev_close(&rig);
	dev_close(&client);
	fake_world_close(&w, &f);
}

static void ready_and_the_first_inner_bytes_in_one_segment(void **state)
{
	(void)state;
	ready_with_inner_bytes(0);
}

static void ready_and_half_an_inner_record_in_one_segment(void **state)
{
	(void)state;
	ready_with_inner_bytes(1);
	ready_with_inner_bytes(7);
	ready_with_inner_bytes(100);
}

/* A laptop that has asked a relay of ours for a rig. */
static void fake_wish_open(struct world *w, struct fake *f, struct dev *rig,
			   struct dev *laptop)
{
	world_open(w);
	fake_open(f, w, w->key);
	dev_open(rig, w);
	dev_open(laptop, w);
	dev_wish(laptop, rig, true);
	until_fake(f, f->has_hello);
}

static void fake_wish_close(struct world *w, struct fake *f, struct dev *rig,
			    struct dev *laptop)
{
	dev_close(rig);
	dev_close(laptop);
	fake_world_close(w, f);
}

/* Plaintext behind READY, still inside the outer TLS, is nobody's. */
static void a_message_behind_ready_is_refused(void **state)
{
	struct relay_msg waiting = { .type = R_WAITING };
	struct world w;
	struct fake f;
	struct dev rig, laptop;

	(void)state;
	fake_wish_open(&w, &f, &rig, &laptop);
	assert_int_equal(f.hello.hello.purpose, RELAY_WISH);
	assert_true(pin_eq(&f.hello.hello.rig, key_pin(rig.key)));
	uint8_t frames[2 * RELAY_FRAME_MAX];
	size_t n = relay_msg_write(&ready, frames);

	n += relay_msg_write(&waiting, frames + n);
	assert_int_equal(tls_write(f.tls, frames, n), 0); /* one record */
	fake_flush(&f);
	until_fake(&f, laptop.wish_err != 0);
	assert_null(laptop.chan);
	fake_wish_close(&w, &f, &rig, &laptop);
}

/* The relay itself answers in the rig's place. */
static void a_relay_that_plays_the_rig_is_found_out(void **state)
{
	struct world w;
	struct fake f;
	struct dev rig, laptop;

	(void)state;
	fake_wish_open(&w, &f, &rig, &laptop);
	fake_say(&f, &ready);
	fake_flush(&f);
	assert_int_equal(tls_ctx_new(w.key, TLS_SERVER, INNER_ALPN, &f.inner),
			 0);
	tls_free(f.tls);
	assert_int_equal(tls_new(f.inner, NULL, &f.tls), 0);
	tls_set_output(f.tls, &f.out);
	until_fake(&f, laptop.wish_err != 0);
	assert_int_equal(laptop.wish_err, RW_ERR_PIN);
	assert_null(laptop.chan);
	fake_wish_close(&w, &f, &rig, &laptop);
}

static void a_relay_with_another_key_is_not_spoken_to(void **state)
{
	struct world w;
	struct fake f;
	struct dev rig, laptop;

	(void)state;
	world_open(&w);
	dev_open(&rig, &w);
	dev_open(&laptop, &w);
	fake_open(&f, &w, rig.key);
	dev_wish(&laptop, &rig, true);
	until_fake(&f, laptop.wish_err != 0);
	assert_int_equal(laptop.wish_err, RW_ERR_PIN);
	assert_non_null(strstr(laptop.wish_text, "the key"));
	assert_false(f.has_hello);
	fake_wish_close(&w, &f, &rig, &laptop);
}

static void fake_welcome(struct fake *f)
{
	struct relay_msg m = { .type = R_WELCOME };

	m.welcome.version = RELAY_VERSION;
	strcpy(m.welcome.name, "test");
	strcpy(m.welcome.addr, "127.0.0.1:9");
	fake_say(f, &m);
	fake_flush(f);
}

static void fake_control(struct fake *f, struct dev *d)
{
	dev_control_start(d, RELAY_RIG, 77);
	until_fake(f, f->has_hello);
	assert_int_equal(f->hello.hello.purpose, RELAY_CONTROL);
	assert_true(f->hello.hello.incarnation == 77);
	fake_welcome(f);
	until_fake(f, d->ups == 1);
}

/* A rig that is connected to a relay of ours. */
static void fake_rig_open(struct world *w, struct fake *f, struct dev *rig)
{
	world_open(w);
	fake_open(f, w, w->key);
	dev_open(rig, w);
	fake_control(f, rig);
}

static void fake_rig_close(struct world *w, struct fake *f, struct dev *rig)
{
	dev_close(rig);
	fake_world_close(w, f);
}

/* A path that swallows everything: no FIN, no RST. */
static void silence_after_a_kick_is_found_in_two_seconds(void **state)
{
	struct world w;
	struct fake f;
	struct dev rig;
	int dead;

	(void)state;
	fake_rig_open(&w, &f, &rig);
	dead = f.fd;
	f.fd = -1; /* open, and nobody reads or answers */
	control_lost(rig.control, 1234);
	control_kick(rig.control);
	until_fake_by(&f, 3000, rig.downs == 1);
	assert_int_equal(rig.down_err, RW_ERR_TIMEOUT);
	/* It redials at once, and its hello names what it lost. */
	until_fake(&f, f.has_hello);
	assert_int_equal(f.hello.hello.purpose, RELAY_CONTROL);
	assert_int_equal(f.hello.hello.lost.len, 8);
	fake_welcome(&f);
	until_fake(&f, rig.ups == 2);
	close(dead);
	fake_rig_close(&w, &f, &rig);
}

/* Returns the ping's number. */
static struct relay_number fake_hears_ping(struct fake *f, uint64_t ms)
{
	struct relay_msg ping = { 0 };

	until_fake_by(f, ms, f->got_len > 0);
	assert_true(relay_msg_read(f->got, f->got_len, RELAY_SIDE_DEVICE,
				   &ping) > 0);
	assert_int_equal(ping.type, R_PING);
	return ping.number;
}

/* The relay drops who is silent, whatever it has said itself meanwhile. */
static void what_the_relay_says_puts_off_no_ping(void **state)
{
	const struct relay_msg word = { .type = R_PONG };
	struct world w;
	struct fake f;
	struct dev rig;
	uint64_t start;

	(void)state;
	fake_rig_open(&w, &f, &rig);
	start = loop_now_us(&w.loop);
	until_fake(&f, loop_now_us(&w.loop) >= start + 3900000);
	fake_say(&f, &word);
	fake_flush(&f);
	(void)fake_hears_ping(&f, RELAY_SILENCE_MS - 3900 - 1500);
	fake_rig_close(&w, &f, &rig);
}

/* Whether the number stands among those that a message names. */
static bool is_named(const struct msg_view *lost, uint64_t number)
{
	for (size_t i = 0; i + 8 <= lost->len; i += 8)
		if (get_be64(lost->data + i) == number)
			return true;
	return false;
}

/* The list is full when one more is lost, between a hello and its welcome: the
 * relay hears of it behind the welcome, and of all again when that connection
 * dies as well, for it may not have carried the message. */
static void what_is_lost_before_the_welcome_is_named_as_well(void **state)
{
	struct relay_msg m = { .type = 0 };
	struct world w;
	struct fake f;
	struct dev rig;

	(void)state;
	fake_rig_open(&w, &f, &rig);
	for (uint64_t i = 1; i <= RELAY_LOST_MAX; i++)
		control_lost(rig.control, i);
	for (int i = 0; i < 2; i++) {
		f.has_hello = false;
		close(f.fd);
		f.fd = -1;
		until_fake(&f, f.has_hello);
		assert_int_equal(is_named(&f.hello.hello.lost, 9999), i > 0);
		if (i > 0)
			break;
		assert_int_equal(f.hello.hello.lost.len, 8 * RELAY_LOST_MAX);
		control_lost(rig.control, 9998);
		control_lost(rig.control, 9999);
		fake_welcome(&f);
		until_fake(&f, rig.ups == 2);
		until_fake(&f, relay_msg_read(f.got, f.got_len,
					      RELAY_SIDE_DEVICE, &m) > 0);
		assert_int_equal(m.type, R_LOST);
		assert_true(is_named(&m.lost.lost, 9998));
		assert_true(is_named(&m.lost.lost, 9999));
	}
	fake_rig_close(&w, &f, &rig);
}

static void goes_dark(int fd)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog p = { 1, &none };

	/* Its system drops what comes, and acknowledges nothing. */
	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)), 0);
}

/* A connection that does not answer a ping is not yet given up, and another one
 * is dialled beside it: the relay takes the newer one of a key. */
static void a_silent_connection_is_overtaken(void **state)
{
	struct world w;
	struct fake f;
	struct dev rig;
	int dead;

	(void)state;
	fake_rig_open(&w, &f, &rig);
	dead = f.fd;
	goes_dark(dead);
	f.fd = -1;
	f.has_hello = false;
	control_doubt(rig.control);
	control_doubt(rig.control);
	until_fake(&f, f.has_hello);
	assert_int_equal(f.hello.hello.purpose, RELAY_CONTROL);
	assert_true(control_is_up(rig.control));
	fake_welcome(&f);
	until_fake(&f, rig.ups == 2);
	assert_int_equal(rig.downs, 0);
	assert_true(control_is_up(rig.control));
	close(dead);
	fake_rig_close(&w, &f, &rig);
}

#define until_time(w, at_us)                                                   \
	until_by(&(w)->guard, WAIT_MS, loop_now_us(&(w)->loop) >= (at_us),     \
		 uv_run(&(w)->loop, UV_RUN_NOWAIT))

/* What comes in may have left before the path was gone, or the path carries in
 * one direction only: an unanswered ping stays one. */
static void what_the_relay_says_ends_no_doubt(void **state)
{
	const struct relay_msg word = { .type = R_PING };
	struct world w;
	struct fake f;
	struct dev rig;

	(void)state;
	fake_rig_open(&w, &f, &rig);
	goes_dark(f.fd);
	control_doubt(rig.control);
	fake_say(&f, &word);
	fake_flush(&f);
	until_by(&w.guard, 3000, f.accepted == 2, uv_run(&w.loop, UV_RUN_ONCE));
	fake_rig_close(&w, &f, &rig);
}

/* Answers the ping that is there or comes soon: not the one of each 5 s. */
static void fake_pong(struct fake *f)
{
	struct relay_msg m = { .type = R_PONG };

	m.number = fake_hears_ping(f, 3000);
	f->got_len = 0;
	fake_say(f, &m);
	fake_flush(f);
}

/* An answer that an outage held up is no measure for the next one. */
static void an_outage_is_no_round_trip(void **state)
{
	struct world w;
	struct fake f;
	struct dev rig;
	uint64_t start;

	(void)state;
	fake_rig_open(&w, &f, &rig);
	control_doubt(rig.control);
	start = loop_now_us(&w.loop);
	until_time(&w, start + 2500000);
	fake_pong(&f);
	fake_pong(&f); /* it asks once more */
	start = loop_now_us(&w.loop);
	until_time(&w, start + 100000);
	goes_dark(f.fd);
	control_doubt(rig.control);
	until_by(&w.guard, 3500, f.accepted == 2, uv_run(&w.loop, UV_RUN_ONCE));
	fake_rig_close(&w, &f, &rig);
}

/* What the relay's system has taken is waited for: the path is there, and a
 * relay that has thousands before it is not helped by more dials. */
static void a_busy_relay_is_waited_for(void **state)
{
	struct world w;
	struct fake f;
	struct dev rig;
	uint64_t start;
	int busy;

	(void)state;
	fake_rig_open(&w, &f, &rig);
	busy = f.fd;
	f.fd = -1; /* open, and nobody reads or answers */
	control_doubt(rig.control);
	start = loop_now_us(&w.loop);
	until_time(&w, start + 1500000);
	assert_int_equal(f.accepted, 1);
	assert_true(control_is_up(rig.control));
	close(busy);
	until(&w, f.accepted == 2); /* and nobody takes its turns */
	start = loop_now_us(&w.loop);
	until_time(&w, start + 2600000);
	assert_int_equal(f.accepted, 2);
	/* It may hang, or be another program. */
	until(&w, f.accepted == 3);
	fake_rig_close(&w, &f, &rig);
}

/* A rig whose first dial stands in the line of a relay that is busy. */
static void fake_line_open(struct world *w, struct fake *f, struct dev *rig)
{
	uint64_t start;

	world_open(w);
	fake_open(f, w, w->key);
	dev_open(rig, w);
	dev_control_start(rig, RELAY_RIG, 1);
	until(w, f->accepted == 1); /* and nobody takes its turns */
	start = loop_now_us(&w->loop);
	until_time(w, start + 800000);
	assert_int_equal(f->accepted, 1);
}

/* It dials anew before it would have waited long enough. */
static void until_line_is_left(struct world *w, struct fake *f)
{
	until_by(&w->guard, REACH_LINE_US / 1000 - 1500, f->accepted == 2,
		 uv_run(&w->loop, UV_RUN_ONCE));
}

/* Whether that is so is asked of its system, each second: a path that ends
 * meanwhile is not waited for. */
static void a_busy_relay_is_waited_for_while_it_is_there(void **state)
{
	struct world w;
	struct fake f;
	struct dev rig;
	int dark;

	(void)state;
	fake_line_open(&w, &f, &rig);
	dark = f.fd;
	f.fd = -1;
	goes_dark(dark);
	until_line_is_left(&w, &f);
	close(dark);
	fake_rig_close(&w, &f, &rig);
}

/* After a roam or a sleep nobody knows what the old path has. */
static void a_busy_relay_is_not_waited_for_after_a_kick(void **state)
{
	struct world w;
	struct fake f;
	struct dev rig;

	(void)state;
	fake_line_open(&w, &f, &rig);
	control_kick(rig.control);
	until_line_is_left(&w, &f);
	fake_rig_close(&w, &f, &rig);
}

/* The path changes under a code that is just shown: it is shown anew. */
static void a_code_is_shown_again_where_the_path_is_gone(void **state)
{
	struct code code = { .relay_count = 1 };
	struct redeem_params p = { .code = &code,
				   .role = RELAY_CLIENT,
				   .name = "laptop" };
	struct world w;
	struct fake f;
	struct dev laptop;
	struct redeem *r;
	int dark;

	(void)state;
	world_open(&w);
	fake_open(&f, &w, w.key);
	dev_open(&laptop, &w);
	p.loop = &w.loop;
	p.key = laptop.key;
	code.relay_pin = *key_pin(w.key);
	str_copy(code.relay[0], sizeof(code.relay[0]), w.at);
	assert_int_equal(relay_redeem(&p, dev_on_redeemed, &laptop, &r), 0);
	until(&w, f.accepted == 1);
	dark = f.fd;
	goes_dark(dark);
	f.fd = -1;
	until_fake(&f, f.has_hello);
	assert_int_equal(f.accepted, 2);
	assert_int_equal(f.hello.hello.purpose, RELAY_REDEEM);
	fake_welcome(&f);
	until_fake(&f, laptop.dones == 1);
	assert_int_equal(laptop.done_err, 0);
	close(dark);
	dev_close(&laptop);
	fake_world_close(&w, &f);
}

/* Behind a rig that is connected, whose answer may come at any moment. */
static void a_path_that_ends_in_line_is_noticed(void **state)
{
	struct relay_msg waiting = { .type = R_WAITING,
				     .waiting.online = true };
	struct world w;
	struct fake f;
	struct dev rig, laptop;
	uint64_t start;

	(void)state;
	fake_wish_open(&w, &f, &rig, &laptop);
	assert_false(relayed_is_in_line(laptop.relayed));
	fake_say(&f, &waiting);
	fake_flush(&f);
	until_fake(&f, laptop.waits == 1);
	start = loop_now_us(&w.loop);
	until_time(&w, start + 5000000);
	assert_true(relayed_is_in_line(laptop.relayed));
	goes_dark(f.fd);
	until_by(&w.guard, WAIT_MS, !relayed_is_in_line(laptop.relayed),
		 uv_run(&w.loop, UV_RUN_NOWAIT));
	assert_int_equal(laptop.wish_err, 0);
	/* What comes after all counts. */
	waiting.waiting.online = false;
	fake_say(&f, &waiting);
	fake_flush(&f);
	until_fake(&f, laptop.waits == 2);
	assert_true(relayed_is_in_line(laptop.relayed));
	fake_wish_close(&w, &f, &rig, &laptop);
}

/* While nobody listens, a dial starts every 0.4 s: it is back at once. */
static void an_outage_is_dialled_into_eagerly(void **state)
{
	struct world w;
	struct fake f;
	struct dev rig;
	uint16_t port;

	(void)state;
	fake_rig_open(&w, &f, &rig);
	port = listener_port(f.listener);
	listener_close(f.listener);
	f.listener = NULL;
	close(f.fd);
	f.fd = -1;
	f.has_hello = false;
	until_fake(&f, rig.downs >= 2); /* lost, and then refused */
	assert_int_equal(rig.down_err, RW_ERR_REFUSED);
	assert_in_range(rig.down_next_ms, 0, BACKOFF_EAGER_MS);
	assert_int_equal(
		listener_open(&w.loop,
			      &(struct listener_at){ "127.0.0.1", port },
			      fake_on_accept, &f, &f.listener),
		0);
	until_fake(&f, f.has_hello);
	fake_welcome(&f);
	until_fake(&f, rig.ups == 2);
	fake_rig_close(&w, &f, &rig);
}

static void nonsense_from_the_relay_ends_the_connection(void **state)
{
	static const uint8_t nonsense[RELAY_HDR_LEN] = { R_HELLO };
	struct world w;
	struct fake f;
	struct dev rig;

	(void)state;
	fake_rig_open(&w, &f, &rig);
	assert_int_equal(tls_write(f.tls, nonsense, sizeof(nonsense)), 0);
	fake_flush(&f);
	until_fake(&f, rig.downs >= 1);
	assert_int_equal(rig.first_down_err, RW_ERR_PROTO);
	fake_rig_close(&w, &f, &rig);
}

/* It pings and pings and never reads an answer. */
static void a_relay_that_does_not_read_is_left(void **state)
{
	struct relay_msg ping = { .type = R_PING };
	struct world w;
	struct fake f;
	struct dev rig;
	uint8_t frame[RELAY_FRAME_MAX];
	size_t n = relay_msg_write(&ping, frame), len;

	(void)state;
	fake_rig_open(&w, &f, &rig);
	guard_start(&w.guard, 6 * WAIT_MS); /* a hundred thousand records */
	while (rig.downs == 0 && !w.guard.is_late) {
		uint8_t *out = buf_peek(&f.out, &len);
		ssize_t sent = len > 0 ? send(f.fd, out, len,
					      MSG_DONTWAIT | MSG_NOSIGNAL)
				       : 0;

		if (sent > 0)
			buf_drain(&f.out, (size_t)sent);
		for (int k = 0; len < 65536 && k < 512; k++)
			assert_int_equal(tls_write(f.tls, frame, n), 0);
		uv_run(&w.loop, UV_RUN_NOWAIT);
	}
	timer_stop(w.guard.timer);
	assert_true(rig.downs > 0);
	assert_int_equal(rig.first_down_err, RW_ERR_LIMIT);
	fake_rig_close(&w, &f, &rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			ready_and_the_first_inner_bytes_in_one_segment),
		cmocka_unit_test(ready_and_half_an_inner_record_in_one_segment),
		cmocka_unit_test(a_message_behind_ready_is_refused),
		cmocka_unit_test(a_relay_that_plays_the_rig_is_found_out),
		cmocka_unit_test(a_relay_with_another_key_is_not_spoken_to),
		cmocka_unit_test(silence_after_a_kick_is_found_in_two_seconds),
		cmocka_unit_test(what_the_relay_says_puts_off_no_ping),
		cmocka_unit_test(
			what_is_lost_before_the_welcome_is_named_as_well),
		cmocka_unit_test(a_silent_connection_is_overtaken),
		cmocka_unit_test(what_the_relay_says_ends_no_doubt),
		cmocka_unit_test(an_outage_is_no_round_trip),
		cmocka_unit_test(a_busy_relay_is_waited_for),
		cmocka_unit_test(a_busy_relay_is_waited_for_while_it_is_there),
		cmocka_unit_test(a_busy_relay_is_not_waited_for_after_a_kick),
		cmocka_unit_test(a_code_is_shown_again_where_the_path_is_gone),
		cmocka_unit_test(a_path_that_ends_in_line_is_noticed),
		cmocka_unit_test(an_outage_is_dialled_into_eagerly),
		cmocka_unit_test(nonsense_from_the_relay_ends_the_connection),
		cmocka_unit_test(a_relay_that_does_not_read_is_left),
	};

	log_set_level(LOG_LEVEL_WARN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
