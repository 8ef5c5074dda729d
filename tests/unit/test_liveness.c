/* SPDX-License-Identifier: MIT */
/* Whether a carrier lives: pings, deadlines, silence. */
#include "core_wired.h"

static void silence_brings_a_ping_and_then_the_end(void **state)
{
	uint64_t began = pair.now;
	struct frame f;

	(void)state;
	pair.now = began + pair.limits.ping_interval_us - 1;
	tick();
	assert_int_equal(wire_pull(w, CLIENT), 0);
	pair.now = began + pair.limits.ping_interval_us;
	assert_int_equal(session_tick(client(), pair.now),
			 pair.now + pair.limits.ping_timeout_us);
	wire_pull(w, CLIENT);
	assert_true(on_its_way(w, RIG, FRAME_PING, &f));
	buf_reset(&w->q[RIG]);
	pair.now += pair.limits.ping_timeout_us - 1;
	tick();
	assert_non_null(w->c[CLIENT]);
	pair.now += 1;
	tick();
	assert_null(w->c[CLIENT]);
	assert_int_equal(pair.side[CLIENT].drop_err, RW_ERR_SUSPECT);
	/* At most ten seconds, as the design says. */
	assert_true(pair.now - began <= 10000000);
}

/* On a session where nobody says anything one end asks, and that is enough. */
static void of_both_ends_only_the_client_asks(void **state)
{
	struct frame f;

	(void)state;
	for (int k = 0; k < 10; k++) {
		pair.now += pair.limits.ping_interval_us;
		tick();
		assert_int_equal(wire_pull(w, RIG), 0);
		wire_pull(w, CLIENT);
		assert_true(on_its_way(w, RIG, FRAME_PING, &f));
		wire_deliver(w, RIG);
		wire_pull(w, RIG);
		assert_true(on_its_way(w, CLIENT, FRAME_PONG, &f));
		wire_deliver(w, CLIENT);
	}
}

static void a_rig_asks_a_client_that_is_silent(void **state)
{
	uint64_t began = pair.now;
	struct frame f;

	(void)state;
	pair.now = began + pair.limits.ping_interval_us + 500000;
	session_tick(rig(), pair.now);
	wire_pull(w, RIG);
	assert_true(on_its_way(w, CLIENT, FRAME_PING, &f));
	pair.now += pair.limits.ping_timeout_us;
	session_tick(rig(), pair.now);
	assert_null(w->c[RIG]);
	/* At most ten seconds, as the design says. */
	assert_true(pair.now - began <= 10000000);
}

static void a_ping_is_answered_and_gives_a_round_trip(void **state)
{
	struct session_stats stats;

	(void)state;
	w->c[CLIENT]->pace.rtt_us = 0; /* forget the one at the beginning */
	pair.now += pair.limits.ping_interval_us;
	tick();
	wire_pull(w, CLIENT);
	pair.now += 30000;
	wire_deliver(w, RIG);
	wire_pull(w, RIG);
	wire_deliver(w, CLIENT);
	tick();
	session_stats(client(), &stats);
	assert_int_equal(stats.rtt_us, 30000);
	assert_int_equal(stats.last_heard_us, pair.now);
	for (int k = 0; k < 100; k++)
		advance(1000000);
	assert_int_equal(pair.side[CLIENT].drops, 0);
	assert_int_equal(pair.side[RIG].drops, 0);
}

static void any_byte_proves_life_even_behind_a_full_queue(void **state)
{
	(void)state;
	pair.now += pair.limits.ping_interval_us;
	tick();
	/* The ping cannot leave: nothing is pulled. Part of a frame comes. */
	pair.now += 1000000;
	assert_int_equal(carrier_input(w->c[CLIENT],
				       (const uint8_t[]){ FRAME_PING }, 1,
				       pair.now),
			 0);
	pair.now += pair.limits.ping_timeout_us;
	tick();
	assert_non_null(w->c[CLIENT]);
	/* But then it has to go on living. */
	for (int k = 0; k < 10; k++) {
		pair.now += 1000000;
		session_tick(client(), pair.now);
	}
	assert_null(w->c[CLIENT]);
}

