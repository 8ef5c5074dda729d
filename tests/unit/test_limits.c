/* SPDX-License-Identifier: MIT */
/* What a peer can make us hold, what a stream may send, and whose turn it is.
 */
#include "core_wired.h"

/* --- lending --- */

static void every_stream_gets_the_floor_whatever_happens(void **state)
{
	(void)state;
	start();
	pair.side[RIG].take = 0;
	pair.side[RIG].budget.lent = pair.side[RIG].budget.total / 2;
	for (int k = 0; k < 50; k++) {
		struct seen *e = open_at(CLIENT, "a:1");

		assert_int_equal(write_at(CLIENT, e, FLOOR + 1), FLOOR);
		settle();
		assert_int_equal(pair.side[RIG].come[k]->st->in.end, FLOOR);
	}
	pair.side[RIG].budget.lent = 0;
}

static void three_hundred_stalled_streams_do_not_stop_the_next(void **state)
{
	(void)state;
	pair.limits.max_streams = 400;
	start();
	struct seen *e[300];

	/* Each grows as far as it gets, and then its reader stops. */
	for (int k = 0; k < 300; k++) {
		e[k] = open_at(CLIENT, "b:2");
		settle();
		for (int j = 0; j < 12; j++) {
			write_at(CLIENT, e[k], 1024 * 1024);
			settle();
		}
		pair.side[RIG].come[k]->take = 0;
		do {
			settle();
		} while (write_at(CLIENT, e[k], 1024 * 1024) > 0);
		assert_true(pair.side[RIG].budget.lent <=
			    pair.side[RIG].budget.total / 2);
	}
	struct seen *next = open_at(CLIENT, "b:3");

	settle();
	send_at(CLIENT, next, 500000);
	check_got(pair.side[RIG].come[300], 500000);
	struct stream_stats stats;

	for (int k = 0; k < 300; k++) {
		stream_stats(e[k]->st, &stats);
		assert_true(stats.sent > stats.acked);
		assert_true(write_at(CLIENT, e[k], 1) == 0);
	}
}

static void the_window_grows_with_need_up_to_the_most(void **state)
{
	(void)state;
	start();
	struct seen *e = open_at(CLIENT, "c:3");
	uint32_t most = pair.side[RIG].budget.window_max;

	write_at(CLIENT, e, FLOOR);
	settle();
	struct stream *st = pair.side[RIG].come[0]->st;

	/* Doubled for each of the two frames, no more. */
	assert_in_range(st->window, 2 * FLOOR, 4 * FLOOR);
	send_at(CLIENT, e, 8 * 1024 * 1024 - FLOOR);

	assert_int_equal(st->window, most);
	assert_int_equal(pair.side[RIG].budget.lent, most - FLOOR);
	check_got(pair.side[RIG].come[0], 8 * 1024 * 1024);
	/* What is lent comes back. */
	reset_at(CLIENT, e, RW_ERR_IO, NULL);
	settle();
	assert_int_equal(pair.side[RIG].budget.lent, 0);
}

static void the_window_does_not_grow_for_a_slow_reader(void **state)
{
	(void)state;
	start();
	pair.side[RIG].take = 0;
	struct seen *e = open_at(CLIENT, "d:4"), *r;

	for (int k = 0; k < 200; k++) {
		write_at(CLIENT, e, 100000);
		settle();
		r = pair.side[RIG].come[0];
		consume_at(RIG, r, 3000); /* always behind */
	}
	assert_int_equal(r->st->window, FLOOR);
	assert_int_equal(pair.side[RIG].budget.lent, 0);
}

static void a_stream_that_needs_little_is_lent_nothing(void **state)
{
	(void)state;
	start();
	struct seen *e = open_at(CLIENT, "e:5");

	for (int k = 0; k < 1000; k++) {
		send_at(CLIENT, e, 100); /* keystrokes */
		pair.now += 100000;
	}
	assert_int_equal(pair.side[RIG].budget.lent, 0);
}

