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

/* Bytes left, and not even the number of those that were read comes back. */
static void an_overdue_answer_is_a_reason_for_doubt(void **state)
{
	struct side *sd = &pair.side[CLIENT];
	struct seen *e = open_at(CLIENT, "a:1");

	(void)state;
	settle();
	advance(100000);
	assert_int_equal(write_at(CLIENT, e, 100), 100);
	wire_pull(w, CLIENT);
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

/* After an outage one connection comes back at once, and another only when TCP
 * sends again, seconds later: what rides on that one does not wait for it. */
static void a_connection_that_another_overtakes_is_given_up(void **state)
{
	struct side *sd = &pair.side[CLIENT];
	struct seen *e = open_at(CLIENT, "a:1");
	struct wire *w2;

	(void)state;
	settle();
	w2 = wire_up();
	settle();
	advance(100000);
	assert_int_equal(write_at(CLIENT, e, 100), 100);
	wire_pull(w, CLIENT);
	pair.now += 1000000;
	tick();
	assert_int_equal(sd->doubts, 1);
	assert_int_equal(sd->drops, 0);
	pair.now += 100000;
	w2->c[CLIENT]->last_in = pair.now;
	pair.now += 1000000;
	tick();
	assert_int_equal(sd->drops, 1);
	assert_int_equal(sd->drop_err, RW_ERR_SUSPECT);
	assert_null(w->c[CLIENT]);
	assert_non_null(w2->c[CLIENT]);
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
	advance(100000);
	assert_int_equal(write_at(CLIENT, e, 100), 100);
	wire_pull(w, CLIENT);
	stream_move(e->st, silent->c[CLIENT]);
	pair.now += 1000000;
	tick();
	assert_int_equal(sd->doubts, 1);
	pair.now += 1000000;
	heard->c[CLIENT]->last_in = pair.now;
	tick();
	assert_null(w->c[CLIENT]);
	assert_ptr_equal(sd->s->primary, heard->c[CLIENT]);
	assert_ptr_equal(e->st->asked, heard->c[CLIENT]);
	wire_pull(silent, CLIENT);
	assert_true(on_its_way(silent, RIG, FRAME_PING, &f));
	pair.now += 100000;
	heard->c[CLIENT]->last_in = pair.now;
	pair.now += 1000000;
	tick();
	assert_null(silent->c[CLIENT]);
	assert_non_null(heard->c[CLIENT]);
	settle();
	assert_int_equal(pair.side[RIG].come[0]->bytes.len, 100);
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

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(silence_brings_a_ping_and_then_the_end),
		T(a_ping_is_answered_and_gives_a_round_trip),
		T(any_byte_proves_life_even_behind_a_full_queue),
		T(a_suspect_must_prove_itself_by_its_own_deadline),
		T(an_overdue_answer_is_a_reason_for_doubt),
		T(a_connection_that_another_overtakes_is_given_up),
		T(after_an_outage_streams_go_where_something_is_heard),
		T(bytes_that_cease_are_asked_after),
	};

	return cmocka_run_group_tests_name("liveness", tests, NULL, NULL);
}