static void a_suspect_must_prove_itself_by_its_own_deadline(void **state)
{
	(void)state;
	struct wire *w2 = wire_up();

	carrier_suspect(w->c[CLIENT], 2000000, pair.now);
	assert_true(pair.side[CLIENT].woken);
	carrier_suspect(w2->c[CLIENT], 2000000, pair.now);
	wire_pull(w, CLIENT);
	wire_pull(w2, CLIENT);
	buf_reset(&w->q[RIG]); /* lost */
	pair.now += 500000;
	wire_deliver(w2, RIG);
	wire_pull(w2, RIG);
	wire_deliver(w2, CLIENT);
	pair.now += 1500000;
	tick();
	assert_null(w->c[CLIENT]);
	assert_non_null(w2->c[CLIENT]);
}

/* After a quiet moment 100 bytes leave; nothing brings them to the rig yet. */
static void put_on_the_wire(struct seen *e)
{
	advance(100000);
	assert_int_equal(write_at(CLIENT, e, 100), 100);
	wire_pull(w, CLIENT);
}

/* Bytes left, and not even the number of those that were read comes back. */
static void an_overdue_answer_is_a_reason_for_doubt(void **state)
{
	struct side *sd = &pair.side[CLIENT];
	struct seen *e = open_at(CLIENT, "a:1");

	(void)state;
	settle();
	put_on_the_wire(e);
	tick();
	assert_true(sd->next_tick <= pair.now + 1000000);
	pair.now += 500000;
	tick();
	assert_int_equal(sd->doubts, 0);
	pair.now += 500000;
	tick();
	assert_int_equal(sd->doubts, 1);
	pair.now += 1000000;
	tick();
	assert_int_equal(sd->doubts, 2); /* the doubt lasts, the carrier too */
	assert_non_null(w->c[CLIENT]);
	settle();
	advance(4000000);
	assert_int_equal(sd->doubts, 2);
	assert_int_equal(sd->drops, 0);
}

/* On a slow line a record takes seconds, and the answer stands behind it: while
 * parts of one come, nobody is replaced. */
static void bytes_that_trickle_in_put_off_a_doubt(void **state)
{
	struct side *sd = &pair.side[CLIENT];
	struct seen *e = open_at(CLIENT, "a:1");

	(void)state;
	settle();
	put_on_the_wire(e);
	for (int i = 0; i < 12; i++) {
		pair.now += 500000;
		carrier_stirred(w->c[CLIENT], pair.now);
		tick();
	}
	assert_int_equal(sd->doubts, 0);
}

/* What the client sent on x arrives after all, and is answered. */
static void answer(struct wire *x)
{
	wire_pull(x, CLIENT);
	wire_deliver(x, RIG);
	wire_pull(x, RIG);
	wire_deliver(x, CLIENT);
	tick();
}

/* After an outage one connection comes back at once, and another only when TCP
 * sends again, seconds later: what rides on that one waits a little for it. */
static void a_connection_that_another_overtakes_is_given_up(void **state)
{
	struct side *sd = &pair.side[CLIENT];
	struct seen *e = open_at(CLIENT, "a:1");
	struct wire *w2;

	(void)state;
	settle();
	w2 = wire_up();
	settle();
	put_on_the_wire(e);
	pair.now += 1000000;
	tick();
	assert_int_equal(sd->doubts, 1);
	assert_true(carrier_is_doubted(w->c[CLIENT]));
	pair.now += 100000;
	answer(w2);
	assert_int_equal(sd->drops, 0);
	assert_true(sd->next_tick <= pair.now + 300000);
	pair.now += 300000;
	tick();
	assert_int_equal(sd->drops, 1);
	assert_int_equal(sd->drop_err, RW_ERR_SUSPECT);
	assert_null(w->c[CLIENT]);
	assert_non_null(w2->c[CLIENT]);
	settle();
	assert_int_equal(pair.side[RIG].come[0]->bytes.len, 100);
}

/* What the other side sent before the outage comes first after it, while what
 * we sent still waits for our TCP: that shows nothing, an answer does. */
static void bytes_that_only_come_in_end_no_doubt(void **state)
{
	struct side *sd = &pair.side[CLIENT];
	struct seen *e = open_at(CLIENT, "a:1");
	struct wire *half;

	(void)state;
	settle();
	half = wire_up();
	settle();
	put_on_the_wire(e);
	wire_pull(half, CLIENT);
	pair.now += 1000000;
	tick();
	write_at(RIG, pair.side[RIG].come[0], 100);
	carrier_ping(half->c[RIG], pair.now);
	for (struct wire *x = w; x != NULL; x = x == w ? half : NULL) {
		wire_pull(x, RIG);
		wire_deliver(x, CLIENT);
	}
	assert_int_equal(e->bytes.len, 100);
	assert_true(carrier_is_doubted(w->c[CLIENT]));
	pair.now += 600000;
	tick();
	assert_int_equal(sd->drops, 0); /* nothing was proven */
	answer(w);
	assert_false(carrier_is_doubted(w->c[CLIENT]));
	settle();
	assert_int_equal(pair.side[RIG].come[0]->bytes.len, 100);
}