/* What each end lets the other send at first is its own choice. */
static void the_first_limits_are_those_of_the_receiver(void **state)
{
	(void)state;
	budget_init(&pair.side[CLIENT].budget, 16 << 20, 5000, 1 << 20);
	budget_init(&pair.side[RIG].budget, 16 << 20, 7000, 1 << 20);
	start();
	pair.side[CLIENT].take = pair.side[RIG].take = 0;
	struct seen *e = open_at(CLIENT, "f:5"), *r;

	settle();
	assert_int_equal(write_at(CLIENT, e, 10000), 7000);
	e->take = 0;
	r = pair.side[RIG].come[0];
	assert_int_equal(write_at(RIG, r, 10000), 5000);
	e = open_at(RIG, "f:6");
	settle();
	assert_int_equal(write_at(RIG, e, 10000), 5000);
	/* Also for a stream that waited for its first carrier. */
	wire_cut(w);
	e = open_at(CLIENT, "f:7");
	e->st->peer_limit = 99;
	w = wire_up();
	assert_int_equal(write_at(CLIENT, e, 10000), 7000);
	/* OPEN says it for its own stream. */
	assert_int_equal(inject(w, RIG, raw_open(5, 4999)), 0);
	assert_int_equal(write_at(RIG, pair.side[RIG].come[2], 10000), 4999);
	wire_cut(w);
}

/* --- places --- */

static void streams_are_limited_at_both_ends(void **state)
{
	(void)state;
	pair.limits.max_streams = 5;
	start();
	struct seen *e[6];
	struct stream *st;

	for (int k = 0; k < 5; k++)
		e[k] = open_at(CLIENT, "f:6");
	assert_int_equal(stream_open(pair.side[CLIENT].s,
				     &(struct stream_to){ STREAM_TCP, "f:6" },
				     &pair_stream_ops, NULL, &st),
			 RW_ERR_LIMIT);
	settle();
	assert_int_equal(pair.side[RIG].come_count, 5);
	/* A client that allows itself more waits for the rig's word. */
	pair.side[CLIENT].s->p.limits.max_streams = 10;
	e[5] = open_at(CLIENT, "f:7");
	settle();
	assert_int_equal(pair.side[RIG].come_count, 5);
	reset_at(CLIENT, e[0], RW_ERR_IO, NULL);
	settle();
	assert_int_equal(pair.side[RIG].come_count, 6);
	assert_int_equal(e[5]->connected, 1);
}

/* Many streams begin and end: what the peer may open is stated anew in time. */
static void ended_streams_make_room_for_new_ones(void **state)
{
	(void)state;
	pair.limits.max_streams = 3;
	start();
	for (int k = 0; k < 100; k++) {
		struct seen *e = open_at(CLIENT, "g:8");

		settle();
		assert_int_equal(e->connected, 1);
		reset_at(k % 2, k % 2 == 0 ? e : pair.side[RIG].come[k],
			 RW_ERR_IO, NULL);
		settle();
	}
}

/* Most stay, and few come and go: the few may use all that is left. */
static void long_lived_streams_leave_the_rest_to_the_others(void **state)
{
	(void)state;
	pair.limits.max_streams = 20;
	start();
	for (int k = 0; k < 17; k++)
		open_at(CLIENT, "g:9");
	for (int k = 0; k < 50; k++) {
		struct seen *e[3];

		for (int j = 0; j < 3; j++)
			e[j] = open_at(CLIENT, "g:10");
		settle();
		for (int j = 0; j < 3; j++) {
			assert_int_equal(e[j]->connected, 1);
			reset_at(CLIENT, e[j], RW_ERR_IO, NULL);
		}
		settle();
	}
}

/* What a few left free was not worth a frame; then many come at once. */
static void a_burst_finds_all_places_that_are_free(void **state)
{
	(void)state;
	for (int few = 1; few <= 20; few++) {
		struct seen *e[20];

		pair.limits.max_streams = 20;
		start();
		for (int k = 0; k < few; k++) {
			e[0] = open_at(CLIENT, "g:9");
			settle();
			reset_at(CLIENT, e[0], RW_ERR_IO, NULL);
			settle();
		}
		for (int k = 0; k < 20; k++)
			e[k] = open_at(CLIENT, "g:10");
		settle();
		for (int k = 0; k < 20; k++)
			assert_int_equal(e[k]->connected, 1);
		pair_done();
		pair_init();
	}
}

