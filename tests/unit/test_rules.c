/* SPDX-License-Identifier: MIT */
/* Rules of PROTOCOL.md, sections 4 to 7, that the tests named after a part of
 * the core do not show by themselves; tests/RULES.md lists them all. */
#include "core_wired.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The STATE of stream id that is on its way to side i, newest of all. */
static bool newest_state(struct wire *at, int i, uint32_t id, uint64_t ret[3])
{
	size_t len, done = 0;
	const uint8_t *data = buf_peek(&at->q[i], &len);
	struct frame f;
	ssize_t n;
	bool found = false;

	while (done < len && (n = frame_decode(data + done, len - done, &f))) {
		assert_true(n > 0);
		if (f.type == FRAME_STATE && f.stream == id) {
			for (int k = 0; k < 3; k++)
				ret[k] = get_be64(f.payload + 8 * k);
			found = true;
		}
		done += (size_t)n;
	}
	return found;
}

/* --- three numbers --- */

/* Both ends have moved as much already, by whatever carriers. */
static void skip_to(struct stream *st, uint64_t off)
{
	chunkq_clear(&st->in, &st->s->pool);
	chunkq_clear(&st->out, &st->s->pool);
	st->in.base = st->in.end = st->stated = off;
	st->out.base = st->out.end = st->next = st->sent = off;
	st->limit = st->peer_limit = off + FLOOR;
	st->peer_received = st->peer_consumed = off;
}

static void offsets_have_64_bits(void **state)
{
	const uint64_t tops[] = { UINT32_MAX, UINT64_C(1) << 48 };

	(void)state;
	start();
	for (size_t k = 0; k < ARRAY_LEN(tops); k++) {
		struct seen *e = open_at(CLIENT, "a:1"), *r;
		const uint64_t from = tops[k] - 1000;
		struct stream_stats stats;

		settle();
		r = pair.side[RIG].come[k];
		skip_to(e->st, from);
		skip_to(r->st, from);
		send_at(CLIENT, e, 100000);
		wire_cut(w);
		w = wire_up();
		send_at(CLIENT, e, 100000);
		finish_at(CLIENT, e);
		settle();
		stream_stats(r->st, &stats);
		assert_true(stats.received == from + 200000);
		assert_int_equal(r->eofs, 1);
		size_t len;
		const uint8_t *data = buf_peek(&r->bytes, &len);

		assert_int_equal(len, 200000);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(data[i], pattern(from + i));
	}
}

static void after_a_cut_sending_goes_on_at_received(void **state)
{
	struct frame f;

	(void)state;
	start();
	pair.side[RIG].take = 0; /* received is not yet consumed */
	struct seen *e = open_at(CLIENT, "b:2");

	settle();
	write_at(CLIENT, e, 1000);
	wire_pull(w, CLIENT);
	/* Of the thousand 400 arrived. */
	assert_int_equal(inject(w, RIG, raw_data(1, 0, 400)), 0);
	wire_cut(w);
	w = wire_up_to_hello();
	tick();
	wire_pull(w, RIG);
	wire_deliver(w, CLIENT);
	tick();
	wire_pull(w, CLIENT);
	assert_true(on_its_way(w, RIG, FRAME_DATA, &f));
	assert_int_equal(get_be64(f.payload), 400);
	assert_int_equal(f.len - 8, 600);
	settle();
	consume_at(RIG, pair.side[RIG].come[0], 1000);
	check_got(pair.side[RIG].come[0], 1000);
}

static void what_is_stated_only_grows(void **state)
{
	uint64_t last[3] = { 0 }, now[3];
	size_t states = 0;

	(void)state;
	start();
	struct seen *e = open_at(CLIENT, "c:3");

	settle();
	pair.side[RIG].come[0]->take = 7000;
	for (int k = 0; k < 60; k++) {
		write_at(CLIENT, e, 9000);
		side_tick(&pair.side[CLIENT]);
		wire_pull(w, CLIENT);
		wire_deliver(w, RIG);
		consume_at(RIG, pair.side[RIG].come[0], (size_t)(k % 7) * 3000);
		pair.now += 60000;
		side_tick(&pair.side[RIG]);
		wire_pull(w, RIG);
		if (newest_state(w, CLIENT, 1, now)) {
			for (int j = 0; j < 3; j++)
				assert_true(now[j] >= last[j]);
			assert_true(now[1] <= now[0] && now[0] <= now[2]);
			memcpy(last, now, sizeof(last));
			states++;
		}
		if (k % 5 == 4) { /* and over cuts */
			wire_cut(w);
			w = wire_up_to_hello();
			continue;
		}
		wire_deliver(w, CLIENT);
	}
	assert_true(states > 20 && last[1] > 50000);
}

/* A peer that sends whatever it may, to readers that take nothing any more:
 * the bytes held stay within what was set. */
