/* SPDX-License-Identifier: MIT */
/* The pace of a carrier, on a path that is made of two numbers. */
#include "unit.h"

#include "base/check.h"
#include "core/pace.h"

#define PIECE 16384

/* Frames wait in a queue, leave it at a rate, and are read delay later; the
 * reader states what it read at a mark, else within 50 ms, and that takes delay
 * again. */
struct path {
	uint64_t rate;	/* bytes per second */
	uint64_t delay; /* one way, us */
	struct {
		uint64_t at, read;
		bool mark;
	} way[4096]; /* on their way: when read, and what is then read */
	size_t first, count;
	uint64_t free_at;	    /* when the queue is empty */
	uint64_t arrived, state_at; /* read; to be stated then, unless 0 */
	uint64_t most_queue;	    /* longest wait in the queue, us */
	unsigned lost;		    /* each so manieth is sent again; 0: none */
	unsigned sent;
	uint64_t last_at; /* nothing is read before what went before it */
	uint64_t turn;	  /* the reader waits so long, or half, for its turn */
	uint64_t turn_at; /* its next one */
};

static struct pace pace;
static struct path path;
static uint64_t now;

static void path_send(uint32_t len, bool mark)
{
	uint64_t wait = path.free_at > now ? path.free_at - now : 0;
	size_t i = (path.first + path.count) % ARRAY_LEN(path.way);

	assert_true(path.count < ARRAY_LEN(path.way));
	if (wait > path.most_queue)
		path.most_queue = wait;
	path.free_at =
		MAX(path.free_at, now) + (uint64_t)len * 1000000 / path.rate;
	path.way[i].at = path.free_at + path.delay;
	if (path.lost != 0 && ++path.sent % path.lost == 0)
		path.way[i].at += 2 * path.delay;
	path.way[i].at = path.last_at = MAX(path.way[i].at, path.last_at);
	path.way[i].read = pace.sent;
	path.way[i].mark = mark;
	path.count++;
}

static void path_state(void)
{
	path.state_at = 0;
	assert_true(pace_read(&pace, path.arrived, now));
}

static bool is_readers_turn(void)
{
	static uint32_t seed;

	if (now < path.turn_at)
		return false;
	seed = seed * 1664525 + 1013904223;
	path.turn_at = now + path.turn / 2 + (seed >> 8) % (path.turn / 2 + 1);
	return true;
}

/* One bulk sender for so long; returns bytes read per second. */
static uint64_t run(uint64_t us)
{
	uint64_t until = now + us, before = pace.read;

	while (now < until) {
		while (pace_may_send(&pace)) {
			bool mark = pace_sent(&pace, PIECE, now);

			path_send(PIECE, mark);
		}
		now += 100;
		if (!is_readers_turn())
			continue;
		while (path.count > 0 &&
		       path.way[path.first].at + path.delay <= now) {
			path.arrived = path.way[path.first].read;
			if (path.way[path.first].mark)
				path.state_at = now;
			else if (path.state_at == 0)
				path.state_at = now + 50000;
			if (path.state_at <= now)
				path_state();
			path.first = (path.first + 1) % ARRAY_LEN(path.way);
			path.count--;
		}
		if (path.state_at != 0 && path.state_at <= now)
			path_state();
	}
	return (pace.read - before) * 1000000 / us;
}

static void begin(uint64_t rate, uint64_t delay, uint32_t cap_min)
{
	path = (struct path){ .rate = rate, .delay = delay };
	now = 1000000;
	pace_init(&pace, cap_min);
}

static void a_carrier_may_always_send_the_least(void **state)
{
	(void)state;
	begin(1000, 1000000, 50000);
	uint64_t sent = 0;

	while (pace_may_send(&pace)) {
		pace_sent(&pace, 1000, now);
		sent += 1000;
	}
	assert_in_range(sent, 50000, 128 * 1024);
	run(60000000); /* a very slow path: never less than the least */
	assert_true(pace.cap >= 50000);
}