static void the_process_has_places_for_all_sessions_together(void **state)
{
	(void)state;
	pair.limits.max_streams = 100;
	budget_init(&pair.side[RIG].budget, 20 * FLOOR, FLOOR, FLOOR);
	start();
	struct seen *e[11];

	for (int k = 0; k < 11; k++)
		e[k] = open_at(CLIENT, "h:9");
	settle();
	for (int k = 0; k < 10; k++)
		assert_int_equal(e[k]->connected, 1);
	assert_int_equal(e[10]->err, RW_ERR_LIMIT);
	assert_int_equal(pair.side[RIG].come_count, 10);
	reset_at(CLIENT, e[0], RW_ERR_IO, NULL);
	settle();
	e[0] = open_at(CLIENT, "h:10");
	settle();
	assert_int_equal(e[0]->connected, 1);
	/* Here as well. */
	struct stream *st;

	pair.side[CLIENT].budget.streams += 1000;
	assert_int_equal(stream_open(pair.side[CLIENT].s,
				     &(struct stream_to){ STREAM_TCP, "h:11" },
				     &pair_stream_ops, NULL, &st),
			 RW_ERR_LIMIT);
	pair.side[CLIENT].budget.streams -= 1000;
}

/* --- sending --- */

static void the_sender_keeps_to_its_own_cap_whatever_is_granted(void **state)
{
	(void)state;
	start();
	struct seen *e = open_at(CLIENT, "i:10");

	settle();
	inject(w, CLIENT, raw_state(1, 0, 0, UINT64_MAX / 2));
	size_t all = 0, n;

	while ((n = write_at(CLIENT, e, 1 << 20)) > 0) {
		all += n;
		wire_pull(w, CLIENT);
		buf_reset(&w->q[RIG]);
		/* Read, but never consumed. */
		inject(w, CLIENT,
		       raw_u64(FRAME_READ, 0, w->c[CLIENT]->pace.sent));
	}
	assert_int_equal(all, pair.limits.send_max);
	wire_cut(w);
}

static void all_senders_together_keep_to_half_the_budget(void **state)
{
	uint64_t total = 16 * 1024 * 1024;

	(void)state;
	pair.limits.max_streams = 200;
	start();
	for (int k = 0; k < 100; k++) {
		struct seen *e = open_at(CLIENT, "j:11");

		settle();
		inject(w, CLIENT,
		       raw_state((uint32_t)stream_id(e->st), 0, 0,
				 UINT64_MAX / 2));
		write_at(CLIENT, e, 1 << 20);
		/* Every one gets its floor. */
		assert_true(e->st->out.end >= FLOOR);
	}
	assert_true(pair.side[CLIENT].budget.kept <= total / 2 + 100 * FLOOR);
	assert_true(pair.side[CLIENT].budget.kept >= total / 3);
	wire_cut(w);
}

static void room_is_told_once_there_is_some(void **state)
{
	(void)state;
	start();
	pair.side[RIG].take = 0;
	struct seen *e = open_at(CLIENT, "k:12");
	size_t room;

	write_at(CLIENT, e, 1 << 20);
	settle();
	assert_null(stream_room(e->st, &room));
	assert_int_equal(room, 0);
	assert_int_equal(e->rooms, 0);
	consume_at(RIG, pair.side[RIG].come[0], FLOOR);
	settle();
	assert_int_equal(e->rooms, 1);
	assert_non_null(stream_room(e->st, &room));
	stream_wrote(e->st, 0);
}

/* More would only age here: without a carrier, or far behind on one. */
static void little_is_taken_that_cannot_be_sent(void **state)
{
	(void)state;
	budget_init(&pair.side[CLIENT].budget, 64 << 20, FLOOR, 8 << 20);
	pair.limits.send_max = 8 << 20;
	start();
	struct seen *e = open_at(CLIENT, "k:13");

	settle();
	inject(w, CLIENT, raw_state(1, 0, 0, 8 << 20));
	assert_int_equal(write_at(CLIENT, e, 8 << 20), BACKLOG_MAX);
	wire_pull(w, CLIENT);
	uint64_t next = e->st->next;

	assert_true(next > 0);
	assert_int_equal(write_at(CLIENT, e, 8 << 20), next);
	wire_cut(w);
	assert_int_equal(write_at(CLIENT, e, 8 << 20), 0);
}

/* --- in flight --- */

