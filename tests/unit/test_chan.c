/* SPDX-License-Identifier: MIT */
#include "sample.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "crypto/key.h"
#include "net/chan_local.h"
#include "net/listen.h"
#include "net/dial.h"
#include "net/loop.h"

static struct key *alice, *bob, *eve;
static struct tls_ctx *alice_ctx, *bob_ctx; /* client, server */
static struct tls_ctx *outer_client, *outer_server;

static int make_keys(void **state)
{
	(void)state;
	if (key_generate(&alice) < 0 || key_generate(&bob) < 0 ||
	    key_generate(&eve) < 0)
		return -1;
	if (tls_ctx_new(alice, TLS_CLIENT, "rigway/1", &alice_ctx) < 0 ||
	    tls_ctx_new(bob, TLS_SERVER, "rigway/1", &bob_ctx) < 0 ||
	    tls_ctx_new(bob, TLS_CLIENT, "rigway-relay/1", &outer_client) < 0 ||
	    tls_ctx_new(eve, TLS_SERVER, "rigway-relay/1", &outer_server) < 0)
		return -1;
	return 0;
}

static int drop_keys(void **state)
{
	(void)state;
	tls_ctx_free(alice_ctx);
	tls_ctx_free(bob_ctx);
	tls_ctx_free(outer_client);
	tls_ctx_free(outer_server);
	key_free(alice);
	key_free(bob);
	key_free(eve);
	return 0;
}

/* One end of a connection and what became of it. */
struct end {
	struct chan *c;
	int fd; /* c's socket */
	struct end *other;
	struct buf got;
	int ups;
	bool is_closed;
	int err;
	size_t take;	     /* bytes taken a call; 0: all */
	size_t shown_max;    /* the most that was shown at once */
	const uint8_t *send; /* what is still to be sent */
	size_t send_len;
	int detached; /* fd */
	struct buf leftover;
	bool must_pause;
	bool must_handover;
	bool must_detach;
};

static void fill(struct end *e)
{
	while (e->send_len > 0 && chan_queued(e->c) < 1024 * 1024) {
		size_t n = MIN(e->send_len, (size_t)50000);

		assert_int_equal(chan_write(e->c, e->send, n), 0);
		e->send += n;
		e->send_len -= n;
		chan_flush(e->c);
	}
}

static void on_up(struct chan *c)
{
	struct end *e = chan_user(c);

	e->ups++;
	fill(e);
}

static size_t on_data(struct chan *c, const uint8_t *data, size_t len)
{
	struct end *e = chan_user(c);
	size_t n = len;

	e->shown_max = MAX(e->shown_max, len);
	if (e->take != 0)
		n = len - len % e->take;
	assert_int_equal(buf_append(&e->got, data, n), 0);
	if (e->must_pause) {
		chan_pause(c);
		e->must_pause = false;
	}
	if (e->must_detach)
		e->detached = chan_detach_fd(c, &e->leftover);
	if (e->must_handover && n == 5) {
		/* PROTOCOL.md 3.4: the rig is the server inside. */
		e->must_handover = false;
		assert_int_equal(chan_start_tls(c, bob_ctx, key_pin(alice)), 0);
	}
	return n;
}

static void on_room(struct chan *c)
{
	fill(chan_user(c));
}

static void on_closed(struct chan *c, int err)
{
	struct end *e = chan_user(c);

	assert_ptr_equal(e->c, c);
	e->c = NULL;
	e->is_closed = true;
	e->err = err;
}

static const struct chan_ops ops = { on_up, on_data, on_room, on_closed };

struct world {
	uv_loop_t loop;
	struct end a, b;
};