static void memory_is_bounded_by_the_limits(void **state)
{
	const uint64_t total = 16 * 1024 * 1024;
	uint64_t in = 0;

	(void)state;
	pair.limits.max_streams = 300;
	/* The sender's own cap is not what holds it back. */
	budget_init(&pair.side[CLIENT].budget, 1 << 30, FLOOR, 1 << 20);
	start();
	for (int k = 0; k < 300; k++) {
		struct seen *e = open_at(CLIENT, "d:4");

		settle();
		for (int j = 0; j < 6; j++) {
			write_at(CLIENT, e, 1 << 20);
			settle();
		}
		pair.side[RIG].come[k]->take = 0;
		while (write_at(CLIENT, e, 1 << 20) > 0)
			settle();
		in += chunkq_len(&pair.side[RIG].come[k]->st->in);
	}
	assert_true(in > total / 4); /* it did try */
	assert_true(in <= total);
}

/* --- carriers --- */

static void each_stream_rides_on_one_carrier_at_a_time(void **state)
{
	size_t on[2] = { 0 };
	struct frame f;

	(void)state;
	start();
	struct wire *w2 = wire_up();

	for (int k = 0; k < 20; k++) {
		struct seen *e = open_at(CLIENT, "e:5");

		settle();
		write_at(CLIENT, e, 3000);
		side_run(CLIENT);
		wire_pull(w, CLIENT);
		wire_pull(w2, CLIENT);
		bool here = on_its_way(w, RIG, FRAME_DATA, &f);
		bool there = on_its_way(w2, RIG, FRAME_DATA, &f);

		assert_true(here != there);
		assert_ptr_equal(e->st->ride,
				 here ? w->c[CLIENT] : w2->c[CLIENT]);
		on[there]++;
		settle();
		check_got(pair.side[RIG].come[k], 3000);
	}
	assert_int_equal(on[0] + on[1], 20);
}

/* As many as there can be, and then one more is asked for. */
static void a_hello_names_all_carriers_that_there_can_be(void **state)
{
	struct hello h;
	size_t len;

	(void)state;
	pair.limits.carriers_max = CARRIERS_MAX;
	start();
	for (int k = 1; k < CARRIERS_MAX; k++)
		assert_non_null(wire_up());
	struct wire *last = wire_dial();

	wire_pull(last, CLIENT);
	const uint8_t *data = buf_peek(&last->q[RIG], &len);

	assert_true(hello_read(data, len, &h) > 0);
	assert_int_equal(h.live_count, CARRIERS_MAX);
	settle();
	assert_null(wire_dial());
	assert_int_equal(pair.side[CLIENT].s->carrier_count, CARRIERS_MAX + 1);
	/* LIVE has room for them, too. */
	carrier_close(last->c[CLIENT], pair.now);
	last->c[CLIENT] = NULL;
	assert_non_null(wire_dial());
	settle();
	assert_null(last->c[RIG]);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pair.side[i].s->carrier_count,
				 CARRIERS_MAX + 1);
	assert_int_equal(pair.side[CLIENT].drops, 0);
}

/* READ and STREAMS that were said earlier and come later change nothing. */
static void a_carriers_frames_state_only_what_grows(void **state)
{
	(void)state;
	start();
	struct seen *e = open_at(CLIENT, "f:6");

	send_at(CLIENT, e, 20000);
	advance(60000);
	struct pace *p = &w->c[CLIENT]->pace;
	const uint64_t read = p->read;

	assert_true(read > 20000);
	assert_int_equal(inject(w, CLIENT, raw_u64(FRAME_READ, 0, 5)), 0);
	assert_int_equal(p->read, read);

	struct session *s = pair.side[CLIENT].s;
	const uint32_t max_id = s->peer_max_id;
	struct raw low = { .len = frame_put_streams(low.b, 3) };

	assert_true(max_id > 3);
	assert_int_equal(inject(w, CLIENT, low), 0);
	assert_int_equal(s->peer_max_id, max_id);
}

/* What still lies unread in the old connection when HELLO comes is not read
 * any more: else the number that was stated would be too low for it. */
static void others_are_read_no_more_before_received_is_stated(void **state)
{
	uint64_t now[3];

	(void)state;
	start();
	struct seen *e = open_at(CLIENT, "g:7");

	send_at(CLIENT, e, 500);
	write_at(CLIENT, e, 700);
	wire_pull(w, CLIENT); /* 700 on their way, in the old one */
	struct carrier *c = w->c[CLIENT];

	w->c[CLIENT] = NULL;
	carrier_close(c, pair.now);
	struct wire *w2 = wire_dial();

	wire_pull(w2, CLIENT);
	wire_deliver(w2, RIG); /* HELLO, which does not list the old one */
	assert_null(w->c[RIG]);
	assert_int_equal(wire_deliver(w, RIG), 0);
	tick();
	wire_pull(w2, RIG);
	assert_true(newest_state(w2, CLIENT, 1, now));
	assert_int_equal(now[0], 500);
	settle();
	check_got(pair.side[RIG].come[0], 1200);
}