static void what_is_in_flight_on_a_carrier_is_bounded(void **state)
{
	(void)state;
	budget_init(&pair.side[RIG].budget, 64 << 20, FLOOR, 8 << 20);
	pair.limits.send_max = 8 << 20;
	start();
	struct seen *e = open_at(CLIENT, "l:13");

	settle();
	inject(w, CLIENT, raw_state(1, 0, 0, 8 << 20));
	write_at(CLIENT, e, 1 << 20);
	size_t sent = wire_pull(w, CLIENT);

	assert_true(sent >= 65536 && sent < 65536 + 2 * FRAME_MAX);
	assert_int_equal(wire_pull(w, CLIENT), 0);
	/* What was read makes room, and says so. */
	tick();
	assert_false(pair.side[CLIENT].woken);
	inject(w, CLIENT, raw_u64(FRAME_READ, 0, 40000));
	assert_true(pair.side[CLIENT].woken);
	assert_true(wire_pull(w, CLIENT) > 0);
	/* Pings and statements still go. */
	carrier_suspect(w->c[CLIENT], 1000000, pair.now);
	assert_true(wire_pull(w, CLIENT) > 0);
	wire_cut(w);
}

static void what_was_read_is_stated_at_marks_and_within_50_ms(void **state)
{
	struct frame f;
	struct raw r = raw_data(1, 0, 100);

	(void)state;
	start();
	open_at(CLIENT, "m:14");
	settle();
	advance(100000);
	inject(w, RIG, r);
	wire_pull(w, RIG);
	assert_false(on_its_way(w, CLIENT, FRAME_READ, &f));
	assert_true(session_tick(pair.side[RIG].s, pair.now) <=
		    pair.now + LAG_US);
	pair.now += LAG_US;
	tick();
	wire_pull(w, RIG);
	assert_true(on_its_way(w, CLIENT, FRAME_READ, &f));
	assert_int_equal(get_be64(f.payload), r.len);
	buf_reset(&w->q[CLIENT]);
	/* Asked for by a mark, at once. */
	struct raw marked = raw_data(1, 100, 100);

	marked.b[1] = FRAME_FLAG_MARK;
	inject(w, RIG, marked);
	wire_pull(w, RIG);
	assert_true(on_its_way(w, CLIENT, FRAME_READ, &f));
	assert_int_equal(get_be64(f.payload), 2 * r.len);
	wire_cut(w);
}

/* What else would leave within 50 ms, by itself. */
static void what_lags_goes_along_with_a_few_bytes(void **state)
{
	struct frame f;

	(void)state;
	start();
	struct seen *e = open_at(CLIENT, "m:16");

	settle();
	advance(100000);
	write_at(CLIENT, e, 1); /* is marked, after the pause */
	settle();
	write_at(CLIENT, e, 64);
	wire_pull(w, CLIENT);
	wire_deliver(w, RIG);
	assert_int_equal(wire_pull(w, RIG), 0);
	write_at(RIG, pair.side[RIG].come[0], 64);
	wire_pull(w, RIG);
	assert_true(on_its_way(w, CLIENT, FRAME_READ, &f));
	assert_true(on_its_way(w, CLIENT, FRAME_STATE, &f));
	wire_deliver(w, CLIENT);
	assert_int_equal(e->st->out.base, 65);
	/* And not a second time. */
	pair.now += LAG_US;
	tick();
	assert_int_equal(wire_pull(w, RIG), 0);
	wire_cut(w);
}

static void small_pieces_share_a_record(void **state)
{
	const uint8_t *data;

	(void)state;
	start();
	for (int k = 0; k < 20; k++) {
		struct seen *e = open_at(CLIENT, "m:15");

		write_at(CLIENT, e, 100);
		finish_at(CLIENT, e);
	}
	assert_true(carrier_output(w->c[CLIENT], &data, pair.now) >
		    20 * (FRAME_DATA_HDR + 100));
	assert_int_equal(carrier_output(w->c[CLIENT], &data, pair.now), 0);
	wire_cut(w);
}

/* --- whose turn it is --- */