/* One that was dialled in the outage, and answered, needs no such time. */
static void a_new_connection_overtakes_at_once(void **state)
{
	struct side *sd = &pair.side[CLIENT];
	struct seen *e = open_at(CLIENT, "a:1");
	struct wire *fresh;

	(void)state;
	settle();
	put_on_the_wire(e);
	pair.now += 1000000;
	tick();
	pair.now += 1000;
	fresh = wire_up_to_hello();
	tick();
	assert_null(w->c[CLIENT]);
	assert_int_equal(sd->drop_err, RW_ERR_SUSPECT);
	assert_non_null(fresh->c[CLIENT]);
	settle();
	assert_int_equal(pair.side[RIG].come[0]->bytes.len, 100);
}

/* What rides on a connection that is given up goes where something was heard,
 * and not to the oldest or to where it was about to move; and the other silent
 * ones are asked. */
static void after_an_outage_streams_go_where_something_is_heard(void **state)
{
	struct side *sd = &pair.side[CLIENT];
	struct seen *e = open_at(CLIENT, "a:1");
	struct wire *silent, *heard;
	struct frame f;

	(void)state;
	settle();
	silent = wire_up();
	heard = wire_up();
	settle();
	put_on_the_wire(e);
	stream_move(e->st, silent->c[CLIENT]);
	pair.now += 1000000;
	tick();
	assert_int_equal(sd->doubts, 1);
	wire_pull(silent, CLIENT);
	assert_true(on_its_way(silent, RIG, FRAME_PING, &f));
	pair.now += 10000;
	answer(heard);
	pair.now += 300000;
	tick();
	assert_null(w->c[CLIENT]);
	assert_ptr_equal(sd->s->primary, heard->c[CLIENT]);
	assert_ptr_equal(e->st->asked, heard->c[CLIENT]);
	pair.now += 700000;
	tick();
	answer(heard);
	pair.now += 300000;
	tick();
	assert_null(silent->c[CLIENT]);
	assert_non_null(heard->c[CLIENT]);
	settle();
	assert_int_equal(pair.side[RIG].come[0]->bytes.len, 100);
}

/* One connection ends while the one for new streams is in doubt: what rode on
 * it does not go there, at the rig neither, which gives nothing up. */
static void no_stream_goes_to_a_connection_in_doubt(void **state)
{
	struct seen *e = open_at(CLIENT, "a:1");
	struct wire *ends, *heard;
	struct stream *st;

	(void)state;
	settle();
	ends = wire_up();
	heard = wire_up();
	settle();
	st = pair.side[RIG].come[0]->st;
	stream_move(st, ends->c[RIG]);
	settle();
	assert_ptr_equal(st->ride, ends->c[RIG]);
	assert_ptr_equal(rig()->primary, w->c[RIG]);
	advance(100000);
	carrier_ping(w->c[RIG], pair.now);
	wire_pull(w, RIG);
	buf_reset(&w->q[CLIENT]); /* lost */
	pair.now += 1000000;
	side_tick(&pair.side[RIG]);
	assert_true(carrier_is_doubted(w->c[RIG]));
	carrier_close(ends->c[RIG], pair.now);
	ends->c[RIG] = NULL;
	assert_ptr_equal(st->asked, heard->c[RIG]);
	wire_cut(ends);
	send_at(RIG, pair.side[RIG].come[0], 100);
	check_got(e, 100);
}

/* Whoever only receives is owed nothing, and asks: once. */
static void bytes_that_cease_are_asked_after(void **state)
{
	struct side *sd = &pair.side[CLIENT];
	struct seen *e = open_at(CLIENT, "a:1");
	struct frame f;

	(void)state;
	settle();
	advance(100000);
	send_at(RIG, pair.side[RIG].come[0], 100);
	settle();
	advance(100000);
	assert_int_equal(e->bytes.len, 100);
	assert_true(sd->next_tick <= pair.now + 500000);
	pair.now += 500000;
	tick();
	wire_pull(w, CLIENT);
	assert_true(on_its_way(w, RIG, FRAME_PING, &f));
	pair.now += 1000000; /* no answer */
	tick();
	assert_int_equal(sd->doubts, 1);
	settle();
	advance(1000000);
	assert_int_equal(wire_pull(w, CLIENT), 0);
	assert_int_equal(sd->doubts, 1);
}