/* --- state, not events --- */

static void an_unconfirmed_end_counts_against_the_limit(void **state)
{
	(void)state;
	pair.limits.max_streams = 1;
	start();
	pair.side[RIG].refuses = true;
	struct seen *e = open_at(CLIENT, "h:8");

	wire_pull(w, CLIENT);
	wire_deliver(w, RIG);
	tick(); /* it has ended at the rig, and RESET is lost */
	wire_cut(w);
	pair.side[RIG].refuses = false;
	assert_int_equal(session_max_id(pair.side[RIG].s), 1);
	w = wire_up_to_hello();
	/* A client that does not count itself: the next id is one too many. */
	assert_int_equal(inject(w, RIG, raw_open(3, FLOOR)), RW_ERR_PROTO);
	wire_cut(w);
	w = wire_up();
	assert_int_equal(e->err, RW_ERR_NOT_ALLOWED);
	/* Confirmed, it makes room. */
	e = open_at(CLIENT, "h:9");
	settle();
	assert_int_equal(e->connected, 1);
}

/* --- sessions --- */

/* The rig keeps an absent session for so long, and its client no longer: what
 * waits for it here would wait for ever. */
static void a_client_keeps_streams_no_longer_than_the_rig(void **state)
{
	(void)state;
	pair.limits.keep_s = 60;
	start();
	struct seen *sent = open_at(CLIENT, "i:9"), *unsent;

	send_at(CLIENT, sent, 100);
	wire_cut(w);
	unsent = open_at(CLIENT, "i:10");
	settle();
	assert_true(session_tick(pair.side[CLIENT].s, pair.now) <=
		    pair.now + 60000000);
	advance(59999999);
	assert_int_equal(sent->closed, 0);
	advance(1);
	assert_int_equal(sent->closed, 1);
	assert_int_equal(sent->err, RW_ERR_TIMEOUT);
	assert_non_null(strstr(sent->text, "1m"));
	/* What never left loses nothing by waiting on. */
	assert_int_equal(unsent->closed, 0);
	/* The rig was a little slower to forget, and hears of the end. */
	w = wire_up();
	assert_int_equal(pair.side[RIG].come[0]->closed, 1);
	assert_int_equal(unsent->connected, 1);
	assert_int_equal(pair.side[CLIENT].s->mine, 1);
	assert_int_equal(pair.side[RIG].s->theirs, 1);
	/* Its own limit may be shorter; then the words name that one. */
	pair.side[CLIENT].s->p.limits.keep_s = 20;
	wire_cut(w);
	w = wire_up();
	sent = open_at(CLIENT, "i:11");
	settle();
	wire_cut(w);
	advance(19999999);
	assert_int_equal(sent->closed, 0);
	advance(1);
	assert_int_equal(sent->err, RW_ERR_TIMEOUT);
	assert_non_null(strstr(sent->text, "20s that client.keep_absent"));
	pair.side[CLIENT].s->p.limits.keep_s = 0;
	w = wire_up();
	unsent = open_at(CLIENT, "i:12");
	settle();
	/* And a cut that ends in time costs nothing. */
	for (int k = 0; k < 5; k++) {
		wire_cut(w);
		advance(59000000);
		w = wire_up();
	}
	assert_int_equal(unsent->closed, 0);
}