/* The ids of the DATA frames on their way to the rig, in order. */
static size_t turns(uint32_t *ids, size_t cap)
{
	size_t len, at = 0, n = 0;
	const uint8_t *data = buf_peek(&w->q[RIG], &len);
	struct frame f;
	ssize_t m;

	while (n < cap && at < len &&
	       (m = frame_decode(data + at, len - at, &f)) > 0) {
		if (f.type == FRAME_DATA)
			ids[n++] = f.stream;
		at += (size_t)m;
	}
	return n;
}

static void a_woken_stream_goes_first(void **state)
{
	uint32_t ids[64];

	(void)state;
	pair.limits.in_flight_min = 1 << 20;
	start();
	struct seen *keys = open_at(CLIENT, "n:15"), *bulk[4];
	const uint8_t *data;
	size_t n;

	for (int k = 0; k < 4; k++)
		bulk[k] = open_at(CLIENT, "n:16");
	settle();
	for (int k = 0; k < 4; k++) {
		inject(w, CLIENT,
		       raw_state((uint32_t)stream_id(bulk[k]->st), 0, 0,
				 1 << 20));
		write_at(CLIENT, bulk[k], 500000);
	}
	/* Wherever the others are in their round, once that is over in which
	 * it woke last. */
	for (int k = 0; k < 5; k++) {
		for (int j = 0; j < 5 + k; j++)
			assert_true(carrier_output(w->c[CLIENT], &data,
						   pair.now) > 0);
		write_at(CLIENT, keys, 1);
		buf_reset(&w->q[RIG]);
		n = carrier_output(w->c[CLIENT], &data, pair.now);
		buf_append(&w->q[RIG], data, n);
		assert_true(turns(ids, 64) > 0);
		assert_int_equal(ids[0], stream_id(keys->st));
	}
	wire_cut(w);
}

static void bulk_streams_take_turns(void **state)
{
	struct seen *e[4];
	uint64_t least = UINT64_MAX, most = 0;
	const uint8_t *data;

	(void)state;
	pair.limits.in_flight_min = 8 * QUANTUM;
	start();
	for (int k = 0; k < 4; k++)
		e[k] = open_at(CLIENT, "o:17");
	settle();
	for (int k = 0; k < 4; k++) {
		inject(w, CLIENT,
		       raw_state((uint32_t)stream_id(e[k]->st), 0, 0, 1 << 20));
		write_at(CLIENT, e[k], 400000);
	}
	for (int k = 0; k < 40; k++) {
		assert_true(carrier_output(w->c[CLIENT], &data, pair.now) > 0);
		inject(w, CLIENT,
		       raw_u64(FRAME_READ, 0, w->c[CLIENT]->pace.sent));
	}
	for (int k = 0; k < 4; k++) {
		least = MIN(least, e[k]->st->next);
		most = MAX(most, e[k]->st->next);
	}
	assert_true(least > 0 && most - least <= 2 * QUANTUM);
	wire_cut(w);
}

/* Where much may be in flight, a program is given much at a time; and whoever
 * has little to say waits for a frame, not for a run, though he wakes all the
 * time. */
static void those_with_much_to_send_have_runs(void **state)
{
	struct seen *e[4], *keys;
	uint32_t ids[128];
	size_t n = 0, runs = 0, waited = 0;

	(void)state;
	pair.limits.in_flight_min = 8 << 20;
	pair.limits.send_max = 8 << 20;
	start();
	for (int k = 0; k < 4; k++)
		e[k] = open_at(CLIENT, "r:23");
	keys = open_at(CLIENT, "r:24");
	settle();
	for (int k = 0; k < 4; k++) {
		inject(w, CLIENT,
		       raw_state((uint32_t)stream_id(e[k]->st), 0, 0, 8 << 20));
		write_at(CLIENT, e[k], 500000);
	}
	for (int k = 0; k < 96; k++) {
		const uint8_t *data;
		size_t len;

		if (stream_space(keys->st) > 0 && !stream_wants_run(keys->st))
			write_at(CLIENT, keys, 1);
		buf_reset(&w->q[RIG]);
		len = carrier_output(w->c[CLIENT], &data, pair.now);
		buf_append(&w->q[RIG], data, len);
		n += turns(ids + n, ARRAY_LEN(ids) - n);
	}
	uint32_t last = 0;

	for (size_t k = 0; k < n; k++) {
		if (ids[k] == stream_id(keys->st)) {
			waited = 0;
			continue;
		}
		/* At first each of them has its quantum as a new one. */
		assert_true(++waited <= 2 || k < 8);
		runs += ids[k] != last;
		last = ids[k];
	}
	assert_in_range(runs, 4, 12);
	wire_cut(w);
}