static void the_rate_of_the_path_is_found_and_used(void **state)
{
	/* 20 Mbit/s home, 200 Mbit/s at 100 ms, 1 Gbit/s near. */
	static const struct {
		uint64_t rate, delay;
	} rows[] = {
		{ 2500000, 20000 },
		{ 25000000, 50000 },
		{ 125000000, 1000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		begin(rows[i].rate, rows[i].delay, 16384);
		run(3000000);
		uint64_t got = run(3000000);

		assert_true(got >= rows[i].rate * 90 / 100);
		assert_true(pace.rtt_us >= 2 * rows[i].delay);
		assert_true(pace.rtt_us < 2 * rows[i].delay + 50000);
	}
}

/* At 1 % of the packets, one in nine frames is hit, and all behind it wait for
 * a round trip: the path then needs twice as much in flight. */
static void what_the_path_loses_does_not_hold_the_sender_back(void **state)
{
	(void)state;
	begin(12500000, 50000, 32768);
	path.lost = 9;
	run(30000000);
	assert_true(run(10000000) >= 12500000 / 10 * 9);
	/* And when it loses no more, the queue gets short again. */
	path.lost = 0;
	run(60000000);
	path.most_queue = 0;
	run(5000000);
	assert_true(path.most_queue < 60000);
}

/* BBR empties the way every 10 s to measure it: the system then holds for 0.2 s
 * what it was given, and sends it all at once. That is no loss, and no slower
 * way either, as the carrier beside it knows. */
static void a_pause_of_the_systems_is_no_loss(void **state)
{
	(void)state;
	begin(2500000, 25000, 16384);
	pace_join(&pace, PACE_GAIN_ONE, false, 16384);
	run(5000000);
	for (int i = 0; i < 5; i++) {
		uint64_t cap = pace.cap;

		path.free_at = now + 250000;
		run(1000000);
		assert_false(pace_is_lossy(&pace));
		assert_int_equal(pace.gain, PACE_GAIN_ONE);
		path.most_queue = 0;
		assert_true(run(9000000) >= 2500000 / 100 * 95);
		assert_true(path.most_queue < 40000);
		assert_in_range(pace.cap, cap / 10 * 9, cap / 10 * 11);
	}
}

/* Behind a download a keystroke waits about as long as the design says. */
static void the_queue_on_the_path_stays_short(void **state)
{
	(void)state;
	begin(2500000, 20000, 16384);
	run(5000000);
	path.most_queue = 0;
	run(5000000);
	assert_true(path.most_queue < 40000);
}

static void a_path_that_gets_faster_is_noticed(void **state)
{
	(void)state;
	begin(1000000, 10000, 16384);
	run(5000000);
	path.rate = 10000000;
	run(15000000);
	assert_true(run(3000000) >= 8000000);
}

static void a_path_that_gets_slower_is_noticed(void **state)
{
	(void)state;
	begin(10000000, 10000, 16384);
	run(5000000);
	path.rate = 1000000;
	run(20000000);
	path.most_queue = 0;
	run(5000000);
	assert_true(path.most_queue < 100000);
}

/* Where all is on one busy machine, or on two side by side, each process waits
 * for its turn, now and then for long. That is no queue on the way. */
static void a_reader_that_waits_for_its_turn_is_no_queue(void **state)
{
	(void)state;
	begin(500000000, 50, 32768);
	run(1000000);
	for (int i = 0; i < 5; i++) {
		path.turn = 60000;
		path.turn_at = now + 300000; /* and at first it stands still */
		run(3000000);
		assert_true(run(2000000) >= 10000000);
		path.turn = 0;
		path.turn_at = now + 1000000;
		run(1500000);
		assert_true(run(2000000) >= 10000000);
	}
}

/* But where the way itself is slow, the queue is its, busy reader or not. */
static void a_slow_short_way_has_a_short_queue(void **state)
{
	static const uint64_t turns[] = { 0, 5000, 30000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(turns); i++) {
		begin(100000000, 500, 16384);
		path.turn = turns[i];
		run(3000000);
		path.rate = 1000000;
		run(10000000);
		path.most_queue = 0;
		run(5000000);
		assert_true(path.most_queue < 40000 + 2 * turns[i]);
	}
}

static void what_was_never_sent_cannot_be_read(void **state)
{
	(void)state;
	begin(1000000, 1000, 16384);
	pace_sent(&pace, 1000, now);
	assert_true(pace_read(&pace, 1000, now + 1));
	assert_false(pace_read(&pace, 1001, now + 2));
	assert_false(pace_read(&pace, UINT64_MAX, now + 2));
	/* Older statements change nothing. */
	assert_true(pace_read(&pace, 999, now + 2));
	assert_int_equal(pace.read, 1000);
	/* Nor do answers in no time at all. */
	for (int i = 0; i < 1000; i++) {
		pace_sent(&pace, PIECE, now);
		assert_true(pace_read(&pace, pace.sent, now));
	}
	assert_true(pace.cap >= 16384);
	assert_true(pace.cap <= UINT64_C(256) * 1024 * 1024);
}

static void marks_are_few_and_never_missing(void **state)
{
	(void)state;
	begin(1000000, 1000, 65536);
	size_t marks = 0, frames = 0;

	while (pace_may_send(&pace)) {
		marks += pace_sent(&pace, 1000, now);
		frames++;
	}
	assert_in_range(marks, 1, PACE_MARKS);
	assert_true(frames > 4 * marks);
	/* With nothing marked on its way, the first after a pause is. */
	pace_read(&pace, pace.sent, now + 1000);
	assert_true(pace_sent(&pace, 1, now + 50000));
	/* And of what follows soon, when enough is not read. */
	pace_read(&pace, pace.sent, now + 50000);
	for (frames = 1; !pace_sent(&pace, 1000, now + 51000); frames++)
		assert_true(pace_may_send(&pace));
	assert_in_range(frames * 1000, pace.cap / 4, pace.cap / 4 + 1000);
}

/* An answer to each of many small ones would be in the way of the next. */
static void small_frames_in_a_row_are_hardly_marked(void **state)
{
	unsigned marks = 0;

	(void)state;
	begin(1000000, 1000, 65536);
	for (int i = 0; i < 4000; i++, now += 250) {
		marks += pace_sent(&pace, 80, now);
		now += 250;
		assert_true(pace_read(&pace, pace.sent, now));
	}
	assert_in_range(marks, 35, 41); /* one in 50 ms, for 2 s */
}

/* Each mark is answered by its own statement, round the ring and beyond. */
static void each_mark_gives_its_own_round_trip(void **state)
{
	(void)state;
	begin(1000000, 1000, 16384);
	for (uint64_t i = 0; i < 5 * PACE_MARKS; i++) {
		now += 50000;
		assert_true(pace_sent(&pace, 1000, now));
		now += 50000 - i * 500;
		assert_true(pace_read(&pace, pace.sent, now));
		assert_int_equal(pace.rtt_us, 50000 - i * 500);
		assert_true(pace.mark_count == 0);
	}
	/* Several at once: the last one's is the shortest. */
	uint64_t sent = 0;

	begin(1000000, 1000, 16384);
	while (pace.mark_count < 4) {
		pace_sent(&pace, 1000, now);
		now += 100;
	}
	sent = pace.sent;
	assert_true(pace_read(&pace, sent, now + 900));
	assert_int_equal(pace.rtt_us, 1000);
}

/* Who sends little says nothing of what the path could carry. */
static void a_quiet_sender_keeps_its_pace(void **state)
{
	(void)state;
	begin(12500000, 20000, 16384);
	run(3000000);
	uint64_t cap = pace.cap;

	path.first = path.count = 0; /* all is read */
	now += 60000;
	assert_true(pace_read(&pace, pace.sent, now));
	for (int i = 0; i < 60; i++) { /* keystrokes for 6 s */
		bool mark;

		assert_true(pace_may_send(&pace));
		mark = pace_sent(&pace, 100, now);
		now += 42000;
		assert_true(mark);
		assert_true(pace_read(&pace, pace.sent, now));
		now += 60000;
	}
	assert_true(pace.cap >= cap / 2);
	assert_true(run(2000000) >= 12500000 * 8 / 10);
}

/* The cap sets the rate and the rate sets the cap: out of that a sender that
 * was slowed down for a while must find its way up again. */
static void a_long_path_that_was_slow_for_a_while_is_used_again(void **state)
{
	(void)state;
	begin(20000000, 50000, 16384);
	run(5000000);
	path.rate = 500000;
	run(10000000);
	path.rate = 20000000;
	run(20000000);
	assert_true(run(5000000) >= 20000000 * 8 / 10);
}

/* A longer way is believed after a while, when the queue has been drained. */
static void a_path_that_gets_longer_is_noticed(void **state)
{
	(void)state;
	begin(5000000, 5000, 16384);
	run(5000000);
	assert_true(pace.rtt_us < 20000);
	path.delay = 50000;
	run(40000000);
	assert_true(pace.rtt_us >= 100000);
	assert_true(run(5000000) >= 5000000 * 8 / 10);
}

static void the_least_may_be_much(void **state)
{
	(void)state;
	begin(1000000, 1000, 1 << 20);
	assert_int_equal(pace.cap, 1 << 20);
	run(60000000);
	assert_true(pace.cap >= 1 << 20);
}

static void a_ping_gives_a_round_trip_too(void **state)
{
	(void)state;
	begin(1000000, 1000, 16384);
	pace_rtt(&pace, 5000, now);
	assert_int_equal(pace.rtt_us, 5000);
	pace_rtt(&pace, 7000, now);
	assert_int_equal(pace.rtt_us, 5000);
	pace_rtt(&pace, 3000, now);
	assert_int_equal(pace.rtt_us, 3000);
}

/* One that was dialled when others' bytes stood in the queue. */
static void a_carrier_beside_it_knows_the_round_trip_better(void **state)
{
	struct pace late;

	(void)state;
	begin(2500000, 20000, 16384);
	run(3000000);
	uint64_t seen = pace.rtt_at_us;

	pace_init(&late, 16384);
	pace_rtt(&late, 200000, now);
	pace_share(&late, &pace, now);
	assert_int_equal(late.rtt_us, pace.rtt_us);
	assert_int_equal(late.rtt_at_us, seen); /* they look again together */
	pace_rtt(&late, 1000, now);
	pace_share(&late, &pace, now);
	assert_int_equal(late.rtt_us, 1000); /* only what is less */

	pace_init(&late, 16384);
	pace_share(&late, &pace, seen + 11000000);
	assert_int_equal(late.rtt_us, 0); /* too old */
	pace.drains = true;
	pace_share(&late, &pace, now);
	assert_int_equal(late.rtt_us, 0); /* in doubt */
}

/* One gain for all along the way: it is no more than the way can hold. */
static void carriers_beside_each_other_use_one_gain(void **state)
{
	(void)state;
	begin(2500000, 20000, 16384);
	pace_join(&pace, 4 * PACE_GAIN_ONE, true, 16384);
	run(5000000);
	path.most_queue = 0;
	run(5000000);
	assert_true(path.most_queue < 40000); /* nothing is lost */
	assert_in_range(pace_seen(&pace), 40000, 80000);
	assert_true(pace_seen(&pace) == UINT64_MAX); /* asked again */
	uint64_t cap = pace.cap;

	pace_join(&pace, PACE_GAIN_ONE / 2, true, 16384);
	run(1000000);
	assert_true(pace.cap < cap * 3 / 4);
	pace_join(&pace, 0, false, 65536);
	run(1000000);
	assert_true(pace.cap >= 65536);
}

/* What was tried alone says nothing once others have bulk, nor ever after. */
static void a_try_ends_when_others_have_bulk_too(void **state)
{
	(void)state;
	begin(2500000, 20000, 16384);
	run(3000000);
	pace.trial = 2; /* downwards */
	pace.trial_rate = 1000000000;
	pace.gain = 3 * PACE_GAIN_ONE;
	pace.gain_before = 4 * PACE_GAIN_ONE;
	pace_join(&pace, PACE_GAIN_ONE, true, 16384);
	run(1000000);
	pace_join(&pace, 0, false, 16384);
	for (int i = 0; i < 50; i++) {
		run(100000);
		assert_in_range(pace.gain, 1, PACE_GAIN_ONE);
	}
}

static void what_is_lost_needs_more_at_once_where_no_queue_stands(void **state)
{
	(void)state;
	begin(12500000, 50000, 32768);
	path.lost = 9;
	pace_join(&pace, 4 * PACE_GAIN_ONE, true, 32768);
	run(5000000);
	assert_true(run(5000000) >= 12500000 / 10 * 9);
}

static void frames_are_as_short_as_the_rest_of_the_cap(void **state)
{
	(void)state;
	begin(2500000, 20000, 65536);
	assert_true(pace_room(&pace) == SIZE_MAX);
	pace_join(&pace, PACE_GAIN_ONE, true, 65536);
	assert_int_equal(pace_room(&pace), 65536);
	pace_sent(&pace, 60000, now);
	assert_int_equal(pace_room(&pace), 5536);
	pace_sent(&pace, 5000, now);
	assert_int_equal(pace_room(&pace), 4096); /* less is not worth it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_carrier_may_always_send_the_least),
		cmocka_unit_test(the_rate_of_the_path_is_found_and_used),
		cmocka_unit_test(
			what_the_path_loses_does_not_hold_the_sender_back),
		cmocka_unit_test(a_pause_of_the_systems_is_no_loss),
		cmocka_unit_test(the_queue_on_the_path_stays_short),
		cmocka_unit_test(a_path_that_gets_faster_is_noticed),
		cmocka_unit_test(a_path_that_gets_slower_is_noticed),
		cmocka_unit_test(a_reader_that_waits_for_its_turn_is_no_queue),
		cmocka_unit_test(a_slow_short_way_has_a_short_queue),
		cmocka_unit_test(what_was_never_sent_cannot_be_read),
		cmocka_unit_test(marks_are_few_and_never_missing),
		cmocka_unit_test(small_frames_in_a_row_are_hardly_marked),
		cmocka_unit_test(each_mark_gives_its_own_round_trip),
		cmocka_unit_test(a_quiet_sender_keeps_its_pace),
		cmocka_unit_test(
			a_long_path_that_was_slow_for_a_while_is_used_again),
		cmocka_unit_test(a_path_that_gets_longer_is_noticed),
		cmocka_unit_test(the_least_may_be_much),
		cmocka_unit_test(a_ping_gives_a_round_trip_too),
		cmocka_unit_test(
			a_carrier_beside_it_knows_the_round_trip_better),
		cmocka_unit_test(carriers_beside_each_other_use_one_gain),
		cmocka_unit_test(a_try_ends_when_others_have_bulk_too),
		cmocka_unit_test(
			what_is_lost_needs_more_at_once_where_no_queue_stands),
		cmocka_unit_test(frames_are_as_short_as_the_rest_of_the_cap),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