static void only_clients_dial_sessions(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	start();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		static const struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		session_dial(pair.side[RIG].s, NULL, pair.now);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* --- limits --- */

/* Two sessions of one process: each alone is within its own limits. */
static void one_budget_serves_all_sessions(void **state)
{
	struct budget *b = &pair.side[CLIENT].budget;
	struct session_params p = {
		.is_client = true,
		.id = "sixteen letters",
		.incarnation = 33,
		.budget = b,
		.ops = &pair_session_ops,
		.user = &pair.side[CLIENT],
		.now_us = pair.now,
	};
	struct seen *mine[10], *e;
	struct session *other;

	(void)state;
	budget_init(b, 20 * FLOOR, FLOOR, FLOOR); /* ten places */
	pair_start();
	p.limits = pair.limits;
	assert_int_equal(session_new(&p, &other), 0);
	for (int k = 0; k < 6; k++)
		mine[k] = open_at(CLIENT, "j:10");
	e = seen_new(0);
	struct stream *st[5];

	for (int k = 0; k < 4; k++)
		assert_int_equal(
			stream_open(other,
				    &(struct stream_to){ STREAM_TCP, "j:11" },
				    &pair_stream_ops, seen_new(0), &st[k]),
			0);
	assert_int_equal(stream_open(other,
				     &(struct stream_to){ STREAM_TCP, "j:12" },
				     &pair_stream_ops, e, &st[4]),
			 RW_ERR_LIMIT);
	/* And bytes to be sent: half of the budget, and a floor each. */
	budget_init(b, 20 * FLOOR, FLOOR, FLOOR);
	b->streams = 10;
	for (int k = 0; k < 6; k++) {
		mine[k]->st->peer_limit = UINT32_MAX;
		write_at(CLIENT, mine[k], 1 << 20);
	}
	for (int k = 0; k < 4; k++) {
		static uint8_t zeros[1 << 20];

		st[k]->peer_limit = UINT32_MAX;
		assert_true(stream_write(st[k], zeros, sizeof(zeros)) >= FLOOR);
	}
	assert_true(b->kept >= 10 * FLOOR && b->kept <= 20 * FLOOR);
	session_free(other);
}

/* A peer that reads all at once, in no time: what may be in flight doubles and
 * doubles, and ends there. */
static void what_may_be_in_flight_has_a_most(void **state)
{
	const uint64_t most = UINT64_C(256) * 1024 * 1024;
	struct pace p;
	uint64_t now = 1000;

	(void)state;
	pace_init(&p, 32768);
	for (int k = 0; k < 40; k++) {
		uint64_t cap = p.cap;

		while (p.sent - p.read < cap)
			pace_sent(&p, 1 << 20, now);
		assert_false(pace_may_send(&p));
		now += 1000;
		assert_true(pace_read(&p, p.sent, now));
	}
	assert_true(p.cap == most);
	pair_init();
}

/* --- liveness --- */

/* Nothing can be sent, and yet all that comes is taken in: two peers that
 * each wait for room would wait for ever. */
static void what_arrives_is_read_though_nothing_leaves(void **state)
{
	(void)state;
	start();
	struct seen *e = open_at(CLIENT, "k:11"), *r;

	settle();
	r = pair.side[RIG].come[0];
	write_at(RIG, r, FLOOR);
	for (int k = 0; k < 1000; k++) {
		assert_int_equal(inject(w, RIG, raw_u64(FRAME_PING, 0, 1)), 0);
		assert_int_equal(inject(w, RIG, raw_empty(FRAME_ASK, 1)), 0);
	}
	for (size_t at = 0; at < FLOOR; at += 1024)
		assert_int_equal(inject(w, RIG, raw_data(1, at, 1024)), 0);
	check_got(r, FLOOR);
	/* What had to be said meanwhile is a few frames, not thousands. */
	assert_true(wire_pull(w, RIG) < FLOOR + 200);
	(void)e;
	wire_cut(w);
}

/* --- no clock, no I/O --- */

static uint64_t run_once(void)
{
	uint64_t sum = UINT64_C(14695981039346656037); /* FNV-1a */

	pair_init();
	start();
	for (int k = 0; k < 40; k++) {
		struct seen *e = open_at(k % 2, "l:12");

		settle();
		write_at(k % 2, e, (size_t)k * 700);
		pair.now += k % 10 == 9 ? 6000000 : (uint64_t)k * 1000;
		for (int i = 0; i < 2; i++) {
			size_t len;
			const uint8_t *data;

			side_tick(&pair.side[i]);
			wire_pull(w, i);
			data = buf_peek(&w->q[1 - i], &len);
			for (size_t j = 0; j < len; j++)
				sum = (sum ^ data[j]) * UINT64_C(1099511628211);
		}
		if (k % 7 == 6) {
			wire_cut(w);
			w = wire_up();
		}
		settle();
	}
	pair_done();
	return sum;
}

static void the_same_calls_and_times_make_the_same_bytes(void **state)
{
	(void)state;
	uint64_t first = run_once();

	assert_true(run_once() == first);
	pair_init();
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup_unstarted, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(offsets_have_64_bits),
		T(after_a_cut_sending_goes_on_at_received),
		T(what_is_stated_only_grows),
		T(memory_is_bounded_by_the_limits),
		T(each_stream_rides_on_one_carrier_at_a_time),
		T(a_hello_names_all_carriers_that_there_can_be),
		T(a_carriers_frames_state_only_what_grows),
		T(others_are_read_no_more_before_received_is_stated),
		T(an_unconfirmed_end_counts_against_the_limit),
		T(a_client_keeps_streams_no_longer_than_the_rig),
		T(only_clients_dial_sessions),
		T(one_budget_serves_all_sessions),
		T(what_may_be_in_flight_has_a_most),
		T(what_arrives_is_read_though_nothing_leaves),
		T(the_same_calls_and_times_make_the_same_bytes),
	};

	return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