/* A stream with a byte now and then may not pass the others every time. */
static void one_that_wakes_all_the_time_is_not_always_first(void **state)
{
	uint32_t ids[8];
	size_t first = 0;

	(void)state;
	pair.limits.in_flight_min = 8 << 20;
	pair.limits.send_max = 8 << 20;
	start();
	struct seen *bulk = open_at(CLIENT, "p:18");
	struct seen *often = open_at(CLIENT, "p:19");

	settle();
	inject(w, CLIENT, raw_state(1, 0, 0, 8 << 20));
	inject(w, CLIENT, raw_state(3, 0, 0, 8 << 20));
	write_at(CLIENT, bulk, 500000);
	for (int k = 0; k < 20; k++) {
		const uint8_t *data;
		size_t n;

		write_at(CLIENT, bulk, 100000);
		write_at(CLIENT, often, 4000);
		buf_reset(&w->q[RIG]);
		n = carrier_output(w->c[CLIENT], &data, pair.now);
		buf_append(&w->q[RIG], data, n);
		if (turns(ids, 8) > 0)
			first += ids[0] == 3;
	}
	assert_in_range(first, 5, 15);
	wire_cut(w);
}

/* --- memory --- */

static void idle_streams_hold_no_memory(void **state)
{
	(void)state;
	start();
	struct seen *e = open_at(CLIENT, "q:20");

	send_at(CLIENT, e, 300000);
	advance(100000);
	assert_null(e->st->out.last);
	assert_null(pair.side[RIG].come[0]->st->in.last);
	assert_true(pair.side[CLIENT].s->pool.count > 0);
	advance(IDLE_US);
	advance(pair.limits.ping_interval_us); /* at the next tick */
	assert_int_equal(pair.side[CLIENT].s->pool.count, 0);
	assert_int_equal(pair.side[RIG].s->pool.count, 0);
}

static void a_burst_leaves_nothing_beside_a_stream_that_goes_on(void **state)
{
	(void)state;
	start();
	struct seen *bulk = open_at(CLIENT, "q:21");
	struct seen *often = open_at(CLIENT, "q:22");

	send_at(CLIENT, bulk, 300000);
	assert_true(pair.side[CLIENT].s->pool.count > 4);
	for (int k = 0; k < 30; k++) {
		send_at(CLIENT, often, 100);
		advance(IDLE_US / 10);
	}
	assert_in_range(pair.side[CLIENT].s->pool.count, 0, 2);
	assert_in_range(pair.side[RIG].s->pool.count, 0, 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup_unstarted, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_stream_gets_the_floor_whatever_happens),
		T(three_hundred_stalled_streams_do_not_stop_the_next),
		T(the_window_grows_with_need_up_to_the_most),
		T(the_window_does_not_grow_for_a_slow_reader),
		T(a_stream_that_needs_little_is_lent_nothing),
		T(the_first_limits_are_those_of_the_receiver),
		T(streams_are_limited_at_both_ends),
		T(ended_streams_make_room_for_new_ones),
		T(long_lived_streams_leave_the_rest_to_the_others),
		T(a_burst_finds_all_places_that_are_free),
		T(the_process_has_places_for_all_sessions_together),
		T(the_sender_keeps_to_its_own_cap_whatever_is_granted),
		T(all_senders_together_keep_to_half_the_budget),
		T(room_is_told_once_there_is_some),
		T(little_is_taken_that_cannot_be_sent),
		T(small_pieces_share_a_record),
		T(what_is_in_flight_on_a_carrier_is_bounded),
		T(what_was_read_is_stated_at_marks_and_within_50_ms),
		T(what_lags_goes_along_with_a_few_bytes),
		T(a_woken_stream_goes_first),
		T(bulk_streams_take_turns),
		T(those_with_much_to_send_have_runs),
		T(one_that_wakes_all_the_time_is_not_always_first),
		T(idle_streams_hold_no_memory),
		T(a_burst_leaves_nothing_beside_a_stream_that_goes_on),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