static void open_ends(struct world *w, int fa, int fb)
{
	w->a.other = &w->b;
	w->b.other = &w->a;
	w->a.fd = fa;
	w->b.fd = fb;
	assert_int_equal(chan_open_fd(&w->loop, fa, &ops, &w->a, &w->a.c), 0);
	assert_int_equal(chan_open_fd(&w->loop, fb, &ops, &w->b, &w->b.c), 0);
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));
	int fds[2];

	assert_non_null(w);
	assert_int_equal(loop_init(&w->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	open_ends(w, fds[0], fds[1]);
	return w;
}

static struct world *world_with_tls(const struct pin *a_expects,
				    const struct pin *b_expects)
{
	struct world *w = world_new();

	assert_int_equal(chan_start_tls(w->a.c, alice_ctx, a_expects), 0);
	assert_int_equal(chan_start_tls(w->b.c, bob_ctx, b_expects), 0);
	return w;
}

static void world_free(struct world *w)
{
	loop_run_close(&w->loop);
	assert_null(w->a.c);
	assert_null(w->b.c);
	buf_done(&w->a.got);
	buf_done(&w->b.got);
	buf_done(&w->a.leftover);
	free(w);
}

#define RUN_UNTIL(w, cond)                                                     \
	do {                                                                   \
		uint64_t limit_ = loop_now_us(NULL) + 30000000;                \
		while (!(cond)) {                                              \
			uv_run(&(w)->loop, UV_RUN_ONCE);                       \
			assert_true(loop_now_us(NULL) < limit_);               \
		}                                                              \
	} while (0)

static void say(struct end *e, const char *text)
{
	assert_int_equal(chan_write(e->c, text, strlen(text)), 0);
	chan_flush(e->c);
}

static void assert_got(const struct end *e, const void *data, size_t len)
{
	size_t got_len;
	const uint8_t *got = buf_peek(&e->got, &got_len);

	assert_int_equal(got_len, len);
	if (len > 0)
		assert_memory_equal(got, data, len);
}

static void without_tls_it_is_up_at_once_and_carries_bytes(void **state)
{
	struct world *w = world_new();
	char text[CHAN_ADDR_CAP];

	(void)state;
	assert_int_equal(w->a.ups, 0); /* never from inside the call */
	RUN_UNTIL(w, w->a.ups == 1 && w->b.ups == 1);
	say(&w->a, "hello");
	RUN_UNTIL(w, w->b.got.len == 5);
	assert_got(&w->b, "hello", 5);
	assert_null(chan_peer_pin(w->a.c));
	assert_string_equal(chan_peer_addr(w->a.c, text), "unix");
	chan_close(w->a.c, -ECANCELED);
	assert_false(w->a.is_closed);
	RUN_UNTIL(w, w->a.is_closed && w->b.is_closed);
	assert_int_equal(w->a.err, -ECANCELED);
	assert_int_equal(w->b.err, 0);
	world_free(w);
}

static void with_tls_both_sides_are_who_they_should_be(void **state)
{
	struct world *w = world_with_tls(key_pin(bob), key_pin(alice));

	(void)state;
	RUN_UNTIL(w, w->a.ups == 1 && w->b.ups == 1);
	assert_true(pin_eq(chan_peer_pin(w->a.c), key_pin(bob)));
	assert_true(pin_eq(chan_peer_pin(w->b.c), key_pin(alice)));
	say(&w->a, "up");
	say(&w->b, "down");
	RUN_UNTIL(w, w->b.got.len == 2 && w->a.got.len == 4);
	world_free(w);
}

static void a_wrong_server_key_ends_it_on_both_sides(void **state)
{
	struct world *w = world_with_tls(key_pin(eve), NULL);

	(void)state;
	RUN_UNTIL(w, w->a.is_closed && w->b.is_closed);
	assert_int_equal(w->a.err, RW_ERR_PIN);
	assert_int_equal(w->b.err, RW_ERR_REFUSED);
	assert_int_equal(w->a.ups + w->b.ups, 0);
	world_free(w);
}

static void a_wrong_client_key_ends_it_on_both_sides(void **state)
{
	struct world *w = world_with_tls(key_pin(bob), key_pin(eve));

	(void)state;
	RUN_UNTIL(w, w->a.is_closed && w->b.is_closed);
	assert_int_equal(w->a.err, RW_ERR_REFUSED);
	assert_int_equal(w->b.err, RW_ERR_PIN);
	assert_int_equal(w->b.ups, 0);
	world_free(w);
}

static void bulk(struct world *w, size_t take, size_t len)
{
	uint8_t *up = sample(len), *down = sample(len);

	down[0] ^= 1;
	w->a.send = up;
	w->a.send_len = len;
	w->b.send = down;
	w->b.send_len = len;
	w->a.take = w->b.take = take;
	RUN_UNTIL(w, w->b.got.len >= len - len % MAX(take, 1) &&
			     w->a.got.len >= len - len % MAX(take, 1));
	assert_got(&w->b, up, len - len % MAX(take, 1));
	assert_got(&w->a, down, len - len % MAX(take, 1));
	free(up);
	free(down);
}

static void bulk_both_ways_arrives_byte_for_byte(void **state)
{
	struct world *w = world_with_tls(key_pin(bob), key_pin(alice));

	(void)state;
	bulk(w, 0, 20 * 1000 * 1000 + 7);
	world_free(w);
}

/* Who takes bulk, and says a little now and then, does not keep for hours what
 * a burst of its own needed. */
static void memory_of_a_burst_goes_back_while_little_is_said(void **state)
{
	struct world *w = world_with_tls(key_pin(bob), key_pin(alice));
	uint8_t *data = sample(500000);
	size_t said = 500000;

	(void)state;
	RUN_UNTIL(w, w->a.ups == 1 && w->b.ups == 1);
	assert_int_equal(chan_write(w->a.c, data, said), 0);
	chan_flush(w->a.c);
	RUN_UNTIL(w, w->b.got.len == said && chan_queued(w->a.c) == 0);
	assert_true(w->a.c->out.cap + w->a.c->sending.cap >= said);
	for (int i = 0; i < 100; i++) {
		say(&w->a, "little");
		said += 6;
		RUN_UNTIL(w, w->b.got.len == said);
	}
	assert_in_range(w->a.c->out.cap, 1, 4096);
	assert_int_equal(w->a.c->sending.cap, 0);
	chan_close(w->a.c, 0);
	RUN_UNTIL(w, w->a.is_closed && w->b.is_closed);
	free(data);
	world_free(w);
}

/* Frames that straddle records: what is left comes again, in one piece. */
static void what_is_not_taken_is_shown_again(void **state)
{
	struct world *w = world_with_tls(key_pin(bob), key_pin(alice));

	(void)state;
	bulk(w, 40009, 5 * 1000 * 1000);
	assert_true(w->b.shown_max >= 40009);
	world_free(w);
}

static void without_tls_the_same(void **state)
{
	struct world *w = world_new();

	(void)state;
	bulk(w, 40009, 5 * 1000 * 1000);
	world_free(w);
}

static void over_tcp_the_same(void **state);

static void more_than_the_hold_untaken_closes(void **state)
{
	uint8_t *data = sample(CHAN_HOLD * 3);

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct world *w =
			tls ? world_with_tls(NULL, NULL) : world_new();

		w->b.take = CHAN_HOLD * 4;
		w->a.send = data;
		w->a.send_len = CHAN_HOLD * 3;
		RUN_UNTIL(w, w->b.is_closed);
		assert_int_equal(w->b.err, RW_ERR_LIMIT);
		world_free(w);
	}
	free(data);
}