/* What both ends said before arrives after us. */
static void travel(uint64_t us)
{
	size_t len[2], had;

	tick();
	for (int i = 0; i < 2; i++) {
		buf_peek(&w->q[i], &len[i]);
		wire_pull(w, 1 - i);
	}
	pair.now += us;
	for (int i = 0; i < 2; i++) {
		const uint8_t *data = buf_peek(&w->q[i], &had);

		assert_int_equal(carrier_input(w->c[i], data, len[i], pair.now),
				 len[i]);
		buf_drain(&w->q[i], len[i]);
	}
}

/* Somebody else fills the line for minutes, and every answer takes two seconds:
 * that is how it is, and no reason to dial at each key that is pressed. */
static void a_way_that_got_longer_is_doubted_once(void **state)
{
	struct seen *e = open_at(CLIENT, "a:1");

	(void)state;
	settle();
	advance(100000);
	for (int k = 0; k < 10; k++) {
		assert_int_equal(write_at(CLIENT, e, 1), 1);
		for (int n = 0; n < 4; n++)
			travel(1000000);
	}
	assert_in_range(pair.side[CLIENT].doubts, 1, 3);
	assert_false(carrier_is_doubted(w->c[CLIENT]));
	/* And once more short, it is doubted soon. */
	settle();
	advance(6000000);
	assert_in_range(w->c[CLIENT]->ping_took, 1, 1000);
}

/* Its first ping takes as long as its greeting did. */
static void a_new_connection_on_a_long_way_is_not_doubted(void **state)
{
	struct wire *x = wire_dial();

	(void)state;
	wire_pull(x, CLIENT);
	pair.now += 1000000;
	wire_deliver(x, RIG);
	wire_pull(x, RIG);
	wire_deliver(x, CLIENT);
	tick();
	wire_pull(x, CLIENT);
	pair.now += 1000000;
	tick();
	assert_int_equal(pair.side[CLIENT].doubts, 0);
	answer(x);
	assert_int_equal(x->c[CLIENT]->ping_took, 1000000);
}

/* Pings that go oftener than answers come are answered all the same. */
static void pings_do_not_overtake_each_other(void **state)
{
	struct seen *e = open_at(CLIENT, "a:1");

	(void)state;
	settle();
	w->c[CLIENT]->pace.rtt_us = w->c[CLIENT]->ping_took = 0;
	for (int k = 0; k < 100; k++) {
		assert_int_equal(write_at(RIG, pair.side[RIG].come[0], 1), 1);
		travel(150000);
	}
	assert_int_equal(pair.side[CLIENT].doubts, 0);
	assert_in_range(w->c[CLIENT]->ping_took, 300000, 600000);
	check_got(e, e->bytes.len);
}

static int setup_hasty(void **state)
{
	setup_unstarted(state);
	pair.limits.ping_interval_us = 100000;
	start();
	return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(silence_brings_a_ping_and_then_the_end),
		T(of_both_ends_only_the_client_asks),
		T(a_rig_asks_a_client_that_is_silent),
		T(a_ping_is_answered_and_gives_a_round_trip),
		T(any_byte_proves_life_even_behind_a_full_queue),
		T(a_suspect_must_prove_itself_by_its_own_deadline),
		T(an_overdue_answer_is_a_reason_for_doubt),
		T(a_connection_that_another_overtakes_is_given_up),
		T(bytes_that_trickle_in_put_off_a_doubt),
		T(bytes_that_only_come_in_end_no_doubt),
		T(a_new_connection_overtakes_at_once),
		T(after_an_outage_streams_go_where_something_is_heard),
		T(no_stream_goes_to_a_connection_in_doubt),
		T(bytes_that_cease_are_asked_after),
		T(a_way_that_got_longer_is_doubted_once),
		T(a_new_connection_on_a_long_way_is_not_doubted),
		cmocka_unit_test_setup_teardown(
			pings_do_not_overtake_each_other, setup_hasty,
			teardown),
	};

	return cmocka_run_group_tests_name("liveness", tests, NULL, NULL);
}