static void a_pause_holds_everything_back(void **state)
{
	const size_t len = 3 * 1000 * 1000;
	uint8_t *data = sample(len);

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct world *w =
			tls ? world_with_tls(NULL, NULL) : world_new();
		size_t seen;

		w->a.send = data;
		w->a.send_len = len;
		w->b.must_pause = true;
		RUN_UNTIL(w, w->b.got.len > 0);
		seen = w->b.got.len;
		for (int i = 0; i < 20; i++)
			uv_run(&w->loop, UV_RUN_NOWAIT);
		assert_int_equal(w->b.got.len, seen);
		assert_true(chan_queued(w->a.c) > 0);
		assert_got(&w->b, data, seen);
		world_free(w);
	}
	free(data);
}

static void finish_sends_the_queue_and_a_clean_end(void **state)
{
	const size_t len = 900 * 1000;
	uint8_t *data = sample(len);

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct world *w =
			tls ? world_with_tls(NULL, NULL) : world_new();

		RUN_UNTIL(w, w->a.ups && w->b.ups);
		assert_int_equal(chan_write(w->a.c, data, len), 0);
		chan_finish(w->a.c, RW_ERR_GONE);
		assert_int_equal(chan_write(w->a.c, "x", 1), RW_ERR_CLOSING);
		RUN_UNTIL(w, w->a.is_closed && w->b.is_closed);
		assert_int_equal(w->a.err, RW_ERR_GONE);
		assert_int_equal(w->b.err, 0);
		assert_got(&w->b, data, len);
		world_free(w);
	}
	free(data);
}

static void a_cut_is_not_a_clean_end(void **state)
{
	struct world *w = world_with_tls(NULL, NULL);

	(void)state;
	RUN_UNTIL(w, w->a.ups && w->b.ups);
	chan_close(w->a.c, 0);
	RUN_UNTIL(w, w->b.is_closed);
	assert_int_equal(w->b.err, RW_ERR_TRUNCATED);
	world_free(w);
}

/* A stands for the relay and the laptop behind it: READY, and the first bytes
 * of the inner handshake, leave it with one write. B is the rig. */
static struct world *world_before_ready(void)
{
	struct world *w = world_new();

	assert_int_equal(chan_start_tls(w->a.c, outer_server, key_pin(bob)), 0);
	assert_int_equal(chan_start_tls(w->b.c, outer_client, key_pin(eve)), 0);
	RUN_UNTIL(w, w->a.ups && w->b.ups);
	return w;
}

static void ready_and_the_inner_hello_in_one_segment(void **state)
{
	struct world *w = world_before_ready();

	(void)state;
	w->b.must_handover = true;
	assert_int_equal(chan_write(w->a.c, "READY", 5), 0);
	assert_int_equal(chan_start_tls(w->a.c, alice_ctx, key_pin(bob)), 0);
	RUN_UNTIL(w, w->a.ups == 2 && w->b.ups == 2);
	assert_true(pin_eq(chan_peer_pin(w->b.c), key_pin(alice)));
	assert_true(pin_eq(chan_peer_pin(w->a.c), key_pin(bob)));
	say(&w->a, " inside");
	RUN_UNTIL(w, w->b.got.len == 12);
	assert_got(&w->b, "READY inside", 12);
	world_free(w);
}

/* Plaintext behind READY could be smuggled in by the relay as if it came from
 * inside. */
static void plaintext_behind_ready_closes(void **state)
{
	struct world *w = world_before_ready();

	(void)state;
	w->b.must_handover = true;
	w->b.take = 5;
	assert_int_equal(chan_write(w->a.c, "READY+++", 8), 0);
	chan_flush(w->a.c);
	RUN_UNTIL(w, w->b.is_closed);
	assert_int_equal(w->b.err, RW_ERR_PROTO);
	world_free(w);
}

static void the_relay_takes_the_socket_and_what_it_read(void **state)
{
	static const char raw[] = "\x16\x03\x01\x02\x00 inner";
	struct world *w = world_before_ready();
	struct buf out = { 0 };
	char back[3];

	(void)state;
	w->a.must_detach = true;
	/* The wish, and raw bytes right behind it in the same segment. */
	assert_int_equal(chan_write(w->b.c, "WISH", 4), 0);
	chan_flush(w->b.c);
	assert_int_equal(write(w->b.fd, raw, sizeof(raw)),
			 (ssize_t)sizeof(raw));
	RUN_UNTIL(w, w->a.detached > 0);
	assert_got(&w->a, "WISH", 4);
	for (int i = 0; i < 3; i++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
	assert_false(w->a.is_closed); /* and will not be told */
	w->a.c = NULL;
	assert_int_equal(w->a.leftover.len, sizeof(raw));
	assert_memory_equal(w->a.leftover.data + w->a.leftover.off, raw,
			    sizeof(raw));
	/* The socket lives on. */
	assert_int_equal(write(w->b.fd, "raw", 3), 3);
	assert_int_equal(read(w->a.detached, back, 3), 3);
	assert_memory_equal(back, "raw", 3);
	close(w->a.detached);
	buf_done(&out);
	world_free(w);
}

static void the_end_of_a_loop_ends_its_chans(void **state)
{
	struct world *w = world_with_tls(NULL, NULL);

	(void)state;
	RUN_UNTIL(w, w->a.ups && w->b.ups);
	loop_run_close(&w->loop);
	assert_int_equal(w->a.err, RW_ERR_CANCELLED);
	assert_true(w->b.is_closed);
	free(w);
}

static void a_reset_is_an_error(void **state);

/* -- over TCP */

struct tcp_pair {
	int accepted, dialled;
};

static void on_accept(void *user, int fd, const struct sockaddr_storage *peer)
{
	struct tcp_pair *t = user;

	(void)peer;
	t->accepted = fd;
}

static void on_dialled(void *user, int err, int fd, enum dial_stage stage)
{
	struct tcp_pair *t = user;

	assert_int_equal(err, 0);
	assert_int_equal(stage, DIAL_DONE);
	t->dialled = fd;
}

static struct world *world_over_tcp(void)
{
	struct world *w = calloc(1, sizeof(*w));
	struct tcp_pair t = { -1, -1 };
	struct dial_params p = { .host = "127.0.0.1",
				 .on_done = on_dialled,
				 .user = &t };
	struct listener *l;
	struct dial *d;

	assert_non_null(w);
	assert_int_equal(loop_init(&w->loop), 0);
	assert_int_equal(listener_open(&w->loop,
				       &(struct listener_at){ "127.0.0.1", 0 },
				       on_accept, &t, &l),
			 0);
	p.port = listener_port(l);
	assert_int_equal(dial_start(&w->loop, &p, &d), 0);
	RUN_UNTIL(w, t.accepted >= 0 && t.dialled >= 0);
	listener_close(l);
	open_ends(w, t.dialled, t.accepted);
	return w;
}

static void over_tcp_the_same(void **state)
{
	struct world *w = world_over_tcp();
	char text[CHAN_ADDR_CAP];

	(void)state;
	assert_int_equal(chan_start_tls(w->a.c, alice_ctx, key_pin(bob)), 0);
	assert_int_equal(chan_start_tls(w->b.c, bob_ctx, key_pin(alice)), 0);
	chan_peer_addr(w->a.c, text);
	assert_memory_equal(text, "127.0.0.1:", 10);
	bulk(w, 0, 20 * 1000 * 1000);
	world_free(w);
}

static void a_reset_is_an_error(void **state)
{
	struct world *w = world_over_tcp();

	(void)state;
	RUN_UNTIL(w, w->a.ups && w->b.ups);
	chan_abort(w->a.c, 0);
	RUN_UNTIL(w, w->b.is_closed);
	assert_int_equal(w->b.err, UV_ECONNRESET);
	world_free(w);
}

/* -- the loop's own things */

struct ticks {
	struct timer *t;
	struct flusher *f;
	int fired, flushed;
};

static void on_fire(void *user)
{
	struct ticks *k = user;

	k->fired++;
	flusher_mark(k->f);
	flusher_mark(k->f);
	if (k->fired < 3)
		timer_start(k->t, 0);
	else
		timer_free(k->t);
}

static void on_flush(void *user)
{
	struct ticks *k = user;

	k->flushed++;
}

static void a_flusher_runs_once_a_turn(void **state)
{
	struct ticks k = { 0 };
	uv_loop_t loop;

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	k.t = timer_new(&loop, on_fire, &k);
	k.f = flusher_new(&loop, on_flush, &k);
	timer_start(k.t, 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(k.fired, 3);
	assert_int_equal(k.flushed, 3);
	flusher_free(k.f);
	loop_run_close(&loop);
}

static void on_signal(void *user, int signum)
{
	*(int *)user = signum;
}

static void on_nothing(void *user)
{
	(void)user;
}

static void a_signal_is_seen_and_keeps_nothing_running(void **state)
{
	uv_loop_t loop;
	struct timer *t;
	int seen = 0;

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(signal_watch(&loop, SIGUSR1, on_signal, &seen), 0);
	uv_run(&loop, UV_RUN_DEFAULT); /* returns */
	t = timer_new(&loop, on_nothing, NULL);
	timer_start(t, 60000);
	raise(SIGUSR1);
	while (seen == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(seen, SIGUSR1);
	loop_run_close(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			without_tls_it_is_up_at_once_and_carries_bytes),
		cmocka_unit_test(with_tls_both_sides_are_who_they_should_be),
		cmocka_unit_test(a_wrong_server_key_ends_it_on_both_sides),
		cmocka_unit_test(a_wrong_client_key_ends_it_on_both_sides),
		cmocka_unit_test(bulk_both_ways_arrives_byte_for_byte),
		cmocka_unit_test(
			memory_of_a_burst_goes_back_while_little_is_said),
		cmocka_unit_test(what_is_not_taken_is_shown_again),
		cmocka_unit_test(without_tls_the_same),
		cmocka_unit_test(over_tcp_the_same),
		cmocka_unit_test(more_than_the_hold_untaken_closes),
		cmocka_unit_test(a_pause_holds_everything_back),
		cmocka_unit_test(finish_sends_the_queue_and_a_clean_end),
		cmocka_unit_test(a_cut_is_not_a_clean_end),
		cmocka_unit_test(a_reset_is_an_error),
		cmocka_unit_test(ready_and_the_inner_hello_in_one_segment),
		cmocka_unit_test(plaintext_behind_ready_closes),
		cmocka_unit_test(the_relay_takes_the_socket_and_what_it_read),
		cmocka_unit_test(the_end_of_a_loop_ends_its_chans),
		cmocka_unit_test(a_flusher_runs_once_a_turn),
		cmocka_unit_test(a_signal_is_seen_and_keeps_nothing_running),
	};

	return cmocka_run_group_tests_name("chan", tests, make_keys, drop_keys);
}
